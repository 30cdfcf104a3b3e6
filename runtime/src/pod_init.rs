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
use crate::plan::{CONTAINER_SLOT, Facts, Op, TERMINAL_SLOT, Unplannable, plan, plan_further};
use crate::records::{self, PodDir, State};
use crate::wire::{self, Attach, Event, Exec, Inbox, Request, Setup, Start, Wanted, Which};
use miniku_core::kubelet::runtime::{ContainerReport, ContainerState, StartError, Stdio};
use miniku_core::time::Wall;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, sethostname, setsid};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

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

/// What the containers' score is where the pod-init's own could not be lowered: that takes CAP_SYS_RESOURCE, to raise one
/// takes nothing. Without it a small process that fills a file system in memory would be outlived by what it filled,
/// and the pod-init chosen, which is a little larger.
const OOM_SCORE_BESIDE: i32 = 500;

fn open_unified(place: &crate::cgroup::Place) -> Result<Option<File>, Failure> {
    let open =
        |path: &std::path::PathBuf| File::open(path).map_err(failed_io(format!("open cgroup {}", path.display())));
    place.unified.as_ref().map(open).transpose()
}

struct PodInit {
    one_thread: OneThread,
    /// Of the containers.
    oom_score: i32,
    setup: Setup,
    /// Never read: it is the lock on the pod's directory, as long as this process lives.
    _directory: OwnedFd,
    listener: UnixListener,
    connections: Vec<Connection>,
    state: State,
    processes: Vec<Process>,
    /// Further processes of containers.
    further: Vec<Further>,
    /// Who follows the output of a container's first process.
    attached: Vec<Attached>,
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
    errors: Option<UnixStream>,
    /// What it has said there so far.
    said: Vec<u8>,
    outputs: Vec<Output>,
    /// Where its input is written to, if it has one. Only who attaches writes there.
    input: Option<OwnedFd>,
    /// Its terminal, if it has one.
    terminal: Option<OwnedFd>,
    log: LogFile,
    oom_kills_before: u64,
}

struct Output {
    stream: Stream,
    pipe: File,
    splitter: Splitter,
}

/// A process that runs beside a container's first one, from its fork until it is reaped.
///
/// Its streams are handed out as descriptors, so nothing of what it writes passes through here. If nobody holds them any
/// more, it finds its input at an end and its output broken, or its terminal hung up, and does what it likes.
struct Further {
    /// Who asked for it; may be gone.
    asker: UnixStream,
    pid: Pid,
    pidfd: OwnedFd,
    /// As in [`Process`].
    errors: Option<UnixStream>,
    said: Vec<u8>,
    /// To be handed out once its program is executed.
    streams: Vec<(Which, OwnedFd)>,
}

/// Somebody who follows what a container's first process writes.
///
/// A follower that is slow slows the process down, since nothing may be lost and nothing may pile up here; one that
/// stands still is let go of after [`STALL_MAX`].
struct Attached {
    container: String,
    attempt: u32,
    connection: Connection,
    outputs: Vec<Followed>,
    has_input: bool,
    /// Since when something waits that it does not take.
    stalled: Option<Instant>,
    /// To be told when it has taken all.
    end: Option<Event>,
}

/// One stream of a follower.
struct Followed {
    stream: Stream,
    pipe: File,
    /// At most what one read of the process's output gives, and at its end what its pipe held.
    waiting: Vec<u8>,
}

/// So long a follower may take nothing before it is let go of.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What became readable, or writable.
#[derive(Clone, Copy)]
enum Ready {
    Listener,
    Connection(usize),
    Errors(usize),
    Output(usize, Stream),
    FurtherErrors(usize),
    Attached(usize),
    Room(usize),
    Exit(usize),
    FurtherExit(usize),
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
            pod: Some(setup.pod.clone()),
            containers: Vec::new(),
        };
        let connections = vec![Connection { stream: primary, inbox, open: true }];
        let lowered = fs::read_to_string("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with('-'));
        let pod = PodInit {
            one_thread,
            oom_score: if lowered { 0 } else { OOM_SCORE_BESIDE },
            setup,
            _directory: directory,
            listener,
            connections,
            state,
            processes: Vec::new(),
            further: Vec::new(),
            attached: Vec::new(),
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
                        self.processes[index].pump(stream, &mut self.attached);
                    }
                    Ready::FurtherErrors(index) => self.hear_further(index),
                    Ready::Attached(index) => self.hear_attached(index),
                    Ready::Room(index) => self.attached[index].give_waiting(),
                    // Last in order, and the only ones that remove.
                    Ready::Exit(index) => self.reap(index),
                    Ready::FurtherExit(index) => self.reap_further(index),
                }
            }
            self.connections.retain(|connection| connection.open);
            self.detach();
        }
    }

    fn wait(&self) -> Vec<Ready> {
        let (readable, writable) = (PollFlags::POLLIN, PollFlags::POLLOUT);
        let mut sources = vec![(Ready::Listener, self.listener.as_fd(), readable)];
        for (index, connection) in self.connections.iter().enumerate() {
            sources.push((Ready::Connection(index), connection.stream.as_fd(), readable));
        }
        for (index, process) in self.processes.iter().enumerate() {
            sources.extend(process.errors.as_ref().map(|errors| (Ready::Errors(index), errors.as_fd(), readable)));
            for output in &process.outputs {
                if !self.attached.iter().any(|one| one.follows(process) && one.is_full(output.stream)) {
                    sources.push((Ready::Output(index, output.stream), output.pipe.as_fd(), readable));
                }
            }
        }
        for (index, one) in self.attached.iter().enumerate() {
            sources.push((Ready::Attached(index), one.connection.stream.as_fd(), readable));
            for output in one.outputs.iter().filter(|output| !output.waiting.is_empty()) {
                sources.push((Ready::Room(index), output.pipe.as_fd(), writable));
            }
        }
        for (index, process) in self.further.iter().enumerate() {
            let errors = process.errors.as_ref();
            sources.extend(errors.map(|errors| (Ready::FurtherErrors(index), errors.as_fd(), readable)));
        }
        // From the highest, so that removing one moves none that is still to be handled.
        for (index, process) in self.processes.iter().enumerate().rev() {
            sources.push((Ready::Exit(index), process.pidfd.as_fd(), readable));
        }
        for (index, process) in self.further.iter().enumerate().rev() {
            sources.push((Ready::FurtherExit(index), process.pidfd.as_fd(), readable));
        }
        let mut fds: Vec<PollFd> = sources.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        let patience = self.attached.iter().filter_map(|one| one.stalled).min().map(|since| {
            // Rounded up, so that it is over when the wait is.
            let left = (since + STALL_MAX).saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, patience.unwrap_or(PollTimeout::NONE)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => complain(format_args!("poll: {errno}")),
        }
        let is_ready = |fd: &PollFd| fd.any().unwrap_or(true);
        sources.iter().zip(&fds).filter(|(_, fd)| is_ready(fd)).map(|((ready, ..), _)| *ready).collect()
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
            Request::Exec(exec) => {
                if let Some(asker) = self.take_connection(index) {
                    self.exec(exec, asker);
                }
            }
            Request::Attach(attach) => {
                if let Some(asker) = self.take_connection(index) {
                    self.attach(attach, asker);
                }
            }
            Request::Socket { v6 } => socket(&self.connections[index].stream, v6),
            // Said by those who are attached, and heard there.
            Request::InputEnds => {}
        }
    }

    /// The connection as one that concerns a single request: what is told to all is not told there any more.
    fn take_connection(&mut self, index: usize) -> Option<UnixStream> {
        let connection = &mut self.connections[index];
        connection.open = false;
        connection
            .stream
            .try_clone()
            .inspect_err(|error| complain(format_args!("duplicate a connection: {error}")))
            .ok()
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
        let (mut input, mut outputs, mut standard) = (None, Vec::new(), Standard::default());
        let Stdio { stdin, tty, .. } = start.spec.stdio;
        if !tty {
            if stdin {
                let (read, write) = pipe()?;
                input = Some(unblocked(write)?);
                standard.stdin = Some(read);
            }
            for (stream, end) in [(Stream::Stdout, &mut standard.stdout), (Stream::Stderr, &mut standard.stderr)] {
                let (read, write) = pipe()?;
                outputs.push(Output { stream, pipe: unblocked(read)?.into(), splitter: Splitter::new(stream) });
                *end = Some(write);
            }
        }
        let (errors, their_errors) = words()?;
        let log = LogFile::open(&self.dir().log(&start.spec.name, start.spec.attempt))?;
        let unified = open_unified(&start.place)?;
        let oom_kills_before = start.place.oom_kills();
        let namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
        match fork_into(self.one_thread, namespaces, unified.as_ref().map(|fd| fd.as_fd()))
            .map_err(failed("clone the container"))?
        {
            Forked::Child => {
                let facts = self.facts(&start);
                let slots = || Ok(terminal_slot(tty, &their_errors)?.into_iter().collect());
                execute(plan(&start.spec, &facts), slots, standard, &their_errors);
                enter::exit_now(127)
            }
            Forked::Parent { pid, pidfd } => Ok(Process {
                container: start.spec.name.clone(),
                attempt: start.spec.attempt,
                start,
                pid,
                pidfd,
                errors: Some(errors),
                said: Vec::new(),
                outputs,
                input,
                terminal: None,
                log,
                oom_kills_before,
            }),
        }
    }

    fn facts<'a>(&'a self, start: &'a Start) -> Facts<'a> {
        Facts {
            image: &start.image,
            pod_dir: &self.setup.dir,
            attempt_dir: self.dir().attempt(&start.spec.name, start.spec.attempt),
            hostname: &self.setup.hostname,
            oom_score: self.oom_score,
            tasks: &start.place.tasks,
        }
    }

    /// The first process of a container, if it runs as this attempt. Otherwise what it does instead.
    fn first(&self, container: &str, attempt: u32) -> Result<usize, String> {
        let runs = |process: &Process| process.container == container && process.errors.is_none();
        match self.processes.iter().position(runs) {
            Some(index) if self.processes[index].attempt == attempt => Ok(index),
            Some(_) => Err(format!("container {container} runs, but not as its start number {attempt}")),
            None => Err(format!("container {container} is not running")),
        }
    }

    /// Runs a further process.
    fn exec(&mut self, exec: Exec, asker: UnixStream) {
        let first = match self.first(&exec.container, exec.attempt) {
            Ok(first) => &self.processes[first],
            Err(message) => return tell_alone(&asker, &Event::NotRunning { message }, &[]),
        };
        match self.fork_further(exec, first) {
            Ok((pid, pidfd, errors, streams)) => {
                let (errors, said) = (Some(errors), Vec::new());
                self.further.push(Further { asker, pid, pidfd, errors, said, streams });
            }
            // It has ended, and is not reaped yet: enter::fork_beside.
            Err(Failure { errno: Errno::ESRCH | Errno::ENOMEM, .. }) if has_ended(&first.pidfd) => {
                let message = format!("container {} is not running", first.container);
                tell_alone(&asker, &Event::NotRunning { message }, &[]);
            }
            Err(failure) => tell_alone(&asker, &Event::NotExecuted { message: failure.to_string() }, &[]),
        }
    }

    #[expect(clippy::type_complexity, reason = "the parts of a Further, which its only caller puts together")]
    fn fork_further(
        &self,
        exec: Exec,
        first: &Process,
    ) -> Result<(Pid, OwnedFd, UnixStream, Vec<(Which, OwnedFd)>), Failure> {
        let (mut streams, mut standard) = (Vec::new(), Standard::default());
        let Wanted { stdin, stdout, stderr, tty } = exec.wanted;
        if stdin && !tty {
            let (read, write) = pipe()?;
            streams.push((Which::Stdin, unblocked(write)?));
            standard.stdin = Some(read);
        }
        let outputs = [(Which::Stdout, stdout, &mut standard.stdout), (Which::Stderr, stderr, &mut standard.stderr)];
        for (which, _, end) in outputs.into_iter().filter(|(_, wanted, _)| *wanted && !tty) {
            let (read, write) = pipe()?;
            streams.push((which, unblocked(read)?));
            *end = Some(write);
        }
        let (errors, their_errors) = words()?;
        let unified = open_unified(&first.start.place)?;
        let forked = enter::fork_beside(self.one_thread, first.pidfd.as_fd(), unified.as_ref().map(|fd| fd.as_fd()));
        match forked.map_err(failed("clone a process of the container"))? {
            Forked::Child => {
                let plan = plan_further(exec.argv, tty, &first.start.spec, &self.facts(&first.start));
                let slots = || {
                    let container = first.pidfd.try_clone().map_err(failed_io("duplicate a pidfd"))?;
                    let terminal = terminal_slot(tty, &their_errors)?;
                    Ok(terminal.into_iter().chain([(CONTAINER_SLOT, container)]).collect())
                };
                execute(plan, slots, standard, &their_errors);
                enter::exit_now(127)
            }
            Forked::Parent { pid, pidfd } => Ok((pid, pidfd, errors, streams)),
        }
    }

    /// Reads what a starting process says; at the end of it, hands out its streams or tells why there are none.
    fn hear_further(&mut self, index: usize) {
        let process = &mut self.further[index];
        let Some(errors) = &process.errors else { return };
        let (ended, terminal) = hear_words(errors, &mut process.said);
        match terminal.map(unblocked).transpose() {
            Ok(terminal) => process.streams.extend(terminal.map(|terminal| (Which::Terminal, terminal))),
            // It will be hung up.
            Err(failure) => complain(format_args!("{failure}")),
        }
        if !ended {
            return;
        }
        process.errors = None;
        let streams = std::mem::take(&mut process.streams);
        match Outcome::parse(&std::mem::take(&mut process.said)) {
            Outcome::Executed => {
                let (words, descriptors): (Vec<Which>, Vec<OwnedFd>) = streams.into_iter().unzip();
                let descriptors: Vec<BorrowedFd> = descriptors.iter().map(AsFd::as_fd).collect();
                tell_alone(&process.asker, &Event::Given(words), &descriptors);
            }
            Outcome::Failed(_, message) => tell_alone(&process.asker, &Event::NotExecuted { message }, &[]),
        }
    }

    fn reap_further(&mut self, index: usize) {
        // Its last words: they may have become readable together with its end.
        self.hear_further(index);
        let process = &self.further[index];
        let end = match waitpid(process.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => ended(status),
            Ok(_) | Err(Errno::EINTR) => return,
            Err(errno) => {
                complain(format_args!("wait for a further process: {errno}"));
                None
            }
        };
        if let Some((code, signal)) = end {
            // After a refusal nobody listens any more.
            tell_alone(&process.asker, &Event::Ended { code, signal }, &[]);
        }
        self.further.remove(index);
    }

    /// Hands out the streams of a first process, as far as it has them.
    fn attach(&mut self, attach: Attach, asker: UnixStream) {
        let index = match self.first(&attach.container, attach.attempt) {
            Ok(index) => index,
            Err(message) => return tell_alone(&asker, &Event::NotRunning { message }, &[]),
        };
        match self.follow(attach, index, asker) {
            Ok(attached) => self.attached.push(attached),
            Err((asker, failure)) => {
                tell_alone(&asker, &Event::NotExecuted { message: failure.to_string() }, &[]);
            }
        }
    }

    fn follow(&self, attach: Attach, index: usize, asker: UnixStream) -> Result<Attached, (UnixStream, Failure)> {
        let first = &self.processes[index];
        let Wanted { stdin, stdout, stderr, .. } = attach.wanted;
        let mut streams = Vec::new();
        let mut outputs = Vec::new();
        let mut take = || -> Result<(), Failure> {
            let duplicate = |fd: &OwnedFd| fd.try_clone().map_err(failed_io("duplicate a stream"));
            if let Some(input) = first.input.as_ref().filter(|_| stdin) {
                streams.push((Which::Stdin, duplicate(input)?));
            }
            if let Some(terminal) = &first.terminal {
                streams.push((Which::Terminal, duplicate(terminal)?));
            }
            for (which, stream, wanted) in
                [(Which::Stdout, Stream::Stdout, stdout), (Which::Stderr, Stream::Stderr, stderr)]
            {
                if wanted && first.outputs.iter().any(|output| output.stream == stream) {
                    let (read, write) = pipe()?;
                    streams.push((which, unblocked(read)?));
                    outputs.push(Followed { stream, pipe: unblocked(write)?.into(), waiting: Vec::new() });
                }
            }
            Ok(())
        };
        if let Err(failure) = take() {
            return Err((asker, failure));
        }
        let has_input = streams.iter().any(|(which, _)| *which == Which::Stdin);
        let (words, descriptors): (Vec<Which>, Vec<OwnedFd>) = streams.into_iter().unzip();
        let descriptors: Vec<BorrowedFd> = descriptors.iter().map(AsFd::as_fd).collect();
        tell_alone(&asker, &Event::Given(words), &descriptors);
        Ok(Attached {
            container: attach.container,
            attempt: attach.attempt,
            connection: Connection { stream: asker, inbox: Inbox::default(), open: true },
            outputs,
            has_input,
            stalled: None,
            end: None,
        })
    }

    /// Hears that a follower writes nothing more, or has left.
    fn hear_attached(&mut self, index: usize) {
        let one = &mut self.attached[index];
        let Connection { stream, inbox, open } = &mut one.connection;
        match inbox.read(stream) {
            Ok(true) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Ok(false) | Err(_) => *open = false,
        }
        let says_so = matches!(inbox.message::<Request>(), Ok(Some(Request::InputEnds)));
        if (says_so || !*open) && std::mem::take(&mut one.has_input) {
            let first = self.processes.iter_mut().find(|process| one.follows(process));
            if let Some(first) = first.filter(|process| process.start.spec.stdio.stdin_once) {
                first.input = None;
            }
        }
    }

    /// Lets go of followers that have left, that stand still, or that have been told the end.
    fn detach(&mut self) {
        for one in &mut self.attached {
            let still = one.stalled.is_some_and(|since| since.elapsed() >= STALL_MAX);
            let waits = one.outputs.iter().any(|output| !output.waiting.is_empty());
            if let Some(end) = one.end.take_if(|_| !waits) {
                tell_alone(&one.connection.stream, &end, &[]);
                one.connection.open = false;
            }
            one.connection.open &= !still;
        }
        self.attached.retain(|one| one.connection.open);
    }

    /// Reads what a starting container says; at the end of it, knows what became of it.
    fn hear_start(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let Some(errors) = &process.errors else { return };
        let (ended, terminal) = hear_words(errors, &mut process.said);
        if let Some(terminal) = terminal {
            process.has_terminal(terminal);
        }
        if !ended {
            return;
        }
        process.errors = None;
        let said = std::mem::take(&mut process.said);
        let report = match Outcome::parse(&said) {
            Outcome::Executed => ContainerReport {
                name: process.container.clone(),
                attempt: process.attempt,
                state: ContainerState::Running {
                    id: process.start.id.clone(),
                    image: process.start.spec.image.clone(),
                    image_id: process.start.image.id.clone(),
                    pid: host_pid(&process.pidfd).unwrap_or(0),
                    started: records::now(),
                },
            },
            Outcome::Failed(reason, message) => not_started(&process.start, reason, message),
        };
        // No longer needed, and possibly large. Further processes get the same environment.
        process.start.spec.command.clear();
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
            while process.pump(stream, &mut self.attached) {}
        }
        let oom_kills = process.start.place.oom_kills();
        let process = self.processes.remove(index);
        if let Some((code, signal)) = ended(status) {
            let followers = self.attached.iter_mut().filter(|one| one.follows(&process));
            followers.for_each(|one| one.end = Some(Event::Ended { code, signal }));
        }
        process.start.place.remove_if_empty();
        let Some(known) = self.known(&process.container).filter(|known| known.attempt == process.attempt) else {
            return;
        };
        // One that did not come so far as to execute its program has been reported.
        let ContainerState::Running { id, image, image_id, started, .. } = known.state.clone() else { return };
        let state = match ended(status) {
            Some((code, signal)) => {
                // A shell whose command was killed ends with 137 itself.
                let oom = code == 128 + libc::SIGKILL && oom_kills > process.oom_kills_before;
                ContainerState::Exited { id, image, image_id, code, signal, oom, started, finished: records::now() }
            }
            None => ContainerState::Unknown,
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
    /// Its terminal has come: what it writes is read there.
    fn has_terminal(&mut self, terminal: OwnedFd) {
        let set = || -> Result<(OwnedFd, File), Failure> {
            let terminal = unblocked(terminal)?;
            let pipe = terminal.try_clone().map_err(failed_io("duplicate a terminal"))?;
            Ok((terminal, pipe.into()))
        };
        match set() {
            Ok((terminal, pipe)) => {
                let stream = Stream::Stdout;
                self.outputs.push(Output { stream, pipe, splitter: Splitter::new(stream) });
                if self.start.spec.stdio.stdin {
                    self.input = terminal.try_clone().ok();
                }
                self.terminal = Some(terminal);
            }
            // It will be hung up.
            Err(failure) => complain(format_args!("{failure}")),
        }
    }

    /// Moves some of a stream into the log and to those who follow it. False if there was nothing.
    fn pump(&mut self, stream: Stream, attached: &mut [Attached]) -> bool {
        let Some(at) = self.outputs.iter().position(|output| output.stream == stream) else { return false };
        let output = &mut self.outputs[at];
        let mut some = [0; 16 << 10];
        let (mut entries, now): (Vec<u8>, Wall) = (Vec::new(), records::now());
        let open = match output.pipe.read(&mut some) {
            Ok(0) => false,
            Ok(count) => {
                output.splitter.feed(&some[..count], now, &mut entries);
                let (container, attempt) = (&self.container, self.attempt);
                let followers = attached.iter_mut().filter(|one| one.container == *container && one.attempt == attempt);
                followers.for_each(|one| one.give(stream, &some[..count]));
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            // Nobody has the terminal open on its other side: pty(7).
            Err(error) if error.raw_os_error() == Some(libc::EIO) => false,
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

impl Attached {
    fn follows(&self, process: &Process) -> bool {
        self.container == process.container && self.attempt == process.attempt
    }

    /// Whether it has not taken yet what was read of this stream before.
    fn is_full(&self, stream: Stream) -> bool {
        self.outputs.iter().any(|output| output.stream == stream && !output.waiting.is_empty())
    }

    fn give(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(output) = self.outputs.iter_mut().find(|output| output.stream == stream) {
            output.waiting.extend_from_slice(bytes);
            self.give_waiting();
        }
    }

    fn give_waiting(&mut self) {
        let mut moved = false;
        for output in &mut self.outputs {
            while !output.waiting.is_empty() {
                match output.pipe.write(&output.waiting) {
                    Ok(count) => {
                        moved = true;
                        output.waiting.drain(..count);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Nobody reads there any more.
                    Err(_) => output.waiting.clear(),
                }
            }
            if output.waiting.is_empty() {
                // Memory is given back, as everywhere here.
                output.waiting = Vec::new();
            }
        }
        let waits = self.outputs.iter().any(|output| !output.waiting.is_empty());
        self.stalled = match (waits, self.stalled) {
            (false, _) => None,
            (true, Some(since)) if !moved => Some(since),
            (true, _) => Some(Instant::now()),
        };
    }
}

/// A TCP socket in the network namespace that this process is in.
fn socket(asker: &UnixStream, v6: bool) {
    let family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    match nix::sys::socket::socket(family, SockType::Stream, flags, None) {
        Ok(socket) => tell_alone(asker, &Event::Given(vec![Which::Socket]), &[socket.as_fd()]),
        Err(errno) => tell_alone(asker, &Event::NotExecuted { message: format!("make a socket: {errno}") }, &[]),
    }
}

/// Tells one who waits for it. If that fails, they have left.
fn tell_alone(asker: &UnixStream, event: &Event, descriptors: &[BorrowedFd]) {
    if let Ok(frame) = wire::frame(event) {
        let _ = enter::send(asker.as_fd(), &frame, descriptors);
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    pipe2(OFlag::O_CLOEXEC).map_err(failed("make a pipe"))
}

/// Does not wait on this side; what is on the other one is its own matter.
fn unblocked(end: OwnedFd) -> Result<OwnedFd, Failure> {
    nix::fcntl::fcntl(&end, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(failed("make a descriptor non-blocking"))?;
    Ok(end)
}

/// A way for a starting process to say what became of it: this side, which does not wait, and theirs.
fn words() -> Result<(UnixStream, UnixStream), Failure> {
    let (ours, theirs) = UnixStream::pair().map_err(failed_io("make a socket pair"))?;
    ours.set_nonblocking(true).map_err(failed_io("make a socket non-blocking"))?;
    Ok((ours, theirs))
}

/// Reads what a starting process says. Whether it says nothing more, and its terminal, if that has come.
fn hear_words(from: &UnixStream, said: &mut Vec<u8>) -> (bool, Option<OwnedFd>) {
    let (mut some, mut terminal) = ([0; 512], None);
    loop {
        match enter::receive(from.as_fd(), &mut some) {
            Ok((0, _)) => return (true, terminal),
            Ok((count, descriptors)) => {
                said.extend(some[..count].iter().filter(|byte| !enter::TERMINAL_COMES.contains(byte)));
                terminal = descriptors.into_iter().next().or(terminal);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // More will come.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (false, terminal),
            Err(error) => {
                complain(format_args!("hear a starting process: {error}"));
                return (true, terminal);
            }
        }
    }
}

/// What a new process has as its standard descriptors; `/dev/null` where there is nothing.
#[derive(Default)]
struct Standard {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Standard {
    fn put(self) -> Result<(), Failure> {
        let null = File::options().read(true).write(true).open("/dev/null").map_err(failed_io("open /dev/null"))?;
        let end = |end: Option<OwnedFd>| match end {
            Some(end) => Ok(end),
            None => null.as_fd().try_clone_to_owned().map_err(failed_io("duplicate /dev/null")),
        };
        dup2_stdin(end(self.stdin)?).map_err(failed("replace standard input"))?;
        dup2_stdout(end(self.stdout)?).map_err(failed("replace standard output"))?;
        dup2_stderr(end(self.stderr)?).map_err(failed("replace standard error"))
    }
}

/// The slot of a plan through which a terminal goes out, if one does.
fn terminal_slot(tty: bool, errors: &UnixStream) -> Result<Option<(usize, OwnedFd)>, Failure> {
    let duplicate = || errors.try_clone().map_err(failed_io("duplicate a socket"));
    tty.then(|| Ok((TERMINAL_SLOT, duplicate()?.into()))).transpose()
}

/// In the child: performs a plan. Returns only if the program was not executed, and then the reason has been said: see
/// [`Outcome::parse`].
fn execute(
    plan: Result<Vec<Op>, Unplannable>,
    slots: impl FnOnce() -> Result<BTreeMap<usize, OwnedFd>, Failure>,
    standard: Standard,
    mut errors: &UnixStream,
) {
    let begin = || {
        standard.put()?;
        setsid().map_err(failed("setsid"))?;
        slots()
    };
    let message = match (begin(), plan) {
        (Err(failure), _) => failure.to_string(),
        (_, Err(unplannable)) => unplannable.to_string(),
        (Ok(slots), Ok(ops)) => {
            let mut before_exec = || drop(errors.write_all(EXECUTING));
            match enter(&ops, slots, &mut before_exec) {
                Ok(never) => match never {},
                Err(failure) => failure.to_string(),
            }
        }
    };
    let _ = errors.write_all(message.as_bytes());
}

/// Exit status, or 128 and the signal, and the signal.
fn ended(status: WaitStatus) -> Option<(i32, Option<i32>)> {
    match status {
        WaitStatus::Signaled(_, signal, _) => Some((128 + signal as i32, Some(signal as i32))),
        WaitStatus::Exited(_, code) => Some((code, None)),
        _ => None,
    }
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
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
