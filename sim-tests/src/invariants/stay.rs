//! L-evict: A pod that does not tolerate a taint of its node that sends pods away, or not any longer, is made to end within a minute, while the node lifecycle controller is well.
//!
//! Well is who runs at its pace, with a good way to a running API server; since then it counts anew. Taints that say that a
//! node is not heard are no matter of this: its pods wait for their turn. Catches: of several taints the one that is put up
//! with for longest taken for all; a time that is never up.

use super::evict::puts_up_with;
use super::{Broken, Checker, by_a_slow_clock};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{NO_EXECUTE, NOT_READY, Taint, UNREACHABLE};
use miniku_core::api::text::Text;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// How long it may take beside the time that the pod has.
const BOUND: Duration = Duration::from_secs(60);
/// How often pods are looked at.
const EVERY: Duration = Duration::from_secs(20);

/// Since when each pod has been seen on its node with each of the taints that send pods away.
#[derive(Default)]
pub struct Stay {
    since: BTreeMap<(Text, Text, Text), Instant>,
    look_at: Option<Instant>,
}

fn sends_away(taint: &Taint) -> bool {
    taint.effect == NO_EXECUTE && !matches!(taint.key.as_str(), NOT_READY | UNREACHABLE)
}

impl Stay {
    fn look(&mut self, truth: &Truth) -> Result<(), Broken> {
        let before = std::mem::take(&mut self.since);
        let tainted = truth.all::<Node>().filter(|node| node.spec.taints.iter().any(sends_away));
        let tainted: BTreeMap<&str, &Node> = tainted.map(|node| (node.metadata.name.as_str(), node)).collect();
        if tainted.is_empty() {
            return Ok(());
        }
        let here = |pod: &'_ Pod| pod.node().and_then(|node| tainted.get(node).copied());
        for (pod, node) in truth.all::<Pod>().filter(|pod| pod.is_active()).filter_map(|pod| Some((pod, here(pod)?))) {
            for taint in node.spec.taints.iter().filter(|taint| sends_away(taint)) {
                let seen = (pod.metadata.uid.clone(), taint.key.clone(), taint.value.clone());
                let since = before.get(&seen).copied().unwrap_or(truth.now);
                self.since.insert(seen, since);
                let (Some(stays), Some(well)) = (puts_up_with(pod, taint), truth.lifecycle) else { continue };
                let (waits, most) = (truth.now.since(since.max(well)), by_a_slow_clock(stays) + BOUND);
                if waits > most {
                    let (pod, on) = (&pod.metadata.name, &node.metadata.name);
                    let what = format!(
                        "{pod} is on {on} with the taint {taint} for {} s, and stays {} s",
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
        &[Sight::Durable, Sight::Time]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            // Nearly never is there such a taint.
            Fact::Durable { change } if change.key.kind == Kind::Node && self.look_at.is_none() => {
                let node = change.new.as_ref().and_then(|new| new.get::<Node>());
                if node.is_some_and(|node| node.spec.taints.iter().any(sends_away)) {
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
    use super::super::forged::{Story, node, pod};
    use super::*;
    use serde_json::{Value, json};

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
