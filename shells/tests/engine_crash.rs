//! `kill -9` at any moment: every acknowledged write is there afterwards, and no revision is given twice.
//!
//! The page cache survives a killed process, so this proves the engine's order and recovery, not the disk's flushes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use miniku::engine::committer::Committer;
use miniku::engine::redb::Redb;
use miniku::engine::{Engine, Outcome, Write};
use quickcheck::{Arbitrary, Gen};

const CHILD: &str = "MINIKU_TEST_CRASH_DIRECTORY";
const KILLS: usize = 30;
const KEYS: usize = 40;

/// The value of a key's nth write says which one it is.
fn value(key: usize, count: u64) -> Vec<u8> {
    let mut text = format!("{{\"key\":{key},\"count\":{count},\"pad\":\"");
    text.extend(std::iter::repeat_n('x', (key * 97 + count as usize * 31) % 3000));
    text += "\"}";
    text.into_bytes()
}

/// Writes as fast as it can and tells each outcome on standard output, until it is killed.
fn child(directory: &Path) {
    let mut redb = Redb::open(directory).unwrap();
    let mut known: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    redb.load(&mut |key, revision, value| {
        let key: usize = key.strip_prefix("k/").unwrap().parse().unwrap();
        let text = String::from_utf8(value.to_vec()).unwrap();
        let count = text.split("\"count\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        known.insert(key, (revision, count));
    })
    .unwrap();
    // Counts go on, over deletions as well.
    let mut count = std::env::var("MINIKU_TEST_CRASH_COUNT").unwrap().parse::<u64>().unwrap();
    type Done = Box<dyn FnOnce(Outcome) + Send>;
    let tell = |all: Vec<(Done, Outcome)>| all.into_iter().for_each(|(done, outcome)| done(outcome));
    let committer = Committer::start(Box::new(redb), tell).unwrap();
    let known = Arc::new(Mutex::new(known));
    loop {
        let (sender, answers) = crossbeam_channel::bounded(KEYS);
        // One write a key at a time, different keys at once; every seventh is a deletion.
        for key in 0..1 + count as usize % KEYS {
            count += 1;
            let expect = known.lock().unwrap().get(&key).map_or(0, |(revision, _)| *revision);
            let deletes = count.is_multiple_of(7) && expect != 0;
            let value = (!deletes).then(|| value(key, count).into());
            let (known, sender) = (known.clone(), sender.clone());
            let write = Write { key: format!("k/{key}"), expect, value };
            let done = move |outcome| {
                let Outcome::Committed { revision } = outcome else { panic!("{outcome:?}") };
                // One write call a line, so that a killed child leaves no half of one.
                let line = format!("{key} {count} {revision} {}\n", u8::from(deletes));
                std::io::stdout().write_all(line.as_bytes()).unwrap();
                std::io::stdout().flush().unwrap();
                match deletes {
                    true => known.lock().unwrap().remove(&key),
                    false => known.lock().unwrap().insert(key, (revision, count)),
                };
                sender.send(()).unwrap();
            };
            assert!(committer.submit(write, Box::new(done)).is_ok());
        }
        drop(sender);
        while answers.recv().is_ok() {}
    }
}

/// What a key held when it was last heard of: the revision, and the value or that it was deleted.
type Known = BTreeMap<usize, (u64, Option<Vec<u8>>)>;

#[test]
fn acknowledged_writes_survive_kill_9() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return child(Path::new(&directory));
    }
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64);
    eprintln!("again with SEED={seed}");
    let mut g = Gen::from_size_and_seed(100, seed);
    let directory = std::env::temp_dir().join(format!("miniku-crash-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let mut known = Known::new();
    let mut last_revision = 0;
    let mut total = 0;
    for round in 0..KILLS {
        let started_after = last_revision;
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "acknowledged_writes_survive_kill_9", "--nocapture"])
            .env(CHILD, &directory)
            .env("MINIKU_TEST_CRASH_COUNT", (round as u64 * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // The harness says something first. Some children die while they open the store.
        let delay = Duration::from_micros(u64::from(u32::arbitrary(&mut g)) % 150_000);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            process.kill().unwrap();
            process.wait().unwrap();
        });
        while let Some(Ok(line)) = lines.next() {
            let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
            let [key, count, revision, deleted] = numbers[..] else { continue };
            assert!(revision > last_revision, "seed {seed} round {round}: {revision} after {last_revision}");
            last_revision = revision;
            total += 1;
            known.insert(key as usize, (revision, (deleted == 0).then(|| value(key as usize, count))));
        }
        killer.join().unwrap();
        let mut stored: BTreeMap<usize, (u64, Vec<u8>)> = BTreeMap::new();
        let mut redb = Redb::open(&directory).unwrap_or_else(|error| panic!("seed {seed} round {round}: {error}"));
        let current = redb
            .load(&mut |key, revision, value| {
                stored.insert(key.strip_prefix("k/").unwrap().parse().unwrap(), (revision, value.to_vec()));
            })
            .unwrap();
        let at = format!("seed {seed} round {round} after {delay:?}");
        assert!(current >= last_revision && current >= started_after, "{at}: {current} < {last_revision}");
        for (key, (told, value)) in &known {
            match (stored.get(key), value) {
                // Written again, or deleted, after what was told: in flight when the child died.
                (Some((revision, _)), _) if *revision > last_revision => {}
                (None, _) if current > last_revision => {}
                (Some((revision, bytes)), Some(value)) if revision == told && bytes == value => {}
                (None, None) => {}
                (found, _) => panic!("{at}: {key} had {told}, now {:?}", found.map(|(revision, _)| revision)),
            }
        }
        assert!(stored.values().all(|(revision, _)| *revision <= current), "{at}");
        last_revision = current;
        known = stored.into_iter().map(|(key, (revision, bytes))| (key, (revision, Some(bytes)))).collect();
    }
    eprintln!("{total} acknowledged writes, {KILLS} kills");
    assert!(total > 100, "the children hardly ran");
    std::fs::remove_dir_all(&directory).unwrap();
}
