//! The plan of a run: what operators do and which faults strike, at which times.
//!
//! It is an explicit list, made before the run, by hand or from a seed. It can be printed, cut and kept. Delays are
//! no part of it: they are drawn by what they are for (see [`crate::noise`]).

use crate::disk::Unsynced;
use crate::noise::Delay;
use crate::trace;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{DeleteOptions, Part, Verb};
use miniku_core::time::Duration;
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
    Ask(Verb),
    /// A fault strikes.
    Strike(Fault),
}

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl Ratio {
    /// None at all.
    pub const NONE: Ratio = Ratio(0, 1);
    /// All.
    pub const ALL: Ratio = Ratio(1, 1);

    /// Whether these are all.
    pub fn is_all(self) -> bool {
        self.0 >= self.1
    }
}

/// What is wrong with the way between an actor and the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Requests that do not arrive. The caller hears of it after the time-out.
    pub requests_lost: Ratio,
    /// Answers that do not arrive, to requests that were carried out. If all are lost, watches break too.
    pub replies_lost: Ratio,
    /// Answers that arrive twice.
    pub doubled: Ratio,
    /// What is added to every message's delay.
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
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The API server is killed.
    ApiServerCrash {
        /// How long it is away.
        down: Duration,
        /// What becomes of the writes that were on their way to the disk.
        unsynced: Unsynced,
    },
    /// A program is killed; what it started lives on.
    Crash {
        /// Its name.
        actor: String,
        /// How long it is away.
        down: Duration,
    },
    /// A program is killed in the middle of a step: right after one of its next outputs.
    CrashAfterOutput {
        /// Its name.
        actor: String,
        /// So many outputs from now.
        outputs: u64,
        /// How long it is away.
        down: Duration,
    },
    /// A machine loses power, with all its processes.
    NodeCrash {
        /// The node's name.
        node: String,
        /// How long it is away; for ever if absent.
        down: Option<Duration>,
    },
    /// The way between a program and the API server is bad.
    Link {
        /// The program's name.
        actor: String,
        /// How bad.
        weather: Weather,
        /// How long.
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
    pub fn ask(&mut self, at: Duration, verb: Verb) {
        self.entries.push(Entry { at, act: Act::Ask(verb) });
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
    pub fn asks(&self) -> Vec<(Duration, Verb)> {
        let asks = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Ask(verb) => Some((entry.at, verb.clone())),
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

/// The object that a manifest describes. Panics where it is none, since manifests stand in the source.
pub fn object(manifest: Value) -> Object {
    let kind = manifest["kind"].as_str().and_then(Kind::meant).expect("a manifest names a known kind");
    let object = Object::from_value(kind, manifest).expect("a manifest is an object of its kind");
    match kind.row().namespaced && object.meta().namespace.is_empty() {
        true => object.with_meta(|meta| meta.namespace = "default".into()),
        false => object,
    }
}

/// `kubectl create -f`.
pub fn create(manifest: Value) -> Verb {
    Verb::Create { object: object(manifest) }
}

/// `kubectl scale rs NAME --replicas=N`.
pub fn scale(set: &str, replicas: usize) -> Verb {
    let patch = json!({"spec": {"replicas": replicas}});
    Verb::Merge { key: Key::new(Kind::ReplicaSet, "default", set), patch, part: Part::Main }
}

/// `kubectl delete KIND NAME`, in `default` or without a namespace.
pub fn delete(kind: Kind, name: &str) -> Verb {
    let namespace = if kind.row().namespaced { "default" } else { "" };
    Verb::Delete { key: Key::new(kind, namespace, name), options: DeleteOptions::default() }
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
            Act::Ask(verb) => write!(f, "operator: {}", trace::request(&verb.clone().into())),
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
                weather.slow.map_or(Ok(()), |slow| write!(f, ", {:?} + {:?} slower", slow.min, slow.mean))
            }
            Fault::CutWatches { actor } => write!(f, "all watches of {actor} end"),
            Fault::DiskFull { lasts } => write!(f, "disk full for {}s", Millis(*lasts)),
            Fault::ProcessesEnd { pod, code } => write!(f, "the processes of pod {pod}* exit with {code}"),
        }
    }
}
