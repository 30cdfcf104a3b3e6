//! DaemonSet: a pod on each node that fits.
//!
//! Source: Kubernetes API reference v1.32, "DaemonSet"; documentation, "DaemonSet".

use crate::api::int_or_string::{IntOrString, Round};
use crate::api::pod::{Pod, PodTemplateSpec};
use crate::api::selector::LabelSelector;
use crate::api::statefulset::UpdateStrategyType;
use crate::api_struct;
use serde_json::Value;

api_struct! {
    /// A daemon set, but for its metadata.
    pub struct DaemonSet {
        /// What is wished.
        spec "spec": DaemonSetSpec,
        /// What its controller counted.
        status "status": DaemonSetStatus,
    }
}

api_struct! {
    /// What is wished of a daemon set.
    pub struct DaemonSetSpec {
        /// Which pods are its own. Fixed after creation.
        selector "selector" always: LabelSelector,
        /// What its pods look like, and on which nodes they are.
        template "template": PodTemplateSpec,
        /// How old pods are replaced by new ones.
        update_strategy "updateStrategy": DaemonUpdate,
        /// For so many seconds a new pod must be ready before it counts as available.
        min_ready_seconds "minReadySeconds": Option<i32>,
        /// How many old revisions are kept; 10 if absent.
        revision_history_limit "revisionHistoryLimit": Option<i32>,
    }
}

api_struct! {
    /// How old pods are replaced by new ones.
    pub struct DaemonUpdate {
        /// By whom.
        kind "type": UpdateStrategyType,
        /// How many at a time.
        rolling_update "rollingUpdate": DaemonRollingUpdate,
    }
}

api_struct! {
    /// How many pods are replaced at a time.
    pub struct DaemonRollingUpdate {
        /// On so many nodes the pod may be away; 1 if absent.
        max_unavailable "maxUnavailable": Option<IntOrString>,
        /// On so many nodes a new pod may run beside the old one; 0 if absent.
        max_surge "maxSurge": Option<IntOrString>,
    }
}

api_struct! {
    /// What a daemon set's controller counted. Each number is one of nodes.
    pub struct DaemonSetStatus {
        /// With a pod that belongs there.
        current_number_scheduled "currentNumberScheduled" always: i32,
        /// With a pod that does not belong there.
        number_misscheduled "numberMisscheduled" always: i32,
        /// That fit.
        desired_number_scheduled "desiredNumberScheduled" always: i32,
        /// With a pod that is ready.
        number_ready "numberReady" always: i32,
        /// The `generation` that this answers.
        observed_generation "observedGeneration": Option<i64>,
        /// With a pod of the newest revision.
        updated_number_scheduled "updatedNumberScheduled": Option<i32>,
        /// With a pod that has been ready for `minReadySeconds`.
        number_available "numberAvailable": Option<i32>,
        /// That fit and have none of those.
        number_unavailable "numberUnavailable": Option<i32>,
        /// How often the name for a new revision was taken.
        collision_count "collisionCount": Option<i32>,
        /// Nothing is said here so far.
        conditions "conditions": Vec<Value>,
    }
}

impl DaemonSet {
    /// On so many of the nodes that fit a new pod may run beside the old one.
    pub fn max_surge(&self, nodes: i64) -> usize {
        let rolling = self.spec.update_strategy.kind == UpdateStrategyType::RollingUpdate;
        let most = self.spec.update_strategy.rolling_update.max_surge.as_ref().filter(|_| rolling);
        most.map_or(0, |most| usize::try_from(most.of(nodes, Round::Up)).unwrap_or(0))
    }

    /// On so many of the nodes that fit the pod may be away. At least one, if none may surge.
    pub fn max_unavailable(&self, nodes: i64) -> usize {
        let most = self.spec.update_strategy.rolling_update.max_unavailable.as_ref();
        let most = most.map_or(1, |most| usize::try_from(most.of(nodes, Round::Up)).unwrap_or(0));
        if self.max_surge(nodes) == 0 { most.max(1) } else { most }
    }
}

/// The field of a node by which a pod is meant for it.
const NODE_NAME: &str = "metadata.name";

impl Pod {
    /// The node that it is bound to, or that it is meant for.
    ///
    /// Source: Kubernetes, `pkg/controller/daemon/util`, `GetTargetNodeName`.
    pub fn target_node(&self) -> Option<&str> {
        self.node().or_else(|| {
            let fields = self.spec.required_nodes()?.terms.iter().flat_map(|term| &term.match_fields);
            let mut named = fields.filter(|field| field.key == NODE_NAME && field.operator == "In");
            match named.next()?.values.as_slice() {
                [node] => Some(node),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_are_of_the_nodes_that_fit() {
        let check = |rolling: Value, want: (usize, usize)| {
            let set = json!({"spec": {"selector": {}, "updateStrategy": {"rollingUpdate": rolling}}});
            let set: DaemonSet = serde_json::from_value(set).unwrap();
            assert_eq!((set.max_unavailable(10), set.max_surge(10)), want, "{rolling}");
        };
        check(json!({}), (1, 0));
        check(json!({"maxUnavailable": "15%"}), (2, 0));
        check(json!({"maxUnavailable": 0, "maxSurge": 0}), (1, 0));
        check(json!({"maxUnavailable": 0, "maxSurge": "25%"}), (0, 3));
    }

    #[test]
    fn a_pod_is_meant_for_a_node_before_it_is_bound() {
        let check = |spec: Value, want: Option<&str>| {
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            assert_eq!(pod.target_node(), want, "{spec}");
        };
        let terms = |fields: Value| {
            json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": fields}]}}}})
        };
        check(json!({"nodeName": "a"}), Some("a"));
        check(json!({}), None);
        check(terms(json!([{"key": "metadata.name", "operator": "In", "values": ["b"]}])), Some("b"));
        check(terms(json!([{"key": "metadata.name", "operator": "NotIn", "values": ["b"]}])), None);
    }
}
