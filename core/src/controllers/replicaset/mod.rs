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
use crate::api::object::{Object, Resource};
use crate::api::replicaset::ReplicaSet;
use crate::api::selector::LabelSelector;
use crate::controllers::workload::{Plan, Scene, Workload};
use crate::pages::Page;
use std::borrow::Cow;

/// Replica sets: each is brought to its wanted number of pods.
#[derive(Debug)]
pub struct ReplicaSets;

impl Workload for ReplicaSets {
    fn kind(&self) -> Kind {
        Kind::ReplicaSet
    }

    fn component(&self) -> &'static str {
        "replicaset-controller"
    }

    fn children(&self) -> &'static [Kind] {
        &[Kind::Pod]
    }

    fn selector<'a>(&self, owner: &'a Object) -> Option<Cow<'a, LabelSelector>> {
        owner.get::<ReplicaSet>().map(|set| Cow::Borrowed(&set.spec.selector))
    }

    fn plan(&self, scene: &Scene<'_>) -> Plan {
        let Some(set) = scene.owner.get::<ReplicaSet>() else { return Plan::default() };
        let (plan, status) = plan::plan(scene, set);
        Plan { status: status.map(|status| ReplicaSet { status, ..set.clone() }.into_object()), ..plan }
    }
}

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![scale::page(), keep::page()]
}

/// Who decides here.
const BY: &str = "the ReplicaSet controller";
