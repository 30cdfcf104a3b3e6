//! Bytes that wait for somebody to take them.

use std::io::{self, ErrorKind, Write};

/// More than this is not put into an [`Outbox`] by whoever can wait.
pub const ROOM: usize = 256 << 10;

/// A queue of bytes.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    at: usize,
}

impl Outbox {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody may put more.
    pub fn has_room(&self) -> bool {
        self.len() < ROOM
    }

    /// What waits.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Puts bytes at the end.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.at > ROOM {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops bytes from the beginning.
    pub fn take(&mut self, count: usize) {
        self.at += count;
        if self.is_empty() {
            // Most of the time nothing waits, and memory is given back.
            *self = Outbox::default();
        }
    }

    /// Writes as much as is taken without waiting. Says whether anything was.
    pub fn write_to(&mut self, to: &mut impl Write) -> io::Result<bool> {
        let before = self.len();
        while !self.is_empty() {
            match to.write(self.waiting()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.take(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.len() < before)
    }
}
