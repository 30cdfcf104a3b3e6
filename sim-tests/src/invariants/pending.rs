//! L-sched: A pod that some node takes, as far as the scheduler was told, is bound or being bound within a minute, while the scheduler is well. Meanwhile the node is not given to a less important one, nor to a younger one that is as important before the older was looked at. Room that is kept for a pod for which others go is not given away, and nobody waits for that of a node that is gone. No pod comes to a node where it had rather not be, nor to pods that it had rather be away from, while another node takes it. Nobody is made to go for it in vain, or where less important or younger ones would do, or against a budget where others would do.
//!
//! Well is who runs at its pace, with a good way to a running API server. Room that a bind was asked for counts as taken
//! as long as it may be reserved, whatever came of the bind; and so does what is kept for a pod for which others leave, for
//! those who are no more important. Blamed is only what the store shows as well.
//! Catches: room that is not given back; a pod that hears of it only when everything is looked at again; priorities
//! upside down; more victims than are needed, or others; budgets that are not looked at.

use super::each::Each;
use super::near::{
    anti_affinity_weight, has_preferred_anti_affinity_alone, is_surely_even, is_weighed_by_anti_affinity_alone,
    minds_spread_alone, repels, wants_near, with_its_kind,
};
use super::wants::{Wants as Amounts, offers, wants as amounts};
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::budget::PodDisruptionBudget;
use miniku_core::api::by_key::{ByKey, Keys};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Container, Pod};
use miniku_core::api::taint::{KEEP_AWAY, NO_SCHEDULE, PREFER_NO_SCHEDULE, Taint, UNSCHEDULABLE, untolerated};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, Input, Part, Verb, WatchEvent};
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// How long a pod may wait without anything being done about it: longer than a call may take with the delay after it.
const BOUND: Duration = Duration::from_secs(60);
/// How often pods are looked at.
const EVERY: Duration = Duration::from_secs(20);
/// The room of a bind that may still arrive is kept for five minutes after it was given up, which takes a few tries.
pub(super) const RESERVED: Duration = Duration::from_secs(400);
/// So many waiting pods are looked at, since each costs a look at each node.
const LOOKED_AT: usize = 100;
/// And so many of those that are as important as one that is bound, for each bind.
const COMPARED: usize = 16;

/// Who binds pods that name nobody. Source: Kubernetes, `DefaultSchedulerName`.
const SCHEDULER: &str = "default-scheduler";

/// One for each scheduler.
pub type Pendings = Each<Pending>;

/// Who of the pods that a scheduler was told of waits, and what it has asked for.
#[derive(Default)]
pub struct Pending {
    /// The scheduler, since it has heard something.
    who: Option<Who>,
    /// The pods that wait, the least important first: how important each is, and when it was made.
    waiting: BTreeMap<(i32, Key), Option<Time>>,
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

fn plus(one: Amounts, other: Amounts) -> Amounts {
    std::array::from_fn(|at| one[at].saturating_add(other[at]))
}

/// Whether the pod waits for a node from this scheduler.
fn waits(pod: &Pod) -> bool {
    let by = pod.spec.scheduler_name.as_str();
    let gated = !pod.spec.scheduling_gates.is_empty();
    pod.node().is_none() && pod.is_active() && !gated && (by.is_empty() || by == SCHEDULER)
}

/// Whether it depends on other pods, too, where the pod can go. That is judged elsewhere: see S-near.
fn looks_around(pod: &Pod) -> bool {
    let ports = |one: &Container| one.rest.get("ports").is_some();
    let affinity = pod.spec.affinity.as_ref();
    affinity.is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some())
        || !pod.spec.topology_spread_constraints.is_empty()
        || pod.spec.containers.iter().any(ports)
}

/// Whether there is room for a pod beside what is used.
fn fits(node: &Node, used: Amounts, pod: &Pod) -> bool {
    let (offered, wanted) = (offers(node, 0), amounts(pod));
    // What a pod does not ask for, it may get where there is too little of it.
    (0..wanted.len()).all(|at| wanted[at] == 0 || used[at].saturating_add(wanted[at]) <= offered[at])
}

fn takes(node: &Node, used: Amounts, pod: &Pod) -> bool {
    takes_alone(node, used, pod) && !looks_around(pod)
}

/// Wherever other pods are.
fn takes_alone(node: &Node, used: Amounts, pod: &Pod) -> bool {
    let selected = pod.spec.allows_node(&node.metadata.name, &node.metadata.labels)
        && untolerated(&node.spec.taints, &pod.spec.tolerations, KEEP_AWAY).next().is_none();
    let cordon = Taint::new(UNSCHEDULABLE, NO_SCHEDULE);
    let enters = || pod.spec.tolerations.iter().any(|one| one.tolerates(&cordon));
    let open = node.is_ready() && (!node.spec.unschedulable || enters()) && !node.metadata.is_deleting();
    open && selected && fits(node, used, pod)
}

/// Whether where others are may count for a pod or against it, besides what it takes up.
fn has_neighbours(pod: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_ref();
    affinity.is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some())
}

/// How many taints a node has that a pod had rather not.
fn averse(node: &Node, pod: &Pod) -> usize {
    untolerated(&node.spec.taints, &pod.spec.tolerations, &[PREFER_NO_SCHEDULE]).count()
}

/// Whether a node is at most half full with these pods, of which containers that request nothing count as this much when
/// nodes are ranked.
///
/// Source: Kubernetes, `pkg/scheduler/util/pod_resources.go` (`DefaultMilliCPURequest`, `DefaultMemoryRequest`).
fn is_half_empty(node: &Node, used: Amounts, containers: u64) -> bool {
    let (offered, more) = (offers(node, 0), [100, 200 << 20]);
    (0..more.len()).all(|at| used[at].saturating_add(containers * more[at]).saturating_mul(2) <= offered[at])
}

/// How many containers a pod has, of all kinds.
fn containers(pod: &Pod) -> u64 {
    let inits = pod.spec.rest.get("initContainers").and_then(serde_json::Value::as_array);
    (pod.spec.containers.len() + inits.map_or(0, Vec::len)) as u64
}

/// In a larger cluster not every node is looked at.
const ALL_LOOKED_AT: usize = 50;

fn priority(pod: &Pod) -> i32 {
    pod.spec.priority.unwrap_or(0)
}

/// Whether a pod has run for longer than another, as both say.
fn has_run_longer(one: &Pod, other: &Pod) -> bool {
    let started = one.status.start_time.zip(other.status.start_time);
    started.is_some_and(|(one, other)| one < other)
}

/// Whether others may keep a pod away, as far as the scheduler was told. That is judged elsewhere, too.
fn is_repelled(told: Told<'_>, pod: &Pod) -> bool {
    told.of_kind(Kind::Pod).filter_map(Object::get::<Pod>).any(|other| repels(other, pod))
}

/// The pods that take up room, as far as the scheduler was told.
fn placed<'a>(told: Told<'a>) -> impl Iterator<Item = (&'a str, &'a Pod)> {
    let pods = told.of_kind(Kind::Pod).filter_map(Object::get::<Pod>);
    pods.filter(|pod| !pod.status.phase.is_final()).filter_map(|pod| Some((pod.node()?, pod)))
}

impl Pending {
    fn hear(&mut self, told: Told<'_>, input: &Input) {
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
                let of = (key.clone(), String::new());
                let ended: Vec<_> =
                    self.binds.range(of..).map(|(of, _)| of).take_while(|(pod, _)| *pod == key).cloned().collect();
                for of in ended {
                    self.binds.remove(&of);
                }
            }
            let pod = pod.filter(|pod| waits(pod));
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
                self.waiting.insert((priority(pod), key), pod.metadata.creation_timestamp);
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

    /// A pod that waits without anything being done about it, as the scheduler was told and as it is.
    fn idle<'a>(&self, truth: &'a Truth, told: Told<'_>, key: &Key) -> Option<&'a Pod> {
        let uid = &told.object(key)?.meta().uid;
        let stored = truth.object(key).filter(|stored| stored.meta().uid == *uid).and_then(Object::get::<Pod>);
        let lately = self.asked.get(key).is_some_and(|at| truth.now.since(*at) < BOUND);
        stored.filter(|pod| waits(pod) && !lately)
    }

    /// Where a pod may go that wants to be with its kind, of which no other is anywhere yet: the places that it asks for.
    fn first_of_kind<'a>(&self, truth: &Truth, told: Told<'_>, pod: &'a Pod) -> Option<Vec<&'a Text>> {
        let places = with_its_kind(pod)?;
        let pods = told.of_kind(Kind::Pod).chain(truth.disk.objects().of_kind(Kind::Pod));
        let mut placed = pods.filter_map(|one| Some((one, one.get::<Pod>()?))).filter(|(one, other)| {
            let somewhere = other.node().is_some() || self.asked.get(&one.key()).is_some();
            somewhere && other.metadata.uid != pod.metadata.uid
        });
        (!placed.any(|(_, other)| wants_near(pod, other))).then_some(places)
    }

    /// Whether a pod goes on waiting for a node that is gone, as its status says, and as this life has said.
    fn waits_in_vain(
        &self,
        truth: &Truth,
        told: Told<'_>,
        since: &BTreeMap<Key, (Text, Instant)>,
    ) -> Result<BTreeMap<Key, (Text, Instant)>, Broken> {
        let mut in_vain = BTreeMap::new();
        for (key, (uid, node)) in &self.expected {
            let says = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.status.nominated_node_name == node.as_str());
            let is_there = told.object(&Key::new(Kind::Node, "", node)).is_some() || truth.node(node).is_some();
            let stored = self.idle(truth, told, key).filter(|pod| pod.metadata.uid == *uid);
            if is_there || !says(stored) || !says(told.object(key).and_then(Object::get)) {
                continue;
            }
            let began = since.get(key).filter(|(of, _)| of == uid).map_or(truth.now, |(_, at)| *at);
            if truth.now.since(began) >= BOUND {
                let what = format!("{key} waits for {} s for {node}, which is gone", truth.now.since(began).as_secs());
                return Err(Broken::by(what).with(truth.object(key)));
            }
            in_vain.insert(key.clone(), (uid.clone(), began));
        }
        Ok(in_vain)
    }

    fn look(&mut self, truth: &Truth, told: Told<'_>) -> Result<(), Broken> {
        let (since, in_vain) = (std::mem::take(&mut self.since), std::mem::take(&mut self.in_vain));
        let well = truth.scheduler.is_some_and(|since| truth.now.since(since) >= BOUND);
        if !well || self.waiting.is_empty() {
            return Ok(());
        }
        self.in_vain = self.waits_in_vain(truth, told, &in_vain)?;
        let used = self.used(truth, told);
        let leaving: BTreeSet<&str> =
            placed(told).filter(|(_, pod)| pod.metadata.is_deleting()).map(|(on, _)| on).collect();
        let waiting: Vec<Key> = self.waiting.keys().rev().take(LOOKED_AT).map(|(_, key)| key.clone()).collect();
        for key in waiting {
            let Some(pod) = self.idle(truth, told, &key).filter(|pod| !is_repelled(told, pod)) else { continue };
            let uid = &pod.metadata.uid;
            let first = self.first_of_kind(truth, told, pod);
            let spread = minds_spread_alone(pod);
            let asked = |key: &Key| {
                let of = (key.clone(), String::new());
                let binds = self.binds.range(of..).map(|(of, _)| of).take_while(|(pod, _)| pod == key);
                binds.map(|(_, node)| node.as_str()).collect::<Vec<_>>()
            };
            let takes = |node: &Node, used| match &first {
                None if spread => {
                    takes_alone(node, used, pod) && is_surely_even(truth, told, pod, &node.metadata.name, &asked)
                }
                None => takes(node, used, pod),
                Some(places) => {
                    let is_place = places.iter().all(|place| node.metadata.labels.contains_key(place.as_str()));
                    is_place && takes_alone(node, used, pod)
                }
            };
            let taker = told.of_kind(Kind::Node).filter_map(Object::get::<Node>).find(|node| {
                let name = &node.metadata.name;
                // While somebody leaves it, whoever that is for waits, and so do those who are no more important.
                let kept = if leaving.contains(name.as_str()) {
                    self.kept_from(told, &key, priority(pod), name)
                } else {
                    [0; 4]
                };
                let used = plus(used.get(name).copied().unwrap_or_default(), kept);
                takes(node, used) && truth.still(node).is_some_and(|stored| takes(stored, used))
            });
            let Some(node) = taker else { continue };
            let began = since.get(&key).filter(|(of, _)| of == uid).map_or(truth.now, |(_, at)| *at);
            if truth.now.since(began) >= BOUND {
                let (secs, node) = (truth.now.since(began).as_secs(), &node.metadata.name);
                return Err(
                    Broken::by(format!("{key} waits for {secs} s, and {node} takes it")).with(truth.object(&key))
                );
            }
            self.since.insert(key, (uid.to_string(), began));
        }
        Ok(())
    }

    /// What is kept on a node for others that are as important, since pods go for them, or have gone: of which a former
    /// life may have said it.
    fn kept_from(&self, told: Told<'_>, key: &Key, priority: i32, node: &str) -> Amounts {
        let others = self.expects(told, node).filter(|(other, _)| other != key);
        let others = others.filter(|(other, _)| self.importance.get(other).is_some_and(|other| *other >= priority));
        others.map(|(_, pod)| amounts(pod)).fold([0; 4], plus)
    }

    /// A node is about to be given to a pod: whether the pod had rather be on another that takes it. Only where nothing else
    /// can count for more: a pod without preferences, and one such taint at most.
    fn prefers(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let plain = |pod: &&Pod| {
            let promised = self.expected.contains_key(key) || !pod.status.nominated_node_name.is_empty();
            // A bind of which nobody knows what came of it is asked for again, whatever the nodes are by then.
            let again = self.binds.contains_key(&(key.clone(), node.to_owned()));
            !promised && !again && !looks_around(pod) && pod.spec.preferred_nodes().is_empty()
        };
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>).filter(plain) else { return Ok(()) };
        let here = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>);
        if here.is_none_or(|here| averse(here, pod) == 0) {
            return Ok(());
        }
        let nodes: Vec<&Node> = told.of_kind(Kind::Node).filter_map(Object::get).collect();
        let much = nodes.len() > ALL_LOOKED_AT || nodes.iter().any(|one| averse(one, pod) > 1);
        if much || told.of_kind(Kind::Pod).filter_map(Object::get).any(has_neighbours) {
            return Ok(());
        }
        let used = self.used(truth, told);
        let other = nodes.iter().filter(|one| averse(one, pod) == 0).find(|one| {
            let name = &one.metadata.name;
            let kept = self.expects(told, name).filter(|(other, _)| other != key).map(|(_, other)| amounts(other));
            let used = plus(used.get(name).copied().unwrap_or_default(), kept.fold([0; 4], plus));
            takes(one, used, pod) && truth.still(one).is_some_and(|stored| takes(stored, used, pod))
        });
        match other.map(|other| &other.metadata.name) {
            Some(other) => {
                let what = format!("{node} is given to {key}, which had rather not be there, and {other} takes it");
                Err(Broken::by(what).with(truth.object(key)))
            }
            None => Ok(()),
        }
    }

    /// A node is about to be given to a pod that had rather be away from others, and minds nothing else: whether it likes
    /// no other node less, while the one that it likes best takes it and is at most half full with it. Then nothing else
    /// can count for more: where others are makes up for all that a full node can have before that one.
    fn keeps_away(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let mindful = |pod: &&Pod| {
            let promised = self.expected.contains_key(key) || !pod.status.nominated_node_name.is_empty();
            let again = self.binds.contains_key(&(key.clone(), node.to_owned()));
            !promised && !again && has_preferred_anti_affinity_alone(pod) && pod.spec.preferred_nodes().is_empty()
        };
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>).filter(mindful) else { return Ok(()) };
        let nodes: Vec<&Node> = told.of_kind(Kind::Node).filter_map(Object::get).collect();
        let much = nodes.len() > ALL_LOOKED_AT || nodes.iter().any(|one| averse(one, pod) > 0);
        let reckoned = told.of_kind(Kind::Pod).filter_map(Object::get).all(is_weighed_by_anti_affinity_alone);
        if much || !reckoned || is_repelled(told, pod) {
            return Ok(());
        }
        let by_name: BTreeMap<&str, &Node> = nodes.iter().map(|one| (one.metadata.name.as_str(), *one)).collect();
        // Who is where, and whether it surely is: what was asked for may have come to nothing, and what vanished in a gap
        // of the view stays in what was told.
        let mut there: Vec<(&Pod, &Node, bool)> = Vec::new();
        for object in told.of_kind(Kind::Pod) {
            let (of, Some(other)) = (object.key(), object.get::<Pod>()) else { continue };
            if of == *key || other.status.phase.is_final() {
                continue;
            }
            if let Some(on) = other.node() {
                let stays = truth.pods.get(&other.metadata.uid).is_some_and(|facts| facts.removed.is_none());
                there.extend(by_name.get(on).map(|on| (other, *on, stays)));
                continue;
            }
            let from = (of.clone(), String::new());
            let asked = self.binds.range(from..).map(|(of, _)| of).take_while(|(pod, _)| *pod == of);
            there.extend(asked.filter_map(|(_, on)| Some((other, *by_name.get(on.as_str())?, false))));
        }
        // How much the pod and those that are there mind each other on a node, at least and at most.
        let minds = |at: &Node| {
            let each = there.iter().map(|(other, on, stays)| (anti_affinity_weight((pod, at), (*other, *on)), *stays));
            each.fold((0, 0), |(least, most), (much, stays)| (least + if stays { much } else { 0 }, most + much))
        };
        let all: Vec<(&Node, (i64, i64))> = nodes.iter().map(|one| (*one, minds(one))).collect();
        let Some((here, _)) = all.iter().find(|(one, _)| one.metadata.name == node).map(|(_, minds)| *minds) else {
            return Ok(());
        };
        let least = all.iter().map(|(_, (least, _))| *least).min().unwrap_or(0);
        if here <= least || all.iter().any(|(one, (_, most))| one.metadata.name != node && *most > here) {
            return Ok(());
        }
        let used = self.used(truth, told);
        let best = all.iter().filter(|(_, (_, most))| *most <= least).map(|(one, _)| *one).find(|one| {
            let name = &one.metadata.name;
            let used = used.get(name).copied().unwrap_or_default();
            let on = there.iter().filter(|(_, on, _)| on.metadata.name == *name);
            let beside = on.map(|(other, ..)| containers(other)).sum::<u64>() + containers(pod);
            let kept = self.expects(told, name).filter(|(other, _)| other != key).map(|(_, other)| amounts(other));
            let taken = plus(used, kept.fold([0; 4], plus));
            let takes =
                |node: &Node| takes_alone(node, taken, pod) && is_half_empty(node, plus(used, amounts(pod)), beside);
            takes(one) && truth.still(one).is_some_and(takes)
        });
        match best.map(|best| &best.metadata.name) {
            Some(best) => {
                let what =
                    format!("{node} is given to {key}, which had rather be away from others there; {best} takes it");
                Err(Broken::by(what).with(truth.object(key)))
            }
            None => Ok(()),
        }
    }

    /// A node is about to be given to a pod.
    fn binds(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let priority = self.importance.get(key).copied().unwrap_or(i32::MAX);
        let more = self.waiting.keys().rev().take_while(|(more, _)| *more > priority).take(LOOKED_AT);
        let more = more.map(|(_, other)| other).filter(|other| *other != key);
        let first: Vec<Key> = more.chain(self.older(told, key, priority)).cloned().collect();
        if first.is_empty() {
            return Ok(());
        }
        let Some(facts) = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>) else {
            return Ok(());
        };
        let used = self.used(truth, told).get(node).copied().unwrap_or_default();
        for other in &first {
            let theirs = self.importance.get(other).copied().unwrap_or(priority);
            let used = plus(used, self.kept_from(told, other, theirs, node));
            if self.idle(truth, told, other).is_some_and(|pod| takes(facts, used, pod) && !is_repelled(told, pod)) {
                let than = if theirs > priority { "more important" } else { "as important and older" };
                let what = format!("{node} is given to {key}, and {other} waits, which is {than}");
                return Err(Broken::by(what).with(truth.object(other)));
            }
        }
        Ok(())
    }

    /// A node is about to be given to a pod: whether there is room beside the one for which others go, or have gone, from
    /// there. Only where that is one alone, and not less important.
    fn keeps(&self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let expects: Vec<(Key, &Pod)> = self.expects(told, node).collect();
        let [(other, first)] = &expects[..] else { return Ok(()) };
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>) else { return Ok(()) };
        let taken_in = || self.taken_in.get(other).is_some_and(|on| *on == *node);
        let is_said = self.expected.get(other).map_or_else(taken_in, |(_, on)| on == node);
        let again = self.binds.contains_key(&(key.clone(), node.to_owned()));
        if other == key
            || again
            || !is_said
            || priority(first) < priority(pod)
            || self.idle(truth, told, other).is_none()
        {
            return Ok(());
        }
        // What else was asked for may have been refused, and what vanished in a gap of the view stays in what was told.
        let stays = |pod: &Pod| truth.pods.get(&pod.metadata.uid).is_some_and(|facts| facts.removed.is_none());
        let there = placed(told).filter(|(on, pod)| *on == node && stays(pod));
        let used = there.map(|(_, pod)| amounts(pod)).fold([0; 4], plus);
        let facts = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>);
        match facts.is_some_and(|facts| fits(facts, used, pod) && !fits(facts, plus(used, amounts(first)), pod)) {
            true => {
                let what = format!("{node} is given to {key}, and others have gone from there for {other}");
                Err(Broken::by(what).with(truth.object(other)))
            }
            false => Ok(()),
        }
    }

    /// Some pods that are as important and were made before, and that the scheduler has not come to in this life: nor in a
    /// former one, as far as they tell.
    fn older<'a>(&'a self, told: Told<'a>, key: &Key, priority: i32) -> impl Iterator<Item = &'a Key> {
        let made = told.object(key).and_then(|one| one.meta().creation_timestamp);
        let made = made.filter(|_| !self.tried.contains_key(key));
        let from = (priority, Key::new(Kind::Pod, "", ""));
        let equals = self.waiting.range(from..).take_while(move |((theirs, _), _)| *theirs == priority).take(COMPARED);
        let untried = move |other: &&Key| {
            let pod = told.object(other).and_then(Object::get::<Pod>);
            let is_new = |pod: &Pod| !pod.status.conditions.iter().any(|one| one.kind == "PodScheduled");
            !self.tried.contains_key(other) && pod.is_some_and(is_new)
        };
        let older = move |created: Option<Time>| made.is_some_and(|made| created.is_some_and(|one| one < made));
        equals.filter(move |(_, created)| older(**created)).map(|((_, other), _)| other).filter(untried)
    }
}

impl Pending {
    /// Others are made to go from a node, as all of them were told in this step: for this pod, and before for some that
    /// expect the node already, and of which there is nothing new to say.
    fn preempts(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let condemned = std::mem::take(&mut self.condemned);
        let victims: Vec<Key> = condemned.into_iter().filter(|(_, on)| on == node).map(|(victim, _)| victim).collect();
        if victims.is_empty() {
            return Ok(());
        }
        let used = self.used(truth, told);
        let goes_for =
            |of: &Key, some: &[Key]| self.goes_for(truth, told, (of, node), &some.iter().cloned().collect(), &used);
        let judged = goes_for(key, &victims);
        if judged.is_ok() {
            return Ok(());
        }
        let silent: Vec<Key> = self.expects(told, node).map(|(other, _)| other).filter(|other| other != key).collect();
        // Whether the first so many can be those of pods that were silent.
        let mut shared = vec![true];
        for many in 1..=victims.len() {
            let goes = |from: usize| silent.iter().any(|other| goes_for(other, &victims[from..many]).is_ok());
            shared.push((0..many).any(|from| shared[from] && goes(from)));
        }
        let explained = (1..=victims.len())
            .any(|from| shared[from] && (from == victims.len() || goes_for(key, &victims[from..]).is_ok()));
        if explained { Ok(()) } else { judged }
    }

    /// The pods that wait for a node which others leave: as was said of them, or as their status says.
    fn expects<'a>(&self, told: Told<'a>, node: &str) -> impl Iterator<Item = (Key, &'a Pod)> {
        let by_word = self.expected.iter().filter(|(_, (_, on))| on == node).map(|(key, _)| key);
        let by_status = self.nominated.iter().filter(|(_, on)| *on == node).map(|(key, _)| key);
        let keys: BTreeSet<Key> =
            by_word.chain(by_status).filter(|key| self.importance.contains_key(key)).cloned().collect();
        keys.into_iter().filter_map(move |key| told.object(&key)?.get::<Pod>().map(|pod| (key, pod)))
    }

    /// These are made to go from a node for a pod.
    fn goes_for(
        &self,
        truth: &Truth,
        told: Told<'_>,
        (key, node): (&Key, &str),
        victims: &BTreeSet<Key>,
        used: &BTreeMap<Text, Amounts>,
    ) -> Result<(), Broken> {
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>).filter(|pod| !looks_around(pod)) else {
            return Ok(());
        };
        if is_repelled(told, pod) {
            return Ok(());
        }
        let more = priority(pod);
        let on = |node: &'_ str| {
            let node = node.to_owned();
            told.of_kind(Kind::Pod)
                .filter_map(move |one| Some((one.key(), one.get::<Pod>()?)))
                .filter(move |(_, one)| one.node() == Some(&node) && !one.status.phase.is_final())
        };
        // What is there but for these, and for those that are on their way out already.
        let without = |node: &str, goes: &dyn Fn(&Key, &Pod) -> bool| {
            let gone =
                on(node).filter(|(key, one)| one.metadata.is_deleting() && priority(one) < more || goes(key, one));
            let gone = gone.map(|(_, one)| amounts(one)).fold([0; 4], plus);
            let kept = self.expects(told, node).filter(|(other, one)| other != key && priority(one) >= more);
            let kept = kept.map(|(_, one)| amounts(one)).fold([0; 4], plus);
            let all = plus(used.get(node).copied().unwrap_or_default(), kept);
            std::array::from_fn(|at| all[at].saturating_sub(gone[at]))
        };
        let facts = |name: &str| told.object(&Key::new(Kind::Node, "", name)).and_then(Object::get::<Node>);
        let Some(here) = facts(node) else { return Ok(()) };
        let broken = |what: String| Err(Broken::by(what).with(truth.object(key)));
        let going: Vec<(Key, &Pod)> = on(node).filter(|(one, _)| victims.contains(one)).collect();
        for (victim, _) in &going {
            if fits(here, without(node, &|one, _| victims.contains(one) && one != victim), pod) {
                return broken(format!("{victim} has to go from {node} for {key}, which has room without that"));
            }
        }
        // Whom no budget speaks of, and whom one cannot miss, by what was told and by what is.
        type OfNamespace = (Text, PodDisruptionBudget);
        let budgets = |object: &Object| Some((object.meta().namespace.clone(), object.read()?));
        let known: Vec<OfNamespace> = told.of_kind(Kind::PodDisruptionBudget).filter_map(budgets).collect();
        let stored = truth.disk.objects().of_kind(Kind::PodDisruptionBudget);
        let stored: Vec<OfNamespace> = stored.filter_map(budgets).collect();
        let selects = |(namespace, budget): &OfNamespace, one: &Pod| {
            let selector = budget.spec.selector.as_ref();
            one.metadata.namespace == *namespace && selector.is_some_and(|wants| wants.matches(&one.metadata.labels))
        };
        let is_free = |one: &Pod| !known.iter().chain(&stored).any(|budget| selects(budget, one));
        let is_missed = |one: &Pod| {
            let missed = |all: &OfNamespace| {
                let status = &all.1.status;
                let is_counted = !status.disrupted_pods.contains_key(&one.metadata.name);
                selects(all, one) && status.disruptions_allowed <= 0 && is_counted
            };
            known.iter().any(&missed) && stored.iter().any(missed)
        };
        if let Some((victim, _)) = going.iter().find(|(_, one)| is_missed(one)) {
            let free = |one: &Pod| is_free(one) && priority(one) < more;
            if fits(here, without(node, &|_, one| free(one)), pod) {
                return broken(format!("{victim} has to go from {node} for {key}, whom its budget cannot miss"));
            }
            let nodes = told.of_kind(Kind::Node).filter_map(Object::get::<Node>);
            let elsewhere = nodes.map(|one| (&one.metadata.name, one)).find(|(name, one)| {
                let left = without(name, &|_, other| free(other));
                **name != *node && takes(one, left, pod) && truth.still(one).is_some_and(|is| takes(is, left, pod))
            });
            if let Some((other, _)) = elsewhere {
                let what = format!("{victim} has to go from {node} for {key}, whom its budget cannot miss");
                return broken(format!("{what}; on {other} others would do"));
            }
        }
        for (victim, old) in going.iter().filter(|(_, one)| is_free(one)) {
            let younger = on(node).find(|(other, one)| {
                let stays = !victims.contains(other) && !one.metadata.is_deleting() && is_free(one);
                let alike = priority(one) == priority(old) && priority(one) < more;
                let instead = |at: &Key, _: &Pod| at == other || victims.contains(at) && at != victim;
                stays && alike && has_run_longer(old, one) && fits(here, without(node, &instead), pod)
            });
            if let Some((other, _)) = younger {
                return broken(format!(
                    "{victim} has to go from {node} for {key}, and {other} has run for less time and would do"
                ));
            }
        }
        // With budgets more is asked than who is how important, also if they are gone and it was not told so yet.
        if !known.is_empty() || truth.disk.objects().of_kind(Kind::PodDisruptionBudget).next().is_some() {
            return Ok(());
        }
        for (victim, dear) in &going {
            let cheaper = on(node).find(|(other, one)| {
                let stays = !victims.contains(other) && !one.metadata.is_deleting() && priority(one) < priority(dear);
                let instead = |at: &Key, _: &Pod| at == other || victims.contains(at) && at != victim;
                stays && priority(one) < more && fits(here, without(node, &instead), pod)
            });
            if let Some((other, one)) = cheaper {
                let (dear, cheap) = (priority(dear), priority(one));
                return broken(format!(
                    "{victim} of {dear} has to go from {node} for {key}, and {other} of {cheap} would do"
                ));
            }
        }
        let Some(highest) = going.iter().map(|(_, one)| priority(one)).max() else { return Ok(()) };
        let nodes = told.of_kind(Kind::Node).filter_map(Object::get::<Node>).filter(|one| one.metadata.name != node);
        let elsewhere = nodes.into_iter().find(|one| {
            let name = &one.metadata.name;
            let left = without(name, &|_, other| priority(other) < highest);
            takes(one, left, pod) && truth.still(one).is_some_and(|stored| takes(stored, left, pod))
        });
        match elsewhere {
            Some(other) => {
                let other = &other.metadata.name;
                broken(format!(
                    "one of {highest} has to go from {node} for {key}; on {other} less important ones would do"
                ))
            }
            None => Ok(()),
        }
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
                self.hear(truth.told(who), input);
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

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::{CallId, Query, RequestId};
    use serde_json::json;

    fn told(story: &mut Story<Pending>, object: serde_json::Value) {
        let object = story.put(object).unwrap().new.unwrap();
        let input = Input::Event { call: CallId(1), event: WatchEvent::Added(object) };
        story.see(Fact::Heard { who: &who(Role::Scheduler, "scheduler"), input: &input }).unwrap();
    }

    fn story() -> Story<Pending> {
        let mut story = Story::<Pending>::new();
        story.truth.scheduler = Some(Instant::default());
        told(
            &mut story,
            json!({"kind": "Node", "metadata": {"name": "n", "uid": "n"}, "status": {
                "allocatable": {"cpu": "1", "memory": "1Gi", "pods": "2"},
                "conditions": [{"type": "Ready", "status": "True"}]}}),
        );
        story
    }

    fn waits(story: &mut Story<Pending>) -> Result<(), Broken> {
        (0..12).try_for_each(|_| story.pass(20))
    }

    #[test]
    fn fires_when_a_pod_waits_though_there_is_room() {
        let mut story = story();
        told(&mut story, pod("a", "n", "Running"));
        told(&mut story, pod("b", "", "Pending"));
        waits(&mut story).unwrap();
        told(&mut story, pod("a", "n", "Succeeded"));
        let broken = waits(&mut story).unwrap_err();
        assert_eq!(broken.what, "pods/default/b waits for 60 s, and n takes it");
    }

    #[test]
    fn fires_when_the_less_important_goes_first() {
        let mut story = story();
        let mut important = pod("a", "", "Pending");
        important["spec"]["priority"] = 7.into();
        told(&mut story, important);
        told(&mut story, pod("b", "", "Pending"));
        let scheduler = who(Role::Scheduler, "scheduler");
        let mut bind = |name: &str| {
            let key = Key::new(Kind::Pod, "default", name);
            let request = Verb::Bind { key, uid: format!("{name}-uid").into(), node: "n".into() }.into();
            story.see(Fact::Sent { who: &scheduler, id: RequestId(1), request: &request })
        };
        let broken = bind("b").unwrap_err();
        assert_eq!(broken.what, "n is given to pods/default/b, and pods/default/a waits, which is more important");
        bind("a").unwrap();
    }

    #[test]
    fn fires_when_the_younger_goes_first() {
        let judge = |[a, b]: [u32; 2], condition: serde_json::Value| {
            let mut story = story();
            for (name, at) in [("a", a), ("b", b)] {
                let mut pod = pod(name, "", "Pending");
                pod["metadata"]["creationTimestamp"] = format!("2026-01-01T00:00:0{at}Z").into();
                pod["status"]["conditions"] = condition.clone();
                told(&mut story, pod);
            }
            let (key, uid) = (Key::new(Kind::Pod, "default", "b"), "b-uid".into());
            let request = Verb::Bind { key, uid, node: "n".into() }.into();
            story.see(Fact::Sent { who: &who(Role::Scheduler, "scheduler"), id: RequestId(1), request: &request })
        };
        let broken = judge([1, 2], json!([])).unwrap_err();
        assert_eq!(
            broken.what,
            "n is given to pods/default/b, and pods/default/a waits, which is as important and older"
        );
        judge([1, 1], json!([])).unwrap();
        judge([2, 1], json!([])).unwrap();
        // It was looked at before.
        judge([1, 2], json!([{"type": "PodScheduled", "status": "False"}])).unwrap();
    }

    #[test]
    fn fires_when_the_first_of_its_kind_waits_or_who_is_spread_evenly_or_tolerates_the_cordon() {
        let near = |app: &str| {
            json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "host"}]}})
        };
        let judge = |node: serde_json::Value, label: serde_json::Value, spec: &[(&str, serde_json::Value)]| {
            let mut story = story();
            let mut has = story.truth.node("n").unwrap().clone();
            has.metadata.labels = serde_json::from_value(label).unwrap();
            has.spec = serde_json::from_value(node).unwrap();
            told(&mut story, miniku_core::api::object::Resource::into_object(has).to_value());
            let mut pod = pod("a", "", "Pending");
            pod["metadata"]["labels"] = json!({"app": "a"});
            spec.iter().for_each(|(field, value)| pod["spec"][*field] = value.clone());
            told(&mut story, pod);
            waits(&mut story).is_err()
        };
        let host = || json!({"host": "n"});
        assert!(judge(json!({}), host(), &[("affinity", near("a"))]));
        assert!(!judge(json!({}), host(), &[("affinity", near("b"))]));
        assert!(!judge(json!({}), json!({}), &[("affinity", near("a"))]));
        let spread = |labels: serde_json::Value| {
            json!([{"maxSkew": 1, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": labels}}])
        };
        assert!(judge(json!({}), host(), &[("topologySpreadConstraints", spread(json!({"app": "a"})))]));
        assert!(!judge(json!({}), json!({}), &[("topologySpreadConstraints", spread(json!({"app": "a"})))]));
        let tolerates = json!([{"key": UNSCHEDULABLE, "operator": "Exists"}]);
        assert!(judge(json!({"unschedulable": true}), host(), &[("tolerations", tolerates)]));
        assert!(!judge(json!({"unschedulable": true}), host(), &[]));
    }

    #[test]
    fn says_nothing_of_who_is_spread_evenly_over_all_that_may_be_bound() {
        let judge = |asked: &[&str]| {
            let mut story = story();
            for name in ["m", "n"] {
                let mut node = json!({"kind": "Node", "metadata": {"name": name, "uid": name}});
                node["metadata"]["labels"] = json!({"host": name});
                node["status"] = json!({"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "9"},
                    "conditions": [{"type": "Ready", "status": "True"}]});
                told(&mut story, node);
            }
            let web = |name: &str, cpu: &str| {
                let mut pod = sized(name, "", 0, cpu);
                pod["metadata"]["labels"] = json!({"app": "web"});
                pod
            };
            told(&mut story, web("a", "600m"));
            for node in asked {
                let (key, uid) = (Key::new(Kind::Pod, "default", "a"), "a-uid".into());
                let request = Verb::Bind { key, uid, node: (*node).into() }.into();
                let scheduler = who(Role::Scheduler, "scheduler");
                story.see(Fact::Sent { who: &scheduler, id: RequestId(1), request: &request }).unwrap();
            }
            let mut even = web("b", "100m");
            even["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "host",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]);
            told(&mut story, even);
            waits(&mut story)
        };
        let broken = judge(&["m"]).unwrap_err();
        assert_eq!(broken.what, "pods/default/b waits for 60 s, and n takes it");
        // It may come to either of them.
        judge(&["m", "n"]).unwrap();
    }

    #[test]
    fn fires_when_a_pod_goes_where_it_had_rather_not() {
        let judge = |cpu: &str, affinity: serde_json::Value| {
            let mut story = story();
            told(
                &mut story,
                json!({"kind": "Node", "metadata": {"name": "m", "uid": "m"},
                    "spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}, "status": {
                    "allocatable": {"cpu": "4", "memory": "1Gi", "pods": "2"},
                    "conditions": [{"type": "Ready", "status": "True"}]}}),
            );
            let mut pod = sized("a", "", 0, cpu);
            pod["spec"]["affinity"] = affinity;
            told(&mut story, pod);
            let (key, uid) = (Key::new(Kind::Pod, "default", "a"), "a-uid".into());
            let request = Verb::Bind { key, uid, node: "m".into() }.into();
            story.see(Fact::Sent { who: &who(Role::Scheduler, "scheduler"), id: RequestId(1), request: &request })
        };
        let broken = judge("500m", json!(null)).unwrap_err();
        assert_eq!(broken.what, "m is given to pods/default/a, which had rather not be there, and n takes it");
        judge("2", json!(null)).unwrap();
        let preference = json!({"matchExpressions": [{"key": "k", "operator": "Exists"}]});
        let prefers = json!([{"weight": 1, "preference": preference}]);
        judge("500m", json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": prefers}})).unwrap();
    }

    #[test]
    fn fires_when_a_pod_comes_to_those_it_had_rather_be_away_from() {
        // On each node one pod of this app; perhaps the first is on its way there still. The other node has so much.
        let judge = |apps: [&str; 2], asked: bool, cpu: &str| {
            let mut story = story();
            for (name, cpu) in [("m", cpu), ("n", "4")] {
                let mut node =
                    json!({"kind": "Node", "metadata": {"name": name, "uid": name, "labels": {"host": name}}});
                node["status"] = json!({"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "9"},
                    "conditions": [{"type": "Ready", "status": "True"}]});
                told(&mut story, node);
            }
            let scheduler = who(Role::Scheduler, "scheduler");
            let bind = |story: &mut Story<Pending>, name: &str| {
                let (key, uid) = (Key::new(Kind::Pod, "default", name), format!("{name}-uid").into());
                let request = Verb::Bind { key, uid, node: "n".into() }.into();
                story.see(Fact::Sent { who: &scheduler, id: RequestId(1), request: &request })
            };
            for (name, node, app) in [("a", if asked { "" } else { "n" }, apps[0]), ("b", "m", apps[1])] {
                let mut pod = sized(name, node, 0, "600m");
                pod["metadata"]["labels"] = json!({"app": app});
                told(&mut story, pod);
            }
            if asked {
                bind(&mut story, "a").unwrap();
            }
            let mut timid = sized("timid", "", 0, "100m");
            timid["spec"]["affinity"] = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 10, "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "loud"}}, "topologyKey": "host"}}]}});
            told(&mut story, timid);
            bind(&mut story, "timid")
        };
        let broken = judge(["loud", "mute"], false, "4").unwrap_err();
        let what = "n is given to pods/default/timid, which had rather be away from others there; m takes it";
        assert_eq!(broken.what, what);
        judge(["loud", "loud"], false, "4").unwrap();
        judge(["mute", "loud"], false, "4").unwrap();
        judge(["mute", "mute"], false, "4").unwrap();
        // Perhaps it is not there; and perhaps the other node is so full that this counts for more.
        judge(["loud", "mute"], true, "4").unwrap();
        judge(["loud", "mute"], false, "1").unwrap();
    }

    #[test]
    fn says_nothing_of_a_scheduler_that_cannot_or_that_has_asked() {
        let mut unwell = story();
        unwell.truth.scheduler = None;
        told(&mut unwell, pod("a", "", "Pending"));
        waits(&mut unwell).unwrap();

        let mut asked = story();
        told(&mut asked, pod("a", "", "Pending"));
        told(&mut asked, pod("b", "", "Pending"));
        let key = Key::new(Kind::Pod, "default", "a");
        let request = Verb::Bind { key, uid: "a-uid".into(), node: "n".into() }.into();
        let scheduler = who(Role::Scheduler, "scheduler");
        asked.see(Fact::Sent { who: &scheduler, id: RequestId(1), request: &request }).unwrap();
        // Its room is kept for it, so that the other waits as well.
        waits(&mut asked).unwrap();
    }

    fn sized(name: &str, node: &str, priority: i32, cpu: &str) -> serde_json::Value {
        let mut pod = pod(name, node, if node.is_empty() { "Pending" } else { "Running" });
        pod["spec"]["priority"] = priority.into();
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
        pod
    }

    /// These are told that they have to go, and then it is said of a pod that it expects the node `n`.
    fn has_to_go(story: &mut Story<Pending>, victims: &[&str], of: &str) -> Result<(), Broken> {
        let mut says = |name: &str, change: &dyn Fn(&mut Pod)| {
            let known = story.truth.object(&Key::new(Kind::Pod, "default", name)).unwrap();
            let request = Verb::Update { object: known.with(|pod: &mut Pod| change(pod)), part: Part::Status }.into();
            story.see(Fact::Sent { who: &who(Role::Scheduler, "scheduler"), id: RequestId(1), request: &request })
        };
        victims.iter().try_for_each(|victim| says(victim, &|_| {}))?;
        says(of, &|pod| pod.status.nominated_node_name = "n".into())
    }

    #[test]
    fn fires_on_victims_in_vain_and_on_the_wrong_ones() {
        // On one node two pods of these priorities, each of half of it, and on the other one more.
        let judge = |priorities: [i32; 3], victims: &[&str], cpu: &str| {
            let mut story = story();
            let mut other = json!({"kind": "Node", "metadata": {"name": "m", "uid": "m"}});
            other["status"] = json!({"allocatable": {"cpu": "600m", "memory": "1Gi", "pods": "2"},
                "conditions": [{"type": "Ready", "status": "True"}]});
            told(&mut story, other);
            for (name, node, priority) in [("a", "n", 0), ("b", "n", 1), ("c", "m", 2)] {
                told(&mut story, sized(name, node, priorities[priority], "500m"));
            }
            told(&mut story, sized("waits", "", 7, cpu));
            has_to_go(&mut story, victims, "waits")
        };
        judge([0, 0, 0], &["a"], "500m").unwrap();
        judge([0, 0, 0], &["a", "b"], "1").unwrap();
        let fires = |judged: Result<(), Broken>, what: &str| {
            assert!(judged.as_ref().unwrap_err().what.contains(what), "{judged:?}")
        };
        fires(judge([0, 0, 0], &["a", "b"], "500m"), "which has room without that");
        fires(judge([3, 0, 3], &["a"], "500m"), "pods/default/b of 0 would do");
        fires(judge([3, 3, 0], &["a"], "500m"), "on m less important ones would do");
    }

    #[test]
    fn fires_when_the_older_one_has_to_go() {
        // Two who are alike, and a budget that speaks of those of this app.
        let judge = |started: [u32; 2], app: &str| {
            let mut story = story();
            for (name, at) in [("a", started[0]), ("b", started[1])] {
                let mut pod = sized(name, "n", 0, "500m");
                pod["metadata"]["labels"] = json!({"app": name});
                pod["status"]["startTime"] = format!("2026-01-01T00:00:0{at}Z").into();
                told(&mut story, pod);
            }
            told(
                &mut story,
                json!({"kind": "PodDisruptionBudget", "metadata": {"name": "some", "namespace": "default"},
                    "spec": {"selector": {"matchLabels": {"app": app}}}, "status": {"disruptionsAllowed": 1}}),
            );
            told(&mut story, sized("waits", "", 7, "500m"));
            has_to_go(&mut story, &["a"], "waits")
        };
        let broken = judge([1, 2], "nobody").unwrap_err();
        assert!(broken.what.contains("pods/default/b has run for less time and would do"), "{broken:?}");
        judge([1, 1], "nobody").unwrap();
        judge([2, 1], "nobody").unwrap();
        judge([1, 2], "b").unwrap();
    }

    #[test]
    fn a_budget_that_is_gone_counts_until_that_is_told() {
        for hears in [true, false] {
            let mut story = story();
            let mut other = json!({"kind": "Node", "metadata": {"name": "m", "uid": "m"}});
            other["status"] = json!({"allocatable": {"cpu": "600m", "memory": "1Gi", "pods": "2"},
                "conditions": [{"type": "Ready", "status": "True"}]});
            told(&mut story, other);
            for (name, node, priority) in [("a", "n", 3), ("b", "m", 0)] {
                let mut pod = sized(name, node, priority, "600m");
                pod["metadata"]["labels"] = json!({"app": name});
                told(&mut story, pod);
            }
            // Without it, the less important one would have to go.
            told(
                &mut story,
                json!({"kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "default"},
                    "spec": {"selector": {"matchLabels": {"app": "b"}}}, "status": {"disruptionsAllowed": 0}}),
            );
            let key = Key::new(Kind::PodDisruptionBudget, "default", "b");
            let budget = story.truth.object(&key).unwrap().clone();
            let gone = story.write(&budget, true).unwrap();
            if hears {
                let event = gone.seen_by(&Query::all(Kind::PodDisruptionBudget)).unwrap();
                let input = Input::Event { call: CallId(1), event };
                story.see(Fact::Heard { who: &who(Role::Scheduler, "scheduler"), input: &input }).unwrap();
            }
            told(&mut story, sized("waits", "", 7, "600m"));
            assert_eq!(has_to_go(&mut story, &["a"], "waits").is_err(), hears);
        }
    }

    #[test]
    fn fires_on_victims_that_their_budgets_cannot_miss() {
        // On one node two pods, of which a budget speaks of the first, on the other one more; each node is full.
        let judge = |allowed: i32, third: i32, victim: &str| {
            let mut story = story();
            let mut other = json!({"kind": "Node", "metadata": {"name": "m", "uid": "m"}});
            other["status"] = json!({"allocatable": {"cpu": "600m", "memory": "1Gi", "pods": "2"},
                "conditions": [{"type": "Ready", "status": "True"}]});
            told(&mut story, other);
            for (name, node, priority) in [("a", "n", 0), ("b", "n", 9), ("c", "m", third)] {
                let mut pod = sized(name, node, priority, "500m");
                pod["metadata"]["labels"] = json!({"app": name});
                told(&mut story, pod);
            }
            told(
                &mut story,
                json!({"kind": "PodDisruptionBudget", "metadata": {"name": "a", "namespace": "default"},
                    "spec": {"selector": {"matchLabels": {"app": "a"}}}, "status": {"disruptionsAllowed": allowed}}),
            );
            told(&mut story, sized("waits", "", 7, "500m"));
            has_to_go(&mut story, &[victim], "waits")
        };
        judge(1, 0, "a").unwrap();
        judge(0, 8, "a").unwrap();
        let broken = judge(0, 0, "a").unwrap_err();
        assert!(broken.what.contains("whom its budget cannot miss; on m others would do"), "{broken:?}");
    }

    #[test]
    fn says_nothing_of_a_node_that_vanished_in_a_gap_even_if_another_has_its_name() {
        for (uid, fires) in [("m", true), ("another", false)] {
            // By now the node `m` is stored with this uid, of which the scheduler has not heard.
            let story = |spec: serde_json::Value| {
                let mut story = story();
                let mut node = json!({"kind": "Node", "metadata": {"name": "n", "uid": "n"}});
                node["status"] = json!({"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "2"},
                    "conditions": [{"type": "Ready", "status": "True"}]});
                let mut other = node.clone();
                other["metadata"] = json!({"name": "m", "uid": "m"});
                node["spec"] = spec;
                [node, other.clone()].into_iter().for_each(|node| told(&mut story, node));
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
            let (key, uid) = (Key::new(Kind::Pod, "default", "a"), "a-uid".into());
            let request = Verb::Bind { key, uid, node: "n".into() }.into();
            let scheduler = who(Role::Scheduler, "scheduler");
            assert_eq!(averse.see(Fact::Sent { who: &scheduler, id: RequestId(1), request: &request }).is_err(), fires);

            for budget in [false, true] {
                let mut full = story(json!({}));
                if budget {
                    told(
                        &mut full,
                        json!({"kind": "PodDisruptionBudget", "metadata": {"name": "a", "namespace": "default"},
                            "spec": {"selector": {"matchLabels": {"app": "a"}}}, "status": {"disruptionsAllowed": 0}}),
                    );
                }
                for (name, node, priority) in [("a", "n", 3), ("b", "m", 0)] {
                    let mut pod = sized(name, node, priority, "600m");
                    pod["metadata"]["labels"] = json!({"app": name});
                    told(&mut full, pod);
                }
                told(&mut full, sized("waits", "", 7, "600m"));
                assert_eq!(has_to_go(&mut full, &["a"], "waits").is_err(), fires, "{budget}");
            }
        }
    }

    #[test]
    fn fires_when_room_is_given_away_that_is_kept() {
        // In the end the pod that waits is told of once more, with this uid.
        let judge = |cpu: &str, other: i32, uid: &str| {
            let mut story = story();
            told(&mut story, sized("a", "n", 0, "500m"));
            told(&mut story, sized("waits", "", 7, "800m"));
            told(&mut story, sized("other", "", other, cpu));
            has_to_go(&mut story, &["a"], "waits").unwrap();
            told(&mut story, pod("a", "n", "Succeeded"));
            let mut waits = sized("waits", "", 7, "800m");
            waits["metadata"]["uid"] = uid.into();
            told(&mut story, waits);
            let (key, uid) = (Key::new(Kind::Pod, "default", "other"), "other-uid".into());
            let request = Verb::Bind { key, uid, node: "n".into() }.into();
            story.see(Fact::Sent { who: &who(Role::Scheduler, "scheduler"), id: RequestId(3), request: &request })
        };
        let broken = judge("500m", 7, "waits-uid").unwrap_err();
        assert_eq!(
            broken.what,
            "n is given to pods/default/other, and others have gone from there for pods/default/waits"
        );
        judge("500m", 8, "waits-uid").unwrap();
        judge("100m", 7, "waits-uid").unwrap();
        // It was made anew in a gap of the view: nobody has gone for this one.
        judge("500m", 7, "another-uid").unwrap();
    }

    #[test]
    fn fires_when_a_pod_waits_for_a_node_that_is_gone() {
        // What the status says in the end, whether another of the name comes back, and whether something is said meanwhile.
        let judge = |says: &str, back: bool, again: bool| {
            let mut story = story();
            told(&mut story, sized("a", "n", 0, "500m"));
            told(&mut story, sized("waits", "", 7, "800m"));
            has_to_go(&mut story, &["a"], "waits").unwrap();
            let mut waiting = sized("waits", "", 7, "800m");
            waiting["status"]["nominatedNodeName"] = says.into();
            told(&mut story, waiting);
            let node = story.truth.object(&Key::new(Kind::Node, "", "n")).unwrap().clone();
            let event = story.write(&node, true).unwrap().seen_by(&Query::all(Kind::Node)).unwrap();
            let input = Input::Event { call: CallId(1), event };
            story.see(Fact::Heard { who: &who(Role::Scheduler, "scheduler"), input: &input }).unwrap();
            if back {
                story.write(&node, false).unwrap();
            }
            (0..12).try_for_each(|_| {
                if again {
                    has_to_go(&mut story, &[], "waits")?;
                }
                story.pass(20)
            })
        };
        let broken = judge("n", false, false).unwrap_err();
        assert_eq!(broken.what, "pods/default/waits waits for 60 s for n, which is gone");
        judge("", false, false).unwrap();
        judge("n", true, false).unwrap();
        judge("n", false, true).unwrap();
    }

    #[test]
    fn fires_when_room_is_given_away_that_a_former_life_has_kept() {
        // What the status says when the scheduler hears of the pod for the first time, and what it says then.
        let judge = |first: &str, then: &str, cpu: &str| {
            let mut story = story();
            for expects in [first, then] {
                let mut waits = sized("waits", "", 7, "800m");
                waits["status"]["nominatedNodeName"] = expects.into();
                told(&mut story, waits);
            }
            told(&mut story, sized("other", "", 7, cpu));
            let (key, uid) = (Key::new(Kind::Pod, "default", "other"), "other-uid".into());
            let request = Verb::Bind { key, uid, node: "n".into() }.into();
            story.see(Fact::Sent { who: &who(Role::Scheduler, "scheduler"), id: RequestId(3), request: &request })
        };
        let broken = judge("n", "n", "500m").unwrap_err();
        assert_eq!(
            broken.what,
            "n is given to pods/default/other, and others have gone from there for pods/default/waits"
        );
        judge("n", "n", "100m").unwrap();
        judge("m", "n", "500m").unwrap();
        judge("", "n", "500m").unwrap();
    }

    #[test]
    fn room_that_is_kept_is_taken_also_where_a_former_life_has_said_so() {
        // Who waits expects this node, as its status says; perhaps a pod is about to leave the node.
        let story = |expects: &str, leaves: bool| {
            let mut story = story();
            let mut goes = sized("a", "n", 0, "500m");
            if leaves {
                goes["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            told(&mut story, goes);
            let mut waits = sized("waits", "", 7, "800m");
            waits["status"]["nominatedNodeName"] = expects.into();
            told(&mut story, waits);
            story
        };
        for (expects, priority, fires) in [("m", 5, true), ("n", 5, false), ("n", 8, true)] {
            for leaves in [true, false] {
                let mut idle = story(expects, leaves);
                told(&mut idle, sized("small", "", priority, "300m"));
                assert_eq!(waits(&mut idle).is_err(), fires || !leaves, "{expects} {priority} {leaves}");
            }
            let mut given = story(expects, true);
            told(&mut given, sized("small", "", priority, "300m"));
            told(&mut given, sized("tiny", "", 0, "100m"));
            let (key, uid) = (Key::new(Kind::Pod, "default", "tiny"), "tiny-uid".into());
            let request = Verb::Bind { key, uid, node: "n".into() }.into();
            let scheduler = who(Role::Scheduler, "scheduler");
            let sent = given.see(Fact::Sent { who: &scheduler, id: RequestId(1), request: &request });
            // If it is not for the one that waits, it is for the room that is kept.
            let of_small = sent.as_ref().unwrap_err().what.contains("small waits");
            assert_eq!(of_small, fires, "{expects} {priority}: {sent:?}");
        }
    }

    #[test]
    fn knows_that_nothing_new_may_be_said_of_whom_they_go_for() {
        let judge = |expects: &str| {
            let mut story = story();
            ["a", "b"].into_iter().for_each(|name| told(&mut story, sized(name, "n", 0, "500m")));
            let mut silent = sized("silent", "", 5, "500m");
            silent["status"]["nominatedNodeName"] = expects.into();
            told(&mut story, silent);
            told(&mut story, sized("waits", "", 7, "500m"));
            has_to_go(&mut story, &["a", "b"], "waits")
        };
        judge("n").unwrap();
        let broken = judge("m").unwrap_err();
        assert!(broken.what.contains("for pods/default/waits, which has room without that"), "{broken:?}");
    }
}
