//! What clients may use, and what becomes of those that take too long.

use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::answer::{LINGER_TIME, complete};
use super::inner::{CONNECT_RETRY, PUSH_FIRST, PUSH_LATER, PUSHES_HASTY};
use super::{Conn, Flow, Front, LISTENER, Phase};
use crate::http::framing::FramingLimits;
use crate::http::refusal::Refusal;

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

impl Front {
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
    pub(super) fn arm(&mut self, index: u32, conn: &mut Conn) {
        let Some(deadline) = self.deadline(conn) else { return };
        if conn.timer.is_none_or(|timer| deadline < timer) {
            if let Some(timer) = conn.timer.replace(deadline) {
                self.timers.remove(&(timer, index));
            }
            self.timers.insert((deadline, index));
        }
    }

    /// Accepts again after a pause, and deals with the connections whose timers have fired.
    pub(super) fn expire(&mut self) {
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

    /// What becomes of a connection that has waited too long.
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
}
