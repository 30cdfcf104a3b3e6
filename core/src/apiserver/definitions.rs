//! The custom kinds of a cluster: what is stored of their definitions, ready for use.

use crate::api::custom::{CustomResourceDefinition, Version};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::served::{Form, Served};
use crate::apiserver::fields;
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

/// A definition, and one of its versions: the one in which an object is written or shown.
///
/// Objects are kept in one version, and what a client reads and writes has the fields of its own: what only that one has
/// is looked at and then dropped, since no conversion says what would become of it.
///
/// Source: Kubernetes documentation, "Versions in CustomResourceDefinitions", strategy `None`.
#[derive(Clone, Copy)]
pub struct Within<'a> {
    /// What is said of the kind.
    pub definition: &'a Definition,
    /// The version's name.
    pub version: &'a str,
}

impl<'a> Within<'a> {
    /// The fields of the version.
    pub fn schema(self) -> Option<(&'a Schema, MessageId)> {
        self.definition.schema(self.version)
    }

    /// What is said of the version.
    pub fn said(self) -> Option<&'a Version> {
        self.definition.version(self.version)
    }

    /// `example.com/v2`.
    pub fn api_version(self) -> String {
        format!("{}/{}", self.definition.kind.row().group, self.version)
    }

    /// A kept object as it is in the version: without the fields of others, and with its defaults.
    pub fn seen(self, object: &Object) -> Object {
        self.definition.converted(object, self.version)
    }

    /// An object that was written in the version, as it is kept.
    pub fn kept(self, object: &Object) -> Object {
        self.definition.converted(object, self.definition.kind.row().version)
    }
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

    /// The definition of a kind, and the version in which it is written.
    pub fn within<'a>(&'a self, kind: Kind, version: Option<&'a str>) -> Option<Within<'a>> {
        Some(Within { definition: self.of(kind)?, version: version.unwrap_or(kind.row().version) })
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

    fn converted(&self, object: &Object, version: &str) -> Object {
        let mut converted = object.clone();
        if self.said().spec.versions.len() > 1
            && let Some((schema, message)) = self.schema(version)
        {
            // What is of another type there stays as it is.
            let _ = fields::known(&mut converted, schema, message);
            fields::completed(&mut converted, schema, message);
        }
        converted
    }

    /// One of its versions.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.said().spec.versions.iter().find(|version| version.name == name)
    }
}
