//! What is done, in which order, to become a container: a specification turned into a list of operations.
//!
//! Pure, so that the list can be printed, compared and reviewed before anything runs as root.
//! [`crate::enter`] performs it. Two rules explain the order:
//!
//! - What comes from the host is opened first, then the root is changed, then everything else is done
//!   inside. A path is never looked up in the image's tree from outside, so that no link in an image can
//!   lead to a file of the host.
//! - Privileges go last, in the order in which each still needs the one after it: capabilities to change
//!   ids, none to set `no_new_privs`, which in turn allows the filter.

use crate::images::Image;
use miniku_core::kubelet::runtime::ContainerSpec;
use std::fmt;
use std::path::{Path, PathBuf};

/// One step, leaving nothing to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write `0`, which means the writing thread, to the `tasks` file of a version 1 cgroup.
    JoinCgroup { tasks: PathBuf },
    /// Begin a cgroup namespace rooted where the process now is.
    UnshareCgroup,
    /// How likely the kernel is to choose this process when memory runs out.
    OomScore(i32),
    /// The default for every signal, none blocked.
    ResetSignals,
    /// Modes of new files are taken as they are given, less these bits.
    Umask(u32),
    /// No mount made from here on is seen elsewhere, nor one made elsewhere here.
    MakePrivate,
    /// Take hold of a file or directory of the host, for [`Op::MoveTree`] to put into the container.
    OpenTree { slot: usize, source: PathBuf },
    /// The container's root: its own layer above the image's.
    MountOverlay { lower: PathBuf, upper: PathBuf, work: PathBuf, at: PathBuf },
    /// Make this the root and let go of the old one.
    PivotRoot { to: PathBuf },
    /// A file system of the kernel's.
    Mount { kind: Filesystem, at: PathBuf },
    /// Put what a slot holds here. The file to cover is made if there is none.
    MoveTree { slot: usize, at: PathBuf },
    /// Make a directory, and those above it, unless it is there.
    Mkdir { path: PathBuf, mode: u32 },
    /// Make a character device.
    Mknod { path: PathBuf, major: u64, minor: u64 },
    /// Make a symbolic link.
    Symlink { to: &'static str, path: PathBuf },
    /// Hide a file behind `/dev/null` or a directory behind an empty one. Skipped if there is none.
    Mask(PathBuf),
    /// Forbid writing below a path. Skipped if there is none.
    ReadOnlyPath { path: PathBuf, flags: Hardening },
    /// Set a limit, no higher than the hard limit that is inherited: raising that needs `CAP_SYS_RESOURCE`.
    Rlimit { resource: Resource, value: u64 },
    /// Give up all capabilities but these, for this process and whatever it executes.
    DropBounding { keep: &'static [u8] },
    /// Become this user and group, in no other group.
    SetUser { uid: u32, gid: u32 },
    /// Hold exactly these capabilities, none of them inheritable or ambient.
    SetCapabilities { keep: &'static [u8] },
    /// Executing a set-user-id program gives nothing more.
    NoNewPrivs,
    /// Every descriptor from this one on is closed by the program's execution.
    CloseOnExec { from: u32 },
    /// Begin to filter system calls; see [`crate::seccomp`].
    Seccomp,
    /// The directory the program begins in.
    Chdir(PathBuf),
    /// Become one more process of a container: enter the mount and cgroup namespaces of the process that a slot means.
    EnterContainer { slot: usize },
    /// Open a new terminal of the container's, be controlled by it, use it as standard descriptors, and send its other
    /// side through the socket in a slot.
    Terminal { slot: usize },
    /// Execute the first of the candidates that exists. The home of a user is added to the variables, if one is said: what
    /// the container's own `/etc/passwd` says it is, see [`home`].
    Exec { candidates: Vec<String>, argv: Vec<String>, env: Vec<String>, home_of: Option<u32> },
}

/// A file system that the kernel makes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// The processes of the mounting process's pid namespace.
    Proc,
    /// Devices and network of its network namespace; read-only.
    Sys,
    /// An empty tmpfs that may hold devices.
    Dev,
    /// Pseudo terminals of its own.
    Pts,
    /// POSIX message queues of its IPC namespace.
    Mqueue,
}

/// Flags that a remount has to repeat, since it sets all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardening {
    /// `nosuid,nodev,noexec`.
    NothingRuns,
    /// `nosuid,noexec`: devices work.
    Devices,
}

/// What a limit limits; see getrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Open descriptors.
    Nofile,
    /// The size of a core file.
    Core,
}

/// What the plan has to know beside the specification.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The image, unpacked.
    pub image: &'a Image,
    /// The pod's directory on the host, which holds `etc/` and, in the pod-init's mount namespace, `shm`.
    pub pod_dir: &'a Path,
    /// The directory of this attempt: `upper` and `work` are in it, and the root is mounted over it.
    pub attempt_dir: PathBuf,
    /// The pod's host name.
    pub hostname: &'a str,
    /// How likely the kernel is to choose the container's processes when memory runs out.
    pub oom_score: i32,
    /// The `tasks` files to join. On version 2 the kernel puts the process in place when it is made.
    pub tasks: &'a [PathBuf],
}

/// Docker's fourteen, which most images expect: see capabilities(7) for the numbers.
///
/// chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
/// sys_chroot, mknod, audit_write, setfcap. Source: moby `oci/caps/defaults.go`.
pub const CAPABILITIES: &[u8] = &[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// Hidden because they tell about, or act on, the whole machine. Source: moby `oci/defaults.go`.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Readable, but the kernel's own settings. Source: moby `oci/defaults.go`.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// See Documentation/admin-guide/devices.txt of the kernel.
const DEVICES: &[(&str, u64, u64)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Files of the pod that every container sees, by their names below the pod's directory.
const POD_FILES: &[(&str, &str)] = &[
    ("etc/hosts", "/etc/hosts"),
    ("etc/hostname", "/etc/hostname"),
    ("etc/resolv.conf", "/etc/resolv.conf"),
    ("shm", "/dev/shm"),
];

/// The slots that whoever performs a plan fills before: a socket for the terminal's other side, and a descriptor of the
/// container's first process.
pub const TERMINAL_SLOT: usize = POD_FILES.len();
/// See [`TERMINAL_SLOT`].
pub const CONTAINER_SLOT: usize = POD_FILES.len() + 1;

/// As many open files as Docker and containerd allow.
const OPEN_FILES: u64 = 1_048_576;

/// The steps from a fresh process, alone in new pid and mount namespaces, to the container's program.
///
/// Fails only for a command or a directory that no kernel could be asked for.
pub fn plan(spec: &ContainerSpec, facts: &Facts) -> Result<Vec<Op>, Unplannable> {
    let program = Program::of(argv(spec, facts.image), spec.stdio.tty, spec, facts)?;
    let mut ops = Vec::with_capacity(64);
    ops.extend(facts.tasks.iter().map(|tasks| Op::JoinCgroup { tasks: tasks.clone() }));
    ops.extend([Op::UnshareCgroup, Op::OomScore(facts.oom_score), Op::ResetSignals, Op::Umask(0), Op::MakePrivate]);
    for (slot, (source, _)) in POD_FILES.iter().enumerate() {
        ops.push(Op::OpenTree { slot, source: facts.pod_dir.join(source) });
    }
    // Over the layer's own directories: those are found before they are covered, and nothing else looks there.
    let root = facts.attempt_dir.clone();
    ops.push(Op::MountOverlay {
        lower: facts.image.root.clone(),
        upper: facts.attempt_dir.join("upper"),
        work: facts.attempt_dir.join("work"),
        at: root.clone(),
    });
    ops.push(Op::PivotRoot { to: root });

    for (at, kind) in [("/proc", Filesystem::Proc), ("/sys", Filesystem::Sys), ("/dev", Filesystem::Dev)] {
        ops.push(Op::Mkdir { path: at.into(), mode: 0o755 });
        ops.push(Op::Mount { kind, at: at.into() });
    }
    for (path, major, minor) in DEVICES {
        ops.push(Op::Mknod { path: path.into(), major: *major, minor: *minor });
    }
    for (path, to) in LINKS {
        ops.push(Op::Symlink { to, path: path.into() });
    }
    for (at, kind) in [("/dev/pts", Filesystem::Pts), ("/dev/mqueue", Filesystem::Mqueue)] {
        ops.push(Op::Mkdir { path: at.into(), mode: 0o755 });
        ops.push(Op::Mount { kind, at: at.into() });
    }
    ops.push(Op::Mkdir { path: "/dev/shm".into(), mode: 0o755 });
    for (slot, (_, at)) in POD_FILES.iter().enumerate() {
        ops.push(Op::MoveTree { slot, at: at.into() });
    }
    // With CAP_MKNOD, which is one of the fourteen, a disk of the host could be made and read in a writable
    // /dev; everywhere else devices do not open at all (nodev).
    ops.push(Op::ReadOnlyPath { path: "/dev".into(), flags: Hardening::Devices });
    ops.extend(MASKED.iter().map(|path| Op::Mask(path.into())));
    ops.extend(READ_ONLY.iter().map(|path| Op::ReadOnlyPath { path: path.into(), flags: Hardening::NothingRuns }));

    ops.push(Op::Mkdir { path: program.directory.clone(), mode: 0o755 });
    confine(&mut ops, program, spec.stdio.tty);
    Ok(ops)
}

/// The steps from a fresh process in the container's pid namespace to a further program beside its first one, confined
/// as that one is.
pub fn plan_further(argv: Vec<String>, tty: bool, spec: &ContainerSpec, facts: &Facts) -> Result<Vec<Op>, Unplannable> {
    let program = Program::of(argv, tty, spec, facts)?;
    let mut ops: Vec<Op> = facts.tasks.iter().map(|tasks| Op::JoinCgroup { tasks: tasks.clone() }).collect();
    ops.extend([Op::OomScore(facts.oom_score), Op::ResetSignals, Op::EnterContainer { slot: CONTAINER_SLOT }]);
    confine(&mut ops, program, tty);
    Ok(ops)
}

/// What is executed, where, and with which variables.
struct Program {
    candidates: Vec<String>,
    argv: Vec<String>,
    env: Vec<String>,
    directory: PathBuf,
}

impl Program {
    fn of(argv: Vec<String>, tty: bool, spec: &ContainerSpec, facts: &Facts) -> Result<Program, Unplannable> {
        let env = environment(spec, facts, tty);
        let program = argv.first().filter(|program| !program.is_empty()).ok_or(Unplannable::NoCommand)?;
        if let Some(text) = argv.iter().chain(&env).find(|text| text.contains('\0')) {
            return Err(Unplannable::Nul(text.replace('\0', "\\0")));
        }
        let directory = spec.working_dir.as_deref().unwrap_or(&facts.image.working_dir);
        if !directory.starts_with('/') || directory.contains('\0') {
            return Err(Unplannable::Directory(directory.to_owned()));
        }
        Ok(Program { candidates: candidates(program, &env), directory: directory.into(), argv, env })
    }
}

/// The end of both plans: from a process inside of the container's root, with all privileges, to the program.
fn confine(ops: &mut Vec<Op>, program: Program, tty: bool) {
    if tty {
        ops.push(Op::Terminal { slot: TERMINAL_SLOT });
    }
    let Program { candidates, argv, mut env, directory } = program;
    let has_home = env.iter().any(|one| one.strip_prefix("HOME=").is_some_and(|home| !home.is_empty()));
    env.retain(|one| one != "HOME=");
    ops.extend([
        Op::Chdir(directory),
        Op::Umask(0o022),
        Op::Rlimit { resource: Resource::Nofile, value: OPEN_FILES },
        Op::Rlimit { resource: Resource::Core, value: u64::MAX },
        Op::DropBounding { keep: CAPABILITIES },
        Op::SetUser { uid: USER, gid: USER },
        Op::SetCapabilities { keep: CAPABILITIES },
        Op::NoNewPrivs,
        Op::CloseOnExec { from: 3 },
        Op::Seccomp,
        Op::Exec { candidates, argv, env, home_of: (!has_home).then_some(USER) },
    ]);
}

/// As whom programs run, by user and by group.
const USER: u32 = 0;

/// Where a user is at home by a text of the form passwd(5); `/` if that does not say it.
///
/// Source: runc, `libcontainer/init_linux.go`: so it is for a process whose variables have no `HOME`, or an empty one.
pub fn home(passwd: &str, uid: u32) -> &str {
    let of_user = |line: &&str| line.split(':').nth(2).is_some_and(|id| id.parse::<u32>().is_ok_and(|id| id == uid));
    let home = passwd.lines().find(of_user).and_then(|line| line.split(':').nth(5));
    home.filter(|home| !home.is_empty() && !home.contains('\0')).unwrap_or("/")
}

/// `command` replaces the image's entrypoint and its arguments, `args` its arguments only.
///
/// Source: Kubernetes, "Define a Command and Arguments for a Container".
fn argv(spec: &ContainerSpec, image: &Image) -> Vec<String> {
    let (entrypoint, arguments) = match (spec.command.is_empty(), spec.args.is_empty()) {
        (true, true) => (&image.entrypoint, &image.arguments),
        (true, false) => (&image.entrypoint, &spec.args),
        (false, _) => (&spec.command, &spec.args),
    };
    entrypoint.iter().chain(arguments).cloned().collect()
}

/// The image's variables, `HOSTNAME`, `TERM` where there is a terminal, then the container's own, the later winning; by
/// name.
fn environment(spec: &ContainerSpec, facts: &Facts, tty: bool) -> Vec<String> {
    let mut variables = facts.image.env.clone();
    variables.insert("HOSTNAME".to_owned(), facts.hostname.to_owned());
    if tty {
        variables.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
    }
    variables.extend(spec.env.clone());
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Where the program may be, in the order of the search: as execvp(3) does it, with the container's `PATH`.
fn candidates(program: &str, env: &[String]) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(crate::images::DEFAULT_PATH);
    let directory = |entry: &str| if entry.is_empty() { ".".to_owned() } else { entry.to_owned() };
    path.split(':').map(|entry| format!("{}/{program}", directory(entry).trim_end_matches('/'))).collect()
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplannable {
    /// Neither the container nor its image names a program.
    NoCommand,
    /// A text that the kernel would cut at its zero byte.
    Nul(String),
    /// A working directory that is not absolute.
    Directory(String),
}

impl fmt::Display for Unplannable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unplannable::NoCommand => write!(f, "no command: neither the container nor its image has one"),
            Unplannable::Nul(text) => write!(f, "a zero byte in {text:?}"),
            Unplannable::Directory(path) => write!(f, "working directory {path:?} is not absolute"),
        }
    }
}

impl std::error::Error for Unplannable {}

/// The operation as an error names it: what, then on what.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::JoinCgroup { tasks } => write!(f, "join cgroup {}", tasks.display()),
            Op::UnshareCgroup => write!(f, "unshare cgroup namespace"),
            Op::OomScore(score) => write!(f, "set oom_score_adj to {score}"),
            Op::ResetSignals => write!(f, "reset signals"),
            Op::Umask(mask) => write!(f, "umask {mask:03o}"),
            Op::MakePrivate => write!(f, "make mounts private"),
            Op::OpenTree { slot, source } => write!(f, "open tree {} as {slot}", source.display()),
            Op::MountOverlay { lower, upper, at, .. } => {
                write!(f, "mount overlay of {} and {} at {}", lower.display(), upper.display(), at.display())
            }
            Op::PivotRoot { to } => write!(f, "pivot root to {}", to.display()),
            Op::Mount { kind, at } => write!(f, "mount {kind} at {}", at.display()),
            Op::MoveTree { slot, at } => write!(f, "move tree {slot} to {}", at.display()),
            Op::Mkdir { path, mode } => write!(f, "mkdir {} mode {mode:o}", path.display()),
            Op::Mknod { path, major, minor } => write!(f, "mknod {} c {major} {minor}", path.display()),
            Op::Symlink { to, path } => write!(f, "symlink {} to {to}", path.display()),
            Op::Mask(path) => write!(f, "mask {}", path.display()),
            Op::ReadOnlyPath { path, .. } => write!(f, "make {} read-only", path.display()),
            Op::Rlimit { resource, value: u64::MAX } => write!(f, "limit {resource:?} to what is inherited"),
            Op::Rlimit { resource, value } => write!(f, "limit {resource:?} to {value}"),
            Op::DropBounding { keep } => write!(f, "drop all but {} capabilities from the bounding set", keep.len()),
            Op::SetUser { uid, gid } => write!(f, "become user {uid}, group {gid}"),
            Op::SetCapabilities { keep } => write!(f, "keep {} capabilities", keep.len()),
            Op::NoNewPrivs => write!(f, "set no_new_privs"),
            Op::CloseOnExec { from } => write!(f, "close descriptors from {from} at execution"),
            Op::Seccomp => write!(f, "load the seccomp filter"),
            Op::Chdir(path) => write!(f, "change to working directory {}", path.display()),
            Op::EnterContainer { .. } => write!(f, "enter the container's mount and cgroup namespaces"),
            Op::Terminal { .. } => write!(f, "open a terminal"),
            Op::Exec { argv, .. } => write!(f, "exec {:?}", argv.first().map_or("", String::as_str)),
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Filesystem::Proc => "proc",
            Filesystem::Sys => "sysfs",
            Filesystem::Dev => "tmpfs",
            Filesystem::Pts => "devpts",
            Filesystem::Mqueue => "mqueue",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::kubelet::runtime::Limits;
    use std::collections::BTreeMap;

    fn image() -> Image {
        Image {
            id: "miniku/busybox@sha256:00".into(),
            root: "/i/root".into(),
            env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            entrypoint: vec![],
            arguments: vec!["/bin/sh".into()],
            working_dir: "/".into(),
        }
    }

    fn spec(command: &[&str], args: &[&str]) -> ContainerSpec {
        ContainerSpec {
            name: "c".into(),
            attempt: 0,
            image: "busybox".into(),
            command: command.iter().map(|text| text.to_string()).collect(),
            args: args.iter().map(|text| text.to_string()).collect(),
            env: BTreeMap::new(),
            working_dir: None,
            stdio: Default::default(),
            limits: Limits::default(),
        }
    }

    fn planned(spec: &ContainerSpec) -> Result<Vec<Op>, Unplannable> {
        let tasks = [PathBuf::from("/cg/memory/c/tasks")];
        let (pod_dir, attempt_dir) = (Path::new("/p"), PathBuf::from("/p/c/0"));
        plan(spec, &Facts { image: &image(), pod_dir, attempt_dir, hostname: "h", oom_score: 0, tasks: &tasks })
    }

    fn exec(spec: &ContainerSpec) -> (Vec<String>, Vec<String>, Vec<String>) {
        match planned(spec).unwrap().pop() {
            Some(Op::Exec { candidates, argv, env, .. }) => (candidates, argv, env),
            other => panic!("the plan ends in {other:?}"),
        }
    }

    #[test]
    fn a_plain_container() {
        let printed: Vec<String> = planned(&spec(&["sleep", "1"], &[])).unwrap().iter().map(Op::to_string).collect();
        let golden = include_str!("../tests/golden/plan.txt");
        assert_eq!(printed.join("\n") + "\n", golden);
    }

    #[test]
    fn a_further_process_is_confined_as_the_first_one() {
        let spec = spec(&["sleep", "1"], &[]);
        let tasks = [PathBuf::from("/cg/memory/c/tasks")];
        let (pod_dir, attempt_dir) = (Path::new("/p"), PathBuf::from("/p/c/0"));
        let facts = Facts { image: &image(), pod_dir, attempt_dir, hostname: "h", oom_score: 0, tasks: &tasks };
        let first = plan(&spec, &facts).unwrap();
        let further = |tty| plan_further(vec!["sh".into()], tty, &spec, &facts).unwrap();
        let end = |ops: &[Op]| {
            let from = ops.iter().position(|op| matches!(op, Op::Chdir(_))).unwrap();
            ops[from..ops.len() - 1].to_vec()
        };
        assert_eq!(end(&further(false)), end(&first));
        assert_eq!(end(&further(true)), end(&first));
        let begin: Vec<String> = further(true).iter().map(Op::to_string).take(5).collect();
        let want = [
            "join cgroup /cg/memory/c/tasks",
            "set oom_score_adj to 0",
            "reset signals",
            "enter the container's mount and cgroup namespaces",
            "open a terminal",
        ];
        assert_eq!(begin, want);
        let Some(Op::Exec { candidates, env, .. }) = further(true).pop() else { panic!("no program") };
        assert_eq!((candidates[0].as_str(), env.last().unwrap().as_str()), ("/usr/bin/sh", "TERM=xterm"));
    }

    #[test]
    fn command_and_args_replace_as_kubernetes_says() {
        let mut with_entrypoint = image();
        with_entrypoint.entrypoint = vec!["/e".into()];
        let check = |command: &[&str], args: &[&str], want: &[&str]| {
            assert_eq!(argv(&spec(command, args), &with_entrypoint), want);
        };
        check(&[], &[], &["/e", "/bin/sh"]);
        check(&[], &["a"], &["/e", "a"]);
        check(&["c"], &[], &["c"]);
        check(&["c"], &["a"], &["c", "a"]);
    }

    #[test]
    fn programs_are_sought_in_the_containers_path() {
        assert_eq!(exec(&spec(&["sh"], &[])).0, ["/usr/bin/sh", "/bin/sh"]);
        assert_eq!(exec(&spec(&["./sh"], &[])).0, ["./sh"]);
        let mut own = spec(&["sh"], &[]);
        own.env.insert("PATH".into(), "/a/::/b".into());
        assert_eq!(exec(&own).0, ["/a/sh", "./sh", "/b/sh"]);
    }

    #[test]
    fn the_containers_environment_wins() {
        let mut own = spec(&[], &[]);
        own.env.insert("HOSTNAME".into(), "mine".into());
        assert_eq!(exec(&own).2, ["HOSTNAME=mine", "PATH=/usr/bin:/bin"]);
        assert_eq!(exec(&spec(&[], &[])).2, ["HOSTNAME=h", "PATH=/usr/bin:/bin"]);
    }

    #[test]
    fn whose_environment_names_no_home_gets_the_users() {
        let asks = |given: Option<&str>| {
            let mut own = spec(&[], &[]);
            own.env.extend(given.map(|home| ("HOME".to_owned(), home.to_owned())));
            let Some(Op::Exec { env, home_of, .. }) = planned(&own).unwrap().pop() else { panic!("no program") };
            let said = env.into_iter().find(|one| one.starts_with("HOME="));
            (said, home_of)
        };
        assert_eq!(asks(None), (None, Some(0)));
        assert_eq!(asks(Some("")), (None, Some(0)));
        assert_eq!(asks(Some("/here")), (Some("HOME=/here".into()), None));
        let users = "# users\nme:x:10:0::/home/me:/bin/sh\nroot:x:0:0:root:/root:/bin/sh\nbad\nnone:x:2:2:::\n";
        let check = |uid, want: &str| assert_eq!(home(users, uid), want, "{uid}");
        check(0, "/root");
        check(10, "/home/me");
        check(2, "/");
        check(7, "/");
        assert_eq!(home("", 0), "/");
    }

    #[test]
    fn what_no_kernel_can_be_asked_for() {
        assert_eq!(planned(&spec(&[""], &[])), Err(Unplannable::NoCommand));
        assert_eq!(planned(&spec(&["a\0b"], &[])), Err(Unplannable::Nul("a\\0b".into())));
        let mut relative = spec(&[], &[]);
        relative.working_dir = Some("tmp".into());
        assert_eq!(planned(&relative), Err(Unplannable::Directory("tmp".into())));
    }

    #[test]
    fn privileges_go_last_and_in_order() {
        let ops = planned(&spec(&[], &[])).unwrap();
        let at = |wanted: fn(&Op) -> bool| ops.iter().position(wanted).unwrap();
        let order = [
            at(|op| matches!(op, Op::MountOverlay { .. })),
            at(|op| matches!(op, Op::PivotRoot { .. })),
            at(|op| matches!(op, Op::Mount { .. })),
            at(|op| matches!(op, Op::DropBounding { .. })),
            at(|op| matches!(op, Op::SetUser { .. })),
            at(|op| matches!(op, Op::SetCapabilities { .. })),
            at(|op| matches!(op, Op::NoNewPrivs)),
            at(|op| matches!(op, Op::Seccomp)),
            at(|op| matches!(op, Op::Exec { .. })),
        ];
        assert!(order.is_sorted(), "{order:?}");
    }
}
