//! A replica set and how its pods fare.

use super::meta::{annotations, controlled_by, field, labels};
use super::pod::describe_template;
use crate::cli::cluster::{Parameters, selectors};
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::replicaset::ReplicaSet;
use std::fmt::Write;

/// Which pods to list: those it selects.
pub fn pods_of(object: &Object) -> Parameters {
    let selector = object.get::<ReplicaSet>().map(|set| set.spec.selector.to_string());
    selectors(selector.as_deref(), None)
}

/// All about a replica set but its events; of `pods`, those it owns are counted.
pub fn describe(text: &mut String, object: &Object, pods: &[Object]) {
    let Some(set) = object.get::<ReplicaSet>() else { return };
    field(text, "Name", &set.metadata.name);
    field(text, "Namespace", &set.metadata.namespace);
    field(text, "Selector", &set.spec.selector.to_string());
    labels(text, "Labels", &set.metadata.labels);
    annotations(text, &set.metadata.annotations);
    controlled_by(text, &set.metadata);
    let _ = writeln!(text, "Replicas:\t{} current / {} desired", set.status.replicas, set.wanted());
    let owned: Vec<PodPhase> = pods
        .iter()
        .filter_map(|pod| pod.get::<Pod>())
        .filter(|pod| pod.metadata.controller().is_some_and(|owner| owner.uid == set.metadata.uid))
        .map(|pod| pod.status.phase)
        .collect();
    let count = |phase| owned.iter().filter(|one| **one == phase).count();
    let _ = writeln!(
        text,
        "Pods Status:\t{} Running / {} Waiting / {} Succeeded / {} Failed",
        count(PodPhase::Running),
        count(PodPhase::Pending),
        count(PodPhase::Succeeded),
        count(PodPhase::Failed)
    );
    describe_template(text, &set.spec.template);
    if !set.status.conditions.is_empty() {
        text.push_str("Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------\n");
        for condition in &set.status.conditions {
            let _ = writeln!(text, "  {}\t{}\t{}", condition.kind, condition.status, condition.reason);
        }
    }
}
