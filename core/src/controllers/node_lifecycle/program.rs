//! The node lifecycle controller: one deadline a node, taints for nodes that are unwell, and one deadline for each pod
//! that puts up with a taint for a while.
//!
//! Below: `news` of the views; `hearing`, who is silent; `turns`, whose turn it is to be emptied; `stays`, until when pods
//! put up with it; and `writes`.

mod hearing;
mod news;
mod stays;
#[cfg(test)]
mod testing;
mod turns;
mod writes;

use crate::api::by_key::ByKey;
use crate::api::kinds::Kind;
use crate::api::namespace::NODE_LEASES;
use crate::api::object::{Key, Object};
use crate::api::taint::Taint;
use crate::api::text::Text;
use crate::client::events::EventRecorder;
use crate::client::informer;
use crate::client::{Calls, Deadlines, Informer};
use crate::controllers::attempts::Attempts;
use crate::controllers::node_lifecycle::brake::Zone;
use crate::controllers::node_lifecycle::node_health::Hearing;
use crate::controllers::node_lifecycle::silence::Question;
use crate::program::{Answer, Effects, Input, Program, Query, Revision};
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
    /// From tainting one node to tainting the next, at [`Pace::Steady`](super::brake::Pace::Steady).
    ///
    /// Source: Kubernetes, `--node-eviction-rate`: 0.1 nodes a second.
    pub steady_every: Duration,
    /// The same at [`Pace::Slow`](super::brake::Pace::Slow).
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

impl NodeLifecycle {
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

    /// Looks at the nodes that would be silent by now, and at the pods whose time on their node is over.
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
}

fn node_key(name: &str) -> Key {
    Key::new(Kind::Node, "", name)
}

#[cfg(test)]
mod tests {
    use super::node_key;
    use super::testing::{die, ready, taints, world};
    use crate::api::kinds::Kind;
    use crate::api::node::Node;
    use crate::api::pod::Pod;

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
}
