//! Who is heard, who is asked for, and who is silent: [`silence`](mod@silence) decides, here it is carried out.

use super::{Asked, NodeLifecycle, node_key};
use crate::api::by_key::ByKey;
use crate::api::kinds::Kind;
use crate::api::namespace::NODE_LEASES;
use crate::api::object::Key;
use crate::api::status::Status;
use crate::api::text::Text;
use crate::controllers::node_lifecycle::brake::Zone;
use crate::controllers::node_lifecycle::node_health::Hearing;
use crate::controllers::node_lifecycle::silence::{self, LeaseNow, Question, SILENCE, silence};
use crate::decision::{Because, Decision};
use crate::program::{Answer, Effects, Level, Revision, Verb};
use crate::time::Now;

impl NodeLifecycle {
    /// News of the lease of a node.
    pub(super) fn renewed(&mut self, now: Now, name: &Text, revision: Revision, out: &mut Effects) {
        let Some(member) = self.members.get_mut(name) else { return };
        if revision > member.renewed {
            member.renewed = revision;
            self.hear(now, name, out);
        }
    }

    /// The node lives: its next deadline is counted from now, on our own clock.
    pub(super) fn hear(&mut self, now: Now, name: &Text, out: &mut Effects) {
        if self.members.get(name).is_some_and(|member| member.hearing != Hearing::Heard) {
            sometimes!(NodeHeardAgain);
            out.log(Level::Info, format!("node {name} is heard again"));
        }
        self.start_over(now, name);
    }

    /// The whole grace period begins anew. Whatever was meant to happen to its pods is off.
    pub(super) fn start_over(&mut self, now: Now, name: &Text) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.question = None;
        let before = member.hearing;
        if planted!(EvictionNotCancelled) && before == Hearing::Silent && member.turn {
            return;
        }
        member.hearing = Hearing::Heard;
        if self.hearing {
            self.due.set(name.clone(), now.mono + self.options.grace);
        } else {
            self.due.remove(name);
        }
        if before == Hearing::Silent {
            if self.members[name].waits.is_some() || self.members[name].turn {
                sometimes!(EvictionCancelled);
            }
            self.spare(now, name);
            self.wait_if_not_ready(now, name);
            self.count(name);
        }
    }

    /// What was silence may have been ours.
    pub(super) fn all_start_over(&mut self, now: Now) {
        let names: Vec<Text> = self.members.keys().cloned().collect();
        for name in names {
            self.start_over(now, &name);
            self.spare(now, &name);
            self.wait_if_not_ready(now, &name);
        }
    }

    pub(super) fn ask(&mut self, now: Now, name: Text, question: Question, out: &mut Effects) {
        let Some(member) = self.members.get_mut(&name) else { return };
        self.questions += 1;
        member.question = Some(self.questions);
        let key = Key::new(Kind::Lease, NODE_LEASES, &name);
        if planted!(EvictsUnconfirmed) {
            member.question = None;
            let nothing = Answer::Refused(Status::not_found(Kind::Lease, &name));
            return self.judge(now, &name, question, &nothing, out);
        }
        let asked = Asked::Lease { node: name, number: self.questions, question };
        self.calls.call(now, asked, Verb::Get { key }, out);
    }

    pub(super) fn judge(&mut self, now: Now, name: &Text, question: Question, answer: &Answer, out: &mut Effects) {
        let Some(member) = self.members.get_mut(name) else { return };
        let row = silence(question, LeaseNow::of(answer, member.renewed));
        out.decided(Level::Info, Decision::about(node_key(name), Because::of(&SILENCE, row)));
        match row.then {
            silence::Action::CallSilent => {
                sometimes!(NodeCalledSilent);
                member.hearing = Hearing::Silent;
                self.spare(now, name);
                self.wait(now, name);
                self.count(name);
                self.node_writes.add(node_key(name), now.mono);
                self.look_at_pods_on(name, now);
            }
            // Meanwhile the last of the others fell silent too.
            silence::Action::Evict if self.zone == Zone::FullDisruption && !planted!(BrakeOff) => self.wait(now, name),
            silence::Action::Evict if !member.turn => self.turn_comes(now, name),
            silence::Action::Evict => self.condemn(now, name),
            silence::Action::Hear => {
                sometimes!(LateRenewal);
                if let Answer::Object { object, .. } = answer {
                    self.renewed(now, name, object.revision(), out);
                }
            }
            silence::Action::StartOver if planted!(QuestionForgotten) => {}
            silence::Action::StartOver => {
                sometimes!(StoreNotReached);
                self.start_over(now, name);
            }
        }
    }

    fn look_at_pods_on(&mut self, name: &Text, now: Now) {
        for pod in self.pods_on.get(name).into_iter().flat_map(ByKey::keys) {
            self.pod_writes.add(pod, now.mono);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::object::Key;
    use crate::controllers::node_lifecycle::program::testing::{die, ready, taints, world};
    use crate::controllers::node_lifecycle::program::{NodeLifecycle, Options, node_key};
    use crate::program::Part;
    use serde_json::json;

    #[test]
    fn a_node_that_returns_keeps_its_pods() {
        let (mut world, mut program) = world(2, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        world.alive.insert("n1".into());
        world.run(&mut program, 300);
        assert_eq!(ready(&world, "n1"), "True ");
        assert_eq!(taints(&world, "n1"), "");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
    }

    #[test]
    fn a_controller_that_begins_anew_counts_anew() {
        let (mut world, mut program) = world(26, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        world.forget_program();
        let mut program = NodeLifecycle::new(Options::default(), 27);
        world.run(&mut program, 44);
        assert_eq!(taints(&world, "n1"), "unreachable:NoSchedule unreachable:NoExecute");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
        world.run(&mut program, 3);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn a_kubelet_that_takes_back_what_was_said_of_its_pod_is_heard() {
        let (mut world, mut program) = world(2, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 20);
        world.take_writes();
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        world.merge(Key::new(Kind::Pod, "default", "p1"), ready, Part::Status);
        world.take_writes();
        world.run(&mut program, 5);
        assert_eq!(world.take_writes(), [""; 0], "its word stands, until the node is silent again");
        world.run(&mut program, 60);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn nobody_is_called_silent_while_we_are_deaf() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed, 3);
            world.run(&mut program, 20);
            world.disconnect();
            world.run(&mut program, 600);
            world.connect();
            world.run(&mut program, 100);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
            // A node that dies while we are away is given the whole grace period after it.
            world.disconnect();
            die(&mut world, "n1");
            world.run(&mut program, 100);
            world.connect();
            world.run(&mut program, 14);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
            world.run(&mut program, 100);
            assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 p3", "seed {seed}");
        }
    }

    #[test]
    fn a_watch_that_stays_open_but_is_late_convicts_nobody() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed, 3);
            world.run(&mut program, 20);
            world.deaf_to.insert(Kind::Lease);
            world.run(&mut program, 300);
            assert!(world.gets > 3, "the server was asked");
            world.deaf_to.clear();
            world.run(&mut program, 100);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn a_node_that_came_back_unheard_keeps_its_pods() {
        let (mut world, mut program) = world(4, 3);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 30);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        world.deaf_to.extend([Kind::Lease, Kind::Node]);
        world.alive.insert("n1".into());
        world.run(&mut program, 100);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3");
    }

    #[test]
    fn a_kubelet_that_speaks_is_heard_even_without_its_lease() {
        let (mut world, mut program) = world(14, 2);
        die(&mut world, "n1");
        world.run(&mut program, 30);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
        let speaks = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        world.merge(node_key("n1"), speaks, Part::Status);
        world.run(&mut program, 14);
        assert_eq!(ready(&world, "n1"), "True ", "it has the whole grace period");
        world.run(&mut program, 2);
        assert_eq!(ready(&world, "n1"), "Unknown NodeStatusUnknown");
    }

    #[test]
    fn a_node_that_never_spoke_is_silent_too() {
        let (mut world, mut program) = world(10, 1);
        world.create(Kind::Node, json!({"metadata": {"name": "mute"}}));
        world.run(&mut program, 20);
        assert_eq!(ready(&world, "mute"), "Unknown NodeStatusNeverUpdated");
    }
}
