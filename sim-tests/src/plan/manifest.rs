//! Objects as manifests describe them.

use miniku_core::api::custom::CustomResourceDefinition;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use serde_json::{Value, json};

/// The object that a manifest describes, in `default` if it names no namespace. Of custom kinds those are known whose
/// definition was described before.
pub fn try_object(manifest: Value) -> Result<Object, String> {
    let name = manifest["kind"].as_str().ok_or("a manifest needs a kind")?;
    let custom = || Kind::named(manifest["apiVersion"].as_str()?, name);
    let kind = Kind::meant(name).or_else(custom).ok_or_else(|| format!("{name:?} is no kind that acts here"))?;
    let object = Object::from_value(kind, manifest).map_err(|error| error.to_string())?;
    if let Some(definition) = object.get::<CustomResourceDefinition>() {
        // It is no more than wished for yet; but what follows may be of its kind.
        definition.kind();
    }
    Ok(match kind.row().namespaced && object.meta().namespace.is_empty() {
        true => object.with_meta(|meta| meta.namespace = "default".into()),
        false => object,
    })
}

/// The same for manifests that stand in the source. Panics where it describes none.
pub fn object(manifest: Value) -> Object {
    try_object(manifest).expect("a manifest in the source is an object of its kind")
}

/// A pod of this name.
pub fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// A replica set of pods with one container, which runs this command line in `sh`; for ever, if that is empty.
pub fn replica_set(name: &str, replicas: usize, script: &str) -> Value {
    let command = if script.is_empty() { json!([]) } else { json!(["sh", "-c", script]) };
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [{
                    "name": "main", "image": "busybox", "command": command,
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}
                }]}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_a_custom_kind_follow_its_definition() {
        let gauge = || json!({"apiVersion": "plan.test/v1", "kind": "Gauge", "metadata": {"name": "one"}});
        assert!(try_object(gauge()).unwrap_err().contains("is no kind that acts here"));
        let spec = json!({"group": "plan.test", "scope": "Namespaced", "names": {"plural": "gauges", "kind": "Gauge"},
            "versions": [{"name": "v1", "served": true, "storage": true}]});
        object(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "gauges.plan.test"}, "spec": spec}));
        assert_eq!(object(gauge()).key().to_string(), "gauges.plan.test/default/one");
        assert_eq!(try_object(object(gauge()).to_value()), Ok(object(gauge())));
    }
}
