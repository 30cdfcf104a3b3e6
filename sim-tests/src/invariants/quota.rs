//! S-quota: No new pod makes its namespace use more than a quota allows that was there, and the same, for a minute.
//!
//! Looked at are `pods` and `requests.cpu`, of quotas without scopes: what is stored, counted anew each time. Catches: two
//! writes that spend the same room; a pod that has ended and goes on being counted, or one that is not counted yet.

use super::wants::wants_of;
use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::quantity::Quantity;
use miniku_core::time::{Duration, Instant};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// So long a write may have been on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// Since when each quota has been as it is.
#[derive(Default)]
pub struct Quota {
    since: BTreeMap<Key, Instant>,
}

fn spec(object: Option<&Object>) -> Option<&Value> {
    object?.at(&["spec"])
}

/// What the pods of a namespace use that have not ended.
pub(super) fn used(truth: &Truth, namespace: &str, resource: &str) -> u64 {
    let pods = truth.disk.objects().within(Kind::Pod, namespace);
    let living = pods.filter_map(Object::get::<Pod>).filter(|pod| !pod.status.phase.is_final());
    match resource {
        "pods" => living.count() as u64 * 1_000,
        _ => living.map(|pod| wants_of(pod, "cpu")).sum(),
    }
}

/// What a quota allows of a resource, in thousandths.
pub(super) fn hard(quota: &Object, resource: &str) -> Option<u64> {
    let unscoped = quota.at(&["spec", "scopes"]).is_none() && quota.at(&["spec", "scopeSelector"]).is_none();
    let hard = quota.at(&["spec", "hard", resource]).filter(|_| unscoped)?;
    Some(Quantity::deserialize(hard).ok()?.milli_value())
}

impl Checker for Quota {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        let (key, old, new) = (&change.key, change.old.as_ref(), change.new.as_ref());
        if key.kind == Kind::ResourceQuota && spec(old) != spec(new) {
            self.since.insert(key.clone(), truth.now);
        }
        if let (Kind::Pod, None, Some(_)) = (key.kind, old, new) {
            for (quota, since) in self.since.iter().filter(|(quota, _)| quota.namespace == key.namespace) {
                let Some(object) = truth.object(quota).filter(|_| truth.now.since(*since) > ON_ITS_WAY) else {
                    continue;
                };
                for resource in ["pods", "requests.cpu"] {
                    let (used, hard) = (used(truth, &key.namespace, resource), hard(object, resource));
                    if let Some(hard) = hard.filter(|hard| used > *hard) {
                        let what =
                            format!("with {key} {used} thousandths of {resource} are used, {quota} allows {hard}");
                        return Err(Broken::by(what).with([object]));
                    }
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
    fn fires_on_a_pod_too_many() {
        let mut story = Story::<Quota>::new();
        let limits = |hard: Value| json!({"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
        story.put(limits(json!({"pods": "1"}))).unwrap();
        story.put(pod("a", "n", "Running")).unwrap();
        story.put(pod("b", "n", "Running")).unwrap();
        story.pass(100).unwrap();
        assert!(story.put(pod("c", "n", "Running")).unwrap_err().what.contains("3000 thousandths of pods"));
        story.put(pod("d", "n", "Succeeded")).unwrap_err();
        // Four run, of 600 thousandths each, and one has ended.
        story.put(limits(json!({"requests.cpu": "2"}))).unwrap();
        story.pass(100).unwrap();
        assert!(story.put(pod("e", "n", "Running")).unwrap_err().what.contains("2400 thousandths of requests.cpu"));
    }
}
