//! Pods that nobody looks after any more: [`bound_pods`] decides, here it is found out and carried out.

use super::{Asked, Found, GarbageCollector, deletion, tell};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::node;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodPhase};
use crate::api::text::Text;
use crate::controllers::garbage::bound_pods::{self, BOUND_POD, Node, Phase, Standing, Word, bound_pod};
use crate::controllers::garbage::relations::node_of;
use crate::decision::Because;
use crate::program::{Answer, Effects, Part, Revision, Verb};
use crate::time::Now;

/// On nodes that people know to be off: nothing runs there any more.
///
/// Source: Kubernetes documentation, "Well-Known Labels, Annotations and Taints".
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl GarbageCollector {
    /// Looks at an object's node. Whether anything was asked for about the object.
    pub(super) fn as_pod(&mut self, now: Now, object: &Object, out: &mut Effects) -> bool {
        let name = node_of(object).unwrap_or_default();
        let node = match self.object(&Key::new(Kind::Node, "", name)) {
            _ if name.is_empty() => Node::Unbound,
            Some(node) if is_out_of_service(node) => Node::OutOfService,
            Some(_) => Node::InView,
            None => Node::NotSeen,
        };
        let standing = match object.meta().is_deleting() {
            _ if object.kind() != Kind::Pod => Standing::Kept,
            true => Standing::Leaving,
            false if self.surplus.contains(&object.key()) => Standing::Surplus,
            false => Standing::Kept,
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

    pub(super) fn ask_for_node(&mut self, now: Now, name: Text, out: &mut Effects) {
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

    /// The answer to whether there is a node, asked for when these pods were bound to it.
    pub(super) fn node_answered(&mut self, now: Now, name: &Text, pods: Vec<(Key, Text)>, answer: &Answer) {
        match Found::of(answer) {
            Found::Nothing if self.object(&Key::new(Kind::Node, "", name)).is_none() => {
                self.nodes.closed(name);
                for (key, uid) in pods {
                    if self.object(&key).is_some_and(|pod| pod.meta().uid == uid) {
                        self.lost.insert(uid);
                    }
                }
                for pod in self.relations.pods_on(name) {
                    self.objects.add(pod.clone(), now.mono);
                }
            }
            Found::Nothing => self.nodes.closed(name),
            Found::Object(_) | Found::NoSuchKind | Found::NoAnswer => self.nodes.failed(name, now.mono),
        }
    }

    /// What the API server said of a pod's node is old when the pod comes again: its kubelet may be back, and may have made
    /// the conflict itself.
    pub(super) fn ask_anew(&mut self, pod: &Key) {
        if let Some(uid) = self.object(pod).map(|pod| pod.meta().uid.clone()) {
            self.lost.remove(&uid);
        }
    }
}

/// Whether an object is a node that is not ready, and of which people say that it is off.
pub(super) fn is_out_of_service(object: &Object) -> bool {
    let said = |node: &node::Node| node.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE);
    object.get::<node::Node>().is_some_and(|node| !node.is_ready() && said(node))
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

#[cfg(test)]
mod tests {
    use super::OUT_OF_SERVICE;
    use crate::api::kinds::Kind;
    use crate::api::object::Key;
    use crate::api::pod::{Pod, PodPhase};
    use crate::controllers::garbage::program::testing::{key, pods, world};
    use crate::controllers::garbage::program::{GarbageCollector, Options};
    use crate::program::Part;
    use serde_json::json;

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
