//! OpenAPI documents, version 3: what `kubectl explain` prints, and what kubectl looks up before it writes.
//!
//! There is a document a group and version. It lists every path of discovery with what can be asked there, and every
//! message of the schema that a body at those paths can hold. Nothing of it is written down: paths come from
//! [`crate::apiserver::discovery`], messages from the table, custom kinds from their definitions.
//!
//! Source: Kubernetes documentation, "The Kubernetes API", OpenAPI V3; `k8s.io/kube-openapi`; OpenAPI Specification 3.0.

use super::{Field, Message, MessageId, Ownership, Schema, Strategy, Type, table};
use crate::api::kinds::Kind;
use crate::apiserver::definitions::Definitions;
use crate::apiserver::discovery::{Part, REVIEWS, Resource, resources};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// A resource of a document.
pub struct TopLevel<'a> {
    /// Its paths, and what can be asked there.
    pub resource: Resource,
    /// What its objects look like.
    pub shape: Shape<'a>,
}

/// What the objects of a resource look like.
pub enum Shape<'a> {
    /// As a message of the table.
    Message(&'a str),
    /// As a definition's structural schema says.
    OpenApi(&'a Value),
    /// Anything is allowed.
    Open,
}

/// The list of documents, each with a hash that changes when the document does: the answer to `GET /openapi/v3`.
pub fn index(definitions: &Definitions) -> Value {
    let mut hashes: BTreeMap<String, u64> = BTreeMap::new();
    for TopLevel { resource, shape } in top_levels(definitions) {
        let hash = hashes.entry(prefix(&resource.group, &resource.version)).or_insert(*TABLE_HASH);
        *hash = hashed(*hash, format!("{resource:?}").as_bytes());
        if let Shape::OpenApi(schema) = shape {
            *hash = hashed(*hash, schema.to_string().as_bytes());
        }
    }
    let entry = |(path, hash): (String, u64)| {
        let url = format!("/openapi/v3/{path}?hash={hash:016X}");
        (path, json!({"serverRelativeURL": url}))
    };
    json!({"paths": hashes.into_iter().map(entry).collect::<Map<_, _>>()})
}

/// The document of a group and version: the answer to `GET /openapi/v3/apis/GROUP/VERSION`.
pub fn of(definitions: &Definitions, group: &str, version: &str) -> Option<Value> {
    let here = |one: &TopLevel| one.resource.group == group && one.resource.version == version;
    let kinds: Vec<TopLevel> = top_levels(definitions).into_iter().filter(here).collect();
    (!kinds.is_empty()).then(|| document(group, version, &kinds))
}

fn top_levels(definitions: &Definitions) -> Vec<TopLevel<'_>> {
    let shape = |resource: &Resource| {
        let here = |group: &str, version: &str, name: &str| {
            (group, version, name) == (&resource.group, &resource.version, &resource.kind)
        };
        let built_in = Kind::rows().find_map(|(_, row)| {
            let also = row.also.iter().find(|also| here(also.group, also.version, row.name)).map(|also| also.message);
            also.or_else(|| here(row.group, row.version, row.name).then_some(row.message))
        });
        let review = || REVIEWS.iter().find(|one| here(one.group, "v1", one.kind)).map(|review| review.message);
        if let Some(message) = built_in.or_else(review) {
            return Shape::Message(message);
        }
        let definition = definitions
            .iter()
            .find(|one| one.kind.row().group == resource.group && one.kind.row().plural == resource.plural);
        let schema = definition.and_then(|one| one.version(&resource.version)?.open_api());
        schema.map_or(Shape::Open, Shape::OpenApi)
    };
    resources(definitions).into_iter().map(|resource| TopLevel { shape: shape(&resource), resource }).collect()
}

/// A whole document.
pub fn document(group: &str, version: &str, kinds: &[TopLevel]) -> Value {
    let mut components = Components::default();
    let mut paths = Map::new();
    for kind in kinds {
        let resource = &kind.resource;
        let gvk = gvk(group, version, &resource.kind);
        let object = match kind.shape {
            Shape::Message(message) => components.object(message, gvk.clone()),
            Shape::OpenApi(schema) => components.custom(resource, schema.clone(), gvk.clone()),
            Shape::Open => {
                let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
                components.custom(resource, open, gvk.clone())
            }
        };
        let list = resource.verbs.contains(&"list").then(|| components.list(resource, &object));
        let custom = !matches!(kind.shape, Shape::Message(_));
        let of = Described { resource, gvk, object, list, custom };
        of.paths(&mut components, &mut paths);
    }
    components.close();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.0"},
        "paths": paths,
        "components": {"schemas": components.schemas},
    })
}

fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

/// Whether a document says that a field must be there. The wish of what is stored is looked into even if it is left out:
/// something in it is missing then. Definitions are the exception.
fn must_be_said(message: &Message, field: &Field) -> bool {
    let is_kind = message.field("apiVersion").is_some() && message.field("metadata").is_some();
    let may_be_left_out =
        is_kind && matches!(&*field.json, "spec" | "template") && !message.name.starts_with("apiextensions/");
    field.required && !may_be_left_out
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A resource, and the names of what its bodies hold.
struct Described<'a> {
    resource: &'a Resource,
    gvk: Value,
    object: String,
    list: Option<String>,
    custom: bool,
}

/// What a request may ask, beside its path: name, type, and what it is for.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "Whether the answer is indented.");

const LISTED: &[Parameter] = &[
    PRETTY,
    ("allowWatchBookmarks", "boolean", "Whether a watch tells now and then how far it is."),
    ("continue", "string", "Where the next part of a list begins: what the part before said."),
    ("fieldSelector", "string", "Only objects whose fields have these values."),
    ("labelSelector", "string", "Only objects with such labels."),
    ("limit", "integer", "How many objects a part of a list holds at most."),
    ("resourceVersion", "string", "How new the answer must be, or where a watch begins."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with what is there."),
    ("timeoutSeconds", "integer", "For how long a watch lasts."),
    ("watch", "boolean", "Whether changes are told as they happen."),
];

const WRITTEN: &[Parameter] = &[
    PRETTY,
    ("dryRun", "string", "All: nothing is stored."),
    ("fieldManager", "string", "Who owns the fields that are written."),
    ("fieldValidation", "string", "What becomes of unknown and duplicate fields: Ignore, Warn or Strict."),
];

const PATCHED: &[Parameter] = &[
    PRETTY,
    ("dryRun", "string", "All: nothing is stored."),
    ("fieldManager", "string", "Who owns the fields that are written."),
    ("fieldValidation", "string", "What becomes of unknown and duplicate fields: Ignore, Warn or Strict."),
    ("force", "boolean", "Whether an apply takes fields from other managers."),
];

const DELETED: &[Parameter] = &[
    PRETTY,
    ("dryRun", "string", "All: nothing is stored."),
    ("gracePeriodSeconds", "integer", "How long the object may take to end; 0 is at once."),
    ("orphanDependents", "boolean", "Whether what depends on it stays. Use propagationPolicy."),
    ("propagationPolicy", "string", "What becomes of what depends on it: Background, Foreground or Orphan."),
];

/// What bodies of patches can be. Custom kinds have no strategic merge patches.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

impl Described<'_> {
    fn paths(&self, components: &mut Components, paths: &mut Map<String, Value>) {
        let resource = self.resource;
        let base = format!("/{}", prefix(&resource.group, &resource.version));
        let places: &[String] = &match resource.namespaced {
            true => {
                [format!("{base}/namespaces/{{namespace}}/{}", resource.plural), format!("{base}/{}", resource.plural)]
            }
            false => [format!("{base}/{}", resource.plural), String::new()],
        };
        let collection = &places[0];
        let has = |verb: &str| resource.verbs.contains(&verb);
        let mut operations = Map::new();
        if let Some(list) = &self.list {
            operations.insert("get".into(), self.operation("list", LISTED, None, list, &self.gvk));
        }
        if has("create") {
            let post = self.operation("post", WRITTEN, Some(self.body(&self.object)), &self.object, &self.gvk);
            operations.insert("post".into(), post);
        }
        // Only what is referred to is in a document.
        let mut deletion = || (components.options("DeleteOptions", &self.gvk), components.options("Status", &self.gvk));
        if has("deletecollection") {
            let (options, status) = deletion();
            let body = Some(self.body(&options));
            operations.insert("delete".into(), self.operation("deletecollection", LISTED, body, &status, &self.gvk));
        }
        paths.insert(collection.clone(), self.place(operations, false));
        if let (true, Some(list)) = (resource.namespaced, &self.list) {
            let everywhere = json!({"get": self.operation("list", LISTED, None, list, &self.gvk)});
            paths.insert(places[1].clone(), everywhere);
        }
        let item = format!("{collection}/{{name}}");
        if has("get") {
            let mut operations = self.written(&self.object, &self.gvk, resource.verbs);
            if has("delete") {
                let (options, status) = deletion();
                let body = Some(self.body(&options));
                operations.insert("delete".into(), self.operation("delete", DELETED, body, &status, &self.gvk));
            }
            paths.insert(item.clone(), self.place(operations, true));
        }
        for part in &resource.parts {
            let (object, gvk) = self.part(part, components);
            let operations = self.written(&object, &gvk, part.verbs);
            paths.insert(format!("{item}/{}", part.name), self.place(operations, true));
        }
    }

    /// The name and kind of what is read and written at a part.
    fn part(&self, part: &Part, components: &mut Components) -> (String, Value) {
        let (group, version, kind) = part.kind;
        let id = super::protobuf::message_of(&api_version(group, version), kind).filter(|_| !kind.is_empty());
        match id {
            Some(id) => {
                let gvk = gvk(group, version, kind);
                (components.object(&Schema::kubernetes().message(id).name, gvk.clone()), gvk)
            }
            None => (self.object.clone(), self.gvk.clone()),
        }
    }

    /// What can be asked of one object, or of a part of it.
    fn written(&self, object: &str, gvk: &Value, verbs: &[&str]) -> Map<String, Value> {
        let mut operations = Map::new();
        for verb in verbs {
            let body = || Some(self.body(object));
            let (method, operation) = match *verb {
                "get" => ("get", self.operation("get", &[PRETTY], None, object, gvk)),
                "update" => ("put", self.operation("put", WRITTEN, body(), object, gvk)),
                // Objects are created in their collection, but parts are created where they are.
                "create" if *verbs != *self.resource.verbs => {
                    ("post", self.operation("post", WRITTEN, body(), object, gvk))
                }
                "patch" => {
                    let patches = PATCHES.iter().filter(|patch| !self.custom || !patch.contains("strategic"));
                    let any = json!({"schema": {"type": "object", "description": "A patch."}});
                    let content: Map<String, Value> = patches.map(|patch| ((*patch).into(), any.clone())).collect();
                    let body = Some(json!({"content": content, "required": true}));
                    ("patch", self.operation("patch", PATCHED, body, object, gvk))
                }
                _ => continue,
            };
            operations.insert(method.into(), operation);
        }
        operations
    }

    fn body(&self, object: &str) -> Value {
        json!({"content": {"*/*": {"schema": reference(object)}}, "required": true})
    }

    fn operation(&self, action: &str, asked: &[Parameter], body: Option<Value>, answer: &str, gvk: &Value) -> Value {
        let parameters: Vec<Value> = asked
            .iter()
            .map(|(name, kind, about)| {
                json!({"name": name, "in": "query", "description": about, "schema": {"type": kind, "uniqueItems": true}})
            })
            .collect();
        let content = json!({"application/json": {"schema": reference(answer)}});
        let mut operation = json!({
            "tags": [tag(&self.resource.group, &self.resource.version)],
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
        });
        if let Some(body) = body {
            operation["requestBody"] = body;
        }
        operation
    }

    /// A path's operations, and what stands in the path.
    fn place(&self, mut operations: Map<String, Value>, named: bool) -> Value {
        let mut parameters = Vec::new();
        for (name, is_there) in [("name", named), ("namespace", self.resource.namespaced)] {
            if is_there {
                let schema = json!({"type": "string", "uniqueItems": true});
                parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
            }
        }
        operations.insert("parameters".into(), parameters.into());
        Value::Object(operations)
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

fn tag(group: &str, version: &str) -> String {
    let group = group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    format!("{group}_{version}")
}

/// The schemas of a document, and the messages that are still to be added.
#[derive(Default)]
struct Components {
    schemas: Map<String, Value>,
    wanted: Vec<MessageId>,
    seen: BTreeSet<MessageId>,
}

impl Components {
    /// The name of a message whose values say of themselves what they are.
    fn object(&mut self, message: &str, gvk: Value) -> String {
        let name = component(message);
        let Some(id) = Schema::kubernetes().named(message) else { return name };
        if self.seen.insert(id) || !self.schemas.contains_key(&name) {
            let schema = self.message(id);
            self.schemas.insert(name.clone(), schema);
        }
        if let Some(schema) = self.schemas.get_mut(&name) {
            say_kind(schema);
            let kinds = schema["x-kubernetes-group-version-kind"].as_array().cloned().unwrap_or_default();
            let others = kinds.into_iter().filter(|other| *other != gvk);
            schema["x-kubernetes-group-version-kind"] = others.chain([gvk.clone()]).collect();
        }
        name
    }

    /// The name of a message that every group knows.
    fn options(&mut self, kind: &str, of: &Value) -> String {
        let mut gvk = of.clone();
        gvk["kind"] = kind.into();
        if kind == "Status" {
            gvk = json!({"group": "", "version": "v1", "kind": kind});
        }
        self.object(&format!("meta/v1.{kind}"), gvk)
    }

    /// The name of a custom kind: its group backwards, its version, its kind.
    fn custom(&mut self, resource: &Resource, mut schema: Value, gvk: Value) -> String {
        let mut parts: Vec<&str> = resource.group.split('.').rev().collect();
        parts.extend([&*resource.version, &*resource.kind]);
        let name = parts.join(".");
        if !schema.is_object() {
            schema = json!({"type": "object"});
        }
        say_kind(&mut schema);
        let metadata = self.reference(Schema::kubernetes().named("meta/v1.ObjectMeta"));
        schema["properties"]["metadata"] = json!({"allOf": [metadata], "description": "Names, identity, versions."});
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        self.schemas.insert(name.clone(), schema);
        name
    }

    /// The name of a list of objects.
    fn list(&mut self, resource: &Resource, object: &str) -> String {
        let name = format!("{object}List");
        let metadata = self.reference(Schema::kubernetes().named("meta/v1.ListMeta"));
        let mut schema = json!({
            "description": format!("A list of {}.", resource.plural),
            "type": "object",
            "required": ["items"],
            "properties": {
                "items": {
                    "type": "array",
                    "description": "The objects.",
                    "items": {"allOf": [reference(object)], "default": {}},
                },
                "metadata": {"allOf": [metadata], "default": {}, "description": "The version of the list."},
            },
            "x-kubernetes-group-version-kind":
                [gvk(&resource.group, &resource.version, &format!("{}List", resource.kind))],
        });
        say_kind(&mut schema);
        self.schemas.insert(name.clone(), schema);
        name
    }

    /// Adds everything that is referred to.
    fn close(&mut self) {
        while let Some(id) = self.wanted.pop() {
            let name = component(&Schema::kubernetes().message(id).name);
            if !self.schemas.contains_key(&name) {
                let schema = self.message(id);
                self.schemas.insert(name, schema);
            }
        }
    }

    fn reference(&mut self, id: Option<MessageId>) -> Value {
        let Some(id) = id else { return json!({"type": "object"}) };
        if self.seen.insert(id) {
            self.wanted.push(id);
        }
        reference(&component(&Schema::kubernetes().message(id).name))
    }

    fn message(&mut self, id: MessageId) -> Value {
        let message = Schema::kubernetes().message(id);
        let mut schema = json!({"type": "object"});
        let package = message.name.split('/').next().unwrap_or("");
        let properties: Map<String, Value> =
            message.fields.iter().map(|field| (field.json.to_string(), self.field(field, package))).collect();
        let required: Vec<&str> =
            message.fields.iter().filter(|field| must_be_said(message, field)).map(|field| &*field.json).collect();
        if !message.about.is_empty() {
            schema["description"] = (*message.about).into();
        }
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if message.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        schema
    }

    fn field(&mut self, field: &Field, package: &str) -> Value {
        let mut schema = self.kind(&field.kind, package);
        if schema.get("$ref").is_some() {
            schema = json!({"allOf": [schema]});
            if matches!(field.kind, Type::Message(_)) && !field.pointer {
                schema["default"] = json!({});
            }
        }
        if !field.about.is_empty() {
            schema["description"] = (*field.about).into();
        }
        if let Some(default) = &field.default {
            schema["default"] = default.clone();
        }
        let (strategy, key) = match (&field.strategy, &field.kind) {
            (Strategy::Default, _) => (None, None),
            (Strategy::Merge(key), _) => (Some("merge"), key.as_ref()),
            (Strategy::Replace, _) => (Some("replace"), None),
            (Strategy::RetainKeys(key), Type::List(_)) => (Some("merge,retainKeys"), key.as_ref()),
            (Strategy::RetainKeys(key), _) => (Some("retainKeys"), key.as_ref()),
        };
        if let Some(strategy) = strategy {
            schema["x-kubernetes-patch-strategy"] = strategy.into();
        }
        if let Some(key) = key {
            schema["x-kubernetes-patch-merge-key"] = (**key).into();
        }
        schema
    }

    fn kind(&mut self, kind: &Type, package: &str) -> Value {
        match kind {
            Type::Text(words) if words.is_empty() => json!({"type": "string"}),
            Type::Text(words) => {
                json!({"type": "string", "enum": words.iter().map(|word| &**word).collect::<Vec<_>>()})
            }
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Quantity => self.word(QUANTITY),
            Type::IntOrString => self.word(INT_OR_STRING),
            Type::Time => self.word(TIME),
            Type::MicroTime => self.word(MICRO_TIME),
            Type::Duration => self.word(DURATION),
            Type::Any if package == "apiextensions" => self.word(JSON),
            Type::Any => self.word(RAW),
            Type::Message(id) => self.reference(Some(*id)),
            Type::Map(map) => {
                let mut schema = json!({"type": "object", "additionalProperties": self.item(&map.values, package)});
                if map.atomic {
                    schema["x-kubernetes-map-type"] = "atomic".into();
                }
                schema
            }
            Type::List(list) => {
                let mut schema = json!({"type": "array", "items": self.item(&list.items, package)});
                schema["x-kubernetes-list-type"] = match &list.ownership {
                    Ownership::Atomic => "atomic".into(),
                    Ownership::Set => "set".into(),
                    Ownership::Map(keys) => {
                        let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
                        schema["x-kubernetes-list-map-keys"] = keys.into();
                        "map".into()
                    }
                };
                schema
            }
        }
    }

    fn item(&mut self, kind: &Type, package: &str) -> Value {
        let schema = self.kind(kind, package);
        match (schema.get("$ref").is_some(), kind) {
            (true, Type::Message(_)) => json!({"allOf": [schema], "default": {}}),
            (true, _) => json!({"allOf": [schema]}),
            (false, _) => schema,
        }
    }

    /// A reference to a type that has a name but no fields.
    fn word(&mut self, (name, schema): (&str, fn() -> Value)) -> Value {
        self.schemas.entry(name).or_insert_with(schema);
        reference(name)
    }
}

/// A type without fields: its name, and what it looks like.
type Word = (&'static str, fn() -> Value);

const QUANTITY: Word = ("io.k8s.apimachinery.pkg.api.resource.Quantity", || {
    json!({"oneOf": [{"type": "string"}, {"type": "number"}],
        "description": "An amount: a number, which may have a suffix such as m, k, M, G, Ki, Mi, Gi."})
});
const INT_OR_STRING: Word = ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", || {
    json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string",
        "x-kubernetes-int-or-string": true, "description": "A number, or a text such as a port's name or 25%."})
});
const TIME: Word = (
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    || json!({"type": "string", "format": "date-time", "description": "A time in the form of RFC 3339, in whole seconds."}),
);
const MICRO_TIME: Word = (
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    || json!({"type": "string", "format": "date-time", "description": "A time in the form of RFC 3339, in microseconds."}),
);
const DURATION: Word = (
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
    || json!({"type": "string", "description": "A time span such as 1h2m3s."}),
);
const RAW: Word = (
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    || json!({"type": "object", "description": "Any object.", "x-kubernetes-preserve-unknown-fields": true}),
);
const JSON: Word =
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", || json!({"description": "Any JSON."}));

/// Objects say what they are.
fn say_kind(schema: &mut Value) {
    if !schema.get("properties").is_some_and(Value::is_object) {
        schema["properties"] = json!({});
    }
    schema["properties"]["apiVersion"] =
        json!({"type": "string", "description": "The group and version that the object is written in."});
    schema["properties"]["kind"] = json!({"type": "string", "description": "What the object is."});
}

/// The name that OpenAPI documents of Kubernetes have for a message.
pub fn component(message: &str) -> String {
    let (package, rest) = message.split_once('/').unwrap_or((message, ""));
    match package {
        "meta" => format!("io.k8s.apimachinery.pkg.apis.meta.{rest}"),
        "apiextensions" => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{rest}"),
        "apiregistration" => format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{rest}"),
        "metrics" => format!("io.k8s.metrics.pkg.apis.metrics.{rest}"),
        "miniku" => format!("dev.miniku.{rest}"),
        package => format!("io.k8s.api.{package}.{rest}"),
    }
}

/// What every document is made of.
static TABLE_HASH: LazyLock<u64> =
    LazyLock::new(|| table::FILES.iter().fold(0xcbf2_9ce4_8422_2325, |hash, file| hashed(hash, file.as_bytes())));

/// Goes on with FNV-1a of 64 bits.
fn hashed(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::discovery::groups;

    /// Every reference of a value.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(name)) = fields.get("$ref") {
                    found.insert(name.rsplit('/').next().unwrap().to_owned());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn everything_referred_to_is_there_and_nothing_else() {
        let definitions = Definitions::default();
        let mut documents = 0;
        for (group, versions) in groups(&definitions) {
            for (version, resources) in versions {
                let document = of(&definitions, &group, &version).unwrap();
                let mut found = BTreeSet::new();
                references(&document, &mut found);
                let there: BTreeSet<String> =
                    document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
                assert_eq!(found, there, "{group}/{version}");
                for resource in resources {
                    let gvk = gvk(&group, &version, &resource.kind);
                    let has = |schema: &Value| {
                        schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|all| all.contains(&gvk))
                    };
                    let schemas = document["components"]["schemas"].as_object().unwrap();
                    assert_eq!(schemas.values().filter(|schema| has(schema)).count(), 1, "{gvk}");
                }
                documents += 1;
            }
        }
        assert_eq!(index(&definitions)["paths"].as_object().unwrap().len(), documents);
        assert!(of(&definitions, "apps", "v7").is_none());
    }

    #[test]
    fn a_field_says_how_it_is_merged() {
        let core = of(&Definitions::default(), "", "v1").unwrap();
        let schemas = &core["components"]["schemas"];
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(
            (&containers["x-kubernetes-patch-merge-key"], &containers["x-kubernetes-patch-strategy"]),
            (&json!("name"), &json!("merge"))
        );
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        let volumes = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
        assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
        let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        let asked: Vec<&Value> =
            patch["parameters"].as_array().unwrap().iter().map(|parameter| &parameter["name"]).collect();
        assert!(asked.contains(&&json!("fieldValidation")) && asked.contains(&&json!("force")));
        assert_eq!(patch["x-kubernetes-group-version-kind"], gvk("", "v1", "Pod"));
        let eviction = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]["post"];
        assert_eq!(eviction["x-kubernetes-group-version-kind"], gvk("policy", "v1", "Eviction"));
        assert!(core["paths"]["/api/v1/namespaces/{name}"]["get"].is_object());
    }
}
