//! S-where: The scheduler binds a pod to a node only if that takes it, as far as the scheduler was told: ready, not cordoned, not being deleted, with the labels that the pod wants, no taint that it does not tolerate, and in reach of the volumes that its claims are bound to; and only a pod without gates, and one that names no other scheduler.
//!
//! Catches: a filter that is left out; a decision on a node's former state; pods of others that are bound.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Labels;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{KEEP_AWAY, NO_SCHEDULE, NOT_READY, Taint, UNREACHABLE, UNSCHEDULABLE, untolerated};
use miniku_core::api::text::Text;
use miniku_core::program::Verb;
use serde_json::Value;

/// Each scheduler by what it was told itself.
#[derive(Default)]
pub struct Place;

/// Whether a pod has a claim whose volume cannot be reached from a node, as far as was told of both and they are still there:
/// what vanished in a gap of a view is not known to whoever has it.
///
/// Source: Kubernetes documentation, "Persistent Volumes", node affinity.
fn lacks_a_volume(truth: &Truth, told: Told<'_>, pod: &Pod, node: &Node) -> bool {
    let known = |key: &Key| told.object(key).filter(|one| truth.stored(one).is_some());
    let volumes = pod.spec.rest.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let claims = volumes.filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str());
    let mut bound = claims.filter_map(|claim| {
        let claim = known(&Key::new(Kind::PersistentVolumeClaim, &pod.metadata.namespace, claim))?;
        known(&Key::new(Kind::PersistentVolume, "", claim.at(&["spec", "volumeName"])?.as_str()?))
    });
    bound.any(|volume| {
        let terms = volume.at(&["spec", "nodeAffinity", "required", "nodeSelectorTerms"]).and_then(Value::as_array);
        terms.is_some_and(|terms| !terms.iter().any(|term| may_select(term, &node.metadata.labels)))
    })
}

/// Whether a term may select a node with these labels. Only what asks for one of several values is looked at.
fn may_select(term: &Value, labels: &Labels) -> bool {
    let asks = term["matchExpressions"].as_array().into_iter().flatten();
    let mut asks = asks.filter(|one| one["operator"] == "In");
    asks.all(|one| {
        let label = one["key"].as_str().and_then(|key| labels.get(key)).map(Text::as_str);
        one["values"].as_array().is_none_or(|values| values.iter().any(|value| value.as_str() == label))
    })
}

impl Checker for Place {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, request, .. } if who.role == Role::Scheduler => {
                let Verb::Bind { key, uid, node } = &request.verb else { return Ok(()) };
                let told = truth.told(who);
                let Some(known) = told.object(&Key::new(Kind::Node, "", node)) else { return Ok(()) };
                let Some(facts) = known.get::<Node>() else { return Ok(()) };
                // One that is gone is judged by what it was.
                let meant = |object: &&Object| *object.meta().uid == **uid;
                let pod = truth.object(key).filter(meant).or_else(|| told.object(key).filter(meant));
                let pod = pod.and_then(Object::get::<Pod>);
                let selected = pod.is_none_or(|pod| pod.spec.allows_node(node, &facts.metadata.labels));
                let tolerations = pod.map_or(&[][..], |pod| &pod.spec.tolerations);
                let tolerates = |key: &str| tolerations.iter().any(|one| one.tolerates(&Taint::new(key, NO_SCHEDULE)));
                let tainted = untolerated(&facts.spec.taints, tolerations, KEEP_AWAY).next().is_some();
                // Whether there are gates may have been told since.
                let known_pod = told.object(key).and_then(Object::get::<Pod>);
                let gated = known_pod.is_some_and(|pod| !pod.spec.scheduling_gates.is_empty());
                let by = pod.map(|pod| pod.spec.scheduler_name.as_str()).filter(|by| !by.is_empty());
                let of_others = by.is_some_and(|by| !truth.strategies.is_empty() && !truth.strategies.contains_key(by));
                let lacks = pod.is_some_and(|pod| lacks_a_volume(truth, told, pod, facts));
                let wrong = match () {
                    () if facts.spec.unschedulable && !tolerates(UNSCHEDULABLE) => "is cordoned",
                    () if !facts.is_ready() && !tolerates(NOT_READY) && !tolerates(UNREACHABLE) => "is not ready",
                    () if facts.metadata.is_deleting() => "is being deleted",
                    () if !selected => "does not have the labels",
                    () if tainted => "has a taint that it does not tolerate",
                    () if lacks => "lacks a volume of its claims",
                    () if of_others => "another scheduler may give it or not",
                    () if gated => "it may not be bound to before its gates are gone",
                    () => return Ok(()),
                };
                return Err(Broken::by(format!("{key} is bound to {node}, which {wrong}")).with([known]));
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
    use miniku_core::program::WatchEvent;
    use miniku_core::scheduler::Strategy;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn fires_on_a_node_that_does_not_take_the_pod() {
        let mut story = Story::<Place>::new();
        let scheduler = who(Role::Scheduler, "scheduler");
        let mut selective = pod("a", "", "Pending");
        selective["spec"]["nodeSelector"] = json!({"zone": "a"});
        let key = story.put(selective).unwrap().key;
        let mut bind = |change: &dyn Fn(&mut Value)| {
            let mut node = node("n");
            node["metadata"]["labels"] = json!({"zone": "a"});
            node["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            change(&mut node);
            let object = story.put(node).unwrap().new.unwrap();
            story.hears(&scheduler, WatchEvent::Modified(object)).unwrap();
            story.sends(&scheduler, Verb::Bind { key: key.clone(), uid: "a-uid".into(), node: "n".into() })
        };
        bind(&|_| {}).unwrap();
        assert!(bind(&|node| node["spec"] = json!({"unschedulable": true})).is_err());
        assert!(bind(&|node| node["status"]["conditions"][0]["status"] = "Unknown".into()).is_err());
        assert!(bind(&|node| node["metadata"]["labels"]["zone"] = "b".into()).is_err());
        let mut foreign = pod("b", "", "Pending");
        foreign["spec"]["schedulerName"] = "another".into();
        let tainted = |effect: &str| json!({"taints": [{"key": "a", "effect": effect}]});
        assert!(bind(&|node| node["spec"] = tainted("NoSchedule")).is_err());
        bind(&|node| node["spec"] = tainted("PreferNoSchedule")).unwrap();
        let key = story.put(foreign).unwrap().key;
        for (name, fires) in [("default-scheduler", true), ("another", false)] {
            story.truth.strategies = BTreeMap::from([(name.into(), Strategy::default())]);
            let sent = story.sends(&scheduler, Verb::Bind { key: key.clone(), uid: "b-uid".into(), node: "n".into() });
            assert_eq!(sent.is_err(), fires, "{name}: {sent:?}");
        }
    }

    #[test]
    fn fires_on_a_node_from_which_a_volume_cannot_be_reached() {
        let mut story = Story::<Place>::new();
        let scheduler = who(Role::Scheduler, "scheduler");
        for name in ["n", "m"] {
            let mut node = node(name);
            node["metadata"]["labels"] = json!({"host": name});
            node["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            story.shows(&scheduler, node).unwrap();
        }
        let mut claims = pod("a", "", "Pending");
        claims["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
        let key = story.put(claims).unwrap().key;
        let claim = |volume: &str| {
            json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "c", "uid": "c", "namespace": "default"},
                "spec": {"volumeName": volume}})
        };
        let volume = |name: &str, hosts: Value| {
            let asks = json!([{"matchExpressions": [{"key": "host", "operator": "In", "values": hosts}]}]);
            json!({"kind": "PersistentVolume", "metadata": {"name": name, "uid": name},
                "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": asks}}}})
        };
        let bind = |story: &mut Story<Place>, node: &str| {
            story.sends(&scheduler, Verb::Bind { key: key.clone(), uid: "a-uid".into(), node: node.into() })
        };
        bind(&mut story, "n").unwrap();
        story.shows(&scheduler, volume("there", json!(["m"]))).unwrap();
        story.shows(&scheduler, claim("")).unwrap();
        bind(&mut story, "n").unwrap();
        story.put(claim("there")).unwrap();
        bind(&mut story, "n").expect("it was not told that the claim is bound");
        let bound = story.shows(&scheduler, claim("there")).unwrap();
        assert!(bind(&mut story, "n").is_err());
        bind(&mut story, "m").unwrap();
        story.write(&bound, true).unwrap();
        bind(&mut story, "n").expect("its next list may have told that the claim is gone");
    }
}
