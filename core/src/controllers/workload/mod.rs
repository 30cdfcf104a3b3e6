//! Workloads: objects that make, adopt and delete others. One program runs the controllers of all of them.
//!
//! What a controller wants is a [`Plan`], made by a pure function of what it sees; the plans are in the folders of the
//! kinds: [`replicaset`](super::replicaset), [`deployment`](super::deployment). [`claim`] decides which objects are an
//! owner's own. The program around them counts nothing by memory: it looks at its views, carries out the plan, and waits
//! with the next one until the views show what came of the last.

pub mod claim;
pub mod failures;
mod program;
pub mod readiness;
pub mod revisions;
pub(in crate::controllers) mod selecting;

pub use program::{BURST, Options, WorkloadController};

use crate::api::kinds::Kind;
use crate::api::meta::ObjectMeta;
use crate::api::object::{Key, Object};
use crate::api::plain::label_selector;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::client::Informer;
use crate::client::events::Tone;
use crate::controllers::cronjob::CronJobs;
use crate::controllers::daemonset::DaemonSets;
use crate::controllers::deployment::Deployments;
use crate::controllers::job::Jobs;
use crate::controllers::replicaset::ReplicaSets;
use crate::controllers::replication::ReplicationControllers;
use crate::controllers::statefulset::StatefulSets;
use crate::controllers::workload::failures::Failures;
use crate::controllers::workload::readiness::Readiness;
use crate::decision::Because;
use crate::pages::Page;
use crate::program::Revision;
use crate::time::{Instant, Now};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A kind of object that makes others, and how many of which it wants.
pub trait Workload: fmt::Debug + Sync {
    /// The kind.
    fn kind(&self) -> Kind;

    /// Its controller's name in events: `replicaset-controller`.
    fn component(&self) -> &'static str;

    /// Kinds of objects that it makes, adopts, changes and deletes.
    fn children(&self) -> &'static [Kind];

    /// Kinds that it looks at beside.
    fn seen(&self) -> &'static [Kind] {
        &[]
    }

    /// Which objects are its own if nobody else owns them: `spec.selector`. Without one it has those it made.
    fn selector<'a>(&self, owner: &'a Object) -> Option<Cow<'a, LabelSelector>> {
        label_selector(owner.at(&["spec", "selector"])).map(Cow::Owned)
    }

    /// Whether it adopts a child that it selects.
    fn may_adopt(&self, _owner: &Object, _child: &Object) -> bool {
        true
    }

    /// Whether it adopts others than before, though it selects the same.
    fn adopts_otherwise(&self, _old: &Object, _new: &Object) -> bool {
        false
    }

    /// A finalizer by which it holds its children until it has counted them. Whom it adopts the program has held, too, and
    /// whom it releases it lets go, as it does with those whose owner is gone, or is going.
    fn holds(&self) -> Option<&'static str> {
        None
    }

    /// What it wants. Called at each change of what it sees, and when it asked to look again.
    fn plan(&self, scene: &Scene<'_>) -> Plan;

    /// How many objects its plan looks at, of an owner with so many children.
    fn looks_at(&self, children: usize, _views: &Views) -> usize {
        children
    }

    /// Which owners have to look again because something changed that they see, and that is no child of theirs.
    fn reached(&self, _old: Option<&Object>, _new: Option<&Object>, _views: &Views) -> Vec<Key> {
        Vec::new()
    }

    /// Where a child is, if failures are counted for each place: its node, its number.
    fn place<'a>(&self, _child: &'a Object) -> Option<&'a str> {
        None
    }
}

/// All workloads. Those that make others stand before them.
pub const WORKLOADS: &[&dyn Workload] =
    &[&CronJobs, &DaemonSets, &Deployments, &Jobs, &ReplicaSets, &ReplicationControllers, &StatefulSets];

/// What the controllers see.
#[derive(Debug)]
pub struct Views {
    /// Owners' first: what is said of children is said of somebody.
    informers: Vec<(Kind, Informer)>,
    /// Everything that has a controller, by its controller's uid.
    owned: BTreeMap<String, BTreeMap<Key, Object>>,
}

impl Views {
    /// An object, if a view of its kind shows it.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.of(key.kind)?.object(key)
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).map_or(0, Informer::len)
    }

    /// All objects of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.of(kind).into_iter().flat_map(Informer::objects)
    }

    /// Whether the view of a kind shows everything that was stored before this version of an owner. Views are told apart,
    /// and one may be behind the other.
    pub fn is_as_new_as(&self, kind: Kind, owner: &Object) -> bool {
        self.of(kind).is_some_and(|view| view.revision() >= owner.revision())
    }

    fn of(&self, kind: Kind) -> Option<&Informer> {
        self.informers.iter().find(|(of, _)| *of == kind).map(|(_, view)| view)
    }

    /// What an object of this uid controls, in the order of its keys.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Object> {
        self.owned.get(uid).into_iter().flat_map(BTreeMap::values)
    }
}

/// Everything that a plan may look at.
pub struct Scene<'a> {
    /// Now.
    pub now: Now,
    /// Whose plan it is.
    pub owner: &'a Object,
    /// What is its own, in the order of its keys.
    pub children: Vec<&'a Object>,
    /// All that the controllers see.
    pub views: &'a Views,
    /// Why the last creation was refused, if it was.
    pub refused: Option<&'a str>,
    /// How its pods failed lately.
    pub failures: Failures,
    /// For how long pods have been ready.
    pub readiness: &'a Readiness,
    /// The same by place, where that is counted.
    pub places: &'a BTreeMap<Text, Failures>,
    /// Its children were compared with the API server's, and shown as they were at this revision.
    pub compared: Revision,
    /// Objects were asked for that no view shows yet: there may be more children than are shown.
    pub awaits: bool,
}

impl Scene<'_> {
    /// Whether all children of a kind are shown that there were when the owner was last written.
    pub fn shows_all(&self, kind: Kind) -> bool {
        self.views.is_as_new_as(kind, self.owner) || self.compared >= self.owner.revision()
    }
}

/// What an owner wants. Nothing but the status is carried out before the views show what the last plan asked for.
#[derive(Debug, Default)]
pub struct Plan {
    /// Objects to make.
    pub create: Vec<New>,
    /// Nothing is made before.
    pub create_after: Option<Instant>,
    /// Objects to delete.
    pub delete: Vec<Victim>,
    /// Objects, the owner among them, as they are to be. Each has the version that it was changed from.
    pub change: Vec<Changed>,
    /// The owner with its status as it is, if that differs from what is shown.
    pub status: Option<Object>,
    /// Children of which the status says something for good. It is written only if they are not older than the owner:
    /// what the owner's status tells of them may be the end of what is still shown.
    pub relies_on: Vec<Key>,
    /// Children of this kind are to be compared with the API server's, since of one that is not shown it matters whether
    /// it is gone. A view that is behind may stay so for as long as nothing happens.
    pub compare: Option<Kind>,
    /// What people are told once the status is so.
    pub tell: Vec<Told>,
    /// When the plan may be another though nothing has happened.
    pub look_again: Option<Instant>,
}

impl Plan {
    /// The plan may be another at this time.
    pub fn look_at(&mut self, at: impl Into<Option<Instant>>) {
        self.look_again = match (self.look_again, at.into()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// An object to be made. Its owner's reference is put in by the program.
#[derive(Debug)]
pub struct New {
    /// What it is like.
    pub object: Object,
    /// How it is called.
    pub name: Naming,
    /// Whether it belongs to its owner, and goes with it.
    pub owned: bool,
    /// What is told once it is made. If its name is drawn, that is told in any case.
    pub told: Option<Told>,
    /// Why.
    pub because: Because,
}

impl New {
    /// An object that says its name itself, made in silence.
    pub fn given(object: Object, because: Because) -> Self {
        New { object, name: Naming::Given, owned: true, told: None, because }
    }

    /// An object whose name is drawn for this purpose.
    pub fn drawn(object: Object, purpose: impl Into<String>, because: Because) -> Self {
        New { name: Naming::Drawn(purpose.into()), ..New::given(object, because) }
    }
}

/// How a new object is called. A name is a function of what the object is for, so that one that is asked for twice is
/// not made twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Naming {
    /// As it says itself.
    Given,
    /// The first that is free of those drawn for this purpose, which is a part of it: an index, nothing.
    Drawn(String),
    /// The same, and the purpose is no part of it: a node's name.
    Unsaid(String),
}

/// An object to be deleted.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Which.
    pub key: Key,
    /// Which of that name.
    pub uid: Text,
    /// What is told once that is under way.
    pub told: Option<Told>,
    /// Why.
    pub because: Because,
    /// Whether another that is to go for the same reason would do as well: they are too many, or go in turn.
    pub or_another: bool,
}

impl Victim {
    /// This object, in silence.
    pub fn of(object: &Object, because: Because) -> Self {
        Victim { key: object.key(), uid: object.meta().uid.clone(), told: None, because, or_another: false }
    }

    /// This pod; its owner tells that it is deleted.
    pub fn of_pod(pod: &ObjectMeta, because: Because) -> Self {
        let told = Told::normal("SuccessfulDelete", format!("Deleted pod: {}", pod.name));
        let key = Key::new(Kind::Pod, &pod.namespace, &pod.name);
        Victim { key, uid: pod.uid.clone(), told: Some(told), because, or_another: false }
    }

    /// It, or another that is to go for the same reason: they are too many, or go in turn.
    pub fn or_another(self) -> Self {
        Victim { or_another: true, ..self }
    }
}

/// An object to be changed.
#[derive(Debug)]
pub struct Changed {
    /// What it is to be, with the version it was.
    pub object: Object,
    /// What is told once it is so.
    pub told: Option<Told>,
    /// Why, if that matters to anybody.
    pub because: Option<Because>,
}

/// Something that people are told of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether it is good news.
    pub tone: Tone,
    /// In one word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Told {
    /// Good news.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Told { tone: Tone::Normal, reason, message: message.into() }
    }

    /// Bad news.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Told { tone: Tone::Warning, reason, message: message.into() }
    }
}

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("claim", "Which objects are an owner's own", "all controllers of workloads")
            .says(
                "Pods of a ReplicaSet, ReplicaSets of a Deployment, and so on. Asked of each object that names the \
                 owner as its controller, and of each in its namespace that has none.",
            )
            .decides(&claim::CLAIM),
    ]
}
