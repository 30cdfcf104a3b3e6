//! Kubernetes' paths: which request a method and a body make.

use crate::api::params::{self, Params};
use crate::api::route::Resource;
use crate::api::shown::{Shape, Shown};
use crate::api::{Api, lists, logs, reply, scale, watch};
use crate::host::FromServer;
use crate::http::Respond;
use crate::http::{Asked, Exchange, Reply};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace;
use miniku_core::api::object::{DecodeError, Key, Object};
use miniku_core::api::served::{Form, Served};
use miniku_core::api::status::{Reason, Status};
use miniku_core::apiserver::admission::cannot_be_handled;
use miniku_core::program::{Answer, Part, Request, Verb};
use serde_json::Value;

/// Answers a request for a resource.
pub fn serve(api: &Api, exchange: Exchange, resource: Resource) {
    let (params, shown) = match both(api, exchange.asked(), &resource) {
        Ok(both) => both,
        Err(status) => return reply::status(exchange, &status),
    };
    if resource.name.is_none() && resource.part.is_some() && exchange.method() != "POST" {
        return reply::status(exchange, &reply::no_such_method());
    }
    match (exchange.method(), resource.name.is_some(), resource.part.as_deref()) {
        ("GET", _, Some("log")) => return logs::serve(api, exchange, &key(&resource)),
        (_, _, Some("scale")) => return scale::serve(api, exchange, &resource, &params, &shown),
        ("GET", _, None) if params.watch => return watch::serve(api, exchange, &resource, &params, shown),
        ("GET" | "HEAD", false, None) => return lists::serve(api, exchange, &resource, &params, &shown),
        ("DELETE", false, None) => return delete_collection(api, exchange, &resource, &params, &shown),
        _ => {}
    }
    match request(exchange.asked(), &resource, &params) {
        Ok((request, warnings)) => {
            let binds = matches!(request.verb, Verb::Bind { .. });
            answered(exchange, &shown, binds, api.host.ask(request), &warnings);
        }
        Err(status) => reply::status(exchange, &status),
    }
}

/// What the query says, and how the answer is to look.
fn both(api: &Api, asked: Asked, resource: &Resource) -> Result<(Params, Shown), Status> {
    let params = Params::of(asked)?;
    let shape = match asked.method {
        "GET" | "HEAD" => Shape::of(asked.headers.accept, &params.include)?,
        _ => Shape::of(asked.headers.accept, &params.include).unwrap_or(Shape::Whole),
    };
    let definition = match resource.kind() {
        Kind::Custom(_) => api.host.look(|server| server.definitions().of(resource.kind()).cloned()),
        _ => None,
    };
    Ok((params, Shown { served: resource.served.clone(), definition, shape }))
}

/// Answers. Who binds a pod is told that it is done, and not what the pod is now.
fn answered(to: impl Respond, shown: &Shown, binds: bool, answer: Answer, warnings: &[String]) {
    match answer {
        Answer::Object { .. } if binds => reply::status(to, &Status::created()),
        answer => reply::answer(to, shown, answer, warnings),
    }
}

/// A list of a kind with more objects than this gets a thread: it takes some milliseconds.
const LIST_AT_ONCE_MAX: usize = 1000;

/// Answers what needs nothing but the server, without waiting for it, or gives it back. What is wrong with a request
/// is said by [`serve`].
pub fn at_once(api: &Api, asked: Asked, reply: Reply, resource: &Resource) -> Option<Reply> {
    let Ok((params, shown)) = both(api, asked, resource) else { return Some(reply) };
    let waits = params.watch || matches!(resource.part.as_deref(), Some(part) if !matches!(part, "status" | "binding"));
    let is_many = resource.name.is_none() && asked.method != "POST";
    // `bindings`: a part without an object, which can only be posted.
    let is_part = resource.name.is_none() && resource.part.is_some();
    // YAML can be a lot of work.
    let slow = media_type(asked).ends_with("yaml");
    if is_many && matches!(asked.method, "GET" | "HEAD") && !params.watch && !is_part {
        let few = api.host.look(|server| server.store().count(resource.kind())) <= LIST_AT_ONCE_MAX;
        if !few {
            return Some(reply);
        }
        lists::serve(api, reply, resource, &params, &shown);
        return None;
    }
    if waits || is_many || is_part || slow {
        return Some(reply);
    }
    let Ok((request, warnings)) = request(asked, resource, &params) else { return Some(reply) };
    let binds = matches!(request.verb, Verb::Bind { .. });
    match &request.verb {
        Verb::Get { .. } => reply::answer(reply, &shown, api.host.ask(request), &warnings),
        _ => {
            let mut reply = Some(reply);
            let route = move |said| {
                if let (FromServer::Answer(answer), Some(reply)) = (said, reply.take()) {
                    answered(reply, &shown, binds, answer, &warnings);
                }
                false
            };
            api.host.submit(request, Box::new(route));
        }
    }
    None
}

/// GoKube's `/api/v1/pods/unassigned`.
pub fn unassigned(api: &Api, exchange: Exchange) {
    let params = Params { field_selector: "spec.nodeName=,status.phase=Pending".into(), ..Params::default() };
    match params.query(Kind::Pod, None) {
        Ok(query) if exchange.method() == "GET" => {
            let shown = Shown { served: Served::kept(Kind::Pod), definition: None, shape: Shape::Whole };
            reply::answer(exchange, &shown, api.host.ask(Verb::List(query)), &[]);
        }
        Ok(_) => reply::status(exchange, &reply::no_such_method()),
        Err(status) => reply::status(exchange, &status),
    }
}

/// The key of what a path names.
pub fn key(resource: &Resource) -> Key {
    Key::new(resource.kind(), resource.namespace.as_deref().unwrap_or(""), resource.name.as_deref().unwrap_or(""))
}

fn request(asked: Asked, resource: &Resource, params: &Params) -> Result<(Request, Vec<String>), Status> {
    let (served, namespace) = (&resource.served, resource.namespace.as_deref());
    let part = resource.part.as_deref();
    let mut warnings = Vec::new();
    let mut dry_run = params.dry_run;
    let verb = match (asked.method, resource.name.as_deref(), part) {
        ("GET" | "HEAD", Some(_), None | Some("status")) => Verb::Get { key: key(resource) },
        ("POST", _, Some("binding")) => binding(asked, key(resource))?,
        ("POST", None, _) => {
            let object = body(asked, served)?;
            warnings = reply::without_effect(&object);
            Verb::Create { object: placed(object, namespace)? }
        }
        ("PUT", Some(name), _) => {
            let object = body(asked, served)?;
            warnings = reply::without_effect(&object);
            let object = named(placed(object, namespace)?, name)?;
            Verb::Update { object, part: written(part)? }
        }
        ("PATCH", Some(_), _) => {
            let patch = patch(asked)?;
            // A patch is the beginning of an object: its fields have effect or not as an object's do.
            warnings = Object::from_value(served.kind, patch.clone())
                .map(|object| reply::without_effect(&object))
                .unwrap_or_default();
            Verb::Merge { key: key(resource), patch, part: written(part)? }
        }
        ("DELETE", Some(_), None) => {
            let (options, dry) = params::delete_options(asked.body, params)?;
            dry_run |= dry;
            Verb::Delete { key: key(resource), options }
        }
        _ => return Err(reply::no_such_method()),
    };
    Ok((Request { verb, dry_run }, warnings))
}

fn written(part: Option<&str>) -> Result<Part, Status> {
    match part {
        None => Ok(Part::Main),
        Some("status") => Ok(Part::Status),
        Some("finalize") => Ok(Part::Finalize),
        Some(_) => Err(reply::no_such_method()),
    }
}

/// The object in a body: JSON unless it says that it is YAML. curl's form type counts as not saying anything.
fn body(asked: Asked, served: &Served) -> Result<Object, Status> {
    let (kind, media) = (served.kind, media_type(asked));
    let kept = |mut value: Value| {
        served.to_kept(&mut value);
        Object::from_value(kind, value)
    };
    let decoded = match media {
        "application/yaml" | "application/x-yaml" | "text/yaml" => kept(yaml(asked.body)?),
        "application/vnd.kubernetes.protobuf" => {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml";
            return Err(Status::failure(Reason::UnsupportedMediaType, message));
        }
        _ => match &served.form {
            Form::Also(_) => serde_json::from_slice(asked.body)
                .map_err(|error| DecodeError::Syntax(error.to_string()))
                .and_then(kept),
            Form::Kept | Form::Version(_) => Object::decode(kind, asked.body),
        },
    };
    decoded.map_err(|error| match error {
        DecodeError::Other(api_version, name) => {
            let row = kind.row();
            let message = format!(
                "{name} in version {api_version:?} cannot be handled as a {}: no kind {name:?} is registered for version {api_version:?} at this path",
                row.name
            );
            Status::failure(Reason::BadRequest, message)
        }
        error => cannot_be_handled(kind, &error),
    })
}

fn media_type(asked: Asked<'_>) -> &str {
    asked.headers.content_type.split(';').next().unwrap_or("").trim()
}

/// The value in a body: JSON unless it says that it is YAML.
pub fn value(asked: Asked) -> Result<Value, Status> {
    if media_type(asked).ends_with("yaml") {
        return yaml(asked.body);
    }
    serde_json::from_slice(asked.body)
        .map_err(|error| Status::failure(Reason::BadRequest, format!("the body is no JSON: {error}")))
}

fn yaml(text: &[u8]) -> Result<Value, Status> {
    let wrong = |error: String| Status::failure(Reason::BadRequest, format!("the body is no YAML: {error}"));
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    // YAML 1.1, as everywhere in Kubernetes.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| wrong(error.to_string()))
}

fn patch(asked: Asked) -> Result<Value, Status> {
    match media_type(asked) {
        "application/merge-patch+json" | "application/json" | "" => serde_json::from_slice(asked.body)
            .map_err(|error| Status::failure(Reason::BadRequest, format!("the patch is no JSON: {error}"))),
        other => {
            let message = format!(
                "the body of the request was in an unknown format ({other}) - accepted media types include: application/merge-patch+json"
            );
            Err(Status::failure(Reason::UnsupportedMediaType, message))
        }
    }
}

/// The object in the namespace of the path, which its own must equal if it names one.
fn placed(object: Object, namespace: Option<&str>) -> Result<Object, Status> {
    if !object.kind().row().namespaced {
        return Ok(object);
    }
    let within = namespace.unwrap_or(namespace::DEFAULT);
    match object.meta().namespace.as_str() {
        "" => Ok(object.with_meta(|meta| meta.namespace = within.to_owned())),
        own if own == within || namespace.is_none() => Ok(object),
        own => {
            let message = format!(
                "the namespace of the provided object does not match the namespace sent on the request: {own:?}, {within:?}"
            );
            Err(Status::failure(Reason::BadRequest, message))
        }
    }
}

/// The object under the name of the path, which its own must equal if it has one.
fn named(object: Object, name: &str) -> Result<Object, Status> {
    match object.meta().name.as_str() {
        "" => Ok(object.with_meta(|meta| meta.name = name.to_owned())),
        own if own == name => Ok(object),
        own => {
            let message = format!("the name of the object ({own}) does not match the name on the URL ({name})");
            Err(Status::failure(Reason::BadRequest, message))
        }
    }
}

/// A bind of the pod that the path names, or else the Binding itself.
fn binding(asked: Asked, mut key: Key) -> Result<Verb, Status> {
    let value: Value = serde_json::from_slice(asked.body)
        .map_err(|error| Status::failure(Reason::BadRequest, format!("the body is no Binding: {error}")))?;
    let text = |at: &str| value.pointer(at).and_then(Value::as_str).unwrap_or("");
    if key.name.is_empty() {
        key.name = text("/metadata/name").into();
    }
    let node = text("/target/name");
    for (field, text) in [("metadata.name", &*key.name), ("target.name", node)] {
        if text.is_empty() {
            let message = format!("Binding {:?} is invalid: {field}: Required value", &*key.name);
            return Err(Status::failure(Reason::Invalid, message));
        }
    }
    Ok(Verb::Bind { key, uid: text("/metadata/uid").into(), node: node.into() })
}

/// Deletes each object that matches, and answers with what they were.
fn delete_collection(api: &Api, exchange: Exchange, resource: &Resource, params: &Params, shown: &Shown) {
    let deleted = params.query(resource.kind(), resource.namespace.as_deref()).and_then(|query| {
        let (options, dry_run) = params::delete_options(exchange.asked().body, params)?;
        let (revision, items) = match api.host.ask(Verb::List(query)) {
            Answer::List { revision, items } => (revision, items),
            Answer::Refused(status) => return Err(status),
            _ => return Err(Status::failure(Reason::InternalError, "a list was answered with something else")),
        };
        for item in &items {
            // Gone meanwhile is as good; another object of the same name was not meant.
            let options = miniku_core::program::DeleteOptions { uid: Some(item.meta().uid.clone()), ..options.clone() };
            let verb = Verb::Delete { key: item.key(), options };
            if let Answer::Refused(status) = api.host.ask(Request { verb, dry_run })
                && !matches!(status.reason, Some(Reason::NotFound | Reason::Conflict))
            {
                return Err(status);
            }
        }
        Ok(Answer::List { revision, items })
    });
    match deleted {
        Ok(list) => reply::answer(exchange, shown, list, &[]),
        Err(status) => reply::status(exchange, &status),
    }
}
