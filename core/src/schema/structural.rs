//! Which schemas a definition may have: only structural ones, which say of each field that they name what it is.
//!
//! Expressions (`x-kubernetes-validations`) are refused: nothing here evaluates them, and objects that they forbid must not
//! be stored.
//!
//! Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions", specifying a structural
//! schema; `k8s.io/apiextensions-apiserver/pkg/apiserver/schema`, `ValidateStructural`.

use super::custom::{is, text};
use super::validate::validate;
use crate::api::status::FieldError;
use regex_lite::Regex;
use serde_json::{Map, Value};

/// Schemas are nested no deeper: each level of an object takes two of JSON's.
const DEPTH_MAX: usize = 60;

/// What is wrong with an `openAPIV3Schema`; paths begin with `path`, for example
/// `spec.versions[0].schema.openAPIV3Schema`.
pub fn structural(openapi: &Value, path: &str) -> Vec<FieldError> {
    let mut look = Look { path: path.to_owned(), errors: Vec::new() };
    if super::depth(openapi) > super::DEPTH_MAX {
        look.errors.push(FieldError::forbidden(path, "it is nested too deep"));
        return look.errors;
    }
    match text(openapi, "type") {
        "" => look.error("type", |path| FieldError::required(path, "must not be empty at the root")),
        "object" => {}
        other => look.error("type", |path| FieldError::invalid(path, other, "must be object at the root")),
    }
    look.node(openapi, Place::Root, 0);
    look.errors
}

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Field,
    Item,
    /// Below `allOf`, `anyOf`, `oneOf` or `not`: there values are judged, not named.
    Judged,
}

/// What structural schemas leave out everywhere, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("$ref", "$ref is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("id", "id is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("x-kubernetes-validations", "expressions (CEL) are not supported by this server"),
];

/// What is said of fields where they are named, and not where their values are judged.
const NAMING: &[&str] = &[
    "additionalProperties",
    "default",
    "description",
    "nullable",
    "title",
    "type",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
];

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

struct Look {
    path: String,
    errors: Vec<FieldError>,
}

impl Look {
    fn error(&mut self, word: &str, error: impl FnOnce(String) -> FieldError) {
        let dot = if self.path.is_empty() || word.is_empty() { "" } else { "." };
        self.errors.push(error(format!("{}{dot}{word}", self.path)));
    }

    fn below(&mut self, step: String, openapi: &Value, place: Place, depth: usize) {
        let end = self.path.len();
        let dot = if end == 0 { "" } else { "." };
        self.path.push_str(&format!("{dot}{step}"));
        self.node(openapi, place, depth + 1);
        self.path.truncate(end);
    }

    fn node(&mut self, openapi: &Value, place: Place, depth: usize) {
        if depth > DEPTH_MAX {
            return self.error("", |path| FieldError::forbidden(path, "it is nested too deep"));
        }
        let Value::Object(words) = openapi else {
            return self.error("", |path| FieldError::invalid(path, openapi.to_string(), "must be a schema"));
        };
        let said = |word: &str| words.get(word).filter(|value| says_something(value));
        for (word, why) in FORBIDDEN.iter().filter(|(word, _)| said(word).is_some()) {
            self.error(word, |path| FieldError::forbidden(path, *why));
        }
        if is(openapi, "uniqueItems") {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.error("uniqueItems", |path| FieldError::forbidden(path, why));
        }
        if let Some(pattern) = said("pattern").and_then(Value::as_str)
            && let Err(why) = Regex::new(pattern)
        {
            let why = format!("must be a valid regular expression, but isn't: {why}");
            self.error("pattern", |path| FieldError::invalid(path, pattern, why));
        }
        if place == Place::Judged {
            for word in NAMING.iter().filter(|word| said(word).is_some() && !is_int_or_string(word, openapi)) {
                self.error(word, |path| FieldError::forbidden(path, "must be empty to be structural"));
            }
        } else {
            self.named(openapi, words, place);
        }
        self.inner(words, place, depth);
    }

    /// What must be said of a field or an item.
    fn named(&mut self, openapi: &Value, words: &Map<String, Value>, place: Place) {
        let kind = text(openapi, "type");
        let either = is(openapi, "x-kubernetes-int-or-string");
        let open = is(openapi, "x-kubernetes-preserve-unknown-fields");
        match kind {
            "" if either || open || place == Place::Root => {}
            "" => {
                let of = if place == Place::Item { "array items" } else { "object fields" };
                let why = format!("must not be empty for specified {of}");
                self.error("type", |path| FieldError::required(path, why));
            }
            kind if either => {
                let why = "must be empty if x-kubernetes-int-or-string is true";
                self.error("type", |path| FieldError::invalid(path, kind, why));
            }
            kind if !TYPES.contains(&kind) => {
                self.error("type", |path| FieldError::not_supported(path, kind, TYPES.iter().map(ToString::to_string)));
            }
            _ => {}
        }
        if words.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            self.error("x-kubernetes-preserve-unknown-fields", |path| {
                FieldError::invalid(path, false, "must be true or undefined")
            });
        }
        if words.contains_key("properties") && words.contains_key("additionalProperties") {
            let why = "additionalProperties and properties are mutual exclusive";
            self.error("additionalProperties", |path| FieldError::forbidden(path, why));
        }
        if words.get("additionalProperties") == Some(&Value::Bool(false)) {
            let why = "additionalProperties cannot be set to false";
            self.error("additionalProperties", |path| FieldError::forbidden(path, why));
        }
        if is(openapi, "x-kubernetes-embedded-resource") {
            if kind != "object" {
                let why = "must be object if x-kubernetes-embedded-resource is true";
                self.error("type", |path| FieldError::invalid(path, kind, why));
            }
            if !open && !words.contains_key("properties") {
                let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
                self.error("properties", |path| FieldError::required(path, why));
            }
        }
        if place == Place::Root {
            self.metadata(openapi);
        }
        if kind == "array" && !words.contains_key("items") {
            self.error("items", |path| FieldError::required(path, "must be specified"));
        }
        self.ownership(openapi, kind);
        if let Some(default) = words.get("default") {
            let end = self.path.len();
            self.path.push_str(if end == 0 { "default" } else { ".default" });
            let wrong = validate(openapi, default);
            self.errors.extend(wrong.into_iter().map(|error| {
                let dot = if error.field.is_empty() || error.field.starts_with('[') { "" } else { "." };
                FieldError { field: format!("{}{dot}{}", self.path, error.field), kind: error.kind }
            }));
            self.path.truncate(end);
        }
    }

    /// The metadata is the same for all kinds; only names may be told more of.
    fn metadata(&mut self, openapi: &Value) {
        let Some(Value::Object(metadata)) = openapi.pointer("/properties/metadata") else { return };
        let properties = metadata.get("properties").and_then(Value::as_object);
        let others = properties.is_some_and(|all| all.keys().any(|name| name != "name" && name != "generateName"));
        if others || metadata.keys().any(|word| !matches!(&**word, "type" | "properties" | "description")) {
            let why =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.error("properties[metadata]", |path| FieldError::forbidden(path, why));
        }
    }

    /// How a list or a map is owned.
    fn ownership(&mut self, openapi: &Value, kind: &str) {
        let (list, map) = ("x-kubernetes-list-type", "x-kubernetes-map-type");
        let of_list = text(openapi, list);
        let keys = openapi.get("x-kubernetes-list-map-keys").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if !of_list.is_empty() && kind != "array" {
            let why = format!("must be array if {list} is specified");
            self.error("type", |path| FieldError::invalid(path, kind, why));
        }
        match of_list {
            "" | "atomic" | "set" if !keys.is_empty() => {
                let why = "must be map if x-kubernetes-list-map-keys is non-empty";
                self.error(list, |path| FieldError::invalid(path, of_list, why));
            }
            "" | "atomic" | "set" => {}
            "map" if keys.is_empty() => {
                let why = format!("must not be empty if {list} is map");
                self.error("x-kubernetes-list-map-keys", |path| FieldError::required(path, why));
            }
            "map" => self.keys(openapi, keys),
            other => {
                let words = ["atomic", "map", "set"].map(String::from);
                self.error(list, |path| FieldError::not_supported(path, other, words));
            }
        }
        match text(openapi, map) {
            "" => {}
            "atomic" | "granular" if kind != "object" => {
                let why = format!("must be object if {map} is specified");
                self.error("type", |path| FieldError::invalid(path, kind, why));
            }
            "atomic" | "granular" => {}
            other => {
                let words = ["atomic", "granular"].map(String::from);
                self.error(map, |path| FieldError::not_supported(path, other, words));
            }
        }
    }

    /// The keys of a list must be fields of its items that hold one value each, and are there.
    fn keys(&mut self, openapi: &Value, keys: &[Value]) {
        let items = openapi.get("items").unwrap_or(&Value::Null);
        let required = items.get("required").and_then(Value::as_array);
        for (nth, key) in keys.iter().enumerate() {
            let at = format!("x-kubernetes-list-map-keys[{nth}]");
            let name = key.as_str().unwrap_or("");
            let Some(property) = items.get("properties").and_then(|all| all.get(name)) else {
                let why = "entries must all be names of item properties";
                self.error(&at, |path| FieldError::invalid(path, name, why));
                continue;
            };
            if matches!(text(property, "type"), "object" | "array") {
                let step = format!("items.properties[{name}].type");
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                self.error(&step, |path| FieldError::invalid(path, text(property, "type"), why));
            }
            if property.get("default").is_none() && !required.is_some_and(|all| all.contains(key)) {
                let step = format!("items.properties[{name}].default");
                let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                self.error(&step, |path| FieldError::required(path, why));
            }
        }
    }

    /// The schemas inside this one.
    fn inner(&mut self, words: &Map<String, Value>, place: Place, depth: usize) {
        let within = |named: Place| if place == Place::Judged { Place::Judged } else { named };
        if let Some(properties) = words.get("properties") {
            let Value::Object(properties) = properties else {
                return self.error("properties", |path| {
                    FieldError::invalid(path, properties.to_string(), "must be schemas by name")
                });
            };
            for (name, property) in properties {
                self.below(format!("properties[{name}]"), property, within(Place::Field), depth);
            }
        }
        match words.get("additionalProperties") {
            None | Some(Value::Bool(_)) => {}
            Some(values) => self.below("additionalProperties".into(), values, within(Place::Field), depth),
        }
        match words.get("items") {
            None => {}
            Some(Value::Array(_)) => {
                self.error("items", |path| {
                    FieldError::forbidden(path, "items must be a schema object and not an array")
                });
            }
            Some(items) => self.below("items".into(), items, within(Place::Item), depth),
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            match words.get(word) {
                None => {}
                Some(Value::Array(schemas)) => {
                    for (nth, schema) in schemas.iter().enumerate() {
                        self.below(format!("{word}[{nth}]"), schema, Place::Judged, depth);
                    }
                }
                Some(other) => {
                    self.error(word, |path| FieldError::invalid(path, other.to_string(), "must be a list of schemas"))
                }
            }
        }
        if let Some(schema) = words.get("not") {
            self.below("not".into(), schema, Place::Judged, depth);
        }
    }
}

/// Empty words say nothing: Go writes some of them all the same.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// `anyOf: [{type: integer}, {type: string}]` is how generators write an integer or a string; Kubernetes takes it.
fn is_int_or_string(word: &str, openapi: &Value) -> bool {
    word == "type"
        && openapi.as_object().is_some_and(|words| words.len() == 1)
        && matches!(text(openapi, "type"), "integer" | "string")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: Value, want: &[&str]) {
        let errors = structural(&json!({"type": "object", "properties": {"spec": spec}}), "schema");
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let want: Vec<String> = want.iter().map(|error| format!("schema.properties[spec]{error}")).collect();
        assert_eq!(errors, want);
    }

    #[test]
    fn what_is_structural_passes() {
        check(json!({"type": "object"}), &[]);
        check(json!({"x-kubernetes-preserve-unknown-fields": true}), &[]);
        check(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}), &[]);
        check(json!({"type": "string", "enum": ["a"], "pattern": "^[a-z]+$", "default": "a"}), &[]);
        check(json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}), &[]);
        check(
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"not": {"required": ["a"]}}]}),
            &[],
        );
        let item = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
        check(
            json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
            &[],
        );
    }

    #[test]
    fn what_is_not_is_told() {
        check(json!({}), &[".type: Required value: must not be empty for specified object fields"]);
        check(json!(3), &[": Invalid value: \"3\": must be a schema"]);
        check(
            json!({"type": "array", "items": {}}),
            &[".items.type: Required value: must not be empty for specified array items"],
        );
        check(
            json!({"type": "text"}),
            &[
                ".type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ],
        );
        check(
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.a > 1"}]}),
            &[".x-kubernetes-validations: Forbidden: expressions (CEL) are not supported by this server"],
        );
        check(json!({"type": "object", "$ref": "#/a"}), &[".$ref: Forbidden: $ref is not supported"]);
        check(
            json!({"type": "object", "anyOf": [{"properties": {"a": {"description": "x", "pattern": "a"}}}]}),
            &[".anyOf[0].properties[a].description: Forbidden: must be empty to be structural"],
        );
        check(
            json!({"type": "object", "properties": {}, "additionalProperties": true}),
            &[".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        );
        check(
            json!({"type": "integer", "default": "a"}),
            &[".default: Invalid value: \"string\": must be of type integer: \"string\""],
        );
        check(
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
            &[".x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"],
        );
        let wrong = structural(&json!({"type": "string", "pattern": "("}), "");
        assert!(wrong[0].to_string().starts_with("type: Invalid value: \"string\": must be object at the root"));
        assert!(wrong[1].to_string().starts_with("pattern: Invalid value: \"(\": must be a valid regular expression"));
        assert_eq!(structural(&json!({}), "")[0].to_string(), "type: Required value: must not be empty at the root");
    }

    #[test]
    fn depth_is_bounded() {
        let mut deep = json!({"type": "object"});
        for _ in 0..61 {
            deep = json!({"type": "object", "properties": {"a": deep}});
        }
        assert_eq!(structural(&deep, "").len(), 1);
        assert_eq!(structural(&deep["properties"]["a"], ""), []);
        let deeper = json!({"type": "object", "properties": {"a": deep, "b": deep}});
        assert_eq!(structural(&deeper, "").len(), 2);
    }
}
