//! S-bind: A pod's nodeName goes from none to one existing node, once for each uid.
//!
//! A bind may be decided before a removal and stored after it, so a node counts as existing for a minute after
//! that; but no longer than the disk may take once the API server was told of the removal, and not at all if the bind was
//! asked for only then. Pods that are created with a nodeName are their author's affair.
//! Catches: an API server that binds twice; a scheduler that keeps deleted nodes in its cache.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::program::Verb;
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

const NEWS: Duration = Duration::from_secs(60);
/// A bind may wait so long for the disk after it was decided.
const DECIDED: Duration = Duration::from_secs(10);

/// Remembers which nodes there are, and when others were removed. What becomes durable together is stored before any of it is
/// seen; so a node may be gone from the store whose removal comes next.
#[derive(Default)]
pub struct Bind {
    there: BTreeSet<Text>,
    removed: BTreeMap<String, Instant>,
    /// The nodes of which the API server knows that they are gone, and since when.
    known_gone: BTreeMap<Text, Instant>,
    /// The binds that were asked for: whether one of them was when that was not known yet.
    asked: BTreeMap<(Key, Text, Text), bool>,
}

impl Checker for Bind {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Told, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let change = match fact {
            Fact::Durable { change } => change,
            Fact::Told { change } => {
                if change.key.kind == Kind::Node && change.new.is_none() {
                    self.known_gone.insert(change.key.name.clone(), truth.now);
                }
                return Ok(());
            }
            Fact::Sent { request, .. } => {
                if let Verb::Bind { key, uid, node } = &request.verb {
                    let unknown = !self.known_gone.contains_key(node);
                    *self.asked.entry((key.clone(), uid.clone(), node.clone())).or_default() |= unknown;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if change.key.kind == Kind::Node {
            match &change.new {
                Some(node) => {
                    self.known_gone.remove(&change.key.name);
                    self.there.insert(node.meta().name.clone());
                }
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
                let asked = self.asked.remove(&(change.key.clone(), new.meta().uid.clone(), node.into()));
                let lately = |at: Option<&Instant>, least| at.is_none_or(|at| truth.now.since(*at) <= least);
                let may_be = asked != Some(false) && lately(self.known_gone.get(node), DECIDED);
                let was_there = self.removed.contains_key(node) && lately(self.removed.get(node), NEWS);
                let known = is_there || may_be && was_there;
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
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::program::{CommitId, RequestId, Write};

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
    fn fires_on_a_bind_that_was_asked_for_when_the_removal_was_known() {
        let breaks = |known: bool| {
            let mut story = Story::<Bind>::new();
            let node = story.put(node("n")).unwrap().new.unwrap();
            let key = story.put(pod("a", "", "Pending")).unwrap().key;
            let request = Verb::Bind { key, uid: "a-uid".into(), node: "n".into() }.into();
            let gone = story.write(&node, true).unwrap();
            if known {
                story.see(Fact::Told { change: &gone }).unwrap();
            }
            let who = who(Role::Scheduler, "scheduler");
            story.see(Fact::Sent { who: &who, id: RequestId(1), request: &request }).unwrap();
            story.put(pod("a", "n", "Pending")).is_err()
        };
        assert!(breaks(true));
        assert!(!breaks(false));
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
