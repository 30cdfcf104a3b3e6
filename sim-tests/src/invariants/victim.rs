//! S-victim: A replica set's controller deletes no more active pods than are too many as far as it was told, first those without a node, then those that do not run yet, those that are not ready, those of a lower cost, those with most others of the set on their node, those that have been ready for much less time, and of those that are ready since one moment, or not, those that were restarted more often; of finished ones only the oldest, and no more than are too many.
//!
//! Pods whose deletion it has asked for already, for the same set, do not count, and may be asked for again: the answer
//! may have been lost. Blamed is only what the store shows as well.
//! Source: Kubernetes
//! documentation, "ReplicaSet", scaling down.
//! Catches: a ranking upside down; a controller that forgets what it has asked for and chooses again.

use super::{Broken, Checker};
use crate::told::{Told, Turn};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, RequestId, Verb};
use miniku_core::time::{Instant, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which deletions one life of a controller has asked for.
#[derive(Default)]
struct Observer {
    turn: Turn,
    asked: Asks,
    /// What was asked for at some time in this life.
    before: Asks,
    open: BTreeMap<RequestId, Ask>,
    /// What was asked for at one moment, and when: it was decided together.
    together: (Instant, Asks),
}

/// The uids of a pod that was to be deleted, and of the set it was of then, if any. Refused ones are no longer asked for.
type Ask = (Text, Option<Text>);
type Asks = BTreeSet<Ask>;

fn owner(pod: &Pod) -> Option<&str> {
    pod.metadata.controller().filter(|owner| owner.kind == "ReplicaSet").map(|owner| owner.uid.as_str())
}

fn ask_for(pod: &Pod) -> Ask {
    (pod.metadata.uid.clone(), owner(pod).map(Into::into))
}

/// The active pods of a set, as this source shows them, whose deletion was not asked for.
fn left<'a>(objects: impl Iterator<Item = &'a Object>, set: &str, asked: &Asks) -> Vec<&'a Pod> {
    let pods = objects.filter_map(Object::get::<Pod>);
    pods.filter(|pod| pod.is_active() && owner(pod) == Some(set) && !asked.contains(&ask_for(pod))).collect()
}

/// How much of a loss a pod would be, the least first: how far it is, and what somebody has said that it costs.
fn loss(pod: &Pod) -> ((bool, bool, bool), i32) {
    let cost = pod.metadata.annotations.get("controller.kubernetes.io/pod-deletion-cost");
    let far = (pod.node().is_some(), pod.status.phase != PodPhase::Pending, pod.is_ready());
    (far, cost.and_then(|cost| cost.parse().ok()).unwrap_or(0))
}

/// Since when a pod says that it is ready.
fn ready_since(pod: &Pod) -> Option<Wall> {
    let ready = pod.status.conditions.iter().find(|one| one.kind == "Ready" && one.status == "True")?;
    ready.last_transition_time.map(Time::wall)
}

/// Whether one has been ready for so much longer that it is no matter of the scale on which that is measured. Kubernetes
/// compares the logarithms. Clocks that are ahead say nothing.
fn is_much_longer(wall: Wall, one: &Pod, other: &Pod) -> bool {
    let (Some(one), Some(other)) = (ready_since(one), ready_since(other)) else { return false };
    let (long, short) = (wall.since(one).as_secs(), wall.since(other).as_secs());
    other <= wall && long > 4 * short + 10
}

/// Since when a pod says that it is ready, and how often its containers were restarted, at most.
fn record(pod: &Pod) -> (Option<Wall>, i32) {
    let restarts = pod.status.container_statuses.iter().map(|one| one.restart_count);
    (ready_since(pod), restarts.max().unwrap_or(0))
}

/// The finished pods of a set that nobody has asked to go.
fn finished<'a>(objects: impl Iterator<Item = &'a Object>, set: &str, asked: &Asks) -> Vec<&'a Pod> {
    let pods = objects.filter_map(Object::get::<Pod>).filter(|pod| pod.status.phase.is_final());
    let kept = pods.filter(|pod| !pod.metadata.is_deleting() && !asked.contains(&ask_for(pod)));
    kept.filter(|pod| owner(pod) == Some(set)).collect()
}

impl Observer {
    /// A finished pod is deleted: more than are wanted were kept, and none older stays.
    fn clears(&self, truth: &Truth, told: Told<'_>, key: &Key, uid: &str) -> Result<(), Broken> {
        let same = |object: &&Object| object.meta().uid == uid;
        let known = told.object(key).filter(same).and_then(Object::get::<Pod>);
        let Some(known) = known.filter(|pod| pod.status.phase.is_final()) else { return Ok(()) };
        let (Some(set), Some(stored)) = (owner(known), truth.object(key).filter(same)) else { return Ok(()) };
        let of =
            |object: &Object| object.get::<ReplicaSet>().filter(|one| one.metadata.uid == set).map(ReplicaSet::wanted);
        let Some(wanted) = told.within(Kind::ReplicaSet, &key.namespace).find_map(of) else { return Ok(()) };
        let as_told = finished(told.within(Kind::Pod, &key.namespace), set, &self.asked);
        // What was asked for before and never answered may have been in vain.
        let vain = |ask: &Ask| self.open.values().any(|open| open == ask) && !self.together.1.contains(ask);
        let surely: Asks = self.asked.iter().filter(|ask| !vain(ask)).cloned().collect();
        let kept = finished(told.within(Kind::Pod, &key.namespace), set, &surely).len();
        if kept <= wanted {
            let what = format!("{} has finished and is deleted, though {wanted} are wanted and {kept} kept", key.name);
            return Err(Broken::by(what).with([stored]));
        }
        let really = finished(truth.disk.objects().values(), set, &self.asked);
        let older = |pod: &&&Pod| {
            pod.metadata.creation_timestamp < known.metadata.creation_timestamp
                && really.iter().any(|one| one.metadata.uid == pod.metadata.uid)
        };
        let many_older = as_told.iter().filter(older).count();
        // All that are too many go together: they are asked for one after the other.
        if many_older >= kept - wanted {
            let what = format!("{} has finished and is deleted, {many_older} older ones are kept", key.name);
            return Err(Broken::by(what).with([stored]));
        }
        Ok(())
    }

    fn deletes(&self, truth: &Truth, told: Told<'_>, wall: Wall, key: &Key, uid: &str) -> Result<(), Broken> {
        let same = |object: &&Object| object.meta().uid == uid;
        let known = told.object(key).filter(same).and_then(Object::get::<Pod>).filter(|pod| pod.is_active());
        let (Some(known), Some(stored)) = (known, truth.object(key).filter(same)) else { return Ok(()) };
        let Some(set) = owner(known) else { return Ok(()) };
        let wanted = |set: &ReplicaSet| set.wanted();
        let of = |object: &Object| object.get::<ReplicaSet>().filter(|one| one.metadata.uid == set).map(wanted);
        let Some(wanted) = told.within(Kind::ReplicaSet, &key.namespace).find_map(of) else { return Ok(()) };
        let as_told = left(told.within(Kind::Pod, &key.namespace), set, &self.asked);
        let pods = truth.disk.objects().within(Kind::Pod, &key.namespace);
        let really = left(pods, set, &self.asked);
        if as_told.len() <= wanted && really.len() <= wanted {
            let what = format!("{} is deleted, though {wanted} are wanted and {} are left", key.name, as_told.len());
            return Err(Broken::by(what).with([stored]));
        }
        let is_as_told = |one: &Pod| {
            let stored = truth.pods.get(&one.metadata.uid).filter(|facts| facts.removed.is_none());
            stored.is_some_and(|facts| loss(facts.pod()) == loss(one) && facts.pod().is_active())
        };
        if !is_as_told(known) {
            return Ok(());
        }
        let is_recorded =
            |one: &Pod| truth.pods.get(&one.metadata.uid).is_some_and(|facts| record(facts.pod()) == record(one));
        let is_wearier = |other: &Pod| {
            let ((since, restarts), (other_since, other_restarts)) = (record(known), record(other));
            since == other_since && other_restarts > restarts && is_recorded(known) && is_recorded(other)
        };
        // Where they were when it was decided: those that go together count.
        let earlier: Asks = self.asked.difference(&self.together.1).cloned().collect();
        let here = |of: &Pod, among: &[&Pod]| among.iter().filter(|one| one.node() == of.node()).count();
        let before = left(told.within(Kind::Pod, &key.namespace), set, &earlier);
        let surely: Vec<&Pod> = before.iter().copied().filter(|one| is_as_told(one)).collect();
        let has = here(known, &before);
        for other in as_told.iter().copied().filter(|one| one.metadata.uid != uid && is_as_told(one)) {
            let alike = loss(other) == loss(known);
            let why = match () {
                () if loss(other).0 == loss(known).0 && loss(other) < loss(known) => "costs less",
                () if loss(other) < loss(known) && other.is_ready() == known.is_ready() => "runs less far",
                () if loss(other) < loss(known) => "is not ready",
                () if alike && here(other, &surely) > has => "has more others on its node",
                // On one node both have as many others beside them, however they are counted.
                () if alike && other.node() == known.node() && is_much_longer(wall, known, other) => {
                    "has been ready for much less time"
                }
                () if alike && other.node() == known.node() && is_wearier(other) => "was restarted more often",
                () => continue,
            };
            let what = format!("{} is deleted, {} {why} and stays", key.name, other.metadata.name);
            return Err(Broken::by(what).with([stored]));
        }
        Ok(())
    }
}

/// Each controller by what it was told itself: there may be two.
#[derive(Default)]
pub struct Victim {
    by: BTreeMap<Arc<str>, Observer>,
}

impl Checker for Victim {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, .. } if who.role == Role::Workloads => {
                self.by.entry(who.name.clone()).or_default().see(truth, fact)
            }
            Fact::Answered { .. } => self.by.values_mut().try_for_each(|one| one.see(truth, fact)),
            _ => Ok(()),
        }
    }
}

impl Observer {
    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, id, request } => {
                let turn = truth.turn(who);
                if self.turn != turn {
                    *self = Observer { turn, ..Observer::default() };
                }
                if let Verb::Delete { key, options } = &request.verb
                    && let Some(uid) = options.uid.as_ref().filter(|_| key.kind == Kind::Pod)
                {
                    if self.together.0 != truth.now {
                        self.together = (truth.now, Asks::new());
                    }
                    let (told, wall) = (truth.told(who), truth.wall(&who.name));
                    let known = told.object(key).and_then(Object::get::<Pod>).filter(|pod| pod.metadata.uid == *uid);
                    let ask = known.map_or((uid.clone(), None), ask_for);
                    if self.before.insert(ask.clone()) {
                        self.deletes(truth, told, wall, key, uid)?;
                        self.clears(truth, told, key, uid)?;
                    }
                    self.asked.insert(ask.clone());
                    self.together.1.insert(ask.clone());
                    self.open.insert(*id, ask);
                }
            }
            Fact::Answered { id, answer } => {
                if let Some(ask) = self.open.remove(id)
                    && matches!(answer, Answer::Refused(_))
                {
                    self.asked.remove(&ask);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::DeleteOptions;
    use serde_json::{Value, json};

    /// A replica set that wants so many pods.
    fn set(replicas: usize) -> Value {
        let mut set = crate::plan::replica_set("web", replicas, "");
        set["metadata"]["uid"] = "web-uid".into();
        set
    }

    /// A pod of it.
    fn of_set(name: &str, node: &str, phase: &str) -> Value {
        let mut pod = pod(name, node, phase);
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web-uid", "controller": true}]);
        pod
    }

    fn story() -> (Story<Victim>, crate::truth::Who) {
        let (mut story, controller) = (Story::<Victim>::new(), who(Role::Workloads, "workloads"));
        let owned = |name: &str, ready: &str| {
            let mut pod = of_set(name, "n", "Running");
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
            pod
        };
        for manifest in [set(2), owned("a", "True"), owned("b", "False"), owned("c", "True")] {
            story.shows(&controller, manifest).unwrap();
        }
        (story, controller)
    }

    fn delete(story: &mut Story<Victim>, who: &crate::truth::Who, name: &str) -> Result<(), Broken> {
        let options = DeleteOptions { uid: Some(format!("{name}-uid").into()), ..Default::default() };
        story.sends(who, Verb::Delete { key: Key::new(Kind::Pod, "default", name), options })
    }

    #[test]
    fn fires_on_the_wrong_victim() {
        let (mut story, controller) = story();
        assert!(delete(&mut story, &controller, "a").unwrap_err().what.contains("b is not ready and stays"));
    }

    #[test]
    fn fires_on_a_pod_that_would_be_missed_more() {
        let check = |first: (&str, &str, i64), second: (&str, &str, i64), third: &str, fires: Option<&str>| {
            let (mut story, controller) = (Story::<Victim>::new(), who(Role::Workloads, "workloads"));
            story.pass(1_000).unwrap();
            let made = |name: &str, (node, phase, ready_for): (&str, &str, i64)| {
                let mut pod = of_set(name, node, phase);
                let since = Time::of(Wall::from_secs(story.truth.wall("workloads").secs() - ready_for)).to_string();
                let ready = if phase == "Running" { "True" } else { "False" };
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": ready, "lastTransitionTime": since}]);
                pod
            };
            let third = (third, "Running", 100);
            let manifests = [set(2), made("a", first), made("b", second), made("c", third)];
            for manifest in manifests {
                story.shows(&controller, manifest).unwrap();
            }
            let what = delete(&mut story, &controller, "a").err().map(|broken| broken.what).unwrap_or_default();
            assert!(fires.map_or(what.is_empty(), |fires| what.contains(fires)), "{first:?} {second:?}: {what}");
        };
        let (n, pending, running) = ("n", "Pending", "Running");
        check((n, pending, 0), ("", pending, 0), n, Some("b runs less far"));
        check(("", pending, 0), (n, pending, 0), n, None);
        check((n, running, 100), ("m", running, 100), "m", Some("b has more others on its node"));
        check((n, running, 100), ("m", running, 100), n, None);
        check((n, running, 900), (n, running, 100), n, Some("b has been ready for much less time"));
        check((n, running, 300), (n, running, 100), n, None);
        check((n, running, 100), (n, running, 900), n, None);
    }

    #[test]
    fn fires_on_a_pod_that_was_restarted_less_often() {
        for (restarts, node, fires) in
            [([1, 3], "n", true), ([3, 1], "n", false), ([2, 2], "n", false), ([1, 3], "m", false)]
        {
            let (mut story, controller) = (Story::<Victim>::new(), who(Role::Workloads, "workloads"));
            let restarted = |name: &str, node: &str, restarts: i32| {
                let mut pod = of_set(name, node, "Running");
                pod["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": restarts}]);
                pod
            };
            for manifest in [set(1), restarted("a", "n", restarts[0]), restarted("b", node, restarts[1])] {
                story.shows(&controller, manifest).unwrap();
            }
            let what = delete(&mut story, &controller, "a").err().map_or(String::new(), |broken| broken.what);
            assert_eq!(what.contains("b was restarted more often and stays"), fires, "{restarts:?} {node}: {what}");
        }
    }

    #[test]
    fn fires_on_a_pod_of_a_higher_cost() {
        for (costs, fires) in [
            (["2", "1"], true),
            (["", "-1"], true),
            (["1", "2"], false),
            (["much", "0"], false),
            (["0", "much"], false),
        ] {
            let (mut story, controller) = (Story::<Victim>::new(), who(Role::Workloads, "workloads"));
            let costing = |name: &str, cost: &str| {
                let mut pod = of_set(name, "n", "Running");
                pod["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": cost});
                pod
            };
            for manifest in [set(1), costing("a", costs[0]), costing("b", costs[1])] {
                story.shows(&controller, manifest).unwrap();
            }
            let what = delete(&mut story, &controller, "a").err().map_or(String::new(), |broken| broken.what);
            let says = if fires { "a is deleted, b costs less and stays" } else { "" };
            assert_eq!(what, says, "{costs:?}");
        }
    }

    #[test]
    fn fires_on_one_victim_too_many() {
        let (mut story, controller) = story();
        delete(&mut story, &controller, "b").unwrap();
        delete(&mut story, &controller, "b").unwrap();
        assert!(delete(&mut story, &controller, "a").unwrap_err().what.contains("2 are wanted"));
    }
}
