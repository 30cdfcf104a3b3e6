//! What clients were told of objects: by lists and by events, the newest by revision.
//!
//! A list counts if its client still waits for it, and makes a view of it: one of some objects alone answers a question,
//! and one that was given up comes to nothing. What these say its views may show later, or never.
//!
//! Of most objects that is what is stored. Only the others are kept: those on whose last write there was no news yet.
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
use miniku_core::program::{Answer, CallId, Input, Query, WatchEvent};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Where what a client was told, since it knew nothing, is not what is stored.
#[derive(Debug)]
pub(crate) struct Apart {
    turn: Turn,
    /// The lists of all objects of a kind that it waits for.
    lists: BTreeSet<CallId>,
    /// What it was told last of each object that is stored otherwise, or is not stored; nothing, where it was not told.
    objects: ByKey<Option<Object>>,
}

/// What a client was told since it knew nothing.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    asked_for: fn(Kind) -> bool,
    stored: &'a ByKey<Object>,
    apart: &'a ByKey<Option<Object>>,
}

/// A life of a client, and the term in which it leads; -1 while it does not. With each it begins anew, and knows nothing.
pub type Turn = (u32, i32);

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
        let is_elected_by = |name: &str| meta.namespace == leader::NAMESPACE && meta.name == *name;
        if let Some((role, _)) = ELECTED.iter().find(|(_, name)| is_elected_by(name)) {
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
        Role::Scheduler => Some(|kind| {
            let volumes = matches!(kind, Kind::PersistentVolumeClaim | Kind::PersistentVolume);
            volumes || matches!(kind, Kind::Node | Kind::Pod | Kind::PodDisruptionBudget)
        }),
        Role::NodeLifecycle => Some(|kind| kind == Kind::Node),
        Role::Endpoints => Some(|kind| matches!(kind, Kind::Service | Kind::Pod)),
        Role::Horizontal => Some(|kind| matches!(kind, Kind::HorizontalPodAutoscaler | Kind::Pod)),
        // Nobody listens to events, of which there are most, nor, but for who collects what is left over, to leases.
        Role::Workloads | Role::Disruption => Some(|kind| !matches!(kind, Kind::Event | Kind::Lease)),
        Role::Garbage => Some(|kind| kind != Kind::Event),
        _ => None,
    }
}

impl Apart {
    /// A life or a term begins, in which nothing was told.
    pub fn begin(turn: Turn, asked_for: fn(Kind) -> bool, stored: &ByKey<Object>) -> Self {
        let mut objects = ByKey::new();
        stored.keys().filter(|key| asked_for(key.kind)).for_each(|key| drop(objects.insert(key, None)));
        Apart { turn, lists: BTreeSet::new(), objects }
    }

    /// Whether it is of this life and term.
    pub fn is_of(&self, turn: Turn) -> bool {
        self.turn == turn
    }

    /// An object that is asked for is stored otherwise than before, or for the first time, or no more; this was stored.
    pub fn stored(&mut self, key: &Key, before: Option<&Object>) {
        self.objects.insert_if_absent(key, || before.cloned());
    }

    /// The client asks for a list.
    pub fn asks(&mut self, call: CallId, query: &Query) {
        if query.namespace.is_none() && query.labels.is_empty() {
            self.lists.insert(call);
        }
    }

    /// The client waits for no answer to this any more.
    pub fn gives_up(&mut self, call: CallId) {
        self.lists.remove(&call);
    }

    /// The client is about to be stepped with this; what is not asked for is left out.
    pub fn hear(&mut self, asked_for: fn(Kind) -> bool, stored: &ByKey<Object>, input: &Input) {
        let awaited = if let Input::Reply { call, .. } = input { self.lists.remove(call) } else { false };
        match input {
            Input::Reply { answer: Answer::List { items, .. }, .. } if awaited => {
                items.iter().filter(|item| asked_for(item.kind())).for_each(|item| self.put(stored, item));
            }
            Input::Event { event: WatchEvent::Added(object) | WatchEvent::Modified(object), .. }
                if asked_for(object.kind()) =>
            {
                self.put(stored, object);
            }
            Input::Event { event: WatchEvent::Deleted(object), .. } if asked_for(object.kind()) => {
                let key = object.key();
                if self.known(stored, &key).is_some_and(|known| known.revision() <= object.revision()) {
                    match stored.get(&key) {
                        Some(_) => self.objects.insert(key, None),
                        None => self.objects.remove(&key),
                    };
                }
            }
            _ => {}
        }
    }

    fn known<'a>(&'a self, stored: &'a ByKey<Object>, key: &Key) -> Option<&'a Object> {
        self.objects.get(key).map_or_else(|| stored.get(key), Option::as_ref)
    }

    fn put(&mut self, stored: &ByKey<Object>, object: &Object) {
        let key = object.key();
        // Most news are what is stored, and nothing newer was told.
        if stored.get(&key).is_some_and(|stored| stored.revision() == object.revision()) {
            self.objects.remove(&key);
        } else if self.known(stored, &key).is_none_or(|known| known.revision() < object.revision()) {
            self.objects.insert(key, Some(object.clone()));
        }
    }
}

/// Nothing is stored.
static NO_OBJECTS: ByKey<Object> = ByKey::new();
/// Nothing is otherwise.
static NONE_APART: ByKey<Option<Object>> = ByKey::new();

impl<'a> Told<'a> {
    /// What somebody was told who was told nothing.
    pub const NOTHING: Told<'static> = Told { asked_for: |_| false, stored: &NO_OBJECTS, apart: &NONE_APART };

    /// What is stored, but for this.
    pub(crate) fn but_for(apart: &'a Apart, asked_for: fn(Kind) -> bool, stored: &'a ByKey<Object>) -> Self {
        Told { asked_for, stored, apart: &apart.objects }
    }

    /// What it was told last of this object.
    pub fn object(self, key: &Key) -> Option<&'a Object> {
        if !(self.asked_for)(key.kind) {
            return None;
        }
        self.apart.get(key).map_or_else(|| self.stored.get(key), Option::as_ref)
    }

    /// What it was told last of the object of which this is a state; none if it knows another of its name.
    pub fn known(self, state: &Object) -> Option<&'a Object> {
        self.object(&state.key()).filter(|known| known.meta().uid == state.meta().uid)
    }

    /// What a new state of an object was made from: none if it knows another version by now.
    pub fn before(self, new: &Object) -> Option<&'a Object> {
        self.object(&new.key()).filter(|known| known.meta().resource_version == new.meta().resource_version)
    }

    /// The objects of a kind in a namespace that it was told of, in the order of their names.
    pub fn within(self, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let stored = self.stored.named_within(kind, namespace).filter(move |_| (self.asked_for)(kind));
        merged(stored, self.apart.named_within(kind, namespace))
    }

    /// Those of them that an owner of this uid controls.
    pub fn owned(self, uid: &str, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a Object> {
        self.within(kind, namespace).filter(move |one| one.meta().controller().is_some_and(|by| by.uid == uid))
    }

    /// The objects of a kind that it was told of.
    pub fn of_kind(self, kind: Kind) -> impl Iterator<Item = &'a Object> {
        self.where_so(move |of| of == kind)
    }

    /// All that it was told of.
    pub fn objects(self) -> impl Iterator<Item = &'a Object> {
        self.where_so(|_| true)
    }

    fn where_so(self, so: impl Fn(Kind) -> bool) -> impl Iterator<Item = &'a Object> {
        let places: BTreeSet<(Kind, &Text)> =
            self.stored.places().chain(self.apart.places()).filter(|(kind, _)| so(*kind)).collect();
        places.into_iter().flat_map(move |(kind, namespace)| self.within(kind, namespace))
    }
}

/// What is stored, but for what is otherwise; both in the order of the names.
fn merged<'a>(
    stored: impl Iterator<Item = (&'a Text, &'a Object)>,
    apart: impl Iterator<Item = (&'a Text, &'a Option<Object>)>,
) -> impl Iterator<Item = &'a Object> {
    let (mut stored, mut apart) = (stored.peekable(), apart.peekable());
    std::iter::from_fn(move || {
        loop {
            let next = match (stored.peek(), apart.peek()) {
                (Some((one, _)), Some((other, _))) => one.cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            match next {
                Ordering::Less => return stored.next().map(|(_, object)| object),
                Ordering::Equal => drop(stored.next()),
                Ordering::Greater => {
                    if let Some((_, Some(object))) = apart.next() {
                        return Some(object);
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::Checker;
    use crate::invariants::forged::{Story, node, pod, who};
    use crate::truth::{Fact, Truth};
    use miniku_core::rng::Draw;
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
        story.shows(who, object).unwrap();
        story.truth.told(who).objects().count()
    }

    #[test]
    fn a_new_life_knows_nothing_and_neither_does_who_is_not_asked_about() {
        let (mut story, mut workloads) = (Story::<Nobody>::new(), who(Role::Workloads, "workloads"));
        assert_eq!(tell(&mut story, &workloads, node("n")), 1);
        assert_eq!(tell(&mut story, &workloads, pod("a", "", "Pending")), 2);
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "n", "namespace": "kube-node-lease"}});
        assert_eq!(tell(&mut story, &workloads, lease), 2);
        assert_eq!(tell(&mut story, &who(Role::NodeLifecycle, "node-lifecycle"), pod("b", "", "Pending")), 0);
        assert_eq!(tell(&mut story, &who(Role::Kubelet, "kubelet/n"), node("n")), 0);
        workloads.life += 1;
        assert_eq!(story.truth.told(&workloads).objects().count(), 0);
        assert_eq!(tell(&mut story, &workloads, node("n")), 1);
    }

    #[test]
    fn a_list_tells_who_waits_for_it_and_asked_for_all() {
        let within = Query { namespace: Some("default".into()), ..Query::all(Kind::Pod) };
        for (query, given_up, knows) in
            [(Query::all(Kind::Pod), false, 1), (Query::all(Kind::Pod), true, 0), (within, false, 0)]
        {
            let (mut story, workloads) = (Story::<Nobody>::new(), who(Role::Workloads, "workloads"));
            story.steps(&workloads, Input::Wake).unwrap();
            let change = story.put(pod("a", "", "Pending")).unwrap();
            story.truth.asks(&workloads, CallId(7), &query);
            if given_up {
                story.truth.gives_up(&workloads, CallId(7));
            }
            let answer = Answer::List { revision: change.revision, items: change.new.into_iter().collect() };
            story.steps(&workloads, Input::Reply { call: CallId(7), answer }).unwrap();
            assert_eq!(story.truth.told(&workloads).objects().count(), knows, "{query:?} {given_up}");
        }
    }

    /// Kept in full: all that was told, the newest by revision.
    #[derive(Default)]
    struct Model(BTreeMap<Key, Object>);

    impl Model {
        fn hear(&mut self, event: &WatchEvent) {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let known = self.0.get(&object.key()).map(Object::revision);
                    if known.is_none_or(|known| known < object.revision()) {
                        self.0.insert(object.key(), object.clone());
                    }
                }
                WatchEvent::Deleted(object) => {
                    if self.0.get(&object.key()).is_some_and(|known| known.revision() <= object.revision()) {
                        self.0.remove(&object.key());
                    }
                }
                WatchEvent::Bookmark(_) | WatchEvent::Expired(_) => {}
            }
        }
    }

    #[test]
    fn what_is_stored_and_the_rest_is_all_that_was_told() {
        for seed in 0..200 {
            let (mut story, who) = (Story::<Nobody>::new(), who(Role::Workloads, "workloads"));
            let (mut model, mut news) = (Model::default(), Vec::new());
            for step in 0..30 {
                let draw = Draw::new(seed).count(step);
                let (what, which) = (draw.key("what").below(4), draw.key("which").u64() as usize);
                let name = ["a", "b", "c"][which % 3];
                let stored = story.truth.object(&Key::new(Kind::Pod, "default", name)).cloned();
                match (what, stored) {
                    (0, Some(object)) => {
                        let change = story.write(&object, true).unwrap();
                        let last = object.with_meta(|meta| meta.resource_version = change.revision.to_string().into());
                        news.push(WatchEvent::Deleted(last));
                    }
                    (0 | 1, _) => {
                        let object = story.put(pod(name, "", "Pending")).unwrap().new.unwrap();
                        news.push(WatchEvent::Modified(object));
                    }
                    _ if news.is_empty() => {}
                    _ => {
                        let event = news[which / 3 % news.len()].clone();
                        model.hear(&event);
                        story.hears(&who, event).unwrap();
                    }
                }
                let told: BTreeMap<Key, &Object> =
                    story.truth.told(&who).objects().map(|one| (one.key(), one)).collect();
                let all = model.0.iter().map(|(key, one)| (key.clone(), one));
                assert!(told.into_iter().eq(all), "seed {seed}, step {step}");
            }
        }
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
