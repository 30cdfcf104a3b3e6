//! The kinds that make pods, and those that bound them: what kubectl shows of them.
//!
//! Source: Kubernetes API reference v1.32, groups apps, batch, autoscaling, policy and scheduling; the columns of
//! `pkg/printers/internalversion`.

use crate::api::kinds::{Also, Column};
use crate::api::meta::parse_rfc3339;
use crate::api::object::Object;
use crate::api::plain::{CONTAINERS, IMAGES, SELECTOR, ago, containers, count, equalities, items, number, shown, text};
use crate::time::{Human, Now};
use serde_json::Value;

/// What kubectl shows of deployments.
pub const DEPLOYMENT: &[Column] = &[
    Column::name("Name"),
    Column::new("Ready", 0, |object, _| ready(object)),
    Column::new("Up-to-date", 0, |object, _| count(object, &["status", "updatedReplicas"]).to_string()),
    Column::new("Available", 0, |object, _| count(object, &["status", "availableReplicas"]).to_string()),
    Column::age(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn ready(object: &Object) -> String {
    format!("{}/{}", count(object, &["status", "readyReplicas"]), count(object, &["spec", "replicas"]))
}

/// What kubectl shows of daemon sets.
pub const DAEMON_SET: &[Column] = &[
    Column::name("Name"),
    Column::new("Desired", 0, |object, _| count(object, &["status", "desiredNumberScheduled"]).to_string()),
    Column::new("Current", 0, |object, _| count(object, &["status", "currentNumberScheduled"]).to_string()),
    Column::new("Ready", 0, |object, _| count(object, &["status", "numberReady"]).to_string()),
    Column::new("Up-to-date", 0, |object, _| count(object, &["status", "updatedNumberScheduled"]).to_string()),
    Column::new("Available", 0, |object, _| count(object, &["status", "numberAvailable"]).to_string()),
    Column::new("Node Selector", 0, |object, _| equalities(object.at(&["spec", "template", "spec", "nodeSelector"]))),
    Column::age(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// What kubectl shows of stateful sets.
pub const STATEFUL_SET: &[Column] =
    &[Column::name("Name"), Column::new("Ready", 0, |object, _| ready(object)), Column::age(), CONTAINERS, IMAGES];

/// What kubectl shows of controller revisions.
pub const CONTROLLER_REVISION: &[Column] = &[
    Column::name("Name"),
    Column::new("Controller", 0, |object, _| match object.meta().controller() {
        Some(owner) => {
            let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
            let kind = owner.kind.to_lowercase();
            if group.is_empty() { format!("{kind}/{}", owner.name) } else { format!("{kind}.{group}/{}", owner.name) }
        }
        None => "<none>".into(),
    }),
    Column::new("Revision", 0, |object, _| count(object, &["revision"]).to_string()),
    Column::age(),
];

/// What kubectl shows of jobs.
pub const JOB: &[Column] = &[
    Column::name("Name"),
    Column::new("Status", 0, |object, _| {
        let is = |kind| has_condition(object, kind);
        let states = ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"];
        match states.into_iter().find(|kind| is(kind)) {
            Some("FailureTarget") => "FailureTarget".into(),
            Some(state) => state.into(),
            None if object.meta().is_deleting() => "Terminating".into(),
            None => "Running".into(),
        }
    }),
    Column::new("Completions", 0, |object, _| {
        let done = count(object, &["status", "succeeded"]);
        match (number(object, &["spec", "completions"]), number(object, &["spec", "parallelism"])) {
            (Some(all), _) => format!("{done}/{all}"),
            (None, Some(parallel)) if parallel > 1 => format!("{done}/1 of {parallel}"),
            (None, _) => format!("{done}/1"),
        }
    }),
    Column::new("Duration", 0, duration),
    Column::age(),
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn duration(job: &Object, now: Now) -> String {
    let time = |name| parse_rfc3339(text(job, &["status", name])).ok();
    match (time("startTime"), time("completionTime")) {
        (None, _) => String::new(),
        (Some(start), end) => Human(end.unwrap_or(now.wall).since(start)).to_string(),
    }
}

fn has_condition(object: &Object, kind: &str) -> bool {
    items(object, &["status", "conditions"]).iter().any(|one| {
        one.get("type").and_then(Value::as_str) == Some(kind)
            && one.get("status").and_then(Value::as_str) == Some("True")
    })
}

/// What kubectl shows of cron jobs.
pub const CRON_JOB: &[Column] = &[
    Column::name("Name"),
    Column::new("Schedule", 0, |object, _| text(object, &["spec", "schedule"]).into()),
    Column::new("Timezone", 0, |object, _| match text(object, &["spec", "timeZone"]) {
        "" => "<none>".into(),
        zone => zone.into(),
    }),
    Column::new("Suspend", 0, |object, _| match object.at(&["spec", "suspend"]).and_then(Value::as_bool) {
        Some(true) => "True".into(),
        Some(false) => "False".into(),
        None => "<unset>".into(),
    }),
    Column::new("Active", 0, |object, _| items(object, &["status", "active"]).len().to_string()),
    Column::new("Last Schedule", 0, |object, now| ago(object, &["status", "lastScheduleTime"], now)),
    Column::age(),
    Column::new("Containers", 1, |object, _| containers(object, &["spec", "jobTemplate", "spec", "template"], "name")),
    Column::new("Images", 1, |object, _| containers(object, &["spec", "jobTemplate", "spec", "template"], "image")),
    Column::new("Selector", 1, |object, _| {
        crate::api::plain::selector(object.at(&["spec", "jobTemplate", "spec", "selector"]))
    }),
];

/// What kubectl shows of horizontal pod autoscalers.
pub const HORIZONTAL_POD_AUTOSCALER: &[Column] = &[
    Column::name("Name"),
    Column::new("Reference", 0, |object, _| {
        let part = |name| text(object, &["spec", "scaleTargetRef", name]);
        format!("{}/{}", part("kind"), part("name"))
    }),
    Column::new("Targets", 0, |object, _| targets(object)),
    Column::new("MinPods", 0, |object, _| match number(object, &["spec", "minReplicas"]) {
        Some(min) => min.to_string(),
        None => "<unset>".into(),
    }),
    Column::new("MaxPods", 0, |object, _| count(object, &["spec", "maxReplicas"]).to_string()),
    Column::new("Replicas", 0, |object, _| count(object, &["status", "currentReplicas"]).to_string()),
    Column::age(),
];

/// The same autoscalers in version 1, which knows processor time only. What else there is stands in annotations.
///
/// Source: Kubernetes, `pkg/apis/autoscaling/v1/conversion.go`.
pub const AUTOSCALING_V1: Also = Also {
    group: "autoscaling",
    version: "v1",
    message: "autoscaling/v1.HorizontalPodAutoscaler",
    to_kept: autoscaler_to_v2,
    from_kept: autoscaler_to_v1,
};

/// Parts of a version 2 autoscaler, and the annotations they are in version 1.
const IN_ANNOTATIONS: &[(&str, &str, &str)] = &[
    ("spec", "metrics", "autoscaling.alpha.kubernetes.io/metrics"),
    ("spec", "behavior", "autoscaling.alpha.kubernetes.io/behavior"),
    ("status", "currentMetrics", "autoscaling.alpha.kubernetes.io/current-metrics"),
    ("status", "conditions", "autoscaling.alpha.kubernetes.io/conditions"),
];

fn autoscaler_to_v1(object: &mut Value) {
    // They are always told there, and clients miss them.
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        for count in ["currentReplicas", "desiredReplicas"] {
            status.entry(count).or_insert_with(|| 0.into());
        }
    }
    let parts = [
        ("spec", "metrics", "targetCPUUtilizationPercentage", "target"),
        ("status", "currentMetrics", "currentCPUUtilizationPercentage", "current"),
    ];
    for (section, list, field, part) in parts {
        let Some(section) = object.get_mut(section).and_then(Value::as_object_mut) else { continue };
        let Some(metrics) = section.get_mut(list).and_then(Value::as_array_mut) else { continue };
        let percent = |metric: &Value| {
            let of_cpu = metric.pointer("/resource/name").and_then(Value::as_str) == Some("cpu");
            metric.pointer(&format!("/resource/{part}/averageUtilization")).filter(|_| of_cpu).cloned()
        };
        if let Some((at, value)) = metrics.iter().enumerate().find_map(|(at, metric)| Some((at, percent(metric)?))) {
            metrics.remove(at);
            if metrics.is_empty() {
                section.remove(list);
            }
            section.insert(field.into(), value);
        }
    }
    let mut notes = Vec::new();
    for (section, field, annotation) in IN_ANNOTATIONS {
        let part = object.get_mut(section).and_then(Value::as_object_mut).and_then(|section| section.remove(*field));
        notes.extend(part.map(|part| (*annotation, part.to_string())));
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if !notes.is_empty() {
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Default::default()));
        for (name, text) in notes {
            annotations.as_object_mut().map(|annotations| annotations.insert(name.into(), text.into()));
        }
    }
}

fn autoscaler_to_v2(object: &mut Value) {
    for (section, field, annotation) in IN_ANNOTATIONS {
        let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        let Some(note) = annotations.and_then(|annotations| annotations.remove(*annotation)) else { continue };
        let Some(part) = note.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) else { continue };
        if let Some(section) = object.get_mut(section).and_then(Value::as_object_mut) {
            section.insert((*field).into(), part);
        }
    }
    let parts = [
        ("spec", "metrics", "targetCPUUtilizationPercentage", "target"),
        ("status", "currentMetrics", "currentCPUUtilizationPercentage", "current"),
    ];
    for (section, list, field, part) in parts {
        let Some(section) = object.get_mut(section).and_then(Value::as_object_mut) else { continue };
        let Some(percent) = section.remove(field) else { continue };
        let mut wish = serde_json::json!({ "averageUtilization": percent });
        if part == "target" {
            wish["type"] = "Utilization".into();
        }
        let metric = serde_json::json!({"type": "Resource", "resource": {"name": "cpu", part: wish}});
        if let Some(metrics) = section.entry(list).or_insert_with(|| Value::Array(Vec::new())).as_array_mut() {
            metrics.insert(0, metric);
        }
    }
    if object.pointer("/metadata/annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("annotations");
    }
}

fn targets(object: &Object) -> String {
    let metrics = items(object, &["spec", "metrics"]);
    if metrics.is_empty() {
        return "<none>".into();
    }
    let current = items(object, &["status", "currentMetrics"]);
    let one = |(nth, metric): (usize, &Value)| {
        let kind = metric.get("type").and_then(Value::as_str).unwrap_or("");
        let part = match kind {
            "Resource" => "resource",
            "ContainerResource" => "containerResource",
            "Pods" => "pods",
            "Object" => "object",
            _ => "external",
        };
        let name = shown(metric.pointer(&format!("/{part}/name")));
        let target = |field: &str| metric.pointer(&format!("/{part}/target/{field}"));
        let is = |field: &str| current.get(nth).and_then(|one| one.pointer(&format!("/{part}/current/{field}")));
        let (field, unit) = match target("averageUtilization") {
            Some(_) => ("averageUtilization", "%"),
            None if target("averageValue").is_some() => ("averageValue", ""),
            None => ("value", ""),
        };
        let is = is(field).map_or("<unknown>".into(), |value| format!("{}{unit}", shown(Some(value))));
        let value = format!("{is}/{}{unit}", shown(target(field)));
        if part == "resource" { format!("{name}: {value}") } else { value }
    };
    let shown: Vec<String> = metrics.iter().enumerate().map(one).collect();
    match shown.len() {
        1 | 2 => shown.join(", "),
        more => format!("{} + {} more...", shown[..2].join(", "), more - 2),
    }
}

/// What kubectl shows of pod disruption budgets.
pub const POD_DISRUPTION_BUDGET: &[Column] = &[
    Column::name("Name"),
    Column::new("Min Available", 0, |object, _| or_na(object.at(&["spec", "minAvailable"]))),
    Column::new("Max Unavailable", 0, |object, _| or_na(object.at(&["spec", "maxUnavailable"]))),
    Column::new("Allowed Disruptions", 0, |object, _| count(object, &["status", "disruptionsAllowed"]).to_string()),
    Column::age(),
];

fn or_na(value: Option<&Value>) -> String {
    value.map_or("N/A".into(), |value| shown(Some(value)))
}

/// What kubectl shows of priority classes.
pub const PRIORITY_CLASS: &[Column] = &[
    Column::name("Name"),
    Column::new("Value", 0, |object, _| count(object, &["value"]).to_string()),
    Column::new("Global-Default", 0, |object, _| {
        object.at(&["globalDefault"]).and_then(Value::as_bool).unwrap_or(false).to_string()
    }),
    Column::age(),
    Column::new("PreemptionPolicy", 0, |object, _| text(object, &["preemptionPolicy"]).into()),
];

fn percent(object: &Object, is: &str, wished: &str) -> String {
    let is = number(object, &["status", is]).map_or("<unknown>".into(), |percent| format!("{percent}%"));
    match object.at(&["spec", "metrics", wished]) {
        Some(wished) => format!("{is}/{}%", shown(Some(wished))),
        None => is,
    }
}

/// What is shown of Minik8s' autoscalers.
pub const HPA: &[Column] = &[
    Column::name("Name"),
    Column::new("MinPods", 0, |object, _| count(object, &["spec", "minReplicas"]).to_string()),
    Column::new("MaxPods", 0, |object, _| count(object, &["spec", "maxReplicas"]).to_string()),
    Column::new("Current", 0, |object, _| count(object, &["status", "currentReplicas"]).to_string()),
    Column::new("Cpu", 0, |object, _| percent(object, "currentCPUPercent", "cpuPercent")),
    Column::new("Memory", 0, |object, _| percent(object, "currentMemPercent", "memPercent")),
    Column::age(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_autoscaler_is_the_same_in_both_versions() {
        let kept = json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "behavior": {"scaleUp": {}}, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        ]}});
        let mut shown = kept.clone();
        autoscaler_to_v1(&mut shown);
        assert_eq!(shown["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 60}));
        autoscaler_to_v2(&mut shown);
        assert_eq!(shown, kept);
    }
}
