//! What clients were told of objects: by lists and by events, the newest by revision.
//!
//! Checkers judge a decision by what its maker could know. An object that vanished in a gap may stay here for longer
//! than in the client's own view; so a checker that blames somebody for it looks at the truth as well.

use crate::truth::{Role, Who};
use miniku_core::api::by_key::ByKey;
use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::Lease;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::text::Text;
use miniku_core::client::leader;
use miniku_core::program::{Answer, Input, WatchEvent};
use std::collections::BTreeMap;

/// What a client was told since it knew nothing.
#[derive(Debug)]
pub struct Told {
    turn: Turn,
    objects: ByKey<Object>,
}

/// A life of a client, and the term in which it leads; -1 while it does not. With each it begins anew, and knows nothing.
pub type Turn = (u32, i32);

/// What somebody was told who was told nothing.
pub static NOTHING: Told = Told::begin((0, 0));

/// The leases by which those of a role are elected, where several of it run.
const ELECTED: [(Role, &str); 8] = [
    (Role::Scheduler, "kube-scheduler"),
    (Role::Workloads, "kube-controller-manager-workloads"),
    (Role::NodeLifecycle, "kube-controller-manager-node-lifecycle"),
    (Role::Garbage, "kube-controller-manager-garbage"),
    (Role::Namespaces, "kube-controller-manager-namespaces"),
    (Role::Endpoints, "kube-controller-manager-endpoints"),
    (Role::Disruption, "kube-controller-manager-disruption"),
    (Role::Horizontal, "kube-controller-manager-horizontal"),
];

/// Who holds the leases by which programs are elected, and in which term.
#[derive(Debug, Default)]
pub struct Leaders {
    by: BTreeMap<Role, (Text, i32)>,
}

impl Leaders {
    /// Takes in a lease, as it is stored from now on.
    pub fn stored(&mut self, lease: &Lease) {
        let meta = &lease.metadata;
        let role = ELECTED.iter().find(|(_, name)| &*meta.namespace == leader::NAMESPACE && *meta.name == **name);
        if let Some((role, _)) = role {
            let holder = lease.spec.holder_identity.clone().unwrap_or_default();
            self.by.insert(*role, (holder, lease.spec.lease_transitions.unwrap_or(0)));
        }
    }

    /// The term in which somebody leads, if it does. Whom nobody elects leads always.
    pub fn term(&self, who: &Who) -> Option<i32> {
        let Some((holder, term)) = self.by.get(&who.role) else { return Some(0) };
        let life = holder.strip_prefix(&*who.name)?.strip_prefix('_')?;
        (life.parse() == Ok(who.life)).then_some(*term)
    }
}

/// Of which kinds checkers ask what clients of this role were told, if they do.
pub fn asked_for(role: Role) -> Option<fn(Kind) -> bool> {
    match role {
        Role::Scheduler => Some(|kind| matches!(kind, Kind::Node | Kind::Pod)),
        Role::NodeLifecycle => Some(|kind| kind == Kind::Node),
        Role::Endpoints => Some(|kind| matches!(kind, Kind::Service | Kind::Pod)),
        Role::Workloads | Role::Garbage | Role::Disruption => Some(|_| true),
        _ => None,
    }
}

impl Told {
    /// A life or a term begins, and nothing was told in it.
    pub const fn begin(turn: Turn) -> Self {
        Told { turn, objects: ByKey::new() }
    }

    /// Whether it was told in this life and term.
    pub fn is_of(&self, turn: Turn) -> bool {
        self.turn == turn
    }

    /// The client is about to be stepped with this; what is not asked for is left out.
    pub fn hear(&mut self, asked_for: fn(Kind) -> bool, input: &Input) {
        match input {
            Input::Reply { answer: Answer::List { items, .. }, .. } => {
                items.iter().filter(|item| asked_for(item.kind())).for_each(|item| self.put(item));
            }
            Input::Event { event: WatchEvent::Added(object) | WatchEvent::Modified(object), .. }
                if asked_for(object.kind()) =>
            {
                self.put(object);
            }
            Input::Event { event: WatchEvent::Deleted(object), .. } if self.knows_up_to(object) => {
                self.objects.remove(&object.key());
            }
            _ => {}
        }
    }

    fn knows_up_to(&self, object: &Object) -> bool {
        self.objects.get(&object.key()).is_some_and(|known| known.revision() <= object.revision())
    }

    fn put(&mut self, object: &Object) {
        let key = object.key();
        if self.objects.get(&key).is_none_or(|known| known.revision() < object.revision()) {
            self.objects.insert(key, object.clone());
        }
    }

    /// What it was told last of this object.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// The objects of a kind in a namespace that it was told of.
    pub fn within(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &Object> {
        self.objects.within(kind, namespace)
    }

    /// Those of them that an owner of this uid controls.
    pub fn owned<'a>(&'a self, uid: &str, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a Object> {
        self.within(kind, namespace).filter(move |one| one.meta().controller().is_some_and(|by| by.uid == uid))
    }

    /// All that it was told of.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::Checker;
    use crate::invariants::forged::{Story, node, pod, who};
    use crate::truth::{Fact, Truth};
    use miniku_core::program::CallId;
    use serde_json::json;

    #[derive(Default)]
    struct Nobody;

    impl Checker for Nobody {
        fn see(&mut self, _: &Truth, _: &Fact<'_>) -> Result<(), crate::invariants::Broken> {
            Ok(())
        }
    }

    /// Tells somebody of an object: of how many it knows then.
    fn tell(story: &mut Story<Nobody>, who: &Who, object: serde_json::Value) -> usize {
        let event = WatchEvent::Added(story.put(object).unwrap().new.unwrap());
        story.see(Fact::Heard { who, input: &Input::Event { call: CallId(1), event } }).unwrap();
        story.truth.told(who).objects().count()
    }

    #[test]
    fn a_new_life_knows_nothing_and_neither_does_who_is_not_asked_about() {
        let (mut story, mut workloads) = (Story::<Nobody>::new(), who(Role::Workloads, "workloads"));
        assert_eq!(tell(&mut story, &workloads, node("n")), 1);
        assert_eq!(tell(&mut story, &workloads, pod("a", "", "Pending")), 2);
        assert_eq!(tell(&mut story, &who(Role::NodeLifecycle, "node-lifecycle"), pod("b", "", "Pending")), 0);
        assert_eq!(tell(&mut story, &who(Role::Kubelet, "kubelet/n"), node("n")), 0);
        workloads.life += 1;
        assert_eq!(story.truth.told(&workloads).objects().count(), 0);
        assert_eq!(tell(&mut story, &workloads, node("n")), 1);
    }

    #[test]
    fn who_is_elected_knows_what_it_was_told_since_it_leads() {
        for (role, lease) in [(Role::Scheduler, "kube-scheduler"), (Role::Garbage, "kube-controller-manager-garbage")] {
            let (mut story, leader) = (Story::<Nobody>::new(), who(role, "leader"));
            let lease = |holder: &str, term: i32| {
                json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": lease, "namespace": leader::NAMESPACE},
                    "spec": {"holderIdentity": holder, "leaseTransitions": term}})
            };
            story.put(lease("leader_1", 0)).unwrap();
            assert_eq!(tell(&mut story, &leader, node("n")), 1);
            assert_eq!(story.truth.turn(&leader), (1, 0));
            for (holder, term) in [("leader-2_1", 1), ("leader_1", 2)] {
                story.put(lease(holder, term)).unwrap();
                assert_eq!(story.truth.told(&leader).objects().count(), 0, "{holder}");
                assert_eq!(story.truth.turn(&leader), (1, if holder == "leader_1" { term } else { -1 }));
            }
            assert_eq!(tell(&mut story, &leader, pod("a", "", "Pending")), 1);
        }
    }
}
