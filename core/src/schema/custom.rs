//! The schema of a custom kind: what a definition's `openAPIV3Schema` says, in the form that all other code knows.
//!
//! It says which fields there are, of which type, with which defaults, and who owns what of them. What their values must be
//! beyond that is asked of the definition itself, in [`validate`](super::validate).
//!
//! Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions", specifying a structural
//! schema.

use super::structural::structural;
use super::{Field, ListType, MapType, Message, MessageId, Ownership, Schema, Type};
use crate::api::status::FieldError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The schema of a custom kind, and the message of its objects; what is wrong with it, if it is not structural.
pub fn of(openapi: &Value) -> Result<(Schema, MessageId), Vec<FieldError>> {
    let errors = structural(openapi, "");
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut schema = Schema::default();
    let built_in = Schema::kubernetes();
    let metadata = built_in.named("meta/v1.ObjectMeta").expect("the table has it");
    let metadata = copy(built_in, metadata, &mut schema, &mut BTreeMap::new());
    let mut build = Build { schema, metadata };
    let root = build.message(openapi, "", true);
    Ok((build.schema, root))
}

/// Takes a message, and all that it refers to, into another schema. Those of the metadata do not refer to themselves.
fn copy(from: &Schema, id: MessageId, into: &mut Schema, done: &mut BTreeMap<MessageId, MessageId>) -> MessageId {
    if let Some(there) = done.get(&id) {
        return *there;
    }
    fn moved(from: &Schema, kind: &Type, into: &mut Schema, done: &mut BTreeMap<MessageId, MessageId>) -> Type {
        match kind {
            Type::Message(id) => Type::Message(copy(from, *id, into, done)),
            Type::List(list) => {
                let items = moved(from, &list.items, into, done);
                Type::List(Box::new(ListType { items, ownership: list.ownership.clone() }))
            }
            Type::Map(map) => {
                let values = moved(from, &map.values, into, done);
                Type::Map(Box::new(MapType { values, atomic: map.atomic }))
            }
            other => other.clone(),
        }
    }
    let mut message = from.message(id).clone();
    for field in &mut message.fields {
        field.kind = moved(from, &field.kind, into, done);
    }
    let there = into.add(message);
    done.insert(id, there);
    there
}

struct Build {
    schema: Schema,
    metadata: MessageId,
}

impl Build {
    /// The message of an object with properties. `whole` is an object with metadata of its own.
    fn message(&mut self, openapi: &Value, path: &str, whole: bool) -> MessageId {
        let about = text(openapi, "description").into();
        let open = is(openapi, "x-kubernetes-preserve-unknown-fields");
        let atomic = text(openapi, "x-kubernetes-map-type") == "atomic";
        let mut message =
            Message { name: path.into(), about, fields: Vec::new(), open, atomic, fills: true, ruled: true };
        for (name, property) in openapi.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if whole && name == "metadata" {
                continue;
            }
            let kind = self.kind(property, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") });
            message.fields.push(Field {
                json: (**name).into(),
                pointer: true,
                nullable: is(property, "nullable"),
                default: property.get("default").cloned(),
                about: text(property, "description").into(),
                ..Field::new(kind)
            });
        }
        if whole {
            let about = "Names, identity, versions, ownership.".into();
            message.fields.push(Field { json: "metadata".into(), about, ..Field::new(Type::Message(self.metadata)) });
            message.says_its_kind();
        }
        message.fields.sort_by(|one, other| one.json.cmp(&other.json));
        self.schema.add(message)
    }

    fn kind(&mut self, openapi: &Value, path: &str) -> Type {
        if is(openapi, "x-kubernetes-int-or-string") {
            return Type::IntOrString;
        }
        match text(openapi, "type") {
            "string" => Type::Text(Arc::default()),
            "boolean" => Type::Bool,
            "integer" => Type::Int64,
            "number" => Type::Double,
            "array" => {
                let items = openapi.get("items").map_or(Type::Any, |items| self.kind(items, &format!("{path}[]")));
                let keys = openapi.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
                let ownership = match text(openapi, "x-kubernetes-list-type") {
                    "set" => Ownership::Set,
                    "map" => Ownership::Map(keys.filter_map(Value::as_str).map(Into::into).collect()),
                    _ => Ownership::Atomic,
                };
                Type::List(Box::new(ListType { items, ownership }))
            }
            "object" => {
                let whole = is(openapi, "x-kubernetes-embedded-resource");
                let open = is(openapi, "x-kubernetes-preserve-unknown-fields");
                match openapi.get("additionalProperties") {
                    Some(values) if !whole => {
                        let values =
                            if values.is_object() { self.kind(values, &format!("{path}.*")) } else { Type::Any };
                        let atomic = text(openapi, "x-kubernetes-map-type") == "atomic";
                        Type::Map(Box::new(MapType { values, atomic }))
                    }
                    None if open && !whole && openapi.get("properties").is_none() => Type::Any,
                    _ => Type::Message(self.message(openapi, path, whole)),
                }
            }
            _ => Type::Any,
        }
    }
}

/// The text of one of a schema's words; empty if it is not there.
pub(super) fn text<'a>(openapi: &'a Value, word: &str) -> &'a str {
    openapi.get(word).and_then(Value::as_str).unwrap_or("")
}

/// Whether one of a schema's words is there and true.
pub(super) fn is(openapi: &Value, word: &str) -> bool {
    openapi.get(word) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::complete::complete;
    use crate::schema::strict;
    use crate::schema::testing::{Custom, Made};
    use crate::schema::validate::validate;
    use quickcheck::quickcheck;
    use serde_json::json;

    fn widgets() -> (Schema, MessageId) {
        let port = json!({"type": "object", "properties": {"port": {"type": "integer"}, "name": {"type": "string"},
            "protocol": {"type": "string", "default": "TCP"}}, "required": ["port"]});
        of(&json!({"type": "object", "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer", "default": 3},
                "note": {"type": "string", "nullable": true},
                "ports": {"type": "array", "items": port, "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "max": {"x-kubernetes-int-or-string": true},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "half": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
                "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                    "x-kubernetes-preserve-unknown-fields": true},
                "nothing": {"type": "object"},
            }},
        }}))
        .unwrap()
    }

    #[test]
    fn fields_are_known_and_others_are_pruned() {
        let (schema, widget) = widgets();
        let text = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "nam": "b"},
            "spec": {"siz": 1, "ports": [{"port": 1, "x": 2}], "labels": {"any": "thing"}, "free": {"any": {"thing": 1}},
                "half": {"any": 1, "known": {"a": "x", "b": "y"}}, "nothing": {"x": 1},
                "template": {"kind": "Pod", "metadata": {"name": "a", "y": 1}, "z": 1}}});
        let complaints = strict::check(&schema, widget, text.to_string().as_bytes()).unwrap();
        assert_eq!(
            complaints,
            [
                "metadata.nam",
                "spec.half.known.b",
                "spec.nothing.x",
                "spec.ports[0].x",
                "spec.siz",
                "spec.template.metadata.y"
            ]
            .map(|path| format!("unknown field {path:?}"))
        );
        let mut pruned = text;
        strict::prune(&schema, widget, &mut pruned);
        assert_eq!(
            pruned["spec"],
            json!({"ports": [{"port": 1}], "labels": {"any": "thing"}, "free": {"any": {"thing": 1}},
                "half": {"any": 1, "known": {"a": "x"}}, "nothing": {},
                "template": {"kind": "Pod", "metadata": {"name": "a"}, "z": 1}})
        );
    }

    #[test]
    fn defaults_are_filled_in_where_there_is_an_object() {
        let (schema, widget) = widgets();
        let check = |mut given: Value, want: Value| {
            strict::prune(&schema, widget, &mut given);
            complete(&schema, widget, &mut given);
            assert_eq!(given, want);
        };
        check(json!({}), json!({}));
        check(json!({"spec": {}}), json!({"spec": {"size": 3}}));
        check(
            json!({"spec": {"size": 0, "ports": [{"port": 1}], "note": null, "max": null}}),
            json!({"spec": {"size": 0, "ports": [{"port": 1, "protocol": "TCP"}], "note": null}}),
        );
    }

    #[test]
    fn lists_say_who_owns_what() {
        let (schema, widget) = widgets();
        let Type::Message(spec) = schema.message(widget).field("spec").unwrap().kind else { panic!() };
        let Type::List(ports) = &schema.message(spec).field("ports").unwrap().kind else { panic!() };
        assert_eq!(ports.ownership, Ownership::Map(["port".into(), "protocol".into()].into()));
    }

    #[test]
    fn what_is_not_structural_is_no_schema() {
        let errors = of(&json!({"type": "object", "properties": {"spec": {}}})).unwrap_err();
        assert_eq!(
            errors[0].to_string(),
            "properties[spec].type: Required value: must not be empty for specified object fields"
        );
    }

    quickcheck! {
        fn what_a_schema_allows_is_taken_as_it_is(custom: Custom) -> bool {
            let (schema, id) = of(&custom.openapi).unwrap();
            let text = serde_json::to_vec(&custom.value).unwrap();
            let mut pruned = custom.value.clone();
            strict::prune(&schema, id, &mut pruned);
            strict::check(&schema, id, &text).unwrap().is_empty()
                && pruned == custom.value
                && validate(&custom.openapi, &custom.value).is_empty()
        }

        fn what_is_filled_in_is_allowed_and_is_all(custom: Custom) -> bool {
            let (schema, id) = of(&custom.openapi).unwrap();
            let mut once = custom.value;
            complete(&schema, id, &mut once);
            let mut twice = once.clone();
            complete(&schema, id, &mut twice);
            once == twice && validate(&custom.openapi, &once).is_empty()
        }

        fn no_schema_and_no_value_is_a_panic(openapi: Made, custom: Custom, value: Made) -> bool {
            for openapi in [&openapi.value, &openapi.spoilt, &custom.openapi] {
                let errors = validate(openapi, &value.spoilt);
                // Every error can be told.
                assert!(errors.iter().all(|error| !error.to_string().is_empty()));
                if let Ok((schema, id)) = of(openapi) {
                    let mut value = value.spoilt.clone();
                    strict::prune(&schema, id, &mut value);
                    complete(&schema, id, &mut value);
                }
            }
            true
        }
    }
}
