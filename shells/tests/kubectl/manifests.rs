//! The files in `../manifests`, each as a person would use it: applied, changed nothing, looked at, taken away.

use crate::world::World;
use std::fs;
use std::path::PathBuf;

/// The files, in the order of their names: what needs another comes after it.
fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests"));
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 20, "{files:?}");
    files
}

/// What kubectl shall do with each file, and how each line shall end that it prints; anything will do if that is empty.
type Use = (&'static str, &'static str);

const BY_THE_CLIENT: &[Use] = &[
    ("create --dry-run=server -f", " created (server dry run)"),
    ("apply -f", " created"),
    ("apply -f", " unchanged"),
    ("diff -f", ""),
    ("get -f", ""),
    ("describe -f", ""),
    ("delete --wait=false -f", " deleted"),
];

const BY_THE_SERVER: &[Use] = &[
    ("apply --server-side --dry-run=server -f", " serverside-applied (server dry run)"),
    ("apply --server-side -f", " serverside-applied"),
    ("apply --server-side -f", " serverside-applied"),
    ("diff --server-side -f", ""),
    ("apply --server-side --field-manager=other -f", " serverside-applied"),
    ("get -o yaml --show-managed-fields -f", ""),
    ("delete --wait=false -f", " deleted"),
];

/// Who has applied by the client goes over to the server: nothing is lost on the way.
const FROM_CLIENT_TO_SERVER: &[Use] = &[
    ("apply -f", " created"),
    ("apply --server-side --force-conflicts -f", " serverside-applied"),
    ("diff -f", ""),
    ("diff --server-side --force-conflicts -f", ""),
    ("delete --wait=false -f", " deleted"),
];

fn used(uses: &[Use]) {
    let mut world = World::new();
    world.serve(&["apiserver".to_owned()]);
    // Some are of a namespace that the reader is told to make first.
    world.sh("kubectl create namespace production");
    let mut failures = Vec::new();
    let files = files();
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let file = file.to_str().unwrap();
        // What one file leaves is used by later ones, so that only the last of its uses is left out here.
        for (line, end) in &uses[..uses.len() - 1] {
            failures
                .extend(failure(&world, &format!("kubectl {line}"), file, end).map(|what| format!("{name}: {what}")));
        }
        if name.contains("crd") {
            let wait = "kubectl wait --for=condition=Established --timeout=20s crd --all #";
            failures.extend(failure(&world, wait, file, " condition met").map(|what| format!("{name}: {what}")));
        }
    }
    for file in files.iter().rev() {
        let (line, end) = uses[uses.len() - 1];
        failures.extend(failure(&world, &format!("kubectl {line}"), file.to_str().unwrap(), end));
    }
    assert!(failures.is_empty(), "{} went otherwise\n\n{}", failures.len(), failures.join("\n"));
}

fn failure(world: &World, line: &str, file: &str, end: &str) -> Option<String> {
    let (code, text) = world.sh(&format!("{line} {file}"));
    // What does not act yet is said in warnings, which are miniku's alone.
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with("Warning: ")).collect();
    // kubectl sends two things again though they are the same: a list without a key, as the claims of a StatefulSet, for
    // what the server added to its items; and a map that it is told to replace, as the selector of a budget.
    let sent_again = |line: &str| {
        let kinds = ["statefulset.apps/", "poddisruptionbudget.policy/"];
        end == " unchanged" && kinds.iter().any(|kind| line.starts_with(kind)) && line.ends_with(" configured")
    };
    let fits = |line: &&&str| end.is_empty() || line.ends_with(end) || sent_again(line);
    let wrong: Vec<&str> = said.iter().filter(|line| !fits(line)).copied().collect();
    // What is owned as a whole, and completed by the server, is wanted otherwise by whoever leaves that out.
    let whole = [".spec.volumeClaimTemplates", ".valueFrom.fieldRef"];
    let conflict = |line: &&str| {
        line.starts_with("error: Apply failed with 1 conflict: ") && whole.iter().any(|field| line.ends_with(field))
    };
    if said.iter().any(conflict) {
        return None;
    }
    let enough = end.is_empty() || !said.is_empty();
    (code != 0 || !wrong.is_empty() || !enough).then(|| {
        format!("{line}: exit code {code}\n  + {}\n", if end.is_empty() { said } else { wrong }.join("\n  + "))
    })
}

#[test]
fn manifests_by_the_client() {
    used(BY_THE_CLIENT);
}

#[test]
fn manifests_from_the_client_to_the_server() {
    used(FROM_CLIENT_TO_SERVER);
}

#[test]
fn manifests_by_the_server() {
    used(BY_THE_SERVER);
}
