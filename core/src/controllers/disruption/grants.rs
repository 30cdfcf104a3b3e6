//! How long a granted eviction is remembered.
//!
//! Source: Kubernetes, `buildDisruptedPodMap` of `pkg/controller/disruption`. Other than there, the time is counted from
//! when the controller saw the grant, and pods as they were then, by its own clock: a view that is older neither shows that
//! a pod is gone which it lacks, nor that one stays which it has.

use crate::api::meta::Time;
use crate::api::pod::Pod;
use crate::time::Duration;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What is seen of the pod.
    pub enum Seen {
        /// It is there, and nobody asked for its end.
        Lives,
        /// It is being deleted.
        Ending,
        /// No pod of this name is there.
        Gone,
        /// A pod of this name is there that was made after the grant.
        Successor,
        /// No pod of this name is there; but the view is older than the grant, and may lack it.
        NotYet,
    }
}

decision_enum! {
    /// How long ago the grant, and pods as they were then, were seen first.
    pub enum Age {
        /// Less than the time in which pods are deleted, or the view is older than the grant still.
        Recent,
        /// Longer.
        Overdue,
    }
}

decision_enum! {
    /// What becomes of the grant.
    pub enum Action {
        /// It stays: the pod counts as missing.
        Keep,
        /// It is taken out.
        Forget,
        /// It is taken out, and people are told that the pod was not deleted.
        GiveUp,
    }
}

decision_table! {
    /// What becomes of a granted eviction. Pure and total. Page: `docs/decisions/disruption.md`.
    pub fn grant(pod: Seen, time: Age) -> Action, GRANT;
    done:      (Ending | Gone, _)   => Forget, "the pod does not count any more, or is not there to be counted";
    successor: (Successor, _)       => Forget, "it was granted for another";
    under_way: (Lives, Recent)      => Keep,   "the deletion follows the grant, and is on its way here";
    unseen:    (NotYet, _)          => Keep,   "once it is seen it must not count";
    undone:    (Lives, Overdue)     => GiveUp, "who asked for it has not ended it";
}

/// After so long a pod whose eviction was granted should be going. Source: `DeletionTimeout`.
pub const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

/// So often it is looked whether the view is older than a grant still. Nobody is told when a bookmark brings it forward.
pub const CATCH_UP: Duration = Duration::from_secs(10);

/// What is seen of a pod, if anything, whose eviction was granted at this time.
pub fn seen(pod: Option<&Pod>, granted: Time, view_is_older: bool) -> Seen {
    match pod {
        None if view_is_older => Seen::NotYet,
        None => Seen::Gone,
        // Times are whole seconds: one that was made in the same second may be the one that is meant.
        Some(pod) if pod.metadata.creation_timestamp.is_some_and(|created| created > granted) => Seen::Successor,
        Some(pod) if pod.metadata.is_deleting() => Seen::Ending,
        Some(_) => Seen::Lives,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_told_from_its_successor() {
        let pod = |created: &str, deleted: Option<&str>| -> Pod {
            let meta = json!({"name": "a", "creationTimestamp": created, "deletionTimestamp": deleted});
            serde_json::from_value(json!({"metadata": meta})).unwrap()
        };
        let granted: Time = serde_json::from_value(json!("2026-01-01T00:00:10Z")).unwrap();
        let check = |pod: Option<Pod>, older, want| assert_eq!(seen(pod.as_ref(), granted, older), want);
        check(Some(pod("2026-01-01T00:00:09Z", None)), false, Seen::Lives);
        check(Some(pod("2026-01-01T00:00:10Z", None)), false, Seen::Lives);
        check(Some(pod("2026-01-01T00:00:11Z", None)), false, Seen::Successor);
        check(Some(pod("2026-01-01T00:00:09Z", Some("2026-01-01T00:00:12Z"))), true, Seen::Ending);
        check(None, true, Seen::NotYet);
        check(None, false, Seen::Gone);
    }
}
