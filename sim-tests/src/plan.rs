//! Plans: what operators ask for and which faults strike, as an explicit list made before the run.
//!
//! A plan is data: it can be printed, written to a file, cut, and run again. Nothing in it is drawn; what is drawn
//! during a run is noise (see [`crate::noise`]).

use crate::disk::Unsynced;
use crate::noise::Delay;
use crate::runtime::Trouble;
use crate::trace;
use crate::units;
use miniku_core::api::custom::CustomResourceDefinition;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::durations;
use miniku_core::program::{DeleteOptions, Part, Propagation, Query, Verb};
use miniku_core::time::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// What is done to a cluster, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In any order; the times decide.
    pub entries: Vec<Entry>,
}

/// One entry of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// How long after the start.
    pub at: Duration,
    /// If there is one, what happens waits for it: the first time that it is so from then on.
    pub when: Option<When>,
    /// What happens then.
    pub act: Act,
}

impl Entry {
    /// An entry that waits for nothing but its time.
    pub fn new(at: Duration, act: Act) -> Self {
        Entry { at, when: None, act }
    }
}

/// A place in a run that has no time of its own: right after the n-th of something, counted from the entry's time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum When {
    /// A program has done so many things: asked, cancelled, told its runtime or people.
    Output {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// A program has sent so many requests.
    Request {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// So many answers were sent to a program.
    Reply {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// So many events were sent to a program, on all its watches.
    Event {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// So many writes of a kind have become durable.
    Written {
        /// The kind.
        kind: Kind,
        /// How many.
        nth: u64,
    },
}

impl When {
    /// Whose doing is counted, if it is a program's.
    pub fn actor(&self) -> Option<&str> {
        match self {
            When::Output { actor, .. }
            | When::Request { actor, .. }
            | When::Reply { actor, .. }
            | When::Event { actor, .. } => Some(actor),
            When::Written { .. } => None,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Output { actor, nth } => write!(f, "after output {nth} of {actor}"),
            When::Request { actor, nth } => write!(f, "after request {nth} of {actor}"),
            When::Reply { actor, nth } => write!(f, "after answer {nth} to {actor}"),
            When::Event { actor, nth } => write!(f, "after event {nth} for {actor}"),
            When::Written { kind, nth } => write!(f, "after write {nth} of a {}", kind.row().name),
        }
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// An operator asks for something, again and again until there is an answer.
    Ask(Ask),
    /// A fault strikes.
    Strike(Fault),
}

/// What an operator asks for. Namespaces that are left out are `default`.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// `kubectl create -f`.
    Create(Object),
    /// `kubectl scale rs`.
    Scale(Scale),
    /// `kubectl patch --type=merge`.
    Patch(Patch),
    /// `kubectl replace`: whatever others have written since is overwritten.
    Replace(Object),
    /// Other labels for a pod that has no name of its own: in or out of somebody's selector.
    Relabel(Relabel),
    /// A pod that has no name of its own goes.
    Evict(Evict),
    /// `kubectl delete`.
    Delete(Delete),
    /// `kubectl cordon`: no new pods for a node.
    Cordon(String),
    /// `kubectl uncordon`.
    Uncordon(String),
    /// `kubectl drain --force --disable-eviction`: cordon, then delete the node's pods.
    Drain(String),
    /// `kubectl drain --force`: cordon, then evict the node's pods, each as soon as its disruption budget allows it.
    Vacate(String),
}

/// Another number of pods for a replica set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The replica set.
    pub replica_set: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// How many pods are wished.
    pub replicas: u32,
}

/// Other fields for an object, as RFC 7386 merges them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// What is merged into it.
    pub merge: Value,
    /// Which part of it is written, if not all but the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Piece>,
}

/// A part of an object that is written by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Piece {
    /// `status`: what nobody else says of a node.
    Status,
    /// The wished number, as `kubectl scale` writes it.
    Scale,
}

/// Other labels for one pod: the first, by name, that starts like this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Relabel {
    /// The beginning of its name.
    pub pod: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// The labels; null takes one away.
    pub labels: BTreeMap<String, Option<String>>,
}

/// The end of one pod: the first, by name, that starts like this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evict {
    /// The beginning of its name.
    pub pod: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// Seconds until it is gone by force, 0 for at once; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<i64>,
}

/// The end of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// Seconds until it is gone by force; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<i64>,
    /// What becomes of what it owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
}

fn default_namespace() -> String {
    "default".into()
}

fn is_default(namespace: &str) -> bool {
    namespace == "default"
}

fn key(kind: Kind, namespace: &str, name: &str) -> Key {
    Key::new(kind, if kind.row().namespaced { namespace } else { "" }, name)
}

impl Ask {
    /// The first request that asks for it.
    pub fn verb(&self) -> Verb {
        let cordon = |node: &str, on: bool| {
            let patch = json!({"spec": {"unschedulable": on}});
            Verb::Merge { key: Key::new(Kind::Node, "", node), patch, part: Part::Main }
        };
        match self {
            Ask::Create(object) => Verb::Create { object: object.clone() },
            Ask::Scale(Scale { replica_set, namespace, replicas }) => {
                let patch = json!({"spec": {"replicas": replicas}});
                Verb::Merge { key: Key::new(Kind::ReplicaSet, namespace, replica_set), patch, part: Part::Main }
            }
            Ask::Patch(Patch { kind, name, namespace, merge, of }) => {
                let part = match of {
                    None => Part::Main,
                    Some(Piece::Status) => Part::Status,
                    Some(Piece::Scale) => Part::Scale,
                };
                Verb::Merge { key: key(*kind, namespace, name), patch: merge.clone(), part }
            }
            Ask::Replace(object) => Verb::Update { object: object.clone(), part: Part::Main },
            Ask::Relabel(Relabel { namespace, .. }) | Ask::Evict(Evict { namespace, .. }) => {
                Verb::List(Query { namespace: Some(namespace.as_str().into()), ..Query::all(Kind::Pod) })
            }
            Ask::Delete(Delete { kind, name, namespace, grace_seconds, propagation }) => {
                let (grace_seconds, propagation) = (*grace_seconds, *propagation);
                let options = DeleteOptions { grace_seconds, propagation, ..Default::default() };
                Verb::Delete { key: key(*kind, namespace, name), options }
            }
            Ask::Cordon(node) | Ask::Drain(node) | Ask::Vacate(node) => cordon(node, true),
            Ask::Uncordon(node) => cordon(node, false),
        }
    }
}

/// An entry as a file has it: a time, and one of these.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    #[serde(with = "units::duration", default)]
    at: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<Scale>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patch: Option<Patch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replace: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relabel: Option<Relabel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evict: Option<Evict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delete: Option<Delete>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cordon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncordon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vacate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut line = Line { at: self.at, when: self.when.clone(), ..Line::default() };
        match self.act.clone() {
            Act::Ask(Ask::Create(object)) => line.create = Some(object.to_value()),
            Act::Ask(Ask::Scale(scale)) => line.scale = Some(scale),
            Act::Ask(Ask::Patch(patch)) => line.patch = Some(patch),
            Act::Ask(Ask::Replace(object)) => line.replace = Some(object.to_value()),
            Act::Ask(Ask::Relabel(relabel)) => line.relabel = Some(relabel),
            Act::Ask(Ask::Evict(evict)) => line.evict = Some(evict),
            Act::Ask(Ask::Delete(delete)) => line.delete = Some(delete),
            Act::Ask(Ask::Cordon(node)) => line.cordon = Some(node),
            Act::Ask(Ask::Uncordon(node)) => line.uncordon = Some(node),
            Act::Ask(Ask::Drain(node)) => line.drain = Some(node),
            Act::Ask(Ask::Vacate(node)) => line.vacate = Some(node),
            Act::Strike(fault) => line.fault = Some(fault),
        }
        line.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Line {
            at,
            when,
            create,
            scale,
            patch,
            replace,
            relabel,
            evict,
            delete,
            cordon,
            uncordon,
            drain,
            vacate,
            fault,
        } = Line::deserialize(from)?;
        let object = |manifest: Option<Value>| {
            manifest.map(|manifest| try_object(manifest).map_err(de::Error::custom)).transpose()
        };
        let (create, replace) = (object(create)?, object(replace)?);
        let acts = [
            create.map(|object| Act::Ask(Ask::Create(object))),
            scale.map(|scale| Act::Ask(Ask::Scale(scale))),
            patch.map(|patch| Act::Ask(Ask::Patch(patch))),
            replace.map(|object| Act::Ask(Ask::Replace(object))),
            relabel.map(|relabel| Act::Ask(Ask::Relabel(relabel))),
            evict.map(|evict| Act::Ask(Ask::Evict(evict))),
            delete.map(|delete| Act::Ask(Ask::Delete(delete))),
            cordon.map(|node| Act::Ask(Ask::Cordon(node))),
            uncordon.map(|node| Act::Ask(Ask::Uncordon(node))),
            drain.map(|node| Act::Ask(Ask::Drain(node))),
            vacate.map(|node| Act::Ask(Ask::Vacate(node))),
            fault.map(Act::Strike),
        ];
        let mut acts = acts.into_iter().flatten();
        match (acts.next(), acts.next()) {
            (Some(act), None) => Ok(Entry { at, when, act }),
            (None, _) => Err(de::Error::custom(
                "an entry needs one of create, scale, patch, replace, relabel, evict, delete, cordon, uncordon, drain, vacate, \
                 fault",
            )),
            (Some(_), Some(_)) => Err(de::Error::custom("an entry does one thing; write two entries for two")),
        }
    }
}

/// So many of so many; in files, `1/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let ratio = text.split_once('/').and_then(|(some, all)| Some(Ratio(some.parse().ok()?, all.parse().ok()?)));
        ratio
            .filter(|Ratio(some, all)| some <= all && *all > 0)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is no share; examples: 1/3, 1/1")))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Ratio::NONE
    }
}

impl Ratio {
    /// None at all.
    pub const NONE: Ratio = Ratio(0, 1);
    /// All.
    pub const ALL: Ratio = Ratio(1, 1);

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Whether these are all.
    pub fn is_all(self) -> bool {
        self.0 >= self.1
    }
}

/// What is wrong with the way between an actor and the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Weather {
    /// Requests that do not arrive. The caller hears of it after the time-out.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub requests_lost: Ratio,
    /// Requests that arrive twice, as where something on the way tries again by itself. Never those that open watches.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub requests_doubled: Ratio,
    /// Answers that do not arrive, to requests that were carried out. If all are lost, watches break too.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub replies_lost: Ratio,
    /// Answers that arrive twice.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub doubled: Ratio,
    /// What is added to every message's delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Delay>,
    /// A few messages are much slower than all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spikes: Option<Spikes>,
    /// Nothing comes through, and nothing is lost: what was held arrives in the order in which it was sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clogged: bool,
    /// The same for events of watches alone. The watches stay open.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stalled: bool,
    /// No watch is told how far it has come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_bookmarks: bool,
    /// Events of a watch are taken in one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Consumer>,
    /// Lists come from a server that lags behind, as far as they may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
    /// It comes and goes: bad for so long, good for so long, and so on.
    #[serde(with = "units::maybe_duration", skip_serializing_if = "Option::is_none")]
    pub flaps: Option<Duration>,
}

/// Delays that are rare and long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spikes {
    /// How many of the messages.
    pub share: Ratio,
    /// What is added to them.
    pub by: Delay,
}

/// Who takes events in slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consumer {
    /// From one event to the next.
    #[serde(with = "units::duration")]
    pub each: Duration,
    /// With more events than that waiting for it, the watch ends.
    pub buffer: usize,
}

/// How far a server lags behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Stale {
    /// So many revisions.
    Revisions(u64),
    /// So long.
    Time(#[serde(with = "units::duration")] Duration),
}

impl Weather {
    /// Nothing is wrong.
    pub const FAIR: Weather = Weather {
        requests_lost: Ratio::NONE,
        requests_doubled: Ratio::NONE,
        replies_lost: Ratio::NONE,
        doubled: Ratio::NONE,
        slow: None,
        spikes: None,
        clogged: false,
        stalled: false,
        no_bookmarks: false,
        consumer: None,
        stale: None,
        flaps: None,
    };
    /// Nothing comes through, in either direction.
    pub const CUT: Weather = Weather { requests_lost: Ratio::ALL, replies_lost: Ratio::ALL, ..Weather::FAIR };
    /// Nothing comes through as long as it lasts.
    pub const CLOG: Weather = Weather { clogged: true, ..Weather::FAIR };
}

/// What happens to one message of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Mishap {
    /// The request does not arrive.
    RequestLost,
    /// The request arrives twice; one that opens a watch, once.
    RequestDoubled,
    /// The request arrives so much later.
    RequestLate(#[serde(with = "units::duration")] Duration),
    /// Right before the request arrives, somebody annotates the object that it is about.
    Conflict,
    /// The answer does not arrive.
    ReplyLost,
    /// The answer arrives so much later; not at all, if that is after the time-out.
    ReplyLate(#[serde(with = "units::duration")] Duration),
    /// The watch on which the event came ends right after it.
    WatchCut,
    /// The list within a life comes from a server that lags behind by so many revisions, as far as it may.
    Stale(u64),
}

/// Groups of programs, by the words that stand for them where a program's name can stand.
pub const GROUPS: &[&str] = &["all nodes", "all controllers", "everybody", "a random half"];

/// Something that goes wrong. Whatever `lasts` or is `down` for a time is whole again afterwards.
///
/// Where a program is named, one of [`GROUPS`] can be named as well: each of the group is struck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The API server is killed.
    ApiServerCrash {
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
        /// What becomes of the writes that were on their way to the disk.
        unsynced: Unsynced,
    },
    /// A program is killed; what it started lives on.
    Crash {
        /// Its name.
        actor: String,
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program is told to end, and does so in good order, as at an update; what it started lives on.
    Stop {
        /// Its name.
        actor: String,
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program is killed in the middle of a step: right after one of its next outputs.
    CrashAfterOutput {
        /// Its name.
        actor: String,
        /// So many outputs from now.
        outputs: u64,
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program is killed again and again, soon after each start. `apiserver` can be named.
    CrashLoop {
        /// Its name.
        actor: String,
        /// How often in all.
        times: u32,
        /// How long it is up in between; right after its first step if this is 0.
        #[serde(with = "units::duration")]
        up: Duration,
        /// How long it is away each time.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program stands still, as in a virtual machine that is paused: what comes waits, then comes at once, and its
    /// clocks have gone on. `apiserver` can be named.
    Freeze {
        /// Its name.
        actor: String,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// What a program does leaves it late.
    Slow {
        /// Its name.
        actor: String,
        /// How late.
        delay: Delay,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Somebody annotates objects right before writes of a program to them arrive.
    Intruder {
        /// The program's name.
        actor: String,
        /// Of how many of its writes.
        share: Ratio,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A second life of a program runs beside the first: two leaders. Never of kubelets, of which a node has one.
    ///
    /// Nothing is lost by it for good, and nothing runs twice. But two schedulers can both give away the last room of a
    /// node, since a bind is conditional on its pod alone (S-fit). Two replica set controllers that see different
    /// things at one time fill one gap under two names, as long as a name is free for one and not yet for the other
    /// (S-count), and write what each of them counts over the other's count (L-hot). The others stand it.
    Twin {
        /// Its name.
        actor: String,
        /// How long, until the second is killed.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A machine loses power, with all its processes.
    NodeCrash {
        /// The node's name.
        node: String,
        /// How long it is away; for ever if absent.
        #[serde(with = "units::maybe_duration", default, skip_serializing_if = "Option::is_none")]
        down: Option<Duration>,
    },
    /// A machine stands still, with all its processes.
    NodeFreeze {
        /// The node's name.
        node: String,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A node's container runtime is in trouble.
    Runtime {
        /// The node's name.
        node: String,
        /// Which.
        trouble: Trouble,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// The way between a program and the API server is bad.
    Link {
        /// The program's name.
        actor: String,
        /// How bad.
        weather: Weather,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Programs' ways are clogged one by one, in a drawn order, and cleared one by one in another.
    Swizzle {
        /// The programs: a group.
        actor: String,
        /// From the first that is clogged to the last that is cleared.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// One of a program's next messages meets with something.
    Message {
        /// The program's name.
        actor: String,
        /// Which one of those that this can happen to: requests, answers, events or lists within its life.
        nth: u64,
        /// What happens.
        mishap: Mishap,
    },
    /// All connections of a program break: what it asked is lost to it, carried out or not, and all watches end.
    Reset {
        /// The program's name.
        actor: String,
    },
    /// All watches of a program end.
    CutWatches {
        /// The program's name.
        actor: String,
    },
    /// All watches of a program end as too old.
    ExpireWatches {
        /// The program's name.
        actor: String,
    },
    /// All history is forgotten: every watch ends as too old, and none begins in the past.
    Compact {},
    /// The API server refuses what it is asked.
    Overload {
        /// How much of it.
        share: Ratio,
        /// With which HTTP status: 429, 500, 503.
        code: u16,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Nothing can be written.
    DiskFull {
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// The API server's disk is slow.
    SlowDisk {
        /// What is added to each sync.
        sync: Delay,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Syncs of the API server's disk fail, and nothing of them is written.
    SyncErrors {
        /// How many.
        share: Ratio,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A program's wall clock shows another time, and then jumps back. A kubelet's is its node's. `apiserver` can be
    /// named.
    WallClock {
        /// The program's name.
        actor: String,
        /// How far it is off.
        off: Off,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A program's monotonic clock runs at another speed. `apiserver` can be named.
    Drift {
        /// The program's name.
        actor: String,
        /// How much faster than the world's, in thousandths; negative if slower.
        per_mille: i32,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// The processes of one pod end by themselves: of the first, by name, that starts like this and has any.
    ProcessesEnd {
        /// The beginning of the pod's name.
        pod: String,
        /// Their exit status.
        code: i32,
    },
    /// The kernel kills the processes of such a pod for lack of memory.
    OutOfMemory {
        /// The beginning of the pod's name.
        pod: String,
    },
    /// The processes of such pods end again and again.
    CrashingContainers {
        /// The beginning of the pods' names.
        pod: String,
        /// How often one such pod is struck.
        #[serde(with = "units::duration")]
        every: Duration,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
}

/// How far a wall clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Off {
    /// It shows a time to come.
    Ahead(#[serde(with = "units::duration")] Duration),
    /// It shows a time that has passed.
    Behind(#[serde(with = "units::duration")] Duration),
}

impl Fault {
    /// What it strikes, as reports draw it: an actor, a node, `apiserver`, `disk`, the beginning of a pod's name.
    pub fn target(&self) -> &str {
        match self {
            Fault::ApiServerCrash { .. } | Fault::Compact {} | Fault::Overload { .. } => "apiserver",
            Fault::Crash { actor, .. }
            | Fault::Stop { actor, .. }
            | Fault::CrashAfterOutput { actor, .. }
            | Fault::CrashLoop { actor, .. }
            | Fault::Freeze { actor, .. }
            | Fault::Slow { actor, .. }
            | Fault::Intruder { actor, .. }
            | Fault::Twin { actor, .. }
            | Fault::Link { actor, .. }
            | Fault::Swizzle { actor, .. }
            | Fault::Message { actor, .. }
            | Fault::Reset { actor }
            | Fault::CutWatches { actor }
            | Fault::ExpireWatches { actor }
            | Fault::WallClock { actor, .. }
            | Fault::Drift { actor, .. } => actor,
            Fault::NodeCrash { node, .. } | Fault::NodeFreeze { node, .. } | Fault::Runtime { node, .. } => node,
            Fault::DiskFull { .. } | Fault::SlowDisk { .. } | Fault::SyncErrors { .. } => "disk",
            Fault::ProcessesEnd { pod, .. } | Fault::OutOfMemory { pod } | Fault::CrashingContainers { pod, .. } => pod,
        }
    }

    /// The program or group that it names.
    pub fn actor(&self) -> Option<&str> {
        match self {
            Fault::ApiServerCrash { .. }
            | Fault::Compact {}
            | Fault::Overload { .. }
            | Fault::NodeCrash { .. }
            | Fault::NodeFreeze { .. }
            | Fault::Runtime { .. }
            | Fault::DiskFull { .. }
            | Fault::SlowDisk { .. }
            | Fault::SyncErrors { .. }
            | Fault::ProcessesEnd { .. }
            | Fault::OutOfMemory { .. }
            | Fault::CrashingContainers { .. } => None,
            _ => Some(self.target()),
        }
    }

    /// The node that it names.
    pub fn node(&self) -> Option<&str> {
        match self {
            Fault::NodeCrash { node, .. } | Fault::NodeFreeze { node, .. } | Fault::Runtime { node, .. } => Some(node),
            _ => None,
        }
    }

    /// Whether the API server can be struck like this.
    pub fn strikes_server(&self) -> bool {
        matches!(self, Fault::CrashLoop { .. } | Fault::Freeze { .. } | Fault::WallClock { .. } | Fault::Drift { .. })
    }

    /// How long its effects last, until everything is started and connected again.
    pub fn lasts(&self) -> Duration {
        match self {
            Fault::ApiServerCrash { down, .. }
            | Fault::Crash { down, .. }
            | Fault::Stop { down, .. }
            | Fault::CrashAfterOutput { down, .. } => *down,
            Fault::CrashLoop { times, up, down, .. } => (*up + *down) * *times,
            Fault::NodeCrash { down, .. } => down.unwrap_or_default(),
            Fault::Link { lasts, .. }
            | Fault::DiskFull { lasts }
            | Fault::Freeze { lasts, .. }
            | Fault::Slow { lasts, .. }
            | Fault::Intruder { lasts, .. }
            | Fault::Twin { lasts, .. }
            | Fault::NodeFreeze { lasts, .. }
            | Fault::Runtime { lasts, .. }
            | Fault::Swizzle { lasts, .. }
            | Fault::Overload { lasts, .. }
            | Fault::SlowDisk { lasts, .. }
            | Fault::SyncErrors { lasts, .. }
            | Fault::WallClock { lasts, .. }
            | Fault::Drift { lasts, .. }
            | Fault::CrashingContainers { lasts, .. } => *lasts,
            Fault::Message { mishap: Mishap::RequestLate(by) | Mishap::ReplyLate(by), .. } => *by,
            Fault::CutWatches { .. }
            | Fault::ExpireWatches { .. }
            | Fault::Reset { .. }
            | Fault::Compact {}
            | Fault::Message { .. }
            | Fault::ProcessesEnd { .. }
            | Fault::OutOfMemory { .. } => Duration::ZERO,
        }
    }

    /// What is so again when it is over, for those that are told to end.
    pub fn healed(&self) -> Option<String> {
        Some(match self {
            Fault::Link { actor, .. } => format!("the link of {actor} is good again"),
            Fault::Swizzle { actor, .. } => format!("the links of {actor} are good again"),
            Fault::DiskFull { .. } => "the disk has room again".into(),
            Fault::SlowDisk { .. } => "the disk is fast again".into(),
            Fault::SyncErrors { .. } => "the disk is sound again".into(),
            Fault::Overload { .. } => "the API server has time again".into(),
            Fault::Freeze { actor, .. } => format!("{actor} goes on"),
            Fault::NodeFreeze { node, .. } => format!("{node} goes on"),
            Fault::Slow { actor, .. } => format!("{actor} is fast again"),
            Fault::Intruder { actor, .. } => format!("nobody is in the way of {actor}"),
            Fault::Twin { actor, .. } => format!("there is one {actor} again"),
            Fault::Runtime { node, .. } => format!("the runtime of {node} is well again"),
            Fault::WallClock { actor, .. } => format!("the clock of {actor} is right again"),
            Fault::Drift { actor, .. } => format!("the clock of {actor} runs as it should"),
            Fault::CrashingContainers { pod, .. } => format!("pods {pod}* are left alone"),
            Fault::ApiServerCrash { .. }
            | Fault::Crash { .. }
            | Fault::Stop { .. }
            | Fault::CrashAfterOutput { .. }
            | Fault::CrashLoop { .. }
            | Fault::NodeCrash { .. }
            | Fault::Message { .. }
            | Fault::Reset { .. }
            | Fault::CutWatches { .. }
            | Fault::ExpireWatches { .. }
            | Fault::Compact {}
            | Fault::ProcessesEnd { .. }
            | Fault::OutOfMemory { .. } => return None,
        })
    }
}

impl Plan {
    /// Adds something an operator asks for.
    pub fn ask(&mut self, at: Duration, ask: Ask) {
        self.entries.push(Entry { at, when: None, act: Act::Ask(ask) });
    }

    /// Adds a fault.
    pub fn strike(&mut self, at: Duration, fault: Fault) {
        self.entries.push(Entry { at, when: None, act: Act::Strike(fault) });
    }

    /// When the last entry has been carried out and all faults are over.
    pub fn end(&self) -> Duration {
        let end = |entry: &Entry| match &entry.act {
            Act::Ask(_) => entry.at,
            Act::Strike(fault) => entry.at + fault.lasts(),
        };
        self.entries.iter().map(end).max().unwrap_or_default()
    }

    /// What operators ask for at a time, in order.
    pub fn asks(&self) -> Vec<(Duration, Ask)> {
        let asks = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Ask(ask) if entry.when.is_none() => Some((entry.at, ask.clone())),
            Act::Ask(_) | Act::Strike(_) => None,
        });
        let mut asks: Vec<_> = asks.collect();
        asks.sort_by_key(|(at, _)| *at);
        asks
    }

    /// What operators ask for when something has happened, in the order of the times from which on that counts.
    pub fn asks_when(&self) -> Vec<(Duration, When, Ask)> {
        let asks = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Ask(ask) => Some((entry.at, entry.when.clone()?, ask.clone())),
            Act::Strike(_) => None,
        });
        let mut asks: Vec<_> = asks.collect();
        asks.sort_by_key(|(at, ..)| *at);
        asks
    }

    /// The faults, in order.
    pub fn faults(&self) -> Vec<(Duration, Option<When>, Fault)> {
        let faults = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Strike(fault) => Some((entry.at, entry.when.clone(), fault.clone())),
            Act::Ask(_) => None,
        });
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by_key(|(at, ..)| *at);
        faults
    }
}

/// The object that a manifest describes, in `default` if it names no namespace. Of custom kinds those are known whose
/// definition was described before.
pub fn try_object(manifest: Value) -> Result<Object, String> {
    let name = manifest["kind"].as_str().ok_or("a manifest needs a kind")?;
    let custom = || Kind::named(manifest["apiVersion"].as_str()?, name);
    let kind = Kind::meant(name).or_else(custom).ok_or_else(|| format!("{name:?} is no kind that acts here"))?;
    let object = Object::from_value(kind, manifest).map_err(|error| error.to_string())?;
    if let Some(definition) = object.get::<CustomResourceDefinition>() {
        // It is no more than wished for yet; but what follows may be of its kind.
        definition.kind();
    }
    Ok(match kind.row().namespaced && object.meta().namespace.is_empty() {
        true => object.with_meta(|meta| meta.namespace = "default".into()),
        false => object,
    })
}

/// The same for manifests that stand in the source. Panics where it describes none.
pub fn object(manifest: Value) -> Object {
    try_object(manifest).expect("a manifest in the source is an object of its kind")
}

/// `kubectl create -f`.
pub fn create(manifest: Value) -> Ask {
    Ask::Create(object(manifest))
}

/// `kubectl scale rs NAME --replicas=N`.
pub fn scale(set: &str, replicas: u32) -> Ask {
    Ask::Scale(Scale { replica_set: set.to_owned(), namespace: default_namespace(), replicas })
}

/// `kubectl delete KIND NAME`, in `default` or without a namespace.
pub fn delete(kind: Kind, name: &str) -> Ask {
    let (name, namespace) = (name.to_owned(), default_namespace());
    Ask::Delete(Delete { kind, name, namespace, grace_seconds: None, propagation: None })
}

/// A pod of this name.
pub fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// A replica set of pods with one container, which runs this command line in `sh`; for ever, if that is empty.
pub fn replica_set(name: &str, replicas: usize, script: &str) -> Value {
    let command = if script.is_empty() { json!([]) } else { json!(["sh", "-c", script]) };
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [{
                    "name": "main", "image": "busybox", "command": command,
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}
                }]}
            }
        }
    })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}  ", Millis(self.at))?;
        if let Some(when) = &self.when {
            write!(f, "{when}: ")?;
        }
        match &self.act {
            Act::Ask(Ask::Drain(node)) => write!(f, "operator: drain no/{node}"),
            Act::Ask(Ask::Vacate(node)) => write!(f, "operator: vacate no/{node}"),
            Act::Ask(Ask::Evict(Evict { pod, grace_seconds: None, .. })) => write!(f, "operator: evict po/{pod}*"),
            Act::Ask(Ask::Evict(Evict { pod, grace_seconds: Some(grace), .. })) => {
                write!(f, "operator: evict po/{pod}* within {grace}s")
            }
            Act::Ask(Ask::Relabel(Relabel { pod, labels, .. })) => {
                write!(f, "operator: label po/{pod}* {}", json!(labels))
            }
            Act::Ask(ask) => write!(f, "operator: {}", trace::request(&ask.verb().into())),
            Act::Strike(fault) => write!(f, "{fault}"),
        }
    }
}

/// Seconds with three digits.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:03}", self.0.as_secs(), self.0.subsec_millis()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::ApiServerCrash { down, unsynced } => {
                write!(f, "API server crashes for {}s, unsynced writes are {unsynced}", Millis(*down))
            }
            Fault::Crash { actor, down } => write!(f, "{actor} crashes for {}s", Millis(*down)),
            Fault::Stop { actor, down } => write!(f, "{actor} is ended for {}s", Millis(*down)),
            Fault::CrashAfterOutput { actor, outputs, down } => {
                write!(f, "{actor} crashes after output {outputs} for {}s", Millis(*down))
            }
            Fault::CrashLoop { actor, times, up, down } => {
                write!(f, "{actor} crashes {times} times for {}s, {}s apart", Millis(*down), Millis(*up))
            }
            Fault::Freeze { actor, lasts } => write!(f, "{actor} stands still for {}s", Millis(*lasts)),
            Fault::Slow { actor, delay, lasts } => {
                write!(f, "{actor} is {} slower for {}s", Added(delay), Millis(*lasts))
            }
            Fault::Intruder { actor, share, lasts } => {
                write!(f, "{share} of the writes of {actor} meet an intruder for {}s", Millis(*lasts))
            }
            Fault::Twin { actor, lasts } => write!(f, "there are two {actor} for {}s", Millis(*lasts)),
            Fault::NodeCrash { node, down: Some(down) } => write!(f, "{node} loses power for {}s", Millis(*down)),
            Fault::NodeCrash { node, down: None } => write!(f, "{node} loses power for ever"),
            Fault::NodeFreeze { node, lasts } => write!(f, "{node} stands still for {}s", Millis(*lasts)),
            Fault::Runtime { node, trouble, lasts } => {
                write!(f, "runtime of {node} for {}s: {trouble}", Millis(*lasts))
            }
            Fault::Link { actor, weather, lasts } => {
                write!(f, "{actor} <-> API server for {}s: {weather}", Millis(*lasts))
            }
            Fault::Swizzle { actor, lasts } => {
                write!(f, "{actor} <-> API server for {}s: clogged and cleared one by one", Millis(*lasts))
            }
            Fault::Message { actor, nth, mishap } => match mishap {
                Mishap::RequestLost => write!(f, "request {nth} of {actor} is lost"),
                Mishap::RequestDoubled => write!(f, "request {nth} of {actor} arrives twice"),
                Mishap::RequestLate(by) => write!(f, "request {nth} of {actor} is {}s late", Millis(*by)),
                Mishap::Conflict => write!(f, "request {nth} of {actor} meets an intruder"),
                Mishap::ReplyLost => write!(f, "answer {nth} to {actor} is lost"),
                Mishap::ReplyLate(by) => write!(f, "answer {nth} to {actor} is {}s late", Millis(*by)),
                Mishap::WatchCut => write!(f, "a watch of {actor} ends after event {nth}"),
                Mishap::Stale(by) => write!(f, "list {nth} of {actor} is {by} revisions old"),
            },
            Fault::Reset { actor } => write!(f, "all connections of {actor} break"),
            Fault::CutWatches { actor } => write!(f, "all watches of {actor} end"),
            Fault::ExpireWatches { actor } => write!(f, "all watches of {actor} end as too old"),
            Fault::Compact {} => f.write_str("API server forgets all history"),
            Fault::Overload { share, code, lasts } => {
                write!(f, "API server refuses {share} of all with {code} for {}s", Millis(*lasts))
            }
            Fault::DiskFull { lasts } => write!(f, "disk full for {}s", Millis(*lasts)),
            Fault::SlowDisk { sync, lasts } => write!(f, "disk {} slower for {}s", Added(sync), Millis(*lasts)),
            Fault::SyncErrors { share, lasts } => write!(f, "{share} of all syncs fail for {}s", Millis(*lasts)),
            Fault::WallClock { actor, off, lasts } => {
                let (off, which) = match off {
                    Off::Ahead(off) => (off, "ahead"),
                    Off::Behind(off) => (off, "behind"),
                };
                write!(f, "clock of {actor} is {} {which} for {}s", durations::text(*off), Millis(*lasts))
            }
            Fault::Drift { actor, per_mille, lasts } => {
                write!(f, "clock of {actor} runs {per_mille:+}/1000 faster for {}s", Millis(*lasts))
            }
            Fault::ProcessesEnd { pod, code } => write!(f, "the processes of pod {pod}* exit with {code}"),
            Fault::OutOfMemory { pod } => write!(f, "the processes of pod {pod}* are out of memory"),
            Fault::CrashingContainers { pod, every, lasts } => {
                write!(f, "the processes of pods {pod}* end every {}s for {}s", Millis(*every), Millis(*lasts))
            }
        }
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Weather::CUT {
            return f.write_str("cut");
        }
        let share = |ratio: Ratio, what: &str| (!ratio.is_none()).then(|| format!("{ratio} {what}"));
        let word = |is: bool, what: &str| is.then(|| what.to_owned());
        let told = [
            share(self.requests_lost, "requests lost"),
            share(self.requests_doubled, "requests doubled"),
            share(self.replies_lost, "replies lost"),
            share(self.doubled, "doubled"),
            self.slow.map(|slow| format!("{} slower", Added(&slow))),
            self.spikes.map(|Spikes { share, by }| format!("{share} {} slower", Added(&by))),
            word(self.clogged, "clogged"),
            word(self.stalled, "watches stall"),
            word(self.no_bookmarks, "no bookmarks"),
            self.consumer.map(|Consumer { each, buffer }| {
                format!("an event every {}, {buffer} may wait", durations::text(each))
            }),
            self.stale.map(|stale| match stale {
                Stale::Revisions(by) => format!("lists {by} revisions old"),
                Stale::Time(by) => format!("lists {} old", durations::text(by)),
            }),
            self.flaps.map(|flaps| format!("on and off every {}", durations::text(flaps))),
        ];
        f.write_str(&told.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What is added to a delay.
pub(crate) struct Added<'a>(pub(crate) &'a Delay);

impl fmt::Display for Added<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} + {}", durations::text(self.0.min), durations::text(self.0.mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_a_custom_kind_follow_its_definition() {
        let gauge = || json!({"apiVersion": "plan.test/v1", "kind": "Gauge", "metadata": {"name": "one"}});
        assert!(try_object(gauge()).unwrap_err().contains("is no kind that acts here"));
        let spec = json!({"group": "plan.test", "scope": "Namespaced", "names": {"plural": "gauges", "kind": "Gauge"},
            "versions": [{"name": "v1", "served": true, "storage": true}]});
        object(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "gauges.plan.test"}, "spec": spec}));
        assert_eq!(object(gauge()).key().to_string(), "gauges.plan.test/default/one");
        assert_eq!(try_object(object(gauge()).to_value()), Ok(object(gauge())));
    }
}
