//! What a replica set wants, and what its status says.

use crate::api::meta::Time;
use crate::api::object::{Object, Resource};
use crate::api::pod::Pod;
use crate::api::replicaset::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use crate::controllers::replicaset::keep::superfluous;
use crate::controllers::replicaset::scale::{Scale, View, scale};
use crate::controllers::workload::{BURST, New, Plan, Scene, Victim};
use crate::reasons::{FINISHED, MISSING, SURPLUS};
use crate::time::Duration;

/// What a set wants: as many active pods as it says, and few finished ones. After failures new ones are made later.
///
/// With its status, if that is another than before.
pub fn plan(scene: &Scene<'_>, set: &ReplicaSet) -> (Plan, Option<ReplicaSetStatus>) {
    let replace_at = scene.failures.replace_at(set.wanted());
    let pods: Vec<(&Object, &Pod)> = scene.children.iter().filter_map(|one| Some((*one, one.get()?))).collect();
    let is_counted = |pod: &Pod| {
        pod.is_active()
            || planted!(CountsFinished) && !pod.metadata.is_deleting()
            || planted!(CountsTerminating) && !pod.status.phase.is_final()
    };
    let active: Vec<&Pod> = pods.iter().map(|(_, pod)| *pod).filter(|pod| is_counted(pod)).collect();
    let counts = |active: usize| format!("{active} of {} are active", set.wanted());
    let mut plan = Plan::default();
    match scale(&View { wanted: set.wanted(), active: &active }) {
        Scale::Keep => {}
        Scale::Create(more) => {
            if replace_at > scene.now.mono {
                sometimes!(ReplacedLater);
            }
            plan.create_after = Some(replace_at);
            let more = more + usize::from(planted!(OneTooMany));
            let pod = set.spec.template.pod().into_object();
            let because = MISSING.because().as_seen(counts(active.len()));
            // While others are on their way none is asked for; one tells that some are missing.
            let most = if scene.awaits { 1 } else { BURST };
            plan.create = (0..more.min(most)).map(|_| New::drawn(pod.clone(), "", because.clone())).collect();
        }
        Scale::Delete(victims) => {
            for pod in victims {
                if pod.is_ready() {
                    sometimes!(ReadyVictim);
                }
                let because = SURPLUS.because().as_seen(counts(active.len()));
                plan.delete.push(Victim::of_pod(&pod.metadata, because).or_another());
            }
        }
    }
    let is_left = |pod: &&Pod| pod.status.phase.is_final() && !pod.metadata.is_deleting();
    let finished: Vec<&Pod> = pods.iter().map(|(_, pod)| *pod).filter(is_left).collect();
    let left = superfluous(set.wanted(), &finished).into_iter();
    plan.delete.extend(left.map(|pod| Victim::of_pod(&pod.metadata, FINISHED.because())));
    // Nothing is missing any more, so nothing is refused.
    let refused = scene.refused.filter(|_| !plan.create.is_empty());
    let (status, look_again) = counted(scene, set, &active, refused);
    plan.look_at(look_again.filter(|_| !planted!(AvailabilityNotAwaited)).map(|after| scene.now.mono + after));
    let is_news = status != set.status || planted!(StatusEveryTime);
    (plan, is_news.then_some(status))
}

/// What a set's status says of its active pods, and after which time that changes by itself.
fn counted(
    scene: &Scene<'_>,
    set: &ReplicaSet,
    active: &[&Pod],
    refused: Option<&str>,
) -> (ReplicaSetStatus, Option<Duration>) {
    let min_ready = Duration::from_secs(u64::try_from(set.spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0));
    let labels = &set.spec.template.metadata.labels;
    let (mut labeled, mut ready, mut available, mut look_again) = (0, 0, 0, None::<Duration>);
    for pod in active {
        let has = &pod.metadata.labels;
        let bears = has == labels || labels.iter().all(|(key, value)| has.get(key) == Some(value));
        labeled += usize::from(bears || planted!(LabelsNotCompared));
        let is_ready = pod.is_ready();
        ready += usize::from(is_ready);
        let ready_for = scene.readiness.ready_for(scene.now, pod);
        match ready_for.map(|ready_for| min_ready.saturating_sub(ready_for)).filter(|left| !left.is_zero()) {
            Some(left) => look_again = Some(look_again.map_or(left, |earlier| earlier.min(left))),
            None => available += usize::from(is_ready || planted!(AvailableTooEarly)),
        }
    }
    let count = |pods: usize| i32::try_from(pods).unwrap_or(i32::MAX);
    let some = |pods: usize| (pods > 0).then_some(count(pods));
    let mut status = ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: some(labeled),
        ready_replicas: some(ready),
        available_replicas: some(available),
        observed_generation: set.metadata.generation,
        conditions: set.status.conditions.clone(),
        rest: set.status.rest.clone(),
    };
    let failing = status.conditions.iter().position(|one| one.kind == "ReplicaFailure");
    match (refused, failing) {
        (Some(message), None) => status.conditions.push(ReplicaSetCondition {
            kind: "ReplicaFailure".into(),
            status: "True".into(),
            last_transition_time: Some(Time::of(scene.now.wall)),
            reason: "FailedCreate".into(),
            message: message.into(),
            ..Default::default()
        }),
        (None, Some(_)) if planted!(FailureConditionStays) => {}
        (None, Some(at)) => {
            status.conditions.remove(at);
        }
        // Each attempt is refused in other words, of another pod: the first of them stand.
        // Source: Kubernetes, `pkg/controller/replicaset`, `calculateStatus`.
        (Some(_), Some(_)) | (None, None) => {}
    }
    (status, look_again)
}
