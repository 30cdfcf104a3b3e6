//! Whether each daemon set has one pod on each node that takes its pods and none on the others, and says so.

use super::of_kind;
use crate::truth::Truth;
use miniku_core::api::daemonset::DaemonSet;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{Labels, ObjectMeta};
use miniku_core::api::node::Node;
use miniku_core::api::pod::{Container, Pod, PodSpec, PodTemplateSpec};
use miniku_core::api::statefulset::UpdateStrategyType;
use miniku_core::api::taint::{KEEP_AWAY, NO_EXECUTE, NO_SCHEDULE, NOT_READY, Taint, UNREACHABLE, untolerated};
use miniku_core::api::text::Text;
use std::ops::RangeInclusive;

/// What is not as it should be, if anything.
pub(super) fn missing(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::DaemonSet).filter(|object| !object.meta().is_deleting()) {
        let (meta, set) = (object.meta(), object.read::<DaemonSet>()?);
        if let Err(wrong) = daemon_set(truth, meta, &set) {
            return Some(format!("daemon set {} {wrong}", meta.name));
        }
    }
    None
}

fn daemon_set(truth: &Truth, meta: &ObjectMeta, set: &DaemonSet) -> Result<(), String> {
    let staff = Staff::of(truth, meta, set)?;
    let in_vain = |pod: &&Pod| pod.node().is_none() && pod.target_node().is_some_and(|node| truth.node(node).is_none());
    if let Some(pod) = own(truth, meta).find(in_vain) {
        return Err(format!("keeps {}, which waits for a node that is gone", pod.metadata.name));
    }
    // A new one that cannot serve holds the others up.
    if let Some(pod) = staff.old.first()
        && set.spec.update_strategy.kind == UpdateStrategyType::RollingUpdate
        && staff.new.iter().all(|pod| pod.is_ready())
    {
        return Err(format!("does not replace {}, which is of another template", pod.metadata.name));
    }
    counts(set, &staff)?;
    if set.status.observed_generation != meta.generation {
        return Err("was not looked at since it changed".into());
    }
    Ok(())
}

/// The pods that a daemon set has where it should have one.
#[derive(Default)]
struct Staff<'a> {
    /// How many nodes should have one, and how many of them do.
    wanted: usize,
    staffed: usize,
    ready: usize,
    /// Those of its template, and the others.
    new: Vec<&'a Pod>,
    old: Vec<&'a Pod>,
}

impl<'a> Staff<'a> {
    /// Unless the daemon set has too few or too many on a node.
    fn of(truth: &'a Truth, meta: &'a ObjectMeta, set: &DaemonSet) -> Result<Staff<'a>, String> {
        let mut staff = Staff::default();
        for node in truth.all::<Node>() {
            let at = &node.metadata.name;
            let here: Vec<&Pod> = own(truth, meta).filter(|pod| pod.target_node() == Some(at)).collect();
            let allowed = allowed(set, node);
            let is_wanted = *allowed.start() == 1;
            // Who surges, and has no room for the second, waits with two.
            let is_second = here.len() == 2 && here.iter().any(|pod| !pod.is_ready()) && set.max_surge(100) > 0;
            let is_right = allowed.contains(&here.len()) || is_wanted && is_second;
            if !is_right {
                return Err(format!("has {} pods on {at}", here.len()));
            }
            if is_wanted {
                staff.wanted += 1;
                staff.staffed += usize::from(!here.is_empty());
                staff.ready += here.iter().filter(|pod| pod.is_ready()).count();
                for pod in here {
                    if is_like(pod, &set.spec.template) { staff.new.push(pod) } else { staff.old.push(pod) }
                }
            }
        }
        Ok(staff)
    }
}

/// The pods of a daemon set that go on.
fn own<'a>(truth: &'a Truth, set: &'a ObjectMeta) -> impl Iterator<Item = &'a Pod> {
    let is_own = move |pod: &&Pod| pod.metadata.controller().is_some_and(|by| by.uid == set.uid) && pod.is_active();
    truth.all::<Pod>().filter(is_own)
}

/// How many pods of a daemon set may be on a node.
fn allowed(set: &DaemonSet, node: &Node) -> RangeInclusive<usize> {
    let template = &set.spec.template.spec;
    // Those that Kubernetes puts on nodes are put up with, but nothing new comes to a node that is not ready.
    let counts = |taint: &&Taint| match &*taint.key {
        NOT_READY | UNREACHABLE => taint.effect == NO_SCHEDULE,
        key => !key.starts_with("node.kubernetes.io/"),
    };
    let others: Vec<Taint> = node.spec.taints.iter().filter(counts).cloned().collect();
    let keeps = |effects: &[&str]| untolerated(&others, &template.tolerations, effects).next().is_some();
    match template.allows_node(&node.metadata.name, &node.metadata.labels) {
        true if !keeps(KEEP_AWAY) => 1..=1,
        true if !keeps(&[NO_EXECUTE]) => 0..=1,
        _ => 0..=0,
    }
}

/// Whether a pod is as a template has it, as far as nobody else has a say in it.
fn is_like(pod: &Pod, template: &PodTemplateSpec) -> bool {
    let (has, wanted) = (&pod.metadata, &template.metadata);
    let all = |has: &Labels, wanted: &Labels| wanted.iter().all(|(key, value)| has.get(key) == Some(value));
    let what = |spec: &PodSpec| -> Vec<(Text, Text, Vec<Text>)> {
        let containers = spec.containers.iter();
        let command = |one: &Container| one.command.iter().chain(&one.args).cloned().collect();
        containers.map(|one| (one.name.clone(), one.image.clone(), command(one))).collect()
    };
    all(&has.labels, &wanted.labels)
        && all(&has.annotations, &wanted.annotations)
        && what(&pod.spec) == what(&template.spec)
}

/// What its status says of its pods.
fn counts(set: &DaemonSet, staff: &Staff<'_>) -> Result<(), String> {
    let Staff { wanted, staffed, ready, new, old } = staff;
    let number = |count: i32| usize::try_from(count).unwrap_or(usize::MAX);
    let updated = set.status.updated_number_scheduled.unwrap_or(0);
    if new.len() + old.len() == *wanted && number(updated) != new.len() {
        return Err(format!("says {updated} pods are of its template, {} are", new.len()));
    }
    let (told_wanted, told_ready) = (number(set.status.desired_number_scheduled), number(set.status.number_ready));
    if (told_wanted, told_ready) != (*wanted, *ready) {
        return Err(format!("says {told_ready} of {told_wanted} are ready; they are {ready} of {wanted}"));
    }
    let told = set.status.current_number_scheduled;
    if number(told) != *staffed {
        return Err(format!("says that {told} nodes have its pod, {staffed} have"));
    }
    let available = number(set.status.number_available.unwrap_or(0));
    if set.spec.min_ready_seconds.unwrap_or(0) == 0 && available != *ready {
        return Err(format!("says {available} are available, {ready} are"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::forged::Nobody;
    use super::*;
    use crate::invariants::forged::Story;
    use serde_json::json;

    #[test]
    fn says_who_waits_for_a_node_that_is_gone() {
        let judge = |bound: &str| {
            let mut story = Story::<Nobody>::new();
            let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "uid": "d"},
                "spec": {"selector": {}, "template": {}}});
            story.put(set).unwrap();
            let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d",
                "controller": true});
            let field = json!({"key": "metadata.name", "operator": "In", "values": ["gone"]});
            let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchFields": [field]}]}}});
            let mut spec = json!({"containers": [], "affinity": affinity});
            if !bound.is_empty() {
                spec["nodeName"] = bound.into();
            }
            let meta = json!({"name": "a", "uid": "a", "ownerReferences": [owner]});
            story.put(json!({"kind": "Pod", "metadata": meta, "spec": spec})).unwrap();
            missing(&story.truth)
        };
        assert_eq!(judge("").unwrap(), "daemon set agent keeps a, which waits for a node that is gone");
        assert_eq!(judge("gone"), None, "it is the collector's");
    }
}
