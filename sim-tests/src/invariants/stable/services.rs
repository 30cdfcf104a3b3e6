//! Whether the endpoints of each service show its pods.

use super::of_kind;
use crate::invariants::endpoints;
use crate::truth::Truth;
use miniku_core::api::endpoints::EndpointSlice;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::service::Service;

/// Each service with a selector shows its pods.
pub(super) fn missing(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::Service).filter(|object| !object.meta().is_deleting()) {
        let (meta, service) = (object.meta(), object.read::<Service>()?);
        if service.spec.selector.is_empty() || service.spec.kind == "ExternalName" {
            continue;
        }
        let (namespace, name) = (&meta.namespace, &meta.name);
        let own = |slice: &&Object| {
            slice.meta().namespace == *namespace && slice.meta().controller().is_some_and(|by| by.uid == meta.uid)
        };
        let slices: Vec<EndpointSlice> =
            of_kind(truth, Kind::EndpointSlice).filter(own).filter_map(Object::read).collect();
        if slices.is_empty() || truth.object(&Key::new(Kind::Endpoints, namespace, name)).is_none() {
            return Some(format!("service {name} has no endpoints, not even empty ones"));
        }
        let bears =
            |slice: &Object| meta.labels.iter().all(|(name, value)| slice.meta().labels.get(name) == Some(value));
        if let Some(slice) = of_kind(truth, Kind::EndpointSlice).filter(own).find(|slice| !bears(slice)) {
            return Some(format!("{} does not bear the labels of service {name}", slice.key()));
        }
        let shows = slices.iter().flat_map(|slice| slice.endpoints.iter().map(move |one| (one, &slice.ports)));
        let shows = shows.filter_map(|(one, ports)| {
            let (uid, ip) = (one.target_ref.as_ref()?.uid.clone(), one.addresses.first()?.clone());
            Some((uid, ip, one.conditions.serving == Some(true), endpoints::shown(ports)))
        });
        let mut shown: Vec<_> = shows.collect();
        let selected = |pod: &&Pod| {
            pod.metadata.namespace == *namespace
                && service.spec.selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
        };
        let reached = |pod: &&Pod| !pod.status.pod_ip.is_empty() && !pod.status.phase.is_final();
        let pods = truth.all::<Pod>().filter(selected).filter(reached);
        let mut are: Vec<_> = pods
            .map(|pod| {
                let (uid, ip) = (pod.metadata.uid.clone(), pod.status.pod_ip.clone());
                (uid, ip, pod.is_ready(), endpoints::meant(&service, pod))
            })
            .collect();
        shown.sort_unstable();
        are.sort_unstable();
        if shown != are {
            return Some(format!("service {name} shows {shown:?}, and has {are:?}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::forged::Nobody;
    use super::*;
    use crate::invariants::forged::{Story, pod};
    use serde_json::{Value, json};

    #[test]
    fn says_at_which_port_a_pod_is_not_shown() {
        let judge = |shown: i32| {
            let mut story = Story::<Nobody>::new();
            let front = json!({"name": "front", "uid": "f"});
            let owner =
                json!([{"apiVersion": "v1", "kind": "Service", "name": "front", "uid": "f", "controller": true}]);
            let mut pod = pod("a", "n", "Running");
            pod["metadata"]["labels"] = json!({"app": "web"});
            pod["status"]["podIP"] = "10.1.0.1".into();
            let endpoint = json!({"addresses": ["10.1.0.1"], "conditions": {"serving": false},
                "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "a-uid"}});
            for manifest in [
                pod,
                json!({"kind": "Service", "metadata": front, "spec": {"selector": {"app": "web"},
                    "ports": [{"port": 80, "targetPort": 8080}]}}),
                json!({"kind": "Endpoints", "metadata": {"name": "front"}}),
                json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "front-1", "ownerReferences": owner}, "endpoints": [endpoint],
                    "ports": [{"port": shown, "protocol": "TCP"}]}),
            ] {
                story.put(manifest).unwrap();
            }
            missing(&story.truth)
        };
        assert_eq!(judge(8080), None);
        assert!(judge(80).unwrap().contains("service front shows"));
    }

    #[test]
    fn says_what_slices_do_not_bear() {
        let judge = |labels: Value| {
            let mut story = Story::<Nobody>::new();
            let front = json!({"name": "front", "uid": "f", "labels": {"tier": "front"}});
            let owner =
                json!([{"apiVersion": "v1", "kind": "Service", "name": "front", "uid": "f", "controller": true}]);
            for manifest in [
                json!({"kind": "Service", "metadata": front, "spec": {"selector": {"app": "web"}}}),
                json!({"kind": "Endpoints", "metadata": {"name": "front"}}),
                json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "front-1", "labels": labels, "ownerReferences": owner}, "endpoints": []}),
            ] {
                story.put(manifest).unwrap();
            }
            missing(&story.truth)
        };
        assert_eq!(judge(json!({"tier": "front"})), None);
        let says = judge(json!({})).unwrap();
        assert_eq!(says, "endpointslices.discovery.k8s.io/default/front-1 does not bear the labels of service front");
    }
}
