//! Random stories: a configuration first, then a plan made from it.
//!
//! Each kind of fault, of object and of action is left out of half of the runs, since some hide what others would show.
//! Whatever could not come to rest by itself (a finalizer that nobody takes away, a container that fails for ever) is
//! ended by the operator, so that every run has a desired state.

mod faults;

use crate::disk::Unsynced;
use crate::link::Quality;
use crate::noise::Delay;
use crate::plan::{self, Ask, Delete, Fault, Patch, Plan, Ratio, Weather};
use crate::scenario::{NodeGroup, Nodes, Scenario, Spec, Sync};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::api::pod::START_RETRIES;
use miniku_core::api::quantity::Quantity;
use miniku_core::program::Propagation;
use miniku_core::rng::Draw;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// Draws for the making of a plan, each with a name.
struct Dice(Draw);

impl Dice {
    fn below(&self, what: &str, nth: u64, bound: u64) -> u64 {
        self.0.key(what).count(nth).below(bound)
    }

    fn one<T: Copy>(&self, what: &str, nth: u64, of: &[T]) -> T {
        of[self.below(what, nth, of.len() as u64) as usize]
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
/// When the operator ends what would never end.
const END: Duration = Duration::from_millis(ACTIVE + 20_000);

/// The scenario of a seed.
pub fn scenario(seed: u64) -> Scenario {
    let dice = Dice(Draw::new(seed).key("swarm"));
    let nodes = 1 + dice.below("nodes", 0, 5);
    let sets = 1 + dice.below("sets", 0, 3);
    let cluster = cluster(&dice, nodes);
    let about = format!("Anything may happen: what seed {seed} drew.");
    let timeline = plan(&dice, nodes, sets).entries;
    Scenario { about, seed: Some(seed), cluster, timeline, ..Scenario::named("swarm") }
}

fn cluster(dice: &Dice, nodes: u64) -> Spec {
    let delay = Delay::micros(100, dice.one("delay", 0, &[200, 2_000, 30_000]));
    let timeout = Duration::from_secs(dice.one("timeout", 0, &[2, 10, 45]));
    let mut cluster = Spec {
        network: Quality { delay, timeout },
        sync: Sync(Delay::micros(200, dice.one("sync", 0, &[200, 5_000, 50_000]))),
        ..Spec::default()
    };
    if dice.has("slow starts") {
        cluster.runtime.start = Delay::micros(1_000, dice.one("start", 0, &[100_000, 2_000_000]));
    }
    cluster.nodes = Nodes((1..=nodes).map(|nth| node_group(dice, nth)).collect());
    if dice.has("watcher") {
        cluster.watchers = vec!["app=set-0".into()];
    }
    if dice.has("short history") {
        cluster.settings.history = Some(dice.one("history", 0, &[1, 10, 50]));
    }
    cluster
}

fn node_group(dice: &Dice, nth: u64) -> NodeGroup {
    let mut node = NodeGroup::one(format!("node-{nth}"));
    if dice.has("small nodes") {
        node.cpu = Quantity::milli(dice.one("cpu", nth, &[300, 600, 4_000]));
        node.pods = dice.one("pods", nth, &[3, 110]);
    }
    if dice.has("clocks") && dice.below("clock", nth, 2) == 0 {
        let (hours, behind) = (1 + dice.below("skew", nth, 3), dice.below("behind", nth, 2) == 0);
        let skew = Duration::from_secs(hours * 3_600);
        if behind {
            node.clock_behind = skew;
        } else {
            node.clock_ahead = skew;
        }
    }
    node
}

fn plan(dice: &Dice, nodes: u64, sets: u64) -> Plan {
    let mut plan = Plan::default();
    for nth in 0..sets {
        plan.ask(dice.millis("create", nth, 500, 5_000), plan::create(set(dice, nth, nth, "default")));
    }
    for nth in 0..1 + dice.below("actions", 0, 10) {
        let at = dice.millis("action at", nth, 5_000, ACTIVE);
        let name = name(dice.below("action set", nth, sets));
        match dice.below("action", nth, 6) {
            0 if dice.has("deletions") => {
                let kinds =
                    [None, Some(Propagation::Background), Some(Propagation::Foreground), Some(Propagation::Orphan)];
                let propagation = if dice.has("propagation") { dice.one("propagation", nth, &kinds) } else { None };
                let key = Key::new(Kind::ReplicaSet, "default", &name);
                plan.ask(at, Ask::Delete(Delete { propagation, ..delete_of(&key) }));
                let again = plan::replica_set(&name, dice.below("again", nth, 6) as usize, "");
                plan.ask(at + dice.millis("again at", nth, 1, 4_000), plan::create(again));
            }
            _ => plan.ask(at, plan::scale(&name, dice.below("scale", nth, 10) as u32)),
        }
    }
    if dice.has("pods") {
        for nth in 0..1 + dice.below("pods", 0, 6) {
            pod(dice, nth, sets, &mut plan);
        }
    }
    if dice.has("namespaces") {
        (0..1 + dice.below("namespaces", 0, 2)).for_each(|nth| namespace(dice, nth, &mut plan));
    }
    if dice.has("node actions") {
        (0..1 + dice.below("node actions", 0, 5)).for_each(|nth| node_action(dice, nth, nodes, &mut plan));
    }
    for nth in 0..dice.below("faults", 0, 9) {
        if let Some(fault) = fault(dice, nth, nodes) {
            let at = dice.millis("fault at", nth, 500, ACTIVE);
            if let Fault::NodeCrash { node, down: None } = &fault
                && dice.has("nodes deleted")
            {
                // Perhaps before anybody has noticed that it is silent.
                plan.ask(at + dice.millis("node deleted", nth, 500, 40_000), plan::delete(Kind::Node, node));
            }
            if matches!(fault, Fault::NodeCrash { down: None, .. }) && dice.has("unanswered") {
                // Whoever asks whether it lives has no answer, though news still come.
                let weather = Weather { requests_lost: Ratio(3, 4), ..Weather::FAIR };
                let lossy = Fault::Link { actor: "node-lifecycle".into(), weather, lasts: Duration::from_secs(20) };
                plan.strike(at + Duration::from_secs(5), lossy);
            }
            plan.strike(at, fault);
        }
    }
    if dice.has("twins") {
        // A bind is still on its way to one pod when another has its name.
        let (at, slow) = (dice.millis("twins at", 0, 6_000, ACTIVE), dice.millis("twins slow", 0, 300, 2_000));
        let slow = Some(Delay { min: Duration::ZERO, mean: slow });
        let weather = Weather { slow, ..Weather::FAIR };
        plan.strike(at, Fault::Link { actor: "scheduler".into(), weather, lasts: Duration::from_secs(15) });
        let twin = || {
            plan::create(json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "twin"}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "infinity"]}]
            }}))
        };
        for nth in 0..4 {
            let at = at + Duration::from_millis(nth * 2_500);
            plan.ask(at, twin());
            plan.ask(at + dice.millis("twin lives", nth, 300, 2_400), plan::delete(Kind::Pod, "twin"));
        }
    }
    if dice.has("slow crash") {
        // What a dead life has asked for arrives in the next one.
        for nth in 0..1 + dice.below("slow crashes", 0, 3) {
            let actor = actor(dice, nth + 200, nodes);
            let at = dice.millis("slow crash at", nth, 500, ACTIVE);
            let slow = Some(Delay { min: Duration::ZERO, mean: dice.millis("slowly", nth, 200, 3_000) });
            let (weather, lasts) = (Weather { slow, ..Weather::FAIR }, dice.millis("slow for", nth, 5_000, 20_000));
            plan.strike(at, Fault::Link { actor: actor.clone(), weather, lasts });
            let name = name(dice.below("slow set", nth, sets));
            plan.ask(at.max(Duration::from_secs(5)), plan::scale(&name, dice.below("slow scale", nth, 10) as u32));
            let crash = Fault::Crash { actor, down: dice.millis("down", nth, 1, 2_000) };
            plan.strike(at + dice.millis("then", nth, 100, 5_000), crash);
        }
    }
    if dice.has("blackout") && dice.below("blackout", 0, 3) == 0 {
        // Nearly at once, and for long enough that the pods would go if it were one node alone.
        let (at, lasts) = (dice.millis("blackout at", 0, 20_000, 90_000), dice.millis("blackout", 1, 40_000, 100_000));
        for nth in 1..=nodes {
            let actor = format!("kubelet/node-{nth}");
            let at = at + dice.millis("blackout of", nth, 0, 3_000);
            plan.strike(at, Fault::Link { actor, weather: Weather::CUT, lasts });
        }
    }
    faults::draw(dice, nodes, ACTIVE, &mut plan);
    plan
}

fn name(set: u64) -> String {
    format!("set-{set}")
}

/// A replica set as users write them.
fn set(dice: &Dice, nth: u64, number: u64, namespace: &str) -> Value {
    let script = dice.one("script", nth, &["", "", "", "trap '' TERM; sleep infinity"]);
    let mut set = plan::replica_set(&name(number), dice.below("replicas", nth, 8) as usize, script);
    set["metadata"]["namespace"] = namespace.into();
    let spec = &mut set["spec"]["template"]["spec"];
    if dice.has("graces") {
        spec["terminationGracePeriodSeconds"] = dice.one("grace", nth, &[1, 5, 30]).into();
    }
    if dice.has("selectors") && dice.below("selects", nth, 3) == 0 {
        spec["nodeSelector"] = json!({"zone": "a"});
    }
    if dice.has("finalizers") && dice.below("finalizer", nth, 4) == 0 && namespace != "default" {
        set["metadata"]["finalizers"] = json!(["miniku.test/hold"]);
    }
    set
}

/// A pod by itself: made, perhaps relabelled, deleted, made again under its name.
fn pod(dice: &Dice, nth: u64, sets: u64, plan: &mut Plan) {
    let name = format!("pod-{nth}");
    let key = Key::new(Kind::Pod, "default", &name);
    let at = dice.millis("pod at", nth, 2_000, 120_000);
    let exits = dice.has("exits");
    let script = match dice.below("pod script", nth, 8) {
        0 if exits => "sleep 3",
        1 if exits => "sleep 2; exit 1",
        2 if exits => "exit 0",
        3 if exits => "sleep 20; exit 0",
        4 => "trap '' TERM; sleep infinity",
        _ => "sleep infinity",
    };
    let policy = dice.one("policy", nth, &["Always", "OnFailure", "Never"]);
    let mut manifest = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": {
        "restartPolicy": policy, "terminationGracePeriodSeconds": dice.one("pod grace", nth, &[1, 5, 30]),
        "containers": [{"name": "main", "image": "busybox", "command": ["sh", "-c", script],
            "resources": {"requests": {"cpu": dice.one("pod cpu", nth, &["50m", "250m"])}}}]
    }});
    if dice.has("bad images") && dice.below("image", nth, 3) == 0 {
        manifest["spec"]["containers"][0]["image"] = "nowhere/nothing:1".into();
        if dice.below("limited", nth, 3) > 0 {
            manifest["metadata"]["annotations"] = json!({START_RETRIES: "8"});
        }
    }
    if dice.has("selectors") && dice.below("pod selects", nth, 3) == 0 {
        manifest["spec"]["nodeSelector"] = json!({"zone": "a"});
    }
    let held = dice.has("finalizers") && dice.below("pod held", nth, 3) == 0;
    if held {
        manifest["metadata"]["finalizers"] = json!(["miniku.test/hold"]);
    }
    let set = self::name(dice.below("pod set", nth, sets));
    if dice.has("adoption") && dice.below("pod labels", nth, 2) == 0 {
        // Selected by a set. Such a pod runs for ever, as the set's own do.
        manifest["metadata"]["labels"] = json!({"app": set});
        manifest["spec"]["restartPolicy"] = "Always".into();
        manifest["spec"]["containers"][0]["command"] = json!(["sh", "-c", "sleep infinity"]);
        manifest["spec"]["containers"][0]["image"] = "busybox".into();
        let relabelled = at + dice.millis("relabelled", nth, 500, 30_000);
        let label = if dice.below("label", nth, 2) == 0 { "nobody's".to_owned() } else { set.clone() };
        plan.ask(relabelled, merge(&key, json!({"metadata": {"labels": {"app": label.trim_end_matches("'s")}}})));
    }
    if dice.has("owners") {
        // Nobody can know a uid in advance, so these owners are gone, or of a kind that is taken to exist.
        let gone = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "no-such-uid"});
        let lives =
            json!({"apiVersion": "miniku.test/v1", "kind": "Widget", "name": "w", "uid": "widget", "controller": true});
        match dice.below("owner", nth, 4) {
            0 => manifest["metadata"]["ownerReferences"] = json!([gone]),
            1 => manifest["metadata"]["ownerReferences"] = json!([lives]),
            2 => manifest["metadata"]["ownerReferences"] = json!([gone, lives]),
            _ => {}
        }
    }
    plan.ask(at, plan::create(manifest.clone()));
    let mut deleted = at + dice.millis("pod lives", nth, 500, 60_000);
    for again in 0..dice.below("pod again", nth, 4) {
        let nth = nth * 10 + again;
        plan.ask(deleted, delete(dice, nth, &key));
        if dice.has("deleted twice") {
            plan.ask(deleted + dice.millis("second", nth, 10, 3_000), delete(dice, nth + 1_000, &key));
        }
        if held {
            plan.ask(deleted + dice.millis("released", nth, 3_000, 20_000), let_go(&key));
        }
        // At once while the last one still stops, or when it is surely gone.
        let pause = if dice.below("pause", nth, 2) == 0 { (1, 3_000) } else { (3_000, 40_000) };
        deleted += dice.millis("made again", nth, pause.0, pause.1);
        plan.ask(deleted, plan::create(manifest.clone()));
        deleted += dice.millis("lives again", nth, 500, 40_000);
    }
    let spec = &manifest["spec"]["containers"][0];
    let runs = spec["command"][2].as_str().is_some_and(|script| script.ends_with("infinity"));
    if runs && spec["image"] == "busybox" && !held {
        return;
    }
    // What ends badly, or never starts, is tried for ever.
    let end = END.max(deleted + Duration::from_secs(5));
    plan.ask(end, let_go(&key));
    plan.ask(end + Duration::from_secs(5), plan::delete(Kind::Pod, &name));
    plan.ask(end + Duration::from_secs(40), let_go(&key));
}

/// A namespace with a set and a pod in it, ended, and perhaps made again.
fn namespace(dice: &Dice, nth: u64, plan: &mut Plan) {
    let team = format!("team-{nth}");
    let manifest = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": team}});
    let mut at = dice.millis("namespace at", nth, 1_000, 60_000);
    for again in 0..1 + dice.below("namespace again", nth, 2) {
        let nth = nth * 10 + again;
        plan.ask(at, plan::create(manifest.clone()));
        let set = set(dice, 100 + nth, 7, &team);
        let key = Key::new(Kind::ReplicaSet, &team, "set-7");
        plan.ask(at + dice.millis("within", nth, 300, 3_000), plan::create(set.clone()));
        at += dice.millis("namespace lives", nth, 2_000, 40_000);
        plan.ask(at, plan::delete(Kind::Namespace, &team));
        let mut late = plan::replica_set("late", 1, "");
        late["metadata"]["namespace"] = team.as_str().into();
        plan.ask(at + dice.millis("late", nth, 0, 200), plan::create(late));
        at += dice.millis("namespace ends", nth, 1_000, 60_000);
        plan.ask(at, let_go(&key));
        plan.ask(END, let_go(&key));
    }
}

/// What is done to nodes by hand.
fn node_action(dice: &Dice, nth: u64, nodes: u64, plan: &mut Plan) {
    let at = dice.millis("node action at", nth, 500, ACTIVE);
    let node = node(dice, nth + 100, nodes);
    let key = Key::new(Kind::Node, "", &node);
    match dice.below("node action", nth, 4) {
        0 if dice.has("cordons") => {
            plan.ask(at, merge(&key, json!({"spec": {"unschedulable": true}})));
            if dice.below("uncordon", nth, 3) > 0 {
                let later = at + dice.millis("uncordoned", nth, 1_000, 60_000);
                plan.ask(later, merge(&key, json!({"spec": {"unschedulable": false}})));
            }
        }
        1 if dice.has("nodes deleted") => plan.ask(at, plan::delete(Kind::Node, &node)),
        _ if dice.has("selectors") => {
            let zone = dice.one("zone", nth, &["a", "a", "b"]);
            plan.ask(at, merge(&key, json!({"metadata": {"labels": {"zone": zone}}})));
        }
        _ => {}
    }
}

fn merge(key: &Key, merge: Value) -> Ask {
    let Delete { kind, name, namespace, .. } = delete_of(key);
    Ask::Patch(Patch { kind, name, namespace, merge })
}

fn delete_of(key: &Key) -> Delete {
    // A kind without namespaces takes whatever is said.
    let namespace = if key.namespace.is_empty() { "default".into() } else { key.namespace.to_string() };
    Delete { kind: key.kind, name: key.name.to_string(), namespace, grace_seconds: None, propagation: None }
}

fn let_go(key: &Key) -> Ask {
    merge(key, json!({"metadata": {"finalizers": null}}))
}

fn delete(dice: &Dice, nth: u64, key: &Key) -> Ask {
    let graces = [None, None, Some(0), Some(3), Some(20)];
    let grace_seconds = if dice.has("graces") { dice.one("delete grace", nth, &graces) } else { None };
    Ask::Delete(Delete { grace_seconds, ..delete_of(key) })
}

fn actor(dice: &Dice, nth: u64, nodes: u64) -> String {
    match dice.below("actor", nth, 10) {
        0 | 1 => "replicaset".into(),
        2 => "scheduler".into(),
        3 => "node-lifecycle".into(),
        4 => "garbage".into(),
        5 => "namespaces".into(),
        6 if dice.has("watcher") => "watcher-1".into(),
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
    let (kind, fault) = match dice.below("fault", nth, 12) {
        0 => {
            let unsynced = if dice.below("unsynced", nth, 2) == 0 { Unsynced::Lost } else { Unsynced::Kept };
            // Now and then for so long that every lease looks old.
            let down = if dice.below("away", nth, 4) == 0 { long } else { short };
            ("api crash", Fault::ApiServerCrash { down, unsynced })
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
        10 => {
            // Dies long after its pods were made, so that it finds them.
            let kubelet = format!("kubelet/{}", node(dice, nth, nodes));
            (
                "kubelet crash",
                Fault::Crash { actor: kubelet, down: if nth.is_multiple_of(2) { short } else { long / 2 } },
            )
        }
        _ => ("ends", Fault::ProcessesEnd { pod: name(dice.below("ends", nth, 3)), code: 1 }),
    };
    dice.has(kind).then_some(fault)
}
