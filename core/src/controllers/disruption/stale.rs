//! When it is taken back that a pod goes.
//!
//! Whoever makes a pod go says so in its condition `DisruptionTarget` before asking for its end, and may never come to
//! that: its node was heard again, or whoever needed its room has found another. As long as it is said, the pod's own
//! failure would be taken for somebody else's doing.
//!
//! Source: Kubernetes, `syncStalePodDisruption` of `pkg/controller/disruption`. Other than there, the time is counted from
//! when the controller saw the condition, by its own clock.

use crate::api::pod::Pod;
use crate::time::Duration;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What the pod says of its going.
    pub enum Word {
        /// That it goes, for a reason that is none of its own.
        Goes,
        /// Nothing, or that it does not, or that its kubelet ends it.
        Stays,
    }
}

decision_enum! {
    /// Where it is in its life.
    pub enum Life {
        /// It has not ended, and nobody asked for its end.
        Lives,
        /// It is being deleted, or has ended.
        Ends,
    }
}

decision_enum! {
    /// How long ago it was seen to say so first.
    pub enum Age {
        /// Less than the time in which its end should have been asked for.
        Recent,
        /// Longer.
        Overdue,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// It is left as it is.
        Keep,
        /// It is looked at again when the time is over.
        Wait,
        /// Its condition becomes `False`.
        TakeBack,
    }
}

decision_table! {
    /// Whether it is taken back that a pod goes. Pure and total. Page: `docs/decisions/disruption.md`.
    pub fn stale_disruption(word: Word, pod: Life, time: Age) -> Action, STALE_DISRUPTION;
    stays:  (Stays, _, _)           => Keep,     "nothing is to be taken back";
    goes:   (Goes, Ends, _)         => Keep,     "why it ends stays told as long as it is there";
    recent: (Goes, Lives, Recent)   => Wait,     "its deletion follows, and is on its way";
    stale:  (Goes, Lives, Overdue)  => TakeBack, "who wanted it to go has not ended it, and its next failure is its own";
}

/// After so long the end of a pod that goes should have been asked for. Source: `stalePodDisruptionTimeout`.
pub const STALE_AFTER: Duration = Duration::from_secs(120);

/// The reason for which a kubelet ends a pod by itself. It does so first and tells it then, however long that takes: nobody
/// need ask for the pod's end. Source: `PodReasonTerminationByKubelet`.
const BY_KUBELET: &str = "TerminationByKubelet";

/// Reduces a pod to what [`stale_disruption`] decides on.
pub fn classify(pod: &Pod) -> (Word, Life) {
    let goes = pod.disruption().is_some_and(|said| said.reason != BY_KUBELET);
    let word = if goes { Word::Goes } else { Word::Stays };
    (word, if pod.is_active() { Life::Lives } else { Life::Ends })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_lives_on_is_told_that_it_stays() {
        let check = |says: &str, phase: &str, deleted: Option<&str>, age, want| {
            let meta = json!({"name": "a", "deletionTimestamp": deleted});
            let status = json!({"phase": phase, "conditions": [{"type": "DisruptionTarget", "status": says}]});
            let pod: Pod = serde_json::from_value(json!({"metadata": meta, "status": status})).unwrap();
            let (word, life) = classify(&pod);
            assert_eq!(stale_disruption(word, life, age).then, want, "{says} {phase} {deleted:?} {age:?}");
        };
        check("True", "Running", None, Age::Recent, Action::Wait);
        check("True", "Running", None, Age::Overdue, Action::TakeBack);
        check("True", "Pending", None, Age::Overdue, Action::TakeBack);
        check("True", "Failed", None, Age::Overdue, Action::Keep);
        check("True", "Running", Some("2026-01-01T00:00:00Z"), Age::Overdue, Action::Keep);
        check("False", "Running", None, Age::Overdue, Action::Keep);
    }

    #[test]
    fn what_a_kubelet_says_of_its_pod_is_left_to_it() {
        let said = json!({"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"});
        let pod = json!({"metadata": {"name": "a"}, "status": {"phase": "Running", "conditions": [said]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(classify(&pod), (Word::Stays, Life::Lives));
    }
}
