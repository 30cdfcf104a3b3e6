//! Which parked pods are decided once more: [`wake_ups`](crate::scheduler::wake_ups) says what could help one, here they
//! are found.

use super::{Kin, KinId, Scheduler, Stage};
use crate::api::object::Key;
use crate::scheduler::filters::refusal_by_node;
use crate::scheduler::nodes::{NodeIndex, Nodes};
use crate::scheduler::preemption::may_make_room;
use crate::scheduler::standing::Standing;
use crate::scheduler::wake_ups::{Obstacle, Obstacles};

impl Scheduler {
    /// Queues parked pods that a changed node would take, or might if others went, or that have others around them now:
    /// one of each kin, which brings the next if it goes well.
    pub(super) fn wake_parked(&mut self) {
        let mut woken = Vec::new();
        for (name, gain) in std::mem::take(&mut self.gains) {
            let Some(at) = self.nodes.find(&name) else { continue };
            for kin in self.kin.values_mut() {
                let Some(first) = kin.parked.first() else { continue };
                // Whom others kept away was not asked what else would have, and they may have gone since.
                if !kin.obstacles.meets(gain) && !looks_around(kin, &self.nodes) {
                    continue;
                }
                match refusal_by_node(&kin.facts, self.nodes.facts(at)) {
                    Some(refusal) => {
                        kin.obstacles.insert(refusal.obstacle());
                        if refusal.ends_with_pods() && may_make_room(&kin.facts, self.nodes.facts(at)) {
                            woken.push(first.key.clone());
                        }
                    }
                    None if looks_around(kin, &self.nodes) => {
                        // Where others are is looked at below, for all nodes.
                        kin.obstacles.extend(Obstacles::of(&[Obstacle::Spread, Obstacle::Neighbours]));
                        kin.moved = u64::MAX;
                    }
                    None => woken.push(first.key.clone()),
                }
            }
            // Who waits for this very node looks in any case: it may have to have others go once more.
            woken.extend(self.nodes.facts(at).nominated.iter().map(|one| one.key.clone()));
            let reserves = |key: &&Key| self.pending[*key].reserved.iter().any(|one| one.node == name);
            woken.extend(self.reserving.iter().filter(reserves).cloned());
        }
        let around = Obstacles::of(&[Obstacle::Spread, Obstacle::Neighbours]);
        let waiting = self.kin.iter().filter(|(_, kin)| !kin.parked.is_empty() && kin.obstacles.meets(around));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stand(id);
            let kin = self.kin.get_mut(&id).expect("it was found just now");
            let standing = kin.standing.as_ref().expect("it was made just now");
            if kin.moved == standing.moved() {
                continue;
            }
            kin.moved = standing.moved();
            if self.nodes.order().iter().any(|at| may_take(standing, &self.nodes, *at)) {
                woken.extend(kin.parked.first().map(|first| first.key.clone()));
            }
        }
        for key in woken {
            sometimes!(WokenByRoom);
            if matches!(self.pending.get(&key).map(|pod| &pod.stage), Some(Stage::Parked)) {
                self.enter(&key, Stage::Queued);
            }
        }
    }

    /// One of a kin has found this node: the next one is decided, if there is a node for it, too.
    pub(super) fn wake_next(&mut self, id: KinId, node: &str) {
        if self.kin.get(&id).is_none_or(|kin| kin.parked.is_empty()) {
            return;
        }
        self.stand(id);
        let kin = self.kin.get_mut(&id).expect("it was found just now");
        let standing = kin.standing.as_ref().expect("it was made just now");
        if !self.nodes.order().iter().any(|at| may_take(standing, &self.nodes, *at)) {
            // What the others have said before still stands in the way.
            let refusal = self.nodes.find(node).and_then(|at| standing.refusal(&self.nodes, at));
            refusal.iter().for_each(|refusal| kin.obstacles.insert(refusal.obstacle()));
            kin.moved = standing.moved();
            return;
        }
        let next = kin.parked.first().map(|place| place.key.clone());
        next.iter().for_each(|key| self.enter(key, Stage::Queued));
    }

    /// One of a kin was to be decided, and is not: it may have been woken for all of them.
    pub(super) fn pass_on(&mut self, id: KinId) {
        let next = self.kin.get(&id).and_then(|kin| kin.parked.first()).map(|place| place.key.clone());
        next.iter().for_each(|key| self.enter(key, Stage::Queued));
    }
}

/// Whether a node takes a pod, or might if others went.
fn may_take(standing: &Standing, nodes: &Nodes, at: NodeIndex) -> bool {
    standing.takes(nodes, at)
        || may_make_room(&standing.facts, nodes.facts(at))
            && standing.refusal(nodes, at).is_some_and(|refusal| refusal.ends_with_pods())
}

/// Whether other pods have a say in which nodes take a kin.
pub(super) fn looks_around(kin: &Kin, nodes: &Nodes) -> bool {
    match &kin.standing {
        Some(standing) => standing.looks_around(),
        None => nodes.neighbours().concern(&kin.facts),
    }
}
