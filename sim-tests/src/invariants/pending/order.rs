//! Whether a node is given to one pod while another waits that should have it: who is more important, or older.

use super::room::{is_repelled, plus, takes};
use super::{LOOKED_AT, Pending};
use crate::invariants::Broken;
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;

/// So many are looked at of those that are as important as one that is bound, for each bind.
const COMPARED: usize = 16;

impl Pending {
    /// A node is about to be given to a pod: whether another that comes first waits for it.
    pub(super) fn binds(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let priority = self.importance.get(key).copied().unwrap_or(i32::MAX);
        let more = self.waiting.keys().rev().take_while(|(more, _)| *more > priority).take(LOOKED_AT);
        let more = more.map(|(_, other)| other).filter(|other| *other != key);
        let first: Vec<Key> = more.chain(self.older(told, key, priority)).cloned().collect();
        if first.is_empty() {
            return Ok(());
        }
        let Some(facts) = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>) else {
            return Ok(());
        };
        let used = self.used(truth, told).get(node).copied().unwrap_or_default();
        for other in &first {
            let theirs = self.importance.get(other).copied().unwrap_or(priority);
            let used = plus(used, self.kept_from(told, other, theirs, node));
            if self.idle(truth, told, other).is_some_and(|pod| takes(facts, used, pod) && !is_repelled(told, pod)) {
                let than = if theirs > priority { "more important" } else { "as important and older" };
                let what = format!("{node} is given to {key}, and {other} waits, which is {than}");
                return Err(Broken::by(what).with(truth.object(other)));
            }
        }
        Ok(())
    }

    /// Some pods that are as important and were made before, and that the scheduler has not come to in this life: nor in a
    /// former one, as far as they tell.
    fn older<'a>(&'a self, told: Told<'a>, key: &Key, priority: i32) -> impl Iterator<Item = &'a Key> {
        let made = told.object(key).and_then(|one| one.meta().creation_timestamp);
        let made = made.filter(|_| !self.tried.contains_key(key));
        let from = (priority, Key::new(Kind::Pod, "", ""));
        let equals = self.waiting.range(from..).take_while(move |((theirs, _), _)| *theirs == priority).take(COMPARED);
        let untried = move |other: &&Key| {
            let pod = told.object(other).and_then(Object::get::<Pod>);
            let is_new = |pod: &Pod| !pod.status.conditions.iter().any(|one| one.kind == "PodScheduled");
            !self.tried.contains_key(other) && pod.is_some_and(is_new)
        };
        let older = move |created: Option<Time>| made.is_some_and(|made| created.is_some_and(|one| one < made));
        equals.filter(move |(_, created)| older(**created)).map(|((_, other), _)| other).filter(untried)
    }
}

#[cfg(test)]
mod tests {
    use crate::invariants::forged::pod;
    use crate::invariants::pending::forged::{bind, story, told};
    use serde_json::{Value, json};

    #[test]
    fn fires_when_the_less_important_goes_first() {
        let mut story = story();
        let mut important = pod("a", "", "Pending");
        important["spec"]["priority"] = 7.into();
        told(&mut story, important);
        told(&mut story, pod("b", "", "Pending"));
        let broken = bind(&mut story, "b", "n").unwrap_err();
        assert_eq!(broken.what, "n is given to pods/default/b, and pods/default/a waits, which is more important");
        bind(&mut story, "a", "n").unwrap();
    }

    #[test]
    fn fires_when_the_younger_goes_first() {
        let judge = |[a, b]: [u32; 2], condition: Value| {
            let mut story = story();
            for (name, at) in [("a", a), ("b", b)] {
                let mut pod = pod(name, "", "Pending");
                pod["metadata"]["creationTimestamp"] = format!("2026-01-01T00:00:0{at}Z").into();
                pod["status"]["conditions"] = condition.clone();
                told(&mut story, pod);
            }
            bind(&mut story, "b", "n")
        };
        let broken = judge([1, 2], json!([])).unwrap_err();
        assert_eq!(
            broken.what,
            "n is given to pods/default/b, and pods/default/a waits, which is as important and older"
        );
        judge([1, 1], json!([])).unwrap();
        judge([2, 1], json!([])).unwrap();
        // It was looked at before.
        judge([1, 2], json!([{"type": "PodScheduled", "status": "False"}])).unwrap();
    }
}
