//! Defaults that depend on other fields of an object.
//!
//! Constants stand in the table. [`super::complete`] comes here with each object once its constants are filled in, and looks
//! at its parts after that; so what a row makes is completed too.
//!
//! Source: Kubernetes, `pkg/apis/*/v1/defaults.go`.

use serde_json::{Map, Value, json};

/// A default that depends on other fields.
pub struct Conditional {
    /// The message that it is about.
    pub message: &'static str,
    /// What is filled in, and when.
    pub why: &'static str,
    /// Fills it in.
    pub fill: fn(&mut Map<String, Value>),
}

const fn row(message: &'static str, why: &'static str, fill: fn(&mut Map<String, Value>)) -> Conditional {
    Conditional { message, why, fill }
}

/// The defaults that depend on other fields, in the order in which they are filled in.
pub const CONDITIONAL: &[Conditional] = &[
    row("apps/v1.DeploymentStrategy", "RollingUpdate says how many at a time", rolling_update),
    row("apps/v1.DaemonSetUpdateStrategy", "RollingUpdate says how many at a time", rolling_update),
    row("apps/v1.StatefulSetUpdateStrategy", "RollingUpdate says from which pod on", rolling_update),
    row("batch/v1.Job", "one pod once, if nothing is said of completions and parallelism", job_counts),
    row("batch/v1.Job", "6 failures; any number if each index counts its own", job_failures),
    row("batch/v1.Job", "completions have no numbers, and its pods are not held back", |job| {
        of_job(job, |spec| {
            or_insert(spec, "completionMode", "NonIndexed".into());
            or_insert(spec, "suspend", false.into());
        });
    }),
    row("batch/v1.Job", "pods are replaced when they terminate; with a failure policy, when they have failed", |job| {
        of_job(job, |spec| {
            let when = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
            or_insert(spec, "podReplacementPolicy", when.into());
        });
    }),
    row("batch/v1.Job", "a job without labels has its template's", labels_of_template),
    row("core/v1.ReplicationController", "a controller without labels has its template's", labels_of_template),
    row("core/v1.ReplicationControllerSpec", "the selector is the template's labels", |spec| {
        if let Some(labels) = spec.get("template").and_then(|template| template.pointer("/metadata/labels")).cloned()
            && is_empty(spec, "selector")
        {
            spec.insert("selector".into(), labels);
        }
    }),
    row("core/v1.Pod", "a request that is not said is the limit", requests_of_limits),
    row("core/v1.Pod", "in the host's network a port is the host's too", host_ports),
    row("core/v1.PodSpec", "the service account's old name follows the new one", |spec| {
        match (spec.get("serviceAccountName").cloned(), spec.get("serviceAccount").cloned()) {
            (Some(name), _) => spec.insert("serviceAccount".into(), name),
            (None, Some(name)) => spec.insert("serviceAccountName".into(), name),
            (None, None) => None,
        };
    }),
    row("core/v1.Container", "images that may change under their tag are always fetched", pull_policy),
    row("core/v1.EphemeralContainer", "images that may change under their tag are always fetched", pull_policy),
    row("core/v1.Volume", "a volume that is nothing else is an empty directory", |volume| {
        if volume.keys().all(|field| field == "name") {
            volume.insert("emptyDir".into(), json!({}));
        }
    }),
    row("core/v1.ServiceSpec", "only services that are reached from outside say how", |spec| {
        let kind = text(spec, "type").to_owned();
        if matches!(&*kind, "NodePort" | "LoadBalancer") {
            or_insert(spec, "externalTrafficPolicy", "Cluster".into());
        }
        if kind == "LoadBalancer" {
            or_insert(spec, "allocateLoadBalancerNodePorts", true.into());
        }
        if kind != "ExternalName" {
            or_insert(spec, "internalTrafficPolicy", "Cluster".into());
        }
    }),
    row("core/v1.ServiceSpec", "a client that stays with one pod does so for three hours", |spec| {
        if text(spec, "sessionAffinity") == "ClientIP" {
            let config = or_insert(spec, "sessionAffinityConfig", json!({}));
            if let Some(client) = config.as_object_mut().map(|config| or_insert(config, "clientIP", json!({}))) {
                client.as_object_mut().map(|client| or_insert(client, "timeoutSeconds", 10_800.into()));
            }
        }
    }),
    row("core/v1.ServicePort", "the pods' port is the service's", |port| {
        let unset = port.get("targetPort").is_none_or(|target| *target == json!(0) || *target == json!(""));
        if let Some(number) = port.get("port").cloned().filter(|_| unset) {
            port.insert("targetPort".into(), number);
        }
    }),
    row("core/v1.Secret", "what is given as text is kept as bytes", |secret| {
        let Some(Value::Object(texts)) = secret.remove("stringData") else { return };
        let Value::Object(data) = or_insert(secret, "data", json!({})) else { return };
        for (name, text) in texts {
            data.insert(name, crate::api::base64::encode(text.as_str().unwrap_or("").as_bytes()).into());
        }
    }),
    row("core/v1.LimitRangeItem", "what a container gets is what it may have at most, or must have at least", limits),
    row("rbac/v1.RoleRef", "roles are of RBAC's group", |role| {
        or_insert(role, "apiGroup", RBAC.into());
    }),
    row("rbac/v1.Subject", "users and groups are of RBAC's group", |subject| {
        if matches!(text(subject, "kind"), "User" | "Group") {
            or_insert(subject, "apiGroup", RBAC.into());
        }
    }),
    row(
        "networking/v1.NetworkPolicySpec",
        "it is about what comes in, and about what goes out if it has rules for it",
        |spec| {
            if is_empty(spec, "policyTypes") {
                let out = !is_empty(spec, "egress");
                spec.insert("policyTypes".into(), if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
            }
        },
    ),
    row(
        "autoscaling/v2.HorizontalPodAutoscalerSpec",
        "80 % of the processor time asked for, if nothing is measured",
        |spec| {
            if is_empty(spec, "metrics") {
                let target = json!({"type": "Utilization", "averageUtilization": 80});
                let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
                spec.insert("metrics".into(), json!([metric]));
            }
        },
    ),
    row(
        "autoscaling/v2.HorizontalPodAutoscalerBehavior",
        "up by four pods or twofold, down by any number, a quarter minute each",
        behavior,
    ),
    row(
        "apiextensions/v1.CustomResourceDefinitionNames",
        "one is called as its kind, many as its kind and List",
        |names| {
            let kind = text(names, "kind").to_owned();
            if !kind.is_empty() {
                or_insert(names, "singular", kind.to_lowercase().into());
                or_insert(names, "listKind", format!("{kind}List").into());
            }
        },
    ),
];

const RBAC: &str = "rbac.authorization.k8s.io";

/// Fills in those defaults of an object's own fields that depend on other ones.
pub fn complete_kind(message_name: &str, fields: &mut Map<String, Value>) {
    CONDITIONAL.iter().filter(|row| row.message == message_name).for_each(|row| (row.fill)(fields));
}

fn rolling_update(strategy: &mut Map<String, Value>) {
    if text(strategy, "type") == "RollingUpdate" {
        or_insert(strategy, "rollingUpdate", json!({}));
    }
}

/// The same spec in a cron job's template stays as its author wrote it.
fn of_job(job: &mut Map<String, Value>, fill: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(spec)) = job.get_mut("spec") {
        fill(spec);
    }
}

fn job_counts(job: &mut Map<String, Value>) {
    of_job(job, |spec| {
        if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
            spec.insert("completions".into(), 1.into());
        }
        or_insert(spec, "parallelism", 1.into());
    });
}

fn job_failures(job: &mut Map<String, Value>) {
    of_job(job, |spec| {
        let count = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
        or_insert(spec, "backoffLimit", count.into());
    });
}

fn labels_of_template(object: &mut Map<String, Value>) {
    let labels = object.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    let Some(labels) = labels.filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty())) else {
        return;
    };
    if let Value::Object(metadata) = or_insert(object, "metadata", json!({}))
        && is_empty(metadata, "labels")
    {
        metadata.insert("labels".into(), labels);
    }
}

/// Only pods: a template stays as its author wrote it.
fn requests_of_limits(pod: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = pod.get_mut("spec") else { return };
    requests_in_spec(spec);
}

/// The same in a pod's spec.
pub fn requests_in_spec(spec: &mut Map<String, Value>) {
    for_each_container(spec, |container, _| {
        let Some(Value::Object(resources)) = container.get_mut("resources") else { return };
        let Some(Value::Object(limits)) = resources.get("limits").filter(|limits| **limits != json!({})).cloned()
        else {
            return;
        };
        if let Value::Object(requests) = or_insert(resources, "requests", json!({})) {
            limits.into_iter().for_each(|(name, amount)| {
                or_insert(requests, &name, amount);
            });
        }
    });
}

fn host_ports(pod: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = pod.get_mut("spec") else { return };
    host_ports_in_spec(spec);
}

/// In the host's network a port is the host's too: in a pod's spec.
pub fn host_ports_in_spec(spec: &mut Map<String, Value>) {
    for_each_container(spec, |container, host_network| {
        if host_network {
            host_ports_of(container);
        }
    });
}

/// The same for a container.
pub fn host_ports_of(container: &mut Map<String, Value>) {
    let Some(Value::Array(ports)) = container.get_mut("ports") else { return };
    for port in ports.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(number) = port.get("containerPort").cloned() {
            or_insert(port, "hostPort", number);
        }
    }
}

fn for_each_container(spec: &mut Map<String, Value>, each: fn(&mut Map<String, Value>, bool)) {
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = spec.get_mut(list) else { continue };
        containers.iter_mut().filter_map(Value::as_object_mut).for_each(|container| each(container, host_network));
    }
}

fn pull_policy(container: &mut Map<String, Value>) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = crate::api::pod::usual_pull_policy(text(container, "image"));
        container.insert("imagePullPolicy".into(), policy.into());
    }
}

fn limits(item: &mut Map<String, Value>) {
    if text(item, "type") != "Container" {
        return;
    }
    for (into, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let Some(Value::Object(amounts)) = item.get(from).cloned() else { continue };
        if let Value::Object(given) = or_insert(item, into, json!({})) {
            amounts.into_iter().for_each(|(name, amount)| {
                or_insert(given, &name, amount);
            });
        }
    }
}

fn behavior(behavior: &mut Map<String, Value>) {
    let policy = |kind: &str, value: i32| json!({"type": kind, "value": value, "periodSeconds": 15});
    let ways = [
        ("scaleUp", json!([policy("Pods", 4), policy("Percent", 100)])),
        ("scaleDown", json!([policy("Percent", 100)])),
    ];
    for (way, policies) in ways {
        let Value::Object(rules) = or_insert(behavior, way, json!({})) else { continue };
        or_insert(rules, "selectPolicy", "Max".into());
        if is_empty(rules, "policies") {
            rules.insert("policies".into(), policies);
        }
        if way == "scaleUp" {
            or_insert(rules, "stabilizationWindowSeconds", 0.into());
        }
    }
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}

fn is_empty(object: &Map<String, Value>, field: &str) -> bool {
    match object.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(_) => false,
    }
}

/// The field, with this value if it was not there.
fn or_insert<'a>(object: &'a mut Map<String, Value>, field: &str, value: Value) -> &'a mut Value {
    let there = object.entry(field).or_insert(Value::Null);
    if there.is_null() || there.as_str() == Some("") {
        *there = value;
    }
    there
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn every_row_is_of_a_message() {
        for row in CONDITIONAL {
            assert!(Schema::kubernetes().named(row.message).is_some(), "{}", row.message);
        }
    }

    #[test]
    fn each_row_fills_in_what_it_says() {
        let check = |message: &str, mut given: Value, want: Value| {
            complete_kind(message, given.as_object_mut().unwrap());
            assert_eq!(given, want, "{message}");
        };
        check("apps/v1.DeploymentStrategy", json!({"type": "Recreate"}), json!({"type": "Recreate"}));
        check(
            "apps/v1.DeploymentStrategy",
            json!({"type": "RollingUpdate"}),
            json!({"type": "RollingUpdate", "rollingUpdate": {}}),
        );
        let check_job = |given: Value, more: Value| {
            let mut want = json!({"backoffLimit": 6, "podReplacementPolicy": "TerminatingOrFailed",
                "completionMode": "NonIndexed", "suspend": false});
            for from in [&given, &more] {
                want.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
            }
            check("batch/v1.Job", json!({"spec": given}), json!({"spec": want}));
        };
        check_job(json!({}), json!({"completions": 1, "parallelism": 1}));
        check_job(json!({"parallelism": 0}), json!({}));
        check_job(json!({"completions": 3}), json!({"parallelism": 1}));
        check_job(
            json!({"backoffLimitPerIndex": 1, "podFailurePolicy": {}}),
            json!({"completions": 1, "parallelism": 1, "backoffLimit": 2147483647, "podReplacementPolicy": "Failed"}),
        );
        let template = json!({"template": {"metadata": {"labels": {"a": "b"}}}});
        check(
            "core/v1.ReplicationController",
            json!({"spec": template}),
            json!({"spec": template, "metadata": {"labels": {"a": "b"}}}),
        );
        check(
            "core/v1.Pod",
            json!({"spec": {"hostNetwork": true, "containers": [{"ports": [{"containerPort": 1}],
                "resources": {"limits": {"cpu": "1", "memory": "2"}, "requests": {"cpu": "0.5"}}}]}}),
            json!({"spec": {"hostNetwork": true, "containers": [{"ports": [{"containerPort": 1, "hostPort": 1}],
                "resources": {"limits": {"cpu": "1", "memory": "2"}, "requests": {"cpu": "0.5", "memory": "2"}}}]}}),
        );
        check(
            "core/v1.PodSpec",
            json!({"serviceAccount": "a"}),
            json!({"serviceAccount": "a", "serviceAccountName": "a"}),
        );
        check("core/v1.Container", json!({"image": "a:1"}), json!({"image": "a:1", "imagePullPolicy": "IfNotPresent"}));
        check("core/v1.EphemeralContainer", json!({"image": "a"}), json!({"image": "a", "imagePullPolicy": "Always"}));
        check("core/v1.Volume", json!({"name": "a"}), json!({"name": "a", "emptyDir": {}}));
        check("core/v1.Volume", json!({"name": "a", "secret": {}}), json!({"name": "a", "secret": {}}));
        check("core/v1.ServiceSpec", json!({"type": "ExternalName"}), json!({"type": "ExternalName"}));
        check(
            "core/v1.ServiceSpec",
            json!({"type": "NodePort", "sessionAffinity": "ClientIP"}),
            json!({"type": "NodePort", "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
                "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
        );
        check("core/v1.ServicePort", json!({"port": 80, "targetPort": 0}), json!({"port": 80, "targetPort": 80}));
        check("core/v1.ServicePort", json!({"port": 80, "targetPort": "a"}), json!({"port": 80, "targetPort": "a"}));
        check(
            "core/v1.Secret",
            json!({"data": {"a": "eg=="}, "stringData": {"a": "x", "b": ""}}),
            json!({"data": {"a": "eA==", "b": ""}}),
        );
        check(
            "core/v1.LimitRangeItem",
            json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1"}}),
            json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1"}, "default": {"cpu": "2"},
                "defaultRequest": {"cpu": "2", "memory": "1"}}),
        );
        check("rbac/v1.Subject", json!({"kind": "User"}), json!({"kind": "User", "apiGroup": RBAC}));
        check("rbac/v1.Subject", json!({"kind": "ServiceAccount"}), json!({"kind": "ServiceAccount"}));
        check("networking/v1.NetworkPolicySpec", json!({}), json!({"policyTypes": ["Ingress"]}));
        check(
            "networking/v1.NetworkPolicySpec",
            json!({"egress": [{}]}),
            json!({"egress": [{}], "policyTypes": ["Ingress", "Egress"]}),
        );
        check(
            "apiextensions/v1.CustomResourceDefinitionNames",
            json!({"kind": "CronTab"}),
            json!({"kind": "CronTab", "singular": "crontab", "listKind": "CronTabList"}),
        );
        check(
            "autoscaling/v2.HorizontalPodAutoscalerBehavior",
            json!({"scaleUp": {"selectPolicy": "Min", "policies": [{"type": "Pods"}]}}),
            json!({
                "scaleUp": {"selectPolicy": "Min", "policies": [{"type": "Pods"}], "stabilizationWindowSeconds": 0},
                "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
            }),
        );
    }
}
