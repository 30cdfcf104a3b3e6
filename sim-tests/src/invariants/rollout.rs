//! S-rollout: No deployment has its replica sets ask for more pods than its surge allows.
//!
//! Catches: a new set that grows before old ones shrink, two controllers that both add, a share that is rounded up twice.

use miniku_core::api::text::Text;
use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::deployment::Deployment;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::replicaset::ReplicaSet;
use std::collections::BTreeMap;

/// How many pods each deployment ever allowed, by uid: a controller may act on an older wish.
#[derive(Default)]
pub struct Rollout {
    allowed: BTreeMap<Text, i64>,
}

fn wanted(set: &Object) -> i64 {
    set.get::<ReplicaSet>().map_or(0, |set| i64::from(set.spec.replicas.unwrap_or(1)))
}

impl Checker for Rollout {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        let Some(new) = &change.new else { return Ok(()) };
        if let (Kind::Deployment, Some(deployment)) = (change.key.kind, new.read::<Deployment>()) {
            let allowed = self.allowed.entry(new.meta().uid.clone()).or_default();
            *allowed = deployment.max_total().max(*allowed);
        }
        let Some(by) = new.meta().controller().filter(|by| by.kind == "Deployment") else { return Ok(()) };
        let before = change.old.as_ref().filter(|old| old.meta().controller() == new.meta().controller());
        let grows = before.map_or(change.old.is_none(), |old| wanted(old) < wanted(new));
        let Some(allowed) = self.allowed.get(&by.uid).filter(|_| change.key.kind == Kind::ReplicaSet && grows) else {
            return Ok(());
        };
        let of = |set: &&Object| set.meta().controller().is_some_and(|one| one.uid == by.uid);
        let others = truth.disk.objects().values().filter(|one| one.kind() == Kind::ReplicaSet && one.key() != change.key);
        let sets: Vec<&Object> = others.filter(of).chain([new]).collect();
        let all: i64 = sets.iter().map(|set| wanted(set)).sum();
        if all > *allowed {
            let what = format!("the sets of {} ask for {all} pods, {allowed} are allowed", by.name);
            return Err(Broken::by(what).with(sets));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::Story;
    use super::*;
    use serde_json::{Value, json};

    fn set(name: &str, replicas: i32) -> Value {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]);
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "uid": name, "ownerReferences": owner},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}})
    }

    #[test]
    fn fires_when_more_are_asked_for_than_allowed() {
        let mut story = Story::<Rollout>::new();
        let strategy = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        story
            .put(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "d"},
                "spec": {"replicas": 3, "strategy": strategy, "selector": {}, "template": {}}}))
            .unwrap();
        story.put(set("a", 3)).unwrap();
        story.put(set("b", 1)).unwrap();
        assert!(story.put(set("b", 2)).unwrap_err().what.contains("5 pods, 4 are allowed"));
        story.put(set("b", 1)).unwrap();
    }
}
