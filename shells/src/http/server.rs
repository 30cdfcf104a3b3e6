//! tiny_http behind the front, and the threads that run handlers.
//!
//! Every running request has a thread, so that a watch keeps nobody waiting; idle threads are reused and the
//! spare ones end. Their number is bounded by the number of connections the front lets in, since a connection has
//! one request at a time.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::at_once::AtOnce;
use super::client::{CLIENT_HEADER, Clients};
use super::exchange::Exchange;
use super::front::{Front, Limits, Parts, Remote, UpgradeHandler, unnamed_listener};
use super::metrics::{Metrics, add, sub};
use super::origin::AllowedHosts;
use super::refusal::status_body;

/// Answers one request. Runs on a thread of its own and may block, also for as long as a watch lasts.
pub type Handler = Arc<dyn Fn(Exchange) + Send + Sync>;

/// Where and for whom to serve.
#[derive(Clone)]
pub struct Config {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further names by which browsers may call this server; see `origin.rs`.
    pub allowed_hosts: AllowedHosts,
    /// What clients may use.
    pub limits: Limits,
    /// Who takes requests for other protocols; without one they are ordinary requests.
    pub upgrade: Option<UpgradeHandler>,
    /// Who answers what needs no thread; without one everything gets a thread.
    pub at_once: Option<AtOnce>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            allowed_hosts: AllowedHosts::new(),
            limits: Limits::default(),
            upgrade: None,
            at_once: None,
        }
    }
}

/// Threads that stay when there is nothing to do.
const WORKERS_KEPT: usize = 2;
/// How long a spare thread waits for work before it ends.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// A server at work. Dropping it stops it without grace.
pub struct Serving {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    clients: Arc<Clients>,
    remote: Remote,
    pool: Arc<Pool>,
    front: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

struct Pool {
    server: tiny_http::Server,
    /// Declared, and so dropped, after the server.
    inner: Inner,
    handler: Handler,
    clients: Arc<Clients>,
    metrics: Arc<Metrics>,
    stopping: Arc<AtomicBool>,
    closing: AtomicBool,
    idle: AtomicUsize,
    workers: AtomicUsize,
    workers_max: usize,
}

/// The way to tiny_http's listening socket, which has no name.
struct Inner(OwnedFd);

impl Inner {
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A dropped tiny_http server wakes its acceptor by connecting to the socket's name, which is gone. An error
        // means that the acceptor has ended by itself.
        let _ = UnixStream::connect(self.path());
    }
}

/// Descriptors of one connection: the client's, the inner one, and two duplicates in tiny_http.
const FILES_PER_CONNECTION: usize = 4;
/// Descriptors left to everything else.
const FILES_ELSEWHERE: usize = 256;

/// Raises the process's soft limit on open files to its hard limit, and says what it is now.
///
/// For `main`: children inherit it, so whoever starts containers sets theirs. Source: getrlimit(2).
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Connections that the limit on open files lets us promise. Half of a small limit is still used.
fn connections_possible() -> io::Result<usize> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let soft = usize::try_from(soft).unwrap_or(usize::MAX);
    Ok((soft.saturating_sub(FILES_ELSEWHERE).max(soft / 2) / FILES_PER_CONNECTION).max(1))
}

/// Binds the address and starts to serve. Returns when connections are accepted.
pub fn serve(config: Config, handler: Handler) -> io::Result<Serving> {
    let listener = TcpListener::bind(config.listen)?;
    let address = listener.local_addr()?;
    let (inner_listener, inner) = unnamed_listener()?;
    let server = tiny_http::Server::from_listener(inner_listener, None).map_err(io::Error::other)?;
    let clients = Arc::new(Clients::new()?);
    let metrics = Arc::new(Metrics::default());
    let possible = connections_possible()?;
    let mut limits = config.limits;
    if limits.connections > possible {
        log::debug!("http: the limit on open files allows {possible} connections, not {}", limits.connections);
        limits.connections = possible;
    }
    let workers_max = limits.connections + WORKERS_KEPT;
    let (front, remote) = Front::new(Parts {
        listener,
        inner: inner.try_clone()?,
        clients: clients.clone(),
        metrics: metrics.clone(),
        limits,
        allowed_hosts: config.allowed_hosts,
        upgrade: config.upgrade,
        at_once: config.at_once,
    })?;
    let pool = Arc::new(Pool {
        server,
        inner: Inner(inner),
        handler,
        clients: clients.clone(),
        metrics: metrics.clone(),
        stopping: Arc::default(),
        closing: AtomicBool::new(false),
        idle: AtomicUsize::new(0),
        workers: AtomicUsize::new(0),
        workers_max,
    });
    for _ in 0..WORKERS_KEPT {
        pool.clone().hire()?;
    }
    let (ends, ended) = bounded(1);
    let front = std::thread::Builder::new().name("http-front".into()).spawn(move || {
        front.run();
        // Nobody listens when the server was dropped meanwhile.
        let _ = ends.send(());
    })?;
    Ok(Serving { address, metrics, clients, remote, pool, front: Some(front), ended })
}

impl Serving {
    /// Where clients connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The path by which this process, and nobody else, reaches the inner server. For tests.
    #[doc(hidden)]
    pub fn inner_path(&self) -> String {
        self.pool.inner.path()
    }

    /// Accepts nothing more, ends streams, lets running requests finish for `grace`, then closes everything.
    /// Says whether all of them finished.
    pub fn stop(mut self, grace: Duration) -> bool {
        self.pool.stopping.store(true, Ordering::Release);
        self.remote.stop();
        let until = Instant::now() + grace;
        let finished = loop {
            // Again and again: a watch may begin after the first call, from a request that was under way.
            self.clients.depart_all();
            let left = until.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left.min(Duration::from_millis(20))).is_ok() {
                break true;
            }
            if left.is_zero() {
                break false;
            }
        };
        self.close();
        finished
    }

    fn close(&mut self) {
        self.pool.stopping.store(true, Ordering::Release);
        self.pool.closing.store(true, Ordering::Release);
        self.remote.abort();
        if let Some(front) = self.front.take() {
            // It logs its own errors; a panic in it has been reported by the runtime.
            let _ = front.join();
        }
        for _ in 0..self.pool.workers.load(Ordering::Acquire) {
            self.pool.server.unblock();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pool {
    fn hire(self: Arc<Self>) -> io::Result<()> {
        self.workers.fetch_add(1, Ordering::AcqRel);
        add(&self.metrics.workers, 1);
        let leave = Leave(self.clone());
        std::thread::Builder::new().name("http-worker".into()).spawn(move || leave.0.work())?;
        Ok(())
    }

    /// At least one worker always waits, or is being hired: whoever takes the last one's place hires.
    fn work(self: &Arc<Self>) {
        while !self.closing.load(Ordering::Acquire) {
            let spare = self.idle.fetch_add(1, Ordering::AcqRel) >= WORKERS_KEPT;
            let received = match spare {
                // A wait that is woken in its last millisecond reports nothing and drops the wake-up: look again.
                true => match self.server.recv_timeout(WORKER_PATIENCE) {
                    Ok(None) => self.server.try_recv(),
                    other => other,
                },
                false => self.server.recv().map(Some),
            };
            let were_idle = self.idle.fetch_sub(1, Ordering::AcqRel);
            match received {
                Ok(Some(request)) => {
                    if were_idle == 1
                        && self.workers.load(Ordering::Acquire) < self.workers_max
                        && let Err(error) = self.clone().hire()
                    {
                        // The others take over when they are done.
                        log::warn!("http: no thread for another worker: {error}");
                    }
                    self.serve(request);
                }
                Ok(None) if were_idle > WORKERS_KEPT => return,
                Ok(None) => {}
                Err(error) => {
                    if !self.closing.load(Ordering::Acquire) {
                        log::error!("http: {error}");
                    }
                    return;
                }
            }
        }
    }

    fn serve(&self, request: tiny_http::Request) {
        let name = request.headers().iter().find(|each| each.field.equiv(CLIENT_HEADER));
        let Some(client) = name.and_then(|name| self.clients.by_name(name.value.as_str())) else {
            let body = status_body(403, "Forbidden", "the request did not come through the front");
            let refused = tiny_http::Response::from_string(body).with_status_code(403);
            // An error means that whoever it was is gone.
            let _ = request.respond(refused);
            return;
        };
        match Exchange::new(request, client, self.metrics.clone(), self.stopping.clone()) {
            Ok(exchange) => {
                add(&self.metrics.requests, 1);
                (self.handler)(exchange);
            }
            Err(error) => log::debug!("http: a request's body broke off: {error}"),
        }
    }
}

/// Counts a worker out, however it ends.
struct Leave(Arc<Pool>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::AcqRel);
        sub(&self.0.metrics.workers, 1);
    }
}
