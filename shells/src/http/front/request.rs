//! From the client to the server behind: what belongs to one request, in the front's own words.

use std::io::Write;

use super::pending::read_some;
use super::{Conn, Flow, Front, Gathered, Phase, token};
use crate::http::asked::{Asked, Headers};
use crate::http::at_once::{self, Reply};
use crate::http::client::CLIENT_HEADER;
use crate::http::framing::{BodyLength, Event, Head};
use crate::http::metrics::add;
use crate::http::origin;
use crate::http::refusal::Refusal;
use crate::http::wording::Manner;

impl Front {
    /// Takes one buffer from the client as far as it belongs to the current request.
    pub(super) fn pump_request(&mut self, index: u32, conn: &mut Conn) -> Flow {
        if !conn.to_inner.is_empty() {
            match self.flush_inner(index, conn) {
                Flow::On => {}
                other => return other,
            }
        }
        if !matches!(conn.phase, Phase::Head | Phase::Body) {
            return Flow::Wait;
        }
        if !conn.carry.is_empty() {
            let carry = std::mem::take(&mut conn.carry);
            return self.take_request(index, conn, carry.rest());
        }
        if !conn.ready.outer_in {
            return Flow::Wait;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let flow = match read_some(&mut conn.outer, &mut scratch, &mut conn.ready.outer_in, conn.ready.outer_fin) {
            Ok(Some(0)) => {
                conn.ready.outer_fin = true;
                match conn.phase {
                    // A half-closed client has an unfinished request at most, which nobody can answer.
                    Phase::Head if conn.framing.in_head() => self.refuse(conn, Refusal::MalformedHead),
                    _ => Flow::Close,
                }
            }
            Ok(Some(count)) => {
                add(&self.parts.metrics.bytes_in, count as u64);
                self.take_request(index, conn, &scratch[..count])
            }
            Ok(None) => Flow::Wait,
            Err(_) => Flow::Close,
        };
        self.scratch = scratch;
        flow
    }

    /// Passes on what belongs to the current request, and keeps what comes after it.
    fn take_request(&mut self, index: u32, conn: &mut Conn, bytes: &[u8]) -> Flow {
        let mut out = std::mem::take(&mut self.compose);
        out.clear();
        let flow = self.compose_request(index, conn, bytes, &mut out);
        let flow = match flow {
            // Refused: what was composed before is void.
            Flow::On if conn.phase == Phase::Farewell => Flow::On,
            Flow::On if !out.is_empty() => {
                conn.to_inner.put(&out);
                self.flush_inner(index, conn)
            }
            flow => flow,
        };
        self.compose = out;
        // The request's bytes wait, but what came from the client is progress.
        if matches!(flow, Flow::Wait) { Flow::On } else { flow }
    }

    /// Cuts `bytes` and writes to `out` what the inner server shall see of them.
    fn compose_request(&mut self, index: u32, conn: &mut Conn, bytes: &[u8], out: &mut Vec<u8>) -> Flow {
        let fresh = !conn.framing.in_head();
        conn.progress = self.now;
        let mut at = 0;
        loop {
            let (used, event) = conn.framing.feed(&bytes[at..]);
            at += used;
            match event {
                Event::More => break,
                Event::Refused(refusal) => return self.refuse(conn, refusal),
                Event::Body(part) => match &mut conn.gathered {
                    Some(gathered) => gathered.body.extend_from_slice(part),
                    None if conn.chunked => {
                        write!(out, "{:x}\r\n", part.len()).expect("a Vec takes every write");
                        out.extend_from_slice(part);
                        out.extend_from_slice(b"\r\n");
                    }
                    None => out.extend_from_slice(part),
                },
                Event::End => {
                    if conn.chunked {
                        out.extend_from_slice(b"0\r\n\r\n");
                    }
                    conn.phase = Phase::Answer;
                    // What follows is another request's, and that one's turn comes after this answer.
                    conn.carry.put(&bytes[at..]);
                    if let Some(gathered) = conn.gathered.take() {
                        self.offer(index, conn, &gathered, out);
                    }
                    break;
                }
                Event::Head(head) => match self.begin_request(index, conn, *head, &bytes[at..], out) {
                    Flow::On if conn.phase != Phase::Farewell => {}
                    end => return end,
                },
            }
        }
        if conn.phase == Phase::Head && fresh && conn.framing.in_head() {
            conn.since = self.now;
        }
        Flow::On
    }

    /// A head is complete: it is refused, handed over, gathered with its body, or passed on.
    fn begin_request(&mut self, index: u32, conn: &mut Conn, head: Head, rest: &[u8], out: &mut Vec<u8>) -> Flow {
        conn.head_only = head.method() == "HEAD";
        conn.close |= head.close;
        if let Some(refusal) = origin::refusal(&head, conn.local, &self.parts.allowed_hosts) {
            return self.refuse(conn, refusal);
        }
        if let Some(protocol) = head.upgrade()
            && let Some(handler) = self.parts.upgrade.clone()
            && head.body == BodyLength::None
            // Offers of HTTP/2, which curl makes, are for the server to ignore.
            && (protocol.eq_ignore_ascii_case("websocket") || protocol.eq_ignore_ascii_case("spdy/3.1"))
        {
            return self.hand_over(index, conn, head, rest, handler);
        }
        conn.chunked = head.body == BodyLength::Chunked;
        conn.phase = Phase::Body;
        conn.answered_before = conn.answered;
        conn.body_until = self.now + self.parts.limits.body_time;
        if head.expects_continue && rest.is_empty() {
            conn.to_outer.put(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let small = match head.body {
            BodyLength::None => true,
            BodyLength::Known(length) => length <= at_once::BODY_MAX,
            BodyLength::Chunked => false,
        };
        if small && self.parts.at_once.is_some() {
            conn.gathered = Some(Box::new(Gathered { head, body: Vec::new() }));
        } else {
            compose_head(&head, &conn.name, out);
        }
        Flow::On
    }

    /// Offers a whole request to who answers at once. What is given back goes to tiny_http.
    fn offer(&mut self, index: u32, conn: &mut Conn, request: &Gathered, out: &mut Vec<u8>) {
        let Gathered { head, body } = request;
        let headers = Headers::of(head.headers());
        let asked = Asked { method: head.method(), target: head.target(), headers, body };
        let manner = Manner { head_only: conn.head_only, close: conn.close };
        let to = token(index, self.slots[index as usize].generation);
        let chunks = !head.is_http_10();
        let reply = Reply::new(to, manner, chunks, self.replies.clone(), self.parts.metrics.clone());
        let given_back = match &self.parts.at_once {
            Some(at_once) => at_once(asked, reply),
            None => Some(reply),
        };
        match given_back {
            None => conn.phase = Phase::Promised,
            Some(reply) => {
                reply.forget();
                compose_head(head, &conn.name, out);
                out.extend_from_slice(body);
            }
        }
    }
}

/// Headers that concern one connection only, or that the front decides (RFC 9110 section 7.6.1).
const NOT_FORWARDED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The head in the front's own words: what it did not understand cannot be misunderstood behind it.
fn compose_head(head: &Head, name: &str, out: &mut Vec<u8>) {
    let mut line = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    let version = if head.is_http_10() { " HTTP/1.0\r\n" } else { " HTTP/1.1\r\n" };
    line(&[head.method(), " ", head.target(), version, CLIENT_HEADER, ": ", name, "\r\n"]);
    if head.close && !head.is_http_10() {
        line(&["Connection: close\r\n"]);
    }
    match head.body {
        BodyLength::None => {}
        BodyLength::Known(length) => line(&["Content-Length: ", &length.to_string(), "\r\n"]),
        BodyLength::Chunked => line(&["Transfer-Encoding: chunked\r\n"]),
    }
    for (field, value) in head.headers() {
        let hop = NOT_FORWARDED.iter().any(|each| field.eq_ignore_ascii_case(each));
        if !hop && !field.eq_ignore_ascii_case(CLIENT_HEADER) {
            line(&[field, ": ", value, "\r\n"]);
        }
    }
    line(&["\r\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::framing::{Framing, FramingLimits};

    #[test]
    fn the_inner_head_holds_what_was_understood_and_nothing_else() {
        let mut framing = Framing::new(FramingLimits::default());
        let text = b"POST http://localhost/a?b HTTP/1.1\r\nHost: x\r\nMiniku-Client: forged\r\nConnection: keep-alive, X-Hop, close\r\n\
                     Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\nAccept:   a, b\r\n\r\n";
        let (_, Event::Head(head)) = framing.feed(text) else { panic!("no head") };
        let mut out = Vec::new();
        compose_head(&head, "me", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /a?b HTTP/1.1\r\nMiniku-Client: me\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nHost: x\r\nAccept: a, b\r\n\r\n"
        );
    }
}
