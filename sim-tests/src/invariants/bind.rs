//! S-bind: A pod's nodeName goes from none to one existing node, once for each uid.
//!
//! A bind may be granted before a removal and stored after it: those that were on their way to the disk when the API server
//! was told that the node is gone. What it grants later comes to no such node, whenever it was asked for. Pods that are created
//! with a nodeName are their author's affair.
//! Catches: an API server that binds twice, or to a node that it knows to be gone; a scheduler that keeps deleted nodes in its
//! cache.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use std::collections::{BTreeMap, BTreeSet};

/// A pod by its name, and its uid.
type Meant = (Key, Text);

/// Remembers which nodes there are, and which were removed. What becomes durable together is stored before any of it is
/// seen; so a node may be gone from the store whose removal comes next.
#[derive(Default)]
pub struct Bind {
    there: BTreeSet<Text>,
    /// The nodes that were removed; and once the API server knows that, the pods that were on their way there.
    removed: BTreeMap<Text, Option<BTreeSet<Meant>>>,
}

/// The pods whose binds to a node are on their way to the disk.
fn on_their_way_to(truth: &Truth, node: &str) -> BTreeSet<Meant> {
    let pods = truth.disk.on_their_way().filter_map(|(key, object)| Some((key, object?.get::<Pod>()?)));
    pods.filter(|(_, pod)| pod.node() == Some(node)).map(|(key, pod)| (key.clone(), pod.metadata.uid.clone())).collect()
}

impl Checker for Bind {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Told, Sight::Recovered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let change = match fact {
            Fact::Durable { change } => change,
            Fact::Told { change } => {
                if change.key.kind == Kind::Node
                    && let Some(granted) = self.removed.get_mut(&change.key.name)
                {
                    // For as long as it thinks that the node is back, it may grant more.
                    *granted = change.new.is_none().then(|| on_their_way_to(truth, &change.key.name));
                }
                return Ok(());
            }
            Fact::Recovered { .. } => {
                // A young server knows what is stored, and nothing is on its way.
                self.removed.values_mut().for_each(|granted| *granted = Some(BTreeSet::new()));
                return Ok(());
            }
            _ => return Ok(()),
        };
        if change.key.kind == Kind::Node {
            match &change.new {
                Some(node) => {
                    self.removed.remove(&change.key.name);
                    self.there.insert(node.meta().name.clone());
                }
                None => {
                    self.there.remove(&change.key.name);
                    self.removed.insert(change.key.name.clone(), None);
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
                let meant = (change.key.clone(), new.meta().uid.clone());
                let may_be =
                    |granted: &Option<BTreeSet<Meant>>| granted.as_ref().is_none_or(|all| all.contains(&meant));
                let known = is_there || self.removed.get(node).is_some_and(may_be);
                if known { Ok(()) } else { broken(format!("{} is bound to {node}, which is no node", after_name(new))) }
            }
            (None, None) => Ok(()),
        }
    }
}

fn after_name(object: &Object) -> String {
    object.meta().full_name()
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod};
    use super::*;
    use miniku_core::api::by_key::ByKey;
    use miniku_core::program::{CommitId, Revision, Write};

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
    fn fires_on_what_was_granted_when_the_removal_was_known() {
        // The bind is on its way before anybody knows of the removal, or begins later; and perhaps the server begins anew.
        let breaks = |on_its_way: bool, told: bool, restarted: bool| {
            let mut story = Story::<Bind>::new();
            let node = story.put(node("n")).unwrap().new.unwrap();
            let unbound = story.put(pod("a", "", "Pending")).unwrap();
            let gone = story.write(&node, true).unwrap();
            if on_its_way {
                let object = Some(crate::plan::object(pod("a", "n", "Pending")));
                let write = Write { key: unbound.key, expect: unbound.revision, object };
                story.truth.disk.submit(CommitId(1), write, 0);
            }
            if told {
                story.see(Fact::Told { change: &gone }).unwrap();
            }
            if restarted {
                story.see(Fact::Recovered { objects: &ByKey::new(), revision: Revision(0) }).unwrap();
            }
            story.put(pod("a", "n", "Pending")).is_err()
        };
        assert!(breaks(false, true, false));
        assert!(breaks(false, false, true));
        assert!(!breaks(false, false, false));
        assert!(!breaks(true, true, false));
    }

    #[test]
    fn a_node_that_is_back_takes_pods_until_it_is_known_to_be_gone_again() {
        let mut story = Story::<Bind>::new();
        let first = story.put(node("n")).unwrap().new.unwrap();
        let gone = story.write(&first, true).unwrap();
        let back = story.put(node("n")).unwrap();
        let again = story.write(back.new.as_ref().unwrap(), true).unwrap();
        for (name, change, breaks) in [("a", &gone, true), ("b", &back, false), ("c", &again, true)] {
            story.put(pod(name, "", "Pending")).unwrap();
            story.see(Fact::Told { change }).unwrap();
            assert_eq!(story.put(pod(name, "n", "Pending")).is_err(), breaks, "{name}");
        }
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
