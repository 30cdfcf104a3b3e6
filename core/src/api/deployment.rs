//! Deployment: replica sets that replace one another, so that pods become those of a new template little by little.
//!
//! Source: Kubernetes API reference v1.32, "Deployment"; documentation, "Deployments".

use crate::api::int_or_string::{IntOrString, Round};
use crate::api::meta::{ObjectMeta, Time};
use crate::api::pod::PodTemplateSpec;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::{api_enum, api_struct};

api_struct! {
    /// A deployment, but for its metadata.
    pub struct Deployment {
        /// What is wished.
        spec "spec": DeploymentSpec,
        /// What its controller counted.
        status "status": DeploymentStatus,
    }
}

api_struct! {
    /// What is wished of a deployment.
    pub struct DeploymentSpec {
        /// How many pods; 1 if absent.
        replicas "replicas": Option<i32>,
        /// Which replica sets and pods are its own. Fixed after creation.
        selector "selector" always: LabelSelector,
        /// What new pods look like.
        template "template": PodTemplateSpec,
        /// How old pods are replaced by new ones.
        strategy "strategy": DeploymentStrategy,
        /// For so many seconds a new pod must be ready before it counts as available.
        min_ready_seconds "minReadySeconds": Option<i32>,
        /// How many old replica sets are kept to go back to; 10 if absent.
        revision_history_limit "revisionHistoryLimit": Option<i32>,
        /// Whether nothing new is rolled out.
        paused "paused": bool,
        /// Seconds without progress after which it counts as failed; 600 if absent, 2147483647 for never.
        progress_deadline_seconds "progressDeadlineSeconds": Option<i32>,
    }
}

api_struct! {
    /// How old pods are replaced by new ones.
    pub struct DeploymentStrategy {
        /// All at once, or little by little.
        kind "type": StrategyType,
        /// How much at a time.
        rolling_update "rollingUpdate": RollingUpdateDeployment,
    }
}

api_enum! {
    /// How old pods are replaced by new ones.
    pub enum StrategyType {
        /// Little by little.
        #[default] RollingUpdate "RollingUpdate",
        /// The old ones end before a new one is made.
        Recreate "Recreate",
    }
}

api_struct! {
    /// How much is replaced at a time.
    pub struct RollingUpdateDeployment {
        /// So many pods fewer than wished may be available; `25%` if absent.
        max_unavailable "maxUnavailable": Option<IntOrString>,
        /// So many pods more than wished may exist; `25%` if absent.
        max_surge "maxSurge": Option<IntOrString>,
    }
}

api_struct! {
    /// What a deployment's controller counted.
    pub struct DeploymentStatus {
        /// The `generation` that this answers.
        observed_generation "observedGeneration": Option<i64>,
        /// Pods of all its replica sets.
        replicas "replicas": Option<i32>,
        /// Those of them that are of the newest template.
        updated_replicas "updatedReplicas": Option<i32>,
        /// Those of them that are ready.
        ready_replicas "readyReplicas": Option<i32>,
        /// Those of them that have been ready for `minReadySeconds`.
        available_replicas "availableReplicas": Option<i32>,
        /// How many of those that its replica sets want are not available.
        unavailable_replicas "unavailableReplicas": Option<i32>,
        /// `Available`, `Progressing` and `ReplicaFailure`.
        conditions "conditions": Vec<DeploymentCondition>,
        /// How often the name for a new replica set was taken.
        collision_count "collisionCount": Option<i32>,
    }
}

api_struct! {
    /// One aspect of a deployment, and since when it is so.
    pub struct DeploymentCondition {
        /// `Available`, `Progressing` or `ReplicaFailure`.
        kind "type" always: Text,
        /// `True`, `False` or `Unknown`.
        status "status" always: Text,
        /// When it was last confirmed.
        last_update_time "lastUpdateTime": Option<Time>,
        /// When `status` last changed.
        last_transition_time "lastTransitionTime": Option<Time>,
        /// Why, in one word.
        reason "reason": Text,
        /// Why, for people.
        message "message": Text,
    }
}

/// On a deployment and its replica sets: how many templates there were before it, and one.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// On a replica set: the revisions that it was before it was the newest again.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// On a replica set: how many pods its deployment wished when the set was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// On a replica set: how many pods its deployment allowed when the set was last scaled.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// On replica sets and pods of a deployment: which template they are of.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

impl Deployment {
    /// How many pods are wished.
    pub fn wanted(&self) -> i64 {
        i64::from(self.spec.replicas.unwrap_or(1)).max(0)
    }

    /// So many pods more than wished may exist, and so many fewer may be available. Both cannot be none: then nothing
    /// could ever be replaced.
    ///
    /// Source: Kubernetes, `pkg/controller/deployment/util`, `ResolveFenceposts`.
    pub fn fenceposts(&self) -> (i64, i64) {
        if self.spec.strategy.kind == StrategyType::Recreate {
            return (0, 0);
        }
        let quarter = || IntOrString::String("25%".into());
        let rolling = &self.spec.strategy.rolling_update;
        let wanted = self.wanted();
        let surge = rolling.max_surge.clone().unwrap_or_else(quarter).of(wanted, Round::Up);
        let down = if planted!(AbsenceRoundedUp) { Round::Up } else { Round::Down };
        let unavailable = rolling.max_unavailable.clone().unwrap_or_else(quarter).of(wanted, down);
        match (surge, unavailable) {
            (0, 0) => (0, 1),
            both => both,
        }
    }

    /// So many pods fewer than wished may be available.
    pub fn max_unavailable(&self) -> i64 {
        if self.wanted() == 0 { 0 } else { self.fenceposts().1.min(self.wanted()) }
    }

    /// So many pods may exist.
    pub fn max_total(&self) -> i64 {
        self.wanted() + self.fenceposts().0
    }

    /// Seconds without progress after which it counts as failed, if it ever does.
    pub fn progress_deadline(&self) -> Option<u64> {
        let seconds = self.spec.progress_deadline_seconds.unwrap_or(600);
        u64::try_from(seconds).ok().filter(|_| seconds != i32::MAX)
    }

    /// How many old replica sets are kept.
    pub fn history_limit(&self) -> usize {
        usize::try_from(self.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0)
    }
}

/// Which revision an object says it is; 0 if it says none.
pub fn revision(meta: &ObjectMeta) -> i64 {
    meta.annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn surge_is_rounded_up_and_absence_down() {
        let check = |replicas: i32, rolling: serde_json::Value, want: (i64, i64)| {
            let spec = json!({"replicas": replicas, "strategy": {"rollingUpdate": rolling}});
            let deployment: Deployment = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(deployment.fenceposts(), want, "{rolling} of {replicas}");
        };
        check(10, json!({}), (3, 2));
        check(1, json!({}), (1, 0));
        check(4, json!({"maxSurge": "25%", "maxUnavailable": 0}), (1, 0));
        check(10, json!({"maxSurge": 0, "maxUnavailable": "5%"}), (0, 1));
        check(0, json!({}), (0, 1));
    }
}
