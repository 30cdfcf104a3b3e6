//! Rules for config maps and secrets.
//!
//! Source: `pkg/apis/core/validation`, `ValidateConfigMap` and `ValidateSecret`, release 1.32; Kubernetes documentation,
//! "Secrets", types.

use super::at::At;
use super::{Rules, text};
use crate::api::base64;
use serde_json::Value;

/// Rules for config maps.
pub const CONFIG_MAP: Rules =
    Rules { content: config_map, change: Some(|new, old| fixed_data(new, old, &["data", "binaryData"])), ..Rules::ANY };
/// Rules for secrets.
pub const SECRET: Rules = Rules {
    content: secret,
    change: Some(|new, old| {
        new.field("type").unchanged(&old.field("type"));
        fixed_data(new, old, &["data"]);
    }),
    ..Rules::ANY
};

/// All values of a config map or secret together have no more bytes.
///
/// Source: Kubernetes API reference, `Secret.data`; `MaxSecretSize`.
pub const DATA_MAX: usize = 1 << 20;

/// How many bytes are written so in base64.
fn bytes(value: &At) -> usize {
    let text = value.text();
    (text.len() / 4 * 3).saturating_sub(text.bytes().rev().take_while(|byte| *byte == b'=').count())
}

fn keys(object: &At, map: &str) {
    for (key, value) in object.entries(map) {
        text::config_key(key).into_iter().for_each(|wrong| value.invalid_value(&key.into(), wrong));
    }
}

fn config_map(object: &At) {
    keys(object, "data");
    for (key, value) in object.entries("data") {
        if object.entry("binaryData", key).is_there() {
            value.invalid_value(&key.into(), "duplicate of key present in binaryData");
        }
    }
    keys(object, "binaryData");
    let texts: usize = object.entries("data").map(|(_, value)| value.text().len()).sum();
    let size = texts + object.entries("binaryData").map(|(_, value)| bytes(&value)).sum::<usize>();
    if size > DATA_MAX {
        // The whole has no name.
        object.field("[]").too_long(DATA_MAX as u64);
    }
}

/// What is said to be fixed stays, and stays fixed.
fn fixed_data(new: &At, old: &At, fields: &[&str]) {
    if !old.field("immutable").is_true() {
        return;
    }
    let rule = "field is immutable when `immutable` is set";
    if !new.field("immutable").is_true() {
        new.field("immutable").forbidden(rule);
    }
    for name in fields {
        let (is, was) = (new.field(name), old.field(name));
        if is.value() != was.value() && !(is.is_empty() && was.is_empty()) {
            is.forbidden(rule);
        }
    }
}

/// What a secret of a type must have, so that those who use it find it.
const MUST_HAVE: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

/// The service account whose token a secret is to hold.
const ACCOUNT: &str = "kubernetes.io/service-account.name";

fn secret(object: &At) {
    keys(object, "data");
    if object.entries("data").map(|(_, value)| bytes(&value)).sum::<usize>() > DATA_MAX {
        object.field("data").too_long(DATA_MAX as u64);
    }
    let kind = object.field("type").text();
    let has = |key: &str| object.entry("data", key).is_there();
    for key in MUST_HAVE.iter().filter(|(of, _)| *of == kind).flat_map(|(_, keys)| *keys) {
        if !has(key) {
            object.entry("data", key).required("");
        } else if key.starts_with(".docker") {
            docker_config(&object.entry("data", key));
        }
    }
    match kind {
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            object.entry("data", "username").required("");
            object.entry("data", "password").required("");
        }
        "kubernetes.io/service-account-token" => {
            let metadata = object.field("metadata");
            let account = metadata.entry("annotations", ACCOUNT);
            if account.text().is_empty() {
                account.required("");
            }
        }
        _ => {}
    }
}

fn docker_config(at: &At) {
    let text = base64::decode(at.text()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&text) {
        at.invalid_value(&"<secret contents redacted>".into(), error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::{Value, json};

    #[test]
    fn config_maps() {
        let map = json!({"metadata": {"name": "a"}, "data": {"a": "1"}, "binaryData": {"b": "eA=="}});
        table(
            Kind::ConfigMap,
            &map,
            &[
                (
                    "/data",
                    json!({"a/b": "1"}),
                    &["data[a/b]: Invalid value: \"a/b\": a valid config key must consist of"],
                ),
                ("/data", json!({"..a": "1"}), &["data[..a]: Invalid value: \"..a\": must not start with '..'"]),
                ("/data/b", json!("1"), &["data[b]: Invalid value: \"b\": duplicate of key present in binaryData"]),
                ("/data/a", "x".repeat((1 << 20) - 1).into(), &[]),
                ("/data/a", "x".repeat(1 << 20).into(), &["[]: Too long: may not be more than 1048576 bytes"]),
            ],
        );
        let mut fixed = map.clone();
        fixed["immutable"] = true.into();
        table_of_changes(Kind::ConfigMap, &map, &[("/data/a", json!("2"), &[]), ("/immutable", json!(true), &[])]);
        table_of_changes(
            Kind::ConfigMap,
            &fixed,
            &[
                ("/data/a", json!("2"), &["data: Forbidden: field is immutable when `immutable` is set"]),
                ("/binaryData", Value::Null, &["binaryData: Forbidden: field is immutable when `immutable` is set"]),
                ("/immutable", json!(false), &["immutable: Forbidden: field is immutable when `immutable` is set"]),
            ],
        );
    }

    #[test]
    fn secrets() {
        let secret = |kind: &str, data: Value| json!({"metadata": {"name": "a"}, "type": kind, "data": data});
        let tls = secret("kubernetes.io/tls", json!({"tls.crt": "", "tls.key": "eA=="}));
        table(
            Kind::Secret,
            &tls,
            &[
                ("/data/tls.key", Value::Null, &["data[tls.key]: Required value"]),
                ("/data/a b", json!(""), &["data[a b]: Invalid value: \"a b\": a valid config key"]),
                (
                    "/data/more",
                    "AAAA".repeat((1 << 20) / 3 + 1).into(),
                    &["data: Too long: may not be more than 1048576 bytes"],
                ),
                ("/type", json!("kubernetes.io/ssh-auth"), &["data[ssh-privatekey]: Required value"]),
                (
                    "/type",
                    json!("kubernetes.io/basic-auth"),
                    &["data[username]: Required value", "data[password]: Required value"],
                ),
                (
                    "/type",
                    json!("kubernetes.io/service-account-token"),
                    &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
                ),
                ("/type", json!("mine"), &[]),
            ],
        );
        let docker = secret("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "e30="}));
        table(
            Kind::Secret,
            &docker,
            &[(
                "/data/.dockerconfigjson",
                json!("eA=="),
                &["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": "],
            )],
        );
        table_of_changes(
            Kind::Secret,
            &secret("mine", json!({"a": ""})),
            &[
                ("/type", json!("other"), &["type: Invalid value: \"other\": field is immutable"]),
                ("/data/a", json!("eA=="), &[]),
            ],
        );
    }
}
