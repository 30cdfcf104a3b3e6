//! Kubernetes' paths: which request a method and a body make.

use crate::api::params::{self, FieldValidation, Params};
use crate::api::route::Resource;
use crate::api::shown::{Shape, Shown, Written, form};
use crate::api::{Api, lists, logs, reply, scale, streams, tokens, watch};
use crate::host::FromServer;
use crate::http::Respond;
use crate::http::{Asked, Exchange, LEASE, Reply};
use miniku_core::access::User;
use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::Fence;
use miniku_core::api::namespace;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::served::{Form, Served};
use miniku_core::api::status::{FieldError, Reason, Status};
use miniku_core::apiserver::admission::{cannot_be_handled, read, reread};
use miniku_core::apiserver::fields;
use miniku_core::patch::Patch;
use miniku_core::program::{Answer, DeleteOptions, Part, Request, Verb};
use miniku_core::schema::{MessageId, Schema, Type, protobuf, strict};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Answers a request for a resource.
pub fn serve(api: &Api, exchange: Exchange, resource: Resource, user: &Arc<User>) {
    let (params, shown) = match both(api, exchange.asked(), &resource) {
        Ok(both) => both,
        Err(status) => return reply::status(exchange, &status),
    };
    if resource.name.is_none() && resource.part.is_some() && exchange.method() != "POST" {
        return reply::status(exchange, &Status::no_such_method());
    }
    match (exchange.method(), resource.name.is_some(), resource.part.as_deref()) {
        ("GET", _, Some("log")) => return logs::serve(api, exchange, &key(&resource)),
        (_, _, Some(part)) if streams::PARTS.contains(&part) => {
            return streams::refuse(api, exchange, &key(&resource), part);
        }
        (_, _, Some("token")) => return tokens::serve(api, exchange, &resource),
        (_, _, Some("scale")) => return scale::serve(api, exchange, &resource, &params, &shown),
        ("GET", _, None) if params.watch => return watch::serve(api, exchange, &resource, &params, shown),
        ("GET" | "HEAD", false, None) => return lists::serve(api, exchange, &resource, &params, &shown),
        ("DELETE", false, None) if resource.kind().row().deleted_together => {
            return delete_collection(api, exchange, &resource, &params, &shown);
        }
        _ => {}
    }
    match request(exchange.asked(), &resource, &params, &shown) {
        Ok((request, warnings)) => {
            let request = signed(api, request, resource.kind(), user);
            let brief = is_brief(&request.verb);
            answered(exchange, &shown, brief, api.host.ask(request), &warnings);
        }
        Err(status) => reply::status(exchange, &status),
    }
}

/// What the query says, and how the answer is to look.
fn both(api: &Api, asked: Asked, resource: &Resource) -> Result<(Params, Shown), Status> {
    let params = Params::of(asked)?;
    // Events are told apart by their lines, which YAML has more of.
    let ways: &[Written] = if params.watch { &[Written::Json] } else { &[Written::Json, Written::Yaml] };
    let form = form(asked.headers.accept, &params.include, ways);
    let (shape, written) = match asked.method {
        "GET" | "HEAD" => form?,
        _ => form.unwrap_or((Shape::Whole, Written::Json)),
    };
    let definition = match resource.kind() {
        Kind::Custom(_) => api.host.look(|server| server.definitions().of(resource.kind()).cloned()),
        _ => None,
    };
    Ok((params, Shown { served: resource.served.clone(), definition, shape, written }))
}

/// Whether it is enough to say that it is done: who binds or evicts a pod is not told what the pod is now.
fn is_brief(verb: &Verb) -> bool {
    match verb {
        Verb::Bind { .. } => true,
        Verb::Delete { options, .. } => options.eviction,
        _ => false,
    }
}

/// Answers.
fn answered(to: impl Respond, shown: &Shown, brief: bool, answer: Answer, warnings: &[String]) {
    match answer {
        Answer::Object { .. } | Answer::Removed(_) if brief => reply::status(to, &Status::created()),
        answer => reply::answer(to, shown, answer, warnings),
    }
}

/// A list of a kind with more objects than this gets a thread: it takes some milliseconds.
pub const LIST_AT_ONCE_MAX: usize = 1000;

/// Answers what needs nothing but the server, without waiting for it, or gives it back. What is wrong with a request
/// is said by [`serve`].
pub fn at_once(api: &Api, asked: Asked, reply: Reply, resource: &Resource, user: &Arc<User>) -> Option<Reply> {
    let Ok((params, shown)) = both(api, asked, resource) else { return Some(reply) };
    if params.watch && asked.method == "GET" && resource.part.is_none() {
        return watch::at_once(api, reply, resource, &params, shown);
    }
    let waits = params.watch
        || matches!(resource.part.as_deref(), Some(part) if !matches!(part, "status" | "binding" | "eviction"));
    let is_many = resource.name.is_none() && asked.method != "POST";
    // `bindings`: a part without an object, which can only be posted.
    let is_part = resource.name.is_none() && resource.part.is_some();
    // YAML can be a lot of work.
    let slow = media_type(asked).ends_with("yaml") || shown.written == Written::Yaml;
    if is_many && matches!(asked.method, "GET" | "HEAD") && !params.watch && !is_part {
        let few = api.host.look(|server| server.store().count(resource.kind())) <= LIST_AT_ONCE_MAX;
        if !few || slow {
            return Some(reply);
        }
        return lists::at_once(api, asked, reply, resource, &params, &shown);
    }
    if waits || is_many || is_part || slow {
        return Some(reply);
    }
    let Ok((request, warnings)) = request(asked, resource, &params, &shown) else { return Some(reply) };
    let request = signed(api, request, resource.kind(), user);
    let brief = is_brief(&request.verb);
    match &request.verb {
        Verb::Get { .. } => match api.host.ask(request) {
            // To pack it takes too long.
            Answer::Object { object, .. } if reply::is_packed(object.json().len(), asked.headers.takes_gzip()) => {
                return Some(reply);
            }
            answer => reply::answer(reply, &shown, answer, &warnings),
        },
        _ => {
            let mut reply = Some(reply);
            let route = move |said| {
                if let (FromServer::Answer(answer), Some(reply)) = (said, reply.take()) {
                    answered(reply, &shown, brief, answer, &warnings);
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
            let (served, written) = (Served::kept(Kind::Pod), Written::Json);
            let shown = Shown { served, definition: None, shape: Shape::Whole, written };
            reply::answer(exchange, &shown, api.host.ask(Verb::List(query)), &[]);
        }
        Ok(_) => reply::status(exchange, &Status::no_such_method()),
        Err(status) => reply::status(exchange, &status),
    }
}

/// The key of what a path names.
pub fn key(resource: &Resource) -> Key {
    Key::new(resource.kind(), resource.namespace.as_deref().unwrap_or(""), resource.name.as_deref().unwrap_or(""))
}

fn request(
    asked: Asked,
    resource: &Resource,
    params: &Params,
    shown: &Shown,
) -> Result<(Request, Vec<String>), Status> {
    let namespace = resource.namespace.as_deref();
    let part = resource.part.as_deref();
    let mut warnings = Vec::new();
    let mut dry_run = params.dry_run;
    let mut take = || {
        let (object, mut said) = body(asked, shown, params.field_validation)?;
        warnings.append(&mut said);
        placed(object, namespace)
    };
    let verb = match (asked.method, resource.name.as_deref(), part) {
        ("GET" | "HEAD", Some(_), None | Some("status")) => Verb::Get { key: key(resource) },
        ("POST", _, Some("binding")) => binding(asked, key(resource))?,
        ("POST", Some(_), Some("eviction")) => {
            let (options, dry) = eviction(asked, &key(resource), params)?;
            dry_run |= dry;
            Verb::Delete { key: key(resource), options }
        }
        ("POST", None, _) => Verb::Create { object: take()? },
        ("PUT", Some(name), _) => Verb::Update { object: named(take()?, name)?, part: written(part)? },
        ("PATCH", Some(name), _) => {
            let patch = patch(asked, shown, name, namespace, params)?;
            // What is wrong with an apply is said where it is applied.
            if let Patch::Merge(changes) | Patch::Strategic(changes) = &patch {
                warnings = said_of(changes.clone(), shown, params.field_validation)?;
            }
            Verb::Patch { key: key(resource), patch, part: written(part)? }
        }
        ("DELETE", Some(_), None) => {
            let (options, dry) = params::delete_options(&plain(asked)?, params)?;
            dry_run |= dry;
            Verb::Delete { key: key(resource), options }
        }
        _ => return Err(Status::no_such_method()),
    };
    let strict = params.field_validation == FieldValidation::Strict;
    let (manager, fence) = (manager(asked, params), fence(asked)?);
    let version = match &shown.served.form {
        Form::Version(version) if **version != *shown.served.kind.row().version => Some(version.clone()),
        _ => None,
    };
    Ok((Request { verb, dry_run, manager, strict, version, user: None, fence }, warnings))
}

/// The lease by which the client says that it leads.
pub fn fence(asked: Asked) -> Result<Option<Arc<Fence>>, Status> {
    let header = asked.headers.lease;
    let read = (!header.is_empty()).then(|| header.parse().map(Arc::new)).transpose();
    read.map_err(|why| Status::failure(Reason::BadRequest, format!("header {LEASE}: {why}")))
}

/// A request with its user, where it grants access to others.
fn signed(api: &Api, request: Request, kind: Kind, user: &Arc<User>) -> Request {
    let grants = matches!(kind, Kind::Role | Kind::ClusterRole | Kind::RoleBinding | Kind::ClusterRoleBinding);
    Request { user: (api.access.rbac && grants).then(|| user.clone()), ..request }
}

/// Who writes: the field manager, or else the client's program. Programs of miniku name neither.
pub fn manager(asked: Asked, params: &Params) -> Option<Arc<str>> {
    let name = match params.field_manager.as_str() {
        "" => asked.headers.user_agent.split('/').next().unwrap_or(""),
        name => name,
    };
    let is_apply = media_type(asked) == "application/apply-patch+yaml";
    // An apply must say it itself.
    (!name.is_empty() && (!is_apply || !params.field_manager.is_empty())).then(|| name.into())
}

fn written(part: Option<&str>) -> Result<Part, Status> {
    match part {
        None => Ok(Part::Main),
        Some("status") => Ok(Part::Status),
        Some("finalize") => Ok(Part::Finalize),
        Some(_) => Err(Status::no_such_method()),
    }
}

/// The object in a body, and what is to be said of it.
fn body(asked: Asked, shown: &Shown, validation: FieldValidation) -> Result<(Object, Vec<String>), Status> {
    let (served, kind) = (&shown.served, shown.served.kind);
    if !is_readable(media_type(asked)) {
        let message = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        return Err(Status::failure(Reason::UnsupportedMediaType, message));
    }
    let is_json = !is_protobuf(asked) && !media_type(asked).ends_with("yaml");
    let schema = shown.schema();
    let mut complaints = Vec::new();
    if let (true, Some((schema, message))) = (is_json && validation != FieldValidation::Ignore, schema) {
        // What is no JSON is told below, in other words.
        complaints = strict::check(schema, message, asked.body).unwrap_or_default();
    }
    let mut object = match &served.form {
        Form::Kept | Form::Version(_) if is_json => Object::decode(kind, asked.body)
            .or_else(|error| reread(kind, serde_json::from_slice(asked.body).ok(), &error))?,
        _ => {
            let mut value = value(asked)?;
            if let (false, Some((schema, message))) = (is_json, schema) {
                complaints = unknown(schema, message, &mut value);
            }
            served.to_kept(&mut value);
            read(kind, value)?
        }
    };
    let mut warnings = complain(shown, validation, &complaints)?;
    if let Some((schema, message)) = shown.kept_schema() {
        fields::known(&mut object, schema, message).map_err(|(_, what)| cannot_be_handled(kind, &what))?;
    }
    warnings.extend(reply::without_effect(&object));
    Ok((object, warnings))
}

/// What is to be said of a patch, which is the beginning of an object.
fn said_of(mut changes: Value, shown: &Shown, validation: FieldValidation) -> Result<Vec<String>, Status> {
    let Some((schema, message)) = shown.schema() else { return Ok(Vec::new()) };
    let complaints = unknown(schema, message, &mut changes);
    let complaints: Vec<String> = complaints.into_iter().filter(|one| !one.contains('$')).collect();
    complain(shown, validation, &complaints)
}

fn unknown(schema: &Schema, message: MessageId, value: &mut Value) -> Vec<String> {
    let mut complaints = Vec::new();
    strict::unknown(schema, message, value, &mut |path| {
        complaints.push(format!("unknown field {path:?}"));
        strict::Then::Keep
    });
    complaints
}

/// Refuses fields that are none, or warns of them.
fn complain(shown: &Shown, validation: FieldValidation, complaints: &[String]) -> Result<Vec<String>, Status> {
    match validation {
        FieldValidation::Strict if !complaints.is_empty() => {
            let (name, version) = (shown.served.kind.row().name, shown.served.version());
            Err(Status::failure(Reason::BadRequest, strict::message(name, version, complaints)))
        }
        FieldValidation::Warn => Ok(reply::warning_lines(complaints)),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Vec::new()),
    }
}

/// Whether a body of this type can be an object. curl's form type counts as not saying anything.
fn is_readable(media_type: &str) -> bool {
    let known =
        ["", "application/json", "application/x-www-form-urlencoded", "application/vnd.kubernetes.protobuf", "*/*"];
    known.contains(&media_type) || media_type.ends_with("yaml")
}

fn is_protobuf(asked: Asked) -> bool {
    media_type(asked) == "application/vnd.kubernetes.protobuf"
}

/// A body as JSON text, whatever it came as.
fn plain(asked: Asked<'_>) -> Result<std::borrow::Cow<'_, [u8]>, Status> {
    match is_protobuf(asked) || media_type(asked).ends_with("yaml") && !asked.body.is_empty() {
        true => Ok(value(asked)?.to_string().into_bytes().into()),
        false => Ok(asked.body.into()),
    }
}

fn media_type(asked: Asked<'_>) -> &str {
    asked.headers.content_type.split(';').next().unwrap_or("").trim()
}

/// The value in a body: JSON unless it says that it is something else. curl's form type counts as not saying anything.
pub fn value(asked: Asked) -> Result<Value, Status> {
    let wrong = |error: String| Status::failure(Reason::BadRequest, error);
    if is_protobuf(asked) {
        return protobuf::decode(asked.body).map_err(wrong);
    }
    if media_type(asked).ends_with("yaml") {
        return yaml(asked.body);
    }
    serde_json::from_slice(asked.body).map_err(|error| wrong(format!("the body is no JSON: {error}")))
}

/// The object in a body that is acted on and not stored, such as a review: its fields are of the types that its message
/// in the table of Kubernetes' fields has.
pub fn typed(asked: Asked, message: &str) -> Result<Value, Status> {
    let value = value(asked)?;
    let schema = Schema::kubernetes();
    let wrong = match schema.named(message) {
        _ if !value.is_object() => Some("it is no object".to_owned()),
        Some(message) => strict::mistyped(schema, &Type::Message(message), &value).map(|(_, what)| what),
        None => None,
    };
    let (version, name) = message.rsplit('/').next().and_then(|rest| rest.split_once('.')).unwrap_or_default();
    match wrong {
        Some(what) => {
            let message = format!("{name} in version {version:?} cannot be handled as a {name}: {what}");
            Err(Status::failure(Reason::BadRequest, message))
        }
        None => Ok(value),
    }
}

fn yaml(text: &[u8]) -> Result<Value, Status> {
    let wrong = |error: String| Status::failure(Reason::BadRequest, format!("the body is no YAML: {error}"));
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    // YAML 1.1, as everywhere in Kubernetes.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| wrong(error.to_string()))
}

/// The patch of a scale in a body. A scale has no lists, so that a strategic patch is a merge.
pub fn patch_of_scale(asked: Asked) -> Result<Patch, Status> {
    let value = value(asked)?;
    Ok(if media_type(asked) == "application/json-patch+json" { Patch::Json(value) } else { Patch::Merge(value) })
}

/// The patch in a body, for the object of this name.
fn patch(asked: Asked, shown: &Shown, name: &str, namespace: Option<&str>, params: &Params) -> Result<Patch, Status> {
    let wrong = |message: String| Status::failure(Reason::BadRequest, message);
    let json = || serde_json::from_slice(asked.body).map_err(|error| wrong(format!("the patch is no JSON: {error}")));
    match media_type(asked) {
        "application/json-patch+json" => Ok(Patch::Json(json()?)),
        _ if params.force && media_type(asked) != "application/apply-patch+yaml" => {
            let force = FieldError::forbidden("force", "may not be specified for non-apply patch");
            Err(Status::invalid_options("PatchOptions", &[force]))
        }
        "application/merge-patch+json" => Ok(Patch::Merge(json()?)),
        "application/strategic-merge-patch+json" => Ok(Patch::Strategic(json()?)),
        "application/apply-patch+yaml" if params.field_manager.is_empty() => {
            let missing = FieldError::required("fieldManager", "is required for apply patch");
            Err(Status::invalid_options("PatchOptions", &[missing]))
        }
        "application/apply-patch+yaml" => {
            let mut configuration = yaml(asked.body)?;
            let text = |at: &str| configuration.pointer(at).and_then(Value::as_str).unwrap_or("").to_owned();
            let (kind, api_version, own) = (text("/kind"), text("/apiVersion"), text("/metadata/name"));
            let (row, here) = (shown.served.kind.row(), shown.served.api_version());
            if kind.is_empty() || api_version.is_empty() {
                return Err(wrong("an apply needs apiVersion and kind".into()));
            }
            if kind != row.name || api_version != here {
                return Err(wrong(format!("{kind} of {api_version} cannot be applied as a {} of {here}", row.name)));
            }
            if !own.is_empty() && own != name {
                return Err(wrong(format!(
                    "the name of the object ({own}) does not match the name on the URL ({name})"
                )));
            }
            let within = text("/metadata/namespace");
            if namespace.is_some_and(|namespace| !within.is_empty() && namespace != within) {
                return Err(elsewhere());
            }
            complete_names(&mut configuration, name, namespace);
            shown.served.to_kept(&mut configuration);
            Ok(Patch::Apply { configuration, force: params.force })
        }
        _ => {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";
            Err(Status::failure(Reason::UnsupportedMediaType, message))
        }
    }
}

/// The object in the namespace of the path, which its own must equal if it names one.
fn placed(mut object: Object, namespace: Option<&str>) -> Result<Object, Status> {
    if !object.kind().row().namespaced {
        return Ok(object);
    }
    let within = namespace.unwrap_or(namespace::DEFAULT);
    match object.meta().namespace.as_str() {
        "" => {
            object.edit_meta(|meta| meta.namespace = within.into());
            Ok(object)
        }
        own if own == within || namespace.is_none() => Ok(object),
        _ => Err(elsewhere()),
    }
}

/// The refusal of an object of another namespace than the path's.
fn elsewhere() -> Status {
    let message = "the namespace of the provided object does not match the namespace sent on the request";
    Status::failure(Reason::BadRequest, message)
}

/// Says in a configuration what the path says: the object's name and namespace.
fn complete_names(configuration: &mut Value, name: &str, namespace: Option<&str>) {
    let Value::Object(fields) = configuration else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(metadata) = metadata else { return };
    for (field, text) in [("name", Some(name)), ("namespace", namespace)] {
        let absent = metadata.get(field).is_none_or(|said| said.is_null() || said == "");
        if let Some(text) = text.filter(|_| absent) {
            metadata.insert(field.into(), text.into());
        }
    }
}

/// The object under the name of the path, which its own must equal if it has one.
fn named(mut object: Object, name: &str) -> Result<Object, Status> {
    match object.meta().name.as_str() {
        "" => {
            object.edit_meta(|meta| meta.name = name.into());
            Ok(object)
        }
        own if own == name => Ok(object),
        own => {
            let message = format!("the name of the object ({own}) does not match the name on the URL ({name})");
            Err(Status::failure(Reason::BadRequest, message))
        }
    }
}

/// A bind of the pod that the path names, or else the Binding itself.
fn binding(asked: Asked, mut key: Key) -> Result<Verb, Status> {
    let value = typed(asked, "core/v1.Binding")?;
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

/// How the pod that the path names is to be evicted.
fn eviction(asked: Asked, key: &Key, params: &Params) -> Result<(DeleteOptions, bool), Status> {
    let value = typed(asked, "policy/v1.Eviction")?;
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or("Eviction");
    if kind != "Eviction" {
        let message = format!("{kind:?} cannot be handled as an Eviction");
        return Err(Status::failure(Reason::BadRequest, message));
    }
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
    if !name.is_empty() && *name != *key.name {
        return Err(Status::failure(Reason::BadRequest, "name in URL does not match name in Eviction object"));
    }
    let options = value.get("deleteOptions").map(Value::to_string).unwrap_or_default();
    let (options, dry_run) = params::delete_options(options.as_bytes(), params)?;
    Ok((DeleteOptions { eviction: true, ..options }, dry_run))
}

/// Deletes each object that matches, and answers with what they were.
fn delete_collection(api: &Api, exchange: Exchange, resource: &Resource, params: &Params, shown: &Shown) {
    let deleted = params.query(resource.kind(), resource.namespace.as_deref()).and_then(|query| {
        let (options, dry_run) = params::delete_options(&plain(exchange.asked())?, params)?;
        let fence = fence(exchange.asked())?;
        let (revision, items) = match api.host.ask(Verb::List(query)) {
            Answer::List { revision, items } => (revision, items),
            Answer::Refused(status) => return Err(status),
            _ => return Err(Status::failure(Reason::InternalError, "a list was answered with something else")),
        };
        for item in &items {
            // Gone meanwhile is as good; another object of the same name was not meant.
            let options = DeleteOptions { uid: Some(item.meta().uid.clone()), ..options.clone() };
            let verb = Verb::Delete { key: item.key(), options };
            if let Answer::Refused(status) = api.host.ask(Request { dry_run, fence: fence.clone(), ..verb.into() })
                && (!matches!(status.reason, Some(Reason::NotFound | Reason::Conflict)) || status.is_fenced())
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
