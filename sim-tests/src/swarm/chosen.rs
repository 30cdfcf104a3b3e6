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
    use std::collections::BTreeSet;

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
