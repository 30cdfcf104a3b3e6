//! Which ports of a pod a service means.

use crate::api::endpoints::EndpointPort;
use crate::api::int_or_string::IntOrString;
use crate::api::pod::Pod;
use crate::api::service::{ServicePort, ServiceSpec};
use serde_json::Value;

/// A port of endpoints, ordered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// As the service names it.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its number.
    pub number: i32,
    /// What is spoken there; may be empty.
    pub app_protocol: String,
}

impl Port {
    /// As endpoints show it.
    pub fn shown(&self) -> EndpointPort {
        EndpointPort {
            name: self.name.as_str().into(),
            port: self.number,
            protocol: self.protocol.as_str().into(),
            app_protocol: self.app_protocol.as_str().into(),
            ..Default::default()
        }
    }
}

/// The ports of a service on one pod, in the service's order. A named port that the pod has not is left out.
///
/// With `targetPort: http` and a container that has a port 8080 of that name: 8080.
/// Source: Kubernetes, `FindPort` of `pkg/api/v1/pod`.
pub fn ports(service: &ServiceSpec, pod: &Pod) -> Vec<Port> {
    let on_pod = |port: &ServicePort| {
        let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
        let number = match &port.target_port {
            None | Some(IntOrString::Int(0)) => port.port,
            Some(IntOrString::Int(_)) if planted!(TargetPortIgnored) => port.port,
            Some(IntOrString::Int(number)) => *number,
            Some(IntOrString::String(name)) if name.is_empty() => port.port,
            Some(IntOrString::String(name)) => named(pod, name, protocol)?,
        };
        let (name, app_protocol) = (port.name.clone(), port.app_protocol.clone());
        Some(Port { name: name.to_string(), protocol: protocol.into(), number, app_protocol: app_protocol.to_string() })
    };
    service.ports.iter().filter_map(on_pod).collect()
}

/// The number of a container's port of this name and protocol. Sidecars have ports, too.
fn named(pod: &Pod, name: &str, protocol: &str) -> Option<i32> {
    let is = |port: &&Value| {
        let spoken = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        port.get("name").and_then(Value::as_str) == Some(name) && spoken == protocol
    };
    let find = |ports: Option<&Value>| {
        let number = ports?.as_array()?.iter().find(is)?.get("containerPort")?.as_i64()?;
        i32::try_from(number).ok()
    };
    let sidecars = pod.spec.rest.get("initContainers").and_then(Value::as_array).into_iter().flatten();
    let sidecars = sidecars.filter(|one| one.get("restartPolicy").and_then(Value::as_str) == Some("Always"));
    let mut containers = pod.spec.containers.iter().map(|one| one.rest.get("ports"));
    containers.find_map(find).or_else(|| sidecars.map(|one| one.get("ports")).find_map(find))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_found_by_number_and_by_name() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "containers": [
                {"name": "a", "ports": [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
                {"name": "b", "ports": [{"name": "admin", "containerPort": 9000}]}],
            "initContainers": [
                {"name": "once", "ports": [{"name": "never", "containerPort": 1}]},
                {"name": "mesh", "restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 15000}]}]}}))
        .unwrap();
        let check = |port: Value, want: Option<i32>| {
            let spec: ServiceSpec = serde_json::from_value(json!({"ports": [port]})).unwrap();
            assert_eq!(ports(&spec, &pod).first().map(|port| port.number), want, "{spec:?}");
        };
        check(json!({"port": 80}), Some(80));
        check(json!({"port": 80, "targetPort": 8080}), Some(8080));
        check(json!({"port": 80, "targetPort": "http"}), Some(8080));
        check(json!({"port": 80, "targetPort": "admin"}), Some(9000));
        check(json!({"port": 53, "targetPort": "dns"}), None);
        check(json!({"port": 53, "targetPort": "dns", "protocol": "UDP"}), Some(53));
        check(json!({"port": 80, "targetPort": "mesh"}), Some(15000));
        check(json!({"port": 80, "targetPort": "never"}), None);
        check(json!({"port": 80, "targetPort": "absent"}), None);
    }
}
