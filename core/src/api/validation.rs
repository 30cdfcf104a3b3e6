//! What an object must be like to be stored.
//!
//! Every error names the field's path, its value and the rule. Rules and their words are Kubernetes', from
//! `pkg/apis/core/validation` and `pkg/apis/apps/validation`, where miniku acts on the field.

use crate::api::event::Event;
use crate::api::lease::Lease;
use crate::api::meta::{Labels, ObjectMeta};
use crate::api::names::{NOT_A_LABEL, NOT_A_SUBDOMAIN, is_dns_label, is_dns_subdomain};
use crate::api::node::Node;
use crate::api::object::{Object, Resource};
use crate::api::pod::{Pod, PodSpec, RestartPolicy, START_RETRIES};
use crate::api::replicaset::ReplicaSet;
use crate::api::selector::{
    LabelSelector, LabelSelectorOperator, NOT_A_KEY, NOT_A_VALUE, is_label_key, is_label_value,
};
use crate::api::status::{FieldError, FieldErrorKind};
use std::collections::BTreeSet;

/// Checks all of an object: its metadata, then by its kind's own rules. Empty if nothing is wrong.
pub fn validate(new: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let row = new.kind().row();
    let mut errors = Vec::new();
    meta(new.meta(), row.namespaced, &mut errors);
    if let Some(old) = old {
        unchanged_meta(new.meta(), old.meta(), &mut errors);
    }
    errors.extend((row.validate)(new, old));
    errors
}

fn meta(meta: &ObjectMeta, namespaced: bool, errors: &mut Vec<FieldError>) {
    match meta.name.as_str() {
        "" => errors.push(FieldError::required("metadata.name", "name or generateName is required")),
        name if !is_dns_subdomain(name) => errors.push(FieldError::invalid("metadata.name", name, NOT_A_SUBDOMAIN)),
        _ => {}
    }
    match (namespaced, meta.namespace.as_str()) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) if !is_dns_label(namespace) => {
            errors.push(FieldError::invalid("metadata.namespace", namespace, NOT_A_LABEL));
        }
        (false, namespace) if !namespace.is_empty() => {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
        _ => {}
    }
    labels("metadata.labels", &meta.labels, errors);
    for key in meta.annotations.keys().filter(|key| !is_label_key(&key.to_ascii_lowercase())) {
        errors.push(FieldError::invalid("metadata.annotations", key, NOT_A_KEY));
    }
    let size: usize = meta.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > 256 << 10 {
        let rule = "may not be more than 262144 bytes".to_owned();
        errors.push(FieldError { field: "metadata.annotations".into(), kind: FieldErrorKind::Forbidden(rule) });
    }
    for (at, owner) in meta.owner_references.iter().enumerate() {
        let field = |name| format!("metadata.ownerReferences[{at}].{name}");
        for (name, value) in
            [("apiVersion", &owner.api_version), ("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)]
        {
            if value.is_empty() {
                errors.push(FieldError::required(field(name), "must not be empty"));
            }
        }
    }
    if meta.owner_references.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
        let rule = "Only one reference can have Controller set to true";
        errors.push(FieldError::invalid("metadata.ownerReferences", "controller", rule));
    }
    for (at, finalizer) in meta.finalizers.iter().enumerate() {
        if !is_label_key(finalizer) {
            errors.push(FieldError::invalid(format!("metadata.finalizers[{at}]"), finalizer, NOT_A_KEY));
        }
    }
}

const IMMUTABLE: &str = "field is immutable";

fn labels(field: &str, labels: &Labels, errors: &mut Vec<FieldError>) {
    for (key, value) in labels {
        if !is_label_key(key) {
            errors.push(FieldError::invalid(field, key, NOT_A_KEY));
        }
        if !is_label_value(value) {
            errors.push(FieldError::invalid(field, value, NOT_A_VALUE));
        }
    }
}

fn unchanged_meta(new: &ObjectMeta, old: &ObjectMeta, errors: &mut Vec<FieldError>) {
    for (field, new, old) in
        [("metadata.name", &new.name, &old.name), ("metadata.namespace", &new.namespace, &old.namespace)]
    {
        if new != old {
            errors.push(FieldError::invalid(field, new, IMMUTABLE));
        }
    }
    if old.is_deleting() {
        let added = new.finalizers.iter().filter(|finalizer| !old.finalizers.contains(finalizer));
        let added: Vec<String> = added.map(|finalizer| format!("{finalizer:?}")).collect();
        if !added.is_empty() {
            // As Go prints a list.
            let rule = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", rule));
        }
    }
}

fn body<T: Resource>(object: &Object) -> &T {
    object.get().expect("a row's functions are handed objects of its kind only")
}

/// Rules for nodes.
pub fn node(new: &Object, _old: Option<&Object>) -> Vec<FieldError> {
    let node: &Node = body(new);
    let mut errors = Vec::new();
    for (field, amounts) in
        [("status.capacity", &node.status.capacity), ("status.allocatable", &node.status.allocatable)]
    {
        for (name, _) in amounts.iter().filter(|(_, amount)| amount.is_negative()) {
            errors.push(FieldError::invalid(format!("{field}.{name}"), amounts[name].to_string(), NOT_NEGATIVE));
        }
    }
    errors
}

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Rules for leases.
pub fn lease(new: &Object, _old: Option<&Object>) -> Vec<FieldError> {
    let spec = &body::<Lease>(new).spec;
    match spec.lease_duration_seconds {
        Some(seconds) if seconds <= 0 => {
            vec![FieldError::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
        }
        _ => Vec::new(),
    }
}

/// Rules for events.
pub fn event(new: &Object, _old: Option<&Object>) -> Vec<FieldError> {
    let event: &Event = body(new);
    let namespace = &event.involved_object.namespace;
    let fits = *namespace == event.metadata.namespace || namespace.is_empty() && event.metadata.namespace == "default";
    if fits {
        return Vec::new();
    }
    vec![FieldError::invalid("involvedObject.namespace", namespace, "does not match event.namespace")]
}

/// Rules for pods.
pub fn pod(new: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let pod: &Pod = body(new);
    let mut errors = Vec::new();
    pod_spec("spec", &pod.spec, &mut errors);
    start_retries("metadata.annotations", &pod.metadata.annotations, &mut errors);
    if let Some(old) = old.map(body::<Pod>)
        && !same_but_for_changeable_fields(&pod.spec, &old.spec)
    {
        let rule = "pod updates may not change fields other than `spec.containers[*].image`,\
            `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden("spec", rule));
    }
    errors
}

fn same_but_for_changeable_fields(new: &PodSpec, old: &PodSpec) -> bool {
    let mut new = new.clone();
    if new.containers.len() != old.containers.len() {
        return false;
    }
    for (container, old) in new.containers.iter_mut().zip(&old.containers) {
        container.image.clone_from(&old.image);
        container.image_pull_policy.clone_from(&old.image_pull_policy);
    }
    new == *old
}

fn start_retries(field: &str, annotations: &Labels, errors: &mut Vec<FieldError>) {
    if let Some(text) = annotations.get(START_RETRIES)
        && !text.parse::<i32>().is_ok_and(|retries| (0..=100).contains(&retries))
    {
        errors.push(FieldError::invalid(format!("{field}[{START_RETRIES}]"), text, "must be a number in 0..=100"));
    }
}

fn pod_spec(at: &str, spec: &PodSpec, errors: &mut Vec<FieldError>) {
    if spec.containers.is_empty() {
        errors.push(FieldError::required(format!("{at}.containers"), ""));
    }
    let mut names = BTreeSet::new();
    for (nth, container) in spec.containers.iter().enumerate() {
        let field = |name: &str| format!("{at}.containers[{nth}].{name}");
        match container.name.as_str() {
            "" => errors.push(FieldError::required(field("name"), "")),
            name if !is_dns_label(name) => errors.push(FieldError::invalid(field("name"), name, NOT_A_LABEL)),
            name if !names.insert(name) => errors.push(FieldError::duplicate(field("name"), name)),
            _ => {}
        }
        if container.image.trim().is_empty() {
            errors.push(FieldError::required(field("image"), ""));
        } else if container.image.trim() != container.image {
            let rule = "must not have leading or trailing whitespace";
            errors.push(FieldError::invalid(field("image"), &container.image, rule));
        }
        if !container.working_dir.is_empty() && !container.working_dir.starts_with('/') {
            errors.push(FieldError::invalid(field("workingDir"), &container.working_dir, "must be an absolute path"));
        }
        for (nth, variable) in container.env.iter().enumerate() {
            let field = field(&format!("env[{nth}].name"));
            if variable.name.is_empty() {
                errors.push(FieldError::required(field, ""));
            } else if variable.name.contains(['=', '\0']) {
                errors.push(FieldError::invalid(
                    field,
                    &variable.name,
                    "a valid environment variable name must not contain '='",
                ));
            }
        }
        for (field, texts) in [("command", &container.command), ("args", &container.args)] {
            if texts.iter().any(|text| text.contains('\0')) {
                let field = format!("{at}.containers[{nth}].{field}");
                errors.push(FieldError::invalid(field, texts, "must not contain a zero byte"));
            }
        }
        let policies: &[&str] = &["Always", "IfNotPresent", "Never"];
        if !container.image_pull_policy.is_empty() && !policies.contains(&container.image_pull_policy.as_str()) {
            let kind = FieldErrorKind::NotSupported(
                container.image_pull_policy.clone(),
                policies.iter().map(ToString::to_string).collect(),
            );
            errors.push(FieldError { field: field("imagePullPolicy"), kind });
        }
        let resources = &container.resources;
        for (which, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
            for (name, amount) in amounts.iter().filter(|(_, amount)| amount.is_negative()) {
                errors.push(FieldError::invalid(
                    field(&format!("resources.{which}[{name}]")),
                    amount.to_string(),
                    NOT_NEGATIVE,
                ));
            }
        }
        for (name, request) in &resources.requests {
            if resources.limits.get(name).is_some_and(|limit| request > limit) {
                let rule = format!("must be less than or equal to {name} limit of {}", resources.limits[name]);
                errors.push(FieldError::invalid(field("resources.requests"), request.to_string(), rule));
            }
        }
    }
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        let seconds = spec.termination_grace_period_seconds;
        errors.push(FieldError::invalid(
            format!("{at}.terminationGracePeriodSeconds"),
            seconds.unwrap_or(0),
            NOT_NEGATIVE,
        ));
    }
    for (name, text) in [("nodeName", &spec.node_name), ("hostname", &spec.hostname)] {
        let (ok, rule) = match name {
            "hostname" => (is_dns_label(text), NOT_A_LABEL),
            _ => (is_dns_subdomain(text), NOT_A_SUBDOMAIN),
        };
        if !text.is_empty() && !ok {
            errors.push(FieldError::invalid(format!("{at}.{name}"), text, rule));
        }
    }
    labels(&format!("{at}.nodeSelector"), &spec.node_selector, errors);
}

/// Rules for replica sets.
pub fn replica_set(new: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let set: &ReplicaSet = body(new);
    let (spec, template) = (&set.spec, &set.spec.template);
    let mut errors = Vec::new();
    for (field, number) in [("spec.replicas", spec.replicas), ("spec.minReadySeconds", spec.min_ready_seconds)] {
        if number.is_some_and(|number| number < 0) {
            errors.push(FieldError::invalid(field, number.unwrap_or(0), NOT_NEGATIVE));
        }
    }
    selector("spec.selector", &spec.selector, &mut errors);
    if spec.selector.is_empty() {
        let rule = "empty selector is invalid for deployment";
        errors.push(FieldError::invalid("spec.selector", "", rule.replace("deployment", "replica set")));
    } else if !spec.selector.matches(&template.metadata.labels) {
        let rule = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid("spec.template.metadata.labels", &template.metadata.labels, rule));
    }
    labels("spec.template.metadata.labels", &template.metadata.labels, &mut errors);
    start_retries("spec.template.metadata.annotations", &template.metadata.annotations, &mut errors);
    pod_spec("spec.template.spec", &template.spec, &mut errors);
    // A pod that is not restarted in place ends, and the set makes another: MiniKu's way, which Kubernetes refuses.
    let replaced_instead = template.metadata.annotations.contains_key(START_RETRIES);
    if template.spec.restart_policy != RestartPolicy::Always && !replaced_instead {
        let kind = FieldErrorKind::NotSupported(template.spec.restart_policy.to_string(), vec!["Always".into()]);
        errors.push(FieldError { field: "spec.template.spec.restartPolicy".into(), kind });
    }
    if old.is_some_and(|old| body::<ReplicaSet>(old).spec.selector != spec.selector) {
        errors.push(FieldError::invalid("spec.selector", spec.selector.to_string(), IMMUTABLE));
    }
    errors
}

fn selector(at: &str, selector: &LabelSelector, errors: &mut Vec<FieldError>) {
    labels(&format!("{at}.matchLabels"), &selector.match_labels, errors);
    for (nth, one) in selector.match_expressions.iter().enumerate() {
        let field = |name| format!("{at}.matchExpressions[{nth}].{name}");
        if !is_label_key(&one.key) {
            errors.push(FieldError::invalid(field("key"), &one.key, NOT_A_KEY));
        }
        match (one.operator, one.values.is_empty()) {
            (LabelSelectorOperator::In | LabelSelectorOperator::NotIn, true) => {
                let rule = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(field("values"), rule));
            }
            (LabelSelectorOperator::Exists | LabelSelectorOperator::DoesNotExist, false) => {
                let rule = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(field("values"), rule));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::json;

    fn errors(kind: Kind, value: serde_json::Value) -> Vec<String> {
        validate(&Object::from_value(kind, value).unwrap(), None).iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn names_field_value_and_rule() {
        let check = |spec: serde_json::Value, want: &str| {
            let pod = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": spec});
            let got = errors(Kind::Pod, pod);
            assert!(got.iter().any(|error| error.starts_with(want)), "{want}: {got:?}");
        };
        check(json!({}), "spec.containers: Required value");
        check(json!({"containers": [{"name": "c"}]}), "spec.containers[0].image: Required value");
        check(
            json!({"containers": [{"name": "C", "image": "x"}]}),
            "spec.containers[0].name: Invalid value: \"C\": a lowercase",
        );
        check(
            json!({"containers": [{"name": "c", "image": "x"}, {"name": "c", "image": "x"}]}),
            "spec.containers[1].name: Duplicate value: \"c\"",
        );
        check(
            json!({"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        );
        check(
            json!({"containers": [], "terminationGracePeriodSeconds": -1}),
            "spec.terminationGracePeriodSeconds: Invalid value: -1",
        );
    }

    #[test]
    fn a_set_must_select_its_own_pods() {
        let set = |selector: serde_json::Value, labels: serde_json::Value, restart: &str| {
            errors(
                Kind::ReplicaSet,
                json!({"metadata": {"name": "a", "namespace": "default"}, "spec": {"selector": selector, "template": {
                    "metadata": {"labels": labels},
                    "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "x"}]}}}}),
            )
        };
        assert!(set(json!({"matchLabels": {"app": "a"}}), json!({"app": "a"}), "Always").is_empty());
        let check =
            |got: Vec<String>, want: &str| assert!(got.len() == 1 && got[0].starts_with(want), "{want}: {got:?}");
        check(set(json!({}), json!({"app": "a"}), "Always"), "spec.selector: Invalid value");
        check(
            set(json!({"matchLabels": {"app": "b"}}), json!({"app": "a"}), "Always"),
            "spec.template.metadata.labels: Invalid value",
        );
        check(
            set(json!({"matchLabels": {"app": "a"}}), json!({"app": "a"}), "Never"),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        );
    }
}
