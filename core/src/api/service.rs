//! Service: its fields that controllers act on, and what the next version of one has from it.
//!
//! Addresses and ports are given by the server. An author who leaves them out wants the same, and who asks for a type
//! without them wants none.
//!
//! Source: Kubernetes, `pkg/registry/core/service/storage`, `patchAllocatedValues` and `dropTypeDependentFields`, release
//! 1.32.

use crate::api::int_or_string::IntOrString;
use crate::api::meta::Labels;
use crate::api::object::Object;
use crate::api::plain::text;
use crate::api::text::Text;
use crate::api_struct;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

api_struct! {
    /// A service, but for its metadata.
    pub struct Service {
        /// What is wished.
        spec "spec": ServiceSpec,
    }
}

api_struct! {
    /// What is wished of a service, as far as it is about the pods behind it.
    pub struct ServiceSpec {
        /// `ClusterIP` if empty.
        kind "type": Text,
        /// The labels of the pods behind it; if empty, its author says what is behind it.
        selector "selector": Labels,
        /// Its address; `None` if it is to have none.
        cluster_ip "clusterIP": Text,
        /// Whether pods are shown that are not ready.
        publish_not_ready_addresses "publishNotReadyAddresses": bool,
        /// Its ports.
        ports "ports": Vec<ServicePort>,
    }
}

api_struct! {
    /// One port of a service.
    pub struct ServicePort {
        /// Its name; may be empty if it is the only one.
        name "name": Text,
        /// `TCP` if empty.
        protocol "protocol": Text,
        /// Its number.
        port "port": i32,
        /// Which port of the pods is meant, by number or by name; the same number if absent.
        target_port "targetPort": Option<IntOrString>,
        /// What is spoken there.
        app_protocol "appProtocol": Text,
    }
}

impl ServiceSpec {
    /// Whether it has no address of its own.
    pub fn is_headless(&self) -> bool {
        matches!(self.cluster_ip.as_str(), "" | "None")
    }
}

/// See the module.
pub fn carry_over(new: &mut Object, old: &Object) {
    let Some(Value::Object(was)) = old.at(&["spec"]).cloned() else { return };
    let (to, from) = (text(new, &["spec", "type"]).to_owned(), text(old, &["spec", "type"]).to_owned());
    new.edit_plain(|rest| {
        let Some(Value::Object(spec)) = rest.get_mut("spec") else { return };
        if has_address(&from) {
            addresses(spec, &was, has_address(&to));
        }
        if has_node_ports(&from) {
            node_ports(spec, &was, has_node_ports(&to));
            if !has_node_ports(&to) {
                for name in ["externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort"] {
                    drop_if_same(spec, &was, name);
                }
            }
        }
    });
}

/// A type that is not said is `ClusterIP`.
fn has_address(kind: &str) -> bool {
    kind != "ExternalName"
}

fn has_node_ports(kind: &str) -> bool {
    matches!(kind, "NodePort" | "LoadBalancer")
}

fn addresses(spec: &mut Map<String, Value>, was: &Map<String, Value>, kept: bool) {
    for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !kept {
            drop_if_same(spec, was, name);
        } else if says_nothing(spec.get(name))
            && let Some(value) = was.get(name)
        {
            spec.insert(name.into(), value.clone());
        }
    }
}

fn says_nothing(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() || *value == "" || value.as_array().is_some_and(Vec::is_empty))
}

fn drop_if_same(spec: &mut Map<String, Value>, was: &Map<String, Value>, name: &str) {
    if spec.get(name) == was.get(name) {
        spec.remove(name);
    }
}

fn node_ports(spec: &mut Map<String, Value>, was: &Map<String, Value>, kept: bool) {
    let before = was.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let which = |port: &Value| {
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
        (port.get("port").and_then(Value::as_i64), protocol)
    };
    let given = |port: &Value| port.get("nodePort").and_then(Value::as_i64).filter(|number| *number != 0);
    let Some(Value::Array(ports)) = spec.get_mut("ports") else { return };
    let mut taken: BTreeSet<i64> = ports.iter().filter_map(given).collect();
    // The first of several counts.
    let had: BTreeMap<_, _> = before.iter().rev().map(|port| (which(port), given(port))).collect();
    for port in ports.iter_mut() {
        let Some(old) = had.get(&which(port)).copied().flatten() else { continue };
        let is = given(port);
        let Some(fields) = port.as_object_mut() else { continue };
        if !kept && is == Some(old) {
            fields.remove("nodePort");
        } else if kept && is.is_none() && !taken.contains(&old) {
            fields.insert("nodePort".into(), old.into());
            taken.insert(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::json;

    #[test]
    fn what_the_server_gave_stays_as_long_as_it_has_a_meaning() {
        let old = json!({"type": "NodePort", "clusterIP": "10.96.0.1", "externalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 81, "nodePort": 30081}]});
        let service = |spec: &Value| Object::from_value(Kind::Service, json!({"spec": spec})).unwrap();
        let check = |new: Value, want: Value| {
            let mut object = service(&new);
            carry_over(&mut object, &service(&old));
            assert_eq!(object.at(&["spec"]), Some(&want));
        };
        check(
            json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 82}]}),
            json!({"type": "NodePort", "clusterIP": "10.96.0.1", "ports": [{"port": 80, "nodePort": 30080}, {"port": 82}]}),
        );
        check(
            json!({"type": "LoadBalancer", "clusterIP": "", "ports": [{"port": 81, "nodePort": 30080}, {"port": 80}]}),
            json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ports": [{"port": 81, "nodePort": 30080}, {"port": 80}]}),
        );
        let mut other = old.clone();
        other["type"] = "ClusterIP".into();
        check(
            other.clone(),
            json!({"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": [{"port": 80}, {"port": 81}]}),
        );
        other["ports"][0]["nodePort"] = 30082.into();
        check(
            other,
            json!({"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": [{"port": 80, "nodePort": 30082}, {"port": 81}]}),
        );
        check(
            json!({"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.0.1"}),
            json!({"type": "ExternalName", "externalName": "a.b"}),
        );
    }
}
