//! MiniKu's paths: `/pods`, `/replicasets`, `/nodes`.
//!
//! Errors are plain text, as there; POST and PUT create or replace, DELETE is content with what is gone already.

use crate::api::{Api, reply};
use crate::http::Exchange;
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::status::Reason;
use miniku_core::dialect::miniku::{self, Next, Put};
use miniku_core::program::{Answer, DeleteOptions, Propagation, Query, Verb};

/// Answers a request in MiniKu's dialect.
pub fn serve(api: &Api, exchange: Exchange, kind: Kind, name: Option<&str>) {
    let key = |name: &str| {
        let namespace = if kind.row().namespaced { namespace::DEFAULT } else { "" };
        Key::new(kind, namespace, name)
    };
    match (exchange.method(), name) {
        ("GET" | "HEAD", None) => {
            let namespace = kind.row().namespaced.then(|| namespace::DEFAULT.into());
            match api.host.ask(Verb::List(Query { namespace, ..Query::all(kind) })) {
                Answer::List { items, .. } => {
                    let flat: Vec<String> = items.iter().filter_map(miniku::show).collect();
                    json(exchange, 200, &format!("[{}]", flat.join(",")), &[]);
                }
                other => refused(exchange, kind, other),
            }
        }
        ("GET" | "HEAD", Some(name)) => shown(exchange, kind, api.host.ask(Verb::Get { key: key(name) }), &[]),
        ("POST", None) | ("PUT", Some(_)) => match miniku::read(kind, name, exchange.body()) {
            Ok((object, unknown)) => {
                let warnings = reply::warnings(&unknown, "not a field of this dialect, and left out");
                let answer = put(api, object);
                shown(exchange, kind, answer, &warnings);
            }
            Err(message) => text(exchange, 400, &message),
        },
        ("DELETE", Some(name)) => {
            let options = DeleteOptions { propagation: Some(Propagation::Background), ..Default::default() };
            match api.host.ask(Verb::Delete { key: key(name), options }) {
                Answer::Refused(status) if status.reason != Some(Reason::NotFound) => {
                    text(exchange, status.http_code(), &status.message);
                }
                _ => reply::send(exchange, 204, "", &[], b""),
            }
        }
        _ => text(exchange, 405, "method not allowed"),
    }
}

fn put(api: &Api, object: Object) -> Answer {
    let (mut put, mut verb) = Put::begin(object);
    loop {
        match put.next(api.host.ask(verb)) {
            Next::Ask(next) => verb = next,
            Next::Done(answer) => return answer,
        }
    }
}

fn shown(exchange: Exchange, kind: Kind, answer: Answer, warnings: &[String]) {
    match answer {
        Answer::Object { object, created } => match miniku::show(&object) {
            Some(flat) => json(exchange, if created { 201 } else { 200 }, &flat, warnings),
            None => text(exchange, 404, &format!("{} not found", kind.row().singular)),
        },
        other => refused(exchange, kind, other),
    }
}

fn refused(exchange: Exchange, kind: Kind, answer: Answer) {
    match answer {
        Answer::Refused(status) if status.reason == Some(Reason::NotFound) => {
            text(exchange, 404, &format!("{} not found", kind.row().singular));
        }
        Answer::Refused(status) => text(exchange, status.http_code(), &status.message),
        _ => text(exchange, 500, "the server gave no answer"),
    }
}

fn json(exchange: Exchange, code: u16, body: &str, warnings: &[String]) {
    reply::send(exchange, code, "application/json", warnings, format!("{body}\n").as_bytes());
}

fn text(exchange: Exchange, code: u16, message: &str) {
    reply::send(exchange, code, "text/plain; charset=utf-8", &[], format!("{message}\n").as_bytes());
}
