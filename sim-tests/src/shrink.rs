//! Shrinking: a failing scenario made as small as it can be while it fails in the same way.
//!
//! Each step tries something simpler and keeps it if the same statement is still broken in the same words: an earlier end, fewer entries
//! (by halves, then one by one), fewer nodes, fewer replicas, shorter and rounder times, ordinary machines and links.
//! Since draws are keyed, taking one entry out leaves the noise of all others as it was. Steps are repeated until none
//! helps, or the runs are used up. Where an expectation is not met, what operators ask for stays as it is: without it,
//! anything would fail.

use crate::invariants::Violation;
use crate::plan::{Act, Ask, Entry, Fault};
use crate::scenario::{Ending, Expect, Nodes, Scenario, Spec};
use crate::trace::Mode;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::time::Duration;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario that was found; it has its seed in it.
    pub scenario: Scenario,
    /// How it fails.
    pub violation: Violation,
    /// How many runs it took.
    pub runs: usize,
}

/// Shrinks a scenario that fails for a seed, in at most so many runs; `seen` is told of each smaller one. Nothing if it
/// does not fail.
pub fn shrink(scenario: &Scenario, seed: u64, most: usize, seen: impl FnMut(&Scenario, usize)) -> Option<Shrunk> {
    let violation = scenario.trace(seed, Mode::Off).violation().cloned()?;
    let best = Scenario { seed: Some(seed), ..scenario.clone() };
    let mut search = Search { best, violation, seed, runs: 1, most, seen };
    while search.round() && search.runs < search.most {}
    let Search { mut best, violation, runs, .. } = search;
    best.about = format!("{} is broken: {}", violation.name, violation.statement);
    Some(Shrunk { scenario: best, violation, runs })
}

/// What is said of a violation, without numbers and names: one statement can be broken in many ways.
fn words(what: &str) -> Vec<&str> {
    let is_word = |word: &&str| word.chars().all(|one| one.is_ascii_lowercase() || one == ',' || one == ':');
    what.split_whitespace().filter(is_word).collect()
}

struct Search<S> {
    best: Scenario,
    violation: Violation,
    seed: u64,
    runs: usize,
    most: usize,
    seen: S,
}

impl<S: FnMut(&Scenario, usize)> Search<S> {
    /// Takes a candidate if it fails in the same way.
    fn take(&mut self, candidate: Scenario) -> bool {
        let asks_changed = || candidate.plan().asks() != self.best.plan().asks();
        if self.is_expectation() && asks_changed() {
            return false;
        }
        if candidate == self.best || self.runs >= self.most || candidate.check().is_err() {
            return false;
        }
        self.runs += 1;
        let world = candidate.trace(self.seed, Mode::Off);
        let same = |violation: &&Violation| {
            violation.name == self.violation.name
                && words(&violation.broken.what) == words(&self.violation.broken.what)
                && (!self.is_expectation() || violation.statement == self.violation.statement)
        };
        let Some(violation) = world.violation().filter(same) else { return false };
        self.violation = violation.clone();
        self.best = candidate;
        (self.seen)(&self.best, self.runs);
        true
    }

    fn is_expectation(&self) -> bool {
        self.violation.name == "expected"
    }

    fn with(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.take(candidate)
    }

    /// Tries everything once. Tells whether anything helped.
    fn round(&mut self) -> bool {
        let before = self.best.clone();
        self.end();
        self.entries();
        self.expectations();
        self.cluster();
        self.nodes();
        self.replicas();
        self.times();
        self.best != before
    }

    /// Nothing after the violation, if a single moment shows it.
    fn end(&mut self) {
        let at = Duration::from_nanos(self.violation.at.nanos());
        self.with(|one| one.timeline.retain(|entry| entry.at <= at));
        self.with(|one| one.timeline.retain(|entry| matches!(entry.act, Act::Ask(_))));
        if self.violation.name != "L-stable" && !self.is_expectation() {
            let until = round_up(at + Duration::from_nanos(1), Duration::from_millis(1));
            self.with(|one| one.end = Ending::RunsUntil(until));
        }
    }

    /// Without parts of the plan: halves, quarters, at last single entries.
    fn entries(&mut self) {
        self.best.timeline.sort_by_key(|entry| entry.at);
        let mut size = self.best.timeline.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.timeline.len() {
                let end = (at + size).min(self.best.timeline.len());
                let gone = self.with(|one| {
                    one.timeline.drain(at..end);
                });
                if !gone {
                    at += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    fn expectations(&mut self) {
        let statement = self.violation.statement.clone();
        let is_broken = |one: &Expect| one.that == statement;
        self.with(|one| one.expect.retain(is_broken));
        self.with(|one| one.expect.clear());
    }

    /// An ordinary cluster, as far as it may be one.
    fn cluster(&mut self) {
        let Spec { network, sync, runtime, settings, .. } = Spec::default();
        self.with(|one| one.cluster.sync = sync);
        self.with(|one| one.cluster.runtime = runtime);
        self.with(|one| one.cluster.settings = settings);
        if !self.with(|one| one.cluster.network = network) {
            self.with(|one| one.cluster.network.timeout = network.timeout);
            self.with(|one| one.cluster.network.delay = network.delay);
        }
        self.with(|one| one.cluster.network.delay.mean = Duration::ZERO);
    }

    fn nodes(&mut self) {
        let count = self.best.cluster.nodes.shapes().len();
        for fewer in 1..count {
            if self.with(|one| one.cluster.nodes = Nodes::ordinary(fewer)) {
                return;
            }
        }
        self.with(|one| one.cluster.nodes = Nodes::ordinary(count));
    }

    fn replicas(&mut self) {
        for at in 0..self.best.timeline.len() {
            let now = replicas(&self.best.timeline[at].act);
            let smaller = [Some(1), now.map(|now| now / 2), now.and_then(|now| now.checked_sub(1))];
            for fewer in smaller.into_iter().flatten().filter(|fewer| now.is_some_and(|now| *fewer < now)) {
                if self.with(|one| set_replicas(&mut one.timeline[at].act, fewer)) {
                    break;
                }
            }
        }
    }

    /// Shorter faults, and rounder times, the roundest first.
    fn times(&mut self) {
        let units = [10_000, 1_000, 100, 10, 1].map(Duration::from_millis);
        for at in 0..self.best.timeline.len() {
            for unit in units {
                if self.with(|one| {
                    let entry: &mut Entry = &mut one.timeline[at];
                    if let Act::Strike(fault) = &mut entry.act
                        && let Some(lasts) = fault.lasts_mut()
                    {
                        *lasts = round_up(*lasts / 2, unit);
                    }
                }) {
                    break;
                }
            }
            for unit in units {
                if self.with(|one| one.timeline[at].at = round_up(one.timeline[at].at, unit)) {
                    break;
                }
            }
        }
    }
}

fn round_up(time: Duration, unit: Duration) -> Duration {
    let (time, unit) = (time.as_nanos(), unit.as_nanos());
    Duration::from_nanos(u64::try_from(time.div_ceil(unit) * unit).unwrap_or(u64::MAX))
}

fn replicas(act: &Act) -> Option<u32> {
    match act {
        Act::Ask(Ask::Create(object)) => u32::try_from(object.get::<ReplicaSet>()?.wanted()).ok(),
        Act::Ask(Ask::Scale(scale)) => Some(scale.replicas),
        _ => None,
    }
}

fn set_replicas(act: &mut Act, replicas: u32) {
    match act {
        Act::Ask(Ask::Create(object)) => {
            *object = object.with(|set: &mut ReplicaSet| set.spec.replicas = i32::try_from(replicas).ok());
        }
        Act::Ask(Ask::Scale(scale)) => scale.replicas = replicas,
        _ => {}
    }
}

impl Fault {
    /// How long it lasts, if that can be chosen.
    fn lasts_mut(&mut self) -> Option<&mut Duration> {
        match self {
            Fault::ApiServerCrash { down, .. }
            | Fault::Crash { down, .. }
            | Fault::Stop { down, .. }
            | Fault::CrashAfterOutput { down, .. }
            | Fault::CrashLoop { down, .. } => Some(down),
            Fault::NodeCrash { down, .. } => down.as_mut(),
            Fault::Freeze { lasts, .. }
            | Fault::Slow { lasts, .. }
            | Fault::Intruder { lasts, .. }
            | Fault::Twin { lasts, .. }
            | Fault::NodeFreeze { lasts, .. }
            | Fault::Runtime { lasts, .. }
            | Fault::Link { lasts, .. }
            | Fault::Swizzle { lasts, .. }
            | Fault::Overload { lasts, .. }
            | Fault::DiskFull { lasts }
            | Fault::SlowDisk { lasts, .. }
            | Fault::SyncErrors { lasts, .. }
            | Fault::WallClock { lasts, .. }
            | Fault::Drift { lasts, .. }
            | Fault::CrashingContainers { lasts, .. } => Some(lasts),
            Fault::Message { .. }
            | Fault::Reset { .. }
            | Fault::CutWatches { .. }
            | Fault::ExpireWatches { .. }
            | Fault::Compact {}
            | Fault::ProcessesEnd { .. }
            | Fault::OutOfMemory { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::story::secs;

    /// A wish that cannot come true, among much that has nothing to do with it.
    #[test]
    fn what_does_not_matter_goes() {
        let mut scenario = Scenario::named("large");
        scenario.cluster.nodes = Nodes::ordinary(5);
        let mut ask = |at: Duration, ask: Ask| scenario.timeline.push(Entry::new(at, Act::Ask(ask)));
        ask(secs(1), plan::create(plan::replica_set("web", 3, "")));
        ask(Duration::from_millis(12_345), plan::scale("web", 8));
        let mut strike = |at: u64, fault| scenario.timeline.push(Entry::new(secs(at), Act::Strike(fault)));
        for nth in 1..=5 {
            strike(9, Fault::Crash { actor: format!("kubelet/node-{nth}"), down: Duration::from_millis(8_765) });
        }
        strike(19, Fault::DiskFull { lasts: Duration::from_millis(34_567) });
        let expect = "{from: 20s, within: 10s, that: eight run, pods: {of: web, count: 8, running: 8}}";
        scenario.expect = vec![serde_saphyr::from_str(expect).unwrap()];
        scenario.timeline.push(Entry::new(secs(21), Act::Strike(Fault::CutWatches { actor: "scheduler".into() })));
        // The pods that run already would do without a disk.
        scenario.timeline[1].at = secs(20);
        let shrunk = shrink(&scenario, 1, 500, |_, _| {}).unwrap();
        assert_eq!((shrunk.violation.name.as_str(), shrunk.violation.statement.as_str()), ("expected", "eight run"));
        let small = &shrunk.scenario;
        assert_eq!((small.timeline.len(), small.cluster.nodes.shapes().len(), small.expect.len()), (3, 1, 1));
        assert!(small.plan().to_string().contains("disk full for 10.000s"), "{}", small.plan());
        assert!(shrunk.runs < 60, "{}", shrunk.runs);
        assert!(small.run(1).is_err());
        assert_eq!(Scenario::read(&small.text()).as_ref(), Ok(small));
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        assert!(shrink(&crate::library::named("one-pod").unwrap(), 1, 100, |_, _| {}).is_none());
    }
}
