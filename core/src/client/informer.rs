//! Informer: a program's view of the objects it cares about, kept true by a list and a watch.
//!
//! It lists, then watches from the list's revision. When the watch ends it watches again from where it was; when that
//! revision is forgotten it lists again, and tells the difference, deletions included. Failures are tried again with
//! exponential, jittered delays. This is the list-watch of GoKube, with its options and what its metrics count.
//!
//! The view never goes back: the first list is the most recent there is, a later one is asked to be no older than what
//! was seen. Only a server that itself knows less (its store was lost) is followed back, after it has said so.

use crate::api::by_key::{ByKey, Keys};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object, Resource};
use crate::client::{Backoff, Ids};
use crate::program::{Answer, CallId, Effect, Effects, Input, Level, Query, Revision, Verb, WatchEvent, WatchFrom};
use crate::rng::Draw;
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};

/// How a list-watch behaves when the API server goes away. The defaults are GoKube's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Delays between tries.
    pub backoff: Backoff,
    /// A list or the opening of a watch that takes longer is given up.
    pub timeout: Duration,
    /// How often [`Change::Synced`] is told again, so that everything is looked at whatever was heard of it.
    pub resync: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(30) };
        Options { backoff, timeout: Duration::from_secs(30), resync: None }
    }
}

/// A change of the view.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An object is new, or was not known.
    Added(Object),
    /// An object is another than before; its uid is the same.
    Modified {
        /// What it was.
        old: Object,
        /// What it is.
        new: Object,
    },
    /// An object is gone.
    Deleted(Object),
    /// The view is complete for the first time, or again after a list; or it is time for a resync.
    Synced,
}

impl Change {
    /// What an object was and is; neither if it is about none.
    pub fn sides(&self) -> (Option<&Object>, Option<&Object>) {
        match self {
            Change::Added(new) => (None, Some(new)),
            Change::Modified { old, new } => (Some(old), Some(new)),
            Change::Deleted(old) => (Some(old), None),
            Change::Synced => (None, None),
        }
    }
}

/// What a list-watch has been through. Read by `/metrics`, under GoKube's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Watches that ended or could not be opened.
    pub watch_failures: u64,
    /// Tries after a failure.
    pub retry_attempts: u64,
    /// Events taken in, by what they were.
    pub added: u64,
    /// See `added`.
    pub modified: u64,
    /// See `added`.
    pub deleted: u64,
    /// Lists that failed.
    pub list_failures: u64,
    /// Lists that succeeded, and how long they took in all.
    pub lists: u64,
    /// See `lists`.
    pub list_nanos: u64,
    /// Watches that have ended, and how long they were open in all.
    pub sessions: u64,
    /// See `sessions`.
    pub session_nanos: u64,
    /// Whether a watch is open.
    pub connected: bool,
}

/// A view of the objects that match a query.
#[derive(Debug)]
pub struct Informer {
    query: Query,
    options: Options,
    jitter: Draw,
    ids: Ids,
    state: State,
    began_at: Instant,
    resync_at: Option<Instant>,
    failures: u32,
    revision: Revision,
    synced: bool,
    counts: Counts,
    objects: ByKey<Object>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known: list as soon as the program is stepped.
    New,
    /// `at_least` is what the list must not be older than; absent where the most recent is asked for.
    Listing {
        call: CallId,
        lost_at: Instant,
        at_least: Option<Revision>,
    },
    Opening {
        call: CallId,
        lost_at: Instant,
    },
    Watching {
        call: CallId,
        opened: Instant,
    },
    /// To list or to watch again, then.
    Waiting {
        until: Instant,
        list: bool,
    },
    /// Nothing is asked for: see [`Informer::close`].
    Closed,
}

/// A watch that was open for so long was a good one: the next failure is the first again.
const GOOD_WATCH: Duration = Duration::from_secs(5);

impl Informer {
    /// A view of what matches `query`; `space` differs among the informers and calls of one program. `seed` decides the
    /// jitter of its delays.
    pub fn new(query: Query, space: u16, seed: u64, options: Options) -> Self {
        let jitter = Draw::new(seed).key("informer").key(query.kind.row().plural);
        Informer {
            query,
            options,
            jitter,
            ids: Ids::in_space(space),
            state: State::New,
            began_at: Instant::default(),
            resync_at: None,
            failures: 0,
            revision: Revision(0),
            synced: false,
            counts: Counts::default(),
            objects: ByKey::new(),
        }
    }

    /// Asks for nothing any more, and forgets all that was in the view, which is told to be gone.
    pub fn close(&mut self, out: &mut Effects) -> Vec<Change> {
        if let State::Listing { call, .. } | State::Opening { call, .. } | State::Watching { call, .. } = self.state {
            out.push(Effect::Cancel { call });
        }
        (self.state, self.synced, self.failures, self.revision) = (State::Closed, false, 0, Revision(0));
        std::mem::take(&mut self.objects).into_values().map(Change::Deleted).collect()
    }

    /// Begins anew after [`Informer::close`], with another query.
    pub fn reopen(&mut self, query: Query) {
        assert_eq!(self.state, State::Closed, "a view that is open is not opened");
        (self.query, self.state) = (query, State::New);
    }

    /// Whether it asks for nothing.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the view has been complete once. Nothing may be concluded from absence before.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether news reach it now.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Watching { .. })
    }

    /// All changes up to this revision are in the view.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The kind that it views.
    pub fn kind(&self) -> Kind {
        self.query.kind
    }

    /// What it views: `pods`.
    pub fn resource(&self) -> &'static str {
        self.query.kind.row().plural
    }

    /// What it has been through.
    pub fn counts(&self) -> Counts {
        Counts { connected: self.is_connected(), ..self.counts }
    }

    /// An object of the view.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// The body of an object of the view.
    pub fn get<T: Resource>(&self, key: &Key) -> Option<&T> {
        self.objects.get(key)?.get()
    }

    /// All objects of the view, in the order of their keys.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// All bodies of the view, in the order of their keys.
    pub fn all<T: Resource>(&self) -> impl Iterator<Item = &T> {
        self.objects.values().filter_map(Object::get)
    }

    /// How many objects the view has.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether the view has none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Takes in an input, meant for it or not, and tells what changed. To be called at every step.
    pub fn step(&mut self, now: Now, input: &Input, out: &mut Effects) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.rests(input) {
            return changes;
        }
        self.take_in(now, input, &mut changes, out);
        self.go_on(now, out);
        self.resync(now, &mut changes, out);
        changes
    }

    /// Whether there is nothing to do: it watches, and the input is not for it. A program may have fifty informers, and steps
    /// all of them each time that it is stepped itself.
    fn rests(&self, input: &Input) -> bool {
        let State::Watching { call, .. } = self.state else { return false };
        let is_own = match input {
            Input::Event { call: of, .. } | Input::Ended { call: of } => call == *of,
            _ => false,
        };
        !is_own && self.options.resync.is_none()
    }

    fn resync(&mut self, now: Now, changes: &mut Vec<Change>, out: &mut Effects) {
        let Some(every) = self.options.resync.filter(|_| self.synced) else { return };
        let at = *self.resync_at.get_or_insert(now.mono + every);
        if at <= now.mono {
            changes.push(Change::Synced);
            self.resync_at = Some(now.mono + every);
        }
        out.wake_at(self.resync_at);
    }

    fn take_in(&mut self, now: Now, input: &Input, changes: &mut Vec<Change>, out: &mut Effects) {
        match (self.state, input) {
            (State::Listing { call, at_least, .. }, Input::Reply { call: of, answer }) if call == *of => match answer {
                // No failure: it is asked at once for what it does know.
                Answer::Refused(status) if at_least.is_some() && status.is_too_large_revision() => {
                    self.list(now, None, out);
                }
                Answer::List { revision, .. } if at_least.is_some_and(|least| *revision < least) => {
                    self.list(now, None, out);
                }
                Answer::List { revision, items } => {
                    let began_at = self.began_at;
                    self.counts.lists += 1;
                    self.counts.list_nanos += nanos(now.mono.since(began_at));
                    let again = self.synced;
                    self.replace_all(items, changes);
                    if again && changes.is_empty() {
                        sometimes!(RelistFoundNothing);
                    }
                    self.revision = *revision;
                    self.synced = true;
                    changes.push(Change::Synced);
                    self.open(now, out);
                }
                other => {
                    sometimes!(ListFailed);
                    if planted!(FailedListIsEmpty) {
                        self.replace_all(&[], changes);
                    }
                    self.fail(now, true, &format!("list: {}", other.trouble()), out);
                }
            },
            (State::Opening { call, .. }, Input::Reply { call: of, answer }) if call == *of => match answer {
                Answer::Watching => self.state = State::Watching { call, opened: now.mono },
                other => self.fail(now, true, &format!("watch: {}", other.trouble()), out),
            },
            (State::Opening { call, .. } | State::Watching { call, .. }, Input::Event { call: of, event })
                if call == *of =>
            {
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        if !planted!(WatchesFromList) {
                            self.revision = self.revision.max(object.revision());
                        }
                        self.put(object.clone(), changes);
                    }
                    WatchEvent::Deleted(object) => {
                        self.revision = self.revision.max(object.revision());
                        self.counts.deleted += 1;
                        if let Some(last) = self.objects.remove(&object.key()) {
                            changes.push(Change::Deleted(last));
                        }
                    }
                    WatchEvent::Bookmark(revision) => self.revision = self.revision.max(*revision),
                    WatchEvent::Expired(status) => {
                        sometimes!(ExpiredThenRelist);
                        let list = !planted!(NoRelistWhenExpired);
                        self.fail(now, list, &format!("watch: {status}"), out);
                    }
                }
            }
            (State::Opening { call, .. }, Input::Ended { call: of }) if call == *of => {
                self.fail(now, false, "the watch ended before it began", out);
            }
            (State::Watching { call, opened }, Input::Ended { call: of }) if call == *of => {
                sometimes!(WatchEnded);
                self.counts.sessions += 1;
                self.counts.session_nanos += nanos(now.mono.since(opened));
                if now.mono.since(opened) >= GOOD_WATCH {
                    self.failures = 0;
                }
                self.fail(now, false, "the watch ended", out);
            }
            _ => {}
        }
    }

    fn go_on(&mut self, now: Now, out: &mut Effects) {
        match self.state {
            State::Listing { call, lost_at, .. } if lost_at <= now.mono && !planted!(ListsForEver) => {
                out.push(Effect::Cancel { call });
                self.fail(now, true, "list: no answer", out);
            }
            State::Opening { call, lost_at } if lost_at <= now.mono => {
                out.push(Effect::Cancel { call });
                self.fail(now, false, "watch: no answer", out);
            }
            _ => {}
        }
        // In the same step, so that a further one at the same time adds nothing.
        match self.state {
            State::New => self.list(now, None, out),
            State::Waiting { until, list } if until <= now.mono => {
                self.counts.retry_attempts += 1;
                let seen = Some(self.revision).filter(|_| self.synced);
                if list { self.list(now, seen, out) } else { self.open(now, out) }
            }
            _ => {}
        }
        match self.state {
            State::Listing { .. } if planted!(ListsForEver) => {}
            State::Listing { lost_at, .. } | State::Opening { lost_at, .. } => out.wake_at(lost_at),
            State::Waiting { until, .. } => out.wake_at(until),
            State::New | State::Watching { .. } | State::Closed => {}
        }
    }

    fn list(&mut self, now: Now, at_least: Option<Revision>, out: &mut Effects) {
        let call = self.ids.draw();
        self.began_at = now.mono;
        self.state = State::Listing { call, lost_at: now.mono + self.options.timeout, at_least };
        let query = Query { not_older_than: at_least, ..self.query.clone() };
        out.push(Effect::Call { call, request: Verb::List(query).into() });
    }

    fn open(&mut self, now: Now, out: &mut Effects) {
        let call = self.ids.draw();
        self.state = State::Opening { call, lost_at: now.mono + self.options.timeout };
        let skipped = u64::from(planted!(SkipsAfterReconnect) && self.counts.sessions > 0);
        let from = WatchFrom::After(Revision(self.revision.0 + skipped));
        out.push(Effect::Call {
            call,
            request: Verb::Watch { query: self.query.clone(), from, bookmarks: true }.into(),
        });
    }

    /// Tries again later: with a list, if where it was cannot be trusted any more.
    fn fail(&mut self, now: Now, list: bool, why: &str, out: &mut Effects) {
        self.counts.watch_failures += u64::from(!list);
        self.counts.list_failures += u64::from(list);
        self.failures = self.failures.saturating_add(1);
        // The first time at once: a server ends watches in good health too.
        let delay = match self.failures {
            1 => Duration::ZERO,
            failures => self.options.backoff.jittered(failures - 1, self.jitter.count(u64::from(failures))),
        };
        if delay >= self.options.backoff.max / 2 {
            sometimes!(BackoffAtCap);
        }
        self.state = State::Waiting { until: now.mono + delay, list };
        let level = if self.failures > 1 { Level::Warn } else { Level::Debug };
        out.log(level, format!("{}: {why}; again in {} ms", self.query.kind.row().plural, delay.as_millis()));
    }

    fn put(&mut self, object: Object, changes: &mut Vec<Change>) {
        let key = object.key();
        match self.objects.insert(key, object.clone()) {
            None => {
                self.counts.added += 1;
                changes.push(Change::Added(object));
            }
            Some(old) if old.meta().uid != object.meta().uid && !planted!(RecreatedIsModified) => {
                sometimes!(SameNameNewUid);
                self.counts.added += 1;
                changes.push(Change::Deleted(old));
                changes.push(Change::Added(object));
            }
            Some(old) if old.meta().resource_version != object.meta().resource_version => {
                self.counts.modified += 1;
                changes.push(Change::Modified { old, new: object });
            }
            Some(_) => {}
        }
    }

    fn replace_all(&mut self, items: &[Object], changes: &mut Vec<Change>) {
        let listed: Keys = items.iter().map(Object::key).collect();
        let gone: Vec<Key> =
            self.objects.keys().filter(|key| !listed.contains_key(key) && !planted!(RelistKeepsDeleted)).collect();
        for key in gone {
            sometimes!(RelistFoundDeletion);
            self.counts.deleted += 1;
            changes.extend(self.objects.remove(&key).map(Change::Deleted));
        }
        for item in items {
            self.put(item.clone(), changes);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::{Reason, Status};

    /// What an informer asks for after each of these answers, and the revision its view is at in the end.
    fn asks(answers: Vec<Answer>) -> (Vec<String>, u64) {
        let mut informer = Informer::new(Query::all(Kind::Node), 1, 1, Options::default());
        let (mut now, mut asked) = (Now::default(), Vec::new());
        let mut answers = answers.into_iter();
        let mut input = Input::Wake;
        loop {
            let mut out = Effects::default();
            informer.step(now, &input, &mut out);
            let call = out.list.iter().find_map(|effect| match effect {
                Effect::Call { call, request } => Some((*call, request.verb.clone())),
                _ => None,
            });
            let Some((call, verb)) = call else {
                now.mono = out.wake_at.expect("it waits for something");
                input = Input::Wake;
                continue;
            };
            asked.push(match verb {
                Verb::List(Query { not_older_than: None, .. }) => "list".to_owned(),
                Verb::List(Query { not_older_than: Some(least), .. }) => format!("list >= {least}"),
                Verb::Watch { from: WatchFrom::After(after), .. } => format!("watch > {after}"),
                other => format!("{other:?}"),
            });
            let Some(answer) = answers.next() else { return (asked, informer.revision.0) };
            input = Input::Reply { call, answer };
        }
    }

    #[test]
    fn a_view_goes_back_only_with_its_server() {
        let check = |answers: &[Answer], want: &str, revision| {
            let (asked, at) = asks(answers.to_vec());
            assert_eq!((asked.join(", ").as_str(), at), (want, revision));
        };
        let list = |revision| Answer::List { revision: Revision(revision), items: Vec::new() };
        let refused = |reason| Answer::Refused(Status::failure(reason, ""));
        let too_large = || Answer::Refused(Status::too_large_revision(7, 3));
        check(&[], "list", 0);
        check(&[refused(Reason::InternalError)], "list, list", 0);
        check(&[list(7)], "list, watch > 7", 7);
        check(&[list(7), refused(Reason::Expired)], "list, watch > 7, list >= 7", 7);
        check(&[list(7), refused(Reason::Expired), list(9)], "list, watch > 7, list >= 7, watch > 9", 9);
        // A failure is no reason to be content with less.
        let failed = [list(7), refused(Reason::Expired), Answer::Lost(String::new())];
        check(&failed, "list, watch > 7, list >= 7, list >= 7", 7);
        let behind = [list(7), refused(Reason::Expired), list(3), list(8)];
        check(&behind, "list, watch > 7, list >= 7, list, watch > 8", 8);
        let lost = [list(7), refused(Reason::Expired), too_large(), list(3)];
        check(&lost, "list, watch > 7, list >= 7, list, watch > 3", 3);
    }
    #[test]
    fn a_view_that_is_closed_hears_nothing_until_it_is_opened_again() {
        let mut informer = Informer::new(Query::all(Kind::Node), 1, 1, Options::default());
        let mut calls = Vec::new();
        let mut step = |informer: &mut Informer, input: Input| {
            let mut out = Effects::default();
            let changes = informer.step(Now::default(), &input, &mut out);
            calls.extend(out.list.iter().filter_map(|effect| match effect {
                Effect::Call { call, .. } => Some(*call),
                _ => None,
            }));
            (changes.len(), calls.clone())
        };
        let (_, calls) = step(&mut informer, Input::Wake);
        let items = vec![Object::empty(Kind::Node).with_meta(|meta| meta.name = "n".into())];
        let list = Answer::List { revision: Revision(7), items };
        let (changes, calls) = step(&mut informer, Input::Reply { call: calls[0], answer: list.clone() });
        assert_eq!((changes, informer.len()), (2, 1));
        let mut out = Effects::default();
        assert!(matches!(&informer.close(&mut out)[..], [Change::Deleted(_)]));
        assert_eq!(out.list, [Effect::Cancel { call: calls[1] }]);
        step(&mut informer, Input::Reply { call: calls[1], answer: Answer::Watching });
        let (_, calls) = step(&mut informer, Input::Wake);
        assert!(informer.is_closed() && informer.is_empty() && calls.len() == 2);
        informer.reopen(Query::all(Kind::Node));
        let (_, calls) = step(&mut informer, Input::Wake);
        let (changes, _) = step(&mut informer, Input::Reply { call: calls[2], answer: list });
        assert!(changes == 2 && informer.is_synced());
    }
}
