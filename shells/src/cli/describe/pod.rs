//! A pod, its containers and their states. Source of the layout: kubectl, `pkg/describe/describe.go`.

use super::meta::{annotations, controlled_by, field, labels, list, or_none, time};
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Container, ContainerState, ContainerStatus, Pod, PodTemplateSpec};
use miniku_core::api::toleration::Toleration;
use std::fmt::Write;

/// All about a pod but its events.
pub fn describe(text: &mut String, object: &Object) {
    let Some(pod) = object.get::<Pod>() else { return };
    let (meta, spec, status) = (&pod.metadata, &pod.spec, &pod.status);
    field(text, "Name", &meta.name);
    field(text, "Namespace", &meta.namespace);
    field(text, "Priority", &spec.priority.unwrap_or(0).to_string());
    for (name, value) in
        [("Priority Class Name", &spec.priority_class_name), ("Service Account", &spec.service_account_name)]
    {
        if !value.is_empty() {
            field(text, name, value);
        }
    }
    let node = match (pod.node(), status.host_ip.as_str()) {
        (None, _) => "<none>".into(),
        (Some(node), ip) => format!("{node}/{ip}"),
    };
    field(text, "Node", &node);
    if status.start_time.is_some() {
        field(text, "Start Time", &time(status.start_time));
    }
    labels(text, "Labels", &meta.labels);
    annotations(text, &meta.annotations);
    match meta.deletion_timestamp {
        Some(_) => {
            field(text, "Status", &format!("Terminating (by {})", time(meta.deletion_timestamp)));
            let grace = meta.deletion_grace_period_seconds.unwrap_or(0);
            field(text, "Termination Grace Period", &format!("{grace}s"));
        }
        None => field(text, "Status", status.phase.as_str()),
    }
    for (name, value) in [("Reason", &status.reason), ("Message", &status.message)] {
        if !value.is_empty() {
            field(text, name, value);
        }
    }
    field(text, "IP", &status.pod_ip);
    controlled_by(text, meta);
    text.push_str("Containers:\n");
    for container in &*spec.containers {
        let seen = status.container_statuses.iter().find(|status| status.name == container.name);
        describe_container(text, "  ", container, Some(seen));
    }
    if !status.conditions.is_empty() {
        text.push_str("Conditions:\n  Type\tStatus\n");
        for condition in &status.conditions {
            let _ = writeln!(text, "  {}\t{} ", condition.kind, condition.status);
        }
    }
    field(text, "QoS Class", or_none(&status.qos_class));
    labels(text, "Node-Selectors", &spec.node_selector);
    tolerations(text, "Tolerations", &spec.tolerations);
}

/// One toleration a line, sorted by key.
fn tolerations(text: &mut String, name: &str, tolerations: &[Toleration]) {
    let mut sorted: Vec<&Toleration> = tolerations.iter().collect();
    sorted.sort_by_key(|one| &one.key);
    list(text, name, sorted.into_iter().map(toleration));
}

fn toleration(one: &Toleration) -> String {
    let mut text = one.key.to_string();
    for (before, part) in [("=", &one.value), (":", &one.effect)] {
        if !part.is_empty() {
            text.push_str(before);
            text.push_str(part);
        }
    }
    if one.operator == "Exists" && one.value.is_empty() {
        text.push_str(if text.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = one.toleration_seconds {
        let _ = write!(text, " for {seconds}s");
    }
    text
}

/// The pod in the making, inside the object that makes it.
pub fn describe_template(text: &mut String, template: &PodTemplateSpec) {
    text.push_str("Pod Template:\n");
    labels(text, "  Labels", &template.metadata.labels);
    text.push_str("  Containers:\n");
    for container in &*template.spec.containers {
        describe_container(text, "   ", container, None);
    }
    labels(text, "  Node-Selectors", &template.spec.node_selector);
    tolerations(text, "  Tolerations", &template.spec.tolerations);
}

/// A container; `seen` is what the kubelet saw of it, where there is a kubelet.
fn describe_container(text: &mut String, at: &str, container: &Container, seen: Option<Option<&ContainerStatus>>) {
    let _ = writeln!(text, "{at}{}:", container.name);
    let at = format!("{at}  ");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{at}{name}:\t{value}");
    };
    let absent = ContainerStatus::default();
    let status = seen.map(|status| status.unwrap_or(&absent));
    if let Some(status) = status {
        line("Container ID", &status.container_id);
    }
    line("Image", &container.image);
    if let Some(status) = status {
        line("Image ID", &status.image_id);
    }
    for (name, words) in [("Command", &container.command), ("Args", &container.args)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{at}{name}:");
            for word in words.iter().flat_map(|word| word.split('\n')) {
                let _ = writeln!(text, "{at}  {word}");
            }
        }
    }
    if let Some(status) = status {
        describe_state(text, &at, "State", &status.state);
        if status.last_state.terminated.is_some() {
            describe_state(text, &at, "Last State", &status.last_state);
        }
        let _ = writeln!(text, "{at}Ready:\t{}", if status.ready { "True" } else { "False" });
        let _ = writeln!(text, "{at}Restart Count:\t{}", status.restart_count);
    }
    for (name, amounts) in [("Limits", &container.resources.limits), ("Requests", &container.resources.requests)] {
        if !amounts.is_empty() {
            let _ = writeln!(text, "{at}{name}:");
            for (resource, amount) in amounts {
                let _ = writeln!(text, "{at}  {resource}:\t{amount}");
            }
        }
    }
    if container.env.is_empty() {
        let _ = writeln!(text, "{at}Environment:\t<none>");
    } else {
        let _ = writeln!(text, "{at}Environment:");
        for variable in &container.env {
            let _ = writeln!(text, "{at}  {}:\t{}", variable.name, variable.value.replace('\n', "\\n"));
        }
    }
}

fn describe_state(text: &mut String, at: &str, name: &str, state: &ContainerState) {
    let mut line = |depth: &str, name: &str, value: &str| {
        let _ = writeln!(text, "{at}{depth}{name}:\t{value}");
    };
    if let Some(running) = &state.running {
        line("", name, "Running");
        line("  ", "Started", &time(running.started_at));
    } else if let Some(ended) = &state.terminated {
        line("", name, "Terminated");
        for (name, value) in [("Reason", &ended.reason), ("Message", &ended.message)] {
            if !value.is_empty() {
                line("  ", name, value);
            }
        }
        line("  ", "Exit Code", &ended.exit_code.to_string());
        if let Some(signal) = ended.signal {
            line("  ", "Signal", &signal.to_string());
        }
        line("  ", "Started", &time(ended.started_at));
        line("  ", "Finished", &time(ended.finished_at));
    } else {
        line("", name, "Waiting");
        if let Some(waiting) = &state.waiting {
            for (name, value) in [("Reason", &waiting.reason), ("Message", &waiting.message)] {
                if !value.is_empty() {
                    line("  ", name, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tabular::align;
    use miniku_core::api::kinds::Kind;
    use serde_json::json;

    #[test]
    fn a_restarted_pod() {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "x", "labels": {"app": "web", "tier": "front"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]},
            "spec": {"nodeName": "node-1", "serviceAccountName": "default", "priority": 7, "priorityClassName": "high",
                "tolerations": [{"key": "b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                    {"key": "a", "value": "x", "effect": "NoSchedule"}, {"operator": "Exists"}],
                "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c"],
                "resources": {"limits": {"memory": "64Mi"}}}]},
            "status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.2", "qosClass": "Burstable",
                "startTime": "2026-02-04T13:27:54Z",
                "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "c", "restartCount": 2, "ready": false, "containerID": "miniku://ab",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 1, "reason": "Error",
                        "startedAt": "2026-02-04T13:27:55Z", "finishedAt": "2026-02-04T13:27:56Z"}}}]},
        });
        let mut text = String::new();
        describe(&mut text, &Object::from_value(Kind::Pod, pod).unwrap());
        let want = "\
Name:                 a
Namespace:            x
Priority:             7
Priority Class Name:  high
Service Account:      default
Node:                 node-1/10.0.0.1
Start Time:           Wed, 04 Feb 2026 13:27:54 +0000
Labels:               app=web
                      tier=front
Annotations:          <none>
Status:               Running
IP:                   10.1.0.2
Controlled By:        ReplicaSet/web
Containers:
  c:
    Container ID:  miniku://ab
    Image:         busybox
    Image ID:      
    Command:
      sh
      -c
    State:          Waiting
      Reason:       CrashLoopBackOff
    Last State:     Terminated
      Reason:       Error
      Exit Code:    1
      Started:      Wed, 04 Feb 2026 13:27:55 +0000
      Finished:     Wed, 04 Feb 2026 13:27:56 +0000
    Ready:          False
    Restart Count:  2
    Limits:
      memory:     64Mi
    Environment:  <none>
Conditions:
  Type           Status
  PodScheduled   True 
  Ready          False 
QoS Class:       Burstable
Node-Selectors:  <none>
Tolerations:     op=Exists
                 a=x:NoSchedule
                 b:NoExecute op=Exists for 300s
";
        assert_eq!(align(&text), want);
    }
}
