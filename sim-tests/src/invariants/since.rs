//! S-since: Since when a condition has its status is told rightly: who gives it another one tells the second that its own clock shows, and who leaves the status leaves the time. When its kubelet has taken on a pod is told once, by that clock, and stays.
//!
//! Of the scheduler, the controllers and the kubelets. Autoscalers are left out: they may say something, and take it back,
//! before they write. Catches: the time of a transition that stays when there was one, or moves when there was none; a pod
//! that has always begun just now, so that nobody knows how long it has been there.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::meta::{Time, parse_rfc3339};
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::api::plain::items;
use miniku_core::api::pod::Pod;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::program::{Part, Verb};
use serde_json::Value;

/// Nothing is remembered.
#[derive(Default)]
pub struct Since;

/// What is said of one aspect of an object.
struct Said<'a> {
    kind: &'a str,
    status: &'a str,
    since: Option<Time>,
}

fn said(object: &Object) -> Vec<Said<'_>> {
    if let Some(pod) = object.get::<Pod>() {
        let all = pod.status.conditions.iter();
        return all.map(|one| Said { kind: &one.kind, status: &one.status, since: one.last_transition_time }).collect();
    }
    if let Some(node) = object.get::<Node>() {
        let all = node.status.conditions.iter();
        return all.map(|one| Said { kind: &one.kind, status: &one.status, since: one.last_transition_time }).collect();
    }
    if let Some(set) = object.get::<ReplicaSet>() {
        let all = set.status.conditions.iter();
        return all.map(|one| Said { kind: &one.kind, status: &one.status, since: one.last_transition_time }).collect();
    }
    let all = items(object, &["status", "conditions"]).iter();
    all.map(|one| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let since = parse_rfc3339(text("lastTransitionTime")).ok().map(Time::of);
        Said { kind: text("type"), status: text("status"), since }
    })
    .collect()
}

fn speaks(role: Role) -> bool {
    match role {
        Role::Scheduler
        | Role::Workloads
        | Role::NodeLifecycle
        | Role::Garbage
        | Role::Namespaces
        | Role::Endpoints
        | Role::Disruption
        | Role::Kubelet => true,
        Role::ApiServer | Role::Horizontal | Role::Operator | Role::Other => false,
    }
}

/// What an object was that is about to be written, if that is known.
pub(super) fn before<'a>(truth: &'a Truth, object: &Object) -> Option<&'a Object> {
    let (key, revision) = (object.key(), object.revision());
    let stored = truth.object(&key).filter(|stored| stored.revision() == revision);
    stored.or_else(|| truth.change(revision).filter(|change| change.key == key)?.new.as_ref())
}

/// What is wrong with what is told of when its kubelet has taken on a pod.
fn taken_on_otherwise(was: &Object, is: &Object, now: Time) -> Option<String> {
    let (was, is) = (was.get::<Pod>()?.status.start_time, is.get::<Pod>()?.status.start_time);
    let told = |at: Option<Time>| at.map_or("never".to_owned(), |at| at.to_string());
    (is != was && (was.is_some() || is != Some(now)))
        .then(|| format!("its kubelet has taken it on: {} before, {} now", told(was), told(is)))
}

impl Checker for Since {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let Verb::Update { object, part: Part::Status } = &request.verb else { return Ok(()) };
        let Some(was) = speaks(who.role).then(|| before(truth, object)).flatten() else { return Ok(()) };
        let (said_before, now) = (said(was), Time::of(truth.wall(&who.name)));
        if let Some(otherwise) = taken_on_otherwise(was, object, now) {
            return Err(Broken::by(format!("{who} says at {now}: {otherwise}")).with([was, object]));
        }
        for one in said(object) {
            let same = said_before.iter().find(|old| old.kind == one.kind && old.status == one.status);
            let right = match same {
                // People need not say it.
                Some(old) => old.since.is_none() || one.since == old.since,
                None => one.since == Some(now),
            };
            if !right {
                let since = one.since.map_or("ever".into(), |since| since.to_string());
                let as_before = if same.is_some() { " as before" } else { "" };
                let (kind, status) = (one.kind, one.status);
                let what = format!("{who} says at {now} that {kind} is {status}{as_before}, since {since}");
                return Err(Broken::by(what).with([was, object]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use crate::world::WALL_START;
    use miniku_core::time::Duration;
    use serde_json::json;

    /// Whether it breaks it if somebody, whose clock is an hour ahead, writes ten seconds after the beginning what becomes
    /// of an object, and since when: so many seconds after the beginning by that clock.
    fn breaks(role: Role, manifest: &Value, was: (&str, Option<u64>), is: (&str, Option<u64>)) -> bool {
        let hour = Duration::from_secs(3_600);
        let (mut story, who) = (Story::<Since>::new(), who(role, "writer"));
        story.truth.askew.insert("writer".into(), 7_200_000_000_000);
        story.truth.clocks.insert("writer".into(), -3_600_000_000_000);
        let with = |(status, since): (&str, Option<u64>)| {
            let mut manifest = manifest.clone();
            let at = since.map(|secs| Time::of(WALL_START + hour + Duration::from_secs(secs)));
            manifest["status"]["conditions"] = json!([{"type": "Ready", "status": status, "lastTransitionTime": at}]);
            manifest
        };
        let stored = story.put(with(was)).unwrap().new.unwrap();
        story.pass(10).unwrap();
        let revision = stored.meta().resource_version.clone();
        let object = crate::plan::object(with(is)).with_meta(|meta| meta.resource_version = revision);
        story.sends(&who, Verb::Update { object, part: Part::Status }).is_err()
    }

    #[test]
    fn fires_on_times_of_transitions_that_stay_or_move() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "a", "uid": "u"}});
        let node = json!({"kind": "Node", "metadata": {"name": "a", "uid": "u"}});
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "a", "uid": "u"}});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a", "uid": "u"}});
        for manifest in [pod, node, set, job] {
            let breaks = |was, is| breaks(Role::Workloads, &manifest, was, is);
            assert!(!breaks(("True", Some(3)), ("False", Some(10))));
            assert!(breaks(("True", Some(3)), ("False", Some(3))), "it stays");
            assert!(breaks(("True", Some(3)), ("False", Some(9))), "it is another");
            assert!(breaks(("True", Some(3)), ("False", None)), "it is gone");
            assert!(!breaks(("True", Some(3)), ("True", Some(3))));
            assert!(breaks(("True", Some(3)), ("True", Some(10))), "it moves");
            assert!(!breaks(("True", None), ("True", Some(10))));
        }
    }

    #[test]
    fn fires_on_a_pod_that_is_taken_on_again() {
        let breaks = |was: Option<u64>, is: Option<u64>| {
            let (mut story, kubelet) = (Story::<Since>::new(), who(Role::Kubelet, "kubelet/n"));
            let with = |since: Option<u64>| {
                let at = since.map(|secs| Time::of(WALL_START + Duration::from_secs(secs)));
                json!({"kind": "Pod", "metadata": {"name": "a", "uid": "u"}, "status": {"startTime": at}})
            };
            let stored = story.put(with(was)).unwrap().new.unwrap();
            story.pass(10).unwrap();
            let revision = stored.meta().resource_version.clone();
            let object = crate::plan::object(with(is)).with_meta(|meta| meta.resource_version = revision);
            story.sends(&kubelet, Verb::Update { object, part: Part::Status }).is_err()
        };
        assert!(!breaks(None, None) && !breaks(None, Some(10)) && !breaks(Some(3), Some(3)));
        assert!(breaks(None, Some(9)), "by another clock");
        assert!(breaks(Some(3), Some(10)), "anew");
        assert!(breaks(Some(3), None), "it is gone");
    }

    #[test]
    fn what_people_and_autoscalers_write_is_theirs() {
        let node = json!({"kind": "Node", "metadata": {"name": "a", "uid": "u"}});
        for role in [Role::Operator, Role::Horizontal] {
            assert!(!breaks(role, &node, ("True", Some(3)), ("False", Some(3))));
        }
    }
}
