//! StatefulSet: pods with names that stay, one after the other.
//!
//! Source: Kubernetes API reference v1.32, "StatefulSet"; documentation, "StatefulSets".

use crate::api::int_or_string::{IntOrString, Round};
use crate::api::meta::ObjectMeta;
use crate::api::pod::PodTemplateSpec;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::{api_enum, api_struct};
use serde_json::Value;

api_struct! {
    /// A stateful set, but for its metadata.
    pub struct StatefulSet {
        /// What is wished.
        spec "spec": StatefulSetSpec,
        /// What its controller counted.
        status "status": StatefulSetStatus,
    }
}

api_struct! {
    /// What is wished of a stateful set.
    pub struct StatefulSetSpec {
        /// How many pods; 1 if absent.
        replicas "replicas": Option<i32>,
        /// Which pods are its own. Fixed after creation.
        selector "selector" always: LabelSelector,
        /// What new pods look like.
        template "template": PodTemplateSpec,
        /// Claims that each pod gets, one of each.
        volume_claim_templates "volumeClaimTemplates": Vec<ClaimTemplate>,
        /// The service under which its pods have names.
        service_name "serviceName": Text,
        /// Whether pods wait for one another.
        pod_management_policy "podManagementPolicy": PodManagementPolicy,
        /// How old pods are replaced by new ones.
        update_strategy "updateStrategy": UpdateStrategy,
        /// How many old revisions are kept; 10 if absent.
        revision_history_limit "revisionHistoryLimit": Option<i32>,
        /// For so many seconds a new pod must be ready before it counts as available.
        min_ready_seconds "minReadySeconds": Option<i32>,
        /// What becomes of claims.
        retention "persistentVolumeClaimRetentionPolicy": Retention,
        /// Which numbers its pods have.
        ordinals "ordinals": Option<Ordinals>,
    }
}

api_struct! {
    /// A claim in the making.
    pub struct ClaimTemplate {
        /// Its name is a part of the claims' names.
        metadata "metadata": ObjectMeta,
        /// The claims' spec.
        spec "spec": Value,
    }
}

api_enum! {
    /// Whether pods wait for one another.
    pub enum PodManagementPolicy {
        /// Each is made when the one before is ready, and ended when the one after is gone.
        #[default] OrderedReady "OrderedReady",
        /// They do not.
        Parallel "Parallel",
    }
}

api_struct! {
    /// How old pods are replaced by new ones.
    pub struct UpdateStrategy {
        /// By whom.
        kind "type": UpdateStrategyType,
        /// How much at a time.
        rolling_update "rollingUpdate": RollingUpdate,
    }
}

api_enum! {
    /// By whom old pods are ended.
    pub enum UpdateStrategyType {
        /// By the controller, from the highest number down.
        #[default] RollingUpdate "RollingUpdate",
        /// By people.
        OnDelete "OnDelete",
    }
}

api_struct! {
    /// How much is replaced at a time.
    pub struct RollingUpdate {
        /// Pods of lower numbers stay as they are.
        partition "partition": Option<i32>,
        /// So many pods may be away at a time; 1 if absent.
        max_unavailable "maxUnavailable": Option<IntOrString>,
    }
}

api_struct! {
    /// What becomes of claims: `Retain` or `Delete`.
    pub struct Retention {
        /// When the set is deleted.
        when_deleted "whenDeleted": Text,
        /// When their pod is not wanted any more.
        when_scaled "whenScaled": Text,
    }
}

api_struct! {
    /// Which numbers pods have.
    pub struct Ordinals {
        /// The first.
        start "start": i32,
    }
}

api_struct! {
    /// What a stateful set's controller counted.
    pub struct StatefulSetStatus {
        /// The `generation` that this answers.
        observed_generation "observedGeneration": Option<i64>,
        /// Pods that there are.
        replicas "replicas" always: i32,
        /// Those of them that are ready.
        ready_replicas "readyReplicas": Option<i32>,
        /// Those of them that are of the current revision.
        current_replicas "currentReplicas": Option<i32>,
        /// Those of them that are of the newest revision.
        updated_replicas "updatedReplicas": Option<i32>,
        /// The revision from which an update began.
        current_revision "currentRevision": Text,
        /// The newest revision.
        update_revision "updateRevision": Text,
        /// How often the name for a new revision was taken.
        collision_count "collisionCount": Option<i32>,
        /// Nothing is said here so far.
        conditions "conditions": Vec<Value>,
        /// Those of them that have been ready for `minReadySeconds`.
        available_replicas "availableReplicas" always: i32,
    }
}

api_struct! {
    /// A controller revision, but for its metadata: a template as it was.
    pub struct ControllerRevision {
        /// The template, as a patch of its owner.
        data "data": Value,
        /// Its number.
        revision "revision" always: i64,
    }
}

/// On pods: the revision that they are of.
pub const REVISION_HASH: &str = "controller-revision-hash";
/// On pods of a stateful set: their own name, for services of one pod.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// On pods of a stateful set: their number.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
/// On claims of a stateful set: they go when their pod is gone, since its number is not wanted any more.
pub const GOES_WITH_POD: &str = "miniku.dev/goes-with-pod";

impl StatefulSet {
    /// The numbers of the pods that are wanted.
    pub fn wanted(&self) -> std::ops::Range<i64> {
        let start = self.spec.ordinals.as_ref().map_or(0, |ordinals| i64::from(ordinals.start)).max(0);
        start..start + i64::from(self.spec.replicas.unwrap_or(1)).max(0)
    }

    /// Pods of lower numbers stay as they are.
    pub fn partition(&self) -> i64 {
        i64::from(self.spec.update_strategy.rolling_update.partition.unwrap_or(0))
    }

    /// So many pods may be away at a time while they are replaced; at least one.
    pub fn max_unavailable(&self) -> usize {
        let total = self.wanted().end - self.wanted().start;
        let max = self.spec.update_strategy.rolling_update.max_unavailable.as_ref();
        usize::try_from(max.map_or(1, |max| max.of(total, Round::Up))).unwrap_or(1).max(1)
    }
}
