//! What is done about a daemon set's pods on one node.
//!
//! Source: Kubernetes, `pkg/controller/daemon`, `nodeShouldRunDaemonPod`, `podsShouldBeOnNode`.

use crate::api::node::Node;
use crate::api::pod::Pod;
use crate::api::taint::{KEEP_AWAY, NO_EXECUTE, untolerated};
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whether the node takes the set's pods.
    pub enum Fit {
        /// It does.
        Takes,
        /// No new ones, for a taint that those that are there put up with.
        Keeps,
        /// It does not, and none may stay.
        Never,
    }
}

decision_enum! {
    /// Which of them are there.
    pub enum Here {
        /// None.
        Nobody,
        /// Only some that are being deleted.
        Leaving,
        /// At least one that is not.
        Somebody,
    }
}

decision_enum! {
    /// Whether a new pod may run beside an old one.
    pub enum Surge {
        /// No.
        No,
        /// Yes: `maxSurge`.
        Yes,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// Nothing.
        Keep,
        /// Nothing, and the pod counts as being away.
        Wait,
        /// One is made.
        Make,
        /// They are looked at: what has ended or is too many goes, and the old may be replaced.
        Look,
        /// All that are not being deleted are.
        End,
    }
}

decision_table! {
    /// What is done about the pods on one node. Pure and total. Page: `docs/decisions/staffing.md`.
    pub fn staffing(node: Fit, pods: Here, surge: Surge) -> Action, STAFFING;
    missing: (Takes, Nobody, _)                   => Make, "each node that fits has its pod";
    leaving: (Takes, Leaving, No)                 => Wait, "two on one node may want the same port or directory";
    beside:  (Takes, Leaving, Yes)                => Make, "two on one node are allowed for a while";
    there:   (Takes | Keeps, Somebody, _)         => Look, "it belongs there";
    closed:  (Keeps, Nobody | Leaving, _)         => Keep, "nothing new comes to a tainted node";
    expel:   (Never, Somebody, _)                 => End,  "it does not belong there, or not any more";
    gone:    (Never, Nobody | Leaving, _)         => Keep, "it is as it should be";
}

/// Whether a node takes pods like this one, that are not meant for any node yet.
pub fn fit(pod: &Pod, node: &Node) -> Fit {
    let named = pod.node().is_none_or(|name| name == node.metadata.name);
    let taints = |effects: &[&str]| untolerated(&node.spec.taints, &pod.spec.tolerations, effects).next().is_some();
    match () {
        () if !named || !pod.spec.allows_node(&node.metadata.name, &node.metadata.labels) => Fit::Never,
        () if planted!(DaemonsIgnoreTaints) || !taints(KEEP_AWAY) => Fit::Takes,
        () if taints(&[NO_EXECUTE]) => Fit::Never,
        () => Fit::Keeps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_node_fits_by_its_labels_and_taints() {
        let check = |pod: Value, taints: Value, want: Fit| {
            let read: Pod = serde_json::from_value(json!({"metadata": {}, "spec": pod})).unwrap();
            let node = json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}}, "spec": {"taints": taints}});
            assert_eq!(fit(&read, &serde_json::from_value(node).unwrap()), want, "{pod} {taints}");
        };
        let taint = |effect: &str| json!([{"key": "a", "effect": effect}]);
        check(json!({}), json!([]), Fit::Takes);
        check(json!({"nodeName": "n"}), json!([]), Fit::Takes);
        check(json!({"nodeName": "m"}), json!([]), Fit::Never);
        check(json!({"nodeSelector": {"disk": "ssd"}}), json!([]), Fit::Takes);
        check(json!({"nodeSelector": {"disk": "hdd"}}), json!([]), Fit::Never);
        check(json!({}), taint("NoSchedule"), Fit::Keeps);
        check(json!({}), taint("NoExecute"), Fit::Never);
        check(json!({}), taint("PreferNoSchedule"), Fit::Takes);
        check(json!({"tolerations": [{"operator": "Exists"}]}), taint("NoExecute"), Fit::Takes);
    }
}
