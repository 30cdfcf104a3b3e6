//! Lets connections in, as far as there is room for them, and lets go of them.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::pending::Pending;
use super::{Conn, Front, Phase, Ready, Slot, token};
use crate::http::framing::Framing;
use crate::http::metrics::{add, sub};
use crate::http::refusal::Refusal;

/// Connections beyond the limit that are told so; the rest are closed without a word.
const REFUSED_MAX: usize = 64;
/// How long accepting pauses when the process has no descriptor left (accept(2), EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Front {
    /// Takes the connections that wait at the listener.
    pub(super) fn accept(&mut self) {
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

    /// Gives a new connection a slot, or tells it why there is none.
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

    /// Closes the connection of a slot, if there is one.
    pub(super) fn drop_slot(&mut self, index: u32) {
        if let Some(conn) = self.slots[index as usize].conn.take() {
            self.discard(index, *conn);
        }
    }

    /// Closes both sides. Closing removes them from epoll, since no duplicate exists.
    pub(super) fn discard(&mut self, index: u32, mut conn: Conn) {
        self.vacate(index, &mut conn);
    }

    /// Frees a slot, whose connection counts no longer; its sockets are not touched.
    pub(super) fn vacate(&mut self, index: u32, conn: &mut Conn) {
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

    /// One connection less counts for an address.
    pub(super) fn forget_peer(&mut self, peer: IpAddr) {
        if let Some(count) = self.per_peer.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&peer);
            }
        }
    }
}
