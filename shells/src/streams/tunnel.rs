//! Port-forward: TCP connections through the streams of a [`Spdy`] connection in a WebSocket, for both sides.
//!
//! The client begins two streams for each connection: one carries it, on the other the server says what went wrong, or
//! by closing it that all is done. Source: Kubernetes, `client-go/tools/portforward`; KEP-4006.

use crate::streams::carried::{Carried, Taken};
use crate::streams::spdy::{Event as Heard, Spdy};
use crate::streams::splice::{farewell, is_shut};
use crate::streams::wait::{IDLE_MAX, Waiting};
use crate::streams::websocket::{Event, WebSocket};
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

/// What is spoken.
pub const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";

/// What a tunnel ends in.
pub trait Ends {
    /// Connects to a port at this end, or says why it cannot.
    fn connect(&mut self, port: u16) -> Result<TcpStream, String>;
    /// Where this end listens, and for which ports of the other one.
    fn listeners(&self) -> &[(TcpListener, u16)];
    /// The other end could not connect.
    fn failed(&mut self, port: u16, why: &str);
}

/// A connection under way.
struct Pair {
    /// What the client numbered it.
    request: String,
    port: u16,
    data: Option<u32>,
    error: Option<u32>,
    carried: Option<Carried>,
    /// What the server said about it.
    why: Vec<u8>,
    done: bool,
}

/// Whom a tunnel waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Peer,
    Pair(usize),
    Listener(usize),
}

/// No message about an error is longer.
const WHY_MAX: usize = 4 << 10;
/// Connections at once.
const PAIRS_MAX: usize = 256;

/// One side of a tunnel.
pub struct Tunnel<'a> {
    socket: WebSocket,
    spdy: Spdy,
    client: bool,
    ends: &'a mut dyn Ends,
    pairs: Vec<Pair>,
    requests: u32,
}

impl<'a> Tunnel<'a> {
    /// A tunnel through a WebSocket of which all that comes is the tunnel's.
    pub fn new(socket: WebSocket, client: bool, ends: &'a mut dyn Ends) -> Self {
        Tunnel { socket, spdy: Spdy::new(client), client, ends, pairs: Vec::new(), requests: 0 }
    }

    /// Carries until the peer has left or nothing moves for a long time.
    pub fn run(mut self, peer: &mut TcpStream) -> io::Result<()> {
        peer.set_nonblocking(true)?;
        let mut some = vec![0; 32 << 10];
        let mut idle_until = Instant::now() + IDLE_MAX;
        if self.hear()? {
            return farewell(peer, self.socket.out);
        }
        loop {
            self.say(peer)?;
            // Who does not take what is said to it holds up the others: SPDY's windows would help, if they were used.
            let hears = self.pairs.iter().filter_map(|pair| pair.carried.as_ref()).all(|one| one.to.has_room());
            let room = self.spdy.out.has_room() && self.socket.out.has_room();
            let mut waiting = Waiting::new();
            waiting.on_or_left(Side::Peer, peer.as_fd(), hears, !self.socket.out.is_empty());
            for (index, pair) in self.pairs.iter().enumerate() {
                let (Some(carried), Some(data)) = (&pair.carried, pair.data) else { continue };
                let reads = room && !carried.read_all && self.spdy.room(data) > 0;
                waiting.on(Side::Pair(index), carried.stream.as_fd(), reads, !carried.to.is_empty());
            }
            for (index, (listener, _)) in self.ends.listeners().iter().enumerate() {
                waiting.on(Side::Listener(index), listener.as_fd(), room && self.pairs.len() < PAIRS_MAX, false);
            }
            let ready = waiting.wait(Some(idle_until))?;
            if !ready.is_empty() {
                idle_until = Instant::now() + IDLE_MAX;
            } else if Instant::now() >= idle_until {
                self.socket.close(1001);
                return farewell(peer, self.socket.out);
            }
            for side in ready {
                match side {
                    Side::Peer if !hears && is_shut(peer) => return Ok(()),
                    Side::Peer if !hears => {}
                    Side::Peer => match peer.read(&mut some) {
                        Ok(0) => return Ok(()),
                        Ok(count) => {
                            self.socket.feed(&some[..count]);
                            if self.hear()? {
                                return farewell(peer, self.socket.out);
                            }
                        }
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                        Err(error) => return Err(error),
                    },
                    Side::Pair(index) => self.carry(index, &mut some),
                    Side::Listener(index) => self.accept(index),
                }
            }
            // At the end of a round, so that the numbers of the others mean the same in it.
            self.pairs.retain(|pair| !pair.done);
        }
    }

    /// Writes what is to be said.
    fn say(&mut self, peer: &mut TcpStream) -> io::Result<()> {
        while !self.spdy.out.is_empty() && self.socket.out.has_room() {
            let waiting = self.spdy.out.waiting();
            let count = waiting.len().min(64 << 10);
            self.socket.send(&[&waiting[..count]]);
            self.spdy.out.take(count);
        }
        self.socket.out.write_to(peer).map(drop)
    }

    /// Does what the peer says. Whether it says nothing more, or nothing that makes sense.
    fn hear(&mut self) -> io::Result<bool> {
        let wrong = loop {
            match self.socket.next() {
                Ok(None) => break None,
                Ok(Some(Event::Close(_))) => return Ok(true),
                Ok(Some(Event::Piece { bytes, .. })) => self.spdy.feed(&bytes),
                Err(violation) => break Some((violation.code(), violation.to_string())),
            }
        };
        let wrong = wrong.or_else(|| {
            loop {
                match self.spdy.next() {
                    Ok(None) => return None,
                    Ok(Some(event)) => self.take(event),
                    Err(violation) => return Some((1002, violation.to_string())),
                }
            }
        });
        if let Some((code, what)) = &wrong {
            log::debug!("port-forward: {what}");
            self.socket.close(*code);
        }
        Ok(wrong.is_some())
    }

    fn take(&mut self, event: Heard) {
        match event {
            Heard::Opened { id, headers, .. } if !self.client => self.opened(id, &headers),
            Heard::Opened { id, .. } => self.spdy.reset(id),
            Heard::Data { id, bytes, last } => {
                if let Some(pair) = self.pairs.iter_mut().find(|pair| pair.data == Some(id)) {
                    match &mut pair.carried {
                        Some(carried) => {
                            carried.to.put(&bytes);
                            carried.last |= last;
                        }
                        None => self.spdy.taken(id, bytes.len()),
                    }
                    let index = self.pairs.iter().position(|pair| pair.data == Some(id));
                    index.into_iter().for_each(|index| self.write(index));
                } else if let Some(pair) = self.pairs.iter_mut().find(|pair| pair.error == Some(id)) {
                    let count = bytes.len().min(WHY_MAX.saturating_sub(pair.why.len()));
                    pair.why.extend_from_slice(&bytes[..count]);
                    self.spdy.taken(id, bytes.len());
                    // Only the server says something here.
                    if last && self.client {
                        let pair = self.pairs.iter_mut().find(|pair| pair.error == Some(id));
                        if let Some(pair) = pair.filter(|pair| !pair.why.is_empty()) {
                            self.ends.failed(pair.port, &String::from_utf8_lossy(&pair.why));
                            pair.done = true;
                            pair.data.into_iter().for_each(|id| self.spdy.reset(id));
                        }
                    }
                }
            }
            Heard::Reset(id) => {
                if let Some(pair) = self.pairs.iter_mut().find(|pair| pair.data == Some(id)) {
                    pair.done = true;
                    // It is what the client waits for.
                    pair.error.into_iter().for_each(|error| self.spdy.send(error, b"", true));
                }
            }
            Heard::GoneAway => {}
        }
    }

    /// The client begins a stream: one of a pair.
    fn opened(&mut self, id: u32, headers: &[(String, String)]) {
        let header = |name: &str| headers.iter().find(|(each, _)| each == name).map_or("", |(_, value)| value.as_str());
        let (kind, request) = (header("streamtype"), header("requestid"));
        let Ok(port) = header("port").parse::<u16>() else { return self.spdy.reset(id) };
        let found = self.pairs.iter().position(|pair| pair.request == request && pair.port == port && !pair.done);
        let index = found.unwrap_or_else(|| {
            self.pairs.push(Pair::new(request.to_owned(), port));
            self.pairs.len() - 1
        });
        let pair = &mut self.pairs[index];
        match kind {
            "error" if pair.error.is_none() => pair.error = Some(id),
            "data" if pair.data.is_none() => {
                pair.data = Some(id);
                let connected =
                    self.ends.connect(port).and_then(|stream| Carried::new(stream).map_err(|error| error.to_string()));
                match connected {
                    Ok(carried) => pair.carried = Some(carried),
                    Err(why) => {
                        if let Some(error) = pair.error {
                            self.spdy.send(error, why.as_bytes(), true);
                        }
                        pair.done = true;
                        self.spdy.send(id, b"", true);
                    }
                }
            }
            _ => self.spdy.reset(id),
        }
    }

    /// Somebody connects to this end.
    fn accept(&mut self, index: usize) {
        let Some((listener, port)) = self.ends.listeners().get(index) else { return };
        let port = *port;
        // Gone again, or taken by nobody: the next time it is looked.
        let Ok(carried) = listener.accept().and_then(|(stream, _)| Carried::new(stream)) else { return };
        let (request, number) = (self.requests.to_string(), port.to_string());
        self.requests += 1;
        let named = |kind| [("streamtype", kind), ("port", number.as_str()), ("requestid", request.as_str())];
        let mut pair = Pair::new(request.clone(), port);
        pair.error = Some(self.spdy.open(&named("error"), true));
        pair.data = Some(self.spdy.open(&named("data"), false));
        pair.carried = Some(carried);
        self.pairs.push(pair);
    }

    /// Moves what can be moved of one connection, both ways.
    fn carry(&mut self, index: usize, some: &mut [u8]) {
        self.write(index);
        let pair = &mut self.pairs[index];
        let (Some(carried), Some(data)) = (&mut pair.carried, pair.data) else { return };
        let room = self.spdy.room(data).min(some.len());
        let room = if self.spdy.out.has_room() { room } else { 0 };
        if room > 0 {
            match carried.read(&mut some[..room]) {
                Ok(Taken::Some(count)) => self.spdy.send(data, &some[..count], false),
                Ok(Taken::Nothing) => {}
                Ok(Taken::End) => self.spdy.send(data, b"", true),
                Err(_) => return self.broken(index),
            }
        }
        self.finish(index);
    }

    fn write(&mut self, index: usize) {
        let pair = &mut self.pairs[index];
        let (Some(carried), Some(data)) = (&mut pair.carried, pair.data) else { return };
        match carried.write() {
            Ok(count) => self.spdy.taken(data, count),
            Err(_) => return self.broken(index),
        }
        self.finish(index);
    }

    /// The connection at this end was reset: so is its stream.
    fn broken(&mut self, index: usize) {
        let pair = &mut self.pairs[index];
        pair.done = true;
        pair.data.into_iter().for_each(|data| self.spdy.reset(data));
        pair.error.into_iter().for_each(|error| self.spdy.send(error, b"", true));
    }

    fn finish(&mut self, index: usize) {
        let pair = &mut self.pairs[index];
        if pair.carried.as_ref().is_some_and(Carried::is_done) {
            pair.done = true;
            pair.error.into_iter().for_each(|error| self.spdy.send(error, b"", true));
        }
    }
}

impl Pair {
    fn new(request: String, port: u16) -> Pair {
        Pair { request, port, data: None, error: None, carried: None, why: Vec::new(), done: false }
    }
}
