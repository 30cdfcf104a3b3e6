//! What becomes of custom kinds when their definitions change: of their objects, and of the names that others wait for.

use super::{ApiServer, Then};
use crate::api::custom::CustomResourceDefinition;
use crate::api::definition::{self, Claimed, accept};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object};
use crate::apiserver::deletion::{self, Outcome};
use crate::program::{DeleteOptions, Effects, Query};
use crate::time::Now;

impl ApiServer {
    /// Removes the objects of custom kinds that nobody defines any more: under another definition of the same name they
    /// would be something else.
    ///
    /// Source: Kubernetes documentation, "Delete a CustomResourceDefinition".
    pub(super) fn forget_undefined(&mut self, out: &mut Effects) {
        let definitions = Query::all(Kind::CustomResourceDefinition);
        let defined: Vec<Kind> = self
            .store
            .list(&definitions)
            .filter_map(|one| one.get::<CustomResourceDefinition>())
            .filter(|definition| definition.is_established())
            .map(CustomResourceDefinition::kind)
            .collect();
        let undefined = |kind: &Kind| matches!(kind, Kind::Custom(_)) && !defined.contains(kind);
        for kind in self.store.kinds().filter(undefined).collect::<Vec<_>>() {
            let objects: Vec<Object> = self.store.list(&Query::all(kind)).cloned().collect();
            for object in objects {
                // What is being written now is removed when that is done.
                if !self.busy.contains_key(&object.key()) {
                    self.commit(None, object.key(), object.revision(), None, Then::Removed, out);
                }
            }
        }
    }

    /// The objects of a kind whose definition is deleted are deleted as well, and when none is left, the definition goes.
    ///
    /// Source: `apiextensions-apiserver`, `pkg/controller/finalizer/crd_finalizer.go`.
    pub(super) fn empty_definition(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let Some(kind) = self.being_emptied(key).map(CustomResourceDefinition::kind) else { return };
        for key in self.store.list(&Query::all(kind)).map(Object::key).collect::<Vec<_>>() {
            self.end_custom(now, &key, out);
        }
        self.release_definition(now, key, out);
    }

    /// Deletes an object of a kind whose definition is deleted. What is being written now is looked at after that.
    pub(super) fn end_custom(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let stays = |object: &&Object| !object.meta().is_deleting() && !self.busy.contains_key(key);
        let Some(object) = self.store.get(key).filter(stays) else { return };
        let expect = object.revision();
        match deletion::delete(now, object, &DeleteOptions::default()) {
            Ok(Outcome::Remove) => drop(self.commit(None, key.clone(), expect, None, Then::Removed, out)),
            Ok(Outcome::Store(object)) => {
                self.commit(None, key.clone(), expect, Some(object), Then::Changed, out);
            }
            Ok(Outcome::Keep) | Err(_) => {}
        }
    }

    pub(super) fn release_definition(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let Some(kind) = self.being_emptied(key).map(CustomResourceDefinition::kind) else { return };
        let to_come = || self.on_their_way.values().any(|pending| pending.key.kind == kind);
        if self.store.count(kind) > 0 || self.busy.contains_key(key) || to_come() {
            return;
        }
        let Some(stored) = self.store.get(key) else { return };
        let (expect, at) = (stored.revision(), Some(Time::of(now.wall)));
        let object = stored.with(|definition: &mut CustomResourceDefinition| definition::emptied(definition, at));
        let then = if deletion::is_complete(&object) { Then::Ended } else { Then::Changed };
        self.commit(None, key.clone(), expect, Some(object), then, out);
    }

    /// A definition that waits for the objects of its kind to go.
    pub(super) fn being_emptied(&self, key: &Key) -> Option<&CustomResourceDefinition> {
        self.store.get(key)?.get().filter(|definition| definition::is_being_emptied(definition))
    }

    /// A definition with those of its names that no other of its group has, or is about to have; else the object as it is.
    pub(super) fn with_names(&self, now: Now, mut object: Object) -> Object {
        let Some(definition) = object.get::<CustomResourceDefinition>() else { return object };
        let (key, group) = (object.key(), &definition.spec.group);
        let stored = Query::all(Kind::CustomResourceDefinition);
        let to_come = self.on_their_way.values().filter_map(|pending| pending.object.as_ref());
        let mut claimed = Claimed::default();
        for other in self.store.list(&stored).chain(to_come).filter(|other| other.key() != key) {
            if let Some(other) = other.get::<CustomResourceDefinition>().filter(|other| other.spec.group == *group) {
                claimed.add(other);
            }
        }
        object.edit_as(|definition| accept(definition, &claimed, Some(Time::of(now.wall))));
        object
    }

    /// Looks again at the definitions of a group: a name may be free now.
    pub(super) fn look_at_names(&mut self, now: Now, group: &str, out: &mut Effects) {
        let stored = Query::all(Kind::CustomResourceDefinition);
        let of_group = |one: &&Object| {
            let definition = one.get::<CustomResourceDefinition>();
            definition.is_some_and(|definition| definition.spec.group == group)
        };
        let all: Vec<Object> = self.store.list(&stored).filter(of_group).cloned().collect();
        for object in all {
            let named = self.with_names(now, object.clone());
            if named != object && !self.busy.contains_key(&object.key()) {
                self.commit(None, object.key(), object.revision(), Some(named), Then::Changed, out);
            }
        }
    }
}
