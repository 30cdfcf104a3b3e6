//! S-scale: No autoscaler writes a number beyond its bounds or faster than its policies allow, or, within its window, lowers it below one to which it raised it. It goes no further up or down than what it was told is used asks for, and does not lower the number while something that it goes by cannot be had. It changes nothing at all while none are wished for by hand, or while another one is known to scale the same. What it writes is for the target as it was read.
//!
//! How many were added before, or taken away, only its own memory tells, which it may have lost: it is given the benefit.
//! What is asked for is judged while all that it was told of the target's pods is as it is stored.
//! Catches: bounds that are not looked at, what was recommended lately forgotten, a number that follows each measurement;
//! pods that are counted as what they are not; two autoscalers that undo each other's work; a wish of somebody else that is
//! overwritten.
//!
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details.

use super::{Broken, Checker, by_its_clock};
use crate::told::{Told, Turn};
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::autoscaler::{ABLE_TO_SCALE, HorizontalPodAutoscaler, MetricSpec, Policy, Rules, SelectPolicy};
use miniku_core::api::deployment::Deployment;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Container, Pod, PodPhase};
use miniku_core::api::text::Text;
use miniku_core::controllers::horizontal::behaviour::DOWN_WINDOW;
use miniku_core::program::{Input, Part, Verb};
use miniku_core::store::Change;
use miniku_core::time::{Duration, Instant, Wall};
use miniku_core::usage::PodUsage;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Whose memory something is in: a program's in one turn. With the next it begins anew.
type Memory = (Arc<str>, Turn);

fn memory(truth: &Truth, who: &Who) -> Memory {
    (who.name.clone(), truth.turn(who))
}

/// To what each program raised each target, and when; its memory of that is its own. A number to which it lowered one may
/// be older than its write.
#[derive(Default)]
pub struct Scale {
    wrote: BTreeMap<(Memory, Key), Vec<(Instant, i64)>>,
    /// By how much each program changed each target, and when.
    changed: BTreeMap<(Memory, Key), Vec<(Instant, i64)>>,
    /// What each program was told last is used, and when.
    told: BTreeMap<Memory, (Instant, Vec<PodUsage>)>,
    /// The autoscalers, by uid, of whose targets each program has read the scale.
    read: BTreeSet<(Memory, Text)>,
    /// When each autoscaler's wish was changed, or it was removed.
    wished: BTreeMap<Key, Instant>,
}

/// A policy's period is no longer. Source: Kubernetes' API, `HPAScalingPolicy.periodSeconds`.
const PERIOD_MAX: Duration = Duration::from_secs(1800);

/// Within so much of what is wished, in percent, nothing is changed.
const NEAR: i128 = 10;

/// For so long after its start a pod's processor time counts only when it is ready, and was for a whole window.
const STARTS: Duration = Duration::from_secs(300);

/// Who became unready so soon after its start was never ready.
const NEVER_READY: Duration = Duration::from_secs(30);

/// So long it may take until a wish is known, and a look is over that began before.
const KNOWN: Duration = Duration::from_secs(60);

/// A window is no shorter.
const WINDOW: Duration = Duration::from_secs(15);

/// The furthest that a way may be gone at once by its policies, from where it was at the beginning of each one's period.
fn furthest(rules: Option<&Rules>, up: bool, has: i64, moved: impl Fn(Duration) -> i64) -> i64 {
    let select = rules.and_then(|rules| rules.select_policy).unwrap_or_default();
    let limit = |policy: &Policy| {
        let period = Duration::from_secs(u64::try_from(policy.period_seconds).unwrap_or(0));
        let (base, value) = (has + moved(period), i64::from(policy.value));
        match (&*policy.kind, up) {
            ("Pods", true) => base + value,
            ("Pods", false) => base - value,
            (_, true) => -(-base * (100 + value)).div_euclid(100),
            (_, false) => (base * (100 - value)).div_euclid(100),
        }
    };
    let limits = || rules.map_or(&[][..], |rules| &rules.policies).iter().map(limit);
    let chosen = match (select, up) {
        (SelectPolicy::Disabled, _) => None,
        (SelectPolicy::Max, true) | (SelectPolicy::Min, false) => limits().max(),
        (SelectPolicy::Min, true) | (SelectPolicy::Max, false) => limits().min(),
    };
    chosen.unwrap_or(has)
}

/// What a pod used, and requests, in thousandths of a processor.
#[derive(Clone, Copy)]
struct Load {
    used: i128,
    requested: i128,
}

/// As what a target's pods count.
#[derive(Default)]
struct Counted {
    /// They work, and it is known how much they do.
    works: Vec<Load>,
    /// They do not work yet: what each of them requests.
    starts: Vec<i128>,
    /// Nobody has measured them: what each of them requests.
    unknown: Vec<i128>,
}

fn requested(pod: &Pod) -> Option<i128> {
    let of = |one: &Container| {
        let amounts = &one.resources;
        let cpu = amounts.requests.get("cpu").or_else(|| amounts.limits.get("cpu"))?;
        Some(i128::from(cpu.milli_value()))
    };
    pod.spec.containers.iter().map(of).sum()
}

/// Whether what was measured of a pod tells what it will use, and not what it takes to start.
fn tells(pod: &Pod, usage: &PodUsage, wall: Wall) -> bool {
    let ready = pod.status.conditions.iter().find(|one| one.kind == "Ready");
    let (Some(ready), Some(started)) = (ready, pod.status.start_time.map(Time::wall)) else { return false };
    let (is_ready, changed) = (ready.status != "False", ready.last_transition_time.map_or(started, Time::wall));
    if started + STARTS > wall {
        return is_ready && usage.measured.at >= changed + usage.measured.window.max(WINDOW);
    }
    is_ready || changed >= started + NEVER_READY
}

impl Counted {
    /// None where there is no saying: somebody was measured who is none of them, or does not say what it requests.
    fn of(pods: &[&Pod], usage: &[PodUsage], wall: Wall) -> Option<Counted> {
        let mut counted = Counted::default();
        if !usage.iter().all(|one| pods.iter().any(|pod| pod.metadata.name == one.name)) {
            return None;
        }
        for pod in pods.iter().filter(|pod| !pod.metadata.is_deleting() && pod.status.phase != PodPhase::Failed) {
            let requested = requested(pod)?;
            let known = usage.iter().find(|one| pod.metadata.name == one.name);
            match known {
                _ if pod.status.phase == PodPhase::Pending => counted.starts.push(requested),
                None => counted.unknown.push(requested),
                Some(known) if tells(pod, known, wall) => {
                    let used = known.measured.used.iter().map(|(_, one)| i128::from(one.cpu_nanos.div_ceil(1_000_000)));
                    counted.works.push(Load { used: used.sum(), requested });
                }
                Some(_) => counted.starts.push(requested),
            }
        }
        Some(counted)
    }
}

/// What a metric wishes for each pod.
#[derive(Clone, Copy)]
enum Wish {
    /// So many thousandths of a processor.
    Average(i128),
    /// In percent of what it requests.
    Percent(i128),
}

impl Wish {
    /// Of a metric of processor time.
    fn of(metric: &MetricSpec) -> Option<Wish> {
        let target = &metric.resource.as_ref().filter(|resource| resource.name == "cpu")?.target;
        match (&target.average_value, target.average_utilization) {
            (Some(value), _) => Some(Wish::Average(value.milli_value().into())),
            (None, Some(percent)) => Some(Wish::Percent(percent.into())),
            (None, None) => None,
        }
    }

    fn wished(self) -> i128 {
        let (Wish::Average(wished) | Wish::Percent(wished)) = self;
        wished.max(1)
    }

    /// What there is of what is wished. None of nobody.
    fn used(self, pods: &[Load]) -> Option<i128> {
        let used: i128 = pods.iter().map(|one| one.used).sum();
        match self {
            Wish::Average(_) => used.checked_div(i128::try_from(pods.len()).ok()?),
            Wish::Percent(_) => (used * 100).checked_div(pods.iter().map(|one| one.requested).sum()),
        }
    }

    /// How many pods it asks for, where there are `has` and what is used is reckoned higher by `off`.
    fn asked(self, counted: &Counted, has: i64, off: i128) -> Option<i64> {
        let wished = self.wished();
        let is_near = |used: i128| (used - wished).abs() * 100 <= wished * NEAR;
        let many = |used: i128, pods: usize| {
            let all = used * i128::try_from(pods).ok()?;
            i64::try_from(-(-all).div_euclid(wished)).ok()
        };
        let first = self.used(&counted.works)? + off;
        let side = first.cmp(&wished);
        let with_starts = side == Ordering::Greater && !counted.starts.is_empty();
        if side == Ordering::Equal || !with_starts && counted.unknown.is_empty() {
            return if is_near(first) { Some(has) } else { many(first, counted.works.len()) };
        }
        // What is not known is taken to be such that less is changed.
        let unknown = |requested: i128| match (side, self) {
            (Ordering::Less, Wish::Percent(percent)) => requested * percent.max(100) / 100,
            (Ordering::Less, Wish::Average(average)) => average,
            _ => 0,
        };
        let mut pods = counted.works.clone();
        pods.extend(counted.unknown.iter().map(|one| Load { used: unknown(*one), requested: *one }));
        if with_starts {
            pods.extend(counted.starts.iter().map(|one| Load { used: 0, requested: *one }));
        }
        let second = self.used(&pods)? + off;
        if is_near(second) || second.cmp(&wished) != side {
            return Some(has);
        }
        let asked = many(second, pods.len())?;
        Some(if side == Ordering::Greater { asked.max(has) } else { asked.min(has) })
    }
}

/// Whether anybody here can measure it.
fn can_be_had(metric: &MetricSpec) -> bool {
    metric.resource.is_some() || metric.container_resource.is_some()
}

/// The pods of a target, if all that somebody was told of them is as it is stored.
fn pods_of<'a>(truth: &'a Truth, told: Told<'a>, target: &Object) -> Option<Vec<&'a Pod>> {
    let (labels, namespace) = (target.read::<Deployment>()?.spec.selector, &target.meta().namespace);
    let selected = |one: &&'a Object| labels.matches(&one.meta().labels);
    let version = |one: &'a Object| (&one.meta().uid, &one.meta().resource_version);
    let stored: Vec<&'a Object> = truth.disk.objects().within(Kind::Pod, namespace).filter(selected).collect();
    let seen = told.within(Kind::Pod, namespace).filter(selected);
    let same = seen.map(version).eq(stored.iter().copied().map(version));
    same.then(|| stored.into_iter().filter_map(Object::get::<Pod>).collect())
}

/// The fewest and the most pods that its metrics ask for together, if that can be told.
fn asks_for(
    truth: &Truth,
    who: &Who,
    target: &Object,
    body: &HorizontalPodAutoscaler,
    usage: &[PodUsage],
) -> Option<(i64, i64)> {
    let pods = pods_of(truth, truth.told(who), target)?;
    let (counted, has) = (Counted::of(&pods, usage, truth.wall(&who.name))?, replicas(target));
    // It counts in whole thousandths of a processor, and in whole percent.
    let of = |metric: &MetricSpec| -> Option<(i64, i64)> {
        let wish = Wish::of(metric)?;
        let asked: Option<Vec<i64>> = [-1, 0, 1].into_iter().map(|off| wish.asked(&counted, has, off)).collect();
        let asked = asked?;
        Some((*asked.iter().min()?, *asked.iter().max()?))
    };
    // The one that asks for most decides.
    let all: Option<Vec<(i64, i64)>> = body.spec.metrics.iter().filter(|one| can_be_had(one)).map(of).collect();
    let all = all?;
    Some((all.iter().map(|(fewest, _)| *fewest).max()?, all.iter().map(|(_, most)| *most).max()?))
}

/// How many are wished of a target.
fn replicas(target: &Object) -> i64 {
    target.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1)
}

fn bounds(body: &HorizontalPodAutoscaler) -> RangeInclusive<i64> {
    i64::from(body.spec.min_replicas.unwrap_or(1))..=i64::from(body.spec.max_replicas)
}

/// Who scales a target, and between which bounds.
fn autoscalers<'a>(truth: &'a Truth, target: &'a Key) -> Vec<(&'a Object, HorizontalPodAutoscaler)> {
    let all = truth.disk.objects().within(Kind::HorizontalPodAutoscaler, &target.namespace);
    let bodies = all.filter_map(|object| Some((object, object.read::<HorizontalPodAutoscaler>()?)));
    let of = |(_, body): &(&Object, HorizontalPodAutoscaler)| {
        let of = &body.spec.scale_target_ref;
        of.kind == target.kind.row().name && of.name == *target.name
    };
    bodies.filter(of).collect()
}

impl Checker for Scale {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Heard, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Heard { who, input: Input::Measured { answer: Ok(usage), .. } } = fact {
            self.told.insert(memory(truth, who), (truth.now, usage.clone()));
        }
        if let Fact::Durable { change } = fact {
            self.notes(truth.now, change);
        }
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        match &request.verb {
            _ if who.role != Role::Horizontal => Ok(()),
            Verb::Update { object, part: Part::Status } => {
                self.reads(truth, who, object);
                Ok(())
            }
            Verb::Merge { key, patch, part: Part::Scale } => self.writes(truth, who, key, patch),
            _ => Ok(()),
        }
    }
}

impl Scale {
    /// An autoscaler wishes something else, or is gone.
    fn notes(&mut self, now: Instant, change: &Change) {
        let is_one = change.key.kind == Kind::HorizontalPodAutoscaler;
        let Some(old) = change.old.as_ref().filter(|_| is_one) else { return };
        if change.new.as_ref().is_none_or(|new| new.at(&["spec"]) != old.at(&["spec"])) {
            self.wished.insert(change.key.clone(), now);
        }
    }

    /// What an autoscaler's status says was read of its target.
    fn reads(&mut self, truth: &Truth, who: &Who, object: &Object) {
        let is_one = object.kind() == Kind::HorizontalPodAutoscaler;
        let Some(body) = object.read::<HorizontalPodAutoscaler>().filter(|_| is_one) else { return };
        let said = body.status.conditions.iter().find(|one| one.kind == ABLE_TO_SCALE);
        if said.is_some_and(|said| said.reason != "FailedGetScale") {
            self.read.insert((memory(truth, who), object.meta().uid.clone()));
        }
    }

    fn writes(&mut self, truth: &Truth, who: &Who, key: &Key, patch: &Value) -> Result<(), Broken> {
        let Some(to) = patch.pointer("/spec/replicas").and_then(Value::as_i64) else { return Ok(()) };
        let version = patch.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        if version.is_empty() {
            return Err(Broken::by(format!("{who} makes {key} {to}, whatever has become of it since it was read")));
        }
        let as_read = truth.object(key).filter(|one| *one.meta().resource_version == *version);
        let by = autoscalers(truth, key);
        let lately = |at: &Instant| truth.now.since(*at) < KNOWN;
        if by.iter().any(|(object, _)| self.wished.get(&object.key()).is_some_and(lately)) {
            return Ok(());
        }
        let [(object, body)] = by.as_slice() else { return self.is_alone(truth, who, as_read, &by, to) };
        if !bounds(body).contains(&to) {
            let (least, most) = (*bounds(body).start(), body.spec.max_replicas);
            let what = format!("{who} makes {key} {to}, between {least} and {most} are wished");
            return Err(Broken::by(what).with([*object]));
        }
        let asked = as_read.and_then(|target| self.asked(truth, who, target, body));
        let is_asked_for = asked.is_some_and(|(fewest, most)| (fewest..=most).contains(&to));
        if let Some(target) = as_read {
            self.goes(truth, who, target, (object, body), asked, to)?;
        }
        let down = body.spec.behavior.as_ref().and_then(|behavior| behavior.scale_down.as_ref());
        let seconds = down.and_then(|down| down.stabilization_window_seconds);
        let window = seconds.map_or(DOWN_WINDOW, |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        let wrote = self.wrote.entry((memory(truth, who), key.clone())).or_default();
        wrote.retain(|(at, _)| truth.now.since(*at) < by_its_clock(window));
        let has = truth.object(key).map_or(1, replicas);
        if let Some((at, more)) =
            wrote.iter().filter(|_| to < has).find(|(_, more)| *more > to && *more <= i64::from(body.spec.max_replicas))
        {
            let ago = truth.now.since(*at).as_secs();
            let what = format!("{who} makes {key} {to}, and {ago} s ago {more}; its window is {} s", window.as_secs());
            return Err(Broken::by(what).with([*object]));
        }
        // Without rules it may go up to what was asked for some minutes ago, which is forgotten so much earlier.
        if to > has && (body.spec.behavior.is_some() || is_asked_for) {
            wrote.push((truth.now, to));
        }
        Ok(())
    }

    /// The fewest and the most pods that are asked for by what a program is told right now.
    fn asked(&self, truth: &Truth, who: &Who, target: &Object, body: &HorizontalPodAutoscaler) -> Option<(i64, i64)> {
        let (_, usage) = self.told.get(&memory(truth, who)).filter(|(at, _)| *at == truth.now)?;
        asks_for(truth, who, target, body, usage)
    }

    /// Where several scale the same, none does once two are known to: each would undo what the other has done. What is out
    /// of one's bounds it brings back all the same.
    fn is_alone(
        &self,
        truth: &Truth,
        who: &Who,
        target: Option<&Object>,
        by: &[(&Object, HorizontalPodAutoscaler)],
        to: i64,
    ) -> Result<(), Broken> {
        let Some(target) = target else { return Ok(()) };
        let (has, told, memory) = (replicas(target), truth.told(who), memory(truth, who));
        if !by.iter().all(|(_, body)| bounds(body).contains(&has)) {
            return Ok(());
        }
        let is_known = |object: &&Object| {
            let is_told = told.known(object).is_some();
            is_told && self.read.contains(&(memory.clone(), object.meta().uid.clone()))
        };
        let known: Vec<&Object> = by.iter().map(|(object, _)| *object).filter(is_known).collect();
        let [one, other, ..] = known.as_slice() else { return Ok(()) };
        let (key, one, other) = (target.key(), &one.meta().name, &other.meta().name);
        let what = format!("{who} makes {key} {to} of {has}, which both {one} and {other} scale");
        Err(Broken::by(what).with(known.iter().copied()))
    }

    /// A number is written for a target that is as it was read.
    fn goes(
        &mut self,
        truth: &Truth,
        who: &Who,
        target: &Object,
        (object, body): (&Object, &HorizontalPodAutoscaler),
        asked: Option<(i64, i64)>,
        to: i64,
    ) -> Result<(), Broken> {
        let (key, has, memory) = (target.key(), replicas(target), memory(truth, who));
        let changed = self.changed.entry((memory.clone(), key.clone())).or_default();
        changed.retain(|(at, _)| truth.now.since(*at) < PERIOD_MAX);
        let moved = |period: Duration, up: bool| -> i64 {
            // What was measured a moment before it was written still lay within the period.
            let lately = changed.iter().filter(|(at, _)| truth.now.since(*at) <= period + Duration::from_secs(1));
            lately.map(|(_, by)| *by).filter(|by| (*by > 0) == up).sum()
        };
        let broken = |what: String| Err(Broken::by(format!("{who} makes {key} {to} of {has}, {what}")).with([object]));
        if has == 0 && *bounds(body).start() > 0 {
            return broken("where none are wished for by hand".to_owned());
        }
        // What is out of its bounds is brought back at once.
        if bounds(body).contains(&has) {
            let (up, down) = match &body.spec.behavior {
                None => ((2 * has).max(4), 0),
                Some(rules) => (
                    furthest(rules.scale_up.as_ref(), true, has, |period| -moved(period, false)),
                    furthest(rules.scale_down.as_ref(), false, has, |period| -moved(period, true)),
                ),
            };
            if to > has.max(up) || to < has.min(down) {
                return broken(format!("and may go from {down} to {up}"));
            }
            if to < has && !body.spec.metrics.iter().all(can_be_had) {
                return broken("and not all that it goes by can be had".to_owned());
            }
            // Without rules it goes up, too, to the most that was asked for lately.
            let too_many = |most: i64| to > has.max(most) && body.spec.behavior.is_some();
            if let Some((fewest, most)) = asked.filter(|(fewest, most)| to < has.min(*fewest) || too_many(*most)) {
                return broken(format!("and what is used asks for {fewest} to {most}"));
            }
        }
        changed.push((truth.now, to - has));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::CallId;
    use miniku_core::usage::{Measured, Usage};
    use serde_json::json;

    /// An autoscaler of the deployment `web`, with these fields in its spec.
    fn autoscaler(name: &str, fields: Value) -> Value {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let mut spec = json!({"scaleTargetRef": target, "maxReplicas": 9});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "uid": name}, "spec": spec})
    }

    /// The deployment `web` is stored with so many pods.
    fn put_web(story: &mut Story<Scale>, replicas: i32) -> Object {
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {}}});
        story.put(web).unwrap().new.unwrap()
    }

    /// That `web` is to have so many, as it was in a version.
    fn makes_web(to: i32, version: &str) -> Verb {
        let patch = json!({"spec": {"replicas": to}, "metadata": {"resourceVersion": version}});
        Verb::Merge { key: Key::new(Kind::Deployment, "default", "web"), patch, part: Part::Scale }
    }

    /// What is wrong when the controller makes so many of `web`, as it is stored.
    fn scales(story: &mut Story<Scale>, web: &Object, to: i32) -> String {
        let sent = story.sends(&who(Role::Horizontal, "horizontal"), makes_web(to, &web.meta().resource_version));
        sent.err().map(|broken| broken.what).unwrap_or_default()
    }

    #[test]
    fn fires_beyond_bounds_and_within_the_window() {
        let rules = json!({"policies": [{"type": "Pods", "value": 9, "periodSeconds": 15}]});
        beyond_bounds_and_within_the_window(json!({"scaleUp": rules, "scaleDown": rules}));
        // When what it was raised to was asked for is not known then.
        beyond_bounds_and_within_the_window(json!(null));
    }

    fn beyond_bounds_and_within_the_window(behavior: Value) {
        let (mut story, has_rules) = (Story::<Scale>::new(), !behavior.is_null());
        let fields = json!({"minReplicas": 2, "maxReplicas": 5, "behavior": behavior});
        story.put(autoscaler("web", fields)).unwrap();
        let write = |story: &mut Story<Scale>, has: i32, to: i32| {
            let web = put_web(story, has);
            scales(story, &web, to)
        };
        assert_eq!(write(&mut story, 2, 4), "");
        assert!(write(&mut story, 4, 6).contains("between 2 and 5"));
        story.pass(100).unwrap();
        let lowers = write(&mut story, 4, 3);
        assert!(lowers.contains("100 s ago 4") == has_rules && lowers.is_empty() != has_rules, "{lowers}");
        // Somebody else has lowered it below the least.
        assert_eq!(write(&mut story, 1, 2), "");
        story.pass(250).unwrap();
        assert_eq!(write(&mut story, 4, 3), "");
    }

    #[test]
    fn fires_on_what_goes_too_fast() {
        let check = |behavior: Value, has: i32, to: i32, fires: bool| {
            let mut story = Story::<Scale>::new();
            story.put(autoscaler("web", json!({"maxReplicas": 50, "behavior": behavior}))).unwrap();
            let web = put_web(&mut story, has);
            let what = scales(&mut story, &web, to);
            assert_eq!(!what.is_empty(), fires, "{behavior} {has} {to}: {what}");
        };
        let policies = [("Pods", 2), ("Percent", 50)];
        let policies = policies.map(|(kind, value)| json!({"type": kind, "value": value, "periodSeconds": 60}));
        let rules = |select: &str| json!({"selectPolicy": select, "policies": policies});
        let both = |select: &str| json!({"scaleUp": rules(select), "scaleDown": rules(select)});
        check(json!(null), 1, 4, false);
        check(json!(null), 3, 7, true);
        check(json!(null), 0, 1, true);
        check(both("Max"), 5, 8, false);
        check(both("Max"), 5, 9, true);
        check(both("Min"), 5, 7, false);
        check(both("Min"), 5, 8, true);
        check(both("Max"), 5, 2, false);
        check(both("Max"), 5, 1, true);
        check(both("Min"), 5, 3, false);
        check(both("Disabled"), 5, 6, true);
        // One that is out of its bounds is brought back at once.
        check(both("Min"), 80, 50, false);
    }

    /// Its controller is told of an autoscaler and its target's pods, of each what it uses of the 200 thousandths that it
    /// requests, if it was measured, and whether it is leaving. What is wrong when it makes so many of so many then.
    fn makes(metrics: Value, has: i32, to: i32, pods: &[(Option<u64>, bool)]) -> String {
        let (mut story, who) = (Story::<Scale>::new(), who(Role::Horizontal, "horizontal"));
        story.pass(200).unwrap();
        let rules = json!({"policies": [{"type": "Pods", "value": 9, "periodSeconds": 15}]});
        let behavior = json!({"scaleUp": rules, "scaleDown": rules});
        let fields = json!({"maxReplicas": 50, "metrics": metrics, "behavior": behavior});
        story.put(autoscaler("web", fields)).unwrap();
        let mut usage = Vec::new();
        for (nth, (used, leaves)) in pods.iter().enumerate() {
            let name = format!("web-{nth}");
            let mut pod = pod(&name, "n", "Running");
            pod["metadata"]["labels"] = json!({"app": "web"});
            if *leaves {
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:03:00Z".into();
            }
            pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "200m".into();
            pod["status"]["startTime"] = "2026-01-01T00:00:00Z".into();
            pod["status"]["conditions"] =
                json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
            story.shows(&who, pod).unwrap();
            let Some(used) = used else { continue };
            let used = vec![("c".to_owned(), Usage { cpu_nanos: used * 1_000_000, ..Usage::default() })];
            let measured = Measured { at: story.truth.wall("horizontal"), used, ..Measured::default() };
            usage.push(PodUsage { namespace: "default".into(), name, measured });
        }
        let web = put_web(&mut story, has);
        story.steps(&who, Input::Measured { call: CallId(1), answer: Ok(usage) }).unwrap();
        scales(&mut story, &web, to)
    }

    /// Half of what is requested.
    fn half() -> Value {
        json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50}}})
    }

    #[test]
    fn fires_on_a_change_that_nothing_asks_for() {
        let check = |has: i32, to: i32, pods: &[(Option<u64>, bool)], says: &str| {
            let what = makes(json!([half()]), has, to, pods);
            assert!(what.contains(says) && what.is_empty() == says.is_empty(), "{has} {to} {pods:?}: {what}");
        };
        check(1, 2, &[(Some(105), false)], "asks for 1 to 1");
        check(1, 2, &[(Some(120), false)], "");
        check(1, 3, &[(Some(120), false)], "asks for 2 to 2");
        // There are fewer than are wished: no more are asked for by those.
        let short = [(Some(150), false), (Some(150), false)];
        check(4, 6, &short, "asks for 3 to 4");
        check(2, 3, &short, "");
        // Who is leaving, and is not measured any more or is, counts as nobody.
        for used in [None, Some(150)] {
            let leaving = [(Some(150), false), (Some(150), false), (used, true), (used, true)];
            check(2, 3, &leaving, "");
            check(2, 6, &leaving, "asks for 3 to 4");
        }
        // Who was not measured may use all, and may use nothing.
        let unknown = |used: u64| [(Some(used), false), (None, false)];
        check(2, 3, &unknown(150), "asks for 2 to 2");
        check(2, 1, &unknown(20), "asks for 2 to 2");
        check(2, 1, &[(Some(20), false), (Some(20), false)], "");
    }

    #[test]
    fn a_wish_that_was_changed_lately_may_not_be_known() {
        for (secs, fires) in [(10, false), (70, true)] {
            let mut story = Story::<Scale>::new();
            for most in [9, 4] {
                story.put(autoscaler("web", json!({"maxReplicas": most}))).unwrap();
            }
            let web = put_web(&mut story, 3);
            story.pass(secs).unwrap();
            let what = scales(&mut story, &web, 6);
            assert_eq!(!what.is_empty(), fires, "{secs}: {what}");
        }
    }

    #[test]
    fn fires_on_fewer_while_something_cannot_be_had() {
        let queue = json!({"type": "External", "external": {"metric": {"name": "queue"},
            "target": {"type": "AverageValue", "averageValue": "3"}}});
        let pods = |used: u64| [(Some(used), false), (Some(used), false)];
        assert_eq!(makes(json!([half()]), 2, 1, &pods(20)), "");
        assert!(makes(json!([half(), queue]), 2, 1, &pods(20)).contains("not all that it goes by can be had"));
        assert_eq!(makes(json!([half(), queue]), 2, 3, &pods(150)), "");
    }

    #[test]
    fn fires_on_a_number_for_whatever_there_is_and_on_two_who_scale_the_same() {
        // Which of the two autoscalers' targets it has read.
        let sent = |version: Option<&str>, read: &[&str]| {
            let (mut story, who) = (Story::<Scale>::new(), who(Role::Horizontal, "horizontal"));
            let said = json!([{"type": ABLE_TO_SCALE, "status": "True", "reason": "ReadyForNewScale"}]);
            for name in ["one", "two"] {
                let mut autoscaler = autoscaler(name, json!({}));
                autoscaler["status"]["conditions"] = said.clone();
                let object = story.shows(&who, autoscaler).unwrap();
                if read.contains(&name) {
                    story.sends(&who, Verb::Update { object, part: Part::Status }).unwrap();
                }
            }
            let web = put_web(&mut story, 2);
            let sent = story.asks(2, &who, makes_web(3, version.unwrap_or(&web.meta().resource_version)));
            sent.err().map(|broken| broken.what).unwrap_or_default()
        };
        assert_eq!(sent(None, &["one"]), "");
        assert!(sent(None, &["one", "two"]).contains("3 of 2, which both one and two scale"));
        // It is somebody else's number by then, and the write is refused.
        assert_eq!(sent(Some("1"), &["one", "two"]), "");
        assert!(sent(Some(""), &[]).contains("whatever has become of it"));
    }
}
