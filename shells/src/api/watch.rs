//! Watches as streams of JSON lines.

use crate::api::params::Params;
use crate::api::resources::LIST_AT_ONCE_MAX;
use crate::api::route::Resource;
use crate::api::shown::{Shape, Shown};
use crate::api::{Api, reply};
use crate::clock;
use crate::host::FromServer;
use crate::http::{Exchange, Growing, Reply};
use crossbeam_channel::{Receiver, select, unbounded};
use miniku_core::api::served::Form;
use miniku_core::api::status::Status;
use miniku_core::program::{Answer, Query, Revision, Verb, WatchEvent, WatchFrom};
use miniku_core::rng::Draw;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How many events may wait for a watcher that does not read, before its watch is ended. It then lists again.
const BEHIND_MAX: usize = 4096;

/// A watch without a time-out of its own ends after this time, or up to twice that.
///
/// Source: Kubernetes, kube-apiserver `--min-request-timeout`, 1800 s.
const TIMEOUT: Duration = Duration::from_secs(1800);
/// No watch lasts longer, whatever its time-out is: clocks end, too.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Bytes that may wait for a watcher that does not read, before its watch is ended.
const BEHIND_BYTES: usize = 8 << 20;

/// Serves a watch that needs no thread, since each of its events is little work: it is written down as the server tells it,
/// and the front sends it. Any other watch is given back.
pub fn at_once(api: &Api, reply: Reply, resource: &Resource, params: &Params, shown: Shown) -> Option<Reply> {
    let Ok((query, from)) = asked(resource, params) else { return Some(reply) };
    // At the start there may be as many events as objects.
    let few = matches!(from, WatchFrom::After(_))
        || api.host.look(|server| server.store().count(resource.kind())) <= LIST_AT_ONCE_MAX;
    let little = matches!((&shown.served.form, shown.shape), (Form::Kept, Shape::Whole));
    if !few || !little || params.initial_events.is_some() || !reply.may_grow() {
        return Some(reply);
    }
    let (id, begun) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
    let (host, own, live) = (Arc::downgrade(&api.host), id.clone(), begun.clone());
    let left = move || {
        if let (Some(host), Some(id)) = (host.upgrade(), own.get()) {
            host.gone(*id);
        }
    };
    let (end, mut lines) = (end(params), Lines::of(shown));
    let (mut asks, mut growing) = (Some((reply, left)), None::<Growing>);
    let route = move |said: FromServer| {
        if let Some((reply, left)) = asks.take() {
            if let FromServer::Answer(Answer::Watching) = said {
                growing = Some(reply.grow(reply::JSON, end, left));
                return true;
            }
            if let FromServer::Answer(answer) = said {
                reply::answer(reply, &lines.shown, answer, &[]);
            }
            return false;
        }
        let (FromServer::Event(_), Some(growing)) = (&said, &growing) else { return false };
        lines.text.clear();
        lines.put(Some(said));
        // What there is at the start is handed over whatever its size; later a reader must keep up.
        let fits = !live.load(Ordering::Relaxed) || growing.waiting() < BEHIND_BYTES;
        fits && growing.send(&lines.text)
    };
    let verb = Verb::Watch { query, from, bookmarks: params.bookmarks };
    let given = api.host.submit(verb.into(), Box::new(route));
    begun.store(true, Ordering::Relaxed);
    // It is asked for by the front, whose thread this is, when it has returned.
    id.set(given).expect("it is set here only");
    None
}

/// What is watched, from when on.
fn asked(resource: &Resource, params: &Params) -> Result<(Query, WatchFrom), Status> {
    let mut query = params.query(resource.kind(), resource.namespace.as_deref())?;
    if let Some(name) = &resource.name {
        query.fields.0.extend(miniku_core::api::selector::FieldSelector::equal("metadata.name", name).0);
    }
    Ok((query, params.watch_from()?))
}

/// When a watch is over.
fn end(params: &Params) -> Instant {
    let usual = || TIMEOUT + Duration::from_secs(Draw::new(clock::seed()).below(1800));
    Instant::now() + params.timeout.unwrap_or_else(usual).min(TIMEOUT_MAX)
}

/// Serves a watch until its time is over, or one side has enough.
pub fn serve(api: &Api, exchange: Exchange, resource: &Resource, params: &Params, shown: Shown) {
    let (query, from) = match asked(resource, params) {
        Ok(both) => both,
        Err(status) => return reply::status(exchange, &status),
    };
    let initial = params.initial_events == Some(true);
    let from = match (params.initial_events, from) {
        (Some(true), _) => WatchFrom::Start,
        // It is not said from when on, and what is there is not wanted: from now on.
        (Some(false), WatchFrom::Start) => WatchFrom::After(api.host.look(|server| server.store().revision())),
        (_, from) => from,
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
    // What there was at the start has been handed over, behind the answer; a later event may follow it already, and is
    // then told before the end of the start is.
    let initial = (initial && params.bookmarks).then(|| Initial {
        // In this order: what is as old as the revision waits by now.
        revision: api.host.look(|server| server.store().revision()),
        events: news.len().saturating_sub(1),
    });
    let end = end(params);
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
        let event = self.shown.event(object, std::mem::take(&mut self.first));
        self.line(what, &event);
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
