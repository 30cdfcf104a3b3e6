//! The acceptor before tiny_http: one thread, epoll, bounded in every direction.
//!
//! What is small is offered to [`AtOnce`] first, see `at_once.rs`; all else is forwarded. Each client connection owns
//! at most one inner connection, opened with the first request that needs it. A request is offered or forwarded only
//! after the answer before it was delivered, so pipelined requests wait in the kernel and an error can never overtake
//! an answer. Bytes are passed on as they come; what a slow side does not take stays in one bounded buffer, or in the
//! one answer that was given at once, and nothing more is read from the other side until it is gone. So a stuck client
//! costs its own connection only.
//!
//! The inner listener is a Unix socket without a name: it is bound in a private directory, opened, and unlinked at
//! once. Only a process that may look into this one's descriptors can reach it, and `client.rs` refuses even those.
//!
//! Readiness is edge-triggered: the flags in [`Conn`] say what the kernel last promised, see epoll(7).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, socket};

use super::asked::{Asked, Headers};
use super::at_once::{self, AtOnce, Grown, LAST_CHUNK, Replies, Reply, Respond, Said};
use super::client::{CLIENT_HEADER, Client, Clients};
use super::framing::{BodyLength, Event, Framing, FramingLimits, Head};
use super::metrics::{Metrics, add, sub};
use super::origin::{self, AllowedHosts};
use super::refusal::Refusal;
use super::wording::Manner;

/// What one client, and all of them, may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sizes of a request.
    pub framing: FramingLimits,
    /// Connections in all. Each takes four descriptors while it has a request, so the limit on open files
    /// (`RLIMIT_NOFILE`) bounds it as well.
    pub connections: usize,
    /// Connections from one address. On loopback all clients share one.
    pub connections_per_peer: usize,
    /// Connections that ask for another protocol. Each takes a thread while it lasts, and some descriptors.
    pub upgrades: usize,
    /// From the first byte of a head to its last.
    pub head_time: Duration,
    /// Between two requests, and before the first.
    pub idle_time: Duration,
    /// Without a byte of an expected body.
    pub body_stall: Duration,
    /// From the end of a head to the end of its body.
    pub body_time: Duration,
    /// Without the client taking a byte of an answer that waits for it.
    pub write_stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            framing: FramingLimits::default(),
            connections: 8192,
            connections_per_peer: 4096,
            upgrades: 1024,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(180),
            body_stall: Duration::from_secs(20),
            body_time: Duration::from_secs(120),
            write_stall: Duration::from_secs(30),
        }
    }
}

/// A connection that asks for another protocol (exec, attach, port-forward), taken out of the front.
///
/// Nothing has been answered. The stream is blocking and belongs to the handler, which may read and write it from
/// two threads; a refusal is an HTTP answer written to it.
pub struct Upgrade {
    /// The client's own connection.
    pub stream: TcpStream,
    /// The request.
    pub head: Head,
    /// What the client sent after the head.
    pub early: Vec<u8>,
    /// Who is at the other end.
    pub peer: SocketAddr,
    open: OpenUpgrade,
}

impl Upgrade {
    /// What is asked.
    pub fn asked(&self) -> Asked<'_> {
        let headers = Headers::of(self.head.headers());
        Asked { method: self.head.method(), target: self.head.target(), headers, body: &[] }
    }
}

/// Refuses: the answer is the last on this connection.
impl Respond for Upgrade {
    fn respond(mut self, status: u16, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        self.open.metrics.count_answer(status);
        let manner = Manner { head_only: self.head.method() == "HEAD", close: true };
        let (mut out, body) = manner.whole(status, content_type, headers, body);
        out.extend_from_slice(body);
        self.stream.set_write_timeout(Some(LINGER_TIME))?;
        self.stream.write_all(&out)?;
        self.stream.shutdown(Shutdown::Write)?;
        self.stream.set_read_timeout(Some(LINGER_TIME))?;
        let mut left = (&self.stream).take(LINGER_BYTES as u64);
        io::copy(&mut left, &mut io::sink()).map(drop)
    }
}

/// Called on a thread of its own for each [`Upgrade`].
pub type UpgradeHandler = Arc<dyn Fn(Upgrade) + Send + Sync>;

/// Which connection a handler has, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Upgraded {
    number: u64,
    peer: IpAddr,
}

/// Keeps a connection counted while its handler has it.
struct OpenUpgrade {
    this: Upgraded,
    closed: crossbeam_channel::Sender<Upgraded>,
    wake: Arc<EventFd>,
    metrics: Arc<Metrics>,
}

impl Drop for OpenUpgrade {
    fn drop(&mut self) {
        sub(&self.metrics.connections_open, 1);
        // Either fails only when the front has ended, and then nobody counts.
        let _ = self.closed.send(self.this);
        let _ = self.wake.write(1);
    }
}

/// What the front is built from.
pub(super) struct Parts {
    pub listener: TcpListener,
    /// An `O_PATH` descriptor of tiny_http's listening socket.
    pub inner: OwnedFd,
    pub clients: Arc<Clients>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    pub allowed_hosts: AllowedHosts,
    pub upgrade: Option<UpgradeHandler>,
    pub at_once: Option<AtOnce>,
}

/// How others reach the running loop.
#[derive(Clone)]
pub(super) struct Remote {
    wake: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    abort: Arc<AtomicBool>,
}

impl Remote {
    /// Accept nothing more, close what is idle, let running requests finish, then end the loop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.write(1);
    }

    /// End the loop now.
    pub fn abort(&self) {
        self.abort.store(true, Ordering::Release);
        let _ = self.wake.write(1);
    }
}

/// For the thread of an upgrade, which keeps its buffers on the heap.
const UPGRADE_STACK: usize = 512 << 10;

const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const INNER_SIDE: u64 = 1;

/// One read or write at most, and therefore what a connection may hold of either direction.
const BUFFER: usize = 64 << 10;
/// Rounds a connection may take before the others have their turn.
const TURN: usize = 8;
/// How long and how much is read after the last answer, so that the client sees it rather than a reset: RFC 9112 section 9.6.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 8 << 20;
/// Connections beyond the limit that are told so; the rest are closed without a word.
const REFUSED_MAX: usize = 64;
/// How long accepting pauses when the process has no descriptor left (accept(2), EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How soon a full inner backlog is tried again, and how often.
const CONNECT_RETRY: Duration = Duration::from_millis(2);
const CONNECT_TRIES: u32 = 500;
/// How soon a connection that tiny_http has not taken up is pushed: at first, and when that has not helped.
///
/// Its pool hands a connection to a waiting thread if it counts one, but two connections in quick succession may
/// count the same thread; the second then lies in a queue until some connection ends, which may be never. A further
/// connection that is closed at once makes the pool start a thread, which takes the queue's first. Since others may
/// lie before ours, unnoticed while their clients are slow, each push of a connection is twice the one before.
/// Source: tiny_http 0.12.0, `util/task_pool.rs`, `TaskPool::spawn`.
const PUSH_FIRST: Duration = Duration::from_millis(5);
const PUSH_LATER: Duration = Duration::from_millis(500);
/// After so many pushes, which is 255 connections, haste has not helped.
const PUSHES_HASTY: u32 = 8;
/// With fewer descriptors left than this, no inner connection is opened: tiny_http panics when it gets none.
const FILES_SPARE: u64 = 64;

pub(super) struct Front {
    parts: Parts,
    inner_address: UnixAddr,
    epoll: Epoll,
    remote: Remote,
    accepting: Option<TcpListener>,
    accept_again: Option<Instant>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
    refused_open: usize,
    per_peer: BTreeMap<IpAddr, usize>,
    timers: BTreeSet<(Instant, u32)>,
    /// Connections that used up their turn.
    again: Vec<u32>,
    scratch: Vec<u8>,
    compose: Vec<u8>,
    replies: Arc<Replies>,
    /// More answers may have come than were taken.
    more_answers: bool,
    upgrades: (crossbeam_channel::Sender<Upgraded>, crossbeam_channel::Receiver<Upgraded>),
    /// The connections that handlers have, to end them with the server.
    upgraded: BTreeMap<u64, TcpStream>,
    next_upgrade: u64,
    now: Instant,
}

#[derive(Default)]
struct Slot {
    /// Events of an earlier tenant carry an earlier generation.
    generation: u32,
    conn: Option<Box<Conn>>,
}

struct Conn {
    outer: TcpStream,
    /// The address it arrived at.
    local: IpAddr,
    inner: Option<UnixStream>,
    client: Arc<Client>,
    name: String,
    framing: Framing,
    phase: Phase,
    ready: Ready,
    /// A request that is gathered to be offered as a whole, rather than passed on as it comes.
    gathered: Option<Box<Gathered>>,
    /// An answer under way that grows.
    grown: Option<Arc<Grown>>,
    /// Answer bytes the client has not taken.
    to_outer: Pending,
    /// Request bytes tiny_http has not taken.
    to_inner: Pending,
    /// Request bytes that came with an earlier request.
    carry: Pending,
    /// Bytes read from the inner connection, and how many there were when the current request began.
    answered: u64,
    answered_before: u64,
    /// When the phase, or the waiting in it, began.
    since: Instant,
    body_until: Instant,
    progress: Instant,
    timer: Option<Instant>,
    close: bool,
    chunked: bool,
    head_only: bool,
    /// The inner side takes nothing more; the rest of the body is read and dropped.
    inner_deaf: bool,
    inner_watched_for_out: bool,
    connect_tries: u32,
    push_at: Instant,
    pushes: u32,
    counted_as_refused: bool,
    lingered: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests, or in a head.
    Head,
    Body,
    /// The request is complete, its answer is not.
    Answer,
    /// Somebody has the [`Reply`] to the request.
    Promised,
    /// The answer has begun, and somebody sends more of it now and then.
    Growing,
    /// That answer is under way.
    Delivered,
    /// The last answer is under way; then the sending side is closed.
    Farewell,
    /// Everything is said; input is dropped until the client closes.
    Linger,
}

#[derive(Default)]
struct Ready {
    outer_in: bool,
    outer_out: bool,
    /// The client has closed its sending side; what it sent before may still be unread.
    outer_fin: bool,
    inner_in: bool,
    inner_out: bool,
    inner_fin: bool,
    dead: bool,
}

struct Gathered {
    head: Head,
    body: Vec<u8>,
}

/// Bytes that wait, from `at` on.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    at: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, count: usize) {
        self.at += count;
        if self.is_empty() {
            // Memory is given back: most connections have nothing waiting.
            *self = Self::default();
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        // What is gone goes, too, where there is always something that waits.
        if self.at > BUFFER && self.at > self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The same without copying, where nothing waits.
    fn put_whole(&mut self, bytes: Vec<u8>) {
        match self.is_empty() {
            true => *self = Self { bytes, at: 0 },
            false => self.put(&bytes),
        }
    }
}

enum Flow {
    /// Nothing more to do until the kernel says so.
    Wait,
    /// There was progress; look again.
    On,
    Close,
    /// The connection belongs to an upgrade handler now.
    Gone,
}

impl Front {
    pub fn new(parts: Parts) -> io::Result<(Self, Remote)> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let remote = Remote { wake, stop: Arc::default(), abort: Arc::default() };
        // Accepted sockets inherit it on Linux: tcp(7).
        nix::sys::socket::setsockopt(&parts.listener, nix::sys::socket::sockopt::TcpNoDelay, &true)?;
        // std asks for a backlog of 128; a burst beyond it waits a second for its next SYN.
        nix::sys::socket::listen(&parts.listener, Backlog::MAXCONN)?;
        parts.listener.set_nonblocking(true)?;
        let listener = parts.listener.try_clone()?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        epoll.add(&*remote.wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let inner_address = UnixAddr::new(format!("/proc/self/fd/{}", parts.inner.as_raw_fd()).as_str())?;
        let front = Self {
            parts,
            inner_address,
            epoll,
            remote: remote.clone(),
            accepting: Some(listener),
            accept_again: None,
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
            refused_open: 0,
            per_peer: BTreeMap::new(),
            timers: BTreeSet::new(),
            again: Vec::new(),
            scratch: vec![0; BUFFER],
            compose: Vec::new(),
            replies: Arc::new(Replies::new(remote.wake.clone())),
            more_answers: false,
            upgrades: crossbeam_channel::unbounded(),
            upgraded: BTreeMap::new(),
            next_upgrade: 0,
            now: Instant::now(),
        };
        Ok((front, remote))
    }

    /// The loop. Returns when it was told to stop and no connection is left, or when it was aborted.
    pub fn run(mut self) {
        let mut events = vec![EpollEvent::empty(); 256];
        loop {
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    log::error!("http front: epoll_wait: {errno}");
                    break;
                }
            };
            self.now = Instant::now();
            self.replies.front_wakes();
            let mut touched = std::mem::take(&mut self.again);
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept(),
                    WAKE => self.woken(),
                    token => touched.extend(self.note(token, event.events())),
                }
            }
            for index in touched {
                self.drive(index);
            }
            self.expire();
            self.deliver();
            if self.remote.abort.load(Ordering::Acquire) || (self.accepting.is_none() && self.open == 0) {
                break;
            }
        }
        self.end_upgrades();
        for index in 0..self.slots.len() {
            if let Some(conn) = self.slots[index].conn.take() {
                self.discard(index as u32, *conn);
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        if !self.again.is_empty() || self.more_answers {
            return EpollTimeout::ZERO;
        }
        let next = self.timers.first().map(|(at, _)| *at).into_iter().chain(self.accept_again).min();
        match next {
            None => EpollTimeout::NONE,
            Some(at) => {
                // Rounded up, so that the deadline has passed when the wait ends.
                let millis = at.saturating_duration_since(Instant::now()).as_millis() + 1;
                EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::ZERO)
            }
        }
    }

    fn woken(&mut self) {
        // Only resets the counter; the reasons are read below.
        let _ = self.remote.wake.read();
        while let Ok(Upgraded { number, peer }) = self.upgrades.1.try_recv() {
            self.upgraded.remove(&number);
            self.forget_peer(peer);
        }
        if self.remote.stop.load(Ordering::Acquire)
            && let Some(listener) = self.accepting.take()
        {
            let _ = self.epoll.delete(&listener);
            self.accept_again = None;
            self.end_upgrades();
            for index in 0..self.slots.len() as u32 {
                if let Some(conn) = &mut self.slots[index as usize].conn {
                    conn.close = true;
                    if conn.phase == Phase::Growing {
                        self.again.push(index);
                        complete(conn);
                    } else if conn.phase == Phase::Head && !conn.framing.in_head() && conn.carry.is_empty() {
                        self.drop_slot(index);
                    }
                }
            }
        }
    }

    fn accept(&mut self) {
        // Bounded, so that a flood of connections does not keep the others waiting; the listener is level-triggered.
        for _ in 0..64 {
            let Some(listener) = &self.accepting else { return };
            match listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    // "Linux accept() passes already-pending network errors": accept(2).
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
                    _ => {
                        log::warn!("http front: accept: {error}");
                        let _ = self.epoll.delete(listener);
                        self.accept_again = Some(self.now + ACCEPT_PAUSE);
                        return;
                    }
                },
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        add(&self.parts.metrics.connections, 1);
        let address = peer.ip().to_canonical();
        let from_peer = self.per_peer.get(&address).copied().unwrap_or(0);
        let refusal = if self.open - self.refused_open + self.upgraded.len() >= self.parts.limits.connections {
            Some(Refusal::TooManyConnections)
        } else if from_peer >= self.parts.limits.connections_per_peer {
            Some(Refusal::TooManyFromPeer)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.parts.metrics.count_refusal(refusal);
            if self.refused_open >= REFUSED_MAX {
                return;
            }
        }
        if let Err(error) = stream.set_nonblocking(true) {
            log::warn!("http front: {peer}: {error}");
            return;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let token = token(index, self.slots[index as usize].generation);
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        if let Err(errno) = self.epoll.add(&stream, EpollEvent::new(flags, token)) {
            log::warn!("http front: {peer}: epoll_ctl: {errno}");
            self.free.push(index);
            return;
        }
        let client = self.parts.clients.open(peer);
        let mut conn = Conn {
            local: stream.local_addr().map_or(peer.ip(), |address| address.ip()),
            outer: stream,
            inner: None,
            name: self.parts.clients.name(&client),
            client,
            framing: Framing::new(self.parts.limits.framing),
            phase: Phase::Head,
            ready: Ready { outer_out: true, ..Ready::default() },
            gathered: None,
            grown: None,
            to_outer: Pending::default(),
            to_inner: Pending::default(),
            carry: Pending::default(),
            answered: 0,
            answered_before: 0,
            since: self.now,
            body_until: self.now,
            progress: self.now,
            timer: None,
            close: false,
            chunked: false,
            head_only: false,
            inner_deaf: false,
            inner_watched_for_out: false,
            connect_tries: 0,
            push_at: self.now,
            pushes: 0,
            counted_as_refused: refusal.is_some(),
            lingered: 0,
        };
        self.open += 1;
        add(&self.parts.metrics.connections_open, 1);
        *self.per_peer.entry(address).or_default() += 1;
        if let Some(refusal) = refusal {
            self.refused_open += 1;
            conn.to_outer.put(&refusal.response(false));
            conn.phase = Phase::Farewell;
        }
        self.slots[index as usize].conn = Some(Box::new(conn));
        self.drive(index);
    }

    /// Notes what the kernel says about a socket, and names the connection if it is still the same one.
    fn note(&mut self, token: u64, events: EpollFlags) -> Option<u32> {
        let (index, generation) = slot_of(token);
        let slot = self.slots.get_mut(index as usize).filter(|slot| slot.generation == generation)?;
        let ready = &mut slot.conn.as_mut()?.ready;
        let (readable, writable) = (events.contains(EpollFlags::EPOLLIN), events.contains(EpollFlags::EPOLLOUT));
        let fin = events.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        if token & INNER_SIDE != 0 {
            ready.inner_in |= readable || fin;
            ready.inner_out |= writable;
            ready.inner_fin |= fin;
        } else {
            ready.outer_in |= readable || fin;
            ready.outer_out |= writable;
            ready.outer_fin |= fin;
            // Both directions are shut, or the connection was reset: nobody can read an answer.
            ready.dead |= events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        }
        Some(index)
    }

    /// Does for one connection everything that can be done without waiting.
    fn drive(&mut self, index: u32) {
        let Some(mut conn) = self.slots[index as usize].conn.take() else { return };
        for _ in 0..TURN {
            match self.advance(index, &mut conn) {
                Flow::On => {}
                Flow::Wait => {
                    self.arm(index, &mut conn);
                    self.slots[index as usize].conn = Some(conn);
                    return;
                }
                Flow::Close => return self.discard(index, *conn),
                Flow::Gone => return,
            }
        }
        self.again.push(index);
        self.slots[index as usize].conn = Some(conn);
    }

    fn advance(&mut self, index: u32, conn: &mut Conn) -> Flow {
        if conn.ready.outer_fin && !conn.client.departed() {
            conn.client.depart();
        }
        if conn.ready.dead {
            return Flow::Close;
        }
        let mut on = false;
        // Towards the client first: it makes room.
        match self.flush_outer(conn) {
            Ok(progress) => on |= progress,
            Err(_) => return Flow::Close,
        }
        match conn.phase {
            Phase::Farewell if conn.to_outer.is_empty() => {
                if conn.ready.outer_fin && !conn.ready.outer_in {
                    return Flow::Close;
                }
                // Fails if the client is gone already; lingering finds that out.
                let _ = conn.outer.shutdown(Shutdown::Write);
                conn.phase = Phase::Linger;
                conn.since = self.now;
                on = true;
            }
            Phase::Growing if conn.ready.outer_fin => {
                conn.close = true;
                complete(conn);
                on = true;
            }
            Phase::Farewell | Phase::Promised | Phase::Growing => {}
            Phase::Delivered if conn.to_outer.is_empty() => {
                conn.since = self.now;
                conn.phase = if conn.close { Phase::Farewell } else { Phase::Head };
                on = true;
            }
            Phase::Delivered => {}
            Phase::Linger => return self.linger(conn),
            Phase::Head | Phase::Body | Phase::Answer => {
                match self.pump_answer(conn) {
                    Ok(progress) => on |= progress,
                    Err(_) => return Flow::Close,
                }
                match self.pump_request(index, conn) {
                    Flow::On => on = true,
                    Flow::Wait => {}
                    end => return end,
                }
            }
        }
        if on { Flow::On } else { Flow::Wait }
    }

    /// Writes what waits for the client. `Ok(true)` if the buffer became empty by it.
    fn flush_outer(&mut self, conn: &mut Conn) -> io::Result<bool> {
        while !conn.to_outer.is_empty() && conn.ready.outer_out {
            let written = write_some(&mut conn.outer, conn.to_outer.rest(), &mut conn.ready.outer_out)?;
            if written > 0 {
                conn.to_outer.take(written);
                if let Some(grown) = &conn.grown {
                    grown.sent(written);
                }
                conn.progress = self.now;
                add(&self.parts.metrics.bytes_out, written as u64);
                if conn.to_outer.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Passes on one buffer of the answer, and sees whether it is complete.
    fn pump_answer(&mut self, conn: &mut Conn) -> io::Result<bool> {
        let mut on = false;
        if conn.to_outer.is_empty()
            && conn.ready.inner_in
            && let Some(inner) = &mut conn.inner
        {
            match read_some(inner, &mut self.scratch, &mut conn.ready.inner_in, conn.ready.inner_fin) {
                Ok(Some(0)) => {
                    // tiny_http closes after `Connection: close`, and when it gives up.
                    conn.inner = None;
                    if conn.phase != Phase::Head && conn.answered == conn.answered_before {
                        self.parts.metrics.count_refusal(Refusal::NoAnswer);
                        conn.to_outer.put(&Refusal::NoAnswer.response(conn.head_only));
                    }
                    conn.phase = Phase::Farewell;
                    conn.client.depart();
                    return Ok(true);
                }
                Ok(Some(count)) => {
                    conn.answered += count as u64;
                    let bytes = &self.scratch[..count];
                    let written = match conn.ready.outer_out {
                        true => write_some(&mut conn.outer, bytes, &mut conn.ready.outer_out)?,
                        false => 0,
                    };
                    add(&self.parts.metrics.bytes_out, written as u64);
                    conn.to_outer.put(&bytes[written..]);
                    conn.progress = self.now;
                    on = true;
                }
                Ok(None) => {}
                // A reset of the inner connection is its end.
                Err(_) => {
                    conn.ready.inner_in = true;
                    conn.ready.inner_fin = true;
                    conn.inner = None;
                    conn.phase = Phase::Farewell;
                    conn.client.depart();
                    return Ok(true);
                }
            }
        }
        if conn.phase == Phase::Answer && conn.to_outer.is_empty() && conn.answered > conn.answered_before {
            let end = conn.client.answer_end();
            if end > conn.answered_before && end == conn.answered {
                on = true;
                conn.since = self.now;
                conn.phase = if conn.close || conn.inner_deaf { Phase::Farewell } else { Phase::Head };
            }
        }
        Ok(on)
    }

    /// Takes one buffer from the client as far as it belongs to the current request.
    fn pump_request(&mut self, index: u32, conn: &mut Conn) -> Flow {
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

    /// Takes the answers that have come, and goes on with their connections. New requests on these may be answered
    /// meanwhile; after some rounds the other connections have their turn.
    fn deliver(&mut self) {
        for _ in 0..TURN {
            let answers = self.replies.take();
            self.more_answers = !answers.is_empty();
            // What is said to one client at once leaves in one write.
            let mut touched = BTreeSet::new();
            for (to, said) in answers {
                let (index, generation) = slot_of(to);
                let slot = &mut self.slots[index as usize];
                let conn = slot.conn.as_mut().filter(|_| slot.generation == generation);
                let Some(conn) = conn else {
                    // Another generation: the client has left before its answer came.
                    if let Said::Head(_, grown) = said {
                        grown.end();
                    }
                    continue;
                };
                // Without a byte that waits already, nobody has been waited for.
                if conn.to_outer.is_empty() {
                    conn.progress = self.now;
                }
                match said {
                    Said::Answer(answer) => {
                        conn.to_outer.put_whole(answer);
                        conn.phase = Phase::Delivered;
                    }
                    Said::Head(head, grown) => {
                        conn.to_outer.put_whole(head);
                        conn.phase = Phase::Growing;
                        conn.grown = Some(grown);
                    }
                    Said::More(more) if conn.phase == Phase::Growing => conn.to_outer.put_whole(more),
                    Said::End if conn.phase == Phase::Growing => complete(conn),
                    Said::More(_) | Said::End => {}
                }
                touched.insert(index);
            }
            for index in touched {
                self.drive(index);
            }
            if !self.more_answers {
                return;
            }
        }
    }

    /// Gives the client's socket to a handler and forgets about it, except that it counts.
    fn hand_over(&mut self, index: u32, conn: &mut Conn, head: Head, rest: &[u8], handler: UpgradeHandler) -> Flow {
        let stopping = self.accepting.is_none() && self.accept_again.is_none();
        if stopping || self.upgraded.len() >= self.parts.limits.upgrades {
            return self.refuse(conn, Refusal::Unavailable);
        }
        let (Ok(stream), Ok(kept)) = (conn.outer.try_clone(), conn.outer.try_clone()) else {
            return self.refuse(conn, Refusal::Unavailable);
        };
        if self.epoll.delete(&conn.outer).is_err() || stream.set_nonblocking(false).is_err() {
            return Flow::Close;
        }
        let peer = conn.client.peer();
        let address = peer.ip().to_canonical();
        self.vacate(index, conn);
        // A client that vanishes without a word is found out some time.
        if let Err(errno) = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::KeepAlive, &true) {
            log::debug!("http front: {peer}: keep-alive: {errno}");
        }
        let number = self.next_upgrade;
        self.next_upgrade += 1;
        self.upgraded.insert(number, kept);
        add(&self.parts.metrics.connections_open, 1);
        *self.per_peer.entry(address).or_default() += 1;
        let open = OpenUpgrade {
            this: Upgraded { number, peer: address },
            closed: self.upgrades.0.clone(),
            wake: self.remote.wake.clone(),
            metrics: self.parts.metrics.clone(),
        };
        let upgrade = Upgrade { stream, head, early: rest.to_vec(), peer, open };
        if let Err(error) =
            std::thread::Builder::new().name("upgrade".into()).stack_size(UPGRADE_STACK).spawn(move || handler(upgrade))
        {
            log::warn!("http front: {peer}: thread for an upgrade: {error}");
        }
        Flow::Gone
    }

    /// Ends the connections that handlers have: they find them closed.
    fn end_upgrades(&mut self) {
        for stream in self.upgraded.values() {
            // One that is closed already needs no end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Writes what waits for tiny_http, connecting first if need be. `On` if nothing is left.
    fn flush_inner(&mut self, index: u32, conn: &mut Conn) -> Flow {
        if conn.inner_deaf {
            conn.to_inner = Pending::default();
            return Flow::On;
        }
        if conn.inner.is_none() {
            match self.connect_inner(index, conn) {
                Flow::On => {}
                other => return other,
            }
        }
        let Some(inner) = &mut conn.inner else { return Flow::Wait };
        while !conn.to_inner.is_empty() && conn.ready.inner_out {
            match write_some(inner, conn.to_inner.rest(), &mut conn.ready.inner_out) {
                Ok(written) => conn.to_inner.take(written),
                // It answers before it has read all, or it is gone; what it wrote is still to be read.
                Err(_) => {
                    conn.inner_deaf = true;
                    conn.to_inner = Pending::default();
                }
            }
        }
        // A Unix socket announces room after every read of its peer, asked or not: ask only when it matters.
        let wants_out = !conn.to_inner.is_empty();
        if wants_out != conn.inner_watched_for_out {
            let mut flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            flags.set(EpollFlags::EPOLLOUT, wants_out);
            let token = token(index, self.slots[index as usize].generation) | INNER_SIDE;
            if self.epoll.modify(&*inner, &mut EpollEvent::new(flags, token)).is_err() {
                return Flow::Close;
            }
            conn.inner_watched_for_out = wants_out;
        }
        if wants_out { Flow::Wait } else { Flow::On }
    }

    fn connect_inner(&mut self, index: u32, conn: &mut Conn) -> Flow {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let made = socket(AddressFamily::Unix, SockType::Stream, flags, None).and_then(|fd| {
            // The lowest free number is given, so a high one means that few are left.
            let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
            if fd.as_raw_fd() as u64 + FILES_SPARE > limit {
                return Err(Errno::EMFILE);
            }
            connect(fd.as_raw_fd(), &self.inner_address).map(|()| fd)
        });
        match made {
            Ok(fd) => {
                conn.push_at = self.now + PUSH_FIRST;
                let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
                let token = token(index, self.slots[index as usize].generation) | INNER_SIDE;
                if self.epoll.add(&fd, EpollEvent::new(flags, token)).is_err() {
                    return self.refuse(conn, Refusal::Unavailable);
                }
                conn.inner = Some(UnixStream::from(fd));
                conn.ready.inner_out = true;
                conn.connect_tries = 0;
                Flow::On
            }
            // The backlog is full: unix(7). `deadline` brings us back.
            Err(Errno::EAGAIN) if conn.connect_tries < CONNECT_TRIES => {
                conn.connect_tries += 1;
                conn.since = self.now;
                Flow::Wait
            }
            Err(errno) => {
                log::warn!("http front: connect to the inner server: {errno}");
                self.refuse(conn, Refusal::Unavailable)
            }
        }
    }

    /// Connects and closes, but not more often than connections may lie there; see [`PUSH_FIRST`].
    fn push(&self, count: usize) {
        let lying = |conn: &Conn| conn.inner.is_some() && !conn.client.met();
        // The one that asks is not in its slot now.
        let lying = 1 + self.slots.iter().filter_map(|slot| slot.conn.as_deref()).filter(|conn| lying(conn)).count();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        for _ in 0..count.min(lying) {
            add(&self.parts.metrics.pushes, 1);
            let pushed = socket(AddressFamily::Unix, SockType::Stream, flags, None)
                .and_then(|fd| connect(fd.as_raw_fd(), &self.inner_address));
            if let Err(errno) = pushed {
                return log::debug!("http front: push: {errno}");
            }
        }
    }

    /// Answers with an error and ends the connection, unless an answer has already begun.
    fn refuse(&mut self, conn: &mut Conn, refusal: Refusal) -> Flow {
        self.parts.metrics.count_refusal(refusal);
        let begun = conn.phase != Phase::Head && conn.answered > conn.answered_before;
        if begun {
            return Flow::Close;
        }
        conn.inner = None;
        conn.to_inner = Pending::default();
        conn.carry = Pending::default();
        conn.to_outer.put(&refusal.response(conn.head_only));
        conn.phase = Phase::Farewell;
        conn.since = self.now;
        conn.progress = self.now;
        conn.client.depart();
        Flow::On
    }

    fn linger(&mut self, conn: &mut Conn) -> Flow {
        if !conn.ready.outer_in {
            return Flow::Wait;
        }
        match read_some(&mut conn.outer, &mut self.scratch, &mut conn.ready.outer_in, conn.ready.outer_fin) {
            Ok(Some(0)) | Err(_) => Flow::Close,
            Ok(Some(count)) => {
                conn.lingered += count;
                if conn.lingered > LINGER_BYTES { Flow::Close } else { Flow::On }
            }
            Ok(None) => Flow::Wait,
        }
    }

    /// When this connection has waited too long, if it waits for its client.
    fn deadline(&self, conn: &Conn) -> Option<Instant> {
        let limits = &self.parts.limits;
        match conn.phase {
            Phase::Linger => Some(conn.since + LINGER_TIME),
            _ if !conn.to_outer.is_empty() => Some(conn.progress + limits.write_stall),
            Phase::Growing => conn.grown.as_ref().map(|grown| grown.until),
            Phase::Farewell | Phase::Body | Phase::Answer if !conn.to_inner.is_empty() && conn.inner.is_none() => {
                Some(conn.since + CONNECT_RETRY)
            }
            Phase::Head if conn.framing.in_head() => Some(conn.since + limits.head_time),
            Phase::Head | Phase::Farewell => Some(conn.since + limits.idle_time),
            Phase::Body if conn.to_inner.is_empty() => Some(conn.body_until.min(conn.progress + limits.body_stall)),
            Phase::Body | Phase::Answer if !conn.client.met() => Some(conn.push_at),
            // The server is at work; how long it may take is its own matter.
            Phase::Body | Phase::Answer | Phase::Promised | Phase::Delivered => None,
        }
    }

    /// Makes sure that a timer fires no later than the deadline. Later ones are found out when the timer fires, so
    /// that a busy connection does not move its timer with every request.
    fn arm(&mut self, index: u32, conn: &mut Conn) {
        let Some(deadline) = self.deadline(conn) else { return };
        if conn.timer.is_none_or(|timer| deadline < timer) {
            if let Some(timer) = conn.timer.replace(deadline) {
                self.timers.remove(&(timer, index));
            }
            self.timers.insert((deadline, index));
        }
    }

    fn expire(&mut self) {
        if let Some(at) = self.accept_again
            && at <= self.now
            && let Some(listener) = &self.accepting
        {
            self.accept_again = None;
            let _ = self.epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER));
        }
        while let Some(&(at, index)) = self.timers.first()
            && at <= self.now
        {
            self.timers.pop_first();
            let Some(mut conn) = self.slots[index as usize].conn.take() else { continue };
            conn.timer = None;
            let due = self.deadline(&conn).is_some_and(|deadline| deadline <= self.now);
            let flow = if due { self.expired(index, &mut conn) } else { Flow::Wait };
            if let Flow::Close = flow {
                self.discard(index, *conn);
                continue;
            }
            self.arm(index, &mut conn);
            self.slots[index as usize].conn = Some(conn);
            if let Flow::On = flow {
                self.drive(index);
            }
        }
    }

    fn expired(&mut self, index: u32, conn: &mut Conn) -> Flow {
        match conn.phase {
            Phase::Linger | Phase::Farewell => Flow::Close,
            _ if !conn.to_outer.is_empty() => Flow::Close,
            Phase::Growing => {
                complete(conn);
                Flow::On
            }
            Phase::Head if conn.framing.in_head() => self.refuse(conn, Refusal::HeadTimeout),
            Phase::Head => Flow::Close,
            Phase::Body | Phase::Answer if conn.inner.is_none() && !conn.to_inner.is_empty() => {
                match self.flush_inner(index, conn) {
                    Flow::Wait => Flow::On,
                    flow => flow,
                }
            }
            Phase::Body if conn.to_inner.is_empty() => self.refuse(conn, Refusal::BodyTimeout),
            Phase::Promised | Phase::Delivered => Flow::Wait,
            Phase::Body | Phase::Answer => {
                let hasty = conn.pushes < PUSHES_HASTY;
                conn.push_at = self.now + if hasty { PUSH_FIRST } else { PUSH_LATER };
                self.push(1 << conn.pushes);
                conn.pushes += u32::from(hasty);
                Flow::Wait
            }
        }
    }

    fn drop_slot(&mut self, index: u32) {
        if let Some(conn) = self.slots[index as usize].conn.take() {
            self.discard(index, *conn);
        }
    }

    /// Closes both sides. Closing removes them from epoll, since no duplicate exists.
    fn discard(&mut self, index: u32, mut conn: Conn) {
        self.vacate(index, &mut conn);
    }

    fn vacate(&mut self, index: u32, conn: &mut Conn) {
        self.parts.clients.close(&conn.client);
        if let Some(grown) = conn.grown.take() {
            grown.end();
        }
        if let Some(timer) = conn.timer.take() {
            self.timers.remove(&(timer, index));
        }
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.open -= 1;
        self.refused_open -= usize::from(conn.counted_as_refused);
        sub(&self.parts.metrics.connections_open, 1);
        self.forget_peer(conn.client.peer().ip().to_canonical());
    }

    fn forget_peer(&mut self, peer: IpAddr) {
        if let Some(count) = self.per_peer.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&peer);
            }
        }
    }
}

/// Ends an answer that grows.
fn complete(conn: &mut Conn) {
    conn.to_outer.put(LAST_CHUNK);
    conn.phase = Phase::Delivered;
    if let Some(grown) = conn.grown.take() {
        grown.end();
    }
}

/// Which slot, in which generation; the lowest bit says which side.
fn token(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index) << 1
}

/// The slot and the generation in a token.
fn slot_of(token: u64) -> (u32, u32) {
    ((token as u32) >> 1, (token >> 32) as u32)
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

/// One read. `None` if nothing is there now. A short read has emptied the socket (epoll(7), question 9), except
/// that an end of stream, once announced, is announced no more.
fn read_some(from: &mut impl Read, buffer: &mut [u8], ready: &mut bool, fin: bool) -> io::Result<Option<usize>> {
    loop {
        match from.read(buffer) {
            Ok(count) => {
                *ready = count == buffer.len() || (fin && count > 0);
                return Ok(Some(count));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *ready = false;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
}

/// One write. 0 if there is no room now.
fn write_some(to: &mut impl Write, bytes: &[u8], ready: &mut bool) -> io::Result<usize> {
    loop {
        match to.write(bytes) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *ready = false;
                return Ok(0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A listening Unix socket that has no name, and the descriptor by which it is reached.
///
/// connect(2) to `/proc/self/fd/N` of an `O_PATH` descriptor finds the socket's inode, unlinked or not: proc(5).
pub(super) fn unnamed_listener() -> io::Result<(std::os::unix::net::UnixListener, OwnedFd)> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let mut random = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let directory = std::env::temp_dir().join(format!("miniku-{:016x}", u64::from_ne_bytes(random)));
    std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
    let path = directory.join("http");
    let made = std::os::unix::net::UnixListener::bind(&path).and_then(|listener| {
        nix::sys::socket::listen(&listener, Backlog::MAXCONN)?;
        let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC;
        // Read access is not asked for: with O_PATH the mode is ignored, but std wants one.
        let file = File::options().read(true).custom_flags(flags.bits()).open(&path)?;
        Ok((listener, OwnedFd::from(file)))
    });
    let removed = std::fs::remove_file(&path).and(std::fs::remove_dir(&directory));
    made.and_then(|pair| removed.map(|()| pair))
}

#[cfg(test)]
mod tests {
    use super::*;

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
