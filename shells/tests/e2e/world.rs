//! A machine to test on: a network, data directories, daemons, and what the kernel says about them.

use crate::http::Server;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Long, for a busy machine; nothing waits so long unless it fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub const MINIKU: &str = env!("CARGO_BIN_EXE_miniku");

/// Runs a test on a thread that has a network of its own, and so have the processes that it starts.
pub fn isolated(test: impl FnOnce() + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        raise_loopback();
        test();
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// `ip link set lo up`, without needing ip. Source: netdevice(7).
fn raise_loopback() {
    // SAFETY: `ifreq` is plain data for which all zeros is valid; the name fits and stays terminated; the descriptor is
    // open until it is closed here, once.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        assert!(socket >= 0, "{}", std::io::Error::last_os_error());
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let done = libc::ioctl(socket, libc::SIOCSIFFLAGS, &request);
        assert!(done == 0, "{}", std::io::Error::last_os_error());
        libc::close(socket);
    }
}

/// Waits until there is an answer.
#[track_caller]
pub fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    wait(what, || so().then_some(()));
}

/// Runs a command to its end, which must come before the deadline.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let limit = DEADLINE.as_secs().to_string();
    let done = Command::new("timeout").args([&limit, program]).args(arguments).stdin(Stdio::null()).output();
    done.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Runs miniku to its end.
pub fn miniku(arguments: &[&str]) -> Output {
    run(MINIKU, arguments)
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A data directory, with a short path since sockets are in it.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Dir(std::env::temp_dir().join(format!("mk{}-{number}", std::process::id())))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Starts `miniku up` here, and waits until it is ready. At the port of the README.
    pub fn up(&self, more: &[&str]) -> Daemon {
        let up = Daemon::start(&[&["up", "--data-dir", self.path()], more].concat());
        up.ready();
        up
    }

    /// Starts an API server here, and waits until it is ready.
    pub fn apiserver(&self, more: &[&str]) -> Daemon {
        let server = Daemon::start(&[&["apiserver", "--data-dir", self.path()], more].concat());
        server.ready();
        server
    }

    /// The pods' directories, of all nodes.
    pub fn pods(&self) -> Vec<PathBuf> {
        let nodes = fs::read_dir(self.0.join("nodes")).into_iter().flatten().flatten();
        let pods = nodes.filter_map(|node| fs::read_dir(node.path().join("pods")).ok());
        pods.flatten().flatten().map(|pod| pod.path()).collect()
    }

    /// What there is of this directory's pods: directories, mounts, cgroups, processes.
    pub fn traces(&self) -> Vec<String> {
        let mut traces: Vec<String> = self.pods().iter().map(|pod| pod.display().to_string()).collect();
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let below = format!(" {}/", self.path());
        traces.extend(mounts.lines().filter(|mount| mount.contains(&below)).map(str::to_owned));
        for node in self.cgroups() {
            let inner = fs::read_dir(&node).into_iter().flatten().flatten();
            traces.extend(
                inner.map(|entry| entry.path()).filter(|path| path.is_dir()).map(|path| path.display().to_string()),
            );
            let end = node.file_name().unwrap().to_str().unwrap().to_owned();
            traces.extend(processes(&format!("/{end}")).iter().map(|pid| format!("process {pid} in {end}")));
        }
        traces
    }

    /// The cgroups of this directory's nodes, in every hierarchy.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let hash = self.0.canonicalize().ok().and_then(|path| {
            let nodes = miniku_runtime::cgroup::Cgroups::of_node(&path, "n").ok()?.directories();
            let name = nodes.first()?.file_name()?.to_str()?.to_owned();
            name.strip_prefix("n-").map(str::to_owned)
        });
        let Some(hash) = hash else { return Vec::new() };
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        let roots = hierarchies
            .chain([PathBuf::from("/sys/fs/cgroup")])
            .filter_map(|root| fs::read_dir(root.join("miniku")).ok());
        let nodes = roots.flatten().flatten().map(|entry| entry.path());
        nodes.filter(|node| node.to_str().is_some_and(|path| path.ends_with(&hash))).collect()
    }
}

/// Whoever has started something here is dropped before this is.
impl Drop for Dir {
    fn drop(&mut self) {
        if !self.0.exists() {
            return;
        }
        let cgroups = self.cgroups();
        let done = miniku(&["down", "--data-dir", self.path()]);
        let _ = fs::remove_dir_all(&self.0);
        if !thread::panicking() {
            assert!(done.status.success(), "{}", stderr(&done));
            assert!(!stdout(&done).contains("stopping"), "a test ends what it started");
            assert!(!cgroups.iter().any(|cgroup| cgroup.exists()), "left: {cgroups:?}");
        }
    }
}

/// A miniku that runs until it is told to stop.
pub struct Daemon {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    pub fn start(arguments: &[&str]) -> Daemon {
        let mut command = Command::new(MINIKU);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (said, stderr) = (lines.clone(), BufReader::new(child.stderr.take().unwrap()));
        // Ends with the process, which alone has the other end.
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| said.lock().unwrap().push(line)));
        Daemon { child, lines }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line that contains this.
    #[track_caller]
    pub fn says(&self, text: &str) -> String {
        let find = || self.lines.lock().unwrap().iter().find(|line| line.contains(text)).cloned();
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(line) = find() {
                return line;
            }
            assert!(Instant::now() < deadline, "it did not say {text:?}, but:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it serves; where.
    #[track_caller]
    pub fn ready(&self) -> Server {
        let line = self.says("ready at http://");
        let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
        Server::at(address)
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; how it ended, and after what time.
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let status = wait("it ends", || self.child.try_wait().unwrap());
        (status, began.elapsed())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("-- miniku, pid {}, said:\n{}", self.child.id(), self.log());
        }
    }
}

/// Processes in cgroups whose path contains this; those that only wait to be reaped are none.
pub fn processes(cgroup: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.contains(cgroup) && alive(*pid)
    })
    .collect()
}

pub fn alive(pid: u32) -> bool {
    // The state is the first field after the name, which may contain anything.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The processes of a pod's containers. Its init is none of them; below `init` it is alone.
pub fn container_processes(uid: &str) -> Vec<u32> {
    let inits = processes(&format!("{uid}/init\n"));
    processes(&format!("{uid}/")).into_iter().filter(|pid| !inits.contains(pid)).collect()
}

/// The first process of a pod's container, as the machine numbers it.
pub fn main_process(uid: &str) -> Option<u32> {
    container_processes(uid).into_iter().min_by_key(|pid| started(*pid))
}

/// When a process was started, in ticks since the machine was. Source: proc_pid_stat(5), field 22.
fn started(pid: u32) -> (u64, u32) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    (fields.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(u64::MAX), pid)
}

/// A file's text, or where a link of /proc leads.
pub fn namespace(pid: u32, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

/// Runs a command in the namespaces of a process.
pub fn in_pod(pid: u32, command: &[&str]) -> String {
    let pid = pid.to_string();
    let output = run("nsenter", &[&["-t", &pid, "-m", "-u", "-p", "-r"], command].concat());
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    stdout(&output)
}

/// Gives this thread, and what it starts, its own view of the mounts, with a small disk at this path.
pub fn small_disk(at: &Path, size: &str) {
    use nix::mount::{MsFlags, mount};
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    fs::create_dir_all(at).unwrap();
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(format!("size={size}").as_str())).unwrap();
}
