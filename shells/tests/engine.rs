//! Storage engines against real files: agreement, refusals, damage, a full disk.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use miniku::engine::memory::Memory;
use miniku::engine::redb::Redb;
use miniku::engine::{Engine, EngineError, Outcome, Write};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use redb::{Database, TableDefinition};

/// A directory that is removed again.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("miniku-engine-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("objects.redb")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Entries = BTreeMap<String, (u64, Vec<u8>)>;

fn entries(engine: &mut dyn Engine) -> (u64, Entries) {
    let mut all = Entries::new();
    let revision = engine
        .load(&mut |key, revision, value| {
            assert!(all.insert(key.into(), (revision, value.to_vec())).is_none());
        })
        .unwrap();
    (revision, all)
}

fn put(key: &str, expect: u64, value: &str) -> Write {
    Write { key: key.into(), expect, value: Some(value.as_bytes().into()) }
}

fn delete(key: &str, expect: u64) -> Write {
    Write { key: key.into(), expect, value: None }
}

fn open_error(directory: &Path) -> String {
    match Redb::open(directory) {
        Ok(_) => panic!("{} was opened", directory.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn judges_each_write_by_those_before_it() {
    use Outcome::*;
    let scratch = Scratch::new("judges");
    let mut redb = Redb::open(&scratch.0).unwrap();
    let mut memory = Memory::default();
    let engines: [&mut dyn Engine; 2] = [&mut redb, &mut memory];
    for engine in engines {
        let batch =
            [put("a", 0, "1"), put("a", 0, "2"), put("a", 1, "3"), delete("a", 1), delete("a", 2), put("a", 0, "4")];
        let want = [
            Committed { revision: 1 },
            Conflict { actual: 1 },
            Committed { revision: 2 },
            Conflict { actual: 2 },
            Committed { revision: 3 },
            Committed { revision: 4 },
        ];
        assert_eq!(engine.commit(&batch), want);
        assert_eq!(engine.commit(&[put("a", 1, "5")]), [Conflict { actual: 4 }]);
        assert_eq!(engine.commit(&[]), []);
        assert_eq!(engine.commit(&[delete("a", 4)]), [Committed { revision: 5 }]);
        assert_eq!(entries(engine), (5, Entries::new()));
    }
    drop(redb);
    // The last revision was a deletion's, and it is not given again.
    let mut redb = Redb::open(&scratch.0).unwrap();
    assert_eq!(redb.commit(&[put("b", 0, "")]), [Committed { revision: 6 }]);
}

#[derive(Clone, Debug)]
struct Step {
    key: u8,
    expect: u8,
    value: Option<Vec<u8>>,
    ends_batch: bool,
    reopens: bool,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        Self {
            key: u8::arbitrary(g) % 4,
            expect: u8::arbitrary(g) % 12,
            value: Option::arbitrary(g),
            ends_batch: bool::arbitrary(g),
            reopens: u8::arbitrary(g) % 16 == 0,
        }
    }
}

#[test]
fn redb_agrees_with_memory() {
    fn agrees(steps: Vec<Step>) -> bool {
        let scratch = Scratch::new("agrees");
        let (mut redb, mut memory) = (Redb::open(&scratch.0).unwrap(), Memory::default());
        let mut batch: Vec<Write> = Vec::new();
        let mut same = true;
        for step in steps {
            let actual = entries(&mut memory).1.get(&format!("k{}", step.key)).map_or(0, |entry| entry.0);
            // Mostly the right expectation, so that something happens.
            let expect = if step.expect < 8 { actual } else { u64::from(step.expect) - 8 };
            batch.push(Write { key: format!("k{}", step.key), expect, value: step.value.map(Into::into) });
            if step.ends_batch {
                same &= redb.commit(&batch) == memory.commit(&batch);
                batch.clear();
            }
            if step.reopens {
                drop(redb);
                redb = Redb::open(&scratch.0).unwrap();
            }
        }
        same && entries(&mut redb) == entries(&mut memory)
    }
    QuickCheck::new().tests(60).quickcheck(agrees as fn(Vec<Step>) -> bool);
}

#[test]
fn a_directory_serves_one_process() {
    let scratch = Scratch::new("lock");
    let directory = scratch.0.join("made/on/the/way");
    let held = Redb::open(&directory).unwrap();
    let want = format!("{} is in use by another miniku (pid {})", directory.display(), std::process::id());
    assert_eq!(open_error(&directory), want);
    drop(held);
    Redb::open(&directory).unwrap();
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
}

/// Opens a store whose file is `bytes`; it must be refused with `words` and stay as it is.
fn check_refused(name: &str, bytes: &[u8], words: &str) {
    let scratch = Scratch::new(name);
    std::fs::write(scratch.file(), bytes).unwrap();
    let error = open_error(&scratch.0);
    assert!(error.contains(words), "{name}: {error}");
    assert!(std::fs::read(scratch.file()).unwrap() == bytes, "{name}: the file was changed");
}

/// A redb file made by somebody else; dropped without closing if `killed`.
fn redb_file(killed: bool, fill: impl FnOnce(&Database)) -> Vec<u8> {
    let scratch = Scratch::new("foreign");
    std::fs::create_dir_all(&scratch.0).unwrap();
    let database = Database::create(scratch.file()).unwrap();
    fill(&database);
    if killed {
        // Read while it is open: what a crash leaves.
        return std::fs::read(scratch.file()).unwrap();
    }
    drop(database);
    std::fs::read(scratch.file()).unwrap()
}

fn fill_numbers(name: &'static str, rows: &'static [(&'static str, u64)]) -> impl FnOnce(&Database) {
    move |database| {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(TableDefinition::<&str, u64>::new(name)).unwrap();
            for (key, value) in rows {
                table.insert(key, value).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

#[test]
fn refuses_what_is_not_its_own() {
    check_refused("empty", b"", "is empty");
    check_refused("short", b"redb", "not a redb file");
    check_refused("text", b"apiVersion: v1\nkind: Pod\n".repeat(1000).as_slice(), "not a redb file");
    check_refused("magic", b"redb\x1A\x0A\xA9\x0D\x0A", "damaged");
    check_refused("zeros", &[0; 1 << 20], "not a redb file");
    for killed in [false, true] {
        check_refused("foreign-a", &redb_file(killed, fill_numbers("theirs", &[("x", 1)])), "without miniku's tables");
        check_refused("foreign-b", &redb_file(killed, fill_numbers("miniku", &[("x", 1)])), "names no format");
        check_refused(
            "newer",
            &redb_file(killed, fill_numbers("miniku", &[("format", 2)])),
            "format 2, which needs a newer",
        );
        check_refused("half", &redb_file(killed, fill_numbers("miniku", &[("format", 1)])), "without miniku's tables");
        check_refused("nothing", &redb_file(killed, |_| {}), "without miniku's tables");
    }
    let scratch = Scratch::new("directory");
    std::fs::create_dir(scratch.file()).unwrap();
    assert!(open_error(&scratch.0).contains("not a regular file"));
    let scratch = Scratch::new("fifo");
    nix::unistd::mkfifo(&scratch.file(), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(open_error(&scratch.0).contains("not a regular file"));
}

#[test]
fn an_unreadable_file_is_refused() {
    let scratch = Scratch::new("unreadable");
    drop(Redb::open(&scratch.0).unwrap());
    std::fs::set_permissions(scratch.file(), PermissionsExt::from_mode(0o000)).unwrap();
    // Root may read everything, so a child without its capabilities tries.
    if nix::unistd::geteuid().is_root() {
        std::fs::set_permissions(&scratch.0, PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::set_permissions(scratch.0.join("lock"), PermissionsExt::from_mode(0o666)).unwrap();
        let status = Command::new("setpriv")
            .args(["--reuid=65534", "--clear-groups", "--inh-caps=-all", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "an_unreadable_file_is_refused"])
            .env("MINIKU_TEST_DIRECTORY", &scratch.0)
            .output();
        match status {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => eprintln!("skipped: no setpriv"),
            output => assert!(output.as_ref().unwrap().status.success(), "{output:?}"),
        }
    } else {
        let directory = std::env::var_os("MINIKU_TEST_DIRECTORY").map_or(scratch.0.clone(), PathBuf::from);
        assert!(
            matches!(Redb::open(&directory), Err(EngineError::Io { what: "open", .. })),
            "{}",
            open_error(&directory)
        );
    }
}

/// A store with enough in it to have inner pages.
fn filled(scratch: &Scratch, killed: bool) -> (Vec<u8>, [(u64, Entries); 2]) {
    let mut redb = Redb::open(&scratch.0).unwrap();
    let mut before = (0, Entries::new());
    for round in 0..20 {
        before = entries(&mut redb);
        let batch: Vec<Write> = (0..20).map(|i| put(&format!("pods/{round}/{i}"), 0, &"v".repeat(200 + i))).collect();
        assert!(redb.commit(&batch).iter().all(|outcome| matches!(outcome, Outcome::Committed { .. })));
    }
    let last = entries(&mut redb);
    let open = std::fs::read(scratch.file()).unwrap();
    drop(redb);
    let bytes = if killed { open } else { std::fs::read(scratch.file()).unwrap() };
    (bytes, [last, before])
}

/// A store with some bytes flipped, or its end cut off, is refused unchanged, or was hit where nothing is.
///
/// After a kill there is one exception: if the last commit's own root or checksum was hit, it looks like a commit that
/// was cut short, and the one before it counts. See docs/why/storage.md.
#[test]
fn damage_is_an_error_and_changes_nothing() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    for killed in [false, true] {
        let scratch = Scratch::new("damage");
        let (bytes, [last, before]) = filled(&scratch, killed);
        let mut g = Gen::new(100);
        let mut panics = Vec::new();
        for round in 0..rounds {
            let mut damaged = bytes.clone();
            let place = match round % 3 {
                // The header, the pages in use, the length.
                0 => usize::from(u16::arbitrary(&mut g)) % 400,
                _ => (u32::arbitrary(&mut g) as usize) % damaged.len(),
            };
            match round % 3 {
                2 => damaged.truncate(place),
                _ => damaged[place] ^= 1 << (u8::arbitrary(&mut g) % 8),
            }
            std::fs::write(scratch.file(), &damaged).unwrap();
            let opened = catch_unwind(AssertUnwindSafe(|| Redb::open(&scratch.0).map(|mut redb| entries(&mut redb))));
            match opened {
                Err(_) => panics.push((round % 3, place)),
                Ok(Ok(got)) => {
                    assert!(got == last || (killed && got == before), "{killed} {round} {place}: other content");
                }
                Ok(Err(_)) => {
                    assert!(std::fs::read(scratch.file()).unwrap() == damaged, "{killed} {round} {place}: changed")
                }
            }
        }
        assert!(panics.is_empty(), "killed {killed}: {panics:?}");
    }
}

/// On a small file system of its own, seen by a child process only.
#[test]
fn a_full_disk_fails_writes_and_nothing_else() {
    const INSIDE: &str = "MINIKU_TEST_SMALL_DISK";
    if let Some(directory) = std::env::var_os(INSIDE) {
        return fill_disk(Path::new(&directory));
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let scratch = Scratch::new("full");
    let script = r#"mount -t tmpfs -o size=6m none "$1" && exec "$2" --exact a_full_disk_fails_writes_and_nothing_else --nocapture"#;
    let output = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(&scratch.0)
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, &scratch.0)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("disk was full"), "{}", text(&output.stdout));
}

fn fill_disk(directory: &Path) {
    let mut redb = Redb::open(&directory.join("data")).unwrap();
    let value = "v".repeat(10_000);
    let mut known = Entries::new();
    let mut revision = 0;
    let mut write = |redb: &mut Redb, key: String| match &redb.commit(&[put(&key, 0, &value)])[..] {
        [Outcome::Committed { revision: new }] => {
            assert!(*new == revision + 1, "{new} after {revision}");
            revision = *new;
            known.insert(key, (*new, value.clone().into_bytes()));
            None
        }
        [Outcome::Failed { message }] => Some(message.clone()),
        other => panic!("{other:?}"),
    };
    // Something that can be taken away again.
    std::fs::write(directory.join("ballast"), vec![0; 1 << 20]).unwrap();
    let failed = (0..2000).find_map(|index| write(&mut redb, format!("pods/{index}"))).expect("the disk fills");
    println!("disk was full: {failed}");
    assert!(failed.contains("No space left"), "{failed}");
    for _ in 0..5 {
        // May fit, since a smaller page may be free; must not break anything.
        write(&mut redb, "again".into());
    }
    std::fs::remove_file(directory.join("ballast")).unwrap();
    for index in 0..5 {
        assert_eq!(write(&mut redb, format!("later/{index}")), None);
    }
    assert!(entries(&mut redb).1 == known);
    drop(redb);
    let mut redb = Redb::open(&directory.join("data")).unwrap();
    assert!(entries(&mut redb) == (revision, known));
}
