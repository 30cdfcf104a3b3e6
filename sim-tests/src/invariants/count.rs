//! S-count: When a pod of a replica set is created, the set has no more pods than some spec.replicas since the one its controller knew when it asked.
//!
//! Pods that finished or are being deleted do not count, nor do adopted ones: they may come while a request is on its
//! way. What the controller knew is what was delivered to it. The request may have been on its way for long; so the
//! versions are counted from the one known when it was sent. A creation that a former life had asked for may come late
//! and be one too many, if a pod of the set has gone since: the next life takes the name that became free. So may one
//! that is asked for again, since nobody has told the controller that the pod was made and has gone; or, though it was
//! told, since one request comes when the pod that the other made has gone: while that went its name was in use, and
//! another was made in its place. The surplus goes again. So does what is made for a set that is gone.
//! Catches: a controller that counts its stale view and creates again; twins after a lost reply or a restart.

use super::{Broken, Checker};
use crate::told::Turn;
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::by_key::Keys;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::program::{Answer, Input, Revision, Verb, WatchEvent};
use miniku_core::store::Change;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was known and true when a pod was asked for.
struct Asked {
    /// The revision of its set that was known; the oldest of several.
    known: Revision,
    /// Who asked last, and in which turn.
    by: Arc<str>,
    turn: Turn,
    /// The newest revision there was when it was first asked for.
    at: Revision,
    /// A pod of this name had gone, which the controller had not heard.
    unaware: bool,
}

/// Versions of each set, what its controller knows, and its pods.
#[derive(Default)]
pub struct Count {
    /// By uid: since which revision how many were wanted.
    wanted: BTreeMap<String, Vec<(Revision, usize)>>,
    /// By controller, of which there may be two, and uid: the revision that it saw last.
    known: BTreeMap<(Arc<str>, String), Revision>,
    /// By pod whose creation was asked for.
    asked: BTreeMap<Key, Asked>,
    /// The turn that each controller is in.
    turns: BTreeMap<Arc<str>, Turn>,
    /// By uid of the set: when a pod of it was removed last.
    removed: BTreeMap<String, Revision>,
    /// When the last pod of this name was removed.
    gone: BTreeMap<Key, Revision>,
    /// The newest revision of a pod that each controller has heard of.
    heard: BTreeMap<Arc<str>, Revision>,
    /// By uid of the set.
    pods: BTreeMap<String, Keys>,
    /// Pods that were not made for the set that has them, or not by the life that counts now, or too late.
    adopted: BTreeSet<Key>,
}

fn owner(object: &Object) -> Option<&str> {
    object.meta().controller().filter(|owner| owner.kind == "ReplicaSet").map(|owner| owner.uid.as_str())
}

fn counted(object: Option<&Object>) -> Option<&str> {
    object.filter(|object| object.get::<Pod>().is_some_and(Pod::is_active)).and_then(owner)
}

impl Count {
    fn knows(&mut self, who: &Who, object: &Object) {
        match object.kind() {
            Kind::ReplicaSet => {
                self.known.insert((who.name.clone(), object.meta().uid.to_string()), object.revision());
            }
            Kind::Pod => self.heard_until(who, object.revision()),
            _ => {}
        }
    }

    fn heard_until(&mut self, who: &Who, revision: Revision) {
        let heard = self.heard.entry(who.name.clone()).or_default();
        *heard = revision.max(*heard);
    }

    /// The most that were wanted at some time from this revision on.
    fn most(&self, uid: &str, from: Revision) -> Option<usize> {
        let versions = self.wanted.get(uid)?;
        let first = versions.partition_point(|(revision, _)| *revision <= from).saturating_sub(1);
        versions[first..].iter().map(|(_, wanted)| *wanted).max()
    }
}

impl Checker for Count {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Heard, Sight::Sent, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::Workloads => {
                self.turns.insert(who.name.clone(), truth.turn(who));
                self.hears(who, input);
            }
            Fact::Sent { who, request, .. } if who.role == Role::Workloads => {
                if let Verb::Create { object } = &request.verb
                    && let Some(uid) = owner(object)
                {
                    self.asks(truth, who, object, uid);
                }
            }
            Fact::Durable { change } => return self.changed(truth, change),
            _ => {}
        }
        Ok(())
    }
}

impl Count {
    fn hears(&mut self, who: &Who, input: &Input) {
        match input {
            Input::Reply { answer: Answer::List { items, .. }, .. } => {
                items.iter().for_each(|item| self.knows(who, item));
            }
            Input::Event { event: WatchEvent::Deleted(object), .. } if object.kind() == Kind::Pod => {
                self.heard_until(who, object.revision());
            }
            // What it asks for one by one, it asks for another reason: it decides on its view.
            Input::Event { event: WatchEvent::Added(object) | WatchEvent::Modified(object), .. } => {
                self.knows(who, object);
            }
            _ => {}
        }
    }

    /// A controller asks for a pod of a set.
    fn asks(&mut self, truth: &Truth, who: &Who, pod: &Object, set: &str) {
        let known = self.known.get(&(who.name.clone(), set.to_owned())).copied().unwrap_or_default();
        let (by, turn, at) = (who.name.clone(), truth.turn(who), truth.disk.revision());
        self.turns.insert(by.clone(), turn);
        let heard = self.heard.get(&by).copied().unwrap_or_default();
        let unaware = self.gone.get(&pod.key()).is_some_and(|gone| *gone > heard);
        let new = Asked { known, by: by.clone(), turn, at, unaware: false };
        let asked = self.asked.entry(pod.key()).or_insert(new);
        (asked.known, asked.by, asked.turn) = (known.min(asked.known), by, turn);
        asked.unaware |= unaware;
    }

    /// Something is stored: a wish is remembered, and a pod counts for its set, or counts no more.
    fn changed(&mut self, truth: &Truth, change: &Change) -> Result<(), Broken> {
        if let Some(set) = change.new.as_ref().and_then(Object::get::<ReplicaSet>) {
            let versions = self.wanted.entry(set.metadata.uid.to_string()).or_default();
            if versions.last().is_none_or(|(_, wanted)| *wanted != set.wanted()) {
                versions.push((change.revision, set.wanted()));
            }
        }
        if let Some(uid) = change.old.as_ref().filter(|_| change.new.is_none()).and_then(owner) {
            self.removed.insert(uid.to_owned(), change.revision);
            self.gone.insert(change.key.clone(), change.revision);
        }
        if let Some(uid) = counted(change.old.as_ref())
            && let Some(pods) = self.pods.get_mut(uid)
        {
            pods.remove(&change.key);
        }
        match counted(change.new.as_ref()) {
            Some(uid) => self.counts(truth, change, uid),
            None => Ok(()),
        }
    }

    /// A pod counts for a set of this uid: whether it is one too many, if it is new.
    fn counts(&mut self, truth: &Truth, change: &Change, uid: &str) -> Result<(), Broken> {
        let asked = if change.old.is_none() { self.asked.remove(&change.key) } else { None };
        let is_late = self.is_late(change, uid, asked.as_ref());
        match &change.old {
            None if is_late => drop(self.adopted.insert(change.key.clone())),
            None => drop(self.adopted.remove(&change.key)),
            Some(old) if owner(old) != Some(uid) => drop(self.adopted.insert(change.key.clone())),
            Some(_) => {}
        }
        let pods = self.pods.entry(uid.to_owned()).or_default();
        if !self.adopted.contains(&change.key) {
            pods.add(change.key.clone());
        }
        let have = pods.len();
        if change.old.is_some() {
            return Ok(());
        }
        let from = asked.map(|asked| asked.known).unwrap_or_default();
        let Some(most) = self.most(uid, from) else { return Ok(()) };
        // What is made for a set that is gone is collected.
        let lives = |set: &ReplicaSet| set.metadata.uid == uid;
        if have > most && truth.all::<ReplicaSet>().any(lives) {
            let pods: Vec<String> = self.pods[uid].keys().map(|pod| pod.name.to_string()).collect();
            let what = format!("{have} pods where at most {most} were wanted since @{from}: {}", pods.join(", "));
            return Err(Broken::by(what).with(&change.new));
        }
        Ok(())
    }

    /// Whether a pod may be one too many though nobody asked for too many: what was asked for came late.
    fn is_late(&self, change: &Change, uid: &str, asked: Option<&Asked>) -> bool {
        match asked {
            Some(asked) if asked.unaware => true,
            // The next life took the names that this one did not know to be free, and could not know of it.
            Some(asked) => {
                let over = self.turns.get(&asked.by).is_some_and(|turn| asked.turn < *turn);
                over && self.removed.get(uid).is_some_and(|removed| *removed > asked.at.min(asked.known))
            }
            // Nobody has asked since one of this name was made: it was asked for twice, and that one has gone.
            None => self.gone.contains_key(&change.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::Query;
    use serde_json::json;

    fn set(replicas: usize) -> serde_json::Value {
        let mut set = crate::plan::replica_set("web", replicas, "");
        set["metadata"]["uid"] = "web-uid".into();
        set
    }

    fn owned(name: &str) -> serde_json::Value {
        let mut pod = pod(name, "", "Pending");
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web-uid", "controller": true}]);
        pod
    }

    #[test]
    fn fires_on_a_twin() {
        let mut story = Story::<Count>::new();
        story.put(set(2)).unwrap();
        for name in ["a", "b"] {
            story.put(owned(name)).unwrap();
        }
        assert!(story.put(owned("c")).unwrap_err().what.starts_with("3 pods where at most 2"));
    }

    #[test]
    fn a_request_may_come_from_earlier_times() {
        let mut story = Story::<Count>::new();
        let controller = who(Role::Workloads, "workloads");
        let change = story.put(set(2)).unwrap();
        let event = WatchEvent::Added(change.new.unwrap());
        story.hears(&controller, event).unwrap();
        for name in ["a", "b"] {
            let object = crate::plan::object(owned(name));
            story.sends(&controller, Verb::Create { object }).unwrap();
        }
        let change = story.put(set(1)).unwrap();
        story.put(owned("a")).unwrap();
        story.put(owned("b")).unwrap();
        let event = WatchEvent::Modified(change.new.unwrap());
        story.hears(&controller, event).unwrap();
        let object = crate::plan::object(owned("c"));
        story.asks(2, &controller, Verb::Create { object }).unwrap();
        assert!(story.put(owned("c")).is_err());
    }

    #[test]
    fn one_of_two_requests_may_come_when_what_the_other_made_has_gone() {
        let mut story = Story::<Count>::new();
        let controller = who(Role::Workloads, "workloads");
        let ask = |story: &mut Story<Count>, name: &str| {
            story.sends(&controller, Verb::Create { object: crate::plan::object(owned(name)) }).unwrap();
        };
        story.put(set(1)).unwrap();
        // The first is late, so that it is taken for lost, and the second makes the pod.
        ask(&mut story, "a");
        ask(&mut story, "a");
        story.put(owned("a")).unwrap();
        let mut going = owned("a");
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        story.put(going.clone()).unwrap();
        // Its name is in use.
        ask(&mut story, "b");
        story.put(owned("b")).unwrap();
        let change = story.write(&crate::plan::object(going), true).unwrap();
        let event = change.seen_by(&Query::all(Kind::Pod)).unwrap();
        story.hears(&controller, event).unwrap();
        story.put(owned("a")).unwrap();
        ask(&mut story, "c");
        assert!(story.put(owned("c")).unwrap_err().what.starts_with("2 pods where at most 1"));
    }
}
