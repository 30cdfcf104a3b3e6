//! Waiting for several descriptors at once: poll(2), with names.

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Connections on which nothing moves are given up after this time.
///
/// Source: Kubernetes, kubelet `streamingConnectionIdleTimeout`.
pub const IDLE_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// What is waited for; each under a name of the caller's.
pub struct Waiting<'a, N> {
    names: Vec<N>,
    fds: Vec<PollFd<'a>>,
}

impl<'a, N: Copy> Waiting<'a, N> {
    /// Nothing yet.
    pub fn new() -> Self {
        Waiting { names: Vec::new(), fds: Vec::new() }
    }

    /// Waits for something to read, if `reads`, and for room to write, if `writes`.
    pub fn on(&mut self, name: N, fd: BorrowedFd<'a>, reads: bool, writes: bool) {
        // A hang-up would be told even if nothing is waited for, and again and again.
        if reads || writes {
            self.push(name, fd, PollFlags::empty(), reads, writes);
        }
    }

    /// The same, and for the other side to leave, also if nothing else is waited for. Whoever waits so has to go when
    /// it has.
    pub fn on_or_left(&mut self, name: N, fd: BorrowedFd<'a>, reads: bool, writes: bool) {
        self.push(name, fd, PollFlags::from_bits_retain(libc::POLLRDHUP), reads, writes);
    }

    fn push(&mut self, name: N, fd: BorrowedFd<'a>, mut flags: PollFlags, reads: bool, writes: bool) {
        flags.set(PollFlags::POLLIN, reads);
        flags.set(PollFlags::POLLOUT, writes);
        self.names.push(name);
        self.fds.push(PollFd::new(fd, flags));
    }

    /// Waits until one is ready or the time has come. The names of those that are.
    pub fn wait(mut self, until: Option<Instant>) -> io::Result<Vec<N>> {
        let timeout = match until {
            None => PollTimeout::NONE,
            Some(until) => {
                // Rounded up, so that the time has come when the wait ends.
                let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut self.fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
        let ready = |fd: &PollFd| fd.revents().is_none_or(|events| !events.is_empty());
        Ok(self.names.into_iter().zip(&self.fds).filter(|(_, fd)| ready(fd)).map(|(name, _)| name).collect())
    }
}

impl<N: Copy> Default for Waiting<'_, N> {
    fn default() -> Self {
        Waiting::new()
    }
}
