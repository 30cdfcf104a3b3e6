//! Reading objects on whose fields nothing in core acts by name, for columns, rules and the few things that do.

use crate::api::kinds::Column;
use crate::api::meta::parse_rfc3339;
use crate::api::object::Object;
use crate::api::selector::LabelSelector;
use crate::time::{Human, Now};
use serde::Deserialize;
use serde_json::Value;

/// The text at a path; empty if there is none.
pub fn text<'a>(object: &'a Object, path: &[&str]) -> &'a str {
    object.at(path).and_then(Value::as_str).unwrap_or("")
}

/// The number at a path, if there is one.
pub fn number(object: &Object, path: &[&str]) -> Option<i64> {
    object.at(path).and_then(Value::as_i64)
}

/// The number at a path; 0 if there is none.
pub fn count(object: &Object, path: &[&str]) -> i64 {
    number(object, path).unwrap_or(0)
}

/// The items of the list at a path; none if there is none.
pub fn items<'a>(object: &'a Object, path: &[&str]) -> &'a [Value] {
    object.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many entries the map at a path has.
pub fn entries(object: &Object, path: &[&str]) -> usize {
    object.at(path).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

/// What is at a path, as a person reads it: text without quotes, all else as JSON; empty if there is nothing.
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The same, or `<none>`.
pub fn or_none(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "<none>".into() } else { text }
}

/// The same, or `<unset>`.
pub fn or_unset(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "<unset>".into() } else { text }
}

/// How long ago the time at a path was; `<none>` if there is none.
pub fn ago(object: &Object, path: &[&str], now: Now) -> String {
    parse_rfc3339(text(object, path)).map_or("<none>".into(), |time| Human(now.wall.since(time)).to_string())
}

/// A map of texts as kubectl shows a simple selector: `app=web,tier=front`; `<none>` if empty.
pub fn equalities(map: Option<&Value>) -> String {
    let pairs = map.and_then(Value::as_object).into_iter().flatten();
    or_none(pairs.map(|(key, value)| format!("{key}={}", shown(Some(value)))).collect::<Vec<_>>().join(","))
}

/// A label selector, if there is one.
pub fn label_selector(value: Option<&Value>) -> Option<LabelSelector> {
    LabelSelector::deserialize(value?).ok()
}

/// A label selector as kubectl shows it; `<none>` if empty.
pub fn selector(value: Option<&Value>) -> String {
    label_selector(value).map_or("<none>".into(), |selector| selector.to_string())
}

/// What the containers of a pod template have under `name`, joined.
pub fn containers(object: &Object, template: &[&str], name: &str) -> String {
    let path = [template, &["spec", "containers"]].concat();
    items(object, &path).iter().map(|one| shown(one.get(name))).collect::<Vec<_>>().join(",")
}

/// The columns that each kind with a pod template at `spec.template` ends in, for `-o wide`.
pub const CONTAINERS: Column =
    Column::new("Containers", 1, |object, _| containers(object, &["spec", "template"], "name"));
/// See [`CONTAINERS`].
pub const IMAGES: Column = Column::new("Images", 1, |object, _| containers(object, &["spec", "template"], "image"));
/// See [`CONTAINERS`].
pub const SELECTOR: Column = Column::new("Selector", 1, |object, _| selector(object.at(&["spec", "selector"])));

/// When the object was created, as RFC 3339.
pub const CREATED_AT: Column = Column::new("Created At", 0, |object, _| {
    object.meta().creation_timestamp.map(|time| time.to_string()).unwrap_or_default()
});

/// Access modes of a volume, in short: `RWO,ROX`.
pub fn access_modes(object: &Object, path: &[&str]) -> String {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "",
    };
    items(object, path).iter().map(short).collect::<Vec<_>>().join(",")
}
