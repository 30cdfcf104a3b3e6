//! S-job: A job counts no pod twice, none as both failed and succeeded, and no number that it does not ask for. As far as its controller was told, it notes only pods as failed that have, and says only of pods that do that they work. It has succeeded only when as many of its pods as it asks for have. It has failed for its failures, or one of its numbers has, only after more of them than it allows; and for its deadline only when that is over, which begins anew when the job is resumed. It is over only when all its pods have ended. As far as its controller was told, a pod is made for it only if it goes on, one more is missing, nobody has its number, and its failures are long enough ago; of pods that are too many those go first that have no node, then those that are not ready; and the job is deleted only when it has been over for as long as it is kept.
//!
//! Pods that its controller has ended since it is suspended have not failed. Times are told by the controller's
//! own clock, however wrong that is.
//! Catches: a pod that is noted again after it was counted, a number for which two pods count, an end that is declared on
//! a stale view, or one failure too early; a job that goes on after it should have ended, or is tried again
//! without a pause; a time that is counted from the wrong moment.

mod pods;
mod status;

use super::ends::is_held;
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::job::{INDEX, Job, Uncounted};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{OwnerReference, Time};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase, RestartPolicy};
use miniku_core::api::text::Text;
use miniku_core::controllers::job::indexes;
use miniku_core::program::{Part, Verb};
use miniku_core::time::{Duration, Instant, Wall};
use pods::{goes_before, in_vain};
use status::{is_in_time, is_miscounted, is_not_over};
use std::collections::{BTreeMap, BTreeSet};

/// What became of each job's pods, by the job's uid.
#[derive(Default)]
pub struct JobsCount {
    of: BTreeMap<Text, Pods>,
    began: BTreeMap<Text, Began>,
    /// Pods by uid that some controller has asked to be held no longer.
    let_go: BTreeSet<Text>,
}

/// Since when a job says that it works.
#[derive(Clone, Copy)]
struct Began {
    at: Time,
    /// When it was first seen to say so.
    seen: Instant,
    /// Whether it has been held since, for which its time begins anew.
    held: bool,
}

/// From a decision to its request, and what a clock that is looked at twice may differ.
const SLACK: Duration = Duration::from_secs(1);
/// After this time times in objects differ, which are cut to seconds.
const TELLS_APART: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Pods {
    made: BTreeSet<Text>,
    succeeded: BTreeSet<Text>,
    /// Those that had done so before anybody deleted them: they cannot count as failed, too.
    surely: BTreeSet<Text>,
    /// The number of each that has succeeded, if it has one.
    numbers: BTreeMap<Text, i64>,
    /// Those that the job has noted as failed: they do not count as succeeded any more.
    noted_as_failed: BTreeSet<Text>,
    /// Those that it has noted, and notes no more.
    counted: BTreeSet<Text>,
    /// Those that have failed, or were made to end before they succeeded, each with its number.
    badly: BTreeMap<Text, Option<i64>>,
    /// Those whose end its controller has asked for since it is suspended, before they had ended.
    ended: BTreeSet<Text>,
}

fn number_of(pod: &Object) -> Option<i64> {
    pod.meta().annotations.get(INDEX)?.parse().ok()
}

/// Why a job should not be deleted by the controllers of workloads, if it is not a cron job's, which keeps its own.
fn is_kept(told: Told<'_>, wall: Wall, key: &Key, uid: Option<&Text>) -> Option<String> {
    let object = told.object(key).filter(|object| Some(&object.meta().uid) == uid)?;
    let job = object.read::<Job>().filter(|_| object.meta().controller().is_none())?;
    let Some(ttl) = job.spec.ttl_seconds_after_finished else { return Some("is deleted, and is to be kept".into()) };
    let Some(ended) = job.ended_at().filter(|_| job.is_over()) else { return Some("is deleted, and goes on".into()) };
    let (since, ttl) = (wall.since(ended.wall()), Duration::from_secs(u64::try_from(ttl).unwrap_or(0)));
    (since + SLACK < ttl).then(|| {
        format!("is deleted {} ms after its end, and is to be kept for {} s", since.as_millis(), ttl.as_secs())
    })
}

/// Which pods a job says to have ended, and has not counted yet.
fn noted(job: &Object) -> Uncounted {
    job.read::<Job>().and_then(|job| job.status.uncounted_terminated_pods).unwrap_or_default()
}

impl Checker for JobsCount {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Sent { who, request, .. } = fact
            && who.role == Role::Workloads
        {
            return self.asks(truth, who, &request.verb);
        }
        let Fact::Durable { change } = fact else { return Ok(()) };
        if let Some(object) = change.old.as_ref().filter(|_| change.key.kind == Kind::Pod) {
            self.ends_badly(object, change.new.as_ref().filter(|new| new.meta().uid == object.meta().uid));
        }
        let Some(new) = &change.new else { return Ok(()) };
        match change.key.kind {
            Kind::Pod => {
                let Some(by) = new.meta().controller().filter(|by| by.kind == "Job") else { return Ok(()) };
                let pods = self.of.entry(by.uid.clone()).or_default();
                pods.made.insert(new.meta().uid.clone());
                if new.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Succeeded) {
                    pods.succeeded.insert(new.meta().uid.clone());
                    if !new.meta().is_deleting() {
                        pods.surely.insert(new.meta().uid.clone());
                    }
                    pods.numbers.extend(number_of(new).map(|number| (new.meta().uid.clone(), number)));
                }
                Ok(())
            }
            Kind::Job => {
                self.begins(truth.now, change.old.as_ref(), new)?;
                self.notes(change.old.as_ref(), new)?;
                self.look_at(change.old.as_ref(), new)
            }
            _ => Ok(()),
        }
    }
}

impl JobsCount {
    fn asks(&mut self, truth: &Truth, who: &Who, verb: &Verb) -> Result<(), Broken> {
        let (told, wall) = (truth.told(who), truth.wall(&who.name));
        match verb {
            Verb::Create { object } if object.kind() == Kind::Pod => {
                let Some(why) = in_vain(truth, told, wall, object) else { return Ok(()) };
                let by = object.meta().controller().map_or("", |by| &by.name);
                Err(Broken::by(format!("{} is made for {by}, {why}", object.key())).with([object]))
            }
            Verb::Delete { key, options } if key.kind == Kind::Job => {
                match is_kept(told, wall, key, options.uid.as_ref()) {
                    Some(why) => Err(Broken::by(format!("{key} {why}")).with(told.object(key))),
                    None => Ok(()),
                }
            }
            Verb::Delete { key, options } if key.kind == Kind::Pod => {
                let Some(pod) = truth.meant(key, options) else { return Ok(()) };
                let works = pod.get::<Pod>().is_some_and(|pod| !pod.status.phase.is_final());
                let is_suspended = |by: &OwnerReference| {
                    let job = told.object(&Key::new(Kind::Job, &key.namespace, &by.name));
                    job.and_then(Object::read::<Job>).is_some_and(|job| job.spec.suspend)
                };
                let by = pod.meta().controller().filter(|by| by.kind == "Job" && works);
                if let Some(by) = by.filter(|by| is_suspended(by)) {
                    self.of.entry(by.uid.clone()).or_default().ended.insert(pod.meta().uid.clone());
                }
                Ok(())
            }
            Verb::Update { object, part: Part::Main } if object.kind() == Kind::Pod => {
                let other = goes_before(truth, told, &self.let_go, object);
                if !is_held(object) {
                    self.let_go.insert(object.meta().uid.clone());
                }
                let Some(other) = other else { return Ok(()) };
                let what = format!("{} is one too many, and {} should go before it", object.key(), other.meta().name);
                Err(Broken::by(what).with([object, other]))
            }
            Verb::Update { object, part: Part::Status } if object.kind() == Kind::Job => {
                let wrong = is_in_time(told, wall, object).or_else(|| is_not_over(truth, told, object));
                match wrong.or_else(|| is_miscounted(truth, told, object)) {
                    Some(why) => Err(Broken::by(format!("{} {why}", object.key())).with([object])),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// A job that is resumed works from then on.
    ///
    /// Source: Kubernetes' API, `JobStatus.startTime`: "reset every time a Job is resumed from suspension".
    fn begins(&mut self, now: Instant, old: Option<&Object>, new: &Object) -> Result<(), Broken> {
        let Some(job) = new.read::<Job>() else { return Ok(()) };
        let (uid, held) = (&new.meta().uid, job.is("Suspended"));
        let was_held = old.and_then(Object::read::<Job>).is_some_and(|old| old.is("Suspended"));
        if held && let Some(began) = self.began.get_mut(uid) {
            began.held |= !was_held && now.since(began.seen) >= TELLS_APART;
        }
        let Some(at) = job.status.start_time.filter(|_| !held) else { return Ok(()) };
        match self.began.get(uid) {
            Some(began) if began.at == at && began.held && was_held => {
                Err(Broken::by(format!("{} is resumed, and says that it works since {at}", new.key())).with([new]))
            }
            Some(began) if began.at == at => Ok(()),
            _ => {
                self.began.insert(uid.clone(), Began { at, seen: now, held: false });
                Ok(())
            }
        }
    }

    /// Takes in which pods a job has noted: none that it has counted already, and none as succeeded that it noted as failed.
    fn notes(&mut self, old: Option<&Object>, new: &Object) -> Result<(), Broken> {
        let before = old.filter(|old| old.meta().uid == new.meta().uid).map(noted).unwrap_or_default();
        let after = noted(new);
        let all = |one: &Uncounted| one.succeeded.iter().chain(&one.failed).cloned().collect::<BTreeSet<Text>>();
        let (were, are) = (all(&before), all(&after));
        let pods = self.of.entry(new.meta().uid.clone()).or_default();
        pods.counted.extend(were.difference(&are).cloned());
        pods.noted_as_failed.extend(after.failed.iter().cloned());
        let again = are.intersection(&pods.counted).next().map(|uid| (uid, "counted"));
        let both =
            after.succeeded.iter().find(|uid| pods.noted_as_failed.contains(*uid)).map(|uid| (uid, "noted as failed"));
        match again.or(both) {
            Some((uid, how)) => {
                Err(Broken::by(format!("{} notes {uid}, which it has {how} already", new.key())).with([new]))
            }
            None => Ok(()),
        }
    }

    /// Takes in that a pod is what it is now, or gone.
    fn ends_badly(&mut self, old: &Object, new: Option<&Object>) {
        let Some(by) = old.meta().controller().filter(|by| by.kind == "Job") else { return };
        let phase = |object: &Object| object.get::<Pod>().map(|pod| pod.status.phase);
        let failed = new.is_none_or(|new| new.meta().is_deleting() || phase(new) == Some(PodPhase::Failed));
        if failed && phase(old) != Some(PodPhase::Succeeded) {
            let pods = self.of.entry(by.uid.clone()).or_default();
            pods.badly.insert(old.meta().uid.clone(), number_of(old));
        }
    }

    /// Whether it was given up, or one of its numbers, before as many have failed as may.
    fn gives_up(job: &Job, pods: &Pods) -> Result<(), String> {
        let in_place = job.spec.template.spec.restart_policy != RestartPolicy::Never;
        if in_place || job.spec.pod_failure_policy.is_some() {
            return Ok(());
        }
        let (failed, limit) = (pods.badly.len(), i64::from(job.spec.backoff_limit.unwrap_or(6)));
        let ends = ["FailureTarget", "Failed"];
        let mut ends = job.status.conditions.iter().filter(|one| ends.contains(&&*one.kind));
        if ends.any(|one| one.reason == "BackoffLimitExceeded") && failed as i64 <= limit {
            return Err(format!("has failed since {failed} of its pods have, and {limit} may"));
        }
        let Some(limit) = job.spec.backoff_limit_per_index.map(i64::from) else { return Ok(()) };
        let text = job.status.failed_indexes.as_deref().unwrap_or("");
        for number in indexes::parse(text, job.completions().unwrap_or(0)) {
            let failed = pods.badly.values().filter(|of| **of == Some(number)).count() as i64;
            if failed <= limit {
                return Err(format!("gives up number {number}, of which {failed} have failed, and {limit} may"));
            }
        }
        Ok(())
    }

    fn look_at(&self, old: Option<&Object>, object: &Object) -> Result<(), Broken> {
        let (Some(job), none) = (object.read::<Job>(), Pods::default()) else { return Ok(()) };
        let pods = self.of.get(&object.meta().uid).unwrap_or(&none);
        let number = |number: Option<i32>| usize::try_from(number.unwrap_or(0)).unwrap_or(0);
        let (succeeded, failed) = (number(job.status.succeeded), number(job.status.failed));
        let counts = |uid: &Text| !pods.noted_as_failed.contains(uid);
        let numbers: BTreeSet<i64> =
            pods.numbers.iter().filter(|(uid, _)| counts(uid)).map(|(_, number)| *number).collect();
        let really =
            if job.is_indexed() { numbers.len() } else { pods.succeeded.iter().filter(|uid| counts(uid)).count() };
        let wrong = |what: String| Err(Broken::by(what).with([object]));
        let done = indexes::parse(&job.status.completed_indexes, i64::MAX);
        if let Some(number) = done.difference(&numbers).next() {
            return wrong(format!("{} says that number {number} is done, and no pod of it counts", object.key()));
        }
        if succeeded > really {
            return wrong(format!("{} says that {succeeded} have succeeded, {really} have", object.key()));
        }
        if failed + pods.surely.len() > pods.made.len() && failed > 0 {
            let (made, well) = (pods.made.len(), pods.surely.len());
            return wrong(format!("{} says that {failed} have failed, of {made} pods {well} succeeded", object.key()));
        }
        let at_its_end = job.is_over() || job.is("FailureTarget") || job.is("SuccessCriteriaMet");
        let by_themselves = pods.badly.keys().filter(|uid| !pods.ended.contains(*uid)).count();
        if failed > by_themselves && !pods.ended.is_empty() && !at_its_end {
            let what = format!("says that {failed} have failed; its controller has ended all but {by_themselves}");
            return wrong(format!("{} {what}", object.key()));
        }
        Self::gives_up(&job, pods).or_else(|what| wrong(format!("{} {what}", object.key())))?;
        // How many are wanted may change when it has come to its end already.
        let is_done = |job: &Job| job.is("Complete") || job.is("SuccessCriteriaMet");
        if !is_done(&job) || old.and_then(Object::read::<Job>).is_some_and(|old| is_done(&old)) {
            return Ok(());
        }
        let asked = usize::try_from(job.completions().unwrap_or(1)).unwrap_or(0);
        let succeeded = succeeded + job.status.uncounted_terminated_pods.as_ref().map_or(0, |one| one.succeeded.len());
        if job.spec.success_policy.is_none() && succeeded < asked {
            return wrong(format!("{} is complete with {succeeded} of {asked}", object.key()));
        }
        Ok(())
    }
}

/// Facts for the tests of this checker and its parts.
#[cfg(test)]
mod forged {
    use super::*;
    use crate::invariants::forged::{Story, pod, who};
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    /// A job that asks for two successes, with this status.
    pub(super) fn job(status: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "uid": "j"},
            "spec": {"completions": 2, "template": {}}, "status": status})
    }

    /// A pod of it.
    pub(super) fn of_job(name: &str, phase: &str) -> Value {
        let mut pod = pod(name, "", phase);
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "sum", "uid": "j", "controller": true}]);
        pod
    }

    /// A controller hears of a pod, and of a job, and says this of it.
    pub(super) fn says(spec: Value, pod: Value, status: Value) -> String {
        let (mut story, controller) = (Story::<JobsCount>::new(), who(Role::Workloads, "workloads"));
        let mut whole = job(json!({}));
        whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut revision = Text::default();
        for manifest in [pod, whole.clone()] {
            let object = story.put(manifest).unwrap().new.unwrap();
            revision = object.meta().resource_version.clone();
            let event = WatchEvent::Added(object);
            story.hears(&controller, event).unwrap();
        }
        whole["status"] = status;
        let object = crate::plan::object(whole).with_meta(|meta| meta.resource_version = revision);
        let sent = story.sends(&controller, Verb::Update { object, part: Part::Status });
        sent.err().map_or(String::new(), |broken| broken.what)
    }

    /// A controller hears of a job and a pod of it, and asks for something ten minutes later.
    pub(super) fn asks(job: Value, pod: Option<Value>, verb: Verb) -> String {
        let (mut story, controller) = (Story::<JobsCount>::new(), who(Role::Workloads, "workloads"));
        story.pass(600).unwrap();
        for object in pod.into_iter().chain([job]) {
            story.shows(&controller, object).unwrap();
        }
        let sent = story.sends(&controller, verb);
        sent.err().map(|broken| broken.what).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::forged::{asks, job, of_job};
    use super::*;
    use miniku_core::program::DeleteOptions;
    use serde_json::{Value, json};

    #[test]
    fn fires_on_what_is_counted_twice_and_on_an_early_end() {
        let mut story = Story::<JobsCount>::new();
        story.put(job(json!({}))).unwrap();
        story.put(of_job("a", "Succeeded")).unwrap();
        story.put(of_job("b", "Failed")).unwrap();
        story.put(job(json!({"succeeded": 1, "failed": 1}))).unwrap();
        assert!(story.put(job(json!({"succeeded": 2}))).unwrap_err().what.contains("2 have succeeded, 1 have"));
        assert!(story.put(job(json!({"failed": 2}))).unwrap_err().what.contains("2 have failed"));
        let complete = json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]});
        assert!(story.put(job(complete)).unwrap_err().what.contains("1 of 2"));
    }

    #[test]
    fn fires_on_what_is_noted_again_and_on_two_ends_of_one() {
        let mut story = Story::<JobsCount>::new();
        let noted = |succeeded: Value, failed: Value| {
            job(json!({"uncountedTerminatedPods": {"succeeded": succeeded, "failed": failed}}))
        };
        ["a", "b"].into_iter().for_each(|name| drop(story.put(of_job(name, "Failed")).unwrap()));
        story.put(noted(json!([]), json!(["a-uid"]))).unwrap();
        story.put(noted(json!([]), json!(["a-uid", "b-uid"]))).unwrap();
        let both = story.put(noted(json!(["b-uid"]), json!(["a-uid"]))).unwrap_err();
        assert!(both.what.contains("notes b-uid, which it has noted as failed already"), "{both:?}");
        story.put(job(json!({}))).unwrap();
        let again = story.put(noted(json!([]), json!(["a-uid"]))).unwrap_err();
        assert!(again.what.contains("notes a-uid, which it has counted already"), "{again:?}");
    }

    #[test]
    fn fires_on_a_number_whose_pod_was_noted_as_failed() {
        for (failed, fires) in [(json!(["a-uid"]), true), (json!(["b-uid"]), false)] {
            let mut story = Story::<JobsCount>::new();
            let said = |status: Value| {
                let mut job = job(status);
                job["spec"]["completionMode"] = "Indexed".into();
                job
            };
            let mut pod = of_job("a", "Succeeded");
            pod["metadata"]["annotations"] = json!({INDEX: "1"});
            story.put(pod).unwrap();
            story.put(said(json!({"uncountedTerminatedPods": {"failed": failed}}))).unwrap();
            let done = story.put(said(json!({"uncountedTerminatedPods": {"failed": failed}, "completedIndexes": "1"})));
            let what = done.err().map_or(String::new(), |broken| broken.what);
            assert_eq!(what.contains("says that number 1 is done, and no pod of it counts"), fires, "{what}");
        }
    }

    #[test]
    fn fires_on_an_end_after_too_few_failures() {
        let mut story = Story::<JobsCount>::new();
        let with = |failed: usize, spec: Value, status: Value| {
            let mut job = job(status);
            job["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            job["spec"]["template"] = json!({"spec": {"restartPolicy": "Never"}});
            job["status"]["failed"] = failed.into();
            job
        };
        let given_up =
            || json!({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]});
        for name in ["a", "b"] {
            let mut pod = of_job(name, "Running");
            pod["metadata"]["annotations"] = json!({INDEX: "1"});
            story.put(pod.clone()).unwrap();
            pod["status"]["phase"] = "Failed".into();
            story.put(pod).unwrap();
        }
        story.put(with(2, json!({"backoffLimit": 1}), given_up())).unwrap();
        let broken = story.put(with(2, json!({"backoffLimit": 2}), given_up())).unwrap_err();
        assert!(broken.what.contains("since 2 of its pods have, and 2 may"), "{broken:?}");
        let numbered = |limit: i32| {
            with(2, json!({"completionMode": "Indexed", "backoffLimitPerIndex": limit}), json!({"failedIndexes": "1"}))
        };
        story.put(numbered(1)).unwrap();
        assert!(story.put(numbered(2)).unwrap_err().what.contains("gives up number 1"));
    }

    #[test]
    fn fires_on_a_job_that_goes_too_early() {
        for (ended, ttl, fires) in [
            ("00:09:00", json!(50), ""),
            ("00:09:00", json!(70), "60000 ms after its end, and is to be kept for 70 s"),
            ("00:09:00", json!(null), "is to be kept"),
        ] {
            let at = format!("2026-01-01T{ended}Z");
            let condition = json!({"type": "Failed", "status": "True", "lastTransitionTime": at});
            let mut job = job(json!({"startTime": "2026-01-01T00:00:00Z", "conditions": [condition]}));
            job["spec"]["ttlSecondsAfterFinished"] = ttl;
            let options = DeleteOptions { uid: Some("j".into()), ..Default::default() };
            let what = asks(job, None, Verb::Delete { key: Key::new(Kind::Job, "default", "sum"), options });
            assert!(what.contains(fires) && what.is_empty() == fires.is_empty(), "{ended}: {what}");
        }
    }

    #[test]
    fn fires_on_a_time_that_does_not_begin_anew() {
        for (after, fires) in [("00:00:00", true), ("00:01:40", false)] {
            let mut story = Story::<JobsCount>::new();
            let told = |start: Value, held: &str| {
                job(json!({"startTime": start, "conditions": [{"type": "Suspended", "status": held}]}))
            };
            let at = |time: &str| json!(format!("2026-01-01T{time}Z"));
            story.put(job(json!({"startTime": at("00:00:00")}))).unwrap();
            story.pass(10).unwrap();
            story.put(told(at("00:00:00"), "True")).unwrap();
            story.pass(90).unwrap();
            let resumed = story.put(told(at(after), "False"));
            assert_eq!(resumed.is_err(), fires, "{after}: {resumed:?}");
        }
    }

    #[test]
    fn fires_on_failures_of_its_controllers_own_making() {
        let (mut story, controller) = (Story::<JobsCount>::new(), who(Role::Workloads, "workloads"));
        let mut suspended = job(json!({}));
        suspended["spec"]["suspend"] = true.into();
        story.shows(&controller, suspended).unwrap();
        let mut pod = of_job("a", "Running");
        story.put(pod.clone()).unwrap();
        let options = DeleteOptions { uid: Some("a-uid".into()), ..Default::default() };
        story.sends(&controller, Verb::Delete { key: Key::new(Kind::Pod, "default", "a"), options }).unwrap();
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        story.put(pod).unwrap();
        let broken = story.put(job(json!({"failed": 1}))).unwrap_err();
        assert!(broken.what.contains("its controller has ended all but 0"), "{broken:?}");
        let end = json!([{"type": "FailureTarget", "status": "True"}]);
        story.put(job(json!({"failed": 1, "conditions": end}))).unwrap();
    }
}
