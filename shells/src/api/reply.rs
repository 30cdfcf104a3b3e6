//! Answers as bytes.

use crate::http::Respond;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::status::{Reason, Status};
use miniku_core::program::{Answer, Revision};

/// The Kubernetes version whose API this is. Clients compare it with their own.
pub const VERSION: &str = "v1.32.0";

const JSON: &str = "application/json";

/// Sends a `Status`.
pub fn status(to: impl Respond, status: &Status) {
    let mut body = serde_json::to_vec(status).expect("a Status has string keys");
    body.push(b'\n');
    send(to, status.http_code(), JSON, &[], &body);
}

/// Sends what the server answered, with a warning a line.
pub fn answer(to: impl Respond, kind: Kind, answer: Answer, warnings: &[String]) {
    match answer {
        Answer::Object { object, created } => {
            let code = if created { 201 } else { 200 };
            send(to, code, JSON, warnings, object.json());
        }
        Answer::List { revision, items } => send(to, 200, JSON, warnings, &list(kind, revision, &items)),
        Answer::Removed(removed) => status(to, &removed),
        Answer::Refused(refused) => status(to, &refused),
        Answer::Lost(why) => status(to, &Status::failure(Reason::Timeout, why)),
        Answer::Watching => {
            status(to, &Status::failure(Reason::InternalError, "a watch began where none was asked for"))
        }
    }
}

/// Sends bytes, with a warning a line.
pub fn send(to: impl Respond, code: u16, content_type: &str, warnings: &[String], body: &[u8]) {
    let headers: Vec<(&str, &str)> = warnings.iter().map(|warning| ("Warning", warning.as_str())).collect();
    // An error means that the client has left, and there is nobody to tell.
    let _ = to.respond(code, content_type, &headers, body);
}

/// A list's JSON text, made of its items' texts.
pub fn list(kind: Kind, revision: Revision, items: &[Object]) -> Vec<u8> {
    let row = kind.row();
    let head = format!(
        r#"{{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{revision}"}},"items":["#,
        row.name,
        row.api_version()
    );
    let size: usize = items.iter().map(|item| item.json_as_item().len() + 2).sum();
    let mut body = Vec::with_capacity(head.len() + size + 3);
    body.extend_from_slice(head.as_bytes());
    for (nth, item) in items.iter().enumerate() {
        body.extend_from_slice(if nth == 0 { b"{" } else { b",{" });
        body.extend_from_slice(item.json_as_item());
    }
    body.extend_from_slice(b"]}");
    body
}

/// What a request named that has no effect here, as `Warning` headers.
pub fn without_effect(object: &Object) -> Vec<String> {
    warnings(&object.fields_without_effect(), "kept, but without effect in miniku")
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

/// The refusal of a path that is not served. The words are Kubernetes'.
pub fn no_such_path() -> Status {
    Status::failure(Reason::NotFound, "the server could not find the requested resource")
}

/// The refusal of a method. The words are Kubernetes'.
pub fn no_such_method() -> Status {
    Status::failure(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_bounded() {
        assert_eq!(warnings(&["a\"\\b".into()], "why"), [r#"299 - "a\"\\b: why""#]);
        let many = warnings(&vec!["x".into(); 60], "why");
        assert_eq!((many.len(), many[50].as_str()), (51, "299 - \"10 more fields: why\""));
    }

    #[test]
    fn a_list_is_json() {
        let pod = |name: &str| {
            let json = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"containers":[]}},"status":{{}}}}"#);
            Object::decode(Kind::Pod, json.as_bytes()).unwrap()
        };
        let text = list(Kind::Pod, Revision(7), &[pod("a"), pod("b")]);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["metadata"]["resourceVersion"], "7");
        assert_eq!(value["items"][1]["metadata"]["name"], "b");
        assert!(value["items"][0].get("kind").is_none());
        assert_eq!(
            list(Kind::Pod, Revision(1), &[]),
            br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#
        );
    }
}
