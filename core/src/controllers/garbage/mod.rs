//! Garbage: what is left over when its owner, or its node, does not exist any more.
//!
//! [`owners`] decides what becomes of an object that names owners, [`dependents`] what an owner that is being deleted
//! waits for, [`bound_pods`] what becomes of a pod that nobody looks after any more. `relations.rs` knows who names whom.
//! Nothing is concluded from a view alone: before anything is deleted, the API server itself was asked for the missing
//! owner or node.

pub mod bound_pods;
pub mod dependents;
pub mod owners;
mod program;
mod relations;

pub use program::{GarbageCollector, Options};

use crate::pages::Page;

/// The pages of this folder's tables.
pub fn pages() -> Vec<Page> {
    let by = "the garbage collector";
    vec![
        Page::new("garbage", "What becomes of an object that names owners", by)
            .says(
                "An owner that the view does not show is in doubt until the API server itself says that there is none \
                 of that uid. An object is deleted only when no owner of it is alive or in doubt. Owners and owned are \
                 of every kind but Event, custom ones included. An owner is looked for in the object's own namespace, \
                 or among what has none; what has no namespace is never collected for an owner that has one.",
            )
            .decides(&owners::GARBAGE),
        Page::new("dependents", "What an owner waits for while it is being deleted", by)
            .says(
                "Deleted with `--cascade=foreground` it goes after its children; with `--cascade=orphan` it goes when \
                 they have forgotten it. Either way a finalizer holds it until then.",
            )
            .decides(&dependents::DEPENDENTS),
        Page::new("bound_pods", "What becomes of a pod that is bound to a node", by)
            .says(format!(
                "A node's kubelet removes the pods that are to go. When the node object is deleted, and has not come \
                 back for {} s, nobody does; then the pod is said to have failed, by a disruption (`DeletionByPodGC`), and \
                 removed by force. So is, without that reason, one that is leaving from a node of which people say by \
                 the taint `node.kubernetes.io/out-of-service` that it is off. Of the pods that have \
                 ended the {} newest are kept.",
                Options::default().node_quarantine.as_secs(),
                Options::default().finished_max
            ))
            .decides(&bound_pods::BOUND_POD),
    ]
}
