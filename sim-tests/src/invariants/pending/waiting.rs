//! Whether a pod waits though a node takes it, or for a node that is gone.

use super::room::{is_repelled, placed, plus, takes, takes_alone};
use super::{BOUND, LOOKED_AT, Pending, priority};
use crate::invariants::Broken;
use crate::invariants::neighbours::{wants_near, with_its_kind};
use crate::invariants::spread::{is_surely_even, minds_spread_alone};
use crate::invariants::wants::Wants as Amounts;
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

impl Pending {
    /// Looks at who waits: whether it has waited for too long.
    pub(super) fn look(&mut self, truth: &Truth, told: Told<'_>) -> Result<(), Broken> {
        let (since, in_vain) = (std::mem::take(&mut self.since), std::mem::take(&mut self.in_vain));
        let well = truth.scheduler.is_some_and(|since| truth.now.since(since) >= BOUND);
        if !well || self.waiting.is_empty() {
            return Ok(());
        }
        self.in_vain = self.waits_in_vain(truth, told, &in_vain)?;
        let used = self.used(truth, told);
        let leaving: BTreeSet<&str> =
            placed(told).filter(|(_, pod)| pod.metadata.is_deleting()).map(|(on, _)| on).collect();
        let waiting: Vec<Key> = self.waiting.keys().rev().take(LOOKED_AT).map(|(_, key)| key.clone()).collect();
        for key in waiting {
            let Some(pod) = self.idle(truth, told, &key).filter(|pod| !is_repelled(told, pod)) else { continue };
            let Some(node) = self.taker(truth, told, (&key, pod), &used, &leaving) else { continue };
            let uid = &pod.metadata.uid;
            let began = since.get(&key).filter(|(of, _)| of == uid).map_or(truth.now, |(_, at)| *at);
            if truth.now.since(began) >= BOUND {
                let (secs, node) = (truth.now.since(began).as_secs(), &node.metadata.name);
                let what = format!("{key} waits for {secs} s, and {node} takes it");
                return Err(Broken::by(what).with(truth.object(&key)));
            }
            self.since.insert(key, (uid.to_string(), began));
        }
        Ok(())
    }

    /// A node that takes a pod beside what is used, as the scheduler was told and as it is; some are being left by others.
    fn taker<'a>(
        &self,
        truth: &Truth,
        told: Told<'a>,
        (key, pod): (&Key, &Pod),
        used: &BTreeMap<Text, Amounts>,
        leaving: &BTreeSet<&str>,
    ) -> Option<&'a Node> {
        let first = self.first_of_kind(truth, told, pod);
        let spread = minds_spread_alone(pod);
        let asked = |key: &Key| self.asked_nodes(key).collect::<Vec<_>>();
        let takes = |node: &Node, used| match &first {
            None if spread => {
                takes_alone(node, used, pod) && is_surely_even(truth, told, pod, &node.metadata.name, &asked)
            }
            None => takes(node, used, pod),
            Some(places) => {
                let is_place = places.iter().all(|place| node.metadata.labels.contains_key(place.as_str()));
                is_place && takes_alone(node, used, pod)
            }
        };
        told.of_kind(Kind::Node).filter_map(Object::get::<Node>).find(|node| {
            let name = &node.metadata.name;
            // While somebody leaves it, whoever that is for waits, and so do those who are no more important.
            let kept =
                if leaving.contains(name.as_str()) { self.kept_from(told, key, priority(pod), name) } else { [0; 4] };
            let used = plus(used.get(name).copied().unwrap_or_default(), kept);
            takes(node, used) && truth.still(node).is_some_and(|stored| takes(stored, used))
        })
    }

    /// Where a pod may go that wants to be with its kind, of which no other is anywhere yet: the places that it asks for.
    fn first_of_kind<'a>(&self, truth: &Truth, told: Told<'_>, pod: &'a Pod) -> Option<Vec<&'a Text>> {
        let places = with_its_kind(pod)?;
        let pods = told.of_kind(Kind::Pod).chain(truth.disk.objects().of_kind(Kind::Pod));
        let mut placed = pods.filter_map(|one| Some((one, one.get::<Pod>()?))).filter(|(one, other)| {
            let somewhere = other.node().is_some() || self.asked.get(&one.key()).is_some();
            somewhere && other.metadata.uid != pod.metadata.uid
        });
        (!placed.any(|(_, other)| wants_near(pod, other))).then_some(places)
    }

    /// Whether a pod goes on waiting for a node that is gone, as its status says, and as this life has said.
    fn waits_in_vain(
        &self,
        truth: &Truth,
        told: Told<'_>,
        since: &BTreeMap<Key, (Text, Instant)>,
    ) -> Result<BTreeMap<Key, (Text, Instant)>, Broken> {
        let mut in_vain = BTreeMap::new();
        for (key, (uid, node)) in &self.expected {
            let says = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.status.nominated_node_name == node.as_str());
            let is_there = told.object(&Key::new(Kind::Node, "", node)).is_some() || truth.node(node).is_some();
            let stored = self.idle(truth, told, key).filter(|pod| pod.metadata.uid == *uid);
            if is_there || !says(stored) || !says(told.object(key).and_then(Object::get)) {
                continue;
            }
            let began = since.get(key).filter(|(of, _)| of == uid).map_or(truth.now, |(_, at)| *at);
            if truth.now.since(began) >= BOUND {
                let what = format!("{key} waits for {} s for {node}, which is gone", truth.now.since(began).as_secs());
                return Err(Broken::by(what).with(truth.object(key)));
            }
            in_vain.insert(key.clone(), (uid.clone(), began));
        }
        Ok(in_vain)
    }
}

#[cfg(test)]
mod tests {
    use crate::invariants::forged::pod;
    use crate::invariants::pending::forged::{
        bind, expecting, has_to_go, node, of_app, scheduler, sized, story, told, waits,
    };
    use miniku_core::api::kinds::Kind;
    use miniku_core::api::object::{Key, Resource};
    use miniku_core::api::taint::UNSCHEDULABLE;
    use miniku_core::program::Query;
    use serde_json::{Value, json};

    #[test]
    fn fires_when_a_pod_waits_though_there_is_room() {
        let mut story = story();
        told(&mut story, pod("a", "n", "Running"));
        told(&mut story, pod("b", "", "Pending"));
        waits(&mut story).unwrap();
        told(&mut story, pod("a", "n", "Succeeded"));
        let broken = waits(&mut story).unwrap_err();
        assert_eq!(broken.what, "pods/default/b waits for 60 s, and n takes it");
    }

    #[test]
    fn fires_when_the_first_of_its_kind_waits_or_who_is_spread_evenly_or_tolerates_the_cordon() {
        let near = |app: &str| {
            json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "host"}]}})
        };
        let judge = |node: Value, label: Value, spec: &[(&str, Value)]| {
            let mut story = story();
            let mut has = story.truth.node("n").unwrap().clone();
            has.metadata.labels = serde_json::from_value(label).unwrap();
            has.spec = serde_json::from_value(node).unwrap();
            told(&mut story, has.into_object().to_value());
            let mut pod = of_app(pod("a", "", "Pending"), "a");
            spec.iter().for_each(|(field, value)| pod["spec"][*field] = value.clone());
            told(&mut story, pod);
            waits(&mut story).is_err()
        };
        let host = || json!({"host": "n"});
        assert!(judge(json!({}), host(), &[("affinity", near("a"))]));
        assert!(!judge(json!({}), host(), &[("affinity", near("b"))]));
        assert!(!judge(json!({}), json!({}), &[("affinity", near("a"))]));
        let spread = |labels: Value| {
            json!([{"maxSkew": 1, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": labels}}])
        };
        assert!(judge(json!({}), host(), &[("topologySpreadConstraints", spread(json!({"app": "a"})))]));
        assert!(!judge(json!({}), json!({}), &[("topologySpreadConstraints", spread(json!({"app": "a"})))]));
        let tolerates = json!([{"key": UNSCHEDULABLE, "operator": "Exists"}]);
        assert!(judge(json!({"unschedulable": true}), host(), &[("tolerations", tolerates)]));
        assert!(!judge(json!({"unschedulable": true}), host(), &[]));
    }

    #[test]
    fn says_nothing_of_who_is_spread_evenly_over_all_that_may_be_bound() {
        let judge = |asked: &[&str]| {
            let mut story = story();
            for name in ["m", "n"] {
                let mut node = node(name, "1");
                node["metadata"]["labels"] = json!({"host": name});
                node["status"]["allocatable"]["pods"] = "9".into();
                told(&mut story, node);
            }
            told(&mut story, of_app(sized("a", "", 0, "600m"), "web"));
            for node in asked {
                bind(&mut story, "a", node).unwrap();
            }
            let mut even = of_app(sized("b", "", 0, "100m"), "web");
            even["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "host",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]);
            told(&mut story, even);
            waits(&mut story)
        };
        let broken = judge(&["m"]).unwrap_err();
        assert_eq!(broken.what, "pods/default/b waits for 60 s, and n takes it");
        // It may come to either of them.
        judge(&["m", "n"]).unwrap();
    }

    #[test]
    fn fires_when_a_pod_waits_for_a_node_that_is_gone() {
        // What the status says in the end, whether another of the name comes back, and whether something is said meanwhile.
        let judge = |says: &str, back: bool, again: bool| {
            let mut story = story();
            told(&mut story, sized("a", "n", 0, "500m"));
            told(&mut story, sized("waits", "", 7, "800m"));
            has_to_go(&mut story, &["a"], "waits").unwrap();
            told(&mut story, expecting(sized("waits", "", 7, "800m"), says));
            let node = story.truth.object(&Key::new(Kind::Node, "", "n")).unwrap().clone();
            let event = story.write(&node, true).unwrap().seen_by(&Query::all(Kind::Node)).unwrap();
            story.hears(&scheduler(), event).unwrap();
            if back {
                story.write(&node, false).unwrap();
            }
            (0..12).try_for_each(|_| {
                if again {
                    has_to_go(&mut story, &[], "waits")?;
                }
                story.pass(20)
            })
        };
        let broken = judge("n", false, false).unwrap_err();
        assert_eq!(broken.what, "pods/default/waits waits for 60 s for n, which is gone");
        judge("", false, false).unwrap();
        judge("n", true, false).unwrap();
        judge("n", false, true).unwrap();
    }
}
