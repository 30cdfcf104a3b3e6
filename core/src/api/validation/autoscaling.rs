//! Rules for autoscalers.
//!
//! Source: `pkg/apis/autoscaling/validation/validation.go`, release 1.32.

use super::at::At;
use super::{Rules, resources, selector, text};

/// Rules for horizontal pod autoscalers.
pub const HORIZONTAL_POD_AUTOSCALER: Rules = Rules { content: autoscaler, ..Rules::ANY };

fn autoscaler(object: &At) {
    let spec = object.field("spec");
    let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    least.at_least(1);
    let number = most.number().unwrap_or(0);
    if number < 1 {
        most.invalid_value(&number.into(), "must be greater than 0");
    }
    if least.number().is_some_and(|least| number < least) {
        most.invalid_value(&number.into(), "must be greater than or equal to `minReplicas`");
    }
    reference(&spec.field("scaleTargetRef"));
    spec.items("metrics").for_each(|one| metric(&one));
    let behavior = spec.field("behavior");
    ["scaleUp", "scaleDown"].iter().for_each(|way| rules(&behavior.field(way)));
}

fn reference(at: &At) {
    for name in ["kind", "name"] {
        at.field(name).must_be_there_and(text::path_segment);
    }
}

/// Sources of metrics: the type, and the field that says more.
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("External", "external"),
    ("ContainerResource", "containerResource"),
];

fn metric(at: &At) {
    let kind = at.field("type");
    if kind.text().is_empty() {
        return kind.required("must specify a metric source type");
    }
    let Some((_, own)) = SOURCES.iter().find(|(word, _)| *word == kind.text()) else { return };
    let source = at.field(own);
    if !source.is_there() {
        source.required("must populate information for the given metric source");
    }
    for (_, other) in SOURCES.iter().filter(|(_, field)| field != own) {
        if at.field(other).is_there() {
            at.field(other).forbidden("must populate the given metric source only");
        }
    }
    if !source.is_there() {
        return;
    }
    let target = source.field("target");
    self::target(&target);
    match *own {
        "resource" | "containerResource" => of_resource(&source, &target),
        "object" => {
            reference(&source.field("describedObject"));
            identifier(&source.field("metric"));
            one_of_values(&target, "value", "must set either a target value for metric or a per-pod target");
        }
        "external" => {
            identifier(&source.field("metric"));
            one_of_values(&target, "value", "must set either a target value for metric or a per-pod target");
        }
        _ => {
            identifier(&source.field("metric"));
            let average = target.field("averageValue");
            if !average.is_there() {
                average.required("must specify a positive target averageValue");
            }
        }
    }
}

fn of_resource(source: &At, target: &At) {
    let name = source.field("name");
    if name.text().is_empty() {
        name.required("must specify a resource name");
    }
    if source.name() == "containerResource" {
        let container = source.field("container");
        if container.text().is_empty() {
            container.required("must specify a container name");
        }
    }
    let (share, amount) = (target.field("averageUtilization"), target.field("averageValue"));
    share.must(share.number().is_none_or(|number| number > 0), "must be greater than 0");
    match (share.is_there(), amount.is_there()) {
        (false, false) => share.required("must set either a target raw value or a target utilization"),
        (true, true) => amount.forbidden("may not set both a target raw value and a target utilization"),
        _ => {}
    }
}

fn one_of_values(target: &At, other: &str, rule: &str) {
    let (average, value) = (target.field("averageValue"), target.field(other));
    match (average.is_there(), value.is_there()) {
        (false, false) => average.required(rule),
        (true, true) => value.forbidden("may not set both a target value for metric and a per-pod target"),
        _ => {}
    }
}

fn target(at: &At) {
    let kind = at.field("type");
    match kind.text() {
        "" => kind.required("must specify a metric target type"),
        "Utilization" | "Value" | "AverageValue" => {}
        _ => kind.invalid("must be either Utilization, Value, or AverageValue"),
    }
    for name in ["value", "averageValue"] {
        let field = at.field(name);
        if let Some(amount) = resources::amount(&field).filter(|amount| amount.is_negative() || amount.is_zero()) {
            field.invalid_value(&amount.to_string().into(), "must be positive");
        }
    }
}

fn identifier(at: &At) {
    at.field("name").must_be_there_and(text::path_segment);
    selector::selector(&at.field("selector"));
}

/// Source: `pkg/apis/autoscaling/validation`, `MaxPeriodSeconds` and `MaxStabilizationWindowSeconds`.
const PERIOD_SECONDS_MAX: i64 = 1800;
const WINDOW_SECONDS_MAX: i64 = 3600;

fn rules(at: &At) {
    if !at.is_there() {
        return;
    }
    let window = at.field("stabilizationWindowSeconds");
    window.at_least(0);
    at_most(&window, WINDOW_SECONDS_MAX);
    at.field("selectPolicy").one_of(&["Disabled", "Max", "Min"]);
    let policies = at.field("policies");
    if policies.is_empty() {
        policies.required("must specify at least one Policy");
    }
    for policy in at.items("policies") {
        let (value, period) = (policy.field("value"), policy.field("periodSeconds"));
        policy.field("type").one_of(&["Percent", "Pods"]);
        for number in [&value, &period] {
            number.invalid_unless(number.number().is_some_and(|number| number > 0), "must be greater than zero");
        }
        at_most(&period, PERIOD_SECONDS_MAX);
    }
}

fn at_most(at: &At, most: i64) {
    if at.number().is_some_and(|number| number > most) {
        at.invalid(format!("must be less than or equal to {most}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::table;
    use serde_json::{Value, json};

    #[test]
    fn autoscalers() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
        table(
            Kind::HorizontalPodAutoscaler,
            &json!({"metadata": {"name": "h"}, "spec": {"minReplicas": 1, "maxReplicas": 5, "metrics": [cpu],
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "behavior": {"scaleDown": {}}}}),
            &[
                (
                    "/spec/maxReplicas",
                    json!(0),
                    &[
                        "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                        "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
                    ],
                ),
                (
                    "/spec/minReplicas",
                    json!(6),
                    &["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"],
                ),
                (
                    "/spec/minReplicas",
                    json!(0),
                    &["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"],
                ),
                ("/spec/scaleTargetRef/name", Value::Null, &["spec.scaleTargetRef.name: Required value"]),
                ("/spec/metrics/0/type", json!("Some"), &["spec.metrics[0].type: Unsupported value: \"Some\""]),
                (
                    "/spec/metrics/0/type",
                    json!("Pods"),
                    &[
                        "spec.metrics[0].pods: Required value: must populate information for the given metric source",
                        "spec.metrics[0].resource: Forbidden: must populate the given metric source only",
                    ],
                ),
                (
                    "/spec/metrics/0/resource/target",
                    json!({"type": "Utilization"}),
                    &[
                        "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value",
                    ],
                ),
                (
                    "/spec/metrics/0/resource/target",
                    json!({"type": "AverageValue", "averageValue": "0"}),
                    &["spec.metrics[0].resource.target.averageValue: Invalid value: \"0\": must be positive"],
                ),
                (
                    "/spec/behavior/scaleDown",
                    json!({"stabilizationWindowSeconds": 4000}),
                    &[
                        "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
                    ],
                ),
                (
                    "/spec/behavior/scaleDown",
                    json!({"policies": [{"type": "Pods", "value": 0, "periodSeconds": 15}]}),
                    &["spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero"],
                ),
            ],
        );
    }
}
