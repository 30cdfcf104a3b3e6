//! What is done about an autoscaler that was looked at: the number, what its status says, and what people are told.
//!
//! Source: Kubernetes, `reconcileAutoscaler` of `pkg/controller/podautoscaler/horizontal.go`, whose reasons and messages
//! these are.

use crate::api::autoscaler::{
    ABLE_TO_SCALE, AutoscalerSpec, AutoscalerStatus, CustomSource, MetricSpec, MetricStatus, MetricValue,
    ResourceSource, ResourceStatus, SCALING_ACTIVE, SCALING_LIMITED,
};
use crate::api::condition::Condition;
use crate::api::pod::Pod;
use crate::api::quantity::Quantity;
use crate::api::selector::LabelSelector;
use crate::client::events::Tone;
use crate::controllers::horizontal::behaviour::{Bounds, Memory};
use crate::controllers::horizontal::replicas::{self, Target};
use crate::time::Now;
use crate::usage::PodUsage;

/// What was seen of an autoscaler's target.
pub struct Seen<'a> {
    /// How many are wished.
    pub wished: i32,
    /// The pods that it selects, in the order of their names; or why there is no saying.
    pub pods: Result<&'a [&'a Pod], Refusal>,
    /// What was measured of them; or why not.
    pub usage: Result<&'a [PodUsage], &'a str>,
}

/// Why nothing is reckoned for a target: the reason of the condition, its message, and what events say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason of `ScalingActive`.
    pub reason: &'static str,
    /// Its message.
    pub message: String,
    /// The reason and the message of the event.
    pub event: (&'static str, String),
}

/// What is done.
#[derive(Debug)]
pub struct Plan {
    /// What the status becomes if the scale can be written, or need not be.
    pub status: AutoscalerStatus,
    /// What people are told.
    pub tell: Vec<(Tone, &'static str, String)>,
    /// What is to be written, and why.
    pub rescale: Option<(i32, String)>,
}

/// Whether the target's pods are to be measured: not if a bound decides already, or nobody asks for what can be.
pub fn measures(spec: &AutoscalerSpec, wished: i32) -> bool {
    let least = spec.min_replicas.unwrap_or(1);
    let asked = spec.metrics.iter().any(|metric| metric.resource.is_some() || metric.container_resource.is_some());
    asked && wished != 0 && (least..=spec.max_replicas).contains(&wished)
}

/// Sets a condition, and when it became so.
pub fn say(now: Now, status: &mut AutoscalerStatus, kind: &str, is: bool, reason: &str, message: impl Into<String>) {
    let is = if is { "True" } else { "False" };
    let (reason, message) = (reason.into(), message.into());
    let condition =
        Condition { kind: kind.into(), status: is.into(), reason, message: message.into(), ..Default::default() };
    Condition::put(now, &mut status.conditions, condition);
}

/// What is done about a target whose scale was read.
pub fn plan(now: Now, spec: &AutoscalerSpec, before: &AutoscalerStatus, memory: &mut Memory, seen: &Seen) -> Plan {
    let mut plan = Plan { status: before.clone(), tell: Vec::new(), rescale: None };
    let status = &mut plan.status;
    let (able, current) = ("the HPA controller was able to get the target's current scale", seen.wished);
    say(now, status, ABLE_TO_SCALE, true, "SucceededGetScale", able);
    memory.begin(now.mono, current);
    status.current_replicas = Some(current);
    let bounds = Bounds { min: spec.min_replicas.unwrap_or(1), max: spec.max_replicas };
    if current == 0 && bounds.min != 0 && !planted!(ZeroIsScaled) {
        let message = "scaling is disabled since the replica count of the target is zero";
        say(now, status, SCALING_ACTIVE, false, "ScalingDisabled", message);
        status.desired_replicas = 0;
        status.current_metrics.clear();
        return plan;
    }
    let beyond = match current {
        more if more > bounds.max => Some((bounds.max, "Current number of replicas above Spec.MaxReplicas")),
        fewer if fewer < bounds.min => Some((bounds.min, "Current number of replicas below Spec.MinReplicas")),
        _ => None,
    };
    if let Some((desired, why)) = beyond {
        status.current_metrics.clear();
        plan.rescale = Some((desired, why.into()));
        return plan;
    }
    let (recommended, metric) = match recommendation(now, spec, seen, &mut plan) {
        Ok(found) => found,
        Err(error) => {
            plan.tell.push((Tone::Warning, "FailedComputeMetricsReplicas", error));
            return plan;
        }
    };
    let status = &mut plan.status;
    let settled = memory.settle(now.mono, spec.behavior.as_ref(), bounds, current, recommended);
    let (reason, message) = settled.stabilized.unwrap_or(("ReadyForNewScale", "recommended size matches current size"));
    say(now, status, ABLE_TO_SCALE, true, reason, message);
    say(now, status, SCALING_LIMITED, settled.limited, settled.by.0, settled.by.1);
    let desired = if planted!(AutoscalerIgnoresMax) { recommended.max(1) } else { settled.replicas };
    status.desired_replicas = current;
    if desired != current {
        let why = match recommended {
            more if more > current => format!("{metric} above target"),
            fewer if fewer < current => "All metrics below target".into(),
            _ => String::new(),
        };
        plan.rescale = Some((desired, why));
    }
    plan
}

/// The largest number that a metric asks for, and which one does. If some metrics cannot be had, the others may ask for
/// more, and not for fewer.
fn recommendation(now: Now, spec: &AutoscalerSpec, seen: &Seen, plan: &mut Plan) -> Result<(i32, String), String> {
    let pods = match &seen.pods {
        Ok(pods) => *pods,
        Err(Refusal { reason, message, event: (event, told) }) => {
            say(now, &mut plan.status, SCALING_ACTIVE, false, reason, message.clone());
            plan.tell.push((Tone::Warning, event, told.clone()));
            return Err(told.clone());
        }
    };
    let mut found: Option<(i32, String)> = None;
    let mut first_wrong: Option<Failure> = None;
    let (mut wrong, all) = (0, spec.metrics.len());
    let mut statuses = Vec::new();
    for metric in &spec.metrics {
        let kind = metric.kind.clone();
        match of_metric(now, metric, seen, pods) {
            Ok((replicas, name, status)) => {
                statuses.push(status);
                if found.as_ref().is_none_or(|(most, _)| replicas > *most) {
                    found = Some((replicas, name));
                }
            }
            Err(failure) => {
                statuses.push(MetricStatus { kind, ..Default::default() });
                plan.tell.push((Tone::Warning, failure.reason, failure.why.clone()));
                wrong += 1;
                first_wrong.get_or_insert(failure);
            }
        }
    }
    plan.status.current_metrics = statuses;
    match (found, first_wrong) {
        (Some((replicas, _)), Some(failure)) if replicas < seen.wished => Err((failure, wrong)),
        (None, Some(failure)) => Err((failure, wrong)),
        (Some((replicas, name)), _) => {
            let message = format!("the HPA was able to successfully calculate a replica count from {name}");
            say(now, &mut plan.status, SCALING_ACTIVE, true, "ValidMetricFound", message);
            return Ok((replicas, name));
        }
        // The schema fills in a metric where there is none.
        (None, None) => return Ok((seen.wished, String::new())),
    }
    .map_err(|(failure, wrong)| {
        let message = format!("the HPA was unable to compute the replica count: {}", failure.why);
        say(now, &mut plan.status, SCALING_ACTIVE, false, failure.reason, message);
        format!("invalid metrics ({wrong} invalid out of {all}), first error is: {}: {}", failure.what, failure.why)
    })
}

/// Why a metric cannot be had.
struct Failure {
    reason: &'static str,
    /// What was tried.
    what: String,
    /// What went wrong.
    why: String,
}

type Found = (i32, String, MetricStatus);

fn of_metric(now: Now, metric: &MetricSpec, seen: &Seen, pods: &[&Pod]) -> Result<Found, Failure> {
    let custom = |source: &Option<CustomSource>| source.clone().unwrap_or_default();
    match metric.kind.as_str() {
        "Resource" => {
            let source = metric.resource.clone().unwrap_or_default();
            let (replicas, name, current) = of_resource(now, &source, seen, pods).map_err(|why| Failure {
                reason: "FailedGetResourceMetric",
                what: format!("failed to get {} resource metric value", source.name),
                why,
            })?;
            let resource = Some(ResourceStatus { name: source.name, current, ..Default::default() });
            Ok((replicas, name, MetricStatus { kind: metric.kind.clone(), resource, ..Default::default() }))
        }
        "ContainerResource" => {
            let source = metric.container_resource.clone().unwrap_or_default();
            let (replicas, name, current) = of_resource(now, &source, seen, pods).map_err(|why| Failure {
                reason: "FailedGetContainerResourceMetric",
                what: format!("failed to get {} container metric value", source.container),
                why,
            })?;
            let (name_of, container) = (source.name, source.container);
            let container_resource = Some(ResourceStatus { name: name_of, container, current, ..Default::default() });
            Ok((replicas, name, MetricStatus { kind: metric.kind.clone(), container_resource, ..Default::default() }))
        }
        "Pods" => Err(Failure {
            reason: "FailedGetPodsMetric",
            what: "failed to get pods metric value".into(),
            why: format!("unable to get metric {}: {NO_CUSTOM}", custom(&metric.pods).metric.name),
        }),
        "Object" => {
            let CustomSource { metric: named, described_object, .. } = custom(&metric.object);
            let object = described_object.unwrap_or_default();
            let namespace = pods.first().map_or("", |pod| pod.metadata.namespace.as_str());
            let (kind, of, name) = (object.kind, object.name, named.name);
            Err(Failure {
                reason: "FailedGetObjectMetric",
                what: "failed to get object metric value".into(),
                why: format!("unable to get metric {name}: {kind} on {namespace} {of}/{NO_CUSTOM}"),
            })
        }
        "External" => {
            let name = custom(&metric.external).metric.name;
            Err(Failure {
                reason: "FailedGetExternalMetric",
                what: format!("failed to get {name} external metric value"),
                why: format!("unable to get external metric {name}: {NO_EXTERNAL}"),
            })
        }
        other => Err(Failure {
            reason: "InvalidMetricSourceType",
            what: "failed to get a metric value".into(),
            why: format!("unknown metric source type {other:?}"),
        }),
    }
}

const NO_CUSTOM: &str =
    "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
const NO_EXTERNAL: &str =
    "unable to fetch metrics from external metrics API: no external metrics API (external.metrics.k8s.io) registered";

fn of_resource(
    now: Now,
    source: &ResourceSource,
    seen: &Seen,
    pods: &[&Pod],
) -> Result<(i32, String, MetricValue), String> {
    let ResourceSource { name: resource, container, target, .. } = source;
    let (target, words) = match (&target.average_value, target.average_utilization) {
        (Some(value), _) => {
            let thousandths =
                if resource == "cpu" { value.milli_value().into() } else { i128::from(value.value()) * 1000 };
            (Target::Average(thousandths), (format!("failed to get {resource} usage"), "resource"))
        }
        (None, Some(percent)) => {
            let name = match container.as_str() {
                "" => "resource utilization (percentage of request)",
                _ => "container resource utilization (percentage of request)",
            };
            (Target::Utilization(percent), (format!("failed to get {resource} utilization"), name))
        }
        (None, None) => {
            return Err("invalid resource metric source: neither an average utilization target nor an average value \
                        (usage) target was set"
                .into());
        }
    };
    let (what, name) = words;
    let measured = seen.usage.map_err(|why| {
        format!(
            "{what}: unable to get metrics for resource {resource}: unable to fetch metrics from resource metrics \
             API: {why}"
        )
    })?;
    let (current, now) = (seen.wished, now.wall);
    let view = replicas::View { pods, usage: measured, resource, container, target, current, now };
    let got = replicas::proposal(&view).map_err(|why| format!("{what}: {why}"))?;
    let value = MetricValue {
        average_value: Some(Quantity::decimal(u64::try_from(got.average).unwrap_or(0))),
        average_utilization: got.utilization,
        ..Default::default()
    };
    Ok((got.replicas, format!("{resource} {name}"), value))
}

/// The scale was written.
pub fn rescaled(now: Now, status: &mut AutoscalerStatus, replicas: i32) {
    let message = format!("the HPA controller was able to update the target scale to {replicas}");
    say(now, status, ABLE_TO_SCALE, true, "SucceededRescale", message);
    status.desired_replicas = replicas;
    status.last_scale_time = Some(crate::api::meta::Time::of(now.wall));
}

/// The selector of a scale, unless it is none.
pub fn selector(text: &str) -> Result<LabelSelector, Refusal> {
    if text.is_empty() {
        let told = "selector is required".to_owned();
        let message = "the HPA target's scale is missing a selector".to_owned();
        return Err(Refusal { reason: "InvalidSelector", message, event: ("SelectorRequired", told) });
    }
    crate::api::selector::parse_label_selector(text).map_err(|why| {
        let message = format!("couldn't convert selector into a corresponding internal selector object: {why}");
        Refusal { reason: "InvalidSelector", message: message.clone(), event: ("InvalidSelector", message) }
    })
}

/// Several autoscalers, by namespace and name, would scale the same pods.
pub fn ambiguous(selector: &str, all: &[(&str, &str)]) -> Refusal {
    let all: Vec<String> = all.iter().map(|(namespace, name)| format!("{{{namespace} {name}}}")).collect();
    let message = format!("pods by selector {selector} are controlled by multiple HPAs: [{}]", all.join(" "));
    Refusal { reason: "AmbiguousSelector", message: message.clone(), event: ("AmbiguousSelector", message) }
}
