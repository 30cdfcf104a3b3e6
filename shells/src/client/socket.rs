//! The socket under calls.
//!
//! ureq's own asks the kernel ten times a call: twice whether the connection is still open, with four switches between
//! blocking and not, and for both time limits anew, since less is left of them each time. This one asks four times. And
//! it does not fall asleep at once, see [`AWAKE`].

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

/// So long the answer to a GET is looked for again and again before the thread sleeps.
///
/// A server answers reads from memory in a few microseconds. To fall asleep and be woken takes 20 to 40, and wakes a
/// processor that is falling asleep meanwhile. Answers to writes wait for a disk: there is nothing to win.
const AWAKE: Duration = Duration::from_micros(50);

/// Makes [`Socket`]s.
#[derive(Debug)]
pub struct Sockets;

impl Connector for Sockets {
    type Out = Socket;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Socket>, Error> {
        let (began, config) = (Instant::now(), details.config);
        let mut failed = Error::ConnectionFailed;
        for (nth, address) in details.addrs.iter().enumerate() {
            let stream = match details.timeout.not_zero() {
                // What is left is shared by the addresses that are left.
                Some(all) => {
                    let left = all.saturating_sub(began.elapsed()) / (details.addrs.len() - nth) as u32;
                    TcpStream::connect_timeout(address, left.max(Duration::from_millis(10)))
                }
                None => TcpStream::connect(address),
            };
            match stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => {
                    let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
                    return Ok(Some(Socket { stream, buffers, limit: None, near: false }));
                }
                Err(error) => failed = broken(error, details.timeout),
            }
        }
        Err(failed)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// What the kernel bounds reads and writes by.
    limit: Option<Duration>,
    /// The answer that comes next is a read's.
    near: bool,
}

impl Socket {
    /// Bounds reads and writes: in whole seconds, so that the limits of two calls are the same.
    fn limit(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        if timeout.after.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        let limit = timeout.not_zero().map(|left| Duration::from_secs(left.as_secs() + 1));
        if limit != self.limit {
            self.stream.set_read_timeout(limit)?;
            self.stream.set_write_timeout(limit)?;
            self.limit = limit;
        }
        Ok(())
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.limit(timeout)?;
        let output = &self.buffers.output()[..amount];
        self.near = output.starts_with(b"GET ");
        self.stream.write_all(output).map_err(|error| broken(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.limit(timeout)?;
        let near = std::mem::take(&mut self.near);
        let input = self.buffers.input_append_buf();
        let amount = match near.then(|| read_awake(&self.stream, input)).flatten() {
            Some(amount) => Ok(amount),
            None => read(&mut self.stream, input),
        };
        let amount = amount.map_err(|error| broken(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Nothing was asked, so nothing may be there: neither bytes nor an end.
        let nothing = recv(self.stream.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK);
        nothing == Err(Errno::EAGAIN)
    }
}

/// Reads what comes soon. Whatever else happens is for the next read to tell.
fn read_awake(stream: &TcpStream, input: &mut [u8]) -> Option<usize> {
    let until = Instant::now() + AWAKE;
    loop {
        match recv(stream.as_raw_fd(), input, MsgFlags::MSG_DONTWAIT) {
            Ok(amount) => return Some(amount),
            // The server may need this very processor.
            Err(Errno::EAGAIN) if Instant::now() < until => std::thread::yield_now(),
            Err(_) => return None,
        }
    }
}

fn read(stream: &mut TcpStream, input: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(input) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn broken(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        // The first is how the kernel says that a read or a write took too long.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use ureq::unversioned::resolver::DefaultResolver;
    use ureq::{Agent, Timeout};

    fn agent(limit: Duration) -> Agent {
        Agent::with_parts(
            Agent::config_builder().timeout_global(Some(limit)).build(),
            Sockets,
            DefaultResolver::default(),
        )
    }

    #[test]
    fn a_connection_that_was_closed_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (closed, is_closed) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            for _ in 0..3 {
                let (mut socket, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    socket.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                drop(socket);
                closed.send(()).unwrap();
            }
        });
        let agent = agent(Duration::from_secs(30));
        for _ in 0..3 {
            assert_eq!(agent.get(&url).call().unwrap().body_mut().read_to_string().unwrap(), "ok");
            is_closed.recv().unwrap();
        }
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let failed = agent(Duration::from_millis(100)).get(&url).call();
        assert!(matches!(failed, Err(Error::Timeout(Timeout::Global))), "{failed:?}");
    }

    #[test]
    fn nobody_there_is_told_as_that() {
        let failed = agent(Duration::from_secs(30)).get("http://127.0.0.1:1/").call();
        assert!(matches!(&failed, Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused), "{failed:?}");
    }
}
