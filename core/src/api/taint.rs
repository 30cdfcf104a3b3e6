//! Taints: what keeps pods away from a node, unless they tolerate it.
//!
//! Source: Kubernetes API reference v1.32, "Taint"; documentation, "Taints and Tolerations".

use crate::api::meta::Time;
use crate::api::text::Text;
use crate::api::toleration::Toleration;
use crate::api_struct;
use std::fmt;

api_struct! {
    /// What keeps pods away from a node.
    pub struct Taint {
        /// Its name; a node may have one of each key and effect.
        key "key" always: Text,
        /// Its value.
        value "value": Text,
        /// [`NO_SCHEDULE`], [`PREFER_NO_SCHEDULE`] or [`NO_EXECUTE`].
        effect "effect" always: Text,
        /// When it was put on; for `NoExecute` only.
        time_added "timeAdded": Option<Time>,
    }
}

/// No new pods come.
pub const NO_SCHEDULE: &str = "NoSchedule";
/// New pods come only if there is no better node.
pub const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";
/// No new pods come, and those that are there have to go.
pub const NO_EXECUTE: &str = "NoExecute";

/// The effects that keep a new pod away.
pub const KEEP_AWAY: &[&str] = &[NO_SCHEDULE, NO_EXECUTE];

/// As if it stood on every cordoned node: who tolerates it comes nevertheless.
///
/// Source: Kubernetes documentation, "Well-Known Labels, Annotations and Taints".
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// On a node that is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// On a node that is silent.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

impl Taint {
    /// A taint without a value.
    pub fn new(key: &str, effect: &str) -> Self {
        Taint { key: key.into(), effect: effect.into(), ..Taint::default() }
    }
}

impl Toleration {
    /// Whether a pod with it puts up with the taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator.as_str() {
                "" | "Equal" => self.value == taint.value,
                "Exists" => true,
                _ => false,
            }
    }
}

/// The taints of one of these effects that none of the tolerations covers, in the order of the node.
///
/// ```
/// # use miniku_core::api::taint::*;
/// let taints = [Taint::new("gpu", NO_SCHEDULE), Taint::new("old", PREFER_NO_SCHEDULE)];
/// assert_eq!(untolerated(&taints, &[], KEEP_AWAY).next(), Some(&taints[0]));
/// ```
pub fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &'a [Toleration],
    effects: &'a [&str],
) -> impl Iterator<Item = &'a Taint> {
    taints
        .iter()
        .filter(|taint| effects.contains(&taint.effect.as_str()))
        .filter(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

/// As kube-scheduler tells of it: `{key: value}`.
impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}: {}}}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn tolerations_cover_taints() {
        let taint: Taint = serde_json::from_value(json!({"key": "a", "value": "1", "effect": "NoExecute"})).unwrap();
        let check = |toleration: Value, want: bool| {
            let read: Toleration = serde_json::from_value(toleration.clone()).unwrap();
            assert_eq!(read.tolerates(&taint), want, "{toleration}");
        };
        check(json!({"operator": "Exists"}), true);
        check(json!({"key": "a", "operator": "Exists"}), true);
        check(json!({"key": "b", "operator": "Exists"}), false);
        check(json!({"key": "a", "value": "1"}), true);
        check(json!({"key": "a", "operator": "Equal", "value": "1", "effect": "NoExecute"}), true);
        check(json!({"key": "a", "operator": "Equal", "value": "2"}), false);
        check(json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"}), false);
        check(json!({"key": "a", "operator": "Like", "value": "1"}), false);
    }

    #[test]
    fn what_is_not_tolerated_is_told() {
        let taints = [Taint::new("a", NO_SCHEDULE), Taint::new("b", PREFER_NO_SCHEDULE), Taint::new("c", NO_EXECUTE)];
        let exists = |key: &str| Toleration { key: key.into(), operator: "Exists".into(), ..Default::default() };
        let check = |tolerations: &[Toleration], effects: &[&str], want: &str| {
            let told: Vec<String> = untolerated(&taints, tolerations, effects).map(Taint::to_string).collect();
            assert_eq!(told.join(" "), want);
        };
        check(&[], KEEP_AWAY, "{a: } {c: }");
        check(&[exists("a")], KEEP_AWAY, "{c: }");
        check(&[exists("")], KEEP_AWAY, "");
        check(&[], &[PREFER_NO_SCHEDULE], "{b: }");
        check(&[], &[NO_EXECUTE], "{c: }");
    }
}
