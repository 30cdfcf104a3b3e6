//! Exploring: many runs, what they reach, and which of the planted bugs they find.
//!
//! A run is a scenario and a seed. Whoever has several processors calls this from several threads with seeds of
//! their own; nothing here starts one, and what is counted or switched on is the calling thread's.

use crate::scenario::Scenario;
use crate::story::Failure;
use crate::world::Counts;
use crate::{library, swarm};
use miniku_core::coverage;
#[cfg(feature = "planted")]
use miniku_core::planted::{self, Mistake};
use miniku_core::time::Instant;
use std::fmt;
use std::ops::Range;

/// A scenario and a seed.
#[derive(Clone, Debug)]
pub struct Run {
    /// What happens.
    pub scenario: Scenario,
    /// Everything that is drawn.
    pub seed: u64,
}

/// What came of one run.
#[derive(Debug)]
pub struct Outcome {
    /// How much happened.
    pub counts: Counts,
    /// When it ended, in the simulated world.
    pub simulated: Instant,
    /// Which places it reached.
    pub coverage: Coverage,
    /// How it failed, if it did.
    pub failure: Option<Box<Failure>>,
}

/// In how many runs each place was reached.
#[derive(Debug, Default)]
pub struct Coverage {
    /// How many runs there were.
    pub runs: u64,
    /// For each place, in how many of them it was reached.
    pub reached: coverage::Counts,
}

impl Coverage {
    /// Adds that of other runs.
    pub fn add(&mut self, other: &Coverage) {
        self.runs += other.runs;
        self.reached.add(&other.reached);
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, runs) in self.reached.iter() {
            let never = if runs == 0 { "   NEVER" } else { "" };
            writeln!(f, "{runs:>9} of {}  {}{never}", self.runs, place.name())?;
        }
        Ok(())
    }
}

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Explored {
    /// How many events happened in them.
    pub events: u64,
    /// How many seconds passed in them.
    pub simulated_secs: u64,
    /// What they reached.
    pub coverage: Coverage,
    /// The first that broke a statement, and how. None was run after it.
    pub broken: Option<(Run, Box<Failure>)>,
}

/// Every scenario of the library once, and then the random one with these seeds.
pub fn runs(seeds: Range<u64>) -> impl Iterator<Item = Run> {
    library::all().map(|scenario| Run { scenario, seed: 1 }).chain(drawn(seeds))
}

/// The random scenario with these seeds.
pub fn drawn(seeds: Range<u64>) -> impl Iterator<Item = Run> {
    seeds.map(|seed| Run { scenario: swarm::scenario(seed), seed })
}

/// One run.
pub fn explore(scenario: &Scenario, seed: u64) -> Outcome {
    // What this thread reached before is none of this run's doing.
    coverage::take();
    let told = scenario.run(seed);
    let coverage = Coverage { runs: 1, reached: coverage::take().once() };
    match told {
        Ok(world) => Outcome { counts: world.counts(), simulated: world.now(), coverage, failure: None },
        Err(failure) => {
            let (counts, simulated) = (failure.counts, failure.violation.at);
            Outcome { counts, simulated, coverage, failure: Some(Box::new(failure)) }
        }
    }
}

/// Runs until a statement is broken, or all are done.
pub fn until_broken(runs: impl IntoIterator<Item = Run>) -> Explored {
    let mut explored = Explored::default();
    for run in runs {
        let outcome = explore(&run.scenario, run.seed);
        explored.events += outcome.counts.events;
        explored.simulated_secs += outcome.simulated.nanos() / 1_000_000_000;
        explored.coverage.add(&outcome.coverage);
        if let Some(failure) = outcome.failure {
            explored.broken = Some((run, failure));
            break;
        }
    }
    explored
}

/// The same with a mistake switched on.
#[cfg(feature = "planted")]
pub fn hunt(mistake: Mistake, runs: impl IntoIterator<Item = Run>) -> Explored {
    planted::set(Some(mistake));
    let explored = until_broken(runs);
    planted::set(None);
    explored
}
