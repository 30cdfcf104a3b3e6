//! The object store as a pure structure: objects by key, a bounded history, and who watches what.
//!
//! It changes only by [`Store::apply`], with what an engine has made durable, in the engine's order. So what a
//! reader or a watcher sees was durable before.

mod watchers;

pub use watchers::Watchers;

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::text::Text;
use crate::program::{Query, Revision, WatchEvent, WatchFrom};
use std::collections::{BTreeMap, VecDeque};

/// How many changes a watch can be behind. Beyond it, it starts again with a list.
///
/// Source: Kubernetes keeps a window of at least 100 events and 75 s; a count alone needs no clock.
pub const HISTORY: usize = 4096;

/// Objects by key, at a revision, with the changes that led there.
#[derive(Debug)]
pub struct Store {
    objects: BTreeMap<Kind, Namespaces>,
    /// How many there are in all.
    len: usize,
    revision: Revision,
    history: VecDeque<Change>,
    history_max: usize,
    /// The revision before the oldest change in the history.
    forgotten: Revision,
}

/// The objects of a kind: by namespace, then by name. No namespace is empty.
type Namespaces = BTreeMap<Text, BTreeMap<Text, Object>>;

/// One write.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// Which object.
    pub key: Key,
    /// What it was; absent if it was created.
    pub old: Option<Object>,
    /// What it is; absent if it was removed. Then [`Change::old`] has its last state.
    pub new: Option<Object>,
}

impl Change {
    /// What a watcher of `query` is told of this change, if anything. Entering and leaving the query look like
    /// creation and removal.
    pub fn seen_by(&self, query: &Query) -> Option<WatchEvent> {
        let before = self.old.as_ref().filter(|old| query.matches(old));
        let after = self.new.as_ref().filter(|new| query.matches(new));
        match (before, after) {
            (None, Some(new)) => {
                if self.old.is_some() {
                    sometimes!(EnteredSelection);
                }
                Some(WatchEvent::Added(new.clone()))
            }
            (Some(_), Some(new)) => Some(WatchEvent::Modified(new.clone())),
            (Some(_), None) if planted!(LeavingNotTold) && self.new.is_some() => None,
            (Some(old), None) => {
                if self.new.is_some() {
                    sometimes!(LeftSelection);
                }
                // The object as it left: the new one if it still exists, else its last state.
                let last = self.new.as_ref().unwrap_or(old);
                Some(WatchEvent::Deleted(last.with_meta(|meta| meta.resource_version = self.revision.into())))
            }
            (None, None) => None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Store::with_history(HISTORY)
    }
}

impl Store {
    /// An empty store that remembers at most so many changes.
    pub fn with_history(history_max: usize) -> Self {
        Store {
            objects: BTreeMap::new(),
            len: 0,
            revision: Revision(0),
            history: VecDeque::new(),
            history_max,
            forgotten: Revision(0),
        }
    }

    /// A store of these objects, which an engine kept. Nothing is remembered of how they came to be.
    pub fn load(objects: impl IntoIterator<Item = Object>, revision: Revision) -> Self {
        let mut store = Store { revision, forgotten: revision, ..Store::default() };
        for object in objects {
            object.is_no_news();
            store.put(&object.key(), Some(object));
        }
        if planted!(RevisionFromObjects) {
            let newest = store
                .objects
                .values()
                .flat_map(BTreeMap::values)
                .flat_map(BTreeMap::values)
                .map(Object::revision)
                .max();
            (store.revision, store.forgotten) = (newest.unwrap_or_default(), newest.unwrap_or_default());
        }
        store
    }

    /// The same, remembering at most so many changes.
    pub fn remembering(self, history_max: usize) -> Self {
        Store { history_max, ..self }
    }

    /// The revision of the newest write.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One object. Costs O(log objects).
    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(&key.kind)?.get(&key.namespace)?.get(&key.name)
    }

    /// All objects that match, in the order of their keys. Costs what the kind has in that namespace.
    pub fn list<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = &'a Object> {
        self.within(query.kind, query.namespace.as_ref())
            .flat_map(BTreeMap::values)
            .filter(|object| query.selects(object))
    }

    /// All objects that matched at a revision, in the order of their keys. Absent if that revision is not remembered any
    /// more, or is still to come.
    ///
    /// Costs what the kind has in that namespace, and what has changed since.
    pub fn list_at(&self, query: &Query, revision: Revision) -> Option<Vec<Object>> {
        if revision < self.forgotten || revision > self.revision {
            return None;
        }
        let newer = self.history.partition_point(|change| change.revision <= revision);
        let within = |key: &Key| {
            key.kind == query.kind && query.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
        };
        // What each object that changed since was then: what its first change since began with.
        let mut then = BTreeMap::new();
        for change in self.history.range(newer..).rev().filter(|change| within(&change.key)) {
            then.insert(&change.key, change.old.as_ref());
        }
        let changed = then.values().filter_map(|old| *old).filter(|old| query.selects(old));
        let unchanged = self.list(query).filter(|object| then.is_empty() || !then.contains_key(&object.key()));
        let mut items: Vec<Object> = unchanged.chain(changed).cloned().collect();
        if !then.is_empty() {
            items.sort_by_cached_key(Object::key);
        }
        Some(items)
    }

    /// The objects of a kind: those of one namespace, or namespace by namespace.
    fn within(&self, kind: Kind, namespace: Option<&Text>) -> impl Iterator<Item = &BTreeMap<Text, Object>> {
        let namespaces = self.objects.get(&kind).into_iter();
        let one = namespaces.clone().filter_map(move |all| all.get(namespace?));
        let all = namespaces.filter(move |_| namespace.is_none()).flat_map(BTreeMap::values);
        one.chain(all)
    }

    /// The kinds of which there are objects, or were.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.objects.keys().copied()
    }

    /// The objects of a kind in one namespace, in the order of their names.
    pub fn of_namespace(&self, kind: Kind, namespace: &Text) -> impl Iterator<Item = &Object> {
        self.objects.get(&kind).and_then(|all| all.get(namespace)).into_iter().flat_map(BTreeMap::values)
    }

    /// How many objects of a kind there are. Costs a step a namespace.
    pub fn count(&self, kind: Kind) -> usize {
        self.within(kind, None).map(BTreeMap::len).sum()
    }

    /// Puts an object in its place, or empties that. Returns what was there.
    fn put(&mut self, key: &Key, object: Option<Object>) -> Option<Object> {
        let namespaces = self.objects.entry(key.kind).or_default();
        let Some(object) = object else {
            let objects = namespaces.get_mut(&key.namespace)?;
            let old = objects.remove(&key.name)?;
            if objects.is_empty() {
                namespaces.remove(&key.namespace);
            }
            self.len -= 1;
            return Some(old);
        };
        let old = match namespaces.get_mut(&key.namespace) {
            Some(objects) => objects.insert(key.name.clone(), object),
            None => {
                namespaces.insert(key.namespace.clone(), BTreeMap::from([(key.name.clone(), object)]));
                None
            }
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes in a durable write: `object` carries its revision; absent means removed. Returns the change.
    pub fn apply(&mut self, key: &Key, object: Option<Object>, revision: Revision) -> &Change {
        assert!(revision > self.revision, "revisions only grow");
        self.revision = revision;
        let old = self.put(key, object.clone());
        if self.history.len() >= self.history_max
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.revision;
            oldest.new.inspect(Object::is_no_news);
        }
        self.history.push_back(Change { revision, key: key.clone(), old, new: object });
        self.history.back().expect("one was just added")
    }

    /// What a new watch is told first: everything there is, or what changed since a revision.
    ///
    /// Absent if that revision is not remembered any more.
    pub fn backlog(&self, query: &Query, from: WatchFrom) -> Option<Vec<WatchEvent>> {
        match from {
            WatchFrom::Start => Some(self.list(query).cloned().map(WatchEvent::Added).collect()),
            WatchFrom::After(revision) if revision < self.forgotten && !planted!(ExpiredInSilence) => None,
            WatchFrom::After(revision) => {
                let mut newer = self.history.partition_point(|change| change.revision <= revision);
                if planted!(BacklogSkips) {
                    newer = self.history.len().min(newer + 1);
                }
                if planted!(BacklogRepeats) {
                    newer = newer.saturating_sub(1);
                }
                Some(self.history.range(newer..).filter_map(|change| change.seen_by(query)).collect())
            }
        }
    }

    /// The oldest revision that a watch can start after.
    pub fn oldest(&self) -> Revision {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::node::Node;
    use crate::api::object::Resource;
    use quickcheck::quickcheck;

    fn node(name: &str, zone: &str, revision: u64) -> Object {
        let mut node = Node::default();
        node.metadata.name = name.into();
        node.metadata.resource_version = revision.to_string().into();
        node.metadata.labels.insert("zone", zone.into());
        node.into_object()
    }

    fn in_zone(zone: &str) -> Query {
        Query {
            labels: crate::api::selector::parse_label_selector(&format!("zone={zone}")).unwrap(),
            ..Query::all(Kind::Node)
        }
    }

    fn story() -> Store {
        let mut store = Store::default();
        let key = |name: &str| Key::new(Kind::Node, "", name);
        store.apply(&key("a"), Some(node("a", "x", 1)), Revision(1));
        store.apply(&key("b"), Some(node("b", "y", 2)), Revision(2));
        store.apply(&key("a"), Some(node("a", "y", 3)), Revision(3));
        store.apply(&key("b"), None, Revision(4));
        store
    }

    fn told(events: Vec<WatchEvent>) -> String {
        let line = |event: &WatchEvent| match event {
            WatchEvent::Added(object) => format!("+{}@{}", object.meta().name, object.revision()),
            WatchEvent::Modified(object) => format!("~{}@{}", object.meta().name, object.revision()),
            WatchEvent::Deleted(object) => format!("-{}@{}", object.meta().name, object.revision()),
            WatchEvent::Bookmark(revision) => format!("={revision}"),
            WatchEvent::Expired(_) => "expired".into(),
        };
        events.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_watch_sees_objects_enter_and_leave_its_selection() {
        let store = story();
        let check = |zone: &str, after, want: &str| {
            assert_eq!(told(store.backlog(&in_zone(zone), WatchFrom::After(Revision(after))).unwrap()), want);
        };
        check("x", 0, "+a@1 -a@3");
        check("y", 0, "+b@2 +a@3 -b@4");
        check("y", 2, "+a@3 -b@4");
        check("y", 4, "");
        assert_eq!(told(store.backlog(&in_zone("y"), WatchFrom::Start).unwrap()), "+a@3");
    }

    #[test]
    fn what_is_forgotten_is_not_skipped_in_silence() {
        let mut store = Store::with_history(2);
        for revision in 1..=5 {
            store.apply(&Key::new(Kind::Node, "", "a"), Some(node("a", "x", revision)), Revision(revision));
        }
        assert!(store.backlog(&in_zone("x"), WatchFrom::After(Revision(2))).is_none());
        assert_eq!(told(store.backlog(&in_zone("x"), WatchFrom::After(Revision(3))).unwrap()), "~a@4 ~a@5");
    }

    #[test]
    fn what_is_loaded_or_forgotten_is_no_news() {
        let is_news = |store: &Store, name: &str| {
            let object = store.get(&Key::new(Kind::Node, "", name)).unwrap();
            let (one, two) = (object.json(), object.json());
            one.as_ptr() == two.as_ptr()
        };
        let mut store = Store::load([node("old", "x", 1)], Revision(1)).remembering(2);
        for (name, revision) in [("a", 2), ("b", 3), ("c", 4)] {
            store.apply(&Key::new(Kind::Node, "", name), Some(node(name, "x", revision)), Revision(revision));
        }
        assert_eq!(["old", "a", "b", "c"].map(|name| is_news(&store, name)), [false, false, true, true]);
    }

    quickcheck! {
        /// Listing and then applying the backlog gives the same as listing later, wherever one starts.
        fn list_then_watch_is_the_same_as_list(writes: Vec<(u8, bool, bool)>, start: usize) -> bool {
            let mut store = Store::default();
            let mut mirror: BTreeMap<String, Object> = BTreeMap::new();
            let start = if writes.is_empty() { 0 } else { start % writes.len() };
            for (nth, (name, x, remove)) in writes.iter().enumerate() {
                let (name, revision) = (format!("n{}", name % 8), nth as u64 + 1);
                if nth == start {
                    mirror = store.list(&in_zone("x")).map(|one| (one.meta().name.to_string(), one.clone())).collect();
                }
                let zone = if *x { "x" } else { "y" };
                let object = (!remove).then(|| node(&name, zone, revision));
                store.apply(&Key::new(Kind::Node, "", &name), object, Revision(revision));
            }
            for event in store.backlog(&in_zone("x"), WatchFrom::After(Revision(start as u64))).unwrap() {
                match event {
                    WatchEvent::Added(one) => assert!(mirror.insert(one.meta().name.to_string(), one).is_none()),
                    WatchEvent::Modified(one) => assert!(mirror.insert(one.meta().name.to_string(), one).is_some()),
                    WatchEvent::Deleted(one) => assert!(mirror.remove(one.meta().name.as_str()).is_some()),
                    WatchEvent::Bookmark(_) | WatchEvent::Expired(_) => unreachable!("a backlog has changes only"),
                }
            }
            mirror.into_values().eq(store.list(&in_zone("x")).cloned())
        }
    }
}
