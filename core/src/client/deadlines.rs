//! Things to do at a time: one deadline a key, and the next one found at once.

use crate::client::Backoff;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// At most one deadline for each key. Every operation costs O(log keys).
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Sets the key's deadline, in place of the one it had.
    pub fn set(&mut self, key: K, at: Instant) {
        let Some(before) = self.by_key.get_mut(&key) else {
            self.by_key.insert(key.clone(), at);
            self.by_time.insert((at, key));
            return;
        };
        let before = std::mem::replace(before, at);
        if before != at {
            let mut place = (before, key);
            self.by_time.remove(&place);
            place.0 = at;
            self.by_time.insert(place);
        }
    }

    /// Sets the key's deadline if it has none.
    pub fn set_if_absent(&mut self, key: K, at: Instant) {
        if !self.by_key.contains_key(&key) {
            self.set(key, at);
        }
    }

    /// Sets the key's deadline, unless it has an earlier one.
    pub fn set_if_earlier(&mut self, key: K, at: Instant) {
        if self.by_key.get(&key).is_none_or(|earlier| at < *earlier) {
            self.set(key, at);
        }
    }

    /// Takes the key's deadline away.
    pub fn remove(&mut self, key: &K) -> Option<Instant> {
        let at = self.by_key.remove(key)?;
        self.by_time.remove(&(at, key.clone()));
        Some(at)
    }

    /// The key's deadline.
    pub fn get(&self, key: &K) -> Option<Instant> {
        self.by_key.get(key).copied()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out one key whose time has come: the earliest, then by key.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// All keys with a deadline, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// Keys that have to be looked at, each once, and again with growing delays if that fails.
#[derive(Clone, Debug)]
pub struct Queue<K> {
    due: Deadlines<K>,
    failures: BTreeMap<K, Failed>,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    /// How often in a row.
    times: u32,
    /// When it may be looked at again.
    turn: Instant,
}

/// How long a thing that failed waits.
///
/// Source: Kubernetes, `workqueue.DefaultControllerRateLimiter` (5 ms to 1000 s); the upper bound is MiniKu's, so
/// that what was repaired is noticed within a minute.
pub const RETRY: Backoff = Backoff { initial: Duration::from_millis(5), max: Duration::from_secs(60) };

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Queue { due: Deadlines::default(), failures: BTreeMap::new(), backoff: RETRY }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// The key must be looked at now; if it failed, not before its turn comes.
    pub fn add(&mut self, key: K, now: Instant) {
        let turn = self.failures.get(&key).map_or(now, |failed| failed.turn.max(now));
        self.due.set_if_earlier(key, turn);
    }

    /// The key must be looked at then, or earlier.
    pub fn add_at(&mut self, key: K, at: Instant) {
        self.due.set_if_earlier(key, at);
    }

    /// Looking at the key failed: it comes again, later each time.
    pub fn failed(&mut self, key: K, now: Instant) {
        let failed = self.failures.entry(key.clone()).or_insert(Failed { times: 0, turn: now });
        failed.times = failed.times.saturating_add(1);
        failed.turn = now + self.backoff.delay(failed.times);
        if failed.times == 8 {
            sometimes!(RetriedMany);
        }
        if planted!(QueueDropsFailed) {
            return;
        }
        self.due.set(key, failed.turn);
    }

    /// Looking at the key succeeded: its next failure is the first again.
    pub fn succeeded(&mut self, key: &K) {
        if self.failures.remove(key).is_some() {
            sometimes!(WorkAgainInTime);
        }
    }

    /// The key is gone.
    pub fn remove(&mut self, key: &K) {
        self.due.remove(key);
        self.failures.remove(key);
    }

    /// Takes out one key to look at.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        self.due.pop_due(now)
    }

    /// When the next key is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.next()
    }

    /// How many keys wait.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::default() + Duration::from_secs(secs)
    }

    #[test]
    fn one_deadline_a_key_and_the_earliest_first() {
        let mut deadlines = Deadlines::default();
        deadlines.set("a", at(5));
        deadlines.set("b", at(3));
        deadlines.set("a", at(4));
        deadlines.set_if_absent("b", at(1));
        deadlines.set_if_earlier("a", at(9));
        assert_eq!(deadlines.next(), Some(at(3)));
        assert_eq!((deadlines.pop_due(at(2)), deadlines.pop_due(at(4))), (None, Some("b")));
        assert_eq!((deadlines.pop_due(at(4)), deadlines.pop_due(at(9))), (Some("a"), None));
    }

    #[test]
    fn a_key_that_failed_waits_its_turn() {
        let mut queue = Queue::default();
        queue.add("a", at(1));
        assert_eq!(queue.pop_due(at(1)), Some("a"));
        queue.failed("a", at(1));
        queue.add("a", at(1));
        assert_eq!(queue.pop_due(at(1)), None);
        assert_eq!(queue.pop_due(at(2)), Some("a"));
        // Its turn has come; whether that helped is not known yet, but news are looked at, whatever else it waits for.
        queue.add_at("a", at(9));
        queue.add("a", at(2));
        assert_eq!(queue.pop_due(at(2)), Some("a"));
        queue.succeeded(&"a");
        queue.add("a", at(2));
        assert_eq!(queue.pop_due(at(2)), Some("a"));
    }
}
