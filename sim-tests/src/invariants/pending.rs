//! L-sched: A pod that some node takes, as far as the scheduler was told, is bound or being bound within a minute, while the scheduler is well. Meanwhile the node is not given to a less important one, nor to a younger one that is as important before the older was looked at. Room that is kept for a pod for which others go is not given away, and nobody waits for that of a node that is gone. No pod comes to a node where it had rather not be, nor to pods that it had rather be away from, while another node takes it. Nobody is made to go for it in vain, or where less important or younger ones would do, or against a budget where others would do.
//!
//! Well is who runs at its pace, with a good way to a running API server. Room that a bind was asked for counts as taken
//! as long as it may be reserved, whatever came of the bind; and so does what is kept for a pod for which others leave, for
//! those who are no more important. Blamed is only what the store shows as well. Pods that name a profile are left out.
//! Catches: room that is not given back; a pod that hears of it only when everything is looked at again; priorities
//! upside down; more victims than are needed, or others; budgets that are not looked at.

mod kept;
mod order;
mod preferences;
mod room;
mod victims;
mod waiting;

use super::each::Each;
use super::wants::{Wants as Amounts, wants as amounts};
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::by_key::{ByKey, Keys};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, Input, Part, Verb, WatchEvent};
use miniku_core::scheduler::program::DEFAULT_SCHEDULER;
use miniku_core::time::{Duration, Instant};
use room::{placed, plus};
use std::collections::BTreeMap;

/// How long a pod may wait without anything being done about it: longer than a call may take with the delay after it.
const BOUND: Duration = Duration::from_secs(60);
/// How often pods are looked at.
const EVERY: Duration = Duration::from_secs(20);
/// The room of a bind that may still arrive is kept for five minutes after it was given up, which takes a few tries.
pub(super) const RESERVED: Duration = Duration::from_secs(400);
/// So many waiting pods are looked at, since each costs a look at each node.
const LOOKED_AT: usize = 100;

/// One for each scheduler.
pub type Pendings = Each<Pending>;

/// Who of the pods that a scheduler was told of waits, and what it has asked for.
#[derive(Default)]
pub struct Pending {
    /// The scheduler, since it has heard something.
    who: Option<Who>,
    /// The pods that wait, the least important first: how important each is, and when it was made.
    waiting: BTreeMap<(i32, Key), Option<Time>>,
    /// How important these are, and those that wait for a node by another profile.
    importance: BTreeMap<Key, i32>,
    /// For which node others have gone, as the status of a pod that waits says, which a former life may have written.
    nominated: BTreeMap<Key, Text>,
    /// The same, as the status said already when the scheduler's present life heard of the pod for the first time, and says
    /// still: as long as nothing else is said or asked.
    taken_in: BTreeMap<Key, Text>,
    /// The binds that were asked for, by pod and node, and that the view does not show: for how much.
    binds: BTreeMap<(Key, String), Amounts>,
    /// For which node others go, or have gone, as the scheduler has said of each pod, with its uid.
    expected: BTreeMap<Key, (Text, String)>,
    /// Who is told in this step that it has to go for another, and from where.
    condemned: Vec<(Key, String)>,
    /// When something was asked about a pod last.
    asked: ByKey<Instant>,
    /// Of which waiting pods the scheduler's present life has said or asked anything.
    tried: Keys,
    /// Since when each pod waits though a node takes it.
    since: BTreeMap<Key, (String, Instant)>,
    /// Since when each pod waits for a node that is gone.
    in_vain: BTreeMap<Key, (Text, Instant)>,
    look_at: Option<Instant>,
}

/// Whether the pod waits for a node, from whatever scheduler.
fn is_unbound(pod: &Pod) -> bool {
    pod.node().is_none() && pod.is_active() && pod.spec.scheduling_gates.is_empty()
}

/// Whether the pod waits for a node from this scheduler, by its usual profile.
fn waits(pod: &Pod) -> bool {
    let by = pod.spec.scheduler_name.as_str();
    is_unbound(pod) && (by.is_empty() || by == DEFAULT_SCHEDULER)
}

/// How important a pod is.
fn priority(pod: &Pod) -> i32 {
    pod.spec.priority.unwrap_or(0)
}

impl Pending {
    /// Takes in what the scheduler is told of pods.
    fn hear(&mut self, truth: &Truth, told: Told<'_>, input: &Input) {
        let news: &[Object] = match input {
            Input::Reply { answer: Answer::List { items, .. }, .. } => items,
            Input::Event {
                event: WatchEvent::Added(one) | WatchEvent::Modified(one) | WatchEvent::Deleted(one),
                ..
            } => std::slice::from_ref(one),
            _ => return,
        };
        for key in news.iter().filter(|one| one.kind() == Kind::Pod).map(Object::key) {
            let before = self.importance.remove(&key);
            if let Some(before) = before {
                self.waiting.remove(&(before, key.clone()));
                self.nominated.remove(&key);
            }
            let pod = told.object(&key).and_then(Object::get::<Pod>);
            if pod.is_none_or(|pod| pod.node().is_some()) {
                // It counts where it is, and nowhere else.
                let ended: Vec<String> = self.asked_nodes(&key).map(str::to_owned).collect();
                for node in ended {
                    self.binds.remove(&(key.clone(), node));
                }
            }
            // Others may go for those of other profiles, too.
            let has_profile = |pod: &Pod| truth.settings.profiles.contains_key(&pod.spec.scheduler_name);
            let pod = pod.filter(|pod| waits(pod) || is_unbound(pod) && has_profile(pod));
            // For another one of its name nobody has gone.
            let is_other = |pod: &Pod| self.expected.get(&key).is_some_and(|(uid, _)| *uid != pod.metadata.uid);
            if pod.is_none_or(is_other) {
                self.expected.remove(&key);
            }
            if pod.is_none() {
                self.tried.remove(&key);
            }
            let says = pod.map(|pod| pod.status.nominated_node_name.clone()).filter(|node| !node.is_empty());
            match says {
                Some(node) if before.is_none() => drop(self.taken_in.insert(key.clone(), node)),
                says if self.taken_in.get(&key) != says.as_ref() => drop(self.taken_in.remove(&key)),
                _ => {}
            }
            if let Some(pod) = pod {
                self.importance.insert(key.clone(), priority(pod));
                if !pod.status.nominated_node_name.is_empty() {
                    self.nominated.insert(key.clone(), pod.status.nominated_node_name.clone());
                }
                if waits(pod) {
                    self.waiting.insert((priority(pod), key), pod.metadata.creation_timestamp);
                }
            }
        }
    }

    /// What the pods of each node request as far as the scheduler was told, those that it has asked to bind included.
    fn used(&mut self, truth: &Truth, told: Told<'_>) -> BTreeMap<Text, Amounts> {
        self.asked.retain(|_, at| truth.now.since(*at) < RESERVED);
        self.binds.retain(|(pod, _), _| self.asked.contains_key(pod));
        let mut used: BTreeMap<Text, Amounts> = BTreeMap::new();
        let mut add = |node: &str, amount: Amounts| {
            let sum = used.entry(node.into()).or_default();
            *sum = plus(*sum, amount);
        };
        placed(told).for_each(|(node, pod)| add(node, amounts(pod)));
        self.binds.iter().for_each(|((_, node), amount)| add(node, *amount));
        used
    }

    /// The nodes for which a pod's bind was asked for, and that the view does not show.
    fn asked_nodes(&self, key: &Key) -> impl Iterator<Item = &str> {
        let from = (key.clone(), String::new());
        let binds = self.binds.range(from..).map(|(of, _)| of).take_while(move |(pod, _)| pod == key);
        binds.map(|(_, node)| node.as_str())
    }

    /// A pod that waits without anything being done about it, as the scheduler was told and as it is.
    fn idle<'a>(&self, truth: &'a Truth, told: Told<'_>, key: &Key) -> Option<&'a Pod> {
        let uid = &told.object(key)?.meta().uid;
        let stored = truth.object(key).filter(|stored| stored.meta().uid == *uid).and_then(Object::get::<Pod>);
        let lately = self.asked.get(key).is_some_and(|at| truth.now.since(*at) < BOUND);
        stored.filter(|pod| waits(pod) && !lately)
    }
}

impl Checker for Pending {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Heard, Sight::Sent, Sight::Time]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::Scheduler => {
                if self.who.as_ref() != Some(who) {
                    (self.since, self.waiting, self.importance, self.expected, self.tried) = Default::default();
                    self.nominated.clear();
                    self.taken_in.clear();
                    self.in_vain.clear();
                    self.who = Some((*who).clone());
                }
                self.condemned.clear();
                self.hear(truth, truth.told(who), input);
                self.look_at.get_or_insert(truth.now + EVERY);
            }
            Fact::Sent { who, request, .. } if who.role == Role::Scheduler => match &request.verb {
                Verb::Bind { key, node, .. } => {
                    let told = truth.told(who);
                    let judged = self.prefers(truth, told, key, node);
                    let judged = judged.and_then(|()| self.keeps_away(truth, told, key, node));
                    let judged = judged.and_then(|()| self.binds(truth, told, key, node));
                    let judged = judged.and_then(|()| self.keeps(truth, told, key, node));
                    self.tried.add(key.clone());
                    self.taken_in.remove(key);
                    let amount = told.object(key).and_then(Object::get).map_or([0, 0, 1, 0], amounts);
                    self.binds.insert((key.clone(), node.to_string()), amount);
                    self.asked.insert(key.clone(), truth.now);
                    return judged;
                }
                Verb::Update { object, part: Part::Status } if object.kind() == Kind::Pod => {
                    let Some(pod) = object.get::<Pod>() else { return Ok(()) };
                    self.tried.add(object.key());
                    let on = &*pod.status.nominated_node_name;
                    self.taken_in.remove(&object.key());
                    self.in_vain.remove(&object.key());
                    match on {
                        "" => drop(self.expected.remove(&object.key())),
                        on => drop(self.expected.insert(object.key(), (pod.metadata.uid.clone(), on.to_owned()))),
                    }
                    if let Some(node) = pod.node() {
                        self.condemned.push((object.key(), node.to_owned()));
                    } else if !on.is_empty() {
                        return self.preempts(truth, truth.told(who), &object.key(), on);
                    }
                }
                Verb::Get { key } if key.kind == Kind::Pod => {
                    self.tried.add(key.clone());
                    self.asked.insert(key.clone(), truth.now);
                }
                _ => {}
            },
            Fact::Time if self.look_at.is_some_and(|at| at <= truth.now) => {
                self.look_at = Some(truth.now + EVERY);
                let told = self.who.as_ref().map_or(Told::NOTHING, |who| truth.told(who));
                return self.look(truth, told);
            }
            _ => {}
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.look_at
    }
}

/// Facts for the tests of this checker and its parts, told by one scheduler.
#[cfg(test)]
mod forged {
    use super::*;
    use crate::invariants::forged::{Story, pod, who};
    use serde_json::{Value, json};

    pub(super) fn scheduler() -> Who {
        who(Role::Scheduler, "scheduler")
    }

    /// The scheduler is well, and was told of the node `n`.
    pub(super) fn story() -> Story<Pending> {
        let mut story = Story::<Pending>::new();
        story.truth.scheduler = Some(Instant::default());
        told(&mut story, node("n", "1"));
        story
    }

    /// Makes a state of an object durable, and tells the scheduler of it.
    pub(super) fn told(story: &mut Story<Pending>, object: Value) {
        story.shows(&scheduler(), object).unwrap();
    }

    /// So much time passes that whoever waits for nothing has waited too long.
    pub(super) fn waits(story: &mut Story<Pending>) -> Result<(), Broken> {
        (0..12).try_for_each(|_| story.pass(20))
    }

    /// The scheduler gives a node to a pod.
    pub(super) fn bind(story: &mut Story<Pending>, name: &str, node: &str) -> Result<(), Broken> {
        let (key, uid) = (Key::new(Kind::Pod, "default", name), format!("{name}-uid").into());
        story.sends(&scheduler(), Verb::Bind { key, uid, node: node.into() })
    }

    /// These are told that they have to go, and then it is said of a pod that it expects the node `n`.
    pub(super) fn has_to_go(story: &mut Story<Pending>, victims: &[&str], of: &str) -> Result<(), Broken> {
        let mut says = |name: &str, change: &dyn Fn(&mut Pod)| {
            let known = story.truth.object(&Key::new(Kind::Pod, "default", name)).unwrap();
            let object = known.with(|pod: &mut Pod| change(pod));
            story.sends(&scheduler(), Verb::Update { object, part: Part::Status })
        };
        victims.iter().try_for_each(|victim| says(victim, &|_| {}))?;
        says(of, &|pod| pod.status.nominated_node_name = "n".into())
    }

    /// A node that is ready, with room for two pods.
    pub(super) fn node(name: &str, cpu: &str) -> Value {
        json!({"kind": "Node", "metadata": {"name": name, "uid": name}, "status": {
            "allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "2"},
            "conditions": [{"type": "Ready", "status": "True"}]}})
    }

    /// A pod that runs on a node, or that waits if it has none.
    pub(super) fn sized(name: &str, node: &str, priority: i32, cpu: &str) -> Value {
        let mut pod = pod(name, node, if node.is_empty() { "Pending" } else { "Running" });
        pod["spec"]["priority"] = priority.into();
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
        pod
    }

    /// The same, of an app.
    pub(super) fn of_app(mut pod: Value, app: &str) -> Value {
        pod["metadata"]["labels"] = json!({"app": app});
        pod
    }

    /// The same, whose status says for which node others go.
    pub(super) fn expecting(mut pod: Value, node: &str) -> Value {
        pod["status"]["nominatedNodeName"] = node.into();
        pod
    }

    /// A budget of the pods of an app, which can miss so many.
    pub(super) fn budget(app: &str, allowed: i32) -> Value {
        json!({"kind": "PodDisruptionBudget", "metadata": {"name": app, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": app}}}, "status": {"disruptionsAllowed": allowed}})
    }
}

#[cfg(test)]
mod tests {
    use super::forged::{bind, budget, has_to_go, node, of_app, sized, story, told, waits};
    use crate::invariants::forged::pod;
    use serde_json::{Value, json};

    #[test]
    fn says_nothing_of_a_scheduler_that_cannot_or_that_has_asked() {
        let mut unwell = story();
        unwell.truth.scheduler = None;
        told(&mut unwell, pod("a", "", "Pending"));
        waits(&mut unwell).unwrap();

        let mut asked = story();
        told(&mut asked, pod("a", "", "Pending"));
        told(&mut asked, pod("b", "", "Pending"));
        bind(&mut asked, "a", "n").unwrap();
        // Its room is kept for it, so that the other waits as well.
        waits(&mut asked).unwrap();
    }

    #[test]
    fn says_nothing_of_a_node_that_vanished_in_a_gap_even_if_another_has_its_name() {
        for (uid, fires) in [("m", true), ("another", false)] {
            // By now the node `m` is stored with this uid, of which the scheduler has not heard.
            let story = |spec: Value| {
                let mut story = story();
                let mut known = node("n", "1");
                known["spec"] = spec;
                told(&mut story, known);
                let mut other = node("m", "1");
                told(&mut story, other.clone());
                other["metadata"]["uid"] = uid.into();
                story.put(other).unwrap();
                story
            };
            let mut idle = story(json!({}));
            told(&mut idle, sized("a", "n", 0, "600m"));
            told(&mut idle, sized("b", "", 0, "600m"));
            assert_eq!(waits(&mut idle).is_err(), fires);

            let mut averse = story(json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}));
            told(&mut averse, sized("a", "", 0, "600m"));
            assert_eq!(bind(&mut averse, "a", "n").is_err(), fires);

            for has_budget in [false, true] {
                let mut full = story(json!({}));
                if has_budget {
                    told(&mut full, budget("a", 0));
                }
                told(&mut full, of_app(sized("a", "n", 3, "600m"), "a"));
                told(&mut full, of_app(sized("b", "m", 0, "600m"), "b"));
                told(&mut full, sized("waits", "", 7, "600m"));
                assert_eq!(has_to_go(&mut full, &["a"], "waits").is_err(), fires, "{has_budget}");
            }
        }
    }
}
