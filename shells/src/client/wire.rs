//! The translation between what programs say and Kubernetes' HTTP API. Pure: bytes in, bytes out.

use crate::client::paths;
use miniku_core::api::kinds::Kind;
use miniku_core::api::metrics;
use miniku_core::api::object::{self, ItemsOf, Object};
use miniku_core::api::selector::{FieldSelector, LabelSelector};
use miniku_core::api::status::{Reason, Status};
use miniku_core::api::structs::Key;
use miniku_core::decision::Noted;
use miniku_core::patch::Patch;
use miniku_core::program::{Answer, DeleteOptions, Part, Query, Request, Revision, Verb, WatchEvent, WatchFrom};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;

/// One HTTP request, but for the server it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// What is done.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// In which forms the answer may come, the best first.
    pub accept: &'static str,
    /// Its body, if it has one.
    pub body: Option<Body>,
    /// The lease by which whoever sends it leads.
    pub lease: Option<String>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// A body and what it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// The body itself.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.content_type, String::from_utf8_lossy(&self.bytes))
    }
}

/// The media type of whole objects and of options.
pub const JSON: &str = "application/json";
/// The media type of RFC 7386 patches.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// The media type of RFC 6902 patches.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// The media type of patches that know the keys of lists.
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// The media type of server-side apply; JSON is YAML.
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";

impl HttpRequest {
    /// Asks for something.
    pub fn get(target: impl Into<String>) -> Self {
        HttpRequest { method: Method::Get, target: target.into(), accept: JSON, body: None, lease: None }
    }

    /// The same with a JSON body.
    pub fn with_json(method: Method, target: impl Into<String>, body: &Value) -> Self {
        let content_type = if method == Method::Patch { MERGE_PATCH } else { JSON };
        HttpRequest::with_body(method, target, content_type, body.to_string().into_bytes())
    }

    /// The same with a body of any type.
    pub fn with_body(method: Method, target: impl Into<String>, content_type: &'static str, bytes: Vec<u8>) -> Self {
        let body = Some(Body { content_type, bytes });
        HttpRequest { method, target: target.into(), accept: JSON, body, lease: None }
    }

    /// The same, answered in another form if the server knows it.
    pub fn accepting(self, accept: &'static str) -> Self {
        HttpRequest { accept, ..self }
    }

    fn with_object(method: Method, target: String, object: &Object) -> Self {
        HttpRequest::with_body(method, target, JSON, object.json().to_vec())
    }
}

/// The HTTP request that says the same as this one.
pub fn request(request: &Request) -> HttpRequest {
    HttpRequest { lease: request.fence.as_ref().map(|fence| fence.to_string()), ..asked(request) }
}

fn asked(request: &Request) -> HttpRequest {
    let dry = || request.dry_run.then(|| ("dryRun", "All".to_owned()));
    let write = |path: String| paths::with_query(&path, dry());
    match &request.verb {
        Verb::Get { key } => HttpRequest::get(paths::object(key, None)),
        Verb::List(query) => HttpRequest::get(list_target(query)),
        Verb::Watch { query, from, bookmarks } => HttpRequest::get(watch_target(query, *from, *bookmarks, None)),
        Verb::Create { object } => {
            let path = paths::collection(object.kind(), Some(&object.meta().namespace));
            HttpRequest::with_object(Method::Post, write(path), object)
        }
        Verb::Update { object, part } => {
            let path = paths::object(&object.key(), subresource(*part));
            HttpRequest::with_object(Method::Put, write(path), object)
        }
        Verb::Merge { key, patch, part } => {
            HttpRequest::with_json(Method::Patch, write(paths::object(key, subresource(*part))), patch)
        }
        Verb::Patch { key, patch, part } => {
            let target = write(paths::object(key, subresource(*part)));
            let (body, media) = match patch {
                Patch::Json(body) => (body, JSON_PATCH),
                Patch::Merge(body) => (body, MERGE_PATCH),
                Patch::Strategic(body) => (body, STRATEGIC_PATCH),
                Patch::Apply { configuration, .. } => (configuration, APPLY_PATCH),
            };
            let bytes = serde_json::to_vec(body).expect("JSON values have string keys and finite numbers");
            HttpRequest::with_body(Method::Patch, target, media, bytes)
        }
        Verb::Bind { key, uid, node } => {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": &*key.name, "namespace": &*key.namespace, "uid": &**uid},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            });
            HttpRequest::with_json(Method::Post, write(paths::object(key, Some("binding"))), &binding)
        }
        Verb::Delete { key, options } if options.eviction => {
            let eviction = json!({
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": &*key.name, "namespace": &*key.namespace},
                "deleteOptions": delete_options(options),
            });
            HttpRequest::with_json(Method::Post, write(paths::object(key, Some("eviction"))), &eviction)
        }
        Verb::Delete { key, options } => {
            let target = write(paths::object(key, None));
            HttpRequest::with_json(Method::Delete, target, &delete_options(options))
        }
    }
}

/// Where the objects that match are listed.
pub fn list_target(query: &Query) -> String {
    let mut parameters = selectors(query);
    if let Some(revision) = query.not_older_than {
        parameters.push(("resourceVersion", revision.to_string()));
        parameters.push(("resourceVersionMatch", "NotOlderThan".into()));
    }
    paths::with_query(&collection(query), parameters)
}

/// The HTTP request that asks what the pods use that match.
pub fn usage(query: &Query) -> HttpRequest {
    let root = format!("/apis/{}/{}", metrics::GROUP, metrics::VERSION);
    let path = match &query.namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/pods"),
        None => format!("{root}/pods"),
    };
    HttpRequest::get(paths::with_query(&path, selectors(query)))
}

/// The HTTP request that tells what was decided.
pub fn decisions(noted: &[Noted]) -> HttpRequest {
    let bytes = serde_json::to_vec(noted).expect("decisions have string keys");
    HttpRequest::with_body(Method::Post, "/decisions", JSON, bytes)
}

/// The HTTP request that asks which decisions led to an object.
pub fn decided(key: &object::Key) -> HttpRequest {
    HttpRequest::get(paths::with_query("/decisions", [("of", key.to_string())]))
}

/// Where the objects that match are watched; the server is asked to end it after so many seconds.
pub fn watch_target(query: &Query, from: WatchFrom, bookmarks: bool, seconds: Option<u64>) -> String {
    let mut parameters = selectors(query);
    parameters.push(("watch", "true".into()));
    if bookmarks {
        parameters.push(("allowWatchBookmarks", "true".into()));
    }
    // No revision at all: the objects there are come first, as added.
    if let WatchFrom::After(revision) = from {
        parameters.push(("resourceVersion", revision.to_string()));
    }
    if let Some(seconds) = seconds {
        parameters.push(("timeoutSeconds", seconds.to_string()));
    }
    paths::with_query(&collection(query), parameters)
}

fn collection(query: &Query) -> String {
    paths::collection(query.kind, query.namespace.as_deref())
}

fn selectors(query: &Query) -> Vec<(&'static str, String)> {
    let labels = (!query.labels.is_empty()).then(|| ("labelSelector", label_selector(&query.labels)));
    let fields = (!query.fields.0.is_empty()).then(|| ("fieldSelector", field_selector(&query.fields)));
    labels.into_iter().chain(fields).collect()
}

fn label_selector(labels: &LabelSelector) -> String {
    labels.to_string()
}

fn field_selector(fields: &FieldSelector) -> String {
    let parts = fields.0.iter().map(|one| format!("{}{}{}", one.field, if one.equal { "=" } else { "!=" }, one.value));
    parts.collect::<Vec<_>>().join(",")
}

fn subresource(part: Part) -> Option<&'static str> {
    match part {
        Part::Main => None,
        Part::Status => Some("status"),
        Part::Finalize => Some("finalize"),
        Part::Scale => Some("scale"),
    }
}

/// `DeleteOptions` as JSON; what is not asked for is left out.
pub fn delete_options(options: &DeleteOptions) -> Value {
    let mut body = Map::from_iter([("apiVersion".into(), "v1".into()), ("kind".into(), "DeleteOptions".into())]);
    if let Some(seconds) = options.grace_seconds {
        body.insert("gracePeriodSeconds".into(), seconds.into());
    }
    if let Some(propagation) = options.propagation {
        body.insert("propagationPolicy".into(), json!(propagation));
    }
    let uid = options.uid.as_ref().map(|uid| ("uid".to_owned(), Value::from(uid.as_str())));
    let version =
        options.resource_version.as_ref().map(|version| ("resourceVersion".to_owned(), version.as_str().into()));
    let preconditions: Map<String, Value> = uid.into_iter().chain(version).collect();
    if !preconditions.is_empty() {
        body.insert("preconditions".into(), preconditions.into());
    }
    Value::Object(body)
}

/// The kind of objects that this request is answered with.
pub fn kind_of(request: &Request) -> Kind {
    match &request.verb {
        Verb::List(query) | Verb::Watch { query, .. } => query.kind,
        Verb::Create { object } | Verb::Update { object, .. } => object.kind(),
        Verb::Get { key }
        | Verb::Merge { key, .. }
        | Verb::Patch { key, .. }
        | Verb::Bind { key, .. }
        | Verb::Delete { key, .. } => key.kind,
    }
}

/// What the response to this request says.
///
/// A bind is answered by a `Status` of success, and so are deletions that are done: both are [`Answer::Removed`],
/// since that is how core says "done, and there is no object to show". So is the write of a scale.
pub fn answer(request: &Request, code: u16, bytes: &[u8]) -> Answer {
    if code >= 400 {
        return match refusal(code, bytes) {
            // The server has given up waiting: what was asked for may be done yet.
            Ok(status) if status.reason == Some(Reason::Timeout) && !status.is_too_large_revision() => {
                Answer::Lost(status.message)
            }
            Ok(status) => Answer::Refused(status),
            Err(trouble) => Answer::Lost(trouble),
        };
    }
    let kind = kind_of(request);
    let decoded = match &request.verb {
        Verb::List(_) => list(kind, bytes),
        // What is answered is the Scale, and not the object.
        Verb::Merge { part: Part::Scale, .. } => return Answer::Removed(Status::created()),
        _ => object(kind, bytes).map(|object| Answer::Object { object, created: code == 201 }),
    };
    // What names itself a Status is none of the above.
    decoded.unwrap_or_else(|what| match status(bytes) {
        Some(status) if status.status == "Success" => Answer::Removed(status),
        Some(status) => Answer::Refused(status),
        None => Answer::Lost(format!("the server's answer makes no sense: {what}")),
    })
}

/// What an answer with an error code says: the server's own words, or what the code means.
///
/// A 5xx without a Status comes from something between us and the server, or from a server in trouble: whether the
/// request was carried out is not known, hence `Err`.
pub fn refusal(code: u16, bytes: &[u8]) -> Result<Status, String> {
    if let Some(status) = status(bytes) {
        return Ok(status);
    }
    let text = String::from_utf8_lossy(bytes);
    let text = match text.trim() {
        "" => format!("the server answered {code}"),
        text => text.chars().take(300).collect(),
    };
    let reason = match code {
        400 => Reason::BadRequest,
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        405 => Reason::MethodNotAllowed,
        406 => Reason::NotAcceptable,
        409 => Reason::Conflict,
        410 => Reason::Expired,
        413 => Reason::RequestEntityTooLarge,
        415 => Reason::UnsupportedMediaType,
        422 => Reason::Invalid,
        429 => Reason::TooManyRequests,
        500.. => return Err(format!("{code}: {text}")),
        _ => Reason::BadRequest,
    };
    Ok(Status::failure(reason, text))
}

/// What the bytes say of themselves, read without reading the rest.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(default, borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(default, rename = "apiVersion", borrow)]
    api_version: Option<Cow<'a, str>>,
}

fn status(bytes: &[u8]) -> Option<Status> {
    let said: Said = serde_json::from_slice(bytes).ok()?;
    let is_status = said.kind.as_deref() == Some("Status") && said.api_version.as_deref() == Some("v1");
    is_status.then(|| serde_json::from_slice(bytes).ok())?
}

fn object(kind: Kind, bytes: &[u8]) -> Result<Object, String> {
    Object::decode(kind, bytes).map_err(|error| error.to_string())
}

#[derive(Default, Deserialize)]
struct ListMeta<'a> {
    #[serde(default, rename = "resourceVersion", borrow)]
    resource_version: Cow<'a, str>,
}

fn list(kind: Kind, bytes: &[u8]) -> Result<Answer, String> {
    // Checked as a whole: that takes less than to check each string when it is read.
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut from = serde_json::Deserializer::from_str(text);
    let list = List { kind }.deserialize(&mut from).and_then(|list| from.end().map(|()| list));
    let (revision_text, items) = list.map_err(|error| error.to_string())?;
    Ok(Answer::List { revision: revision(&revision_text)?, items })
}

/// Reads a list in one pass: the text of its revision, and its items.
struct List {
    kind: Kind,
}

impl<'de> DeserializeSeed<'de> for List {
    type Value = (Cow<'de, str>, Vec<Object>);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = (Cow<'de, str>, Vec<Object>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut meta, mut items) = (ListMeta::default(), Vec::new());
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "kind" if map.next_value::<Key>()?.0 == "Status" => return Err(A::Error::custom("it is a Status")),
                "kind" => {}
                "metadata" => meta = map.next_value()?,
                "items" => items = map.next_value_seed(ItemsOf(self.kind))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((meta.resource_version, items))
    }
}

fn revision(text: &str) -> Result<Revision, String> {
    text.parse().map(Revision).map_err(|_| format!("metadata.resourceVersion: {text:?} is no revision"))
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What one line of a watch says. An error other than "too old" ends the watch, hence `Err`.
pub fn event(kind: Kind, line: &[u8]) -> Result<WatchEvent, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| format!("no watch event: {error}"))?;
    let bytes = line.object.get().as_bytes();
    match &*line.kind {
        "ADDED" => Ok(WatchEvent::Added(object(kind, bytes)?)),
        "MODIFIED" => Ok(WatchEvent::Modified(object(kind, bytes)?)),
        "DELETED" => Ok(WatchEvent::Deleted(object(kind, bytes)?)),
        "BOOKMARK" => {
            let object = object(kind, bytes)?;
            revision(&object.meta().resource_version).map(WatchEvent::Bookmark)
        }
        "ERROR" => match status(bytes) {
            Some(status) if status.code == Some(410) || status.reason == Some(Reason::Expired) => {
                Ok(WatchEvent::Expired(status))
            }
            Some(status) => Err(status.message),
            None => Err(format!("the server ends the watch: {}", line.object.get())),
        },
        other => Err(format!("{other:?} is no type of watch event")),
    }
}

/// The text of a `Warning` header: `299 - "text"`. Source: RFC 7234, section 5.5.
pub fn warning(header: &str) -> Option<String> {
    let (_, quoted) = header.split_once('"')?;
    let (mut text, mut chars) = (String::new(), quoted.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(text),
            '\\' => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    None
}

/// The key of an object by its kind's scope: kinds without namespaces have none, whatever is said.
pub fn key(kind: Kind, namespace: &str, name: &str) -> object::Key {
    object::Key::new(kind, if kind.row().namespaced { namespace } else { "" }, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::api::object::Key;
    use miniku_core::api::selector::{parse_field_selector, parse_label_selector};
    use miniku_core::program::Propagation;
    use std::sync::Arc;

    fn pod() -> Object {
        let text = br#"{"metadata":{"name":"a","namespace":"x"},"spec":{"containers":[]},"status":{}}"#;
        Object::decode(Kind::Pod, text).unwrap()
    }

    #[test]
    fn requests_are_kubernetes_requests() {
        let check = |verb: Verb, want: &str| {
            let http = request(&verb.into());
            let body = http.body.map_or(String::new(), |body| format!(" {body:?}"));
            assert_eq!(format!("{} {}{body}", http.method.as_str(), http.target), want);
        };
        let key = || Key::new(Kind::Pod, "x", "a");
        let pod_json = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"x"},"spec":{"containers":[],"restartPolicy":"Always"},"status":{"phase":"Pending"}}"#;
        check(Verb::Get { key: key() }, "GET /api/v1/namespaces/x/pods/a");
        check(Verb::List(Query::all(Kind::Lease)), "GET /apis/coordination.k8s.io/v1/leases");
        let query = Query {
            namespace: Some("x".into()),
            labels: parse_label_selector("app=web,tier!=db,!old").unwrap(),
            fields: parse_field_selector("spec.nodeName=n,status.phase!=Failed").unwrap(),
            ..Query::all(Kind::Pod)
        };
        let selected = "labelSelector=app%20in%20%28web%29%2Ctier%20notin%20%28db%29%2C%21old\
            &fieldSelector=spec.nodeName%3Dn%2Cstatus.phase%21%3DFailed";
        check(Verb::List(query.clone()), &format!("GET /api/v1/namespaces/x/pods?{selected}"));
        check(
            Verb::Watch { query, from: WatchFrom::After(Revision(7)), bookmarks: true },
            &format!("GET /api/v1/namespaces/x/pods?{selected}&watch=true&allowWatchBookmarks=true&resourceVersion=7"),
        );
        check(
            Verb::List(Query { not_older_than: Some(Revision(7)), ..Query::all(Kind::Node) }),
            "GET /api/v1/nodes?resourceVersion=7&resourceVersionMatch=NotOlderThan",
        );
        let from = WatchFrom::Start;
        check(Verb::Watch { query: Query::all(Kind::Node), from, bookmarks: false }, "GET /api/v1/nodes?watch=true");
        check(Verb::Create { object: pod() }, &format!("POST /api/v1/namespaces/x/pods application/json: {pod_json}"));
        check(
            Verb::Update { object: pod(), part: Part::Status },
            &format!("PUT /api/v1/namespaces/x/pods/a/status application/json: {pod_json}"),
        );
        check(
            Verb::Merge { key: key(), patch: json!({"metadata": {"labels": {"a": null}}}), part: Part::Main },
            r#"PATCH /api/v1/namespaces/x/pods/a application/merge-patch+json: {"metadata":{"labels":{"a":null}}}"#,
        );
        check(
            Verb::Merge { key: Key::new(Kind::Namespace, "", "x"), patch: json!({}), part: Part::Finalize },
            "PATCH /api/v1/namespaces/x/finalize application/merge-patch+json: {}",
        );
        check(
            Verb::Bind { key: key(), uid: "u".into(), node: "n".into() },
            r#"POST /api/v1/namespaces/x/pods/a/binding application/json: {"apiVersion":"v1","kind":"Binding","metadata":{"name":"a","namespace":"x","uid":"u"},"target":{"apiVersion":"v1","kind":"Node","name":"n"}}"#,
        );
        check(
            Verb::Delete { key: key(), options: DeleteOptions::default() },
            r#"DELETE /api/v1/namespaces/x/pods/a application/json: {"apiVersion":"v1","kind":"DeleteOptions"}"#,
        );
        let options = DeleteOptions {
            grace_seconds: Some(0),
            uid: Some("u".into()),
            resource_version: Some("9".into()),
            propagation: Some(Propagation::Foreground),
            eviction: false,
            granted: false,
        };
        check(
            Verb::Delete { key: key(), options: DeleteOptions { eviction: true, ..DeleteOptions::default() } },
            r#"POST /api/v1/namespaces/x/pods/a/eviction application/json: {"apiVersion":"policy/v1","deleteOptions":{"apiVersion":"v1","kind":"DeleteOptions"},"kind":"Eviction","metadata":{"name":"a","namespace":"x"}}"#,
        );
        check(
            Verb::Delete { key: key(), options },
            r#"DELETE /api/v1/namespaces/x/pods/a application/json: {"apiVersion":"v1","gracePeriodSeconds":0,"kind":"DeleteOptions","preconditions":{"resourceVersion":"9","uid":"u"},"propagationPolicy":"Foreground"}"#,
        );
        let dry = Request { dry_run: true, ..Verb::Create { object: pod() }.into() };
        assert_eq!(
            (request(&dry).target.as_str(), request(&dry).lease),
            ("/api/v1/namespaces/x/pods?dryRun=All", None)
        );
        let text = "kube-system/kube-scheduler; uid=u; term=3; holder=h_1";
        let fenced = Request { fence: Some(Arc::new(text.parse().unwrap())), ..dry };
        assert_eq!(request(&fenced).lease.as_deref(), Some(text));
    }

    #[test]
    fn responses_are_answers() {
        let get: Request = Verb::Get { key: Key::new(Kind::Pod, "x", "a") }.into();
        let check = |code, text: &str, want: Answer| assert_eq!(answer(&get, code, text.as_bytes()), want, "{text}");
        let text = String::from_utf8(pod().json().to_vec()).unwrap();
        check(200, &text, Answer::Object { object: pod(), created: false });
        check(201, &text, Answer::Object { object: pod(), created: true });
        let status = Status::not_found(Kind::Pod, "a");
        check(404, &serde_json::to_string(&status).unwrap(), Answer::Refused(status));
        let status = Status::removed(Kind::Pod, "a", "u");
        check(200, &serde_json::to_string(&status).unwrap(), Answer::Removed(status));
        check(413, "", Answer::Refused(Status::failure(Reason::RequestEntityTooLarge, "the server answered 413")));
        check(502, "bad gateway\n", Answer::Lost("502: bad gateway".into()));
        let status = Status::failure(Reason::Timeout, "nothing was heard");
        check(504, &serde_json::to_string(&status).unwrap(), Answer::Lost("nothing was heard".into()));
        let status = Status::too_large_revision(7, 3);
        check(504, &serde_json::to_string(&status).unwrap(), Answer::Refused(status));
        assert!(matches!(answer(&get, 200, b"<html>"), Answer::Lost(_)));
        assert!(matches!(answer(&get, 200, br#"{"kind":"Node","apiVersion":"v1"}"#), Answer::Lost(_)));

        let list: Request = Verb::List(Query::all(Kind::Pod)).into();
        let item = String::from_utf8(pod().json_as_item().to_vec()).unwrap();
        let text = format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[{{{item}]}}"#
        );
        let want = Answer::List { revision: Revision(7), items: vec![pod()] };
        assert_eq!(answer(&list, 200, text.as_bytes()), want);
        let none = br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":null}"#;
        assert_eq!(answer(&list, 200, none), Answer::List { revision: Revision(7), items: vec![] });
    }

    #[test]
    fn lines_are_events() {
        let text = String::from_utf8(pod().json().to_vec()).unwrap();
        let line =
            |kind: &str, object: &str| event(Kind::Pod, format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes());
        assert_eq!(line("ADDED", &text), Ok(WatchEvent::Added(pod())));
        assert_eq!(line("MODIFIED", &text), Ok(WatchEvent::Modified(pod())));
        assert_eq!(line("DELETED", &text), Ok(WatchEvent::Deleted(pod())));
        let mark = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"12"}}"#;
        assert_eq!(line("BOOKMARK", mark), Ok(WatchEvent::Bookmark(Revision(12))));
        let expired = Status::failure(Reason::Expired, "too old resource version: 1 (6269)");
        assert_eq!(line("ERROR", &serde_json::to_string(&expired).unwrap()), Ok(WatchEvent::Expired(expired)));
        let broken = Status::failure(Reason::InternalError, "no disk");
        assert_eq!(line("ERROR", &serde_json::to_string(&broken).unwrap()), Err("no disk".into()));
        assert!(line("GROWN", "{}").is_err() && event(Kind::Pod, b"{").is_err());
    }

    #[test]
    fn warnings_are_unquoted() {
        let check = |header, want: Option<&str>| assert_eq!(warning(header).as_deref(), want);
        check(r#"299 - "unknown field \"spec.x\"""#, Some(r#"unknown field "spec.x""#));
        check(r#"299 - "open"#, None);
        check("299 - bare", None);
    }
}
