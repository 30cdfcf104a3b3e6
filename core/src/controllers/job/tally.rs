//! How it stands with a job's pods. Each of them is counted once, whatever becomes of it.
//!
//! A pod that has ended is held by a finalizer. First its uid is written into the status, as not counted yet; once that is
//! stored, the finalizer is taken away; once that is seen, the uid becomes a number. So a pod that is deleted, or a
//! controller that is killed, at any moment, changes no number.
//!
//! Source: Kubernetes, `pkg/controller/job`, `trackJobStatusAndRemoveFinalizers`; KEP-2307.

use crate::api::job::{FailureAction, INDEX, Job, TRACKING, Uncounted};
use crate::api::meta::ObjectMeta;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::text::Text;
use crate::controllers::job::indexes;
use crate::controllers::job::outcome::{self, Outcome};
use crate::time::Wall;
use std::collections::{BTreeMap, BTreeSet};

/// At most so many pods wait to be counted at a time.
///
/// Source: Kubernetes, `pkg/controller/job`, `MaxUncountedPods`.
const UNCOUNTED_MAX: usize = 500;

/// On a pod of an index: how often the index had failed before.
pub const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";

/// A pod that works, or will.
pub type Active<'a> = (&'a Object, &'a Pod);

/// How it stands with a job's pods.
#[derive(Debug, Default)]
pub struct Tally<'a> {
    /// Pods that work, or will.
    pub active: Vec<Active<'a>>,
    /// Pods that have not ended, whether they count or not.
    pub going: usize,
    /// Pods that have not ended and are being deleted.
    pub terminating: usize,
    /// Numbers that are taken by a pod that has not ended.
    pub taken: BTreeSet<i64>,
    /// Successes that are numbers already.
    pub succeeded: i64,
    /// Failures that are numbers already.
    pub failed: i64,
    /// Ended pods that are not.
    pub uncounted: Uncounted,
    /// Numbers that have succeeded.
    pub completed: BTreeSet<i64>,
    /// Numbers that have failed.
    pub failed_indexes: BTreeSet<i64>,
    /// How often each number has failed.
    pub failures_of: BTreeMap<i64, i64>,
    /// Pods that need not be held any longer.
    pub release: Vec<&'a Object>,
    /// Pods that are noted for the first time. A number needs no care: it is counted once, whoever sees it.
    pub noted: Vec<Key>,
    /// Why the job has failed by its failure policy.
    pub policy: Option<Text>,
    /// How often containers were started again in pods that have not ended.
    pub restarts: i64,
    /// How pods ended badly lately: all of them together, or those of each number, if numbers fail by themselves.
    pub lately: BTreeMap<Option<i64>, Lately>,
}

/// Pods that ended badly after the last that ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lately {
    /// How many.
    pub failures: u32,
    /// When the last of them ended.
    pub last: Wall,
}

/// Among whose failures one of this number counts.
pub fn scope(job: &Job, index: Option<i64>) -> Option<i64> {
    index.filter(|_| job.spec.backoff_limit_per_index.is_some())
}

/// The number of a pod, if it has one.
pub fn index_of(pod: &ObjectMeta) -> Option<i64> {
    pod.annotations.get(INDEX)?.parse().ok()
}

/// Whether a job still holds a pod.
pub fn is_held(pod: &ObjectMeta) -> bool {
    pod.finalizers.iter().any(|one| one == TRACKING)
}

/// Counts a job's pods. `all_shown` is whether every pod is shown that was there when the job was last written: of one that
/// is not shown it is not known otherwise whether it is gone.
pub fn tally<'a>(job: &Job, pods: &[&'a Object], all_shown: bool) -> Tally<'a> {
    let status = &job.status;
    let total = job.completions().unwrap_or(0);
    let shown = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let over = job.is("SuccessCriteriaMet") || job.is_over();
    let mut tally = Tally {
        succeeded: i64::from(status.succeeded.unwrap_or(0)),
        failed: i64::from(status.failed.unwrap_or(0)),
        completed: indexes::parse(&status.completed_indexes, total),
        failed_indexes: indexes::parse(status.failed_indexes.as_deref().unwrap_or(""), total),
        ..Tally::default()
    };
    let stored = tally.completed.clone();
    let remembered = remembered(job, pods, &tally);
    let mut held: BTreeSet<&str> = BTreeSet::new();
    for (object, pod) in pods.iter().filter_map(|one| Some((*one, one.get::<Pod>()?))) {
        let (meta, outcome) = (&pod.metadata, outcome::of(job, pod));
        let index = index_of(meta).filter(|_| job.is_indexed());
        let is_beyond = job.is_indexed() && index.is_none_or(|index| index >= total);
        if !outcome::has_ended(pod) {
            tally.goes_on(pod);
        }
        if matches!(outcome, Outcome::Active | Outcome::Terminating) {
            tally.taken.extend(index);
        }
        let uid = meta.uid.as_str();
        let is_held = is_held(meta);
        if is_held {
            held.insert(uid);
        }
        match outcome {
            Outcome::Active => tally.active.push((object, pod)),
            Outcome::Terminating => {}
            Outcome::Success if !is_held || over => {}
            // It was given up while it was going, and noted as a failure: it does not count twice.
            Outcome::Success if shown.failed.iter().any(|one| one == uid) => {}
            // The number itself tells that it is counted.
            Outcome::Success if job.is_indexed() => tally.completed.extend(index.filter(|_| !is_beyond)),
            Outcome::Success => {
                if note(&mut tally.uncounted.succeeded, &shown.succeeded, uid) {
                    tally.noted.push(object.key());
                }
            }
            Outcome::Failure => {
                let (meaning, rule) = outcome::meaning(job, pod);
                if let Some(index) = index {
                    tally.fails(index, failures_with(pod, meaning), !is_beyond && is_given_up(job, pod, meaning));
                }
                if let (FailureAction::FailJob, Some((nth, rule))) = (meaning, rule) {
                    tally.policy.get_or_insert_with(|| outcome::told(pod, nth, rule).into());
                }
                if is_held
                    && !over
                    && meaning != FailureAction::Ignore
                    && !remembered.contains(uid)
                    && note(&mut tally.uncounted.failed, &shown.failed, uid)
                {
                    tally.noted.push(object.key());
                }
            }
        }
        let is_stored = is_beyond || index.is_some_and(|index| stored.contains(&index));
        let stored_index = outcome == Outcome::Success && job.is_indexed() && is_stored;
        let ignored = outcome == Outcome::Failure && outcome::meaning(job, pod).0 == FailureAction::Ignore;
        let is_noted = shown.succeeded.iter().chain(&shown.failed).any(|one| one == uid);
        let may_go = is_noted || stored_index || ignored || over && outcome != Outcome::Active;
        if is_held && may_go && !remembered.contains(uid) {
            tally.release.push(object);
        }
    }
    tally.failed_indexes.retain(|index| !tally.completed.contains(index));
    tally.count(&shown, |uid| all_shown && (planted!(CountedWhileHeld) || !held.contains(uid.as_str())));
    if job.is_indexed() {
        tally.succeeded = tally.completed.len() as i64;
    }
    tally.lately = lately(job, pods);
    tally
}

/// How often a failed pod's number has failed with it.
fn failures_with(pod: &Pod, meaning: FailureAction) -> i64 {
    let before = pod.metadata.annotations.get(FAILURE_COUNT).and_then(|text| text.parse::<i64>().ok());
    before.unwrap_or(0) + i64::from(meaning != FailureAction::Ignore)
}

/// Whether a failed pod's number is not tried again, though the job goes on. Of one that is held no longer the status tells
/// that, if it was counted; and if it was let go since it was one too many, it is no failure.
///
/// Source: Kubernetes, `pkg/controller/job/indexed_job_utils.go`, `calculateFailedIndexes`.
fn is_given_up(job: &Job, pod: &Pod, meaning: FailureAction) -> bool {
    let limit = job.spec.backoff_limit_per_index.filter(|_| is_held(&pod.metadata)).map(i64::from);
    limit.is_some_and(|limit| failures_with(pod, meaning) > limit || meaning == FailureAction::FailIndex)
}

/// Failed pods that are held though nothing is to be counted: of each number that fails by itself and is tried again, the
/// one that tells how often it failed, until a successor tells it.
///
/// Source: `pkg/controller/job`, `getPodsWithDelayedDeletionPerIndex`.
fn remembered<'a>(job: &Job, pods: &[&'a Object], tally: &Tally<'_>) -> BTreeSet<&'a str> {
    let ends = job.is("SuccessCriteriaMet") || job.is("FailureTarget") || job.is_over();
    if ends || !job.is_indexed() || job.spec.backoff_limit_per_index.is_none() || planted!(FailureCountsLost) {
        return BTreeSet::new();
    }
    let total = job.completions().unwrap_or(0);
    let mut tell: BTreeMap<i64, (i64, &str)> = BTreeMap::new();
    let mut told: BTreeSet<i64> = tally.completed.union(&tally.failed_indexes).copied().collect();
    for pod in pods.iter().filter_map(|one| one.get::<Pod>()) {
        let Some(index) = index_of(&pod.metadata).filter(|index| *index < total) else { continue };
        if outcome::of(job, pod) != Outcome::Failure {
            told.insert(index);
            continue;
        }
        let (meaning, _) = outcome::meaning(job, pod);
        if is_given_up(job, pod, meaning) {
            told.insert(index);
        }
        if is_held(&pod.metadata) {
            let one = (failures_with(pod, meaning), pod.metadata.uid.as_str());
            let most = tell.entry(index).or_insert(one);
            *most = one.max(*most);
        }
    }
    tell.into_iter().filter(|(index, _)| !told.contains(index)).map(|(_, (_, uid))| uid).collect()
}

/// Notes a pod, if it is not noted already. Whether it was.
fn note(list: &mut Vec<Text>, shown: &[Text], uid: &str) -> bool {
    let is_new = list.len() < UNCOUNTED_MAX && !shown.iter().any(|one| one == uid);
    if is_new {
        list.push(uid.into());
    }
    is_new
}

/// How pods ended badly after the last that ended well.
///
/// Source: Kubernetes documentation, "Jobs", pod backoff failure policy, backoff limit per index.
fn lately(job: &Job, pods: &[&Object]) -> BTreeMap<Option<i64>, Lately> {
    let ended = |pod: &Pod| {
        let times = pod.status.container_statuses.iter().filter_map(|one| one.state.terminated.as_ref()?.finished_at);
        times.max().or(pod.metadata.deletion_timestamp).or(pod.metadata.creation_timestamp).map(|time| time.wall())
    };
    let of = |wanted: Outcome| {
        let pods = pods.iter().filter_map(|one| one.get::<Pod>());
        let those = pods.filter(move |pod| outcome::of(job, pod) == wanted);
        those.filter_map(move |pod| Some((scope(job, index_of(&pod.metadata)), ended(pod)?)))
    };
    let mut success: BTreeMap<Option<i64>, Wall> = BTreeMap::new();
    for (scope, at) in of(Outcome::Success) {
        let last = success.entry(scope).or_insert(at);
        *last = at.max(*last);
    }
    let mut lately: BTreeMap<Option<i64>, Lately> = BTreeMap::new();
    for (scope, at) in of(Outcome::Failure).filter(|(scope, at)| Some(at) > success.get(scope)) {
        let all = lately.entry(scope).or_insert(Lately { failures: 0, last: at });
        *all = Lately { failures: all.failures.saturating_add(1), last: at.max(all.last) };
    }
    lately
}

impl Tally<'_> {
    /// Takes in a pod that has not ended.
    fn goes_on(&mut self, pod: &Pod) {
        self.going += 1;
        self.terminating += usize::from(pod.metadata.is_deleting());
        let restarts = pod.status.container_statuses.iter().map(|one| i64::from(one.restart_count));
        self.restarts += restarts.sum::<i64>();
    }

    /// Takes in a failed pod of a number: how often the number has failed with it, and whether it is given up for that.
    fn fails(&mut self, index: i64, failures: i64, is_given_up: bool) {
        let most = self.failures_of.entry(index).or_default();
        *most = failures.max(*most);
        if is_given_up {
            self.failed_indexes.insert(index);
        }
    }

    /// Counts the pods that were noted and are held no longer. The others stay noted.
    fn count(&mut self, noted: &Uncounted, is_gone: impl Fn(&Text) -> bool) {
        let gone = |noted: &[Text]| noted.iter().filter(|uid| is_gone(uid)).count() as i64;
        self.succeeded += gone(&noted.succeeded);
        self.failed += gone(&noted.failed);
        for (left, noted) in
            [(&mut self.uncounted.succeeded, &noted.succeeded), (&mut self.uncounted.failed, &noted.failed)]
        {
            let stay = noted.iter().filter(|uid| !is_gone(uid)).cloned();
            *left = stay.chain(std::mem::take(left)).collect();
        }
    }

    /// All successes, counted or not.
    pub fn successes(&self, job: &Job) -> i64 {
        if job.is_indexed() { self.succeeded } else { self.succeeded + self.uncounted.succeeded.len() as i64 }
    }

    /// All failures, counted or not.
    pub fn failures(&self) -> i64 {
        self.failed + self.uncounted.failed.len() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::api::meta::Time;
    use crate::time::Duration;
    use serde_json::{Value, json};

    fn pod(uid: &str, phase: &str, held: bool, index: Option<i64>) -> Object {
        let finalizers = if held { json!([TRACKING]) } else { json!([]) };
        let annotations = index.map_or(json!({}), |index| json!({INDEX: index.to_string()}));
        Object::from_value(
            Kind::Pod,
            json!({"metadata": {"name": uid, "namespace": "n", "uid": uid, "finalizers": finalizers, "annotations": annotations},
                "spec": {"containers": []}, "status": {"phase": phase}}),
        )
        .unwrap()
    }

    fn told(job: Value, pods: &[Object]) -> String {
        told_of(job, pods, true)
    }

    fn told_of(job: Value, pods: &[Object], all_shown: bool) -> String {
        let job: Job = serde_json::from_value(job).unwrap();
        let pods: Vec<&Object> = pods.iter().collect();
        let tally = tally(&job, &pods, all_shown);
        let release: Vec<&str> = tally.release.iter().map(|one| one.meta().uid.as_str()).collect();
        format!(
            "{}+{} well, {}+{} badly, numbers {:?}, release {}",
            tally.succeeded,
            tally.uncounted.succeeded.join(" "),
            tally.failed,
            tally.uncounted.failed.join(" "),
            indexes::text(&tally.completed),
            release.join(" ")
        )
    }

    #[test]
    fn a_pod_is_noted_then_let_go_then_counted() {
        let noted = json!({"status": {"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["b"]}}});
        let ended = |held| [pod("a", "Succeeded", held, None), pod("b", "Failed", held, None)];
        assert_eq!(told(json!({}), &ended(true)), r#"0+a well, 0+b badly, numbers "", release "#);
        assert_eq!(told(noted.clone(), &ended(true)), r#"0+a well, 0+b badly, numbers "", release a b"#);
        assert_eq!(told(noted.clone(), &ended(false)), r#"1+ well, 1+ badly, numbers "", release "#);
        assert_eq!(told_of(noted.clone(), &[], false), r#"0+a well, 0+b badly, numbers "", release "#, "not shown yet");
        assert_eq!(told(noted, &[]), r#"1+ well, 1+ badly, numbers "", release "#, "deleted in between");
        let counted = json!({"status": {"succeeded": 1, "failed": 1}});
        assert_eq!(told(counted, &ended(false)), r#"1+ well, 1+ badly, numbers "", release "#);
    }

    #[test]
    fn who_was_given_up_does_not_succeed_any_more() {
        let noted = |spec: Value| json!({"spec": spec, "status": {"uncountedTerminatedPods": {"failed": ["a"]}}});
        // It was being deleted when it was noted, and ended well before it was let go.
        let want = r#"0+ well, 0+a badly, numbers "", release a"#;
        assert_eq!(told(noted(json!({})), &[pod("a", "Succeeded", true, None)]), want);
        let numbered = noted(json!({"completionMode": "Indexed", "completions": 3}));
        assert_eq!(told(numbered, &[pod("a", "Succeeded", true, Some(1))]), want);
    }

    #[test]
    fn a_number_is_counted_once() {
        let job = |done: &str| json!({"spec": {"completionMode": "Indexed", "completions": 3}, "status": {"completedIndexes": done}});
        let twice = [
            pod("a", "Succeeded", true, Some(1)),
            pod("b", "Succeeded", true, Some(1)),
            pod("c", "Succeeded", true, Some(7)),
        ];
        let first = r#"1+ well, 0+ badly, numbers "1", release c"#;
        assert_eq!(told(job(""), &twice), first, "of what is beyond the last nothing is counted");
        assert_eq!(told(job("1"), &twice), r#"1+ well, 0+ badly, numbers "1", release a b c"#);
    }

    #[test]
    fn an_index_fails_by_itself() {
        let job = json!({"spec": {"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1}});
        let job: Job = serde_json::from_value(job).unwrap();
        let first = pod("a", "Failed", true, Some(0));
        let second = first.with_meta(|meta| {
            meta.uid = "b".into();
            meta.annotations.insert(FAILURE_COUNT, "1".into());
        });
        let once = tally(&job, &[&first], true);
        assert_eq!((once.failures_of[&0], once.failed_indexes.len()), (1, 0));
        let twice = tally(&job, &[&first, &second], true);
        assert_eq!((twice.failures_of[&0], twice.failed_indexes.contains(&0)), (2, true));
        let let_go = second.with_meta(|meta| meta.finalizers.clear());
        let since_then = tally(&job, &[&first, &let_go], true);
        assert_eq!((since_then.failures_of[&0], since_then.failed_indexes.len()), (2, 0));
    }

    #[test]
    fn a_success_ends_the_failures_before_it_and_of_its_own_number_only() {
        let ended = |name: &str, phase: &str, index: i64, at: u64| {
            pod(name, phase, true, Some(index)).with_meta(|meta| {
                meta.creation_timestamp = Some(Time::of(Wall::default() + Duration::from_secs(at)));
            })
        };
        let pods = [ended("a", "Failed", 0, 10), ended("b", "Failed", 0, 20), ended("c", "Succeeded", 1, 15)];
        let lately = |limit: Value| {
            let spec = json!({"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": limit});
            let job: Job = serde_json::from_value(json!({"spec": spec})).unwrap();
            tally(&job, &pods.iter().collect::<Vec<_>>(), true).lately
        };
        let last = Wall::default() + Duration::from_secs(20);
        assert_eq!(lately(json!(null)), BTreeMap::from([(None, Lately { failures: 1, last })]));
        assert_eq!(lately(json!(5)), BTreeMap::from([(Some(0), Lately { failures: 2, last })]));
    }
}
