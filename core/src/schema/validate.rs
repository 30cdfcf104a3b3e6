//! What a custom kind's definition says against the values of an object.
//!
//! Which fields there are is not asked here: unknown ones are pruned before, by the schema that
//! [`custom`](super::custom) makes, and defaults are filled in. The words are Kubernetes'.
//!
//! Source: OpenAPI specification v3.0, "Schema Object"; `k8s.io/kube-openapi/pkg/validation/validate`;
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/validation`.

use super::custom::{is, text};
use crate::api::meta::parse_rfc3339;
use crate::api::status::{FieldError, FieldErrorKind};
use crate::api::validation::ERRORS_MAX;
use regex_lite::Regex;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with a value. Metadata is judged for all kinds alike, and not here.
pub fn validate(openapi: &Value, value: &Value) -> Vec<FieldError> {
    if super::depth(openapi) > super::DEPTH_MAX || super::depth(value) > super::DEPTH_MAX {
        return vec![FieldError::forbidden("", "it is nested too deep")];
    }
    let mut look = Look { path: String::new(), errors: Vec::new(), patterns: &RefCell::default() };
    look.value(openapi, value);
    look.errors
}

struct Look<'a> {
    path: String,
    errors: Vec<FieldError>,
    /// Each pattern is read once, however many texts it is held against; absent if it is none.
    patterns: &'a RefCell<BTreeMap<String, Option<Regex>>>,
}

impl Look<'_> {
    /// The value breaks a rule: `spec.size in body should be greater than or equal to 1`.
    fn invalid(&mut self, value: &Value, rule: impl std::fmt::Display) {
        let rule = if self.path.is_empty() { rule.to_string() } else { format!("{} in body {rule}", self.path) };
        self.error(FieldErrorKind::Invalid(value.to_string(), rule));
    }

    fn error(&mut self, kind: FieldErrorKind) {
        if self.errors.len() >= ERRORS_MAX {
            return;
        }
        self.errors.push(FieldError { field: self.path.clone(), kind });
    }

    fn below(&mut self, step: &str, check: impl FnOnce(&mut Self)) {
        let end = self.path.len();
        if end > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        check(self);
        self.path.truncate(end);
    }

    fn value(&mut self, openapi: &Value, value: &Value) {
        if value.is_null() && is(openapi, "nullable") {
            return;
        }
        if let Some(wanted) = wrong_type(openapi, value) {
            let is = type_of(value);
            return self.invalid(&is.into(), format_args!("must be of type {wanted}: {is:?}"));
        }
        self.combined(openapi, value);
        match value {
            Value::String(string) => self.text(openapi, string, value),
            Value::Number(_) => self.number(openapi, value),
            Value::Array(items) => self.list(openapi, items, value),
            Value::Object(fields) => self.object(openapi, fields, value),
            Value::Null | Value::Bool(_) => {}
        }
        if let Some(Value::Array(words)) = openapi.get("enum")
            && !words.iter().any(|word| equal(word, value))
        {
            let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            self.error(FieldErrorKind::NotSupported(shown(value), words.iter().map(shown).collect()));
        }
    }

    /// Rules made of other ones.
    fn combined(&mut self, openapi: &Value, value: &Value) {
        let patterns = self.patterns;
        let errors = |schema: &Value, path: &str| {
            let mut look = Look { path: path.to_owned(), errors: Vec::new(), patterns };
            look.value(schema, value);
            look.errors
        };
        let all = |word: &str| openapi.get(word).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let path = self.path.clone();
        let broken = |look: &mut Self, what: &str| {
            look.error(FieldErrorKind::Invalid("\"\"".into(), format!("{path:?} {what}")));
        };
        let each: Vec<FieldError> = all("allOf").iter().flat_map(|schema| errors(schema, &self.path)).collect();
        if !each.is_empty() {
            broken(self, "must validate all the schemas (allOf)");
            self.errors.extend(each);
        }
        if !all("anyOf").is_empty() && !all("anyOf").iter().any(|schema| errors(schema, &self.path).is_empty()) {
            broken(self, "must validate at least one schema (anyOf)");
        }
        if !all("oneOf").is_empty() {
            match all("oneOf").iter().filter(|schema| errors(schema, &self.path).is_empty()).count() {
                1 => {}
                0 => broken(self, "must validate one and only one schema (oneOf). Found none valid"),
                many => {
                    let what =
                        format!("must validate one and only one schema (oneOf). Found {many} valid alternatives");
                    broken(self, &what);
                }
            }
        }
        if openapi.get("not").is_some_and(|schema| errors(schema, &self.path).is_empty()) {
            broken(self, "must not validate the schema (not)");
        }
    }

    fn text(&mut self, openapi: &Value, string: &str, value: &Value) {
        let length = string.chars().count() as u64;
        if let Some(most) = limit(openapi, "maxLength").filter(|most| length > *most) {
            self.error(FieldErrorKind::TooLong(most));
        }
        if let Some(least) = limit(openapi, "minLength").filter(|least| length < *least) {
            self.invalid(value, format_args!("should be at least {least} chars long"));
        }
        if let Some(pattern) = openapi.get("pattern").and_then(Value::as_str)
            && !self.fits(pattern, string)
        {
            self.invalid(value, format_args!("should match '{pattern}'"));
        }
        let format = text(openapi, "format");
        if !is_format(format, string) {
            self.invalid(value, format_args!("must be of type {format}: {string:?}"));
        }
    }

    fn fits(&self, pattern: &str, string: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        let read = patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
        read.as_ref().is_some_and(|pattern| pattern.is_match(string))
    }

    fn number(&mut self, openapi: &Value, value: &Value) {
        let number = value.as_f64().unwrap_or(f64::NAN);
        let bound = |word: &str| openapi.get(word).and_then(Value::as_f64);
        if let Some(most) = bound("maximum") {
            let (without, than) = (is(openapi, "exclusiveMaximum"), plain(most));
            if without && number >= most {
                self.invalid(value, format_args!("should be less than {than}"));
            } else if number > most {
                self.invalid(value, format_args!("should be less than or equal to {than}"));
            }
        }
        if let Some(least) = bound("minimum") {
            let (without, than) = (is(openapi, "exclusiveMinimum"), plain(least));
            if without && number <= least {
                self.invalid(value, format_args!("should be greater than {than}"));
            } else if number < least {
                self.invalid(value, format_args!("should be greater than or equal to {than}"));
            }
        }
        if let Some(step) = bound("multipleOf").filter(|step| *step > 0.0 && (number / step).fract() != 0.0) {
            self.invalid(value, format_args!("should be a multiple of {}", plain(step)));
        }
        let format = text(openapi, "format");
        let fits = match format {
            "int32" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) || value.is_f64(),
            "int64" => value.is_i64() || value.is_f64(),
            _ => true,
        };
        if !fits {
            self.invalid(value, format_args!("must be of type {format}: \"{value}\""));
        }
    }

    fn list(&mut self, openapi: &Value, items: &[Value], value: &Value) {
        if let Some(most) = limit(openapi, "maxItems").filter(|most| items.len() as u64 > *most) {
            self.error(FieldErrorKind::TooMany(items.len(), most));
        }
        if let Some(least) = limit(openapi, "minItems").filter(|least| (items.len() as u64) < *least) {
            self.invalid(value, format_args!("should have at least {least} items"));
        }
        let texts = || items.iter().map(Value::to_string);
        if is(openapi, "uniqueItems") && texts().collect::<BTreeSet<_>>().len() < items.len() {
            self.invalid(value, "shouldn't contain duplicates");
        }
        if let Some(schema) = openapi.get("items") {
            for (nth, item) in items.iter().enumerate() {
                self.below(&format!("[{nth}]"), |look| look.value(schema, item));
            }
        }
        let keys: Vec<&str> = match text(openapi, "x-kubernetes-list-type") {
            "map" => {
                let keys = openapi.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
                keys.filter_map(Value::as_str).collect()
            }
            "set" => Vec::new(),
            _ => return,
        };
        let mut seen = BTreeSet::new();
        for (nth, item) in items.iter().enumerate() {
            let key = match item {
                Value::Object(fields) if !keys.is_empty() => {
                    let of = |key: &&str| Some(format!("{key:?}:{}", fields.get(*key)?));
                    format!(
                        "map[string]interface {{}}{{{}}}",
                        keys.iter().filter_map(of).collect::<Vec<_>>().join(", ")
                    )
                }
                item => item.to_string(),
            };
            if !seen.insert(key.clone()) {
                self.below(&format!("[{nth}]"), |look| look.error(FieldErrorKind::Duplicate(key)));
            }
        }
    }

    fn object(&mut self, openapi: &Value, fields: &Map<String, Value>, value: &Value) {
        if let Some(most) = limit(openapi, "maxProperties").filter(|most| fields.len() as u64 > *most) {
            self.error(FieldErrorKind::TooMany(fields.len(), most));
        }
        if let Some(least) = limit(openapi, "minProperties").filter(|least| (fields.len() as u64) < *least) {
            self.invalid(value, format_args!("should have at least {least} properties"));
        }
        let required =
            openapi.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| !fields.contains_key(*name)) {
            self.below(name, |look| look.error(FieldErrorKind::Required(String::new())));
        }
        if is(openapi, "x-kubernetes-embedded-resource") {
            for name in ["apiVersion", "kind"] {
                if fields.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
                    self.below(name, |look| look.error(FieldErrorKind::Required("must not be empty".into())));
                }
            }
        }
        let properties = openapi.get("properties").and_then(Value::as_object);
        let others = openapi.get("additionalProperties").filter(|others| others.is_object());
        for (name, value) in fields {
            if let Some(schema) = properties.and_then(|all| all.get(name)).or(others) {
                self.below(name, |look| look.value(schema, value));
            }
        }
    }
}

/// What a value should have been, if it is something else.
fn wrong_type(openapi: &Value, value: &Value) -> Option<&'static str> {
    let whole = type_of(value) == "integer";
    let (wanted, fits) = match text(openapi, "type") {
        _ if is(openapi, "x-kubernetes-int-or-string") => ("integer,string", whole || value.is_string()),
        "array" => ("array", value.is_array()),
        "boolean" => ("boolean", value.is_boolean()),
        "integer" => ("integer", whole),
        "number" => ("number", value.is_number()),
        "object" => ("object", value.is_object()),
        "string" => ("string", value.is_string()),
        _ => return None,
    };
    (!fits).then_some(wanted)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether two values are the same; numbers are, however they are written.
fn equal(one: &Value, other: &Value) -> bool {
    one == other || one.is_number() && one.as_f64() == other.as_f64()
}

/// A count among a schema's words.
fn limit(openapi: &Value, word: &str) -> Option<u64> {
    let said = openapi.get(word)?;
    said.as_u64().or_else(|| said.as_f64().filter(|count| *count >= 0.0).map(|count| count as u64))
}

fn plain(number: f64) -> String {
    number.to_string()
}

/// Whether a text is of a format; those that are not known say nothing.
///
/// Source: Kubernetes API reference, `JSONSchemaProps.format`.
fn is_format(format: &str, text: &str) -> bool {
    let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match format {
        "date-time" | "datetime" => parse_rfc3339(text).is_ok() && text.contains(['T', 't']),
        "date" => text.len() == 10 && parse_rfc3339(&format!("{text}T00:00:00Z")).is_ok(),
        "duration" => crate::durations::parse(text.trim_start_matches('-')).is_ok(),
        "byte" => crate::api::base64::decode(text).is_some(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, bits)| {
            let most = if address.contains(':') { 128 } else { 32 };
            address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        }),
        "mac" => {
            let parts: Vec<&str> = text.split([':', '-']).collect();
            matches!(parts.len(), 6 | 8) && parts.iter().all(|part| hex(part, 2))
        }
        "uuid" | "uuid3" | "uuid4" | "uuid5" => {
            let parts: Vec<&str> = text.split('-').collect();
            parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, length)| hex(part, length))
        }
        "hostname" => {
            let label = |label: &str| {
                let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                (1..=63).contains(&label.len())
                    && label.bytes().all(inner)
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            text.len() <= 253 && text.split('.').all(label)
        }
        "email" => text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && is_format("hostname", host)),
        "uri" => {
            text.starts_with('/')
                || text.split_once(':').is_some_and(|(scheme, rest)| {
                    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                        && scheme.bytes().all(inner)
                        && !rest.is_empty()
                })
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The errors of a value at `spec`.
    fn check(openapi: Value, value: Value, want: &[&str]) {
        let openapi = json!({"type": "object", "properties": {"spec": openapi}});
        let errors = validate(&openapi, &json!({"spec": value}));
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), want, "{openapi}");
    }

    #[test]
    fn types_are_told_as_kubernetes_does() {
        check(
            json!({"type": "object", "properties": {"replicas": {"type": "integer"}}}),
            json!({"replicas": "many"}),
            &["spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\""],
        );
        let wrong = |wanted: &str, value: Value, is: &str| {
            let want = format!("spec: Invalid value: {is:?}: spec in body must be of type {wanted}: {is:?}");
            check(json!({"type": wanted}), value, &[&want]);
        };
        wrong("string", json!(1), "integer");
        wrong("string", json!(null), "null");
        wrong("integer", json!(1.5), "number");
        wrong("array", json!({}), "object");
        wrong("object", json!([]), "array");
        wrong("boolean", json!("true"), "string");
        check(json!({"type": "number"}), json!(1), &[]);
        check(json!({"type": "integer"}), json!(2.0), &[]);
        check(json!({"type": "string", "nullable": true}), json!(null), &[]);
        let either = json!({"x-kubernetes-int-or-string": true});
        check(either.clone(), json!("25%"), &[]);
        check(either.clone(), json!(25), &[]);
        check(
            either,
            json!(true),
            &["spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\""],
        );
    }

    #[test]
    fn values_are_judged() {
        let string = |rule: Value| {
            let mut openapi = json!({"type": "string"});
            openapi.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
            openapi
        };
        check(
            string(json!({"enum": ["a", "b"]})),
            json!("c"),
            &["spec: Unsupported value: \"c\": supported values: \"a\", \"b\""],
        );
        check(string(json!({"enum": ["a", "b"]})), json!("a"), &[]);
        check(
            string(json!({"pattern": "^[a-z]+$"})),
            json!("A1"),
            &["spec: Invalid value: \"A1\": spec in body should match '^[a-z]+$'"],
        );
        check(string(json!({"maxLength": 2})), json!("äöü"), &["spec: Too long: may not be more than 2 bytes"]);
        check(
            string(json!({"minLength": 2})),
            json!("ä"),
            &["spec: Invalid value: \"ä\": spec in body should be at least 2 chars long"],
        );
        let number = |rule: Value, value: Value, want: &str| {
            let mut openapi = json!({"type": "number"});
            openapi.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
            let want = format!("spec: Invalid value: {value}: spec in body should be {want}");
            check(openapi, value, &[&want]);
        };
        number(json!({"minimum": 1}), json!(0), "greater than or equal to 1");
        number(json!({"minimum": 1.5, "exclusiveMinimum": true}), json!(1.5), "greater than 1.5");
        number(json!({"maximum": 10}), json!(11), "less than or equal to 10");
        number(json!({"maximum": 10, "exclusiveMaximum": true}), json!(10), "less than 10");
        number(json!({"multipleOf": 4}), json!(6), "a multiple of 4");
        check(json!({"type": "integer", "minimum": 1, "maximum": 3, "multipleOf": 2}), json!(2), &[]);
        check(
            json!({"type": "integer", "format": "int32"}),
            json!(5_000_000_000_i64),
            &["spec: Invalid value: 5000000000: spec in body must be of type int32: \"5000000000\""],
        );
    }

    #[test]
    fn lists_and_objects_are_judged() {
        let list = json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2});
        check(list.clone(), json!([]), &["spec: Invalid value: []: spec in body should have at least 1 items"]);
        check(list.clone(), json!(["a", "b", "c"]), &["spec: Too many: 3: must have at most 2 items"]);
        check(
            list,
            json!(["a", 1]),
            &["spec[1]: Invalid value: \"integer\": spec[1] in body must be of type string: \"integer\""],
        );
        let set = json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"});
        check(set, json!(["a", "b", "a"]), &["spec[2]: Duplicate value: \"a\""]);
        let map = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}});
        check(
            map.clone(),
            json!([{"name": "a"}, {"name": "a"}]),
            &["spec[1]: Duplicate value: map[string]interface {}{\"name\":\"a\"}"],
        );
        check(map, json!([{}]), &["spec[0].name: Required value"]);
        let object = json!({"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "integer"}});
        check(object.clone(), json!({}), &["spec: Invalid value: {}: spec in body should have at least 1 properties"]);
        check(object.clone(), json!({"a": 1, "b": 2}), &["spec: Too many: 2: must have at most 1 items"]);
        check(
            object,
            json!({"a": "x"}),
            &["spec.a: Invalid value: \"string\": spec.a in body must be of type integer: \"string\""],
        );
        check(
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            json!({"kind": "Pod"}),
            &["spec.apiVersion: Required value: must not be empty"],
        );
    }

    #[test]
    fn rules_are_combined() {
        let required = |names: &[&str]| json!({"required": names});
        let of = |word: &str| json!({"type": "object", word: [required(&["a"]), required(&["b"])]});
        let (none, both) = (json!({}), json!({"a": 1, "b": 2}));
        let one = json!({"a": 1});
        let broken = |what: &str| format!("spec: Invalid value: \"\": \"spec\" must {what}");
        check(of("anyOf"), none.clone(), &[&broken("validate at least one schema (anyOf)")]);
        check(of("anyOf"), both.clone(), &[]);
        check(of("oneOf"), none, &[&broken("validate one and only one schema (oneOf). Found none valid")]);
        check(of("oneOf"), both, &[&broken("validate one and only one schema (oneOf). Found 2 valid alternatives")]);
        check(of("oneOf"), one.clone(), &[]);
        check(of("allOf"), one.clone(), &[&broken("validate all the schemas (allOf)"), "spec.b: Required value"]);
        check(json!({"not": required(&["a"])}), one, &[&broken("not validate the schema (not)")]);
    }

    #[test]
    fn formats_are_known() {
        let check = |format: &str, good: &str, bad: &str| {
            assert!(is_format(format, good), "{format} {good}");
            assert!(!is_format(format, bad), "{format} {bad}");
        };
        check("date-time", "2026-02-04T13:27:54.5+02:00", "2026-02-04");
        check("date", "2026-02-04", "2026-02-30");
        check("duration", "1h30m", "soon");
        check("byte", "eA==", "e");
        check("ipv4", "10.0.0.1", "10.0.0.256");
        check("ipv6", "fd00::1", "10.0.0.1");
        check("cidr", "10.0.0.0/8", "10.0.0.0/33");
        check("mac", "00:11:22:aa:bb:cc", "00:11:22");
        check("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567");
        check("hostname", "a.example", "-a.example");
        check("email", "a@example", "a");
        check("uri", "https://a.example/b", "a b");
        assert!(is_format("of-tomorrow", "anything"));
    }
}
