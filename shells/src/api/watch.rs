//! Watches as streams of JSON lines.

use crate::api::params::Params;
use crate::api::route::Resource;
use crate::api::shown::{Shape, Shown};
use crate::api::{Api, reply};
use crate::clock;
use crate::host::FromServer;
use crate::http::Exchange;
use crossbeam_channel::{Receiver, select, unbounded};
use miniku_core::api::served::Form;
use miniku_core::program::{Answer, Revision, Verb, WatchEvent, WatchFrom};
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
/// No watch lasts longer, whatever its time-out is: clocks end, too.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves a watch until its time is over, or one side has enough.
pub fn serve(api: &Api, exchange: Exchange, resource: &Resource, params: &Params, shown: Shown) {
    let mut params_query = params.query(resource.kind(), resource.namespace.as_deref());
    if let (Ok(query), Some(name)) = (&mut params_query, &resource.name) {
        query.fields.0.extend(miniku_core::api::selector::FieldSelector::equal("metadata.name", name).0);
    }
    let (query, from) = match params_query.and_then(|query| Ok((query, params.watch_from()?))) {
        Ok(both) => both,
        Err(status) => return reply::status(exchange, &status),
    };
    let from = if params.initial_events { WatchFrom::Start } else { from };
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
    // What there was at the start has been handed over, behind the answer; a later event may follow it already, and is
    // then told before the end of the start is.
    let initial = (params.initial_events && params.bookmarks).then(|| Initial {
        // In this order: what is as old as the revision waits by now.
        revision: api.host.look(|server| server.store().revision()),
        events: news.len().saturating_sub(1),
    });
    let usual = || TIMEOUT + Duration::from_secs(Draw::new(clock::seed()).below(1800));
    let end = Instant::now() + params.timeout.unwrap_or_else(usual).min(TIMEOUT_MAX);
    match news.recv() {
        Ok(FromServer::Answer(Answer::Watching)) => stream(exchange, Lines::of(shown), &news, end, initial),
        Ok(FromServer::Answer(answer)) => reply::answer(exchange, &shown, answer, &[]),
        Ok(FromServer::Event(_) | FromServer::End) | Err(_) => {}
    }
    api.host.gone(id);
}

fn stream(exchange: Exchange, mut out: Lines, news: &Receiver<FromServer>, end: Instant, mut initial: Option<Initial>) {
    let departure = exchange.client().departure();
    // An error here or below means that the client has left.
    let Ok(mut stream) = exchange.stream(200, "application/json", &[]) else { return };
    if let Some(initial) = initial.take_if(|initial| initial.events == 0) {
        out.initial_end(initial.revision);
        if stream.send(&out.text).is_err() {
            return;
        }
    }
    loop {
        let said = select! {
            recv(news) -> said => said,
            recv(departure) -> _ => return,
            default(end.saturating_duration_since(Instant::now())) => return,
        };
        out.text.clear();
        let mut said = said.ok();
        // What waits already goes with it: one write, and still at once.
        let more = loop {
            let more = out.put(said);
            if let Some(one) = &mut initial {
                one.events -= 1;
            }
            if let Some(initial) = initial.take_if(|initial| initial.events == 0) {
                out.initial_end(initial.revision);
            }
            if !more || out.text.len() >= 64 << 10 {
                break more;
            }
            said = match news.try_recv() {
                Ok(next) => Some(next),
                Err(_) => break true,
            };
        };
        if stream.send(&out.text).is_err() || !more {
            return;
        }
    }
}

/// What a watch began with.
struct Initial {
    /// So many of its events are still to be sent.
    events: usize,
    /// The revision at which it was so.
    revision: Revision,
}

/// Events as lines.
struct Lines {
    shown: Shown,
    text: Vec<u8>,
    /// No object was shown yet.
    first: bool,
}

impl Lines {
    fn of(shown: Shown) -> Self {
        Lines { shown, text: Vec::new(), first: true }
    }

    /// Adds one event's line. False if it was the last.
    fn put(&mut self, said: Option<FromServer>) -> bool {
        let (what, object) = match &said {
            Some(FromServer::Event(WatchEvent::Added(object))) => ("ADDED", object),
            Some(FromServer::Event(WatchEvent::Modified(object))) => ("MODIFIED", object),
            Some(FromServer::Event(WatchEvent::Deleted(object))) => ("DELETED", object),
            Some(FromServer::Event(WatchEvent::Bookmark(revision))) => {
                let object = self.shown.bookmark(*revision, "");
                self.line("BOOKMARK", &object);
                return true;
            }
            Some(FromServer::Event(WatchEvent::Expired(status))) => {
                let status = serde_json::to_vec(status).expect("a Status has string keys");
                self.line("ERROR", &status);
                return true;
            }
            Some(FromServer::Answer(_)) => return true,
            Some(FromServer::End) | None => return false,
        };
        match (&self.shown.served.form, self.shown.shape) {
            (Form::Kept, Shape::Whole) => self.line(what, object.json()),
            _ => {
                let event = self.shown.event(object, std::mem::take(&mut self.first));
                self.line(what, &event);
            }
        }
        true
    }

    /// Says that all that there was at the start has been shown. Source: KEP-3157, `k8s.io/initial-events-end`.
    fn initial_end(&mut self, revision: Revision) {
        let mark = r#","annotations":{"k8s.io/initial-events-end":"true"}"#;
        let object = self.shown.bookmark(revision, mark);
        self.line("BOOKMARK", &object);
    }

    fn line(&mut self, what: &str, object: &[u8]) {
        let lines = &mut self.text;
        lines.extend_from_slice(br#"{"type":""#);
        lines.extend_from_slice(what.as_bytes());
        lines.extend_from_slice(br#"","object":"#);
        lines.extend_from_slice(object);
        lines.extend_from_slice(b"}\n");
    }
}
