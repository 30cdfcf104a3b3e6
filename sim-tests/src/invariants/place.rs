//! S-where: The scheduler binds a pod to a node only if that takes it, as far as the scheduler was told: ready, not cordoned, not being deleted, with the labels that the pod wants, no taint that it does not tolerate, and in reach of the volumes that its claims are bound to; and only a pod without gates, and one that names no other scheduler.
//!
//! Catches: a filter that is left out; a decision on a node's former state; pods of others that are bound.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::node_affinity::{NodeSelector, NodeSelectorRequirement};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{KEEP_AWAY, NO_SCHEDULE, NOT_READY, Taint, UNREACHABLE, UNSCHEDULABLE, untolerated};
use miniku_core::api::text::Text;
use miniku_core::program::Verb;
use serde::Deserialize;
use serde_json::Value;
use std::cmp::Ordering;

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
        let from = volume.at(&["spec", "nodeAffinity", "required"]);
        let from = from.and_then(|from| NodeSelector::deserialize(from).ok());
        from.is_some_and(|from| !may_be_one_of(&from, node))
    })
}

/// Whether a node has the labels that a pod wants, and may be one of those that it wants.
fn is_wanted(pod: &Pod, node: &Node) -> bool {
    let labels = &node.metadata.labels;
    let has_all = pod.spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    has_all && pod.spec.required_nodes().is_none_or(|wanted| may_be_one_of(wanted, node))
}

/// Whether a node may be one of those that are selected: by all that one of the terms asks for, if that is anything. What
/// the API does not know is not judged.
///
/// Source: Kubernetes API reference v1.32, "NodeSelectorTerm"; documentation, "Assigning Pods to Nodes", operators.
fn may_be_one_of(selected: &NodeSelector, node: &Node) -> bool {
    let of_label = |one: &NodeSelectorRequirement| node.metadata.labels.get(&one.key).map(Text::as_str);
    selected.terms.iter().any(|term| {
        let (by_labels, by_fields) = (&term.match_expressions, &term.match_fields);
        let says_nothing = by_labels.is_empty() && by_fields.is_empty();
        !says_nothing
            && by_labels.iter().all(|one| may_hold(one, of_label(one)))
            && by_fields
                .iter()
                .all(|one| one.key != "metadata.name" || may_hold(one, Some(node.metadata.name.as_str())))
    })
}

/// Whether what is asked for may hold for a value; absent where there is none.
fn may_hold(asked: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let is_listed = value.is_some_and(|value| asked.values.iter().any(|one| one == value));
    // Both as whole numbers; what is none is neither more nor less.
    let number = |text: &str| text.parse::<i64>().ok();
    let order = || Some(number(value?)?.cmp(&number(asked.values.first()?.as_str())?));
    match asked.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => order() == Some(Ordering::Greater),
        "Lt" => order() == Some(Ordering::Less),
        _ => true,
    }
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
                let wanted = pod.is_none_or(|pod| is_wanted(pod, facts));
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
                    () if !wanted => "does not have the labels",
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

    #[test]
    fn each_operator_counts_for_volumes_and_for_what_a_pod_wants() {
        let check = |terms: Value, fits: bool| {
            let mut story = Story::<Place>::new();
            let scheduler = who(Role::Scheduler, "scheduler");
            let mut here = node("n");
            here["metadata"]["labels"] = json!({"host": "n", "cores": "8"});
            here["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            let nodes = json!({"nodeSelectorTerms": terms});
            let volume = json!({"kind": "PersistentVolume", "metadata": {"name": "v", "uid": "v"},
                "spec": {"nodeAffinity": {"required": nodes}}});
            let claim = json!({"kind": "PersistentVolumeClaim",
                "metadata": {"name": "c", "uid": "c", "namespace": "default"}, "spec": {"volumeName": "v"}});
            for manifest in [here, volume, claim] {
                story.shows(&scheduler, manifest).unwrap();
            }
            let mut claims = pod("a", "", "Pending");
            claims["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
            let mut wants = pod("b", "", "Pending");
            wants["spec"]["affinity"] =
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": nodes}});
            for (manifest, uid, why) in
                [(claims, "a-uid", "lacks a volume of its claims"), (wants, "b-uid", "does not have the labels")]
            {
                let key = story.put(manifest).unwrap().key;
                let bind = Verb::Bind { key, uid: uid.into(), node: "n".into() };
                let what = story.sends(&scheduler, bind).err().map_or(String::new(), |broken| broken.what);
                let fires = if fits { "" } else { why };
                assert!(what.contains(fires) && what.is_empty() == fires.is_empty(), "{terms}: {what}");
            }
        };
        let one =
            |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        let asks = |key, operator, values: &[&str], fits| {
            check(json!([{"matchExpressions": [one(key, operator, values)]}]), fits);
        };
        asks("host", "In", &["m", "n"], true);
        asks("host", "In", &["m"], false);
        asks("zone", "In", &["n"], false);
        asks("host", "NotIn", &["m"], true);
        asks("host", "NotIn", &["m", "n"], false);
        asks("zone", "NotIn", &["n"], true);
        asks("host", "Exists", &[], true);
        asks("zone", "Exists", &[], false);
        asks("zone", "DoesNotExist", &[], true);
        asks("host", "DoesNotExist", &[], false);
        asks("cores", "Gt", &["7"], true);
        asks("cores", "Gt", &["8"], false);
        asks("cores", "Lt", &["10"], true);
        asks("cores", "Lt", &["8"], false);
        asks("host", "Gt", &["0"], false);
        asks("zone", "Lt", &["9"], false);
        asks("cores", "Lt", &["many"], false);
        asks("host", "Like", &["m"], true);
        // One term is enough, but all of it has to be so. Who asks for nothing asks for no node.
        let (there, elsewhere) = (one("host", "In", &["n"]), one("host", "In", &["m"]));
        check(json!([{"matchExpressions": [elsewhere]}, {"matchExpressions": [there]}]), true);
        check(json!([{"matchExpressions": [there, elsewhere]}]), false);
        check(json!([{}]), false);
        check(json!([]), false);
        for (name, fits) in [("n", true), ("m", false)] {
            check(json!([{"matchFields": [one("metadata.name", "In", &[name])]}]), fits);
        }
    }
}
