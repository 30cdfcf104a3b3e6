//! Nodes that are emptied while a budget is just met.

use super::{idle, on};
use crate::plan::{self, Ask, Fault, Plan};
use crate::swarm::{AGAIN, Dice, END, node, room};
use miniku_core::api::kinds::Kind;
use miniku_core::time::Duration;
use serde_json::json;

/// A node is emptied that has as many healthy pods as a budget demands, and some that crash all the time.
pub(super) fn lame(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 996, nodes);
    let at = dice.millis("lame at", 0, 1_000, 90_000);
    let sound = 1 + dice.below("lame sound", 0, 3);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "lame"},
        "spec": {"minAvailable": sound, "selector": {"matchLabels": {"app": "lame"}}}});
    plan.ask(at, plan::create(budget));
    let names: Vec<String> = (0..sound + 2).map(|nth| format!("lame-{nth}")).collect();
    for (nth, name) in (0..).zip(&names) {
        let mut container = idle("10m");
        if nth >= sound {
            container["command"] = json!(["sh", "-c", "exit 1"]);
        }
        let mut pod = plan::pod(name, on(&node, container));
        pod["metadata"]["labels"] = json!({"app": "lame"});
        plan.ask(at, plan::create(pod));
    }
    let emptied = at + dice.millis("lame emptied", 0, 15_000, 60_000);
    plan.ask(emptied, Ask::Vacate(node.clone()));
    plan.ask(emptied + dice.millis("lame back", 0, 10_000, 30_000), Ask::Uncordon(node));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::PodDisruptionBudget, "lame"));
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

/// A pod is evicted while nobody counts, and another of its name is to be evicted next. There are just enough without it.
pub(super) fn inherited(dice: &Dice, nodes: u64, plan: &mut Plan) {
    if nodes < 2 {
        return;
    }
    let (at, second) = (dice.millis("inherited at", 0, 1_000, 80_000), Duration::from_secs(1));
    let left = 1 + dice.below("inherited on", 0, nodes);
    let (left, stays) = (format!("node-{left}"), format!("node-{}", 1 + left % nodes));
    let pod = |name: &str, node: &str| {
        let mut pod = plan::pod(name, on(node, idle("10m")));
        pod["metadata"]["labels"] = json!({"app": "heir"});
        plan::create(pod)
    };
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "heir"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "heir"}}}});
    plan.ask(at, plan::create(budget));
    plan.ask(at, pod("heir-0", &left));
    plan.ask(at, pod("heir-1", &stays));
    let first = at + dice.millis("inherited first", 0, 13_000, 25_000);
    for actor in room::all_of(dice, "disruption") {
        plan.strike(first.saturating_sub(second / 5), Fault::Crash { actor, down: second * 40 });
    }
    plan.ask(first, Ask::Vacate(left.clone()));
    plan.ask(first + second * 3, Ask::Uncordon(left.clone()));
    plan.ask(first + second * 4, pod("heir-0", &left));
    plan.ask(first + second * 10, Ask::Vacate(left.clone()));
    plan.ask(first + second * 50, Ask::Uncordon(left));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::PodDisruptionBudget, "heir"));
        ["heir-0", "heir-1"].iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::planned;
    use super::*;
    use crate::invariants::stable;
    use crate::plan::Act;
    use miniku_core::api::pod::Pod;

    #[test]
    fn a_node_is_emptied_of_just_as_many_healthy_pods_as_are_demanded() {
        for seed in 0..100 {
            let plan = planned(seed, lame);
            let pods = plan.entries.iter().filter_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.get::<Pod>(),
                _ => None,
            });
            let lasting = pods.filter(|pod| stable::lasts(&pod.spec, false)).count() as u64;
            let demanded = plan.entries.iter().find_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.at(&["spec", "minAvailable"])?.as_u64(),
                _ => None,
            });
            assert_eq!(demanded, Some(lasting), "seed {seed}");
        }
    }
}
