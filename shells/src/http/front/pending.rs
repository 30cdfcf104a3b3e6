//! Bytes that wait for a slow side, and the reads and writes that do not wait for it.

use std::io::{self, ErrorKind, Read, Write};

use super::BUFFER;

/// Bytes that wait, from `at` on.
#[derive(Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    at: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn take(&mut self, count: usize) {
        self.at += count;
        if self.is_empty() {
            // Memory is given back: most connections have nothing waiting.
            *self = Self::default();
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        // What is gone goes, too, where there is always something that waits.
        if self.at > BUFFER && self.at > self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The same without copying, where nothing waits.
    pub(super) fn put_whole(&mut self, bytes: Vec<u8>) {
        match self.is_empty() {
            true => *self = Self { bytes, at: 0 },
            false => self.put(&bytes),
        }
    }
}

/// One read. `None` if nothing is there now. A short read has emptied the socket (epoll(7), question 9), except
/// that an end of stream, once announced, is announced no more.
pub(super) fn read_some(
    from: &mut impl Read,
    buffer: &mut [u8],
    ready: &mut bool,
    fin: bool,
) -> io::Result<Option<usize>> {
    loop {
        match from.read(buffer) {
            Ok(count) => {
                *ready = count == buffer.len() || (fin && count > 0);
                return Ok(Some(count));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *ready = false;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
}

/// One write. 0 if there is no room now.
pub(super) fn write_some(to: &mut impl Write, bytes: &[u8], ready: &mut bool) -> io::Result<usize> {
    loop {
        match to.write(bytes) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *ready = false;
                return Ok(0);
            }
            Err(error) => return Err(error),
        }
    }
}
