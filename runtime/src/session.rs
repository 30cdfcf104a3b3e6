//! What a node does inside of running containers: further processes, the streams of first ones, connections.
//!
//! Each is asked on a connection of its own to the pod-init, which hands out descriptors. So nothing that flows
//! through them passes through the pod-init but what a first process writes, which also goes to the log; and when the
//! one who asked is gone, the kernel closes what was handed out, whatever has become of the node.

use crate::enter::{self, Failure, failed_io};
use crate::wire::{self, Event, Inbox, Request, Wanted, Which};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrLike, connect};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Why there is no session.
#[derive(Debug)]
pub enum Refusal {
    /// This node has no such pod.
    NoSuchPod,
    /// The container does not run, or not as this attempt any more.
    NotRunning(String),
    /// The program could not be executed.
    NotExecuted(String),
    /// The pod-init could not be asked.
    Failed(Failure),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoSuchPod => f.write_str("there is no such pod on this node"),
            Refusal::NotRunning(message) | Refusal::NotExecuted(message) => f.write_str(message),
            Refusal::Failed(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The exit status, or 128 plus the signal's number.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// The streams of a process, none of which waits, and the news of its end.
///
/// Dropping it lets go of the process: it finds its input at an end, its outputs broken, its terminal hung up.
#[derive(Debug)]
pub struct Session {
    /// What it reads.
    pub stdin: Option<File>,
    /// What it writes; with a terminal, all that it shows.
    pub stdout: Option<File>,
    /// What it complains.
    pub stderr: Option<File>,
    terminal: Option<OwnedFd>,
    line: Line,
}

/// A pod-init that does not answer within this time does not live.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// On loopback a connection is made or refused at once, unless whoever listens takes none.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// A connection of one's own to a pod-init.
#[derive(Debug)]
struct Line {
    stream: UnixStream,
    inbox: Inbox,
    descriptors: Vec<OwnedFd>,
}

impl Line {
    fn ask(&mut self, request: &Request) -> Result<Event, Refusal> {
        let wrong = |what: &str| {
            let operation = what.to_owned();
            move |error| Refusal::Failed(failed_io(operation)(error))
        };
        let frame = wire::frame(request).map_err(wrong("write a request to the pod-init"))?;
        self.stream.write_all(&frame).map_err(wrong("ask the pod-init"))?;
        loop {
            match self.inbox.message().map_err(wrong("understand the pod-init"))? {
                // What is told to everybody may have come before the request was read.
                Some(Event::State { .. } | Event::Container(_) | Event::Failed { .. }) => {}
                Some(answer) => return Ok(answer),
                None if self.hear().map_err(wrong("hear the pod-init"))? => {}
                None => return Err(wrong("hear the pod-init")(ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    fn hear(&mut self) -> io::Result<bool> {
        loop {
            match self.inbox.receive(self.stream.as_fd(), &mut self.descriptors) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

fn unexpected(answer: Event) -> Refusal {
    match answer {
        Event::NotRunning { message } => Refusal::NotRunning(message),
        Event::NotExecuted { message } => Refusal::NotExecuted(message),
        _ => {
            let operation = "hear the pod-init: not what was expected".to_owned();
            Refusal::Failed(Failure { operation, errno: Errno::EPROTO })
        }
    }
}

impl Session {
    /// Asks for a process on a new connection, and waits for its streams. Blocks while a program starts.
    pub(crate) fn begin(stream: UnixStream, request: &Request, wanted: Wanted) -> Result<Session, Refusal> {
        let limited =
            stream.set_read_timeout(Some(ANSWER_MAX)).and_then(|()| stream.set_write_timeout(Some(ANSWER_MAX)));
        limited.map_err(|error| Refusal::Failed(failed_io("limit the socket")(error)))?;
        let mut line = Line { stream, inbox: Inbox::default(), descriptors: Vec::new() };
        let words = match line.ask(request)? {
            Event::Given(words) => words,
            other => return Err(unexpected(other)),
        };
        let nonblocking = line.stream.set_nonblocking(true);
        nonblocking.map_err(|error| Refusal::Failed(failed_io("make a socket non-blocking")(error)))?;
        let descriptors = std::mem::take(&mut line.descriptors);
        let mut session = Session { stdin: None, stdout: None, stderr: None, terminal: None, line };
        for (word, descriptor) in words.into_iter().zip(descriptors) {
            match word {
                Which::Stdin => session.stdin = Some(descriptor.into()),
                Which::Stdout => session.stdout = Some(descriptor.into()),
                Which::Stderr => session.stderr = Some(descriptor.into()),
                Which::Terminal => session.terminal = Some(descriptor),
                Which::Socket => {}
            }
        }
        if let (Some(terminal), Request::Exec(_)) = (&session.terminal, request) {
            let duplicate = || terminal.try_clone().map(File::from);
            let duplicate = || duplicate().map_err(|error| Refusal::Failed(failed_io("duplicate a terminal")(error)));
            session.stdin = wanted.stdin.then(duplicate).transpose()?;
            session.stdout = Some(duplicate()?);
        }
        Ok(session)
    }

    /// How the process ended, if it has. What it wrote before can be read then. An error means that nobody will ever
    /// know.
    pub fn end(&mut self) -> io::Result<Option<End>> {
        loop {
            match self.line.inbox.message()? {
                Some(Event::Ended { code, signal }) => return Ok(Some(End { code, signal })),
                Some(_) => {}
                None => match self.line.hear() {
                    Ok(true) => {}
                    Ok(false) => return Err(ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Whether the process has a terminal.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Tells the terminal how large its window is; nothing without one.
    pub fn resize(&self, columns: u16, rows: u16) {
        if let Some(terminal) = &self.terminal {
            // One that was hung up needs no size.
            let _ = enter::set_window(terminal.as_fd(), columns, rows);
        }
    }

    /// Nothing more will be written to the input.
    pub fn end_input(&mut self) {
        if self.stdin.take().is_some()
            && let Ok(frame) = wire::frame(&Request::InputEnds)
        {
            // A pod-init that is gone has ended the input.
            let _ = self.line.stream.write_all(&frame);
        }
    }
}

/// Readable when [`Session::end`] may know something.
impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.stream.as_fd()
    }
}

/// Connects to a port on the loopback of the pod that is at the other end of a new connection, version 4 first.
pub(crate) fn dial(stream: UnixStream, port: u16) -> Result<TcpStream, Refusal> {
    let limited = stream.set_read_timeout(Some(ANSWER_MAX)).and_then(|()| stream.set_write_timeout(Some(ANSWER_MAX)));
    limited.map_err(|error| Refusal::Failed(failed_io("limit the socket")(error)))?;
    let mut line = Line { stream, inbox: Inbox::default(), descriptors: Vec::new() };
    let mut to = |v6, address: &dyn SockaddrLike| {
        match line.ask(&Request::Socket { v6 })? {
            Event::Given(_) => {}
            other => return Err(unexpected(other)),
        }
        let socket = line.descriptors.pop().ok_or_else(|| unexpected(Event::Given(Vec::new())))?;
        connected(socket, address).map_err(|errno| {
            let operation = format!("connect to port {port} of the pod");
            Refusal::Failed(Failure { operation, errno })
        })
    };
    let v4 = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    let v6 = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0));
    match to(false, &v4) {
        // Perhaps it listens there only.
        Err(refused) => to(true, &v6).map_err(|_| refused),
        connected => connected,
    }
}

fn connected(socket: OwnedFd, address: &dyn SockaddrLike) -> nix::Result<TcpStream> {
    match connect(socket.as_raw_fd(), address) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(errno) => return Err(errno),
    }
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let patience = PollTimeout::try_from(CONNECT_MAX).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut fds, patience) {
            Ok(0) => return Err(Errno::ETIMEDOUT),
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let stream = TcpStream::from(socket);
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)),
    }
}
