//! Calls that wait for their answer.

use crate::client::Deadlines;
use crate::program::{Answer, CallId, Effect, Effects, Input, Request};
use crate::time::{Duration, Instant, Now};
use std::collections::BTreeMap;

/// After this time an answer is taken for lost.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Ids for the calls of one component. Components of one program are given different spaces.
#[derive(Clone, Debug)]
pub struct Ids {
    space: u64,
    next: u64,
}

impl Ids {
    /// The ids of one component of a program.
    pub const fn in_space(space: u16) -> Self {
        Ids { space: (space as u64) << 48, next: 0 }
    }

    /// An id that was not used before.
    pub fn draw(&mut self) -> CallId {
        self.next += 1;
        CallId(self.space | self.next)
    }
}

/// The open calls of a program, each with what it is for.
#[derive(Clone, Debug)]
pub struct Calls<T> {
    ids: Ids,
    open: BTreeMap<CallId, T>,
    lost_at: Deadlines<CallId>,
}

impl<T> Calls<T> {
    /// No calls yet; their ids come from this space.
    pub fn in_space(space: u16) -> Self {
        Calls { ids: Ids::in_space(space), open: BTreeMap::new(), lost_at: Deadlines::default() }
    }

    /// Asks the API server.
    pub fn call(&mut self, now: Now, what: T, request: impl Into<Request>, out: &mut Effects) {
        let call = self.ids.draw();
        self.open.insert(call, what);
        if !planted!(AnswersForEver) {
            self.lost_at.set(call, now.mono + CALL_TIMEOUT);
        }
        out.push(Effect::Call { call, request: request.into() });
    }

    /// The calls that this input, or the time, ends: what each was for, and its answer.
    pub fn ended(&mut self, now: Now, input: &Input) -> Vec<(T, Answer)> {
        let mut ended = Vec::new();
        if let Input::Reply { call, .. } = input
            && call.0 >> 48 == self.ids.space >> 48
            && !self.open.contains_key(call)
        {
            sometimes!(LateAnswer);
        }
        if let Input::Reply { call, answer } = input
            && let Some(what) = self.open.remove(call)
        {
            self.lost_at.remove(call);
            // Nearly always the only one. Room for four, with which a list begins by itself, would be so large that the
            // allocator first joins all small pieces that are free.
            ended.reserve_exact(1);
            ended.push((what, answer.clone()));
        }
        while let Some(call) = self.lost_at.pop_due(now.mono) {
            sometimes!(CallTimedOut);
            let what = self.open.remove(&call).expect("a call has a deadline while it is open");
            ended.push((what, Answer::Lost(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))));
        }
        ended
    }

    /// When the next call will be taken for lost.
    pub fn next(&self) -> Option<Instant> {
        self.lost_at.next()
    }

    /// What the open calls are for, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &T> {
        self.open.values()
    }
}
