//! What the views show: who counts where, which nodes offer more, and which pods want one.

use super::{Bind, Pending, Place, Scheduler, Stage, reported};
use crate::api::namespace::Namespace;
use crate::api::node::Node;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::client::Change;
use crate::program::Effects;
use crate::scheduler::binding::Earlier;
use crate::scheduler::facts::{PodFacts, alike};
use crate::scheduler::preemption::Budget;
use crate::scheduler::strategy::Strategy;
use crate::scheduler::volumes::reach;
use crate::scheduler::wake_ups::removed;
use crate::time::Now;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Scheduler {
    pub(super) fn node_changed(&mut self, change: Change) {
        match &change {
            Change::Added(object) | Change::Modified { new: object, .. } => {
                let Some(node) = object.get::<Node>() else { return };
                let (at, before) = self.nodes.set(node);
                let gain = removed(before.as_ref(), self.nodes.facts(at));
                // Whoever waits for others to go from it looks whether that is of any use still.
                if !gain.is_empty() || !self.nodes.facts(at).nominated.is_empty() {
                    self.gains.entry(self.nodes.name(at).clone()).or_default().extend(gain);
                }
            }
            Change::Deleted(_) if planted!(GhostNodes) => {}
            Change::Deleted(object) => {
                let name = &object.meta().name;
                let facts = self.nodes.find(name).map(|at| self.nodes.facts(at));
                let expected = facts.into_iter().flat_map(|facts| &facts.nominated).map(|one| one.key.clone());
                let expected: Vec<Key> = expected.collect();
                self.nodes.remove(name);
                for key in expected {
                    if matches!(self.pending.get(&key).map(|pod| &pod.stage), Some(Stage::Parked)) {
                        self.enter(&key, Stage::Queued);
                    }
                }
            }
            Change::Synced => {}
        }
    }

    pub(super) fn namespace_changed(&mut self, change: &Change) {
        let (_, new) = change.sides();
        match (change.sides().0, new.and_then(Object::get::<Namespace>)) {
            (_, Some(namespace)) => {
                self.nodes.set_namespace(&namespace.metadata.name, Some(&namespace.metadata.labels));
            }
            (Some(old), None) => self.nodes.set_namespace(&old.meta().name, None),
            (None, None) => {}
        }
    }

    pub(super) fn count_budgets(&mut self) {
        self.budgets.clear();
        for object in self.budgets_seen.objects() {
            let Some(budget) = Budget::of(object) else { continue };
            self.budgets.entry(object.meta().namespace.clone()).or_default().push(budget);
        }
    }

    /// Pods with claims may be able to go elsewhere now.
    pub(super) fn volumes_changed(&mut self, now: Now, out: &mut Effects) {
        for key in self.with_claims.clone() {
            match self.pods.object(&key).cloned() {
                Some(object) => self.follow(now, &object, out),
                None => drop(self.with_claims.remove(&key)),
            }
        }
    }

    pub(super) fn pod_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        match &change {
            Change::Added(new) => {
                self.recount(None, Some(new));
                self.follow(now, new, out);
            }
            Change::Modified { old, new } => {
                if !counts_the_same(old, new) {
                    self.recount(Some(old), Some(new));
                }
                self.follow(now, new, out);
            }
            Change::Deleted(old) => {
                self.recount(Some(old), None);
                self.let_go(&old.key());
            }
            // A new list, or the user's wish to look again: as good a time for the flush as any.
            Change::Synced => {
                for place in self.kin.values().flat_map(|kin| &kin.parked) {
                    self.due.set(place.key.clone(), now.mono);
                }
            }
        }
    }

    /// A pod counts on its node as it is now, and not any more as it did.
    fn recount(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let before = old.and_then(|old| {
            let (node, ..) = counts(old)?;
            let all = self.on.get_mut(node)?;
            let was = all.remove(&old.key());
            if all.is_empty() {
                self.on.remove(node);
            }
            was.map(|(facts, leaving)| (node, facts, leaving))
        });
        if let Some((object, (node, pod, leaving))) = new.and_then(|new| Some((new, counts(new)?))) {
            let facts = self.nodes.pod_facts(pod, &[]);
            let at = self.nodes.charge(node, &facts, leaving);
            let name = self.nodes.name(at).clone();
            self.on.entry(name).or_default().insert(object.key(), (facts, leaving));
        }
        let Some((node, facts, leaving)) = before else { return };
        let stays = new.and_then(counts).is_some_and(|(now, ..)| now == node);
        if stays {
            // It counts in another way, and takes the same room.
            self.nodes.release(node, &facts, leaving);
        } else {
            self.release(node, &facts, leaving);
        }
    }

    /// Brings what is kept of a pod in line with what the view shows.
    fn follow(&mut self, now: Now, object: &Object, out: &mut Effects) {
        let Some(pod) = object.get::<Pod>() else { return };
        let key = object.key();
        if let Some(node) = pod.node() {
            if let Some(assumed) = self.drop_pending(&key) {
                if *assumed.node == *node && counts(object).is_some() {
                    // It counts as bound now. Nothing was gained.
                    self.nodes.release(node, &assumed.facts, false);
                } else {
                    if *assumed.node != *node {
                        sometimes!(BoundElsewhere);
                    }
                    self.release(&assumed.node, &assumed.facts, false);
                }
                if *assumed.node == *node && assumed.bind != Bind::Done {
                    self.tell_scheduled(now, object, node, out);
                }
            }
        } else if let Some(strategy) = self.wants_node(pod) {
            let claims_and_volumes = |key: &Key| self.claims.object(key).or_else(|| self.volumes.object(key));
            let volumes = reach(pod, claims_and_volumes);
            if pod.spec.rest.get("volumes").is_some() {
                self.with_claims.insert(key.clone());
            }
            let facts = self.nodes.pod_facts(pod, &volumes);
            let place = place(&key, pod);
            match self.pending.get_mut(&key) {
                None => {
                    self.queue.insert(place.clone());
                    let (uid, nominated) = (pod.metadata.uid.clone(), nominated(pod));
                    if let Some(node) = &nominated {
                        self.nodes.nominate(node, &key, &uid, &facts);
                    }
                    let pending = Pending {
                        uid,
                        facts,
                        strategy,
                        place,
                        stage: Stage::Queued,
                        failures: 0,
                        earlier: Earlier::Settled,
                        reserved: Vec::new(),
                        nominated,
                        victims: BTreeMap::new(),
                        reported: None,
                    };
                    self.enroll(pending.kin(), &pending.facts);
                    self.pending.insert(key, pending);
                }
                Some(pending) => {
                    if pending.reported.is_some() && pending.reported == reported(pod) {
                        pending.reported = None;
                    }
                    let same = Arc::ptr_eq(&pending.facts, &facts) && pending.strategy == strategy;
                    if !same || pending.place != place {
                        self.becomes(&key, facts, strategy, place);
                    }
                }
            }
        } else {
            self.let_go(&key);
        }
    }

    /// A pending pod is another than before: out of line at the old place, and in again at the new one.
    fn becomes(&mut self, key: &Key, facts: Arc<PodFacts>, strategy: Strategy, place: Place) {
        let assumed = matches!(self.pending[key].stage, Stage::Assumed(_));
        let queued = matches!(self.pending[key].stage, Stage::Queued);
        if !assumed {
            self.enter(key, Stage::Delayed);
        }
        let pod = self.pending.get_mut(key).expect("it is pending");
        if let Some(node) = &pod.nominated {
            self.nodes.dismiss(node, &pod.uid);
            self.nodes.nominate(node, key, &pod.uid, &facts);
        }
        // Where it counts already, it counts in another way from now on, and takes the same room.
        let reserved = pod.reserved.iter_mut().map(|one| (&one.node, &mut one.facts));
        let bound_to = match &mut pod.stage {
            Stage::Assumed(one) => Some((&one.node, &mut one.facts)),
            Stage::Queued | Stage::Parked | Stage::Delayed => None,
        };
        for (node, counted) in reserved.chain(bound_to) {
            self.nodes.charge(node, &facts, false);
            self.nodes.release(node, counted, false);
            *counted = facts.clone();
        }
        let old = pod.kin();
        (pod.facts, pod.strategy, pod.place) = (facts.clone(), strategy, place);
        let new = pod.kin();
        self.enroll(new, &facts);
        self.retire(old);
        if queued {
            self.pass_on(old);
        }
        if !assumed {
            self.enter(key, Stage::Queued);
        }
    }
}

/// The node that a pod counts on, as the view shows it, and whether it is being deleted.
pub(super) fn counts(object: &Object) -> Option<(&str, &Pod, bool)> {
    let pod = object.get::<Pod>()?;
    let leaving = pod.metadata.is_deleting();
    let freed = planted!(FreesAtDeletion) && leaving;
    let node = pod.node().filter(|_| (!pod.status.phase.is_final() || planted!(FinishedTakeRoom)) && !freed)?;
    Some((node, pod, leaving))
}

/// Whether a pod counts as it did: most changes are of its status alone.
fn counts_the_same(old: &Object, new: &Object) -> bool {
    match (counts(old), counts(new)) {
        (None, None) => true,
        (Some((node, pod, leaving)), Some((now, new, leaves))) => {
            node == now
                && leaving == leaves
                && pod.metadata.labels == new.metadata.labels
                && (Arc::ptr_eq(&pod.spec, &new.spec) || alike(&pod.spec, &new.spec))
        }
        _ => false,
    }
}

/// For which node others have gone, or go.
fn nominated(pod: &Pod) -> Option<Arc<str>> {
    Some(pod.status.nominated_node_name.as_str()).filter(|node| !node.is_empty()).map(Arc::from)
}

fn place(key: &Key, pod: &Pod) -> Place {
    let priority = Reverse(if planted!(PriorityReversed) {
        -pod.spec.priority.unwrap_or(0)
    } else {
        pod.spec.priority.unwrap_or(0)
    });
    Place { priority, created: pod.metadata.creation_timestamp.filter(|_| !planted!(AgeIgnored)), key: key.clone() }
}
