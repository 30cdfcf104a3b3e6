//! Which pods a budget counts as there.
//!
//! Source: Kubernetes, `countHealthyPods` of `pkg/controller/disruption`.

use crate::api::pod::Pod;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whether somebody asked for the pod's end.
    pub enum Life {
        /// Nobody did.
        Lives,
        /// It is being deleted.
        Ending,
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
    /// Whether its eviction was granted: it stands in the budget's `disruptedPods`.
    pub enum Grant {
        /// It was, and the pod has not been seen to go.
        Granted,
        /// It was not.
        Nothing,
    }
}

decision_enum! {
    /// How it is counted.
    pub enum Action {
        /// It is healthy.
        Healthy,
        /// It is missing, or will be.
        Missing,
    }
}

decision_table! {
    /// Whether a pod counts as healthy. Pure and total. Page: `docs/decisions/disruption.md`.
    pub fn counting(pod: Life, readiness: Readiness, eviction: Grant) -> Action, COUNTING;
    leaving: (Ending, _, _)             => Missing, "it serves only until it has ended";
    granted: (Lives, _, Granted)        => Missing, "its end is on its way, though it cannot be seen yet";
    sick:    (Lives, NotReady, Nothing) => Missing, "it does not serve";
    healthy: (Lives, Ready, Nothing)    => Healthy, "it serves";
}

/// Whether a pod is healthy.
pub fn is_healthy(pod: &Pod, granted: bool) -> bool {
    let life = if pod.metadata.is_deleting() { Life::Ending } else { Life::Lives };
    let ready = pod.is_ready() || planted!(CountsUnready);
    let readiness = if ready { Readiness::Ready } else { Readiness::NotReady };
    let grant = if granted && !planted!(GrantsNotCounted) { Grant::Granted } else { Grant::Nothing };
    counting(life, readiness, grant).then == Action::Healthy
}
