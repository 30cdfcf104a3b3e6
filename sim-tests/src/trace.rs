//! The trace: what happened, one entry for each event, with what led to it.
//!
//! Each entry has a number and names the entry that caused it, so that a trace is a graph: a step is caused by the
//! message, wake or report it was given; a message by the step that sent it; a durable write by the step that asked for
//! it. An entry can be written in two ways: as a line of a story for people, and as a line of JSON for tools. Both are
//! the same bytes for the same seed and plan.

use crate::plan::Plan;
use crate::runtime::Process;
use crate::truth::Who;
use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::Lease;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, shown_status};
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::kubelet::runtime::{Command, ContainerState, Report};
use miniku_core::program::{
    Answer, Committed, Effect, Input, Level, Part, Query, Request, Revision, Verb, WatchEvent, WatchFrom,
};
use miniku_core::store::Change;
use miniku_core::time::Instant;
use miniku_core::usage::PodUsage;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

/// Stands above every story that is kept as a file.
pub const LEGEND: &str = "\
# One line an event: seconds, who (#life), what came in -> what came of it.
# ns/x no/x po/x rs/x le/x ev/x are objects of these kinds, `@7` says at revision 7.
# `ask` is a request on its way, `got` its answer, `+ ~ -` an object is new, changed, gone, `=7` all up to 7 was told.
# `commit` is a write on its way to the disk, `durable` has reached it, `says` is a line for people.
# Left out: heartbeats (leases), views of kinds that are only collected, and steps that led to nothing.
";

/// What is kept of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing but a digest of their order, kind and time.
    #[default]
    Off,
    /// Everything.
    Full,
    /// What tells the story: no heartbeats, no steps that led to nothing.
    Story,
    /// The last so many entries.
    Last(usize),
}

/// The number of an entry. 0 is before the first.
pub type Seq = u64;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number; grows, with gaps where nothing was kept.
    pub seq: Seq,
    /// When, in the world's time.
    pub at: Instant,
    /// What led to it; 0 if nothing did.
    pub cause: Seq,
    /// What it was.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum What {
    /// A program was given something, and did something.
    Step {
        /// The program.
        who: Who,
        /// What it was given.
        input: String,
        /// The object that this is about.
        about: Option<About>,
        /// What it did.
        effects: Vec<String>,
        /// A heartbeat, or nothing came of it.
        beat: bool,
    },
    /// A write has become durable.
    Write(Change),
    /// A process began or ended.
    Process {
        /// Whether it began.
        began: bool,
        /// On this node.
        node: Arc<str>,
        /// The process.
        process: Process,
    },
    /// A program was started, crashed, froze or went on.
    Actor {
        /// What became of it.
        op: ActorOp,
        /// The program.
        who: Who,
    },
    /// A machine has power, or has none.
    Node {
        /// Whether it has.
        up: bool,
        /// Its name.
        node: Arc<str>,
    },
    /// A fault strikes.
    Fault {
        /// Names it for its end.
        id: usize,
        /// What it is.
        text: String,
        /// What it strikes: an actor, a node, `apiserver`, `disk`.
        target: String,
    },
    /// A fault is over.
    Heal {
        /// Which.
        id: usize,
        /// What is whole again.
        text: String,
    },
    /// A statement was broken.
    Violation {
        /// The statement's name.
        name: String,
        /// The statement.
        statement: String,
        /// How it is broken.
        text: String,
        /// The objects it is about.
        objects: Vec<Key>,
    },
}

/// What can become of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorOp {
    /// It starts on what is durable.
    Start,
    /// It is gone, with all it knew.
    Crash,
    /// It is gone, and was told before.
    Stop,
    /// It stands still.
    Freeze,
    /// It goes on as if no time had passed.
    Thaw,
}

/// Which object, in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its key.
    pub key: Key,
    /// Its uid, if it is known.
    pub uid: String,
    /// Its revision; 0 if it has none yet.
    pub revision: Revision,
}

impl From<&Object> for About {
    fn from(object: &Object) -> Self {
        About { key: object.key(), uid: object.meta().uid.to_string(), revision: object.revision() }
    }
}

impl From<&Key> for About {
    fn from(key: &Key) -> Self {
        About { key: key.clone(), uid: String::new(), revision: Revision(0) }
    }
}

/// The events of a run.
#[derive(Debug, Default)]
pub struct Trace {
    mode: Mode,
    entries: VecDeque<Entry>,
    digest: u64,
    last: Seq,
}

impl Trace {
    /// A trace that keeps this much.
    pub fn new(mode: Mode) -> Self {
        Trace { mode, ..Trace::default() }
    }

    /// Whether entries are kept, so that they have to be made.
    pub fn keeps(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Takes in that something happened: what it was, in numbers. Always; costs next to nothing.
    pub fn mark(&mut self, at: Instant, actor: u64, kind: u64) {
        let event = at.nanos() ^ actor.rotate_left(40) ^ kind.rotate_left(56);
        self.digest = (self.digest.rotate_left(5) ^ event).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// The next number, for what happens now. Numbers are the same whatever is kept.
    pub fn number(&mut self) -> Seq {
        self.last += 1;
        self.last
    }

    /// Adds what happened, if it is wanted.
    pub fn tell(&mut self, entry: Entry) {
        let keep = match self.mode {
            Mode::Off => false,
            Mode::Full | Mode::Last(_) => true,
            Mode::Story => !entry.what.is_beat(),
        };
        if !keep {
            return;
        }
        self.entries.push_back(entry);
        if let Mode::Last(most) = self.mode
            && self.entries.len() > most
        {
            self.entries.pop_front();
        }
    }

    /// What was kept and has not been taken out.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Takes out what was kept so far, to be written somewhere while the run goes on.
    pub fn take(&mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The kept entries as one story, with its legend.
    pub fn story(&self) -> String {
        let mut text = String::from(LEGEND);
        for line in self.entries.iter().filter_map(Entry::line) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// A number that two runs have in common only if the same things happened at the same times in the same order.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// An entry and what led to it, the first cause first; as far as it was kept, and at most so many.
    pub fn past(&self, seq: Seq, most: usize) -> Vec<&Entry> {
        let find = |seq: Seq| {
            let at = self.entries.binary_search_by_key(&seq, |entry| entry.seq);
            at.ok().map(|at| &self.entries[at])
        };
        let mut past: Vec<&Entry> = std::iter::successors(find(seq), |entry| find(entry.cause)).take(most).collect();
        past.reverse();
        past
    }
}

impl Entry {
    /// Whether it is a heartbeat, or a step that led to nothing.
    pub fn is_beat(&self) -> bool {
        self.what.is_beat()
    }

    /// The entry as a line of a story; nothing if other lines tell of it.
    pub fn line(&self) -> Option<String> {
        let (who, what) = match &self.what {
            What::Step { who, input, effects, .. } => {
                let arrow = if effects.is_empty() { "" } else { " -> " };
                (who.to_string(), format!("{input}{arrow}{}", effects.join("; ")))
            }
            What::Write(_) | What::Actor { op: ActorOp::Start, .. } => return None,
            What::Process { began, node, process } => {
                let Process { pod, container, attempt, pid } = process;
                let verb = if *began { "runs" } else { "has ended" };
                (node.to_string(), format!("process {pid} of {}/{container}.{attempt} {verb}", pod.name))
            }
            What::Actor { op: ActorOp::Crash, who } => (who.to_string(), "crashes".into()),
            What::Actor { op: ActorOp::Stop, who } => (who.to_string(), "has ended".into()),
            What::Actor { op: ActorOp::Freeze, who } => (who.to_string(), "stands still".into()),
            What::Actor { op: ActorOp::Thaw, who } => (who.to_string(), "goes on".into()),
            What::Node { up, node } => (node.to_string(), if *up { "boots" } else { "loses power" }.into()),
            What::Fault { text, .. } => ("fault".into(), text.clone()),
            What::Heal { text, .. } => ("healed".into(), text.clone()),
            What::Violation { name, text, .. } => ("VIOLATION".into(), format!("{name}: {text}")),
        };
        let nanos = self.at.nanos();
        let (secs, micros) = (nanos / 1_000_000_000, nanos / 1_000 % 1_000_000);
        Some(format!("{secs:>6}.{micros:06}  {who:<18} {what}"))
    }

    /// The entry as a line of JSON.
    pub fn json(&self) -> String {
        let line = Line { seq: self.seq, t: self.at.nanos(), cause: self.cause, what: self.what.json() };
        serde_json::to_string(&line).expect("entries are written without fail")
    }
}

/// A line of a trace file. Its fields stand in this order.
#[derive(Serialize)]
struct Line<'a> {
    seq: Seq,
    t: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cause: Seq,
    #[serde(flatten)]
    what: LineWhat<'a>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// See [`What`].
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "lowercase")]
enum LineWhat<'a> {
    Step {
        actor: &'a str,
        life: u32,
        r#in: &'a str,
        #[serde(flatten)]
        about: Option<LineAbout<'a>>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        out: &'a [String],
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        beat: bool,
    },
    Write {
        op: &'a str,
        #[serde(flatten)]
        about: LineAbout<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        is: Option<Value>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        beat: bool,
    },
    Process {
        op: &'a str,
        node: &'a str,
        pod: String,
        uid: &'a str,
        container: &'a str,
        attempt: u32,
        pid: u32,
    },
    Actor {
        op: ActorOp,
        actor: &'a str,
        life: u32,
    },
    Node {
        op: &'a str,
        node: &'a str,
    },
    Fault {
        id: usize,
        text: &'a str,
        target: &'a str,
    },
    Heal {
        id: usize,
    },
    Violation {
        name: &'a str,
        statement: &'a str,
        text: &'a str,
        objects: Vec<String>,
    },
}

/// See [`About`].
#[derive(Serialize)]
struct LineAbout<'a> {
    about: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    rv: u64,
}

impl What {
    fn is_beat(&self) -> bool {
        match self {
            What::Step { beat, .. } => *beat,
            What::Write(change) => change.key.kind == Kind::Lease,
            _ => false,
        }
    }

    fn json(&self) -> LineWhat<'_> {
        match self {
            What::Step { who, input, about, effects, beat } => LineWhat::Step {
                actor: &who.name,
                life: who.life,
                r#in: input,
                about: about.as_ref().map(|about| LineAbout {
                    about: path(&about.key),
                    uid: &about.uid,
                    rv: about.revision.0,
                }),
                out: effects,
                beat: *beat,
            },
            What::Write(change) => LineWhat::Write {
                op: match (&change.old, &change.new) {
                    (None, _) => "create",
                    (Some(_), Some(_)) => "update",
                    (Some(_), None) => "delete",
                },
                about: LineAbout {
                    about: path(&change.key),
                    uid: change.new.as_ref().or(change.old.as_ref()).map_or("", |object| &object.meta().uid),
                    rv: change.revision.0,
                },
                is: change.new.as_ref().and_then(state_of),
                beat: self.is_beat(),
            },
            What::Process { began, node, process } => LineWhat::Process {
                op: if *began { "start" } else { "end" },
                node,
                pod: format!("{}/{}", process.pod.namespace, process.pod.name),
                uid: &process.pod.uid,
                container: &process.container,
                attempt: process.attempt,
                pid: process.pid,
            },
            What::Actor { op, who } => LineWhat::Actor { op: *op, actor: &who.name, life: who.life },
            What::Node { up, node } => LineWhat::Node { op: if *up { "up" } else { "down" }, node },
            What::Fault { id, text, target } => LineWhat::Fault { id: *id, text, target },
            What::Heal { id, .. } => LineWhat::Heal { id: *id },
            What::Violation { name, statement, text, objects } => {
                LineWhat::Violation { name, statement, text, objects: objects.iter().map(path).collect() }
            }
        }
    }
}

/// What a report draws of an object's state.
fn state_of(object: &Object) -> Option<Value> {
    if let Some(pod) = object.get::<Pod>() {
        let owner = pod.metadata.controller().map(|owner| format!("{}/{}", owner.kind, owner.name));
        let restarts: i32 = pod.status.container_statuses.iter().map(|one| one.restart_count).sum();
        return Some(json!({
            "phase": format!("{:?}", pod.status.phase), "status": shown_status(pod), "ready": pod.is_ready(),
            "node": pod.node(), "deleting": pod.metadata.is_deleting(), "owner": owner, "restarts": restarts,
        }));
    }
    if let Some(set) = object.get::<ReplicaSet>() {
        let (wanted, status) = (set.wanted(), &set.status);
        return Some(json!({
            "wanted": wanted, "replicas": status.replicas, "ready": status.ready_replicas.unwrap_or(0),
        }));
    }
    let node = object.get::<Node>()?;
    let ready = node.ready().map_or("Unknown", |ready| ready.status.as_str());
    Some(json!({"ready": ready, "cordoned": node.spec.unschedulable}))
}

/// `Pod/default/web-1`, `Node/node-1`.
pub fn path(key: &Key) -> String {
    match &*key.namespace {
        "" => format!("{}/{}", key.kind.row().name, key.name),
        namespace => format!("{}/{namespace}/{}", key.kind.row().name, key.name),
    }
}

/// The first line of a trace file: what was run.
pub fn header(
    title: &str,
    seed: u64,
    cluster: &[String],
    plan: &Plan,
    actors: &[(Arc<str>, Option<Arc<str>>)],
) -> String {
    let actors = actors.iter().map(|(name, node)| match node {
        Some(node) => json!({"name": name, "node": node}),
        None => json!({"name": name}),
    });
    let plan: Vec<String> = plan.to_string().lines().map(str::to_owned).collect();
    let header = Header { trace: "miniku", version: 1, title, seed, cluster, plan, actors: actors.collect() };
    serde_json::to_string(&header).expect("headers are written without fail")
}

#[derive(Serialize)]
struct Header<'a> {
    trace: &'a str,
    version: u32,
    title: &'a str,
    seed: u64,
    cluster: &'a [String],
    plan: Vec<String>,
    actors: Vec<Value>,
}

/// The last line of a trace file: how far it came.
pub fn footer(seq: Seq, at: Instant, digest: u64, events: u64) -> String {
    let (t, digest) = (at.nanos(), format!("{digest:016x}"));
    let fields = BTreeMap::from([
        ("seq", json!(seq)),
        ("t", json!(t)),
        ("what", json!("end")),
        ("digest", json!(digest)),
        ("events", json!(events)),
    ]);
    serde_json::to_string(&fields).expect("footers are written without fail")
}

/// A step as the trace tells it. `from` is who sent a request, `name` tells who asked.
pub fn step_told(who: Who, input: &Input, from: &str, effects: &[Effect], name: impl FnMut(u64) -> String) -> What {
    let beat = is_beat(input, effects) || (matches!(input, Input::Wake) && effects.is_empty());
    let (about, effects) = (about(input), self::effects(effects, name));
    What::Step { who, input: self::input(input, from), about, effects, beat }
}

/// Whether an input or effect is about nothing but heartbeats.
pub fn is_beat(input: &Input, effects: &[Effect]) -> bool {
    let aside = matches!(input, Input::Request { request, .. } if looks_aside(request));
    let effects_beat = effects.iter().all(|effect| match effect {
        Effect::Answer { .. } if aside => true,
        Effect::Call { request, .. } => request_beats(request),
        Effect::Answer { answer, .. } => answer_beats(answer),
        Effect::Event { event, .. } => event_beats(event),
        Effect::Commit { write, .. } => write.key.kind == Kind::Lease,
        Effect::Cancel { .. } | Effect::Measure { .. } => false,
        Effect::Runtime(_) | Effect::End { .. } | Effect::Decided { .. } => false,
        Effect::Log { level, .. } => *level == Level::Debug,
    });
    let input_beats = match input {
        Input::Wake | Input::Stop | Input::Reply { .. } | Input::Event { .. } | Input::Committed { .. } => true,
        Input::Request { request, .. } => request_beats(request) || effects.is_empty(),
        Input::Ended { .. } | Input::Measured { .. } | Input::Runtime(_) | Input::Gone { .. } => effects.is_empty(),
    };
    input_beats && effects_beat
}

fn request_beats(request: &Request) -> bool {
    match &request.verb {
        Verb::Get { key }
        | Verb::Merge { key, .. }
        | Verb::Patch { key, .. }
        | Verb::Bind { key, .. }
        | Verb::Delete { key, .. } => key.kind == Kind::Lease,
        Verb::Update { object, .. } | Verb::Create { object } => object.kind() == Kind::Lease,
        Verb::List(query) | Verb::Watch { query, .. } => is_aside(query.kind),
    }
}

/// Whether only the collector and those who make its objects look at a kind.
fn is_aside(kind: Kind) -> bool {
    !matches!(kind, Kind::Namespace | Kind::Node | Kind::Pod | Kind::ReplicaSet | Kind::Lease | Kind::Event)
}

/// Whether a request is about looking at such a kind.
fn looks_aside(request: &Request) -> bool {
    matches!(&request.verb, Verb::List(query) | Verb::Watch { query, .. } if is_aside(query.kind))
}

fn answer_beats(answer: &Answer) -> bool {
    match answer {
        Answer::Object { object, .. } => object.kind() == Kind::Lease,
        Answer::List { .. } | Answer::Watching | Answer::Removed(_) | Answer::Refused(_) | Answer::Lost(_) => false,
    }
}

fn event_beats(event: &WatchEvent) -> bool {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            object.kind() == Kind::Lease
        }
        WatchEvent::Bookmark(_) => true,
        WatchEvent::Expired(_) => false,
    }
}

fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespace => "ns",
        Kind::Lease => "le",
        _ => kind.row().short.first().copied().unwrap_or(kind.row().singular),
    }
}

/// A key as a trace shows it: `po/web-1`; other namespaces than `default` in front.
pub fn key(key: &Key) -> String {
    match &*key.namespace {
        "" | "default" => format!("{}/{}", short(key.kind), key.name),
        namespace => format!("{namespace}:{}/{}", short(key.kind), key.name),
    }
}

/// An object as a trace shows it: its key, its revision, and what matters of its state.
pub fn object(one: &Object) -> String {
    let mut text = key(&one.key());
    if one.revision().0 > 0 {
        let _ = write!(text, "@{}", one.revision());
    }
    if let Some(pod) = one.get::<Pod>() {
        let ready = if pod.is_ready() { ",ready" } else { "" };
        let node = pod.node().map(|node| format!(" on {node}")).unwrap_or_default();
        let _ = write!(text, "({}{ready}{node})", shown_status(pod));
    } else if let Some(set) = one.get::<ReplicaSet>() {
        let status = &set.status;
        let _ = write!(text, "({}/{} ready {})", status.replicas, set.wanted(), status.ready_replicas.unwrap_or(0));
    } else if let Some(node) = one.get::<Node>() {
        let ready = node.ready().map_or("-", |ready| ready.status.as_str());
        let _ = write!(text, "(ready {ready}{})", if node.spec.unschedulable { ",cordoned" } else { "" });
    } else if let Some(lease) = one.get::<Lease>() {
        let _ = write!(text, "({})", lease.spec.holder_identity.as_deref().unwrap_or("-"));
    } else if let Some(event) = one.get::<miniku_core::api::event::Event>() {
        let _ = write!(text, "({}: {:?})", event.reason, event.message);
    }
    text
}

fn query(query: &Query) -> String {
    let mut text = query.kind.row().plural.to_owned();
    for one in &query.fields.0 {
        let _ = write!(text, " {}{}{}", one.field, if one.equal { "=" } else { "!=" }, one.value);
    }
    if let Some(least) = query.not_older_than {
        let _ = write!(text, " at {least} or later");
    }
    text
}

/// A request as a trace shows it.
pub fn request(request: &Request) -> String {
    let part = |part: &Part| match part {
        Part::Main => "",
        Part::Status => " status",
        Part::Finalize => " finalizers",
        Part::Scale => " scale",
    };
    let text = match &request.verb {
        Verb::Get { key: of } => format!("get {}", key(of)),
        Verb::List(of) => format!("list {}", query(of)),
        Verb::Watch { query: of, from, .. } => match from {
            WatchFrom::Start => format!("watch {}", query(of)),
            WatchFrom::After(revision) => format!("watch {} after {revision}", query(of)),
        },
        Verb::Create { object: one } => format!("create {}", key(&one.key())),
        Verb::Update { object: one, part: of } => format!("update{} {}", part(of), object(one)),
        Verb::Merge { key: of, patch, part: which } => format!("patch{} {} {patch}", part(which), key(of)),
        Verb::Patch { key: of, patch, part: which } => format!("patch{} {} {patch:?}", part(which), key(of)),
        Verb::Bind { key: of, node, .. } => format!("bind {} to {node}", key(of)),
        Verb::Delete { key: of, options } => match options.grace_seconds {
            Some(grace) => format!("delete {} in {grace} s", key(of)),
            None => format!("delete {}", key(of)),
        },
    };
    if request.dry_run { format!("dry-run {text}") } else { text }
}

/// An answer as a trace shows it.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Object { object: one, created: true } => format!("created {}", object(one)),
        Answer::Object { object: one, created: false } => object(one),
        Answer::List { revision, items } => format!("{} items@{revision}", items.len()),
        Answer::Watching => "watching".into(),
        Answer::Removed(_) => "removed".into(),
        Answer::Refused(status) => {
            let reason = status.reason.map_or_else(String::new, |reason| format!("{reason:?}: "));
            format!("refused: {reason}{}", status.message)
        }
        Answer::Lost(why) => format!("lost: {why}"),
    }
}

/// An event of a watch as a trace shows it.
pub fn event(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Added(one) => format!("+{}", object(one)),
        WatchEvent::Modified(one) => format!("~{}", object(one)),
        WatchEvent::Deleted(one) => format!("-{}", object(one)),
        WatchEvent::Bookmark(revision) => format!("={revision}"),
        WatchEvent::Expired(_) => "expired".into(),
    }
}

/// A state of a container as a trace shows it.
fn state(state: &ContainerState) -> String {
    match state {
        ContainerState::Absent => "absent".into(),
        ContainerState::Running { pid, .. } => format!("running as {pid}"),
        ContainerState::Exited { code, .. } => format!("exited {code}"),
        ContainerState::NotStarted { reason, .. } => format!("{reason:?}"),
        ContainerState::Unknown => "unknown".into(),
    }
}

/// A report of a runtime as a trace shows it.
pub fn report(report: &Report) -> String {
    match report {
        Report::Listed(pods) => {
            let pods = pods.iter().map(|pod| {
                let containers = pod.containers.iter().map(|one| format!("{} {}", one.name, state(&one.state)));
                format!("{}[{}]", pod.pod.name, containers.collect::<Vec<_>>().join(", "))
            });
            format!("runtime has {}", list(pods))
        }
        Report::Container { pod, container, attempt, state: is } => {
            format!("runtime: {}/{container}.{attempt} {}", pod.name, state(is))
        }
        Report::Sandbox { pod, ip: Some(ip) } => format!("runtime: {} has a sandbox at {ip}", pod.name),
        Report::Sandbox { pod, ip: None } => format!("runtime: {} has a sandbox", pod.name),
        Report::SandboxGone { pod } => format!("runtime: {} sandbox gone", pod.name),
        Report::Removed { pod } => format!("runtime: {} removed", pod.name),
        Report::RemoveFailed { pod, message } => format!("runtime: {} not removed: {message}", pod.name),
    }
}

/// A command to a runtime as a trace shows it.
pub fn command(command: &Command) -> String {
    match command {
        Command::List => "runtime list".into(),
        Command::RunPod(spec) => {
            let containers = spec.containers.iter().map(|one| format!("{}.{}", one.name, one.attempt));
            format!("run {}[{}]", spec.pod.name, containers.collect::<Vec<_>>().join(", "))
        }
        Command::StartContainer { pod, container } => {
            format!("start {}/{}.{}", pod.name, container.name, container.attempt)
        }
        Command::Terminate { pod, container, attempt } => format!("term {}/{container}.{attempt}", pod.name),
        Command::Kill { pod, container, attempt } => format!("kill {}/{container}.{attempt}", pod.name),
        Command::RemovePod(pod) => format!("remove {}", pod.name),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "nothing".into() } else { items.join(", ") }
}

/// What a pod was measured to use: `web-1 250m`.
fn usage(pod: &PodUsage) -> String {
    let nanos: u64 = pod.measured.used.iter().map(|(_, usage)| usage.cpu_nanos).sum();
    format!("{} {}m", pod.name, nanos / 1_000_000)
}

/// An input of a program as a trace shows it; `from` is who sent a request.
pub fn input(input: &Input, from: &str) -> String {
    match input {
        Input::Wake => "wakes".into(),
        Input::Stop => "is told to end".into(),
        Input::Reply { answer: of, .. } => format!("got {}", answer(of)),
        Input::Event { event: of, .. } => format!("sees {}", event(of)),
        Input::Ended { .. } => "watch ended".into(),
        Input::Measured { answer: Ok(pods), .. } => format!("measured {}", list(pods.iter().map(usage))),
        Input::Measured { answer: Err(why), .. } => format!("measured nothing: {why}"),
        Input::Runtime(of) => report(of),
        Input::Request { request: of, .. } => format!("{from}: {}", request(of)),
        Input::Gone { .. } => format!("{from} has gone"),
        Input::Committed { outcome, .. } => match outcome {
            Committed::At(revision) => format!("durable @{revision}"),
            Committed::Conflict => "write conflicts".into(),
            Committed::Failed(why) => format!("write failed: {why}"),
        },
    }
}

/// The effects of a step as a trace shows them: what many watchers are told stands once. `name` tells who asked.
pub fn effects(effects: &[Effect], mut name: impl FnMut(u64) -> String) -> Vec<String> {
    let mut told: Vec<(String, String)> = Vec::new();
    let mut last: Option<&WatchEvent> = None;
    for effect in effects {
        if matches!(effect, Effect::Call { request, .. } if looks_aside(request)) {
            continue;
        }
        if let Effect::Event { to, event: of } = effect {
            match told.last_mut() {
                Some((who, _)) if last == Some(of) => {
                    who.push(',');
                    who.push_str(&name(to.0));
                }
                _ => told.push((name(to.0), event(of))),
            }
            last = Some(of);
            continue;
        }
        last = None;
        let (who, what) = match effect {
            Effect::Answer { to, answer: of } => (name(to.0), answer(of)),
            Effect::End { to } => (name(to.0), "end".into()),
            Effect::Call { request: of, .. } => (String::new(), format!("ask {}", request(of))),
            Effect::Cancel { .. } => (String::new(), "cancel".into()),
            Effect::Measure { query, .. } => (String::new(), format!("measure pods {}", query.labels)),
            Effect::Runtime(of) => (String::new(), command(of)),
            Effect::Commit { write, .. } => match &write.object {
                Some(one) => (String::new(), format!("commit {}", object(one))),
                None => (String::new(), format!("commit -{}", key(&write.key))),
            },
            Effect::Event { .. } | Effect::Log { level: Level::Debug, .. } => continue,
            Effect::Log { line, .. } => (String::new(), format!("says {line:?}")),
            Effect::Decided { decision, .. } => (String::new(), format!("decides {decision}")),
        };
        told.push((who, what));
    }
    let told = told.into_iter().map(|(who, what)| if who.is_empty() { what } else { format!("{who}: {what}") });
    told.collect()
}

/// The object that an input is about, if it is one object.
pub fn about(input: &Input) -> Option<About> {
    match input {
        Input::Reply { answer: Answer::Object { object, .. }, .. } => Some(object.into()),
        Input::Event { event, .. } => match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                Some(object.into())
            }
            WatchEvent::Bookmark(_) | WatchEvent::Expired(_) => None,
        },
        Input::Request { request, .. } => match &request.verb {
            Verb::Get { key }
            | Verb::Merge { key, .. }
            | Verb::Patch { key, .. }
            | Verb::Bind { key, .. }
            | Verb::Delete { key, .. } => Some(key.into()),
            Verb::Update { object, .. } | Verb::Create { object } => Some(object.into()),
            Verb::List(_) | Verb::Watch { .. } => None,
        },
        Input::Runtime(report) => {
            let pod = match report {
                Report::Listed(_) => return None,
                Report::Container { pod, .. }
                | Report::Sandbox { pod, .. }
                | Report::SandboxGone { pod }
                | Report::Removed { pod }
                | Report::RemoveFailed { pod, .. } => pod,
            };
            let key = Key::new(Kind::Pod, &pod.namespace, &pod.name);
            Some(About { key, uid: pod.uid.to_string(), revision: Revision(0) })
        }
        Input::Reply { .. }
        | Input::Wake
        | Input::Ended { .. }
        | Input::Measured { .. }
        | Input::Gone { .. }
        | Input::Committed { .. }
        | Input::Stop => None,
    }
}
