//! The views: one of each kind, as long as there is the kind.

use super::{CALLS, GarbageCollector, named};
use crate::api::custom::CustomResourceDefinition;
use crate::api::kinds::Kind;
use crate::api::namespace::NODE_LEASES;
use crate::api::object::{Key, Object};
use crate::api::selector::FieldSelector;
use crate::client::Informer;
use crate::program::{Effects, Input, Level, Query, Revision};
use crate::time::Now;

impl GarbageCollector {
    /// The view of a kind, made if there is none.
    pub(super) fn view(&mut self, kind: Kind) -> Option<&mut Informer> {
        // No view is ever taken away, so that no two have one space.
        let space = CALLS.checked_add(u16::try_from(self.views.len() + 1).ok()?)?;
        let (seed, options) = (self.seed, self.options.informer);
        let make = || Informer::new(looked_at(kind), space, seed, options);
        Some(self.views.entry(kind).or_insert_with(make))
    }

    /// A definition of a custom kind is another than before: the kind is viewed as long as it can be.
    pub(super) fn defined(&mut self, now: Now, old: Option<&Object>, new: Option<&Object>, out: &mut Effects) {
        let said = |object: Option<&Object>| {
            object?.get::<CustomResourceDefinition>().filter(|definition| definition.is_established()).cloned()
        };
        let is = said(new).and_then(|definition| definition.open_kind());
        let Some(kind) = is.or(said(old).map(|definition| definition.kind())) else { return };
        let Some(view) = self.view(kind) else {
            return out.log(Level::Error, format!("{kind:?}: there are too many kinds, this one is not collected"));
        };
        let mut changes = Vec::new();
        let outdated = is.is_none_or(|kind| kind.row().version != view.kind().row().version);
        if outdated && !view.is_closed() {
            changes.extend(view.close(out));
        }
        if let Some(kind) = is {
            if view.is_closed() {
                view.reopen(looked_at(kind));
            }
            changes.extend(view.step(now, &Input::Wake, out));
            self.custom.insert(named(kind.row().group, kind.row().name).into(), kind);
        }
        changes.into_iter().for_each(|change| self.changed(now, change, out));
    }

    /// Whether its views of the kinds that every cluster has are complete.
    pub(super) fn is_ready(&self) -> bool {
        let custom = |kind: &Kind| matches!(kind, Kind::Custom(_));
        self.views.iter().all(|(kind, view)| view.is_synced() || custom(kind))
    }

    /// Whether all views are complete.
    pub(super) fn sees_all(&self) -> bool {
        self.views.values().all(|view| view.is_synced() || view.is_closed())
    }

    pub(super) fn object(&self, key: &Key) -> Option<&Object> {
        self.views.get(&key.kind)?.object(key)
    }

    pub(super) fn revision(&self, key: &Key) -> Option<Revision> {
        self.object(key).map(Object::revision)
    }
}

/// What is looked at of a kind.
pub(super) fn looked_at(kind: Kind) -> Query {
    match kind {
        // What nodes renew all the time owns nothing, and is owned by nobody.
        Kind::Lease => {
            Query { fields: FieldSelector::other_than("metadata.namespace", NODE_LEASES), ..Query::all(kind) }
        }
        _ => Query::all(kind),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::custom::CustomResourceDefinition;
    use crate::api::kinds::Kind;
    use crate::controllers::garbage::program::testing::{config, define, widget, world};
    use crate::controllers::testing::owned_by;
    use crate::program::Propagation;
    use serde_json::json;

    #[test]
    fn custom_kinds_are_collected_as_long_as_they_are_defined() {
        for seed in 0..10 {
            let (mut world, mut program) = world(seed);
            let first = define(&mut world, "first.gc.example.com", true);
            let kind = first.get::<CustomResourceDefinition>().unwrap().kind();
            let owner = widget(&mut world, &first, "owner", json!([]));
            config(&mut world, "of-owner", owned_by(&owner));
            let set = world.set("web", json!([]));
            widget(&mut world, &first, "of-web", owned_by(&set));
            world.run(&mut program, 10);
            // One that is defined while the program runs.
            let second = define(&mut world, "second.gc.example.com", true);
            let late = widget(&mut world, &second, "late", json!([]));
            config(&mut world, "of-late", owned_by(&late));
            world.run(&mut program, 10);
            assert_eq!(world.take_writes(), [""; 0], "nothing is missing");
            assert_eq!(world.names(Kind::ConfigMap, "default"), "of-late of-owner");
            world.delete(owner.key(), None);
            world.delete(set.key(), Some(Propagation::Foreground));
            world.run(&mut program, 10);
            assert_eq!(world.names(kind, "default"), "", "seed {seed}");
            assert_eq!(world.names(Kind::ReplicaSet, "default"), "", "seed {seed}");
            assert_eq!(world.names(Kind::ConfigMap, "default"), "of-late", "seed {seed}");
            // Objects go with their definition, and what they own after them.
            world.delete(second.key(), None);
            world.run(&mut program, 60);
            assert_eq!(world.names(Kind::ConfigMap, "default"), "", "seed {seed}");
            // Defined again, it is looked at again.
            let second = define(&mut world, "second.gc.example.com", true);
            let again = widget(&mut world, &second, "again", json!([]));
            config(&mut world, "of-again", owned_by(&again));
            world.run(&mut program, 10);
            assert_eq!(world.names(Kind::ConfigMap, "default"), "of-again");
            world.delete(again.key(), None);
            world.run(&mut program, 10);
            assert_eq!(world.names(Kind::ConfigMap, "default"), "", "seed {seed}");
        }
    }
}
