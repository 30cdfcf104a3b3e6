//! Whether each replica set has its pods, and says so.

use super::{is_held, workloads};
use crate::truth::Truth;
use miniku_core::api::pod::Pod;
use miniku_core::api::replicaset::ReplicaSet;

/// What is not as it should be, if anything.
pub(super) fn missing(truth: &Truth) -> Option<String> {
    truth.all::<ReplicaSet>().find_map(|set| {
        let wrong = replica_set(truth, set).err()?;
        Some(format!("replica set {} {wrong}", set.metadata.name))
    })
}

fn replica_set(truth: &Truth, set: &ReplicaSet) -> Result<(), String> {
    if set.metadata.is_deleting() {
        let own = |pod: &Pod| pod.metadata.owner_references.iter().any(|owner| owner.uid == set.metadata.uid);
        return if is_held(truth, own) { Ok(()) } else { Err("is still being deleted".into()) };
    }
    let own = |pod: &&Pod| pod.metadata.controller().is_some_and(|owner| owner.uid == set.metadata.uid);
    let active: Vec<&Pod> = truth.all::<Pod>().filter(own).filter(|pod| pod.is_active()).collect();
    has_what_it_selects(truth, set, &active)?;
    if active.len() != set.wanted() {
        return Err(format!("has {} of {} pods", active.len(), set.wanted()));
    }
    counts(truth, set, &active)?;
    let own_finished = truth.all::<Pod>().filter(own).filter(|pod| pod.status.phase.is_final());
    let finished = own_finished.filter(|pod| !pod.metadata.is_deleting()).count();
    if finished > set.wanted() {
        return Err(format!("keeps {finished} finished pods, and wants {}", set.wanted()));
    }
    if set.status.observed_generation != set.metadata.generation {
        return Err("was not looked at since it changed".into());
    }
    Ok(())
}

/// Its pods are those that it selects, and no others.
fn has_what_it_selects(truth: &Truth, set: &ReplicaSet, active: &[&Pod]) -> Result<(), String> {
    let selected = |pod: &Pod| set.spec.selector.matches(&pod.metadata.labels);
    if let Some(stranger) = active.iter().find(|pod| !selected(pod)) {
        return Err(format!("keeps {}, which it does not select", stranger.metadata.name));
    }
    let within = |pod: &&Pod| pod.metadata.namespace == set.metadata.namespace && pod.is_active();
    let nobodys = |pod: &&Pod| pod.metadata.controller().is_none() && selected(pod);
    match truth.all::<Pod>().filter(within).find(nobodys) {
        Some(orphan) => Err(format!("does not adopt {}", orphan.metadata.name)),
        None => Ok(()),
    }
}

/// What its status says of its pods.
fn counts(truth: &Truth, set: &ReplicaSet, active: &[&Pod]) -> Result<(), String> {
    let ready = active.iter().filter(|pod| pod.is_ready()).count();
    let told = |count: Option<i32>| usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX);
    if told(Some(set.status.replicas)) != active.len() || told(set.status.ready_replicas) != ready {
        let (replicas, ready_told) = (set.status.replicas, set.status.ready_replicas.unwrap_or(0));
        return Err(format!("says {replicas} pods, {ready_told} ready; they are {}, {ready}", active.len()));
    }
    let available = set.status.available_replicas;
    if set.spec.min_ready_seconds.unwrap_or(0) == 0 && told(available) != ready {
        return Err(format!("says {} are available, {ready} are", available.unwrap_or(0)));
    }
    let labels = &set.spec.template.metadata.labels;
    let bears = |pod: &&&Pod| labels.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value));
    let (said, labelled) = (set.status.fully_labeled_replicas, active.iter().filter(bears).count());
    if told(said) != labelled {
        let said = said.unwrap_or(0);
        return Err(format!("says that {said} pods have all its labels, {labelled} have"));
    }
    workloads::all_serve(truth, active.iter().copied(), set.spec.min_ready_seconds, available)?;
    workloads::failed(true, set.status.conditions.iter().any(|one| one.kind == "ReplicaFailure"))
}

#[cfg(test)]
mod tests {
    use super::super::forged::Nobody;
    use super::*;
    use crate::invariants::forged::{Story, pod};
    use serde_json::json;

    #[test]
    fn says_how_many_pods_have_all_labels() {
        let judge = |said: i32| {
            let mut story = Story::<Nobody>::new();
            let mut set = crate::plan::replica_set("web", 2, "");
            set["metadata"]["uid"] = "web".into();
            set["spec"]["template"]["metadata"]["labels"]["tier"] = "front".into();
            set["status"] = json!({"replicas": 2, "fullyLabeledReplicas": said});
            story.put(set).unwrap();
            for (name, labels) in [("a", json!({"app": "web", "tier": "front"})), ("b", json!({"app": "web"}))] {
                let mut pod = pod(name, "n", "Pending");
                pod["metadata"]["labels"] = labels;
                pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                    "name": "web", "uid": "web", "controller": true}]);
                story.put(pod).unwrap();
            }
            missing(&story.truth)
        };
        assert_eq!(judge(1), None);
        assert_eq!(judge(2).unwrap(), "replica set web says that 2 pods have all its labels, 1 have");
    }
}
