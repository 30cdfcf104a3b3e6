//! S-durable: What the API server shows to anyone is durable, and what is durable is there after a crash.
//!
//! Catches: an API server that answers before the disk does; one that starts on something else than the disk has.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::object::Object;
use miniku_core::program::{Answer, Revision, WatchEvent};

/// The newest revision that was shown.
#[derive(Default)]
pub struct Durable {
    shown: Revision,
}

impl Durable {
    fn shows(&mut self, truth: &Truth, revision: Revision, object: Option<&Object>) -> Result<(), Broken> {
        if revision > truth.disk.revision() {
            let what = format!("@{revision} is shown, but only @{} is durable", truth.disk.revision());
            return Err(Broken::by(what).with(object));
        }
        if let Some(object) = object
            && let Some(change) = truth.change(revision)
            && change.key != object.key()
        {
            let what = format!("{} is shown at @{revision}, which changed {}", object.key(), change.key);
            return Err(Broken::by(what).with([object]));
        }
        self.shown = self.shown.max(revision);
        Ok(())
    }
}

impl Checker for Durable {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Answered, Sight::Streamed, Sight::Recovered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Answered { answer: Answer::Object { object, .. }, .. }
            | Fact::Streamed {
                event: WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object),
                ..
            } => self.shows(truth, object.revision(), Some(object)),
            Fact::Answered { answer: Answer::List { revision, .. }, .. }
            | Fact::Streamed { event: WatchEvent::Bookmark(revision), .. } => self.shows(truth, *revision, None),
            Fact::Recovered { revision, .. } if *revision < self.shown => {
                Err(Broken::by(format!("@{} was shown, and @{revision} was recovered", self.shown)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node};
    use super::*;

    #[test]
    fn fires_on_an_early_answer_and_on_a_loss() {
        let mut story = Story::<Durable>::new();
        let change = story.put(node("n")).unwrap();
        let object = change.new.unwrap();
        let early = object.with_meta(|meta| meta.resource_version = "2".into());
        let mut shows = |object: Object| {
            let answer = Answer::Object { object, created: true };
            story.answers(1, &answer)
        };
        shows(object).unwrap();
        assert!(shows(early).is_err());
        let objects = Default::default();
        assert!(story.see(Fact::Recovered { objects: &objects, revision: Revision(1) }).is_ok());
        assert!(story.see(Fact::Recovered { objects: &objects, revision: Revision(0) }).is_err());
    }
}
