//! S-watch: The events of a watch are exactly the changes after its start that match it, in their order, none left out and none twice.
//!
//! A change by which an object enters or leaves the selection is its ADDED or DELETED; a bookmark promises that all up
//! to it was sent. What is owed is reckoned here, not asked of the API server's own index.
//! Catches: gaps around a reconnect; a watcher filed under the wrong name; a bookmark ahead of its events.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::program::{Query, RequestId, Revision, WatchEvent, WatchFrom};
use miniku_core::store::Change;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All open watches and what they are owed.
#[derive(Default)]
pub struct Watch {
    open: BTreeMap<RequestId, Stream>,
    listening: BTreeMap<Kind, Listening>,
    owing: BTreeSet<RequestId>,
    /// What the API server was told last.
    told: Revision,
    /// The revision whose content was compared last.
    compared: Revision,
}

/// Who listens to a kind.
#[derive(Default)]
struct Listening {
    /// To one object, by its name.
    named: BTreeMap<Text, BTreeSet<RequestId>>,
    /// To the pods of a node.
    on: BTreeMap<Text, BTreeSet<RequestId>>,
    others: BTreeSet<RequestId>,
}

impl Listening {
    /// Where those stand who ask so.
    fn place(&mut self, query: &Query) -> &mut BTreeSet<RequestId> {
        let name = query.fields.required("metadata.name");
        let node = query.fields.required("spec.nodeName").filter(|_| query.kind == Kind::Pod);
        match (name, node) {
            (Some(name), _) => self.named.entry(name.into()).or_default(),
            (None, Some(node)) => self.on.entry(node.into()).or_default(),
            (None, None) => &mut self.others,
        }
    }

    /// Those to whom a change may be news.
    fn reached_by(&self, change: &Change) -> impl Iterator<Item = &RequestId> {
        let node = |object: &Option<Object>| object.as_ref()?.get::<Pod>().map(|pod| pod.spec.node_name.clone());
        let (before, after) = (node(&change.old), node(&change.new));
        let after = after.filter(|after: &Text| before.as_ref() != Some(after));
        let on = [before, after].into_iter().flatten().filter_map(move |node| self.on.get(&node));
        self.others.iter().chain(self.named.get(&change.key.name).into_iter().chain(on).flatten())
    }
}

struct Stream {
    query: Query,
    owed: VecDeque<(News, Revision)>,
    /// It starts with what there is, which is not reckoned.
    starting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Added,
    Modified,
    Deleted,
}

fn news(change: &Change, query: &Query) -> Option<News> {
    let matches = |object: &Option<Object>| object.as_ref().is_some_and(|object| query.matches(object));
    match (matches(&change.old), matches(&change.new)) {
        (false, false) => None,
        (false, true) => Some(News::Added),
        (true, true) => Some(News::Modified),
        (true, false) => Some(News::Deleted),
    }
}

impl Watch {
    fn close(&mut self, id: RequestId) {
        if let Some(stream) = self.open.remove(&id) {
            self.listening.entry(stream.query.kind).or_default().place(&stream.query).remove(&id);
        }
        self.owing.remove(&id);
    }

    fn owe(&mut self, change: &Change) {
        let Some(listening) = self.listening.get(&change.key.kind) else { return };
        for id in listening.reached_by(change) {
            let stream = self.open.get_mut(id).expect("who listens is open");
            if let Some(news) = news(change, &stream.query) {
                stream.owed.push_back((news, change.revision));
                self.owing.insert(*id);
            }
        }
    }

    fn streamed(&mut self, truth: &Truth, id: RequestId, event: &WatchEvent) -> Result<(), Broken> {
        let Some(stream) = self.open.get_mut(&id) else {
            return Err(Broken::by(format!("an event on a watch that is not open: {event:?}")));
        };
        let (news, object) = match event {
            WatchEvent::Added(object) => (News::Added, object),
            WatchEvent::Modified(object) => (News::Modified, object),
            WatchEvent::Deleted(object) => (News::Deleted, object),
            WatchEvent::Bookmark(revision) => {
                return match stream.owed.front() {
                    Some((_, owed)) if owed <= revision => {
                        Err(Broken::by(format!("a bookmark @{revision} before the event @{owed}")))
                    }
                    _ if *revision > self.told => {
                        Err(Broken::by(format!("a bookmark @{revision}, told @{}", self.told)))
                    }
                    _ => Ok(()),
                };
            }
            WatchEvent::Expired(_) => {
                stream.owed.clear();
                self.owing.remove(&id);
                return Ok(());
            }
        };
        if stream.starting {
            return Ok(());
        }
        let got = (news, object.revision());
        match stream.owed.pop_front() {
            Some(owed) if owed == got => {}
            owed => {
                let what = format!("a watch of {:?} is told {got:?}, where {owed:?} is next", stream.query);
                return Err(Broken::by(what).with([object]));
            }
        }
        if stream.owed.is_empty() {
            self.owing.remove(&id);
        }
        if self.compared != got.1
            && let Some(change) = truth.change(got.1)
        {
            self.compared = got.1;
            let same = match (&change.new, news) {
                (Some(new), _) => new == object,
                (None, _) => change.key == object.key(),
            };
            if !same {
                return Err(Broken::by(format!("what is told of @{} is not what was stored", got.1)).with([object]));
            }
        }
        Ok(())
    }
}

impl Checker for Watch {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Recovered, Sight::Opened, Sight::Told, Sight::Streamed, Sight::Closed, Sight::Served]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Recovered { revision, .. } => {
                *self = Watch { told: *revision, ..Watch::default() };
            }
            Fact::Opened { id, query, from } => {
                let mut stream = Stream { query: (*query).clone(), owed: VecDeque::new(), starting: false };
                match from {
                    WatchFrom::Start => stream.starting = true,
                    WatchFrom::After(after) => {
                        let newer = truth.history.partition_point(|change| change.revision <= *after);
                        let passed = truth.history.range(newer..).take_while(|change| change.revision <= self.told);
                        let owed = passed.filter_map(|change| Some((news(change, query)?, change.revision)));
                        stream.owed = owed.collect();
                    }
                }
                if stream.starting || !stream.owed.is_empty() {
                    self.owing.insert(*id);
                }
                self.listening.entry(query.kind).or_default().place(query).insert(*id);
                self.open.insert(*id, stream);
            }
            Fact::Told { change } => {
                self.told = change.revision;
                self.owe(change);
            }
            Fact::Streamed { id, event } => return self.streamed(truth, *id, event),
            Fact::Closed { id } => self.close(*id),
            Fact::Served if !self.owing.is_empty() => {
                for id in std::mem::take(&mut self.owing) {
                    let Some(stream) = self.open.get_mut(&id) else { continue };
                    stream.starting = false;
                    if let Some((news, revision)) = stream.owed.front() {
                        let what = format!("a watch of {:?} was not told {news:?} @{revision}", stream.query);
                        return Err(
                            Broken::by(what).with(truth.change(*revision).and_then(|change| change.new.as_ref()))
                        );
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node};
    use super::*;

    /// A watch of nodes after @1, with one node changed at @2.
    fn story() -> (Story<Watch>, Change) {
        let mut story = Story::<Watch>::new();
        story.put(node("n")).unwrap();
        story.see(Fact::Recovered { objects: &Default::default(), revision: Revision(1) }).unwrap();
        let (query, from) = (Query::all(Kind::Node), WatchFrom::After(Revision(1)));
        story.see(Fact::Opened { id: RequestId(1), query: &query, from }).unwrap();
        story.see(Fact::Served).unwrap();
        let mut changed = node("n");
        changed["spec"] = serde_json::json!({"unschedulable": true});
        let change = story.put(changed).unwrap();
        story.see(Fact::Told { change: &change }).unwrap();
        (story, change)
    }

    #[test]
    fn fires_on_gaps_repetitions_and_wrong_news() {
        let tell =
            |story: &mut Story<Watch>, event: WatchEvent| story.see(Fact::Streamed { id: RequestId(1), event: &event });
        let (mut story_a, change) = story();
        let object = change.new.clone().unwrap();
        tell(&mut story_a, WatchEvent::Modified(object.clone())).unwrap();
        story_a.see(Fact::Served).unwrap();
        tell(&mut story_a, WatchEvent::Bookmark(Revision(2))).unwrap();
        assert!(tell(&mut story_a, WatchEvent::Modified(object.clone())).is_err(), "twice");

        let (mut story_b, _) = story();
        assert!(story_b.see(Fact::Served).unwrap_err().what.contains("not told"));
        let (mut story_c, _) = story();
        assert!(tell(&mut story_c, WatchEvent::Added(object.clone())).is_err(), "it was there before");
        let (mut story_d, _) = story();
        assert!(tell(&mut story_d, WatchEvent::Bookmark(Revision(2))).is_err(), "ahead of its events");
        let (mut story_e, _) = story();
        let other = object.with_meta(|meta| meta.labels = Default::default());
        let other = other.with(|node: &mut miniku_core::api::node::Node| node.spec.unschedulable = false);
        assert!(tell(&mut story_e, WatchEvent::Modified(other)).is_err(), "not what was stored");
    }
}
