//! Answers as bytes.

use crate::api::shown::{Shown, Written};
use crate::http::Respond;
use crate::yaml;
use flate2::Compression;
use flate2::write::GzEncoder;
use miniku_core::api::kinds::Effect;
use miniku_core::api::object::Object;
use miniku_core::api::status::{Reason, Status};
use miniku_core::api::structs::RestOf;
use miniku_core::program::Answer;
use miniku_core::schema::{Schema, Type};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;

/// The Kubernetes version whose API this is. Clients compare it with their own.
pub const VERSION: &str = "v1.32.0";

/// The media type of all objects.
pub const JSON: &str = "application/json";
/// That of objects in YAML.
const YAML: &str = "application/yaml";

/// Sends a `Status`.
pub fn status(to: impl Respond, status: &Status) {
    let mut body = serde_json::to_vec(status).expect("a Status has string keys");
    body.push(b'\n');
    send(to, status.http_code(), JSON, &[], &body);
}

/// Sends what the server answered, with a warning a line.
pub fn answer(to: impl Respond, shown: &Shown, answer: Answer, warnings: &[String]) {
    match answer {
        Answer::Object { object, created } => {
            let code = if created { 201 } else { 200 };
            objects(to, code, shown, warnings, &shown.one(&object));
        }
        Answer::List { revision, items } => objects(to, 200, shown, warnings, &shown.list(revision, &[], &items)),
        Answer::Removed(removed) => status(to, &removed),
        Answer::Refused(refused) => status(to, &refused),
        Answer::Lost(why) => status(to, &Status::failure(Reason::Timeout, why)),
        Answer::Watching => {
            status(to, &Status::failure(Reason::InternalError, "a watch began where none was asked for"))
        }
    }
}

/// Sends the JSON text of objects, written as the client wants it, with a warning a line.
pub fn objects(to: impl Respond, code: u16, shown: &Shown, warnings: &[String], json: &[u8]) {
    match shown.written {
        Written::Json => send(to, code, JSON, warnings, json),
        Written::Yaml => match as_yaml(json) {
            Ok(text) => send(to, code, YAML, warnings, text.as_bytes()),
            Err(why) => status(to, &Status::failure(Reason::InternalError, why)),
        },
    }
}

/// Fails for what is nested too deep to be read again.
fn as_yaml(json: &[u8]) -> Result<String, String> {
    let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    yaml::text(&value)
}

/// Sends what has a JSON form.
pub fn value(to: impl Respond, code: u16, content_type: &str, value: &impl Serialize) {
    let body = serde_json::to_vec(value).expect("what is sent has string keys and finite numbers");
    send(to, code, content_type, &[], &body);
}

/// Sends bytes, with a warning a line; packed if they are many and the client takes that.
///
/// Source: Kubernetes, `k8s.io/apiserver`, `defaultGzipThresholdBytes` and its level of compression.
pub fn send(to: impl Respond, code: u16, content_type: &str, warnings: &[String], body: &[u8]) {
    let mut headers: Vec<(&str, &str)> = warnings.iter().map(|warning| ("Warning", warning.as_str())).collect();
    // An error means that the client has left, and there is nobody to tell.
    if is_packed(body.len(), to.packs()) {
        headers.extend([("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]);
        let mut packed = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        let packed = packed.write_all(body).and_then(|()| packed.finish()).expect("a Vec takes all");
        let _ = to.respond(code, content_type, &headers, &packed);
    } else {
        let _ = to.respond(code, content_type, &headers, body);
    }
}

/// Whether so many bytes are packed for a client that takes that or not.
pub fn is_packed(length: usize, taken: bool) -> bool {
    taken && length > GZIP_MIN
}

/// What is not longer is sent as it is: to pack it takes longer than to send it.
const GZIP_MIN: usize = 128 << 10;

/// What a request named that has no effect here, as `Warning` headers.
pub fn without_effect(object: &Object) -> Vec<String> {
    let row = object.kind().row();
    match row.effect {
        Effect::NotYet(why) => {
            warning_lines(&[format!("{} {}: kept, but {why} in miniku yet", row.singular, object.meta().name)])
        }
        Effect::Acts | Effect::None => {
            let usual = as_usual(object);
            let mut paths = object.fields_without_effect();
            paths.retain(|path| !usual.contains(path));
            warnings(&paths, "kept, but without effect in miniku")
        }
    }
}

/// Fields that say no more than would be so without them.
fn as_usual(object: &Object) -> Vec<String> {
    let schema = Schema::kubernetes();
    let Some(message) = schema.named(object.kind().row().message) else { return Vec::new() };
    let mut usual = Vec::new();
    let mut note = |part: RestOf<'_>| {
        for (name, value) in part.rest.iter() {
            let field = schema.message(part.message).field(name);
            if field.and_then(|field| field.default.as_ref()) == Some(value) {
                let dot = if part.path.is_empty() { "" } else { "." };
                usual.push(format!("{}{dot}{name}", part.path));
            }
        }
    };
    match object.as_acted_on() {
        Some(mut body) => body.each_rest(schema, &Type::Message(message), &mut String::new(), &mut note),
        None => object.clone().each_rest(schema, message, &mut note),
    }
    usual
}

/// `Warning` headers, one a text.
pub fn warning_lines(texts: &[String]) -> Vec<String> {
    texts
        .iter()
        .take(WARNINGS_MAX)
        .map(|text| format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect()
}

/// `Warning` headers, one a field: its path, and what is to be said of it. Source: RFC 9111, section 5.5; KEP-1693.
pub fn warnings(paths: &[String], what: &str) -> Vec<String> {
    // It is a quoted string, and a field is named by whoever sends it.
    let warning = |path: &String| format!("299 - \"{}: {what}\"", path.replace('\\', "\\\\").replace('"', "\\\""));
    let mut warnings: Vec<String> = paths.iter().take(WARNINGS_MAX).map(warning).collect();
    if paths.len() > WARNINGS_MAX {
        warnings.push(format!("299 - \"{} more fields: {what}\"", paths.len() - WARNINGS_MAX));
    }
    warnings
}

/// So many fields are named. Clients bound the headers of an answer; ours takes 100.
const WARNINGS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_says_what_the_json_says() {
        let json = br#"{"kind":"Some","b":"yes","a":"0644","items":[{"port":1}]}"#;
        let want = "a: \"0644\"\nb: \"yes\"\nitems:\n- port: 1\nkind: Some\n";
        assert_eq!(as_yaml(json).as_deref(), Ok(want));
        assert!(as_yaml(&[b'['; 200]).is_err());
    }

    #[test]
    fn warnings_are_quoted_and_bounded() {
        assert_eq!(warnings(&["a\"\\b".into()], "why"), [r#"299 - "a\"\\b: why""#]);
        let many = warnings(&vec!["x".into(); 60], "why");
        assert_eq!((many.len(), many[50].as_str()), (51, "299 - \"10 more fields: why\""));
    }
}
