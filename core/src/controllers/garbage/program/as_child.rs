//! Objects that name owners: [`owners`](mod@owners) decides what becomes of them, here it is found out and carried out.

use super::{Asked, Found, GarbageCollector, Owner, deletion, life, named, patch, tell};
use crate::api::kinds::{Kind, KindRow};
use crate::api::meta::OwnerReference;
use crate::api::object::{Key, Object};
use crate::api::text::Text;
use crate::controllers::garbage::dependents::Finalizer;
use crate::controllers::garbage::owners::{self, Children, GARBAGE, Life, Standing, garbage, kept, owners};
use crate::decision::Because;
use crate::program::{Answer, Effects, Level, Propagation, Revision, Verb};
use crate::time::Now;
use serde_json::json;
use std::collections::BTreeSet;

/// How many owners that cannot be found are told of.
const UNKNOWN_MAX: usize = 100;

impl GarbageCollector {
    /// Looks at an object's owners.
    pub(super) fn as_child(&mut self, now: Now, object: &Object, out: &mut Effects) -> bool {
        let references = &object.meta().owner_references;
        let standings: Vec<Standing> =
            references.iter().map(|reference| self.standing(reference, object, out)).collect();
        let children = match () {
            () if !self.relations.has_children(&object.meta().uid) => Children::Childless,
            () if standings.contains(&Standing::Waiting) && self.is_in_circle(object) => Children::Circle,
            () => Children::Parent,
        };
        let row = garbage(life(object), owners(&standings), children);
        let verb = match row.then {
            owners::Action::Keep => return false,
            owners::Action::Ask => {
                for (reference, standing) in references.iter().zip(&standings) {
                    if *standing == Standing::NotSeen
                        && let Ok(owner) = self.owner(reference, object)
                    {
                        self.owners.add(owner, now.mono);
                    }
                }
                return false;
            }
            owners::Action::Strip => {
                if standings.contains(&Standing::LettingGo) {
                    sometimes!(Orphaned);
                } else {
                    sometimes!(SomeOwnerLives);
                }
                let left = kept(references, &standings);
                patch(object, "ownerReferences", json!(left))
            }
            owners::Action::Unblock => {
                let mut left = references.clone();
                left.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
                patch(object, "ownerReferences", json!(left))
            }
            owners::Action::Delete if planted!(OrphansGrandchildren) => {
                deletion(object, None, Some(Propagation::Orphan))
            }
            owners::Action::Delete => deletion(object, None, Some(Propagation::Background)),
            owners::Action::DeleteForeground => deletion(object, None, Some(Propagation::Foreground)),
        };
        let owner = references.iter().find_map(|reference| self.owner(reference, object).ok());
        tell(object, owner.map(|owner| owner.key), Because::of(&GARBAGE, row), out);
        self.write(now, object, verb, out);
        true
    }

    fn standing(&mut self, reference: &OwnerReference, child: &Object, out: &mut Effects) -> Standing {
        let owner = match self.owner(reference, child) {
            Ok(owner) => owner,
            Err(what) => {
                if self.unknown.len() < UNKNOWN_MAX && !self.unknown.contains(what.as_str()) {
                    out.log(Level::Warn, format!("{}: {what} are taken to exist for ever", child.key()));
                    self.unknown.insert(what.into());
                }
                return Standing::Live;
            }
        };
        // One of that uid elsewhere, or by another name, is not the one that is meant.
        let meant = self.relations.of_uid(&reference.uid).filter(|key| **key == owner.key);
        match meant.and_then(|key| self.object(key)) {
            Some(owner) => match (life(owner), Finalizer::of(owner.meta())) {
                (Life::Deleting, Finalizer::Orphan) => Standing::LettingGo,
                (Life::Deleting, Finalizer::Foreground) => Standing::Waiting,
                (Life::Deleting, Finalizer::Neither) | (Life::Living, _) => Standing::Live,
            },
            None if self.is_gone(&owner) || planted!(NotSeenIsGone) => Standing::Gone,
            None => Standing::NotSeen,
        }
    }

    /// Whether an object that holds its owners up has a child that is above it, too, and waits for it.
    ///
    /// Source: Kubernetes, `attemptToDeleteItem`, which takes each child that waits for one that is above.
    fn is_in_circle(&self, object: &Object) -> bool {
        if object.meta().owner_references.iter().all(|owner| owner.block_owner_deletion != Some(true)) {
            return false;
        }
        let mut above: BTreeSet<&Text> = BTreeSet::new();
        let mut open = vec![object];
        while let Some(one) = open.pop() {
            for owner in &one.meta().owner_references {
                let found = self.relations.of_uid(&owner.uid).and_then(|key| self.object(key));
                open.extend(found.filter(|found| above.insert(&found.meta().uid)));
            }
        }
        let waits =
            |child: &Object| life(child) == Life::Deleting && Finalizer::of(child.meta()) == Finalizer::Foreground;
        let mut children = self.relations.children(&object.meta().uid).filter_map(|child| self.object(&child));
        children.any(|child| waits(child) && above.contains(&child.meta().uid))
    }

    /// Where the owner would be; or what it is, if that cannot be found out.
    ///
    /// Source: Kubernetes documentation, "Owners and Dependents".
    pub(super) fn owner(&self, reference: &OwnerReference, child: &Object) -> Result<Owner, String> {
        let OwnerReference { api_version, kind: name, .. } = reference;
        let Some(kind) = self.kind_of(reference) else {
            return Err(format!("owners of kind {name} of {api_version}"));
        };
        let namespace = match (kind.row().namespaced, child.meta().namespace.as_str()) {
            (false, _) => "",
            // An object without a namespace cannot be owned by one that has one.
            (true, "") => return Err(format!("owners of kind {name}, which have a namespace, of what has none")),
            (true, namespace) => namespace,
        };
        Ok(Owner { key: Key::new(kind, namespace, &reference.name), uid: reference.uid.clone() })
    }

    /// The kind of an owner, in whatever version it is named.
    fn kind_of(&self, owner: &OwnerReference) -> Option<Kind> {
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let served = |row: &KindRow| {
            let also = || row.also.iter().any(|also| also.group == group && also.version == version);
            row.name == owner.kind && (row.group == group && row.version == version || also())
        };
        let built_in = Kind::rows().find(|(_, row)| served(row)).map(|(kind, _)| kind);
        built_in.or_else(|| self.custom.get(named(group, &owner.kind).as_str()).copied())
    }

    pub(super) fn ask_for_owner(&mut self, now: Now, owner: Owner, out: &mut Effects) {
        let known = self.relations.of_uid(&owner.uid) == Some(&owner.key) || self.is_gone(&owner);
        if known || !self.relations.has_children(&owner.uid) {
            return self.owners.settled(&owner);
        }
        sometimes!(OwnerNotInView);
        self.owners.begun(owner.clone(), Revision(0));
        let key = owner.key.clone();
        self.calls.call(now, Asked::Owner(owner), Verb::Get { key }, out);
    }

    /// The answer to whether there is such an owner.
    pub(super) fn owner_answered(&mut self, now: Now, owner: Owner, answer: &Answer) {
        match Found::of(answer) {
            Found::Nothing => self.owner_is_gone(now, owner),
            Found::Object(uid) if uid != owner.uid => self.owner_is_gone(now, owner),
            // All objects of a kind go with its definition.
            Found::NoSuchKind if self.is_undefined(owner.key.kind) => self.owner_is_gone(now, owner),
            // The view is behind. It is asked again, lest the owner goes before the view has ever shown it.
            Found::Object(_) | Found::NoSuchKind | Found::NoAnswer => {
                sometimes!(OwnerWasThere);
                self.owners.failed(&owner, now.mono);
            }
        }
    }

    fn owner_is_gone(&mut self, now: Now, owner: Owner) {
        sometimes!(OwnerGone);
        self.owners.closed(&owner);
        if self.relations.has_children(&owner.uid) {
            self.look_at_children(now, &owner.uid);
            self.gone.entry(owner.uid).or_default().insert(owner.key);
        }
    }

    fn is_gone(&self, owner: &Owner) -> bool {
        self.gone.get(&owner.uid).is_some_and(|keys| keys.contains(&owner.key))
    }

    /// Whether nobody defines the kind any more.
    fn is_undefined(&self, kind: Kind) -> bool {
        let custom = matches!(kind, Kind::Custom(_));
        custom && self.object(&Key::new(Kind::CustomResourceDefinition, "", &kind.row().resource())).is_none()
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::controllers::garbage::program::testing::{config, define, pods, widget, world};
    use crate::controllers::testing::{owned_by, owner_reference};
    use crate::program::Propagation;
    use serde_json::json;

    #[test]
    fn children_go_after_their_owner() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let set = world.set("web", json!([]));
            world.pod("a", "n1", owned_by(&set));
            world.pod("b", "", owned_by(&set));
            world.pod("c", "n1", json!([]));
            world.run(&mut program, 10);
            assert_eq!(world.take_writes(), [""; 0], "nothing is missing");
            world.delete(set.key(), Some(Propagation::Background));
            world.run(&mut program, 1);
            assert_eq!(pods(&world), "-a c", "seed {seed}: b was on no node, and went at once");
            assert_eq!(world.gets, 1, "one question for both");
            world.kubelets_finish_pods();
            world.run(&mut program, 600);
            assert_eq!((pods(&world).as_str(), world.take_writes().len()), ("c", 2), "seed {seed}");
        }
    }

    #[test]
    fn what_was_missed_while_it_was_down_is_collected() {
        let (mut world, mut program) = world(1);
        let set = world.set("web", json!([]));
        world.pod("a", "n1", owned_by(&set));
        world.delete(set.key(), None);
        world.set("web", json!([]));
        world.run(&mut program, 1);
        assert_eq!(pods(&world), "-a", "an owner of the same name and another uid is another owner");
    }

    #[test]
    fn an_owner_that_is_only_late_in_the_view_is_found() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            world.run(&mut program, 1);
            world.deaf_to.insert(Kind::ReplicaSet);
            let set = world.set("web", json!([]));
            world.pod("a", "n1", owned_by(&set));
            world.run(&mut program, 600);
            assert!((1..40).contains(&world.gets), "asked {} times", world.gets);
            world.deaf_to.clear();
            world.run(&mut program, 600);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn an_owner_that_the_view_never_shows_is_not_forgotten() {
        let (mut world, mut program) = world(2);
        world.run(&mut program, 1);
        world.deaf_to.insert(Kind::ReplicaSet);
        let set = world.set("web", json!([]));
        world.pod("a", "", owned_by(&set));
        world.run(&mut program, 60);
        assert_eq!(pods(&world), "a");
        world.delete(set.key(), None);
        world.run(&mut program, 120);
        assert_eq!(pods(&world), "");
    }

    #[test]
    fn owners_of_an_unknown_kind_live_for_ever() {
        let (mut world, mut program) = world(4);
        let owner = json!([{"apiVersion": "example.com/v1", "kind": "Gizmo", "name": "g", "uid": "1-2-3"}]);
        world.pod("a", "n1", owner);
        world.run(&mut program, 600);
        assert_eq!((pods(&world).as_str(), world.gets), ("a", 0));
    }

    #[test]
    fn an_owner_is_of_the_same_namespace_or_of_none() {
        let (mut world, mut program) = world(12);
        world.create(Kind::Namespace, json!({"metadata": {"name": "other"}}));
        let set = world.set("web", json!([]));
        let meta = json!({"name": "elsewhere", "namespace": "other", "ownerReferences": owned_by(&set)});
        world.create(Kind::ConfigMap, json!({"metadata": meta}));
        let mut by_another_name = owner_reference(&set);
        by_another_name["name"] = json!("web-2");
        config(&mut world, "renamed", json!([by_another_name]));
        config(&mut world, "mine", owned_by(&set));
        let meta = json!({"name": "everywhere", "ownerReferences": owned_by(&set)});
        world.create(Kind::ClusterRole, json!({"metadata": meta}));
        world.run(&mut program, 60);
        assert_eq!(
            (world.names(Kind::ConfigMap, "other"), world.names(Kind::ConfigMap, "default")),
            ("".into(), "mine".into())
        );
        world.delete(set.key(), Some(Propagation::Foreground));
        world.run(&mut program, 60);
        assert_eq!(
            (world.names(Kind::ConfigMap, "default"), world.names(Kind::ReplicaSet, "default")),
            ("".into(), "".into())
        );
        assert_eq!(world.names(Kind::ClusterRole, ""), "everywhere", "what has no namespace has no owner in one");
    }

    #[test]
    fn a_custom_kind_that_cannot_be_listed_is_taken_to_exist() {
        let (mut world, mut program) = world(13);
        let hidden = define(&mut world, "hidden.gc.example.com", false);
        let owner = widget(&mut world, &hidden, "owner", json!([]));
        config(&mut world, "of-owner", owned_by(&owner));
        world.run(&mut program, 10);
        world.delete(owner.key(), None);
        world.run(&mut program, 60);
        assert_eq!((world.names(Kind::ConfigMap, "default").as_str(), world.gets), ("of-owner", 0));
    }

    #[test]
    fn an_owner_that_is_gone_is_forgotten_where_another_lives() {
        let (mut world, mut program) = world(5);
        let (one, other) = (world.set("one", json!([])), world.set("other", json!([])));
        let mut second = owner_reference(&other);
        second["controller"] = json!(false);
        world.pod("a", "n1", json!([owner_reference(&one), second]));
        world.delete(one.key(), None);
        world.run(&mut program, 10);
        let pod = world.get(Kind::Pod, "default", "a").unwrap();
        let names: Vec<&str> = pod.meta().owner_references.iter().map(|owner| owner.name.as_str()).collect();
        assert_eq!((names, pod.meta().is_deleting()), (vec!["other"], false));
        world.delete(other.key(), None);
        world.run(&mut program, 10);
        assert_eq!(pods(&world), "-a");
    }
}
