//! Custom kinds: CustomResourceDefinition, and what makes a [`Kind`] of one.
//!
//! A [`Kind`] is copied everywhere, so a custom one is a reference to a row that stays for the life of the process. Rows
//! are shared by all definitions that say the same, and are told apart by group and plural alone, which a definition
//! cannot change. What can change (versions, schemas, columns) is looked up in the definition itself.
//!
//! Source: Kubernetes API reference v1.32, "CustomResourceDefinition"; documentation, "Extend the Kubernetes API with
//! CustomResourceDefinitions".

use crate::api::kinds::{Column, Effect, Kind, KindRow};
use crate::api::meta::{ObjectMeta, Time};
use crate::api::object::Object;
use crate::api::text::Text;
use crate::{api_enum, api_struct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;
use std::sync::OnceLock;

api_struct! {
    /// The definition of a custom kind. Its name is `plural.group`.
    pub struct CustomResourceDefinition {
        /// Names, identity, versions.
        metadata "metadata" always: ObjectMeta,
        /// What is wished.
        spec "spec" always: DefinitionSpec,
        /// What became of it.
        status "status": DefinitionStatus,
    }
}

api_struct! {
    /// What is wished of a custom kind.
    pub struct DefinitionSpec {
        /// Its API group. Fixed.
        group "group" always: Text,
        /// What it is called.
        names "names" always: Names,
        /// Whether its objects live in namespaces. Fixed.
        scope "scope" always: Scope,
        /// The versions it is served in; all are the same object, but for their names.
        versions "versions" always: Vec<Version>,
    }
}

api_enum! {
    /// Where objects of a kind live.
    pub enum Scope {
        /// In namespaces.
        #[default] Namespaced "Namespaced",
        /// In the cluster.
        Cluster "Cluster",
    }
}

api_struct! {
    /// What a kind is called.
    pub struct Names {
        /// In paths: `widgets`. Fixed.
        plural "plural" always: Text,
        /// `widget`; the kind in lower case if empty.
        singular "singular": Text,
        /// What users type: `wd`.
        short_names "shortNames": Vec<Text>,
        /// In objects: `Widget`.
        kind "kind" always: Text,
        /// In lists; the kind followed by `List` if empty.
        list_kind "listKind": Text,
        /// Groups of kinds it is listed with: `all`.
        categories "categories": Vec<Text>,
    }
}

api_struct! {
    /// One version of a custom kind.
    pub struct Version {
        /// `v1`.
        name "name" always: Text,
        /// Whether clients may use it.
        served "served" always: bool,
        /// Whether objects are kept in it; true for exactly one.
        storage "storage" always: bool,
        /// Whether clients are warned off it.
        deprecated "deprecated": bool,
        /// What they are told then.
        deprecation_warning "deprecationWarning": Option<Text>,
        /// What its objects look like.
        schema "schema": Option<Validation>,
        /// Which parts of an object can be asked for by themselves.
        subresources "subresources": Option<Subresources>,
        /// What kubectl shows beside name and age.
        columns "additionalPrinterColumns": Vec<PrinterColumn>,
    }
}

api_struct! {
    /// What objects of a version look like.
    pub struct Validation {
        /// A structural schema.
        open_api_v3_schema "openAPIV3Schema": Option<Value>,
    }
}

api_struct! {
    /// Parts of an object that are read and written by themselves.
    pub struct Subresources {
        /// `status`, if it is one.
        status "status": Option<Value>,
        /// How many there are to be, if that is one.
        scale "scale": Option<Scale>,
    }
}

api_struct! {
    /// Where an object keeps how many there are to be. Paths begin with a dot: `.spec.replicas`.
    pub struct Scale {
        /// The wish.
        spec_replicas_path "specReplicasPath" always: Text,
        /// How many there are.
        status_replicas_path "statusReplicasPath" always: Text,
        /// A selector in text form that finds them.
        label_selector_path "labelSelectorPath": Option<Text>,
    }
}

api_struct! {
    /// A column that a definition adds.
    pub struct PrinterColumn {
        /// Its header.
        name "name" always: Text,
        /// `integer`, `number`, `string`, `boolean` or `date`.
        kind "type" always: Text,
        /// How the type is shown.
        format "format": Text,
        /// What it means.
        description "description": Text,
        /// Above 0 only with `-o wide`.
        priority "priority": Option<i32>,
        /// Where the value is: a simple JSONPath.
        json_path "jsonPath" always: Text,
    }
}

api_struct! {
    /// What became of a definition.
    pub struct DefinitionStatus {
        /// `NamesAccepted`, `Established` and others.
        conditions "conditions" always: Vec<DefinitionCondition>,
        /// The names it is served under.
        accepted_names "acceptedNames" always: Names,
        /// Versions in which objects may still be kept.
        stored_versions "storedVersions" always: Vec<Text>,
    }
}

api_struct! {
    /// One aspect of a definition, and since when it is so.
    pub struct DefinitionCondition {
        /// `NamesAccepted` or `Established`.
        kind "type" always: Text,
        /// `True`, `False` or `Unknown`.
        status "status" always: Text,
        /// When `status` last changed.
        last_transition_time "lastTransitionTime": Option<Time>,
        /// Why, in one word.
        reason "reason": Text,
        /// Why, for people.
        message "message": Text,
    }
}

impl CustomResourceDefinition {
    /// The kind that it defines.
    pub fn kind(&self) -> Kind {
        // Names that it wants and has not got are another's.
        let names = if self.is_established() { &self.status.accepted_names } else { &self.spec.names };
        let spec = &self.spec;
        let storage = spec.versions.iter().find(|version| version.storage).or(spec.versions.first());
        Kind::Custom(CustomKind::of(Said {
            group: spec.group.to_string(),
            version: storage.map(|version| version.name.clone()).unwrap_or_default().to_string(),
            plural: names.plural.to_string(),
            singular: if names.singular.is_empty() { names.kind.to_lowercase() } else { names.singular.to_string() },
            kind: names.kind.to_string(),
            short: names.short_names.iter().map(String::from).collect(),
            categories: names.categories.iter().map(String::from).collect(),
            namespaced: spec.scope == Scope::Namespaced,
            has_status: storage.is_some_and(|version| version.has_status()),
            has_scale: storage.is_some_and(|version| version.scale().is_some()),
        }))
    }

    /// A version that clients may use.
    pub fn served(&self, name: &str) -> Option<&Version> {
        self.spec.versions.iter().find(|version| version.name == name && version.served)
    }

    /// The kind that it defines, if all of its objects can be asked for: in the version in which they are kept.
    pub fn open_kind(&self) -> Option<Kind> {
        let served = self.spec.versions.iter().any(|version| version.storage && version.served);
        (served && self.is_established()).then(|| self.kind())
    }

    /// Whether its objects can be asked for.
    pub fn is_established(&self) -> bool {
        self.status.conditions.iter().any(|one| one.kind == "Established" && one.status == "True")
    }
}

impl Version {
    /// Whether `status` is written by itself.
    pub fn has_status(&self) -> bool {
        self.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some())
    }

    /// Where an object keeps how many there are to be.
    pub fn scale(&self) -> Option<&Scale> {
        self.subresources.as_ref()?.scale.as_ref()
    }

    /// Its schema.
    pub fn open_api(&self) -> Option<&Value> {
        self.schema.as_ref()?.open_api_v3_schema.as_ref()
    }
}

/// What kubectl shows of definitions.
pub const COLUMNS: &[Column] = &[
    Column::name("Name"),
    Column::new("Created At", 0, |object, _| {
        object.meta().creation_timestamp.map(|time| time.to_string()).unwrap_or_default()
    }),
];

/// The columns around those that a definition adds.
const NAME_AND_AGE: &[Column] = &[Column::name("Name"), Column::age()];

/// A custom kind's row. Two are the same kind if group and plural are the same.
#[derive(Clone, Copy)]
pub struct CustomKind(&'static KindRow);

/// What a definition says of its kind that a row needs.
#[derive(Serialize, Deserialize)]
struct Said {
    group: String,
    version: String,
    plural: String,
    singular: String,
    kind: String,
    short: Vec<String>,
    categories: Vec<String>,
    namespaced: bool,
    has_status: bool,
    has_scale: bool,
}

/// One row of all that were ever made, and the next.
struct Link {
    row: KindRow,
    next: OnceLock<&'static Link>,
}

/// The first row. Rows are only ever added, at the end, so readers need no lock.
static FIRST: OnceLock<&'static Link> = OnceLock::new();

fn rows() -> impl Iterator<Item = &'static KindRow> {
    std::iter::successors(FIRST.get(), |link| link.next.get()).map(|link| &link.row)
}

impl CustomKind {
    fn of(said: Said) -> Self {
        let mut place = &FIRST;
        let mut made: Option<&'static Link> = None;
        loop {
            match place.get() {
                Some(link) if said.is(&link.row) => return CustomKind(&link.row),
                Some(link) => place = &link.next,
                // Somebody else may be faster; then theirs is looked at, too.
                None => {
                    let link = *made.get_or_insert_with(|| Box::leak(Box::new(said.link())));
                    if place.set(link).is_ok() {
                        return CustomKind(&link.row);
                    }
                }
            }
        }
    }

    /// Its row.
    pub fn row(self) -> &'static KindRow {
        self.0
    }

    /// The custom kind that is known by this group and name, in whatever version.
    pub fn named(group: &str, kind: &str) -> Option<CustomKind> {
        rows().find(|row| row.group == group && row.name == kind).map(CustomKind)
    }

    /// The custom kind that is known by this resource: `widgets.example.com`.
    pub fn of_resource(resource: &str) -> Option<CustomKind> {
        let (plural, group) = resource.split_once('.')?;
        rows().find(|row| row.group == group && row.plural == plural).map(CustomKind)
    }
}

impl Said {
    fn is(&self, row: &KindRow) -> bool {
        let texts = [&self.group, &self.version, &self.plural, &self.singular, &self.kind];
        texts == [row.group, row.version, row.plural, row.singular, row.name]
            && self.short == row.short
            && self.categories == row.categories
            && (self.namespaced, self.has_status, self.has_scale) == (row.namespaced, row.has_status, row.has_scale())
    }

    fn link(&self) -> Link {
        fn text(text: &str) -> &'static str {
            Box::leak(text.into())
        }
        fn texts(of: &[String]) -> &'static [&'static str] {
            Box::leak(of.iter().map(|one| text(one)).collect())
        }
        let row = KindRow {
            name: text(&self.kind),
            group: text(&self.group),
            version: text(&self.version),
            plural: text(&self.plural),
            singular: text(&self.singular),
            short: texts(&self.short),
            categories: texts(&self.categories),
            namespaced: self.namespaced,
            has_status: self.has_status,
            has_generation: true,
            blind_updates: false,
            subresources: if self.has_scale { &["scale"] } else { &[] },
            columns: NAME_AND_AGE,
            effect: Effect::None,
            ..KindRow::EMPTY
        };
        Link { row, next: OnceLock::new() }
    }
}

impl PartialEq for CustomKind {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for CustomKind {}

impl PartialOrd for CustomKind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CustomKind {
    fn cmp(&self, other: &Self) -> Ordering {
        if std::ptr::eq(self.0, other.0) {
            return Ordering::Equal;
        }
        (self.0.group, self.0.plural).cmp(&(other.0.group, other.0.plural))
    }
}

impl fmt::Debug for CustomKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.resource())
    }
}

/// With all that its row is made of: who reads it may know nothing of its definition.
impl Serialize for CustomKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let row = self.0;
        let said = Said {
            group: row.group.into(),
            version: row.version.into(),
            plural: row.plural.into(),
            singular: row.singular.into(),
            kind: row.name.into(),
            short: row.short.iter().map(ToString::to_string).collect(),
            categories: row.categories.iter().map(ToString::to_string).collect(),
            namespaced: row.namespaced,
            has_status: row.has_status,
            has_scale: row.has_scale(),
        };
        said.serialize(to)
    }
}

impl<'de> Deserialize<'de> for CustomKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Said::deserialize(from).map(CustomKind::of)
    }
}

/// The definition of `object`, if it is one.
pub fn definition(object: &Object) -> &CustomResourceDefinition {
    object.get().expect("the table of kinds hands these functions definitions only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn widgets(short: &str) -> Kind {
        let definition = json!({"metadata": {"name": "widgets.custom-rs.example.com"}, "spec": {
            "group": "custom-rs.example.com", "scope": "Cluster",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": [short]},
            "versions": [{"name": "v1", "served": true, "storage": true}]}});
        definition_kind(definition)
    }

    fn definition_kind(value: Value) -> Kind {
        let object = Object::from_value(Kind::CustomResourceDefinition, value).unwrap();
        definition(&object).kind()
    }

    #[test]
    fn a_kind_is_its_group_and_plural() {
        let (one, two) = (widgets("wd"), widgets("wdg"));
        assert_eq!(one, two);
        assert_eq!((one.row().short, two.row().short), (&["wd"][..], &["wdg"][..]));
        assert!(std::ptr::eq(one.row(), widgets("wd").row()), "what says the same is the same row");
        assert_eq!(one.row().resource(), "widgets.custom-rs.example.com");
        assert!(one > Kind::Dns && one != Kind::Pod);
        assert_eq!(Kind::of_resource("widgets.custom-rs.example.com"), Some(one));
        assert_eq!(Kind::named("custom-rs.example.com/v7", "Widget"), Some(one));
    }

    #[test]
    fn a_kind_reads_back_where_nobody_knew_it() {
        let text = serde_json::to_string(&widgets("wd")).unwrap();
        let text = text.replace("custom-rs.example.com", "elsewhere.example.com");
        let kind: Kind = serde_json::from_str(&text).unwrap();
        assert_eq!(kind.row().api_version(), "elsewhere.example.com/v1");
        assert_eq!(
            Object::decode(kind, br#"{"metadata":{"name":"a"},"spec":{"x":1}}"#).unwrap().at(&["spec", "x"]),
            Some(&json!(1))
        );
    }
}
