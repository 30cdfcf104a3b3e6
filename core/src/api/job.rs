//! Job: pods that run until enough of them have succeeded.
//!
//! Source: Kubernetes API reference v1.32, "Job"; documentation, "Jobs".

use crate::api::meta::Time;
use crate::api::pod::PodTemplateSpec;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::{api_enum, api_struct};

api_struct! {
    /// A job, but for its metadata.
    pub struct Job {
        /// What is wished.
        spec "spec": JobSpec,
        /// What its controller counted.
        status "status": JobStatus,
    }
}

api_struct! {
    /// What is wished of a job.
    pub struct JobSpec {
        /// So many pods run at a time; 1 if absent.
        parallelism "parallelism": Option<i32>,
        /// So many pods must succeed. Absent, one success is enough, and when it is there no more pods are made.
        completions "completions": Option<i32>,
        /// Seconds from its start after which it has failed.
        active_deadline_seconds "activeDeadlineSeconds": Option<i64>,
        /// Which failures count, and which end the job.
        pod_failure_policy "podFailurePolicy": Option<PodFailurePolicy>,
        /// When it has succeeded before all its indexes have.
        success_policy "successPolicy": Option<SuccessPolicy>,
        /// After more failures than these it has failed; 6 if absent.
        backoff_limit "backoffLimit": Option<i32>,
        /// After more failures than these an index has failed.
        backoff_limit_per_index "backoffLimitPerIndex": Option<i32>,
        /// After more failed indexes than these it has failed.
        max_failed_indexes "maxFailedIndexes": Option<i32>,
        /// Which pods are its own. Made by the API server.
        selector "selector": LabelSelector,
        /// What its pods look like.
        template "template": PodTemplateSpec,
        /// Seconds after its end in which it is kept.
        ttl_seconds_after_finished "ttlSecondsAfterFinished": Option<i32>,
        /// Whether its pods are told apart.
        completion_mode "completionMode": CompletionMode,
        /// Whether it is held: it has no pods then.
        suspend "suspend": bool,
        /// When a pod that ends is replaced.
        pod_replacement_policy "podReplacementPolicy": PodReplacementPolicy,
        /// Who acts on it, if not the job controller.
        managed_by "managedBy": Text,
    }
}

api_enum! {
    /// Whether a job's pods are told apart.
    pub enum CompletionMode {
        /// They are alike.
        #[default] NonIndexed "NonIndexed",
        /// Each has a number, and each number has to succeed once.
        Indexed "Indexed",
    }
}

api_enum! {
    /// When a pod that ends is replaced.
    pub enum PodReplacementPolicy {
        /// When its end begins.
        #[default] TerminatingOrFailed "TerminatingOrFailed",
        /// When it has ended.
        Failed "Failed",
    }
}

api_struct! {
    /// Which failures count.
    pub struct PodFailurePolicy {
        /// The first that fits decides.
        rules "rules": Vec<PodFailurePolicyRule>,
    }
}

api_struct! {
    /// One rule of a failure policy.
    pub struct PodFailurePolicyRule {
        /// What a failure that fits means.
        action "action": FailureAction,
        /// Exit codes that fit.
        on_exit_codes "onExitCodes": Option<OnExitCodes>,
        /// Conditions of the pod that fit.
        on_pod_conditions "onPodConditions": Vec<OnPodCondition>,
    }
}

api_enum! {
    /// What a failure means.
    pub enum FailureAction {
        /// It counts, as without a policy.
        #[default] Count "Count",
        /// It does not count.
        Ignore "Ignore",
        /// The job has failed.
        FailJob "FailJob",
        /// The index has failed.
        FailIndex "FailIndex",
    }
}

api_struct! {
    /// Exit codes of containers.
    pub struct OnExitCodes {
        /// Of this container; of any if absent.
        container_name "containerName": Option<Text>,
        /// `In` or `NotIn`.
        operator "operator": Text,
        /// The codes.
        values "values": Vec<i64>,
    }
}

api_struct! {
    /// A condition of a pod.
    pub struct OnPodCondition {
        /// Its type.
        kind "type": Text,
        /// Its status; `True` if empty.
        status "status": Text,
    }
}

api_struct! {
    /// When a job has succeeded before all its indexes have.
    pub struct SuccessPolicy {
        /// One that holds is enough.
        rules "rules": Vec<SuccessPolicyRule>,
    }
}

api_struct! {
    /// One rule of a success policy.
    pub struct SuccessPolicyRule {
        /// These indexes have succeeded; any if absent.
        succeeded_indexes "succeededIndexes": Option<Text>,
        /// So many of them; all if absent.
        succeeded_count "succeededCount": Option<i32>,
    }
}

api_struct! {
    /// What a job's controller counted.
    pub struct JobStatus {
        /// `Complete`, `Failed`, `Suspended`, `SuccessCriteriaMet`, `FailureTarget`.
        conditions "conditions": Vec<JobCondition>,
        /// When it was begun, or taken up again.
        start_time "startTime": Option<Time>,
        /// When it succeeded.
        completion_time "completionTime": Option<Time>,
        /// Pods that have not ended and are not being deleted.
        active "active": Option<i32>,
        /// Pods that succeeded, or numbers of them.
        succeeded "succeeded": Option<i32>,
        /// Pods that failed.
        failed "failed": Option<i32>,
        /// Numbers that succeeded: `0,3-5`.
        completed_indexes "completedIndexes": Text,
        /// Numbers that failed.
        failed_indexes "failedIndexes": Option<Text>,
        /// Pods that have ended and are held until they are counted.
        uncounted_terminated_pods "uncountedTerminatedPods": Option<Uncounted>,
        /// Pods that are ready.
        ready "ready": Option<i32>,
        /// Pods that are being deleted and have not ended.
        terminating "terminating": Option<i32>,
    }
}

api_struct! {
    /// Pods by uid that have ended and are not in the numbers yet.
    pub struct Uncounted {
        /// Those that succeeded.
        succeeded "succeeded": Vec<Text>,
        /// Those that failed.
        failed "failed": Vec<Text>,
    }
}

api_struct! {
    /// One aspect of a job, and since when it is so.
    pub struct JobCondition {
        /// Which aspect.
        kind "type" always: Text,
        /// `True`, `False` or `Unknown`.
        status "status" always: Text,
        /// When it was last looked at.
        last_probe_time "lastProbeTime": Option<Time>,
        /// When `status` last changed.
        last_transition_time "lastTransitionTime": Option<Time>,
        /// Why, in one word.
        reason "reason": Text,
        /// Why, for people.
        message "message": Text,
    }
}

/// By it a job holds its pods until they are counted.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// On pods of a job whose pods are told apart: the pod's number. An annotation and a label.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The environment variable in which containers find it.
pub const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

impl Job {
    /// So many pods run at a time.
    pub fn parallelism(&self) -> i64 {
        i64::from(self.spec.parallelism.unwrap_or(1)).max(0)
    }

    /// So many pods must succeed, if it says so.
    pub fn completions(&self) -> Option<i64> {
        self.spec.completions.map(i64::from)
    }

    /// Whether its pods are told apart.
    pub fn is_indexed(&self) -> bool {
        self.spec.completion_mode == CompletionMode::Indexed
    }

    /// Whether a condition is true of it.
    pub fn is(&self, kind: &str) -> bool {
        self.status.conditions.iter().any(|one| one.kind == kind && one.status == "True")
    }

    /// Whether it has succeeded or failed.
    pub fn is_over(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    /// When it succeeded or failed, if it has.
    pub fn ended_at(&self) -> Option<Time> {
        let ended = |one: &&JobCondition| matches!(&*one.kind, "Complete" | "Failed") && one.status == "True";
        self.status.conditions.iter().find(ended)?.last_transition_time
    }
}
