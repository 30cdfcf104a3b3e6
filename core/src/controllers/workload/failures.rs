//! How soon a pod that failed is replaced.

use crate::api::object::Object;
use crate::api::pod::{Pod, PodPhase};
use crate::client::Backoff;
use crate::time::{Duration, Instant};

/// How soon failed pods are replaced: at once, but later each time they all have failed again.
///
/// The delays are MiniKu's for starts; Kubernetes' sets restart in place, with delays of their own.
const REPLACE: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60) };

/// Without a failure for so long, the next is the first again. Source: Kubernetes, `MaxContainerBackOff` times two.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

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
    pub fn notice(&mut self, now: Instant, old: Option<&Object>, new: Option<&Object>, asked_for: bool) {
        let (old, new) = (old.and_then(Object::get::<Pod>), new.and_then(Object::get::<Pod>));
        let Some(old) = old else { return };
        let leaves = new.is_none_or(|new| new.metadata.is_deleting());
        // Whoever took it away before it ran may go on doing so: it is replaced like one that failed.
        if leaves
            && !asked_for
            && !planted!(TakenAwayAtOnce)
            && old.is_active()
            && old.status.phase == PodPhase::Pending
        {
            self.add(now);
        }
        // What is told to stop and ends with an error has not failed.
        let has_failed = |pod: &Pod| pod.status.phase == PodPhase::Failed;
        if new.is_some_and(|new| has_failed(new) && !new.metadata.is_deleting()) && !has_failed(old) {
            self.add(now);
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
