//! S-record: A kubelet removes a pod's record only when none of the pod's processes lives on its node, and when it is stored how the pod ended, or that could not be had after some tries.
//!
//! Otherwise its name and its room are given away while it still runs, and who waits for its end does not hear of it.
//! Catches: a kubelet that cleans up in the wrong order; an end that nobody is told.
//!
//! Source: Kubernetes, KEP-3329, pods end in a terminal phase.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::program::Verb;
use std::collections::BTreeMap;

/// By uid: how often it was asked to store that a pod has ended.
#[derive(Default)]
pub struct Record {
    told: BTreeMap<Text, u32>,
}

/// After so many tries in vain a kubelet may let a pod go without a word.
const TRIES: u32 = 3;

fn is_final(object: &Object) -> bool {
    object.get::<Pod>().is_some_and(|pod| pod.status.phase.is_final())
}

impl Checker for Record {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let (who, request) = match fact {
            Fact::Sent { who, request, .. } if who.role == Role::Kubelet => (who, request),
            Fact::Durable { change } if change.key.kind == Kind::Pod && change.new.is_none() => {
                change.old.as_ref().map(|old| self.told.remove(&old.meta().uid));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (key, options) = match &request.verb {
            Verb::Delete { key, options } => (key, options),
            // Most are told once, and that is stored at once.
            Verb::Update { object, .. } if is_final(object) && !truth.object(&object.key()).is_some_and(is_final) => {
                *self.told.entry(object.meta().uid.clone()).or_default() += 1;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(uid) = &options.uid else { return Ok(()) };
        if let Some((node, process)) = truth.processes_of(uid).find(|(node, _)| who.name.ends_with(&**node)) {
            return Err(Broken::by(format!("{key} still runs on {node} as {}", process.pid)));
        }
        let untold = |object: &&Object| object.meta().uid == *uid && !is_final(object);
        match truth.object(key).filter(untold) {
            Some(object) if self.told.get(uid).is_none_or(|tries| *tries < TRIES) => {
                Err(Broken::by(format!("{key} is removed, and it is not told how it ended")).with([object]))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use crate::runtime::Process;
    use miniku_core::kubelet::runtime::PodRef;
    use miniku_core::program::{DeleteOptions, Part, RequestId};

    #[test]
    fn fires_on_a_record_that_goes_first() {
        let mut story = Story::<Record>::new();
        let key = story.put(pod("a", "n", "Failed")).unwrap().key;
        let options = DeleteOptions { uid: Some("a-uid".into()), ..Default::default() };
        let request = Verb::Delete { key, options }.into();
        let kubelet = who(Role::Kubelet, "kubelet/n");
        let removes = Fact::Sent { who: &kubelet, id: RequestId(1), request: &request };
        story.see(removes).unwrap();
        let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        story.truth.started(&"n".into(), &Process { pod, container: "c".into(), attempt: 0, pid: 7 });
        assert!(story.see(removes).is_err());
    }

    #[test]
    fn fires_on_an_end_that_nobody_is_told() {
        let mut story = Story::<Record>::new();
        let running = story.put(pod("a", "n", "Running")).unwrap();
        let options = DeleteOptions { uid: Some("a-uid".into()), ..Default::default() };
        let kubelet = who(Role::Kubelet, "kubelet/n");
        let mut asks = |verb: Verb| story.sends(&kubelet, verb).map_err(|broken| broken.what);
        let removes = || Verb::Delete { key: running.key.clone(), options: options.clone() };
        let ended = || Verb::Update { object: crate::plan::object(pod("a", "n", "Failed")), part: Part::Status };
        assert!(asks(removes()).unwrap_err().ends_with("is removed, and it is not told how it ended"));
        asks(ended()).unwrap();
        assert!(asks(removes()).is_err());
        asks(ended()).unwrap();
        assert!(asks(removes()).is_err());
        asks(ended()).unwrap();
        asks(removes()).expect("it was tried");
    }
}
