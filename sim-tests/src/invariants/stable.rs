//! L-stable: Once faults are over, the desired state is reached within a bound, and then kept in silence: no write but of leases and of what is told once more, no process that starts or stops.
//!
//! What is desired is reckoned from the stored wishes and the machines that live, not asked of any controller. Looked
//! at by [`crate::scenario`] at the end of a run, since it speaks of a time span and not of a fact.
//! Catches: whatever waits for ever for something that will not come; two programs that never agree.

mod workloads;

pub(super) use workloads::is_made_of;

use super::budget::healthy;
use super::demand;
use super::endpoints;
use super::quota;
use crate::runtime::Behaviour;
use crate::truth::Truth;
use crate::usage;
use crate::world::World;
use miniku_core::api::autoscaler::{Behavior, HorizontalPodAutoscaler, Rules, SelectPolicy};
use miniku_core::api::budget::{PodDisruptionBudget, SYNC_FAILED};
use miniku_core::api::daemonset::DaemonSet;
use miniku_core::api::deployment::Deployment;
use miniku_core::api::endpoints::EndpointSlice;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{Labels, OwnerReference};
use miniku_core::api::namespace::{DEFAULT_ACCOUNT, Namespace};
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Container, Pod, PodSpec, PodTemplateSpec, RestartPolicy};
use miniku_core::api::quantity::Quantity;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::service::Service;
use miniku_core::api::statefulset::UpdateStrategyType;
use miniku_core::api::taint::{
    KEEP_AWAY, NO_EXECUTE, NO_SCHEDULE, NOT_READY, Taint, UNREACHABLE, UNSCHEDULABLE, untolerated,
};
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::{ContainerSpec, Limits};
use miniku_core::program::Query;
use miniku_core::time::{Duration, Instant};
use serde::Deserialize;

/// How long the silence must last: ten times what a controller that looks at everything now and then would wait.
pub const SILENCE: Duration = Duration::from_secs(300);

/// How long it may take to get there.
///
/// Twice the sum of: a request's time-out and the longest delay between two tries of a list-watch (40 s), a node's
/// grace and the time to eviction (45 s), the longest delay of a work queue (60 s), a stop that needs SIGKILL (30 s),
/// and a few lists and starts.
pub const BOUND: Duration = Duration::from_secs(400);

/// Whose pods must not outlive them.
const WORKLOADS: [Kind; 4] = [Kind::ReplicaSet, Kind::ReplicationController, Kind::StatefulSet, Kind::Job];

/// Whether a container, once started, runs for ever, as far as is known.
pub fn lasts(spec: &PodSpec, any_image: bool) -> bool {
    spec.containers.iter().all(|container| {
        let spec = ContainerSpec {
            name: container.name.to_string(),
            attempt: 0,
            image: container.image.to_string(),
            command: container.command.iter().map(String::from).collect(),
            args: container.args.iter().map(String::from).collect(),
            env: Default::default(),
            working_dir: None,
            stdio: Default::default(),
            limits: Limits::default(),
        };
        Behaviour::of(&spec).ends.is_none()
    }) && starts(spec, any_image)
}

/// Whether all containers of a pod can be started: whatever the restart policy, an image is waited for.
fn starts(spec: &PodSpec, any_image: bool) -> bool {
    any_image || spec.containers.iter().all(|container| crate::runtime::can_be_had(&container.image))
}

/// What is not as it should be, if anything.
pub fn missing(truth: &Truth) -> Option<String> {
    type Look = fn(&Truth) -> Option<String>;
    let looks: [Look; 13] = [
        nodes,
        pods,
        sets,
        daemons,
        workloads::missing,
        autoscalers,
        processes,
        budgets,
        quotas,
        services,
        namespaces,
        leftovers,
        finished,
    ];
    looks.iter().find_map(|look| look(truth))
}

fn namespaces(truth: &Truth) -> Option<String> {
    let ending = |namespace: &&Namespace| {
        let name = &namespace.metadata.name;
        namespace.metadata.is_deleting() && !is_held(truth, |pod| pod.metadata.namespace == *name)
    };
    if let Some(ending) = truth.all::<Namespace>().find(ending) {
        return Some(format!("namespace {} is still there", ending.metadata.name));
    }
    let lacks = |namespace: &&Namespace| {
        let meta = &namespace.metadata;
        let account = Key::new(Kind::ServiceAccount, &meta.name, DEFAULT_ACCOUNT);
        !meta.is_deleting() && truth.object(&account).is_none()
    };
    let lacking = truth.all::<Namespace>().find(lacks)?;
    Some(format!("namespace {} has no service account {DEFAULT_ACCOUNT}", lacking.metadata.name))
}

/// Whoever names owners of which none is there any more goes. Those of kinds that nobody knows are taken to exist.
fn leftovers(truth: &Truth) -> Option<String> {
    let is_looked_at =
        |object: &&Object| !matches!(object.kind(), Kind::Event | Kind::Lease) && !object.meta().is_deleting();
    let is_gone = |object: &Object, owner: &OwnerReference| {
        let kind = Kind::named(&owner.api_version, &owner.kind);
        let Some(kind) = kind.filter(|kind| !matches!(kind, Kind::Custom(_))) else { return false };
        let namespace = match (kind.row().namespaced, object.meta().namespace.as_str()) {
            (false, _) => "",
            // What has no namespace cannot be owned by what has one.
            (true, "") => return false,
            (true, namespace) => namespace,
        };
        let there = truth.object(&Key::new(kind, namespace, &owner.name));
        there.is_none_or(|there| there.meta().uid != owner.uid)
    };
    let left = truth.disk.objects().values().filter(is_looked_at).find(|object| {
        let owners = &object.meta().owner_references;
        !owners.is_empty() && owners.iter().all(|owner| is_gone(object, owner))
    })?;
    Some(format!("{} is left, and none of its owners is there", left.key()))
}

/// Whether a pod that cannot go, since the node is dead that would have to confirm its end, is among these.
fn is_held(truth: &Truth, among: impl Fn(&Pod) -> bool) -> bool {
    let cannot_go = |pod: &Pod| pod.metadata.is_deleting() && pod.node().is_some_and(|node| !is_up(truth, node));
    truth.all::<Pod>().any(|pod| cannot_go(pod) && among(pod))
}

fn is_up(truth: &Truth, node: &str) -> bool {
    truth.nodes.get(node).is_some_and(|node| node.up)
}

fn nodes(truth: &Truth) -> Option<String> {
    for (name, facts) in &truth.nodes {
        let ready = truth.node(name).is_some_and(Node::is_ready);
        if facts.up != ready {
            return Some(format!(
                "{name} is {}, and said to be {}ready",
                updown(facts.up),
                if ready { "" } else { "not " }
            ));
        }
        let Some(node) = truth.node(name).filter(|_| facts.up) else { continue };
        let unwell = |taint: &&Taint| matches!(&*taint.key, NOT_READY | UNREACHABLE);
        if let Some(taint) = node.spec.taints.iter().find(unwell) {
            return Some(format!("{name} is up, and still has the taint {taint}"));
        }
        if node.spec.unschedulable != node.spec.taints.iter().any(|taint| taint.key == UNSCHEDULABLE) {
            return Some(format!("{name} is cordoned or not, and its taints say otherwise"));
        }
    }
    None
}

fn updown(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

/// Whether a container has ended that is not started again: the others go on without it.
fn is_partly_over(pod: &Pod) -> bool {
    pod.spec.restart_policy == RestartPolicy::Never
        && pod.status.container_statuses.iter().any(|one| one.state.terminated.is_some())
}

fn pods(truth: &Truth) -> Option<String> {
    for pod in truth.all::<Pod>() {
        let name = pod.metadata.full_name();
        let node = pod.node().unwrap_or_default();
        let living = truth.processes_of(&pod.metadata.uid).count();
        let wrong = match () {
            _ if pod.is_active() && pod.disruption().is_some() => Some("was made to go, and lives on with that word"),
            _ if pod.is_ready() && !node.is_empty() && !is_up(truth, node) => {
                Some("is called ready, and its node is dead")
            }
            _ if pod.metadata.is_deleting() => {
                let is_over = is_up(truth, node) || node.is_empty();
                (is_over && !workloads::is_remembered(truth, pod)).then_some("is still being deleted")
            }
            _ if pod.status.phase.is_final() => (living > 0).then_some("is finished, but has processes"),
            _ if node.is_empty() => {
                let told = pod.status.conditions.iter().any(|one| one.kind == "PodScheduled" && one.status == "False");
                (!told).then_some("is bound to no node, and nobody says why")
            }
            _ if !truth.nodes.contains_key(node) => Some("is bound to a node that does not exist"),
            _ if !is_up(truth, node) => (!stays_for_ever(pod)).then_some("is bound to a dead node"),
            _ if lasts(&pod.spec, truth.any_image) && !is_partly_over(pod) => {
                (!truth.really_runs(pod)).then_some("does not run")
            }
            _ if pod.spec.restart_policy == RestartPolicy::Never && living == 0 => {
                starts(&pod.spec, truth.any_image).then_some("has ended, but is not finished")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Some(format!("pod {name} on {node:?} {wrong}"));
        }
        let controller = pod.metadata.controller().filter(|_| !pod.metadata.is_deleting());
        let kind = |owner: &OwnerReference| WORKLOADS.iter().copied().find(|kind| kind.row().name == owner.kind);
        if let Some((owner, kind)) = controller.and_then(|owner| Some((owner, kind(owner)?))) {
            let is_there = truth.object(&Key::new(kind, &pod.metadata.namespace, &owner.name));
            if is_there.is_none_or(|object| object.meta().uid != owner.uid) {
                return Some(format!("pod {name} outlives its owner {}", owner.name));
            }
        }
    }
    None
}

/// Whether a pod puts up with the silence of its node for ever.
fn stays_for_ever(pod: &Pod) -> bool {
    let silent = Taint::new(UNREACHABLE, NO_EXECUTE);
    pod.spec.tolerations.iter().any(|one| one.tolerates(&silent) && one.toleration_seconds.is_none())
}

/// A daemon set has one pod on each node that takes its pods, and none on the others.
fn daemons(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::DaemonSet).filter(|object| !object.meta().is_deleting()) {
        let (meta, set) = (object.meta(), object.read::<DaemonSet>()?);
        let name = &meta.name;
        let own = |pod: &&Pod| pod.metadata.controller().is_some_and(|by| by.uid == meta.uid) && pod.is_active();
        let template = &set.spec.template.spec;
        let (mut wanted, mut ready, mut staffed) = (0, 0, 0);
        let (mut new, mut old): (Vec<&Pod>, Vec<&Pod>) = Default::default();
        for node in truth.all::<Node>() {
            let (at, labels) = (&node.metadata.name, &node.metadata.labels);
            let here = || truth.all::<Pod>().filter(own).filter(|pod| pod.target_node() == Some(at));
            // Those that Kubernetes puts on nodes are put up with, but nothing new comes to a node that is not ready.
            let counts = |taint: &&Taint| match &*taint.key {
                NOT_READY | UNREACHABLE => taint.effect == NO_SCHEDULE,
                key => !key.starts_with("node.kubernetes.io/"),
            };
            let others: Vec<Taint> = node.spec.taints.iter().filter(counts).cloned().collect();
            let keeps = |effects: &[&str]| untolerated(&others, &template.tolerations, effects).next().is_some();
            let allowed = match template.allows_node(at, labels) {
                true if !keeps(KEEP_AWAY) => 1..=1,
                true if !keeps(&[NO_EXECUTE]) => 0..=1,
                _ => 0..=0,
            };
            // Who surges, and has no room for the second, waits with two.
            let is_second = here().count() == 2 && here().any(|pod| !pod.is_ready()) && set.max_surge(100) > 0;
            let waits = is_second && *allowed.start() == 1;
            wanted += allowed.start();
            staffed += usize::from(*allowed.start() == 1 && here().next().is_some());
            ready += here().filter(|pod| *allowed.start() == 1 && pod.is_ready()).count();
            for pod in here().filter(|_| *allowed.start() == 1) {
                if is_like(pod, &set.spec.template) { new.push(pod) } else { old.push(pod) }
            }
            if !allowed.contains(&here().count()) && !waits {
                return Some(format!("daemon set {name} has {} pods on {at}", here().count()));
            }
        }
        let in_vain =
            |pod: &&Pod| pod.node().is_none() && pod.target_node().is_some_and(|node| truth.node(node).is_none());
        if let Some(pod) = truth.all::<Pod>().filter(own).find(in_vain) {
            return Some(format!("daemon set {name} keeps {}, which waits for a node that is gone", pod.metadata.name));
        }
        // A new one that cannot serve holds the others up.
        if let Some(pod) = old.first()
            && set.spec.update_strategy.kind == UpdateStrategyType::RollingUpdate
            && new.iter().all(|pod| pod.is_ready())
        {
            return Some(format!(
                "daemon set {name} does not replace {}, which is of another template",
                pod.metadata.name
            ));
        }
        let number = |count: i32| usize::try_from(count).unwrap_or(usize::MAX);
        let updated = set.status.updated_number_scheduled.unwrap_or(0);
        if new.len() + old.len() == wanted && number(updated) != new.len() {
            return Some(format!("daemon set {name} says {updated} pods are of its template, {} are", new.len()));
        }
        let told = (number(set.status.desired_number_scheduled), number(set.status.number_ready));
        if told != (wanted, ready) {
            return Some(format!(
                "daemon set {name} says {} of {} are ready; they are {ready} of {wanted}",
                told.1, told.0
            ));
        }
        if number(set.status.current_number_scheduled) != staffed {
            let told = set.status.current_number_scheduled;
            return Some(format!("daemon set {name} says that {told} nodes have its pod, {staffed} have"));
        }
        let available = number(set.status.number_available.unwrap_or(0));
        if set.spec.min_ready_seconds.unwrap_or(0) == 0 && available != ready {
            return Some(format!("daemon set {name} says {available} are available, {ready} are"));
        }
        if set.status.observed_generation != meta.generation {
            return Some(format!("daemon set {name} was not looked at since it changed"));
        }
    }
    None
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

fn sets(truth: &Truth) -> Option<String> {
    for set in truth.all::<ReplicaSet>() {
        let name = &set.metadata.name;
        if set.metadata.is_deleting() {
            let own = |pod: &Pod| pod.metadata.owner_references.iter().any(|owner| owner.uid == set.metadata.uid);
            if is_held(truth, own) {
                continue;
            }
            return Some(format!("replica set {name} is still being deleted"));
        }
        let own = |pod: &&Pod| pod.metadata.controller().is_some_and(|owner| owner.uid == set.metadata.uid);
        let active: Vec<&Pod> = truth.all::<Pod>().filter(own).filter(|pod| pod.is_active()).collect();
        let selected = |pod: &Pod| set.spec.selector.matches(&pod.metadata.labels);
        if let Some(stranger) = active.iter().find(|pod| !selected(pod)) {
            return Some(format!("replica set {name} keeps {}, which it does not select", stranger.metadata.name));
        }
        let within = |pod: &&Pod| pod.metadata.namespace == set.metadata.namespace && pod.is_active();
        let nobodys = |pod: &&Pod| pod.metadata.controller().is_none() && selected(pod);
        if let Some(orphan) = truth.all::<Pod>().filter(within).find(nobodys) {
            return Some(format!("replica set {name} does not adopt {}", orphan.metadata.name));
        }
        let ready = active.iter().filter(|pod| pod.is_ready()).count();
        let told = |count: Option<i32>| usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX);
        if active.len() != set.wanted() {
            return Some(format!("replica set {name} has {} of {} pods", active.len(), set.wanted()));
        }
        if told(Some(set.status.replicas)) != active.len() || told(set.status.ready_replicas) != ready {
            let (replicas, ready_told) = (set.status.replicas, set.status.ready_replicas.unwrap_or(0));
            return Some(format!(
                "replica set {name} says {replicas} pods, {ready_told} ready; they are {}, {ready}",
                active.len()
            ));
        }
        let available = set.status.available_replicas;
        if set.spec.min_ready_seconds.unwrap_or(0) == 0 && told(available) != ready {
            return Some(format!("replica set {name} says {} are available, {ready} are", available.unwrap_or(0)));
        }
        let labels = &set.spec.template.metadata.labels;
        let bears = |pod: &&&Pod| labels.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value));
        let (said, labelled) = (set.status.fully_labeled_replicas, active.iter().filter(bears).count());
        if told(said) != labelled {
            let said = said.unwrap_or(0);
            return Some(format!("replica set {name} says that {said} pods have all its labels, {labelled} have"));
        }
        let says_so = set.status.conditions.iter().any(|one| one.kind == "ReplicaFailure");
        let served = workloads::all_serve(truth, active.iter().copied(), set.spec.min_ready_seconds, available);
        if let Err(what) = served.and_then(|()| workloads::failed(true, says_so)) {
            return Some(format!("replica set {name} {what}"));
        }
        let own_finished = truth.all::<Pod>().filter(own).filter(|pod| pod.status.phase.is_final());
        let finished = own_finished.filter(|pod| !pod.metadata.is_deleting()).count();
        if finished > set.wanted() {
            return Some(format!("replica set {name} keeps {finished} finished pods, and wants {}", set.wanted()));
        }
        if set.status.observed_generation != set.metadata.generation {
            return Some(format!("replica set {name} was not looked at since it changed"));
        }
    }
    None
}

fn of_kind(truth: &Truth, kind: Kind) -> impl Iterator<Item = &Object> {
    truth.disk.objects().of_kind(kind)
}

fn budgets(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::PodDisruptionBudget).filter(|object| !object.meta().is_deleting()) {
        let (name, budget) = (&object.meta().name, object.read::<PodDisruptionBudget>()?);
        let status = &budget.status;
        // What it could not be counted from is somebody's wish too.
        if status.conditions.iter().any(|one| one.reason == SYNC_FAILED) {
            continue;
        }
        let has = healthy(truth, &object.meta().namespace, &budget);
        let allowed = if status.expected_pods > 0 { (has - status.desired_healthy).max(0) } else { 0 };
        if (status.current_healthy, status.disruptions_allowed) != (has, allowed) {
            let (told, may) = (status.current_healthy, status.disruptions_allowed);
            return Some(format!("budget {name} says {told} healthy pods, {may} may go; they are {has}, {allowed}"));
        }
        let expected = demand::expected_at_rest(truth, &object.meta().namespace, &budget);
        if let Some(expected) = expected.filter(|expected| i64::from(status.expected_pods) != *expected) {
            return Some(format!("budget {name} expects {} pods, {expected} are wanted", status.expected_pods));
        }
        if !status.disrupted_pods.is_empty() || status.observed_generation != object.meta().generation {
            return Some(format!("budget {name} was not looked at since it changed"));
        }
    }
    None
}

/// Each autoscaler has made as many pods as their load asks for, if all of them run and can be measured.
///
/// Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details.
fn autoscalers(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::HorizontalPodAutoscaler).filter(|object| !object.meta().is_deleting()) {
        let (namespace, body) = (&object.meta().namespace, object.read::<HorizontalPodAutoscaler>()?);
        let target = truth.object(&Key::new(Kind::Deployment, namespace, &body.spec.scale_target_ref.name));
        let Some(deployment) = target.and_then(Object::read::<Deployment>) else { continue };
        let (least, most) = (i64::from(body.spec.min_replicas.unwrap_or(1)), i64::from(body.spec.max_replicas));
        let has = deployment.wanted();
        // None are wished for by hand: it does nothing then.
        if has == 0 {
            continue;
        }
        if !(least..=most).contains(&has) {
            return Some(format!("{} leaves {has} pods, between {least} and {most} are wished", object.key()));
        }
        let of = |other: &HorizontalPodAutoscaler| other.spec.scale_target_ref == body.spec.scale_target_ref;
        let rivals = truth.disk.objects().within(Kind::HorizontalPodAutoscaler, namespace);
        // None of several changes anything.
        if rivals.filter_map(Object::read::<HorizontalPodAutoscaler>).filter(of).count() > 1 {
            continue;
        }
        let labels = deployment.spec.selector.clone();
        let selected = |pod: &&Pod| pod.metadata.namespace == *namespace && labels.matches(&pod.metadata.labels);
        let pods: Vec<&Pod> = truth.all::<Pod>().filter(selected).filter(|pod| pod.is_active()).collect();
        let query =
            Query { namespace: Some(namespace.as_str().into()), labels: labels.clone(), ..Query::all(Kind::Pod) };
        let measured = usage::measured(truth, &query);
        let requested: u128 = pods.iter().map(|pod| u128::from(pod.spec.requests().0) * 1_000_000).sum();
        let all = i64::try_from(pods.len()).is_ok_and(|many| many == has) && measured.len() == pods.len();
        let run = pods.iter().all(|pod| truth.really_runs(pod));
        if !all || !run || requested == 0 {
            continue;
        }
        let used: u128 =
            measured.iter().flat_map(|pod| &pod.measured.used).map(|(_, used)| u128::from(used.cpu_nanos)).sum();
        // What is used, in percent of what each metric is about, and how much should be.
        let metrics = body.spec.metrics.iter().filter_map(|metric| metric.resource.as_ref());
        let shares =
            metrics.filter_map(|metric| match (&metric.target.average_value, metric.target.average_utilization) {
                (Some(value), _) => Some((used * 100, u128::from(value.nano_value()) * pods.len() as u128, 100))
                    .filter(|(_, of, _)| *of > 0),
                (None, Some(wished)) if wished > 0 => Some((used * 100, requested, u128::from(wished.unsigned_abs()))),
                _ => None,
            });
        let shares: Vec<(u128, u128)> = shares.map(|(used, of, wished)| (used / of, wished)).collect();
        let wanted = |percent: u128, wished: u128| {
            let near = (percent * 10).abs_diff(wished * 10) * 10 <= wished * 10;
            let many = if near { has.unsigned_abs().into() } else { (percent * pods.len() as u128).div_ceil(wished) };
            i64::try_from(many).unwrap_or(i64::MAX).clamp(least, most)
        };
        // It counts in whole thousandths of a processor, and in whole percent. What asks for most decides.
        let at_least = shares.iter().map(|(percent, wished)| wanted(percent.saturating_sub(1), *wished)).max();
        let at_most = shares.iter().map(|(percent, wished)| wanted(percent + 1, *wished)).max();
        // While something cannot be had, no fewer are wished than there are.
        let is_blind = body.spec.metrics.iter().any(|metric| metric.resource.is_none());
        // A way that is closed is not gone.
        let is_closed = |way: fn(&Behavior) -> Option<&Rules>| {
            let rules = body.spec.behavior.as_ref().and_then(way);
            rules.is_some_and(|rules| rules.select_policy == Some(SelectPolicy::Disabled))
        };
        let at_least = if is_closed(|of| of.scale_up.as_ref()) { at_least.min(Some(has)) } else { at_least };
        let stays = is_blind || is_closed(|of| of.scale_down.as_ref());
        let at_most = if stays { at_most.max(Some(has)) } else { at_most };
        if let (Some(at_least), Some(at_most)) = (at_least, at_most)
            && !(at_least..=at_most).contains(&has)
        {
            let percent: Vec<String> = shares.iter().map(|(is, wished)| format!("{is} % of {wished}")).collect();
            let (key, percent) = (object.key(), percent.join(" and "));
            return Some(format!("{key} leaves {has} pods that use {percent}; {at_most} would share the load"));
        }
    }
    None
}

/// What a quota says is allowed and used.
fn quotas(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::ResourceQuota) {
        let said = |what: &str, of: &str| Quantity::deserialize(object.at(&["status", what, of])?).ok();
        for resource in ["pods", "requests.cpu"] {
            let Some(hard) = quota::hard(object, resource) else { continue };
            let told = said("hard", resource).as_ref().map(Quantity::milli_value);
            if told != Some(hard) {
                let name = &object.meta().name;
                return Some(format!(
                    "quota {name} allows {hard} thousandths of {resource}, and says that it allows {told:?}"
                ));
            }
            let used = quota::used(truth, &object.meta().namespace, resource);
            let said = said("used", resource);
            if said.as_ref().map(Quantity::milli_value) != Some(used) {
                let (name, said) = (&object.meta().name, said.unwrap_or_default());
                return Some(format!("quota {name} says that {said} of {resource} are used, {used} thousandths are"));
            }
        }
    }
    None
}

/// No more pods are kept that have ended than there may be.
fn finished(truth: &Truth) -> Option<String> {
    let most = truth.settings.finished?;
    let ended = |pod: &&Pod| pod.status.phase.is_final() && !pod.metadata.is_deleting();
    let kept = truth.all::<Pod>().filter(ended).count();
    (kept > most).then(|| format!("{kept} pods are kept that have ended, and {most} may be"))
}

/// Each service with a selector shows its pods.
fn services(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::Service).filter(|object| !object.meta().is_deleting()) {
        let (meta, service) = (object.meta(), object.read::<Service>()?);
        if service.spec.selector.is_empty() || service.spec.kind == "ExternalName" {
            continue;
        }
        let (namespace, name) = (&meta.namespace, &meta.name);
        let own = |slice: &&Object| {
            slice.meta().namespace == *namespace && slice.meta().controller().is_some_and(|by| by.uid == meta.uid)
        };
        let slices: Vec<EndpointSlice> =
            of_kind(truth, Kind::EndpointSlice).filter(own).filter_map(Object::read).collect();
        if slices.is_empty() || truth.object(&Key::new(Kind::Endpoints, namespace, name)).is_none() {
            return Some(format!("service {name} has no endpoints, not even empty ones"));
        }
        let bears =
            |slice: &Object| meta.labels.iter().all(|(name, value)| slice.meta().labels.get(name) == Some(value));
        if let Some(slice) = of_kind(truth, Kind::EndpointSlice).filter(own).find(|slice| !bears(slice)) {
            return Some(format!("{} does not bear the labels of service {name}", slice.key()));
        }
        let shows = slices.iter().flat_map(|slice| slice.endpoints.iter().map(move |one| (one, &slice.ports)));
        let shows = shows.filter_map(|(one, ports)| {
            let (uid, ip) = (one.target_ref.as_ref()?.uid.clone(), one.addresses.first()?.clone());
            Some((uid, ip, one.conditions.serving == Some(true), endpoints::shown(ports)))
        });
        let mut shown: Vec<_> = shows.collect();
        let selected = |pod: &&Pod| {
            pod.metadata.namespace == *namespace
                && service.spec.selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
        };
        let reached = |pod: &&Pod| !pod.status.pod_ip.is_empty() && !pod.status.phase.is_final();
        let pods = truth.all::<Pod>().filter(selected).filter(reached);
        let mut are: Vec<_> = pods
            .map(|pod| {
                let (uid, ip) = (pod.metadata.uid.clone(), pod.status.pod_ip.clone());
                (uid, ip, pod.is_ready(), endpoints::meant(&service, pod))
            })
            .collect();
        shown.sort_unstable();
        are.sort_unstable();
        if shown != are {
            return Some(format!("service {name} shows {shown:?}, and has {are:?}"));
        }
    }
    None
}

fn processes(truth: &Truth) -> Option<String> {
    for (node, process) in truth.processes.values().flatten() {
        let gone = truth.pods.get(&process.pod.uid).is_none_or(|facts| facts.removed.is_some());
        if gone {
            return Some(format!("process {} of {} lives on {node}, its pod is gone", process.pid, process.pod.name));
        }
    }
    None
}

/// Runs a world whose faults are over until it is as desired and has been silent, or says what is wrong.
pub fn settle(world: &mut World, from: Instant, bound: Duration) -> Result<(), String> {
    world.run_until(from);
    let deadline = from + bound;
    let loud = |world: &World| (world.counts().loud_writes, world.counts().starts, world.counts().ends);
    loop {
        if !world.run_until_so(deadline, |truth| missing(truth).is_none()) {
            if world.is_over() {
                return Ok(());
            }
            let what = missing(world.truth()).unwrap_or_else(|| "nothing".into());
            return Err(format!("{} s after the last fault: {what}", bound.as_secs()));
        }
        let before = loud(world);
        let until = world.now() + SILENCE;
        // Looked at after each durable write and process: the first look is before anything else happened.
        let mut looks = 0;
        let noisy = world.run_until_so(until, |_| {
            looks += 1;
            looks > 1
        });
        if world.is_over() {
            return Ok(());
        }
        if !noisy {
            // What has to be done when some time is over is due by now.
            return match missing(world.truth()) {
                None => Ok(()),
                Some(what) => Err(format!("silent for {} s, and {what}", SILENCE.as_secs())),
            };
        }
        assert_ne!(loud(world), before, "something was loud");
        if world.now() > deadline {
            let secs = world.now().since(from).as_secs();
            return Err(format!("no silence: {secs} s after the last fault, {}", world.last_noise()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Checker;
    use super::super::forged::{Story, node, pod};
    use super::*;
    use crate::runtime::Process;
    use crate::truth::{Fact, NodeFacts};
    use crate::usage::LOAD;
    use miniku_core::kubelet::runtime::PodRef;

    #[derive(Default)]
    struct Nobody;
    impl Checker for Nobody {
        fn see(&mut self, _: &Truth, _: &Fact<'_>) -> Result<(), super::super::Broken> {
            Ok(())
        }
    }

    #[test]
    fn says_what_is_missing() {
        let mut story = Story::<Nobody>::new();
        assert_eq!(missing(&story.truth), None);
        story.truth.nodes.insert("n".into(), NodeFacts { up: true, in_touch: None });
        let says = |story: &Story<Nobody>, what: &str| {
            let missing = missing(&story.truth).unwrap_or_default();
            assert!(missing.contains(what), "{missing}");
        };
        says(&story, "n is up, and said to be not ready");
        let mut ready = node("n");
        ready["status"]["conditions"] = serde_json::json!([{"type": "Ready", "status": "True"}]);
        story.put(ready).unwrap();
        assert_eq!(missing(&story.truth), None);
        story.put(crate::plan::replica_set("web", 1, "")).unwrap();
        says(&story, "has 0 of 1 pods");
        story.put(pod("a", "", "Pending")).unwrap();
        says(&story, "nobody says why");
        story.put(pod("a", "n", "Running")).unwrap();
        says(&story, "does not run");
        story.put(pod("a", "m", "Running")).unwrap();
        says(&story, "a node that does not exist");
    }

    #[test]
    fn says_how_many_pods_have_all_labels() {
        let judge = |said: i32| {
            let mut story = Story::<Nobody>::new();
            let mut set = crate::plan::replica_set("web", 2, "");
            set["metadata"]["uid"] = "web".into();
            set["spec"]["template"]["metadata"]["labels"]["tier"] = "front".into();
            set["status"] = serde_json::json!({"replicas": 2, "fullyLabeledReplicas": said});
            story.put(set).unwrap();
            for (name, labels) in
                [("a", serde_json::json!({"app": "web", "tier": "front"})), ("b", serde_json::json!({"app": "web"}))]
            {
                let mut pod = pod(name, "n", "Pending");
                pod["metadata"]["labels"] = labels;
                pod["metadata"]["ownerReferences"] = serde_json::json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                    "name": "web", "uid": "web", "controller": true}]);
                story.put(pod).unwrap();
            }
            sets(&story.truth)
        };
        assert_eq!(judge(1), None);
        assert_eq!(judge(2).unwrap(), "replica set web says that 2 pods have all its labels, 1 have");
    }

    #[test]
    fn says_who_was_made_to_go_and_lives_on() {
        let judge = |goes: &str| {
            let mut story = Story::<Nobody>::new();
            let mut waits = pod("a", "", "Pending");
            waits["status"]["conditions"] = serde_json::json!([{"type": "PodScheduled", "status": "False"},
                {"type": "DisruptionTarget", "status": goes}]);
            story.put(waits).unwrap();
            missing(&story.truth)
        };
        assert_eq!(judge("False"), None);
        assert!(judge("True").unwrap().contains("was made to go"));
    }

    #[test]
    fn says_who_waits_for_a_node_that_is_gone() {
        let judge = |bound: &str| {
            let mut story = Story::<Nobody>::new();
            let set = serde_json::json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "uid": "d"},
                "spec": {"selector": {}, "template": {}}});
            story.put(set).unwrap();
            let owner = serde_json::json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d",
                "controller": true});
            let field = serde_json::json!({"key": "metadata.name", "operator": "In", "values": ["gone"]});
            let affinity = serde_json::json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchFields": [field]}]}}});
            let mut spec = serde_json::json!({"containers": [], "affinity": affinity});
            if !bound.is_empty() {
                spec["nodeName"] = bound.into();
            }
            let meta = serde_json::json!({"name": "a", "uid": "a", "ownerReferences": [owner]});
            story.put(serde_json::json!({"kind": "Pod", "metadata": meta, "spec": spec})).unwrap();
            daemons(&story.truth)
        };
        assert_eq!(judge("").unwrap(), "daemon set agent keeps a, which waits for a node that is gone");
        assert_eq!(judge("gone"), None, "it is the collector's");
    }

    #[test]
    fn says_which_budget_expects_what_is_wanted_no_more() {
        let judge = |wanted: usize| {
            let mut story = Story::<Nobody>::new();
            let mut set = crate::plan::replica_set("web", wanted, "");
            set["metadata"]["uid"] = "web".into();
            story.put(set).unwrap();
            let mut pod = pod("a", "n", "Pending");
            pod["metadata"]["labels"] = serde_json::json!({"app": "web"});
            pod["metadata"]["ownerReferences"] = serde_json::json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": "web", "uid": "web", "controller": true}]);
            story.put(pod).unwrap();
            let spec = serde_json::json!({"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}});
            let budget = serde_json::json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "web"}, "spec": spec, "status": {"expectedPods": 4, "desiredHealthy": 2}});
            story.put(budget).unwrap();
            budgets(&story.truth)
        };
        assert_eq!(judge(4), None);
        assert_eq!(judge(1).unwrap(), "budget web expects 4 pods, 1 are wanted");
    }

    #[test]
    fn says_what_an_autoscaler_leaves() {
        let half = || {
            let target = serde_json::json!({"type": "Utilization", "averageUtilization": 50});
            serde_json::json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
        };
        let queue = serde_json::json!({"type": "External", "external": {"metric": {"name": "queue"},
            "target": {"type": "AverageValue", "averageValue": "3"}}});
        let judge_of = |load: &str, metrics: serde_json::Value, behavior: serde_json::Value, autoscalers: &[&str]| {
            let mut story = Story::<Nobody>::new();
            story.pass(100).unwrap();
            let facts = NodeFacts { up: true, in_touch: Some(story.truth.now) };
            story.truth.nodes.insert("n".into(), facts);
            let web = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "uid": "web", "annotations": {LOAD: load}},
                "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {}}});
            let target = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
            let owner = serde_json::json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web",
                "controller": true}]);
            story.put(web).unwrap();
            for name in ["a", "b"] {
                let mut pod = pod(name, "n", "Running");
                pod["metadata"]["labels"] = serde_json::json!({"app": "web"});
                pod["metadata"]["ownerReferences"] = owner.clone();
                pod["status"]["startTime"] = "2026-01-01T00:00:00Z".into();
                pod["status"]["conditions"] = serde_json::json!([{"type": "Ready", "status": "True"}]);
                story.put(pod).unwrap();
                let of = PodRef { uid: format!("{name}-uid").into(), namespace: "default".into(), name: name.into() };
                let process = Process { pod: of, container: "c".into(), attempt: 0, pid: 7 };
                story.truth.started(&"n".into(), &process);
            }
            for name in autoscalers {
                let autoscaler = serde_json::json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                    "metadata": {"name": name},
                    "spec": {"scaleTargetRef": target, "maxReplicas": 9, "metrics": metrics, "behavior": behavior}});
                story.put(autoscaler).unwrap();
            }
            super::autoscalers(&story.truth).unwrap_or_default()
        };
        let judge = |load: &str, metrics: serde_json::Value, autoscalers: &[&str]| {
            judge_of(load, metrics, serde_json::json!(null), autoscalers)
        };
        // Each requests 600 thousandths.
        let metrics = || serde_json::json!([half()]);
        assert_eq!(judge("600m", metrics(), &["one"]), "");
        assert!(judge("100m", metrics(), &["one"]).contains("leaves 2 pods"));
        assert!(judge("1200m", metrics(), &["one"]).contains("leaves 2 pods"));
        assert_eq!(judge("100m", serde_json::json!([half(), queue]), &["one"]), "");
        assert!(judge("1200m", serde_json::json!([half(), queue]), &["one"]).contains("leaves 2 pods"));
        assert_eq!(judge("100m", metrics(), &["one", "two"]), "");
        for (way, load, another) in [("scaleDown", "100m", "1200m"), ("scaleUp", "1200m", "100m")] {
            let closed = |load: &str| {
                judge_of(load, metrics(), serde_json::json!({way: {"selectPolicy": "Disabled"}}), &["one"])
            };
            assert_eq!(closed(load), "");
            assert!(closed(another).contains("leaves 2 pods"));
        }
    }

    #[test]
    fn says_how_many_are_kept_too_many() {
        for (most, says) in [(None, false), (Some(2), false), (Some(1), true)] {
            let mut story = Story::<Nobody>::new();
            story.truth.settings.finished = most;
            for (name, phase) in [("a", "Failed"), ("b", "Running"), ("c", "Succeeded")] {
                story.put(pod(name, "n", phase)).unwrap();
            }
            assert_eq!(finished(&story.truth).is_some(), says, "{most:?}");
        }
    }

    #[test]
    fn says_what_a_quota_has_not_heard() {
        let judge = |allows: &str, told: &str, used: &str| {
            let mut story = Story::<Nobody>::new();
            let quota = serde_json::json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                "spec": {"hard": {"pods": allows}}, "status": {"hard": {"pods": told}, "used": {"pods": used}}});
            story.put(quota).unwrap();
            quotas(&story.truth).unwrap_or_default()
        };
        assert_eq!(judge("2k", "2000", "0"), "");
        assert!(judge("2", "5", "0").contains("says that it allows Some(5000)"));
        assert!(judge("2", "2", "1").contains("says that 1 of pods are used"));
    }

    #[test]
    fn says_which_namespace_lacks_its_service_account() {
        let mut story = Story::<Nobody>::new();
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
        story.put(namespace).unwrap();
        for (within, says) in [("default", Some("namespace team has no service account default")), ("team", None)] {
            let meta = serde_json::json!({"name": "default", "namespace": within});
            story.put(serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})).unwrap();
            assert_eq!(missing(&story.truth).as_deref(), says);
        }
    }

    #[test]
    fn says_what_is_left_of_owners_that_are_gone() {
        let judge = |owners: &[(&str, &str)], going: bool| {
            let mut story = Story::<Nobody>::new();
            let mut set = crate::plan::replica_set("web", 0, "");
            set["metadata"]["uid"] = "here".into();
            story.put(set).unwrap();
            let owner = |(kind, uid): &(&str, &str)| serde_json::json!({"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": uid});
            let owners: Vec<serde_json::Value> = owners.iter().map(owner).collect();
            let mut meta = serde_json::json!({"name": "left", "namespace": "default", "ownerReferences": owners});
            if going {
                meta["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            story.put(serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})).unwrap();
            leftovers(&story.truth)
        };
        let says = judge(&[("ReplicaSet", "gone"), ("Deployment", "gone")], false);
        assert_eq!(says.as_deref(), Some("configmaps/default/left is left, and none of its owners is there"));
        assert_eq!(judge(&[("ReplicaSet", "gone")], true), None);
        assert_eq!(judge(&[], false), None);
        assert_eq!(judge(&[("ReplicaSet", "gone"), ("ReplicaSet", "here")], false), None);
        assert_eq!(judge(&[("ReplicaSet", "gone"), ("Widget", "gone")], false), None);
    }

    #[test]
    fn says_at_which_port_a_pod_is_not_shown() {
        let judge = |shown: i32| {
            let mut story = Story::<Nobody>::new();
            let front = serde_json::json!({"name": "front", "uid": "f"});
            let owner = serde_json::json!([{"apiVersion": "v1", "kind": "Service", "name": "front", "uid": "f", "controller": true}]);
            let mut pod = pod("a", "n", "Running");
            pod["metadata"]["labels"] = serde_json::json!({"app": "web"});
            pod["status"]["podIP"] = "10.1.0.1".into();
            let endpoint = serde_json::json!({"addresses": ["10.1.0.1"], "conditions": {"serving": false},
                "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "a-uid"}});
            for manifest in [
                pod,
                serde_json::json!({"kind": "Service", "metadata": front, "spec": {"selector": {"app": "web"},
                    "ports": [{"port": 80, "targetPort": 8080}]}}),
                serde_json::json!({"kind": "Endpoints", "metadata": {"name": "front"}}),
                serde_json::json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "front-1", "ownerReferences": owner}, "endpoints": [endpoint],
                    "ports": [{"port": shown, "protocol": "TCP"}]}),
            ] {
                story.put(manifest).unwrap();
            }
            services(&story.truth)
        };
        assert_eq!(judge(8080), None);
        assert!(judge(80).unwrap().contains("service front shows"));
    }

    #[test]
    fn says_what_slices_do_not_bear() {
        let judge = |labels: serde_json::Value| {
            let mut story = Story::<Nobody>::new();
            let front = serde_json::json!({"name": "front", "uid": "f", "labels": {"tier": "front"}});
            let owner = serde_json::json!([{"apiVersion": "v1", "kind": "Service", "name": "front", "uid": "f", "controller": true}]);
            for manifest in [
                serde_json::json!({"kind": "Service", "metadata": front, "spec": {"selector": {"app": "web"}}}),
                serde_json::json!({"kind": "Endpoints", "metadata": {"name": "front"}}),
                serde_json::json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "front-1", "labels": labels, "ownerReferences": owner}, "endpoints": []}),
            ] {
                story.put(manifest).unwrap();
            }
            services(&story.truth)
        };
        assert_eq!(judge(serde_json::json!({"tier": "front"})), None);
        let says = judge(serde_json::json!({})).unwrap();
        assert_eq!(says, "endpointslices.discovery.k8s.io/default/front-1 does not bear the labels of service front");
    }
}
