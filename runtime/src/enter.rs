//! Performs a plan, and holds all that is `unsafe` in this crate: system calls for which no safe wrapper
//! exists, each with its reason.
//!
//! [`enter`] runs in the forked child of a pod-init, which has one thread: so it may allocate, unlike the
//! child of a process with threads.

use crate::plan::{Filesystem, Hardening, Op, Resource, home};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use nix::unistd::{
    Gid, Pid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fchdir, mkdir, pivot_root, setgroups,
    setresgid, setresuid, symlinkat,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// An operation, its object, and the kernel's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried, as [`Op`] prints it.
    pub operation: String,
    /// Why not.
    pub errno: Errno,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.errno)
    }
}

impl std::error::Error for Failure {}

/// Names the operation of a failed system call.
pub fn failed(operation: impl fmt::Display) -> impl FnOnce(Errno) -> Failure {
    move |errno| Failure { operation: operation.to_string(), errno }
}

/// The same for the standard library's errors, which all come from system calls here.
pub fn failed_io(operation: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure {
        operation: operation.to_string(),
        errno: error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw),
    }
}

/// Performs the operations in order. Returns only if one fails, since the last one executes a program.
///
/// `slots` holds what the plan expects there; `before_exec` is called when nothing is left to do but to execute.
pub fn enter(
    ops: &[Op],
    mut slots: BTreeMap<usize, OwnedFd>,
    before_exec: &mut dyn FnMut(),
) -> Result<Infallible, Failure> {
    for op in ops {
        match op {
            Op::Exec { candidates, argv, env, home_of } => {
                let env: Vec<String> = env.iter().cloned().chain(home_of.map(home_variable)).collect();
                before_exec();
                let errno = execute(candidates, argv, &env);
                let mut operation = op.to_string();
                if candidates.len() > 1 && errno == Errno::ENOENT {
                    operation = format!("{operation}, looked for as {}", candidates.join(", "));
                }
                return Err(Failure { operation, errno });
            }
            op => perform(op, &mut slots).map_err(failed(op))?,
        }
    }
    Err(Failure { operation: "end of a plan without exec".to_owned(), errno: Errno::EINVAL })
}

fn perform(op: &Op, slots: &mut BTreeMap<usize, OwnedFd>) -> nix::Result<()> {
    const NONE: Option<&str> = None;
    match op {
        Op::JoinCgroup { tasks } => write_file(tasks, b"0"),
        Op::UnshareCgroup => unshare(CloneFlags::CLONE_NEWCGROUP),
        // Lowering may be forbidden, and then leaves what was inherited.
        Op::OomScore(score) => write_file(Path::new("/proc/self/oom_score_adj"), score.to_string().as_bytes())
            .or_else(unless(Errno::EACCES)),
        Op::ResetSignals => reset_signals(),
        Op::Umask(mask) => {
            umask(Mode::from_bits_truncate(*mask));
            Ok(())
        }
        Op::MakePrivate => mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE),
        Op::OpenTree { slot, source } => {
            let path = CString::new(source.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
            slots.insert(*slot, open_tree(AT_FDCWD, &path, 0)?);
            Ok(())
        }
        Op::MountOverlay { lower, upper, work, at } => {
            let [lower, upper, work] = [lower, upper, work].map(|path| overlay_escape(path));
            let flags = MsFlags::MS_NODEV;
            // volatile: letting go of the mount does not write the whole host file system to disk. The layer
            // does not outlive the pod, and after a reboot nothing is left of a pod.
            let volatile = format!("lowerdir={lower},upperdir={upper},workdir={work},volatile");
            let plain = volatile.trim_end_matches(",volatile");
            mount(Some("overlay"), at, Some("overlay"), flags, Some(volatile.as_str()))
                .or_else(|_| mount(Some("overlay"), at, Some("overlay"), flags, Some(plain)))
        }
        Op::PivotRoot { to } => {
            chdir(to)?;
            swap_root()
        }
        Op::Mount { kind, at } => {
            let hard = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            let (flags, data) = match kind {
                Filesystem::Proc | Filesystem::Mqueue => (hard, None),
                Filesystem::Sys => (hard | MsFlags::MS_RDONLY, None),
                Filesystem::Dev => (MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, Some("mode=755,size=64k")),
                Filesystem::Pts => {
                    (MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, Some("newinstance,ptmxmode=0666,mode=0620,gid=5"))
                }
            };
            let name = kind.to_string();
            match mount(Some(name.as_str()), at, Some(name.as_str()), flags, data) {
                // A kernel without POSIX queues.
                Err(Errno::ENODEV) if *kind == Filesystem::Mqueue => Ok(()),
                other => other,
            }
        }
        Op::MoveTree { slot, at } => {
            let tree = slots.remove(slot).ok_or(Errno::EBADF)?;
            match move_mount(&tree, at) {
                Err(Errno::ENOENT) => {
                    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
                    if let Some(parent) = at.parent() {
                        make_directories(parent, 0o755)?;
                    }
                    drop(open(at, flags, Mode::from_bits_truncate(0o644))?);
                    move_mount(&tree, at)
                }
                other => other,
            }
        }
        Op::Mkdir { path, mode } => make_directories(path, *mode),
        Op::Mknod { path, major, minor } => {
            mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(*major, *minor))
        }
        Op::Symlink { to, path } => symlinkat(*to, AT_FDCWD, path),
        Op::Mask(path) => match mount(Some("/dev/null"), path, NONE, MsFlags::MS_BIND, NONE) {
            // It is a directory.
            Err(Errno::ENOTDIR) => {
                let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("size=0k,nr_inodes=2"))
            }
            other => other.or_else(unless(Errno::ENOENT)),
        },
        Op::ReadOnlyPath { path, flags } => {
            let harden = match flags {
                Hardening::NothingRuns => MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
                Hardening::Devices => MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
            };
            // What is a mount of its own already needs no bind; EINVAL says that it is none.
            let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | harden;
            match mount(NONE, path, NONE, remount, NONE) {
                Err(Errno::EINVAL) => {
                    mount(Some(path), path, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
                    mount(NONE, path, NONE, remount, NONE)
                }
                other => other.or_else(unless(Errno::ENOENT)),
            }
        }
        Op::Rlimit { resource, value } => {
            let resource = match resource {
                Resource::Nofile => resource::Resource::RLIMIT_NOFILE,
                Resource::Core => resource::Resource::RLIMIT_CORE,
            };
            let (_, hard) = resource::getrlimit(resource)?;
            let value = hard.min(*value);
            resource::setrlimit(resource, value, value)
        }
        Op::DropBounding { keep } => drop_bounding(keep),
        Op::SetUser { uid, gid } => {
            let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
            setgroups(&[])?;
            setresgid(gid, gid, gid)?;
            setresuid(uid, uid, uid)
        }
        Op::SetCapabilities { keep } => set_capabilities(keep),
        Op::NoNewPrivs => nix::sys::prctl::set_no_new_privs(),
        Op::CloseOnExec { from } => close_on_exec(*from),
        Op::Seccomp => load_filter(&crate::seccomp::program()),
        Op::Chdir(path) => chdir(path),
        Op::EnterContainer { slot } => {
            let first = slots.remove(slot).ok_or(Errno::EBADF)?;
            setns(first, CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)
        }
        Op::Terminal { slot } => {
            let to = slots.remove(slot).ok_or(Errno::EBADF)?;
            let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let terminal = open("/dev/pts/ptmx", flags, Mode::empty())?;
            let inside = controlling_side(&terminal)?;
            dup2_stdin(&inside)?;
            dup2_stdout(&inside)?;
            dup2_stderr(&inside)?;
            send(to.as_fd(), TERMINAL_COMES, &[terminal.as_fd()])
        }
        Op::Exec { .. } => Err(Errno::EINVAL),
    }
}

/// Turns one error into success: what the operation is about does not exist here.
fn unless(ignored: Errno) -> impl FnOnce(Errno) -> nix::Result<()> {
    move |errno| if errno == ignored { Ok(()) } else { Err(errno) }
}

/// No list of users is longer, but a link in its place may lead to a file that never ends.
const PASSWD_MAX: u64 = 1 << 20;

/// The variable that says where a user is at home, by the list of users in the root that this process is in.
fn home_variable(uid: u32) -> String {
    let mut users = Vec::new();
    // Without waiting: a pipe in its place may have nobody who writes to it.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    if let Ok(file) = open("/etc/passwd", flags, Mode::empty()) {
        // What cannot be read says nothing.
        let _ = File::from(file).take(PASSWD_MAX).read_to_end(&mut users);
    }
    format!("HOME={}", home(&String::from_utf8_lossy(&users), uid))
}

/// Tries the candidates as execvp(3) does: a file that may not be executed is worth mentioning over one
/// that does not exist.
fn execute(candidates: &[String], argv: &[String], env: &[String]) -> Errno {
    let texts = |list: &[String]| list.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>();
    let (Ok(candidates), Ok(argv), Ok(env)) = (texts(candidates), texts(argv), texts(env)) else {
        return Errno::EINVAL;
    };
    let mut errno = Errno::ENOENT;
    for candidate in &candidates {
        match execve(candidate, &argv, &env) {
            Ok(never) => match never {},
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => errno = Errno::EACCES,
            Err(other) => return other,
        }
    }
    errno
}

fn write_file(path: &Path, bytes: &[u8]) -> nix::Result<()> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&file, bytes).map(drop)
}

fn make_directories(path: &Path, mode: u32) -> nix::Result<()> {
    match mkdir(path, Mode::from_bits_truncate(mode)) {
        Err(Errno::ENOENT) => {
            make_directories(path.parent().ok_or(Errno::ENOENT)?, mode)?;
            mkdir(path, Mode::from_bits_truncate(mode))
        }
        Err(Errno::EEXIST | Errno::EROFS) if path.is_dir() => Ok(()),
        other => other,
    }
}

/// A path as a value in overlay's list of options, where `,` and `:` separate.
///
/// Source: Documentation/filesystems/overlayfs.rst, "escaped by backslash".
fn overlay_escape(path: &Path) -> String {
    let mut escaped = String::new();
    for letter in path.to_string_lossy().chars() {
        if matches!(letter, '\\' | ',' | ':') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// What is ignored stays ignored through an execution, and SIGPIPE is by Rust's runtime, others perhaps by
/// whoever started the node. All 64, also the two that the C library keeps for itself and refuses to set.
fn reset_signals() -> nix::Result<()> {
    // The kernel's own structure: handler SIG_DFL, no flags, no restorer, an empty mask of eight bytes.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads 32 bytes; the default disposition runs no code of ours. SIGKILL and SIGSTOP
        // are refused, being at their default. rt_sigaction(2).
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Which side of a fork this is.
pub enum Forked {
    /// The old process, with the new one's number in its own pid namespace and a descriptor of it.
    Parent { pid: Pid, pidfd: OwnedFd },
    /// The new process.
    Child,
}

/// The proof that this process has one thread. Neither sent nor shared; forks of its holder may use it.
#[derive(Clone, Copy)]
pub struct OneThread(std::marker::PhantomData<*const ()>);

impl OneThread {
    /// `None` if there are others. Whoever holds it starts none.
    pub fn check() -> Option<OneThread> {
        let threads = std::fs::read_dir("/proc/self/task").ok()?.count();
        (threads == 1).then_some(OneThread(std::marker::PhantomData))
    }
}

/// A new process in new namespaces, put into a version 2 cgroup by the kernel if one is given.
///
/// With one thread this does what fork(2) does: no other can hold a lock that the child would wait for.
pub fn fork_into(_: OneThread, namespaces: CloneFlags, cgroup: Option<BorrowedFd>) -> nix::Result<Forked> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is the documented default of every field. clone3(2).
    let mut arguments: libc::clone_args = unsafe { zeroed() };
    arguments.flags = (namespaces.bits() as u32 as u64) | libc::CLONE_PIDFD as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and a stack this copies the process as fork does; with one thread no lock can be
    // held by a thread that is not copied. The kernel writes `pidfd` while the call runs. clone3(2).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(Forked::Child),
        // SAFETY: the kernel made this descriptor for us alone.
        pid => Ok(Forked::Parent { pid: Pid::from_raw(pid as i32), pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}

/// linux/sched.h; libc has it as a signed number that does not fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Takes over a descriptor that the process was started with. `None` if it is not open.
///
/// May be called once for each number, before anything else could have opened it.
pub(crate) fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: asks whether the number is open; see fcntl(2), F_GETFD.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: it is open, and by the rule above nobody else in this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Ends the process at once, without running what the parent registered for its own end. _exit(2).
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: it does not return, and touches no memory.
    unsafe { libc::_exit(status) }
}

/// A descriptor that means this process, whatever becomes of its number. pidfd_open(2).
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: two numbers in, a descriptor out.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel made it for us alone; it is close-on-exec by itself.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal to the process a descriptor means. pidfd_send_signal(2).
pub fn pidfd_kill(pidfd: BorrowedFd, signal: Signal) -> nix::Result<()> {
    // SAFETY: no siginfo is passed, so the kernel reads no memory of ours.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as i32,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    Errno::result(sent).map(drop)
}

/// A detached copy of a mount, or of the part of it at this path, with all below. open_tree(2).
fn open_tree(from: impl AsFd, path: &CStr, flags: libc::c_int) -> nix::Result<OwnedFd> {
    let flags = flags as libc::c_long
        | libc::OPEN_TREE_CLONE as libc::c_long
        | libc::OPEN_TREE_CLOEXEC as libc::c_long
        | libc::AT_RECURSIVE as libc::c_long;
    // SAFETY: the path is a C string that lives until the call returns.
    let tree = unsafe { libc::syscall(libc::SYS_open_tree, from.as_fd().as_raw_fd(), path.as_ptr(), flags) };
    // SAFETY: the kernel made it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(Errno::result(tree)? as RawFd) })
}

/// Makes the root of this process the root of its mount namespace, and every mount a slave: what the machine mounts
/// and unmounts is followed, what is mounted here is seen nowhere else.
///
/// Where the machine is a chroot they are two. Then neither could be done to `/` what is done to mounts (propagation,
/// pivot_root), and the rest of the machine would stay in the namespace, a few `..` away from a container that may
/// chroot. So the namespace's own root is entered, which setns(2) does, a copy of the chroot put in its place, and
/// the rest let go of.
pub fn take_root(_: OneThread) -> Result<(), Failure> {
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let own = open("/", directory, Mode::empty()).map_err(failed("open /"))?;
    let namespace = open("/proc/self/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(failed("open /proc/self/ns/mnt"))?;
    setns(namespace, CloneFlags::CLONE_NEWNS).map_err(failed("enter the root of the mount namespace"))?;
    let outer = open("/", directory, Mode::empty()).map_err(failed("open /"))?;
    let slaves = || {
        mount(None::<&str>, ".", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
            .map_err(failed("make mounts slaves"))
    };
    slaves()?;
    if place(&own).and_then(|own| Ok(own == place(&outer)?)).map_err(failed("statx /"))? {
        return Ok(());
    }
    let inside = || -> nix::Result<OwnedFd> {
        let tree = open_tree(&own, c"", libc::AT_EMPTY_PATH)?;
        move_mount(&tree, Path::new("/"))?;
        Ok(tree)
    };
    let tree = inside().map_err(failed("mount the chroot that this machine is over the root it is in"))?;
    fchdir(&tree).map_err(failed("change to the root of the chroot that this machine is"))?;
    slaves()?;
    swap_root().map_err(failed("pivot root to the chroot that this machine is"))
}

/// What a directory is on which mount.
fn place(directory: &OwnedFd) -> nix::Result<[u64; 4]> {
    // SAFETY: all-zero is a valid value of a structure of numbers.
    let mut found: libc::statx = unsafe { zeroed() };
    let wanted = libc::STATX_INO | STATX_MNT_ID;
    // SAFETY: the path is a C string, and the kernel writes one structure. statx(2).
    let done = unsafe { libc::statx(directory.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, wanted, &raw mut found) };
    Errno::result(done)?;
    Ok([found.stx_mnt_id, found.stx_ino, found.stx_dev_major.into(), found.stx_dev_minor.into()])
}

/// linux/stat.h; not in every libc's headers.
const STATX_MNT_ID: libc::c_uint = 0x1000;

/// Makes the mount at the current directory the root, and lets go of the old one.
///
/// The old root is put on top of the new one and let go of from there: no directory is needed for it. See
/// pivot_root(2), pivot_root(".", ".").
fn swap_root() -> nix::Result<()> {
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")
}

/// Mounts a detached tree here. move_mount(2).
fn move_mount(tree: &OwnedFd, at: &Path) -> nix::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let (from, flags) = (c"", libc::MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: both paths are C strings that live until the call returns.
    let moved = unsafe {
        libc::syscall(libc::SYS_move_mount, tree.as_raw_fd(), from.as_ptr(), libc::AT_FDCWD, at.as_ptr(), flags)
    };
    Errno::result(moved).map(drop)
}

/// close_range(2) with CLOSE_RANGE_CLOEXEC: the pipe that reports errors has to live until the execution.
fn close_on_exec(from: u32) -> nix::Result<()> {
    // SAFETY: only sets a flag on descriptors; none is closed while this process still runs our code.
    let done = unsafe { libc::syscall(libc::SYS_close_range, from, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(done).map(drop)
}

/// PR_CAPBSET_DROP for every capability the kernel knows but those to keep. capabilities(7).
fn drop_bounding(keep: &[u8]) -> nix::Result<()> {
    for capability in (0..64_u8).filter(|capability| !keep.contains(capability)) {
        // SAFETY: numbers only. prctl(2).
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
        match Errno::result(done) {
            Ok(_) => {}
            // Beyond the last one it knows.
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// `struct __user_cap_header_struct` and twice `__user_cap_data_struct` of linux/capability.h, version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Holds those of `keep` that the process has: one that it never had cannot be given.
fn set_capabilities(keep: &[u8]) -> nix::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapabilityData::default(); 2];
    // SAFETY: the kernel fills two structures for version 3. capget(2).
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let mask = keep.iter().fold(0_u64, |mask, capability| mask | 1 << capability);
    for (half, data) in data.iter_mut().enumerate() {
        let kept = data.permitted & (mask >> (32 * half)) as u32;
        *data = CapabilityData { effective: kept, permitted: kept, inheritable: 0 };
    }
    // SAFETY: numbers only; clears the ambient set, which kernels before 4.3 do not have. prctl(2).
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // SAFETY: the kernel reads two structures for version 3. capset(2).
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// seccomp(2), SECCOMP_SET_MODE_FILTER. Needs no_new_privs or CAP_SYS_ADMIN.
fn load_filter(filter: &[libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies `len` instructions and checks them; it does not write to them.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    Errno::result(done).map(drop)
}

/// The byte that a terminal's other side comes along with, where messages are text.
pub const TERMINAL_COMES: &[u8] = b"\0";

/// Unlocks a new terminal, opens the side that programs use, and makes it the controlling terminal of this session, of
/// which this process must be the leader. TIOCSPTLCK(2const), TIOCGPTPEER(2const), TIOCSCTTY(2const).
fn controlling_side(terminal: &OwnedFd) -> nix::Result<OwnedFd> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the kernel reads one int.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: a number in, a descriptor out.
    let side = Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGPTPEER as _, flags) })?;
    // SAFETY: the kernel made it for us alone.
    let side = unsafe { OwnedFd::from_raw_fd(side) };
    // SAFETY: a number only: do not take the terminal away from another session.
    Errno::result(unsafe { libc::ioctl(side.as_raw_fd(), libc::TIOCSCTTY as _, 0) })?;
    Ok(side)
}

/// Tells a terminal how large its window is; its foreground processes get SIGWINCH. TIOCSWINSZ(2const).
pub fn set_window(terminal: BorrowedFd, columns: u16, rows: u16) -> nix::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) }).map(drop)
}

/// How large a terminal's window is: columns and rows. TIOCGWINSZ(2const).
pub fn window(terminal: BorrowedFd) -> nix::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes one winsize.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut size) })?;
    Ok((size.ws_col, size.ws_row))
}

/// A new process beside those of a container, in its pid namespace and cgroup. Its parent is this process, which owns
/// the pid namespace around.
///
/// ESRCH if the container's first process has ended, ENOMEM if it is just about to.
pub fn fork_beside(thread: OneThread, first: BorrowedFd, cgroup: Option<BorrowedFd>) -> nix::Result<Forked> {
    let own = open("/proc/self/ns/pid", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    setns(first, CloneFlags::CLONE_NEWPID)?;
    let forked = fork_into(thread, CloneFlags::empty(), cgroup);
    if !matches!(forked, Ok(Forked::Child)) {
        // Only children to come are concerned; the own namespace may always be gone back to: pid_namespaces(7).
        setns(own, CloneFlags::CLONE_NEWPID)?;
    }
    forked
}

/// Sends bytes, with descriptors that come along with the first of them. unix(7), SCM_RIGHTS.
pub fn send(to: BorrowedFd, bytes: &[u8], descriptors: &[BorrowedFd]) -> nix::Result<()> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &rights[..0] } else { &rights[..] };
    let mut sent = sendmsg::<()>(to.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    while sent < bytes.len() {
        sent += sendmsg::<()>(to.as_raw_fd(), &[IoSlice::new(&bytes[sent..])], &[], MsgFlags::MSG_NOSIGNAL, None)?;
    }
    Ok(())
}

/// No message brings more descriptors; those beyond are closed by the kernel.
const DESCRIPTORS_MAX: usize = 8;

/// Receives some bytes, and the descriptors that come along. 0 bytes are the end of the stream.
pub fn receive(from: BorrowedFd, bytes: &mut [u8]) -> std::io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut parts = [IoSliceMut::new(bytes)];
    let received = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: the kernel made them for us alone.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok((received.bytes, descriptors))
}

/// Brings up the loopback device of the network namespace; its addresses come with it. netdevice(7).
pub fn loopback_up() -> Result<(), Failure> {
    let failure = |errno| Failure { operation: "bring lo up".to_owned(), errno };
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(failure)?;
    // SAFETY: all-zero is a valid ifreq: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one ifreq, which lives until the call returns.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) })
        .map(drop)
        .map_err(failure)
}

/// Bytes nobody can guess. getrandom(2): without flags and for so few bytes it neither fails nor is cut
/// short once the system has started.
pub fn random_bytes<const N: usize>() -> nix::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    // SAFETY: the kernel writes at most N bytes.
    let got = Errno::result(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) })?;
    if got as usize == N { Ok(bytes) } else { Err(Errno::EAGAIN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_options_are_escaped() {
        assert_eq!(overlay_escape(Path::new("/a,b:c\\d")), "/a\\,b\\:c\\\\d");
    }

    #[test]
    fn failures_name_operation_object_and_error() {
        let failure = failed(Op::Chdir("/x".into()))(Errno::ENOENT);
        assert_eq!(failure.to_string(), "change to working directory /x: ENOENT: No such file or directory");
    }
}
