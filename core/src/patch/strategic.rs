//! Strategic merge patches: as merge patches, but lists that have a key in the schema are merged by it.
//!
//! Directives say what a plain value cannot: `$patch` (`delete`, `replace`, `merge`) in a map or an item,
//! `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`, `$retainKeys`. None of them is ever stored.
//!
//! Source: Kubernetes community, `contributors/devel/sig-api-machinery/strategic-merge-patch.md`.

use crate::schema::{MessageId, Schema, Strategy, Type};
use serde_json::{Map, Value};

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
        target.retain(|name, _| keys.iter().any(|key| key.as_str() == Some(name)));
    }
    for (name, change) in patch {
        if name == PATCH || name == RETAIN || name.starts_with(ORDER) {
            continue;
        }
        if let Some(list) = name.strip_prefix(DELETE) {
            let gone = change.as_array().ok_or_else(|| format!("{name} must be a list"))?;
            if let Some(Value::Array(items)) = target.get_mut(list) {
                items.retain(|item| !gone.contains(item));
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
                merge_list(schema, items, key.as_deref(), list, change)?;
                sort(key.as_deref(), list, order)?;
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
            sort(key.as_deref(), list, Some(order))?;
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
        for item in change {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        return Ok(());
    };
    let directive = |item: &Value| item.get(PATCH).and_then(Value::as_str).map(str::to_owned);
    if change.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        list.clear();
    }
    for item in change {
        let Value::Object(fields) = item else {
            return Err(format!("expected a list of objects with {key:?}, found {item}"));
        };
        if directive(item).as_deref() == Some("replace") && fields.len() == 1 {
            continue;
        }
        let Some(name) = fields.get(key) else {
            return Err(format!("map: {} does not contain declared merge key: {key}", go_map(fields)));
        };
        let at = list.iter().position(|one| one.get(key) == Some(name));
        match (directive(item).as_deref(), at) {
            (Some("delete"), _) => list.retain(|one| one.get(key) != Some(name)),
            (_, Some(at)) => {
                let one = list[at].as_object_mut().expect("it has a field");
                merge_fields(schema, items, one, fields)?;
            }
            (_, None) => {
                let mut new = Map::new();
                merge_fields(schema, items, &mut new, fields)?;
                list.push(Value::Object(new));
            }
        }
    }
    Ok(())
}

/// As Go prints a map.
fn go_map(fields: &Map<String, Value>) -> String {
    let all = fields.iter().map(|(name, value)| format!("{name}:{}", crate::api::plain::shown(Some(value))));
    format!("map[{}]", all.collect::<Vec<_>>().join(" "))
}

/// Brings a list into the order that is said of it. Items that it does not name follow the one they followed before.
fn sort(key: Option<&str>, list: &mut Vec<Value>, order: Option<&Value>) -> Result<(), String> {
    let Some(order) = order else { return Ok(()) };
    let order = order.as_array().ok_or_else(|| format!("{ORDER} must be a list"))?;
    let identity = |item: &Value| match key {
        Some(key) => item.get(key).cloned(),
        None => Some(item.clone()),
    };
    let places: Vec<Option<Value>> = order.iter().map(identity).collect();
    let place = |item: &Value| {
        let identity = identity(item);
        places.iter().position(|one| *one == identity)
    };
    let mut groups: Vec<(Option<usize>, Vec<Value>)> = vec![(None, Vec::new())];
    for item in list.drain(..) {
        match place(&item) {
            Some(at) => groups.push((Some(at), vec![item])),
            None => groups.last_mut().expect("there is always one").1.push(item),
        }
    }
    groups.sort_by_key(|(at, _)| *at);
    list.extend(groups.into_iter().flat_map(|(_, items)| items));
    Ok(())
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
            json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}, {"name": "c"}]),
        );
        check(two(), json!([{"name": "a", "$patch": "delete"}]), json!([{"name": "b", "image": "y"}]));
        check(two(), json!([{"name": "c"}, {"$patch": "replace"}]), json!([{"name": "c"}]));
        check(two(), json!([{"name": "a", "image": null}]), json!([{"name": "a"}, {"name": "b", "image": "y"}]));
        check(
            json!([{"name": "a", "env": [{"name": "X", "value": "1"}]}]),
            json!([{"name": "a", "env": [{"name": "Y", "value": "2"}], "command": ["c"]}]),
            json!([{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}], "command": ["c"]}]),
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
            json!({"metadata": {"finalizers": ["b", "c"]}}),
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

    quickcheck! {
        fn an_empty_patch_changes_nothing(names: Vec<u8>) -> bool {
            let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            let pod = json!({"spec": {"containers": containers}});
            merged("core/v1.Pod", pod.clone(), json!({})) == Ok(pod)
        }
    }
}
