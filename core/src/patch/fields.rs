//! Sets of fields: which fields of an object somebody wants.
//!
//! A set is a tree. Its branches are named as in `FieldsV1`: `f:NAME` a field, `k:{"name":"a"}` the item of a list that has
//! these keys, `v:"x"` an item of a set. A branch without further ones is a member; one with further ones is a member itself
//! if it holds a `.`.
//!
//! Source: Kubernetes documentation, "Server-Side Apply"; `sigs.k8s.io/structured-merge-diff`, `fieldpath`.

use crate::schema::{ListType, Message, Ownership, Schema, Type};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A set of fields below some place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// Whether the place itself is in it.
    pub member: bool,
    /// What is in it below the place.
    pub below: BTreeMap<String, Fields>,
}

impl Fields {
    /// The place itself, and nothing below.
    pub fn leaf() -> Self {
        Fields { member: true, below: BTreeMap::new() }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    /// Reads `FieldsV1`; what is no set is an empty one.
    pub fn read(value: &Value) -> Self {
        let Value::Object(branches) = value else { return Fields::default() };
        if branches.is_empty() {
            return Fields::leaf();
        }
        let below =
            branches.iter().filter(|(name, _)| *name != ".").map(|(name, value)| (name.clone(), Fields::read(value)));
        Fields { member: branches.contains_key("."), below: below.collect() }
    }

    /// As `FieldsV1`.
    pub fn write(&self) -> Value {
        let mut branches = Map::new();
        if self.member && !self.below.is_empty() {
            branches.insert(".".into(), Value::Object(Map::new()));
        }
        branches.extend(self.below.iter().map(|(name, fields)| (name.clone(), fields.write())));
        Value::Object(branches)
    }

    /// What is in either.
    pub fn union(&self, other: &Fields) -> Fields {
        let mut all = self.clone();
        all.add(other);
        all
    }

    fn add(&mut self, other: &Fields) {
        self.member |= other.member;
        for (name, fields) in &other.below {
            self.below.entry(name.clone()).or_default().add(fields);
        }
    }

    /// What is in this one and not in the other.
    pub fn without(&self, other: &Fields) -> Fields {
        let below = self.below.iter().map(|(name, fields)| match other.below.get(name) {
            Some(gone) => (name.clone(), fields.without(gone)),
            None => (name.clone(), fields.clone()),
        });
        Fields { member: self.member && !other.member, below: below.filter(|(_, fields)| !fields.is_empty()).collect() }
    }

    /// What goes of this set where the other stays: what it holds that is neither in the other nor has something of the
    /// other below it. A map whose entry somebody wants cannot go.
    pub fn unless(&self, kept: &Fields) -> Fields {
        let below = self.below.iter().map(|(name, fields)| match kept.below.get(name) {
            Some(kept) => (name.clone(), fields.unless(kept)),
            None => (name.clone(), fields.clone()),
        });
        let member = self.member && kept.is_empty();
        Fields { member, below: below.filter(|(_, fields)| !fields.is_empty()).collect() }
    }

    /// What is in both.
    pub fn common(&self, other: &Fields) -> Fields {
        let both = |(name, fields): (&String, &Fields)| Some((name.clone(), fields.common(other.below.get(name)?)));
        let below = self.below.iter().filter_map(both).filter(|(_, fields)| !fields.is_empty());
        Fields { member: self.member && other.member, below: below.collect() }
    }

    /// The paths of all members, as messages have them: `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.each(&mut String::new(), &mut paths);
        paths
    }

    fn each(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.member && !path.is_empty() {
            paths.push(path.clone());
        }
        for (name, fields) in &self.below {
            let end = path.len();
            match name.split_once(':') {
                Some(("f", field)) => {
                    path.push('.');
                    path.push_str(field);
                }
                Some(("k", keys)) => {
                    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                    let keys = keys.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
                    path.push_str(&format!("[{}]", keys.join(",")));
                }
                Some(("v", value)) => path.push_str(&format!("[={value}]")),
                _ => path.push_str(&format!("[{name}]")),
            }
            fields.each(path, paths);
            path.truncate(end);
        }
    }
}

/// The branch of a field.
pub fn field(name: &str) -> String {
    format!("f:{name}")
}

/// The branch of an item of a list that is owned item by item; absent if it has not the keys that it is told apart by.
pub fn item(schema: &Schema, list: &ListType, value: &Value) -> Option<String> {
    match &list.ownership {
        Ownership::Atomic => None,
        Ownership::Set => Some(format!("v:{value}")),
        Ownership::Map(keys) => {
            let message: Option<&Message> = match list.items {
                Type::Message(id) => Some(schema.message(id)),
                _ => None,
            };
            let mut found = BTreeMap::new();
            for key in keys.iter() {
                let default = || message.and_then(|message| message.field(key)?.default.clone());
                if let Some(value) = value.get(&**key).filter(|value| !value.is_null()).cloned().or_else(default) {
                    found.insert(key.to_string(), value);
                }
            }
            (!found.is_empty()).then(|| format!("k:{}", serde_json::to_string(&found).expect("keys are text")))
        }
    }
}

/// How a value is owned.
pub enum Parts<'a> {
    /// As a whole.
    Whole,
    /// Field by field.
    Fields,
    /// Item by item.
    Items(&'a ListType),
}

/// How a value of a type is owned. What no type is known of is owned as a whole.
pub fn parts<'a>(schema: &Schema, kind: Option<&'a Type>, value: &Value) -> Parts<'a> {
    match (kind, value) {
        (Some(Type::Message(id)), Value::Object(_)) if !schema.message(*id).atomic => Parts::Fields,
        (Some(Type::Map(map)), Value::Object(_)) if !map.atomic => Parts::Fields,
        (Some(Type::List(list)), Value::Array(_)) if list.ownership != Ownership::Atomic => Parts::Items(list),
        _ => Parts::Whole,
    }
}

/// The type of a field.
pub fn below<'a>(schema: &'a Schema, kind: Option<&'a Type>, name: &str) -> Option<&'a Type> {
    match kind? {
        Type::Message(id) => schema.message(*id).field(name).map(|field| &field.kind),
        Type::Map(map) => Some(&map.values),
        _ => None,
    }
}

/// The set of all fields of a value.
pub fn of(schema: &Schema, kind: Option<&Type>, value: &Value) -> Fields {
    match (parts(schema, kind, value), value) {
        (Parts::Fields, Value::Object(fields)) if !fields.is_empty() => {
            let each = fields.iter().filter(|(_, value)| !value.is_null());
            let each = each.map(|(name, value)| (field(name), of(schema, below(schema, kind, name), value)));
            Fields { member: false, below: each.collect() }
        }
        (Parts::Items(list), Value::Array(items)) if !items.is_empty() => {
            let each = items.iter().filter_map(|one| {
                let below = match list.ownership {
                    Ownership::Set => Fields::leaf(),
                    _ => Fields { member: true, ..of(schema, Some(&list.items), one) },
                };
                Some((item(schema, list, one)?, below))
            });
            Fields { member: false, below: each.collect() }
        }
        _ => Fields::leaf(),
    }
}

/// What differs between two values: the fields that are new or other in the second, and those that it has no more.
#[derive(Debug, Default, PartialEq)]
pub struct Difference {
    /// New or other.
    pub changed: Fields,
    /// No more there.
    pub removed: Fields,
}

/// The difference between two values of a type.
pub fn difference(schema: &Schema, kind: Option<&Type>, old: &Value, new: &Value) -> Difference {
    if old == new {
        return Difference::default();
    }
    let mut found = Difference::default();
    let mut put = |name: String, one: Difference| {
        if !one.changed.is_empty() {
            found.changed.below.insert(name.clone(), one.changed);
        }
        if !one.removed.is_empty() {
            found.removed.below.insert(name, one.removed);
        }
    };
    match (parts(schema, kind, old), parts(schema, kind, new), old, new) {
        (Parts::Fields, Parts::Fields, Value::Object(before), Value::Object(after)) => {
            for (name, value) in after.iter().filter(|(_, value)| !value.is_null()) {
                let kind = below(schema, kind, name);
                put(
                    field(name),
                    match before.get(name).filter(|value| !value.is_null()) {
                        Some(old) => difference(schema, kind, old, value),
                        None => Difference { changed: added(schema, kind, value), ..Difference::default() },
                    },
                );
            }
            for (name, value) in
                before.iter().filter(|(name, value)| !value.is_null() && after.get(*name).is_none_or(Value::is_null))
            {
                let kind = below(schema, kind, name);
                put(field(name), Difference { removed: added(schema, kind, value), ..Difference::default() });
            }
        }
        (Parts::Items(list), Parts::Items(_), Value::Array(before), Value::Array(after)) => {
            let named = |items: &'_ [Value]| -> BTreeMap<String, Value> {
                items.iter().filter_map(|one| Some((item(schema, list, one)?, one.clone()))).collect()
            };
            let (before, after) = (named(before), named(after));
            let whole = |value: &Value| match list.ownership {
                Ownership::Set => Fields::leaf(),
                _ => Fields { member: true, ..of(schema, Some(&list.items), value) },
            };
            for (name, value) in &after {
                put(
                    name.clone(),
                    match before.get(name) {
                        Some(old) => difference(schema, Some(&list.items), old, value),
                        None => Difference { changed: whole(value), ..Difference::default() },
                    },
                );
            }
            for (name, value) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
                put(name.clone(), Difference { removed: whole(value), ..Difference::default() });
            }
        }
        _ => {
            found.changed = added(schema, kind, new);
            found.removed = of(schema, kind, old).without(&of(schema, kind, new));
        }
    }
    found
}

/// All fields of a value that was not there before; a map is one of them itself.
fn added(schema: &Schema, kind: Option<&Type>, value: &Value) -> Fields {
    let mut fields = of(schema, kind, value);
    fields.member |= matches!(kind, Some(Type::Map(_)));
    fields
}

/// Takes fields out of a value; what is emptied by that goes, too.
pub fn remove(schema: &Schema, kind: Option<&Type>, value: &mut Value, gone: &Fields) {
    match (parts(schema, kind, value), value) {
        (Parts::Fields, Value::Object(fields)) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                let Some(gone) = gone.below.get(&field(&name)) else { continue };
                let Some(value) = fields.get_mut(&name) else { continue };
                if !gone.below.is_empty() {
                    remove(schema, below(schema, kind, &name), value, gone);
                }
                let emptied =
                    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
                if gone.member || emptied {
                    fields.remove(&name);
                }
            }
        }
        (Parts::Items(list), Value::Array(items)) => items.retain_mut(|one| {
            let Some(gone) = item(schema, list, one).and_then(|name| gone.below.get(&name)) else { return true };
            if gone.member {
                return false;
            }
            let keys = keys_of(list, one);
            remove(schema, Some(&list.items), one, gone);
            // Whoever wants something of an item wants what it is told apart by.
            if let Value::Object(fields) = one {
                fields.extend(keys);
            }
            true
        }),
        _ => {}
    }
}

/// The keys of an item, with their values.
fn keys_of(list: &ListType, one: &Value) -> Vec<(String, Value)> {
    let Ownership::Map(keys) = &list.ownership else { return Vec::new() };
    keys.iter().filter_map(|key| Some((key.to_string(), one.get(&**key)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use serde_json::json;

    fn fields(names: &[(u8, u8)]) -> Fields {
        let mut all = Fields::default();
        for (outer, inner) in names {
            let branch = all.below.entry(field(&format!("{}", outer % 4))).or_default();
            branch.below.insert(field(&format!("{}", inner % 4)), Fields::leaf());
        }
        all
    }

    quickcheck! {
        fn a_set_is_read_as_it_is_written(names: Vec<(u8, u8)>) -> bool {
            let set = fields(&names);
            names.is_empty() || Fields::read(&set.write()) == set
        }

        fn sets_obey_their_laws(one: Vec<(u8, u8)>, two: Vec<(u8, u8)>) -> bool {
            let (one, two) = (fields(&one), fields(&two));
            one.union(&two) == two.union(&one)
                && one.without(&two).common(&two).is_empty()
                && one.without(&two).union(&one.common(&two)) == one
        }
    }

    #[test]
    fn items_are_known_by_their_keys() {
        let schema = Schema::kubernetes();
        let kind = Type::Message(schema.named("core/v1.Pod").unwrap());
        let pod = json!({"metadata": {"finalizers": ["x"]}, "spec": {"containers": [{"name": "a", "image": "i", "args": ["1"], "ports": [{"containerPort": 80}]}]}});
        let want = json!({"f:metadata": {"f:finalizers": {"v:\"x\"": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {
            ".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}});
        assert_eq!(of(schema, Some(&kind), &pod).write(), want);
        let paths = of(schema, Some(&kind), &json!({"spec": {"containers": [{"name": "a"}]}})).paths();
        assert_eq!(paths, [".spec.containers[name=\"a\"]", ".spec.containers[name=\"a\"].name"]);
    }
}
