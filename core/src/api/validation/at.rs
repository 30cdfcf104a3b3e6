//! A place in an object: what rules look at, and how they say what is wrong there.
//!
//! Types were checked before. A rule that meets another type all the same finds nothing: no text, no number, no items.

use super::ERRORS_MAX;
use crate::api::status::{FieldError, FieldErrorKind};
use serde_json::Value;
use std::cell::RefCell;
use std::fmt::Write;

/// A value in an object, where it stands, and where errors go.
#[derive(Clone, Copy)]
pub struct At<'a, 'v> {
    value: &'v Value,
    above: Option<&'a At<'a, 'a>>,
    step: Step<'a>,
    errors: &'a RefCell<Vec<FieldError>>,
}

/// How to get to a value from the one above it.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// It is the object itself.
    Object,
    /// `spec`
    Field(&'a str),
    /// `ports[1]`
    Item(&'a str, usize),
    /// `data[key]`
    Entry(&'a str, &'a str),
}

/// What is wrong with a text; nothing if it is fine.
pub type Wrong = Vec<String>;

/// A rule for texts.
pub type Rule = fn(&str) -> Wrong;

impl<'a, 'v> At<'a, 'v> {
    /// An object.
    pub fn object(value: &'v Value, errors: &'a RefCell<Vec<FieldError>>) -> Self {
        At { value, above: None, step: Step::Object, errors }
    }

    fn below<'b, 'w>(&'b self, value: &'w Value, step: Step<'b>) -> At<'b, 'w> {
        At { value, above: Some(self), step, errors: self.errors }
    }

    /// A field, which may not be there.
    pub fn field<'b>(&'b self, name: &'b str) -> At<'b, 'v> {
        self.below(self.value.get(name).unwrap_or(&Value::Null), Step::Field(name))
    }

    /// The items of a list.
    pub fn items<'b>(&'b self, name: &'b str) -> impl DoubleEndedIterator<Item = At<'b, 'v>> {
        let items = self.value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().map(move |(nth, item)| self.below(item, Step::Item(name, nth)))
    }

    /// The entries of a map.
    pub fn entries<'b>(&'b self, name: &'b str) -> impl Iterator<Item = (&'v str, At<'b, 'v>)> {
        let map = self.value.get(name).and_then(Value::as_object);
        map.into_iter().flatten().map(move |(key, value)| (key.as_str(), self.below(value, Step::Entry(name, key))))
    }

    /// An entry of a map, which may not be there.
    pub fn entry<'b>(&'b self, name: &'b str, key: &'b str) -> At<'b, 'v> {
        let value = self.value.get(name).and_then(|map| map.get(key));
        self.below(value.unwrap_or(&Value::Null), Step::Entry(name, key))
    }

    /// An item of a list, which is elsewhere, or is only about to be there.
    pub fn below_item<'b>(&'b self, list: &'b str, nth: usize, value: &'b Value) -> At<'b, 'b> {
        self.below(value, Step::Item(list, nth))
    }

    /// The name of the field that it is, or is in.
    pub fn name(&self) -> &'a str {
        match self.step {
            Step::Object => "",
            Step::Field(name) | Step::Item(name, _) | Step::Entry(name, _) => name,
        }
    }

    /// The value itself.
    pub fn value(&self) -> &'v Value {
        self.value
    }

    /// The text, or an empty one.
    pub fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or("")
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    /// Whether there is something.
    pub fn is_there(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether there is nothing, or something that says nothing: no text, no items, no fields.
    pub fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Its path: `spec.ports[1].name`.
    pub fn path(&self) -> String {
        let mut path = self.above.map(At::path).unwrap_or_default();
        let dot = if path.is_empty() { "" } else { "." };
        let written = match self.step {
            Step::Object => Ok(()),
            Step::Field(name) => write!(path, "{dot}{name}"),
            Step::Item(name, nth) => write!(path, "{dot}{name}[{nth}]"),
            Step::Entry(name, key) => write!(path, "{dot}{name}[{key}]"),
        };
        written.expect("text takes more text");
        path
    }

    /// What is wrong is shown, and a list of very many items that are wrong because of each other is long.
    fn error(&self, kind: impl FnOnce() -> FieldErrorKind) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < ERRORS_MAX {
            errors.push(FieldError { field: self.path(), kind: kind() });
        }
    }

    /// Errors that something else found.
    pub fn add(&self, errors: Vec<FieldError>) {
        self.errors.borrow_mut().extend(errors);
    }

    /// It must be there; `why` may add what for.
    pub fn required(&self, why: &str) {
        self.error(|| FieldErrorKind::Required(why.into()));
    }

    /// It cannot be what it is.
    pub fn invalid(&self, rule: impl Into<String>) {
        self.error(|| FieldErrorKind::Invalid(shown(self.value), rule.into()));
    }

    /// It cannot be `value`, which stands for it or for a part of it.
    pub fn invalid_value(&self, value: &Value, rule: impl Into<String>) {
        self.error(|| FieldErrorKind::Invalid(shown(value), rule.into()));
    }

    /// It is a map of texts, and cannot be what it is.
    pub fn invalid_map(&self, rule: &str) {
        self.error(|| FieldErrorKind::Invalid(shown_map(self.value), rule.into()));
    }

    /// It must not be there, or must not change.
    pub fn forbidden(&self, rule: impl Into<String>) {
        self.error(|| FieldErrorKind::Forbidden(rule.into()));
    }

    /// It is none of those that can be.
    pub fn not_supported(&self, supported: &[&str]) {
        self.not_supported_value(&self.value.as_str().map_or_else(|| shown(self.value), ToOwned::to_owned), supported);
    }

    /// A part of it, `value`, is none of those that can be.
    pub fn not_supported_value(&self, value: &str, supported: &[&str]) {
        let supported = supported.iter().map(ToString::to_string).collect();
        self.error(|| FieldErrorKind::NotSupported(value.into(), supported));
    }

    /// It occurs twice.
    pub fn duplicate(&self) {
        self.duplicate_of(self.value);
    }

    /// `value`, which stands for it, occurs twice.
    pub fn duplicate_of(&self, value: &Value) {
        self.error(|| FieldErrorKind::Duplicate(shown(value)));
    }

    /// What it names does not exist.
    pub fn not_found(&self) {
        self.error(|| FieldErrorKind::NotFound(shown(self.value)));
    }

    /// It has more bytes than this.
    pub fn too_long(&self, most: u64) {
        self.error(|| FieldErrorKind::TooLong(most));
    }

    /// It has so many items, and may have so many.
    pub fn too_many(&self, has: usize, most: u64) {
        self.error(|| FieldErrorKind::TooMany(has, most));
    }

    /// It must obey a rule, also if it is not there.
    pub fn invalid_unless(&self, holds: bool, rule: &str) {
        if !holds {
            self.invalid(rule);
        }
    }

    /// It must obey a rule, if it is there.
    pub fn must(&self, holds: bool, rule: &str) {
        if self.is_there() && !holds {
            self.invalid(rule);
        }
    }

    /// It must be such a text, if it is not empty.
    pub fn must_be(&self, rule: Rule) {
        let text = self.text();
        if !text.is_empty() {
            rule(text).into_iter().for_each(|wrong| self.invalid(wrong));
        }
    }

    /// It must be there, and such a text. That it must be there is said here.
    pub fn must_be_there_and(&self, rule: Rule) {
        if self.text().is_empty() { self.required("") } else { self.must_be(rule) }
    }

    /// It must be one of these words, if it is there.
    pub fn one_of(&self, words: &[&str]) {
        if !self.text().is_empty() && !words.contains(&self.text()) {
            self.not_supported(words);
        }
    }

    /// It must be at least this number, if it is there.
    pub fn at_least(&self, least: i64) {
        if self.number().is_some_and(|number| number < least) {
            self.invalid(format!("must be greater than or equal to {least}"));
        }
    }

    /// It must be more than 0, if it is there.
    pub fn more_than_zero(&self) {
        self.must(self.number().is_none_or(|number| number > 0), "must be greater than 0");
    }

    /// It must be from the first number to the last, if it is there.
    pub fn between(&self, first: i64, last: i64) {
        if self.number().is_some_and(|number| !(first..=last).contains(&number)) {
            self.invalid(format!("must be between {first} and {last}, inclusive"));
        }
    }

    /// It must be what it was.
    pub fn unchanged(&self, old: &At) {
        if self.value != old.value {
            self.invalid("field is immutable");
        }
    }

    /// Of several fields of which one says what this is, those that do. More than one is refused, and `few` said if there
    /// is none.
    pub fn exactly_one<'b>(&'b self, fields: &'b [&'b str], many: &str, few: &str) -> Option<At<'b, 'v>> {
        let mut there = fields.iter().map(|name| self.field(name)).filter(At::is_there);
        let first = there.next();
        there.for_each(|another| another.forbidden(many));
        if first.is_none() {
            self.required(few);
        }
        first
    }
}

/// A value as Kubernetes' messages show it: as Go does, but for structs, which are shown as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            format!("[]string{{{}}}", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// A map of texts, as Go shows it.
fn shown_map(value: &Value) -> String {
    let entries = value.as_object().into_iter().flatten();
    let entries: Vec<String> = entries.map(|(key, value)| format!("{key:?}:{value}")).collect();
    format!("map[string]string{{{}}}", entries.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_name_place_value_and_rule() {
        let value = json!({"spec": {"ports": [{"port": 1}, {"port": 70000, "name": "B"}], "labels": {"a": "b"}}});
        let errors = RefCell::default();
        let object = At::object(&value, &errors);
        let spec = object.field("spec");
        for port in spec.items("ports") {
            port.field("port").between(1, 65535);
            if port.field("name").is_empty() {
                port.field("name").required("");
            }
        }
        for (_, label) in spec.entries("labels") {
            label.duplicate();
        }
        spec.field("labels").invalid_map("wrong");
        spec.field("missing").field("below").at_least(1);
        object.forbidden("no");
        let told: Vec<String> = errors.into_inner().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.labels[a]: Duplicate value: \"b\"",
                "spec.labels: Invalid value: map[string]string{\"a\":\"b\"}: wrong",
                ": Forbidden: no",
            ]
        );
    }
}
