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

use crate::pages::Page;

/// The pages of this folder's tables.
pub fn pages() -> Vec<Page> {
    let by = "the node lifecycle controller";
    vec![
        Page::new("silence", "What a lease says of its node when nothing was heard of it", by)
            .says(format!(
                "A node's kubelet renews its lease every {} s. When nothing was heard of it for {} s, the API server \
                 is asked for the lease itself: a watch can be late, and a late watch is not a dead node. It is asked \
                 twice: before a node is called silent, and again before its pods are evicted, {} s later if \
                 `--eviction-timeout` says nothing else.",
                crate::kubelet::node::HEARTBEAT.as_secs(),
                NODE_GRACE.as_secs(),
                EVICTION_AFTER.as_secs()
            ))
            .decides(&silence::SILENCE),
        Page::new("node_health", "What is written on a node", by)
            .says("Only the kubelet says that its node is ready. When it is silent, this is what is said in its place.")
            .decides(&node_health::NODE_HEALTH),
        Page::new("silent_pods", "What becomes of a pod whose node is silent", by)
            .says(
                "It serves nobody that we know of, and after a while it is replaced. A node that is heard again in \
                 between keeps what has not been evicted.",
            )
            .decides(&silent_pods::SILENT_POD),
        Page::new("eviction_pace", "How fast pods are evicted", by)
            .says(format!(
                "When many nodes fall silent at once, the reason is more likely to be near us than with each of them: \
                 a network, not fifty machines. The zone, here all nodes, is fully disrupted when no node is ready, \
                 and partially when at least {} % and more than {} are not. More than {} nodes are a large cluster.",
                brake::DISRUPTION_PERCENT,
                brake::DISRUPTION_MIN,
                brake::LARGE
            ))
            .decides(&brake::EVICTION_PACE),
    ]
}
