//! The program of all controllers of workloads: views, a queue of owners, and what it waits to see.

use crate::api::kinds::Kind;
use crate::api::meta::{ObjectMeta, OwnerReference};
use crate::api::names;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Calls, Change, Deadlines, Expectations, Informer, Queue, RETRY, Tries, informer};
use crate::controllers::workload::claim::{self, Action};
use crate::controllers::workload::failures::Failures;
use crate::controllers::workload::readiness::Readiness;
use crate::controllers::workload::selecting::Selecting;
use crate::controllers::workload::{Changed, Naming, New, Plan, Scene, Told, Victim, Views, Workload};
use crate::decision::{Because, Decision};
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Query, Revision, Verb};
use crate::reasons;
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

/// How a controller behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Decides the jitter of its list-watches.
    pub seed: u64,
    /// How its list-watches retry.
    pub informer: informer::Options,
}

/// At most so many objects are made or deleted for one owner before the view shows them.
///
/// Source: Kubernetes, `pkg/controller/replicaset`, `BurstReplicas`.
pub const BURST: usize = 500;

/// So long a view may be behind before the API server is asked: as a rule the news are on their way.
const BEHIND: Duration = Duration::from_secs(1);

/// How long an owner is not looked at again after its plan was made from so many objects: twenty microseconds for each,
/// none for fewer than a hundred.
///
/// A plan costs what it looks at. Made anew at each change of each child, ten thousand children would cost a hundred
/// million looks to start; so those of a large owner gather meanwhile. A look takes one microsecond at most, so that
/// plans take no more than a twentieth of the time.
fn pause(looked_at: usize) -> Duration {
    Duration::from_millis(2 * u64::try_from(looked_at / 100).unwrap_or(u64::MAX / 2))
}

/// Brings each workload to what it wishes.
///
/// One program for all kinds, so that each thing is seen once: with a view of all pods for each kind that makes pods,
/// a large cluster would be kept many times.
#[derive(Debug)]
pub struct WorkloadController {
    workloads: &'static [&'static dyn Workload],
    views: Views,
    calls: Calls<Asked>,
    /// One for each kind: events tell whose they are.
    recorders: Vec<EventRecorder>,
    /// When to look at which owner. What is refused keeps none from being looked at.
    queue: Deadlines<Key>,
    selecting: Selecting,
    /// Possible children that nobody controls.
    orphans: BTreeSet<Key>,
    creations: Expectations<Key, Key>,
    /// By the children's uids.
    deletions: Expectations<Key, Text>,
    claims: Expectations<Key, Key>,
    /// Which owners wait to see a changed object; an owner may be that object itself.
    changes: Expectations<Key, Key>,
    /// Children that are held though their owner is gone or going.
    strays: Queue<Key>,
    readiness: Readiness,
    /// One for each owner in the view.
    care: BTreeMap<Key, Care>,
}

/// What is remembered of an owner beside what the views show.
#[derive(Clone, Debug, Default)]
struct Care {
    uid: Text,
    /// Objects whose controllers or labels were not looked at since they changed.
    unclaimed: BTreeSet<Key>,
    /// Objects that were asked for and that no view shows yet, each with how its name came about. Of those that are not
    /// expected any more it is not known whether they were made.
    made: BTreeMap<Key, Naming>,
    /// Objects that are asked for once more, since it is not known what came of it before, and whether a view has shown
    /// them since: whichever of the calls made what is shown, the other may make one, too, when that is gone.
    again: BTreeMap<Key, bool>,
    /// Objects that are asked for since before all of their kind were listed anew: what had their names may have come and
    /// gone unseen.
    listed: BTreeSet<Key>,
    /// Objects that were made, and the revision at which they were: older views show one that had the name before, or none.
    made_at: BTreeMap<Key, Revision>,
    /// Objects by uid whose deletion was asked for; whether they were deleted is not known, and no view shows it. Pods
    /// among them that are wanted again are not expected to go.
    undeleted: BTreeMap<Text, Victim>,
    /// Objects that were changed, and the revision at which they were: older views do not show it.
    changed_at: BTreeMap<Key, Revision>,
    /// Children that the API server was asked for, because the view of them is older than the owner; and what came of it.
    confirmed: BTreeMap<Key, Confirmed>,
    /// Since when a view is behind the owner, at which revision of it.
    behind: Option<(Revision, Instant)>,
    /// The children are asked for, to compare them.
    comparing: bool,
    /// The children were as the API server had them at this revision.
    compared: Revision,
    /// Why the last creation was refused.
    refused: Option<Text>,
    creation: Tries,
    deletion: Tries,
    claiming: Tries,
    changing: Tries,
    status: Tries,
    comparison: Tries,
    /// A status is on its way.
    status_asked: bool,
    /// The revision that the last status made of the owner.
    status_at: Revision,
    failures: Failures,
    /// The same by place, where that is counted.
    places: BTreeMap<Text, Failures>,
    /// Children that somebody else took away lately, and how often; pods are among the failures.
    taken: BTreeMap<Key, Failures>,
    /// Before this it is not looked at again, see [`pause`]; but at once when what it waits for has come.
    rests_until: Instant,
    /// When it was looked at last, it waited for something to be seen.
    waits: bool,
}

/// Whether a child is as the view shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Confirmed {
    /// The child's revision that the view showed.
    child: Revision,
    /// The owner's.
    owner: Revision,
    /// Whether the API server has said that it is so.
    said: bool,
}

/// What an open call is for. Each names the owner; and its uid, where the answer would be taken for one about the next
/// owner of that name.
#[derive(Clone, Debug)]
enum Asked {
    Create {
        owner: Key,
        owner_uid: Text,
        child: Key,
        told: Option<Told>,
    },
    Delete {
        owner: Key,
        victim: Victim,
    },
    Change {
        owner: Key,
        owner_uid: Text,
        object: Key,
        told: Option<Told>,
    },
    Claim {
        owner: Key,
        child: Key,
    },
    /// Whether the owner still is what the view shows, before it adopts these objects as they are at these revisions.
    MayAdopt {
        owner: Key,
        owner_uid: Text,
        children: Vec<(Key, Revision)>,
    },
    Status {
        owner: Key,
        owner_uid: Text,
        tell: Vec<Told>,
    },
    /// Whether a child is as the view shows it.
    Confirm {
        owner: Key,
        child: Key,
        seen: Confirmed,
    },
    /// Which children of a kind there are, to compare them with the view's.
    Compare {
        owner: Key,
        owner_uid: Text,
        kind: Kind,
    },
    /// That a child is held no longer whose owner, of this name, is gone or going.
    Release {
        owner: Key,
    },
}

impl Asked {
    fn owner(&self) -> &Key {
        match self {
            Asked::Create { owner, .. }
            | Asked::Delete { owner, .. }
            | Asked::Change { owner, .. }
            | Asked::Claim { owner, .. }
            | Asked::MayAdopt { owner, .. }
            | Asked::Status { owner, .. }
            | Asked::Confirm { owner, .. }
            | Asked::Compare { owner, .. }
            | Asked::Release { owner } => owner,
        }
    }

    /// Which of that name, where that matters.
    fn owner_uid(&self) -> Option<&Text> {
        match self {
            Asked::Create { owner_uid, .. }
            | Asked::Change { owner_uid, .. }
            | Asked::MayAdopt { owner_uid, .. }
            | Asked::Status { owner_uid, .. }
            | Asked::Compare { owner_uid, .. } => Some(owner_uid),
            Asked::Delete { .. } | Asked::Claim { .. } | Asked::Confirm { .. } | Asked::Release { .. } => None,
        }
    }
}

/// What a plan decided about which objects.
#[derive(Default)]
struct Decided(Vec<(Because, Vec<Key>)>);

impl Decided {
    fn add(&mut self, because: Because, about: Key) {
        match self.0.iter_mut().find(|(known, _)| *known == because) {
            Some((_, all)) => all.push(about),
            None => self.0.push((because, vec![about])),
        }
    }

    /// Tells it: all of it was done for one owner.
    fn tell(self, owner: &Key, out: &mut Effects) {
        for (because, about) in self.0 {
            let sake = Some(owner.clone()).filter(|owner| !about.contains(owner));
            out.decided(Level::Debug, Decision { about, sake, because });
        }
    }
}

impl WorkloadController {
    /// A controller of these workloads that knows nothing yet.
    pub fn new(workloads: &'static [&'static dyn Workload], options: Options) -> Self {
        let mut kinds: Vec<Kind> = workloads.iter().map(|one| one.kind()).collect();
        for kind in workloads.iter().flat_map(|one| one.children().iter().chain(one.seen())) {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        let view = |(space, kind)| (kind, Informer::new(Query::all(kind), space, options.seed, options.informer));
        let informers: Vec<(Kind, Informer)> = (1..).zip(kinds).map(view).collect();
        let calls = 1 + u16::try_from(informers.len()).expect("there are few kinds");
        let recorder = |(space, one): (u16, &&dyn Workload)| EventRecorder::new(one.component(), "", space);
        WorkloadController {
            workloads,
            views: Views { informers, owned: BTreeMap::new() },
            calls: Calls::in_space(calls),
            recorders: (calls + 1..).zip(workloads).map(recorder).collect(),
            queue: Deadlines::default(),
            selecting: Selecting::default(),
            orphans: BTreeSet::new(),
            creations: Expectations::default(),
            deletions: Expectations::default(),
            claims: Expectations::default(),
            changes: Expectations::default(),
            strays: Queue::default(),
            readiness: Readiness::default(),
            care: BTreeMap::new(),
        }
    }

    /// How much it remembers of owners.
    #[cfg(test)]
    pub(in crate::controllers) fn remembered(&self) -> usize {
        let expected = self.creations.all().count() + self.deletions.all().count() + self.changes.all().count();
        self.care.len() + self.queue.len() + expected
    }

    /// The workload of a kind.
    fn workload(&self, kind: Kind) -> Option<&'static dyn Workload> {
        find(self.workloads, kind)
    }

    fn changed(&mut self, now: Now, kind: Kind, change: &Change) {
        self.file(change);
        self.readiness.notice(now, change);
        if let Some(workload) = self.workload(kind) {
            self.owner_changed(now, workload, change);
        }
        if self.workloads.iter().any(|one| one.children().contains(&kind)) {
            self.child_changed(now, kind, change);
        }
        for workload in self.workloads.iter().filter(|one| one.seen().contains(&kind)) {
            self.seen_changed(now, *workload, change);
        }
    }

    fn owner_changed(&mut self, now: Now, workload: &dyn Workload, change: &Change) {
        match change {
            Change::Added(object) => {
                let key = object.key();
                let mut care = Care { uid: object.meta().uid.clone(), ..Care::default() };
                if let Some(selector) = workload.selector(object) {
                    self.selecting.add(&key, &selector);
                    care.unclaimed = self.claimable(workload, object);
                }
                self.care.insert(key.clone(), care);
                self.queue.set(key, now.mono);
            }
            Change::Modified { old, new } => {
                let key = new.key();
                if let Some(care) = self.care.get_mut(&key) {
                    // What failed was decided on an older view, or on an older wish.
                    care.status.succeeded();
                    care.changing.succeeded();
                    if old.meta().generation != new.meta().generation {
                        care.creation.succeeded();
                    }
                }
                self.selector_changed(workload, old, new);
                self.shown(&key, Some(new.revision()));
                self.queue.set(key, now.mono);
                if new.meta().is_deleting() && !old.meta().is_deleting() {
                    self.look_for_strays(now, workload, &new.meta().uid);
                }
            }
            Change::Deleted(object) => {
                let key = object.key();
                self.look_for_strays(now, workload, &object.meta().uid);
                if let Some(selector) = workload.selector(object) {
                    self.selecting.remove(&key, &selector);
                }
                self.queue.remove(&key);
                self.creations.forget(&key);
                self.deletions.forget(&key);
                self.claims.forget(&key);
                self.changes.forget(&key);
                self.care.remove(&key);
            }
            Change::Synced => self.look_at_all(now, |one| one.kind() == workload.kind()),
        }
    }

    /// Only that of replication controllers may change.
    fn selector_changed(&mut self, workload: &dyn Workload, old: &Object, new: &Object) {
        if old.meta().generation == new.meta().generation {
            return;
        }
        let (key, before, after) = (new.key(), workload.selector(old), workload.selector(new));
        if before == after {
            return;
        }
        before.iter().for_each(|selector| self.selecting.remove(&key, selector));
        after.iter().for_each(|selector| self.selecting.add(&key, selector));
        let claimable = self.claimable(workload, new);
        if let Some(care) = self.care.get_mut(&key) {
            care.unclaimed.extend(claimable);
        }
    }

    /// What may be an owner's, or may be its no longer: what it has, and what nobody has.
    fn claimable(&self, workload: &dyn Workload, owner: &Object) -> BTreeSet<Key> {
        let (meta, children) = (owner.meta(), workload.children());
        let own = self.views.owned.get(filed_under(&meta.uid, &meta.name));
        let own = own.into_iter().flat_map(BTreeMap::keys).filter(|key| children.contains(&key.kind));
        let orphans = children.iter().flat_map(|kind| {
            let all = self.orphans.range(Key::new(*kind, &meta.namespace, "")..);
            all.take_while(|child| {
                child.kind == *kind && (child.namespace == meta.namespace || planted!(AdoptsAcrossNamespaces))
            })
        });
        own.chain(orphans).cloned().collect()
    }

    /// The children of an owner that is gone or going may be held in vain.
    fn look_for_strays(&mut self, now: Now, workload: &dyn Workload, uid: &str) {
        if workload.holds().is_some() {
            for child in self.views.owned_by(uid) {
                self.strays.add(child.key(), now.mono);
            }
        }
    }

    fn look_at_all(&mut self, now: Now, of: impl Fn(&dyn Workload) -> bool) {
        let kinds: Vec<Kind> = self.workloads.iter().filter(|one| of(**one)).map(|one| one.kind()).collect();
        for owner in self.care.keys().filter(|owner| kinds.contains(&owner.kind)) {
            self.queue.set(owner.clone(), now.mono);
        }
    }

    fn child_changed(&mut self, now: Now, kind: Kind, change: &Change) {
        let (old, new) = change.sides();
        let Some(key) = old.or(new).map(Object::key) else { return self.listed(now, kind) };
        let mut concerned = self.child_shown(&key, new.map(Object::revision));
        concerned.extend(self.claims.seen(&key));
        concerned.extend(self.shown(&key, new.map(Object::revision)));
        let mut asked_for = false;
        if new.is_none_or(|new| new.meta().is_deleting())
            && let Some(old) = old
        {
            let owners = self.deletions.seen(&old.meta().uid);
            asked_for = !owners.is_empty();
            concerned.extend(owners);
        }
        let before = old.and_then(|old| self.owner(old.meta()));
        let after = new.and_then(|new| self.owner(new.meta()));
        concerned.extend(before.clone());
        concerned.extend(after.clone());
        for owner in concerned {
            self.queue.set(owner, now.mono);
        }
        if let Some(care) = after.as_ref().or(before.as_ref()).and_then(|owner| self.care.get_mut(owner)) {
            care.changing.succeeded();
            care.failures.notice(now, old, new, asked_for);
            let leaves = new.is_none_or(|new| new.meta().is_deleting());
            if kind != Kind::Pod && leaves && !asked_for && old.is_some_and(|old| !old.meta().is_deleting()) {
                care.taken.retain(|_, taken| !taken.is_forgiven(now.mono));
                care.taken.entry(key.clone()).or_default().add(now.mono);
            }
            let workload = after.as_ref().or(before.as_ref()).and_then(|owner| find(self.workloads, owner.kind));
            if let Some(place) = new.or(old).and_then(|child| workload?.place(child)) {
                let before = care.places.get(place).copied().unwrap_or_default();
                let mut failures = before;
                failures.notice(now, old, new, asked_for);
                if failures != before {
                    care.places.insert(place.into(), failures);
                }
            }
        }
        let Some(object) = new else { return self.strays.remove(&key) };
        let goes = |owner: &Key| self.views.object(owner).is_none_or(|owner| owner.meta().is_deleting());
        if !object.meta().finalizers.is_empty() && after.as_ref().is_none_or(goes) {
            self.strays.add(key.clone(), now.mono);
        }
        match object.meta().controller() {
            Some(_) if after.is_some() || !planted!(AdoptsFromOthers) => {
                if let Some(care) = after.as_ref().and_then(|owner| self.care.get_mut(owner)) {
                    care.unclaimed.insert(key);
                }
            }
            _ => {
                self.orphans.insert(key.clone());
                for owner in self.selecting.candidates(object.meta()) {
                    if self.workload(owner.kind).is_some_and(|one| one.children().contains(&kind))
                        && let Some(care) = self.care.get_mut(&owner)
                    {
                        care.unclaimed.insert(key.clone());
                        self.queue.set(owner, now.mono);
                    }
                }
            }
        }
    }

    fn seen_changed(&mut self, now: Now, workload: &dyn Workload, change: &Change) {
        let (old, new) = change.sides();
        if *change == Change::Synced {
            return self.look_at_all(now, |one| one.kind() == workload.kind());
        }
        for owner in workload.reached(old, new, &self.views) {
            if self.care.contains_key(&owner) {
                self.queue.set(owner, now.mono);
            }
        }
    }

    /// The finalizer by which a child is held though it has no owner, or one that is going; and by whose name it was.
    fn stray(&self, child: &Object) -> Option<(Key, &'static str)> {
        let holds = |one: &&&dyn Workload| {
            let finalizer = one.holds()?;
            child.meta().finalizers.iter().any(|held| held == finalizer).then_some((one.kind(), finalizer))
        };
        let (kind, finalizer) = self.workloads.iter().find_map(|one| holds(&one))?;
        match self.owner(child.meta()).and_then(|owner| self.views.object(&owner)) {
            Some(owner) if !owner.meta().is_deleting() => None,
            _ => {
                let name = child.meta().controller().map_or("", |by| &by.name);
                Some((Key::new(kind, &child.meta().namespace, name), finalizer))
            }
        }
    }

    /// Lets go of children that are held in vain.
    fn release_strays(&mut self, now: Now, out: &mut Effects) {
        while let Some(key) = self.strays.pop_due(now.mono) {
            let found = self.views.object(&key).and_then(|child| Some((child.clone(), self.stray(child)?)));
            let Some((child, (owner, finalizer))) = found else {
                self.strays.remove(&key);
                continue;
            };
            sometimes!(StrayReleased);
            let object = child.with_meta(|meta| meta.finalizers.retain(|one| one != finalizer));
            // Asked again, later each time, until the view shows it.
            self.strays.failed(key, now.mono);
            self.calls.call(now, Asked::Release { owner }, Verb::Update { object, part: Part::Main }, out);
        }
        out.wake_at(self.strays.next());
    }

    /// A view shows a child at this revision, or that it is gone: who asked for it waits no longer, unless it was told of
    /// a later one of the name, or asks for one once more.
    fn child_shown(&mut self, child: &Key, at: Option<Revision>) -> BTreeSet<Key> {
        let waiting = self.creations.waiting_for(child);
        for owner in &waiting {
            let Some(care) = self.care.get_mut(owner) else { continue };
            if let Some(shown) = care.again.get_mut(child) {
                *shown = true;
                continue;
            }
            if care.made_at.get(child).is_some_and(|made| at < Some(*made)) {
                continue;
            }
            care.made_at.remove(child);
            care.made.remove(child);
            self.creations.met(owner, child);
        }
        waiting
    }

    /// A view shows an object at this revision, or that it is gone: who waited for that waits no longer.
    fn shown(&mut self, object: &Key, at: Option<Revision>) -> BTreeSet<Key> {
        let waiting = self.changes.waiting_for(object);
        for owner in &waiting {
            let Some(care) = self.care.get_mut(owner) else { continue };
            let answered = care.changed_at.get(object).copied();
            if at.is_none() || answered.is_some_and(|answered| at >= Some(answered)) {
                care.changed_at.remove(object);
                self.changes.met(owner, object);
            }
        }
        waiting
    }

    /// All objects of a kind were listed anew, so that some may have come and gone unseen: what was made and is not
    /// shown is not waited for any longer.
    fn listed(&mut self, now: Now, kind: Kind) {
        let open: BTreeSet<&Key> = self
            .calls
            .open()
            .filter_map(|asked| if let Asked::Create { child, .. } = asked { Some(child) } else { None })
            .collect();
        let expected = self.creations.all().filter(|(_, child)| child.kind == kind);
        let expected = expected.map(|(owner, child)| (owner.clone(), child.clone()));
        type Children = Vec<(Key, Key)>;
        let (asked, answered): (Children, Children) = expected.partition(|(_, child)| open.contains(child));
        for (owner, child) in asked {
            self.care.get_mut(&owner).map(|care| care.listed.insert(child));
        }
        for (owner, child) in answered {
            sometimes!(CountSettledByList);
            self.creations.met(&owner, &child);
            self.care.get_mut(&owner).map(|care| care.made_at.remove(&child));
        }
        self.look_at_all(now, |one| one.children().contains(&kind));
    }

    /// Files an object under its controller.
    fn file(&mut self, change: &Change) {
        let (old, new) = change.sides();
        if let Some(old) = old {
            let key = old.key();
            match old.meta().controller() {
                Some(owner) => {
                    let owner = filed_under(&owner.uid, &owner.name);
                    if let Some(objects) = self.views.owned.get_mut(owner) {
                        objects.remove(&key);
                        if objects.is_empty() {
                            self.views.owned.remove(owner);
                        }
                    }
                }
                None => drop(self.orphans.remove(&key)),
            }
        }
        if let Some(new) = new
            && let Some(by) = new.meta().controller()
        {
            let under = filed_under(&by.uid, &by.name).to_owned();
            self.views.owned.entry(under).or_default().insert(new.key(), new.clone());
        }
    }

    /// The owner in the view that controls an object.
    fn owner(&self, object: &ObjectMeta) -> Option<Key> {
        let by = object.controller()?;
        let group = by.api_version.split_once('/').map_or("", |(group, _)| group);
        let is = |kind: &Kind| kind.row().name == by.kind && kind.row().group == group;
        let kind = self.workloads.iter().map(|one| one.kind()).find(is)?;
        let key = Key::new(kind, &object.namespace, &by.name);
        (self.views.object(&key)?.meta().uid == by.uid || planted!(IgnoresOwnerUid)).then_some(key)
    }

    fn ended(&mut self, now: Now, asked: Asked, answer: &Answer, out: &mut Effects) {
        // Of an owner that is gone nothing is remembered, and nothing of one that had its name.
        let Some(object) = self.views.object(asked.owner()).cloned() else { return };
        let Some(care) = self.care.get_mut(asked.owner()) else { return };
        if asked.owner_uid().is_some_and(|uid| *uid != care.uid) {
            return;
        }
        let nth = self.workloads.iter().position(|one| one.kind() == object.kind());
        let recorder = &mut self.recorders[nth.expect("who is cared for is a workload")];
        let name = asked.owner().to_string();
        self.queue.set(asked.owner().clone(), now.mono);
        let reason = match answer {
            Answer::Refused(status) => status.reason,
            _ => None,
        };
        // Many that are refused together have failed once.
        let fail = |tries: &mut Tries| {
            if tries.waits_until(now.mono).is_none() {
                tries.failed(now.mono, RETRY);
            }
        };
        // Whether it was asked for once more; and if so, whether a view has shown it since. And whether all were listed since.
        let (again, listed) = match &asked {
            Asked::Create { child, .. } => (care.again.remove(child), care.listed.remove(child)),
            _ => (None, false),
        };
        match (asked, answer) {
            (Asked::Create { owner, child, told, .. }, Answer::Object { object: made, .. }) => {
                // Met when the view shows it. What was seen until now may have been made by an earlier call, whose answer
                // was lost, and be gone.
                if self.views.is_as_new_as(child.kind, made) {
                    self.creations.met(&owner, &child);
                    care.made.remove(&child);
                } else {
                    care.made_at.insert(child.clone(), made.revision());
                    self.creations.expect(&owner, child);
                }
                care.refused = None;
                care.creation.succeeded();
                if let Some(told) = told {
                    tell(recorder, now, &object, told, out);
                }
            }
            (Asked::Create { owner, child, .. }, Answer::Refused(_)) if reason == Some(Reason::AlreadyExists) => {
                sometimes!(CreateExists);
                // Made by a call whose answer was lost, or by somebody else: in both cases the view shows it.
                if again == Some(true) || self.views.object(&child).is_some() {
                    self.creations.met(&owner, &child);
                    care.made.remove(&child);
                } else if listed {
                    // But it may have gone unseen. If it has not, asking for it again, by its name, tells nothing else.
                    self.creations.met(&owner, &child);
                }
                fail(&mut care.creation);
            }
            (Asked::Create { owner, child, .. }, Answer::Refused(status)) => {
                self.creations.met(&owner, &child);
                // Of an earlier call, whose answer was lost, that says nothing: it may make the object still. Nor does it of
                // this one, if it arrives twice and there was no time for it once.
                if again.is_none() && !status.leaves_open() {
                    care.made.remove(&child);
                }
                sometimes!(CreateRefused);
                let message = format!("Error creating: {status}");
                recorder.tell(now, &object, Tone::Warning, "FailedCreate", message, out);
                let refused = reasons::REFUSED.because().as_seen(&*status.message);
                out.decided(Level::Debug, Decision::about(owner.clone(), refused));
                care.refused = Some(status.message.as_str().into());
                fail(&mut care.creation);
            }
            (Asked::Create { owner, child, .. }, _) => {
                sometimes!(CreateLost);
                // Whether it was made is not known. The next try has the same name, so there will be no twin.
                self.creations.met(&owner, &child);
                fail(&mut care.creation);
            }
            (Asked::Delete { victim, .. }, Answer::Object { .. } | Answer::Removed(_)) => {
                // Met when the view shows it.
                care.deletion.succeeded();
                if let Some(told) = victim.told {
                    tell(recorder, now, &object, told, out);
                }
            }
            // It is gone already, as the view will show.
            (Asked::Delete { .. }, _) if reason == Some(Reason::NotFound) => {}
            (Asked::Delete { owner, victim }, Answer::Refused(status))
                if reason != Some(Reason::Conflict) && !status.leaves_open() =>
            {
                self.deletions.met(&owner, &victim.uid);
                out.log(Level::Warn, format!("{name}: deletion of {}: {status}", victim.key));
                fail(&mut care.deletion);
            }
            (Asked::Delete { victim, .. }, answer) => {
                sometimes!(DeleteLost);
                // Whether it is being deleted is not known. It is asked for again, and no other in its place.
                out.log(Level::Warn, format!("{name}: deletion of {}: {}", victim.key, said(answer)));
                care.undeleted.insert(victim.uid.clone(), victim);
                fail(&mut care.deletion);
            }
            (Asked::Change { owner, object: key, told, .. }, Answer::Object { object: changed, .. }) => {
                care.changing.succeeded();
                let shown = self.views.object(&key).map(Object::revision);
                if shown.is_some_and(|shown| shown >= changed.revision()) {
                    self.changes.met(&owner, &key);
                } else if self.changes.has(&owner, &key) {
                    care.changed_at.insert(key, changed.revision());
                }
                if let Some(told) = told {
                    tell(recorder, now, &object, told, out);
                }
            }
            (Asked::Change { owner, object: key, .. }, answer) => {
                // Refused on a view that was behind, or lost: then the next try is on a version that is no more.
                out.log(Level::Debug, format!("{name}: change of {key}: {}", said(answer)));
                self.changes.met(&owner, &key);
                fail(&mut care.changing);
            }
            (Asked::Claim { .. }, Answer::Object { .. }) => care.claiming.succeeded(),
            (Asked::Claim { owner, child }, answer) => {
                out.log(Level::Debug, format!("{name}: claim of {child}: {}", said(answer)));
                self.claims.met(&owner, &child);
                care.unclaimed.insert(child);
                fail(&mut care.claiming);
            }
            // The answer may be older than what was shown meanwhile.
            (Asked::MayAdopt { owner, children, .. }, Answer::Object { object: live, .. })
                if live.meta().uid == care.uid
                    && !live.meta().is_deleting()
                    && !self.views.object(&owner).is_some_and(|shown| shown.meta().is_deleting()) =>
            {
                let holds = find(self.workloads, object.kind()).and_then(|workload| workload.holds());
                for (child, revision) in children {
                    // If it has changed since, it is looked at anew.
                    let known = self.views.object(&child).filter(|known| known.revision() == revision);
                    let Some(body) = known else { continue };
                    sometimes!(PodAdopted);
                    let mut owners = body.meta().owner_references.clone();
                    if planted!(AdoptsFromOthers) {
                        owners.clear();
                    }
                    if planted!(AdoptionDropsOwners) {
                        owners.clear();
                    }
                    owners.push(claim::reference(live));
                    let verb = owned_by(body, &owners, &held(body, holds));
                    self.calls.call(now, Asked::Claim { owner: owner.clone(), child }, verb, out);
                }
            }
            (Asked::MayAdopt { owner, children, .. }, answer) => {
                // An owner that is gone or going adopts nobody; the view will show it.
                let gone = matches!(answer, Answer::Object { .. }) || reason == Some(Reason::NotFound);
                for (child, _) in children {
                    self.claims.met(&owner, &child);
                    if !gone {
                        care.unclaimed.insert(child);
                    }
                }
                if gone {
                    sometimes!(AdoptionForgone);
                } else {
                    fail(&mut care.claiming);
                }
            }
            (Asked::Release { .. }, _) => {}
            (Asked::Compare { kind, .. }, answer) => {
                care.comparing = false;
                let list = if let Answer::List { revision, items } = answer { Some((*revision, items)) } else { None };
                match list.filter(|(at, items)| agrees(&self.views, &object, kind, *at, items)) {
                    Some((at, _)) => {
                        sometimes!(ChildrenCompared);
                        care.compared = at;
                        care.comparison.succeeded();
                    }
                    // The view will show it, or the list is older than the view.
                    None => fail(&mut care.comparison),
                }
            }
            (Asked::Confirm { child, seen, .. }, answer) => {
                let same = matches!(answer, Answer::Object { object, .. } if object.revision() == seen.child);
                match care.confirmed.get_mut(&child).filter(|known| **known == seen) {
                    Some(known) if same => known.said = true,
                    // The view will show what it is; of a lost answer nothing is concluded.
                    Some(_) => {
                        care.confirmed.remove(&child);
                        fail(&mut care.status);
                    }
                    None => {}
                }
            }
            (Asked::Status { tell: told, .. }, answer) => {
                care.status_asked = false;
                match answer {
                    Answer::Object { object: written, .. } => {
                        care.status.succeeded();
                        care.status_at = written.revision();
                        for told in told {
                            tell(recorder, now, &object, told, out);
                        }
                    }
                    // On a conflict the view brings the news that the next try needs.
                    _ => {
                        if reason == Some(Reason::Conflict) {
                            sometimes!(StatusConflict);
                        }
                        fail(&mut care.status);
                    }
                }
            }
        }
    }

    fn sync(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let Some(owner) = self.views.object(key).cloned() else { return };
        let Some(workload) = self.workload(key.kind) else { return };
        self.claim(now, workload, key, &owner, out);

        let Some(care) = self.care.get_mut(key) else { return };
        let own = self.views.owned_by(filed_under(&owner.meta().uid, &owner.meta().name));
        let children: Vec<&Object> = own.filter(|child| workload.children().contains(&child.kind())).collect();
        care.rests_until = now.mono + pause(workload.looks_at(children.len(), &self.views));
        let (refused, failures, places) = (care.refused.as_deref(), care.failures, &care.places);
        let (views, readiness) = (&self.views, &self.readiness);
        let (compared, awaits) = (care.compared, !self.creations.is_met(key));
        let scene =
            Scene { now, owner: &owner, children, views, refused, failures, readiness, places, compared, awaits };
        let mut plan = workload.plan(&scene);
        let (status, tell, relies_on) = (plan.status.take(), take(&mut plan.tell), take(&mut plan.relies_on));
        let claimed = care.unclaimed.is_empty();
        // Who is going wants nothing any more.
        let unwanted: &[Victim] = if owner.meta().is_deleting() { &[] } else { &plan.delete };
        self.delete_again(now, workload, &owner, unwanted, out);
        // A child that still is to be claimed may be one of those that seem to be missing.
        let settled = claimed && !self.waits(key);
        if let Some(at) = plan.look_again {
            self.queue.set_if_earlier(key.clone(), at);
        }
        let compare = plan.compare;
        if settled && !owner.meta().is_deleting() {
            if plan.create.is_empty()
                && let Some(care) = self.care.get_mut(key)
            {
                // Nothing is missing any more, so nothing is refused.
                care.refused = None;
            }
            self.carry_out(now, key, &owner, plan, out);
        }
        self.compare(now, workload, &owner, compare, out);
        if let Some(status) = status
            && self.confirm(now, key, &owner, relies_on, out)
        {
            self.write_status(now, key, &owner, status, tell, out);
        }
        let waits = self.waits(key);
        if let Some(care) = self.care.get_mut(key) {
            care.waits = waits;
        }
    }

    /// Whether something was asked for that no view shows yet.
    fn waits(&self, key: &Key) -> bool {
        !(self.creations.is_met(key)
            && self.deletions.is_met(key)
            && self.claims.is_met(key)
            && self.changes.is_met(key))
    }

    /// Until when an owner rests, if it does: see [`pause`].
    fn rests_until(&self, now: Now, key: &Key) -> Option<Instant> {
        let care = self.care.get(key)?;
        (care.rests_until > now.mono && (self.waits(key) || !care.waits)).then_some(care.rests_until)
    }

    /// Whether these children are as the views show them. Where a view is older than the owner, the API server is asked.
    fn confirm(&mut self, now: Now, key: &Key, owner: &Object, children: Vec<Key>, out: &mut Effects) -> bool {
        let Some(care) = self.care.get_mut(key) else { return false };
        care.confirmed.retain(|child, known| known.owner == owner.revision() && children.contains(child));
        let mut all = true;
        for child in children {
            let is_fresh = self.views.is_as_new_as(child.kind, owner);
            let Some(shown) = self.views.object(&child).filter(|_| !is_fresh) else { continue };
            let seen = Confirmed { child: shown.revision(), owner: owner.revision(), said: false };
            let known = care.confirmed.get(&child).filter(|known| known.child == seen.child);
            all &= known.is_some_and(|known| known.said);
            if known.is_some() {
                continue;
            }
            if let Some(turn) = care.status.waits_until(now.mono) {
                self.queue.set_if_earlier(key.clone(), turn);
                continue;
            }
            sometimes!(ChildConfirmed);
            care.confirmed.insert(child.clone(), seen);
            let asked = Asked::Confirm { owner: key.clone(), child: child.clone(), seen };
            self.calls.call(now, asked, Verb::Get { key: child }, out);
        }
        all
    }

    /// Asks for an owner's children, if the view of them stays behind.
    fn compare(&mut self, now: Now, workload: &dyn Workload, owner: &Object, kind: Option<Kind>, out: &mut Effects) {
        let key = owner.key();
        let Some(care) = self.care.get_mut(&key) else { return };
        let (Some(kind), Some(labels)) = (kind, workload.selector(owner)) else { return care.behind = None };
        let since = match care.behind {
            Some((at, since)) if at == owner.revision() => since,
            _ => now.mono,
        };
        care.behind = Some((owner.revision(), since));
        let turn = care.comparison.waits_until(now.mono).unwrap_or_default().max(since + BEHIND);
        if care.comparing {
            return;
        }
        if turn > now.mono {
            return self.queue.set_if_earlier(key, turn);
        }
        care.comparing = true;
        let namespace = Some(key.namespace.clone());
        let query = Query { namespace, labels: labels.into_owned(), ..Query::all(kind) };
        let asked = Asked::Compare { owner: key, owner_uid: owner.meta().uid.clone(), kind };
        self.calls.call(now, asked, Verb::List(query), out);
    }

    fn carry_out(&mut self, now: Now, key: &Key, owner: &Object, plan: Plan, out: &mut Effects) {
        self.change(now, key, plan.change, out);
        if !plan.create.is_empty() {
            self.create(now, key, owner, plan.create, plan.create_after, out);
        }
        let mut decided = Decided::default();
        for victim in plan.delete.into_iter().take(BURST) {
            let (because, of) = (victim.because.clone(), victim.key.clone());
            if self.delete(now, key, victim, out) {
                decided.add(because, of);
            }
        }
        decided.tell(key, out);
    }

    /// Adopts and releases, among the objects that have changed.
    fn claim(&mut self, now: Now, workload: &dyn Workload, key: &Key, owner: &Object, out: &mut Effects) {
        let Some(care) = self.care.get_mut(key) else { return };
        let Some(selector) = workload.selector(owner) else { return care.unclaimed.clear() };
        if let Some(turn) = care.claiming.waits_until(now.mono).filter(|_| !care.unclaimed.is_empty()) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        let (mut adopted, mut decided) = (Vec::new(), Decided::default());
        for child in take(&mut care.unclaimed) {
            let Some(body) = self.views.object(&child) else { continue };
            let (action, row) = claim::standing(owner.meta(), &selector, body);
            match action {
                Action::Keep | Action::Ignore => continue,
                Action::Adopt if !workload.may_adopt(owner, body) => continue,
                Action::Adopt => adopted.push((child.clone(), body.revision())),
                Action::Release => {
                    sometimes!(PodReleased);
                    let mut owners = body.meta().owner_references.clone();
                    owners.retain(|one| one.uid != owner.meta().uid);
                    let mut finalizers = body.meta().finalizers.clone();
                    finalizers.retain(|one| workload.holds().is_none_or(|holds| one != holds));
                    let asked = Asked::Claim { owner: key.clone(), child: child.clone() };
                    self.calls.call(now, asked, owned_by(body, &owners, &finalizers), out);
                }
            }
            decided.add(Because::of(&claim::CLAIM, row), child.clone());
            self.claims.expect(key, child);
        }
        decided.tell(key, out);
        if !adopted.is_empty() {
            // The view of the owner may be behind: an orphan that it has let go must not be given back to it.
            if planted!(AdoptsUnasked) {
                for (child, _) in adopted {
                    let Some(body) = self.views.object(&child) else { continue };
                    let mut owners = body.meta().owner_references.clone();
                    owners.push(claim::reference(owner));
                    let verb = owned_by(body, &owners, &held(body, workload.holds()));
                    self.calls.call(now, Asked::Claim { owner: key.clone(), child }, verb, out);
                }
                return;
            }
            let owner_uid = owner.meta().uid.clone();
            let asked = Asked::MayAdopt { owner: key.clone(), owner_uid, children: adopted };
            self.calls.call(now, asked, Verb::Get { key: key.clone() }, out);
        }
    }

    fn create(
        &mut self,
        now: Now,
        key: &Key,
        owner: &Object,
        new: Vec<New>,
        after: Option<Instant>,
        out: &mut Effects,
    ) {
        let Some(care) = self.care.get_mut(key) else { return };
        let slowed = after.filter(|at| *at > now.mono);
        // With a stale view of the owner, which may be gone, children would be made and collected in turns: refused
        // statuses tell.
        let stale = care.status.waits_until(now.mono);
        if let Some(at) = care.creation.waits_until(now.mono).max(slowed).max(stale) {
            if planted!(RetryNotArmed) {
                return;
            }
            return self.queue.set_if_earlier(key.clone(), at);
        }
        care.made.retain(|child, _| self.views.object(child).is_none());
        let mut chosen: BTreeSet<Key> = BTreeSet::new();
        // Names that may be in use already, and how far the names drawn for a purpose were tried: of those before, none
        // becomes free here.
        let mut unsure: BTreeMap<Naming, BTreeSet<Key>> = BTreeMap::new();
        for (child, naming) in &care.made {
            unsure.entry(naming.clone()).or_default().insert(child.clone());
        }
        let mut tried: BTreeMap<(Kind, Naming), u64> = BTreeMap::new();
        let mut decided = Decided::default();
        for New { mut object, name, owned, mut told, because } in new.into_iter().take(BURST) {
            if let Naming::Drawn(purpose) | Naming::Unsaid(purpose) = &name {
                // A name that was freed since is not taken before one that may be in use already.
                let child = match unsure.get_mut(&name).and_then(BTreeSet::pop_first) {
                    Some(child) => child,
                    None => {
                        let taken = |child: &Key| {
                            self.views.object(child).is_some()
                                || chosen.contains(child)
                                || care.made.contains_key(child)
                        };
                        let nth = tried.entry((object.kind(), name.clone())).or_default();
                        free_name(now, owner, object.kind(), &name, purpose, nth, taken)
                    }
                };
                object.edit_meta(|meta| meta.name = child.name.clone());
                told = told.or_else(|| {
                    let message = format!("Created {}: {}", child.kind.row().singular, child.name);
                    Some(Told::normal("SuccessfulCreate", message))
                });
            }
            object.edit_meta(|meta| {
                meta.namespace.clone_from(&owner.meta().namespace);
                if owned {
                    meta.owner_references.push(claim::reference(owner));
                }
            });
            let child = object.key();
            // Whoever took it away may go on doing so: with a stale view of the owner, which is gone, it would be made as
            // fast as it is collected. That shows in no status, if the child is not counted in one.
            let turn = care.taken.get(&child).map(|taken| taken.replace_at(1)).filter(|turn| *turn > now.mono);
            if let Some(turn) = turn {
                self.queue.set_if_earlier(key.clone(), turn);
                continue;
            }
            decided.add(because, child.clone());
            chosen.insert(child.clone());
            if care.made.insert(child.clone(), name).is_some() {
                care.again.insert(child.clone(), false);
            }
            self.creations.expect(key, child.clone());
            let asked = Asked::Create { owner: key.clone(), owner_uid: owner.meta().uid.clone(), child, told };
            self.calls.call(now, asked, Verb::Create { object }, out);
        }
        decided.tell(key, out);
    }

    /// Changes objects, if none of an earlier time is refused still.
    fn change(&mut self, now: Now, key: &Key, changes: Vec<Changed>, out: &mut Effects) {
        let Some(care) = self.care.get_mut(key) else { return };
        if let Some(turn) = care.changing.waits_until(now.mono).filter(|_| !changes.is_empty()) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        let mut decided = Decided::default();
        for Changed { object, told, because } in changes {
            because.into_iter().for_each(|because| decided.add(because, object.key()));
            self.changes.expect(key, object.key());
            let owner_uid = care.uid.clone();
            let asked = Asked::Change { owner: key.clone(), owner_uid, object: object.key(), told };
            self.calls.call(now, asked, Verb::Update { object, part: Part::Main }, out);
        }
        decided.tell(key, out);
    }

    /// Deletes an object, unless that is under way or has to wait. Whether it was asked for.
    fn delete(&mut self, now: Now, key: &Key, victim: Victim, out: &mut Effects) -> bool {
        if let Some(turn) = self.care.get(key).and_then(|care| care.deletion.waits_until(now.mono)) {
            self.queue.set_if_earlier(key.clone(), turn);
            return false;
        }
        let is_new = !self.deletions.has(key, &victim.uid);
        if is_new {
            self.ask_to_delete(now, key, victim, out);
        }
        is_new
    }

    /// Asks again for the deletions of which it is not known whether they were carried out, if these objects are unwanted
    /// still. Those of children that are its children no more it leaves: they may be another's by now.
    ///
    /// Of pods others may be chosen by now. One that may be going goes before any other that is to go for the same reason,
    /// and no more go than are to go. Of all else each is meant by itself, and stays if it is of use again: so does a pod
    /// when others go for a reason of their own, such as their number or their node.
    fn delete_again(
        &mut self,
        now: Now,
        workload: &dyn Workload,
        owner: &Object,
        unwanted: &[Victim],
        out: &mut Effects,
    ) {
        let key = &owner.key();
        let Some(care) = self.care.get_mut(key) else { return };
        if care.undeleted.is_empty() {
            return;
        }
        if let Some(turn) = care.deletion.waits_until(now.mono) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        let unsure = take(&mut care.undeleted);
        let shown = |victim: &Victim| self.views.object(&victim.key).filter(|shown| shown.meta().uid == victim.uid);
        let works = |object: &Object| object.get::<Pod>().is_some_and(Pod::is_active);
        let own = self.views.owned_by(filed_under(&owner.meta().uid, &owner.meta().name));
        let is_under_way = |uid: &Text| !unsure.contains_key(uid) && self.deletions.has(key, uid);
        let under_way = own.filter(|child| works(child) && is_under_way(&child.meta().uid)).count();
        let working = unwanted.iter().filter_map(shown).filter(|child| works(child)).count();
        let mut room = working.saturating_sub(under_way);
        let uids: BTreeSet<&Text> = unwanted.iter().map(|victim| &victim.uid).collect();
        let (named, others): (Vec<&Victim>, Vec<&Victim>) =
            unsure.values().partition(|victim| uids.contains(&victim.uid));
        let may_stand_in = |victim: &Victim| unwanted.iter().any(|one| one.because.is_like(&victim.because));
        let (mut again, mut stay) = (Vec::new(), BTreeMap::new());
        for victim in named.into_iter().chain(others) {
            let Some(object) = shown(victim).filter(|object| !object.meta().is_deleting()) else { continue };
            let is_child = workload.children().contains(&object.kind());
            if is_child && object.meta().controller().is_none_or(|by| by.uid != owner.meta().uid) {
                continue;
            }
            match works(object) {
                true if room > 0 && (uids.contains(&victim.uid) || may_stand_in(victim)) => {
                    room -= 1;
                    again.push(victim.clone());
                }
                true => drop(stay.insert(victim.uid.clone(), victim.clone())),
                false if uids.contains(&victim.uid) => again.push(victim.clone()),
                false => {}
            }
        }
        for uid in unsure.keys() {
            self.deletions.met(key, uid);
        }
        if let Some(care) = self.care.get_mut(key) {
            care.undeleted = stay;
        }
        for victim in again {
            self.ask_to_delete(now, key, victim, out);
        }
    }

    fn ask_to_delete(&mut self, now: Now, key: &Key, victim: Victim, out: &mut Effects) {
        self.deletions.expect(key, victim.uid.clone());
        let options = DeleteOptions { uid: Some(victim.uid.clone()), ..Default::default() };
        let verb = Verb::Delete { key: victim.key.clone(), options };
        self.calls.call(now, Asked::Delete { owner: key.clone(), victim }, verb, out);
    }

    fn write_status(
        &mut self,
        now: Now,
        key: &Key,
        owner: &Object,
        status: Object,
        tell: Vec<Told>,
        out: &mut Effects,
    ) {
        let Some(care) = self.care.get_mut(key) else { return };
        if care.status_asked || owner.revision() < care.status_at {
            return;
        }
        if let Some(turn) = care.status.waits_until(now.mono) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        care.status_asked = true;
        let verb = Verb::Update { object: status, part: Part::Status };
        let asked = Asked::Status { owner: key.clone(), owner_uid: owner.meta().uid.clone(), tell };
        self.calls.call(now, asked, verb, out);
    }
}

fn find(workloads: &'static [&'static dyn Workload], kind: Kind) -> Option<&'static dyn Workload> {
    workloads.iter().copied().find(|one| one.kind() == kind)
}

/// Whether a view shows an owner's children as they were at this revision, or newer.
fn agrees(views: &Views, owner: &Object, kind: Kind, at: Revision, items: &[Object]) -> bool {
    let uid = &owner.meta().uid;
    let own = |object: &&Object| object.meta().controller().is_some_and(|by| by.uid == *uid);
    let is_shown = |item: &Object| views.object(&item.key()).is_some_and(|shown| shown.revision() >= item.revision());
    let is_there = |shown: &Object| shown.revision() > at || items.iter().any(|item| item.key() == shown.key());
    items.iter().filter(own).all(is_shown) && views.owned_by(uid).filter(|child| child.kind() == kind).all(is_there)
}

/// The first name that is free, of those drawn for an owner's child with this purpose, from the `nth`; `nth` is the next
/// one then.
fn free_name(
    now: Now,
    owner: &Object,
    kind: Kind,
    naming: &Naming,
    purpose: &str,
    nth: &mut u64,
    taken: impl Fn(&Key) -> bool,
) -> Key {
    let meta = owner.meta();
    let with = |of: &str, mark: &str| if purpose.is_empty() { of.to_owned() } else { format!("{of}{mark}{purpose}") };
    let is_said = matches!(naming, Naming::Drawn(_));
    let name = if is_said { with(&meta.name, "-") } else { meta.name.to_string() };
    let seed = with(&meta.uid, "/");
    let first = if planted!(RandomNames) { now.mono.nanos() } else { 0 };
    loop {
        let key = Key::new(kind, &meta.namespace, &names::child(&name, &seed, first + *nth));
        *nth += 1;
        if !taken(&key) {
            return key;
        }
    }
}

/// The finalizers of an object whose owner holds it by this one, if by any.
fn held(object: &Object, holds: Option<&str>) -> Vec<Text> {
    let mut finalizers = object.meta().finalizers.clone();
    if let Some(holds) = holds.filter(|holds| !finalizers.iter().any(|one| one == *holds)) {
        finalizers.push(holds.into());
    }
    finalizers
}

/// Gives an object these owners and finalizers. On this revision only: the labels, owners and finalizers that were looked
/// at are those that are written on.
///
/// Both in one write: between two a child might end that is its owner's own and is not counted, or stay held by nobody.
/// Source: Kubernetes, `pkg/controller/controller_ref_manager.go`, `ownerRefControllerPatch` and
/// `GenerateDeleteOwnerRefStrategicMergeBytes`.
fn owned_by(object: &Object, owners: &[OwnerReference], finalizers: &[Text]) -> Verb {
    let meta = object.meta();
    let owners = if owners.is_empty() { json!(null) } else { json!(owners) };
    let mut patch = if planted!(AdoptsUnread) {
        json!({"metadata": {"uid": meta.uid, "ownerReferences": owners}})
    } else {
        json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners}})
    };
    if *finalizers != *meta.finalizers {
        patch["metadata"]["finalizers"] = if finalizers.is_empty() { json!(null) } else { json!(finalizers) };
    }
    Verb::Merge { key: object.key(), patch, part: Part::Main }
}

/// Under what the children of an owner are found: names come back, uids do not.
fn filed_under<'a>(uid: &'a str, name: &'a str) -> &'a str {
    if planted!(IgnoresOwnerUid) { name } else { uid }
}

fn tell(recorder: &mut EventRecorder, now: Now, about: &Object, told: Told, out: &mut Effects) {
    recorder.tell(now, about, told.tone, told.reason, told.message, out);
}

fn said(answer: &Answer) -> String {
    match answer {
        Answer::Refused(status) => status.to_string(),
        Answer::Lost(why) => why.clone(),
        Answer::Object { .. } | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => "done".into(),
    }
}

impl Program for WorkloadController {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        if self.readiness.is_set_back(now) {
            for (_, view) in self.views.informers.iter().filter(|(kind, _)| *kind == Kind::Pod) {
                view.objects().for_each(|pod| self.readiness.look(now, pod));
            }
        }
        for nth in 0..self.views.informers.len() {
            let (kind, view) = &mut self.views.informers[nth];
            let kind = *kind;
            for change in view.step(now, &input, out) {
                self.changed(now, kind, &change);
            }
        }
        for (asked, answer) in self.calls.ended(now, &input) {
            self.ended(now, asked, &answer, out);
        }
        // With one view fresh and the other stale, it would make children for an owner that is gone as fast as they are
        // collected.
        if self.views.informers.iter().all(|(_, view)| view.is_connected()) {
            while let Some(key) = self.queue.pop_due(now.mono) {
                match self.rests_until(now, &key) {
                    Some(until) => self.queue.set(key, until),
                    None => self.sync(now, &key, out),
                }
            }
            out.wake_at(self.queue.next());
            self.release_strays(now, out);
        }
        out.wake_at(self.calls.next());
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        self.views.informers.iter().for_each(|(_, view)| show(view));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::meta::Time;
    use crate::controllers::replicaset::ReplicaSets;
    use crate::program::{CallId, Effect, Request, WatchEvent};
    use crate::time::Wall;
    use serde_json::Value;

    /// A controller, its open calls, and a clock.
    struct Desk {
        controller: WorkloadController,
        now: Now,
        calls: Vec<(CallId, Request)>,
    }

    impl Desk {
        fn step(&mut self, input: Input) {
            let mut out = Effects::default();
            self.controller.step(self.now, input, &mut out);
            self.calls.extend(out.list.into_iter().filter_map(|effect| match effect {
                Effect::Call { call, request } => Some((call, request)),
                _ => None,
            }));
        }

        /// Takes out the first open call of a kind that is asked like this.
        fn take(&mut self, kind: Kind, verb: fn(&Verb) -> bool) -> Option<(CallId, Verb)> {
            let of = |verb: &Verb| match verb {
                Verb::List(query) | Verb::Watch { query, .. } => query.kind,
                Verb::Create { object } | Verb::Update { object, .. } => object.kind(),
                Verb::Get { key }
                | Verb::Merge { key, .. }
                | Verb::Patch { key, .. }
                | Verb::Bind { key, .. }
                | Verb::Delete { key, .. } => key.kind,
            };
            let at = self.calls.iter().position(|(_, request)| of(&request.verb) == kind && verb(&request.verb))?;
            let (call, request) = self.calls.remove(at);
            Some((call, request.verb))
        }

        fn answer(&mut self, call: CallId, answer: Answer) {
            self.step(Input::Reply { call, answer });
        }

        /// Answers the list of a kind, and opens its watch.
        fn list(&mut self, kind: Kind, items: Vec<Object>) -> CallId {
            let (call, _) = self.take(kind, |verb| matches!(verb, Verb::List(_))).unwrap();
            self.answer(call, Answer::List { revision: Revision(9), items });
            let (call, _) = self.take(kind, |verb| matches!(verb, Verb::Watch { .. })).unwrap();
            self.answer(call, Answer::Watching);
            call
        }

        fn created(&mut self) -> Option<(CallId, String)> {
            match self.take(Kind::Pod, |verb| matches!(verb, Verb::Create { .. }))? {
                (call, Verb::Create { object }) => Some((call, object.meta().name.to_string())),
                _ => None,
            }
        }
    }

    fn object(kind: Kind, value: Value) -> Object {
        Object::from_value(kind, value).unwrap()
    }

    fn set(replicas: u64) -> Object {
        object(
            Kind::ReplicaSet,
            json!({"metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "1"},
                "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
                    "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}}),
        )
    }

    /// The first pod of the set.
    fn first_pod(set: &Object) -> Object {
        object(
            Kind::Pod,
            json!({"metadata": {"name": names::child("web", "u", 0), "namespace": "default", "uid": "p",
                "resourceVersion": "2", "labels": {"a": "b"}, "ownerReferences": [claim::reference(set)]},
                "spec": {"containers": []}}),
        )
    }

    fn desk() -> Desk {
        let now = Now { wall: Wall::from_secs(1), ..Now::default() };
        let mut desk =
            Desk { controller: WorkloadController::new(&[&ReplicaSets], Options::default()), now, calls: Vec::new() };
        desk.step(Input::Wake);
        desk
    }

    /// There was no time for it once; if it arrives twice, there may be the other time.
    fn turned_away() -> Answer {
        Answer::Refused(crate::api::status::Status::too_many_requests("later", 1))
    }

    #[test]
    fn a_pod_that_is_gone_already_is_not_deleted_again_and_again() {
        let mut desk = desk();
        let pod = first_pod(&set(0));
        desk.list(Kind::ReplicaSet, vec![set(0)]);
        let watch = desk.list(Kind::Pod, vec![pod.clone()]);
        let deletion = |verb: &Verb| matches!(verb, Verb::Delete { .. });
        let (call, _) = desk.take(Kind::Pod, deletion).unwrap();
        desk.answer(call, Answer::Refused(crate::api::status::Status::not_found(Kind::Pod, "web")));
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert!(desk.take(Kind::Pod, deletion).is_none(), "the view will show it");
        let event = WatchEvent::Deleted(pod.with_meta(|meta| meta.resource_version = "10".into()));
        desk.step(Input::Event { call: watch, event });
        assert!(desk.take(Kind::Pod, deletion).is_none());
    }

    #[test]
    fn a_set_that_is_going_adopts_nobody() {
        let going = set(1).with_meta(|meta| meta.deletion_timestamp = Some(Time::default()));
        let other = set(1).with_meta(|meta| meta.uid = "v".into());
        for (live, adopts) in [(set(1), true), (going, false), (other, false)] {
            let mut desk = desk();
            desk.list(Kind::ReplicaSet, vec![set(1)]);
            desk.list(Kind::Pod, vec![first_pod(&set(1)).with_meta(|meta| meta.owner_references.clear())]);
            let (call, _) = desk.take(Kind::ReplicaSet, |verb| matches!(verb, Verb::Get { .. })).unwrap();
            desk.answer(call, Answer::Object { object: live, created: false });
            assert_eq!(desk.take(Kind::Pod, |verb| matches!(verb, Verb::Merge { .. })).is_some(), adopts);
        }
    }

    #[test]
    fn what_was_asked_for_a_set_tells_nothing_of_the_next_of_its_name() {
        let mut desk = desk();
        let of = |uid: &str, revision: u64| {
            set(1).with_meta(|meta| {
                (meta.uid, meta.generation) = (uid.into(), Some(1));
                meta.resource_version = revision.to_string().into();
            })
        };
        let watch = desk.list(Kind::ReplicaSet, vec![of("u", 1)]);
        desk.list(Kind::Pod, vec![first_pod(&set(1)).with_meta(|meta| meta.owner_references.clear())]);
        let (get, update) =
            (|verb: &Verb| matches!(verb, Verb::Get { .. }), |verb: &Verb| matches!(verb, Verb::Update { .. }));
        let ((may_adopt, _), (status, _)) =
            (desk.take(Kind::ReplicaSet, get).unwrap(), desk.take(Kind::ReplicaSet, update).unwrap());
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(of("u", 10)) });
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(of("v", 11)) });
        let (call, _) = desk.take(Kind::ReplicaSet, get).unwrap();
        assert!(desk.take(Kind::ReplicaSet, update).is_some());
        let gone = Answer::Refused(crate::api::status::Status::not_found(Kind::ReplicaSet, "web"));
        desk.answer(may_adopt, gone.clone());
        desk.answer(status, gone);
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert_eq!(desk.created(), None, "it is about to adopt one");
        assert!(desk.take(Kind::ReplicaSet, update).is_none(), "its own status is on its way");
        desk.answer(call, Answer::Object { object: of("v", 11), created: false });
        assert!(desk.take(Kind::Pod, |verb| matches!(verb, Verb::Merge { .. })).is_some());
    }

    #[test]
    fn what_changes_of_a_large_set_is_looked_at_together() {
        for (replicas, together) in [(50, false), (300, true)] {
            let mut desk = desk();
            let pod = |nth: u64, revision: u64| {
                first_pod(&set(replicas)).with_meta(|meta| {
                    meta.name = names::child("web", "u", nth).into();
                    meta.uid = format!("p{nth}").into();
                    meta.resource_version = revision.to_string().into();
                })
            };
            desk.list(Kind::ReplicaSet, vec![set(replicas)]);
            let watch = desk.list(Kind::Pod, (0..replicas).map(|nth| pod(nth, 2)).collect());
            desk.calls.clear();
            // One goes, and another is asked for. Then one more goes, which is seen at once only in the small set.
            for (nth, seen_at_once) in [(0, !together), (1, !together)] {
                let event = WatchEvent::Deleted(pod(nth, 10 + nth));
                desk.step(Input::Event { call: watch, event });
                let created = desk.created();
                assert_eq!(created.is_some(), seen_at_once, "{replicas}");
                if !together {
                    let (call, name) = created.unwrap();
                    let made = pod(nth, 20 + nth).with_meta(|meta| meta.name = name.into());
                    desk.answer(call, Answer::Object { object: made.clone(), created: true });
                    desk.step(Input::Event { call: watch, event: WatchEvent::Added(made) });
                }
            }
            desk.now.mono = desk.now.mono + pause(300);
            desk.step(Input::Wake);
            let later = std::iter::from_fn(|| desk.created()).count();
            assert_eq!(later, if together { 2 } else { 0 });
        }
    }

    #[test]
    fn none_is_made_while_one_is_to_be_claimed() {
        let mut desk = desk();
        desk.list(Kind::ReplicaSet, vec![set(1)]);
        desk.list(Kind::Pod, vec![first_pod(&set(1)).with_meta(|meta| meta.owner_references.clear())]);
        let get = |verb: &Verb| matches!(verb, Verb::Get { .. });
        let (call, _) = desk.take(Kind::ReplicaSet, get).unwrap();
        desk.answer(call, Answer::Lost("nobody answers".into()));
        assert_eq!(desk.created(), None);
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert!(desk.take(Kind::ReplicaSet, get).is_some(), "it is asked again");
        assert_eq!(desk.created(), None);
    }

    #[test]
    fn with_a_stale_view_of_its_set_it_slows_down() {
        let mut desk = desk();
        desk.list(Kind::ReplicaSet, vec![set(1)]);
        let watch = desk.list(Kind::Pod, Vec::new());
        let conflict = Answer::Refused(crate::api::status::Status::stale(Kind::ReplicaSet, "web"));
        let mut made = 0;
        for revision in 10..10_000 {
            while let Some((call, _)) = desk.take(Kind::ReplicaSet, |verb| matches!(verb, Verb::Update { .. })) {
                desk.answer(call, conflict.clone());
            }
            if let Some((call, name)) = desk.created() {
                made += 1;
                let at = |revision: u64| {
                    first_pod(&set(1)).with_meta(|meta| {
                        meta.name = name.as_str().into();
                        meta.uid = format!("p{revision}").into();
                        meta.resource_version = revision.to_string().into();
                    })
                };
                desk.answer(call, Answer::Object { object: at(revision), created: true });
                // The garbage collector knows that the set is gone.
                desk.step(Input::Event { call: watch, event: WatchEvent::Added(at(revision)) });
                desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(at(revision)) });
            }
            desk.now.mono = desk.now.mono + Duration::from_millis(1);
            desk.step(Input::Wake);
        }
        assert!((2..40).contains(&made), "{made} pods in ten seconds");
    }

    #[test]
    fn a_pod_that_may_have_been_made_is_asked_for_by_its_name() {
        made_unsaid(Answer::Lost("nobody answers".into()));
        made_unsaid(turned_away());
    }

    fn made_unsaid(answer: Answer) {
        let mut desk = desk();
        let set = set(1);
        let leaving = first_pod(&set).with_meta(|meta| meta.deletion_timestamp = Some(Time::default()));
        desk.list(Kind::ReplicaSet, vec![set]);
        let watch = desk.list(Kind::Pod, vec![leaving.clone()]);
        let (call, first) = desk.created().unwrap();
        assert_eq!(first, names::child("web", "u", 1), "the first name is in use");
        desk.answer(call, answer);
        let event = WatchEvent::Deleted(leaving.with_meta(|meta| meta.resource_version = "10".into()));
        desk.step(Input::Event { call: watch, event });
        for refusals in 0..3 {
            desk.now.mono = desk.now.mono + Duration::from_secs(1);
            desk.step(Input::Wake);
            let (call, name) = desk.created().unwrap();
            assert_eq!(name, first, "though the first name is free now, and after {refusals} refusals");
            assert_eq!(desk.created(), None);
            let full = crate::api::status::Status::forbidden(Kind::Pod, &name, "exceeded quota");
            desk.answer(call, Answer::Refused(full));
        }
    }

    /// A pod of the set whose uid is its number.
    fn nth_pod(nth: u64, revision: u64, node: &str) -> Object {
        let mut pod = first_pod(&set(1)).to_value();
        pod["metadata"]["name"] = names::child("web", "u", nth).into();
        pod["metadata"]["uid"] = nth.to_string().into();
        pod["metadata"]["resourceVersion"] = revision.to_string().into();
        pod["spec"]["nodeName"] = node.into();
        object(Kind::Pod, pod)
    }

    /// Takes out a call that asks a pod to go, and the pod's uid.
    fn asked_to_go(desk: &mut Desk) -> Option<(CallId, Text)> {
        match desk.take(Kind::Pod, |verb| matches!(verb, Verb::Delete { .. }))? {
            (call, Verb::Delete { options, .. }) => Some((call, options.uid.unwrap())),
            _ => None,
        }
    }

    #[test]
    fn a_pod_that_may_be_going_is_asked_to_go_again_and_no_other() {
        for answer in [Answer::Lost("nobody answers".into()), turned_away()] {
            let mut desk = desk();
            desk.list(Kind::ReplicaSet, vec![set(1)]);
            let watch = desk.list(Kind::Pod, vec![nth_pod(0, 2, ""), nth_pod(1, 2, "n")]);
            let (call, victim) = asked_to_go(&mut desk).unwrap();
            assert_eq!(victim, "0", "it has no node");
            desk.answer(call, answer);
            desk.step(Input::Event { call: watch, event: WatchEvent::Modified(nth_pod(0, 10, "n")) });
            desk.step(Input::Event { call: watch, event: WatchEvent::Modified(nth_pod(1, 11, "")) });
            desk.now.mono = desk.now.mono + Duration::from_secs(1);
            desk.step(Input::Wake);
            assert_eq!(asked_to_go(&mut desk).map(|(_, uid)| uid), Some(victim), "though it is worth more now");
            assert_eq!(asked_to_go(&mut desk), None);
        }
    }

    #[test]
    fn a_pod_that_may_be_going_stays_when_it_is_wanted_again() {
        for answer in [Answer::Lost("nobody answers".into()), turned_away()] {
            let mut desk = desk();
            let wants = |replicas: u64, revision: u64| {
                let set = set(replicas).with_meta(|meta| meta.resource_version = revision.to_string().into());
                WatchEvent::Modified(set)
            };
            let sets = desk.list(Kind::ReplicaSet, vec![set(1)]);
            let pods = desk.list(Kind::Pod, vec![nth_pod(0, 2, ""), nth_pod(1, 2, "n")]);
            let (call, victim) = asked_to_go(&mut desk).unwrap();
            desk.answer(call, answer);
            desk.step(Input::Event { call: sets, event: wants(2, 10) });
            desk.now.mono = desk.now.mono + Duration::from_secs(1);
            desk.step(Input::Wake);
            assert_eq!((asked_to_go(&mut desk), desk.created()), (None, None), "there are two, and two are wanted");
            // When one is to go after all, it is the one that may be going, whatever it is worth by now.
            desk.step(Input::Event { call: pods, event: WatchEvent::Modified(nth_pod(0, 11, "n")) });
            desk.step(Input::Event { call: pods, event: WatchEvent::Modified(nth_pod(1, 12, "")) });
            desk.step(Input::Event { call: sets, event: wants(1, 13) });
            assert_eq!(asked_to_go(&mut desk).map(|(_, uid)| uid), Some(victim));
            assert_eq!(asked_to_go(&mut desk), None);
        }
    }

    /// A set whose pod was asked for twice, since nothing was heard of the first call: the watch of pods, the second call,
    /// and the pod as one of them may make it.
    fn asked_twice() -> (Desk, CallId, CallId, impl Fn(&str, u64) -> Object) {
        let mut desk = desk();
        desk.list(Kind::ReplicaSet, vec![set(1)]);
        let watch = desk.list(Kind::Pod, Vec::new());
        let (call, name) = desk.created().unwrap();
        desk.answer(call, Answer::Lost("nobody answers".into()));
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        let (call, again) = desk.created().unwrap();
        assert_eq!(name, again);
        let pod = move |uid: &str, revision: u64| {
            first_pod(&set(1)).with_meta(|meta| {
                (meta.name, meta.uid) = (name.as_str().into(), uid.into());
                meta.resource_version = revision.to_string().into();
            })
        };
        (desk, watch, call, pod)
    }

    #[test]
    fn a_pod_that_was_made_once_more_is_waited_for() {
        let (mut desk, watch, call, pod) = asked_twice();
        // Both calls have come to their ends, and somebody took the first pod away between them.
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(pod("first", 20)) });
        desk.answer(call, Answer::Object { object: pod("second", 40), created: true });
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(pod("first", 30)) });
        assert_eq!(desk.created(), None, "the second one is there");
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(pod("second", 40)) });
        assert_eq!(desk.created(), None);
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(pod("second", 50)) });
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert!(desk.created().is_some());
    }

    #[test]
    fn a_pod_that_is_asked_for_once_more_is_waited_for() {
        let (mut desk, watch, call, pod) = asked_twice();
        // The first call has made it after all, and somebody took it away. What the second one does is not known yet.
        let made = pod("first", 20);
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(made.clone()) });
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(made.clone()) });
        assert_eq!(desk.created(), None);
        let there = crate::api::status::Status::already_exists(Kind::Pod, &made.meta().name);
        desk.answer(call, Answer::Refused(there));
        desk.now.mono = desk.now.mono + Duration::from_secs(10);
        desk.step(Input::Wake);
        assert!(desk.created().is_some());
    }

    #[test]
    fn a_pod_that_may_have_come_and_gone_unseen_is_asked_for_again() {
        let mut desk = desk();
        desk.list(Kind::ReplicaSet, vec![set(1)]);
        let watch = desk.list(Kind::Pod, Vec::new());
        let (call, name) = desk.created().unwrap();
        // The watch cannot go on, and by the time of the next list the pod that had the name is gone.
        let gap = crate::api::status::Status::failure(Reason::Expired, "too old resource version");
        desk.step(Input::Event { call: watch, event: WatchEvent::Expired(gap) });
        let watch = desk.list(Kind::Pod, Vec::new());
        let there = crate::api::status::Status::already_exists(Kind::Pod, &name);
        desk.answer(call, Answer::Refused(there.clone()));
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        let (call, again) = desk.created().expect("nothing else will come of it");
        assert_eq!((again.as_str(), desk.created()), (name.as_str(), None), "under the same name, and no other");
        // What there is now, the view will show.
        desk.answer(call, Answer::Refused(there));
        desk.now.mono = desk.now.mono + Duration::from_secs(10);
        desk.step(Input::Wake);
        assert_eq!(desk.created(), None);
        let pod = first_pod(&set(1)).with_meta(|meta| meta.resource_version = "20".into());
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(pod.clone()) });
        assert_eq!(desk.created(), None);
        let gone = pod.with_meta(|meta| meta.resource_version = "30".into());
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(gone) });
        desk.now.mono = desk.now.mono + Duration::from_secs(60);
        desk.step(Input::Wake);
        assert!(desk.created().is_some());
    }
}
