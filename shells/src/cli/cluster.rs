//! The cluster as the commands see it: objects as JSON, refusals as errors, warnings on standard error.

use crate::cli::catalog::{AGGREGATED, Catalog};
use crate::cli::error::CliError;
use crate::cli::{paint, similar};
use crate::client::connection::{Connection, HttpStream, ServerUrl, Stop, TransportError};
use crate::client::credentials::Credentials;
use crate::client::paths;
use crate::client::wire::{self, HttpRequest, Method};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::DeleteOptions;
use serde_json::{Value, json};
use std::cell::OnceCell;

/// A server, and the namespace that is meant where none is named.
pub struct Cluster {
    connection: Connection,
    /// The namespace of this command.
    pub namespace: String,
    /// Whether the user chose it.
    pub namespace_chosen: bool,
    /// What kinds there are, once somebody wanted to know.
    catalog: OnceCell<Catalog>,
}

/// Objects of one kind, as a list's answer holds them.
pub struct Listed {
    /// The store's revision; a watch begins after it.
    pub resource_version: String,
    /// Complete objects, with `kind` and `apiVersion`.
    pub items: Vec<Value>,
}

/// How lists are cut into pages. Source: kubectl `--chunk-size`.
const PAGE: usize = 500;

/// Who changed a field, as the server records it.
pub const FIELD_MANAGER: &str = "miniku";

/// Query parameters.
pub type Parameters = Vec<(&'static str, String)>;

impl Cluster {
    /// Nothing is asked of the server yet.
    pub fn new(server: ServerUrl, namespace: Option<String>) -> Self {
        let namespace_chosen = namespace.is_some();
        let namespace = namespace.unwrap_or_else(|| miniku_core::api::namespace::DEFAULT.into());
        Cluster { connection: Connection::new(server), namespace, namespace_chosen, catalog: OnceCell::new() }
    }

    /// The same, saying who asks.
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Cluster { connection: self.connection.with_credentials(credentials), ..self }
    }

    /// The same, with kinds that are known already.
    pub fn with_catalog(self, catalog: Catalog) -> Self {
        Cluster { catalog: catalog.into(), ..self }
    }

    /// The same server and namespace, for another thread.
    pub fn another(&self) -> Self {
        Cluster {
            connection: self.connection.clone(),
            namespace: self.namespace.clone(),
            namespace_chosen: self.namespace_chosen,
            catalog: OnceCell::new(),
        }
    }

    /// Who asks.
    pub fn credentials(&self) -> &Credentials {
        self.connection.credentials()
    }

    /// The kinds that the server has; those of every cluster, if it does not tell.
    pub fn catalog(&self) -> Result<&Catalog, CliError> {
        if let Some(catalog) = self.catalog.get() {
            return Ok(catalog);
        }
        let mut catalog = Catalog::default();
        for path in ["/api", "/apis"] {
            match self.ask(&HttpRequest::get(path).accepting(AGGREGATED)) {
                Ok(page) => catalog.add(&page),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        if catalog.0.is_empty() {
            catalog = Catalog::of_table();
        }
        Ok(self.catalog.get_or_init(|| catalog))
    }

    /// The one kind that is meant.
    pub fn kind(&self, word: &str) -> Result<Kind, CliError> {
        // Minik8s adds an s to every kind.
        let word = if word == "dnss" { "dns" } else { word };
        if let Some(kind) = Kind::meant(word) {
            return Ok(kind);
        }
        let catalog = self.catalog()?;
        catalog.meant(word).ok_or_else(|| {
            // Without the group, which is seldom what is mistyped.
            let meant = similar::nearest(word.split('.').next().unwrap_or(word), catalog.words());
            CliError::NoSuchKind { word: word.to_owned(), meant }
        })
    }

    /// The kinds of `po,rs` or `all`.
    pub fn kinds(&self, words: &str) -> Result<Vec<Kind>, CliError> {
        let mut found = Vec::new();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            let is_category = Kind::rows().any(|(_, row)| row.categories.contains(&word));
            let kinds = match Kind::meant(word) {
                Some(kind) => vec![kind],
                None if is_category => self.catalog()?.category(word),
                // A custom kind's, or a kind.
                None => match self.catalog()?.category(word) {
                    none if none.is_empty() => vec![self.kind(word)?],
                    kinds => kinds,
                },
            };
            for kind in kinds {
                if !found.contains(&kind) {
                    found.push(kind);
                }
            }
        }
        Ok(found)
    }

    /// The kind of an object that says this of itself.
    pub fn kind_named(&self, api_version: &str, name: &str) -> Result<Option<Kind>, CliError> {
        let here = |row: &miniku_core::api::kinds::KindRow| row.name == name && row.api_version() == api_version;
        match Kind::rows().find(|(_, row)| here(row)) {
            Some((kind, _)) => Ok(Some(kind)),
            None => Ok(self.catalog()?.named(api_version, name)),
        }
    }

    /// The server's address.
    pub fn server(&self) -> &ServerUrl {
        self.connection.server()
    }

    /// The key of an object in this command's namespace.
    pub fn key(&self, kind: Kind, name: &str) -> Key {
        wire::key(kind, &self.namespace, name)
    }

    /// Asks, and returns the body of a good answer.
    pub fn bytes(&self, request: &HttpRequest) -> Result<Vec<u8>, CliError> {
        let answer = self.connection.send(request).map_err(|error| self.lost(error))?;
        warn(&answer.warnings);
        if answer.code >= 300 {
            return Err(refused(answer.code, &answer.bytes));
        }
        Ok(answer.bytes)
    }

    /// Asks, and reads the answer as JSON.
    pub fn ask(&self, request: &HttpRequest) -> Result<Value, CliError> {
        let bytes = self.bytes(request)?;
        let wrong =
            |what: String| CliError::Plain(format!("error: the answer to {} is no JSON object{what}", request.target));
        match serde_json::from_slice(&bytes) {
            Ok(answer @ Value::Object(_)) => Ok(answer),
            Ok(_) => Err(wrong(String::new())),
            Err(error) => Err(wrong(format!(": {error}"))),
        }
    }

    /// Asks for what comes bit by bit.
    pub fn stream(&self, target: &str) -> Result<HttpStream, CliError> {
        self.stream_as(target, wire::JSON)
    }

    /// The same, in a form that the server may know.
    pub fn stream_as(&self, target: &str, accept: &'static str) -> Result<HttpStream, CliError> {
        let stream = self.connection.stream(&HttpRequest::get(target).accepting(accept), None, &Stop::default());
        let stream = stream.map_err(|error| self.lost(error))?;
        warn(&stream.warnings);
        if stream.code >= 300 {
            let answer = stream.finish().map_err(|error| self.lost(error))?;
            return Err(refused(answer.code, &answer.bytes));
        }
        Ok(stream)
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Result<Value, CliError> {
        self.ask(&HttpRequest::get(paths::object(key, None)))
    }

    /// One object, if it is there.
    pub fn find(&self, key: &Key) -> Result<Option<Value>, CliError> {
        match self.get(key) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of objects of a kind, for those who mistyped one.
    pub fn names(&self, kind: Kind, namespace: &str) -> Result<Vec<String>, CliError> {
        Ok(self.list(kind, Some(namespace), &Vec::new())?.items.iter().map(|item| name(item).to_owned()).collect())
    }

    /// All objects that match, page by page; of all namespaces if none is given.
    pub fn list(&self, kind: Kind, namespace: Option<&str>, selectors: &Parameters) -> Result<Listed, CliError> {
        let row = kind.row();
        let mut listed = Listed { resource_version: String::new(), items: Vec::new() };
        self.each_page(kind, namespace, selectors, wire::JSON, &mut |mut page| {
            listed.resource_version = text(&page["metadata"]["resourceVersion"]);
            if let Value::Array(items) = page["items"].take() {
                listed.items.extend(items.into_iter().map(|mut item| {
                    // Items of a list do not say what they are.
                    if item.is_object() {
                        item["kind"] = row.name.into();
                        item["apiVersion"] = row.api_version().into();
                    }
                    item
                }));
            }
            Ok(())
        })?;
        Ok(listed)
    }

    /// The pages of a list, in a form that the server knows, or as they are.
    pub fn each_page(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selectors: &Parameters,
        accept: &'static str,
        take: &mut dyn FnMut(Value) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let path = paths::collection(kind, namespace);
        let mut next = String::new();
        loop {
            let mut parameters = selectors.clone();
            parameters.push(("limit", PAGE.to_string()));
            if !next.is_empty() {
                parameters.push(("continue", next));
            }
            let page = self.ask(&HttpRequest::get(paths::with_query(&path, parameters)).accepting(accept))?;
            next = text(&page["metadata"]["continue"]);
            take(page)?;
            if next.is_empty() {
                return Ok(());
            }
        }
    }

    /// All objects that match, typed.
    pub fn objects(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selectors: &Parameters,
    ) -> Result<Vec<Object>, CliError> {
        self.list(kind, namespace, selectors)?.items.into_iter().map(|item| typed(kind, item)).collect()
    }

    /// Stores a new object. `dry` only tries.
    pub fn create(&self, kind: Kind, namespace: &str, object: &Value, dry: bool) -> Result<Value, CliError> {
        let target = paths::with_query(&paths::collection(kind, Some(namespace)), write_parameters(dry));
        self.ask(&HttpRequest::with_json(Method::Post, target, object))
    }

    /// Changes an object by a patch of any type. `subresource` is a part of it, if not the whole.
    pub fn patch(
        &self,
        key: &Key,
        subresource: Option<&str>,
        content_type: &'static str,
        patch: &Value,
        more: Parameters,
    ) -> Result<Value, CliError> {
        let mut parameters = write_parameters(false);
        // Who writes may be another, and then this is not said twice.
        parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        parameters.extend(more);
        let target = paths::with_query(&paths::object(key, subresource), parameters);
        self.ask(&HttpRequest::with_body(Method::Patch, target, content_type, patch.to_string().into_bytes()))
    }

    /// Asks something at a path that is answered and not stored, or that is a part of an object.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.ask(&HttpRequest::with_json(Method::Post, path, body))
    }

    /// Changes fields of an object.
    pub fn merge(&self, key: &Key, patch: &Value, dry: bool) -> Result<Value, CliError> {
        let target = paths::with_query(&paths::object(key, None), write_parameters(dry));
        self.ask(&HttpRequest::with_json(Method::Patch, target, patch))
    }

    /// Replaces an object.
    pub fn replace(&self, key: &Key, object: &Value, dry: bool) -> Result<Value, CliError> {
        let target = paths::with_query(&paths::object(key, None), write_parameters(dry));
        self.ask(&HttpRequest::with_json(Method::Put, target, object))
    }

    /// Removes an object, or begins to. The answer is the object as it is then, or a Status.
    pub fn delete(&self, key: &Key, options: &DeleteOptions, dry: bool) -> Result<Value, CliError> {
        let dry = dry.then(|| ("dryRun", "All".to_owned()));
        let target = paths::with_query(&paths::object(key, None), dry);
        self.ask(&HttpRequest::with_json(Method::Delete, target, &wire::delete_options(options)))
    }

    fn lost(&self, error: TransportError) -> CliError {
        match error {
            TransportError::Refused => CliError::NobodyThere(self.server().authority().to_owned()),
            other => CliError::Lost(other.to_string()),
        }
    }
}

fn write_parameters(dry: bool) -> Parameters {
    // As kubectl does: a field that Kubernetes does not know is a mistake, not a wish.
    let mut parameters = vec![("fieldManager", FIELD_MANAGER.to_owned()), ("fieldValidation", "Strict".to_owned())];
    if dry {
        parameters.push(("dryRun", "All".into()));
    }
    parameters
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("{} {warning}", paint::warning("Warning:"));
    }
}

fn refused(code: u16, bytes: &[u8]) -> CliError {
    wire::refusal(code, bytes).map_or_else(CliError::Lost, CliError::server)
}

/// A value as a typed object.
pub fn typed(kind: Kind, value: Value) -> Result<Object, CliError> {
    Object::from_value(kind, value)
        .map_err(|error| CliError::Plain(format!("error: the server sent a {} that is none: {error}", kind.row().name)))
}

/// The text of a value; empty if it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `metadata.name` of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The query parameters of selectors.
pub fn selectors(labels: Option<&str>, fields: Option<&str>) -> Parameters {
    let labels = labels.map(|text| ("labelSelector", text.to_owned()));
    let fields = fields.map(|text| ("fieldSelector", text.to_owned()));
    labels.into_iter().chain(fields).collect()
}

/// Objects of several kinds as one, as kubectl writes them.
pub fn list_of(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}
