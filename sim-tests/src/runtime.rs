//! A node's container runtime and kernel, pretended: it owns the truth about which process lives where.
//!
//! It answers [`Command`]s with [`Report`]s after drawn delays, as the real runtime does. What a container does is
//! read from its command line, in a small part of the shell's language, so that the same manifests run here and on
//! real nodes: `sleep 5`, `false`, `sh -c "trap '' TERM; sleep 9; exit 3"`. Anything else runs until it is stopped.

use crate::noise::{Counted, Delay};
use crate::plan::{Added, Ratio};
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::{
    Command, ContainerReport, ContainerSpec, ContainerState, PodRef, PodReport, Report, StartError,
};
use miniku_core::kubelet::spec::container_spec;
use miniku_core::rng::Draw;
use miniku_core::time::{Duration, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// How long things take on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speeds {
    /// A command's way to the runtime, and a report's way back.
    pub message: Delay,
    /// To make a sandbox.
    pub sandbox: Delay,
    /// To start a container's process.
    pub start: Delay,
    /// From SIGTERM to the end of a process that heeds it.
    pub terminate: Delay,
    /// From SIGKILL to the end of a process.
    pub kill: Delay,
    /// To find out that an image cannot be had.
    pub pull: Delay,
    /// To remove what was made for a pod.
    pub remove: Delay,
}

impl Default for Speeds {
    fn default() -> Self {
        Speeds {
            message: Delay::micros(20, 50),
            sandbox: Delay::micros(2_000, 2_000),
            start: Delay::micros(1_000, 1_000),
            terminate: Delay::micros(1_000, 200_000),
            kill: Delay::micros(100, 1_000),
            pull: Delay::micros(50_000, 500_000),
            remove: Delay::micros(2_000, 5_000),
        }
    }
}

/// What can be wrong with a node's runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Trouble {
    /// Sandboxes and processes take so much longer to make, to start and to remove.
    Slow(Delay),
    /// Processes do not heed SIGTERM, as where they hang.
    IgnoresTerm,
    /// No image can be had.
    NoImages,
    /// The node's disk is full: nothing can be made for a pod.
    DiskFull,
    /// So many starts and removals are done without a word: whoever asked takes them for lost.
    TimesOut(Ratio),
    /// It lists what there was when the trouble began.
    StaleLists,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Slow(by) => write!(f, "{} slower", Added(by)),
            Trouble::IgnoresTerm => f.write_str("processes ignore SIGTERM"),
            Trouble::NoImages => f.write_str("no image can be had"),
            Trouble::DiskFull => f.write_str("disk full"),
            Trouble::TimesOut(share) => write!(f, "{share} of what is done is not told"),
            Trouble::StaleLists => f.write_str("it lists what there was"),
        }
    }
}

/// What a container's process does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// After how long it ends, and with which exit status; never if absent.
    pub ends: Option<(Duration, i32)>,
    /// SIGTERM means nothing to it.
    pub ignores_term: bool,
}

impl Behaviour {
    /// What a command line does.
    pub fn of(spec: &ContainerSpec) -> Self {
        let words: Vec<&str> = spec.command.iter().chain(&spec.args).map(String::as_str).collect();
        let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        match words.as_slice() {
            [sh, "-c", script, ..] if base(sh) == "sh" => Behaviour::of_script(script),
            words => Behaviour::of_script(&words.join(" ")),
        }
    }

    fn of_script(script: &str) -> Self {
        let (mut after, mut behaviour) = (Duration::ZERO, Behaviour::default());
        let script = script.replace("&&", ";");
        for statement in script.split(';') {
            let words: Vec<&str> = statement.split_whitespace().collect();
            let word = words.first().map(|word| word.rsplit('/').next().unwrap_or_default());
            match (word, words.get(1).copied()) {
                (Some("sleep"), Some(time)) => match seconds(time) {
                    Some(time) => after += time,
                    None => return behaviour,
                },
                (Some("exit"), code) => {
                    behaviour.ends = Some((after, code.and_then(|code| code.parse().ok()).unwrap_or(0)));
                    return behaviour;
                }
                (Some("trap"), Some("''" | "\"\"")) => behaviour.ignores_term = true,
                (Some("true" | "echo" | "exec"), _) => {}
                (Some("false"), _) => {
                    behaviour.ends = Some((after, 1));
                    return behaviour;
                }
                (None, _) if words.is_empty() && script.trim().is_empty() => return behaviour,
                (None, _) => {}
                // A server, a loop: it stays.
                (Some(_), _) => return behaviour,
            }
        }
        behaviour.ends = Some((after, 0));
        behaviour
    }
}

/// `5`, `0.25`; none for `infinity`.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_millis(millis.parse().ok()?))
}

/// The names of images that can be had, with any tag.
const IMAGES: &[&str] = &["busybox", "alpine", "miniku/busybox", "docker.io/library/busybox"];

fn image_error(image: &str) -> Option<StartError> {
    if image.is_empty() || image.chars().any(|c| c.is_ascii_uppercase() || c.is_whitespace()) {
        return Some(StartError::InvalidImageName);
    }
    let name = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(image, |(name, _)| name);
    (!IMAGES.contains(&name)).then_some(StartError::ErrImagePull)
}

/// Whether there is such an image.
pub fn can_be_had(image: &str) -> bool {
    image_error(image).is_none()
}

/// Which process this is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Of which pod.
    pub pod: PodRef,
    /// In which container of it.
    pub container: Text,
    /// Which start of that container.
    pub attempt: u32,
    /// Its number on the node. May be given again once it has ended.
    pub pid: u32,
}

/// A process came into being, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Started(Process),
    /// It runs no more. With its exit code, if it came to its own end.
    Ended(Process, Option<i32>),
}

/// What a runtime is going to do, when its time comes.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Make the sandbox of a pod, and begin with its containers.
    Make { pod: PodRef, containers: Vec<ContainerSpec> },
    /// Start a process.
    Start { pod: PodRef, container: ContainerSpec },
    /// End a process, if it still lives.
    End { process: Process, code: i32, end: End },
    /// Remove all that was made for a pod.
    Remove { pod: PodRef },
    /// Tell the kubelet.
    Tell(Report),
}

/// What ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exits.
    Exit,
    /// This signal.
    Signal(i32),
    /// The kernel, for lack of memory.
    OutOfMemory,
}

/// What came of a command or a deed.
#[derive(Debug, Default)]
pub struct Results {
    /// What is to be done, after which delay.
    pub later: Vec<(Duration, Deed)>,
    /// Which processes started and ended.
    pub lives: Vec<Life>,
}

impl Results {
    /// Something is to be done. It is nearly always the only thing, and large.
    fn add(&mut self, after: Duration, deed: Deed) {
        if self.later.is_empty() {
            self.later.reserve_exact(1);
        }
        self.later.push((after, deed));
    }
}

#[derive(Debug)]
struct Sandbox {
    pod: PodRef,
    alive: bool,
    ip: Option<Ipv4Addr>,
    removing: bool,
    containers: Vec<Container>,
}

#[derive(Debug)]
struct Container {
    spec: ContainerSpec,
    state: ContainerState,
    /// Whether a start of this attempt is under way.
    starting: bool,
}

/// The runtime of one node.
#[derive(Debug)]
pub struct Runtime {
    speeds: Speeds,
    any_image: bool,
    draws: Counted,
    /// Boxed: of a tree's room a third stays free.
    sandboxes: BTreeMap<Text, Box<Sandbox>>,
    /// The uids of pods whose sandbox is being made.
    making: BTreeSet<Text>,
    next_pid: u32,
    pids: BTreeSet<u32>,
    addresses: Addresses,
    troubles: Vec<(usize, Trouble)>,
    /// What is listed instead of what there is.
    stale: Option<Vec<PodReport>>,
}

/// The addresses of a node's pods: 254 of the node's own /24 in 10.128.0.0/9. The lowest that is free is taken, so that
/// each is soon given again.
#[derive(Debug)]
struct Addresses {
    net: u32,
    taken: [u64; 4],
}

impl Addresses {
    fn of(nth: usize) -> Self {
        let nth = u32::try_from(nth).expect("fewer nodes than addresses") & 0x7fff;
        Addresses { net: u32::from(Ipv4Addr::new(10, 128, 0, 0)) | nth << 8, taken: [1, 0, 0, 1 << 63] }
    }

    fn take(&mut self) -> Option<Ipv4Addr> {
        let word = self.taken.iter().position(|word| *word != u64::MAX)?;
        let bit = self.taken[word].trailing_ones();
        self.taken[word] |= 1 << bit;
        Some(Ipv4Addr::from(self.net | (word as u32 * 64 + bit)))
    }

    fn give_back(&mut self, ip: Ipv4Addr) {
        let last = ip.octets()[3];
        self.taken[usize::from(last / 64)] &= !(1 << (last % 64));
    }
}

/// Process numbers of a node: few, so that they are soon given again.
const PIDS: u32 = 4096;

/// What a draw is for; part of its key.
mod purpose {
    pub const MAKE: u8 = 1;
    pub const START: u8 = 2;
    pub const END: u8 = 3;
    pub const REMOVE: u8 = 4;
    pub const TELL: u8 = 5;
    pub const ID: u8 = 6;
    pub const TROUBLE: u8 = 7;
}

impl Runtime {
    /// The runtime of the `nth` node, with nothing on the node.
    pub fn new(speeds: Speeds, any_image: bool, nth: usize, draw: Draw) -> Self {
        let next_pid = u32::try_from(draw.key("first pid").below(u64::from(PIDS))).expect("it is below");
        let draws = Counted::of(draw);
        let (sandboxes, making, pids, troubles) = Default::default();
        let addresses = Addresses::of(nth);
        Runtime { speeds, any_image, draws, sandboxes, making, next_pid, pids, addresses, troubles, stale: None }
    }

    /// Something is wrong with it from now on; `id` names it.
    pub fn spoil(&mut self, id: usize, trouble: Trouble) {
        if trouble == Trouble::StaleLists {
            self.stale = Some(self.listed());
        }
        self.troubles.push((id, trouble));
    }

    /// This is not wrong any more.
    pub fn heal(&mut self, id: usize) {
        self.troubles.retain(|(one, _)| *one != id);
        if !self.has(Trouble::StaleLists) {
            self.stale = None;
        }
    }

    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.troubles.is_empty()
    }

    fn has(&self, trouble: Trouble) -> bool {
        self.troubles.iter().any(|(_, one)| *one == trouble)
    }

    fn listed(&self) -> Vec<PodReport> {
        self.sandboxes.values().map(|sandbox| sandbox.report()).collect()
    }

    /// How long something takes.
    fn takes(&mut self, speed: Delay, purpose: u8, uid: &str) -> Duration {
        let draw = self.draws.name(purpose, uid);
        let mut delay = speed.of(draw);
        for (nth, (_, trouble)) in (1..).zip(&self.troubles) {
            if let Trouble::Slow(by) = trouble {
                delay += by.of(draw.count(nth));
            }
        }
        delay
    }

    /// Whether somebody hears that this was done.
    fn is_told(&mut self, uid: &str) -> bool {
        if self.troubles.is_empty() {
            return true;
        }
        let draw = self.draws.name(purpose::TROUBLE, uid);
        !(0..).zip(&self.troubles).any(|(nth, (_, trouble))| {
            matches!(trouble, Trouble::TimesOut(share)
                if draw.count(nth).chance(u64::from(share.0), u64::from(share.1)))
        })
    }

    fn image_error(&self, image: &str) -> Option<StartError> {
        let found = if self.any_image { None } else { image_error(image) };
        found.or_else(|| self.has(Trouble::NoImages).then_some(StartError::ErrImagePull))
    }

    /// How long a command is on its way.
    pub fn way(&mut self) -> Duration {
        self.speeds.message.of(self.draws.number(0))
    }

    /// The processes that live.
    pub fn processes(&self) -> impl Iterator<Item = Process> + '_ {
        self.sandboxes.values().flat_map(|sandbox| sandbox.processes())
    }

    /// How many pods have a sandbox or remains of one.
    pub fn sandboxes(&self) -> usize {
        self.sandboxes.len()
    }

    /// Takes in a command of the kubelet.
    pub fn command(&mut self, command: Command, out: &mut Results) {
        match command {
            Command::List => {
                let listed = self.stale.clone().unwrap_or_else(|| self.listed());
                self.tell("", Report::Listed(listed), out);
            }
            Command::RunPod(spec) => match self.sandboxes.get(&spec.pod.uid) {
                None => {
                    self.making.insert(spec.pod.uid.clone());
                    let delay = self.takes(self.speeds.sandbox, purpose::MAKE, &spec.pod.uid);
                    out.add(delay, Deed::Make { pod: spec.pod, containers: spec.containers });
                }
                Some(sandbox) => {
                    let ip = sandbox.ip.map(IpAddr::from);
                    self.tell(&spec.pod.uid, Report::Sandbox { pod: spec.pod.clone(), ip }, out);
                    for container in spec.containers {
                        self.start(&spec.pod, container, out);
                    }
                }
            },
            Command::StartContainer { pod, container } => self.start(&pod, container, out),
            Command::Terminate { pod, container, attempt } => {
                self.misses(&pod, &container, attempt, out);
                if let Some((process, behaviour)) = self.living(&pod, &container, attempt)
                    && !behaviour.ignores_term
                    && !self.has(Trouble::IgnoresTerm)
                {
                    let delay = self.speeds.terminate.of(self.draws.name(purpose::END, &pod.uid));
                    out.add(delay, Deed::End { process, code: 143, end: End::Signal(15) });
                }
            }
            Command::Kill { pod, container, attempt } => {
                self.misses(&pod, &container, attempt, out);
                if let Some((process, _)) = self.living(&pod, &container, attempt) {
                    let delay = self.speeds.kill.of(self.draws.name(purpose::END, &pod.uid));
                    out.add(delay, Deed::End { process, code: 137, end: End::Signal(9) });
                }
            }
            Command::RemovePod(pod) => {
                if let Some(sandbox) = self.sandboxes.get_mut(&pod.uid) {
                    sandbox.removing = true;
                }
                let delay = self.takes(self.speeds.remove, purpose::REMOVE, &pod.uid);
                out.add(delay, Deed::Remove { pod });
            }
        }
    }

    /// Does what was to be done.
    pub fn act(&mut self, wall: Wall, deed: Deed, out: &mut Results) -> Option<Report> {
        match deed {
            Deed::Tell(report) => return Some(report),
            Deed::Make { pod, .. } if !self.making.remove(&pod.uid) => {}
            Deed::Make { pod, containers } if self.has(Trouble::DiskFull) => {
                for ContainerSpec { name: container, attempt, .. } in containers {
                    let reason = StartError::CreatePodSandboxError;
                    let message = format!("make sandbox of pod {}: no space left on device", pod.name);
                    let state = ContainerState::NotStarted { reason, message, at: wall };
                    self.tell(&pod.uid, Report::Container { pod: pod.clone(), container, attempt, state }, out);
                }
            }
            Deed::Make { pod, containers } => {
                let places = Vec::with_capacity(containers.len());
                let ip = match self.sandboxes.get(&pod.uid) {
                    Some(sandbox) => sandbox.ip,
                    None => {
                        let ip = self.addresses.take();
                        let sandbox =
                            Sandbox { pod: pod.clone(), alive: true, ip, removing: false, containers: places };
                        self.sandboxes.insert(pod.uid.clone(), Box::new(sandbox));
                        ip
                    }
                };
                self.tell(&pod.uid, Report::Sandbox { pod: pod.clone(), ip: ip.map(IpAddr::from) }, out);
                for container in containers {
                    self.start(&pod, container, out);
                }
            }
            Deed::Start { pod, container } => self.started(wall, &pod, container, out),
            Deed::End { process, code, end } => self.ended(wall, &process, code, end, out),
            Deed::Remove { pod } => {
                let sandbox = self.sandboxes.remove(&pod.uid);
                sandbox.iter().filter_map(|sandbox| sandbox.ip).for_each(|ip| self.addresses.give_back(ip));
                for process in sandbox.iter().flat_map(|sandbox| sandbox.processes()) {
                    self.pids.remove(&process.pid);
                    out.lives.push(Life::Ended(process, None));
                }
                if self.is_told(&pod.uid) {
                    self.tell(&pod.uid.clone(), Report::Removed { pod }, out);
                }
            }
        }
        None
    }

    /// The machine loses power: every process ends, the records on the disk stay.
    pub fn crash(&mut self) -> Vec<Life> {
        let lives = self.processes().map(|process| Life::Ended(process, None)).collect();
        self.pids.clear();
        for sandbox in self.sandboxes.values_mut() {
            sandbox.alive = false;
            for container in &mut sandbox.containers {
                let begun = container.starting || matches!(container.state, ContainerState::Running { .. });
                container.starting = false;
                if begun {
                    container.state = ContainerState::Unknown;
                }
            }
        }
        lives
    }

    /// The kubelet is gone, and with it what it had begun to make: the runtime is a part of its process.
    pub fn abandon(&mut self) {
        self.making.clear();
        for sandbox in self.sandboxes.values_mut() {
            sandbox.containers.retain(|one| !one.starting);
        }
    }

    fn start(&mut self, pod: &PodRef, container: ContainerSpec, out: &mut Results) {
        let absent = |attempt, name: &str| Report::Container {
            pod: pod.clone(),
            container: name.to_owned(),
            attempt,
            state: ContainerState::Absent,
        };
        let Some(sandbox) = self.sandboxes.get_mut(&pod.uid).filter(|sandbox| !sandbox.removing) else {
            let report = absent(container.attempt, &container.name);
            return self.tell(&pod.uid, report, out);
        };
        if !sandbox.alive {
            return self.tell(&pod.uid, Report::SandboxGone { pod: pod.clone() }, out);
        }
        let found = sandbox.containers.iter_mut().find(|one| one.spec.name == container.name);
        match found {
            // Done already, or a late command of an earlier attempt: it is told what is there. An attempt that came to
            // nothing may be repeated.
            Some(one)
                if one.spec.attempt > container.attempt
                    || one.spec.attempt == container.attempt
                        && !matches!(one.state, ContainerState::NotStarted { .. })
                    || matches!(one.state, ContainerState::Running { .. }) =>
            {
                if !one.starting {
                    let (attempt, state) = (one.spec.attempt, one.state.clone());
                    let report = Report::Container { pod: pod.clone(), container: container.name, attempt, state };
                    self.tell(&pod.uid, report, out);
                }
                return;
            }
            Some(one) => {
                *one = Container { spec: container.clone(), state: ContainerState::Absent, starting: true };
            }
            None => {
                let one = Container { spec: container.clone(), state: ContainerState::Absent, starting: true };
                sandbox.containers.push(one);
            }
        }
        let speed = if self.image_error(&container.image).is_some() { self.speeds.pull } else { self.speeds.start };
        let delay = self.takes(speed, purpose::START, &pod.uid);
        out.add(delay, Deed::Start { pod: pod.clone(), container });
    }

    /// A pod that runs from the beginning.
    pub fn preload(&mut self, wall: Wall, pod: &Pod, out: &mut Results) {
        let name = PodRef {
            uid: pod.metadata.uid.clone(),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
        };
        let containers = pod.spec.containers.iter().map(|container| {
            let status = pod.status.container_statuses.iter().find(|status| status.name == container.name);
            let attempt = status.and_then(|status| u32::try_from(status.restart_count).ok()).unwrap_or(0);
            container_spec(container, attempt)
        });
        let containers: Vec<ContainerSpec> = containers.collect();
        let waiting =
            |spec: &ContainerSpec| Container { spec: spec.clone(), state: ContainerState::Absent, starting: true };
        let sandbox = Sandbox {
            pod: name.clone(),
            alive: true,
            ip: self.addresses.take(),
            removing: false,
            containers: containers.iter().map(waiting).collect(),
        };
        self.sandboxes.insert(name.uid.clone(), Box::new(sandbox));
        for spec in containers {
            self.started(wall, &name, spec, out);
        }
    }

    fn started(&mut self, wall: Wall, pod: &PodRef, spec: ContainerSpec, out: &mut Results) {
        let no_image = self.image_error(&spec.image);
        let no_room = self.has(Trouble::DiskFull);
        let Some(sandbox) = self.sandboxes.get_mut(&pod.uid).filter(|sandbox| sandbox.alive) else { return };
        let removing = sandbox.removing;
        let found = sandbox.containers.iter_mut().find(|one| one.spec.name == spec.name);
        let Some(one) = found.filter(|one| one.starting && one.spec.attempt == spec.attempt) else { return };
        one.starting = false;
        if removing {
            return;
        }
        if let Some(reason) = no_image {
            let message = format!("pull image {:?}: not found", spec.image);
            one.state = ContainerState::NotStarted { reason, message, at: wall };
        } else if no_room {
            let reason = StartError::CreateContainerError;
            let message = format!("make root of {}: no space left on device", spec.name);
            one.state = ContainerState::NotStarted { reason, message, at: wall };
        } else {
            while !self.pids.insert(self.next_pid + 2) {
                self.next_pid = (self.next_pid + 1) % PIDS;
            }
            let pid = self.next_pid + 2;
            self.next_pid = (self.next_pid + 1) % PIDS;
            let id = self.draws.name(purpose::ID, &pod.uid);
            let half = |nth| format!("{:016x}{:016x}", id.count(nth).u64(), id.count(nth + 1).u64());
            one.state = ContainerState::Running {
                id: format!("miniku://{}{}", half(0), half(2)),
                image: spec.image.clone(),
                image_id: format!("{}@sha256:{:064x}", spec.image, 0),
                pid,
                started: wall,
            };
            let process =
                Process { pod: pod.clone(), container: spec.name.as_str().into(), attempt: spec.attempt, pid };
            if let Some((after, code)) = Behaviour::of(&spec).ends {
                out.add(after, Deed::End { process: process.clone(), code, end: End::Exit });
            }
            out.lives.push(Life::Started(process));
        }
        let state = one.state.clone();
        let report = Report::Container { pod: pod.clone(), container: spec.name.clone(), attempt: spec.attempt, state };
        if self.is_told(&pod.uid) {
            self.tell(&pod.uid, report, out);
        }
    }

    fn ended(&mut self, wall: Wall, process: &Process, code: i32, end: End, out: &mut Results) {
        let Process { pod, container, attempt, pid } = process;
        let Some(sandbox) = self.sandboxes.get_mut(&pod.uid) else { return };
        let found = sandbox.containers.iter_mut().find(|one| *container == one.spec.name);
        let Some(one) = found.filter(|one| one.spec.attempt == *attempt) else { return };
        let ContainerState::Running { id, image, image_id, pid: running, started } = &one.state else { return };
        if running != pid {
            return;
        }
        let (id, image, image_id, started) = (id.clone(), image.clone(), image_id.clone(), *started);
        let (signal, oom) = match end {
            End::Exit => (None, false),
            End::Signal(signal) => (Some(signal), false),
            End::OutOfMemory => (Some(9), true),
        };
        one.state = ContainerState::Exited { id, image, image_id, code, signal, oom, started, finished: wall };
        let state = one.state.clone();
        self.pids.remove(pid);
        out.lives.push(Life::Ended(process.clone(), Some(code)));
        let report = Report::Container { pod: pod.clone(), container: container.to_string(), attempt: *attempt, state };
        self.tell(&pod.uid.clone(), report, out);
    }

    /// Says so, if it knows nothing of a pod in which something is to be ended.
    fn misses(&mut self, pod: &PodRef, container: &str, attempt: u32, out: &mut Results) {
        if !self.sandboxes.contains_key(&pod.uid) {
            let (pod, container, state) = (pod.clone(), container.to_owned(), ContainerState::Absent);
            let uid = pod.uid.clone();
            self.tell(&uid, Report::Container { pod, container, attempt, state }, out);
        }
    }

    fn living(&self, pod: &PodRef, container: &str, attempt: u32) -> Option<(Process, Behaviour)> {
        let sandbox = self.sandboxes.get(&pod.uid)?;
        let one = sandbox.containers.iter().find(|one| one.spec.name == container && one.spec.attempt == attempt)?;
        let ContainerState::Running { pid, .. } = one.state else { return None };
        let process = Process { pod: pod.clone(), container: container.into(), attempt, pid };
        Some((process, Behaviour::of(&one.spec)))
    }

    fn tell(&mut self, uid: &str, report: Report, out: &mut Results) {
        let delay = self.speeds.message.of(self.draws.name(purpose::TELL, uid));
        out.add(delay, Deed::Tell(report));
    }
}

impl Sandbox {
    fn processes(&self) -> impl Iterator<Item = Process> + '_ {
        self.containers.iter().filter_map(|container| match container.state {
            ContainerState::Running { pid, .. } => Some(Process {
                pod: self.pod.clone(),
                container: container.spec.name.as_str().into(),
                attempt: container.spec.attempt,
                pid,
            }),
            _ => None,
        })
    }

    fn report(&self) -> PodReport {
        let containers = self.containers.iter().filter(|one| !one.starting).map(|one| ContainerReport {
            name: one.spec.name.clone(),
            attempt: one.spec.attempt,
            state: one.state.clone(),
        });
        PodReport {
            pod: self.pod.clone(),
            alive: self.alive,
            ip: self.ip.filter(|_| self.alive).map(IpAddr::from),
            containers: containers.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::kubelet::runtime::{Limits, PodSpec};

    fn container(attempt: u32, image: &str, command: &[&str]) -> ContainerSpec {
        ContainerSpec {
            name: "c".into(),
            attempt,
            image: image.into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            args: Vec::new(),
            env: BTreeMap::new(),
            working_dir: None,
            stdio: Default::default(),
            limits: Limits::default(),
        }
    }

    fn pod() -> PodRef {
        PodRef { uid: "u".into(), namespace: "default".into(), name: "a".into() }
    }

    /// A runtime and what it is going to do, by time.
    struct Node {
        runtime: Runtime,
        now: Duration,
        due: Vec<(Duration, Deed)>,
        log: Vec<String>,
    }

    impl Node {
        fn new() -> Self {
            let runtime = Runtime::new(Speeds::default(), false, 0, Draw::new(1));
            Node { runtime, now: Duration::ZERO, due: Vec::new(), log: Vec::new() }
        }

        fn run(&mut self, image: &str, command: &[&str]) {
            let containers = vec![container(0, image, command)];
            let spec = PodSpec { pod: pod(), hostname: "a".into(), limits: Limits::default(), containers };
            self.command(Command::RunPod(spec));
        }

        fn command(&mut self, command: Command) {
            let mut out = Results::default();
            self.runtime.command(command, &mut out);
            self.take(out);
        }

        fn take(&mut self, out: Results) {
            self.due.extend(out.later.into_iter().map(|(after, deed)| (self.now + after, deed)));
            self.due.sort_by_key(|(at, _)| *at);
            for life in out.lives {
                self.log.push(match life {
                    Life::Started(process) => format!("{} started", process.attempt),
                    Life::Ended(process, _) => format!("{} ended", process.attempt),
                });
            }
        }

        /// As `pass`, sorted: reports may overtake each other here, where nobody carries them.
        fn pass_in_any_order(&mut self, secs: u64) -> Vec<String> {
            let mut log = self.pass(secs);
            log.sort();
            log
        }

        /// All that happens within so many seconds.
        fn pass(&mut self, secs: u64) -> Vec<String> {
            let until = self.now + Duration::from_secs(secs);
            while self.due.first().is_some_and(|(at, _)| *at <= until) {
                let (at, deed) = self.due.remove(0);
                self.now = at;
                let mut out = Results::default();
                let report = self.runtime.act(Wall::default(), deed, &mut out);
                self.take(out);
                self.log.extend(report.map(|report| match report {
                    Report::Sandbox { ip, .. } => ip.map_or_else(|| "nowhere".into(), |ip| ip.to_string()),
                    Report::Container { state, .. } => match state {
                        ContainerState::Exited { code, .. } => format!("exited {code}"),
                        ContainerState::NotStarted { reason, .. } => format!("{reason:?}"),
                        ContainerState::Running { .. } => "running".into(),
                        other => format!("{other:?}"),
                    },
                    Report::Listed(pods) => {
                        format!("{} pods, alive: {:?}", pods.len(), pods.first().map(|pod| pod.alive))
                    }
                    Report::SandboxGone { .. } => "sandbox gone".into(),
                    Report::Removed { .. } => "removed".into(),
                    Report::RemoveFailed { .. } => "not removed".into(),
                }));
            }
            self.now = until;
            std::mem::take(&mut self.log)
        }
    }

    #[test]
    fn command_lines_say_what_happens() {
        let check = |command: &[&str], ends: Option<(u64, i32)>, ignores_term| {
            let got = Behaviour::of(&container(0, "busybox", command));
            let ends = ends.map(|(millis, code)| (Duration::from_millis(millis), code));
            assert_eq!(got, Behaviour { ends, ignores_term }, "{command:?}");
        };
        check(&[], None, false);
        check(&["sleep", "5"], Some((5_000, 0)), false);
        check(&["sleep", "0.25"], Some((250, 0)), false);
        check(&["sleep", "infinity"], None, false);
        check(&["/bin/false"], Some((0, 1)), false);
        check(&["true"], Some((0, 0)), false);
        check(&["httpd", "-f"], None, false);
        check(&["sh", "-c", "sleep 2; exit 3"], Some((2_000, 3)), false);
        check(&["/bin/sh", "-c", "trap '' TERM; sleep 100"], Some((100_000, 0)), true);
        check(&["sh", "-c", "while true; do sleep 1; done"], None, false);
    }

    #[test]
    fn a_container_lives_and_ends() {
        let mut node = Node::new();
        node.run("busybox", &["sleep", "5"]);
        assert_eq!(node.pass(1), ["10.128.0.1", "0 started", "running"]);
        assert_eq!(node.pass(10), ["0 ended", "exited 0"]);
        node.run("busybox", &["sleep", "5"]);
        assert_eq!(node.pass_in_any_order(1), ["10.128.0.1", "exited 0"], "the same attempt is not started twice");
        node.command(Command::StartContainer { pod: pod(), container: container(1, "busybox", &[]) });
        assert_eq!(node.pass(1), ["1 started", "running"]);
        node.command(Command::Kill { pod: pod(), container: "c".into(), attempt: 0 });
        assert!(node.pass(1).is_empty(), "a signal for another attempt is for nobody");
        node.command(Command::Terminate { pod: pod(), container: "c".into(), attempt: 1 });
        assert_eq!(node.pass(20), ["1 ended", "exited 143"]);
        node.command(Command::RemovePod(pod()));
        assert_eq!(node.pass(1), ["removed"]);
        node.command(Command::RemovePod(pod()));
        assert_eq!(node.pass(1), ["removed"]);
        node.command(Command::StartContainer { pod: pod(), container: container(2, "busybox", &[]) });
        assert_eq!(node.pass(1), ["Absent"]);
        node.command(Command::Kill { pod: pod(), container: "c".into(), attempt: 1 });
        assert_eq!(node.pass(1), ["Absent"]);
    }

    #[test]
    fn some_do_not_start_and_some_do_not_stop() {
        let mut node = Node::new();
        node.run("nginx:1", &[]);
        assert_eq!(node.pass(20), ["10.128.0.1", "ErrImagePull"]);
        let mut node = Node::new();
        node.run("busybox:1.36", &["sh", "-c", "trap '' TERM; sleep infinity"]);
        node.pass(1);
        node.command(Command::Terminate { pod: pod(), container: "c".into(), attempt: 0 });
        assert!(node.pass(100).is_empty());
        node.command(Command::Kill { pod: pod(), container: "c".into(), attempt: 0 });
        assert_eq!(node.pass(1), ["0 ended", "exited 137"]);
    }

    #[test]
    fn a_runtime_has_troubles_for_a_time() {
        let node = |trouble| {
            let mut node = Node::new();
            node.runtime.spoil(1, trouble);
            node.run("busybox", &[]);
            node
        };
        let again = |node: &mut Node| {
            node.runtime.heal(1);
            assert!(node.runtime.is_well());
            node.run("busybox", &[]);
            node.command(Command::StartContainer { pod: pod(), container: container(1, "busybox", &[]) });
            node.pass_in_any_order(30)
        };
        let mut one = node(Trouble::NoImages);
        assert_eq!(one.pass(20), ["10.128.0.1", "ErrImagePull"]);
        assert!(again(&mut one).contains(&"1 started".into()));
        let mut one = node(Trouble::DiskFull);
        assert_eq!(one.pass(20), ["CreatePodSandboxError"]);
        assert!(again(&mut one).contains(&"0 started".into()), "nothing of it is left in the way");
        let mut one = node(Trouble::TimesOut(Ratio::ALL));
        assert_eq!(one.pass(20), ["10.128.0.1", "0 started"], "it is done, and nobody is told");
        assert_eq!(again(&mut one), ["10.128.0.1", "running", "running"]);
        let slow = || node(Trouble::Slow(Delay { min: Duration::from_secs(5), mean: Duration::ZERO }));
        let mut one = slow();
        assert_eq!(one.pass(9), ["10.128.0.1"]);
        assert_eq!(one.pass(2), ["0 started", "running"]);
        for made in [0, 9] {
            let mut one = slow();
            one.pass(made);
            one.runtime.abandon();
            assert!(one.pass(30).is_empty(), "what was begun is gone with the kubelet");
        }
        let mut one = node(Trouble::StaleLists);
        one.pass(1);
        one.command(Command::List);
        assert_eq!(one.pass(1), ["0 pods, alive: None"]);
        let mut one = node(Trouble::IgnoresTerm);
        one.pass(1);
        one.command(Command::Terminate { pod: pod(), container: "c".into(), attempt: 0 });
        assert!(one.pass(100).is_empty());
        one.command(Command::Kill { pod: pod(), container: "c".into(), attempt: 0 });
        assert_eq!(one.pass(1), ["0 ended", "exited 137"]);
    }

    #[test]
    fn an_address_is_free_again_when_its_pod_is_removed() {
        let mut all = Addresses::of(300);
        let take = |all: &mut Addresses| all.take().map(|ip| ip.to_string()).unwrap_or_default();
        assert_eq!([take(&mut all), take(&mut all)], ["10.129.44.1", "10.129.44.2"]);
        let rest: std::collections::BTreeSet<String> = (3..255).map(|_| take(&mut all)).collect();
        assert_eq!((rest.len(), rest.contains("10.129.44.254"), take(&mut all)), (252, true, String::new()));
        all.give_back(Ipv4Addr::new(10, 129, 44, 77));
        assert_eq!([take(&mut all), take(&mut all)], ["10.129.44.77", ""]);
    }

    #[test]
    fn a_crashed_node_has_records_but_no_processes() {
        let mut node = Node::new();
        node.run("busybox", &[]);
        node.pass(1);
        assert_eq!(node.runtime.crash().len(), 1);
        node.command(Command::List);
        assert_eq!(node.pass(1), ["1 pods, alive: Some(false)"]);
        node.command(Command::StartContainer { pod: pod(), container: container(1, "busybox", &[]) });
        assert_eq!(node.pass(1), ["sandbox gone"]);
    }
}
