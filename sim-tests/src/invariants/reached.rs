//! S-reached: A kubelet that says that a container runs, and where its pod is reached, says the address of the pod's sandbox, as its runtime has told it last.
//!
//! It is not asked for one that is not told of yet. Once a sandbox may have gone, or may be another, nothing is known of its
//! address before the runtime tells of it again. Catches: a pod that is made anew, and is shown and served at an address
//! that another pod has by now.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::{ContainerState, Report};
use miniku_core::program::{Answer, Input, Part, Verb, WatchEvent};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The address of each pod's sandbox, by uid, and who was told.
#[derive(Default)]
pub struct Reached {
    at: BTreeMap<Text, (Who, IpAddr)>,
}

impl Reached {
    /// A kubelet hears of a pod, or from its runtime.
    fn hears(&mut self, who: &Who, input: &Input) {
        match input {
            Input::Runtime(report) => self.reported(who, report),
            Input::Event { event: WatchEvent::Deleted(object), .. } => drop(self.at.remove(&object.meta().uid)),
            // Of whom it does not hear any more it may forget all.
            Input::Reply { answer: Answer::List { items, .. }, .. } => {
                let listed = |uid: &Text| items.iter().any(|item| item.meta().uid == *uid);
                self.at.retain(|uid, (by, _)| by.name != who.name || listed(uid));
            }
            _ => {}
        }
    }

    /// Takes in what a runtime tells of sandboxes.
    fn reported(&mut self, who: &Who, report: &Report) {
        let gone = match report {
            Report::Sandbox { pod, ip: Some(ip) } => {
                self.at.insert(pod.uid.clone(), (who.clone(), *ip));
                return;
            }
            Report::Listed(pods) => {
                pods.iter().for_each(|one| drop(self.at.remove(&one.pod.uid)));
                return;
            }
            Report::Container { state: ContainerState::Absent, pod, .. }
            | Report::Sandbox { pod, ip: None }
            | Report::SandboxGone { pod }
            | Report::Removed { pod } => pod,
            Report::Container { .. } | Report::RemoveFailed { .. } => return,
        };
        self.at.remove(&gone.uid);
    }

    /// A kubelet writes the status of a pod.
    fn says(&self, who: &Who, object: &Object) -> Result<(), Broken> {
        let Some(pod) = object.get::<Pod>() else { return Ok(()) };
        let runs = pod.status.container_statuses.iter().any(|one| one.state.running.is_some());
        let told = self.at.get(&pod.metadata.uid).filter(|(by, _)| by == who);
        let Some((_, ip)) = told.filter(|_| runs && !pod.status.pod_ip.is_empty()) else { return Ok(()) };
        let (said, name) = (&pod.status.pod_ip, &pod.metadata.name);
        if said.parse::<IpAddr>().ok() == Some(*ip) {
            return Ok(());
        }
        Err(Broken::by(format!("{who} says that {name} is reached at {said}, and it is at {ip}")).with([object]))
    }
}

impl Checker for Reached {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Heard, Sight::Sent]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::Kubelet => {
                self.hears(who, input);
                Ok(())
            }
            Fact::Sent { who, request, .. } if who.role == Role::Kubelet => match &request.verb {
                Verb::Update { object, part: Part::Status } => self.says(who, object),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::kubelet::runtime::PodRef;
    use serde_json::json;

    fn named() -> PodRef {
        PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() }
    }

    fn sandbox(ip: &str) -> Report {
        Report::Sandbox { pod: named(), ip: ip.parse().ok() }
    }

    /// Whether it breaks it if a kubelet is told this, and says then that the pod is reached there.
    fn breaks(told: Vec<Report>, runs: bool, said: &str) -> bool {
        let (mut story, kubelet) = (Story::<Reached>::new(), who(Role::Kubelet, "kubelet/n"));
        told.into_iter().for_each(|report| story.steps(&kubelet, Input::Runtime(report)).unwrap());
        let mut manifest = pod("a", "n", "Running");
        let state = if runs { json!({"running": {}}) } else { json!({"waiting": {}}) };
        manifest["status"]["containerStatuses"] = json!([{"name": "c", "state": state}]);
        manifest["status"]["podIP"] = said.into();
        let object = crate::plan::object(manifest);
        story.sends(&kubelet, Verb::Update { object, part: Part::Status }).is_err()
    }

    #[test]
    fn fires_on_an_address_that_the_pod_had_before() {
        assert!(!breaks(vec![sandbox("10.1.0.1")], true, "10.1.0.1"));
        assert!(breaks(vec![sandbox("10.1.0.1")], true, "10.1.0.2"));
        assert!(breaks(vec![sandbox("10.1.0.1"), sandbox("10.1.0.2")], true, "10.1.0.1"));
        assert!(!breaks(vec![sandbox("10.1.0.1")], false, "10.1.0.2"), "it is not made anew yet");
        assert!(!breaks(vec![sandbox("10.1.0.1")], true, ""), "it is not told yet");
        assert!(!breaks(vec![sandbox("")], true, "10.1.0.2"), "there is no network");
    }

    #[test]
    fn nothing_is_known_of_a_sandbox_that_may_have_gone() {
        let absent =
            Report::Container { pod: named(), container: "c".into(), attempt: 0, state: ContainerState::Absent };
        for gone in [Report::SandboxGone { pod: named() }, Report::Removed { pod: named() }, absent] {
            assert!(!breaks(vec![sandbox("10.1.0.1"), gone], true, "10.1.0.2"));
        }
    }
}
