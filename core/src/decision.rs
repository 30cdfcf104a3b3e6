//! What was decided, by which row, and on what facts; and how one decision leads to the next.
//!
//! Programs tell each decision that matters to an object, as [`Effect::Decided`](crate::program::Effect::Decided). A
//! [`Journal`] keeps the last ones, and its [chain](Journal::chain) of an object is the answer to why it is as it is.

use crate::api::object::Key;
use crate::table::{Row, Table};
use crate::time::Wall;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Which row decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// The table, or the list, where the row stands: `miniku decisions` prints it.
    pub table: Cow<'static, str>,
    /// The row's name there.
    pub row: Cow<'static, str>,
    /// The reason that is the same each time.
    pub why: Cow<'static, str>,
    /// What was the case this time, in short sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
}

impl Because {
    /// A row of a table or a list.
    pub fn new(table: &'static str, row: &'static str, why: &'static str) -> Self {
        let [table, row, why] = [table, row, why].map(Cow::Borrowed);
        Because { table, row, why, facts: Vec::new() }
    }

    /// A row of a table.
    pub fn of<A>(table: &Table<A>, row: &Row<A>) -> Self {
        Because::new(table.name, row.name, row.why)
    }

    /// Whether another is of the same row, whatever was the case then.
    pub fn is_like(&self, other: &Because) -> bool {
        self.table == other.table && self.row == other.row
    }

    /// On this fact.
    pub fn as_seen(mut self, fact: impl Into<String>) -> Self {
        self.facts.push(fact.into());
        self
    }
}

/// `scale: missing (there are fewer than are wanted): 1 of 3 are there`
impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.table, self.row, self.why)?;
        if self.facts.is_empty() { Ok(()) } else { write!(f, ": {}", self.facts.join("; ")) }
    }
}

/// A decision about objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is done to these, or with them.
    pub about: Vec<Key>,
    /// For this one's sake: the owner of what is made, the node whose pods are evicted, the pod that needs room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sake: Option<Key>,
    /// The row.
    #[serde(flatten)]
    pub because: Because,
}

impl Noted {
    /// A decision that was made once.
    pub fn once(at: Wall, by: &Arc<str>, decision: Decision) -> Self {
        Noted { at, last: at, times: 1, by: by.clone(), decision }
    }
}

impl Decision {
    /// About one object, for its own sake.
    pub fn about(key: Key, because: Because) -> Self {
        Decision { about: vec![key], sake: None, because }
    }

    /// For another one's sake.
    pub fn for_sake_of(mut self, sake: Key) -> Self {
        self.sake = Some(sake);
        self
    }
}

/// As a line of a log.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, key) in self.about.iter().take(NAMED).enumerate() {
            write!(f, "{}{}", if nth == 0 { "" } else { ", " }, Named(key))?;
        }
        if let more @ 1.. = self.about.len().saturating_sub(NAMED) {
            write!(f, " and {more} more")?;
        }
        if let Some(sake) = &self.sake {
            write!(f, " for {}", Named(sake))?;
        }
        write!(f, ": {}", self.because)
    }
}

/// So many objects a line names.
const NAMED: usize = 3;

/// An object as people speak of it: `pod default/web-1`, `node node-1`.
pub struct Named<'a>(pub &'a Key);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { kind, namespace, name } = self.0;
        let singular = kind.row().singular;
        if namespace.is_empty() { write!(f, "{singular} {name}") } else { write!(f, "{singular} {namespace}/{name}") }
    }
}

/// A decision in a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// When, by the clock of who decided.
    pub at: Wall,
    /// When it was decided last, if it was decided again and again.
    pub last: Wall,
    /// How often in a row.
    pub times: u64,
    /// The program: `scheduler`, `kubelet node-1`.
    pub by: Arc<str>,
    /// What.
    #[serde(flatten)]
    pub decision: Decision,
}

/// A decision's place in a journal: by time, for who decide tell it late. Then by number, for several are made at one time.
type Place = (Wall, u64);

/// Which decisions concern an object.
type Index = BTreeMap<Key, BTreeSet<Place>>;

/// The last decisions, by object. Bounded: the oldest are forgotten.
#[derive(Debug, Default)]
pub struct Journal {
    noted: BTreeMap<Place, Noted>,
    next: u64,
    /// How many objects the decisions are about, counted for each.
    size: usize,
    about: Index,
    /// Those that were made for its sake.
    sake: Index,
    forgotten: bool,
}

/// So many decisions are kept in all; one about many objects counts as many.
const KEPT: usize = 16_000;
/// Of them so many about one object, or for its sake.
const KEPT_EACH: usize = 100;
/// Of these so many of its beginning: who made an object matters for as long as it is there.
const KEPT_FIRST: usize = 20;

impl Journal {
    /// Takes a decision down.
    pub fn note(&mut self, noted: Noted) {
        let Noted { at, last, times, by, decision } = noted;
        if let [key] = &*decision.about
            && let Some(known) = self.about.get(key).and_then(BTreeSet::last)
            && let Some(known) = self.noted.get_mut(known).filter(|one| one.by == by && one.decision == decision)
        {
            known.last = known.last.max(last);
            known.times += times;
            return;
        }
        let place = (at, self.next);
        self.next += 1;
        let mut crowded = BTreeSet::new();
        for (about, key) in concerned(&decision) {
            let index = if about { &mut self.about } else { &mut self.sake };
            let all = index.entry(key.clone()).or_default();
            all.insert(place);
            if all.len() > KEPT_EACH {
                crowded.extend(all.iter().nth(KEPT_FIRST).copied());
            }
        }
        self.size += decision.about.len();
        self.noted.insert(place, Noted { at, last, times, by, decision });
        crowded.into_iter().for_each(|place| self.forget(place));
        while self.size > KEPT
            && let Some(oldest) = self.noted.keys().next().copied()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, place: Place) {
        let Some(one) = self.noted.remove(&place) else { return };
        self.forgotten = true;
        self.size -= one.decision.about.len();
        for (about, key) in concerned(&one.decision) {
            let index = if about { &mut self.about } else { &mut self.sake };
            let Some(all) = index.get_mut(key) else { continue };
            all.remove(&place);
            if all.is_empty() {
                index.remove(key);
            }
        }
    }

    /// Whether any decision was forgotten.
    pub fn has_forgotten(&self) -> bool {
        self.forgotten
    }

    /// Why an object is as it is: the decisions about it and those made for its sake; and of each whose sake it was for, what
    /// was decided about that one before, back to what was decided for another's sake again. In the order of time.
    pub fn chain(&self, key: &Key) -> Vec<&Noted> {
        let mut found = self.sake.get(key).cloned().unwrap_or_default();
        let mut open: Vec<Place> = self.about.get(key).into_iter().flatten().copied().collect();
        let sake_of = |place: &Place| self.noted.get(place).and_then(|one| one.decision.sake.as_ref());
        while let Some(place) = open.pop() {
            if !found.insert(place) {
                continue;
            }
            let all = sake_of(&place).and_then(|sake| self.about.get(sake));
            for before in all.into_iter().flat_map(|all| all.range(..place).rev()).take(LED_TO) {
                open.push(*before);
                if sake_of(before).is_some() {
                    break;
                }
            }
        }
        found.iter().filter_map(|place| self.noted.get(place)).collect()
    }
}

/// So many decisions about an owner are told of each about its own.
const LED_TO: usize = 3;

/// The objects that a decision concerns, and whether it is about them.
fn concerned(decision: &Decision) -> impl Iterator<Item = (bool, &Key)> {
    let about = decision.about.iter().map(|key| (true, key));
    about.chain(decision.sake.iter().map(|key| (false, key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;

    fn key(kind: Kind, name: &str) -> Key {
        Key::new(kind, if kind == Kind::Node { "" } else { "default" }, name)
    }

    fn row(row: &'static str) -> Because {
        Because::new("table", row, "so it is")
    }

    fn rows(chain: &[&Noted]) -> Vec<String> {
        chain.iter().map(|one| one.decision.because.row.to_string()).collect()
    }

    #[test]
    fn a_chain_leads_back_to_the_first_cause() {
        let (web, set, pod, other) = (
            key(Kind::Deployment, "web"),
            key(Kind::ReplicaSet, "web-1"),
            key(Kind::Pod, "web-1-a"),
            key(Kind::Pod, "web-1-b"),
        );
        let mut journal = Journal::default();
        let mut note = |by: &str, decision| journal.note(Noted::once(Wall::default(), &by.into(), decision));
        note("apiserver", Decision::about(web.clone(), row("created")));
        note("workloads", Decision::about(set.clone(), row("roll")).for_sake_of(web.clone()));
        note("apiserver", Decision::about(set.clone(), row("stored")));
        let both =
            Decision { about: vec![pod.clone(), other.clone()], sake: Some(set.clone()), because: row("missing") };
        note("workloads", both);
        note("scheduler", Decision::about(pod.clone(), row("bound")));
        note("scheduler", Decision::about(other.clone(), row("nowhere")));
        // What happened to the owner since is no cause.
        note("workloads", Decision::about(set.clone(), row("resized")).for_sake_of(web.clone()));
        assert_eq!(rows(&journal.chain(&pod)), ["created", "roll", "stored", "missing", "bound"]);
        assert_eq!(rows(&journal.chain(&web)), ["created", "roll", "resized"]);
        assert!(journal.chain(&key(Kind::Pod, "nobody")).is_empty());
    }

    #[test]
    fn what_is_decided_again_is_counted() {
        let mut journal = Journal::default();
        let pod = key(Kind::Pod, "a");
        for secs in 0..3 {
            let decision = Decision::about(pod.clone(), row("again"));
            journal.note(Noted::once(Wall::from_secs(secs), &"kubelet".into(), decision));
        }
        let chain = journal.chain(&pod);
        assert_eq!((chain.len(), chain[0].times, chain[0].last), (1, 3, Wall::from_secs(2)));
    }

    #[test]
    fn a_journal_is_bounded_and_keeps_beginnings() {
        let mut journal = Journal::default();
        let pod = key(Kind::Pod, "a");
        let fact = |nth: usize| row("again").as_seen(nth.to_string());
        for nth in 0..3 * KEPT_EACH {
            journal.note(Noted::once(Wall::default(), &"kubelet".into(), Decision::about(pod.clone(), fact(nth))));
        }
        let facts: Vec<String> = journal.chain(&pod).iter().map(|one| one.decision.because.facts[0].clone()).collect();
        assert_eq!((facts.len(), &*facts[0], &*facts[KEPT_EACH - 1]), (KEPT_EACH, "0", "299"));
        assert!(journal.has_forgotten());
        for nth in 0..KEPT {
            let other = key(Kind::Pod, &format!("b-{nth}"));
            journal.note(Noted::once(Wall::from_secs(1), &"kubelet".into(), Decision::about(other, row("new"))));
        }
        assert!(journal.chain(&pod).is_empty() && journal.about.len() == KEPT && journal.sake.is_empty());
    }
}
