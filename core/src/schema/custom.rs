//! The schemas of custom kinds: what a definition's `openAPIV3Schema` must be like, what it makes of a value, and the
//! same as a [`Schema`] for everything that asks for fields by name.
//!
//! Rules and words are Kubernetes'. Rules in CEL (`x-kubernetes-validations`) are refused, since one that is kept but
//! not obeyed would let through what its author forbade.
//!
//! Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions"; `apiextensions-apiserver`,
//! `pkg/apiserver/schema` and `pkg/apis/apiextensions/validation`; the words about values are those of `kube-openapi`'s
//! `validation/errors`.

use super::{Field, ListType, MapType, Message, MessageId, Ownership, Schema, Strategy, Type};
use crate::api::status::{FieldError, FieldErrorKind};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Schemas and values are nested no deeper than this. JSON itself ends at 128.
const DEPTH_MAX: usize = 64;

/// So many errors are told of one value.
const ERRORS_MAX: usize = 100;

/// Where a definition has its schema, if its versions are not told apart.
pub const ROOT: &str = "spec.validation.openAPIV3Schema";

/// A version's schema, and the message of its objects. What is not structural is refused.
pub fn of(open_api: &Value) -> Result<(Schema, MessageId), Vec<FieldError>> {
    let errors = structural(open_api);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut schema = Schema::default();
    let mut copied = BTreeMap::new();
    let metadata = Schema::kubernetes().named("meta/v1.ObjectMeta").expect("a test looks for it");
    let metadata = copy(&mut schema, metadata, &mut copied);
    let id = object(&mut schema, open_api, metadata, true);
    Ok((schema, id))
}

/// Copies a message of Kubernetes, and those that it refers to.
fn copy(to: &mut Schema, id: MessageId, copied: &mut BTreeMap<MessageId, MessageId>) -> MessageId {
    if let Some(copy) = copied.get(&id) {
        return *copy;
    }
    let message = Schema::kubernetes().message(id);
    let reserved = to.add(shell(&message.name));
    copied.insert(id, reserved);
    let mut fields = Vec::new();
    for field in &message.fields {
        let kind = copy_type(to, &field.kind, copied);
        fields.push(Field { kind, ..field.clone() });
    }
    let place = &mut to.messages[reserved.0 as usize];
    (place.fields, place.about, place.open) = (fields, message.about.clone(), message.open);
    reserved
}

fn copy_type(to: &mut Schema, kind: &Type, copied: &mut BTreeMap<MessageId, MessageId>) -> Type {
    match kind {
        Type::Message(id) => Type::Message(copy(to, *id, copied)),
        Type::Map(map) => {
            let values = copy_type(to, &map.values, copied);
            Type::Map(Box::new(MapType { values, atomic: map.atomic }))
        }
        Type::List(list) => {
            let items = copy_type(to, &list.items, copied);
            Type::List(Box::new(ListType { items, ownership: list.ownership.clone() }))
        }
        other => other.clone(),
    }
}

fn shell(name: &str) -> Message {
    Message { name: name.into(), about: "".into(), fields: Vec::new(), open: false }
}

/// Adds the message of an object with named fields. If it is a resource, its metadata are those that all have.
fn object(to: &mut Schema, open_api: &Value, metadata: MessageId, resource: bool) -> MessageId {
    let mut fields: BTreeMap<&str, Field> = BTreeMap::new();
    let required: BTreeSet<&str> = texts(open_api.get("required")).collect();
    for (name, property) in properties(open_api) {
        let kind = match &**name {
            "metadata" if resource => Type::Message(metadata),
            _ => kind_of(to, property, metadata),
        };
        let about = text(property, "description").into();
        let default = property.get("default").cloned();
        fields.insert(name, Field { required: required.contains(&**name), about, default, ..field(name, kind) });
    }
    if resource {
        fields.entry("metadata").or_insert_with(|| field("metadata", Type::Message(metadata)));
        for name in ["apiVersion", "kind"] {
            fields.entry(name).or_insert_with(|| field(name, Type::Text([].into())));
        }
    }
    let name = format!("custom.Object{}", to.messages.len());
    let about = text(open_api, "description").into();
    let fields = fields.into_values().collect();
    to.add(Message { fields, about, open: flag(open_api, PRESERVE), ..shell(&name) })
}

fn field(json: &str, kind: Type) -> Field {
    Field {
        json: json.into(),
        number: 0,
        inside: Vec::new(),
        kind,
        pointer: true,
        required: false,
        default: None,
        strategy: Strategy::Default,
        about: "".into(),
    }
}

/// The type of a value. `metadata` goes along for resources that are embedded.
fn kind_of(to: &mut Schema, open_api: &Value, metadata: MessageId) -> Type {
    if flag(open_api, "x-kubernetes-int-or-string") {
        return Type::IntOrString;
    }
    let atomic = text(open_api, "x-kubernetes-map-type") == "atomic";
    match (text(open_api, "type"), text(open_api, "format")) {
        ("boolean", _) => Type::Bool,
        ("integer", "int32") => Type::Int32,
        ("integer", _) => Type::Int64,
        ("number", _) => Type::Double,
        ("string", "byte") => Type::Bytes,
        ("string", _) => Type::Text([].into()),
        ("array", _) => {
            let items = open_api.get("items").map_or(Type::Any, |items| kind_of(to, items, metadata));
            let ownership = match text(open_api, "x-kubernetes-list-type") {
                "set" => Ownership::Set,
                "map" => Ownership::Map(texts(open_api.get("x-kubernetes-list-map-keys")).map(Into::into).collect()),
                _ => Ownership::Atomic,
            };
            Type::List(Box::new(ListType { items, ownership }))
        }
        ("object", _) if flag(open_api, "x-kubernetes-embedded-resource") => {
            Type::Message(object(to, open_api, metadata, true))
        }
        ("object", _) if properties(open_api).next().is_some() => Type::Message(object(to, open_api, metadata, false)),
        ("object", _) if flag(open_api, PRESERVE) => Type::Any,
        ("object", _) => match open_api.get("additionalProperties") {
            Some(values @ Value::Object(_)) => {
                let values = kind_of(to, values, metadata);
                Type::Map(Box::new(MapType { values, atomic }))
            }
            Some(Value::Bool(true)) => Type::Map(Box::new(MapType { values: Type::Any, atomic })),
            _ => Type::Message(object(to, open_api, metadata, false)),
        },
        _ => Type::Any,
    }
}

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn properties(open_api: &Value) -> impl Iterator<Item = (&String, &Value)> {
    open_api.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// What keeps a schema from being structural: what describes one object must do so completely, and in one place.
pub fn structural(open_api: &Value) -> Vec<FieldError> {
    structural_at(ROOT, open_api)
}

/// The same, where the schema stands at `path`: `spec.versions[1].schema.openAPIV3Schema`.
pub fn structural_at(path: &str, open_api: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    level(open_api, path, true, DEPTH_MAX, &mut errors);
    if text(open_api, "type") != "object" && errors.iter().all(|error| error.field != format!("{path}.type")) {
        errors.push(FieldError::invalid(format!("{path}.type"), text(open_api, "type"), "must be object at the root"));
    }
    errors.truncate(ERRORS_MAX);
    errors
}

/// Checks one level of what is described.
fn level(open_api: &Value, path: &str, root: bool, depth: usize, errors: &mut Vec<FieldError>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return errors.push(FieldError::forbidden(path, format!("must not be nested deeper than {DEPTH_MAX}")));
    };
    let Value::Object(said) = open_api else {
        return errors.push(FieldError::invalid(path, Shown(open_api), "must be a schema"));
    };
    let at = |name: &str| format!("{path}.{name}");
    let (kind, int_or_string, preserves) =
        (text(open_api, "type"), flag(open_api, "x-kubernetes-int-or-string"), flag(open_api, PRESERVE));
    match kind {
        "" if !int_or_string && !preserves => {
            let why =
                if root { "must not be empty at the root" } else { "must not be empty for specified object fields" };
            let why = if path.ends_with("items") { "must not be empty for specified array items" } else { why };
            errors.push(FieldError::required(at("type"), why));
        }
        "" => {}
        _ if int_or_string => {
            let why = "must be empty if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(at("type"), kind, why));
        }
        "array" | "boolean" | "integer" | "number" | "object" | "string" => {}
        other => {
            let types = ["array", "boolean", "integer", "number", "object", "string"];
            errors.push(FieldError::not_supported(at("type"), other, types.map(String::from)));
        }
    }
    for name in ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id"] {
        if said.get(name).is_some_and(|value| !value.is_null()) {
            errors.push(FieldError::forbidden(at(name), format!("{name} is not supported")));
        }
    }
    if said.get("uniqueItems") == Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden(
            at("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
    cel(said, path, errors);
    let has_properties = properties(open_api).next().is_some();
    if has_properties && said.get("additionalProperties").is_some_and(|value| *value != Value::Bool(false)) {
        errors.push(FieldError::forbidden(
            at("additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    if root && said.contains_key("additionalProperties") {
        errors.push(FieldError::forbidden(at("additionalProperties"), "must not be used at the root"));
    }
    if flag(open_api, "x-kubernetes-embedded-resource") {
        if kind != "object" {
            errors.push(FieldError::invalid(
                at("type"),
                kind,
                "must be object if x-kubernetes-embedded-resource is true",
            ));
        }
        if !has_properties && !preserves {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            errors.push(FieldError::required(at("properties"), why));
        }
    }
    lists(open_api, path, errors);
    if let Some(pattern) = said.get("pattern").and_then(Value::as_str)
        && regex_lite::Regex::new(pattern).is_err()
    {
        errors.push(FieldError::invalid(at("pattern"), pattern, "must be a valid regular expression, but isn't"));
    }
    if kind == "array" && said.get("items").is_none_or(Value::is_null) {
        errors.push(FieldError::required(at("items"), "must be specified"));
    }
    if let Some(items) = said.get("items").filter(|items| !items.is_null()) {
        match items {
            Value::Array(_) => {
                errors.push(FieldError::forbidden(at("items"), "items must be a schema object and not an array"));
            }
            _ => level(items, &at("items"), false, depth, errors),
        }
    }
    if let Some(values @ Value::Object(_)) = said.get("additionalProperties") {
        level(values, &at("additionalProperties"), false, depth, errors);
    }
    for (name, property) in properties(open_api) {
        let place = format!("{path}.properties[{name}]");
        match (root, &**name) {
            (true, "metadata") => root_metadata(property, &place, errors),
            (true, "apiVersion" | "kind") if !matches!(text(property, "type"), "" | "string") => {
                errors.push(FieldError::invalid(format!("{place}.type"), text(property, "type"), "must be string"));
            }
            _ => level(property, &place, false, depth, errors),
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (nth, part) in said.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
            junctor(part, open_api, &format!("{path}.{name}[{nth}]"), int_or_string, depth, errors);
        }
    }
    if let Some(part) = said.get("not").filter(|part| !part.is_null()) {
        junctor(part, open_api, &at("not"), int_or_string, depth, errors);
    }
    if let Some(default) = said.get("default").filter(|default| !default.is_null()) {
        errors.extend(validate_at(open_api, default, &at("default")));
    }
}

/// Of an object's own metadata a schema may restrict the names only.
fn root_metadata(metadata: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !matches!(text(metadata, "type"), "" | "object") {
        errors.push(FieldError::invalid(format!("{path}.type"), text(metadata, "type"), "must be object"));
    }
    for (name, _) in properties(metadata).filter(|(name, _)| !matches!(name.as_str(), "name" | "generateName")) {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(format!("{path}.properties[{name}]"), why));
    }
}

fn lists(open_api: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let at = |name: &str| format!("{path}.{name}");
    let kind = text(open_api, "type");
    let list_type = text(open_api, "x-kubernetes-list-type");
    if !list_type.is_empty() {
        if kind != "array" {
            errors.push(FieldError::invalid(at("type"), kind, "must be array if x-kubernetes-list-type is specified"));
        }
        if !matches!(list_type, "atomic" | "set" | "map") {
            let types = ["atomic", "map", "set"].map(String::from);
            errors.push(FieldError::not_supported(at("x-kubernetes-list-type"), list_type, types));
        }
    }
    let keys: Vec<&str> = texts(open_api.get("x-kubernetes-list-map-keys")).collect();
    match (list_type, keys.is_empty()) {
        ("map", true) => {
            let why = "must not be empty if x-kubernetes-list-type is map";
            errors.push(FieldError::required(at("x-kubernetes-list-map-keys"), why));
        }
        ("map", false) => {
            let items = open_api.get("items");
            let required: Vec<&str> = texts(items.and_then(|items| items.get("required"))).collect();
            for key in keys {
                let property = items.and_then(|items| items.get("properties")?.get(key));
                match property {
                    None => {
                        let why = "entries must all be names of item properties";
                        errors.push(FieldError::invalid(at("x-kubernetes-list-map-keys"), key, why));
                    }
                    Some(property) if !required.contains(&key) && property.get("default").is_none() => {
                        let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                        errors.push(FieldError::required(format!("{path}.items.properties[{key}].default"), why));
                    }
                    Some(_) => {}
                }
            }
        }
        (_, false) => {
            let why = "must be map if x-kubernetes-list-map-keys is non-empty";
            errors.push(FieldError::invalid(at("x-kubernetes-list-type"), list_type, why));
        }
        (_, true) => {}
    }
    let map_type = text(open_api, "x-kubernetes-map-type");
    if !matches!(map_type, "" | "atomic" | "granular") {
        let types = ["atomic", "granular"].map(String::from);
        errors.push(FieldError::not_supported(at("x-kubernetes-map-type"), map_type, types));
    }
}

/// Checks a part of a logical combination: it may restrict what is described outside, and describe nothing itself.
fn junctor(part: &Value, outside: &Value, path: &str, int_or_string: bool, depth: usize, errors: &mut Vec<FieldError>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return errors.push(FieldError::forbidden(path, format!("must not be nested deeper than {DEPTH_MAX}")));
    };
    let Value::Object(said) = part else {
        return errors.push(FieldError::invalid(path, Shown(part), "must be a schema"));
    };
    let at = |name: &str| format!("{path}.{name}");
    const STRUCTURE: &[&str] = &[
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
        PRESERVE,
    ];
    for name in STRUCTURE {
        let is_there = said.get(*name).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)));
        // `anyOf: [{type: integer}, {type: string}]` says again what int-or-string says.
        if is_there && !(*name == "type" && int_or_string) {
            errors.push(FieldError::forbidden(at(name), "must be empty to be structural"));
        }
    }
    if let Some(pattern) = said.get("pattern").and_then(Value::as_str)
        && regex_lite::Regex::new(pattern).is_err()
    {
        errors.push(FieldError::invalid(at("pattern"), pattern, "must be a valid regular expression, but isn't"));
    }
    cel(said, path, errors);
    for (name, property) in properties(part) {
        let place = format!("properties[{name}]");
        match outside.get("properties").and_then(|all| all.get(name)) {
            Some(outside) => {
                junctor(property, outside, &at(&place), flag(outside, "x-kubernetes-int-or-string"), depth, errors)
            }
            None => {
                let why = "because it is defined in the logical combination, it must be specified outside of it, too";
                errors.push(FieldError::required(at(&place), why));
            }
        }
    }
    if let Some(items @ Value::Object(_)) = said.get("items") {
        match outside.get("items") {
            Some(outside) => {
                junctor(items, outside, &at("items"), flag(outside, "x-kubernetes-int-or-string"), depth, errors)
            }
            None => {
                errors.push(FieldError::required(at("items"), "it must be specified outside of the combination, too"))
            }
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (nth, part) in said.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
            junctor(part, outside, &format!("{path}.{name}[{nth}]"), int_or_string, depth, errors);
        }
    }
    if let Some(part) = said.get("not").filter(|part| !part.is_null()) {
        junctor(part, outside, &at("not"), int_or_string, depth, errors);
    }
}

fn cel(said: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    if said.get("x-kubernetes-validations").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty()) {
        let why = "rules in the Common Expression Language are not supported by miniku; leave them out";
        errors.push(FieldError::forbidden(format!("{path}.x-kubernetes-validations"), why));
    }
}

/// A value as it stands in messages.
struct Shown<'a>(&'a Value);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

/// What a schema does not allow of a value. Kind, version and metadata of an object are checked elsewhere.
pub fn validate(open_api: &Value, value: &Value) -> Vec<FieldError> {
    validate_at(open_api, value, "")
}

fn validate_at(open_api: &Value, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    look(open_api, value, &mut path.to_owned(), DEPTH_MAX, &mut errors);
    errors.truncate(ERRORS_MAX);
    errors
}

/// Looks at one value.
fn look(open_api: &Value, value: &Value, path: &mut String, depth: usize, errors: &mut Vec<FieldError>) {
    let Value::Object(said) = open_api else { return };
    if errors.len() >= ERRORS_MAX {
        return;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return errors.push(FieldError::forbidden(path.clone(), format!("must not be nested deeper than {DEPTH_MAX}")));
    };
    if value.is_null() && flag(open_api, "nullable") {
        return;
    }
    if let Some(error) = mistyped(open_api, value, path) {
        return errors.push(error);
    }
    if let Some(Value::Array(words)) = said.get("enum")
        && !words.iter().any(|word| same(word, value))
    {
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        errors.push(FieldError::not_supported(path.clone(), shown(value), words.iter().map(shown)));
    }
    match value {
        Value::String(text) => look_at_text(said, text, path, errors),
        Value::Number(number) => look_at_number(said, number.as_f64().unwrap_or(0.0), value, path, errors),
        Value::Array(items) => look_at_items(said, items, path, depth, errors),
        Value::Object(fields) => look_at_fields(open_api, fields, path, depth, errors),
        Value::Null | Value::Bool(_) => {}
    }
    combined(said, value, path, depth, errors);
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some() && one.as_f64() == other.as_f64()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_whole(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn mistyped(open_api: &Value, value: &Value, path: &str) -> Option<FieldError> {
    let is = type_of(value);
    let wanted = match (text(open_api, "type"), flag(open_api, "x-kubernetes-int-or-string")) {
        (_, true) if matches!(is, "integer" | "string") => return None,
        (_, true) => "integer,string",
        ("", false) => return None,
        ("number", _) if is == "integer" => return None,
        (wanted, _) if wanted == is => return None,
        (wanted, _) => wanted,
    };
    let place = if path.is_empty() { "<nil>" } else { path };
    Some(FieldError::invalid(place, is, format!("{path} in body must be of type {wanted}: {is:?}")))
}

fn bad(path: &str, value: &Value, rule: String, errors: &mut Vec<FieldError>) {
    errors.push(FieldError::invalid(path, Shown(value), format!("{path} in body {rule}")));
}

fn look_at_text(said: &Map<String, Value>, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let value = Value::String(text.into());
    let count = text.chars().count() as u64;
    // Kubernetes tells a length that is too great without the text itself.
    if let Some(max) = said.get("maxLength").and_then(Value::as_u64).filter(|max| count > *max) {
        let rule = format!("may not be more than {max} bytes");
        errors
            .push(FieldError { field: path.into(), kind: FieldErrorKind::Invalid("\"<value omitted>\"".into(), rule) });
    }
    if let Some(min) = said.get("minLength").and_then(Value::as_u64).filter(|min| count < *min) {
        bad(path, &value, format!("should be at least {min} chars long"), errors);
    }
    if let Some(pattern) = said.get("pattern").and_then(Value::as_str)
        // A pattern that is none was refused with the definition.
        && regex_lite::Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
    {
        bad(path, &value, format!("should match '{pattern}'"), errors);
    }
    if let Some(format) = said.get("format").and_then(Value::as_str)
        && !is_formatted(format, text)
    {
        bad(path, &value, format!("must be of type {format}: {text:?}"), errors);
    }
}

/// Whether a text is in a format; formats that are not known say nothing.
///
/// Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions", validation; RFC 3339,
/// RFC 4122, RFC 4291, RFC 4632.
fn is_formatted(format: &str, text: &str) -> bool {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let of_hex = |length: usize| {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match format {
        "byte" => crate::api::base64::decode(text).is_some(),
        "date-time" => crate::api::meta::parse_rfc3339(text).is_ok(),
        "date" => text.len() == 10 && crate::api::meta::parse_rfc3339(&format!("{text}T00:00:00Z")).is_ok(),
        "duration" => crate::durations::parse(text.strip_prefix('-').unwrap_or(text)).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, length)| {
            let max = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            length.parse::<u8>().is_ok_and(|length| length <= max)
        }),
        "mac" => {
            let parts: Vec<&str> = text.split([':', '-']).collect();
            parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
        }
        "uuid" | "uuid3" | "uuid4" | "uuid5" => of_hex(32),
        "email" => text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()),
        "hostname" => !text.is_empty() && text.split('.').all(crate::api::names::is_dns_label),
        "uri" => text.split_once(':').is_some_and(|(scheme, rest)| {
            let mut letters = scheme.bytes();
            !rest.is_empty()
                && letters.next().is_some_and(|first| first.is_ascii_alphabetic())
                && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        }),
        _ => true,
    }
}

fn look_at_number(said: &Map<String, Value>, number: f64, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let limit = |name: &str| said.get(name).and_then(Value::as_f64);
    let exclusive = |name: &str| said.get(name).and_then(Value::as_bool).unwrap_or(false);
    let shown = |name: &str| said.get(name).map(Value::to_string).unwrap_or_default();
    if let Some(max) = limit("maximum") {
        match exclusive("exclusiveMaximum") {
            true if number >= max => bad(path, value, format!("should be less than {}", shown("maximum")), errors),
            false if number > max => {
                bad(path, value, format!("should be less than or equal to {}", shown("maximum")), errors);
            }
            _ => {}
        }
    }
    if let Some(min) = limit("minimum") {
        match exclusive("exclusiveMinimum") {
            true if number <= min => bad(path, value, format!("should be greater than {}", shown("minimum")), errors),
            false if number < min => {
                bad(path, value, format!("should be greater than or equal to {}", shown("minimum")), errors);
            }
            _ => {}
        }
    }
    if let Some(step) = limit("multipleOf").filter(|step| *step > 0.0) {
        let steps = number / step;
        if (steps - steps.round()).abs() > 1e-9 {
            bad(path, value, format!("should be a multiple of {}", shown("multipleOf")), errors);
        }
    }
    let range = match said.get("format").and_then(Value::as_str) {
        Some("int32") => f64::from(i32::MIN)..=f64::from(i32::MAX),
        Some("float") => f64::from(f32::MIN)..=f64::from(f32::MAX),
        _ => f64::MIN..=f64::MAX,
    };
    if !range.contains(&number) {
        let format = said.get("format").and_then(Value::as_str).unwrap_or("");
        bad(path, value, format!("must be of type {format}: {value}"), errors);
    }
}

fn look_at_items(
    said: &Map<String, Value>,
    items: &[Value],
    path: &mut String,
    depth: usize,
    errors: &mut Vec<FieldError>,
) {
    let count = items.len() as u64;
    let limit = |name: &str| said.get(name).and_then(Value::as_u64);
    if let Some(max) = limit("maxItems").filter(|max| count > *max) {
        let rule = format!("{path} in body should have at most {max} items");
        errors.push(FieldError::invalid(path.clone(), count, rule));
    }
    if let Some(min) = limit("minItems").filter(|min| count < *min) {
        let rule = format!("{path} in body should have at least {min} items");
        errors.push(FieldError::invalid(path.clone(), count, rule));
    }
    let end = path.len();
    unique(said, items, path, errors);
    if let Some(of) = said.get("items") {
        for (nth, item) in items.iter().enumerate() {
            path.push_str(&format!("[{nth}]"));
            look(of, item, path, depth, errors);
            path.truncate(end);
        }
    }
}

/// Items of sets and maps are told apart.
fn unique(said: &Map<String, Value>, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let set = said.get("uniqueItems") == Some(&Value::Bool(true));
    let list_type = said.get("x-kubernetes-list-type").and_then(Value::as_str);
    let keys: Vec<&str> = texts(said.get("x-kubernetes-list-map-keys")).collect();
    let mut seen = BTreeSet::new();
    for (nth, item) in items.iter().enumerate() {
        let told = match list_type {
            Some("map") => {
                let named = keys.iter().filter_map(|key| Some(((*key).to_owned(), item.get(key)?.clone())));
                Value::Object(named.collect())
            }
            Some("set") => item.clone(),
            _ if set => item.clone(),
            _ => return,
        };
        // Keys come in order, so that equal items are equal texts.
        if !seen.insert(told.to_string()) {
            errors.push(FieldError::duplicate(format!("{path}[{nth}]"), Shown(&told)));
        }
    }
}

fn look_at_fields(
    open_api: &Value,
    fields: &Map<String, Value>,
    path: &mut String,
    depth: usize,
    errors: &mut Vec<FieldError>,
) {
    let end = path.len();
    let limit = |name: &str| open_api.get(name).and_then(Value::as_u64);
    let count = fields.len() as u64;
    if let Some(max) = limit("maxProperties").filter(|max| count > *max) {
        let rule = format!("{path} in body should have at most {max} properties");
        errors.push(FieldError::invalid(path.clone(), count, rule));
    }
    if let Some(min) = limit("minProperties").filter(|min| count < *min) {
        let rule = format!("{path} in body should have at least {min} properties");
        errors.push(FieldError::invalid(path.clone(), count, rule));
    }
    let go_to = |path: &mut String, name: &str| {
        if end > 0 {
            path.push('.');
        }
        path.push_str(name);
    };
    for name in texts(open_api.get("required")).filter(|name| !fields.contains_key(*name)) {
        go_to(path, name);
        errors.push(FieldError::required(path.clone(), ""));
        path.truncate(end);
    }
    let known = open_api.get("properties");
    for (name, value) in fields {
        let of = known.and_then(|known| known.get(name)).or_else(|| open_api.get("additionalProperties"));
        if let Some(of) = of {
            go_to(path, name);
            look(of, value, path, depth, errors);
            path.truncate(end);
        }
    }
}

fn combined(said: &Map<String, Value>, value: &Value, path: &mut String, depth: usize, errors: &mut Vec<FieldError>) {
    let parts = |name: &str| said.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut tried = |of: &Value| {
        let mut found = Vec::new();
        look(of, value, path, depth, &mut found);
        found
    };
    let all: Vec<FieldError> = parts("allOf").iter().flat_map(&mut tried).collect();
    let of_any: Vec<Vec<FieldError>> = parts("anyOf").iter().map(&mut tried).collect();
    let of_one: Vec<Vec<FieldError>> = parts("oneOf").iter().map(&mut tried).collect();
    let not = said.get("not").filter(|not| not.is_object()).map(&mut tried);
    let place = path.as_str();
    let mut must = |rule: &str| {
        errors.push(FieldError::invalid(place, Shown(value), format!("{place:?} must validate {rule}")));
    };
    if !all.is_empty() {
        must("all the schemas (allOf)");
    }
    if !of_any.is_empty() && of_any.iter().all(|found| !found.is_empty()) {
        must("at least one schema (anyOf)");
    }
    let fits = of_one.iter().filter(|found| found.is_empty()).count();
    if !of_one.is_empty() && fits != 1 {
        must(if fits == 0 {
            "one and only one schema (oneOf). Found none valid"
        } else {
            "one and only one schema (oneOf). Found several valid"
        });
    }
    if not.is_some_and(|found| found.is_empty()) {
        errors.push(FieldError::invalid(place, Shown(value), format!("{place:?} must not validate the schema (not)")));
    }
    // What the parts found says more than that they found something.
    errors.extend(all);
    if let (true, Some(least)) = (of_any.iter().all(|found| !found.is_empty()), of_any.into_iter().min_by_key(Vec::len))
    {
        errors.extend(least);
    }
    if let (0, Some(least)) = (fits, of_one.into_iter().min_by_key(Vec::len)) {
        errors.extend(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{complete, strict};
    use serde_json::json;

    fn crontab() -> Value {
        json!({"type": "object", "description": "Runs something.", "required": ["spec"], "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10}}},
            "spec": {"type": "object", "required": ["cronSpec"], "properties": {
                "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"},
                "replicas": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10, "default": 1},
                "image": {"type": "string", "enum": ["a", "b"], "nullable": true},
                "port": {"x-kubernetes-int-or-string": true},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string"}, "number": {"type": "integer", "multipleOf": 5}}}},
                "pod": {"type": "object", "x-kubernetes-embedded-resource": true,
                    "x-kubernetes-preserve-unknown-fields": true},
                "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                "address": {"type": "string", "format": "ipv4"}
            }}
        }})
    }

    #[test]
    fn a_schema_is_structural_or_says_why_not() {
        assert_eq!(structural(&crontab()), []);
        let check = |property: Value, want: &str| {
            let open_api = json!({"type": "object", "properties": {"x": property}});
            let told: Vec<String> = structural(&open_api).iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|one| one.contains(want)), "{want}: {told:?}");
        };
        let path = "spec.validation.openAPIV3Schema.properties[x]";
        check(json!({}), &format!("{path}.type: Required value: must not be empty for specified object fields"));
        check(json!({"type": "array"}), &format!("{path}.items: Required value: must be specified"));
        let items = format!("{path}.items.type: Required value: must not be empty for specified array items");
        check(json!({"type": "array", "items": {}}), &items);
        check(json!({"type": "text"}), &format!("{path}.type: Unsupported value: \"text\""));
        check(json!({"type": "string", "$ref": "#/x"}), &format!("{path}.$ref: Forbidden"));
        check(json!({"type": "string", "pattern": "("}), &format!("{path}.pattern: Invalid value: \"(\""));
        check(json!({"type": "string", "default": 1}), &format!("{path}.default: Invalid value: \"integer\""));
        let rules = json!({"type": "string", "x-kubernetes-validations": [{"rule": "true"}]});
        check(rules, "Common Expression Language are not supported");
        let both = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}});
        check(both, "additionalProperties and properties are mutual exclusive");
        check(
            json!({"type": "string", "anyOf": [{"type": "string"}]}),
            &format!("{path}.anyOf[0].type: Forbidden: must be empty to be structural"),
        );
        check(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"properties": {"a": {}}}]}), "Required value");
        check(
            json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "string"}}),
            "must not be empty if x-kubernetes-list-type is map",
        );
        let of_kinds = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
        assert_eq!(structural(&json!({"type": "object", "properties": {"x": of_kinds}})), []);
        assert!(!structural(&json!({})).is_empty() && !structural(&json!(1)).is_empty());
        let mut deep = json!({"type": "string"});
        for _ in 0..100 {
            deep = json!({"type": "array", "items": deep});
        }
        check(deep, "must not be nested deeper than 64");
    }

    #[test]
    fn values_are_refused_in_kubernetes_words() {
        let check = |spec: Value, want: &[&str]| {
            let mut spec = spec;
            if spec.get("cronSpec").is_none() {
                spec["cronSpec"] = "* * * * *".into();
            }
            let told = validate(&crontab(), &json!({"metadata": {"name": "a"}, "spec": spec}));
            assert_eq!(told.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        };
        check(json!({"replicas": 3, "image": null, "port": "http", "any": {"x": [1]}, "labels": {"a": "b"}}), &[]);
        check(
            json!({"replicas": "3"}),
            &["spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\""],
        );
        check(
            json!({"replicas": 0}),
            &["spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1"],
        );
        check(
            json!({"replicas": 11}),
            &["spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"],
        );
        check(json!({"image": "c"}), &["spec.image: Unsupported value: \"c\": supported values: \"a\", \"b\""]);
        check(
            json!({"cronSpec": "*"}),
            &[
                "spec.cronSpec: Invalid value: \"*\": spec.cronSpec in body should match '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'",
            ],
        );
        check(
            json!({"labels": {"a": "1", "b": "2", "c": "3"}}),
            &["spec.labels: Invalid value: 3: spec.labels in body should have at most 2 properties"],
        );
        check(json!({"ports": [{"name": "a"}, {"name": "a"}]}), &["spec.ports[1]: Duplicate value: {\"name\":\"a\"}"]);
        check(
            json!({"ports": [{"number": 7}]}),
            &[
                "spec.ports[0].name: Required value",
                "spec.ports[0].number: Invalid value: 7: spec.ports[0].number in body should be a multiple of 5",
            ],
        );
        check(json!({"one": {"a": "x"}}), &[]);
        check(
            json!({"one": {"a": "x", "b": "y"}}),
            &[
                "spec.one: Invalid value: {\"a\":\"x\",\"b\":\"y\"}: \"spec.one\" must validate one and only one schema (oneOf). Found several valid",
            ],
        );
        check(
            json!({"address": "1.2.3"}),
            &["spec.address: Invalid value: \"1.2.3\": spec.address in body must be of type ipv4: \"1.2.3\""],
        );
        check(
            json!({"port": true}),
            &["spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\""],
        );
        let told = validate(&crontab(), &json!({"metadata": {"name": "longer-than-ten"}}));
        assert_eq!(told.iter().map(|error| &*error.field).collect::<Vec<_>>(), ["spec", "metadata.name"]);
    }

    #[test]
    fn logic_combines_what_it_finds() {
        let check = |open_api: Value, value: Value, fits: bool| {
            assert_eq!(validate(&open_api, &value).is_empty(), fits, "{open_api} {value}");
        };
        let not = json!({"not": {"required": ["a"]}});
        check(not.clone(), json!({"b": 1}), true);
        check(not, json!({"a": 1}), false);
        let any = json!({"anyOf": [{"minimum": 5}, {"maximum": 1}]});
        check(any.clone(), json!(7), true);
        check(any.clone(), json!(0), true);
        check(any, json!(3), false);
        let all = json!({"allOf": [{"minLength": 2}, {"maxLength": 3}]});
        check(all.clone(), json!("abc"), true);
        check(all, json!("abcd"), false);
        check(json!({"minimum": 1, "exclusiveMinimum": true}), json!(1), false);
        check(json!({"enum": [1]}), json!(1.0), true);
    }

    #[test]
    fn it_is_a_schema_like_any_other() {
        let (schema, id) = of(&crontab()).unwrap();
        let text = r#"{"kind":"CronTab","apiVersion":"stable.example.com/v1","metadata":{"name":"a","nam":"b"},
            "spec":{"cronSpec":"x","extra":1,"any":{"x":1},"labels":{"l":"v"},"ports":[{"name":"a","y":1}],
            "pod":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","q":1},"spec":{}}}}"#;
        assert_eq!(
            strict::check(&schema, id, text.as_bytes()).unwrap(),
            [
                "unknown field \"metadata.nam\"",
                "unknown field \"spec.extra\"",
                "unknown field \"spec.ports[0].y\"",
                "unknown field \"spec.pod.metadata.q\"",
            ]
        );
        let mut value: Value = serde_json::from_str(text).unwrap();
        strict::prune(&schema, id, &mut value);
        complete::complete(&schema, id, &mut value);
        let want = json!({"kind": "CronTab", "apiVersion": "stable.example.com/v1", "metadata": {"name": "a"},
            "spec": {"cronSpec": "x", "replicas": 1, "any": {"x": 1}, "labels": {"l": "v"}, "ports": [{"name": "a"}],
            "pod": {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {}}}});
        assert_eq!(value, want);
        let spec = schema.message(id).field("spec").unwrap();
        let Type::Message(spec) = spec.kind else { panic!("spec is a message") };
        let Type::List(ports) = &schema.message(spec).field("ports").unwrap().kind else { panic!("ports are a list") };
        assert_eq!(ports.ownership, Ownership::Map(["name".into()].into()));
        assert!(of(&json!({"type": "object", "properties": {"x": {}}})).is_err());
    }
}
