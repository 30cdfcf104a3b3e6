//! L-cron: A time of a cron job's schedule that has passed has its job within two minutes, or is followed by one that has, if it may have one then and while the controllers of workloads are well.
//!
//! Passed it has by the clocks of all of them. It may have none while the cron job is suspended, when it is too late for it,
//! and while a job works that it must not meet. When another time has had its job, or something else is wished, it counts
//! anew. Well is who runs at its pace, with a good way to a running API server; since then it counts anew, too, and since one
//! of their watches has ended, for without all of them they make nothing. Catches: a clock that nobody looks at; a job that
//! could not be made once, and is not asked for again.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::cronjob::{ConcurrencyPolicy, CronJob, SCHEDULED_AT};
use miniku_core::api::job::Job;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{Time, parse_rfc3339};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::schedule::{Schedule, zone};
use miniku_core::api::text::Text;
use miniku_core::program::Input;
use miniku_core::time::{Duration, Instant, Wall};
use std::collections::BTreeMap;

/// That a clock was set is noticed within a minute, and what failed is tried again within another.
const BOUND: Duration = Duration::from_secs(120);
/// How often cron jobs are looked at.
const EVERY: Duration = Duration::from_secs(20);
/// By whose clocks time passes.
const CONTROLLERS: [&str; 2] = ["workloads", "workloads-2"];

/// The cron jobs that are not suspended, and since when each has waited for a job, if it has.
#[derive(Default)]
pub struct Overdue {
    waits: BTreeMap<Key, Option<(Wait, Instant)>>,
    look_at: Option<Instant>,
    /// When a watch of a controller has ended last. Where little history is kept, it may fail again and again to open it.
    unwatched: Instant,
}

/// What a cron job waits for: the next job, of the same wishes, after the last one that it has had.
#[derive(PartialEq)]
struct Wait {
    uid: Text,
    generation: Option<i64>,
    last: Wall,
}

fn goes_on(object: &Object) -> bool {
    !object.meta().is_deleting() && object.read::<CronJob>().is_some_and(|cron| !cron.spec.suspend)
}

/// What a cron job waits for, if it should have it.
fn wait(truth: &Truth, object: &Object) -> Option<Wait> {
    let (meta, cron) = (object.meta(), object.read::<CronJob>()?);
    let clocks = CONTROLLERS.map(|name| truth.wall(name));
    let (first, last) = (clocks.into_iter().min()?, clocks.into_iter().max()?);
    let jobs = || {
        let all = truth.disk.objects().within(Kind::Job, &meta.namespace);
        all.filter(|job| job.meta().controller().is_some_and(|by| by.uid == meta.uid))
    };
    let made_for = |job: &Object| parse_rfc3339(job.meta().annotations.get(SCHEDULED_AT)?).ok();
    let had = jobs().filter_map(made_for).chain(cron.status.last_schedule_time.map(Time::wall)).max();
    let had = had.or(meta.creation_timestamp.map(Time::wall))?;
    let (schedule, zone) = Schedule::parse(&cron.spec.schedule).ok().zip(zone(&cron.spec.time_zone))?;
    let passed = |after: Wall| schedule.next(after, &zone).filter(|next| *next <= first);
    let mut at = passed(had)?;
    // Of several that have passed the last alone has a job.
    while let Some(next) = passed(at) {
        at = next;
    }
    let deadline = cron.spec.starting_deadline_seconds.and_then(|secs| u64::try_from(secs).ok());
    if deadline.is_some_and(|secs| last.since(at) > Duration::from_secs(secs)) {
        return None;
    }
    let works = |job: &Object| job.read::<Job>().is_none_or(|job| !job.is_over());
    let is_held_up = match cron.spec.concurrency_policy {
        ConcurrencyPolicy::Allow => false,
        ConcurrencyPolicy::Forbid => jobs().any(works),
        ConcurrencyPolicy::Replace => jobs().any(|job| works(job) && job.meta().is_deleting()),
    };
    let named = format!("{}-{}", meta.name, at.secs().div_euclid(60));
    let is_taken = truth.object(&Key::new(Kind::Job, &meta.namespace, &named)).is_some();
    let wait = Wait { uid: meta.uid.clone(), generation: meta.generation, last: had };
    (!is_held_up && !is_taken).then_some(wait)
}

impl Overdue {
    fn look(&mut self, truth: &Truth) -> Result<(), Broken> {
        let well = truth.workloads.filter(|_| truth.disk.broken.is_none()).map(|well| well.max(self.unwatched));
        for (key, waits) in &mut self.waits {
            let before = waits.take();
            let Some(object) = truth.object(key).filter(|object| goes_on(object)) else { continue };
            let Some((well, wait)) = well.zip(wait(truth, object)) else { continue };
            let since = before.filter(|(before, _)| *before == wait).map_or(truth.now, |(_, since)| since);
            let waited = truth.now.since(since.max(well));
            if waited >= BOUND {
                let (secs, had) = (waited.as_secs(), Time::of(wait.last));
                let what = format!("{key} has waited for {secs} s for the job of a time that has passed since {had}");
                return Err(Broken::by(what).with([object]));
            }
            *waits = Some((wait, since));
        }
        Ok(())
    }
}

impl Checker for Overdue {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Time, Sight::Heard]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input: Input::Ended { .. } } if who.role == Role::Workloads => {
                self.unwatched = truth.now;
            }
            Fact::Durable { change } if change.key.kind == Kind::CronJob => {
                if change.new.as_ref().is_some_and(goes_on) {
                    self.waits.entry(change.key.clone()).or_default();
                    self.look_at = self.look_at.or(Some(truth.now + EVERY));
                } else {
                    self.waits.remove(&change.key);
                }
            }
            Fact::Time if self.look_at.is_some_and(|at| at <= truth.now) => {
                self.look_at = (!self.waits.is_empty()).then_some(truth.now + EVERY);
                return self.look(truth);
            }
            _ => {}
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.look_at
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use miniku_core::program::CallId;
    use serde_json::{Value, json};

    fn cron(spec: Value, last: &str) -> Value {
        let mut cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick", "uid": "c",
                "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {}}}}});
        if !last.is_empty() {
            cron["status"] = json!({"lastScheduleTime": last});
        }
        for (name, value) in spec.as_object().unwrap() {
            cron["spec"][name] = value.clone();
        }
        cron
    }

    fn job(meta: Value) -> Value {
        let owner =
            json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": "c", "controller": true}]);
        let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {}}, "metadata": {"name": "tick-1",
            "uid": "j", "namespace": "default", "ownerReferences": owner,
            "annotations": {SCHEDULED_AT: "2026-01-01T00:00:00Z"}}});
        for (name, value) in meta.as_object().unwrap() {
            job["metadata"][name] = value.clone();
        }
        job
    }

    /// For how many seconds nothing is wrong with these, of three and a half minutes.
    fn holds(well: bool, objects: &[Value]) -> u64 {
        let mut story = Story::<Overdue>::new();
        story.truth.workloads = well.then(Instant::default);
        objects.iter().for_each(|object| drop(story.put(object.clone()).unwrap()));
        (1..).take_while(|nth| *nth <= 10 && story.pass(20).is_ok()).count() as u64 * 20
    }

    #[test]
    fn fires_when_the_time_has_come_and_nobody_notices() {
        // It has come after a minute.
        assert_eq!(holds(true, &[cron(json!({}), "")]), 160);
        assert_eq!(holds(false, &[cron(json!({}), "")]), 200);
        assert_eq!(holds(true, &[cron(json!({"suspend": true}), "")]), 200);
        assert_eq!(holds(true, &[cron(json!({"schedule": "* 1 * * *"}), "")]), 200);
        assert_eq!(holds(true, &[cron(json!({"startingDeadlineSeconds": 10}), "")]), 200);
        assert_eq!(holds(true, &[cron(json!({}), "2026-01-01T00:03:00Z")]), 200);
    }

    #[test]
    fn it_is_held_up_by_jobs_that_it_must_not_meet() {
        let leaves = json!({"deletionTimestamp": "2026-01-01T00:00:30Z", "finalizers": ["miniku.test/hold"]});
        for (policy, meta, held_up) in [
            ("Allow", json!({}), false),
            ("Forbid", json!({}), true),
            ("Replace", json!({}), false),
            ("Replace", leaves, true),
        ] {
            let objects = [cron(json!({"concurrencyPolicy": policy}), ""), job(meta.clone())];
            assert_eq!(holds(true, &objects), if held_up { 200 } else { 160 }, "{policy} {meta}");
        }
    }

    #[test]
    fn it_counts_anew_when_a_time_has_had_its_job_and_by_the_controllers_clocks() {
        let mut story = Story::<Overdue>::new();
        story.truth.workloads = Some(Instant::default());
        story.put(cron(json!({}), "")).unwrap();
        (0..8).for_each(|_| story.pass(20).unwrap());
        story.put(cron(json!({}), "2026-01-01T00:01:00Z")).unwrap();
        (0..6).for_each(|_| story.pass(20).unwrap());
        assert!(story.pass(20).unwrap_err().what.contains("that has passed since 2026-01-01T00:01:00Z"));
        let mut story = Story::<Overdue>::new();
        story.truth.workloads = Some(Instant::default());
        story.truth.clocks.insert("workloads".into(), -600_000_000_000);
        story.put(cron(json!({}), "")).unwrap();
        (0..20).for_each(|_| story.pass(20).unwrap());
    }

    #[test]
    fn who_has_lost_a_watch_makes_nothing() {
        let mut story = Story::<Overdue>::new();
        story.truth.workloads = Some(Instant::default());
        story.put(cron(json!({}), "")).unwrap();
        (0..8).for_each(|_| story.pass(20).unwrap());
        story.steps(&who(Role::Workloads, "workloads"), Input::Ended { call: CallId(1) }).unwrap();
        (0..5).for_each(|_| story.pass(20).unwrap());
        assert!(story.pass(20).unwrap_err().what.contains("has waited for 120 s"));
    }
}
