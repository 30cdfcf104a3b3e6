//! What a node and a pod-init say to each other: JSON messages, each after its length as four bytes,
//! little end first, over a Unix stream socket.
//!
//! [`Request::Exec`], [`Request::Attach`] and [`Request::Socket`] are asked on connections of their own. What is said
//! there afterwards concerns that request only, and descriptors come along.

use crate::cgroup::Place;
use crate::enter;
use crate::images::Image;
use miniku_core::kubelet::runtime::{ContainerReport, ContainerSpec, PodRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What the pod-init must know to begin; the first message, on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Whose sandbox it becomes.
    pub pod: PodRef,
    /// The host name inside.
    pub hostname: String,
    /// The pod's directory. The pod-init also has it open, and locked, as its standard output.
    pub dir: PathBuf,
    /// Where the pod-init itself belongs.
    pub place: Place,
}

/// What a node asks of a pod-init.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Tell [`Event::State`].
    Tell,
    /// Start a container, after those asked for before.
    Start(Box<Start>),
    /// Note down, and tell, what became of a container that did not come so far as to be started.
    Record(ContainerReport),
    /// Send a signal to the first process of a container, if that is still this attempt.
    Signal {
        /// Its name.
        container: String,
        /// Which start of it.
        attempt: u32,
        /// The signal's number.
        signal: i32,
    },
    /// Run a further process in a container. Answered by [`Event::Given`] and [`Event::Ended`], or by a refusal.
    Exec(Exec),
    /// Hand out the streams of a container's main process. Answered like [`Request::Exec`].
    Attach(Attach),
    /// After an [`Request::Attach`]: nothing more will be written to the input.
    InputEnds,
    /// Make a TCP socket in the pod's network namespace. Answered by [`Event::Given`].
    Socket {
        /// For addresses of version 6 instead of 4.
        v6: bool,
    },
}

/// A further process of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// The container's name.
    pub container: String,
    /// The start of it that must be running.
    pub attempt: u32,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What to hand out.
    pub wanted: Wanted,
}

/// The main process of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attach {
    /// The container's name.
    pub container: String,
    /// The start of it that must be running.
    pub attempt: u32,
    /// What to hand out, as far as the container has it.
    pub wanted: Wanted,
}

/// Which streams of a process are wanted. The others lead to `/dev/null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// What it reads.
    pub stdin: bool,
    /// What it writes.
    pub stdout: bool,
    /// What it complains.
    pub stderr: bool,
    /// A terminal in place of all three.
    pub tty: bool,
}

/// What a descriptor is that comes with an [`Event::Given`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// To write what the process reads.
    Stdin,
    /// To read what it writes.
    Stdout,
    /// To read what it complains.
    Stderr,
    /// The terminal's other side.
    Terminal,
    /// A socket, not connected.
    Socket,
}

/// One container, with all that is known of this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// What to start.
    pub spec: ContainerSpec,
    /// `miniku://…`.
    pub id: String,
    /// Unpacked.
    pub image: Image,
    /// Its cgroups, already made.
    pub place: Place,
}

/// What a pod-init tells every node that is connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The whole state; the answer to [`Request::Tell`], and told once when the sandbox is ready.
    State {
        /// The pod-init's number on the host.
        pid: u32,
        /// When that process began, field 22 of its stat file: with the number, an identity.
        start_time: u64,
        /// All containers, in the order of their first start.
        containers: Vec<ContainerReport>,
    },
    /// A container is now in this state.
    Container(ContainerReport),
    /// What was asked for. One descriptor comes along for each word, in this order.
    Given(Vec<Which>),
    /// The container does not run as this attempt.
    NotRunning {
        /// What it does instead.
        message: String,
    },
    /// The program could not be executed in the container.
    NotExecuted {
        /// Operation, object, error.
        message: String,
    },
    /// The process has ended, and all that it wrote can be read.
    Ended {
        /// The exit status, or 128 plus the signal's number.
        code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// The sandbox could not be made; the process ends.
    Failed {
        /// Operation, object, error.
        message: String,
    },
}

/// Nothing that is said is larger; a specification may hold a megabyte of environment.
const MESSAGE_MAX: usize = 16 << 20;

/// A message as it is sent.
pub fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    if length > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {length} bytes")));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Bytes that have arrived, on their way to being messages.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Reads what there is. `Ok(false)` at the end of the stream. From a socket that does not block, the
    /// error `WouldBlock` passes through.
    pub fn read(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let mut some = [0; 4096];
        let count = from.read(&mut some)?;
        self.bytes.extend_from_slice(&some[..count]);
        Ok(count > 0)
    }

    /// The same from a socket on which descriptors come along; they are added to those that have come.
    pub fn receive(&mut self, from: BorrowedFd, descriptors: &mut Vec<OwnedFd>) -> io::Result<bool> {
        let mut some = [0; 4096];
        let (count, received) = enter::receive(from, &mut some)?;
        self.bytes.extend_from_slice(&some[..count]);
        descriptors.extend(received);
        Ok(count > 0)
    }

    /// The next complete message, if there is one.
    pub fn message<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MESSAGE_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(message)?;
        self.bytes.drain(..4 + length);
        if self.bytes.is_empty() {
            // A pod-init lives long, and its memory counts once for each pod.
            self.bytes = Vec::new();
        }
        Ok(Some(message))
    }

    /// Waits for one message; the end of the stream is an error.
    pub fn wait<T: DeserializeOwned>(&mut self, from: &mut impl Read) -> io::Result<T> {
        loop {
            if let Some(message) = self.message()? {
                return Ok(message);
            }
            if !self.read(from)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_cut() {
        let first = Request::Signal { container: "c".into(), attempt: 3, signal: 15 };
        let bytes = [frame(&first).unwrap(), frame(&Request::Tell).unwrap()].concat();
        for cut in 0..bytes.len() {
            let mut inbox = Inbox::default();
            let mut got = Vec::new();
            for mut half in [&bytes[..cut], &bytes[cut..]] {
                while inbox.read(&mut half).unwrap() {}
                while let Some(request) = inbox.message::<Request>().unwrap() {
                    got.push(request);
                }
            }
            assert_eq!(got, [first.clone(), Request::Tell], "cut at {cut}");
        }
    }

    #[test]
    fn a_length_out_of_bounds_is_refused() {
        let mut inbox = Inbox::default();
        inbox.read(&mut &[0xff_u8; 8][..]).unwrap();
        assert!(inbox.message::<Request>().is_err());
    }
}
