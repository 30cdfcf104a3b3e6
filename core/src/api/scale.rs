//! Scale: how many there are to be, as the same question to every kind that can be asked it.
//!
//! Source: Kubernetes API reference v1.32, "Scale" (autoscaling/v1).

use crate::api::custom;
use crate::api::kinds::Kind;
use crate::api::meta::ObjectMeta;
use crate::api::object::Object;
use crate::api::selector::LabelSelector;
use crate::time::{Human, Now};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Where a kind keeps what a [`Scale`](scale) says. Paths begin with a dot.
pub struct Paths<'a> {
    /// The wish.
    pub wished: &'a str,
    /// How many there are.
    pub is: &'a str,
    /// A selector that finds them.
    pub selector: &'a str,
}

impl<'a> Paths<'a> {
    /// The paths of a kind that every cluster has, or of a custom one's version, if it says any.
    pub fn of(version: Option<&'a custom::Version>) -> Option<Self> {
        let Some(version) = version else {
            return Some(Paths { wished: ".spec.replicas", is: ".status.replicas", selector: ".spec.selector" });
        };
        let scale = version.scale()?;
        let selector = scale.label_selector_path.as_deref().unwrap_or("");
        Some(Paths { wished: &scale.spec_replicas_path, is: &scale.status_replicas_path, selector })
    }
}

/// How many there are to be, and are. Its fields come in the order in which Kubernetes writes them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    kind: &'static str,
    api_version: &'static str,
    metadata: ObjectMeta,
    spec: ScaleSpec,
    status: ScaleStatus,
}

impl Scale {
    /// How many there are to be.
    pub fn wished(&self) -> i64 {
        self.spec.replicas
    }

    /// A selector that finds them; empty if there is none.
    pub fn selector(&self) -> &str {
        &self.status.selector
    }

    /// As a table of one row.
    pub fn table(&self, now: Now) -> Value {
        let column = |name: &str, kind: &str, format: &str| json!({"name": name, "type": kind, "format": format, "description": "", "priority": 0});
        let age = self.metadata.creation_timestamp.map(|created| Human(now.wall.since(created.wall())).to_string());
        let cells =
            json!([self.metadata.name, self.spec.replicas, self.status.replicas, age.unwrap_or("<unknown>".into())]);
        let object =
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": self.metadata});
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
            "columnDefinitions": [column("Name", "string", "name"), column("Desired", "integer", ""),
                column("Available", "integer", ""), column("Age", "string", "")],
            "rows": [{"cells": cells, "object": object}]})
    }
}

#[derive(Debug, Serialize)]
struct ScaleSpec {
    #[serde(skip_serializing_if = "is_zero")]
    replicas: i64,
}

#[derive(Debug, Serialize)]
struct ScaleStatus {
    replicas: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    selector: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// An object's Scale.
pub fn scale(object: &Object, paths: &Paths) -> Scale {
    let (whole, meta) = (object.to_value(), object.meta());
    let at = |path: &str| path.split('.').skip(1).try_fold(&whole, |value, name| value.get(name));
    let number = |path: &str| at(path).and_then(Value::as_i64).unwrap_or(0);
    let selector = match at(paths.selector).filter(|_| !paths.selector.is_empty()) {
        Some(Value::String(text)) => text.clone(),
        // A replication controller's is the map alone.
        Some(map @ Value::Object(_)) if object.kind() == Kind::ReplicationController => of_map(map),
        Some(other) => {
            serde_json::from_value::<LabelSelector>(other.clone()).map_or(String::new(), |one| one.to_string())
        }
        None => String::new(),
    };
    let metadata = ObjectMeta {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        creation_timestamp: meta.creation_timestamp,
        ..Default::default()
    };
    Scale {
        kind: "Scale",
        api_version: "autoscaling/v1",
        metadata,
        spec: ScaleSpec { replicas: number(paths.wished) },
        status: ScaleStatus { replicas: number(paths.is), selector },
    }
}

fn of_map(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={}", crate::api::plain::shown(Some(value)))).collect::<Vec<_>>().join(",")
}

/// The merge patch that makes an object's wish the one that a Scale says, at the revision that the Scale has.
pub fn patch(scale: &Value, paths: &Paths) -> Value {
    let wished = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    let mut patch =
        paths.wished.split('.').skip(1).collect::<Vec<_>>().into_iter().rev().fold(wished, |inner, name| {
            let mut outer = Map::new();
            outer.insert(name.to_owned(), inner);
            Value::Object(outer)
        });
    if let Some(revision) = scale.pointer("/metadata/resourceVersion") {
        patch["metadata"] = json!({"resourceVersion": revision});
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_read_from_an_object_and_written_to_it() {
        let set = json!({"metadata": {"name": "a", "namespace": "x", "resourceVersion": "7"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}}, "status": {"replicas": 2}});
        let object = Object::from_value(Kind::ReplicaSet, set).unwrap();
        let paths = Paths::of(None).unwrap();
        let said = scale(&object, &paths);
        let text = serde_json::to_string(&said).unwrap();
        assert!(
            text.starts_with(
                r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"a","namespace":"x","#
            )
        );
        assert_eq!(said.table(Now::default())["rows"][0]["cells"], json!(["a", 3, 2, "<unknown>"]));
        let mut said = serde_json::to_value(said).unwrap();
        assert_eq!(said["spec"], json!({"replicas": 3}));
        assert_eq!(said["status"], json!({"replicas": 2, "selector": "app=a"}));
        said["spec"]["replicas"] = 5.into();
        assert_eq!(patch(&said, &paths), json!({"spec": {"replicas": 5}, "metadata": {"resourceVersion": "7"}}));
    }
}
