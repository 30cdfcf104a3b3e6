//! S-owner: A pod's controller is never replaced by another, and is of its namespace. It takes a pod only when it has just asked whether it is going itself, and not once it was told that it is; none that it was told has finished or is going, none that it does not select, and none whose name a stateful set has not to give. Whom it takes or lets go keeps its other owners. Whom a workload makes or takes names it as its controller, whose end waits for it. A set that is made for a deployment selects the pods of no other set of it. A replica set's controller deletes no pod of a former set of that name. The collector deletes nothing that an owner holds or has let go, and takes no living owner away, unless somebody else asked that owner to let go.
//!
//! An owner holds what names it while it exists and does not wait for its children to go; kinds that nobody knows are
//! taken to exist. One that is going and was also asked to take its children along may hold them or not. Who was made for
//! an owner that was gone already was never let go; nor was, perhaps, who came when the collector had asked already which
//! children there are: what it asked for may have been on its way. A pod of a missing node is no matter of owners.
//! Catches: an owner that is absent from a cache taken for gone; adoption by force, or of whoever comes along; an
//! orphan that is collected.

use super::{Broken, Checker, number};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::OwnerReference;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::selector::LabelSelector;
use miniku_core::api::text::Text;
use miniku_core::apiserver::deletion::FOREGROUND;
use miniku_core::controllers::statefulset::plan::number_of;
use miniku_core::program::{Answer, DeleteOptions, Input, Propagation, RequestId, Revision, Verb};
use miniku_core::time::{Duration, Instant};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Owners that let their children go.
#[derive(Default)]
pub struct Owner {
    letting_go: BTreeMap<RequestId, String>,
    let_go: BTreeSet<Text>,
    /// Owners that were also asked to take their children along.
    takes_along: BTreeSet<Text>,
    /// By their [`number`]: the collector itself asks nobody to.
    asked: BTreeSet<u64>,
    /// By uid: made when their owner was gone already, which had let others go, or when these were counted.
    late: BTreeSet<Text>,
    /// After which revision the collector asked last for all of a kind that are in a namespace.
    counted: BTreeMap<(Kind, Text), Revision>,
    /// When each life of a controller was last answered that an owner of this uid is there.
    confirmed: BTreeMap<(String, Text), Instant>,
}

/// So long ago an owner may have been asked for when something is adopted for it. Source: Kubernetes,
/// `pkg/controller/controller_ref_manager.go`, `RecheckDeletionTimestamp`.
const JUST: Duration = Duration::from_secs(10);

/// How an owner's reference is not as it should be.
fn weak(owner: &OwnerReference) -> bool {
    owner.controller == Some(true) && owner.block_owner_deletion != Some(true)
}

/// Where an owner is looked for; absent, if it cannot be found: nothing is concluded from that.
fn place(child: &Key, owner: &OwnerReference) -> Option<Key> {
    let kind = Kind::named(&owner.api_version, &owner.kind)?;
    match kind.row().namespaced {
        true if child.namespace.is_empty() => None,
        true => Some(Key::new(kind, &child.namespace, &owner.name)),
        false => Some(Key::new(kind, "", &owner.name)),
    }
}

fn holds(truth: &Truth, child: &Key, owner: &OwnerReference) -> bool {
    let Some(key) = place(child, owner) else { return true };
    let stored = truth.object(&key).map(Object::meta);
    stored.is_some_and(|meta| {
        let waits = meta.is_deleting() && meta.finalizers.iter().any(|finalizer| finalizer == FOREGROUND);
        meta.uid == owner.uid && !waits
    })
}

impl Owner {
    /// The collector writes an object's owners anew.
    fn strips(&self, truth: &Truth, key: &Key, patch: &Value) -> Result<(), Broken> {
        let Some(left) = patch.pointer("/metadata/ownerReferences").and_then(Value::as_array) else { return Ok(()) };
        let revision = patch.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let same = |old: &&Object| revision == Some(&old.meta().resource_version) && !old.meta().is_deleting();
        let Some(old) = truth.object(key).filter(same) else { return Ok(()) };
        let kept = |owner: &&OwnerReference| left.iter().any(|one| one["uid"] == *owner.uid);
        let lets_go = |owner: &OwnerReference| {
            let key = place(key, owner);
            let leaves = || key.as_ref().and_then(|key| truth.object(key)).is_some_and(|one| one.meta().is_deleting());
            let asked = || key.as_ref().is_none_or(|key| self.asked.contains(&number(key)));
            self.let_go.contains(&owner.uid) || asked() && leaves()
        };
        let mut taken = old.meta().owner_references.iter().filter(|owner| !kept(owner));
        match taken.find(|owner| holds(truth, key, owner) && !lets_go(owner)) {
            Some(owner) => Err(Broken::by(format!("{key} is taken away from {}, which lives", owner.name)).with([old])),
            None => Ok(()),
        }
    }

    fn collects(&self, truth: &Truth, key: &Key, options: &DeleteOptions) -> Result<(), Broken> {
        let Some(object) = truth.object(key) else { return Ok(()) };
        let meta = object.meta();
        let other = options.uid.as_ref().is_some_and(|uid| *uid != meta.uid)
            || options.resource_version.as_ref().is_some_and(|revision| *revision != meta.resource_version);
        if other || options.grace_seconds == Some(0) {
            return Ok(());
        }
        let broken =
            |what: &str, name: &str| Err(Broken::by(format!("{key} is collected, {what} {name}")).with([object]));
        let holds = |owner: &&OwnerReference| holds(truth, key, owner) && !self.changes_its_mind(truth, key, owner);
        if let Some(owner) = meta.owner_references.iter().find(holds) {
            return broken("though it is held by", &owner.name);
        }
        let let_go = |owner: &&OwnerReference| {
            self.let_go.contains(&owner.uid) && !self.takes_along.contains(&owner.uid) && !self.late.contains(&meta.uid)
        };
        match meta.owner_references.iter().find(let_go) {
            Some(owner) => broken("though it was let go by", &owner.name),
            None => Ok(()),
        }
    }

    /// Whether an owner that is going was also asked to take its children along, and perhaps to let them go after that: of
    /// which the collector may not have been told yet.
    fn changes_its_mind(&self, truth: &Truth, child: &Key, owner: &OwnerReference) -> bool {
        let stored = place(child, owner).and_then(|key| truth.object(&key));
        self.takes_along.contains(&owner.uid) && stored.is_some_and(|one| one.meta().is_deleting())
    }

    /// Whether the children of an owner that is going were counted before this one came, since the owner was written last.
    fn is_counted(&self, truth: &Truth, child: &Key, owner: &OwnerReference) -> bool {
        let Some(key) = place(child, owner) else { return false };
        let goes = truth.object(&key).filter(|one| one.meta().uid == owner.uid && one.meta().is_deleting());
        let counted = self.counted.get(&(child.kind, child.namespace.clone()));
        goes.zip(counted).is_some_and(|(owner, counted)| *counted >= owner.revision())
    }

    fn scales_down(truth: &Truth, told: Told<'_>, key: &Key, uid: Option<&Text>) -> Result<(), Broken> {
        let Some(object) = truth.object(key).filter(|object| Some(&object.meta().uid) == uid) else { return Ok(()) };
        let Some(owner) = object.meta().controller() else { return Ok(()) };
        let set = told.object(&Key::new(Kind::ReplicaSet, &key.namespace, &owner.name));
        match set.filter(|set| set.meta().uid != owner.uid) {
            Some(set) => {
                let what = format!("{key} belongs to {}, and is deleted for {}", owner.uid, set.meta().uid);
                Err(Broken::by(what).with([object]))
            }
            None => Ok(()),
        }
    }
}

/// What somebody was told of an object, if it is the state that a patch names.
fn as_named<'a>(told: Told<'a>, key: &Key, patch: &Value) -> Option<&'a Object> {
    let named = patch.pointer("/metadata/resourceVersion").and_then(Value::as_str)?;
    told.object(key).filter(|known| known.meta().resource_version == named)
}

/// Whether a workload selects an object. A replication controller's selector may have changed since that was decided.
fn selects(workload: &Object, child: &Object) -> bool {
    if workload.kind() == Kind::ReplicationController {
        return true;
    }
    let selector = match workload.get::<ReplicaSet>() {
        Some(set) => Some(set.spec.selector.clone()),
        None => workload.at(&["spec", "selector"]).and_then(|selector| LabelSelector::deserialize(selector).ok()),
    };
    selector.is_none_or(|selector| selector.matches(&child.meta().labels))
}

/// A set of the same deployment that is there already, and whose pods a new set would select, too.
fn selects_another<'a>(told: Told<'a>, new: &Object) -> Option<&'a Object> {
    let (set, by) = (new.get::<ReplicaSet>()?, new.meta().controller()?);
    let mut others = told.owned(&by.uid, Kind::ReplicaSet, &new.meta().namespace);
    others.find(|other| {
        let labels = other.get::<ReplicaSet>().map(|other| &other.spec.template.metadata.labels);
        other.meta().name != new.meta().name && labels.is_some_and(|labels| set.spec.selector.matches(labels))
    })
}

/// Whether the owner is a replica set of another namespace than the child's.
fn is_elsewhere(truth: &Truth, child: &Key, owner: &OwnerReference) -> bool {
    let is_it = |set: &&ReplicaSet| set.metadata.uid == owner.uid;
    owner.kind == "ReplicaSet"
        && truth.all::<ReplicaSet>().find(is_it).is_some_and(|set| *set.metadata.namespace != *child.namespace)
}

impl Owner {
    /// The controller of a workload changes the owners of something.
    fn takes(&self, truth: &Truth, who: &Who, key: &Key, patch: &Value) -> Result<(), Broken> {
        let told = truth.told(who);
        let Some(owners) = patch.pointer("/metadata/ownerReferences") else { return Ok(()) };
        // Where none is left, nothing stands there.
        let Ok(owners) = Option::<Vec<OwnerReference>>::deserialize(owners) else { return Ok(()) };
        let owners = owners.unwrap_or_default();
        if let Some(child) = as_named(told, key, patch) {
            let by = child.meta().controller().map(|by| &by.uid);
            let mut others = child.meta().owner_references.iter().filter(|other| Some(&other.uid) != by);
            if let Some(other) = others.find(|other| owners.iter().all(|one| one.uid != other.uid)) {
                let what = format!("{key} is adopted or let go, and taken away from {}", other.name);
                return Err(Broken::by(what).with([child]));
            }
        }
        let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else { return Ok(()) };
        let by = Kind::named(&owner.api_version, &owner.kind).map(|kind| Key::new(kind, &key.namespace, &owner.name));
        let known = by.and_then(|by| told.object(&by)).filter(|known| known.meta().uid == owner.uid);
        let broken = |what: &str| Err(Broken::by(format!("{key} is adopted by {}, {what}", owner.name)).with(known));
        if weak(owner) {
            return broken("whose end does not wait for it");
        }
        if known.is_some_and(|known| known.meta().is_deleting()) {
            return broken("which is going");
        }
        if let (Some(known), Some(child)) = (known, as_named(told, key, patch)) {
            if !selects(known, child) {
                return broken("which does not select it");
            }
            let is_numbered = child.kind() != Kind::Pod || number_of(&owner.name, &key.name).is_some();
            if known.kind() == Kind::StatefulSet && !is_numbered {
                return broken("whose pods have other names");
            }
        }
        match self.confirmed.get(&(who.to_string(), owner.uid.clone())) {
            Some(at) if truth.now.since(*at) <= JUST => Ok(()),
            _ => broken("which was not asked for"),
        }
    }

    /// A replica set's controller changes the owners of a pod.
    fn claims(told: Told<'_>, key: &Key, patch: &Value) -> Result<(), Broken> {
        let Some(known) = told.object(key) else { return Ok(()) };
        let Some(pod) = known.get::<Pod>() else { return Ok(()) };
        let named = |path: &str| patch.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let as_known = named("/metadata/resourceVersion") == known.meta().resource_version;
        let owners = patch.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let adopts = owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true));
        if as_known && adopts && pod.metadata.controller().is_none() && !pod.is_active() {
            let what = if pod.metadata.is_deleting() { "is going" } else { "has finished" };
            return Err(Broken::by(format!("{key} is adopted, and {what}")).with([known]));
        }
        Ok(())
    }
}

impl Checker for Owner {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Heard, Sight::Durable, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, id, request } => return self.sent(truth, who, *id, &request.verb),
            Fact::Heard { who, input: Input::Reply { answer: Answer::Object { object, .. }, .. } }
                // Of pods there are many, and they own nothing.
                if who.role == Role::Workloads && object.kind() != Kind::Pod && !object.meta().is_deleting() =>
            {
                self.confirmed.insert((who.to_string(), object.meta().uid.clone()), truth.now);
            }
            Fact::Answered { id, answer } => {
                if let Some(uid) = self.letting_go.remove(id)
                    && matches!(answer, Answer::Object { .. } | Answer::Removed(_))
                {
                    self.let_go.insert(uid.into());
                }
            }
            Fact::Durable { change } => match (&change.old, &change.new) {
                (Some(old), Some(new)) => return keeps_controller(truth, old, new),
                (None, Some(new)) => self.note_late(truth, new),
                (Some(old), None) => drop(self.late.remove(&old.meta().uid)),
                (None, None) => {}
            },
            _ => {}
        }
        Ok(())
    }
}

impl Owner {
    /// Somebody asks for something.
    fn sent(&mut self, truth: &Truth, who: &Who, id: RequestId, verb: &Verb) -> Result<(), Broken> {
        match (who.role, verb) {
            (Role::Workloads, Verb::Merge { key, patch, .. }) => {
                self.takes(truth, who, key, patch)?;
                Owner::claims(truth.told(who), key, patch)
            }
            (Role::Workloads, Verb::Create { object }) => Owner::makes(truth.told(who), object),
            (Role::Workloads, Verb::Update { object, .. }) => Owner::rewrites(truth.told(who), object),
            (Role::Workloads, Verb::Delete { key, options }) => {
                Owner::scales_down(truth, truth.told(who), key, options.uid.as_ref())
            }
            (Role::Garbage, Verb::Merge { key, patch, .. }) => self.strips(truth, key, patch),
            (Role::Garbage, Verb::List(query)) => {
                if let Some(namespace) = &query.namespace {
                    self.counted.insert((query.kind, namespace.clone()), truth.disk.revision());
                }
                Ok(())
            }
            (Role::Garbage, Verb::Delete { key, options }) => {
                if options.propagation == Some(Propagation::Foreground) {
                    self.takes_along.extend(truth.object(key).map(|owner| owner.meta().uid.clone()));
                }
                self.collects(truth, key, options)
            }
            (_, Verb::Delete { key, options }) => {
                self.note_deletion(truth, id, key, options.propagation);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A workload makes something: whether it selects only its own pods, and its owner's end waits for it.
    fn makes(told: Told<'_>, object: &Object) -> Result<(), Broken> {
        if let Some(other) = selects_another(told, object) {
            let what = format!("{} is made to select the pods of {}, too", object.key(), other.meta().name);
            return Err(Broken::by(what).with([object, other]));
        }
        match object.meta().owner_references.iter().find(|owner| weak(owner)) {
            Some(owner) => {
                let what = format!("{}, whose end does not wait for it", owner.name);
                Err(Broken::by(format!("{} is made for {what}", object.key())).with([object]))
            }
            None => Ok(()),
        }
    }

    /// A workload writes something anew: that gives it no owner, since nobody was asked, and takes none away but one that
    /// controls it.
    fn rewrites(told: Told<'_>, object: &Object) -> Result<(), Broken> {
        let key = object.key();
        let known = told.object(&key).filter(|known| known.revision() == object.revision());
        let Some(known) = known.map(Object::meta) else { return Ok(()) };
        let (before, after) = (&known.owner_references, &object.meta().owner_references);
        let has = |owners: &[OwnerReference], one: &OwnerReference| owners.iter().any(|other| other.uid == one.uid);
        if let Some(owner) = after.iter().find(|owner| !has(before, owner)) {
            return Err(Broken::by(format!("{key} is given to {}, which was not asked for", owner.name)).with([object]));
        }
        let may_be_so = |owner: &OwnerReference| owner.controller == Some(true) || has(after, owner);
        match before.iter().find(|owner| !may_be_so(owner)) {
            Some(other) => {
                Err(Broken::by(format!("{key} is let go, and taken away from {}", other.name)).with([object]))
            }
            None => Ok(()),
        }
    }

    /// Somebody who is no controller asks for an owner's end: what becomes of its children.
    fn note_deletion(&mut self, truth: &Truth, id: RequestId, key: &Key, propagation: Option<Propagation>) {
        match propagation {
            Some(Propagation::Orphan) => {
                self.asked.insert(number(key));
                if let Some(owner) = truth.object(key).filter(|owner| !owner.meta().is_deleting()) {
                    self.letting_go.insert(id, owner.meta().uid.to_string());
                }
            }
            // What is asked for last counts, and which arrives last is not known here.
            Some(_) => self.takes_along.extend(truth.object(key).map(|owner| owner.meta().uid.clone())),
            None => {}
        }
    }

    /// Something is made: perhaps for an owner that has let its children go already.
    fn note_late(&mut self, truth: &Truth, new: &Object) {
        let key = new.key();
        let comes_late = |owner: &OwnerReference| !holds(truth, &key, owner) || self.is_counted(truth, &key, owner);
        let owners = &new.meta().owner_references;
        if owners.iter().any(|owner| self.let_go.contains(&owner.uid) && comes_late(owner)) {
            self.late.insert(new.meta().uid.clone());
        }
    }
}

/// Whether what is stored otherwise has no other controller than before, and none of another namespace.
fn keeps_controller(truth: &Truth, old: &Object, new: &Object) -> Result<(), Broken> {
    let key = new.key();
    match (old.meta().controller(), new.meta().controller()) {
        (None, Some(owner)) if is_elsewhere(truth, &key, owner) => {
            let what = format!("{key} is controlled by {} of another namespace", owner.name);
            Err(Broken::by(what).with([new]))
        }
        (Some(before), Some(after)) if before.uid != after.uid => {
            let what = format!("{key} was controlled by {}, and is by {}", before.name, after.name);
            Err(Broken::by(what).with([old, new]))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::api::meta::Time;
    use miniku_core::program::{CallId, Part, Query, WatchEvent};
    use miniku_core::time::Wall;
    use serde_json::{Value, json};

    fn owned(name: &str, owner: &str) -> Value {
        let mut pod = pod(name, "", "Pending");
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": format!("{owner}-uid"), "controller": true}]);
        pod
    }

    fn ask(story: &mut Story<Owner>, role: Role, name: &str, propagation: Option<Propagation>) -> Result<(), Broken> {
        let options = DeleteOptions { uid: Some(format!("{name}-uid").into()), propagation, ..Default::default() };
        story.sends(&who(role, "x"), Verb::Delete { key: Key::new(Kind::Pod, "default", name), options })
    }

    #[test]
    fn fires_on_what_an_owner_holds() {
        let mut story = Story::<Owner>::new();
        let owner = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
        story.put(owned("b", "a")).unwrap();
        assert!(ask(&mut story, Role::Garbage, "b", None).unwrap_err().what.contains("held by a"));
        story.write(&owner, true).unwrap();
        ask(&mut story, Role::Garbage, "b", None).unwrap();
        assert!(story.put(owned("b", "c")).unwrap_err().what.contains("was controlled by a"));
    }

    #[test]
    fn who_was_to_be_taken_along_first_may_be_collected_while_its_owner_goes() {
        let collects = |asked: &[Propagation], goes: bool| {
            let mut story = Story::<Owner>::new();
            let owner = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
            story.put(owned("b", "a")).unwrap();
            for propagation in asked {
                ask(&mut story, Role::Operator, "a", Some(*propagation)).unwrap();
            }
            if goes {
                let at = Some(Time::of(Wall::from_secs(9)));
                story.write(&owner.with_meta(|meta| meta.deletion_timestamp = at), false).unwrap();
            }
            ask(&mut story, Role::Garbage, "b", None).is_ok()
        };
        assert!(collects(&[Propagation::Foreground, Propagation::Orphan], true));
        assert!(!collects(&[Propagation::Foreground, Propagation::Orphan], false));
        assert!(!collects(&[Propagation::Orphan], true));
    }

    #[test]
    fn fires_on_what_is_taken_away_from_the_living() {
        let mut story = Story::<Owner>::new();
        let owner = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
        let child = story.put(owned("b", "a")).unwrap().new.unwrap();
        let strip = |story: &mut Story<Owner>| {
            let meta = json!({"resourceVersion": child.meta().resource_version, "ownerReferences": []});
            let merge = Verb::Merge { key: child.key(), patch: json!({"metadata": meta}), part: Part::Main };
            story.sends(&who(Role::Garbage, "x"), merge)
        };
        assert!(strip(&mut story).unwrap_err().what.contains("taken away from a, which lives"));
        story.write(&owner, true).unwrap();
        strip(&mut story).unwrap();
    }

    #[test]
    fn only_somebody_else_asks_an_owner_to_let_go() {
        let check = |by: Role, right: bool| {
            let mut story = Story::<Owner>::new();
            let owner = story.put(owned("a", "gone")).unwrap().new.unwrap();
            let child = story.put(owned("b", "a")).unwrap().new.unwrap();
            ask(&mut story, by, "a", Some(Propagation::Orphan)).unwrap();
            let at = Some(Time::of(Wall::from_secs(9)));
            story.write(&owner.with_meta(|meta| meta.deletion_timestamp = at), false).unwrap();
            let meta = json!({"resourceVersion": child.meta().resource_version, "ownerReferences": []});
            let strips = Verb::Merge { key: child.key(), patch: json!({"metadata": meta}), part: Part::Main };
            assert_eq!(story.asks(2, &who(Role::Garbage, "x"), strips).is_ok(), right);
        };
        check(Role::Operator, true);
        check(Role::Garbage, false);
    }

    #[test]
    fn an_owner_in_a_namespace_holds_what_has_none() {
        let mut story = Story::<Owner>::new();
        let reference = json!([{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "a-uid"}]);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "n-uid", "ownerReferences": reference}});
        story.put(node).unwrap();
        let options = DeleteOptions { uid: Some("n-uid".into()), ..Default::default() };
        let told = story.sends(&who(Role::Garbage, "x"), Verb::Delete { key: Key::new(Kind::Node, "", "n"), options });
        assert!(told.unwrap_err().what.contains("held by a"));
    }

    #[test]
    fn fires_on_what_was_let_go() {
        let collects = |then: Option<Propagation>| {
            let mut story = Story::<Owner>::new();
            let owner = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
            story.put(owned("b", "a")).unwrap();
            ask(&mut story, Role::Operator, "a", Some(Propagation::Orphan)).unwrap();
            let answer = Answer::Object { object: owner.clone(), created: false };
            story.answers(1, &answer).unwrap();
            ask(&mut story, Role::Operator, "a", then).unwrap();
            story.write(&owner, true).unwrap();
            ask(&mut story, Role::Garbage, "b", None)
        };
        assert!(collects(None).unwrap_err().what.contains("let go by a"));
        // Who asks for something else after that is heard.
        collects(Some(Propagation::Foreground)).unwrap();
    }

    #[test]
    fn who_comes_when_children_were_counted_already_may_be_collected() {
        for counts_first in [true, false] {
            let mut story = Story::<Owner>::new();
            let owner = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
            ask(&mut story, Role::Operator, "a", Some(Propagation::Orphan)).unwrap();
            let at = Some(Time::of(Wall::from_secs(9)));
            let owner = story.write(&owner.with_meta(|meta| meta.deletion_timestamp = at), false).unwrap().new.unwrap();
            let answer = Answer::Object { object: owner.clone(), created: false };
            story.answers(1, &answer).unwrap();
            let within = Query { namespace: Some("default".into()), ..Query::all(Kind::Pod) };
            let counts = Verb::List(within).into();
            let counts = Fact::Sent { who: &who(Role::Garbage, "x"), id: RequestId(2), request: &counts };
            if counts_first {
                story.see(counts).unwrap();
            }
            story.put(owned("b", "a")).unwrap();
            if !counts_first {
                story.see(counts).unwrap();
            }
            story.write(&owner, true).unwrap();
            assert_eq!(ask(&mut story, Role::Garbage, "b", None).is_ok(), counts_first);
        }
    }

    /// A controller hears of a set and of a pod, perhaps asks for the set once more, and adopts the pod.
    fn adopts(set: Value, asks: bool, blocks: bool) -> String {
        let (mut story, controller) = (Story::<Owner>::new(), who(Role::Workloads, "workloads"));
        for manifest in [set, pod("a", "n", "Running")] {
            let object = story.shows(&controller, manifest).unwrap();
            if asks {
                let answer = Answer::Object { object, created: false };
                story.steps(&controller, Input::Reply { call: CallId(1), answer }).unwrap();
            }
        }
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "w", "controller": true,
            "blockOwnerDeletion": blocks});
        let patch = json!({"metadata": {"ownerReferences": [owner]}});
        let merge = Verb::Merge { key: Key::new(Kind::Pod, "default", "a"), patch, part: Part::Main };
        let sent = story.sends(&controller, merge);
        sent.err().map(|broken| broken.what).unwrap_or_default()
    }

    #[test]
    fn fires_on_adoption_by_who_should_not() {
        let set = |going: bool| {
            let mut set = crate::plan::replica_set("web", 1, "");
            set["metadata"]["uid"] = "w".into();
            if going {
                set["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            set
        };
        assert_eq!(adopts(set(false), true, true), "");
        assert!(adopts(set(true), true, true).contains("which is going"));
        assert!(adopts(set(false), false, true).contains("which was not asked for"));
        assert!(adopts(set(false), true, false).contains("whose end does not wait for it"));
    }

    #[test]
    fn fires_on_a_set_that_selects_the_pods_of_another() {
        let set = |name: &str, labels: Value| {
            let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true,
                    "blockOwnerDeletion": true}]);
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": name, "namespace": "default", "uid": name, "ownerReferences": owner},
                "spec": {"selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": {"app": "web", "pod-template-hash": name}}}}})
        };
        let exact = |name: &str| set(name, json!({"app": "web", "pod-template-hash": name}));
        for (new, fires) in [(exact("b"), false), (set("b", json!({"app": "web"})), true), (exact("a"), false)] {
            let (mut story, controller) = (Story::<Owner>::new(), who(Role::Workloads, "workloads"));
            story.shows(&controller, exact("a")).unwrap();
            let sent = story.sends(&controller, Verb::Create { object: crate::plan::object(new) });
            let what = sent.err().map_or(String::new(), |broken| broken.what);
            assert_eq!(what.contains("is made to select the pods of a, too"), fires, "{what}");
        }
    }

    #[test]
    fn fires_on_who_is_let_go_by_others_too() {
        let other = json!({"apiVersion": "miniku.test/v1", "kind": "Widget", "name": "w", "uid": "widget"});
        for (left, fires) in [(json!([other]), false), (json!(null), true)] {
            let (mut story, controller) = (Story::<Owner>::new(), who(Role::Workloads, "workloads"));
            let set =
                json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "s", "controller": true});
            let mut pod = pod("a", "n", "Running");
            pod["metadata"]["ownerReferences"] = json!([other, set]);
            let object = story.put(pod).unwrap().new.unwrap();
            let event = WatchEvent::Added(object.clone());
            story.hears(&controller, event).unwrap();
            let meta = json!({"resourceVersion": object.meta().resource_version, "ownerReferences": left});
            let merge = Verb::Merge { key: object.key(), patch: json!({"metadata": meta}), part: Part::Main };
            let sent = story.sends(&controller, merge);
            let what = sent.err().map_or(String::new(), |broken| broken.what);
            assert_eq!(what.contains("let go, and taken away from w"), fires, "{left}: {what}");
        }
    }

    #[test]
    fn fires_on_who_is_written_with_other_owners() {
        let other = json!({"apiVersion": "miniku.test/v1", "kind": "Widget", "name": "w", "uid": "widget"});
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true});
        let stranger = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "new", "uid": "n"});
        for (after, says) in [
            (json!([other, set]), ""),
            (json!([other]), ""),
            (json!([set]), "persistentvolumeclaims/default/data is let go, and taken away from w"),
            (json!([other, stranger]), "persistentvolumeclaims/default/data is given to new, which was not asked for"),
        ] {
            let (mut story, controller) = (Story::<Owner>::new(), who(Role::Workloads, "workloads"));
            let meta = json!({"name": "data", "namespace": "default", "uid": "c", "ownerReferences": [other, set]});
            let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta});
            let claim = story.shows(&controller, claim).unwrap();
            let owners: Vec<OwnerReference> = serde_json::from_value(after).unwrap();
            let object = claim.with_meta(|meta| meta.owner_references = owners);
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Main });
            assert_eq!(sent.err().map_or(String::new(), |broken| broken.what), says);
        }
    }

    /// A controller that has just asked for a workload adopts a pod of this name, labels and owners, and leaves none of
    /// these.
    fn takes(kind: &str, name: &str, team: &str, owners: Value) -> String {
        let (mut story, controller) = (Story::<Owner>::new(), who(Role::Workloads, "workloads"));
        let selector = json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]});
        let owner = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web", "uid": "w"},
            "spec": {"selector": selector, "template": {}}});
        let mut pod = pod(name, "n", "Running");
        pod["metadata"]["labels"] = json!({"team": team});
        pod["metadata"]["ownerReferences"] = owners;
        let mut revision = String::new();
        for manifest in [owner, pod] {
            let object = story.put(manifest).unwrap().new.unwrap();
            revision = object.meta().resource_version.to_string();
            story.hears(&controller, WatchEvent::Added(object.clone())).unwrap();
            let answer = Answer::Object { object, created: false };
            story.steps(&controller, Input::Reply { call: CallId(1), answer }).unwrap();
        }
        let owner = json!({"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": "w", "controller": true,
            "blockOwnerDeletion": true});
        let patch = json!({"metadata": {"resourceVersion": revision, "ownerReferences": [owner]}});
        let merge = Verb::Merge { key: Key::new(Kind::Pod, "default", name), patch, part: Part::Main };
        let sent = story.sends(&controller, merge);
        sent.err().map(|broken| broken.what).unwrap_or_default()
    }

    #[test]
    fn fires_on_adoption_of_what_is_not_its_own() {
        let none = || json!([]);
        let other = json!([{"apiVersion": "miniku.test/v1", "kind": "Widget", "name": "w", "uid": "widget"}]);
        assert_eq!(takes("ReplicaSet", "x", "b", none()), "");
        assert!(takes("ReplicaSet", "x", "c", none()).contains("which does not select it"));
        assert!(takes("ReplicaSet", "x", "a", other).contains("and taken away from w"));
        assert_eq!(takes("StatefulSet", "web-3", "a", none()), "");
        assert!(takes("StatefulSet", "x", "a", none()).contains("whose pods have other names"));
    }
}
