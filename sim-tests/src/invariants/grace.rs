//! S-grace: SIGTERM comes first, and SIGKILL no sooner than the pod's grace period after it; nor much later, while its node hears the API server; and who asks for the end of a pod within some time is not granted more, nor more than the pod's own time who names none, whatever was asked before.
//!
//! The period is the one of the pod's deletion, if that is shorter than its own; never less than two seconds, which is
//! also what is left to a pod whose record is gone. Catches: a kubelet that kills at once; one that does not
//! look at what a deletion says; a server that does not let a second deletion hasten the first, or does not look at what a
//! pod says of itself.

use super::{Broken, Checker, by_its_clock};
use crate::truth::{Fact, PodFacts, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::client::Deadlines;
use miniku_core::kubelet::runtime::Command;
use miniku_core::program::{Answer, RequestId, Verb};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Source: Kubernetes, `minimumGracePeriodInSeconds`.
const LEAST: Duration = Duration::from_secs(2);

/// So much later the kill may be: by a clock that is too slow, and on its way.
const SLACK: Duration = Duration::from_secs(15);
/// What a kubelet may need to hear of a deletion after its link has healed.
const NEWS: Duration = Duration::from_secs(75);

/// A container of a pod, by uid, name and attempt.
type Attempt = (Text, String, u32);

/// When each attempt of a container was asked to end.
#[derive(Default)]
pub struct Grace {
    asked: BTreeMap<Attempt, Instant>,
    /// Those that were not killed yet: when they should have been.
    due: Deadlines<Attempt>,
    /// Within how many seconds pods are asked to end, if that is named.
    within: BTreeMap<RequestId, Option<i64>>,
}

/// Requests whose answers are lost never close; so many are remembered.
const REMEMBERED: usize = 65_536;

impl Grace {
    fn late(&mut self, truth: &Truth, one: &Attempt) -> Result<(), Broken> {
        let (uid, container, attempt) = one;
        let Some(facts) = truth.pods.get(uid).filter(|facts| facts.removed.is_none()) else { return Ok(()) };
        let mut living = truth.processes_of(uid);
        let lives = living.find(|(_, process)| process.container == *container && process.attempt == *attempt);
        let Some((node, _)) = lives else { return Ok(()) };
        let patience = told(truth, uid) + SLACK;
        let in_touch = truth.nodes.get(node).and_then(|node| node.in_touch);
        if in_touch.is_some_and(|since| truth.now.since(since) > patience + NEWS) {
            let what = format!(
                "{}/{container} is not killed {} s after SIGTERM",
                facts.pod().metadata.name,
                patience.as_secs()
            );
            return Err(Broken::by(what).with([&facts.last]));
        }
        // It could not hear all of that time; so it has as much again.
        self.due.set(one.clone(), in_touch.unwrap_or(truth.now).max(truth.now) + patience + NEWS);
        Ok(())
    }
}

fn period(truth: &Truth, uid: &str) -> Duration {
    let Some(facts) = truth.pods.get(uid).filter(|facts| facts.removed.is_none()) else { return LEAST };
    let pod = facts.pod();
    let own = pod.grace_seconds();
    let seconds = pod.metadata.deletion_grace_period_seconds.map_or(own, |seconds| seconds.min(own));
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(LEAST)
}

/// The period that a kubelet goes by: the deletion's, even where it is longer.
fn told(truth: &Truth, uid: &str) -> Duration {
    let facts = truth.pods.get(uid).map(PodFacts::pod);
    let seconds = facts.map_or(0, |pod| pod.metadata.deletion_grace_period_seconds.unwrap_or(pod.grace_seconds()));
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(LEAST)
}

impl Checker for Grace {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered, Sight::Commanded, Sight::Durable, Sight::Time]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Commanded { command: Command::Terminate { pod, container, attempt }, .. } => {
                let one = (pod.uid.clone(), container.clone(), *attempt);
                self.due.set_if_absent(one.clone(), truth.now + told(truth, &pod.uid) + SLACK);
                self.asked.entry(one).or_insert(truth.now);
            }
            Fact::Commanded { command: Command::Kill { pod, container, attempt }, .. } => {
                let one = (pod.uid.clone(), container.clone(), *attempt);
                self.due.remove(&one);
                let asked = self.asked.get(&one);
                let had = asked.map(|asked| truth.now.since(*asked));
                let due = period(truth, &pod.uid);
                if had.is_none_or(|had| had < by_its_clock(due)) {
                    let had = had.map_or("nothing".into(), |had| format!("{} ms", had.as_millis()));
                    let what = format!("{}/{container} is killed after {had} of {} s", pod.name, due.as_secs());
                    return Err(Broken::by(what).with(truth.pods.get(&pod.uid).map(|facts| &facts.last)));
                }
            }
            Fact::Durable { change } if change.key.kind == Kind::Pod => {
                let grace =
                    |object: &Option<Object>| object.as_ref().and_then(|one| one.meta().deletion_grace_period_seconds);
                let Some(new) = change.new.as_ref().filter(|_| grace(&change.old) != grace(&change.new)) else {
                    return Ok(());
                };
                let uid = &new.meta().uid;
                let from = (uid.clone(), String::new(), 0);
                let asked = self.asked.range(from..).map(|(one, _)| one).take_while(|one| one.0 == *uid);
                for one in asked.filter(|one| self.due.get(one).is_some()).cloned().collect::<Vec<_>>() {
                    self.due.set(one, truth.now + told(truth, uid) + SLACK);
                }
            }
            Fact::Sent { id, request, .. } if !request.dry_run => {
                if let Verb::Delete { key, options } = &request.verb
                    && key.kind == Kind::Pod
                {
                    self.within.insert(*id, options.grace_seconds.map(|seconds| seconds.max(0)));
                    if self.within.len() > REMEMBERED {
                        self.within.pop_first();
                    }
                }
            }
            Fact::Answered { id, answer } => {
                let (Some(asked), Answer::Object { object, .. }) = (self.within.remove(id), answer) else {
                    return Ok(());
                };
                let Some(asked) = asked.or_else(|| object.get::<Pod>().map(Pod::grace_seconds)) else { return Ok(()) };
                if let Some(granted) = object.meta().deletion_grace_period_seconds.filter(|granted| *granted > asked) {
                    let what = format!("{} is to end within {asked} s, and is given {granted} s", object.key());
                    return Err(Broken::by(what).with([object]));
                }
            }
            Fact::Time => {
                while let Some(one) = self.due.pop_due(truth.now) {
                    self.late(truth, &one)?;
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
    use super::super::forged::{Story, pod, who};
    use super::*;
    use crate::truth::{NodeFacts, Role};
    use miniku_core::api::object::Key;
    use miniku_core::kubelet::runtime::PodRef;
    use miniku_core::program::DeleteOptions;

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

    #[test]
    fn fires_on_a_deletion_that_hastens_nothing() {
        let mut story = Story::<Grace>::new();
        let operator = who(Role::Operator, "operator");
        let key = Key::new(Kind::Pod, "default", "a");
        let named = [(5, 5, true), (30, 5, true), (0, 5, false), (3, 5, false)];
        let named = named.map(|(asked, granted, right)| (Some(asked), granted, right));
        let own = [(None, 4, true), (None, 10, true), (None, 30, false)];
        for (nth, (asked, granted, right)) in named.into_iter().chain(own).enumerate() {
            let nth = nth as u64;
            let options = DeleteOptions { grace_seconds: asked, ..Default::default() };
            story.asks(nth, &operator, Verb::Delete { key: key.clone(), options }).unwrap();
            let mut ending = pod("a", "n", "Running");
            ending["metadata"]["deletionGracePeriodSeconds"] = granted.into();
            ending["spec"]["terminationGracePeriodSeconds"] = 10.into();
            let answer = Answer::Object { object: crate::plan::object(ending), created: false };
            assert_eq!(story.answers(nth, &answer).is_ok(), right, "{asked:?}");
        }
    }

    #[test]
    fn fires_when_the_kill_does_not_come() {
        let mut story = Story::<Grace>::new();
        story.put(pod("a", "n", "Running")).unwrap();
        let of = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
        let process = crate::runtime::Process { pod: of.clone(), container: "c".into(), attempt: 0, pid: 7 };
        story.truth.nodes.insert("n".into(), NodeFacts { up: true, in_touch: Some(Instant::default()) });
        story.pass(100).unwrap();
        story.truth.started(&"n".into(), &process);
        let terminate = Command::Terminate { pod: of, container: "c".into(), attempt: 0 };
        story.see(Fact::Commanded { node: "n", command: &terminate }).unwrap();
        story.pass(44).unwrap();
        assert_eq!(story.pass(1).unwrap_err().what, "a/c is not killed 45 s after SIGTERM");
    }
}
