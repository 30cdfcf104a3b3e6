//! What a scheduling decision looks at: pods and nodes reduced to numbers, kept up to date as they change.
//!
//! A node keeps its place in the arrays as long as it is there, and what changes is noted in a log, so that who has
//! looked at all nodes once looks at those that changed later: see [`standing`](super::standing). What is bound to a
//! node is added up as pods come and go; nothing is ever added up anew. Nothing is decided here: see
//! [`filters`](super::filters) and [`scores`](super::scores).

use super::amount::{AMOUNT_MAX, Amount, Usage};
use super::facts::{self, HostPort, PodFacts, alike};
use super::neighbours::{Neighbours, Terms};
use crate::api::meta::Labels;
use crate::api::node::Node;
use crate::api::node_affinity::NodeSelector;
use crate::api::object::Key;
use crate::api::pod::Pod;
use crate::api::quantity::Quantity;
use crate::api::taint::{self, Taint};
use crate::api::text::Text;
use crate::rng::Draw;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All that a decision looks at in a node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// Its name.
    pub name: Arc<str>,
    /// Whether there is such a node. Of others it is known what is bound to them.
    pub here: bool,
    /// Thousandths of a processor that pods may request. What a node does not tell, it does not offer.
    pub allocatable_cpu_milli: u64,
    /// Bytes that pods may request.
    pub allocatable_memory: u64,
    /// Bytes of `ephemeral-storage` that pods may request.
    pub allocatable_ephemeral: u64,
    /// How many pods it takes.
    pub allocatable_pods: u32,
    /// Any other resource.
    pub allocatable_more: BTreeMap<Text, u64>,
    /// Its pods: bound and not finished, terminating ones included until they are gone; and those being bound.
    pub usage: Usage,
    /// The ports that they take, and how many take each.
    pub ports: BTreeMap<HostPort, u32>,
    /// What they request, by their priority.
    pub by_priority: BTreeMap<i32, Usage>,
    /// Pods for which others had to go from here, and that have not come yet.
    pub nominated: Vec<Nominated>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether its deletion has been asked for.
    pub deleting: bool,
    /// Its labels.
    pub labels: Labels,
    /// What keeps pods away. A node that is not ready has such a taint whether it was put on it or not.
    pub taints: Vec<Taint>,
    /// The images that it has, by each of their names, and how many bytes they are.
    pub images: BTreeMap<Text, u64>,
    /// A number made of its name, for draws.
    pub draw: u64,
}

/// A pod for which others had to go from a node.
#[derive(Clone, Debug)]
pub struct Nominated {
    /// Which.
    pub key: Key,
    /// Its identity.
    pub uid: Text,
    /// What it will take.
    pub facts: Arc<PodFacts>,
}

/// The place of a node among [`Nodes`]. Holds as long as the node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(pub(super) u32);

/// The facts of all nodes, what is bound to each, and the facts of pods.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    facts: Vec<NodeFacts>,
    by_name: BTreeMap<Arc<str>, u32>,
    /// Those that are there, in the order of their names.
    order: Vec<NodeIndex>,
    /// Places of nodes that are gone, and to which nothing is bound.
    free: Vec<u32>,
    /// What changed, the latest last; the first of them is change number `forgotten`.
    log: Vec<u32>,
    forgotten: u64,
    neighbours: Neighbours,
    /// How many nodes have an image.
    images: BTreeMap<Text, usize>,
    /// The facts of pods, by a number that pods that are alike have in common.
    known: BTreeMap<u64, Vec<Arc<PodFacts>>>,
    known_count: usize,
    known_kept: usize,
    classes: u64,
}

impl Nodes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (NodeIndex, &NodeFacts)> {
        self.order.iter().map(|at| (*at, self.facts(*at)))
    }

    /// All, in the order of their names, beginning after `last` and ending with it.
    pub fn order_after(&self, last: Option<&str>) -> impl Iterator<Item = NodeIndex> {
        let before = |name: &str, last: &str| if planted!(RoundRobinStays) { name < last } else { name <= last };
        let last = last.filter(|_| !planted!(RoundRobinBegins));
        let start = last.map_or(0, |last| self.order.partition_point(|at| before(&self.facts(*at).name, last)));
        self.order[start..].iter().chain(&self.order[..start]).copied()
    }

    /// The places of all that are there, in the order of their names.
    pub fn order(&self) -> &[NodeIndex] {
        &self.order
    }

    /// How many places there are, in use or not.
    pub fn places(&self) -> usize {
        self.facts.len()
    }

    /// The name of a node.
    pub fn name(&self, at: NodeIndex) -> &Arc<str> {
        &self.facts(at).name
    }

    /// The facts of a node.
    pub fn facts(&self, at: NodeIndex) -> &NodeFacts {
        &self.facts[at.0 as usize]
    }

    /// The node of this name.
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.by_name.get(name).map(|at| NodeIndex(*at)).filter(|at| self.facts(*at).here)
    }

    /// Which pods are where.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// How many changes there have been.
    pub fn changes(&self) -> u64 {
        self.forgotten + self.log.len() as u64
    }

    /// The nodes that changed since there had been `seen` changes, some of them more than once. Absent if that is
    /// forgotten.
    pub fn changed_since(&self, seen: u64) -> Option<&[u32]> {
        self.log.get(usize::try_from(seen.checked_sub(self.forgotten)?).ok()?..)
    }

    fn touched(&mut self, at: u32) {
        self.log.push(at);
        let most = 4 * self.facts.len() + 1024;
        if self.log.len() > most {
            self.forgotten += (most / 2) as u64;
            self.log.drain(..most / 2);
        }
    }

    fn place(&mut self, name: &str) -> u32 {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let at = self.free.pop().unwrap_or(self.facts.len() as u32);
        let facts = NodeFacts { name: name.into(), ..NodeFacts::default() };
        self.by_name.insert(facts.name.clone(), at);
        match self.facts.get_mut(at as usize) {
            Some(free) => *free = facts,
            None => self.facts.push(facts),
        }
        at
    }

    /// Gives a place free to which nothing is bound.
    fn leave(&mut self, at: u32) {
        let facts = &self.facts[at as usize];
        if !facts.here && facts.usage.pods == 0 && facts.nominated.is_empty() {
            self.by_name.remove(&facts.name);
            self.facts[at as usize] = NodeFacts::default();
            self.free.push(at);
        }
    }

    /// A node is here, or changed. Returns where it is, and what it was.
    pub fn set(&mut self, node: &Node) -> (NodeIndex, Option<NodeFacts>) {
        let at = self.place(&node.metadata.name);
        let old = std::mem::take(&mut self.facts[at as usize]);
        let mut new = facts(node);
        (new.usage, new.ports, new.by_priority, new.nominated) =
            (old.usage.clone(), old.ports.clone(), old.by_priority.clone(), old.nominated.clone());
        new.name = old.name.clone();
        if !old.here || old.labels != new.labels {
            self.neighbours.place(at, &new.labels);
        }
        if old.images != new.images || !old.here && !self.images.is_empty() {
            self.count_images(&old.images, &new.images);
        }
        self.facts[at as usize] = new;
        if !old.here {
            let place = self.order.partition_point(|other| *self.facts(*other).name < *old.name);
            self.order.insert(place, NodeIndex(at));
        }
        self.touched(at);
        (NodeIndex(at), old.here.then_some(old))
    }

    /// A node is gone. What is bound to its name stays in mind.
    pub fn remove(&mut self, name: &str) {
        let Some(at) = self.find(name) else { return };
        self.order.retain(|one| *one != at);
        self.neighbours.place(at.0, &Labels::default());
        let old = std::mem::take(&mut self.facts[at.0 as usize]);
        if !self.images.is_empty() {
            self.count_images(&old.images, &BTreeMap::new());
        }
        if old.usage.pods > 0 {
            sometimes!(NodeGoneWithPods);
        }
        self.facts[at.0 as usize] = NodeFacts {
            name: old.name,
            usage: old.usage,
            ports: old.ports,
            by_priority: old.by_priority,
            nominated: old.nominated,
            ..NodeFacts::default()
        };
        self.touched(at.0);
        self.leave(at.0);
    }

    /// How many nodes have an image.
    pub fn with_image(&self, name: &Text) -> usize {
        self.images.get(name).copied().unwrap_or(0)
    }

    /// Counts images anew, or nodes: then what an image counts is another on every node.
    fn count_images(&mut self, old: &BTreeMap<Text, u64>, new: &BTreeMap<Text, u64>) {
        for name in old.keys() {
            if let Some(count) = self.images.get_mut(name) {
                *count -= 1;
            }
        }
        new.keys().for_each(|name| *self.images.entry(name.clone()).or_default() += 1);
        self.images.retain(|_, count| *count > 0);
        self.forget();
    }

    /// Whoever has looked looks at all nodes again.
    fn forget(&mut self) {
        self.forgotten += self.log.len() as u64 + 1;
        self.log.clear();
    }

    /// A pod is bound to the node of this name, or about to be.
    pub fn charge(&mut self, node: &str, pod: &PodFacts, leaving: bool) -> NodeIndex {
        let at = self.place(node);
        let facts = &mut self.facts[at as usize];
        facts.usage.add(&pod.amount);
        facts.by_priority.entry(pod.priority).or_default().add(&pod.amount);
        for port in &pod.ports {
            *facts.ports.entry(port.clone()).or_default() += 1;
        }
        self.neighbours.add(pod.group, &pod.owns, at, leaving);
        self.touched(at);
        NodeIndex(at)
    }

    /// A pod that was charged leaves the node of this name. Returns whether there is such a node.
    pub fn release(&mut self, node: &str, pod: &PodFacts, leaving: bool) -> bool {
        let at = *self.by_name.get(node).expect("only what was charged is released");
        let facts = &mut self.facts[at as usize];
        facts.usage.take(&pod.amount);
        let level = facts.by_priority.get_mut(&pod.priority).expect("only what was charged is released");
        level.take(&pod.amount);
        if level.pods == 0 {
            facts.by_priority.remove(&pod.priority);
        }
        for port in &pod.ports {
            let count = facts.ports.get_mut(port).expect("only what was charged is released");
            *count -= 1;
            if *count == 0 {
                facts.ports.remove(port);
            }
        }
        let here = facts.here;
        self.neighbours.take(pod.group, &pod.owns, at, leaving);
        self.touched(at);
        self.leave(at);
        here
    }

    /// Others go from a node for a pod, which is kept in mind there until it comes or gives up.
    pub fn nominate(&mut self, node: &str, key: &Key, uid: &Text, pod: &Arc<PodFacts>) {
        let at = self.place(node);
        let new = Nominated { key: key.clone(), uid: uid.clone(), facts: pod.clone() };
        self.facts[at as usize].nominated.push(new);
        self.touched(at);
    }

    /// The pod is not expected on the node any more.
    pub fn dismiss(&mut self, node: &str, uid: &str) {
        if let Some(at) = self.by_name.get(node).copied() {
            self.facts[at as usize].nominated.retain(|one| *one.uid != *uid);
            self.touched(at);
            self.leave(at);
        }
    }

    /// A namespace has these labels now, or is gone.
    pub fn set_namespace(&mut self, name: &str, labels: Option<&Labels>) {
        if self.neighbours.namespace_changed(name, labels) {
            // What pods are to others may be another thing everywhere.
            self.forget();
        }
    }

    /// The facts of a pod, to be compared with these nodes. The same ones for all pods that are alike.
    pub fn pod_facts(&mut self, pod: &Pod, volumes: &[Arc<NodeSelector>]) -> Arc<PodFacts> {
        let (namespace, labels) = (pod.metadata.namespace.clone(), &pod.metadata.labels);
        let group = self.neighbours.group(&namespace, labels);
        let priority = pod.spec.priority.unwrap_or(0);
        let mark = Draw::new(0).count(u64::from(group.number())).count(priority.unsigned_abs().into()).u64();
        if let Some(known) = self.known.get(&mark) {
            let same = |facts: &&Arc<PodFacts>| {
                facts.group == group && alike(&facts.spec, &pod.spec) && same_volumes(&facts.volumes, volumes)
            };
            if let Some(facts) = known.iter().find(same) {
                return facts.clone();
            }
        }
        let Terms { near, away, prefers, owns, spread } = self.neighbours.terms(pod, &self.facts);
        self.classes += 1;
        let facts = Arc::new(PodFacts {
            class: self.classes,
            namespace,
            spec: pod.spec.clone(),
            amount: Amount::of(pod),
            priority,
            preempts: facts::preempts(pod),
            ports: HostPort::all(&pod.spec),
            images: facts::images(&pod.spec),
            volumes: volumes.to_vec(),
            group,
            near,
            away,
            prefers,
            owns,
            spread,
        });
        self.known.entry(mark).or_default().push(facts.clone());
        self.known_count += 1;
        if self.known_count > 2 * self.known_kept + 256 || self.neighbours.is_full() {
            self.sweep();
        }
        facts
    }

    /// Forgets the facts that nobody has, and what only they used.
    fn sweep(&mut self) {
        for all in self.known.values_mut() {
            all.retain(|facts| Arc::strong_count(facts) > 1);
        }
        self.known.retain(|_, all| !all.is_empty());
        self.known_count = self.known.values().map(Vec::len).sum();
        self.known_kept = self.known_count;
        let (mut groups, mut tallies, mut owned, mut keys) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for facts in self.known.values().flatten() {
            groups.insert(facts.group);
            tallies.extend(facts.near.iter().map(|near| near.tally));
            keys.extend(facts.near.iter().flat_map(|near| near.keys.iter().copied()));
            tallies.extend(facts.away.iter().map(|(tally, _)| *tally));
            keys.extend(facts.away.iter().map(|(_, key)| *key));
            tallies.extend(facts.prefers.iter().map(|(tally, ..)| *tally));
            keys.extend(facts.prefers.iter().map(|(_, key, _)| *key));
            tallies.extend(facts.spread.iter().map(|spread| spread.tally));
            keys.extend(facts.spread.iter().map(|spread| spread.key));
            owned.extend(facts.owns.iter().map(|(owned, _)| *owned));
        }
        self.neighbours.keep(&groups, &tallies, &owned, &keys);
    }
}

fn same_volumes(one: &[Arc<NodeSelector>], other: &[Arc<NodeSelector>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other) || one == other)
}

fn facts(node: &Node) -> NodeFacts {
    let offers = |name: &str, amount: fn(&Quantity) -> u64| {
        node.status.allocatable.get(name).map_or(0, amount).min(AMOUNT_MAX - 1)
    };
    let more = node.status.allocatable.iter();
    let more = more.filter(|(name, _)| !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage" | "pods"));
    let mut taints = node.spec.taints.clone();
    let state = node.ready().map(|ready| ready.status.as_str());
    let unwell = match state {
        Some("True") => None,
        Some("Unknown") => Some(taint::UNREACHABLE),
        _ => Some(taint::NOT_READY),
    };
    if let Some(key) = unwell
        && !taints.iter().any(|one| one.key == key && one.effect == taint::NO_SCHEDULE)
    {
        taints.insert(0, Taint::new(key, taint::NO_SCHEDULE));
    }
    NodeFacts {
        here: true,
        allocatable_cpu_milli: offers("cpu", Quantity::milli_value),
        allocatable_memory: offers("memory", Quantity::value),
        allocatable_ephemeral: offers("ephemeral-storage", Quantity::value),
        allocatable_pods: u32::try_from(offers("pods", Quantity::value)).unwrap_or(u32::MAX),
        allocatable_more: more.map(|(name, amount)| (Text::from(name), amount.value().min(AMOUNT_MAX - 1))).collect(),
        unschedulable: node.spec.unschedulable,
        deleting: node.metadata.is_deleting(),
        labels: node.metadata.labels.clone(),
        taints,
        images: images(node),
        draw: Draw::new(0).key(&node.metadata.name).u64(),
        ..NodeFacts::default()
    }
}

fn images(node: &Node) -> BTreeMap<Text, u64> {
    let each = node.status.images.iter().flat_map(|image| {
        let size = image.size_bytes.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        image.names.iter().map(move |name| (name.clone(), size))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::{node, pod};

    #[test]
    fn what_is_bound_to_a_name_outlives_its_node() {
        let mut nodes = Nodes::default();
        let facts = nodes.pod_facts(&pod("p").requests("cpu", "5m"), &[]);
        nodes.charge("b", &facts, false);
        for name in ["c", "a", "b"] {
            nodes.set(&node(name));
        }
        let usage = |nodes: &Nodes, name| nodes.facts(nodes.find(name).unwrap()).usage.clone();
        assert_eq!((usage(&nodes, "a").pods, usage(&nodes, "b")), (0, Usage { amount: facts.amount.clone(), pods: 1 }));
        nodes.remove("b");
        assert!(!nodes.release("b", &facts, false) && nodes.by_name.len() == 2);
        nodes.set(&node("b"));
        assert_eq!(usage(&nodes, "b"), Usage::default());
        assert_eq!(nodes.places(), 3);
    }

    #[test]
    fn goes_round_by_name() {
        let mut nodes = Nodes::default();
        for name in ["c", "a", "b"] {
            nodes.set(&node(name));
        }
        let check = |last, want: &str| {
            let names: Vec<&str> = nodes.order_after(last).map(|at| &**nodes.name(at)).collect();
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
        let pod = nodes.pod_facts(&pod("p").requests("memory", "7E"), &[]);
        assert!(pod.amount.memory > nodes.facts(at).allocatable_memory);
    }

    #[test]
    fn pods_that_are_alike_have_the_same_facts_and_what_is_out_of_use_is_forgotten() {
        let mut nodes = Nodes::default();
        let one = nodes.pod_facts(&pod("a").requests("cpu", "1"), &[]);
        assert!(Arc::ptr_eq(&one, &nodes.pod_facts(&pod("b").requests("cpu", "1"), &[])));
        assert!(!Arc::ptr_eq(&one, &nodes.pod_facts(&pod("b").requests("cpu", "2"), &[])));
        for nth in 0..10_000 {
            nodes.pod_facts(&pod("a").selects("nth", &nth.to_string()).label("nth", &nth.to_string()), &[]);
        }
        assert!(nodes.known_count < 600, "{}", nodes.known_count);
        assert!(Arc::ptr_eq(&one, &nodes.pod_facts(&pod("c").requests("cpu", "1"), &[])));
    }
}
