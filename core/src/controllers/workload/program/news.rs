//! What the views show: whose it is, who has to look at it, and who waits for it no longer.

use super::{Asked, Care, WorkloadController, filed_under, find};
use crate::api::kinds::Kind;
use crate::api::meta::ObjectMeta;
use crate::api::object::{Key, Object};
use crate::client::Change;
use crate::controllers::workload::Workload;
use crate::program::Revision;
use crate::time::Now;
use std::collections::{BTreeMap, BTreeSet};

impl WorkloadController {
    pub(super) fn changed(&mut self, now: Now, kind: Kind, change: &Change) {
        self.file(change);
        self.readiness.notice(now, change);
        if let Some(workload) = self.workload(kind) {
            self.owner_changed(now, workload, change);
        }
        if self.workloads.iter().any(|one| one.children().contains(&kind)) {
            self.child_changed(now, kind, change);
        }
        for workload in self.workloads.iter().filter(|one| one.seen().contains(&kind)) {
            self.seen_changed(now, *workload, change);
        }
    }

    fn owner_changed(&mut self, now: Now, workload: &dyn Workload, change: &Change) {
        match change {
            Change::Added(object) => {
                let key = object.key();
                let mut care = Care { uid: object.meta().uid.clone(), ..Care::default() };
                if let Some(selector) = workload.selector(object) {
                    self.selecting.add(&key, &selector);
                    care.unclaimed = self.claimable(workload, object);
                }
                self.care.insert(key.clone(), care);
                self.queue.set(key, now.mono);
            }
            Change::Modified { old, new } => {
                let key = new.key();
                if let Some(care) = self.care.get_mut(&key) {
                    // What failed was decided on an older view, or on an older wish.
                    care.status.succeeded();
                    care.changing.succeeded();
                    if old.meta().generation != new.meta().generation {
                        care.creation.succeeded();
                    }
                }
                self.selector_changed(workload, old, new);
                self.shown(&key, Some(new.revision()));
                self.queue.set(key, now.mono);
                if new.meta().is_deleting() && !old.meta().is_deleting() {
                    self.look_for_strays(now, workload, &new.meta().uid);
                }
            }
            Change::Deleted(object) => {
                let key = object.key();
                self.look_for_strays(now, workload, &object.meta().uid);
                if let Some(selector) = workload.selector(object) {
                    self.selecting.remove(&key, &selector);
                }
                self.queue.remove(&key);
                self.creations.forget(&key);
                self.deletions.forget(&key);
                self.claims.forget(&key);
                self.changes.forget(&key);
                self.care.remove(&key);
            }
            Change::Synced => self.look_at_all(now, |one| one.kind() == workload.kind()),
        }
    }

    /// Only that of replication controllers may change. Others may adopt whom they did not before.
    fn selector_changed(&mut self, workload: &dyn Workload, old: &Object, new: &Object) {
        if old.meta().generation == new.meta().generation {
            return;
        }
        let (key, before, after) = (new.key(), workload.selector(old), workload.selector(new));
        if before != after {
            before.iter().for_each(|selector| self.selecting.remove(&key, selector));
            after.iter().for_each(|selector| self.selecting.add(&key, selector));
        } else if !workload.adopts_otherwise(old, new) {
            return;
        }
        let claimable = self.claimable(workload, new);
        if let Some(care) = self.care.get_mut(&key) {
            care.unclaimed.extend(claimable);
        }
    }

    /// What may be an owner's, or may be its no longer: what it has, and what nobody has.
    fn claimable(&self, workload: &dyn Workload, owner: &Object) -> BTreeSet<Key> {
        let (meta, children) = (owner.meta(), workload.children());
        let own = self.views.owned.get(filed_under(&meta.uid, &meta.name));
        let own = own.into_iter().flat_map(BTreeMap::keys).filter(|key| children.contains(&key.kind));
        let orphans = children.iter().flat_map(|kind| {
            let all = self.orphans.range(Key::new(*kind, &meta.namespace, "")..);
            all.take_while(|child| {
                child.kind == *kind && (child.namespace == meta.namespace || planted!(AdoptsAcrossNamespaces))
            })
        });
        own.chain(orphans).cloned().collect()
    }

    fn child_changed(&mut self, now: Now, kind: Kind, change: &Change) {
        let (old, new) = change.sides();
        let Some(key) = old.or(new).map(Object::key) else { return self.listed(now, kind) };
        let mut concerned = self.child_shown(&key, new.map(Object::revision));
        concerned.extend(self.claims.seen(&key));
        concerned.extend(self.shown(&key, new.map(Object::revision)));
        let mut asked_for = false;
        if new.is_none_or(|new| new.meta().is_deleting())
            && let Some(old) = old
        {
            let owners = self.deletions.seen(&old.meta().uid);
            asked_for = !owners.is_empty();
            concerned.extend(owners);
        }
        let before = old.and_then(|old| self.owner(old.meta()));
        let after = new.and_then(|new| self.owner(new.meta()));
        concerned.extend(before.clone());
        concerned.extend(after.clone());
        for owner in concerned {
            self.queue.set(owner, now.mono);
        }
        if let Some(care) = after.as_ref().or(before.as_ref()).and_then(|owner| self.care.get_mut(owner)) {
            care.changing.succeeded();
            care.failures.notice(now, old, new, asked_for);
            let leaves = new.is_none_or(|new| new.meta().is_deleting());
            if kind != Kind::Pod && leaves && !asked_for && old.is_some_and(|old| !old.meta().is_deleting()) {
                care.taken.retain(|_, taken| !taken.is_forgiven(now.mono));
                care.taken.entry(key.clone()).or_default().add(now.mono);
            }
            let workload = after.as_ref().or(before.as_ref()).and_then(|owner| find(self.workloads, owner.kind));
            if let Some(place) = new.or(old).and_then(|child| workload?.place(child)) {
                let before = care.places.get(place).copied().unwrap_or_default();
                let mut failures = before;
                failures.notice(now, old, new, asked_for);
                if failures != before {
                    care.places.insert(place.into(), failures);
                }
            }
        }
        let Some(object) = new else { return self.strays.remove(&key) };
        let goes = |owner: &Key| self.views.object(owner).is_none_or(|owner| owner.meta().is_deleting());
        if !object.meta().finalizers.is_empty() && after.as_ref().is_none_or(goes) {
            self.strays.add(key.clone(), now.mono);
        }
        match object.meta().controller() {
            Some(_) if after.is_some() || !planted!(AdoptsFromOthers) => {
                if let Some(care) = after.as_ref().and_then(|owner| self.care.get_mut(owner)) {
                    care.unclaimed.insert(key);
                }
            }
            _ => {
                self.orphans.insert(key.clone());
                for owner in self.selecting.candidates(object.meta()) {
                    if self.workload(owner.kind).is_some_and(|one| one.children().contains(&kind))
                        && let Some(care) = self.care.get_mut(&owner)
                    {
                        care.unclaimed.insert(key.clone());
                        self.queue.set(owner, now.mono);
                    }
                }
            }
        }
    }

    fn seen_changed(&mut self, now: Now, workload: &dyn Workload, change: &Change) {
        let (old, new) = change.sides();
        if *change == Change::Synced {
            return self.look_at_all(now, |one| one.kind() == workload.kind());
        }
        for owner in workload.reached(old, new, &self.views) {
            if self.care.contains_key(&owner) {
                self.queue.set(owner, now.mono);
            }
        }
    }

    /// A view shows a child at this revision, or that it is gone: who asked for it waits no longer, unless it was told of
    /// a later one of the name, or asks for one once more.
    fn child_shown(&mut self, child: &Key, at: Option<Revision>) -> BTreeSet<Key> {
        let waiting = self.creations.waiting_for(child);
        for owner in &waiting {
            let Some(care) = self.care.get_mut(owner) else { continue };
            if let Some(shown) = care.again.get_mut(child) {
                *shown = true;
                continue;
            }
            if care.made_at.get(child).is_some_and(|made| at < Some(*made)) {
                continue;
            }
            care.made_at.remove(child);
            care.made.remove(child);
            self.creations.met(owner, child);
        }
        waiting
    }

    /// A view shows an object at this revision, or that it is gone: who waited for that waits no longer.
    fn shown(&mut self, object: &Key, at: Option<Revision>) -> BTreeSet<Key> {
        let waiting = self.changes.waiting_for(object);
        for owner in &waiting {
            let Some(care) = self.care.get_mut(owner) else { continue };
            let answered = care.changed_at.get(object).copied();
            if at.is_none() || answered.is_some_and(|answered| at >= Some(answered)) {
                care.changed_at.remove(object);
                self.changes.met(owner, object);
            }
        }
        waiting
    }

    /// All objects of a kind were listed anew, so that some may have come and gone unseen: what was made and is not
    /// shown is not waited for any longer.
    fn listed(&mut self, now: Now, kind: Kind) {
        let open: BTreeSet<&Key> = self
            .calls
            .open()
            .filter_map(|asked| if let Asked::Create { child, .. } = asked { Some(child) } else { None })
            .collect();
        let expected = self.creations.all().filter(|(_, child)| child.kind == kind);
        let expected = expected.map(|(owner, child)| (owner.clone(), child.clone()));
        type Children = Vec<(Key, Key)>;
        let (asked, answered): (Children, Children) = expected.partition(|(_, child)| open.contains(child));
        for (owner, child) in asked {
            self.care.get_mut(&owner).map(|care| care.listed.insert(child));
        }
        for (owner, child) in answered {
            sometimes!(CountSettledByList);
            self.creations.met(&owner, &child);
            self.care.get_mut(&owner).map(|care| care.made_at.remove(&child));
        }
        self.look_at_all(now, |one| one.children().contains(&kind));
    }

    fn look_at_all(&mut self, now: Now, of: impl Fn(&dyn Workload) -> bool) {
        let kinds: Vec<Kind> = self.workloads.iter().filter(|one| of(**one)).map(|one| one.kind()).collect();
        for owner in self.care.keys().filter(|owner| kinds.contains(&owner.kind)) {
            self.queue.set(owner.clone(), now.mono);
        }
    }

    /// Files an object under its controller.
    fn file(&mut self, change: &Change) {
        let (old, new) = change.sides();
        if let Some(old) = old {
            let key = old.key();
            match old.meta().controller() {
                Some(owner) => {
                    let owner = filed_under(&owner.uid, &owner.name);
                    if let Some(objects) = self.views.owned.get_mut(owner) {
                        objects.remove(&key);
                        if objects.is_empty() {
                            self.views.owned.remove(owner);
                        }
                    }
                }
                None => drop(self.orphans.remove(&key)),
            }
        }
        if let Some(new) = new
            && let Some(by) = new.meta().controller()
        {
            let under = filed_under(&by.uid, &by.name).to_owned();
            self.views.owned.entry(under).or_default().insert(new.key(), new.clone());
        }
    }

    /// The owner in the view that controls an object.
    pub(super) fn owner(&self, object: &ObjectMeta) -> Option<Key> {
        let by = object.controller()?;
        let group = by.api_version.split_once('/').map_or("", |(group, _)| group);
        let is = |kind: &Kind| kind.row().name == by.kind && kind.row().group == group;
        let kind = self.workloads.iter().map(|one| one.kind()).find(is)?;
        let key = Key::new(kind, &object.namespace, &by.name);
        (self.views.object(&key)?.meta().uid == by.uid || planted!(IgnoresOwnerUid)).then_some(key)
    }
}
