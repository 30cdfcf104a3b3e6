//! The schema: which fields Kubernetes' objects have, of which types, and how their parts are merged.
//!
//! One table of messages says it for everything that looks at a field by its name: what a strict client is refused
//! ([`strict`]), what is left out and what is filled in ([`complete`]), how a patch or an apply goes into an object
//! ([`crate::patch`]), what protobuf means ([`protobuf`]), and what `kubectl explain` prints ([`openapi`]). The table of
//! Kubernetes 1.32 is the folder `kubernetes/` beside this file; a custom resource brings a schema of its own, of the same
//! form.
//!
//! Nothing here knows of the typed structs of [`crate::api`]; a test there proves that they agree with the table.

pub mod complete;
pub mod strict;
mod table;

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages that refer to each other.
#[derive(Debug, Default)]
pub struct Schema {
    messages: Vec<Message>,
    by_name: BTreeMap<Arc<str>, MessageId>,
}

/// Names a message within its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(u32);

/// An object with named fields.
#[derive(Debug)]
pub struct Message {
    /// `core/v1.PodSpec`: group, version and type.
    pub name: Arc<str>,
    /// What it is, in one sentence; empty where miniku has nothing to say.
    pub about: Arc<str>,
    /// Its fields, as they stand in JSON: those of inlined messages included. Sorted by JSON name.
    pub fields: Vec<Field>,
    /// Fields that the table does not name are kept as they are (`x-kubernetes-preserve-unknown-fields`).
    pub open: bool,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its JSON name.
    pub json: Arc<str>,
    /// Its protobuf number; 0 where the message has no protobuf form. For a field of an inlined message, the number
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

impl Schema {
    /// A message by its name.
    pub fn named(&self, name: &str) -> Option<MessageId> {
        self.by_name.get(name).copied()
    }

    /// A message.
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// Adds a message, whose fields may refer to itself or to any that was added before or is reserved.
    pub fn add(&mut self, message: Message) -> MessageId {
        let id = MessageId(u32::try_from(self.messages.len()).expect("a schema has fewer messages than bytes"));
        self.by_name.insert(message.name.clone(), id);
        self.messages.push(message);
        id
    }
}

impl Message {
    /// A field by its JSON name.
    pub fn field(&self, json: &str) -> Option<&Field> {
        self.fields.binary_search_by(|field| (*field.json).cmp(json)).ok().map(|at| &self.fields[at])
    }
}
