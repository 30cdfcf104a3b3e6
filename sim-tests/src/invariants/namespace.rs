//! S-namespace: A namespace goes only when nothing is in it, and nothing new appears in one that is being deleted.
//!
//! Catches: a namespace that is let go while its contents are on their way out, or half of them were looked for.

use super::{Broken, Checker};
use crate::truth::{Fact, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;

/// Needs no memory: the truth has it all.
#[derive(Default)]
pub struct Namespace;

impl Checker for Namespace {
    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        if change.key.kind == Kind::Namespace && change.new.is_none() {
            let within = truth.disk.objects().keys().find(|key| *key.namespace == *change.key.name);
            if let Some(key) = within {
                return Err(Broken::by(format!("{} is gone, {key} is in it", change.key)).with(&change.old));
            }
        }
        if let (None, Some(new)) = (&change.old, &change.new)
            && change.key.kind.row().namespaced
        {
            let namespace = truth.object(&Key::new(Kind::Namespace, "", &change.key.namespace));
            if namespace.is_some_and(|namespace| namespace.meta().is_deleting()) {
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
        let left = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
        let mut ending = namespace;
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let ending = story.put(ending).unwrap().new.unwrap();
        assert!(story.put(pod("b", "", "Pending")).unwrap_err().what.contains("is new"));
        assert!(story.write(&ending, true).unwrap_err().what.contains("is in it"));
        let _ = left;
    }
}
