//! S-status: What a pod's status tells of a container was seen of a process of this very pod, with the exit code that it had. The pod is called ready only if all of its containers are, and they run, or did a moment ago. It is called Running when all of them have run, and has Succeeded only if all ended well, or Failed when none runs any more. A kubelet that has seen an attempt end and starts the next one tells how it had ended, and one that starts itself still does. That somebody made the pod go is told as long as it is there, unless it has lived on for two minutes since that was said last.
//!
//! One whose start was given up fails at once, and the others of its pod are stopped then; so does one that nobody looks
//! after any more.
//! Catches: a status that is written to a successor of the same name; a container that is called ready too early; one who
//! writes his own words over those of others; a pod of several containers that is judged by one.

use super::{Broken, Checker, by_its_clock};
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::object::Object;
use miniku_core::api::pod::{ContainerStatus, Pod, PodCondition, PodPhase};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, Input, Part, Verb, WatchEvent};
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A status may be on its way for a request's time-out.
const NEWS: Duration = Duration::from_secs(75);
/// Who was made to go, and has not gone after so long, may be told that it stays. Source: `stalePodDisruptionTimeout`.
const STALE: Duration = Duration::from_secs(120);

/// What a pod says of why it was made to go, if it says that it was.
fn why_it_goes(pod: &Pod) -> Option<&PodCondition> {
    pod.status.conditions.iter().find(|one| one.kind == "DisruptionTarget" && one.status == "True")
}

/// Whether a pod says that it stays, though it was made to go.
fn stays(pod: &Pod) -> bool {
    pod.status.conditions.iter().any(|one| one.kind == "DisruptionTarget" && one.status == "False")
}

/// Of each container, its latest attempt that ran.
#[derive(Default)]
pub struct Status {
    ran: BTreeMap<(Text, Text), Ran>,
    /// How often the kubelet of each node has died.
    deaths: BTreeMap<Text, u32>,
    /// Since when pods say that they were made to go, as they say it now, by uid.
    going: BTreeMap<Text, Instant>,
    /// The pods that each kubelet has heard of in this life of it.
    known: BTreeMap<Arc<str>, (u32, BTreeSet<Text>)>,
    /// What kubelets found of pods when they started, by uid, until they tell of these pods themselves.
    found: BTreeMap<Text, Found>,
}

/// What a kubelet has found of a pod.
struct Found {
    by: Who,
    /// Of which attempts of which containers it is told how the attempt before had ended.
    ended: Vec<(Text, i32)>,
}

fn ended_before(pod: &Pod) -> Vec<(Text, i32)> {
    let ended = pod.status.container_statuses.iter().filter(|one| one.last_state.terminated.is_some());
    ended.map(|one| (one.name.clone(), one.restart_count)).collect()
}

impl Status {
    /// A kubelet hears of a pod.
    fn finds(&mut self, who: &Who, pod: &Pod) {
        let (life, known) = self.known.entry(who.name.clone()).or_default();
        if *life != who.life {
            (*life, *known) = (who.life, BTreeSet::new());
        }
        let (uid, ended) = (&pod.metadata.uid, ended_before(pod));
        if known.insert(uid.clone()) {
            self.found.insert(uid.clone(), Found { by: who.clone(), ended });
        } else if let Some(found) = self.found.get_mut(uid) {
            // A former life's last word may have been on its way still.
            found.ended.retain(|one| ended.contains(one));
        }
    }

    fn hears(&mut self, who: &Who, input: &Input) {
        match input {
            Input::Reply { answer: Answer::List { items, .. }, .. } => {
                items.iter().filter_map(Object::get::<Pod>).for_each(|pod| self.finds(who, pod));
            }
            Input::Event { event: WatchEvent::Added(object) | WatchEvent::Modified(object), .. } => {
                object.get::<Pod>().into_iter().for_each(|pod| self.finds(who, pod));
            }
            _ => {}
        }
    }

    fn tells(&mut self, who: &Who, verb: &Verb) -> Result<(), Broken> {
        let Verb::Update { object, part: Part::Status } = verb else { return Ok(()) };
        let Some(pod) = object.get::<Pod>() else { return Ok(()) };
        let found = self.found.remove(&pod.metadata.uid).filter(|found| found.by == *who);
        let Some(found) = found else { return Ok(()) };
        let is_lost = |one: &&ContainerStatus| {
            let same = |(name, count): &(Text, i32)| *name == one.name && *count == one.restart_count;
            one.last_state.terminated.is_none() && found.ended.iter().any(same)
        };
        match pod.status.container_statuses.iter().find(is_lost) {
            Some(one) => {
                let what = format!("{}/{} had ended before, and that is told no more", pod.metadata.name, one.name);
                Err(Broken::by(what).with([object]))
            }
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
struct Ran {
    attempt: u32,
    ended: Option<Instant>,
    code: Option<i32>,
    /// How often its kubelet had died when it was started.
    deaths: u32,
    /// With what the attempt before has ended, if it was started and has ended in the same life of the kubelet.
    before: Option<Option<i32>>,
}

impl Ran {
    /// What is wrong with what is told of the attempt before.
    fn followed_otherwise(&self, told: &ContainerStatus) -> Option<String> {
        let before = self.before?;
        let Some(last) = &told.last_state.terminated else {
            return Some("nothing is told of how it had ended before".into());
        };
        let code = before.filter(|code| last.reason != UNKNOWN && *code != last.exit_code)?;
        Some(format!("it had ended with {code} before, and is told to have ended with {}", last.exit_code))
    }
}

/// How it ended nobody could find out.
const UNKNOWN: &str = "ContainerStatusUnknown";

fn seen(one: &ContainerStatus) -> bool {
    let ended = one.state.terminated.as_ref().is_some_and(|end| end.reason != UNKNOWN);
    one.state.running.is_some() || ended
}

impl Checker for Status {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Started, Sight::Ended, Sight::Heard, Sight::Sent, Sight::Died]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::Kubelet => self.hears(who, input),
            Fact::Sent { who, request, .. } if who.role == Role::Kubelet => return self.tells(who, &request.verb),
            Fact::Died { who } if who.role == Role::Kubelet => {
                *self.deaths.entry(who.name.trim_start_matches("kubelet/").into()).or_default() += 1;
            }
            Fact::Started { node, process } => {
                let key = (process.pod.uid.clone(), process.container.clone());
                let (attempt, deaths) = (process.attempt, self.deaths.get(&Text::from(*node)).copied().unwrap_or(0));
                let follows = |ran: &&Ran| ran.attempt + 1 == attempt && ran.deaths == deaths && ran.ended.is_some();
                let before = self.ran.get(&key).filter(follows).map(|ran| ran.code);
                self.ran.insert(key, Ran { attempt, ended: None, code: None, deaths, before });
            }
            Fact::Ended { process, code, .. } => {
                let key = (process.pod.uid.clone(), process.container.clone());
                let started = self.ran.get(&key).filter(|ran| ran.attempt == process.attempt);
                let (deaths, before) = started.map_or((0, None), |ran| (ran.deaths, ran.before));
                let (attempt, ended) = (process.attempt, Some(truth.now));
                self.ran.insert(key, Ran { attempt, ended, code: *code, deaths, before });
            }
            Fact::Durable { change } => {
                let old = change.old.as_ref().and_then(Object::get::<Pod>);
                let new = change.new.as_ref().and_then(Object::get::<Pod>);
                if let (Some(old), Some(new)) = (old, new)
                    && old.status != new.status
                {
                    let judged = self.keeps_disruption(truth.now, old, new);
                    let judged = judged.and_then(|()| self.saw_containers(new));
                    let judged = judged.and_then(|()| self.is_in_phase(old, new));
                    let judged = judged.and_then(|()| self.is_ready(truth.now, old, new));
                    return judged.map_err(|what| Broken::by(what).with(change.old.iter().chain(&change.new)));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a pod's status says, as somebody has just written it.
impl Status {
    /// The latest attempt of a container that ran.
    fn ran(&self, pod: &Pod, container: &Text) -> Option<&Ran> {
        self.ran.get(&(pod.metadata.uid.clone(), container.clone()))
    }

    /// Whether it is still told that the pod was made to go, if it was.
    fn keeps_disruption(&mut self, now: Instant, old: &Pod, pod: &Pod) -> Result<(), String> {
        let uid = &pod.metadata.uid;
        match (why_it_goes(old).filter(|_| old.metadata.uid == *uid), why_it_goes(pod)) {
            (Some(_), None) => {
                let since = self.going.remove(uid);
                let long = since.is_some_and(|since| now.since(since) >= by_its_clock(STALE));
                if !long || !old.is_active() || !stays(pod) {
                    return Err(format!("{} was made to go, and that is told no more", pod.metadata.name));
                }
            }
            (before, is) if before != is => drop(self.going.insert(uid.clone(), now)),
            _ => {}
        }
        Ok(())
    }

    /// Whether all that is told of containers was seen.
    fn saw_containers(&self, pod: &Pod) -> Result<(), String> {
        let name = &pod.metadata.name;
        let deaths = pod.node().and_then(|node| self.deaths.get(&Text::from(node))).copied().unwrap_or(0);
        for one in pod.status.container_statuses.iter().filter(|one| seen(one)) {
            let attempt = u32::try_from(one.restart_count).unwrap_or(0);
            let ran = self.ran(pod, &one.name);
            if ran.is_none_or(|ran| ran.attempt < attempt) {
                return Err(format!("{name}/{} is told of, and never ran so often", one.name));
            }
            let ran = ran.filter(|ran| ran.attempt == attempt);
            let of_this_life = ran.filter(|ran| ran.deaths == deaths);
            if let Some(otherwise) = of_this_life.and_then(|ran| ran.followed_otherwise(one)) {
                return Err(format!("{name}/{}: {otherwise}", one.name));
            }
            let really = ran.and_then(|ran| ran.code);
            let told = one.state.terminated.as_ref().map(|end| end.exit_code);
            if let (Some(really), Some(told)) = (really, told)
                && really != told
            {
                let container = &one.name;
                return Err(format!("{name}/{container} ended with {really}, and is told to have ended with {told}"));
            }
        }
        Ok(())
    }

    /// Whether its containers are as it says by its phase, if that is another than before.
    fn is_in_phase(&self, old: &Pod, pod: &Pod) -> Result<(), String> {
        let (name, statuses) = (&pod.metadata.name, &pod.status.container_statuses);
        let is = |phase: PodPhase| pod.status.phase == phase && old.status.phase != phase;
        if is(PodPhase::Succeeded) {
            let well = |name: &Text| self.ran(pod, name).is_some_and(|ran| ran.code == Some(0));
            if let Some(container) = pod.spec.containers.iter().find(|container| !well(&container.name)) {
                return Err(format!("{name} has Succeeded, {} has not", container.name));
            }
        }
        let never_ran = |one: &&ContainerStatus| {
            one.state.waiting.is_some() && one.last_state.terminated.is_none() && one.restart_count == 0
        };
        if is(PodPhase::Running)
            && let Some(one) = statuses.iter().find(never_ran)
        {
            return Err(format!("{name} is called Running, {} never ran", one.name));
        }
        let given_up = pod.start_retries().is_some() || why_it_goes(pod).is_some();
        if is(PodPhase::Failed)
            && !given_up
            && let Some(one) = statuses.iter().find(|one| one.state.running.is_some())
        {
            return Err(format!("{name} has Failed, {} runs", one.name));
        }
        Ok(())
    }

    /// Whether all of its containers are ready if it is, and run if it has become so.
    fn is_ready(&self, now: Instant, old: &Pod, pod: &Pod) -> Result<(), String> {
        if !pod.is_ready() {
            return Ok(());
        }
        let name = &pod.metadata.name;
        if let Some(one) = pod.status.container_statuses.iter().find(|one| !one.ready) {
            return Err(format!("{name} is ready, {} is not", one.name));
        }
        if old.is_ready() {
            return Ok(());
        }
        let runs = |container: &Text| match self.ran(pod, container).map(|ran| ran.ended) {
            Some(None) => true,
            Some(Some(ended)) => now.since(ended) < NEWS,
            None => false,
        };
        match pod.spec.containers.iter().find(|container| !runs(&container.name)) {
            Some(container) => Err(format!("{name} is ready, {} does not run", container.name)),
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
    use miniku_core::program::CallId;
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

    #[test]
    fn fires_when_a_kubelet_forgets_how_the_attempt_before_had_ended() {
        let told = |restarts: i32, last: Value| {
            with(
                json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": restarts, "ready": true,
                "state": {"running": {}}, "lastState": last, "image": "", "imageID": ""}]}),
            )
        };
        let ended = || json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        let tells = |late: Option<Value>, says: Value| {
            let (mut story, kubelet) = (Story::<Status>::new(), who(Role::Kubelet, "kubelet/n"));
            let change = story.put(told(1, ended())).unwrap();
            let answer = Answer::List { revision: change.revision, items: change.new.into_iter().collect() };
            story.steps(&kubelet, Input::Reply { call: CallId(1), answer }).unwrap();
            if let Some(late) = late {
                let event = WatchEvent::Modified(crate::plan::object(late));
                story.hears(&kubelet, event).unwrap();
            }
            let sent = story.sends(&kubelet, Verb::Update { object: crate::plan::object(says), part: Part::Status });
            sent.map_err(|broken| broken.what)
        };
        tells(None, told(1, ended())).unwrap();
        assert_eq!(tells(None, told(1, json!({}))), Err("a/c had ended before, and that is told no more".into()));
        tells(None, told(2, json!({}))).expect("it is another attempt");
        tells(Some(told(1, json!({}))), told(1, json!({}))).expect("it found another word");
    }

    #[test]
    fn fires_when_nothing_is_told_of_the_attempt_before() {
        let told = |dies: bool, last: Value| {
            let mut story = Story::<Status>::new();
            story.put(pod("a", "n", "Running")).unwrap();
            let of = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
            for attempt in [0, 1] {
                let process = Process { pod: of.clone(), container: "c".into(), attempt, pid: 7 };
                story.see(Fact::Started { node: "n", process: &process }).unwrap();
                if attempt == 0 {
                    story.see(Fact::Ended { node: "n", process: &process, code: Some(3) }).unwrap();
                }
            }
            if dies {
                story.see(Fact::Died { who: &who(Role::Kubelet, "kubelet/n") }).unwrap();
            }
            let runs = json!([{"name": "c", "restartCount": 1, "ready": true, "state": {"running": {}},
                "lastState": last, "image": "", "imageID": ""}]);
            let put = story.put(with(json!({"phase": "Running", "containerStatuses": runs})));
            put.err().map(|broken| broken.what).unwrap_or_default()
        };
        let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
        assert_eq!(told(false, json!({})), "a/c: nothing is told of how it had ended before");
        assert_eq!(told(false, ended(3, "Error")), "");
        let otherwise = "a/c: it had ended with 3 before, and is told to have ended with 4";
        assert_eq!(told(false, ended(4, "Error")), otherwise);
        assert_eq!(told(false, ended(137, "ContainerStatusUnknown")), "", "nobody found out");
        assert_eq!(told(true, json!({})), "", "another life says it");
    }

    #[test]
    fn fires_on_an_end_that_was_another() {
        let ended = |phase: &str, told: i32, really: i32| {
            let mut story = Story::<Status>::new();
            story.put(pod("a", "n", "Running"))?;
            let pod = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
            let process = Process { pod, container: "c".into(), attempt: 0, pid: 7 };
            story.see(Fact::Started { node: "n", process: &process })?;
            story.see(Fact::Ended { node: "n", process: &process, code: Some(really) })?;
            let end = json!({"terminated": {"exitCode": told, "reason": "Completed"}});
            story.put(with(
                json!({"phase": phase, "containerStatuses": [{"name": "c", "restartCount": 0, "ready": false,
                "state": end, "lastState": {}, "image": "", "imageID": ""}]}),
            ))
        };
        ended("Succeeded", 0, 0).unwrap();
        ended("Failed", 3, 3).unwrap();
        assert_eq!(ended("Failed", 1, 3).unwrap_err().what, "a/c ended with 3, and is told to have ended with 1");
        assert_eq!(ended("Succeeded", 3, 3).unwrap_err().what, "a has Succeeded, c has not");
    }

    #[test]
    fn fires_on_a_pod_that_is_judged_by_one_of_its_containers() {
        let told = |phase: &str, ready: bool, second: Value| {
            let mut story = Story::<Status>::new();
            let one = |name: &str, ready: bool, state: Value| {
                json!({"name": name, "restartCount": 0, "ready": ready, "state": state, "lastState": {}, "image": "",
                    "imageID": ""})
            };
            let both = |phase: &str, status: Value| {
                let mut pod = pod("a", "n", phase);
                pod["spec"]["containers"] =
                    json!([{"name": "c", "image": "busybox"}, {"name": "d", "image": "busybox"}]);
                pod["status"] = status;
                pod
            };
            story.put(both("Pending", json!({"phase": "Pending"})))?;
            let of = PodRef { uid: "a-uid".into(), namespace: "default".into(), name: "a".into() };
            let containers = if second["waiting"].is_null() { &["c", "d"][..] } else { &["c"] };
            for name in containers {
                let process = Process { pod: of.clone(), container: (*name).into(), attempt: 0, pid: 7 };
                story.see(Fact::Started { node: "n", process: &process })?;
            }
            let runs = json!({"running": {}});
            let is_second = second == runs;
            let status = json!({"phase": phase, "containerStatuses": [one("c", true, runs), one("d", is_second, second)],
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]});
            story.put(both(phase, status)).map(drop)
        };
        let what = |phase, ready, second| told(phase, ready, second).unwrap_err().what;
        told("Running", true, json!({"running": {}})).unwrap();
        let ended = || json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        told("Running", false, ended()).unwrap();
        assert_eq!(what("Running", true, ended()), "a is ready, d is not");
        assert_eq!(what("Running", false, json!({"waiting": {}})), "a is called Running, d never ran");
        assert_eq!(what("Failed", false, ended()), "a has Failed, c runs");
    }

    #[test]
    fn fires_on_words_of_others_that_are_lost() {
        let going = |says: &str| with(json!({"phase": "Running", "conditions": [{"type": says, "status": "True"}]}));
        let mut story = Story::<Status>::new();
        story.put(going("Initialized")).unwrap();
        story.put(going("DisruptionTarget")).unwrap();
        story.put(going("DisruptionTarget")).unwrap();
        assert!(story.put(going("Initialized")).unwrap_err().what.contains("that is told no more"));
    }

    #[test]
    fn who_lives_on_for_long_may_be_told_that_it_stays() {
        let is_told = |phase: &str, secs: u64, says: Value| {
            let told = |says: Value| with(json!({"phase": phase, "conditions": says}));
            let mut story = Story::<Status>::new();
            story.put(pod("a", "n", "Running")).unwrap();
            story.put(told(json!([{"type": "DisruptionTarget", "status": "True"}]))).unwrap();
            story.pass(secs).unwrap();
            story.put(told(says)).is_ok()
        };
        let stays = || json!([{"type": "DisruptionTarget", "status": "False"}]);
        assert!(is_told("Running", 120, stays()));
        assert!(!is_told("Running", 110, stays()), "its deletion may be on its way");
        assert!(!is_told("Running", 120, json!([])), "somebody else's words are lost");
        assert!(!is_told("Failed", 120, stays()), "it has ended, as it was made to");
    }

    #[test]
    fn who_is_made_to_go_anew_is_told_for_as_long_again() {
        let told = |reason: &str, status: &str| {
            let goes = json!({"type": "DisruptionTarget", "status": status, "reason": reason});
            with(json!({"phase": "Running", "conditions": [goes]}))
        };
        let is_right = |again: &str| {
            let mut story = Story::<Status>::new();
            story.put(pod("a", "n", "Running")).unwrap();
            story.put(told("DeletionByTaintManager", "True")).unwrap();
            story.pass(100).unwrap();
            story.put(told(again, "True")).unwrap();
            story.pass(20).unwrap();
            story.put(told(again, "False")).is_ok()
        };
        assert!(is_right("DeletionByTaintManager"));
        assert!(!is_right("PreemptionByScheduler"));
    }
}
