//! What is said of fields that are none, and of values that are of no field's type.
//!
//! [`check`] reads JSON text once, without making a tree of it; [`unknown`] and [`mistyped`] look at values. Paths and words
//! are Kubernetes'. Source: KEP-2885, server-side field validation; `sigs.k8s.io/json`.

use super::{Field, Message, MessageId, Schema, Type};
use crate::api::meta::parse_rfc3339;
use crate::api::quantity::Quantity;
use crate::api::structs::Key;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// So many complaints are made of one body.
const COMPLAINTS_MAX: usize = 100;

/// The fields of a JSON text that its message does not have, or that are there twice, in the order of the text.
///
/// Fails if it is no JSON, or nested deeper than 128, which is serde_json's limit.
pub fn check(schema: &Schema, message: MessageId, json: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let mut complaints = Vec::new();
    let mut path = String::new();
    let mut from = serde_json::Deserializer::from_slice(json);
    let seed = Look { schema, at: At::Message(message), top: true, path: &mut path, complaints: &mut complaints };
    seed.deserialize(&mut from)?;
    from.end()?;
    Ok(complaints)
}

/// The refusal of a body with such fields.
pub fn message(kind: &str, version: &str, complaints: &[String]) -> String {
    let all = complaints.join(", ");
    format!("{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {all}")
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum At<'a> {
    Message(MessageId),
    Type(&'a Type),
    /// Nothing is said of what is here.
    Anything,
}

impl<'a> At<'a> {
    fn of(kind: &'a Type) -> Self {
        match kind {
            Type::Message(id) => At::Message(*id),
            Type::Map(_) | Type::List(_) => At::Type(kind),
            _ => At::Anything,
        }
    }
}

struct Look<'a, 'b> {
    schema: &'a Schema,
    at: At<'a>,
    /// The object itself, which also says its kind.
    top: bool,
    path: &'b mut String,
    complaints: &'b mut Vec<String>,
}

impl<'a> Look<'a, '_> {
    fn below(&mut self, at: At<'a>) -> Look<'a, '_> {
        Look { schema: self.schema, at, top: false, path: self.path, complaints: self.complaints }
    }

    fn complain(&mut self, what: &str, name: &str) {
        if self.complaints.len() < COMPLAINTS_MAX {
            let dot = if self.path.is_empty() { "" } else { "." };
            self.complaints.push(format!("{what} field \"{}{dot}{name}\"", self.path));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

macro_rules! nothing_to_say {
    ($($visit:ident: $kind:ty),+) => {
        $(fn $visit<E>(self, _: $kind) -> Result<(), E> {
            Ok(())
        })+
    };
}

impl<'de> Visitor<'de> for Look<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    nothing_to_say!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let at = match self.at {
            At::Type(Type::List(list)) => At::of(&list.items),
            // An object where there should be a list is somebody else's complaint.
            _ => At::Anything,
        };
        let end = self.path.len();
        for nth in 0.. {
            self.path.push_str(&format!("[{nth}]"));
            let next = seq.next_element_seed(self.below(at))?;
            self.path.truncate(end);
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<Box<str>> = Vec::new();
        let mut many: BTreeSet<Box<str>> = BTreeSet::new();
        let (schema, at, top) = (self.schema, self.at, self.top);
        while let Some(Key(name)) = map.next_key()? {
            // A few names are compared with each other; many go into a set, so that nobody pays for the square of them.
            let twice = if seen.len() < 32 {
                let twice = seen.iter().any(|one| **one == *name);
                seen.push((*name).into());
                twice
            } else {
                if many.is_empty() {
                    many.extend(seen.iter().cloned());
                }
                !many.insert((*name).into())
            };
            if twice {
                self.complain("duplicate", &name);
            }
            let below = match at {
                At::Message(id) => match known(schema.message(id), &name, top) {
                    Known::Field(field) => At::of(&field.kind),
                    Known::Beside => At::Anything,
                    Known::Not => {
                        if !twice {
                            self.complain("unknown", &name);
                        }
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                },
                At::Type(Type::Map(map)) => At::of(&map.values),
                At::Type(_) | At::Anything => At::Anything,
            };
            let end = self.path.len();
            if end > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            map.next_value_seed(self.below(below))?;
            self.path.truncate(end);
        }
        Ok(())
    }
}

enum Known<'a> {
    Field(&'a Field),
    Beside,
    Not,
}

fn known<'a>(message: &'a Message, name: &str, top: bool) -> Known<'a> {
    match message.field(name) {
        Some(field) => Known::Field(field),
        None if message.open || top && matches!(name, "kind" | "apiVersion") => Known::Beside,
        None => Known::Not,
    }
}

/// Calls `visit` with the path of every field that its message does not have, and takes those out that it wants out.
pub fn unknown(schema: &Schema, message: MessageId, value: &mut Value, visit: &mut dyn FnMut(&str) -> Then) {
    walk_message(schema, message, value, true, &mut String::new(), visit);
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It stays.
    Keep,
    /// It is taken out.
    Drop,
}

/// Looks at a value of a type; see [`unknown`].
pub fn walk(schema: &Schema, kind: &Type, value: &mut Value, path: &mut String, visit: &mut dyn FnMut(&str) -> Then) {
    let end = path.len();
    match (kind, value) {
        (Type::Message(id), value) => walk_message(schema, *id, value, false, path, visit),
        (Type::List(list), Value::Array(items)) => {
            for (nth, item) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{nth}]"));
                walk(schema, &list.items, item, path, visit);
                path.truncate(end);
            }
        }
        (Type::Map(map), Value::Object(values)) => {
            for (name, value) in values {
                path.push('.');
                path.push_str(name);
                walk(schema, &map.values, value, path, visit);
                path.truncate(end);
            }
        }
        _ => {}
    }
}

fn walk_message(
    schema: &Schema,
    id: MessageId,
    value: &mut Value,
    top: bool,
    path: &mut String,
    visit: &mut dyn FnMut(&str) -> Then,
) {
    let Value::Object(fields) = value else { return };
    let message = schema.message(id);
    let end = path.len();
    fields.retain(|name, value| {
        if end > 0 {
            path.push('.');
        }
        path.push_str(name);
        let keep = match known(message, name, top) {
            Known::Field(field) => {
                walk(schema, &field.kind, value, path, visit);
                true
            }
            Known::Beside => true,
            Known::Not => visit(path) == Then::Keep,
        };
        path.truncate(end);
        keep
    });
}

/// Takes out all fields that their messages do not have.
pub fn prune(schema: &Schema, message: MessageId, value: &mut Value) {
    unknown(schema, message, value, &mut |_| Then::Drop);
}

/// The first value that is not of its field's type: the field's path, and what is wrong in Go's words.
pub fn mistyped(schema: &Schema, kind: &Type, value: &Value, path: &mut String) -> Option<(String, String)> {
    let wrong = |path: &str, wanted: &str| {
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Some((path.to_owned(), format!("json: cannot unmarshal {is} into Go struct field {path} of type {wanted}")))
    };
    let end = path.len();
    match (kind, value) {
        (_, Value::Null) | (Type::Any, _) => None,
        (Type::Text(_), Value::String(_)) | (Type::Bool, Value::Bool(_)) => None,
        (Type::Text(_), _) => wrong(path, "string"),
        (Type::Bool, _) => wrong(path, "bool"),
        (Type::Int32, value) => match value.as_i64() {
            Some(number) if i32::try_from(number).is_ok() => None,
            _ => wrong(path, "int32"),
        },
        (Type::Int64, value) => match value.as_i64() {
            Some(_) => None,
            None => wrong(path, "int64"),
        },
        (Type::Double, value) => match value.is_number() {
            true => None,
            false => wrong(path, "float64"),
        },
        (Type::Bytes, Value::String(text)) => match crate::api::base64::decode(text).is_some() {
            true => None,
            false => Some((path.clone(), format!("illegal base64 data in {path}"))),
        },
        (Type::Bytes, _) => wrong(path, "[]uint8"),
        (Type::Quantity, Value::String(text)) => match text.parse::<Quantity>() {
            Ok(_) => None,
            Err(_) => Some((path.clone(), NOT_A_QUANTITY.into())),
        },
        (Type::Quantity, Value::Number(_)) => None,
        (Type::Quantity, _) => Some((path.clone(), NOT_A_QUANTITY.into())),
        (Type::IntOrString, Value::String(_)) => None,
        (Type::IntOrString, value) => match value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) {
            true => None,
            false => wrong(path, "intstr.IntOrString"),
        },
        (Type::Time | Type::MicroTime, Value::String(text)) => match parse_rfc3339(text) {
            Ok(_) => None,
            Err(_) => {
                let layout =
                    if *kind == Type::Time { "2006-01-02T15:04:05Z07:00" } else { "2006-01-02T15:04:05.000000Z07:00" };
                Some((path.clone(), format!("parsing time {text:?} as {layout:?}: cannot parse it in {path}")))
            }
        },
        (Type::Time, _) => wrong(path, "v1.Time"),
        (Type::MicroTime, _) => wrong(path, "v1.MicroTime"),
        (Type::Duration, Value::String(_)) => None,
        (Type::Duration, _) => wrong(path, "v1.Duration"),
        (Type::Message(id), Value::Object(fields)) => {
            let message = schema.message(*id);
            fields.iter().find_map(|(name, value)| {
                let field = message.field(name)?;
                if end > 0 {
                    path.push('.');
                }
                path.push_str(name);
                let found = mistyped(schema, &field.kind, value, path);
                path.truncate(end);
                found
            })
        }
        (Type::Message(id), _) => wrong(path, schema.message(*id).name.split('.').next_back().unwrap_or("")),
        (Type::Map(map), Value::Object(values)) => values.iter().find_map(|(name, value)| {
            path.push('.');
            path.push_str(name);
            let found = mistyped(schema, &map.values, value, path);
            path.truncate(end);
            found
        }),
        (Type::Map(_), _) => wrong(path, "map[string]string"),
        (Type::List(list), Value::Array(items)) => items.iter().enumerate().find_map(|(nth, item)| {
            path.push_str(&format!("[{nth}]"));
            let found = mistyped(schema, &list.items, item, path);
            path.truncate(end);
            found
        }),
        (Type::List(list), _) => wrong(path, &format!("[]{}", go_name(schema, &list.items))),
    }
}

/// Source: `k8s.io/apimachinery/pkg/api/resource`, `ErrFormatWrong`.
const NOT_A_QUANTITY: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

fn go_name(schema: &Schema, kind: &Type) -> String {
    match kind {
        Type::Message(id) => {
            schema.message(*id).name.replace('/', ".").split('.').skip(1).collect::<Vec<_>>().join(".")
        }
        Type::Int32 => "int32".into(),
        _ => "string".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaints(kind: &str, json: &str) -> Vec<String> {
        let schema = Schema::kubernetes();
        check(schema, schema.named(kind).unwrap(), json.as_bytes()).unwrap()
    }

    #[test]
    fn unknown_and_double_fields_are_named_in_order() {
        let text = r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"a","name":"b","labels":{"x":"y"}},
            "spec":{"bogusField":{"a":[1]},"template":{"spec":{"containers":[{"name":"c","imag":"x","livenessProbe":{"httpGet":{"port":1,"x":2}}}]}}}}"#;
        assert_eq!(
            complaints("apps/v1.Deployment", text),
            [
                "duplicate field \"metadata.name\"",
                "unknown field \"spec.bogusField\"",
                "unknown field \"spec.template.spec.containers[0].imag\"",
                "unknown field \"spec.template.spec.containers[0].livenessProbe.httpGet.x\"",
            ]
        );
        assert_eq!(complaints("core/v1.ConfigMap", r#"{"data":{"any":"thing"},"kind":"ConfigMap"}"#), [""; 0]);
        assert_eq!(complaints("core/v1.Pod", r#"{"spec":{"kind":"x"}}"#), ["unknown field \"spec.kind\""]);
    }

    #[test]
    fn depth_is_bounded() {
        let schema = Schema::kubernetes();
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(check(schema, schema.named("core/v1.Pod").unwrap(), deep.as_bytes()).is_err());
    }

    #[test]
    fn fields_that_are_none_are_taken_out() {
        let schema = Schema::kubernetes();
        let mut value = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "x": 1}], "volumes": [{"name": "v", "y": 1, "hostPath": {"path": "/"}}]}});
        prune(schema, schema.named("core/v1.Pod").unwrap(), &mut value);
        let want = json!({"kind": "Pod", "spec": {"containers": [{"name": "a"}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}});
        assert_eq!(value, want);
    }

    #[test]
    fn values_of_another_type_are_told_in_gos_words() {
        let schema = Schema::kubernetes();
        let check = |kind: &str, value: Value, want: Option<&str>| {
            let kind = Type::Message(schema.named(kind).unwrap());
            let got = mistyped(schema, &kind, &value, &mut String::new()).map(|(_, what)| what);
            assert_eq!(got.as_deref(), want, "{value}");
        };
        let replicas = "json: cannot unmarshal string into Go struct field spec.replicas of type int32";
        check("apps/v1.Deployment", json!({"spec": {"replicas": "3"}}), Some(replicas));
        check("apps/v1.Deployment", json!({"spec": {"replicas": 3, "template": {"spec": {"containers": []}}}}), None);
        check("core/v1.Secret", json!({"data": {"a": "eA=="}}), None);
        check("core/v1.Secret", json!({"data": {"a": "e"}}), Some("illegal base64 data in data.a"));
        check("core/v1.ResourceQuota", json!({"spec": {"hard": {"cpu": "x"}}}), Some(NOT_A_QUANTITY));
        check("core/v1.ServicePort", json!({"targetPort": "http", "port": 80}), None);
    }
}
