//! How many pods the controllers of a budget's pods want.
//!
//! Source: Kubernetes, `getExpectedScale` and the finders of `pkg/controller/disruption`.

use crate::api::kinds::Kind;
use crate::api::meta::OwnerReference;
use crate::api::object::{Key, Object};
use crate::api::plain::number;
use crate::api::pod::Pod;
use crate::api::replicaset::ReplicaSet;
use std::collections::BTreeMap;

/// Kinds whose wished number is known.
pub const SCALED: [Kind; 4] = [Kind::ReplicaSet, Kind::Deployment, Kind::ReplicationController, Kind::StatefulSet];

/// The sum of what the controllers of these pods want, each counted once. Pods that nobody controls count for nothing.
///
/// Pods of the two replica sets of one deployment with 5 replicas: 5. `object` shows what there is. An error says what
/// kept it from being known.
pub fn scale<'a>(pods: &[&Pod], object: impl Fn(&Key) -> Option<&'a Object>) -> Result<i64, String> {
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    for pod in pods {
        let Some(by) = pod.metadata.controller() else { continue };
        let namespace = &pod.metadata.namespace;
        let find = |by: &OwnerReference| {
            let kind = Kind::named(&by.api_version, &by.kind).filter(|kind| SCALED.contains(kind))?;
            object(&Key::new(kind, namespace, &by.name)).filter(|found| found.meta().uid == by.uid)
        };
        match Kind::named(&by.api_version, &by.kind) {
            Some(kind) if !SCALED.contains(&kind) && !kind.row().has_scale() => {
                return Err(format!("{} does not implement the scale subresource", kind.row().resource()));
            }
            _ => {}
        }
        let Some(set) = find(by) else {
            return Err(format!("found no controllers for pod {:?}", pod.metadata.name));
        };
        // A replica set of a deployment has the size that the rollout gives it.
        let above = set.meta().controller().filter(|by| by.kind == Kind::Deployment.row().name).and_then(find);
        let found = above.unwrap_or(set);
        wanted.insert(found.meta().uid.to_string(), replicas(found));
    }
    Ok(wanted.into_values().fold(0, i64::saturating_add))
}

/// How many pods a workload wants; 1 if it does not say.
pub fn replicas(workload: &Object) -> i64 {
    match workload.get::<ReplicaSet>() {
        Some(set) => i64::try_from(set.wanted()).unwrap_or(i64::MAX),
        None => number(workload, &["spec", "replicas"]).unwrap_or(1).max(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn workload(kind: Kind, name: &str, replicas: u32, owner: Value) -> Object {
        let meta = json!({"name": name, "namespace": "x", "uid": name, "ownerReferences": owner});
        let spec = json!({"replicas": replicas, "selector": {}, "template": {}});
        Object::from_value(kind, json!({"metadata": meta, "spec": spec})).unwrap()
    }

    fn by(api_version: &str, kind: &str, name: &str) -> Value {
        json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": true}])
    }

    #[test]
    fn each_controller_counts_once() {
        let there = [
            workload(Kind::Deployment, "web", 5, json!([])),
            workload(Kind::ReplicaSet, "web-1", 3, by("apps/v1", "Deployment", "web")),
            workload(Kind::ReplicaSet, "web-2", 4, by("apps/v1", "Deployment", "web")),
            workload(Kind::ReplicaSet, "left", 2, by("apps/v1", "Deployment", "gone")),
            workload(Kind::StatefulSet, "db", 3, json!([])),
            workload(Kind::ReplicationController, "old", 7, json!([])),
        ];
        let find = |key: &Key| there.iter().find(|one| one.key() == *key);
        let check = |owners: &[Value], want: Result<i64, &str>| {
            let pod = |owner: &Value| -> Pod {
                serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "x", "ownerReferences": owner}}))
                    .unwrap()
            };
            let pods: Vec<Pod> = owners.iter().map(pod).collect();
            let got = scale(&pods.iter().collect::<Vec<_>>(), find);
            assert_eq!(got, want.map_err(str::to_owned), "{owners:?}");
        };
        let set = |name| by("apps/v1", "ReplicaSet", name);
        check(&[], Ok(0));
        check(&[json!([])], Ok(0));
        check(&[set("web-1"), set("web-1"), set("web-2")], Ok(5));
        check(&[set("left")], Ok(2));
        check(&[by("apps/v1", "StatefulSet", "db"), by("v1", "ReplicationController", "old"), json!([])], Ok(10));
        check(&[set("absent")], Err("found no controllers for pod \"p\""));
        check(&[by("batch/v1", "Job", "j")], Err("jobs.batch does not implement the scale subresource"));
        check(&[by("apps/v1", "DaemonSet", "d")], Err("daemonsets.apps does not implement the scale subresource"));
        check(&[by("example.com/v1", "Thing", "t")], Err("found no controllers for pod \"p\""));
    }
}
