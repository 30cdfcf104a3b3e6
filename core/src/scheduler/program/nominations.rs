//! For which node others have gone, or go: its room is kept for the pod until the pod is bound or gives it up.

use super::{Scheduler, Stage};
use crate::api::object::Key;
use crate::scheduler::facts::PodFacts;
use crate::scheduler::wake_ups::{Obstacle, Obstacles};

impl Scheduler {
    /// A node is not kept for the pod any more.
    pub(super) fn give_up_nomination(&mut self, key: &Key) {
        if let Some(pod) = self.pending.get_mut(key)
            && let Some(node) = pod.nominated.take()
        {
            pod.victims.clear();
            let uid = pod.uid.clone();
            self.nodes.dismiss(&node, &uid);
            self.gain(&node);
            // It may have been in somebody's way by what it is, too.
            let around = Obstacles::of(&[Obstacle::Spread, Obstacle::Neighbours]);
            for kin in self.kin.values_mut().filter(|kin| !kin.parked.is_empty() && kin.obstacles.meets(around)) {
                kin.moved = u64::MAX;
            }
        }
    }

    /// Less important pods that are expected on a node look for another one.
    pub(super) fn make_way(&mut self, node: &str, facts: &PodFacts) {
        let Some(at) = self.nodes.find(node) else { return };
        let less = self.nodes.facts(at).nominated.iter().filter(|one| one.facts.priority < facts.priority);
        for key in less.map(|one| one.key.clone()).collect::<Vec<_>>() {
            self.give_up_nomination(&key);
            if matches!(self.pending.get(&key).map(|pod| &pod.stage), Some(Stage::Parked)) {
                self.enter(&key, Stage::Queued);
            }
        }
    }
}
