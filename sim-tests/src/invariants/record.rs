//! S-record: A kubelet removes a pod's record only when none of the pod's processes lives on its node.
//!
//! Otherwise its name and its room are given away while it still runs. Catches: a kubelet that cleans up in the wrong
//! order.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::program::Verb;

/// Needs no memory: the truth has it all.
#[derive(Default)]
pub struct Record;

impl Checker for Record {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let Verb::Delete { key, options } = &request.verb else { return Ok(()) };
        let (Role::Kubelet, Some(uid)) = (who.role, &options.uid) else { return Ok(()) };
        match truth.processes_of(uid).find(|(node, _)| who.name.ends_with(&**node)) {
            Some((node, process)) => Err(Broken::by(format!("{key} still runs on {node} as {}", process.pid))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use crate::runtime::Process;
    use miniku_core::kubelet::runtime::PodRef;
    use miniku_core::program::{DeleteOptions, RequestId};

    #[test]
    fn fires_on_a_record_that_goes_first() {
        let mut story = Story::<Record>::new();
        let key = story.put(pod("a", "n", "Running")).unwrap().key;
        let options = DeleteOptions { uid: Some("a-uid".into()), ..Default::default() };
        let request = Verb::Delete { key, options }.into();
        let kubelet = who(Role::Kubelet, "kubelet/n");
        let removes = Fact::Sent { who: &kubelet, id: RequestId(1), request: &request };
        story.see(removes).unwrap();
        let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        story.truth.started(&"n".into(), &Process { pod, container: "c".into(), attempt: 0, pid: 7 });
        assert!(story.see(removes).is_err());
    }
}
