//! S-fit: When a pod is bound, the requests of all unfinished pods of its node are within what the node has. No pod is sent to a node that has nothing of what it asks for, as far as the scheduler was told.
//!
//! Terminating pods count until they are gone from the store. A node that shrinks, or a pod whose author chose the
//! node, breaks nothing. Nor does a bind that a former life of the scheduler had asked for and that arrives late:
//! neither life can know of the other's, and the node stays overbooked until its kubelet refuses the pod.
//! Catches: a scheduler that frees capacity when a deletion starts, or that forgets its own binds that are still on
//! their way; init containers, overhead or extended resources that are not counted.

use super::wants::{CALLED, Wants, offers, other_wants, wants};
use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::program::Verb;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Sums by node.
#[derive(Default)]
pub struct Fit {
    sums: BTreeMap<String, Wants>,
    /// The scheduler's life, and in which the bind of a pod was asked for last.
    life: u32,
    asked: BTreeMap<Key, u32>,
    /// What the scheduler was told that the node has for which it asked.
    told: BTreeMap<Key, Wants>,
    /// When a bind of a former life was carried out on a node.
    late: BTreeMap<String, Instant>,
    /// When a node has become smaller, and what it had before.
    shrunk: BTreeMap<String, (Instant, Wants)>,
}

/// So long after such a bind the present life may decide without knowing of it, and without knowing that a node is smaller.
const NEWS: Duration = Duration::from_secs(60);

fn counted(object: Option<&Object>) -> Option<(&str, Wants)> {
    let pod = object?.get::<Pod>()?;
    let node = pod.node().filter(|_| !pod.status.phase.is_final())?;
    Some((node, wants(pod)))
}

fn node(object: Option<&Object>) -> Option<&Node> {
    object?.get()
}

impl Fit {
    /// What a node has or has had lately: whoever decides may not know yet that it has become smaller.
    fn had(&self, truth: &Truth, node: &str, has: Wants) -> Wants {
        match self.shrunk.get(node).filter(|(at, _)| truth.now.since(*at) < NEWS) {
            Some((_, had)) => std::array::from_fn(|at| has[at].max(had[at])),
            None => has,
        }
    }
}

impl Checker for Fit {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let change = match fact {
            Fact::Durable { change } => change,
            Fact::Sent { who, request, .. } if who.role == Role::Scheduler => {
                self.life = who.life;
                if let Verb::Bind { key, uid, node: to } = &request.verb {
                    self.asked.entry(key.clone()).or_insert(who.life);
                    let known = truth.told(who).object(&Key::new(Kind::Node, "", to));
                    if let Some(known) = node(known) {
                        self.told.insert(key.clone(), offers(known, u64::MAX));
                        let pod = truth.told(who).object(key).filter(|pod| pod.meta().uid == *uid);
                        let mut others = pod.and_then(Object::get::<Pod>).into_iter().flat_map(other_wants);
                        if let Some(lacks) = others.find(|name| !known.status.allocatable.contains_key(name)) {
                            return Err(Broken::by(format!("{key} asks for {lacks}, of which {to} has none")));
                        }
                    }
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let (Some(old), Some(new)) = (node(change.old.as_ref()), node(change.new.as_ref())) {
            let (was, is) = (offers(old, u64::MAX), offers(new, u64::MAX));
            if (0..is.len()).any(|at| is[at] < was[at]) {
                let most = self.had(truth, &change.key.name, was);
                self.shrunk.insert(change.key.name.to_string(), (truth.now, most));
            }
        }
        let (old, new) = (counted(change.old.as_ref()), counted(change.new.as_ref()));
        if old == new {
            return Ok(());
        }
        if let Some((node, amount)) = old {
            let sum = self.sums.entry(node.into()).or_default();
            (0..sum.len()).for_each(|at| sum[at] -= amount[at]);
        }
        let Some((node, amount)) = new else { return Ok(()) };
        let sum = self.sums.entry(node.into()).or_default();
        (0..sum.len()).for_each(|at| sum[at] += amount[at]);
        let bound_now = change.old.as_ref().and_then(Object::get::<Pod>).is_some_and(|old| old.node().is_none());
        if bound_now && self.asked.remove(&change.key).is_some_and(|life| life < self.life) {
            self.late.insert(node.into(), truth.now);
        }
        if self.late.get(node).is_some_and(|at| truth.now.since(*at) < NEWS) {
            return Ok(());
        }
        let Some(stored) = truth.node(node).filter(|_| bound_now) else { return Ok(()) };
        let (had, sum) = (self.had(truth, node, offers(stored, u64::MAX)), self.sums[node]);
        let told = self.told.remove(&change.key).unwrap_or(had);
        let limits: Wants = std::array::from_fn(|at| had[at].max(told[at]));
        // What a pod does not ask for, it may get where there is none.
        let over = (0..limits.len()).find(|at| amount[*at] > 0 && sum[*at] > limits[*at]);
        let Some(over) = over else { return Ok(()) };
        let (what, sum, limit) = (CALLED[over], sum[over], limits[over]);
        Err(Broken::by(format!("{node} has {limit}{what}, its pods ask for {sum}")).with(&change.new))
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use crate::truth::Who;

    #[test]
    fn a_bind_of_a_former_life_may_come_late() {
        let mut story = Story::<Fit>::new();
        story.put(node("n")).unwrap();
        for name in ["a", "b"] {
            let key = story.put(pod(name, "", "Pending")).unwrap().key;
            let bind = Verb::Bind { key, uid: format!("{name}-uid").into(), node: "n".into() };
            let scheduler = Who { life: if name == "a" { 1 } else { 2 }, ..who(Role::Scheduler, "scheduler") };
            story.sends(&scheduler, bind).unwrap();
        }
        story.put(pod("a", "n", "Running")).unwrap();
        story.put(pod("b", "n", "Running")).unwrap();
    }

    #[test]
    fn news_of_a_smaller_node_take_their_time() {
        let fires = |secs: u64| {
            let mut story = Story::<Fit>::new();
            story.put(node("n")).unwrap();
            let mut small = node("n");
            small["status"]["allocatable"]["cpu"] = "100m".into();
            story.put(small).unwrap();
            story.put(pod("a", "", "Pending")).unwrap();
            story.pass(secs).unwrap();
            story.put(pod("a", "n", "Pending")).is_err()
        };
        assert!(!fires(30));
        assert!(fires(61));
    }

    #[test]
    fn fires_on_init_containers_overhead_and_extended_resources() {
        let check = |spec: serde_json::Value, want: &str| {
            let mut story = Story::<Fit>::new();
            story.put(node("n")).unwrap();
            let with = |node: &str| {
                let mut pod = pod("a", node, "Pending");
                spec.as_object().unwrap().iter().for_each(|(field, value)| pod["spec"][field] = value.clone());
                pod
            };
            story.put(with("")).unwrap();
            let told = story.put(with("n")).err().map(|broken| broken.what).unwrap_or_default();
            assert_eq!(told, want);
        };
        let first = |cpu: &str| serde_json::json!([{"name": "i", "resources": {"requests": {"cpu": cpu}}}]);
        check(serde_json::json!({"initContainers": first("900m")}), "");
        check(
            serde_json::json!({"initContainers": first("1100m")}),
            "n has 1000m of processors, its pods ask for 1100",
        );
        check(serde_json::json!({"overhead": {"cpu": "500m"}}), "n has 1000m of processors, its pods ask for 1100");
        let gpus = serde_json::json!([{"name": "c", "resources": {"limits": {"example.com/gpu": "1"}}}]);
        check(serde_json::json!({"containers": gpus}), "n has 0 of example.com/gpu, its pods ask for 1");
    }

    #[test]
    fn fires_when_a_node_has_nothing_of_what_is_asked_for() {
        let fires = |resource: &str, amount: &str, has: &str| {
            let mut story = Story::<Fit>::new();
            let mut node = node("n");
            node["status"]["allocatable"][has] = "10Gi".into();
            let mut pod = pod("a", "", "Pending");
            pod["spec"]["containers"][0]["resources"]["requests"][resource] = amount.into();
            let scheduler = who(Role::Scheduler, "scheduler");
            for manifest in [node, pod] {
                story.shows(&scheduler, manifest).unwrap();
            }
            let key = Key::new(Kind::Pod, "default", "a");
            story.sends(&scheduler, Verb::Bind { key, uid: "a-uid".into(), node: "n".into() }).is_err()
        };
        assert!(fires("ephemeral-storage", "1Gi", "memory"));
        assert!(!fires("ephemeral-storage", "0", "memory"));
        assert!(!fires("ephemeral-storage", "1Gi", "ephemeral-storage"));
    }

    #[test]
    fn fires_when_a_node_is_booked_twice() {
        let mut story = Story::<Fit>::new();
        story.put(node("n")).unwrap();
        for name in ["a", "b", "c"] {
            story.put(pod(name, "", "Pending")).unwrap();
        }
        story.put(pod("a", "n", "Running")).unwrap();
        let broken = story.put(pod("b", "n", "Pending")).unwrap_err();
        assert_eq!(broken.what, "n has 1000m of processors, its pods ask for 1200");
        // With both finished there is room again.
        story.put(pod("a", "n", "Succeeded")).unwrap();
        story.put(pod("b", "n", "Failed")).unwrap();
        story.put(pod("c", "n", "Pending")).unwrap();
    }
}
