//! Who may ask a kubelet: what a request says of itself, asked of the API server.
//!
//! The API server shows a token that it has signed for this node. Whoever else comes is who the API server says, and may
//! do what the API server says: `get` or `create` of the resource `nodes`, its part `metrics`, `stats` or `proxy`. Where access is
//! not restricted, that is everybody.
//!
//! Source: Kubernetes documentation, "Kubelet authentication/authorization", webhook mode.

use crate::api::{Api, bearer};
use crate::client::wire::{HttpRequest, Method, refusal};
use crate::client::{Connection, Credentials, ServerUrl};
use crate::http::Asked;
use miniku_core::access::token::{APISERVER, ISSUER, audience_of};
use miniku_core::access::{Attributes, Target, User, Wish};
use miniku_core::api::status::{Reason, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A yes is believed for so long. Source: the kubelet's `--authorization-webhook-cache-authorized-ttl` is 5 min; who lost
/// a right is heard of sooner here.
const BELIEVED: Duration = Duration::from_secs(30);
/// So many are remembered.
const BELIEVED_MAX: usize = 256;

/// Asks for a review, and gives its `status`; an error is a sentence.
type Ask = Box<dyn Fn(&str, Value) -> Result<Value, String> + Send + Sync>;

/// Lets requests through, or not.
pub struct Gate {
    nodes: Vec<String>,
    ask: Ask,
    /// What was allowed, until when.
    allowed: Mutex<BTreeMap<(String, &'static str, &'static str), Instant>>,
}

/// What is asked of a kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Counts, for whoever watches over machines.
    Metrics,
    /// What the node and its pods use.
    Stats,
    /// All else: logs, and what is in containers.
    Proxy,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Metrics => "metrics",
            Part::Stats => "stats",
            Part::Proxy => "proxy",
        }
    }
}

impl Gate {
    /// Of nodes in the API server's own process.
    pub fn local(nodes: Vec<String>, api: Arc<Api>) -> Self {
        Gate::new(nodes, Box::new(move |kind, spec| Ok(api.review(kind, &spec))))
    }

    /// Of a node that asks a server elsewhere, as itself.
    pub fn remote(node: String, server: ServerUrl, credentials: Credentials) -> Self {
        let connection = Connection::new(server).with_credentials(credentials);
        let ask = move |kind: &str, spec: Value| {
            let (group, plural) = match kind {
                "TokenReview" => ("authentication.k8s.io", "tokenreviews"),
                _ => ("authorization.k8s.io", "subjectaccessreviews"),
            };
            let review = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
            let request = HttpRequest::with_json(Method::Post, format!("/apis/{group}/v1/{plural}"), &review);
            let answer = connection.send(&request).map_err(|error| error.to_string())?;
            if answer.code >= 300 {
                return Err(refusal(answer.code, &answer.bytes).map_or_else(|why| why, |status| status.message));
            }
            let answer: Value = serde_json::from_slice(&answer.bytes).map_err(|error| error.to_string())?;
            Ok(answer.get("status").cloned().unwrap_or_default())
        };
        Gate::new(vec![node], Box::new(ask))
    }

    fn new(nodes: Vec<String>, ask: Ask) -> Self {
        Gate { nodes, ask, allowed: Mutex::default() }
    }

    /// Lets a request through, or says why not.
    pub fn check(&self, asked: Asked, part: Part) -> Result<(), Status> {
        let verb = if matches!(asked.method, "GET" | "HEAD") { "get" } else { "create" };
        let token = match asked.headers.authorization {
            "" => "",
            header => bearer(header).ok_or_else(unauthorized)?,
        };
        let key = (token.to_owned(), verb, part.name());
        let now = Instant::now();
        let is_known = |until: &Instant| *until > now;
        if self.allowed.lock().unwrap_or_else(PoisonError::into_inner).get(&key).is_some_and(is_known) {
            return Ok(());
        }
        self.decide(token, verb, part)?;
        let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        if allowed.len() >= BELIEVED_MAX {
            allowed.retain(|_, until| is_known(until));
            // So many at once come from somebody who makes them up; they are asked about again.
            if allowed.len() >= BELIEVED_MAX {
                allowed.clear();
            }
        }
        allowed.insert(key, now + BELIEVED);
        Ok(())
    }

    fn decide(&self, token: &str, verb: &'static str, part: Part) -> Result<(), Status> {
        let away = |why: String| {
            let message = format!("the API server cannot be asked who this is: {why}");
            Status::failure(Reason::ServiceUnavailable, message)
        };
        let user = match token {
            "" => User::anonymous(),
            token => {
                let mut audiences: Vec<String> = self.nodes.iter().map(|node| audience_of(node)).collect();
                audiences.push(ISSUER.into());
                let status =
                    (self.ask)("TokenReview", json!({"token": token, "audiences": audiences})).map_err(away)?;
                if status["authenticated"] != true {
                    return Err(unauthorized());
                }
                let user = user(&status["user"]);
                // An account cannot be called so, and a line of a file of tokens would not be meant for nodes.
                let for_us = status["audiences"].as_array().into_iter().flatten().any(|audience| *audience != ISSUER);
                if user.name == APISERVER && for_us {
                    return Ok(());
                }
                user
            }
        };
        let name = self.nodes.first().map_or("", String::as_str);
        let about = json!({"verb": verb, "resource": "nodes", "subresource": part.name(), "name": name, "group": ""});
        let extra: BTreeMap<&str, &Vec<String>> =
            user.extra.iter().map(|(name, values)| (name.as_str(), values)).collect();
        let spec = json!({"user": user.name, "uid": user.uid, "groups": user.groups, "extra": extra, "resourceAttributes": about});
        if (self.ask)("SubjectAccessReview", spec).map_err(away)?["allowed"] == true {
            return Ok(());
        }
        let target = Target::Resource { namespace: "", group: "", resource: "nodes", subresource: part.name(), name };
        let why = Wish(&user, Attributes { verb, target }).to_string();
        Err(Status::forbidden_to("", "nodes", name, &why))
    }
}

fn unauthorized() -> Status {
    Status::failure(Reason::Unauthorized, "Unauthorized")
}

fn user(info: &Value) -> User {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let extra = info["extra"].as_object().into_iter().flatten();
    User {
        name: text(&info["username"]),
        uid: text(&info["uid"]),
        groups: words(&info["groups"]),
        extra: extra.map(|(name, values)| (name.clone(), words(values))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn asked<'a>(method: &'a str, authorization: &'a str) -> Asked<'a> {
        Asked { method, target: "/", headers: Headers { authorization, ..Headers::default() }, body: b"" }
    }

    /// Knows the server, by the node it means; jane, who may get metrics; and nobody else.
    fn gate(count: Arc<AtomicUsize>, anonymous: bool) -> Gate {
        let ask = move |kind: &str, spec: Value| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(match (kind, spec["token"].as_str(), spec["user"].as_str()) {
                ("TokenReview", Some("server"), _) if spec["audiences"][0] == "node:n1" => {
                    json!({"authenticated": true, "audiences": ["node:n1"], "user": {"username": APISERVER}})
                }
                // Somebody's line in a file of tokens.
                ("TokenReview", Some("liar"), _) => {
                    json!({"authenticated": true, "audiences": [ISSUER], "user": {"username": APISERVER}})
                }
                ("TokenReview", Some("jane"), _) => {
                    json!({"authenticated": true, "audiences": [ISSUER], "user": {"username": "jane", "groups": ["g"]}})
                }
                ("TokenReview", Some("away"), _) => return Err("connection refused".into()),
                ("SubjectAccessReview", _, Some("jane")) => {
                    let about = &spec["resourceAttributes"];
                    json!({"allowed": spec["groups"][0] == "g" && about["subresource"] == "metrics" && about["verb"] == "get"})
                }
                ("SubjectAccessReview", _, Some("system:anonymous")) => json!({"allowed": anonymous}),
                _ => json!({"authenticated": false}),
            })
        };
        Gate::new(vec!["n1".into()], Box::new(ask))
    }

    #[test]
    fn whoever_comes_is_asked_about() {
        let count = Arc::new(AtomicUsize::new(0));
        let gate = gate(count.clone(), false);
        let check = |method: &str, header: &str, part: Part, want: Result<(), u16>| {
            let got = gate.check(asked(method, header), part).map_err(|status| status.http_code());
            assert_eq!(got, want, "{method} {header}");
        };
        check("GET", "Bearer server", Part::Proxy, Ok(()));
        check("GET", "", Part::Proxy, Err(403));
        check("GET", "", Part::Metrics, Err(403));
        check("GET", "Bearer jane", Part::Metrics, Ok(()));
        check("POST", "Bearer jane", Part::Metrics, Err(403));
        check("GET", "Bearer jane", Part::Proxy, Err(403));
        check("GET", "Bearer jane", Part::Stats, Err(403));
        check("GET", "Bearer server", Part::Stats, Ok(()));
        check("GET", "Bearer liar", Part::Proxy, Err(403));
        check("GET", "Bearer nobody", Part::Proxy, Err(401));
        check("GET", "Basic server", Part::Proxy, Err(401));
        check("GET", "Bearer away", Part::Proxy, Err(503));
        let before = count.load(Ordering::SeqCst);
        check("GET", "Bearer server", Part::Proxy, Ok(()));
        check("GET", "Bearer jane", Part::Metrics, Ok(()));
        assert_eq!(count.load(Ordering::SeqCst), before, "a yes is believed for a while");
        check("GET", "Bearer nobody", Part::Proxy, Err(401));
        assert!(count.load(Ordering::SeqCst) > before, "a no is not");
    }

    #[test]
    fn where_nothing_is_restricted_everybody_may() {
        let gate = gate(Arc::default(), true);
        assert!(gate.check(asked("GET", ""), Part::Proxy).is_ok());
        assert!(gate.check(asked("GET", "Bearer wrong"), Part::Proxy).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let gate = Gate::new(vec!["n".into()], Box::new(|_, _| Ok(json!({"authenticated": true, "allowed": true}))));
        for nth in 0..1000 {
            gate.check(asked("GET", &format!("Bearer {nth}")), Part::Proxy).unwrap();
        }
        assert!(gate.allowed.lock().unwrap().len() <= BELIEVED_MAX);
    }
}
