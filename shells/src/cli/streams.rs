//! What `exec`, `attach` and `port-forward` share: this terminal on one side, a WebSocket on the other.

use crate::cli::Session;
use crate::cli::cluster::{Parameters, name, text};
use crate::cli::error::CliError;
use crate::client::{paths, wire};
use crate::streams::channels::{self, Channels, Said};
use crate::streams::dial::{self, Refused};
use crate::streams::wait::Waiting;
use crate::streams::websocket::{Event, WebSocket};
use miniku_core::api::kinds::Kind;
use miniku_runtime::enter::window;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use serde_json::Value;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// What a user wants of a process.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Pass our input on.
    pub stdin: bool,
    /// With a terminal.
    pub tty: bool,
}

/// Whether a user types.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The container that is meant: the one named, or the first.
pub fn container(pod: &Value, named: Option<&str>) -> String {
    let names: Vec<String> = match pod["spec"]["containers"].as_array() {
        Some(containers) => containers.iter().map(|container| text(&container["name"])).collect(),
        None => Vec::new(),
    };
    match (named, names.as_slice()) {
        (Some(named), _) => named.to_owned(),
        (None, [first, _, ..]) => {
            eprintln!("Defaulted container {first:?} out of: {}", names.join(", "));
            first.clone()
        }
        (None, names) => names.first().cloned().unwrap_or_default(),
    }
}

/// Refuses a pod that has ended, in kubectl's words: it has no process left to `act` on.
pub fn not_completed(pod: &Value, act: &str) -> Result<(), CliError> {
    match &pod["status"]["phase"] {
        Value::String(phase) if matches!(phase.as_str(), "Succeeded" | "Failed") => Err(CliError::Plain(format!(
            "error: cannot {act} a container in a completed pod; current phase is {phase}"
        ))),
        _ => Ok(()),
    }
}

/// What to ask for: a subresource of a pod, and which streams.
pub fn target(
    session: &Session,
    pod: &Value,
    part: &str,
    named: Option<&str>,
    wish: &Wish,
    mut parameters: Parameters,
) -> String {
    parameters.push(("container", container(pod, named)));
    let streams = [("stdin", wish.stdin), ("stdout", true), ("stderr", !wish.tty), ("tty", wish.tty)];
    parameters.extend(streams.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name, "true".to_owned())));
    let path = paths::object(&session.cluster.key(Kind::Pod, name(pod)), Some(part));
    paths::with_query(&path, parameters)
}

/// Asks the server for a WebSocket.
pub fn dial(session: &Session, target: &str, protocols: &[&str]) -> Result<(TcpStream, WebSocket, String), CliError> {
    let (server, who) = (session.cluster.server(), session.cluster.credentials());
    dial::dial(server, who, target, protocols).map_err(|refused| match refused {
        Refused::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            CliError::NobodyThere(server.authority().to_owned())
        }
        Refused::Io(error) => CliError::Lost(error.to_string()),
        Refused::Answer(code, body) => wire::refusal(code, &body).map_or_else(CliError::Lost, CliError::server),
    })
}

/// Carries the streams of a process until it has ended. Its exit code.
pub fn run(session: &mut Session, target: &str, wish: &Wish) -> Result<i32, CliError> {
    run_between(session, target, wish, io::stdin().as_fd(), &mut io::stdout())
}

/// The same, with its input from here and its output there.
pub fn run_between(
    session: &mut Session,
    target: &str,
    wish: &Wish,
    input: BorrowedFd,
    output: &mut dyn Write,
) -> Result<i32, CliError> {
    session.out.flush()?;
    // Blocked before anything runs that could take it.
    let resized = wish.tty.then(|| watch_size().map_err(|errno| CliError::Lost(errno.to_string()))).transpose()?;
    let (stream, socket, protocol) = dial(session, target, channels::PROTOCOLS)?;
    let raw = if wish.tty { Raw::enter() } else { None };
    let carried = carry(stream, socket, &protocol, wish, resized.as_ref(), input, output);
    drop(raw);
    match carried {
        Ok(status) => channels::outcome(&status).map_err(|what| CliError::Plain(format!("error: {what}"))),
        Err(Broken::Output(error)) => Err(error.into()),
        Err(Broken::Connection(error)) => Err(CliError::Plain(format!("error: the connection broke: {error}"))),
    }
}

/// What broke off.
enum Broken {
    Connection(io::Error),
    Output(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Connection(error)
    }
}

/// Whom we wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Input,
    Window,
}

fn carry(
    mut stream: TcpStream,
    mut socket: WebSocket,
    protocol: &str,
    wish: &Wish,
    resized: Option<&SignalFd>,
    input: BorrowedFd,
    output: &mut dyn Write,
) -> Result<Vec<u8>, Broken> {
    stream.set_nonblocking(true)?;
    let mut channels = Channels::default();
    let mut some = vec![0; 32 << 10];
    let mut reads = wish.stdin;
    if wish.tty {
        send_size(&mut socket);
    }
    loop {
        while let Some(event) =
            socket.next().map_err(|violation| io::Error::new(ErrorKind::InvalidData, violation.to_string()))?
        {
            if matches!(event, Event::Close(_)) {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server says no more").into());
            }
            match channels.take(event) {
                Some(Said::Bytes(channels::STDERR, bytes)) => put(io::stderr().lock(), &bytes)?,
                Some(Said::Bytes(channels::STDOUT, bytes)) => put(&mut *output, &bytes)?,
                Some(Said::Message(channels::STATUS, status)) => {
                    socket.close(1000);
                    // The server has said all; whether it hears ours makes no difference.
                    let _ = socket.out.write_to(&mut stream);
                    return Ok(status);
                }
                _ => {}
            }
        }
        socket.out.write_to(&mut stream)?;
        let mut waiting = Waiting::new();
        waiting.on(Side::Server, stream.as_fd(), true, !socket.out.is_empty());
        waiting.on(Side::Input, input, reads && socket.out.has_room(), false);
        if let Some(resized) = resized {
            waiting.on(Side::Window, resized.as_fd(), true, false);
        }
        for side in waiting.wait(None)? {
            match side {
                Side::Server => match stream.read(&mut some) {
                    Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                    Ok(count) => socket.feed(&some[..count]),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(error) => return Err(error.into()),
                },
                // Without a buffer between: what one holds, poll does not see.
                Side::Input => match nix::unistd::read(input, &mut some) {
                    Ok(count) if count > 0 => socket.send(&[&[channels::STDIN], &some[..count]]),
                    Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
                    Ok(_) | Err(_) => {
                        reads = false;
                        // Version 4 cannot say it.
                        if protocol == channels::PROTOCOLS[0] {
                            socket.send(&[&[channels::END, channels::STDIN]]);
                        }
                    }
                },
                Side::Window => {
                    // Several changes are one.
                    while let Some(Ok(Some(_))) = resized.map(SignalFd::read_signal) {}
                    send_size(&mut socket);
                }
            }
        }
    }
}

fn put(mut to: impl Write, bytes: &[u8]) -> Result<(), Broken> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(Broken::Output)
}

fn send_size(socket: &mut WebSocket) {
    if let Ok((columns, rows)) = window(io::stdin().as_fd()) {
        socket.send(&[&[channels::RESIZE], &channels::size_message(columns, rows)]);
    }
}

/// Readable when the size of the window changes.
fn watch_size() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGWINCH);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// The terminal passes every key on as it is, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Raw> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no setting.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
