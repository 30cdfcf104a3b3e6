//! The scheduler as a program: its views, its queue, and what it has asked for and not seen yet.
//!
//! A pod without a node is in one [`Stage`]. All pods that are queued are decided in the step that queued them, the most
//! important first, each with the earlier ones counted on their nodes; only the number of open calls bounds a batch.
//! What changes in a view changes the sums of one node. See the neighbours for what is decided.

use super::binding::{self, AfterBind, AfterLook, Earlier, Found};
use super::filters::{Unschedulable, refusal};
use super::nodes::{Amount, Nodes, PodFacts};
use super::strategy::{Strategy, Turn, pick};
use super::wake_ups::{FLUSH, Gain, Obstacle, Obstacles, removed};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::node::Node;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodCondition};
use crate::api::status::Reason;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Backoff, Calls, Change, Deadlines, Informer, informer};
use crate::program::{Answer, Effects, Input, Level, Part, Program, Query, Verb};
use crate::time::{Duration, Now};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// How a node is chosen.
    pub strategy: Strategy,
    /// It binds the pods with this `spec.schedulerName`.
    pub name: String,
    /// Decides what [`Strategy::Random`] draws, and the jitter of reconnecting.
    pub seed: u64,
    /// How its views are kept.
    pub informer: informer::Options,
    /// At most so many calls are open; with as many, decisions wait for answers.
    pub calls_max: usize,
}

/// The scheduler of pods that name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

impl Default for SchedulerOptions {
    fn default() -> Self {
        SchedulerOptions {
            strategy: Strategy::default(),
            name: DEFAULT_SCHEDULER.into(),
            seed: 0,
            informer: informer::Options::default(),
            calls_max: 10_000,
        }
    }
}

/// How long a pod waits after a bind that failed.
///
/// Source: Kubernetes, kube-scheduler `podInitialBackoffSeconds` and `podMaxBackoffSeconds`.
const RETRY: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10) };

/// Binds pods to nodes.
///
/// A step costs O(log pods) for what came in, a look at every node for a decision, and a look at every parked pod for a
/// change of a node that could help one.
#[derive(Debug)]
pub struct Scheduler {
    options: SchedulerOptions,
    pods: Informer,
    nodes_seen: Informer,
    calls: Calls<Ask>,
    /// How many calls are open.
    open: usize,
    recorder: EventRecorder,
    nodes: Nodes,
    /// The node chosen last.
    last: Option<Arc<str>>,
    /// All pods of the view that want a node from this scheduler, and those that are being bound.
    pending: BTreeMap<Key, Pending>,
    /// Those to be decided, the most important first.
    queue: BTreeSet<Place>,
    /// Those that no node takes, the most important first.
    parked: BTreeMap<Place, Parked>,
    /// When to do something about a pod that is not queued.
    due: Deadlines<Key>,
    /// What changed for the better, by node, and has not been looked at by the parked.
    gains: BTreeMap<Arc<str>, Obstacles>,
}

/// A pod that is not bound, as far as the view shows.
#[derive(Debug)]
struct Pending {
    facts: PodFacts,
    place: Place,
    stage: Stage,
    /// How often in a row its calls failed.
    failures: u32,
    earlier: Earlier,
    /// The message of a condition that was written, and that the view does not show yet.
    reported: Option<String>,
}

/// Where a pod stands in line: priority, then age, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    priority: Reverse<i32>,
    created: Option<Time>,
    key: Key,
}

/// What a pod waits for.
#[derive(Clone, Debug)]
enum Stage {
    /// A decision.
    Queued,
    /// A change of a node that could help, or the flush.
    Parked,
    /// The end of a delay.
    Delayed,
    /// To be seen on its node, where it counts already.
    Assumed(Assumed),
}

/// A pod for which a bind was asked.
#[derive(Clone, Debug)]
struct Assumed {
    node: Arc<str>,
    /// What it counts there.
    amount: Amount,
    bind: Bind,
}

/// What is known of the bind of an assumed pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bind {
    Asked,
    NotKnown,
    Done,
}

/// What a parked pod needs to ask a node again.
#[derive(Debug)]
struct Parked {
    facts: PodFacts,
    obstacles: Obstacles,
}

/// What a call is for. The uid tells a pod from a later one of its name.
#[derive(Clone, Debug)]
enum Ask {
    Bind { key: Key, uid: Arc<str>, node: Arc<str> },
    Look { key: Key, uid: Arc<str> },
    Report { key: Key, uid: Arc<str> },
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    pub fn new(options: SchedulerOptions) -> Self {
        let view = |kind, space| Informer::new(Query::all(kind), space, options.seed, options.informer);
        Scheduler {
            pods: view(Kind::Pod, 1),
            nodes_seen: view(Kind::Node, 2),
            calls: Calls::in_space(3),
            open: 0,
            recorder: EventRecorder::new(DEFAULT_SCHEDULER, "", 4),
            nodes: Nodes::default(),
            last: None,
            pending: BTreeMap::new(),
            queue: BTreeSet::new(),
            parked: BTreeMap::new(),
            due: Deadlines::default(),
            gains: BTreeMap::new(),
            options,
        }
    }

    /// What its view of the pods has been through.
    pub fn pod_view(&self) -> &Informer {
        &self.pods
    }

    /// What its view of the nodes has been through.
    pub fn node_view(&self) -> &Informer {
        &self.nodes_seen
    }

    /// The nodes with what is bound to them, pods being bound included.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// How many pods wait for a decision now, are parked, wait for the end of a delay, and are being bound.
    pub fn waiting(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for pod in self.pending.values() {
            let at = match pod.stage {
                Stage::Queued => 0,
                Stage::Parked => 1,
                Stage::Delayed => 2,
                Stage::Assumed(_) => 3,
            };
            counts[at] += 1;
        }
        counts
    }
}

impl Program for Scheduler {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        for change in self.nodes_seen.step(now, &input, out) {
            self.node_changed(change);
        }
        for change in self.pods.step(now, &input, out) {
            self.pod_changed(now, change, out);
        }
        for (ask, answer) in self.calls.ended(now, &input) {
            self.open -= 1;
            match ask {
                Ask::Bind { key, uid, node } => self.bind_answered(now, (&key, &uid, &node), &answer, out),
                Ask::Look { key, uid } => self.look_answered(now, &key, &uid, &answer, out),
                Ask::Report { key, uid } => self.report_answered(now, &key, &uid, &answer),
            }
        }
        while let Some(key) = self.due.pop_due(now.mono) {
            self.time_came(now, &key, out);
        }
        // Before both views are complete, absence means nothing: a node may look empty, or be missing.
        if self.pods.is_synced() && self.nodes_seen.is_synced() {
            self.decide_all(now, out);
        }
        out.wake_at(self.calls.next());
        out.wake_at(self.due.next());
    }
}

/// What comes in.
impl Scheduler {
    fn node_changed(&mut self, change: Change) {
        match &change {
            Change::Added(object) | Change::Modified { new: object, .. } => {
                let Some(node) = object.get::<Node>() else { return };
                let (at, before) = self.nodes.set(node);
                let gain = removed(before.as_ref(), self.nodes.facts(at));
                if !gain.is_empty() {
                    self.gains.entry(self.nodes.name(at).clone()).or_default().extend(gain);
                }
            }
            Change::Deleted(object) => self.nodes.remove(&object.meta().name),
            Change::Synced => {}
        }
    }

    fn pod_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        match &change {
            Change::Added(new) => {
                if let Some((node, amount)) = counts(new) {
                    self.nodes.charge(node, &amount);
                }
                self.follow(now, new, out);
            }
            Change::Modified { old, new } => {
                let (before, after) = (counts(old), counts(new));
                if before != after {
                    if let Some((node, amount)) = after {
                        self.nodes.charge(node, &amount);
                    }
                    if let Some((node, amount)) = before {
                        self.release(node, &amount);
                    }
                }
                self.follow(now, new, out);
            }
            Change::Deleted(old) => {
                if let Some((node, amount)) = counts(old) {
                    self.release(node, &amount);
                }
                if let Some(Assumed { node, amount, .. }) = self.drop_pending(&old.key()) {
                    self.release(&node, &amount);
                }
            }
            Change::Synced => {}
        }
    }

    /// Brings what is kept of a pod in line with what the view shows.
    fn follow(&mut self, now: Now, object: &Object, out: &mut Effects) {
        let Some(pod) = object.get::<Pod>() else { return };
        let key = object.key();
        if let Some(node) = pod.node() {
            if let Some(assumed) = self.drop_pending(&key) {
                if *assumed.node == *node && counts(object).is_some() {
                    // It counts as bound now. Nothing was gained.
                    self.nodes.release(node, &assumed.amount);
                } else {
                    self.release(&assumed.node, &assumed.amount);
                }
                if *assumed.node == *node && assumed.bind != Bind::Done {
                    self.tell_scheduled(now, object, node, out);
                }
            }
        } else if self.wants_node(pod) {
            let facts = self.nodes.pod_facts(pod);
            let place = place(&key, pod);
            match self.pending.get_mut(&key) {
                None => {
                    self.queue.insert(place.clone());
                    let (earlier, stage) = (Earlier::Settled, Stage::Queued);
                    let pending = Pending { facts, place, stage, failures: 0, earlier, reported: None };
                    self.pending.insert(key, pending);
                }
                Some(pending) => {
                    if pending.reported.is_some() && pending.reported.as_deref() == unschedulable_message(pod) {
                        pending.reported = None;
                    }
                    if pending.facts != facts || pending.place != place {
                        let requeue = !matches!(pending.stage, Stage::Assumed(_));
                        // Out of line at the old place, and in again at the new one.
                        let stage = std::mem::replace(&mut pending.stage, Stage::Delayed);
                        let old = std::mem::replace(&mut pending.place, place);
                        pending.facts = facts;
                        self.queue.remove(&old);
                        self.parked.remove(&old);
                        if requeue {
                            self.enter(&key, Stage::Queued);
                        } else {
                            pending.stage = stage;
                        }
                    }
                }
            }
        } else if !self.pending.get(&key).is_some_and(|pod| matches!(pod.stage, Stage::Assumed(_))) {
            // A pod that is being bound counts until that is settled, even if it is deleted meanwhile.
            self.drop_pending(&key);
        }
    }

    fn bind_answered(&mut self, now: Now, (key, uid, node): (&Key, &str, &str), answer: &Answer, out: &mut Effects) {
        let Some(pod) = assumed(&mut self.pending, key, uid).filter(|pod| *pod.assumed.node == *node) else { return };
        let next = binding::after_bind(binding::heard(answer), *pod.earlier);
        if next.then != AfterBind::Wait {
            out.log(Level::Warn, format!("scheduler: pod {} to node {node}: {}; {}", key.name, told(answer), next.why));
        }
        match next.then {
            AfterBind::Wait => self.bound(now, key, out),
            AfterBind::DecideLater => self.delay(now, key),
            AfterBind::Look => {
                pod.assumed.bind = Bind::NotKnown;
                *pod.earlier = Earlier::Unsettled;
                *pod.failures = pod.failures.saturating_add(1);
                self.due.set(key.clone(), now.mono + RETRY.delay(*pod.failures));
            }
        }
    }

    fn look_answered(&mut self, now: Now, key: &Key, uid: &str, answer: &Answer, out: &mut Effects) {
        let found = match answer {
            Answer::Object { object, .. } if object.meta().uid != uid => Found::Gone,
            Answer::Object { object, .. } => match object.get::<Pod>() {
                None => Found::NotKnown,
                Some(pod) => match pod.node() {
                    None if self.wants_node(pod) => Found::Unbound,
                    None => Found::Gone,
                    Some(node) => match assumed(&mut self.pending, key, uid) {
                        Some(pod) if *pod.assumed.node == *node => Found::Here,
                        _ => Found::Elsewhere,
                    },
                },
            },
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) => Found::Gone,
            Answer::Refused(_) | Answer::Lost(_) | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {
                Found::NotKnown
            }
        };
        let Some(pod) = assumed(&mut self.pending, key, uid) else { return };
        let takes = self.nodes.find(&pod.assumed.node).is_some_and(|at| {
            let mut node = self.nodes.facts(at).clone();
            node.usage.take(&pod.assumed.amount);
            refusal(pod.facts, &node).is_none()
        });
        let node = if takes { binding::Node::Takes } else { binding::Node::Refuses };
        match binding::after_look(found, node).then {
            AfterLook::Wait => self.bound(now, key, out),
            AfterLook::BindAgain => {
                pod.assumed.bind = Bind::Asked;
                let node = pod.assumed.node.clone();
                self.ask_bind(now, key, &node, out);
            }
            AfterLook::DecideLater => self.delay(now, key),
            AfterLook::LookAgain => {
                *pod.failures = pod.failures.saturating_add(1);
                self.due.set(key.clone(), now.mono + RETRY.delay(*pod.failures));
            }
        }
    }

    fn report_answered(&mut self, now: Now, key: &Key, uid: &str, answer: &Answer) {
        let Some(pod) = self.pending.get_mut(key).filter(|pod| *pod.facts.uid == *uid) else { return };
        match answer {
            Answer::Object { .. } => {}
            Answer::Refused(_) | Answer::Lost(_) | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {
                // Decided again after a delay, which tells again.
                pod.reported = None;
                pod.failures = pod.failures.saturating_add(1);
                if let Stage::Parked = pod.stage {
                    self.due.set_if_earlier(key.clone(), now.mono + RETRY.delay(pod.failures));
                }
            }
        }
    }

    fn time_came(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let Some(pod) = self.pending.get(key) else { return };
        let uid = pod.facts.uid.clone();
        match &pod.stage {
            Stage::Parked => self.enter(key, Stage::Queued),
            Stage::Delayed => {
                if self.pods.get::<Pod>(key).is_some_and(|pod| self.wants_node(pod)) {
                    self.enter(key, Stage::Queued);
                } else {
                    self.drop_pending(key);
                }
            }
            Stage::Assumed(Assumed { bind: Bind::NotKnown, .. }) => {
                self.open += 1;
                self.calls.call(now, Ask::Look { key: key.clone(), uid }, Verb::Get { key: key.clone() }, out);
            }
            Stage::Assumed(_) | Stage::Queued => {}
        }
    }
}

/// Decisions.
impl Scheduler {
    /// Decides the queued pods, with those among them that were parked and have a node to ask again.
    fn decide_all(&mut self, now: Now, out: &mut Effects) {
        while self.open < self.options.calls_max {
            self.wake_parked();
            if self.queue.is_empty() {
                self.gains.clear();
                return;
            }
            while self.open < self.options.calls_max
                && let Some(place) = self.queue.pop_first()
            {
                self.decide(now, &place.key, out);
            }
            if !self.queue.is_empty() {
                // An answer will come, and a step with it; the gains are kept for it.
                return;
            }
        }
    }

    fn decide(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let pod = self.pending.get(key).expect("what is queued is pending");
        let turn = Turn { strategy: self.options.strategy, seed: self.options.seed, last: self.last.as_deref() };
        match pick(&turn, &pod.facts, &self.nodes) {
            Ok(at) => {
                let (node, amount) = (self.nodes.name(at).clone(), pod.facts.amount);
                out.log(Level::Info, format!("scheduler: assigning pod {} to node {node}", key.name));
                self.nodes.charge(&node, &amount);
                self.enter(key, Stage::Assumed(Assumed { node: node.clone(), amount, bind: Bind::Asked }));
                self.ask_bind(now, key, &node, out);
                self.last = Some(node);
            }
            Err(why) => {
                self.park(now, key, why.obstacles);
                self.report(now, key, &why, out);
            }
        }
    }

    fn ask_bind(&mut self, now: Now, key: &Key, node: &Arc<str>, out: &mut Effects) {
        let uid = self.pending.get(key).expect("only pending pods are bound").facts.uid.clone();
        let bind = Verb::Bind { key: key.clone(), uid: uid.clone(), node: node.to_string() };
        self.open += 1;
        self.calls.call(now, Ask::Bind { key: key.clone(), uid, node: node.clone() }, bind, out);
    }

    /// Says in the pod's status, and as an event, why it has no node; unless that was said.
    fn report(&mut self, now: Now, key: &Key, why: &Unschedulable, out: &mut Effects) {
        let Some(object) = self.pods.object(key) else { return };
        let pod = self.pending.get_mut(key).expect("only pending pods are decided");
        let message = why.to_string();
        let shown = object.get::<Pod>().and_then(unschedulable_message);
        if pod.reported.as_deref().or(shown) == Some(&message) {
            return;
        }
        out.log(Level::Info, format!("scheduler: no node for pod {}: {message}", key.name));
        self.recorder.tell(now, object, Tone::Warning, "FailedScheduling", message.clone(), out);
        let object = object.with(|pod: &mut Pod| set_unschedulable(pod, &message, Time::of(now.wall)));
        pod.reported = Some(message);
        let ask = Ask::Report { key: key.clone(), uid: pod.facts.uid.clone() };
        self.open += 1;
        self.calls.call(now, ask, Verb::Update { object, part: Part::Status }, out);
    }

    /// Queues the parked pods that a changed node would take, as many as it would take at once.
    ///
    /// The others stay: if one of the woken goes elsewhere, the next round of [`Scheduler::decide_all`] wakes another.
    fn wake_parked(&mut self) {
        let mut woken = Vec::new();
        for (name, gain) in &self.gains {
            let Some(at) = self.nodes.find(name) else { continue };
            let mut node = self.nodes.facts(at).clone();
            for (place, parked) in &mut self.parked {
                if parked.obstacles.meets(*gain) {
                    match refusal(&parked.facts, &node) {
                        Some(refusal) => parked.obstacles.insert(refusal.obstacle()),
                        None => {
                            node.usage.add(&parked.facts.amount);
                            parked.obstacles.insert(Obstacle::Resources);
                            woken.push(place.key.clone());
                        }
                    }
                }
            }
        }
        for key in woken {
            self.enter(&key, Stage::Queued);
        }
    }
}

/// Where pods are kept.
impl Scheduler {
    /// A pod enters a stage, and leaves the one it was in. It does not leave the node it counts on: see
    /// [`Scheduler::delay`].
    fn enter(&mut self, key: &Key, stage: Stage) {
        let pod = self.pending.get_mut(key).expect("only pending pods have stages");
        self.due.remove(key);
        match pod.stage {
            Stage::Queued => drop(self.queue.remove(&pod.place)),
            Stage::Parked => drop(self.parked.remove(&pod.place)),
            Stage::Delayed | Stage::Assumed(_) => {}
        }
        match stage {
            Stage::Queued => drop(self.queue.insert(pod.place.clone())),
            Stage::Parked | Stage::Delayed | Stage::Assumed(_) => {}
        }
        pod.stage = stage;
    }

    /// No node takes the pod.
    fn park(&mut self, now: Now, key: &Key, obstacles: Obstacles) {
        self.enter(key, Stage::Parked);
        let pod = &self.pending[key];
        self.parked.insert(pod.place.clone(), Parked { facts: pod.facts.clone(), obstacles });
        self.due.set(key.clone(), now.mono + FLUSH);
    }

    /// Nothing is pending about this pod any more. Returns where it was assumed, which still counts.
    fn drop_pending(&mut self, key: &Key) -> Option<Assumed> {
        let pod = self.pending.remove(key)?;
        self.due.remove(key);
        self.queue.remove(&pod.place);
        self.parked.remove(&pod.place);
        match pod.stage {
            Stage::Assumed(assumed) => Some(assumed),
            Stage::Queued | Stage::Parked | Stage::Delayed => None,
        }
    }

    /// A bind came to nothing: the node is free of the pod, which is decided again later.
    fn delay(&mut self, now: Now, key: &Key) {
        let Some(pod) = self.pending.get_mut(key) else { return };
        pod.failures = pod.failures.saturating_add(1);
        let at = now.mono + RETRY.delay(pod.failures);
        if let Stage::Assumed(Assumed { node, amount, .. }) = pod.stage.clone() {
            self.release(&node, &amount);
        }
        self.enter(key, Stage::Delayed);
        self.due.set(key.clone(), at);
    }

    /// A bind was done; the view will show it.
    fn bound(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let Some(pod) = self.pending.get_mut(key) else { return };
        let Stage::Assumed(assumed) = &mut pod.stage else { return };
        assumed.bind = Bind::Done;
        (pod.failures, pod.earlier) = (0, Earlier::Settled);
        let node = assumed.node.clone();
        if let Some(object) = self.pods.object(key).cloned() {
            self.tell_scheduled(now, &object, &node, out);
        }
    }

    fn tell_scheduled(&mut self, now: Now, pod: &Object, node: &str, out: &mut Effects) {
        let message = format!("Successfully assigned {} to {node}", pod.meta().full_name());
        self.recorder.tell(now, pod, Tone::Normal, "Scheduled", message, out);
    }

    /// A pod does not count on a node any more.
    fn release(&mut self, node: &str, amount: &Amount) {
        if self.nodes.release(node, amount) {
            match self.gains.get_mut(node) {
                Some(gains) => gains.extend(Gain::PodLeft.removes()),
                None => drop(self.gains.insert(node.into(), Gain::PodLeft.removes())),
            }
        }
    }

    fn wants_node(&self, pod: &Pod) -> bool {
        let scheduler = match pod.spec.scheduler_name.as_str() {
            "" => DEFAULT_SCHEDULER,
            name => name,
        };
        pod.node().is_none() && pod.is_active() && scheduler == self.options.name
    }
}

/// The node that a pod counts on, as the view shows it, and what it counts there.
fn counts(object: &Object) -> Option<(&str, Amount)> {
    let pod = object.get::<Pod>()?;
    let node = pod.node().filter(|_| !pod.status.phase.is_final())?;
    Some((node, Amount::of(pod)))
}

fn place(key: &Key, pod: &Pod) -> Place {
    let priority = Reverse(pod.spec.priority.unwrap_or(0));
    Place { priority, created: pod.metadata.creation_timestamp, key: key.clone() }
}

/// A pod for which a bind was asked, with what its answer changes.
struct Doubt<'a> {
    facts: &'a PodFacts,
    failures: &'a mut u32,
    earlier: &'a mut Earlier,
    assumed: &'a mut Assumed,
}

/// The pod, if it is still this one and is being bound.
fn assumed<'a>(pending: &'a mut BTreeMap<Key, Pending>, key: &Key, uid: &str) -> Option<Doubt<'a>> {
    let pod = pending.get_mut(key).filter(|pod| *pod.facts.uid == *uid)?;
    match &mut pod.stage {
        Stage::Assumed(assumed) => {
            Some(Doubt { facts: &pod.facts, failures: &mut pod.failures, earlier: &mut pod.earlier, assumed })
        }
        Stage::Queued | Stage::Parked | Stage::Delayed => None,
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Refused(status) => status.to_string(),
        Answer::Lost(why) => why.clone(),
        Answer::Object { .. } | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {
            "an answer of another kind".into()
        }
    }
}

/// What its status says about why it has no node.
fn unschedulable_message(pod: &Pod) -> Option<&str> {
    let condition = pod.status.conditions.iter().find(|condition| condition.kind == "PodScheduled")?;
    (condition.status == "False" && condition.reason == "Unschedulable").then_some(condition.message.as_str())
}

fn set_unschedulable(pod: &mut Pod, message: &str, now: Time) {
    let conditions = &mut pod.status.conditions;
    let at = conditions.iter().position(|condition| condition.kind == "PodScheduled").unwrap_or_else(|| {
        conditions.push(PodCondition { kind: "PodScheduled".into(), ..Default::default() });
        conditions.len() - 1
    });
    let condition = &mut conditions[at];
    if condition.status != "False" {
        condition.last_transition_time = Some(now);
    }
    condition.status = "False".into();
    condition.reason = "Unschedulable".into();
    condition.message = message.into();
}
