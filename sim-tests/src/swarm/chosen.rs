//! What decides which nodes pods get, and for which they wait, and is seldom said: some runs say it on purpose.

use super::{AGAIN, Dice, END, merge, node};
use crate::plan::{self, Plan};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// Adds it to a plan for so many nodes.
pub(super) fn draw(dice: &Dice, nodes: u64, plan: &mut Plan) {
    if nodes > 1 && nodes < 10 && dice.in_some("evenly", 3) {
        evenly(dice, nodes, plan);
    }
    if nodes > 1 && dice.in_some("rather there", 3) {
        rather_there(dice, nodes, plan);
    }
    if nodes > 1 && dice.in_some("rather near", 6) {
        rather_near(dice, nodes, plan);
    }
    if nodes > 1 && dice.in_some("liked there", 10) {
        liked_there(dice, nodes, plan);
    }
    if nodes > 1 && nodes < 10 && dice.in_some("rather even", 10) {
        rather_even(dice, nodes, plan);
    }
    if dice.in_some("labelled later", 3) {
        labelled_later(dice, nodes, plan);
    }
    if dice.in_some("ephemeral", 6) {
        ephemeral(dice, plan);
    }
    if has_profiles(dice) {
        by_profile(dice, plan);
    }
}

/// A pod asks for what no node says that it has.
fn ephemeral(dice: &Dice, plan: &mut Plan) {
    let resources = json!({"requests": {"cpu": "10m", "ephemeral-storage": "1Gi"}});
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", "sleep infinity"],
        "resources": resources});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    plan.ask(dice.millis("ephemeral at", 0, 2_000, 90_000), plan::create(plan::pod("ephemeral", spec)));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::Pod, "ephemeral"));
    }
}

/// Whether the scheduler has profiles.
pub(super) fn has_profiles(dice: &Dice) -> bool {
    dice.in_some("profiles", 3)
}

/// Their names and strategies.
pub(super) const PROFILES: [(&str, &str); 2] = [("packs", "most-allocated"), ("turns", "round-robin")];

/// Pods are scheduled by other profiles, and one waits for a scheduler that nobody runs.
fn by_profile(dice: &Dice, plan: &mut Plan) {
    for (nth, (name, _)) in (0..).zip(PROFILES) {
        let mut set = plan::replica_set(name, dice.below("by profile", nth, 7) as usize, "");
        let spec = &mut set["spec"]["template"]["spec"];
        spec["containers"][0]["resources"]["requests"] = json!({"cpu": "20m", "memory": "20Mi"});
        spec["schedulerName"] = name.into();
        plan.ask(dice.millis("by profile at", nth, 2_000, 100_000), plan::create(set));
    }
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", "sleep infinity"]});
    let spec = json!({"schedulerName": "nobodys", "terminationGracePeriodSeconds": 1, "containers": [container]});
    plan.ask(dice.millis("of nobody at", 0, 2_000, 100_000), plan::create(plan::pod("of-nobody", spec)));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::Pod, "of-nobody"));
    }
}

/// Pods wait for a node with a label, and some time later one has it.
fn labelled_later(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let at = dice.millis("labelled later at", 0, 2_000, 40_000);
    for nth in 0..2 {
        let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", "sleep infinity"],
            "resources": {"requests": {"cpu": "10m", "memory": "10Mi"}}});
        let spec = json!({"nodeSelector": {"chosen": "yes"}, "terminationGracePeriodSeconds": 1,
            "containers": [container]});
        plan.ask(at, plan::create(plan::pod(&format!("waits-{nth}"), spec)));
    }
    let key = Key::new(Kind::Node, "", &node(dice, 1_200, nodes));
    let labels = merge(&key, json!({"metadata": {"labels": {"chosen": "yes"}}}));
    plan.ask(at + dice.millis("labelled later by", 0, 3_000, 30_000), labels);
}

/// Pods prefer some nodes, and one of them to the others.
fn rather_there(dice: &Dice, nodes: u64, plan: &mut Plan) {
    for nth in 0..1 + dice.below("rather there", 1, 2) {
        let name = format!("rather-{nth}");
        let term = |which: u64| {
            let values = json!([node(dice, 1_100 + 10 * nth + which, nodes)]);
            let weight = dice.one("rather there by", 10 * nth + which, &[1, 10, 50, 100]);
            let wish = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": values});
            json!({"weight": weight, "preference": {"matchExpressions": [wish]}})
        };
        let terms: Vec<Value> = (0..1 + dice.below("rather there of", nth, 3)).map(term).collect();
        let mut set = plan::replica_set(&name, 1 + dice.below("rather there many", nth, 5) as usize, "");
        let spec = &mut set["spec"]["template"]["spec"];
        spec["containers"][0]["resources"]["requests"] = json!({"cpu": "20m", "memory": "20Mi"});
        spec["affinity"] = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}});
        plan.ask(dice.millis("rather there at", nth, 2_000, 100_000), plan::create(set));
    }
}

/// Whether some nodes have images.
pub(super) fn has_images(dice: &Dice) -> bool {
    dice.in_some("images", 10)
}

/// A pod that takes little room and runs for ever, with these labels, and with this in its spec.
fn small(name: &str, labels: Value, mut spec: Value) -> Value {
    spec["terminationGracePeriodSeconds"] = 1.into();
    spec["containers"] = json!([{"name": "main", "image": "busybox", "command": ["sh", "-c", "sleep infinity"],
        "resources": {"requests": {"cpu": "10m", "memory": "10Mi"}}}]);
    let mut pod = plan::pod(name, spec);
    pod["metadata"]["labels"] = labels;
    pod
}

/// Makes pods, each so long after this time, and removes them at the end.
fn one_by_one(at: Duration, pods: impl IntoIterator<Item = (Duration, Value)>, plan: &mut Plan) {
    for (later, pod) in pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        plan.ask(at + later, plan::create(pod));
        for end in [END, END + AGAIN] {
            plan.ask(end, plan::delete(Kind::Pod, &name));
        }
    }
}

/// Where an affinity has what it only prefers.
const SHOULD: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// A preference of being on one node with pods that have this label, or not.
fn wish(label: Value, weight: u64) -> Value {
    let term = json!({"labelSelector": {"matchLabels": label}, "topologyKey": "kubernetes.io/hostname"});
    json!({"weight": weight, "podAffinityTerm": term})
}

/// Pods had rather be near one of two that are there, or away from it, by more or by less.
fn rather_near(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let names = ["near-0", "near-1"];
    let there = names.into_iter().zip(0..).map(|(name, nth)| {
        let pinned = json!({"nodeSelector": {"kubernetes.io/hostname": node(dice, 1_300 + nth, nodes)}});
        (Duration::ZERO, small(name, json!({"near": name}), pinned))
    });
    let come = (0..3 + dice.below("rather near many", 0, 3)).map(|nth| {
        let wish = |which: u64| {
            let whom = dice.one("rather near whom", 10 * nth + which, &names);
            wish(json!({"near": whom}), dice.one("rather near by", 10 * nth + which, &[1, 10, 50, 100]))
        };
        let affinity = match dice.below("rather near how", nth, 3) {
            0 => json!({"podAffinity": {SHOULD: [wish(0), wish(1)]}}),
            1 => json!({"podAntiAffinity": {SHOULD: [wish(0)]}}),
            _ => json!({"podAffinity": {SHOULD: [wish(0)]}, "podAntiAffinity": {SHOULD: [wish(1)]}}),
        };
        (Duration::from_secs(4 * (nth + 1)), small(&format!("comes-{nth}"), json!({}), json!({"affinity": affinity})))
    });
    one_by_one(dice.millis("rather near at", 0, 2_000, 100_000), there.chain(come), plan);
}

/// Pods that are there had rather have others with them, or not. Those that come mind nobody themselves.
fn liked_there(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let there = (0..2).map(|nth| {
        let guests = wish(json!({"guest": "yes"}), dice.one("liked by", nth, &[1, 10, 50, 100]));
        let affinity = match dice.below("liked how", nth, 3) {
            0 => json!({"podAntiAffinity": {SHOULD: [guests]}}),
            _ => json!({"podAffinity": {SHOULD: [guests]}}),
        };
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node(dice, 1_310 + nth, nodes)},
            "affinity": affinity});
        (Duration::ZERO, small(&format!("host-{nth}"), json!({}), spec))
    });
    let come = (0..2 + dice.below("liked many", 0, 3)).map(|nth| {
        let guest = small(&format!("guest-of-hosts-{nth}"), json!({"guest": "yes"}), json!({}));
        (Duration::from_secs(4 * (nth + 1)), guest)
    });
    one_by_one(dice.millis("liked at", 0, 2_000, 100_000), there.chain(come), plan);
}

/// Pods had rather be spread over nodes, or over the sides that these are on, and one of them is long in leaving.
fn rather_even(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let at = dice.millis("rather even at", 0, 5_000, 100_000);
    for nth in 1..=nodes {
        let side = json!({"metadata": {"labels": {"side": dice.one("side", nth, &["north", "south"])}}});
        plan.ask(at - Duration::from_secs(2), merge(&Key::new(Kind::Node, "", &format!("node-{nth}")), side));
    }
    let constraint = json!({"maxSkew": dice.one("rather even by", 0, &[1, 1, 2]),
        "topologyKey": dice.one("rather even over", 0, &["kubernetes.io/hostname", "side"]),
        "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"wide": "yes"}}});
    let come = (0..4 + dice.below("rather even many", 0, 4)).map(|nth| {
        let spec = json!({"topologySpreadConstraints": [constraint]});
        let mut pod = small(&format!("wide-{nth}"), json!({"wide": "yes"}), spec);
        if nth == 0 {
            pod["spec"]["terminationGracePeriodSeconds"] = 30.into();
            pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", "trap '' TERM; sleep infinity"]);
        }
        (Duration::from_secs(3 * nth), pod)
    });
    one_by_one(at, come, plan);
    plan.ask(at + dice.millis("rather even leaves", 0, 4_000, 9_000), plan::delete(Kind::Pod, "wide-0"));
}

/// Pods are spread evenly, and there is a node that does not take them: it has a taint, or they ask for others. Whether it
/// is one of the places, and how many there should be, is said or not.
fn evenly(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let at = dice.millis("evenly at", 0, 2_000, 40_000);
    let other = node(dice, 1_000, nodes);
    let policy = |what: &str| dice.one(what, 0, &["", "Honor", "Ignore"]);
    let how = dice.below("evenly how", 0, 3);
    let mut constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "evenly"}}});
    for (field, policy) in
        [("nodeTaintsPolicy", policy("evenly by taints")), ("nodeAffinityPolicy", policy("evenly by affinity"))]
    {
        if !policy.is_empty() {
            constraint[field] = policy.into();
        }
    }
    if how == 2 || dice.below("evenly over many", 0, 4) == 0 {
        constraint["minDomains"] = (nodes + dice.below("evenly over more", 0, 2)).into();
    }
    let mut set = plan::replica_set("evenly", (nodes + 1 + dice.below("evenly of", 0, nodes)) as usize, "");
    let spec = &mut set["spec"]["template"]["spec"];
    spec["containers"][0]["resources"]["requests"] = json!({"cpu": "10m", "memory": "10Mi"});
    spec["topologySpreadConstraints"] = json!([constraint]);
    let key = Key::new(Kind::Node, "", &other);
    let taints = |taints: Value| merge(&key, json!({"spec": {"taints": taints}}));
    match how {
        0 => {
            plan.ask(at - Duration::from_secs(1), taints(json!([{"key": "uneven", "effect": "NoSchedule"}])));
            for at in [END, END + AGAIN] {
                plan.ask(at, taints(Value::Null));
            }
        }
        1 => {
            let others = json!({"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [other]});
            spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [others]}]}}});
        }
        _ => {}
    }
    plan.ask(at, plan::create(set));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Act, Ask};
    use miniku_core::api::replicaset::ReplicaSet;
    use miniku_core::rng::Draw;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn what_pods_prefer_is_said_in_some_runs() {
        let mut runs: BTreeMap<&str, u32> = BTreeMap::new();
        for seed in 0..400 {
            let (dice, mut plan) = (Dice(Draw::new(seed).key("swarm")), Plan::default());
            draw(&dice, 3, &mut plan);
            let makes = |name: &str| {
                let is_it = |act: &Act| matches!(act, Act::Ask(Ask::Create(pod)) if *pod.meta().name == *name);
                plan.entries.iter().any(|one| is_it(&one.act))
            };
            let made = ["near-0", "host-0", "wide-0"].into_iter().filter(|name| makes(name));
            for what in made.chain(Some("images").filter(|_| has_images(&dice))) {
                *runs.entry(what).or_default() += 1;
            }
        }
        assert!(runs.len() == 4 && runs.values().all(|many| (6..80).contains(many)), "{runs:?}");
    }

    #[test]
    fn what_is_spread_evenly_is_more_than_there_are_nodes() {
        let mut said = BTreeSet::new();
        for seed in 0..500 {
            let mut plan = Plan::default();
            evenly(&Dice(Draw::new(seed)), 3, &mut plan);
            let set = plan.entries.iter().find_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.get::<ReplicaSet>(),
                _ => None,
            });
            let set = set.unwrap();
            assert!(set.spec.replicas > Some(3), "seed {seed}");
            let one = &set.spec.template.spec.topology_spread_constraints[0];
            said.insert(format!("{:?} {:?} {:?}", one.node_taints_policy, one.node_affinity_policy, one.min_domains));
        }
        assert_eq!(said.len(), 27, "{said:?}");
    }
}
