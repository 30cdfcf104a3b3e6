//! L-restart: A container that has ended, and that its pod's restart policy wants to run, runs again within forty seconds after its back-off, while its node is well.
//!
//! Well is who has been in touch with the API server, and on a machine without trouble, from a minute before the end on: so
//! its kubelet knew both what should run and what did. All ends in a row are counted, also those that a kubelet forgets when
//! it is started anew; and one more on a node that has lost power, whose kubelet counts whatever ran there then, or was
//! about to. Pods whose starts are limited may be given up, and are left out.
//! Catches: of several times at which a kubelet has to look at a pod, one that is forgotten for another.

use super::backoff::{FORGIVEN_AFTER, delay};
use super::{Broken, Checker, by_a_slow_clock};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::pod::{Pod, RestartPolicy};
use miniku_core::api::text::Text;
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long it may take beside the back-off: a sandbox to remove and another to make, and a slow start.
const BOUND: Duration = Duration::from_secs(40);
/// How long before the end its node has been well: longer than a kubelet may take to know all of its pods.
const KNOWN: Duration = Duration::from_secs(60);

/// A pod by its uid, and one of its containers.
type One = (Text, Text);

/// The containers that have ended and are to run again.
#[derive(Default)]
pub struct Restart {
    runs: BTreeMap<One, Runs>,
    due: BTreeSet<(Instant, One)>,
    /// The nodes that have lost power.
    crashed: BTreeSet<Arc<str>>,
}

#[derive(Default)]
struct Runs {
    /// In a row.
    ends: u32,
    started: Instant,
    ended: Instant,
    /// How it ended, if by itself.
    code: Option<i32>,
    /// When it has to run again, if it does not.
    due: Option<Instant>,
}

/// Whether a container that ended like this is to run again.
fn runs_again(pod: &Pod, code: Option<i32>) -> bool {
    let wanted = match pod.spec.restart_policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => code.is_some_and(|code| code != 0),
        RestartPolicy::Never => false,
    };
    wanted && pod.is_active() && pod.start_retries().is_none()
}

impl Restart {
    fn ended(&mut self, now: Instant, node: &str, one: One, code: Option<i32>) {
        let unseen = u32::from(self.crashed.contains(node));
        let runs = self.runs.entry(one.clone()).or_default();
        let is_forgiven = runs.ends > 0 && now.since(runs.started) >= by_a_slow_clock(FORGIVEN_AFTER);
        runs.ends = if is_forgiven { 1 } else { runs.ends.saturating_add(1) };
        (runs.ended, runs.code) = (now, code);
        let due = now + by_a_slow_clock(delay(runs.ends.saturating_add(unseen))) + BOUND;
        if let Some(before) = runs.due.replace(due) {
            self.due.remove(&(before, one.clone()));
        }
        self.due.insert((due, one));
    }

    fn overdue(&mut self, truth: &Truth) -> Result<(), Broken> {
        while self.due.first().is_some_and(|(at, _)| *at <= truth.now)
            && let Some((_, one)) = self.due.pop_first()
        {
            let Some(runs) = self.runs.get_mut(&one) else { continue };
            runs.due = None;
            let Some(facts) = truth.pods.get(&one.0).filter(|facts| facts.removed.is_none()) else {
                self.runs.remove(&one);
                continue;
            };
            let in_touch = facts.pod().node().and_then(|node| truth.nodes.get(node)?.in_touch);
            if runs_again(facts.pod(), runs.code) && in_touch.is_some_and(|since| since + KNOWN <= runs.ended) {
                let (name, secs) = (&facts.pod().metadata.name, truth.now.since(runs.ended).as_secs());
                let what = format!("{name}/{} does not run {secs} s after end {} in a row", one.1, runs.ends);
                return Err(Broken::by(what).with([&facts.last]));
            }
        }
        Ok(())
    }
}

impl Checker for Restart {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Started, Sight::Ended, Sight::Weather, Sight::Time]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Started { process, .. } => {
                let one = (process.pod.uid.clone(), process.container.clone());
                if let Some(runs) = self.runs.get_mut(&one) {
                    runs.started = truth.now;
                    if let Some(due) = runs.due.take() {
                        self.due.remove(&(due, one));
                    }
                }
            }
            Fact::Ended { node, process, code } => {
                let facts = truth.pods.get(&process.pod.uid);
                if facts.is_some_and(|facts| runs_again(facts.pod(), *code)) {
                    self.ended(truth.now, node, (process.pod.uid.clone(), process.container.clone()), *code);
                }
            }
            Fact::Weather => {
                let down = truth.nodes.iter().filter(|(_, facts)| !facts.up);
                self.crashed.extend(down.map(|(node, _)| node.clone()));
            }
            Fact::Time => return self.overdue(truth),
            _ => {}
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
    use crate::runtime::Process;
    use crate::truth::NodeFacts;
    use miniku_core::kubelet::runtime::PodRef;
    use serde_json::json;

    fn process() -> Process {
        let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        Process { pod, container: "c".into(), attempt: 0, pid: 7 }
    }

    /// A pod like this, whose node has been in touch since this second.
    fn story(policy: &str, in_touch: u64) -> Story<Restart> {
        let mut story = Story::<Restart>::new();
        let since = Instant::default() + Duration::from_secs(in_touch);
        story.truth.nodes.insert("n".into(), NodeFacts { up: true, in_touch: Some(since) });
        let mut pod = pod("a", "n", "Running");
        pod["spec"]["restartPolicy"] = policy.into();
        story.put(pod).unwrap();
        story.pass(100).unwrap();
        story
    }

    fn ends(story: &mut Story<Restart>, code: i32) {
        story.see(Fact::Ended { node: "n", process: &process(), code: Some(code) }).unwrap();
    }

    #[test]
    fn fires_on_who_is_not_started_again() {
        for (policy, code, in_touch, fires) in [
            ("Always", 0, 0, true),
            ("Always", 0, 50, false),
            ("OnFailure", 1, 0, true),
            ("OnFailure", 0, 0, false),
            ("Never", 1, 0, false),
        ] {
            let mut story = story(policy, in_touch);
            ends(&mut story, code);
            story.pass(39).unwrap();
            assert_eq!(story.pass(2).is_err(), fires, "{policy} {code} {in_touch}");
        }
    }

    #[test]
    fn the_back_off_is_its_time_and_a_start_ends_it() {
        let mut story = story("Always", 0);
        // At once, and then after 10 and 20 s.
        for waits in [0, 10, 20] {
            ends(&mut story, 1);
            story.pass(waits + 30).unwrap();
            story.see(Fact::Started { node: "n", process: &process() }).unwrap();
            story.pass(100).unwrap();
        }
        ends(&mut story, 1);
        story.pass(80).unwrap();
        let broken = story.pass(5).unwrap_err();
        assert_eq!(broken.what, "a/c does not run 85 s after end 4 in a row");
    }

    #[test]
    fn who_has_lost_power_may_count_one_end_more() {
        for crashes in [false, true] {
            let mut story = story("OnFailure", 0);
            if crashes {
                story.truth.nodes.get_mut("n").unwrap().up = false;
                story.see(Fact::Weather).unwrap();
                story.truth.nodes.get_mut("n").unwrap().up = true;
            }
            ends(&mut story, 1);
            assert_eq!(story.pass(45).is_err(), !crashes);
            assert_eq!(story.pass(10).is_err(), crashes);
        }
    }

    #[test]
    fn says_nothing_of_a_pod_that_goes() {
        let mut story = story("Always", 0);
        ends(&mut story, 1);
        let mut going = pod("a", "n", "Running");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:02:00Z");
        story.put(going).unwrap();
        story.pass(100).unwrap();
    }
}
