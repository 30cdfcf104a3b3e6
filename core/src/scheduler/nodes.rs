//! What a scheduling decision looks at: pods and nodes reduced to numbers, kept up to date as they change.
//!
//! A decision reads the facts of every node once, so these are flat, parsed and sorted by name. What is bound to a
//! node is added up as pods come and go; nothing is ever added up anew. Nothing is decided here: see
//! [`filters`](super::filters) and [`strategy`](super::strategy).

use crate::api::meta::Labels;
use crate::api::node::Node;
use crate::api::pod::Pod;
use crate::api::quantity::Quantity;
use crate::rng::Draw;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// No node is taken to offer as much, and a pod that requests more is taken to request this: it fits nowhere.
///
/// 2^48 bytes are 256 TiB. The bound leaves room to add up 65,536 pods, and to multiply by [`WHOLE`], in 64 bits.
///
/// [`WHOLE`]: super::strategy::WHOLE
pub const AMOUNT_MAX: u64 = 1 << 48;

/// What pods request together, of one pod or of all on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory: u64,
    /// As `cpu_milli`, but a container that requests none counts as [`RANKED_CPU_MILLI`]. For ranking only.
    pub ranked_cpu_milli: u64,
    /// As `memory`, but a container that requests none counts as [`RANKED_MEMORY`]. For ranking only.
    pub ranked_memory: u64,
}

/// What a container without a request for processors weighs when nodes are ranked.
///
/// Without it, pods that request nothing would all go to the one node that is least allocated now.
/// Source: Kubernetes, `pkg/scheduler/util/pod_resources.go` (`DefaultMilliCPURequest`).
pub const RANKED_CPU_MILLI: u64 = 100;

/// What a container without a request for memory weighs when nodes are ranked.
///
/// Source: Kubernetes, `pkg/scheduler/util/pod_resources.go` (`DefaultMemoryRequest`).
pub const RANKED_MEMORY: u64 = 200 << 20;

impl Amount {
    /// What a pod requests.
    pub fn of(pod: &Pod) -> Self {
        let (cpu_milli, memory) = pod.spec.requests();
        let without = |name: &str| {
            let none = pod.spec.containers.iter().filter(|container| {
                let resources = &container.resources;
                !resources.requests.contains_key(name) && !resources.limits.contains_key(name)
            });
            none.count() as u64
        };
        let ranked = |amount: u64, name, each: u64| amount.saturating_add(without(name).saturating_mul(each));
        Amount {
            cpu_milli: cpu_milli.min(AMOUNT_MAX),
            memory: memory.min(AMOUNT_MAX),
            ranked_cpu_milli: ranked(cpu_milli, "cpu", RANKED_CPU_MILLI).min(AMOUNT_MAX),
            ranked_memory: ranked(memory, "memory", RANKED_MEMORY).min(AMOUNT_MAX),
        }
    }

    /// Wraps around rather than saturating, so that taking away is always the opposite of adding.
    fn combine(&mut self, other: &Amount, with: fn(u64, u64) -> u64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory = with(self.memory, other.memory);
        self.ranked_cpu_milli = with(self.ranked_cpu_milli, other.ranked_cpu_milli);
        self.ranked_memory = with(self.ranked_memory, other.ranked_memory);
    }
}

/// What a node's pods request together, and how many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Their requests.
    pub amount: Amount,
    /// Their number.
    pub pods: u32,
}

impl Usage {
    /// With one pod more.
    pub fn add(&mut self, amount: &Amount) {
        self.amount.combine(amount, u64::wrapping_add);
        self.pods += 1;
    }

    /// With one pod less, which was added before.
    pub fn take(&mut self, amount: &Amount) {
        assert!(self.pods > 0, "only what was added is taken away");
        self.amount.combine(amount, u64::wrapping_sub);
        self.pods -= 1;
    }
}

/// A label with its value. Equal labels of one [`Nodes`] are the same allocation, and are compared as such.
#[derive(Clone, Debug)]
pub struct Label(Arc<str>);

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Label {}

/// All that a decision looks at in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Its identity; the random strategy draws by it.
    pub uid: Arc<str>,
    /// What it requests.
    pub amount: Amount,
    /// `spec.nodeSelector`: labels a node must have.
    pub selector: Box<[Label]>,
}

/// All that a decision looks at in a node. Without its name, which comes with its place among the [`Nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Thousandths of a processor that pods may request. What a node does not tell, it does not offer.
    pub allocatable_cpu_milli: u64,
    /// Bytes that pods may request.
    pub allocatable_memory: u64,
    /// How many pods it takes.
    pub allocatable_pods: u32,
    /// Its pods: bound and not finished, terminating ones included until they are gone; and those being bound.
    pub usage: Usage,
    /// What is known of its kubelet.
    pub ready: Ready,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether its deletion has been asked for.
    pub deleting: bool,
    /// Its labels.
    pub labels: Box<[Label]>,
    /// A number made of its name, for draws.
    pub draw: u64,
}

/// The status of a node's condition `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Its kubelet says it is ready.
    True,
    /// Its kubelet says it is not, or has said nothing yet.
    False,
    /// Its kubelet has fallen silent.
    Unknown,
}

/// The place of a node among [`Nodes`], in the order of names. Holds until a node comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(usize);

/// The facts of all nodes, sorted by name, and what is bound to each.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    names: Vec<Arc<str>>,
    facts: Vec<NodeFacts>,
    /// What is bound to names that no node has: not here yet, or here no more.
    elsewhere: BTreeMap<Arc<str>, Usage>,
    labels: BTreeSet<Arc<str>>,
    /// How many labels were in use when those out of use were last forgotten.
    labels_kept: usize,
}

impl Nodes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (NodeIndex, &NodeFacts)> {
        self.facts.iter().enumerate().map(|(at, facts)| (NodeIndex(at), facts))
    }

    /// All, in the order of their names, beginning after `last` and ending with it.
    pub fn iter_after(&self, last: Option<&str>) -> impl Iterator<Item = (NodeIndex, &NodeFacts)> {
        let start = last.map_or(0, |last| self.names.partition_point(|name| **name <= *last));
        self.iter().skip(start).chain(self.iter().take(start))
    }

    /// The name of a node.
    pub fn name(&self, at: NodeIndex) -> &Arc<str> {
        &self.names[at.0]
    }

    /// The facts of a node.
    pub fn facts(&self, at: NodeIndex) -> &NodeFacts {
        &self.facts[at.0]
    }

    /// The node of this name.
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.names.binary_search_by(|one| (**one).cmp(name)).ok().map(NodeIndex)
    }

    /// A node is here, or changed. Returns where it is, and what it was.
    pub fn set(&mut self, node: &Node) -> (NodeIndex, Option<NodeFacts>) {
        let labels = self.label_all(&node.metadata.labels);
        let name = node.metadata.name.as_str();
        match self.names.binary_search_by(|one| (**one).cmp(name)) {
            Ok(at) => {
                let usage = self.facts[at].usage;
                let old = std::mem::replace(&mut self.facts[at], facts(node, labels, usage));
                (NodeIndex(at), Some(old))
            }
            Err(at) => {
                let usage = self.elsewhere.remove(name).unwrap_or_default();
                self.names.insert(at, name.into());
                self.facts.insert(at, facts(node, labels, usage));
                (NodeIndex(at), None)
            }
        }
    }

    /// A node is gone. What is bound to its name stays in mind.
    pub fn remove(&mut self, name: &str) {
        if let Some(NodeIndex(at)) = self.find(name) {
            let (name, facts) = (self.names.remove(at), self.facts.remove(at));
            if facts.usage.pods > 0 {
                sometimes!(NodeGoneWithPods);
                self.elsewhere.insert(name, facts.usage);
            }
        }
    }

    /// A pod is bound to the node of this name, or about to be.
    pub fn charge(&mut self, node: &str, amount: &Amount) {
        match self.find(node) {
            Some(NodeIndex(at)) => self.facts[at].usage.add(amount),
            None => self.elsewhere.entry(node.into()).or_default().add(amount),
        }
    }

    /// A pod that was charged leaves the node of this name. Returns whether there is such a node.
    pub fn release(&mut self, node: &str, amount: &Amount) -> bool {
        if let Some(NodeIndex(at)) = self.find(node) {
            self.facts[at].usage.take(amount);
            return true;
        }
        if let Some(usage) = self.elsewhere.get_mut(node) {
            usage.take(amount);
            if usage.pods == 0 {
                self.elsewhere.remove(node);
            }
        }
        false
    }

    /// The facts of a pod, to be compared with these nodes.
    pub fn pod_facts(&mut self, pod: &Pod) -> PodFacts {
        PodFacts {
            uid: pod.metadata.uid.as_str().into(),
            amount: Amount::of(pod),
            selector: self.label_all(&pod.spec.node_selector),
        }
    }

    fn label_all(&mut self, labels: &Labels) -> Box<[Label]> {
        let labels = labels.iter().map(|(name, value)| self.label(format!("{name}={value}"))).collect();
        if self.labels.len() > 2 * self.labels_kept + 64 {
            self.labels.retain(|label| Arc::strong_count(label) > 1);
            self.labels_kept = self.labels.len();
        }
        labels
    }

    fn label(&mut self, text: String) -> Label {
        match self.labels.get(text.as_str()) {
            Some(known) => Label(known.clone()),
            None => {
                let label: Arc<str> = text.into();
                self.labels.insert(label.clone());
                Label(label)
            }
        }
    }
}

fn facts(node: &Node, labels: Box<[Label]>, usage: Usage) -> NodeFacts {
    let offers = |name: &str, amount: fn(&Quantity) -> u64| {
        node.status.allocatable.get(name).map_or(0, amount).min(AMOUNT_MAX - 1)
    };
    NodeFacts {
        allocatable_cpu_milli: offers("cpu", Quantity::milli_value),
        allocatable_memory: offers("memory", Quantity::value),
        allocatable_pods: u32::try_from(offers("pods", Quantity::value)).unwrap_or(u32::MAX),
        usage,
        ready: match node.ready().map(|ready| ready.status.as_str()) {
            Some("True") => Ready::True,
            Some("Unknown") => Ready::Unknown,
            _ => Ready::False,
        },
        unschedulable: node.spec.unschedulable,
        deleting: node.metadata.is_deleting(),
        labels,
        draw: Draw::new(0).key(&node.metadata.name).u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::{node, pod};

    #[test]
    fn what_is_bound_to_a_name_outlives_its_node() {
        let (mut nodes, amount) = (Nodes::default(), Amount { cpu_milli: 5, ..Default::default() });
        nodes.charge("b", &amount);
        for name in ["c", "a", "b"] {
            nodes.set(&node(name));
        }
        let usage = |nodes: &Nodes, name| nodes.facts(nodes.find(name).unwrap()).usage;
        assert_eq!((usage(&nodes, "a").pods, usage(&nodes, "b")), (0, Usage { amount, pods: 1 }));
        nodes.remove("b");
        assert!(!nodes.release("b", &amount) && nodes.elsewhere.is_empty());
        nodes.set(&node("b"));
        assert_eq!(usage(&nodes, "b"), Usage::default());
    }

    #[test]
    fn goes_round_by_name() {
        let mut nodes = Nodes::default();
        for name in ["c", "a", "b"] {
            nodes.set(&node(name));
        }
        let check = |last, want: &str| {
            let names: Vec<&str> = nodes.iter_after(last).map(|(at, _)| &**nodes.name(at)).collect();
            assert_eq!(names.concat(), want);
        };
        check(None, "abc");
        check(Some("a"), "bca");
        check(Some("aa"), "bca");
        check(Some("c"), "abc");
    }

    #[test]
    fn a_request_nobody_can_meet_is_not_met() {
        let mut nodes = Nodes::default();
        let (at, _) = nodes.set(&node("a").offers("memory", "8E"));
        let pod = nodes.pod_facts(&pod("p").requests("memory", "7E"));
        assert!(pod.amount.memory > nodes.facts(at).allocatable_memory);
    }

    #[test]
    fn containers_without_requests_weigh_something_in_the_ranking() {
        let check = |pod: Pod, want: (u64, u64, u64, u64)| {
            let Amount { cpu_milli, memory, ranked_cpu_milli, ranked_memory } = Amount::of(&pod);
            assert_eq!((cpu_milli, memory, ranked_cpu_milli, ranked_memory), want);
        };
        check(pod("p").0, (0, 0, 100, 200 << 20));
        check(pod("p").requests("cpu", "1").0, (1000, 0, 1000, 200 << 20));
    }

    #[test]
    fn labels_out_of_use_are_forgotten() {
        let mut nodes = Nodes::default();
        for nth in 0..10_000 {
            nodes.set(&node("a").label("nth", &nth.to_string()));
        }
        assert!(nodes.labels.len() < 100, "{}", nodes.labels.len());
    }
}
