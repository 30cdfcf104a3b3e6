//! S-backoff: A container that ends again and again is started again after 0, 10, 20, 40 and so on up to 300 s; under Never it is started once, and under OnFailure not after a good end.
//!
//! Ends are counted since its kubelet started, which keeps no count over a restart; a run of ten minutes is forgiven. A
//! good end is one that is stored. A pod whose images were changed is left out: what runs is started again at once from another
//! one, whatever its restart policy says. Catches: a back-off that is not kept; a restart policy that is not looked at.

use super::{Broken, Checker, by_its_clock};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Pod, RestartPolicy};
use miniku_core::api::text::Text;
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(300);
/// A run of this length is forgiven.
pub(super) const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Each container's ends.
#[derive(Default)]
pub struct Backoff {
    runs: BTreeMap<(Text, Text), Runs>,
    /// The pods that have named other images before, by uid.
    changed: BTreeSet<Text>,
}

#[derive(Default)]
struct Runs {
    node: Text,
    starts: u32,
    started: Instant,
    /// In a row, as its kubelet could count them.
    ends: u32,
    ended: Instant,
}

/// How long a container waits that has ended so often in a row.
pub(super) fn delay(ends: u32) -> Duration {
    match ends {
        0 | 1 => Duration::ZERO,
        ends => FIRST.saturating_mul(1 << (ends - 2).min(16)).min(MOST),
    }
}

fn names_other_images(old: &Pod, new: &Pod) -> bool {
    let images = |pod: &Pod| pod.spec.containers.iter().map(|one| one.image.clone()).collect::<Vec<Text>>();
    !Arc::ptr_eq(&old.spec, &new.spec) && images(old) != images(new)
}

fn is_given_up(pod: &Pod) -> bool {
    pod.status.conditions.iter().any(|one| one.kind == "DisruptionTarget" && one.reason == "DeletionByPodGC")
}

impl Checker for Backoff {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Died, Sight::Durable, Sight::Started, Sight::Ended]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Durable { change } => {
                let old = change.old.as_ref().and_then(Object::get::<Pod>);
                let new = change.new.as_ref().and_then(Object::get::<Pod>);
                if let (Some(old), Some(new)) = (old, new)
                    && names_other_images(old, new)
                {
                    self.changed.insert(new.metadata.uid.clone());
                }
                Ok(())
            }
            Fact::Started { node, process } => {
                let key = (process.pod.uid.clone(), process.container.clone());
                let runs = self.runs.entry(key).or_default();
                runs.node = (*node).into();
                runs.starts += 1;
                runs.started = truth.now;
                let Some(facts) = truth.pods.get(&process.pod.uid) else { return Ok(()) };
                let name = format!("{}/{}", process.pod.name, process.container);
                let broken = |what: String| Err(Broken::by(format!("{name} {what}")).with([&facts.last]));
                let policy = facts.pod().spec.restart_policy;
                let mut statuses = facts.pod().status.container_statuses.iter();
                let stored = statuses.find(|one| one.name == process.container);
                let ended_well =
                    stored.and_then(|one| one.state.terminated.as_ref()).is_some_and(|end| end.exit_code == 0);
                match policy {
                    _ if self.changed.contains(&process.pod.uid) => Ok(()),
                    RestartPolicy::Never if runs.starts > 1 => broken(format!("is started {} times", runs.starts)),
                    RestartPolicy::OnFailure if ended_well => broken("is started after a good end".into()),
                    // One that is given up takes the others with it, also those that are on their way.
                    _ if facts.pod().start_retries().is_some() && facts.pod().spec.containers.len() > 1 => Ok(()),
                    // The collector of pods says so of one whose node is gone; its kubelet may be only out of reach.
                    _ if is_given_up(facts.pod()) => Ok(()),
                    // So may that of one which others call finished and of which it has told nothing.
                    _ if runs.starts == 1 && stored.is_none_or(|one| one.state.terminated.is_none()) => Ok(()),
                    _ if facts.pod().status.phase.is_final() => broken("is started though its pod has finished".into()),
                    _ if truth.now.since(runs.ended) < by_its_clock(delay(runs.ends)) => {
                        let (waited, due) = (truth.now.since(runs.ended).as_millis(), delay(runs.ends).as_secs());
                        broken(format!("is started {waited} ms after end {} in a row, not {due} s", runs.ends))
                    }
                    _ => Ok(()),
                }
            }
            Fact::Ended { process, .. } => {
                let runs = self.runs.entry((process.pod.uid.clone(), process.container.clone())).or_default();
                let long = truth.now.since(runs.started) >= by_its_clock(FORGIVEN_AFTER);
                runs.ends = if long { 1 } else { runs.ends + 1 };
                runs.ended = truth.now;
                Ok(())
            }
            Fact::Died { who } if who.role == Role::Kubelet => {
                let node = who.name.trim_start_matches("kubelet/");
                for runs in self.runs.values_mut().filter(|runs| runs.node == node) {
                    runs.ends = 0;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
    use crate::runtime::Process;
    use miniku_core::kubelet::runtime::PodRef;

    fn run(story: &mut Story<Backoff>, name: &str) -> Result<(), Broken> {
        let pod = PodRef { uid: format!("{name}-uid").into(), namespace: "default".into(), name: name.into() };
        let process = Process { pod, container: "c".into(), attempt: 0, pid: 7 };
        story.see(Fact::Started { node: "n", process: &process })?;
        story.see(Fact::Ended { node: "n", process: &process, code: None })
    }

    #[test]
    fn fires_on_haste() {
        let mut story = Story::<Backoff>::new();
        story.put(pod("a", "n", "Running")).unwrap();
        for pause in [0, 10, 20] {
            run(&mut story, "a").unwrap();
            story.pass(pause).unwrap();
        }
        run(&mut story, "a").unwrap();
        story.pass(30).unwrap();
        assert!(run(&mut story, "a").unwrap_err().what.contains("not 40 s"));
    }

    #[test]
    fn a_clock_that_is_too_fast_is_no_haste() {
        let mut story = Story::<Backoff>::new();
        story.put(pod("a", "n", "Running")).unwrap();
        for pause in [0, 10, 20, 39, 77] {
            run(&mut story, "a").unwrap();
            story.pass(pause).unwrap();
        }
        run(&mut story, "a").unwrap();
    }

    #[test]
    fn fires_on_a_policy_that_is_not_kept() {
        let mut story = Story::<Backoff>::new();
        let mut once = pod("b", "n", "Running");
        once["spec"]["restartPolicy"] = "Never".into();
        story.put(once).unwrap();
        run(&mut story, "b").unwrap();
        story.pass(1_000).unwrap();
        assert!(run(&mut story, "b").unwrap_err().what.contains("2 times"));
    }

    #[test]
    fn another_image_is_started_whatever_the_policy() {
        let mut story = Story::<Backoff>::new();
        let mut once = pod("b", "n", "Running");
        once["spec"]["restartPolicy"] = "Never".into();
        story.put(once.clone()).unwrap();
        run(&mut story, "b").unwrap();
        once["spec"]["containers"] = serde_json::json!([{"name": "c", "image": "another"}]);
        story.put(once).unwrap();
        run(&mut story, "b").unwrap();
    }
}
