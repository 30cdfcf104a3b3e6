//! What is really so, whatever any program believes: durable objects, their history, living processes,
//! and what clients were told.
//!
//! Checkers look at nothing else, and at each [`Fact`] as it happens.

use crate::cluster::Settings;
use crate::disk::Disk;
use crate::runtime::Process;
use crate::told::{self, Apart, Leaders, Told, Turn};
use crate::world::WALL_START;
use miniku_core::api::by_key::ByKey;
use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::Lease;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object, Resource};
use miniku_core::api::pod::Pod;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::Command;
use miniku_core::program::{
    Answer, CallId, DeleteOptions, Input, Query, Request, RequestId, Revision, WatchEvent, WatchFrom,
};
use miniku_core::scheduler::Strategy;
use miniku_core::store::Change;
use miniku_core::time::{Instant, Wall};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// The annotation that an intruder writes, to be in the way of another write.
pub const INTRUDER: &str = "intruder";

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The API server.
    ApiServer,
    /// The scheduler.
    Scheduler,
    /// The controllers of replica sets, deployments and other workloads.
    Workloads,
    /// The node lifecycle controller.
    NodeLifecycle,
    /// The garbage collector.
    Garbage,
    /// The namespace controller.
    Namespaces,
    /// The endpoints controller.
    Endpoints,
    /// The controller of disruption budgets.
    Disruption,
    /// The controller of autoscalers.
    Horizontal,
    /// A node's kubelet.
    Kubelet,
    /// Somebody at a keyboard.
    Operator,
    /// Another program.
    Other,
}

/// One life of one actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// What it is.
    pub role: Role,
    /// `scheduler`, `kubelet/node-1`.
    pub name: Arc<str>,
    /// 1 for its first life.
    pub life: u32,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}#{}", self.name, self.life))
    }
}

/// Something that happened, and that a checker may have to know.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A client has sent a request.
    Sent { who: &'a Who, id: RequestId, request: &'a Request },
    /// A client is about to be stepped with this.
    Heard { who: &'a Who, input: &'a Input },
    /// A client has crashed.
    Died { who: &'a Who },
    /// A write is durable.
    Durable { change: &'a Change },
    /// The API server is about to be told that a write is durable.
    Told { change: &'a Change },
    /// The API server has answered a request other than a watch.
    Answered { id: RequestId, answer: &'a Answer },
    /// The API server has opened a watch.
    Opened { id: RequestId, query: &'a Query, from: WatchFrom },
    /// The API server has sent an event on a watch.
    Streamed { id: RequestId, event: &'a WatchEvent },
    /// The API server has ended a watch, or was told that its client has gone.
    Closed { id: RequestId },
    /// The API server's step is over.
    Served,
    /// An API server starts on what the disk has.
    Recovered { objects: &'a ByKey<Object>, revision: Revision },
    /// A command of a kubelet has reached the runtime of its node.
    Commanded { node: &'a str, command: &'a Command },
    /// A process runs.
    Started { node: &'a str, process: &'a Process },
    /// A process runs no more. With its exit code, if it came to its own end.
    Ended { node: &'a str, process: &'a Process, code: Option<i32> },
    /// A fault begins or ends.
    Weather,
    /// Time has passed, as a checker asked for.
    Time,
}

macro_rules! sights {
    ($($sight:ident),+ $(,)?) => {
        /// The kinds of [`Fact`]s, for checkers to say which of them they look at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Sight { $($sight),+ }

        impl Sight {
            /// All of them.
            pub const ALL: &'static [Sight] = &[$(Sight::$sight),+];
        }

        impl Fact<'_> {
            /// Its kind.
            pub fn sight(&self) -> Sight {
                match self { $(Fact::$sight { .. } => Sight::$sight),+ }
            }
        }
    };
}

sights![
    Sent, Heard, Died, Durable, Told, Answered, Opened, Streamed, Closed, Served, Recovered, Commanded, Started, Ended,
    Weather, Time,
];

/// What the world knows of a pod by its uid, also when it is gone from the store.
#[derive(Clone, Debug)]
pub struct PodFacts {
    /// Its last stored state.
    pub last: Object,
    /// Since when it is gone from the store.
    pub removed: Option<Instant>,
}

impl PodFacts {
    /// Its last stored state.
    pub fn pod(&self) -> &Pod {
        self.last.get().expect("facts of pods are about pods")
    }
}

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Whether the machine runs.
    pub up: bool,
    /// Since when its kubelet has been running with a good way to a running API server; absent if it has not.
    pub in_touch: Option<Instant>,
}

/// Processes, each with its node, by pod uid and container.
pub type Processes = BTreeMap<(Text, Text), Vec<(Arc<str>, Process)>>;

/// What is really so.
#[derive(Debug, Default)]
pub struct Truth {
    /// The world's time.
    pub now: Instant,
    /// Whether every image can be had.
    pub any_image: bool,
    /// How nodes are chosen for the pods with each `spec.schedulerName`; none where the scheduler is somebody's own.
    pub strategies: BTreeMap<Text, Strategy>,
    /// How the programs are set.
    pub settings: Settings,
    /// What is durable.
    pub disk: Disk,
    /// The newest changes, without gaps.
    pub history: VecDeque<Change>,
    /// Every pod there ever was, by uid; but for those long gone.
    pub pods: BTreeMap<Text, PodFacts>,
    /// The revision that was shown last.
    shared: Revision,
    /// The pods that are gone from the store, oldest first.
    removed: VecDeque<Text>,
    /// Processes that live, each with its node, by pod uid and container.
    pub processes: Processes,
    /// The node of each of them, by the name of their pod.
    running: BTreeMap<Text, Vec<Arc<str>>>,
    /// The machines, by the name of their node.
    pub nodes: BTreeMap<Arc<str>, NodeFacts>,
    /// Since when the scheduler has been running at its pace with a good way to a running API server; absent if not.
    pub scheduler: Option<Instant>,
    /// The same of the node lifecycle controller.
    pub lifecycle: Option<Instant>,
    /// The same of the controllers of workloads.
    pub workloads: Option<Instant>,
    /// How many nanoseconds the wall clocks of programs are off for a time; those that are right are left out.
    pub clocks: BTreeMap<Arc<str>, i64>,
    /// Since when the wall clocks of programs stand still; those that go are left out.
    pub stopped: BTreeMap<Arc<str>, Instant>,
    /// How many nanoseconds wall clocks are off all the time, beside that; those that are not are left out.
    pub askew: BTreeMap<Arc<str>, i64>,
    /// What clients were told, by name; those that checkers ask for.
    told: BTreeMap<Arc<str>, (Role, Apart)>,
    /// Who leads.
    pub leaders: Leaders,
}

/// How many changes are kept.
const HISTORY: usize = 16_384;
/// How many pods that are gone are remembered.
const REMOVED: usize = 16_384;

impl Truth {
    /// The durable object under a key.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.disk.objects().get(key)
    }

    /// The durable object that a deletion means; none if another has its name by now.
    pub fn meant(&self, key: &Key, options: &DeleteOptions) -> Option<&Object> {
        self.object(key).filter(|object| options.uid.as_ref().is_none_or(|uid| object.meta().uid == *uid))
    }

    /// The durable objects of a kind.
    pub fn all<T: Resource>(&self) -> impl Iterator<Item = &T> {
        self.disk.objects().of_kind(T::KIND).filter_map(Object::get)
    }

    /// The node of this name, as stored.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.object(&Key::new(Kind::Node, "", name))?.get()
    }

    /// An object that somebody was told of, as stored; none if it is gone, whoever has its name by now. What vanished in a
    /// gap of somebody's view stays in what that one was told.
    pub fn stored(&self, told: &Object) -> Option<&Object> {
        self.object(&told.key()).filter(|stored| stored.meta().uid == told.meta().uid)
    }

    /// Whether the pod of this uid is stored.
    pub fn has_pod(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|facts| facts.removed.is_none())
    }

    /// The same as [`Truth::stored`], of a node.
    pub fn still(&self, told: &Node) -> Option<&Node> {
        self.node(&told.metadata.name).filter(|stored| stored.metadata.uid == told.metadata.uid)
    }

    /// The replica set of this name in `default`.
    pub fn set(&self, name: &str) -> Option<&ReplicaSet> {
        self.object(&Key::new(Kind::ReplicaSet, "default", name))?.get()
    }

    /// The pod of this name in `default`.
    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.object(&Key::new(Kind::Pod, "default", name))?.get()
    }

    /// The pods that a replica set controls and that neither have finished nor are being deleted.
    pub fn active<'a>(&'a self, set: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.all::<Pod>().filter(move |pod| {
            pod.is_active()
                && pod.metadata.controller().is_some_and(|owner| owner.kind == "ReplicaSet" && owner.name == set)
        })
    }

    /// The processes of a pod, each with its node.
    pub fn processes_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a (Arc<str>, Process)> {
        let start = (Text::from(uid), Text::default());
        self.processes.range(start..).take_while(move |((of, _), _)| of == uid).flat_map(|(_, all)| all)
    }

    /// The first pod by name that has processes and whose name begins like this, and the nodes they are on.
    pub fn first_running(&self, beginning: &str) -> Option<(&str, &[Arc<str>])> {
        let (name, nodes) = self.running.range(Text::from(beginning)..).next()?;
        name.starts_with(beginning).then_some((name, nodes))
    }

    /// Whether a pod is ready in the store, and each of its containers has one process, on its node.
    pub fn really_runs(&self, pod: &Pod) -> bool {
        pod.is_ready()
            && pod.spec.containers.iter().all(|container| {
                let living = self.processes.get(&(pod.metadata.uid.clone(), container.name.clone()));
                living.is_some_and(|living| living.len() == 1 && pod.node() == Some(&*living[0].0))
            })
    }

    /// A change of the past, if it is remembered.
    pub fn change(&self, revision: Revision) -> Option<&Change> {
        let first = self.history.front()?.revision;
        self.history.get(usize::try_from(revision.0.checked_sub(first.0)?).ok()?)
    }

    /// What the wall clock of a program shows.
    pub fn wall(&self, program: &str) -> Wall {
        let at = self.stopped.get(program).copied().unwrap_or(self.now);
        let right = WALL_START + at.since(Instant::default());
        let off = |clocks: &BTreeMap<Arc<str>, i64>| clocks.get(program).copied().unwrap_or(0);
        Wall::from_nanos(right.nanos().saturating_add(off(&self.clocks)).saturating_add(off(&self.askew)))
    }

    /// What a client was told in this turn; nothing, if no checker asks for what clients of its role are.
    pub fn told(&self, who: &Who) -> Told<'_> {
        let apart = self.told.get(&who.name).filter(|(_, apart)| apart.is_of(self.turn(who)));
        apart
            .zip(told::asked_for(who.role))
            .map_or(Told::NOTHING, |((_, apart), asked_for)| Told::but_for(apart, asked_for, self.disk.objects()))
    }

    /// Since when what a client knows and has asked for counts.
    pub fn turn(&self, who: &Who) -> Turn {
        (who.life, self.leaders.term(who).unwrap_or(-1))
    }

    /// Takes in that a client asks for a list.
    pub(crate) fn asks(&mut self, who: &Who, call: CallId, query: &Query) {
        let turn = self.turn(who);
        if let Some((_, apart)) = self.told.get_mut(&who.name)
            && apart.is_of(turn)
        {
            apart.asks(call, query);
        }
    }

    /// Takes in that a client waits for no answer to this any more.
    pub(crate) fn gives_up(&mut self, who: &Who, call: CallId) {
        if let Some((_, apart)) = self.told.get_mut(&who.name) {
            apart.gives_up(call);
        }
    }

    /// Takes in what a client is about to be stepped with.
    pub(crate) fn hear(&mut self, who: &Who, input: &Input) {
        let Some(asked_for) = told::asked_for(who.role) else { return };
        let (turn, stored) = (self.turn(who), self.disk.objects());
        let begin = || (who.role, Apart::begin(turn, asked_for, stored));
        let (_, apart) = self.told.entry(who.name.clone()).or_insert_with(begin);
        if !apart.is_of(turn) {
            *apart = Apart::begin(turn, asked_for, stored);
        }
        apart.hear(asked_for, stored, input);
    }

    /// Takes in a durable change.
    pub(crate) fn durable(&mut self, change: Change) {
        if change.key.kind == Kind::Pod {
            if let Some(old) = &change.old
                && change.new.as_ref().is_none_or(|new| new.meta().uid != old.meta().uid)
                && let Some(facts) = self.pods.get_mut(&old.meta().uid)
            {
                facts.removed = Some(self.now);
                self.removed.push_back(old.meta().uid.clone());
                if self.removed.len() > REMOVED
                    && let Some(oldest) = self.removed.pop_front()
                {
                    self.pods.remove(&oldest);
                }
            }
            if let Some(new) = &change.new {
                self.pods.insert(new.meta().uid.clone(), PodFacts { last: new.clone(), removed: None });
            }
        }
        if let Some(lease) = change.new.as_ref().and_then(Object::get::<Lease>) {
            self.leaders.stored(lease);
        }
        for (role, apart) in self.told.values_mut() {
            if told::asked_for(*role).is_some_and(|asked_for| asked_for(change.key.kind)) {
                apart.stored(&change.key, change.old.as_ref());
            }
        }
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(change);
    }

    /// Takes in what the API server shows. If it is what was stored, the two share one copy from now on: it is half of
    /// all memory, and the other half need not be fetched again only to be freed.
    pub(crate) fn share(&mut self, object: &Object) {
        let revision = object.revision();
        if std::mem::replace(&mut self.shared, revision) == revision {
            return;
        }
        let first = self.history.front().map_or(revision, |change| change.revision);
        let at = revision.0.checked_sub(first.0).and_then(|at| usize::try_from(at).ok());
        let Some(stored) = at.and_then(|at| self.history.get_mut(at)?.new.as_mut()) else { return };
        if stored.is_same_copy(object) || stored != object {
            return;
        }
        *stored = object.clone();
        self.disk.share(object);
        if object.kind() == Kind::Pod
            && let Some(facts) = self.pods.get_mut(&object.meta().uid)
            && facts.last.revision() == revision
        {
            facts.last = object.clone();
        }
    }

    /// Takes in the start of a process.
    pub(crate) fn started(&mut self, node: &Arc<str>, process: &Process) {
        let key = (process.pod.uid.clone(), process.container.clone());
        // Nearly always the only one, of very many.
        self.processes.entry(key).or_insert_with(|| Vec::with_capacity(1)).push((node.clone(), process.clone()));
        let name = process.pod.name.clone();
        self.running.entry(name).or_insert_with(|| Vec::with_capacity(1)).push(node.clone());
    }

    /// Takes in the end of a process.
    pub(crate) fn ended(&mut self, node: &Arc<str>, process: &Process) {
        let key = (process.pod.uid.clone(), process.container.clone());
        if let Some(living) = self.processes.get_mut(&key) {
            living.retain(|(on, one)| on != node || one != process);
            if living.is_empty() {
                self.processes.remove(&key);
            }
        }
        let name = process.pod.name.clone();
        if let Some(nodes) = self.running.get_mut(&name) {
            if let Some(at) = nodes.iter().position(|on| on == node) {
                nodes.swap_remove(at);
            }
            if nodes.is_empty() {
                self.running.remove(&name);
            }
        }
    }
}
