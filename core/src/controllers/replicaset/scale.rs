//! How many pods a replica set makes, or which it deletes.

use crate::api::meta::Time;
use crate::api::pod::{Pod, PodPhase};
use crate::controllers::replicaset::BY;
use crate::pages::Page;
use std::cmp::Ordering;
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
    let candidate = |pod: &&'a Pod| Candidate { pod, on_same_node: on_node[pod.spec.node_name.as_str()] };
    let mut pods: Vec<Candidate<'a>> = view.active.iter().map(candidate).collect();
    pods.sort_by(before);
    Scale::Delete(pods[..have - view.wanted].iter().map(|candidate| candidate.pod).collect())
}

/// A pod that may have to go.
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// How many active pods of the set are on its node, itself included.
    pub on_same_node: usize,
}

/// One reason to delete one pod rather than another.
pub struct Rank {
    /// Which goes first.
    pub first: &'static str,
    /// The reason, as a person would say it.
    pub why: &'static str,
    /// `Less` if the first of the two goes first.
    order: fn(&Candidate<'_>, &Candidate<'_>) -> Ordering,
}

/// On pods: what their loss costs, compared with that of others; 0 if absent.
///
/// Source: Kubernetes documentation, "ReplicaSet", pod deletion cost.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Which pod goes first: the first rank that makes a difference decides.
///
/// Ends in the name, so that equal sets give equal answers. Source: Kubernetes documentation, "ReplicaSet", scaling
/// down; `controller_utils.go`, `ActivePodsWithRanks`.
pub const RANKS: &[Rank] = &[
    Rank { first: "not bound to a node", why: "nothing is lost", order: |a, b| a.bound().cmp(&b.bound()) },
    Rank { first: "Pending", why: "it does not serve yet", order: |a, b| a.begun().cmp(&b.begun()) },
    Rank {
        first: "not ready",
        why: "it does not serve",
        order: |a, b| match a.pod.is_ready().cmp(&b.pod.is_ready()) {
            order if planted!(ReadyVictims) => order.reverse(),
            order => order,
        },
    },
    Rank {
        first: "of a lower `pod-deletion-cost`",
        why: "somebody has said what it is worth",
        order: |a, b| a.cost().cmp(&b.cost()),
    },
    Rank {
        first: "on the node with more pods of the set",
        why: "the rest is spread better",
        order: |a, b| match b.on_same_node.cmp(&a.on_same_node) {
            order if planted!(SpreadReversed) => order.reverse(),
            order => order,
        },
    },
    Rank {
        first: "ready for a shorter time",
        why: "old pods have proved themselves",
        order: |a, b| b.ready_since().cmp(&a.ready_since()),
    },
    Rank { first: "restarted more often", why: "it is less healthy", order: |a, b| b.restarts().cmp(&a.restarts()) },
    Rank {
        first: "created later",
        why: "old pods have proved themselves",
        order: |a, b| b.pod.metadata.creation_timestamp.cmp(&a.pod.metadata.creation_timestamp),
    },
    Rank {
        first: "by name",
        why: "equal sets give equal answers",
        order: |a, b| a.pod.metadata.name.cmp(&b.pod.metadata.name),
    },
];

fn before(one: &Candidate<'_>, other: &Candidate<'_>) -> Ordering {
    let mut orders = RANKS.iter().map(|rank| (rank.order)(one, other));
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

impl Candidate<'_> {
    fn bound(&self) -> bool {
        self.pod.node().is_some()
    }

    fn begun(&self) -> bool {
        self.pod.status.phase != PodPhase::Pending
    }

    fn cost(&self) -> i32 {
        self.pod.metadata.annotations.get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
    }

    fn ready_since(&self) -> Option<Time> {
        let conditions = &self.pod.status.conditions;
        let ready = conditions.iter().find(|condition| condition.kind == "Ready" && condition.status == "True");
        ready.and_then(|ready| ready.last_transition_time)
    }

    fn restarts(&self) -> i32 {
        self.pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0)
    }
}

/// The page of which pods are made or deleted.
pub fn page() -> Page {
    let rows = (1..).zip(RANKS).map(|(nth, rank): (u32, _)| vec![nth.to_string(), rank.first.into(), rank.why.into()]);
    Page::new("scale", "How many pods a set makes, and which it deletes", BY)
        .says(
            "Active pods are those of the set that have neither finished nor are being deleted. If there are fewer \
             than `spec.replicas`, the missing ones are made. If there are more, the surplus is deleted, in this order; \
             the first row that tells two pods apart decides which of them goes:",
        )
        .lists(file!(), &["", "goes first", "why"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use serde_json::{Value, json};

    fn pod(name: &str, node: &str, ready: &str, merge: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": node},
            "status": {"phase": if node.is_empty() {"Pending"} else {"Running"}, "conditions": [{"type": "Ready", "status": ready}]}});
        crate::patch::merge::merge(&mut pod, &merge);
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
        let cost = |name, ready, cost: &str| {
            pod(name, "n1", ready, json!({"metadata": {"annotations": {DELETION_COST: cost}}}))
        };
        check(1, &[good("a"), cost("b", "True", "-1")], &["b"]);
        check(2, &[cost("a", "True", "100"), good("c"), cost("b", "True", "20")], &["c"]);
        check(1, &[cost("b", "False", "100"), good("a")], &["b"]);
        check(1, &[cost("b", "True", "much"), good("a")], &["a"]);
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
