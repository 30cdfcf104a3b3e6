//! Objects made from the schema, for tests of what holds for all of them.

use super::{MessageId, Schema, Type};
use quickcheck::{Arbitrary, Gen};
use serde_json::{Map, Value, json};

/// A message of the table of Kubernetes.
pub fn named(name: &str) -> MessageId {
    Schema::kubernetes().named(name).unwrap_or_else(|| panic!("{name} is no message"))
}

/// An object that the schema allows.
#[derive(Clone, Debug)]
pub struct Made {
    /// What it is.
    pub message: MessageId,
    /// The object: some of its fields, each with a value of its type.
    pub value: Value,
    /// The same with fields that are none, and with nulls.
    pub spoilt: Value,
}

impl Arbitrary for Made {
    fn arbitrary(g: &mut Gen) -> Self {
        let schema = Schema::kubernetes();
        // Some are schemas of custom kinds, which nest.
        let message = match u8::arbitrary(g) % 8 {
            0 => named("apiextensions/v1.JSONSchemaProps"),
            _ => MessageId((usize::arbitrary(g) % schema.messages.len()) as u32),
        };
        let value = of_type(schema, &Type::Message(message), g, 0);
        let mut spoilt = value.clone();
        spoil(&mut spoilt, g);
        Made { message, value, spoilt }
    }
}

fn of_type(schema: &Schema, kind: &Type, g: &mut Gen, depth: usize) -> Value {
    let pick = |g: &mut Gen, from: &[Value]| g.choose(from).cloned().unwrap();
    match kind {
        Type::Text(words) if words.is_empty() => String::arbitrary(g).into(),
        Type::Text(words) => g.choose(words).unwrap().to_string().into(),
        Type::Bool => bool::arbitrary(g).into(),
        Type::Int32 => i32::arbitrary(g).into(),
        Type::Int64 => i64::arbitrary(g).into(),
        Type::Double => pick(g, &[json!(0.5), json!(-3), json!(1e30)]),
        Type::Bytes => crate::api::base64::encode(&Vec::<u8>::arbitrary(g)).into(),
        Type::Quantity => pick(g, &[json!("100m"), json!("1.5Gi"), json!("-1e3"), json!(2), json!(0.5)]),
        Type::IntOrString => pick(g, &[json!(80), json!(-1), json!("25%"), json!("http")]),
        Type::Time => pick(g, &[json!("2026-02-04T13:27:54Z"), json!("1999-12-31T23:59:59+02:00")]),
        Type::MicroTime => pick(g, &[json!("2026-02-04T13:27:54.000001Z"), json!("2026-02-04T13:27:54Z")]),
        Type::Duration => pick(g, &[json!("30s"), json!("1h0m0.5s")]),
        Type::Any => pick(g, &[json!({"any": [1, null, "x"]}), json!("x"), json!(1)]),
        Type::List(list) => (0..u8::arbitrary(g) % 3).map(|_| of_type(schema, &list.items, g, depth + 1)).collect(),
        Type::Map(map) => {
            let pairs =
                (0..u8::arbitrary(g) % 3).map(|_| (String::arbitrary(g), of_type(schema, &map.values, g, depth + 1)));
            Value::Object(pairs.collect())
        }
        Type::Message(id) => {
            let mut fields = Map::new();
            for field in &schema.message(*id).fields {
                if usize::arbitrary(g) % (2 + depth) == 0 && depth < 10 {
                    fields.insert(field.json.to_string(), of_type(schema, &field.kind, g, depth + 1));
                }
            }
            Value::Object(fields)
        }
    }
}

fn spoil(value: &mut Value, g: &mut Gen) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| spoil(value, g));
            if u8::arbitrary(g) % 4 == 0 {
                fields.insert("notAField".into(), json!({"a": null}));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|value| spoil(value, g)),
        _ => {}
    }
    if u8::arbitrary(g) % 8 == 0 {
        *value = Value::Null;
    }
}

/// A structural schema, and an object that it allows.
#[derive(Clone, Debug)]
pub struct Custom {
    /// The schema.
    pub openapi: Value,
    /// The object.
    pub value: Value,
}

impl Arbitrary for Custom {
    fn arbitrary(g: &mut Gen) -> Self {
        let openapi = object_schema(g, 0);
        let value = allowed(&openapi, g);
        Custom { openapi, value }
    }
}

fn object_schema(g: &mut Gen, depth: usize) -> Value {
    let names = ["a", "b", "spec", "status", "x y"];
    let properties: Map<String, Value> =
        (0..u8::arbitrary(g) % 4).map(|_| (g.choose(&names).unwrap().to_string(), structural(g, depth + 1))).collect();
    let required: Vec<String> = properties.keys().filter(|_| u8::arbitrary(g) % 4 == 0).cloned().collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn structural(g: &mut Gen, depth: usize) -> Value {
    let shallow = depth > 4;
    let mut openapi = match u8::arbitrary(g) % if shallow { 6 } else { 9 } {
        0 => json!({"type": "string", "maxLength": 1000}),
        1 => json!({"type": "integer", "default": 3}),
        2 => json!({"type": "number"}),
        3 => json!({"type": "boolean", "default": true}),
        4 => json!({"x-kubernetes-int-or-string": true}),
        5 => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        6 => json!({"type": "object", "additionalProperties": structural(g, depth + 1)}),
        7 => json!({"type": "array", "items": structural(g, depth + 1)}),
        _ => object_schema(g, depth),
    };
    if u8::arbitrary(g) % 4 == 0 {
        openapi["nullable"] = true.into();
    }
    openapi
}

fn allowed(openapi: &Value, g: &mut Gen) -> Value {
    if openapi["nullable"] == true && u8::arbitrary(g) % 4 == 0 {
        return Value::Null;
    }
    match openapi["type"].as_str() {
        Some("string") => String::arbitrary(g).into(),
        Some("integer") => i32::arbitrary(g).into(),
        Some("number") => (f64::from(i32::arbitrary(g)) / 8.0).into(),
        Some("boolean") => bool::arbitrary(g).into(),
        Some("array") => (0..u8::arbitrary(g) % 3).map(|_| allowed(&openapi["items"], g)).collect(),
        Some("object") => {
            let mut fields = Map::new();
            for (name, property) in openapi["properties"].as_object().into_iter().flatten() {
                let required = openapi["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
                if required || bool::arbitrary(g) {
                    fields.insert(name.clone(), allowed(property, g));
                }
            }
            if let Some(values) = openapi.get("additionalProperties") {
                fields.extend((0..u8::arbitrary(g) % 3).map(|_| (String::arbitrary(g), allowed(values, g))));
            }
            Value::Object(fields)
        }
        _ => g.choose(&[json!(80), json!("http")]).cloned().unwrap(),
    }
}
