//! The init process of a pod: the same binary, started again, one single-threaded process for each pod.
//!
//! Stage 0 is a child of the node's process. It goes to the pod's cgroup, makes the namespaces and with
//! them stage 1, and ends. Stage 1, adopted by the host's init, is process 1 of the pod: it holds the
//! namespaces, starts and reaps the containers, writes their output and their ends to disk, and answers
//! on its socket. It needs the node for nothing, so a node that is killed loses nothing; and if it is
//! killed itself, the kernel kills every process of the pod with it.
//!
//! What it is started with: a socket as standard input, whose first message is [`wire::Setup`]; the pod's
//! directory, open and locked, as standard output; a file for complaints as standard error.
//!
//! It has no cgroup namespace of its own: with version 2 mounted `nsdelegate`, as systemd does, a process
//! may not put another one into a cgroup outside of its namespace. The containers have theirs.
//!
//! Memory counts once for each pod: no thread, no logger, no buffer that outlives its use.

use crate::complain;
use crate::enter::{self, Failure, Forked, OneThread, enter, failed, failed_io, fork_into};
use crate::logs::{LogFile, Splitter, Stream};
use crate::plan::{Facts, plan};
use crate::records::{self, PodDir, State};
use crate::wire::{self, Event, Inbox, Request, Setup, Start};
use miniku_core::kubelet::runtime::{ContainerReport, ContainerState, StartError};
use miniku_core::time::Wall;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, sethostname, setsid};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// The whole program. Never returns; the process's status is not zero if the sandbox could not be made.
pub fn pod_init_main() -> ! {
    let (Some(socket), Some(directory)) = (enter::inherited(0), enter::inherited(1)) else {
        eprintln!("pod-init is started by a node, not by hand");
        std::process::exit(2);
    };
    let mut socket = UnixStream::from(socket);
    match stage_0(&mut socket, directory) {
        Ok(never) => match never {},
        Err(failure) => {
            complain(&failure);
            let message = Event::Failed { message: failure.to_string() };
            if let Ok(frame) = wire::frame(&message) {
                // Whoever would read it may be gone; it is in the log, too.
                let _ = socket.write_all(&frame);
            }
            std::process::exit(1);
        }
    }
}

fn stage_0(socket: &mut UnixStream, directory: OwnedFd) -> Result<std::convert::Infallible, Failure> {
    let too_many = || Failure { operation: "fork a process with threads".to_owned(), errno: Errno::EDEADLK };
    let one_thread = OneThread::check().ok_or_else(too_many)?;
    let mut inbox = Inbox::default();
    let setup: Setup = inbox.wait(socket).map_err(failed_io("read the setup"))?;
    setsid().map_err(failed("setsid"))?;
    nix::unistd::chdir("/").map_err(failed("chdir /"))?;
    // The pod's own processes are to be chosen first when its memory runs out. -998 as Kubernetes' pause
    // process; a kernel that forbids lowering leaves it as it is.
    let _ = fs::write("/proc/self/oom_score_adj", "-998");
    for tasks in &setup.place.tasks {
        fs::write(tasks, "0").map_err(failed_io(format!("join cgroup {}", tasks.display())))?;
    }
    let unified = open_unified(&setup.place)?;
    let namespaces = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNS;
    let forked = fork_into(one_thread, namespaces, unified.as_ref().map(|fd| fd.as_fd()));
    match forked.map_err(failed("clone the pod's namespaces"))? {
        Forked::Parent { .. } => enter::exit_now(0),
        Forked::Child => {
            drop(unified);
            let primary = socket.try_clone().map_err(failed_io("duplicate the socket"))?;
            let mut pod = PodInit::new(one_thread, setup, directory, primary, inbox)?;
            pod.run()
        }
    }
}

fn open_unified(place: &crate::cgroup::Place) -> Result<Option<File>, Failure> {
    let open =
        |path: &std::path::PathBuf| File::open(path).map_err(failed_io(format!("open cgroup {}", path.display())));
    place.unified.as_ref().map(open).transpose()
}

struct PodInit {
    one_thread: OneThread,
    setup: Setup,
    /// Never read: it is the lock on the pod's directory, as long as this process lives.
    _directory: OwnedFd,
    listener: UnixListener,
    connections: Vec<Connection>,
    state: State,
    processes: Vec<Process>,
    /// Containers start one after the other.
    queue: VecDeque<Start>,
}

struct Connection {
    stream: UnixStream,
    inbox: Inbox,
    open: bool,
}

/// The first process of a container, from its fork until it is reaped.
struct Process {
    container: String,
    attempt: u32,
    start: Start,
    pid: Pid,
    pidfd: OwnedFd,
    /// Where it says why it could not execute its program; `None` once it is known.
    errors: Option<File>,
    /// What it has said there so far.
    said: Vec<u8>,
    outputs: Vec<Output>,
    log: LogFile,
    oom_kills_before: u64,
}

struct Output {
    stream: Stream,
    pipe: File,
    splitter: Splitter,
}

/// What became readable.
#[derive(Clone, Copy)]
enum Ready {
    Listener,
    Connection(usize),
    Errors(usize),
    Output(usize, Stream),
    Exit(usize),
}

impl PodInit {
    /// Makes the sandbox around this process: its mounts, host name, network, socket and record.
    fn new(
        one_thread: OneThread,
        setup: Setup,
        directory: OwnedFd,
        primary: UnixStream,
        inbox: Inbox,
    ) -> Result<PodInit, Failure> {
        enter::take_root(one_thread)?;
        sethostname(&setup.hostname).map_err(failed(format!("set host name {:?}", setup.hostname)))?;
        enter::loopback_up()?;
        // Shared by the containers, as their IPC namespace is; seen from nowhere else.
        let shm = setup.dir.join("shm");
        let hard = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("shm"), &shm, Some("tmpfs"), hard, Some("mode=1777,size=64m"))
            .map_err(failed(format!("mount tmpfs at {}", shm.display())))?;

        // A Unix socket's path has at most 107 bytes; through the descriptor it is always short. The /proc here is
        // still the host's.
        let path = format!("/proc/self/fd/{}/socket", directory.as_raw_fd());
        let listener = UnixListener::bind(&path).map_err(failed_io("bind the pod's socket"))?;
        let nonblocking = listener.set_nonblocking(true).and_then(|()| primary.set_nonblocking(true));
        nonblocking.map_err(failed_io("make sockets non-blocking"))?;

        let pid = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
        let unknown = || Failure { operation: "read /proc/self".to_owned(), errno: Errno::ENOENT };
        let state = State {
            boot_id: records::boot_id()?,
            pid: pid.ok_or_else(unknown)?,
            start_time: records::start_time("self").ok_or_else(unknown)?,
            containers: Vec::new(),
        };
        let connections = vec![Connection { stream: primary, inbox, open: true }];
        let pod = PodInit {
            one_thread,
            setup,
            _directory: directory,
            listener,
            connections,
            state,
            processes: Vec::new(),
            queue: VecDeque::new(),
        };
        records::write(&pod.dir().state(), &pod.state, false)?;
        Ok(pod)
    }

    fn dir(&self) -> PodDir {
        PodDir(self.setup.dir.clone())
    }

    fn run(&mut self) -> ! {
        let ready = self.told();
        self.tell(&ready);
        // What came together with the setup is already here.
        self.hear(0, false);
        loop {
            while self.processes.iter().all(|process| process.errors.is_none())
                && let Some(start) = self.queue.pop_front()
            {
                self.start(start);
            }
            for ready in self.wait() {
                match ready {
                    Ready::Listener => self.accept(),
                    Ready::Connection(index) => self.hear(index, true),
                    Ready::Errors(index) => self.hear_start(index),
                    Ready::Output(index, stream) => {
                        self.processes[index].pump(stream);
                    }
                    // Last in order, and the only one that removes.
                    Ready::Exit(index) => self.reap(index),
                }
            }
            self.connections.retain(|connection| connection.open);
        }
    }

    fn wait(&self) -> Vec<Ready> {
        let mut sources = vec![(Ready::Listener, self.listener.as_fd())];
        for (index, connection) in self.connections.iter().enumerate() {
            sources.push((Ready::Connection(index), connection.stream.as_fd()));
        }
        for (index, process) in self.processes.iter().enumerate() {
            sources.extend(process.errors.as_ref().map(|errors| (Ready::Errors(index), errors.as_fd())));
            for output in &process.outputs {
                sources.push((Ready::Output(index, output.stream), output.pipe.as_fd()));
            }
        }
        // From the highest, so that removing one moves none that is still to be handled.
        for (index, process) in self.processes.iter().enumerate().rev() {
            sources.push((Ready::Exit(index), process.pidfd.as_fd()));
        }
        let mut fds: Vec<PollFd> = sources.iter().map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => complain(format_args!("poll: {errno}")),
        }
        let is_ready = |fd: &PollFd| fd.any().unwrap_or(true);
        sources.iter().zip(&fds).filter(|(_, fd)| is_ready(fd)).map(|((ready, _), _)| *ready).collect()
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.connections.push(Connection { stream, inbox: Inbox::default(), open: true });
            }
        }
    }

    /// Reads what a node says, and does it.
    fn hear(&mut self, index: usize, read: bool) {
        let connection = &mut self.connections[index];
        if read {
            match connection.inbox.read(&mut connection.stream) {
                Ok(true) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // The node is gone, and will be back.
                Ok(false) | Err(_) => connection.open = false,
            }
        }
        loop {
            match self.connections[index].inbox.message::<Request>() {
                Ok(Some(request)) => self.obey(index, request),
                Ok(None) => break,
                Err(error) => {
                    complain(format_args!("a message that cannot be read: {error}"));
                    self.connections[index].open = false;
                    break;
                }
            }
        }
    }

    fn obey(&mut self, index: usize, request: Request) {
        match request {
            Request::Tell => {
                let state = self.told();
                self.connections[index].tell(&state);
            }
            Request::Start(start) => self.queue.push_back(*start),
            Request::Record(report) => self.note(report, false),
            Request::Signal { container, attempt, signal } => self.signal(&container, attempt, signal),
        }
    }

    fn told(&self) -> Event {
        let State { pid, start_time, containers, .. } = self.state.clone();
        Event::State { pid, start_time, containers }
    }

    fn tell(&mut self, event: &Event) {
        for connection in &mut self.connections {
            connection.tell(event);
        }
    }

    /// Writes down what became of a container, then tells it.
    fn note(&mut self, report: ContainerReport, durable: bool) {
        match self.state.containers.iter_mut().find(|known| known.name == report.name) {
            Some(known) => *known = report.clone(),
            None => self.state.containers.push(report.clone()),
        }
        if let Err(failure) = records::write(&self.dir().state(), &self.state, durable) {
            // The node still hears it; and a later write may succeed.
            complain(failure);
        }
        self.tell(&Event::Container(report));
    }

    fn known(&self, container: &str) -> Option<&ContainerReport> {
        self.state.containers.iter().find(|known| known.name == container)
    }

    /// SIGTERM or SIGKILL to the container's process 1; with the latter the kernel kills the others of its pid
    /// namespace. If it is not running, that is told instead.
    fn signal(&mut self, container: &str, attempt: u32, signal: i32) {
        let process =
            self.processes.iter().find(|process| process.container == container && process.attempt == attempt);
        let sent = match (process, Signal::try_from(signal)) {
            (Some(process), Ok(signal)) => enter::pidfd_kill(process.pidfd.as_fd(), signal),
            _ => Err(Errno::ESRCH),
        };
        if sent.is_err() {
            // One that waits for its turn is not to be started any more.
            let waiting =
                self.queue.iter().position(|start| start.spec.name == container && start.spec.attempt == attempt);
            if let Some(start) = waiting.and_then(|waiting| self.queue.remove(waiting)) {
                let message = "stopped before it was started".to_owned();
                return self.note(not_started(&start, StartError::RunContainerError, message), false);
            }
            let absent = ContainerReport { name: container.to_owned(), attempt, state: ContainerState::Absent };
            let report = self.known(container).cloned().unwrap_or(absent);
            self.tell(&Event::Container(report));
        }
    }

    fn start(&mut self, start: Start) {
        let (name, attempt) = (start.spec.name.clone(), start.spec.attempt);
        // An attempt that came to nothing may be repeated; one that ran is not to run twice.
        let is_done = |known: &&ContainerReport| {
            let failed = matches!(known.state, ContainerState::NotStarted { .. });
            known.attempt > attempt || (known.attempt == attempt && !failed)
        };
        if let Some(known) = self.known(&name).filter(is_done) {
            let report = known.clone();
            return self.tell(&Event::Container(report));
        }
        if let Some(running) = self.processes.iter().find(|process| process.container == name) {
            let message = format!("attempt {} of the container is still running", running.attempt);
            // Not noted: what is known of the running one must not be lost.
            let report = not_started(&start, StartError::CreateContainerError, message);
            return self.tell(&Event::Container(report));
        }
        match self.fork(start.clone()) {
            Ok(process) => self.processes.push(process),
            Err(failure) => {
                self.note(not_started(&start, StartError::CreateContainerError, failure.to_string()), false);
            }
        }
    }

    fn fork(&self, start: Start) -> Result<Process, Failure> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(failed("make a pipe"));
        let (out_read, out_write) = pipe()?;
        let (err_read, err_write) = pipe()?;
        let (errors_read, errors_write) = pipe()?;
        for end in [&out_read, &err_read, &errors_read] {
            nix::fcntl::fcntl(end, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(failed("make a pipe non-blocking"))?;
        }
        let log = LogFile::open(&self.dir().log(&start.spec.name, start.spec.attempt))?;
        let unified = open_unified(&start.place)?;
        let oom_kills_before = start.place.oom_kills();
        let namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
        match fork_into(self.one_thread, namespaces, unified.as_ref().map(|fd| fd.as_fd()))
            .map_err(failed("clone the container"))?
        {
            Forked::Child => {
                let mut errors = File::from(errors_write);
                self.become_container(&start, out_write, err_write, &mut errors);
                enter::exit_now(127)
            }
            Forked::Parent { pid, pidfd } => Ok(Process {
                container: start.spec.name.clone(),
                attempt: start.spec.attempt,
                start,
                pid,
                pidfd,
                errors: Some(errors_read.into()),
                said: Vec::new(),
                outputs: [(Stream::Stdout, out_read), (Stream::Stderr, err_read)]
                    .map(|(stream, pipe)| Output { stream, pipe: pipe.into(), splitter: Splitter::new(stream) })
                    .into(),
                log,
                oom_kills_before,
            }),
        }
    }

    /// In the child. Returns only if the program was not executed, and then the reason is in the pipe: see
    /// [`Outcome::parse`].
    fn become_container(&self, start: &Start, out: OwnedFd, err: OwnedFd, errors: &mut File) {
        let facts = Facts {
            image: &start.image,
            pod_dir: &self.setup.dir,
            attempt_dir: &self.dir().attempt(&start.spec.name, start.spec.attempt),
            hostname: &self.setup.hostname,
            tasks: &start.place.tasks,
        };
        let standard = || {
            let null = File::open("/dev/null").map_err(failed_io("open /dev/null"))?;
            dup2_stdin(null)
                .and_then(|()| dup2_stdout(out))
                .and_then(|()| dup2_stderr(err))
                .map_err(failed("replace standard descriptors"))?;
            setsid().map_err(failed("setsid"))
        };
        let message = match (standard(), plan(&start.spec, &facts)) {
            (Err(failure), _) => failure.to_string(),
            (_, Err(unplannable)) => unplannable.to_string(),
            (Ok(_), Ok(ops)) => {
                let mut before_exec = || drop(errors.write_all(EXECUTING));
                match enter(&ops, &mut before_exec) {
                    Ok(never) => match never {},
                    Err(failure) => failure.to_string(),
                }
            }
        };
        let _ = errors.write_all(message.as_bytes());
    }

    /// Reads what a starting container says; at the end of it, knows what became of it.
    fn hear_start(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let Some(errors) = &mut process.errors else { return };
        let mut some = [0; 512];
        loop {
            match errors.read(&mut some) {
                Ok(0) => break,
                Ok(count) => process.said.extend_from_slice(&some[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // More will come.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    complain(format_args!("read the pipe of a starting container: {error}"));
                    break;
                }
            }
        }
        process.errors = None;
        let said = std::mem::take(&mut process.said);
        let report = match Outcome::parse(&said) {
            Outcome::Executed => ContainerReport {
                name: process.container.clone(),
                attempt: process.attempt,
                state: ContainerState::Running {
                    id: process.start.id.clone(),
                    image_id: process.start.image.id.clone(),
                    pid: host_pid(&process.pidfd).unwrap_or(0),
                    started: records::now(),
                },
            },
            Outcome::Failed(reason, message) => not_started(&process.start, reason, message),
        };
        // No longer needed, and possibly large.
        process.start.spec.env.clear();
        process.start.spec.args.clear();
        self.note(report, false);
    }

    fn reap(&mut self, index: usize) {
        // Its last words: they may have become readable together with its end.
        self.hear_start(index);
        let process = &mut self.processes[index];
        let status = match waitpid(process.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => status,
            Ok(_) | Err(Errno::EINTR) => return,
            Err(errno) => {
                complain(format_args!("wait for {} attempt {}: {errno}", process.container, process.attempt));
                WaitStatus::StillAlive
            }
        };
        // Nobody is left in its pid namespace who could write: what is in the pipes is all.
        for stream in [Stream::Stdout, Stream::Stderr] {
            while process.pump(stream) {}
        }
        let oom_kills = process.start.place.oom_kills();
        let process = self.processes.remove(index);
        process.start.place.remove_if_empty();
        let Some(known) = self.known(&process.container).filter(|known| known.attempt == process.attempt) else {
            return;
        };
        // One that did not come so far as to execute its program has been reported.
        let ContainerState::Running { id, image_id, started, .. } = known.state.clone() else { return };
        let state = match status {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                let (code, signal) = match status {
                    WaitStatus::Signaled(_, signal, _) => (128 + signal as i32, Some(signal as i32)),
                    WaitStatus::Exited(_, code) => (code, None),
                    _ => (0, None),
                };
                // A shell whose command was killed ends with 137 itself.
                let oom = code == 128 + libc::SIGKILL && oom_kills > process.oom_kills_before;
                ContainerState::Exited { id, image_id, code, signal, oom, started, finished: records::now() }
            }
            _ => ContainerState::Unknown,
        };
        self.note(ContainerReport { name: process.container, attempt: process.attempt, state }, true);
    }
}

impl Connection {
    fn tell(&mut self, event: &Event) {
        let Ok(frame) = wire::frame(event) else { return };
        // One that does not read must not stop the pod: it is let go, and asks again when it comes back.
        if self.stream.write_all(&frame).is_err() {
            self.open = false;
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Process {
    /// Moves some of a stream into the log. False if there was nothing.
    fn pump(&mut self, stream: Stream) -> bool {
        let Some(at) = self.outputs.iter().position(|output| output.stream == stream) else { return false };
        let output = &mut self.outputs[at];
        let mut some = [0; 16 << 10];
        let (mut entries, now): (Vec<u8>, Wall) = (Vec::new(), records::now());
        let open = match output.pipe.read(&mut some) {
            Ok(0) => false,
            Ok(count) => {
                output.splitter.feed(&some[..count], now, &mut entries);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => {
                complain(format_args!("read output of {}: {error}", self.container));
                false
            }
        };
        if !open {
            output.splitter.end(now, &mut entries);
            self.outputs.remove(at);
        }
        if !entries.is_empty()
            && let Err(failure) = self.log.write(&entries)
        {
            // A program must not stand still because the disk is full.
            complain(failure);
        }
        open
    }
}

/// What is said right before a program is executed; nothing after it means that it was.
const EXECUTING: &[u8] = b"!";

/// What a container's last words on its pipe mean.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Executed,
    Failed(StartError, String),
}

impl Outcome {
    fn parse(said: &[u8]) -> Outcome {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match said.strip_prefix(EXECUTING) {
            Some(b"") => Outcome::Executed,
            Some(message) => Outcome::Failed(StartError::RunContainerError, text(message)),
            None if said.is_empty() => {
                let message = "killed while its root was being made; too little memory?".to_owned();
                Outcome::Failed(StartError::CreateContainerError, message)
            }
            None => Outcome::Failed(StartError::CreateContainerError, text(said)),
        }
    }
}

fn not_started(start: &Start, reason: StartError, message: String) -> ContainerReport {
    let state = ContainerState::NotStarted { reason, message, at: records::now() };
    ContainerReport { name: start.spec.name.clone(), attempt: start.spec.attempt, state }
}

/// The number on the host of the process a descriptor means: the kernel gives it in terms of the /proc
/// that is asked, which in the pod-init is still the host's. pidfd_open(2).
fn host_pid(pidfd: &OwnedFd) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words() {
        assert_eq!(Outcome::parse(b"!"), Outcome::Executed);
        let failed = |reason, message: &str| Outcome::Failed(reason, message.to_owned());
        assert_eq!(Outcome::parse(b"!exec: ENOENT"), failed(StartError::RunContainerError, "exec: ENOENT"));
        assert_eq!(Outcome::parse(b"mount: EIO"), failed(StartError::CreateContainerError, "mount: EIO"));
        assert!(matches!(Outcome::parse(b""), Outcome::Failed(StartError::CreateContainerError, _)));
    }
}
