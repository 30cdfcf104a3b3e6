//! One request and its answer, as a handler sees them.
//!
//! Answers are written through tiny_http's raw writer, since its own responses buffer 8 KiB of a stream and write
//! head and body apart.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Metrics;
use super::client::{CLIENT_HEADER, Client};
use super::metrics::{add, sub};
use super::refusal::{phrase, status_body};

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

    /// As sent, such as `GET`.
    pub fn method(&self) -> &str {
        self.request().method().as_str()
    }

    /// The path as sent, without the query.
    pub fn path(&self) -> &str {
        split_query(self.request().url()).0
    }

    /// The path's segments, decoded after splitting, so that `%2F` stays within one. `/` has none; a closing `/`
    /// leaves an empty last one. `None` if an escape is malformed or a segment is not UTF-8.
    pub fn segments(&self) -> Option<Vec<Cow<'_, str>>> {
        segments(self.path())
    }

    /// What follows the `?`, undecoded; empty if there is none.
    pub fn query(&self) -> &str {
        split_query(self.request().url()).1
    }

    /// The query's pairs in order, decoded; `+` is a space. Malformed escapes stay as they are, as in Go's client libraries' servers.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query_pairs(self.query())
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
    /// An error means that the client is gone. 204 and 304 have no body and no length (RFC 9110 section 8.6).
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
        let bodiless = matches!(status, 100..200 | 204 | 304);
        let head_only = bodiless || *request.method() == tiny_http::Method::Head;
        let mut out = self.head(&request, status, (!bodiless).then_some(content_type), headers);
        if !bodiless {
            // The fastest way to print a number into a Vec.
            write!(out, "Content-Length: {}\r\n", body.len()).expect("a Vec takes every write");
        }
        out.extend_from_slice(b"\r\n");
        let (first, rest) = body.split_at(if head_only { 0 } else { body.len().min(ONE_WRITE) });
        let rest = if head_only { &[] } else { rest };
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
        let mut out = self.head(&request, status, Some(content_type), headers);
        let chunked = *request.http_version() >= (1, 1);
        out.extend_from_slice(if chunked { b"Transfer-Encoding: chunked\r\n\r\n" } else { b"\r\n" });
        self.metrics.count_answer(status);
        add(&self.metrics.streams_open, 1);
        self.client.writes(out.len());
        let head_only = *request.method() == tiny_http::Method::Head;
        let mut stream = Stream {
            writer: Some(request.into_writer()),
            client: self.client.clone(),
            metrics: self.metrics.clone(),
            chunked,
            head_only,
            out: Vec::new(),
        };
        if head_only {
            stream.client.answer_ends();
        }
        stream.put(&out)?;
        Ok(stream)
    }

    fn head(
        &self,
        request: &tiny_http::Request,
        status: u16,
        content_type: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(ONE_WRITE / 16);
        let mut push = |text: &[&str]| text.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        push(&["HTTP/1.1 ", &status.to_string(), " ", phrase(status), "\r\n"]);
        if let Some(content_type) = content_type {
            push(&["Content-Type: ", &clean(content_type), "\r\n"]);
        }
        push(&["Date: ", &http_date(SystemTime::now()), "\r\n"]);
        for (name, value) in headers {
            push(&[&clean(name), ": ", &clean(value), "\r\n"]);
        }
        let asked = request.headers().iter().any(|each| each.field.equiv("Connection"));
        if asked || *request.http_version() < (1, 1) || self.stopping.load(std::sync::atomic::Ordering::Acquire) {
            push(&["Connection: close\r\n"]);
        }
        out
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let body = status_body(500, "InternalError", "the request ended without an answer");
        // An error means that the client is gone too.
        let _ = self.write_answer(500, "application/json", &[], body.as_bytes());
    }
}

/// A header made of user text, such as a Warning, must not end the line.
fn clean(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        true => Cow::Owned(text.replace(|c: char| c.is_ascii_control() && c != '\t', " ")),
        false => Cow::Borrowed(text),
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

fn split_query(url: &str) -> (&str, &str) {
    url.split_once('?').unwrap_or((url, ""))
}

fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    match path.strip_prefix('/') {
        None | Some("") => Some(Vec::new()),
        Some(path) => path.split('/').map(|segment| decode(segment, false)).collect(),
    }
}

fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| decode(text, true).unwrap_or(Cow::Borrowed(text));
        (decoded(name), decoded(value))
    })
}

/// Percent-decoding (RFC 3986 section 2.1); `plus` as in forms. `None` if an escape is malformed or the result no UTF-8.
fn decode(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                (high << 4 | low) as u8
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: RFC 9110 section 5.6.7. Times before 1970 become its start.
///
/// The date is Howard Hinnant's `civil_from_days` for non-negative days.
fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn paths_and_queries() {
        let check = |path, want: &[&str]| assert_eq!(segments(path).unwrap(), want, "{path}");
        check("/", &[]);
        check("/api/v1", &["api", "v1"]);
        check("/api/", &["api", ""]);
        check("/a%2Fb/system%3Anode", &["a/b", "system:node"]);
        check("/a+b", &["a+b"]);
        for malformed in ["/%", "/%1", "/%zz", "/%ff"] {
            assert_eq!(segments(malformed), None, "{malformed}");
        }
        let pairs: Vec<_> = query_pairs("watch=1&labelSelector=a%3Db+c&&flag&bad=%zz").collect();
        let want = [("watch", "1"), ("labelSelector", "a=b c"), ("flag", ""), ("bad", "%zz")];
        assert_eq!(pairs, want.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))));
    }

    #[test]
    fn dates() {
        let check = |seconds, want: &str| assert_eq!(http_date(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT");
    }

    #[test]
    fn header_text_cannot_end_the_line() {
        assert_eq!(clean("299 - \"a\r\nSet-Cookie: b\""), "299 - \"a  Set-Cookie: b\"");
    }
}
