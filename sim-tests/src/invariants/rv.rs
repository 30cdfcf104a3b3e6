//! S-rv: Revisions strictly grow along the history, and each object carries the revision of its last write.
//!
//! Catches: an engine that gives a revision again after a crash.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::program::Revision;

/// The newest revision.
#[derive(Default)]
pub struct Rv {
    last: Revision,
}

impl Checker for Rv {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        if change.revision <= self.last {
            return Err(Broken::by(format!("@{} comes after @{}", change.revision, self.last)).with(&change.new));
        }
        self.last = change.revision;
        match &change.new {
            Some(new) if new.revision() != change.revision => {
                Err(Broken::by(format!("written at @{}, it says @{}", change.revision, new.revision())).with([new]))
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
    fn fires_on_a_revision_that_comes_again() {
        let mut story = Story::<Rv>::new();
        let first = story.put(node("n")).unwrap();
        let second = story.put(node("n")).unwrap();
        assert!(story.see(Fact::Durable { change: &second }).is_err());
        assert!(story.see(Fact::Durable { change: &first }).is_err());
    }
}
