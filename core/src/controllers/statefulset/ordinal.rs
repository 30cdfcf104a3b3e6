//! What is done about the pod of one number.
//!
//! Source: Kubernetes documentation, "StatefulSets", deployment and scaling guarantees; `pkg/controller/statefulset`,
//! `processReplica` and `processCondemned`.

use crate::api::pod::{Pod, PodPhase};
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whether a pod of this number is wanted.
    pub enum Wish {
        /// It is.
        Wanted,
        /// It is not.
        Unwanted,
    }
}

decision_enum! {
    /// How it stands with the pod.
    pub enum State {
        /// There is none.
        Absent,
        /// It has ended.
        Ended,
        /// It is being deleted.
        Leaving,
        /// It is there, and does not serve.
        Unready,
        /// It serves.
        Ready,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// Nothing; and where pods wait for one another, nothing about the next either.
        Wait,
        /// Nothing, and it is the next one's turn.
        Go,
        /// It is made.
        Make,
        /// It is deleted; and made again, if it is wanted.
        Delete,
    }
}

decision_table! {
    /// What is done about the pod of one number. Pure and total. Page: `docs/decisions/ordinal.md`.
    pub fn ordinal(wish: Wish, pod: State) -> Action, ORDINAL;
    missing:  (Wanted,   Absent)          => Make,   "each number has its pod";
    ended:    (Wanted,   Ended)           => Delete, "its successor has the same name, and there is one at a time";
    leaving:  (Wanted,   Leaving)         => Wait,   "two of one number must never run";
    starting: (Wanted,   Unready)         => Wait,   "those after it may need it";
    serves:   (Wanted,   Ready)           => Go,     "it is as it should be";
    gone:     (Unwanted, Absent)          => Go,     "it is as it should be";
    going:    (Unwanted, Leaving)         => Wait,   "those before it may need it to be gone";
    surplus:  (Unwanted, Ended | Unready | Ready) => Delete, "its number is not wanted any more";
}

/// Reduces a pod to what [`ordinal`] decides on. `ready` is whether it has been ready long enough.
pub fn state(pod: Option<&Pod>, ready: bool) -> State {
    match pod {
        None => State::Absent,
        Some(pod) if pod.metadata.is_deleting() => State::Leaving,
        Some(pod) if pod.status.phase.is_final() => State::Ended,
        Some(pod) if ready && pod.status.phase == PodPhase::Running => State::Ready,
        Some(_) => State::Unready,
    }
}
