//! What every program is: a state machine stepped with the time and one input, which pushes effects.
//!
//! [`Input`] and [`Effect`] are one closed pair for all programs, so that a driver, the simulator and a
//! [recording](crate::record) match them exhaustively. A program owns no thread, no socket and no clock; it never
//! blocks and never calls another program. Three rules hold for all of them, and are tested for all at once: stepping
//! with [`Input::Wake`] for nothing adds nothing; the order of simultaneous inputs does not matter; any one effect
//! may be lost, and the program still gets there.

use crate::access::User;
use crate::api::kinds::Kind;
use crate::api::lease::Fence;
use crate::api::meta::MicroTime;
use crate::api::object::{Key, Object};
use crate::api::selector::{FieldSelector, LabelSelector};
use crate::api::status::Status;
use crate::api::text::Text;
use crate::client::Informer;
use crate::decision::Decision;
use crate::kubelet::runtime;
use crate::patch::Patch;
use crate::time::{Instant, Now};
use crate::usage::PodUsage;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// A state machine without I/O: a controller, the scheduler, a kubelet, the API server.
pub trait Program: Send {
    /// Takes in what happened, and pushes what is to be done about it.
    ///
    /// A step returns at once and cannot fail: refusals, conflicts and losses are inputs like any other.
    fn step(&mut self, now: Now, input: Input, out: &mut Effects);

    /// Shows each of its list-watches, for metrics.
    fn each_informer(&self, _show: &mut dyn FnMut(&Informer)) {}
}

/// What can happen to a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// It starts, or the time it asked for has come. May come for nothing.
    Wake,
    /// The answer to [`Effect::Call`]. May be late, lost or doubled.
    Reply { call: CallId, answer: Answer },
    /// News on a watch, in the order of the store.
    Event { call: CallId, event: WatchEvent },
    /// A watch has ended, for whatever reason.
    Ended { call: CallId },
    /// The answer to [`Effect::Measure`]: what pods use of those that match, in the order of their names; those that could
    /// not be measured are left out. An error is a sentence. May be late or lost.
    Measured { call: CallId, answer: Result<Vec<PodUsage>, String> },
    /// The container runtime saw something.
    Runtime(runtime::Report),
    /// To the API server: somebody asks for something.
    Request { from: RequestId, request: Request },
    /// To the API server: who asked has gone, and wants no more answers or events.
    Gone { from: RequestId },
    /// To the API server: what became of an [`Effect::Commit`]. Commits come back in the order of their revisions.
    Committed { commit: CommitId, outcome: Committed },
    /// It ends, and in good order: what it asks for now is still done, what it does not ask for now never. Nothing
    /// follows. A program that is killed hears nothing.
    Stop,
}

/// What a program wants done. Nothing is left to choose: uid, revision, grace period and delay are in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Ask the API server. The answer comes back as [`Input::Reply`] with the same id.
    Call { call: CallId, request: Request },
    /// Want no more of a watch.
    Cancel { call: CallId },
    /// Ask what pods use. The answer comes back as [`Input::Measured`] with the same id.
    Measure { call: CallId, query: Query },
    /// Ask the container runtime; it answers with reports.
    Runtime(runtime::Command),
    /// From the API server: the answer to a request.
    Answer { to: RequestId, answer: Answer },
    /// From the API server: news on a watch that was answered with [`Answer::Watching`].
    Event { to: RequestId, event: WatchEvent },
    /// From the API server: a watch ends.
    End { to: RequestId },
    /// From the API server: make a write durable, on the condition it names.
    Commit { commit: CommitId, write: Write },
    /// Tell people what happens.
    Log { level: Level, line: String },
    /// Tell what was decided about an object, and why.
    Decided { level: Level, decision: Box<Decision> },
}

/// The effects of a step, and when to be woken.
#[derive(Debug, Default)]
pub struct Effects {
    /// What is to be done, in order.
    pub list: Vec<Effect>,
    /// When to step with [`Input::Wake`], if nothing else happens before. Each step sets it anew.
    pub wake_at: Option<Instant>,
}

impl Effects {
    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Asks to be woken at `at`, or earlier if that was asked for in this step.
    pub fn wake_at(&mut self, at: impl Into<Option<Instant>>) {
        self.wake_at = match (self.wake_at, at.into()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// Tells people what happens.
    pub fn log(&mut self, level: Level, line: impl Into<String>) {
        self.push(Effect::Log { level, line: line.into() });
    }

    /// Tells what was decided, and people so far as it matters to all of them.
    pub fn decided(&mut self, level: Level, decision: Decision) {
        self.push(Effect::Decided { level, decision: Box::new(decision) });
    }
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Something is wrong and needs a person.
    Error,
    /// Something is wrong and will be tried again.
    Warn,
    /// A decision.
    Info,
    /// What led to it.
    Debug,
}

/// Names a call of one program; never used twice in the life of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId(pub u64);

/// Names a request to the API server; given by its shell, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// Names a write on its way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommitId(pub u64);

/// A point in the history of the store. 0 is before the first write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// As an object's `resourceVersion`.
impl From<Revision> for Text {
    fn from(revision: Revision) -> Self {
        Text::decimal(revision.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who asks, and what for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked.
    pub verb: Verb,
    /// Everything is done but for the writing.
    pub dry_run: bool,
    /// Who writes, for `metadata.managedFields`. Programs are not noted there: what they write is theirs anyway.
    pub manager: Option<Arc<str>>,
    /// A patch that makes fields which Kubernetes does not have is refused; else these are dropped.
    pub strict: bool,
    /// The version in which an object of a custom kind is written; absent: in the one in which it is kept.
    #[serde(default)]
    pub version: Option<Arc<str>>,
    /// Who asks, where that decides about what is written: nobody grants more than they have.
    #[serde(default)]
    pub user: Option<Arc<User>>,
    /// The lease under which it is written: refused when that is held by another, or anew.
    #[serde(default)]
    pub fence: Option<Arc<Fence>>,
}

impl From<Verb> for Request {
    fn from(verb: Verb) -> Self {
        Request { verb, dry_run: false, manager: None, strict: false, version: None, user: None, fence: None }
    }
}

/// What can be asked of the API server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verb {
    /// One object.
    Get { key: Key },
    /// All objects that match.
    List(Query),
    /// From a revision on, every change among the objects that match.
    Watch { query: Query, from: WatchFrom, bookmarks: bool },
    /// Store a new object. Its namespace is set; its name may be left to the server (`generateName`).
    Create { object: Object },
    /// Replace an object, or one part of it. Refused if its `resourceVersion` is set and not the stored one.
    Update { object: Object, part: Part },
    /// Change fields of an object (RFC 7386).
    Merge { key: Key, patch: Value, part: Part },
    /// Change an object in one of the ways that clients have. An apply makes it if it is not there.
    Patch { key: Key, patch: Patch, part: Part },
    /// Bind a pod to a node, if it is bound to none and its uid is this one.
    Bind { key: Key, uid: Text, node: Text },
    /// Remove an object, or begin to.
    Delete { key: Key, options: DeleteOptions },
}

impl Verb {
    /// Whether nothing is changed by it.
    pub fn is_read(&self) -> bool {
        matches!(self, Verb::Get { .. } | Verb::List(_) | Verb::Watch { .. })
    }
}

/// Which objects are meant by a list or a watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Of this kind.
    pub kind: Kind,
    /// In this namespace; in all if absent.
    pub namespace: Option<Text>,
    /// With these labels.
    pub labels: LabelSelector,
    /// With these fields.
    pub fields: FieldSelector,
    /// For a list: as they were at this revision or a later one, which a server may tell from what it remembers; as
    /// they are now if absent. A watch says by itself where it begins.
    ///
    /// Source: Kubernetes API concepts, "Resource versions", `resourceVersionMatch=NotOlderThan`.
    pub not_older_than: Option<Revision>,
}

impl Query {
    /// All objects of a kind.
    pub fn all(kind: Kind) -> Self {
        let (labels, fields) = Default::default();
        Query { kind, namespace: None, labels, fields, not_older_than: None }
    }

    /// The same, with a field selector.
    pub fn with_field(mut self, field: &str, value: &str) -> Self {
        self.fields = FieldSelector::equal(field, value);
        self
    }

    /// Whether an object is meant.
    pub fn matches(&self, object: &Object) -> bool {
        object.kind() == self.kind
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == object.meta().namespace)
            && self.selects(object)
    }

    /// Whether an object is meant that is known to be of this kind and in this namespace.
    pub fn selects(&self, object: &Object) -> bool {
        let fields = &self.fields.0;
        (self.labels.is_empty() || self.labels.matches(&object.meta().labels))
            && fields.iter().all(|one| has(object, &one.field, &one.value) == one.equal)
    }

    /// The first field that objects of the kind cannot be selected by.
    pub fn unknown_field(&self) -> Option<&str> {
        let known = |name: &str| {
            matches!(name, "metadata.name" | "metadata.namespace")
                || self.kind.row().fields.iter().any(|(label, _)| *label == name)
                || self.kind.row().counts.iter().any(|(label, _)| *label == name)
        };
        self.fields.0.iter().map(|one| one.field.as_str()).find(|name| !known(name))
    }
}

/// Whether a field of an object has this value.
fn has(object: &Object, field: &str, value: &str) -> bool {
    match field {
        "metadata.name" => object.meta().name == *value,
        "metadata.namespace" => object.meta().namespace == *value,
        _ => {
            let row = object.kind().row();
            let text = row.fields.iter().find(|(label, _)| *label == field);
            let count = row.counts.iter().find(|(label, _)| *label == field);
            text.is_some_and(|(_, of)| of(object) == value)
                || count.is_some_and(|(_, of)| of(object).to_string() == value)
        }
    }
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchFrom {
    /// With every object there is, as added; then the changes.
    Start,
    /// With the first change after this revision.
    After(Revision),
}

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Everything but `status`, where `status` is written by itself.
    Main,
    /// `status` alone.
    Status,
    /// `spec.finalizers` of a namespace alone.
    Finalize,
    /// The wish for a number alone, which is written as a Scale.
    Scale,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOptions {
    /// Seconds until it is gone by force; the pod's own if absent, and 0 means now.
    pub grace_seconds: Option<i64>,
    /// Refused if the object has another uid.
    pub uid: Option<Text>,
    /// Refused if the object has another revision.
    pub resource_version: Option<Text>,
    /// What becomes of the objects it owns.
    pub propagation: Option<Propagation>,
    /// An eviction: a pod is refused whose disruption budget is spent.
    #[serde(default)]
    pub eviction: bool,
    /// Of an eviction: its budget is charged already. The API server says so to itself, and nobody else does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub granted: bool,
}

/// What becomes of the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay, and forget their owner.
    Orphan,
}

/// What the API server says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The object as it is now, or as it was removed. `created` tells whether it is new.
    Object { object: Object, created: bool },
    /// The objects, in the order of their keys, at one revision.
    List { revision: Revision, items: Vec<Object> },
    /// Events will follow.
    Watching,
    /// It is removed.
    Removed(Status),
    /// No: refused, not found, a conflict, a wrong object.
    Refused(Status),
    /// No answer came: whether it was done is not known.
    Lost(String),
}

impl Answer {
    /// What went wrong, for people.
    pub fn trouble(&self) -> String {
        match self {
            Answer::Refused(status) => status.to_string(),
            Answer::Lost(why) => why.clone(),
            Answer::Object { .. } | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {
                "an answer of another kind".into()
            }
        }
    }
}

/// News on a watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WatchEvent {
    /// An object is new among those that match.
    Added(Object),
    /// An object that matches changed.
    Modified(Object),
    /// An object is gone from those that match; its last state, at the revision at which it went.
    Deleted(Object),
    /// All changes up to this revision were sent.
    Bookmark(Revision),
    /// The watch cannot go on: its revision is too old.
    Expired(Status),
}

/// A write to the durable store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Which object.
    pub key: Key,
    /// The revision of the object's last write; 0 if it must not be there.
    pub expect: Revision,
    /// What it becomes, its `resourceVersion` left out; gone if absent.
    pub object: Option<Object>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Committed {
    /// It is durable, at this revision.
    At(Revision),
    /// The object was at another revision.
    Conflict,
    /// It could not be written, and was not.
    Failed(String),
}

/// The wall time of a step as events and leases carry it.
pub fn micro(now: Now) -> MicroTime {
    MicroTime::of(now.wall)
}
