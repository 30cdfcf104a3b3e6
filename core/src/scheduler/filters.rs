//! Whether a node takes a pod, and if not, why not.
//!
//! The rows of [`FILTERS`] are Kubernetes' filter plugins of the same names, in their order, and what they say is said
//! in kube-scheduler's words. Which of the nodes that take a pod gets it is decided in [`strategy`](super::strategy).

use super::facts::{HostPort, PodFacts};
use super::nodes::{NodeFacts, NodeIndex, Nodes};
use super::standing::{self, Standing};
use super::wake_ups::{Obstacle, Obstacles};
use crate::api::taint::{self, KEEP_AWAY, Taint, untolerated};
use crate::api::text::Text;
use crate::pages::Page;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// One reason why a node may refuse a pod.
pub struct Filter {
    /// The Kubernetes plugin that decides this there.
    pub name: &'static str,
    /// Why the node refuses the pod; absent if it does not.
    pub looks: Looks,
    /// What it asks, and for what.
    pub why: &'static str,
}

/// What a filter looks at beside the pod.
#[derive(Clone, Copy)]
pub enum Looks {
    /// The node alone.
    Node(fn(&PodFacts, &NodeFacts) -> Option<Refusal>),
    /// Where other pods are, too.
    Places(fn(&Standing, &Nodes, NodeIndex) -> Option<Refusal>),
}

/// All reasons, in order: the first refusal is the one that is told.
pub const FILTERS: &[Filter] = &[
    Filter {
        name: "NodeUnschedulable",
        looks: Looks::Node(|pod, node| {
            let tolerated = || {
                let cordon = Taint::new(taint::UNSCHEDULABLE, taint::NO_SCHEDULE);
                !planted!(CordonBarsTolerant) && pod.spec.tolerations.iter().any(|one| one.tolerates(&cordon))
            };
            (node.unschedulable && !planted!(IgnoresCordon) && !tolerated()).then_some(Refusal::Cordoned)
        }),
        why: "`spec.unschedulable`: somebody is about to work on the node. Pods that tolerate \
              `node.kubernetes.io/unschedulable` come nevertheless",
    },
    Filter {
        name: "TaintToleration",
        looks: Looks::Node(|pod, node| {
            let mut all = untolerated(&node.taints, &pod.spec.tolerations, KEEP_AWAY);
            let seen = |taint: &&Taint| match taint.key.as_str() {
                taint::NOT_READY | taint::UNREACHABLE => !planted!(IgnoresReadiness),
                _ => !planted!(IgnoresTaints),
            };
            all.find(seen).map(|taint| Refusal::Untolerated(taint.clone()))
        }),
        why: "taints with `NoSchedule` or `NoExecute`. A node whose condition `Ready` is not `True` counts as tainted \
              from that moment on, whether somebody has put the taint on it yet or not",
    },
    Filter {
        name: "NodeDeletion",
        looks: Looks::Node(|_, node| (node.deleting && !planted!(TakesEndingNodes)).then_some(Refusal::BeingDeleted)),
        why: "the node is being deleted, and its pods with it. Miniku's own",
    },
    Filter {
        name: "NodeAffinity",
        looks: Looks::Node(|pod, node| {
            let allowed = pod.spec.allows_node(&node.name, &node.labels);
            (!allowed && !planted!(IgnoresSelector)).then_some(Refusal::OtherLabels)
        }),
        why: "`spec.nodeSelector`: the node has all these labels with these values; and one of the required terms of \
              the pod's node affinity selects it",
    },
    Filter {
        name: "NodePorts",
        looks: Looks::Node(ports),
        why: "a `hostPort`, by protocol and address, is taken once on a node: by a container, or by an init container that \
              goes on running",
    },
    Filter {
        name: "NodeResourcesFit",
        looks: Looks::Node(resources),
        why: "requests, with those of all pods that are on the node and not finished, within `status.allocatable`. \
              A terminating pod counts until it is gone, and a pod that is being bound counts already; so does one, \
              of the same priority or higher, for which others are going from there",
    },
    Filter {
        name: "VolumeBinding",
        looks: Looks::Node(|pod, node| {
            let reached = pod.volumes.iter().all(|nodes| nodes.selects(&node.name, &node.labels));
            (!reached && !planted!(VolumesUnreached)).then_some(Refusal::Unreachable)
        }),
        why: "the PersistentVolumes that the pod's claims are bound to can be reached from there: their `nodeAffinity`. \
              A claim that is not bound keeps the pod from no node",
    },
    Filter {
        name: "PodTopologySpread",
        looks: Looks::Places(standing::spread),
        why: "constraints with `DoNotSchedule`: with the pod, its place has at most `maxSkew` more of the counted pods \
              than the place that has fewest",
    },
    Filter {
        name: "InterPodAffinity",
        looks: Looks::Places(standing::affinity),
        why: "required pod affinity: such pods are in the node's place, or the pod is the first of those that want to be \
              together; required anti-affinity of the pod, and of the pods that are there",
    },
];

/// Why a node does not take a pod, with the numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// It is cordoned.
    Cordoned,
    /// It has a taint that the pod does not tolerate.
    Untolerated(Taint),
    /// Its deletion was asked for.
    BeingDeleted,
    /// A label that the pod asks for is missing, or has another value.
    OtherLabels,
    /// A port is taken.
    Ports,
    /// Something is short; at least one.
    Resources(Vec<Shortage>),
    /// A volume cannot be reached from there.
    Unreachable,
    /// It lacks the label of a constraint.
    NoTopology,
    /// Its place has too many of the pods that are to be spread.
    Uneven,
    /// The pods that the pod wants are not there.
    NotNear,
    /// Pods that the pod does not want are there.
    TooNear,
    /// Pods are there that do not want the pod.
    Unwelcome,
}

/// Too little of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Of what; `pods` among them. Processors are counted in thousandths.
    pub resource: Text,
    /// What the pod asks for; more than `free`.
    pub requested: u64,
    /// What the node has left.
    pub free: u64,
    /// What the node offers.
    pub offered: u64,
}

fn ports(pod: &PodFacts, node: &NodeFacts) -> Option<Refusal> {
    let nominated = node.nominated.iter().filter(|one| one.facts.priority >= pod.priority);
    let expected: Vec<&HostPort> = nominated.flat_map(|one| &one.facts.ports).collect();
    let taken = |port: &HostPort| node.ports.keys().chain(expected.iter().copied()).any(|one| one.collides(port));
    (!pod.ports.is_empty() && pod.ports.iter().any(taken) && !planted!(IgnoresPorts)).then_some(Refusal::Ports)
}

/// A resource that the pod does not request is never short, however full the node.
/// Source: Kubernetes, `plugins/noderesources/fit.go` (`fitsRequest`).
fn resources(pod: &PodFacts, node: &NodeFacts) -> Option<Refusal> {
    let (wanted, used) = (&pod.amount, &node.usage.amount);
    let expected =
        || node.nominated.iter().filter(|one| one.facts.priority >= pod.priority).map(|one| &one.facts.amount);
    // Nearly always nobody is expected.
    let more = |amount: fn(&super::Amount) -> u64| {
        if node.nominated.is_empty() { 0 } else { expected().map(amount).fold(0, u64::saturating_add) }
    };
    let free = |offered: u64, used: u64, more: u64| offered.saturating_sub(used.saturating_add(more));
    let pods = u64::from(node.usage.pods) + if node.nominated.is_empty() { 0 } else { expected().count() as u64 };
    let offered_pods = u64::from(node.allocatable_pods);
    let free_pods = offered_pods.saturating_sub(pods);
    let free_cpu = free(node.allocatable_cpu_milli, used.cpu_milli, more(|one| one.cpu_milli));
    let free_memory = free(node.allocatable_memory, used.memory, more(|one| one.memory));
    let free_ephemeral = free(node.allocatable_ephemeral, used.ephemeral, more(|one| one.ephemeral));
    let lacks_memory = wanted.memory > free_memory && !planted!(IgnoresMemory);
    if free_pods > 0
        && wanted.cpu_milli <= free_cpu
        && !lacks_memory
        && (wanted.ephemeral <= free_ephemeral || planted!(EphemeralIgnored))
        && (wanted.more.is_empty() || planted!(ExtendedIgnored))
    {
        return None;
    }
    let mut short = Vec::new();
    let mut look = |resource: &str, requested: u64, free: u64, offered: u64| {
        if requested > free {
            short.push(Shortage { resource: resource.into(), requested, free, offered });
        }
    };
    look("pods", 1, free_pods, offered_pods);
    look("cpu", wanted.cpu_milli, free_cpu, node.allocatable_cpu_milli);
    look("memory", wanted.memory, free_memory, node.allocatable_memory);
    look("ephemeral-storage", wanted.ephemeral, free_ephemeral, node.allocatable_ephemeral);
    for (name, requested) in &wanted.more {
        let of = |amounts: &BTreeMap<Text, u64>| amounts.get(name).copied().unwrap_or(0);
        let more = expected().map(|one| of(&one.more)).fold(0, u64::saturating_add);
        let offered = of(&node.allocatable_more);
        look(name, *requested, free(offered, of(&used.more), more), offered);
    }
    (!short.is_empty()).then_some(Refusal::Resources(short))
}

/// Why a node by itself does not take a pod, whatever other pods are where: the first row that refuses.
pub fn refusal_by_node(pod: &PodFacts, node: &NodeFacts) -> Option<Refusal> {
    FILTERS.iter().find_map(|filter| match filter.looks {
        Looks::Node(refuses) => refuses(pod, node),
        Looks::Places(_) => None,
    })
}

impl Refusal {
    /// What has to change before the node takes the pod.
    pub fn obstacle(&self) -> Obstacle {
        match self {
            Refusal::Cordoned => Obstacle::Cordoned,
            Refusal::Untolerated(_) => Obstacle::Taints,
            Refusal::BeingDeleted => Obstacle::BeingDeleted,
            Refusal::OtherLabels => Obstacle::Labels,
            Refusal::Ports => Obstacle::Ports,
            Refusal::Resources(_) => Obstacle::Resources,
            Refusal::Unreachable => Obstacle::Volumes,
            Refusal::NoTopology | Refusal::Uneven => Obstacle::Spread,
            Refusal::NotNear | Refusal::TooNear | Refusal::Unwelcome => Obstacle::Neighbours,
        }
    }

    /// Whether pods that go from the node could help.
    ///
    /// Source: Kubernetes, the plugins' `UnschedulableAndUnresolvable`.
    pub fn ends_with_pods(&self) -> bool {
        match self {
            Refusal::Ports | Refusal::Uneven | Refusal::TooNear | Refusal::Unwelcome => true,
            Refusal::Resources(short) => short.iter().all(|one| one.requested <= one.offered),
            Refusal::Cordoned
            | Refusal::Untolerated(_)
            | Refusal::BeingDeleted
            | Refusal::OtherLabels
            | Refusal::Unreachable
            | Refusal::NoTopology
            | Refusal::NotNear => false,
        }
    }

    /// In kube-scheduler's words, without numbers: one reason, or one a resource that is short.
    pub fn reasons(&self) -> Vec<Cow<'static, str>> {
        let one = match self {
            Refusal::Resources(short) => return short.iter().map(Shortage::reason).collect(),
            Refusal::Untolerated(taint) => return vec![format!("node(s) had untolerated taint {taint}").into()],
            Refusal::Cordoned => "node(s) were unschedulable",
            Refusal::BeingDeleted => "node(s) were being deleted",
            Refusal::OtherLabels => "node(s) didn't match Pod's node affinity/selector",
            Refusal::Ports => "node(s) didn't have free ports for the requested pod ports",
            Refusal::Unreachable => "node(s) had volume node affinity conflict",
            Refusal::NoTopology => "node(s) didn't match pod topology spread constraints (missing required label)",
            Refusal::Uneven => "node(s) didn't match pod topology spread constraints",
            Refusal::NotNear => "node(s) didn't match pod affinity rules",
            Refusal::TooNear => "node(s) didn't match pod anti-affinity rules",
            Refusal::Unwelcome => "node(s) didn't satisfy existing pods anti-affinity rules",
        };
        vec![one.into()]
    }
}

impl Shortage {
    fn reason(&self) -> Cow<'static, str> {
        match &*self.resource {
            "pods" => "Too many pods".into(),
            "cpu" => "Insufficient cpu".into(),
            "memory" => "Insufficient memory".into(),
            other => format!("Insufficient {other}").into(),
        }
    }
}

/// With the numbers: `Insufficient cpu (requested 500m, free 200m)`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal::Resources(short) = self else { return f.write_str(&self.reasons().join(", ")) };
        for (nth, one) in short.iter().enumerate() {
            let (Shortage { requested, free, resource, .. }, reason) = (one, one.reason());
            let unit = if **resource == *"cpu" { "m" } else { "" };
            write!(f, "{}{reason} (requested {requested}{unit}, free {free}{unit})", if nth > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// No node takes a pod: how many there are, and how many of them refuse for which reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unschedulable {
    /// All nodes.
    pub nodes: usize,
    /// How many nodes give each reason. One node may give several.
    pub reasons: BTreeMap<Cow<'static, str>, usize>,
    /// What would have to change.
    pub obstacles: Obstacles,
    /// What came of looking for pods that could go for it; empty if that was not done, or some go.
    pub preemption: String,
}

impl Unschedulable {
    /// Asks every node why it does not take the pod.
    pub fn explain(standing: &Standing, nodes: &Nodes) -> Self {
        let (mut reasons, mut obstacles) = (BTreeMap::new(), Obstacles::default());
        // Of neighbours with the same refusal the words are made once.
        let mut last: Option<(Refusal, usize)> = None;
        let mut count = |refusal: &Refusal, nodes: usize| {
            for reason in refusal.reasons() {
                *reasons.entry(reason).or_insert(0) += nodes;
            }
        };
        for refusal in nodes.order().iter().filter_map(|at| standing.refusal(nodes, *at)) {
            obstacles.insert(refusal.obstacle());
            match &mut last {
                Some((same, nodes)) if *same == refusal => *nodes += 1,
                _ => {
                    if let Some((refusal, nodes)) = last.replace((refusal, 1)) {
                        count(&refusal, nodes);
                    }
                }
            }
        }
        if let Some((refusal, nodes)) = last {
            count(&refusal, nodes);
        }
        if nodes.is_empty() {
            obstacles.insert(Obstacle::NoNodes);
        }
        Unschedulable { nodes: nodes.len(), reasons, obstacles, preemption: String::new() }
    }
}

/// `0/5 nodes are available: 1 node(s) were unschedulable, 4 Insufficient cpu.`
///
/// Sorted as text, numbers included, as kube-scheduler does.
/// Source: Kubernetes, `pkg/scheduler/framework/types.go` (`FitError.Error`), `schedule_one.go`
/// (`ErrNoNodesAvailable`).
impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        f.write_str(&told(self.nodes, &self.reasons))?;
        if self.preemption.is_empty() { Ok(()) } else { write!(f, " {}", self.preemption) }
    }
}

/// How many nodes give each reason, as a sentence.
pub fn told(nodes: usize, reasons: &BTreeMap<Cow<'static, str>, usize>) -> String {
    let mut told: Vec<String> = reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
    told.sort();
    format!("0/{nodes} nodes are available: {}.", told.join(", "))
}

/// The page of the filters.
pub fn page() -> Page {
    let rows = FILTERS.iter().zip(examples()).map(|(filter, refusals)| {
        let mut says: Vec<Cow<'static, str>> = refusals.iter().flat_map(Refusal::reasons).collect();
        says.dedup();
        vec![format!("`{}`", filter.name), says.join("; "), filter.why.into()]
    });
    Page::new("scheduler_filters", "Which nodes take a pod", "the scheduler")
        .says(
            "A pod can only go to a node that no row refuses. The first row that does is the one that is told. If no \
             node is left, the reasons are counted over all nodes, as in `0/5 nodes are available: 1 node(s) were \
             unschedulable, 4 Insufficient cpu.` A pod with a `spec.nodeName` has its node and does not come here \
             (Kubernetes' NodeName), nor does one with `spec.schedulingGates`, until the last of them is gone: its \
             condition `PodScheduled` says `SchedulingGated`.",
        )
        .lists(file!(), &["filter", "says", "why"], rows)
}

/// What each filter can say, for its page.
fn examples() -> Vec<Vec<Refusal>> {
    let short = |resource: &str| Shortage { resource: resource.into(), requested: 1, free: 0, offered: 0 };
    let taint = Taint { value: "value".into(), ..Taint::new("key", taint::NO_SCHEDULE) };
    vec![
        vec![Refusal::Cordoned],
        vec![Refusal::Untolerated(taint)],
        vec![Refusal::BeingDeleted],
        vec![Refusal::OtherLabels],
        vec![Refusal::Ports],
        vec![Refusal::Resources(["pods", "cpu", "memory", "example.com/gpu"].map(short).into())],
        vec![Refusal::Unreachable],
        vec![Refusal::NoTopology, Refusal::Uneven],
        vec![Refusal::NotNear, Refusal::TooNear, Refusal::Unwelcome],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Strategy;
    use crate::scheduler::examples::{NodeExample, PodExample, node, pod};
    use serde_json::json;

    fn told(pod: PodExample, node: NodeExample, busy: &[PodExample]) -> String {
        let mut nodes = Nodes::default();
        let (at, _) = nodes.set(&node);
        for pod in busy {
            let facts = nodes.pod_facts(pod, &[]);
            nodes.charge(&node.metadata.name, &facts, false);
        }
        let pod = nodes.pod_facts(&pod, &[]);
        let standing = Standing::new(pod, Strategy::default(), &nodes);
        standing.refusal(&nodes, at).map_or("fits".into(), |refusal| refusal.to_string())
    }

    #[test]
    fn the_first_refusal_is_told() {
        let check = |pod, node, busy: &[PodExample], want: &str| assert_eq!(told(pod, node, busy), want);
        let unready = "node(s) had untolerated taint {node.kubernetes.io/not-ready: }";
        check(pod("p"), node("n"), &[], "fits");
        check(pod("p"), node("n").cordoned().ready("False"), &[], "node(s) were unschedulable");
        check(pod("p"), node("n").ready("False").deleting(), &[], unready);
        check(
            pod("p"),
            node("n").ready("Unknown"),
            &[],
            "node(s) had untolerated taint {node.kubernetes.io/unreachable: }",
        );
        check(pod("p").selects("disk", "ssd"), node("n").deleting(), &[], "node(s) were being deleted");
        let other = "node(s) didn't match Pod's node affinity/selector";
        check(pod("p").selects("disk", "ssd"), node("n").label("disk", "hdd"), &[], other);
        check(pod("p").selects("disk", "ssd").selects("zone", "a"), node("n").label("disk", "ssd"), &[], other);
        check(pod("p").selects("disk", "ssd"), node("n").label("disk", "ssd"), &[], "fits");
    }

    #[test]
    fn ports_are_taken_by_what_goes_on_running() {
        let ports = || json!([{"containerPort": 1, "hostPort": 80}]);
        let main = || pod("p").spec(json!({"containers": [{"name": "c", "ports": ports()}]}));
        let first = |policy: &str| {
            pod("p").spec(json!({"initContainers": [{"name": "i", "restartPolicy": policy, "ports": ports()}]}))
        };
        let check = |pod, busy: PodExample, want: &str| assert_eq!(told(pod, node("n"), &[busy]), want);
        let taken = "node(s) didn't have free ports for the requested pod ports";
        check(main(), main(), taken);
        check(main(), first("Always"), taken);
        check(first("Always"), main(), taken);
        // It has ended before what comes after it listens.
        check(main(), first(""), "fits");
        check(first(""), main(), "fits");
    }

    #[test]
    fn resources_are_counted_to_the_last_unit() {
        let check = |pod, node, busy: &[PodExample], want: &str| assert_eq!(told(pod, node, busy), want);
        let half = || [pod("q").requests("cpu", "2").requests("memory", "4Gi")];
        check(pod("p").requests("cpu", "2").requests("memory", "4Gi"), node("n"), &half(), "fits");
        check(pod("p").requests("cpu", "2001m"), node("n"), &half(), "Insufficient cpu (requested 2001m, free 2000m)");
        check(
            pod("p").requests("cpu", "5").requests("memory", "5Gi"),
            node("n").offers("pods", "1"),
            &half(),
            "Too many pods (requested 1, free 0), Insufficient cpu (requested 5000m, free 2000m), Insufficient memory \
             (requested 5368709120, free 4294967296)",
        );
        // What is not requested is never short: the node is over-committed by pods that chose it themselves.
        let full = [pod("q").requests("cpu", "9")];
        check(pod("p").requests("memory", "1Gi"), node("n"), &full, "fits");
        check(pod("p").requests("cpu", "1m"), node("n"), &full, "Insufficient cpu (requested 1m, free 0m)");
    }

    #[test]
    fn summaries_read_as_kube_schedulers() {
        let check = |nodes: &[NodeExample], want: &str| {
            let mut all = Nodes::default();
            for node in nodes {
                all.set(node);
            }
            let pod = all.pod_facts(&pod("p").requests("cpu", "8").requests("memory", "9Gi").selects("a", "b"), &[]);
            let standing = Standing::new(pod, Strategy::default(), &all);
            assert_eq!(Unschedulable::explain(&standing, &all).to_string(), want);
        };
        let fit = |name: &str| node(name).label("a", "b");
        check(&[], "no nodes available to schedule pods");
        check(
            &[fit("1").cordoned(), fit("2"), fit("3").offers("memory", "9Gi"), node("4")],
            "0/4 nodes are available: 1 Insufficient memory, 1 node(s) didn't match Pod's node affinity/selector, \
             1 node(s) were unschedulable, 2 Insufficient cpu.",
        );
        // As text: 10 comes before 2.
        let mut many: Vec<NodeExample> = (0..10).map(|nth| node(&format!("x{nth}")).cordoned()).collect();
        many.extend([node("a").ready("False"), node("b").ready("False")]);
        check(
            &many,
            "0/12 nodes are available: 10 node(s) were unschedulable, 2 node(s) had untolerated taint \
             {node.kubernetes.io/not-ready: }.",
        );
    }

    #[test]
    fn every_filter_is_on_the_page_and_is_one_obstacle() {
        assert_eq!(FILTERS.len(), examples().len());
        let mut seen = Obstacles::default();
        for refusals in examples() {
            let obstacle = refusals[0].obstacle();
            assert!(refusals.iter().all(|refusal| refusal.obstacle() == obstacle));
            assert!(!seen.contains(obstacle));
            seen.insert(obstacle);
        }
    }
}
