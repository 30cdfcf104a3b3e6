//! Which pods are endpoints of a service that selects them, and how.
//!
//! Source: Kubernetes documentation, "EndpointSlices", conditions; `podToEndpoint` and `ShouldPodBeInEndpoints` of
//! `k8s.io/endpointslice`.

use crate::api::pod::Pod;
use crate::{decision_enum, decision_table};
use std::net::Ipv4Addr;

decision_enum! {
    /// Where the pod is in its life.
    pub enum Life {
        /// Nobody asked for its end.
        Lives,
        /// It is being deleted.
        Ending,
        /// All its containers have ended for good.
        Finished,
    }
}

decision_enum! {
    /// Whether it can be reached.
    pub enum Address {
        /// Its address is known.
        Known,
        /// It has none yet.
        Unknown,
    }
}

decision_enum! {
    /// Its condition `Ready`.
    pub enum Readiness {
        /// It serves.
        Ready,
        /// It does not.
        NotReady,
    }
}

decision_enum! {
    /// What the service wants to be shown: `spec.publishNotReadyAddresses`.
    pub enum Shows {
        /// Pods that can be used.
        Usable,
        /// All pods.
        All,
    }
}

decision_enum! {
    /// What the pod is among the endpoints. A slice has three conditions for it, Endpoints have two lists.
    pub enum Action {
        /// It is no endpoint.
        Omit,
        /// New connections may go there: `ready` in slices, `addresses` of Endpoints.
        Ready,
        /// It is shown, and not to be used: not `ready` in slices, `notReadyAddresses` of Endpoints.
        NotReady,
        /// It is being ended: `terminating` in slices, `serving` as long as it answers; in Endpoints no more.
        Draining,
    }
}

decision_table! {
    /// What a pod is among the endpoints of a service. Pure and total. Page: `docs/decisions/endpoints.md`.
    pub fn membership(pod: Life, address: Address, readiness: Readiness, service: Shows) -> Action, MEMBERSHIP;
    finished:  (Finished, _, _, _)                   => Omit,     "nothing answers there, and another may get its address";
    nowhere:   (Lives | Ending, Unknown, _, _)       => Omit,     "nobody can reach it";
    published: (Lives | Ending, Known, _, All)       => Ready,    "who looks for it wants to find it before it is ready";
    ready:     (Lives, Known, Ready, Usable)         => Ready,    "it serves";
    starting:  (Lives, Known, NotReady, Usable)      => NotReady, "it does not serve yet, or not now";
    draining:  (Ending, Known, Ready | NotReady, Usable) => Draining, "what it has begun it may finish; new work goes elsewhere";
}

/// The pod's address, if it has one. There is one kind of addresses here.
pub fn address(pod: &Pod) -> Option<Ipv4Addr> {
    pod.status.pod_ip.parse().ok()
}

/// Reduces a pod to what [`membership`] decides on.
pub fn standing(pod: &Pod, shows: Shows) -> Action {
    let life = match () {
        () if pod.status.phase.is_final() => Life::Finished,
        () if pod.metadata.is_deleting() && !planted!(EndingServe) => Life::Ending,
        () => Life::Lives,
    };
    let address = if address(pod).is_some() { Address::Known } else { Address::Unknown };
    let readiness = if pod.is_ready() { Readiness::Ready } else { Readiness::NotReady };
    membership(life, address, readiness, shows).then
}
