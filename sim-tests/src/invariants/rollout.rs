//! S-rollout: No deployment has its replica sets ask for more pods than its surge allows. As far as its controller was told, a rolling update leaves as many available pods as it has to, Recreate asks for none while one of another template is there, and no set is made while the deployment is paused. A set is made with its deployment's minReadySeconds, and says for which numbers it has its size. A rollout is called overdue only when it has come no further for as long as it may take, the time of a pause not counted. It is not called over when new pods come beside old ones, nor by a status that counts other pods than are wanted. Something is said of each rollout that may take too long, and nothing of others; that it is paused while it is, unless it is overdue already, and not for longer.
//!
//! What a controller asked for in vain, as far as it knows, or right before it crashed, may be done nevertheless and not
//! be shown yet: the sum may be exceeded then.
//! A deployment that is paused, or has just been scaled, is resized without regard to who is available, as in Kubernetes.
//! Catches: a new set that grows before old ones shrink, two controllers that both add, a share that is rounded up twice;
//! an old set that is shrunk by what is wished, or by what was available before it shrank.

use super::{Broken, Checker};
use crate::told::{Told, Turn};
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::deployment::{DESIRED_REPLICAS, Deployment, DeploymentCondition, MAX_REPLICAS, StrategyType};
use miniku_core::api::int_or_string::{IntOrString, Round};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, Part, RequestId, Verb};
use miniku_core::store::Change;
use miniku_core::time::{Duration, Instant, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many pods each deployment ever allowed, by uid: a controller may act on an older wish.
#[derive(Default)]
pub struct Rollout {
    allowed: BTreeMap<Text, i64>,
    by: BTreeMap<Arc<str>, Observer>,
    sized: BTreeMap<Key, Asked>,
    /// Sets whose size was asked for before what else had been asked for was shown.
    unaware: BTreeSet<Key>,
}

/// Which size of a set was asked for last, by whom, and when, and the uid of the deployment for which.
struct Asked {
    to: i64,
    by: Arc<str>,
    turn: Turn,
    at: Instant,
    owner: Text,
}

/// Whoever goes on so long after a request, and was not told of what came of it, takes it for lost.
const LOST: Duration = Duration::from_secs(1);
/// After this time no request is on its way any more.
const LATE: Duration = Duration::from_secs(60);

/// What one life of a controller has asked of replica sets: by uid, of which version, for how many pods, and when.
#[derive(Default)]
struct Observer {
    turn: Turn,
    asked: BTreeMap<Text, (Text, i64, Instant)>,
    /// Which request asked for it.
    open: BTreeMap<RequestId, Text>,
}

fn wanted(set: &Object) -> i64 {
    set.get::<ReplicaSet>().map_or(0, |set| i64::from(set.spec.replicas.unwrap_or(1)))
}

fn available(set: &Object) -> i64 {
    set.get::<ReplicaSet>().map_or(0, |set| i64::from(set.status.available_replicas.unwrap_or(0)))
}

/// The deployment that controls a set, as somebody was told of it.
fn deployment(told: Told<'_>, set: &Object) -> Option<(Deployment, Text)> {
    let by = set.meta().controller().filter(|by| by.kind == "Deployment")?;
    let object = told.object(&Key::new(Kind::Deployment, &set.meta().namespace, &by.name))?;
    Some((object.read()?, by.uid.clone())).filter(|_| object.meta().uid == by.uid)
}

fn is_of(object: &Object, owner: &str) -> bool {
    object.meta().controller().is_some_and(|by| by.uid == owner)
}

/// Whether a deployment is to have another size than its sets were made for.
fn is_resized(deployment: &Deployment, sets: &[&Object]) -> bool {
    let sized_for = |set: &&Object| set.meta().annotations.get(DESIRED_REPLICAS)?.parse::<i64>().ok();
    sets.iter().filter(|set| wanted(set) > 0).filter_map(sized_for).any(|size| size != deployment.wanted())
}

/// So many have to be available. Reckoned here, from the deployment alone.
///
/// Source: Kubernetes documentation, "Deployments", max unavailable: rounded down, and 1 if it and the surge are none.
fn least(deployment: &Deployment) -> i64 {
    let (wanted, rolling) = (deployment.wanted(), &deployment.spec.strategy.rolling_update);
    let quarter = || IntOrString::String("25%".into());
    let surge = rolling.max_surge.clone().unwrap_or_else(quarter).of(wanted, Round::Up);
    let away = rolling.max_unavailable.clone().unwrap_or_else(quarter).of(wanted, Round::Down);
    wanted - if surge == 0 && away == 0 { 1 } else { away }
}

/// So many may exist. Reckoned here, as [`least`] is.
fn most(deployment: &Deployment) -> i64 {
    let (wanted, strategy) = (deployment.wanted(), &deployment.spec.strategy);
    if strategy.kind == StrategyType::Recreate {
        return wanted;
    }
    let quarter = || IntOrString::String("25%".into());
    wanted + strategy.rolling_update.max_surge.clone().unwrap_or_else(quarter).of(wanted, Round::Up)
}

/// What a set that is made, or given another size, does not say rightly of the numbers for which it has this size. Its share
/// is reckoned by them when its deployment is scaled.
///
/// Source: Kubernetes, `pkg/controller/deployment/util`, `SetReplicasAnnotations`.
fn is_ill_noted(told: Told<'_>, set: &Object, is_new: bool) -> Option<String> {
    let (deployment, _) = deployment(told, set)?;
    let known = told.known(set);
    if !is_new && known.is_none_or(|known| wanted(known) == wanted(set)) {
        return None;
    }
    let notes = [(DESIRED_REPLICAS, deployment.wanted()), (MAX_REPLICAS, most(&deployment))];
    notes.into_iter().find_map(|(note, should)| {
        let says = set.meta().annotations.get(note).map_or("", Text::as_str);
        let is_right = says.parse::<i64>() == Ok(should);
        (!is_right).then(|| format!("is to have {} pods, and its {note} is {says:?} instead of {should}", wanted(set)))
    })
}

impl Observer {
    /// A set is to have fewer pods, or more.
    fn sizes(&mut self, truth: &Truth, told: Told<'_>, set: &Object) -> Result<(), Broken> {
        let Some((deployment, uid)) = deployment(told, set).filter(|(one, _)| !one.spec.paused) else { return Ok(()) };
        let known = told.known(set);
        let (before, to) = (known.map_or(0, wanted), wanted(set));
        if deployment.spec.strategy.kind == StrategyType::Recreate {
            return if to > before { Self::recreates(truth, told, set, &uid) } else { Ok(()) };
        }
        let version = known.map(|known| known.meta().resource_version.clone()).unwrap_or_default();
        self.asked.insert(set.meta().uid.clone(), (version, to, truth.now));
        let sets: Vec<&Object> = told.of_kind(Kind::ReplicaSet).filter(|one| is_of(one, &uid)).collect();
        let (Some(known), false) = (known, is_resized(&deployment, &sets)) else { return Ok(()) };
        // What was asked of this very version is on its way.
        let will_want = |set: &Object| match self.asked.get(&set.meta().uid) {
            Some((of, to, at)) if *of == set.meta().resource_version && truth.now.since(*at) < LOST => *to,
            _ => wanted(set),
        };
        let left: i64 = sets.iter().map(|set| available(set).min(will_want(set))).sum();
        if to < available(known).min(before) && left < least(&deployment) {
            let (name, least) = (&set.meta().name, least(&deployment));
            let what = format!("{name} is shrunk from {before} to {to}, which leaves {left} available of {least}");
            return Err(Broken::by(what).with(sets));
        }
        Ok(())
    }

    /// A set of a deployment that is made anew grows.
    fn recreates(truth: &Truth, told: Told<'_>, set: &Object, uid: &str) -> Result<(), Broken> {
        let others = told.of_kind(Kind::ReplicaSet).filter(|one| is_of(one, uid));
        let others: Vec<&Text> = others.map(|one| &one.meta().uid).filter(|one| **one != set.meta().uid).collect();
        let lives = |pod: &&Object| {
            let going = |one: &Object| one.get::<Pod>().is_some_and(|pod| !pod.status.phase.is_final());
            let stored = truth.stored(pod);
            others.iter().any(|other| is_of(pod, other)) && going(pod) && stored.is_some_and(going)
        };
        match told.of_kind(Kind::Pod).find(lives) {
            Some(pod) => {
                let what = format!("{} is to have {}, and {} is there", set.meta().name, wanted(set), pod.meta().name);
                Err(Broken::by(what).with([set, pod]))
            }
            None => Ok(()),
        }
    }
}

/// What a deployment says of its rollout.
fn progress(deployment: &Deployment) -> Option<&DeploymentCondition> {
    deployment.status.conditions.iter().find(|one| one.kind == "Progressing")
}

/// How long ago a rollout that is to be called overdue came further, by its controller's clock, if that is not long enough.
fn is_in_time(told: Told<'_>, wall: Wall, new: &Object) -> Option<String> {
    let said = |object: &Object| object.read::<Deployment>().and_then(|one| progress(&one).cloned());
    let is_overdue = |object: &Object| said(object).is_some_and(|one| one.reason == "ProgressDeadlineExceeded");
    let before = told.known(new)?;
    if !is_overdue(new) || is_overdue(before) {
        return None;
    }
    if said(before).is_some_and(|one| one.reason == "DeploymentPaused") {
        return Some("is overdue, and was paused until now".into());
    }
    let (since, most) = (said(before)?.last_update_time?, new.read::<Deployment>()?.progress_deadline()?);
    let since = wall.since(since.wall());
    (since < Duration::from_secs(most)).then(|| format!("is overdue after {} ms, and has {most} s", since.as_millis()))
}

/// Why a deployment should not be said to be rolled out still, in a step that brings new pods beside old ones. While it is
/// given another size, nothing is said of that.
fn is_over(told: Told<'_>, new: &Object) -> Option<String> {
    let before = told.before(new)?.read::<Deployment>()?.status;
    let (deployment, number) = (new.read::<Deployment>()?, |number: Option<i32>| number.unwrap_or(0));
    let of = |one: &&Object| is_of(one, &new.meta().uid);
    let sets: Vec<&Object> = told.within(Kind::ReplicaSet, &new.meta().namespace).filter(of).collect();
    if deployment.spec.paused || is_resized(&deployment, &sets) {
        return None;
    }
    let status = &deployment.status;
    let says_so = progress(&deployment).is_some_and(|said| said.reason == "NewReplicaSetAvailable");
    let old = number(status.replicas) - number(status.updated_replicas);
    let moves = number(status.updated_replicas) > number(before.updated_replicas);
    (says_so && moves && old > 0).then(|| format!("says that it is rolled out, and {old} of its pods are old"))
}

/// Why what is said of a rollout does not go with its deadline, with what was said before, or with the pods that the same
/// status counts.
fn is_misjudged(told: Told<'_>, new: &Object) -> Option<String> {
    let before = told.before(new)?.read::<Deployment>()?;
    let after = new.read::<Deployment>()?;
    let said = |one: &Deployment| progress(one).map(|said| said.reason.clone());
    let (was, is) = (said(&before), said(&after));
    if was == is {
        return None;
    }
    let all = |number: Option<i32>| i64::from(number.unwrap_or(0)) == after.wanted();
    let status = &after.status;
    let is_complete = all(status.replicas) && all(status.updated_replicas) && all(status.available_replicas);
    match (after.progress_deadline(), is) {
        (None, Some(is)) => Some(format!("says {is}, and may take for ever")),
        (Some(_), None) => Some("says nothing of its rollout any more".into()),
        (Some(_), Some(is)) if is == "NewReplicaSetAvailable" && !is_complete => {
            let count = |number: Option<i32>| number.unwrap_or(0);
            let (has, new) = (count(status.replicas), count(status.updated_replicas));
            let (serve, wanted) = (count(status.available_replicas), after.wanted());
            Some(format!("says that it is rolled out: has {has} pods, {new} new, {serve} available, of {wanted}"))
        }
        _ => None,
    }
}

/// A rollout that may take too long says that it is paused if it is, and only then. One that is overdue stays so.
fn is_mistaken(new: &Object) -> Option<String> {
    let one = new.read::<Deployment>()?;
    one.progress_deadline()?;
    let said = progress(&one).map_or("", |said| &*said.reason);
    let (is, says) = (one.spec.paused, said == "DeploymentPaused");
    (is != says && said != "ProgressDeadlineExceeded").then(|| format!("is paused: {is}, and says {said:?}"))
}

impl Rollout {
    /// Whether this controller asked for more pods of a set beside this one than it was told of since, in a former life or
    /// in vain, as far as it knows.
    fn is_unaware(&self, truth: &Truth, who: &Who, owner: &Text, set: &Key) -> bool {
        let told = truth.told(who);
        self.sized.iter().any(|(key, asked)| {
            let shown = told.object(key).map_or(0, wanted);
            let since = truth.now.since(asked.at);
            let is_lost = since < LATE && (asked.turn < truth.turn(who) || since >= LOST);
            let is_other = asked.owner == *owner && key != set && asked.by == who.name;
            is_other && is_lost && asked.to > shown
        })
    }

    /// Whether a size was asked for by a life that is over, or by one that went on without it since.
    fn is_late(&self, set: &Key) -> bool {
        let Some(asked) = self.sized.get(set) else { return false };
        let is_over = self.by.get(&asked.by).is_some_and(|one| one.turn > asked.turn);
        let goes_on =
            |other: &Asked| (&other.owner, &other.by) == (&asked.owner, &asked.by) && other.at >= asked.at + LOST;
        is_over || self.sized.values().any(goes_on)
    }
}

impl Checker for Rollout {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Answered { id, answer } => {
                self.answered(*id, answer);
                Ok(())
            }
            Fact::Sent { who, id, request } if who.role == Role::Workloads => match &request.verb {
                Verb::Create { object } if object.kind() == Kind::ReplicaSet => {
                    self.asks(truth, who, *id, object, true)
                }
                Verb::Update { object, part: Part::Main } if object.kind() == Kind::ReplicaSet => {
                    self.asks(truth, who, *id, object, false)
                }
                Verb::Update { object, part: Part::Status } if object.kind() == Kind::Deployment => {
                    says(truth, who, object)
                }
                _ => Ok(()),
            },
            Fact::Durable { change } => self.changed(truth, change),
            _ => Ok(()),
        }
    }
}

impl Rollout {
    /// What was refused is not done.
    fn answered(&mut self, id: RequestId, answer: &Answer) {
        for observer in self.by.values_mut() {
            if let (Some(set), Answer::Refused(_)) = (observer.open.remove(&id), answer) {
                observer.asked.remove(&set);
            }
        }
    }

    /// A controller asks for a set, or for another size of one.
    fn asks(&mut self, truth: &Truth, who: &Who, id: RequestId, set: &Object, is_new: bool) -> Result<(), Broken> {
        let (told, turn) = (truth.told(who), truth.turn(who));
        let observer = self.by.entry(who.name.clone()).or_default();
        if observer.turn != turn {
            *observer = Observer { turn, ..Observer::default() };
        }
        if let Some(by) = set.meta().controller().filter(|by| by.kind == "Deployment") {
            match self.is_unaware(truth, who, &by.uid, &set.key()) {
                true => self.unaware.insert(set.key()),
                false => self.unaware.remove(&set.key()),
            };
            let owner = by.uid.clone();
            self.sized.insert(set.key(), Asked { to: wanted(set), by: who.name.clone(), turn, at: truth.now, owner });
        }
        if is_new {
            is_made_rightly(told, set)?;
        }
        if let Some(wrong) = is_ill_noted(told, set, is_new) {
            return Err(Broken::by(format!("{} {wrong}", set.key())).with([set]));
        }
        let observer = self.by.entry(who.name.clone()).or_default();
        observer.open.insert(id, set.meta().uid.clone());
        observer.sizes(truth, told, set)
    }

    /// A deployment, or one of its sets, is stored: whether all of its sets together ask for no more than is allowed.
    fn changed(&mut self, truth: &Truth, change: &Change) -> Result<(), Broken> {
        let Some(new) = &change.new else { return Ok(()) };
        if let (Kind::Deployment, Some(deployment)) = (change.key.kind, new.read::<Deployment>()) {
            let allowed = self.allowed.entry(new.meta().uid.clone()).or_default();
            *allowed = deployment.max_total().max(*allowed);
        }
        let Some(by) = new.meta().controller().filter(|by| by.kind == "Deployment") else { return Ok(()) };
        let before = change.old.as_ref().filter(|old| old.meta().controller() == new.meta().controller());
        // One that is made empty adds nobody.
        let grows = before.map_or(change.old.is_none() && wanted(new) > 0, |old| wanted(old) < wanted(new));
        let Some(allowed) = self.allowed.get(&by.uid).filter(|_| change.key.kind == Kind::ReplicaSet && grows) else {
            return Ok(());
        };
        let others =
            truth.disk.objects().values().filter(|one| one.kind() == Kind::ReplicaSet && one.key() != change.key);
        let sets: Vec<&Object> = others.filter(|set| is_of(set, &by.uid)).chain([new]).collect();
        let all: i64 = sets.iter().map(|set| wanted(set)).sum();
        if all > *allowed && !self.unaware.contains(&change.key) && !self.is_late(&change.key) {
            let what = format!("the sets of {} ask for {all} pods, {allowed} are allowed", by.name);
            return Err(Broken::by(what).with(sets));
        }
        Ok(())
    }
}

/// A set is made: whether its deployment goes on, and how long its pods have to be ready is as that says.
fn is_made_rightly(told: Told<'_>, set: &Object) -> Result<(), Broken> {
    let Some((by, _)) = deployment(told, set) else { return Ok(()) };
    if by.spec.paused {
        return Err(Broken::by(format!("{} is made, and its deployment is paused", set.key())).with([set]));
    }
    let seconds = |of: Option<i32>| of.unwrap_or(0);
    let should = seconds(by.spec.min_ready_seconds);
    match set.get::<ReplicaSet>().map(|made| seconds(made.spec.min_ready_seconds)) {
        Some(has) if has != should => {
            let what = format!("{} is made with minReadySeconds {has} instead of {should}", set.key());
            Err(Broken::by(what).with([set]))
        }
        _ => Ok(()),
    }
}

/// A controller says how a deployment is.
fn says(truth: &Truth, who: &Who, new: &Object) -> Result<(), Broken> {
    let told = truth.told(who);
    let wrong = is_in_time(told, truth.wall(&who.name), new)
        .or_else(|| is_over(told, new))
        .or_else(|| is_misjudged(told, new))
        .or_else(|| is_mistaken(new));
    match wrong {
        Some(wrong) => Err(Broken::by(format!("{} {wrong}", new.key())).with([new])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::api::status::Status;
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    /// The deployment of all sets here, with these fields in its spec.
    fn web(fields: Value) -> Value {
        let mut spec = json!({"selector": {}, "template": {}});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "d"}, "spec": spec})
    }

    /// It has three pods, and may have one more.
    fn surging() -> Value {
        web(json!({"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}))
    }

    /// Its rollout has a minute, and its status is this.
    fn has_a_minute(status: Value) -> Value {
        let mut deployment = web(json!({"progressDeadlineSeconds": 60}));
        deployment["status"] = status;
        deployment
    }

    fn set(name: &str, replicas: i32) -> Value {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]);
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "uid": name, "ownerReferences": owner},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}})
    }

    #[test]
    fn fires_when_more_are_asked_for_than_allowed() {
        let mut story = Story::<Rollout>::new();
        story.put(surging()).unwrap();
        story.put(set("a", 3)).unwrap();
        story.put(set("b", 1)).unwrap();
        assert!(story.put(set("b", 2)).unwrap_err().what.contains("5 pods, 4 are allowed"));
        // A new template needs a set of its own all the same.
        story.put(set("c", 0)).unwrap();
        assert!(story.put(set("c", 1)).is_err() && story.put(set("d", 1)).is_err());
        story.put(set("b", 1)).unwrap();
    }

    #[test]
    fn what_was_asked_for_before_may_be_unknown() {
        let exceeds = |lives: [u32; 2], lost: bool, wait: u64| {
            let mut story = Story::<Rollout>::new();
            story.put(surging()).unwrap();
            let [mut one, mut other] = [who(Role::Workloads, "workloads"), who(Role::Workloads, "workloads")];
            (one.life, other.life) = (lives[0], lives[1]);
            story.shows(&other, set("a", 2)).unwrap();
            let grown = if lost { "c" } else { "a" };
            let object = crate::plan::object(set(grown, 3));
            let request = match lost {
                true => Verb::Create { object },
                false => Verb::Update { object, part: Part::Main },
            };
            story.sends(&one, request).unwrap();
            story.put(set("a", if lost { 0 } else { 3 })).unwrap();
            story.put(set("c", if lost { 3 } else { 0 })).unwrap();
            story.pass(wait).unwrap();
            story.asks(2, &other, Verb::Create { object: crate::plan::object(set("b", 2)) }).unwrap();
            story.put(set("b", 2)).is_err()
        };
        assert!(exceeds([1, 1], false, 0) && exceeds([1, 1], true, 0));
        assert!(!exceeds([1, 2], false, 0) && !exceeds([1, 1], true, 2) && !exceeds([1, 1], false, 2));
    }

    #[test]
    fn what_was_given_up_may_be_done_later() {
        let exceeds = |wait: u64| {
            let mut story = Story::<Rollout>::new();
            story.put(surging()).unwrap();
            story.put(set("a", 2)).unwrap();
            for name in ["b", "c"] {
                let made = Verb::Create { object: crate::plan::object(set(name, 2)) };
                story.sends(&who(Role::Workloads, "workloads"), made).unwrap();
                story.pass(wait).unwrap();
            }
            story.put(set("c", 2)).unwrap();
            story.put(set("b", 2)).is_err()
        };
        assert!(exceeds(0) && !exceeds(2));
    }

    /// Tells the controller of a deployment, of its sets with these sizes and available pods, and asks for another size.
    fn asks(strategy: Value, sets: [(&str, i32, i32); 2], to: (&str, i32)) -> Result<(), Broken> {
        asks_after(strategy, sets, &[], to)
    }

    /// Asks for other sizes before, each of which is refused or not.
    fn asks_after(
        strategy: Value,
        sets: [(&str, i32, i32); 2],
        before: &[(&str, i32, bool)],
        to: (&str, i32),
    ) -> Result<(), Broken> {
        let (mut story, controller) = (Story::<Rollout>::new(), who(Role::Workloads, "workloads"));
        let deployment = web(json!({"replicas": 4, "strategy": strategy}));
        let most = if strategy["type"] == "Recreate" { "4" } else { "5" };
        let sized = |name: &str, replicas: i32, available: i32| {
            let mut set = set(name, replicas);
            set["metadata"]["annotations"] = json!({DESIRED_REPLICAS: "4", MAX_REPLICAS: most});
            set["status"] = json!({"replicas": available, "availableReplicas": available});
            set
        };
        let mut pod = pod("old", "n", "Running");
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "a", "controller": true}]);
        let sets = sets.map(|(name, replicas, available)| sized(name, replicas, available));
        for manifest in [deployment, pod].into_iter().chain(sets) {
            story.shows(&controller, manifest).unwrap();
        }
        for (nth, (name, size, is_refused)) in (1..).zip(before.iter().chain(&[(to.0, to.1, false)])) {
            let known = story.truth.object(&Key::new(Kind::ReplicaSet, "default", name)).unwrap();
            let object = known.with(|set: &mut ReplicaSet| set.spec.replicas = Some(*size));
            story.asks(nth, &controller, Verb::Update { object, part: Part::Main })?;
            if *is_refused {
                story.answers(nth, &Answer::Refused(Status::stale(Kind::ReplicaSet, name)))?;
            }
        }
        Ok(())
    }

    #[test]
    fn fires_when_too_few_are_left() {
        let one_away = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}});
        asks(one_away.clone(), [("a", 4, 4), ("b", 1, 0)], ("a", 3)).unwrap();
        // Those that are not available serve nobody.
        asks(one_away.clone(), [("a", 4, 2), ("b", 1, 0)], ("a", 2)).unwrap();
        let broken = asks(one_away.clone(), [("a", 4, 4), ("b", 1, 0)], ("a", 2)).unwrap_err();
        assert!(broken.what.contains("from 4 to 2, which leaves 2 available of 3"), "{broken:?}");
        // It has been shrunk already, and its status does not show that yet.
        assert!(asks(one_away.clone(), [("a", 3, 4), ("b", 1, 0)], ("a", 2)).is_err());
        // What was asked for before may be done, unless it was refused.
        for refused in [false, true] {
            let told = asks_after(one_away.clone(), [("a", 2, 2), ("b", 2, 2)], &[("b", 1, refused)], ("a", 1));
            assert_eq!(told.is_ok(), refused, "{told:?}");
        }
    }

    #[test]
    fn fires_when_pods_of_two_templates_are_asked_for() {
        let recreate = || json!({"type": "Recreate"});
        assert!(asks(recreate(), [("a", 0, 1), ("b", 0, 0)], ("b", 4)).unwrap_err().what.contains("and old is there"));
        asks(recreate(), [("a", 2, 2), ("b", 0, 0)], ("a", 4)).unwrap();
        asks(json!({}), [("a", 0, 1), ("b", 0, 0)], ("b", 4)).unwrap();
    }

    #[test]
    fn fires_on_a_rollout_that_is_given_up_too_early() {
        for (secs, fires) in [(40, true), (70, false)] {
            let (mut story, controller) = (Story::<Rollout>::new(), who(Role::Workloads, "workloads"));
            let said = |reason: &str| {
                has_a_minute(json!({"conditions": [{"type": "Progressing", "status": "True", "reason": reason,
                    "lastUpdateTime": "2026-01-01T00:00:00Z"}]}))
            };
            story.shows(&controller, said("ReplicaSetUpdated")).unwrap();
            story.pass(secs).unwrap();
            let object = crate::plan::object(said("ProgressDeadlineExceeded"));
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Status });
            assert_eq!(sent.is_err(), fires, "{secs}: {sent:?}");
        }
    }

    #[test]
    fn fires_on_a_rollout_that_is_judged_by_the_last_one() {
        let check = |before: (&str, i32), after: (&str, i32)| {
            let (mut story, controller) = (Story::<Rollout>::new(), who(Role::Workloads, "workloads"));
            story.pass(600).unwrap();
            let said = |(reason, updated): (&str, i32)| {
                has_a_minute(json!({"replicas": 3, "updatedReplicas": updated, "conditions": [
                    {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": "2026-01-01T00:00:00Z"}]}))
            };
            let told = story.shows(&controller, said(before)).unwrap();
            let revision = told.meta().resource_version.clone();
            let object = crate::plan::object(said(after)).with_meta(|meta| meta.resource_version = revision);
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Status });
            sent.err().map_or(String::new(), |broken| broken.what)
        };
        let (over, moves, late) = ("NewReplicaSetAvailable", "ReplicaSetUpdated", "ProgressDeadlineExceeded");
        assert!(check((over, 0), (over, 1)).contains("says that it is rolled out, and 2 of its pods are old"));
        assert_eq!(check((over, 0), (moves, 1)), "");
        assert_eq!(check((over, 2), (over, 3)), "");
        assert!(check(("DeploymentPaused", 1), (late, 1)).contains("was paused until now"));
        assert_eq!(check((moves, 1), (late, 1)), "");
    }

    #[test]
    fn fires_on_what_does_not_follow_from_what_is_counted() {
        let check = |deadline: i32, before: Option<&str>, after: Option<&str>, available: i32| {
            let (mut story, controller) = (Story::<Rollout>::new(), who(Role::Workloads, "workloads"));
            let said = |reason: Option<&str>, available: i32| {
                let one = |reason| json!({"type": "Progressing", "status": "True", "reason": reason});
                let conditions: Vec<Value> = reason.into_iter().map(one).collect();
                let mut said = web(json!({"replicas": 3, "progressDeadlineSeconds": deadline}));
                said["status"] = json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": available,
                    "conditions": conditions});
                said
            };
            let told = story.shows(&controller, said(before, 2)).unwrap();
            let revision = told.meta().resource_version.clone();
            let object = crate::plan::object(said(after, available)).with_meta(|meta| meta.resource_version = revision);
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Status });
            sent.err().map_or(String::new(), |broken| broken.what)
        };
        let (over, moves) = (Some("NewReplicaSetAvailable"), Some("ReplicaSetUpdated"));
        assert_eq!(check(60, moves, over, 3), "");
        assert!(check(60, moves, over, 2).contains("rolled out: has 3 pods, 3 new, 2 available, of 3"));
        assert_eq!(check(60, over, over, 2), "", "what becomes of its pods later is no rollout");
        assert!(check(60, moves, None, 3).contains("says nothing of its rollout any more"));
        assert_eq!(check(i32::MAX, moves, None, 3), "");
        assert!(check(i32::MAX, None, over, 3).contains("may take for ever"));
        assert_eq!(check(i32::MAX, moves, moves, 3), "", "while it is paused");
    }

    #[test]
    fn fires_on_a_size_for_other_numbers_than_are_said() {
        let sizes = |strategy: Value, to: i32, desired: &str, most: &str| {
            let (mut story, controller) = (Story::<Rollout>::new(), who(Role::Workloads, "workloads"));
            let deployment = web(json!({"replicas": 10, "strategy": strategy}));
            let known = [deployment, set("a", 8)].map(|manifest| story.put(manifest).unwrap().new.unwrap());
            for object in known.clone() {
                story.hears(&controller, WatchEvent::Added(object)).unwrap();
            }
            let object = known[1].with(|set: &mut ReplicaSet| {
                set.spec.replicas = Some(to);
                set.metadata.annotations.insert(DESIRED_REPLICAS, desired.into());
                set.metadata.annotations.insert(MAX_REPLICAS, most.into());
            });
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Main });
            sent.err().map_or(String::new(), |broken| broken.what)
        };
        let surge = |surge: Value| json!({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0}});
        assert_eq!(sizes(surge(json!(3)), 10, "10", "13"), "");
        assert_eq!(sizes(surge(json!("25%")), 10, "10", "13"), "");
        assert_eq!(sizes(json!({"type": "Recreate"}), 10, "10", "10"), "");
        assert!(sizes(surge(json!(3)), 10, "10", "10").contains("max-replicas is \"10\" instead of 13"));
        assert!(sizes(surge(json!(3)), 10, "8", "13").contains("desired-replicas is \"8\" instead of 10"));
        assert_eq!(sizes(surge(json!(3)), 8, "8", "11"), "", "it keeps its size");
    }

    #[test]
    fn fires_on_a_pause_that_is_not_said_or_said_for_too_long() {
        let says = |paused: bool, deadline: i32, reason: &str| {
            let said = json!([{"type": "Progressing", "status": "Unknown", "reason": reason}]);
            let mut deployment = web(json!({"paused": paused, "progressDeadlineSeconds": deadline}));
            deployment["status"]["conditions"] = said;
            is_mistaken(&crate::plan::object(deployment)).unwrap_or_default()
        };
        let (paused, goes_on, overdue) = ("DeploymentPaused", "DeploymentResumed", "ProgressDeadlineExceeded");
        assert_eq!(says(false, 60, paused), "is paused: false, and says \"DeploymentPaused\"");
        assert_eq!(says(true, 60, goes_on), "is paused: true, and says \"DeploymentResumed\"");
        for (is, deadline, reason) in [
            (true, 60, paused),
            (false, 60, goes_on),
            (true, 60, overdue),
            (false, 60, overdue),
            (false, i32::MAX, paused),
        ] {
            assert_eq!(says(is, deadline, reason), "");
        }
    }

    #[test]
    fn fires_on_a_set_that_is_made_during_a_pause() {
        for paused in [false, true] {
            let (mut story, controller) = (Story::<Rollout>::new(), who(Role::Workloads, "workloads"));
            let deployment = web(json!({"replicas": 4, "paused": paused}));
            let mut slow = deployment.clone();
            slow["spec"]["minReadySeconds"] = 5.into();
            story.shows(&controller, deployment).unwrap();
            let mut first = set("a", 1);
            first["metadata"]["annotations"] = json!({DESIRED_REPLICAS: "4", MAX_REPLICAS: "5"});
            let creation = Verb::Create { object: crate::plan::object(first) };
            let made = story.sends(&controller, creation.clone());
            assert_eq!(made.is_err(), paused, "{made:?}");
            story.shows(&controller, slow).unwrap();
            assert!(story.sends(&controller, creation).is_err());
        }
    }
}
