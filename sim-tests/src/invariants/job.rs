//! S-job: A job counts no pod twice, and has succeeded only when as many of its pods as it asks for have.
//!
//! Catches: a pod that is noted again after it was counted, a number for which two pods count, an end that is declared on
//! a stale view.

use miniku_core::api::text::Text;
use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::job::{INDEX, Job};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Pod, PodPhase};
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
}

impl Checker for JobsCount {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
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
        let asked = usize::try_from(job.completions().unwrap_or(1)).unwrap_or(0);
        if job.is("Complete") && job.spec.success_policy.is_none() && succeeded < asked {
            return wrong(format!("{} is complete with {succeeded} of {asked}", object.key()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
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
}
