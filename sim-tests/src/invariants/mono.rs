//! S-mono: A list-watch goes on from the revision it was told last: never from a later one, and never from an earlier one; and what it is told never goes back.
//!
//! What it was told are its list, its events and its bookmarks. A watch whose answer comes as late as its time-out may
//! have been given up already; what comes on it then tells nothing.
//! Catches: an informer that skips what happened while it was away, or that sees it twice; a server that forgets.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth, Who};
use miniku_core::api::kinds::Kind;
use miniku_core::program::{Answer, CallId, Input, Revision, Verb, WatchEvent, WatchFrom};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Source: the informer's own time-out, less what a message may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// All list-watches, by client and the component that its calls come from.
#[derive(Default)]
pub struct Mono {
    clients: BTreeMap<Arc<str>, Client>,
}

#[derive(Default)]
struct Client {
    life: u32,
    views: BTreeMap<u64, View>,
    /// Which component watches a kind, learned from its events.
    of: BTreeMap<Kind, u64>,
    asked: BTreeMap<Kind, Instant>,
}

#[derive(Default)]
struct View {
    call: CallId,
    told: Revision,
    /// What it had been told when it asked for a list. What comes later, on a watch that it has given up, tells nothing.
    floor: Revision,
    ignored: bool,
}

impl Client {
    fn of<'a>(clients: &'a mut BTreeMap<Arc<str>, Client>, who: &Who) -> &'a mut Client {
        let client = clients.entry(who.name.clone()).or_default();
        if client.life != who.life {
            *client = Client { life: who.life, ..Client::default() };
        }
        client
    }

    fn hear(&mut self, now: Instant, input: &Input) -> Result<(), Broken> {
        match input {
            Input::Reply { call, answer: Answer::List { revision, .. } } => {
                let space = call.0 >> 48;
                let view = self.views.entry(space).or_default();
                // The answer to a request that arrived twice: nobody waits for it any more.
                if *call <= view.call {
                    return Ok(());
                }
                // Other lists overtake each other.
                if *revision < view.floor && self.of.values().any(|one| *one == space) {
                    return Err(Broken::by(format!("a list @{revision} after news @{}", view.floor)));
                }
                // It may have been given up for another one that was asked for since: then it binds that one to nothing.
                *view = View { call: *call, told: *revision, floor: view.floor, ignored: false };
            }
            Input::Reply { call, answer: Answer::Lost(_) | Answer::Refused(_) } => {
                let view = self.views.entry(call.0 >> 48).or_default();
                (view.call, view.ignored) = (*call, true);
            }
            Input::Event { call, event } => {
                let (space, object) = (
                    call.0 >> 48,
                    match event {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                            Some(object)
                        }
                        WatchEvent::Bookmark(_) | WatchEvent::Expired(_) => None,
                    },
                );
                let asked = object.and_then(|object| self.asked.get(&object.kind()));
                let late = asked.is_some_and(|asked| now.since(*asked) > PATIENCE);
                let view = self.views.entry(space).or_default();
                if *call > view.call {
                    (view.call, view.ignored) = (*call, late);
                }
                if *call < view.call || view.ignored {
                    return Ok(());
                }
                if let Some(object) = object {
                    self.of.insert(object.kind(), space);
                }
                match (event, object) {
                    (WatchEvent::Bookmark(revision), _) => view.told = view.told.max(*revision),
                    (_, Some(object)) => view.told = view.told.max(object.revision()),
                    (_, None) => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Checker for Mono {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Heard]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            // No list-watch waits for an object; most are leases that were renewed.
            Fact::Heard { input: Input::Reply { answer: Answer::Object { .. }, .. }, .. } => Ok(()),
            Fact::Heard { who, input: input @ (Input::Reply { .. } | Input::Event { .. }) } => {
                let heard = Client::of(&mut self.clients, who).hear(truth.now, input);
                heard.map_err(|broken| Broken::by(format!("{who}: {}", broken.what)))
            }
            Fact::Sent { who, request, .. } => {
                if let Verb::List(query) = &request.verb {
                    let client = Client::of(&mut self.clients, who);
                    let view = client.of.get(&query.kind).and_then(|space| client.views.get_mut(space));
                    if let Some(view) = view {
                        view.floor = view.told;
                    }
                    return Ok(());
                }
                let Verb::Watch { query, from: WatchFrom::After(from), .. } = &request.verb else { return Ok(()) };
                let client = Client::of(&mut self.clients, who);
                client.asked.insert(query.kind, truth.now);
                let view = client.of.get(&query.kind).and_then(|space| client.views.get(space));
                match view.filter(|view| view.told != *from && !view.ignored) {
                    Some(view) => {
                        let told = view.told;
                        Err(Broken::by(format!(
                            "{who} was told of {:?} up to @{told}, and watches from @{from}",
                            query.kind
                        )))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::program::Query;

    #[test]
    fn fires_on_a_leap_in_either_direction() {
        for (from, right) in [(1, false), (2, true), (3, false)] {
            let mut story = Story::<Mono>::new();
            let client = who(Role::Other, "client");
            story.put(node("a")).unwrap();
            let event = WatchEvent::Added(story.put(node("b")).unwrap().new.unwrap());
            let list =
                Input::Reply { call: CallId(1), answer: Answer::List { revision: Revision(1), items: Vec::new() } };
            story.steps(&client, list).unwrap();
            story.steps(&client, Input::Event { call: CallId(2), event }).unwrap();
            let from = WatchFrom::After(Revision(from));
            let watch = Verb::Watch { query: Query::all(Kind::Node), from, bookmarks: true };
            assert_eq!(story.sends(&client, watch).is_ok(), right);
            if right {
                story.asks(2, &client, Verb::List(Query::all(Kind::Node))).unwrap();
                let items = Vec::new();
                let mut hears = |call, revision| {
                    let answer = Answer::List { revision: Revision(revision), items: items.clone() };
                    story.steps(&client, Input::Reply { call, answer })
                };
                hears(CallId(1), 1).expect("it was answered before");
                assert!(hears(CallId(3), 1).is_err(), "an older list");
                hears(CallId(4), 9).unwrap();
                hears(CallId(5), 8).expect("it was asked for before the other came");
            }
        }
    }
}
