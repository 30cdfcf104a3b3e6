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
        (life == self.life % LIVES && !Elector::owns(call)).then_some(CallId(call.0 & !((LIVES - 1) << LIFE)))
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
                | Effect::Log { .. }
                | Effect::Decided { .. } => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::api::lease::Lease;
    use crate::api::object::{Key, Object};
    use crate::api::status::Status;
    use crate::client::Ids;
    use crate::program::{Part, Query, WatchEvent, WatchFrom};
    use crate::time::Duration;

    /// Watches pods from its first step on, deletes one at each, and says what it is told.
    struct Busy {
        ids: Ids,
        life: u64,
        began: bool,
    }

    impl Program for Busy {
        fn step(&mut self, _: Now, input: Input, out: &mut Effects) {
            if !std::mem::replace(&mut self.began, true) {
                let watch = Verb::Watch { query: Query::all(Kind::Pod), from: WatchFrom::Start, bookmarks: false };
                out.push(Effect::Call { call: self.ids.draw(), request: watch.into() });
            }
            if let Input::Event { call, .. } = &input {
                out.log(crate::program::Level::Info, format!("life {} hears of call {}", self.life, call.0 & 0xff));
                let delete = Verb::Delete { key: Key::new(Kind::Pod, "default", "a"), options: Default::default() };
                out.push(Effect::Call { call: self.ids.draw(), request: delete.into() });
            }
        }
    }

    struct World {
        program: Elected,
        now: Now,
        lease: Option<Object>,
        sent: Vec<(CallId, crate::program::Request)>,
        cancelled: Vec<CallId>,
        heard: Vec<String>,
    }

    impl World {
        fn step(&mut self, input: Input) {
            let mut out = Effects::default();
            self.program.step(self.now, input, &mut out);
            for effect in out.list {
                match effect {
                    Effect::Call { call, request } if Elector::owns(call) => self.lease_call(call, request.verb),
                    Effect::Call { call, request } => self.sent.push((call, request)),
                    Effect::Cancel { call } => self.cancelled.push(call),
                    Effect::Log { line, .. } => self.heard.push(line),
                    other => panic!("{other:?}"),
                }
            }
        }

        fn lease_call(&mut self, call: CallId, verb: Verb) {
            let answer = match verb {
                Verb::Get { key } => match self.lease.clone() {
                    Some(object) => Answer::Object { object, created: false },
                    None => Answer::Refused(Status::not_found(key.kind, &key.name)),
                },
                Verb::Create { object } | Verb::Update { object, .. } if object.kind() == Kind::Lease => {
                    let object = object.with_meta(|meta| meta.uid = "u".into());
                    self.lease = Some(object.clone());
                    Answer::Object { object, created: false }
                }
                Verb::Update { part: Part::Main, .. } => return,
                other => panic!("{other:?}"),
            };
            self.step(Input::Reply { call, answer });
        }

        fn pass(&mut self, secs: u64) {
            self.now.mono = self.now.mono + Duration::from_secs(secs);
            self.step(Input::Wake);
        }
    }

    fn world() -> World {
        let make = |life| -> Box<dyn Program> { Box::new(Busy { ids: Ids::in_space(1), life, began: false }) };
        let program = Elected::new(Options::new("busy", "busy", "me", 1), Box::new(make));
        let (sent, cancelled, heard) = Default::default();
        World { program, now: Now::default(), lease: None, sent, cancelled, heard }
    }

    fn hears(call: CallId) -> Input {
        Input::Event { call, event: WatchEvent::Bookmark(crate::program::Revision(1)) }
    }

    #[test]
    fn what_a_life_asked_for_reaches_no_other_life() {
        let mut world = world();
        world.step(Input::Wake);
        let watch = world.sent[0].0;
        assert_eq!(world.sent[0].1.fence, None, "a read changes nothing");
        world.step(hears(watch));
        let fence = world.sent[1].1.fence.clone().unwrap();
        assert_eq!((fence.term, fence.holder.as_str()), (0, "me"));

        // It stands still for too long: forgotten, and begun anew under a new term.
        world.pass(11);
        assert_eq!(world.cancelled, [watch]);
        world.pass(5);
        world.step(hears(watch));
        world.step(Input::Reply { call: watch, answer: Answer::Watching });
        let again = world.sent[2].0;
        assert_ne!(watch, again);
        world.step(hears(again));
        let lives: Vec<&String> = world.heard.iter().filter(|line| line.starts_with("life")).collect();
        assert_eq!(lives, ["life 1 hears of call 1", "life 2 hears of call 1"]);
        assert_eq!(world.sent[3].1.fence.as_ref().unwrap().term, 1);
    }

    #[test]
    fn a_write_that_is_refused_for_its_lease_ends_the_life() {
        let mut world = world();
        world.step(Input::Wake);
        world.step(hears(world.sent[0].0));
        let (watch, write) = (world.sent[0].0, world.sent[1].0);
        let refused = |call| Input::Reply { call, answer: Answer::Refused(Status::fenced(Kind::Lease, "busy", "no")) };
        world.step(refused(CallId(write.0 ^ 1 << LIFE)));
        assert!(world.cancelled.is_empty(), "another life's refusal says nothing of this one");
        world.step(refused(write));
        assert_eq!(world.cancelled, [watch]);
        // The lease is as it was, but of a term that is over.
        world.pass(3);
        let lease: &Lease = world.lease.as_ref().unwrap().get().unwrap();
        assert_eq!((lease.spec.lease_transitions, world.sent.len()), (Some(1), 3));
    }

    #[test]
    fn at_its_end_it_gives_the_lease_back_and_hears_no_more() {
        let mut world = world();
        world.step(Input::Wake);
        world.step(Input::Stop);
        assert_eq!(world.cancelled, [world.sent[0].0]);
        let lease: &Lease = world.lease.as_ref().unwrap().get().unwrap();
        assert_eq!(lease.spec.holder_identity, None);
    }
}
