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
        let message = MessageId((usize::arbitrary(g) % schema.messages.len()) as u32);
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
