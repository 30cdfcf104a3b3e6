//! Connections that ask for another protocol: each is given to a handler, and counts until that is done with it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use nix::sys::eventfd::EventFd;

use super::answer::{LINGER_BYTES, LINGER_TIME};
use super::{Conn, Flow, Front};
use crate::http::asked::{Asked, Headers};
use crate::http::at_once::Respond;
use crate::http::framing::Head;
use crate::http::metrics::{Metrics, add, sub};
use crate::http::refusal::Refusal;
use crate::http::wording::Manner;

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
pub(super) struct Upgraded {
    pub(super) number: u64,
    pub(super) peer: IpAddr,
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

/// For the thread of an upgrade, which keeps its buffers on the heap.
const UPGRADE_STACK: usize = 512 << 10;

impl Front {
    /// Gives the client's socket to a handler and forgets about it, except that it counts.
    pub(super) fn hand_over(
        &mut self,
        index: u32,
        conn: &mut Conn,
        head: Head,
        rest: &[u8],
        handler: UpgradeHandler,
    ) -> Flow {
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
    pub(super) fn end_upgrades(&mut self) {
        for stream in self.upgraded.values() {
            // One that is closed already needs no end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
