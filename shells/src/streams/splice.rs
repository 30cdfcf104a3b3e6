//! Two connections made one: what comes from either goes to the other.

use crate::streams::outbox::Outbox;
use crate::streams::wait::{IDLE_MAX, Waiting};
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// After a server's last words its client has this time to take them.
const LINGER: Duration = Duration::from_secs(30);

/// Passes bytes on between a client and a server until one of them has left or nothing moves for a long time.
///
/// A client that leaves ends it at once, even one that would still read: half a connection has no meaning in WebSocket.
/// When the server is done, the client still gets what it said. What one side does not take is not read from the other.
pub fn splice(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<()> {
    client.set_nonblocking(true)?;
    server.set_nonblocking(true)?;
    let (mut to_client, mut to_server) = (Outbox::default(), Outbox::default());
    let mut some = vec![0; 64 << 10];
    let mut idle_until = Instant::now() + IDLE_MAX;
    loop {
        let mut waiting = Waiting::new();
        waiting.on_or_left(true, client.as_fd(), to_server.is_empty(), !to_client.is_empty());
        waiting.on(false, server.as_fd(), to_client.is_empty(), !to_server.is_empty());
        let ready = waiting.wait(Some(idle_until))?;
        if !ready.is_empty() {
            idle_until = Instant::now() + IDLE_MAX;
        } else if Instant::now() >= idle_until {
            return Ok(());
        }
        if ready.contains(&true) {
            to_client.write_to(client)?;
            if has_left(client, &mut to_server, &mut some)? {
                return Ok(());
            }
            to_server.write_to(server)?;
        }
        if ready.contains(&false) {
            to_server.write_to(server)?;
            if to_client.is_empty() && !take(server, &mut to_client, &mut some)? {
                return farewell(client, to_client);
            }
            to_client.write_to(client)?;
        }
    }
}

/// Whether the client has left. Reads what it says if there is room for it.
fn has_left(client: &mut TcpStream, to_server: &mut Outbox, some: &mut [u8]) -> io::Result<bool> {
    if to_server.is_empty() {
        return Ok(!take(client, to_server, some)?);
    }
    Ok(is_shut(client))
}

/// Whether the other side has closed its sending side, whatever of what it sent is still unread.
pub fn is_shut(stream: &TcpStream) -> bool {
    let mut waiting = Waiting::new();
    waiting.on_or_left((), stream.as_fd(), false, false);
    waiting.wait(Some(Instant::now())).is_ok_and(|ready| !ready.is_empty())
}

/// Reads some. False at the end of the stream.
fn take(from: &mut TcpStream, into: &mut Outbox, some: &mut [u8]) -> io::Result<bool> {
    loop {
        match from.read(some) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                into.put(&some[..count]);
                return Ok(true);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// Sends the last bytes and waits until the other side has left, so that it sees them rather than a reset: RFC 9112,
/// section 9.6.
pub fn farewell(stream: &mut TcpStream, mut last: Outbox) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut until = Instant::now() + LINGER;
    let mut some = [0; 4096];
    let mut said = false;
    loop {
        if last.write_to(stream)? {
            until = Instant::now() + LINGER;
        }
        if last.is_empty() && !std::mem::replace(&mut said, true) {
            stream.shutdown(Shutdown::Write)?;
        }
        match stream.read(&mut some) {
            Ok(0) => return Ok(()),
            Ok(_) => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        let mut waiting = Waiting::new();
        waiting.on((), stream.as_fd(), true, !last.is_empty());
        waiting.wait(Some(until))?;
        if Instant::now() >= until {
            return Ok(());
        }
    }
}
