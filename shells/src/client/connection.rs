//! Moves requests and answers to and from a server, and bounds the time that takes.

use crate::client::credentials::Credentials;
use crate::client::socket::Sockets;
use crate::client::wire::{self, HttpRequest};
use crate::http::LEASE;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, DefaultConnector, NextTimeout};
use ureq::{Agent, Body, BodyReader, Timeout};

/// A connection that is not made after this time will not be.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A call with its answer may take this long. The programs give up after the same time.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// No answer is longer: 150,000 pods of some kilobytes each fit.
const ANSWER_BYTES_MAX: u64 = 2 << 30;
/// So much memory is taken on the word of a server.
const BELIEVED_BYTES_MAX: u64 = 1 << 20;
/// ureq's own 128 KiB, twice a connection, would be most of an idle daemon's memory.
const BUFFER_BYTES: usize = 16 << 10;

/// Where a server is: `http://host:port`, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// `host:port`, as messages name the server.
    pub fn authority(&self) -> &str {
        self.0.trim_start_matches("http://")
    }
}

/// Also without a scheme, without a host (`:8080`, this machine), without a port (8080 then).
impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("https is not spoken here; put a proxy that ends TLS in front".into());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        if rest.is_empty() || rest.contains(['/', '?', '#', '@', ' ']) || text.contains("://") && rest == text {
            return Err(format!("{text:?} is no server address; expected http://HOST:PORT"));
        }
        let (host, port) = match rest.rsplit_once(':') {
            // The last colon of a bare [::1] stands inside the brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (rest, "8080"),
        };
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        let port: u16 = port.parse().map_err(|_| format!("{text:?}: {port:?} is no port"))?;
        Ok(ServerUrl(format!("http://{host}:{port}")))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why no answer came. Whether the request was carried out is known only if nobody was there.
#[derive(Debug)]
pub enum TransportError {
    /// Nobody listens there.
    Refused,
    /// It took too long: what did.
    TimedOut(Timeout),
    /// Anything else.
    Broken(ureq::Error),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportError::Refused => f.write_str("connection refused"),
            TransportError::TimedOut(Timeout::Connect) => {
                write!(f, "no connection within {} s", CONNECT_TIMEOUT.as_secs())
            }
            TransportError::TimedOut(_) => write!(f, "no answer within {} s", CALL_TIMEOUT.as_secs()),
            TransportError::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TransportError::Broken(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ureq::Error> for TransportError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => TransportError::Refused,
            ureq::Error::Timeout(what) => TransportError::TimedOut(what),
            other => TransportError::Broken(other),
        }
    }
}

/// What came back.
pub struct HttpAnswer {
    /// The HTTP status code.
    pub code: u16,
    /// The texts of its `Warning` headers.
    pub warnings: Vec<String>,
    /// The body.
    pub bytes: Vec<u8>,
}

/// What comes back, as it comes.
pub struct HttpStream {
    /// The HTTP status code.
    pub code: u16,
    /// The texts of its `Warning` headers.
    pub warnings: Vec<String>,
    /// The body; its end is the answer's.
    pub body: BufReader<BodyReader<'static>>,
}

impl HttpStream {
    /// Reads the rest at once.
    pub fn finish(mut self) -> Result<HttpAnswer, TransportError> {
        let mut bytes = Vec::new();
        let read = self.body.by_ref().take(1 << 20).read_to_end(&mut bytes);
        read.map_err(|error| TransportError::from(ureq::Error::from(error)))?;
        Ok(HttpAnswer { code: self.code, warnings: self.warnings, bytes })
    }
}

/// Ends streams from another thread, at once: it shuts their sockets down.
///
/// A connection just being made is not interrupted; that takes [`CONNECT_TIMEOUT`] at most, and on one machine no
/// time. A stop is used for the streams of one purpose and not again after [`Stop::stop`].
#[derive(Clone, Debug)]
pub struct Stop {
    agent: Agent,
    stopped: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Default for Stop {
    fn default() -> Self {
        // Streams are their readers' to bound: by the server's time limit, or not at all.
        let agent = agent(configured().max_idle_connections(0).build(), DefaultConnector::default());
        Stop { agent, stopped: std::sync::Arc::default() }
    }
}

impl Stop {
    /// Ends what runs under it, and lets nothing begin.
    pub fn stop(&self) {
        self.stopped.store(true, std::sync::atomic::Ordering::SeqCst);
        self.agent.clone().shutdown();
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(std::sync::atomic::Ordering::SeqCst)
    }
}

fn configured() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        // A cluster is reached directly; what a user browses the web through has no part in it.
        .proxy(None)
        .user_agent(concat!("miniku/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
}

fn agent(config: Config, connector: impl Connector) -> Agent {
    Agent::with_parts(config, connector, Addresses::default())
}

/// Looks names up, but takes an address as it is.
///
/// ureq asks before every call, also when a connection is open, and starts a thread for it to bound its time: for an
/// address that costs more than the call itself.
#[derive(Debug, Default)]
struct Addresses(DefaultResolver);

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
        match (host.parse::<IpAddr>(), uri.port_u16()) {
            (Ok(address), Some(port)) => {
                let mut addresses = self.empty();
                addresses.push(SocketAddr::new(address, port));
                Ok(addresses)
            }
            _ => self.0.resolve(uri, config, timeout),
        }
    }
}

/// A server, and the connections kept open to it. Clones share them.
#[derive(Clone, Debug)]
pub struct Connection {
    agent: Agent,
    server: ServerUrl,
    credentials: Credentials,
}

impl Connection {
    /// Connects on the first request, not before.
    pub fn new(server: ServerUrl) -> Self {
        let agent = agent(configured().timeout_global(Some(CALL_TIMEOUT)).build(), Sockets);
        Connection { agent, server, credentials: Credentials::default() }
    }

    /// The same, saying who asks.
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Connection { credentials, ..self }
    }

    /// Who asks.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The server's address.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Sends a request and reads the whole answer.
    pub fn send(&self, request: &HttpRequest) -> Result<HttpAnswer, TransportError> {
        let mut response = self.run(&self.agent, request, None)?;
        let length = response.body().content_length().unwrap_or(0).min(BELIEVED_BYTES_MAX);
        let mut bytes = Vec::with_capacity(length as usize);
        let mut body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).reader();
        body.read_to_end(&mut bytes).map_err(ureq::Error::from)?;
        Ok(HttpAnswer { code: response.status().as_u16(), warnings: warnings(&response), bytes })
    }

    /// Sends a request and leaves the answer's body to be read as it comes, for `limit` at most.
    pub fn stream(
        &self,
        request: &HttpRequest,
        limit: Option<Duration>,
        stop: &Stop,
    ) -> Result<HttpStream, TransportError> {
        let response = self.run(&stop.agent, request, limit)?;
        let (code, warnings) = (response.status().as_u16(), warnings(&response));
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(HttpStream { code, warnings, body: BufReader::with_capacity(BUFFER_BYTES, body) })
    }

    fn run(
        &self,
        agent: &Agent,
        request: &HttpRequest,
        body_limit: Option<Duration>,
    ) -> Result<Response<Body>, TransportError> {
        let uri = format!("{}{}", self.server, request.target);
        let builder = ureq::http::Request::builder().method(request.method.as_str()).uri(uri);
        let mut builder = builder.header("Accept", request.accept);
        if let Some(lease) = &request.lease {
            builder = builder.header(LEASE, lease.as_str());
        }
        if let Some(who) = self.credentials.header() {
            builder = builder.header("Authorization", who);
        }
        let wrong = |error: ureq::http::Error| TransportError::Broken(ureq::Error::Http(error));
        match &request.body {
            None => {
                let request = agent.configure_request(builder.body(()).map_err(wrong)?);
                let request = request.timeout_recv_body(body_limit).build();
                Ok(agent.run(request)?)
            }
            Some(body) => {
                let builder = builder.header("Content-Type", body.content_type);
                Ok(agent.run(builder.body(body.bytes.as_slice()).map_err(wrong)?)?)
            }
        }
    }
}

fn warnings(response: &Response<Body>) -> Vec<String> {
    let headers = response.headers().get_all("warning").iter();
    headers.filter_map(|header| wire::warning(header.to_str().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_be_named_in_short() {
        let check = |text: &str, want: Result<&str, ()>| {
            let got = text.parse::<ServerUrl>();
            assert_eq!(got.as_ref().map(|url| url.0.as_str()).map_err(|_| ()), want, "{text}");
        };
        check("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080"));
        check("http://localhost:8080/", Ok("http://localhost:8080"));
        check("10.0.0.1:81", Ok("http://10.0.0.1:81"));
        check(":8081", Ok("http://127.0.0.1:8081"));
        check("box", Ok("http://box:8080"));
        check("[::1]", Ok("http://[::1]:8080"));
        check("[::1]:9", Ok("http://[::1]:9"));
        for wrong in ["", "https://x", "ftp://x", "http://", "x:y", "http://x/path", "a b", "x:70000"] {
            check(wrong, Err(()));
        }
    }
}
