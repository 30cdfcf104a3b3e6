//! How many pods a replica set makes, or which it deletes.

use crate::api::pod::{Pod, PodPhase};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Everything the decision may look at.
pub struct View<'a> {
    /// `spec.replicas`.
    pub wanted: usize,
    /// Owned pods that neither have finished nor are being deleted, in any order.
    pub active: &'a [&'a Pod],
}

/// What brings the number of active pods to the wanted one.
#[derive(Debug, PartialEq)]
pub enum Scale<'a> {
    /// Nothing.
    Keep,
    /// So many new pods.
    Create(usize),
    /// Without these pods.
    Delete(Vec<&'a Pod>),
}

/// What brings the number of active pods to the wanted one. Counts what exists now; past decisions play no part.
///
/// With 2 wanted, and `a` ready, `b` ready, `c` not ready: `c` is deleted.
pub fn scale<'a>(view: &View<'a>) -> Scale<'a> {
    let have = view.active.len();
    if have < view.wanted {
        return Scale::Create(view.wanted - have);
    }
    if have == view.wanted {
        return Scale::Keep;
    }
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in view.active {
        *on_node.entry(&pod.spec.node_name).or_default() += 1;
    }
    let mut pods = view.active.to_vec();
    pods.sort_by_key(|pod| rank(pod, on_node[pod.spec.node_name.as_str()]));
    pods.truncate(have - view.wanted);
    Scale::Delete(pods)
}

/// Which pod goes first: the lowest. Ends in the name, so that equal sets give equal answers.
///
/// Source: Kubernetes documentation, "ReplicaSet", scaling down; `controller_utils.go`, `ActivePodsWithRanks`.
fn rank(pod: &Pod, on_same_node: usize) -> impl Ord + use<> {
    let restarts = pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0);
    (
        pod.node().is_some(),
        pod.status.phase != PodPhase::Pending,
        pod.is_ready(),
        Reverse(on_same_node),
        Reverse(ready_since(pod)),
        Reverse(restarts),
        Reverse(pod.metadata.creation_timestamp),
        pod.metadata.name.clone(),
    )
}

fn ready_since(pod: &Pod) -> Option<crate::api::meta::Time> {
    let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready" && condition.status == "True");
    ready.and_then(|ready| ready.last_transition_time)
}

/// The order of [`scale`]'s victims, for the documentation.
pub const RANKS: &[(&str, &str)] = &[
    ("not bound to a node", "nothing is lost"),
    ("Pending", "it does not serve yet"),
    ("not ready", "it does not serve"),
    ("on the node with more pods of the set", "the rest is spread better"),
    ("ready for a shorter time", "old pods have proved themselves"),
    ("restarted more often", "it is less healthy"),
    ("created later", "old pods have proved themselves"),
    ("by name", "equal sets give equal answers"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use serde_json::{Value, json};

    fn pod(name: &str, node: &str, ready: &str, merge: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": node},
            "status": {"phase": if node.is_empty() {"Pending"} else {"Running"}, "conditions": [{"type": "Ready", "status": ready}]}});
        crate::apiserver::admission::merge(&mut pod, &merge);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        let check = |wanted, pods: &[Pod], want: &[&str]| {
            let active: Vec<&Pod> = pods.iter().collect();
            let got: Vec<&str> = match scale(&View { wanted, active: &active }) {
                Scale::Delete(pods) => pods.iter().map(|pod| pod.metadata.name.as_str()).collect(),
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want);
        };
        let good = |name| pod(name, "n1", "True", json!({}));
        check(1, &[good("b"), good("a")], &["a"]);
        check(1, &[good("a"), pod("b", "n1", "False", json!({}))], &["b"]);
        check(2, &[good("a"), pod("c", "", "False", json!({})), good("b")], &["c"]);
        check(2, &[pod("z", "n2", "True", json!({})), good("b"), good("a")], &["a"]);
        let newer = pod("a", "n1", "True", json!({"metadata": {"creationTimestamp": "2026-01-02T00:00:00Z"}}));
        check(1, &[newer, good("b")], &["a"]);
        check(0, &[good("a"), good("b")], &["a", "b"]);
    }

    #[test]
    fn makes_what_is_missing() {
        let one = pod("a", "n1", "True", json!({}));
        assert_eq!(scale(&View { wanted: 3, active: &[&one] }), Scale::Create(2));
        assert_eq!(scale(&View { wanted: 1, active: &[&one] }), Scale::Keep);
    }

    quickcheck! {
        /// Deciding again after the decision was carried out says Keep, and no more are deleted than exist.
        fn one_decision_is_enough(ready: Vec<bool>, wanted: u8) -> bool {
            let pods: Vec<Pod> = ready.iter().enumerate()
                .map(|(nth, ready)| pod(&format!("p{nth}"), "n", if *ready { "True" } else { "False" }, json!({}))).collect();
            let active: Vec<&Pod> = pods.iter().collect();
            let wanted = usize::from(wanted);
            match scale(&View { wanted, active: &active }) {
                Scale::Keep => active.len() == wanted,
                Scale::Create(more) => active.len() + more == wanted,
                Scale::Delete(victims) => {
                    let left: Vec<&Pod> = active.iter().copied().filter(|pod| !victims.contains(pod)).collect();
                    // No ready pod goes while one that is not stays.
                    let worst_left = left.iter().all(|pod| pod.is_ready()) || victims.iter().all(|pod| !pod.is_ready());
                    scale(&View { wanted, active: &left }) == Scale::Keep && worst_left
                }
            }
        }

        fn the_order_of_pods_is_irrelevant(ready: Vec<bool>, wanted: u8) -> bool {
            let pods: Vec<Pod> = ready.iter().enumerate()
                .map(|(nth, ready)| pod(&format!("p{nth}"), "n", if *ready { "True" } else { "False" }, json!({}))).collect();
            let forward: Vec<&Pod> = pods.iter().collect();
            let backward: Vec<&Pod> = pods.iter().rev().collect();
            let wanted = usize::from(wanted);
            scale(&View { wanted, active: &forward }) == scale(&View { wanted, active: &backward })
        }
    }
}
