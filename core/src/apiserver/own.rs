//! What the API server says of itself: the service that leads to it, `kubernetes` in `default`, with the first address of
//! the range; and that it serves metrics, which in other clusters another server does.
//!
//! Source: Kubernetes documentation, "Accessing the Kubernetes API from a Pod"; `pkg/controlplane/controller/kubernetesservice`
//! and `pkg/controlplane/reconcilers`; `kube-aggregator/pkg/apiserver`, for what it says of its own groups.

use crate::api::endpoints::SERVICE_NAME;
use crate::api::kinds::Kind;
use crate::api::metrics;
use crate::api::object::{Key, Object};
use crate::apiserver::services::Options;
use serde_json::{Value, json};
use std::net::SocketAddrV4;

/// Where it is.
pub const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// What leads to a server that is reached here. An address that means nothing on another machine, or that nobody else
/// can reach, is not told to anybody: then the service has no endpoints.
pub fn all(options: Options, at: SocketAddrV4) -> Vec<Object> {
    let object = |kind, labels: Value, fields: Value| {
        let mut object = json!({"metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels}});
        crate::patch::merge::merge(&mut object, &fields);
        Object::from_value(kind, object).expect("it has the fields of its kind")
    };
    let ports = json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": at.port()}]);
    let spec = json!({"type": "ClusterIP", "clusterIP": options.cluster_ips.nth(1).to_string(), "ports": ports,
        "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"});
    let service =
        object(Kind::Service, json!({"component": "apiserver", "provider": "kubernetes"}), json!({"spec": spec}));
    if at.ip().is_loopback() || at.ip().is_unspecified() {
        return vec![service];
    }
    let (ip, ports) = (at.ip().to_string(), json!([{"name": "https", "port": at.port(), "protocol": "TCP"}]));
    let skip = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let endpoints = json!({"subsets": [{"addresses": [{"ip": ip}], "ports": ports}]});
    let slice = json!({"addressType": "IPv4", "ports": ports,
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}]});
    vec![
        service,
        object(Kind::Endpoints, skip, endpoints),
        object(Kind::EndpointSlice, json!({(SERVICE_NAME): NAME}), slice),
    ]
}

/// What says that this server answers for the group of metrics.
pub fn metrics() -> Object {
    let (group, version) = (metrics::GROUP, metrics::VERSION);
    let condition = json!({"type": "Available", "status": "True", "reason": "Local",
        "message": "Local APIServices are always available"});
    let spec = json!({"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100});
    let object = json!({"metadata": {"name": format!("{version}.{group}")}, "spec": spec,
        "status": {"conditions": [condition]}});
    Object::from_value(Kind::APIService, object).expect("it has the fields of its kind")
}

/// Whether it is one of these.
pub fn is_own(key: &Key) -> bool {
    let kinds = [Kind::Service, Kind::Endpoints, Kind::EndpointSlice];
    kinds.contains(&key.kind) && &*key.namespace == NAMESPACE && &*key.name == NAME
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::{self, ApiServer};
    use crate::program::{Committed, Effect, Effects, Input, Program, Query, Revision};
    use crate::store::Store;
    use crate::time::Now;
    use std::collections::VecDeque;

    /// A server that begins with this, and is reached there.
    fn begun(stored: Vec<Object>, at: &str) -> ApiServer {
        let mut revision = stored.iter().map(|object| object.revision().0).max().unwrap_or(0);
        let options = apiserver::Options { advertise: Some(at.parse().unwrap()), ..apiserver::Options::with_seed(1) };
        let mut server = ApiServer::new(options, Store::load(stored, Revision(revision)));
        let mut todo = VecDeque::from([Input::Wake]);
        while let Some(input) = todo.pop_front() {
            let mut out = Effects::default();
            server.step(Now::default(), input, &mut out);
            for effect in out.list {
                match effect {
                    Effect::Commit { commit, .. } => {
                        revision += 1;
                        todo.push_back(Input::Committed { commit, outcome: Committed::At(Revision(revision)) });
                    }
                    Effect::Decided { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(revision < 100, "there is no end of writes");
        }
        server
    }

    fn get(server: &ApiServer, kind: Kind) -> Option<&Object> {
        server.store().get(&Key::new(kind, NAMESPACE, NAME))
    }

    #[test]
    fn the_server_tells_where_it_is() {
        let server = begun(Vec::new(), "10.0.0.7:6443");
        let at = |server: &ApiServer, kind, path: &str| {
            get(server, kind).unwrap().to_value().pointer(path).cloned().unwrap_or_default()
        };
        assert_eq!(at(&server, Kind::Service, "/spec/clusterIPs"), json!(["10.96.0.1"]));
        assert_eq!(at(&server, Kind::Service, "/spec/ports/0/port"), 443);
        assert_eq!(at(&server, Kind::Endpoints, "/subsets/0/addresses/0/ip"), "10.0.0.7");
        assert_eq!(at(&server, Kind::EndpointSlice, "/ports/0/port"), 6443);
        // Another life of it is reached elsewhere.
        let mut stored = Vec::new();
        for kind in Kind::BUILT_IN {
            stored.extend(server.store().list(&Query::all(*kind)).cloned());
        }
        let server = begun(stored, "10.0.0.8:7443");
        assert_eq!(at(&server, Kind::Endpoints, "/subsets/0/addresses/0/ip"), "10.0.0.8");
        assert_eq!(at(&server, Kind::EndpointSlice, "/ports/0/port"), 7443);
        assert_eq!(at(&server, Kind::Service, "/spec/clusterIPs"), json!(["10.96.0.1"]));
    }

    #[test]
    fn what_only_this_machine_reaches_is_nobodys_endpoint() {
        let server = begun(Vec::new(), "127.0.0.1:8080");
        assert!(get(&server, Kind::Service).is_some());
        assert!(get(&server, Kind::Endpoints).is_none() && get(&server, Kind::EndpointSlice).is_none());
    }
}
