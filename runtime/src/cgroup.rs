//! Cgroups: where a pod's processes are counted, limited and killed.
//!
//! Each controller is looked up by itself, because machines mix: version 1 hierarchies beside a version 2
//! mount, with or without controllers in it. What is to be written is a pure table ([`settings`]); the
//! rest makes, fills and removes directories:
//!
//! ```text
//! miniku/<node>-<hash of the data directory>/<pod uid>/                 limits of the pod
//!                                                     init              the pod-init (version 2 only)
//!                                                     <container>-<attempt>
//! ```
//!
//! The version 2 mount is used even if it has no controllers: `cgroup.kill` ends a pod without a race.
//! Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel.

use crate::enter::{Failure, failed, failed_io, pidfd_kill, pidfd_open};
use miniku_core::kubelet::runtime::Limits;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is controlled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Bytes.
    Memory,
    /// Processor time: shares and quotas.
    Cpu,
    /// Processor time, counted. Part of `Cpu` on version 2.
    Cpuacct,
    /// Processes and threads.
    Pids,
}

use Controller::{Cpu, Cpuacct, Memory, Pids};

const CONTROLLERS: [(Controller, &str); 4] = [(Memory, "memory"), (Cpu, "cpu"), (Cpuacct, "cpuacct"), (Pids, "pids")];

/// Which kernel interface a controller has on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of its own, or with a few others.
    V1,
    /// The one hierarchy.
    V2,
}

/// Where each controller is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 1 mounts by controller; two controllers may share one.
    pub v1: BTreeMap<Controller, PathBuf>,
    /// The version 2 mount.
    pub unified: Option<PathBuf>,
    /// The controllers that the version 2 mount has.
    pub v2: Vec<Controller>,
}

impl Hierarchies {
    /// Reads `/proc/self/mountinfo` (proc_pid_mountinfo(5)) and, for the version 2 mount it names,
    /// `cgroup.controllers`.
    pub fn detect() -> Result<Hierarchies, Failure> {
        let path = "/proc/self/mountinfo";
        let mountinfo = fs::read_to_string(path).map_err(failed_io(format!("read {path}")))?;
        let controllers = |mount: &Path| fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        Ok(Hierarchies::parse(&mountinfo, controllers))
    }

    fn parse(mountinfo: &str, controllers: impl Fn(&Path) -> String) -> Hierarchies {
        let mut found = Hierarchies::default();
        for line in mountinfo.lines() {
            // … mount-point options [tags] - type source super-options
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
            match kind {
                Some("cgroup") => {
                    for option in options.split(',') {
                        if let Some((controller, _)) = CONTROLLERS.iter().find(|(_, name)| *name == option) {
                            found.v1.entry(*controller).or_insert_with(|| mount.clone());
                        }
                    }
                }
                Some("cgroup2") if found.unified.is_none() => {
                    let listed = controllers(&mount);
                    let listed: Vec<&str> = listed.split_ascii_whitespace().collect();
                    found.v2 =
                        CONTROLLERS.iter().filter(|(_, name)| listed.contains(name)).map(|(which, _)| *which).collect();
                    found.unified = Some(mount);
                }
                _ => {}
            }
        }
        found
    }

    /// Where this controller is, if anywhere.
    pub fn of(&self, controller: Controller) -> Option<(Version, &Path)> {
        match (&self.unified, self.v1.get(&controller)) {
            (Some(unified), _) if self.v2.contains(&controller) => Some((Version::V2, unified)),
            (_, Some(mount)) => Some((Version::V1, mount)),
            _ => None,
        }
    }

    /// Every mount in use, once.
    fn mounts(&self) -> Vec<&Path> {
        let mut mounts: Vec<&Path> = self.v1.values().chain(&self.unified).map(PathBuf::as_path).collect();
        mounts.sort_unstable();
        mounts.dedup();
        mounts
    }
}

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whose directory it is in.
    pub controller: Controller,
    /// The file.
    pub file: &'static str,
    /// What is written.
    pub value: String,
    /// Not every kernel has the file.
    pub if_present: bool,
}

/// The period of processor quotas, in microseconds: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;
/// The least quota the kernel takes, in microseconds.
const CPU_QUOTA_MIN: u64 = 1_000;

/// What to write for these limits, in order. Fails with the controller that is needed and not there.
///
/// The weight under contention is a wish: without a controller it is left out.
pub fn settings(limits: &Limits, version: impl Fn(Controller) -> Option<Version>) -> Result<Vec<Setting>, Controller> {
    let mut settings = Vec::new();
    let mut set =
        |controller, file, value: String, if_present| settings.push(Setting { controller, file, value, if_present });
    if let Some(bytes) = limits.memory_bytes {
        match version(Memory).ok_or(Memory)? {
            Version::V1 => {
                set(Memory, "memory.limit_in_bytes", bytes.to_string(), false);
                // Memory and swap together: no swap beyond the limit.
                set(Memory, "memory.memsw.limit_in_bytes", bytes.to_string(), true);
            }
            Version::V2 => {
                set(Memory, "memory.max", bytes.to_string(), false);
                set(Memory, "memory.swap.max", "0".to_owned(), true);
                // A container that lost one of its processes is no container any more. As Kubernetes since 1.28.
                set(Memory, "memory.oom.group", "1".to_owned(), true);
            }
        }
    }
    if let Some(milli) = limits.cpu_milli {
        let quota = (milli.saturating_mul(CPU_PERIOD) / 1000).max(CPU_QUOTA_MIN);
        match version(Cpu).ok_or(Cpu)? {
            Version::V1 => {
                set(Cpu, "cpu.cfs_period_us", CPU_PERIOD.to_string(), false);
                set(Cpu, "cpu.cfs_quota_us", quota.to_string(), false);
            }
            Version::V2 => set(Cpu, "cpu.max", format!("{quota} {CPU_PERIOD}"), false),
        }
    }
    if let Some(milli) = limits.cpu_request_milli {
        let shares = (milli.saturating_mul(1024) / 1000).clamp(2, 262_144);
        match version(Cpu) {
            Some(Version::V1) => set(Cpu, "cpu.shares", shares.to_string(), false),
            // The range of shares onto the range of weights. Source: Kubernetes, KEP-2254.
            Some(Version::V2) => set(Cpu, "cpu.weight", (1 + (shares - 2) * 9999 / 262_142).to_string(), false),
            None => {}
        }
    }
    if let Some(count) = limits.pids {
        version(Pids).ok_or(Pids)?;
        set(Pids, "pids.max", count.to_string(), false);
    }
    Ok(settings)
}

/// A place that has been made, for a process to go to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Version 1: write `0` to each. Not to `cgroup.procs`, which takes a global lock and waits for all
    /// processors.
    pub tasks: Vec<PathBuf>,
    /// Version 2: the directory to be made in, since it has no such file.
    pub unified: Option<PathBuf>,
    /// The file with a line `oom_kill <count>`.
    pub oom: Option<PathBuf>,
}

impl Place {
    /// How often the kernel killed here for lack of memory.
    pub fn oom_kills(&self) -> u64 {
        let text = self.oom.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let count = |line: &str| line.strip_prefix("oom_kill ").and_then(|count| count.trim().parse().ok());
        text.lines().find_map(count).unwrap_or(0)
    }

    /// Removes the directories, if they are already empty; what stays is removed with the pod.
    pub fn remove_if_empty(&self) {
        for directory in self.tasks.iter().filter_map(|tasks| tasks.parent()).chain(self.unified.as_deref()) {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// How much the processes of a cgroup use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that could not be given back at once: all but inactive file pages.
    pub working_set_bytes: u64,
    /// All bytes.
    pub memory_bytes: u64,
    /// Processor time since it was made, in nanoseconds.
    pub cpu_nanos: u64,
}

/// What the files say: usage of memory, its statistics, and processor time. The latter is in `cpu.stat` only where version
/// 2 has the controller.
fn used([memory, stat, cpu]: [String; 3], of_memory: Option<Version>, of_cpu: Option<Version>) -> Usage {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
    let line = |text: &str, name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        value.unwrap_or(0)
    };
    let memory_bytes = number(&memory);
    // What the children have is in the parent's numbers, of which version 1 tells two kinds.
    let v1 = of_memory == Some(Version::V1);
    let inactive = line(&stat, if v1 { "total_inactive_file " } else { "inactive_file " });
    let cpu_nanos = match of_cpu {
        Some(Version::V2) => line(&cpu, "usage_usec ").saturating_mul(1000),
        _ => number(&cpu),
    };
    Usage { working_set_bytes: memory_bytes.saturating_sub(inactive), memory_bytes, cpu_nanos }
}

/// All cgroups of one node.
pub struct Cgroups {
    hierarchies: Hierarchies,
    tree: PathBuf,
}

/// How long a cgroup may stay busy after its last process was killed.
const BUSY_MAX: Duration = Duration::from_secs(10);

impl Cgroups {
    /// The tree of the node whose data is in `dir`. Two data directories may have nodes of one name, so the
    /// directory takes part in the name. Nothing is made yet.
    pub fn of_node(dir: &Path, node: &str) -> Result<Cgroups, Failure> {
        // FNV-1a: short, and the same in every build.
        let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let hash = dir.as_os_str().as_encoded_bytes().iter().fold(0x811c_9dc5, fnv);
        let tree = Path::new("miniku").join(format!("{node}-{hash:08x}"));
        Ok(Cgroups { hierarchies: Hierarchies::detect()?, tree })
    }

    /// Where each controller is.
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// The node's directory in every mount, whether it is there or not.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.hierarchies.mounts().into_iter().map(|mount| mount.join(&self.tree)).collect()
    }

    /// Makes the tree, and hands down controllers to it.
    pub fn prepare(&self) -> Result<(), Failure> {
        for directory in self.directories() {
            fs::create_dir_all(&directory).map_err(failed_io(format!("mkdir {}", directory.display())))?;
        }
        if let Some(unified) = &self.hierarchies.unified {
            let mut level = unified.clone();
            self.hand_down(&level)?;
            for part in &self.tree {
                level.push(part);
                self.hand_down(&level)?;
            }
        }
        Ok(())
    }

    /// Lets the children of a version 2 cgroup have their own limits.
    fn hand_down(&self, directory: &Path) -> Result<(), Failure> {
        let file = directory.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&file).unwrap_or_default();
        let enabled: Vec<&str> = enabled.split_ascii_whitespace().collect();
        let missing =
            CONTROLLERS.iter().filter(|(which, name)| self.hierarchies.v2.contains(which) && !enabled.contains(name));
        let wanted = missing.map(|(_, name)| format!("+{name}")).collect::<Vec<_>>().join(" ");
        if wanted.is_empty() {
            return Ok(());
        }
        fs::write(&file, &wanted).map_err(failed_io(format!("write {wanted} to {}", file.display())))
    }

    /// Makes a pod's cgroup with its limits, and the place of its pod-init.
    pub fn make_pod(&self, uid: &str, limits: &Limits) -> Result<Place, Failure> {
        let path = self.tree.join(uid);
        // Not as a group: a pod out of memory loses a container, not its init and with it everything.
        self.make(&path, limits, |setting| setting.file != "memory.oom.group")?;
        let mut place = self.place(&path);
        if let Some(unified) = &mut place.unified {
            self.hand_down(unified)?;
            // Version 2 wants no processes beside child groups.
            unified.push("init");
            make_directory(unified)?;
        }
        Ok(place)
    }

    /// Makes a container's cgroup with its limits.
    pub fn make_container(&self, uid: &str, container: &str, attempt: u32, limits: &Limits) -> Result<Place, Failure> {
        let path = self.container(uid, container, attempt);
        self.make(&path, limits, |_| true)?;
        Ok(self.place(&path))
    }

    fn container(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.tree.join(uid).join(format!("{container}-{attempt}"))
    }

    fn make(&self, path: &Path, limits: &Limits, wanted: impl Fn(&Setting) -> bool) -> Result<(), Failure> {
        for mount in self.hierarchies.mounts() {
            make_directory(&mount.join(path))?;
        }
        let version = |controller| self.hierarchies.of(controller).map(|(version, _)| version);
        let settings = settings(limits, version).map_err(|controller| Failure {
            operation: format!("limit {controller:?}: this machine has no such cgroup controller"),
            errno: Errno::ENOTSUP,
        })?;
        for setting in settings.into_iter().filter(wanted) {
            let Some((_, mount)) = self.hierarchies.of(setting.controller) else { continue };
            let file = mount.join(path).join(setting.file);
            match fs::write(&file, &setting.value) {
                Err(error) if setting.if_present && error.kind() == io::ErrorKind::NotFound => {}
                // Opening for writing creates, which the file system of cgroups answers with this.
                Err(error)
                    if setting.if_present && error.kind() == io::ErrorKind::PermissionDenied && !file.exists() => {}
                other => other.map_err(failed_io(format!("write {} to {}", setting.value, file.display())))?,
            }
        }
        Ok(())
    }

    fn place(&self, path: &Path) -> Place {
        let mut mounts: Vec<&PathBuf> = self.hierarchies.v1.values().collect();
        mounts.sort_unstable();
        mounts.dedup();
        let oom = self.hierarchies.of(Memory).map(|(version, mount)| match version {
            Version::V1 => mount.join(path).join("memory.oom_control"),
            Version::V2 => mount.join(path).join("memory.events"),
        });
        Place {
            tasks: mounts.into_iter().map(|mount| mount.join(path).join("tasks")).collect(),
            unified: self.hierarchies.unified.as_ref().map(|unified| unified.join(path)),
            oom,
        }
    }

    /// What a container uses now; nothing if its cgroup is gone.
    pub fn usage(&self, uid: &str, container: &str, attempt: u32) -> Option<Usage> {
        self.usage_of(&self.container(uid, container, attempt))
    }

    /// What a pod uses now, its init included.
    pub fn pod_usage(&self, uid: &str) -> Option<Usage> {
        self.usage_of(&self.tree.join(uid))
    }

    /// What all pods of the node use now. Processor time of pods that are gone is counted as long as the node's cgroup is
    /// there.
    pub fn node_usage(&self) -> Option<Usage> {
        self.usage_of(&self.tree)
    }

    /// Each controller is read where it is; zero for one that this machine does not have.
    fn usage_of(&self, path: &Path) -> Option<Usage> {
        if !self.hierarchies.mounts().iter().any(|mount| mount.join(path).is_dir()) {
            return None;
        }
        let read = |controller, v1: &str, v2: &str| {
            let (version, mount) = self.hierarchies.of(controller)?;
            let file = if version == Version::V1 { v1 } else { v2 };
            fs::read_to_string(mount.join(path).join(file)).ok()
        };
        let version = |controller| self.hierarchies.of(controller).map(|(version, _)| version);
        let memory = read(Memory, "memory.usage_in_bytes", "memory.current");
        let stat = read(Memory, "memory.stat", "memory.stat");
        let cpu = match version(Cpu) {
            Some(Version::V2) => read(Cpu, "", "cpu.stat"),
            _ => read(Cpuacct, "cpuacct.usage", "cpuacct.usage"),
        };
        Some(used([memory, stat, cpu].map(Option::unwrap_or_default), version(Memory), version(Cpu)))
    }

    /// Sends SIGKILL to every process of a pod.
    pub fn kill_pod(&self, uid: &str) {
        self.kill(&self.tree.join(uid));
    }

    /// Removes a pod's cgroups. They must have been killed; the last processes may still be on their way out.
    pub fn remove_pod(&self, uid: &str) -> Result<(), Failure> {
        self.remove(&self.tree.join(uid))
    }

    /// The pods that have a cgroup.
    pub fn pods(&self) -> Vec<String> {
        let mut uids: Vec<String> = self.directories().iter().flat_map(|directory| children(directory)).collect();
        uids.sort_unstable();
        uids.dedup();
        uids
    }

    /// Kills and removes everything of the node.
    pub fn remove_all(&self) -> Result<(), Failure> {
        for uid in self.pods() {
            self.kill_pod(&uid);
            self.remove_pod(&uid)?;
        }
        self.remove(&self.tree)?;
        for mount in self.hierarchies.mounts() {
            // Only if no other node is left.
            let _ = fs::remove_dir(mount.join("miniku"));
        }
        Ok(())
    }

    fn kill(&self, path: &Path) {
        if let Some(unified) = &self.hierarchies.unified
            && fs::write(unified.join(path).join("cgroup.kill"), "1").is_ok()
        {
            return;
        }
        // Before version 5.14, or without a version 2 mount: by number, each checked again once it is held.
        for mount in self.hierarchies.mounts() {
            let directory = mount.join(path);
            for pid in processes(&directory) {
                if let Ok(pidfd) = pidfd_open(pid)
                    && processes(&directory).contains(&pid)
                {
                    let _ = pidfd_kill(pidfd.as_fd(), Signal::SIGKILL);
                }
            }
        }
    }

    fn remove(&self, path: &Path) -> Result<(), Failure> {
        let deadline = Instant::now() + BUSY_MAX;
        for mount in self.hierarchies.mounts() {
            let mut pause = Duration::from_micros(500);
            while let Err((directory, errno)) = remove_tree(&mount.join(path)) {
                if errno != Errno::EBUSY || Instant::now() > deadline {
                    return Err(failed(format!("rmdir {}", directory.display()))(errno));
                }
                // There is no event to wait for on version 1.
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        }
        Ok(())
    }
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(failed_io(format!("mkdir {}", path.display()))),
    }
}

fn children(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn remove_tree(directory: &Path) -> Result<(), (PathBuf, Errno)> {
    for child in children(directory) {
        remove_tree(&directory.join(child))?;
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
            Err((directory.to_owned(), errno))
        }
        _ => Ok(()),
    }
}

/// The processes in a cgroup and below it.
pub fn processes(directory: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<Pid> = text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect();
    for child in children(directory) {
        pids.extend(processes(&directory.join(child)));
    }
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_mixed_machine() {
        let found = Hierarchies::parse(MIXED, |_| "pids\n".to_owned());
        assert_eq!(found.of(Memory), Some((Version::V1, Path::new("/sys/fs/cgroup/memory"))));
        assert_eq!(found.of(Cpu), Some((Version::V1, Path::new("/sys/fs/cgroup/cpu,cpuacct"))));
        assert_eq!(found.of(Pids), Some((Version::V2, Path::new("/sys/fs/cgroup/unified"))));
        assert_eq!(found.mounts().len(), 3);
    }

    #[test]
    fn a_machine_with_version_2_only() {
        let line = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let found = Hierarchies::parse(line, |_| "cpuset cpu io memory pids".to_owned());
        for controller in [Memory, Cpu, Pids] {
            assert_eq!(found.of(controller), Some((Version::V2, Path::new("/sys/fs/cgroup"))));
        }
        assert_eq!(found.of(Cpuacct), None);
    }

    fn written(limits: &Limits, version: Option<Version>) -> Result<Vec<String>, Controller> {
        let line = |setting: Setting| format!("{}={}", setting.file, setting.value);
        Ok(settings(limits, |_| version)?.into_iter().map(line).collect())
    }

    #[test]
    fn what_is_written() {
        let limits =
            Limits { memory_bytes: Some(64 << 20), cpu_milli: Some(250), cpu_request_milli: Some(500), pids: Some(32) };
        assert_eq!(
            written(&limits, Some(Version::V1)).unwrap(),
            [
                "memory.limit_in_bytes=67108864",
                "memory.memsw.limit_in_bytes=67108864",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=25000",
                "cpu.shares=512",
                "pids.max=32"
            ]
        );
        assert_eq!(
            written(&limits, Some(Version::V2)).unwrap(),
            [
                "memory.max=67108864",
                "memory.swap.max=0",
                "memory.oom.group=1",
                "cpu.max=25000 100000",
                "cpu.weight=20",
                "pids.max=32"
            ]
        );
        assert_eq!(written(&limits, None), Err(Memory));
        assert_eq!(written(&Limits::default(), None).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_used() {
        let check = |files: [&str; 3], memory, cpu, want: [u64; 3]| {
            let usage = used(files.map(str::to_owned), memory, cpu);
            assert_eq!([usage.working_set_bytes, usage.memory_bytes, usage.cpu_nanos], want);
        };
        let (v1, v2) = (Some(Version::V1), Some(Version::V2));
        let stat = "inactive_file 1\ntotal_inactive_file 30\n";
        check(["100\n", stat, "5000\n"], v1, v1, [70, 100, 5000]);
        check(["100\n", stat, "usage_usec 5\nuser_usec 3\n"], v2, v2, [99, 100, 5000]);
        check(["100\n", stat, "5000\n"], v2, v1, [99, 100, 5000]);
        check(["10\n", stat, ""], v1, None, [0, 10, 0]);
        check(["", "", ""], None, None, [0, 0, 0]);
    }

    #[test]
    fn the_ends_of_the_ranges() {
        let check = |milli, version, want: &str| {
            let limits = Limits { cpu_request_milli: Some(milli), ..Limits::default() };
            assert_eq!(written(&limits, Some(version)).unwrap(), [want]);
        };
        check(0, Version::V1, "cpu.shares=2");
        check(0, Version::V2, "cpu.weight=1");
        check(1000, Version::V1, "cpu.shares=1024");
        check(1000, Version::V2, "cpu.weight=39");
        check(u64::MAX, Version::V1, "cpu.shares=262144");
        check(u64::MAX, Version::V2, "cpu.weight=10000");
        let least = Limits { cpu_milli: Some(1), ..Limits::default() };
        assert_eq!(written(&least, Some(Version::V2)).unwrap(), ["cpu.max=1000 100000"]);
    }
}
