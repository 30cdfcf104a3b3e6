//! Whether a job has come to its end, and to which.
//!
//! Source: Kubernetes documentation, "Jobs", pod backoff failure policy, job termination, success policy;
//! `pkg/controller/job`, `syncJob`.

use crate::api::job::{Job, SuccessPolicyRule};
use crate::api::pod::RestartPolicy;
use crate::controllers::job::tally::Tally;
use crate::controllers::job::{BY, indexes};
use crate::pages::Page;
use crate::time::{Duration, Now};

/// Everything the decision may look at.
pub struct View<'a> {
    /// The job.
    pub job: &'a Job,
    /// How it stands with its pods.
    pub tally: &'a Tally<'a>,
    /// Now.
    pub now: Now,
}

/// An end that a job can come to.
pub struct End {
    /// In one word, as the condition has it.
    pub reason: &'static str,
    /// Whether the job has succeeded then.
    pub success: bool,
    /// Whether it has come to this end.
    pub holds: fn(&View<'_>) -> bool,
    /// When that is, for people who read the page.
    pub when: &'static str,
    /// For people who read the condition.
    pub message: fn(&View<'_>) -> String,
}

/// The ends of a job: the first that holds is its end.
pub const ENDS: &[End] = &[
    End {
        reason: "PodFailurePolicy",
        success: false,
        holds: |view| view.tally.policy.is_some(),
        when: "a pod failed for which a rule of `podFailurePolicy` says `FailJob`",
        message: |view| view.tally.policy.clone().unwrap_or_default().to_string(),
    },
    End {
        reason: "BackoffLimitExceeded",
        success: false,
        holds: |view| {
            let limit = i64::from(view.job.spec.backoff_limit.unwrap_or(6));
            let in_place = view.job.spec.template.spec.restart_policy == RestartPolicy::OnFailure;
            let restarts = view.tally.restarts;
            let least = limit + i64::from(planted!(RestartsOneMore));
            let restarted = if limit == 0 { restarts > 0 } else { restarts >= least };
            view.tally.failures() + i64::from(planted!(BackoffLimitEarly)) > limit || in_place && restarted
        },
        when: "more pods failed than `backoffLimit`, or containers were restarted in place as often as it says",
        message: |_| "Job has reached the specified backoff limit".into(),
    },
    End {
        reason: "DeadlineExceeded",
        success: false,
        holds: |view| time_left(view.job, view.now).is_some_and(|left| left.is_zero()),
        when: "`activeDeadlineSeconds` are over since `status.startTime`",
        message: |_| "Job was active longer than specified deadline".into(),
    },
    End {
        reason: "MaxFailedIndexesExceeded",
        success: false,
        holds: |view| {
            let max = view.job.spec.max_failed_indexes.map(i64::from);
            max.is_some_and(|max| view.tally.failed_indexes.len() as i64 > max)
        },
        when: "more numbers failed than `maxFailedIndexes`",
        message: |_| "Job has exceeded the specified maximal number of failed indexes".into(),
    },
    End {
        reason: "FailedIndexes",
        success: false,
        holds: |view| {
            let (failed, done) = (view.tally.failed_indexes.len(), view.tally.completed.len());
            failed > 0 && view.job.completions().is_some_and(|all| (failed + done) as i64 >= all)
        },
        when: "each number succeeded or failed, and not all succeeded",
        message: |_| "Job has failed indexes".into(),
    },
    End {
        reason: "SuccessPolicy",
        success: true,
        holds: |view| rule_that_holds(view).is_some(),
        when: "a rule of `successPolicy` holds for the numbers that succeeded",
        message: |view| format!("Matched rules at index {}", rule_that_holds(view).unwrap_or(0)),
    },
    End {
        reason: "CompletionsReached",
        success: true,
        holds: |view| {
            let successes = view.tally.successes(view.job);
            match view.job.completions() {
                Some(all) => successes >= all,
                None => successes > 0 && view.tally.active.is_empty(),
            }
        },
        when: "`completions` pods succeeded; without `completions`, one did and none works any more",
        message: |_| "Reached expected number of succeeded pods".into(),
    },
];

/// The end that a job has come to, if it has.
pub fn end(view: &View<'_>) -> Option<&'static End> {
    ENDS.iter().find(|end| (end.holds)(view))
}

/// How long the job may still be active, if that is limited; nothing once it is over. A job that is held does not age.
pub fn time_left(job: &Job, now: Now) -> Option<Duration> {
    let seconds = u64::try_from(job.spec.active_deadline_seconds?).ok()?;
    let started = job.status.start_time.filter(|_| !job.spec.suspend)?;
    Some(Duration::from_secs(seconds).saturating_sub(now.wall.since(started.wall())))
}

fn rule_that_holds(view: &View<'_>) -> Option<usize> {
    let rules = &view.job.spec.success_policy.as_ref()?.rules;
    let all = view.job.completions()?;
    let holds = |rule: &SuccessPolicyRule| {
        let wanted = rule.succeeded_indexes.as_deref().map(|text| indexes::parse(text, all));
        let of = |index: &&i64| wanted.as_ref().is_none_or(|wanted| wanted.contains(*index));
        let done = view.tally.completed.iter().filter(of).count();
        match (rule.succeeded_count, &wanted) {
            (Some(count), _) => done as i64 >= i64::from(count) + i64::from(planted!(SuccessCountOneMore)),
            (None, Some(wanted)) => done >= wanted.len(),
            (None, None) => false,
        }
    };
    rules.iter().position(holds)
}

/// The page of how jobs end.
pub fn page() -> Page {
    let rows = ENDS.iter().map(|end| {
        let how = if end.success { "succeeded" } else { "failed" };
        vec![end.reason.to_owned(), how.to_owned(), end.when.to_owned()]
    });
    Page::new("job_end", "When a job has come to its end", BY)
        .says(
            "The first row that holds decides. The job's remaining pods are deleted then, and when none is left that has \
             not ended, the job is `Complete` or `Failed`. Until then it says so with `SuccessCriteriaMet` or \
             `FailureTarget`.",
        )
        .lists(file!(), &["reason", "the job has", "when"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;
    use serde_json::{Value, json};

    #[test]
    fn jobs_end_for_the_first_reason_that_holds() {
        let check = |spec: Value, tally: Tally<'_>, want: Option<&str>| {
            let status = json!({"startTime": "1970-01-01T00:01:40Z"});
            let job: Job = serde_json::from_value(json!({"spec": spec, "status": status})).unwrap();
            let now = Now { wall: Wall::from_secs(160), ..Now::default() };
            let end = end(&View { job: &job, tally: &tally, now });
            assert_eq!(end.map(|end| end.reason), want, "{spec}");
        };
        let succeeded = |succeeded| Tally { succeeded, ..Tally::default() };
        let failed = |failed| Tally { failed, ..Tally::default() };
        check(json!({"completions": 2}), succeeded(1), None);
        check(json!({"completions": 2}), succeeded(2), Some("CompletionsReached"));
        check(json!({"completions": 0}), succeeded(0), Some("CompletionsReached"));
        check(json!({}), succeeded(0), None);
        check(json!({}), succeeded(1), Some("CompletionsReached"));
        check(json!({"completions": 1}), failed(6), None);
        check(json!({"completions": 1}), failed(7), Some("BackoffLimitExceeded"));
        check(json!({"completions": 1, "backoffLimit": 0}), failed(1), Some("BackoffLimitExceeded"));
        let restarted = json!({"completions": 1, "backoffLimit": 2, "template": {"spec": {"containers": [], "restartPolicy": "OnFailure"}}});
        check(restarted, Tally { restarts: 2, ..Tally::default() }, Some("BackoffLimitExceeded"));
        check(json!({"completions": 1, "activeDeadlineSeconds": 61}), succeeded(0), None);
        check(json!({"completions": 1, "activeDeadlineSeconds": 60}), succeeded(1), Some("DeadlineExceeded"));
        check(json!({"completions": 1, "activeDeadlineSeconds": 60, "suspend": true}), succeeded(0), None);
        let indexed = |completed: &[i64], failed: &[i64]| Tally {
            completed: completed.iter().copied().collect(),
            failed_indexes: failed.iter().copied().collect(),
            succeeded: completed.len() as i64,
            ..Tally::default()
        };
        let of = |more: Value| {
            let mut spec = json!({"completionMode": "Indexed", "completions": 4});
            crate::patch::merge::merge(&mut spec, &more);
            spec
        };
        check(of(json!({"maxFailedIndexes": 1})), indexed(&[], &[0, 1]), Some("MaxFailedIndexesExceeded"));
        check(of(json!({"maxFailedIndexes": 2})), indexed(&[0], &[1, 2]), None);
        check(of(json!({})), indexed(&[0, 1, 2], &[3]), Some("FailedIndexes"));
        check(
            of(json!({"successPolicy": {"rules": [{"succeededIndexes": "1-2", "succeededCount": 1}]}})),
            indexed(&[0], &[]),
            None,
        );
        check(
            of(json!({"successPolicy": {"rules": [{"succeededIndexes": "1-2", "succeededCount": 1}]}})),
            indexed(&[0, 2], &[]),
            Some("SuccessPolicy"),
        );
        check(
            of(json!({"successPolicy": {"rules": [{"succeededCount": 3}, {"succeededIndexes": "0"}]}})),
            indexed(&[0], &[]),
            Some("SuccessPolicy"),
        );
    }
}
