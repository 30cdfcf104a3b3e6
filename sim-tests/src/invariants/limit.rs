//! S-limit: A new pod's containers have what their limit range gives to those that say nothing, and no more than it allows, if it was there, and the same, for a minute.
//!
//! Looked at are the rules for containers. Catches: a default that is not filled in; a limit that is not looked at.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Container, Pod};
use miniku_core::api::quantity::Amounts;
use miniku_core::time::{Duration, Instant};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// So long a write may have been on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// Since when each limit range has been as it is.
#[derive(Default)]
pub struct Limit {
    since: BTreeMap<Key, Instant>,
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
        &[Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
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
            for rule in rules.filter(|rule| rule.get("type").and_then(Value::as_str) == Some("Container")) {
                if let Some(wrong) = pod.spec.containers.iter().find_map(|container| wrong(rule, container)) {
                    return Err(Broken::by(format!("{key}: {wrong}, against {range}")).with([object]).with(new));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
    use serde_json::json;

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
