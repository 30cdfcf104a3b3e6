//! The runtime as a kubelet sees it: commands in, reports out.
//!
//! [`Runtime::perform`] does one command in the calling thread, so a small pool of threads is all that a
//! shell needs. Exits and other news come from one thread of the runtime's own, which waits for the
//! sockets and the ends of all pod-inits. Both hand their reports to the callback given at the start.
//!
//! Nothing of a pod lives in here: it is all in its pod-init, on disk and in the kernel, and found again
//! by [`Runtime::open`] after any end of the node's process. See [`crate::records`] for the files.

use crate::cgroup::{Cgroups, Usage};
use crate::complain;
use crate::enter::{self, Failure, failed, failed_io, pidfd_kill, pidfd_open};
use crate::images::Images;
use crate::records::{self, PodDir};
use crate::session::{self, Refusal, Session};
use crate::wire::{self, Event, Inbox, Request, Setup, Start, Wanted};
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::{
    Command, ContainerReport, ContainerSpec, ContainerState, PodRef, PodReport, PodSpec, Report, StartError,
};
use miniku_core::time::Wall;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a runtime needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept; may be shared by several nodes. On a file system that overlayfs takes as an
    /// upper layer: ext4, xfs, btrfs, tmpfs, but not another overlay.
    pub dir: PathBuf,
    /// The node's name, one part of a path.
    pub node: String,
    /// The binary to start as `pod-init`: one whose `main` calls [`crate::pod_init_main`] when that is its first
    /// argument. Usually this one, `/proc/self/exe`.
    pub exe: PathBuf,
}

/// The pods of one node. Shared between threads by reference.
///
/// ```no_run
/// # use miniku_core::kubelet::runtime::{Command, Report};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// if std::env::args().nth(1).as_deref() == Some("pod-init") {
///     miniku_runtime::pod_init_main();
/// }
/// let (sender, reports) = std::sync::mpsc::channel::<Report>();
/// let config = miniku_runtime::Config {
///     dir: "/var/lib/miniku".into(),
///     node: "node-1".into(),
///     exe: "/proc/self/exe".into(),
/// };
/// let runtime = miniku_runtime::Runtime::open(config, move |report| drop(sender.send(report)))?;
/// runtime.perform(Command::List);
/// println!("{:?}", reports.recv()?);
/// # Ok(())
/// # }
/// ```
pub struct Runtime {
    node: Arc<Node>,
    watcher: Option<std::thread::JoinHandle<()>>,
}

/// What a pod uses.
#[derive(Clone, Debug)]
pub struct PodUsage {
    /// Which one.
    pub pod: PodRef,
    /// All of it.
    pub usage: Usage,
    /// Its containers that run: the name, since when, and what it uses.
    pub containers: Vec<(String, Wall, Usage)>,
}

struct Node {
    config: Config,
    /// No second runtime of the same node may be open.
    _lock: File,
    boot_id: String,
    cgroups: Cgroups,
    images: Images,
    pods: Mutex<BTreeMap<Text, Arc<Pod>>>,
    watches: Watches,
    report: Box<dyn Fn(Report) + Send + Sync>,
}

struct Pod {
    pod: PodRef,
    dir: PodDir,
    /// Held while a command for this pod is performed: one at a time.
    commands: Mutex<()>,
    link: Mutex<Link>,
}

/// What is known of a pod-init.
#[derive(Default)]
struct Link {
    phase: Phase,
    stream: Option<UnixStream>,
    inbox: Inbox,
    pidfd: Option<Arc<OwnedFd>>,
    /// As it told last.
    containers: Vec<ContainerReport>,
    /// The attempts that it was asked to start and has not failed to.
    asked: BTreeMap<String, u32>,
    /// Keys of what is watched.
    keys: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// There is no sandbox yet.
    #[default]
    New,
    /// Its pod-init lives.
    Alive,
    /// It did.
    Gone,
}

/// How long a pod-init may take to come up or to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long killed processes may take to end.
const END_MAX: Duration = Duration::from_secs(30);

impl Runtime {
    /// Opens the node's directory, finds the pods that are there, and removes what was only half made.
    ///
    /// Waits a short while for a former process of the same node to let go of it. `report` is called from
    /// several threads, and must not wait for this runtime.
    pub fn open(config: Config, report: impl Fn(Report) + Send + Sync + 'static) -> Result<Runtime, Failure> {
        if !records::is_component(&config.node) {
            return Err(Failure {
                operation: format!("open node {:?}: not a name", config.node),
                errno: Errno::EINVAL,
            });
        }
        let pods = config.dir.join("nodes").join(&config.node).join("pods");
        fs::create_dir_all(&pods).map_err(failed_io(format!("mkdir {}", pods.display())))?;
        let dir = canonical(&config.dir)?;
        // A set-user-id program in a container's layer must not be reachable for the host's users.
        set_mode(&dir.join("nodes"), 0o700)?;
        let lock = lock_node(&dir.join("nodes").join(&config.node))?;
        let cgroups = Cgroups::of_node(&dir, &config.node)?;
        cgroups.prepare()?;
        let node = Arc::new(Node {
            images: Images::at(dir.join("images")),
            config: Config { dir, ..config },
            _lock: lock,
            boot_id: records::boot_id()?,
            cgroups,
            pods: Mutex::default(),
            watches: Watches::new()?,
            report: Box::new(report),
        });
        node.adopt_all()?;
        let watching = Arc::clone(&node);
        let watcher = std::thread::Builder::new().name("pods".to_owned()).stack_size(256 << 10);
        let watcher = watcher.spawn(move || watching.watch()).map_err(failed_io("start a thread"))?;
        Ok(Runtime { node, watcher: Some(watcher) })
    }

    /// Performs one command; reports come while it runs and later. Takes milliseconds, a removal up to
    /// half a minute. Commands for one pod are performed one after the other.
    pub fn perform(&self, command: Command) {
        self.node.perform(command);
    }

    /// The file that a container's output goes to, for [`crate::LogReader`]. `None` for names that cannot
    /// be part of a path. The file need not exist.
    pub fn log_path(&self, uid: &str, container: &str, attempt: u32) -> Option<PathBuf> {
        let valid = records::is_component(uid) && PodDir::allows_container(container);
        valid.then(|| self.node.pod_dir(uid).log(container, attempt))
    }

    /// Whether this node has the pod.
    pub fn has(&self, uid: &str) -> bool {
        self.node.pod(uid).is_some()
    }

    /// Runs a further process in a running container. Waits until its program is executed.
    pub fn exec(
        &self,
        uid: &str,
        container: &str,
        attempt: u32,
        argv: Vec<String>,
        wanted: Wanted,
    ) -> Result<Session, Refusal> {
        let exec = wire::Exec { container: container.to_owned(), attempt, argv, wanted };
        Session::begin(self.node.line_to(uid)?, &Request::Exec(exec), wanted)
    }

    /// The streams of a running container's first process, as far as it has them: what it writes from now on, what it
    /// reads if it was made with an open input.
    pub fn attach(&self, uid: &str, container: &str, attempt: u32, wanted: Wanted) -> Result<Session, Refusal> {
        let attach = wire::Attach { container: container.to_owned(), attempt, wanted };
        Session::begin(self.node.line_to(uid)?, &Request::Attach(attach), wanted)
    }

    /// Connects to a port on the loopback of a pod. The stream does not block.
    pub fn connect(&self, uid: &str, port: u16) -> Result<TcpStream, Refusal> {
        session::dial(self.node.line_to(uid)?, port)
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.node.config.node
    }

    /// What a container uses now; nothing if there is none.
    pub fn usage(&self, uid: &str, container: &str, attempt: u32) -> Option<Usage> {
        let valid = records::is_component(uid) && PodDir::allows_container(container);
        valid.then(|| self.node.cgroups.usage(uid, container, attempt))?
    }

    /// What the node uses now, and each of its pods of which something runs.
    pub fn usages(&self) -> (Usage, Vec<PodUsage>) {
        let pods: Vec<Arc<Pod>> = hold(&self.node.pods).values().cloned().collect();
        let cgroups = &self.node.cgroups;
        let of = |pod: Arc<Pod>| {
            let told = hold(&pod.link).containers.clone();
            let running = told.into_iter().filter_map(|one| match one.state {
                ContainerState::Running { started, .. } => {
                    Some((one.name.clone(), started, cgroups.usage(&pod.pod.uid, &one.name, one.attempt)?))
                }
                _ => None,
            });
            let containers: Vec<_> = running.collect();
            let usage = cgroups.pod_usage(&pod.pod.uid).filter(|_| !containers.is_empty())?;
            Some(PodUsage { pod: pod.pod.clone(), usage, containers })
        };
        (cgroups.node_usage().unwrap_or_default(), pods.into_iter().filter_map(of).collect())
    }

    /// The node's cgroup in every mounted hierarchy.
    pub fn cgroup_directories(&self) -> Vec<PathBuf> {
        self.node.cgroups.directories()
    }
}

impl Drop for Runtime {
    /// Stops listening. The pods go on.
    fn drop(&mut self) {
        self.node.watches.stop();
        if let Some(watcher) = self.watcher.take() {
            // It ends by itself; if it panicked, that was printed.
            let _ = watcher.join();
        }
    }
}

fn canonical(dir: &Path) -> Result<PathBuf, Failure> {
    dir.canonicalize().map_err(failed_io(format!("resolve {}", dir.display())))
}

/// What is locked of a node, in its directory.
const LOCK: &str = "lock";

fn lock_node(dir: &Path) -> Result<File, Failure> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(failed_io(format!("open {}", path.display())))?;
    let operation = format!("lock {}: another process runs this node", path.display());
    let held = || file.try_lock().is_err();
    wait_until(Duration::from_secs(5), || !held()).map_err(failed(operation))?;
    Ok(file)
}

/// Waits for something that the kernel tells no one about. `EBUSY` if it does not come in time.
fn wait_until(at_most: Duration, mut done: impl FnMut() -> bool) -> nix::Result<()> {
    let deadline = Instant::now() + at_most;
    let mut pause = Duration::from_micros(200);
    while !done() {
        if Instant::now() > deadline {
            return Err(Errno::EBUSY);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

/// A thread that panicked while it held one of these has printed why; the data is still whole, since each
/// change is a single assignment.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Node {
    fn pod_dir(&self, uid: &str) -> PodDir {
        PodDir(self.pods_dir().join(uid))
    }

    fn pods_dir(&self) -> PathBuf {
        self.config.dir.join("nodes").join(&self.config.node).join("pods")
    }

    fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        hold(&self.pods).get(uid).cloned()
    }

    /// A new connection to the init of a pod that lives.
    fn line_to(&self, uid: &str) -> Result<UnixStream, Refusal> {
        let pod = self.pod(uid).ok_or(Refusal::NoSuchPod)?;
        if hold(&pod.link).phase != Phase::Alive {
            return Err(Refusal::NotRunning("the pod is not running".to_owned()));
        }
        dial(&pod.dir).map_err(|error| Refusal::Failed(failed_io("connect to the pod-init")(error)))
    }

    fn tell(&self, pod: &PodRef, container: ContainerReport) {
        let ContainerReport { name, attempt, state } = container;
        (self.report)(Report::Container { pod: pod.clone(), container: name, attempt, state });
    }

    fn perform(self: &Arc<Self>, command: Command) {
        match command {
            Command::List => self.list(),
            Command::RunPod(spec) => self.run_pod(&spec),
            Command::StartContainer { pod, container } => {
                self.for_container(&pod, &container.name.clone(), container.attempt, |pod| {
                    self.start_containers(pod, std::slice::from_ref(&container));
                })
            }
            Command::Terminate { pod, container, attempt } => self.signal(&pod, &container, attempt, Signal::SIGTERM),
            Command::Kill { pod, container, attempt } => self.signal(&pod, &container, attempt, Signal::SIGKILL),
            Command::RemovePod(pod) => match self.remove_pod(&pod.uid) {
                Ok(()) => (self.report)(Report::Removed { pod }),
                Err(failure) => (self.report)(Report::RemoveFailed { pod, message: failure.to_string() }),
            },
        }
    }

    fn list(&self) {
        let pods: Vec<Arc<Pod>> = hold(&self.pods).values().cloned().collect();
        let mut listed = Vec::with_capacity(pods.len());
        for pod in pods {
            let link = hold(&pod.link);
            if link.phase != Phase::New {
                let (pod, containers) = (pod.pod.clone(), link.containers.clone());
                listed.push(PodReport { pod, alive: link.phase == Phase::Alive, ip: None, containers });
            }
        }
        (self.report)(Report::Listed(listed));
    }

    fn run_pod(self: &Arc<Self>, spec: &PodSpec) {
        let refuse = |message: String| {
            for container in &spec.containers {
                let reason = StartError::CreatePodSandboxError;
                let state = ContainerState::NotStarted { reason, message: message.clone(), at: records::now() };
                self.tell(
                    &spec.pod,
                    ContainerReport { name: container.name.clone(), attempt: container.attempt, state },
                );
            }
        };
        if !records::is_component(&spec.pod.uid) {
            return refuse(format!("pod uid {:?} cannot be part of a path", spec.pod.uid));
        }
        let pod = Arc::clone(
            hold(&self.pods).entry(spec.pod.uid.clone()).or_insert_with(|| Arc::new(self.new_pod(&spec.pod))),
        );
        let _one_at_a_time = hold(&pod.commands);
        let phase = hold(&pod.link).phase;
        match phase {
            Phase::Alive => self.start_containers(&pod, &spec.containers),
            Phase::Gone => self.tell_gone(&pod),
            Phase::New => {
                if let Err(failure) = self.make_sandbox(&pod, spec) {
                    let message = match self.destroy(&pod) {
                        Ok(()) => failure.to_string(),
                        Err(then) => format!("{failure}; then {then}"),
                    };
                    hold(&self.pods).remove(&spec.pod.uid);
                    refuse(message);
                }
            }
        }
    }

    fn new_pod(&self, pod: &PodRef) -> Pod {
        let (pod, dir) = (pod.clone(), self.pod_dir(&pod.uid));
        Pod { pod, dir, commands: Mutex::default(), link: Mutex::default() }
    }

    /// From nothing to a pod-init that has been asked to start the containers.
    fn make_sandbox(self: &Arc<Self>, pod: &Arc<Pod>, spec: &PodSpec) -> Result<(), Failure> {
        let dir = &pod.dir.0;
        let create = |path: &Path| fs::create_dir(path).map_err(failed_io(format!("mkdir {}", path.display())));
        create(dir)?;
        // Locked before anything else is in it, and handed on: see `records`.
        let directory = File::open(dir).map_err(failed_io(format!("open {}", dir.display())))?;
        directory.lock().map_err(failed_io(format!("lock {}", dir.display())))?;
        records::write(&pod.dir.spec(), spec, false)?;
        create(&dir.join("shm"))?;
        create(&dir.join("etc"))?;
        for (name, text) in pod_files(&spec.hostname) {
            let path = dir.join("etc").join(name);
            fs::write(&path, text).map_err(failed_io(format!("write {}", path.display())))?;
            set_mode(&path, 0o644)?;
        }
        let place = self.cgroups.make_pod(&spec.pod.uid, &spec.limits)?;

        let (mut ours, theirs) = UnixStream::pair().map_err(failed_io("make a socket pair"))?;
        let init_log = pod.dir.init_log();
        let complaints = File::create(&init_log).map_err(failed_io(format!("create {}", init_log.display())))?;
        // Nothing here may need more than posix_spawn can do, or the whole process would be forked.
        let mut child = std::process::Command::new(&self.config.exe)
            .arg("pod-init")
            .arg(format!("{}/{}", spec.pod.namespace, spec.pod.name))
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(directory)))
            .stderr(Stdio::from(complaints))
            .spawn()
            .map_err(failed_io(format!("start {} pod-init", self.config.exe.display())))?;
        let limits = ours.set_write_timeout(Some(ANSWER_MAX)).and_then(|()| ours.set_read_timeout(Some(ANSWER_MAX)));
        limits.map_err(failed_io("limit the socket"))?;
        let setup = Setup { pod: spec.pod.clone(), hostname: spec.hostname.clone(), dir: dir.clone(), place };
        // A pod-init that died has said why; that is what counts, not that it cannot be written to.
        let _ = wire::frame(&setup).and_then(|frame| ours.write_all(&frame));

        // While it makes the namespaces, the rest is made ready here.
        let mut link = Link { phase: Phase::Alive, ..Link::default() };
        for container in &spec.containers {
            let request = self.prepare(pod, container);
            link.asked.insert(container.name.clone(), container.attempt);
            let _ = wire::frame(&request).and_then(|frame| ours.write_all(&frame));
        }
        child.wait().map_err(failed_io("wait for stage 0 of the pod-init"))?;
        let first = link.inbox.wait(&mut ours).map_err(failed_io("wait for the pod-init"))?;
        let Event::State { pid, start_time, containers } = first else {
            let Event::Failed { message } = first else { return Err(unexpected("the pod-init")) };
            return Err(Failure { operation: message, errno: Errno::ECANCELED });
        };
        link.pidfd = Some(Arc::new(identified(pid, start_time).map_err(failed("find the pod-init"))?));
        link.containers = containers;
        self.connect(pod, link, ours)
    }

    /// Begins to listen to a pod-init, after what it has already said.
    fn connect(self: &Arc<Self>, pod: &Arc<Pod>, mut link: Link, stream: UnixStream) -> Result<(), Failure> {
        stream.set_read_timeout(None).map_err(failed_io("unlimit the socket"))?;
        let writer = stream.try_clone().map_err(failed_io("duplicate the socket"))?;
        link.stream = Some(writer);
        let pidfd = link.pidfd.clone();
        *hold(&pod.link) = link;
        self.drain(pod);
        let key = self.watches.add(
            stream.as_fd().try_clone_to_owned().map_err(failed_io("duplicate the socket"))?,
            pod,
            What::Socket,
        )?;
        hold(&pod.link).keys.push(key);
        if let Some(pidfd) = pidfd {
            let pidfd = pidfd.try_clone().map_err(failed_io("duplicate a pidfd"))?;
            let key = self.watches.add(pidfd, pod, What::End)?;
            hold(&pod.link).keys.push(key);
        }
        Ok(())
    }

    /// Image, directories and cgroup of a container; or the news that one of them could not be had.
    fn prepare(&self, pod: &Pod, spec: &ContainerSpec) -> Request {
        let start = || -> Result<Start, (StartError, String)> {
            let create_error = |failure: Failure| (StartError::CreateContainerError, failure.to_string());
            if !PodDir::allows_container(&spec.name) {
                let message = format!("container name {:?} cannot be part of a path", spec.name);
                return Err((StartError::CreateContainerError, message));
            }
            let image = self.images.get(&spec.image).map_err(|refusal| (refusal.reason, refusal.message))?;
            make_attempt(&pod.dir, &spec.name, spec.attempt).map_err(create_error)?;
            let place = self.cgroups.make_container(&pod.pod.uid, &spec.name, spec.attempt, &spec.limits);
            let place = place.map_err(create_error)?;
            let id = new_id().map_err(failed("get random bytes")).map_err(create_error)?;
            Ok(Start { spec: spec.clone(), id, image, place })
        };
        match start() {
            Ok(start) => Request::Start(Box::new(start)),
            Err((reason, message)) => Request::Record(ContainerReport {
                name: spec.name.clone(),
                attempt: spec.attempt,
                state: ContainerState::NotStarted { reason, message, at: records::now() },
            }),
        }
    }

    fn start_containers(&self, pod: &Pod, containers: &[ContainerSpec]) {
        for container in containers {
            let (asked, known) = {
                let link = hold(&pod.link);
                let known = link.containers.iter().find(|known| known.name == container.name).cloned();
                (link.asked.get(&container.name).copied(), known)
            };
            if asked.is_some_and(|asked| asked >= container.attempt) {
                // If it has not been reported yet, it will be.
                if let Some(known) = known.filter(|known| known.attempt >= container.attempt) {
                    self.tell(&pod.pod, known);
                }
                continue;
            }
            // The one before must have ended: what it runs on is about to be removed.
            let ended = |known: &ContainerReport| {
                Some(known.attempt) == asked && !matches!(known.state, ContainerState::Running { .. })
            };
            if let Some(before) = asked.filter(|_| !known.as_ref().is_some_and(ended)) {
                let state = ContainerState::NotStarted {
                    reason: StartError::CreateContainerError,
                    message: format!("attempt {before} of the container is still running"),
                    at: records::now(),
                };
                let (name, attempt) = (container.name.clone(), container.attempt);
                self.tell(&pod.pod, ContainerReport { name, attempt, state });
                continue;
            }
            let request = self.prepare(pod, container);
            hold(&pod.link).asked.insert(container.name.clone(), container.attempt);
            if !self.ask(pod, &request) {
                // The kubelet will find its report missing, and ask again.
                hold(&pod.link).asked.remove(&container.name);
            }
        }
    }

    /// Sends a request. If that fails, the pod-init is ending or deaf; the watching thread finds out which.
    fn ask(&self, pod: &Pod, request: &Request) -> bool {
        let mut link = hold(&pod.link);
        let Some(stream) = &mut link.stream else { return false };
        match wire::frame(request).and_then(|frame| stream.write_all(&frame)) {
            Ok(()) => true,
            Err(error) => {
                // Half a message may have been sent: this connection is of no more use.
                let _ = stream.shutdown(std::net::Shutdown::Both);
                complain(format_args!("pod {}: send to its init: {error}", pod.pod.uid));
                false
            }
        }
    }

    /// Does something with a pod whose sandbox lives, and otherwise tells how the container stands.
    fn for_container(&self, pod: &PodRef, container: &str, attempt: u32, action: impl FnOnce(&Pod)) {
        let absent = || ContainerReport { name: container.to_owned(), attempt, state: ContainerState::Absent };
        let Some(known) = self.pod(&pod.uid) else { return self.tell(pod, absent()) };
        let _one_at_a_time = hold(&known.commands);
        let (phase, found) = {
            let link = hold(&known.link);
            (link.phase, link.containers.iter().find(|found| found.name == container).cloned())
        };
        match phase {
            Phase::Alive => action(&known),
            Phase::New => self.tell(pod, absent()),
            Phase::Gone => {
                (self.report)(Report::SandboxGone { pod: known.pod.clone() });
                self.tell(pod, found.unwrap_or_else(absent));
            }
        }
    }

    fn signal(&self, pod: &PodRef, container: &str, attempt: u32, signal: Signal) {
        self.for_container(pod, container, attempt, |pod| {
            let (container, signal) = (container.to_owned(), signal as i32);
            self.ask(pod, &Request::Signal { container, attempt, signal });
        });
    }

    fn tell_gone(&self, pod: &Pod) {
        (self.report)(Report::SandboxGone { pod: pod.pod.clone() });
        let containers = hold(&pod.link).containers.clone();
        for container in containers {
            self.tell(&pod.pod, container);
        }
    }

    fn remove_pod(&self, uid: &str) -> Result<(), Failure> {
        if !records::is_component(uid) {
            return Ok(());
        }
        let Some(pod) = self.pod(uid) else {
            self.cgroups.kill_pod(uid);
            return self.cgroups.remove_pod(uid);
        };
        let _one_at_a_time = hold(&pod.commands);
        self.destroy(&pod)?;
        hold(&self.pods).remove(uid);
        Ok(())
    }

    /// Ends every process of a pod, and removes all that was made for it, in whatever state it is.
    fn destroy(&self, pod: &Pod) -> Result<(), Failure> {
        let (pidfd, keys) = {
            let mut link = hold(&pod.link);
            (link.pidfd.clone(), std::mem::take(&mut link.keys))
        };
        // Its end is no news any more.
        keys.into_iter().for_each(|key| self.watches.remove(key));
        if let Some(pidfd) = pidfd {
            // With process 1 of its pid namespace, the kernel kills all.
            match pidfd_kill(pidfd.as_fd(), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(failed(format!("kill the init of pod {}", pod.pod.uid))(errno)),
            }
            if !ends_within(&pidfd, END_MAX) {
                return Err(failed(format!("wait for the end of the init of pod {}", pod.pod.uid))(Errno::ETIMEDOUT));
            }
        }
        {
            let mut link = hold(&pod.link);
            link.phase = Phase::Gone;
            link.stream = None;
            link.pidfd = None;
        }
        remove_remains(&self.cgroups, &self.pods_dir(), &pod.pod.uid)
    }

    /// Finds what former processes of this node have left: living pods, dead ones, half-made ones.
    fn adopt_all(self: &Arc<Self>) -> Result<(), Failure> {
        let pods_dir = self.pods_dir();
        let entries = fs::read_dir(&pods_dir).map_err(failed_io(format!("read {}", pods_dir.display())))?;
        for entry in entries {
            let entry = entry.map_err(failed_io(format!("read {}", pods_dir.display())))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(GONE) {
                // What stays is in nobody's way.
                remove_directory(&entry.path()).unwrap_or_else(complain);
            } else if records::is_component(&name) {
                self.adopt(&name);
            }
        }
        for uid in self.cgroups.pods() {
            if self.pod(&uid).is_none() {
                self.cgroups.kill_pod(&uid);
                self.cgroups.remove_pod(&uid).unwrap_or_else(complain);
            }
        }
        Ok(())
    }

    fn adopt(self: &Arc<Self>, uid: &str) {
        let dir = self.pod_dir(uid);
        let dead = |pod: Arc<Pod>| {
            *hold(&pod.link) = Link { phase: Phase::Gone, containers: dir.remains(), ..Link::default() };
            hold(&self.pods).insert(uid.into(), pod);
        };
        let whose = dir.whose().filter(|pod| pod.uid == uid);
        if let Some(whose) = &whose {
            let pod = Arc::new(self.new_pod(whose));
            if dir.is_locked() {
                // Something lives. A stage 0 that was just started may not listen yet.
                let mut stream = None;
                let _ = wait_until(ANSWER_MAX, || {
                    stream = dial(&dir).ok();
                    stream.is_some() || !dir.is_locked()
                });
                if let Some(stream) = stream
                    && self.greet(&pod, stream).is_ok()
                {
                    hold(&self.pods).insert(uid.into(), pod);
                    return;
                }
            }
            if !dir.is_locked() && dir.read_state().is_some() {
                return dead(pod);
            }
        }
        // Half made, half removed, or with an init that does not come up: as if it had never been.
        if let Err(failure) = remove_remains(&self.cgroups, &self.pods_dir(), uid) {
            complain(format_args!("pod {uid}: {failure}"));
            // The other pods must not wait for it. The kubelet has it removed as often as that takes.
            dead(Arc::new(self.new_pod(&whose.unwrap_or_else(|| records::nameless(uid)))));
        }
    }

    /// Asks a living pod-init for its state, and begins to listen to it.
    ///
    /// One that is slow to answer, perhaps waiting for a disk, is believed what it wrote down last.
    fn greet(self: &Arc<Self>, pod: &Arc<Pod>, mut stream: UnixStream) -> Result<(), Failure> {
        let set = stream
            .set_write_timeout(Some(ANSWER_MAX))
            .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(2))));
        set.map_err(failed_io("limit the socket"))?;
        let ask = wire::frame(&Request::Tell).and_then(|frame| stream.write_all(&frame));
        ask.map_err(failed_io("ask the pod-init"))?;
        let mut link = Link { phase: Phase::Alive, ..Link::default() };
        let (pid, start_time, containers) = loop {
            match link.inbox.wait(&mut stream) {
                Ok(Event::State { pid, start_time, containers }) => break (pid, start_time, containers),
                // Told to all that are connected; it will be in the state.
                Ok(Event::Container(_)) => {}
                Ok(Event::Failed { .. }) => return Err(unexpected("a pod-init that failed")),
                Ok(_) => return Err(unexpected("a pod-init that was asked nothing else")),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let state = pod.dir.read_state().filter(|state| state.boot_id == self.boot_id);
                    let state = state.ok_or_else(|| unexpected("a pod-init without a record"))?;
                    break (state.pid, state.start_time, state.containers);
                }
                Err(error) => return Err(failed_io("hear the pod-init")(error)),
            }
        };
        link.pidfd = Some(Arc::new(identified(pid, start_time).map_err(failed("find the pod-init"))?));
        for container in &containers {
            if !matches!(container.state, ContainerState::NotStarted { .. }) {
                link.asked.insert(container.name.clone(), container.attempt);
            }
        }
        link.containers = containers;
        self.connect(pod, link, stream)
    }

    /// The watching thread.
    fn watch(self: Arc<Self>) {
        while let Some(ready) = self.watches.wait() {
            for (pod, what) in ready {
                match what {
                    What::Socket => self.hear(&pod),
                    What::End => self.ended(&pod),
                }
            }
        }
    }

    fn hear(self: &Arc<Self>, pod: &Arc<Pod>) {
        let open = {
            let mut link = hold(&pod.link);
            let Link { stream: Some(stream), inbox, .. } = &mut *link else { return };
            // It is readable, and nobody else reads: this does not block.
            matches!(inbox.read(stream), Ok(true))
        };
        self.drain(pod);
        if open {
            return;
        }
        // Either the pod-init is ending, which its pidfd will tell, or it has let us go as too slow.
        let (old, keys) = {
            let mut link = hold(&pod.link);
            (link.pidfd.clone(), std::mem::take(&mut link.keys))
        };
        let (sockets, ends): (Vec<u64>, Vec<u64>) = keys.into_iter().partition(|key| self.watches.is_socket(*key));
        sockets.into_iter().for_each(|key| self.watches.remove(key));
        hold(&pod.link).keys = ends;
        hold(&pod.link).stream = None;
        if old.is_some_and(|pidfd| !ends_within(&pidfd, Duration::ZERO))
            && let Ok(mut stream) = dial(&pod.dir)
            && wire::frame(&Request::Tell).and_then(|frame| stream.write_all(&frame)).is_ok()
            && let Ok(watched) = stream.as_fd().try_clone_to_owned()
            && let Ok(key) = self.watches.add(watched, pod, What::Socket)
        {
            let mut link = hold(&pod.link);
            link.keys.push(key);
            link.inbox = Inbox::default();
            link.stream = Some(stream);
        }
    }

    /// Turns what has been heard into reports.
    fn drain(&self, pod: &Pod) {
        loop {
            let mut news = Vec::new();
            {
                let mut link = hold(&pod.link);
                match link.inbox.message::<Event>() {
                    Ok(Some(Event::Container(report))) => link.learn(report, &mut news),
                    Ok(Some(Event::State { containers, .. })) => {
                        for report in containers {
                            if !link.containers.contains(&report) {
                                link.learn(report, &mut news);
                            }
                        }
                    }
                    Ok(Some(Event::Failed { message })) => complain(format_args!("pod {}: {message}", pod.pod.uid)),
                    // Said on the connections of sessions only.
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(error) => {
                        complain(format_args!("pod {}: a message that cannot be read: {error}", pod.pod.uid));
                        link.inbox = Inbox::default();
                        return;
                    }
                }
            }
            news.into_iter().for_each(|report| self.tell(&pod.pod, report));
        }
    }

    /// The pod-init has ended, and all its processes with it.
    fn ended(&self, pod: &Pod) {
        self.drain(pod);
        let (keys, before) = {
            let mut link = hold(&pod.link);
            if link.phase != Phase::Alive {
                return;
            }
            link.phase = Phase::Gone;
            link.stream = None;
            link.pidfd = None;
            let remains = pod.dir.remains();
            (std::mem::take(&mut link.keys), std::mem::replace(&mut link.containers, remains))
        };
        keys.into_iter().for_each(|key| self.watches.remove(key));
        let remains = hold(&pod.link).containers.clone();
        // Written down, but not told any more.
        for report in remains.into_iter().filter(|report| !before.contains(report)) {
            if report.state != ContainerState::Unknown {
                self.tell(&pod.pod, report);
            }
        }
        (self.report)(Report::SandboxGone { pod: pod.pod.clone() });
    }
}

impl Link {
    fn learn(&mut self, report: ContainerReport, news: &mut Vec<ContainerReport>) {
        match report.state {
            // To be asked for again, perhaps with the same number.
            ContainerState::NotStarted { .. } if self.asked.get(&report.name) == Some(&report.attempt) => {
                self.asked.remove(&report.name);
            }
            ContainerState::Absent => return news.push(report),
            _ => {}
        }
        match self.containers.iter_mut().find(|known| known.name == report.name) {
            // An answer about an earlier attempt, or a refusal while another runs, changes nothing.
            Some(known) if known.attempt > report.attempt => {}
            Some(known) => *known = report.clone(),
            None => self.containers.push(report.clone()),
        }
        news.push(report);
    }
}

fn unexpected(what: &str) -> Failure {
    Failure { operation: format!("hear from {what}: not what was expected"), errno: Errno::EPROTO }
}

/// What is in a pod's `etc`: the same for all its containers.
///
/// There is no network but loopback yet, hence no name server.
fn pod_files(hostname: &str) -> [(&'static str, String); 3] {
    let hosts = format!(
        "# Managed by miniku.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\t{hostname}\n"
    );
    [
        ("hosts", hosts),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", "# No name server: the pod has no network but loopback.\n".to_owned()),
    ]
}

/// The directories of one start, in place of all that is left of earlier ones but the last one's output.
fn make_attempt(dir: &PodDir, container: &str, attempt: u32) -> Result<(), Failure> {
    let parent = dir.container(container);
    match fs::create_dir(&parent) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let entries = fs::read_dir(&parent).map_err(failed_io(format!("read {}", parent.display())))?;
            for entry in entries.flatten() {
                let (name, path) = (entry.file_name(), entry.path());
                let number = name.to_string_lossy().split('.').next().and_then(|number| number.parse::<u32>().ok());
                let is_layer = path.is_dir();
                match number {
                    // Also of this very attempt, which then has failed before.
                    Some(number) if is_layer && number <= attempt => remove_directory(&path)?,
                    // `kubectl logs --previous` shows one back.
                    Some(number) if !is_layer && number.saturating_add(1) < attempt => {
                        fs::remove_file(&path).map_err(failed_io(format!("remove {}", path.display())))?;
                    }
                    _ => {}
                }
            }
        }
        Err(error) => return Err(failed_io(format!("mkdir {}", parent.display()))(error)),
    }
    let layer = dir.attempt(container, attempt);
    for path in [layer.clone(), layer.join("upper"), layer.join("work")] {
        fs::create_dir(&path).map_err(failed_io(format!("mkdir {}", path.display())))?;
    }
    // It becomes the container's root directory, whatever this process's umask is.
    set_mode(&layer.join("upper"), 0o755)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    let changed = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    changed.map_err(failed_io(format!("chmod {}", path.display())))
}

/// `miniku://` and 64 hexadecimal digits that nobody has had before.
fn new_id() -> nix::Result<String> {
    let bytes: [u8; 32] = enter::random_bytes()?;
    let mut id = String::from("miniku://");
    for byte in bytes {
        id.push_str(&format!("{byte:02x}"));
    }
    Ok(id)
}

/// A descriptor of the process with this number, if it is still the one that began then.
fn identified(pid: u32, start_time: u64) -> nix::Result<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::ESRCH)?))?;
    // Held now, so the number cannot change its meaning any more.
    if records::start_time(pid) == Some(start_time) { Ok(pidfd) } else { Err(Errno::ESRCH) }
}

fn ends_within(pidfd: &OwnedFd, at_most: Duration) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(at_most.as_millis()).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => {}
            Ok(count) => return count > 0,
            Err(_) => return false,
        }
    }
}

/// Connects to a pod's socket, through the descriptor of its directory: the path may be too long for one.
fn dial(dir: &PodDir) -> std::io::Result<UnixStream> {
    let directory = File::open(&dir.0)?;
    UnixStream::connect(format!("/proc/self/fd/{}/socket", directory.as_raw_fd()))
}

/// Directories of this prefix are being removed.
const GONE: &str = ".gone-";

/// Removes cgroups and directory of a pod that nothing of should live any more; kills what does.
fn remove_remains(cgroups: &Cgroups, pods_dir: &Path, uid: &str) -> Result<(), Failure> {
    cgroups.kill_pod(uid);
    let dir = PodDir(pods_dir.join(uid));
    // The lock is let go of by the last process.
    wait_until(END_MAX, || !dir.is_locked()).map_err(failed(format!("wait for the processes of pod {uid}")))?;
    cgroups.remove_pod(uid)?;
    // In one step from a pod to rubbish: a removal that is interrupted leaves no pod without a record.
    let gone = pods_dir.join(format!("{GONE}{uid}"));
    // Unless an earlier one of this uid could not be removed to its end.
    remove_directory(&gone)?;
    match fs::rename(&dir.0, &gone) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed_io(format!("rename {}", dir.0.display()))(error)),
    }
    remove_directory(&gone)
}

fn remove_directory(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failed_io(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Removes all that any node has ever made below a data directory: processes, cgroups, pods, images.
///
/// What others have put there stays. Nodes must not be running; waits a few seconds for them to end.
pub fn down(dir: &Path) -> Result<(), Failure> {
    if !dir.exists() {
        return Ok(());
    }
    let dir = canonical(dir)?;
    let nodes = dir.join("nodes");
    for entry in fs::read_dir(&nodes).into_iter().flatten().flatten() {
        let node = entry.file_name().to_string_lossy().into_owned();
        let (pods_dir, lock) = (entry.path().join("pods"), entry.path().join(LOCK));
        // Others have directories of this name as well.
        if !(pods_dir.is_dir() || lock.is_file()) {
            continue;
        }
        let _lock = lock_node(&entry.path())?;
        let cgroups = Cgroups::of_node(&dir, &node)?;
        for pod in fs::read_dir(&pods_dir).into_iter().flatten().flatten() {
            let uid = pod.file_name().to_string_lossy().into_owned();
            // By its init first, in case its cgroup is not there any more.
            if let Some(state) =
                PodDir(pod.path()).read_state().filter(|state| records::boot_id().is_ok_and(|id| id == state.boot_id))
                && let Ok(pidfd) = identified(state.pid, state.start_time)
                && pidfd_kill(pidfd.as_fd(), Signal::SIGKILL).is_ok()
            {
                ends_within(&pidfd, END_MAX);
            }
            if !uid.starts_with(GONE) {
                remove_remains(&cgroups, &pods_dir, &uid)?;
            }
        }
        cgroups.remove_all()?;
        remove_directory(&pods_dir)?;
        fs::remove_file(&lock).map_err(failed_io(format!("remove {}", lock.display())))?;
        // Here and below: only if it is empty.
        let _ = fs::remove_dir(entry.path());
    }
    let _ = fs::remove_dir(&nodes);
    Images::at(dir.join("images")).remove()?;
    let _ = fs::remove_dir(&dir);
    Ok(())
}

/// What the watching thread waits for.
struct Watches {
    epoll: Epoll,
    wake: EventFd,
    watched: Mutex<BTreeMap<u64, Watched>>,
    next: AtomicU64,
}

struct Watched {
    fd: OwnedFd,
    pod: Arc<Pod>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Socket,
    End,
}

/// The key of the descriptor that says to stop.
const STOP: u64 = 0;

impl Watches {
    fn new() -> Result<Watches, Failure> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll_create"))?;
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC).map_err(failed("eventfd"))?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, STOP)).map_err(failed("epoll_ctl"))?;
        Ok(Watches { epoll, wake, watched: Mutex::default(), next: AtomicU64::new(STOP + 1) })
    }

    fn add(&self, fd: OwnedFd, pod: &Arc<Pod>, what: What) -> Result<u64, Failure> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let mut watched = hold(&self.watched);
        self.epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, key)).map_err(failed("epoll_ctl"))?;
        watched.insert(key, Watched { fd, pod: Arc::clone(pod), what });
        Ok(key)
    }

    fn remove(&self, key: u64) {
        if let Some(watched) = hold(&self.watched).remove(&key) {
            // The descriptor is a duplicate: closing it alone would not end the watch.
            let _ = self.epoll.delete(&watched.fd);
        }
    }

    fn is_socket(&self, key: u64) -> bool {
        hold(&self.watched).get(&key).is_some_and(|watched| watched.what == What::Socket)
    }

    fn stop(&self) {
        // Only a counter at its end makes this fail, and then it is readable anyway.
        let _ = self.wake.write(1);
    }

    /// The next that are ready, sockets before ends: last words come before the end. `None` to stop.
    fn wait(&self) -> Option<Vec<(Arc<Pod>, What)>> {
        let mut events = [EpollEvent::empty(); 64];
        let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => {
                complain(format_args!("epoll_wait: {errno}"));
                return None;
            }
        };
        let keys: Vec<u64> = events[..count].iter().map(EpollEvent::data).collect();
        if keys.contains(&STOP) {
            return None;
        }
        let watched = hold(&self.watched);
        let of = |key: &u64| watched.get(key).map(|watched| (Arc::clone(&watched.pod), watched.what));
        let mut ready: Vec<(Arc<Pod>, What)> = keys.iter().filter_map(of).collect();
        ready.sort_by_key(|(_, what)| *what == What::End);
        Some(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_well_formed() {
        let (one, other) = (new_id().unwrap(), new_id().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), "miniku://".len() + 64);
    }

    #[test]
    fn a_number_alone_identifies_no_process() {
        let pid = std::process::id();
        let began = records::start_time(pid).unwrap();
        assert!(identified(pid, began).is_ok());
        assert_eq!(identified(pid, began + 1).err(), Some(Errno::ESRCH));
    }
}
