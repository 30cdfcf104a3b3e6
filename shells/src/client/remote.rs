//! An API server that is somewhere else: calls and watches over HTTP.

use crate::client::connection::{CALL_TIMEOUT, Connection, HttpStream, ServerUrl, Stop};
use crate::client::credentials::Credentials;
use crate::client::wire::{self, HttpRequest};
use miniku_core::api::kinds::Kind;
use miniku_core::api::metrics;
use miniku_core::api::status::Status;
use miniku_core::decision::Noted;
use miniku_core::program::{Answer, Query, Request, WatchEvent, WatchFrom};
use miniku_core::usage::PodUsage;
use std::io::{BufRead, Read};
use std::time::Duration;

/// The server is asked to end a watch after this time, and is given [`CALL_TIMEOUT`] more to do so.
///
/// So a server that vanished without a word is noticed at last. Source: client-go's reflector asks for 5 to 10 min.
pub const WATCH_TIMEOUT: Duration = Duration::from_secs(300);

/// No line of a watch is longer: etcd and so Kubernetes refuse objects above 1.5 MiB.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// An API server reached over HTTP. Clones share its connections; any thread may call.
#[derive(Clone, Debug)]
pub struct Remote {
    connection: Connection,
    watch_timeout: Duration,
}

/// How a watch came to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The server did not begin it.
    Refused(Status),
    /// The server ended it, as servers do from time to time.
    Closed,
    /// The connection broke, or was never made.
    Lost(String),
    /// It was stopped from here.
    Stopped,
}

impl Remote {
    /// Connects on the first call, not before.
    pub fn new(server: ServerUrl) -> Self {
        Remote { connection: Connection::new(server), watch_timeout: WATCH_TIMEOUT }
    }

    /// The same, asking the server to end watches after another time than [`WATCH_TIMEOUT`].
    pub fn with_watch_timeout(mut self, timeout: Duration) -> Self {
        self.watch_timeout = timeout;
        self
    }

    /// The same, saying who asks.
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Remote { connection: self.connection.with_credentials(credentials), ..self }
    }

    /// Asks, and waits for the answer: at most [`CALL_TIMEOUT`].
    ///
    /// A watch is not asked for this way; see [`Remote::open`].
    pub fn call(&self, request: &Request) -> Answer {
        match self.connection.send(&wire::request(request)) {
            Ok(answer) => {
                for warning in &answer.warnings {
                    log::warn!("{warning}");
                }
                wire::answer(request, answer.code, &answer.bytes)
            }
            Err(error) => Answer::Lost(error.to_string()),
        }
    }

    /// Asks what the pods use that match; an error is a sentence.
    pub fn usage(&self, query: &Query) -> Result<Vec<PodUsage>, String> {
        let answer = self.connection.send(&wire::usage(query)).map_err(|error| error.to_string())?;
        if answer.code >= 300 {
            return Err(wire::refusal(answer.code, &answer.bytes).map_or_else(|why| why, |status| status.message));
        }
        let items = metrics::read_list(&answer.bytes).map_err(|error| error.to_string())?;
        Ok(items.iter().filter_map(metrics::Metrics::pod).collect())
    }

    /// Tells what was decided; an error is a sentence.
    pub fn tell(&self, decisions: &[Noted]) -> Result<(), String> {
        let answer = self.connection.send(&wire::decisions(decisions)).map_err(|error| error.to_string())?;
        if answer.code < 300 {
            return Ok(());
        }
        Err(wire::refusal(answer.code, &answer.bytes).map_or_else(|why| why, |status| status.message))
    }

    /// Begins a watch. When this returns, the server has agreed and events will follow.
    #[allow(clippy::result_large_err, reason = "a watch ends once; what it said is moved on as it is")]
    pub fn open(&self, query: &Query, from: WatchFrom, bookmarks: bool, stop: &Stop) -> Result<Watch, Ended> {
        // Rounded up: 0 would mean that the server chooses.
        let seconds = self.watch_timeout.as_secs().max(1);
        let http = HttpRequest::get(wire::watch_target(query, from, bookmarks, Some(seconds)));
        let limit = Duration::from_secs(seconds) + CALL_TIMEOUT;
        let lost = |error: &dyn std::fmt::Display| match stop.is_stopped() {
            true => Ended::Stopped,
            false => Ended::Lost(error.to_string()),
        };
        let stream = self.connection.stream(&http, Some(limit), stop).map_err(|error| lost(&error))?;
        if stream.code != 200 {
            let answer = stream.finish().map_err(|error| lost(&error))?;
            return Err(wire::refusal(answer.code, &answer.bytes).map_or_else(Ended::Lost, Ended::Refused));
        }
        Ok(Watch { kind: query.kind, stream, stop: stop.clone(), line: Vec::new() })
    }

    /// Watches until the end, whatever it is. `stop` ends it from another thread, at once.
    pub fn watch(
        &self,
        query: &Query,
        from: WatchFrom,
        bookmarks: bool,
        stop: &Stop,
        mut on_event: impl FnMut(WatchEvent),
    ) -> Ended {
        match self.open(query, from, bookmarks, stop) {
            Err(ended) => ended,
            Ok(mut watch) => loop {
                match watch.next_event() {
                    Ok(event) => on_event(event),
                    Err(ended) => return ended,
                }
            },
        }
    }
}

/// A watch that the server agreed to.
pub struct Watch {
    kind: Kind,
    stream: HttpStream,
    stop: Stop,
    line: Vec<u8>,
}

impl Watch {
    /// Waits for the next event, or for the end.
    #[allow(clippy::result_large_err, reason = "a watch ends once; what it said is moved on as it is")]
    pub fn next_event(&mut self) -> Result<WatchEvent, Ended> {
        loop {
            self.line.clear();
            let read = self.stream.body.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
            // A socket shut down from here reads as an end or as an error, as it happens.
            if self.stop.is_stopped() {
                return Err(Ended::Stopped);
            }
            match read {
                Err(error) => return Err(Ended::Lost(error.to_string())),
                Ok(0) => return Err(Ended::Closed),
                Ok(_) if self.line.last() != Some(&b'\n') => {
                    return Err(Ended::Lost("the watch broke off inside a line".into()));
                }
                Ok(_) if self.line.trim_ascii().is_empty() => {}
                Ok(_) => return wire::event(self.kind, &self.line).map_err(Ended::Lost),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::api::object::Key;
    use miniku_core::program::{Revision, Verb};
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Instant;

    /// A server that answers one connection with these pieces, waits for `hold`, and tells what it was asked.
    fn serve(pieces: Vec<String>, hold: Duration) -> (Remote, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (tell, asked) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            tell.send(String::from_utf8(head).unwrap()).unwrap();
            for piece in pieces {
                socket.write_all(piece.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(hold);
        });
        (Remote::new(url), asked)
    }

    fn chunk(text: &str) -> String {
        format!("{:x}\r\n{text}\r\n", text.len())
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn added(name: &str) -> String {
        format!("{{\"type\":\"ADDED\",\"object\":{{\"metadata\":{{\"name\":\"{name}\"}}}}}}\n")
    }

    fn watch(remote: &Remote, stop: &Stop) -> (Vec<String>, Ended) {
        let mut names = Vec::new();
        let ended = remote.watch(&Query::all(Kind::Node), WatchFrom::After(Revision(3)), true, stop, |event| {
            let WatchEvent::Added(object) = event else { panic!("{event:?}") };
            names.push(object.meta().name.to_string());
        });
        (names, ended)
    }

    #[test]
    fn events_come_line_by_line_however_they_are_cut() {
        let two = format!("{}{}", added("b"), added("c"));
        let (front, back) = two.split_at(30);
        let pieces = [HEAD.into(), chunk(&added("a")), chunk(front), chunk(back), "0\r\n\r\n".into()];
        let (remote, asked) = serve(pieces.into(), Duration::ZERO);
        let (names, ended) = watch(&remote, &Stop::default());
        assert_eq!((names.concat().as_str(), ended), ("abc", Ended::Closed));
        let asked = asked.recv().unwrap();
        let want =
            "GET /api/v1/nodes?watch=true&allowWatchBookmarks=true&resourceVersion=3&timeoutSeconds=300 HTTP/1.1";
        assert!(asked.starts_with(want), "{asked}");
    }

    #[test]
    fn a_broken_connection_is_no_end() {
        let (remote, _asked) = serve(vec![HEAD.into(), chunk("{\"type\":")], Duration::ZERO);
        assert!(matches!(watch(&remote, &Stop::default()).1, Ended::Lost(_)));
    }

    #[test]
    fn a_refusal_is_told() {
        let text = serde_json::to_string(&Status::not_found(Kind::Node, "x")).unwrap();
        let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let (remote, _asked) = serve(vec![head], Duration::ZERO);
        let ended = Ended::Refused(Status::not_found(Kind::Node, "x"));
        assert_eq!(watch(&remote, &Stop::default()), (Vec::new(), ended));
    }

    #[test]
    fn a_quiet_watch_stops_at_once() {
        let (remote, _asked) = serve(vec![HEAD.into(), chunk(&added("a"))], Duration::from_secs(60));
        let stop = Stop::default();
        let stopper = stop.clone();
        let started = Instant::now();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            stopper.stop();
        });
        let (names, ended) = watch(&remote, &stop);
        assert_eq!((names.len(), ended), (1, Ended::Stopped));
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(watch(&remote, &stop).1, Ended::Stopped);
    }

    #[test]
    fn nobody_there_is_lost() {
        let remote = Remote::new("http://127.0.0.1:1".parse().unwrap());
        let answer = remote.call(&Verb::Get { key: Key::new(Kind::Node, "", "x") }.into());
        assert_eq!(answer, Answer::Lost("connection refused".into()));
    }
}
