//! What `apply` changes: what the author wrote now, what they wrote last time, and what is there.
//!
//! A field the author wrote is set; one they wrote last time and no longer is removed; all others are left to those
//! who set them. Elements of lists that have a key (containers by name, say) are matched by it, so that defaults
//! inside them do not count as differences. The result is compared with what is there, and the difference is an
//! RFC 7386 patch: lists in it are whole.

use serde_json::{Map, Value};

/// What the object should become.
pub fn merged(last: Option<&Value>, wanted: &Value, live: &Value) -> Value {
    merged_at("", last, wanted, live)
}

fn merged_at(field: &str, last: Option<&Value>, wanted: &Value, live: &Value) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            merged_maps(last.and_then(Value::as_object).unwrap_or(&Map::new()), wanted, live).into()
        }
        (Value::Array(wanted), Value::Array(live)) => match merge_key(field, wanted, live) {
            Some(key) => {
                let last = last.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                merged_lists(key, last, wanted, live).into()
            }
            None => wanted.clone().into(),
        },
        _ => without_nulls(wanted),
    }
}

fn merged_maps(
    last: &Map<String, Value>,
    wanted: &Map<String, Value>,
    live: &Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, wish) in wanted {
        match (wish, live.get(name)) {
            // Written as null: the author wants it gone.
            (Value::Null, _) => drop(merged.remove(name)),
            (wish, Some(live)) => drop(merged.insert(name.clone(), merged_at(name, last.get(name), wish, live))),
            (wish, None) => drop(merged.insert(name.clone(), without_nulls(wish))),
        }
    }
    for name in last.keys().filter(|name| !wanted.contains_key(*name)) {
        merged.remove(name);
    }
    merged
}

/// In the author's order; what others added comes after.
fn merged_lists(key: &str, last: &[Value], wanted: &[Value], live: &[Value]) -> Vec<Value> {
    let find = |list: &[Value], element: &Value| list.iter().find(|one| one[key] == element[key]).cloned();
    let mut merged: Vec<Value> = wanted
        .iter()
        .map(|wish| match find(live, wish) {
            Some(live) => merged_at("", find(last, wish).as_ref(), wish, &live),
            None => without_nulls(wish),
        })
        .collect();
    let by_others = live.iter().filter(|one| find(wanted, one).is_none() && find(last, one).is_none());
    merged.extend(by_others.cloned());
    merged
}

/// By which field the elements of a list are told apart, if they all have it.
///
/// Source: Kubernetes API reference, "patch merge key"; the list is the one of strategic merge patch.
fn merge_key(field: &str, wanted: &[Value], live: &[Value]) -> Option<&'static str> {
    let keys: &[&'static str] = match field {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "topologySpreadConstraints" => &["topologyKey"],
        "ports" => &["containerPort", "port"],
        "hostAliases" => &["ip"],
        "ownerReferences" => &["uid"],
        "conditions" => &["type"],
        _ => &[],
    };
    let all_have = |key: &&&str| wanted.iter().chain(live).all(|one| one.get(**key).is_some());
    keys.iter().find(all_have).copied()
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// The RFC 7386 patch that makes `from` into `to`; `None` if they are the same.
pub fn patch(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let gone = from.keys().filter(|name| !to.contains_key(*name)).map(|name| (name.clone(), Value::Null));
            let changed = to.iter().filter_map(|(name, to)| match from.get(name) {
                Some(from) => patch(from, to).map(|patch| (name.clone(), patch)),
                None => Some((name.clone(), to.clone())),
            });
            let patch: Map<String, Value> = gone.chain(changed).collect();
            (!patch.is_empty()).then(|| patch.into())
        }
        (from, to) if from == to => None,
        (_, to) => Some(to.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_removes_and_leaves_alone() {
        let check = |last: Value, wanted: Value, live: Value, want: Option<Value>| {
            let last = Some(last).filter(|last| !last.is_null());
            assert_eq!(patch(&live, &merged(last.as_ref(), &wanted, &live)), want, "{wanted} over {live}");
        };
        check(json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "status": 2}), None);
        check(json!({"a": 1}), json!({"a": 2}), json!({"a": 1}), Some(json!({"a": 2})));
        check(json!({"a": 1, "b": 1}), json!({"a": 1}), json!({"a": 1, "b": 1}), Some(json!({"b": null})));
        // Gone already, and set back after someone else changed it.
        check(json!({"a": 1, "b": 1}), json!({"a": 1}), json!({"a": 3}), Some(json!({"a": 1})));
        // Never applied before: nothing is removed.
        check(Value::Null, json!({"a": {"x": 1}}), json!({"a": {"y": 2}}), Some(json!({"a": {"x": 1}})));
        check(json!({}), json!({"a": null, "n": {"x": null}}), json!({"a": 1}), Some(json!({"a": null, "n": {}})));
        check(
            json!({"l": {"a": "1", "b": "2"}}),
            json!({"l": {"a": "1"}}),
            json!({"l": {"a": "1", "b": "2", "c": "3"}}),
            Some(json!({"l": {"b": null}})),
        );
        // Lists without a key are replaced.
        check(json!({"args": ["a"]}), json!({"args": ["b"]}), json!({"args": ["a"]}), Some(json!({"args": ["b"]})));
    }

    #[test]
    fn elements_are_matched_by_their_key() {
        let set = |containers: Value| json!({"spec": {"containers": containers}});
        let check = |last: Value, wanted: Value, live: Value, want: Option<Value>| {
            let (last, live) = (set(last), set(live));
            assert_eq!(patch(&live, &merged(Some(&last), &set(wanted), &live)), want.map(set));
        };
        let defaulted = json!([{"name": "c", "image": "x", "imagePullPolicy": "Always"}]);
        check(json!([{"name": "c", "image": "x"}]), json!([{"name": "c", "image": "x"}]), defaulted.clone(), None);
        check(
            json!([{"name": "c", "image": "x"}]),
            json!([{"name": "c", "image": "y"}]),
            defaulted.clone(),
            Some(json!([{"name": "c", "image": "y", "imagePullPolicy": "Always"}])),
        );
        check(
            json!([{"name": "c", "image": "x"}]),
            json!([{"name": "d", "image": "y"}]),
            json!([{"name": "c", "image": "x"}, {"name": "injected", "image": "z"}]),
            Some(json!([{"name": "d", "image": "y"}, {"name": "injected", "image": "z"}])),
        );
    }
}
