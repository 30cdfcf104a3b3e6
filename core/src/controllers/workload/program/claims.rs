//! Who owns what: adoption and release, and children that are held though their owner is gone or going.

use super::{Asked, Decided, WorkloadController, fail, said};
use crate::api::meta::OwnerReference;
use crate::api::object::{Key, Object};
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::controllers::workload::Workload;
use crate::controllers::workload::claim::{self, Action};
use crate::decision::Because;
use crate::program::{Answer, Effects, Level, Part, Revision, Verb};
use crate::time::Now;
use serde_json::json;
use std::mem::take;

impl WorkloadController {
    /// Adopts and releases, among the objects that have changed.
    pub(super) fn claim(&mut self, now: Now, workload: &dyn Workload, key: &Key, owner: &Object, out: &mut Effects) {
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

    /// What came of the adoption or the release of a child.
    pub(super) fn claim_answered(&mut self, now: Now, owner: &Object, child: Key, answer: &Answer, out: &mut Effects) {
        let key = owner.key();
        let Some(care) = self.care.get_mut(&key) else { return };
        if let Answer::Object { .. } = answer {
            return care.claiming.succeeded();
        }
        out.log(Level::Debug, format!("{key}: claim of {child}: {}", said(answer)));
        self.claims.met(&key, &child);
        care.unclaimed.insert(child);
        fail(&mut care.claiming, now);
    }

    /// The answer to whether an owner may adopt these objects, as they were at these revisions.
    pub(super) fn adoption_answered(
        &mut self,
        now: Now,
        owner: &Object,
        children: Vec<(Key, Revision)>,
        answer: &Answer,
        out: &mut Effects,
    ) {
        let key = owner.key();
        let Some(care) = self.care.get_mut(&key) else { return };
        let gone = match answer {
            // The answer may be older than what was shown meanwhile.
            Answer::Object { object: live, .. }
                if live.meta().uid == care.uid && !live.meta().is_deleting() && !owner.meta().is_deleting() =>
            {
                return self.adopt(now, owner, live, children, out);
            }
            // An owner that is gone or going adopts nobody; the view will show it.
            Answer::Object { .. } => true,
            Answer::Refused(status) => status.reason == Some(Reason::NotFound),
            Answer::Lost(_) | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => false,
        };
        for (child, _) in children {
            self.claims.met(&key, &child);
            if !gone {
                care.unclaimed.insert(child);
            }
        }
        if gone {
            sometimes!(AdoptionForgone);
        } else {
            fail(&mut care.claiming, now);
        }
    }

    /// Adopts objects for an owner that lives, as the API server has it.
    fn adopt(&mut self, now: Now, owner: &Object, live: &Object, children: Vec<(Key, Revision)>, out: &mut Effects) {
        let key = &owner.key();
        let Some(workload) = self.workload(key.kind) else { return };
        for (child, revision) in children {
            // If it has changed since, it is looked at anew.
            let known = self.views.object(&child).filter(|known| known.revision() == revision);
            let Some(body) = known else { continue };
            // Either the view or the answer may be behind, and the newer one may have changed what is adopted.
            if ![owner, live].iter().all(|one| workload.may_adopt(one, body)) {
                self.claims.met(key, &child);
                if let Some(care) = self.care.get_mut(key) {
                    care.unclaimed.insert(child);
                    fail(&mut care.claiming, now);
                }
                continue;
            }
            sometimes!(PodAdopted);
            let mut owners = body.meta().owner_references.clone();
            if planted!(AdoptsFromOthers) {
                owners.clear();
            }
            if planted!(AdoptionDropsOwners) {
                owners.clear();
            }
            owners.push(claim::reference(live));
            let verb = owned_by(body, &owners, &held(body, workload.holds()));
            self.calls.call(now, Asked::Claim { owner: key.clone(), child }, verb, out);
        }
    }

    /// The children of an owner that is gone or going may be held in vain.
    pub(super) fn look_for_strays(&mut self, now: Now, workload: &dyn Workload, uid: &str) {
        if workload.holds().is_some() {
            for child in self.views.owned_by(uid) {
                self.strays.add(child.key(), now.mono);
            }
        }
    }

    /// Lets go of children that are held in vain.
    pub(super) fn release_strays(&mut self, now: Now, out: &mut Effects) {
        while let Some(key) = self.strays.pop_due(now.mono) {
            let found = self.views.object(&key).and_then(|child| Some((child.clone(), self.stray(child)?)));
            let Some((child, (owner, finalizer))) = found else {
                self.strays.remove(&key);
                continue;
            };
            sometimes!(StrayReleased);
            let object = child.with_meta(|meta| meta.finalizers.retain(|one| one != finalizer));
            // Asked again, later each time, until the view shows it.
            if planted!(StrayLetGoOnce) {
                self.strays.remove(&key);
            } else {
                self.strays.failed(key, now.mono);
            }
            self.calls.call(now, Asked::Release { owner }, Verb::Update { object, part: Part::Main }, out);
        }
        out.wake_at(self.strays.next());
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

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::meta::Time;
    use crate::controllers::statefulset::StatefulSets;
    use crate::controllers::workload::program::testing::{desk, desk_of, first_pod, object, set};
    use crate::program::{Answer, Input, Verb};
    use crate::time::Duration;
    use serde_json::json;

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
    fn a_claim_is_given_to_a_set_that_takes_it_along_by_all_that_is_known() {
        let mut desk = desk_of(&[&StatefulSets]);
        let set = |when_deleted: &str| {
            object(
                Kind::StatefulSet,
                json!({"metadata": {"name": "db", "namespace": "default", "uid": "s", "resourceVersion": "1"},
                    "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {},
                        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted},
                        "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}}),
            )
        };
        let claim = json!({"metadata": {"name": "data-db-0", "namespace": "default", "uid": "c", "resourceVersion": "2",
            "labels": {"a": "b"}}});
        desk.list(Kind::StatefulSet, vec![set("Delete")]);
        desk.list(Kind::PersistentVolumeClaim, vec![object(Kind::PersistentVolumeClaim, claim)]);
        desk.list(Kind::Pod, Vec::new());
        desk.list(Kind::ControllerRevision, Vec::new());
        // The view is behind: it is to outlive its set by now.
        for (live, is_given) in [("Retain", false), ("Delete", true)] {
            let (call, _) = desk.take(Kind::StatefulSet, |verb| matches!(verb, Verb::Get { .. })).unwrap();
            desk.answer(call, Answer::Object { object: set(live), created: false });
            let given = desk.take(Kind::PersistentVolumeClaim, |verb| matches!(verb, Verb::Merge { .. }));
            assert_eq!(given.is_some(), is_given);
            desk.now.mono = desk.now.mono + Duration::from_secs(1);
            desk.step(Input::Wake);
        }
    }
}
