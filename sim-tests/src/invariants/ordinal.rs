//! S-ordinal: Two pods of one number of a stateful set never run at once, unless the first was given up with its node or by hand; and where pods wait for one another, one is made only when those before it serve, as far as its controller was told.
//!
//! Given up by hand is what an operator removes without a grace period, as Kubernetes' documentation warns of ("Force Delete
//! StatefulSet Pods"). Catches: a successor for a pod that is only out of reach; one that does not wait for its turn.

use miniku_core::api::text::Text;
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::statefulset::{PodManagementPolicy, StatefulSet};
use miniku_core::controllers::statefulset::plan::number_of;
use miniku_core::program::Verb;
use std::collections::BTreeSet;

/// Each controller by what it was told, and whom somebody gave up.
#[derive(Default)]
pub struct Ordinal {
    /// Uids of pods that were removed whether or not they still run.
    given_up: BTreeSet<Text>,
}

/// The name and uid of the stateful set that controls an object.
fn set_of(object: &Object) -> Option<(&str, &str)> {
    object.meta().controller().filter(|by| by.kind == "StatefulSet").map(|by| (by.name.as_str(), by.uid.as_str()))
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
        &[Sight::Sent, Sight::Started]
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
                    let known = truth.object(key).filter(|object| object.kind() == Kind::Pod);
                    self.given_up.extend(known.map(|object| object.meta().uid.clone()));
                }
                _ => {}
            },
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

    #[test]
    fn fires_on_two_of_one_number() {
        for given_up in [false, true] {
            let mut story = Story::<Ordinal>::new();
            let start = |story: &mut Story<Ordinal>, node: &str, uid: &str| {
                let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "db-0".into() };
                let process = Process { pod, container: "c".into(), attempt: 0, pid: 7 };
                story.truth.started(&node.into(), &process);
                story.see(Fact::Started { node, process: &process })
            };
            let first = story.put(pod("db-0", "one", "True")).unwrap();
            start(&mut story, "n", "one").unwrap();
            if given_up {
                let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
                let request = Verb::Delete { key: first.key.clone(), options }.into();
                let sent = Fact::Sent { who: &who(Role::Operator, "operator"), id: RequestId(1), request: &request };
                story.see(sent).unwrap();
            }
            story.write(first.new.as_ref().unwrap(), true).unwrap();
            story.put(pod("db-0", "two", "False")).unwrap();
            assert_eq!(start(&mut story, "m", "two").is_err(), !given_up);
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
