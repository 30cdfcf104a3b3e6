//! Health, version, metrics.

use crate::api::reply;
use crate::driver::Seen;
use crate::host::{ApiHost, object_counts};
use crate::http::{Exchange, Metrics};
use miniku_core::api::status::Status;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

/// Says that the server is well, as a whole or in one of its [checks](CHECKS): one that is not does not answer.
///
/// Source: Kubernetes documentation, "Kubernetes API health endpoints"; `k8s.io/apiserver/pkg/server/healthz`.
pub fn health(exchange: Exchange, page: &str, check: Option<&str>) {
    let text = "text/plain; charset=utf-8";
    if check.is_some_and(|check| !CHECKS.contains(&check)) {
        return reply::status(exchange, &Status::no_such_path());
    }
    let verbose = exchange.query_pairs().any(|(name, _)| name == "verbose");
    let excluded: Vec<String> =
        exchange.query_pairs().filter(|(name, _)| name == "exclude").map(|(_, value)| value.into_owned()).collect();
    let body = if verbose && check.is_none() { verbosely(page, &excluded) } else { "ok".to_owned() };
    reply::send(exchange, 200, text, &[], body.as_bytes());
}

/// What is looked at: that it answers, and that its store is loaded, before which it does not listen.
const CHECKS: &[&str] = &["ping", "store"];

fn verbosely(page: &str, excluded: &[String]) -> String {
    let mut lines = String::new();
    for check in CHECKS {
        let how = if excluded.iter().any(|one| one == check) { "excluded: ok" } else { "ok" };
        writeln!(lines, "[+]{check} {how}").expect("a String takes every write");
    }
    let unknown: Vec<String> =
        excluded.iter().filter(|one| !CHECKS.contains(&one.as_str())).map(|one| format!("{one:?}")).collect();
    if !unknown.is_empty() {
        writeln!(lines, "warn: some health checks cannot be excluded: no matches for {}", unknown.join(", "))
            .expect("a String takes every write");
    }
    lines + page + " check passed\n"
}

/// Says which version of the API this is, and of miniku.
pub fn version(exchange: Exchange) {
    let body = format!(
        r#"{{"major":"1","minor":"32","gitVersion":"{}+miniku-{}","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"rustc","platform":"{}/{}"}}"#,
        reply::VERSION,
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    );
    reply::send(exchange, 200, "application/json", &[], body.as_bytes());
}

/// All numbers, in Prometheus' text format.
pub fn metrics(exchange: Exchange, host: &ApiHost, programs: &[Arc<Mutex<Seen>>], http: Option<&Metrics>) {
    let mut page = Page::default();
    let (revision, watches, objects) =
        host.look(|server| (server.store().revision().0, server.watches(), object_counts(server)));
    page.one("miniku_store_revision", "gauge", "The revision of the newest write.", revision);
    page.one("miniku_watches", "gauge", "Open watches.", watches);
    page.head("miniku_objects", "gauge", "Stored objects.");
    for (kind, count) in objects {
        page.line("miniku_objects", &format!("{{resource=\"{}\"}}", kind.row().resource()), count);
    }
    let commits = host.commits();
    page.one("miniku_store_commits_total", "counter", "Durable commits.", commits.commits.load(Relaxed));
    page.one("miniku_store_writes_total", "counter", "Writes in them.", commits.writes.load(Relaxed));
    if let Some(http) = http {
        http_lines(&mut page, http);
    }
    page.0 += &programs_page(programs);
    reply::send(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", &[], page.0.as_bytes());
}

fn http_lines(page: &mut Page, http: &Metrics) {
    let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
    page.one("miniku_http_connections_total", "counter", "Connections accepted.", get(&http.connections));
    page.one("miniku_http_connections", "gauge", "Connections open.", get(&http.connections_open));
    page.one("miniku_http_requests_total", "counter", "Requests handed to a handler.", get(&http.requests));
    page.one("miniku_http_streams", "gauge", "Streams open.", get(&http.streams_open));
    page.one("miniku_http_received_bytes_total", "counter", "Bytes read from clients.", get(&http.bytes_in));
    page.one("miniku_http_sent_bytes_total", "counter", "Bytes written to clients.", get(&http.bytes_out));
    page.head("miniku_http_answers_total", "counter", "Answers, by the class of their code.");
    for (class, count) in http.answers.iter().enumerate() {
        page.line("miniku_http_answers_total", &format!("{{code=\"{}xx\"}}", class + 1), get(count));
    }
    page.head("miniku_http_refused_total", "counter", "Requests refused before a handler saw them.");
    for (refusal, count) in http.refusals() {
        page.line("miniku_http_refused_total", &format!("{{reason=\"{refusal:?}\"}}"), count);
    }
}

/// The numbers of the programs of a process: its list-watches, under GoKube's names.
pub fn programs_page(programs: &[Arc<Mutex<Seen>>]) -> String {
    let seen: Vec<Seen> =
        programs.iter().map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect();
    let mut page = Page::default();
    page.head("miniku_program_steps_total", "counter", "Steps of a program.");
    for one in &seen {
        page.line("miniku_program_steps_total", &format!("{{program=\"{}\"}}", one.name), one.steps);
    }
    let each = |page: &mut Page,
                name: &str,
                kind: &str,
                help: &str,
                of: &dyn Fn(&miniku_core::client::informer::Counts) -> String| {
        page.head(name, kind, help);
        for one in &seen {
            for (resource, counts) in &one.informers {
                let labels = format!("{{component=\"listwatch\",program=\"{}\",resource=\"{resource}\"}}", one.name);
                page.line(name, &labels, of(counts));
            }
        }
    };
    each(&mut page, "listwatch_watch_failures_total", "counter", "Watches that ended or could not be opened.", &|c| {
        c.watch_failures.to_string()
    });
    each(&mut page, "listwatch_retry_attempts_total", "counter", "Tries after a failure.", &|c| {
        c.retry_attempts.to_string()
    });
    each(&mut page, "listwatch_events_processed_total", "counter", "Events taken in.", &|c| {
        (c.added + c.modified + c.deleted).to_string()
    });
    each(&mut page, "listwatch_connection_state", "gauge", "1 while a watch is open, else 0.", &|c| {
        u8::from(c.connected).to_string()
    });
    page.head("listwatch_events_by_type_total", "counter", "Events taken in, by type.");
    page_by(&mut page, &seen, "listwatch_events_by_type_total", "event_type", |c| {
        vec![("ADDED", c.added), ("MODIFIED", c.modified), ("DELETED", c.deleted)]
    });
    page.head("listwatch_errors_by_type_total", "counter", "Failures, by type.");
    page_by(&mut page, &seen, "listwatch_errors_by_type_total", "error_type", |c| {
        vec![("get_revision_failed", c.list_failures), ("watch_error", c.watch_failures)]
    });
    let seconds = |nanos: u64| std::time::Duration::from_nanos(nanos).as_secs_f64().to_string();
    for (name, help, sum, count) in [
        ("listwatch_list_duration_seconds", "From asking for a list to having it.", 0, 1),
        ("listwatch_watch_session_duration_seconds", "From the opening of a watch to its end.", 2, 3),
    ] {
        page.head(name, "summary", help);
        let of =
            |c: &miniku_core::client::informer::Counts, at| [c.list_nanos, c.lists, c.session_nanos, c.sessions][at];
        for one in &seen {
            for (resource, counts) in &one.informers {
                let labels = format!("{{component=\"listwatch\",program=\"{}\",resource=\"{resource}\"}}", one.name);
                page.line(&format!("{name}_sum"), &labels, seconds(of(counts, sum)));
                page.line(&format!("{name}_count"), &labels, of(counts, count));
            }
        }
    }
    page.head("listwatch_watch_event_duration_seconds", "summary", "Taking in one event.");
    for one in &seen {
        let labels = format!("{{component=\"listwatch\",program=\"{}\"}}", one.name);
        page.line("listwatch_watch_event_duration_seconds_sum", &labels, one.event_time.as_secs_f64());
        page.line("listwatch_watch_event_duration_seconds_count", &labels, one.events);
    }
    page.0
}

fn page_by(
    page: &mut Page,
    seen: &[Seen],
    name: &str,
    label: &str,
    of: impl Fn(&miniku_core::client::informer::Counts) -> Vec<(&'static str, u64)>,
) {
    for one in seen {
        for (resource, counts) in &one.informers {
            for (value, count) in of(counts) {
                let program = &one.name;
                let labels = format!(
                    "{{component=\"listwatch\",program=\"{program}\",resource=\"{resource}\",{label}=\"{value}\"}}"
                );
                page.line(name, &labels, count);
            }
        }
    }
}

/// A page in the making. Source: Prometheus documentation, "Exposition formats".
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes every write");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        writeln!(self.0, "{name}{labels} {value}").expect("a String takes every write");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_listed() {
        assert_eq!(verbosely("readyz", &[]), "[+]ping ok\n[+]store ok\nreadyz check passed\n");
        let excluded = ["store".to_owned(), "etcd".to_owned()];
        let want = "[+]ping ok\n[+]store excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"etcd\"\nlivez check passed\n";
        assert_eq!(verbosely("livez", &excluded), want);
    }
}
