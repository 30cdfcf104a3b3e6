//! The scenarios that come with the simulator: the files under `sim-tests/scenarios/`.

use crate::scenario::Scenario;

macro_rules! library {
    ($($name:literal)+) => {
        /// Their names and texts.
        pub const LIBRARY: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../scenarios/", $name, ".yaml")))),+];
    };
}

library! {
    "one-pod"
    "scale"
    "rollout"
    "rollout-under-node-loss"
    "recreate"
    "paused"
    "daemonset-rollout-under-node-loss"
    "daemonset-surges"
    "endpoints-follow-pods"
    "tolerations"
    "two-nodes-silent"
    "two-of-three-silent"
    "most-nodes-silent"
    "question-unanswered"
    "quota-raced"
    "job"
    "job-under-node-loss"
    "job-held"
    "cron-clock-jumps"
    "cron-unnoted"
    "statefulset-under-partition"
    "statefulset-without-node"
    "exits"
    "crash-loops"
    "crash-apart"
    "no-image"
    "crowded"
    "room"
    "room-by-others"
    "same-name"
    "hastened"
    "collected"
    "cascades"
    "owned"
    "orphans-unseen"
    "namespace-ends"
    "namespace-unseen"
    "drain"
    "preemption-storm"
    "neighbours"
    "two-drainers"
    "budget-unattended"
    "autoscaler-at-rest"
    "autoscaler-against-rollout"
    "autoscaler-blind"
    "kubelet-restart"
    "node-death"
    "node-death-while-scaling"
    "node-gone"
    "node-deleted"
    "node-reboot"
    "power-lost-while-starting"
    "cut-off"
    "disk-full"
    "api-restart"
    "api-away"
    "power-loss-under-load"
    "replies-lost"
    "half-done"
    "two-leaders"
    "handover"
    "paused-leader"
    "leader-cut-off"
    "leader-late"
    "leader-again"
    "leader-answered-late"
    "frozen-observer"
    "not-heard"
    "stale-list"
    "bind-arrives-twice"
    "bind-turned-away"
    "bind-fails-and-is-done"
    "swizzle"
    "torn-disk"
    "wrong-clocks"
    "worst-moment"
    "node-full"
    "youngest-goes"
    "room-promised"
    "promised-node-gone"
    "room-given-up"
    "rather-apart"
    "autoscaler-short"
    "autoscaler-leaving"
    "autoscaler-unsure"
    "cron-held-up"
    "endpoints-of-before"
    "namespace-of-custom-kinds"
    "failures-forgotten"
    "all-nodes-silent"
    "node-untainted"
    "node-missing-again"
    "late-words"
    "endpoints-at-last"
    "budget-of-a-wish"
    "evicted-at-once"
    "autoscaler-unanswered"
    "taint-counts-anew"
    "removed-by-force"
    "answered-late"
    "node-gone-meanwhile"
    "former-words"
    "marked-anew"
    "last-words"
    "namespace-listed-before"
    "service-ports"
    "job-enough"
    "claims-kept"
    "budget-of-fewer"
    "daemon-of-nowhere"
    "strays-unheard"
    "evicted-often"
    "round-robin"
    "nodes-filled"
    "nodes-half-filled"
    "nodes-at-random"
    "requests-nothing"
    "spread-policies"
    "nodes-preferred"
}

/// The text of the scenario of this name.
pub fn text(name: &str) -> Option<&'static str> {
    LIBRARY.iter().find(|(one, _)| *one == name).map(|(_, text)| *text)
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<Scenario> {
    text(name).map(|text| Scenario::read(text).expect("the library's scenarios are read by a test"))
}

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    LIBRARY.iter().filter_map(|(name, _)| named(name))
}
