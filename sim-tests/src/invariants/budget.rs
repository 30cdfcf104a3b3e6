//! S-budget: No eviction leaves fewer healthy pods than their disruption budget demands, unless pods were lost otherwise since it was counted; and none is granted by what was counted for another wish. None is refused for a budget if the pod has not started, has ended or is leaving; nor if it runs and is not ready, while enough others are healthy or its budget says always. A running pod that is not ready is evicted without being charged only while enough others are healthy, or if its budget says always. Who is evicted is told so. Each eviction is written into every budget that selects the pod, and not only that of one of its name that was there before; as long as the pod lives, as far as the budget's controller was told, it is not taken out before the pod should have gone.
//!
//! Healthy is what is stored as ready and nobody has begun to delete. Between a loss that nobody could refuse (a crash, a
//! deletion) and the next count that takes it in a budget allows more than there is: that is excused. So is an eviction that
//! was granted before more were demanded: it may be carried out later, by whoever asks again. Catches: two
//! evictions on one disruption; a count that overlooks what was granted, or forgets it too soon; a pod that is about to
//! serve and is evicted though too few do; a pod of two budgets of which one is asked.

mod refused;

use super::{Broken, Checker, by_its_clock};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::budget::PodDisruptionBudget;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::text::Text;
use miniku_core::program::{Part, RequestId, Revision, Verb};
use miniku_core::store::Change;
use miniku_core::time::{Duration, Instant};
use refused::Refusals;
use std::collections::BTreeMap;

/// What was asked about pods, and which budgets allow too much for reasons that are none of the evictions' own.
#[derive(Default)]
pub struct Budget {
    asked: BTreeMap<Key, Asked>,
    excused: BTreeMap<Key, Instant>,
    /// When which version of each budget was counted, if no loss was missed.
    counted: BTreeMap<Key, BTreeMap<Revision, Instant>>,
    /// Since when each pod runs and is not ready, and since when each budget is said to lack healthy pods.
    unready: BTreeMap<Key, Instant>,
    short: BTreeMap<Key, Instant>,
    /// The evictions that were granted, by budget and name of the pod.
    granted: BTreeMap<Key, BTreeMap<Text, Granted>>,
    /// Since when each budget has its wish, and pods whose labels were changed have theirs.
    wished: BTreeMap<Key, Instant>,
    labelled: BTreeMap<Key, Instant>,
    /// When each pod was made.
    made: BTreeMap<Key, Instant>,
    refusals: Refusals,
}

/// A write may wait so long for the disk after it was decided: what is judged has to be so for longer.
const DECIDED: Duration = Duration::from_secs(10);

/// After so long a pod whose eviction was granted should be going. Source: Kubernetes, `DeletionTimeout`.
const GOES_WITHIN: Duration = Duration::from_secs(120);

/// An eviction that was granted.
#[derive(Clone, Copy)]
struct Granted {
    /// When, as the API server says.
    time: Time,
    /// How many were demanded then.
    demanded: i32,
    /// Since when that is stored.
    since: Instant,
}

/// How the end of a pod was asked for.
#[derive(Clone, Copy, Default)]
struct Asked {
    eviction: bool,
    otherwise: bool,
}

fn is_healthy(object: Option<&Object>) -> bool {
    object.and_then(Object::get::<Pod>).is_some_and(|pod| pod.is_ready() && !pod.metadata.is_deleting())
}

/// The budgets of a namespace, as stored.
pub(super) fn budgets<'a>(
    truth: &'a Truth,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a Object, PodDisruptionBudget)> {
    let all = truth.disk.objects().within(Kind::PodDisruptionBudget, namespace);
    all.filter_map(|object| Some((object, object.read()?)))
}

/// Whether a budget is about a pod.
pub(super) fn selects(budget: &PodDisruptionBudget, pod: &Object) -> bool {
    budget.spec.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta().labels))
}

/// How many of a budget's pods are healthy.
pub(super) fn healthy(truth: &Truth, namespace: &str, budget: &PodDisruptionBudget) -> i32 {
    let pods = truth.disk.objects().within(Kind::Pod, namespace);
    let count = pods.filter(|pod| selects(budget, pod) && is_healthy(Some(pod))).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Whether somebody who counts a budget's pods was not told yet that one of them is healthy no longer. The sum alone may
/// be right nevertheless: another may be healthy of which it was not told either.
fn lacks_a_loss(truth: &Truth, told: Told<'_>, object: &Object, budget: &PodDisruptionBudget) -> bool {
    let pods = told.within(Kind::Pod, &object.meta().namespace);
    let mut healthy = pods.filter(|pod| selects(budget, pod) && is_healthy(Some(pod)));
    healthy.any(|pod| !is_healthy(truth.stored(pod)))
}

/// Whether a pod runs, and is neither ready nor told to end.
fn is_unready(object: &Object) -> bool {
    let unready = |pod: &Pod| pod.status.phase == PodPhase::Running && !pod.is_ready() && !pod.metadata.is_deleting();
    object.get::<Pod>().is_some_and(unready)
}

/// Whether a budget lets pods go that are not ready, however many are healthy.
fn always_lets_unready_go(object: &Object) -> bool {
    object.at(&["spec", "unhealthyPodEvictionPolicy"]).is_some_and(|policy| policy == "AlwaysAllow")
}

/// Whether too few pods are said to be healthy for one that is not ready to be let go.
///
/// Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application", `IfHealthyBudget`.
fn is_short(budget: &PodDisruptionBudget, object: &Object) -> bool {
    let (has, needs) = (budget.status.current_healthy, budget.status.desired_healthy);
    !always_lets_unready_go(object) && budget.status.expected_pods > 0 && has < needs
}

impl Budget {
    /// Remembers how many were demanded when each eviction was granted.
    fn note_grants(&mut self, now: Instant, key: &Key, budget: &PodDisruptionBudget) {
        let before = self.granted.remove(key).unwrap_or_default();
        let noted = |(pod, at): (&Text, &Time)| {
            let known = before.get(pod).filter(|known| known.time == *at).copied();
            let new = Granted { time: *at, demanded: budget.status.desired_healthy, since: now };
            (pod.clone(), known.unwrap_or(new))
        };
        let granted: BTreeMap<Text, Granted> = budget.status.disrupted_pods.iter().map(noted).collect();
        if !granted.is_empty() {
            self.granted.insert(key.clone(), granted);
        }
    }

    /// How many a budget demands of the eviction of a pod: no more than when that was granted, if it was.
    fn demands(&self, key: &Key, budget: &PodDisruptionBudget, pod: &Key) -> i32 {
        let granted = self.granted.get(key).and_then(|granted| granted.get(&pod.name));
        let now = budget.status.desired_healthy;
        granted.map_or(now, |granted| now.min(granted.demanded))
    }

    /// A pod whose eviction was granted, which a budget's controller takes out though it was told that the pod lives.
    fn forgotten<'a>(
        &self,
        truth: &Truth,
        told: Told<'a>,
        object: &Object,
        budget: &PodDisruptionBudget,
    ) -> Option<&'a Object> {
        let (key, stored) = (object.key(), truth.object(&object.key())?);
        // What was decided on is what is stored.
        let before = Some(stored).filter(|stored| stored.revision() == object.revision())?;
        let before = before.read::<PodDisruptionBudget>()?.status.disrupted_pods;
        let left = |pod: &Text| before.contains_key(pod) && !budget.status.disrupted_pods.contains_key(pod);
        let lately = |granted: &Granted| truth.now.since(granted.since) < by_its_clock(GOES_WITHIN);
        let taken = self.granted.get(&key)?.iter().filter(|(pod, granted)| left(pod) && lately(granted));
        let mut lives = taken.filter_map(|(pod, granted)| {
            let pod = told.object(&Key::new(Kind::Pod, &key.namespace, pod))?;
            let is_meant = pod.meta().creation_timestamp.is_some_and(|made| made <= granted.time);
            (is_meant && !pod.meta().is_deleting() && selects(budget, pod)).then_some(pod)
        });
        // It may have gone, or have other labels, in a gap of what was told.
        lives.find(|pod| truth.stored(pod).is_some_and(|stored| selects(budget, stored)))
    }

    /// An unready pod is evicted: whether its budgets were short for long, and have not granted it.
    fn goes_unready(&self, truth: &Truth, pod: &Object) -> Result<(), Broken> {
        let long = |since: Option<&Instant>| since.is_some_and(|since| truth.now.since(*since) >= DECIDED);
        if !long(self.unready.get(&pod.key())) {
            return Ok(());
        }
        for (object, budget) in budgets(truth, &pod.meta().namespace).filter(|(_, budget)| selects(budget, pod)) {
            let charged = budget.status.disrupted_pods.contains_key(&pod.meta().name);
            if long(self.short.get(&object.key())) && !charged {
                let (has, needs) = (budget.status.current_healthy, budget.status.desired_healthy);
                let what = format!("{} is not ready and evicted, and {has} of {needs} are healthy", pod.key());
                return Err(Broken::by(what).with([object, pod]));
            }
        }
        Ok(())
    }

    /// A pod that serves is evicted: whether all who have long been about it were charged.
    fn is_charged(&self, truth: &Truth, pod: &Object) -> Result<(), Broken> {
        let lately = |since: Option<&Instant>| since.is_some_and(|since| truth.now.since(*since) < DECIDED);
        let runs = pod.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Running);
        if !runs || lately(self.labelled.get(&pod.key())) {
            return Ok(());
        }
        let name = &pod.meta().name;
        let asked = |(object, budget): &(&Object, PodDisruptionBudget)| {
            selects(budget, pod) && !lately(self.wished.get(&object.key()))
        };
        // By the server's clock as well, since it may grant twice in one second.
        let is_of_another = |object: &Object| {
            let granted = self.granted.get(&object.key()).and_then(|granted| granted.get(name));
            let made = (self.made.get(&pod.key()), pod.meta().creation_timestamp);
            match (granted, made) {
                (Some(granted), (Some(at), Some(time))) => granted.since < *at && granted.time < time,
                _ => false,
            }
        };
        let uncharged = |(object, budget): &(&Object, PodDisruptionBudget)| {
            !budget.status.disrupted_pods.contains_key(name) || is_of_another(object)
        };
        match budgets(truth, &pod.meta().namespace).filter(asked).find(uncharged) {
            Some((object, _)) => {
                let what = format!("{} is evicted, and not written into {}", pod.key(), object.key());
                Err(Broken::by(what).with([object, pod]))
            }
            None => Ok(()),
        }
    }
}

/// Whether a pod says that it was made to go.
fn is_told(object: &Object) -> bool {
    let says =
        |pod: &Pod| pod.status.conditions.iter().any(|one| one.kind == "DisruptionTarget" && one.status == "True");
    object.get::<Pod>().is_some_and(says)
}

impl Checker for Budget {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable, Sight::Told, Sight::Answered, Sight::Recovered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Told { change } => self.refusals.told(truth.now, change),
            Fact::Recovered { objects, .. } => self.refusals.recovered(truth.now, objects),
            Fact::Answered { id, answer } => return self.refusals.answered(truth, *id, answer),
            Fact::Sent { who, id, request } if !request.dry_run => match &request.verb {
                Verb::Delete { key, options } if key.kind == Kind::Pod => {
                    self.note_asked(truth.now, *id, key, options.eviction);
                }
                Verb::Update { object, part: Part::Status } if who.role == Role::Disruption => {
                    return self.counts(truth, truth.told(who), object);
                }
                _ => {}
            },
            Fact::Durable { change } if change.key.kind == Kind::PodDisruptionBudget => {
                return self.budget_changes(truth, change);
            }
            Fact::Durable { change } if change.key.kind == Kind::Pod => return self.pod_changes(truth, change),
            _ => {}
        }
        Ok(())
    }
}

impl Budget {
    /// The end of a pod is asked for.
    fn note_asked(&mut self, now: Instant, id: RequestId, pod: &Key, eviction: bool) {
        let asked = self.asked.entry(pod.clone()).or_default();
        asked.eviction |= eviction;
        asked.otherwise |= !eviction;
        if eviction {
            self.refusals.asked(now, id, pod);
        }
    }

    /// The controller writes what it has counted: whether it forgets an eviction.
    fn counts(&mut self, truth: &Truth, told: Told<'_>, object: &Object) -> Result<(), Broken> {
        if object.kind() == Kind::PodDisruptionBudget
            && let Some(budget) = object.read::<PodDisruptionBudget>()
            && let Some(pod) = self.forgotten(truth, told, object, &budget)
        {
            let what = format!("{} forgets the eviction of {}, which lives", object.key(), pod.key());
            return Err(Broken::by(what).with([object, pod]));
        }
        if object.read().is_some_and(|budget| !lacks_a_loss(truth, told, object, &budget)) {
            let counted = self.counted.entry(object.key()).or_default();
            counted.entry(object.revision()).or_insert(truth.now);
        }
        Ok(())
    }

    /// A budget is stored otherwise: whether an eviction is granted by what was counted for another wish.
    fn budget_changes(&mut self, truth: &Truth, change: &Change) -> Result<(), Broken> {
        let Some(budget) = change.new.as_ref().and_then(|new| new.read::<PodDisruptionBudget>()) else {
            self.excused.remove(&change.key);
            self.short.remove(&change.key);
            self.wished.remove(&change.key);
            self.granted.remove(&change.key);
            return Ok(());
        };
        self.note_grants(truth.now, &change.key, &budget);
        let wish = |object: &Option<Object>| object.as_ref().map(|object| object.meta().generation);
        if wish(&change.old) != wish(&change.new) {
            self.wished.insert(change.key.clone(), truth.now);
            // Pods that are of a budget only now may have been lost before.
            self.excused.insert(change.key.clone(), truth.now);
        }
        match change.new.as_ref().is_some_and(|new| is_short(&budget, new)) {
            true => drop(self.short.entry(change.key.clone()).or_insert(truth.now)),
            false => drop(self.short.remove(&change.key)),
        }
        let old = change.old.as_ref().and_then(|old| old.read::<PodDisruptionBudget>());
        let grants = old.is_some_and(|old| budget.status.disrupted_pods.len() > old.status.disrupted_pods.len());
        let (seen, is) = (budget.status.observed_generation, change.new.iter().find_map(|new| new.meta().generation));
        if grants && seen < is {
            let what = format!("{} grants an eviction, and nobody has counted for its wish {is:?}", change.key);
            return Err(Broken::by(what).with(&change.new));
        }
        self.note_count(truth, change, &budget);
        Ok(())
    }

    /// What was lost is excused no longer, if this counts it.
    fn note_count(&mut self, truth: &Truth, change: &Change, budget: &PodDisruptionBudget) {
        let has = healthy(truth, &change.key.namespace, budget);
        let granted = i32::try_from(budget.status.disrupted_pods.len());
        // What is allowed would not tell: it is 0 also when the last of it has just been granted, and when a view
        // that lacks the loss is counted for a higher demand, which may fall again.
        let counts = budget.status.current_healthy <= has - granted.unwrap_or(i32::MAX);
        let of = change.old.as_ref().map(Object::revision);
        let counted = self.counted.remove(&change.key).and_then(|counted| counted.get(&of?).copied());
        if counts && counted >= self.excused.get(&change.key).copied() {
            self.excused.remove(&change.key);
        }
    }

    /// A pod is stored otherwise: whether it is evicted against its budgets, or is lost to them otherwise.
    fn pod_changes(&mut self, truth: &Truth, change: &Change) -> Result<(), Broken> {
        let asked = self.asked.get(&change.key).copied().unwrap_or_default();
        if change.new.is_none() {
            self.asked.remove(&change.key);
        }
        let ends = change.new.as_ref().is_none_or(|new| new.meta().is_deleting());
        let is_evicted = ends && asked.eviction && !asked.otherwise;
        if let Some(old) = change.old.as_ref().filter(|_| is_evicted) {
            self.evicts(truth, old, change.new.as_ref())?;
        }
        self.note_pod(truth.now, change);
        match change.old.as_ref().filter(|old| is_healthy(Some(old))) {
            Some(old) => self.loses(truth, old, change.new.as_ref(), is_evicted),
            None => Ok(()),
        }
    }

    /// A pod is evicted, that was so: whether it may go, and is told so.
    fn evicts(&self, truth: &Truth, old: &Object, new: Option<&Object>) -> Result<(), Broken> {
        if is_unready(old) {
            self.goes_unready(truth, old)?;
        }
        if is_healthy(Some(old)) {
            self.is_charged(truth, old)?;
            if let Some(new) = new.filter(|new| !is_told(new)) {
                return Err(Broken::by(format!("{} is evicted, and not told so", old.key())).with([old, new]));
            }
        }
        Ok(())
    }

    /// Since when a pod is there, has its labels, and is not ready.
    fn note_pod(&mut self, now: Instant, change: &Change) {
        match (&change.old, &change.new) {
            (None, Some(_)) => drop(self.made.insert(change.key.clone(), now)),
            (_, None) => drop(self.made.remove(&change.key)),
            _ => {}
        }
        match (&change.old, &change.new) {
            (Some(old), Some(new)) if old.meta().labels != new.meta().labels => {
                self.labelled.insert(change.key.clone(), now);
            }
            (_, None) => drop(self.labelled.remove(&change.key)),
            _ => {}
        }
        match change.new.as_ref().is_some_and(is_unready) {
            true => drop(self.unready.entry(change.key.clone()).or_insert(now)),
            false => drop(self.unready.remove(&change.key)),
        }
    }

    /// A pod was healthy: whether its budgets that lose it can miss it, if it was evicted. They are excused if it was not.
    fn loses(&mut self, truth: &Truth, old: &Object, new: Option<&Object>, is_evicted: bool) -> Result<(), Broken> {
        let key = old.key();
        for (object, budget) in budgets(truth, &key.namespace).filter(|(_, budget)| selects(budget, old)) {
            if new.is_some_and(|new| is_healthy(Some(new)) && selects(&budget, new)) {
                continue;
            }
            if !is_evicted {
                self.excused.insert(object.key(), truth.now);
                continue;
            }
            let has = healthy(truth, &key.namespace, &budget);
            let needs = self.demands(&object.key(), &budget, &key);
            if has < needs && !self.excused.contains_key(&object.key()) {
                let what = format!("{key} is evicted, and {has} of {needs} healthy pods are left");
                return Err(Broken::by(what).with([object, old]));
            }
        }
        Ok(())
    }
}

/// Facts for the tests of this checker and its part.
#[cfg(test)]
mod forged {
    use super::*;
    use crate::invariants::forged::{Story, pod, who};
    use miniku_core::program::DeleteOptions;
    use serde_json::{Value, json};

    /// A pod that runs, and is ready or not.
    pub(super) fn ready(name: &str, ready: bool) -> Value {
        let mut pod = pod(name, "n", "Running");
        pod["metadata"]["labels"] = json!({"app": "web"});
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
        pod
    }

    /// A budget of such pods that demands two of three, and says that so many are healthy and may go.
    pub(super) fn budget(has: i32, allowed: i32) -> Value {
        json!({"kind": "PodDisruptionBudget", "metadata": {"name": "b"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 2},
            "status": {"currentHealthy": has, "desiredHealthy": 2, "disruptionsAllowed": allowed, "expectedPods": 3}})
    }

    /// Somebody asks for the end of a pod.
    pub(super) fn ask(story: &mut Story<Budget>, name: &str, eviction: bool) -> Result<Key, Broken> {
        let key = Key::new(Kind::Pod, "default", name);
        let options = DeleteOptions { eviction, ..Default::default() };
        story.sends(&who(Role::Operator, "operator"), Verb::Delete { key: key.clone(), options })?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::forged::{ask, budget, ready};
    use super::*;
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    fn story() -> Story<Budget> {
        let mut story = Story::<Budget>::new();
        for name in ["a", "b", "c"] {
            story.put(ready(name, true)).unwrap();
        }
        story.put(budget(3, 1)).unwrap();
        count(&mut story, budget(3, 1));
        story
    }

    fn end(story: &mut Story<Budget>, name: &str, eviction: bool) -> Result<(), Broken> {
        let key = ask(story, name, eviction)?;
        let pod = story.truth.object(&key).unwrap().clone();
        story.write(&pod, true).map(drop)
    }

    fn ask_to_count(story: &mut Story<Budget>, budget: Value) {
        let key = Key::new(Kind::PodDisruptionBudget, "default", "b");
        let object = crate::plan::object(budget);
        let shown = story.truth.object(&key).unwrap().meta().resource_version.clone();
        let object = object.with_meta(|meta| meta.resource_version = shown);
        let controller = who(Role::Disruption, "disruption");
        story.sends(&controller, Verb::Update { object, part: Part::Status }).unwrap();
    }

    fn count(story: &mut Story<Budget>, budget: Value) {
        ask_to_count(story, budget.clone());
        story.put(budget).unwrap();
    }

    #[test]
    fn fires_on_an_eviction_too_many() {
        let mut story = story();
        end(&mut story, "a", true).unwrap();
        let broken = end(&mut story, "b", true).unwrap_err();
        assert_eq!(broken.what, "pods/default/b is evicted, and 1 of 2 healthy pods are left");
    }

    /// The server has crashed before the pod was marked, say, and who wants it to go asks again.
    #[test]
    fn what_was_granted_may_be_carried_out_when_more_are_demanded() {
        let evicts = |granted: bool, then: &str| {
            let mut story = story();
            let with = |has: i32, demands: i32| {
                let mut budget = budget(has, 0);
                budget["status"]["desiredHealthy"] = demands.into();
                if granted {
                    budget["status"]["disruptedPods"] = json!({"a": "2026-01-01T00:00:00Z"});
                }
                budget
            };
            story.put(with(3, 2)).unwrap();
            count(&mut story, with(2, 3));
            end(&mut story, then, true).map_err(|broken| broken.what)
        };
        evicts(true, "a").unwrap();
        let broken = |name: &str| Err(format!("pods/default/{name} is evicted, and 2 of 3 healthy pods are left"));
        assert_eq!(evicts(false, "a"), broken("a"));
        assert_eq!(evicts(true, "b"), broken("b"));
    }

    #[test]
    fn fires_on_a_budget_that_is_not_asked() {
        let both = |grants: Value| {
            let mut story = story();
            let mut second = budget(3, 0);
            second["metadata"]["name"] = "c".into();
            second["status"]["disruptedPods"] = grants;
            let mut first = budget(3, 0);
            first["status"]["disruptedPods"] = json!({"a": "2026-01-01T00:00:00Z"});
            story.put(second).unwrap();
            story.put(first).unwrap();
            story.pass(11).unwrap();
            end(&mut story, "a", true).map_err(|broken| broken.what)
        };
        both(json!({"a": "2026-01-01T00:00:00Z"})).unwrap();
        let what = "pods/default/a is evicted, and not written into poddisruptionbudgets.policy/default/c";
        assert_eq!(both(json!({})), Err(what.into()));
    }

    #[test]
    fn fires_on_an_eviction_that_was_granted_for_another() {
        let evicts = |first: bool, granted: &str, made: &str| {
            let mut story = Story::<Budget>::new();
            ["b", "c"].into_iter().for_each(|name| drop(story.put(ready(name, true)).unwrap()));
            let mut pod = ready("a", true);
            pod["metadata"]["creationTimestamp"] = made.into();
            if first {
                story.put(pod.clone()).unwrap();
            }
            let mut charged = budget(3, 0);
            charged["status"]["disruptedPods"] = json!({"a": granted});
            story.put(charged).unwrap();
            story.pass(11).unwrap();
            if !first {
                story.put(pod).unwrap();
            }
            end(&mut story, "a", true).map_err(|broken| broken.what)
        };
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z");
        evicts(true, late, early).unwrap();
        evicts(true, early, late).expect("the clock went back meanwhile");
        evicts(false, early, early).expect("it may have been granted for this one in the same second");
        let what = "pods/default/a is evicted, and not written into poddisruptionbudgets.policy/default/b";
        assert_eq!(evicts(false, early, late), Err(what.into()));
    }

    #[test]
    fn fires_on_a_pod_that_is_evicted_without_a_word() {
        let mut story = story();
        ask(&mut story, "a", true).unwrap();
        let mut ending = ready("a", true);
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let mut told = ending.clone();
        told["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True"}]);
        assert!(story.put(ending).unwrap_err().what.ends_with("is evicted, and not told so"));
        story.put(ready("a", true)).unwrap();
        story.put(told).unwrap();
    }

    #[test]
    fn fires_on_a_grant_for_another_wish() {
        let mut story = story();
        let mut changed = budget(3, 0);
        changed["metadata"]["generation"] = 2.into();
        changed["status"]["observedGeneration"] = 1.into();
        story.put(changed.clone()).unwrap();
        changed["status"]["disruptedPods"] = json!({"a": "2026-01-01T00:00:00Z"});
        assert!(story.put(changed).unwrap_err().what.contains("nobody has counted for its wish Some(2)"));
    }

    #[test]
    fn a_loss_that_was_not_counted_yet_is_excused() {
        let mut first = story();
        end(&mut first, "a", true).unwrap();
        end(&mut first, "b", false).unwrap();
        let mut story = story();
        story.put(ready("a", false)).unwrap();
        end(&mut story, "b", true).unwrap();
        // Once it is counted, it is not.
        let mut story = self::story();
        story.put(ready("a", false)).unwrap();
        count(&mut story, budget(2, 0));
        assert!(end(&mut story, "b", true).is_err());
    }

    #[test]
    fn what_does_not_count_a_loss_leaves_it_excused() {
        let mut story = story();
        story.put(ready("a", false)).unwrap();
        let mut granted = budget(3, 0);
        granted["status"]["disruptedPods"] = json!({"b": "2026-01-01T00:00:00Z"});
        story.put(granted).unwrap();
        end(&mut story, "b", true).unwrap();
        count(&mut story, budget(1, 0));
        assert!(end(&mut story, "c", true).is_err(), "now it is counted");
        // Nor does a count by a view that lacks it, whatever it allows.
        let mut story = self::story();
        story.put(ready("a", false)).unwrap();
        count(&mut story, budget(3, 0));
        count(&mut story, budget(3, 1));
        end(&mut story, "b", true).unwrap();
        // Nor what was counted before it.
        let mut story = self::story();
        ask_to_count(&mut story, budget(2, 0));
        story.pass(1).unwrap();
        story.put(ready("a", false)).unwrap();
        story.put(budget(2, 0)).unwrap();
        end(&mut story, "b", true).unwrap();
    }

    #[test]
    fn a_sum_that_is_right_by_chance_counts_no_loss() {
        let evicts = |told: &[&str]| {
            let mut story = story();
            let controller = who(Role::Disruption, "disruption");
            for name in told {
                let object = story.truth.object(&Key::new(Kind::Pod, "default", name)).unwrap().clone();
                story.hears(&controller, WatchEvent::Added(object)).unwrap();
            }
            story.put(ready("a", false)).unwrap();
            count(&mut story, budget(2, 0));
            end(&mut story, "b", true)
        };
        evicts(&["a", "b"]).unwrap();
        assert!(evicts(&["b", "c"]).is_err());
    }

    #[test]
    fn fires_on_a_grant_that_is_forgotten_while_the_pod_lives() {
        let forgets = |made: &str, is_told: bool, secs: u64| {
            let mut story = Story::<Budget>::new();
            let controller = who(Role::Disruption, "disruption");
            let mut pod = ready("a", true);
            pod["metadata"]["creationTimestamp"] = made.into();
            let object = story.put(pod).unwrap().new.unwrap();
            let event = if is_told { WatchEvent::Added(object) } else { WatchEvent::Deleted(object) };
            story.hears(&controller, event).unwrap();
            let mut granted = budget(3, 0);
            granted["status"]["disruptedPods"] = json!({"a": "2026-01-01T00:00:05Z"});
            let stored = story.put(granted).unwrap().new.unwrap();
            story.pass(secs).unwrap();
            let revision = stored.meta().resource_version.clone();
            let object = crate::plan::object(budget(3, 1)).with_meta(|meta| meta.resource_version = revision);
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Status });
            sent.map_err(|broken| broken.what)
        };
        let what = "poddisruptionbudgets.policy/default/b forgets the eviction of pods/default/a, which lives";
        assert_eq!(forgets("2026-01-01T00:00:05Z", true, 1), Err(what.into()));
        forgets("2026-01-01T00:00:06Z", true, 1).expect("it is another one");
        forgets("2026-01-01T00:00:05Z", false, 1).expect("it knows of none");
        forgets("2026-01-01T00:00:05Z", true, 120).expect("it should have gone");
    }

    #[test]
    fn fires_on_one_that_is_not_ready_while_too_few_are() {
        let check = |policy: &str, has: i32, granted: bool, fires: bool| {
            let mut story = Story::<Budget>::new();
            for name in ["a", "b"] {
                story.put(ready(name, false)).unwrap();
            }
            let mut budget = budget(has, 0);
            budget["spec"]["unhealthyPodEvictionPolicy"] = policy.into();
            if granted {
                budget["status"]["disruptedPods"] = json!({"b": "2026-01-01T00:00:00Z"});
            }
            story.put(budget).unwrap();
            story.pass(11).unwrap();
            let ended = end(&mut story, "b", true);
            assert_eq!(ended.is_err(), fires, "{policy} {has} {granted}: {ended:?}");
        };
        check("IfHealthyBudget", 1, false, true);
        check("IfHealthyBudget", 2, false, false);
        check("IfHealthyBudget", 1, true, false);
        check("AlwaysAllow", 1, false, false);
    }
}
