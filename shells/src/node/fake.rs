//! A runtime that only pretends: pods look as if they ran, nothing does. For learning without root.

use crate::clock;
use crate::driver::{Hands, Inbox};
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::{Command, ContainerSpec, ContainerState, PodRef, PodReport, Report};
use miniku_core::program::Input;
use std::collections::BTreeMap;

/// Pretended containers by pod uid and name.
pub struct Fake {
    inbox: Inbox,
    node: String,
    running: BTreeMap<(Text, String), (u32, ContainerState)>,
    next_pid: u32,
}

impl Fake {
    /// The runtime of this node; its reports go to `inbox`.
    pub fn new(node: &str, inbox: Inbox) -> Self {
        Fake { inbox, node: node.into(), running: BTreeMap::new(), next_pid: 1000 }
    }

    fn report(&self, report: Report) {
        // A kubelet that has stopped wants no reports.
        self.inbox.deliver(Input::Runtime(report));
    }

    fn start(&mut self, pod: &PodRef, container: &ContainerSpec) {
        self.next_pid += 1;
        let (name, attempt) = (container.name.clone(), container.attempt);
        let command = container.command.iter().chain(&container.args).cloned().collect::<Vec<_>>().join(" ");
        log::info!("kubelet {}: pretending to run {}/{name}: {} {command}", self.node, pod.name, container.image);
        let state = ContainerState::Running {
            id: format!("fake://{}-{name}-{attempt}", pod.uid),
            image: container.image.clone(),
            image_id: format!("fake/{}", container.image),
            pid: self.next_pid,
            started: clock::wall(),
        };
        self.running.insert((pod.uid.clone(), name.clone()), (attempt, state.clone()));
        self.report(Report::Container { pod: pod.clone(), container: name, attempt, state });
    }

    fn end(&mut self, pod: &PodRef, container: &str, attempt: u32, signal: i32) {
        let key = (pod.uid.clone(), container.to_owned());
        let Some((current, ContainerState::Running { id, image, image_id, started, .. })) =
            self.running.get(&key).cloned()
        else {
            return;
        };
        if current != attempt {
            return;
        }
        log::info!("kubelet {}: pretending to stop {}/{container}", self.node, pod.name);
        let state = ContainerState::Exited {
            id,
            image,
            image_id,
            code: 128 + signal,
            signal: Some(signal),
            oom: false,
            started,
            finished: clock::wall(),
        };
        self.running.insert(key, (attempt, state.clone()));
        self.report(Report::Container { pod: pod.clone(), container: container.into(), attempt, state });
    }
}

impl Hands for Fake {
    fn perform(&mut self, command: Command) {
        match command {
            // What was pretended ends with the process that pretended it.
            Command::List => self.report(Report::Listed(Vec::<PodReport>::new())),
            Command::RunPod(spec) => spec.containers.iter().for_each(|container| self.start(&spec.pod, container)),
            Command::StartContainer { pod, container } => self.start(&pod, &container),
            Command::Terminate { pod, container, attempt } => self.end(&pod, &container, attempt, 15),
            Command::Kill { pod, container, attempt } => self.end(&pod, &container, attempt, 9),
            Command::RemovePod(pod) => {
                self.running.retain(|(uid, _), _| *uid != pod.uid);
                self.report(Report::Removed { pod });
            }
        }
    }
}
