//! Which taints a node has because it is unwell.
//!
//! Source: Kubernetes documentation, "Taints and Tolerations", taint based evictions and taint nodes by condition;
//! `pkg/controller/nodelifecycle`, `doNoScheduleTaintingPass`, `processTaintBaseEviction`.

use crate::api::meta::Time;
use crate::api::node::Node;
use crate::api::taint::{NO_EXECUTE, NO_SCHEDULE, NOT_READY, Taint, UNREACHABLE, UNSCHEDULABLE};
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What the node's condition `Ready` says.
    pub enum Word {
        /// `True`.
        Well,
        /// `False`.
        NotReady,
        /// `Unknown`.
        Unknown,
        /// There is no such condition.
        Nothing,
    }
}

decision_enum! {
    /// Whether it is the node's turn to be emptied.
    pub enum Turn {
        /// Not yet.
        Waits,
        /// It is.
        Come,
        /// No node is ready: it is nobody's.
        Nobodys,
    }
}

decision_enum! {
    /// What is done about the taint with the effect `NoExecute`.
    pub enum Action {
        /// None is there.
        Clear,
        /// One that is there stays, as what the condition says now. None is added.
        Leave,
        /// `node.kubernetes.io/not-ready` is there.
        SayNotReady,
        /// `node.kubernetes.io/unreachable` is there.
        SayUnreachable,
    }
}

decision_table! {
    /// Whether a node sends its pods away. Pure and total. Page: `docs/decisions/node_taints.md`.
    pub fn node_taint(ready: Word, turn: Turn) -> Action, NODE_TAINT;
    well:        (Well, _)                     => Clear,          "its pods are well where they are";
    new:         (Nothing, _)                  => Clear,          "its kubelet has not spoken yet; it has the grace period for that";
    stopped:     (NotReady | Unknown, Nobodys) => Clear,          "nobody is left to take the pods, and the fault may be ours";
    waits:       (NotReady | Unknown, Waits)   => Leave,          "one node is emptied after the other";
    not_ready:   (NotReady, Come)              => SayNotReady,    "its kubelet says that it cannot take care of pods";
    unreachable: (Unknown, Come)               => SayUnreachable, "nobody knows what becomes of its pods";
}

/// Conditions, the status in which they keep new pods away, and the taint that says so.
///
/// Source: `nodeConditionToTaintKeyStatusMap`.
pub const BY_CONDITION: &[(&str, &str, &str)] = &[
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];

impl Word {
    /// What a node's condition `Ready` says.
    pub fn by(node: &Node) -> Word {
        match node.ready().map(|ready| ready.status.as_str()) {
            None => Word::Nothing,
            Some("True") => Word::Well,
            Some("False") => Word::NotReady,
            Some(_) => Word::Unknown,
        }
    }
}

/// Whether a taint sends pods away because their node is unwell.
pub fn is_for_being_unwell(taint: &Taint) -> bool {
    taint.effect == NO_EXECUTE && matches!(taint.key.as_str(), NOT_READY | UNREACHABLE)
}

/// Whether nobody but us puts a taint on nodes and takes it away.
fn is_ours(taint: &Taint) -> bool {
    let by_condition = || BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key);
    is_for_being_unwell(taint) || taint.effect == NO_SCHEDULE && (taint.key == UNSCHEDULABLE || by_condition())
}

/// The taints that a node is to have, if those are others than it has. What users put on it stays.
pub fn tainted(node: &Node, action: Action, at: Time) -> Option<Vec<Taint>> {
    let has = &node.spec.taints;
    let says =
        |kind: &str, status: &str| node.status.conditions.iter().any(|one| one.kind == kind && one.status == status);
    let by_condition = BY_CONDITION.iter().filter(|(kind, status, _)| says(kind, status)).map(|(_, _, key)| *key);
    let cordoned = node.spec.unschedulable.then_some(UNSCHEDULABLE);
    let mut wanted: Vec<(&str, &str)> = by_condition.chain(cordoned).map(|key| (key, NO_SCHEDULE)).collect();
    let fitting = if Word::by(node) == Word::NotReady { NOT_READY } else { UNREACHABLE };
    match action {
        Action::SayNotReady | Action::SayUnreachable => wanted.push((fitting, NO_EXECUTE)),
        Action::Leave if has.iter().any(is_for_being_unwell) => wanted.push((fitting, NO_EXECUTE)),
        Action::Leave | Action::Clear => {}
    }
    let is = |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    let mut taints: Vec<Taint> = has.clone();
    let is_users = |taint: &Taint| !is_ours(taint) && !planted!(UsersTaintsCleared);
    taints.retain(|taint| is_users(taint) || wanted.iter().any(|one| is(taint, *one)));
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| is(taint, (key, effect))) {
            taints.push(Taint { time_added: Some(at), ..Taint::new(key, effect) });
        }
    }
    if planted!(TaintsStay) && taints.len() < has.len() {
        return None;
    }
    (taints != *has).then_some(taints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(spec: Value, conditions: &[(&str, &str)]) -> Node {
        let conditions: Vec<Value> =
            conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": conditions}}))
            .unwrap()
    }

    /// The taints afterwards: `not-ready:NoSchedule`; nothing if they stay as they are.
    fn after(node: &Node, turn: Turn) -> Option<String> {
        let taints = tainted(node, node_taint(Word::by(node), turn).then, Time::default())?;
        let told = |taint: &Taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect);
        Some(taints.iter().map(told).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn conditions_become_taints() {
        let check = |spec: Value, conditions: &[(&str, &str)], turn, want: Option<&str>| {
            let node = node(spec.clone(), conditions);
            let told = after(&node, turn);
            assert_eq!(told.as_deref(), want, "{spec} {conditions:?} {turn:?}");
            // Deciding again after it was done says that nothing is to be done.
            if let Some(taints) = tainted(&node, node_taint(Word::by(&node), turn).then, Time::default()) {
                let mut done = node.clone();
                done.spec.taints = taints;
                assert_eq!(after(&done, turn), None, "{spec} {conditions:?} {turn:?}");
            }
        };
        check(json!({}), &[("Ready", "True"), ("DiskPressure", "False")], Turn::Waits, None);
        check(json!({}), &[], Turn::Come, None);
        check(json!({}), &[("Ready", "False")], Turn::Waits, Some("not-ready:NoSchedule"));
        check(json!({}), &[("Ready", "False")], Turn::Come, Some("not-ready:NoSchedule not-ready:NoExecute"));
        check(json!({}), &[("Ready", "Unknown")], Turn::Nobodys, Some("unreachable:NoSchedule"));
        check(json!({"unschedulable": true}), &[("Ready", "True")], Turn::Waits, Some("unschedulable:NoSchedule"));
        let pressed =
            [("Ready", "True"), ("MemoryPressure", "True"), ("DiskPressure", "True"), ("PIDPressure", "True")];
        let told = "memory-pressure:NoSchedule disk-pressure:NoSchedule pid-pressure:NoSchedule";
        check(json!({}), &pressed, Turn::Waits, Some(told));
        check(json!({}), &[("NetworkUnavailable", "True")], Turn::Waits, Some("network-unavailable:NoSchedule"));
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        let silent = json!({"taints": [taint("mine", "NoExecute"), taint(UNREACHABLE, "NoSchedule"), taint(UNREACHABLE, "NoExecute")]});
        check(silent.clone(), &[("Ready", "Unknown")], Turn::Come, None);
        check(silent.clone(), &[("Ready", "Unknown")], Turn::Waits, None);
        check(silent.clone(), &[("Ready", "Unknown")], Turn::Nobodys, Some("mine:NoExecute unreachable:NoSchedule"));
        check(silent.clone(), &[("Ready", "True")], Turn::Waits, Some("mine:NoExecute"));
        let swapped = Some("mine:NoExecute not-ready:NoSchedule not-ready:NoExecute");
        check(silent, &[("Ready", "False")], Turn::Waits, swapped);
    }
}
