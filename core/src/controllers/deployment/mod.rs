//! Deployment controller: replica sets that replace one another.
//!
//! [`plan`](mod@plan) is what a deployment wants. In it [`sets`] says which replica set is of the newest template and which
//! old ones are kept, [`course`] what is done about them, [`rollout`] how large each is to be, and [`progress`] what is
//! said of it. The [program](super::workload) around it is that of all workloads.

pub mod course;
pub mod plan;
pub mod progress;
pub mod rollout;
pub mod sets;
#[cfg(test)]
mod tests;

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::controllers::workload::{Plan, Scene, Views, Workload};
use crate::pages::Page;

/// Deployments: each has its pods brought to its template.
#[derive(Debug)]
pub struct Deployments;

impl Workload for Deployments {
    fn kind(&self) -> Kind {
        Kind::Deployment
    }

    fn component(&self) -> &'static str {
        "deployment-controller"
    }

    fn children(&self) -> &'static [Kind] {
        &[Kind::ReplicaSet]
    }

    /// With `Recreate`, the pods of old sets have to be gone.
    fn seen(&self) -> &'static [Kind] {
        &[Kind::Pod]
    }

    fn plan(&self, scene: &Scene<'_>) -> Plan {
        plan::plan(scene)
    }

    /// Where a pod comes or ends: those of other templates may have to be gone first.
    fn reached(&self, old: Option<&Object>, new: Option<&Object>, views: &Views) -> Vec<Key> {
        let owner = |object: &Object, kind: Kind| {
            let by = object.meta().controller().filter(|by| by.kind == kind.row().name)?;
            Some(Key::new(kind, &object.meta().namespace, &by.name))
        };
        let of = |pod: &Object| owner(views.object(&owner(pod, Kind::ReplicaSet)?)?, Kind::Deployment);
        let living = |pod: &&Object| pod.get::<Pod>().is_some_and(|pod| !pod.status.phase.is_final());
        let (before, after) = (old.filter(living).and_then(of), new.filter(living).and_then(of));
        if before == after { Vec::new() } else { before.into_iter().chain(after).collect() }
    }
}

/// Who decides here.
const BY: &str = "the Deployment controller";

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("course", "What is done about a deployment's replica sets", BY)
            .says(
                "A deployment has a replica set for each template that it had. The newest is that of its template now; \
                 with `rollout undo` an older one becomes the newest again.",
            )
            .decides(&course::COURSE),
        rollout::page(),
        Page::new("progress", "What is said of a rollout", BY)
            .says("The condition `Progressing`, for which `kubectl rollout status` waits.")
            .decides(&progress::PROGRESS),
    ]
}
