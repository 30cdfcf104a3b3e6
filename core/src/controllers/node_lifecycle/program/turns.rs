//! Whose turn it is to be emptied, one after the other, and whether anybody's: [`brake`](super::super::brake) decides.

use super::{NodeLifecycle, node_key};
use crate::api::by_key::ByKey;
use crate::api::node::Node;
use crate::api::text::Text;
use crate::controllers::node_lifecycle::brake::{Pace, Zone, eviction_pace, size, zone};
use crate::controllers::node_lifecycle::node_health::Hearing;
use crate::controllers::node_lifecycle::node_taints::{Word, is_for_being_unwell};
use crate::controllers::node_lifecycle::silence::Question;
use crate::program::{Effects, Level};
use crate::time::Now;

impl NodeLifecycle {
    /// Brings the number of ready nodes up to date with one of them.
    pub(super) fn count(&mut self, name: &Text) {
        let is_ready = self.nodes.get::<Node>(&node_key(name)).is_some_and(Node::is_ready);
        let Some(member) = self.members.get_mut(name) else { return };
        let ready = is_ready && member.hearing == Hearing::Heard;
        match (member.ready, ready) {
            (false, true) => self.ready += 1,
            (true, false) => self.ready -= 1,
            (false, false) | (true, true) => {}
        }
        member.ready = ready;
        assert!(self.ready <= self.members.len(), "only members are counted");
    }

    /// Takes note of how many nodes are ready, before anything is done about the others.
    pub(super) fn look_at_zone(&mut self, now: Now, out: &mut Effects) {
        let zone = zone(self.ready, self.members.len() - self.ready);
        if zone == self.zone {
            return;
        }
        let of = self.members.len();
        out.log(Level::Info, format!("zone: {zone:?}, {} of {of} nodes are ready", self.ready));
        match zone {
            Zone::FullDisruption => sometimes!(FullDisruption),
            Zone::PartialDisruption => sometimes!(PartialDisruption),
            Zone::Normal => {}
        }
        let before = std::mem::replace(&mut self.zone, zone);
        if before == Zone::FullDisruption {
            sometimes!(BrakeReleased);
            // As Kubernetes does: with nobody heard, it was most likely us. Source: `handleDisruption`.
            self.all_start_over(now);
        }
        if zone == Zone::FullDisruption && !planted!(BrakeOff) {
            // Nobody's turn is it any more, and the taints that said so are taken away.
            let names: Vec<Text> = self.members.keys().cloned().collect();
            for name in names {
                self.spare(now, &name);
                if self.members[&name].hearing == Hearing::Silent {
                    self.wait(now, &name);
                }
                self.wait_if_not_ready(now, &name);
                self.node_writes.add(node_key(&name), now.mono);
            }
        }
    }

    pub(super) fn evictions(&mut self, now: Now, out: &mut Effects) {
        let every = match eviction_pace(self.zone, size(self.members.len())).then {
            _ if planted!(BrakeOff) => self.options.steady_every,
            Pace::Steady => self.options.steady_every,
            Pace::Slow => self.options.slow_every,
            Pace::Hold if planted!(EmptiesMost) => self.options.steady_every,
            Pace::Hold | Pace::Stop => return,
        };
        if !self.hearing {
            return;
        }
        let outstayed: Vec<Text> = self.overdue.keys().cloned().collect();
        for name in outstayed {
            let Some(member) = self.members.get(&name).filter(|member| member.turn) else { continue };
            match (member.hearing, self.nodes.get::<Node>(&node_key(&name)).map(Word::by)) {
                (Hearing::Silent, _) if planted!(AsksOnce) => self.condemn(now, &name),
                (Hearing::Silent, _) if member.question.is_none() => self.ask(now, name, Question::MayEvict, out),
                (Hearing::Heard, Some(Word::NotReady)) => self.condemn(now, &name),
                // It is being asked for; or it is about to say that it is well.
                (Hearing::Silent | Hearing::Heard, _) => {}
            }
        }
        while !self.waiting.is_empty() {
            let at = self.last_turn.map_or(now.mono, |last| last + every);
            if at > now.mono {
                return out.wake_at(at);
            }
            let Some((_, name)) = self.waiting.pop_first() else { return };
            let Some(member) = self.members.get_mut(&name) else { continue };
            member.waits = None;
            if !planted!(EmptiesAtOnce) {
                self.last_turn = Some(now.mono);
            }
            match member.hearing {
                Hearing::Silent if !planted!(AsksOnce) => self.ask(now, name, Question::MayEvict, out),
                Hearing::Silent | Hearing::Heard => self.turn_comes(now, &name),
            }
        }
    }

    /// The node is tainted, so that the pods that do not put up with it have to go.
    pub(super) fn turn_comes(&mut self, now: Now, name: &Text) {
        if let Some(member) = self.members.get_mut(name) {
            sometimes!(NodeTainted);
            member.turn = true;
            self.node_writes.add(node_key(name), now.mono);
        }
    }

    /// An unwell node waits for its turn to be emptied.
    pub(super) fn wait(&mut self, now: Now, name: &Text) {
        let Some(member) = self.members.get_mut(name) else { return };
        if member.waits.is_none() && !member.turn {
            member.waits = Some(now.mono);
            self.waiting.insert((now.mono, name.clone()));
        }
    }

    pub(super) fn wait_if_not_ready(&mut self, now: Now, name: &Text) {
        if self.nodes.get::<Node>(&node_key(name)).map(Word::by) == Some(Word::NotReady) {
            self.wait(now, name);
        }
    }

    /// Somebody took away the taint by which its pods have to go: it is tainted when its turn has come once more.
    ///
    /// At once it would not do: of many, all pods would go in one moment, also while no further node may be emptied.
    /// Source: Kubernetes, `markNodeForTainting`.
    pub(super) fn wait_again(&mut self, now: Now, name: &Text) {
        let Some(member) = self.members.get_mut(name).filter(|member| member.turn) else { return };
        if member.hearing == Hearing::Silent {
            // Asked because pods had stayed for long enough, which they have not any more; its answer would be a turn.
            member.question = None;
        }
        self.spare(now, name);
        self.wait(now, name);
    }

    pub(super) fn wait_no_longer(&mut self, name: &Text) {
        if let Some(since) = self.members.get_mut(name).and_then(|member| member.waits.take()) {
            self.waiting.remove(&(since, name.clone()));
        }
    }

    /// It is not the node's turn to be emptied, and no pod goes for its being unwell. A taint that says so counts from now.
    pub(super) fn spare(&mut self, now: Now, name: &Text) {
        self.wait_no_longer(name);
        let Some(member) = self.members.get_mut(name) else { return };
        member.turn = false;
        let mut counted = false;
        for (_, since) in member.taints.iter_mut().filter(|(taint, _)| is_for_being_unwell(taint)) {
            *since = now.mono;
            counted = true;
        }
        if let Some(pods) = self.overdue.remove(name) {
            counted |= !pods.is_empty();
        }
        if !self.condemned.is_empty() {
            for pod in self.pods_on.get(name).into_iter().flat_map(ByKey::keys) {
                self.condemned.remove(&pod);
            }
        }
        if counted {
            self.look_at_stays_on(now, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::controllers::node_lifecycle::program::testing::{die, put_on, ready, taints, world};
    use crate::controllers::node_lifecycle::program::{NodeLifecycle, Options, node_key};
    use crate::controllers::testing::World;
    use crate::program::Part;
    use crate::time::Duration;
    use serde_json::json;

    #[test]
    fn with_all_nodes_silent_nothing_is_evicted() {
        let (mut world, mut program) = world(5, 3);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        world.run(&mut program, 600);
        assert_eq!(ready(&world, "n3"), "Unknown NodeStatusUnknown");
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3");
        // The first that returns starts all deadlines anew; then those that stay away lose their pods.
        world.alive.insert("n2".into());
        world.run(&mut program, 40);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3");
        world.run(&mut program, 30);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 -p3");
    }

    #[test]
    fn a_small_cluster_that_lost_most_of_its_nodes_holds_still() {
        let (mut world, mut program) = world(6, 5);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        world.run(&mut program, 600);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2 p3 p4 p5");
        world.alive.insert("n2".into());
        world.run(&mut program, 70);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 -p3 p4 p5");
    }

    #[test]
    fn one_node_is_emptied_at_a_time() {
        let (mut world, mut program) = world(7, 5);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        die(&mut world, "n2");
        world.run(&mut program, 49);
        let evicted = |world: &World| world.names(Kind::Pod, "default").matches('-').count();
        assert_eq!(evicted(&world), 1, "the first at once");
        world.run(&mut program, 5);
        assert_eq!(evicted(&world), 1);
        world.run(&mut program, 6);
        assert_eq!(evicted(&world), 2);
    }

    #[test]
    fn a_taint_that_somebody_takes_away_waits_for_its_turn_again() {
        let (mut world, mut program) = world(28, 7);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        let emptied = |world: &World| {
            let all = ["n1", "n2", "n3"].map(|node| taints(world, node));
            all.iter().filter(|taints| taints.contains("unreachable:NoExecute")).count()
        };
        world.run(&mut program, 38);
        assert_eq!(emptied(&world), 3);
        for node in ["n1", "n2", "n3"] {
            put_on(&mut world, node, json!(null));
        }
        world.run(&mut program, 1);
        assert_eq!(taints(&world, "n1"), "unreachable:NoSchedule", "this one keeps nobody's pace");
        let asked = world.gets;
        for nodes in 1..=3 {
            world.run(&mut program, 10);
            assert_eq!((emptied(&world), world.gets), (nodes, asked + nodes), "each is asked for before");
        }
    }

    #[test]
    fn an_eviction_under_way_stops_when_the_last_node_falls_silent() {
        let (mut world, mut program) = world(8, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 50);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
        die(&mut world, "n2");
        world.run(&mut program, 30);
        world.pod("late", "n1", json!([]));
        world.run(&mut program, 300);
        assert_eq!(world.names(Kind::Pod, "default"), "late -p1 p2");
    }

    #[test]
    fn an_answer_that_would_evict_comes_too_late_when_no_node_is_ready() {
        let (mut world, mut program) = world(12, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        world.answers_are_late = true;
        world.run(&mut program, 10);
        die(&mut world, "n2");
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        world.merge(node_key("n2"), ready, Part::Status);
        world.run(&mut program, 1);
        world.answers_are_late = false;
        world.run(&mut program, 300);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
    }

    #[test]
    fn a_node_that_returned_does_not_wait_for_its_eviction() {
        let (mut world, _) = world(13, 5);
        // Not a multiple of the heartbeat, so that its lease is unchanged when its turn would come.
        let options = Options { steady_every: Duration::from_secs(12), ..Default::default() };
        let mut program = NodeLifecycle::new(options, 13);
        world.run(&mut program, 10);
        for node in ["n1", "n2", "n3"] {
            die(&mut world, node);
        }
        world.run(&mut program, 300);
        world.alive.insert("n2".into());
        world.run(&mut program, 100);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2 -p3 p4 p5");
    }
}
