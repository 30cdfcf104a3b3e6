//! L-evict: A pod that does not tolerate a taint of its node that sends pods away, or not any longer, is made to end within a minute, or within 100 s if its node is silent, while the node lifecycle controller is well.
//!
//! Well is who runs at its pace, with a good way to a running API server; since then it counts anew, and whenever the
//! controller may have missed something, or something could not be stored. Of the taints that say that a node is unwell only
//! those are looked at that it has since it is off, while most nodes are ready, and it may have to wait for its turn; there it
//! counts anew with each change of a node, too. Catches: of several taints the one that is put up with for longest taken for
//! all; a time that is never up, or is not that of the cluster.

use super::beat::NOT_STORED;
use super::evict::puts_up_with;
use super::{Broken, Checker, by_a_slow_clock};
use crate::told::Turn;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace::NODE_LEASES;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{NO_EXECUTE, NOT_READY, Taint, UNREACHABLE};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, Input, Revision};
use miniku_core::store::Change;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long it may take beside the time that the pod has.
const BOUND: Duration = Duration::from_secs(60);
/// The same where the node is silent, since it is off, and is asked for first.
const OFF: Duration = Duration::from_secs(100);
/// How much longer for each other node that is not ready: one is emptied after the other, ten seconds apart by the
/// controller's clock.
const TURN: Duration = Duration::from_secs(11);
/// How often pods are looked at.
const EVERY: Duration = Duration::from_secs(20);

/// Since when each pod has been seen on its node with each of the taints that send pods away.
#[derive(Default)]
pub struct Stay {
    since: BTreeMap<(Text, Text, Text), Instant>,
    look_at: Option<Instant>,
    /// When something was another last by which nodes are given up.
    anew: Instant,
    /// When a controller may have missed something last, or something could not be stored.
    missed: Instant,
    /// The controllers, and the turn of each.
    turns: BTreeMap<Arc<str>, Turn>,
}

fn sends_away(taint: &Taint) -> bool {
    taint.effect == NO_EXECUTE && taint.key != NOT_READY
}

/// Whether so many nodes are ready that those which are not are given up as usual. Source: Kubernetes, `ComputeZoneState`.
fn is_normal(truth: &Truth) -> bool {
    let (all, ready) = (truth.all::<Node>().count(), truth.all::<Node>().filter(|node| node.is_ready()).count());
    ready > 0 && (all - ready <= 2 || (all - ready) * 100 < all * 55)
}

/// Whether a node is ready otherwise than before, or keeps others away.
fn is_another(change: &Change) -> bool {
    let says = |object: &Option<Object>| {
        let node = object.as_ref()?.get::<Node>()?;
        Some((node.metadata.uid.clone(), node.ready().map(|ready| ready.status.clone()), node.spec.taints.clone()))
    };
    says(&change.old) != says(&change.new)
}

impl Stay {
    fn look(&mut self, truth: &Truth) -> Result<(), Broken> {
        let before = std::mem::take(&mut self.since);
        if !is_normal(truth) {
            self.anew = truth.now;
        }
        let tainted = truth.all::<Node>().filter(|node| node.spec.taints.iter().any(sends_away));
        let tainted: BTreeMap<&str, &Node> = tainted.map(|node| (node.metadata.name.as_str(), node)).collect();
        if tainted.is_empty() {
            return Ok(());
        }
        let unwell = truth.all::<Node>().filter(|node| !node.is_ready()).count();
        let turns = TURN * u32::try_from(unwell.saturating_sub(1)).unwrap_or(0);
        let here = |pod: &'_ Pod| pod.node().and_then(|node| tainted.get(node).copied());
        for (pod, node) in truth.all::<Pod>().filter(|pod| pod.is_active()).filter_map(|pod| Some((pod, here(pod)?))) {
            let name = &node.metadata.name;
            for taint in node.spec.taints.iter().filter(|taint| sends_away(taint)) {
                let is_off = taint.key == UNREACHABLE;
                let value = if is_off {
                    let lease = truth.object(&Key::new(Kind::Lease, NODE_LEASES, name));
                    Text::from(lease.map_or(Revision(0), Object::revision))
                } else {
                    taint.value.clone()
                };
                let seen = (pod.metadata.uid.clone(), taint.key.clone(), value);
                let since = before.get(&seen).copied().unwrap_or(truth.now);
                self.since.insert(seen, since);
                let (Some(stays), Some(well)) = (puts_up_with(truth, pod, taint), truth.lifecycle) else { continue };
                let since = since.max(self.missed);
                let (from, bound) = match is_off {
                    // Its kubelet may be there, and be heard now and then.
                    true if truth.nodes.get(&**name).is_none_or(|facts| facts.up) => continue,
                    true => (since.max(self.anew), OFF + turns),
                    false => (since, BOUND),
                };
                let (waits, most) = (truth.now.since(from.max(well)), by_a_slow_clock(stays) + bound);
                if waits > most {
                    let pod = &pod.metadata.name;
                    let what = format!(
                        "{pod} is on {name} with the taint {taint} for {} s, and stays {} s",
                        waits.as_secs(),
                        stays.as_secs()
                    );
                    return Err(Broken::by(what));
                }
            }
        }
        Ok(())
    }
}

impl Checker for Stay {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Time, Sight::Heard, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::NodeLifecycle => {
                let turn = truth.turn(who);
                let missed = matches!(input, Input::Ended { .. } | Input::Reply { answer: Answer::Lost(_), .. });
                if missed || self.turns.get(&who.name) != Some(&turn) {
                    self.turns.insert(who.name.clone(), turn);
                    self.missed = truth.now;
                }
            }
            Fact::Answered { answer: Answer::Refused(status), .. } if status.message.contains(NOT_STORED) => {
                self.missed = truth.now;
            }
            Fact::Durable { change } if change.key.kind == Kind::Node => {
                if is_another(change) {
                    self.anew = truth.now;
                }
                // Nearly never is there such a taint.
                let node = change.new.as_ref().and_then(|new| new.get::<Node>());
                if self.look_at.is_none() && node.is_some_and(|node| node.spec.taints.iter().any(sends_away)) {
                    self.look_at = Some(truth.now);
                }
            }
            Fact::Time if self.look_at.is_some_and(|at| at <= truth.now) => {
                let looked = self.look(truth);
                self.look_at = truth
                    .all::<Node>()
                    .any(|node| node.spec.taints.iter().any(sends_away))
                    .then_some(truth.now + EVERY);
                return looked;
            }
            _ => {}
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.look_at
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use crate::truth::NodeFacts;
    use miniku_core::api::status::{Reason, Status};
    use miniku_core::program::CallId;
    use serde_json::{Value, json};

    fn is(name: &str, status: &str) -> Value {
        let mut node = node(name);
        node["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
        node
    }

    /// A pod is on a node that is given up, and of which the machine may be up; so many others are ready.
    fn given_up(up: bool, others: usize) -> Story<Stay> {
        let mut story = Story::<Stay>::new();
        story.truth.lifecycle = Some(Instant::default());
        story.truth.nodes.insert("n".into(), NodeFacts { up, in_touch: None });
        (0..others).for_each(|nth| drop(story.put(is(&format!("other-{nth}"), "True")).unwrap()));
        let mut off = is("n", "Unknown");
        off["spec"] = json!({"taints": [{"key": UNREACHABLE, "effect": "NoExecute"}]});
        story.put(off).unwrap();
        let mut pod = pod("a", "n", "Running");
        pod["spec"]["tolerations"] = json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 300}]);
        story.put(pod).unwrap();
        story
    }

    #[test]
    fn fires_when_a_pod_stays_on_a_node_that_is_off() {
        let check = |up: bool, others: usize, meanwhile: Option<u64>, secs: u64, fires: bool| {
            let mut story = given_up(up, others);
            let waited = (0..=secs / 20).try_for_each(|nth| {
                if meanwhile == Some(nth * 20) {
                    drop(story.put(is("other-0", "Unknown")).unwrap());
                }
                story.pass(20)
            });
            assert_eq!(waited.is_err(), fires, "{up} {others} {meanwhile:?} {secs}: {waited:?}");
        };
        check(false, 2, None, 160, true);
        check(false, 2, None, 80, false);
        check(true, 2, None, 300, false);
        check(false, 0, None, 300, false);
        check(false, 2, Some(60), 160, false);
        check(false, 2, Some(60), 240, true);
    }

    #[test]
    fn a_node_that_is_off_waits_for_its_turn() {
        let stays = |unwell: usize, secs: u64| {
            let mut story = given_up(false, 9);
            (0..unwell).for_each(|nth| drop(story.put(is(&format!("other-{nth}"), "Unknown")).unwrap()));
            (0..=secs / 20).try_for_each(|_| story.pass(20)).is_ok()
        };
        assert!(!stays(0, 160));
        assert!(stays(4, 160));
        assert!(!stays(4, 220));
    }

    #[test]
    fn it_counts_anew_when_something_may_have_been_missed_or_could_not_be_stored() {
        let stays = |secs: u64, also: &dyn Fn(&mut Story<Stay>)| {
            let mut story = Story::<Stay>::new();
            story.truth.lifecycle = Some(Instant::default());
            let mut tainted = node("n");
            tainted["spec"] = json!({"taints": [{"key": "team", "effect": "NoExecute"}]});
            story.put(tainted).unwrap();
            story.put(pod("a", "n", "Running")).unwrap();
            let waited = (0..secs / 20).try_for_each(|nth| {
                if nth == 2 {
                    also(&mut story);
                }
                story.pass(20)
            });
            waited.is_ok()
        };
        let heard = |story: &mut Story<Stay>, input: Input| {
            story.steps(&who(Role::NodeLifecycle, "node-lifecycle"), input).unwrap();
        };
        let ends = |story: &mut Story<Stay>| heard(story, Input::Ended { call: CallId(1) });
        let is_full = |story: &mut Story<Stay>| {
            let answer = Answer::Refused(Status::failure(Reason::InternalError, "the write could not be stored: full"));
            story.answers(1, &answer).unwrap();
        };
        assert!(stays(80, &|_| {}) && !stays(100, &|_| {}));
        assert!(stays(100, &ends) && !stays(120, &ends));
        assert!(stays(100, &is_full) && !stays(120, &is_full));
    }

    #[test]
    fn fires_when_a_pod_stays_for_too_long() {
        let check = |tolerations: Value, well: bool, secs: u64, fires: bool| {
            let mut story = Story::<Stay>::new();
            story.truth.lifecycle = well.then(Instant::default);
            let mut tainted = node("n");
            tainted["spec"] =
                json!({"taints": [{"key": "team", "effect": "NoExecute"}, {"key": "work", "effect": "NoExecute"}]});
            story.put(tainted).unwrap();
            let mut pod = pod("a", "n", "Running");
            pod["spec"]["tolerations"] = tolerations.clone();
            story.put(pod).unwrap();
            let waited = (0..=secs / 20).try_for_each(|_| story.pass(20));
            assert_eq!(waited.is_err(), fires, "{tolerations} {secs}: {waited:?}");
        };
        let puts_up = |key: &str, secs: Value| json!({"key": key, "operator": "Exists", "tolerationSeconds": secs});
        check(json!([]), true, 100, true);
        check(json!([]), true, 20, false);
        check(json!([]), false, 100, false);
        check(json!([puts_up("team", json!(null)), puts_up("work", json!(null))]), true, 200, false);
        check(json!([puts_up("team", json!(null)), puts_up("work", json!(30))]), true, 140, true);
        check(json!([puts_up("team", json!(null)), puts_up("work", json!(200))]), true, 140, false);
    }
}
