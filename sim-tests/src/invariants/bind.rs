//! S-bind: A pod's nodeName goes from none to one existing node, once for each uid.
//!
//! The binder cannot know of a node that was removed while its request was on the way, so a node counts as existing
//! for a minute after its removal. Pods that are created with a nodeName are their author's affair.
//! Catches: an API server that binds twice; a scheduler that keeps deleted nodes in its cache.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

const NEWS: Duration = Duration::from_secs(60);

/// Remembers which nodes there are, and when others were removed. What becomes durable together is stored before any of it is
/// seen; so a node may be gone from the store whose removal comes next.
#[derive(Default)]
pub struct Bind {
    there: BTreeSet<Text>,
    removed: BTreeMap<String, Instant>,
}

impl Checker for Bind {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        if change.key.kind == Kind::Node {
            match &change.new {
                Some(node) => drop(self.there.insert(node.meta().name.clone())),
                None => {
                    self.there.remove(&change.key.name);
                    self.removed.insert(change.key.name.to_string(), truth.now);
                }
            }
        }
        let (Some(old), Some(new)) = (&change.old, &change.new) else { return Ok(()) };
        let (Some(before), Some(after)) = (old.get::<Pod>(), new.get::<Pod>()) else { return Ok(()) };
        let broken = |what: String| Err(Broken::by(what).with([old, new]));
        match (before.node(), after.node()) {
            (before, after) if before == after => Ok(()),
            (Some(before), after) => broken(format!("{} moved from {before} to {after:?}", after_name(new))),
            (None, Some(node)) => {
                let is_there = self.there.contains(node) || truth.node(node).is_some();
                let known = is_there || self.removed.get(node).is_some_and(|at| truth.now.since(*at) <= NEWS);
                if known { Ok(()) } else { broken(format!("{} is bound to {node}, which is no node", after_name(new))) }
            }
            (None, None) => Ok(()),
        }
    }
}

fn after_name(object: &miniku_core::api::object::Object) -> String {
    object.meta().full_name()
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod};
    use super::*;
    use miniku_core::program::{CommitId, Write};

    #[test]
    fn fires_when_a_pod_moves_or_goes_nowhere() {
        let mut story = Story::<Bind>::new();
        story.put(node("n")).unwrap();
        story.put(node("m")).unwrap();
        story.put(pod("a", "", "Pending")).unwrap();
        story.put(pod("a", "n", "Pending")).unwrap();
        assert!(story.put(pod("a", "m", "Pending")).unwrap_err().what.contains("moved"));
        story.put(pod("b", "", "Pending")).unwrap();
        assert!(story.put(pod("b", "nowhere", "Pending")).unwrap_err().what.contains("no node"));
    }

    #[test]
    fn news_of_a_removal_take_their_time() {
        let mut story = Story::<Bind>::new();
        let change = story.put(node("n")).unwrap();
        story.write(&change.new.unwrap(), true).unwrap();
        story.put(pod("a", "", "Pending")).unwrap();
        story.put(pod("a", "n", "Pending")).unwrap();
        story.put(pod("b", "", "Pending")).unwrap();
        story.pass(100).unwrap();
        assert!(story.put(pod("b", "n", "Pending")).is_err());
    }

    #[test]
    fn a_node_goes_when_that_is_seen() {
        let mut story = Story::<Bind>::new();
        let node = story.put(node("n")).unwrap().new.unwrap();
        story.put(pod("a", "", "Pending")).unwrap();
        let write = Write { key: node.key(), expect: node.revision(), object: None };
        story.truth.disk.submit(CommitId(0), write, 0);
        assert_eq!(story.truth.disk.synced().len(), 1);
        story.put(pod("a", "n", "Pending")).unwrap();
    }
}
