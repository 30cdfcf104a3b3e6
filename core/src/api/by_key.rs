//! What is known of very many objects, by their keys.

use crate::api::object::{Key, Kind};
use crate::api::text::Text;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// Values by key, in the order of the keys. Of each kind and namespace it has one tree, by name: so an entry takes half
/// of what it would take in a tree by whole keys, and is found by comparing names alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ByKey<V> {
    /// In their order, and none is empty.
    places: Vec<Place<V>>,
    len: usize,
}

/// Keys, in their order.
pub type Keys = ByKey<()>;

#[derive(Clone, PartialEq, Eq)]
struct Place<V> {
    kind: Kind,
    namespace: Text,
    by_name: BTreeMap<Text, V>,
}

impl<V> Place<V> {
    fn key(&self, name: &Text) -> Key {
        Key { kind: self.kind, namespace: self.namespace.clone(), name: name.clone() }
    }

    fn iter(&self) -> impl Iterator<Item = (Key, &V)> {
        self.by_name.iter().map(|(name, value)| (self.key(name), value))
    }
}

impl<V> ByKey<V> {
    /// None.
    pub const fn new() -> Self {
        ByKey { places: Vec::new(), len: 0 }
    }

    fn find(&self, key: &Key) -> Result<usize, usize> {
        self.places.binary_search_by(|place| (place.kind, &place.namespace).cmp(&(key.kind, &key.namespace)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<&V> {
        self.places[self.find(key).ok()?].by_name.get(&key.name)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.places[at].by_name.get_mut(&key.name)
    }

    /// Whether there is a value of this key.
    pub fn contains_key(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    /// The place of a key; a new one if it had none.
    fn place(&mut self, key: &Key) -> &mut Place<V> {
        let at = self.find(key).unwrap_or_else(|at| {
            // Most have one place for ever.
            if self.places.is_empty() {
                self.places.reserve_exact(1);
            }
            let (kind, namespace, by_name) = (key.kind, key.namespace.clone(), BTreeMap::new());
            self.places.insert(at, Place { kind, namespace, by_name });
            at
        });
        &mut self.places[at]
    }

    /// Sets the value of a key. Gives the one that it had.
    pub fn insert(&mut self, key: Key, value: V) -> Option<V> {
        let before = self.place(&key).by_name.insert(key.name, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Sets the value of a key that has none.
    pub fn insert_if_absent(&mut self, key: &Key, value: impl FnOnce() -> V) {
        if let Entry::Vacant(entry) = self.place(key).by_name.entry(key.name.clone()) {
            entry.insert(value());
            self.len += 1;
        }
    }

    /// Takes the value of a key out.
    pub fn remove(&mut self, key: &Key) -> Option<V> {
        let at = self.find(key).ok()?;
        let value = self.places[at].by_name.remove(&key.name)?;
        self.len -= 1;
        if self.places[at].by_name.is_empty() {
            self.places.remove(at);
        }
        Some(value)
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &V)> {
        self.places.iter().flat_map(Place::iter)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.iter().map(|(key, _)| key)
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.places.iter().flat_map(|place| place.by_name.values())
    }

    /// The values of a kind, in the order of their keys.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &V> {
        let first = self.places.partition_point(|place| place.kind < kind);
        self.places[first..].iter().take_while(move |place| place.kind == kind).flat_map(|place| place.by_name.values())
    }

    /// The values of a kind in one namespace, in the order of their names.
    pub fn within<'a>(&'a self, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a V> + use<'a, V> {
        let place = self.places.binary_search_by(|place| (place.kind, &*place.namespace).cmp(&(kind, namespace)));
        place.ok().map(|at| self.places[at].by_name.values()).into_iter().flatten()
    }

    /// The same with their names.
    pub fn named_within<'a>(
        &'a self,
        kind: Kind,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Text, &'a V)> + use<'a, V> {
        let place = self.places.binary_search_by(|place| (place.kind, &*place.namespace).cmp(&(kind, namespace)));
        place.ok().map(|at| self.places[at].by_name.iter()).into_iter().flatten()
    }

    /// The kinds and namespaces that there is anything of, in their order.
    pub fn places(&self) -> impl Iterator<Item = (Kind, &Text)> {
        self.places.iter().map(|place| (place.kind, &place.namespace))
    }

    /// The values, when nobody needs the keys any more.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.places.into_iter().flat_map(|place| place.by_name.into_values())
    }

    /// Keeps those of which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Key, &mut V) -> bool) {
        for place in &mut self.places {
            let mut key = place.key(&Text::default());
            place.by_name.retain(|name, value| {
                key.name.clone_from(name);
                keep(&key, value)
            });
        }
        self.places.retain(|place| !place.by_name.is_empty());
        self.len = self.places.iter().map(|place| place.by_name.len()).sum();
    }
}

impl Keys {
    /// Adds a key. Whether it was not there.
    pub fn add(&mut self, key: Key) -> bool {
        self.insert(key, ()).is_none()
    }
}

impl<V> Default for ByKey<V> {
    fn default() -> Self {
        ByKey::new()
    }
}

impl<V> FromIterator<(Key, V)> for ByKey<V> {
    fn from_iter<I: IntoIterator<Item = (Key, V)>>(all: I) -> Self {
        let mut by_key = ByKey::new();
        all.into_iter().for_each(|(key, value)| drop(by_key.insert(key, value)));
        by_key
    }
}

impl FromIterator<Key> for Keys {
    fn from_iter<I: IntoIterator<Item = Key>>(all: I) -> Self {
        all.into_iter().map(|key| (key, ())).collect()
    }
}

impl<V: fmt::Debug> fmt::Debug for ByKey<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (key.to_string(), value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    const KINDS: [Kind; 3] = [Kind::Node, Kind::Pod, Kind::ConfigMap];

    fn key(of: u8) -> Key {
        let namespace = ["", "a", "b"][usize::from(of / 3 % 3)];
        Key::new(KINDS[usize::from(of % 3)], namespace, &format!("n{}", of / 9 % 4))
    }

    quickcheck! {
        fn it_is_as_a_map_of_whole_keys(story: Vec<(u8, Option<u8>)>, some: u8) -> bool {
            let (mut one, mut other) = (ByKey::new(), BTreeMap::new());
            for (of, value) in story {
                match value {
                    Some(value) => assert_eq!(one.insert(key(of), value), other.insert(key(of), value)),
                    None => assert_eq!(one.remove(&key(of)), other.remove(&key(of))),
                }
            }
            let same = |one: &ByKey<u8>, other: &BTreeMap<Key, u8>| {
                assert!(one.iter().eq(other.iter().map(|(key, value)| (key.clone(), value))));
                assert!(one.values().eq(other.values()));
                assert!(one.places.iter().all(|place| !place.by_name.is_empty()));
                (one.len(), one.is_empty()) == (other.len(), other.is_empty())
            };
            assert!((0..36).all(|of| one.get(&key(of)) == other.get(&key(of))));
            one.insert_if_absent(&key(some), || some);
            other.entry(key(some)).or_insert(some);
            for kind in KINDS {
                assert!(one.of_kind(kind).eq(other.iter().filter(|(key, _)| key.kind == kind).map(|(_, value)| value)));
                let within = other.iter().filter(|(key, _)| key.kind == kind && *key.namespace == *"a");
                assert!(one.within(kind, "a").eq(within.map(|(_, value)| value)));
            }
            assert!(same(&one, &other));
            one.retain(|key, value| *value < some || *key.name == *"n1");
            other.retain(|key, value| *value < some || *key.name == *"n1");
            assert!(same(&one, &other));
            one.into_values().eq(other.into_values())
        }
    }
}
