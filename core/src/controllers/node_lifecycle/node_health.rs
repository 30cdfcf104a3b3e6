//! What is written on a node about its being ready.

use crate::api::meta::Time;
use crate::api::node::{Node, NodeCondition};
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What we hear of a node.
    pub enum Hearing {
        /// It renews its lease, or could not have been heard, or has not been silent for long enough.
        Heard,
        /// It has been silent for the whole grace period.
        Silent,
    }
}

decision_enum! {
    /// What the node's condition `Ready` says.
    pub enum Said {
        /// There is no such condition.
        Nothing,
        /// Its kubelet's word: `True` or `False`.
        KubeletsWord,
        /// `Unknown`.
        NotKnown,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// It is left as it is.
        Keep,
        /// `Ready` becomes `Unknown`, with the reason `NodeStatusUnknown`.
        SayUnknown,
        /// `Ready` becomes `Unknown`, with the reason `NodeStatusNeverUpdated`.
        SayNeverUpdated,
    }
}

decision_table! {
    /// What is written on a node. Pure and total. Page: `docs/decisions/node_health.md`.
    pub fn node_health(hearing: Hearing, said: Said) -> Action, NODE_HEALTH;
    heard:  (Heard, _)             => Keep,            "its kubelet speaks for itself";
    told:   (Silent, NotKnown)     => Keep,            "it was said already";
    silent: (Silent, KubeletsWord) => SayUnknown,      "what its kubelet last said is worth nothing now";
    never:  (Silent, Nothing)      => SayNeverUpdated, "its kubelet never said anything";
}

/// The message of a node whose kubelet is silent. Source: Kubernetes, `pkg/controller/nodelifecycle`.
pub const SILENT: &str = "Kubelet stopped posting node status.";
/// The message of a node whose kubelet was never heard. Source: Kubernetes, `pkg/controller/nodelifecycle`.
pub const NEVER_HEARD: &str = "Kubelet never posted node status.";

impl Said {
    /// What a node's condition `Ready` says.
    pub fn by(node: &Node) -> Said {
        match node.ready().map(|ready| ready.status.as_str()) {
            None => Said::Nothing,
            Some("Unknown") => Said::NotKnown,
            Some(_) => Said::KubeletsWord,
        }
    }
}

/// Makes `Ready` unknown. All other conditions, and the time of the last heartbeat, stay as the kubelet left them.
pub fn say_unknown(node: &mut Node, action: Action, at: Time) {
    let (reason, message) = match action {
        Action::Keep => return,
        Action::SayUnknown => ("NodeStatusUnknown", SILENT),
        Action::SayNeverUpdated => ("NodeStatusNeverUpdated", NEVER_HEARD),
    };
    let conditions = &mut node.status.conditions;
    let ready = match conditions.iter().position(|condition| condition.kind == "Ready") {
        Some(position) => &mut conditions[position],
        None => {
            conditions.push(NodeCondition { kind: "Ready".into(), ..Default::default() });
            conditions.last_mut().expect("one was just added")
        }
    };
    if ready.status != "Unknown" && !planted!(UnknownSinceHeard) {
        ready.last_transition_time = Some(at);
    }
    ready.status = "Unknown".into();
    ready.reason = reason.into();
    ready.message = message.into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::property;
    use crate::time::Wall;

    fn node(conditions: &[(&str, &str)]) -> Node {
        let mut node = Node::default();
        node.status.conditions = conditions
            .iter()
            .map(|(kind, status)| NodeCondition {
                kind: (*kind).into(),
                status: (*status).into(),
                ..Default::default()
            })
            .collect();
        node
    }

    #[test]
    fn says_what_is_not_known() {
        let check = |hearing, conditions: &[(&str, &str)], want| {
            assert_eq!(node_health(hearing, Said::by(&node(conditions))).then, want, "{hearing:?} {conditions:?}");
        };
        check(Hearing::Heard, &[("Ready", "True")], Action::Keep);
        check(Hearing::Heard, &[("Ready", "Unknown")], Action::Keep);
        check(Hearing::Silent, &[("Ready", "True")], Action::SayUnknown);
        check(Hearing::Silent, &[("Ready", "False")], Action::SayUnknown);
        check(Hearing::Silent, &[("Ready", "Unknown")], Action::Keep);
        check(Hearing::Silent, &[("DiskPressure", "False")], Action::SayNeverUpdated);
    }

    #[test]
    fn other_conditions_stay() {
        property("whatever a node says, only Ready changes, and once", |any| {
            let words = [None, Some("True"), Some("False"), Some("Unknown")];
            let kinds = ["MemoryPressure", "Ready", "DiskPressure"];
            let said: Vec<(&str, &str)> =
                kinds.iter().filter_map(|kind| any.choose(&words).unwrap().map(|word| (*kind, word))).collect();
            let before = node(&said);
            let action = node_health(Hearing::Silent, Said::by(&before)).then;
            let mut after = before.clone();
            say_unknown(&mut after, action, Time::of(Wall::from_secs(9)));
            let others = |node: &Node| -> Vec<NodeCondition> {
                node.status.conditions.iter().filter(|condition| condition.kind != "Ready").cloned().collect()
            };
            assert_eq!(others(&before), others(&after));
            assert_eq!(after.ready().unwrap().status, "Unknown");
            assert_eq!(node_health(Hearing::Silent, Said::by(&after)).then, Action::Keep, "deciding again says Keep");
        });
    }
}
