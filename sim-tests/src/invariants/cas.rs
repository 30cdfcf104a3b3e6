//! S-cas: A write on a condition (a revision, a uid, being bound to no node) is granted only if the condition held when it was stored.
//!
//! Catches: an API server that checks a condition and then lets another write pass in between.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::patch::Patch;
use miniku_core::program::{Answer, Request, RequestId, Revision, Verb};
use std::collections::BTreeMap;

/// The conditions of requests that have no answer yet.
#[derive(Default)]
pub struct Cas {
    open: BTreeMap<RequestId, Condition>,
}

/// Requests whose answers are lost never close; so many are remembered.
const REMEMBERED: usize = 65_536;

#[derive(Debug, Default, PartialEq)]
struct Condition {
    revision: Option<Revision>,
    uid: Option<Text>,
    unbound: bool,
}

fn condition(request: &Request) -> Condition {
    let revision = |text: &str| text.parse().ok().map(Revision);
    let uid = |uid: &str| (!uid.is_empty()).then(|| uid.into());
    match &request.verb {
        Verb::Update { object, .. } => {
            let meta = object.meta();
            Condition { revision: revision(&meta.resource_version), uid: uid(&meta.uid), unbound: false }
        }
        Verb::Merge { patch, .. }
        | Verb::Patch {
            patch: Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Apply { configuration: patch, .. },
            ..
        } => {
            let named = |path| patch.pointer(path).and_then(|value| value.as_str()).unwrap_or_default();
            Condition {
                revision: revision(named("/metadata/resourceVersion")),
                uid: uid(named("/metadata/uid")),
                unbound: false,
            }
        }
        Verb::Bind { uid: of, .. } => Condition { revision: None, uid: uid(of), unbound: true },
        Verb::Delete { options, .. } => Condition {
            revision: options.resource_version.as_deref().and_then(revision),
            uid: options.uid.clone(),
            unbound: false,
        },
        Verb::Get { .. }
        | Verb::List(_)
        | Verb::Watch { .. }
        | Verb::Create { .. }
        | Verb::Patch { patch: Patch::Json(_), .. } => Condition::default(),
    }
}

impl Checker for Cas {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { id, request, .. } => {
                let condition = condition(request);
                if condition != Condition::default() && !request.dry_run {
                    self.open.insert(*id, condition);
                    if self.open.len() > REMEMBERED {
                        self.open.pop_first();
                    }
                }
            }
            Fact::Answered { id, answer } => {
                let Some(condition) = self.open.remove(id) else { return Ok(()) };
                if let (Answer::Removed(status), Some(wanted)) = (answer, &condition.uid)
                    && let Some(details) = status.details.as_ref().filter(|details| details.uid != *wanted)
                {
                    return Err(Broken::by(format!(
                        "a deletion of uid {wanted} was granted, and removed {}",
                        details.uid
                    )));
                }
                let Answer::Object { object, created: false } = answer else { return Ok(()) };
                let now = object.revision();
                let old = truth
                    .change(now)
                    .filter(|change| change.key == object.key())
                    .and_then(|change| change.old.as_ref());
                let Some(old) = old else { return Ok(()) };
                let broken = |what: String| Err(Broken::by(what).with([old, object]));
                if let Some(wanted) = condition.revision
                    && wanted != old.revision()
                    && wanted != now
                {
                    return broken(format!("a write on @{wanted} was granted, and replaced @{}", old.revision()));
                }
                if let Some(wanted) = &condition.uid
                    && *wanted != old.meta().uid
                {
                    return broken(format!("a write on uid {wanted} was granted, and changed {}", old.meta().uid));
                }
                if condition.unbound && old.get::<Pod>().is_some_and(|pod| pod.node().is_some()) {
                    return broken("a pod was bound that was bound already".into());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::api::object::Object;
    use miniku_core::program::Part;

    fn granted(object: &Object) -> Answer {
        Answer::Object { object: object.clone(), created: false }
    }

    #[test]
    fn fires_on_a_write_over_one_that_was_not_read() {
        let mut story = Story::<Cas>::new();
        let client = who(Role::Other, "client");
        let read = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
        let asks: [Verb; 3] = [
            Verb::Update { object: read.clone(), part: Part::Status },
            Verb::Bind { key: read.key(), uid: "another".into(), node: "n".into() },
            Verb::Bind { key: read.key(), uid: "a-uid".into(), node: "n".into() },
        ];
        for (nth, verb) in (0..).zip(asks) {
            story.asks(nth, &client, verb).unwrap();
        }
        story.put(pod("a", "m", "Pending")).unwrap();
        let last = story.put(pod("a", "m", "Running")).unwrap().new.unwrap();
        for nth in 0..3 {
            assert!(story.answers(nth, &granted(&last)).is_err(), "{nth}");
        }
    }
}
