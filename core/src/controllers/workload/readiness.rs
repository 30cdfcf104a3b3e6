//! For how long a pod has been ready.

use crate::api::meta::Time;
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::{Pod, PodCondition};
use crate::client::Change;
use crate::time::{Duration, Instant, Now, Wall};
use std::collections::BTreeMap;

/// Since when pods are ready that say so by a clock which is ahead of ours. Lost with the program.
///
/// A pod tells itself since when it is ready, by the clock of its node. If that is hours ahead, it would not count as
/// available before our clock is there; so it counts from when it was seen. Nor would it when our own clock was ahead, too,
/// and has been set right since: then it counts from that moment.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    seen: BTreeMap<Key, Instant>,
    /// The clocks when they were looked at last.
    last: Option<Now>,
}

/// A wall clock that goes back by less in one step has not been set.
const SLACK: Duration = Duration::from_secs(1);

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
        new.into_iter().for_each(|new| self.look(now, new));
    }

    /// Whether the wall clock was set back since this was asked last: then all pods are to be [looked at](Self::look).
    pub fn is_set_back(&mut self, now: Now) -> bool {
        let last = self.last.replace(now);
        last.is_some_and(|last| now.wall + SLACK < last.wall + now.mono.since(last.mono))
    }

    /// A pod that is ready since a time that is still to come counts from now on, if it does not yet.
    pub fn look(&mut self, now: Now, object: &Object) {
        if object.get::<Pod>().and_then(ready_since).is_some_and(|since| since > now.wall) {
            self.seen.entry(object.key()).or_insert(now.mono);
        }
    }

    /// For how long a pod has been ready; none if it is not.
    pub fn ready_for(&self, now: Now, pod: &Pod) -> Option<Duration> {
        // Where it does not say since when, it has been so for no time yet: enough, if no time is asked for.
        let Some(since) = ready(pod)?.last_transition_time else { return Some(Duration::ZERO) };
        let said = now.wall.since(since.wall());
        if self.seen.is_empty() {
            return Some(said);
        }
        let key = Key::new(Pod::KIND, &pod.metadata.namespace, &pod.metadata.name);
        let seen = self.seen.get(&key).map(|since| now.mono.since(*since));
        Some(said.max(seen.unwrap_or_default()))
    }
}

/// Where a pod says that it is ready.
fn ready(pod: &Pod) -> Option<&PodCondition> {
    pod.status.conditions.iter().find(|one| one.kind == "Ready" && one.status == "True")
}

/// Since when a pod says that it is ready; none if it is not, or does not say.
fn ready_since(pod: &Pod) -> Option<Wall> {
    ready(pod)?.last_transition_time.map(Time::wall)
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

    #[test]
    fn who_does_not_say_since_when_is_ready_all_the_same() {
        let conditions = json!([{"type": "Ready", "status": "True"}]);
        let pod: Pod = serde_json::from_value(json!({"status": {"conditions": conditions}})).unwrap();
        assert_eq!(Readiness::default().ready_for(now(5), &pod), Some(Duration::ZERO));
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed() {
        let at = |mono: u64, wall: u64| Now { wall: now(wall).wall, ..now(mono) };
        let mut readiness = Readiness::default();
        let pod = pod("1", "True", "1970-01-01T01:00:00Z");
        assert!(!readiness.is_set_back(at(10, 3_610)));
        readiness.notice(at(10, 3_610), &Change::Added(pod.clone()));
        assert!(!readiness.is_set_back(at(20, 3_620)));
        assert!(readiness.is_set_back(at(30, 30)), "an hour");
        readiness.look(at(30, 30), &pod);
        assert_eq!(readiness.ready_for(at(37, 37), pod.get().unwrap()), Some(Duration::from_secs(7)));
        assert!(!readiness.is_set_back(at(40, 40)));
        assert!(!readiness.is_set_back(at(41, 9_000)), "forward");
    }
}
