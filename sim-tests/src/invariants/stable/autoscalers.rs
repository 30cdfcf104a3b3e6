//! Whether each autoscaler has made as many pods as their load asks for, if all of them run and can be measured.
//!
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details.

use super::of_kind;
use crate::truth::Truth;
use crate::usage;
use miniku_core::api::autoscaler::{Behavior, HorizontalPodAutoscaler, MetricSpec, Rules, SelectPolicy};
use miniku_core::api::deployment::Deployment;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::program::Query;

/// What is not as it should be, if anything.
pub(super) fn missing(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::HorizontalPodAutoscaler).filter(|object| !object.meta().is_deleting()) {
        let body = object.read::<HorizontalPodAutoscaler>()?;
        if let Some(wrong) = leaves(truth, &object.meta().namespace, &body) {
            return Some(format!("{} leaves {wrong}", object.key()));
        }
    }
    None
}

/// How many pods an autoscaler leaves, if it should not.
fn leaves(truth: &Truth, namespace: &str, body: &HorizontalPodAutoscaler) -> Option<String> {
    let target = truth.object(&Key::new(Kind::Deployment, namespace, &body.spec.scale_target_ref.name))?;
    let deployment = target.read::<Deployment>()?;
    let (least, most) = (i64::from(body.spec.min_replicas.unwrap_or(1)), i64::from(body.spec.max_replicas));
    let has = deployment.wanted();
    // None are wished for by hand: it does nothing then.
    if has == 0 {
        return None;
    }
    if !(least..=most).contains(&has) {
        return Some(format!("{has} pods, between {least} and {most} are wished"));
    }
    // None of several changes anything.
    if has_rivals(truth, namespace, body) {
        return None;
    }
    let load = Load::of(truth, namespace, &deployment)?;
    let shares = load.shares(body);
    let wanted = |percent: u128, wished: u128| {
        let near = (percent * 10).abs_diff(wished * 10) * 10 <= wished * 10;
        let many = if near { has.unsigned_abs().into() } else { (percent * load.pods).div_ceil(wished) };
        i64::try_from(many).unwrap_or(i64::MAX).clamp(least, most)
    };
    // It counts in whole thousandths of a processor, and in whole percent. What asks for most decides.
    let at_least = shares.iter().map(|(percent, wished)| wanted(percent.saturating_sub(1), *wished)).max();
    let at_most = shares.iter().map(|(percent, wished)| wanted(percent + 1, *wished)).max();
    // While something cannot be had, no fewer are wished than there are.
    let is_blind = body.spec.metrics.iter().any(|metric| metric.resource.is_none());
    let at_least = if is_closed(body, |of| of.scale_up.as_ref()) { at_least.min(Some(has)) } else { at_least };
    let stays = is_blind || is_closed(body, |of| of.scale_down.as_ref());
    let at_most = if stays { at_most.max(Some(has)) } else { at_most };
    let (at_least, at_most) = (at_least?, at_most?);
    (!(at_least..=at_most).contains(&has)).then(|| {
        let percent: Vec<String> = shares.iter().map(|(is, wished)| format!("{is} % of {wished}")).collect();
        let percent = percent.join(" and ");
        format!("{has} pods that use {percent}; {at_most} would share the load")
    })
}

/// Whether others scale the same.
fn has_rivals(truth: &Truth, namespace: &str, body: &HorizontalPodAutoscaler) -> bool {
    let of = |other: &HorizontalPodAutoscaler| other.spec.scale_target_ref == body.spec.scale_target_ref;
    let all = truth.disk.objects().within(Kind::HorizontalPodAutoscaler, namespace);
    all.filter_map(Object::read::<HorizontalPodAutoscaler>).filter(of).count() > 1
}

/// Whether a way is closed, which is not gone then.
fn is_closed(body: &HorizontalPodAutoscaler, way: fn(&Behavior) -> Option<&Rules>) -> bool {
    let rules = body.spec.behavior.as_ref().and_then(way);
    rules.is_some_and(|rules| rules.select_policy == Some(SelectPolicy::Disabled))
}

/// What the pods of a target use and request, in billionths of a processor.
struct Load {
    pods: u128,
    used: u128,
    requested: u128,
}

impl Load {
    /// If all of them are there, run and can be measured.
    fn of(truth: &Truth, namespace: &str, target: &Deployment) -> Option<Load> {
        let labels = target.spec.selector.clone();
        let selected = |pod: &&Pod| *pod.metadata.namespace == *namespace && labels.matches(&pod.metadata.labels);
        let pods: Vec<&Pod> = truth.all::<Pod>().filter(selected).filter(|pod| pod.is_active()).collect();
        let query = Query { namespace: Some(namespace.into()), labels: labels.clone(), ..Query::all(Kind::Pod) };
        let measured = usage::measured(truth, &query);
        let requested: u128 = pods.iter().map(|pod| u128::from(pod.spec.requests().0) * 1_000_000).sum();
        let all = i64::try_from(pods.len()).is_ok_and(|many| many == target.wanted()) && measured.len() == pods.len();
        let run = pods.iter().all(|pod| truth.really_runs(pod));
        if !all || !run || requested == 0 {
            return None;
        }
        let used = measured.iter().flat_map(|pod| &pod.measured.used).map(|(_, used)| u128::from(used.cpu_nanos)).sum();
        Some(Load { pods: pods.len() as u128, used, requested })
    }

    /// What is used, in percent of what each metric is about, and how much should be.
    fn shares(&self, body: &HorizontalPodAutoscaler) -> Vec<(u128, u128)> {
        let share = |metric: &MetricSpec| {
            let target = &metric.resource.as_ref()?.target;
            let (of, wished) = match (&target.average_value, target.average_utilization) {
                (Some(value), _) => (u128::from(value.nano_value()) * self.pods, 100),
                (None, Some(wished)) if wished > 0 => (self.requested, u128::from(wished.unsigned_abs())),
                _ => return None,
            };
            Some(((self.used * 100).checked_div(of)?, wished))
        };
        body.spec.metrics.iter().filter_map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::Nobody;
    use super::*;
    use crate::invariants::forged::{Story, pod};
    use crate::runtime::Process;
    use crate::truth::NodeFacts;
    use crate::usage::LOAD;
    use miniku_core::kubelet::runtime::PodRef;
    use serde_json::{Value, json};

    #[test]
    fn says_what_an_autoscaler_leaves() {
        let half = || {
            let target = json!({"type": "Utilization", "averageUtilization": 50});
            json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
        };
        let queue = json!({"type": "External", "external": {"metric": {"name": "queue"},
            "target": {"type": "AverageValue", "averageValue": "3"}}});
        let judge_of = |load: &str, metrics: Value, behavior: Value, autoscalers: &[&str]| {
            let mut story = Story::<Nobody>::new();
            story.pass(100).unwrap();
            let facts = NodeFacts { up: true, in_touch: Some(story.truth.now) };
            story.truth.nodes.insert("n".into(), facts);
            let web = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "uid": "web", "annotations": {LOAD: load}},
                "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {}}});
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
            let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web",
                "controller": true}]);
            story.put(web).unwrap();
            for name in ["a", "b"] {
                let mut pod = pod(name, "n", "Running");
                pod["metadata"]["labels"] = json!({"app": "web"});
                pod["metadata"]["ownerReferences"] = owner.clone();
                pod["status"]["startTime"] = "2026-01-01T00:00:00Z".into();
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
                story.put(pod).unwrap();
                let of = PodRef { uid: format!("{name}-uid").into(), namespace: "default".into(), name: name.into() };
                let process = Process { pod: of, container: "c".into(), attempt: 0, pid: 7 };
                story.truth.started(&"n".into(), &process);
            }
            for name in autoscalers {
                let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                    "metadata": {"name": name},
                    "spec": {"scaleTargetRef": target, "maxReplicas": 9, "metrics": metrics, "behavior": behavior}});
                story.put(autoscaler).unwrap();
            }
            missing(&story.truth).unwrap_or_default()
        };
        let judge =
            |load: &str, metrics: Value, autoscalers: &[&str]| judge_of(load, metrics, json!(null), autoscalers);
        // Each requests 600 thousandths.
        let metrics = || json!([half()]);
        assert_eq!(judge("600m", metrics(), &["one"]), "");
        assert!(judge("100m", metrics(), &["one"]).contains("leaves 2 pods"));
        assert!(judge("1200m", metrics(), &["one"]).contains("leaves 2 pods"));
        assert_eq!(judge("100m", json!([half(), queue]), &["one"]), "");
        assert!(judge("1200m", json!([half(), queue]), &["one"]).contains("leaves 2 pods"));
        assert_eq!(judge("100m", metrics(), &["one", "two"]), "");
        for (way, load, another) in [("scaleDown", "100m", "1200m"), ("scaleUp", "1200m", "100m")] {
            let closed = |load: &str| judge_of(load, metrics(), json!({way: {"selectPolicy": "Disabled"}}), &["one"]);
            assert_eq!(closed(load), "");
            assert!(closed(another).contains("leaves 2 pods"));
        }
    }
}
