//! EndpointSlice and Endpoints: the addresses behind a service, in the newer form and in the older one.
//!
//! Source: Kubernetes API reference v1.32, "EndpointSlice" and "Endpoints"; documentation, "EndpointSlices" and
//! "Well-Known Labels, Annotations and Taints".

use crate::api::event::ObjectReference;
use crate::api::text::Text;
use crate::api_struct;

api_struct! {
    /// Some of the addresses behind a service; but for its metadata.
    pub struct EndpointSlice {
        /// `IPv4`. Fixed after creation.
        address_type "addressType" always: Text,
        /// At most 1000; controllers take at most 100.
        endpoints "endpoints" always: Vec<Endpoint>,
        /// The ports of each of them.
        ports "ports" always: Vec<EndpointPort>,
    }
}

api_struct! {
    /// What is behind a service in one place.
    pub struct Endpoint {
        /// Where it is reached; they are all the same place.
        addresses "addresses" always: Vec<Text>,
        /// How it is.
        conditions "conditions" always: EndpointConditions,
        /// Its host name within the service, if it has one.
        hostname "hostname": Text,
        /// The node it is on.
        node_name "nodeName": Text,
        /// What it is: a pod.
        target_ref "targetRef": Option<ObjectReference>,
    }
}

api_struct! {
    /// How an endpoint is. What is absent is not known.
    pub struct EndpointConditions {
        /// New connections may go there.
        ready "ready": Option<bool>,
        /// It answers, whether or not it is being ended.
        serving "serving": Option<bool>,
        /// It is being ended.
        terminating "terminating": Option<bool>,
    }
}

api_struct! {
    /// A port of endpoints.
    pub struct EndpointPort {
        /// As the service names it.
        name "name": Text,
        /// Its number there.
        port "port": i32,
        /// `TCP`, `UDP` or `SCTP`.
        protocol "protocol": Text,
        /// What is spoken there.
        app_protocol "appProtocol": Text,
    }
}

api_struct! {
    /// All addresses behind a service; but for its metadata.
    pub struct Endpoints {
        /// Each has ports of its own.
        subsets "subsets": Vec<EndpointSubset>,
    }
}

api_struct! {
    /// Addresses that have these ports in common.
    pub struct EndpointSubset {
        /// Those that are ready.
        addresses "addresses": Vec<EndpointAddress>,
        /// Those that are not.
        not_ready_addresses "notReadyAddresses": Vec<EndpointAddress>,
        /// Their ports.
        ports "ports": Vec<EndpointPort>,
    }
}

api_struct! {
    /// One address.
    pub struct EndpointAddress {
        /// Where it is reached.
        ip "ip" always: Text,
        /// Its host name within the service, if it has one.
        hostname "hostname": Text,
        /// The node it is on.
        node_name "nodeName": Text,
        /// What it is: a pod.
        target_ref "targetRef": Option<ObjectReference>,
    }
}

/// On a slice: the name of the service that it is of.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// On a slice: who keeps it.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`] on slices whose addresses come from a service's selector.
pub const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// On Endpoints: who keeps them.
pub const ENDPOINTS_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// The value of [`ENDPOINTS_MANAGED_BY`] where the addresses come from a service's selector.
pub const ENDPOINTS_CONTROLLER: &str = "endpoint-controller";
/// On both: the service has no address of its own.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// On Endpoints: there are more addresses than they show.
pub const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
