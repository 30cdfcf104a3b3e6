//! S-limit: A new pod's containers have what their limit range gives to those that say nothing, and no more than it allows, if it was there, and the same, for a minute.
//!
//! Nobody is refused for a request that was filled in beside a limit. Looked at are the rules for containers, and of those for
//! pods what is the most that all containers together may have. Catches: a default that is not filled in, or where it must
//! not be; a limit that is not looked at.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Container, Pod};
use miniku_core::api::quantity::{Amounts, Quantity};
use miniku_core::program::{Answer, RequestId, Verb};
use miniku_core::time::{Duration, Instant};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// So long a write may have been on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// What is said of a request that is more than the limit.
const BEYOND: &str = "must be less than or equal to";

/// Since when each limit range has been as it is.
#[derive(Default)]
pub struct Limit {
    since: BTreeMap<Key, Instant>,
    /// Pods that were asked for, all of whose containers say a limit for what they request, and no lower one.
    asked: BTreeSet<RequestId>,
}

/// Whether a container asks for more than it may have, or may come to do so when a limit is filled in.
fn contradicts(container: &Container) -> bool {
    let has = &container.resources;
    has.requests.iter().any(|(name, request)| has.limits.get(name).is_none_or(|limit| request > limit))
}

/// What is wrong with all containers together; those with init containers are left out.
fn wrong_together(rule: &Value, pod: &Pod) -> Option<String> {
    let most = Amounts::deserialize(rule.get("max").unwrap_or(&Value::Null)).unwrap_or_default();
    if pod.spec.rest.get("initContainers").is_some() {
        return None;
    }
    most.iter().find_map(|(name, most)| {
        let limits = pod.spec.containers.iter().map(|one| one.resources.limits.get(name).map(Quantity::milli_value));
        let all: u64 = limits.clone().flatten().sum();
        match limits.flatten().next() {
            None => Some(format!("it has no limit of {name}")),
            Some(_) if all > most.milli_value() => Some(format!("its containers get more {name} than {most}")),
            Some(_) => None,
        }
    })
}

fn wrong(rule: &Value, container: &Container) -> Option<String> {
    let amounts = |name: &str| Amounts::deserialize(rule.get(name).unwrap_or(&Value::Null)).unwrap_or_default();
    let has = &container.resources;
    let (requests, limits, most) = (amounts("defaultRequest"), amounts("default"), amounts("max"));
    let no_request =
        requests.iter().find(|(name, _)| !has.requests.contains_key(name) && !has.limits.contains_key(name));
    let no_limit = limits.iter().chain(most.iter()).find(|(name, _)| !has.limits.contains_key(name));
    let beyond = most.iter().find(|(name, most)| has.limits.get(name).is_some_and(|limit| limit > *most));
    let name = &container.name;
    match (no_request, no_limit, beyond) {
        (Some((what, _)), _, _) => Some(format!("{name} requests no {what}")),
        (_, Some((what, _)), _) => Some(format!("{name} has no limit of {what}")),
        (_, _, Some((what, most))) => Some(format!("{name} gets more {what} than {most}")),
        (None, None, None) => None,
    }
}

impl Checker for Limit {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let change = match fact {
            Fact::Durable { change } => change,
            Fact::Sent { id, request, .. } => {
                if let Verb::Create { object } = &request.verb
                    && object.get::<Pod>().is_some_and(|pod| !pod.spec.containers.iter().any(contradicts))
                {
                    self.asked.insert(*id);
                }
                return Ok(());
            }
            Fact::Answered { id, answer } => {
                return match answer {
                    Answer::Refused(status) if self.asked.remove(id) && status.message.contains(BEYOND) => {
                        Err(Broken::by(format!("a pod is refused for what it does not ask for: {}", status.message)))
                    }
                    _ => {
                        self.asked.remove(id);
                        Ok(())
                    }
                };
            }
            _ => return Ok(()),
        };
        let (key, old, new) = (&change.key, change.old.as_ref(), change.new.as_ref());
        let spec = |object: Option<&Object>| object.and_then(|object| object.at(&["spec"])).cloned();
        if key.kind == Kind::LimitRange && spec(old) != spec(new) {
            match new {
                Some(_) => drop(self.since.insert(key.clone(), truth.now)),
                None => drop(self.since.remove(key)),
            }
        }
        let (None, Some(pod)) = (old, new.and_then(Object::get::<Pod>)) else { return Ok(()) };
        for (range, _) in self
            .since
            .iter()
            .filter(|(range, since)| range.namespace == key.namespace && truth.now.since(**since) > ON_ITS_WAY)
        {
            let Some(object) = truth.object(range) else { continue };
            let rules = object.at(&["spec", "limits"]).and_then(Value::as_array).into_iter().flatten();
            for rule in rules {
                let wrong = match rule.get("type").and_then(Value::as_str) {
                    Some("Container") => pod.spec.containers.iter().find_map(|container| wrong(rule, container)),
                    Some("Pod") => wrong_together(rule, pod),
                    _ => None,
                };
                if let Some(wrong) = wrong {
                    return Err(Broken::by(format!("{key}: {wrong}, against {range}")).with([object]).with(new));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::api::status::{Reason, Status};
    use serde_json::json;

    #[test]
    fn fires_on_a_refusal_for_what_was_filled_in() {
        let refused = |requests: Value| {
            let mut story = Story::<Limit>::new();
            let mut pod = pod("a", "", "Pending");
            pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "10m"}, "requests": requests});
            let creation = Verb::Create { object: crate::plan::object(pod) };
            story.sends(&who(Role::Operator, "operator"), creation).unwrap();
            let why = "requests: Invalid value: \"20m\": must be less than or equal to cpu limit of 10m";
            let answer = Answer::Refused(Status::failure(Reason::Invalid, why));
            story.answers(1, &answer).is_err()
        };
        assert!(refused(json!({})));
        assert!(!refused(json!({"cpu": "20m"})));
    }

    #[test]
    fn fires_on_pods_that_get_too_much_together() {
        let fires = |limits: [Value; 2]| {
            let mut story = Story::<Limit>::new();
            let rule = json!({"type": "Pod", "max": {"cpu": "100m"}});
            story.put(json!({"kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [rule]}})).unwrap();
            story.pass(61).unwrap();
            let mut pod = pod("a", "n", "Running");
            let with = |limits: Value| json!({"name": "c", "image": "busybox", "resources": {"limits": limits}});
            pod["spec"]["containers"] = json!(limits.map(with));
            story.put(pod).is_err()
        };
        assert!(!fires([json!({"cpu": "50m"}), json!({"cpu": "50m"})]));
        assert!(!fires([json!({"cpu": "50m"}), json!({})]));
        assert!(fires([json!({"cpu": "50m"}), json!({"cpu": "51m"})]));
        assert!(fires([json!({}), json!({})]));
    }

    #[test]
    fn fires_on_what_is_missing_or_too_much() {
        let check = |resources: Value, want: &str| {
            let mut story = Story::<Limit>::new();
            let rule = json!({"type": "Container", "defaultRequest": {"memory": "8Mi"}, "max": {"cpu": "100m"}});
            story.put(json!({"kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [rule]}})).unwrap();
            let with = |name: &str| {
                let mut pod = pod(name, "n", "Running");
                pod["spec"]["containers"][0]["resources"] = resources.clone();
                pod
            };
            story.put(with("early")).unwrap();
            story.pass(61).unwrap();
            let broken = story.put(with("late")).err().map(|broken| broken.what).unwrap_or_default();
            assert!(broken.contains(want) && broken.is_empty() == want.is_empty(), "{broken}");
        };
        check(json!({"requests": {"memory": "1Mi"}, "limits": {"cpu": "100m"}}), "");
        check(json!({"limits": {"cpu": "100m"}}), "requests no memory");
        check(json!({"requests": {"memory": "1Mi"}}), "has no limit of cpu");
        check(json!({"requests": {"memory": "1Mi"}, "limits": {"cpu": "200m"}}), "gets more cpu than 100m");
    }
}
