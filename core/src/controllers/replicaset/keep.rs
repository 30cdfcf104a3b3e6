//! Which finished pods stay to be looked at, and how soon a failed one is replaced.

use crate::api::pod::Pod;
use crate::client::Backoff;
use crate::controllers::replicaset::BY;
use crate::pages::Page;
use crate::time::{Duration, Instant};
use std::cmp::Reverse;

/// The finished pods that a set does not keep: all but the newest, as many as it wants running ones.
///
/// Two wanted, three failed: the oldest of the three goes. None wanted: all go. Kubernetes keeps up to 12,500 in the
/// whole cluster; a set whose pods are replaced instead of restarted would fill that in a day.
pub fn superfluous<'a>(wanted: usize, finished: &[&'a Pod]) -> Vec<&'a Pod> {
    let mut newest_first = finished.to_vec();
    newest_first.sort_by_key(|pod| (Reverse(pod.metadata.creation_timestamp), &pod.metadata.name));
    newest_first.split_off(wanted.min(newest_first.len()))
}

/// How soon failed pods are replaced: at once, but later each time they all have failed again.
///
/// The delays are MiniKu's for starts; Kubernetes' sets restart in place, with delays of their own.
const REPLACE: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60) };

/// Without a failure for so long, the next is the first again. Source: Kubernetes, `MaxContainerBackOff` times two.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// What a set remembers of its pods' failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// A pod of the set failed.
    pub fn add(&mut self, now: Instant) {
        if now.since(self.last) >= FORGIVEN_AFTER {
            self.count = 0;
        }
        *self = Failures { count: self.count.saturating_add(1), last: now };
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

/// The page of finished pods and their successors, computed.
pub fn page() -> Page {
    let rows = (1..=9).chain([12, 16, 20, 24, 28, 32]).map(|failed: u32| {
        let delay = |wanted| {
            let mut failures = Failures::default();
            (0..failed).for_each(|_| failures.add(Instant::default()));
            match failures.replace_at(wanted).since(Instant::default()).as_secs() {
                0 => "at once".into(),
                secs => format!("{secs} s"),
            }
        };
        vec![failed.to_string(), delay(1), delay(4)]
    });
    Page::new("keep", "Which finished pods a set keeps, and how soon a failed one is replaced", BY)
        .says(
            "Finished pods stay to be looked at: the newest, as many as the set wants running ones. Older ones are \
             deleted. A set of 0 keeps none.",
        )
        .says(format!(
            "A failed pod is replaced at once, but later each time all of the set's pods have failed again. After {} s \
             without a failure the next is the first again. For sets that want so many pods:",
            FORGIVEN_AFTER.as_secs()
        ))
        .lists(file!(), &["pods failed in a row", "replaced after, of 1", "of 4"], rows)
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

    #[test]
    fn the_newest_finished_pods_are_kept() {
        let pod = |name: &str, secs| {
            let mut pod = Pod::default();
            pod.metadata.name = name.into();
            pod.metadata.creation_timestamp = Some(crate::api::meta::Time::of(crate::time::Wall::from_secs(secs)));
            pod
        };
        let (a, b, c) = (pod("a", 1), pod("b", 3), pod("c", 2));
        let names = |pods: Vec<&Pod>| pods.iter().map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(superfluous(2, &[&a, &b, &c])), ["a"]);
        assert_eq!(names(superfluous(0, &[&a, &b])), ["b", "a"]);
        assert!(superfluous(5, &[&a]).is_empty());
    }
}
