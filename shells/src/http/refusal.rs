//! What the front refuses by itself, and the answer it gives.

use std::fmt::Write;

/// One reason why a request or connection is refused before a handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The request line or a header is not HTTP/1.1.
    MalformedHead,
    /// A line feed or carriage return stands alone; readers disagree about such lines (RFC 9112 section 2.2).
    LoneLineBreak,
    /// HTTP/1.1 demands exactly one Host (RFC 9112 section 3.2).
    BadHost,
    /// Length and chunks contradict each other or themselves (RFC 9112 section 6.3): request smuggling.
    ConflictingFraming,
    /// A chunk's size, end or trailer is malformed (RFC 9112 section 7.1).
    MalformedChunk,
    /// The page or the name by which it asks is not ours; see `origin.rs`.
    ForeignOrigin,
    /// The Host is none of this server's names; see `origin.rs`.
    ForeignHost,
    /// CONNECT and TRACE have no meaning here.
    MethodNotAllowed,
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body stopped arriving.
    BodyTimeout,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// `Expect` asks for something other than `100-continue` (RFC 9110 section 10.1.1).
    UnknownExpectation,
    /// The head is longer, or has more headers, than the limit.
    HeadTooLarge,
    /// The handler ended without an answer.
    NoAnswer,
    /// A transfer coding other than `chunked` (RFC 9112 section 6.1).
    UnknownTransferCoding,
    /// As many connections are open as the server allows in all.
    TooManyConnections,
    /// As many connections are open as one peer address may have.
    TooManyFromPeer,
    /// The server is stopping, or its inner listener does not answer.
    Unavailable,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    UnknownVersion,
}

/// Status code, `reason` of the Status object, message.
type Answer = (u16, &'static str, &'static str);

impl Refusal {
    /// Every refusal, in the order of the enum; the index is the counter's place in [`super::Metrics`].
    pub const ALL: [Refusal; 20] = {
        use Refusal::*;
        [
            MalformedHead,
            LoneLineBreak,
            BadHost,
            ConflictingFraming,
            MalformedChunk,
            ForeignOrigin,
            ForeignHost,
            MethodNotAllowed,
            HeadTimeout,
            BodyTimeout,
            BodyTooLarge,
            TargetTooLong,
            UnknownExpectation,
            HeadTooLarge,
            NoAnswer,
            UnknownTransferCoding,
            TooManyConnections,
            TooManyFromPeer,
            Unavailable,
            UnknownVersion,
        ]
    };

    /// Reasons are Kubernetes' own where it has one (apimachinery `metav1.StatusReason*`), else HTTP's phrase in CamelCase.
    fn answer(self) -> Answer {
        match self {
            Self::MalformedHead => (400, "BadRequest", "the request line or a header is malformed"),
            Self::LoneLineBreak => (400, "BadRequest", "lines must end in CR LF"),
            Self::BadHost => (400, "BadRequest", "exactly one valid Host header is required"),
            Self::ConflictingFraming => (
                400,
                "BadRequest",
                "Content-Length and Transfer-Encoding must be given once, validly, and not together",
            ),
            Self::MalformedChunk => (400, "BadRequest", "the chunked body is malformed"),
            Self::ForeignOrigin => {
                (403, "Forbidden", "a page of another origin may not use this server; see --allowed-host")
            }
            Self::ForeignHost => (403, "Forbidden", "the Host header is not a name of this server; see --allowed-host"),
            Self::MethodNotAllowed => (405, "MethodNotAllowed", "the server does not allow this method"),
            Self::HeadTimeout => (408, "Timeout", "the request's head did not arrive in time"),
            Self::BodyTimeout => (408, "Timeout", "the request's body did not arrive in time"),
            Self::BodyTooLarge => (413, "RequestEntityTooLarge", "the request's body is too large"),
            Self::TargetTooLong => (414, "RequestURITooLong", "the request's target is too long"),
            Self::UnknownExpectation => (417, "ExpectationFailed", "the only known expectation is 100-continue"),
            Self::HeadTooLarge => (431, "RequestHeaderFieldsTooLarge", "the request's head is too large"),
            Self::NoAnswer => (500, "InternalError", "the request ended without an answer"),
            Self::UnknownTransferCoding => (501, "NotImplemented", "the only known transfer coding is chunked"),
            Self::TooManyConnections => (503, "ServiceUnavailable", "too many connections are open"),
            Self::TooManyFromPeer => (503, "ServiceUnavailable", "too many connections are open from this address"),
            Self::Unavailable => (503, "ServiceUnavailable", "the server cannot take requests now"),
            Self::UnknownVersion => (505, "HTTPVersionNotSupported", "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        }
    }

    /// The HTTP status code.
    pub fn code(self) -> u16 {
        self.answer().0
    }

    /// The Status object's `reason`.
    pub fn reason(self) -> &'static str {
        self.answer().1
    }

    /// The complete answer; the connection ends with it, since nothing after a refused request can be trusted.
    pub fn response(self, head_only: bool) -> Vec<u8> {
        let (code, reason, message) = self.answer();
        let body = status_body(code, reason, message);
        let mut text = format!("HTTP/1.1 {code} {}\r\nContent-Type: application/json\r\n", phrase(code));
        if code == 503 {
            text += "Retry-After: 1\r\n";
        }
        write!(text, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())
            .expect("a String takes every write");
        if !head_only {
            text += &body;
        }
        text.into_bytes()
    }
}

/// A failure as Kubernetes writes it: key order and the closing line feed are those of its API server.
pub fn status_body(code: u16, reason: &str, message: &str) -> String {
    format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"message\":{},\"reason\":{},\
         \"code\":{code}}}\n",
        json_string(message),
        json_string(reason)
    )
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The reason phrase of a status code (RFC 9110 section 15); codes of no fixed meaning get their class.
pub(super) fn phrase(code: u16) -> &'static str {
    match code {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        code => match code / 100 {
            1 => "Informational",
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            _ => "Server Error",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_listed_once_and_answers_a_status_object() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
            let response = String::from_utf8(refusal.response(false)).unwrap();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", refusal.code())), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            let status: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(status["code"], refusal.code());
            assert_eq!(status["reason"], refusal.reason());
            assert!(body.ends_with("}\n"));
            assert!(refusal.response(true).ends_with(b"\r\n\r\n"));
        }
    }

    #[test]
    fn the_body_has_kubernetes_order_of_keys() {
        assert_eq!(
            status_body(403, "Forbidden", "no \"way\""),
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
             \"message\":\"no \\\"way\\\"\",\"reason\":\"Forbidden\",\"code\":403}\n"
        );
    }
}
