//! Rules for amounts of resources: what a container may use, what a quota counts, how large a volume is.
//!
//! Source: `pkg/apis/core/validation`, `ValidateResourceRequirements`; `pkg/apis/core/helper`, `IsStandardResourceName` and
//! its neighbours, release 1.32.

use super::at::At;
use super::text;
use crate::api::quantity::Quantity;
use serde::Deserialize;

/// Resources without a domain that a container can ask for, beside huge pages.
const OF_CONTAINERS: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Further resources without a domain.
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a name with a domain is Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && text::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether there are only whole ones of it.
fn is_whole(name: &str) -> bool {
    const COUNTED: &[&str] = &[
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    COUNTED.contains(&name) || name.starts_with("count/") || is_extended(name)
}

/// Whether more of it may be promised than there is.
fn can_be_overcommitted(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// The amount, if it is one.
pub fn amount(at: &At) -> Option<Quantity> {
    Quantity::deserialize(at.value()).ok()
}

/// A resource's name: says whether it is one.
pub fn name(at: &At, name: &str) -> bool {
    let wrong = text::qualified_name(name);
    let fine = wrong.is_empty();
    wrong.into_iter().for_each(|wrong| at.invalid_value(&name.into(), wrong));
    let standard = STANDARD.contains(&name) || is_huge_pages(name) || name.starts_with("requests.hugepages-");
    if fine && !name.contains('/') && !standard {
        at.invalid_value(&name.into(), "must be a standard resource type or fully qualified");
        return false;
    }
    fine
}

/// A resource's name in a container.
fn name_in_container(at: &At, resource: &str) {
    if !name(at, resource) {
        return;
    }
    if !resource.contains('/') {
        if !OF_CONTAINERS.contains(&resource) && !is_huge_pages(resource) {
            at.invalid_value(&resource.into(), "must be a standard resource for containers");
        }
    } else if !is_native(resource) && !is_extended(resource) {
        at.invalid_value(&resource.into(), "doesn't follow extended resource name standard");
    }
}

/// A resource's name in a quota.
pub fn name_in_quota(at: &At, resource: &str) {
    let wrong = text::qualified_name(resource);
    let fine = wrong.is_empty();
    wrong.into_iter().for_each(|wrong| at.invalid_value(&resource.into(), wrong));
    let huge = is_huge_pages(resource) || resource.starts_with("requests.hugepages-");
    // What is stored is counted as what is requested.
    let standard = STANDARD.contains(&resource) && resource != "storage";
    if fine && !resource.contains('/') && !standard && !huge {
        at.invalid_value(&resource.into(), "must be a standard resource for quota");
    }
}

/// An amount of a resource.
pub fn amount_of(at: &At, resource: &str) {
    let Some(amount) = amount(at) else { return };
    if amount.is_negative() {
        at.invalid_value(&amount.to_string().into(), "must be greater than or equal to 0");
    }
    if is_whole(resource) && !amount.is_whole() {
        at.invalid_value(&amount.to_string().into(), "must be an integer");
    }
}

/// Limits and requests of a container.
pub fn requirements(at: &At) {
    for (resource, limit) in at.entries("limits") {
        name_in_container(&limit, resource);
        amount_of(&limit, resource);
    }
    for (resource, request) in at.entries("requests") {
        name_in_container(&request, resource);
        amount_of(&request, resource);
        let limit = amount(&at.entry("limits", resource));
        let Some(wished) = amount(&request) else { continue };
        let (requests, limits) = (at.field("requests"), at.field("limits"));
        match limit {
            Some(limit) if wished != limit && !can_be_overcommitted(resource) => {
                let rule = format!("must be equal to {resource} limit of {limit}");
                requests.invalid_value(&wished.to_string().into(), rule);
            }
            Some(limit) if wished > limit => {
                let rule = format!("must be less than or equal to {resource} limit of {limit}");
                requests.invalid_value(&wished.to_string().into(), rule);
            }
            None if !can_be_overcommitted(resource) => {
                limits.required("Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::validation::testing::compare;
    use serde_json::{Value, json};
    use std::cell::RefCell;

    #[test]
    fn containers_ask_for_what_there_is() {
        let check = |limits: Value, requests: Value, want: &[&str]| {
            let (object, errors) = (json!({"limits": limits, "requests": requests}), RefCell::default());
            requirements(&At::object(&object, &errors));
            compare(&errors.into_inner().iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        };
        check(json!({"cpu": "1", "memory": "1Gi"}), json!({"cpu": 1, "memory": "1024Mi"}), &[]);
        check(json!({"example.com/gpu": 2, "hugepages-2Mi": "4Mi"}), json!({"example.com/gpu": "2"}), &[]);
        check(
            json!({"cpu": "1"}),
            json!({"cpu": "2"}),
            &["requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
        );
        check(
            json!({"cpu": "-1"}),
            json!({}),
            &["limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
        );
        check(
            json!({"pods": 1, "gpu": 1, "a b": 1}),
            json!({}),
            &[
                "limits[a b]: Invalid value: \"a b\": name part must consist of",
                "limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
                "limits[pods]: Invalid value: \"pods\": must be a standard resource for containers",
            ],
        );
        check(
            json!({"example.com/gpu": "1.5"}),
            json!({"example.com/gpu": "1"}),
            &[
                "limits[example.com/gpu]: Invalid value: \"1.5\": must be an integer",
                "requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 1.5",
            ],
        );
        check(
            json!({}),
            json!({"example.com/gpu": "1"}),
            &["limits: Required value: Limit must be set for non overcommitable resources"],
        );
    }
}
