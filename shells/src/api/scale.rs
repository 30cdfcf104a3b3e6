//! The `scale` of an object, read from it and written to it.

use crate::api::params::Params;
use crate::api::resources::{self, key};
use crate::api::route::Resource;
use crate::api::shown::{Shape, Shown};
use crate::api::{Api, reply};
use crate::clock;
use crate::http::Exchange;
use miniku_core::api::object::Object;
use miniku_core::api::scale::{Paths, Scale, patch, scale};
use miniku_core::api::status::{Reason, Status};
use miniku_core::patch::Patch;
use miniku_core::program::{Answer, Part, Request, Verb};
use miniku_core::time::{Instant, Now};
use serde_json::Value;

/// Answers a request for the scale of an object.
pub fn serve(api: &Api, exchange: Exchange, resource: &Resource, params: &Params, shown: &Shown) {
    let version = shown.definition.as_ref().and_then(|definition| definition.version(resource.served.version()));
    let done = match Paths::of(version) {
        Some(paths) => answer(api, &exchange, resource, params, &paths),
        None => Err(Status::no_such_path()),
    };
    match done {
        Ok(scale) => {
            let text = match shown.shape {
                Shape::Row(_) => serde_json::to_vec(&scale.table(now())),
                Shape::Whole | Shape::Metadata => serde_json::to_vec(&scale),
            };
            reply::objects(exchange, 200, shown, &[], &text.expect("a Scale has string keys and whole numbers"));
        }
        Err(status) => reply::status(exchange, &status),
    }
}

/// How often a patch is tried again when somebody else was faster.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`, `maxRetryWhenPatchConflicts`.
const TRIES: usize = 5;

fn answer(
    api: &Api,
    exchange: &Exchange,
    resource: &Resource,
    params: &Params,
    paths: &Paths,
) -> Result<Scale, Status> {
    let stored = || object(api.host.ask(Verb::Get { key: key(resource) }));
    let write = |said: &Value| {
        let verb = Verb::Merge { key: key(resource), patch: patch(said, paths), part: Part::Scale };
        let manager = resources::manager(exchange.asked(), params);
        let fence = resources::fence(exchange.asked())?;
        let request = Request { dry_run: params.dry_run, manager, fence, ..verb.into() };
        object(api.host.ask(request)).map(|object| scale(&object, paths))
    };
    match exchange.method() {
        "GET" | "HEAD" => Ok(scale(&stored()?, paths)),
        "PUT" => write(&checked(resources::value(exchange.asked())?)?),
        "PATCH" => {
            let change = resources::patch_of_scale(exchange.asked())?;
            let named =
                matches!(&change, Patch::Merge(change) if change.pointer("/metadata/resourceVersion").is_some());
            let mut tries = 0;
            loop {
                let scale = scale(&stored()?, paths);
                let said = serde_json::to_value(scale).expect("a Scale has string keys and whole numbers");
                let said = miniku_core::patch::patched(None, said, &change)?;
                match write(&checked(said)?) {
                    Err(status) if status.reason == Some(Reason::Conflict) && !named && tries < TRIES => tries += 1,
                    done => return done,
                }
            }
        }
        _ => Err(Status::no_such_method()),
    }
}

fn now() -> Now {
    Now { mono: Instant::default(), wall: clock::wall() }
}

fn checked(scale: Value) -> Result<Value, Status> {
    match scale.pointer("/spec/replicas") {
        None | Some(Value::Null) => Ok(scale),
        Some(count) if count.as_i64().is_some_and(|count| (0..=i64::from(i32::MAX)).contains(&count)) => Ok(scale),
        Some(other) => {
            let message =
                format!("Scale is invalid: spec.replicas: Invalid value: {other}: must be greater than or equal to 0");
            Err(Status::failure(Reason::Invalid, message))
        }
    }
}

fn object(answer: Answer) -> Result<Object, Status> {
    match answer {
        Answer::Object { object, .. } => Ok(object),
        Answer::Refused(status) => Err(status),
        _ => Err(Status::failure(Reason::InternalError, "the server gave no answer")),
    }
}
