//! S-why: A kubelet stops a container only if its pod is being deleted, is gone, or has finished.
//!
//! Neither its own restart nor an API server that cannot be reached is a cause. Judged when the command reaches the
//! runtime, by what is stored then.
//! Catches: a kubelet that does not take over what runs when it starts; a failed list taken for an empty one.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::Command;

/// Needs no memory: the truth has it all.
#[derive(Default)]
pub struct Why;

impl Checker for Why {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Commanded]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Commanded { node, command } = fact else { return Ok(()) };
        let (Command::Terminate { pod, .. } | Command::Kill { pod, .. } | Command::RemovePod(pod)) = command else {
            return Ok(());
        };
        let Some(facts) = truth.pods.get(&pod.uid).filter(|facts| facts.removed.is_none()) else { return Ok(()) };
        let wished = !facts.pod().metadata.is_deleting() && !facts.pod().status.phase.is_final();
        // One that is given up takes the others with it, which its pod's phase tells a moment later.
        let limited = facts.pod().start_retries().is_some();
        let idle = |name: &Text| truth.processes_of(&pod.uid).all(|(_, process)| process.container != *name);
        if limited && facts.pod().spec.containers.iter().any(|container| idle(&container.name)) {
            return Ok(());
        }
        if wished && truth.processes_of(&pod.uid).any(|(on, _)| **on == **node) {
            return Err(Broken::by(format!("{} is stopped on {node}: {command:?}", pod.name)).with([&facts.last]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
    use crate::runtime::Process;
    use miniku_core::kubelet::runtime::PodRef;

    #[test]
    fn fires_on_a_stop_that_nobody_asked_for() {
        let mut story = Story::<Why>::new();
        let stored = story.put(pod("a", "n", "Running")).unwrap().new.unwrap();
        let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        let process = Process { pod: pod.clone(), container: "c".into(), attempt: 0, pid: 7 };
        story.truth.started(&"n".into(), &process);
        let command = Command::RemovePod(pod);
        assert!(story.see(Fact::Commanded { node: "n", command: &command }).is_err());
        story.write(&stored, true).unwrap();
        story.see(Fact::Commanded { node: "n", command: &command }).unwrap();
    }
}
