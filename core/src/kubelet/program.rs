//! The kubelet's state: its view of the node's pods, and a worker for each pod uid it knows of.

use crate::api::by_name::ByName;
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::{Container, Pod, PodPhase, PodStatus, RestartPolicy, StateTerminated};
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Calls, Change, Deadlines, Informer, RETRY, Tries, informer};
use crate::decision::{Because, Decision};
use crate::kubelet::admission::{Amount, Refusal, refusal};
use crate::kubelet::container_action::{Action, CONTAINER_ACTION, Report as Seen, Wish, container_action};
use crate::kubelet::node::{Facts, NodeAgent};
use crate::kubelet::pod_phase::{POD_PHASE, Part as PhasePart, Standing, pod_phase, standing};
use crate::kubelet::restart::{AfterFailedStart, FORGIVEN_AFTER, after_failed_start, restart_delay};
use crate::kubelet::runtime::{Command, ContainerState, PodRef, PodReport, REPORT_TIMEOUT, Report};
use crate::kubelet::{spec, status};
use crate::program::{Answer, DeleteOptions, Effect, Effects, Input, Level, Part, Program, Query, Verb};
use crate::table::Row;
use crate::time::{Duration, Instant, Now, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How a kubelet behaves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// The node's name.
    pub node: String,
    /// What the node is.
    pub facts: Facts,
    /// Decides the jitter of its list-watches.
    pub seed: u64,
    /// How its list-watches retry.
    pub informer: informer::Options,
}

/// The least time between SIGTERM and SIGKILL, and all that is left where the pod's record has vanished.
///
/// Source: Kubernetes, `pkg/kubelet/kuberuntime`, `minimumGracePeriodInSeconds`.
const GRACE_MIN: Duration = Duration::from_secs(2);

/// The grace of containers found without a pod after a restart. Source: MiniKu's stop, 10 s.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

/// A start that is not reported within this time is told of as `ContainerCreating`; a faster one is told when done.
const SLOW_START: Duration = Duration::from_secs(1);

/// The node agent.
#[derive(Debug)]
pub struct Kubelet {
    node: NodeAgent,
    pods: Informer,
    calls: Calls<Asked>,
    recorder: EventRecorder,
    /// Boxed: of a tree's room a third stays free.
    workers: BTreeMap<Text, Box<Worker>>,
    /// When to look at which pod. What the API server refuses keeps none from being looked at.
    queue: Deadlines<Text>,
    /// What runs is known: the runtime has answered the first [`Command::List`].
    found: bool,
    ask_again_at: Option<Instant>,
}

/// What an open call is for; each names the pod's uid.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Status(Text),
    Delete(Text),
}

/// What the kubelet knows of one pod.
#[derive(Debug)]
struct Worker {
    pod: PodRef,
    /// The pod as the API last showed it; absent if it is gone from there, or was never seen.
    object: Option<Object>,
    /// Its phase by our own account; never behind the stored one.
    phase: PodPhase,
    containers: ByName<Track>,
    /// What it takes up, once it was looked at whether the node takes it.
    takes: Option<Amount>,
    /// Why the node does not take it, if so.
    refused: Option<Refusal>,
    /// Something of it exists on the node, or may.
    on_node: bool,
    /// Its init process is gone; what is left must be removed before anything can start.
    dead: bool,
    /// Its sandbox's address, as long as that lives.
    ip: Option<IpAddr>,
    removing_until: Option<Instant>,
    removal: Tries,
    /// Sandboxes that ended before anything ran in them.
    sandbox: Tries,
    /// What its stored status tells of the time before this kubelet was taken in.
    remembered: bool,
    /// A status of this life of the kubelet is stored; a former life's last one may still be on its way until then.
    told: bool,
    /// A call about it is on its way.
    asked: bool,
    status_writes: Tries,
    deletion: Tries,
    /// The API server was told that nothing of it is left here.
    let_go: bool,
    /// The grace its containers are stopped with, once it is gone from the API.
    last_grace: Duration,
    next_retry: Option<Wall>,
    first_seen: Instant,
}

/// What the kubelet knows of one container.
#[derive(Clone, Debug)]
struct Track {
    attempt: u32,
    state: ContainerState,
    /// A start was asked for; taken for lost then.
    starting_until: Option<Instant>,
    /// SIGTERM was sent, and SIGKILL follows then.
    kill_at: Option<Instant>,
    killed_at: Option<Instant>,
    /// It is stopped, or was, for having been started from another image than its pod names, and is to be started again.
    replaced: bool,
    /// Since when it has been seen running. How long it ran is counted from then, since the node's wall clock may jump.
    runs_since: Option<Instant>,
    /// Ends in a row, none of which came after a long run.
    ends: u32,
    failed_starts: u32,
    /// By the wall clock no time had passed since the last failed start when the next one was asked for: what comes of that
    /// may be told in the same words.
    same_time: bool,
    /// When the last failed start was heard of.
    failed_at: Now,
    not_before: Instant,
    given_up: bool,
    last: Option<Arc<StateTerminated>>,
}

impl Default for Track {
    fn default() -> Self {
        Track {
            attempt: 0,
            state: ContainerState::Absent,
            starting_until: None,
            kill_at: None,
            killed_at: None,
            replaced: false,
            runs_since: None,
            ends: 0,
            failed_starts: 0,
            same_time: false,
            failed_at: Now::default(),
            not_before: Instant::default(),
            given_up: false,
            last: None,
        }
    }
}

impl Track {
    fn seen(&self) -> Seen {
        match status::report(&self.state, self.starting_until.is_some()) {
            Seen::Absent | Seen::Completed | Seen::Crashed | Seen::Unknown if self.replaced => Seen::Replaced,
            seen => seen,
        }
    }

    /// The same, where its pod names this image. What an earlier version has started is taken to be of that.
    fn seen_beside(&self, image: &str) -> Seen {
        let differs = |its: &str| !its.is_empty() && its != image;
        let is_other = matches!(&self.state, ContainerState::Running { image, .. } if differs(image));
        match self.seen() {
            // Once it is told to end it ends, though the pod may name its image again.
            Seen::Alive if self.replaced || is_other => Seen::Outdated,
            seen => seen,
        }
    }

    fn ran(&self) -> bool {
        self.attempt > 0 || !matches!(self.state, ContainerState::Absent | ContainerState::NotStarted { .. })
    }

    /// Takes in what the runtime says of an attempt. Returns whether it is news.
    fn take_in(&mut self, now: Now, attempt: u32, state: ContainerState) -> bool {
        use ContainerState::{Exited, NotStarted, Running, Unknown};
        if attempt < self.attempt {
            sometimes!(LateReport);
            return false;
        }
        if attempt == self.attempt {
            let starting = self.starting_until.is_some();
            match (&self.state, &state) {
                // Told twice. Each failure has a time of its own, unless the clock stands still: then this is taken for what
                // came of the start that is awaited.
                (NotStarted { .. }, _) if self.state == state && !(starting && self.same_time) => return false,
                _ if !starting && self.state == state => return false,
                // How it ended has turned up after all.
                (Unknown, Exited { .. }) if !starting => {
                    self.state = state;
                    return true;
                }
                // An attempt that has ended stays ended, and one that runs was started, whatever a late report says.
                (Exited { .. } | Unknown, _) | (Running { .. }, NotStarted { .. }) if !starting => return false,
                _ => {}
            }
        }
        // Of what is started now the image is the one that the pod named last.
        let is_of_a_start = attempt > self.attempt || self.starting_until.is_some();
        self.replaced &= !is_of_a_start || state == ContainerState::Absent;
        (self.attempt, self.starting_until) = (attempt, None);
        match &state {
            ContainerState::Running { .. } => {
                if !planted!(StartFailuresKept) {
                    self.failed_starts = 0;
                }
                self.runs_since = Some(now.mono);
                (self.kill_at, self.killed_at) = (None, None);
            }
            ContainerState::Exited { .. } => {
                self.count_end(now);
                if !planted!(StartFailuresKept) {
                    self.failed_starts = 0;
                }
            }
            ContainerState::Unknown => self.count_end(now),
            ContainerState::NotStarted { .. } => {
                self.failed_starts = self.failed_starts.saturating_add(1);
                self.failed_at = now;
            }
            ContainerState::Absent => {}
        }
        self.state = state;
        true
    }

    /// It has ended, however that was: what comes next waits for its turn, unless it is another image.
    fn count_end(&mut self, now: Now) {
        let long = self.runs_since.take().is_some_and(|since| now.mono.since(since) >= FORGIVEN_AFTER);
        if self.replaced {
            (self.ends, self.not_before) = (0, now.mono);
            return;
        }
        self.ends = if long && !planted!(EndsKept) { 1 } else { self.ends.saturating_add(1) };
        self.not_before = now.mono + restart_delay(self.ends);
    }
}

impl Kubelet {
    /// A kubelet that knows nothing yet.
    pub fn new(options: Options) -> Self {
        let Options { node, facts, seed, informer } = options;
        let query = Query::all(Kind::Pod).with_field("spec.nodeName", &node);
        Kubelet {
            pods: Informer::new(query, 1, seed, informer),
            calls: Calls::in_space(2),
            recorder: EventRecorder::new("kubelet", &node, 3),
            node: NodeAgent::new(&node, facts, seed, informer, 4),
            workers: BTreeMap::new(),
            queue: Deadlines::default(),
            found: false,
            ask_again_at: None,
        }
    }

    /// How many pods it knows of.
    #[cfg(test)]
    pub(super) fn workers(&self) -> usize {
        self.workers.len().max(self.queue.len())
    }

    fn pod_changed(&mut self, now: Now, change: Change) {
        match change {
            Change::Added(object) | Change::Modified { new: object, .. } => {
                let pod: &Pod = object.get().expect("the view has pods only");
                let uid = pod.metadata.uid.clone();
                let twin =
                    |other: &Worker| other.pod.name == pod.metadata.name && other.pod.uid != uid && other.is_alive();
                if cfg!(feature = "coverage") && self.workers.values().any(|other| twin(other)) {
                    sometimes!(TwinSeen);
                }
                if !self.workers.contains_key(&uid) && pod.status.phase.is_final() {
                    sometimes!(FinishedPodSeen);
                }
                let worker =
                    self.workers.entry(uid.clone()).or_insert_with(|| Box::new(Worker::new(now, spec::pod_ref(pod))));
                // A phase is final once, though a late view may still show the one before. What is stored as final stays,
                // be it that others said so of a pod that has ended otherwise.
                let is_final = pod.status.phase.is_final();
                let newer = is_final || !worker.phase.is_final() && pod.status.phase > worker.phase;
                if newer && !planted!(ForgetsFinished) {
                    worker.phase = pod.status.phase;
                }
                worker.see(&object, true);
                self.queue.set(uid.clone(), now.mono);
            }
            Change::Deleted(object) => {
                let uid = object.meta().uid.clone();
                if let Some(worker) = self.workers.get_mut(&uid) {
                    if worker.is_alive() {
                        sometimes!(PodSeenGone);
                    }
                    // Removed while something runs: by force.
                    if !planted!(ForceNotHurried) {
                        worker.last_grace = GRACE_MIN;
                    }
                    worker.object = None;
                    self.queue.set(uid.clone(), now.mono);
                }
            }
            Change::Synced => {
                // What runs here and is not in the view has no pod.
                for uid in self.workers.keys() {
                    self.queue.set(uid.clone(), now.mono);
                }
            }
        }
    }

    fn reported(&mut self, now: Now, report: Report, out: &mut Effects) {
        let uid = match &report {
            // A second list is older than what was heard since the first.
            Report::Listed(_) if self.found => return,
            Report::Listed(pods) => {
                for pod in pods.iter().filter(|_| !planted!(ForgetsWhatRuns)) {
                    if planted!(StopsWhatItFinds) {
                        out.push(Effect::Runtime(Command::RemovePod(pod.pod.clone())));
                        continue;
                    }
                    self.find(now, pod);
                }
                self.found = true;
                self.ask_again_at = None;
                for uid in self.workers.keys() {
                    self.queue.set(uid.clone(), now.mono);
                }
                return;
            }
            Report::Container { pod, .. }
            | Report::Sandbox { pod, .. }
            | Report::SandboxGone { pod }
            | Report::Removed { pod }
            | Report::RemoveFailed { pod, .. } => pod.uid.clone(),
        };
        if let Report::Container { pod, state: ContainerState::Running { .. }, .. } = &report {
            // Whatever runs has a worker: one that nobody asked for is stopped.
            self.workers.entry(uid.clone()).or_insert_with(|| Box::new(Worker::new(now, pod.clone())));
        }
        let Some(worker) = self.workers.get_mut(&uid) else { return };
        match report {
            Report::Listed(_) => {}
            Report::Container { container, attempt, state, .. } => {
                worker.on_node |= state != ContainerState::Absent;
                let missing = state == ContainerState::Absent;
                let track = worker.containers.of(&container.as_str().into());
                let before = track.seen();
                if !track.take_in(now, attempt, state) {
                    return;
                }
                let after = track.clone();
                if after.seen() == Seen::Alive {
                    worker.sandbox.succeeded();
                }
                if missing && before == Seen::Starting {
                    // There is no sandbox to start it in, so nothing runs in one.
                    worker.sandbox.failed(now.mono, RETRY);
                    worker.lose_sandbox(now);
                }
                self.tell(now, &uid, &container, before, &after, out);
            }
            Report::Sandbox { ip, .. } => {
                worker.ip = ip;
                // Before that it is written with what comes of the containers, which follows at once.
                if worker.containers.values().all(|track| track.seen() != Seen::Alive) {
                    return;
                }
            }
            Report::SandboxGone { .. } => worker.lose_sandbox(now),
            // Nobody asked, or it is the answer to an earlier question.
            Report::Removed { .. } if worker.removing_until.is_none() => return,
            Report::Removed { .. } => {
                worker.on_node = false;
                worker.dead = false;
                worker.ip = None;
                worker.removing_until = None;
                worker.removal.succeeded();
            }
            Report::RemoveFailed { message, .. } => {
                worker.removing_until = None;
                worker.removal.failed(now.mono, RETRY);
                out.log(
                    Level::Warn,
                    format!("kubelet: removing pod {}/{}: {message}", worker.pod.namespace, worker.pod.name),
                );
            }
        }
        self.queue.set(uid, now.mono);
    }

    /// Takes in a pod that was found on the node.
    fn find(&mut self, now: Now, found: &PodReport) {
        let worker =
            self.workers.entry(found.pod.uid.clone()).or_insert_with(|| Box::new(Worker::new(now, found.pod.clone())));
        worker.on_node = true;
        worker.dead = !found.alive;
        worker.ip = found.ip.filter(|_| found.alive);
        match (found.alive, &worker.object) {
            (false, _) => sometimes!(FoundDead),
            (true, Some(_)) => sometimes!(FoundRunning),
            (true, None) if self.pods.is_synced() => sometimes!(FoundOrphan),
            (true, None) => {}
        }
        for one in &found.containers {
            let track = worker.containers.of(&one.name.as_str().into());
            let attempt = if planted!(RestartsForgotten) { 0 } else { one.attempt };
            track.take_in(now, attempt, one.state.clone());
        }
    }

    /// Tells people what became of a container.
    fn tell(&mut self, now: Now, uid: &str, container: &str, before: Seen, after: &Track, out: &mut Effects) {
        let Some(object) = self.workers[uid].object.clone() else { return };
        match (&after.state, before) {
            (ContainerState::Running { .. }, Seen::Starting) => {
                self.recorder.tell(
                    now,
                    &object,
                    Tone::Normal,
                    "Started",
                    format!("Started container {container}"),
                    out,
                );
            }
            (ContainerState::NotStarted { reason, message, .. }, _) => {
                self.recorder.tell(now, &object, Tone::Warning, "Failed", format!("Error: {reason:?}: {message}"), out);
            }
            (ContainerState::Exited { oom: true, .. }, _) => {
                let message = format!("Container {container} was killed for lack of memory");
                self.recorder.tell(now, &object, Tone::Warning, "OOMKilling", message, out);
            }
            _ => {}
        }
    }

    fn ended(&mut self, now: Now, asked: Asked, answer: &Answer, out: &mut Effects) {
        let (Asked::Status(uid) | Asked::Delete(uid)) = &asked;
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.asked = false;
        let gone = matches!(answer, Answer::Refused(status) if status.reason == Some(Reason::NotFound));
        match (&asked, answer) {
            (Asked::Status(_), Answer::Object { object, .. }) => {
                worker.status_writes.succeeded();
                worker.told = true;
                // The view may show it later than the answer does; it is not written a second time.
                worker.see(object, false);
            }
            // If finalizers keep it, or the view does not show yet that it is gone: there is nothing more to say.
            (Asked::Delete(_), Answer::Object { .. } | Answer::Removed(_)) => worker.let_go = true,
            (Asked::Delete(_), _) if gone => worker.let_go = true,
            (asked, answer) => {
                if let Answer::Refused(status) = answer {
                    sometimes!(StatusRefused);
                    out.log(Level::Debug, format!("kubelet: {status}"));
                }
                let tries = match asked {
                    Asked::Status(_) if planted!(StatusNotRetried) => return worker.asked = true,
                    Asked::Status(_) => &mut worker.status_writes,
                    Asked::Delete(_) => &mut worker.deletion,
                };
                tries.failed(now.mono, RETRY);
            }
        }
        self.queue.set(uid.clone(), now.mono);
    }

    fn sync(&mut self, now: Now, uid: &str, out: &mut Effects) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        let object = worker.object.clone();
        let pod = object.as_ref().and_then(Object::get::<Pod>);
        let wish = match pod {
            Some(pod) if !pod.metadata.is_deleting() => Wish::Run,
            Some(_) | None => Wish::Stop,
        };
        let mut wake = Deadlines::default();
        match pod {
            Some(pod) => {
                worker.remember(pod);
                self.admit(now, uid, pod, out);
                let worker = self.workers.get_mut(uid).expect("it has just been there");
                worker.act(now, pod, wish, &mut wake, &mut self.recorder, out);
                self.write_status(now, uid, pod, &mut wake, out);
            }
            None => worker.stop_all(now, &mut wake, out),
        }
        self.clean_up(now, uid, wish, &mut wake, out);
        if let Some(at) = wake.next() {
            self.queue.set_if_earlier(uid.into(), at);
        }
    }

    /// Takes a pod that is new here, or refuses it for good.
    fn admit(&mut self, now: Now, uid: &str, pod: &Pod, out: &mut Effects) {
        let worker = &self.workers[uid];
        if worker.takes.is_some() || worker.phase.is_final() || pod.metadata.is_deleting() {
            return;
        }
        let takes = Amount::of(&pod.spec);
        let there = self.workers.values().filter_map(|one| one.takes_up());
        let refused = if worker.has_begun(pod) { None } else { refusal(takes, there, self.node.offer()) };
        let worker = self.workers.get_mut(uid).expect("it has just been there");
        worker.takes = Some(takes);
        let Some(refused) = refused else { return };
        if let Some(object) = &worker.object {
            self.recorder.tell(now, object, Tone::Warning, &refused.reason, refused.message.as_str(), out);
        }
        worker.becomes(pod_phase(worker.phase, Standing::SomeFailed), out);
        worker.refused = Some(refused);
    }

    fn write_status(&mut self, now: Now, uid: &str, pod: &Pod, wake: &mut Deadlines<()>, out: &mut Effects) {
        let worker = self.workers.get_mut(uid).expect("the caller has just seen it");
        let parts: Vec<PhasePart> = pod.spec.containers.iter().map(|one| worker.part(&one.name)).collect();
        let standing = standing(worker.phase, pod.spec.restart_policy, &parts);
        worker.becomes(pod_phase(worker.phase, standing), out);
        // A deleted pod is finished when all of its containers are, whatever its restart policy says; be it that they never
        // ran, for somebody may wait for its end. Source: KEP-3329, "Pods end in a terminal phase".
        if pod.metadata.is_deleting() && !worker.is_alive() && !worker.phase.is_final() {
            let mut seen = pod.spec.containers.iter().map(|one| worker.containers.get(&one.name));
            let all_well = seen.all(|track| track.is_some_and(|track| track.seen() == Seen::Completed));
            let standing = if all_well { Standing::AllSucceeded } else { Standing::SomeFailed };
            worker.becomes(pod_phase(worker.phase, standing), out);
        }
        let fast = now.mono.since(worker.first_seen) < SLOW_START
            && worker.containers.values().any(|track| track.starting_until.is_some());
        if planted!(EndNotTold) && pod.metadata.is_deleting() {
            return;
        }
        // Once it is let go there is nothing more to say, but to those who still hold it.
        if worker.asked || worker.let_go && pod.metadata.finalizers.is_empty() {
            return;
        }
        if fast {
            return wake.set_if_earlier((), worker.first_seen + SLOW_START);
        }
        let status = worker.status(now, pod, self.node.host_ip());
        if status == pod.status {
            return worker.status_writes.succeeded();
        }
        if let Some(turn) = worker.status_writes.waits_until(now.mono) {
            return wake.set_if_earlier((), turn);
        }
        worker.asked = true;
        let mut object = Pod { status, ..pod.clone() }.into_object();
        if planted!(StatusToTwin) {
            object = object.with_meta(|meta| (meta.uid, meta.resource_version) = Default::default());
        }
        self.calls.call(now, Asked::Status(uid.into()), Verb::Update { object, part: Part::Status }, out);
    }

    /// What is left on the node of a pod that is gone or going is removed; then its record is.
    fn clean_up(&mut self, now: Now, uid: &str, wish: Wish, wake: &mut Deadlines<()>, out: &mut Effects) {
        let worker = self.workers.get_mut(uid).expect("the caller has just seen it");
        if wish == Wish::Run || worker.is_alive() && !planted!(RecordBeforeEnd) {
            return;
        }
        if worker.on_node && !planted!(RecordBeforeEnd) {
            return worker.remove(now, wake, out);
        }
        match &worker.object {
            None => {
                self.workers.remove(uid);
                self.queue.remove(&uid.into());
            }
            Some(_) if worker.asked || worker.let_go => {}
            // How it ended is told before it goes, unless nobody wants to hear it.
            Some(_) if (1..LAST_WORDS_TRIES).contains(&worker.status_writes.failures()) && !planted!(GivesUpEarly) => {}
            Some(object) => {
                if let Some(turn) = worker.deletion.waits_until(now.mono) {
                    return wake.set_if_earlier((), turn);
                }
                worker.asked = true;
                let options = DeleteOptions { grace_seconds: Some(0), uid: Some(uid.into()), ..Default::default() };
                self.calls.call(now, Asked::Delete(uid.into()), Verb::Delete { key: object.key(), options }, out);
            }
        }
    }
}

/// A deleted pod's last status is tried so often before its record is removed without it.
const LAST_WORDS_TRIES: u32 = 4;

/// The time from SIGTERM to SIGKILL: what its deletion says, else what the pod asks for.
fn grace(pod: &Pod) -> Duration {
    let seconds =
        pod.metadata.deletion_grace_period_seconds.filter(|_| pod.metadata.is_deleting() && !planted!(GraceOfSpec));
    Duration::from_secs(u64::try_from(seconds.unwrap_or(pod.grace_seconds())).unwrap_or(0)).max(GRACE_MIN)
}

impl Worker {
    fn new(now: Now, pod: PodRef) -> Self {
        Worker {
            pod,
            object: None,
            phase: PodPhase::Pending,
            containers: ByName::default(),
            takes: None,
            refused: None,
            on_node: false,
            dead: false,
            ip: None,
            removing_until: None,
            removal: Tries::default(),
            sandbox: Tries::default(),
            remembered: false,
            told: false,
            asked: false,
            status_writes: Tries::default(),
            deletion: Tries::default(),
            let_go: false,
            last_grace: ORPHAN_GRACE,
            next_retry: None,
            first_seen: now.mono,
        }
    }

    /// Takes in the pod as the API shows it. An answer may show it earlier than the view, which then is behind.
    fn see(&mut self, object: &Object, in_view: bool) {
        let newer = match &self.object {
            Some(seen) => object.revision() >= seen.revision(),
            // The view has it no more; a late answer does not bring it back.
            None => in_view || planted!(AnswerBringsBack),
        };
        let Some(pod) = object.get::<Pod>().filter(|_| newer) else { return };
        self.last_grace = grace(pod);
        self.object = Some(object.clone());
    }

    /// Whether it was taken here before, be it by a former life of the kubelet.
    fn has_begun(&self, pod: &Pod) -> bool {
        self.on_node || self.phase != PodPhase::Pending || pod.status.start_time.is_some()
    }

    /// What it takes up of the node: what has ended, is gone, or was never taken takes up nothing.
    fn takes_up(&self) -> Option<Amount> {
        let pod: &Pod = self.object.as_ref()?.get()?;
        let begun = || self.has_begun(pod).then(|| Amount::of(&pod.spec));
        if self.phase.is_final() { None } else { self.takes.or_else(begun) }
    }

    /// Takes from the stored status what the node itself cannot know any more after a restart, and only when it is known
    /// what runs. All of it once; but failed starts, of which nothing is left anywhere else, as long as what is stored may
    /// be a former life's.
    fn remember(&mut self, pod: &Pod) {
        let again = std::mem::replace(&mut self.remembered, true);
        if again && (self.told || planted!(FormerWordsMissed)) {
            return;
        }
        if !again {
            self.refused = Refusal::read(&pod.status);
        }
        let failed_starts = u32::try_from(pod.status.retry_count.unwrap_or(0)).unwrap_or(0);
        for one in &pod.status.container_statuses {
            let track = self.containers.of(&one.name);
            let attempt = u32::try_from(one.restart_count).unwrap_or(0);
            let earlier = if track.attempt > attempt { &one.state } else { &one.last_state };
            track.last = track.last.take().or_else(|| earlier.terminated.clone().filter(|_| !again));
            let ran = one.state.running.is_some() || one.state.terminated.is_some();
            let is_gone = attempt > track.attempt
                || attempt == track.attempt && ran && matches!(track.state, ContainerState::Absent);
            if !again && !pod.status.phase.is_final() && is_gone && !planted!(RestartsForgotten) {
                // Nothing is left of that attempt here: it is over, and the next one must not repeat its number.
                (track.attempt, track.state) = (attempt, ContainerState::Unknown);
            }
            // Unknown is also what is left of a start during which the node lost power.
            let not_started = match track.state {
                ContainerState::Absent | ContainerState::NotStarted { .. } | ContainerState::Unknown => true,
                ContainerState::Running { .. } | ContainerState::Exited { .. } => false,
            };
            if not_started && !planted!(RetriesForgotten) {
                track.failed_starts = track.failed_starts.max(failed_starts);
            }
        }
    }

    /// Its init process is gone, and all others with it. What was being started may be started when it is made anew.
    fn lose_sandbox(&mut self, now: Now) {
        sometimes!(SandboxLost);
        self.dead = true;
        self.ip = None;
        if self.containers.values().any(|track| track.starting_until.is_some()) {
            self.sandbox.failed(now.mono, RETRY);
        }
        for track in self.containers.values_mut() {
            track.starting_until = None;
            if matches!(track.state, ContainerState::Running { .. }) {
                let attempt = track.attempt;
                track.take_in(now, attempt, ContainerState::Unknown);
            }
        }
    }

    fn is_alive(&self) -> bool {
        self.containers.values().any(|track| matches!(track.seen(), Seen::Alive | Seen::Starting))
    }

    fn part(&self, container: &str) -> PhasePart {
        match self.containers.get(container) {
            Some(track) => PhasePart { report: track.seen(), ran: track.ran(), given_up: track.given_up },
            None => PhasePart { report: Seen::Absent, ran: false, given_up: false },
        }
    }

    /// Its phase is another, or the same.
    fn becomes(&mut self, row: &'static Row<PodPhase>, out: &mut Effects) {
        if row.then != self.phase {
            let because = Because::of(&POD_PHASE, row).as_seen(format!("{:?} becomes {:?}", self.phase, row.then));
            out.decided(Level::Debug, Decision::about(key_of(&self.pod), because));
            if row.then.is_final() {
                // What could not be told before does not keep it from telling how it ended.
                self.status_writes.succeeded();
            }
        }
        self.phase = row.then;
    }

    /// Decides about each container, and does it.
    fn act(
        &mut self,
        now: Now,
        pod: &Pod,
        wish: Wish,
        wake: &mut Deadlines<()>,
        recorder: &mut EventRecorder,
        out: &mut Effects,
    ) {
        let mut start = Vec::new();
        self.next_retry = None;
        let policy = if planted!(IgnoresPolicy) { RestartPolicy::Always } else { pod.spec.restart_policy };
        for container in &*pod.spec.containers {
            let track = self.containers.of(&container.name);
            if track.starting_until.is_some_and(|until| until <= now.mono) {
                sometimes!(StartReportLost);
                // The report is lost, or the runtime hangs. Asking again finds out: commands are idempotent.
                track.starting_until = None;
            }
            wake_if_later(wake, now, track.starting_until);
            // Who is to go is not started again.
            track.replaced &= wish == Wish::Run;
            let row = container_action(self.phase, wish, track.seen_beside(&container.image), policy);
            let because = || {
                let because = Because::of(&CONTAINER_ACTION, row).as_seen(format!("container {}", container.name));
                match told_of(track) {
                    Some(fact) => because.as_seen(fact),
                    None => because,
                }
            };
            match row.then {
                Action::Keep => {}
                Action::Start => start.push((container.name.clone(), because())),
                Action::Restart if track.not_before > now.mono => {
                    sometimes!(RestartDelayed);
                    wake.set_if_earlier((), track.not_before);
                }
                Action::Restart => {
                    let because = because();
                    track.begin_again();
                    let restart = format!("restart {}", track.attempt);
                    start.push((container.name.clone(), because.as_seen(restart)));
                }
                Action::RetryStart => {
                    let retries = pod.start_retries().map(|retries| u32::try_from(retries).unwrap_or(0));
                    match after_failed_start(track.failed_starts, retries) {
                        AfterFailedStart::GiveUp => {
                            let given_up = because().as_seen("as often as is allowed, so it is given up");
                            out.decided(Level::Debug, Decision::about(key_of(&self.pod), given_up));
                            track.give_up();
                        }
                        AfterFailedStart::Retry(delay) if track.failed_at.mono + delay <= now.mono => {
                            start.push((container.name.clone(), because()));
                        }
                        AfterFailedStart::Retry(delay) => {
                            let shown = track.failed_at.wall + delay;
                            self.next_retry = Some(self.next_retry.map_or(shown, |earlier| earlier.min(shown)));
                            wake.set_if_earlier((), track.failed_at.mono + delay);
                        }
                    }
                }
                Action::Stop | Action::Replace => {
                    if track.kill_at.is_none() {
                        let within = format!("SIGTERM now, SIGKILL after {} s", grace(pod).as_secs());
                        out.decided(Level::Debug, Decision::about(key_of(&self.pod), because().as_seen(within)));
                    }
                    if row.then == Action::Replace && !track.replaced {
                        track.replaced = true;
                        if let Some(object) = &self.object {
                            let message = format!("Container {} definition changed, will be restarted", container.name);
                            recorder.tell(now, object, Tone::Normal, "Killing", message, out);
                        }
                    }
                    track.stop(now, &self.pod, &container.name, grace(pod), wake, out);
                }
            }
        }
        if self.containers.values().any(|track| track.given_up) {
            self.stop_all(now, wake, out);
            return;
        }
        if !start.is_empty() {
            self.start_in_turn(now, pod, start, wake, recorder, out);
        }
    }

    /// Starts containers, with the reasons: not before a sandbox that has ended is removed, and later each time that one
    /// has ended before anything ran in it.
    fn start_in_turn(
        &mut self,
        now: Now,
        pod: &Pod,
        start: Vec<(Text, Because)>,
        wake: &mut Deadlines<()>,
        recorder: &mut EventRecorder,
        out: &mut Effects,
    ) {
        if self.dead {
            return self.remove(now, wake, out);
        }
        if let Some(turn) = self.sandbox.waits_until(now.mono) {
            return wake.set_if_earlier((), turn);
        }
        let (names, why): (Vec<Text>, Vec<Because>) = start.into_iter().unzip();
        let told = why.into_iter().map(|because| Decision::about(key_of(&self.pod), because));
        told.for_each(|one| out.decided(Level::Debug, one));
        self.start(now, pod, &names, recorder, out);
        wake.set_if_earlier((), now.mono + REPORT_TIMEOUT);
    }

    fn start(&mut self, now: Now, pod: &Pod, names: &[Text], recorder: &mut EventRecorder, out: &mut Effects) {
        let attempts: BTreeMap<Text, u32> =
            self.containers.iter().map(|(name, track)| (name.clone(), track.attempt)).collect();
        let attempt = |name: &str| attempts.get(name).copied().unwrap_or(0);
        let alive = self.containers.values().any(|track| track.seen() == Seen::Alive);
        let mut whole = spec::pod_spec(pod, attempt);
        whole.containers.retain(|container| names.iter().any(|name| *name == container.name));
        for name in names {
            let track = self.containers.of(name);
            track.starting_until = Some(now.mono + REPORT_TIMEOUT);
            track.same_time = matches!(&track.state, ContainerState::NotStarted { at, .. } if now.wall <= *at);
            if track.ends > 1
                && let Some(object) = &self.object
            {
                let message = format!("Back-off restarting failed container {name}");
                recorder.tell(now, object, Tone::Warning, "BackOff", message, out);
            }
        }
        self.on_node = true;
        if !alive {
            // The sandbox may be gone with the last container; making one that is there changes nothing.
            out.push(Effect::Runtime(Command::RunPod(whole)));
            return;
        }
        for container in whole.containers {
            out.push(Effect::Runtime(Command::StartContainer { pod: self.pod.clone(), container }));
        }
    }

    /// Has everything of the pod removed from the node, unless that is under way.
    fn remove(&mut self, now: Now, wake: &mut Deadlines<()>, out: &mut Effects) {
        if let Some(turn) = self.removal.waits_until(now.mono) {
            return wake.set_if_earlier((), turn);
        }
        if self.removing_until.is_none_or(|until| until <= now.mono) {
            self.removing_until = Some(now.mono + REPORT_TIMEOUT);
            out.push(Effect::Runtime(Command::RemovePod(self.pod.clone())));
        }
        wake_if_later(wake, now, self.removing_until);
    }

    /// Stops whatever runs, without a wish to go by.
    fn stop_all(&mut self, now: Now, wake: &mut Deadlines<()>, out: &mut Effects) {
        let grace = self.last_grace;
        for (name, track) in self.containers.iter_mut() {
            if track.starting_until.is_some_and(|until| until <= now.mono) {
                track.starting_until = None;
            }
            wake_if_later(wake, now, track.starting_until);
            if track.seen() == Seen::Alive {
                track.stop(now, &self.pod, name, grace, wake, out);
            }
        }
    }

    fn status(&self, now: Now, pod: &Pod, host_ip: &str) -> PodStatus {
        let unknown = Track::default();
        let track = |name: &str| self.containers.get(name).unwrap_or(&unknown);
        let will_restart = |track: &Track| {
            let again =
                container_action(self.phase, Wish::Run, track.seen(), pod.spec.restart_policy).then == Action::Restart;
            again && !pod.metadata.is_deleting() && track.not_before > now.mono
        };
        // Of a pod that was refused there are none.
        let containers: &[Container] = if self.refused.is_some() { &[] } else { &pod.spec.containers };
        let seen: Vec<status::Seen<'_>> = containers
            .iter()
            .map(|container| (container, track(&container.name)))
            .map(|(container, track)| status::Seen {
                spec: container,
                state: &track.state,
                attempt: track.attempt,
                last: track.last.as_ref(),
                backing_off: pod.spec.restart_policy != RestartPolicy::Never && will_restart(track),
                failed_starts: track.failed_starts,
            })
            .collect();
        let place = status::Place { host_ip, pod_ip: self.ip };
        status::pod_status(now, pod, self.phase, &seen, place, self.next_retry, self.refused.as_ref())
    }
}

fn wake_if_later(wake: &mut Deadlines<()>, now: Now, at: Option<Instant>) {
    if let Some(at) = at.filter(|at| *at > now.mono) {
        wake.set_if_earlier((), at);
    }
}

/// How often SIGKILL is sent again to what does not die of it.
const KILL_AGAIN: Duration = Duration::from_secs(10);

fn key_of(pod: &PodRef) -> Key {
    Key::new(Kind::Pod, &pod.namespace, &pod.name)
}

/// How it stands with a container, for people; nothing if it has not begun.
fn told_of(track: &Track) -> Option<Text> {
    match &track.state {
        ContainerState::Absent => None,
        ContainerState::Running { pid, .. } => Some(format!("it runs as process {pid}").into()),
        ContainerState::Exited { oom: true, .. } => Some("it was killed for lack of memory".into()),
        ContainerState::Exited { signal: Some(signal), .. } => Some(format!("it ended by signal {signal}").into()),
        ContainerState::Exited { code, .. } => Some(format!("it ended with code {code}").into()),
        ContainerState::NotStarted { reason, message, .. } => Some(format!("{reason:?}: {message}").into()),
        ContainerState::Unknown => Some("how it ended is not known".into()),
    }
}

impl Track {
    /// Begins the next attempt of a container that has ended, unless that has begun.
    fn begin_again(&mut self) {
        if self.state == ContainerState::Absent {
            return;
        }
        if restart_delay(self.ends) >= Duration::from_secs(300) {
            sometimes!(RestartAtCap);
        }
        sometimes!(RestartPromised);
        if !planted!(LastEndStale) {
            self.last = status::terminated(&self.state);
        }
        self.attempt += 1;
        self.state = ContainerState::Absent;
    }

    /// Gives up a container that has failed to start as often as it may.
    fn give_up(&mut self) {
        sometimes!(StartGivenUp);
        // The count is of retries: the last failure adds none.
        self.failed_starts = self.failed_starts.saturating_sub(1);
        self.given_up = true;
    }

    fn stop(
        &mut self,
        now: Now,
        pod: &PodRef,
        name: &str,
        grace: Duration,
        wake: &mut Deadlines<()>,
        out: &mut Effects,
    ) {
        let (pod, container, attempt) = (pod.clone(), name.to_owned(), self.attempt);
        let grace = if planted!(KillsAtOnce) { Duration::ZERO } else { grace };
        let kill_at = match self.kill_at {
            Some(at) if planted!(HurryUnheard) => at,
            // A shortened grace counts from now; none moves the end to a later time.
            Some(at) => {
                if now.mono + grace < at {
                    sometimes!(GraceShortened);
                }
                at.min(now.mono + grace)
            }
            None => {
                let (pod, container) = (pod.clone(), container.clone());
                out.push(Effect::Runtime(Command::Terminate { pod, container, attempt }));
                now.mono + grace
            }
        };
        self.kill_at = Some(kill_at);
        if now.mono < kill_at {
            return wake.set_if_earlier((), kill_at);
        }
        let again_at = self.killed_at.map(|killed_at| killed_at + KILL_AGAIN);
        if again_at.is_none_or(|at| at <= now.mono) {
            self.killed_at = Some(now.mono);
            sometimes!(KilledAfterGrace);
            out.push(Effect::Runtime(Command::Kill { pod, container, attempt }));
        }
        wake.set_if_earlier((), self.killed_at.unwrap_or(now.mono) + KILL_AGAIN);
    }
}

/// How long the runtime may take to list its pods before it is asked again.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

impl Program for Kubelet {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        self.node.step(now, &input, out);
        for change in self.pods.step(now, &input, out) {
            self.pod_changed(now, change);
        }
        for (asked, answer) in self.calls.ended(now, &input) {
            self.ended(now, asked, &answer, out);
        }
        if let Input::Runtime(report) = input {
            self.reported(now, report, out);
        }
        if !self.found && self.ask_again_at.is_none_or(|at| at <= now.mono) {
            self.ask_again_at = Some(now.mono + LIST_TIMEOUT);
            out.push(Effect::Runtime(Command::List));
        }
        // Nothing is started or stopped before it is known both what should run and what does.
        if self.found && self.pods.is_synced() {
            while let Some(uid) = self.queue.pop_due(now.mono) {
                self.sync(now, &uid, out);
            }
            out.wake_at(self.queue.next());
        }
        out.wake_at(self.ask_again_at.filter(|_| !self.found));
        out.wake_at(self.calls.next());
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        [&self.pods, self.node.informer()].into_iter().for_each(show);
    }
}
