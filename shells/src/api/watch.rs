//! Watches as streams of JSON lines.

use crate::api::params::Params;
use crate::api::route::Resource;
use crate::api::{Api, reply};
use crate::clock;
use crate::host::FromServer;
use crate::http::Exchange;
use crossbeam_channel::{Receiver, select, unbounded};
use miniku_core::api::kinds::Kind;
use miniku_core::program::{Answer, Verb, WatchEvent};
use miniku_core::rng::Draw;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many events may wait for a watcher that does not read, before its watch is ended. It then lists again.
const BEHIND_MAX: usize = 4096;

/// A watch without a time-out of its own ends after this time, or up to twice that.
///
/// Source: Kubernetes, kube-apiserver `--min-request-timeout`, 1800 s.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// Serves a watch until its time is over, or one side has enough.
pub fn serve(api: &Api, exchange: Exchange, resource: &Resource, params: &Params) {
    let mut params_query = params.query(resource.kind, resource.namespace.as_deref());
    if let (Ok(query), Some(name)) = (&mut params_query, &resource.name) {
        query.fields.0.extend(miniku_core::api::selector::FieldSelector::equal("metadata.name", name).0);
    }
    let (query, from) = match params_query.and_then(|query| Ok((query, params.watch_from()?))) {
        Ok(both) => both,
        Err(status) => return reply::status(exchange, &status),
    };
    let (sender, news) = unbounded();
    let begun = Arc::new(AtomicBool::new(false));
    let live = begun.clone();
    let route = move |said: FromServer| {
        // What there is at the start is handed over in one go, whatever its size; later a reader must keep up.
        let fits = !live.load(Ordering::Relaxed) || sender.len() < BEHIND_MAX;
        fits && sender.send(said).is_ok()
    };
    let verb = Verb::Watch { query, from, bookmarks: params.bookmarks };
    let id = api.host.submit(verb.into(), Box::new(route));
    begun.store(true, Ordering::Relaxed);
    let end = Instant::now()
        + params.timeout.unwrap_or_else(|| TIMEOUT + Duration::from_secs(Draw::new(clock::seed()).below(1800)));
    match news.recv() {
        Ok(FromServer::Answer(Answer::Watching)) => stream(exchange, resource.kind, &news, end),
        Ok(FromServer::Answer(answer)) => reply::answer(exchange, resource.kind, answer, &[]),
        Ok(FromServer::Event(_) | FromServer::End) | Err(_) => {}
    }
    api.host.gone(id);
}

fn stream(exchange: Exchange, kind: Kind, news: &Receiver<FromServer>, end: Instant) {
    let departure = exchange.client().departure();
    // An error here or below means that the client has left.
    let Ok(mut stream) = exchange.stream(200, "application/json", &[]) else { return };
    let mut lines = Vec::new();
    loop {
        let said = select! {
            recv(news) -> said => said,
            recv(departure) -> _ => return,
            default(end.saturating_duration_since(Instant::now())) => return,
        };
        lines.clear();
        let mut more = put(&mut lines, kind, said.ok());
        // What waits already goes with it: one write, and still at once.
        while more && lines.len() < 64 << 10 {
            match news.try_recv() {
                Ok(said) => more = put(&mut lines, kind, Some(said)),
                Err(_) => break,
            }
        }
        if stream.send(&lines).is_err() || !more {
            return;
        }
    }
}

/// Adds one event's line. False if it was the last.
fn put(lines: &mut Vec<u8>, kind: Kind, said: Option<FromServer>) -> bool {
    let (what, object) = match &said {
        Some(FromServer::Event(WatchEvent::Added(object))) => ("ADDED", object),
        Some(FromServer::Event(WatchEvent::Modified(object))) => ("MODIFIED", object),
        Some(FromServer::Event(WatchEvent::Deleted(object))) => ("DELETED", object),
        Some(FromServer::Event(WatchEvent::Bookmark(revision))) => {
            let row = kind.row();
            let object = format!(
                r#"{{"kind":"{}","apiVersion":"{}","metadata":{{"resourceVersion":"{revision}","creationTimestamp":null}}}}"#,
                row.name,
                row.api_version()
            );
            line(lines, "BOOKMARK", object.as_bytes());
            return true;
        }
        Some(FromServer::Event(WatchEvent::Expired(status))) => {
            let status = serde_json::to_vec(status).expect("a Status has string keys");
            line(lines, "ERROR", &status);
            return true;
        }
        Some(FromServer::Answer(_)) => return true,
        Some(FromServer::End) | None => return false,
    };
    line(lines, what, object.json());
    true
}

fn line(lines: &mut Vec<u8>, what: &str, object: &[u8]) {
    lines.extend_from_slice(br#"{"type":""#);
    lines.extend_from_slice(what.as_bytes());
    lines.extend_from_slice(br#"","object":"#);
    lines.extend_from_slice(object);
    lines.extend_from_slice(b"}\n");
}
