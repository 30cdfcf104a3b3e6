//! The schema: which fields Kubernetes' objects have, of which types, and how their parts are merged.
//!
//! One table of messages says it for everything that looks at a field by its name: what a strict client is refused
//! ([`strict`]), what is left out and what is filled in ([`complete`]), how a patch or an apply goes into an object
//! ([`crate::patch`]), what protobuf means ([`protobuf`]), and what `kubectl explain` prints ([`openapi`]). The table of
//! Kubernetes 1.32 is the folder `kubernetes/` beside this file; a custom resource brings a schema of its own, of the same
//! form ([`custom`]), and rules for its values ([`validate`]).
//!
//! Nothing here knows of the typed structs of [`crate::api`]; a test there proves that they agree with the table.

pub mod complete;
pub mod conditional;
pub mod custom;
pub mod openapi;
pub mod protobuf;
pub mod strict;
pub mod structural;
mod table;
#[cfg(test)]
mod testing;
pub mod validate;

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages that refer to each other.
#[derive(Debug, Default)]
pub struct Schema {
    messages: Vec<Message>,
    by_name: BTreeMap<Arc<str>, MessageId>,
    /// Whether Kubernetes reads them into Go's structs, which have no `null` in lists and maps. Custom kinds are not.
    in_go: bool,
}

/// Names a message within its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(u32);

/// An object with named fields.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `core/v1.PodSpec`: group, version and type.
    pub name: Arc<str>,
    /// What it is, in one sentence; empty where miniku has nothing to say.
    pub about: Arc<str>,
    /// Its fields, as they stand in JSON: those of inlined messages included, and `kind` and `apiVersion` where it says by
    /// them what it is. Sorted by JSON name.
    pub fields: Vec<Field>,
    /// Fields that the table does not name are kept as they are (`x-kubernetes-preserve-unknown-fields`).
    pub open: bool,
    /// Whether anything in it, or below, is filled in if it is left out.
    pub fills: bool,
    /// Whether anything in it, or below, must be there or be one of certain words.
    pub ruled: bool,
    /// Whether one manager owns it as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its JSON name.
    pub json: Arc<str>,
    /// Its protobuf number; 0 where it has no protobuf form. For a field of an inlined message, the number
    /// within that one.
    pub number: u32,
    /// The numbers of the messages between its own and this one, where those are inlined in JSON only.
    pub inside: Vec<u32>,
    /// What it holds.
    pub kind: Type,
    /// Whether absent and zero differ. If not, a zero on the protobuf wire says nothing.
    pub pointer: bool,
    /// Whether the object makes no sense without it.
    pub required: bool,
    /// Whether it may be `null`; elsewhere `null` means that it is not there.
    pub nullable: bool,
    /// What it is if its author left it out.
    pub default: Option<Value>,
    /// How a strategic merge patch treats it.
    pub strategy: Strategy,
    /// What it is for, in one sentence; empty where miniku has nothing to say.
    pub about: Arc<str>,
}

/// What a field or an item holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Text; if not empty, one of these words.
    Text(Arc<[Arc<str>]>),
    /// `true` or `false`.
    Bool,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A number.
    Double,
    /// Bytes, as base64.
    Bytes,
    /// An amount: `100m`, `1Gi`, or a number.
    Quantity,
    /// An integer, or text such as a port's name or a percentage.
    IntOrString,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// `1h2m3s`.
    Duration,
    /// Any JSON.
    Any,
    /// Another message.
    Message(MessageId),
    /// Text keys, and values of one type.
    Map(Box<MapType>),
    /// Items of one type.
    List(Box<ListType>),
}

/// A map's type.
#[derive(Clone, Debug, PartialEq)]
pub struct MapType {
    /// The type of its values.
    pub values: Type,
    /// Whether one manager owns it as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

/// A list's type.
#[derive(Clone, Debug, PartialEq)]
pub struct ListType {
    /// The type of its items.
    pub items: Type,
    /// Who may own what of it, and how two lists become one in a server-side apply.
    pub ownership: Ownership,
}

/// How a list is owned and merged by a server-side apply.
///
/// Source: Kubernetes documentation, "Server-Side Apply", merge strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// As a whole.
    #[default]
    Atomic,
    /// Item by item; items are unique scalars.
    Set,
    /// Item by item; items are objects that these fields tell apart.
    Map(Arc<[Arc<str>]>),
}

/// How a strategic merge patch treats a field.
///
/// Source: Kubernetes community, `strategic-merge-patch.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Objects are merged, anything else is replaced.
    #[default]
    Default,
    /// A list is merged: of objects by the key, of scalars as a set if there is no key.
    Merge(Option<Arc<str>>),
    /// An object is replaced.
    Replace,
    /// As [`Strategy::Merge`] for lists, and of an object only the fields that `$retainKeys` names are kept.
    RetainKeys(Option<Arc<str>>),
}

/// Objects are nested no deeper: serde_json reads no deeper ones.
pub const DEPTH_MAX: usize = 127;

/// How deep a value is nested: 0 for text, 1 for an object of texts. It does not call itself, whatever the value.
pub fn depth(value: &Value) -> usize {
    let (mut deepest, mut left) = (0, vec![(value, 0)]);
    while let Some((value, above)) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, above + 1))),
            Value::Object(fields) => left.extend(fields.values().map(|value| (value, above + 1))),
            _ => {}
        }
        deepest = deepest.max(above + usize::from(value.is_array() || value.is_object()));
    }
    deepest
}

impl Schema {
    /// Whether Kubernetes reads what it describes into Go's structs. Custom kinds are not.
    pub fn is_in_go(&self) -> bool {
        self.in_go
    }

    /// A message by its name.
    pub fn named(&self, name: &str) -> Option<MessageId> {
        self.by_name.get(name).copied()
    }

    /// A message.
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// Adds a message, whose fields may refer to any that was added before.
    pub fn add(&mut self, message: Message) -> MessageId {
        let id = MessageId(u32::try_from(self.messages.len()).expect("a schema has fewer messages than bytes"));
        self.by_name.insert(message.name.clone(), id);
        self.messages.push(message);
        id
    }
}

impl Message {
    /// Adds `kind` and `apiVersion`, by which an object says what it is. In protobuf its envelope says so.
    fn says_its_kind(&mut self) {
        for (json, about) in [("apiVersion", "Whose fields it has: a group and version."), ("kind", "What it is.")] {
            let kind = Type::Text(Arc::default());
            self.fields.retain(|field| *field.json != *json);
            self.fields.push(Field { json: json.into(), about: about.into(), ..Field::new(kind) });
        }
        self.fields.sort_by(|one, other| one.json.cmp(&other.json));
    }

    /// A field by its JSON name.
    pub fn field(&self, json: &str) -> Option<&Field> {
        self.fields.binary_search_by(|field| (*field.json).cmp(json)).ok().map(|at| &self.fields[at])
    }
}

impl Field {
    /// A field of a type, about which nothing else is said.
    pub fn new(kind: Type) -> Self {
        Field {
            json: Arc::default(),
            number: 0,
            inside: Vec::new(),
            kind,
            pointer: false,
            required: false,
            nullable: false,
            default: None,
            strategy: Strategy::Default,
            about: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn depths_are_counted() {
        let check = |value: Value, want| assert_eq!(depth(&value), want, "{value}");
        check(json!("a"), 0);
        check(json!({}), 1);
        check(json!({"a": [1, {}], "b": 1}), 3);
        // As deep as text can be, and no deeper.
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(depth(&serde_json::from_str(&nested(DEPTH_MAX)).unwrap()), DEPTH_MAX);
        assert!(serde_json::from_str::<Value>(&nested(DEPTH_MAX + 1)).is_err());
    }
}
