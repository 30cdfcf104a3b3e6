//! The node lifecycle controller: one deadline a node, taints for nodes that are unwell, and one deadline for each pod
//! that puts up with a taint for a while.

use crate::api::by_key::ByKey;
use crate::api::kinds::Kind;
use crate::api::lease::Lease;
use crate::api::meta::Time;
use crate::api::namespace::NODE_LEASES;
use crate::api::node::Node;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::status::Status;
use crate::api::taint::{NO_EXECUTE, Taint};
use crate::api::text::Text;
use crate::client::events::{EventRecorder, Tone};
use crate::client::informer;
use crate::client::{Calls, Change, Deadlines, Informer};
use crate::controllers::attempts::Attempts;
use crate::controllers::node_lifecycle::brake::{Pace, Zone, eviction_pace, size, zone};
use crate::controllers::node_lifecycle::node_health::{self, Hearing, NODE_HEALTH, Said, node_health, say_unknown};
use crate::controllers::node_lifecycle::node_taints::{
    NODE_TAINT, Turn, Word, is_for_being_unwell, node_taint, tainted,
};
use crate::controllers::node_lifecycle::silence::{self, LeaseNow, Question, SILENCE, silence};
use crate::controllers::node_lifecycle::silent_pods::{
    self, SILENT_POD, Stay, classify, say_disrupted, say_not_ready, silent_pod,
};
use crate::controllers::node_lifecycle::stay;
use crate::decision::{Because, Decision};
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Propagation, Query, Revision, Verb};
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A node that stays silent for this long becomes NotReady.
///
/// Longer than two renewals (5 s each), so that one lost request changes nothing.
/// Source: Kubernetes, kube-controller-manager `--node-monitor-grace-period`; the value is MiniKu's.
pub const NODE_GRACE: Duration = Duration::from_secs(15);

/// So long a pod stays on a node that is not ready or silent, after that was tainted, if the pod only has the tolerations
/// that every pod is given.
///
/// Those say 300 s, as in Kubernetes, since moving a pod may mean moving its volumes. Pods here have none, so a short
/// outage of a node costs less than a long outage of its pods. With [`NODE_GRACE`] a pod is replaced some 45 s after its
/// node was last heard, longer than a machine's reboot. A pod that says another number is taken at its word.
pub const EVICTION_AFTER: Duration = Duration::from_secs(30);

/// How the controller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// See [`NODE_GRACE`].
    pub grace: Duration,
    /// See [`EVICTION_AFTER`].
    pub eviction_after: Duration,
    /// From tainting one node to tainting the next, at [`Pace::Steady`].
    ///
    /// Source: Kubernetes, `--node-eviction-rate`: 0.1 nodes a second.
    pub steady_every: Duration,
    /// The same at [`Pace::Slow`].
    ///
    /// Source: Kubernetes, `--secondary-node-eviction-rate`: 0.01 nodes a second.
    pub slow_every: Duration,
    /// How its views are kept.
    pub informer: informer::Options,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            grace: NODE_GRACE,
            eviction_after: EVICTION_AFTER,
            steady_every: Duration::from_secs(10),
            slow_every: Duration::from_secs(100),
            informer: informer::Options::default(),
        }
    }
}

/// Says which nodes have fallen silent, taints those that are unwell, and evicts the pods that do not put up with a taint.
///
/// Holds one deadline a node, and one for each pod that will have to go. A step costs O(log nodes) and what changed; when the connection to the API server comes
/// back, or the first node does after all were silent, it costs O(nodes) once.
#[derive(Debug)]
pub struct NodeLifecycle {
    options: Options,
    nodes: Informer,
    leases: Informer,
    pods: Informer,
    recorder: EventRecorder,
    evictor: EventRecorder,
    calls: Calls<Asked>,
    members: BTreeMap<Text, Member>,
    /// How many members are counted as ready.
    ready: usize,
    /// When a node that is heard would be silent. Empty while we could not hear anybody.
    due: Deadlines<Text>,
    /// Unwell, but not their turn to be emptied: they wait for the brake, longest first.
    waiting: BTreeSet<(Instant, Text)>,
    /// When the last node's turn came.
    last_turn: Option<Instant>,
    zone: Zone,
    /// Whether renewals would reach us now.
    hearing: bool,
    questions: u64,
    /// By node, and when each was first seen there.
    pods_on: BTreeMap<Text, ByKey<Instant>>,
    /// Until when pods put up with a taint of their node.
    stays: Deadlines<Key>,
    /// Pods by node that have stayed as long as they put up with its being unwell. Before they go it is asked for once more.
    overdue: BTreeMap<Text, BTreeSet<Key>>,
    /// Pods that go because their node is unwell.
    condemned: BTreeSet<Key>,
    node_writes: Attempts<Key>,
    pod_writes: Attempts<Key>,
    /// Pods whose eviction was asked for and not seen yet, with their uids.
    evicted: BTreeMap<Key, String>,
}

/// A node of the view.
#[derive(Debug)]
struct Member {
    hearing: Hearing,
    /// The newest revision of its lease that we know of; 0 if it has none.
    renewed: Revision,
    /// The question about its lease that is on its way.
    question: Option<u64>,
    /// Whether it is counted as ready.
    ready: bool,
    /// Since when it waits for its turn.
    waits: Option<Instant>,
    /// Whether its turn to be emptied has come.
    turn: bool,
    /// Its taints with the effect `NoExecute`, and since when they count.
    taints: Vec<(Taint, Instant)>,
}

/// What a call is for.
#[derive(Debug)]
enum Asked {
    Lease { node: Text, number: u64, question: Question },
    Node(Key),
    Pod(Key),
}

/// Spaces of call ids.
const NODES: u16 = 1;
const LEASES: u16 = 2;
const PODS: u16 = 3;
const CALLS: u16 = 4;
const EVENTS: u16 = 5;
const EVICTIONS: u16 = 6;

impl NodeLifecycle {
    /// Knows nothing yet. `seed` decides the jitter of its retries.
    pub fn new(options: Options, seed: u64) -> Self {
        let leases = Query { namespace: Some(NODE_LEASES.into()), ..Query::all(Kind::Lease) };
        NodeLifecycle {
            options,
            nodes: Informer::new(Query::all(Kind::Node), NODES, seed, options.informer),
            leases: Informer::new(leases, LEASES, seed, options.informer),
            pods: Informer::new(Query::all(Kind::Pod), PODS, seed, options.informer),
            recorder: EventRecorder::new("node-controller", "", EVENTS),
            evictor: EventRecorder::new("taint-eviction-controller", "", EVICTIONS),
            calls: Calls::in_space(CALLS),
            members: BTreeMap::new(),
            ready: 0,
            due: Deadlines::default(),
            waiting: BTreeSet::new(),
            last_turn: None,
            zone: Zone::Normal,
            hearing: false,
            questions: 0,
            pods_on: BTreeMap::new(),
            stays: Deadlines::default(),
            overdue: BTreeMap::new(),
            condemned: BTreeSet::new(),
            node_writes: Attempts::default(),
            pod_writes: Attempts::default(),
            evicted: BTreeMap::new(),
        }
    }

    fn node_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (old, new) = match change {
            Change::Added(new) => (None, Some(new)),
            Change::Modified { old, new } => (Some(old), Some(new)),
            Change::Deleted(old) => (Some(old), None),
            // That we can hear again is seen by the informers being connected.
            Change::Synced => return,
        };
        let Some(object) = new.as_ref().or(old.as_ref()) else { return };
        let key = object.key();
        let name = key.name.clone();
        self.node_writes.seen(&key, new.as_ref().map(Object::revision), now.mono);
        let Some(node) = new.as_ref().and_then(Object::get::<Node>) else {
            self.forget(&name);
            self.node_writes.forget(&key);
            return;
        };
        match old.as_ref().and_then(Object::get::<Node>) {
            None => {
                let lease = self.leases.object(&Key::new(Kind::Lease, NODE_LEASES, &name));
                let renewed = lease.map_or(Revision(0), Object::revision);
                let member = Member {
                    hearing: Hearing::Heard,
                    renewed,
                    question: None,
                    ready: false,
                    waits: None,
                    turn: false,
                    taints: Vec::new(),
                };
                self.members.insert(name.clone(), member);
                self.start_over(now, &name);
            }
            Some(old) if Said::by(node) == Said::NotKnown && Said::by(old) != Said::NotKnown => {
                let message = format!("Node {name} status is now: NodeNotReady");
                self.recorder.tell(now, object, Tone::Normal, "NodeNotReady", message, out);
            }
            // Nobody but its kubelet says whether it is ready.
            Some(old) if Said::by(node) == Said::KubeletsWord && old.ready() != node.ready() => {
                self.hear(now, &name, out)
            }
            Some(_) => {}
        }
        self.count(&name);
        self.taints_changed(now, &name);
        let sends_away = |node: &Node| node.spec.taints.iter().any(is_for_being_unwell);
        if !sends_away(node) && old.as_ref().and_then(Object::get::<Node>).is_some_and(sends_away) {
            self.wait_again(now, &name);
        }
        match Word::by(node) {
            Word::Well => self.spare(now, &name),
            Word::NotReady => self.wait(now, &name),
            Word::Unknown | Word::Nothing => {}
        }
        self.node_writes.add(key, now.mono);
    }

    /// Takes note of the taints of a node that send pods away. What was seen before goes on counting.
    fn taints_changed(&mut self, now: Now, name: &Text) {
        let Some(node) = self.nodes.get::<Node>(&node_key(name)) else { return };
        let Some(member) = self.members.get_mut(name) else { return };
        let since = |taint: &Taint| {
            let same = |(one, _): &&(Taint, Instant)| (&one.key, &one.value) == (&taint.key, &taint.value);
            member.taints.iter().find(same).map_or(now.mono, |(_, since)| *since)
        };
        let sends_away = node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE);
        let taints: Vec<(Taint, Instant)> = sends_away.map(|taint| (taint.clone(), since(taint))).collect();
        if taints != member.taints {
            member.taints = taints;
            self.look_at_stays_on(now, name);
        }
    }

    fn lease_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (Change::Added(lease) | Change::Modified { new: lease, .. }) = change else { return };
        let name = lease.key().name;
        self.renewed(now, &name, lease.revision(), out);
        let renewed = lease.get::<Lease>().and_then(|lease| lease.spec.renew_time);
        if planted!(NodesClock)
            && let (Some(renewed), Some(_)) = (renewed, self.due.get(&name))
        {
            let left = self.options.grace.saturating_sub(now.wall.since(renewed.wall()));
            self.due.set(name, now.mono + left);
        }
    }

    fn pod_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (old, new) = match change {
            Change::Added(new) => (None, Some(new)),
            Change::Modified { old, new } => (Some(old), Some(new)),
            Change::Deleted(old) => (Some(old), None),
            Change::Synced => return,
        };
        let Some(object) = new.as_ref().or(old.as_ref()) else { return };
        let key = object.key();
        self.pod_writes.seen(&key, new.as_ref().map(Object::revision), now.mono);
        let node_of = |object: &Option<Object>| {
            let pod = object.as_ref()?.get::<Pod>()?;
            pod.node().map(Text::from)
        };
        let (before, after) = (node_of(&old), node_of(&new));
        if before != after
            && let Some(node) = before
            && let Some(pods) = self.pods_on.get_mut(&node)
        {
            pods.remove(&key);
            if pods.is_empty() {
                self.pods_on.remove(&node);
            }
            self.acquit(&node, &key);
        }
        if let Some(node) = &after
            && takes_back(old.as_ref(), new.as_ref())
        {
            self.hear(now, node, out);
        }
        if let Some(node) = after {
            if self.members.get(&node).is_some_and(|member| member.hearing != Hearing::Heard) {
                self.pod_writes.add(key.clone(), now.mono);
            }
            let pods = self.pods_on.entry(node).or_default();
            if !pods.contains_key(&key) {
                pods.insert(key.clone(), now.mono);
            }
        }
        self.look_at_stay(now, &key);
        let gone = new.as_ref().is_none_or(|pod| pod.meta().is_deleting());
        if gone && self.evicted.remove(&key).is_some_and(|uid| uid == object.meta().uid) {
            let message = format!("Marking for deletion Pod {}", object.meta().full_name());
            self.evictor.tell(now, object, Tone::Normal, "TaintManagerEviction", message, out);
        }
        if new.is_none() {
            self.pod_writes.forget(&key);
        }
    }

    /// News of the lease of a node.
    fn renewed(&mut self, now: Now, name: &Text, revision: Revision, out: &mut Effects) {
        let Some(member) = self.members.get_mut(name) else { return };
        if revision > member.renewed {
            member.renewed = revision;
            self.hear(now, name, out);
        }
    }

    /// The node lives: its next deadline is counted from now, on our own clock.
    fn hear(&mut self, now: Now, name: &Text, out: &mut Effects) {
        if self.members.get(name).is_some_and(|member| member.hearing != Hearing::Heard) {
            sometimes!(NodeHeardAgain);
            out.log(Level::Info, format!("node {name} is heard again"));
        }
        self.start_over(now, name);
    }

    /// The whole grace period begins anew. Whatever was meant to happen to its pods is off.
    fn start_over(&mut self, now: Now, name: &Text) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.question = None;
        let before = member.hearing;
        if planted!(EvictionNotCancelled) && before == Hearing::Silent && member.turn {
            return;
        }
        member.hearing = Hearing::Heard;
        if self.hearing {
            self.due.set(name.clone(), now.mono + self.options.grace);
        } else {
            self.due.remove(name);
        }
        if before == Hearing::Silent {
            if self.members[name].waits.is_some() || self.members[name].turn {
                sometimes!(EvictionCancelled);
            }
            self.spare(now, name);
            self.wait_if_not_ready(now, name);
            self.count(name);
        }
    }

    /// What was silence may have been ours.
    fn all_start_over(&mut self, now: Now) {
        let names: Vec<Text> = self.members.keys().cloned().collect();
        for name in names {
            self.start_over(now, &name);
            self.spare(now, &name);
            self.wait_if_not_ready(now, &name);
        }
    }

    /// It is not the node's turn to be emptied, and no pod goes for its being unwell. A taint that says so counts from now.
    fn spare(&mut self, now: Now, name: &Text) {
        self.wait_no_longer(name);
        let Some(member) = self.members.get_mut(name) else { return };
        member.turn = false;
        let mut counted = false;
        for (_, since) in member.taints.iter_mut().filter(|(taint, _)| is_for_being_unwell(taint)) {
            *since = now.mono;
            counted = true;
        }
        if let Some(pods) = self.overdue.remove(name) {
            counted |= !pods.is_empty();
        }
        if !self.condemned.is_empty() {
            for pod in self.pods_on.get(name).into_iter().flat_map(ByKey::keys) {
                self.condemned.remove(&pod);
            }
        }
        if counted {
            self.look_at_stays_on(now, name);
        }
    }

    /// An unwell node waits for its turn to be emptied.
    fn wait(&mut self, now: Now, name: &Text) {
        let Some(member) = self.members.get_mut(name) else { return };
        if member.waits.is_none() && !member.turn {
            member.waits = Some(now.mono);
            self.waiting.insert((now.mono, name.clone()));
        }
    }

    /// Somebody took away the taint by which its pods have to go: it is tainted when its turn has come once more.
    ///
    /// At once it would not do: of many, all pods would go in one moment, also while no further node may be emptied.
    /// Source: Kubernetes, `markNodeForTainting`.
    fn wait_again(&mut self, now: Now, name: &Text) {
        let Some(member) = self.members.get_mut(name).filter(|member| member.turn) else { return };
        if member.hearing == Hearing::Silent {
            // Asked because pods had stayed for long enough, which they have not any more; its answer would be a turn.
            member.question = None;
        }
        self.spare(now, name);
        self.wait(now, name);
    }

    fn wait_if_not_ready(&mut self, now: Now, name: &Text) {
        if self.nodes.get::<Node>(&node_key(name)).map(Word::by) == Some(Word::NotReady) {
            self.wait(now, name);
        }
    }

    fn wait_no_longer(&mut self, name: &Text) {
        if let Some(since) = self.members.get_mut(name).and_then(|member| member.waits.take()) {
            self.waiting.remove(&(since, name.clone()));
        }
    }

    fn forget(&mut self, name: &Text) {
        self.wait_no_longer(name);
        if self.members.remove(name).is_some_and(|member| member.ready) {
            self.ready -= 1;
        }
        self.due.remove(name);
        let pods: Vec<Key> = self.pods_on.get(name).into_iter().flat_map(ByKey::keys).collect();
        for pod in pods {
            self.acquit(name, &pod);
        }
    }

    /// The pod does not go.
    fn acquit(&mut self, node: &Text, pod: &Key) {
        if planted!(TimeGoesOn) {
            return;
        }
        self.stays.remove(pod);
        self.condemned.remove(pod);
        if let Some(pods) = self.overdue.get_mut(node) {
            pods.remove(pod);
            if pods.is_empty() {
                self.overdue.remove(node);
            }
        }
    }

    /// Until when a pod puts up with the taints that somebody put on its node, and with its being unwell.
    fn stays_until(&self, key: &Key, pod: &Pod) -> [Option<Instant>; 2] {
        let node = Text::from(pod.node().unwrap_or_default());
        let Some(member) = self.members.get(&node).filter(|member| !member.taints.is_empty()) else { return [None; 2] };
        let arrived = self.pods_on.get(&node).and_then(|pods| pods.get(key)).copied().unwrap_or_default();
        [false, true].map(|unwell| {
            let taints = member.taints.iter().filter(|(taint, _)| is_for_being_unwell(taint) == unwell);
            let seen = taints.map(|(taint, since)| (taint, arrived.max(*since)));
            stay::until(seen, &pod.spec.tolerations, self.options.eviction_after)
        })
    }

    /// Sets the deadline of a pod, or says that it has come.
    fn look_at_stay(&mut self, now: Now, key: &Key) {
        let Some(pod) = self.pods.get::<Pod>(key) else { return };
        let Some(node) = pod.node().map(Text::from) else { return };
        let until = if pod.is_active() { self.stays_until(key, pod) } else { [None; 2] };
        let [over, outstayed] = until.map(|until| until.is_some_and(|at| at <= now.mono));
        match until.into_iter().flatten().filter(|at| *at > now.mono).min() {
            Some(at) => self.stays.set(key.clone(), at),
            None if planted!(TimeGoesOn) => {}
            None => drop(self.stays.remove(key)),
        }
        if over {
            self.pod_writes.add(key.clone(), now.mono);
        }
        match outstayed {
            true if self.condemned.contains(key) => {}
            true => drop(self.overdue.entry(node).or_default().insert(key.clone())),
            false => {
                let next = self.stays.get(key);
                self.acquit(&node, key);
                next.into_iter().for_each(|at| self.stays.set(key.clone(), at));
            }
        }
    }

    fn look_at_stays_on(&mut self, now: Now, name: &Text) {
        let pods: Vec<Key> = self.pods_on.get(name).into_iter().flat_map(ByKey::keys).collect();
        for pod in pods {
            self.look_at_stay(now, &pod);
        }
    }

    /// Brings the number of ready nodes up to date with one of them.
    fn count(&mut self, name: &Text) {
        let is_ready = self.nodes.get::<Node>(&node_key(name)).is_some_and(Node::is_ready);
        let Some(member) = self.members.get_mut(name) else { return };
        let ready = is_ready && member.hearing == Hearing::Heard;
        match (member.ready, ready) {
            (false, true) => self.ready += 1,
            (true, false) => self.ready -= 1,
            (false, false) | (true, true) => {}
        }
        member.ready = ready;
        assert!(self.ready <= self.members.len(), "only members are counted");
    }

    fn answered(&mut self, now: Now, asked: Asked, answer: Answer, out: &mut Effects) {
        match asked {
            Asked::Lease { node, number, question } => {
                let Some(member) = self.members.get_mut(&node) else { return };
                // It was heard in the meantime, or the connection was lost: the question is void.
                if member.question == Some(number) {
                    member.question = None;
                    self.judge(now, &node, question, &answer, out);
                }
            }
            Asked::Node(key) => {
                let view = self.nodes.object(&key).map(Object::revision);
                self.node_writes.answered(&key, &answer, view, now, out);
            }
            Asked::Pod(key) => {
                let view = self.pods.object(&key).map(Object::revision);
                self.pod_writes.answered(&key, &answer, view, now, out);
            }
        }
    }

    fn judge(&mut self, now: Now, name: &Text, question: Question, answer: &Answer, out: &mut Effects) {
        let Some(member) = self.members.get_mut(name) else { return };
        let row = silence(question, LeaseNow::of(answer, member.renewed));
        out.decided(Level::Info, Decision::about(node_key(name), Because::of(&SILENCE, row)));
        match row.then {
            silence::Action::CallSilent => {
                sometimes!(NodeCalledSilent);
                member.hearing = Hearing::Silent;
                self.spare(now, name);
                self.wait(now, name);
                self.count(name);
                self.node_writes.add(node_key(name), now.mono);
                self.look_at_pods_on(name, now);
            }
            // Meanwhile the last of the others fell silent too.
            silence::Action::Evict if self.zone == Zone::FullDisruption && !planted!(BrakeOff) => self.wait(now, name),
            silence::Action::Evict if !member.turn => self.turn_comes(now, name),
            silence::Action::Evict => self.condemn(now, name),
            silence::Action::Hear => {
                sometimes!(LateRenewal);
                if let Answer::Object { object, .. } = answer {
                    self.renewed(now, name, object.revision(), out);
                }
            }
            silence::Action::StartOver if planted!(QuestionForgotten) => {}
            silence::Action::StartOver => {
                sometimes!(StoreNotReached);
                self.start_over(now, name);
            }
        }
    }

    fn look_at_pods_on(&mut self, name: &Text, now: Now) {
        for pod in self.pods_on.get(name).into_iter().flat_map(ByKey::keys) {
            self.pod_writes.add(pod, now.mono);
        }
    }

    /// The node is tainted, so that the pods that do not put up with it have to go.
    fn turn_comes(&mut self, now: Now, name: &Text) {
        if let Some(member) = self.members.get_mut(name) {
            sometimes!(NodeTainted);
            member.turn = true;
            self.node_writes.add(node_key(name), now.mono);
        }
    }

    /// The pods of a node that have stayed for long enough go.
    fn condemn(&mut self, now: Now, name: &Text) {
        for pod in self.overdue.remove(name).unwrap_or_default() {
            self.pod_writes.add(pod.clone(), now.mono);
            self.condemned.insert(pod);
        }
    }

    fn ask(&mut self, now: Now, name: Text, question: Question, out: &mut Effects) {
        let Some(member) = self.members.get_mut(&name) else { return };
        self.questions += 1;
        member.question = Some(self.questions);
        let key = Key::new(Kind::Lease, NODE_LEASES, &name);
        if planted!(EvictsUnconfirmed) {
            member.question = None;
            let nothing = Answer::Refused(Status::not_found(Kind::Lease, &name));
            return self.judge(now, &name, question, &nothing, out);
        }
        let asked = Asked::Lease { node: name, number: self.questions, question };
        self.calls.call(now, asked, Verb::Get { key }, out);
    }

    fn deadlines(&mut self, now: Now, out: &mut Effects) {
        while let Some(name) = self.due.pop_due(now.mono) {
            self.ask(now, name, Question::IsSilent, out);
        }
        while let Some(pod) = self.stays.pop_due(now.mono) {
            if planted!(TimeGoesOn) {
                self.pod_writes.add(pod.clone(), now.mono);
                self.condemned.insert(pod);
                continue;
            }
            self.look_at_stay(now, &pod);
        }
    }

    /// Takes note of how many nodes are ready, before anything is done about the others.
    fn look_at_zone(&mut self, now: Now, out: &mut Effects) {
        let zone = zone(self.ready, self.members.len() - self.ready);
        if zone == self.zone {
            return;
        }
        let of = self.members.len();
        out.log(Level::Info, format!("zone: {zone:?}, {} of {of} nodes are ready", self.ready));
        match zone {
            Zone::FullDisruption => sometimes!(FullDisruption),
            Zone::PartialDisruption => sometimes!(PartialDisruption),
            Zone::Normal => {}
        }
        let before = std::mem::replace(&mut self.zone, zone);
        if before == Zone::FullDisruption {
            sometimes!(BrakeReleased);
            // As Kubernetes does: with nobody heard, it was most likely us. Source: `handleDisruption`.
            self.all_start_over(now);
        }
        if zone == Zone::FullDisruption && !planted!(BrakeOff) {
            // Nobody's turn is it any more, and the taints that said so are taken away.
            let names: Vec<Text> = self.members.keys().cloned().collect();
            for name in names {
                self.spare(now, &name);
                if self.members[&name].hearing == Hearing::Silent {
                    self.wait(now, &name);
                }
                self.wait_if_not_ready(now, &name);
                self.node_writes.add(node_key(&name), now.mono);
            }
        }
    }

    fn evictions(&mut self, now: Now, out: &mut Effects) {
        let every = match eviction_pace(self.zone, size(self.members.len())).then {
            _ if planted!(BrakeOff) => self.options.steady_every,
            Pace::Steady => self.options.steady_every,
            Pace::Slow => self.options.slow_every,
            Pace::Hold if planted!(EmptiesMost) => self.options.steady_every,
            Pace::Hold | Pace::Stop => return,
        };
        if !self.hearing {
            return;
        }
        let outstayed: Vec<Text> = self.overdue.keys().cloned().collect();
        for name in outstayed {
            let Some(member) = self.members.get(&name).filter(|member| member.turn) else { continue };
            match (member.hearing, self.nodes.get::<Node>(&node_key(&name)).map(Word::by)) {
                (Hearing::Silent, _) if planted!(AsksOnce) => self.condemn(now, &name),
                (Hearing::Silent, _) if member.question.is_none() => self.ask(now, name, Question::MayEvict, out),
                (Hearing::Heard, Some(Word::NotReady)) => self.condemn(now, &name),
                // It is being asked for; or it is about to say that it is well.
                (Hearing::Silent | Hearing::Heard, _) => {}
            }
        }
        while !self.waiting.is_empty() {
            let at = self.last_turn.map_or(now.mono, |last| last + every);
            if at > now.mono {
                return out.wake_at(at);
            }
            let Some((_, name)) = self.waiting.pop_first() else { return };
            let Some(member) = self.members.get_mut(&name) else { continue };
            member.waits = None;
            if !planted!(EmptiesAtOnce) {
                self.last_turn = Some(now.mono);
            }
            match member.hearing {
                Hearing::Silent if !planted!(AsksOnce) => self.ask(now, name, Question::MayEvict, out),
                Hearing::Silent | Hearing::Heard => self.turn_comes(now, &name),
            }
        }
    }

    fn write_nodes(&mut self, now: Now, out: &mut Effects) {
        while let Some(key) = self.node_writes.pop_due(now.mono) {
            let (Some(object), Some(member)) = (self.nodes.object(&key), self.members.get(&key.name)) else {
                self.node_writes.settled(&key);
                continue;
            };
            let said = object.get::<Node>().map_or(Said::Nothing, Said::by);
            let row = node_health(member.hearing, said);
            let (object, part) = match row.then {
                node_health::Action::Keep => match self.tainted(now, &key.name, object, out) {
                    Some(changed) => (changed, Part::Main),
                    None => {
                        self.node_writes.settled(&key);
                        continue;
                    }
                },
                then => {
                    out.decided(Level::Info, Decision::about(key.clone(), Because::of(&NODE_HEALTH, row)));
                    let at = Time::of(now.wall);
                    (object.with(|node: &mut Node| say_unknown(node, then, at)), Part::Status)
                }
            };
            self.node_writes.begun(key.clone(), object.revision());
            self.calls.call(now, Asked::Node(key), Verb::Update { object, part }, out);
        }
    }

    /// The node with the taints that it is to have, if those are others than it has.
    fn tainted(&self, now: Now, name: &Text, object: &Object, out: &mut Effects) -> Option<Object> {
        let (node, member) = (object.get::<Node>()?, self.members.get(name)?);
        let turn = match member.turn {
            _ if self.zone == Zone::FullDisruption && !planted!(BrakeOff) => Turn::Nobodys,
            true => Turn::Come,
            false => Turn::Waits,
        };
        let row = node_taint(Word::by(node), turn);
        let taints = tainted(node, row.then, Time::of(now.wall))?;
        out.decided(Level::Info, Decision::about(node_key(name), Because::of(&NODE_TAINT, row)));
        Some(object.with(|node: &mut Node| node.spec.taints = taints))
    }

    fn write_pods(&mut self, now: Now, out: &mut Effects) {
        while let Some(key) = self.pod_writes.pop_due(now.mono) {
            let Some((object, pod)) = self.pods.object(&key).and_then(|object| Some((object, object.get::<Pod>()?)))
            else {
                self.pod_writes.settled(&key);
                continue;
            };
            let member = pod.node().and_then(|node| self.members.get(&Text::from(node)));
            let (standing, serving) = classify(pod);
            let [until, _] = self.stays_until(&key, pod);
            let over = until.is_some_and(|at| at <= now.mono) || self.condemned.contains(&key);
            let stay = if over { Stay::Over } else { Stay::Tolerates };
            let row = silent_pod(member.map_or(Hearing::Heard, |member| member.hearing), stay, standing, serving);
            let verb = match row.then {
                silent_pods::Action::SayNotReady if planted!(SilentStayReady) => {
                    self.pod_writes.settled(&key);
                    continue;
                }
                silent_pods::Action::Keep => {
                    self.evicted.remove(&key);
                    self.pod_writes.settled(&key);
                    continue;
                }
                silent_pods::Action::SayNotReady => {
                    let changed = object.with(|pod: &mut Pod| say_not_ready(pod, Time::of(now.wall)));
                    Verb::Update { object: changed, part: Part::Status }
                }
                silent_pods::Action::Evict if !say_disrupted(&mut pod.clone(), Time::of(now.wall)) => {
                    let at = Time::of(now.wall);
                    let changed = object.with(|pod: &mut Pod| {
                        say_disrupted(pod, at);
                    });
                    Verb::Update { object: changed, part: Part::Status }
                }
                silent_pods::Action::Evict => {
                    sometimes!(PodEvicted);
                    self.evicted.insert(key.clone(), object.meta().uid.to_string());
                    let options = DeleteOptions {
                        uid: Some(object.meta().uid.clone()),
                        // Carried out late, it must not meet a pod whose kubelet is back.
                        resource_version: Some(object.meta().resource_version.clone()),
                        propagation: Some(Propagation::Background),
                        grace_seconds: planted!(EvictsByForce).then_some(0),
                        ..Default::default()
                    };
                    Verb::Delete { key: key.clone(), options }
                }
            };
            let decision = Decision::about(key.clone(), Because::of(&SILENT_POD, row));
            let node = pod.node().map(|node| node_key(&Text::from(node)));
            out.decided(Level::Info, Decision { sake: node, ..decision });
            self.pod_writes.begun(key.clone(), object.revision());
            self.calls.call(now, Asked::Pod(key), verb, out);
        }
    }
}

/// Whether the kubelet of a pod has read that its node is silent, and says that the pod is ready all the same.
///
/// A status that it wrote before is refused, since we have written after it; so it lives. To write again what it has
/// taken back would begin a quarrel without end.
fn takes_back(old: Option<&Object>, new: Option<&Object>) -> bool {
    let (Some(old), Some(new)) = (old.and_then(Object::get::<Pod>), new.and_then(Object::get::<Pod>)) else {
        return false;
    };
    let was_said = old.status.conditions.iter().any(|one| one.kind == "Ready" && one.reason == silent_pods::REASON);
    was_said && new.is_ready() && old.metadata.uid == new.metadata.uid
}

fn node_key(name: &str) -> Key {
    Key::new(Kind::Node, "", name)
}

impl Program for NodeLifecycle {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        for change in self.leases.step(now, &input, out) {
            self.lease_changed(now, change, out);
        }
        for change in self.nodes.step(now, &input, out) {
            self.node_changed(now, change, out);
        }
        for change in self.pods.step(now, &input, out) {
            self.pod_changed(now, change, out);
        }
        let hearing = self.nodes.is_connected() && self.leases.is_connected();
        if hearing != self.hearing {
            if !hearing {
                sometimes!(HearingLost);
            }
            self.hearing = hearing;
            self.all_start_over(now);
        }
        for (asked, answer) in self.calls.ended(now, &input) {
            self.answered(now, asked, answer, out);
        }
        self.deadlines(now, out);
        self.look_at_zone(now, out);
        self.evictions(now, out);
        self.write_nodes(now, out);
        self.write_pods(now, out);
        out.wake_at(self.due.next());
        out.wake_at(self.stays.next());
        out.wake_at(self.calls.next());
        out.wake_at(self.node_writes.next());
        out.wake_at(self.pod_writes.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::World;
    use serde_json::json;

    /// Nodes `n1`, `n2`, … that live, with a pod each: `p1` on `n1`.
    fn world(seed: u64, nodes: usize) -> (World, NodeLifecycle) {
        let mut world = World::new(seed);
        for nth in 1..=nodes {
            world.node(&format!("n{nth}"));
            world.pod(&format!("p{nth}"), &format!("n{nth}"), json!([]));
        }
        (world, NodeLifecycle::new(Options::default(), seed))
    }

    fn ready(world: &World, node: &str) -> String {
        let node = world.get(Kind::Node, "", node).unwrap().get::<Node>().unwrap().clone();
        let ready = node.ready().cloned().unwrap_or_default();
        format!("{} {}", ready.status, ready.reason)
    }

    /// `not-ready:NoSchedule`, in their order.
    fn taints(world: &World, node: &str) -> String {
        let node = world.get(Kind::Node, "", node).unwrap().get::<Node>().unwrap().clone();
        let told = |taint: &Taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect);
        node.spec.taints.iter().map(told).collect::<Vec<_>>().join(" ")
    }

    /// A pod that runs on `n1` with these tolerations.
    fn tolerant(world: &mut World, name: &str, tolerations: serde_json::Value) {
        let spec = json!({"nodeName": "n1", "tolerations": tolerations,
            "containers": [{"name": "c", "image": "busybox"}]});
        world.create(Kind::Pod, json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}));
    }

    fn put_on(world: &mut World, node: &str, taints: serde_json::Value) {
        world.merge(node_key(node), json!({"spec": {"taints": taints}}), Part::Main);
    }

    fn die(world: &mut World, node: &str) {
        assert!(world.alive.remove(node));
    }

    #[test]
    fn a_silent_node_becomes_unknown_and_then_loses_its_pods() {
        let (mut world, mut program) = world(1, 2);
        world.run(&mut program, 60);
        assert_eq!(world.take_writes(), [""; 0], "as long as all renew, nothing is written");
        die(&mut world, "n1");
        world.run(&mut program, 14);
        assert_eq!(ready(&world, "n1"), "True ");
        world.run(&mut program, 2);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        let node = world.get(Kind::Node, "", "n1").unwrap().get::<Node>().unwrap().clone();
        assert_eq!(node.ready().unwrap().message, "Kubelet stopped posting node status.");
        assert_eq!(node.status.conditions[1].status, "False", "other conditions stay");
        assert_eq!(world.told_about("n1"), ["NodeNotReady"]);
        let pod = world.get(Kind::Pod, "default", "p1").unwrap().get::<Pod>().unwrap().clone();
        assert!(!pod.is_ready() && !pod.metadata.is_deleting());
        world.run(&mut program, 28);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
        world.run(&mut program, 3);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
        assert_eq!(world.told_about("p1"), ["TaintManagerEviction"]);
        let pod = world.get(Kind::Pod, "default", "p1").unwrap().get::<Pod>().unwrap().clone();
        let why = pod.status.conditions.iter().find(|one| one.kind == "DisruptionTarget").unwrap();
        assert_eq!((why.status.as_str(), why.reason.as_str()), ("True", "DeletionByTaintManager"));
        let mut writes = world.take_writes();
        assert_eq!(writes.pop().as_deref(), Some("delete pods/default/p1"));
        writes.sort();
        writes.dedup();
        assert_eq!(writes, ["Main nodes/n1", "Status nodes/n1", "Status pods/default/p1"]);
        assert_eq!(taints(&world, "n1"), "unreachable:NoSchedule unreachable:NoExecute");
        world.run(&mut program, 600);
        assert_eq!(world.take_writes(), [""; 0], "and then stays so");
    }

    #[test]
    fn a_node_that_returns_keeps_its_pods() {
        let (mut world, mut program) = world(2, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        world.alive.insert("n1".into());
        world.run(&mut program, 300);
        assert_eq!(ready(&world, "n1"), "True ");
        assert_eq!(taints(&world, "n1"), "");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
    }

    #[test]
    fn a_taint_that_somebody_puts_on_a_node_sends_pods_away() {
        let (mut world, mut program) = world(21, 2);
        let once = |seconds| json!([{"key": "work", "operator": "Exists", "tolerationSeconds": seconds, "effect": "NoExecute"}]);
        tolerant(&mut world, "a", once(json!(20)));
        tolerant(&mut world, "b", once(json!(null)));
        tolerant(&mut world, "c", once(json!(60)));
        world.run(&mut program, 10);
        put_on(&mut world, "n1", json!([{"key": "work", "effect": "NoSchedule"}]));
        world.run(&mut program, 10);
        assert_eq!(world.names(Kind::Pod, "default"), "a b c p1 p2");
        put_on(&mut world, "n1", json!([{"key": "work", "effect": "NoExecute"}]));
        world.run(&mut program, 1);
        assert_eq!(world.names(Kind::Pod, "default"), "a b c -p1 p2", "who does not tolerate it goes at once");
        assert_eq!(world.told_about("p1"), ["TaintManagerEviction"]);
        world.run(&mut program, 18);
        assert_eq!(world.names(Kind::Pod, "default"), "a b c -p1 p2");
        world.run(&mut program, 2);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c -p1 p2");
        // It comes late, and stays for its whole time.
        tolerant(&mut world, "d", once(json!(20)));
        world.run(&mut program, 19);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c d -p1 p2");
        put_on(&mut world, "n1", json!(null));
        world.run(&mut program, 100);
        assert_eq!(
            world.names(Kind::Pod, "default"),
            "-a b c d -p1 p2",
            "what is taken away in time sends nobody away"
        );
        put_on(&mut world, "n1", json!([{"key": "work", "effect": "NoExecute"}]));
        world.run(&mut program, 61);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b -c -d -p1 p2", "for ever, where no number is said");
        world.take_writes();
        world.run(&mut program, 600);
        assert_eq!(world.take_writes(), [""; 0]);
    }

    #[test]
    fn pods_that_put_up_with_silence_stay_as_long_as_they_say() {
        let (mut world, mut program) = world(22, 2);
        let silence = |seconds: serde_json::Value| {
            let one =
                |key| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
            json!([one("node.kubernetes.io/unreachable"), one("node.kubernetes.io/not-ready")])
        };
        tolerant(&mut world, "a", silence(json!(0)));
        tolerant(&mut world, "b", silence(json!(100)));
        tolerant(&mut world, "c", silence(json!(null)));
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 17);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c p1 p2");
        world.run(&mut program, 30);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c -p1 p2");
        world.run(&mut program, 65);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c -p1 p2");
        world.run(&mut program, 600);
        assert_eq!(world.names(Kind::Pod, "default"), "-a -b c -p1 p2");
    }

    #[test]
    fn a_node_that_returns_in_between_starts_their_time_anew() {
        let (mut world, mut program) = world(23, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        world.alive.insert("n1".into());
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
        world.run(&mut program, 10);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn a_node_whose_kubelet_says_that_it_is_not_ready_is_emptied() {
        let (mut world, mut program) = world(24, 2);
        world.run(&mut program, 10);
        let not_ready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        world.merge(node_key("n1"), not_ready, Part::Status);
        world.run(&mut program, 25);
        assert_eq!(taints(&world, "n1"), "not-ready:NoSchedule not-ready:NoExecute");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
        assert!(
            world.get(Kind::Pod, "default", "p1").unwrap().get::<Pod>().unwrap().is_ready(),
            "its kubelet is heard"
        );
        world.run(&mut program, 10);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn a_cordoned_node_says_so_by_a_taint() {
        let (mut world, mut program) = world(25, 1);
        world.run(&mut program, 10);
        world.merge(node_key("n1"), json!({"spec": {"unschedulable": true}}), Part::Main);
        world.run(&mut program, 1);
        assert_eq!(taints(&world, "n1"), "unschedulable:NoSchedule");
        world.merge(node_key("n1"), json!({"spec": {"unschedulable": null}}), Part::Main);
        world.run(&mut program, 1);
        assert_eq!(taints(&world, "n1"), "");
    }

    #[test]
    fn a_controller_that_begins_anew_counts_anew() {
        let (mut world, mut program) = world(26, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        world.forget_program();
        let mut program = NodeLifecycle::new(Options::default(), 27);
        world.run(&mut program, 44);
        assert_eq!(taints(&world, "n1"), "unreachable:NoSchedule unreachable:NoExecute");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
        world.run(&mut program, 3);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn a_kubelet_that_takes_back_what_was_said_of_its_pod_is_heard() {
        let (mut world, mut program) = world(2, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 20);
        world.take_writes();
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        world.merge(Key::new(Kind::Pod, "default", "p1"), ready, Part::Status);
        world.take_writes();
        world.run(&mut program, 5);
        assert_eq!(world.take_writes(), [""; 0], "its word stands, until the node is silent again");
        world.run(&mut program, 60);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn what_is_bound_to_a_silent_node_later_is_evicted_too() {
        let (mut world, mut program) = world(3, 2);
        die(&mut world, "n1");
        world.run(&mut program, 60);
        world.pod("late", "n1", json!([]));
        world.pod("other", "n2", json!([]));
        world.run(&mut program, 31);
        assert_eq!(world.names(Kind::Pod, "default"), "-late other -p1 p2");
    }

    #[test]
    fn nobody_is_called_silent_while_we_are_deaf() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed, 3);
            world.run(&mut program, 20);
            world.disconnect();
            world.run(&mut program, 600);
            world.connect();
            world.run(&mut program, 100);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
            // A node that dies while we are away is given the whole grace period after it.
            world.disconnect();
            die(&mut world, "n1");
            world.run(&mut program, 100);
            world.connect();
            world.run(&mut program, 14);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
            world.run(&mut program, 100);
            assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 p3", "seed {seed}");
        }
    }

    #[test]
    fn a_watch_that_stays_open_but_is_late_convicts_nobody() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed, 3);
            world.run(&mut program, 20);
            world.deaf_to.insert(Kind::Lease);
            world.run(&mut program, 300);
            assert!(world.gets > 3, "the server was asked");
            world.deaf_to.clear();
            world.run(&mut program, 100);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn a_node_that_came_back_unheard_keeps_its_pods() {
        let (mut world, mut program) = world(4, 3);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 30);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        world.deaf_to.extend([Kind::Lease, Kind::Node]);
        world.alive.insert("n1".into());
        world.run(&mut program, 100);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3");
    }

    #[test]
    fn with_all_nodes_silent_nothing_is_evicted() {
        let (mut world, mut program) = world(5, 3);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        world.run(&mut program, 600);
        assert_eq!(ready(&world, "n3"), "Unknown NodeStatusUnknown");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3");
        // The first that returns starts all deadlines anew; then those that stay away lose their pods.
        world.alive.insert("n2".into());
        world.run(&mut program, 40);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3");
        world.run(&mut program, 30);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 -p3");
    }

    #[test]
    fn a_small_cluster_that_lost_most_of_its_nodes_holds_still() {
        let (mut world, mut program) = world(6, 5);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        world.run(&mut program, 600);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3 p4 p5");
        world.alive.insert("n2".into());
        world.run(&mut program, 70);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 -p3 p4 p5");
    }

    #[test]
    fn one_node_is_emptied_at_a_time() {
        let (mut world, mut program) = world(7, 5);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        die(&mut world, "n2");
        world.run(&mut program, 49);
        let evicted = |world: &World| world.names(Kind::Pod, "default").matches('-').count();
        assert_eq!(evicted(&world), 1, "the first at once");
        world.run(&mut program, 5);
        assert_eq!(evicted(&world), 1);
        world.run(&mut program, 6);
        assert_eq!(evicted(&world), 2);
    }

    #[test]
    fn a_taint_that_somebody_takes_away_waits_for_its_turn_again() {
        let (mut world, mut program) = world(28, 7);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        let emptied = |world: &World| {
            let all = ["n1", "n2", "n3"].map(|node| taints(world, node));
            all.iter().filter(|taints| taints.contains("unreachable:NoExecute")).count()
        };
        world.run(&mut program, 38);
        assert_eq!(emptied(&world), 3);
        for node in ["n1", "n2", "n3"] {
            put_on(&mut world, node, json!(null));
        }
        world.run(&mut program, 1);
        assert_eq!(taints(&world, "n1"), "unreachable:NoSchedule", "this one keeps nobody's pace");
        let asked = world.gets;
        for nodes in 1..=3 {
            world.run(&mut program, 10);
            assert_eq!((emptied(&world), world.gets), (nodes, asked + nodes), "each is asked for before");
        }
    }

    #[test]
    fn an_eviction_under_way_stops_when_the_last_node_falls_silent() {
        let (mut world, mut program) = world(8, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 50);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
        die(&mut world, "n2");
        world.run(&mut program, 30);
        world.pod("late", "n1", json!([]));
        world.run(&mut program, 300);
        assert_eq!(world.names(Kind::Pod, "default"), "late -p1 p2");
    }

    #[test]
    fn an_answer_that_would_evict_comes_too_late_when_no_node_is_ready() {
        let (mut world, mut program) = world(12, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        world.answers_are_late = true;
        world.run(&mut program, 10);
        die(&mut world, "n2");
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        world.merge(node_key("n2"), ready, Part::Status);
        world.run(&mut program, 1);
        world.answers_are_late = false;
        world.run(&mut program, 300);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
    }

    #[test]
    fn a_node_that_returned_does_not_wait_for_its_eviction() {
        let (mut world, _) = world(13, 5);
        // Not a multiple of the heartbeat, so that its lease is unchanged when its turn would come.
        let options = Options { steady_every: Duration::from_secs(12), ..Default::default() };
        let mut program = NodeLifecycle::new(options, 13);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        world.run(&mut program, 300);
        world.alive.insert("n2".into());
        world.run(&mut program, 100);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 -p3 p4 p5");
    }

    #[test]
    fn a_kubelet_that_speaks_is_heard_even_without_its_lease() {
        let (mut world, mut program) = world(14, 2);
        die(&mut world, "n1");
        world.run(&mut program, 30);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        let speaks = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        world.merge(node_key("n1"), speaks, Part::Status);
        world.run(&mut program, 14);
        assert_eq!(ready(&world, "n1"), "True ", "it has the whole grace period");
        world.run(&mut program, 2);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
    }

    #[test]
    fn a_deleted_node_is_forgotten_and_a_new_one_starts_afresh() {
        let (mut world, mut program) = world(9, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 20);
        world.delete(node_key("n1"), None);
        world.run(&mut program, 100);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2", "its pods are somebody else's business");
        world.node("n1");
        world.run(&mut program, 100);
        assert_eq!(ready(&world, "n1"), "True ");
    }

    #[test]
    fn a_node_that_never_spoke_is_silent_too() {
        let (mut world, mut program) = world(10, 1);
        world.create(Kind::Node, json!({"metadata": {"name": "mute"}}));
        world.run(&mut program, 20);
        assert_eq!(ready(&world, "mute"), "Unknown NodeStatusNeverUpdated");
    }

    #[test]
    fn losses_delay_but_change_nothing() {
        for seed in 0..30 {
            let (mut world, mut program) = world(seed, 3);
            world.lost_percent = 40;
            die(&mut world, "n1");
            world.run(&mut program, 300);
            assert!(!world.names(Kind::Pod, "default").contains("-p2"), "seed {seed}");
            world.lost_percent = 0;
            world.run(&mut program, 300);
            assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown", "seed {seed}");
            assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 p3", "seed {seed}");
            world.take_writes();
            world.run(&mut program, 600);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn a_conflict_is_decided_again() {
        let (mut world, mut program) = world(11, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        // Its view of nodes lags: the first write meets a newer revision.
        world.deaf_to.insert(Kind::Node);
        let label = json!({"metadata": {"labels": {"x": "y"}}});
        world.merge(node_key("n1"), label, Part::Main);
        world.run(&mut program, 20);
        assert_eq!(ready(&world, "n1"), "True ");
        let tries = world.take_writes().len();
        assert!((2..20).contains(&tries), "{tries} tries");
        world.deaf_to.clear();
        world.run(&mut program, 20);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        assert_eq!(world.get(Kind::Node, "", "n1").unwrap().meta().labels["x"], "y", "and overwrites nothing");
    }
}
