//! One request and its answer, as a handler sees them.
//!
//! Answers are written through tiny_http's raw writer, since its own responses buffer 8 KiB of a stream and write
//! head and body apart.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use super::Metrics;
use super::asked::{Asked, Headers};
use super::at_once::Respond;
use super::client::{CLIENT_HEADER, Client};
use super::metrics::{add, sub};
use super::refusal::status_body;
use super::wording::Manner;

/// One request. Answer it with [`Exchange::respond`] or [`Exchange::stream`]; dropped unanswered, it answers 500.
pub struct Exchange {
    request: Option<tiny_http::Request>,
    client: Arc<Client>,
    body: Vec<u8>,
    metrics: Arc<Metrics>,
    stopping: Arc<std::sync::atomic::AtomicBool>,
}

/// Up to here head and body leave in one write; the rest of a longer body follows without being copied.
const ONE_WRITE: usize = 32 << 10;

impl Exchange {
    /// Reads the body, which the front has bounded. Fails if the client broke off.
    pub(super) fn new(
        mut request: tiny_http::Request,
        client: Arc<Client>,
        metrics: Arc<Metrics>,
        stopping: Arc<std::sync::atomic::AtomicBool>,
    ) -> io::Result<Self> {
        let length = request.body_length();
        let mut body = Vec::with_capacity(length.unwrap_or(0));
        request.as_reader().read_to_end(&mut body)?;
        if length.is_some_and(|length| length != body.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self { request: Some(request), client, body, metrics, stopping })
    }

    fn request(&self) -> &tiny_http::Request {
        self.request.as_ref().expect("only answering takes it, and answering consumes the exchange")
    }

    /// What is asked.
    pub fn asked(&self) -> Asked<'_> {
        let request = self.request();
        let headers = Headers::of(self.headers());
        Asked { method: request.method().as_str(), target: request.url(), headers, body: &self.body }
    }

    /// As sent, such as `GET`.
    pub fn method(&self) -> &str {
        self.request().method().as_str()
    }

    /// See [`Asked::path`].
    pub fn path(&self) -> &str {
        self.asked().path()
    }

    /// See [`Asked::segments`].
    pub fn segments(&self) -> Option<Vec<Cow<'_, str>>> {
        self.asked().segments()
    }

    /// See [`Asked::query`].
    pub fn query(&self) -> &str {
        self.asked().query()
    }

    /// See [`Asked::query_pairs`].
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.asked().query_pairs()
    }

    /// The first header of this name, which is compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers but those of the connection itself.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.request().headers().iter().map(|each| (each.field.as_str().as_str(), each.value.as_str()));
        named.filter(|(name, _)| *name != CLIENT_HEADER)
    }

    /// The whole body; empty if there is none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The connection: who is at the other end, and whether still.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Answers in whole. Content-Length, Date and Connection are added; HEAD gets the head only.
    ///
    /// An error means that the client is gone.
    pub fn respond(mut self, status: u16, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        self.write_answer(status, content_type, headers, body)
    }

    /// Answers with a Kubernetes Status object of kind Failure.
    pub fn fail(self, status: u16, reason: &str, message: &str) -> io::Result<()> {
        self.respond(status, "application/json", &[], status_body(status, reason, message).as_bytes())
    }

    fn write_answer(
        &mut self,
        status: u16,
        content_type: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let Some(request) = self.request.take() else { return Ok(()) };
        let (mut out, body) = self.manner(&request).whole(status, content_type, headers, body);
        let (first, rest) = body.split_at(body.len().min(ONE_WRITE));
        out.extend_from_slice(first);
        self.metrics.count_answer(status);
        self.client.writes(out.len() + rest.len());
        self.client.answer_ends();
        let mut writer = request.into_writer();
        writer.write_all(&out)?;
        writer.write_all(rest)?;
        writer.flush()
    }

    /// Answers with a body that grows. The head leaves at once; HTTP/1.0 clients get no chunks and a closed connection.
    pub fn stream(mut self, status: u16, content_type: &str, headers: &[(&str, &str)]) -> io::Result<Stream> {
        let request = self.request.take().expect("only answering takes it, and answering consumes the exchange");
        let manner = self.manner(&request);
        let mut out = manner.head(status, Some(content_type), headers);
        let chunked = *request.http_version() >= (1, 1);
        out.extend_from_slice(if chunked { b"Transfer-Encoding: chunked\r\n\r\n" } else { b"\r\n" });
        self.metrics.count_answer(status);
        add(&self.metrics.streams_open, 1);
        self.client.writes(out.len());
        let mut stream = Stream {
            writer: Some(request.into_writer()),
            client: self.client.clone(),
            metrics: self.metrics.clone(),
            chunked,
            head_only: manner.head_only,
            out: Vec::new(),
        };
        if manner.head_only {
            stream.client.answer_ends();
        }
        stream.put(&out)?;
        Ok(stream)
    }

    fn manner(&self, request: &tiny_http::Request) -> Manner {
        let asked = request.headers().iter().any(|each| each.field.equiv("Connection"));
        let stopping = self.stopping.load(std::sync::atomic::Ordering::Acquire);
        Manner {
            head_only: *request.method() == tiny_http::Method::Head,
            close: asked || *request.http_version() < (1, 1) || stopping,
        }
    }
}

impl Respond for Exchange {
    fn respond(self, status: u16, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        Exchange::respond(self, status, content_type, headers, body)
    }

    fn packs(&self) -> bool {
        self.asked().headers.takes_gzip()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let body = status_body(500, "InternalError", "the request ended without an answer");
        // An error means that the client is gone too.
        let _ = self.write_answer(500, "application/json", &[], body.as_bytes());
    }
}

/// An answer under way. Every [`Stream::send`] reaches the client at once; dropping it ends the answer.
///
/// It may be moved to another thread. A client that does not read blocks `send` once the buffers between are full
/// (some 500 KiB), until the front gives it up.
pub struct Stream {
    writer: Option<Box<dyn Write + Send>>,
    client: Arc<Client>,
    metrics: Arc<Metrics>,
    chunked: bool,
    head_only: bool,
    out: Vec<u8>,
}

impl Stream {
    /// Sends bytes as one chunk. Nothing is sent for none, since an empty chunk would end the answer.
    ///
    /// An error means that the client is gone; the stream is useless then.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() || self.head_only {
            return Ok(());
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        if self.chunked {
            write!(out, "{:x}\r\n", bytes.len()).expect("a Vec takes every write");
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
            self.client.writes(out.len());
            let sent = self.put(&out);
            if out.capacity() <= ONE_WRITE {
                self.out = out;
            }
            sent
        } else {
            self.client.writes(bytes.len());
            self.put(bytes)
        }
    }

    /// The connection: who is at the other end, and whether still.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writer = self.writer.as_mut().expect("only dropping takes it");
        writer.write_all(bytes).and_then(|()| writer.flush())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        sub(&self.metrics.streams_open, 1);
        if self.head_only {
            return;
        }
        if self.chunked {
            self.client.writes(5);
            self.client.answer_ends();
            // An error means that the client is gone, and with it the need for an end.
            let _ = self.put(b"0\r\n\r\n");
        } else {
            // The closing of the connection is the end.
            self.client.answer_ends();
        }
    }
}
