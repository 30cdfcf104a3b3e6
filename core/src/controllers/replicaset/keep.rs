//! Which finished pods stay to be looked at, and how soon a failed one is replaced.

use crate::api::pod::Pod;
use crate::controllers::replicaset::BY;
use crate::controllers::workload::failures::{FORGIVEN_AFTER, Failures};
use crate::pages::Page;
use crate::time::Instant;
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
