//! Objects of the size that MiniKu's benchmarks use.

use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use serde_json::{Value, json};

fn object(kind: Kind, value: Value) -> Object {
    Object::from_value(kind, value).expect("a benchmark's own object is well formed")
}

/// A pod with a label, not bound. Complete as it is stored.
pub fn pod(name: &str, app: &str) -> Object {
    object(
        Kind::Pod,
        json!({
            "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
            "spec": {"containers": [{"name": "main", "image": "alpine", "command": ["sleep", "1000"]}]},
        }),
    )
}

/// A node with room for 4 processors' worth of pods.
pub fn node(name: &str, ready: bool) -> Object {
    let status = if ready { "True" } else { "False" };
    let amounts = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    object(
        Kind::Node,
        json!({
            "metadata": {"name": name},
            "status": {
                "capacity": amounts, "allocatable": amounts,
                "conditions": [{"type": "Ready", "status": status, "reason": "KubeletReady"}],
            },
        }),
    )
}

/// A ReplicaSet that wants so many pods.
pub fn replica_set(name: &str, replicas: u32) -> Object {
    let labels = json!({"app": name});
    object(
        Kind::ReplicaSet,
        json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "alpine"}]}},
            },
        }),
    )
}

/// The object as if it had been stored at a revision.
pub fn at(object: &Object, revision: u64) -> Object {
    object.with_meta(|meta| meta.resource_version = revision.to_string().into())
}
