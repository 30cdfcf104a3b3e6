//! Garbage: what is left over when its owner, or its node, does not exist any more.
//!
//! [`owners`] decides what becomes of an object that names owners, [`dependents`] what an owner that is being deleted
//! waits for, [`bound_pods`] what becomes of a pod whose node does not exist. `relations.rs` knows who names whom.
//! Nothing is concluded from a view alone: before anything is deleted, the API server itself was asked for the missing
//! owner or node.

pub mod bound_pods;
pub mod dependents;
pub mod owners;
mod program;
mod relations;

pub use program::{GarbageCollector, Options};

use crate::controllers::pages::page;

/// A page for each table: the stem of its file, and its Markdown.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        (
            "garbage",
            page(
                "What becomes of an object that names owners",
                "An owner that the view does not show is in doubt until the API server itself says that there is none \
                 of that uid. An object is deleted only when no owner of it is alive or in doubt.",
                &owners::GARBAGE.page(),
            ),
        ),
        (
            "dependents",
            page(
                "What an owner waits for while it is being deleted",
                "Deleted with `--cascade=foreground` it goes after its children; with `--cascade=orphan` it goes when \
                 they have forgotten it. Either way a finalizer holds it until then.",
                &dependents::DEPENDENTS.page(),
            ),
        ),
        (
            "bound_pods",
            page(
                "What becomes of a pod that is bound to a node",
                "A node's kubelet removes the pods that are to go. When the node object is deleted, and has not come \
                 back for a while, nobody does; then the pod is removed by force.",
                &bound_pods::BOUND_POD.page(),
            ),
        ),
    ]
}
