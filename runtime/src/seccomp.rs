//! Which system calls a container may make: the list as data, and its filter as a program.
//!
//! The kernel runs the filter for every system call, so the list becomes a balanced tree of comparisons
//! over ranges of numbers: about eight steps instead of one for each allowed call. What is not listed
//! fails with `EPERM`. [`verdict`] answers the same question from the list itself; tests hold both, and
//! an independent implementation, against each other for every number.
//!
//! Source of the list: Docker's default profile, `moby/profiles/seccomp/default.json`, without the calls
//! that it ties to capabilities a container does not have. See seccomp(2).

use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long, sock_filter};
use std::collections::BTreeMap;

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error number.
    Errno(u16),
    /// The process is killed: only for a call of another architecture, whose numbers mean other things.
    Kill,
}

/// A rule of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Errno(u16),
    Allow,
    /// `clone` without any of the flags that make a namespace. `clone3` passes them in memory, where a
    /// filter cannot look: it fails with `ENOSYS`, upon which C libraries use `clone`.
    CloneWithoutNamespaces,
    /// `personality` with one of the values that are harmless (Linux, 32-bit addresses, query).
    HarmlessPersonality,
    /// `socket` of any family but `AF_VSOCK`, which would reach the hypervisor.
    SocketNotVsock,
}

const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `AUDIT_ARCH_…` of the machine this is compiled for; see linux/audit.h.
#[cfg(target_arch = "x86_64")]
pub const ARCH: u32 = 0xc000_003e;
/// `AUDIT_ARCH_…` of the machine this is compiled for; see linux/audit.h.
#[cfg(target_arch = "aarch64")]
pub const ARCH: u32 = 0xc000_00b7;

macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// Allowed on every architecture.
#[rustfmt::skip]
const ALLOWED: &[c_long] = calls![
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir SYS_chroot
    SYS_clock_adjtime SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_close_range
    SYS_connect SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait
    SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_faccessat
    SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fanotify_mark SYS_fchdir SYS_fchmod SYS_fchmodat
    SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock
    SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex
    SYS_futex_waitv SYS_getcpu SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid
    SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority
    SYS_getrandom SYS_getresgid SYS_getresuid SYS_get_robust_list SYS_getrusage SYS_getsid
    SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_getxattr
    SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch SYS_io_cancel SYS_ioctl SYS_io_destroy
    SYS_io_getevents SYS_ioprio_get SYS_ioprio_set SYS_io_setup SYS_io_submit SYS_kill
    SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_lgetxattr
    SYS_linkat SYS_listen SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr
    SYS_madvise SYS_membarrier SYS_memfd_create SYS_memfd_secret SYS_mincore SYS_mkdirat SYS_mknodat
    SYS_mlock SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open
    SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_msgctl SYS_msgget SYS_msgrcv
    SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall SYS_munmap SYS_name_to_handle_at SYS_nanosleep
    SYS_newfstatat SYS_openat SYS_openat2 SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_pkey_alloc
    SYS_pkey_free SYS_pkey_mprotect SYS_ppoll SYS_prctl SYS_pread64 SYS_preadv SYS_preadv2
    SYS_prlimit64 SYS_process_mrelease SYS_process_vm_readv SYS_process_vm_writev SYS_pselect6
    SYS_ptrace SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead SYS_readlinkat SYS_readv
    SYS_recvfrom SYS_recvmmsg SYS_recvmsg SYS_remap_file_pages SYS_removexattr SYS_renameat2
    SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask
    SYS_rt_sigqueueinfo SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo
    SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam SYS_sched_get_priority_max
    SYS_sched_get_priority_min SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity
    SYS_sched_setattr SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl
    SYS_semget SYS_semop SYS_semtimedop SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_setfsgid
    SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid
    SYS_setresgid SYS_setresuid SYS_setreuid SYS_set_robust_list SYS_setsid SYS_setsockopt
    SYS_set_tid_address SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_shutdown
    SYS_sigaltstack SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync
    SYS_syncfs SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete SYS_timer_getoverrun
    SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime
    SYS_times SYS_tkill SYS_truncate SYS_umask SYS_uname SYS_unlinkat SYS_utimensat SYS_vmsplice
    SYS_wait4 SYS_waitid SYS_write SYS_writev
];

/// Older calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[c_long] = calls![
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create
    SYS_epoll_ctl_old SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_fork SYS_futimesat SYS_getdents
    SYS_getpgrp SYS_getrlimit SYS_inotify_init SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod
    SYS_modify_ldt SYS_open SYS_pause SYS_pipe SYS_poll SYS_readlink SYS_rename SYS_renameat SYS_rmdir
    SYS_select SYS_sendfile SYS_setrlimit SYS_signalfd SYS_stat SYS_symlink SYS_sync_file_range
    SYS_time SYS_unlink SYS_utime SYS_utimes SYS_vfork
];
/// Calls that libc has no name for here: renameat, sync_file_range, getrlimit, setrlimit.
///
/// Source: include/uapi/asm-generic/unistd.h.
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[c_long] = &[38, 84, 163, 164];

fn rules() -> BTreeMap<u32, Rule> {
    let mut rules = BTreeMap::new();
    for call in ALLOWED.iter().chain(ALLOWED_HERE) {
        rules.insert(*call as u32, Rule::Allow);
    }
    rules.insert(libc::SYS_clone as u32, Rule::CloneWithoutNamespaces);
    rules.insert(libc::SYS_clone3 as u32, Rule::Errno(libc::ENOSYS as u16));
    rules.insert(libc::SYS_personality as u32, Rule::HarmlessPersonality);
    rules.insert(libc::SYS_socket as u32, Rule::SocketNotVsock);
    rules
}

/// What becomes of a call by the list; only the low halves of arguments matter.
pub fn verdict(arch: u32, call: u32, first_argument: u32) -> Verdict {
    let denied = Verdict::Errno(libc::EPERM as u16);
    let allow_if = |allowed| if allowed { Verdict::Allow } else { denied };
    if arch != ARCH {
        return Verdict::Kill;
    }
    match rules().get(&call) {
        None => denied,
        Some(Rule::Allow) => Verdict::Allow,
        Some(Rule::Errno(errno)) => Verdict::Errno(*errno),
        Some(Rule::CloneWithoutNamespaces) => allow_if(first_argument & NAMESPACE_FLAGS == 0),
        Some(Rule::HarmlessPersonality) => allow_if(PERSONALITIES.contains(&first_argument)),
        Some(Rule::SocketNotVsock) => allow_if(first_argument != libc::AF_VSOCK as u32),
    }
}

const LOAD: u16 = (BPF_LD | BPF_W | BPF_ABS) as u16;
const JUMP_GE: u16 = (BPF_JMP | BPF_JGE | BPF_K) as u16;
const JUMP_EQ: u16 = (BPF_JMP | BPF_JEQ | BPF_K) as u16;
const JUMP: u16 = BPF_JMP as u16;
const AND: u16 = (BPF_ALU | BPF_AND | BPF_K) as u16;
const RETURN: u16 = (BPF_RET | BPF_K) as u16;

/// Offsets in `struct seccomp_data`; the first argument's low half, on a little-endian machine.
const CALL: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const fn op(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn finish(verdict: Verdict) -> sock_filter {
    op(
        RETURN,
        match verdict {
            Verdict::Allow => libc::SECCOMP_RET_ALLOW,
            Verdict::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        },
    )
}

/// The list as a classic BPF program, about 170 instructions.
pub fn program() -> Vec<sock_filter> {
    let mut program = vec![
        op(LOAD, ARCHITECTURE),
        sock_filter { code: JUMP_EQ, jt: 1, jf: 0, k: ARCH },
        finish(Verdict::Kill),
        op(LOAD, CALL),
    ];
    tree(&ranges(), &mut program);
    program
}

/// Where each run of numbers with the same rule begins; the last reaches to the end of all numbers.
fn ranges() -> Vec<(u32, Rule)> {
    let denied = Rule::Errno(libc::EPERM as u16);
    let mut ranges = vec![(0, denied)];
    let mut next = 0;
    for (call, rule) in rules() {
        if call > next {
            push_range(&mut ranges, next, denied);
        }
        push_range(&mut ranges, call, rule);
        next = call + 1;
    }
    push_range(&mut ranges, next, denied);
    ranges
}

fn push_range(ranges: &mut Vec<(u32, Rule)>, from: u32, rule: Rule) {
    match ranges.last_mut() {
        Some(last) if last.0 == from => last.1 = rule,
        Some(last) if last.1 == rule => {}
        _ => ranges.push((from, rule)),
    }
}

/// Half of the ranges to the left of one comparison, half to its right; a leaf answers.
fn tree(ranges: &[(u32, Rule)], out: &mut Vec<sock_filter>) {
    if let [(_, rule)] = ranges {
        return leaf(*rule, out);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let at = out.len();
    out.push(sock_filter { code: JUMP_GE, jt: 0, jf: 0, k: high[0].0 });
    tree(low, out);
    let over = out.len() - at - 1;
    match u8::try_from(over) {
        Ok(over) => out[at].jt = over,
        // A conditional jump reaches 255 instructions, an unconditional one anywhere.
        Err(_) => {
            out[at].jf = 1;
            out.insert(at + 1, op(JUMP, over as u32));
        }
    }
    tree(high, out);
}

fn leaf(rule: Rule, out: &mut Vec<sock_filter>) {
    let denied = finish(Verdict::Errno(libc::EPERM as u16));
    let allowed = finish(Verdict::Allow);
    match rule {
        Rule::Allow => out.push(allowed),
        Rule::Errno(errno) => out.push(finish(Verdict::Errno(errno))),
        Rule::CloneWithoutNamespaces => out.extend([
            op(LOAD, FIRST_ARGUMENT),
            op(AND, NAMESPACE_FLAGS),
            sock_filter { code: JUMP_EQ, jt: 0, jf: 1, k: 0 },
            allowed,
            denied,
        ]),
        Rule::HarmlessPersonality => {
            out.push(op(LOAD, FIRST_ARGUMENT));
            for (index, value) in PERSONALITIES.iter().enumerate() {
                out.push(sock_filter { code: JUMP_EQ, jt: (PERSONALITIES.len() - index) as u8, jf: 0, k: *value });
            }
            out.extend([denied, allowed]);
        }
        Rule::SocketNotVsock => out.extend([
            op(LOAD, FIRST_ARGUMENT),
            sock_filter { code: JUMP_EQ, jt: 1, jf: 0, k: libc::AF_VSOCK as u32 },
            allowed,
            denied,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's interpreter would answer: seccomp_data in, verdict out.
    fn run(program: &[sock_filter], arch: u32, call: u32, argument: u32) -> (Verdict, usize) {
        let (mut at, mut steps, mut a) = (0, 0, 0);
        loop {
            let op = &program[at];
            steps += 1;
            at += 1;
            match op.code {
                LOAD => {
                    a = match op.k {
                        CALL => call,
                        ARCHITECTURE => arch,
                        FIRST_ARGUMENT => argument,
                        // The upper half of the first argument: seccompiler compares all 64 bits.
                        20 => 0,
                        other => panic!("load of {other}"),
                    }
                }
                AND => a &= op.k,
                JUMP => at += op.k as usize,
                JUMP_EQ => at += usize::from(if a == op.k { op.jt } else { op.jf }),
                JUMP_GE => at += usize::from(if a >= op.k { op.jt } else { op.jf }),
                RETURN => {
                    let verdict = match op.k & 0xffff_0000 {
                        libc::SECCOMP_RET_ALLOW => Verdict::Allow,
                        libc::SECCOMP_RET_ERRNO => Verdict::Errno(op.k as u16),
                        libc::SECCOMP_RET_KILL_PROCESS => Verdict::Kill,
                        other => panic!("returns {other:#x}"),
                    };
                    return (verdict, steps);
                }
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const ARGUMENTS: [u32; 9] =
        [0, 8, 17, 40, 0x2_0000, 0x2_0008, 0xffff_ffff, libc::CLONE_NEWUSER as u32, libc::CLONE_NEWNS as u32 | 17];

    #[test]
    fn the_program_says_what_the_list_says_for_every_number() {
        let program = program();
        let numbers = (0..2048).chain(0x4000_0000..0x4000_0400).chain([u32::MAX, u32::MAX - 1]);
        for call in numbers {
            for argument in ARGUMENTS {
                assert_eq!(
                    run(&program, ARCH, call, argument).0,
                    verdict(ARCH, call, argument),
                    "call {call}, {argument:#x}"
                );
            }
        }
    }

    #[test]
    fn another_architecture_is_killed() {
        assert_eq!(run(&program(), 0x4000_0003, libc::SYS_read as u32, 0).0, Verdict::Kill);
    }

    #[test]
    fn no_call_costs_more_than_a_few_comparisons() {
        let program = program();
        let worst = (0..1024).map(|call| run(&program, ARCH, call, 0).1).max().unwrap();
        assert!(worst <= 18, "{worst} steps");
        assert!(program.len() < 300, "{} instructions", program.len());
    }

    #[test]
    fn the_dangerous_are_refused_and_the_useful_pass() {
        let check =
            |call: c_long, argument, want| assert_eq!(verdict(ARCH, call as u32, argument), want, "call {call}");
        let eperm = Verdict::Errno(libc::EPERM as u16);
        for call in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_open_by_handle_at,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_pivot_root,
            libc::SYS_reboot,
        ] {
            check(call, 0, eperm);
        }
        check(libc::SYS_clone3, 0, Verdict::Errno(libc::ENOSYS as u16));
        check(libc::SYS_clone, 17, Verdict::Allow);
        check(libc::SYS_clone, libc::CLONE_NEWUSER as u32, eperm);
        check(libc::SYS_socket, libc::AF_INET as u32, Verdict::Allow);
        check(libc::SYS_socket, libc::AF_VSOCK as u32, eperm);
        check(libc::SYS_execve, 0, Verdict::Allow);
    }

    /// seccompiler makes a chain of comparisons, one a call: slow, and written by others.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn seccompiler_agrees_for_every_number() {
        use seccompiler::{
            BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
            TargetArch,
        };
        let on_first = |operator, value: u32| {
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, u64::from(value)).unwrap();
            SeccompRule::new(vec![condition]).unwrap()
        };
        let mut listed = BTreeMap::new();
        for (call, rule) in rules() {
            let rules = match rule {
                Rule::Allow => vec![],
                // The oracle knows one action beside its default: compared below for EPERM.
                Rule::Errno(_) => continue,
                Rule::CloneWithoutNamespaces => vec![on_first(SeccompCmpOp::MaskedEq(u64::from(NAMESPACE_FLAGS)), 0)],
                Rule::HarmlessPersonality => {
                    PERSONALITIES.iter().map(|value| on_first(SeccompCmpOp::Eq, *value)).collect()
                }
                Rule::SocketNotVsock => vec![on_first(SeccompCmpOp::Ne, libc::AF_VSOCK as u32)],
            };
            listed.insert(i64::from(call), rules);
        }
        let filter = SeccompFilter::new(
            listed,
            SeccompAction::Errno(libc::EPERM as u32),
            SeccompAction::Allow,
            TargetArch::x86_64,
        )
        .unwrap();
        let oracle: BpfProgram = filter.try_into().unwrap();
        let oracle: Vec<sock_filter> =
            oracle.iter().map(|op| sock_filter { code: op.code, jt: op.jt, jf: op.jf, k: op.k }).collect();
        let ours = program();
        for call in 0..1024 {
            for argument in ARGUMENTS {
                let mine = run(&ours, ARCH, call, argument).0;
                let theirs = run(&oracle, ARCH, call, argument).0;
                let same =
                    mine == theirs || (call == libc::SYS_clone3 as u32 && mine == Verdict::Errno(libc::ENOSYS as u16));
                assert!(same, "call {call}, argument {argument:#x}: {mine:?}, the oracle {theirs:?}");
            }
        }
    }
}
