//! What one life of a client was told of objects: by lists and by events, the newest by revision.
//!
//! Checkers judge a decision by what its maker could know. An object that vanished in a gap may stay here for longer
//! than in the client's own view; so a checker that blames somebody for it looks at the truth as well.

use crate::truth::Who;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{Answer, Input, WatchEvent};
use std::collections::BTreeMap;

/// A client's news.
#[derive(Default)]
pub struct Told {
    life: u32,
    objects: BTreeMap<Key, Object>,
}

impl Told {
    /// The client is about to be stepped with this. Whether that begins a new life, in which all is forgotten.
    pub fn hear(&mut self, who: &Who, input: &Input) -> bool {
        let new = who.life != self.life;
        if new {
            *self = Told { life: who.life, objects: BTreeMap::new() };
        }
        match input {
            Input::Reply { answer: Answer::List { items, .. }, .. } => items.iter().for_each(|item| self.put(item)),
            Input::Event { event: WatchEvent::Added(object) | WatchEvent::Modified(object), .. } => self.put(object),
            Input::Event { event: WatchEvent::Deleted(object), .. } => {
                let key = object.key();
                let old = self.objects.get(&key).is_some_and(|known| known.revision() <= object.revision());
                if old {
                    self.objects.remove(&key);
                }
            }
            _ => {}
        }
        new
    }

    fn put(&mut self, object: &Object) {
        let key = object.key();
        if self.objects.get(&key).is_none_or(|known| known.revision() < object.revision()) {
            self.objects.insert(key, object.clone());
        }
    }

    /// What it was told last of this object.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// All that it was told of.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }
}
