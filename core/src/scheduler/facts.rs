//! All that a decision looks at in a pod, once for all pods that are alike.

use super::amount::Amount;
use super::neighbours::{GroupId, KeyId, OwnedId, TallyId};
use crate::api::node_affinity::NodeSelector;
use crate::api::pod::{Pod, PodSpec, PreemptionPolicy};
use crate::api::text::Text;
use serde_json::Value;
use std::sync::Arc;

/// What the pods of one template have in common for the scheduler. Two pods with the same facts are refused by the same
/// nodes and rank the others alike, so that one look at a node serves all of them.
#[derive(Debug)]
pub struct PodFacts {
    /// A number of its own, never used twice.
    pub class: u64,
    /// Its namespace.
    pub namespace: Text,
    /// The spec of one of them, for what is read in full: selectors, tolerations, affinity.
    pub spec: Arc<PodSpec>,
    /// What it requests.
    pub amount: Amount,
    /// How important it is.
    pub priority: i32,
    /// Whether less important pods may have to go for it.
    pub preempts: bool,
    /// The ports of its node that it takes.
    pub ports: Vec<HostPort>,
    /// The images that it runs, one for each container, by their [full names](full_name).
    pub images: Vec<Text>,
    /// From which nodes its volumes can be reached: all of these must hold.
    pub volumes: Vec<Arc<NodeSelector>>,
    /// Its namespace and labels, as others count it.
    pub group: GroupId,
    /// Required pod affinity, if it has any.
    pub near: Option<Near>,
    /// Required pod anti-affinity: no such pod may be in the same place.
    pub away: Vec<(TallyId, KeyId)>,
    /// Preferred pod affinity, and anti-affinity as what counts less than nothing.
    pub prefers: Vec<(TallyId, KeyId, i64)>,
    /// What other pods meet where it runs: see [`super::neighbours::Owned`].
    pub owns: Vec<(OwnedId, i64)>,
    /// How evenly it is spread.
    pub spread: Vec<Spread>,
}

/// Required pod affinity: such pods are in all of these places.
#[derive(Clone, Debug)]
pub struct Near {
    /// Pods that all of the terms select.
    pub tally: TallyId,
    /// The places of the terms.
    pub keys: Vec<KeyId>,
    /// Whether the pod is one itself. If so, the first of them may go anywhere.
    pub first: bool,
}

/// One constraint of how evenly pods are spread.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Which pods count.
    pub tally: TallyId,
    /// The places.
    pub key: KeyId,
    /// By how many places may differ.
    pub max_skew: i64,
    /// Whether the pod waits otherwise.
    pub hard: bool,
    /// With fewer places the least is taken to be 0.
    pub min_domains: usize,
    /// Whether only nodes count that the pod's node affinity allows.
    pub honors_affinity: bool,
    /// Whether only nodes count whose taints the pod tolerates.
    pub honors_taints: bool,
    /// 1 if the pod counts itself, else 0.
    pub own: i64,
}

/// A port of a node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Text,
    /// On this address; on all if empty.
    pub ip: Text,
}

impl HostPort {
    /// Whether the two cannot be on one node.
    pub fn collides(&self, other: &HostPort) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && ((self.ip.is_empty() || other.ip.is_empty()) && !planted!(WildcardPortShared) || self.ip == other.ip)
    }

    /// The ports of its node that a pod takes: those of its containers, and of the init containers that go on running.
    ///
    /// Source: Kubernetes documentation, "Sidecar Containers"; `plugins/nodeports`.
    pub fn all(spec: &PodSpec) -> Vec<HostPort> {
        let first = spec.rest.get("initContainers").and_then(Value::as_array).into_iter().flatten();
        let sidecars = first.filter(|one| one.get("restartPolicy").and_then(Value::as_str) == Some("Always"));
        let ports = spec.containers.iter().map(|one| one.rest.get("ports"));
        let ports = ports.chain(sidecars.map(|one| one.get("ports"))).filter_map(|ports| ports?.as_array()).flatten();
        ports.filter_map(|port| HostPort::read(port, spec)).collect()
    }

    fn read(port: &Value, spec: &PodSpec) -> Option<HostPort> {
        let text = |name: &str| port.get(name).and_then(Value::as_str).unwrap_or("");
        let number = |name: &str| port.get(name).and_then(Value::as_u64);
        let shared = spec.rest.get("hostNetwork").and_then(Value::as_bool) == Some(true);
        let taken = number("hostPort").filter(|port| *port > 0);
        let taken = taken.or_else(|| number("containerPort").filter(|_| shared))?;
        let protocol = if text("protocol").is_empty() { "TCP" } else { text("protocol") };
        let ip = if text("hostIP") == "0.0.0.0" { "" } else { text("hostIP") };
        Some(HostPort { port: u16::try_from(taken).ok()?, protocol: protocol.into(), ip: ip.into() })
    }
}

/// An image's name with its tag: `busybox:latest` for `busybox`. A digest is one.
///
/// Source: Kubernetes, `plugins/imagelocality`, `normalizedImageName`.
pub fn full_name(image: &str) -> Text {
    // A colon before the last slash belongs to a port.
    match image.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        true => image.into(),
        false => format!("{image}:latest").into(),
    }
}

/// The images that a pod runs.
pub fn images(spec: &PodSpec) -> Vec<Text> {
    let first = spec.rest.get("initContainers").and_then(Value::as_array).into_iter().flatten();
    let first = first.filter_map(|container| container.get("image")?.as_str());
    first.chain(spec.containers.iter().map(|container| container.image.as_str())).map(full_name).collect()
}

/// Whether two pods are alike to the scheduler, their namespaces and labels aside.
pub fn alike(one: &PodSpec, other: &PodSpec) -> bool {
    let same_rest = |name: &str| one.rest.get(name) == other.rest.get(name);
    std::ptr::eq(one, other)
        || one.node_selector == other.node_selector
            && one.priority == other.priority
            && one.preemption_policy == other.preemption_policy
            && one.tolerations == other.tolerations
            && one.affinity == other.affinity
            && one.topology_spread_constraints == other.topology_spread_constraints
            && one.overhead == other.overhead
            && one.containers.len() == other.containers.len()
            && one.containers.iter().zip(&*other.containers).all(|(one, other)| {
                one.resources == other.resources
                    && one.image == other.image
                    && one.rest.get("ports") == other.rest.get("ports")
            })
            && ["initContainers", "hostNetwork", "volumes"].into_iter().all(same_rest)
}

/// Whether less important pods may have to go for a pod.
pub fn preempts(pod: &Pod) -> bool {
    pod.spec.preemption_policy != Some(PreemptionPolicy::Never)
}
