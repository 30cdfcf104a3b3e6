//! What became of a job's pod, and what its failure means.
//!
//! Source: Kubernetes documentation, "Jobs", pod failure policy and pod replacement policy; `pkg/controller/job`,
//! `isPodFailed` and `pod_failure_policy.go`.

use crate::api::job::{FailureAction, Job, PodFailurePolicyRule, PodReplacementPolicy};
use crate::api::pod::{ContainerStatus, Pod, PodPhase};
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Where the pod is in its life.
    pub enum Phase {
        /// It has not ended.
        Going,
        /// It ended well.
        Succeeded,
        /// It ended badly, or goes before it ever ran.
        Failed,
    }
}

decision_enum! {
    /// Whether its end was asked for.
    pub enum Life {
        /// It was not.
        Kept,
        /// It was.
        Deleting,
    }
}

decision_enum! {
    /// When the job has a pod that ends replaced.
    pub enum Replacement {
        /// When its end begins.
        AtOnce,
        /// When it has ended.
        AfterEnd,
    }
}

decision_enum! {
    /// What the pod counts as.
    pub enum Outcome {
        /// It works, or will.
        Active,
        /// It is still there, and does not count any more.
        Terminating,
        /// It has done its part.
        Success,
        /// It has not.
        Failure,
    }
}

decision_table! {
    /// What a job's pod counts as. Pure and total. Page: `docs/decisions/job_outcome.md`.
    pub fn outcome(phase: Phase, life: Life, replacement: Replacement) -> Outcome, OUTCOME;
    success: (Succeeded, _, _)               => Success,     "what it did is done, whoever deletes it";
    failure: (Failed, _, _)                  => Failure,     "it did not do its part";
    works:   (Going, Kept, _)                => Active,      "it has not ended";
    given_up: (Going, Deleting, AtOnce)      => Failure,     "nobody waits for what it might still do";
    leaving: (Going, Deleting, AfterEnd)     => Terminating, "two of one number must not work at the same time";
}

/// Reduces a pod and its job to what [`outcome`] decides on.
pub fn of(job: &Job, pod: &Pod) -> Outcome {
    let phase = match pod.status.phase {
        PodPhase::Succeeded => Phase::Succeeded,
        _ if has_ended(pod) => Phase::Failed,
        PodPhase::Pending | PodPhase::Running | PodPhase::Failed => Phase::Going,
    };
    let life = if pod.metadata.is_deleting() { Life::Deleting } else { Life::Kept };
    let replacement = match job.spec.pod_replacement_policy {
        PodReplacementPolicy::TerminatingOrFailed => Replacement::AtOnce,
        PodReplacementPolicy::Failed => Replacement::AfterEnd,
    };
    outcome(phase, life, replacement).then
}

/// Whether nothing runs for a pod any more, or ever will: one that is deleted before it has a node gets none.
pub fn has_ended(pod: &Pod) -> bool {
    pod.status.phase.is_final() || pod.metadata.is_deleting() && pod.node().is_none()
}

/// What the failure of a pod means by the job's policy, and which rule says so. Without one, it counts.
pub fn meaning<'a>(job: &'a Job, pod: &Pod) -> (FailureAction, Option<(usize, &'a PodFailurePolicyRule)>) {
    let rules = job.spec.pod_failure_policy.as_ref().map_or(&[][..], |policy| &policy.rules);
    let found = rules.iter().enumerate().find(|(_, rule)| fits(rule, pod));
    (found.map_or(FailureAction::Count, |(_, rule)| rule.action), found)
}

fn fits(rule: &PodFailurePolicyRule, pod: &Pod) -> bool {
    match &rule.on_exit_codes {
        Some(codes) => {
            let ended = |one: &ContainerStatus| {
                let code = i64::from(one.state.terminated.as_ref()?.exit_code);
                let named = codes.container_name.as_ref().is_none_or(|name| *name == one.name);
                (code != 0 && named).then_some(code)
            };
            let is_in = |code: i64| codes.values.contains(&code);
            let mut ended = pod.status.container_statuses.iter().filter_map(ended);
            if codes.operator == "In" { ended.any(is_in) } else { ended.any(|code| !is_in(code)) }
        }
        None => rule.on_pod_conditions.iter().any(|wanted| {
            let state = if wanted.status.is_empty() { "True" } else { &wanted.status };
            pod.status.conditions.iter().any(|one| one.kind == wanted.kind && one.status == state)
        }),
    }
}

/// Why the job has failed by its policy, in Kubernetes' words.
pub fn told(pod: &Pod, nth: usize, rule: &PodFailurePolicyRule) -> String {
    let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
    if rule.on_exit_codes.is_some() {
        let ended = |one: &&ContainerStatus| one.state.terminated.as_ref().is_some_and(|end| end.exit_code != 0);
        if let Some(container) = pod.status.container_statuses.iter().find(ended) {
            let code = container.state.terminated.as_ref().map_or(0, |end| end.exit_code);
            return format!(
                "Container {} for pod {namespace}/{name} failed with exit code {code} matching FailJob rule at index {nth}",
                container.name
            );
        }
    }
    let condition = rule.on_pod_conditions.first().map_or("", |one| &one.kind);
    format!("Pod {namespace}/{name} has condition {condition} matching FailJob rule at index {nth}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn job(spec: Value) -> Job {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn pod(status: Value, deleting: bool) -> Pod {
        let at = if deleting { json!("2026-01-01T00:00:00Z") } else { json!(null) };
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "deletionTimestamp": at},
                "spec": {"nodeName": "one", "containers": []}, "status": status}))
        .unwrap()
    }

    #[test]
    fn a_pod_that_is_deleted_counts_by_the_replacement_policy() {
        let running = pod(json!({"phase": "Running"}), true);
        assert_eq!(of(&job(json!({})), &running), Outcome::Failure);
        assert_eq!(of(&job(json!({"podReplacementPolicy": "Failed"})), &running), Outcome::Terminating);
        assert_eq!(of(&job(json!({})), &pod(json!({"phase": "Succeeded"}), true)), Outcome::Success);
        assert_eq!(of(&job(json!({})), &pod(json!({"phase": "Pending"}), false)), Outcome::Active);
        let mut unbound = pod(json!({"phase": "Pending"}), true);
        Arc::make_mut(&mut unbound.spec).node_name = Default::default();
        assert_eq!(of(&job(json!({"podReplacementPolicy": "Failed"})), &unbound), Outcome::Failure);
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let job = job(json!({"podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
            {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}},
        ]}}));
        let ended = |name: &str, code: i32| {
            pod(
                json!({"phase": "Failed", "containerStatuses": [{"name": name, "state": {"terminated": {"exitCode": code}}}]}),
                false,
            )
        };
        assert_eq!(meaning(&job, &ended("main", 42)).0, FailureAction::FailJob);
        assert_eq!(meaning(&job, &ended("side", 42)).0, FailureAction::FailIndex);
        assert_eq!(meaning(&job, &ended("main", 1)).0, FailureAction::Count);
        let disrupted =
            pod(json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}), false);
        assert_eq!(meaning(&job, &disrupted).0, FailureAction::Ignore);
        let (_, rule) = meaning(&job, &ended("main", 42));
        let (nth, rule) = rule.unwrap();
        assert_eq!(
            told(&ended("main", 42), nth, rule),
            "Container main for pod n/p failed with exit code 42 matching FailJob rule at index 1"
        );
    }
}
