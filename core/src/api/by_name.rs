//! What objects hold by name: labels, amounts of resources, fields without effect.

use crate::api::structs::{Field, Key};
use crate::api::text::Text;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// Values by name, in the order of the names. A JSON object, of which nearly all have none to five entries: side by
/// side these take a fourth of what a tree takes, and every pod has a dozen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByName<V>(Box<[(Text, V)]>);

impl<V> ByName<V> {
    /// Of two of one name the later counts. However many a user sends and in whatever order, this takes O(n log n).
    fn ordered(mut all: Vec<(Text, V)>) -> Self {
        if !all.is_sorted_by(|(a, _), (b, _)| a < b) {
            all.reverse();
            all.sort_by(|(a, _), (b, _)| a.cmp(b));
            all.dedup_by(|(name, _), (kept, _)| name == kept);
        }
        ByName(all.into())
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(one, _)| one.as_bytes().cmp(name.as_bytes()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&V> {
        Some(&self.0[self.find(name).ok()?].1)
    }

    /// The value of a name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        Some(&mut self.0[self.find(name).ok()?].1)
    }

    /// Whether there is a value of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Sets the value of a name.
    pub fn insert(&mut self, name: impl Into<Text>, value: V) {
        let name = name.into();
        match self.find(&name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.put(at, name, value),
        }
    }

    fn put(&mut self, at: usize, name: Text, value: V) {
        self.change(|all| {
            all.reserve_exact(1);
            all.insert(at, (name, value));
        });
    }

    /// Takes the value of a name out.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        let at = self.find(name).ok()?;
        Some(self.change(|all| all.remove(at).1))
    }

    /// Keeps those of which this is true, which may change them.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut V) -> bool) {
        self.change(|all| all.retain_mut(|(name, value)| keep(name, value)));
    }

    /// Takes over others; of two of one name theirs counts.
    pub fn extend(&mut self, others: impl IntoIterator<Item = (Text, V)>) {
        let own = std::mem::take(self);
        *self = own.into_iter().chain(others).collect();
    }

    /// Takes over the values of names that there are none of here.
    pub fn complete(&mut self, from: &ByName<V>)
    where
        V: Clone,
    {
        let own = std::mem::take(self);
        *self = from.clone().into_iter().chain(own).collect();
    }

    /// Each name with its value.
    pub fn iter(&self) -> Iter<'_, V> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Each name with its value, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Text, &mut V)> {
        self.0.iter_mut().map(|(name, value)| (&*name, value))
    }

    /// The names.
    pub fn keys(&self) -> impl Iterator<Item = &Text> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The value of a name, to be changed; a new one if it had none.
    pub fn of(&mut self, name: &Text) -> &mut V
    where
        V: Default,
    {
        let at = self.find(name).unwrap_or_else(|at| {
            self.put(at, name.clone(), V::default());
            at
        });
        &mut self.0[at].1
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut Vec<(Text, V)>) -> R) -> R {
        let mut all = std::mem::take(&mut self.0).into_vec();
        let result = change(&mut all);
        self.0 = all.into();
        result
    }
}

impl<V> Default for ByName<V> {
    fn default() -> Self {
        ByName(Box::default())
    }
}

impl<V: fmt::Debug> fmt::Debug for ByName<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Names with their values.
pub type Iter<'a, V> = std::iter::Map<std::slice::Iter<'a, (Text, V)>, fn(&(Text, V)) -> (&Text, &V)>;

impl<'a, V> IntoIterator for &'a ByName<V> {
    type Item = (&'a Text, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

impl<V> IntoIterator for ByName<V> {
    type Item = (Text, V);
    type IntoIter = std::vec::IntoIter<(Text, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

impl<N: Into<Text>, V> FromIterator<(N, V)> for ByName<V> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        ByName::ordered(all.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<N: Into<Text>, V, const COUNT: usize> From<[(N, V); COUNT]> for ByName<V> {
    fn from(all: [(N, V); COUNT]) -> Self {
        all.into_iter().collect()
    }
}

impl<V> std::ops::Index<&str> for ByName<V> {
    type Output = V;

    fn index(&self, name: &str) -> &V {
        self.get(name).expect("there is a value of this name")
    }
}

impl<V: Serialize> Serialize for ByName<V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

/// A value that is `null` is there all the same, as in Go: it is the least of its type.
impl<'de, V: Deserialize<'de> + Default> Deserialize<'de> for ByName<V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de> + Default> Visitor<'de> for Each<V> {
            type Value = ByName<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByName<V>, A::Error> {
                let mut all = Vec::new();
                while let Some(Key(name)) = map.next_key()? {
                    all.push((name.into(), map.next_value::<Option<V>>()?.unwrap_or_default()));
                }
                Ok(ByName::ordered(all))
            }
        }
        from.deserialize_map(Each(PhantomData))
    }
}

impl<V> Field for ByName<V> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;

    #[test]
    fn of_two_of_one_name_the_later_counts() {
        let all: ByName<i32> = [("b", 1), ("a", 2), ("b", 3)].into();
        assert_eq!(all.iter().collect::<Vec<_>>(), [(&"a".into(), &2), (&"b".into(), &3)]);
        assert_eq!(serde_json::from_str::<ByName<i32>>(r#"{"b":1,"a":2,"b":3}"#).unwrap(), all);
    }

    #[test]
    fn what_is_null_is_there() {
        let all: ByName<Text> = serde_json::from_str(r#"{"a":null,"b":"x"}"#).unwrap();
        assert_eq!(all, [("a", Text::default()), ("b", "x".into())].into());
    }

    quickcheck! {
        /// Whatever is done to them, they are kept as a tree would keep them.
        fn kept_as_in_a_map(first: Vec<(u8, u8)>, then: Vec<(u8, Option<u8>)>, last: Vec<(u8, u8)>) -> bool {
            let name = |nth: u8| format!("name-{}", nth % 20);
            let named = |all: Vec<(u8, u8)>| all.into_iter().map(move |(nth, value)| (name(nth), value));
            let mut list: ByName<u8> = named(first.clone()).collect();
            let mut map: BTreeMap<String, u8> = named(first).collect();
            let mut same = true;
            for (nth, value) in then {
                same &= list.get(&name(nth)) == map.get(&name(nth));
                match value {
                    Some(value) => {
                        list.insert(name(nth), value);
                        map.insert(name(nth), value);
                    }
                    None => same &= list.remove(&name(nth)) == map.remove(&name(nth)),
                }
            }
            list.retain(|_, value| *value % 3 > 0);
            map.retain(|_, value| *value % 3 > 0);
            list.extend(named(last.clone()).map(|(name, value)| (name.into(), value)));
            map.extend(named(last));
            same && list.len() == map.len()
                && list.iter().map(|(name, value)| (name.to_string(), *value)).eq(map)
                && list == serde_json::from_str(&serde_json::to_string(&list).unwrap()).unwrap()
        }
    }
}
