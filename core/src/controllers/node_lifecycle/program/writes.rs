//! What is written on nodes and on their pods, and which pods are deleted.

use super::{Asked, NodeLifecycle, node_key};
use crate::api::meta::Time;
use crate::api::node::Node;
use crate::api::object::Object;
use crate::api::pod::Pod;
use crate::api::text::Text;
use crate::controllers::node_lifecycle::brake::Zone;
use crate::controllers::node_lifecycle::node_health::{self, Hearing, NODE_HEALTH, Said, node_health, say_unknown};
use crate::controllers::node_lifecycle::node_taints::{NODE_TAINT, Turn, Word, node_taint, tainted};
use crate::controllers::node_lifecycle::silent_pods::{
    self, SILENT_POD, Stay, classify, say_disrupted, say_not_ready, silent_pod,
};
use crate::decision::{Because, Decision};
use crate::program::{DeleteOptions, Effects, Level, Part, Propagation, Verb};
use crate::time::Now;

impl NodeLifecycle {
    pub(super) fn write_nodes(&mut self, now: Now, out: &mut Effects) {
        while let Some(key) = self.node_writes.pop_due(now.mono) {
            let (Some(object), Some(member)) = (self.nodes.object(&key), self.members.get(&key.name)) else {
                self.node_writes.settled(&key);
                continue;
            };
            let said = object.get::<Node>().map_or(Said::Nothing, Said::by);
            let row = node_health(member.hearing, said);
            let (object, part) = match row.then {
                node_health::Action::Keep => match self.tainted(now, &key.name, object, out) {
                    Some(changed) => (changed, Part::Main),
                    None => {
                        self.node_writes.settled(&key);
                        continue;
                    }
                },
                then => {
                    out.decided(Level::Info, Decision::about(key.clone(), Because::of(&NODE_HEALTH, row)));
                    let at = Time::of(now.wall);
                    (object.with(|node: &mut Node| say_unknown(node, then, at)), Part::Status)
                }
            };
            self.node_writes.begun(key.clone(), object.revision());
            self.calls.call(now, Asked::Node(key), Verb::Update { object, part }, out);
        }
    }

    /// The node with the taints that it is to have, if those are others than it has.
    fn tainted(&self, now: Now, name: &Text, object: &Object, out: &mut Effects) -> Option<Object> {
        let (node, member) = (object.get::<Node>()?, self.members.get(name)?);
        let turn = match member.turn {
            _ if self.zone == Zone::FullDisruption && !planted!(BrakeOff) => Turn::Nobodys,
            true => Turn::Come,
            false => Turn::Waits,
        };
        let row = node_taint(Word::by(node), turn);
        let taints = tainted(node, row.then, Time::of(now.wall))?;
        out.decided(Level::Info, Decision::about(node_key(name), Because::of(&NODE_TAINT, row)));
        Some(object.with(|node: &mut Node| node.spec.taints = taints))
    }

    pub(super) fn write_pods(&mut self, now: Now, out: &mut Effects) {
        while let Some(key) = self.pod_writes.pop_due(now.mono) {
            let Some((object, pod)) = self.pods.object(&key).and_then(|object| Some((object, object.get::<Pod>()?)))
            else {
                self.pod_writes.settled(&key);
                continue;
            };
            let member = pod.node().and_then(|node| self.members.get(&Text::from(node)));
            let (standing, serving) = classify(pod);
            let [until, _] = self.stays_until(&key, pod);
            let over = until.is_some_and(|at| at <= now.mono) || self.condemned.contains(&key);
            let stay = if over { Stay::Over } else { Stay::Tolerates };
            let row = silent_pod(member.map_or(Hearing::Heard, |member| member.hearing), stay, standing, serving);
            let verb = match row.then {
                silent_pods::Action::SayNotReady if planted!(SilentStayReady) => {
                    self.pod_writes.settled(&key);
                    continue;
                }
                silent_pods::Action::Keep => {
                    self.evicted.remove(&key);
                    self.pod_writes.settled(&key);
                    continue;
                }
                silent_pods::Action::SayNotReady => {
                    let changed = object.with(|pod: &mut Pod| say_not_ready(pod, Time::of(now.wall)));
                    Verb::Update { object: changed, part: Part::Status }
                }
                silent_pods::Action::Evict if !say_disrupted(&mut pod.clone(), Time::of(now.wall)) => {
                    let at = Time::of(now.wall);
                    let changed = object.with(|pod: &mut Pod| {
                        say_disrupted(pod, at);
                    });
                    Verb::Update { object: changed, part: Part::Status }
                }
                silent_pods::Action::Evict => {
                    sometimes!(PodEvicted);
                    self.evicted.insert(key.clone(), object.meta().uid.to_string());
                    let options = DeleteOptions {
                        uid: Some(object.meta().uid.clone()),
                        // Carried out late, it must not meet a pod whose kubelet is back.
                        resource_version: Some(object.meta().resource_version.clone()),
                        propagation: Some(Propagation::Background),
                        grace_seconds: planted!(EvictsByForce).then_some(0),
                        ..Default::default()
                    };
                    Verb::Delete { key: key.clone(), options }
                }
            };
            let decision = Decision::about(key.clone(), Because::of(&SILENT_POD, row));
            let node = pod.node().map(|node| node_key(&Text::from(node)));
            out.decided(Level::Info, Decision { sake: node, ..decision });
            self.pod_writes.begun(key.clone(), object.revision());
            self.calls.call(now, Asked::Pod(key), verb, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::pod::Pod;
    use crate::controllers::node_lifecycle::program::node_key;
    use crate::controllers::node_lifecycle::program::testing::{die, ready, taints, world};
    use crate::program::Part;
    use serde_json::json;

    #[test]
    fn a_node_whose_kubelet_says_that_it_is_not_ready_is_emptied() {
        let (mut world, mut program) = world(24, 2);
        world.run(&mut program, 10);
        let not_ready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        world.merge(node_key("n1"), not_ready, Part::Status);
        world.run(&mut program, 25);
        assert_eq!(taints(&world, "n1"), "not-ready:NoSchedule not-ready:NoExecute");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
        assert!(
            world.get(Kind::Pod, "default", "p1").unwrap().get::<Pod>().unwrap().is_ready(),
            "its kubelet is heard"
        );
        world.run(&mut program, 10);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn a_cordoned_node_says_so_by_a_taint() {
        let (mut world, mut program) = world(25, 1);
        world.run(&mut program, 10);
        world.merge(node_key("n1"), json!({"spec": {"unschedulable": true}}), Part::Main);
        world.run(&mut program, 1);
        assert_eq!(taints(&world, "n1"), "unschedulable:NoSchedule");
        world.merge(node_key("n1"), json!({"spec": {"unschedulable": null}}), Part::Main);
        world.run(&mut program, 1);
        assert_eq!(taints(&world, "n1"), "");
    }

    #[test]
    fn a_conflict_is_decided_again() {
        let (mut world, mut program) = world(11, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        // Its view of nodes lags: the first write meets a newer revision.
        world.deaf_to.insert(Kind::Node);
        let label = json!({"metadata": {"labels": {"x": "y"}}});
        world.merge(node_key("n1"), label, Part::Main);
        world.run(&mut program, 20);
        assert_eq!(ready(&world, "n1"), "True ");
        let tries = world.take_writes().len();
        assert!((2..20).contains(&tries), "{tries} tries");
        world.deaf_to.clear();
        world.run(&mut program, 20);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        assert_eq!(world.get(Kind::Node, "", "n1").unwrap().meta().labels["x"], "y", "and overwrites nothing");
    }
}
