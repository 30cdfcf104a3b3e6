//! Which node takes which pod, as the scheduler was told of both.

use crate::invariants::neighbours::{has_neighbours, repels};
use crate::invariants::wants::{Wants as Amounts, offers, other_wants, wants as amounts};
use crate::told::Told;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Container, Pod};
use miniku_core::api::taint::{KEEP_AWAY, NO_SCHEDULE, Taint, UNSCHEDULABLE, untolerated};

/// Two amounts together.
pub(super) fn plus(one: Amounts, other: Amounts) -> Amounts {
    std::array::from_fn(|at| one[at].saturating_add(other[at]))
}

/// Whether it depends on other pods, too, where the pod can go. That is judged elsewhere: see S-near.
pub(super) fn looks_around(pod: &Pod) -> bool {
    let ports = |one: &Container| one.rest.get("ports").is_some();
    has_neighbours(pod) || !pod.spec.topology_spread_constraints.is_empty() || pod.spec.containers.iter().any(ports)
}

/// Whether there is room for a pod beside what is used.
pub(super) fn fits(node: &Node, used: Amounts, pod: &Pod) -> bool {
    let (offered, wanted) = (offers(node, 0), amounts(pod));
    // What a pod does not ask for, it may get where there is too little of it.
    other_wants(pod).next().is_none()
        && (0..wanted.len()).all(|at| wanted[at] == 0 || used[at].saturating_add(wanted[at]) <= offered[at])
}

/// Whether a node takes a pod for which it is all one where others are.
pub(super) fn takes(node: &Node, used: Amounts, pod: &Pod) -> bool {
    takes_alone(node, used, pod) && !looks_around(pod)
}

/// Whether a node takes a pod, wherever others are.
pub(super) fn takes_alone(node: &Node, used: Amounts, pod: &Pod) -> bool {
    let selected = pod.spec.allows_node(&node.metadata.name, &node.metadata.labels)
        && untolerated(&node.spec.taints, &pod.spec.tolerations, KEEP_AWAY).next().is_none();
    let cordon = Taint::new(UNSCHEDULABLE, NO_SCHEDULE);
    let enters = || pod.spec.tolerations.iter().any(|one| one.tolerates(&cordon));
    let open = node.is_ready() && (!node.spec.unschedulable || enters()) && !node.metadata.is_deleting();
    open && selected && fits(node, used, pod)
}

/// Whether others may keep a pod away, as far as the scheduler was told. That is judged elsewhere, too.
pub(super) fn is_repelled(told: Told<'_>, pod: &Pod) -> bool {
    told.of_kind(Kind::Pod).filter_map(Object::get::<Pod>).any(|other| repels(other, pod))
}

/// The pods that take up room, as far as the scheduler was told.
pub(super) fn placed<'a>(told: Told<'a>) -> impl Iterator<Item = (&'a str, &'a Pod)> {
    let pods = told.of_kind(Kind::Pod).filter_map(Object::get::<Pod>);
    pods.filter(|pod| !pod.status.phase.is_final()).filter_map(|pod| Some((pod.node()?, pod)))
}
