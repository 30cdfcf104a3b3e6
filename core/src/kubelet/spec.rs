//! From a pod to what the runtime is told: the second of the two conversions on a pod's road.

use crate::api::pod::{Container, EnvVar, Pod, PodSpec};
use crate::api::text::Text;
use crate::kubelet::runtime;
use std::collections::BTreeMap;

/// The pod, with each container at its attempt.
pub fn pod_spec(pod: &Pod, attempt: impl Fn(&str) -> u32) -> runtime::PodSpec {
    let hostname = if pod.spec.hostname.is_empty() { &pod.metadata.name } else { &pod.spec.hostname };
    runtime::PodSpec {
        pod: pod_ref(pod),
        hostname: hostname.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned(),
        limits: pod_limits(&pod.spec),
        containers: pod.spec.containers.iter().map(|one| container_spec(one, attempt(&one.name))).collect(),
    }
}

/// The pod's identity.
pub fn pod_ref(pod: &Pod) -> runtime::PodRef {
    let meta = &pod.metadata;
    runtime::PodRef { uid: meta.uid.clone(), namespace: meta.namespace.clone(), name: meta.name.clone() }
}

/// One container, at this attempt.
pub fn container_spec(container: &Container, attempt: u32) -> runtime::ContainerSpec {
    let env = environment(&container.env);
    let expanded = |texts: &[Text]| texts.iter().map(|text| expand(text, &env)).collect();
    runtime::ContainerSpec {
        name: container.name.to_string(),
        attempt,
        image: container.image.to_string(),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: Some(container.working_dir.to_string()).filter(|dir| !dir.is_empty()),
        limits: limits(container),
        stdio: runtime::Stdio { stdin: container.stdin, stdin_once: container.stdin_once, tty: container.tty },
        env,
    }
}

/// A limit of zero is none. Who requests no processor has the least share: the kernel's own is that of whole processors.
///
/// Source: Kubernetes, `pkg/kubelet/kuberuntime/kuberuntime_container_linux.go`, `calculateLinuxResources`.
fn limits(container: &Container) -> runtime::Limits {
    let resources = &container.resources;
    let limit = |name: &str| resources.limits.get(name).filter(|limit| !limit.is_zero());
    let cpu_request = resources.requests.get("cpu").or_else(|| resources.limits.get("cpu"));
    runtime::Limits {
        memory_bytes: limit("memory").map(|limit| limit.value()),
        cpu_milli: limit("cpu").map(|limit| limit.milli_value()),
        cpu_request_milli: Some(cpu_request.map_or(0, |request| request.milli_value())),
        pids: None,
    }
}

/// A pod is limited where all of its containers are, by their sum.
fn pod_limits(spec: &PodSpec) -> runtime::Limits {
    let each: Vec<runtime::Limits> = spec.containers.iter().map(limits).collect();
    let sum = |of: fn(&runtime::Limits) -> Option<u64>| {
        each.iter().map(of).try_fold(0_u64, |sum, limit| Some(sum.saturating_add(limit?)))
    };
    runtime::Limits {
        memory_bytes: sum(|one| one.memory_bytes),
        cpu_milli: sum(|one| one.cpu_milli),
        cpu_request_milli: Some(spec.requests().0),
        pids: Some(PIDS_PER_POD),
    }
}

/// How many processes and threads a pod may have, so that none can use up the node's.
///
/// Source: Kubernetes, kubelet `podPidsLimit`, which is unlimited by default; the value is MiniKu's.
const PIDS_PER_POD: u64 = 4096;

/// The variables in order; a value may use those before it as `$(NAME)`.
fn environment(variables: &[EnvVar]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for variable in variables {
        let value = expand(&variable.value, &env);
        env.insert(variable.name.to_string(), value);
    }
    env
}

/// Replaces `$(NAME)` by the variable's value; `$$(NAME)` gives `$(NAME)`; what names no variable stays.
///
/// Source: Kubernetes documentation, "Define Dependent Environment Variables".
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|inner| inner.split_once(')'))
            && let Some(value) = env.get(name)
        {
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_replaced_as_kubernetes_does() {
        let env = environment(&[("A", "1"), ("B", "$(A)2"), ("C", "$(LATER)")].map(|(name, value)| EnvVar {
            name: name.into(),
            value: value.into(),
            ..Default::default()
        }));
        assert_eq!((env["B"].as_str(), env["C"].as_str()), ("12", "$(LATER)"));
        let check = |text: &str, want: &str| assert_eq!(expand(text, &env), want);
        check("a$(B)b", "a12b");
        check("$$(B)", "$(B)");
        check("$B ${B} $( $", "$B ${B} $( $");
        check("$(A", "$(A");
        check("é$(A)é", "é1é");
    }

    #[test]
    fn a_pod_becomes_a_command() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u"},
            "spec": {"containers": [
                {"name": "a", "image": "busybox", "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}},
                {"name": "b", "image": "busybox", "resources": {"limits": {"memory": "1Mi"}}}]}}))
        .unwrap();
        let spec = pod_spec(&pod, |name| u32::from(name == "b"));
        assert_eq!((spec.hostname.as_str(), spec.containers[1].attempt), ("web", 1));
        assert_eq!(spec.containers[0].limits.cpu_request_milli, Some(500));
        assert_eq!((spec.limits.memory_bytes, spec.limits.cpu_milli), (Some(65 << 20), None));
    }

    #[test]
    fn a_limit_of_zero_limits_nothing() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u"},
            "spec": {"containers": [
                {"name": "a", "image": "busybox", "resources": {"limits": {"memory": "0", "cpu": "0"}}},
                {"name": "b", "image": "busybox", "resources": {"limits": {"memory": "1Mi", "cpu": "1"}}}]}}))
        .unwrap();
        let spec = pod_spec(&pod, |_| 0);
        let of = |limits: &runtime::Limits| (limits.memory_bytes, limits.cpu_milli);
        assert_eq!(of(&spec.containers[0].limits), (None, None));
        assert_eq!(of(&spec.containers[1].limits), (Some(1 << 20), Some(1000)));
        // One that is not limited leaves the pod without a limit, too.
        assert_eq!(of(&spec.limits), (None, None));
    }

    #[test]
    fn who_requests_no_processor_has_the_least_share() {
        let shares = |containers: serde_json::Value| {
            let metadata = json!({"name": "web", "namespace": "default", "uid": "u"});
            let pod = json!({"metadata": metadata, "spec": {"containers": containers}});
            let spec = pod_spec(&serde_json::from_value(pod).unwrap(), |_| 0);
            let each = spec.containers.iter().map(|one| one.limits.cpu_request_milli);
            (spec.limits.cpu_request_milli, each.collect::<Vec<_>>())
        };
        let none = json!({"name": "a", "image": "busybox"});
        let some = json!({"name": "b", "image": "busybox", "resources": {"requests": {"cpu": "500m"}}});
        assert_eq!(shares(json!([none])), (Some(0), vec![Some(0)]));
        assert_eq!(shares(json!([none, some])), (Some(500), vec![Some(0), Some(500)]));
    }
}
