//! Whether a pod is given a node where it had rather not be, or that has pods that it had rather be away from.

use super::Pending;
use super::room::{is_repelled, looks_around, plus, takes, takes_alone};
use crate::invariants::Broken;
use crate::invariants::neighbours::{
    anti_affinity_weight, has_neighbours, has_preferred_anti_affinity_alone, is_weighed_by_anti_affinity_alone,
};
use crate::invariants::wants::{ALL_LOOKED_AT, UNSAID, Wants as Amounts, offers, wants as amounts};
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{PREFER_NO_SCHEDULE, untolerated};
use std::collections::BTreeMap;

impl Pending {
    /// A node is about to be given to a pod: whether the pod had rather be on another that takes it. Only where nothing else
    /// can count for more: a pod without preferences, and one such taint at most.
    pub(super) fn prefers(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let plain = |pod: &&Pod| self.is_free_to_go(key, pod, node) && !looks_around(pod);
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>).filter(plain) else { return Ok(()) };
        let here = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>);
        if here.is_none_or(|here| averse(here, pod) == 0) {
            return Ok(());
        }
        let nodes: Vec<&Node> = told.of_kind(Kind::Node).filter_map(Object::get).collect();
        let much = nodes.len() > ALL_LOOKED_AT || nodes.iter().any(|one| averse(one, pod) > 1);
        if much || told.of_kind(Kind::Pod).filter_map(Object::get).any(has_neighbours) {
            return Ok(());
        }
        let used = self.used(truth, told);
        let other = nodes.iter().filter(|one| averse(one, pod) == 0).find(|one| {
            let name = &one.metadata.name;
            let kept = self.kept_from(told, key, i32::MIN, name);
            let used = plus(used.get(name).copied().unwrap_or_default(), kept);
            takes(one, used, pod) && truth.still(one).is_some_and(|stored| takes(stored, used, pod))
        });
        match other.map(|other| &other.metadata.name) {
            Some(other) => {
                let what = format!("{node} is given to {key}, which had rather not be there, and {other} takes it");
                Err(Broken::by(what).with(truth.object(key)))
            }
            None => Ok(()),
        }
    }

    /// A node is about to be given to a pod that had rather be away from others, and minds nothing else: whether it likes
    /// no other node less, while the one that it likes best takes it and is at most half full with it. Then nothing else
    /// can count for more: where others are makes up for all that a full node can have before that one.
    pub(super) fn keeps_away(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let mindful = |pod: &&Pod| self.is_free_to_go(key, pod, node) && has_preferred_anti_affinity_alone(pod);
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>).filter(mindful) else { return Ok(()) };
        let nodes: Vec<&Node> = told.of_kind(Kind::Node).filter_map(Object::get).collect();
        let more_counts = |one: &&Node| averse(one, pod) > 0 || !one.status.images.is_empty();
        let much = nodes.len() > ALL_LOOKED_AT || nodes.iter().any(more_counts);
        let reckoned = told.of_kind(Kind::Pod).filter_map(Object::get).all(is_weighed_by_anti_affinity_alone);
        if much || !reckoned || is_repelled(told, pod) {
            return Ok(());
        }
        let there = self.others(truth, told, key, &nodes);
        // How much the pod and those that are there mind each other on a node, at least and at most.
        let minds = |at: &Node| {
            let each = there.iter().map(|(other, on, stays)| (anti_affinity_weight((pod, at), (*other, *on)), *stays));
            each.fold((0, 0), |(least, most), (much, stays)| (least + if stays { much } else { 0 }, most + much))
        };
        let all: Vec<(&Node, (i64, i64))> = nodes.iter().map(|one| (*one, minds(one))).collect();
        let Some((here, _)) = all.iter().find(|(one, _)| one.metadata.name == node).map(|(_, minds)| *minds) else {
            return Ok(());
        };
        let least = all.iter().map(|(_, (least, _))| *least).min().unwrap_or(0);
        if here <= least || all.iter().any(|(one, (_, most))| one.metadata.name != node && *most > here) {
            return Ok(());
        }
        let used = self.used(truth, told);
        let best = all.iter().filter(|(_, (_, most))| *most <= least).map(|(one, _)| *one).find(|one| {
            let name = &one.metadata.name;
            let used = used.get(name).copied().unwrap_or_default();
            let on = there.iter().filter(|(_, on, _)| on.metadata.name == *name);
            let beside = on.map(|(other, ..)| containers(other)).sum::<u64>() + containers(pod);
            let taken = plus(used, self.kept_from(told, key, i32::MIN, name));
            let takes =
                |node: &Node| takes_alone(node, taken, pod) && is_half_empty(node, plus(used, amounts(pod)), beside);
            takes(one) && truth.still(one).is_some_and(takes)
        });
        match best.map(|best| &best.metadata.name) {
            Some(best) => {
                let what =
                    format!("{node} is given to {key}, which had rather be away from others there; {best} takes it");
                Err(Broken::by(what).with(truth.object(key)))
            }
            None => Ok(()),
        }
    }

    /// Whether a pod goes where it likes best of what is there now: it likes no nodes by name, and nothing was promised.
    fn is_free_to_go(&self, key: &Key, pod: &Pod, node: &str) -> bool {
        let promised = self.expected.contains_key(key) || !pod.status.nominated_node_name.is_empty();
        // A bind of which nobody knows what came of it is asked for again, whatever the nodes are by then.
        let again = self.binds.contains_key(&(key.clone(), node.to_owned()));
        !promised && !again && pod.spec.preferred_nodes().is_empty()
    }

    /// Who else is on which of the nodes, and whether it surely is: what was asked for may have come to nothing, and what
    /// vanished in a gap of the view stays in what was told.
    fn others<'a>(
        &self,
        truth: &Truth,
        told: Told<'a>,
        key: &Key,
        nodes: &[&'a Node],
    ) -> Vec<(&'a Pod, &'a Node, bool)> {
        let by_name: BTreeMap<&str, &Node> = nodes.iter().map(|one| (one.metadata.name.as_str(), *one)).collect();
        let mut there: Vec<(&Pod, &Node, bool)> = Vec::new();
        for object in told.of_kind(Kind::Pod) {
            let (of, Some(other)) = (object.key(), object.get::<Pod>()) else { continue };
            if of == *key || other.status.phase.is_final() {
                continue;
            }
            if let Some(on) = other.node() {
                let stays = truth.has_pod(&other.metadata.uid);
                there.extend(by_name.get(on).map(|on| (other, *on, stays)));
            } else {
                there.extend(self.asked_nodes(&of).filter_map(|on| Some((other, *by_name.get(on)?, false))));
            }
        }
        there
    }
}

/// How many taints a node has that a pod had rather not.
fn averse(node: &Node, pod: &Pod) -> usize {
    untolerated(&node.spec.taints, &pod.spec.tolerations, &[PREFER_NO_SCHEDULE]).count()
}

/// Whether a node is at most half full with pods that use so much and have so many containers, each of which may request
/// nothing.
fn is_half_empty(node: &Node, used: Amounts, containers: u64) -> bool {
    let offered = offers(node, 0);
    (0..UNSAID.len()).all(|at| used[at].saturating_add(containers * UNSAID[at]).saturating_mul(2) <= offered[at])
}

/// How many containers a pod has, of all kinds.
fn containers(pod: &Pod) -> u64 {
    let inits = pod.spec.rest.get("initContainers").and_then(serde_json::Value::as_array);
    (pod.spec.containers.len() + inits.map_or(0, Vec::len)) as u64
}

#[cfg(test)]
mod tests {
    use crate::invariants::pending::forged::{bind, node, of_app, sized, story, told};
    use serde_json::{Value, json};

    #[test]
    fn fires_when_a_pod_goes_where_it_had_rather_not() {
        let judge = |cpu: &str, affinity: Value| {
            let mut story = story();
            let mut tainted = node("m", "4");
            tainted["spec"] = json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]});
            told(&mut story, tainted);
            let mut pod = sized("a", "", 0, cpu);
            pod["spec"]["affinity"] = affinity;
            told(&mut story, pod);
            bind(&mut story, "a", "m")
        };
        let broken = judge("500m", json!(null)).unwrap_err();
        assert_eq!(broken.what, "m is given to pods/default/a, which had rather not be there, and n takes it");
        judge("2", json!(null)).unwrap();
        let preference = json!({"matchExpressions": [{"key": "k", "operator": "Exists"}]});
        let prefers = json!([{"weight": 1, "preference": preference}]);
        judge("500m", json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": prefers}})).unwrap();
    }

    #[test]
    fn fires_when_a_pod_comes_to_those_it_had_rather_be_away_from() {
        // On each node one pod of this app; perhaps the first is on its way there still. The other node has so much.
        let judge = |apps: [&str; 2], asked: bool, cpu: &str| {
            let mut story = story();
            for (name, cpu) in [("m", cpu), ("n", "4")] {
                let mut node = node(name, cpu);
                node["metadata"]["labels"] = json!({"host": name});
                node["status"]["allocatable"] = json!({"cpu": cpu, "memory": "8Gi", "pods": "9"});
                told(&mut story, node);
            }
            told(&mut story, of_app(sized("a", if asked { "" } else { "n" }, 0, "600m"), apps[0]));
            told(&mut story, of_app(sized("b", "m", 0, "600m"), apps[1]));
            if asked {
                bind(&mut story, "a", "n").unwrap();
            }
            let mut timid = sized("timid", "", 0, "100m");
            timid["spec"]["affinity"] = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 10, "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "loud"}}, "topologyKey": "host"}}]}});
            told(&mut story, timid);
            bind(&mut story, "timid", "n")
        };
        let broken = judge(["loud", "mute"], false, "4").unwrap_err();
        let what = "n is given to pods/default/timid, which had rather be away from others there; m takes it";
        assert_eq!(broken.what, what);
        judge(["loud", "loud"], false, "4").unwrap();
        judge(["mute", "loud"], false, "4").unwrap();
        judge(["mute", "mute"], false, "4").unwrap();
        // Perhaps it is not there; and perhaps the other node is so full that this counts for more.
        judge(["loud", "mute"], true, "4").unwrap();
        judge(["loud", "mute"], false, "1").unwrap();
    }
}
