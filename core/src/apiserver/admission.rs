//! What a write makes of an object: defaults, what only the server may set, rules.
//!
//! Source: Kubernetes API conventions, "Metadata" and "Optimistic Concurrency Control"; the strategies of
//! `pkg/registry`.

use crate::api::kinds::Kind;
use crate::api::meta::{ObjectMeta, Time};
use crate::api::namespace::Namespace;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodCondition};
use crate::api::status::{FieldError, Reason, Status};
use crate::api::validation::validate;
use crate::apiserver::fields;
use crate::program::Part;
use crate::schema::Schema;
use crate::time::Now;
use serde_json::Value;
use std::sync::Arc;

/// A new object as it will be stored. Its name is chosen already.
pub fn created(now: Now, mut object: Object, uid: String) -> Result<Object, Status> {
    let (kind, row) = (object.kind(), object.kind().row());
    if !object.meta().resource_version.is_empty() {
        return Err(Status::failure(Reason::BadRequest, "resourceVersion should not be set on objects to be created"));
    }
    // A node's kubelet knows its status before the node exists; all others' is written by their controllers.
    if row.has_status && kind != Kind::Node {
        object = object.with_status_of(&Object::empty(kind));
    }
    object.edit_meta(|meta| {
        meta.uid = uid;
        meta.creation_timestamp = Some(Time::of(now.wall));
        meta.generation = row.has_generation.then_some(1);
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
    });
    complete(&mut object);
    refuse(kind, &object.meta().name, &wrong(&object, None))?;
    Ok(object)
}

/// Fills in what the author left out.
fn complete(object: &mut Object) {
    let row = object.kind().row();
    let schema = Schema::kubernetes();
    if let Some(message) = schema.named(row.message) {
        fields::completed(object, schema, message);
    }
    (row.set_defaults)(object);
}

/// What is wrong with an object.
fn wrong(object: &Object, stored: Option<&Object>) -> Vec<FieldError> {
    let schema = Schema::kubernetes();
    let message = schema.named(object.kind().row().message);
    let mut errors = message.map_or_else(Vec::new, |message| fields::missed(object, schema, message));
    errors.extend(validate(object, stored));
    errors
}

fn refuse(kind: Kind, name: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind, name, errors)) }
}

/// What `new` makes of the stored object, if it may: the part it is about is taken from it, all else stays.
pub fn updated(stored: &Object, new: Object, part: Part) -> Result<Object, Status> {
    let (kind, row, name) = (stored.kind(), stored.kind().row(), &stored.meta().name);
    let (wanted, is) = (&new.meta().resource_version, &stored.meta().resource_version);
    if !wanted.is_empty() && wanted != is && !planted!(UpdateWithoutRevision) {
        sometimes!(UpdateConflict);
        return Err(Status::stale(kind, name));
    }
    if !new.meta().uid.is_empty() && new.meta().uid != stored.meta().uid {
        sometimes!(UpdateOfTwin);
        let (wanted, is) = (&new.meta().uid, &stored.meta().uid);
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {is}");
        return Err(Status::conflict(kind, name, &why));
    }
    let mut object = match part {
        Part::Status => stored.with_status_of(&new),
        Part::Finalize => {
            let finalizers =
                new.get::<Namespace>().map(|namespace| namespace.spec.finalizers.clone()).unwrap_or_default();
            stored.with(|namespace: &mut Namespace| namespace.spec.finalizers = finalizers)
        }
        Part::Main => {
            let mut merged = if row.has_status { new.with_status_of(stored) } else { new };
            merged.edit_meta(|meta| keep_what_the_server_sets(meta, stored.meta()));
            match stored.get::<Namespace>() {
                Some(old) => merged.with(|new: &mut Namespace| new.spec.finalizers.clone_from(&old.spec.finalizers)),
                None => merged,
            }
        }
    };
    match part {
        Part::Main => complete(&mut object),
        Part::Status | Part::Finalize => (row.set_defaults)(&mut object),
    }
    if object == *stored {
        return Ok(object);
    }
    match part {
        Part::Main => refuse(kind, name, &wrong(&object, Some(stored)))?,
        Part::Status | Part::Finalize => refuse(kind, name, &validate(&object, Some(stored)))?,
    }
    let spec_changed = part == Part::Main && spec(&object) != spec(stored) || planted!(GenerationOnStatus);
    if row.has_generation && spec_changed {
        object.edit_meta(|meta| meta.generation = Some(meta.generation.unwrap_or(0) + 1));
    }
    Ok(object)
}

fn spec(object: &Object) -> Option<Value> {
    object.to_value().get_mut("spec").map(Value::take)
}

fn keep_what_the_server_sets(new: &mut ObjectMeta, stored: &ObjectMeta) {
    new.uid.clone_from(&stored.uid);
    new.resource_version.clone_from(&stored.resource_version);
    new.generate_name.clone_from(&stored.generate_name);
    new.generation = stored.generation;
    new.creation_timestamp = stored.creation_timestamp;
    new.deletion_timestamp = stored.deletion_timestamp;
    new.deletion_grace_period_seconds = stored.deletion_grace_period_seconds;
}

/// What a merge patch (RFC 7386) makes of the stored object, to be handed to [`updated`].
pub fn merged(stored: &Object, patch: &Value) -> Result<Object, Status> {
    let mut value = stored.to_value();
    merge(&mut value, patch);
    // Only a revision that the patch itself names is a condition.
    let named = patch.pointer("/metadata/resourceVersion").is_some();
    let object = Object::from_value(stored.kind(), value).map_err(|error| cannot_be_handled(stored.kind(), &error))?;
    Ok(if named { object } else { object.with_meta(|meta| meta.resource_version.clear()) })
}

/// The refusal of a body that is no object of its kind.
pub fn cannot_be_handled(kind: Kind, error: &dyn std::fmt::Display) -> Status {
    let row = kind.row();
    let message = format!("{} in version {:?} cannot be handled as a {}: {error}", row.name, row.version, row.name);
    Status::failure(Reason::BadRequest, message)
}

/// Changes `target` as a merge patch says. Source: RFC 7386, section 2.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let target = target.as_object_mut().expect("it was just made one");
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// A pod bound to a node: a compare-and-set on its uid and on being bound to none.
pub fn bound(now: Now, stored: &Object, uid: &str, node: &str) -> Result<Object, Status> {
    let name = &stored.meta().name;
    let conflict = |why: String| Err(Status::conflict(Kind::Pod, name, &why));
    let Some(pod) = stored.get::<Pod>() else { return Err(Status::not_found(Kind::Pod, name)) };
    if !uid.is_empty() && pod.metadata.uid != uid && !planted!(BindWithoutUid) {
        sometimes!(BindOfTwin);
        return conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            pod.metadata.uid
        ));
    }
    if let Some(bound) = pod.node().filter(|_| !planted!(BindTwice)) {
        sometimes!(BindLostRace);
        return conflict(format!("pod {name} is already assigned to node {bound:?}"));
    }
    if pod.metadata.is_deleting() {
        sometimes!(BindOfLeaving);
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    Ok(stored.with(|pod: &mut Pod| {
        Arc::make_mut(&mut pod.spec).node_name = node.to_owned();
        let condition = PodCondition {
            kind: "PodScheduled".into(),
            status: "True".into(),
            last_transition_time: Some(Time::of(now.wall)),
            ..Default::default()
        };
        pod.status.conditions.retain(|one| one.kind != "PodScheduled");
        pod.status.conditions.push(condition);
    }))
}

/// Whether something may be created in a namespace: `namespace` is what is stored under that name.
pub fn namespace_takes(key: &Key, namespace: Option<&Object>) -> Result<(), Status> {
    let Some(namespace) = namespace else { return Err(Status::not_found(Kind::Namespace, &key.namespace)) };
    if namespace.meta().is_deleting() && !planted!(CreateInEndingNamespace) {
        sometimes!(CreateInEndingNamespace);
        let (resource, within) = (key.kind.row().resource(), &key.namespace);
        let message = format!(
            "{resource} {:?} is forbidden: unable to create new content in namespace {within} because it is being terminated",
            &*key.name
        );
        return Err(Status::failure(Reason::Forbidden, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pod::PodPhase;
    use serde_json::json;

    fn pod(value: Value) -> Object {
        let mut object = json!({"metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "5"},
            "spec": {"containers": [{"name": "c", "image": "x"}]}});
        merge(&mut object, &value);
        let mut object = Object::from_value(Kind::Pod, object).unwrap();
        complete(&mut object);
        object
    }

    #[test]
    fn a_merge_patch_is_rfc_7386() {
        // The examples of appendix A.
        for (target, patch, want) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut got = target.clone();
            merge(&mut got, &patch);
            assert_eq!(got, want, "{target} + {patch}");
        }
    }

    #[test]
    fn each_part_is_written_by_itself() {
        let stored = pod(json!({}));
        let new = pod(json!({"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Running"}}));
        let main = updated(&stored, new.clone(), Part::Main).unwrap();
        assert_eq!((main.meta().labels.len(), main.get::<Pod>().unwrap().status.phase), (1, PodPhase::Pending));
        let status = updated(&stored, new.clone(), Part::Status).unwrap();
        assert_eq!((status.meta().labels.len(), status.get::<Pod>().unwrap().status.phase), (0, PodPhase::Running));
    }

    #[test]
    fn a_write_on_an_old_revision_is_refused() {
        let stored = pod(json!({}));
        let old = pod(json!({"metadata": {"resourceVersion": "4"}}));
        assert_eq!(updated(&stored, old.clone(), Part::Main).unwrap_err().reason, Some(Reason::Conflict));
        let other = pod(json!({"metadata": {"uid": "v"}}));
        assert_eq!(updated(&stored, other.clone(), Part::Status).unwrap_err().reason, Some(Reason::Conflict));
        let moved = pod(json!({"spec": {"nodeName": "n"}}));
        assert_eq!(updated(&stored, moved.clone(), Part::Main).unwrap_err().reason, Some(Reason::Invalid));
    }

    #[test]
    fn a_pod_is_bound_once() {
        let stored = pod(json!({}));
        let bound_once = bound(Now::default(), &stored, "u", "n").unwrap();
        assert_eq!(bound_once.get::<Pod>().unwrap().node(), Some("n"));
        assert!(bound(Now::default(), &bound_once, "u", "m").is_err());
        assert!(bound(Now::default(), &stored, "v", "n").is_err());
    }
}
