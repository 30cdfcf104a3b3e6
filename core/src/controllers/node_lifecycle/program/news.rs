//! What the views show of nodes, leases and pods.

use super::{Member, NodeLifecycle, node_key};
use crate::api::by_key::ByKey;
use crate::api::kinds::Kind;
use crate::api::lease::Lease;
use crate::api::namespace::NODE_LEASES;
use crate::api::node::Node;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::taint::{NO_EXECUTE, Taint};
use crate::api::text::Text;
use crate::client::Change;
use crate::client::events::Tone;
use crate::controllers::node_lifecycle::node_health::{Hearing, Said};
use crate::controllers::node_lifecycle::node_taints::{Word, is_for_being_unwell};
use crate::controllers::node_lifecycle::silent_pods;
use crate::program::{Effects, Revision};
use crate::time::{Instant, Now};

impl NodeLifecycle {
    pub(super) fn node_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (old, new) = change.sides();
        // That we can hear again is seen by the informers being connected.
        let Some(object) = new.or(old) else { return };
        let key = object.key();
        let name = key.name.clone();
        self.node_writes.seen(&key, new.map(Object::revision), now.mono);
        let Some(node) = new.and_then(Object::get::<Node>) else {
            self.forget(&name);
            self.node_writes.forget(&key);
            return;
        };
        match old.and_then(Object::get::<Node>) {
            None => {
                let lease = self.leases.object(&Key::new(Kind::Lease, NODE_LEASES, &name));
                let renewed = lease.map_or(Revision(0), Object::revision);
                let member = Member {
                    hearing: Hearing::Heard,
                    renewed,
                    question: None,
                    ready: false,
                    waits: None,
                    turn: false,
                    taints: Vec::new(),
                };
                self.members.insert(name.clone(), member);
                self.start_over(now, &name);
            }
            Some(old) if Said::by(node) == Said::NotKnown && Said::by(old) != Said::NotKnown => {
                let message = format!("Node {name} status is now: NodeNotReady");
                self.recorder.tell(now, object, Tone::Normal, "NodeNotReady", message, out);
            }
            // Nobody but its kubelet says whether it is ready.
            Some(old) if Said::by(node) == Said::KubeletsWord && old.ready() != node.ready() => {
                self.hear(now, &name, out)
            }
            Some(_) => {}
        }
        self.count(&name);
        self.taints_changed(now, &name);
        let sends_away = |node: &Node| node.spec.taints.iter().any(is_for_being_unwell);
        if !sends_away(node) && old.and_then(Object::get::<Node>).is_some_and(sends_away) {
            self.wait_again(now, &name);
        }
        match Word::by(node) {
            Word::Well => self.spare(now, &name),
            Word::NotReady => self.wait(now, &name),
            Word::Unknown | Word::Nothing => {}
        }
        self.node_writes.add(key, now.mono);
    }

    /// Takes note of the taints of a node that send pods away. What was seen before goes on counting.
    fn taints_changed(&mut self, now: Now, name: &Text) {
        let Some(node) = self.nodes.get::<Node>(&node_key(name)) else { return };
        let Some(member) = self.members.get_mut(name) else { return };
        let since = |taint: &Taint| {
            let same = |(one, _): &&(Taint, Instant)| (&one.key, &one.value) == (&taint.key, &taint.value);
            member.taints.iter().find(same).map_or(now.mono, |(_, since)| *since)
        };
        let sends_away = node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE);
        let taints: Vec<(Taint, Instant)> = sends_away.map(|taint| (taint.clone(), since(taint))).collect();
        if taints != member.taints {
            member.taints = taints;
            self.look_at_stays_on(now, name);
        }
    }

    pub(super) fn lease_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (Change::Added(lease) | Change::Modified { new: lease, .. }) = change else { return };
        let name = lease.key().name;
        self.renewed(now, &name, lease.revision(), out);
        let renewed = lease.get::<Lease>().and_then(|lease| lease.spec.renew_time);
        if planted!(NodesClock)
            && let (Some(renewed), Some(_)) = (renewed, self.due.get(&name))
        {
            let left = self.options.grace.saturating_sub(now.wall.since(renewed.wall()));
            self.due.set(name, now.mono + left);
        }
    }

    pub(super) fn pod_changed(&mut self, now: Now, change: Change, out: &mut Effects) {
        let (old, new) = change.sides();
        let Some(object) = new.or(old) else { return };
        let key = object.key();
        self.pod_writes.seen(&key, new.map(Object::revision), now.mono);
        let node_of = |object: Option<&Object>| object?.get::<Pod>()?.node().map(Text::from);
        let (before, after) = (node_of(old), node_of(new));
        if before != after
            && let Some(node) = before
            && let Some(pods) = self.pods_on.get_mut(&node)
        {
            if !planted!(ArrivalOfFormer) {
                pods.remove(&key);
            }
            if pods.is_empty() {
                self.pods_on.remove(&node);
            }
            self.acquit(&node, &key);
        }
        if let Some(node) = &after
            && takes_back(old, new)
        {
            self.hear(now, node, out);
        }
        if let Some(node) = after {
            if self.members.get(&node).is_some_and(|member| member.hearing != Hearing::Heard) {
                self.pod_writes.add(key.clone(), now.mono);
            }
            let pods = self.pods_on.entry(node).or_default();
            if !pods.contains_key(&key) {
                pods.insert(key.clone(), now.mono);
            }
        }
        self.look_at_stay(now, &key);
        let gone = new.is_none_or(|pod| pod.meta().is_deleting());
        if gone && self.evicted.remove(&key).is_some_and(|uid| uid == object.meta().uid) {
            let message = format!("Marking for deletion Pod {}", object.meta().full_name());
            self.evictor.tell(now, object, Tone::Normal, "TaintManagerEviction", message, out);
        }
        if new.is_none() {
            self.pod_writes.forget(&key);
        }
    }

    fn forget(&mut self, name: &Text) {
        self.wait_no_longer(name);
        if self.members.remove(name).is_some_and(|member| member.ready) {
            self.ready -= 1;
        }
        self.due.remove(name);
        let pods: Vec<Key> = self.pods_on.get(name).into_iter().flat_map(ByKey::keys).collect();
        for pod in pods {
            self.acquit(name, &pod);
        }
    }
}

/// Whether the kubelet of a pod has read that its node is silent, and says that the pod is ready all the same.
///
/// A status that it wrote before is refused, since we have written after it; so it lives. To write again what it has
/// taken back would begin a quarrel without end.
fn takes_back(old: Option<&Object>, new: Option<&Object>) -> bool {
    let (Some(old), Some(new)) = (old.and_then(Object::get::<Pod>), new.and_then(Object::get::<Pod>)) else {
        return false;
    };
    let was_said = old.status.conditions.iter().any(|one| one.kind == "Ready" && one.reason == silent_pods::REASON);
    was_said && new.is_ready() && old.metadata.uid == new.metadata.uid
}
