//! Attempts: objects to look at, each with at most one call on its way.
//!
//! What a call did is not looked at again before the view shows it, so that one decision is not carried out twice.
//! What failed comes again, later each time. Nothing here knows what is decided.

use crate::api::status::Reason;
use crate::client::Queue;
use crate::program::{Answer, Effects, Level, Revision};
use crate::time::{Instant, Now};
use std::collections::BTreeMap;
use std::fmt;

/// Keys to look at. Every operation costs O(log keys).
#[derive(Clone, Debug)]
pub struct Attempts<K> {
    due: Queue<K>,
    /// A call is on its way, decided at this revision of the object; absent if that object has gone since, so that its
    /// successor of the same name is not taken for it.
    open: BTreeMap<K, Option<Revision>>,
    /// A call has been answered; the view will show what it did at this revision, or that the object is gone.
    unseen: BTreeMap<K, Revision>,
}

impl<K> Default for Attempts<K> {
    fn default() -> Self {
        Attempts { due: Queue::default(), open: BTreeMap::new(), unseen: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Attempts<K> {
    /// The key must be looked at: now, or when its call has ended and the view shows what it did, or when its turn
    /// comes after a failure.
    pub fn add(&mut self, key: K, now: Instant) {
        if !self.is_busy(&key) {
            self.due.add(key, now);
        }
    }

    /// The key must be looked at then, or earlier.
    pub fn add_at(&mut self, key: K, at: Instant) {
        if !self.is_busy(&key) {
            self.due.add_at(key, at);
        }
    }

    fn is_busy(&self, key: &K) -> bool {
        self.open.contains_key(key) || self.unseen.contains_key(key)
    }

    /// Takes out one key to look at.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        self.due.pop_due(now)
    }

    /// Nothing is to be done about the key.
    pub fn settled(&mut self, key: &K) {
        self.due.succeeded(key);
    }

    /// A call about the key is on its way, decided at this revision of the object.
    pub fn begun(&mut self, key: K, decided_at: Revision) {
        self.open.insert(key, Some(decided_at));
    }

    /// Takes in the answer to a call that writes. `view` is as in [`Attempts::done`].
    pub fn answered(&mut self, key: &K, answer: &Answer, view: Option<Revision>, now: Now, out: &mut Effects)
    where
        K: fmt::Display,
    {
        match answer {
            Answer::Object { object, .. } => self.done(key, Some(object.revision()), view, now.mono),
            Answer::Removed(_) => self.done(key, None, view, now.mono),
            Answer::Refused(status) => {
                out.log(Level::Debug, format!("{key}: {status}"));
                if planted!(ConflictIsDone) && status.reason == Some(Reason::Conflict) {
                    return self.closed(key);
                }
                self.failed(key, now.mono);
            }
            Answer::Lost(why) => {
                out.log(Level::Warn, format!("{key}: {why}"));
                self.failed(key, now.mono);
            }
            Answer::List { .. } | Answer::Watching => self.failed(key, now.mono),
        }
    }

    /// The call was carried out, and left the object at this revision; absent if it is removed. `view` is the
    /// object's revision in the view, absent if it is not there.
    pub fn done(&mut self, key: &K, left_at: Option<Revision>, view: Option<Revision>, now: Instant) {
        let Some(decided_at) = self.open.remove(key) else { return };
        self.due.succeeded(key);
        let Some(decided_at) = decided_at else { return self.add(key.clone(), now) };
        // An answer may carry the object as it was before it went; what was decided on cannot be the outcome.
        let left_at = left_at.unwrap_or(Revision(u64::MAX)).max(Revision(decided_at.0.saturating_add(1)));
        self.unseen.insert(key.clone(), left_at);
        self.seen(key, view, now);
    }

    /// The call ended without a change to wait for: the key is looked at again, at once.
    pub fn again(&mut self, key: &K, now: Instant) {
        self.open.remove(key);
        self.due.succeeded(key);
        self.due.add(key.clone(), now);
    }

    /// The call ended, and there is nothing to look at before the key is added again.
    pub fn closed(&mut self, key: &K) {
        self.open.remove(key);
        self.due.succeeded(key);
    }

    /// The call was refused, or nothing is known of it: the key is looked at again, later each time.
    pub fn failed(&mut self, key: &K, now: Instant) {
        self.open.remove(key);
        self.due.failed(key.clone(), now);
    }

    /// The view has the object at this revision; absent if it is gone.
    pub fn seen(&mut self, key: &K, view: Option<Revision>, now: Instant) {
        if view.is_none()
            && let Some(decided_at) = self.open.get_mut(key)
        {
            *decided_at = None;
        }
        if let Some(awaited) = self.unseen.get(key)
            && view.is_none_or(|view| if planted!(AwaitsExactly) { view == *awaited } else { view >= *awaited })
        {
            self.unseen.remove(key);
            self.add(key.clone(), now);
        }
    }

    /// The key need not be looked at any more. A call on its way is still waited for.
    pub fn forget(&mut self, key: &K) {
        self.due.remove(key);
        self.unseen.remove(key);
    }

    /// When the next key is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const T: Instant = Instant::from_nanos(0);

    fn begun(at: u64) -> Attempts<&'static str> {
        let mut attempts = Attempts::default();
        attempts.add("a", T);
        assert_eq!(attempts.pop_due(T), Some("a"));
        attempts.begun("a", Revision(at));
        attempts
    }

    #[test]
    fn what_was_done_is_looked_at_when_it_is_seen() {
        let mut attempts = begun(3);
        attempts.add("a", T);
        assert_eq!(attempts.pop_due(T), None, "a call is on its way");
        attempts.done(&"a", Some(Revision(5)), Some(Revision(3)), T);
        attempts.seen(&"a", Some(Revision(4)), T);
        attempts.add("a", T);
        assert_eq!(attempts.pop_due(T), None, "the view does not show it yet");
        attempts.seen(&"a", Some(Revision(5)), T);
        assert_eq!(attempts.pop_due(T), Some("a"));
    }

    #[test]
    fn an_answer_may_come_after_the_news() {
        let mut attempts = begun(3);
        attempts.done(&"a", Some(Revision(5)), Some(Revision(6)), T);
        assert_eq!(attempts.pop_due(T), Some("a"));
        let mut attempts = begun(3);
        attempts.done(&"a", None, None, T);
        assert_eq!(attempts.pop_due(T), Some("a"));
    }

    #[test]
    fn what_is_removed_is_waited_for_until_it_is_gone() {
        for last_state in [None, Some(Revision(3))] {
            let mut attempts = begun(3);
            attempts.done(&"a", last_state, Some(Revision(3)), T);
            assert_eq!(attempts.pop_due(T), None);
            attempts.seen(&"a", None, T);
            assert_eq!(attempts.pop_due(T), Some("a"));
        }
    }

    #[test]
    fn a_successor_of_the_same_name_is_looked_at() {
        let mut attempts = begun(3);
        attempts.seen(&"a", None, T);
        attempts.add("a", T);
        assert_eq!(attempts.pop_due(T), None);
        attempts.done(&"a", None, Some(Revision(9)), T);
        assert_eq!(attempts.pop_due(T), Some("a"));
    }

    #[test]
    fn what_failed_comes_later() {
        let mut attempts = begun(3);
        attempts.failed(&"a", T);
        attempts.add("a", T);
        assert_eq!(attempts.pop_due(T), None);
        let first = attempts.next().unwrap();
        assert_eq!(attempts.pop_due(first), Some("a"));
        attempts.begun("a", Revision(3));
        attempts.failed(&"a", first);
        assert!(attempts.next().unwrap().since(first) > first.since(T) && first.since(T) > Duration::ZERO);
    }
}
