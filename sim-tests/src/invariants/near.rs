//! S-near: Of the pods that one life of the scheduler has bound, none is where its own required anti-affinity or that of another forbids it, or shares a host port; and none makes the places differ by more than its constraints allow, as far as the scheduler was told.
//!
//! Catches: anti-affinity that is not looked at, or in one direction only; ports and constraints that are not looked at.

use super::each::Each;
use super::told::Told;
use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::pod_affinity::{NodeInclusion, PodAffinityTerm, WhenUnsatisfiable};
use miniku_core::api::taint::{KEEP_AWAY, untolerated};
use miniku_core::program::Verb;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One for each scheduler.
pub type Nears = Each<Near>;

/// What the scheduler was told, and the binds that its present life has asked for: by pod, its uid and the node.
#[derive(Default)]
pub struct Near {
    told: Told,
    life: u32,
    asked: BTreeMap<Key, (String, String)>,
    /// Those of them that are bound and [mind](minds) others: with whom else a pod is, nobody need look at.
    minding: BTreeSet<Key>,
}

/// Whether a pod has a say in which pods are near it.
fn minds(pod: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_ref();
    affinity.is_some_and(|affinity| affinity.pod_anti_affinity.is_some()) || !host_ports(pod).is_empty()
}

/// Whether a term of a pod selects another. Terms that look at namespaces' labels are left out.
fn selects(term: &PodAffinityTerm, of: &Pod, other: &Pod) -> bool {
    let same = of.metadata.namespace == other.metadata.namespace;
    let namespace = if term.namespaces.is_empty() { same } else { term.namespaces.iter().any(|one| *one == *other.metadata.namespace) };
    let plain = term.namespace_selector.is_none() && term.match_label_keys.is_empty() && term.mismatch_label_keys.is_empty();
    plain && namespace && term.label_selector.as_ref().is_some_and(|labels| labels.matches(&other.metadata.labels))
}

/// Whether a pod may keep another away wherever it is. Terms that are not looked at here may.
pub(super) fn repels(of: &Pod, other: &Pod) -> bool {
    let terms = of.spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let may = |term: &PodAffinityTerm| {
        let wide = !term.namespaces.is_empty() || term.namespace_selector.is_some();
        wide || !term.match_label_keys.is_empty() || !term.mismatch_label_keys.is_empty() || selects(term, of, other)
    };
    terms.is_some_and(|terms| terms.required.iter().any(may))
}

fn forbids(of: &Pod, other: &Pod, here: &Node, there: &Node) -> bool {
    let terms = of.spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let place = |node: &Node, key: &str| node.metadata.labels.get(key).cloned();
    terms.is_some_and(|terms| {
        terms.required.iter().any(|term| {
            let here = place(here, &term.topology_key);
            here.is_some() && here == place(there, &term.topology_key) && selects(term, of, other)
        })
    })
}

fn host_ports(pod: &Pod) -> Vec<u64> {
    let ports = pod.spec.containers.iter().filter_map(|one| one.rest.get("ports")?.as_array()).flatten();
    ports.filter_map(|port| port.get("hostPort").and_then(Value::as_u64)).collect()
}

impl Near {
    /// A bind of this life is durable: the pod against all others that this life has bound.
    fn bound(&mut self, truth: &Truth, key: &Key, pod: &Pod) -> Result<(), Broken> {
        let Some((_, name)) = self.asked.get(key).filter(|(uid, node)| *pod.metadata.uid == **uid && pod.node() == Some(node)) else {
            return Ok(());
        };
        let Some(here) = truth.node(name) else { return Ok(()) };
        let others: Vec<&Key> = if minds(pod) {
            self.minding.insert(key.clone());
            self.asked.keys().collect()
        } else {
            self.minding.iter().collect()
        };
        for other in others.into_iter().filter(|other| *other != key) {
            let Some((uid, node)) = self.asked.get(other) else { continue };
            let stored = truth.object(other).filter(|object| *object.meta().uid == **uid).and_then(Object::get::<Pod>);
            let stored = stored.filter(|pod| pod.node() == Some(node) && pod.is_active());
            let (Some(stored), Some(there)) = (stored, truth.node(node)) else { continue };
            if forbids(pod, stored, here, there) || forbids(stored, pod, there, here) {
                let what = format!("{key} on {name} and {other} on {node} are too near each other");
                return Err(Broken::by(what).with(truth.object(key)).with(truth.object(other)));
            }
            let ports = host_ports(stored);
            if name == node && host_ports(pod).iter().any(|port| ports.contains(port)) {
                let what = format!("{key} and {other} share a port of {name}");
                return Err(Broken::by(what).with(truth.object(key)).with(truth.object(other)));
            }
        }
        Ok(())
    }

    /// A bind is asked for: how the places differ then, by what the scheduler was told. What it has asked for counts
    /// where that makes them differ less.
    fn spreads(&self, key: &Key, node: &str) -> Result<(), Broken> {
        let Some(pod) = self.told.object(key).and_then(Object::get::<Pod>) else { return Ok(()) };
        for one in &pod.spec.topology_spread_constraints {
            if one.when_unsatisfiable != WhenUnsatisfiable::DoNotSchedule || !one.match_label_keys.is_empty() {
                continue;
            }
            let counted = |other: &Pod| {
                other.metadata.namespace == pod.metadata.namespace
                    && other.is_active()
                    && one.label_selector.as_ref().is_some_and(|labels| labels.matches(&other.metadata.labels))
            };
            let nodes = self.told.objects().filter_map(Object::get::<Node>);
            let nodes = nodes.filter(|node| {
                let selected = one.node_affinity_policy == Some(NodeInclusion::Ignore)
                    || pod.spec.allows_node(&node.metadata.name, &node.metadata.labels);
                let tainted = || untolerated(&node.spec.taints, &pod.spec.tolerations, KEEP_AWAY).next().is_some();
                selected && !(one.node_taints_policy == Some(NodeInclusion::Honor) && tainted())
            });
            let places: BTreeMap<&str, &String> =
                nodes.filter_map(|node| Some((node.metadata.name.as_str(), node.metadata.labels.get(&one.topology_key)?))).collect();
            let (mut least, mut most): (BTreeMap<&String, i32>, BTreeMap<&String, i32>) = Default::default();
            for place in places.values() {
                least.entry(place).or_default();
                most.entry(place).or_default();
            }
            for object in self.told.objects().filter(|object| object.kind() == Kind::Pod) {
                let Some(other) = object.get::<Pod>().filter(|other| counted(other)) else { continue };
                let asked = self.asked.get(&object.key()).map(|(_, node)| node.as_str());
                if let Some(place) = other.node().and_then(|node| places.get(node)) {
                    *least.entry(place).or_default() += 1;
                }
                if let Some(place) = other.node().or(asked).and_then(|node| places.get(node)) {
                    *most.entry(place).or_default() += 1;
                }
            }
            let Some(place) = places.get(node) else { continue };
            let with_it = least[*place] + i32::from(counted(pod));
            let emptiest = most.values().min().copied().unwrap_or(0);
            if with_it - emptiest > one.max_skew {
                let what = format!("{key} makes {with_it} in {place}, and elsewhere there are {emptiest}");
                return Err(Broken::by(what).with(self.told.object(key)));
            }
        }
        Ok(())
    }
}

impl Checker for Near {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Heard, Sight::Sent, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::Scheduler => drop(self.told.hear(who, input)),
            Fact::Sent { who, request, .. } if who.role == Role::Scheduler => {
                if self.life != who.life {
                    (self.life, self.asked, self.minding) = (who.life, BTreeMap::new(), BTreeSet::new());
                }
                if let Verb::Bind { key, uid, node } = &request.verb {
                    let judged = self.spreads(key, node);
                    self.asked.insert(key.clone(), (uid.to_string(), node.clone()));
                    return judged;
                }
            }
            Fact::Durable { change } if change.key.kind == Kind::Pod => {
                let pod = |object: &Option<Object>| object.as_ref().and_then(Object::get::<Pod>).cloned();
                let (old, new) = (pod(&change.old), pod(&change.new));
                if let Some(new) = new.filter(|new| new.node().is_some()) {
                    if old.is_some_and(|old| old.node().is_none()) {
                        return self.bound(truth, &change.key, &new);
                    }
                } else if change.new.is_none() {
                    self.asked.remove(&change.key);
                    self.minding.remove(&change.key);
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
    use miniku_core::program::{CallId, Input, RequestId, WatchEvent};
    use serde_json::json;

    /// Two pods are bound, to these nodes: whether that breaks it.
    fn breaks(spec: [Value; 2], nodes: [&str; 2]) -> bool {
        let mut story = Story::<Near>::new();
        let scheduler = who(Role::Scheduler, "scheduler");
        for name in ["n", "m"] {
            let mut node = node(name);
            node["metadata"]["labels"] = json!({"host": name});
            let object = story.put(node).unwrap().new.unwrap();
            let input = Input::Event { call: CallId(1), event: WatchEvent::Added(object) };
            story.see(Fact::Heard { who: &scheduler, input: &input }).unwrap();
        }
        for ((name, on), spec) in ["a", "b"].into_iter().zip(nodes).zip(spec) {
            let with = |node: &str| {
                let mut pod = pod(name, node, "Pending");
                pod["metadata"]["labels"] = json!({"app": "web"});
                for (field, value) in spec.as_object().unwrap() {
                    pod["spec"][field] = value.clone();
                }
                pod
            };
            let created = story.put(with("")).unwrap();
            let uid = created.new.as_ref().unwrap().meta().uid.as_str().into();
            let input = Input::Event { call: CallId(1), event: WatchEvent::Added(created.new.unwrap()) };
            story.see(Fact::Heard { who: &scheduler, input: &input }).unwrap();
            let request = Verb::Bind { key: created.key, uid, node: on.into() }.into();
            if story.see(Fact::Sent { who: &scheduler, id: RequestId(1), request: &request }).is_err() {
                return true;
            }
            let Ok(bound) = story.put(with(on)) else { return true };
            let input = Input::Event { call: CallId(1), event: WatchEvent::Modified(bound.new.unwrap()) };
            story.see(Fact::Heard { who: &scheduler, input: &input }).unwrap();
        }
        false
    }

    #[test]
    fn fires_when_pods_are_where_they_may_not_be() {
        let away = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}});
        assert!(breaks([away.clone(), json!({})], ["n", "n"]));
        assert!(breaks([json!({}), away.clone()], ["n", "n"]));
        assert!(!breaks([away.clone(), away], ["n", "m"]));
        let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "host",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
        assert!(breaks([spread.clone(), spread.clone()], ["n", "n"]));
        assert!(!breaks([spread.clone(), spread], ["n", "m"]));
        let port = json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 80}]}]});
        assert!(breaks([port.clone(), port.clone()], ["n", "n"]));
        assert!(!breaks([port.clone(), port], ["n", "m"]));
    }
}
