//! StatefulSet controller: pods with names that stay, one after the other.
//!
//! [`plan`](mod@plan) is what a set wants; in it [`ordinal`](mod@ordinal) says what is done about the pod of one number, and
//! [`revisions`](super::workload::revisions) keeps the templates. The [program](super::workload) around it is that of all
//! workloads.

pub mod ordinal;
pub mod plan;
#[cfg(test)]
mod tests;

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::controllers::workload::{Plan, Scene, Views, Workload};
use crate::pages::Page;

/// Stateful sets: each has a pod for each of its numbers.
#[derive(Debug)]
pub struct StatefulSets;

impl Workload for StatefulSets {
    fn kind(&self) -> Kind {
        Kind::StatefulSet
    }

    fn component(&self) -> &'static str {
        "statefulset-controller"
    }

    fn children(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::ControllerRevision, Kind::PersistentVolumeClaim]
    }

    fn seen(&self) -> &'static [Kind] {
        &[Kind::PersistentVolumeClaim]
    }

    /// The sets one of whose numbers may have lost a claim: one that outlives its set is nobody's child.
    fn reached(&self, old: Option<&Object>, new: Option<&Object>, _views: &Views) -> Vec<Key> {
        let Some(gone) = old.map(Object::meta).filter(|_| new.is_none()) else { return Vec::new() };
        let Some((templates_and_set, _)) = gone.name.rsplit_once('-') else { return Vec::new() };
        let sets = templates_and_set.match_indices('-').map(|(at, _)| &templates_and_set[at + 1..]);
        sets.map(|set| Key::new(Kind::StatefulSet, &gone.namespace, set)).collect()
    }

    /// A pod only under a name of the set. A claim belongs to its number, whoever uses it, unless it is to go with the set.
    fn may_adopt(&self, owner: &Object, child: &Object) -> bool {
        match child.kind() {
            Kind::Pod => plan::number_of(&owner.meta().name, &child.meta().name).is_some(),
            Kind::ControllerRevision => true,
            Kind::PersistentVolumeClaim => plan::takes_along(owner, child),
            _ => false,
        }
    }

    /// Its claims, if they are to go with it from now on.
    fn adopts_otherwise(&self, old: &Object, new: &Object) -> bool {
        plan::claims_go(old) != plan::claims_go(new)
    }

    fn plan(&self, scene: &Scene<'_>) -> Plan {
        plan::plan(scene)
    }

    /// Its name, which is its number's.
    fn place<'a>(&self, child: &'a Object) -> Option<&'a str> {
        child.get::<Pod>().map(|pod| pod.metadata.name.as_str())
    }
}

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("ordinal", "What is done about the pod of one number", "the StatefulSet controller")
            .says(
                "Asked for each wanted number from the first on, then for those that are not wanted from the last down. \
                 With `podManagementPolicy: OrderedReady` the first that says `Wait`, or for which something is done, is \
                 the last that is asked for; with `Parallel` all are. Old pods are replaced, from the last down, when all \
                 wanted numbers say `Go`. A pod whose predecessors failed, or were taken away before they ran or soon \
                 after, is made later each time.",
            )
            .decides(&ordinal::ORDINAL),
    ]
}
