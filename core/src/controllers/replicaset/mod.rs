//! ReplicaSet controller: so many pods of one template, always.
//!
//! [`plan`](mod@plan) is what a set wants; in it [`scale`] decides how many pods to make and which to delete, and
//! [`keep`] which finished ones stay to be looked at. The [program](super::workload) around it is that of all workloads.

pub mod keep;
pub mod plan;
pub mod scale;
#[cfg(test)]
mod tests;

use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::pod::{Pod, PodPhase};
use crate::api::replicaset::ReplicaSet;
use crate::api::selector::LabelSelector;
use crate::controllers::replicaset::keep::Failures;
use crate::controllers::workload::{News, Plan, Scene, Workload, WorkloadController};
use crate::time::Now;
use std::borrow::Cow;

/// Brings each replica set to its wanted number of pods.
pub type ReplicaSetController = WorkloadController<ReplicaSets>;

/// Replica sets, as the [program](super::workload) of all workloads knows them.
#[derive(Debug)]
pub enum ReplicaSets {}

impl Workload for ReplicaSets {
    type Memory = Failures;

    const KIND: Kind = Kind::ReplicaSet;
    const NAME: &'static str = "replicaset";
    const COMPONENT: &'static str = "replicaset-controller";
    const CHILDREN: &'static [Kind] = &[Kind::Pod];

    fn selector(owner: &Object) -> Option<Cow<'_, LabelSelector>> {
        owner.get::<ReplicaSet>().map(|set| Cow::Borrowed(&set.spec.selector))
    }

    fn plan(scene: &Scene<'_>, failures: &mut Failures) -> Plan {
        let Some(set) = scene.owner.get::<ReplicaSet>() else { return Plan::default() };
        plan::plan(scene, set, failures.replace_at(set.wanted()))
    }

    fn noticed(failures: &mut Failures, now: Now, news: &News<'_>) {
        let (old, new) = (news.old.and_then(Object::get::<Pod>), news.new.and_then(Object::get::<Pod>));
        let Some(old) = old else { return };
        let leaves = new.is_none_or(|new| new.metadata.is_deleting());
        // Whoever took it away before it ran may go on doing so: it is replaced like one that failed.
        if leaves && !news.asked_for && old.is_active() && old.status.phase == PodPhase::Pending {
            failures.add(now.mono);
        }
        // What is told to stop and ends with an error has not failed.
        let has_failed = |pod: &Pod| pod.status.phase == PodPhase::Failed;
        if new.is_some_and(|new| has_failed(new) && !new.metadata.is_deleting()) && !has_failed(old) {
            failures.add(now.mono);
        }
    }
}

use crate::pages::Page;

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![scale::page(), keep::page()]
}

/// Who decides here.
const BY: &str = "the ReplicaSet controller";
