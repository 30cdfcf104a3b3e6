//! Tolerations: the taints of a node that a pod puts up with.
//!
//! Source: Kubernetes API reference v1.32, "Toleration"; documentation, "Taints and Tolerations".

use crate::api::structs::{Field, VisitRest};
use crate::api::text::Text;
use crate::api_struct;
use crate::schema::{Schema, Type};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

api_struct! {
    /// A taint that a pod puts up with.
    pub struct Toleration {
        /// The taint's key; empty means any.
        key "key": Text,
        /// `Exists`, or `Equal` if empty.
        operator "operator": Text,
        /// The taint's value, for `Equal`.
        value "value": Text,
        /// The taint's effect; empty means any.
        effect "effect": Text,
        /// For how long, where the effect is `NoExecute`; for ever if absent.
        toleration_seconds "tolerationSeconds": Option<i64>,
    }
}

/// All taints that a pod puts up with. Nearly all pods have the same two, which are kept once for all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tolerations(Option<Arc<Vec<Toleration>>>);

/// Taints of a node that is not ready, or that is silent.
///
/// Source: Kubernetes documentation, "Taints and Tolerations", taint based evictions.
const UNWELL: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// So long a pod stays on such a node, unless it says otherwise.
///
/// Source: Kubernetes, kube-apiserver `--default-not-ready-toleration-seconds`.
const UNWELL_SECONDS: i64 = 300;

static USUAL: LazyLock<Arc<Vec<Toleration>>> = LazyLock::new(|| Arc::new(UNWELL.map(for_a_while).into()));

fn for_a_while(taint: &str) -> Toleration {
    Toleration {
        key: taint.into(),
        operator: "Exists".into(),
        effect: "NoExecute".into(),
        toleration_seconds: Some(UNWELL_SECONDS),
        ..Toleration::default()
    }
}

impl Toleration {
    /// Whether it is one that a pod gets that says nothing of nodes that are unwell.
    pub fn is_usual(&self) -> bool {
        self.toleration_seconds == Some(UNWELL_SECONDS) && USUAL.contains(self)
    }

    /// Whether it says anything of what this taint does to running pods.
    fn is_about(&self, taint: &str) -> bool {
        (self.key == taint || self.key.is_empty()) && matches!(self.effect.as_str(), "NoExecute" | "")
    }
}

impl Tolerations {
    fn lacks(&self, taint: &str) -> bool {
        !self.iter().any(|one| one.is_about(taint))
    }

    /// Whether something is said of nodes that are unwell.
    pub fn are_complete(&self) -> bool {
        !UNWELL.iter().any(|taint| self.lacks(taint))
    }

    /// The same, and for a while those of nodes that are unwell, of which nothing was said.
    ///
    /// Source: Kubernetes, `plugin/pkg/admission/defaulttolerationseconds`.
    pub fn completed(&self) -> Self {
        let more = UNWELL.into_iter().filter(|taint| self.lacks(taint)).map(for_a_while);
        Tolerations::from(self.iter().cloned().chain(more).collect::<Vec<_>>())
    }

    /// Whether they are no others than a pod gets that says nothing of them.
    pub fn are_usual(&self) -> bool {
        self.0.as_ref().is_none_or(|all| Arc::ptr_eq(all, &USUAL))
    }
}

impl From<Vec<Toleration>> for Tolerations {
    fn from(all: Vec<Toleration>) -> Self {
        Tolerations(match all {
            all if all.is_empty() => None,
            all if all == **USUAL => Some(USUAL.clone()),
            all => Some(Arc::new(all)),
        })
    }
}

impl Deref for Tolerations {
    type Target = [Toleration];
    fn deref(&self) -> &[Toleration] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl Serialize for Tolerations {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self[..].serialize(to)
    }
}

impl<'de> Deserialize<'de> for Tolerations {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Tolerations::from)
    }
}

impl Field for Tolerations {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn visit_rest(&self, path: &mut String, visit: &mut dyn FnMut(&str)) {
        self.0.visit_rest(path, visit);
    }
    fn each_rest(&mut self, schema: &Schema, kind: &Type, path: &mut String, visit: &mut VisitRest) {
        if !self.are_usual() {
            self.0.each_rest(schema, kind, path, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> Tolerations {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_not_said_of_nodes_that_are_unwell_is_filled_in() {
        let [not_ready, unreachable] = UNWELL
            .map(|key| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        let check = |given: Value, more: &[&Value]| {
            let all = read(given.clone());
            assert_eq!(all.are_complete(), more.is_empty(), "{given}");
            let mut want = given.as_array().unwrap().clone();
            want.extend(more.iter().map(|one| (*one).clone()));
            assert_eq!(json!(all.completed()), Value::Array(want), "{given}");
            assert!(all.completed().are_complete());
        };
        check(json!([]), &[&not_ready, &unreachable]);
        check(json!([unreachable]), &[&not_ready]);
        check(json!([{"operator": "Exists"}]), &[]);
        check(json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]), &[]);
        check(json!([{"operator": "Exists", "effect": "NoSchedule"}]), &[&not_ready, &unreachable]);
        check(json!([{"key": UNWELL[0], "operator": "Exists"}]), &[&unreachable]);
        check(json!([{"key": UNWELL[1], "operator": "Exists", "effect": "NoSchedule"}]), &[&not_ready, &unreachable]);
    }

    #[test]
    fn the_usual_ones_are_kept_once() {
        assert_eq!(size_of::<Tolerations>(), 8);
        let given = Tolerations::default().completed();
        assert!(given.are_usual() && Arc::ptr_eq(given.0.as_ref().unwrap(), &USUAL));
        assert!(read(json!(given)).are_usual(), "also where they are read");
        assert!(!read(json!([{"operator": "Exists"}])).are_usual());
    }
}
