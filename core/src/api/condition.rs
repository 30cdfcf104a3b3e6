//! A condition: one aspect of an object, and since when it is so.
//!
//! Source: Kubernetes API conventions, "Typical status properties"; `meta/v1.Condition`.

use crate::api::meta::Time;
use crate::api::text::Text;
use crate::api_struct;
use crate::time::Now;

api_struct! {
    /// One aspect of an object.
    pub struct Condition {
        /// Which aspect.
        kind "type" always: Text,
        /// `True`, `False` or `Unknown`.
        status "status" always: Text,
        /// The `generation` that this is about.
        observed_generation "observedGeneration": Option<i64>,
        /// When `status` last changed.
        last_transition_time "lastTransitionTime" always: Option<Time>,
        /// Why, in one word.
        reason "reason" always: Text,
        /// Why, for people.
        message "message" always: Text,
    }
}

impl Condition {
    /// Puts a condition in the place of the one of its type. It is so since now, unless it was so before.
    pub fn put(now: Now, conditions: &mut Vec<Condition>, mut new: Condition) {
        let old = conditions.iter_mut().find(|one| one.kind == new.kind);
        let since = old.as_ref().filter(|old| old.status == new.status).and_then(|old| old.last_transition_time);
        new.last_transition_time = since.or(Some(Time::of(now.wall)));
        match old {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    #[test]
    fn a_condition_is_so_since_it_became_so() {
        let mut all = Vec::new();
        let mut put = |at: i64, status: &str, reason: &str| {
            let now = Now { wall: Wall::from_secs(at), ..Now::default() };
            let new =
                Condition { kind: "A".into(), status: status.into(), reason: reason.into(), ..Default::default() };
            Condition::put(now, &mut all, new);
            (all.len(), all[0].last_transition_time, all[0].reason.clone())
        };
        let at = |secs| Some(Time::of(Wall::from_secs(secs)));
        assert_eq!(put(5, "True", "x"), (1, at(5), "x".into()));
        assert_eq!(put(6, "True", "y"), (1, at(5), "y".into()));
        assert_eq!(put(7, "False", "y"), (1, at(7), "y".into()));
    }
}
