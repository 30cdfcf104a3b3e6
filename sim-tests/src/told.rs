//! What clients were told of objects: by lists and by events, the newest by revision.
//!
//! Checkers judge a decision by what its maker could know. An object that vanished in a gap may stay here for longer
//! than in the client's own view; so a checker that blames somebody for it looks at the truth as well.

use crate::truth::{Role, Truth, Who};
use miniku_core::api::by_key::ByKey;
use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::Lease;
use miniku_core::api::object::{Key, Object};
use miniku_core::client::leader;
use miniku_core::program::{Answer, Input, WatchEvent};

/// What one life of a client was told; of a scheduler that is elected, since it leads.
#[derive(Debug)]
pub struct Told {
    life: u32,
    term: i32,
    objects: ByKey<Object>,
}

/// What somebody was told who was told nothing.
pub static NOTHING: Told = Told::begin(0, 0);

/// The schedulers' lease.
const LEASE: &str = "kube-scheduler";

/// The term in which a scheduler leads, if it does. Who takes the lease again has forgotten what it knew, though it is
/// held as before. One that nobody elects leads always, as all others do.
pub fn term(truth: &Truth, who: &Who) -> Option<i32> {
    if who.role != Role::Scheduler {
        return Some(0);
    }
    let lease = truth.object(&Key::new(Kind::Lease, leader::NAMESPACE, LEASE)).and_then(Object::get::<Lease>);
    let Some(lease) = lease else { return Some(0) };
    let holds = lease.spec.holder_identity.as_deref() == Some(&*format!("{}_{}", who.name, who.life));
    holds.then(|| lease.spec.lease_transitions.unwrap_or(0))
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
    pub const fn begin(life: u32, term: i32) -> Self {
        Told { life, term, objects: ByKey::new() }
    }

    /// Whether it was told in this life and term.
    pub fn is_of(&self, life: u32, term: i32) -> bool {
        (self.life, self.term) == (life, term)
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
    use crate::truth::Fact;
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
    fn a_scheduler_knows_what_it_was_told_since_it_leads() {
        let (mut story, scheduler) = (Story::<Nobody>::new(), who(Role::Scheduler, "scheduler"));
        let lease = |holder: &str, term: i32| {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": LEASE, "namespace": leader::NAMESPACE},
                "spec": {"holderIdentity": holder, "leaseTransitions": term}})
        };
        story.put(lease("scheduler_1", 0)).unwrap();
        assert_eq!(tell(&mut story, &scheduler, node("n")), 1);
        for (holder, term) in [("scheduler-2_1", 1), ("scheduler_1", 2)] {
            story.put(lease(holder, term)).unwrap();
            assert_eq!(story.truth.told(&scheduler).objects().count(), 0, "{holder}");
        }
        assert_eq!(tell(&mut story, &scheduler, pod("a", "", "Pending")), 1);
    }
}
