//! S-namespace: A namespace goes only when nothing is in it, nothing new appears in one that is being deleted or is not there, its controller deletes nothing that is in another, and nobody takes the finalizers from its spec before.
//!
//! Catches: a namespace that is let go by an ordinary write, or while its contents are on their way out, or half of them were
//! looked for; a view that is behind, by which one is emptied that has followed another of its name.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::text::Text;
use miniku_core::program::Verb;
use std::collections::BTreeSet;

/// The namespaces that are being deleted.
#[derive(Default)]
pub struct Namespace {
    ending: BTreeSet<Text>,
    /// All that are there.
    there: BTreeSet<Text>,
    /// Whether an API server has started. What is stored before was asked of none.
    is_served: bool,
}

impl Checker for Namespace {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent, Sight::Recovered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Sent { who, request, .. } = fact
            && who.role == Role::Namespaces
            && let Verb::Delete { key, options } = &request.verb
        {
            let meant = truth.object(key).filter(|object| options.uid.as_ref() == Some(&object.meta().uid));
            let within = truth.object(&Key::new(Kind::Namespace, "", &key.namespace));
            if let (Some(object), Some(within)) = (meant, within.filter(|within| !within.meta().is_deleting())) {
                let what = format!("{key} is deleted, and its namespace is not");
                return Err(Broken::by(what).with([object, within]));
            }
        }
        self.is_served |= matches!(fact, Fact::Recovered { .. });
        let Fact::Durable { change } = fact else { return Ok(()) };
        if change.key.kind == Kind::Namespace {
            match change.new.as_ref().is_some_and(|new| new.meta().is_deleting()) {
                true => self.ending.insert(change.key.name.clone()),
                false => self.ending.remove(&change.key.name),
            };
            match change.new.is_some() {
                true => self.there.insert(change.key.name.clone()),
                false => self.there.remove(&change.key.name),
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
            if self.is_served && !self.there.contains(&change.key.namespace) {
                return Err(Broken::by(format!("{} is new in a namespace that is not there", change.key)).with([new]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::api::by_key::ByKey;
    use miniku_core::program::{DeleteOptions, Revision};
    use serde_json::json;

    #[test]
    fn fires_when_one_is_emptied_that_nobody_deletes() {
        let judge = |deleted_at: serde_json::Value, uid: &str| {
            let mut story = Story::<Namespace>::new();
            let pod = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
            let meta = json!({"name": "default", "uid": "u", "deletionTimestamp": deleted_at});
            story.put(json!({"kind": "Namespace", "metadata": meta})).unwrap();
            let options = DeleteOptions { uid: Some(uid.into()), ..DeleteOptions::default() };
            story.sends(&who(Role::Namespaces, "namespaces"), Verb::Delete { key: pod.key(), options })
        };
        let broken = judge(json!(null), "a-uid").unwrap_err();
        assert_eq!(broken.what, "pods/default/a is deleted, and its namespace is not");
        judge(json!(null), "another").unwrap();
        judge(json!("2026-01-01T00:00:00Z"), "a-uid").unwrap();
    }

    #[test]
    fn fires_on_what_is_new_where_no_namespace_is() {
        let made = |is_served: bool, is_there: bool| {
            let mut story = Story::<Namespace>::new();
            if is_served {
                story.see(Fact::Recovered { objects: &ByKey::new(), revision: Revision(0) }).unwrap();
            }
            if is_there {
                story.put(json!({"kind": "Namespace", "metadata": {"name": "default", "uid": "u"}})).unwrap();
            }
            story.put(pod("a", "", "Pending")).is_ok()
        };
        assert!(made(true, true));
        assert!(made(false, false), "it is stored from the beginning");
        assert!(!made(true, false));
    }

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
