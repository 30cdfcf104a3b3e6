//! The scheduler as a program: its views, its queue, and what it has asked for and not seen yet.
//!
//! A pod without a node is in one `Stage`. All pods that are queued are decided in the step that queued them, the most
//! important first, each with the earlier ones counted on their nodes; only the number of open calls bounds a batch.
//! What changes in a view changes the sums of one node. Pods that are alike are [`Kin`]: what the nodes say to them is
//! kept from one to the next, and of those that wait one asks for all. See the neighbours for what is decided.

use super::binding::{self, AFTER_BIND, AfterBind, AfterLook, Earlier, Found};
use super::explain;
use super::facts::{PodFacts, alike};
use super::filters::{Unschedulable, refusal_by_node};
use super::nodes::{NodeIndex, Nodes};
use super::preemption::{Budget, Preemption, Victim, preempt};
use super::standing::{self, Standing};
use super::strategy::{Strategy, Turn, pick};
use super::volumes::reach;
use super::wake_ups::{FLUSH, Gain, Obstacle, Obstacles, removed};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::namespace::Namespace;
use crate::api::node::Node;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodCondition};
use crate::api::status::Reason;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Backoff, Calls, Change, Deadlines, Informer, informer};
use crate::decision::{Because, Decision};
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Query, Verb};
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How a scheduler is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SchedulerOptions {
    /// How a node is chosen.
    pub strategy: Strategy,
    /// It binds the pods with this `spec.schedulerName`.
    pub name: String,
    /// And those with these, each with a strategy of its own.
    #[serde(default)]
    pub profiles: BTreeMap<String, Strategy>,
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
            profiles: BTreeMap::new(),
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
/// A step costs O(log pods) for what came in, a walk over an array of nodes for a decision, and a look at each kind of
/// parked pod for a change of a node that could help one.
#[derive(Debug)]
pub struct Scheduler {
    options: SchedulerOptions,
    pods: Informer,
    nodes_seen: Informer,
    namespaces: Informer,
    budgets_seen: Informer,
    claims: Informer,
    volumes: Informer,
    calls: Calls<Ask>,
    /// How many calls are open.
    open: usize,
    recorder: EventRecorder,
    nodes: Nodes,
    /// Who counts on each node, as the view shows it.
    on: BTreeMap<Arc<str>, BTreeMap<Key, Counted>>,
    budgets: BTreeMap<String, Vec<Budget>>,
    /// The node chosen last.
    last: Option<Arc<str>>,
    /// All pods of the view that want a node from this scheduler, and those that are being bound.
    pending: BTreeMap<Key, Pending>,
    /// Those to be decided, the most important first.
    queue: BTreeSet<Place>,
    /// What pending pods that are alike have in common.
    kin: BTreeMap<KinId, Kin>,
    /// Kin without a pending pod, the longest so first: the next pod of the template may come soon.
    idle: VecDeque<KinId>,
    /// Kin with a standing, the one that was made first before the others.
    made: VecDeque<KinId>,
    /// Pending pods with volumes: what their claims are bound to decides where they can go.
    with_claims: BTreeSet<Key>,
    /// Pending pods for which room is reserved.
    reserving: BTreeSet<Key>,
    /// When to do something about a pod that is not queued.
    due: Deadlines<Key>,
    /// What changed for the better, by node, and has not been looked at by the parked.
    gains: BTreeMap<Arc<str>, Obstacles>,
}

/// What a pod counts on its node, and whether it is being deleted.
type Counted = (Arc<PodFacts>, bool);

/// So many kin without a pending pod are remembered.
const IDLE_MAX: usize = 32;
/// So many nodes are remembered in standings together: 24 bytes each, and more where places count.
const STANDING_MAX: usize = 2 << 20;

/// Names pods that are alike, and are scheduled in the same way.
type KinId = (u64, Strategy);

/// What pods that are alike have in common.
#[derive(Debug)]
struct Kin {
    facts: Arc<PodFacts>,
    /// How many of them are pending.
    pods: usize,
    standing: Option<Standing>,
    /// Those that no node takes, the most important first.
    parked: BTreeSet<Place>,
    /// Of each node at least one reason why it does not take the parked.
    obstacles: Obstacles,
    /// What other pods were where when that was found: see [`Standing::moved`].
    moved: u64,
    /// What was found when nothing could be done, and after how many changes. As long as there are no more, it holds.
    found: Option<(u64, Unschedulable)>,
}

/// A pod that is not bound, as far as the view shows.
#[derive(Debug)]
struct Pending {
    uid: Arc<str>,
    facts: Arc<PodFacts>,
    strategy: Strategy,
    place: Place,
    stage: Stage,
    /// How often in a row its calls failed.
    failures: u32,
    earlier: Earlier,
    /// Where it may still be bound by a request that was given up, and counts until that is settled.
    reserved: Vec<Reserved>,
    /// For which node others had to go.
    nominated: Option<Arc<str>>,
    /// Those whose going was asked for and not seen.
    victims: BTreeMap<Key, Arc<str>>,
    /// What was written of it and the view does not show yet: the message of its condition, and for which node others go.
    reported: Option<(String, String)>,
}

impl Pending {
    fn kin(&self) -> KinId {
        (self.facts.class, self.strategy)
    }
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
    facts: Arc<PodFacts>,
    bind: Bind,
}

/// Room on a node for a pod whose bind was given up, but may still arrive.
#[derive(Clone, Debug)]
struct Reserved {
    node: Arc<str>,
    facts: Arc<PodFacts>,
    until: Instant,
}

/// How long a request that was given up may still arrive.
///
/// Far longer than anything should hold it up: connections are closed when an answer is given up. Until a parked pod is
/// decided again in any case, so that a reservation ends then.
const LATE_MAX: Duration = FLUSH;

/// What is known of the bind of an assumed pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bind {
    Asked,
    NotKnown,
    Done,
}

/// What a call is for. The uid tells a pod from a later one of its name.
#[derive(Clone, Debug)]
enum Ask {
    Bind {
        key: Key,
        uid: Arc<str>,
        node: Arc<str>,
    },
    Look {
        key: Key,
        uid: Arc<str>,
    },
    Report {
        key: Key,
        uid: Arc<str>,
    },
    /// Told a pod that it has to go for another.
    Condemn {
        key: Key,
        victim: Key,
        uid: Arc<str>,
    },
    /// Asked a pod to go.
    Evict {
        key: Key,
        victim: Key,
    },
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    pub fn new(options: SchedulerOptions) -> Self {
        let view = |kind, space| Informer::new(Query::all(kind), space, options.seed, options.informer);
        Scheduler {
            pods: view(Kind::Pod, 1),
            nodes_seen: view(Kind::Node, 2),
            namespaces: view(Kind::Namespace, 5),
            budgets_seen: view(Kind::PodDisruptionBudget, 6),
            claims: view(Kind::PersistentVolumeClaim, 7),
            volumes: view(Kind::PersistentVolume, 8),
            calls: Calls::in_space(3),
            open: 0,
            recorder: EventRecorder::new(DEFAULT_SCHEDULER, "", 4),
            nodes: Nodes::default(),
            on: BTreeMap::new(),
            budgets: BTreeMap::new(),
            last: None,
            pending: BTreeMap::new(),
            queue: BTreeSet::new(),
            kin: BTreeMap::new(),
            idle: VecDeque::new(),
            made: VecDeque::new(),
            with_claims: BTreeSet::new(),
            reserving: BTreeSet::new(),
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
        for change in self.namespaces.step(now, &input, out) {
            self.namespace_changed(&change);
        }
        if !self.budgets_seen.step(now, &input, out).is_empty() {
            self.count_budgets();
        }
        let volumes = [self.claims.step(now, &input, out), self.volumes.step(now, &input, out)];
        for change in self.pods.step(now, &input, out) {
            self.pod_changed(now, change, out);
        }
        if volumes.iter().any(|changes| !changes.is_empty()) {
            self.volumes_changed(now, out);
        }
        for (ask, answer) in self.calls.ended(now, &input) {
            self.open -= 1;
            match ask {
                Ask::Condemn { key, victim, uid } => self.condemned(now, &key, victim, &uid, &answer, out),
                Ask::Evict { key, victim } => self.evicted(now, &key, &victim, &answer),
                Ask::Bind { key, uid, node } => self.bind_answered(now, (&key, &uid, &node), &answer, out),
                Ask::Look { key, uid } => self.look_answered(now, &key, &uid, &answer, out),
                Ask::Report { key, uid } => self.report_answered(now, &key, &uid, &answer),
            }
        }
        while let Some(key) = self.due.pop_due(now.mono) {
            self.time_came(now, &key, out);
        }
        // Before all views are complete, absence means nothing: a node may look empty, or be missing.
        if self.views().into_iter().all(Informer::is_synced) {
            self.decide_all(now, out);
        }
        out.wake_at(self.calls.next());
        out.wake_at(self.due.next());
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        self.views().into_iter().for_each(show);
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
            Change::Deleted(_) if planted!(GhostNodes) => {}
            Change::Deleted(object) => self.nodes.remove(&object.meta().name),
            Change::Synced => {}
        }
    }

    fn namespace_changed(&mut self, change: &Change) {
        let (_, new) = change.sides();
        match (change.sides().0, new.and_then(Object::get::<Namespace>)) {
            (_, Some(namespace)) => {
                self.nodes.set_namespace(&namespace.metadata.name, Some(&namespace.metadata.labels));
            }
            (Some(old), None) => self.nodes.set_namespace(&old.meta().name, None),
            (None, None) => {}
        }
    }

    fn count_budgets(&mut self) {
        self.budgets.clear();
        for object in self.budgets_seen.objects() {
            let Some(budget) = Budget::of(object) else { continue };
            self.budgets.entry(object.meta().namespace.to_string()).or_default().push(budget);
        }
    }

    /// Pods with claims may be able to go elsewhere now.
    fn volumes_changed(&mut self, now: Now, out: &mut Effects) {
        for key in self.with_claims.clone() {
            match self.pods.object(&key).cloned() {
                Some(object) => self.follow(now, &object, out),
                None => drop(self.with_claims.remove(&key)),
            }
        }
    }

    fn pod_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        match &change {
            Change::Added(new) => {
                self.recount(None, Some(new));
                self.follow(now, new, out);
            }
            Change::Modified { old, new } => {
                if !counts_the_same(old, new) {
                    self.recount(Some(old), Some(new));
                }
                self.follow(now, new, out);
            }
            Change::Deleted(old) => {
                self.recount(Some(old), None);
                if let Some(Assumed { node, facts, .. }) = self.drop_pending(&old.key()) {
                    sometimes!(PodGoneWhileBound);
                    if !planted!(LeavesRoomTaken) {
                        self.release(&node, &facts, false);
                    }
                }
            }
            // A new list, or the user's wish to look again: as good a time for the flush as any.
            Change::Synced => {
                for place in self.kin.values().flat_map(|kin| &kin.parked) {
                    self.due.set(place.key.clone(), now.mono);
                }
            }
        }
    }

    /// A pod counts on its node as it is now, and not any more as it did.
    fn recount(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let before = old.and_then(|old| {
            let (node, ..) = counts(old)?;
            let all = self.on.get_mut(node)?;
            let was = all.remove(&old.key());
            if all.is_empty() {
                self.on.remove(node);
            }
            was.map(|(facts, leaving)| (node, facts, leaving))
        });
        if let Some((object, (node, pod, leaving))) = new.and_then(|new| Some((new, counts(new)?))) {
            let facts = self.nodes.pod_facts(pod, &[]);
            let at = self.nodes.charge(node, &facts, leaving);
            let name = self.nodes.name(at).clone();
            self.on.entry(name).or_default().insert(object.key(), (facts, leaving));
        }
        let Some((node, facts, leaving)) = before else { return };
        let stays = new.and_then(counts).is_some_and(|(now, ..)| now == node);
        if stays {
            // It counts in another way, and takes the same room.
            self.nodes.release(node, &facts, leaving);
        } else {
            self.release(node, &facts, leaving);
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
                    self.nodes.release(node, &assumed.facts, false);
                } else {
                    if *assumed.node != *node {
                        sometimes!(BoundElsewhere);
                    }
                    self.release(&assumed.node, &assumed.facts, false);
                }
                if *assumed.node == *node && assumed.bind != Bind::Done {
                    self.tell_scheduled(now, object, node, out);
                }
            }
        } else if let Some(strategy) = self.wants_node(pod) {
            let claims_and_volumes = |key: &Key| self.claims.object(key).or_else(|| self.volumes.object(key));
            let volumes = reach(pod, claims_and_volumes);
            if pod.spec.rest.get("volumes").is_some() {
                self.with_claims.insert(key.clone());
            }
            let facts = self.nodes.pod_facts(pod, &volumes);
            let place = place(&key, pod);
            match self.pending.get_mut(&key) {
                None => {
                    self.queue.insert(place.clone());
                    let (uid, nominated): (Arc<str>, _) = (pod.metadata.uid.as_str().into(), nominated(pod));
                    if let Some(node) = &nominated {
                        self.nodes.nominate(node, &key, &uid, &facts);
                    }
                    let pending = Pending {
                        uid,
                        facts,
                        strategy,
                        place,
                        stage: Stage::Queued,
                        failures: 0,
                        earlier: Earlier::Settled,
                        reserved: Vec::new(),
                        nominated,
                        victims: BTreeMap::new(),
                        reported: None,
                    };
                    self.enroll(pending.kin(), &pending.facts);
                    self.pending.insert(key, pending);
                }
                Some(pending) => {
                    if pending.reported.is_some() && pending.reported == reported(pod) {
                        pending.reported = None;
                    }
                    let same = Arc::ptr_eq(&pending.facts, &facts) && pending.strategy == strategy;
                    if !same || pending.place != place {
                        self.becomes(&key, facts, strategy, place);
                    }
                }
            }
        } else if !self.pending.get(&key).is_some_and(|pod| matches!(pod.stage, Stage::Assumed(_))) {
            // A pod that is being bound counts until that is settled, even if it is deleted meanwhile.
            self.drop_pending(&key);
        }
    }

    /// A pending pod is another than before: out of line at the old place, and in again at the new one.
    fn becomes(&mut self, key: &Key, facts: Arc<PodFacts>, strategy: Strategy, place: Place) {
        let assumed = matches!(self.pending[key].stage, Stage::Assumed(_));
        if !assumed {
            self.enter(key, Stage::Delayed);
        }
        let pod = self.pending.get_mut(key).expect("it is pending");
        if let Some(node) = &pod.nominated {
            self.nodes.dismiss(node, &pod.uid);
            self.nodes.nominate(node, key, &pod.uid, &facts);
        }
        let old = pod.kin();
        (pod.facts, pod.strategy, pod.place) = (facts.clone(), strategy, place);
        let new = pod.kin();
        self.enroll(new, &facts);
        self.retire(old);
        if !assumed {
            self.enter(key, Stage::Queued);
        }
    }

    fn bind_answered(&mut self, now: Now, (key, uid, node): (&Key, &str, &str), answer: &Answer, out: &mut Effects) {
        let Some(pod) = assumed(&mut self.pending, key, uid).filter(|pod| *pod.assumed.node == *node) else { return };
        let next = binding::after_bind(binding::heard(answer), *pod.earlier);
        if next.then != AfterBind::Wait {
            out.log(Level::Warn, format!("scheduler: pod {} to node {node}: {}; {}", key.name, told(answer), next.why));
            let because = Because::of(&AFTER_BIND, next).as_seen(format!("node {node}: {}", told(answer)));
            out.decided(Level::Debug, Decision::about(key.clone(), because));
        }
        match next.then {
            AfterBind::Wait => self.bound(now, key, out),
            AfterBind::DecideLater if planted!(BindNotRetried) => {}
            AfterBind::DecideLater => self.delay(now, key),
            AfterBind::Look => {
                sometimes!(BindUnknown);
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
                    None if self.wants_node(pod).is_some() => Found::Unbound,
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
        let (name, facts) = (pod.assumed.node.clone(), pod.assumed.facts.clone());
        // As if it were not there.
        self.nodes.release(&name, &facts, false);
        let takes = self.nodes.find(&name).is_some_and(|at| {
            let standing = Standing::new(pod.facts.clone(), Strategy::default(), &self.nodes);
            standing.takes(&self.nodes, at)
        });
        self.nodes.charge(&name, &facts, false);
        let node = if takes { binding::Node::Takes } else { binding::Node::Refuses };
        match binding::after_look(found, node).then {
            AfterLook::Wait => {
                sometimes!(BindFoundDone);
                self.bound(now, key, out);
            }
            AfterLook::BindAgain => {
                pod.assumed.bind = Bind::Asked;
                let node = pod.assumed.node.clone();
                self.ask_bind(now, key, &node, out);
            }
            AfterLook::GiveUp => {
                sometimes!(BindGivenUp);
                let (node, facts, until) = (pod.assumed.node.clone(), pod.assumed.facts.clone(), now.mono + LATE_MAX);
                self.nodes.charge(&node, &facts, false);
                pod.reserved.push(Reserved { node, facts, until });
                self.reserving.insert(key.clone());
                self.delay(now, key);
            }
            AfterLook::DecideLater => self.delay(now, key),
            AfterLook::LookAgain => {
                *pod.failures = pod.failures.saturating_add(1);
                self.due.set(key.clone(), now.mono + RETRY.delay(*pod.failures));
            }
        }
    }

    fn report_answered(&mut self, now: Now, key: &Key, uid: &str, answer: &Answer) {
        let Some(pod) = self.pending.get_mut(key).filter(|pod| *pod.uid == *uid) else { return };
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
        let uid = pod.uid.clone();
        match &pod.stage {
            Stage::Parked => self.enter(key, Stage::Queued),
            Stage::Delayed => {
                if self.pods.get::<Pod>(key).is_some_and(|pod| self.wants_node(pod).is_some()) {
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
        self.wake_parked();
        while self.open < self.options.calls_max
            && let Some(place) = self.queue.pop_first()
        {
            self.decide(now, &place.key, out);
            if self.queue.is_empty() {
                self.wake_parked();
            }
        }
    }

    fn decide(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let pod = self.pending.get_mut(key).expect("what is queued is pending");
        // What is reserved for the pod itself does not stand in its way.
        let reserved = std::mem::take(&mut pod.reserved);
        for one in &reserved {
            self.nodes.release(&one.node, &one.facts, false);
        }
        let (kin, facts) = (pod.kin(), pod.facts.clone());
        let (nominated, uid) = (pod.nominated.clone(), pod.uid.clone());
        let changes = self.nodes.changes();
        let known = self.kin.get(&kin).and_then(|kin| kin.found.as_ref()).filter(|(seen, _)| *seen == changes);
        let known = known.filter(|_| nominated.is_none() && reserved.is_empty()).map(|(_, why)| why.clone());
        let is_known = known.is_some();
        let picked = match known {
            Some(why) => Err(why),
            None => self.pick(kin, &uid, nominated.as_deref()),
        };
        let because = picked.as_ref().ok().map(|at| self.placed(kin, *at, nominated.as_deref()));
        let picked = picked.map(|at| self.nodes.name(at).clone());
        let had_reserved = !reserved.is_empty();
        let mut kept = Vec::new();
        for one in reserved {
            self.nodes.charge(&one.node, &one.facts, false);
            if one.until <= now.mono || picked.as_ref() == Ok(&one.node) {
                self.release(&one.node, &one.facts, false);
            } else {
                kept.push(one);
            }
        }
        if let Some(pod) = self.pending.get_mut(key) {
            if kept.is_empty() {
                self.reserving.remove(key);
            }
            pod.reserved = kept;
        }
        match picked {
            Ok(node) => {
                out.log(Level::Info, format!("scheduler: assigning pod {} to node {node}", key.name));
                because
                    .into_iter()
                    .for_each(|because| out.decided(Level::Debug, Decision::about(key.clone(), because)));
                self.give_up_nomination(key);
                let facts = if planted!(ForgetsAssumed) { self.nodes.pod_facts(&Pod::default(), &[]) } else { facts };
                self.nodes.charge(&node, &facts, false);
                let assumed = Assumed { node: node.clone(), facts, bind: Bind::Asked };
                self.enter(key, Stage::Assumed(assumed));
                self.ask_bind(now, key, &node, out);
                self.wake_next(kin, &node);
                self.last = Some(node);
            }
            Err(mut why) => {
                if self.nodes.is_empty() {
                    sometimes!(NoNodes);
                } else {
                    sometimes!(NoNodeFits);
                }
                if had_reserved || nominated.is_some() {
                    // What stands in the way of the others may be its own.
                    why.obstacles.extend(Gain::Added.removes());
                }
                if !self.nodes.is_empty() && !is_known {
                    self.preempt_for(now, key, &mut why, out);
                }
                if let Some(kin) = self.kin.get_mut(&kin).filter(|_| !had_reserved && nominated.is_none()) {
                    let settled = self.pending[key].nominated.is_none();
                    kin.found = settled.then(|| (self.nodes.changes(), why.clone()));
                }
                self.park(now, key, why.obstacles);
                self.report(now, key, &why, out);
            }
        }
    }

    /// A node for a pod of this kin: the one for which others have gone, if it takes the pod, or the best.
    fn pick(&mut self, kin: KinId, uid: &str, nominated: Option<&str>) -> Result<NodeIndex, Unschedulable> {
        self.stand(kin);
        let standing = self.kin[&kin].standing.as_ref().expect("it was made just now");
        if let Some(at) = nominated.and_then(|node| self.nodes.find(node))
            && takes_expected(standing, &self.nodes, at, uid)
        {
            sometimes!(NominatedBound);
            return Ok(at);
        }
        let turn = Turn { strategy: kin.1, seed: self.options.seed, uid, last: self.last.as_deref() };
        pick(&turn, standing, &self.nodes)
    }

    /// What is told of a pod that gets this node.
    fn placed(&self, kin: KinId, at: NodeIndex, nominated: Option<&str>) -> Because {
        let node = self.nodes.name(at);
        if nominated == Some(&**node) {
            return Because::new("scheduler_preemption", "nominated", "others have gone for it").as_seen(&**node);
        }
        let standing = self.kin[&kin].standing.as_ref().expect("by it the node was picked");
        explain::placed(standing, &self.nodes, at, kin.1)
    }

    /// Makes what the nodes say to pods of this kin, or brings it up to date.
    fn stand(&mut self, id: KinId) {
        let kin = self.kin.get_mut(&id).expect("the kin of a pending pod is kept");
        match &mut kin.standing {
            Some(standing) => standing.follow(&self.nodes),
            None => {
                kin.standing = Some(Standing::new(kin.facts.clone(), id.1, &self.nodes));
                self.made.push_back(id);
                let most = 8.max(STANDING_MAX / self.nodes.places().max(1));
                if self.made.len() > most
                    && let Some(first) = self.made.pop_front()
                    && let Some(kin) = self.kin.get_mut(&first).filter(|_| first != id)
                {
                    kin.standing = None;
                }
            }
        }
    }

    fn ask_bind(&mut self, now: Now, key: &Key, node: &Arc<str>, out: &mut Effects) {
        let uid = self.pending.get(key).expect("only pending pods are bound").uid.clone();
        let bind = Verb::Bind { key: key.clone(), uid: uid.clone(), node: node.to_string() };
        self.open += 1;
        self.calls.call(now, Ask::Bind { key: key.clone(), uid, node: node.clone() }, bind, out);
    }

    /// Says in the pod's status, and as an event, why it has no node, and for which one others go; unless that was said.
    fn report(&mut self, now: Now, key: &Key, why: &Unschedulable, out: &mut Effects) {
        let Some(object) = self.pods.object(key) else { return };
        let pod = self.pending.get_mut(key).expect("only pending pods are decided");
        let new = (why.to_string(), pod.nominated.as_deref().unwrap_or_default().to_owned());
        let shown = object.get::<Pod>().and_then(reported);
        let known = pod.reported.as_ref().or(shown.as_ref());
        if known == Some(&new) {
            return;
        }
        if known.is_none_or(|known| known.0 != new.0) {
            out.log(Level::Info, format!("scheduler: no node for pod {}: {}", key.name, new.0));
            let standing = self.kin.get(&pod.kin()).and_then(|kin| kin.standing.as_ref());
            let because = explain::nowhere(standing, &self.nodes, &new.0);
            out.decided(Level::Debug, Decision::about(key.clone(), because));
            self.recorder.tell(now, object, Tone::Warning, "FailedScheduling", new.0.clone(), out);
        }
        let object = object.with(|pod: &mut Pod| {
            set_unschedulable(pod, &new.0, Time::of(now.wall));
            pod.status.nominated_node_name.clone_from(&new.1);
        });
        pod.reported = Some(new);
        let ask = Ask::Report { key: key.clone(), uid: pod.uid.clone() };
        self.open += 1;
        self.calls.call(now, ask, Verb::Update { object, part: Part::Status }, out);
    }

    /// Queues parked pods that a changed node would take, or that have others around them now: one of each kin, which
    /// brings the next if it goes well.
    fn wake_parked(&mut self) {
        let mut woken = Vec::new();
        for (name, gain) in std::mem::take(&mut self.gains) {
            let Some(at) = self.nodes.find(&name) else { continue };
            for kin in self.kin.values_mut() {
                let Some(first) = kin.parked.first().filter(|_| kin.obstacles.meets(gain)) else { continue };
                match refusal_by_node(&kin.facts, self.nodes.facts(at)) {
                    Some(refusal) => kin.obstacles.insert(refusal.obstacle()),
                    None if looks_around(kin, &self.nodes) => {
                        // Where others are is looked at below, for all nodes.
                        kin.obstacles.extend(Obstacles::of(&[Obstacle::Spread, Obstacle::Neighbours]));
                        kin.moved = u64::MAX;
                    }
                    None => woken.push(first.key.clone()),
                }
            }
            // Who waits for this very node looks in any case: where two do, each may stand in the other's way, and
            // others have to go for one of them once more.
            woken.extend(self.nodes.facts(at).nominated.iter().map(|one| one.key.clone()));
            let reserves = |key: &&Key| self.pending[*key].reserved.iter().any(|one| one.node == name);
            woken.extend(self.reserving.iter().filter(reserves).cloned());
        }
        let around = Obstacles::of(&[Obstacle::Spread, Obstacle::Neighbours]);
        let waiting = self.kin.iter().filter(|(_, kin)| !kin.parked.is_empty() && kin.obstacles.meets(around));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stand(id);
            let kin = self.kin.get_mut(&id).expect("it was found just now");
            let standing = kin.standing.as_ref().expect("it was made just now");
            if kin.moved == standing.moved() {
                continue;
            }
            kin.moved = standing.moved();
            if self.nodes.order().iter().any(|at| standing.takes(&self.nodes, *at)) {
                woken.extend(kin.parked.first().map(|first| first.key.clone()));
            }
        }
        for key in woken {
            sometimes!(WokenByRoom);
            if matches!(self.pending.get(&key).map(|pod| &pod.stage), Some(Stage::Parked)) {
                self.enter(&key, Stage::Queued);
            }
        }
    }

    /// One of a kin has found this node: the next one is decided, if there is a node for it, too.
    fn wake_next(&mut self, id: KinId, node: &str) {
        if self.kin.get(&id).is_none_or(|kin| kin.parked.is_empty()) {
            return;
        }
        self.stand(id);
        let kin = self.kin.get_mut(&id).expect("it was found just now");
        let standing = kin.standing.as_ref().expect("it was made just now");
        if !self.nodes.order().iter().any(|at| standing.takes(&self.nodes, *at)) {
            // What the others have said before still stands in the way.
            let refusal = self.nodes.find(node).and_then(|at| standing.refusal(&self.nodes, at));
            refusal.iter().for_each(|refusal| kin.obstacles.insert(refusal.obstacle()));
            kin.moved = standing.moved();
            return;
        }
        let next = kin.parked.first().map(|place| place.key.clone());
        next.iter().for_each(|key| self.enter(key, Stage::Queued));
    }
}

/// Others go.
impl Scheduler {
    /// Looks for pods that could go for one that no node takes, asks them to, and keeps their room for it.
    fn preempt_for(&mut self, now: Now, key: &Key, why: &mut Unschedulable, out: &mut Effects) {
        let pod = &self.pending[key];
        let facts = pod.facts.clone();
        if !facts.preempts && !planted!(NeverPreempts) {
            why.preemption = "preemption: not eligible due to preemptionPolicy=Never.".into();
            return;
        }
        let (kin, nominated, uid) = (pod.kin(), pod.nominated.clone(), pod.uid.clone());
        // Some are on their way out already, or were asked to go.
        let there = |(victim, uid): (&Key, &Arc<str>)| {
            self.pods.get::<Pod>(victim).is_some_and(|pod| *pod.metadata.uid == **uid)
        };
        let waits = nominated.as_ref().is_some_and(|node| {
            let leaving = |one: &Victim| one.leaving && one.facts.priority < facts.priority;
            pod.victims.iter().any(there) || self.on_node(node).iter().any(leaving)
        });
        if waits {
            why.preemption = "preemption: not eligible due to a terminating pod on the nominated node.".into();
            return;
        }
        // What was kept for the pod itself does not stand in its way.
        self.give_up_nomination(key);
        self.stand(kin);
        let mut standing = self.kin.get_mut(&kin).and_then(|kin| kin.standing.take()).expect("it was made just now");
        let pods = |at: NodeIndex| self.on_node(self.nodes.name(at));
        let found = preempt(&mut standing, &self.nodes, &pods, &self.budgets);
        if let Some(kin) = self.kin.get_mut(&kin) {
            kin.standing = Some(standing);
        }
        match found {
            Ok(Preemption { node, victims }) => {
                sometimes!(Preempted);
                let node = self.nodes.name(node).clone();
                self.make_way(&node, &facts);
                self.nodes.nominate(&node, key, &uid, &facts);
                if let Some(pod) = self.pending.get_mut(key) {
                    pod.nominated = Some(node.clone());
                }
                for victim in victims {
                    self.condemn(now, key, victim, out);
                }
            }
            Err(told) => why.preemption = told,
        }
    }
}

/// Who has to go, and who is expected.
impl Scheduler {
    /// Who is on a node, as the view shows it.
    fn on_node(&self, node: &str) -> Vec<Victim> {
        let all = self.on.get(node).into_iter().flatten();
        let victim = |(key, (facts, leaving)): (&Key, &Counted)| {
            let pod = self.pods.get::<Pod>(key)?;
            Some(Victim {
                key: key.clone(),
                uid: pod.metadata.uid.as_str().into(),
                labels: pod.metadata.labels.clone(),
                started: pod.status.start_time,
                leaving: *leaving,
                facts: facts.clone(),
            })
        };
        all.filter_map(victim).collect()
    }

    /// A pod has to go from a node for another: first it is told why.
    ///
    /// Source: Kubernetes documentation, "Disruptions", pod disruption conditions.
    fn condemn(&mut self, now: Now, key: &Key, victim: Victim, out: &mut Effects) {
        let Victim { key: of, uid, .. } = victim;
        let Some(object) = self.pods.object(&of).filter(|object| *object.meta().uid == *uid) else { return };
        out.log(Level::Info, format!("scheduler: pod {} has to go for pod {}", of.name, key.name));
        let because = Because::new("scheduler_preemption", "victim", "a more important pod needs its room");
        out.decided(Level::Debug, Decision::about(of.clone(), because).for_sake_of(key.clone()));
        let condition = PodCondition {
            kind: "DisruptionTarget".into(),
            status: "True".into(),
            reason: "PreemptionByScheduler".into(),
            message: format!("{}: preempting to accommodate a higher priority pod", self.options.name),
            last_transition_time: Some(Time::of(now.wall)),
            ..PodCondition::default()
        };
        let object = object.with(|pod: &mut Pod| {
            pod.status.conditions.retain(|one| one.kind != condition.kind);
            pod.status.conditions.push(condition);
        });
        if let Some(pod) = self.pending.get_mut(key) {
            pod.victims.insert(of.clone(), uid.clone());
        }
        let ask = Ask::Condemn { key: key.clone(), victim: of, uid };
        self.open += 1;
        self.calls.call(now, ask, Verb::Update { object, part: Part::Status }, out);
    }

    /// It was told, or was not: then nothing is asked of it.
    fn condemned(&mut self, now: Now, key: &Key, victim: Key, uid: &Arc<str>, answer: &Answer, out: &mut Effects) {
        // The pod that it should go for may be gone or bound.
        let wanted = self.pending.get(key).is_some_and(|pod| pod.victims.get(&victim) == Some(uid));
        if !wanted {
            return;
        }
        if !matches!(answer, Answer::Object { .. }) {
            return self.evicted(now, key, &victim, answer);
        }
        if let Some(object) = self.pods.object(&victim).cloned() {
            let node = self.pods.get::<Pod>(&victim).and_then(Pod::node).unwrap_or_default().to_owned();
            let of = self.pending.get(key).map(|pod| pod.uid.clone()).unwrap_or_default();
            let message = format!("Preempted by pod {of} on node {node}");
            self.recorder.tell(now, &object, Tone::Normal, "Preempted", message, out);
        }
        // The pod's own grace period: it may end in order.
        let grace_seconds = if planted!(PreemptsAtOnce) { Some(0) } else { None };
        let options = DeleteOptions { uid: Some(uid.to_string()), grace_seconds, ..DeleteOptions::default() };
        self.open += 1;
        let ask = Ask::Evict { key: key.clone(), victim: victim.clone() };
        self.calls.call(now, ask, Verb::Delete { key: victim, options }, out);
    }

    /// It was asked to go. If that came to nothing, the pod it should go for is decided again after a delay.
    fn evicted(&mut self, now: Now, key: &Key, victim: &Key, answer: &Answer) {
        let Some(pod) = self.pending.get_mut(key) else { return };
        match answer {
            // The view will show it.
            Answer::Object { .. } | Answer::Removed(_) => {}
            Answer::Refused(_) | Answer::Lost(_) | Answer::List { .. } | Answer::Watching => {
                pod.victims.remove(victim);
                pod.failures = pod.failures.saturating_add(1);
                if let Stage::Parked = pod.stage {
                    self.due.set_if_earlier(key.clone(), now.mono + RETRY.delay(pod.failures));
                }
            }
        }
    }

    /// A node is not kept for the pod any more.
    fn give_up_nomination(&mut self, key: &Key) {
        if let Some(pod) = self.pending.get_mut(key)
            && let Some(node) = pod.nominated.take()
        {
            pod.victims.clear();
            let uid = pod.uid.clone();
            self.nodes.dismiss(&node, &uid);
            self.gain(&node);
        }
    }

    /// Less important pods that are expected on a node look for another one.
    fn make_way(&mut self, node: &str, facts: &PodFacts) {
        let Some(at) = self.nodes.find(node) else { return };
        let less = self.nodes.facts(at).nominated.iter().filter(|one| one.facts.priority < facts.priority);
        for key in less.map(|one| one.key.clone()).collect::<Vec<_>>() {
            self.give_up_nomination(&key);
            if matches!(self.pending.get(&key).map(|pod| &pod.stage), Some(Stage::Parked)) {
                self.enter(&key, Stage::Queued);
            }
        }
    }
}

/// Where pods are kept.
impl Scheduler {
    fn views(&self) -> [&Informer; 6] {
        [&self.pods, &self.nodes_seen, &self.namespaces, &self.budgets_seen, &self.claims, &self.volumes]
    }

    /// One more of a kin is pending.
    fn enroll(&mut self, id: KinId, facts: &Arc<PodFacts>) {
        let kin = self.kin.entry(id).or_insert_with(|| Kin {
            facts: facts.clone(),
            pods: 0,
            standing: None,
            parked: BTreeSet::new(),
            obstacles: Obstacles::default(),
            moved: 0,
            found: None,
        });
        kin.pods += 1;
    }

    /// One of a kin is not pending any more.
    fn retire(&mut self, id: KinId) {
        let Some(kin) = self.kin.get_mut(&id) else { return };
        kin.pods -= 1;
        if kin.pods > 0 || self.idle.contains(&id) {
            return;
        }
        self.idle.push_back(id);
        if self.idle.len() > IDLE_MAX
            && let Some(first) = self.idle.pop_front()
            && self.kin.get(&first).is_some_and(|kin| kin.pods == 0)
        {
            self.kin.remove(&first);
            self.made.retain(|one| *one != first);
        }
    }

    /// A pod enters a stage, and leaves the one it was in. It does not leave the node it counts on: see
    /// [`Scheduler::delay`].
    fn enter(&mut self, key: &Key, stage: Stage) {
        let pod = self.pending.get_mut(key).expect("only pending pods have stages");
        self.due.remove(key);
        let kin = (pod.facts.class, pod.strategy);
        match pod.stage {
            Stage::Queued => drop(self.queue.remove(&pod.place)),
            Stage::Parked => drop(self.kin.get_mut(&kin).map(|kin| kin.parked.remove(&pod.place))),
            Stage::Delayed | Stage::Assumed(_) => {}
        }
        match stage {
            Stage::Queued => drop(self.queue.insert(pod.place.clone())),
            Stage::Parked => drop(self.kin.get_mut(&kin).map(|kin| kin.parked.insert(pod.place.clone()))),
            Stage::Delayed | Stage::Assumed(_) => {}
        }
        pod.stage = stage;
    }

    /// No node takes the pod.
    fn park(&mut self, now: Now, key: &Key, obstacles: Obstacles) {
        self.enter(key, Stage::Parked);
        let pod = &self.pending[key];
        if let Some(kin) = self.kin.get_mut(&pod.kin()) {
            kin.obstacles = obstacles;
            kin.moved = kin.standing.as_ref().map_or(u64::MAX, Standing::moved);
        }
        self.due.set(key.clone(), now.mono + FLUSH);
    }

    /// Nothing is pending about this pod any more. Returns where it was assumed, which still counts.
    fn drop_pending(&mut self, key: &Key) -> Option<Assumed> {
        self.give_up_nomination(key);
        let pod = self.pending.remove(key)?;
        self.due.remove(key);
        self.queue.remove(&pod.place);
        self.with_claims.remove(key);
        self.reserving.remove(key);
        if let Some(kin) = self.kin.get_mut(&pod.kin()) {
            kin.parked.remove(&pod.place);
        }
        self.retire(pod.kin());
        for one in pod.reserved {
            self.release(&one.node, &one.facts, false);
        }
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
        if let Stage::Assumed(Assumed { node, facts, .. }) = pod.stage.clone() {
            self.release(&node, &facts, false);
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
    fn release(&mut self, node: &str, facts: &PodFacts, leaving: bool) {
        if self.nodes.release(node, facts, leaving) && !planted!(NotWokenByRoom) {
            self.gain(node);
        }
    }

    /// There is more room on a node.
    fn gain(&mut self, node: &str) {
        match self.gains.get_mut(node) {
            Some(gains) => gains.extend(Gain::PodLeft.removes()),
            None => drop(self.gains.insert(node.into(), Gain::PodLeft.removes())),
        }
    }

    /// By which strategy a pod gets a node from this scheduler, if it does.
    fn wants_node(&self, pod: &Pod) -> Option<Strategy> {
        let name = match pod.spec.scheduler_name.as_str() {
            "" => DEFAULT_SCHEDULER,
            name => name,
        };
        let gated = !pod.spec.scheduling_gates.is_empty() && !planted!(IgnoresGates);
        if pod.node().is_some() || !pod.is_active() || gated {
            return None;
        }
        let own = (name == self.options.name).then_some(self.options.strategy);
        own.or_else(|| self.options.profiles.get(name).copied())
    }
}

/// Whether other pods have a say in which nodes take a kin.
fn looks_around(kin: &Kin, nodes: &Nodes) -> bool {
    match &kin.standing {
        Some(standing) => standing.looks_around(),
        None => nodes.neighbours().concern(&kin.facts),
    }
}

/// Whether the node for which others have gone takes the pod, which does not stand in its own way there.
fn takes_expected(standing: &Standing, nodes: &Nodes, at: NodeIndex, uid: &str) -> bool {
    let mut node = nodes.facts(at).clone();
    node.nominated.retain(|one| *one.uid != *uid);
    refusal_by_node(&standing.facts, &node).is_none()
        && standing::spread(standing, nodes, at).or_else(|| standing::affinity(standing, nodes, at)).is_none()
}

/// The node that a pod counts on, as the view shows it, and whether it is being deleted.
fn counts(object: &Object) -> Option<(&str, &Pod, bool)> {
    let pod = object.get::<Pod>()?;
    let leaving = pod.metadata.is_deleting();
    let freed = planted!(FreesAtDeletion) && leaving;
    let node = pod.node().filter(|_| (!pod.status.phase.is_final() || planted!(FinishedTakeRoom)) && !freed)?;
    Some((node, pod, leaving))
}

/// Whether a pod counts as it did: most changes are of its status alone.
fn counts_the_same(old: &Object, new: &Object) -> bool {
    match (counts(old), counts(new)) {
        (None, None) => true,
        (Some((node, pod, leaving)), Some((now, new, leaves))) => {
            node == now
                && leaving == leaves
                && pod.metadata.labels == new.metadata.labels
                && (Arc::ptr_eq(&pod.spec, &new.spec) || alike(&pod.spec, &new.spec))
        }
        _ => false,
    }
}

/// For which node others have gone, or go.
fn nominated(pod: &Pod) -> Option<Arc<str>> {
    Some(pod.status.nominated_node_name.as_str()).filter(|node| !node.is_empty()).map(Arc::from)
}

fn place(key: &Key, pod: &Pod) -> Place {
    let priority = Reverse(if planted!(PriorityReversed) {
        -pod.spec.priority.unwrap_or(0)
    } else {
        pod.spec.priority.unwrap_or(0)
    });
    Place { priority, created: pod.metadata.creation_timestamp, key: key.clone() }
}

/// A pod for which a bind was asked, with what its answer changes.
struct Doubt<'a> {
    facts: &'a Arc<PodFacts>,
    failures: &'a mut u32,
    earlier: &'a mut Earlier,
    reserved: &'a mut Vec<Reserved>,
    assumed: &'a mut Assumed,
}

/// The pod, if it is still this one and is being bound.
fn assumed<'a>(pending: &'a mut BTreeMap<Key, Pending>, key: &Key, uid: &str) -> Option<Doubt<'a>> {
    let pod = pending.get_mut(key).filter(|pod| *pod.uid == *uid)?;
    match &mut pod.stage {
        Stage::Assumed(assumed) => Some(Doubt {
            facts: &pod.facts,
            failures: &mut pod.failures,
            earlier: &mut pod.earlier,
            reserved: &mut pod.reserved,
            assumed,
        }),
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

/// What its status says about why it has no node, and for which one others go.
fn reported(pod: &Pod) -> Option<(String, String)> {
    let condition = pod.status.conditions.iter().find(|condition| condition.kind == "PodScheduled")?;
    (condition.status == "False" && condition.reason == "Unschedulable")
        .then(|| (condition.message.clone(), pod.status.nominated_node_name.clone()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::object::Resource;
    use crate::apiserver::{self, ApiServer};
    use crate::program::{CallId, Committed, DeleteOptions, Effect, RequestId, Revision};
    use crate::rng::Draw;
    use crate::scheduler::examples::{NodeExample, PodExample, node, pod};
    use crate::store::Store;
    use crate::time::Wall;
    use quickcheck::{Arbitrary, Gen, quickcheck};
    use std::collections::VecDeque;

    /// What becomes of a call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        Arrives,
        /// It never reaches the server.
        RequestLost,
        /// It is carried out, and the answer is lost.
        ReplyLost,
        /// It reaches the server long after it was given up.
        Late,
    }

    /// The real API server, whose writes are durable at once, the scheduler, and what lies between.
    struct World {
        server: ApiServer,
        scheduler: Scheduler,
        now: Now,
        revision: u64,
        requests: u64,
        calls: BTreeMap<RequestId, CallId>,
        deaf: BTreeSet<RequestId>,
        answered: Option<Answer>,
        inbox: VecDeque<Input>,
        late: VecDeque<(Instant, CallId, Verb)>,
        /// Calls wait here while they are held.
        held: Option<Vec<(CallId, Verb)>>,
        fate: Box<dyn Fn(u64) -> Fate>,
        made: u64,
        wake_at: Option<Instant>,
        log: Vec<String>,
        writes: Vec<String>,
        /// The most that a node of this number ever offered. Nodes do not shrink here, not even by being replaced: what
        /// shrinks under a pod that is being bound is nobody's over-commitment.
        milli: [u32; 4],
    }

    impl World {
        fn with(options: SchedulerOptions) -> Self {
            let mut world = World {
                server: ApiServer::new(apiserver::Options::with_seed(1), Store::default()),
                scheduler: Scheduler::new(options),
                now: Now { mono: Instant::from_nanos(0), wall: Wall::from_secs(1_800_000_000) },
                revision: 0,
                requests: 0,
                calls: BTreeMap::new(),
                deaf: BTreeSet::new(),
                answered: None,
                inbox: VecDeque::new(),
                late: VecDeque::new(),
                held: None,
                fate: Box::new(|_| Fate::Arrives),
                made: 0,
                wake_at: Some(Instant::default()),
                log: Vec::new(),
                writes: Vec::new(),
                milli: [0; 4],
            };
            world.serve(Input::Wake);
            world
        }

        fn new() -> Self {
            World::with(SchedulerOptions::default())
        }

        fn serve(&mut self, input: Input) {
            let mut out = Effects::default();
            self.server.step(self.now, input, &mut out);
            for effect in out.list {
                match effect {
                    Effect::Commit { commit, .. } => {
                        self.revision += 1;
                        let outcome = Committed::At(Revision(self.revision));
                        self.serve(Input::Committed { commit, outcome });
                    }
                    Effect::Answer { to, answer } => match self.calls.get(&to) {
                        Some(_) if self.deaf.contains(&to) => {}
                        Some(call) => self.inbox.push_back(Input::Reply { call: *call, answer }),
                        None => self.answered = Some(answer),
                    },
                    Effect::Event { to, event } if !self.deaf.contains(&to) => {
                        self.inbox.extend(self.calls.get(&to).map(|call| Input::Event { call: *call, event }));
                    }
                    Effect::End { to } => {
                        self.inbox.extend(self.calls.get(&to).map(|call| Input::Ended { call: *call }));
                    }
                    _ => {}
                }
            }
        }

        fn request(&mut self, call: Option<CallId>, verb: Verb) -> RequestId {
            self.requests += 1;
            let from = RequestId(self.requests);
            if let Some(call) = call {
                self.calls.insert(from, call);
                match &verb {
                    Verb::Bind { key, node, .. } => self.writes.push(format!("bind {} {node}", key.name)),
                    Verb::Update { object, part: Part::Status } => {
                        self.writes.push(format!("status {}", object.meta().name));
                    }
                    _ => {}
                }
            }
            let bind = if let Verb::Bind { node, .. } = &verb { Some(node.clone()) } else { None };
            self.serve(Input::Request { from, request: verb.into() });
            if let Some(node) = bind {
                self.check_fit(&node);
            }
            from
        }

        fn call(&mut self, call: CallId, verb: Verb) {
            self.made += 1;
            match (self.fate)(self.made) {
                Fate::Arrives => drop(self.request(Some(call), verb)),
                Fate::RequestLost => {}
                Fate::ReplyLost => {
                    self.deaf.insert(RequestId(self.requests + 1));
                    self.request(Some(call), verb);
                }
                Fate::Late => self.late.push_back((self.now.mono + Duration::from_secs(33), call, verb)),
            }
        }

        fn step(&mut self, input: Input) {
            let mut out = Effects::default();
            self.scheduler.step(self.now, input, &mut out);
            if out.wake_at.is_none_or(|at| at > self.now.mono) {
                let mut idle = Effects::default();
                self.scheduler.step(self.now, Input::Wake, &mut idle);
                assert_eq!((idle.list.as_slice(), idle.wake_at), ([].as_slice(), out.wake_at), "woken for nothing");
            }
            self.wake_at = out.wake_at;
            for effect in out.list {
                match effect {
                    Effect::Call { call, request } => match &mut self.held {
                        Some(held) => held.push((call, request.verb)),
                        None => self.call(call, request.verb),
                    },
                    Effect::Cancel { call } => {
                        let from = self.calls.iter().find(|(_, of)| **of == call).map(|(from, _)| *from);
                        from.into_iter().for_each(|from| self.serve(Input::Gone { from }));
                    }
                    Effect::Log { level: Level::Info, line } => self.log.push(line),
                    _ => {}
                }
            }
        }

        fn release(&mut self) {
            for (call, verb) in self.held.take().unwrap_or_default() {
                self.call(call, verb);
            }
        }

        /// Lets so many seconds pass, and all that happens in them.
        fn pass(&mut self, secs: u64) {
            let end = self.now.mono + Duration::from_secs(secs);
            for steps in 0.. {
                assert!(steps < 10_000, "a hot loop: {:?}", self.scheduler);
                if let Some(input) = self.inbox.pop_front() {
                    self.step(input);
                    continue;
                }
                let late = self.late.front().map(|(at, ..)| *at);
                let next = self.wake_at.into_iter().chain(late).min().filter(|at| *at <= end).unwrap_or(end);
                self.now.wall = self.now.wall + next.since(self.now.mono);
                self.now.mono = next.max(self.now.mono);
                if self.late.front().is_some_and(|(at, ..)| *at <= next) {
                    let (_, call, verb) = self.late.pop_front().unwrap();
                    self.request(Some(call), verb);
                } else if self.wake_at.is_some_and(|at| at <= next) {
                    self.step(Input::Wake);
                } else {
                    return;
                }
            }
        }

        fn ask(&mut self, verb: Verb) {
            self.request(None, verb);
            let answer = self.answered.take();
            assert!(matches!(answer, Some(Answer::Object { .. } | Answer::Removed(_))), "{answer:?}");
        }

        fn add(&mut self, node: NodeExample) {
            self.ask(Verb::Create { object: node.0.into_object() });
        }

        fn create(&mut self, mut pod: PodExample) {
            // A pod has its priority from a class.
            if let Some(priority) = pod.0.spec.priority.filter(|priority| *priority != 0) {
                let name = format!("p{priority}");
                let class = Key::new(Kind::PriorityClass, "", &name);
                if self.server.store().get(&class).is_none() {
                    let class = serde_json::json!({"metadata": {"name": name}, "value": priority});
                    let object = Object::from_value(Kind::PriorityClass, class).unwrap();
                    self.ask(Verb::Create { object });
                }
                Arc::make_mut(&mut pod.0.spec).priority_class_name = name.into();
            }
            self.ask(Verb::Create { object: pod.0.into_object() });
        }

        fn change_node(&mut self, name: &str, node: NodeExample) {
            let stored = self.server.store().get(&Key::new(Kind::Node, "", name)).unwrap().clone();
            let mut new = node.0;
            new.metadata = crate::api::meta::ObjectMeta { labels: new.metadata.labels, ..stored.meta().clone() };
            new.metadata.resource_version.clear();
            let object = new.into_object();
            self.ask(Verb::Update { object: object.clone(), part: Part::Main });
            self.ask(Verb::Update { object, part: Part::Status });
        }

        fn finish(&mut self, name: &str) {
            let patch = serde_json::json!({"status": {"phase": "Succeeded"}});
            self.ask(Verb::Merge { key: key(name), patch, part: Part::Status });
        }

        fn delete(&mut self, key: Key, grace: i64) {
            let options = DeleteOptions { grace_seconds: Some(grace), ..Default::default() };
            self.ask(Verb::Delete { key, options });
        }

        fn pod(&self, name: &str) -> Option<&Pod> {
            self.server.store().get(&key(name))?.get()
        }

        fn condition(&self, name: &str) -> String {
            let conditions = &self.pod(name).unwrap().status.conditions;
            let one = conditions.iter().find(|one| one.kind == "PodScheduled");
            one.map_or("-".into(), |one| format!("{} {} {}", one.status, one.reason, one.message))
        }

        /// Where the pods are: `a=n1 b=-`.
        fn places(&self) -> String {
            let query = Query::all(Kind::Pod);
            let pods = self.server.store().list(&query).filter_map(Object::get::<Pod>);
            pods.map(|pod| format!("{}={}", pod.metadata.name, pod.node().unwrap_or("-"))).collect::<Vec<_>>().join(" ")
        }

        fn events(&self) -> Vec<String> {
            let query = Query::all(Kind::Event);
            let mut events: Vec<String> = self
                .server
                .store()
                .list(&query)
                .filter_map(Object::get::<crate::api::event::Event>)
                .map(|event| format!("{} {} {}: {}", event.count.unwrap_or(0), event.kind, event.reason, event.message))
                .collect();
            events.sort();
            events
        }

        /// The nodes and their usage, added up anew from the store.
        fn truth(&self) -> Nodes {
            let mut nodes = Nodes::default();
            for node in self.server.store().list(&Query::all(Kind::Node)).filter_map(Object::get::<Node>) {
                nodes.set(node);
            }
            for pod in self.server.store().list(&Query::all(Kind::Pod)) {
                if let Some((node, pod, leaving)) = counts(pod) {
                    let facts = nodes.pod_facts(pod, &[]);
                    nodes.charge(node, &facts, leaving);
                }
            }
            nodes
        }

        fn check_fit(&self, node: &str) {
            let nodes = self.truth();
            if let Some(at) = nodes.find(node) {
                let facts = nodes.facts(at);
                let fits = facts.usage.amount.cpu_milli <= facts.allocatable_cpu_milli
                    && facts.usage.amount.memory <= facts.allocatable_memory
                    && facts.usage.pods <= facts.allocatable_pods;
                assert!(fits, "{node} is over-committed: {}", self.places());
            }
        }

        /// Everything the scheduler counts is true, and no pod waits that a node would take.
        fn check_settled(&self) {
            // Room that is reserved or expected counts, but not against the pod itself.
            let reserved = |nodes: &mut Nodes, but: &str| {
                for (key, one) in self.scheduler.pending.iter().filter(|(_, one)| *one.uid != *but) {
                    let pod = self.server.store().get(key).and_then(Object::get::<Pod>).unwrap();
                    let facts = nodes.pod_facts(pod, &[]);
                    one.reserved.iter().for_each(|room| {
                        nodes.charge(&room.node, &facts, false);
                    });
                    one.nominated.iter().for_each(|node| nodes.nominate(node, key, &one.uid, &facts));
                }
            };
            let mut truth = self.truth();
            reserved(&mut truth, "");
            let usage = |nodes: &Nodes| nodes.iter().map(|(_, node)| node.usage.clone()).collect::<Vec<_>>();
            assert_eq!(usage(&truth), usage(&self.scheduler.nodes), "{}", self.places());
            for pod in self.server.store().list(&Query::all(Kind::Pod)).filter_map(Object::get::<Pod>) {
                if self.scheduler.wants_node(pod).is_some() {
                    let mut truth = self.truth();
                    reserved(&mut truth, &pod.metadata.uid);
                    let facts = truth.pod_facts(pod, &[]);
                    let standing = Standing::new(facts, Strategy::default(), &truth);
                    let takes = truth.order().iter().find(|at| standing.takes(&truth, **at));
                    assert!(takes.is_none(), "a node takes {}: {}", pod.metadata.name, self.places());
                    let key = key(&pod.metadata.name);
                    let pending = &self.scheduler.pending[&key];
                    assert!(self.scheduler.kin[&pending.kin()].parked.contains(&pending.place));
                }
            }
            let [queued, _, delayed, assumed] = self.scheduler.waiting();
            assert_eq!((queued, delayed, assumed, self.scheduler.open), (0, 0, 0, 0));
        }
    }

    fn key(name: &str) -> Key {
        Key::new(Kind::Pod, "default", name)
    }

    #[test]
    fn binds_and_tells() {
        let mut world = World::new();
        for name in ["node-1", "node-2"] {
            world.add(node(name));
        }
        for name in ["a", "b", "c", "d"] {
            world.create(pod(name));
        }
        world.pass(1);
        assert_eq!(world.places(), "a=node-1 b=node-2 c=node-1 d=node-2");
        assert_eq!(world.log[0], "scheduler: assigning pod a to node node-1");
        assert_eq!(world.log.len(), 4);
        assert_eq!(world.events()[0], "1 Normal Scheduled: Successfully assigned default/a to node-1");
        assert_eq!(world.events().len(), 4);
        world.check_settled();
        let before = world.revision;
        world.pass(3600);
        assert_eq!(world.revision, before, "a settled scheduler writes nothing");
    }

    #[test]
    fn the_most_important_first_and_only_ones_own() {
        let mut world = World::new();
        world.add(node("n").offers("pods", "2"));
        world.create(pod("bound").on("m"));
        world.create(pod("a"));
        world.create(pod("b").priority(7));
        world.create(pod("c").priority(7));
        let mut other = pod("other").0;
        Arc::make_mut(&mut other.spec).scheduler_name = "mine".into();
        world.create(PodExample(other));
        world.pass(1);
        assert_eq!(world.places(), "a=- b=n bound=m c=n other=-");
        assert_eq!((world.condition("other").as_str(), world.scheduler.waiting()), ("-", [0, 1, 0, 0]));
    }

    #[test]
    fn says_why_and_tries_again_when_it_could_help() {
        let mut world = World::new();
        world.create(pod("a").requests("cpu", "3").selects("disk", "ssd"));
        world.pass(1);
        assert_eq!(world.condition("a"), "False Unschedulable no nodes available to schedule pods");
        world.add(node("n1").offers("cpu", "2").label("disk", "ssd"));
        world.add(node("n2").cordoned());
        world.pass(1);
        let told = world.events().join("\n");
        assert_eq!(told, "1 Warning FailedScheduling: no nodes available to schedule pods", "no node could take it");
        world.pass(300);
        let message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 nodes are \
                       available: 2 Preemption is not helpful for scheduling.";
        assert_eq!(world.condition("a"), format!("False Unschedulable {message}"));
        assert_eq!(world.events()[0], format!("1 Warning FailedScheduling: {message}"));
        world.writes.clear();
        world.pass(3600);
        assert!(world.writes.is_empty(), "what was said is not said again");
        world.change_node("n2", node("n2"));
        world.pass(1);
        assert_eq!(world.places(), "a=-");
        world.change_node("n2", node("n2").label("disk", "ssd"));
        world.pass(1);
        assert_eq!((world.places().as_str(), world.condition("a").as_str()), ("a=n2", "True  "));
        world.check_settled();
    }

    fn full_node() -> World {
        let mut world = World::new();
        world.add(node("n").offers("cpu", "1"));
        world.create(pod("low").requests("cpu", "1"));
        world.pass(1);
        assert_eq!(world.places(), "low=n");
        world
    }

    #[test]
    fn the_less_important_go_for_a_more_important_one() {
        let mut world = full_node();
        world.create(pod("high").priority(7).requests("cpu", "1"));
        world.create(pod("middle").priority(5).requests("cpu", "1"));
        world.pass(1);
        assert_eq!(world.pod("high").unwrap().status.nominated_node_name, "n");
        assert_eq!(world.pod("middle").unwrap().status.nominated_node_name, "");
        let low = world.pod("low").unwrap();
        let told = low.status.conditions.iter().find(|one| one.kind == "DisruptionTarget").unwrap();
        assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "PreemptionByScheduler"));
        assert_eq!(low.metadata.deletion_grace_period_seconds, Some(30));
        let message = "0/1 nodes are available: 1 Insufficient cpu.";
        assert_eq!(world.condition("high"), format!("False Unschedulable {message}"));
        let writes = world.writes.len();
        world.pass(60);
        assert_eq!(world.writes.len(), writes, "it waits for its turn");
        world.delete(key("low"), 0);
        world.pass(1);
        assert_eq!(world.places(), "high=n middle=-");
        world.check_settled();
    }

    #[test]
    fn who_may_not_make_others_go_waits() {
        let mut world = full_node();
        let class = serde_json::json!({"metadata": {"name": "p7"}, "value": 7, "preemptionPolicy": "Never"});
        world.ask(Verb::Create { object: Object::from_value(Kind::PriorityClass, class).unwrap() });
        world.create(pod("patient").priority(7).requests("cpu", "1"));
        world.pass(1);
        let message = "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to \
                       preemptionPolicy=Never.";
        assert_eq!(world.condition("patient"), format!("False Unschedulable {message}"));
        assert!(!world.pod("low").unwrap().metadata.is_deleting());
        world.check_settled();
    }

    #[test]
    fn preemption_gets_there_whatever_call_is_lost() {
        let run = |nth: u64, fate: Fate| {
            let mut world = full_node();
            world.fate = Box::new(move |made| if made == nth { fate } else { Fate::Arrives });
            world.create(pod("high").priority(7).requests("cpu", "1"));
            world.pass(100);
            assert!(world.pod("low").unwrap().metadata.is_deleting(), "call {nth}: {fate:?}");
            world.delete(key("low"), 0);
            world.pass(400);
            assert_eq!(world.places(), "high=n", "call {nth}: {fate:?}");
            world.check_settled();
            world.made
        };
        let before = full_node().made;
        let calls = run(0, Fate::Arrives);
        for nth in before + 1..=calls {
            for fate in [Fate::RequestLost, Fate::ReplyLost, Fate::Late] {
                run(nth, fate);
            }
        }
    }

    #[test]
    fn gates_profiles_and_volumes() {
        let profiles = [("mine".to_owned(), Strategy::MostAllocated)].into();
        let mut world = World::with(SchedulerOptions { profiles, ..Default::default() });
        for name in ["n1", "n2"] {
            world.add(node(name).label("host", name));
        }
        world.create(pod("gated").spec(serde_json::json!({"schedulingGates": [{"name": "a/b"}]})));
        for name in ["a", "b"] {
            world.create(pod(name).spec(serde_json::json!({"schedulerName": "mine"})));
        }
        world.pass(1);
        assert_eq!(world.places(), "a=n1 b=n1 gated=-");
        assert!(world.condition("gated").starts_with("False SchedulingGated"));
        let patch = serde_json::json!({"spec": {"schedulingGates": null}});
        world.ask(Verb::Merge { key: key("gated"), patch, part: Part::Main });
        world.pass(1);
        assert_eq!(world.places(), "a=n1 b=n1 gated=n2");
        // A volume that can be reached from one node alone, once its claim is bound.
        let volume = serde_json::json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "local": {"path": "/v"}, "nodeAffinity": {"required": {"nodeSelectorTerms":
            [{"matchExpressions": [{"key": "host", "operator": "In", "values": ["n3"]}]}]}}}});
        world.ask(Verb::Create { object: Object::from_value(Kind::PersistentVolume, volume).unwrap() });
        let claim = serde_json::json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {"volumeName": "v",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        world.ask(Verb::Create { object: Object::from_value(Kind::PersistentVolumeClaim, claim).unwrap() });
        let volumes = serde_json::json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
        world.create(pod("v").spec(volumes));
        world.pass(1);
        assert!(
            world.condition("v").contains("2 node(s) had volume node affinity conflict"),
            "{}",
            world.condition("v")
        );
        world.add(node("n3").label("host", "n3"));
        world.pass(1);
        assert_eq!(world.places(), "a=n1 b=n1 gated=n2 v=n3");
    }

    #[test]
    fn who_waits_for_others_hears_of_them() {
        let near = serde_json::json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}});
        let away = serde_json::json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}});
        let mut world = World::new();
        for name in ["n1", "n2"] {
            world.add(node(name).label("host", name));
        }
        world.create(pod("near").spec(near));
        world.pass(1);
        assert_eq!(world.places(), "near=-");
        world.create(pod("w1").label("app", "web"));
        world.pass(1);
        assert_eq!(world.places(), "near=n1 w1=n1");
        world.create(pod("w2").label("app", "web").selects("host", "n2"));
        world.create(pod("away").spec(away));
        world.pass(1);
        assert_eq!(world.places(), "away=- near=n1 w1=n1 w2=n2");
        world.delete(key("w2"), 0);
        world.pass(1);
        assert_eq!(world.places(), "away=n2 near=n1 w1=n1");
    }

    #[test]
    fn a_pod_that_leaves_makes_room_for_as_many_as_fit() {
        let mut world = World::new();
        world.add(node("n").offers("cpu", "1"));
        world.create(pod("a").requests("cpu", "1"));
        world.pass(1);
        for name in ["b", "c", "d"] {
            world.create(pod(name).requests("cpu", "500m"));
        }
        world.pass(1);
        world.writes.clear();
        world.delete(key("a"), 30);
        world.pass(1);
        assert!(world.writes.is_empty(), "a terminating pod counts until it is gone");
        world.delete(key("a"), 0);
        world.pass(1);
        assert_eq!((world.places().as_str(), world.writes.len()), ("b=n c=n d=-", 2), "d is not disturbed");
        world.finish("b");
        world.pass(1);
        assert_eq!(world.places(), "b=n c=n d=n");
        world.check_settled();
    }

    #[test]
    fn a_bind_that_is_refused_frees_the_node() {
        let mut world = World::new();
        world.add(node("n1"));
        world.add(node("n2").cordoned());
        world.pass(1);
        world.held = Some(Vec::new());
        world.create(pod("a").requests("cpu", "4"));
        world.pass(0);
        let uid = world.pod("a").unwrap().metadata.uid.as_str().into();
        world.ask(Verb::Bind { key: key("a"), uid, node: "n2".into() });
        world.release();
        world.create(pod("b").requests("cpu", "4"));
        world.pass(20);
        assert_eq!(world.places(), "a=n2 b=n1");
        world.check_settled();
    }

    #[test]
    fn pods_and_nodes_that_vanish_leave_no_ghosts() {
        let check = |what: &str, happens: fn(&mut World), want: &str| {
            let mut world = World::new();
            world.add(node("n1"));
            world.pass(1);
            world.held = Some(Vec::new());
            world.create(pod("a").requests("cpu", "4"));
            world.pass(0);
            happens(&mut world);
            world.pass(0);
            world.release();
            world.pass(100);
            assert_eq!(world.places(), want, "{what}");
            world.check_settled();
        };
        check("the pod is deleted while it is being bound", |world| world.delete(key("a"), 0), "");
        check(
            "another pod of the name takes its place",
            |world| {
                world.delete(key("a"), 0);
                world.create(pod("a").requests("cpu", "3"));
            },
            "a=n1",
        );
        check(
            "the node goes and comes back",
            |world| {
                world.delete(Key::new(Kind::Node, "", "n1"), 0);
                world.add(node("n1"));
            },
            "a=n1",
        );
        check(
            "the node goes, and the bind is lost",
            |world| {
                world.held.as_mut().unwrap().clear();
                world.delete(Key::new(Kind::Node, "", "n1"), 0);
                world.add(node("n2"));
            },
            "a=n2",
        );
    }

    #[test]
    fn any_one_call_may_be_lost_or_late() {
        let run = |nth: u64, fate: Fate| {
            let mut world = World::new();
            world.fate = Box::new(move |made| if made == nth { fate } else { Fate::Arrives });
            world.add(node("n1").offers("cpu", "1"));
            world.create(pod("a").requests("cpu", "1"));
            world.create(pod("b").requests("cpu", "1"));
            world.pass(1);
            world.add(node("n2").offers("cpu", "1").label("x", "y"));
            world.create(pod("c").selects("x", "y"));
            world.pass(200);
            world.pass(400);
            assert_eq!(world.places(), "a=n1 b=n2 c=n2", "call {nth}: {fate:?}");
            world.check_settled();
            world.made
        };
        let calls = run(0, Fate::Arrives);
        assert!(calls > 10);
        for nth in 1..=calls {
            for fate in [Fate::RequestLost, Fate::ReplyLost, Fate::Late] {
                run(nth, fate);
            }
        }
    }

    #[test]
    fn room_is_kept_for_a_bind_that_may_still_arrive() {
        let mut world = World::new();
        world.add(node("n1").offers("cpu", "1").label("x", "y"));
        world.pass(1);
        let bind = world.made + 1;
        world.fate = Box::new(move |made| if made == bind { Fate::Late } else { Fate::Arrives });
        world.create(pod("a").requests("cpu", "1").selects("x", "y"));
        world.pass(1);
        world.change_node("n1", node("n1").offers("cpu", "1"));
        world.pass(31);
        world.create(pod("b").requests("cpu", "1"));
        world.pass(0);
        assert_eq!((world.places().as_str(), world.scheduler.waiting()), ("a=- b=-", [0, 1, 1, 0]));
        world.pass(10);
        assert_eq!(world.places(), "a=n1 b=-");
        world.add(node("n2"));
        world.pass(1);
        assert_eq!(world.places(), "a=n1 b=n2");
        world.check_settled();
    }

    #[test]
    fn decisions_wait_when_too_many_calls_are_open() {
        let mut world = World::with(SchedulerOptions { calls_max: 3, ..Default::default() });
        world.add(node("n"));
        world.pass(1);
        world.held = Some(Vec::new());
        for nth in 0..10 {
            world.create(pod(&format!("p{nth}")));
        }
        world.pass(1);
        assert_eq!(world.scheduler.waiting(), [7, 0, 0, 3]);
        world.release();
        world.pass(1);
        world.check_settled();
        assert!(!world.places().contains("=-"));
    }

    /// Something that happens to the cluster; the numbers choose nodes, pods and sizes.
    #[derive(Clone, Copy, Debug)]
    enum Happens {
        Pod { name: u8, cpu: u8, label: bool, priority: i8 },
        PodGone { name: u8, grace: bool },
        PodFinished(u8),
        Node { name: u8, cpu: u8 },
        NodeGone(u8),
        NodeIs { name: u8, ready: bool, cordoned: bool, label: bool, more: u8 },
        Pass(u8),
    }

    impl Arbitrary for Happens {
        fn arbitrary(g: &mut Gen) -> Self {
            let [a, b, c, d] = [u8::arbitrary(g), u8::arbitrary(g), u8::arbitrary(g), u8::arbitrary(g)];
            match a % 16 {
                0..=5 => Happens::Pod { name: b % 12, cpu: c % 8, label: d % 4 == 0, priority: (d % 3) as i8 },
                6 | 7 => Happens::PodGone { name: b % 12, grace: c % 2 == 0 },
                8 => Happens::PodFinished(b % 12),
                9 | 10 => Happens::Node { name: b % 4, cpu: c % 16 },
                11 => Happens::NodeGone(b % 4),
                12 | 13 => Happens::NodeIs {
                    name: b % 4,
                    ready: c % 4 > 0,
                    cordoned: c / 4 % 4 == 0,
                    label: c / 16 % 2 == 0,
                    more: d % 4,
                },
                _ => Happens::Pass(b % 40),
            }
        }
    }

    impl World {
        fn happens(&mut self, what: Happens) {
            let node_key = |name: u8| Key::new(Kind::Node, "", &format!("n{name}"));
            let (pod_name, milli) = (|name: u8| format!("p{name}"), |cpu: u8| format!("{}m", u32::from(cpu) * 100));
            let has = |world: &World, key: &Key| world.server.store().get(key).is_some();
            match what {
                Happens::Pod { name, cpu, label, priority } => {
                    let name = pod_name(name);
                    if !has(self, &key(&name)) {
                        let pod = pod(&name).requests("cpu", &milli(cpu)).priority(priority.into());
                        self.create(if label { pod.selects("x", "y") } else { pod });
                    }
                }
                Happens::PodGone { name, grace } => {
                    let key = key(&pod_name(name));
                    if has(self, &key) {
                        self.delete(key, if grace { 30 } else { 0 });
                    }
                }
                Happens::PodFinished(name) => {
                    let name = pod_name(name);
                    if self.pod(&name).is_some_and(|pod| pod.node().is_some() && !pod.status.phase.is_final()) {
                        self.finish(&name);
                    }
                }
                Happens::Node { name, cpu } => {
                    if !has(self, &node_key(name)) {
                        let most = &mut self.milli[usize::from(name)];
                        *most = (*most).max(u32::from(cpu) * 100);
                        let cpu = format!("{most}m");
                        self.add(node(&format!("n{name}")).offers("cpu", &cpu).offers("pods", "4"));
                    }
                }
                Happens::NodeGone(name) => {
                    if has(self, &node_key(name)) {
                        self.delete(node_key(name), 0);
                    }
                }
                Happens::NodeIs { name, ready, cordoned, label, more } => {
                    if has(self, &node_key(name)) {
                        self.milli[usize::from(name)] += u32::from(more) * 100;
                        let cpu = format!("{}m", self.milli[usize::from(name)]);
                        let name = format!("n{name}");
                        let node = node(&name).offers("cpu", &cpu).offers("pods", "4");
                        let node = node.ready(if ready { "True" } else { "Unknown" });
                        let node = if cordoned { node.cordoned() } else { node };
                        self.change_node(&name, if label { node.label("x", "y") } else { node });
                    }
                }
                Happens::Pass(secs) => self.pass(secs.into()),
            }
        }
    }

    fn live(strategy: u8, seed: u64, lost_percent: u64, story: &[Happens]) {
        use Strategy::{LeastAllocated, MostAllocated, Random, RoundRobin};
        let strategy = [LeastAllocated, MostAllocated, RoundRobin, Random][usize::from(strategy % 4)];
        let mut world = World::with(SchedulerOptions { strategy, seed, calls_max: 4, ..Default::default() });
        let draw = Draw::new(seed).key("fate");
        world.fate = Box::new(move |made| match draw.count(made) {
            draw if !draw.chance(lost_percent, 100) => Fate::Arrives,
            draw => [Fate::RequestLost, Fate::ReplyLost, Fate::Late][draw.count(0).below(3) as usize],
        });
        story.iter().for_each(|what| world.happens(*what));
        world.fate = Box::new(|_| Fate::Arrives);
        // Less than the flush: what could help must have woken the pods.
        world.pass(200);
        world.check_settled();
        // The flush may say again, in other words, why a pod waits; and room that was reserved becomes free.
        let before = world.writes.len();
        world.pass(900);
        let new = &world.writes[before..];
        assert!(lost_percent > 0 || new.iter().all(|write| write.starts_with("status")), "{new:?}");
        world.check_settled();
        let before = world.writes.len();
        world.pass(900);
        assert_eq!(world.writes.len(), before, "a settled scheduler writes nothing");
    }

    quickcheck! {
        fn whatever_happens_no_pod_waits_that_a_node_would_take(strategy: u8, seed: u64, story: Vec<Happens>) -> bool {
            live(strategy, seed, 0, &story);
            true
        }

        fn losses_change_nothing_in_the_end(strategy: u8, seed: u64, story: Vec<Happens>) -> bool {
            live(strategy, seed, 15, &story);
            true
        }
    }
}
