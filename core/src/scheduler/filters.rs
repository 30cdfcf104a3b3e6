//! Whether a node takes a pod, and if not, why not.
//!
//! The rows of [`FILTERS`] are Kubernetes' filter plugins of the same names, in their order, and what they say is said
//! in kube-scheduler's words. Which of the nodes that take a pod gets it is decided in [`strategy`](super::strategy).

use super::nodes::{NodeFacts, Nodes, PodFacts, Ready};
use super::wake_ups::{Obstacle, Obstacles};
use crate::pages::Page;
use std::collections::BTreeMap;
use std::fmt;

/// One reason why a node may refuse a pod.
pub struct Filter {
    /// The Kubernetes plugin that decides this there.
    pub name: &'static str,
    /// Why the node refuses the pod; absent if it does not.
    pub refuses: fn(&PodFacts, &NodeFacts) -> Option<Refusal>,
    /// What it asks, and for what.
    pub why: &'static str,
}

/// All reasons, in order: the first refusal is the one that is told.
pub const FILTERS: &[Filter] = &[
    Filter {
        name: "NodeUnschedulable",
        refuses: |_, node| (node.unschedulable && !planted!(IgnoresCordon)).then_some(Refusal::Cordoned),
        why: "`spec.unschedulable`: somebody is about to work on the node",
    },
    Filter {
        name: "TaintToleration",
        refuses: |_, node| match node.ready {
            _ if planted!(IgnoresReadiness) => None,
            Ready::True => None,
            Ready::False => Some(Refusal::NotReady),
            Ready::Unknown => Some(Refusal::Unreachable),
        },
        why: "the condition `Ready` is not `True`: nobody there would start the pod. Kubernetes taints such a node, \
              and miniku says the same without the detour",
    },
    Filter {
        name: "NodeDeletion",
        refuses: |_, node| (node.deleting && !planted!(TakesEndingNodes)).then_some(Refusal::BeingDeleted),
        why: "the node is being deleted, and its pods with it. Miniku's own",
    },
    Filter {
        name: "NodeAffinity",
        refuses: |pod, node| {
            let missing = pod.selector.iter().any(|wanted| !node.labels.contains(wanted));
            (missing && !planted!(IgnoresSelector)).then_some(Refusal::OtherLabels)
        },
        why: "`spec.nodeSelector`: the node has all these labels with these values",
    },
    Filter {
        name: "NodeResourcesFit",
        refuses: resources,
        why: "requests, with those of all pods that are on the node and not finished, within `status.allocatable`. \
              A terminating pod counts until it is gone, and a pod that is being bound counts already",
    },
];

/// Why a node does not take a pod, with the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is cordoned.
    Cordoned,
    /// Its kubelet says it is not ready, or says nothing yet.
    NotReady,
    /// Its kubelet has fallen silent.
    Unreachable,
    /// Its deletion was asked for.
    BeingDeleted,
    /// A label that the pod asks for is missing, or has another value.
    OtherLabels,
    /// Something is short.
    Resources {
        /// Pods.
        pods: Option<Shortage>,
        /// Thousandths of a processor.
        cpu_milli: Option<Shortage>,
        /// Bytes of memory.
        memory: Option<Shortage>,
    },
}

/// Too little of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What the pod asks for; more than `free`.
    pub requested: u64,
    /// What the node has left.
    pub free: u64,
}

/// A resource that the pod does not request is never short, however full the node.
/// Source: Kubernetes, `plugins/noderesources/fit.go` (`fitsRequest`).
fn resources(pod: &PodFacts, node: &NodeFacts) -> Option<Refusal> {
    let usage = &node.usage;
    let free_pods = node.allocatable_pods.saturating_sub(usage.pods);
    let free_cpu_milli = node.allocatable_cpu_milli.saturating_sub(usage.amount.cpu_milli);
    let free_memory = node.allocatable_memory.saturating_sub(usage.amount.memory);
    if free_pods > 0
        && pod.amount.cpu_milli <= free_cpu_milli
        && (pod.amount.memory <= free_memory || planted!(IgnoresMemory))
    {
        return None;
    }
    let short = |requested: u64, free: u64| (requested > free).then_some(Shortage { requested, free });
    Some(Refusal::Resources {
        pods: short(1, u64::from(free_pods)),
        cpu_milli: short(pod.amount.cpu_milli, free_cpu_milli),
        memory: short(pod.amount.memory, free_memory),
    })
}

/// Why the node does not take the pod: the first row of [`FILTERS`] that refuses. Absent if it takes it.
#[inline]
pub fn refusal(pod: &PodFacts, node: &NodeFacts) -> Option<Refusal> {
    FILTERS.iter().find_map(|filter| (filter.refuses)(pod, node))
}

/// The nodes that take a pod, in the order of their names. Costs one look at each node.
pub fn feasible<'a>(
    pod: &'a PodFacts,
    nodes: impl Iterator<Item = (super::NodeIndex, &'a NodeFacts)>,
) -> impl Iterator<Item = (super::NodeIndex, &'a NodeFacts)> {
    nodes.filter(|(_, node)| refusal(pod, node).is_none())
}

impl Refusal {
    /// What has to change before the node takes the pod.
    pub fn obstacle(&self) -> Obstacle {
        match self {
            Refusal::Cordoned => Obstacle::Cordoned,
            Refusal::NotReady | Refusal::Unreachable => Obstacle::NotReady,
            Refusal::BeingDeleted => Obstacle::BeingDeleted,
            Refusal::OtherLabels => Obstacle::Labels,
            Refusal::Resources { .. } => Obstacle::Resources,
        }
    }

    /// In kube-scheduler's words, without numbers: one reason, or one a resource that is short.
    pub fn reasons(&self) -> impl Iterator<Item = &'static str> {
        let one = match self {
            Refusal::Cordoned => Some("node(s) were unschedulable"),
            Refusal::NotReady => Some("node(s) had untolerated taint {node.kubernetes.io/not-ready: }"),
            Refusal::Unreachable => Some("node(s) had untolerated taint {node.kubernetes.io/unreachable: }"),
            Refusal::BeingDeleted => Some("node(s) were being deleted"),
            Refusal::OtherLabels => Some("node(s) didn't match Pod's node affinity/selector"),
            Refusal::Resources { .. } => None,
        };
        let (pods, cpu, memory) = match self {
            Refusal::Resources { pods, cpu_milli, memory } => (pods.is_some(), cpu_milli.is_some(), memory.is_some()),
            _ => (false, false, false),
        };
        let short = [
            pods.then_some("Too many pods"),
            cpu.then_some("Insufficient cpu"),
            memory.then_some("Insufficient memory"),
        ];
        one.into_iter().chain(short.into_iter().flatten())
    }
}

/// With the numbers: `Insufficient cpu (requested 500m, free 200m)`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = |reason: &str| match (self, reason) {
            (Refusal::Resources { pods: Some(short), .. }, "Too many pods") => Some((short, "")),
            (Refusal::Resources { cpu_milli: Some(short), .. }, "Insufficient cpu") => Some((short, "m")),
            (Refusal::Resources { memory: Some(short), .. }, "Insufficient memory") => Some((short, "")),
            _ => None,
        };
        for (nth, reason) in self.reasons().enumerate() {
            f.write_str(if nth > 0 { ", " } else { "" })?;
            f.write_str(reason)?;
            if let Some((Shortage { requested, free }, unit)) = numbers(reason) {
                write!(f, " (requested {requested}{unit}, free {free}{unit})")?;
            }
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
    pub reasons: BTreeMap<&'static str, usize>,
    /// What would have to change.
    pub obstacles: Obstacles,
}

impl Unschedulable {
    /// Asks every node why it does not take the pod.
    pub fn explain(pod: &PodFacts, nodes: &Nodes) -> Self {
        let (mut counts, mut obstacles) = (Vec::<(&'static str, usize)>::new(), Obstacles::default());
        for refusal in nodes.iter().filter_map(|(_, node)| refusal(pod, node)) {
            obstacles.insert(refusal.obstacle());
            for reason in refusal.reasons() {
                // There are few, and looking at where a text lies is faster than comparing texts.
                match counts.iter_mut().find(|(counted, _)| std::ptr::eq(*counted, reason)) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((reason, 1)),
                }
            }
        }
        let mut reasons = BTreeMap::new();
        for (reason, count) in counts {
            *reasons.entry(reason).or_insert(0) += count;
        }
        if nodes.is_empty() {
            obstacles.insert(Obstacle::NoNodes);
        }
        Unschedulable { nodes: nodes.len(), reasons, obstacles }
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
        let mut told: Vec<String> = self.reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
        told.sort();
        write!(f, "0/{} nodes are available: {}.", self.nodes, told.join(", "))
    }
}

/// The page of the filters.
pub fn page() -> Page {
    let rows = FILTERS.iter().zip(EXAMPLES).map(|(filter, refusals)| {
        let mut says: Vec<&str> = refusals.iter().flat_map(Refusal::reasons).collect();
        says.dedup();
        vec![format!("`{}`", filter.name), says.join("; "), filter.why.into()]
    });
    Page::new("scheduler_filters", "Which nodes take a pod", "the scheduler")
        .says(
            "A pod can only go to a node that no row refuses. The first row that does is the one that is told. If no \
             node is left, the reasons are counted over all nodes, as in `0/5 nodes are available: 1 node(s) were \
             unschedulable, 4 Insufficient cpu.`",
        )
        .lists(file!(), &["filter", "says", "why"], rows)
}

/// What each filter can say, for its page.
const EXAMPLES: &[&[Refusal]] = {
    const SHORT: Option<Shortage> = Some(Shortage { requested: 1, free: 0 });
    &[
        &[Refusal::Cordoned],
        &[Refusal::NotReady, Refusal::Unreachable],
        &[Refusal::BeingDeleted],
        &[Refusal::OtherLabels],
        &[Refusal::Resources { pods: SHORT, cpu_milli: SHORT, memory: SHORT }],
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::{NodeExample, PodExample, node, pod};

    fn told(pod: PodExample, node: NodeExample, busy: &[PodExample]) -> String {
        let mut nodes = Nodes::default();
        let (at, _) = nodes.set(&node);
        for pod in busy {
            let facts = nodes.pod_facts(pod);
            nodes.charge(&node.metadata.name, &facts.amount);
        }
        let pod = nodes.pod_facts(&pod);
        refusal(&pod, nodes.facts(at)).map_or("fits".into(), |refusal| refusal.to_string())
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
            let pod = all.pod_facts(&pod("p").requests("cpu", "8").requests("memory", "9Gi").selects("a", "b"));
            assert_eq!(Unschedulable::explain(&pod, &all).to_string(), want);
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
        assert_eq!(FILTERS.len(), EXAMPLES.len());
        let mut seen = Obstacles::default();
        for refusals in EXAMPLES {
            let obstacle = refusals[0].obstacle();
            assert!(refusals.iter().all(|refusal| refusal.obstacle() == obstacle));
            assert!(!seen.contains(obstacle));
            seen.insert(obstacle);
        }
    }
}
