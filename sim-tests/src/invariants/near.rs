//! S-near: Of the pods that one life of the scheduler has bound, none is where its own required anti-affinity or that of another forbids it, or shares a host port; and, as far as the scheduler was told, none makes the places differ by more than its constraints allow, is outside of all of them, or is away from the pods that its required affinity wants, unless it is the first of them.
//!
//! Catches: anti-affinity that is not looked at, or in one direction only; ports, constraints and affinity that are not
//! looked at; nodes that are places of a constraint though it leaves them out, or are not though it does not; a pod that is
//! taken for the first of those that want to be together, wherever the others are.

use super::each::Each;
use super::neighbours::{forbids, minds, selects, share_a_port};
use super::pending::RESERVED;
use super::spread::{Spreading, are_too_few, spreading};
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::by_key::{ByKey, Keys};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::pod_affinity::{PodAffinityTerm, WhenUnsatisfiable};
use miniku_core::api::text::Text;
use miniku_core::program::Verb;
use miniku_core::time::Instant;
use std::collections::BTreeMap;

/// One for each scheduler.
pub type Nears = Each<Near>;

/// The binds that the scheduler's present life has asked for, by pod.
#[derive(Default)]
pub struct Near {
    life: u32,
    asks: u64,
    asked: ByKey<Ask>,
    /// Those of them that [mind](minds) others: with whom else a pod is, nobody need look at.
    minding: Keys,
    /// Pods that are gone, of which the scheduler may not have been told yet.
    gone: Vec<(Key, Text)>,
}

/// The bind that was asked for last of a pod.
struct Ask {
    /// Which of all.
    nth: u64,
    uid: Text,
    node: String,
    /// For which other nodes it was asked before, where it may still arrive, and when for another instead.
    earlier: BTreeMap<String, Instant>,
    clashes: Vec<Clash>,
}

/// With which other a pod may not be, as far as the scheduler was told when it asked for the later of the two. What
/// nodes and pods are by the time that both are bound, it could not know.
struct Clash {
    with: Key,
    nth: u64,
    why: &'static str,
}

fn told_pod<'a>(told: Told<'a>, key: &Key, uid: &str) -> Option<&'a Pod> {
    told.object(key).filter(|told| *told.meta().uid == *uid)?.get()
}

/// What vanished in a gap of the scheduler's view stays in [`Told`] for ever.
fn told_node<'a>(truth: &Truth, told: Told<'a>, name: &str) -> Option<&'a Node> {
    told.object(&Key::new(Kind::Node, "", name)).filter(|told| truth.stored(told).is_some())?.get()
}

impl Near {
    /// With which of the others that this life has asked for a pod may not be.
    fn clashes(&self, truth: &Truth, told: Told<'_>, key: &Key, uid: &str, node: &str) -> Vec<(Key, &'static str)> {
        let (Some(pod), Some(here)) = (told_pod(told, key, uid), told_node(truth, told, node)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let others: Vec<Key> = if minds(pod) { self.asked.keys().collect() } else { self.minding.keys().collect() };
        for other in others.into_iter().filter(|other| other != key) {
            let Some(ask) = self.asked.get(&other) else { continue };
            let Some(known) = told_pod(told, &other, &ask.uid) else { continue };
            let Some(there) = told_node(truth, told, &ask.node) else { continue };
            if forbids(pod, known, here, there) || forbids(known, pod, there, here) {
                found.push((other, "are too near each other"));
            } else if ask.node == node && share_a_port(pod, known) {
                found.push((other, "share a port"));
            }
        }
        found
    }

    /// What is gone is of no matter any more once the scheduler was told so.
    fn forget(&mut self, told: Told<'_>) {
        for (key, uid) in std::mem::take(&mut self.gone) {
            if told_pod(told, &key, &uid).is_some() {
                self.gone.push((key, uid));
            } else if self.asked.get(&key).is_some_and(|ask| ask.uid == uid) {
                self.asked.remove(&key);
                self.minding.remove(&key);
            }
        }
    }

    /// The nodes for which a bind of a pod was asked for: it may come to any of them, and counts on each meanwhile.
    fn asked_for(&self, key: &Key) -> Vec<&str> {
        let Some(ask) = self.asked.get(key) else { return Vec::new() };
        ask.earlier.keys().chain([&ask.node]).map(String::as_str).collect()
    }

    /// A bind is asked for: where those before it may still arrive.
    fn earlier(&mut self, truth: &Truth, key: &Key, uid: &str, node: &str) -> BTreeMap<String, Instant> {
        let Some(last) = self.asked.remove(key).filter(|last| *last.uid == *uid) else { return BTreeMap::new() };
        let mut earlier = last.earlier;
        // The same one may be asked for once more. Another one is a new decision, which gives back what was reserved
        // for long enough.
        if last.node != node {
            earlier.retain(|on, since| on != node && truth.now.since(*since) < RESERVED);
            earlier.insert(last.node, truth.now);
        }
        earlier
    }

    /// A bind is asked for.
    fn ask(&mut self, truth: &Truth, told: Told<'_>, key: &Key, uid: &str, node: &str) {
        self.asks += 1;
        let earlier = self.earlier(truth, key, uid, node);
        let mut ask = Ask { nth: self.asks, uid: uid.into(), node: node.into(), earlier, clashes: Vec::new() };
        for (other, why) in self.clashes(truth, told, key, uid, node) {
            // Which of the two is bound first is not known.
            if let Some(theirs) = self.asked.get_mut(&other) {
                theirs.clashes.push(Clash { with: key.clone(), nth: ask.nth, why });
                ask.clashes.push(Clash { with: other, nth: theirs.nth, why });
            }
        }
        if told_pod(told, key, uid).is_some_and(minds) {
            self.minding.add(key.clone());
        }
        self.asked.insert(key.clone(), ask);
    }

    /// A bind of this life is durable: the pod against all others that this life has bound.
    fn bound(&self, truth: &Truth, key: &Key, pod: &Pod) -> Result<(), Broken> {
        let asked = self.asked.get(key);
        let asked = asked.filter(|ask| pod.metadata.uid == ask.uid && pod.node() == Some(ask.node.as_str()));
        let Some(ask) = asked else { return Ok(()) };
        for Clash { with, nth, why } in &ask.clashes {
            let Some(other) = self.asked.get(with).filter(|other| other.nth == *nth) else { continue };
            let stored = truth.object(with).filter(|stored| stored.meta().uid == other.uid);
            let stored = stored.and_then(Object::get::<Pod>);
            if stored.is_some_and(|stored| stored.node() == Some(other.node.as_str()) && stored.is_active()) {
                let what = format!("{key} on {} and {with} on {} {why}", ask.node, other.node);
                return Err(Broken::by(what).with(truth.object(key)).with(truth.object(with)));
            }
        }
        Ok(())
    }

    /// A bind is asked for: how the places differ then, by what the scheduler was told. What it has asked for, and pods
    /// that are gone, count where that makes them differ less.
    fn spreads(&self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>) else { return Ok(()) };
        for one in &pod.spec.topology_spread_constraints {
            if one.when_unsatisfiable != WhenUnsatisfiable::DoNotSchedule {
                continue;
            }
            let here = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>);
            if here.is_some_and(|here| !here.metadata.labels.contains_key(one.topology_key.as_str())) {
                let what = format!("{key} goes to {node}, which has no {}", one.topology_key);
                return Err(Broken::by(what).with(told.object(key)));
            }
            if !one.match_label_keys.is_empty() {
                continue;
            }
            let Spreading { places, least, most, counts_itself } =
                spreading(truth, told, pod, one, &|key| self.asked_for(key));
            let Some(place) = places.get(node).copied() else { continue };
            let with_it = least[place] + counts_itself;
            let emptiest = most.values().min().copied().filter(|_| !are_too_few(told, pod, one)).unwrap_or(0);
            if with_it - emptiest > one.max_skew {
                let what = format!("{key} makes {with_it} in {place}, and elsewhere there are {emptiest}");
                return Err(Broken::by(what).with(told.object(key)));
            }
        }
        Ok(())
    }

    /// A bind is asked for: whether the pods are there that the pod wants. Those that were asked for count where they help.
    fn joins(&self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>) else { return Ok(()) };
        let affinity = pod.spec.affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
        let terms = affinity.map_or(&[][..], |affinity| &affinity.required);
        let Some(here) = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>) else {
            return Ok(());
        };
        // Others are wanted by all terms together; those whose namespaces or labels are said otherwise are left out.
        let wanted = |other: &Pod| terms.iter().all(|term| selects(term, pod, other));
        let plain = |term: &PodAffinityTerm| term.namespaces.is_empty() && selects(term, pod, pod);
        if terms.is_empty() || !terms.iter().all(plain) {
            return Ok(());
        }
        let others = told.of_kind(Kind::Pod).filter(|one| one.key() != *key);
        let others: Vec<(&Object, &Pod)> = others.filter_map(|one| Some((one, one.get::<Pod>()?))).collect();
        for term in terms {
            let place = |node: &Node| node.metadata.labels.get(&term.topology_key).cloned();
            let place_of = |name: &str| place(told.object(&Key::new(Kind::Node, "", name))?.get::<Node>()?);
            let near = |(object, other): &&(&Object, &Pod)| {
                let on = || other.node().map_or_else(|| self.asked_for(&object.key()), |node| vec![node]);
                let here = place(here);
                wanted(other) && here.is_some() && on().into_iter().any(|node| place_of(node) == here)
            };
            if others.iter().any(|one| near(&one)) {
                continue;
            }
            // Elsewhere: as surely as can be known, and still so.
            let surely = |(object, other): &&(&Object, &Pod)| {
                let is_there = |pod: &Pod| pod.is_active() && pod.node() == other.node() && wanted(pod);
                let stored = truth.stored(object);
                let placed = other.node().is_some_and(|node| told_node(truth, told, node).and_then(place).is_some());
                placed && is_there(other) && stored.and_then(Object::get::<Pod>).is_some_and(is_there)
            };
            if let Some((object, other)) = others.iter().find(surely) {
                let (name, at) = (object.key(), other.node().unwrap_or_default());
                let what = format!("{key} goes to {node}, away from those that it wants: {name} is on {at}");
                return Err(Broken::by(what).with(told.object(key)).with([*object]));
            }
        }
        Ok(())
    }
}

impl Checker for Near {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, request, .. } if who.role == Role::Scheduler => {
                if self.life != who.life {
                    *self = Near { life: who.life, asks: self.asks, ..Near::default() };
                }
                if let Verb::Bind { key, uid, node } = &request.verb {
                    let told = truth.told(who);
                    self.forget(told);
                    let judged = self.spreads(truth, told, key, node).and_then(|()| self.joins(truth, told, key, node));
                    self.ask(truth, told, key, uid, node);
                    return judged;
                }
            }
            Fact::Durable { change } if change.key.kind == Kind::Pod => {
                let (old, new) = (change.old.as_ref(), change.new.as_ref());
                let (old, new) = (old.and_then(Object::get::<Pod>), new.and_then(Object::get::<Pod>));
                if let Some(new) = new.filter(|new| new.node().is_some()) {
                    if old.is_some_and(|old| old.node().is_none()) {
                        return self.bound(truth, &change.key, new);
                    }
                } else if let Some(old) = change.old.as_ref().filter(|_| change.new.is_none())
                    && self.asked.contains_key(&change.key)
                {
                    self.gone.push((change.key.clone(), old.meta().uid.clone()));
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
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    fn labelled(name: &str, label: &str, value: &str) -> Value {
        let mut node = node(name);
        node["metadata"]["labels"][label] = value.into();
        node
    }

    fn web(name: &str, node: &str, spec: &Value) -> Value {
        let mut pod = pod(name, node, "Pending");
        pod["metadata"]["labels"] = json!({"app": "web"});
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        pod
    }

    fn put(story: &mut Story<Near>, manifest: Value) -> Object {
        story.put(manifest).unwrap().new.unwrap()
    }

    fn tell(story: &mut Story<Near>, object: &Object) {
        story.hears(&who(Role::Scheduler, "scheduler"), WatchEvent::Added(object.clone())).unwrap();
    }

    fn ask(story: &mut Story<Near>, pod: &Object, node: &str) -> Result<(), Broken> {
        let bind = Verb::Bind { key: pod.key(), uid: pod.meta().uid.clone(), node: node.into() };
        story.sends(&who(Role::Scheduler, "scheduler"), bind)
    }

    /// Two pods are bound, to these nodes: whether that breaks it.
    fn breaks(spec: [Value; 2], nodes: [&str; 2]) -> bool {
        let mut story = Story::<Near>::new();
        for name in ["n", "m"] {
            let node = put(&mut story, labelled(name, "host", name));
            tell(&mut story, &node);
        }
        for ((name, on), spec) in ["a", "b"].into_iter().zip(nodes).zip(spec) {
            let pod = put(&mut story, web(name, "", &spec));
            tell(&mut story, &pod);
            if ask(&mut story, &pod, on).is_err() {
                return true;
            }
            let Ok(bound) = story.put(web(name, on, &spec)) else { return true };
            tell(&mut story, &bound.new.unwrap());
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
        assert!(!breaks([spread.clone(), spread.clone()], ["n", "m"]));
        let mut nowhere = spread;
        nowhere["topologySpreadConstraints"][0]["topologyKey"] = "rack".into();
        assert!(breaks([nowhere.clone(), nowhere], ["n", "m"]));
        let port =
            json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 80}]}]});
        assert!(breaks([port.clone(), port.clone()], ["n", "n"]));
        assert!(!breaks([port.clone(), port.clone()], ["n", "m"]));
        let on = |ip: &str, protocol: &str| {
            let port = json!({"containerPort": 1, "hostPort": 80, "hostIP": ip, "protocol": protocol});
            json!({"containers": [{"name": "c", "image": "i", "ports": [port]}]})
        };
        let first = |policy: &str| {
            let ports = json!([{"containerPort": 1, "hostPort": 80}]);
            json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": policy, "ports": ports}]})
        };
        assert!(breaks([port.clone(), first("Always")], ["n", "n"]));
        assert!(!breaks([port.clone(), first("")], ["n", "n"]));
        assert!(breaks([port, on("10.0.0.1", "TCP")], ["n", "n"]));
        assert!(breaks([on("10.0.0.1", ""), on("0.0.0.0", "TCP")], ["n", "n"]));
        assert!(!breaks([on("10.0.0.1", ""), on("10.0.0.2", "")], ["n", "n"]));
        assert!(!breaks([on("", "UDP"), on("", "TCP")], ["n", "n"]));
        let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}});
        assert!(breaks([near.clone(), near.clone()], ["n", "m"]));
        assert!(!breaks([near.clone(), near], ["n", "n"]));
    }

    #[test]
    fn fires_when_a_node_is_taken_for_a_place_and_is_none_or_is_one_and_is_not() {
        // One pod is on the first node, and another comes there. The third does not take it: by a taint, by what the pod
        // asks for, or since it is not ready.
        let breaks = |constraint: Value, spoil: Value| {
            let mut story = Story::<Near>::new();
            for name in ["m", "n", "o"] {
                let mut node = labelled(name, "host", name);
                node["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
                if name == "o" {
                    spoil["spec"].as_object().into_iter().flatten().for_each(|(field, value)| {
                        node["spec"][field] = value.clone();
                    });
                    if spoil["silent"] == true {
                        node["status"]["conditions"][0]["status"] = "Unknown".into();
                    }
                }
                let node = put(&mut story, node);
                tell(&mut story, &node);
            }
            let mut one = json!({"maxSkew": 1, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}}});
            constraint.as_object().unwrap().iter().for_each(|(field, value)| one[field] = value.clone());
            let mut spec = json!({"topologySpreadConstraints": [one]});
            if spoil["picky"] == true {
                let other = json!({"key": "host", "operator": "NotIn", "values": ["o"]});
                spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                    {"nodeSelectorTerms": [{"matchExpressions": [other]}]}}});
            }
            for (name, on) in [("a", "m"), ("b", "n")] {
                let bound = put(&mut story, web(name, on, &spec));
                tell(&mut story, &bound);
            }
            let pod = put(&mut story, web("c", "", &spec));
            tell(&mut story, &pod);
            ask(&mut story, &pod, "m").is_err()
        };
        let taint = json!({"spec": {"taints": [{"key": "kept", "effect": "NoSchedule"}]}});
        assert!(breaks(json!({}), json!({})));
        assert!(breaks(json!({}), taint.clone()));
        assert!(breaks(json!({"nodeTaintsPolicy": "Ignore"}), taint.clone()));
        assert!(!breaks(json!({"nodeTaintsPolicy": "Honor"}), taint.clone()));
        assert!(!breaks(json!({"nodeTaintsPolicy": "Honor"}), json!({"silent": true})));
        assert!(breaks(json!({}), json!({"silent": true})));
        assert!(!breaks(json!({}), json!({"picky": true})));
        assert!(breaks(json!({"nodeAffinityPolicy": "Ignore"}), json!({"picky": true})));
        assert!(!breaks(json!({"nodeTaintsPolicy": "Honor", "minDomains": 2}), taint.clone()));
        assert!(breaks(json!({"nodeTaintsPolicy": "Honor", "minDomains": 3}), taint));
    }

    #[test]
    fn judges_by_what_was_told_when_the_bind_was_asked_for() {
        let away = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"}]}}});
        let breaks = |told: bool| {
            let mut story = Story::<Near>::new();
            let objects = [node("n"), web("a", "", &away), web("b", "", &away)].map(|one| put(&mut story, one));
            objects.iter().for_each(|one| tell(&mut story, one));
            ask(&mut story, &objects[1], "n").unwrap();
            put(&mut story, web("a", "n", &away));
            let zoned = put(&mut story, labelled("n", "zone", "z"));
            if told {
                tell(&mut story, &zoned);
            }
            ask(&mut story, &objects[2], "n").unwrap();
            story.put(web("b", "n", &away)).is_err()
        };
        assert!(breaks(true));
        assert!(!breaks(false));
    }

    #[test]
    fn any_bind_that_was_asked_for_may_still_arrive() {
        let even = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "host",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
        let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}});
        // Beside a pod that is bound, another one is asked for on these nodes, each so long after the one before.
        let breaks = |asks: &[(u64, &str)], spec: &Value, to: &str| {
            let mut story = Story::<Near>::new();
            let nodes = ["n", "m", "o"].map(|name| labelled(name, "host", name));
            let pods = [web("bound", "n", &json!({})), web("asked", "", &json!({})), web("new", "", spec)];
            let objects: Vec<Object> = nodes.into_iter().chain(pods).map(|one| put(&mut story, one)).collect();
            objects.iter().for_each(|one| tell(&mut story, one));
            for (secs, on) in asks {
                story.pass(*secs).unwrap();
                ask(&mut story, &objects[4], on).unwrap();
            }
            ask(&mut story, &objects[5], to).is_err()
        };
        assert!(breaks(&[(0, "m")], &even, "n"));
        assert!(breaks(&[(0, "o")], &even, "n"));
        assert!(!breaks(&[(0, "m"), (0, "o")], &even, "n"));
        assert!(breaks(&[(0, "o")], &near, "m"));
        assert!(!breaks(&[(0, "m"), (0, "o")], &near, "m"));
        // What was given up is reserved for a while, and given back when the pod is decided again.
        assert!(!breaks(&[(0, "m"), (0, "o"), (401, "o")], &even, "n"));
        assert!(!breaks(&[(0, "m"), (0, "o"), (300, "n")], &even, "n"));
        assert!(breaks(&[(0, "m"), (0, "o"), (401, "n")], &even, "n"));
    }

    #[test]
    fn what_vanished_in_a_gap_is_not_held_against_anybody() {
        let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "host",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
        let breaks = |gone: Option<usize>| {
            let mut story = Story::<Near>::new();
            let nodes = ["n", "m"].map(|name| labelled(name, "host", name));
            let pods = [web("old", "n", &spread), web("new", "", &spread)];
            let objects: Vec<Object> = nodes.into_iter().chain(pods).map(|one| put(&mut story, one)).collect();
            objects.iter().for_each(|one| tell(&mut story, one));
            if let Some(gone) = gone {
                story.write(&objects[gone], true).unwrap();
            }
            ask(&mut story, &objects[3], "n").is_err()
        };
        assert!(breaks(None));
        // The other node, or the other pod.
        assert!(!breaks(Some(1)));
        assert!(!breaks(Some(2)));
    }
}
