//! Random stories: a configuration first, then a plan made from it.
//!
//! Each kind of fault and of action is left out of half of the runs, since some hide what others would show.

mod faults;

use crate::disk::Unsynced;
use crate::link::Quality;
use crate::noise::Delay;
use crate::plan::{self, Fault, Plan, Ratio, Weather};
use crate::scenario::{Nodes, Scenario, Spec, Sync};
use miniku_core::api::kinds::Kind;
use miniku_core::rng::Draw;
use miniku_core::time::Duration;

/// Draws for the making of a plan, each with a name.
struct Dice(Draw);

impl Dice {
    fn below(&self, what: &str, nth: u64, bound: u64) -> u64 {
        self.0.key(what).count(nth).below(bound)
    }

    /// In one of two runs.
    fn has(&self, what: &str) -> bool {
        self.0.key("has").key(what).chance(1, 2)
    }

    fn millis(&self, what: &str, nth: u64, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(what, nth, to - from))
    }
}

/// How long things are done to the cluster.
const ACTIVE: u64 = 180_000;

/// The scenario of a seed.
pub fn scenario(seed: u64) -> Scenario {
    let dice = Dice(Draw::new(seed).key("swarm"));
    let nodes = 1 + dice.below("nodes", 0, 5);
    let sets = 1 + dice.below("sets", 0, 3);
    let mean = [200, 2_000, 30_000][dice.below("delay", 0, 3) as usize];
    let timeout = Duration::from_secs([2, 10, 45][dice.below("timeout", 0, 3) as usize]);
    let cluster = Spec {
        nodes: Nodes::ordinary(usize::try_from(nodes).expect("a few")),
        network: Quality { delay: Delay::micros(100, mean), timeout },
        sync: Sync(Delay::micros(200, [200, 5_000, 50_000][dice.below("sync", 0, 3) as usize])),
        ..Spec::default()
    };
    let about = format!("Anything may happen: what seed {seed} drew.");
    let timeline = plan(&dice, nodes, sets).entries;
    Scenario { about, seed: Some(seed), cluster, timeline, ..Scenario::named("swarm") }
}

fn plan(dice: &Dice, nodes: u64, sets: u64) -> Plan {
    let mut plan = Plan::default();
    for set in 0..sets {
        let replicas = dice.below("replicas", set, 8) as usize;
        let script = ["", "", "", "trap '' TERM; sleep infinity"][dice.below("script", set, 4) as usize];
        let manifest = plan::replica_set(&name(set), replicas, script);
        plan.ask(dice.millis("create", set, 500, 5_000), plan::create(manifest));
    }
    for nth in 0..1 + dice.below("actions", 0, 10) {
        let at = dice.millis("action at", nth, 5_000, ACTIVE);
        let set = name(dice.below("action set", nth, sets));
        match dice.below("action", nth, 8) {
            0 if dice.has("deletions") => {
                plan.ask(at, plan::delete(Kind::ReplicaSet, &set));
                let again = plan::replica_set(&set, dice.below("again", nth, 6) as usize, "");
                plan.ask(at + dice.millis("again at", nth, 1, 4_000), plan::create(again));
            }
            _ => plan.ask(at, plan::scale(&set, dice.below("scale", nth, 10) as u32)),
        }
    }
    for nth in 0..dice.below("faults", 0, 9) {
        if let Some(fault) = fault(dice, nth, nodes) {
            plan.strike(dice.millis("fault at", nth, 500, ACTIVE), fault);
        }
    }
    faults::draw(dice, nodes, ACTIVE, &mut plan);
    plan
}

fn name(set: u64) -> String {
    format!("set-{set}")
}

fn actor(dice: &Dice, nth: u64, nodes: u64) -> String {
    match dice.below("actor", nth, 10) {
        0 | 1 => "replicaset".into(),
        2 => "scheduler".into(),
        3 => "node-lifecycle".into(),
        4 => "garbage".into(),
        5 => "namespaces".into(),
        _ => format!("kubelet/{}", node(dice, nth, nodes)),
    }
}

fn node(dice: &Dice, nth: u64, nodes: u64) -> String {
    format!("node-{}", 1 + dice.below("node", nth, nodes))
}

fn fault(dice: &Dice, nth: u64, nodes: u64) -> Option<Fault> {
    let short = dice.millis("short", nth, 1, 5_000);
    let long = dice.millis("long", nth, 100, 90_000);
    let actor = actor(dice, nth, nodes);
    let ratio = |what: &str| match dice.below(what, nth, 4) as u32 {
        0 => Ratio::NONE,
        some => Ratio(some, 4),
    };
    let (kind, fault) = match dice.below("fault", nth, 11) {
        0 => {
            let unsynced = if dice.below("unsynced", nth, 2) == 0 { Unsynced::Lost } else { Unsynced::Kept };
            ("api crash", Fault::ApiServerCrash { down: short, unsynced })
        }
        1 => ("crash", Fault::Crash { actor, down: short }),
        2 => {
            let outputs = 1 + dice.below("outputs", nth, 15);
            ("half done", Fault::CrashAfterOutput { actor, outputs, down: short })
        }
        3 => ("node crash", Fault::NodeCrash { node: node(dice, nth, nodes), down: Some(long) }),
        4 => ("cut", Fault::Link { actor, weather: Weather::CUT, lasts: long }),
        5 => {
            let weather = Weather {
                requests_lost: ratio("requests"),
                replies_lost: ratio("replies"),
                doubled: ratio("doubled"),
                ..Weather::FAIR
            };
            ("lossy", Fault::Link { actor, weather, lasts: long })
        }
        6 => {
            let slow = Some(Delay { min: Duration::ZERO, mean: dice.millis("slow", nth, 10, 4_000) });
            ("slow", Fault::Link { actor, weather: Weather { slow, ..Weather::FAIR }, lasts: long })
        }
        7 => ("watches", Fault::CutWatches { actor }),
        8 => ("disk full", Fault::DiskFull { lasts: long / 3 }),
        // Of a small cluster, at most one: with most nodes silent, nothing is evicted.
        9 if nth == 0 && nodes >= 3 => ("node gone", Fault::NodeCrash { node: node(dice, nth, nodes), down: None }),
        _ => ("ends", Fault::ProcessesEnd { pod: name(dice.below("ends", nth, 3)), code: 1 }),
    };
    dice.has(kind).then_some(fault)
}
