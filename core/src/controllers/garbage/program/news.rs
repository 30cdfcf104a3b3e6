//! What the views show: who has to be looked at because of it.

use super::GarbageCollector;
use super::as_pod::is_out_of_service;
use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::pod::Pod;
use crate::client::Change;
use crate::controllers::garbage::relations::node_of;
use crate::program::Effects;
use crate::time::Now;

impl GarbageCollector {
    pub(super) fn changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (old, new) = change.sides();
        let Some(object) = new.or(old) else { return };
        let key = object.key();
        old.into_iter().for_each(|old| self.relations.remove(old));
        new.into_iter().for_each(|new| self.relations.add(new));
        if key.kind == Kind::CustomResourceDefinition {
            self.defined(now, old, new, out);
        }
        self.objects.seen(&key, new.map(Object::revision), now.mono);
        if key.kind == Kind::Pod {
            self.ended(now, old, new);
        }
        match (old, new) {
            (None, Some(new)) => self.appeared(now, new),
            (Some(old), Some(new)) => self.altered(now, old, new),
            (Some(old), None) => self.vanished(now, old),
            (None, None) => {}
        }
        // An owner that is being deleted waits for a child to forget it, or to go.
        for owner in old.into_iter().flat_map(|old| &old.meta().owner_references) {
            if let Some(owner) = self.relations.of_uid(&owner.uid) {
                self.objects.add(owner.clone(), now.mono);
            }
            if !self.relations.has_children(&owner.uid) {
                self.gone.remove(&owner.uid);
            }
        }
    }

    /// Keeps count of the pods that have ended.
    fn ended(&mut self, now: Now, old: Option<&Object>, new: Option<&Object>) {
        let has_ended = |object: &&Object| {
            object.get::<Pod>().is_some_and(|pod| pod.status.phase.is_final() && !pod.metadata.is_deleting())
        };
        let place = |object: &Object| (object.meta().creation_timestamp, object.key());
        match (old.filter(has_ended), new.filter(has_ended)) {
            (Some(_), Some(_)) | (None, None) => {}
            (Some(old), None) => {
                self.finished.remove(&place(old));
                self.surplus.remove(&old.key());
            }
            (None, Some(new)) => {
                self.finished.insert(place(new));
            }
        }
        while self.finished.len() > self.options.finished_max
            && !planted!(FinishedStay)
            && let Some((_, key)) =
                if planted!(NewestGo) { self.finished.pop_last() } else { self.finished.pop_first() }
        {
            self.objects.add(key.clone(), now.mono);
            self.surplus.insert(key);
        }
    }

    fn appeared(&mut self, now: Now, new: &Object) {
        self.objects.add(new.key(), now.mono);
        if new.meta().is_deleting() {
            self.look_at_children(now, &new.meta().uid);
        }
        if new.kind() == Kind::Node {
            self.nodes.forget(&new.meta().name);
            for pod in self.relations.pods_on(&new.meta().name) {
                let pod = self.views.get(&Kind::Pod).and_then(|pods| pods.object(&pod));
                pod.map(|pod| self.lost.remove(&pod.meta().uid));
            }
        }
    }

    fn altered(&mut self, now: Now, old: &Object, new: &Object) {
        let (before, after) = (old.meta(), new.meta());
        let ending = before.is_deleting() != after.is_deleting() || before.finalizers != after.finalizers;
        let ended = |object: &Object| object.get::<Pod>().is_some_and(|pod| pod.status.phase.is_final());
        if ending
            || ended(old) != ended(new)
            || before.owner_references != after.owner_references
            || node_of(old) != node_of(new) && !planted!(LateBoundUnseen)
        {
            self.objects.add(new.key(), now.mono);
        }
        if ending && after.is_deleting() {
            self.look_at_children(now, &after.uid);
        }
        if is_out_of_service(new) && !is_out_of_service(old) {
            for pod in self.relations.pods_on(&after.name) {
                self.objects.add(pod.clone(), now.mono);
            }
        }
    }

    fn vanished(&mut self, now: Now, old: &Object) {
        self.objects.forget(&old.key());
        self.lost.remove(&old.meta().uid);
        self.uncounted.remove(&old.meta().uid);
        self.look_at_children(now, &old.meta().uid);
        if old.kind() == Kind::Node {
            for pod in self.relations.pods_on(&old.meta().name) {
                self.objects.add(pod.clone(), now.mono);
            }
        }
    }

    pub(super) fn look_at_children(&mut self, now: Now, uid: &str) {
        for child in self.relations.children(uid) {
            self.objects.add(child.clone(), now.mono);
        }
    }
}
