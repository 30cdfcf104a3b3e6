//! L-silent: A node of which nothing is heard any more is said to be unknown within the grace period and 165 s, while the node lifecycle controller is well.
//!
//! Heard is a renewal of its lease, or another word about its being ready. Well is who runs at its pace, with a good way to a
//! running API server that can write. Catches: any write on a node taken for a sign of its life; a deadline that is put off
//! again and again.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace::NODE_LEASES;
use miniku_core::api::node::{Node, NodeCondition};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::text::Text;
use miniku_core::program::Revision;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// All that may make the grace period begin anew, beside that itself: a watch that is opened again, a question that is not
/// answered, a write that fails for a while, another leader.
const BOUND: Duration = Duration::from_secs(165);
/// How often nodes are looked at.
const EVERY: Duration = Duration::from_secs(20);

/// What was heard of each node last that is not unknown, and since when there is nothing else.
#[derive(Default)]
pub struct Silent {
    heard: BTreeMap<Text, (Sign, Instant)>,
    look_at: Instant,
}

/// What a node has said last.
#[derive(PartialEq)]
struct Sign {
    uid: Text,
    ready: NodeCondition,
    lease: Revision,
}

fn sign(truth: &Truth, node: &Node) -> Option<Sign> {
    let ready = node.ready().filter(|ready| ready.status != "Unknown" && !node.metadata.is_deleting())?.clone();
    let lease = truth.object(&Key::new(Kind::Lease, NODE_LEASES, &node.metadata.name));
    Some(Sign { uid: node.metadata.uid.clone(), ready, lease: lease.map_or(Revision(0), Object::revision) })
}

impl Silent {
    fn look(&mut self, truth: &Truth) -> Result<(), Broken> {
        let before = std::mem::take(&mut self.heard);
        let Some(well) = truth.lifecycle.filter(|_| truth.disk.broken.is_none()) else { return Ok(()) };
        for node in truth.all::<Node>() {
            let Some(sign) = sign(truth, node) else { continue };
            let name = &node.metadata.name;
            let same = before.get(name).filter(|(known, _)| *known == sign);
            let since = same.map_or(truth.now, |(_, since)| *since);
            let silent = truth.now.since(since.max(well));
            if silent > truth.settings.node_grace + BOUND {
                let secs = silent.as_secs();
                let what =
                    format!("{name} has not been heard for {secs} s, and is said to be ready: {}", sign.ready.status);
                return Err(Broken::by(what).with(truth.object(&Key::new(Kind::Node, "", name))));
            }
            self.heard.insert(name.clone(), (sign, since));
        }
        Ok(())
    }
}

impl Checker for Silent {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Time]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Time if self.look_at <= truth.now => {
                self.look_at = truth.now + EVERY;
                self.look(truth)
            }
            _ => Ok(()),
        }
    }

    fn due(&self) -> Option<Instant> {
        Some(self.look_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node};
    use super::*;
    use serde_json::{Value, json};

    /// A node that says this of its being ready, and what is written each ten seconds: whether that breaks it.
    fn breaks(ready: &str, well: bool, write: &dyn Fn(u64, &mut Value) -> Option<Value>) -> bool {
        let mut story = Story::<Silent>::new();
        story.truth.lifecycle = well.then(Instant::default);
        let mut node = node("n");
        node["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
        story.put(node.clone()).unwrap();
        (0..25).any(|nth| {
            let other = write(nth, &mut node);
            story.put(other.unwrap_or_else(|| node.clone())).unwrap();
            story.pass(10).is_err()
        })
    }

    #[test]
    fn fires_on_a_silence_that_nobody_notices() {
        let silent = |_: u64, _: &mut Value| None;
        assert!(breaks("True", true, &silent));
        assert!(breaks("False", true, &silent));
        assert!(!breaks("Unknown", true, &silent));
        assert!(!breaks("True", false, &silent));
    }

    #[test]
    fn only_a_lease_and_a_word_are_heard() {
        let touched = |nth: u64, node: &mut Value| {
            node["metadata"]["annotations"] = json!({"touched": nth.to_string()});
            None
        };
        assert!(breaks("True", true, &touched));
        let says = |nth: u64, node: &mut Value| {
            node["status"]["conditions"][0]["reason"] = nth.to_string().into();
            None
        };
        assert!(!breaks("True", true, &says));
        let renews = |nth: u64, _: &mut Value| {
            let meta = json!({"name": "n", "namespace": NODE_LEASES});
            Some(json!({"kind": "Lease", "metadata": meta, "spec": {"leaseTransitions": nth}}))
        };
        assert!(!breaks("True", true, &renews));
    }
}
