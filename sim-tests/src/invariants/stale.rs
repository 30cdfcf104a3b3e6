//! S-stale: A controller that was told what its write left does not write on the same object as it was before.
//!
//! Of those who have at most one write of an object on its way, and look at what came of it before the next. Told is who is
//! answered while it still waits. Catches: a decision that is carried out twice, since its outcome is not seen yet.

use super::{Broken, Checker};
use crate::told::Turn;
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{Answer, Input, RequestId, Revision, Verb};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A call is given up after half a minute, by a clock that may run 5 % too fast; what is answered later is not heard.
const WAITS: Duration = Duration::from_secs(28);

/// Requests whose answers are lost never close; so many are remembered.
const REMEMBERED: usize = 65_536;

/// What controllers wrote, and were told of it.
#[derive(Default)]
pub struct Stale {
    /// The writes that were asked for.
    asked: BTreeMap<RequestId, Asked>,
    /// What each left, until its writer is told.
    answers: BTreeMap<(Arc<str>, Key, Revision), Asked>,
    /// Which revision each writer was told that it has left, and in which of its turns.
    told: BTreeMap<(Arc<str>, Key), (Turn, Revision)>,
}

/// A write.
#[derive(Clone, PartialEq)]
struct Asked {
    by: Arc<str>,
    turn: Turn,
    key: Key,
    at: Instant,
}

/// Whether it waits until it sees what its last write of an object has left.
fn looks(role: Role) -> bool {
    matches!(role, Role::NodeLifecycle | Role::Garbage | Role::Disruption)
}

/// On which revision of which object this is to be written, if that is said.
fn upon(verb: &Verb) -> Option<(Key, Revision)> {
    let revision = |text: &str| text.parse().ok().map(Revision);
    let (key, revision) = match verb {
        Verb::Update { object, .. } => (object.key(), object.revision()),
        Verb::Merge { key, patch, .. } => {
            (key.clone(), revision(patch.pointer("/metadata/resourceVersion")?.as_str()?)?)
        }
        Verb::Delete { key, options } => (key.clone(), revision(options.resource_version.as_ref()?)?),
        _ => return None,
    };
    // What is told of others, and who leads, are written by parts of a program that look in other ways.
    let is_looked_at = !matches!(key.kind, Kind::Event | Kind::Lease);
    (is_looked_at && revision > Revision(0)).then_some((key, revision))
}

fn remember<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) {
    map.insert(key, value);
    if map.len() > REMEMBERED {
        map.pop_first();
    }
}

impl Stale {
    fn asks(&mut self, truth: &Truth, who: &Who, id: RequestId, verb: &Verb) -> Result<(), Broken> {
        let Some((key, revision)) = upon(verb) else { return Ok(()) };
        let turn = truth.turn(who);
        let left = self.told.get(&(who.name.clone(), key.clone())).filter(|(of, _)| *of == turn);
        if let Some((_, left)) = left.filter(|(_, left)| revision < *left) {
            let what = format!("{who} writes {key} as of @{revision}, and was told that its last write left @{left}");
            return Err(Broken::by(what).with(truth.object(&key)));
        }
        let asked = Asked { by: who.name.clone(), turn, key, at: truth.now };
        // What something on the way asks twice has two answers, and only the one is heard that comes first.
        if self.asked.last_key_value().is_some_and(|(_, last)| *last == asked) {
            self.asked.pop_last();
        } else {
            remember(&mut self.asked, id, asked);
        }
        Ok(())
    }

    fn hears(&mut self, truth: &Truth, who: &Who, object: &Object) {
        let answer = self.answers.remove(&(who.name.clone(), object.key(), object.revision()));
        let waits = |asked: &Asked| asked.turn == truth.turn(who) && truth.now.since(asked.at) < WAITS;
        if let Some(Asked { by, turn, key, .. }) = answer.filter(waits) {
            let left = self.told.entry((by, key)).or_insert((turn, Revision(0)));
            let before = if left.0 == turn { left.1 } else { Revision(0) };
            *left = (turn, object.revision().max(before));
        }
    }
}

impl Checker for Stale {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered, Sight::Heard]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, id, request } if looks(who.role) => return self.asks(truth, who, *id, &request.verb),
            Fact::Answered { id, answer } => {
                let Some(asked) = self.asked.remove(id) else { return Ok(()) };
                if let Answer::Object { object, .. } = answer
                    && object.key() == asked.key
                {
                    let of = (asked.by.clone(), asked.key.clone(), object.revision());
                    remember(&mut self.answers, of, asked);
                }
            }
            Fact::Heard { who, input: Input::Reply { answer: Answer::Object { object, .. }, .. } }
                if looks(who.role) =>
            {
                self.hears(truth, who, object);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, who};
    use super::*;
    use miniku_core::program::{CallId, DeleteOptions, Part};
    use serde_json::json;

    /// Somebody writes on a node, is told of it so long after, and writes again on what it was before, or on what it is:
    /// whether the last of these breaks it.
    fn breaks(role: Role, heard_after: Option<u64>, again: &dyn Fn(&Object, &Object) -> Verb) -> bool {
        let (mut story, who) = (Story::<Stale>::new(), who(role, "writer"));
        let before = story.put(node("n")).unwrap().new.unwrap();
        story.sends(&who, Verb::Update { object: before.clone(), part: Part::Main }).unwrap();
        let after = story.put(node("n")).unwrap().new.unwrap();
        let answer = Answer::Object { object: after.clone(), created: false };
        story.answers(1, &answer).unwrap();
        if let Some(secs) = heard_after {
            story.pass(secs).unwrap();
            story.steps(&who, Input::Reply { call: CallId(1), answer }).unwrap();
        }
        story.asks(2, &who, again(&before, &after)).is_err()
    }

    #[test]
    fn fires_on_who_writes_on_what_it_has_changed_already() {
        let update = |object: &Object| Verb::Update { object: object.clone(), part: Part::Main };
        let on_old = |old: &Object, _: &Object| update(old);
        assert!(breaks(Role::NodeLifecycle, Some(1), &on_old));
        assert!(!breaks(Role::NodeLifecycle, Some(1), &|_, new| update(new)));
        assert!(!breaks(Role::NodeLifecycle, None, &on_old));
        assert!(!breaks(Role::NodeLifecycle, Some(30), &on_old), "it waited no more");
        assert!(!breaks(Role::Workloads, Some(1), &on_old));
    }

    #[test]
    fn of_what_is_asked_twice_nobody_knows_which_answer_is_heard() {
        let (mut story, who) = (Story::<Stale>::new(), who(Role::Disruption, "writer"));
        let before = story.put(node("n")).unwrap().new.unwrap();
        let update = Verb::Update { object: before, part: Part::Main };
        for id in [1, 2] {
            story.asks(id, &who, update.clone()).unwrap();
        }
        let after = story.put(node("n")).unwrap().new.unwrap();
        let answer = Answer::Object { object: after, created: false };
        story.answers(1, &answer).unwrap();
        story.steps(&who, Input::Reply { call: CallId(1), answer }).unwrap();
        story.pass(1).unwrap();
        story.asks(3, &who, update).unwrap();
    }

    #[test]
    fn knows_on_what_patches_and_deletions_are() {
        let merge = |old: &Object, _: &Object| {
            let patch = json!({"metadata": {"resourceVersion": old.meta().resource_version}});
            Verb::Merge { key: old.key(), patch, part: Part::Main }
        };
        let delete = |of: &Object| {
            let resource_version = Some(of.meta().resource_version.clone());
            Verb::Delete { key: of.key(), options: DeleteOptions { resource_version, ..Default::default() } }
        };
        assert!(breaks(Role::Garbage, Some(1), &merge));
        assert!(breaks(Role::Garbage, Some(1), &|old, _| delete(old)));
        assert!(!breaks(Role::Garbage, Some(1), &|_, new| delete(new)));
        let anyhow = |old: &Object, _: &Object| Verb::Delete { key: old.key(), options: DeleteOptions::default() };
        assert!(!breaks(Role::Garbage, Some(1), &anyhow));
    }
}
