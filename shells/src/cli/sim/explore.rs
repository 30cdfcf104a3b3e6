//! `sim explore`: many seeds at once.

use crate::cli::sim::choice::named;
use crate::cli::sim::progress::{Progress, grouped, rate};
use crate::cli::sim::{SimError, Verdict, print, write};
use clap::Args;
use miniku_core::time::Instant;
use miniku_sim::explore::{Coverage, Outcome, explore};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// What is explored.
#[derive(Args, Debug)]
pub struct ExploreArgs {
    /// These seeds: A..B, without B
    #[arg(long, value_parser = seeds, default_value = "1..1001", value_name = "A..B")]
    pub seeds: Range<u64>,
    /// A scenario: a file, the name of one that comes with miniku, or swarm, which is another one for each seed
    #[arg(long, default_value = "swarm", value_name = "FILE|NAME")]
    pub scenario: String,
    /// So many at once; as many as there are processors if absent
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Stop after so many failures
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub failures: usize,
    /// Write the scenarios that fail to this directory
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
    /// Tell how often each interesting thing happened, and which never did
    #[arg(long)]
    pub coverage: bool,
    /// Switch on each bug that was planted to test the simulator, or the one of this name, and tell what finds it;
    /// `rows` lets each row of each decision table decide like another one
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "all|rows|NAME", conflicts_with_all = ["scenario", "failures", "save", "coverage"])]
    pub planted: Option<String>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text:?} are no seeds; examples: 1..1000, 42");
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => number(text)?..number(text)?.saturating_add(1),
    };
    if range.is_empty() { Err(format!("{text:?}: there is no seed in it")) } else { Ok(range) }
}

/// All that the threads share.
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    runs: u64,
    events: u64,
    simulated: u64,
    failures: BTreeMap<u64, Outcome>,
    coverage: Coverage,
}

/// Explores, and tells of each failure. What is found does not depend on `--jobs`, only which seeds were still begun
/// after the last failure that was asked for.
pub fn run(args: &ExploreArgs) -> Result<Verdict, SimError> {
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    #[cfg(feature = "planted")]
    if let Some(which) = &args.planted {
        return super::planted::run(which, &args.seeds, jobs);
    }
    named(&args.scenario, args.seeds.start)?;
    let shared =
        Shared { next: AtomicU64::new(args.seeds.start), stop: AtomicBool::new(false), found: Mutex::default() };
    let progress = Mutex::new(Progress::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(args, &shared, &progress));
        }
    });
    let mut progress = progress.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    progress.end();
    let found = shared.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = progress.seconds();
    for (seed, outcome) in found.failures.iter().take(args.failures) {
        let Some(failure) = &outcome.failure else { continue };
        let flags = format!("--scenario {} --seed {seed}", args.scenario);
        let again = format!("again:  miniku sim run {flags}\nshrink: miniku sim shrink {flags}\n\n");
        print(&format!("seed {seed}: {failure}{again}"))?;
        if let Some(directory) = &args.save {
            std::fs::create_dir_all(directory).map_err(|error| super::cannot_write(directory, &error))?;
            let mut scenario = named(&args.scenario, *seed)?;
            scenario.seed = Some(*seed);
            write(&directory.join(format!("{}-{seed}.yaml", scenario.name)), &scenario.text())?;
        }
    }
    print(&format!(
        "{} runs in {seconds:.1} s ({:.0} a second on {jobs} threads): {} events ({} a second), {} simulated hours, {} failed\n",
        grouped(found.runs),
        found.runs as f64 / seconds.max(1e-9),
        grouped(found.events),
        rate(found.events, seconds),
        grouped(found.simulated / 3_600),
        found.failures.len(),
    ))?;
    if args.coverage {
        print(&found.coverage.to_string())?;
    }
    Ok(if found.failures.is_empty() { Verdict::Held } else { Verdict::Broken })
}

fn work(args: &ExploreArgs, shared: &Shared, progress: &Mutex<Progress>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= args.seeds.end {
            return;
        }
        // It could be read once, so it can be read again, unless somebody changes the file meanwhile.
        let Ok(scenario) = named(&args.scenario, seed) else { return };
        let outcome = explore(&scenario, seed);
        let Ok(mut found) = shared.found.lock() else { return };
        found.runs += 1;
        found.events += outcome.counts.events;
        found.simulated += outcome.simulated.since(Instant::default()).as_secs();
        found.coverage.add(&outcome.coverage);
        if outcome.failure.is_some() {
            found.failures.insert(seed, outcome);
            if found.failures.len() >= args.failures {
                shared.stop.store(true, Ordering::Relaxed);
            }
        }
        let (runs, failed) = (found.runs, found.failures.len());
        drop(found);
        if let Ok(mut progress) = progress.lock() {
            progress.write(|seconds| {
                let per_second = runs as f64 / seconds.max(1e-9);
                format!("{} runs, {per_second:.0} a second, {failed} failed", grouped(runs))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges() {
        assert_eq!(seeds("1..10"), Ok(1..10));
        assert_eq!(seeds("42"), Ok(42..43));
        for wrong in ["", "x", "3..3", "5..2", "-1..4"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
