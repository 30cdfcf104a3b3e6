//! What is told of the life of an object, for `miniku why`: its making, each other wish, its end.

use crate::api::kinds::Kind;
use crate::api::meta::ObjectMeta;
use crate::api::object::{Key, Object};
use crate::decision::{Because, Decision};
use crate::pages::Page;

/// What happened to an object: the first that did is told.
struct Event {
    name: &'static str,
    why: &'static str,
    /// Whether it lies between two states of its metadata.
    happened: fn(Option<&ObjectMeta>, Option<&ObjectMeta>) -> bool,
}

const EVENTS: &[Event] = &[
    Event {
        name: "created",
        why: "somebody asked for it",
        happened: |before, after| before.is_none() && after.is_some(),
    },
    Event {
        name: "removed",
        why: "it was deleted, and nothing waits for it any more",
        happened: |before, after| before.is_some() && after.is_none(),
    },
    Event {
        name: "deleted",
        why: "somebody asked for its end, for which its node or a finalizer is waited",
        happened: |before, after| {
            let deleting = |meta: Option<&ObjectMeta>| meta.is_some_and(ObjectMeta::is_deleting);
            deleting(after) && !deleting(before)
        },
    },
    Event {
        name: "changed",
        why: "somebody wishes it to be otherwise",
        happened: |before, after| {
            let generation = |meta: Option<&ObjectMeta>| meta.and_then(|meta| meta.generation);
            generation(before) != generation(after)
        },
    },
];

/// Whether anything is told of objects of a kind. Nobody asks why these are there, and they are very many.
pub fn is_told(kind: Kind) -> bool {
    !matches!(kind, Kind::Event | Kind::Lease)
}

/// What is told of a write that is durable; nothing of most. `by` is who asked for it, as far as that is known.
pub fn told(key: &Key, before: Option<&Object>, after: Option<&Object>, by: Option<&str>) -> Option<Decision> {
    if !is_told(key.kind) {
        return None;
    }
    let (was, is) = (before.map(Object::meta), after.map(Object::meta));
    let event = EVENTS.iter().find(|event| (event.happened)(was, is))?;
    let mut because = Because::new("history", event.name, event.why);
    because.facts.extend(by.map(|by| format!("by {by}")));
    if let Some(grace) = is.and_then(|meta| meta.deletion_grace_period_seconds).filter(|_| event.name == "deleted") {
        because.facts.push(format!("within {grace} s"));
    }
    if let Some(generation) = is.and_then(|meta| meta.generation).filter(|_| event.name == "changed") {
        because.facts.push(format!("generation {generation}"));
    }
    Some(Decision::about(key.clone(), because))
}

/// The page of what is told.
pub fn page() -> Page {
    let rows = EVENTS.iter().map(|one| vec![format!("`{}`", one.name), one.why.into()]);
    Page::new("history", "What is told of the life of an object", "the API server")
        .says("`miniku why` begins with these. Who asked is told where that is known: programs of miniku tell themselves why.")
        .lists(file!(), &["", "why"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_life_is_told() {
        let object = |meta| Object::from_value(Kind::ConfigMap, json!({"metadata": meta})).unwrap();
        let one = object(json!({"name": "a", "generation": 1}));
        let other = object(json!({"name": "a", "generation": 2}));
        let labelled = object(json!({"name": "a", "generation": 1, "labels": {"a": "b"}}));
        let going = object(json!({"name": "a", "generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"}));
        let key = one.key();
        let check = |before, after, want: Option<&str>| {
            let got = told(&key, before, after, Some("jane")).map(|one| one.because.to_string());
            assert!(got.as_deref().unwrap_or_default().contains(want.unwrap_or_default()), "{got:?}");
            assert_eq!(got.is_some(), want.is_some());
        };
        check(None, Some(&one), Some("created (somebody asked for it): by jane"));
        check(Some(&one), Some(&other), Some("changed"));
        check(Some(&one), Some(&labelled), None);
        check(Some(&other), Some(&going), Some("deleted"));
        check(Some(&going), None, Some("removed"));
        let event = Key::new(Kind::Event, "default", "e");
        assert!(told(&event, None, Some(&one), None).is_none());
    }
}
