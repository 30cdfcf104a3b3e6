//! S-namespace: A namespace goes only when nothing is in it, nothing new appears in one that is being deleted, and nobody takes the finalizers from its spec before.
//!
//! Catches: a namespace that is let go by an ordinary write, or while its contents are on their way out, or half of them were looked for.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace;
use miniku_core::api::object::Object;
use miniku_core::api::text::Text;
use std::collections::BTreeSet;

/// The namespaces that are being deleted.
#[derive(Default)]
pub struct Namespace {
    ending: BTreeSet<Text>,
}

impl Checker for Namespace {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        if change.key.kind == Kind::Namespace {
            match change.new.as_ref().is_some_and(|new| new.meta().is_deleting()) {
                true => self.ending.insert(change.key.name.clone()),
                false => self.ending.remove(&change.key.name),
            };
        }
        let holds = |object: &Object| {
            let namespace = object.get::<namespace::Namespace>();
            namespace.is_some_and(|namespace| !namespace.spec.finalizers.is_empty())
        };
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && holds(old)
            && !holds(new)
            && !new.meta().is_deleting()
        {
            return Err(
                Broken::by(format!("{} lacks its finalizers, and is not being deleted", change.key)).with([new])
            );
        }
        if change.key.kind == Kind::Namespace && change.new.is_none() {
            let within = truth.disk.objects().keys().find(|key| *key.namespace == *change.key.name);
            if let Some(key) = within {
                return Err(Broken::by(format!("{} is gone, {key} is in it", change.key)).with(&change.old));
            }
        }
        if let (None, Some(new)) = (&change.old, &change.new)
            && change.key.kind.row().namespaced
        {
            // Not the truth is asked: it has all writes of a batch already.
            if self.ending.contains(&change.key.namespace) {
                return Err(Broken::by(format!("{} is new in a namespace that is ending", change.key)).with([new]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_on_what_is_left_and_on_what_is_new() {
        let mut story = Story::<Namespace>::new();
        let namespace = json!({"kind": "Namespace", "metadata": {"name": "default", "uid": "u"}});
        story.put(namespace.clone()).unwrap();
        story.put(pod("a", "", "Pending")).unwrap();
        let with = |finalizers: serde_json::Value| {
            let mut namespace = namespace.clone();
            namespace["spec"] = json!({"finalizers": finalizers});
            namespace
        };
        story.put(with(json!(["kubernetes"]))).unwrap();
        assert!(story.put(with(json!([]))).unwrap_err().what.contains("lacks its finalizers"));
        let mut ending = namespace;
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let ending = story.put(ending).unwrap().new.unwrap();
        assert!(story.put(pod("b", "", "Pending")).unwrap_err().what.contains("is new"));
        assert!(story.write(&ending, true).unwrap_err().what.contains("is in it"));
    }
}
