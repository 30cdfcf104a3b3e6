//! Exploring: many runs in a row, what they reach, and which of the planted bugs they find.
//!
//! A run is a scenario and a seed. Whoever has several processors calls this from several threads with seeds of
//! their own; nothing here starts one, and what is counted or switched on is the calling thread's.

use crate::invariants::Violation;
use crate::scenario::Scenario;
use crate::scenarios::{self, SCENARIOS};
use crate::trace::Mode;
use miniku_core::coverage;
#[cfg(feature = "planted")]
use miniku_core::planted::{self, Planted};
use std::ops::Range;

/// A scenario and a seed.
#[derive(Clone, Copy)]
pub struct Run {
    /// What happens.
    pub scenario: &'static Scenario,
    /// Everything that is drawn.
    pub seed: u64,
}

/// What came of runs.
#[derive(Debug, Default)]
pub struct Explored {
    /// How many there were.
    pub runs: u64,
    /// How many events happened in them.
    pub events: u64,
    /// How many seconds passed in them.
    pub simulated_secs: u64,
    /// In how many of them each place was reached.
    pub reached: coverage::Counts,
    /// The first that broke a statement. None was run after it.
    pub broken: Option<Broke>,
}

/// A run that broke a statement.
#[derive(Clone, Debug)]
pub struct Broke {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
}

/// Every scenario once, and then the random one with these seeds.
pub fn runs(seeds: Range<u64>) -> impl Iterator<Item = Run> {
    let told = SCENARIOS.iter().filter(|scenario| scenario.name != SWARM).map(|scenario| Run { scenario, seed: 1 });
    told.chain(swarm(seeds))
}

/// The random scenario with these seeds.
pub fn swarm(seeds: Range<u64>) -> impl Iterator<Item = Run> {
    let scenario = scenarios::named(SWARM).expect("the random scenario is one of them");
    seeds.map(move |seed| Run { scenario, seed })
}

const SWARM: &str = "swarm";

/// Runs until a statement is broken, or all are done.
pub fn explore(runs: impl IntoIterator<Item = Run>) -> Explored {
    let mut explored = Explored::default();
    // What this thread reached before is none of these runs' doing.
    coverage::take();
    for Run { scenario, seed } in runs {
        let world = (scenario.story)(seed).tell(Mode::Off);
        explored.runs += 1;
        explored.events += world.counts().events;
        explored.simulated_secs += world.now().nanos() / 1_000_000_000;
        explored.reached.add(&coverage::take().once());
        if let Some(violation) = world.violation() {
            explored.broken = Some(Broke { scenario: scenario.name, seed, violation: violation.clone() });
            break;
        }
    }
    explored
}

/// The same with a bug switched on.
#[cfg(feature = "planted")]
pub fn hunt(bug: &Planted, runs: impl IntoIterator<Item = Run>) -> Explored {
    planted::set(Some(bug.bug));
    let explored = explore(runs);
    planted::set(None);
    explored
}
