//! Where pods may be, when that has only just changed, or others have to go for them.

use super::{idle, on, touch};
use crate::plan::{self, Ask, Plan};
use crate::swarm::{AGAIN, Dice, END, delete_of, important, merge, name};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// A pod gets a label that others must not be near, and then those others come. Where it is the only node, they wait.
pub(super) fn moved_in(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let pod = |name: &str, affinity: Option<&Value>| {
        let mut pod = plan::pod(name, json!({"terminationGracePeriodSeconds": 1, "containers": [idle("10m")]}));
        pod["metadata"]["labels"] = json!({"near": "nobody"});
        if let Some(affinity) = affinity {
            pod["spec"]["affinity"] = affinity.clone();
        }
        plan::create(pod)
    };
    let second = Duration::from_secs(1);
    let at = dice.millis("moved in at", 0, 2_000, 90_000);
    plan.ask(at, pod("guest", None));
    let moved = at + dice.millis("moved in", 0, 5_000, 15_000);
    let label = json!({"metadata": {"labels": {"near": "guest"}}});
    plan.ask(moved, merge(&Key::new(Kind::Pod, "default", "guest"), label));
    let guests = json!({"labelSelector": {"matchLabels": {"near": "guest"}}, "topologyKey": "kubernetes.io/hostname"});
    let away = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [guests]}});
    let names: Vec<String> = (0..3 + nodes.min(5)).map(|nth| format!("shy-{nth}")).collect();
    for (nth, name) in (1..).zip(&names) {
        plan.ask(moved + second * 2 * nth, pod(name, Some(&away)));
    }
    for at in [END, END + AGAIN] {
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
        plan.ask(at, plan::delete(Kind::Pod, "guest"));
    }
}

/// Pods of another namespace are on one node, and have the labels of pods that are to be spread over all nodes.
pub(super) fn namesakes(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("namesakes at", 0, 2_000, 90_000), Duration::from_secs(1));
    let crowd = format!("node-{}", 1 + dice.below("namesakes on", 0, nodes));
    let labelled = |name: &str, spec: Value| {
        let mut pod = plan::pod(name, spec);
        pod["metadata"]["labels"] = json!({"app": "namesake"});
        pod
    };
    let strangers = (0..3).map(|nth| Key::new(Kind::Pod, "kube-public", &format!("stranger-{nth}")));
    let strangers: Vec<Key> = strangers.collect();
    for key in &strangers {
        let mut stranger = labelled(key.name.as_str(), on(&crowd, idle("10m")));
        stranger["metadata"]["namespace"] = "kube-public".into();
        plan.ask(at, plan::create(stranger));
    }
    let spread = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "namesake"}}}]);
    // One more than there are nodes, of which one would stay empty if the strangers counted.
    let names: Vec<String> = (0..=nodes.min(5)).map(|nth| format!("namesake-{nth}")).collect();
    for (nth, name) in (4..).zip(&names) {
        let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [idle("10m")],
            "topologySpreadConstraints": spread});
        plan.ask(at + second * 2 * nth, plan::create(labelled(name, spec)));
    }
    for at in [END, END + AGAIN] {
        strangers.iter().for_each(|key| plan.ask(at, Ask::Delete(delete_of(key))));
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

/// Where somebody always waits, pods come that are more important, and others have to go for them; and just then somebody
/// writes on all nodes. Of those who may have to go, some perhaps have a budget that cannot miss them, and others have none.
pub(super) fn urgent(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let mut spare = plan::replica_set("spare", usize::try_from(nodes).unwrap_or(1), "");
    important(&mut spare["spec"]["template"]["spec"], 10);
    plan.ask(dice.millis("spare at", 0, 500, 3_000), plan::create(spare));
    if dice.below("urgent budget", 0, 2) == 0 {
        let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "cannot-miss"},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": name(0)}}}});
        plan.ask(Duration::from_secs(1), plan::create(budget));
        for at in [END, END + AGAIN] {
            plan.ask(at, plan::delete(Kind::PodDisruptionBudget, "cannot-miss"));
        }
    }
    let from = dice.millis("urgent at", 0, 40_000, 70_000);
    for nth in 0..4 {
        let (at, name) = (from + dice.millis("urgent then", nth, 0, 3_000), format!("urgent-{nth}"));
        let at = at + Duration::from_secs(20 * nth);
        // For most of these, more than one has to go.
        let cpu = dice.one("urgent cpu", nth, &["100m", "180m", "180m", "250m"]);
        let mut spec = json!({"terminationGracePeriodSeconds": 1, "containers": [idle(cpu)]});
        important(&mut spec, 20);
        plan.ask(at, plan::create(plan::pod(&name, spec)));
        for node in 1..=nodes.min(5) {
            touch(&format!("node-{node}"), at, Duration::from_millis(150), 12, plan);
        }
        plan.ask(at + dice.millis("urgent lives", nth, 4_000, 18_000), plan::delete(Kind::Pod, &name));
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::{first_at, makes_pod, planned};
    use super::*;
    use crate::plan::{Act, Entry};
    use miniku_core::api::object::Object;
    use miniku_core::api::pod::Pod;

    #[test]
    fn who_must_not_be_near_comes_after_the_label() {
        for seed in 0..100 {
            let plan = planned(seed, moved_in);
            let moved = first_at(&plan, |one| matches!(one.act, Act::Ask(Ask::Patch(_))));
            let created = |one: &Entry| match &one.act {
                Act::Ask(Ask::Create(object)) => Some((one.at, object.get::<Pod>()?.spec.affinity.is_some())),
                _ => None,
            };
            let mut created: Vec<(Duration, bool)> = plan.entries.iter().filter_map(created).collect();
            let first = created.remove(0);
            assert!(first.0 < moved && created.len() == 6, "seed {seed}");
            assert!(created.iter().all(|(at, shy)| *at > moved && *shy), "seed {seed}");
        }
    }

    #[test]
    fn who_is_to_be_spread_comes_after_the_strangers_of_one_node() {
        for seed in 0..100 {
            let plan = planned(seed, namesakes);
            let made = |one: &Entry| match &one.act {
                Act::Ask(Ask::Create(object)) => Some((one.at, object.clone())),
                _ => None,
            };
            let made: Vec<(Duration, Object)> = plan.entries.iter().filter_map(made).collect();
            let (strangers, others): (Vec<_>, Vec<_>) =
                made.iter().partition(|(_, object)| object.meta().namespace == "kube-public");
            assert!(strangers.len() == 3 && others.len() == 4, "seed {seed}");
            assert!(others.iter().all(|(at, _)| *at > strangers[0].0), "seed {seed}");
            let selects = |object: &Object| object.get::<Pod>().map(|pod| pod.spec.node_selector.clone());
            let crowd = selects(&strangers[0].1);
            assert!(strangers.iter().all(|(_, object)| selects(object) == crowd), "seed {seed}");
        }
    }

    #[test]
    fn somebody_writes_on_all_nodes_when_others_have_to_go() {
        for seed in 0..100 {
            let plan = planned(seed, urgent);
            let pods: Vec<Duration> = plan.entries.iter().filter(|one| makes_pod(one)).map(|one| one.at).collect();
            assert_eq!(pods.len(), 4, "seed {seed}");
            for at in pods {
                let within = |one: &&Entry| one.at >= at && one.at < at + Duration::from_secs(2);
                let news = plan.entries.iter().filter(within).filter(|one| matches!(one.act, Act::Ask(Ask::Patch(_))));
                assert_eq!(news.count(), 36, "seed {seed}");
            }
        }
    }
}
