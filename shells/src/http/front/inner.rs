//! The connections to tiny_http, which serves what is not answered at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, connect, socket};

use super::pending::{Pending, write_some};
use super::{Conn, Flow, Front, INNER_SIDE, token};
use crate::http::metrics::add;
use crate::http::refusal::Refusal;

/// How soon a full inner backlog is tried again, and how often.
pub(super) const CONNECT_RETRY: Duration = Duration::from_millis(2);
const CONNECT_TRIES: u32 = 500;
/// How soon a connection that tiny_http has not taken up is pushed: at first, and when that has not helped.
///
/// Its pool hands a connection to a waiting thread if it counts one, but two connections in quick succession may
/// count the same thread; the second then lies in a queue until some connection ends, which may be never. A further
/// connection that is closed at once makes the pool start a thread, which takes the queue's first. Since others may
/// lie before ours, unnoticed while their clients are slow, each push of a connection is twice the one before.
/// Source: tiny_http 0.12.0, `util/task_pool.rs`, `TaskPool::spawn`.
pub(super) const PUSH_FIRST: Duration = Duration::from_millis(5);
pub(super) const PUSH_LATER: Duration = Duration::from_millis(500);
/// After so many pushes, which is 255 connections, haste has not helped.
pub(super) const PUSHES_HASTY: u32 = 8;
/// With fewer descriptors left than this, no inner connection is opened: tiny_http panics when it gets none.
const FILES_SPARE: u64 = 64;

impl Front {
    /// Writes what waits for tiny_http, connecting first if need be. `On` if nothing is left.
    pub(super) fn flush_inner(&mut self, index: u32, conn: &mut Conn) -> Flow {
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

    /// Opens a connection to tiny_http. `On` if there is one.
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
    pub(super) fn push(&self, count: usize) {
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
}

/// A listening Unix socket that has no name, and the descriptor by which it is reached.
///
/// connect(2) to `/proc/self/fd/N` of an `O_PATH` descriptor finds the socket's inode, unlinked or not: proc(5).
pub(in crate::http) fn unnamed_listener() -> io::Result<(std::os::unix::net::UnixListener, OwnedFd)> {
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
