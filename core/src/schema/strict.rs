//! What is said of fields that are none, and of values that are of no field's type.
//!
//! [`check`] reads JSON text once, without making a tree of it; [`unknown`] and [`mistyped`] look at values. Paths and words
//! are Kubernetes'. Names are told apart by case.
//!
//! Source: KEP-2885, server-side field validation; `sigs.k8s.io/json`; Go, `encoding/json`.

use super::{Field, Message, MessageId, Schema, Type};
use crate::api::meta::parse_rfc3339;
use crate::api::quantity::Quantity;
use crate::api::structs::Key;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
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
    let seed = Look { schema, at: At::Message(message), path: &mut path, complaints: &mut complaints };
    seed.deserialize(&mut from)?;
    from.end()?;
    Ok(complaints)
}

/// The refusal of a body with such fields.
pub fn message(kind: &str, version: &str, complaints: &[String]) -> String {
    refusal(kind, version, &format!("strict decoding error: {}", complaints.join(", ")))
}

/// The refusal of a body that is not of its kind: of a [`mistyped`] value, for example.
pub fn refusal(kind: &str, version: &str, why: &str) -> String {
    format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}")
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
    path: &'b mut String,
    complaints: &'b mut Vec<String>,
}

impl<'a> Look<'a, '_> {
    fn below(&mut self, at: At<'a>) -> Look<'a, '_> {
        Look { schema: self.schema, at, path: self.path, complaints: self.complaints }
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
        let (schema, at) = (self.schema, self.at);
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
                At::Message(id) => match known(schema.message(id), &name) {
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

fn known<'a>(message: &'a Message, name: &str) -> Known<'a> {
    match message.field(name) {
        Some(field) => Known::Field(field),
        None if message.open => Known::Beside,
        None => Known::Not,
    }
}

/// Calls `visit` with the path of every field that its message does not have, and takes those out that it wants out.
pub fn unknown(schema: &Schema, message: MessageId, value: &mut Value, visit: &mut dyn FnMut(&str) -> Then) {
    walk_message(schema, message, value, &mut String::new(), visit);
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
        (Type::Message(id), value) => walk_message(schema, *id, value, path, visit),
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
        let keep = match known(message, name) {
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

/// Takes out all fields that their messages do not have, and those that are `null`, which means the same.
pub fn prune(schema: &Schema, message: MessageId, value: &mut Value) {
    prune_value(schema, &Type::Message(message), value);
}

/// The same in a value of a type.
pub fn prune_value(schema: &Schema, kind: &Type, value: &mut Value) {
    match (kind, value) {
        (Type::Message(id), Value::Object(fields)) => {
            let message = schema.message(*id);
            fields.retain(|name, value| match known(message, name) {
                Known::Field(field) if value.is_null() => field.nullable || field.kind == Type::Any,
                Known::Field(field) => {
                    prune_value(schema, &field.kind, value);
                    true
                }
                Known::Beside => true,
                Known::Not => false,
            });
        }
        (Type::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| prune_item(schema, &list.items, item));
        }
        (Type::Map(map), Value::Object(values)) => {
            values.values_mut().for_each(|value| prune_item(schema, &map.values, value));
        }
        _ => {}
    }
}

/// An item that is `null` is there all the same: in Go it is the zero of its type.
fn prune_item(schema: &Schema, kind: &Type, value: &mut Value) {
    if value.is_null() && schema.in_go {
        *value = match kind {
            Type::Text(_) | Type::Bytes => "".into(),
            Type::Bool => false.into(),
            Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => 0.into(),
            Type::Quantity => "0".into(),
            Type::Message(_) => Value::Object(Map::new()),
            _ => Value::Null,
        };
    }
    prune_value(schema, kind, value);
}

/// The first value that is not of its field's type: the field's path, and what is wrong in Go's words.
pub fn mistyped(schema: &Schema, kind: &Type, value: &Value) -> Option<(String, String)> {
    Types { schema, path: String::new(), owner: "", fields: Vec::new() }.wrong(kind, value)
}

/// Where [`mistyped`] is.
struct Types<'a> {
    schema: &'a Schema,
    path: String,
    /// The message that the last of the fields is in, without its group.
    owner: &'a str,
    /// The fields on the way. Go leaves out places in lists and keys of maps.
    fields: Vec<&'a str>,
}

impl<'a> Types<'a> {
    fn wrong(&mut self, kind: &'a Type, value: &Value) -> Option<(String, String)> {
        match (kind, value) {
            (_, Value::Null) | (Type::Any, _) => None,
            (Type::Text(_), Value::String(_)) | (Type::Bool, Value::Bool(_)) | (Type::Double, Value::Number(_)) => None,
            (Type::Int32, value) if value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => None,
            (Type::Int64, value) if value.is_i64() => None,
            (Type::Bytes, Value::String(text)) => match crate::api::base64::decode(text) {
                Some(_) => None,
                None => self.told(format!("illegal base64 data at input byte {}", wrong_base64(text))),
            },
            (Type::Quantity, value) => wrong_quantity(value).and_then(|what| self.told(what.into())),
            (Type::IntOrString, Value::String(_)) => None,
            (Type::IntOrString, value) => match value.as_i64().map(i32::try_from) {
                Some(Ok(_)) => None,
                _ => self.told(format!("json: cannot unmarshal {} into Go value of type int32", go_value(value))),
            },
            (Type::Time, Value::String(text)) => wrong_time(text, "Z07:00").and_then(|what| self.told(what)),
            (Type::MicroTime, Value::String(text)) => {
                wrong_time(text, ".000000Z07:00").and_then(|what| self.told(what))
            }
            (Type::Duration, Value::String(text)) => match crate::durations::parse(text.trim_start_matches('-')) {
                Ok(_) => None,
                Err(_) => self.told(format!("time: invalid duration {text:?}")),
            },
            (Type::Time | Type::MicroTime | Type::Duration, value) => {
                self.told(format!("json: cannot unmarshal {} into Go value of type string", go_value(value)))
            }
            (Type::Message(id), Value::Object(values)) => {
                let message = self.schema.message(*id);
                let (end, above) = (self.path.len(), self.owner);
                values.iter().find_map(|(name, value)| {
                    let field = message.field(name)?;
                    if end > 0 {
                        self.path.push('.');
                    }
                    self.path.push_str(name);
                    self.owner = message.name.rsplit('.').next().unwrap_or("");
                    self.fields.push(&field.json);
                    let found = self.wrong(&field.kind, value);
                    self.fields.pop();
                    self.owner = above;
                    self.path.truncate(end);
                    found
                })
            }
            (Type::Map(map), Value::Object(values)) => {
                let end = self.path.len();
                values.iter().find_map(|(name, value)| {
                    self.path.push('.');
                    self.path.push_str(name);
                    let found = self.wrong(&map.values, value);
                    self.path.truncate(end);
                    found
                })
            }
            (Type::List(list), Value::Array(items)) => {
                let end = self.path.len();
                items.iter().enumerate().find_map(|(nth, item)| {
                    self.path.push_str(&format!("[{nth}]"));
                    let found = self.wrong(&list.items, item);
                    self.path.truncate(end);
                    found
                })
            }
            (kind, value) => {
                let (is, wanted) = (go_value(value), go_type(self.schema, kind));
                // Go says which number only where another one could have been.
                let number = value.is_number() && matches!(kind, Type::Int32 | Type::Int64);
                let is = if number { format!("{is} {value}") } else { is.to_owned() };
                self.told(match self.fields.is_empty() {
                    true => format!("json: cannot unmarshal {is} into Go value of type {wanted}"),
                    false => {
                        let fields = self.fields.join(".");
                        format!(
                            "json: cannot unmarshal {is} into Go struct field {}.{fields} of type {wanted}",
                            self.owner
                        )
                    }
                })
            }
        }
    }

    fn told(&self, what: String) -> Option<(String, String)> {
        Some((self.path.clone(), what))
    }
}

/// What Go's JSON calls a value.
pub fn go_value(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_type(schema: &Schema, kind: &Type) -> String {
    match kind {
        Type::Text(_) => "string".into(),
        Type::Bool => "bool".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Double => "float64".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Time => "v1.Time".into(),
        Type::MicroTime => "v1.MicroTime".into(),
        Type::Duration => "v1.Duration".into(),
        Type::Any => "interface {}".into(),
        Type::Message(id) => schema.message(*id).name.rsplit('/').next().unwrap_or("").into(),
        Type::Map(map) => format!("map[string]{}", go_type(schema, &map.values)),
        Type::List(list) => format!("[]{}", go_type(schema, &list.items)),
    }
}

/// Source: `k8s.io/apimachinery/pkg/api/resource`, `ErrFormatWrong` and `ErrSuffix`.
fn wrong_quantity(value: &Value) -> Option<&'static str> {
    const FORMAT: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    const SUFFIX: &str = "unable to parse quantity's suffix";
    let text = match value {
        Value::String(text) => text.trim(),
        // A number can be written with more digits than an amount has.
        Value::Number(_) => return Quantity::deserialize(value).err().map(|_| SUFFIX),
        _ => return Some(FORMAT),
    };
    if text.parse::<Quantity>().is_ok() {
        return None;
    }
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let suffix = after.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = suffix.strip_prefix(['+', '-']).unwrap_or(suffix);
    let formed = after.len() < rest.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some(if formed { SUFFIX } else { FORMAT })
}

/// Follows Go's layout part by part, up to the fraction of a second. Source: Go, `time.Parse`.
fn wrong_time(text: &str, zone: &str) -> Option<String> {
    let parts = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];
    let wrong = |rest: &str, part: &str| {
        Some(format!("parsing time {text:?} as \"2006-01-02T15:04:05{zone}\": cannot parse {rest:?} as {part:?}"))
    };
    let mut rest = text;
    for part in parts {
        let fits = |here: &str| match part.starts_with(|c: char| c.is_ascii_digit()) {
            true => here.bytes().all(|byte| byte.is_ascii_digit()),
            false => here == part,
        };
        match rest.split_at_checked(part.len()).filter(|(here, _)| fits(here)) {
            Some((_, after)) => rest = after,
            None => return wrong(rest, part),
        }
    }
    let fraction =
        rest.strip_prefix(['.', ',']).map_or(rest, |digits| digits.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = fraction.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':'));
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if fraction != "Z" && !offset.is_some_and(|(hours, minutes)| two(hours) && two(minutes)) {
        return wrong(fraction, "Z07:00");
    }
    match parse_rfc3339(text) {
        Ok(_) => None,
        Err(_) => Some(format!("parsing time {text:?}: out of range")),
    }
}

/// The first byte that has no place in base64; the end, if some are missing.
fn wrong_base64(text: &str) -> usize {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\r' | b'\n');
    text.bytes().position(|byte| !known(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::testing::{Made, named};
    use quickcheck::quickcheck;
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
    fn nulls_are_not_there() {
        let check = |kind: &str, mut value: Value, want: Value| {
            prune(Schema::kubernetes(), named(kind), &mut value);
            assert_eq!(value, want);
        };
        check(
            "apps/v1.Deployment",
            json!({"spec": {"replicas": null, "paused": true}}),
            json!({"spec": {"paused": true}}),
        );
        check("core/v1.Pod", json!({"spec": {"containers": [null]}}), json!({"spec": {"containers": [{}]}}));
        check("core/v1.ConfigMap", json!({"data": {"a": null, "b": "x"}}), json!({"data": {"a": "", "b": "x"}}));
        check("apps/v1.ControllerRevision", json!({"data": {"any": null}}), json!({"data": {"any": null}}));
    }

    #[test]
    fn objects_say_their_kind_wherever_they_are() {
        let claim = r#"{"spec":{"volumeClaimTemplates":[{"kind":"PersistentVolumeClaim","apiVersion":"v1","metadata":{"name":"a"}}]}}"#;
        assert_eq!(complaints("apps/v1.StatefulSet", claim), [""; 0]);
        assert_eq!(complaints("policy/v1.Eviction", r#"{"deleteOptions":{"kind":"DeleteOptions"}}"#), [""; 0]);
        assert_eq!(
            complaints("core/v1.Pod", r#"{"Kind":"Pod","metadata":{"kind":"x"}}"#),
            ["unknown field \"Kind\"", "unknown field \"metadata.kind\""]
        );
    }

    #[test]
    fn refusals_read_as_kubernetes_writes_them() {
        let complaints = ["unknown field \"spec.bogusField\"".to_owned(), "unknown field \"x\"".to_owned()];
        assert_eq!(
            message("Deployment", "v1", &complaints),
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.bogusField\", unknown field \"x\""
        );
    }

    #[test]
    fn values_of_another_type_are_told_in_gos_words() {
        let check = |kind: &str, value: Value, want: Option<(&str, &str)>| {
            let kind = Type::Message(named(kind));
            let got = mistyped(Schema::kubernetes(), &kind, &value);
            assert_eq!(got.as_ref().map(|(path, what)| (path.as_str(), what.as_str())), want, "{value}");
        };
        let wrong = |what| Some(("spec.replicas", what));
        check(
            "apps/v1.Deployment",
            json!({"spec": {"replicas": "3"}}),
            wrong("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        );
        check(
            "apps/v1.Deployment",
            json!({"spec": {"replicas": 1.5}}),
            wrong("json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        );
        check(
            "apps/v1.Deployment",
            json!({"spec": {"template": {"spec": {"containers": [{"ports": [{"containerPort": "80"}]}]}}}}),
            Some((
                "spec.template.spec.containers[0].ports[0].containerPort",
                "json: cannot unmarshal string into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32",
            )),
        );
        check(
            "core/v1.Pod",
            json!({"spec": {"containers": {}}}),
            Some((
                "spec.containers",
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            )),
        );
        check(
            "core/v1.Pod",
            json!({"metadata": {"labels": {"a": true}}}),
            Some((
                "metadata.labels.a",
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
            )),
        );
        check("core/v1.Pod", json!([]), Some(("", "json: cannot unmarshal array into Go value of type v1.Pod")));
        check(
            "apps/v1.Deployment",
            json!({"spec": {"replicas": null, "template": {"spec": {"containers": []}}}}),
            None,
        );
        check("core/v1.Secret", json!({"data": {"a": "eA=="}}), None);
        check(
            "core/v1.Secret",
            json!({"data": {"a": "e*A="}}),
            Some(("data.a", "illegal base64 data at input byte 1")),
        );
        let format = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        let quota = |cpu: Value| json!({"spec": {"hard": {"cpu": cpu}}});
        check("core/v1.ResourceQuota", quota(json!("x")), Some(("spec.hard.cpu", format)));
        check("core/v1.ResourceQuota", quota(json!(true)), Some(("spec.hard.cpu", format)));
        check(
            "core/v1.ResourceQuota",
            quota(json!("1mm")),
            Some(("spec.hard.cpu", "unable to parse quantity's suffix")),
        );
        check("core/v1.ResourceQuota", quota(json!(0.5)), None);
        check("core/v1.ResourceQuota", quota(json!(" 1 ")), None);
        check(
            "core/v1.ResourceQuota",
            quota(json!(1e30)),
            Some(("spec.hard.cpu", "unable to parse quantity's suffix")),
        );
        check("core/v1.ServicePort", json!({"targetPort": "http", "port": 80}), None);
        check(
            "core/v1.ServicePort",
            json!({"targetPort": true}),
            Some(("targetPort", "json: cannot unmarshal bool into Go value of type int32")),
        );
        let created = |time: &str| json!({"creationTimestamp": time});
        check("meta/v1.ObjectMeta", created("2026-02-04T13:27:54+02:00"), None);
        check(
            "meta/v1.ObjectMeta",
            created("2026-02-04"),
            Some((
                "creationTimestamp",
                "parsing time \"2026-02-04\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"T\"",
            )),
        );
        check(
            "meta/v1.ObjectMeta",
            created("yesterday"),
            Some((
                "creationTimestamp",
                "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"",
            )),
        );
        check(
            "meta/v1.ObjectMeta",
            created("2026-13-04T13:27:54Z"),
            Some(("creationTimestamp", "parsing time \"2026-13-04T13:27:54Z\": out of range")),
        );
    }

    quickcheck! {
        fn what_the_schema_allows_is_taken(made: Made) -> bool {
            let schema = Schema::kubernetes();
            let text = serde_json::to_vec(&made.value).unwrap();
            check(schema, made.message, &text).unwrap().is_empty()
                && mistyped(schema, &Type::Message(made.message), &made.value).is_none()
        }

        fn pruning_a_second_time_changes_nothing(made: Made) -> bool {
            let schema = Schema::kubernetes();
            let mut once = made.spoilt;
            prune(schema, made.message, &mut once);
            let text = serde_json::to_vec(&once).unwrap();
            let mut twice = once.clone();
            prune(schema, made.message, &mut twice);
            once == twice && (!once.is_object() || check(schema, made.message, &text).unwrap().is_empty())
        }

        fn text_and_value_are_judged_alike(made: Made) -> bool {
            let schema = Schema::kubernetes();
            let text = serde_json::to_vec(&made.spoilt).unwrap();
            let mut told = check(schema, made.message, &text).unwrap();
            let mut seen = Vec::new();
            unknown(schema, made.message, &mut made.spoilt.clone(), &mut |path| {
                seen.push(format!("unknown field \"{path}\""));
                Then::Keep
            });
            told.sort();
            seen.sort();
            told == seen || told.len() == COMPLAINTS_MAX
        }
    }
}
