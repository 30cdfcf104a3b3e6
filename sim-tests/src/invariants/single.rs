//! S-single: A container of a pod has at most one living process, and only on the node the pod is bound to.
//!
//! Catches: a kubelet that starts again what it has forgotten; one that acts on another node's pods.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};

/// Needs no memory: the truth has it all.
#[derive(Default)]
pub struct Single;

impl Checker for Single {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Started]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Started { node, process } = fact else { return Ok(()) };
        let name = format!("{}/{}.{}", process.pod.name, process.container, process.attempt);
        let living = truth.processes.get(&(process.pod.uid.clone(), process.container.clone()));
        if let Some(living) = living.filter(|living| living.len() > 1) {
            let living: Vec<String> = living.iter().map(|(on, one)| format!("{} on {on}", one.pid)).collect();
            return Err(Broken::by(format!("{name} has processes {}", living.join(" and "))));
        }
        let Some(facts) = truth.pods.get(&process.pod.uid) else {
            return Err(Broken::by(format!("{name} runs on {node}, but there never was such a pod")));
        };
        match facts.pod().node() {
            Some(bound) if bound == *node => Ok(()),
            bound => Err(Broken::by(format!("{name} runs on {node}, but is bound to {bound:?}")).with([&facts.last])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod};
    use super::*;
    use crate::runtime::Process;
    use miniku_core::kubelet::runtime::PodRef;

    #[test]
    fn fires_on_twins_and_strangers() {
        let mut story = Story::<Single>::new();
        story.put(node("n")).unwrap();
        story.put(pod("a", "n", "Pending")).unwrap();
        let mut start = |node: &str, uid: &str, attempt| {
            let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "a".into() };
            let process = Process { pod, container: "c".into(), attempt, pid: 7 };
            story.truth.started(&node.into(), &process);
            let result = story.see(Fact::Started { node, process: &process });
            if result.is_err() {
                story.truth.ended(&node.into(), &process);
            }
            result.map_err(|broken| broken.what)
        };
        assert!(start("n", "other-uid", 0).unwrap_err().contains("never was"));
        assert!(start("m", "a-uid", 0).unwrap_err().contains("bound to"));
        start("n", "a-uid", 0).unwrap();
        assert!(start("n", "a-uid", 1).unwrap_err().contains("processes"));
    }
}
