//! What pods take up on their nodes and what nodes have, reckoned apart from the scheduler.
//!
//! Init containers run one after the other before the others start, and those that go on running count with all that come
//! after them. What the pod itself takes comes on top.
//!
//! Source: Kubernetes documentation, "Init Containers", resource sharing within containers; "Pod Overhead".

use miniku_core::api::node::Node;
use miniku_core::api::pod::Pod;
use miniku_core::api::quantity::{Amounts, Quantity};
use miniku_core::api::text::Text;
use serde::Deserialize;
use serde_json::Value;

/// Thousandths of a processor, bytes, pods, and of the extended resource that random runs have.
pub(super) type Wants = [u64; 4];

/// What each of them is called.
pub(super) const CALLED: [&str; 4] = ["m of processors", " bytes", " pods", " of example.com/gpu"];

/// What nodes have beside what every node has.
pub(crate) const GPU: &str = "example.com/gpu";

/// What a container that requests nothing counts as when nodes are ranked: thousandths of a processor, and bytes.
///
/// Source: Kubernetes, `pkg/scheduler/util/pod_resources.go` (`DefaultMilliCPURequest`, `DefaultMemoryRequest`).
pub(super) const UNSAID: [u64; 2] = [100, 200 << 20];

/// In a cluster of more nodes than this the scheduler does not look at each of them.
pub(super) const ALL_LOOKED_AT: usize = 50;

fn amount(resource: &str, of: &Quantity) -> u64 {
    if resource == "cpu" { of.milli_value() } else { of.value() }
}

/// What an init container requests of a resource, and whether it goes on running.
fn init(one: &Value, resource: &str) -> (u64, bool) {
    let said = |what: &str| one.get("resources")?.get(what)?.get(resource);
    let wish = said("requests").or_else(|| said("limits")).and_then(|wish| Quantity::deserialize(wish).ok());
    let stays = one.get("restartPolicy").is_some_and(|policy| policy == "Always");
    (wish.map_or(0, |wish| amount(resource, &wish)), stays)
}

/// What a pod takes up of a resource.
pub(super) fn wants_of(pod: &Pod, resource: &str) -> u64 {
    let containers = pod.spec.containers.iter().map(|one| &one.resources);
    let wishes = containers.filter_map(|one| one.requests.get(resource).or_else(|| one.limits.get(resource)));
    let mains: u64 = wishes.map(|wish| amount(resource, wish)).sum();
    let inits = pod.spec.rest.get("initContainers").and_then(Value::as_array);
    let (mut beside, mut before) = (0, 0);
    for (wish, stays) in inits.into_iter().flatten().map(|one| init(one, resource)) {
        before = before.max(beside + wish);
        beside += if stays { wish } else { 0 };
    }
    let overhead = pod.spec.overhead.get(resource).map_or(0, |more| amount(resource, more));
    before.max(beside + mains) + overhead
}

/// What a pod takes up.
pub(super) fn wants(pod: &Pod) -> Wants {
    [wants_of(pod, "cpu"), wants_of(pod, "memory"), 1, wants_of(pod, GPU)]
}

/// What else its containers ask for, such as `ephemeral-storage`: that is not added up here.
pub(super) fn other_wants(pod: &Pod) -> impl Iterator<Item = &Text> {
    let all =
        pod.spec.containers.iter().flat_map(|one| one.resources.requests.iter().chain(one.resources.limits.iter()));
    let is_other = |name: &str| !["cpu", "memory", GPU].contains(&name);
    all.filter(move |(name, wish)| is_other(name) && !wish.is_zero()).map(|(name, _)| name)
}

/// What a node has for its pods. One that does not say how many they may be takes so many.
pub(super) fn offers(node: &Node, pods: u64) -> Wants {
    let all: &Amounts = &node.status.allocatable;
    let has = |name: &str| all.get(name).map_or(0, |has| amount(name, has));
    [has("cpu"), has("memory"), all.get("pods").map_or(pods, Quantity::value), has(GPU)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::api::kinds::Kind;
    use miniku_core::api::object::Object;
    use serde_json::json;

    #[test]
    fn what_runs_at_the_same_time_is_added_up() {
        let one = |cpu: &str, policy: &str| json!({"name": "c", "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
        let check = |inits: Value, overhead: &str, want: u64| {
            let main = json!({"name": "m", "resources": {"limits": {"cpu": "100m", "example.com/gpu": "2"}}});
            let spec = json!({"containers": [main], "initContainers": inits, "overhead": {"cpu": overhead}});
            let pod = Object::from_value(Kind::Pod, json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
            assert_eq!(wants(pod.get().unwrap()), [want, 0, 1, 2], "{inits}");
        };
        check(json!([]), "0", 100);
        check(json!([one("50m", ""), one("150m", "")]), "0", 150);
        check(json!([one("50m", "Always")]), "20m", 170);
        check(json!([one("50m", "Always"), one("100m", "")]), "0", 150);
        check(json!([one("120m", ""), one("10m", "Always")]), "0", 120);
    }
}
