//! How evenly pods are spread over places by their constraints, as far as a scheduler was told, reckoned apart from it.

use super::neighbours::{has_neighbours, host_ports};
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::pod_affinity::{NodeInclusion, TopologySpreadConstraint, WhenUnsatisfiable};
use miniku_core::api::taint::{KEEP_AWAY, NO_SCHEDULE, NOT_READY, Taint, UNREACHABLE, untolerated};
use miniku_core::api::text::Text;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a node is a place of a constraint: it has the labels of all constraints that are as strict, and is none that
/// the policies leave out. One that is not ready counts as tainted.
pub(super) fn is_place(pod: &Pod, one: &TopologySpreadConstraint, node: &Node) -> bool {
    let strict = |other: &&TopologySpreadConstraint| other.when_unsatisfiable == one.when_unsatisfiable;
    let mut all = pod.spec.topology_spread_constraints.iter().filter(strict);
    let labelled = all.all(|other| node.metadata.labels.contains_key(other.topology_key.as_str()));
    let selected = one.node_affinity_policy == Some(NodeInclusion::Ignore)
        || pod.spec.allows_node(&node.metadata.name, &node.metadata.labels);
    let unknown = node.ready().is_some_and(|ready| ready.status == "Unknown");
    let unwell = Taint::new(if unknown { UNREACHABLE } else { NOT_READY }, NO_SCHEDULE);
    let tainted = || {
        let tolerations = &pod.spec.tolerations;
        let unwell = !node.is_ready() && !tolerations.iter().any(|one| one.tolerates(&unwell));
        unwell || untolerated(&node.spec.taints, tolerations, KEEP_AWAY).next().is_some()
    };
    labelled && selected && !(one.node_taints_policy == Some(NodeInclusion::Honor) && tainted())
}

/// Whether there are fewer places than a constraint asks for, whichever of the nodes that were told of are gone. Then the
/// least is taken to be 0.
pub(super) fn are_too_few(told: Told<'_>, pod: &Pod, one: &TopologySpreadConstraint) -> bool {
    let nodes = told.of_kind(Kind::Node).filter_map(Object::get::<Node>).filter(|node| is_place(pod, one, node));
    let places: BTreeSet<&Text> = nodes.filter_map(|node| node.metadata.labels.get(&one.topology_key)).collect();
    one.min_domains.and_then(|least| usize::try_from(least).ok()).is_some_and(|least| places.len() < least)
}

/// How many of the pods that a constraint counts are in each place, at least and at most.
pub(super) struct Spreading<'a> {
    pub places: BTreeMap<&'a str, &'a Text>,
    pub least: BTreeMap<&'a Text, i32>,
    pub most: BTreeMap<&'a Text, i32>,
    /// 1 if the pod is one of them.
    pub counts_itself: i32,
}

/// Whether a constraint of a pod counts another pod, wherever that is.
pub(super) fn counts(pod: &Pod, one: &TopologySpreadConstraint, other: &Pod) -> bool {
    other.metadata.namespace == pod.metadata.namespace
        && other.is_active()
        && one.label_selector.as_ref().is_some_and(|labels| labels.matches(&other.metadata.labels))
}

/// How pods are spread, as far as the scheduler was told. What it has asked for, and pods that are gone, may be there or
/// not.
pub(super) fn spreading<'a>(
    truth: &Truth,
    told: Told<'a>,
    pod: &Pod,
    one: &TopologySpreadConstraint,
    asked: &dyn Fn(&Key) -> Vec<&'a str>,
) -> Spreading<'a> {
    let counted = |other: &Pod| counts(pod, one, other);
    let nodes = told.of_kind(Kind::Node).filter(|object| truth.stored(object).is_some());
    let nodes = nodes.filter_map(Object::get::<Node>).filter(|node| is_place(pod, one, node));
    let places: BTreeMap<&str, &Text> = nodes
        .filter_map(|node| Some((node.metadata.name.as_str(), node.metadata.labels.get(&one.topology_key)?)))
        .collect();
    let (mut least, mut most): (BTreeMap<&Text, i32>, BTreeMap<&Text, i32>) = Default::default();
    for place in places.values().copied() {
        least.entry(place).or_default();
        most.entry(place).or_default();
    }
    let place_of = |node: &str| places.get(node).copied();
    for object in told.of_kind(Kind::Pod) {
        let Some(other) = object.get::<Pod>().filter(|other| counted(other)) else { continue };
        if let Some(place) = other.node().and_then(place_of)
            && truth.stored(object).is_some()
        {
            *least.entry(place).or_default() += 1;
        }
        let on = other.node().map_or_else(|| asked(&object.key()), |node| vec![node]);
        for place in on.into_iter().filter_map(place_of) {
            *most.entry(place).or_default() += 1;
        }
    }
    Spreading { places, least, most, counts_itself: i32::from(counted(pod)) }
}

/// Whether a pod minds nothing but how evenly it is spread.
pub(super) fn minds_spread_alone(pod: &Pod) -> bool {
    !has_neighbours(pod) && host_ports(pod).is_empty() && !pod.spec.topology_spread_constraints.is_empty()
}

/// Whether a pod may surely go to a node, as evenly as it has to be spread.
pub(super) fn is_surely_even<'a>(
    truth: &Truth,
    told: Told<'a>,
    pod: &Pod,
    node: &str,
    asked: &dyn Fn(&Key) -> Vec<&'a str>,
) -> bool {
    let hard = |one: &&TopologySpreadConstraint| one.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule;
    pod.spec.topology_spread_constraints.iter().filter(hard).all(|one| {
        if !one.match_label_keys.is_empty() {
            return false;
        }
        let Spreading { places, least, most, counts_itself } = spreading(truth, told, pod, one, asked);
        // Where places may be too few, the least may be taken to be 0.
        let emptiest = least.values().min().copied().filter(|_| one.min_domains.is_none()).unwrap_or(0);
        places.get(node).is_some_and(|place| most[place] + counts_itself - emptiest <= one.max_skew)
    })
}
