//! Rules for metadata, the same for all kinds but for what a name may be.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`, release 1.32.

use super::at::Wrong;
use super::text;
use crate::api::kinds::KindRow;
use crate::api::meta::{Labels, ObjectMeta};
use crate::api::status::{FieldError, FieldErrorKind};
use crate::api::text::Text;
use std::collections::BTreeSet;

/// All annotations of an object together are no longer, keys and values.
///
/// Source: `k8s.io/apimachinery/pkg/api/validation`, `TotalAnnotationSizeLimitB`.
pub const ANNOTATIONS_MAX: usize = 256 << 10;

/// What is wrong with the metadata of an object.
pub fn all(meta: &ObjectMeta, row: &KindRow) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !meta.generate_name.is_empty() {
        // A name follows: an ending that only a last part must not have is fine.
        let prefix = match meta.generate_name.strip_suffix('-') {
            Some(prefix) => format!("{prefix}a"),
            None => meta.generate_name.to_string(),
        };
        tell("metadata.generateName", &meta.generate_name, (row.rules.name)(&prefix), &mut errors);
    }
    match meta.name.as_str() {
        "" => errors.push(FieldError::required("metadata.name", "name or generateName is required")),
        name => tell("metadata.name", name, (row.rules.name)(name), &mut errors),
    }
    match (row.namespaced, meta.namespace.as_str()) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) => tell("metadata.namespace", namespace, text::label(namespace), &mut errors),
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type")),
    }
    labels("metadata.labels", &meta.labels, &mut errors);
    annotations("metadata.annotations", &meta.annotations, &mut errors);
    owners(meta, &mut errors);
    finalizers(meta, row.group.is_empty() || !row.message.is_empty(), &mut errors);
    errors
}

fn tell(field: &str, value: &str, wrong: Wrong, errors: &mut Vec<FieldError>) {
    errors.extend(wrong.into_iter().map(|rule| FieldError::invalid(field, value, rule)));
}

/// Rules for labels, and for what selects by them.
pub fn labels(field: &str, labels: &Labels, errors: &mut Vec<FieldError>) {
    for (key, value) in labels {
        tell(field, key, text::qualified_name(key), errors);
        tell(field, value, text::label_value(value), errors);
    }
}

/// Rules for annotations.
pub fn annotations(field: &str, annotations: &Labels, errors: &mut Vec<FieldError>) {
    for key in annotations.keys() {
        tell(field, key, text::qualified_name(&key.to_ascii_lowercase()), errors);
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        let kind = FieldErrorKind::TooLong(ANNOTATIONS_MAX as u64);
        errors.push(FieldError { field: field.into(), kind });
    }
}

fn owners(meta: &ObjectMeta, errors: &mut Vec<FieldError>) {
    for owner in &meta.owner_references {
        for (name, value, what) in [
            ("apiVersion", &owner.api_version, "version"),
            ("kind", &owner.kind, "kind"),
            ("name", &owner.name, "name"),
            ("uid", &owner.uid, "uid"),
        ] {
            if value.is_empty() {
                let field = format!("metadata.ownerReferences.{name}");
                errors.push(FieldError::invalid(field, value, format!("{what} must not be empty")));
            }
        }
        if owner.api_version == "v1" && owner.kind == "Event" {
            let rule = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid("metadata.ownerReferences", &owner.name, rule));
        }
    }
    let mut managers = meta.owner_references.iter().filter(|owner| owner.controller == Some(true));
    if let (Some(first), Some(second)) = (managers.next(), managers.next()) {
        let rule = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            first.name, second.name
        );
        errors.push(FieldError::invalid("metadata.ownerReferences", "controller", rule));
    }
}

/// Finalizers without a domain that mean something.
///
/// Source: `pkg/apis/core/helper`, `standardFinalizers`.
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

fn finalizers(meta: &ObjectMeta, built_in: bool, errors: &mut Vec<FieldError>) {
    for (nth, finalizer) in meta.finalizers.iter().enumerate() {
        tell("metadata.finalizers", finalizer, text::qualified_name(finalizer), errors);
        if built_in && !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer.as_str()) {
            let rule = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(format!("metadata.finalizers[{nth}]"), finalizer, rule));
        }
    }
    let has = |name: &str| meta.finalizers.iter().any(|one| one == name);
    if has("orphan") && has("foregroundDeletion") {
        let rule = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid("metadata.finalizers", &meta.finalizers, rule));
    }
}

const IMMUTABLE: &str = "field is immutable";

/// What may not become of metadata.
pub fn change(new: &ObjectMeta, old: &ObjectMeta, errors: &mut Vec<FieldError>) {
    for (field, new, old) in
        [("metadata.name", &new.name, &old.name), ("metadata.namespace", &new.namespace, &old.namespace)]
    {
        if new != old {
            errors.push(FieldError::invalid(field, new, IMMUTABLE));
        }
    }
    if old.is_deleting() {
        let before: BTreeSet<&Text> = old.finalizers.iter().collect();
        let added: Vec<&Text> = new.finalizers.iter().filter(|one| !before.contains(one)).collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|one| format!("{one:?}")).collect();
            let rule = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", rule));
        }
    }
}

/// An author may leave out when an object was made, but may not say another time.
pub fn creation_is_kept(new: &ObjectMeta, old: &ObjectMeta) -> Option<FieldError> {
    let said = new.creation_timestamp.filter(|said| Some(*said) != old.creation_timestamp)?;
    Some(FieldError::invalid("metadata.creationTimestamp", said.to_string(), IMMUTABLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::refusals;
    use serde_json::{Value, json};

    #[test]
    fn metadata_is_judged_alike_for_all_kinds() {
        let check = |kind: Kind, metadata: Value, want: &[&str]| {
            let mut metadata = metadata;
            if kind.row().namespaced {
                metadata["namespace"] = "default".into();
            }
            let meta: ObjectMeta = serde_json::from_value(metadata).unwrap();
            let told: Vec<String> = all(&meta, kind.row()).iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), want.len(), "{told:?}");
            for (told, want) in told.iter().zip(want) {
                assert!(told.starts_with(want), "{want}: {told}");
            }
        };
        check(Kind::ConfigMap, json!({"name": "a.b"}), &[]);
        check(Kind::ConfigMap, json!({}), &["metadata.name: Required value: name or generateName is required"]);
        check(
            Kind::ConfigMap,
            json!({"name": "Bad_Name"}),
            &["metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of"],
        );
        check(Kind::ConfigMap, json!({"name": "a-x", "generateName": "a-"}), &[]);
        check(Kind::ConfigMap, json!({"name": "ax", "generateName": "-a"}), &["metadata.generateName: Invalid value"]);
        check(Kind::Service, json!({"name": "1a"}), &["metadata.name: Invalid value: \"1a\": a DNS-1035 label must"]);
        check(
            Kind::Namespace,
            json!({"name": "a.b"}),
            &["metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label"],
        );
        check(Kind::ClusterRole, json!({"name": "system:node"}), &[]);
        check(
            Kind::ClusterRole,
            json!({"name": "a/b"}),
            &["metadata.name: Invalid value: \"a/b\": may not contain '/'"],
        );
        check(
            Kind::Node,
            json!({"name": "n", "namespace": "x"}),
            &["metadata.namespace: Forbidden: not allowed on this type"],
        );
        check(
            Kind::ConfigMap,
            json!({"name": "a", "labels": {"a b": "c", "a": "b c"}}),
            &[
                "metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or consist of",
                "metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters",
            ],
        );
        check(Kind::ConfigMap, json!({"name": "a", "annotations": {"A/B_c": "anything at all"}}), &[]);
        check(
            Kind::ConfigMap,
            json!({"name": "a", "annotations": {"a": "x".repeat(ANNOTATIONS_MAX)}}),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
        check(
            Kind::ConfigMap,
            json!({"name": "a", "finalizers": ["orphan", "example.com/a", "mine"]}),
            &[
                "metadata.finalizers[2]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully",
            ],
        );
        let owner = |uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": true});
        check(
            Kind::ConfigMap,
            json!({"name": "a", "ownerReferences": [owner("1"), owner("")]}),
            &[
                "metadata.ownerReferences.uid: Invalid value: \"\": uid must not be empty",
                "metadata.ownerReferences: Invalid value: \"controller\": Only one reference can have Controller set to true.",
            ],
        );
    }

    #[test]
    fn what_names_an_object_stays() {
        let meta = |value: Value| serde_json::from_value::<ObjectMeta>(value).unwrap();
        let mut errors = Vec::new();
        change(&meta(json!({"name": "b"})), &meta(json!({"name": "a"})), &mut errors);
        assert_eq!(errors, [FieldError::invalid("metadata.name", "b", IMMUTABLE)]);
        let old = meta(json!({"creationTimestamp": "2026-01-01T00:00:00Z"}));
        assert_eq!(creation_is_kept(&meta(json!({})), &old), None);
        assert_eq!(creation_is_kept(&old, &old), None);
        let other = meta(json!({"creationTimestamp": "2026-01-02T00:00:00Z"}));
        assert!(creation_is_kept(&other, &old).is_some());
        assert!(refusals(Kind::ConfigMap, json!({"metadata": {"name": "a"}})).is_empty());
    }
}
