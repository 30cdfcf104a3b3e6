//! The garbage collector: views of everything that can own or be owned, and what follows from them.
//!
//! A kind's view begins when the kind does: those that every cluster has at once, a custom one with its definition.

use crate::api::custom::CustomResourceDefinition;
use crate::api::kinds::{Kind, KindRow};
use crate::api::meta::OwnerReference;
use crate::api::meta::Time;
use crate::api::namespace::NODE_LEASES;
use crate::api::node;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodPhase};
use crate::api::selector::FieldSelector;
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::client::informer;
use crate::client::{Calls, Change, Informer};
use crate::controllers::attempts::Attempts;
use crate::controllers::garbage::bound_pods::{self, BOUND_POD, Node, Phase, Standing as PodStanding, Word, bound_pod};
use crate::controllers::garbage::dependents::{self, DEPENDENTS, Dependents, Finalizer, dependents};
use crate::controllers::garbage::owners::{self, Children, GARBAGE, Life, Standing, garbage, kept, owners};
use crate::controllers::garbage::relations::{Relations, node_of};
use crate::decision::{Because, Decision};
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Propagation, Query, Revision, Verb};
use crate::time::{Duration, Now};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How the controller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// A node must be missing for so long before its pods are removed: a kubelet whose node object was deleted
    /// registers again, and its pods have done nothing wrong.
    ///
    /// Source: Kubernetes, `pkg/controller/podgc`, `quarantineTime`.
    pub node_quarantine: Duration,
    /// So many pods that have ended are kept; then the oldest go.
    ///
    /// Source: Kubernetes, kube-controller-manager `--terminated-pod-gc-threshold`.
    #[serde(default = "finished_max")]
    pub finished_max: usize,
    /// How its views are kept.
    pub informer: informer::Options,
}

fn finished_max() -> usize {
    12_500
}

impl Default for Options {
    fn default() -> Self {
        let (node_quarantine, informer) = (Duration::from_secs(40), informer::Options::default());
        Options { node_quarantine, finished_max: finished_max(), informer }
    }
}

/// On nodes that people know to be off: nothing runs there any more.
///
/// Source: Kubernetes documentation, "Well-Known Labels, Annotations and Taints".
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Kinds that are not looked at: there are many of these, and they go by themselves.
///
/// Source: Kubernetes, `pkg/controller/garbagecollector`, `ignoredResources`.
const IGNORED: &[Kind] = &[Kind::Event];

/// What is looked at of a kind.
fn looked_at(kind: Kind) -> Query {
    match kind {
        // What nodes renew all the time owns nothing, and is owned by nobody.
        Kind::Lease => {
            Query { fields: FieldSelector::other_than("metadata.namespace", NODE_LEASES), ..Query::all(kind) }
        }
        _ => Query::all(kind),
    }
}

/// Deletes what is left over. Does nothing before its views of the kinds that every cluster has are complete; a step costs
/// what changed.
#[derive(Debug)]
pub struct GarbageCollector {
    options: Options,
    seed: u64,
    views: BTreeMap<Kind, Informer>,
    /// The custom kinds that were defined since the beginning, by name and group, as owners are named.
    custom: BTreeMap<Text, Kind>,
    calls: Calls<Asked>,
    relations: Relations,
    /// Objects to look at: as a child, as an owner, and as a pod.
    objects: Attempts<Key>,
    /// Owners that no view shows, to be asked for.
    owners: Attempts<Owner>,
    /// Owners that the API server knows nothing of, by uid, as long as somebody names them. A uid never comes back.
    gone: BTreeMap<Text, BTreeSet<Key>>,
    /// Nodes that the view does not show, to be asked for.
    nodes: Attempts<Text>,
    /// Uids of pods that were bound to a node when the API server knew nothing of it, until a write about them fails.
    lost: BTreeSet<Text>,
    /// Pods that have ended and are kept, the oldest first.
    finished: BTreeSet<(Option<Time>, Key)>,
    /// Pods that have ended before these, and go.
    surplus: BTreeSet<Key>,
    /// What owners that cannot be found were called, once each.
    unknown: BTreeSet<Text>,
    /// Kinds in which an owner that lets its children go may still have some, by its uid.
    uncounted: BTreeMap<Text, Vec<Kind>>,
}

/// An owner as a child names it: there may be another of that name, or none of that uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    key: Key,
    uid: Text,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.uid)
    }
}

/// What a call is for.
#[derive(Debug)]
enum Asked {
    /// Whether there is such an owner.
    Owner(Owner),
    /// Whether there is such a node; the pods that were bound to it then, by uid.
    Node { name: Text, pods: Vec<(Key, Text)> },
    /// Whether there are children of the last of these kinds that the view does not show; then those of the others.
    Children { owner: Owner, of: Vec<Kind> },
    /// A change of this object.
    Write(Key),
}

/// How many owners that cannot be found are told of.
const UNKNOWN_MAX: usize = 100;

/// The space of the calls' ids; those of the informers follow it.
const CALLS: u16 = 1;

impl GarbageCollector {
    /// Knows nothing yet. `seed` decides the jitter of its retries.
    pub fn new(options: Options, seed: u64) -> Self {
        let mut collector = GarbageCollector {
            options,
            seed,
            views: BTreeMap::new(),
            custom: BTreeMap::new(),
            calls: Calls::in_space(CALLS),
            relations: Relations::default(),
            objects: Attempts::default(),
            owners: Attempts::default(),
            gone: BTreeMap::new(),
            nodes: Attempts::default(),
            lost: BTreeSet::new(),
            finished: BTreeSet::new(),
            surplus: BTreeSet::new(),
            unknown: BTreeSet::new(),
            uncounted: BTreeMap::new(),
        };
        for kind in Kind::BUILT_IN.iter().copied().filter(|kind| !IGNORED.contains(kind)) {
            collector.view(kind);
        }
        collector
    }

    /// The view of a kind, made if there is none.
    fn view(&mut self, kind: Kind) -> Option<&mut Informer> {
        // No view is ever taken away, so that no two have one space.
        let space = CALLS.checked_add(u16::try_from(self.views.len() + 1).ok()?)?;
        let (seed, options) = (self.seed, self.options.informer);
        let make = || Informer::new(looked_at(kind), space, seed, options);
        Some(self.views.entry(kind).or_insert_with(make))
    }

    /// Whether its views of the kinds that every cluster has are complete.
    fn is_ready(&self) -> bool {
        let custom = |kind: &Kind| matches!(kind, Kind::Custom(_));
        self.views.iter().all(|(kind, view)| view.is_synced() || custom(kind))
    }

    /// Whether all views are complete.
    fn sees_all(&self) -> bool {
        self.views.values().all(|view| view.is_synced() || view.is_closed())
    }

    /// A definition of a custom kind is another than before: the kind is viewed as long as it can be.
    fn defined(&mut self, now: Now, old: Option<&Object>, new: Option<&Object>, out: &mut Effects) {
        let said = |object: Option<&Object>| {
            object?.get::<CustomResourceDefinition>().filter(|definition| definition.is_established()).cloned()
        };
        let is = said(new).and_then(|definition| definition.open_kind());
        let Some(kind) = is.or(said(old).map(|definition| definition.kind())) else { return };
        let Some(view) = self.view(kind) else {
            return out.log(Level::Error, format!("{kind:?}: there are too many kinds, this one is not collected"));
        };
        let mut changes = Vec::new();
        let outdated = is.is_none_or(|kind| kind.row().version != view.kind().row().version);
        if outdated && !view.is_closed() {
            changes.extend(view.close(out));
        }
        if let Some(kind) = is {
            if view.is_closed() {
                view.reopen(looked_at(kind));
            }
            changes.extend(view.step(now, &Input::Wake, out));
            self.custom.insert(named(kind.row().group, kind.row().name).into(), kind);
        }
        changes.into_iter().for_each(|change| self.changed(now, change, out));
    }

    fn object(&self, key: &Key) -> Option<&Object> {
        self.views.get(&key.kind)?.object(key)
    }

    fn revision(&self, key: &Key) -> Option<Revision> {
        self.object(key).map(Object::revision)
    }

    fn changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (old, new) = match change {
            Change::Added(new) => (None, Some(new)),
            Change::Modified { old, new } => (Some(old), Some(new)),
            Change::Deleted(old) => (Some(old), None),
            Change::Synced => return,
        };
        let Some(object) = new.as_ref().or(old.as_ref()) else { return };
        let key = object.key();
        old.iter().for_each(|old| self.relations.remove(old));
        new.iter().for_each(|new| self.relations.add(new));
        if key.kind == Kind::CustomResourceDefinition {
            self.defined(now, old.as_ref(), new.as_ref(), out);
        }
        self.objects.seen(&key, new.as_ref().map(Object::revision), now.mono);
        if key.kind == Kind::Pod {
            self.ended(now, old.as_ref(), new.as_ref());
        }
        match (&old, &new) {
            (None, Some(new)) => self.appeared(now, new),
            (Some(old), Some(new)) => self.altered(now, old, new),
            (Some(old), None) => self.vanished(now, old),
            (None, None) => {}
        }
        // An owner that is being deleted waits for a child to forget it, or to go.
        for owner in old.iter().flat_map(|old| &old.meta().owner_references) {
            if let Some(owner) = self.relations.of_uid(&owner.uid) {
                self.objects.add(owner.clone(), now.mono);
            }
            if !self.relations.has_children(&owner.uid) {
                self.gone.remove(&owner.uid);
            }
        }
    }

    /// Keeps count of the pods that have ended.
    fn ended(&mut self, now: Now, old: Option<&Object>, new: Option<&Object>) {
        let has_ended = |object: &&Object| {
            object.get::<Pod>().is_some_and(|pod| pod.status.phase.is_final() && !pod.metadata.is_deleting())
        };
        let place = |object: &Object| (object.meta().creation_timestamp, object.key());
        match (old.filter(has_ended), new.filter(has_ended)) {
            (Some(_), Some(_)) | (None, None) => {}
            (Some(old), None) => {
                self.finished.remove(&place(old));
                self.surplus.remove(&old.key());
            }
            (None, Some(new)) => {
                self.finished.insert(place(new));
            }
        }
        while self.finished.len() > self.options.finished_max
            && let Some((_, key)) = self.finished.pop_first()
        {
            self.objects.add(key.clone(), now.mono);
            self.surplus.insert(key);
        }
    }

    fn appeared(&mut self, now: Now, new: &Object) {
        self.objects.add(new.key(), now.mono);
        if new.meta().is_deleting() {
            self.look_at_children(now, &new.meta().uid);
        }
        if new.kind() == Kind::Node {
            self.nodes.forget(&new.meta().name);
            for pod in self.relations.pods_on(&new.meta().name) {
                let pod = self.views.get(&Kind::Pod).and_then(|pods| pods.object(&pod));
                pod.map(|pod| self.lost.remove(&pod.meta().uid));
            }
        }
    }

    fn altered(&mut self, now: Now, old: &Object, new: &Object) {
        let (before, after) = (old.meta(), new.meta());
        let ending = before.is_deleting() != after.is_deleting() || before.finalizers != after.finalizers;
        let ended = |object: &Object| object.get::<Pod>().is_some_and(|pod| pod.status.phase.is_final());
        if ending
            || ended(old) != ended(new)
            || before.owner_references != after.owner_references
            || node_of(old) != node_of(new)
        {
            self.objects.add(new.key(), now.mono);
        }
        if ending && after.is_deleting() {
            self.look_at_children(now, &after.uid);
        }
        if is_out_of_service(new) && !is_out_of_service(old) {
            for pod in self.relations.pods_on(&after.name) {
                self.objects.add(pod.clone(), now.mono);
            }
        }
    }

    fn vanished(&mut self, now: Now, old: &Object) {
        self.objects.forget(&old.key());
        self.lost.remove(&old.meta().uid);
        self.uncounted.remove(&old.meta().uid);
        self.look_at_children(now, &old.meta().uid);
        if old.kind() == Kind::Node {
            for pod in self.relations.pods_on(&old.meta().name) {
                self.objects.add(pod.clone(), now.mono);
            }
        }
    }

    fn look_at_children(&mut self, now: Now, uid: &str) {
        for child in self.relations.children(uid) {
            self.objects.add(child.clone(), now.mono);
        }
    }

    fn look_at(&mut self, now: Now, key: Key, out: &mut Effects) {
        let Some(object) = self.object(&key).cloned() else { return self.objects.settled(&key) };
        let done =
            self.as_pod(now, &object, out) || self.as_owner(now, &object, out) || self.as_child(now, &object, out);
        if !done {
            self.objects.settled(&key);
        }
    }

    /// Looks at an object's node. Whether anything was asked for about the object.
    fn as_pod(&mut self, now: Now, object: &Object, out: &mut Effects) -> bool {
        let name = node_of(object).unwrap_or_default();
        let node = match self.object(&Key::new(Kind::Node, "", name)) {
            _ if name.is_empty() => Node::Unbound,
            Some(node) if is_out_of_service(node) => Node::OutOfService,
            Some(_) => Node::InView,
            None => Node::NotSeen,
        };
        let standing = match object.meta().is_deleting() {
            _ if object.kind() != Kind::Pod => PodStanding::Kept,
            true => PodStanding::Leaving,
            false if self.surplus.contains(&object.key()) => PodStanding::Surplus,
            false => PodStanding::Kept,
        };
        let word = if self.lost.contains(&object.meta().uid) || planted!(NoQuarantine) {
            Word::NoSuchNode
        } else {
            Word::NotAsked
        };
        let has_ended = object.get::<Pod>().is_none_or(|pod| pod.status.phase.is_final());
        let row = bound_pod(node, standing, if has_ended { Phase::Ended } else { Phase::Going }, word);
        let named = || (!name.is_empty()).then(|| Key::new(Kind::Node, "", name));
        match row.then {
            bound_pods::Action::Keep => false,
            bound_pods::Action::Ask if planted!(LostPodsKept) => false,
            bound_pods::Action::Ask => {
                sometimes!(NodeQuarantined);
                self.nodes.add_at(name.into(), now.mono + self.options.node_quarantine);
                false
            }
            bound_pods::Action::Fail if !planted!(LostPodsNotFailed) => {
                sometimes!(LostPodFailed);
                tell(object, named(), Because::of(&BOUND_POD, row), out);
                let object = object.with(|pod: &mut Pod| fail(pod, node, Time::of(now.wall)));
                self.write(now, &object.clone(), Verb::Update { object, part: Part::Status }, out);
                true
            }
            bound_pods::Action::Fail | bound_pods::Action::Remove => {
                sometimes!(LostPodRemoved);
                tell(object, named(), Because::of(&BOUND_POD, row), out);
                self.write(now, object, deletion(object, Some(0), None), out);
                true
            }
        }
    }

    /// Looks at what an object that is being deleted waits for.
    fn as_owner(&mut self, now: Now, object: &Object, out: &mut Effects) -> bool {
        let finalizer = Finalizer::of(object.meta());
        if life(object) == Life::Deleting && finalizer != Finalizer::Neither && !self.sees_all() {
            // A child may be of a custom kind whose view has just begun.
            self.objects.failed(&object.key(), now.mono);
            return true;
        }
        let children = match self.dependents_of(object) {
            Dependents::OneBlocks if planted!(ForegroundNotWaiting) => Dependents::NoneBlocks,
            children => children,
        };
        let row = dependents(life(object), finalizer, children);
        match row.then {
            dependents::Action::Keep => {
                if row.name == "foreground" {
                    sometimes!(ForegroundBlocked);
                }
                return false;
            }
            dependents::Action::Count if planted!(OrphanUncounted) => self.release(now, object, finalizer, out),
            dependents::Action::Count => {
                let owner = Owner { key: object.key(), uid: object.meta().uid.clone() };
                let namespaced = object.kind().row().namespaced;
                // What was counted before a call was lost is not counted again.
                let of = self.uncounted.remove(&owner.uid).unwrap_or_else(|| {
                    let open = self.views.iter().filter(|(_, view)| !view.is_closed()).map(|(kind, _)| *kind);
                    open.filter(|kind| !namespaced || kind.row().namespaced).collect()
                });
                self.objects.begun(owner.key.clone(), object.revision());
                self.count_children(now, owner, of, out);
            }
            dependents::Action::Release => {
                sometimes!(ForegroundReleased);
                self.release(now, object, finalizer, out);
            }
        }
        tell(object, None, Because::of(&DEPENDENTS, row), out);
        true
    }

    fn dependents_of(&self, owner: &Object) -> Dependents {
        let (key, uid) = (owner.key(), &owner.meta().uid);
        let mut found = Dependents::NoneLeft;
        for child in self.relations.children(uid).filter_map(|child| self.object(&child)) {
            // Who means one of that uid elsewhere means another.
            let means = |reference: &&OwnerReference| {
                reference.uid == *uid && self.owner(reference, child).is_ok_and(|owner| owner.key == key)
            };
            for reference in child.meta().owner_references.iter().filter(means) {
                if reference.block_owner_deletion == Some(true) {
                    return Dependents::OneBlocks;
                }
                found = Dependents::NoneBlocks;
            }
        }
        found
    }

    fn release(&mut self, now: Now, object: &Object, finalizer: Finalizer, out: &mut Effects) {
        let left: Vec<&Text> = object.meta().finalizers.iter().filter(|one| *one != finalizer.name()).collect();
        self.write(now, object, patch(object, "finalizers", json!(left)), out);
    }

    /// Asks for the objects of the next kind that could be children.
    fn count_children(&mut self, now: Now, owner: Owner, of: Vec<Kind>, out: &mut Effects) {
        match of.last() {
            Some(kind) => {
                let namespace = owner.key.kind.row().namespaced.then(|| owner.key.namespace.clone());
                let query = Query { namespace, ..looked_at(*kind) };
                self.calls.call(now, Asked::Children { owner, of }, Verb::List(query), out);
            }
            None => match self.object(&owner.key).cloned() {
                Some(object)
                    if object.meta().uid == owner.uid
                        && Finalizer::of(object.meta()) == Finalizer::Orphan
                        && self.dependents_of(&object) == Dependents::NoneLeft =>
                {
                    self.release(now, &object, Finalizer::Orphan, out);
                }
                _ => self.objects.again(&owner.key, now.mono),
            },
        }
    }

    /// Looks at an object's owners.
    fn as_child(&mut self, now: Now, object: &Object, out: &mut Effects) -> bool {
        let references = &object.meta().owner_references;
        let standings: Vec<Standing> =
            references.iter().map(|reference| self.standing(reference, object, out)).collect();
        let children =
            if self.relations.has_children(&object.meta().uid) { Children::Parent } else { Children::Childless };
        let row = garbage(life(object), owners(&standings), children);
        let verb = match row.then {
            owners::Action::Keep => return false,
            owners::Action::Ask => {
                for (reference, standing) in references.iter().zip(&standings) {
                    if *standing == Standing::NotSeen
                        && let Ok(owner) = self.owner(reference, object)
                    {
                        self.owners.add(owner, now.mono);
                    }
                }
                return false;
            }
            owners::Action::Strip => {
                if standings.contains(&Standing::LettingGo) {
                    sometimes!(Orphaned);
                } else {
                    sometimes!(SomeOwnerLives);
                }
                let left = kept(references, &standings);
                patch(object, "ownerReferences", json!(left))
            }
            owners::Action::Delete if planted!(OrphansGrandchildren) => {
                deletion(object, None, Some(Propagation::Orphan))
            }
            owners::Action::Delete => deletion(object, None, Some(Propagation::Background)),
            owners::Action::DeleteForeground => deletion(object, None, Some(Propagation::Foreground)),
        };
        let owner = references.iter().find_map(|reference| self.owner(reference, object).ok());
        tell(object, owner.map(|owner| owner.key), Because::of(&GARBAGE, row), out);
        self.write(now, object, verb, out);
        true
    }

    fn standing(&mut self, reference: &OwnerReference, child: &Object, out: &mut Effects) -> Standing {
        let owner = match self.owner(reference, child) {
            Ok(owner) => owner,
            Err(what) => {
                if self.unknown.len() < UNKNOWN_MAX && !self.unknown.contains(what.as_str()) {
                    out.log(Level::Warn, format!("{}: {what} are taken to exist for ever", child.key()));
                    self.unknown.insert(what.into());
                }
                return Standing::Live;
            }
        };
        // One of that uid elsewhere, or by another name, is not the one that is meant.
        let meant = self.relations.of_uid(&reference.uid).filter(|key| **key == owner.key);
        match meant.and_then(|key| self.object(key)) {
            Some(owner) => match (life(owner), Finalizer::of(owner.meta())) {
                (Life::Deleting, Finalizer::Orphan) => Standing::LettingGo,
                (Life::Deleting, Finalizer::Foreground) => Standing::Waiting,
                (Life::Deleting, Finalizer::Neither) | (Life::Living, _) => Standing::Live,
            },
            None if self.is_gone(&owner) || planted!(NotSeenIsGone) => Standing::Gone,
            None => Standing::NotSeen,
        }
    }

    fn is_gone(&self, owner: &Owner) -> bool {
        self.gone.get(&owner.uid).is_some_and(|keys| keys.contains(&owner.key))
    }

    /// Where the owner would be; or what it is, if that cannot be found out.
    ///
    /// Source: Kubernetes documentation, "Owners and Dependents".
    fn owner(&self, reference: &OwnerReference, child: &Object) -> Result<Owner, String> {
        let OwnerReference { api_version, kind: name, .. } = reference;
        let Some(kind) = self.kind_of(reference) else {
            return Err(format!("owners of kind {name} of {api_version}"));
        };
        let namespace = match (kind.row().namespaced, child.meta().namespace.as_str()) {
            (false, _) => "",
            // An object without a namespace cannot be owned by one that has one.
            (true, "") => return Err(format!("owners of kind {name}, which have a namespace, of what has none")),
            (true, namespace) => namespace,
        };
        Ok(Owner { key: Key::new(kind, namespace, &reference.name), uid: reference.uid.clone() })
    }

    /// The kind of an owner, in whatever version it is named.
    fn kind_of(&self, owner: &OwnerReference) -> Option<Kind> {
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let served = |row: &KindRow| {
            let also = || row.also.iter().any(|also| also.group == group && also.version == version);
            row.name == owner.kind && (row.group == group && row.version == version || also())
        };
        let built_in = Kind::rows().find(|(_, row)| served(row)).map(|(kind, _)| kind);
        built_in.or_else(|| self.custom.get(named(group, &owner.kind).as_str()).copied())
    }

    /// Whether nobody defines the kind any more.
    fn is_undefined(&self, kind: Kind) -> bool {
        let custom = matches!(kind, Kind::Custom(_));
        custom && self.object(&Key::new(Kind::CustomResourceDefinition, "", &kind.row().resource())).is_none()
    }

    fn write(&mut self, now: Now, object: &Object, verb: Verb, out: &mut Effects) {
        self.objects.begun(object.key(), object.revision());
        self.calls.call(now, Asked::Write(object.key()), verb, out);
    }

    fn ask_for_owner(&mut self, now: Now, owner: Owner, out: &mut Effects) {
        let known = self.relations.of_uid(&owner.uid) == Some(&owner.key) || self.is_gone(&owner);
        if known || !self.relations.has_children(&owner.uid) {
            return self.owners.settled(&owner);
        }
        sometimes!(OwnerNotInView);
        self.owners.begun(owner.clone(), Revision(0));
        let key = owner.key.clone();
        self.calls.call(now, Asked::Owner(owner), Verb::Get { key }, out);
    }

    fn ask_for_node(&mut self, now: Now, name: Text, out: &mut Effects) {
        let key = Key::new(Kind::Node, "", &name);
        let with_uid = |key: Key| {
            let uid = self.object(&key)?.meta().uid.clone();
            Some((key, uid))
        };
        let pods: Vec<(Key, Text)> = self.relations.pods_on(&name).filter_map(with_uid).collect();
        if pods.is_empty() || self.object(&key).is_some() {
            sometimes!(NodeCameBack);
            return self.nodes.settled(&name);
        }
        self.nodes.begun(name.clone(), Revision(0));
        self.calls.call(now, Asked::Node { name, pods }, Verb::Get { key }, out);
    }

    fn answered(&mut self, now: Now, asked: Asked, answer: Answer, out: &mut Effects) {
        match asked {
            Asked::Write(key) => {
                if !matches!(answer, Answer::Object { .. } | Answer::Removed(_)) {
                    self.ask_anew(&key);
                }
                let view = self.revision(&key);
                self.objects.answered(&key, &answer, view, now, out);
            }
            Asked::Owner(owner) => match Found::of(&answer) {
                Found::Nothing => self.owner_is_gone(now, owner),
                Found::Object(uid) if uid != owner.uid => self.owner_is_gone(now, owner),
                // All objects of a kind go with its definition.
                Found::NoSuchKind if self.is_undefined(owner.key.kind) => self.owner_is_gone(now, owner),
                // The view is behind. It is asked again, lest the owner goes before the view has ever shown it.
                Found::Object(_) | Found::NoSuchKind | Found::NoAnswer => {
                    sometimes!(OwnerWasThere);
                    self.owners.failed(&owner, now.mono);
                }
            },
            Asked::Node { name, pods } => match Found::of(&answer) {
                Found::Nothing if self.object(&Key::new(Kind::Node, "", &name)).is_none() => {
                    self.nodes.closed(&name);
                    for (key, uid) in pods {
                        if self.object(&key).is_some_and(|pod| pod.meta().uid == uid) {
                            self.lost.insert(uid);
                        }
                    }
                    for pod in self.relations.pods_on(&name) {
                        self.objects.add(pod.clone(), now.mono);
                    }
                }
                Found::Nothing => self.nodes.closed(&name),
                Found::Object(_) | Found::NoSuchKind | Found::NoAnswer => self.nodes.failed(&name, now.mono),
            },
            Asked::Children { owner, mut of } => match answer {
                _ if planted!(FailedListReleases) && !matches!(answer, Answer::List { .. }) => {
                    of.pop();
                    self.count_children(now, owner, of, out);
                }
                Answer::List { items, .. } if !items.iter().any(|item| names(item, &owner.uid)) => {
                    of.pop();
                    self.count_children(now, owner, of, out);
                }
                // There are children; the view will show them.
                Answer::List { .. } => self.objects.failed(&owner.key, now.mono),
                _ => {
                    if self.object(&owner.key).is_some_and(|object| object.meta().uid == owner.uid) {
                        self.uncounted.insert(owner.uid, of);
                    }
                    self.objects.failed(&owner.key, now.mono);
                }
            },
        }
    }

    /// What the API server said of a pod's node is old when the pod comes again: its kubelet may be back, and may have made
    /// the conflict itself.
    fn ask_anew(&mut self, pod: &Key) {
        if let Some(uid) = self.object(pod).map(|pod| pod.meta().uid.clone()) {
            self.lost.remove(&uid);
        }
    }

    fn owner_is_gone(&mut self, now: Now, owner: Owner) {
        sometimes!(OwnerGone);
        self.owners.closed(&owner);
        if self.relations.has_children(&owner.uid) {
            self.look_at_children(now, &owner.uid);
            self.gone.entry(owner.uid).or_default().insert(owner.key);
        }
    }
}

/// What a `Get` found.
enum Found {
    /// An object of this uid.
    Object(String),
    Nothing,
    /// Nobody serves objects of this kind there.
    NoSuchKind,
    NoAnswer,
}

impl Found {
    fn of(answer: &Answer) -> Found {
        match answer {
            Answer::Object { object, .. } => Found::Object(object.meta().uid.to_string()),
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) => {
                let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
                if named { Found::Nothing } else { Found::NoSuchKind }
            }
            Answer::Refused(_) | Answer::Lost(_) | Answer::Removed(_) | Answer::List { .. } | Answer::Watching => {
                Found::NoAnswer
            }
        }
    }
}

/// Whether an object is a node that is not ready, and of which people say that it is off.
fn is_out_of_service(object: &Object) -> bool {
    let said = |node: &node::Node| node.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE);
    object.get::<node::Node>().is_some_and(|node| !node.is_ready() && said(node))
}

fn life(object: &Object) -> Life {
    if object.meta().is_deleting() { Life::Deleting } else { Life::Living }
}

fn names(object: &Object, uid: &str) -> bool {
    object.meta().owner_references.iter().any(|owner| owner.uid == uid)
}

/// Nobody else tells of the pod's end. Of one whose node is gone it is said why, since that is no failure of its own.
///
/// Source: Kubernetes, `pkg/controller/podgc`, `markFailedAndDeletePodWithCondition`.
fn fail(pod: &mut Pod, node: Node, at: Time) {
    pod.status.phase = PodPhase::Failed;
    if node == Node::NotSeen {
        pod.say_disrupted(at, "DeletionByPodGC", "PodGC: node no longer exists");
    }
}

fn deletion(object: &Object, grace_seconds: Option<i64>, propagation: Option<Propagation>) -> Verb {
    let options = DeleteOptions {
        grace_seconds,
        uid: Some(object.meta().uid.clone()),
        // Whoever gives it another owner, or a finalizer, in the meantime must win.
        resource_version: Some(object.meta().resource_version.clone()),
        propagation,
        eviction: false,
        granted: false,
    };
    Verb::Delete { key: object.key(), options }
}

/// Replaces one list in an object's metadata.
fn patch(object: &Object, list: &str, by: Value) -> Verb {
    let meta = object.meta();
    // Whoever changes the object in the meantime must win.
    let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, list: by}});
    Verb::Merge { key: object.key(), patch, part: Part::Main }
}

/// How a kind is known here: `Widget.example.com`.
fn named(group: &str, kind: &str) -> String {
    format!("{kind}.{group}")
}

fn tell(object: &Object, sake: Option<Key>, because: Because, out: &mut Effects) {
    out.decided(Level::Info, Decision { sake, ..Decision::about(object.key(), because) });
}

impl Program for GarbageCollector {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        let mut changes = Vec::new();
        for view in self.views.values_mut() {
            changes.extend(view.step(now, &input, out));
        }
        for change in changes {
            self.changed(now, change, out);
        }
        for (asked, answer) in self.calls.ended(now, &input) {
            self.answered(now, asked, answer, out);
        }
        out.wake_at(self.calls.next());
        // Absence from a view that was never complete means nothing.
        if !self.is_ready() {
            return;
        }
        while let Some(key) = self.objects.pop_due(now.mono) {
            self.look_at(now, key, out);
        }
        while let Some(owner) = self.owners.pop_due(now.mono) {
            self.ask_for_owner(now, owner, out);
        }
        while let Some(name) = self.nodes.pop_due(now.mono) {
            self.ask_for_node(now, name, out);
        }
        out.wake_at(self.objects.next());
        out.wake_at(self.owners.next());
        out.wake_at(self.nodes.next());
        // `calls` may have grown.
        out.wake_at(self.calls.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{World, owned_by, owner_reference};

    fn world(seed: u64) -> (World, GarbageCollector) {
        let mut world = World::new(seed);
        world.node("n1");
        (world, GarbageCollector::new(Options::default(), seed))
    }

    fn key(kind: Kind, name: &str) -> Key {
        Key::new(kind, "default", name)
    }

    fn pods(world: &World) -> String {
        world.names(Kind::Pod, "default")
    }

    #[test]
    fn children_go_after_their_owner() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let set = world.set("web", json!([]));
            world.pod("a", "n1", owned_by(&set));
            world.pod("b", "", owned_by(&set));
            world.pod("c", "n1", json!([]));
            world.run(&mut program, 10);
            assert_eq!(world.take_writes(), [""; 0], "nothing is missing");
            world.delete(set.key(), Some(Propagation::Background));
            world.run(&mut program, 1);
            assert_eq!(pods(&world), "-a c", "seed {seed}: b was on no node, and went at once");
            assert_eq!(world.gets, 1, "one question for both");
            world.kubelets_finish_pods();
            world.run(&mut program, 600);
            assert_eq!((pods(&world).as_str(), world.take_writes().len()), ("c", 2), "seed {seed}");
        }
    }

    #[test]
    fn pods_leave_a_node_that_is_off_for_good() {
        let (mut world, mut program) = world(1);
        world.pod("a", "n1", json!([]));
        world.pod("b", "n1", json!([]));
        world.run(&mut program, 10);
        world.alive.remove("n1");
        let n1 = Key::new(Kind::Node, "", "n1");
        world.delete(key(Kind::Pod, "a"), None);
        world.merge(
            n1.clone(),
            json!({"spec": {"taints": [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]}}),
            Part::Main,
        );
        world.run(&mut program, 10);
        assert_eq!(pods(&world), "-a b", "its kubelet may still speak");
        let silent = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
        world.merge(n1, silent, Part::Status);
        world.run(&mut program, 1);
        assert_eq!(pods(&world), "b");
        world.delete(key(Kind::Pod, "b"), None);
        world.run(&mut program, 1);
        assert_eq!(pods(&world), "");
    }

    #[test]
    fn of_the_pods_that_have_ended_the_newest_are_kept() {
        let (mut world, _) = world(2);
        let mut program = GarbageCollector::new(Options { finished_max: 2, ..Options::default() }, 2);
        let ended = json!({"status": {"phase": "Succeeded"}});
        for name in ["d", "c", "b", "a"] {
            world.pod(name, "n1", json!([]));
            world.run(&mut program, 2);
        }
        for name in ["a", "b", "c"] {
            world.merge(key(Kind::Pod, name), ended.clone(), Part::Status);
        }
        world.run(&mut program, 2);
        assert_eq!(pods(&world), "a b d", "c was made first");
        world.merge(key(Kind::Pod, "d"), ended, Part::Status);
        world.run(&mut program, 2);
        assert_eq!(pods(&world), "a b");
        world.take_writes();
        world.run(&mut program, 600);
        assert_eq!(world.take_writes(), [""; 0]);
    }

    #[test]
    fn what_was_missed_while_it_was_down_is_collected() {
        let (mut world, mut program) = world(1);
        let set = world.set("web", json!([]));
        world.pod("a", "n1", owned_by(&set));
        world.delete(set.key(), None);
        world.set("web", json!([]));
        world.run(&mut program, 1);
        assert_eq!(pods(&world), "-a", "an owner of the same name and another uid is another owner");
    }

    #[test]
    fn an_owner_that_is_only_late_in_the_view_is_found() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            world.run(&mut program, 1);
            world.deaf_to.insert(Kind::ReplicaSet);
            let set = world.set("web", json!([]));
            world.pod("a", "n1", owned_by(&set));
            world.run(&mut program, 600);
            assert!((1..40).contains(&world.gets), "asked {} times", world.gets);
            world.deaf_to.clear();
            world.run(&mut program, 600);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn an_owner_that_the_view_never_shows_is_not_forgotten() {
        let (mut world, mut program) = world(2);
        world.run(&mut program, 1);
        world.deaf_to.insert(Kind::ReplicaSet);
        let set = world.set("web", json!([]));
        world.pod("a", "", owned_by(&set));
        world.run(&mut program, 60);
        assert_eq!(pods(&world), "a");
        world.delete(set.key(), None);
        world.run(&mut program, 120);
        assert_eq!(pods(&world), "");
    }

    #[test]
    fn nothing_is_concluded_from_views_that_are_not_complete() {
        let (mut world, mut program) = world(3);
        let set = world.set("web", json!([]));
        world.pod("a", "n1", owned_by(&set));
        world.disconnect();
        world.run(&mut program, 100);
        world.lost_percent = 60;
        world.connect();
        world.run(&mut program, 600);
        world.lost_percent = 0;
        world.run(&mut program, 600);
        assert_eq!(world.take_writes(), [""; 0]);
    }

    #[test]
    fn owners_of_an_unknown_kind_live_for_ever() {
        let (mut world, mut program) = world(4);
        let owner = json!([{"apiVersion": "example.com/v1", "kind": "Gizmo", "name": "g", "uid": "1-2-3"}]);
        world.pod("a", "n1", owner);
        world.run(&mut program, 600);
        assert_eq!((pods(&world).as_str(), world.gets), ("a", 0));
    }

    fn config(world: &mut World, name: &str, owners: Value) -> Object {
        let meta = json!({"name": name, "namespace": "default", "ownerReferences": owners});
        world.create(Kind::ConfigMap, json!({"metadata": meta}))
    }

    #[test]
    fn objects_of_every_kind_own_and_are_owned() {
        let (mut world, mut program) = world(11);
        let top = config(&mut world, "top", json!([]));
        let set = world.set("web", owned_by(&top));
        config(&mut world, "of-web", owned_by(&set));
        let node = world.get(Kind::Node, "", "n1").unwrap().clone();
        world.create(Kind::ClusterRole, json!({"metadata": {"name": "of-node", "ownerReferences": owned_by(&node)}}));
        let lease = json!({"name": "of-node", "namespace": "default", "ownerReferences": owned_by(&node)});
        world.create(Kind::Lease, json!({"metadata": lease}));
        let mut scaler = json!({"metadata": {"name": "hpa", "namespace": "default"}});
        scaler["spec"] =
            json!({"maxReplicas": 1, "scaleTargetRef": {"kind": "ReplicaSet", "name": "web", "apiVersion": "apps/v1"}});
        let scaler = world.create(Kind::HorizontalPodAutoscaler, scaler);
        let mut old_version = owner_reference(&scaler);
        old_version["apiVersion"] = json!("autoscaling/v1");
        config(&mut world, "of-hpa", json!([old_version]));
        world.run(&mut program, 60);
        assert_eq!(world.take_writes(), [""; 0], "nothing is missing");
        world.delete(top.key(), None);
        world.delete(scaler.key(), None);
        world.alive.remove("n1");
        world.delete(node.key(), None);
        world.run(&mut program, 60);
        for kind in [Kind::ConfigMap, Kind::ReplicaSet, Kind::Lease] {
            assert_eq!(world.names(kind, "default"), "", "{kind:?}");
        }
        assert_eq!(world.names(Kind::ClusterRole, ""), "");
    }

    #[test]
    fn an_owner_is_of_the_same_namespace_or_of_none() {
        let (mut world, mut program) = world(12);
        world.create(Kind::Namespace, json!({"metadata": {"name": "other"}}));
        let set = world.set("web", json!([]));
        let meta = json!({"name": "elsewhere", "namespace": "other", "ownerReferences": owned_by(&set)});
        world.create(Kind::ConfigMap, json!({"metadata": meta}));
        let mut by_another_name = owner_reference(&set);
        by_another_name["name"] = json!("web-2");
        config(&mut world, "renamed", json!([by_another_name]));
        config(&mut world, "mine", owned_by(&set));
        let meta = json!({"name": "everywhere", "ownerReferences": owned_by(&set)});
        world.create(Kind::ClusterRole, json!({"metadata": meta}));
        world.run(&mut program, 60);
        assert_eq!(
            (world.names(Kind::ConfigMap, "other"), world.names(Kind::ConfigMap, "default")),
            ("".into(), "mine".into())
        );
        world.delete(set.key(), Some(Propagation::Foreground));
        world.run(&mut program, 60);
        assert_eq!(
            (world.names(Kind::ConfigMap, "default"), world.names(Kind::ReplicaSet, "default")),
            ("".into(), "".into())
        );
        assert_eq!(world.names(Kind::ClusterRole, ""), "everywhere", "what has no namespace has no owner in one");
    }

    fn define(world: &mut World, group: &str, served: bool) -> Object {
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let version = json!({"name": "v1", "served": served, "storage": true, "schema": schema});
        let names = json!({"plural": "widgets", "kind": "Widget"});
        let spec = json!({"group": group, "scope": "Namespaced", "names": names, "versions": [version]});
        let meta = json!({"name": format!("widgets.{group}")});
        world.create(Kind::CustomResourceDefinition, json!({"metadata": meta, "spec": spec}))
    }

    fn widget(world: &mut World, of: &Object, name: &str, owners: Value) -> Object {
        let meta = json!({"name": name, "namespace": "default", "ownerReferences": owners});
        world.create(of.get::<CustomResourceDefinition>().unwrap().kind(), json!({"metadata": meta}))
    }

    #[test]
    fn custom_kinds_are_collected_as_long_as_they_are_defined() {
        for seed in 0..10 {
            let (mut world, mut program) = world(seed);
            let first = define(&mut world, "first.gc.example.com", true);
            let kind = first.get::<CustomResourceDefinition>().unwrap().kind();
            let owner = widget(&mut world, &first, "owner", json!([]));
            config(&mut world, "of-owner", owned_by(&owner));
            let set = world.set("web", json!([]));
            widget(&mut world, &first, "of-web", owned_by(&set));
            world.run(&mut program, 10);
            // One that is defined while the program runs.
            let second = define(&mut world, "second.gc.example.com", true);
            let late = widget(&mut world, &second, "late", json!([]));
            config(&mut world, "of-late", owned_by(&late));
            world.run(&mut program, 10);
            assert_eq!(world.take_writes(), [""; 0], "nothing is missing");
            assert_eq!(world.names(Kind::ConfigMap, "default"), "of-late of-owner");
            world.delete(owner.key(), None);
            world.delete(set.key(), Some(Propagation::Foreground));
            world.run(&mut program, 10);
            assert_eq!(world.names(kind, "default"), "", "seed {seed}");
            assert_eq!(world.names(Kind::ReplicaSet, "default"), "", "seed {seed}");
            assert_eq!(world.names(Kind::ConfigMap, "default"), "of-late", "seed {seed}");
            // Objects go with their definition, and what they own after them.
            world.delete(second.key(), None);
            world.run(&mut program, 60);
            assert_eq!(world.names(Kind::ConfigMap, "default"), "", "seed {seed}");
            // Defined again, it is looked at again.
            let second = define(&mut world, "second.gc.example.com", true);
            let again = widget(&mut world, &second, "again", json!([]));
            config(&mut world, "of-again", owned_by(&again));
            world.run(&mut program, 10);
            assert_eq!(world.names(Kind::ConfigMap, "default"), "of-again");
            world.delete(again.key(), None);
            world.run(&mut program, 10);
            assert_eq!(world.names(Kind::ConfigMap, "default"), "", "seed {seed}");
        }
    }

    #[test]
    fn a_custom_kind_that_cannot_be_listed_is_taken_to_exist() {
        let (mut world, mut program) = world(13);
        let hidden = define(&mut world, "hidden.gc.example.com", false);
        let owner = widget(&mut world, &hidden, "owner", json!([]));
        config(&mut world, "of-owner", owned_by(&owner));
        world.run(&mut program, 10);
        world.delete(owner.key(), None);
        world.run(&mut program, 60);
        assert_eq!((world.names(Kind::ConfigMap, "default").as_str(), world.gets), ("of-owner", 0));
    }

    #[test]
    fn an_owner_that_is_gone_is_forgotten_where_another_lives() {
        let (mut world, mut program) = world(5);
        let (one, other) = (world.set("one", json!([])), world.set("other", json!([])));
        let mut second = owner_reference(&other);
        second["controller"] = json!(false);
        world.pod("a", "n1", json!([owner_reference(&one), second]));
        world.delete(one.key(), None);
        world.run(&mut program, 10);
        let pod = world.get(Kind::Pod, "default", "a").unwrap();
        let names: Vec<&str> = pod.meta().owner_references.iter().map(|owner| owner.name.as_str()).collect();
        assert_eq!((names, pod.meta().is_deleting()), (vec!["other"], false));
        world.delete(other.key(), None);
        world.run(&mut program, 10);
        assert_eq!(pods(&world), "-a");
    }

    #[test]
    fn orphans_stay() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let set = world.set("web", json!([]));
            for name in ["a", "b", "c"] {
                world.pod(name, "n1", owned_by(&set));
            }
            world.run(&mut program, 5);
            world.delete(set.key(), Some(Propagation::Orphan));
            world.run(&mut program, 60);
            assert_eq!((pods(&world).as_str(), world.names(Kind::ReplicaSet, "default").as_str()), ("a b c", ""));
            for name in ["a", "b", "c"] {
                assert!(world.get(Kind::Pod, "default", name).unwrap().meta().owner_references.is_empty());
            }
        }
    }

    #[test]
    fn a_child_that_the_view_does_not_show_is_orphaned_too() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let set = world.set("web", json!([]));
            world.run(&mut program, 5);
            world.deaf_to.insert(Kind::Pod);
            world.pod("late", "n1", owned_by(&set));
            world.delete(set.key(), Some(Propagation::Orphan));
            world.run(&mut program, 30);
            assert_eq!(world.names(Kind::ReplicaSet, "default"), "-web", "it waits for the child");
            world.deaf_to.clear();
            world.run(&mut program, 60);
            assert_eq!((pods(&world).as_str(), world.names(Kind::ReplicaSet, "default").as_str()), ("late", ""));
        }
    }

    #[test]
    fn in_the_foreground_children_go_first() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            let top = world.set("top", json!([]));
            let middle = world.set("middle", owned_by(&top));
            world.pod("a", "n1", owned_by(&middle));
            let mut unblocking = owner_reference(&top);
            unblocking["blockOwnerDeletion"] = json!(false);
            world.pod("slow", "n1", json!([unblocking]));
            world.merge(key(Kind::Pod, "slow"), json!({"metadata": {"finalizers": ["x/y"]}}), Part::Main);
            world.run(&mut program, 5);
            world.delete(top.key(), Some(Propagation::Foreground));
            world.run(&mut program, 20);
            assert_eq!(world.names(Kind::ReplicaSet, "default"), "-middle -top", "seed {seed}");
            assert_eq!(pods(&world), "-a -slow");
            world.delete_at_once(key(Kind::Pod, "a"));
            world.run(&mut program, 20);
            assert_eq!((world.names(Kind::ReplicaSet, "default").as_str(), pods(&world).as_str()), ("", "-slow"));
        }
    }

    #[test]
    fn losses_delay_but_change_nothing() {
        for seed in 0..30 {
            let (mut world, mut program) = world(seed);
            let (set, orphaning) = (world.set("web", json!([])), world.set("orphaning", json!([])));
            let keep = world.set("keep", json!([]));
            world.pod("a", "", owned_by(&set));
            world.pod("b", "", owned_by(&orphaning));
            world.pod("c", "", owned_by(&keep));
            world.lost_percent = 40;
            world.delete(set.key(), Some(Propagation::Foreground));
            world.delete(orphaning.key(), Some(Propagation::Orphan));
            world.run(&mut program, 600);
            world.lost_percent = 0;
            world.run(&mut program, 200);
            let sets = world.names(Kind::ReplicaSet, "default");
            assert_eq!((sets.as_str(), pods(&world).as_str()), ("keep", "b c"), "seed {seed}");
            world.take_writes();
            world.run(&mut program, 600);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn a_conflict_is_decided_again() {
        let (mut world, mut program) = world(6);
        let set = world.set("web", json!([]));
        world.pod("a", "n1", owned_by(&set));
        world.run(&mut program, 1);
        world.deaf_to.insert(Kind::Pod);
        // Somebody takes the pod over, and the view does not show it yet.
        let other = world.set("other", json!([]));
        world.merge(key(Kind::Pod, "a"), json!({"metadata": {"ownerReferences": owned_by(&other)}}), Part::Main);
        world.delete(set.key(), None);
        world.run(&mut program, 60);
        let tries = world.take_writes().len();
        assert!((1..20).contains(&tries), "{tries} tries");
        world.deaf_to.clear();
        world.run(&mut program, 100);
        assert_eq!((pods(&world).as_str(), world.take_writes().len()), ("a", 0));
    }

    #[test]
    fn pods_of_a_deleted_node_are_removed_by_force() {
        for seed in 0..10 {
            let (mut world, mut program) = world(seed);
            world.node("n2");
            world.pod("a", "n1", json!([]));
            world.pod("b", "n2", json!([]));
            world.delete(key(Kind::Pod, "b"), None);
            world.pod("c", "n2", json!([]));
            world.run(&mut program, 100);
            assert_eq!(pods(&world), "a -b c");
            world.alive.remove("n2");
            world.delete(Key::new(Kind::Node, "", "n2"), None);
            world.run(&mut program, 39);
            assert_eq!(pods(&world), "a -b c");
            world.run(&mut program, 2);
            assert_eq!(pods(&world), "a", "seed {seed}");
            let mut writes = world.take_writes();
            writes.sort();
            let told = ["Status pods/default/b", "Status pods/default/c"];
            let removed = ["delete pods/default/b by force", "delete pods/default/c by force"];
            assert_eq!(writes, [told, removed].concat(), "seed {seed}: each has failed first");
        }
    }

    #[test]
    fn a_node_is_asked_for_anew_when_its_pod_could_not_be_written() {
        for is_lost in [false, true] {
            let (mut world, mut program) = world(9);
            world.pod("a", "n1", json!([]));
            world.run(&mut program, 10);
            world.delete(Key::new(Kind::Node, "", "n1"), None);
            world.hold_writes = true;
            world.run(&mut program, 41);
            assert_eq!(world.take_writes(), ["Status pods/default/a"]);
            // The node is back, though that is not seen, and its kubelet speaks for the pod.
            world.deaf_to.insert(Kind::Node);
            world.node("n1");
            world.merge(key(Kind::Pod, "a"), json!({"status": {"message": "it runs"}}), Part::Status);
            if is_lost {
                world.lose_held();
            } else {
                world.release();
            }
            world.run(&mut program, 300);
            world.deaf_to.clear();
            world.run(&mut program, 100);
            assert_eq!((pods(&world).as_str(), world.take_writes().len()), ("a", 0), "lost: {is_lost}");
            let pod = world.get(Kind::Pod, "default", "a").unwrap().get::<Pod>().unwrap();
            assert_eq!(pod.status.phase, PodPhase::Running);
        }
    }

    /// What is lost delays the removal, and does not prevent it.
    #[test]
    fn pods_of_a_deleted_node_are_removed_whatever_is_lost() {
        for seed in 0..10 {
            let (mut world, mut program) = world(seed);
            world.pod("a", "n1", json!([]));
            world.run(&mut program, 10);
            world.delete(Key::new(Kind::Node, "", "n1"), None);
            world.lost_percent = 40;
            world.run(&mut program, 1200);
            world.lost_percent = 0;
            world.run(&mut program, 300);
            assert_eq!(pods(&world), "", "seed {seed}");
        }
    }

    #[test]
    fn each_absence_of_a_node_is_counted_by_itself() {
        let (mut world, mut program) = world(8);
        world.pod("a", "n1", json!([]));
        world.run(&mut program, 10);
        world.delete(Key::new(Kind::Node, "", "n1"), None);
        world.run(&mut program, 30);
        world.node("n1");
        world.run(&mut program, 5);
        world.delete(Key::new(Kind::Node, "", "n1"), None);
        world.run(&mut program, 39);
        assert_eq!(pods(&world), "a");
        world.run(&mut program, 2);
        assert_eq!(pods(&world), "");
    }

    #[test]
    fn a_node_that_registers_again_keeps_its_pods() {
        for deaf in [false, true] {
            let (mut world, mut program) = world(7);
            world.pod("a", "n1", json!([]));
            world.run(&mut program, 10);
            world.delete(Key::new(Kind::Node, "", "n1"), None);
            world.run(&mut program, 1);
            if deaf {
                world.deaf_to.insert(Kind::Node);
            }
            world.node("n1");
            world.run(&mut program, 100);
            world.deaf_to.clear();
            world.run(&mut program, 100);
            assert_eq!((pods(&world).as_str(), world.take_writes().len()), ("a", 0));
        }
    }
}
