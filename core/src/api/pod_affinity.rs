//! Affinity: near which pods a pod wants to be, away from which, and how evenly pods are spread.
//!
//! Source: Kubernetes API reference v1.32, "Affinity", "TopologySpreadConstraint"; documentation, "Assigning Pods to
//! Nodes", "Pod Topology Spread Constraints".

use crate::api::node_affinity::NodeAffinity;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::{api_enum, api_struct};

api_struct! {
    /// Which nodes and which neighbours a pod wants.
    pub struct Affinity {
        /// Which nodes.
        node_affinity "nodeAffinity": Option<NodeAffinity>,
        /// Near which pods.
        pod_affinity "podAffinity": Option<PodAffinity>,
        /// Away from which pods.
        pod_anti_affinity "podAntiAffinity": Option<PodAffinity>,
    }
}

api_struct! {
    /// Other pods that decide where a pod goes.
    pub struct PodAffinity {
        /// All of these must hold.
        required "requiredDuringSchedulingIgnoredDuringExecution": Vec<PodAffinityTerm>,
        /// Each counts for or against a node.
        preferred "preferredDuringSchedulingIgnoredDuringExecution": Vec<WeightedPodAffinityTerm>,
    }
}

api_struct! {
    /// Pods, and what is near them.
    pub struct PodAffinityTerm {
        /// Which pods; none if absent.
        label_selector "labelSelector": Option<LabelSelector>,
        /// In these namespaces. The pod's own if nothing is said of namespaces.
        namespaces "namespaces": Vec<Text>,
        /// And in namespaces with such labels; in all if empty.
        namespace_selector "namespaceSelector": Option<LabelSelector>,
        /// Nodes with the same value of this label are one place.
        topology_key "topologyKey" always: Text,
        /// Labels whose values must be the pod's own.
        match_label_keys "matchLabelKeys": Vec<Text>,
        /// Labels whose values must not be the pod's own.
        mismatch_label_keys "mismatchLabelKeys": Vec<Text>,
    }
}

api_struct! {
    /// What counts for a node, or against it.
    pub struct WeightedPodAffinityTerm {
        /// How much, from 1 to 100.
        weight "weight" always: i32,
        /// Near which pods.
        term "podAffinityTerm" always: PodAffinityTerm,
    }
}

api_struct! {
    /// How evenly pods are spread.
    pub struct TopologySpreadConstraint {
        /// By how many pods places may differ; at least 1.
        max_skew "maxSkew" always: i32,
        /// Nodes with the same value of this label are one place.
        topology_key "topologyKey" always: Text,
        /// Whether the pod waits, or goes where it differs least.
        when_unsatisfiable "whenUnsatisfiable": WhenUnsatisfiable,
        /// Which pods of the namespace are counted; none if absent.
        label_selector "labelSelector": Option<LabelSelector>,
        /// With fewer places than this, the least is taken to be 0. 1 if absent.
        min_domains "minDomains": Option<i32>,
        /// Whether only nodes count that the pod's node affinity allows; `Honor` if absent.
        node_affinity_policy "nodeAffinityPolicy": Option<NodeInclusion>,
        /// Whether only nodes count whose taints the pod tolerates; `Ignore` if absent.
        node_taints_policy "nodeTaintsPolicy": Option<NodeInclusion>,
        /// Labels whose values must be the pod's own.
        match_label_keys "matchLabelKeys": Vec<Text>,
    }
}

api_enum! {
    /// What becomes of a pod that would make the difference too large.
    pub enum WhenUnsatisfiable {
        /// It waits.
        #[default] DoNotSchedule "DoNotSchedule",
        /// It goes where the difference is smallest.
        ScheduleAnyway "ScheduleAnyway",
    }
}

api_enum! {
    /// Whether nodes that a pod cannot use are counted.
    pub enum NodeInclusion {
        /// They are not.
        #[default] Honor "Honor",
        /// They are.
        Ignore "Ignore",
    }
}
