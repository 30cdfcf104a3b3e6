//! Pods on the real kernel. Needs root.
//!
//! Every test has a data directory, hence cgroups, of its own, and leaves nothing behind, whether it
//! passes or not. Nothing sleeps for luck: each step waits for what it needs, up to a deadline.

#[path = "pods/sessions.rs"]
mod sessions;

use miniku_core::kubelet::runtime::{
    Command, ContainerReport, ContainerSpec, ContainerState, Limits, PodRef, PodReport, PodSpec, Report, StartError,
};
use miniku_runtime::logs::Stream;
use miniku_runtime::{Config, LogReader, Runtime, down};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Long, for a busy machine or an emulated one; nothing waits so long unless it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// The binary that can be a pod-init. A test that runs elsewhere than where it was built is told where.
fn exe() -> PathBuf {
    std::env::var_os("MINIKU_POD_INIT").map_or_else(|| env!("CARGO_BIN_EXE_miniku-pod-init").into(), PathBuf::from)
}

/// A data directory that is removed, with all that runs in it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("miniku-test-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path.canonicalize().unwrap())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let done = down(&self.0);
        let _ = fs::remove_dir_all(&self.0);
        if !std::thread::panicking() {
            done.unwrap();
        }
    }
}

/// A runtime and what it reported. Dropped in this order: first it is closed, then its directory goes.
struct Node {
    runtime: Runtime,
    reports: mpsc::Receiver<Report>,
    /// Received, but not what was waited for.
    others: RefCell<Vec<Report>>,
    dir: Dir,
}

impl Node {
    fn new(name: &str) -> Node {
        Node::in_dir(Dir::new(name))
    }

    fn in_dir(dir: Dir) -> Node {
        Node::with_pod_init(dir, exe())
    }

    fn with_pod_init(dir: Dir, exe: PathBuf) -> Node {
        let (sender, reports) = mpsc::channel();
        let config = Config { dir: dir.0.clone(), node: "node-1".into(), exe };
        let report = move |report| drop(sender.send(report));
        let runtime = Runtime::open(config, report).expect("open a runtime: root is needed");
        Node { runtime, reports, others: RefCell::default(), dir }
    }

    /// Closes the runtime and opens another one on the same directory.
    fn reopen(self) -> Node {
        let Node { runtime, dir, .. } = self;
        drop(runtime);
        Node::in_dir(dir)
    }

    /// The first report that `pick` takes.
    fn wait<T>(&self, what: &str, pick: impl Fn(&Report) -> Option<T>) -> T {
        let mut others = self.others.borrow_mut();
        if let Some((index, found)) = others.iter().enumerate().find_map(|(index, report)| Some((index, pick(report)?)))
        {
            others.remove(index);
            return found;
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left) {
                Ok(report) => match pick(&report) {
                    Some(found) => return found,
                    None => others.push(report),
                },
                Err(_) => panic!("no report of {what}; others: {others:#?}"),
            }
        }
    }

    fn state(&self, pod: &str, container: &str, attempt: u32) -> ContainerState {
        self.wait(&format!("{pod}/{container}.{attempt}"), |report| match report {
            Report::Container { pod: of, container: name, attempt: number, state }
                if of.uid == pod && name == container && *number == attempt =>
            {
                Some(state.clone())
            }
            _ => None,
        })
    }

    fn running(&self, pod: &str, container: &str, attempt: u32) -> u32 {
        match self.state(pod, container, attempt) {
            ContainerState::Running { pid, id, image, image_id, .. } => {
                assert_eq!(image, "busybox");
                assert!(pid > 1 && id.starts_with("miniku://") && image_id.starts_with("miniku/busybox@sha256:"));
                pid
            }
            other => panic!("not running: {other:?}; {}", self.complaints(pod)),
        }
    }

    fn complaints(&self, pod: &str) -> String {
        fs::read_to_string(self.pod_dir(pod).join("init.log")).unwrap_or_default()
    }

    fn pod_dir(&self, pod: &str) -> PathBuf {
        self.dir.0.join("nodes/node-1/pods").join(pod)
    }

    /// Code, signal, OOM.
    fn exited(&self, pod: &str, container: &str, attempt: u32) -> (i32, Option<i32>, bool) {
        self.wait(&format!("the end of {pod}/{container}.{attempt}"), |report| match report {
            Report::Container { pod: of, container: name, attempt: number, state }
                if of.uid == pod && name == container && *number == attempt =>
            {
                let ContainerState::Exited { code, signal, oom, started, finished, .. } = state else { return None };
                assert!(started <= finished);
                Some((*code, *signal, *oom))
            }
            _ => None,
        })
    }

    fn log(&self, pod: &str, container: &str, attempt: u32) -> Vec<(Stream, String)> {
        let path = self.runtime.log_path(pod, container, attempt).unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        let mut lines = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            lines.push((entry.stream, String::from_utf8(entry.text).unwrap()));
        }
        lines
    }

    fn stdout(&self, pod: &str) -> String {
        let lines = self.log(pod, "c", 0).into_iter().filter(|(stream, _)| *stream == Stream::Stdout);
        lines.map(|(_, text)| text).collect::<Vec<_>>().join("\n")
    }

    /// Waits for a line of output.
    fn wait_for_line(&self, pod: &str, line: &str) {
        let path = self.runtime.log_path(pod, "c", 0).unwrap();
        let deadline = Instant::now() + DEADLINE;
        let mut found = false;
        let mut reader = LogReader::open(&path).unwrap();
        let followed = reader.follow(
            || Instant::now() > deadline,
            |entry| {
                found = entry.text == line.as_bytes();
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        followed.unwrap();
        assert!(found, "{pod} did not write {line:?}");
    }

    /// Runs a script to its end: its code, and what it wrote to its standard output.
    fn sh(&self, pod: &str, script: &str) -> (i32, String) {
        self.run(pod, script);
        self.running(pod, "c", 0);
        let (code, ..) = self.exited(pod, "c", 0);
        (code, self.stdout(pod))
    }

    fn run(&self, pod: &str, script: &str) {
        self.runtime.perform(Command::RunPod(spec(pod, vec![sh(script)])));
    }

    fn remove(&self, pod: &str) {
        self.runtime.perform(Command::RemovePod(pod_ref(pod)));
        self.wait(&format!("removal of {pod}"), |report| match report {
            Report::Removed { pod: removed } if removed.uid == pod => Some(()),
            Report::RemoveFailed { message, .. } => panic!("{message}"),
            _ => None,
        });
    }

    fn list(&self) -> Vec<PodReport> {
        self.runtime.perform(Command::List);
        self.wait("the list", |report| match report {
            Report::Listed(pods) => Some(pods.clone()),
            _ => None,
        })
    }

    /// What is left of pods: mounts, cgroups, processes, directories.
    fn remains(&self) -> Vec<String> {
        let mut remains = Vec::new();
        let dir = self.dir.0.to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        remains.extend(mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned));
        for cgroup in self.runtime.cgroup_directories() {
            remains.extend(miniku_runtime::cgroup::processes(&cgroup).iter().map(|pid| format!("process {pid}")));
            let entries = fs::read_dir(&cgroup).unwrap().flatten();
            let groups = entries.filter(|entry| entry.file_type().unwrap().is_dir());
            remains.extend(groups.map(|entry| entry.path().display().to_string()));
        }
        let pods = fs::read_dir(self.dir.0.join("nodes/node-1/pods")).unwrap().flatten();
        remains.extend(pods.map(|entry| entry.path().display().to_string()));
        remains
    }

    /// Reads a setting of a container's cgroup from whichever of the files exists.
    fn setting(&self, pod: &str, container: &str, files: &[&str]) -> String {
        let directories = self.runtime.cgroup_directories();
        let paths = directories
            .iter()
            .flat_map(|directory| files.iter().map(move |file| directory.join(pod).join(container).join(file)));
        let texts: Vec<String> = paths.filter_map(|path| fs::read_to_string(path).ok()).collect();
        texts.first().unwrap_or_else(|| panic!("none of {files:?}")).trim().to_owned()
    }
}

fn pod_ref(uid: &str) -> PodRef {
    PodRef { uid: uid.into(), namespace: "default".into(), name: format!("name-of-{uid}").into() }
}

fn spec(uid: &str, containers: Vec<ContainerSpec>) -> PodSpec {
    PodSpec { pod: pod_ref(uid), hostname: format!("host-{uid}"), limits: Limits::default(), containers }
}

fn sh(script: &str) -> ContainerSpec {
    container("c", &["sh", "-c", script])
}

fn container(name: &str, command: &[&str]) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        attempt: 0,
        image: "busybox".into(),
        command: command.iter().map(|part| part.to_string()).collect(),
        args: vec![],
        env: BTreeMap::new(),
        working_dir: None,
        stdio: Default::default(),
        limits: Limits::default(),
    }
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_container_runs_writes_and_ends() {
    let node = Node::new("ends");
    node.run("p", "echo out; echo err >&2; printf 'no end'; exit 7");
    node.running("p", "c", 0);
    assert_eq!(node.exited("p", "c", 0), (7, None, false));
    let mut log = node.log("p", "c", 0);
    log.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    let want = [(Stream::Stdout, "out"), (Stream::Stdout, "no end"), (Stream::Stderr, "err")];
    assert_eq!(log, want.map(|(stream, text)| (stream, text.to_owned())));
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn a_container_sees_only_itself() {
    let node = Node::new("sees");
    let mut pod = spec(
        "p",
        vec![sh("
        echo pid $$; hostname; cat /etc/hostname; grep -c . /etc/hosts; echo processes $(ls -d /proc/[0-9]* | wc -l)
        echo $HOSTNAME $A $HOME; pwd; id -u; ip -o addr show lo | grep -c 127.0.0.1; ip link | grep -c '^[0-9]'
        ls /dev | tr '\\n' ' '; echo; echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo to-stdout > /dev/stdout
        echo cgroup $(tail -n 1 /proc/self/cgroup | cut -d: -f3); umask; stat -c %a /tmp; touch /tmp/x && echo writable
        cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l")],
    );
    pod.containers[0].env.insert("A".into(), "b c".into());
    pod.containers[0].working_dir = Some("/made/for/this".into());
    node.runtime.perform(Command::RunPod(pod));
    node.running("p", "c", 0);
    assert_eq!(node.exited("p", "c", 0), (0, None, false), "{:?}", node.log("p", "c", 0));
    let want = "pid 1\nhost-p\nhost-p\n4\nprocesses 3\nhost-p b c /root\n/made/for/this\n0\n1\n1\n\
        fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero \n3\nto-stdout\n\
        cgroup /\n0022\n1777\nwritable\n0\n4";
    // The number of processes counts the shell, a subshell and `ls`, which may come and go as one.
    // Where the pod-init's score cannot be lowered, the container's is higher.
    let normal = |text: &str| text.replace("processes 4", "processes 3").replace("\n500\n", "\n0\n");
    assert_eq!(normal(&node.stdout("p")), want);

    // Without a shell, which ignores some signals itself.
    node.runtime.perform(Command::RunPod(spec("q", vec![container("c", &["grep", "SigIgn", "/proc/self/status"])])));
    node.running("q", "c", 0);
    assert_eq!(node.exited("q", "c", 0).0, 0);
    assert_eq!(node.stdout("q"), "SigIgn:\t0000000000000000");
}

#[test]
fn what_belongs_to_the_machine_is_out_of_reach() {
    let node = Node::new("reach");
    let (code, out) = node.sh("p", "
        head -c 1 /proc/kcore | wc -c; head -c 1 /proc/keys | wc -c; ls /sys/firmware | wc -l
        echo 1 > /proc/sys/kernel/panic || echo proc-sys; echo x > /proc/sysrq-trigger || echo sysrq
        mkdir /sys/x || echo sys; mknod /dev/disk b 254 0 || echo dev
        mknod /disk b 254 0 && head -c 1 /disk || echo nodev; mknod /dev/shm/disk b 254 0 && head -c 1 /dev/shm/disk || echo nodev
        grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '
        mount -t tmpfs x /mnt || echo mount; unshare -U true || echo unshare; umount /proc || echo umount
        chroot / true && echo chroot-allowed
        ls /proc/1/root/ > /dev/null && echo own-root; grep -c ' / ' /proc/self/mountinfo");
    assert_eq!(code, 0);
    // Docker's fourteen are 0xa80425fb.
    let want = "0\n0\n0\nproc-sys\nsysrq\nsys\ndev\nnodev\nnodev\nCapInh: 0000000000000000\nCapPrm: 00000000a80425fb\n\
        CapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\nCapAmb: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n\
        mount\nunshare\numount\nchroot-allowed\nown-root";
    let out: Vec<&str> = out.lines().collect();
    assert_eq!(out[..out.len() - 1].join("\n"), want, "{:?}", node.log("p", "c", 0));
}

#[test]
fn containers_of_a_pod_share_network_names_and_memory() {
    let node = Node::new("share");
    let first = "echo text > /dev/shm/f; for ns in net ipc uts pid mnt; do readlink /proc/self/ns/$ns; done; hostname; \
        while [ ! -e /dev/shm/seen ]; do sleep 0.01; done";
    let second = "while [ ! -e /dev/shm/f ]; do sleep 0.01; done; for ns in net ipc uts pid mnt; do readlink /proc/self/ns/$ns; done; \
        hostname; touch /dev/shm/seen";
    let containers = vec![container("a", &["sh", "-c", first]), container("b", &["sh", "-c", second])];
    node.runtime.perform(Command::RunPod(spec("p", containers)));
    for name in ["a", "b"] {
        node.running("p", name, 0);
        assert_eq!(node.exited("p", name, 0).0, 0);
    }
    let [a, b] = ["a", "b"].map(|name| node.log("p", name, 0));
    let same: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a == b).collect();
    assert_eq!(same, [true, true, true, false, false, true], "{a:?} {b:?}");
    let listed: Vec<String> = node.list().remove(0).containers.into_iter().map(|container| container.name).collect();
    assert_eq!(listed, ["a", "b"]);
}

#[test]
fn terminate_is_a_request_and_kill_is_not() {
    let node = Node::new("kill");
    node.run("p", "trap 'echo heard' TERM; echo ready; while true; do sleep 1000 & wait; done");
    let pid = node.running("p", "c", 0);
    node.wait_for_line("p", "ready");
    let terminate = |attempt| Command::Terminate { pod: pod_ref("p"), container: "c".into(), attempt };
    node.runtime.perform(terminate(0));
    node.wait_for_line("p", "heard");
    // Another attempt is meant: nothing happens but that the state is told.
    node.runtime.perform(Command::Kill { pod: pod_ref("p"), container: "c".into(), attempt: 1 });
    assert_eq!(node.running("p", "c", 0), pid);
    node.runtime.perform(Command::Kill { pod: pod_ref("p"), container: "c".into(), attempt: 0 });
    assert_eq!(node.exited("p", "c", 0), (137, Some(9), false));
    assert!(!exists(pid));
    // Repeated, it tells the same.
    node.runtime.perform(terminate(0));
    assert_eq!(node.exited("p", "c", 0), (137, Some(9), false));

    node.run("q", "trap 'exit 5' TERM; echo ready; while true; do sleep 1000 & wait; done");
    node.running("q", "c", 0);
    node.wait_for_line("q", "ready");
    node.runtime.perform(Command::Terminate { pod: pod_ref("q"), container: "c".into(), attempt: 0 });
    assert_eq!(node.exited("q", "c", 0), (5, None, false));
}

#[test]
fn out_of_memory_is_told_apart_from_a_kill() {
    let node = Node::new("oom");
    for (pod, script) in [
        ("itself", "exec dd if=/dev/zero of=/dev/shm/big bs=1M count=60"),
        ("child", "dd if=/dev/zero of=/dev/shm/big bs=1M count=60; exit $?"),
    ] {
        let mut spec = spec(pod, vec![sh(script)]);
        spec.containers[0].limits.memory_bytes = Some(24 << 20);
        node.runtime.perform(Command::RunPod(spec));
        node.running(pod, "c", 0);
        let (code, _, oom) = node.exited(pod, "c", 0);
        assert_eq!((code, oom), (137, true), "{pod}");
        node.remove(pod);
    }
    // The pod's own limit takes a container, but not the sandbox.
    let mut whole = spec(
        "whole",
        vec![sh("exec dd if=/dev/zero of=/dev/shm/big bs=1M count=60"), container("b", &["sleep", "1000"])],
    );
    whole.limits.memory_bytes = Some(24 << 20);
    node.runtime.perform(Command::RunPod(whole));
    node.running("whole", "c", 0);
    assert_eq!(node.exited("whole", "c", 0), (137, Some(9), true));
    assert!(node.list()[0].alive);
    node.remove("whole");
    // Too little to even make its root is an error of that, not an end of the program.
    let mut spec = spec("tiny", vec![sh("true")]);
    spec.containers[0].limits.memory_bytes = Some(64 << 10);
    node.runtime.perform(Command::RunPod(spec));
    let state = node.state("tiny", "c", 0);
    let is_create_error = |state: &ContainerState| {
        matches!(state, ContainerState::NotStarted { reason: StartError::CreateContainerError, .. })
    };
    assert!(is_create_error(&state) || matches!(state, ContainerState::Running { .. }), "{state:?}");
    node.remove("tiny");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn limits_are_in_the_cgroup() {
    let node = Node::new("limits");
    let mut spec = spec("p", vec![sh("while true; do sleep 1000; done")]);
    spec.containers[0].limits =
        Limits { memory_bytes: Some(64 << 20), cpu_milli: Some(250), cpu_request_milli: Some(500), pids: Some(32) };
    spec.limits.memory_bytes = Some(128 << 20);
    node.runtime.perform(Command::RunPod(spec));
    let pid = node.running("p", "c", 0);
    assert_eq!(node.setting("p", "c-0", &["memory.limit_in_bytes", "memory.max"]), (64 << 20).to_string());
    assert_eq!(node.setting("p", "", &["memory.limit_in_bytes", "memory.max"]), (128 << 20).to_string());
    assert!(["25000", "25000 100000"].contains(&node.setting("p", "c-0", &["cpu.cfs_quota_us", "cpu.max"]).as_str()));
    assert!(["512", "20"].contains(&node.setting("p", "c-0", &["cpu.shares", "cpu.weight"]).as_str()));
    assert_eq!(node.setting("p", "c-0", &["pids.max"]), "32");
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroups.lines().any(|line| line.ends_with("/p/c-0")), "{cgroups}");
    let usage = node.runtime.usage("p", "c", 0).unwrap();
    assert!(usage.memory_bytes >= usage.working_set_bytes && usage.working_set_bytes > 0, "{usage:?}");
    assert!(usage.cpu_nanos > 0, "{usage:?}");
    let (all, pods) = node.runtime.usages();
    let [pod] = pods.as_slice() else { panic!("{pods:?}") };
    assert_eq!((pod.pod.uid.as_str(), pod.containers.len(), pod.containers[0].0.as_str()), ("p", 1, "c"));
    // Each is read at its own moment: only what is read later is surely not less.
    assert!(all.cpu_nanos > 0 && pod.usage.cpu_nanos >= usage.cpu_nanos, "{all:?} {pod:?} {usage:?}");
    assert_eq!(node.runtime.usage("p", "c", 1), None);
}

#[test]
fn a_fork_bomb_stays_in_its_limit() {
    let node = Node::new("bomb");
    let mut spec = spec("p", vec![sh("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; echo all")]);
    spec.containers[0].limits.pids = Some(6);
    node.runtime.perform(Command::RunPod(spec));
    node.running("p", "c", 0);
    let (code, ..) = node.exited("p", "c", 0);
    assert_ne!(code, 0);
    assert_eq!(node.stdout("p"), "");
}

#[test]
fn what_cannot_start_says_why() {
    let node = Node::new("why");
    let refused = |pod: &str, container: ContainerSpec| {
        node.runtime.perform(Command::RunPod(spec(pod, vec![container])));
        match node.state(pod, "c", 0) {
            ContainerState::NotStarted { reason, message, .. } => (reason, message),
            other => panic!("{other:?}"),
        }
    };
    let check = |pod: &str, container: ContainerSpec, want: StartError, part: &str| {
        let (reason, message) = refused(pod, container);
        assert!(reason == want && message.contains(part), "{reason:?}: {message}");
    };
    check("a", container("c", &["nosuch"]), StartError::RunContainerError, "exec \"nosuch\"");
    check("b", container("c", &["/etc/passwd"]), StartError::RunContainerError, "EACCES");
    check("c", container("c", &["/nosuch"]), StartError::RunContainerError, "ENOENT");
    check("d", ContainerSpec { image: "nginx".into(), ..sh("") }, StartError::ErrImagePull, "\"nginx\"");
    check("e", ContainerSpec { image: "No Image".into(), ..sh("") }, StartError::InvalidImageName, "No Image");
    check("f", ContainerSpec { working_dir: Some("x".into()), ..sh("") }, StartError::CreateContainerError, "\"x\"");
    check("../../g", sh(""), StartError::CreatePodSandboxError, "../../g");

    let mut long = spec("h", vec![sh("")]);
    long.hostname = "x".repeat(65);
    node.runtime.perform(Command::RunPod(long));
    let state = node.state("h", "c", 0);
    assert!(
        matches!(&state, ContainerState::NotStarted { reason: StartError::CreatePodSandboxError, message, .. }
            if message.contains("set host name")),
        "{state:?}"
    );
    assert!(!node.pod_dir("h").exists());

    // Found again, and may be tried again under the same number.
    let listed = node.list();
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|pod| pod.alive && matches!(pod.containers[0].state, ContainerState::NotStarted { .. })));
    node.runtime.perform(Command::StartContainer { pod: pod_ref("a"), container: sh("exit 3") });
    node.running("a", "c", 0);
    assert_eq!(node.exited("a", "c", 0).0, 3);
}

#[test]
fn containers_may_be_called_like_files_of_their_pod() {
    let node = Node::new("names");
    let names = ["etc", "shm", "socket"];
    let containers = names.map(|name| container(name, &["cat", "/etc/hostname"]));
    node.runtime.perform(Command::RunPod(spec("p", containers.into())));
    for name in names {
        node.running("p", name, 0);
        assert_eq!(node.exited("p", name, 0).0, 0);
        assert_eq!(node.log("p", name, 0), [(Stream::Stdout, "host-p".to_owned())]);
    }
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn the_image_has_a_command_of_its_own() {
    let node = Node::new("default");
    node.runtime.perform(Command::RunPod(spec("p", vec![container("c", &[])])));
    node.running("p", "c", 0);
    // A shell whose standard input is empty.
    assert_eq!(node.exited("p", "c", 0), (0, None, false));
}

#[test]
fn a_restart_is_a_fresh_container() {
    let node = Node::new("restart");
    let again =
        |attempt| ContainerSpec { attempt, ..sh("ls /marker; touch /marker; echo attempt; sleep 0.02; exit 1") };
    node.runtime.perform(Command::RunPod(spec("p", vec![again(0)])));
    node.running("p", "c", 0);
    // The first still runs, or has ended: asked for again, it is not started again.
    node.runtime.perform(Command::RunPod(spec("p", vec![again(0)])));
    assert_eq!(node.exited("p", "c", 0).0, 1);
    let start =
        |attempt| node.runtime.perform(Command::StartContainer { pod: pod_ref("p"), container: again(attempt) });
    for attempt in 1..4 {
        start(attempt);
        node.running("p", "c", attempt);
        assert_eq!(node.exited("p", "c", attempt).0, 1);
        let out: Vec<String> = node
            .log("p", "c", attempt)
            .into_iter()
            .filter(|(stream, _)| *stream == Stream::Stdout)
            .map(|(_, text)| text)
            .collect();
        assert_eq!(out, ["attempt"]);
    }
    // The output before the last is kept, older is not; of the layers of files only the last is.
    let path = |attempt| node.runtime.log_path("p", "c", attempt).unwrap();
    assert_eq!([0, 1, 2, 3].map(|attempt| path(attempt).exists()), [false, false, true, true]);
    let layers = fs::read_dir(node.pod_dir("p").join("c")).unwrap().flatten().filter(|entry| entry.path().is_dir());
    assert_eq!(layers.count(), 1);
}

#[test]
fn a_running_container_is_not_started_twice() {
    let node = Node::new("twice");
    let spec = spec("p", vec![sh("while true; do sleep 1000; done")]);
    node.runtime.perform(Command::RunPod(spec.clone()));
    let pid = node.running("p", "c", 0);
    node.runtime.perform(Command::RunPod(spec));
    assert_eq!(node.running("p", "c", 0), pid);
    let second = ContainerSpec { attempt: 1, ..sh("true") };
    node.runtime.perform(Command::StartContainer { pod: pod_ref("p"), container: second });
    match node.state("p", "c", 1) {
        ContainerState::NotStarted { message, .. } => assert!(message.contains("still running"), "{message}"),
        other => panic!("{other:?}"),
    }
    // Nor has the attempt taken anything from the one that runs.
    assert!(node.pod_dir("p").join("c/0/upper").is_dir());
    assert!(matches!(
        node.list()[0].containers[0],
        ContainerReport { attempt: 0, state: ContainerState::Running { .. }, .. }
    ));
}

#[test]
fn pods_that_do_not_exist() {
    let node = Node::new("absent");
    node.runtime.perform(Command::StartContainer { pod: pod_ref("p"), container: sh("true") });
    assert_eq!(node.state("p", "c", 0), ContainerState::Absent);
    node.runtime.perform(Command::Kill { pod: pod_ref("p"), container: "c".into(), attempt: 4 });
    assert_eq!(node.state("p", "c", 4), ContainerState::Absent);
    node.remove("p");
    node.remove("../..");
    assert_eq!(node.list(), []);
}

#[test]
fn a_pod_dies_with_its_init() {
    let node = Node::new("init");
    node.runtime.perform(Command::RunPod(spec(
        "p",
        vec![container("a", &["sh", "-c", "exit 4"]), sh("while true; do sleep 1000; done")],
    )));
    node.running("p", "a", 0);
    assert_eq!(node.exited("p", "a", 0).0, 4);
    let pid = node.running("p", "c", 0);
    kill_init(pid);
    let gone = |report: &Report| matches!(report, Report::SandboxGone { pod } if pod.uid == "p").then_some(());
    node.wait("the end of the sandbox", gone);
    assert!(!exists(pid));
    let check = |node: &Node| {
        let listed = node.list();
        let states: Vec<&ContainerState> = listed[0].containers.iter().map(|container| &container.state).collect();
        assert!(!listed[0].alive);
        assert!(matches!(states[..], [ContainerState::Exited { code: 4, .. }, ContainerState::Unknown]), "{states:?}");
    };
    check(&node);
    // Whatever is asked of it now, the answer is that it is gone.
    node.runtime.perform(Command::RunPod(spec("p", vec![sh("true")])));
    node.wait("the end of the sandbox, again", gone);
    let node = node.reopen();
    check(&node);
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

/// Ends the parent of a container's process, which must be a pod-init.
fn kill_init(container: u32) {
    let status = fs::read_to_string(format!("/proc/{container}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    let parent = nix::unistd::Pid::from_raw(parent);
    let pidfd = miniku_runtime::enter::pidfd_open(parent).unwrap();
    let command = fs::read_to_string(format!("/proc/{parent}/cmdline")).unwrap();
    assert!(command.split('\0').nth(1) == Some("pod-init"), "{command}");
    miniku_runtime::enter::pidfd_kill(std::os::fd::AsFd::as_fd(&pidfd), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// A node in a process of its own.
struct Driven {
    child: Child,
    reports: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Driven {
    fn start(dir: &Dir) -> Driven {
        let mut child = std::process::Command::new(exe())
            .args(["drive".as_ref(), dir.0.as_os_str(), "node-1".as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let reports = BufReader::new(child.stdout.take().unwrap()).lines();
        Driven { child, reports }
    }

    fn perform(&mut self, command: Command) {
        let line = serde_json::to_string(&command).unwrap();
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn running(&mut self, pod: &str) -> u32 {
        for line in &mut self.reports {
            if let Report::Container { pod: of, state: ContainerState::Running { pid, .. }, .. } =
                serde_json::from_str(&line.unwrap()).unwrap()
                && of.uid == pod
            {
                return pid;
            }
        }
        panic!("{pod} does not run");
    }
}

impl Drop for Driven {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_killed_node_loses_nothing() {
    let dir = Dir::new("killed");
    let mut driven = Driven::start(&dir);
    // `long` runs through; `short` ends while there is no node; `late` ends after the next one has come.
    let until = |file: &str, then: &str| {
        format!(
            "i=0; while [ ! -e /dev/shm/{file} ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo end $i; exit {then}"
        )
    };
    let mut pids = BTreeMap::new();
    for (pod, script) in [
        ("long", "while true; do sleep 1000; done".to_owned()),
        ("short", until("go", "3")),
        ("late", until("go", "5")),
    ] {
        driven.perform(Command::RunPod(spec(pod, vec![sh(&script)])));
        pids.insert(pod, driven.running(pod));
    }
    drop(driven);
    let go = |pod: &str| fs::write(format!("/proc/{}/root/dev/shm/go", pids[pod]), "").unwrap();
    go("short");
    eventually("short ends", || !exists(pids["short"]));
    assert!(exists(pids["long"]) && exists(pids["late"]));

    let node = Node::in_dir(dir);
    let listed = node.list();
    let state = |pod: &str| {
        let found = listed.iter().find(|listed| listed.pod.uid == pod).unwrap();
        assert!(found.alive && found.pod == pod_ref(pod));
        found.containers[0].state.clone()
    };
    assert!(matches!(state("long"), ContainerState::Running { pid, .. } if pid == pids["long"]));
    assert!(matches!(state("late"), ContainerState::Running { pid, .. } if pid == pids["late"]));
    assert!(matches!(state("short"), ContainerState::Exited { code: 3, .. }), "{:?}", state("short"));
    go("late");
    assert_eq!(node.exited("late", "c", 0).0, 5);
    for pod in ["short", "late"] {
        let log = node.log(pod, "c", 0);
        let count = log.len() - 1;
        assert!(log[..count].iter().enumerate().all(|(index, (_, text))| *text == (index + 1).to_string()), "{log:?}");
        assert_eq!(log[count].1, format!("end {count}"));
    }
    node.runtime.perform(Command::Kill { pod: pod_ref("long"), container: "c".into(), attempt: 0 });
    assert_eq!(node.exited("long", "c", 0), (137, Some(9), false));
    for pod in ["long", "short", "late"] {
        node.remove(pod);
    }
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn a_node_may_be_killed_at_any_moment() {
    let mut dir = Dir::new("any");
    for round in 0..12 {
        let mut driven = Driven::start(&dir);
        for pod in 0..8 {
            driven.perform(Command::RunPod(spec(
                &format!("p{pod}"),
                vec![sh("while true; do sleep 1000; done"), container("b", &["true"])],
            )));
        }
        // It goes on with the next pod while this is read; a bit of spinning moves the end within one pod's start.
        for _ in 0..round / 2 {
            driven.reports.next().unwrap().unwrap();
        }
        (0..round * 40_000).for_each(|turn| _ = std::hint::black_box(turn));
        drop(driven);

        let node = Node::in_dir(dir);
        for pod in node.list() {
            // Either it was half made, and is not listed, or it works.
            assert!(pod.alive, "{pod:?}");
            let mut third = container("third", &["sh", "-c", "exit 9"]);
            third.attempt = 2;
            node.runtime.perform(Command::StartContainer { pod: pod.pod.clone(), container: third });
            assert_eq!(node.exited(&pod.pod.uid, "third", 2).0, 9);
            node.remove(&pod.pod.uid);
        }
        assert_eq!(node.remains(), [""; 0], "round {round}");
        let Node { runtime, dir: again, .. } = node;
        drop(runtime);
        dir = again;
    }
}

#[test]
fn one_node_is_run_by_one_process() {
    let dir = Dir::new("one");
    let mut driven = Driven::start(&dir);
    driven.perform(Command::RunPod(spec("p", vec![sh("true")])));
    driven.running("p");
    let config = Config { dir: dir.0.clone(), node: "node-1".into(), exe: exe() };
    let refused = Runtime::open(config, |_| {}).err().unwrap();
    assert!(refused.to_string().contains("another process runs this node"), "{refused}");
    drop(driven);
}

#[test]
fn half_made_pods_are_swept() {
    let node = Node::new("half");
    let (dir, cgroup) = (node.dir.0.clone(), node.runtime.cgroup_directories().remove(0));
    let pods = dir.join("nodes/node-1/pods");
    // A directory with nothing; one with a specification but no sandbox; a removal that was interrupted; a
    // cgroup without a pod.
    fs::create_dir_all(pods.join("empty/c")).unwrap();
    fs::create_dir(pods.join("unborn")).unwrap();
    fs::write(pods.join("unborn/spec.json"), serde_json::to_vec(&spec("unborn", vec![])).unwrap()).unwrap();
    fs::create_dir_all(pods.join(".gone-x/deep")).unwrap();
    fs::create_dir_all(cgroup.join("stray/c-0")).unwrap();
    let node = node.reopen();
    assert_eq!(node.list(), []);
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn what_cannot_be_removed_keeps_no_node_from_starting() {
    let node = Node::new("stuck");
    node.run("p", "while true; do sleep 1000; done");
    let pid = node.running("p", "c", 0);
    let pods = node.dir.0.join("nodes/node-1/pods");
    // A half-made pod, where something is in the way of its removal.
    fs::create_dir(pods.join("half")).unwrap();
    fs::write(pods.join(".gone-half"), "").unwrap();
    let node = node.reopen();
    let mut listed: Vec<(String, bool)> =
        node.list().into_iter().map(|pod| (pod.pod.uid.to_string(), pod.alive)).collect();
    listed.sort();
    assert_eq!(listed, [("half".to_owned(), false), ("p".to_owned(), true)]);
    assert!(exists(pid));
    fs::remove_file(pods.join(".gone-half")).unwrap();
    for pod in ["half", "p"] {
        node.remove(pod);
    }
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn an_earlier_boot_leaves_only_records() {
    let node = Node::new("boot");
    node.run("p", "exit 6");
    node.running("p", "c", 0);
    assert_eq!(node.exited("p", "c", 0).0, 6);
    // What a machine that lost its power has: files, and none of the processes they speak of.
    let saved = node.dir.0.join("saved");
    let copied = std::process::Command::new("cp").arg("-a").args([&node.pod_dir("p"), &saved]).status().unwrap();
    assert!(copied.success());
    node.remove("p");
    fs::rename(&saved, node.pod_dir("p")).unwrap();
    let state = node.pod_dir("p").join("state.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    record["boot_id"] = "another".into();
    fs::write(&state, record.to_string()).unwrap();
    // What was not flushed may have no content.
    fs::write(node.pod_dir("p").join("spec.json"), "").unwrap();
    let node = node.reopen();
    let listed = node.list();
    assert_eq!((&listed[0].pod, listed[0].alive), (&pod_ref("p"), false));
    assert!(matches!(
        &listed[0].containers[..],
        [ContainerReport { state: ContainerState::Exited { code: 6, .. }, .. }]
    ));
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn long_output_is_complete_across_a_rotation() {
    let node = Node::new("output");
    // With about 45 bytes in front of each line, more than one file holds and less than two.
    let (code, _) = node.sh("p", "seq 1 280000");
    assert_eq!(code, 0);
    let path = node.runtime.log_path("p", "c", 0).unwrap();
    assert!(path.with_extension("log.1").exists());
    let log = node.log("p", "c", 0);
    assert_eq!(log.len(), 280_000);
    assert!(log.iter().enumerate().all(|(index, (_, text))| text.parse() == Ok(index + 1)));
    let mut tail = LogReader::open_tail(&path, 2).unwrap();
    assert_eq!(tail.next_entry().unwrap().unwrap().text, b"279999");
}

/// A file system of its own for a data directory, let go of at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(name: &str, size: &str) -> SmallDisk {
        use nix::mount::{MsFlags, mount};
        let path = std::env::temp_dir().join(format!("miniku-test-{name}-{}-disk", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size}");
        mount(Some("none"), &path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
        SmallDisk(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let gone = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.0);
        if !std::thread::panicking() {
            gone.unwrap();
        }
    }
}

#[test]
fn a_full_disk_costs_output_and_nothing_else() {
    let disk = SmallDisk::new("full", "8m");
    let node = Node::in_dir(Dir(disk.0.join("data")));
    // More lines than the pipe holds: most were read while there was no room for them.
    let script =
        "echo before; cat /dev/zero > /filler 2>/dev/null; i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo lost; done;
        rm /filler; echo after; exit 7";
    node.run("p", script);
    node.running("p", "c", 0);
    assert_eq!(node.exited("p", "c", 0).0, 7, "{}", node.complaints("p"));
    let log = node.stdout("p");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!((lines.first(), lines.last()), (Some(&"before"), Some(&"after")), "{log}");
    assert!(lines.len() < 60_000, "the disk was not full");
    node.remove("p");
    drop(node);
}

#[test]
fn removing_ends_what_runs() {
    let node = Node::new("remove");
    node.run("p", "trap '' TERM HUP INT; (sleep 1000 &) ; while true; do sleep 1000; done");
    let pid = node.running("p", "c", 0);
    node.remove("p");
    assert!(!exists(pid));
    assert_eq!(node.remains(), [""; 0]);
    node.remove("p");
    // The same uid again is a new pod.
    assert_eq!(node.sh("p", "echo again"), (0, "again".to_owned()));
}

#[test]
fn down_removes_everything() {
    let dir = Dir::new("down");
    let mut driven = Driven::start(&dir);
    driven.perform(Command::RunPod(spec("p", vec![sh("while true; do sleep 1000; done")])));
    let pid = driven.running("p");
    fs::write(dir.0.join("not-ours"), "").unwrap();
    drop(driven);
    assert!(exists(pid));
    down(&dir.0).unwrap();
    assert!(!exists(pid));
    let left: Vec<String> =
        fs::read_dir(&dir.0).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(left, ["not-ours"]);
    down(&dir.0).unwrap();
}

/// Runs a test on a thread whose root is a directory that is no mount, in a mount namespace of its own.
fn in_chroot(test: impl FnOnce() + Send + 'static) {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    let root = Dir::new("chroot");
    let path = root.0.clone();
    let run = move || {
        const NONE: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE).unwrap();
        for shared in ["proc", "sys", "dev"] {
            fs::create_dir(path.join(shared)).unwrap();
            let (from, at) = (Path::new("/").join(shared), path.join(shared));
            mount(Some(&from), &at, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).unwrap();
        }
        fs::create_dir(path.join("tmp")).unwrap();
        fs::copy(exe(), path.join("pod-init")).unwrap();
        nix::unistd::chroot(&path).unwrap();
        std::env::set_current_dir("/").unwrap();
        test();
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn in_a_chroot_pods_run_and_nothing_leads_out_of_it() {
    in_chroot(|| {
        let node = Node::with_pod_init(Dir::new("inside"), "/pod-init".into());
        node.run("p", "cat /etc/hostname; sleep 1000");
        let pid = node.running("p", "c", 0);
        node.wait_for_line("p", "host-p");
        // Whoever enters a mount namespace comes to its root, above which there is nothing.
        let root = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
            let namespace = fs::File::open(format!("/proc/{pid}/ns/mnt")).unwrap();
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            fs::read_to_string("/etc/hostname").unwrap()
        });
        assert_eq!(root.join().unwrap(), "host-p\n");
        node.remove("p");
        assert_eq!(node.remains(), [""; 0]);
    });
}

#[test]
fn many_pods_leave_nothing() {
    let node = Node::new("many");
    let (runtime, next) = (&node.runtime, AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= 200 {
                        return;
                    }
                    // Some end by themselves, some are removed in the middle of starting.
                    let pod = format!("p{index}");
                    runtime.perform(Command::RunPod(spec(
                        &pod,
                        vec![sh(if index % 2 == 0 { "true" } else { "sleep 1000" })],
                    )));
                    runtime.perform(Command::RemovePod(pod_ref(&pod)));
                }
            });
        }
    });
    for index in 0..200 {
        let pod = format!("p{index}");
        node.wait(&format!("removal of {pod}"), |report| match report {
            Report::Removed { pod: removed } if removed.uid == pod => Some(()),
            Report::RemoveFailed { message, .. } => panic!("{message}"),
            _ => None,
        });
    }
    assert_eq!(node.list(), []);
    assert_eq!(node.remains(), [""; 0]);
}
