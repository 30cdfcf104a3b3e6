//! One end of a TCP connection that is carried through another one.

use crate::streams::outbox::Outbox;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};

/// A connection, with what waits to be written to it.
#[derive(Debug)]
pub struct Carried {
    /// The connection itself; does not block.
    pub stream: TcpStream,
    /// What the other end said.
    pub to: Outbox,
    /// The other end says nothing more after that.
    pub last: bool,
    shut: bool,
    /// This end has said its last.
    pub read_all: bool,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes.
    Some(usize),
    /// None for now.
    Nothing,
    /// None any more. Told once.
    End,
}

impl Carried {
    /// Begins to carry.
    pub fn new(stream: TcpStream) -> io::Result<Carried> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Carried { stream, to: Outbox::default(), last: false, shut: false, read_all: false })
    }

    /// Writes what is taken, and tells of an end. How many bytes were.
    pub fn write(&mut self) -> io::Result<usize> {
        let before = self.to.len();
        self.to.write_to(&mut self.stream)?;
        if self.last && self.to.is_empty() && !std::mem::replace(&mut self.shut, true) {
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(before - self.to.len())
    }

    /// Reads some.
    pub fn read(&mut self, some: &mut [u8]) -> io::Result<Taken> {
        while !self.read_all {
            match self.stream.read(some) {
                Ok(0) => {
                    self.read_all = true;
                    return Ok(Taken::End);
                }
                Ok(count) => return Ok(Taken::Some(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Taken::Nothing),
                Err(error) => return Err(error),
            }
        }
        Ok(Taken::Nothing)
    }

    /// Whether both ends have said their last, and heard it.
    pub fn is_done(&self) -> bool {
        self.read_all && self.shut
    }
}
