//! How soon a pod that failed is replaced.

use crate::api::meta::Time;
use crate::api::object::Object;
use crate::api::pod::{Pod, PodPhase};
use crate::client::Backoff;
use crate::time::{Duration, Instant, Now, Wall};

/// How soon failed pods are replaced: at once, but later each time they all have failed again.
///
/// The delays are MiniKu's for starts; Kubernetes' sets restart in place, with delays of their own.
const REPLACE: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60) };

/// Without a failure for so long, the next is the first again. Source: Kubernetes, `MaxContainerBackOff` times two.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Who is taken away so soon after it was made has hardly run.
const SOON: Duration = Duration::from_secs(10);

/// What is remembered of the failures of an owner's pods. Lost with the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// A pod of the set failed.
    pub fn add(&mut self, now: Instant) {
        if self.is_forgiven(now) {
            self.count = 0;
        }
        *self = Failures { count: self.count.saturating_add(1), last: now };
    }

    /// Whether the next failure is the first again.
    pub fn is_forgiven(&self, now: Instant) -> bool {
        now.since(self.last) >= FORGIVEN_AFTER
    }

    /// Takes in a change of a child.
    pub fn notice(&mut self, now: Now, old: Option<&Object>, new: Option<&Object>, asked_for: bool) {
        let (old, new) = (old.and_then(Object::get::<Pod>), new.and_then(Object::get::<Pod>));
        let Some(old) = old else { return };
        // Who has done its part ends the row of those that have not.
        let has_succeeded = |pod: &Pod| pod.status.phase == PodPhase::Succeeded;
        if new.is_some_and(has_succeeded) && !has_succeeded(old) {
            *self = Failures::default();
        }
        let leaves = new.is_none_or(|new| new.metadata.is_deleting());
        // Whoever took it away before it ran, or soon after, may go on doing so: it is replaced like one that failed.
        if leaves
            && !asked_for
            && !planted!(TakenAwayAtOnce)
            && old.is_active()
            && (old.status.phase == PodPhase::Pending || goes_soon(now.wall, old, new))
        {
            self.add(now.mono);
        }
        // What is told to stop and ends with an error has not failed.
        let has_failed = |pod: &Pod| pod.status.phase == PodPhase::Failed;
        let was_told = |pod: &Pod| pod.metadata.is_deleting() && !planted!(ToldToStopFails);
        if new.is_some_and(|new| has_failed(new) && !was_told(new)) && !has_failed(old) {
            self.add(now.mono);
        }
    }

    /// When new pods may be made. One failure among four replicas is replaced at once; four are after one second.
    pub fn replace_at(&self, wanted: usize) -> Instant {
        let rounds = self.count / u32::try_from(wanted.max(1)).unwrap_or(u32::MAX);
        if planted!(ReplacesAtOnce) {
            return self.last;
        }
        self.last + REPLACE.delay(if wanted == 1 { rounds.saturating_sub(1) } else { rounds })
    }
}

/// Whether a pod is told to go, or is gone, soon after it was made. When it was told the API server says, by the clock by
/// which it was made; of one that is gone at once it counts when that is seen.
fn goes_soon(now: Wall, old: &Pod, new: Option<&Pod>) -> bool {
    let told = new.and_then(|new| {
        let grace = new.metadata.deletion_grace_period_seconds?.unsigned_abs();
        Some(new.metadata.deletion_timestamp?.wall() - Duration::from_secs(grace))
    });
    let made = old.metadata.creation_timestamp.map(Time::wall);
    made.is_some_and(|made| told.unwrap_or(now).since(made) < SOON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::json;

    fn at(secs: u64) -> Instant {
        Instant::default() + Duration::from_secs(secs)
    }

    #[test]
    fn a_crash_loop_slows_down_and_a_single_crash_does_not() {
        let after = |failures: u32, wanted| {
            let mut all = Failures::default();
            (0..failures).for_each(|_| all.add(at(100)));
            all.replace_at(wanted).since(at(100)).as_secs()
        };
        assert_eq!((after(1, 4), after(3, 4), after(4, 4), after(8, 4), after(400, 4)), (0, 0, 1, 2, 60));
        assert_eq!((after(1, 1), after(2, 1), after(3, 1)), (0, 1, 2));
        let mut long_ago = Failures { count: 9, last: at(100) };
        long_ago.add(at(701));
        assert_eq!(long_ago.replace_at(1), at(701));
    }

    #[test]
    fn who_is_taken_away_before_it_runs_or_soon_after_has_failed() {
        let time = |secs| Some(Time::of(Wall::from_secs(secs)));
        // Made at 100 s; seen to go at some time, and told to at another, if it is not gone at once.
        let counts = |phase: &str, seen: i64, told: Option<i64>, asked_for: bool| {
            let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": []}, "status": {"phase": phase}});
            let pod = Object::from_value(Kind::Pod, pod).unwrap();
            let old = pod.with_meta(|meta| meta.creation_timestamp = time(100));
            let new = told.map(|told| {
                old.with_meta(|meta| {
                    meta.deletion_timestamp = time(told + 30);
                    meta.deletion_grace_period_seconds = Some(30);
                })
            });
            let now = Now { mono: at(7), wall: Wall::from_secs(seen) };
            let mut failures = Failures::default();
            failures.notice(now, Some(&old), new.as_ref(), asked_for);
            failures.count == 1
        };
        assert!(counts("Pending", 900, Some(900), false) && counts("Pending", 900, None, false));
        assert!(counts("Running", 105, Some(105), false) && counts("Running", 105, None, false));
        assert!(!counts("Running", 110, Some(110), false) && !counts("Running", 110, None, false));
        assert!(counts("Running", 900, Some(105), false), "whatever our clock says");
        assert!(!counts("Running", 105, Some(105), true) && !counts("Succeeded", 105, Some(105), false));
    }
}
