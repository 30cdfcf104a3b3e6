//! S-ordinal: Two pods of one number of a stateful set never run at once, unless the first was given up, by hand or, when its node is gone, by the collector; and where pods wait for one another, one is made only when those before it serve, as far as its controller was told.
//!
//! Given up by hand is what an operator removes without a grace period, as Kubernetes' documentation warns of ("Force Delete
//! StatefulSet Pods"). The collector gives a pod up when it removes it, or before that with the write that calls it failed:
//! from then on it counts as ended, and its set's controller may be the first to see that, and remove it. Whether its node
//! is gone, S-lost judges. Source: `pkg/controller/podgc`, `markFailedAndDeletePodWithCondition`;
//! `pkg/controller/statefulset`, `processReplica`.
//! Catches: a successor for a pod that is only out of reach; one that does not wait for its turn.

use miniku_core::api::text::Text;
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::statefulset::{PodManagementPolicy, StatefulSet};
use miniku_core::controllers::statefulset::plan::number_of;
use miniku_core::program::{Part, Revision, Verb};
use std::collections::{BTreeMap, BTreeSet};

/// Each controller by what it was told, and whom somebody gave up.
#[derive(Default)]
pub struct Ordinal {
    /// Uids of pods that were removed, or called failed, whether or not they still run.
    given_up: BTreeSet<Text>,
    /// The newest state of each pod, by uid, that the collector has asked to be called failed. What is refused gives up
    /// nobody.
    writing_off: BTreeMap<Text, Revision>,
}

/// The name and uid of the stateful set that controls an object.
fn set_of(object: &Object) -> Option<(&str, &str)> {
    object.meta().controller().filter(|by| by.kind == "StatefulSet").map(|by| (by.name.as_str(), by.uid.as_str()))
}

/// A pod that is stored, or is to be, as failed.
fn is_failed(object: &Object) -> bool {
    object.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Failed)
}

/// Why a pod should not be made yet.
fn early(told: &Told, new: &Object) -> Option<String> {
    let (name, uid) = set_of(new)?;
    let namespace = &new.meta().namespace;
    let object = told.object(&Key::new(Kind::StatefulSet, namespace, name)).filter(|set| set.meta().uid == *uid)?;
    let set = object.read::<StatefulSet>()?;
    if set.spec.pod_management_policy != PodManagementPolicy::OrderedReady {
        return None;
    }
    let number = number_of(name, &new.meta().name)?;
    let serves = |before: &i64| {
        let pod = told.object(&Key::new(Kind::Pod, namespace, &format!("{name}-{before}")));
        let own = pod.filter(|pod| set_of(pod).is_some_and(|(_, of)| of == uid)).and_then(Object::get::<Pod>);
        own.is_some_and(|pod| pod.is_ready() && pod.is_active())
    };
    let before = set.wanted().take_while(|before| *before < number).find(|before| !serves(before))?;
    Some(format!("is made, and {name}-{before} does not serve"))
}

impl Checker for Ordinal {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable, Sight::Started]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, request, .. } => match &request.verb {
                Verb::Create { object } if who.role == Role::Workloads && object.kind() == Kind::Pod => {
                    if let Some(early) = early(truth.told(who), object) {
                        return Err(Broken::by(format!("{} {early}", object.key())).with([object]));
                    }
                }
                Verb::Delete { key, options }
                    if options.grace_seconds == Some(0) && matches!(who.role, Role::Operator | Role::Garbage) =>
                {
                    let known = truth.meant(key, options).filter(|object| object.kind() == Kind::Pod);
                    self.given_up.extend(known.map(|object| object.meta().uid.clone()));
                }
                Verb::Update { object, part: Part::Status } if who.role == Role::Garbage && is_failed(object) => {
                    let newest = self.writing_off.entry(object.meta().uid.clone()).or_insert(object.revision());
                    *newest = object.revision().max(*newest);
                }
                _ => {}
            },
            Fact::Durable { change } => {
                // Of two writes to one state the API server takes one.
                let failed =
                    change.old.as_ref().zip(change.new.as_ref()).filter(|(old, new)| !is_failed(old) && is_failed(new));
                if let Some((old, new)) = failed
                    && self.writing_off.remove(&new.meta().uid) == Some(old.revision())
                {
                    self.given_up.insert(new.meta().uid.clone());
                }
            }
            Fact::Started { node, process } => {
                let new = truth.pods.get(&process.pod.uid).map(|facts| &facts.last).filter(|new| set_of(new).is_some());
                let Some(new) = new else { return Ok(()) };
                let twin = |(uid, _): &&(Text, Text)| {
                    let other = truth.pods.get(uid).map(|facts| &facts.last);
                    *uid != process.pod.uid
                        && !self.given_up.contains(uid)
                        && other.is_some_and(|other| other.key() == new.key() && set_of(other).is_some())
                };
                if let Some(old) = truth.processes.keys().find(twin) {
                    let facts = truth.pods.get(&old.0).map(|facts| &facts.last);
                    let on: Vec<String> = truth.processes_of(&old.0).map(|(on, _)| on.to_string()).collect();
                    let what = format!("{} runs on {node}, and an earlier one still on {}", new.key(), on.join(", "));
                    return Err(Broken::by(what).with(facts).with([new]));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use crate::runtime::Process;
    use miniku_core::kubelet::runtime::PodRef;
    use miniku_core::program::{CallId, DeleteOptions, Input, RequestId, WatchEvent};
    use serde_json::{Value, json};

    fn pod(name: &str, uid: &str, ready: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": name, "uid": uid, "namespace": "default",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    /// What becomes of the first before a second of its number runs.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum First {
        OutOfReach,
        ForcedByHand,
        /// Somebody has forced one that had the second's number before it.
        OtherForced,
        /// The collector has asked that it be called failed, and it is.
        WrittenOff,
        /// It has asked, and was refused: somebody else has written first.
        NotWrittenOff,
        /// It is called failed, and not by the collector.
        SaidToHaveFailed,
    }

    #[test]
    fn fires_on_two_of_one_number() {
        use First::{ForcedByHand, NotWrittenOff, OtherForced, OutOfReach, SaidToHaveFailed, WrittenOff};
        for what in [OutOfReach, ForcedByHand, OtherForced, WrittenOff, NotWrittenOff, SaidToHaveFailed] {
            let mut story = Story::<Ordinal>::new();
            let start = |story: &mut Story<Ordinal>, node: &str, uid: &str| {
                let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "db-0".into() };
                let process = Process { pod, container: "c".into(), attempt: 0, pid: 7 };
                story.truth.started(&node.into(), &process);
                story.see(Fact::Started { node, process: &process })
            };
            let ask = |story: &mut Story<Ordinal>, role: Role, verb: Verb| {
                story.see(Fact::Sent { who: &who(role, "x"), id: RequestId(1), request: &verb.into() }).unwrap();
            };
            let mut first = story.put(pod("db-0", "one", "True")).unwrap().new.unwrap();
            start(&mut story, "n", "one").unwrap();
            let failed = first.with(|pod: &mut Pod| pod.status.phase = PodPhase::Failed);
            if matches!(what, ForcedByHand | OtherForced) {
                let uid = (what == OtherForced).then(|| "zero".into());
                let options = DeleteOptions { grace_seconds: Some(0), uid, ..DeleteOptions::default() };
                ask(&mut story, Role::Operator, Verb::Delete { key: first.key(), options });
            }
            if matches!(what, WrittenOff | NotWrittenOff) {
                ask(&mut story, Role::Garbage, Verb::Update { object: failed.clone(), part: Part::Status });
            }
            if what == NotWrittenOff {
                story.put(pod("db-0", "one", "False")).unwrap();
            }
            if matches!(what, WrittenOff | NotWrittenOff | SaidToHaveFailed) {
                first = story.write(&failed, false).unwrap().new.unwrap();
            }
            story.write(&first, true).unwrap();
            story.put(pod("db-0", "two", "False")).unwrap();
            let fires = !matches!(what, ForcedByHand | WrittenOff);
            assert_eq!(start(&mut story, "m", "two").is_err(), fires, "{what:?}");
        }
    }

    #[test]
    fn fires_on_one_that_does_not_wait_for_its_turn() {
        for (policy, ready, fires) in
            [("OrderedReady", "False", true), ("OrderedReady", "True", false), ("Parallel", "False", false)]
        {
            let mut story = Story::<Ordinal>::new();
            let controller = who(Role::Workloads, "workloads");
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": "db", "uid": "s", "namespace": "default"},
                "spec": {"replicas": 2, "podManagementPolicy": policy, "selector": {}, "template": {}}});
            for object in [set, pod("db-0", "one", ready)] {
                let event = WatchEvent::Modified(story.put(object).unwrap().new.unwrap());
                story.see(Fact::Heard { who: &controller, input: &Input::Event { call: CallId(1), event } }).unwrap();
            }
            let request = Verb::Create { object: crate::plan::object(pod("db-1", "two", "False")) }.into();
            let sent = story.see(Fact::Sent { who: &controller, id: RequestId(1), request: &request });
            assert_eq!(sent.is_err(), fires, "{policy} {ready}");
        }
    }
}
