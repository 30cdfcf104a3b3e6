//! S-list: A list is what was stored at its revision and is meant by its query, in the order of namespaces and names: nothing twice, nothing left out.
//!
//! What was stored is reckoned backwards from what is durable now. Catches: pages that overlap or leave something out; a
//! list that mixes two revisions; objects of another selection.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{Answer, Query, RequestId, Revision, Verb};
use std::collections::BTreeMap;

/// What was asked for.
#[derive(Default)]
pub struct List {
    asked: BTreeMap<RequestId, Query>,
}

/// What a list must have in it; nothing if too much has been changed since to tell.
fn wanted(truth: &Truth, query: &Query, revision: Revision) -> Option<Vec<(Key, Revision)>> {
    let newer = truth.history.partition_point(|change| change.revision <= revision);
    if newer == 0 && truth.history.front().is_some_and(|first| first.revision.0 > revision.0 + 1) {
        return None;
    }
    let mut then: BTreeMap<&Key, Option<&Object>> = BTreeMap::new();
    for change in truth.history.range(newer..).rev().filter(|change| change.key.kind == query.kind) {
        then.insert(&change.key, change.old.as_ref());
    }
    let same = truth.disk.objects().of_kind(query.kind).filter(|object| query.matches(object));
    let same = same.filter(|object| !then.contains_key(&object.key()));
    let others = then.values().copied().flatten().filter(|object| query.matches(object));
    let mut all: Vec<(Key, Revision)> = same.chain(others).map(|object| (object.key(), object.revision())).collect();
    all.sort_by(|(one, _), (other, _)| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Some(all)
}

impl Checker for List {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { id, request, .. } => {
                if let Verb::List(query) = &request.verb {
                    self.asked.insert(*id, query.clone());
                }
            }
            Fact::Answered { id, answer } => {
                let Some(query) = self.asked.remove(id) else { return Ok(()) };
                let Answer::List { revision, items } = answer else { return Ok(()) };
                let Some(wanted) = wanted(truth, &query, *revision) else { return Ok(()) };
                let got = items.iter().map(|object| (object.key(), object.revision()));
                if got.clone().eq(wanted.iter().cloned()) {
                    return Ok(());
                }
                let is = got.map(|(key, at)| format!("{key} @{at}")).zip(1..);
                let first = is.zip(wanted.iter()).find(|((is, _), (key, at))| *is != format!("{key} @{at}"));
                let what = match first {
                    Some(((is, nth), (key, at))) => format!("number {nth} is {is}, where {key} @{at} is next"),
                    None => format!("{} objects, and there were {}", items.len(), wanted.len()),
                };
                return Err(Broken::by(format!("a list of {} @{revision}: {what}", query.kind.row().plural)));
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
    use crate::truth::Role;
    use miniku_core::api::kinds::Kind;

    #[test]
    fn fires_on_what_is_twice_missing_or_of_another_time() {
        let mut story = Story::<List>::new();
        let objects = ["a", "b", "c"].map(|name| story.put(node(name)).unwrap().new.unwrap());
        story.write(&objects[1], true).unwrap();
        let [a, b, c] = objects;
        let mut list = |revision: u64, items: &[&Object]| {
            story.sends(&who(Role::Operator, "operator"), Verb::List(Query::all(Kind::Node))).unwrap();
            let items = items.iter().copied().cloned().collect();
            let answer = Answer::List { revision: Revision(revision), items };
            story.answers(1, &answer).map_err(|broken| broken.what)
        };
        assert_eq!(list(4, &[&a, &c]), Ok(()));
        assert_eq!(list(3, &[&a, &b, &c]), Ok(()));
        assert_eq!(list(2, &[&a, &b]), Ok(()));
        assert_eq!(
            list(4, &[&a, &a, &c]),
            Err("a list of nodes @4: number 2 is nodes/a @1, where nodes/c @3 is next".into())
        );
        assert_eq!(list(3, &[&a, &b]), Err("a list of nodes @3: 2 objects, and there were 3".into()));
        assert!(list(4, &[&a, &b, &c]).is_err());
        assert!(list(3, &[&a, &c, &b]).is_err());
    }
}
