//! Random stories: a configuration first, then a plan made from it.
//!
//! Each kind of fault, of object and of action is left out of half of the runs, since some hide what others would show.
//! Whatever could not come to rest by itself (a finalizer that nobody takes away, a container that fails for ever) is
//! ended by the operator, so that every run has a desired state.

mod chosen;
mod details;
mod faults;
mod moments;
mod owned;
mod promised;
mod room;
mod workloads;

use crate::disk::Unsynced;
use crate::library;
use crate::link::Quality;
use crate::noise::Delay;
use crate::plan::{self, Ask, Delete, Fault, Patch, Plan, Ratio, Weather};
use crate::scenario::{NodeGroup, Nodes, Scenario, Spec, Sync};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::START_RETRIES;
use miniku_core::api::quantity::Quantity;
use miniku_core::api::text::Text;
use miniku_core::program::Propagation;
use miniku_core::rng::Draw;
use miniku_core::scheduler::Strategy;
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

    /// In one of two runs, and in one of so many of those.
    fn in_some(&self, what: &str, of: u64) -> bool {
        self.has(what) && self.below(what, 0, of) == 0
    }

    fn millis(&self, what: &str, nth: u64, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(what, nth, to - from))
    }
}

/// How long things are done to the cluster.
const ACTIVE: u64 = 180_000;
/// When the operator ends what would never end.
const END: Duration = Duration::from_millis(ACTIVE + 20_000);
/// What is asked for at the end is asked for once more: what was asked for while the server was away may come late.
const AGAIN: Duration = Duration::from_secs(100);

/// Of so many seeds, one plays a scenario of the library: what a story was written for, chance may need long for.
const LIBRARY: u64 = 25;

/// The scenario of a seed: one of the library's now and then, else what the seed draws.
pub fn scenario(seed: u64) -> Scenario {
    if !seed.is_multiple_of(LIBRARY) {
        return drawn(seed);
    }
    let (name, _) = library::LIBRARY[(seed / LIBRARY) as usize % library::LIBRARY.len()];
    library::named(name).expect("it is one of the library's")
}

/// What a seed draws.
pub fn drawn(seed: u64) -> Scenario {
    let dice = Dice(Draw::new(seed).key("swarm"));
    let nodes = match dice.below("size", 0, 300) {
        // Enough for what is decided otherwise in a large cluster.
        0 => 51 + dice.below("nodes", 0, 10),
        1..60 => 4 + dice.below("nodes", 0, 5),
        _ => 1 + dice.below("nodes", 0, 5),
    };
    let sets = 1 + dice.below("sets", 0, 3);
    let cluster = cluster(&dice, nodes);
    let about = format!("Anything may happen: what seed {seed} drew.");
    let timeline = plan(&dice, nodes, sets).entries;
    Scenario { about, seed: Some(seed), cluster, timeline, ..Scenario::named("swarm") }
}

fn cluster(dice: &Dice, nodes: u64) -> Spec {
    let delay = Delay::micros(100, dice.one("delay", 0, &[200, 2_000, 30_000]));
    let patient = moments::leads_again(dice) || moments::leads_late(dice);
    let timeout = Duration::from_secs(if patient { 45 } else { dice.one("timeout", 0, &[2, 10, 45]) });
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
    if dice.has("priorities") {
        let class = |priority: i32| {
            let meta = json!({"name": class(priority)});
            let class = json!({"metadata": meta, "value": priority, "preemptionPolicy": "PreemptLowerPriority"});
            Object::from_value(Kind::PriorityClass, class).expect("it is one")
        };
        cluster.objects = PRIORITIES.map(class).into();
        if room::is_wide(dice) {
            let (name, policy) = (room::PATIENT, "Never");
            let class = json!({"metadata": {"name": name}, "value": 30, "preemptionPolicy": policy});
            cluster.objects.push(Object::from_value(Kind::PriorityClass, class).expect("it is one"));
        }
    }
    if room::stands_by(dice) {
        cluster.settings.standbys = Some(1);
    }
    if dice.has("strategies") && dice.below("other strategy", 0, 2) == 0 {
        let of = ["most-allocated", "requested-to-capacity=0:0,40:10,100:2", "round-robin", "random"];
        cluster.settings.strategy = dice.one("strategy of nodes", 0, &of).parse().expect("it is one");
    }
    if chosen::has_profiles(dice) {
        let profile = |(name, of): (&str, &str)| -> (Text, Strategy) { (name.into(), of.parse().expect("it is one")) };
        cluster.settings.profiles = chosen::PROFILES.map(profile).into();
    }
    if dice.has("pages") {
        cluster.settings.pages = Some(dice.one("page", 0, &[1, 3, 20]));
    }
    if dice.in_some("few finished", 3) {
        cluster.settings.finished = Some(dice.one("finished", 0, &[1, 3, 8]));
    }
    if dice.has("short history") {
        cluster.settings.history = Some(dice.one("history", 0, &[1, 10, 50]));
    }
    cluster
}

/// Whether there is never room for all, so that any that is lost or given away twice is missed.
fn is_crowded(dice: &Dice) -> bool {
    dice.below("crowd", 0, 4) == 0
}

fn node_group(dice: &Dice, nth: u64) -> NodeGroup {
    let mut node = NodeGroup::one(format!("node-{nth}"));
    if is_crowded(dice) {
        (node.cpu, node.pods) =
            (Quantity::milli(dice.one("cpu", nth, &[200, 300, 450])), dice.one("pods", nth, &[2, 3, 110]));
    } else if dice.has("small nodes") {
        node.cpu = Quantity::milli(dice.one("cpu", nth, &[300, 600, 4_000]));
        node.pods = dice.one("pods", nth, &[3, 110]);
        if dice.has("small memories") {
            node.memory = Quantity::whole(dice.one("memory", nth, &[150, 400, 8_192]) << 20);
        }
    }
    if chosen::has_images(dice) && dice.below("has image", nth, 2) == 0 {
        // Of a small one, or one that few nodes have, there is too little to count.
        let size = Quantity::whole(dice.one("image size", nth, &[40, 400, 3_000]) << 20);
        node.images.insert("busybox:latest".into(), size);
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
    make_sets(dice, sets, &mut plan);
    act_on_sets(dice, sets, &mut plan);
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
    strike(dice, nodes, &mut plan);
    if is_crowded(dice) {
        crowd(dice, nodes, &mut plan);
    }
    if dice.has("whole batch") && nodes > 50 {
        // More pods than are made at once.
        plan.ask(
            dice.millis("batch at", 0, 6_000, 90_000),
            plan::scale(&name(0), 520 + dice.below("batch", 0, 100) as u32),
        );
    }
    if dice.has("twins") {
        twins(dice, &mut plan);
    }
    if dice.has("slow crash") {
        slow_crashes(dice, nodes, sets, &mut plan);
    }
    if dice.in_some("blackout", 3) {
        blackout(dice, nodes, &mut plan);
    }
    workloads::draw(dice, nodes, &mut plan);
    owned::draw(dice, &mut plan);
    room::draw(dice, nodes, &mut plan);
    details::draw(dice, nodes, sets, &mut plan);
    moments::draw(dice, nodes, &mut plan);
    promised::draw(dice, nodes, &mut plan);
    chosen::draw(dice, nodes, &mut plan);
    faults::draw(dice, nodes, ACTIVE, &mut plan);
    plan
}

/// Replica sets are made; those whose pods end are ended.
fn make_sets(dice: &Dice, sets: u64, plan: &mut Plan) {
    for nth in 0..sets {
        let set = set(dice, nth, nth, "default");
        if set["spec"]["template"]["spec"]["restartPolicy"] == "Never" {
            // What ends is replaced for ever.
            for at in [END, END + AGAIN] {
                if dice.has("deletions") && dice.has("propagation") {
                    // Whom a set left behind that is gone, nobody ends but another of its name.
                    let mut heir = set.clone();
                    heir["spec"]["replicas"] = 0.into();
                    plan.ask(at, plan::create(heir));
                }
                plan.ask(at, plan::scale(&name(nth), 0));
            }
        }
        plan.ask(dice.millis("create", nth, 500, 5_000), plan::create(set));
        if dice.below("set labelled", nth, 4) == 0 {
            // Of its pods only those that come later have that label.
            let labels = json!({"spec": {"template": {"metadata": {"labels": {"tier": "front"}}}}});
            let key = Key::new(Kind::ReplicaSet, "default", &name(nth));
            plan.ask(dice.millis("set labelled at", nth, 6_000, ACTIVE), merge(&key, labels));
        }
    }
}

/// Replica sets are scaled, deleted and made again.
fn act_on_sets(dice: &Dice, sets: u64, plan: &mut Plan) {
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
}

/// The usual faults.
fn strike(dice: &Dice, nodes: u64, plan: &mut Plan) {
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
}

/// Somebody always waits, and what the scheduler asks for is lost, late or answered by nobody.
fn crowd(dice: &Dice, nodes: u64, plan: &mut Plan) {
    plan.ask(dice.millis("crowd at", 0, 6_000, 30_000), plan::scale(&name(0), 6 + 3 * nodes as u32));
    for nth in 0..dice.below("binds lost", 0, 4) {
        let share = |what: &str| [Ratio::NONE, Ratio(1, 4), Ratio(1, 2)][dice.below(what, nth, 3) as usize];
        let slow = dice.millis("binds late", nth, 1, 3_000);
        let weather = Weather {
            requests_lost: share("binds unheard"),
            replies_lost: share("binds unanswered"),
            requests_doubled: share("binds doubled"),
            slow: Some(Delay { min: Duration::ZERO, mean: slow }).filter(|_| dice.below("are late", nth, 2) == 0),
            ..Weather::FAIR
        };
        let (at, lasts) = (dice.millis("binds at", nth, 5_000, 120_000), dice.millis("binds for", nth, 5_000, 60_000));
        plan.strike(at, Fault::Link { actor: "scheduler".into(), weather, lasts });
        if !weather.requests_doubled.is_none() && dice.below("binds refused", nth, 2) == 0 {
            // What is refused, or fails, is done the other time perhaps.
            let (share, code) = (Ratio(1, 2), dice.one("binds refused with", nth, &[429, 500, 503]));
            let lasts = dice.millis("binds refused for", nth, 5_000, 20_000);
            plan.strike(at, Fault::Overload { share, code, lasts });
        }
    }
}

/// A bind is still on its way to one pod when another has its name.
fn twins(dice: &Dice, plan: &mut Plan) {
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

/// What a dead life has asked for arrives in the next one.
fn slow_crashes(dice: &Dice, nodes: u64, sets: u64, plan: &mut Plan) {
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

/// Kubelets fall silent nearly at once, and for long enough that the pods would go if it were one node alone. Perhaps some
/// are spared.
fn blackout(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let (at, lasts) = (dice.millis("blackout at", 0, 20_000, 90_000), dice.millis("blackout", 1, 40_000, 100_000));
    let spared = if dice.has("spared") { dice.below("spared", 0, nodes) } else { 0 };
    for nth in 1..=nodes - spared {
        let actor = format!("kubelet/node-{nth}");
        let at = at + dice.millis("blackout of", nth, 0, 3_000);
        plan.strike(at, Fault::Link { actor, weather: Weather::CUT, lasts });
    }
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
        spec["nodeSelector"] = selector(dice, nth);
    }
    if dice.has("priorities") {
        important(spec, dice.one("priority", nth, &[0, 0, 10, -10]));
    }
    if namespace == "default" {
        room::place(dice, &name(number), spec);
        details::needs(dice, &name(number), spec);
    }
    if dice.has("replaced") && dice.below("is replaced", nth, 2) == 0 {
        // MiniKu's own sets: what ends is not started again, another pod takes its place. See `plan` for its end.
        spec["restartPolicy"] = "Never".into();
        let script = dice.one("ends", nth, &["sleep infinity", "sleep 9; exit 1", "sleep 20", "sleep 60; exit 3"]);
        spec["containers"][0]["command"] = json!(["sh", "-c", script]);
        set["spec"]["template"]["metadata"]["annotations"] = json!({START_RETRIES: "3"});
    }
    if dice.has("finalizers") && dice.below("finalizer", nth, 4) == 0 && namespace != "default" {
        set["metadata"]["finalizers"] = json!(["miniku.test/hold"]);
    }
    set
}

/// The priorities that pods may have beside none.
const PRIORITIES: [i32; 4] = [10, -10, 20, -20];

fn class(priority: i32) -> String {
    if priority < 0 { format!("below-{}", -priority) } else { format!("above-{priority}") }
}

/// Gives the spec of a pod a priority.
fn important(spec: &mut Value, priority: i32) {
    if priority != 0 {
        spec["priorityClassName"] = class(priority).into();
    }
}

/// Labels that a node may have, or get.
fn selector(dice: &Dice, nth: u64) -> Value {
    match dice.below("selector", nth, 3) {
        0 => json!({"zone": "a", "disk": "fast"}),
        _ => json!({"zone": "a"}),
    }
}

/// A pod by itself: made, perhaps relabelled, deleted, made again under its name.
fn pod(dice: &Dice, nth: u64, sets: u64, plan: &mut Plan) {
    let name = format!("pod-{nth}");
    let mut key = Key::new(Kind::Pod, "default", &name);
    let at = dice.millis("pod at", nth, 2_000, 120_000);
    let mut manifest = pod_manifest(dice, nth, &name);
    let held = dice.has("finalizers") && dice.below("pod held", nth, 3) == 0;
    if held {
        manifest["metadata"]["finalizers"] = json!(["miniku.test/hold"]);
    }
    let set = self::name(dice.below("pod set", nth, sets));
    if dice.has("elsewhere") && dice.below("pod elsewhere", nth, 3) == 0 {
        // The labels of a set, but not its namespace.
        key.namespace = "kube-public".into();
        manifest["metadata"]["namespace"] = "kube-public".into();
        manifest["metadata"]["labels"] = json!({"app": set});
    } else if dice.has("adoption") && dice.below("pod labels", nth, 2) == 0 {
        // Selected by a set. Such a pod runs for ever, as the set's own do.
        manifest["metadata"]["labels"] = json!({"app": set});
        manifest["spec"]["restartPolicy"] = "Always".into();
        manifest["spec"]["containers"].as_array_mut().expect("it has one").truncate(1);
        manifest["spec"]["containers"][0]["command"] = json!(["sh", "-c", "sleep infinity"]);
        manifest["spec"]["containers"][0]["image"] = "busybox".into();
        let relabelled = at + dice.millis("relabelled", nth, 500, 30_000);
        let label = if dice.below("label", nth, 2) == 0 { "nobody's".to_owned() } else { set.clone() };
        plan.ask(relabelled, merge(&key, json!({"metadata": {"labels": {"app": label.trim_end_matches("'s")}}})));
    }
    if dice.has("owners") {
        own(dice, nth, &set, &mut manifest);
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
    let lasts = |one: &Value| {
        one["command"][2].as_str().is_some_and(|script| script.ends_with("infinity")) && one["image"] == "busybox"
    };
    if manifest["spec"]["containers"].as_array().is_some_and(|all| all.iter().all(lasts)) && !held {
        return;
    }
    // What ends badly, or never starts, is tried for ever. And what was asked for while the server was away may make it
    // once more when it was ended already.
    let end = END.max(deleted + Duration::from_secs(5));
    for end in [end, end + AGAIN] {
        plan.ask(end, let_go(&key));
        plan.ask(end + Duration::from_secs(5), Ask::Delete(delete_of(&key)));
        plan.ask(end + Duration::from_secs(40), let_go(&key));
    }
}

/// What it is before anything is done to it.
fn pod_manifest(dice: &Dice, nth: u64, name: &str) -> Value {
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
            manifest["metadata"]["annotations"] = json!({START_RETRIES: dice.one("retries", nth, &["8", "1", "3"])});
        }
    }
    if dice.has("selectors") && dice.below("pod selects", nth, 3) == 0 {
        manifest["spec"]["nodeSelector"] = selector(dice, nth + 50);
    }
    if dice.has("priorities") {
        important(&mut manifest["spec"], dice.one("pod priority", nth, &[0, 20, -20]));
    }
    if dice.has("memories") {
        manifest["spec"]["containers"][0]["resources"]["requests"]["memory"] =
            dice.one("pod memory", nth, &["20Mi", "100Mi"]).into();
    }
    if dice.has("sides") && dice.below("side", nth, 3) == 0 {
        let script = dice.one("side script", nth, &["sleep infinity", "sleep 4", "sleep 6; exit 1"]);
        let side = json!({"name": "side", "image": "busybox", "command": ["sh", "-c", script]});
        manifest["spec"]["containers"].as_array_mut().expect("it has one").push(side);
    }
    details::needs(dice, name, &mut manifest["spec"]);
    manifest
}

/// Gives an object owners that are gone, or of a kind that is taken to exist: nobody can know a uid in advance.
fn own(dice: &Dice, nth: u64, set: &str, manifest: &mut Value) {
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

/// A namespace with a set and a pod in it, ended, and perhaps made again.
fn namespace(dice: &Dice, nth: u64, plan: &mut Plan) {
    let team = format!("team-{nth}");
    let manifest = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": team}});
    let mut at = dice.millis("namespace at", nth, 1_000, 60_000);
    for again in 0..1 + dice.below("namespace again", nth, 2) {
        let nth = nth * 10 + again;
        plan.ask(at, plan::create(manifest.clone()));
        if dice.has("at once") {
            // It waits with the namespace, and then for what that is given.
            let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "infinity"]});
            let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
            let mut pod = plan::pod("at-once", spec);
            pod["metadata"]["namespace"] = team.as_str().into();
            plan.ask(at + dice.millis("at once", nth, 0, 4), plan::create(pod));
        }
        let set = set(dice, 100 + nth, 7, &team);
        let key = Key::new(Kind::ReplicaSet, &team, "set-7");
        if set["spec"]["template"]["spec"]["restartPolicy"] == "Never" {
            for at in [END, END + AGAIN] {
                plan.ask(at, merge(&key, json!({"spec": {"replicas": 0}})));
            }
        }
        plan.ask(at + dice.millis("within", nth, 300, 3_000), plan::create(set.clone()));
        at += dice.millis("namespace lives", nth, 2_000, 40_000);
        if dice.has("namespaces stripped") {
            // An ordinary write says nothing of what keeps a namespace until it is empty.
            let stripped = merge(&Key::new(Kind::Namespace, "", &team), json!({"spec": {"finalizers": null}}));
            plan.ask(at - dice.millis("stripped", nth, 100, 1_500), stripped);
        }
        plan.ask(at, plan::delete(Kind::Namespace, &team));
        let mut late = plan::replica_set("late", 1, "");
        late["metadata"]["namespace"] = team.as_str().into();
        plan.ask(at + dice.millis("late", nth, 0, 200), plan::create(late));
        at += dice.millis("namespace ends", nth, 1_000, 60_000);
        plan.ask(at, let_go(&key));
        for at in [END, END + AGAIN] {
            plan.ask(at, let_go(&key));
        }
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
        1 if dice.has("nodes deleted") => {
            if dice.has("nodes held") {
                // It is there for a while yet, being deleted.
                plan.ask(at, merge(&key, json!({"metadata": {"finalizers": ["miniku.test/hold"]}})));
                plan.ask(at + dice.millis("node released", nth, 5_000, 60_000), let_go(&key));
                for at in [END, END + AGAIN] {
                    plan.ask(at, let_go(&key));
                }
            }
            plan.ask(at + Duration::from_secs(1), plan::delete(Kind::Node, &node));
        }
        _ if dice.has("selectors") => {
            let (zone, disk) = (dice.one("zone", nth, &["a", "a", "b"]), dice.one("disk", nth, &["fast", "slow"]));
            plan.ask(at, merge(&key, json!({"metadata": {"labels": {"zone": zone, "disk": disk}}})));
        }
        _ => {}
    }
}

fn merge(key: &Key, merge: Value) -> Ask {
    let Delete { kind, name, namespace, .. } = delete_of(key);
    Ask::Patch(Patch { kind, name, namespace, merge, of: None })
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
    // Either may lead.
    let one_of_two = |program: &str| match room::stands_by(dice) && dice.below("second", nth, 2) == 0 {
        true => format!("{program}-2"),
        false => program.into(),
    };
    match dice.below("actor", nth, 10) {
        0 | 1 => one_of_two("workloads"),
        2 => one_of_two("scheduler"),
        3 => one_of_two("node-lifecycle"),
        4 => one_of_two("garbage"),
        5 => one_of_two("namespaces"),
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
        1 if dice.below("in good order", nth, 3) == 0 => ("crash", Fault::Stop { actor, down: short }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_a_scenario_that_can_be_written_down() {
        for seed in 1..300 {
            let scenario = drawn(seed);
            assert_eq!(scenario.check(), Ok(()), "seed {seed}");
        }
    }
}
