//! Patches: four ways in which a client says what is to change in an object.
//!
//! | media type | what it says | example, on `{"a": 1, "l": [{"name": "x"}]}` |
//! | --- | --- | --- |
//! | `json-patch+json` | a list of operations at paths | `[{"op": "replace", "path": "/a", "value": 2}]` |
//! | `merge-patch+json` | the object as far as it changes; `null` takes away, a list replaces a list | `{"a": null}` |
//! | `strategic-merge-patch+json` | the same, but lists that have a key are merged by it | `{"l": [{"name": "y"}]}` adds an item |
//! | `apply-patch+yaml` | all that one manager wants of the object; what it wanted before and wants no more goes | `{"a": 2}` |
//!
//! What a strategic merge patch and an apply make of a list stands in the [schema](crate::schema). Who wants which field of an
//! object is kept in its `metadata.managedFields`: [`managed`].

pub mod fields;
pub mod managed;
pub mod merge;
pub mod strategic;
pub mod typed;

use crate::api::status::{FieldError, Reason, Status};
use crate::schema::{DEPTH_MAX, MessageId, Schema, Type, strict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a client wants changed in an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Patch {
    /// Operations at paths. Source: RFC 6902.
    Json(Value),
    /// Fields, as they are to be. Source: RFC 7386.
    Merge(Value),
    /// Fields, as they are to be, with lists merged by their keys.
    Strategic(Value),
    /// All that a manager wants of the object.
    Apply {
        /// The fields that it wants.
        configuration: Value,
        /// It takes fields from others that want them otherwise.
        force: bool,
    },
}

/// So many operations are done at once. Source: `k8s.io/apiserver`, `maxJSONPatchOperations`.
const OPERATIONS_MAX: usize = 10_000;
/// A patched object is not larger, in bytes of JSON. Source: etcd's limit of a request is 1.5 MiB; bodies may be 3 MiB.
const PATCHED_BYTES_MAX: usize = 3 << 20;
/// Operations times the values of the object that they are done to: some tenths of a second, in which nobody else is served.
const WORK_MAX: usize = 20_000_000;

/// What a patch other than an apply makes of a stored object. Kinds without a table have no strategic patches.
pub fn patched(schema: Option<(&Schema, MessageId)>, mut value: Value, patch: &Patch) -> Result<Value, Status> {
    match patch {
        Patch::Json(operations) => json(&mut value, operations)?,
        Patch::Merge(changes) | Patch::Apply { configuration: changes, .. } => merge::merge(&mut value, changes),
        Patch::Strategic(changes) => {
            let Some((schema, message)) = schema else {
                let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
                return Err(Status::failure(Reason::UnsupportedMediaType, message));
            };
            strategic::merge(schema, message, &mut value, changes)
                .map_err(|why| Status::failure(Reason::BadRequest, why))?;
        }
    }
    Ok(value)
}

/// The refusal of a patch that makes a value of another type, if that is what is wrong.
///
/// Source: Kubernetes, `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`; of a strategic patch in the words of
/// `runtime.DefaultUnstructuredConverter`.
pub fn mistyped(schema: &Schema, message: MessageId, patch: &Patch, made: Result<Value, Status>) -> Option<Status> {
    let value = made.ok()?;
    let (_, what) = strict::mistyped(schema, &Type::Message(message), &value)?;
    let (said, what) = match patch {
        Patch::Strategic(changes) => (in_go(changes), unrestorable(&what).unwrap_or(what)),
        _ => (value.to_string(), what),
    };
    Some(Status::invalid_patch(&FieldError::invalid("patch", said, what)))
}

/// What Go's converter says where its decoder says `cannot unmarshal X into Go … of type Y`.
fn unrestorable(what: &str) -> Option<String> {
    let (is, rest) = what.strip_prefix("json: cannot unmarshal ")?.split_once(" into Go ")?;
    let (_, wanted) = rest.rsplit_once(" of type ")?;
    let is = match is.split(' ').next()? {
        "number" => "int64",
        "array" => "slice",
        "object" => "map",
        other => other,
    };
    Some(match wanted {
        map if map.starts_with("map[") => format!("cannot restore map from {is}"),
        list if list.starts_with("[]") => format!("cannot restore slice from {is}"),
        "string" if is == "int64" => "cannot convert int64 to string".into(),
        plain if !plain.contains('.') => format!("unrecognized type: {plain}"),
        _ => format!("cannot restore struct from: {is}"),
    })
}

/// A value as Go prints it: `map[a:1 b:[x y]]`.
fn in_go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(in_go).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let sorted: std::collections::BTreeMap<_, _> = fields.iter().collect();
            let told: Vec<String> = sorted.iter().map(|(name, value)| format!("{name}:{}", in_go(value))).collect();
            format!("map[{}]", told.join(" "))
        }
        other => other.to_string(),
    }
}

fn json(value: &mut Value, operations: &Value) -> Result<(), Status> {
    let wrong = |error: String| Status::failure(Reason::BadRequest, error);
    if !operations.is_array() {
        let is = strict::go_value(operations);
        return Err(wrong(format!("json: cannot unmarshal {is} into Go value of type jsonpatch.Patch")));
    }
    let operations: json_patch::Patch =
        serde_json::from_value(operations.clone()).map_err(|error| wrong(format!("error decoding patch: {error}")))?;
    if operations.0.len() > OPERATIONS_MAX {
        let count = operations.0.len();
        let message = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
        return Err(Status::failure(Reason::RequestEntityTooLarge, message));
    }
    let mut work = 0;
    for operation in operations.0 {
        json_patch::patch(value, std::slice::from_ref(&operation)).map_err(|_| {
            let message = "the server rejected our request due to an error in our request";
            Status::failure(Reason::Invalid, message)
        })?;
        // A copy may double what is there, and a move put it deeper: a few dozen of them are more than any memory holds,
        // and some thousands nest it deeper than whoever calls itself can follow.
        let extent = Extent::of(value);
        work += extent.values;
        if extent.bytes > PATCHED_BYTES_MAX || work > WORK_MAX {
            return Err(Status::failure(Reason::RequestEntityTooLarge, "the patched object is too large"));
        }
        if extent.depth > DEPTH_MAX {
            return Err(Status::failure(Reason::Invalid, "the patched object is nested too deep"));
        }
    }
    Ok(())
}

/// How large a value is.
#[derive(Default)]
struct Extent {
    values: usize,
    /// Of names and texts, and a few for each value.
    bytes: usize,
    depth: usize,
}

impl Extent {
    /// Does not call itself, whatever the value.
    fn of(value: &Value) -> Self {
        let (mut extent, mut left) = (Extent::default(), vec![(value, 0)]);
        while let Some((value, above)) = left.pop() {
            extent.values += 1;
            extent.bytes += 4;
            match value {
                Value::Array(items) => left.extend(items.iter().map(|item| (item, above + 1))),
                Value::Object(fields) => {
                    extent.bytes += fields.keys().map(String::len).sum::<usize>();
                    left.extend(fields.values().map(|value| (value, above + 1)));
                }
                Value::String(text) => extent.bytes += text.len(),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
            extent.depth = extent.depth.max(above + usize::from(value.is_array() || value.is_object()));
        }
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_are_done_one_after_the_other_or_not_at_all() {
        let stored = json!({"a": {"b": 1}, "l": [1, 2]});
        let check = |operations: Value, want: Result<Value, u16>| {
            let got = patched(None, stored.clone(), &Patch::Json(operations.clone()));
            assert_eq!(got.map_err(|status| status.http_code()), want, "{operations}");
        };
        check(json!([{"op": "add", "path": "/l/-", "value": 3}]), Ok(json!({"a": {"b": 1}, "l": [1, 2, 3]})));
        check(
            json!([{"op": "test", "path": "/a/b", "value": 1}, {"op": "remove", "path": "/a"}]),
            Ok(json!({"l": [1, 2]})),
        );
        check(json!([{"op": "remove", "path": "/a"}, {"op": "test", "path": "/l", "value": 1}]), Err(422));
        check(json!([{"op": "replace", "path": "/x/y", "value": 1}]), Err(422));
        check(json!({"op": "add"}), Err(400));
        check(json!([{"op": "fly", "path": "/a"}]), Err(400));
        let many: Vec<Value> = (0..10_001).map(|_| json!({"op": "test", "path": "/l/0", "value": 1})).collect();
        check(many.into(), Err(413));
        let mut doubling = vec![json!({"op": "add", "path": "/x", "value": ["x".repeat(1000)]})];
        doubling.extend((0..40).map(|n| json!({"op": "copy", "from": "/x", "path": format!("/x/{n}")})));
        check(doubling.into(), Err(413));
        let large: Vec<Value> = (0..9_000).map(|_| json!({"op": "add", "path": "/l/0", "value": 1})).collect();
        check(large.into(), Err(413));
    }

    #[test]
    fn operations_do_not_nest_deeper_than_what_can_be_read() {
        // Each round puts all that there is below something new.
        let round = [
            json!({"op": "move", "from": "/a", "path": "/b"}),
            json!({"op": "add", "path": "/a", "value": {"a": {"a": {}}}}),
            json!({"op": "move", "from": "/b", "path": "/a/a/a/a"}),
        ];
        let rounds = |count: usize| Patch::Json(round.iter().cycle().take(3 * count).cloned().collect());
        let stored = json!({"a": {}});
        assert!(patched(None, stored.clone(), &rounds(40)).is_ok());
        assert_eq!(patched(None, stored.clone(), &rounds(50)).unwrap_err().http_code(), 422);
    }

    #[test]
    fn a_kind_without_a_table_has_no_strategic_patches() {
        assert_eq!(patched(None, json!({}), &Patch::Strategic(json!({}))).unwrap_err().http_code(), 415);
    }
}
