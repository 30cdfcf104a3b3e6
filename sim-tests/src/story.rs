//! Stories: a cluster, what is done to it, and what is expected; run for any seed.
//!
//! Times are offsets from the start. Each expectation has a name and must come true within its time. At the end the
//! world must settle: reach what is wished for, and stay there in silence.

use crate::cluster::Cluster;
use crate::invariants::{Broken, Violation, stable};
use crate::plan::{Fault, Plan};
use crate::trace::Mode;
use crate::truth::Truth;
use crate::world::World;
use miniku_core::program::Verb;
use miniku_core::time::{Duration, Instant};
use std::fmt;

/// Something that must become true in time.
pub struct Expectation {
    /// Its name, a statement.
    pub name: String,
    /// Looked at from this time on.
    pub from: Duration,
    /// For so long.
    pub within: Duration,
    /// Whether it is so.
    pub so: Box<dyn Fn(&Truth) -> bool>,
}

/// How a story ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It settles within this time after the last fault, and is silent then.
    Settles(Duration),
    /// It goes on at least until then: something in it never rests.
    GoesOn(Duration),
}

/// A cluster, what is done to it, and what is expected.
pub struct Story {
    /// The cluster.
    pub cluster: Cluster,
    /// What is done to it.
    pub plan: Plan,
    /// What is expected.
    pub expectations: Vec<Expectation>,
    /// How it ends.
    pub ending: Ending,
}

/// A story for each seed.
pub struct Scenario {
    /// Unique; the name of its trace file, if it has one.
    pub name: &'static str,
    /// What one learns from it.
    pub about: &'static str,
    /// The story for a seed.
    pub story: fn(u64) -> Story,
}

/// So many seconds from the start, or for so long.
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Story {
    /// A story in which nothing happens yet.
    pub fn of(cluster: Cluster) -> Self {
        let ending = Ending::Settles(stable::BOUND);
        Story { cluster, plan: Plan::default(), expectations: Vec::new(), ending }
    }

    /// An operator asks for something.
    pub fn at(mut self, at: Duration, verb: Verb) -> Self {
        self.plan.ask(at, verb);
        self
    }

    /// A fault strikes.
    pub fn fault(mut self, at: Duration, fault: Fault) -> Self {
        self.plan.strike(at, fault);
        self
    }

    /// Something must become true.
    pub fn expect(
        mut self,
        from: Duration,
        within: Duration,
        name: impl Into<String>,
        so: impl Fn(&Truth) -> bool + 'static,
    ) -> Self {
        self.expectations.push(Expectation { name: name.into(), from, within, so: Box::new(so) });
        self
    }

    /// Something in it never rests.
    pub fn goes_on(mut self, until: Duration) -> Self {
        self.ending = Ending::GoesOn(until);
        self
    }

    /// Tells it. The world is as the story left it, with the first violation if there was one.
    pub fn tell(self, trace: Mode) -> World {
        let Story { cluster, plan, mut expectations, ending } = self;
        let mut world = cluster.trace(trace).begin(&plan);
        let start = Instant::default();
        expectations.sort_by_key(|one| one.from);
        for expectation in expectations {
            world.run_until(start + expectation.from);
            let until = start + expectation.from + expectation.within;
            if world.violation().is_none() && !world.run_until_so(until, &expectation.so) {
                let what =
                    format!("not within {} s after {} s", expectation.within.as_secs(), expectation.from.as_secs());
                let at = world.now();
                world.fail(Violation {
                    name: "expected".into(),
                    statement: expectation.name,
                    at,
                    broken: Broken::by(what),
                });
            }
        }
        if world.violation().is_some() {
            return world;
        }
        match ending {
            Ending::GoesOn(until) => world.run_until(start + until),
            Ending::Settles(bound) => {
                let from = world.now().max(start + plan.end());
                if let Err(what) = stable::settle(&mut world, from, bound) {
                    let statement = first_line(include_str!("invariants/stable.rs"));
                    let at = world.now();
                    world.fail(Violation { name: "L-stable".into(), statement, at, broken: Broken::by(what) });
                }
            }
        }
        world
    }
}

fn first_line(source: &str) -> String {
    let line = source.lines().next().unwrap_or_default();
    line.split_once(": ").map_or(line, |(_, statement)| statement).to_owned()
}

impl Scenario {
    /// Runs it for a seed. If it fails, it is run again to tell what came before.
    #[allow(clippy::result_large_err, reason = "a failure ends the run, and is moved once")]
    pub fn run(&self, seed: u64) -> Result<World, Failure> {
        let world = (self.story)(seed).tell(Mode::Off);
        let Some(violation) = world.violation().cloned() else { return Ok(world) };
        let story = (self.story)(seed);
        let plan = story.plan.clone();
        let again = story.tell(Mode::Last(LAST));
        let last = again.trace().lines().map(str::to_owned).collect();
        let same = again.violation() == Some(&violation) && again.trace().digest() == world.trace().digest();
        Err(Failure { scenario: self.name, seed, violation, plan, last, same })
    }
}

/// How many events are told of a failure.
const LAST: usize = 40;

/// A run that broke a statement, and all that is needed to see it again.
pub struct Failure {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
    /// What was done.
    pub plan: Plan,
    /// The last events before it.
    pub last: Vec<String>,
    /// Whether it came out the same when it was run again.
    pub same: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { scenario, seed, violation, plan, last, same } = self;
        let Violation { name, statement, at, broken } = violation;
        let millis = at.nanos() / 1_000_000;
        writeln!(f, "{name} is broken in `{scenario}`, seed {seed}, at {}.{:03} s", millis / 1000, millis % 1000)?;
        writeln!(f, "  should be: {statement}\n  but:       {}", broken.what)?;
        for object in &broken.objects {
            writeln!(f, "  object:    {object:?}")?;
        }
        write!(f, "plan:\n{plan}last events:\n")?;
        last.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        if !same {
            writeln!(f, "It came out otherwise when it was run again: the run is not a function of its seed.")?;
        }
        write!(f, "again: MINIKU_SIM_SEED={seed} cargo test -p miniku-sim --test scenarios {scenario}")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
