//! The disruption controller: views, and for each budget and each pod at most one write of its status on its way.

use crate::api::budget::{
    BudgetStatus, DISRUPTION_ALLOWED, INSUFFICIENT_PODS, PodDisruptionBudget, SUFFICIENT_PODS, SYNC_FAILED,
};
use crate::api::condition::Condition;
use crate::api::kinds::Kind;
use crate::api::meta::{Labels, ObjectMeta, Time};
use crate::api::object::{Key, Object};
use crate::api::plain::label_selector;
use crate::api::pod::{Pod, PodCondition};
use crate::api::replicaset::ReplicaSet;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Calls, Change, Informer, informer};
use crate::controllers::attempts::Attempts;
use crate::controllers::disruption::allowance::{allowance, needs_scale};
use crate::controllers::disruption::counting::is_healthy;
use crate::controllers::disruption::grants::{self, Action, Age, CATCH_UP, DELETION_TIMEOUT};
use crate::controllers::disruption::scale::{SCALED, replicas, scale};
use crate::controllers::disruption::stale::{self, STALE_AFTER, STALE_DISRUPTION, stale_disruption};
use crate::controllers::labelled::Labelled;
use crate::controllers::workload::selecting::Selecting;
use crate::decision::{Because, Decision};
use crate::program::{Effects, Input, Level, Part, Program, Query, Revision, Verb};
use crate::time::{Instant, Now};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the controller behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How its list-watches retry.
    pub informer: informer::Options,
}

/// Counts the pods of disruption budgets, and takes back that a pod goes which has not gone. A change of a pod costs its
/// labels and then, for each budget that selects it, the budget's pods.
#[derive(Debug)]
pub struct DisruptionController {
    budgets: Informer,
    /// Begun when the budgets are known, so that what was granted is not older than what is seen of the pods: a pod that
    /// has gone since, as a budget that is counted already says, must not be counted again.
    pods: Informer,
    workloads: Vec<Informer>,
    calls: Calls<Key>,
    recorder: EventRecorder,
    /// Budgets, and pods that say that they go.
    attempts: Attempts<Key>,
    selecting: Selecting,
    labelled: Labelled,
    /// Evictions that were granted, by budget and name of the pod.
    granted: BTreeMap<Key, BTreeMap<Text, Granted>>,
    /// Pods that live and say that they go, and since when they are seen to say so.
    going: BTreeMap<Key, Instant>,
}

/// An eviction that was granted.
#[derive(Clone, Copy, Debug)]
struct Granted {
    /// When, as the API server says.
    time: Time,
    /// The budget's revision when it was seen first: whoever knows pods up to it knows the pod.
    revision: Revision,
    /// Since when pods are known up to there; absent if they are not.
    known: Option<Instant>,
}

/// What is counted of a budget.
struct Counted {
    status: BudgetStatus,
    /// When it is another though nothing has happened.
    look_again: Option<Instant>,
    /// What people are told, if it has changed.
    tell: Vec<(Tone, &'static str, String)>,
}

/// Spaces of call ids; the workloads' follow.
const BUDGETS: u16 = 1;
const PODS: u16 = 2;
const CALLS: u16 = 3;
const EVENTS: u16 = 4;

impl DisruptionController {
    /// Knows nothing yet. `seed` decides the jitter of its retries.
    pub fn new(options: Options, seed: u64) -> Self {
        let view = |kind, space| Informer::new(Query::all(kind), space, seed, options.informer);
        DisruptionController {
            budgets: view(Kind::PodDisruptionBudget, BUDGETS),
            pods: view(Kind::Pod, PODS),
            workloads: (EVENTS + 1..).zip(SCALED).map(|(space, kind)| view(kind, space)).collect(),
            calls: Calls::in_space(CALLS),
            recorder: EventRecorder::new("controllermanager", "", EVENTS),
            attempts: Attempts::default(),
            selecting: Selecting::default(),
            labelled: Labelled::default(),
            granted: BTreeMap::new(),
            going: BTreeMap::new(),
        }
    }

    fn is_synced(&self) -> bool {
        self.workloads.iter().chain([&self.budgets, &self.pods]).all(Informer::is_synced)
    }

    fn budget_changed(&mut self, now: Now, change: &Change) {
        let (old, new) = change.sides();
        if let Some((old, selector)) = old.and_then(|old| Some((old, selector(old)?))) {
            self.selecting.remove(&old.key(), &selector);
        }
        if let Some((new, selector)) = new.and_then(|new| Some((new, selector(new)?))) {
            self.selecting.add(&new.key(), &selector);
        }
        let Some(key) = old.or(new).map(Object::key) else { return self.look_at_all(now) };
        self.attempts.seen(&key, new.map(Object::revision), now.mono);
        match new {
            Some(_) => self.attempts.add(key, now.mono),
            None => {
                self.attempts.forget(&key);
                self.granted.remove(&key);
            }
        }
    }

    fn pod_changed(&mut self, now: Now, change: &Change) {
        self.labelled.changed(change);
        let (old, new) = change.sides();
        if matches!(change, Change::Synced) {
            return self.look_at_all(now);
        }
        self.note_going(now, old, new);
        let pods = (old.and_then(Object::get::<Pod>), new.and_then(Object::get::<Pod>));
        if pods.0.map(face) == pods.1.map(face) {
            return;
        }
        for object in old.into_iter().chain(new) {
            self.look_at_those_that_select(now, object.meta());
        }
    }

    /// Remembers since when a pod says that it goes. It is looked at when its end should have been asked for.
    fn note_going(&mut self, now: Now, old: Option<&Object>, new: Option<&Object>) {
        let Some(key) = old.or(new).map(Object::key) else { return };
        self.attempts.seen(&key, new.map(Object::revision), now.mono);
        match going(new) {
            None => {
                self.going.remove(&key);
                self.attempts.forget(&key);
            }
            said if said == going(old) => {}
            Some(_) if planted!(ExtendedTakenBack) && self.going.contains_key(&key) => {}
            Some(_) => {
                self.going.insert(key.clone(), now.mono);
                self.attempts.add_at(key, now.mono + STALE_AFTER);
            }
        }
    }

    /// What a workload wants matters to the budgets of its pods, which have its template's labels.
    fn workload_changed(&mut self, now: Now, change: &Change) {
        let (old, new) = change.sides();
        if matches!(change, Change::Synced) {
            return self.look_at_all(now);
        }
        let is_same = old.map(replicas) == new.map(replicas) || planted!(WishChangeUnheard);
        if is_same && old.map(owner) == new.map(owner) {
            return;
        }
        for object in old.into_iter().chain(new) {
            let (namespace, labels) = (object.meta().namespace.clone(), template_labels(object));
            self.look_at_those_that_select(now, &ObjectMeta { namespace, labels, ..Default::default() });
        }
    }

    fn look_at_those_that_select(&mut self, now: Now, pod: &ObjectMeta) {
        for budget in self.selecting.candidates(pod) {
            self.attempts.add(budget, now.mono);
        }
    }

    fn look_at_all(&mut self, now: Now) {
        for budget in self.budgets.objects() {
            self.attempts.add(budget.key(), now.mono);
        }
    }

    fn decide(&mut self, now: Now, key: Key, out: &mut Effects) {
        let Some(object) = self.budgets.object(&key).cloned().filter(|_| self.is_synced()) else {
            // Looked at when that has changed.
            return self.attempts.closed(&key);
        };
        let Some(budget) = object.read::<PodDisruptionBudget>() else { return self.attempts.closed(&key) };
        self.note_grants(now, &key, &object, &budget.status);
        let counted = self.count(now, &key, &object, &budget);
        if counted.status == budget.status {
            self.attempts.settled(&key);
            if let Some(at) = counted.look_again.filter(|_| !planted!(GrantNotLookedAt)) {
                self.attempts.add_at(key, at);
            }
            return;
        }
        for (tone, reason, message) in counted.tell {
            self.recorder.tell(now, &object, tone, reason, message, out);
        }
        let mut update = object.with_status(&counted.status);
        if planted!(BudgetOverwritten) {
            update.edit_meta(|meta| meta.resource_version = Text::default());
        }
        self.attempts.begun(key.clone(), object.revision());
        self.calls.call(now, key, Verb::Update { object: update, part: Part::Status }, out);
    }

    /// Looks at a pod that says that it goes.
    fn look_at_going(&mut self, now: Now, key: Key, out: &mut Effects) {
        let found = self.pods.object(&key).and_then(|object| Some((object, object.get::<Pod>()?)));
        let Some((object, pod)) = found else { return self.attempts.closed(&key) };
        let due = self.going.get(&key).map_or(now.mono, |since| *since + STALE_AFTER);
        let (word, life) = stale::classify(pod);
        let age = if due <= now.mono { stale::Age::Overdue } else { stale::Age::Recent };
        let row = stale_disruption(word, life, age);
        match row.then {
            stale::Action::Keep => self.attempts.settled(&key),
            stale::Action::Wait => {
                self.attempts.settled(&key);
                self.attempts.add_at(key, due);
            }
            stale::Action::TakeBack => {
                sometimes!(DisruptionTakenBack);
                let at = Time::of(now.wall);
                let object = object.with(|pod: &mut Pod| pod.take_back_disruption(at));
                out.decided(Level::Info, Decision::about(key.clone(), Because::of(&STALE_DISRUPTION, row)));
                self.attempts.begun(key.clone(), object.revision());
                self.calls.call(now, key, Verb::Update { object, part: Part::Status }, out);
            }
        }
    }

    /// Remembers since when each grant is known, and pods as they were then.
    fn note_grants(&mut self, now: Now, key: &Key, object: &Object, status: &BudgetStatus) {
        let before = self.granted.remove(key).unwrap_or_default();
        let pods_are_at = self.pods.revision();
        let noted = |(pod, time): (&Text, &Time)| {
            let new = Granted { time: *time, revision: object.revision(), known: None };
            let mut grant = before.get(pod).filter(|before| before.time == *time).copied().unwrap_or(new);
            grant.known = grant.known.or((pods_are_at >= grant.revision).then_some(now.mono));
            (pod.clone(), grant)
        };
        let granted: BTreeMap<Text, Granted> = status.disrupted_pods.iter().map(noted).collect();
        if !granted.is_empty() {
            self.granted.insert(key.clone(), granted);
        }
    }

    fn count(&self, now: Now, key: &Key, object: &Object, budget: &PodDisruptionBudget) -> Counted {
        let selector = budget.spec.selector.clone();
        let candidates = selector.iter().flat_map(|selector| self.labelled.candidates(&key.namespace, selector));
        let selects = |pod: &&Pod| selector.as_ref().is_some_and(|selector| selector.matches(&pod.metadata.labels));
        let pods: Vec<&Pod> = candidates.filter_map(|pod| self.pods.get::<Pod>(&pod)).filter(selects).collect();
        let mut counted = Counted { status: budget.status.clone(), look_again: None, tell: Vec::new() };
        let (status, tell) = (&mut counted.status, &mut counted.tell);
        if pods.is_empty() {
            tell.push((Tone::Normal, "NoPods", "No matching pods found".into()));
        }
        let wanted = if needs_scale(&budget.spec) { scale(&pods, |key| self.workload(key)) } else { Ok(0) };
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(why) => {
                // What was granted, and for which wish it was counted, stays as it is.
                let message = format!("Failed to calculate the number of expected pods: {why}");
                tell.push((Tone::Warning, "CalculateExpectedPodCountFailed", message));
                status.disruptions_allowed = 0;
                say(now, status, "False", SYNC_FAILED, why);
                return counted;
            }
        };
        for (name, grant) in self.granted.get(key).into_iter().flatten() {
            let pod = self.pods.get::<Pod>(&Key::new(Kind::Pod, &key.namespace, name)).filter(selects);
            let seen = grants::seen(pod, grant.time, grant.known.is_none());
            let overdue_at = grant.known.map(|known| known + DELETION_TIMEOUT);
            let age = if overdue_at.is_some_and(|at| at <= now.mono) { Age::Overdue } else { Age::Recent };
            match grants::grant(seen, age).then {
                Action::Keep => {
                    let look_at = overdue_at.unwrap_or(now.mono + CATCH_UP);
                    counted.look_again = Some(counted.look_again.map_or(look_at, |at| at.min(look_at)));
                }
                Action::Forget => drop(status.disrupted_pods.remove(name)),
                Action::GiveUp => {
                    status.disrupted_pods.remove(name);
                    let (namespace, budget) = (&key.namespace, &key.name);
                    let message =
                        format!("Pod {name} was expected by PDB {namespace}/{budget} to be deleted but it wasn't");
                    tell.push((Tone::Warning, "NotDeleted", message));
                }
            }
        }
        let healthy = pods.iter().filter(|pod| is_healthy(pod, status.disrupted_pods.contains_key(&pod.metadata.name)));
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (healthy, pods) = (number(healthy.count()), number(pods.len()));
        let allowance = allowance(&budget.spec, pods, if planted!(ScaleOfPods) { pods } else { wanted }, healthy);
        let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        status.current_healthy = small(healthy);
        status.desired_healthy = small(allowance.desired);
        status.expected_pods = small(allowance.expected);
        status.disruptions_allowed = small(allowance.allowed);
        status.observed_generation = object.meta().generation;
        match status.disruptions_allowed {
            0 => say(now, status, "False", INSUFFICIENT_PODS, String::new()),
            _ => say(now, status, "True", SUFFICIENT_PODS, String::new()),
        }
        counted
    }

    fn workload(&self, key: &Key) -> Option<&Object> {
        let nth = SCALED.iter().position(|kind| *kind == key.kind)?;
        self.workloads[nth].object(key)
    }
}

fn say(now: Now, status: &mut BudgetStatus, is: &str, reason: &str, message: String) {
    let condition = Condition {
        kind: DISRUPTION_ALLOWED.into(),
        status: is.into(),
        observed_generation: status.observed_generation,
        reason: reason.into(),
        message: message.into(),
        ..Default::default()
    };
    Condition::put(now, &mut status.conditions, condition);
}

fn selector(budget: &Object) -> Option<LabelSelector> {
    label_selector(budget.at(&["spec", "selector"]))
}

/// All of a pod that is counted.
fn face(pod: &Pod) -> impl PartialEq + '_ {
    let meta = &pod.metadata;
    (&meta.uid, &meta.labels, meta.controller(), meta.is_deleting(), pod.is_ready())
}

/// What a pod that lives says of its going, if it says that it goes.
fn going(pod: Option<&Object>) -> Option<&PodCondition> {
    pod?.get::<Pod>().filter(|pod| pod.is_active())?.disruption()
}

fn owner(workload: &Object) -> Option<&str> {
    workload.meta().controller().map(|by| by.uid.as_str())
}

fn template_labels(workload: &Object) -> Labels {
    match workload.get::<ReplicaSet>() {
        Some(set) => set.spec.template.metadata.labels.clone(),
        None => {
            let labels = workload.at(&["spec", "template", "metadata", "labels"]).cloned();
            labels.and_then(|labels| serde_json::from_value(labels).ok()).unwrap_or_default()
        }
    }
}

impl Program for DisruptionController {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        for change in self.budgets.step(now, &input, out) {
            self.budget_changed(now, &change);
        }
        if self.budgets.is_synced() {
            for change in self.pods.step(now, &input, out) {
                self.pod_changed(now, &change);
            }
        }
        for nth in 0..self.workloads.len() {
            for change in self.workloads[nth].step(now, &input, out) {
                self.workload_changed(now, &change);
            }
        }
        for (key, answer) in self.calls.ended(now, &input) {
            let view = if key.kind == Kind::Pod { &self.pods } else { &self.budgets };
            let view = view.object(&key).map(Object::revision);
            self.attempts.answered(&key, &answer, view, now, out);
        }
        while let Some(key) = self.attempts.pop_due(now.mono) {
            match key.kind {
                Kind::Pod => self.look_at_going(now, key, out),
                _ => self.decide(now, key, out),
            }
        }
        out.wake_at(self.attempts.next());
        out.wake_at(self.calls.next());
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        [&self.budgets, &self.pods].into_iter().chain(&self.workloads).for_each(show);
    }
}
