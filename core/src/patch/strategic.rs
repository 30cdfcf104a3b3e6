//! Strategic merge patches: as merge patches, but lists that have a key in the schema are merged by it.
//!
//! Directives say what a plain value cannot: `$patch` (`delete`, `replace`, `merge`) in a map or an item,
//! `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`, `$retainKeys`. None of them is ever stored.
//!
//! Source: Kubernetes community, `contributors/devel/sig-api-machinery/strategic-merge-patch.md`.

use crate::schema::{MessageId, Schema, Strategy, Type};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Changes an object of a message as a patch says. Fails where the patch is no such patch.
pub fn merge(schema: &Schema, message: MessageId, target: &mut Value, patch: &Value) -> Result<(), String> {
    let Value::Object(patch) = patch else { return Err("the patch is no object".into()) };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    merge_fields(schema, Some(&Type::Message(message)), target.as_object_mut().expect("it is one now"), patch)
}

fn merge_fields(
    schema: &Schema,
    kind: Option<&Type>,
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), String> {
    match patch.get(PATCH).map(Value::as_str) {
        None | Some(Some("merge")) => {}
        Some(Some("replace")) => target.clear(),
        Some(Some("delete")) => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(format!("unrecognized patch type {:?} in map", other.unwrap_or(""))),
    }
    if let Some(retain) = patch.get(RETAIN) {
        let keys = retain.as_array().ok_or_else(|| format!("{RETAIN} must be a list"))?;
        let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
        target.retain(|name, _| keys.contains(name.as_str()));
    }
    for (name, change) in patch {
        if name == PATCH || name == RETAIN || name.starts_with(ORDER) {
            continue;
        }
        if let Some(list) = name.strip_prefix(DELETE) {
            let gone = change.as_array().ok_or_else(|| format!("{name} must be a list"))?;
            if let Some(Value::Array(items)) = target.get_mut(list) {
                let gone: BTreeSet<String> = gone.iter().map(Value::to_string).collect();
                items.retain(|item| !gone.contains(&item.to_string()));
            }
            continue;
        }
        if name.starts_with('$') {
            return Err(format!("unknown directive {name:?}"));
        }
        let (below, strategy) = below(schema, kind, name);
        match (change, strategy) {
            (Value::Null, _) => drop(target.remove(name)),
            (Value::Array(change), Strategy::Merge(key) | Strategy::RetainKeys(key)) => {
                let items = match below {
                    Some(Type::List(list)) => Some(&list.items),
                    _ => None,
                };
                let order = patch.get(&format!("{ORDER}{name}"));
                let list = target.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if !list.is_array() {
                    *list = Value::Array(Vec::new());
                }
                let list = list.as_array_mut().expect("it is one now");
                let before = places(key.as_deref(), list);
                merge_list(schema, items, key.as_deref(), list, change)?;
                arrange(key.as_deref(), list, order.map_or(Ok(change), list_of_order)?, &before);
            }
            (Value::Object(change), Strategy::Default | Strategy::Merge(_) | Strategy::RetainKeys(_)) => {
                let value = target.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !value.is_object() {
                    *value = Value::Object(Map::new());
                }
                merge_fields(schema, below, value.as_object_mut().expect("it is one now"), change)?;
                // A map that is deleted by a directive is not there any more.
                if change.get(PATCH).and_then(Value::as_str) == Some("delete") {
                    target.remove(name);
                }
            }
            (change, _) => drop(target.insert(name.clone(), stripped(change))),
        }
    }
    // An order may be said of a list that does not change otherwise.
    for (name, order) in patch.iter().filter_map(|(name, order)| Some((name.strip_prefix(ORDER)?, order))) {
        if patch.contains_key(name) {
            continue;
        }
        let (_, strategy) = below(schema, kind, name);
        if let (Some(Value::Array(list)), Strategy::Merge(key) | Strategy::RetainKeys(key)) =
            (target.get_mut(name), strategy)
        {
            let before = places(key.as_deref(), list);
            arrange(key.as_deref(), list, list_of_order(order)?, &before);
        }
    }
    Ok(())
}

/// The type of a field, and how it is merged.
fn below<'a>(schema: &'a Schema, kind: Option<&'a Type>, name: &str) -> (Option<&'a Type>, Strategy) {
    match kind {
        Some(Type::Message(id)) => match schema.message(*id).field(name) {
            Some(field) => (Some(&field.kind), field.strategy.clone()),
            None => (None, Strategy::Default),
        },
        Some(Type::Map(map)) => (Some(&map.values), Strategy::Default),
        _ => (None, Strategy::Default),
    }
}

fn merge_list(
    schema: &Schema,
    items: Option<&Type>,
    key: Option<&str>,
    list: &mut Vec<Value>,
    change: &[Value],
) -> Result<(), String> {
    let Some(key) = key else {
        let mut there: BTreeSet<String> = list.iter().map(Value::to_string).collect();
        list.extend(change.iter().filter(|item| there.insert(item.to_string())).cloned());
        return Ok(());
    };
    let directive = |item: &Value| item.get(PATCH).and_then(Value::as_str).map(str::to_owned);
    if change.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        list.clear();
    }
    let mut changes = Vec::new();
    let mut gone = BTreeSet::new();
    for item in change {
        let Value::Object(fields) = item else {
            return Err(format!("expected a list of objects with {key:?}, found {item}"));
        };
        let directive = directive(item);
        if directive.as_deref() == Some("replace") && fields.len() == 1 {
            continue;
        }
        let Some(name) = fields.get(key) else {
            return Err(format!("map: {} does not contain declared merge key: {key}", go_map(fields)));
        };
        match directive.as_deref() {
            Some("delete") => drop(gone.insert(name.to_string())),
            _ => changes.push((name.to_string(), fields)),
        }
    }
    // Wherever it stands in the patch, what is deleted is deleted first.
    list.retain(|one| one.get(key).is_none_or(|name| !gone.contains(&name.to_string())));
    let mut places = places(Some(key), list);
    for (name, fields) in changes {
        let at = *places.entry(name).or_insert_with(|| {
            list.push(Value::Object(Map::new()));
            list.len() - 1
        });
        if let Value::Object(one) = &mut list[at] {
            merge_fields(schema, items, one, fields)?;
        }
    }
    Ok(())
}

/// As Go prints a map.
fn go_map(fields: &Map<String, Value>) -> String {
    let all = fields.iter().map(|(name, value)| format!("{name}:{}", crate::api::plain::shown(Some(value))));
    format!("map[{}]", all.collect::<Vec<_>>().join(" "))
}

fn list_of_order(order: &Value) -> Result<&Vec<Value>, String> {
    order.as_array().ok_or_else(|| format!("{ORDER} must be a list"))
}

/// Where each item of a list stands, by what tells it apart; the first of several.
fn places(key: Option<&str>, list: &[Value]) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for (at, item) in list.iter().enumerate() {
        if let Some(name) = identity(key, item) {
            places.entry(name).or_insert(at);
        }
    }
    places
}

fn identity(key: Option<&str>, item: &Value) -> Option<String> {
    match key {
        Some(key) => item.get(key).map(Value::to_string),
        None => Some(item.to_string()),
    }
}

/// Brings a merged list into the order of `said`: the order that the patch says, or else its own list. Items that are not
/// in it stand before the first that they stood before; so what is new comes first.
///
/// Source: `k8s.io/apimachinery/pkg/util/strategicpatch`, `mergeSortedSlice`.
fn arrange(key: Option<&str>, list: &mut Vec<Value>, said: &[Value], before: &BTreeMap<String, usize>) {
    let order = places(key, said);
    let place = |item: &Value, places: &BTreeMap<String, usize>| {
        identity(key, item).and_then(|name| places.get(&name)).copied()
    };
    let (mut named, others): (Vec<Value>, Vec<Value>) = list.drain(..).partition(|item| place(item, &order).is_some());
    named.sort_by_key(|item| place(item, &order));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(one), Some(other)) = (named.peek(), others.peek()) {
        let stood_before =
            matches!((place(other, before), place(one, before)), (Some(other), Some(one)) if other < one);
        list.extend(if stood_before { others.next() } else { named.next() });
    }
    list.extend(named.chain(others));
}

/// A value without directives.
fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let plain = fields.iter().filter(|(name, value)| !name.starts_with('$') && !value.is_null());
            plain.map(|(name, value)| (name.clone(), stripped(value))).collect()
        }
        Value::Array(items) => {
            let all = items.iter().filter(|item| item.get(PATCH).and_then(Value::as_str) != Some("delete"));
            all.map(stripped).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use serde_json::json;

    fn merged(kind: &str, target: Value, patch: Value) -> Result<Value, String> {
        let schema = Schema::kubernetes();
        let mut value = target;
        merge(schema, schema.named(kind).unwrap(), &mut value, &patch)?;
        Ok(value)
    }

    #[test]
    fn lists_are_merged_by_their_keys() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let check = |target: Value, patch: Value, want: Value| {
            assert_eq!(merged("core/v1.Pod", pod(target), pod(patch.clone())).unwrap(), pod(want), "{patch}");
        };
        let two = || json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]);
        check(
            two(),
            json!([{"name": "b", "image": "z"}]),
            json!([{"name": "a", "image": "x"}, {"name": "b", "image": "z"}]),
        );
        check(
            two(),
            json!([{"name": "c"}]),
            json!([{"name": "c"}, {"name": "a", "image": "x"}, {"name": "b", "image": "y"}]),
        );
        check(
            two(),
            json!([{"name": "b"}, {"name": "c"}]),
            json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}, {"name": "c"}]),
        );
        check(two(), json!([{"name": "a", "$patch": "delete"}]), json!([{"name": "b", "image": "y"}]));
        check(two(), json!([{"name": "c"}, {"$patch": "replace"}]), json!([{"name": "c"}]));
        check(two(), json!([{"name": "a", "image": null}]), json!([{"name": "a"}, {"name": "b", "image": "y"}]));
        check(
            json!([{"name": "a", "env": [{"name": "X", "value": "1"}]}]),
            json!([{"name": "a", "env": [{"name": "Y", "value": "2"}], "command": ["c"]}]),
            json!([{"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}], "command": ["c"]}]),
        );
        let error = merged("core/v1.Pod", pod(two()), pod(json!([{"image": "x"}]))).unwrap_err();
        assert_eq!(error, "map: map[image:x] does not contain declared merge key: name");
    }

    #[test]
    fn directives_do_what_they_say_and_are_not_stored() {
        let check = |target: Value, patch: Value, want: Value| {
            assert_eq!(merged("apps/v1.Deployment", target, patch.clone()).unwrap(), want, "{patch}");
        };
        check(
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        );
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
            json!({"metadata": {"finalizers": ["c", "b"]}}),
        );
        check(
            json!({"metadata": {"labels": {"a": "b"}}}),
            json!({"metadata": {"labels": {"$patch": "replace", "c": "d"}}}),
            json!({"metadata": {"labels": {"c": "d"}}}),
        );
        check(
            json!({"metadata": {"labels": {"a": "b"}}}),
            json!({"metadata": {"labels": {"$patch": "delete"}}}),
            json!({"metadata": {}}),
        );
        check(json!({}), json!({"spec": {"x": {"$patch": "merge", "y": null}}}), json!({"spec": {"x": {}}}));
        assert!(merged("apps/v1.Deployment", json!({}), json!({"$fly": 1})).is_err());
    }

    #[test]
    fn an_order_puts_items_where_they_belong() {
        let pod = |containers: &[&str]| json!({"spec": {"containers": containers.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()}});
        let order: Vec<Value> = ["c", "a"].iter().map(|name| json!({"name": name})).collect();
        let patch = json!({"spec": {"$setElementOrder/containers": order, "containers": [{"name": "c"}]}});
        assert_eq!(merged("core/v1.Pod", pod(&["a", "x"]), patch.clone()).unwrap(), pod(&["c", "a", "x"]));
        assert_eq!(merged("core/v1.Pod", pod(&["x", "a", "c"]), patch).unwrap(), pod(&["x", "c", "a"]));
    }

    #[test]
    fn long_lists_take_no_longer_than_they_are() {
        let names =
            |from: u32| -> Vec<Value> { (from..from + 20_000).map(|n| json!({"name": n.to_string()})).collect() };
        let pod = |containers: Vec<Value>| json!({"spec": {"containers": containers}});
        let merged = merged("core/v1.Pod", pod(names(0)), pod(names(10_000))).unwrap();
        assert_eq!(merged["spec"]["containers"].as_array().unwrap().len(), 30_000);
    }

    quickcheck! {
        fn an_empty_patch_changes_nothing(names: Vec<u8>) -> bool {
            let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            let pod = json!({"spec": {"containers": containers}});
            merged("core/v1.Pod", pod.clone(), json!({})) == Ok(pod)
        }
    }
}
