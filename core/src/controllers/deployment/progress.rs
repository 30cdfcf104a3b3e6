//! What is said of a rollout: whether it goes on, has ended, or takes too long.
//!
//! Source: Kubernetes documentation, "Deployments", deployment status; `pkg/controller/deployment`, `progress.go`.

use crate::api::deployment::{Deployment, DeploymentCondition, DeploymentStatus};
use crate::api::meta::Time;
use crate::time::{Duration, Now};
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whether a rollout may take too long.
    pub enum Deadline {
        /// It may: `progressDeadlineSeconds` is set.
        Set,
        /// It may take for ever.
        Unlimited,
    }
}

decision_enum! {
    /// What was said before.
    pub enum Before {
        /// That the newest template is rolled out, and no pod of another is left.
        Ended,
        /// Anything else.
        Underway,
    }
}

decision_enum! {
    /// How it stands now.
    pub enum Rollout {
        /// All pods are of the newest template, and available.
        Complete,
        /// More pods are new, ready or available, or fewer are old, than before.
        Moving,
        /// There was no progress for longer than the deadline.
        Overdue,
        /// There was none for a while.
        Waiting,
    }
}

decision_enum! {
    /// What the condition `Progressing` is.
    pub enum Action {
        /// As it was.
        Keep,
        /// There is none.
        Drop,
        /// `True`, `NewReplicaSetAvailable`.
        SayComplete,
        /// `True`, `ReplicaSetUpdated`.
        SayMoving,
        /// `False`, `ProgressDeadlineExceeded`.
        SayOverdue,
    }
}

decision_table! {
    /// What the condition `Progressing` is. Pure and total. Page: `docs/decisions/progress.md`.
    pub fn progress(deadline: Deadline, before: Before, rollout: Rollout) -> Action, PROGRESS;
    unlimited: (Unlimited, _,        _)        => Drop,        "nobody waits for it";
    ended:     (Set,       Ended,    _)        => Keep,        "what becomes of its pods later is no rollout";
    complete:  (Set,       Underway, Complete) => SayComplete, "the last pod is there";
    moving:    (Set,       Underway, Moving)   => SayMoving,   "the deadline begins anew";
    overdue:   (Set,       Underway, Overdue)  => SayOverdue,  "somebody has to look; it is tried on";
    waiting:   (Set,       Underway, Waiting)  => Keep,        "no news is no failure yet";
}

/// The condition's type.
pub const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// The condition `Progressing` of a status, if it has one.
pub fn progressing(status: &DeploymentStatus) -> Option<&DeploymentCondition> {
    status.conditions.iter().find(|one| one.kind == PROGRESSING)
}

/// Puts what is to be said of a rollout into `status`, which counts its pods as they are; and tells how long it is until
/// the deadline, if nothing happens before.
pub fn judge(now: Now, deployment: &Deployment, of: &str, status: &mut DeploymentStatus) -> Option<Duration> {
    let said = progressing(&deployment.status);
    let reason = said.map_or("", |one| one.reason.as_str());
    let no_old = status.replicas == status.updated_replicas;
    let before = if no_old && reason == AVAILABLE { Before::Ended } else { Before::Underway };
    let left = time_left(now, deployment);
    let rollout = match () {
        () if is_complete(deployment, status) => Rollout::Complete,
        () if has_moved(&deployment.status, status) => Rollout::Moving,
        () if left == Some(Duration::ZERO) && !planted!(DeadlineIgnored) => Rollout::Overdue,
        () => Rollout::Waiting,
    };
    let deadline = if deployment.progress_deadline().is_some() { Deadline::Set } else { Deadline::Unlimited };
    let row = progress(deadline, before, rollout);
    match row.then {
        Action::Keep => {}
        Action::Drop => status.conditions.retain(|one| one.kind != PROGRESSING),
        Action::SayComplete => {
            set(now, status, PROGRESSING, "True", AVAILABLE, format!("{of} has successfully progressed."));
        }
        Action::SayMoving => {
            // Said again at each step, so that the deadline counts from the last.
            let since = said.filter(|one| one.status == "True").and_then(|one| one.last_transition_time);
            status.conditions.retain(|one| one.kind != PROGRESSING);
            set(now, status, PROGRESSING, "True", "ReplicaSetUpdated", format!("{of} is progressing."));
            if let Some(last) = status.conditions.last_mut() {
                last.last_transition_time = since.or(last.last_transition_time);
            }
        }
        Action::SayOverdue => {
            sometimes!(RolloutOverdue);
            set(now, status, PROGRESSING, "False", TIMED_OUT, format!("{of} has timed out progressing."));
        }
    }
    let waits = row.then == Action::Keep && rollout == Rollout::Waiting && before == Before::Underway;
    left.filter(|left| waits && !left.is_zero())
}

/// How long it is until the deadline; nothing once it is over. A rollout of which nothing was said has none.
fn time_left(now: Now, deployment: &Deployment) -> Option<Duration> {
    let said = progressing(&deployment.status).filter(|one| one.reason != AVAILABLE && one.reason != PAUSED)?;
    if said.reason == TIMED_OUT {
        return Some(Duration::ZERO);
    }
    let deadline = Duration::from_secs(deployment.progress_deadline()?);
    // A second more: times in objects are cut to seconds.
    Some((deadline + Duration::from_secs(1)).saturating_sub(now.wall.since(said.last_update_time?.wall())))
}

fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let all = |number: Option<i32>| i64::from(number.unwrap_or(0)) == deployment.wanted();
    all(status.updated_replicas) && all(status.replicas) && all(status.available_replicas)
}

fn has_moved(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    let number = |number: Option<i32>| number.unwrap_or(0);
    let old = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(now.updated_replicas) > number(before.updated_replicas)
        || old(now) < old(before)
        || number(now.ready_replicas) > number(before.ready_replicas)
        || number(now.available_replicas) > number(before.available_replicas)
}

/// Says that a deployment is paused, or goes on; a rollout that is overdue stays so.
pub fn note_pause(now: Now, deployment: &Deployment, status: &mut DeploymentStatus) {
    let reason = progressing(&deployment.status).map_or("", |one| one.reason.as_str());
    if deployment.progress_deadline().is_none() || reason == TIMED_OUT {
        return;
    }
    match (deployment.spec.paused, reason == PAUSED) {
        (true, false) => set(now, status, PROGRESSING, "Unknown", PAUSED, "Deployment is paused".into()),
        (false, true) if planted!(ResumeNotSaid) => {}
        (false, true) => set(now, status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".into()),
        _ => {}
    }
}

/// Says something. What was said before in the same word is not said again, and `lastTransitionTime` is that of the last
/// change of `state`.
pub fn set(now: Now, status: &mut DeploymentStatus, kind: &str, state: &str, reason: &str, message: String) {
    let before = status.conditions.iter().find(|one| one.kind == kind);
    if before.is_some_and(|one| one.status == state && one.reason == reason) {
        return;
    }
    let at = Some(Time::of(now.wall));
    let same = before.filter(|one| one.status == state && !planted!(SaidAnew));
    let since = same.and_then(|one| one.last_transition_time);
    status.conditions.retain(|one| one.kind != kind);
    status.conditions.push(DeploymentCondition {
        kind: kind.into(),
        status: state.into(),
        last_update_time: at,
        last_transition_time: since.or(at),
        reason: reason.into(),
        message: message.into(),
        ..Default::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;
    use serde_json::json;

    fn at(secs: i64) -> Now {
        Now { wall: Wall::from_secs(secs), ..Now::default() }
    }

    /// `[replicas, updated, ready, available]`.
    fn counts(numbers: [i32; 4]) -> serde_json::Value {
        json!({"replicas": numbers[0], "updatedReplicas": numbers[1], "readyReplicas": numbers[2], "availableReplicas": numbers[3]})
    }

    #[test]
    fn a_rollout_is_told_as_it_goes() {
        let mut deployment: Deployment =
            serde_json::from_value(json!({"spec": {"replicas": 2, "progressDeadlineSeconds": 10}})).unwrap();
        let mut check = |secs, numbers, want: &str, again: Option<u64>| {
            let mut status: DeploymentStatus = serde_json::from_value(counts(numbers)).unwrap();
            status.conditions.clone_from(&deployment.status.conditions);
            let left = judge(at(secs), &deployment, "it", &mut status);
            let said = progressing(&status).map_or("", |one| one.reason.as_str()).to_owned();
            assert_eq!((said.as_str(), left.map(|left| left.as_secs())), (want, again), "at {secs}");
            deployment.status = status;
        };
        check(1, [0, 0, 0, 0], "", None);
        check(2, [2, 2, 0, 0], "ReplicaSetUpdated", None);
        check(5, [2, 2, 0, 0], "ReplicaSetUpdated", Some(8));
        check(7, [2, 2, 1, 1], "ReplicaSetUpdated", None);
        check(17, [2, 2, 1, 1], "ReplicaSetUpdated", Some(1));
        check(18, [2, 2, 1, 1], "ProgressDeadlineExceeded", None);
        check(90, [2, 2, 1, 1], "ProgressDeadlineExceeded", None);
        check(91, [2, 2, 2, 2], "NewReplicaSetAvailable", None);
        check(92, [2, 2, 1, 1], "NewReplicaSetAvailable", None);
        check(93, [3, 1, 1, 1], "NewReplicaSetAvailable", None);
        check(94, [3, 2, 1, 1], "ReplicaSetUpdated", None);
    }

    #[test]
    fn one_that_may_take_for_ever_is_not_judged() {
        let mut deployment: Deployment =
            serde_json::from_value(json!({"spec": {"progressDeadlineSeconds": i32::MAX}})).unwrap();
        let mut status = DeploymentStatus::default();
        set(at(1), &mut status, PROGRESSING, "True", "x", String::new());
        deployment.status = status.clone();
        assert_eq!(judge(at(1000), &deployment, "it", &mut status), None);
        assert!(status.conditions.is_empty());
    }

    #[test]
    fn a_pause_is_told_once() {
        let mut deployment: Deployment = serde_json::from_value(json!({"spec": {"paused": true}})).unwrap();
        let mut status = DeploymentStatus::default();
        note_pause(at(1), &deployment, &mut status);
        deployment.status = status.clone();
        note_pause(at(2), &deployment, &mut status);
        assert_eq!((status.conditions.len(), &status), (1, &deployment.status));
        deployment.spec.paused = false;
        note_pause(at(3), &deployment, &mut status);
        let said = progressing(&status).unwrap();
        assert_eq!((said.reason.as_str(), said.status.as_str()), ("DeploymentResumed", "Unknown"));
        assert_eq!(said.last_transition_time, Some(Time::of(Wall::from_secs(1))));
    }
}
