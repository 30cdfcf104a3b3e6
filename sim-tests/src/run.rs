//! A run for its own sake: how a cluster of some size fares for some time.

use crate::invariants::Violation;
use crate::plan::{self, Fault, Plan};
use crate::scenario::{Ending, NodeGroup, Nodes, Scenario, Spec};
use crate::trace::Mode;
use crate::world::{Counts, World};
use miniku_core::api::pod::Pod;
use miniku_core::api::quantity::Quantity;
use miniku_core::rng::Draw;
use miniku_core::time::{Duration, Instant};
use std::fmt;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Decides everything that is drawn.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many pods, in replica sets of up to a hundred.
    pub pods: usize,
    /// For how long, in the simulated world.
    pub duration: Duration,
    /// Whether containers end and kubelets crash now and then: about once a minute for each hundred nodes.
    pub faults: bool,
    /// Whether checkers look on.
    pub checked: bool,
    /// What is kept of the events.
    pub trace: Mode,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            nodes: 6,
            pods: 12,
            duration: Duration::from_secs(400),
            faults: false,
            checked: true,
            trace: Mode::Off,
        }
    }
}

/// How it went. Events a second are left to who has a clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The time that passed in the simulated world.
    pub simulated: Duration,
    /// How much happened.
    pub counts: Counts,
    /// Pods that really run at the end.
    pub running: usize,
    /// The same for two runs only if the same happened.
    pub digest: u64,
    /// What was broken, if anything.
    pub violation: Option<Violation>,
}

/// Simulates a cluster.
pub fn run(options: &Options) -> Summary {
    let mut world = options.begin();
    world.run_until(Instant::default() + options.duration);
    Summary::of(&world)
}

impl Options {
    /// The same as a scenario. It ends when its time is over.
    pub fn scenario(&self) -> Scenario {
        let Options { seed, nodes, pods, duration, faults, .. } = *self;
        // Room for all, wherever they go.
        let room = u64::try_from(pods).unwrap_or(u64::MAX).max(110);
        let group = NodeGroup {
            count: Some(nodes),
            cpu: Quantity::whole(64),
            memory: Quantity::whole(256 << 30),
            pods: room,
            ..NodeGroup::one("node")
        };
        let about = format!("{pods} pods on {nodes} nodes.");
        let cluster = Spec { nodes: Nodes(vec![group]), ..Spec::default() };
        let timeline = plan(seed, nodes, pods, duration, faults).entries;
        let end = Ending::RunsUntil(duration);
        Scenario { about, seed: Some(seed), cluster, timeline, end, ..Scenario::named("load") }
    }

    /// The world at its beginning.
    pub fn begin(&self) -> World {
        let scenario = self.scenario();
        let checked = self.checked;
        let cluster = scenario.cluster.cluster(self.seed).trace(self.trace).with(|setup| setup.checked = checked);
        cluster.begin(&scenario.plan())
    }
}

impl Summary {
    /// How a world has come out so far.
    pub fn of(world: &World) -> Self {
        let truth = world.truth();
        let running = truth.all::<Pod>().filter(|pod| truth.really_runs(pod)).count();
        Summary {
            simulated: world.now().since(Instant::default()),
            counts: world.counts(),
            running,
            digest: world.trace().digest(),
            violation: world.violation().cloned(),
        }
    }
}

fn plan(seed: u64, nodes: usize, pods: usize, duration: Duration, faults: bool) -> Plan {
    let draw = Draw::new(seed).key("run");
    let mut plan = Plan::default();
    let sets = pods.div_ceil(100);
    for set in 0..sets {
        let replicas = pods / sets + usize::from(set < pods % sets);
        let at = Duration::from_millis(1_000 + 20 * set as u64);
        plan.ask(at, plan::create(plan::replica_set(&format!("set-{set}"), replicas, "")));
    }
    if faults {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let many = millis / 60_000 * (nodes as u64).div_ceil(100);
        for nth in 0..many {
            let draw = draw.count(nth);
            let at = Duration::from_millis(draw.key("at").below(millis));
            let fault = match draw.key("fault").below(2) {
                0 => Fault::ProcessesEnd { pod: format!("set-{}", draw.key("set").below(sets.max(1) as u64)), code: 1 },
                _ => {
                    let actor = format!("kubelet/node-{}", 1 + draw.key("node").below(nodes.max(1) as u64));
                    Fault::Crash { actor, down: Duration::from_secs(2) }
                }
            };
            plan.strike(at, fault);
        }
    }
    plan
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { events, steps, writes, starts, ends, .. } = self.counts;
        writeln!(f, "simulated {} s: {events} events, {steps} steps of programs", self.simulated.as_secs())?;
        writeln!(f, "{writes} durable writes, {starts} processes started, {ends} ended, {} pods run", self.running)?;
        write!(f, "digest {:016x}", self.digest)?;
        match &self.violation {
            None => Ok(()),
            Some(violation) => {
                write!(f, "\n{} is broken: {}\n  {}", violation.name, violation.statement, violation.broken.what)
            }
        }
    }
}
