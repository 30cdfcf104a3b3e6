//! S-lost: The collector calls a pod failed, or removes it, for want of its node only if that node has not been there for the whole quarantine.
//!
//! A kubelet whose node object was deleted registers again, and its pods have done nothing wrong. One that is called failed
//! is lost already: who controls it may remove it before the collector does.
//! Catches: a collector that takes absence from its view for absence.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::program::{Part, Verb};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Source: the collector's `node_quarantine`, 40 s, less what news of the removal may be ahead.
const QUARANTINE: Duration = Duration::from_secs(35);
/// So long the collector may not have heard that the node is back.
const NEWS: Duration = Duration::from_secs(75);

/// When nodes came and went last.
#[derive(Default)]
pub struct Lost {
    removed: BTreeMap<String, Instant>,
    made: BTreeMap<String, Instant>,
}

/// The pod, as stored, that this would give up.
fn given_up<'a>(truth: &'a Truth, verb: &Verb) -> Option<&'a Object> {
    match verb {
        Verb::Delete { key, options } if key.kind == Kind::Pod && options.grace_seconds == Some(0) => {
            truth.meant(key, options)
        }
        Verb::Update { object, part: Part::Status } if object.kind() == Kind::Pod => {
            // One that has ended is called nothing else any more; and what was written to an older state is refused.
            let goes_on = |stored: &&Object| stored.get::<Pod>().is_some_and(|pod| !pod.status.phase.is_final());
            truth.object(&object.key()).filter(|stored| stored.revision() == object.revision()).filter(goes_on)
        }
        _ => None,
    }
}

impl Checker for Lost {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Durable { change } if change.key.kind == Kind::Node => {
                let name = change.key.name.to_string();
                match (&change.old, &change.new) {
                    (Some(_), None) => drop(self.removed.insert(name, truth.now)),
                    (None, Some(_)) => drop(self.made.insert(name, truth.now)),
                    _ => {}
                }
            }
            Fact::Sent { who, request, .. } if who.role == Role::Garbage => {
                let Some(object) = given_up(truth, &request.verb) else { return Ok(()) };
                let Some(pod) = object.get::<Pod>() else { return Ok(()) };
                // Where few are kept, one that has ended may go as one too many.
                let too_many = truth.settings.finished.is_some() && pod.status.phase.is_final();
                let Some(node) = pod.node().filter(|_| !too_many) else { return Ok(()) };
                let since = |times: &BTreeMap<String, Instant>| times.get(node).map(|at| truth.now.since(*at));
                let wrong = match truth.node(node).is_some() {
                    true => since(&self.made).is_some_and(|age| age > NEWS),
                    false => since(&self.removed).is_some_and(|gone| gone < QUARANTINE),
                };
                if wrong {
                    return Err(Broken::by(format!("{} is given up for want of {node}", object.key())).with([object]));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use miniku_core::api::pod::PodPhase;
    use miniku_core::program::{DeleteOptions, RequestId};

    #[test]
    fn fires_on_haste() {
        for calls_it_failed in [false, true] {
            let mut story = Story::<Lost>::new();
            let change = story.put(node("n")).unwrap();
            let pod = story.put(pod("a", "n", "Running")).unwrap();
            let options = DeleteOptions { grace_seconds: Some(0), uid: Some("a-uid".into()), ..Default::default() };
            let object = pod.new.unwrap().with(|pod: &mut Pod| pod.status.phase = PodPhase::Failed);
            let request = match calls_it_failed {
                false => Verb::Delete { key: pod.key, options }.into(),
                true => Verb::Update { object: object.clone(), part: Part::Status }.into(),
            };
            let garbage = who(Role::Garbage, "garbage");
            let give_up = Fact::Sent { who: &garbage, id: RequestId(1), request: &request };
            story.pass(100).unwrap();
            assert!(story.see(give_up).is_err(), "the node is there");
            story.write(&change.new.unwrap(), true).unwrap();
            story.pass(10).unwrap();
            assert!(story.see(give_up).is_err());
            story.pass(30).unwrap();
            story.see(give_up).unwrap();
            if calls_it_failed {
                story.put(node("n")).unwrap();
                story.pass(100).unwrap();
                assert!(story.see(give_up).is_err(), "the node is back");
                story.write(&object, false).unwrap();
                story.see(give_up).unwrap();
            }
        }
    }

    #[test]
    fn where_few_that_have_ended_are_kept_one_may_be_too_many() {
        for few in [false, true] {
            let mut story = Story::<Lost>::new();
            story.truth.settings.finished = few.then_some(1);
            story.put(node("n")).unwrap();
            let key = story.put(pod("a", "n", "Failed")).unwrap().key;
            story.pass(100).unwrap();
            let options = DeleteOptions { grace_seconds: Some(0), ..Default::default() };
            let sent = story.sends(&who(Role::Garbage, "garbage"), Verb::Delete { key, options });
            assert_eq!(sent.is_ok(), few);
        }
    }

    #[test]
    fn one_of_the_same_name_is_another() {
        let mut story = Story::<Lost>::new();
        story.put(node("n")).unwrap();
        let key = story.put(pod("a", "n", "Running")).unwrap().key;
        story.pass(100).unwrap();
        let mut remove = |uid: &str| {
            let options = DeleteOptions { grace_seconds: Some(0), uid: Some(uid.into()), ..Default::default() };
            story.sends(&who(Role::Garbage, "garbage"), Verb::Delete { key: key.clone(), options })
        };
        assert!(remove("a-uid").is_err());
        remove("one-before").unwrap();
    }
}
