//! A small world for the tests of the kubelet: the real API server, one kubelet, a pretended runtime, and faults
//! between them.
//!
//! Three statements are checked whatever happens: no container has two processes; a final phase stays, and no restart
//! count falls; a kubelet that is woken for nothing adds nothing.

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodPhase};
use crate::api::text::Text;
use crate::apiserver::{self, ApiServer};
use crate::kubelet::node::Facts;
use crate::kubelet::runtime::{
    Command, ContainerReport, ContainerSpec, ContainerState, PodRef, PodReport, Report, StartError,
};
use crate::kubelet::{Kubelet, Options};
use crate::program::{
    Answer, CallId, Committed, DeleteOptions, Effect, Effects, Input, Part, Program, Query, RequestId, Revision, Verb,
};
use crate::rng::Draw;
use crate::store::Store;
use crate::time::{Duration, Instant, Now, Wall};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A node's runtime, pretended. What a container does is in its command: `run`, `deaf` (to SIGTERM), or
/// `exit CODE SECONDS`. The image `none` is never found, `flaky-2` only at the third try.
#[derive(Default)]
pub struct Runtime {
    pods: BTreeMap<Text, Sandbox>,
    /// How often each container could not be started.
    failed: BTreeMap<(String, String), u32>,
    /// How long each start takes.
    pub start_takes: Duration,
    pub removal_fails: bool,
    /// Each sandbox ends as soon as it is made.
    pub sandboxes_die: bool,
    processes: u32,
    sandboxes: u32,
    later: BTreeMap<(Instant, u64), Deed>,
    deeds: u64,
    /// All that was started, with the seconds since the beginning: `3 a/c.0`.
    pub started: Vec<Text>,
    /// Processes that were ended by SIGKILL, as in `started`.
    pub killed: Vec<Text>,
}

struct Sandbox {
    pod: PodRef,
    alive: bool,
    ip: IpAddr,
    containers: Vec<Container>,
}

struct Container {
    spec: ContainerSpec,
    state: ContainerState,
    starting: bool,
}

enum Deed {
    Start(Text, ContainerSpec),
    End(Text, String, u32, i32),
}

impl Runtime {
    /// The living processes: `a/c.0 a/d.1`.
    pub fn living(&self) -> String {
        let of = |pod: &Sandbox| {
            let living = pod.containers.iter().filter(|one| matches!(one.state, ContainerState::Running { .. }));
            living.map(|one| format!("{}/{}.{}", pod.pod.name, one.spec.name, one.spec.attempt)).collect::<Vec<_>>()
        };
        let mut all: Vec<String> = self.pods.values().flat_map(of).collect();
        all.sort();
        all.join(" ")
    }

    /// The pods that something is left of.
    pub fn remains(&self) -> String {
        let mut all: Vec<&str> = self.pods.values().map(|pod| pod.pod.name.as_str()).collect();
        all.sort_unstable();
        all.join(" ")
    }

    pub fn is_there(&self, name: &str) -> bool {
        self.pods.values().any(|pod| pod.pod.name == name)
    }

    /// Every trace of the pod vanishes, and nobody is told.
    pub fn forget(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// The pod's sandbox dies with all that is in it, and nobody is told.
    pub fn kill_in_silence(&mut self, name: &str) {
        self.lose(Now::default(), name, false);
    }

    /// As `kill_in_silence`, but it turns out that the container ended well.
    pub fn ended_well(&mut self, uid: &str) -> ContainerState {
        let one = &mut self.pods.get_mut(uid).expect("it has a sandbox").containers[0];
        let (id, image_id, started) = ("miniku://0".to_owned(), "busybox".to_owned(), Wall::from_secs(1_790_000_001));
        let (image, code, signal, oom, finished) = (one.spec.image.clone(), 0, None, false, started);
        one.state = ContainerState::Exited { id, image, image_id, code, signal, oom, started, finished };
        one.state.clone()
    }

    /// A container of this pod runs that nobody asked for.
    pub fn resurrect(&mut self, uid: &str, name: &str) {
        let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: name.into() };
        let (id, image_id) = ("miniku://1".to_owned(), "busybox".to_owned());
        let image = "busybox".to_owned();
        let state = ContainerState::Running { id, image, image_id, pid: 1, started: Wall::from_secs(1) };
        let spec = ContainerSpec {
            name: "c".into(),
            attempt: 0,
            image: "busybox".into(),
            command: vec!["run".into()],
            args: Vec::new(),
            env: BTreeMap::new(),
            working_dir: None,
            stdio: Default::default(),
            limits: Default::default(),
        };
        let containers = vec![Container { spec, state, starting: false }];
        let ip = self.next_ip();
        self.pods.insert(uid.into(), Sandbox { pod, alive: true, ip, containers });
    }

    /// What the first container of this pod is in.
    pub fn state(&self, uid: &str) -> ContainerState {
        self.pods[uid].containers[0].state.clone()
    }

    /// Addresses are counted: 10.1.0.1 is the first sandbox's.
    fn next_ip(&mut self) -> IpAddr {
        self.sandboxes += 1;
        Ipv4Addr::from(0x0a01_0000 + self.sandboxes).into()
    }

    fn uids(&self) -> BTreeSet<Text> {
        self.pods.keys().cloned().collect()
    }

    fn at(&mut self, at: Instant, deed: Deed) {
        self.deeds += 1;
        self.later.insert((at, self.deeds), deed);
    }

    fn next(&self) -> Option<Instant> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }

    fn take(&mut self, now: Now, command: Command) -> Vec<Report> {
        match command {
            Command::List => {
                let report = |pod: &Sandbox| PodReport {
                    pod: pod.pod.clone(),
                    alive: pod.alive,
                    ip: Some(pod.ip),
                    containers: pod.containers.iter().filter(|one| one.known()).map(Container::report).collect(),
                };
                vec![Report::Listed(self.pods.values().map(report).collect())]
            }
            Command::RunPod(spec) => {
                if !self.pods.contains_key(&spec.pod.uid) {
                    let (pod, ip, containers) = (spec.pod.clone(), self.next_ip(), Vec::new());
                    self.pods.insert(spec.pod.uid.clone(), Sandbox { pod, alive: true, ip, containers });
                }
                let sandbox = self.pods.get_mut(&spec.pod.uid).expect("it was made");
                sandbox.alive &= !self.sandboxes_die;
                let made = Report::Sandbox { pod: spec.pod.clone(), ip: Some(sandbox.ip) };
                let started = spec.containers.into_iter().flat_map(|one| self.start(now, &spec.pod, one));
                [made].into_iter().chain(started).collect()
            }
            Command::StartContainer { pod, container } => self.start(now, &pod, container),
            Command::Terminate { pod, container, attempt } => self.signal(now, &pod, &container, attempt, 143),
            Command::Kill { pod, container, attempt } => self.signal(now, &pod, &container, attempt, 137),
            Command::RemovePod(pod) if self.removal_fails => {
                vec![Report::RemoveFailed { pod, message: "device or resource busy".into() }]
            }
            Command::RemovePod(pod) => {
                self.pods.remove(&pod.uid);
                vec![Report::Removed { pod }]
            }
        }
    }

    fn start(&mut self, now: Now, pod: &PodRef, spec: ContainerSpec) -> Vec<Report> {
        let told =
            |attempt: u32, state| Report::Container { pod: pod.clone(), container: spec.name.clone(), attempt, state };
        let Some(sandbox) = self.pods.get_mut(&pod.uid) else {
            return vec![told(spec.attempt, ContainerState::Absent)];
        };
        if !sandbox.alive {
            return sandbox.gone();
        }
        let found = sandbox.containers.iter_mut().find(|one| one.spec.name == spec.name);
        match found {
            Some(one) if one.starting => return Vec::new(),
            Some(one) if one.spec.attempt >= spec.attempt && one.known() => {
                return vec![told(one.spec.attempt, one.state.clone())];
            }
            Some(one) if matches!(one.state, ContainerState::Running { .. }) => {
                let (reason, message) = (StartError::CreateContainerError, "an earlier attempt is running".into());
                return vec![told(spec.attempt, ContainerState::NotStarted { reason, message, at: now.wall })];
            }
            Some(one) => *one = Container { spec: spec.clone(), state: ContainerState::Absent, starting: true },
            None => {
                let one = Container { spec: spec.clone(), state: ContainerState::Absent, starting: true };
                sandbox.containers.push(one);
            }
        }
        self.at(now.mono + self.start_takes, Deed::Start(pod.uid.clone(), spec));
        Vec::new()
    }

    fn signal(&mut self, now: Now, pod: &PodRef, name: &str, attempt: u32, code: i32) -> Vec<Report> {
        let told = |attempt, state| Report::Container { pod: pod.clone(), container: name.into(), attempt, state };
        let Some(sandbox) = self.pods.get(&pod.uid) else { return vec![told(attempt, ContainerState::Absent)] };
        if !sandbox.alive {
            return sandbox.gone();
        }
        let Some(one) = sandbox.containers.iter().find(|one| one.spec.name == name && one.known()) else {
            return vec![told(attempt, ContainerState::Absent)];
        };
        if one.spec.attempt != attempt || !matches!(one.state, ContainerState::Running { .. }) {
            return vec![told(one.spec.attempt, one.state.clone())];
        }
        let what = one.spec.command.first().map(String::as_str);
        if code == 137 {
            self.killed.push(format!("{}/{name}.{attempt}", pod.name).into());
        } else if what == Some("deaf") {
            return Vec::new();
        }
        self.at(now.mono, Deed::End(pod.uid.clone(), name.into(), attempt, code));
        Vec::new()
    }

    fn act(&mut self, now: Now, seconds: u64) -> Vec<Report> {
        let Some((_, deed)) = self.later.pop_first() else { return Vec::new() };
        match deed {
            Deed::Start(uid, spec) => {
                let Some(sandbox) = self.pods.get_mut(&uid).filter(|sandbox| sandbox.alive) else { return Vec::new() };
                let Some(one) = sandbox.containers.iter_mut().find(|one| one.starting && one.spec == spec) else {
                    return Vec::new();
                };
                one.starting = false;
                let failures = self.failed.entry((uid.to_string(), spec.name.clone())).or_default();
                let fails = match spec.image.strip_prefix("flaky-") {
                    Some(times) => *failures < times.parse().unwrap(),
                    None => spec.image == "none",
                };
                let pod = sandbox.pod.clone();
                let told = |state| Report::Container {
                    pod: pod.clone(),
                    container: spec.name.clone(),
                    attempt: spec.attempt,
                    state,
                };
                if fails {
                    *failures += 1;
                    let (reason, message) = (StartError::ErrImagePull, format!("no image {:?}", spec.image));
                    return vec![told(ContainerState::NotStarted { reason, message, at: now.wall })];
                }
                self.processes += 1;
                one.state = ContainerState::Running {
                    id: format!("miniku://{:064x}", self.processes),
                    image: spec.image.clone(),
                    image_id: spec.image.clone(),
                    pid: self.processes,
                    started: now.wall,
                };
                let told = vec![told(one.state.clone())];
                self.started.push(format!("{seconds} {}/{}.{}", pod.name, spec.name, spec.attempt).into());
                if let [what, code, after] = &spec.command[..]
                    && what == "exit"
                {
                    let after = Duration::from_secs(after.parse().unwrap());
                    self.at(now.mono + after, Deed::End(uid, spec.name, spec.attempt, code.parse().unwrap()));
                }
                told
            }
            Deed::End(uid, name, attempt, code) => self.end(now, &uid, &name, attempt, code),
        }
    }

    fn end(&mut self, now: Now, uid: &str, name: &str, attempt: u32, code: i32) -> Vec<Report> {
        let Some(sandbox) = self.pods.get_mut(uid) else { return Vec::new() };
        let Some(one) = sandbox.containers.iter_mut().find(|one| one.spec.name == name) else { return Vec::new() };
        let ContainerState::Running { id, image, image_id, started, .. } = &one.state else { return Vec::new() };
        if one.spec.attempt != attempt {
            return Vec::new();
        }
        let (id, image, image_id, started) = (id.clone(), image.clone(), image_id.clone(), *started);
        let (signal, oom, finished) = ((code > 128).then(|| code - 128), false, now.wall);
        one.state = ContainerState::Exited { id, image, image_id, code, signal, oom, started, finished };
        let state = one.state.clone();
        vec![Report::Container { pod: sandbox.pod.clone(), container: name.into(), attempt, state }]
    }

    /// The sandbox of the pod of this name dies, and all in it. Ends are recorded if `recorded`.
    fn lose(&mut self, now: Now, name: &str, recorded: bool) -> Vec<Report> {
        let sandbox = self.pods.values_mut().find(|pod| pod.pod.name == name).expect("it has a sandbox");
        sandbox.alive = false;
        let pod = sandbox.pod.clone();
        let mut reports = Vec::new();
        for one in &mut sandbox.containers {
            let ContainerState::Running { id, image, image_id, started, .. } = &one.state else { continue };
            let (id, image, image_id, started) = (id.clone(), image.clone(), image_id.clone(), *started);
            one.state = match recorded {
                true => {
                    let (code, signal, oom, finished) = (137, Some(9), false, now.wall);
                    ContainerState::Exited { id, image, image_id, code, signal, oom, started, finished }
                }
                false => ContainerState::Unknown,
            };
            let (container, attempt, state) = (one.spec.name.clone(), one.spec.attempt, one.state.clone());
            if recorded {
                reports.push(Report::Container { pod: pod.clone(), container, attempt, state });
            }
        }
        reports.push(Report::SandboxGone { pod });
        reports
    }
}

impl Sandbox {
    fn gone(&self) -> Vec<Report> {
        let told = |one: &Container| Report::Container {
            pod: self.pod.clone(),
            container: one.spec.name.clone(),
            attempt: one.spec.attempt,
            state: one.state.clone(),
        };
        let known = self.containers.iter().filter(|one| one.known());
        [Report::SandboxGone { pod: self.pod.clone() }].into_iter().chain(known.map(told)).collect()
    }
}

impl Container {
    /// After a start that failed nothing is left of it.
    fn known(&self) -> bool {
        self.state != ContainerState::Absent
    }

    fn report(&self) -> ContainerReport {
        ContainerReport { name: self.spec.name.clone(), attempt: self.spec.attempt, state: self.state.clone() }
    }
}

/// Where an input comes from. Inputs of one source keep their order; those of several come in any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Call(CallId),
    Pod(String),
    Node,
}

/// An API server, one kubelet, a runtime, and what lies between them.
pub struct World {
    pub now: Now,
    /// The wall clock stands still.
    pub clock_stands: bool,
    pub kubelet: Kubelet,
    pub runtime: Runtime,
    /// The API server cannot be reached: calls are lost, and watches have ended.
    away: bool,
    /// News on watches are held back.
    pub deaf: bool,
    /// Answers to writes are held back.
    pub answers_are_late: bool,
    /// The nth effect from now is lost: a call before or after it was carried out, a command before.
    pub lose: Option<(usize, Loss)>,
    /// So many of a hundred effects are lost.
    pub lost_percent: u64,
    /// How many effects there were.
    pub effects: usize,
    /// What the kubelet wrote, but for events and leases: `status a Running`.
    pub writes: Vec<String>,
    /// What it asked of the runtime, but for lists: `terminate a/c.0`.
    pub commands: Vec<String>,
    /// When the node's lease was renewed.
    pub beats: Vec<Instant>,
    server: ApiServer,
    seed: u64,
    draws: u64,
    revision: u64,
    requests: u64,
    calls: BTreeMap<RequestId, CallId>,
    watched: BTreeMap<CallId, RequestId>,
    dropped: BTreeSet<RequestId>,
    inbox: BTreeMap<Source, VecDeque<Input>>,
    own: BTreeMap<RequestId, Answer>,
    wake_at: Option<Instant>,
    server_wake_at: Option<Instant>,
    told: BTreeMap<Text, (PodPhase, BTreeMap<Text, i32>)>,
    lives: u64,
}

/// How an effect is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It never arrives; that is known at once if it was a call.
    Before,
    /// It is carried out, and what comes back is lost; that is known at once.
    After,
    /// It never arrives, and nothing is ever heard of it.
    Silent,
}

const START: Instant = Instant::from_nanos(1_000_000_000);

impl World {
    /// A kubelet that has registered its node, `n1`.
    pub fn new(seed: u64) -> Self {
        let mut world = World {
            now: Now { mono: START, wall: Wall::from_secs(1_790_000_000) },
            clock_stands: false,
            kubelet: Kubelet::new(options()),
            runtime: Runtime::default(),
            away: false,
            deaf: false,
            answers_are_late: false,
            lose: None,
            lost_percent: 0,
            effects: 0,
            writes: Vec::new(),
            commands: Vec::new(),
            beats: Vec::new(),
            server: ApiServer::new(apiserver::Options::with_seed(seed), Store::default()),
            seed,
            draws: 0,
            revision: 0,
            requests: 0,
            calls: BTreeMap::new(),
            watched: BTreeMap::new(),
            dropped: BTreeSet::new(),
            inbox: BTreeMap::new(),
            own: BTreeMap::new(),
            wake_at: Some(START),
            server_wake_at: None,
            told: BTreeMap::new(),
            lives: 0,
        };
        world.serve(Input::Wake);
        world
    }

    /// The same, after its first second.
    pub fn running(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.run(1);
        world.writes.clear();
        world
    }

    pub fn seconds(&self) -> u64 {
        self.now.mono.since(START).as_secs()
    }

    /// The kubelet ends and comes back. What runs goes on; what was on its way to the kubelet is lost.
    pub fn restart(&mut self) {
        self.hang_up();
        self.inbox.clear();
        self.calls.clear();
        self.kubelet = Kubelet::new(options());
        self.lives += 1;
        self.wake_at = Some(self.now.mono);
    }

    /// The machine loses power, and comes back.
    pub fn reboot(&mut self) {
        let names: Vec<Text> = self.runtime.pods.values().map(|pod| pod.pod.name.clone()).collect();
        for name in names {
            self.runtime.lose(self.now, &name, false);
        }
        self.runtime.later.clear();
        self.restart();
    }

    fn hang_up(&mut self) {
        for (call, from) in std::mem::take(&mut self.watched) {
            self.serve(Input::Gone { from });
            self.inbox.entry(Source::Call(call)).or_default().push_back(Input::Ended { call });
        }
    }

    pub fn disconnect(&mut self) {
        self.away = true;
        self.hang_up();
    }

    pub fn connect(&mut self) {
        self.away = false;
    }

    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.server.store().get(&Key::new(kind, namespace, name))
    }

    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.get(Kind::Pod, "default", name)?.get()
    }

    /// A pod in one line: `Running ready c=running.0`, or `gone`.
    pub fn shown(&self, name: &str) -> String {
        let Some(pod) = self.pod(name) else { return "gone".into() };
        let mut words = vec![pod.status.phase.to_string()];
        words.extend(pod.is_ready().then(|| "ready".to_owned()));
        words.extend(pod.metadata.is_deleting().then(|| "deleting".to_owned()));
        for one in &pod.status.container_statuses {
            let state = match (&one.state.running, &one.state.terminated, &one.state.waiting) {
                (Some(_), _, _) => "running".to_owned(),
                (_, Some(ended), _) => format!("ended({})", ended.exit_code),
                (_, _, waiting) => {
                    waiting.as_ref().map_or("waiting".into(), |waiting| waiting.reason.clone()).to_string()
                }
            };
            words.push(format!("{}={state}.{}", one.name, one.restart_count));
        }
        words.join(" ")
    }

    /// All pods, as `shown`.
    pub fn all(&self) -> String {
        let pods = self.pods();
        let names = pods.iter().map(|pod| pod.metadata.name.as_str());
        names.map(|name| format!("{name}: {}", self.shown(name))).collect::<Vec<_>>().join("; ")
    }

    pub fn pods(&self) -> Vec<&Pod> {
        let query = Query::all(Kind::Pod);
        let names: Vec<Key> = self.server.store().list(&query).map(Object::key).collect();
        names.iter().filter_map(|key| self.server.store().get(key)?.get()).collect()
    }

    /// The reasons of all events about objects of this name.
    pub fn told_about(&self, name: &str) -> String {
        let about = Query::all(Kind::Event).with_field("involvedObject.name", name);
        let reason = |event: &Object| {
            let event = event.to_value();
            format!("{}:{}", event["reason"].as_str().unwrap_or_default(), event["count"])
        };
        let mut all: Vec<String> = self.server.store().list(&about).map(reason).collect();
        all.sort();
        all.join(" ")
    }

    pub fn ask(&mut self, verb: Verb) -> Option<Object> {
        self.requests += 1;
        let from = RequestId(self.requests);
        let told = format!("{verb:?}");
        self.serve(Input::Request { from, request: verb.into() });
        match self.own.remove(&from).expect("the server answers at once") {
            Answer::Object { object, .. } => Some(object),
            Answer::Removed(_) => None,
            other => panic!("{told}: {other:?}"),
        }
    }

    /// A pod bound to the node, with these containers: name, image, command.
    pub fn create(&mut self, name: &str, policy: &str, containers: &[(&str, &str, &str)], merge: Value) -> String {
        let containers: Vec<Value> = containers
            .iter()
            .map(|(name, image, command)| json!({"name": name, "image": image, "command": command.split(' ').collect::<Vec<_>>()}))
            .collect();
        let mut pod = json!({"metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": "n1", "restartPolicy": policy, "containers": containers}});
        crate::patch::merge::merge(&mut pod, &merge);
        let object = Object::from_value(Kind::Pod, pod).expect("a pod");
        self.ask(Verb::Create { object }).expect("creation returns the object").meta().uid.to_string()
    }

    /// A pod of one container, `c`.
    pub fn one(&mut self, name: &str, policy: &str, command: &str) -> String {
        self.create(name, policy, &[("c", "busybox", command)], json!({}))
    }

    pub fn merge(&mut self, kind: Kind, name: &str, patch: Value, part: Part) {
        let namespace = if kind == Kind::Node { "" } else { "default" };
        self.ask(Verb::Merge { key: Key::new(kind, namespace, name), patch, part });
    }

    /// Its first container is asked to be of another image.
    pub fn set_image(&mut self, name: &str, image: &str) {
        let mut object = self.get(Kind::Pod, "default", name).expect("there is one").clone();
        object.edit_as(|pod: &mut Pod| {
            let containers = &mut Arc::make_mut(&mut pod.spec).containers;
            Arc::make_mut(containers)[0].image = image.into();
        });
        self.ask(Verb::Update { object, part: Part::Main });
    }

    pub fn delete(&mut self, name: &str, grace_seconds: Option<i64>) {
        let key = Key::new(Kind::Pod, "default", name);
        self.ask(Verb::Delete { key, options: DeleteOptions { grace_seconds, ..Default::default() } });
    }

    pub fn delete_node(&mut self) {
        self.ask(Verb::Delete { key: Key::new(Kind::Node, "", "n1"), options: DeleteOptions::default() });
    }

    /// The container's process ends by itself.
    pub fn exit(&mut self, name: &str, code: i32) {
        let found = self.runtime.pods.values().find(|pod| pod.pod.name == name).expect("it has a sandbox");
        let (uid, attempt) = (found.pod.uid.clone(), found.containers[0].spec.attempt);
        let container = found.containers[0].spec.name.clone();
        let reports = self.runtime.end(self.now, &uid, &container, attempt, code);
        self.hear(reports);
    }

    pub fn lose_sandbox(&mut self, name: &str, recorded: bool) {
        let reports = self.runtime.lose(self.now, name, recorded);
        self.hear(reports);
    }

    pub fn hear(&mut self, reports: Vec<Report>) {
        for report in reports {
            let source = match &report {
                Report::Listed(_) => Source::Node,
                Report::Container { pod, .. }
                | Report::Sandbox { pod, .. }
                | Report::SandboxGone { pod }
                | Report::Removed { pod }
                | Report::RemoveFailed { pod, .. } => Source::Pod(pod.uid.to_string()),
            };
            self.inbox.entry(source).or_default().push_back(Input::Runtime(report));
        }
    }

    fn serve(&mut self, input: Input) {
        let mut todo = VecDeque::from([input]);
        while let Some(input) = todo.pop_front() {
            let mut out = Effects::default();
            self.server.step(self.now, input, &mut out);
            self.server_wake_at = out.wake_at;
            for effect in out.list {
                match effect {
                    Effect::Commit { commit, .. } => {
                        self.revision += 1;
                        let outcome = Committed::At(Revision(self.revision));
                        todo.push_back(Input::Committed { commit, outcome });
                    }
                    Effect::Answer { to, answer } => match self.calls.get(&to) {
                        _ if self.dropped.contains(&to) => {}
                        Some(call) => self.send(*call, Input::Reply { call: *call, answer }),
                        None => {
                            self.own.insert(to, answer);
                        }
                    },
                    Effect::Event { to, event } => {
                        if let Some(call) = self.calls.get(&to).filter(|_| !self.dropped.contains(&to)) {
                            self.send(*call, Input::Event { call: *call, event });
                        }
                    }
                    Effect::End { to } => {
                        if let Some(call) = self.calls.get(&to) {
                            self.send(*call, Input::Ended { call: *call });
                        }
                    }
                    Effect::Log { .. } | Effect::Decided { .. } => {}
                    other => panic!("an API server does not ask for {other:?}"),
                }
            }
        }
        self.check_history();
    }

    fn send(&mut self, call: CallId, input: Input) {
        self.inbox.entry(Source::Call(call)).or_default().push_back(input);
    }

    /// A final phase stays, and no restart count falls.
    fn check_history(&mut self) {
        let mut told = std::mem::take(&mut self.told);
        for pod in self.pods() {
            let restarts = pod.status.container_statuses.iter().map(|one| (one.name.clone(), one.restart_count));
            let restarts: BTreeMap<Text, i32> = restarts.collect();
            if let Some((phase, before)) = told.get(&pod.metadata.uid) {
                let name = &pod.metadata.name;
                assert!(!phase.is_final() || pod.status.phase == *phase, "{name}: {phase} -> {}", pod.status.phase);
                for (container, count) in before {
                    assert!(restarts.get(container) >= Some(count), "{name}/{container}: {before:?} -> {restarts:?}");
                }
            }
            told.insert(pod.metadata.uid.clone(), (pod.status.phase, restarts));
        }
        self.told = told;
    }

    fn draw(&mut self, bound: usize) -> usize {
        self.draws += 1;
        Draw::new(self.seed).key("world").count(self.draws).below(bound as u64) as usize
    }

    fn fate(&mut self) -> Option<Loss> {
        self.effects += 1;
        if let Some((nth, loss)) = self.lose {
            self.lose = nth.checked_sub(1).map(|nth| (nth, loss));
            return Some(loss).filter(|_| nth == 0);
        }
        if self.lost_percent == 0 || self.draw(100) >= self.lost_percent as usize {
            return None;
        }
        Some([Loss::Before, Loss::After, Loss::Silent][self.draw(3)])
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Call { call, request } => {
                self.note(&request.verb);
                let fate = if self.away { Some(Loss::Before) } else { self.fate() };
                if matches!(fate, Some(Loss::Before | Loss::After)) {
                    self.send(call, Input::Reply { call, answer: Answer::Lost("connection reset".into()) });
                }
                if matches!(fate, Some(Loss::Before | Loss::Silent)) {
                    return;
                }
                self.requests += 1;
                let from = RequestId(self.requests);
                self.calls.insert(from, call);
                if fate.is_some() {
                    self.dropped.insert(from);
                } else if matches!(request.verb, Verb::Watch { .. }) {
                    self.watched.insert(call, from);
                }
                self.serve(Input::Request { from, request });
            }
            Effect::Cancel { call } => {
                self.inbox.remove(&Source::Call(call));
                if let Some(from) = self.watched.remove(&call) {
                    self.serve(Input::Gone { from });
                }
            }
            Effect::Runtime(command) => {
                let line = match &command {
                    Command::List => None,
                    Command::RunPod(spec) => Some(format!("run {}", spec.pod.name)),
                    Command::StartContainer { pod, container } => {
                        Some(format!("start {}/{}.{}", pod.name, container.name, container.attempt))
                    }
                    Command::Terminate { pod, container, attempt } => {
                        Some(format!("terminate {}/{container}.{attempt}", pod.name))
                    }
                    Command::Kill { pod, container, attempt } => {
                        Some(format!("kill {}/{container}.{attempt}", pod.name))
                    }
                    Command::RemovePod(pod) => Some(format!("remove {}", pod.name)),
                };
                let seconds = self.seconds();
                self.commands.extend(line.map(|line| format!("{seconds} {line}")));
                if self.fate().is_none() {
                    let reports = self.runtime.take(self.now, command);
                    self.hear(reports);
                }
            }
            Effect::Log { .. } | Effect::Decided { .. } => {}
            other => panic!("a kubelet does not ask for {other:?}"),
        }
    }

    fn note(&mut self, verb: &Verb) {
        let line = match verb {
            Verb::List(_) | Verb::Watch { .. } => return,
            Verb::Update { object, .. } if object.kind() == Kind::Event => return,
            Verb::Update { object, .. } if object.kind() == Kind::Lease => return self.beats.push(self.now.mono),
            Verb::Create { object } => format!("create {}", object.meta().name),
            Verb::Update { object, part: Part::Status } => match object.get::<Pod>() {
                Some(pod) => format!("status {} {}", pod.metadata.name, pod.status.phase),
                None => format!("status {}", object.meta().name),
            },
            Verb::Delete { key, options } => {
                assert!(options.uid.is_some() && options.grace_seconds == Some(0), "{options:?}");
                format!("delete {}", key.name)
            }
            other => panic!("kubelets do not ask for {other:?}"),
        };
        self.writes.push(line);
    }

    fn next_input(&mut self) -> Option<Input> {
        self.inbox.retain(|_, stream| !stream.is_empty());
        let held = |stream: &VecDeque<Input>| match stream.front() {
            Some(Input::Event { .. }) => self.deaf,
            Some(Input::Reply { answer: Answer::Object { .. } | Answer::Removed(_) | Answer::Refused(_), .. }) => {
                self.answers_are_late
            }
            _ => false,
        };
        let ready: Vec<Source> =
            self.inbox.iter().filter(|(_, stream)| !held(stream)).map(|(source, _)| source.clone()).collect();
        if ready.is_empty() {
            return None;
        }
        let nth = self.draw(ready.len());
        self.inbox.get_mut(&ready[nth])?.pop_front()
    }

    fn step(&mut self, input: Input) {
        let mut out = Effects::default();
        self.kubelet.step(self.now, input, &mut out);
        let mut again = Effects::default();
        self.kubelet.step(self.now, Input::Wake, &mut again);
        assert_eq!(again.list, [], "waking for nothing adds nothing");
        assert_eq!(again.wake_at, out.wake_at, "waking for nothing changes nothing");
        assert!(out.wake_at.is_none_or(|at| at > self.now.mono), "it wants to be woken at once, for ever");
        self.wake_at = out.wake_at;
        for effect in out.list {
            self.perform(effect);
        }
    }

    /// Lets so many seconds pass, and all that happens in them.
    pub fn run(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now.mono + duration;
        for steps in 0.. {
            let last = self.writes.iter().rev().chain(self.commands.iter().rev()).take(9).collect::<Vec<_>>();
            assert!(steps < 20_000, "a hot loop: {last:?}");
            let alarm = self.runtime.next().filter(|at| *at <= self.now.mono);
            if alarm.is_some() && self.draw(2) == 0 {
                let reports = self.runtime.act(self.now, self.seconds());
                self.hear(reports);
                continue;
            }
            if let Some(input) = self.next_input() {
                self.step(input);
                continue;
            }
            let next = [self.runtime.next(), self.wake_at, self.server_wake_at].into_iter().flatten().min();
            let next = next.unwrap_or(until).max(self.now.mono);
            if next > until {
                return self.advance(until);
            }
            self.advance(next);
            if alarm.is_some() || self.runtime.next().is_some_and(|at| at <= next) {
                let reports = self.runtime.act(self.now, self.seconds());
                self.hear(reports);
            } else if self.server_wake_at.is_some_and(|at| at <= next) {
                self.serve(Input::Wake);
            } else {
                self.step(Input::Wake);
            }
        }
    }

    fn advance(&mut self, to: Instant) {
        let passed = if self.clock_stands { Duration::ZERO } else { to.since(self.now.mono) };
        self.now = Now { mono: to, wall: self.now.wall + passed };
    }

    /// What the kubelet asked of the runtime since the last time this was asked.
    pub fn take_commands(&mut self) -> String {
        std::mem::take(&mut self.commands).join(", ")
    }

    /// What it wrote since the last time this was asked.
    pub fn take_writes(&mut self) -> String {
        std::mem::take(&mut self.writes).join(", ")
    }

    /// Nothing runs or is left but what the API server's pods account for, and each of them says what is true.
    pub fn check_truth(&self) {
        let uids: BTreeSet<Text> = self.pods().iter().map(|pod| pod.metadata.uid.clone()).collect();
        assert!(self.runtime.uids().is_subset(&uids), "remains of {}, pods {}", self.runtime.remains(), self.all());
        for pod in self.pods() {
            let told = pod.status.container_statuses.iter().filter(|one| one.state.running.is_some());
            let told: Vec<String> =
                told.map(|one| format!("{}/{}.{}", pod.metadata.name, one.name, one.restart_count)).collect();
            let prefix = format!("{}/", pod.metadata.name);
            let truth = self.runtime.living();
            let truth: Vec<&str> = truth.split(' ').filter(|one| one.starts_with(&prefix)).collect();
            assert_eq!(truth, told, "{}", self.shown(&pod.metadata.name));
        }
    }
}

fn options() -> Options {
    let facts = Facts {
        addresses: vec![("InternalIP".into(), "10.0.0.1".into())],
        cpu_milli: 2000,
        memory_bytes: 1 << 30,
        pods: 110,
        labels: [("zone", "a".into())].into(),
        ..Facts::default()
    };
    Options { node: "n1".into(), facts, seed: 1, ..Options::default() }
}
