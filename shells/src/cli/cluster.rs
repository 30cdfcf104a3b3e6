//! The cluster as the commands see it: objects as JSON, refusals as errors, warnings on standard error.

use crate::cli::error::CliError;
use crate::client::connection::{Connection, HttpStream, ServerUrl, Stop, TransportError};
use crate::client::paths;
use crate::client::wire::{self, HttpRequest, Method};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::DeleteOptions;
use serde_json::{Value, json};

/// A server, and the namespace that is meant where none is named.
pub struct Cluster {
    connection: Connection,
    /// The namespace of this command.
    pub namespace: String,
    /// Whether the user chose it.
    pub namespace_chosen: bool,
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
const FIELD_MANAGER: &str = "miniku";

/// Query parameters.
pub type Parameters = Vec<(&'static str, String)>;

impl Cluster {
    /// Nothing is asked of the server yet.
    pub fn new(server: ServerUrl, namespace: Option<String>) -> Self {
        let namespace_chosen = namespace.is_some();
        let namespace = namespace.unwrap_or_else(|| miniku_core::api::namespace::DEFAULT.into());
        Cluster { connection: Connection::new(server), namespace, namespace_chosen }
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
        serde_json::from_slice(&bytes)
            .map_err(|error| CliError::Plain(format!("error: the answer to {} is no JSON: {error}", request.target)))
    }

    /// Asks for what comes bit by bit.
    pub fn stream(&self, target: &str) -> Result<HttpStream, CliError> {
        let stream = self.connection.stream(&HttpRequest::get(target), None, &Stop::default());
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

    /// All objects that match, page by page; of all namespaces if none is given.
    pub fn list(&self, kind: Kind, namespace: Option<&str>, selectors: &Parameters) -> Result<Listed, CliError> {
        let path = paths::collection(kind, namespace);
        let row = kind.row();
        let mut listed = Listed { resource_version: String::new(), items: Vec::new() };
        let mut next = String::new();
        loop {
            let mut parameters = selectors.clone();
            parameters.push(("limit", PAGE.to_string()));
            if !next.is_empty() {
                parameters.push(("continue", next));
            }
            let mut page = self.ask(&HttpRequest::get(paths::with_query(&path, parameters)))?;
            listed.resource_version = text(&page["metadata"]["resourceVersion"]);
            next = text(&page["metadata"]["continue"]);
            if let Value::Array(items) = page["items"].take() {
                listed.items.extend(items.into_iter().map(|mut item| {
                    // Items of a list do not say what they are.
                    item["kind"] = row.name.into();
                    item["apiVersion"] = row.api_version().into();
                    item
                }));
            }
            if next.is_empty() {
                return Ok(listed);
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
        eprintln!("Warning: {warning}");
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
