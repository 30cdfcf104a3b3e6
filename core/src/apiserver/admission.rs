//! What a write makes of an object: defaults, what only the server may set, rules.
//!
//! Source: Kubernetes API conventions, "Metadata" and "Optimistic Concurrency Control"; the strategies of
//! `pkg/registry`.

use crate::api::custom::Version;
use crate::api::kinds::Kind;
use crate::api::meta::{ObjectMeta, Time};
use crate::api::namespace::Namespace;
use crate::api::object::{DecodeError, Key, Object};
use crate::api::pod::{Pod, PodCondition};
use crate::api::status::{FieldError, Reason, Status};
use crate::api::text::Text;
use crate::api::validation::{self, creation_is_kept, validate, validate_status};
use crate::apiserver::definitions::Within;
use crate::apiserver::{Author, fields};
use crate::patch::merge::merge;
use crate::patch::{self, Patch, managed, typed};
use crate::program::Part;
use crate::schema::{self, MessageId, Schema, Type, strict};
use crate::time::Now;
use serde_json::Value;
use std::sync::Arc;

/// A new object as it will be stored. Its name is chosen already.
pub fn created(now: Now, mut object: Object, uid: String, within: Option<Within<'_>>) -> Result<Object, Status> {
    let (kind, row) = (object.kind(), object.kind().row());
    if !object.meta().resource_version.is_empty() {
        return Err(Status::failure(Reason::BadRequest, "resourceVersion should not be set on objects to be created"));
    }
    // A node's kubelet knows its status before the node exists; all others' is written by their controllers.
    if row.has_status && kind != Kind::Node {
        object = object.with_status_of(&Object::empty(kind));
    }
    object.edit_meta(|meta| {
        meta.uid = uid.into();
        meta.creation_timestamp = Some(Time::of(now.wall));
        meta.generation = row.has_generation.then_some(1);
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
    });
    complete(&mut object, within);
    refuse(kind, &object.meta().name, &wrong(&object, None, within))?;
    Ok(match elsewhere(kind, within) {
        Some(within) => within.kept(&object),
        None => object,
    })
}

/// What a kind's fields are, if that is known: its own table, or that of its definition.
fn schema_of(kind: Kind, within: Option<Within<'_>>) -> Option<(&Schema, MessageId)> {
    match within {
        Some(within) => within.schema(),
        None => kind.message().map(|message| (Schema::kubernetes(), message)),
    }
}

/// An object of a built-in kind as it is stored: what its author left out is filled in. A second time changes nothing.
pub fn completed(mut object: Object) -> Object {
    complete(&mut object, None);
    object
}

/// The version in which something is written: `example.com/v2`.
fn api_version(kind: Kind, within: Option<Within<'_>>) -> String {
    within.map_or_else(|| kind.row().api_version(), Within::api_version)
}

/// The version in which something is written, if it is not the one in which it is kept.
fn elsewhere(kind: Kind, within: Option<Within<'_>>) -> Option<Within<'_>> {
    within.filter(|within| within.version != kind.row().version)
}

/// A stored object as the client who writes sees it.
fn seen(stored: &Object, within: Option<Within<'_>>) -> Value {
    let Some(within) = within else { return stored.to_value() };
    let mut value = within.seen(stored).to_value();
    if let Value::Object(fields) = &mut value
        && let Some(said) = fields.get_mut("apiVersion")
    {
        *said = within.api_version().into();
    }
    value
}

/// Fills in what the author left out.
fn complete(object: &mut Object, within: Option<Within<'_>>) {
    let row = object.kind().row();
    if let Some((schema, message)) = schema_of(object.kind(), within) {
        fields::completed(object, schema, message);
    }
    (row.set_defaults)(object);
}

/// What is wrong with an object.
fn wrong(object: &Object, stored: Option<&Object>, within: Option<Within<'_>>) -> Vec<FieldError> {
    let mut errors = match within {
        Some(within) => {
            let open_api = within.said().and_then(Version::open_api);
            open_api.map_or_else(Vec::new, |open_api| schema::validate::validate(open_api, &object.to_value()))
        }
        None => Vec::new(),
    };
    errors.extend(validate(object, stored));
    errors
}

/// The stored object as a patch makes it, to be handed to [`updated`]. Only a revision that the patch itself names is a
/// condition.
pub fn patched(by: Author, stored: &Object, patch: &Patch, within: Option<Within<'_>>) -> Result<Object, Status> {
    let kind = stored.kind();
    let schema = schema_of(kind, within);
    // Custom kinds have a table, too, but no strategic patches.
    let made = || patch::patched(schema.filter(|_| within.is_none()), seen(stored, within), patch);
    let mut value = made()?;
    if let (Some(within), Some(said)) = (within, value.get_mut("apiVersion"))
        && said.as_str() == Some(&within.api_version())
    {
        *said = kind.row().api_version().into();
    }
    let revision = "/metadata/resourceVersion";
    let named = match patch {
        Patch::Json(_) => {
            let before = stored.meta().resource_version.as_str();
            value.pointer(revision).and_then(Value::as_str).unwrap_or_default() != before
        }
        Patch::Merge(changes) | Patch::Strategic(changes) | Patch::Apply { configuration: changes, .. } => {
            changes.pointer(revision).is_some()
        }
    };
    let object = taken(by, kind, value, within).map_err(|status| match schema.filter(|_| within.is_none()) {
        Some((schema, message)) => patch::mistyped(schema, message, patch, made()).unwrap_or(status),
        None => status,
    })?;
    same_names(object.meta(), stored.meta())?;
    Ok(if named { object } else { object.with_meta(|meta| meta.resource_version = Text::default()) })
}

/// A patch cannot make another object of it.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/handlers/rest.go`, `checkName`.
fn same_names(new: &ObjectMeta, stored: &ObjectMeta) -> Result<(), Status> {
    let wrong = |message: String| Err(Status::failure(Reason::BadRequest, message));
    let (name, namespace) = (&new.name, &new.namespace);
    if *name != stored.name {
        return wrong(format!("the name of the object ({name}) does not match the name on the URL ({})", stored.name));
    }
    if !namespace.is_empty() && *namespace != stored.namespace {
        return wrong(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            stored.namespace
        ));
    }
    Ok(())
}

/// The object as an apply makes it of the stored one, or of nothing.
pub fn applied(
    by: Author,
    kind: Kind,
    stored: Option<&Object>,
    configuration: &Value,
    force: bool,
    part: Part,
    within: Option<Within<'_>>,
) -> Result<Object, Status> {
    let manager = by.manager.unwrap_or("");
    if manager.is_empty() {
        let missing = FieldError::required("fieldManager", "is required for apply patch");
        return Err(Status::invalid_options("PatchOptions", &[missing]));
    }
    let Some((schema, message)) = schema_of(kind, within) else { return Err(Status::not_found(kind, "")) };
    let (api_version, time) = (api_version(kind, within), Time::of(by.now.wall).to_string());
    refuse_untyped(kind, &api_version, configuration, &typed::wrong(schema, message, configuration))?;
    let author = managed::Author { manager, api_version: &api_version, subresource: subresource(part), time: &time };
    let live = stored.map(|stored| seen(stored, within));
    // A status that is applied together with the rest is not wanted either.
    let without = Some(configuration).filter(|said| is_reset(kind, part) && said.get("status").is_some());
    let without = without.map(|said| without_status(said.clone()));
    let configuration = without.as_ref().unwrap_or(configuration);
    let value = managed::apply(schema, message, live.as_ref(), configuration, &author, force)?;
    let named = configuration.pointer("/metadata/resourceVersion").is_some();
    let object = taken(by, kind, value, within)?;
    Ok(if named { object } else { object.with_meta(|meta| meta.resource_version = Text::default()) })
}

/// Refuses a configuration that is not of its kind.
fn refuse_untyped(kind: Kind, api_version: &str, configuration: &Value, wrong: &[String]) -> Result<(), Status> {
    let told = match wrong {
        [] => return Ok(()),
        [one] => one.clone(),
        several => format!("errors:\n  {}", several.join("\n  ")),
    };
    let text = |at: &str| configuration.pointer(at).and_then(Value::as_str).unwrap_or("");
    let (row, name, namespace) = (kind.row(), text("/metadata/name"), text("/metadata/namespace"));
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let message = format!(
        "failed to create typed patch object ({namespace}/{name}; {}/{version}, Kind={}): {told}",
        row.group, row.name
    );
    Err(Status::unexplained(message))
}

/// What a patch made, as an object: without the fields that Kubernetes does not have.
fn taken(by: Author, kind: Kind, mut value: Value, within: Option<Within<'_>>) -> Result<Object, Status> {
    let (row, schema) = (kind.row(), schema_of(kind, within));
    let version = within.map_or(row.version, |within| within.version);
    if let (true, Some((schema, message))) = (by.strict, schema) {
        let mut unknown = Vec::new();
        strict::unknown(schema, message, &mut value, &mut |path| {
            unknown.push(format!("unknown field {path:?}"));
            strict::Then::Keep
        });
        if !unknown.is_empty() {
            return Err(Status::failure(Reason::BadRequest, strict::message(row.name, version, &unknown)));
        }
    }
    let mut object = read(kind, value)?;
    if let Some((schema, message)) = schema {
        fields::known(&mut object, schema, message).map_err(|(_, what)| cannot_be_handled(kind, &what))?;
    }
    Ok(object)
}

fn subresource(part: Part) -> &'static str {
    match part {
        Part::Main => "",
        Part::Status => "status",
        Part::Finalize => "finalize",
        Part::Scale => "scale",
    }
}

/// Whether a write of this part says nothing of the status, so that nobody comes to want what stands there.
///
/// Source: Kubernetes, `GetResetFields` of the strategies in `pkg/registry`.
fn is_reset(kind: Kind, part: Part) -> bool {
    part == Part::Main && kind.row().has_status
}

fn without_status(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.remove("status");
    }
    value
}

/// An object with a note of who wrote what of it.
pub fn noted(
    now: Now,
    manager: &str,
    stored: Option<&Object>,
    object: Object,
    part: Part,
    within: Option<Within<'_>>,
) -> Object {
    let kind = object.kind();
    let Some((schema, message)) = schema_of(kind, within) else { return object };
    let (api_version, time) = (api_version(kind, within), Time::of(now.wall).to_string());
    let by = managed::Author { manager, api_version: &api_version, subresource: subresource(part), time: &time };
    let seen = |object: &Object| match is_reset(kind, part) {
        true => without_status(object.to_value()),
        false => object.to_value(),
    };
    let managers = managed::update(schema, message, stored.map(seen), seen(&object), &by);
    // A field's name stands deeper there than the field: of what is nested nearly as deep as can be, nothing is noted.
    let managers = managers.filter(|managers| schema::depth(managers) + 2 <= schema::DEPTH_MAX);
    object.with_meta(|meta| meta.managed_fields = managers.map(Arc::new))
}

fn refuse(kind: Kind, name: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind, name, errors)) }
}

/// What `new` makes of the stored object, if it may: the part it is about is taken from it, all else stays.
pub fn updated(stored: &Object, new: Object, part: Part, within: Option<Within<'_>>) -> Result<Object, Status> {
    let (kind, row, name) = (stored.kind(), stored.kind().row(), &stored.meta().name);
    let (wanted, is) = (&new.meta().resource_version, &stored.meta().resource_version);
    // 0 is any version, as where it is read.
    if !wanted.is_empty() && *wanted != "0" && wanted != is && !planted!(UpdateWithoutRevision) {
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
        Part::Main | Part::Scale => {
            refuse(kind, name, creation_is_kept(new.meta(), stored.meta()).as_slice())?;
            let mut merged = if row.has_status { new.with_status_of(stored) } else { new };
            merged.edit_meta(|meta| keep_what_the_server_sets(meta, stored.meta()));
            (row.carry_over)(&mut merged, stored);
            match stored.get::<Namespace>() {
                Some(old) => merged.with(|new: &mut Namespace| new.spec.finalizers.clone_from(&old.spec.finalizers)),
                None => merged,
            }
        }
    };
    match part {
        Part::Main | Part::Scale => complete(&mut object, within),
        Part::Status | Part::Finalize => (row.set_defaults)(&mut object),
    }
    if let (Part::Main | Part::Scale, Some(within)) = (part, elsewhere(kind, within)) {
        refuse(kind, name, &wrong(&object, Some(stored), Some(within)))?;
        object = within.kept(&object);
    }
    if object == *stored {
        return Ok(object);
    }
    match part {
        Part::Main | Part::Scale if elsewhere(kind, within).is_some() => {}
        Part::Main | Part::Scale => refuse(kind, name, &wrong(&object, Some(stored), within))?,
        Part::Status => refuse(kind, name, &validate_status(&object))?,
        Part::Finalize => {}
    }
    let spec_changed =
        || matches!(part, Part::Main | Part::Scale) && spec(&object) != spec(stored) || planted!(GenerationOnStatus);
    if row.has_generation && spec_changed() {
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
    // Clients often leave it out.
    if new.managed_fields.is_none() {
        new.managed_fields.clone_from(&stored.managed_fields);
    }
}

/// What a merge patch (RFC 7386) makes of the stored object, to be handed to [`updated`].
pub fn merged(stored: &Object, patch: &Value) -> Result<Object, Status> {
    let mut value = stored.to_value();
    merge(&mut value, patch);
    // Only a revision that the patch itself names is a condition.
    let named = patch.pointer("/metadata/resourceVersion").is_some();
    let object = read(stored.kind(), value)?;
    Ok(if named { object } else { object.with_meta(|meta| meta.resource_version = Text::default()) })
}

/// A value as an object of its kind.
pub fn read(kind: Kind, value: Value) -> Result<Object, Status> {
    // Text is never deeper, but a value made of something else may be; its own text could not be read again.
    if schema::depth(&value) > schema::DEPTH_MAX {
        return Err(cannot_be_handled(kind, &"exceeded max depth"));
    }
    // A copy is worth it only where a word may not exist, or an item be null.
    let copy = matches!(kind, Kind::Pod | Kind::ReplicaSet).then(|| value.clone());
    Object::from_value(kind, value).or_else(|error| reread(kind, copy, &error))
}

/// A value that could not be read as it came: as Go reads it, to which an item of a list that is `null` is the least of its
/// type. Fails if that was not the reason.
pub fn reread(kind: Kind, value: Option<Value>, error: &DecodeError) -> Result<Object, Status> {
    if let (Some(value), Some((schema, message))) = (&value, schema_of(kind, None)) {
        let mut without_null = value.clone();
        strict::prune(schema, message, &mut without_null);
        if let Ok(object) = Object::from_value(kind, without_null) {
            return Ok(object);
        }
    }
    Err(unreadable(kind, value, error))
}

/// The refusal of a value that is no object of its kind: it has a field of another type, or a word that does not exist,
/// which Kubernetes tells as it tells of all other values that cannot be.
fn unreadable(kind: Kind, value: Option<Value>, error: &DecodeError) -> Status {
    if let DecodeError::Other(api_version, name) = error {
        let message = format!(
            "{name} in version {api_version:?} cannot be handled as a {}: no kind {name:?} is registered for version {api_version:?} at this path",
            kind.row().name
        );
        return Status::failure(Reason::BadRequest, message);
    }
    let (Some(value), Some((schema, message))) = (value, schema_of(kind, None)) else {
        return cannot_be_handled(kind, error);
    };
    if let Some((_, what)) = strict::mistyped(schema, &Type::Message(message), &value) {
        return cannot_be_handled(kind, &what);
    }
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("").to_owned();
    let errors = match error {
        DecodeError::Field(path, _) if path.starts_with("status.") => validation::unreadable_status(kind, &value),
        _ => validation::unreadable(kind, value),
    };
    if errors.is_empty() { cannot_be_handled(kind, error) } else { Status::invalid(kind, &name, &errors) }
}

/// The refusal of a body that is no object of its kind.
pub fn cannot_be_handled(kind: Kind, error: &dyn std::fmt::Display) -> Status {
    let row = kind.row();
    let message = format!("{} in version {:?} cannot be handled as a {}: {error}", row.name, row.version, row.name);
    Status::failure(Reason::BadRequest, message)
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
    if !pod.spec.scheduling_gates.is_empty() {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    Ok(stored.with(|pod: &mut Pod| {
        Arc::make_mut(&mut pod.spec).node_name = node.into();
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
    let Some(namespace) = namespace else {
        return match planted!(NamespaceNotNeeded) {
            true => Ok(()),
            false => Err(Status::not_found(Kind::Namespace, &key.namespace)),
        };
    };
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
        complete(&mut object, None);
        object
    }

    #[test]
    fn each_part_is_written_by_itself() {
        let stored = pod(json!({}));
        let new = pod(json!({"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Running"}}));
        let main = updated(&stored, new.clone(), Part::Main, None).unwrap();
        assert_eq!((main.meta().labels.len(), main.get::<Pod>().unwrap().status.phase), (1, PodPhase::Pending));
        let status = updated(&stored, new.clone(), Part::Status, None).unwrap();
        assert_eq!((status.meta().labels.len(), status.get::<Pod>().unwrap().status.phase), (0, PodPhase::Running));
    }

    #[test]
    fn a_write_on_an_old_revision_is_refused() {
        let stored = pod(json!({}));
        let old = pod(json!({"metadata": {"resourceVersion": "4"}}));
        assert_eq!(updated(&stored, old.clone(), Part::Main, None).unwrap_err().reason, Some(Reason::Conflict));
        let other = pod(json!({"metadata": {"uid": "v"}}));
        assert_eq!(updated(&stored, other.clone(), Part::Status, None).unwrap_err().reason, Some(Reason::Conflict));
        let moved = pod(json!({"spec": {"nodeName": "n"}}));
        assert_eq!(updated(&stored, moved.clone(), Part::Main, None).unwrap_err().reason, Some(Reason::Invalid));
    }

    #[test]
    fn an_item_that_is_null_is_the_least_of_its_type() {
        let container = json!({"name": "c", "image": "x", "args": ["a", null]});
        let read_one =
            |containers: Value| read(Kind::Pod, json!({"metadata": {"name": "a"}, "spec": {"containers": containers}}));
        let object = read_one(json!([container])).unwrap();
        assert_eq!(object.to_value().pointer("/spec/containers/0/args"), Some(&json!(["a", ""])));
        assert_eq!(read_one(json!([null])).unwrap().get::<Pod>().unwrap().spec.containers.len(), 1);
        assert_eq!(read_one(json!([null, 1])).unwrap_err().http_code(), 400);
    }

    #[test]
    fn a_word_that_does_not_exist_is_told_where_it_stands() {
        let check = |value: Value, want: &str| {
            let status = read(Kind::Pod, value).unwrap_err();
            assert_eq!(status.http_code(), 422);
            let begins = format!("Pod \"a\" is invalid: {want}: Unsupported value: \"Done\": supported values: ");
            assert!(status.message.starts_with(&begins), "{}", status.message);
        };
        let metadata = json!({"name": "a"});
        check(json!({"metadata": metadata, "status": {"phase": "Done"}}), "status.phase");
        let spec = json!({"restartPolicy": "Done", "containers": [{"name": "c", "image": "x"}]});
        check(json!({"metadata": metadata, "spec": spec, "status": {"phase": "Failed"}}), "spec.restartPolicy");
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
