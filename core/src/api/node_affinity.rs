//! Node affinity: which nodes a pod may run on, and which it would rather.
//!
//! Source: Kubernetes API reference v1.32, "NodeAffinity"; documentation, "Assigning Pods to Nodes";
//! `component-helpers/scheduling/corev1/nodeaffinity`.

use crate::api::meta::Labels;
use crate::api::pod::PodSpec;
use crate::api::text::Text;
use crate::api_struct;

api_struct! {
    /// Which nodes a pod wants.
    pub struct NodeAffinity {
        /// It runs on no others.
        required "requiredDuringSchedulingIgnoredDuringExecution": Option<NodeSelector>,
        /// Each counts for the nodes that it selects.
        preferred "preferredDuringSchedulingIgnoredDuringExecution": Vec<PreferredSchedulingTerm>,
    }
}

api_struct! {
    /// Nodes that one of these terms selects. Also in a volume: from which nodes it can be reached.
    pub struct NodeSelector {
        /// At least one.
        terms "nodeSelectorTerms" always: Vec<NodeSelectorTerm>,
    }
}

api_struct! {
    /// Nodes of which all of this holds. Without any requirement it selects none.
    pub struct NodeSelectorTerm {
        /// About labels.
        match_expressions "matchExpressions": Vec<NodeSelectorRequirement>,
        /// About fields; there is only `metadata.name`.
        match_fields "matchFields": Vec<NodeSelectorRequirement>,
    }
}

api_struct! {
    /// One requirement of a term.
    pub struct NodeSelectorRequirement {
        /// The label or the field.
        key "key" always: Text,
        /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
        operator "operator" always: Text,
        /// At least one for `In` and `NotIn`, one number for `Gt` and `Lt`, none otherwise.
        values "values": Vec<Text>,
    }
}

api_struct! {
    /// What counts for a node.
    pub struct PreferredSchedulingTerm {
        /// How much, from 1 to 100.
        weight "weight" always: i32,
        /// For which nodes. Without any requirement it counts for none.
        preference "preference" always: NodeSelectorTerm,
    }
}

impl PodSpec {
    /// Whether the pod may run on the node of this name and with these labels: `nodeSelector` and the required terms of
    /// its node affinity.
    pub fn allows_node(&self, name: &str, labels: &Labels) -> bool {
        self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.required_nodes().is_none_or(|nodes| nodes.selects(name, labels))
    }

    /// The required terms of its node affinity, if it has any.
    pub fn required_nodes(&self) -> Option<&NodeSelector> {
        self.affinity.as_ref()?.node_affinity.as_ref()?.required.as_ref()
    }

    /// The preferred terms of its node affinity.
    pub fn preferred_nodes(&self) -> &[PreferredSchedulingTerm] {
        let nodes = self.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        nodes.map_or(&[], |nodes| &nodes.preferred)
    }
}

impl NodeSelector {
    /// Whether it selects the node of this name and with these labels.
    pub fn selects(&self, name: &str, labels: &Labels) -> bool {
        self.terms.iter().any(|term| term.selects(name, labels))
    }
}

impl NodeSelectorTerm {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.match_expressions.is_empty() && self.match_fields.is_empty()
    }

    /// Whether it selects the node of this name and with these labels.
    pub fn selects(&self, name: &str, labels: &Labels) -> bool {
        !self.is_empty()
            && self.match_expressions.iter().all(|one| one.holds(labels.get(&one.key).map(Text::as_str)))
            && self.match_fields.iter().all(|one| one.key == "metadata.name" && one.holds(Some(name)))
    }
}

impl NodeSelectorRequirement {
    /// Whether it holds for a value, absent where there is none. An operator that is none holds for nothing.
    fn holds(&self, value: Option<&str>) -> bool {
        let is_listed = |value: &str| self.values.iter().any(|one| one == value);
        match self.operator.as_str() {
            "In" => value.is_some_and(is_listed),
            "NotIn" => !value.is_some_and(is_listed),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => self.numbers(value).is_some_and(|(value, bound)| value > bound),
            "Lt" => self.numbers(value).is_some_and(|(value, bound)| value < bound),
            _ => false,
        }
    }

    /// A value and the only one here, if both are numbers.
    fn numbers(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn pods_are_allowed_on_the_nodes_they_want() {
        let labels = Labels::from([("disk", "ssd"), ("cores", "8")].map(|(key, value)| (key, value.into())));
        let check = |spec: Value, want: bool| {
            let read: PodSpec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(read.allows_node("n1", &labels), want, "{spec}");
        };
        check(json!({}), true);
        check(json!({"nodeSelector": {"disk": "ssd"}}), true);
        check(json!({"nodeSelector": {"disk": "ssd", "gpu": "yes"}}), false);
        let terms = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        // Terms are alternatives, and a term without requirements selects nothing.
        check(terms(json!([])), false);
        check(terms(json!([{}])), false);
        let one = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let requires = |key, operator, values: &[&str], want| check(terms(json!([one(key, operator, values)])), want);
        requires("disk", "In", &["hdd", "ssd"], true);
        requires("disk", "In", &["hdd"], false);
        requires("gpu", "In", &[""], false);
        requires("disk", "NotIn", &["ssd"], false);
        requires("gpu", "NotIn", &["a"], true);
        requires("disk", "Exists", &[], true);
        requires("gpu", "Exists", &[], false);
        requires("gpu", "DoesNotExist", &[], true);
        requires("disk", "DoesNotExist", &[], false);
        requires("cores", "Gt", &["7"], true);
        requires("cores", "Gt", &["8"], false);
        requires("cores", "Lt", &["9"], true);
        requires("disk", "Gt", &["0"], false);
        requires("cores", "Lt", &["many"], false);
        requires("disk", "Like", &["ssd"], false);
        check(terms(json!([one("disk", "In", &["hdd"]), one("cores", "Exists", &[])])), true);
        let named = |operator: &str, name: &str| json!([{"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]}]);
        check(terms(named("In", "n1")), true);
        check(terms(named("In", "n2")), false);
        check(terms(named("NotIn", "n1")), false);
        let mut both = terms(named("In", "n1"));
        both["nodeSelector"] = json!({"disk": "hdd"});
        check(both, false);
    }
}
