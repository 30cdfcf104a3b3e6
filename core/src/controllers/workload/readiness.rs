//! For how long a pod has been ready.

use crate::api::meta::Time;
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::Pod;
use crate::client::Change;
use crate::time::{Duration, Instant, Now, Wall};
use std::collections::BTreeMap;

/// Since when pods are ready that say so by a clock which is ahead of ours. Lost with the program.
///
/// A pod tells itself since when it is ready, by the clock of its node. If that is hours ahead, it would not count as
/// available before our clock is there; so it counts from when it was seen.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    seen: BTreeMap<Key, Instant>,
}

impl Readiness {
    /// Takes in a change of an object.
    pub fn notice(&mut self, now: Now, change: &Change) {
        let (old, new) = change.sides();
        let since = |object: Option<&Object>| object.and_then(Object::get::<Pod>).and_then(ready_since);
        let (before, after) = (since(old), since(new));
        if before.is_some()
            && before != after
            && let Some(old) = old
        {
            self.seen.remove(&old.key());
        }
        if let (Some(new), Some(after)) = (new, after)
            && after > now.wall
        {
            self.seen.entry(new.key()).or_insert(now.mono);
        }
    }

    /// For how long a pod has been ready; none if it is not.
    pub fn ready_for(&self, now: Now, pod: &Pod) -> Option<Duration> {
        let said = now.wall.since(ready_since(pod)?);
        if self.seen.is_empty() {
            return Some(said);
        }
        let key = Key::new(Pod::KIND, &pod.metadata.namespace, &pod.metadata.name);
        let seen = self.seen.get(&key).map(|since| now.mono.since(*since));
        Some(said.max(seen.unwrap_or_default()))
    }
}

/// Since when a pod says that it is ready; none if it is not.
fn ready_since(pod: &Pod) -> Option<Wall> {
    let ready = pod.status.conditions.iter().find(|one| one.kind == "Ready" && one.status == "True")?;
    ready.last_transition_time.map(Time::wall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, ready: &str, at: &str) -> Object {
        let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": at});
        let metadata = json!({"name": "a", "namespace": "default", "uid": uid});
        Object::from_value(Pod::KIND, json!({"metadata": metadata, "status": {"conditions": [condition]}})).unwrap()
    }

    fn now(secs: u64) -> Now {
        let wall = i64::try_from(secs).unwrap();
        Now { mono: Instant::default() + Duration::from_secs(secs), wall: Wall::from_secs(wall) }
    }

    #[test]
    fn what_is_seen_counts_where_a_clock_is_ahead() {
        let mut readiness = Readiness::default();
        let ready = |readiness: &Readiness, secs, pod: &Object| {
            readiness.ready_for(now(secs), pod.get().unwrap()).map(|time| time.as_secs())
        };
        let (one, next) = (pod("1", "True", "1970-01-01T01:00:00Z"), pod("2", "True", "1970-01-01T02:00:00Z"));
        let over = pod("2", "False", "1970-01-01T03:00:00Z");
        assert_eq!(ready(&readiness, 0, &over), None);
        assert_eq!(ready(&readiness, 3_605, &one), Some(5), "as it says");
        readiness.notice(now(10), &Change::Added(one.clone()));
        readiness.notice(now(14), &Change::Modified { old: one.clone(), new: one.clone() });
        assert_eq!(ready(&readiness, 17, &one), Some(7));
        readiness.notice(now(20), &Change::Modified { old: one, new: next.clone() });
        assert_eq!(ready(&readiness, 22, &next), Some(2), "another pod of its name");
        readiness.notice(now(30), &Change::Modified { old: next, new: over });
        readiness.notice(now(9_000), &Change::Added(pod("3", "True", "1970-01-01T02:00:00Z")));
        assert!(readiness.seen.is_empty());
    }
}
