//! What is filled in where an author left something out.
//!
//! Source: Kubernetes API reference v1.32, the defaults named at each field.

use crate::api::meta::Labels;
use crate::api::namespace::{self, Namespace};
use crate::api::node::Node;
use crate::api::object::Object;
use crate::api::pod::{Container, DEFAULT_GRACE_SECONDS, Pod, PodSpec};
use crate::api::replicaset::ReplicaSet;
use std::sync::Arc;

/// Objects in a namespace are found by its name as a label.
pub fn namespace(object: &mut Object) {
    object.edit_as(|namespace: &mut Namespace| {
        let name = namespace.metadata.name.clone();
        namespace.metadata.labels.insert("kubernetes.io/metadata.name".into(), name);
        if !namespace.metadata.is_deleting() && namespace.spec.finalizers.is_empty() {
            namespace.spec.finalizers.push(namespace::FINALIZER.into());
        }
    });
}

/// A node can be found by its host name; what it has is what it offers.
pub fn node(object: &mut Object) {
    object.edit_as(|node: &mut Node| {
        let name = node.metadata.name.clone();
        node.metadata.labels.entry("kubernetes.io/hostname".into()).or_insert(name);
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
        if pod.status.qos_class.is_empty() {
            pod.status.qos_class = pod.spec.qos_class().into();
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
    let lacks = |container: &Container| {
        container.resources.limits.iter().any(|(name, _)| !container.resources.requests.contains_key(name))
    };
    if !spec.containers.iter().any(lacks) {
        return;
    }
    for container in &mut Arc::make_mut(spec).containers {
        let resources = &mut container.resources;
        resources.requests.complete(&resources.limits);
    }
}

fn pod_spec(spec: &mut Arc<PodSpec>) {
    let complete = spec.termination_grace_period_seconds.is_some()
        && !spec.scheduler_name.is_empty()
        && spec.containers.iter().all(|container| !container.image_pull_policy.is_empty());
    if complete {
        return;
    }
    let spec = Arc::make_mut(spec);
    spec.termination_grace_period_seconds.get_or_insert(DEFAULT_GRACE_SECONDS);
    if spec.scheduler_name.is_empty() {
        spec.scheduler_name = "default-scheduler".into();
    }
    for container in &mut spec.containers {
        if container.image_pull_policy.is_empty() {
            container.image_pull_policy = container.usual_pull_policy().into();
        }
    }
}
