//! What the kubelet and a container runtime say to each other.
//!
//! The kubelet program pushes [`Command`]s as effects; a runtime (namespaces, the fake one, the
//! simulator's) answers with [`Report`]s, in its own time. Reports are facts about what was seen, and
//! may come late or twice: each names the pod by uid and the container by name and attempt, so that a
//! late one cannot be taken for news about a successor.
//!
//! Commands are idempotent. A runtime that has already done what a command asks reports the state it
//! finds; a runtime that knows nothing of the pod reports [`ContainerState::Absent`].

use crate::api::text::Text;
use crate::time::{Duration, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What the kubelet asks of the runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Report every pod that exists on this node, in one [`Report::Listed`].
    List,
    /// Create the pod's sandbox, then start its containers in order. One report a container.
    RunPod(PodSpec),
    /// Start one container in an existing sandbox, as `container.attempt`.
    StartContainer { pod: PodRef, container: ContainerSpec },
    /// Send SIGTERM to the container's first process, if that is still this attempt. No report of its
    /// own: the exit is reported when it happens.
    Terminate { pod: PodRef, container: String, attempt: u32 },
    /// Send SIGKILL to every process of the container, if that is still this attempt.
    Kill { pod: PodRef, container: String, attempt: u32 },
    /// End every process of the pod, then remove all that was made for it: mounts, cgroups, network,
    /// directories, logs. Answered by [`Report::Removed`]; removing what is not there is a success.
    RemovePod(PodRef),
}

/// What the runtime saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The answer to [`Command::List`]: all pods with a sandbox or remains of one.
    Listed(Vec<PodReport>),
    /// The pod's sandbox is there. Told before its containers are, and again when one that is there was asked for.
    Sandbox {
        /// Whose.
        pod: PodRef,
        /// Its address in the pods' network; absent if there is no such network.
        ip: Option<IpAddr>,
    },
    /// A container is now in this state.
    Container { pod: PodRef, container: String, attempt: u32, state: ContainerState },
    /// The sandbox's init process is gone, and with it every process of the pod. Containers whose
    /// exit was not recorded are [`ContainerState::Unknown`].
    SandboxGone { pod: PodRef },
    /// Nothing of the pod is left on this node.
    Removed { pod: PodRef },
    /// The pod could not be removed now; the kubelet will ask again.
    RemoveFailed { pod: PodRef, message: String },
}

/// A pod's identity for the runtime: the uid decides, the names are for people and paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodRef {
    /// `metadata.uid`.
    pub uid: Text,
    /// `metadata.namespace`.
    pub namespace: Text,
    /// `metadata.name`.
    pub name: Text,
}

/// All that a runtime needs to make a pod. Written to disk, so that a restarted node finds it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Whose sandbox this is.
    pub pod: PodRef,
    /// The UTS namespace's host name: `spec.hostname`, else the pod's name, cut to 63 bytes.
    pub hostname: String,
    /// Limits of the pod as a whole.
    pub limits: Limits,
    /// The containers to start at once, in order.
    pub containers: Vec<ContainerSpec>,
}

/// One start of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique within the pod; a DNS label.
    pub name: String,
    /// 0 for the first start, one more for each restart: `restartCount` when it runs.
    pub attempt: u32,
    /// The image as the pod names it.
    pub image: String,
    /// Replaces the image's entrypoint if not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments if not empty.
    pub args: Vec<String>,
    /// Environment on top of the image's. Values are literal: references are already expanded.
    pub env: BTreeMap<String, String>,
    /// Absolute; the image's, else `/`, if absent.
    pub working_dir: Option<String>,
    /// Limits of this container.
    pub limits: Limits,
    /// What its standard descriptors are.
    #[serde(default)]
    pub stdio: Stdio,
}

/// What the standard descriptors of a container are. By default an input that ends at once, and two outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// The input is kept open for who attaches.
    pub stdin: bool,
    /// It ends when the first who attached to it leaves.
    pub stdin_once: bool,
    /// All three are a terminal.
    pub tty: bool,
}

/// Resource limits, in the kernel's units. Absent means not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes; beyond it the kernel kills (OOM).
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_milli: Option<u64>,
    /// The share of processor time under contention, in thousandths of a processor (`requests.cpu`). Zero is the least
    /// share; absent, the kernel's own is left, which is that of whole processors.
    pub cpu_request_milli: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// A pod as the runtime finds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodReport {
    /// Whose it is, by the runtime's own record.
    pub pod: PodRef,
    /// Whether the sandbox's init process lives.
    pub alive: bool,
    /// Its address in the pods' network; absent if there is no such network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// Its containers' latest attempts, in the order they were first started.
    pub containers: Vec<ContainerReport>,
}

/// A container as the runtime finds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Its name in the pod.
    pub name: String,
    /// The latest attempt.
    pub attempt: u32,
    /// What became of it.
    pub state: ContainerState,
}

/// What the runtime knows of one attempt of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// It was never started, or nothing is known of the pod.
    Absent,
    /// Its first process lives.
    Running {
        /// `miniku://<64 hexadecimal digits>`, unique for each attempt.
        id: String,
        /// The image that it was started from, as the pod named it then; empty where an earlier version has started it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        image: String,
        /// What it really runs, for example `miniku/busybox@sha256:…`.
        image_id: String,
        /// Process number on the host.
        pid: u32,
        /// When its program was executed.
        started: Wall,
    },
    /// Its first process has ended.
    Exited {
        /// As in `Running`.
        id: String,
        /// As in `Running`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        image: String,
        /// As in `Running`.
        image_id: String,
        /// The exit status, or 128 plus the signal's number.
        code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
        /// The kernel killed it for lack of memory.
        oom: bool,
        /// As in `Running`.
        started: Wall,
        /// When it ended.
        finished: Wall,
    },
    /// It could not be started.
    NotStarted {
        /// Why, as Kubernetes names it.
        reason: StartError,
        /// The operation, its object and the kernel's error.
        message: String,
        /// When this was found.
        at: Wall,
    },
    /// It was started, and no one can say what became of it.
    Unknown,
}

/// Why a container did not start. The names are Kubernetes' waiting reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartError {
    /// No such image here, and none can be had.
    ErrImagePull,
    /// The image's name is not one.
    InvalidImageName,
    /// Namespaces, cgroups or network of the pod could not be made.
    CreatePodSandboxError,
    /// Root file system, mounts or limits could not be made.
    CreateContainerError,
    /// The command could not be executed: not found, not executable, a wrong architecture.
    RunContainerError,
}

/// How long a removal or a start may take before the kubelet takes the report for lost and asks again.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_of_earlier_versions_name_no_image() {
        let record = json!({"name": "c", "attempt": 1, "state": {"Running":
            {"id": "miniku://1", "image_id": "miniku/busybox", "pid": 7, "started": Wall::from_secs(1)}}});
        let read: ContainerReport = serde_json::from_value(record.clone()).unwrap();
        assert!(matches!(&read.state, ContainerState::Running { image, pid: 7, .. } if image.is_empty()));
        assert_eq!(serde_json::to_value(read).unwrap(), record);
    }
}
