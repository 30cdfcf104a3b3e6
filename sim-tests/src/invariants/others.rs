//! S-others: What others have put on a node stays when its kubelet or the node lifecycle controller writes it: its labels, annotations and finalizers, whether it is cordoned, taints that do not say how it is, conditions but for `Ready`, and amounts of what no kubelet knows of.
//!
//! As all that was at the revision on which the write is based. Catches: what `kubectl taint` has put there, taken away
//! together with a taint of ours; `example.com/gpu` gone from a node with the next word of its kubelet.

use super::since::before;
use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::node::{Node, NodeCondition};
use miniku_core::api::quantity::{Amounts, Quantity};
use miniku_core::api::taint::Taint;
use miniku_core::api::text::Text;
use miniku_core::program::{Part, Verb};

/// Nothing is remembered.
#[derive(Default)]
pub struct Others;

/// What taints whose keys begin with `node.kubernetes.io/` say of how a node is.
const SAID: [&str; 7] = [
    "not-ready",
    "unreachable",
    "unschedulable",
    "memory-pressure",
    "disk-pressure",
    "pid-pressure",
    "network-unavailable",
];

fn says_how_it_is(taint: &Taint) -> bool {
    taint.key.strip_prefix("node.kubernetes.io/").is_some_and(|says| SAID.contains(&says))
}

fn taints(node: &Node) -> Vec<&Taint> {
    node.spec.taints.iter().filter(|taint| !says_how_it_is(taint)).collect()
}

fn conditions(node: &Node) -> Vec<&NodeCondition> {
    node.status.conditions.iter().filter(|one| one.kind != "Ready").collect()
}

/// The amounts of what has a domain in its name, which is nothing of the machine's own.
fn added(amounts: &Amounts) -> Vec<(&Text, &Quantity)> {
    amounts.iter().filter(|(name, _)| name.contains('/')).collect()
}

/// Which of what others have put there a write of this part changes.
fn changed(was: &Node, is: &Node, part: Part) -> Option<&'static str> {
    let (old, new) = (&was.metadata, &is.metadata);
    match part {
        Part::Main if old.labels != new.labels => Some("its labels"),
        Part::Main if old.annotations != new.annotations => Some("its annotations"),
        Part::Main if old.finalizers != new.finalizers => Some("its finalizers"),
        Part::Main if was.spec.unschedulable != is.spec.unschedulable => Some("whether it is cordoned"),
        Part::Main if taints(was) != taints(is) => Some("taints of others"),
        Part::Status if conditions(was) != conditions(is) => Some("conditions of others"),
        Part::Status if added(&was.status.capacity) != added(&is.status.capacity) => Some("amounts of others"),
        Part::Main | Part::Status | Part::Scale | Part::Finalize => None,
    }
}

impl Checker for Others {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let Verb::Update { object, part } = &request.verb else { return Ok(()) };
        let Some(node) = object.get::<Node>() else { return Ok(()) };
        if !matches!(who.role, Role::Kubelet | Role::NodeLifecycle) {
            return Ok(());
        }
        let Some(was) = before(truth, object) else { return Ok(()) };
        match was.get::<Node>().and_then(|old| changed(old, node, *part)) {
            Some(what) => Err(Broken::by(format!("{who} changes of {}: {what}", object.key())).with([was, object])),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, who};
    use super::*;
    use serde_json::{Value, json};

    /// Whether it breaks it if somebody writes a part of a node with this merged into it.
    fn breaks(role: Role, part: Part, merged: &Value) -> bool {
        let mut story = Story::<Others>::new();
        let mut manifest = node("n");
        manifest["metadata"]["labels"] = json!({"disk": "fast"});
        manifest["metadata"]["annotations"] = json!({"owner": "us"});
        manifest["metadata"]["finalizers"] = json!(["x/y"]);
        manifest["spec"] = json!({"unschedulable": true, "taints": [
            {"key": "team", "value": "a", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"},
            {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]});
        manifest["status"]["capacity"] = json!({"cpu": "1", "example.com/gpu": "2"});
        manifest["status"]["conditions"] =
            json!([{"type": "Ready", "status": "False"}, {"type": "Noisy", "status": "True"}]);
        let stored = story.put(manifest.clone()).unwrap().new.unwrap();
        miniku_core::patch::merge::merge(&mut manifest, merged);
        let revision = stored.meta().resource_version.clone();
        let object = crate::plan::object(manifest).with_meta(|meta| meta.resource_version = revision);
        story.sends(&who(role, "writer"), Verb::Update { object, part }).is_err()
    }

    #[test]
    fn fires_when_what_others_have_put_on_a_node_is_lost() {
        let check = |part: Part, merged: Value| {
            assert!(breaks(Role::NodeLifecycle, part, &merged), "{merged}");
            assert!(!breaks(Role::Operator, part, &merged), "{merged}");
        };
        check(Part::Main, json!({"metadata": {"labels": {"disk": null}}}));
        check(Part::Main, json!({"metadata": {"annotations": {"owner": "me"}}}));
        check(Part::Main, json!({"metadata": {"finalizers": null}}));
        check(Part::Main, json!({"spec": {"unschedulable": null}}));
        let left = |key: &str| json!({"spec": {"taints": [{"key": key, "value": "a", "effect": "NoSchedule"}]}});
        check(Part::Main, left("team"));
        check(Part::Main, left("node.kubernetes.io/out-of-service"));
        check(Part::Status, json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
        check(Part::Status, json!({"status": {"capacity": {"example.com/gpu": null}}}));
        check(Part::Status, json!({"status": {"capacity": {"example.com/gpu": "1"}}}));
    }

    #[test]
    fn what_says_how_a_node_is_comes_and_goes() {
        let taints = json!([
            {"key": "team", "value": "a", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"},
            {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]);
        assert!(!breaks(Role::NodeLifecycle, Part::Main, &json!({"spec": {"taints": taints}})));
        let conditions = json!([{"type": "Noisy", "status": "True"}, {"type": "Ready", "status": "True"}]);
        let status = json!({"status": {"capacity": {"cpu": "4", "memory": "1Gi"}, "conditions": conditions}});
        assert!(!breaks(Role::Kubelet, Part::Status, &status));
        // A part is written by itself.
        let bare = json!({"metadata": {"labels": null}, "spec": {"taints": null}});
        assert!(!breaks(Role::Kubelet, Part::Status, &bare));
    }
}
