//! S-demand: How many pods a budget's controller says are expected is what their controllers want, or how many there are where a plain number is demanded; how many must be healthy follows from that; and only the rest may go.
//!
//! A part is rounded up, of the pods that must be there and of those that may be missing alike. What is expected is judged
//! while all that it was told of the budget's pods and of who controls them is as it is stored.
//! Catches: a part that is rounded down; a budget that demands less as pods get lost.
//!
//! Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application".

use super::budget::selects;
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::budget::{PodDisruptionBudget, SYNC_FAILED};
use miniku_core::api::int_or_string::IntOrString;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::OwnerReference;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::program::{Part, Verb};
use std::collections::BTreeMap;

/// Needs no memory: what was told is kept elsewhere.
#[derive(Default)]
pub struct Demand;

/// `30%` of 7 is 3.
fn part(of: &IntOrString, total: i64) -> i64 {
    match of {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            (percent * total + 99).div_euclid(100)
        }
    }
}

/// How many must be healthy, where so many are expected.
fn demanded(budget: &PodDisruptionBudget, expected: i64) -> i64 {
    match (&budget.spec.max_unavailable, &budget.spec.min_available) {
        (Some(missing), _) => (expected - part(missing, expected)).max(0),
        (None, Some(least)) => part(least, expected),
        (None, None) => 0,
    }
}

/// Somebody's knowledge: the pods of a budget by name, with their uids, and what each of their controllers wants.
#[derive(Debug, PartialEq)]
struct Known {
    pods: BTreeMap<String, String>,
    wanted: BTreeMap<String, i64>,
}

fn wanted(workload: &Object) -> i64 {
    match workload.get::<ReplicaSet>() {
        Some(set) => i64::try_from(set.wanted()).unwrap_or(i64::MAX),
        None => workload.at(&["spec", "replicas"]).and_then(serde_json::Value::as_i64).unwrap_or(1),
    }
}

impl Known {
    /// Absent, if a controller of theirs is not known.
    fn of<'a>(
        budget: &PodDisruptionBudget,
        pods: impl Iterator<Item = &'a Object>,
        object: impl Fn(&Key) -> Option<&'a Object>,
    ) -> Option<Known> {
        let mut known = Known { pods: BTreeMap::new(), wanted: BTreeMap::new() };
        for pod in pods.filter(|pod| selects(budget, pod)) {
            known.pods.insert(pod.meta().name.to_string(), pod.meta().uid.to_string());
            let Some(by) = pod.meta().controller() else { continue };
            let find = |by: &OwnerReference| {
                let key = Key::new(Kind::named(&by.api_version, &by.kind)?, &pod.meta().namespace, &by.name);
                object(&key).filter(|found| found.meta().uid == by.uid)
            };
            let set = find(by)?;
            // What a rollout gives to each of its sets is not what is wanted.
            let above = set.meta().controller().filter(|by| by.kind == "Deployment").map(find);
            let by = above.unwrap_or(Some(set))?;
            known.wanted.insert(by.meta().uid.to_string(), wanted(by));
        }
        Some(known)
    }
}

/// How many are expected of what is known, if that can be said.
fn of_known(budget: &PodDisruptionBudget, known: &Known) -> Option<i64> {
    match (&budget.spec.max_unavailable, &budget.spec.min_available) {
        (None, Some(IntOrString::Int(_))) => i64::try_from(known.pods.len()).ok(),
        (None, None) => None,
        _ => Some(known.wanted.values().sum()),
    }
}

/// What somebody knows who was told of everything that is stored.
fn as_stored(truth: &Truth, namespace: &str, budget: &PodDisruptionBudget) -> Option<Known> {
    Known::of(budget, truth.disk.objects().within(Kind::Pod, namespace), |key| truth.object(key))
}

/// How many are expected of what is stored, if that can be said.
pub(super) fn expected_at_rest(truth: &Truth, namespace: &str, budget: &PodDisruptionBudget) -> Option<i64> {
    of_known(budget, &as_stored(truth, namespace, budget)?)
}

/// How many are expected, if that can be judged.
fn expected(truth: &Truth, told: Told<'_>, namespace: &str, budget: &PodDisruptionBudget) -> Option<i64> {
    let stored = as_stored(truth, namespace, budget)?;
    let seen = Known::of(budget, told.within(Kind::Pod, namespace), |key| told.object(key))?;
    if stored == seen { of_known(budget, &stored) } else { None }
}

impl Checker for Demand {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let (Role::Disruption, Verb::Update { object, part: Part::Status }) = (who.role, &request.verb) else {
            return Ok(());
        };
        let Some(budget) = object.read::<PodDisruptionBudget>() else { return Ok(()) };
        let status = &budget.status;
        if status.conditions.iter().any(|one| one.reason == SYNC_FAILED) {
            return Ok(());
        }
        let name = &object.meta().name;
        let broken = |what: String| Err(Broken::by(what).with([object]));
        let (told, needs) = (i64::from(status.expected_pods), i64::from(status.desired_healthy));
        let right = demanded(&budget, told);
        if needs != right {
            return broken(format!("budget {name} says that {needs} of {told} must be healthy, not {right}"));
        }
        let rest = if told > 0 { (i64::from(status.current_healthy) - needs).max(0) } else { 0 };
        if i64::from(status.disruptions_allowed) != rest {
            let (has, may) = (status.current_healthy, status.disruptions_allowed);
            return broken(format!("budget {name} allows {may}, with {has} healthy of {needs}"));
        }
        match expected(truth, truth.told(who), &object.meta().namespace, &budget) {
            Some(right) if right != told => broken(format!("budget {name} expects {told} pods, {right} are wanted")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    fn budget(spec: Value, (expected, desired, healthy, allowed): (i32, i32, i32, i32)) -> Value {
        json!({"kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "default"}, "spec": spec,
            "status": {"expectedPods": expected, "desiredHealthy": desired, "currentHealthy": healthy,
                "disruptionsAllowed": allowed}})
    }

    fn says(story: &mut Story<Demand>, budget: Value) -> Result<(), String> {
        let update = Verb::Update { object: crate::plan::object(budget), part: Part::Status };
        story.sends(&who(Role::Disruption, "disruption"), update).map_err(|broken| broken.what)
    }

    fn one() -> Value {
        let mut pod = pod("a", "n", "Running");
        pod["metadata"]["labels"] = json!({"app": "web"});
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web-uid", "controller": true}
        ]);
        pod
    }

    #[test]
    fn fires_on_numbers_that_do_not_follow() {
        let check = |spec: Value, numbers, want: Result<(), &str>| {
            let mut story = Story::<Demand>::new();
            // It was not told of this one, so that what it expects is not judged.
            story.put(one()).unwrap();
            let mut budget = budget(spec.clone(), numbers);
            budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
            assert_eq!(says(&mut story, budget), want.map_err(String::from), "{spec}");
        };
        check(json!({"maxUnavailable": "30%"}), (7, 4, 6, 2), Ok(()));
        check(json!({"maxUnavailable": "30%"}), (7, 5, 6, 1), Err("budget b says that 5 of 7 must be healthy, not 4"));
        check(json!({"minAvailable": "50%"}), (7, 4, 7, 3), Ok(()));
        check(json!({"minAvailable": "50%"}), (7, 3, 7, 4), Err("budget b says that 3 of 7 must be healthy, not 4"));
        check(json!({"minAvailable": 2}), (7, 2, 1, 0), Ok(()));
        check(json!({"minAvailable": 2}), (7, 2, 4, 3), Err("budget b allows 3, with 4 healthy of 2"));
        check(json!({"minAvailable": 0}), (0, 0, 1, 1), Err("budget b allows 1, with 1 healthy of 0"));
        check(json!({"maxUnavailable": 9}), (7, 0, 5, 5), Ok(()));
    }

    #[test]
    fn fires_on_what_nobody_wants() {
        let mut story = Story::<Demand>::new();
        let controller = who(Role::Disruption, "disruption");
        let mut set = crate::plan::replica_set("web", 5, "");
        set["metadata"]["uid"] = "web-uid".into();
        let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}});
        let of_pods = || budget(spec.clone(), (1, 0, 1, 1));
        for object in [set, one()].map(|manifest| story.put(manifest).unwrap().new.unwrap()) {
            says(&mut story, of_pods()).expect("it does not know them all");
            story.hears(&controller, WatchEvent::Added(object)).unwrap();
        }
        assert_eq!(says(&mut story, of_pods()), Err("budget b expects 1 pods, 5 are wanted".into()));
        says(&mut story, budget(spec.clone(), (5, 4, 1, 0))).unwrap();
    }
}
