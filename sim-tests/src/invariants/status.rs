//! S-status: What a pod's status tells of a container was seen of a process of this very pod; and the pod is called ready only if its containers run, or did a moment ago.
//!
//! Catches: a status that is written to a successor of the same name; a container that is called ready too early.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::object::Object;
use miniku_core::api::pod::{ContainerStatus, Pod};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// A status may be on its way for a request's time-out.
const NEWS: Duration = Duration::from_secs(75);

/// Of each container, the latest attempt that ran, and when it ended.
#[derive(Default)]
pub struct Status {
    ran: BTreeMap<(String, String), (u32, Option<Instant>)>,
}

fn seen(one: &ContainerStatus) -> bool {
    let ended = one.state.terminated.as_ref().is_some_and(|end| end.reason != "ContainerStatusUnknown");
    one.state.running.is_some() || ended
}

impl Checker for Status {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Started, Sight::Ended]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Started { process, .. } => {
                self.ran.insert((process.pod.uid.clone(), process.container.clone()), (process.attempt, None));
            }
            Fact::Ended { process, .. } => {
                let key = (process.pod.uid.clone(), process.container.clone());
                self.ran.insert(key, (process.attempt, Some(truth.now)));
            }
            Fact::Durable { change } => {
                let Some((new, pod)) = change.new.as_ref().and_then(|new| Some((new, new.get::<Pod>()?))) else {
                    return Ok(());
                };
                let old = change.old.as_ref().and_then(Object::get::<Pod>);
                if old.is_none_or(|old| old.status == pod.status) {
                    return Ok(());
                }
                let ran = |name: &str| self.ran.get(&(pod.metadata.uid.clone(), name.to_owned()));
                let broken = |what: String| Err(Broken::by(what).with(change.old.iter().chain([new])));
                for one in pod.status.container_statuses.iter().filter(|one| seen(one)) {
                    let attempt = u32::try_from(one.restart_count).unwrap_or(0);
                    if ran(&one.name).is_none_or(|(latest, _)| *latest < attempt) {
                        return broken(format!("{}/{} is told of, and never ran so often", pod.metadata.name, one.name));
                    }
                }
                if pod.is_ready() && !old.is_some_and(Pod::is_ready) {
                    let runs = |name: &str| match ran(name) {
                        Some((_, None)) => true,
                        Some((_, Some(ended))) => truth.now.since(*ended) < NEWS,
                        None => false,
                    };
                    if let Some(container) = pod.spec.containers.iter().find(|container| !runs(&container.name)) {
                        return broken(format!("{} is ready, {} does not run", pod.metadata.name, container.name));
                    }
                }
            }
            _ => {}
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
    use serde_json::{Value, json};

    fn with(status: Value) -> Value {
        let mut pod = pod("a", "n", "Running");
        pod["status"] = status;
        pod
    }

    #[test]
    fn fires_on_what_was_not_seen() {
        let ready = || with(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        let runs = || {
            with(json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 1, "ready": true,
                "state": {"running": {}}, "lastState": {}, "image": "", "imageID": ""}]}))
        };
        let mut story = Story::<Status>::new();
        story.put(pod("a", "n", "Pending")).unwrap();
        assert!(story.put(ready()).unwrap_err().what.contains("does not run"));
        let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        let mut process = Process { pod, container: "c".into(), attempt: 0, pid: 7 };
        story.see(Fact::Started { node: "n", process: &process }).unwrap();
        assert!(story.put(runs()).unwrap_err().what.contains("never ran so often"));
        process.attempt = 1;
        story.see(Fact::Started { node: "n", process: &process }).unwrap();
        story.put(with(json!({"phase": "Running"}))).unwrap();
        story.put(runs()).unwrap();
        story.put(ready()).unwrap();
    }
}
