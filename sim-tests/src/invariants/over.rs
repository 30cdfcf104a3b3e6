//! L-job: Pods that work for a job which is suspended, or has come to its end, are made to end within a minute, while the controllers of workloads are well.
//!
//! Well is who runs at its pace, with a good way to a running API server; since then it counts anew, and since one of their
//! watches has ended, for without all of them they do nothing. Catches: a job that is said to stand still and goes on; work
//! that is done for nobody.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::job::Job;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::program::Input;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// How long it may take.
const BOUND: Duration = Duration::from_secs(60);
/// How often jobs are looked at that stand still and have pods.
const EVERY: Duration = Duration::from_secs(20);

/// Since when jobs have been standing still that may have pods.
#[derive(Default)]
pub struct Over {
    since: BTreeMap<Key, Instant>,
    look_at: Option<Instant>,
    /// When a watch of a controller has ended last. Where little history is kept, it may fail again and again to open it.
    unwatched: Instant,
}

/// Whether nobody is to work for a job any more, as it says or as is wished.
fn stands_still(object: &Object) -> bool {
    let ends = ["SuccessCriteriaMet", "FailureTarget", "Complete", "Failed"];
    object.read::<Job>().is_some_and(|job| job.spec.suspend || ends.iter().any(|end| job.is(end)))
}

impl Over {
    fn look(&mut self, truth: &Truth) -> Result<(), Broken> {
        let mut busy = BTreeMap::new();
        for (key, since) in std::mem::take(&mut self.since) {
            let Some(job) = truth.object(&key).filter(|job| stands_still(job) && !job.meta().is_deleting()) else {
                continue;
            };
            let own = |one: &&Object| one.meta().controller().is_some_and(|by| by.uid == job.meta().uid);
            let works = |one: &&Object| one.get::<Pod>().is_some_and(Pod::is_active);
            let pod = truth.disk.objects().within(Kind::Pod, &key.namespace).filter(own).find(works);
            let Some(pod) = pod else {
                // One that is over makes no more; one that is suspended may have asked for some a moment ago.
                if truth.now.since(since) < BOUND {
                    busy.insert(key, since);
                }
                continue;
            };
            let waits = truth.workloads.map(|well| truth.now.since(since.max(well).max(self.unwatched)));
            if let Some(waits) = waits.filter(|waits| *waits > BOUND) {
                let what = format!("{} works for {key}, which has stood still for {} s", pod.key(), waits.as_secs());
                return Err(Broken::by(what).with([job, pod]));
            }
            busy.insert(key, since);
        }
        self.since = busy;
        Ok(())
    }
}

impl Checker for Over {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Time, Sight::Heard]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input: Input::Ended { .. } } if who.role == Role::Workloads => {
                self.unwatched = truth.now;
            }
            Fact::Durable { change } if change.key.kind == Kind::Job => {
                let stands = |object: &Option<Object>| object.as_ref().is_some_and(stands_still);
                if stands(&change.new) && !stands(&change.old) {
                    self.since.insert(change.key.clone(), truth.now);
                    self.look_at = self.look_at.or(Some(truth.now + EVERY));
                }
            }
            Fact::Time if self.look_at.is_some_and(|at| at <= truth.now) => {
                let looked = self.look(truth);
                self.look_at = (!self.since.is_empty()).then_some(truth.now + EVERY);
                return looked;
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
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::CallId;
    use serde_json::{Value, json};

    fn job(suspend: bool, status: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "uid": "j"},
            "spec": {"suspend": suspend, "template": {}}, "status": status})
    }

    fn works() -> Value {
        let mut pod = pod("a", "n", "Running");
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "sum", "uid": "j", "controller": true}]);
        pod
    }

    #[test]
    fn fires_on_work_that_goes_on() {
        let end = |kind: &str| json!({"conditions": [{"type": kind, "status": "True"}]});
        for (suspend, status, well, secs, fires) in [
            (true, json!({}), true, 100, true),
            (true, json!({}), true, 40, false),
            (true, json!({}), false, 100, false),
            (false, end("FailureTarget"), true, 100, true),
            (false, end("Complete"), true, 100, true),
            (false, json!({}), true, 100, false),
        ] {
            let mut story = Story::<Over>::new();
            story.truth.workloads = well.then(Instant::default);
            story.put(job(false, json!({}))).unwrap();
            let pod = story.put(works()).unwrap().new.unwrap();
            story.put(job(suspend, status.clone())).unwrap();
            let waits = |story: &mut Story<Over>| (0..secs / 20).try_for_each(|_| story.pass(20));
            assert_eq!(waits(&mut story).is_err(), fires, "{suspend} {status} {secs}");
            story.write(&pod, true).unwrap();
            waits(&mut story).unwrap();
        }
    }

    #[test]
    fn who_has_lost_a_watch_ends_nothing() {
        let mut story = Story::<Over>::new();
        story.truth.workloads = Some(Instant::default());
        story.put(job(false, json!({}))).unwrap();
        story.put(works()).unwrap();
        story.put(job(true, json!({}))).unwrap();
        (0..2).for_each(|_| story.pass(20).unwrap());
        story.steps(&who(Role::Workloads, "workloads"), Input::Ended { call: CallId(1) }).unwrap();
        (0..3).for_each(|_| story.pass(20).unwrap());
        assert!(story.pass(20).unwrap_err().what.contains("works for jobs.batch/default/sum"));
    }
}
