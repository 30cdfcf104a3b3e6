//! Plans: what operators ask for and which faults strike, as an explicit list made before the run.
//!
//! A plan is data: it can be printed, written to a file, cut, and run again. Nothing in it is drawn; what is drawn
//! during a run is noise (see [`crate::noise`]).

use crate::disk::Unsynced;
use crate::noise::Delay;
use crate::trace;
use crate::units;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::durations;
use miniku_core::program::{DeleteOptions, Part, Propagation, Verb};
use miniku_core::time::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};
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
    /// What happens then.
    pub act: Act,
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
    /// `kubectl delete`.
    Delete(Delete),
    /// `kubectl cordon`: no new pods for a node.
    Cordon(String),
    /// `kubectl uncordon`.
    Uncordon(String),
    /// `kubectl drain --force --disable-eviction`: cordon, then delete the node's pods.
    Drain(String),
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
            Ask::Patch(Patch { kind, name, namespace, merge }) => {
                Verb::Merge { key: key(*kind, namespace, name), patch: merge.clone(), part: Part::Main }
            }
            Ask::Delete(Delete { kind, name, namespace, grace_seconds, propagation }) => {
                let (grace_seconds, propagation) = (*grace_seconds, *propagation);
                let options = DeleteOptions { grace_seconds, propagation, ..Default::default() };
                Verb::Delete { key: key(*kind, namespace, name), options }
            }
            Ask::Cordon(node) | Ask::Drain(node) => cordon(node, true),
            Ask::Uncordon(node) => cordon(node, false),
        }
    }
}

/// An entry as a file has it: a time, and one of these.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    #[serde(with = "units::duration")]
    at: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<Scale>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patch: Option<Patch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delete: Option<Delete>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cordon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncordon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut line = Line { at: self.at, ..Line::default() };
        match self.act.clone() {
            Act::Ask(Ask::Create(object)) => line.create = Some(object.to_value()),
            Act::Ask(Ask::Scale(scale)) => line.scale = Some(scale),
            Act::Ask(Ask::Patch(patch)) => line.patch = Some(patch),
            Act::Ask(Ask::Delete(delete)) => line.delete = Some(delete),
            Act::Ask(Ask::Cordon(node)) => line.cordon = Some(node),
            Act::Ask(Ask::Uncordon(node)) => line.uncordon = Some(node),
            Act::Ask(Ask::Drain(node)) => line.drain = Some(node),
            Act::Strike(fault) => line.fault = Some(fault),
        }
        line.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Line { at, create, scale, patch, delete, cordon, uncordon, drain, fault } = Line::deserialize(from)?;
        let create = create.map(|manifest| try_object(manifest).map_err(de::Error::custom)).transpose()?;
        let acts = [
            create.map(|object| Act::Ask(Ask::Create(object))),
            scale.map(|scale| Act::Ask(Ask::Scale(scale))),
            patch.map(|patch| Act::Ask(Ask::Patch(patch))),
            delete.map(|delete| Act::Ask(Ask::Delete(delete))),
            cordon.map(|node| Act::Ask(Ask::Cordon(node))),
            uncordon.map(|node| Act::Ask(Ask::Uncordon(node))),
            drain.map(|node| Act::Ask(Ask::Drain(node))),
            fault.map(Act::Strike),
        ];
        let mut acts = acts.into_iter().flatten();
        match (acts.next(), acts.next()) {
            (Some(act), None) => Ok(Entry { at, act }),
            (None, _) => Err(de::Error::custom(
                "an entry needs one of create, scale, patch, delete, cordon, uncordon, drain, fault",
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
    /// Answers that do not arrive, to requests that were carried out. If all are lost, watches break too.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub replies_lost: Ratio,
    /// Answers that arrive twice.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub doubled: Ratio,
    /// What is added to every message's delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Delay>,
}

impl Weather {
    /// Nothing is wrong.
    pub const FAIR: Weather =
        Weather { requests_lost: Ratio::NONE, replies_lost: Ratio::NONE, doubled: Ratio::NONE, slow: None };
    /// Nothing comes through, in either direction.
    pub const CUT: Weather = Weather { requests_lost: Ratio::ALL, replies_lost: Ratio::ALL, ..Weather::FAIR };
}

/// Something that goes wrong. Whatever `lasts` or is `down` for a time is whole again afterwards.
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
    /// A machine loses power, with all its processes.
    NodeCrash {
        /// The node's name.
        node: String,
        /// How long it is away; for ever if absent.
        #[serde(with = "units::maybe_duration", default, skip_serializing_if = "Option::is_none")]
        down: Option<Duration>,
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
    /// All watches of a program end.
    CutWatches {
        /// The program's name.
        actor: String,
    },
    /// Nothing can be written.
    DiskFull {
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
}

impl Fault {
    /// What it strikes, as reports draw it: an actor, a node, `apiserver`, `disk`, the beginning of a pod's name.
    pub fn target(&self) -> &str {
        match self {
            Fault::ApiServerCrash { .. } => "apiserver",
            Fault::Crash { actor, .. }
            | Fault::CrashAfterOutput { actor, .. }
            | Fault::Link { actor, .. }
            | Fault::CutWatches { actor } => actor,
            Fault::NodeCrash { node, .. } => node,
            Fault::DiskFull { .. } => "disk",
            Fault::ProcessesEnd { pod, .. } => pod,
        }
    }

    /// How long its effects last, until everything is started and connected again.
    pub fn lasts(&self) -> Duration {
        match self {
            Fault::ApiServerCrash { down, .. } | Fault::Crash { down, .. } | Fault::CrashAfterOutput { down, .. } => {
                *down
            }
            Fault::NodeCrash { down, .. } => down.unwrap_or_default(),
            Fault::Link { lasts, .. } | Fault::DiskFull { lasts } => *lasts,
            Fault::CutWatches { .. } | Fault::ProcessesEnd { .. } => Duration::ZERO,
        }
    }
}

impl Plan {
    /// Adds something an operator asks for.
    pub fn ask(&mut self, at: Duration, ask: Ask) {
        self.entries.push(Entry { at, act: Act::Ask(ask) });
    }

    /// Adds a fault.
    pub fn strike(&mut self, at: Duration, fault: Fault) {
        self.entries.push(Entry { at, act: Act::Strike(fault) });
    }

    /// When the last entry has been carried out and all faults are over.
    pub fn end(&self) -> Duration {
        let end = |entry: &Entry| match &entry.act {
            Act::Ask(_) => entry.at,
            Act::Strike(fault) => entry.at + fault.lasts(),
        };
        self.entries.iter().map(end).max().unwrap_or_default()
    }

    /// What operators ask for, in order.
    pub fn asks(&self) -> Vec<(Duration, Ask)> {
        let asks = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Ask(ask) => Some((entry.at, ask.clone())),
            Act::Strike(_) => None,
        });
        let mut asks: Vec<_> = asks.collect();
        asks.sort_by_key(|(at, _)| *at);
        asks
    }

    /// The faults, in order.
    pub fn faults(&self) -> Vec<(Duration, Fault)> {
        let faults = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Strike(fault) => Some((entry.at, fault.clone())),
            Act::Ask(_) => None,
        });
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by_key(|(at, _)| *at);
        faults
    }
}

/// The object that a manifest describes, in `default` if it names no namespace.
pub fn try_object(manifest: Value) -> Result<Object, String> {
    let name = manifest["kind"].as_str().ok_or("a manifest needs a kind")?;
    let kind = Kind::meant(name).ok_or_else(|| format!("{name:?} is no kind that acts here"))?;
    let object = Object::from_value(kind, manifest).map_err(|error| error.to_string())?;
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
        match &self.act {
            Act::Ask(Ask::Drain(node)) => write!(f, "operator: drain no/{node}"),
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
                let writes = if *unsynced == Unsynced::Lost { "lost" } else { "kept" };
                write!(f, "API server crashes for {}s, unsynced writes are {writes}", Millis(*down))
            }
            Fault::Crash { actor, down } => write!(f, "{actor} crashes for {}s", Millis(*down)),
            Fault::CrashAfterOutput { actor, outputs, down } => {
                write!(f, "{actor} crashes after output {outputs} for {}s", Millis(*down))
            }
            Fault::NodeCrash { node, down: Some(down) } => write!(f, "{node} loses power for {}s", Millis(*down)),
            Fault::NodeCrash { node, down: None } => write!(f, "{node} loses power for ever"),
            Fault::Link { actor, weather, lasts } => {
                write!(f, "{actor} <-> API server for {}s: ", Millis(*lasts))?;
                if *weather == Weather::CUT {
                    return f.write_str("cut");
                }
                let (requests, replies, doubled) = (weather.requests_lost, weather.replies_lost, weather.doubled);
                write!(f, "{}/{} requests lost, {}/{} replies lost", requests.0, requests.1, replies.0, replies.1)?;
                write!(f, ", {}/{} doubled", doubled.0, doubled.1)?;
                weather.slow.map_or(Ok(()), |slow| {
                    write!(f, ", {} + {} slower", durations::text(slow.min), durations::text(slow.mean))
                })
            }
            Fault::CutWatches { actor } => write!(f, "all watches of {actor} end"),
            Fault::DiskFull { lasts } => write!(f, "disk full for {}s", Millis(*lasts)),
            Fault::ProcessesEnd { pod, code } => write!(f, "the processes of pod {pod}* exit with {code}"),
        }
    }
}
