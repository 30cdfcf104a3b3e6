//! TokenRequest: a token for a service account.

use crate::api::route::Resource;
use crate::api::{Api, reply, resources};
use crate::clock;
use crate::http::Exchange;
use miniku_core::access::token::{self, Bearer, Claims, ISSUER, Reference, SECONDS, SECONDS_RANGE};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::status::{Reason, Status};
use miniku_core::rng::Draw;
use serde_json::{Value, json};

/// The fields of a TokenRequest.
const MESSAGE: &str = "authentication/v1.TokenRequest";

/// Answers a TokenRequest: the body with a `status`.
pub fn serve(api: &Api, exchange: Exchange, resource: &Resource) {
    match (exchange.method(), &resource.name) {
        ("POST", Some(_)) => {
            match issued(api, resources::typed(exchange.asked(), MESSAGE), &resources::key(resource)) {
                Ok(answer) => reply::value(exchange, 201, reply::JSON, &answer),
                Err(status) => reply::status(exchange, &status),
            }
        }
        _ => reply::status(exchange, &Status::no_such_method()),
    }
}

fn issued(api: &Api, request: Result<Value, Status>, account: &Key) -> Result<Value, Status> {
    let mut request = request?;
    let invalid = |what: &str| {
        let message = format!("TokenRequest.authentication.k8s.io {:?} is invalid: {what}", &*account.name);
        Status::failure(Reason::Invalid, message)
    };
    let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(SECONDS);
    if seconds < *SECONDS_RANGE.start() {
        let rule = "may not specify a duration less than 10 minutes";
        return Err(invalid(&format!("spec.expirationSeconds: Invalid value: {seconds}: {rule}")));
    }
    if seconds > *SECONDS_RANGE.end() {
        let rule = "may not specify a duration larger than 2^32 seconds";
        return Err(invalid(&format!("spec.expirationSeconds: Invalid value: {seconds}: {rule}")));
    }
    let audiences: Vec<String> = request
        .pointer("/spec/audiences")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .filter(|all: &Vec<String>| !all.is_empty())
        .unwrap_or_else(|| vec![ISSUER.to_owned()]);
    let stored = |key: &Key| {
        let found = api.host.look(|server| server.store().get(key).cloned());
        found.ok_or_else(|| Status::not_found(key.kind, &key.name))
    };
    let reference =
        |object: &Object| Reference { name: object.meta().name.to_string(), uid: object.meta().uid.to_string() };
    let mut bearer = Bearer {
        namespace: (*account.namespace).into(),
        serviceaccount: reference(&stored(account)?),
        ..Bearer::default()
    };
    if let Some(bound) = request.pointer("/spec/boundObjectRef").filter(|bound| !bound.is_null()) {
        let field = |name: &str| bound.get(name).and_then(Value::as_str).unwrap_or("");
        let kind = match field("kind") {
            "Pod" => Kind::Pod,
            "Secret" => Kind::Secret,
            other => {
                let message = format!("cannot bind token for serviceaccount to object of type {other:?}");
                return Err(Status::failure(Reason::BadRequest, message));
            }
        };
        let object = stored(&Key::new(kind, &account.namespace, field("name")))?;
        if !field("uid").is_empty() && field("uid") != object.meta().uid {
            let (wanted, is) = (field("uid"), &object.meta().uid);
            let why = format!(
                "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated ({is})"
            );
            return Err(Status::conflict(kind, field("name"), &why));
        }
        match kind {
            Kind::Pod => bearer.pod = Some(reference(&object)),
            _ => bearer.secret = Some(reference(&object)),
        }
    }
    let now = clock::wall();
    let claims = Claims {
        aud: audiences.clone(),
        exp: now.secs() + seconds,
        iat: now.secs(),
        iss: ISSUER.into(),
        jti: Draw::new(clock::seed()).key("token").uuid(),
        nbf: now.secs(),
        sub: format!("system:serviceaccount:{}:{}", bearer.namespace, bearer.serviceaccount.name),
        kubernetes: bearer,
    };
    let until = Time::of(now + miniku_core::time::Duration::from_secs(seconds.unsigned_abs()));
    request["kind"] = "TokenRequest".into();
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["metadata"]["name"] = (*account.name).into();
    request["metadata"]["namespace"] = (*account.namespace).into();
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] =
        json!({"token": token::sign(&api.access.secret, &claims), "expirationTimestamp": until.to_string()});
    Ok(request)
}
