//! Sweeps: a short scenario, run once as it is, then once for each thing that happened in it with that thing gone wrong.
//!
//! A program dies after each of its outputs; each of its requests is lost, doubled, late; each answer is lost though
//! the request was carried out; each watch is cut after each of its events, or expires there, and the list that follows
//! is as old as it may be. The half-done step, the missed event and the stale view are what most known bugs of
//! controllers are made of; here they are met one by one, without luck.
//!
//! Each variation is the scenario with one more entry or two in its plan, so it can be written to a file and run by
//! itself.

use crate::plan::{Act, Entry, Fault, Mishap, When};
use crate::scenario::Scenario;
use crate::story::Failure;
use crate::trace::Mode;
use crate::world::{Seen, World};
use miniku_core::rng::Draw;
use miniku_core::time::Duration;
use std::fmt;
use std::sync::Arc;

/// The library's scenarios that are short enough to be swept.
pub const CANONICAL: &[&str] =
    &["one-pod", "scale", "exits", "same-name", "collected", "drain", "kubelet-restart", "node-gone", "api-restart"];

/// What goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The program crashes right after an output.
    Crash,
    /// A request is lost.
    RequestLost,
    /// A request arrives twice.
    RequestDoubled,
    /// A request is ten seconds late.
    RequestLate,
    /// An answer is lost.
    ReplyLost,
    /// A watch is cut after an event.
    WatchCut,
    /// All watches expire after an event, and the next list is the newest.
    Expired,
    /// The same, and the next list is so many revisions older, as far as it may be.
    Stale(u64),
    /// Somebody changes the object that a request is about, right before that arrives.
    Conflict,
}

impl What {
    /// All of them.
    pub const ALL: &[What] = &[
        What::Crash,
        What::RequestLost,
        What::RequestDoubled,
        What::RequestLate,
        What::ReplyLost,
        What::WatchCut,
        What::Expired,
        What::Stale(1),
        What::Stale(2),
        What::Stale(4),
        What::Stale(8),
        What::Stale(u64::MAX),
        What::Conflict,
    ];

    fn happened(self, seen: &Seen) -> u64 {
        match self {
            What::Crash => seen.outputs,
            What::RequestLost | What::RequestDoubled | What::RequestLate | What::Conflict => seen.requests,
            What::ReplyLost => seen.replies,
            What::WatchCut | What::Expired | What::Stale(_) => seen.events,
        }
    }
}

/// A scenario with one thing gone wrong.
#[derive(Clone, Debug)]
pub struct Variation {
    /// As it is in a clean run.
    pub scenario: Arc<Scenario>,
    /// To which program.
    pub actor: Arc<str>,
    /// What goes wrong.
    pub what: What,
    /// Which one of the program's outputs, requests, answers, events.
    pub nth: u64,
}

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} {} of {}", self.scenario.name, self.what, self.nth, self.actor)
    }
}

/// The seed that all of a sweep run with.
pub const SEED: u64 = 1;

/// All variations of a scenario, from what happens in its clean run.
pub fn variations(scenario: Scenario) -> impl Iterator<Item = Variation> {
    let scenario = Arc::new(scenario);
    let world = scenario.trace(SEED, Mode::Off);
    assert_eq!(world.violation(), None, "{} is clean before it is varied", scenario.name);
    world.seen().into_iter().filter(|(actor, _)| !actor.starts_with("operator")).flat_map(move |(actor, seen)| {
        let scenario = scenario.clone();
        What::ALL.iter().flat_map(move |what| {
            let (scenario, actor) = (scenario.clone(), actor.clone());
            (1..=what.happened(&seen)).map(move |nth| {
                let (scenario, actor) = (scenario.clone(), actor.clone());
                Variation { scenario, actor, what: *what, nth }
            })
        })
    })
}

/// All variations of all canonical scenarios.
pub fn all() -> impl Iterator<Item = Variation> {
    CANONICAL.iter().filter_map(|name| crate::library::named(name)).flat_map(variations)
}

/// So many of them, spread evenly; the seed decides which.
pub fn sample(all: Vec<Variation>, many: usize, seed: u64) -> Vec<Variation> {
    let every = all.len().div_ceil(many.max(1)).max(1);
    let first = Draw::new(seed).key("sweep").below(every as u64);
    all.into_iter().skip(usize::try_from(first).unwrap_or(0)).step_by(every).collect()
}

impl Variation {
    /// The scenario with what goes wrong in its plan.
    pub fn scenario(&self) -> Scenario {
        let actor = self.actor.to_string();
        let Variation { what, nth, .. } = *self;
        let message = |mishap| Fault::Message { actor: actor.clone(), nth, mishap };
        let now = |fault| (None, fault);
        let after = |fault| (Some(When::Event { actor: actor.clone(), nth }), fault);
        let expires = || after(Fault::ExpireWatches { actor: actor.clone() });
        let old = |by| after(Fault::Message { actor: actor.clone(), nth: 1, mishap: Mishap::Stale(by) });
        let faults = match what {
            What::Crash => {
                let down = Duration::from_secs(1);
                vec![now(Fault::CrashAfterOutput { actor: actor.clone(), outputs: nth, down })]
            }
            What::RequestLost => vec![now(message(Mishap::RequestLost))],
            What::RequestDoubled => vec![now(message(Mishap::RequestDoubled))],
            What::RequestLate => vec![now(message(Mishap::RequestLate(Duration::from_secs(10))))],
            What::ReplyLost => vec![now(message(Mishap::ReplyLost))],
            What::WatchCut => vec![now(message(Mishap::WatchCut))],
            What::Expired => vec![expires()],
            What::Stale(by) => vec![expires(), old(by)],
            What::Conflict => vec![now(message(Mishap::Conflict))],
        };
        let mut scenario = Scenario::clone(&self.scenario);
        let entries =
            faults.into_iter().map(|(when, fault)| Entry { at: Duration::ZERO, when, act: Act::Strike(fault) });
        scenario.timeline.extend(entries);
        // When things come true is told of the clean run alone: here, each may take a time-out longer.
        scenario.expect.clear();
        scenario
    }
}

/// Runs it. Nothing may be broken, and in the end all must be as it was wished for.
#[allow(clippy::result_large_err, reason = "a failure ends the run, and is moved once")]
pub fn run(variation: &Variation) -> Result<World, Failure> {
    variation.scenario().run(SEED)
}
