//! Where a request begins and ends: a pure state machine fed with bytes.
//!
//! Two readers of one byte stream that disagree about the end of a request are how requests are smuggled. So the
//! front decides it once, strictly, here, and writes what it understood in its own words to tiny_http. Strict means:
//! lines end in CR LF, no folded headers, one Content-Length of digits, `chunked` alone and never beside a
//! Content-Length. How the bytes are cut into slices never changes the outcome. Time-outs are the front's.
//!
//! Source: RFC 9112 (HTTP/1.1 message syntax), RFC 9110 (semantics).

use std::ops::Range;

use super::Refusal;

/// What a request may be at most.
#[derive(Clone, Copy, Debug)]
pub struct FramingLimits {
    /// Bytes of request line and headers, and of all trailers.
    pub head: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// Bytes of the body, decoded.
    pub body: u64,
}

impl Default for FramingLimits {
    /// Source of the body's limit: Kubernetes, kube-apiserver `MaxRequestBodyBytes`, 3 MiB.
    fn default() -> Self {
        Self { head: 64 << 10, target: 16 << 10, body: 3 << 20 }
    }
}

/// More headers than this are refused. Kubernetes clients send about ten.
const HEADERS_MAX: usize = 100;

/// Longest line that announces a chunk, extensions included. Extensions are ignored (RFC 9112 section 7.1.1).
const CHUNK_LINE_MAX: usize = 256;

/// How long the body is, as the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Neither header was given: no body (RFC 9112 section 6.3 rule 7).
    None,
    /// `Content-Length`, within the limit.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A complete, valid head. All of it is ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    text: String,
    method: Range<usize>,
    target: Range<usize>,
    authority: Option<Range<usize>>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    minor: u8,
    /// How the body is delimited.
    pub body: BodyLength,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The client wants no further request on this connection.
    pub close: bool,
}

impl Head {
    /// As sent; case matters.
    pub fn method(&self) -> &str {
        &self.text[self.method.clone()]
    }

    /// Path and query, beginning with `/`, or `*`. Scheme and authority of an absolute target are cut off.
    pub fn target(&self) -> &str {
        match &self.target {
            empty if empty.is_empty() => "/",
            range => &self.text[range.clone()],
        }
    }

    /// HTTP/1.0 knows neither chunked answers nor kept connections.
    pub fn is_http_10(&self) -> bool {
        self.minor == 0
    }

    /// All headers in order; values are trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// The values of all headers of this name, which is compared without case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers().filter(move |(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whom the client means to reach; an absolute target wins over the header (RFC 9112 section 3.2.2).
    pub fn host(&self) -> Option<&str> {
        match &self.authority {
            Some(range) => Some(&self.text[range.clone()]),
            None => self.all("host").next(),
        }
    }

    /// Whether a header that is a comma-separated list holds this token.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(token))
    }

    /// The protocol asked for, if the client asks for another one (RFC 9110 section 7.8).
    pub fn upgrade(&self) -> Option<&str> {
        if self.is_http_10() || !self.lists("connection", "upgrade") {
            return None;
        }
        self.all("upgrade").next()
    }
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Everything was taken, and nothing is complete.
    More,
    /// A request begins. Its body, if any, follows.
    Head(Box<Head>),
    /// Some of the body, decoded; never empty.
    Body(&'a [u8]),
    /// The request is complete; the next byte begins another one.
    End,
    /// The stream cannot be understood from here on. Every further call answers the same.
    Refused(Refusal),
}

/// Cuts a stream of bytes into requests. Holds at most one head.
#[derive(Debug)]
pub struct Framing {
    limits: FramingLimits,
    at: At,
    /// An unfinished head; empty while heads arrive in one piece.
    head: Vec<u8>,
    line: Line,
}

/// The line being read, in heads and in chunked bodies.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Bytes before CR LF so far.
    length: usize,
    /// The last byte was CR.
    after_cr: bool,
    /// Bytes of the whole section, line ends included.
    section: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Head,
    Known { left: u64 },
    ChunkSize(ChunkSize),
    ChunkData { left: u64, total: u64 },
    ChunkEnd { total: u64, after_cr: bool },
    Trailers,
    Complete,
    Refused(Refusal),
}

/// A chunk's first line as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChunkSize {
    size: u64,
    /// Digits so far; RFC 9112 wants at least one.
    digits: usize,
    /// An extension, or the white space before it, has begun.
    extension: bool,
    /// Body bytes of the chunks before.
    total: u64,
}

impl ChunkSize {
    fn after(total: u64) -> At {
        At::ChunkSize(ChunkSize { size: 0, digits: 0, extension: false, total })
    }
}

impl Framing {
    /// Waits for the first head.
    pub fn new(limits: FramingLimits) -> Self {
        Self { limits, at: At::Head, head: Vec::new(), line: Line::default() }
    }

    /// Whether a head has begun and is incomplete. Empty lines before a request do not count.
    pub fn in_head(&self) -> bool {
        self.at == At::Head && (!self.head.is_empty() || self.line.length > 0 || self.line.after_cr)
    }

    /// Whether a head is complete and its body is not.
    pub fn in_body(&self) -> bool {
        !matches!(self.at, At::Head | At::Refused(_))
    }

    /// Takes some of `bytes` and says how many, and what they complete. Call again with the rest until `More`;
    /// after `Head`, also with nothing, since a request without body ends at once.
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> (usize, Event<'a>) {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match self.at {
                At::Complete => {
                    self.begin(At::Head);
                    return (used, Event::End);
                }
                At::Refused(refusal) => return (used, Event::Refused(refusal)),
                _ if rest.is_empty() => return (used, Event::More),
                At::Head => {
                    let (taken, head) = self.feed_head(rest);
                    used += taken;
                    if let Some(head) = head {
                        return (used, Event::Head(head));
                    }
                }
                At::Known { left } => {
                    let taken = shorter(left, rest.len());
                    self.at = match left - taken as u64 {
                        0 => At::Complete,
                        left => At::Known { left },
                    };
                    return (used + taken, Event::Body(&rest[..taken]));
                }
                At::ChunkData { left, total } => {
                    let taken = shorter(left, rest.len());
                    self.at = match left - taken as u64 {
                        0 => At::ChunkEnd { total, after_cr: false },
                        left => At::ChunkData { left, total },
                    };
                    return (used + taken, Event::Body(&rest[..taken]));
                }
                At::ChunkEnd { total, after_cr } => {
                    used += 1;
                    match (rest[0], after_cr) {
                        (b'\r', false) => self.at = At::ChunkEnd { total, after_cr: true },
                        (b'\n', true) => self.begin(ChunkSize::after(total)),
                        _ => self.at = At::Refused(Refusal::MalformedChunk),
                    }
                }
                At::ChunkSize(size) => {
                    used += 1;
                    self.feed_chunk_size(size, rest[0]);
                }
                At::Trailers => {
                    used += 1;
                    self.feed_trailers(rest[0]);
                }
            }
        }
    }

    fn begin(&mut self, at: At) {
        self.line = Line::default();
        self.at = at;
    }

    /// Scans for the empty line. A head that is whole in `bytes` is parsed where it stands.
    fn feed_head(&mut self, bytes: &[u8]) -> (usize, Option<Box<Head>>) {
        let mut start = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match self.line.take(byte, self.limits.head) {
                Err(LineFault::Lone) => return (at + 1, self.refuse(Refusal::LoneLineBreak)),
                Err(LineFault::TooLong) => return (at + 1, self.refuse(Refusal::HeadTooLarge)),
                Ok(LineEnd::No) => {}
                Ok(LineEnd::Full) => {}
                // "Ignore at least one empty line before the request-line": RFC 9112 section 2.2.
                Ok(LineEnd::Empty)
                    if self.head.iter().chain(&bytes[start..=at]).all(|b| matches!(b, b'\r' | b'\n')) =>
                {
                    self.head.clear();
                    start = at + 1;
                }
                Ok(LineEnd::Empty) => {
                    let parsed = if self.head.is_empty() {
                        parse_head(&bytes[start..=at], &self.limits)
                    } else {
                        self.head.extend_from_slice(&bytes[start..=at]);
                        parse_head(&std::mem::take(&mut self.head), &self.limits)
                    };
                    return match parsed {
                        Err(refusal) => (at + 1, self.refuse(refusal)),
                        Ok(head) => {
                            self.begin(match head.body {
                                BodyLength::None | BodyLength::Known(0) => At::Complete,
                                BodyLength::Known(left) => At::Known { left },
                                BodyLength::Chunked => ChunkSize::after(0),
                            });
                            (at + 1, Some(Box::new(head)))
                        }
                    };
                }
            }
        }
        self.head.extend_from_slice(&bytes[start..]);
        (bytes.len(), None)
    }

    fn refuse<T>(&mut self, refusal: Refusal) -> Option<T> {
        self.at = At::Refused(refusal);
        self.head = Vec::new();
        None
    }

    fn feed_chunk_size(&mut self, mut chunk: ChunkSize, byte: u8) {
        let malformed = At::Refused(Refusal::MalformedChunk);
        match self.line.take(byte, CHUNK_LINE_MAX) {
            Err(_) => self.at = malformed,
            Ok(LineEnd::No) => {
                self.at = match byte {
                    b'\r' => At::ChunkSize(chunk),
                    _ if chunk.extension && (byte == b'\t' || (b' '..=b'~').contains(&byte)) => At::ChunkSize(chunk),
                    b';' | b' ' | b'\t' if chunk.digits > 0 => {
                        chunk.extension = true;
                        At::ChunkSize(chunk)
                    }
                    // Sixteen digits always fit; more can only be leading zeros or an overflow.
                    _ if !chunk.extension && byte.is_ascii_hexdigit() && chunk.digits < 16 => {
                        let digit = char::from(byte).to_digit(16).expect("checked to be a hexadecimal digit");
                        chunk.size = chunk.size << 4 | u64::from(digit);
                        chunk.digits += 1;
                        At::ChunkSize(chunk)
                    }
                    _ => malformed,
                };
            }
            Ok(LineEnd::Empty | LineEnd::Full) => {
                let total = chunk.total.saturating_add(chunk.size);
                match chunk {
                    ChunkSize { digits: 0, .. } => self.at = malformed,
                    ChunkSize { size: 0, .. } => self.begin(At::Trailers),
                    _ if total > self.limits.body => self.at = At::Refused(Refusal::BodyTooLarge),
                    ChunkSize { size, .. } => self.begin(At::ChunkData { left: size, total }),
                }
            }
        }
    }

    /// Trailers are read and dropped: RFC 9110 section 6.5.1 lets a recipient ignore them.
    fn feed_trailers(&mut self, byte: u8) {
        match self.line.take(byte, self.limits.head) {
            Err(_) => self.at = At::Refused(Refusal::MalformedChunk),
            Ok(LineEnd::Empty) => self.begin(At::Complete),
            Ok(LineEnd::Full) => {}
            Ok(LineEnd::No) if byte == b'\r' || byte == b'\t' || (b' '..=b'~').contains(&byte) => {}
            Ok(LineEnd::No) => self.at = At::Refused(Refusal::MalformedChunk),
        }
    }
}

enum LineEnd {
    No,
    Empty,
    Full,
}

enum LineFault {
    Lone,
    TooLong,
}

impl Line {
    /// One byte further. CR and LF are only accepted as a pair.
    fn take(&mut self, byte: u8, section_max: usize) -> Result<LineEnd, LineFault> {
        self.section += 1;
        match (byte, self.after_cr) {
            (b'\n', true) => {
                let end = if self.length == 0 { LineEnd::Empty } else { LineEnd::Full };
                (self.length, self.after_cr) = (0, false);
                // The byte that completes a section may be the last one allowed.
                if self.section > section_max { Err(LineFault::TooLong) } else { Ok(end) }
            }
            (b'\n', false) | (_, true) => Err(LineFault::Lone),
            _ if self.section >= section_max => Err(LineFault::TooLong),
            (b'\r', false) => {
                self.after_cr = true;
                Ok(LineEnd::No)
            }
            (_, false) => {
                self.length += 1;
                Ok(LineEnd::No)
            }
        }
    }
}

fn shorter(left: u64, available: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(available)
}

/// `bytes` ends in the empty line and has no lone CR or LF.
fn parse_head(bytes: &[u8], limits: &FramingLimits) -> Result<Head, Refusal> {
    // The inner server knows ASCII only, and no header in use needs more.
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).ok_or(Refusal::MalformedHead)?;
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(Refusal::UnknownVersion),
        Ok(_) | Err(_) => return Err(Refusal::MalformedHead),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::MalformedHead);
    };
    if matches!(method, "CONNECT" | "TRACE") {
        return Err(Refusal::MethodNotAllowed);
    }
    if target.len() > limits.target {
        return Err(Refusal::TargetTooLong);
    }
    let range = |part: &[u8]| {
        let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + part.len()
    };
    let (authority, target) = split_target(method, target).ok_or(Refusal::MalformedHead)?;
    let mut head = Head {
        text: text.to_string(),
        method: range(method.as_bytes()),
        target: range(target.as_bytes()),
        authority: authority.map(|authority| range(authority.as_bytes())),
        headers: request
            .headers
            .iter()
            .map(|field| (range(field.name.as_bytes()), range(field.value.trim_ascii())))
            .collect(),
        minor,
        body: BodyLength::None,
        expects_continue: false,
        close: false,
    };
    head.close = head.is_http_10() || head.lists("connection", "close");
    check_host(&head)?;
    head.body = body_length(&head, limits)?;
    head.expects_continue = expects_continue(&head)?;
    Ok(head)
}

/// Origin form, absolute form or `*` (RFC 9112 section 3.2).
fn split_target<'a>(method: &str, target: &'a str) -> Option<(Option<&'a str>, &'a str)> {
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Some((None, target));
    }
    let scheme = target.get(..7)?;
    if !scheme.eq_ignore_ascii_case("http://") {
        return None;
    }
    let rest = &target[7..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // `http://host?query` has an empty path before the query; nobody sends it, and half of it would be lost.
    (!authority.is_empty() && (path.is_empty() || path.starts_with('/'))).then_some((Some(authority), path))
}

fn check_host(head: &Head) -> Result<(), Refusal> {
    match (head.all("host").count(), head.is_http_10()) {
        (1, _) | (0, true) => Ok(()),
        _ => Err(Refusal::BadHost),
    }
}

fn body_length(head: &Head, limits: &FramingLimits) -> Result<BodyLength, Refusal> {
    let lengths: Vec<&str> = head.all("content-length").collect();
    let codings: Vec<&str> = head.all("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(BodyLength::None),
        ([length], []) => {
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Refusal::ConflictingFraming);
            }
            // Digits that do not fit are still a length, and one beyond every limit.
            let length = length.parse().unwrap_or(u64::MAX);
            if length > limits.body { Err(Refusal::BodyTooLarge) } else { Ok(BodyLength::Known(length)) }
        }
        // "A server MUST treat it as having faulty framing": RFC 9112 section 6.1.
        ([], _) if head.is_http_10() => Err(Refusal::ConflictingFraming),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(BodyLength::Chunked),
        ([], [_]) => Err(Refusal::UnknownTransferCoding),
        _ => Err(Refusal::ConflictingFraming),
    }
}

fn expects_continue(head: &Head) -> Result<bool, Refusal> {
    let mut expected = false;
    for value in head.all("expect") {
        if !value.eq_ignore_ascii_case("100-continue") {
            return Err(Refusal::UnknownExpectation);
        }
        expected = true;
    }
    // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore" it.
    Ok(expected && !head.is_http_10() && !matches!(head.body, BodyLength::None | BodyLength::Known(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{Arbitrary, Gen, quickcheck};

    /// What came out, in a form that does not depend on how the bytes were cut.
    #[derive(Debug, PartialEq, Eq, Default)]
    struct Seen {
        requests: Vec<(String, Vec<u8>, bool)>,
        refused: Option<Refusal>,
    }

    fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
        let mut framing = Framing::new(FramingLimits { head: 600, target: 64, body: 64 });
        let mut seen = Seen::default();
        for piece in pieces {
            let mut at = 0;
            loop {
                let (used, event) = framing.feed(&piece[at..]);
                at += used;
                assert!(at <= piece.len());
                match event {
                    Event::More => {
                        assert_eq!(at, piece.len());
                        break;
                    }
                    Event::Head(head) => {
                        seen.requests.push((format!("{} {}", head.method(), head.target()), Vec::new(), false))
                    }
                    Event::Body(bytes) => {
                        assert!(!bytes.is_empty());
                        seen.requests.last_mut().unwrap().1.extend_from_slice(bytes);
                    }
                    Event::End => seen.requests.last_mut().unwrap().2 = true,
                    Event::Refused(refusal) => {
                        seen.refused = Some(refusal);
                        return seen;
                    }
                }
            }
        }
        seen
    }

    fn one(text: &str) -> Seen {
        run([text.as_bytes()])
    }

    #[test]
    fn complete_requests() {
        let check = |text: &str, want: &[(&str, &str)]| {
            let requests = want.iter().map(|(line, body)| (line.to_string(), body.as_bytes().to_vec(), true)).collect();
            assert_eq!(one(text), Seen { requests, refused: None }, "{text:?}");
        };
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[("GET /", "")]);
        check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", &[("GET /", "")]);
        check("GET / HTTP/1.0\r\n\r\n", &[("GET /", "")]);
        check("GET http://b/x?y HTTP/1.1\r\nHost: a\r\n\r\n", &[("GET /x?y", "")]);
        check("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", &[("GET /", "")]);
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &[("OPTIONS *", "")]);
        check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", &[("POST /", "abc")]);
        check(
            "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            &[("POST /", ""), ("GET /2", "")],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n\
             GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            &[("POST /", "abc0123456789"), ("GET /2", "")],
        );
    }

    #[test]
    fn refusals() {
        use Refusal::*;
        let check = |text: &str, want| assert_eq!(one(text).refused, Some(want), "{text:?}");
        let head = |headers: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
        let chunked = |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        check("GET / HTTP/1.1\nHost: a\n\n", LoneLineBreak);
        check("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", LoneLineBreak);
        check("GET / HTTP/1.1\r\n\r\n", BadHost);
        check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BadHost);
        check("nonsense\r\n\r\n", MalformedHead);
        check("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", MalformedHead);
        check("GET a HTTP/1.1\r\nHost: a\r\n\r\n", MalformedHead);
        check("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", MalformedHead);
        check("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", MalformedHead);
        check("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", MethodNotAllowed);
        check("PRI * HTTP/2.0\r\n\r\n", UnknownVersion);
        check(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(64)), TargetTooLong);
        check(&head(&format!("X: {}", "x".repeat(600))), HeadTooLarge);
        check(&head(&"a:b\r\n".repeat(101)), HeadTooLarge);
        check(&head("X: a\r\n folded"), MalformedHead);
        check(&head("X : a"), MalformedHead);
        check(&head("X: \0"), MalformedHead);
        check(&head("Content-Length: 3\r\nContent-Length: 3"), ConflictingFraming);
        check(&head("Content-Length: 3, 3"), ConflictingFraming);
        check(&head("Content-Length: +3"), ConflictingFraming);
        check(&head("Content-Length: -3"), ConflictingFraming);
        check(&head("Content-Length: 0x3"), ConflictingFraming);
        check(&head("Content-Length:"), ConflictingFraming);
        check(&head("Content-Length: 65"), BodyTooLarge);
        check(&head("Content-Length: 99999999999999999999999"), BodyTooLarge);
        check(&head("Content-Length: 3\r\nTransfer-Encoding: chunked"), ConflictingFraming);
        check(&head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), ConflictingFraming);
        check(&head("Transfer-Encoding: gzip, chunked"), UnknownTransferCoding);
        check(&head("Transfer-Encoding: xchunked"), UnknownTransferCoding);
        check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ConflictingFraming);
        check(&head("Expect: 200-maybe"), UnknownExpectation);
        check(&chunked("g\r\n"), MalformedChunk);
        check(&chunked("\r\n"), MalformedChunk);
        check(&chunked("-1\r\n"), MalformedChunk);
        check(&chunked("0x1\r\n"), MalformedChunk);
        check(&chunked("3\nabc"), MalformedChunk);
        check(&chunked("3\r\nabcd\r\n"), MalformedChunk);
        check(&chunked("3\r\nabc\n0\r\n\r\n"), MalformedChunk);
        check(&chunked("11111111111111111\r\n"), MalformedChunk);
        check(&chunked("ffffffffffffffff\r\n"), BodyTooLarge);
        check(
            &chunked("40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n1\r\n"),
            BodyTooLarge,
        );
        check(&chunked(&format!("1;{}\r\n", "x".repeat(300))), MalformedChunk);
        check(&chunked("0\r\na\nb\r\n\r\n"), MalformedChunk);
    }

    #[test]
    fn what_a_head_says() {
        let mut framing = Framing::new(FramingLimits::default());
        let text = b"POST /a HTTP/1.1\r\nHost: h:1\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nExpect: 100-Continue\r\n\
                     Content-Length: 1\r\nX:  padded \r\n\r\n";
        let (used, Event::Head(head)) = framing.feed(text) else { panic!("no head") };
        assert_eq!(used, text.len());
        assert_eq!((head.host(), head.upgrade(), head.close), (Some("h:1"), Some("websocket"), true));
        assert!(head.expects_continue && !head.is_http_10());
        assert_eq!(head.all("x").collect::<Vec<_>>(), ["padded"]);
        assert_eq!(head.body, BodyLength::Known(1));
        assert!(framing.in_body() && !framing.in_head());
    }

    /// Requests, valid and nearly valid, with a few bytes changed.
    #[derive(Clone, Debug)]
    struct Bytes(Vec<u8>);

    const PARTS: &[&str] = &[
        "GET / HTTP/1.1\r\n",
        "POST /x HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nT: x\r\n\r\n",
        " folded\r\n",
        "\n",
        "\r",
        "X: y\r\n",
        "ff\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];

    impl Arbitrary for Bytes {
        fn arbitrary(g: &mut Gen) -> Self {
            let mut bytes = Vec::new();
            for _ in 0..usize::arbitrary(g) % 8 {
                bytes.extend_from_slice(g.choose(PARTS).unwrap().as_bytes());
            }
            for _ in 0..usize::arbitrary(g) % 3 {
                match bytes.len() {
                    0 => bytes.push(u8::arbitrary(g)),
                    length => bytes[usize::arbitrary(g) % length] = u8::arbitrary(g),
                }
            }
            Bytes(bytes)
        }

        fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
            Box::new(self.0.shrink().map(Bytes))
        }
    }

    quickcheck! {
        fn never_panics(bytes: Vec<u8>) -> bool {
            run([&bytes[..]]);
            true
        }

        fn the_cut_does_not_matter(bytes: Bytes, cuts: Vec<usize>) -> bool {
            let whole = run([&bytes.0[..]]);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.0.len() + 1)).collect();
            cuts.extend([0, bytes.0.len()]);
            cuts.sort_unstable();
            run(cuts.windows(2).map(|cut| &bytes.0[cut[0]..cut[1]])) == whole && run(bytes.0.chunks(1)) == whole
        }
    }
}
