//! S-meta: Uid and creation time of an object never change, its deletion is never taken back nor put off, its generation never falls.
//!
//! Catches: an API server that takes from a client what only it may set.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};

/// Needs no memory: a change has what was before.
#[derive(Default)]
pub struct Meta;

impl Checker for Meta {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        let (Some(before), Some(after)) = (&change.old, &change.new) else { return Ok(()) };
        let (old, new) = (before.meta(), after.meta());
        let put_off = match (old.deletion_timestamp, new.deletion_timestamp) {
            (Some(old), Some(new)) => new > old,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let wrong = match () {
            _ if old.uid != new.uid => "uid changed",
            _ if old.creation_timestamp != new.creation_timestamp => "creation time changed",
            _ if put_off => "deletion was put off",
            _ if old.generation > new.generation => "generation fell",
            _ => return Ok(()),
        };
        Err(Broken::by(format!("{}: {wrong}", change.key)).with([before, after]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
    use serde_json::Value;

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
