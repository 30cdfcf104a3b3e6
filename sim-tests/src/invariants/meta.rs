//! S-meta: Uid and creation time of an object never change, and no uid comes again; its deletion is never taken back nor put off; its generation never falls, and that of workloads and budgets counts just the changes of their specs, by whatever part these are written.
//!
//! Catches: an API server that takes from a client what only it may set.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::text::Text;
use serde_json::Value;
use std::collections::BTreeSet;

/// Whose generations are looked at beside those of replica sets.
const COUNTED: &[Kind] =
    &[Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet, Kind::Job, Kind::CronJob, Kind::PodDisruptionBudget];

/// The uids of objects that are gone.
#[derive(Default)]
pub struct Meta {
    gone: BTreeSet<Text>,
}

impl Checker for Meta {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        let (before, after) = match (&change.old, &change.new) {
            (Some(before), Some(after)) => (before, after),
            (Some(old), None) => {
                self.gone.insert(old.meta().uid.clone());
                return Ok(());
            }
            (None, Some(new)) if self.gone.contains(&new.meta().uid) => {
                return Err(Broken::by(format!("{} has a uid that was another's", change.key)).with([new]));
            }
            (None, _) => return Ok(()),
        };
        let (old, new) = (before.meta(), after.meta());
        let put_off = match (old.deletion_timestamp, new.deletion_timestamp) {
            (Some(old), Some(new)) => new > old,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let respecified = match (before.get::<ReplicaSet>(), after.get::<ReplicaSet>()) {
            (Some(was), Some(is)) => Some(was.spec != is.spec),
            _ if COUNTED.contains(&change.key.kind) && !before.is_same_copy(after) => {
                let spec = |object: &Object| object.to_value().get_mut("spec").map(Value::take);
                Some(spec(before) != spec(after))
            }
            _ => None,
        };
        let miscounted = respecified.is_some_and(|respecified| {
            // A mark of deletion counts where there is a count, as in Kubernetes' `BeforeDelete`.
            let marked = old.generation.is_some() && old.is_deleting() != new.is_deleting();
            old.generation.unwrap_or(0) + i64::from(respecified || marked) != new.generation.unwrap_or(0)
        });
        let wrong = match () {
            _ if old.uid != new.uid => "uid changed",
            _ if old.creation_timestamp != new.creation_timestamp => "creation time changed",
            _ if put_off => "deletion was put off",
            _ if old.generation > new.generation => "generation fell",
            _ if miscounted => "generation does not count the changes of its spec",
            _ => return Ok(()),
        };
        Err(Broken::by(format!("{}: {wrong}", change.key)).with([before, after]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;

    #[test]
    fn fires_on_a_uid_that_comes_again() {
        let mut story = Story::<Meta>::new();
        let object = story.put(pod("a", "n", "Running")).unwrap().new.unwrap();
        story.write(&object, true).unwrap();
        assert!(story.put(pod("a", "n", "Running")).is_err());
    }

    #[test]
    fn fires_on_a_generation_that_counts_something_else() {
        for kind in ["ReplicaSet", "Deployment"] {
            let set = |generation: i64, replicas| {
                let mut set = crate::plan::replica_set("web", replicas, "");
                set["kind"] = kind.into();
                set["metadata"]["generation"] = generation.into();
                set
            };
            let mut story = Story::<Meta>::new();
            for (generation, replicas, right) in
                [(1, 2, true), (1, 2, true), (2, 3, true), (3, 3, false), (3, 4, false)]
            {
                assert_eq!(story.put(set(generation, replicas)).is_ok(), right, "{kind} {generation} {replicas}");
            }
        }
    }

    /// As it may be in a cluster that is taken from elsewhere.
    #[test]
    fn who_has_no_generation_counts_from_none() {
        for (generation, right) in [(1, true), (2, false)] {
            let mut story = Story::<Meta>::new();
            let mut set = crate::plan::replica_set("web", 2, "");
            set["kind"] = "Deployment".into();
            story.put(set.clone()).unwrap();
            set["spec"]["replicas"] = 3.into();
            set["metadata"]["generation"] = generation.into();
            assert_eq!(story.put(set).is_ok(), right);
        }
        let mut story = Story::<Meta>::new();
        let mut set = crate::plan::replica_set("web", 2, "");
        story.put(set.clone()).unwrap();
        set["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert!(story.put(set).is_ok());
    }

    #[test]
    fn fires_on_each_of_them() {
        let check = |field: &str, before: Value, after: Value| {
            let mut story = Story::<Meta>::new();
            let with = |value: Value| {
                let mut pod = pod("a", "n", "Running");
                pod["metadata"][field] = value;
                pod
            };
            story.put(with(before.clone())).unwrap();
            story.put(with(before)).unwrap();
            assert!(story.put(with(after)).is_err(), "{field}");
        };
        check("uid", "a".into(), "b".into());
        check("creationTimestamp", "2026-01-01T00:00:00Z".into(), "2026-01-01T00:00:01Z".into());
        check("deletionTimestamp", "2026-01-01T00:00:00Z".into(), "2026-01-01T00:00:01Z".into());
        check("deletionTimestamp", "2026-01-01T00:00:00Z".into(), Value::Null);
        check("generation", 2.into(), 1.into());
    }
}
