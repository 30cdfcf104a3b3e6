//! What is seldom looked at in objects: init containers and overhead, extended resources, ports of nodes, ports that have
//! names, addresses of services, numbers that are written as a scale.
//!
//! Each in half of the runs at most. What keeps pods away for ever, or can never start, is taken back by the operator.

use super::{ACTIVE, AGAIN, Dice, END, merge, name, node};
use crate::invariants::GPU;
use crate::noise::Delay;
use crate::plan::{self, Act, Ask, Fault, Patch, Piece, Plan, Relabel, Weather};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::time::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Adds all of it to a plan for so many nodes and replica sets.
pub(super) fn draw(dice: &Dice, nodes: u64, sets: u64, plan: &mut Plan) {
    if dice.in_some("gpus", 3) {
        gpus(dice, nodes, plan);
    }
    if dice.in_some("written as scale", 2) {
        scales(dice, sets, plan);
    }
    if dice.in_some("same address", 2) {
        same_address(dice, plan);
    }
    if dice.in_some("stuck", 3) {
        stuck(dice, nodes, plan);
    }
    if dice.in_some("had rather not", 3) {
        (0..1 + dice.below("rather", 0, 3)).for_each(|nth| rather_not(dice, nth, nodes, plan));
    }
    if dice.in_some("limits of pods", 4) {
        limits(dice, plan);
    }
    if dice.in_some("late binds", 4) && nodes > 1 {
        late_binds(dice, nodes, plan);
    }
    if dice.in_some("relabelled", 2) && sets > 1 {
        for nth in 0..1 + dice.below("relabels", 0, 4) {
            let (from, to) = dice.one("relabel", nth, &[(0, 1), (1, 0)]);
            let labels = BTreeMap::from([("app".to_owned(), Some(name(to)))]);
            let relabel = Relabel { pod: format!("{}-", name(from)), namespace: "default".into(), labels };
            plan.ask(dice.millis("relabel at", nth, 8_000, ACTIVE), Ask::Relabel(relabel));
        }
    }
}

/// Whether ports are meant by their names, where there are services.
pub(super) fn names_ports(dice: &Dice) -> bool {
    dice.has("workloads") && dice.has("services") && dice.below("named ports", 0, 3) == 0
}

/// What the pods of an app take up beside what their containers request, perhaps, and what their ports are called.
pub(super) fn needs(dice: &Dice, app: &str, spec: &mut Value) {
    let below = |what: &str, bound| dice.below(&format!("{what} of {app}"), 0, bound);
    if dice.has("inits") && below("inits", 3) == 0 {
        let init = |name: &str, cpu: &str, memory: &str| {
            json!({"name": name, "image": "busybox", "command": ["true"],
                "resources": {"requests": {"cpu": cpu, "memory": memory}}})
        };
        let mut all = vec![init("first", ["80m", "200m"][below("init cpu", 2) as usize], "100Mi")];
        if below("second init", 2) == 0 {
            // They are not there at the same time.
            all.push(init("second", "180m", "90Mi"));
        }
        if below("two inits", 2) == 0 {
            let mut stays = init("stays", "40m", "20Mi");
            stays["restartPolicy"] = "Always".into();
            all.insert(below("stays first", 2) as usize, stays);
        }
        spec["initContainers"] = all.into();
    }
    if dice.has("overheads") && below("overhead", 3) == 0 {
        spec["overhead"] = json!({"cpu": "60m", "memory": "30Mi"});
    }
    let is_set = ["set-", "web-"].iter().any(|kind| app.starts_with(kind));
    if is_set && dice.has("spread apart") && below("apart", 4) == 0 && spec["affinity"].is_null() {
        // A node that takes none of them is none of the places that have to be even.
        let away = json!({"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-1"]});
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [away]}]}}});
        spec["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": app}}}]);
    }
    if dice.has("host ports") && below("port", 4) == 0 {
        let ip = ["", "10.0.0.1", "10.0.0.2", "0.0.0.0"][below("host ip", 4) as usize];
        let protocol = ["TCP", "TCP", "UDP"][below("protocol", 3) as usize];
        let mut port = json!({"containerPort": 80, "hostPort": 8080, "protocol": protocol});
        if !ip.is_empty() {
            port["hostIP"] = ip.into();
        }
        spec["containers"][0]["ports"] = json!([port]);
    }
    if names_ports(dice) && below("named port", 4) > 0 {
        let port = json!({"name": "http", "containerPort": 8080 + below("number of it", 3)});
        match spec["containers"][0]["ports"].as_array_mut() {
            Some(ports) => ports.push(port),
            None => spec["containers"][0]["ports"] = json!([port]),
        }
    }
}

/// Some nodes have what others do not, now more, now less of it.
fn gpus(dice: &Dice, nodes: u64, plan: &mut Plan) {
    for nth in 0..1 + dice.below("with gpus", 0, 3) {
        let key = Key::new(Kind::Node, "", &node(dice, 600 + nth, nodes));
        for change in 0..1 + dice.below("gpus change", nth, 3) {
            let nth = nth * 10 + change;
            let at = match change {
                0 => dice.millis("gpus at", nth, 2_000, 40_000),
                _ => dice.millis("gpus changed", nth, 20_000, ACTIVE),
            };
            let has = json!({"status": {"capacity": {GPU: dice.below("gpus of", nth, 5).to_string()}}});
            plan.ask(at, part(&key, Piece::Status, has));
        }
    }
    let mut set = plan::replica_set("gpus", 1 + dice.below("gpu pods", 0, 6) as usize, "");
    let resources = json!({"limits": {GPU: dice.one("gpus each", 0, &["1", "1", "2"])}, "requests": {"cpu": "20m"}});
    set["spec"]["template"]["spec"]["containers"][0]["resources"] = resources;
    plan.ask(dice.millis("gpu set at", 0, 1_000, 60_000), plan::create(set));
}

/// A part of an object is changed that is written by itself.
pub(super) fn part(key: &Key, of: Piece, merge: Value) -> Ask {
    match super::merge(key, merge) {
        Ask::Patch(patch) => Ask::Patch(Patch { of: Some(of), ..patch }),
        other => other,
    }
}

/// Numbers are written as `kubectl scale` writes them.
fn scales(dice: &Dice, sets: u64, plan: &mut Plan) {
    for nth in 0..1 + dice.below("scales", 0, 4) {
        let set = name(dice.below("scale of", nth, sets));
        let (kind, name) = [(Kind::ReplicaSet, &*set), (Kind::Deployment, "web-0"), (Kind::StatefulSet, "db-0")]
            [dice.below("scale kind", nth, 3) as usize];
        let wish = json!({"spec": {"replicas": dice.below("scale to", nth, 7)}});
        let at = dice.millis("scaled at", nth, 6_000, ACTIVE);
        let key = Key::new(kind, "default", name);
        let makes = |act: &Act| matches!(act, Act::Ask(Ask::Create(object)) if object.key() == key);
        if plan.entries.iter().any(|entry| entry.at < at && makes(&entry.act)) {
            plan.ask(at, part(&key, Piece::Scale, wish));
        }
    }
}

/// Services that are made in the same moment, and ask for the same; and one that asks for it when it was nobody's for long.
fn same_address(dice: &Dice, plan: &mut Plan) {
    let with_port = dice.one("same port", 0, &[true, false]);
    let service = |name: &str| {
        let (kind, port) = match with_port {
            true => ("NodePort", json!({"port": 80, "nodePort": 30_080})),
            false => ("ClusterIP", json!({"port": 80})),
        };
        let spec = json!({"type": kind, "clusterIP": "10.96.0.99", "selector": {"app": "set-0"}, "ports": [port]});
        plan::create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}))
    };
    let names = ["same-0", "same-1", "same-2"];
    let mut at = dice.millis("same at", 0, 500, 90_000);
    for again in 0..1 + dice.below("same again", 0, 3) {
        names.iter().for_each(|name| plan.ask(at, service(name)));
        at += dice.millis("same lives", again, 500, 30_000);
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Service, name)));
        at += dice.millis("same pause", again, 0, 50);
    }
    plan.ask(at + Duration::from_secs(70), service("same-later"));
}

/// Pods that never start have a budget that allows nothing, and their nodes are vacated.
fn stuck(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let at = dice.millis("stuck at", 0, 1_000, 90_000);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "stuck"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "stuck"}}}});
    plan.ask(at, plan::create(budget));
    for nth in 0..3 {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("stuck-{nth}"), "labels": {"app": "stuck"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "nowhere/nothing:1"}]}});
        plan.ask(at, plan::create(pod));
    }
    for nth in 0..2 {
        let node = node(dice, 700 + nth, nodes);
        let at = at + dice.millis("stuck vacated", nth, 5_000, 60_000);
        plan.ask(at, Ask::Vacate(node.clone()));
        plan.ask(at + dice.millis("stuck back", nth, 10_000, 30_000), Ask::Uncordon(node));
    }
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::PodDisruptionBudget, "stuck"));
        (0..3).for_each(|nth| plan.ask(at, plan::delete(Kind::Pod, &format!("stuck-{nth}"))));
    }
}

/// A node that pods had rather not be on.
fn rather_not(dice: &Dice, nth: u64, nodes: u64, plan: &mut Plan) {
    let key = Key::new(Kind::Node, "", &node(dice, 800 + nth, nodes));
    let taints = |taints: Value| merge(&key, json!({"spec": {"taints": taints}}));
    plan.ask(
        dice.millis("rather at", nth, 3_000, ACTIVE / 2),
        taints(json!([{"key": "slow", "effect": "PreferNoSchedule"}])),
    );
    for at in [END, END + AGAIN] {
        plan.ask(at, taints(Value::Null));
    }
}

/// Bounds for whole pods, and defaults for those who say a limit alone.
fn limits(dice: &Dice, plan: &mut Plan) {
    let most = dice.one("most together", 0, &["150m", "300m", "700m"]);
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "together"}, "spec": {"limits": [
        {"type": "Pod", "max": {"cpu": most}},
        {"type": "Container", "default": {"cpu": "120m"}, "defaultRequest": {"cpu": "20m"}}]}});
    plan.ask(dice.millis("together at", 0, 500, 30_000), plan::create(range));
    for nth in 0..2 + dice.below("limited", 0, 5) {
        let limit = |what: &str| dice.one(what, nth, &["10m", "15m", "90m", "200m"]);
        let container = |name: &str, cpu: &str| {
            json!({"name": name, "image": "busybox", "command": ["sleep", "infinity"],
                "resources": {"limits": {"cpu": cpu}}})
        };
        let mut containers = vec![container("main", limit("limit"))];
        if dice.below("two limits", nth, 2) == 0 {
            containers.push(container("side", limit("side limit")));
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("limited-{nth}")},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": containers}});
        plan.ask(dice.millis("limited at", nth, 1_000, ACTIVE), plan::create(pod));
    }
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::LimitRange, "together"));
    }
}

/// Binds are on their way to a node that is gone when they arrive, and does not come back at once.
fn late_binds(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let at = dice.millis("late binds at", 0, 10_000, 110_000);
    let node = node(dice, 900, nodes);
    let slow = Some(Delay { min: Duration::ZERO, mean: dice.millis("late by", 0, 3_000, 9_000) });
    let weather = Weather { slow, ..Weather::FAIR };
    plan.strike(at, Fault::Link { actor: "scheduler".into(), weather, lasts: Duration::from_secs(25) });
    plan.strike(at, Fault::NodeCrash { node: node.clone(), down: Some(Duration::from_secs(50)) });
    plan.ask(at, plan::scale(&name(0), 0));
    plan.ask(at + Duration::from_millis(100), plan::scale(&name(0), 4 + 2 * nodes as u32));
    plan.ask(at + dice.millis("late gone", 0, 2_000, 8_000), plan::delete(Kind::Node, &node));
    plan.ask(at + Duration::from_secs(60), plan::scale(&name(0), 2));
}
