//! Objects that are deleted for an owner, and those of which it is not known whether they are.

use super::{Asked, WorkloadController, fail, filed_under, said};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::controllers::workload::{Victim, Workload};
use crate::program::{Answer, DeleteOptions, Effects, Level, Propagation, Verb};
use crate::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

impl WorkloadController {
    /// Deletes an object, unless that is under way or has to wait. Whether it was asked for.
    pub(super) fn delete(&mut self, now: Now, key: &Key, victim: Victim, out: &mut Effects) -> bool {
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
    /// Of pods that are too many, or go in turn, others may be chosen by now. One that may be going goes before any other
    /// that is to go for the same reason, and no more go than are to go. Of all else each is meant by itself, and stays if
    /// it is of use again: so does a pod when others go for a reason of their own, such as their number or their node.
    pub(super) fn delete_again(
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
        let may_stand_in = |victim: &Victim| {
            let are_alike = |one: &Victim| one.or_another && victim.or_another && one.because.is_like(&victim.because);
            unwanted.iter().any(are_alike)
        };
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
        // A job that is over takes its pods along, which the API server does not take for granted.
        let propagation = (victim.key.kind == Kind::Job).then_some(Propagation::Background);
        let options = DeleteOptions { uid: Some(victim.uid.clone()), propagation, ..Default::default() };
        let verb = Verb::Delete { key: victim.key.clone(), options };
        self.calls.call(now, Asked::Delete { owner: key.clone(), victim }, verb, out);
    }

    /// What came of a deletion.
    pub(super) fn deletion_answered(
        &mut self,
        now: Now,
        owner: &Object,
        victim: Victim,
        answer: &Answer,
        out: &mut Effects,
    ) {
        let key = owner.key();
        let Some(care) = self.care.get_mut(&key) else { return };
        match answer {
            Answer::Object { .. } | Answer::Removed(_) => {
                // Met when the view shows it.
                care.deletion.succeeded();
                if let Some(told) = victim.told {
                    self.tell(now, owner, told, out);
                }
            }
            // It is gone already, as the view will show.
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) => {}
            Answer::Refused(status) if status.reason != Some(Reason::Conflict) && !status.leaves_open() => {
                self.deletions.met(&key, &victim.uid);
                out.log(Level::Warn, format!("{key}: deletion of {}: {status}", victim.key));
                fail(&mut care.deletion, now);
            }
            Answer::Refused(_) | Answer::Lost(_) | Answer::List { .. } | Answer::Watching => {
                sometimes!(DeleteLost);
                // Whether it is being deleted is not known. It is asked for again, and no other in its place.
                out.log(Level::Warn, format!("{key}: deletion of {}: {}", victim.key, said(answer)));
                if planted!(LostDeletionForgotten) {
                    self.deletions.met(&key, &victim.uid);
                } else {
                    care.undeleted.insert(victim.uid.clone(), victim);
                }
                fail(&mut care.deletion, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::names;
    use crate::api::object::Object;
    use crate::api::status::Status;
    use crate::api::text::Text;
    use crate::controllers::daemonset::DaemonSets;
    use crate::controllers::workload::program::testing::{Desk, desk, desk_of, first_pod, object, set, turned_away};
    use crate::program::{Answer, CallId, Input, Verb, WatchEvent};
    use crate::time::Duration;
    use serde_json::json;

    #[test]
    fn a_pod_that_is_gone_already_is_not_deleted_again_and_again() {
        let mut desk = desk();
        let pod = first_pod(&set(0));
        desk.list(Kind::ReplicaSet, vec![set(0)]);
        let watch = desk.list(Kind::Pod, vec![pod.clone()]);
        let deletion = |verb: &Verb| matches!(verb, Verb::Delete { .. });
        let (call, _) = desk.take(Kind::Pod, deletion).unwrap();
        desk.answer(call, Answer::Refused(Status::not_found(Kind::Pod, "web")));
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert!(desk.take(Kind::Pod, deletion).is_none(), "the view will show it");
        let event = WatchEvent::Deleted(pod.with_meta(|meta| meta.resource_version = "10".into()));
        desk.step(Input::Event { call: watch, event });
        assert!(desk.take(Kind::Pod, deletion).is_none());
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

    /// A node of a pool.
    fn node(name: &str, pool: &str, revision: u64) -> Object {
        let meta =
            json!({"name": name, "uid": name, "labels": {"pool": pool}, "resourceVersion": revision.to_string()});
        object(Kind::Node, json!({"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
    }

    /// A pod on a node, of the daemon set `agent`.
    fn daemon(name: &str, node: &str) -> Object {
        let by =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d", "controller": true}]);
        let meta = json!({"name": name, "namespace": "default", "uid": name, "labels": {"app": "agent"},
            "ownerReferences": by, "resourceVersion": "2"});
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "i"}]});
        object(Kind::Pod, json!({"metadata": meta, "spec": spec, "status": {"phase": "Running"}}))
    }

    #[test]
    fn a_pod_that_may_be_going_stays_when_it_is_another_place_that_is_left() {
        let mut desk = desk_of(&[&DaemonSets]);
        let template = json!({"metadata": {"labels": {"app": "agent"}},
            "spec": {"nodeSelector": {"pool": "a"}, "containers": [{"name": "c", "image": "i"}]}});
        let agent = json!({"metadata": {"name": "agent", "namespace": "default", "uid": "d", "resourceVersion": "1"},
            "spec": {"selector": {"matchLabels": {"app": "agent"}}, "updateStrategy": {"type": "OnDelete"},
                "template": template}});
        desk.list(Kind::DaemonSet, vec![object(Kind::DaemonSet, agent)]);
        let revisions = desk.list(Kind::ControllerRevision, Vec::new());
        desk.list(Kind::Pod, vec![daemon("p", "n"), daemon("q", "m")]);
        let nodes = desk.list(Kind::Node, vec![node("n", "b", 2), node("m", "a", 2)]);
        let (call, verb) = desk.take(Kind::ControllerRevision, |verb| matches!(verb, Verb::Create { .. })).unwrap();
        let Verb::Create { object: revision } = verb else { unreachable!("it is a creation") };
        let revision = revision.with_meta(|meta| {
            meta.uid = "r".into();
            meta.resource_version = "10".into();
        });
        desk.answer(call, Answer::Object { object: revision.clone(), created: true });
        desk.step(Input::Event { call: revisions, event: WatchEvent::Added(revision) });
        let (call, victim) = asked_to_go(&mut desk).unwrap();
        assert_eq!(victim, "p");
        desk.answer(call, Answer::Lost("nobody answers".into()));
        desk.step(Input::Event { call: nodes, event: WatchEvent::Modified(node("n", "a", 11)) });
        desk.step(Input::Event { call: nodes, event: WatchEvent::Modified(node("m", "b", 12)) });
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert_eq!(asked_to_go(&mut desk).map(|(_, uid)| uid), Some("q".into()));
        assert_eq!(asked_to_go(&mut desk), None);
    }
}
