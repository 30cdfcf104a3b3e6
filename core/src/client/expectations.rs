//! Expectations: what a controller asked for and has not seen happen yet.
//!
//! A controller counts what its view shows. Between a creation and the view's news of it, counting again would create
//! again; so it waits until what it asked for was seen, refused, or taken for lost.
//!
//! Source: Kubernetes, `controller_utils.go` (`ControllerExpectations`), which counts; miniku names, so that a change
//! made by somebody else cannot be taken for one's own.

use std::collections::{BTreeMap, BTreeSet};

/// Names of what each owner asked for: `owner` and `child` are uids or names, as the controller likes. What is seen of
/// a child costs what waits for it, not who waits.
#[derive(Clone, Debug)]
pub struct Expectations<O, C> {
    open: BTreeMap<O, BTreeSet<C>>,
    waiting: BTreeMap<C, BTreeSet<O>>,
}

impl<O, C> Default for Expectations<O, C> {
    fn default() -> Self {
        Expectations { open: BTreeMap::new(), waiting: BTreeMap::new() }
    }
}

impl<O: Ord + Clone, C: Ord + Clone> Expectations<O, C> {
    /// `owner` asked for a change of `child`.
    pub fn expect(&mut self, owner: &O, child: C) {
        self.waiting.entry(child.clone()).or_default().insert(owner.clone());
        self.open.entry(owner.clone()).or_default().insert(child);
    }

    /// The change was seen, or will not come.
    pub fn met(&mut self, owner: &O, child: &C) {
        take(&mut self.open, owner, child);
        take(&mut self.waiting, child, owner);
    }

    /// A change of `child` was seen, whoever made it.
    pub fn seen(&mut self, child: &C) -> BTreeSet<O> {
        let owners = self.waiting.remove(child).unwrap_or_default();
        for owner in &owners {
            take(&mut self.open, owner, child);
        }
        owners
    }

    /// Who waits for a change of `child`.
    pub fn waiting_for(&self, child: &C) -> BTreeSet<O> {
        self.waiting.get(child).cloned().unwrap_or_default()
    }

    /// Whether `owner` waits for nothing.
    pub fn is_met(&self, owner: &O) -> bool {
        !self.open.contains_key(owner) || planted!(NoExpectations)
    }

    /// Whether `owner` waits for this.
    pub fn has(&self, owner: &O, child: &C) -> bool {
        self.open.get(owner).is_some_and(|children| children.contains(child)) && !planted!(NoExpectations)
    }

    /// All that is waited for.
    pub fn all(&self) -> impl Iterator<Item = (&O, &C)> {
        self.open.iter().flat_map(|(owner, children)| children.iter().map(move |child| (owner, child)))
    }

    /// The owner is gone.
    pub fn forget(&mut self, owner: &O) {
        for child in self.open.remove(owner).unwrap_or_default() {
            take(&mut self.waiting, &child, owner);
        }
    }
}

fn take<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = map.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_waits_for_its_own() {
        let mut expectations = Expectations::default();
        expectations.expect(&"a", 1);
        expectations.expect(&"a", 2);
        expectations.expect(&"b", 2);
        assert_eq!(expectations.seen(&2), ["a", "b"].into());
        assert!(!expectations.is_met(&"a") && expectations.is_met(&"b") && expectations.has(&"a", &1));
        assert_eq!(expectations.seen(&2), [].into());
        expectations.met(&"a", &1);
        expectations.expect(&"b", 3);
        expectations.forget(&"b");
        assert_eq!((expectations.all().count(), expectations.waiting.len()), (0, 0));
    }
}
