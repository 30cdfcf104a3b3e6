//! The controller against the real API server: nodes that live or die, and what is read of them.

use super::{NodeLifecycle, Options, node_key};
use crate::api::kinds::Kind;
use crate::api::node::Node;
use crate::api::taint::Taint;
use crate::controllers::testing::World;
use crate::program::Part;
use serde_json::json;

/// Nodes `n1`, `n2`, … that live, with a pod each: `p1` on `n1`.
pub(super) fn world(seed: u64, nodes: usize) -> (World, NodeLifecycle) {
    let mut world = World::new(seed);
    for nth in 1..=nodes {
        world.node(&format!("n{nth}"));
        world.pod(&format!("p{nth}"), &format!("n{nth}"), json!([]));
    }
    (world, NodeLifecycle::new(Options::default(), seed))
}

pub(super) fn ready(world: &World, node: &str) -> String {
    let node = world.get(Kind::Node, "", node).unwrap().get::<Node>().unwrap().clone();
    let ready = node.ready().cloned().unwrap_or_default();
    format!("{} {}", ready.status, ready.reason)
}

/// `not-ready:NoSchedule`, in their order.
pub(super) fn taints(world: &World, node: &str) -> String {
    let node = world.get(Kind::Node, "", node).unwrap().get::<Node>().unwrap().clone();
    let told = |taint: &Taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect);
    node.spec.taints.iter().map(told).collect::<Vec<_>>().join(" ")
}

/// A pod that runs on `n1` with these tolerations.
pub(super) fn tolerant(world: &mut World, name: &str, tolerations: serde_json::Value) {
    let spec = json!({"nodeName": "n1", "tolerations": tolerations,
        "containers": [{"name": "c", "image": "busybox"}]});
    world.create(Kind::Pod, json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}));
}

pub(super) fn put_on(world: &mut World, node: &str, taints: serde_json::Value) {
    world.merge(node_key(node), json!({"spec": {"taints": taints}}), Part::Main);
}

pub(super) fn die(world: &mut World, node: &str) {
    assert!(world.alive.remove(node));
}
