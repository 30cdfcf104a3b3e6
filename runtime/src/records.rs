//! What is on disk about pods, and whether the processes it speaks of are still the same.
//!
//! ```text
//! <dir>/images/<digest>/…                         trees of images, shared by all nodes
//! <dir>/nodes/<node>/lock                         held by the node's runtime while it is open
//! <dir>/nodes/<node>/pods/<uid>/                  locked by the pod-init, from before it is started until it is gone
//!     spec.json                                   what was asked for
//!     state.json                                  what became of it: written by the pod-init only
//!     init.log                                    what the pod-init had to complain about
//!     socket                                      where it answers
//!     etc/{hosts,hostname,resolv.conf}  shm/      seen by all containers
//!     <container>/<attempt>/{upper,work}          one start's layer of files
//!     <container>/<attempt>.log  <attempt>.log.1  its output
//!                                                 (in `etc.`, with a dot, of a container called etc, and so on)
//! ```
//!
//! The lock answers "does anything of this pod live?" without any process number: the kernel lets go of
//! it when the last process that holds it ends, also when the machine does.

use crate::enter::{Failure, failed_io};
use miniku_core::kubelet::runtime::{ContainerReport, ContainerState, PodRef, PodSpec};
use miniku_core::time::Wall;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the pod-init writes down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Which run of the kernel the numbers below belong to.
    pub boot_id: String,
    /// The pod-init's number on the host.
    pub pid: u32,
    /// When it began, in clock ticks since boot.
    pub start_time: u64,
    /// Whose sandbox it is; not told by earlier versions. Only what is written here is flushed to disk, so this is what
    /// tells of it after a loss of power.
    #[serde(default)]
    pub pod: Option<PodRef>,
    /// All containers, in the order of their first start.
    pub containers: Vec<ContainerReport>,
}

/// A pod's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDir(pub PathBuf);

impl PodDir {
    /// What was asked for.
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }
    /// What became of it.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }
    /// What the pod-init had to complain about.
    pub fn init_log(&self) -> PathBuf {
        self.0.join("init.log")
    }
    /// What is of a container. If it is called like one of the files of the pod, a dot is added, which is in no
    /// container's name.
    pub fn container(&self, name: &str) -> PathBuf {
        let is_taken = matches!(name, "etc" | "shm" | "socket");
        self.0.join(if is_taken { format!("{name}.") } else { name.to_owned() })
    }
    /// One start of a container.
    pub fn attempt(&self, container: &str, attempt: u32) -> PathBuf {
        self.container(container).join(attempt.to_string())
    }
    /// Its output.
    pub fn log(&self, container: &str, attempt: u32) -> PathBuf {
        self.container(container).join(format!("{attempt}.log"))
    }
    /// Whether a container can have this name. One with a dot could be a file of the pod, and is none in Kubernetes.
    pub fn allows_container(name: &str) -> bool {
        is_component(name) && !name.contains('.')
    }
    /// Whose it is, if either record was written completely.
    pub fn whose(&self) -> Option<PodRef> {
        let asked: Option<PodSpec> = read(&self.spec());
        asked.map(|spec| spec.pod).or_else(|| self.read_state()?.pod)
    }
    /// The state. `None` if the pod-init never came so far.
    pub fn read_state(&self) -> Option<State> {
        read(&self.state())
    }
    /// The containers of a pod whose pod-init is gone: what was running then, no one can say.
    pub fn remains(&self) -> Vec<ContainerReport> {
        let mut containers = self.read_state().map(|state| state.containers).unwrap_or_default();
        for container in &mut containers {
            if matches!(container.state, ContainerState::Running { .. }) {
                container.state = ContainerState::Unknown;
            }
        }
        containers
    }
    /// Whether anything of the pod lives: see the module.
    pub fn is_locked(&self) -> bool {
        match fs::File::open(&self.0) {
            Ok(directory) => matches!(directory.try_lock(), Err(fs::TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }
}

/// Whose directory it is, for a pod of which no record can be read.
pub fn nameless(uid: &str) -> PodRef {
    PodRef { uid: uid.into(), namespace: "".into(), name: "".into() }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a file in one step. With `durable` the content is on the disk before the name is.
///
/// What is not durable is lost with the power, never with a process.
pub fn write<T: Serialize>(path: &Path, value: &T, durable: bool) -> Result<(), Failure> {
    let temporary = path.with_extension("new");
    let bytes =
        serde_json::to_vec(value).map_err(|error| failed_io(format!("encode {}", path.display()))(error.into()))?;
    let replace = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)?;
        if let (true, Some(parent)) = (durable, path.parent()) {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    replace().map_err(failed_io(format!("write {}", path.display())))
}

/// Whether a name may become one part of a path: what Kubernetes allows in names and uids, and no more.
pub fn is_component(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
}

/// When a process began, in clock ticks since boot: field 22 of its stat file. proc_pid_stat(5).
pub fn start_time(pid: impl std::fmt::Display) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// Which run of the kernel this is. random(4).
pub fn boot_id() -> Result<String, Failure> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).map_err(failed_io(format!("read {path}")))?;
    Ok(text.trim().to_owned())
}

/// The time of day.
pub fn now() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Wall::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_cannot_move_the_fields() {
        let stat = "7 (a) 1 (b ) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2 3";
        assert_eq!(parse_start_time(stat), Some(4711));
        assert_eq!(parse_start_time("7 (a"), None);
        assert_eq!(parse_start_time("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_began_at_some_time() {
        assert!(start_time("self").is_some_and(|ticks| ticks > 0));
        assert_eq!(start_time(0), None);
    }

    #[test]
    fn an_end_is_known_though_the_specification_did_not_reach_the_disk() {
        let path = std::env::temp_dir().join(format!("miniku-records-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let dir = PodDir(path);
        let pod = PodRef { uid: "u".into(), namespace: "default".into(), name: "p".into() };
        let (boot_id, containers) = (String::new(), Vec::new());
        let state = State { boot_id, pid: 1, start_time: 1, pod: Some(pod.clone()), containers };
        write(&dir.state(), &state, true).unwrap();
        assert_eq!(dir.whose(), Some(pod.clone()));
        fs::write(dir.spec(), "").unwrap();
        let whose = dir.whose();
        fs::remove_dir_all(&dir.0).unwrap();
        assert_eq!(whose, Some(pod));
    }

    #[test]
    fn names_that_may_become_paths() {
        let check = |name: &str, want| assert_eq!(is_component(name), want, "{name:?}");
        check("9f2c-1", true);
        check("a.b_c", true);
        check("", false);
        check(".", false);
        check("..", false);
        check("a/b", false);
        check("a\0", false);
        assert!(!PodDir::allows_container("spec.json") && !PodDir::allows_container("etc."));
    }

    #[test]
    fn a_container_may_be_called_like_a_file_of_its_pod() {
        let dir = PodDir("/pod".into());
        let check = |name: &str, want: &str| {
            assert!(PodDir::allows_container(name), "{name}");
            assert_eq!(dir.log(name, 2), Path::new(want));
        };
        check("web", "/pod/web/2.log");
        check("etc", "/pod/etc./2.log");
        check("shm", "/pod/shm./2.log");
        check("socket", "/pod/socket./2.log");
    }
}
