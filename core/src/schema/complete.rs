//! What is filled in where an author left something out, and what must not be left out.
//!
//! Most defaults are constants and stand in the table; those that depend on other fields are the rows of [`CONDITIONAL`].
//!
//! Source: Kubernetes API reference v1.32; `pkg/apis/*/v1/defaults.go`; required fields: `pkg/apis/*/validation`.

use super::{MessageId, Schema, Type};
use crate::api::status::FieldError;
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

/// The defaults that depend on other fields.
pub const CONDITIONAL: &[Conditional] = &[
    Conditional {
        message: "apps/v1.DeploymentStrategy",
        why: "rollingUpdate is a quarter each way, with RollingUpdate",
        fill: |strategy| {
            if is(strategy, "type", "RollingUpdate") {
                let update = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
                or_insert(update, "maxUnavailable", "25%".into());
                or_insert(update, "maxSurge", "25%".into());
            }
        },
    },
    Conditional {
        message: "apps/v1.DaemonSetUpdateStrategy",
        why: "rollingUpdate is one pod at a time, with RollingUpdate",
        fill: |strategy| {
            if is(strategy, "type", "RollingUpdate") {
                let update = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
                or_insert(update, "maxUnavailable", 1.into());
                or_insert(update, "maxSurge", 0.into());
            }
        },
    },
    Conditional {
        message: "apps/v1.StatefulSetUpdateStrategy",
        why: "rollingUpdate begins with the first pod, with RollingUpdate",
        fill: |strategy| {
            if is(strategy, "type", "RollingUpdate") {
                let update = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
                or_insert(update, "partition", 0.into());
            }
        },
    },
    Conditional {
        message: "batch/v1.JobSpec",
        why: "one completion and one pod at a time, where neither is said; one pod at a time, where parallelism is not",
        fill: |spec| {
            if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
                spec.insert("completions".into(), 1.into());
            }
            spec.entry("parallelism").or_insert_with(|| 1.into());
            spec.entry("podReplacementPolicy").or_insert_with(|| "TerminatingOrFailed".into());
        },
    },
    Conditional {
        message: "core/v1.ServicePort",
        why: "targetPort is port",
        fill: |port| {
            let unset = port.get("targetPort").is_none_or(|target| *target == json!(0) || *target == json!(""));
            if let Some(number) = port.get("port").cloned().filter(|_| unset) {
                port.insert("targetPort".into(), number);
            }
        },
    },
    Conditional {
        message: "core/v1.ServiceSpec",
        why: "traffic from outside goes to all nodes; sticky clients stay for three hours; an external name needs no policy inside",
        fill: |spec| {
            if is(spec, "type", "NodePort") || is(spec, "type", "LoadBalancer") {
                spec.entry("externalTrafficPolicy").or_insert_with(|| "Cluster".into());
            }
            if is(spec, "type", "LoadBalancer") {
                spec.entry("allocateLoadBalancerNodePorts").or_insert_with(|| true.into());
            }
            if is(spec, "type", "ExternalName") {
                spec.remove("internalTrafficPolicy");
            }
            if is(spec, "sessionAffinity", "ClientIP") {
                let config = spec.entry("sessionAffinityConfig").or_insert_with(|| json!({"clientIP": {}}));
                if let Some(client) = config.get_mut("clientIP") {
                    or_insert(client, "timeoutSeconds", 10_800.into());
                }
            }
        },
    },
    Conditional {
        message: "core/v1.ResourceRequirements",
        why: "a request that is not said is the limit",
        fill: |resources| {
            let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
            let requests = resources.entry("requests").or_insert_with(|| json!({}));
            for (name, amount) in limits {
                or_insert(requests, &name, amount);
            }
        },
    },
    Conditional {
        message: "core/v1.Container",
        why: "an image without a tag, or with the tag latest, is always fetched",
        fill: |container| {
            let image = container.get("image").and_then(Value::as_str).unwrap_or("");
            let policy = crate::api::pod::usual_pull_policy(image);
            if !container.get("imagePullPolicy").is_some_and(|set| set.as_str().is_some_and(|set| !set.is_empty())) {
                container.insert("imagePullPolicy".into(), policy.into());
            }
        },
    },
    Conditional {
        message: "core/v1.PodSpec",
        why: "the old name of the service account follows the new one",
        fill: |spec| {
            if let Some(name) = spec.get("serviceAccountName").cloned() {
                spec.entry("serviceAccount").or_insert(name);
            } else if let Some(name) = spec.get("serviceAccount").cloned() {
                spec.insert("serviceAccountName".into(), name);
            }
        },
    },
    Conditional {
        message: "core/v1.Secret",
        why: "what is given as text is stored as bytes",
        fill: |secret| {
            let Some(Value::Object(texts)) = secret.remove("stringData") else { return };
            let data = secret.entry("data").or_insert_with(|| json!({}));
            for (name, text) in texts {
                if let (Some(data), Some(text)) = (data.as_object_mut(), text.as_str()) {
                    data.insert(name, crate::api::base64::encode(text.as_bytes()).into());
                }
            }
        },
    },
    Conditional {
        message: "rbac/v1.RoleRef",
        why: "roles are of RBAC's group",
        fill: |role| {
            role.entry("apiGroup").or_insert_with(|| "rbac.authorization.k8s.io".into());
        },
    },
    Conditional {
        message: "rbac/v1.Subject",
        why: "users and groups are of RBAC's group",
        fill: |subject| {
            if is(subject, "kind", "User") || is(subject, "kind", "Group") {
                subject.entry("apiGroup").or_insert_with(|| "rbac.authorization.k8s.io".into());
            }
        },
    },
    Conditional {
        message: "networking/v1.NetworkPolicySpec",
        why: "it is about what comes in, and about what goes out if it says something of that",
        fill: |spec| {
            if !spec.contains_key("policyTypes") {
                let out = spec.contains_key("egress");
                spec.insert("policyTypes".into(), if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
            }
        },
    },
    Conditional {
        message: "autoscaling/v2.HorizontalPodAutoscalerSpec",
        why: "80 % of the processor time asked for, where nothing is measured",
        fill: |spec| {
            if spec.get("metrics").is_none_or(|metrics| metrics.as_array().is_some_and(Vec::is_empty)) {
                let target = json!({"type": "Utilization", "averageUtilization": 80});
                spec.insert(
                    "metrics".into(),
                    json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
                );
            }
        },
    },
    Conditional {
        message: "core/v1.ReplicationControllerSpec",
        why: "the selector is the template's labels",
        fill: |spec| {
            let labels = spec.get("template").and_then(|template| template.pointer("/metadata/labels")).cloned();
            if let Some(labels) = labels.filter(|_| spec.get("selector").is_none_or(|selector| *selector == json!({})))
            {
                spec.insert("selector".into(), labels);
            }
        },
    },
];

fn is(object: &Map<String, Value>, field: &str, text: &str) -> bool {
    object.get(field).and_then(Value::as_str) == Some(text)
}

fn or_insert(object: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.entry(field).or_insert(value);
    }
}

/// Fills in what an author left out of an object, everywhere in it.
pub fn complete(schema: &Schema, message: MessageId, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    let known = schema.message(message);
    for field in &known.fields {
        match (fields.get_mut(&*field.json), &field.default) {
            (Some(value), None) => complete_value(schema, &field.kind, value),
            (Some(value), Some(default)) => {
                if value.is_null() || !field.pointer && value.as_str() == Some("") && default.is_string() {
                    *value = default.clone();
                }
                complete_value(schema, &field.kind, value);
            }
            (None, Some(default)) => {
                let mut value = default.clone();
                complete_value(schema, &field.kind, &mut value);
                fields.insert((*field.json).into(), value);
            }
            (None, None) => {}
        }
    }
    for row in CONDITIONAL.iter().filter(|row| *row.message == *known.name) {
        (row.fill)(fields);
    }
}

/// The same for a value of a type.
pub fn complete_value(schema: &Schema, kind: &Type, value: &mut Value) {
    match (kind, value) {
        (Type::Message(id), value) => complete(schema, *id, value),
        (Type::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| complete_value(schema, &list.items, item));
        }
        (Type::Map(map), Value::Object(values)) => {
            values.iter_mut().for_each(|(_, value)| complete_value(schema, &map.values, value));
        }
        _ => {}
    }
}

/// What must not be left out, and words that cannot be: an error a field.
pub fn rules(schema: &Schema, kind: &Type, value: &Value, path: &mut String, errors: &mut Vec<FieldError>) {
    let end = path.len();
    match (kind, value) {
        (Type::Message(id), Value::Object(fields)) => {
            for field in &schema.message(*id).fields {
                if end > 0 {
                    path.push('.');
                }
                path.push_str(&field.json);
                match fields.get(&*field.json) {
                    Some(value) if field.required && is_empty(value) && !field.pointer => {
                        errors.push(FieldError::required(path.clone(), ""))
                    }
                    Some(value) => rules(schema, &field.kind, value, path, errors),
                    None if field.required => errors.push(FieldError::required(path.clone(), "")),
                    None => {}
                }
                path.truncate(end);
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for (nth, item) in items.iter().enumerate() {
                path.push_str(&format!("[{nth}]"));
                rules(schema, &list.items, item, path, errors);
                path.truncate(end);
            }
        }
        (Type::Map(map), Value::Object(values)) => {
            for (name, value) in values {
                path.push_str(&format!("[{name}]"));
                rules(schema, &map.values, value, path, errors);
                path.truncate(end);
            }
        }
        (Type::Text(words), Value::String(text)) if !words.is_empty() && !text.is_empty() => {
            if !words.iter().any(|word| **word == **text) {
                errors.push(FieldError::not_supported(
                    path.clone(),
                    text.clone(),
                    words.iter().map(ToString::to_string),
                ));
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(kind: &str, mut value: Value) -> Value {
        let schema = Schema::kubernetes();
        complete(schema, schema.named(kind).unwrap(), &mut value);
        let once = value.clone();
        complete(schema, schema.named(kind).unwrap(), &mut value);
        assert_eq!(value, once, "a second time changes nothing");
        value
    }

    #[test]
    fn a_deployment_is_completed_throughout() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "x:1", "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}}}]}});
        let done = completed("apps/v1.Deployment", json!({"spec": {"selector": {}, "template": pod}}));
        assert_eq!(
            done["spec"]["strategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        assert_eq!((&done["spec"]["replicas"], &done["spec"]["progressDeadlineSeconds"]), (&json!(1), &json!(600)));
        let container = &done["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            (&container["imagePullPolicy"], &container["ports"][0]["protocol"]),
            (&json!("IfNotPresent"), &json!("TCP"))
        );
        assert_eq!(container["livenessProbe"]["httpGet"], json!({"port": 80, "path": "/", "scheme": "HTTP"}));
        let recreate = completed("apps/v1.Deployment", json!({"spec": {"strategy": {"type": "Recreate"}}}));
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn what_depends_on_other_fields_is_completed() {
        assert_eq!(completed("core/v1.ServicePort", json!({"port": 80}))["targetPort"], 80);
        assert_eq!(completed("core/v1.Secret", json!({"stringData": {"a": "x"}}))["data"], json!({"a": "eA=="}));
        assert_eq!(completed("batch/v1.JobSpec", json!({}))["completions"], 1);
        assert_eq!(completed("batch/v1.JobSpec", json!({"parallelism": 2})).get("completions"), None);
        let resources = completed("core/v1.ResourceRequirements", json!({"limits": {"cpu": "1"}}));
        assert_eq!(resources["requests"], json!({"cpu": "1"}));
    }

    #[test]
    fn every_conditional_default_is_of_a_message() {
        for row in CONDITIONAL {
            assert!(Schema::kubernetes().named(row.message).is_some(), "{}", row.message);
        }
    }

    #[test]
    fn what_must_be_there_is_missed() {
        let schema = Schema::kubernetes();
        let kind = Type::Message(schema.named("apps/v1.Deployment").unwrap());
        let value =
            json!({"spec": {"template": {"spec": {"containers": [{"image": "x", "imagePullPolicy": "Often"}]}}}});
        let mut errors = Vec::new();
        rules(schema, &kind, &value, &mut String::new(), &mut errors);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "spec.selector: Required value",
                "spec.template.spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                "spec.template.spec.containers[0].name: Required value",
            ]
        );
    }
}
