//! S-cron: A cron job's job is made, unless it is suspended, for the last time of its schedule that has passed, in its zone, and is named after that time. It is made not too late, never again once its controller was told of it, and with Forbid or Replace only when no other of its jobs works, be it on its way out. None is deleted before the cron job tells of its time. When it made the last one, and when one succeeded last, it says as long as it is there, and never goes back.
//!
//! The time is what the controller's own clock shows, however wrong that is. What a former life asked for may come late, and
//! then, as in Kubernetes, two may meet: judged is what is asked for.
//! Catches: a time that is made up for again and again, or once for each that was missed, or again when its job is gone, or
//! when nobody knows whether it was made; jobs that meet; a success that nobody tells of any more when its job is cleaned up.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::cronjob::{ConcurrencyPolicy, CronJob, SCHEDULED_AT};
use miniku_core::api::job::Job;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{Time, parse_rfc3339};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::schedule::{Schedule, zone};
use miniku_core::program::Verb;
use miniku_core::time::{Duration, Wall};

/// Each controller, of which there may be two, by what it was told itself.
#[derive(Default)]
pub struct Cron;

/// From a decision to its request, and what a clock that is looked at twice may differ.
const SLACK: Duration = Duration::from_secs(1);

/// The time of its schedule for which a job was made, if it says so.
pub(super) fn made_for(job: &Object) -> Option<Wall> {
    parse_rfc3339(job.meta().annotations.get(SCHEDULED_AT)?).ok()
}

/// The second before.
fn before(at: Wall) -> Wall {
    Wall::from_secs(at.secs() - 1)
}

/// The uid of the cron job that controls an object.
fn cron_of(object: &Object) -> Option<(&str, &str)> {
    object.meta().controller().filter(|by| by.kind == "CronJob").map(|by| (by.uid.as_str(), by.name.as_str()))
}

fn wrong(truth: &Truth, told: Told<'_>, wall: Wall, new: &Object) -> Option<String> {
    let ((uid, name), at) = (cron_of(new)?, made_for(new)?);
    let object = told.object(&Key::new(Kind::CronJob, &new.meta().namespace, name))?;
    let cron = object.read::<CronJob>().filter(|_| object.meta().uid == *uid)?;
    if cron.spec.suspend {
        return Some("is made, and its cron job is suspended".into());
    }
    let shown = |at: Wall| Time::of(at).to_string();
    if at > wall + SLACK {
        return Some(format!("is made for {}, and it is {}", shown(at), shown(wall)));
    }
    let deadline =
        cron.spec.starting_deadline_seconds.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
    if deadline.is_some_and(|deadline| wall.since(at) > deadline + SLACK) {
        return Some(format!("is made for {} at {}, which is too late", shown(at), shown(wall)));
    }
    let next = Schedule::parse(&cron.spec.schedule).ok().zip(zone(&cron.spec.time_zone));
    let wanted = next.as_ref().and_then(|(schedule, zone)| schedule.next(before(at), zone));
    if wanted.is_some_and(|wanted| wanted != at) {
        return Some(format!("is made for {}, which is no time of {:?}", shown(at), cron.spec.schedule));
    }
    // Whoever makes it again, not knowing that it was made, finds the name taken. Source: Kubernetes, `getJobName`.
    let named = format!("{name}-{}", at.secs().div_euclid(60));
    if new.meta().name.as_str() != named {
        return Some(format!("is made for {}, and is not named {named}", shown(at)));
    }
    let next = next.and_then(|(schedule, zone)| schedule.next(at, &zone));
    if let Some(next) = next.filter(|next| *next + SLACK < wall) {
        return Some(format!("is made for {}, and {} has passed", shown(at), shown(next)));
    }
    let jobs = || told.of_kind(Kind::Job).filter(|one| cron_of(one).is_some_and(|(of, _)| of == uid));
    // The same job is asked for again when there was no answer.
    let known = jobs().filter(|job| job.key() != new.key()).filter_map(made_for);
    let known = known.chain(cron.status.last_schedule_time.map(Time::wall)).max();
    if let Some(known) = known.filter(|known| *known >= at) {
        return Some(format!("is made for {}, and there was one for {}", shown(at), shown(known)));
    }
    if cron.spec.concurrency_policy == ConcurrencyPolicy::Allow {
        return None;
    }
    let works = |job: &&Object| {
        let is_over = |one: &Object| one.read::<Job>().is_none_or(|job| job.is_over());
        let stored = truth.stored(job);
        // What somebody made of its template is no rival.
        made_for(job).is_some()
            && job.key() != new.key()
            && !is_over(job)
            && stored.is_some_and(|stored| !is_over(stored))
    };
    let other = jobs().find(works)?;
    Some(format!("is made while {} works, against {:?}", other.meta().name, cron.spec.concurrency_policy))
}

/// A job's end is asked for, and with it goes what tells that its time has had one.
fn forgets(told: Told<'_>, key: &Key) -> Option<String> {
    let job = told.object(key)?;
    let ((uid, name), at) = (cron_of(job)?, made_for(job)?);
    let object = told.object(&Key::new(Kind::CronJob, &key.namespace, name)).filter(|one| one.meta().uid == *uid)?;
    let last = object.read::<CronJob>()?.status.last_schedule_time.map(Time::wall);
    let what = format!("is deleted, and {name} does not tell yet that {} has had its job", Time::of(at));
    last.is_none_or(|last| last < at).then_some(what)
}

/// What a cron job takes back of what it has told of its times.
fn takes_back(old: &Object, new: &Object) -> Option<&'static str> {
    let (before, now) = (old.read::<CronJob>()?.status, new.read::<CronJob>()?.status);
    let is_another = old.meta().uid != new.meta().uid;
    match () {
        () if is_another => None,
        () if now.last_schedule_time < before.last_schedule_time => {
            Some("says that it made its last job earlier, or none")
        }
        () if now.last_successful_time < before.last_successful_time => {
            Some("says that its last success was earlier, or none")
        }
        () => None,
    }
}

impl Checker for Cron {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Durable { change } = fact
            && change.key.kind == Kind::CronJob
            && let (Some(old), Some(new)) = (&change.old, &change.new)
            && let Some(wrong) = takes_back(old, new)
        {
            return Err(Broken::by(format!("{} {wrong}", change.key)).with([old, new]));
        }
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let told = truth.told(who);
        let (key, wrong) = match &request.verb {
            Verb::Create { object } if who.role == Role::Workloads => {
                (object.key(), wrong(truth, told, truth.wall(&who.name), object))
            }
            Verb::Delete { key, .. } if who.role == Role::Workloads && key.kind == Kind::Job => {
                (key.clone(), forgets(told, key))
            }
            _ => return Ok(()),
        };
        match wrong {
            Some(wrong) => Err(Broken::by(format!("{key} {wrong}")).with(told.object(&key))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    struct Desk(Story<Cron>);

    impl Desk {
        fn tell(&mut self, object: Value) {
            let event = WatchEvent::Modified(self.0.put(object).unwrap().new.unwrap());
            let controller = who(Role::Workloads, "workloads");
            self.0.hears(&controller, event).unwrap();
        }

        fn makes(&mut self, minute: u32) -> String {
            self.makes_one(job(minute))
        }

        fn makes_one(&mut self, job: Value) -> String {
            let verb = Verb::Create { object: crate::plan::object(job) };
            let controller = who(Role::Workloads, "workloads");
            let seen = self.0.sends(&controller, verb);
            seen.err().map(|broken| broken.what).unwrap_or_default()
        }
    }

    fn cron(policy: &str, last: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick", "uid": "c", "namespace": "default"},
            "spec": {"schedule": "* * * * *", "concurrencyPolicy": policy, "startingDeadlineSeconds": 70},
            "status": {"lastScheduleTime": last}})
    }

    fn named(minute: u32) -> String {
        format!("tick-{}", 29_453_760 + minute)
    }

    fn job(minute: u32) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": named(minute), "uid": minute.to_string(), "namespace": "default",
                "annotations": {SCHEDULED_AT: format!("2026-01-01T00:{minute:02}:00Z")},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": "c", "controller": true}]}})
    }

    #[test]
    fn fires_on_a_job_that_goes_before_its_time_is_noted() {
        let mut desk = Desk(Story::new());
        desk.tell(cron("Allow", json!("2026-01-01T00:02:00Z")));
        [2, 3].into_iter().for_each(|minute| desk.tell(job(minute)));
        let mut deletes = |minute: u32| {
            let key = Key::new(Kind::Job, "default", &named(minute));
            let verb = Verb::Delete { key, options: Default::default() };
            let controller = who(Role::Workloads, "workloads");
            let seen = desk.0.sends(&controller, verb);
            seen.err().map(|broken| broken.what).unwrap_or_default()
        };
        assert_eq!(deletes(2), "");
        assert!(deletes(3).contains("tick does not tell yet that 2026-01-01T00:03:00Z has had its job"));
    }

    #[test]
    fn fires_on_a_time_that_is_taken_back() {
        for time in ["lastScheduleTime", "lastSuccessfulTime"] {
            let becomes = |then: Value, uid: &str| {
                let mut story = Story::<Cron>::new();
                let mut cron = cron("Allow", json!(null));
                cron["status"][time] = "2026-01-01T00:03:00Z".into();
                story.put(cron.clone()).unwrap();
                cron["status"][time] = then;
                cron["metadata"]["uid"] = uid.into();
                story.put(cron).is_err()
            };
            assert!(becomes(json!(null), "c") && becomes(json!("2026-01-01T00:02:00Z"), "c"), "{time}");
            assert!(!becomes(json!("2026-01-01T00:04:00Z"), "c"), "{time}");
            assert!(!becomes(json!(null), "d"), "{time}: another of its name");
        }
    }

    #[test]
    fn fires_on_a_job_for_another_time_and_on_a_second_one() {
        let mut desk = Desk(Story::new());
        desk.tell(cron("Allow", json!(null)));
        desk.0.pass(210).unwrap();
        assert_eq!(desk.makes(3), "");
        assert!(desk.makes(4).contains("and it is 2026-01-01T00:03:30Z"));
        assert!(desk.makes(1).contains("which is too late"));
        desk.0.truth.clocks.insert("workloads".into(), -25_000_000_000);
        assert!(desk.makes(2).contains("and 2026-01-01T00:03:00Z has passed"));
        desk.0.truth.clocks.clear();
        desk.tell(cron("Allow", json!("2026-01-01T00:03:00Z")));
        assert!(desk.makes(3).contains("and there was one for 2026-01-01T00:03:00Z"));
    }

    #[test]
    fn fires_on_a_job_that_is_named_after_another_time() {
        let mut desk = Desk(Story::new());
        let mut seldom = cron("Allow", json!(null));
        seldom["spec"]["schedule"] = "*/2 * * * *".into();
        desk.tell(seldom);
        // It is 00:03:00, and 00:02 was missed.
        desk.0.pass(180).unwrap();
        assert_eq!(desk.makes(2), "");
        let mut late = job(2);
        late["metadata"]["name"] = named(3).into();
        assert!(desk.makes_one(late).contains("is made for 2026-01-01T00:02:00Z, and is not named tick-29453762"));
    }

    #[test]
    fn fires_on_a_job_at_an_hour_of_another_zone() {
        for (hour, fires) in [("1", false), ("0", true)] {
            let mut desk = Desk(Story::new());
            let mut cron = cron("Allow", json!(null));
            cron["spec"]["schedule"] = format!("* {hour} * * *").into();
            cron["spec"]["timeZone"] = "Europe/Berlin".into();
            desk.tell(cron);
            desk.0.pass(210).unwrap();
            assert_eq!(desk.makes(3).contains("which is no time of"), fires, "{hour}");
        }
    }

    #[test]
    fn fires_on_jobs_that_meet() {
        for policy in ["Allow", "Forbid", "Replace"] {
            let mut desk = Desk(Story::new());
            desk.tell(cron(policy, json!(null)));
            desk.tell(job(2));
            desk.0.pass(210).unwrap();
            let meets = format!("while {} works", named(2));
            assert_eq!(desk.makes(3).contains(&meets), policy != "Allow");
            let mut leaving = job(2);
            leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:03:00Z".into();
            leaving["metadata"]["finalizers"] = json!(["miniku.test/hold"]);
            desk.tell(leaving);
            assert_eq!(desk.makes(3).contains(&meets), policy != "Allow");
            let mut ended = job(2);
            ended["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
            desk.tell(ended);
            assert_eq!(desk.makes(3), "");
        }
    }

    #[test]
    fn fires_on_a_job_of_a_suspended_cron_job() {
        let mut desk = Desk(Story::new());
        let mut suspended = cron("Allow", json!(null));
        suspended["spec"]["suspend"] = true.into();
        desk.tell(suspended);
        desk.0.pass(210).unwrap();
        assert!(desk.makes(3).contains("its cron job is suspended"));
    }
}
