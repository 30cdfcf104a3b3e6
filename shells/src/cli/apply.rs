//! `apply`: objects become what files say.
//!
//! What was applied is kept in an annotation of the object, the same that kubectl uses, so that either may go on
//! where the other left off. The change is worked out by [`three_way`].

use crate::cli::Session;
use crate::cli::cluster::{Cluster, FIELD_MANAGER, Parameters, name, text};
use crate::cli::create::{Dry, DryArgs};
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs, Manifest};
use crate::cli::print::{self, Format};
use crate::cli::three_way;
use crate::client::wire::APPLY_PATCH;
use clap::Args;
use miniku_core::api::status::Reason;
use serde_json::{Value, json};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku apply -f web.yaml\n  miniku apply -f manifests/ --dry-run=server\n  \
    miniku apply --server-side -f web.yaml --field-manager=ci\n  \
    cat web.yaml | miniku apply -f -";

/// What was applied last. Source: Kubernetes documentation, "Declarative Management of Kubernetes Objects".
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// So often an object may change under our hands.
const ATTEMPTS: usize = 5;

/// What to apply.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// Where the objects are.
    #[command(flatten)]
    pub files: FileArgs,
    /// Let the server work out what changes, and remember who wished what
    #[arg(long)]
    pub server_side: bool,
    /// Take fields from whoever manages them, with --server-side
    #[arg(long, requires = "server_side")]
    pub force_conflicts: bool,
    /// As whom to wish, with --server-side
    #[arg(long, default_value = FIELD_MANAGER, value_name = "NAME")]
    pub field_manager: String,
    /// json, yaml, wide or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// How the writing is done.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// Makes objects what files say.
pub fn run(args: &ApplyArgs, session: &mut Session) -> Result<(), CliError> {
    if args.files.filename.is_empty() {
        return Err(CliError::Usage("must specify one of -f".into()));
    }
    let mut errors = Vec::new();
    for manifest in manifest::read(&args.files, &session.cluster)? {
        match apply(args, &manifest, session) {
            Ok((object, done)) => {
                let done = format!("{done}{}", args.dry.dry_run.note());
                print::outcome(&mut session.out, &args.output, manifest.kind, object, &done)?;
            }
            Err(error) => errors.push(error),
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

fn apply(args: &ApplyArgs, manifest: &Manifest, session: &Session) -> Result<(Value, &'static str), CliError> {
    let cluster = &session.cluster;
    if name(&manifest.object).is_empty() {
        return Err(CliError::Usage(format!(
            "error when retrieving current configuration of a {} from {:?}: resource name may not be empty",
            manifest.kind.row().name,
            manifest.source
        )));
    }
    let dry = args.dry.dry_run;
    if args.server_side {
        return on_server(args, manifest, dry, cluster);
    }
    let (key, wanted) = (manifest.key(), with_note(&manifest.object));
    for attempt in 1.. {
        let Some(live) = cluster.find(&key)? else {
            let created = match dry {
                Dry::Client => Ok(wanted.clone()),
                dry => cluster.create(manifest.kind, manifest.namespace(), &wanted, dry == Dry::Server),
            };
            match created {
                Err(error) if error.has_reason(Reason::AlreadyExists) && attempt < ATTEMPTS => continue,
                created => {
                    let created = created.map_err(|error| error.when(format!("creating {:?}", manifest.source)));
                    return Ok((created?, "created"));
                }
            }
        };
        let note = &live["metadata"]["annotations"][LAST_APPLIED];
        if note.is_null() {
            eprintln!(
                "Warning: resource {}/{} is missing the {LAST_APPLIED} annotation which is required by miniku apply. \
                 The missing annotation will be patched automatically.",
                manifest.kind.row().plural,
                name(&live)
            );
        }
        // A note that is no JSON says nothing; it is replaced.
        let last: Option<Value> = note.as_str().and_then(|text| serde_json::from_str(text).ok());
        let merged = three_way::merged(last.as_ref(), &wanted, &live);
        let Some(mut patch) = three_way::patch(&live, &merged) else {
            return Ok((live, "unchanged"));
        };
        if dry == Dry::Client {
            return Ok((merged, "configured"));
        }
        let version = text(&live["metadata"]["resourceVersion"]);
        // Lists in the patch are whole: they must not undo what someone else did to them meanwhile.
        patch["metadata"]["resourceVersion"] = version.as_str().into();
        match cluster.merge(&key, &patch, dry == Dry::Server) {
            Ok(object) if text(&object["metadata"]["resourceVersion"]) == version && dry == Dry::None => {
                return Ok((object, "unchanged"));
            }
            Ok(object) => return Ok((object, "configured")),
            Err(error) if error.has_reason(Reason::Conflict) && attempt < ATTEMPTS => {}
            Err(error) => return Err(error.when(format!("applying patch from {:?}", manifest.source))),
        }
    }
    unreachable!("the last attempt returns")
}

/// Source: Kubernetes documentation, "Server-Side Apply".
fn on_server(
    args: &ApplyArgs,
    manifest: &Manifest,
    dry: Dry,
    cluster: &Cluster,
) -> Result<(Value, &'static str), CliError> {
    if dry == Dry::Client {
        return Err(CliError::Usage(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)".into(),
        ));
    }
    let mut more: Parameters =
        vec![("fieldManager", args.field_manager.clone()), ("force", args.force_conflicts.to_string())];
    if dry == Dry::Server {
        more.push(("dryRun", "All".into()));
    }
    match cluster.patch(&manifest.key(), None, APPLY_PATCH, &manifest.object, more) {
        Ok(object) => Ok((object, "serverside-applied")),
        Err(error) if error.has_reason(Reason::Conflict) => Err(CliError::Plain(format!(
            "{error}\nPlease review the fields above--they currently have other managers. Use --force-conflicts to take them \
             over, remove them from the file to leave them alone, or write the values they have to share them."
        ))),
        Err(error) => Err(error.when(format!("applying {:?}", manifest.source))),
    }
}

/// The object with itself as a note, written as kubectl writes it: sorted, compact, one line end.
fn with_note(object: &Value) -> Value {
    let mut noted = object.clone();
    if !noted["metadata"]["annotations"].is_object() {
        noted["metadata"]["annotations"] = json!({});
    }
    if let Some(annotations) = noted["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let note = format!("{noted}\n");
    noted["metadata"]["annotations"][LAST_APPLIED] = note.into();
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_kubectls() {
        let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "x"}});
        let note = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{},\"name\":\"a\",\"namespace\":\"x\"}}\n";
        let noted = with_note(&object);
        assert_eq!(noted["metadata"]["annotations"][LAST_APPLIED], note);
        assert_eq!(with_note(&noted)["metadata"]["annotations"][LAST_APPLIED], note);
    }
}
