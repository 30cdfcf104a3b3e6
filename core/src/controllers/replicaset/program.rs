//! The ReplicaSet controller's state: two views, a queue of sets, and what it waits to see.

use crate::api::kinds::Kind;
use crate::api::meta::{ObjectMeta, OwnerReference, Time};
use crate::api::names;
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::{Pod, PodPhase, PodSpec};
use crate::api::replicaset::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use crate::api::status::Reason;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Calls, Change, Deadlines, Expectations, Informer, RETRY, Tries, informer};
use crate::controllers::replicaset::claim::{self, Action};
use crate::controllers::replicaset::keep::{Failures, superfluous};
use crate::controllers::replicaset::scale::{Scale, View, scale};
use crate::controllers::replicaset::selecting::Selecting;
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Query, Revision, Verb};
use crate::time::{Duration, Now};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How the controller behaves.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// Decides the jitter of its list-watches.
    pub seed: u64,
    /// How its list-watches retry.
    pub informer: informer::Options,
}

/// At most so many pods are made or deleted for one set before the view shows them.
///
/// Source: Kubernetes, `pkg/controller/replicaset`, `BurstReplicas`.
const BURST: usize = 500;

/// Brings each replica set to its wanted number of pods.
#[derive(Debug)]
pub struct ReplicaSetController {
    sets: Informer,
    pods: Informer,
    calls: Calls<Asked>,
    recorder: EventRecorder,
    /// When to look at which set. What is refused keeps none from being looked at.
    queue: Deadlines<Key>,
    selecting: Selecting,
    /// Pods by the uid of the set that owns them.
    owned: BTreeMap<String, BTreeMap<Key, Object>>,
    /// Pods that nobody owns.
    orphans: BTreeSet<Key>,
    creations: Expectations<Key, Key>,
    /// By the pods' uids.
    deletions: Expectations<Key, String>,
    claims: Expectations<Key, Key>,
    /// One for each set of the view.
    care: BTreeMap<Key, Care>,
}

/// What is remembered of a set beside what the views show.
#[derive(Clone, Debug, Default)]
struct Care {
    uid: String,
    /// Pods whose owners or labels were not looked at since they changed.
    unclaimed: BTreeSet<Key>,
    /// Pods that were asked for and may have been made; whether they were is not known, and no view shows them.
    unsure: BTreeSet<Key>,
    /// Pods by uid whose deletion was asked for; whether they were is not known, and no view shows it.
    undeleted: BTreeMap<String, Key>,
    failures: Failures,
    /// Why the last creation was refused.
    refused: Option<String>,
    creation: Tries,
    deletion: Tries,
    claiming: Tries,
    status: Tries,
    /// A status is on its way.
    status_asked: bool,
    /// The revision that the last status made of the set.
    status_at: Revision,
}

/// What an open call is for; each names the set.
#[derive(Clone, Debug)]
enum Asked {
    Create {
        set: Key,
        set_uid: String,
        pod: Key,
    },
    Delete {
        set: Key,
        pod: Key,
        uid: String,
    },
    Claim {
        set: Key,
        pod: Key,
    },
    /// Whether the set still is what the view shows, before it adopts these pods as they are at these revisions.
    MayAdopt {
        set: Key,
        pods: Vec<(Key, Revision)>,
    },
    Status {
        set: Key,
    },
}

impl Asked {
    fn set(&self) -> &Key {
        match self {
            Asked::Create { set, .. }
            | Asked::Delete { set, .. }
            | Asked::Claim { set, .. }
            | Asked::MayAdopt { set, .. }
            | Asked::Status { set } => set,
        }
    }
}

impl ReplicaSetController {
    /// A controller that knows nothing yet.
    pub fn new(options: Options) -> Self {
        ReplicaSetController {
            sets: Informer::new(Query::all(Kind::ReplicaSet), 1, options.seed, options.informer),
            pods: Informer::new(Query::all(Kind::Pod), 2, options.seed, options.informer),
            calls: Calls::in_space(3),
            recorder: EventRecorder::new("replicaset-controller", "", 4),
            queue: Deadlines::default(),
            selecting: Selecting::default(),
            owned: BTreeMap::new(),
            orphans: BTreeSet::new(),
            creations: Expectations::default(),
            deletions: Expectations::default(),
            claims: Expectations::default(),
            care: BTreeMap::new(),
        }
    }

    /// How much it remembers of sets.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.care.len() + self.queue.len() + self.creations.all().count() + self.deletions.all().count()
    }

    fn set_changed(&mut self, now: Now, change: Change) {
        match change {
            Change::Added(object) => {
                let key = object.key();
                let set: &ReplicaSet = object.get().expect("the view has replica sets only");
                self.selecting.add(&key, set);
                let own = self
                    .owned
                    .get(filed_under(&set.metadata.uid, &set.metadata.name))
                    .into_iter()
                    .flat_map(BTreeMap::keys);
                let orphans = self.orphans.range(Key::new(Kind::Pod, &key.namespace, "")..);
                let orphans =
                    orphans.take_while(|pod| pod.namespace == key.namespace || planted!(AdoptsAcrossNamespaces));
                let uid = set.metadata.uid.clone();
                let care = Care { uid, unclaimed: own.chain(orphans).cloned().collect(), ..Care::default() };
                self.care.insert(key.clone(), care);
                self.queue.set(key, now.mono);
            }
            Change::Modified { old, new } => {
                if let Some(care) = self.care.get_mut(&new.key()) {
                    // What failed was decided on an older view, or on an older wish.
                    care.status.succeeded();
                    if old.meta().generation != new.meta().generation {
                        care.creation.succeeded();
                    }
                }
                self.queue.set(new.key(), now.mono);
            }
            Change::Deleted(object) => {
                let key = object.key();
                self.selecting.remove(&key, object.get().expect("the view has replica sets only"));
                self.queue.remove(&key);
                self.creations.forget(&key);
                self.deletions.forget(&key);
                self.claims.forget(&key);
                self.care.remove(&key);
            }
            Change::Synced => self.look_at_all(now),
        }
    }

    fn look_at_all(&mut self, now: Now) {
        for set in self.care.keys() {
            self.queue.set(set.clone(), now.mono);
        }
    }

    fn pod_changed(&mut self, now: Now, change: Change) {
        let (old, new) = match change {
            Change::Added(new) => (None, Some(new)),
            Change::Modified { old, new } => (Some(old), Some(new)),
            Change::Deleted(old) => (Some(old), None),
            Change::Synced => return self.listed(now),
        };
        let key = old.as_ref().or(new.as_ref()).map(Object::key).expect("a change has an old or a new object");
        for pod in [&old, &new].into_iter().flatten().filter_map(Object::get::<Pod>) {
            self.unfile(&key, &pod.metadata);
        }
        let mut concerned = self.creations.seen(&key);
        concerned.extend(self.claims.seen(&key));
        if new.as_ref().is_none_or(|new| new.meta().is_deleting())
            && let Some(old) = &old
        {
            let asked_for = self.deletions.seen(&old.meta().uid);
            // Whoever took it away before it ran may go on doing so: it is replaced like one that failed.
            if asked_for.is_empty()
                && old.get::<Pod>().is_some_and(|old| old.is_active() && old.status.phase == PodPhase::Pending)
                && let Some(care) = self.owner(old.meta()).and_then(|set| self.care.get_mut(&set))
            {
                care.failures.add(now.mono);
            }
            concerned.extend(asked_for);
        }
        concerned.extend([&old, &new].into_iter().flatten().filter_map(|object| self.owner(object.meta())));
        for set in concerned {
            self.queue.set(set, now.mono);
        }
        let Some(object) = new else { return };
        let Some(new) = object.get::<Pod>() else { return };
        let owner = self.owner(&new.metadata);
        match new.metadata.controller() {
            Some(by) if owner.is_some() || !planted!(AdoptsFromOthers) => {
                self.owned
                    .entry(filed_under(&by.uid, &by.name).to_owned())
                    .or_default()
                    .insert(key.clone(), object.clone());
                if let Some(care) = owner.as_ref().and_then(|set| self.care.get_mut(set)) {
                    care.unclaimed.insert(key);
                }
            }
            _ => {
                self.orphans.insert(key.clone());
                for set in self.selecting.candidates(&new.metadata) {
                    if let Some(care) = self.care.get_mut(&set) {
                        care.unclaimed.insert(key.clone());
                        self.queue.set(set, now.mono);
                    }
                }
            }
        }
        // What is told to stop and ends with an error has not failed.
        let failed_now = new.status.phase == PodPhase::Failed
            && !new.metadata.is_deleting()
            && old.as_ref().and_then(Object::get::<Pod>).is_some_and(|old| old.status.phase != PodPhase::Failed);
        if failed_now && let Some(care) = owner.and_then(|set| self.care.get_mut(&set)) {
            care.failures.add(now.mono);
        }
    }

    /// All pods were listed anew, so that some may have come and gone unseen: what was made and is not shown is not
    /// waited for any longer.
    fn listed(&mut self, now: Now) {
        let open: BTreeSet<&Key> = self
            .calls
            .open()
            .filter_map(|asked| if let Asked::Create { pod, .. } = asked { Some(pod) } else { None })
            .collect();
        let answered = self.creations.all().filter(|(_, pod)| !open.contains(pod));
        let answered: Vec<(Key, Key)> = answered.map(|(set, pod)| (set.clone(), pod.clone())).collect();
        for (set, pod) in answered {
            sometimes!(CountSettledByList);
            self.creations.met(&set, &pod);
            if let Some(care) = self.care.get_mut(&set) {
                care.unsure.insert(pod);
            }
        }
        self.look_at_all(now);
    }

    fn unfile(&mut self, key: &Key, meta: &ObjectMeta) {
        match meta.controller() {
            Some(owner) => {
                let owner = filed_under(&owner.uid, &owner.name);
                if let Some(pods) = self.owned.get_mut(owner) {
                    pods.remove(key);
                    if pods.is_empty() {
                        self.owned.remove(owner);
                    }
                }
            }
            None => {
                self.orphans.remove(key);
            }
        }
    }

    /// The set of the view that manages a pod.
    fn owner(&self, pod: &ObjectMeta) -> Option<Key> {
        let owner =
            pod.controller().filter(|owner| owner.kind == "ReplicaSet" && owner.api_version.starts_with("apps/"))?;
        let key = Key::new(Kind::ReplicaSet, &pod.namespace, &owner.name);
        (self.sets.object(&key)?.meta().uid == owner.uid || planted!(IgnoresOwnerUid)).then_some(key)
    }

    fn ended(&mut self, now: Now, asked: Asked, answer: &Answer, out: &mut Effects) {
        // Of a set that is gone nothing is remembered, and nothing of one that had its name.
        let Some(object) = self.sets.object(asked.set()).cloned() else { return };
        let Some(care) = self.care.get_mut(asked.set()) else { return };
        self.queue.set(asked.set().clone(), now.mono);
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
        match (asked, answer) {
            (Asked::Create { set_uid, .. }, _) if set_uid != care.uid => {}
            (Asked::Create { pod, .. }, Answer::Object { .. }) => {
                // Met when the view shows it.
                care.refused = None;
                care.creation.succeeded();
                let message = format!("Created pod: {}", pod.name);
                self.recorder.tell(now, &object, Tone::Normal, "SuccessfulCreate", message, out);
            }
            (Asked::Create { set, pod, .. }, Answer::Refused(_)) if reason == Some(Reason::AlreadyExists) => {
                sometimes!(CreateExists);
                // Made by a call whose answer was lost, or by somebody else: in both cases the view shows it.
                if self.pods.object(&pod).is_some() {
                    self.creations.met(&set, &pod);
                }
                fail(&mut care.creation);
            }
            (Asked::Create { set, pod, .. }, Answer::Refused(status)) => {
                self.creations.met(&set, &pod);
                sometimes!(CreateRefused);
                let message = format!("Error creating: {status}");
                self.recorder.tell(now, &object, Tone::Warning, "FailedCreate", message, out);
                care.refused = Some(status.message.clone());
                fail(&mut care.creation);
            }
            (Asked::Create { set, pod, .. }, _) => {
                sometimes!(CreateLost);
                // Whether it was made is not known. The next try has the same name, so there will be no twin.
                self.creations.met(&set, &pod);
                care.unsure.insert(pod);
                fail(&mut care.creation);
            }
            (Asked::Delete { pod, .. }, Answer::Object { .. } | Answer::Removed(_)) => {
                // Met when the view shows it.
                care.deletion.succeeded();
                let message = format!("Deleted pod: {}", pod.name);
                self.recorder.tell(now, &object, Tone::Normal, "SuccessfulDelete", message, out);
            }
            // It is gone already, as the view will show.
            (Asked::Delete { .. }, _) if reason == Some(Reason::NotFound) => {}
            (Asked::Delete { set, pod, uid }, Answer::Refused(status)) if reason != Some(Reason::Conflict) => {
                self.deletions.met(&set, &uid);
                out.log(Level::Warn, format!("replicaset: deletion of {pod}: {status}"));
                fail(&mut care.deletion);
            }
            (Asked::Delete { pod, uid, .. }, answer) => {
                sometimes!(DeleteLost);
                // Whether it is being deleted is not known. It is asked for again, and no other in its place.
                out.log(Level::Warn, format!("replicaset: deletion of {pod}: {}", told(answer)));
                care.undeleted.insert(uid, pod);
                fail(&mut care.deletion);
            }
            (Asked::Claim { .. }, Answer::Object { .. }) => care.claiming.succeeded(),
            (Asked::Claim { set, pod }, answer) => {
                out.log(Level::Debug, format!("replicaset: claim of {pod}: {}", told(answer)));
                self.claims.met(&set, &pod);
                care.unclaimed.insert(pod);
                fail(&mut care.claiming);
            }
            (Asked::MayAdopt { set, pods }, Answer::Object { object: live, .. })
                if live.meta().uid == care.uid && !live.meta().is_deleting() =>
            {
                for (pod, revision) in pods {
                    // If it has changed since, it is looked at anew.
                    let known = self.pods.object(&pod).filter(|known| known.revision() == revision);
                    let Some(body) = known.and_then(Object::get::<Pod>) else { continue };
                    sometimes!(PodAdopted);
                    let mut owners = body.metadata.owner_references.clone();
                    if planted!(AdoptsFromOthers) {
                        owners.clear();
                    }
                    owners.push(claim::reference(live.meta()));
                    let verb = owned_by(body, &owners);
                    self.calls.call(now, Asked::Claim { set: set.clone(), pod }, verb, out);
                }
            }
            (Asked::MayAdopt { set, pods }, answer) => {
                // A set that is gone or going adopts nobody; the view will show it.
                let gone = matches!(answer, Answer::Object { .. }) || reason == Some(Reason::NotFound);
                for (pod, _) in pods {
                    self.claims.met(&set, &pod);
                    if !gone {
                        care.unclaimed.insert(pod);
                    }
                }
                if gone {
                    sometimes!(AdoptionForgone);
                } else {
                    fail(&mut care.claiming);
                }
            }
            (Asked::Status { .. }, answer) => {
                care.status_asked = false;
                match answer {
                    Answer::Object { object, .. } => {
                        care.status.succeeded();
                        care.status_at = object.revision();
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
        let Some(object) = self.sets.object(key).cloned() else { return };
        let set: &ReplicaSet = object.get().expect("the view has replica sets only");
        self.claim(now, key, set, out);
        self.delete_again(now, key, out);

        let owned: Vec<Object> = self
            .owned
            .get(filed_under(&set.metadata.uid, &set.metadata.name))
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect();
        let pods: Vec<&Pod> = owned.iter().filter_map(Object::get).collect();
        let active: Vec<&Pod> = pods
            .iter()
            .copied()
            .filter(|pod| {
                pod.is_active()
                    || planted!(CountsFinished) && !pod.metadata.is_deleting()
                    || planted!(CountsTerminating) && !pod.status.phase.is_final()
            })
            .collect();
        // A pod that still is to be claimed may be one of those that seem to be missing.
        let claimed = self.care.get(key).is_none_or(|care| care.unclaimed.is_empty());
        let settled = claimed && self.creations.is_met(key) && self.deletions.is_met(key) && self.claims.is_met(key);
        if settled && !set.metadata.is_deleting() {
            let decision = scale(&View { wanted: set.wanted(), active: &active });
            if let (Scale::Keep | Scale::Delete(_), Some(care)) = (&decision, self.care.get_mut(key)) {
                // Nothing is missing any more, so nothing is refused.
                care.refused = None;
            }
            match decision {
                Scale::Keep => {}
                Scale::Create(more) => {
                    let more = more + usize::from(planted!(OneTooMany));
                    self.create(now, key, set, more.min(BURST), out);
                }
                Scale::Delete(victims) => {
                    for pod in victims.into_iter().take(BURST) {
                        if pod.is_ready() {
                            sometimes!(ReadyVictim);
                        }
                        self.delete(now, key, &pod.metadata, out);
                    }
                }
            }
            let finished: Vec<&Pod> =
                pods.iter().copied().filter(|pod| pod.status.phase.is_final() && !pod.metadata.is_deleting()).collect();
            for pod in superfluous(set.wanted(), &finished) {
                self.delete(now, key, &pod.metadata, out);
            }
        }
        self.write_status(now, key, set, &active, out);
    }

    /// Adopts and releases, among the pods that have changed.
    fn claim(&mut self, now: Now, key: &Key, set: &ReplicaSet, out: &mut Effects) {
        let Some(care) = self.care.get_mut(key) else { return };
        if let Some(turn) = care.claiming.waits_until(now.mono).filter(|_| !care.unclaimed.is_empty()) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        let mut adopted = Vec::new();
        for pod_key in std::mem::take(&mut care.unclaimed) {
            let Some(pod) = self.pods.object(&pod_key) else { continue };
            let Some(body) = pod.get::<Pod>() else { continue };
            match claim::standing(set, body) {
                Action::Keep | Action::Ignore => continue,
                Action::Adopt => adopted.push((pod_key.clone(), pod.revision())),
                Action::Release => {
                    sometimes!(PodReleased);
                    let mut owners = body.metadata.owner_references.clone();
                    owners.retain(|owner| owner.uid != set.metadata.uid);
                    let asked = Asked::Claim { set: key.clone(), pod: pod_key.clone() };
                    self.calls.call(now, asked, owned_by(body, &owners), out);
                }
            }
            self.claims.expect(key, pod_key);
        }
        if !adopted.is_empty() {
            // The view of the set may be behind: an orphan that a set has let go must not be given back to it.
            let asked = Asked::MayAdopt { set: key.clone(), pods: adopted };
            self.calls.call(now, asked, Verb::Get { key: key.clone() }, out);
        }
    }

    fn create(&mut self, now: Now, key: &Key, set: &ReplicaSet, more: usize, out: &mut Effects) {
        let Some(care) = self.care.get_mut(key) else { return };
        let slowed = Some(care.failures.replace_at(set.wanted())).filter(|at| *at > now.mono);
        if slowed.is_some() {
            sometimes!(ReplacedLater);
        }
        // With a stale view of the set, which may be gone, pods would be made and collected in turns: refused statuses tell.
        let stale = care.status.waits_until(now.mono);
        if let Some(at) = care.creation.waits_until(now.mono).max(slowed).max(stale) {
            if planted!(RetryNotArmed) {
                return;
            }
            return self.queue.set_if_earlier(key.clone(), at);
        }
        care.unsure.retain(|pod| self.pods.object(pod).is_none());
        let first = if planted!(RandomNames) { now.mono.nanos() } else { 0 };
        let names = (first..).map(|nth| names::child(&set.metadata.name, &set.metadata.uid, nth));
        let others = names
            .map(|name| Key::new(Kind::Pod, &set.metadata.namespace, &name))
            .filter(|pod| self.pods.object(pod).is_none() && !care.unsure.contains(pod));
        // A name that was freed since is not taken before one that may be in use already.
        let chosen: Vec<Key> = care.unsure.iter().cloned().chain(others).take(more).collect();
        care.unsure.retain(|pod| !chosen.contains(pod));
        let set_uid = &set.metadata.uid;
        for pod in chosen {
            self.creations.expect(key, pod.clone());
            let verb = Verb::Create { object: from_template(set, &pod).into_object() };
            self.calls.call(now, Asked::Create { set: key.clone(), set_uid: set_uid.clone(), pod }, verb, out);
        }
    }

    /// Deletes a pod, unless that is under way.
    fn delete(&mut self, now: Now, key: &Key, pod: &ObjectMeta, out: &mut Effects) {
        if let Some(turn) = self.care.get(key).and_then(|care| care.deletion.waits_until(now.mono)) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        if !self.deletions.has(key, &pod.uid) {
            self.ask_to_delete(now, key, Key::new(Kind::Pod, &pod.namespace, &pod.name), pod.uid.clone(), out);
        }
    }

    /// Asks again for the deletions of which it is not known whether they were carried out.
    fn delete_again(&mut self, now: Now, key: &Key, out: &mut Effects) {
        let Some(care) = self.care.get_mut(key) else { return };
        if let Some(turn) = care.deletion.waits_until(now.mono).filter(|_| !care.undeleted.is_empty()) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        for (uid, pod) in std::mem::take(&mut care.undeleted) {
            if self.deletions.has(key, &uid) {
                self.ask_to_delete(now, key, pod, uid, out);
            }
        }
    }

    fn ask_to_delete(&mut self, now: Now, key: &Key, pod: Key, uid: String, out: &mut Effects) {
        self.deletions.expect(key, uid.clone());
        let options = DeleteOptions { uid: Some(uid.clone()), ..Default::default() };
        let verb = Verb::Delete { key: pod.clone(), options };
        self.calls.call(now, Asked::Delete { set: key.clone(), pod, uid }, verb, out);
    }

    fn write_status(&mut self, now: Now, key: &Key, set: &ReplicaSet, active: &[&Pod], out: &mut Effects) {
        let Some(care) = self.care.get_mut(key) else { return };
        let (status, look_again) = counted(now, set, active, care.refused.as_deref());
        if let Some(after) = look_again {
            self.queue.set_if_earlier(key.clone(), now.mono + after);
        }
        let shown = Revision(set.metadata.resource_version.parse().unwrap_or(0));
        if care.status_asked || status == set.status && !planted!(StatusEveryTime) || shown < care.status_at {
            return;
        }
        if let Some(turn) = care.status.waits_until(now.mono) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        care.status_asked = true;
        let object = ReplicaSet { status, ..set.clone() }.into_object();
        self.calls.call(now, Asked::Status { set: key.clone() }, Verb::Update { object, part: Part::Status }, out);
    }
}

/// Gives a pod these owners. On this revision only: the labels and owners that were looked at are those that are written on.
fn owned_by(pod: &Pod, owners: &[OwnerReference]) -> Verb {
    let meta = &pod.metadata;
    let owners = if owners.is_empty() { json!(null) } else { json!(owners) };
    let patch = if planted!(AdoptsUnread) {
        json!({"metadata": {"uid": meta.uid, "ownerReferences": owners}})
    } else {
        json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners}})
    };
    Verb::Merge { key: Key::new(Kind::Pod, &meta.namespace, &meta.name), patch, part: Part::Main }
}

/// Under what the pods of a set are found: names come back, uids do not.
fn filed_under<'a>(uid: &'a str, name: &'a str) -> &'a str {
    if planted!(IgnoresOwnerUid) { name } else { uid }
}

/// A new pod of a set.
fn from_template(set: &ReplicaSet, pod: &Key) -> Pod {
    let template = &set.spec.template;
    let metadata = ObjectMeta {
        name: (*pod.name).into(),
        namespace: (*pod.namespace).into(),
        labels: template.metadata.labels.clone(),
        annotations: template.metadata.annotations.clone(),
        finalizers: template.metadata.finalizers.clone(),
        owner_references: vec![claim::reference(&set.metadata)],
        ..Default::default()
    };
    let spec: Arc<PodSpec> = template.spec.clone();
    Pod { metadata, spec, ..Default::default() }
}

/// What a set's status says of its active pods, and after which time that changes by itself.
fn counted(now: Now, set: &ReplicaSet, active: &[&Pod], refused: Option<&str>) -> (ReplicaSetStatus, Option<Duration>) {
    let count =
        |test: &dyn Fn(&Pod) -> bool| i32::try_from(active.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX);
    let some = |count: i32| (count > 0).then_some(count);
    let min_ready = Duration::from_secs(u64::try_from(set.spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0));
    let waits = |pod: &Pod| {
        let since = pod.status.conditions.iter().find(|one| one.kind == "Ready")?.last_transition_time?;
        let ready_for = now.wall.since(since.wall());
        Some(min_ready.saturating_sub(ready_for)).filter(|left| !left.is_zero())
    };
    let labels = &set.spec.template.metadata.labels;
    let has_all = |pod: &Pod| labels.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value));
    let mut status = ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: some(count(&has_all)),
        ready_replicas: some(count(&Pod::is_ready)),
        available_replicas: some(count(&|pod| (pod.is_ready() || planted!(AvailableTooEarly)) && waits(pod).is_none())),
        observed_generation: set.metadata.generation,
        conditions: set.status.conditions.clone(),
        rest: set.status.rest.clone(),
    };
    let failing = status.conditions.iter().position(|one| one.kind == "ReplicaFailure");
    match (refused, failing) {
        (Some(message), None) => status.conditions.push(ReplicaSetCondition {
            kind: "ReplicaFailure".into(),
            status: "True".into(),
            last_transition_time: Some(Time::of(now.wall)),
            reason: "FailedCreate".into(),
            message: message.into(),
            ..Default::default()
        }),
        (Some(message), Some(at)) => status.conditions[at].message = message.into(),
        (None, Some(at)) => {
            status.conditions.remove(at);
        }
        (None, None) => {}
    }
    let look_again = active.iter().filter(|pod| pod.is_ready()).filter_map(|pod| waits(pod)).min();
    (status, look_again)
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Refused(status) => status.to_string(),
        Answer::Lost(why) => why.clone(),
        Answer::Object { .. } | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => "done".into(),
    }
}

impl Program for ReplicaSetController {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        for change in self.sets.step(now, &input, out) {
            self.set_changed(now, change);
        }
        for change in self.pods.step(now, &input, out) {
            self.pod_changed(now, change);
        }
        for (asked, answer) in self.calls.ended(now, &input) {
            self.ended(now, asked, &answer, out);
        }
        // With one view fresh and the other stale, it would make pods for a set that is gone as fast as they are collected.
        if self.sets.is_connected() && self.pods.is_connected() {
            while let Some(key) = self.queue.pop_due(now.mono) {
                self.sync(now, &key, out);
            }
            out.wake_at(self.queue.next());
        }
        out.wake_at(self.calls.next());
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        [&self.sets, &self.pods].into_iter().for_each(show);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{CallId, Effect, Request, Revision, WatchEvent};
    use crate::time::Wall;
    use serde_json::Value;

    /// A controller, its open calls, and a clock.
    struct Desk {
        controller: ReplicaSetController,
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
                (call, Verb::Create { object }) => Some((call, object.meta().name.clone())),
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
                "resourceVersion": "2", "labels": {"a": "b"}, "ownerReferences": [claim::reference(set.meta())]},
                "spec": {"containers": []}}),
        )
    }

    fn desk() -> Desk {
        let now = Now { wall: Wall::from_secs(1), ..Now::default() };
        let mut desk = Desk { controller: ReplicaSetController::new(Options::default()), now, calls: Vec::new() };
        desk.step(Input::Wake);
        desk
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
                        meta.name = name.clone();
                        meta.uid = format!("p{revision}");
                        meta.resource_version = revision.to_string();
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
        let mut desk = desk();
        let set = set(1);
        let leaving = first_pod(&set).with_meta(|meta| meta.deletion_timestamp = Some(Time::default()));
        desk.list(Kind::ReplicaSet, vec![set]);
        let watch = desk.list(Kind::Pod, vec![leaving.clone()]);
        let (call, first) = desk.created().unwrap();
        assert_eq!(first, names::child("web", "u", 1), "the first name is in use");
        desk.answer(call, Answer::Lost("nobody answers".into()));
        let event = WatchEvent::Deleted(leaving.with_meta(|meta| meta.resource_version = "10".into()));
        desk.step(Input::Event { call: watch, event });
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert_eq!(desk.created().map(|(_, name)| name), Some(first), "though the first name is free now");
        assert_eq!(desk.created(), None);
    }
}
