//! The simulator tests itself: each planted bug is found, and by a checker that is meant for it.
//!
//! Needs the feature: `cargo test -p miniku-sim --features planted --test planted_bugs`. An honest search has no hint:
//! `miniku sim explore --planted all`, which takes a quarter of an hour. Here each bug is looked for first in the run in
//! which such a search has found it, and everywhere only if it does not show there any more.

use miniku_core::planted::{Mistake, Planted, TABLE};
use miniku_sim::explore::{self, Run};
use miniku_sim::{library, swarm};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where each bug was seen: its name, the scenario (`swarm` for a random one) and the seed. A row that is out of date costs
/// time; with `--nocapture` the test prints what it is to be.
const SEEN: &str = include_str!("planted_bugs.txt");

/// So many random runs find what does not show any more where it was seen.
const SEEDS: u64 = 2_000;

/// The rows of [`SEEN`].
fn seen() -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    SEEN.lines().map(|line| {
        let mut words = line.split(' ');
        let (Some(name), Some(scenario), Some(seed), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            panic!("not a name, a scenario and a seed: {line}");
        };
        (name, scenario, seed.parse().unwrap_or_else(|_| panic!("not a seed: {line}")))
    })
}

fn run(scenario: &str, seed: u64) -> Run {
    match scenario {
        "swarm" => Run { scenario: swarm::scenario(seed), seed },
        name => Run { scenario: library::all().find(|one| one.name == name).expect("a scenario of the library"), seed },
    }
}

fn found(row: &Planted) -> Result<(), String> {
    let bug = Mistake::Bug(row.bug);
    let there = seen().find(|(name, ..)| *name == row.name).map(|(_, scenario, seed)| run(scenario, seed));
    let mut explored = explore::hunt(bug, there);
    if explored.broken.is_none() {
        explored = explore::hunt(bug, explore::runs(1..SEEDS + 1));
        if let Some((run, _)) = &explored.broken {
            println!("moved: {} {} {}", row.name, run.scenario.name, run.seed);
        }
    }
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
    let named: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(seen().map(|(name, ..)| name).collect::<Vec<_>>(), named, "each has a row, in this order");
}

#[test]
fn without_a_bug_nothing_is_found() {
    let explored = explore::until_broken(explore::runs(1..20));
    assert!(explored.broken.is_none(), "{:?}", explored.broken);
}
