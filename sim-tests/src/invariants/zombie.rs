//! S-zombie: A process lives at most for its grace period, or for half a minute if that is less, and a bound after its pod is gone from the store, while its node hears the API server.
//!
//! Catches: a kubelet that misses a deletion; one that forgets what it started before its restart; one that goes on
//! waiting for as long as a pod was given when that is removed by force.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::text::Text;
use miniku_core::client::Deadlines;
use miniku_core::time::{Duration, Instant};

/// A kubelet's list-watch may need this long to hear of a deletion after its link has healed: a time-out and the
/// longest delay between tries, and some time to act.
const BOUND: Duration = Duration::from_secs(75);

/// What runs when its pod is gone has two seconds, or ten if it is found without one; and some time for what is slow.
const LONGEST: Duration = Duration::from_secs(30);

/// Pods that must have no processes at a time.
#[derive(Default)]
pub struct Zombie {
    due: Deadlines<Text>,
}

fn allowed(truth: &Truth, uid: &str) -> Duration {
    let grace = truth.pods.get(uid).map_or(0, |facts| {
        facts.pod().metadata.deletion_grace_period_seconds.unwrap_or(0).max(facts.pod().grace_seconds())
    });
    Duration::from_secs(grace.unsigned_abs()).min(LONGEST) + BOUND
}

impl Checker for Zombie {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Started, Sight::Time]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Durable { change } => {
                if let Some(old) = change.old.as_ref().filter(|_| change.key.kind == Kind::Pod)
                    && truth.pods.get(&old.meta().uid).is_some_and(|facts| facts.removed.is_some())
                {
                    let uid = &old.meta().uid;
                    self.due.set(uid.into(), truth.now + allowed(truth, uid));
                }
            }
            Fact::Started { process, .. } => {
                let uid = &process.pod.uid;
                if truth.pods.get(uid).is_some_and(|facts| facts.removed.is_some()) {
                    self.due.set_if_absent(uid.into(), truth.now + allowed(truth, uid));
                }
            }
            Fact::Time => {
                while let Some(uid) = self.due.pop_due(truth.now) {
                    let allowed = allowed(truth, &uid);
                    for (node, process) in truth.processes_of(&uid) {
                        let since = truth.nodes.get(node).and_then(|node| node.in_touch);
                        if since.is_some_and(|since| truth.now.since(since) >= allowed) {
                            let gone = truth.pods.get(&uid).and_then(|facts| facts.removed);
                            let secs = truth.now.since(gone.unwrap_or_default()).as_secs();
                            let what = format!(
                                "{}/{} runs on {node} as {}, {secs} s after its pod is gone",
                                process.pod.name, process.container, process.pid
                            );
                            return Err(Broken::by(what).with(truth.pods.get(&uid).map(|facts| &facts.last)));
                        }
                        self.due.set_if_absent(uid.clone(), since.unwrap_or(truth.now) + allowed);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.due.next()
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod};
    use super::*;
    use crate::runtime::Process;
    use crate::truth::NodeFacts;
    use miniku_core::kubelet::runtime::PodRef;

    fn story(in_touch: Option<Instant>, grace: u64) -> Story<Zombie> {
        let mut story = Story::<Zombie>::new();
        story.truth.nodes.insert("n".into(), NodeFacts { up: true, in_touch });
        story.put(node("n")).unwrap();
        let mut manifest = pod("a", "n", "Running");
        manifest["spec"]["terminationGracePeriodSeconds"] = grace.into();
        let change = story.put(manifest).unwrap();
        let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        let process = Process { pod, container: "c".into(), attempt: 0, pid: 7 };
        story.truth.started(&"n".into(), &process);
        story.see(Fact::Started { node: "n", process: &process }).unwrap();
        story.write(&change.new.unwrap(), true).unwrap();
        story
    }

    #[test]
    fn fires_on_a_process_that_stays() {
        for (grace, lives) in [(5, 79), (30, 104), (600, 104)] {
            let mut story = story(Some(Instant::default()), grace);
            story.pass(lives).unwrap();
            assert!(story.pass(1).unwrap_err().what.contains("after its pod is gone"), "{grace}");
        }
    }

    #[test]
    fn waits_for_the_node_to_hear_of_it() {
        let mut story = story(None, 30);
        story.pass(200).unwrap();
        let now = story.truth.now;
        story.truth.nodes.insert("n".into(), NodeFacts { up: true, in_touch: Some(now) });
        story.pass(100).unwrap();
        assert!(story.pass(20).is_err());
    }
}
