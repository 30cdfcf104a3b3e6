//! What a daemon set wants, and what its status says.

use crate::api::daemonset::{DaemonSet, DaemonSetStatus};
use crate::api::kinds::Kind;
use crate::api::meta::ObjectMeta;
use crate::api::node::Node;
use crate::api::node_affinity::{NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use crate::api::object::Resource;
use crate::api::pod::{Pod, PodPhase};
use crate::api::pod_affinity::Affinity;
use crate::api::statefulset::{REVISION_HASH, UpdateStrategyType};
use crate::api::taint::{NO_EXECUTE, NO_SCHEDULE, NOT_READY, UNREACHABLE, UNSCHEDULABLE};
use crate::api::text::Text;
use crate::api::toleration::{Toleration, Tolerations};
use crate::controllers::daemonset::renewal::{self, RENEWAL, State, renewal};
use crate::controllers::daemonset::staffing::{Action, Fit, Here, STAFFING, Surge, fit, staffing};
use crate::controllers::workload::revisions::Revisions;
use crate::controllers::workload::{BURST, Naming, New, Plan, Scene, Told, Victim};
use crate::decision::Because;
use crate::reasons::{DEAD, DOUBLE, NODE_GONE};
use crate::time::{Duration, Instant};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Taints that every pod of a daemon set puts up with.
///
/// Source: Kubernetes documentation, "DaemonSet", taints and tolerations.
const PUTS_UP_WITH: &[(&str, &str)] = &[
    (NOT_READY, NO_EXECUTE),
    (UNREACHABLE, NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    (UNSCHEDULABLE, NO_SCHEDULE),
];
/// And on the host's network this one, too.
const ON_THE_HOSTS_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", NO_SCHEDULE);

/// A pod of the set that is not both finished and leaving.
struct Member<'a> {
    pod: &'a Pod,
    state: State,
}

/// A node, and the set's pods that are on it or meant for it.
struct Home<'a> {
    fit: Fit,
    members: Vec<Member<'a>>,
}

impl<'a> Home<'a> {
    /// Those that are not being deleted.
    fn staying(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().filter(|one| !one.pod.metadata.is_deleting())
    }

    fn here(&self) -> Here {
        match () {
            () if self.staying().next().is_some() => Here::Somebody,
            () if self.members.is_empty() || planted!(DaemonsBesideLeaving) => Here::Nobody,
            () => Here::Leaving,
        }
    }
}

/// What a set wants: a pod of the newest revision on each node that fits.
pub fn plan(scene: &Scene<'_>) -> Plan {
    let Some(set) = scene.owner.read::<DaemonSet>() else { return Plan::default() };
    let mut plan = Plan::default();
    let revisions = Revisions::of(scene, &set.spec.template, set.status.collision_count, &mut plan);
    let hash = hash_of(&revisions.newest);
    let pattern = pattern(&set, hash);
    let (homes, lost) = homes(scene, &set, &pattern, &mut plan);
    // Before the newest revision is there, nothing is made of it.
    if revisions.is_settled {
        staff(scene, &set, &pattern, hash, &homes, &mut plan);
        // They are meant for nodes that are gone, and would wait for ever.
        let lost = lost.iter().filter(|_| !planted!(LostDaemonsStay));
        plan.delete.extend(lost.map(|pod| Victim::of_pod(&pod.metadata, NODE_GONE.because())));
    }
    // Whatever becomes of its node: that may come back, and a pod with it.
    let used = |name: &str| {
        let hash = hash_of(name);
        scene.children.iter().filter_map(|one| one.get::<Pod>()).any(|pod| revision(pod) == hash)
    };
    revisions.clean_up(set.spec.revision_history_limit, used, &mut plan);
    let status = counted(&set, scene.owner.meta(), hash, &homes, revisions.collisions);
    if status != set.status {
        plan.status = Some(scene.owner.with_status(&status));
    }
    plan
}

/// The part of a revision's name by which its pods are told: `7d4f` of `agent-7d4f`.
fn hash_of(revision: &str) -> &str {
    revision.rsplit_once('-').map_or(revision, |(_, hash)| hash)
}

fn revision(pod: &Pod) -> &str {
    pod.metadata.labels.get(REVISION_HASH).map_or("", Text::as_str)
}

/// The nodes by name, with their pods; and the pods that wait for a node that does not exist.
fn homes<'a>(
    scene: &Scene<'a>,
    set: &DaemonSet,
    pattern: &Pod,
    plan: &mut Plan,
) -> (BTreeMap<&'a str, Home<'a>>, Vec<&'a Pod>) {
    let min_ready = Duration::from_secs(u64::try_from(set.spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0));
    let nodes = scene.views.all(Kind::Node).filter_map(|node| node.get::<Node>());
    let home = |node: &'a Node| (node.metadata.name.as_str(), Home { fit: fit(pattern, node), members: Vec::new() });
    let mut homes: BTreeMap<&str, Home<'_>> = nodes.map(home).collect();
    let mut lost = Vec::new();
    for pod in scene.children.iter().filter_map(|one| one.get::<Pod>()) {
        let Some(node) = pod.target_node() else { continue };
        if pod.metadata.is_deleting() && pod.status.phase.is_final() {
            continue;
        }
        let left = scene.readiness.ready_for(scene.now, pod).map(|ready| min_ready.saturating_sub(ready));
        plan.look_at(left.filter(|left| !left.is_zero()).map(|left| scene.now.mono + left));
        let state = match left {
            None => State::Unready,
            Some(left) if left.is_zero() || planted!(DaemonsYoungServe) => State::Serves,
            Some(_) => State::Young,
        };
        match homes.get_mut(node) {
            Some(home) => home.members.push(Member { pod, state }),
            None if pod.node().is_none() && !pod.metadata.is_deleting() => lost.push(pod),
            None => {}
        }
    }
    for home in homes.values_mut() {
        home.members.sort_by_key(|one| {
            let meta = &one.pod.metadata;
            (one.pod.node().is_none(), meta.creation_timestamp, meta.name.as_str())
        });
    }
    (homes, lost)
}

fn staff(
    scene: &Scene<'_>,
    set: &DaemonSet,
    pattern: &Pod,
    newest: &str,
    homes: &BTreeMap<&str, Home<'_>>,
    plan: &mut Plan,
) {
    let nodes = homes.values().filter(|home| home.fit == Fit::Takes).count() as i64;
    let (max_surge, max_unavailable) = (set.max_surge(nodes), set.max_unavailable(nodes));
    let mut round = Round {
        scene,
        pattern,
        newest,
        surge: if max_surge > 0 { Surge::Yes } else { Surge::No },
        rolls: set.spec.update_strategy.kind == UpdateStrategyType::RollingUpdate || planted!(DaemonsOnDeleteRoll),
        plan,
        away: 0,
        two: 0,
        to_end: Vec::new(),
        to_make: Vec::new(),
    };
    for (node, home) in homes {
        round.visit(node, home);
    }
    let Round { plan, away, two, to_end, to_make, .. } = round;
    let left =
        |most: usize, so_far: usize| if planted!(DaemonsAllAtOnce) { BURST } else { most.saturating_sub(so_far) };
    let ending = to_end.into_iter().take(left(max_unavailable, away));
    plan.delete.extend(ending.map(|(pod, because)| Victim::of_pod(&pod.metadata, because).or_another()));
    let made = to_make.into_iter().take(left(max_surge, if planted!(SurgeUnbounded) { 0 } else { two }));
    plan.create.extend(made.map(|(node, because)| meant_for(pattern, node, because)));
    plan.create.truncate(BURST);
}

/// One look at all nodes, one after the other. What may be done on only a few at a time waits until all have been seen.
struct Round<'r, 's> {
    scene: &'r Scene<'s>,
    pattern: &'r Pod,
    newest: &'r str,
    surge: Surge,
    /// Whether old pods are replaced without anybody deleting them.
    rolls: bool,
    plan: &'r mut Plan,
    /// Nodes whose pod does not serve, or will not.
    away: usize,
    /// Nodes with a new pod beside an old one.
    two: usize,
    /// Old pods that may go, as long as few are away.
    to_end: Vec<(&'r Pod, Because)>,
    /// Nodes that may get a new pod beside an old one, as long as few have two.
    to_make: Vec<(&'r str, Because)>,
}

impl<'r> Round<'r, '_> {
    /// Does what is to be done on one node.
    fn visit(&mut self, node: &'r str, home: &'r Home<'r>) {
        let row = staffing(home.fit, home.here(), self.surge);
        let staffed = || on(node, Because::of(&STAFFING, row));
        match row.then {
            Action::Keep => {}
            Action::Wait => self.away += 1,
            Action::Make => {
                self.away += 1;
                match turn(self.scene, node) {
                    Some(turn) => self.plan.look_at(turn),
                    None => self.plan.create.push(meant_for(self.pattern, node, staffed())),
                }
            }
            Action::End if planted!(DaemonsStay) => {}
            Action::End => {
                self.plan.delete.extend(home.staying().map(|one| Victim::of_pod(&one.pod.metadata, staffed())));
            }
            Action::Look => self.look(node, home),
        }
    }

    /// Ends the pods that are too many on a node. Where none is, an old one may be replaced.
    fn look(&mut self, node: &'r str, home: &'r Home<'r>) {
        let (ended, running): (Vec<_>, Vec<_>) = home.staying().partition(|one| one.pod.status.phase.is_final());
        let deleted_before = self.plan.delete.len();
        bury(self.scene, node, &ended.iter().map(|one| one.pod).collect::<Vec<_>>(), self.plan);
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|one| revision(one.pod) == self.newest);
        let kept = self.kept(home, &new, &old);
        let too_many = new.iter().chain(&old).filter(|one| !kept.iter().any(|kept| std::ptr::eq(*kept, **one)));
        let doubles = too_many.map(|one| Victim::of_pod(&one.pod.metadata, on(node, DOUBLE.because())));
        self.plan.delete.extend(doubles);
        if self.plan.delete.len() > deleted_before || kept.is_empty() {
            self.away += 1;
            return;
        }
        // Where nothing new comes, nobody could take the place of who is alone. Of two one goes all the same.
        let alone = new.is_empty() || old.is_empty();
        if self.rolls && (!alone || home.fit == Fit::Takes) {
            self.renew(node, old.first().copied(), new.first().copied());
        }
    }

    /// Which of the pods that run on a node stay, given those of the newest revision and the others, each in order.
    fn kept(&self, home: &Home<'_>, new: &[&'r Member<'r>], old: &[&'r Member<'r>]) -> Vec<&'r Member<'r>> {
        let firsts = [new.first(), old.first()].into_iter().flatten().copied();
        // Where nothing new comes any more, a new one that is not bound yet would wait beside an old one for as long as
        // the taint is there.
        let in_vain = home.fit == Fit::Keeps && new.first().is_some_and(|one| one.pod.node().is_none());
        match self.surge {
            Surge::Yes if !in_vain => firsts.collect(),
            // Where nothing surges there is one of all revisions: the oldest. Those that are bound come first.
            Surge::Yes | Surge::No => firsts.min_by_key(|one| position(home, one)).into_iter().collect(),
        }
    }

    /// Decides whether the old pod of a node makes way for a new one, and when.
    fn renew(&mut self, node: &'r str, old: Option<&'r Member<'r>>, new: Option<&'r Member<'r>>) {
        let state = |one: Option<&Member<'_>>| one.map_or(State::Absent, |one| one.state);
        let row = renewal(self.surge, state(old), state(new));
        let renewed = || on(node, Because::of(&RENEWAL, row));
        match row.then {
            renewal::Action::Keep => {}
            renewal::Action::Away => self.away += 1,
            renewal::Action::Two if planted!(SurgeEndsEarly) => {
                self.plan.delete.extend(old.map(|one| Victim::of_pod(&one.pod.metadata, renewed())));
            }
            renewal::Action::Two => self.two += 1,
            renewal::Action::End => {
                self.plan.delete.extend(old.map(|one| Victim::of_pod(&one.pod.metadata, renewed())));
                self.away += usize::from(self.surge == Surge::No);
            }
            renewal::Action::EndInTurn => self.to_end.extend(old.map(|one| (one.pod, renewed()))),
            renewal::Action::Make | renewal::Action::MakeInTurn if turn(self.scene, node).is_some() => {
                self.plan.look_at(turn(self.scene, node));
            }
            renewal::Action::Make => self.plan.create.push(meant_for(self.pattern, node, renewed())),
            renewal::Action::MakeInTurn => self.to_make.push((node, renewed())),
        }
    }
}

/// The reason, with the node that it is about.
fn on(node: &str, because: Because) -> Because {
    because.as_seen(format!("on node {node}"))
}

fn position(home: &Home<'_>, member: &Member<'_>) -> Option<usize> {
    home.members.iter().position(|one| std::ptr::eq(one, member))
}

/// When a node's pod may be replaced, if that is not yet: they ended too often lately, or were taken away before they ran
/// or soon after.
fn turn(scene: &Scene<'_>, node: &str) -> Option<Instant> {
    let turn = scene.places.get(node).map(|failures| failures.replace_at(1));
    turn.filter(|turn| *turn > scene.now.mono)
}

/// Deletes pods of a node that have ended, if they have not ended too often lately.
fn bury(scene: &Scene<'_>, node: &str, ended: &[&Pod], plan: &mut Plan) {
    let turn = turn(scene, node);
    for pod in ended {
        let name = &pod.metadata.name;
        let because = DEAD.because().as_seen(format!("it ended as {:?} on node {node}", pod.status.phase));
        let told = match pod.status.phase {
            PodPhase::Failed => {
                if let Some(turn) = turn {
                    plan.look_at(turn);
                    continue;
                }
                let message = format!(
                    "Found failed daemon pod {}/{name} on node {node}, will try to kill it",
                    pod.metadata.namespace
                );
                Told::warning("FailedDaemonPod", message)
            }
            _ => {
                let message = format!(
                    "Found succeeded daemon pod {}/{name} on node {node}, will try to delete it",
                    pod.metadata.namespace
                );
                Told::normal("SucceededDaemonPod", message)
            }
        };
        plan.delete.push(Victim { told: Some(told), ..Victim::of_pod(&pod.metadata, because) });
    }
}

/// What the set's pods are like, before they are meant for a node.
fn pattern(set: &DaemonSet, hash: &str) -> Pod {
    let mut pod = set.spec.template.pod();
    pod.metadata.labels.insert(REVISION_HASH, hash.into());
    let spec = Arc::make_mut(&mut pod.spec);
    let on_host = spec.rest.get("hostNetwork") == Some(&Value::Bool(true));
    let mut tolerations: Vec<Toleration> = spec.tolerations.to_vec();
    for (key, effect) in PUTS_UP_WITH.iter().chain(on_host.then_some(&ON_THE_HOSTS_NETWORK)) {
        let one = Toleration {
            key: (*key).into(),
            operator: "Exists".into(),
            effect: (*effect).into(),
            ..Toleration::default()
        };
        // One that says the same but for how long is replaced.
        let same = |has: &Toleration| Toleration { toleration_seconds: None, ..has.clone() } == one;
        match tolerations.iter().position(same) {
            Some(at) => tolerations[at] = one,
            None => tolerations.push(one),
        }
    }
    spec.tolerations = Tolerations::from(tolerations);
    pod
}

/// The pods that a set would make on these nodes, before there is any.
pub fn pods<'a>(set: &DaemonSet, nodes: impl Iterator<Item = &'a Node>) -> Vec<Pod> {
    let pattern = pattern(set, "");
    let takers = nodes.filter(|node| fit(&pattern, node) == Fit::Takes);
    takers.map(|node| pinned(&pattern, &node.metadata.name)).collect()
}

/// A pod like the pattern that no other node takes. That this one does is known already.
///
/// Source: `ReplaceDaemonSetPodNodeNameNodeAffinity`.
fn meant_for(pattern: &Pod, node: &str, because: Because) -> New {
    let pod = pinned(pattern, node);
    New { name: Naming::Unsaid(node.into()), ..New::given(pod.into_object(), because) }
}

fn pinned(pattern: &Pod, node: &str) -> Pod {
    let mut pod = pattern.clone();
    let field = NodeSelectorRequirement {
        key: "metadata.name".into(),
        operator: "In".into(),
        values: vec![node.into()],
        ..Default::default()
    };
    let term = NodeSelectorTerm { match_fields: vec![field], ..Default::default() };
    let spec = Arc::make_mut(&mut pod.spec);
    let mut affinity: Affinity = spec.affinity.as_deref().cloned().unwrap_or_default();
    let nodes: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    nodes.required = Some(NodeSelector { terms: vec![term], ..Default::default() });
    spec.affinity = Some(Arc::new(affinity));
    pod
}

fn counted(
    set: &DaemonSet,
    meta: &ObjectMeta,
    newest: &str,
    homes: &BTreeMap<&str, Home<'_>>,
    collisions: Option<i32>,
) -> DaemonSetStatus {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let some = |count: usize| Some(number(count)).filter(|count| *count != 0);
    let wanted = || homes.values().filter(|home| home.fit == Fit::Takes);
    // Of several on one node the oldest counts.
    let with = |test: &dyn Fn(&Member<'_>) -> bool| {
        wanted().filter_map(|home| home.members.first()).filter(|one| test(one)).count()
    };
    let (desired, available) = (wanted().count(), with(&|one| one.state == State::Serves));
    let misplaced = homes.values().filter(|home| home.fit != Fit::Takes && !home.members.is_empty()).count();
    DaemonSetStatus {
        current_number_scheduled: number(with(&|_| true)),
        number_misscheduled: number(misplaced),
        desired_number_scheduled: number(desired),
        number_ready: number(with(&|one| one.state != State::Unready)),
        observed_generation: meta.generation,
        updated_number_scheduled: some(with(&|one| revision(one.pod) == newest)),
        number_available: some(available),
        number_unavailable: some(desired - available),
        collision_count: collisions,
        ..set.status.clone()
    }
}
