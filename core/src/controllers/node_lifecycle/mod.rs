//! Node lifecycle: which nodes have fallen silent, and what becomes of their pods.
//!
//! [`silence`] decides what the server's own word on a lease means, [`node_health`] what is written on the node,
//! [`silent_pods`] what happens to its pods, [`brake`] how fast, or whether at all when too many are silent at once.
//! Nothing is counted on the node's clock, and nothing while we could not have heard it. Pods bound to a node that
//! does not exist are not its business, but that of [`garbage`](crate::controllers::garbage).

pub mod brake;
pub mod node_health;
mod program;
pub mod silence;
pub mod silent_pods;

pub use program::{EVICTION_AFTER, NODE_GRACE, NodeLifecycle, Options};

use crate::controllers::pages::page;

/// A page for each table: the stem of its file, and its Markdown.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        (
            "silence",
            page(
                "What a lease says of its node when we have heard nothing",
                "When a deadline has passed, the API server is asked for the lease itself: a watch can be late, and a \
                 late watch is not a dead node. Asked twice: before a node is called silent, and again before its \
                 pods are evicted.",
                &silence::SILENCE.page(),
            ),
        ),
        (
            "node_health",
            page(
                "What is written on a node",
                "Only the kubelet says that its node is ready. When it is silent, this is what is said in its place.",
                &node_health::NODE_HEALTH.page(),
            ),
        ),
        (
            "silent_pods",
            page(
                "What becomes of a pod whose node is silent",
                "It serves nobody that we know of, and after a while it is replaced. A node that is heard again in \
                 between keeps what has not been evicted.",
                &silent_pods::SILENT_POD.page(),
            ),
        ),
        (
            "eviction_pace",
            page(
                "How fast pods are evicted",
                "When many nodes fall silent at once, the reason is more likely to be near us than with each of them: \
                 a network, not fifty machines. The zone is fully disrupted when no node is ready, partially when at \
                 least 55 % and more than two are not.",
                &brake::EVICTION_PACE.page(),
            ),
        ),
    ]
}
