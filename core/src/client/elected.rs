//! A program that runs only while it leads.
//!
//! It is made anew each time that it is elected, and forgotten whole when it leads no more: what it knew is old, and what
//! it had decided another has decided in the meantime. Whatever it writes carries the lease by which it leads.

use crate::api::lease::Fence;
use crate::client::Informer;
use crate::client::leader::{Elector, Options, Said, Turn};
use crate::program::{Answer, CallId, Effect, Effects, Input, Program, Verb};
use crate::time::Now;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Makes the program for a time of leading; 1 is the first.
pub type Maker = Box<dyn Fn(u64) -> Box<dyn Program> + Send>;

/// A program and the election for it.
pub struct Elected {
    elector: Elector,
    make: Maker,
    lives: u64,
    leader: Option<Leader>,
}

/// A program while it leads.
struct Leader {
    program: Box<dyn Program>,
    fence: Arc<Fence>,
    life: u64,
    /// Its open watches, by the names that others know.
    watches: BTreeSet<CallId>,
}

/// A call is named by its component, then by the life that makes it, then by its number in that life.
const LIFE: u32 = 36;
/// A name comes again after so many lives; no answer is so late.
const LIVES: u64 = 1 << (48 - LIFE);

impl Leader {
    fn outside(&self, call: CallId) -> CallId {
        assert_eq!(call.0 >> LIFE & (LIVES - 1), 0, "nobody makes so many calls in one life");
        CallId(call.0 | (self.life % LIVES) << LIFE)
    }

    /// Absent, if another life has made the call, or the elector.
    fn inside(&self, call: CallId) -> Option<CallId> {
        let life = call.0 >> LIFE & (LIVES - 1);
        (life == self.life % LIVES && !Elector::owns(call)).then(|| CallId(call.0 & !((LIVES - 1) << LIFE)))
    }

    /// What it is told; nothing, if that is not for it.
    fn heard(&mut self, input: Input) -> Input {
        let ends = match &input {
            Input::Ended { call } => Some(*call),
            Input::Reply { call, answer: Answer::Refused(_) | Answer::Lost(_) } => Some(*call),
            _ => None,
        };
        ends.map(|call| self.watches.remove(&call));
        let told = match input {
            Input::Reply { call, answer } => self.inside(call).map(|call| Input::Reply { call, answer }),
            Input::Event { call, event } => self.inside(call).map(|call| Input::Event { call, event }),
            Input::Ended { call } => self.inside(call).map(|call| Input::Ended { call }),
            Input::Measured { call, answer } => self.inside(call).map(|call| Input::Measured { call, answer }),
            other => Some(other),
        };
        told.unwrap_or(Input::Wake)
    }

    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        let input = self.heard(input);
        let before = out.list.len();
        self.program.step(now, input, out);
        let mut said = out.list.split_off(before);
        for effect in &mut said {
            match effect {
                Effect::Call { call, request } => {
                    *call = self.outside(*call);
                    if matches!(request.verb, Verb::Watch { .. }) {
                        self.watches.insert(*call);
                    } else if !request.verb.is_read() && !planted!(WritesUnfenced) {
                        request.fence = Some(self.fence.clone());
                    }
                }
                Effect::Cancel { call } => {
                    *call = self.outside(*call);
                    self.watches.remove(call);
                }
                Effect::Measure { call, .. } => *call = self.outside(*call),
                Effect::Runtime(_)
                | Effect::Answer { .. }
                | Effect::Event { .. }
                | Effect::End { .. }
                | Effect::Commit { .. }
                | Effect::Log { .. } => {}
            }
        }
        out.list.append(&mut said);
    }

    /// Nobody is there any more to hear of anything.
    fn end(self, out: &mut Effects) {
        out.list.extend(self.watches.into_iter().map(|call| Effect::Cancel { call }));
    }
}

impl Elected {
    /// A program that runs while it leads.
    pub fn new(options: Options, make: Maker) -> Self {
        Elected { elector: Elector::new(options), make, lives: 0, leader: None }
    }

    /// What an input says of the lease: a refusal counts only if it is for this time of leading.
    fn said(&self, input: &Input) -> Said {
        match (input, &self.leader) {
            (Input::Reply { call, answer: Answer::Refused(status) }, Some(leader))
                if status.is_fenced() && leader.inside(*call).is_some() =>
            {
                Said::NotHeld
            }
            _ => Said::Nothing,
        }
    }
}

impl Program for Elected {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        let turn = self.elector.step(now, &input, self.said(&input), out);
        if turn.is_some()
            && let Some(leader) = self.leader.take()
        {
            leader.end(out);
        }
        let mut input = input;
        if let Some(Turn::Elected(fence)) = turn {
            self.lives += 1;
            let (program, life) = ((self.make)(self.lives), self.lives);
            self.leader = Some(Leader { program, fence, life, watches: BTreeSet::new() });
            input = Input::Wake;
        }
        if let Some(leader) = &mut self.leader {
            leader.step(now, input, out);
        }
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        if let Some(leader) = &self.leader {
            leader.program.each_informer(show);
        }
    }
}
