//! What the front and the handlers know of one connection.
//!
//! The front names each inner connection in a header of its own; the server looks the name up here. A request
//! without a name in this table did not come through the front and is refused.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, bounded};

/// The header by which the front tells the server whose request it is. Clients cannot set it: the front drops theirs.
pub(super) const CLIENT_HEADER: &str = "Miniku-Client";

type Callback = Box<dyn FnOnce() + Send>;

/// One client connection, shared by the front and the handler of its current request.
pub struct Client {
    id: u64,
    peer: SocketAddr,
    departed: AtomicBool,
    /// The inner server has taken up this connection: a worker has seen a request of it.
    met: AtomicBool,
    callbacks: Mutex<Vec<Callback>>,
    /// Bytes of all answers written so far.
    written: AtomicU64,
    /// Where the last finished answer ends, counted in the same bytes; 0 before the first.
    ///
    /// Set before the answer's last byte is written, so that the front, which counts what it reads, finds the
    /// end without parsing answers.
    answer_end: AtomicU64,
}

/// Fires when the client is gone or the server stops: the end of every stream.
///
/// The receiver never yields a value, it disconnects; so it can stand in a `select!` beside a channel of events.
pub type Departure = Receiver<Infallible>;

impl Client {
    /// Unique while the process lives.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The address the client connected from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether nobody is waiting for more: the client closed its side, the connection broke, or the server stops.
    ///
    /// A client that only closed its sending side (as `nc -N` does) counts too, since nothing tells it from one that
    /// left. Its answer is still delivered; streams should end.
    pub fn departed(&self) -> bool {
        self.departed.load(Ordering::Acquire)
    }

    /// A receiver that disconnects on departure; at once if it has already happened.
    pub fn departure(&self) -> Departure {
        let (sender, receiver) = bounded(0);
        self.on_departure(move || drop(sender));
        receiver
    }

    /// Calls back once, on the front's thread or, if it has already happened, on this one. The callback must be short
    /// and must not block. It is forgotten when the current request is answered.
    pub fn on_departure(&self, callback: impl FnOnce() + Send + 'static) {
        {
            let mut callbacks = lock(&self.callbacks);
            if !self.departed() {
                callbacks.push(Box::new(callback));
                return;
            }
        }
        callback();
    }

    pub(super) fn met(&self) -> bool {
        self.met.load(Ordering::Acquire)
    }

    pub(super) fn depart(&self) {
        // The flag is set under the lock, so that a callback is either seen here or sees the flag.
        let callbacks = {
            let mut callbacks = lock(&self.callbacks);
            self.departed.store(true, Ordering::Release);
            std::mem::take(&mut *callbacks)
        };
        for callback in callbacks {
            callback();
        }
    }

    /// The server is about to write this many bytes of an answer.
    pub(super) fn writes(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The bytes announced so far are the whole answer. To be called before the last of them is written.
    pub(super) fn answer_ends(&self) {
        lock(&self.callbacks).clear();
        self.answer_end.store(self.written.load(Ordering::Relaxed), Ordering::Release);
    }

    pub(super) fn answer_end(&self) -> u64 {
        self.answer_end.load(Ordering::Acquire)
    }
}

/// The connections that are open through the front.
pub(super) struct Clients {
    /// Random, so that a name cannot be guessed.
    secret: u64,
    open: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
}

impl Clients {
    pub fn new() -> std::io::Result<Self> {
        let mut secret = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(Self { secret: u64::from_ne_bytes(secret), open: Mutex::default(), last_id: AtomicU64::new(0) })
    }

    pub fn open(&self, peer: SocketAddr) -> Arc<Client> {
        let client = Arc::new(Client {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            departed: AtomicBool::new(false),
            met: AtomicBool::new(false),
            callbacks: Mutex::default(),
            written: AtomicU64::new(0),
            answer_end: AtomicU64::new(0),
        });
        lock(&self.open).insert(client.id, client.clone());
        client
    }

    pub fn close(&self, client: &Client) {
        lock(&self.open).remove(&client.id);
        client.depart();
    }

    /// What the front writes into [`CLIENT_HEADER`].
    pub fn name(&self, client: &Client) -> String {
        format!("{:016x}{:016x}", self.secret, client.id)
    }

    /// The connection of this name, which counts as met from now on.
    pub fn by_name(&self, name: &str) -> Option<Arc<Client>> {
        let (secret, id) = name.split_at_checked(16)?;
        if u64::from_str_radix(secret, 16).ok()? != self.secret {
            return None;
        }
        let client = lock(&self.open).get(&u64::from_str_radix(id, 16).ok()?).cloned()?;
        client.met.store(true, Ordering::Release);
        Some(client)
    }

    /// Ends all streams.
    pub fn depart_all(&self) {
        let all: Vec<Arc<Client>> = lock(&self.open).values().cloned().collect();
        for client in all {
            client.depart();
        }
    }
}

/// A panic in a callback leaves a list or a map behind that is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::TryRecvError;

    #[test]
    fn departure_reaches_those_who_waited_and_those_who_ask_later() {
        let clients = Clients::new().unwrap();
        let client = clients.open("127.0.0.1:1".parse().unwrap());
        let early = client.departure();
        assert_eq!(early.try_recv(), Err(TryRecvError::Empty));
        clients.close(&client);
        assert_eq!(early.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(client.departure().try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn only_open_connections_have_a_name() {
        let clients = Clients::new().unwrap();
        let client = clients.open("127.0.0.1:1".parse().unwrap());
        let name = clients.name(&client);
        assert_eq!(clients.by_name(&name).unwrap().id(), client.id());
        for wrong in ["", "1", &name[..31], &name.replace(&name[..16], "0000000000000000"), &"é".repeat(16)] {
            assert!(clients.by_name(wrong).is_none(), "{wrong}");
        }
        clients.close(&client);
        assert!(clients.by_name(&name).is_none());
    }
}
