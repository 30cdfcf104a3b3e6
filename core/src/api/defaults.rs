//! What is filled in where an author left something out.
//!
//! Source: Kubernetes API reference v1.32, the defaults named at each field.

use crate::api::meta::Labels;
use crate::api::namespace::{self, Namespace};
use crate::api::node::Node;
use crate::api::object::Object;
use crate::api::pod::{Container, DEFAULT_GRACE_SECONDS, Pod, PodCondition, PodSpec, SCHEDULING_GATED};
use crate::api::replicaset::ReplicaSet;
use crate::api::validation::{NAME_LABELS, UID_LABELS};
use crate::schema::conditional;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Objects in a namespace are found by its name as a label.
pub fn namespace(object: &mut Object) {
    object.edit_as(|namespace: &mut Namespace| {
        let name = namespace.metadata.name.clone();
        namespace.metadata.labels.insert("kubernetes.io/metadata.name", name);
        if !namespace.metadata.is_deleting() && namespace.spec.finalizers.is_empty() {
            namespace.spec.finalizers.push(namespace::FINALIZER.into());
        }
    });
}

/// What a node has is what it offers.
pub fn node(object: &mut Object) {
    object.edit_as(|node: &mut Node| {
        if node.status.allocatable.is_empty() {
            node.status.allocatable = node.status.capacity.clone();
        }
    });
}

/// Restart always, 30 s of grace, the default scheduler.
pub fn pod(object: &mut Object) {
    object.edit_as(|pod: &mut Pod| {
        pod_spec(&mut pod.spec);
        requests(&mut pod.spec);
        host_ports(&mut pod.spec);
        if pod.status.qos_class.is_empty() {
            pod.status.qos_class = pod.spec.qos_class().into();
        }
        if !pod.spec.scheduling_gates.is_empty() && !pod.status.conditions.iter().any(|one| one.kind == "PodScheduled")
        {
            pod.status.conditions.push(gated());
        }
    });
}

/// What is said of a pod that is not scheduled before its gates are gone.
///
/// Source: Kubernetes, `pkg/registry/core/pod/strategy.go` (`applySchedulingGatedCondition`).
fn gated() -> PodCondition {
    PodCondition {
        kind: "PodScheduled".into(),
        status: "False".into(),
        reason: SCHEDULING_GATED.into(),
        message: "Scheduling is blocked due to non-empty scheduling gates".into(),
        ..Default::default()
    }
}

/// What a pod was given at its creation stays, and what it puts up with is completed again.
///
/// Source: Kubernetes, `plugin/pkg/admission/priority` and `defaulttolerationseconds`, on updates.
pub fn given_to_pod(new: &mut Object, old: &Object) {
    let Some(was) = old.get::<Pod>().map(|pod| pod.spec.clone()) else { return };
    new.edit_as(|pod: &mut Pod| {
        let is = &pod.spec;
        let (priority, preemption) = (is.priority.or(was.priority), is.preemption_policy.or(was.preemption_policy));
        if (priority, preemption) != (is.priority, is.preemption_policy) || !is.tolerations.are_complete() {
            let spec = Arc::make_mut(&mut pod.spec);
            (spec.priority, spec.preemption_policy) = (priority, preemption);
            spec.tolerations = spec.tolerations.completed();
        }
    });
}

/// One replica; the selector and the set's own labels come from the template's.
pub fn replica_set(object: &mut Object) {
    object.edit_as(|set: &mut ReplicaSet| {
        set.spec.replicas.get_or_insert(1);
        let labels: &Labels = &set.spec.template.metadata.labels;
        if set.metadata.labels.is_empty() {
            set.metadata.labels = labels.clone();
        }
        pod_spec(&mut set.spec.template.spec);
    });
}

/// A request that is not said is the limit. A template says no more than its author did.
fn requests(spec: &mut Arc<PodSpec>) {
    if planted!(LimitIsNoRequest) {
        return;
    }
    if spec.rest.get("initContainers").is_some() {
        Arc::make_mut(spec).rest.edit(conditional::requests_in_spec);
    }
    let lacks = |container: &Container| {
        container.resources.limits.iter().any(|(name, _)| !container.resources.requests.contains_key(name))
    };
    if !spec.containers.iter().any(lacks) {
        return;
    }
    for container in Arc::make_mut(&mut Arc::make_mut(spec).containers) {
        let resources = &mut container.resources;
        resources.requests.complete(&resources.limits);
    }
}

/// In the host's network a port is the host's too.
fn host_ports(spec: &mut Arc<PodSpec>) {
    let on_host = spec.rest.get("hostNetwork") == Some(&Value::Bool(true));
    if on_host {
        let spec = Arc::make_mut(spec);
        for container in Arc::make_mut(&mut spec.containers) {
            container.rest.edit(conditional::host_ports_of);
        }
        spec.rest.edit(conditional::host_ports_in_spec);
    }
}

/// A job's pods are told apart by its uid, unless its author says how.
///
/// Source: Kubernetes documentation, "Jobs", pod selector; `pkg/registry/batch/job/strategy.go`.
pub fn job(object: &mut Object) {
    let (name, uid) = (object.meta().name.clone(), object.meta().uid.clone());
    if uid.is_empty() || object.at(&["spec", "manualSelector"]) == Some(&Value::Bool(true)) {
        return;
    }
    let mut labels = None;
    object.edit_plain(|rest| {
        let Some(Value::Object(spec)) = rest.get_mut("spec") else { return };
        let template = below(spec, &["template", "metadata", "labels"]);
        for (keys, value) in [(UID_LABELS, &uid), (NAME_LABELS, &name)] {
            for key in keys {
                template.entry(key).or_insert_with(|| value.as_str().into());
            }
        }
        labels = Labels::deserialize(&Value::Object(template.clone())).ok();
        let selector = below(spec, &["selector", "matchLabels"]);
        selector.entry(UID_LABELS[0]).or_insert_with(|| uid.as_str().into());
    });
    if let Some(labels) = labels.filter(|_| object.meta().labels.is_empty()) {
        object.edit_meta(|meta| meta.labels = labels);
    }
}

/// The object at a path, made where there is none.
fn below<'a>(object: &'a mut Map<String, Value>, path: &[&str]) -> &'a mut Map<String, Value> {
    path.iter().fold(object, |object, name| {
        let field = object.entry(*name).or_insert(Value::Null);
        if !field.is_object() {
            *field = Value::Object(Map::new());
        }
        field.as_object_mut().expect("it is one now")
    })
}

fn pod_spec(spec: &mut Arc<PodSpec>) {
    let complete = spec.termination_grace_period_seconds.is_some()
        && !spec.scheduler_name.is_empty()
        && spec.service_account == spec.service_account_name
        && spec.containers.iter().all(|container| !container.image_pull_policy.is_empty());
    if complete {
        return;
    }
    let spec = Arc::make_mut(spec);
    spec.termination_grace_period_seconds.get_or_insert(DEFAULT_GRACE_SECONDS);
    if spec.scheduler_name.is_empty() {
        spec.scheduler_name = "default-scheduler".into();
    }
    // The old name of a field follows the new one.
    if spec.service_account_name.is_empty() {
        spec.service_account_name = spec.service_account.clone();
    }
    spec.service_account = spec.service_account_name.clone();
    if spec.containers.iter().any(|container| container.image_pull_policy.is_empty()) {
        for container in Arc::make_mut(&mut spec.containers) {
            if container.image_pull_policy.is_empty() {
                container.image_pull_policy = container.usual_pull_policy().into();
            }
        }
    }
}
