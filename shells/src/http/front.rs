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
//!
//! Here are the loop and what is known of each connection. In `front/`, `accept.rs` lets connections in and go, `request.rs`
//! and `answer.rs` are the two directions, `pending.rs` has what waits in either, `inner.rs` the connections to tiny_http,
//! `upgrade.rs` those that ask for another protocol, and `limits.rs` tells who takes too long.

mod accept;
mod answer;
mod inner;
mod limits;
mod pending;
mod request;
mod upgrade;

pub(super) use inner::unnamed_listener;
pub use limits::Limits;
pub use upgrade::{Upgrade, UpgradeHandler};

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{Backlog, UnixAddr};

use super::at_once::{AtOnce, Grown, Replies};
use super::client::{Client, Clients};
use super::framing::{Framing, Head};
use super::metrics::Metrics;
use super::origin::AllowedHosts;
use answer::complete;
use pending::Pending;
use upgrade::Upgraded;

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

const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const INNER_SIDE: u64 = 1;

/// One read or write at most, and therefore what a connection may hold of either direction.
const BUFFER: usize = 64 << 10;
/// Rounds a connection may take before the others have their turn.
const TURN: usize = 8;

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
    /// Somebody has the [`Reply`](super::at_once::Reply) to the request.
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

    /// How long the loop may sleep.
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

    /// Somebody else wants something: an upgrade has ended, answers have come, or the server is to stop.
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

    /// One round for a connection, in both directions.
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
}

/// Which slot, in which generation; the lowest bit says which side.
fn token(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index) << 1
}

/// The slot and the generation in a token.
fn slot_of(token: u64) -> (u32, u32) {
    ((token as u32) >> 1, (token >> 32) as u32)
}
