//! S-grace: SIGTERM comes first, and SIGKILL no sooner than the pod's grace period after it.
//!
//! The period is the one of the pod's deletion, if that is shorter than its own; never less than two seconds, which is
//! also what is left to a pod whose record is gone. Catches: a kubelet that kills at once.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::kubelet::runtime::Command;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Source: Kubernetes, `minimumGracePeriodInSeconds`.
const LEAST: Duration = Duration::from_secs(2);
/// Of a kubelet's period, a clock that runs 5 % too fast leaves this.
fn at_least(period: Duration) -> Duration {
    period * 100 / 105
}

/// When each attempt of a container was asked to end.
#[derive(Default)]
pub struct Grace {
    asked: BTreeMap<(String, String, u32), Instant>,
}

fn period(truth: &Truth, uid: &str) -> Duration {
    let Some(facts) = truth.pods.get(uid).filter(|facts| facts.removed.is_none()) else { return LEAST };
    let pod = facts.pod();
    let own = pod.grace_seconds();
    let seconds = pod.metadata.deletion_grace_period_seconds.map_or(own, |seconds| seconds.min(own));
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(LEAST)
}

impl Checker for Grace {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Commanded]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Commanded { command: Command::Terminate { pod, container, attempt }, .. } => {
                self.asked.entry((pod.uid.clone(), container.clone(), *attempt)).or_insert(truth.now);
            }
            Fact::Commanded { command: Command::Kill { pod, container, attempt }, .. } => {
                let asked = self.asked.get(&(pod.uid.clone(), container.clone(), *attempt));
                let had = asked.map(|asked| truth.now.since(*asked));
                let due = period(truth, &pod.uid);
                if had.is_none_or(|had| had < at_least(due)) {
                    let had = had.map_or("nothing".into(), |had| format!("{} ms", had.as_millis()));
                    let what = format!("{}/{container} is killed after {had} of {} s", pod.name, due.as_secs());
                    return Err(Broken::by(what).with(truth.pods.get(&pod.uid).map(|facts| &facts.last)));
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
    use miniku_core::kubelet::runtime::PodRef;

    #[test]
    fn fires_on_a_kill_without_patience() {
        let mut story = Story::<Grace>::new();
        let mut manifest = pod("a", "n", "Running");
        manifest["spec"]["terminationGracePeriodSeconds"] = 10.into();
        story.put(manifest).unwrap();
        let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        let kill = Command::Kill { pod: pod.clone(), container: "c".into(), attempt: 0 };
        let kill = Fact::Commanded { node: "n", command: &kill };
        assert!(story.see(kill).unwrap_err().what.contains("after nothing"));
        let terminate = Command::Terminate { pod, container: "c".into(), attempt: 0 };
        story.see(Fact::Commanded { node: "n", command: &terminate }).unwrap();
        story.pass(9).unwrap();
        assert!(story.see(kill).is_err());
        story.pass(1).unwrap();
        story.see(kill).unwrap();
    }
}
