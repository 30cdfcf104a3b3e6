//! S-lost: The collector removes a pod for want of its node only if that node has not been there for the whole quarantine.
//!
//! A kubelet whose node object was deleted registers again, and its pods have done nothing wrong.
//! Catches: a collector that takes absence from its view for absence.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::pod::Pod;
use miniku_core::program::Verb;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Source: the collector's `node_quarantine`, 40 s, less what news of the removal may be ahead.
const QUARANTINE: Duration = Duration::from_secs(35);
/// So long the collector may not have heard that the node is back.
const NEWS: Duration = Duration::from_secs(75);

/// When nodes came and went last.
#[derive(Default)]
pub struct Lost {
    removed: BTreeMap<String, Instant>,
    made: BTreeMap<String, Instant>,
}

impl Checker for Lost {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Durable { change } if change.key.kind == Kind::Node => {
                let name = change.key.name.to_string();
                match (&change.old, &change.new) {
                    (Some(_), None) => drop(self.removed.insert(name, truth.now)),
                    (None, Some(_)) => drop(self.made.insert(name, truth.now)),
                    _ => {}
                }
            }
            Fact::Sent { who, request, .. } if who.role == Role::Garbage => {
                let Verb::Delete { key, options } = &request.verb else { return Ok(()) };
                if key.kind != Kind::Pod || options.grace_seconds != Some(0) {
                    return Ok(());
                }
                let Some(object) = truth.object(key) else { return Ok(()) };
                let Some(node) = object.get::<Pod>().and_then(Pod::node) else { return Ok(()) };
                let since = |times: &BTreeMap<String, Instant>| times.get(node).map(|at| truth.now.since(*at));
                let wrong = match truth.node(node).is_some() {
                    true => since(&self.made).is_some_and(|age| age > NEWS),
                    false => since(&self.removed).is_some_and(|gone| gone < QUARANTINE),
                };
                if wrong {
                    return Err(Broken::by(format!("{key} is removed for want of {node}")).with([object]));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use miniku_core::program::{DeleteOptions, RequestId};

    #[test]
    fn fires_on_haste() {
        let mut story = Story::<Lost>::new();
        let change = story.put(node("n")).unwrap();
        let key = story.put(pod("a", "n", "Running")).unwrap().key;
        let options = DeleteOptions { grace_seconds: Some(0), ..Default::default() };
        let request = Verb::Delete { key, options }.into();
        let garbage = who(Role::Garbage, "garbage");
        let remove = Fact::Sent { who: &garbage, id: RequestId(1), request: &request };
        story.pass(100).unwrap();
        assert!(story.see(remove).is_err(), "the node is there");
        story.write(&change.new.unwrap(), true).unwrap();
        story.pass(10).unwrap();
        assert!(story.see(remove).is_err());
        story.pass(30).unwrap();
        story.see(remove).unwrap();
    }
}
