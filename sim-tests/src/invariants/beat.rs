//! L-beat: A kubelet that renews the lease of its node goes on doing so, each time within 40 s, while it runs with a good way to a running API server that can write.
//!
//! It does so every 5 s, and a node is given up after 15 s: more than a few in a row are not lost by chance. Catches: a
//! renewal that renews nothing, since it says the same as the one before; one that waits for an answer that is lost.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace::NODE_LEASES;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{Answer, Revision};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a lease may stay as it is.
const BOUND: Duration = Duration::from_secs(40);
/// How often leases are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// What the server says of a write that the disk has not taken.
pub(super) const NOT_STORED: &str = "could not be stored";

/// What was seen of the lease of each node.
#[derive(Default)]
pub struct Beat {
    seen: BTreeMap<Arc<str>, Seen>,
    /// When a write failed last.
    failed: Instant,
    look_at: Instant,
}

/// A lease.
#[derive(Clone, Copy)]
struct Seen {
    revision: Revision,
    /// When that was seen first.
    since: Instant,
    /// Since when its kubelet was in touch then.
    in_touch: Option<Instant>,
    /// How often another one was seen since.
    renewed: u32,
}

impl Beat {
    fn look(&mut self, truth: &Truth) -> Result<(), Broken> {
        for (name, facts) in &truth.nodes {
            let lease = truth.object(&Key::new(Kind::Lease, NODE_LEASES, name));
            let revision = lease.map_or(Revision(0), Object::revision);
            let in_touch = facts.in_touch;
            let known = self.seen.get(name).filter(|known| known.in_touch == in_touch);
            let seen = match known {
                Some(known) if known.revision == revision => *known,
                Some(known) => Seen { revision, since: truth.now, in_touch, renewed: known.renewed + 1 },
                None => Seen { revision, since: truth.now, in_touch, renewed: 0 },
            };
            self.seen.insert(name.clone(), seen);
            // Before that it may wait for an answer that was lost, and what is renewed may be by a life before.
            if in_touch.is_none() || seen.renewed < 2 {
                continue;
            }
            let waits = truth.now.since(seen.since.max(self.failed));
            if waits > BOUND {
                let what = format!("the lease of {name} has not been renewed for {} s", waits.as_secs());
                return Err(Broken::by(what).with(lease));
            }
        }
        Ok(())
    }
}

impl Checker for Beat {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Answered, Sight::Time]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Answered { answer: Answer::Refused(status), .. } if status.message.contains(NOT_STORED) => {
                self.failed = truth.now;
            }
            Fact::Time if self.look_at <= truth.now => {
                let looked = self.look(truth);
                self.look_at = truth.now + EVERY;
                return looked;
            }
            _ => {}
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        Some(self.look_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::Story;
    use super::*;
    use crate::truth::NodeFacts;
    use miniku_core::api::status::{Reason, Status};
    use serde_json::json;

    fn in_touch(story: &mut Story<Beat>, since: Option<Instant>) {
        story.truth.nodes.insert("n".into(), NodeFacts { up: true, in_touch: since });
    }

    /// Whether it is in order that a lease is renewed for so long every ten seconds, and then not for so long.
    fn is_right(renewed: u64, then: u64, also: impl Fn(&mut Story<Beat>, u64)) -> bool {
        let mut story = Story::<Beat>::new();
        in_touch(&mut story, Some(Instant::default()));
        for secs in (0..renewed + then).step_by(10) {
            if secs < renewed {
                let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": "n", "namespace": "kube-node-lease"},
                    "spec": {"holderIdentity": "n", "leaseTransitions": secs}});
                story.put(lease).unwrap();
            }
            also(&mut story, secs);
            if story.pass(10).is_err() {
                return false;
            }
        }
        true
    }

    #[test]
    fn fires_on_a_lease_that_is_not_renewed_any_more() {
        assert!(!is_right(40, 80, |_, _| {}));
        assert!(is_right(40, 30, |_, _| {}));
        assert!(is_right(0, 200, |_, _| {}), "it may be waiting for its first answer");
    }

    #[test]
    fn who_cannot_be_heard_need_not_renew_it() {
        assert!(is_right(40, 200, |story, secs| {
            if secs == 50 {
                in_touch(story, None);
            }
        }));
        let again = |story: &mut Story<Beat>, secs: u64| {
            if secs == 60 {
                in_touch(story, Some(story.truth.now));
            }
        };
        assert!(is_right(40, 200, again), "it may have begun anew");
        let fails = |story: &mut Story<Beat>, _: u64| {
            let answer = Answer::Refused(Status::failure(Reason::InternalError, "the write could not be stored: full"));
            story.answers(1, &answer).unwrap();
        };
        assert!(is_right(40, 200, fails));
    }
}
