//! Rules for what bounds pods: budgets, priorities, quotas, limits.
//!
//! Source: `pkg/apis/policy/validation`, `pkg/apis/scheduling/validation`; `pkg/apis/core/validation`,
//! `ValidateResourceQuota` and `ValidateLimitRange`; release 1.32.

use super::at::At;
use super::selector::selector;
use super::workloads::share_of_all;
use super::{Rules, resources};
use crate::api::quantity::Quantity;
use std::collections::BTreeSet;

/// Rules for pod disruption budgets.
pub const POD_DISRUPTION_BUDGET: Rules = Rules { content: budget, ..Rules::ANY };
/// Rules for priority classes.
pub const PRIORITY_CLASS: Rules = Rules { content: priority, change: Some(priority_stays), ..Rules::ANY };
/// Rules for resource quotas.
pub const RESOURCE_QUOTA: Rules = Rules { content: quota, change: Some(quota_stays), ..Rules::ANY };
/// Rules for limit ranges.
pub const LIMIT_RANGE: Rules = Rules { content: limit_range, ..Rules::ANY };

fn budget(object: &At) {
    let spec = object.field("spec");
    let (there, away) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if there.is_there() && away.is_there() {
        spec.invalid("minAvailable and maxUnavailable cannot be both set");
    }
    share_of_all(&there);
    share_of_all(&away);
    selector(&spec.field("selector"));
    spec.field("unhealthyPodEvictionPolicy").one_of(&["AlwaysAllow", "IfHealthyBudget"]);
}

/// No user's priority is higher, so that the cluster's own pods go before.
///
/// Source: Kubernetes documentation, "Pod Priority and Preemption", PriorityClass.
pub const PRIORITY_MAX: i64 = 1_000_000_000;

/// Classes that every cluster has for its own pods: their priorities, and what they are good for.
///
/// Source: `pkg/apis/scheduling`, `SystemPriorityClasses`.
pub const SYSTEM_CLASSES: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

fn priority(object: &At) {
    let (metadata, value) = (object.field("metadata"), object.field("value"));
    let (name, number) = (metadata.field("name"), value.number().unwrap_or(0));
    if name.text().starts_with("system-") {
        let why = match SYSTEM_CLASSES.iter().find(|(class, ..)| *class == name.text()) {
            None => format!("{} is not a known system priority class", name.text()),
            Some((class, is, _)) if *is != number => format!("value of {class} PriorityClass must be {is}"),
            Some((class, ..)) if object.field("globalDefault").is_true() => {
                format!("globalDefault of {class} PriorityClass must be false")
            }
            Some(_) => return,
        };
        let rule = "priority class names with 'system-' prefix are reserved for system use only. error: ";
        name.forbidden(format!("{rule}{why}"));
    } else if number > PRIORITY_MAX {
        value.forbidden(format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}"));
    }
    object.field("preemptionPolicy").one_of(&["Never", "PreemptLowerPriority"]);
}

fn priority_stays(new: &At, old: &At) {
    if new.field("value").number().unwrap_or(0) != old.field("value").number().unwrap_or(0) {
        new.field("value").forbidden("may not be changed in an update.");
    }
    new.field("preemptionPolicy").unchanged(&old.field("preemptionPolicy"));
}

fn quota(object: &At) {
    let spec = object.field("spec");
    for (resource, amount) in spec.entries("hard") {
        resources::name_in_quota(&amount, resource);
        resources::amount_of(&amount, resource);
    }
    let scopes: BTreeSet<&str> = spec.items("scopes").map(|scope| scope.text()).collect();
    for both in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if both.iter().all(|scope| scopes.contains(scope)) {
            spec.field("scopes").invalid("conflicting scopes");
        }
    }
    let selector = spec.field("scopeSelector");
    for one in selector.items("matchExpressions") {
        let (operator, values) = (one.field("operator"), one.field("values"));
        match (operator.text(), values.is_empty()) {
            ("In" | "NotIn", true) => {
                values.required("must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
            }
            ("Exists" | "DoesNotExist", false) => {
                values.invalid("must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
            }
            _ => {}
        }
        let scope = one.field("scopeName");
        if !matches!(scope.text(), "PriorityClass" | "CrossNamespacePodAffinity") && operator.text() != "Exists" {
            let rule = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                ResourceQuotaScopeCrossNamespacePodAffinity";
            operator.invalid(rule);
        }
    }
}

fn quota_stays(new: &At, old: &At) {
    let (new, old) = (new.field("spec"), old.field("spec"));
    let scopes = |spec: &At| spec.items("scopes").map(|scope| scope.text().to_owned()).collect::<BTreeSet<_>>();
    if scopes(&new) != scopes(&old) {
        new.field("scopes").invalid("field is immutable");
    }
}

/// Pairs of bounds of which the second must not be less than the first: their fields and names, and at which of them it is
/// told.
const IN_ORDER: &[(&str, &str, &str, &str, &str)] = &[
    ("min", "min", "max", "max", "min"),
    ("min", "min", "defaultRequest", "default request", "defaultRequest"),
    ("defaultRequest", "default request", "max", "max", "defaultRequest"),
    ("defaultRequest", "default request", "default", "default limit", "defaultRequest"),
    ("min", "min", "default", "default", "default"),
    ("default", "default", "max", "max", "default"),
];

fn limit_range(object: &At) {
    let spec = object.field("spec");
    let mut kinds = BTreeSet::new();
    for at in spec.items("limits") {
        let kind = at.field("type");
        if !kind.text().is_empty() && !kinds.insert(kind.text()) {
            kind.duplicate();
        }
        let mut names = BTreeSet::new();
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            if kind.text() == "Pod" && list.starts_with("default") {
                if !at.field(list).is_empty() {
                    at.field(list).forbidden("may not be specified when `type` is 'Pod'");
                }
                continue;
            }
            for (resource, amount) in at.entries(list) {
                resources::name(&amount, resource);
                names.insert(resource);
            }
        }
        if kind.text() == "PersistentVolumeClaim"
            && !at.entry("min", "storage").is_there()
            && !at.entry("max", "storage").is_there()
        {
            let rule = "either minimum or maximum storage value is required, but neither was provided";
            at.field("limits").required(rule);
        }
        names.into_iter().for_each(|resource| bounds(&at, resource));
    }
}

fn bounds(at: &At, resource: &str) {
    let amount = |list: &str| resources::amount(&at.entry(list, resource));
    for (low, low_name, high, high_name, told_at) in IN_ORDER {
        if let (Some(least), Some(most)) = (amount(low), amount(high))
            && least > most
        {
            let rule = format!("{low_name} value {least} is greater than {high_name} value {most}");
            let told = if told_at == high { &most } else { &least };
            at.entry(told_at, resource).invalid_value(&told.to_string().into(), rule);
        }
    }
    if let Some(ratio) = amount("maxLimitRequestRatio").filter(|ratio| *ratio < Quantity::whole(1)) {
        let rule = format!("ratio {ratio} is less than 1");
        at.entry("maxLimitRequestRatio", resource).invalid_value(&ratio.to_string().into(), rule);
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::json;

    #[test]
    fn budgets() {
        table(
            Kind::PodDisruptionBudget,
            &json!({"metadata": {"name": "p"}, "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}}),
            &[
                ("/spec/maxUnavailable", json!(1), &["spec: Invalid value: {\"maxUnavailable\":1,"]),
                (
                    "/spec/minAvailable",
                    json!("150%"),
                    &["spec.minAvailable: Invalid value: \"150%\": must not be greater than 100%"],
                ),
                (
                    "/spec/minAvailable",
                    json!(-1),
                    &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
                ),
                (
                    "/spec/selector",
                    json!({"matchLabels": {"a": "b c"}}),
                    &["spec.selector.matchLabels: Invalid value: \"b c\""],
                ),
                (
                    "/spec/unhealthyPodEvictionPolicy",
                    json!("Some"),
                    &["spec.unhealthyPodEvictionPolicy: Unsupported value: \"Some\""],
                ),
            ],
        );
    }

    #[test]
    fn priorities() {
        let class = json!({"metadata": {"name": "high"}, "value": 1000});
        table(
            Kind::PriorityClass,
            &class,
            &[
                (
                    "/value",
                    json!(1_000_000_001),
                    &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
                ),
                (
                    "/metadata/name",
                    json!("system-mine"),
                    &[
                        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class",
                    ],
                ),
                (
                    "/metadata/name",
                    json!("system-node-critical"),
                    &["metadata.name: Forbidden: priority class names with 'system-' prefix"],
                ),
                ("/preemptionPolicy", json!("Some"), &["preemptionPolicy: Unsupported value: \"Some\""]),
            ],
        );
        table(Kind::PriorityClass, &json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}), &[]);
        table_of_changes(
            Kind::PriorityClass,
            &class,
            &[("/value", json!(1), &["value: Forbidden: may not be changed in an update."])],
        );
    }

    #[test]
    fn quotas() {
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "4", "requests.cpu": "1", "count/jobs.batch": 2}}});
        table(
            Kind::ResourceQuota,
            &quota,
            &[
                (
                    "/spec/hard/pods",
                    json!("-1"),
                    &["spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0"],
                ),
                ("/spec/hard/pods", json!("1.5"), &["spec.hard[pods]: Invalid value: \"1.5\": must be an integer"]),
                (
                    "/spec/hard/gpu",
                    json!("1"),
                    &["spec.hard[gpu]: Invalid value: \"gpu\": must be a standard resource for quota"],
                ),
                (
                    "/spec/scopes",
                    json!(["BestEffort", "NotBestEffort"]),
                    &["spec.scopes: Invalid value: []string{\"BestEffort\", \"NotBestEffort\"}: conflicting scopes"],
                ),
                (
                    "/spec/scopeSelector",
                    json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}),
                    &["spec.scopeSelector.matchExpressions[0].values: Required value: must be at least one value when"],
                ),
            ],
        );
        table_of_changes(
            Kind::ResourceQuota,
            &quota,
            &[
                (
                    "/spec/scopes",
                    json!(["BestEffort"]),
                    &["spec.scopes: Invalid value: []string{\"BestEffort\"}: field is immutable"],
                ),
                ("/spec/hard/pods", json!("5"), &[]),
            ],
        );
    }

    #[test]
    fn limit_ranges() {
        table(
            Kind::LimitRange,
            &json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]}}),
            &[
                (
                    "/spec/limits/0/min/cpu",
                    json!("3"),
                    &[
                        "spec.limits[0].min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2",
                        "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": min value 3 is greater than default request value 2",
                        "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 3 is greater than default value 2",
                    ],
                ),
                (
                    "/spec/limits/0/maxLimitRequestRatio",
                    json!({"cpu": "0.5"}),
                    &["spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"0.5\": ratio 0.5 is less than 1"],
                ),
                (
                    "/spec/limits/1",
                    json!({"type": "Container"}),
                    &["spec.limits[1].type: Duplicate value: \"Container\""],
                ),
                (
                    "/spec/limits/1",
                    json!({"type": "Pod", "default": {"cpu": "1"}}),
                    &["spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'"],
                ),
                (
                    "/spec/limits/1",
                    json!({"type": "PersistentVolumeClaim"}),
                    &["spec.limits[1].limits: Required value: either minimum or maximum storage value"],
                ),
            ],
        );
    }
}
