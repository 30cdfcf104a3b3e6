//! What tests of rules share.

use super::{content, validate};
use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::schema::{Schema, complete};
use serde_json::Value;

/// An object as the server completes it before it looks at it.
fn completed(kind: Kind, mut value: Value) -> Value {
    let schema = Schema::kubernetes();
    complete::complete(schema, schema.named(kind.row().message).unwrap(), &mut value);
    ruled(kind, value)
}

/// With no more than rules are handed: see [`Object::to_ruled_value`].
fn ruled(kind: Kind, mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| name == "metadata" || (kind.row().rules.looks_at)(name));
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| ["name", "namespace", "uid", "annotations"].contains(&name.as_str()));
    }
    value
}

/// What is said of a new object's fields beside metadata.
pub fn refusals(kind: Kind, value: Value) -> Vec<String> {
    content(kind, &completed(kind, value), None).iter().map(ToString::to_string).collect()
}

/// What is said of a stored object's next version.
fn refusals_of_change(kind: Kind, old: Value, new: Value) -> Vec<String> {
    let new = completed(kind, new);
    content(kind, &new, Some(&ruled(kind, old))).iter().map(ToString::to_string).collect()
}

/// What is said of an object is what is wanted: so many errors, each of which begins so.
#[track_caller]
pub fn compare(told: &[String], want: &[&str]) {
    assert_eq!(told.len(), want.len(), "wanted {want:#?}, but {told:#?}");
    for (told, want) in told.iter().zip(want) {
        assert!(told.starts_with(want), "wanted {want:?}, but {told:?}");
    }
}

/// Sets what is at a path in JSON pointer form, whose last step may be new. `null` takes it away.
pub fn set(value: &mut Value, path: &str, to: Value) {
    let (parent, name) = path.rsplit_once('/').expect("a path begins with a slash");
    let parent = value.pointer_mut(parent).unwrap_or_else(|| panic!("there is no {parent}"));
    match (parent, to) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(name)),
        (Value::Object(fields), to) => drop(fields.insert(name.into(), to)),
        (Value::Array(items), to) => match name.parse::<usize>().ok().and_then(|nth| items.get_mut(nth)) {
            Some(item) => *item = to,
            None => items.push(to),
        },
        (other, _) => panic!("{other} has no {name}"),
    }
}

/// A table of changes to an object that is fine, and what is said of each.
#[track_caller]
pub fn table(kind: Kind, fine: &Value, rows: &[(&str, Value, &[&str])]) {
    compare(&refusals(kind, fine.clone()), &[]);
    for (path, to, want) in rows {
        let mut changed = fine.clone();
        set(&mut changed, path, to.clone());
        let told = refusals(kind, changed);
        assert_eq!(told.len(), want.len(), "{path} {to}: wanted {want:#?}, but {told:#?}");
        for (told, want) in told.iter().zip(*want) {
            assert!(told.starts_with(want), "{path} {to}: wanted {want:?}, but {told:?}");
        }
    }
}

/// A table of changes to a stored object, and what is said of each.
#[track_caller]
pub fn table_of_changes(kind: Kind, old: &Value, rows: &[(&str, Value, &[&str])]) {
    let old = completed(kind, old.clone());
    for (path, to, want) in rows {
        let mut new = old.clone();
        set(&mut new, path, to.clone());
        let told = refusals_of_change(kind, old.clone(), new);
        assert_eq!(told.len(), want.len(), "{path} {to}: wanted {want:#?}, but {told:#?}");
        for (told, want) in told.iter().zip(*want) {
            assert!(told.starts_with(want), "{path} {to}: wanted {want:?}, but {told:?}");
        }
    }
}

#[test]
fn no_shape_of_input_is_too_strange() {
    // What is of another type is refused before; rules pass over it.
    use serde_json::json;
    for kind in Kind::BUILT_IN {
        for strange in
            [json!(null), json!(1), json!("a"), json!([[]]), json!([1, "a", null, {}]), json!({"": {"": [{}]}})]
        {
            content(*kind, &strange, None);
            content(*kind, &strange, Some(&json!({})));
            let whole =
                json!({"spec": strange, "status": strange, "data": strange, "rules": strange, "metadata": strange});
            content(*kind, &whole, None);
            content(*kind, &json!({"spec": {"template": whole, "selector": strange}}), Some(&whole));
        }
        validate(&Object::empty(*kind), None);
        validate(&Object::empty(*kind), Some(&Object::empty(*kind)));
    }
}

/// What has no status is compared with the stored one, too, where something must not change.
#[test]
fn what_is_immutable_stays_where_there_is_no_status() {
    let map = |data: &str, immutable: bool| {
        let value = serde_json::json!({"metadata": {"name": "a", "namespace": "n"}, "data": {"key": data}, "immutable": immutable});
        Object::from_value(Kind::ConfigMap, value).unwrap()
    };
    let says =
        |old: &Object, new: &Object| validate(new, Some(old)).iter().map(ToString::to_string).collect::<Vec<_>>();
    compare(&says(&map("1", true), &map("2", true)), &["data: Forbidden: field is immutable when `immutable` is set"]);
    compare(&says(&map("1", false), &map("2", false)), &[]);
    compare(&says(&map("1", true), &map("1", true)), &[]);
}
