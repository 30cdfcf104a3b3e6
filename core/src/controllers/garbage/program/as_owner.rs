//! Owners that are being deleted, and wait for their children: [`dependents`](mod@dependents) decides, here it is found out
//! and carried out.

use super::views::looked_at;
use super::{Asked, GarbageCollector, Owner, life, patch, tell};
use crate::api::kinds::Kind;
use crate::api::meta::OwnerReference;
use crate::api::object::Object;
use crate::api::text::Text;
use crate::controllers::garbage::dependents::{self, DEPENDENTS, Dependents, Finalizer, dependents};
use crate::controllers::garbage::owners::Life;
use crate::decision::Because;
use crate::program::{Answer, Effects, Query, Verb};
use crate::time::Now;
use serde_json::json;

impl GarbageCollector {
    /// Looks at what an object that is being deleted waits for.
    pub(super) fn as_owner(&mut self, now: Now, object: &Object, out: &mut Effects) -> bool {
        let finalizer = Finalizer::of(object.meta());
        if life(object) == Life::Deleting && finalizer != Finalizer::Neither && !self.sees_all() {
            // A child may be of a custom kind whose view has just begun.
            self.objects.failed(&object.key(), now.mono);
            return true;
        }
        let children = match self.dependents_of(object) {
            Dependents::OneBlocks if planted!(ForegroundNotWaiting) => Dependents::NoneBlocks,
            children => children,
        };
        let row = dependents(life(object), finalizer, children);
        match row.then {
            dependents::Action::Keep => {
                if row.name == "foreground" {
                    sometimes!(ForegroundBlocked);
                }
                return false;
            }
            dependents::Action::Count if planted!(OrphanUncounted) => self.release(now, object, finalizer, out),
            dependents::Action::Count => {
                let owner = Owner { key: object.key(), uid: object.meta().uid.clone() };
                let namespaced = object.kind().row().namespaced;
                // What was counted before a call was lost is not counted again.
                let of = self.uncounted.remove(&owner.uid).unwrap_or_else(|| {
                    let open = self.views.iter().filter(|(_, view)| !view.is_closed()).map(|(kind, _)| *kind);
                    open.filter(|kind| !namespaced || kind.row().namespaced).collect()
                });
                self.objects.begun(owner.key.clone(), object.revision());
                self.count_children(now, owner, of, out);
            }
            dependents::Action::Release => {
                sometimes!(ForegroundReleased);
                self.release(now, object, finalizer, out);
            }
        }
        tell(object, None, Because::of(&DEPENDENTS, row), out);
        true
    }

    fn dependents_of(&self, owner: &Object) -> Dependents {
        let (key, uid) = (owner.key(), &owner.meta().uid);
        let mut found = Dependents::NoneLeft;
        for child in self.relations.children(uid).filter_map(|child| self.object(&child)) {
            // Who means one of that uid elsewhere means another.
            let means = |reference: &&OwnerReference| {
                reference.uid == *uid && self.owner(reference, child).is_ok_and(|owner| owner.key == key)
            };
            for reference in child.meta().owner_references.iter().filter(means) {
                if reference.block_owner_deletion == Some(true) {
                    return Dependents::OneBlocks;
                }
                found = Dependents::NoneBlocks;
            }
        }
        found
    }

    fn release(&mut self, now: Now, object: &Object, finalizer: Finalizer, out: &mut Effects) {
        let left: Vec<&Text> = object.meta().finalizers.iter().filter(|one| *one != finalizer.name()).collect();
        self.write(now, object, patch(object, "finalizers", json!(left)), out);
    }

    /// Asks for the objects of the next kind that could be children.
    fn count_children(&mut self, now: Now, owner: Owner, of: Vec<Kind>, out: &mut Effects) {
        match of.last() {
            Some(kind) => {
                let namespace = owner.key.kind.row().namespaced.then(|| owner.key.namespace.clone());
                let query = Query { namespace, ..looked_at(*kind) };
                self.calls.call(now, Asked::Children { owner, of }, Verb::List(query), out);
            }
            None => match self.object(&owner.key).cloned() {
                Some(object)
                    if object.meta().uid == owner.uid
                        && Finalizer::of(object.meta()) == Finalizer::Orphan
                        && self.dependents_of(&object) == Dependents::NoneLeft =>
                {
                    self.release(now, &object, Finalizer::Orphan, out);
                }
                _ => self.objects.again(&owner.key, now.mono),
            },
        }
    }

    /// The answer to whether there are children of the last of these kinds.
    pub(super) fn children_answered(
        &mut self,
        now: Now,
        owner: Owner,
        mut of: Vec<Kind>,
        answer: &Answer,
        out: &mut Effects,
    ) {
        match answer {
            _ if planted!(FailedListReleases) && !matches!(answer, Answer::List { .. }) => {
                of.pop();
                self.count_children(now, owner, of, out);
            }
            Answer::List { items, .. } if !items.iter().any(|item| names(item, &owner.uid)) => {
                of.pop();
                self.count_children(now, owner, of, out);
            }
            // There are children; the view will show them.
            Answer::List { .. } => self.objects.failed(&owner.key, now.mono),
            _ => {
                if self.object(&owner.key).is_some_and(|object| object.meta().uid == owner.uid) {
                    self.uncounted.insert(owner.uid, of);
                }
                self.objects.failed(&owner.key, now.mono);
            }
        }
    }
}

fn names(object: &Object, uid: &str) -> bool {
    object.meta().owner_references.iter().any(|owner| owner.uid == uid)
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::controllers::garbage::program::testing::{key, pods, world};
    use crate::controllers::testing::{owned_by, owner_reference};
    use crate::program::{Part, Propagation};
    use serde_json::json;

    #[test]
    fn orphans_stay() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let set = world.set("web", json!([]));
            for name in ["a", "b", "c"] {
                world.pod(name, "n1", owned_by(&set));
            }
            world.run(&mut program, 5);
            world.delete(set.key(), Some(Propagation::Orphan));
            world.run(&mut program, 60);
            assert_eq!((pods(&world).as_str(), world.names(Kind::ReplicaSet, "default").as_str()), ("a b c", ""));
            for name in ["a", "b", "c"] {
                assert!(world.get(Kind::Pod, "default", name).unwrap().meta().owner_references.is_empty());
            }
        }
    }

    #[test]
    fn a_child_that_the_view_does_not_show_is_orphaned_too() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let set = world.set("web", json!([]));
            world.run(&mut program, 5);
            world.deaf_to.insert(Kind::Pod);
            world.pod("late", "n1", owned_by(&set));
            world.delete(set.key(), Some(Propagation::Orphan));
            world.run(&mut program, 30);
            assert_eq!(world.names(Kind::ReplicaSet, "default"), "-web", "it waits for the child");
            world.deaf_to.clear();
            world.run(&mut program, 60);
            assert_eq!((pods(&world).as_str(), world.names(Kind::ReplicaSet, "default").as_str()), ("late", ""));
        }
    }

    #[test]
    fn those_that_own_each_other_go_all_the_same() {
        for seed in 0..20 {
            for both in [false, true] {
                let (mut world, mut program) = world(seed);
                let first = world.set("first", json!([]));
                let second = world.set("second", owned_by(&first));
                world.merge(first.key(), json!({"metadata": {"ownerReferences": owned_by(&second)}}), Part::Main);
                world.run(&mut program, 5);
                world.delete(first.key(), Some(Propagation::Foreground));
                if both {
                    world.delete(second.key(), Some(Propagation::Foreground));
                }
                world.run(&mut program, 60);
                assert_eq!(world.names(Kind::ReplicaSet, "default"), "", "seed {seed}, both: {both}");
            }
        }
    }

    #[test]
    fn in_the_foreground_children_go_first() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let top = world.set("top", json!([]));
            let middle = world.set("middle", owned_by(&top));
            world.pod("a", "n1", owned_by(&middle));
            let mut unblocking = owner_reference(&top);
            unblocking["blockOwnerDeletion"] = json!(false);
            world.pod("slow", "n1", json!([unblocking]));
            world.merge(key(Kind::Pod, "slow"), json!({"metadata": {"finalizers": ["x/y"]}}), Part::Main);
            world.run(&mut program, 5);
            world.delete(top.key(), Some(Propagation::Foreground));
            world.run(&mut program, 20);
            assert_eq!(world.names(Kind::ReplicaSet, "default"), "-middle -top", "seed {seed}");
            assert_eq!(pods(&world), "-a -slow");
            world.delete_at_once(key(Kind::Pod, "a"));
            world.run(&mut program, 20);
            assert_eq!((world.names(Kind::ReplicaSet, "default").as_str(), pods(&world).as_str()), ("", "-slow"));
        }
    }
}
