//! Bodies that kubectl sends as protobuf, as the JSON that they mean.
//!
//! They are read by the table alone: what a number is called, what type it has, and whether its zero says anything. Go
//! writes every field that is no pointer, so an empty one is what its author left out; filling it in is left to
//! [`complete`](super::complete), as for JSON. Nothing is ever answered in this form.
//!
//! The schemas inside a CustomResourceDefinition have parts that hold one of two things; see [`either`].
//!
//! Source: protobuf.dev, "Encoding"; Kubernetes documentation, "Kubernetes Protobuf encoding".

use super::{Field, MessageId, Schema, Type};
use crate::api::base64;
use crate::api::kinds::Kind;
use crate::api::meta::{MicroTime, Time};
use crate::apiserver::discovery::REVIEWS;
use crate::durations;
use crate::time::{Duration, Wall};
use serde_json::{Map, Number, Value};

/// What such a body begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// Messages are nested no deeper than this; those of Kubernetes end at about 15.
const DEPTH_MAX: usize = 64;

/// The object that a body holds, with `kind` and `apiVersion`; why it cannot be read, if not.
pub fn decode(body: &[u8]) -> Result<Value, String> {
    let envelope = body.strip_prefix(MAGIC).ok_or("the body does not begin with the mark of Kubernetes' protobuf")?;
    let (mut api_version, mut kind, mut raw, mut encoding) = ("", "", &[][..], "");
    for tag in Tags(envelope) {
        match tag? {
            (1, Wire::Bytes(bytes)) => {
                for tag in Tags(bytes) {
                    match tag? {
                        (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(bytes)) => encoding = text(bytes)?,
            _ => {}
        }
    }
    if !encoding.is_empty() {
        return Err(format!("the content encoding {encoding:?} is not known"));
    }
    let id = message_of(api_version, kind)
        .ok_or_else(|| format!("no kind {kind:?} is registered for version {api_version:?} in protobuf"))?;
    let mut object = Map::new();
    read(Schema::kubernetes(), id, &[], raw, DEPTH_MAX, &mut object)?;
    object.insert("kind".into(), kind.into());
    object.insert("apiVersion".into(), api_version.into());
    Ok(Value::Object(object))
}

/// The message that lists the fields of a kind.
///
/// What stands in no table of kinds is looked for beside what does: `policy/v1.Eviction` beside
/// `policy/v1.PodDisruptionBudget`. Options of requests are known in every group.
pub fn message_of(api_version: &str, kind: &str) -> Option<MessageId> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let rows = Kind::rows().flat_map(|(_, row)| {
        let also = row.also.iter().map(|also| (also.group, also.version, row.name, also.message));
        std::iter::once((row.group, row.version, row.name, row.message)).chain(also)
    });
    let reviews = REVIEWS.iter().map(|review| (review.group, "v1", review.kind, review.message));
    let here: Vec<(&str, &str)> = rows
        .chain(reviews)
        .filter(|(of_group, of_version, ..)| (*of_group, *of_version) == (group, version))
        .map(|(_, _, name, message)| (name, message))
        .collect();
    let schema = Schema::kubernetes();
    if let Some((_, message)) = here.iter().find(|(name, _)| *name == kind) {
        return schema.named(message);
    }
    let beside = here.first().and_then(|(_, message)| Some(message.rsplit_once('.')?.0));
    let package = match (kind, group) {
        ("DeleteOptions" | "CreateOptions" | "UpdateOptions" | "PatchOptions" | "GetOptions" | "ListOptions", _)
        | ("Status" | "List", "")
        | (_, "meta.k8s.io") => "meta/v1",
        _ => beside?,
    };
    schema.named(&format!("{package}.{kind}"))
}

/// A field's value as it stands on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

const CUT: &str = "the protobuf message ends too early";

/// The numbers and values of a message, one after the other. After an error nothing follows.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = Result<(u32, Wire<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let tag = self.tag();
        if tag.is_err() {
            self.0 = &[];
        }
        Some(tag)
    }
}

impl<'a> Tags<'a> {
    fn tag(&mut self) -> Result<(u32, Wire<'a>), String> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0 && *number < 1 << 29);
        let number = number.ok_or("a protobuf field has an impossible number")?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| CUT)?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| CUT)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| CUT)?)),
            other => return Err(format!("the protobuf wire type {other} is not known")),
        };
        Ok((number, wire))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or(CUT)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a protobuf number is longer than 64 bits".into())
    }
}

/// Reads a message's fields into `object`. `inside` are the numbers of the inlined messages that `bytes` stand in.
fn read(
    schema: &Schema,
    id: MessageId,
    inside: &[u32],
    bytes: &[u8],
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or("the protobuf message is nested too deep")?;
    let fields = &schema.message(id).fields;
    for tag in Tags(bytes) {
        let (number, wire) = tag?;
        if let Some(field) = fields.iter().find(|field| field.number == number && field.inside == inside) {
            if let (true, Wire::Bytes(bytes)) = (is_either(schema, id, field), wire) {
                let said = either(schema, id, bytes, depth).map_err(|why| format!("{}: {why}", field.json))?;
                object.insert(field.json.to_string(), said);
                continue;
            }
            read_field(schema, field, wire, depth, object).map_err(|why| format!("{}: {why}", field.json))?;
            continue;
        }
        let inlined: Vec<u32> = inside.iter().copied().chain([number]).collect();
        if let (Wire::Bytes(bytes), true) = (wire, fields.iter().any(|field| field.inside.starts_with(&inlined))) {
            read(schema, id, &inlined, bytes, depth, object)?;
        }
    }
    Ok(())
}

/// Whether a field of a custom kind's schema holds a schema or something else.
fn is_either(schema: &Schema, id: MessageId, field: &Field) -> bool {
    let name = &*schema.message(id).name;
    name == "apiextensions/v1.JSONSchemaProps"
        && matches!(&*field.json, "items" | "additionalProperties" | "additionalItems")
}

/// A schema, whether there is anything (1 as a number), or a list of schemas.
///
/// `JSONSchemaPropsOrArray` is {1: schema, 2: schemas}, `JSONSchemaPropsOrBool` is {1: allows, 2: schema}. Both say the
/// same where there is one schema.
fn either(schema: &Schema, id: MessageId, bytes: &[u8], depth: usize) -> Result<Value, String> {
    let mut said = Value::Bool(false);
    for tag in Tags(bytes) {
        match tag? {
            (1, Wire::Varint(allows)) if said.is_boolean() => said = Value::Bool(allows != 0),
            (1 | 2, Wire::Bytes(bytes)) => {
                let mut one = Map::new();
                read(schema, id, &[], bytes, depth, &mut one)?;
                said = match said {
                    Value::Array(mut many) => {
                        many.push(one.into());
                        many.into()
                    }
                    Value::Object(before) => Value::Array(vec![before.into(), one.into()]),
                    _ => one.into(),
                };
            }
            _ => {}
        }
    }
    Ok(said)
}

/// Reads one occurrence of a field. A list grows by it, a message is merged, anything else is replaced.
fn read_field(
    schema: &Schema,
    field: &Field,
    wire: Wire,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), String> {
    match &field.kind {
        Type::List(list) => {
            let items = object.entry(&*field.json).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(items) = items else { return Err("it is no list".into()) };
            match (&list.items, wire) {
                // Numbers may be packed.
                (Type::Int32 | Type::Int64 | Type::Bool, Wire::Bytes(bytes)) => {
                    let mut rest = Tags(bytes);
                    while !rest.0.is_empty() {
                        let number = Wire::Varint(rest.varint()?);
                        items.extend(value(schema, &list.items, number, depth)?);
                    }
                }
                _ => items.push(value(schema, &list.items, wire, depth)?.unwrap_or(Value::Null)),
            }
        }
        Type::Map(map) => {
            let Wire::Bytes(bytes) = wire else { return Err(WRONG.into()) };
            let (mut key, mut of) = ("", None);
            for tag in Tags(bytes) {
                match tag? {
                    (1, Wire::Bytes(bytes)) => key = text(bytes)?,
                    (2, wire) => of = value(schema, &map.values, wire, depth)?,
                    _ => {}
                }
            }
            let of = of.or_else(|| zero(&map.values)).unwrap_or(Value::Null);
            let entries = object.entry(&*field.json).or_insert_with(|| Value::Object(Map::new()));
            entries.as_object_mut().ok_or("it is no map")?.insert(key.into(), of);
        }
        Type::Message(id) => {
            let Wire::Bytes(bytes) = wire else { return Err(WRONG.into()) };
            let mut fields = match object.remove(&*field.json) {
                Some(Value::Object(before)) => before,
                _ => Map::new(),
            };
            read(schema, *id, &[], bytes, depth, &mut fields)?;
            if field.pointer || field.required || !fields.is_empty() {
                object.insert(field.json.to_string(), Value::Object(fields));
            }
        }
        kind => match value(schema, kind, wire, depth)? {
            Some(said) if field.pointer || !says_nothing(field, &said) => {
                object.insert(field.json.to_string(), said);
            }
            // There, though it says nothing: `subresources.status` of a definition.
            None if field.pointer && *kind == Type::Any => {
                object.insert(field.json.to_string(), Value::Object(Map::new()));
            }
            _ => {
                object.remove(&*field.json);
            }
        },
    }
    Ok(())
}

/// Whether a field that is no pointer was left out by its author. A number that must be there is never left out: a
/// priority of 0 is one.
fn says_nothing(field: &Field, value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(said) => !said && !field.required,
        Value::Number(number) => number.as_f64() == Some(0.0) && !field.required,
        Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    }
}

const WRONG: &str = "it is of another protobuf type";

/// A value that is no field of its own. Absent if it is what Go writes for nothing.
fn value(schema: &Schema, kind: &Type, wire: Wire, depth: usize) -> Result<Option<Value>, String> {
    Ok(Some(match (kind, wire) {
        (Type::Bool, Wire::Varint(number)) => Value::Bool(number != 0),
        // Negative ones are written as if they had 64 bits.
        #[allow(clippy::cast_possible_truncation)]
        (Type::Int32, Wire::Varint(number)) => Value::from(number.cast_signed() as i32),
        (Type::Int64, Wire::Varint(number)) => Value::from(number.cast_signed()),
        (Type::Double, Wire::Fixed64(bits)) => {
            Value::Number(Number::from_f64(f64::from_bits(bits)).ok_or("it is no finite number")?)
        }
        (Type::Double, Wire::Fixed32(bits)) => {
            Value::Number(Number::from_f64(f32::from_bits(bits).into()).ok_or("it is no finite number")?)
        }
        (Type::Text(_), Wire::Bytes(bytes)) => text(bytes)?.into(),
        (Type::Bytes, Wire::Bytes(bytes)) => base64::encode(bytes).into(),
        (Type::Quantity, Wire::Bytes(bytes)) => text(nested_bytes(bytes, 1)?.unwrap_or_default())?.into(),
        (Type::Any, Wire::Bytes(bytes)) => match nested_bytes(bytes, 1)? {
            Some(raw) if !raw.is_empty() => serde_json::from_slice(raw).map_err(|why| why.to_string())?,
            _ => return Ok(None),
        },
        (Type::IntOrString, Wire::Bytes(bytes)) => {
            let [kind, number] = nested_numbers(bytes, [1, 2])?;
            match kind {
                #[allow(clippy::cast_possible_truncation)]
                0 => Value::from(number as i32),
                _ => text(nested_bytes(bytes, 3)?.unwrap_or_default())?.into(),
            }
        }
        (Type::Time | Type::MicroTime, Wire::Bytes([])) => return Ok(None),
        (Type::Time, Wire::Bytes(bytes)) => Time::of(wall(bytes)?).to_string().into(),
        (Type::MicroTime, Wire::Bytes(bytes)) => MicroTime::of(wall(bytes)?).to_string().into(),
        (Type::Duration, Wire::Bytes(bytes)) => {
            let [nanos] = nested_numbers(bytes, [1])?;
            let sign = if nanos < 0 { "-" } else { "" };
            format!("{sign}{}", durations::text(Duration::from_nanos(nanos.unsigned_abs()))).into()
        }
        (Type::Message(id), Wire::Bytes(bytes)) => {
            let mut fields = Map::new();
            read(schema, *id, &[], bytes, depth, &mut fields)?;
            Value::Object(fields)
        }
        // A list inside a list or map is a message that holds one.
        (Type::List(list), Wire::Bytes(bytes)) => {
            let depth = depth.checked_sub(1).ok_or("the protobuf message is nested too deep")?;
            let mut items = Vec::new();
            for tag in Tags(bytes) {
                if let (1, wire) = tag? {
                    items.extend(value(schema, &list.items, wire, depth)?);
                }
            }
            Value::Array(items)
        }
        _ => return Err(WRONG.into()),
    }))
}

/// What a map's value is that its entry leaves out.
fn zero(kind: &Type) -> Option<Value> {
    match kind {
        Type::Text(_) | Type::Bytes => Some("".into()),
        Type::Bool => Some(false.into()),
        Type::Int32 | Type::Int64 => Some(0.into()),
        Type::List(_) => Some(Value::Array(Vec::new())),
        Type::Message(_) => Some(Value::Object(Map::new())),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a text is not in UTF-8".into())
}

/// The last occurrence of a field of bytes.
fn nested_bytes(bytes: &[u8], wanted: u32) -> Result<Option<&[u8]>, String> {
    let mut found = None;
    for tag in Tags(bytes) {
        match tag? {
            (number, Wire::Bytes(bytes)) if number == wanted => found = Some(bytes),
            (number, _) if number == wanted => return Err(WRONG.into()),
            _ => {}
        }
    }
    Ok(found)
}

/// Fields of a message that holds numbers; 0 where there is none.
fn nested_numbers<const N: usize>(bytes: &[u8], wanted: [u32; N]) -> Result<[i64; N], String> {
    let mut found = [0; N];
    for tag in Tags(bytes) {
        if let (number, Wire::Varint(value)) = tag?
            && let Some(at) = wanted.iter().position(|wanted| *wanted == number)
        {
            found[at] = value.cast_signed();
        }
    }
    Ok(found)
}

/// A time as Kubernetes writes it: seconds since 1970, and nanoseconds.
fn wall(bytes: &[u8]) -> Result<Wall, String> {
    let [secs, nanos] = nested_numbers(bytes, [1, 2])?;
    let nanos = secs.checked_mul(1_000_000_000).and_then(|all| all.checked_add(nanos));
    nanos.map(Wall::from_nanos).ok_or_else(|| "the time is out of range".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::property;
    use quickcheck::{Arbitrary, Gen};
    use serde_json::json;

    macro_rules! bodies {
        ($($name:literal),+) => {
            [$(($name, include_bytes!(concat!("testdata/", $name, ".pb")), include_str!(concat!("testdata/", $name, ".json")))),+]
        };
    }

    /// What kubectl 1.32 sent for `kubectl create NAME …`, and what it prints of it with `--dry-run=client -o json`,
    /// less what is empty there.
    const BODIES: &[(&str, &[u8], &str)] = &bodies!(
        "autoscale",
        "cani",
        "clusterrole",
        "clusterrolebinding",
        "configmap",
        "cronjob",
        "deployment",
        "ingress",
        "job",
        "namespace",
        "pdb",
        "priorityclass",
        "quota",
        "role",
        "secret",
        "service",
        "serviceaccount",
        "token"
    );

    #[test]
    fn bodies_of_kubectl_are_read() {
        for (name, body, want) in BODIES {
            let want: Value = serde_json::from_str(want).unwrap();
            assert_eq!(decode(body), Ok(want), "{name}");
        }
    }

    #[test]
    fn messages_are_found_by_kind() {
        let check = |api_version: &str, kind: &str, want: Option<&str>| {
            let found = message_of(api_version, kind).map(|id| &*Schema::kubernetes().message(id).name);
            assert_eq!(found, want, "{api_version} {kind}");
        };
        check("v1", "Pod", Some("core/v1.Pod"));
        check("autoscaling/v1", "HorizontalPodAutoscaler", Some("autoscaling/v1.HorizontalPodAutoscaler"));
        check("autoscaling/v1", "Scale", Some("autoscaling/v1.Scale"));
        check("policy/v1", "Eviction", Some("policy/v1.Eviction"));
        check("policy/v1", "DeleteOptions", Some("meta/v1.DeleteOptions"));
        check("authentication.k8s.io/v1", "TokenRequest", Some("authentication/v1.TokenRequest"));
        check("authorization.k8s.io/v1", "SelfSubjectAccessReview", Some("authorization/v1.SelfSubjectAccessReview"));
        check("events.k8s.io/v1", "Event", Some("events/v1.Event"));
        check("apps/v2", "Deployment", None);
        check("apps.example.com/v1", "Deployment", None);
        check("v1", "Nothing", None);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let check = |raw: &[u8], want: &str| {
            let body = enveloped("v1", "Pod", raw);
            let why = decode(&body).expect_err(want);
            assert!(why.contains(want), "{why}");
        };
        check(&[0x0a], "ends too early");
        check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "longer than 64 bits");
        check(&[0x0b], "wire type 3");
        check(&[0x00], "impossible number");
        check(&[0x08, 1], "metadata: it is of another protobuf type");
        check(&[0x0a, 3, 0x0a, 1, 0xff], "metadata: name: a text is not in UTF-8");
        assert!(decode(b"{}").unwrap_err().contains("does not begin"));
        assert!(decode(&enveloped("v1", "Podd", &[])).unwrap_err().contains("\"Podd\""));
        let mut nested = Vec::new();
        for _ in 0..200 {
            nested = field(28, &nested); // not
        }
        let schema = field(2, &field(7, &field(4, &field(1, &nested))));
        let why = decode(&enveloped("apiextensions.k8s.io/v1", "CustomResourceDefinition", &schema)).unwrap_err();
        assert!(why.contains("nested too deep"), "{why}");
    }

    #[test]
    fn what_goes_around_a_value_is_taken_off() {
        // kubectl scale sends JSON, but programs in Go may not: unknown numbers, negative ones, packed and merged parts.
        let id = Schema::kubernetes().named("core/v1.Probe").unwrap();
        let http = field(1, &field(2, &field(2, &[&[0x08, 1][..], &field(3, b"http")].concat())));
        let path = field(1, &field(2, &field(1, b"/ready")));
        let negative = [0x10, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let unknown = field(1000, b"x");
        let bytes = [&http[..], &path, &negative, &unknown].concat();
        let mut object = Map::new();
        read(Schema::kubernetes(), id, &[], &bytes, DEPTH_MAX, &mut object).unwrap();
        let want = json!({"httpGet": {"port": "http", "path": "/ready"}, "initialDelaySeconds": -3});
        assert_eq!(Value::Object(object), want);
    }

    #[test]
    fn schemas_of_custom_kinds_are_read() {
        let kind = |name: &str| field(5, name.as_bytes());
        let list = |inner: &[u8]| [kind("array"), field(24, inner)].concat();
        let property = |name: &str, schema: &[u8]| field(29, &[field(1, name.as_bytes()), field(2, schema)].concat());
        let openapi = [
            kind("object"),
            property("list", &list(&field(1, &kind("string")))),
            property("lists", &list(&[field(2, &kind("string")), field(2, &kind("integer"))].concat())),
            property("map", &[kind("object"), field(30, &[number(1, 1), field(2, &kind("string"))].concat())].concat()),
            property("any", &[kind("object"), field(30, &number(1, 1))].concat()),
            property("size", &[kind("integer"), field(8, &field(1, b"3"))].concat()),
        ];
        let subresources = field(1, &[]);
        let version =
            [field(1, b"v1"), number(2, 1), field(4, &field(1, &openapi.concat())), field(5, &subresources)].concat();
        let body = enveloped("apiextensions.k8s.io/v1", "CustomResourceDefinition", &field(2, &field(7, &version)));
        let read = decode(&body).unwrap();
        assert_eq!(
            read["spec"]["versions"],
            json!([{"name": "v1", "served": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "list": {"type": "array", "items": {"type": "string"}},
                    "lists": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
                    "map": {"type": "object", "additionalProperties": {"type": "string"}},
                    "any": {"type": "object", "additionalProperties": true},
                    "size": {"type": "integer", "default": 3},
                },
            }}}])
        );
    }

    #[test]
    fn what_is_written_is_read() {
        property("an encoded object is the object again, whether Go's zeros are written or not", |any| {
            let names: Vec<&str> = Kind::rows().map(|(_, row)| row.message).filter(|name| !name.is_empty()).collect();
            let name = names[usize::arbitrary(any) % names.len()];
            let schema = Schema::kubernetes();
            let id = schema.named(name).unwrap();
            let says_kind = |field: &Field| matches!(&*field.json, "kind" | "apiVersion");
            if schema.message(id).fields.iter().any(|field| field.number == 0 && !says_kind(field)) {
                return;
            }
            let object = some_message(schema, id, any, 7);
            for zeros in [false, true] {
                let mut bytes = Vec::new();
                encode(schema, id, &[], &object, zeros, 9, &mut bytes);
                let mut again = Map::new();
                read(schema, id, &[], &bytes, DEPTH_MAX, &mut again).unwrap();
                assert_eq!(again, object, "{name}, zeros {zeros}");
            }
        });
    }

    #[test]
    fn nothing_that_is_sent_is_a_panic() {
        property("random bytes, and bodies of kubectl with random bytes in them, are read or refused", |any| {
            let kinds: Vec<_> = Kind::rows().map(|(_, row)| (row.api_version(), row.name)).collect();
            let (api_version, kind) = &kinds[usize::arbitrary(any) % kinds.len()];
            let _ = decode(&enveloped(api_version, kind, &Vec::<u8>::arbitrary(any)));
            let _ = decode(&[MAGIC, &Vec::<u8>::arbitrary(any)].concat());
            let mut body = BODIES[usize::arbitrary(any) % BODIES.len()].1.to_vec();
            for _ in 0..4 {
                let at = usize::arbitrary(any) % body.len();
                body[at] = u8::arbitrary(any);
            }
            let _ = decode(&body);
            body.truncate(usize::arbitrary(any) % body.len());
            let _ = decode(&body);
        });
    }

    fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let head = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &head), &field(2, raw)].concat()
    }

    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        varint(u64::from(number) << 3 | 2, &mut out);
        varint(bytes.len() as u64, &mut out);
        out.extend(bytes);
        out
    }

    fn number(number: u32, value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        varint(u64::from(number) << 3, &mut out);
        varint(value.cast_unsigned(), &mut out);
        out
    }

    fn varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        out.push(value.to_le_bytes()[0]);
    }

    /// An object of which nothing is lost on the way: no empty parts that are no pointers.
    fn some_message(schema: &Schema, id: MessageId, any: &mut Gen, depth: usize) -> Map<String, Value> {
        let mut object = Map::new();
        for field in schema.message(id).fields.iter().filter(|field| field.number > 0 && !is_either(schema, id, field))
        {
            // A required message is written even if it is empty, and a required number even if it is 0.
            let must =
                field.required && matches!(field.kind, Type::Message(_) | Type::Int32 | Type::Int64 | Type::Bool);
            if !must && u8::arbitrary(any) % 3 != 0 {
                continue;
            }
            if let Some(value) = some_value(schema, &field.kind, any, depth, must)
                && (must || field.pointer || !says_nothing(field, &value) && value != json!({}))
            {
                object.insert(field.json.to_string(), value);
            }
        }
        object
    }

    fn some_value(schema: &Schema, kind: &Type, any: &mut Gen, depth: usize, must: bool) -> Option<Value> {
        if depth == 0 && (!must || matches!(kind, Type::Message(_))) {
            return must.then(|| json!({}));
        }
        let few = |any: &mut Gen| 1 + usize::arbitrary(any) % 2;
        Some(match kind {
            Type::Text(_) => String::arbitrary(any).into(),
            Type::Bool => bool::arbitrary(any).into(),
            Type::Int32 => i32::arbitrary(any).into(),
            Type::Int64 => i64::arbitrary(any).into(),
            Type::Double => (f64::from(i32::arbitrary(any)) / 8.0).into(),
            Type::Bytes => base64::encode(&Vec::<u8>::arbitrary(any)).into(),
            Type::Quantity => format!("{}m", u16::arbitrary(any)).into(),
            Type::IntOrString => match bool::arbitrary(any) {
                true => i32::arbitrary(any).into(),
                false => String::arbitrary(any).into(),
            },
            Type::Time => Time::of(Wall::from_secs(i32::arbitrary(any).into())).to_string().into(),
            Type::MicroTime => {
                MicroTime::of(Wall::from_nanos(i64::from(i32::arbitrary(any)) * 1_000)).to_string().into()
            }
            Type::Duration => durations::text(Duration::from_nanos(u32::arbitrary(any).into())).into(),
            Type::Any => json!({"any": u8::arbitrary(any)}),
            Type::Message(id) => Value::Object(some_message(schema, *id, any, depth - 1)),
            Type::Map(map) => Value::Object(
                (0..few(any))
                    .filter_map(|_| {
                        Some((String::arbitrary(any), some_value(schema, &map.values, any, depth - 1, false)?))
                    })
                    .collect::<Map<_, _>>(),
            )
            .as_object()
            .filter(|map| !map.is_empty())
            .map(|map| Value::Object(map.clone()))?,
            Type::List(list) => {
                let items: Vec<Value> =
                    (0..few(any)).filter_map(|_| some_value(schema, &list.items, any, depth - 1, false)).collect();
                if items.is_empty() {
                    return None;
                }
                items.into()
            }
        })
    }

    /// Writes a message as Go does if `zeros`, and as short as can be if not.
    fn encode(
        schema: &Schema,
        id: MessageId,
        inside: &[u32],
        object: &Map<String, Value>,
        zeros: bool,
        depth: usize,
        out: &mut Vec<u8>,
    ) {
        if depth == 0 {
            return;
        }
        let mut inlined: Vec<u32> = Vec::new();
        for one in schema.message(id).fields.iter().filter(|one| one.number > 0 && !is_either(schema, id, one)) {
            if one.inside != inside {
                if let Some(rest) = one.inside.strip_prefix(inside)
                    && !inlined.contains(&rest[0])
                {
                    inlined.push(rest[0]);
                }
                continue;
            }
            match (&one.kind, object.get(&*one.json)) {
                (Type::List(list), Some(Value::Array(items))) => {
                    for item in items {
                        out.extend(encoded(schema, &list.items, one.number, Some(item), zeros, depth));
                    }
                }
                (Type::Map(map), Some(Value::Object(entries))) => {
                    for (key, value) in entries {
                        let value = encoded(schema, &map.values, 2, Some(value), zeros, depth);
                        out.extend(field(one.number, &[field(1, key.as_bytes()), value].concat()));
                    }
                }
                (Type::List(_) | Type::Map(_), _) => {}
                (kind, Some(value)) => out.extend(encoded(schema, kind, one.number, Some(value), zeros, depth)),
                (kind, None) if zeros && !one.pointer && !one.required => {
                    out.extend(encoded(schema, kind, one.number, None, zeros, depth));
                }
                (_, None) => {}
            }
        }
        for outer in inlined {
            let mut inner = Vec::new();
            encode(schema, id, &[inside, &[outer]].concat(), object, zeros, depth, &mut inner);
            if zeros || !inner.is_empty() {
                out.extend(field(outer, &inner));
            }
        }
    }

    fn encoded(schema: &Schema, kind: &Type, at: u32, value: Option<&Value>, zeros: bool, depth: usize) -> Vec<u8> {
        let text = value.and_then(Value::as_str).unwrap_or("");
        let integer = value.and_then(Value::as_i64).unwrap_or(0);
        let time = |text: &str| match text {
            "" => Vec::new(),
            _ => {
                let nanos = crate::api::meta::parse_rfc3339(text).unwrap().nanos();
                let (secs, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
                [number(1, secs), number(2, nanos)].concat()
            }
        };
        match kind {
            Type::Text(_) => field(at, text.as_bytes()),
            Type::Bytes => field(at, &base64::decode(text).unwrap()),
            Type::Bool => number(at, value.and_then(Value::as_bool).unwrap_or(false).into()),
            Type::Int32 | Type::Int64 => number(at, integer),
            Type::Double => {
                let mut out = Vec::new();
                varint(u64::from(at) << 3 | 1, &mut out);
                out.extend(value.and_then(Value::as_f64).unwrap_or(0.0).to_le_bytes());
                out
            }
            Type::Quantity => field(at, &field(1, text.as_bytes())),
            Type::IntOrString => {
                let of_text = value.is_some_and(Value::is_string);
                let inner = [number(1, of_text.into()), number(2, integer), field(3, text.as_bytes())];
                field(at, &inner.concat())
            }
            Type::Time | Type::MicroTime => field(at, &time(text)),
            Type::Duration => {
                let nanos = durations::parse(text).unwrap().as_nanos();
                field(at, &number(1, i64::try_from(nanos).unwrap()))
            }
            Type::Any => match value {
                Some(value) => field(at, &field(1, value.to_string().as_bytes())),
                None => field(at, &[]),
            },
            Type::Message(id) => {
                let mut inner = Vec::new();
                let nothing = Map::new();
                let object = value.and_then(Value::as_object).unwrap_or(&nothing);
                encode(schema, *id, &[], object, zeros, depth - 1, &mut inner);
                field(at, &inner)
            }
            Type::List(list) => {
                let items = value.and_then(Value::as_array).into_iter().flatten();
                let items: Vec<u8> =
                    items.flat_map(|item| encoded(schema, &list.items, 1, Some(item), zeros, depth)).collect();
                field(at, &items)
            }
            Type::Map(_) => unreachable!("no map stands in a list or map"),
        }
    }
}
