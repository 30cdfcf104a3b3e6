//! What is where, as far as a scheduler was told and has asked for, and which nodes surely take one more.
//!
//! What was asked for counts on its node while nothing went wrong since. What vanished in a gap of the view stays in what
//! was told.

use super::wants::{ALL_LOOKED_AT, GPU, UNSAID, Wants, offers, wants, wants_of};
use crate::told::Told;
use crate::truth::{Fact, Truth, Who};
use miniku_core::api::by_key::ByKey;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Container, Pod};
use miniku_core::api::taint::{KEEP_AWAY, untolerated};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, Input, Part, Verb};
use miniku_core::scheduler::Strategy;
use miniku_core::scheduler::program::DEFAULT_SCHEDULER;
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// What was asked for so long ago may have come to anything: who has a fast clock waits for its answer no longer.
pub const ANSWERED: Duration = Duration::from_secs(28);

/// What the scheduler's present life has asked for and said.
#[derive(Default)]
pub(super) struct Asks {
    life: u32,
    /// The binds that were asked for, of pods that are on no node yet as far as was told.
    asked: ByKey<Ask>,
    /// How many answers were bad.
    troubles: u64,
    /// The pods that wait for a node from which others go, as was said, with their uids.
    expect: BTreeMap<Key, Text>,
}

/// The binds that were asked for of a pod.
struct Ask {
    uid: Text,
    nodes: BTreeSet<Text>,
    at: Instant,
    /// How many answers had been bad by then.
    troubles: u64,
}

/// A bind that a scheduler is about to ask for, and what it was told by then.
#[derive(Clone, Copy)]
pub(super) struct Bind<'a> {
    pub told: Told<'a>,
    pub key: &'a Key,
    pub uid: &'a Text,
    pub node: &'a Text,
    /// The pod, if this is its first one: one that is asked for once more goes where the first one went, whatever the
    /// nodes are by then.
    pub first_of: Option<&'a Pod>,
}

/// A pod that takes up room on a node.
pub(super) struct Placed<'a> {
    pub pod: &'a Pod,
    pub node: &'a str,
    /// Whether it surely does.
    pub is_sure: bool,
}

/// What is on a node.
#[derive(Clone, Copy, Default)]
pub(super) struct There {
    pub used: Wants,
    /// Processors and memory as nodes are ranked by them.
    pub ranked: [u64; 2],
    /// Whether more or less may be there.
    pub unsure: bool,
}

impl Asks {
    /// Whether they are of the life that a scheduler has now.
    pub fn are_of(&self, who: &Who) -> bool {
        self.life == who.life
    }

    /// Takes in what a scheduler hears, and what it says of pods; with each life it begins anew. Gives the bind that the
    /// scheduler asks for, if it does. Once that is judged, it goes to [`Asks::ask`].
    pub fn see<'a>(&mut self, truth: &'a Truth, who: &Who, fact: &Fact<'a>) -> Option<Bind<'a>> {
        if !self.are_of(who) {
            *self = Asks { life: who.life, ..Asks::default() };
        }
        match fact {
            Fact::Heard { input: Input::Reply { answer: Answer::Refused(_) | Answer::Lost(_), .. }, .. } => {
                self.troubles += 1;
            }
            Fact::Sent { request, .. } => match &request.verb {
                Verb::Update { object, part: Part::Status } => self.says(object),
                Verb::Bind { key, uid, node } => {
                    let told = truth.told(who);
                    return Some(Bind { told, key, uid, node, first_of: self.first(told, key, uid) });
                }
                _ => {}
            },
            _ => {}
        }
        None
    }

    /// It is said of a pod whether it waits for a node from which others go.
    fn says(&mut self, object: &Object) {
        let Some(pod) = object.get::<Pod>().filter(|pod| pod.node().is_none()) else { return };
        match pod.status.nominated_node_name.as_str() {
            "" => drop(self.expect.remove(&object.key())),
            _ => drop(self.expect.insert(object.key(), pod.metadata.uid.clone())),
        }
    }

    /// The pod for which a bind is about to be asked, if that is the first one.
    fn first<'a>(&mut self, told: Told<'a>, key: &Key, uid: &str) -> Option<&'a Pod> {
        let unbound = |key: &Key, uid: &str| {
            let pod = told.object(key).and_then(Object::get::<Pod>);
            pod.filter(|pod| *pod.metadata.uid == *uid && pod.node().is_none())
        };
        self.asked.retain(|key, ask| unbound(key, &ask.uid).is_some());
        let was_asked = self.asked.get(key).is_some_and(|ask| *ask.uid == *uid);
        unbound(key, uid).filter(|_| !was_asked)
    }

    /// A bind is asked for.
    pub fn ask(&mut self, truth: &Truth, bind: Bind<'_>) {
        let Bind { key, uid, node, .. } = bind;
        match self.asked.get_mut(key).filter(|ask| ask.uid == *uid) {
            Some(ask) => {
                ask.nodes.insert(node.clone());
            }
            None => {
                let (nodes, troubles) = (BTreeSet::from([node.clone()]), self.troubles);
                self.asked.insert(key.clone(), Ask { uid: uid.clone(), nodes, at: truth.now, troubles });
            }
        }
    }

    /// What is where, as far as the scheduler was told and has asked. Nothing, if somebody waits for a node from which
    /// others go.
    pub fn placed<'a>(&'a self, truth: &Truth, told: Told<'a>) -> Option<Vec<Placed<'a>>> {
        let mut all = Vec::new();
        for object in told.of_kind(Kind::Pod) {
            let (key, Some(pod)) = (object.key(), object.get::<Pod>()) else { continue };
            if pod.status.phase.is_final() {
                continue;
            }
            let stays = truth.has_pod(&pod.metadata.uid);
            let expects = !pod.status.nominated_node_name.is_empty()
                || self.expect.get(&key).is_some_and(|uid| *uid == pod.metadata.uid);
            match pod.node() {
                None if expects => return None,
                Some(node) => all.push(Placed { pod, node, is_sure: stays }),
                None => {
                    let Some(ask) = self.asked.get(&key).filter(|ask| ask.uid == pod.metadata.uid) else { continue };
                    let good = ask.troubles == self.troubles && truth.now.since(ask.at) < ANSWERED;
                    let is_sure = good && stays && pod.is_active() && ask.nodes.len() == 1;
                    all.extend(ask.nodes.iter().map(|node| Placed { pod, node: node.as_str(), is_sure }));
                }
            }
        }
        Some(all)
    }
}

/// The nodes, as far as a scheduler was told. Nothing, if they are so many that it does not look at each of them.
pub(super) fn nodes(told: Told<'_>) -> Option<Vec<&Node>> {
    let all = told.of_kind(Kind::Node).filter_map(Object::get::<Node>);
    let nodes: Vec<&Node> = all.take(ALL_LOOKED_AT + 1).collect();
    (nodes.len() <= ALL_LOOKED_AT).then_some(nodes)
}

/// What is on each node, by its name.
pub(super) fn by_node(placed: &[Placed<'_>]) -> BTreeMap<Text, There> {
    let mut all: BTreeMap<Text, There> = BTreeMap::new();
    for Placed { pod, node, is_sure } in placed {
        let there = all.entry((*node).into()).or_default();
        let (amount, more) = (wants(pod), ranked(pod));
        there.used = std::array::from_fn(|at| there.used[at].saturating_add(amount[at]));
        there.ranked = std::array::from_fn(|at| there.ranked[at].saturating_add(more[at]));
        there.unsure |= !is_sure;
    }
    all
}

/// What a pod counts when nodes are ranked, in processors and memory.
pub(super) fn ranked(pod: &Pod) -> [u64; 2] {
    let silent = |name: &str| {
        let says =
            |one: &Container| one.resources.requests.contains_key(name) || one.resources.limits.contains_key(name);
        pod.spec.containers.iter().filter(|one| !says(one)).count() as u64
    };
    [wants_of(pod, "cpu") + silent("cpu") * UNSAID[0], wants_of(pod, "memory") + silent("memory") * UNSAID[1]]
}

/// The strategy by which a pod gets its node, if nothing was promised to it, and it asks for nothing of its node that is
/// not reckoned here.
pub(super) fn strategy(truth: &Truth, pod: &Pod) -> Option<Strategy> {
    let by = match pod.spec.scheduler_name.as_str() {
        "" => DEFAULT_SCHEDULER,
        name => name,
    };
    let known = |one: &Container| {
        let mut names = one.resources.requests.keys().chain(one.resources.limits.keys());
        names.all(|name| ["cpu", "memory", GPU].contains(&name.as_str())) && one.rest.get("ports").is_none()
    };
    let says_more =
        ["initContainers", "volumes", "hostNetwork"].into_iter().any(|name| pod.spec.rest.get(name).is_some());
    let is_plain = pod.spec.containers.iter().all(known) && !says_more && pod.status.nominated_node_name.is_empty();
    truth.strategies.get(by).copied().filter(|_| is_plain)
}

/// Whether a node takes a pod beside what is used, wherever other pods are.
pub(super) fn takes(node: &Node, used: Wants, pod: &Pod) -> bool {
    let (offered, wanted) = (offers(node, 0), wants(pod));
    let room = (0..wanted.len()).all(|at| wanted[at] == 0 || used[at].saturating_add(wanted[at]) <= offered[at]);
    let tainted = untolerated(&node.spec.taints, &pod.spec.tolerations, KEEP_AWAY).next().is_some();
    let open = node.is_ready() && !node.spec.unschedulable && !node.metadata.is_deleting();
    room && open && !tainted && pod.spec.allows_node(&node.metadata.name, &node.metadata.labels)
}
