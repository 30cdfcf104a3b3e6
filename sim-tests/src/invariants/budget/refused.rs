//! Whether an eviction is refused for a budget though nobody is served by the pod, or enough others are healthy.

use super::{always_lets_unready_go, is_unready, selects};
use crate::invariants::Broken;
use crate::truth::Truth;
use miniku_core::api::budget::PodDisruptionBudget;
use miniku_core::api::by_key::ByKey;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Labels;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, RequestId};
use miniku_core::store::Change;
use miniku_core::time::Instant;
use std::collections::BTreeMap;

/// What the API server knows of pods and budgets, and the evictions that it was asked for.
#[derive(Default)]
pub(super) struct Refusals {
    /// Since when it knows of a pod that nobody is served by it.
    idle: BTreeMap<Key, (Text, Instant)>,
    /// Pods of which it knows that they run and are not ready, and since when.
    sick: BTreeMap<Key, (Object, Instant)>,
    /// The budgets that it knows, and since when each lets such pods go, if it does.
    known: BTreeMap<Key, (Object, Option<Instant>)>,
    /// The evictions that were asked for, and when.
    open: BTreeMap<RequestId, (Key, Instant)>,
}

impl Refusals {
    /// The API server is told of a change.
    pub fn told(&mut self, now: Instant, change: &Change) {
        match change.key.kind {
            Kind::PodDisruptionBudget => self.told_of_budget(now, &change.key, change.new.as_ref()),
            Kind::Pod => {
                self.note_idle(now, change);
                self.told_of_pod(now, &change.key, change.new.as_ref());
            }
            _ => {}
        }
    }

    /// The API server starts anew. What was written just before it crashed is told to nobody, and found.
    pub fn recovered(&mut self, now: Instant, objects: &ByKey<Object>) {
        self.idle.retain(|key, _| !objects.get(key).is_some_and(serves));
        self.sick.clear();
        self.known.clear();
        let budgets = objects.of_kind(Kind::PodDisruptionBudget);
        budgets.for_each(|budget| self.told_of_budget(now, &budget.key(), Some(budget)));
    }

    /// An eviction is asked for.
    pub fn asked(&mut self, now: Instant, id: RequestId, pod: &Key) {
        self.open.insert(id, (pod.clone(), now));
    }

    /// A request is answered: whether an eviction is refused for a budget, though nobody is served by the pod, or enough
    /// others are healthy.
    pub fn answered(&mut self, truth: &Truth, id: RequestId, answer: &Answer) -> Result<(), Broken> {
        let Some((key, asked)) = self.open.remove(&id) else { return Ok(()) };
        let Answer::Refused(status) = answer else { return Ok(()) };
        let for_budget = ["disruption budget", "PodDisruptionBudget"].iter().any(|one| status.message.contains(one));
        if for_budget && self.idle.get(&key).is_some_and(|(_, since)| *since < asked) {
            let what = format!("{key} serves nobody, and is not evicted: {}", status.message);
            return Err(Broken::by(what).with(truth.object(&key)));
        }
        if let Some(budget) = self.holds_sick(&key, asked).filter(|_| for_budget) {
            let what = format!("{key} is not ready and not evicted: {}", status.message);
            return Err(Broken::by(what).with([budget]).with(truth.object(&key)));
        }
        Ok(())
    }

    /// The API server knows of a pod whether anybody is served by it.
    fn note_idle(&mut self, now: Instant, change: &Change) {
        let idle = change.new.as_ref().filter(|new| !serves(new));
        match (idle, self.idle.get(&change.key)) {
            (Some(new), Some((uid, _))) if new.meta().uid == *uid => {}
            (Some(new), _) => {
                self.idle.insert(change.key.clone(), (new.meta().uid.clone(), now));
            }
            (None, _) => drop(self.idle.remove(&change.key)),
        }
    }

    /// The API server is told of a pod, which may go uncharged if it is not ready.
    fn told_of_pod(&mut self, now: Instant, key: &Key, new: Option<&Object>) {
        let Some(new) = new.filter(|new| is_unready(new)) else { return drop(self.sick.remove(key)) };
        let same = self.sick.get(key).filter(|(known, _)| meant(known) == meant(new));
        let since = same.map_or(now, |(_, since)| *since);
        self.sick.insert(key.clone(), (new.clone(), since));
    }

    /// The API server is told of a budget, which may let such pods go.
    fn told_of_budget(&mut self, now: Instant, key: &Key, new: Option<&Object>) {
        let Some(new) = new else { return drop(self.known.remove(key)) };
        let lets = new.read::<PodDisruptionBudget>().is_some_and(|budget| is_lenient(&budget, new));
        let same = self.known.get(key).filter(|(known, _)| meant(known) == meant(new));
        let since = same.and_then(|(_, since)| *since).unwrap_or(now);
        self.known.insert(key.clone(), (new.clone(), lets.then_some(since)));
    }

    /// The one budget of a pod whose eviction was refused, if it has let such pods go since before that was asked for.
    fn holds_sick(&self, pod: &Key, asked: Instant) -> Option<&Object> {
        let (sick, since) = self.sick.get(pod)?;
        let about = |key: &Key, budget: &Object| {
            key.namespace == pod.namespace && budget.read().is_some_and(|budget| selects(&budget, sick))
        };
        let mut about = self.known.iter().filter(|(key, (budget, _))| about(key, budget)).map(|(_, known)| known);
        // Of several nobody says which is to be asked.
        let ((budget, lets), None) = (about.next()?, about.next()) else { return None };
        (*since < asked && (*lets)? < asked).then_some(budget)
    }
}

/// Whether a pod that goes may be one too few.
fn serves(object: &Object) -> bool {
    object.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Running && !pod.metadata.is_deleting())
}

/// Whether pods that are not ready go uncharged: enough are said to be healthy, or it is always so.
///
/// Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application", unhealthy pod eviction policy.
fn is_lenient(budget: &PodDisruptionBudget, object: &Object) -> bool {
    let (has, needs) = (budget.status.current_healthy, budget.status.desired_healthy);
    always_lets_unready_go(object) || needs > 0 && has >= needs
}

/// What others go by who decide about an object, beside its status.
fn meant(object: &Object) -> (&Text, &Labels, Option<i64>) {
    let meta = object.meta();
    (&meta.uid, &meta.labels, meta.generation)
}

#[cfg(test)]
mod tests {
    use super::super::Budget;
    use super::super::forged::{ask, budget, ready};
    use super::*;
    use crate::invariants::forged::{Story, pod};
    use crate::truth::Fact;
    use miniku_core::api::status::Status;

    #[test]
    fn fires_on_a_pod_that_serves_nobody_and_is_not_evicted() {
        let refused_then = |phase: &str, known: bool, message: &str, found: Option<&str>| {
            let mut story = Story::<Budget>::new();
            let change = story.put(pod("a", "n", phase)).unwrap();
            if known {
                story.see(Fact::Told { change: &change }).unwrap();
                story.pass(1).unwrap();
            }
            if let Some(phase) = found {
                let change = story.put(pod("a", "n", phase)).unwrap();
                let objects = ByKey::from_iter([(change.key, change.new.unwrap())]);
                story.see(Fact::Recovered { objects: &objects, revision: change.revision }).unwrap();
            }
            ask(&mut story, "a", true).unwrap();
            let answer = Answer::Refused(Status::too_many_requests(message, 0));
            story.answers(1, &answer).is_err()
        };
        let refused = |phase: &str, known: bool, message: &str| refused_then(phase, known, message, None);
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        assert!(refused_then("Pending", true, message, Some("Pending")));
        assert!(!refused_then("Pending", true, message, Some("Running")));
        assert!(refused("Pending", true, message));
        assert!(refused("Failed", true, message));
        assert!(!refused("Running", true, message));
        assert!(!refused("Pending", false, message));
        assert!(!refused("Pending", true, "the server is busy"));
    }

    #[test]
    fn fires_on_one_that_is_not_ready_and_not_evicted() {
        let refused = |has: i32, policy: &str, pod_is_ready: bool, budgets: &[&str], message: &str| {
            let mut story = Story::<Budget>::new();
            let change = story.put(ready("a", pod_is_ready)).unwrap();
            story.see(Fact::Told { change: &change }).unwrap();
            for name in budgets {
                let mut budget = budget(has, 0);
                budget["metadata"]["name"] = (*name).into();
                budget["spec"]["unhealthyPodEvictionPolicy"] = policy.into();
                let change = story.put(budget).unwrap();
                story.see(Fact::Told { change: &change }).unwrap();
            }
            story.pass(1).unwrap();
            ask(&mut story, "a", true).unwrap();
            story.answers(1, &Answer::Refused(Status::too_many_requests(message, 0))).is_err()
        };
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let usual = "IfHealthyBudget";
        assert!(refused(2, usual, false, &["b"], message));
        assert!(refused(3, usual, false, &["b"], message));
        assert!(refused(1, "AlwaysAllow", false, &["b"], message));
        assert!(!refused(1, usual, false, &["b"], message));
        assert!(!refused(2, usual, true, &["b"], message));
        assert!(!refused(2, usual, false, &["b", "c"], message));
        assert!(!refused(2, usual, false, &["b"], "the server is busy"));
    }
}
