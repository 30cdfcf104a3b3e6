//! Which pods are where, as far as other pods care: counted by node as pods come and go, never anew.
//!
//! Pods of one namespace with the same labels are a [`Group`]. A [`Tally`] counts, by node, the pods that somebody's
//! terms select; it learns of a pod by its group, so that a pod that comes costs a step for each tally that counts it,
//! however many pods there are. An [`Owned`] counts where the pods are that have a term of their own about others: what
//! a pod meets there that came later. Which nodes are one place is told by a [`TopologyKey`].
//!
//! Nothing is decided here: see [`standing`](super::standing).

use super::facts::{Near, PodFacts, Spread};
use super::nodes::NodeFacts;
use crate::api::meta::Labels;
use crate::api::pod::Pod;
use crate::api::pod_affinity::{
    NodeInclusion, PodAffinity, PodAffinityTerm, TopologySpreadConstraint, WhenUnsatisfiable,
};
use crate::api::selector::{LabelSelector, LabelSelectorOperator, LabelSelectorRequirement};
use crate::api::text::Text;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Names a [`Group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId(u32);
impl GroupId {
    /// A number of its own.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Names a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TallyId(u32);
/// Names an [`Owned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedId(u32);
/// Names a [`TopologyKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(u32);

/// The domain of a node that has none.
pub const NOWHERE: u32 = u32::MAX;

/// Pods of some namespaces with some labels.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSelector {
    namespaces: BTreeSet<Text>,
    /// And namespaces with such labels.
    namespace_labels: Option<LabelSelector>,
    /// None if absent.
    labels: Option<LabelSelector>,
}

/// Pods of one namespace with the same labels.
#[derive(Clone, Debug)]
struct Group {
    namespace: Text,
    labels: Labels,
    /// Where they are: by node, how many, and how many of them are being deleted.
    on: BTreeMap<u32, [u32; 2]>,
    /// The tallies that count them.
    tallies: Vec<TallyId>,
}

/// The pods that all of some selectors select, by node.
#[derive(Clone, Debug)]
struct Tally {
    selectors: Vec<PodSelector>,
    /// Whether pods that are being deleted do not count.
    staying: bool,
    on: BTreeMap<u32, u32>,
}

/// What a term of pods that are there means to those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stance {
    /// Required anti-affinity: nobody whom it selects comes.
    Refuses,
    /// Preferred affinity or anti-affinity, and required affinity: it counts for or against.
    Likes,
}

/// A term of pods that are there, and where they are.
#[derive(Clone, Debug)]
pub struct Owned {
    /// Whom it selects.
    selector: PodSelector,
    /// What one place is.
    pub key: KeyId,
    /// What it means.
    pub stance: Stance,
    /// By node, how many have it, and their weights.
    on: BTreeMap<u32, (u32, i64)>,
}

/// A label of nodes: those with the same value are one place.
#[derive(Clone, Debug)]
struct TopologyKey {
    label: String,
    values: BTreeMap<Text, u32>,
    /// The place of each node.
    domains: Vec<u32>,
}

/// Who is where, and who cares.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    groups: BTreeMap<GroupId, Group>,
    by_labels: BTreeMap<Text, BTreeMap<Labels, GroupId>>,
    tallies: BTreeMap<TallyId, Tally>,
    by_selectors: BTreeMap<Text, TallyId>,
    owned: BTreeMap<OwnedId, Owned>,
    by_term: BTreeMap<(String, KeyId, Stance), OwnedId>,
    keys: BTreeMap<KeyId, TopologyKey>,
    by_label: BTreeMap<Text, KeyId>,
    namespaces: BTreeMap<Text, Labels>,
    /// The number of the next of any of these.
    next: u32,
    /// How many things were kept when those out of use were last forgotten.
    kept: usize,
}

/// The weight of required affinity, where it counts as a preference of who is there already.
///
/// Source: Kubernetes, kube-scheduler `InterPodAffinityArgs.hardPodAffinityWeight`.
const REQUIRED_WEIGHT: i64 = 1;

impl PodSelector {
    /// The pods of a term of this pod.
    fn of_term(term: &PodAffinityTerm, pod: &Pod) -> Self {
        let mut namespaces: BTreeSet<Text> = term.namespaces.iter().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(pod.metadata.namespace.clone());
        }
        let labels = own_values(term.label_selector.as_ref(), &term.match_label_keys, pod, LabelSelectorOperator::In);
        let labels = own_values(labels.as_ref(), &term.mismatch_label_keys, pod, LabelSelectorOperator::NotIn);
        PodSelector { namespaces, namespace_labels: term.namespace_selector.clone(), labels }
    }

    /// The pods of a constraint of this pod.
    fn of_constraint(constraint: &TopologySpreadConstraint, pod: &Pod) -> Self {
        let keys = &constraint.match_label_keys;
        let labels = own_values(constraint.label_selector.as_ref(), keys, pod, LabelSelectorOperator::In);
        PodSelector { namespaces: [pod.metadata.namespace.clone()].into(), namespace_labels: None, labels }
    }

    fn selects(&self, namespace: &str, labels: &Labels, namespaces: &BTreeMap<Text, Labels>) -> bool {
        let inside = self.namespaces.contains(namespace)
            || planted!(TermsCrossNamespaces)
            || self.namespace_labels.as_ref().is_some_and(|wanted| {
                wanted.is_empty() || namespaces.get(namespace).is_some_and(|labels| wanted.matches(labels))
            });
        inside && self.labels.as_ref().is_some_and(|wanted| wanted.matches(labels))
    }

    /// The same for equal selectors, and different for others.
    fn text(&self) -> String {
        let json = |selector: &Option<LabelSelector>| serde_json::to_string(selector).expect("a selector is JSON");
        format!("{:?} {} {}", self.namespaces, json(&self.namespace_labels), json(&self.labels))
    }
}

/// A selector that requires in addition that labels have, or have not, the values that they have in a pod. Labels that
/// the pod does not have require nothing.
fn own_values(
    selector: Option<&LabelSelector>,
    keys: &[Text],
    pod: &Pod,
    operator: LabelSelectorOperator,
) -> Option<LabelSelector> {
    let mut selector = selector?.clone();
    for key in keys {
        if let Some(value) = pod.metadata.labels.get(key) {
            let (key, values) = (key.clone(), vec![value.clone()]);
            let requirement = LabelSelectorRequirement { key, operator, values, ..Default::default() };
            // The API server may have written it down already.
            if !selector.match_expressions.contains(&requirement) {
                selector.match_expressions.push(requirement);
            }
        }
    }
    Some(selector)
}

/// What a pod says of other pods.
#[derive(Debug, Default)]
pub struct Terms {
    pub near: Option<Near>,
    pub away: Vec<(TallyId, KeyId)>,
    pub prefers: Vec<(TallyId, KeyId, i64)>,
    pub owns: Vec<(OwnedId, i64)>,
    pub spread: Vec<Spread>,
}

/// What is known of pods.
impl Neighbours {
    /// The group of a pod.
    pub fn group(&mut self, namespace: &Text, labels: &Labels) -> GroupId {
        if let Some(id) = self.by_labels.get(namespace).and_then(|all| all.get(labels)) {
            return *id;
        }
        let id = GroupId(self.draw());
        let selected = self.tallies.iter().filter(|(_, tally)| tally.counts(namespace, labels, &self.namespaces));
        let tallies = selected.map(|(id, _)| *id).collect();
        let group = Group { namespace: namespace.clone(), labels: labels.clone(), on: BTreeMap::new(), tallies };
        self.groups.insert(id, group);
        self.by_labels.entry(namespace.clone()).or_default().insert(labels.clone(), id);
        id
    }

    /// What a pod says of other pods, from now on counted.
    pub fn terms(&mut self, pod: &Pod, nodes: &[NodeFacts]) -> Terms {
        let mut terms = Terms::default();
        let affinity = pod.spec.affinity.as_deref();
        let spread = &pod.spec.topology_spread_constraints;
        let (namespace, labels) = (pod.metadata.namespace.as_str(), &pod.metadata.labels);
        let likes = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let dislikes = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let required = |side: Option<&'_ PodAffinity>| side.map_or(Vec::new(), |side| side.required.clone());
        let near = required(likes);
        if !near.is_empty() {
            let selectors: Vec<PodSelector> = near.iter().map(|term| PodSelector::of_term(term, pod)).collect();
            let first = selectors.iter().all(|one| one.selects(namespace, labels, &self.namespaces));
            let keys = near.iter().map(|term| self.key(&term.topology_key, nodes)).collect();
            for (selector, term) in selectors.iter().zip(&near) {
                let owned = self.own(selector.clone(), &term.topology_key, Stance::Likes, nodes);
                terms.owns.push((owned, REQUIRED_WEIGHT));
            }
            terms.near = Some(Near { tally: self.tally(selectors, false), keys, first });
        }
        for term in required(dislikes) {
            let selector = PodSelector::of_term(&term, pod);
            let owned = self.own(selector.clone(), &term.topology_key, Stance::Refuses, nodes);
            terms.owns.push((owned, 1));
            let key = self.key(&term.topology_key, nodes);
            terms.away.push((self.tally(vec![selector], false), key));
        }
        for (side, sign) in [(likes, 1), (dislikes, -1)] {
            let sign = if planted!(SoftAntiAffinityAttracts) { 1 } else { sign };
            for preferred in side.map_or(&[][..], |side| &side.preferred) {
                let weight = if planted!(NeighboursUnweighed) { 1 } else { preferred.weight.clamp(0, 100) };
                let weight = i64::from(weight) * sign;
                let selector = PodSelector::of_term(&preferred.term, pod);
                let owned = self.own(selector.clone(), &preferred.term.topology_key, Stance::Likes, nodes);
                terms.owns.push((owned, if planted!(LikingOneSided) { 0 } else { weight }));
                let key = self.key(&preferred.term.topology_key, nodes);
                let weight = if planted!(PreferredPodsUnseen) { 0 } else { weight };
                terms.prefers.push((self.tally(vec![selector], false), key, weight));
            }
        }
        for one in spread {
            let selector = PodSelector::of_constraint(one, pod);
            let own = i64::from(selector.selects(namespace, labels, &self.namespaces));
            terms.spread.push(Spread {
                key: self.key(&one.topology_key, nodes),
                tally: self.tally(vec![selector], !planted!(SpreadCountsLeaving)),
                max_skew: i64::from(one.max_skew.max(1)),
                hard: one.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule,
                min_domains: one
                    .min_domains
                    .filter(|_| !planted!(MinDomainsIgnored))
                    .and_then(|least| usize::try_from(least).ok())
                    .unwrap_or(1),
                honors_affinity: match one.node_affinity_policy {
                    _ if planted!(SpreadAffinityUnseen) => false,
                    _ if planted!(SpreadHonorsAffinity) => true,
                    policy => policy != Some(NodeInclusion::Ignore),
                },
                honors_taints: match one.node_taints_policy {
                    _ if planted!(SpreadTaintsUnseen) => false,
                    _ if planted!(SpreadHonorsTaints) => true,
                    policy => policy == Some(NodeInclusion::Honor),
                },
                own,
            });
        }
        terms
    }

    /// A pod is on a node. Returns whether anybody may care.
    pub fn add(&mut self, group: GroupId, owns: &[(OwnedId, i64)], node: u32, leaving: bool) -> bool {
        self.count(group, owns, node, leaving, true)
    }

    /// A pod that was added is not on the node any more.
    pub fn take(&mut self, group: GroupId, owns: &[(OwnedId, i64)], node: u32, leaving: bool) -> bool {
        self.count(group, owns, node, leaving, false)
    }

    fn count(&mut self, group: GroupId, owns: &[(OwnedId, i64)], node: u32, leaving: bool, more: bool) -> bool {
        let step = |count: &mut u32| *count = if more { *count + 1 } else { *count - 1 };
        let group = self.groups.get_mut(&group).expect("a group is kept while a pod of it is somewhere");
        let here = group.on.entry(node).or_default();
        step(&mut here[0]);
        if leaving {
            step(&mut here[1]);
        }
        if here[0] == 0 {
            group.on.remove(&node);
        }
        for id in &group.tallies {
            let tally = self.tallies.get_mut(id).expect("groups know of tallies that are there");
            if !(tally.staying && leaving) {
                let count = tally.on.entry(node).or_default();
                step(count);
                if *count == 0 {
                    tally.on.remove(&node);
                }
            }
        }
        for (id, weight) in owns {
            let owned = self.owned.get_mut(id).expect("a term is kept while a pod that has it is somewhere");
            let (pods, sum) = owned.on.entry(node).or_default();
            step(pods);
            *sum += if more { *weight } else { -weight };
            if *pods == 0 {
                owned.on.remove(&node);
            }
        }
        !group.tallies.is_empty() || !owns.is_empty()
    }

    /// How many pods of a tally are on a node.
    pub fn counted(&self, tally: TallyId, node: u32) -> i64 {
        self.tallies.get(&tally).and_then(|tally| tally.on.get(&node)).map_or(0, |count| i64::from(*count))
    }

    /// The weights of those on a node who have a term.
    pub fn owned_on(&self, owned: OwnedId, node: u32) -> i64 {
        self.owned.get(&owned).and_then(|owned| owned.on.get(&node)).map_or(0, |(_, sum)| *sum)
    }

    /// Whether a tally counts a pod of this group.
    pub fn counts(&self, tally: TallyId, group: GroupId, leaving: bool) -> bool {
        let staying = self.tallies.get(&tally).is_some_and(|tally| tally.staying);
        !(staying && leaving) && self.groups.get(&group).is_some_and(|group| group.tallies.contains(&tally))
    }

    /// The terms made since `since` that select pods of a group, and the number to ask with the next time.
    pub fn about(&self, group: GroupId, since: u32) -> (Vec<(OwnedId, &Owned)>, u32) {
        let Some(group) = self.groups.get(&group) else { return (Vec::new(), self.next) };
        let new = self.owned.range((Bound::Excluded(OwnedId(since)), Bound::Unbounded));
        let about = new.filter(|(_, owned)| owned.selector.selects(&group.namespace, &group.labels, &self.namespaces));
        (about.map(|(id, owned)| (*id, owned)).collect(), self.next)
    }

    /// Whether other pods have a say in which nodes take a pod.
    pub fn concern(&self, pod: &PodFacts) -> bool {
        let refuses = || self.about(pod.group, 0).0.iter().any(|(_, owned)| owned.stance == Stance::Refuses);
        pod.near.is_some() || !pod.away.is_empty() || !pod.spread.is_empty() || refuses()
    }

    /// A namespace's labels are these now, or it is gone. Returns whether anybody counts by them.
    pub fn namespace_changed(&mut self, name: &str, labels: Option<&Labels>) -> bool {
        match labels {
            Some(labels) if self.namespaces.get(name) == Some(labels) => return false,
            Some(labels) => drop(self.namespaces.insert(name.into(), labels.clone())),
            None => drop(self.namespaces.remove(name)),
        }
        let by_labels = |selector: &PodSelector| selector.namespace_labels.is_some();
        let moved: Vec<TallyId> =
            self.tallies.iter().filter(|(_, tally)| tally.selectors.iter().any(by_labels)).map(|(id, _)| *id).collect();
        for id in &moved {
            self.recount(*id);
        }
        !moved.is_empty() || self.owned.values().any(|owned| by_labels(&owned.selector))
    }

    fn draw(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn tally(&mut self, selectors: Vec<PodSelector>, staying: bool) -> TallyId {
        let texts: Vec<String> = selectors.iter().map(PodSelector::text).collect();
        let text = format!("{staying} {}", texts.join(" & "));
        if let Some(id) = self.by_selectors.get(text.as_str()) {
            return *id;
        }
        let id = TallyId(self.draw());
        self.by_selectors.insert(text.into(), id);
        self.tallies.insert(id, Tally { selectors, staying, on: BTreeMap::new() });
        self.recount(id);
        id
    }

    /// Counts what a tally selects. Costs a look at each group.
    fn recount(&mut self, id: TallyId) {
        let Some(tally) = self.tallies.get_mut(&id) else { return };
        tally.on.clear();
        for group in self.groups.values_mut() {
            group.tallies.retain(|one| *one != id);
            if !tally.counts(&group.namespace, &group.labels, &self.namespaces) {
                continue;
            }
            group.tallies.push(id);
            for (node, [all, leaving]) in &group.on {
                let count = if tally.staying { all - leaving } else { *all };
                if count > 0 {
                    *tally.on.entry(*node).or_default() += count;
                }
            }
        }
    }

    fn own(&mut self, selector: PodSelector, topology: &str, stance: Stance, nodes: &[NodeFacts]) -> OwnedId {
        let key = self.key(topology, nodes);
        let text = (selector.text(), key, stance);
        if let Some(id) = self.by_term.get(&text) {
            return *id;
        }
        let id = OwnedId(self.draw());
        self.by_term.insert(text, id);
        self.owned.insert(id, Owned { selector, key, stance, on: BTreeMap::new() });
        id
    }

    /// Whether so much is kept that it is time to forget what is out of use.
    pub fn is_full(&self) -> bool {
        self.groups.len() + self.tallies.len() + self.owned.len() > 2 * self.kept + 256
    }

    /// Forgets what nobody uses: these are in use, and what counts a pod.
    pub fn keep(
        &mut self,
        groups: &BTreeSet<GroupId>,
        tallies: &BTreeSet<TallyId>,
        owned: &BTreeSet<OwnedId>,
        keys: &BTreeSet<KeyId>,
    ) {
        self.tallies.retain(|id, _| tallies.contains(id));
        self.by_selectors.retain(|_, id| tallies.contains(id));
        self.owned.retain(|id, one| owned.contains(id) || !one.on.is_empty());
        self.by_term.retain(|_, id| self.owned.contains_key(id));
        self.groups.retain(|id, one| groups.contains(id) || !one.on.is_empty());
        for group in self.groups.values_mut() {
            group.tallies.retain(|id| tallies.contains(id));
        }
        for all in self.by_labels.values_mut() {
            all.retain(|_, id| self.groups.contains_key(id));
        }
        self.by_labels.retain(|_, all| !all.is_empty());
        let owned: BTreeSet<KeyId> = self.owned.values().map(|one| one.key).collect();
        self.keys.retain(|id, _| keys.contains(id) || owned.contains(id));
        self.by_label.retain(|_, id| self.keys.contains_key(id));
        self.kept = self.groups.len() + self.tallies.len() + self.owned.len();
    }
}

impl Tally {
    fn counts(&self, namespace: &str, labels: &Labels, namespaces: &BTreeMap<Text, Labels>) -> bool {
        self.selectors.iter().all(|one| one.selects(namespace, labels, namespaces))
    }
}

/// What is known of nodes.
impl Neighbours {
    /// A label that makes places of nodes, whose labels are these.
    fn key(&mut self, label: &str, nodes: &[NodeFacts]) -> KeyId {
        if let Some(id) = self.by_label.get(label) {
            return *id;
        }
        let id = KeyId(self.draw());
        let mut key = TopologyKey { label: label.into(), values: BTreeMap::new(), domains: Vec::new() };
        for (at, node) in nodes.iter().enumerate() {
            key.place(at, &node.labels);
        }
        self.keys.insert(id, key);
        self.by_label.insert(label.into(), id);
        id
    }

    /// A node has these labels now; none if it is gone.
    pub fn place(&mut self, node: u32, labels: &Labels) {
        for key in self.keys.values_mut() {
            key.place(node as usize, labels);
        }
    }

    /// The place of a node.
    pub fn domain(&self, key: KeyId, node: u32) -> u32 {
        self.keys.get(&key).and_then(|key| key.domains.get(node as usize)).copied().unwrap_or(NOWHERE)
    }

    /// How many places there have been.
    pub fn domains(&self, key: KeyId) -> usize {
        self.keys.get(&key).map_or(0, |key| key.values.len())
    }
}

impl TopologyKey {
    fn place(&mut self, node: usize, labels: &Labels) {
        if self.domains.len() <= node {
            self.domains.resize(node + 1, NOWHERE);
        }
        self.domains[node] = match labels.get(&self.label) {
            None => NOWHERE,
            Some(value) => match self.values.get(value) {
                Some(domain) => *domain,
                None => {
                    let domain = self.values.len() as u32;
                    self.values.insert(value.into(), domain);
                    domain
                }
            },
        };
    }
}
