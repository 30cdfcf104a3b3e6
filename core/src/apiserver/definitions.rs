//! The custom kinds of a cluster: what is stored of their definitions, ready for use.

use crate::api::custom::{CustomResourceDefinition, Version};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::served::{Form, Served};
use crate::schema::{MessageId, Schema, custom};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The definitions that are established, by kind.
#[derive(Clone, Debug, Default)]
pub struct Definitions(BTreeMap<Kind, Arc<Definition>>);

/// A definition that is established.
#[derive(Debug)]
pub struct Definition {
    /// What it defines.
    pub kind: Kind,
    object: Object,
    /// The fields of each version, of which its schema says something that can be followed.
    schemas: BTreeMap<String, (Schema, MessageId)>,
}

impl Definitions {
    /// Takes in what became of a definition's object.
    pub fn changed(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let old = old.and_then(Object::get::<CustomResourceDefinition>);
        if let Some(old) = old.filter(|old| old.is_established()) {
            self.0.remove(&old.kind());
        }
        if let Some((object, definition)) = new.and_then(|new| Some((new, new.get::<CustomResourceDefinition>()?)))
            && definition.is_established()
        {
            let kind = definition.kind();
            let schema = |version: &Version| Some((version.name.to_string(), custom::of(version.open_api()?).ok()?));
            let schemas = definition.spec.versions.iter().filter_map(schema).collect();
            self.0.insert(kind, Arc::new(Definition { kind, object: object.clone(), schemas }));
        }
    }

    /// The definition of a kind.
    pub fn of(&self, kind: Kind) -> Option<&Arc<Definition>> {
        self.0.get(&kind)
    }

    /// All of them, in the order of group and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.0.values()
    }

    /// What is served at a place.
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        if let Some(built_in) = Served::at(group, version, plural) {
            return Some(built_in);
        }
        let here = |one: &&Arc<Definition>| one.kind.row().group == group && one.kind.row().plural == plural;
        let found = self.0.values().find(here)?;
        found.said().served(version)?;
        Some(Served { kind: found.kind, form: Form::Version(version.into()) })
    }

    /// Whether a part of objects can be asked for by itself.
    pub fn has_part(&self, served: &Served, part: &str) -> bool {
        let row = served.kind.row();
        match self.of(served.kind).and_then(|definition| definition.version(served.version())) {
            Some(version) => match part {
                "status" => version.has_status(),
                "scale" => version.scale().is_some(),
                _ => false,
            },
            None => row.subresources.contains(&part) || part == "status" && row.has_status,
        }
    }
}

impl Definition {
    /// Of the definition itself.
    pub fn key(&self) -> Key {
        self.object.key()
    }

    /// What is said of the kind.
    pub fn said(&self) -> &CustomResourceDefinition {
        self.object.get().expect("only definitions are taken in")
    }

    /// The fields of one of its versions.
    pub fn schema(&self, version: &str) -> Option<(&Schema, MessageId)> {
        self.schemas.get(version).map(|(schema, message)| (schema, *message))
    }

    /// One of its versions.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.said().spec.versions.iter().find(|version| version.name == name)
    }
}
