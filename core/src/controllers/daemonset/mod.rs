//! DaemonSet controller: a pod on each node that fits.
//!
//! [`plan`](mod@plan) is what a set wants; in it [`staffing`] says on which nodes its pods are, and [`renewal`] when an old
//! one is replaced. The [program](super::workload) around it is that of all workloads.

pub mod plan;
pub mod renewal;
pub mod staffing;
#[cfg(test)]
mod tests;

use crate::api::kinds::Kind;
use crate::api::node::Node;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::controllers::workload::{Plan, Scene, Views, Workload};
use crate::pages::Page;

/// Daemon sets: each has a pod on each node that fits.
#[derive(Debug)]
pub struct DaemonSets;

impl Workload for DaemonSets {
    fn kind(&self) -> Kind {
        Kind::DaemonSet
    }

    fn component(&self) -> &'static str {
        "daemonset-controller"
    }

    fn children(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::ControllerRevision]
    }

    fn seen(&self) -> &'static [Kind] {
        &[Kind::Node]
    }

    fn plan(&self, scene: &Scene<'_>) -> Plan {
        plan::plan(scene)
    }

    /// Each node, whether it has a pod or not.
    fn looks_at(&self, children: usize, views: &Views) -> usize {
        children + views.count(Kind::Node)
    }

    /// All of them, if the node may fit otherwise than before.
    fn reached(&self, old: Option<&Object>, new: Option<&Object>, views: &Views) -> Vec<Key> {
        let looked_at = |node: &Object| {
            let node = node.get::<Node>()?;
            Some((node.metadata.labels.clone(), node.spec.taints.clone()))
        };
        match old.and_then(looked_at) == new.and_then(looked_at) {
            true => Vec::new(),
            false => views.all(Kind::DaemonSet).map(Object::key).collect(),
        }
    }

    /// A pod that fails on one node says nothing of the others.
    fn place<'a>(&self, child: &'a Object) -> Option<&'a str> {
        child.get::<Pod>()?.target_node()
    }
}

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    let by = "the DaemonSet controller";
    vec![
        Page::new("staffing", "What is done about a daemon set's pods on one node", by)
            .says(
                "A node fits if it has the labels that `nodeSelector` and `affinity.nodeAffinity` ask for, and no taint \
                 that the pods do not tolerate. Beside what the template says they tolerate `not-ready` and \
                 `unreachable` for ever, pressure on memory, disk and processes, and cordons; on the host's network a \
                 missing network, too. Each pod is meant for its node by a node affinity, and the scheduler binds it. \
                 Of several pods on one node the oldest stays. A pod that has ended is deleted, later each time, and \
                 another one made.",
            )
            .decides(&staffing::STAFFING),
        Page::new("renewal", "When an old pod of a daemon set is replaced", by)
            .says(
                "With `updateStrategy: RollingUpdate`. Where nothing surges, the old pod ends first, on at most \
                 `maxUnavailable` nodes at a time, counting those on which it is away for other reasons. With `maxSurge` \
                 the new pod is made first, on at most so many nodes at a time. Nodes are taken by name. On a node that \
                 takes no new pods none is replaced; of two that are there one goes all the same, and a new one that is \
                 not bound yet does not wait there.",
            )
            .decides(&renewal::RENEWAL),
    ]
}
