//! For which node others have gone, or go: its room is kept for the pod until the pod is bound or gives it up.

use super::{Scheduler, Stage};
use crate::api::object::Key;
use crate::scheduler::facts::PodFacts;

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
