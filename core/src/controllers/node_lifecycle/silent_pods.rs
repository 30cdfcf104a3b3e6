//! What becomes of a pod whose node is silent, or has a taint that sends pods away.

use crate::api::meta::Time;
use crate::api::pod::Pod;
use crate::controllers::node_lifecycle::node_health::Hearing;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whether the pod puts up with the taints of its node.
    pub enum Stay {
        /// It does, or there are none.
        Tolerates,
        /// It does not, or not for any longer.
        Over,
    }
}

decision_enum! {
    /// Where a pod is in its life.
    pub enum Standing {
        /// It has not ended, and nobody asked for its end.
        Active,
        /// Its deletion was asked for.
        Leaving,
        /// Its containers have ended for good.
        Finished,
    }
}

decision_enum! {
    /// What the pod's condition `Ready` says.
    pub enum Serving {
        /// `True`.
        Ready,
        /// Anything else.
        NotReady,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// It is left as it is.
        Keep,
        /// `Ready` becomes `False`, so that no service sends it anything.
        SayNotReady,
        /// Its condition `DisruptionTarget` says why, and then it is deleted, with its own grace period, so that its
        /// controller replaces it.
        Evict,
    }
}

decision_table! {
    /// What becomes of a pod on such a node. Pure and total. Page: `docs/decisions/silent_pods.md`.
    pub fn silent_pod(node: Hearing, stay: Stay, pod: Standing, ready: Serving) -> Action, SILENT_POD;
    finished: (_, _, Finished, _)                             => Keep,        "it has done its work, wherever it was";
    evict:    (_, Over, Active, _)                            => Evict,       "it does not put up with its node any longer";
    heard:    (Heard, Tolerates, Active, _)                   => Keep,        "its kubelet takes care of it";
    going:    (Heard, _, Leaving, _)                          => Keep,        "its kubelet sees to its end";
    mark:     (Silent, Tolerates, Active, Ready)              => SayNotReady, "nobody knows whether it still serves";
    leaving:  (Silent, _, Leaving, Ready)                     => SayNotReady, "nobody knows whether it still serves";
    marked:   (Silent, Tolerates, Active, NotReady)           => Keep,        "its node may come back";
    evicted:  (Silent, _, Leaving, NotReady)                  => Keep,        "it goes when its node confirms it, or is deleted";
}

/// The view of a pod that the decision looks at.
pub fn classify(pod: &Pod) -> (Standing, Serving) {
    let standing = match () {
        () if pod.status.phase.is_final() => Standing::Finished,
        () if pod.metadata.is_deleting() => Standing::Leaving,
        () => Standing::Active,
    };
    (standing, if pod.is_ready() { Serving::Ready } else { Serving::NotReady })
}

/// The reason of a condition that we have made false.
pub const REASON: &str = "NodeNotReady";

/// Makes `Ready` false, if it is true.
pub fn say_not_ready(pod: &mut Pod, at: Time) {
    for ready in &mut pod.status.conditions {
        if ready.kind == "Ready" && ready.status == "True" {
            ready.status = "False".into();
            ready.reason = REASON.into();
            ready.message = "Kubelet stopped posting node status.".into();
            ready.last_transition_time = Some(at);
        }
    }
}

/// Says that the pod goes for a taint, so that its end is not taken for a failure of its own. Whether that was said already.
///
/// Source: Kubernetes documentation, "Pod disruption conditions"; `pkg/controller/tainteviction`.
pub fn say_disrupted(pod: &mut Pod, at: Time) -> bool {
    pod.say_disrupted(at, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::api::object::Object;
    use crate::time::Wall;
    use serde_json::json;

    fn pod(phase: &str, ready: &str, deleting: bool) -> Pod {
        let deletion = if deleting { json!("2026-01-01T00:00:00Z") } else { json!(null) };
        let value = json!({"metadata": {"name": "a", "deletionTimestamp": deletion},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
        Object::from_value(Kind::Pod, value).unwrap().get::<Pod>().unwrap().clone()
    }

    #[test]
    fn a_pod_waits_with_its_node_and_then_goes() {
        let check = |hearing, stay, phase, ready, deleting, want| {
            let (standing, serving) = classify(&pod(phase, ready, deleting));
            let then = silent_pod(hearing, stay, standing, serving).then;
            assert_eq!(then, want, "{hearing:?} {stay:?} {phase} {ready} {deleting}");
        };
        check(Hearing::Heard, Stay::Tolerates, "Running", "True", false, Action::Keep);
        check(Hearing::Heard, Stay::Over, "Running", "True", false, Action::Evict);
        check(Hearing::Heard, Stay::Over, "Running", "True", true, Action::Keep);
        check(Hearing::Silent, Stay::Tolerates, "Running", "True", false, Action::SayNotReady);
        check(Hearing::Silent, Stay::Tolerates, "Running", "False", false, Action::Keep);
        check(Hearing::Silent, Stay::Over, "Running", "True", false, Action::Evict);
        check(Hearing::Silent, Stay::Over, "Pending", "False", false, Action::Evict);
        check(Hearing::Silent, Stay::Over, "Running", "False", true, Action::Keep);
        check(Hearing::Silent, Stay::Over, "Succeeded", "False", false, Action::Keep);
        check(Hearing::Silent, Stay::Over, "Failed", "True", true, Action::Keep);
    }

    #[test]
    fn why_it_goes_is_said_once() {
        let mut going = pod("Running", "True", false);
        let at = Time::of(Wall::from_secs(9));
        assert!(!say_disrupted(&mut going, at) && say_disrupted(&mut going.clone(), at));
        assert_eq!(going.status.conditions.len(), 2);
    }

    #[test]
    fn a_mark_is_made_once() {
        let mut marked = pod("Running", "True", false);
        say_not_ready(&mut marked, Time::of(Wall::from_secs(9)));
        assert!(!marked.is_ready());
        let again = marked.clone();
        say_not_ready(&mut marked, Time::of(Wall::from_secs(10)));
        assert_eq!(marked, again);
    }
}
