//! What pods say of other pods: which they want near them or away, by the terms of both, and which ports they take.
//!
//! Terms that look at namespaces' labels are not reckoned here. Each question says what it makes of them.

use miniku_core::api::node::Node;
use miniku_core::api::pod::Pod;
use miniku_core::api::pod_affinity::{PodAffinity, PodAffinityTerm, WeightedPodAffinityTerm};
use miniku_core::api::text::Text;
use serde_json::Value;

/// Whether a pod has a say in where other pods are, or they in where it is.
pub(super) fn has_neighbours(pod: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_ref();
    affinity.is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some())
}

/// Whether a pod has a say in which pods are near it.
pub(super) fn minds(pod: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_ref();
    affinity.is_some_and(|affinity| affinity.pod_anti_affinity.is_some()) || !host_ports(pod).is_empty()
}

/// Whether a term is looked at here.
fn is_plain(term: &PodAffinityTerm) -> bool {
    term.namespace_selector.is_none() && term.match_label_keys.is_empty() && term.mismatch_label_keys.is_empty()
}

/// Whether a term of a pod selects another. Terms that look at namespaces' labels are left out.
pub(super) fn selects(term: &PodAffinityTerm, of: &Pod, other: &Pod) -> bool {
    let same = of.metadata.namespace == other.metadata.namespace;
    let namespace = if term.namespaces.is_empty() {
        same
    } else {
        term.namespaces.iter().any(|one| *one == *other.metadata.namespace)
    };
    is_plain(term)
        && namespace
        && term.label_selector.as_ref().is_some_and(|labels| labels.matches(&other.metadata.labels))
}

/// Whether a pod may keep another away wherever it is. Terms that are not looked at here may.
pub(super) fn repels(of: &Pod, other: &Pod) -> bool {
    let terms = of.spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let may = |term: &PodAffinityTerm| {
        let wide = !term.namespaces.is_empty() || term.namespace_selector.is_some();
        wide || !term.match_label_keys.is_empty() || !term.mismatch_label_keys.is_empty() || selects(term, of, other)
    };
    terms.is_some_and(|terms| terms.required.iter().any(may))
}

/// Whether the required anti-affinity of a pod forbids that it is here and another is there.
pub(super) fn forbids(of: &Pod, other: &Pod, here: &Node, there: &Node) -> bool {
    let terms = of.spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let place = |node: &Node, key: &str| node.metadata.labels.get(key).cloned();
    terms.is_some_and(|terms| {
        terms.required.iter().any(|term| {
            let here = place(here, &term.topology_key);
            here.is_some() && here == place(there, &term.topology_key) && selects(term, of, other)
        })
    })
}

/// The ports of its node that a pod takes while it runs: number, protocol and address; on all of them, if that is empty.
pub(super) fn host_ports(pod: &Pod) -> Vec<(u64, String, String)> {
    let inits = pod.spec.rest.get("initContainers").and_then(Value::as_array).into_iter().flatten();
    let stay = inits.filter(|one| one.get("restartPolicy").is_some_and(|policy| policy == "Always"));
    let mains = pod.spec.containers.iter().map(|one| one.rest.get("ports"));
    let ports = mains.chain(stay.map(|one| one.get("ports"))).filter_map(|ports| ports?.as_array()).flatten();
    let port = |port: &Value| {
        let text = |name: &str| port.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (protocol, ip) = (text("protocol"), text("hostIP"));
        let protocol = if protocol.is_empty() { "TCP".to_owned() } else { protocol };
        let ip = if ip == "0.0.0.0" { String::new() } else { ip };
        Some((port.get("hostPort").and_then(Value::as_u64).filter(|port| *port > 0)?, protocol, ip))
    };
    ports.filter_map(port).collect()
}

/// Whether two pods take the same port of their node.
pub(super) fn share_a_port(pod: &Pod, other: &Pod) -> bool {
    let theirs = host_ports(other);
    host_ports(pod).iter().any(|(port, protocol, ip)| {
        let same = |(their_port, their_protocol, their_ip): &(u64, String, String)| {
            let meet = ip.is_empty() || their_ip.is_empty() || ip == their_ip;
            (port, protocol) == (their_port, their_protocol) && meet
        };
        theirs.iter().any(same)
    })
}

/// The places of the pods that a pod wants to be with, if they are like itself and it minds nothing else: the first of
/// them may go wherever there are such places.
pub(super) fn with_its_kind(pod: &Pod) -> Option<Vec<&Text>> {
    let affinity = pod.spec.affinity.as_ref().filter(|affinity| affinity.pod_anti_affinity.is_none())?;
    let terms = &affinity.pod_affinity.as_ref()?.required;
    let plain = |term: &PodAffinityTerm| term.namespaces.is_empty() && selects(term, pod, pod);
    let alone = host_ports(pod).is_empty() && pod.spec.topology_spread_constraints.is_empty();
    (alone && terms.iter().all(plain)).then(|| terms.iter().map(|term| &term.topology_key).collect())
}

/// Whether a pod wants to be near another.
pub(super) fn wants_near(pod: &Pod, other: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
    affinity.is_some_and(|affinity| affinity.required.iter().any(|term| selects(term, pod, other)))
}

/// Whether there are pods that a pod has to be near, or away from.
pub(super) fn has_to_mind(pod: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_deref();
    let sides = affinity.map(|affinity| [affinity.pod_affinity.as_ref(), affinity.pod_anti_affinity.as_ref()]);
    sides.into_iter().flatten().flatten().any(|side| !side.required.is_empty())
}

/// The terms by which a pod had rather be near others, with their weights; less than nothing where it had rather be away.
fn preferences(pod: &Pod) -> impl Iterator<Item = (&PodAffinityTerm, i64)> {
    let affinity = pod.spec.affinity.as_deref();
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let away = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    [(near, 1), (away, -1)].into_iter().flat_map(|(side, sign): (Option<&PodAffinity>, i64)| {
        let terms = side.map_or(&[][..], |side| &side.preferred[..]);
        terms.iter().map(move |one| (&one.term, sign * i64::from(one.weight.clamp(0, 100))))
    })
}

/// The terms by which a pod that is there speaks for its places: what it prefers, and a little what it requires.
///
/// Source: Kubernetes, kube-scheduler `InterPodAffinityArgs.hardPodAffinityWeight`.
fn says_of_others(pod: &Pod) -> impl Iterator<Item = (&PodAffinityTerm, i64)> {
    let near = pod.spec.affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
    let required = near.map_or(&[][..], |near| &near.required[..]);
    preferences(pod).chain(required.iter().map(|term| (term, 1)))
}

/// Whether [`likes`] tells all that a pod says of others where it counts for a node, or against it.
pub(super) fn is_weighed(pod: &Pod) -> bool {
    says_of_others(pod).all(|(term, _)| is_plain(term))
}

/// What it counts for a node that a pod comes near one that is there: by which label two nodes are one place, and how much,
/// for each term of one that selects the other.
pub(super) fn likes<'a>(pod: &'a Pod, there: &'a Pod) -> Vec<(&'a Text, i64)> {
    let own = preferences(pod).filter(|(term, _)| selects(term, pod, there));
    let theirs = says_of_others(there).filter(|(term, _)| selects(term, there, pod));
    own.chain(theirs).map(|(term, weight)| (&term.topology_key, weight)).collect()
}

/// The terms by which a pod had rather be away from others: its preferred anti-affinity.
fn preferred_anti_affinity(pod: &Pod) -> &[WeightedPodAffinityTerm] {
    let away = pod.spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    away.map_or(&[][..], |away| &away.preferred[..])
}

/// Whether a pod had rather be away from others, and minds nothing else about them.
pub(super) fn has_preferred_anti_affinity_alone(pod: &Pod) -> bool {
    let away = pod.spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let may_be_near = away.is_some_and(|away| away.required.is_empty() && !away.preferred.is_empty());
    may_be_near && host_ports(pod).is_empty() && pod.spec.topology_spread_constraints.is_empty()
}

/// Whether all that a pod prefers of other pods is told by [`anti_affinity_weight`].
pub(super) fn is_weighed_by_anti_affinity_alone(pod: &Pod) -> bool {
    let likes = pod.spec.affinity.as_ref().is_some_and(|affinity| affinity.pod_affinity.is_some());
    !likes && preferred_anti_affinity(pod).iter().all(|one| is_plain(&one.term))
}

/// How much two pods on these nodes had rather be away from each other: the weights of the terms that they meet, of both.
pub(super) fn anti_affinity_weight((pod, here): (&Pod, &Node), (other, there): (&Pod, &Node)) -> i64 {
    let one_way = |of: &Pod, other: &Pod| {
        let meets = |one: &&WeightedPodAffinityTerm| {
            let place = |node: &Node| node.metadata.labels.get(one.term.topology_key.as_str()).cloned();
            place(here).is_some() && place(here) == place(there) && selects(&one.term, of, other)
        };
        preferred_anti_affinity(of).iter().filter(meets).map(|one| i64::from(one.weight.clamp(0, 100))).sum::<i64>()
    };
    one_way(pod, other) + one_way(other, pod)
}
