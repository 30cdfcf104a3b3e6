//! PodDisruptionBudget: how many pods may be missing at once by somebody's will.
//!
//! Source: Kubernetes API reference v1.32, "PodDisruptionBudget"; documentation, "Specifying a Disruption Budget for your
//! Application".

use crate::api::by_name::ByName;
use crate::api::condition::Condition;
use crate::api::int_or_string::IntOrString;
use crate::api::meta::Time;
use crate::api::selector::LabelSelector;
use crate::api_struct;

api_struct! {
    /// A budget, but for its metadata.
    pub struct PodDisruptionBudget {
        /// What is wished.
        spec "spec": BudgetSpec,
        /// What its controller counted.
        status "status": BudgetStatus,
    }
}

api_struct! {
    /// What is wished of a budget. One of the two numbers is set.
    pub struct BudgetSpec {
        /// So many pods must be there, or such a part of them.
        min_available "minAvailable": Option<IntOrString>,
        /// So many pods may be missing, or such a part of them.
        max_unavailable "maxUnavailable": Option<IntOrString>,
        /// Which pods; none if absent, all of the namespace if empty.
        selector "selector": Option<LabelSelector>,
    }
}

api_struct! {
    /// What a budget's controller counted, and what the API server has granted since.
    pub struct BudgetStatus {
        /// The `generation` that this answers.
        observed_generation "observedGeneration": Option<i64>,
        /// Pods whose eviction was granted and that the controller has not seen go, and when it was.
        disrupted_pods "disruptedPods": ByName<Time>,
        /// So many more evictions are granted.
        disruptions_allowed "disruptionsAllowed" always: i32,
        /// Pods that are ready.
        current_healthy "currentHealthy" always: i32,
        /// So many must be.
        desired_healthy "desiredHealthy" always: i32,
        /// So many there should be.
        expected_pods "expectedPods" always: i32,
        /// [`DISRUPTION_ALLOWED`].
        conditions "conditions": Vec<Condition>,
    }
}

/// The type of the condition that says whether an eviction is granted.
pub const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";
/// Its reason when one is.
pub const SUFFICIENT_PODS: &str = "SufficientPods";
/// Its reason when none is.
pub const INSUFFICIENT_PODS: &str = "InsufficientPods";
/// Its reason when it could not be counted.
pub const SYNC_FAILED: &str = "SyncFailed";
