//! S-young: No controller says that more pods of a set are available than are ready, and have been for as long as the set asks for, as far as it was told.
//!
//! For how long is told by its own clock, and by those of the pods' nodes, however wrong they are. Catches: pods that count
//! before they have proved themselves, so that an update goes on and takes away the last that serve.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::program::{Part, Verb};
use miniku_core::time::{Duration, Wall};

/// Nothing is remembered.
#[derive(Default)]
pub struct Young;

/// From a decision to its request, and what a clock that is looked at twice may differ.
const SLACK: Duration = Duration::from_secs(1);

/// Whether a pod has been ready for so long. One that is ready since a time to come may have been for any time.
fn has_served(pod: &Pod, wall: Wall, least: Duration) -> bool {
    let ready = pod.status.conditions.iter().find(|one| one.kind == "Ready" && one.status == "True");
    let since = ready.and_then(|ready| ready.last_transition_time).map(Time::wall);
    since.is_some_and(|since| since > wall || wall.since(since) + SLACK >= least)
}

/// How many pods a set says are available, and for how many seconds they are to have been ready.
fn numbers(set: &Object) -> (u64, u64) {
    let given = |number: Option<i32>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
    if let Some(set) = set.get::<ReplicaSet>() {
        return (given(set.status.available_replicas), given(set.spec.min_ready_seconds));
    }
    let said = if set.kind() == Kind::DaemonSet { "numberAvailable" } else { "availableReplicas" };
    let number = |path: &[&str]| set.at(path).and_then(|number| number.as_u64()).unwrap_or(0);
    (number(&["status", said]), number(&["spec", "minReadySeconds"]))
}

fn wrong(told: Told<'_>, wall: Wall, set: &Object) -> Option<String> {
    let (said, least) = numbers(set);
    if said == 0 || least == 0 {
        return None;
    }
    let (meta, wait) = (set.meta(), Duration::from_secs(least));
    let pods = told.owned(&meta.uid, Kind::Pod, &meta.namespace).filter_map(Object::get::<Pod>);
    let serve = pods.filter(|pod| has_served(pod, wall, wait)).count() as u64;
    (said > serve).then(|| format!("says that {said} pods are available, and {serve} have been ready for {least} s"))
}

impl Checker for Young {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Sent { who, request, .. } = fact
            && let (Role::Workloads, Verb::Update { object, part: Part::Status }) = (who.role, &request.verb)
            && matches!(
                object.kind(),
                Kind::DaemonSet | Kind::StatefulSet | Kind::ReplicaSet | Kind::ReplicationController
            )
            && let Some(wrong) = wrong(truth.told(who), truth.wall(&who.name), object)
        {
            return Err(Broken::by(format!("{} {wrong}", object.key())).with([object]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_on_pods_that_have_not_proved_themselves() {
        for (kind, field) in [("DaemonSet", "numberAvailable"), ("ReplicaSet", "availableReplicas")] {
            for (ready_for, least, said, fires) in
                [(9, 10, 1, false), (5, 10, 1, true), (5, 10, 0, false), (5, 0, 1, false), (-60, 10, 1, false)]
            {
                let (mut story, controller) = (Story::<Young>::new(), who(Role::Workloads, "workloads"));
                let since = Time::of(Wall::from_secs(story.truth.wall("workloads").secs() - ready_for)).to_string();
                let mut pod = pod("a", "n", "Running");
                pod["metadata"]["ownerReferences"] =
                    json!([{"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": "w", "controller": true}]);
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
                story.shows(&controller, pod).unwrap();
                let set = crate::plan::object(json!({"apiVersion": "apps/v1", "kind": kind,
                    "metadata": {"name": "web", "uid": "w"}, "status": {field: said},
                    "spec": {"minReadySeconds": least, "selector": {}, "template": {}}}));
                let sent = story.sends(&controller, Verb::Update { object: set, part: Part::Status });
                assert_eq!(sent.is_err(), fires, "{kind}: {said} that serve for {ready_for} of {least}: {sent:?}");
            }
        }
    }
}
