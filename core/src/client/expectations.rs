//! Expectations: what a controller asked for and has not seen happen yet.
//!
//! A controller counts what its view shows. Between a creation and the view's news of it, counting again would create
//! again; so it waits until what it asked for was seen, refused, or taken for lost.
//!
//! Source: Kubernetes, `controller_utils.go` (`ControllerExpectations`), which counts; miniku names, so that a change
//! made by somebody else cannot be taken for one's own.

use std::collections::{BTreeMap, BTreeSet};

/// Names of what each owner asked for: `owner` and `child` are uids or names, as the controller likes.
#[derive(Clone, Debug)]
pub struct Expectations<O, C> {
    open: BTreeMap<O, BTreeSet<C>>,
}

impl<O, C> Default for Expectations<O, C> {
    fn default() -> Self {
        Expectations { open: BTreeMap::new() }
    }
}

impl<O: Ord + Clone, C: Ord + Clone> Expectations<O, C> {
    /// `owner` asked for a change of `child`.
    pub fn expect(&mut self, owner: &O, child: C) {
        self.open.entry(owner.clone()).or_default().insert(child);
    }

    /// The change was seen, or will not come.
    pub fn met(&mut self, owner: &O, child: &C) {
        if let Some(children) = self.open.get_mut(owner) {
            children.remove(child);
            if children.is_empty() {
                self.open.remove(owner);
            }
        }
    }

    /// A change of `child` was seen, whoever made it.
    pub fn seen(&mut self, child: &C) -> Vec<O> {
        let waiting = self.open.iter().filter(|(_, children)| children.contains(child));
        let owners: Vec<O> = waiting.map(|(owner, _)| owner.clone()).collect();
        for owner in &owners {
            self.met(owner, child);
        }
        owners
    }

    /// Whether `owner` waits for nothing.
    pub fn is_met(&self, owner: &O) -> bool {
        !self.open.contains_key(owner)
    }

    /// The owner is gone.
    pub fn forget(&mut self, owner: &O) {
        self.open.remove(owner);
    }
}
