//! Exec, attach and port-forward on the node: WebSocket on one side, a process or the ports of a pod on the other.
//!
//! Each runs on one thread, which waits for all sides at once and takes from each only what the others have room for: a
//! client that does not read stops the process by a full pipe.

use crate::api::refuse;
use crate::http::{Asked, Upgrade};
use crate::streams::carried::{Carried, Taken};
use crate::streams::channels::{self, Channels, Said};
use crate::streams::outbox::Outbox;
use crate::streams::splice::{farewell, is_shut};
use crate::streams::tunnel::{self, Ends, Tunnel};
use crate::streams::wait::{IDLE_MAX, Waiting};
use crate::streams::websocket::{self, Event, Role, WebSocket};
use miniku_core::api::status::{Reason, Status};
use miniku_runtime::{End, Refusal, Runtime, Session, Wanted};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

/// Which start of which container.
pub struct Which<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's.
    pub uid: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// The number of the start.
    pub attempt: u32,
}

/// What a client wants of a process.
#[derive(Default)]
struct Asks {
    argv: Vec<String>,
    wanted: Wanted,
}

impl Asks {
    fn of(asked: Asked) -> Result<Asks, &'static str> {
        let mut asks = Asks::default();
        for (name, value) in asked.query_pairs() {
            let set = matches!(&*value, "1" | "t" | "T" | "true" | "TRUE" | "True");
            match &*name {
                "command" => asks.argv.push(value.into_owned()),
                "stdin" => asks.wanted.stdin = set,
                "stdout" => asks.wanted.stdout = set,
                "stderr" => asks.wanted.stderr = set,
                "tty" => asks.wanted.tty = set,
                _ => {}
            }
        }
        let wanted = &mut asks.wanted;
        // A terminal has one output.
        wanted.stderr &= !wanted.tty;
        match wanted.stdin || wanted.stdout || wanted.stderr {
            true => Ok(asks),
            false => Err("you must specify at least 1 of stdin, stdout, stderr"),
        }
    }
}

/// What there is to show to a client that is agreed with.
enum Begun {
    Session(Session),
    /// The container is there; the command is not, or the like.
    NotExecuted(String),
    /// The container does not run here.
    Absent(String),
}

/// Runs a command in a container of a node, if there is one that has the pod, for a client that asks for it.
pub fn exec(runtime: Option<&Runtime>, upgrade: Upgrade, which: &Which) {
    let begun = |asks: Asks| {
        if asks.argv.is_empty() {
            return Err(Status::failure(Reason::BadRequest, "you must specify at least 1 command for the container"));
        }
        let begun = runtime.map_or(Err(Refusal::NoSuchPod), |runtime| {
            runtime.exec(which.uid, which.container, which.attempt, asks.argv, asks.wanted)
        });
        // Source of the words, and of those of attach: Kubernetes, `pkg/kubelet/kubelet_pods.go`.
        sort(begun, || format!("container not found ({:?})", which.container))
    };
    begin(upgrade, begun, channels::exit_status);
}

/// Connects a client to the streams of a container's first process.
pub fn attach(runtime: Option<&Runtime>, upgrade: Upgrade, which: &Which) {
    let begun = |asks: Asks| {
        let begun = runtime.map_or(Err(Refusal::NoSuchPod), |runtime| {
            runtime.attach(which.uid, which.container, which.attempt, asks.wanted)
        });
        sort(begun, || format!("container {} not found in pod {}_{}", which.container, which.pod, which.namespace))
    };
    // How the container ended is told by the pod's status.
    begin(upgrade, begun, |_| channels::exit_status(0));
}

/// Sorts refusals by what the client has to be told.
fn sort(begun: Result<Session, Refusal>, absent: impl FnOnce() -> String) -> Result<Begun, Status> {
    match begun {
        Ok(session) => Ok(Begun::Session(session)),
        Err(Refusal::NotExecuted(message)) => {
            Ok(Begun::NotExecuted(format!("error executing command in container: {message}")))
        }
        Err(Refusal::NoSuchPod | Refusal::NotRunning(_)) => Ok(Begun::Absent(absent())),
        Err(refusal @ Refusal::Failed(_)) => Err(Status::failure(Reason::InternalError, refusal.to_string())),
    }
}

/// Agrees on a protocol, begins, and carries the streams; `status` is what is told at the end for an exit code.
fn begin(mut upgrade: Upgrade, begin: impl FnOnce(Asks) -> Result<Begun, Status>, status: fn(i32) -> Vec<u8>) {
    let wrong = |message: String| Status::failure(Reason::BadRequest, message);
    let greeted = websocket::greet(&upgrade.head, channels::PROTOCOLS).map_err(wrong).and_then(|greeted| {
        let asks = Asks::of(upgrade.asked()).map_err(|message| wrong(message.into()))?;
        begin(asks).map(|begun| (greeted, begun))
    });
    let ((answer, protocol), begun) = match greeted {
        Ok(greeted) => greeted,
        Err(status) => return refuse(upgrade, &status),
    };
    // Kubernetes' API server agrees to version 5 before it asks the kubelet, and says afterwards what that refused; of
    // version 4 it passes the refusal on.
    let begun = match begun {
        Begun::Absent(message) if protocol != channels::PROTOCOLS[0] => return refuse(upgrade, &wrong(message)),
        Begun::Absent(message) => Err(format!("unable to upgrade connection: {message}")),
        Begun::NotExecuted(message) => Err(message),
        Begun::Session(session) => Ok(session),
    };
    let early = std::mem::take(&mut upgrade.early);
    let mut socket = WebSocket::new(Role::Server, early);
    socket.out.put(&answer);
    let talk = Talk { stream: &mut upgrade.stream, socket };
    // An error means that the client has left.
    let _ = match begun {
        Ok(session) => talk.with(session, status),
        Err(message) => talk.end(&channels::failure(&message)),
    };
}

/// A client on a WebSocket.
struct Talk<'a> {
    stream: &'a mut TcpStream,
    socket: WebSocket,
}

/// Whom a [`Talk`] waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Stdin,
    Output,
    Process,
}

impl Talk<'_> {
    /// Carries the streams of a process until it has ended or the client has left; then lets go of it.
    fn with(mut self, mut session: Session, status: fn(i32) -> Vec<u8>) -> io::Result<()> {
        self.stream.set_nonblocking(true)?;
        let mut keys = Keys::default();
        let mut some = vec![0; 32 << 10];
        let mut end: Option<io::Result<End>> = None;
        let mut idle_until = Instant::now() + IDLE_MAX;
        // What came with the request is heard before anything else is waited for.
        if self.hear(&mut keys, &mut session)? {
            return Ok(());
        }
        loop {
            self.socket.out.write_to(self.stream)?;
            if end.is_none() {
                end = session.end().transpose();
            }
            let room = self.socket.out.has_room();
            let mut drained = true;
            for (channel, output) in [(channels::STDOUT, &mut session.stdout), (channels::STDERR, &mut session.stderr)]
            {
                match room.then(|| read(output, &mut some)) {
                    Some(0) => {}
                    Some(count) => {
                        self.socket.send(&[&[channel], &some[..count]]);
                        drained = false;
                    }
                    None => drained &= output.is_none(),
                }
            }
            match &end {
                // It was known to have ended before the last look: nothing more will come.
                Some(Ok(end)) if drained => return self.end(&status(end.code)),
                Some(Err(_)) if drained => return self.end(&channels::failure("the container's pod is gone")),
                // It has, and there may be more.
                Some(_) if room => continue,
                _ => {}
            }
            keys.write(&mut session);
            let mut waiting = Waiting::new();
            let hears = keys.waiting.has_room();
            waiting.on_or_left(Side::Client, self.stream.as_fd(), hears, !self.socket.out.is_empty());
            if let Some(stdin) = session.stdin.as_ref().filter(|_| !keys.waiting.is_empty()) {
                waiting.on(Side::Stdin, stdin.as_fd(), false, true);
            }
            for output in [&session.stdout, &session.stderr].into_iter().flatten().filter(|_| room) {
                waiting.on(Side::Output, output.as_fd(), true, false);
            }
            if end.is_none() {
                waiting.on(Side::Process, session.as_fd(), true, false);
            }
            let ready = waiting.wait(Some(idle_until))?;
            if !ready.is_empty() {
                idle_until = Instant::now() + IDLE_MAX;
            } else if Instant::now() >= idle_until {
                self.socket.close(1001);
                return farewell(self.stream, self.socket.out);
            }
            if ready.contains(&Side::Client) {
                let left = if hears { self.listen(&mut keys, &mut session, &mut some)? } else { is_shut(self.stream) };
                if left {
                    return Ok(());
                }
            }
        }
    }

    /// Reads from the client. Whether it has left.
    fn listen(&mut self, keys: &mut Keys, session: &mut Session, some: &mut [u8]) -> io::Result<bool> {
        match self.stream.read(some) {
            Ok(0) => return Ok(true),
            Ok(count) => self.socket.feed(&some[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.hear(keys, session)
    }

    /// Does what the client has said. Whether it says nothing more.
    fn hear(&mut self, keys: &mut Keys, session: &mut Session) -> io::Result<bool> {
        loop {
            let said = match self.socket.next() {
                Ok(None) => return Ok(false),
                Ok(Some(Event::Close(_))) => {
                    self.socket.out.write_to(self.stream)?;
                    return Ok(true);
                }
                Ok(Some(event)) => keys.channels.take(event),
                Err(violation) => {
                    log::debug!("a client of exec or attach: {violation}");
                    self.socket.close(violation.code());
                    self.socket.out.write_to(self.stream)?;
                    return Ok(true);
                }
            };
            match said {
                Some(Said::Bytes(channels::STDIN, bytes)) if session.stdin.is_some() => keys.waiting.put(&bytes),
                Some(Said::Message(channels::RESIZE, message)) => {
                    if let Some((columns, rows)) = channels::size(&message) {
                        session.resize(columns, rows);
                    }
                }
                Some(Said::Message(channels::END, channel)) => keys.ended |= channel == [channels::STDIN],
                _ => {}
            }
        }
    }

    /// Says how it ended, and goodbye.
    fn end(mut self, status: &[u8]) -> io::Result<()> {
        self.socket.send(&[&[channels::STATUS], status]);
        self.socket.close(1000);
        farewell(self.stream, self.socket.out)
    }
}

/// What the client says to the process.
#[derive(Default)]
struct Keys {
    channels: Channels,
    waiting: Outbox,
    /// Nothing comes after what waits.
    ended: bool,
}

impl Keys {
    fn write(&mut self, session: &mut Session) {
        let broken = match &mut session.stdin {
            Some(stdin) => self.waiting.write_to(stdin).is_err(),
            None => true,
        };
        if broken {
            // It reads no more; what is said to it goes nowhere.
            self.waiting = Outbox::default();
            session.end_input();
        } else if self.ended && self.waiting.is_empty() {
            session.end_input();
        }
    }
}

/// Reads some of an output, and forgets it at its end. 0 if nothing is there.
fn read(output: &mut Option<File>, some: &mut [u8]) -> usize {
    let Some(file) = output else { return 0 };
    loop {
        match file.read(some) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            // A terminal that nobody has open any more gives an error.
            Ok(0) | Err(_) => {
                *output = None;
                return 0;
            }
            Ok(count) => return count,
        }
    }
}

/// Forwards connections to the ports of a pod.
pub fn port_forward(runtime: &Runtime, mut upgrade: Upgrade, uid: &str) {
    let greeted = websocket::greet(&upgrade.head, &[tunnel::PROTOCOL, PORTS_PROTOCOL]);
    let begun = greeted.and_then(|(answer, chosen)| match chosen {
        tunnel::PROTOCOL => Ok((answer, None)),
        _ => Ok((answer, Some(ports(upgrade.asked())?))),
    });
    let (answer, ports) = match begun {
        Ok(begun) => begun,
        Err(message) => return refuse(upgrade, &Status::failure(Reason::BadRequest, message)),
    };
    let mut socket = WebSocket::new(Role::Server, std::mem::take(&mut upgrade.early));
    socket.out.put(&answer);
    let mut pod = Pod { runtime, uid };
    // An error means that the client has left.
    let _ = match ports {
        None => Tunnel::new(socket, false, &mut pod).run(&mut upgrade.stream),
        Some(ports) => Forwarded::new(socket, &mut pod, &ports).run(&mut upgrade.stream),
    };
}

/// Where forwarded connections go to.
struct Pod<'a> {
    runtime: &'a Runtime,
    uid: &'a str,
}

impl Ends for Pod<'_> {
    fn connect(&mut self, port: u16) -> Result<TcpStream, String> {
        let connected = self.runtime.connect(self.uid, port);
        connected.map_err(|refusal| format!("error forwarding port {port} to pod {}: {refusal}", self.uid))
    }

    fn listeners(&self) -> &[(TcpListener, u16)] {
        &[]
    }

    fn failed(&mut self, _port: u16, _why: &str) {}
}

/// The other way to forward ports, one connection for each, which are named beforehand.
///
/// Channel 2n carries the nth port, on channel 2n+1 errors are told; the first message on each is the port, little end
/// first. Source: Kubernetes, `pkg/kubelet/portforward/websocket.go`.
const PORTS_PROTOCOL: &str = "v4.channel.k8s.io";

/// Channels are numbered by one byte.
const PORTS_MAX: usize = 64;

/// `ports=80,81` or `ports=80&ports=81`.
fn ports(asked: Asked) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for (_, value) in asked.query_pairs().filter(|(name, _)| name == "ports") {
        for port in value.split(',') {
            match port.trim().parse::<u16>() {
                Ok(port) if port > 0 => ports.push(port),
                _ => return Err(format!("query parameter \"ports\" has {port:?}, which is no port")),
            }
        }
    }
    match ports.len() {
        0 => Err("query parameter \"ports\" is required".into()),
        1..=PORTS_MAX => Ok(ports),
        count => {
            Err(format!("query parameter \"ports\" has {count} ports, but no more than {PORTS_MAX} can be forwarded"))
        }
    }
}

/// Ports on the channels of a WebSocket.
struct Forwarded {
    socket: WebSocket,
    /// One a port; none once it has ended.
    ports: Vec<Option<Carried>>,
    channel: Option<u8>,
}

impl Forwarded {
    fn new(mut socket: WebSocket, pod: &mut Pod, ports: &[u16]) -> Forwarded {
        let mut connect = |(nth, port): (usize, &u16)| {
            let (data, error) = (2 * nth as u8, 2 * nth as u8 + 1);
            socket.send(&[&[data], &port.to_le_bytes()]);
            socket.send(&[&[error], &port.to_le_bytes()]);
            let connected = pod.connect(*port).and_then(|to| Carried::new(to).map_err(|error| error.to_string()));
            connected.inspect_err(|why| socket.send(&[&[error], why.as_bytes()])).ok()
        };
        let ports = ports.iter().enumerate().map(&mut connect).collect();
        Forwarded { socket, ports, channel: None }
    }

    fn run(mut self, client: &mut TcpStream) -> io::Result<()> {
        client.set_nonblocking(true)?;
        let mut some = vec![0; 32 << 10];
        let mut idle_until = Instant::now() + IDLE_MAX;
        let mut left = self.hear();
        while !left && self.ports.iter().any(Option::is_some) {
            self.socket.out.write_to(client)?;
            let hears = self.ports.iter().flatten().all(|port| port.to.has_room());
            let room = self.socket.out.has_room();
            let mut waiting = Waiting::new();
            waiting.on_or_left(None, client.as_fd(), hears, !self.socket.out.is_empty());
            for (nth, port) in self.ports.iter().enumerate() {
                if let Some(port) = port {
                    waiting.on(Some(nth), port.stream.as_fd(), room && !port.read_all, !port.to.is_empty());
                }
            }
            let ready = waiting.wait(Some(idle_until))?;
            if !ready.is_empty() {
                idle_until = Instant::now() + IDLE_MAX;
            } else if Instant::now() >= idle_until {
                break;
            }
            for side in ready {
                match side {
                    Some(nth) => self.carry(nth, &mut some),
                    None if !hears && is_shut(client) => return Ok(()),
                    None if !hears => {}
                    None => match client.read(&mut some) {
                        Ok(0) => return Ok(()),
                        Ok(count) => {
                            self.socket.feed(&some[..count]);
                            left = self.hear();
                        }
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                        Err(error) => return Err(error),
                    },
                }
            }
        }
        self.socket.close(1000);
        farewell(client, self.socket.out)
    }

    /// Moves what can be moved of one connection, both ways. This protocol cannot say that only one of them has ended.
    fn carry(&mut self, nth: usize, some: &mut [u8]) {
        let Some(port) = &mut self.ports[nth] else { return };
        let room = self.socket.out.has_room();
        let taken = port.write().and_then(|_| if room { port.read(some) } else { Ok(Taken::Nothing) });
        match taken {
            Ok(Taken::Some(count)) => self.socket.send(&[&[2 * nth as u8], &some[..count]]),
            Ok(Taken::Nothing) => {}
            Ok(Taken::End) | Err(_) => self.ports[nth] = None,
        }
    }

    /// Does what the client says. Whether it says nothing more, or nothing that makes sense.
    fn hear(&mut self) -> bool {
        loop {
            match self.socket.next() {
                Ok(None) => return false,
                Ok(Some(Event::Close(_))) => return true,
                Ok(Some(Event::Piece { first, mut bytes, .. })) => {
                    if first {
                        self.channel = None;
                    }
                    if self.channel.is_none() && !bytes.is_empty() {
                        self.channel = Some(bytes.remove(0));
                    }
                    let Some(channel) = self.channel.filter(|channel| channel % 2 == 0) else { continue };
                    let nth = usize::from(channel / 2);
                    if let Some(Some(port)) = self.ports.get_mut(nth) {
                        port.to.put(&bytes);
                        if port.write().is_err() {
                            self.ports[nth] = None;
                        }
                    }
                }
                Err(violation) => {
                    log::debug!("a client of port-forward: {violation}");
                    self.socket.close(violation.code());
                    return true;
                }
            }
        }
    }
}
