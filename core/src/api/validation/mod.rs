//! What an object must be like to be stored.
//!
//! Every error names the field's path, its value and the rule. Rules and their words are Kubernetes'. Three things say
//! them: the schema knows what must be there and which words there can be ([`complete::rules`]); [`meta`] judges the
//! metadata of all kinds alike; all else are the rules of a kind, which stand in its row of the table of kinds and in a
//! file here that is named after what it knows.
//!
//! Rules look at JSON, by [`At`], whether core acts on the kind's fields or not: so a pod and the template in a cron job
//! have the same ones. To add a rule: a line where the field's other rules stand, and a row in the table of the file's
//! tests.
//!
//! Source: Kubernetes 1.32, `pkg/apis/*/validation`, but for what is not looked at because miniku has no such thing.

mod at;
mod autoscaling;
mod batch;
mod cluster;
mod config;
mod meta;
mod networking;
mod pod;
mod policy;
mod rbac;
mod resources;
mod selector;
mod service;
mod storage;
#[cfg(test)]
mod testing;
pub mod text;
mod volume;
mod workloads;

pub use at::At;
pub use autoscaling::HORIZONTAL_POD_AUTOSCALER;
pub use batch::{CRON_JOB, JOB, NAME_LABELS, UID_LABELS};
pub use cluster::{EVENT, LEASE, NAMESPACE, NODE};
pub use config::{CONFIG_MAP, SECRET};
pub use meta::creation_is_kept;
pub use networking::{INGRESS, INGRESS_CLASS, NETWORK_POLICY};
pub use pod::{POD, POD_TEMPLATE};
pub use policy::{LIMIT_RANGE, POD_DISRUPTION_BUDGET, PRIORITY_CLASS, RESOURCE_QUOTA, SYSTEM_CLASSES};
pub use rbac::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING};
pub use service::{ENDPOINT_SLICE, ENDPOINTS, SERVICE};
pub use storage::{PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS};
pub use workloads::{CONTROLLER_REVISION, DAEMON_SET, DEPLOYMENT, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET};

use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::status::{FieldError, FieldErrorKind};
use crate::schema::{Schema, complete};
use at::Rule;
use serde_json::Value;
use std::cell::RefCell;

/// The rules of a kind.
pub struct Rules {
    /// What a name may be.
    pub name: Rule,
    /// What an object must be like, metadata and status aside.
    pub content: fn(&At),
    /// What may not become of an object, if not everything may.
    pub change: Option<fn(new: &At, old: &At)>,
    /// What a status must be like, where that is looked at.
    pub status: Option<fn(&At)>,
    /// Whether a field of the object is looked at by a rule of its kind, or of the schema. Metadata always may be.
    pub looks_at: fn(&str) -> bool,
    /// Whether two versions are the same to all of these rules: what was right in the old one is right in the new one.
    pub same: fn(new: &Object, old: &Object) -> bool,
}

impl Rules {
    /// Any content, any change, and a name that is a DNS subdomain.
    pub const ANY: Rules = Rules {
        name: text::subdomain,
        content: |_| {},
        change: None,
        status: None,
        looks_at: |_| true,
        same: Object::same_but_for_meta,
    };
}

/// So many things at most are told to be wrong with one object: who sends it is a person, and it may have a million items.
pub const ERRORS_MAX: usize = 100;

/// Checks all of a new object, or of an old one's next version: its metadata, then by its kind's own rules. Empty if
/// nothing is wrong.
///
/// What has not changed is not looked at again: a label can be put on an object that newer rules would refuse.
pub fn validate(new: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let row = new.kind().row();
    let mut errors = meta::all(new.meta(), row);
    if let Some(old) = old {
        meta::change(new.meta(), old.meta(), &mut errors);
    }
    // What a custom kind's objects must be like, its definition says.
    let custom = matches!(new.kind(), Kind::Custom(_));
    if !custom && old.is_none_or(|old| !(row.rules.same)(new, old)) {
        // The old one tells what may not change, and whether more than the status has.
        let compared = old.filter(|_| row.has_status || row.rules.change.is_some());
        let old = compared.map(Object::to_ruled_value);
        errors.extend(content(new.kind(), &new.to_ruled_value(), old.as_ref()));
    }
    errors.truncate(ERRORS_MAX);
    errors
}

/// Checks the status of an object, and nothing else.
pub fn validate_status(new: &Object) -> Vec<FieldError> {
    let Some(rules) = new.kind().row().rules.status else { return Vec::new() };
    let (value, errors) = (new.to_value(), RefCell::default());
    rules(&At::object(&value, &errors));
    errors.into_inner()
}

/// What is wrong with an object's fields beside metadata and status.
pub fn content(kind: Kind, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let row = kind.row();
    let errors = RefCell::default();
    let object = At::object(new, &errors);
    if let (Some(old), Some(change)) = (old, row.rules.change) {
        change(&object, &At::object(old, &errors));
    }
    if old.is_none_or(|old| written(new, row.has_status).ne(written(old, row.has_status))) {
        (row.rules.content)(&object);
    }
    let ruled = errors.into_inner();
    // A kind's own rules say more of a field than the schema does, or the same of a list as a whole.
    let mut all = missed(kind, new);
    let said = |one: &FieldError, other: &FieldError| {
        one.field == other.field || one.kind == other.kind && one.field.starts_with(&other.field)
    };
    all.retain(|one| !ruled.iter().any(|other| said(one, other)));
    all.extend(ruled);
    all
}

/// What is wrong with a value that cannot be read as an object of its kind, because a word in it does not exist.
pub fn unreadable(kind: Kind, mut value: Value) -> Vec<FieldError> {
    let schema = Schema::kubernetes();
    let Some(message) = kind.message() else { return Vec::new() };
    complete::complete(schema, message, &mut value);
    content(kind, &value, None)
}

/// The same where the word is in the status. Whoever writes that says nothing of the rest.
pub fn unreadable_status(kind: Kind, value: &Value) -> Vec<FieldError> {
    let (schema, mut errors) = (Schema::kubernetes(), Vec::new());
    if let Some(field) = kind.message().and_then(|message| schema.message(message).field("status")) {
        complete::rules(schema, &field.kind, &value["status"], &mut "status".to_owned(), &mut errors);
    }
    errors.retain(|one| matches!(one.kind, FieldErrorKind::NotSupported(..)));
    errors
}

/// What an author writes: all but metadata and, where it is a part of its own, status.
fn written(value: &Value, has_status: bool) -> impl Iterator<Item = (&String, &Value)> {
    let own = move |name: &str| name != "metadata" && !(has_status && name == "status");
    value.as_object().into_iter().flatten().filter(move |(name, _)| own(name))
}

/// What must not be left out, and words that cannot be. The schema says so.
pub fn missed(kind: Kind, value: &Value) -> Vec<FieldError> {
    let (row, schema) = (kind.row(), Schema::kubernetes());
    let mut errors = Vec::new();
    let Some(message) = kind.message() else { return errors };
    let mut path = String::new();
    for field in schema.message(message).fields.iter().filter(|field| complete::is_ruled(schema, field)) {
        if *field.json != *"metadata" && !(row.has_status && *field.json == *"status") {
            path.push_str(&field.json);
            complete::field_rules(schema, field, value.get(&*field.json), &mut path, &mut errors);
            path.clear();
        }
    }
    errors
}
