//! Reviews: questions that look like objects, about who a client is and what it may do.

use crate::api::{Api, reply, resources};
use crate::http::Exchange;
use miniku_core::access::rbac::{self, PolicyRule};
use miniku_core::access::{AUTHENTICATED, Attributes, Target, User};
use miniku_core::api::status::Status;
use miniku_core::apiserver::discovery::Review;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Answers a review: the body with a `status`.
pub fn serve(api: &Api, exchange: Exchange, review: &Review, namespace: Option<&str>, user: &User) {
    if exchange.method() != "POST" {
        return reply::status(exchange, &Status::no_such_method());
    }
    let mut object = match resources::typed(exchange.asked(), review.message) {
        Ok(object) => object,
        Err(status) => return reply::status(exchange, &status),
    };
    let spec = object.get("spec").cloned().unwrap_or_default();
    let status = status(api, review.kind, &spec, namespace, user);
    object["kind"] = review.kind.into();
    object["apiVersion"] = format!("{}/v1", review.group).into();
    object["status"] = status;
    reply::value(exchange, 201, reply::JSON, &object);
}

/// The `status` of a review that `user` asks for.
pub fn status(api: &Api, kind: &str, spec: &Value, namespace: Option<&str>, user: &User) -> Value {
    match kind {
        "SelfSubjectReview" => json!({"userInfo": user_info(user)}),
        "SelfSubjectRulesReview" => rules(api, user, text(spec, "namespace")),
        "TokenReview" => match api.access.review(&api.host, text(spec, "token"), &words(spec.get("audiences"))) {
            Some((user, audiences)) => {
                json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
            }
            None => json!({"authenticated": false, "error": "[invalid bearer token]"}),
        },
        "SelfSubjectAccessReview" => access(api, user, spec, namespace),
        _ => access(api, &subject(spec), spec, namespace),
    }
}

fn words(value: Option<&Value>) -> Vec<String> {
    let all = value.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.clone().into();
    }
    if !user.extra.is_empty() {
        let extra: Map<String, Value> = user.extra.iter().map(|(name, values)| (name.clone(), json!(values))).collect();
        info["extra"] = extra.into();
    }
    info
}

/// Whom a review asks about who asks for somebody else.
fn subject(spec: &Value) -> User {
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flatten();
    User {
        name: text(spec, "user").into(),
        uid: text(spec, "uid").into(),
        groups: words(spec.get("groups")),
        extra: extra.map(|(name, values)| (name.clone(), words(Some(values)))).collect(),
    }
}

fn access(api: &Api, user: &User, spec: &Value, within: Option<&str>) -> Value {
    let target = match (spec.get("resourceAttributes"), spec.get("nonResourceAttributes")) {
        (Some(about), _) if !about.is_null() => Target::Resource {
            namespace: within.unwrap_or(text(about, "namespace")),
            group: text(about, "group"),
            resource: text(about, "resource"),
            subresource: text(about, "subresource"),
            name: text(about, "name"),
        },
        (_, about) => Target::Path(about.map_or("", |about| text(about, "path"))),
    };
    let about = spec.get("resourceAttributes").or(spec.get("nonResourceAttributes")).unwrap_or(&Value::Null);
    let wish = Attributes { verb: text(about, "verb"), target };
    if !api.access.rbac {
        return json!({"allowed": true, "reason": "access is not restricted"});
    }
    match api.host.look(|server| rbac::allowed(server.store(), user, &wish)) {
        Ok(()) => json!({"allowed": true}),
        Err(missing) if missing.is_empty() => json!({"allowed": false}),
        Err(missing) => json!({"allowed": false, "evaluationError": missing.join(", ")}),
    }
}

/// What a user may do in a namespace, in few rules.
fn rules(api: &Api, user: &User, namespace: &str) -> Value {
    let found = match api.access.rbac {
        true => api.host.look(|server| rbac::rules(server.store(), user, namespace)),
        // Everybody may do everything.
        false => api.host.look(|server| {
            let master =
                User { groups: vec![miniku_core::access::MASTERS.into(), AUTHENTICATED.into()], ..user.clone() };
            rbac::rules(server.store(), &master, namespace)
        }),
    };
    let mut resources: BTreeMap<PolicyRule, Vec<String>> = BTreeMap::new();
    let mut paths = Vec::new();
    for rule in found.rules {
        if !rule.resources.is_empty() {
            let verbs = resources.entry(PolicyRule { verbs: Vec::new(), ..rule.clone() }).or_default();
            verbs.extend(rule.verbs.iter().cloned());
            verbs.sort();
            verbs.dedup();
        }
        if !rule.non_resource_urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    let resources: Vec<Value> = resources
        .into_iter()
        .map(|(rule, verbs)| {
            let mut shown = json!({"verbs": verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                shown["resourceNames"] = json!(rule.resource_names);
            }
            shown
        })
        .collect();
    let mut status = json!({"incomplete": false, "resourceRules": resources, "nonResourceRules": paths});
    if !found.missing.is_empty() {
        status["evaluationError"] = found.missing.join(", ").into();
    }
    status
}
