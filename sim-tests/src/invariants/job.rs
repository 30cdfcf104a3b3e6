//! S-job: A job counts no pod twice, has succeeded only when as many of its pods as it asks for have, and has failed for its failures, or one of its numbers, only after more of them than it allows; and a pod is made for it only if, as far as its controller was told, it goes on, one more is missing, and nobody has its number.
//!
//! Catches: a pod that is noted again after it was counted, a number for which two pods count, an end that is declared on
//! a stale view, or one failure too early; a job that goes on after it should have ended.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::job::{INDEX, Job, PodReplacementPolicy};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase, RestartPolicy};
use miniku_core::api::text::Text;
use miniku_core::controllers::job::indexes;
use miniku_core::program::Verb;
use std::collections::{BTreeMap, BTreeSet};

/// What became of each job's pods, by the job's uid.
#[derive(Default)]
pub struct JobsCount {
    of: BTreeMap<Text, Pods>,
}

#[derive(Default)]
struct Pods {
    made: BTreeSet<Text>,
    succeeded: BTreeSet<Text>,
    /// Those that had done so before anybody deleted them: they cannot count as failed, too.
    surely: BTreeSet<Text>,
    numbers: BTreeSet<Text>,
    /// Those that have failed, or were made to end before they succeeded, each with its number.
    badly: BTreeMap<Text, Option<i64>>,
}

fn number_of(pod: &Object) -> Option<i64> {
    pod.meta().annotations.get(INDEX)?.parse().ok()
}

/// Why a pod should not be made for a job.
fn in_vain(truth: &Truth, told: &Told, new: &Object) -> Option<String> {
    let by = new.meta().controller().filter(|by| by.kind == "Job")?;
    let object = told.object(&Key::new(Kind::Job, &new.meta().namespace, &by.name))?;
    let job = object.read::<Job>().filter(|_| object.meta().uid == by.uid)?;
    if job.is_over() || job.is("FailureTarget") || job.is("SuccessCriteriaMet") || job.spec.suspend {
        return Some("which is over, or suspended".into());
    }
    let (failed, limit) = (job.status.failed.unwrap_or(0), job.spec.backoff_limit.unwrap_or(6));
    if failed > limit {
        return Some(format!("of which {failed} have failed, and {limit} may"));
    }
    // Who waits for the end of those that were deleted counts them, too.
    let waits = job.spec.pod_replacement_policy == PodReplacementPolicy::Failed;
    let works = |one: &Object| {
        let works = |pod: &Pod| !pod.status.phase.is_final() && (waits || !pod.metadata.is_deleting());
        // One that never came to a node ends with its deletion.
        one.get::<Pod>().is_some_and(|pod| works(pod) && (pod.node().is_some() || !pod.metadata.is_deleting()))
    };
    let stored = |one: &Object| truth.object(&one.key()).filter(|stored| stored.meta().uid == one.meta().uid);
    let others = told.objects().filter(|one| {
        let own = one.kind() == Kind::Pod && one.meta().controller().is_some_and(|other| other.uid == by.uid);
        own && works(one) && stored(one).is_some_and(works)
    });
    let others: Vec<&Object> = others.collect();
    if let Some(number) = number_of(new).filter(|_| job.is_indexed()) {
        if let Some(other) = others.iter().find(|other| number_of(other) == Some(number)) {
            return Some(format!("whose number {number} {} has", other.meta().name));
        }
        let all = job.completions().unwrap_or(0);
        let failed = job.status.failed_indexes.as_deref().unwrap_or("");
        if [&*job.status.completed_indexes, failed].iter().any(|text| indexes::parse(text, all).contains(&number)) {
            return Some(format!("whose number {number} is done with"));
        }
    }
    let succeeded = i64::from(job.status.succeeded.unwrap_or(0));
    let missing = job.completions().map_or(i64::MAX, |all| all - succeeded).min(job.parallelism());
    let works = others.len() as i64;
    (works >= missing).then(|| format!("for which {works} work, and {missing} are needed"))
}

impl Checker for JobsCount {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Sent { who, request, .. } = fact
            && let Verb::Create { object } = &request.verb
            && who.role == Role::Workloads
            && object.kind() == Kind::Pod
            && let Some(why) = in_vain(truth, truth.told(who), object)
        {
            let by = object.meta().controller().map_or("", |by| &by.name);
            return Err(Broken::by(format!("{} is made for {by}, {why}", object.key())).with([object]));
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
                    pods.numbers.extend(new.meta().annotations.get(INDEX).cloned());
                }
                Ok(())
            }
            Kind::Job => self.look_at(new),
            _ => Ok(()),
        }
    }
}

impl JobsCount {
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

    fn look_at(&self, object: &Object) -> Result<(), Broken> {
        let (Some(job), none) = (object.read::<Job>(), Pods::default()) else { return Ok(()) };
        let pods = self.of.get(&object.meta().uid).unwrap_or(&none);
        let number = |number: Option<i32>| usize::try_from(number.unwrap_or(0)).unwrap_or(0);
        let (succeeded, failed) = (number(job.status.succeeded), number(job.status.failed));
        let really = if job.is_indexed() { pods.numbers.len() } else { pods.succeeded.len() };
        let wrong = |what: String| Err(Broken::by(what).with([object]));
        if succeeded > really {
            return wrong(format!("{} says that {succeeded} have succeeded, {really} have", object.key()));
        }
        if failed + pods.surely.len() > pods.made.len() && failed > 0 {
            let (made, well) = (pods.made.len(), pods.surely.len());
            return wrong(format!("{} says that {failed} have failed, of {made} pods {well} succeeded", object.key()));
        }
        Self::gives_up(&job, pods).or_else(|what| wrong(format!("{} {what}", object.key())))?;
        let asked = usize::try_from(job.completions().unwrap_or(1)).unwrap_or(0);
        if job.is("Complete") && job.spec.success_policy.is_none() && succeeded < asked {
            return wrong(format!("{} is complete with {succeeded} of {asked}", object.key()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::{CallId, Input, RequestId, WatchEvent};
    use serde_json::{Value, json};

    fn job(status: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "uid": "j"},
            "spec": {"completions": 2, "template": {}}, "status": status})
    }

    fn of_job(name: &str, phase: &str) -> Value {
        let mut pod = pod(name, "", phase);
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "sum", "uid": "j", "controller": true}]);
        pod
    }

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
    fn fires_on_a_pod_that_is_made_in_vain() {
        let check = |spec: Value, status: Value, fires: Option<&str>| {
            let (mut story, controller) = (Story::<JobsCount>::new(), who(Role::Workloads, "workloads"));
            let mut job = job(status);
            job["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            let numbered = |name: &str, phase: &str| {
                let mut pod = of_job(name, phase);
                pod["metadata"]["annotations"] = json!({INDEX: "1"});
                pod["spec"]["nodeName"] = "n".into();
                pod
            };
            for object in [numbered("a", "Running"), job] {
                let event = WatchEvent::Added(story.put(object).unwrap().new.unwrap());
                story.see(Fact::Heard { who: &controller, input: &Input::Event { call: CallId(1), event } }).unwrap();
            }
            let request = Verb::Create { object: crate::plan::object(numbered("b", "Pending")) }.into();
            let made = story.see(Fact::Sent { who: &controller, id: RequestId(1), request: &request });
            let what = made.err().map(|broken| broken.what).unwrap_or_default();
            assert!(fires.map_or(what.is_empty(), |fires| what.contains(fires)), "{spec}: {what}");
        };
        check(json!({"parallelism": 2}), json!({}), None);
        check(json!({"parallelism": 1}), json!({}), Some("for which 1 work, and 1 are needed"));
        check(json!({"parallelism": 2, "suspend": true}), json!({}), Some("suspended"));
        check(
            json!({"parallelism": 2, "backoffLimit": 0}),
            json!({"failed": 1}),
            Some("of which 1 have failed, and 0 may"),
        );
        let indexed = json!({"parallelism": 2, "completionMode": "Indexed"});
        check(indexed, json!({}), Some("whose number 1 a has"));
    }
}
