//! Node lifecycle: which nodes have fallen silent, which are tainted, and what becomes of pods on tainted nodes.
//!
//! [`silence`] decides what the server's own word on a lease means, [`node_health`] what is written on the node,
//! [`node_taints`] which taints it gets, [`stay`] for how long a pod puts up with them, [`silent_pods`] what happens to
//! it, [`brake`] how fast nodes are emptied, or whether at all when too many are unwell at once.
//! Nothing is counted on the node's clock, and nothing while we could not have heard it. Pods bound to a node that
//! does not exist are not its business, but that of [`garbage`](crate::controllers::garbage).

pub mod brake;
pub mod node_health;
pub mod node_taints;
mod program;
pub mod silence;
pub mod silent_pods;
pub mod stay;

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
                 before a node is called silent, before it is tainted so that its pods have to go, and again before \
                 they go.",
                crate::kubelet::node::HEARTBEAT.as_secs(),
                NODE_GRACE.as_secs()
            ))
            .decides(&silence::SILENCE),
        Page::new("node_health", "What is written on a node", by)
            .says("Only the kubelet says that its node is ready. When it is silent, this is what is said in its place.")
            .decides(&node_health::NODE_HEALTH),
        Page::new("node_taints", "Which taints a node has because it is unwell", by)
            .says(
                "Taints with the effect `NoSchedule` follow the conditions at once, and `spec.unschedulable` is \
                 `node.kubernetes.io/unschedulable`. What users put on a node stays.",
            )
            .lists(
                "core/src/controllers/node_lifecycle/node_taints.rs",
                &["condition", "status", "taint"],
                node_taints::BY_CONDITION.iter().map(|(kind, status, key)| {
                    [*kind, *status, *key].map(|word| format!("`{word}`")).to_vec()
                }),
            )
            .says("The one with the effect `NoExecute`, by which pods have to go:")
            .decides(&node_taints::NODE_TAINT),
        Page::new("silent_pods", "What becomes of a pod whose node is silent or tainted", by)
            .says(format!(
                "On a silent node it serves nobody that we know of. A taint with the effect `NoExecute`, whoever put it \
                 on the node, sends away each pod that does not tolerate it: at once, or after the `tolerationSeconds` \
                 of the first toleration that covers it, counted on the controller's clock from when it saw both. \
                 Without `tolerationSeconds` a pod stays for ever. The two tolerations that every pod is given say 300 s, \
                 as in Kubernetes, and stand for `--eviction-timeout` here, which is {} s if nothing else is said. A node \
                 that is well again in between keeps what has not been evicted.",
                EVICTION_AFTER.as_secs()
            ))
            .decides(&silent_pods::SILENT_POD),
        Page::new("eviction_pace", "How fast pods are evicted", by)
            .says(format!(
                "Kubernetes, too, limits how fast nodes get the taint by which their pods have to go. When many nodes fall \
                 silent at once, the reason is more likely to be near us than with each of them: \
                 a network, not fifty machines. The zone, here all nodes, is fully disrupted when no node is ready, \
                 and partially when at least {} % and more than {} are not. More than {} nodes are a large cluster.",
                brake::DISRUPTION_PERCENT,
                brake::DISRUPTION_MIN,
                brake::LARGE
            ))
            .decides(&brake::EVICTION_PACE),
    ]
}
