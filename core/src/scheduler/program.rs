//! The scheduler as a program: its views, its queue, and what it has asked for and not seen yet.
//!
//! A pod without a node is in one `Stage`. All pods that are queued are decided in the step that queued them, the most
//! important first, each with the earlier ones counted on their nodes; only the number of open calls bounds a batch.
//! What changes in a view changes the sums of one node. Pods that are alike are [`Kin`]: what the nodes say to them is
//! kept from one to the next, and of those that wait one asks for all. See the neighbours for what is decided.
//!
//! Below: `news` of the views, `answers` to its calls, `waking` of those that are parked, `victims` that have to go for
//! others, `nominations` of nodes that others leave.

mod answers;
mod news;
mod nominations;
mod victims;
mod waking;

use super::binding::Earlier;
use super::explain;
use super::facts::PodFacts;
use super::filters::{Unschedulable, refusal_by_node};
use super::nodes::{NodeIndex, Nodes};
use super::preemption::Budget;
use super::standing::{self, Standing};
use super::strategy::{Strategy, Turn, pick};
use super::wake_ups::{FLUSH, Gain, Obstacles};
use crate::api::by_key::ByKey;
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodCondition};
use crate::api::text::Text;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Backoff, Calls, Deadlines, Informer, informer};
use crate::decision::{Because, Decision};
use crate::program::{Effects, Input, Level, Part, Program, Query, Verb};
use crate::reasons::NOMINATED;
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
    pub profiles: BTreeMap<Text, Strategy>,
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
    on: BTreeMap<Arc<str>, ByKey<Counted>>,
    budgets: BTreeMap<Text, Vec<Budget>>,
    /// The node chosen last.
    last: Option<Arc<str>>,
    /// All pods of the view that want a node from this scheduler.
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
    uid: Text,
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
    victims: BTreeMap<Key, Text>,
    /// What was written of it and the view does not show yet: the message of its condition, and for which node others go.
    reported: Option<(Text, Text)>,
}

impl Pending {
    fn kin(&self) -> KinId {
        (self.facts.class, self.strategy)
    }

    /// Whether it is for this very pod that the other goes, and it has not given that up.
    fn waits_for(&self, going: &Going) -> bool {
        self.uid == going.preemptor_uid && self.victims.get(&going.victim) == Some(&going.victim_uid)
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
/// Far longer than anything should hold it up: connections are closed when an answer is given up. A parked pod is decided
/// again when it is over, which ends the reservation.
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
        uid: Text,
        node: Arc<str>,
    },
    Look {
        key: Key,
        uid: Text,
    },
    Report {
        key: Key,
        uid: Text,
    },
    /// Told a pod that it has to go for another.
    Condemn(Going),
    /// Asked a pod to go.
    Evict(Going),
}

/// A pod that has to go, and the one that it goes for.
#[derive(Clone, Debug)]
struct Going {
    victim: Key,
    victim_uid: Text,
    preemptor: Key,
    preemptor_uid: Text,
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
                Ask::Condemn(going) => self.condemned(now, going, &answer, out),
                Ask::Evict(going) => self.evicted(now, &going, &answer),
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

/// Decisions.
impl Scheduler {
    /// The time has come at which something was to be done about a pod that is not queued.
    fn time_came(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let Some(pod) = self.pending.get(key) else { return };
        let uid = pod.uid.clone();
        match &pod.stage {
            Stage::Parked | Stage::Delayed => self.enter(key, Stage::Queued),
            Stage::Assumed(Assumed { bind: Bind::NotKnown, .. }) => {
                self.open += 1;
                self.calls.call(now, Ask::Look { key: key.clone(), uid }, Verb::Get { key: key.clone() }, out);
            }
            Stage::Assumed(_) | Stage::Queued => {}
        }
    }

    /// Decides the queued pods, with those among them that were parked and have a node to ask again.
    fn decide_all(&mut self, now: Now, out: &mut Effects) {
        self.wake_parked();
        while self.open < self.options.calls_max
            && let Some(place) = self.queue.pop_first()
        {
            self.decide(now, &place.key, out);
            // Also if no more may be asked now: who is woken waits for an answer, not for a time. And whom room that has
            // just been given up is enough for may be more important than who is queued.
            if self.queue.is_empty() || self.open >= self.options.calls_max || !self.gains.is_empty() {
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
                if !planted!(WakesOneOnly) {
                    self.wake_next(kin, &node);
                }
                self.last = Some(node);
            }
            Err(mut why) => {
                if self.nodes.is_empty() {
                    sometimes!(NoNodes);
                    // The one that it waited for is gone, and there is no other from which somebody could go.
                    self.give_up_nomination(key);
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
            return NOMINATED.because().as_seen(&**node);
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
        let bind = Verb::Bind { key: key.clone(), uid: uid.clone(), node: node.as_ref().into() };
        self.open += 1;
        self.calls.call(now, Ask::Bind { key: key.clone(), uid, node: node.clone() }, bind, out);
    }

    /// Says in the pod's status, and as an event, why it has no node, and for which one others go; unless that was said.
    fn report(&mut self, now: Now, key: &Key, why: &Unschedulable, out: &mut Effects) {
        let Some(object) = self.pods.object(key) else { return };
        let pod = self.pending.get_mut(key).expect("only pending pods are decided");
        let new = (Text::from(why.to_string()), Text::from(pod.nominated.as_deref().unwrap_or_default()));
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
            self.recorder.tell(now, object, Tone::Warning, "FailedScheduling", new.0.to_string(), out);
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
        // Others may have the room that was kept for it as soon as none of its binds can arrive any more.
        let freed = pod.reserved.iter().map(|one| one.until).min();
        let later = now.mono + FLUSH;
        self.due.set(key.clone(), freed.map_or(later, |freed| freed.min(later)));
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
        if matches!(pod.stage, Stage::Queued) {
            self.pass_on(pod.kin());
        }
        for one in pod.reserved {
            self.release(&one.node, &one.facts, false);
        }
        match pod.stage {
            Stage::Assumed(assumed) => Some(assumed),
            Stage::Queued | Stage::Parked | Stage::Delayed => None,
        }
    }

    /// A pod is gone, or wants no node any more. A bind that is on its way is refused if the pod is being deleted, and
    /// takes no room if it has finished: so what it counted is free at once, whatever is answered.
    ///
    /// Source: Kubernetes, `pkg/scheduler/eventhandlers.go`, `handleAssumedPodDeletion`.
    fn let_go(&mut self, key: &Key) {
        let Some(Assumed { node, facts, .. }) = self.drop_pending(key) else { return };
        sometimes!(PodGoneWhileBound);
        if !planted!(LeavesRoomTaken) {
            self.release(&node, &facts, false);
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
        let profile = || {
            self.options.profiles.get(name).map(|of| if planted!(ProfilesAlike) { self.options.strategy } else { *of })
        };
        own.or_else(profile).or_else(|| planted!(TakesOthersPods).then_some(self.options.strategy))
    }
}

/// Whether the node for which others have gone takes the pod, which does not stand in its own way there. Of those as
/// important as itself only the ones before it do: two who wait for one node must not keep each other from it.
fn takes_expected(standing: &Standing, nodes: &Nodes, at: NodeIndex, uid: &str) -> bool {
    let mut node = nodes.facts(at).clone();
    let before = node.nominated.iter().take_while(|one| *one.uid != *uid).count();
    let mut nth = 0..;
    node.nominated.retain(|one| nth.next() < Some(before) || one.facts.priority > standing.facts.priority);
    refusal_by_node(&standing.facts, &node).is_none()
        && standing::spread_beside(standing, nodes, at, &node.nominated).is_none()
        && standing::affinity_beside(standing, nodes, at, &node.nominated).is_none()
}

/// What its status says about why it has no node, and for which one others go.
fn reported(pod: &Pod) -> Option<(Text, Text)> {
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
mod tests;
