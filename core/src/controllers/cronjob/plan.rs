//! What a cron job wants, and what its status says.

use crate::api::cronjob::{ConcurrencyPolicy, CronJob, CronJobStatus, SCHEDULED_AT};
use crate::api::job::Job;
use crate::api::kinds::Kind;
use crate::api::meta::{Time, parse_rfc3339};
use crate::api::object::{Key, Object};
use crate::api::schedule::{Schedule, zone};
use crate::controllers::cronjob::due::{self, Action, Last, Policy, due, last_missed};
use crate::controllers::workload::{New, Plan, Scene, Told, Victim};
use crate::decision::Because;
use crate::reasons::HISTORY;
use crate::time::{Duration, Wall};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// The wall clock may jump; so it is looked at again after this time at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What a cron job wants: a job for each time, and few that have ended.
pub fn plan(scene: &Scene<'_>) -> Plan {
    let Some(cron) = scene.owner.read::<CronJob>() else { return Plan::default() };
    let jobs: Vec<(&Object, Job)> = scene.children.iter().filter_map(|one| Some((*one, one.read()?))).collect();
    let mut plan = Plan::default();
    let status = counted(&cron, &jobs);
    clean_up(&cron, &jobs, &mut plan);
    if let (Ok(schedule), Some(zone)) = (Schedule::parse(&cron.spec.schedule), zone(&cron.spec.time_zone))
        && !cron.spec.suspend
    {
        keep_time(scene, &cron, &status, &schedule, &zone, &jobs, &mut plan);
    }
    if status != cron.status {
        plan.status = Some(scene.owner.with_status(&status));
    }
    plan
}

/// The time for which a job was made, if it was made for one.
fn scheduled_at(job: &Object) -> Option<Wall> {
    parse_rfc3339(job.meta().annotations.get(SCHEDULED_AT)?).ok()
}

/// Whether the cron job has made a job. One that somebody made of its template is nobody's rival, and does not go when the
/// next time comes.
///
/// Source: Kubernetes documentation, "CronJob", concurrency policy; `syncCronJob`, which knows its own by `status.active`.
fn is_its_own(cron: &CronJob, job: &Object) -> bool {
    let uid = Some(job.meta().uid.as_str());
    scheduled_at(job).is_some() || cron.status.active.iter().any(|one| one.get("uid").and_then(Value::as_str) == uid)
}

fn counted(cron: &CronJob, jobs: &[(&Object, Job)]) -> CronJobStatus {
    let active = jobs.iter().filter(|(object, job)| !job.is_over() && is_its_own(cron, object));
    let made_for = jobs.iter().filter_map(|(object, _)| scheduled_at(object)).map(Time::of);
    let known = cron.status.last_schedule_time.filter(|_| !planted!(CronForgetsLast));
    let succeeded = jobs.iter().filter_map(|(_, job)| job.status.completion_time);
    let before = cron.status.last_successful_time.filter(|_| !planted!(LastSuccessForgotten));
    CronJobStatus {
        active: active.map(|(object, _)| reference(object)).collect(),
        last_schedule_time: made_for.chain(known).max(),
        last_successful_time: succeeded.chain(before).max(),
        rest: cron.status.rest.clone(),
    }
}

fn reference(job: &Object) -> Value {
    let (row, meta) = (job.kind().row(), job.meta());
    json!({"kind": row.name, "namespace": meta.namespace, "name": meta.name, "uid": meta.uid,
        "apiVersion": row.api_version(), "resourceVersion": meta.resource_version})
}

/// Whether the stored status tells of the time for which a job was made. Until then the job alone tells that this time
/// has had its job, and must not go.
pub fn is_noted(cron: &CronJob, job: &Object) -> bool {
    scheduled_at(job).is_none_or(|at| cron.status.last_schedule_time.is_some_and(|last| last.wall() >= at))
}

/// Jobs that have ended go, the oldest first, if they are more than are kept. One that is being deleted already does not
/// count as kept.
fn clean_up(cron: &CronJob, jobs: &[(&Object, Job)], plan: &mut Plan) {
    let limits = [
        ("Complete", cron.spec.successful_jobs_history_limit.unwrap_or(3)),
        ("Failed", cron.spec.failed_jobs_history_limit.unwrap_or(1)),
    ];
    for (how, limit) in limits {
        let stays = |(object, job): &&(&Object, Job)| job.is(how) && !object.meta().is_deleting();
        let mut ended: Vec<&(&Object, Job)> = jobs.iter().filter(stays).collect();
        ended.sort_by_key(|(object, job)| (job.status.start_time, object.key()));
        ended.truncate(ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0)));
        let gone = |object: &Object| {
            let told = Told::normal("SuccessfulDelete", format!("Deleted job {}", object.meta().name));
            Victim { told: Some(told), ..Victim::of(object, HISTORY.because()) }
        };
        let go = ended.iter().filter(|(object, _)| is_noted(cron, object) || planted!(UnnotedJobsGo));
        plan.delete.extend(go.map(|(one, _)| gone(one)));
    }
}

/// Makes the job whose time has come.
fn keep_time(
    scene: &Scene<'_>,
    cron: &CronJob,
    status: &CronJobStatus,
    schedule: &Schedule,
    zone: &TimeZone,
    jobs: &[(&Object, Job)],
    plan: &mut Plan,
) {
    let now = scene.now.wall;
    let born = scene.owner.meta().creation_timestamp.map_or(now, Time::wall);
    let last = status.last_schedule_time.map_or(born, Time::wall);
    let deadline =
        cron.spec.starting_deadline_seconds.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
    let (missed, many) = last_missed(schedule, zone, last, now);
    let next = schedule.next(now, zone).map_or(LOOK_AGAIN, |next| next.since(now));
    if !planted!(CronNotWoken) {
        plan.look_at(scene.now.mono + next.min(LOOK_AGAIN));
    }
    let too_late = |at: Wall| deadline.is_some_and(|deadline| now.since(at) > deadline);
    let time = match missed {
        None => due::Time::NotYet,
        Some(at) if too_late(at) && !planted!(CronTooLate) => due::Time::TooLate,
        Some(_) => due::Time::Due,
    };
    let policy = match cron.spec.concurrency_policy {
        _ if planted!(CronMeets) => Policy::Allow,
        ConcurrencyPolicy::Allow => Policy::Allow,
        ConcurrencyPolicy::Forbid => Policy::Forbid,
        ConcurrencyPolicy::Replace => Policy::Replace,
    };
    let running = jobs.iter().filter(|(object, job)| !job.is_over() && is_its_own(cron, object));
    let running: Vec<&Object> = running.map(|(object, _)| *object).collect();
    let row = due(time, if running.is_empty() { Last::Ended } else { Last::Running }, policy);
    let Some(at) = missed else { return };
    let because = || Because::of(&due::DUE, row).as_seen(format!("for {}", Time::of(at)));
    if many {
        sometimes!(ManyTimesMissed);
    }
    match row.then {
        Action::Wait | Action::Miss | Action::Hold => {}
        Action::MakeInstead if running.iter().any(|job| !job.meta().is_deleting()) => {
            plan.delete.extend(running.iter().filter(|job| is_noted(cron, job)).map(|job| Victim::of(job, because())));
        }
        // The deleted one has to be gone, or there would be two after all.
        Action::MakeInstead => {}
        Action::Make => plan.create.extend(job_for(scene, cron, at, because())),
    }
}

/// The job for a time. Its name is made of that, so that it is made once.
///
/// Source: Kubernetes, `pkg/controller/cronjob`, `getJobFromTemplate2`.
fn job_for(scene: &Scene<'_>, cron: &CronJob, at: Wall, because: Because) -> Option<New> {
    let name = format!("{}-{}", scene.owner.meta().name, at.secs().div_euclid(60));
    let key = Key::new(Kind::Job, &scene.owner.meta().namespace, &name);
    if scene.views.object(&key).is_some() {
        return None;
    }
    let template = &cron.spec.job_template;
    let mut annotations = template.metadata.annotations.clone();
    annotations.insert(SCHEDULED_AT, Time::of(at).to_string().into());
    let metadata = json!({"name": name, "labels": template.metadata.labels, "annotations": annotations});
    let job = json!({"metadata": metadata, "spec": template.spec});
    let object = Object::from_value(Kind::Job, job).ok()?;
    let told = Some(Told::normal("SuccessfulCreate", format!("Created job {name}")));
    Some(New { told, ..New::given(object, because) })
}
