//! The simulator: what it costs to run clusters of many sizes with all checkers on, in one thread.

use crate::Chosen;
use crate::measure::Spread;
use crate::process::Fail;
use crate::table::{Outside, figure};
use miniku_sim::run::{Options, run};
use miniku_sim::world::World;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// How many nodes, how many pods, how long a run, and how often.
const SIZES: [(usize, usize, u64, usize); 4] =
    [(10, 100, 3_600, 3), (100, 1_000, 900, 3), (1_000, 10_000, 300, 3), (5_000, 50_000, 120, 1)];
/// A cluster is counted as started after this time; all of its pods run before.
const STARTED: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// So much of a day is simulated where the whole one was not asked for.
const PART_OF_DAY: Duration = Duration::from_secs(600);
/// Asks for the whole day; no other word does, since it takes minutes.
const WHOLE_DAY: &str = "sim-day";

/// Runs those that were chosen.
pub fn run_all(chosen: &Chosen, rows: &mut Vec<Outside>) {
    let mut add = |name: &str, measure: &dyn Fn() -> Result<(String, String, &'static str), Fail>| {
        if !chosen.has(name) {
            return;
        }
        match measure() {
            Ok((figure, further, goal)) => {
                rows.push(Outside { what: name.into(), figure, further, peer: goal.into() });
                eprintln!("{}", rows[rows.len() - 1]);
            }
            Err(fail) => eprintln!("left out: {name}: {fail}"),
        }
    };
    add("sim: runs a second, 6 nodes, 12 pods, 400 s", &|| Ok(small_runs()));
    for (nodes, pods, secs, times) in SIZES {
        let name = format!("sim: events a second, {nodes} nodes, {pods} pods, {secs} s");
        add(&name, &|| Ok(events(nodes, pods, Duration::from_secs(secs), times)));
    }
    let whole = chosen.0.iter().any(|word| word == WHOLE_DAY);
    let how = if whole { "" } else { ", extrapolated" };
    add(&format!("sim: a day of 1000 nodes, 10000 pods{how} ({WHOLE_DAY})"), &|| Ok(day(whole)));
    add("sim: peak memory, 5000 nodes, 150000 pods", &peak);
}

fn spread(samples: Vec<f64>) -> String {
    let Spread { median, min, max } = Spread::of(samples);
    format!("{} ({}–{})", figure(median), figure(min), figure(max))
}

fn secs_of(run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64()
}

fn small_runs() -> (String, String, &'static str) {
    const RUNS: u64 = 40;
    let mut seed = 0;
    let sample = |_| {
        let took = secs_of(|| {
            for _ in 0..RUNS {
                seed += 1;
                let summary = run(&Options { seed, ..Options::default() });
                assert_eq!(summary.violation, None, "seed {seed}");
            }
        });
        RUNS as f64 / took
    };
    (spread((0..5).map(sample).collect()), String::new(), "100")
}

fn begin(nodes: usize, pods: usize, duration: Duration) -> World {
    Options { nodes, pods, duration, faults: true, ..Options::default() }.begin()
}

/// Simulates up to a time. Tells how many events that were.
fn events_until(world: &mut World, until: Duration) -> u64 {
    let before = world.counts().events;
    world.run_until(miniku_core::time::Instant::default() + until);
    assert_eq!(world.violation(), None, "a benchmark runs a cluster that is well");
    world.counts().events - before
}

/// Of the whole run, and apart: while the cluster starts, and once it has.
fn events(nodes: usize, pods: usize, duration: Duration, times: usize) -> (String, String, &'static str) {
    let (mut whole, mut starting, mut steady) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        let mut world = begin(nodes, pods, duration);
        let (mut first, mut then) = (0, 0);
        let first_secs = secs_of(|| first = events_until(&mut world, STARTED));
        let then_secs = secs_of(|| then = events_until(&mut world, duration));
        whole.push((first + then) as f64 / (first_secs + then_secs));
        starting.push(first as f64 / first_secs);
        steady.push(then as f64 / then_secs);
    }
    let goal = match nodes {
        100 => "500 k",
        1_000 => "300 k",
        _ => "",
    };
    (spread(whole), format!("starting {}, then {}", spread(starting), spread(steady)), goal)
}

fn day(whole: bool) -> (String, String, &'static str) {
    let simulated = if whole { DAY } else { STARTED + PART_OF_DAY };
    let mut world = begin(1_000, 10_000, simulated);
    let (mut first, mut then) = (0, 0);
    let first_secs = secs_of(|| first = events_until(&mut world, STARTED));
    let then_secs = secs_of(|| then = events_until(&mut world, simulated));
    let share = (DAY - STARTED).as_secs_f64() / (simulated - STARTED).as_secs_f64();
    let (events, secs) = (first as f64 + then as f64 * share, first_secs + then_secs * share);
    (format!("{} s", figure(secs)), format!("{} events", figure(events)), "300 s")
}

/// In a process of its own, since the system tells the peak of a process.
fn peak() -> Result<(String, String, &'static str), Fail> {
    let output = Command::new(std::env::current_exe()?).args(["sim-peak", "5000", "150000", "30"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mebibytes, running) =
        text.trim().split_once(' ').ok_or_else(|| Fail(format!("the run ended with {}", output.status)))?;
    Ok((format!("{mebibytes} MiB"), format!("{running} pods run"), "1536 MiB"))
}

/// Runs a cluster and tells the peak of its memory and how many pods run in the end: what the parent asks for.
pub fn peak_of(arguments: &[String]) -> ExitCode {
    let numbers: Vec<u64> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
    let &[nodes, pods, secs] = numbers.as_slice() else { return ExitCode::FAILURE };
    let (nodes, pods) = (nodes as usize, pods as usize);
    let summary = run(&Options { nodes, pods, duration: Duration::from_secs(secs), ..Options::default() });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    match (kilobytes, summary.violation) {
        (Some(kilobytes), None) => {
            println!("{} {}", kilobytes / 1024, summary.running);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}
