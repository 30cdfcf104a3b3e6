//! Stories: a cluster, what is done to it, and what is expected; run for any seed.
//!
//! Times are offsets from the start. Each expectation has a name and must come true within its time. At the end the
//! world must settle: reach what is wished for, and stay there in silence.

use crate::cluster::Cluster;
use crate::invariants::{Broken, Violation, stable};
use crate::plan::{Ask, Fault, Plan};
use crate::trace::{Entry, Mode};
use crate::truth::Truth;
use crate::world::{Counts, World};
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
    pub fn at(mut self, at: Duration, ask: Ask) -> Self {
        self.plan.ask(at, ask);
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
        let world = self.cluster.clone().trace(trace).begin(&self.plan);
        self.tell_in(world)
    }

    /// Tells it in a world that has just begun by its plan.
    pub fn tell_in(self, mut world: World) -> World {
        let Story { plan, mut expectations, ending, .. } = self;
        let start = Instant::default();
        expectations.sort_by_key(|one| one.from);
        for expectation in expectations {
            world.run_until(start + expectation.from);
            let until = start + expectation.from + expectation.within;
            if !world.is_over() && !world.run_until_so(until, &expectation.so) && !world.is_over() {
                let what =
                    format!("not within {} s after {} s", expectation.within.as_secs(), expectation.from.as_secs());
                let at = world.now();
                world.fail(Violation {
                    name: "expected".into(),
                    statement: expectation.name,
                    at,
                    seq: 0,
                    broken: Broken::by(what),
                });
            }
        }
        if world.is_over() {
            return world;
        }
        match ending {
            Ending::GoesOn(until) => world.run_until(start + until),
            Ending::Settles(bound) => {
                world.run_until(world.now().max(start + plan.end()));
                // What has waited in vain for its occasion does not disturb the end.
                world.disarm();
                let from = world.now().max(world.over());
                if let Err(what) = stable::settle(&mut world, from, bound) {
                    let statement = first_line(include_str!("invariants/stable.rs"));
                    let at = world.now();
                    world.fail(Violation { name: "L-stable".into(), statement, at, seq: 0, broken: Broken::by(what) });
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

/// Tells a story. If it fails, it is told again to find out what led to it, and that it fails again.
#[allow(clippy::result_large_err, reason = "a failure ends the run, and is moved once")]
pub fn tell(make: impl Fn() -> Story) -> Result<World, Failure> {
    let world = make().tell(Mode::Off);
    let Some(violation) = world.violation().cloned() else { return Ok(world) };
    let story = make();
    let plan = story.plan.clone();
    let again = story.tell(Mode::Last(KEPT));
    let seq = again.violation().map_or(0, |violation| violation.seq);
    let past = again.trace().past(seq, PAST).into_iter().cloned().collect();
    let shown = |entry: &&Entry| !entry.is_beat() && entry.line().is_some();
    let last = again.trace().entries().rev().filter(shown).take(LAST).cloned();
    let mut last: Vec<Entry> = last.collect();
    last.reverse();
    let same = again.violation() == Some(&violation) && again.trace().digest() == world.trace().digest();
    Err(Failure { violation, plan, past, last, counts: world.counts(), same })
}

/// So much of a failing run is kept to look for causes in.
const KEPT: usize = 500_000;
/// So many causes are told of a failure.
const PAST: usize = 30;
/// So many of the last events are told of a failure.
const LAST: usize = 15;

/// A run that broke a statement, and what led to it.
#[derive(Clone)]
pub struct Failure {
    /// What was broken.
    pub violation: Violation,
    /// What was done.
    pub plan: Plan,
    /// What led to it, the first cause first.
    pub past: Vec<Entry>,
    /// The last events before it.
    pub last: Vec<Entry>,
    /// How much had happened.
    pub counts: Counts,
    /// Whether it came out the same when it was run again.
    pub same: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { violation, plan, past, last, same, .. } = self;
        let Violation { name, statement, at, broken, .. } = violation;
        let millis = at.nanos() / 1_000_000;
        writeln!(f, "{name} is broken at {}.{:03} s", millis / 1000, millis % 1000)?;
        writeln!(f, "  should be: {statement}\n  but:       {}", broken.what)?;
        for object in &broken.objects {
            writeln!(f, "  object:    {}", crate::trace::object(object))?;
        }
        let lines = |f: &mut fmt::Formatter<'_>, entries: &[Entry]| {
            entries.iter().filter_map(Entry::line).try_for_each(|line| writeln!(f, "{line}"))
        };
        write!(f, "plan:\n{plan}what led to it:\n")?;
        lines(f, past)?;
        writeln!(f, "last events:")?;
        lines(f, last)?;
        if !same {
            writeln!(f, "It came out otherwise when it was run again: the run is not a function of its seed.")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
