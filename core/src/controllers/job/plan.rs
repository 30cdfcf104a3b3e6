//! What a job wants, and what its status says.

use crate::api::cronjob::CronJob;
use crate::api::job::{INDEX, INDEX_VARIABLE, Job, JobCondition, JobStatus, PodReplacementPolicy, TRACKING};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::{EnvVar, Pod};
use crate::client::Backoff;
use crate::controllers::cronjob;
use crate::controllers::job::end::{self, View, end};
use crate::controllers::job::indexes;
use crate::controllers::job::tally::{Active, FAILURE_COUNT, Tally, index_of, is_held, scope, tally};
use crate::controllers::workload::{BURST, Changed, New, Plan, Scene, Told, Victim};
use crate::decision::Because;
use crate::reasons::{EXPIRED, LET_GO, MISSING, NEEDLESS, OVER, Reason, SURPLUS, SUSPENDED};
use crate::time::{Duration, Instant, Now};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How soon a pod that failed is replaced: later each time, until one succeeds.
///
/// Source: Kubernetes documentation, "Jobs", pod backoff failure policy.
const REPLACE: Backoff = Backoff { initial: Duration::from_secs(10), max: Duration::from_secs(360) };

/// How often it is looked whether a cron job tells of a job that is to go.
const NOTED_SOON: Duration = Duration::from_secs(1);

/// Whose jobs these are, if they name somebody.
const MANAGER: &str = "kubernetes.io/job-controller";

/// What a job wants: so many pods at a time until enough have succeeded, and then none.
pub fn plan(scene: &Scene<'_>) -> Plan {
    let Some(job) = scene.owner.read::<Job>() else { return Plan::default() };
    if is_managed_elsewhere(&job.spec.managed_by) {
        return Plan::default();
    }
    let all_shown = scene.shows_all(Kind::Pod);
    let tally = tally(&job, &scene.children, all_shown);
    let mut plan = Plan::default();
    plan.change.extend(tally.release.iter().map(|pod| let_go(pod)));
    if job.is_over() {
        // One that was taken for lost may have been made after all.
        end_all(&tally, &mut plan);
        expire(scene, &job, &mut plan);
        return plan;
    }
    plan.relies_on.clone_from(&tally.noted);
    if !all_shown && job.status.uncounted_terminated_pods.is_some() {
        plan.compare = Some(Kind::Pod);
    }
    let mut status = counted(scene.now, &job, &tally);
    let target = target(scene.now, &job, &tally, &mut status, &mut plan);
    match target {
        Some(success) => finish(scene, &job, success, &tally, &mut status, &mut plan),
        None if job.spec.suspend => {
            hold(scene.now, &mut status, &mut plan);
            if !planted!(SuspendKeepsPods) {
                give_up(&tally.active, &SUSPENDED.because(), &mut plan);
            }
        }
        None => {
            go_on(scene.now, &mut status, &mut plan);
            plan.look_at(end::time_left(&job, scene.now).map(|left| scene.now.mono + left));
            staff(scene, &job, &tally, &mut plan);
        }
    }
    if status != job.status {
        plan.status = Some(scene.owner.with_status(&status));
    }
    plan
}

/// Whether a job is somebody else's to act on, as its `spec.managedBy` says.
pub fn is_managed_elsewhere(by: &str) -> bool {
    !by.is_empty() && by != MANAGER
}

/// A pod that is held no longer.
fn let_go(pod: &Object) -> Changed {
    let object = pod.with_meta(|meta| meta.finalizers.retain(|one| one != TRACKING));
    Changed { object, told: None, because: None }
}

/// A job that has ended goes when its time is over.
///
/// Source: Kubernetes documentation, "Automatic Cleanup for Finished Jobs".
fn expire(scene: &Scene<'_>, job: &Job, plan: &mut Plan) {
    let ttl = job.spec.ttl_seconds_after_finished.and_then(|ttl| u64::try_from(ttl).ok());
    let ended = if planted!(TtlFromStart) { job.status.start_time } else { job.ended_at() };
    let (Some(ttl), Some(ended)) = (ttl, ended) else { return };
    let left = Duration::from_secs(ttl).saturating_sub(scene.now.wall.since(ended.wall()));
    if !left.is_zero() {
        plan.look_at(scene.now.mono + left);
    } else if !is_noted(scene) {
        plan.look_at(scene.now.mono + NOTED_SOON);
    } else {
        plan.delete.push(Victim::of(scene.owner, EXPIRED.because()));
    }
}

/// Whether the cron job that made it, if it is there, tells that it did. Until then it would make it again.
fn is_noted(scene: &Scene<'_>) -> bool {
    let meta = scene.owner.meta();
    let Some(by) = meta.controller().filter(|by| by.kind == Kind::CronJob.row().name) else { return true };
    let cron = scene.views.object(&Key::new(Kind::CronJob, &meta.namespace, &by.name));
    let cron = cron.filter(|cron| cron.meta().uid == by.uid).and_then(Object::read::<CronJob>);
    cron.is_none_or(|cron| cronjob::plan::is_noted(&cron, scene.owner))
}

fn counted(now: Now, job: &Job, tally: &Tally<'_>) -> JobStatus {
    let number = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    let some = |count: i64| Some(number(count)).filter(|count| *count != 0);
    let ready = tally.active.iter().filter(|(_, pod)| pod.is_ready()).count();
    let empty = tally.uncounted.succeeded.is_empty() && tally.uncounted.failed.is_empty();
    let mut status = JobStatus {
        conditions: job.status.conditions.clone(),
        active: some(tally.active.len() as i64),
        succeeded: some(tally.succeeded),
        failed: some(tally.failed),
        completed_indexes: indexes::text(&tally.completed).into(),
        failed_indexes: job.spec.backoff_limit_per_index.map(|_| indexes::text(&tally.failed_indexes).into()),
        uncounted_terminated_pods: Some(tally.uncounted.clone()).filter(|_| !empty),
        ready: Some(number(ready as i64)),
        terminating: Some(number(tally.terminating as i64)),
        ..job.status.clone()
    };
    if status.start_time.is_none() && !job.spec.suspend {
        status.start_time = Some(Time::of(now.wall));
    }
    status
}

/// Whether the job is to end, and whether with success: as was said before, or is said now.
fn target(now: Now, job: &Job, tally: &Tally<'_>, status: &mut JobStatus, plan: &mut Plan) -> Option<bool> {
    if job.is("FailureTarget") {
        return Some(false);
    }
    if job.is("SuccessCriteriaMet") {
        return Some(true);
    }
    let view = View { job, tally, now };
    let end = end(&view)?;
    let message = (end.message)(&view);
    let kind = if end.success { "SuccessCriteriaMet" } else { "FailureTarget" };
    if !end.success {
        plan.tell.push(Told::warning(end.reason, message.clone()));
    }
    set(now, status, kind, "True", end.reason, message);
    Some(end.success)
}

/// Deletes what works still for a job that has come to its end.
fn end_all(tally: &Tally<'_>, plan: &mut Plan) {
    plan.delete.extend(tally.active.iter().take(BURST).map(|(_, pod)| Victim::of_pod(&pod.metadata, OVER.because())));
}

/// Ends what works still. When nothing is left, nor on its way, the job has ended.
fn finish(scene: &Scene<'_>, job: &Job, success: bool, tally: &Tally<'_>, status: &mut JobStatus, plan: &mut Plan) {
    let now = scene.now;
    // First it is noted: what the end was read from goes with the pods.
    if job.is("FailureTarget") || job.is("SuccessCriteriaMet") {
        end_all(tally, plan);
    }
    // Of pods that no view shows yet nobody would make an end.
    if scene.awaits || tally.going > 0 || status.uncounted_terminated_pods.is_some() {
        return;
    }
    let (kind, reached) = if success { ("Complete", "SuccessCriteriaMet") } else { ("Failed", "FailureTarget") };
    let Some(why) = status.conditions.iter().find(|one| one.kind == reached).cloned() else { return };
    if success {
        sometimes!(JobCompleted);
        if !planted!(CompletionTimeForgotten) {
            status.completion_time = Some(Time::of(now.wall));
        }
        plan.tell.push(Told::normal("Completed", "Job completed"));
    } else {
        sometimes!(JobFailed);
    }
    set(now, status, kind, "True", &why.reason, why.message.to_string());
}

fn hold(now: Now, status: &mut JobStatus, plan: &mut Plan) {
    if set(now, status, "Suspended", "True", "JobSuspended", "Job suspended".into()) {
        if !planted!(StartTimeKept) {
            status.start_time = None;
        }
        plan.tell.push(Told::normal("Suspended", "Job suspended"));
    }
}

fn go_on(now: Now, status: &mut JobStatus, plan: &mut Plan) {
    let held = status.conditions.iter().any(|one| one.kind == "Suspended" && one.status == "True");
    if held && set(now, status, "Suspended", "False", "JobResumed", "Job resumed".into()) {
        if !planted!(StartTimeKept) {
            status.start_time = Some(Time::of(now.wall));
        }
        plan.tell.push(Told::normal("Resumed", "Job resumed"));
    }
}

/// Makes the pods that are missing, or gives up those that are too many.
fn staff(scene: &Scene<'_>, job: &Job, tally: &Tally<'_>, plan: &mut Plan) {
    let active = tally.active.len() as i64;
    let wanted = wanted(job, tally);
    let seen = |reason: &Reason| reason.because().as_seen(format!("{active} of {wanted} are active"));
    let (needed, needless) = needed(job, tally);
    let surplus = (needed.len() as i64 - wanted).max(0) as usize;
    // Who was let go goes, even if more are wanted since: of its success nobody would hear. Such pods stand last.
    let unheld = needed.iter().filter(|(_, pod)| !is_held(&pod.metadata)).count();
    if surplus.max(unheld) > 0 || !needless.is_empty() {
        give_up(&needless, &NEEDLESS.because(), plan);
        let because = if surplus < unheld { LET_GO.because() } else { seen(&SURPLUS) };
        return give_up(&needed[needed.len() - surplus.max(unheld)..], &because, plan);
    }
    // A pod that still ends takes the place of its successor.
    let leaving = if job.spec.pod_replacement_policy == PodReplacementPolicy::Failed { tally.terminating } else { 0 };
    let missing = usize::try_from(wanted - active).unwrap_or(0).saturating_sub(leaving).min(BURST);
    if missing == 0 {
        return;
    }
    // Those that were taken away may have left nothing behind that tells of them.
    let taken_away = |index: Option<i64>| match scope(job, index) {
        Some(index) => scene.places.get(&*index.to_string()).map(|failures| failures.replace_at(1)),
        None => Some(scene.failures.replace_at(usize::try_from(wanted).unwrap_or(0))),
    };
    let mut may = |index: Option<i64>| {
        let at = retry_at(scene.now, job, tally, index).max(taken_away(index).filter(|at| *at > scene.now.mono));
        plan.look_at(at);
        at.is_none()
    };
    // Numbers that do not fail by themselves wait together.
    let together = !job.is_indexed() || job.spec.backoff_limit_per_index.is_none();
    if together && !may(None) {
        return;
    }
    if !job.is_indexed() {
        plan.create = (0..missing).map(|_| New::drawn(pod_of(job).into_object(), "", seen(&MISSING))).collect();
        return;
    }
    let free: Vec<i64> = free_indexes(job, tally).filter(|index| may(Some(*index))).take(missing).collect();
    let owner = &scene.owner.meta().name;
    let new =
        |index: i64| New::drawn(numbered(job, owner, index, tally).into_object(), index.to_string(), seen(&MISSING));
    plan.create = free.into_iter().map(new).collect();
}

/// When a pod may be made after the failures before it, if that is later than now.
fn retry_at(now: Now, job: &Job, tally: &Tally<'_>, index: Option<i64>) -> Option<Instant> {
    let lately = tally.lately.get(&scope(job, index))?;
    let wait = REPLACE.delay(lately.failures).saturating_sub(now.wall.since(lately.last));
    if wait.is_zero() || planted!(JobReplacesAtOnce) {
        return None;
    }
    sometimes!(JobBacksOff);
    Some(now.mono + wait)
}

/// How many pods should work now: as many as may at a time, but no more than successes are missing.
pub fn wanted(job: &Job, tally: &Tally<'_>) -> i64 {
    let parallelism = job.parallelism();
    let successes = tally.successes(job);
    match job.completions() {
        // Who succeeds first knows that the work is done: the others come to their end by themselves.
        None if successes > 0 => (tally.active.len() as i64).min(parallelism),
        None => parallelism,
        Some(all) => parallelism.min((all - successes - tally.failed_indexes.len() as i64).max(0)),
    }
}

/// Whether a number has neither succeeded nor failed.
fn is_left(tally: &Tally<'_>, index: i64) -> bool {
    !tally.completed.contains(&index) && !tally.failed_indexes.contains(&index)
}

/// The numbers for which a pod may be made, the smallest first. There may be very many.
fn free_indexes<'a>(job: &Job, tally: &'a Tally<'_>) -> impl Iterator<Item = i64> + 'a {
    let left = (0..job.completions().unwrap_or(0)).filter(move |index| is_left(tally, *index));
    left.filter(|index| planted!(IndexTwice) || !tally.taken.contains(index))
}

/// The pods that work, the most useful first, and those of them that no number needs.
///
/// Source: Kubernetes, `pkg/controller/job`, `activePodsForRemoval`, `appendDuplicatedIndexPodsForRemoval`.
fn needed<'a>(job: &Job, tally: &Tally<'a>) -> (Vec<Active<'a>>, Vec<Active<'a>>) {
    let mut pods = tally.active.clone();
    pods.sort_by_key(|(_, pod)| {
        let meta = &pod.metadata;
        let loss = (is_held(meta), pod.node().is_some(), pod.is_ready());
        (Reverse(loss), meta.creation_timestamp, Reverse(meta.name.clone()))
    });
    let all = 0..job.completions().unwrap_or(0);
    let mut staffed: BTreeSet<i64> = BTreeSet::new();
    let mut needs = |index: i64| all.contains(&index) && is_left(tally, index) && staffed.insert(index);
    let mut is_needed = |pod: &Pod| index_of(&pod.metadata).is_some_and(&mut needs);
    pods.into_iter().partition(|(_, pod)| !job.is_indexed() || is_needed(pod))
}

/// Deletes pods that are too many. They do not count as failures: first they are let go, after which nothing keeps them.
///
/// Source: Kubernetes, `pkg/controller/job`, `deleteJobPods`, which does both at once.
fn give_up(pods: &[Active<'_>], because: &Because, plan: &mut Plan) {
    for (object, pod) in pods.iter().rev().take(BURST) {
        if is_held(&pod.metadata) {
            plan.change.push(let_go(object));
        } else {
            plan.delete.push(Victim::of_pod(&pod.metadata, because.clone()).or_another());
        }
    }
}

fn pod_of(job: &Job) -> Pod {
    let mut pod = job.spec.template.pod();
    pod.metadata.finalizers.push(TRACKING.into());
    pod
}

/// A pod with a number: in its annotations and labels, its host name, and its containers' environment.
///
/// Source: Kubernetes documentation, "Jobs", completion mode.
fn numbered(job: &Job, owner: &str, index: i64, tally: &Tally<'_>) -> Pod {
    let mut pod = pod_of(job);
    let number = index.to_string();
    pod.metadata.annotations.insert(INDEX, number.as_str().into());
    pod.metadata.labels.insert(INDEX, number.as_str().into());
    if job.spec.backoff_limit_per_index.is_some() {
        let failures = tally.failures_of.get(&index).copied().unwrap_or(0);
        pod.metadata.annotations.insert(FAILURE_COUNT, failures.to_string().into());
    }
    let spec = Arc::make_mut(&mut pod.spec);
    if spec.hostname.is_empty() {
        spec.hostname = format!("{owner}-{number}").into();
    }
    for container in Arc::make_mut(&mut spec.containers) {
        if !container.env.iter().any(|one| one.name == INDEX_VARIABLE) {
            let variable = EnvVar { name: INDEX_VARIABLE.into(), value: number.as_str().into(), ..Default::default() };
            container.env.push(variable);
        }
    }
    pod
}

/// Says something; whether it was not said before.
fn set(now: Now, status: &mut JobStatus, kind: &str, state: &str, reason: &str, message: String) -> bool {
    if status.conditions.iter().any(|one| one.kind == kind && one.status == state) {
        return false;
    }
    let at = Some(Time::of(now.wall));
    status.conditions.retain(|one| one.kind != kind);
    status.conditions.push(JobCondition {
        kind: kind.into(),
        status: state.into(),
        last_probe_time: at,
        last_transition_time: at,
        reason: reason.into(),
        message: message.into(),
        ..Default::default()
    });
    true
}
