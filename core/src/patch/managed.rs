//! Who wants which field: `metadata.managedFields`, ordinary writes, and server-side apply.
//!
//! An apply says all that its manager wants. What it wanted before and leaves out goes, unless somebody else wants it; what
//! another manager wants otherwise is a conflict, unless the apply is forced. An ordinary write takes every field that it
//! changes. Two managers that want the same value share the field.
//!
//! Source: Kubernetes documentation, "Server-Side Apply"; `sigs.k8s.io/structured-merge-diff`, `merge`.

use super::fields::{Fields, Parts, below, difference, item, of, parts, remove};
use crate::api::status::{Cause, Details, Reason, Status};
use crate::schema::{MessageId, Ownership, Schema, Type};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The manager's name.
    pub manager: &'a str,
    /// Group and version of what is written.
    pub api_version: &'a str,
    /// The part that is written; empty for the object itself.
    pub subresource: &'a str,
    /// Now, as RFC 3339.
    pub time: &'a str,
}

/// What a manager wants.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    operation: String,
    api_version: String,
    time: String,
    subresource: String,
    fields: Fields,
}

/// So many managers are known that only updated; those before them are one. Source: `k8s.io/apimachinery`,
/// `DefaultMaxUpdateManagers`.
const UPDATERS_MAX: usize = 10;

impl Entry {
    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        Some(Entry {
            manager: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            time: text("time"),
            subresource: text("subresource"),
            fields: Fields::read(value.get("fieldsV1")?),
        })
    }

    fn write(&self) -> Value {
        let mut value = json!({"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version,
            "time": self.time, "fieldsType": "FieldsV1", "fieldsV1": self.fields.write()});
        if !self.subresource.is_empty() {
            value["subresource"] = self.subresource.clone().into();
        }
        value
    }

    fn is(&self, by: &Author, operation: &str) -> bool {
        self.manager == by.manager
            && self.operation == operation
            && self.subresource == by.subresource
            && (operation == "Apply" || self.api_version == by.api_version)
    }

    fn new(by: &Author, operation: &str) -> Self {
        let texts = |text: &str| text.to_owned();
        Entry {
            manager: texts(by.manager),
            operation: texts(operation),
            api_version: texts(by.api_version),
            time: texts(by.time),
            subresource: texts(by.subresource),
            fields: Fields::default(),
        }
    }

    /// As messages name it: an apply by its manager alone.
    fn told(&self) -> String {
        match (self.operation.as_str(), self.subresource.as_str()) {
            ("Apply", _) => format!("{:?}", self.manager),
            (_, "") => format!("{:?} using {}", self.manager, self.api_version),
            (_, subresource) => {
                format!("{:?} with subresource {subresource:?} using {}", self.manager, self.api_version)
            }
        }
    }
}

fn entries(object: &Value) -> Vec<Entry> {
    object.pointer("/metadata/managedFields").map_or(Vec::new(), read)
}

fn read(managed: &Value) -> Vec<Entry> {
    managed.as_array().map_or(Vec::new(), |list| list.iter().filter_map(Entry::read).collect())
}

fn set(object: &mut Value, managed: Option<Value>) {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
    match managed {
        Some(managed) => drop(metadata.insert("managedFields".into(), managed)),
        None => drop(metadata.remove("managedFields")),
    }
}

fn write(mut entries: Vec<Entry>) -> Option<Value> {
    entries.retain(|entry| !entry.fields.is_empty());
    (!entries.is_empty()).then(|| entries.iter().map(Entry::write).collect())
}

/// An object without what nobody is said to want: identity, and what the server sets.
fn wanted(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.remove("apiVersion");
        fields.remove("kind");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            for name in NOBODYS {
                metadata.remove(*name);
            }
            if metadata.is_empty() {
                fields.remove("metadata");
            }
        }
    }
    value
}

const NOBODYS: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "resourceVersion",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
];

/// The managed fields of what an ordinary write makes of `old`, or of nothing.
pub fn update(schema: &Schema, message: MessageId, old: Option<Value>, new: Value, by: &Author) -> Option<Value> {
    let kind = Type::Message(message);
    let said = new.pointer("/metadata/managedFields");
    let clears = said
        .and_then(Value::as_array)
        .is_some_and(|list| list.is_empty() || list.iter().all(|entry| entry.as_object().is_some_and(Map::is_empty)));
    let mut managers = match (said, &old) {
        _ if clears => return None,
        (Some(said), _) => read(said),
        (None, Some(old)) => entries(old),
        (None, None) => Vec::new(),
    };
    let old = old.unwrap_or_else(|| Value::Object(Map::new()));
    let changes = difference(schema, Some(&kind), &wanted(old), &wanted(new));
    if changes.changed.is_empty() && changes.removed.is_empty() {
        return write(managers);
    }
    let at = managers.iter().position(|entry| entry.is(by, "Update"));
    for (nth, entry) in managers.iter_mut().enumerate() {
        entry.fields = entry.fields.without(&changes.removed);
        if Some(nth) != at {
            entry.fields = entry.fields.without(&changes.changed);
        }
    }
    let at = at.unwrap_or_else(|| {
        managers.push(Entry::new(by, "Update"));
        managers.len() - 1
    });
    let own = &mut managers[at];
    let fields = own.fields.union(&changes.changed);
    if fields != own.fields || !changes.removed.is_empty() {
        own.time = by.time.into();
    }
    own.fields = fields;
    forget_the_oldest(&mut managers);
    write(managers)
}

fn forget_the_oldest(managers: &mut Vec<Entry>) {
    managers.retain(|entry| !entry.fields.is_empty());
    while managers.iter().filter(|entry| entry.operation == "Update").count() > UPDATERS_MAX {
        let updates = managers.iter().enumerate().filter(|(_, entry)| entry.operation == "Update");
        let mut oldest: Vec<usize> = updates.map(|(at, _)| at).collect();
        oldest.sort_by(|one, other| managers[*one].time.cmp(&managers[*other].time));
        let (first, second) = (oldest[0].min(oldest[1]), oldest[0].max(oldest[1]));
        let gone = managers.remove(second);
        let kept = &mut managers[first];
        kept.manager = "ancient-changes".into();
        kept.fields = kept.fields.union(&gone.fields);
        kept.time = kept.time.clone().max(gone.time);
    }
}

/// What an apply makes of the stored object, or of nothing.
pub fn apply(
    schema: &Schema,
    message: MessageId,
    live: Option<&Value>,
    configuration: &Value,
    by: &Author,
    force: bool,
) -> Result<Value, Status> {
    if configuration.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(Status::failure(Reason::BadRequest, "metadata.managedFields must be nil"));
    }
    if !configuration.is_object() {
        return Err(Status::failure(Reason::BadRequest, "what is applied must be an object"));
    }
    let kind = Type::Message(message);
    let empty = Value::Object(Map::new());
    let mut managers = live.map_or(Vec::new(), entries);
    let applied = of(schema, Some(&kind), &wanted(configuration.clone()));
    let mut merged = live.map_or_else(|| empty.clone(), Value::clone);
    merge(schema, Some(&kind), &mut merged, configuration);
    let changes = difference(schema, Some(&kind), &wanted(live.cloned().unwrap_or(empty)), &wanted(merged.clone()));
    let mine = managers.iter().position(|entry| entry.is(by, "Apply"));
    let mut conflicts = Vec::new();
    for (nth, entry) in managers.iter_mut().enumerate().filter(|(nth, _)| Some(*nth) != mine) {
        let taken = entry.fields.common(&changes.changed);
        // What the same manager has updated before, it may apply.
        if taken.is_empty() {
            continue;
        }
        if force {
            entry.fields = entry.fields.without(&taken);
        } else {
            conflicts.push((nth, taken));
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict(&managers, &conflicts));
    }
    let before = mine.map_or_else(Fields::default, |at| managers[at].fields.clone());
    let others = managers.iter().enumerate().filter(|(nth, _)| Some(*nth) != mine);
    let kept = others.fold(applied.clone(), |kept, (_, entry)| kept.union(&entry.fields));
    remove(schema, Some(&kind), &mut merged, &before.unless(&kept));
    let at = mine.unwrap_or_else(|| {
        managers.push(Entry::new(by, "Apply"));
        managers.len() - 1
    });
    let own = &mut managers[at];
    if own.fields != applied || own.api_version != by.api_version {
        own.time = by.time.into();
        own.api_version = by.api_version.into();
        own.fields = applied;
    }
    if !merged.get("metadata").is_some_and(Value::is_object) {
        merged["metadata"] = Value::Object(Map::new());
    }
    set(&mut merged, write(managers));
    Ok(merged)
}

fn conflict(managers: &[Entry], conflicts: &[(usize, Fields)]) -> Status {
    let mut causes = Vec::new();
    let mut by_manager: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (nth, fields) in conflicts {
        let told = managers[*nth].told();
        for path in fields.paths() {
            causes.push(Cause {
                reason: "FieldManagerConflict".into(),
                message: format!("conflict with {told}"),
                field: path.clone(),
            });
            by_manager.entry(told.clone()).or_default().push(path);
        }
    }
    let count = causes.len();
    let several = |paths: &[String]| paths.iter().map(|path| format!("\n- {path}")).collect::<String>();
    let parts: Vec<String> = by_manager
        .iter()
        .map(|(told, paths)| match paths.as_slice() {
            [only] => format!("conflict with {told}: {only}"),
            paths => format!("conflicts with {told}:{}", several(paths)),
        })
        .collect();
    let plural = if count == 1 { "conflict" } else { "conflicts" };
    let message = format!("Apply failed with {count} {plural}: {}", parts.join("\n"));
    let mut status = Status::failure(Reason::Conflict, message);
    status.details = Some(Box::new(Details { causes, ..Details::default() }));
    status
}

/// Puts a configuration into an object.
fn merge(schema: &Schema, kind: Option<&Type>, live: &mut Value, configuration: &Value) {
    match (parts(schema, kind, live), parts(schema, kind, configuration), &mut *live, configuration) {
        (Parts::Fields, Parts::Fields, Value::Object(live), Value::Object(wanted)) => {
            for (name, value) in wanted.iter().filter(|(_, value)| !value.is_null()) {
                match live.get_mut(name) {
                    Some(one) => merge(schema, below(schema, kind, name), one, value),
                    None => drop(live.insert(name.clone(), value.clone())),
                }
            }
        }
        (Parts::Items(list), Parts::Items(_), Value::Array(live), Value::Array(wanted)) => {
            let name = |value: &Value| item(schema, list, value);
            let mut there = BTreeMap::new();
            for (at, one) in live.iter().enumerate() {
                there.entry(name(one)).or_insert(at);
            }
            let mut order = Vec::new();
            for value in wanted {
                match there.get(&name(value)).copied() {
                    Some(at) => {
                        if list.ownership != Ownership::Set {
                            merge(schema, Some(&list.items), &mut live[at], value);
                        }
                        order.push(at);
                    }
                    None => {
                        there.insert(name(value), live.len());
                        order.push(live.len());
                        live.push(value.clone());
                    }
                }
            }
            // The items that are applied stand in the order of the configuration, in the places that they have together.
            let mut places = order.clone();
            places.sort_unstable();
            places.dedup();
            if places.len() == order.len() {
                let items: Vec<Value> = order.iter().map(|at| live[*at].clone()).collect();
                for (place, one) in places.into_iter().zip(items) {
                    live[place] = one;
                }
            }
        }
        _ => *live = configuration.clone(),
    }
}

/// The fields that a manager is noted to want, for tests of others.
#[cfg(test)]
fn owned(object: &Value, manager: &str) -> Value {
    let all = entries(object).into_iter().filter(|entry| entry.manager == manager);
    all.fold(Fields::default(), |all, entry| all.union(&entry.fields)).write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn by(manager: &str) -> Author<'_> {
        Author { manager, api_version: "v1", subresource: "", time: "2026-01-01T00:00:00Z" }
    }

    fn config_map() -> (&'static Schema, MessageId) {
        let schema = Schema::kubernetes();
        (schema, schema.named("core/v1.ConfigMap").unwrap())
    }

    fn applied(live: Option<&Value>, data: Value, manager: &str, force: bool) -> Result<Value, Status> {
        let (schema, id) = config_map();
        let configuration = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        apply(schema, id, live, &configuration, &by(manager), force)
    }

    /// The same object, with a note of who wrote it.
    fn written(schema: &Schema, id: MessageId, old: Option<&Value>, new: &mut Value, by: &Author) {
        let managed = update(schema, id, old.cloned(), new.clone(), by);
        set(new, managed);
    }

    #[test]
    fn what_is_left_out_goes_unless_somebody_else_wants_it() {
        let one = applied(None, json!({"a": "1", "b": "2"}), "one", false).unwrap();
        assert_eq!(owned(&one, "one"), json!({"f:data": {"f:a": {}, "f:b": {}}}));
        let shared = applied(Some(&one), json!({"b": "2"}), "two", false).unwrap();
        let left = applied(Some(&shared), json!({}), "one", false).unwrap();
        assert_eq!(left["data"], json!({"b": "2"}), "b is still wanted by two");
        let gone = applied(Some(&left), json!({}), "two", false).unwrap();
        assert_eq!(gone.get("data"), Some(&json!({})).filter(|_| gone.get("data").is_some()));
    }

    #[test]
    fn a_map_stays_whose_entries_are_wanted() {
        // As kubectl makes an apply of what it updated: of the map itself, too.
        let mut live = applied(None, json!({"a": "1", "b": "2"}), "one", false).unwrap();
        live["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]["."] = json!({});
        let again = applied(Some(&live), json!({"a": "1"}), "one", false).unwrap();
        assert_eq!((&again["data"], owned(&again, "one")), (&json!({"a": "1"}), json!({"f:data": {"f:a": {}}})));
        let shared = applied(Some(&live), json!({"b": "2"}), "two", false).unwrap();
        let left = applied(Some(&shared), json!({}), "one", false).unwrap();
        assert_eq!(left["data"], json!({"b": "2"}), "b is still wanted by two");
    }

    #[test]
    fn other_values_are_conflicts_unless_forced() {
        let one = applied(None, json!({"a": "1"}), "one", false).unwrap();
        let refused = applied(Some(&one), json!({"a": "2"}), "two", false).unwrap_err();
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"one\": .data.a");
        assert_eq!((refused.http_code(), refused.details.unwrap().causes[0].field.as_str()), (409, ".data.a"));
        let forced = applied(Some(&one), json!({"a": "2"}), "two", true).unwrap();
        assert_eq!((&forced["data"]["a"], owned(&forced, "one")), (&"2".into(), json!({})));
        let both = applied(None, json!({"a": "1", "b": "1"}), "one", false).unwrap();
        let refused = applied(Some(&both), json!({"a": "2", "b": "2"}), "two", false).unwrap_err();
        assert_eq!(refused.message, "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b");
    }

    #[test]
    fn only_objects_are_applied() {
        let (schema, id) = config_map();
        for odd in [json!([]), json!([{"op": "add"}]), json!("x"), json!(null)] {
            assert_eq!(apply(schema, id, None, &odd, &by("one"), true).unwrap_err().http_code(), 400, "{odd}");
        }
    }

    #[test]
    fn an_ordinary_write_takes_what_it_changes() {
        let (schema, id) = config_map();
        let one = applied(None, json!({"a": "1", "b": "1"}), "one", false).unwrap();
        let mut new = one.clone();
        new["data"]["a"] = "2".into();
        written(schema, id, Some(&one), &mut new, &by("edit"));
        assert_eq!(owned(&new, "one"), json!({"f:data": {"f:b": {}}}));
        assert_eq!(owned(&new, "edit"), json!({"f:data": {"f:a": {}}}));
        let refused = applied(Some(&new), json!({"a": "1", "b": "1"}), "one", false).unwrap_err();
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"edit\" using v1: .data.a");
        let mut same = new.clone();
        let later = Author { time: "2027-01-01T00:00:00Z", ..by("edit") };
        written(schema, id, Some(&new), &mut same, &later);
        assert_eq!(same, new, "nothing changed, not even a time");
        same["metadata"]["managedFields"] = json!([]);
        written(schema, id, Some(&new), &mut same, &later);
        assert!(same["metadata"].get("managedFields").is_none());
    }

    #[test]
    fn lists_are_applied_item_by_item() {
        let schema = Schema::kubernetes();
        let id = schema.named("core/v1.Pod").unwrap();
        let pod = |containers: Value| json!({"metadata": {"name": "a"}, "spec": {"containers": containers}});
        let one = apply(
            schema,
            id,
            None,
            &pod(json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}])),
            &by("one"),
            false,
        )
        .unwrap();
        let two = apply(schema, id, Some(&one), &pod(json!([{"name": "c", "image": "z"}])), &by("two"), false).unwrap();
        assert_eq!(two["spec"]["containers"].as_array().unwrap().len(), 3);
        let less =
            apply(schema, id, Some(&two), &pod(json!([{"name": "b", "image": "y"}])), &by("one"), false).unwrap();
        assert_eq!(less["spec"]["containers"], json!([{"name": "b", "image": "y"}, {"name": "c", "image": "z"}]));
        let turned = apply(
            schema,
            id,
            Some(&one),
            &pod(json!([{"name": "b", "image": "y"}, {"name": "a", "image": "x"}])),
            &by("one"),
            false,
        )
        .unwrap();
        assert_eq!(turned["spec"]["containers"][0]["name"], "b");
        // Of an item that another has changed, what that one wants stays.
        let mut changed = one.clone();
        changed["spec"]["containers"][0]["image"] = "z".into();
        written(schema, id, Some(&one), &mut changed, &by("two"));
        let only_b = pod(json!([{"name": "b", "image": "y"}]));
        let left = apply(schema, id, Some(&changed), &only_b, &by("one"), false).unwrap();
        assert_eq!(left["spec"]["containers"], json!([{"name": "a", "image": "z"}, {"name": "b", "image": "y"}]));
    }

    #[test]
    fn many_updaters_become_one() {
        let (schema, id) = config_map();
        let mut object = json!({"metadata": {"name": "a"}, "data": {}});
        for nth in 0..15 {
            let old = object.clone();
            object["data"][format!("k{nth}")] = "x".into();
            written(schema, id, Some(&old), &mut object, &by(&format!("m{nth}")));
        }
        assert_eq!(entries(&object).len(), UPDATERS_MAX);
        assert!(entries(&object).iter().any(|entry| entry.manager == "ancient-changes"));
    }

    quickcheck! {
        fn applying_twice_is_applying_once(steps: Vec<(u8, u8, u8)>) -> bool {
            let mut object = None;
            for (manager, key, value) in steps {
                let data = json!({format!("k{}", key % 3): format!("{}", value % 2)});
                let manager = format!("m{}", manager % 3);
                let Ok(once) = applied(object.as_ref(), data.clone(), &manager, value % 3 == 0) else { continue };
                if applied(Some(&once), data, &manager, false).unwrap() != once {
                    return false;
                }
                object = Some(once);
            }
            true
        }

        fn nobody_loses_a_field_without_force(steps: Vec<(u8, u8, u8)>) -> bool {
            let mut object: Option<Value> = None;
            for (manager, key, value) in steps {
                let data = json!({format!("k{}", key % 3): format!("{}", value % 2)});
                let manager = format!("m{}", manager % 3);
                let Ok(next) = applied(object.as_ref(), data, &manager, false) else { continue };
                let others = |object: &Value| -> Vec<Value> {
                    entries(object).iter().filter(|entry| entry.manager != manager).map(Entry::write).collect()
                };
                if object.as_ref().is_some_and(|before| others(before) != others(&next)) {
                    return false;
                }
                object = Some(next);
            }
            true
        }
    }
}
