//! S-scale: No autoscaler writes a number beyond its bounds or faster than its policies allow, or, within its window, lowers it below one to which it raised it, or changes it at all while what it was told is used is nearly what is wished, or while none are wished for by hand.
//!
//! How many were added before, or taken away, only its own memory tells, which it may have lost: it is given the benefit.
//! Catches: bounds that are not looked at, what was recommended lately forgotten, a number that follows each measurement.

use super::{Broken, Checker, by_its_clock};
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::autoscaler::{HorizontalPodAutoscaler, Policy, Rules, SelectPolicy};
use miniku_core::api::deployment::Deployment;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::controllers::horizontal::behaviour::DOWN_WINDOW;
use miniku_core::program::{Input, Part, Verb};
use miniku_core::time::{Duration, Instant};
use miniku_core::usage::PodUsage;
use serde_json::Value;
use std::collections::BTreeMap;

/// To what each program raised each target, and when; its memory of that is its own. A number to which it lowered one may
/// be older than its write.
#[derive(Default)]
pub struct Scale {
    wrote: BTreeMap<(String, Key), Vec<(Instant, i64)>>,
    /// By how much each program changed each target, and when.
    changed: BTreeMap<(String, Key), Vec<(Instant, i64)>>,
    /// What each program was told last is used, and when.
    told: BTreeMap<String, (Instant, Vec<PodUsage>)>,
}

/// A policy's period is no longer. Source: Kubernetes' API, `HPAScalingPolicy.periodSeconds`.
const PERIOD_MAX: Duration = Duration::from_secs(1800);

/// Within so much of what is wished, in percent, nothing is changed; a little less than it is, since it counts in whole
/// percent. Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details: a tenth.
const NEAR: u128 = 8;

/// For so long a pod has to have been ready that it counts for certain.
const COUNTS: Duration = Duration::from_secs(60);

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

/// Whether a target's pods, all of which were measured and count, use nearly as much as is wished.
fn is_near(truth: &Truth, target: &Object, body: &HorizontalPodAutoscaler, usage: &[PodUsage]) -> bool {
    let (Some(deployment), [metric]) = (target.read::<Deployment>(), body.spec.metrics.as_slice()) else {
        return false;
    };
    let cpu = metric.resource.as_ref().filter(|resource| resource.name == "cpu");
    let Some(wished) = cpu.and_then(|cpu| cpu.target.average_utilization) else { return false };
    let labels = &deployment.spec.selector;
    let pods = truth.disk.objects().within(Kind::Pod, &target.meta().namespace).filter_map(Object::get::<Pod>);
    let pods: Vec<&Pod> = pods.filter(|pod| labels.matches(&pod.metadata.labels)).collect();
    let wall = truth.wall("horizontal");
    let counts = |pod: &&Pod| {
        let ready = pod.status.conditions.iter().find(|one| one.kind == "Ready" && one.status == "True");
        let since = ready.and_then(|ready| ready.last_transition_time).map(Time::wall);
        pod.is_active() && since.is_some_and(|since| wall.since(since) >= COUNTS)
    };
    let named = |usage: &PodUsage| pods.iter().any(|pod| pod.metadata.name == usage.name);
    if pods.is_empty() || !pods.iter().all(counts) || usage.len() != pods.len() || !usage.iter().all(named) {
        return false;
    }
    let requested: u128 = pods.iter().map(|pod| u128::from(pod.spec.requests().0) * 1_000_000).sum();
    let used: u128 = usage.iter().flat_map(|one| &one.measured.used).map(|(_, one)| u128::from(one.cpu_nanos)).sum();
    let should = requested * u128::from(wished.unsigned_abs()) / 100;
    should > 0 && used.abs_diff(should) * 100 <= should * NEAR
}

/// Who scales a target, and between which bounds. A bound that was changed a moment ago may not be known yet.
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
        &[Sight::Sent, Sight::Heard]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Heard { who, input: Input::Measured { answer: Ok(usage), .. } } = fact {
            self.told.insert(who.to_string(), (truth.now, usage.clone()));
        }
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let Verb::Merge { key, patch, part: Part::Scale } = &request.verb else { return Ok(()) };
        let Some(to) = patch.pointer("/spec/replicas").and_then(|to| to.as_i64()) else { return Ok(()) };
        if who.role != Role::Horizontal {
            return Ok(());
        }
        let by = autoscalers(truth, key);
        let [(object, body)] = by.as_slice() else { return Ok(()) };
        let (least, most) = (body.spec.min_replicas.unwrap_or(1), body.spec.max_replicas);
        if !(i64::from(least)..=i64::from(most)).contains(&to) {
            let what = format!("{who} makes {key} {to}, between {least} and {most} are wished");
            return Err(Broken::by(what).with([*object]));
        }
        self.goes(truth, who, key, (object, body), patch, to)?;
        let down = body.spec.behavior.as_ref().and_then(|behavior| behavior.scale_down.as_ref());
        let seconds = down.and_then(|down| down.stabilization_window_seconds);
        let window = seconds.map_or(DOWN_WINDOW, |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        let wrote = self.wrote.entry((who.to_string(), key.clone())).or_default();
        wrote.retain(|(at, _)| truth.now.since(*at) < by_its_clock(window));
        let has = truth.object(key).and_then(|target| target.at(&["spec", "replicas"])?.as_i64()).unwrap_or(1);
        if let Some((at, more)) =
            wrote.iter().filter(|_| to < has).find(|(_, more)| *more > to && *more <= i64::from(most))
        {
            let ago = truth.now.since(*at).as_secs();
            let what = format!("{who} makes {key} {to}, and {ago} s ago {more}; its window is {} s", window.as_secs());
            return Err(Broken::by(what).with([*object]));
        }
        if to > has {
            wrote.push((truth.now, to));
        }
        Ok(())
    }
}

impl Scale {
    /// A number is written for a target that is as it was read.
    fn goes(
        &mut self,
        truth: &Truth,
        who: &Who,
        key: &Key,
        (object, body): (&Object, &HorizontalPodAutoscaler),
        patch: &Value,
        to: i64,
    ) -> Result<(), Broken> {
        let version = patch.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let Some(target) = truth.object(key).filter(|one| version == Some(&one.meta().resource_version)) else {
            return Ok(());
        };
        let has = target.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1);
        let changed = self.changed.entry((who.to_string(), key.clone())).or_default();
        changed.retain(|(at, _)| truth.now.since(*at) < PERIOD_MAX);
        let moved = |period: Duration, up: bool| -> i64 {
            // What was measured a moment before it was written still lay within the period.
            let lately = changed.iter().filter(|(at, _)| truth.now.since(*at) <= period + Duration::from_secs(1));
            lately.map(|(_, by)| *by).filter(|by| (*by > 0) == up).sum()
        };
        let (least, most) = (i64::from(body.spec.min_replicas.unwrap_or(1)), i64::from(body.spec.max_replicas));
        let broken = |what: String| Err(Broken::by(format!("{who} makes {key} {to} of {has}, {what}")).with([object]));
        if has == 0 && least > 0 {
            return broken("where none are wished for by hand".to_owned());
        }
        // What is out of its bounds is brought back at once.
        if (least..=most).contains(&has) {
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
            let told = self.told.get(&who.to_string()).filter(|(at, _)| *at == truth.now);
            if let Some((_, usage)) = told.filter(|(_, usage)| to != has && is_near(truth, target, body, usage)) {
                return broken(format!("and what {} pods use is nearly what is wished", usage.len()));
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
    use miniku_core::program::{CallId, Request, RequestId};
    use miniku_core::usage::{Measured, Usage};
    use serde_json::json;

    #[test]
    fn fires_beyond_bounds_and_within_the_window() {
        let mut story = Story::<Scale>::new();
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        story
            .put(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
                "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5}}))
            .unwrap();
        let write = |story: &mut Story<Scale>, has: i32, to: i32| {
            let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"replicas": has, "selector": {}, "template": {}}});
            story.put(web).unwrap();
            let key = Key::new(Kind::Deployment, "default", "web");
            let verb = Verb::Merge { key, patch: json!({"spec": {"replicas": to}}), part: Part::Scale };
            let (who, request) = (who(Role::Horizontal, "horizontal"), Request::from(verb));
            story.see(Fact::Sent { who: &who, id: RequestId(1), request: &request })
        };
        write(&mut story, 2, 4).unwrap();
        assert!(write(&mut story, 4, 6).unwrap_err().what.contains("between 2 and 5"));
        story.pass(100).unwrap();
        assert!(write(&mut story, 4, 3).unwrap_err().what.contains("100 s ago 4"));
        // Somebody else has lowered it below the least.
        write(&mut story, 1, 2).unwrap();
        story.pass(250).unwrap();
        write(&mut story, 4, 3).unwrap();
    }

    #[test]
    fn fires_on_what_goes_too_fast() {
        let check = |behavior: Value, has: i32, to: i32, fires: bool| {
            let mut story = Story::<Scale>::new();
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
            story
                .put(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
                    "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 50, "behavior": behavior}}))
                .unwrap();
            let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"replicas": has, "selector": {}, "template": {}}});
            let web = story.put(web).unwrap().new.unwrap();
            let patch = json!({"spec": {"replicas": to}, "metadata": {"resourceVersion": web.meta().resource_version}});
            let verb = Verb::Merge { key: web.key(), patch, part: Part::Scale };
            let (who, request) = (who(Role::Horizontal, "horizontal"), Request::from(verb));
            let sent = story.see(Fact::Sent { who: &who, id: RequestId(1), request: &request });
            assert_eq!(sent.is_err(), fires, "{behavior} {has} {to}: {sent:?}");
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

    #[test]
    fn fires_on_a_change_that_nothing_asks_for() {
        for (used, fires) in [(105, true), (120, false)] {
            let (mut story, who) = (Story::<Scale>::new(), who(Role::Horizontal, "horizontal"));
            story.pass(200).unwrap();
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
            let metric = json!({"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 50}}});
            story
                .put(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
                    "spec": {"scaleTargetRef": target, "maxReplicas": 50, "metrics": [metric]}}))
                .unwrap();
            let mut pod = pod("a", "n", "Running");
            pod["metadata"]["labels"] = json!({"app": "web"});
            pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "200m".into();
            pod["status"]["conditions"] =
                json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
            story.put(pod).unwrap();
            let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {}}});
            let web = story.put(web).unwrap().new.unwrap();
            let usage = Usage { cpu_nanos: used * 1_000_000, ..Usage::default() };
            let measured = Measured { used: vec![("c".to_owned(), usage)], ..Measured::default() };
            let usage = PodUsage { namespace: "default".into(), name: "a".into(), measured };
            let input = Input::Measured { call: CallId(1), answer: Ok(vec![usage]) };
            story.see(Fact::Heard { who: &who, input: &input }).unwrap();
            let patch = json!({"spec": {"replicas": 2}, "metadata": {"resourceVersion": web.meta().resource_version}});
            let request = Request::from(Verb::Merge { key: web.key(), patch, part: Part::Scale });
            let sent = story.see(Fact::Sent { who: &who, id: RequestId(1), request: &request });
            assert_eq!(sent.is_err(), fires, "{used}: {sent:?}");
        }
    }
}
