//! The program of all controllers of workloads: views, a queue of owners, and what it waits to see.
//!
//! What changed in the views queues owners. Each that is due is brought nearer to what its workload plans (`sync`): what is
//! asked for is noted, and no other plan of it is carried out before the views show what came of that.
//!
//! Below: `news` of the views; `claims`, `creation`, `deletion` and `updates`, each with what is made of the answers;
//! `behind`, where a view does not show enough.

mod behind;
mod claims;
mod creation;
mod deletion;
mod news;
#[cfg(test)]
mod testing;
mod updates;

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::text::Text;
use crate::client::events::EventRecorder;
use crate::client::{Calls, Deadlines, Expectations, Informer, Queue, RETRY, Tries, informer};
use crate::controllers::workload::failures::Failures;
use crate::controllers::workload::readiness::Readiness;
use crate::controllers::workload::selecting::Selecting;
use crate::controllers::workload::{Naming, Plan, Scene, Told, Victim, Views, Workload};
use crate::decision::{Because, Decision};
use crate::program::{Answer, Effects, Input, Level, Program, Query, Revision};
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};
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

impl WorkloadController {
    /// An answer has come, or has been given up.
    fn ended(&mut self, now: Now, asked: Asked, answer: &Answer, out: &mut Effects) {
        // Of an owner that is gone nothing is remembered, and nothing of one that had its name.
        let Some(owner) = self.views.object(asked.owner()).cloned() else { return };
        let Some(care) = self.care.get(asked.owner()) else { return };
        if asked.owner_uid().is_some_and(|uid| *uid != care.uid) {
            return;
        }
        self.queue.set(asked.owner().clone(), now.mono);
        match asked {
            Asked::Create { child, told, .. } => self.creation_answered(now, &owner, child, told, answer, out),
            Asked::Delete { victim, .. } => self.deletion_answered(now, &owner, victim, answer, out),
            Asked::Change { object, told, .. } => self.change_answered(now, &owner, object, told, answer, out),
            Asked::Claim { child, .. } => self.claim_answered(now, &owner, child, answer, out),
            Asked::MayAdopt { children, .. } => self.adoption_answered(now, &owner, children, answer, out),
            Asked::Status { tell, .. } => self.status_answered(now, &owner, tell, answer, out),
            Asked::Confirm { child, seen, .. } => self.confirmation_answered(now, &owner, &child, seen, answer),
            Asked::Compare { kind, .. } => self.comparison_answered(now, &owner, kind, answer),
            Asked::Release { .. } => {}
        }
    }

    /// Brings an owner nearer to what it wishes.
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

    /// Carries out what a plan asks for beside the status.
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

    /// Tells people something of an owner.
    fn tell(&mut self, now: Now, owner: &Object, told: Told, out: &mut Effects) {
        let nth = self.workloads.iter().position(|one| one.kind() == owner.kind());
        let recorder = &mut self.recorders[nth.expect("who is cared for is a workload")];
        recorder.tell(now, owner, told.tone, told.reason, told.message, out);
    }
}

fn find(workloads: &'static [&'static dyn Workload], kind: Kind) -> Option<&'static dyn Workload> {
    workloads.iter().copied().find(|one| one.kind() == kind)
}

/// Under what the children of an owner are found: names come back, uids do not.
fn filed_under<'a>(uid: &'a str, name: &'a str) -> &'a str {
    if planted!(IgnoresOwnerUid) { name } else { uid }
}

/// Many that are refused together have failed once.
fn fail(tries: &mut Tries, now: Now) {
    if tries.waits_until(now.mono).is_none() {
        tries.failed(now.mono, RETRY);
    }
}

fn said(answer: &Answer) -> String {
    match answer {
        Answer::Refused(status) => status.to_string(),
        Answer::Lost(why) => why.clone(),
        Answer::Object { .. } | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => "done".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::pause;
    use super::testing::{desk, first_pod, set};
    use crate::api::kinds::Kind;
    use crate::api::names;
    use crate::api::status::Status;
    use crate::program::{Answer, Input, Verb, WatchEvent};
    use crate::time::Duration;

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
        let gone = Answer::Refused(Status::not_found(Kind::ReplicaSet, "web"));
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
}
