//! At the n-th occurrence of something, something is done: what ties faults and operators to what happens, not to when.

use super::World;
use super::agenda::Happening;
use crate::plan::{Fault, Mishap, When};
use miniku_core::api::kinds::Kind;
use miniku_core::program::Revision;
use miniku_core::time::Duration;
use std::collections::BTreeMap;

/// What is counted of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It has done something.
    Output,
    /// It has sent a request.
    Request,
    /// An answer was sent to it.
    Reply,
    /// An event was sent to it.
    Event,
    /// A list that may be old was sent to it.
    Relist,
}

/// How often each thing has happened to a program, over all its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it did.
    pub outputs: u64,
    /// The requests it sent.
    pub requests: u64,
    /// The answers that were sent to it.
    pub replies: u64,
    /// The events that were sent to it.
    pub events: u64,
    /// The lists that were sent to it and might have been older than the newest.
    pub relists: u64,
    /// By how many revisions the oldest allowed one of these could have been older.
    pub slack: u64,
}

impl Seen {
    fn of(&mut self, occasion: Occasion) -> &mut u64 {
        match occasion {
            Occasion::Output => &mut self.outputs,
            Occasion::Request => &mut self.requests,
            Occasion::Reply => &mut self.replies,
            Occasion::Event => &mut self.events,
            Occasion::Relist => &mut self.relists,
        }
    }
}

/// What is done at an occasion.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// A fault strikes.
    Strike(usize),
    /// An actor starts.
    Start(usize),
    /// The actor is killed at once, for so long.
    Crash(Duration),
    /// The message that it is about meets with something.
    Meet(Mishap),
}

/// What waits for things to happen to one program.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// How much has happened.
    pub seen: Seen,
    waiting: Vec<(Occasion, u64, Then)>,
}

/// What waits for durable writes, by kind: how many are still to come.
pub(super) type Written = BTreeMap<Kind, Vec<(u64, Thing)>>;

/// What is done after a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Thing {
    Fault(usize),
    Actor(usize),
}

impl World {
    /// Counts. Gives what the message meets with, if this is its turn.
    pub(super) fn count(&mut self, actor: usize, occasion: Occasion) -> Option<Mishap> {
        let hooks = &mut self.actors[actor].hooks;
        let seen = hooks.seen.of(occasion);
        *seen += 1;
        if hooks.waiting.is_empty() {
            return None;
        }
        let seen = *seen;
        let due = |(of, nth, _): &mut (Occasion, u64, Then)| *of == occasion && *nth <= seen;
        let due: Vec<Then> = hooks.waiting.extract_if(.., due).map(|(_, _, then)| then).collect();
        let mut mishap = None;
        for then in due {
            match then {
                Then::Crash(down) => self.crash(actor, Some(down)),
                Then::Meet(one) => mishap = Some(one),
                // Who dies of an output does none of the step's next ones.
                Then::Strike(fault) if occasion == Occasion::Output && self.kills(fault) => {
                    self.strike(fault);
                }
                Then::Strike(fault) => self.agenda.add(self.truth.now, 0, Happening::Strike { fault }),
                Then::Start(actor) => {
                    let life = self.actors[actor].who.life;
                    self.agenda.add(self.truth.now, 0, Happening::Start { actor, life });
                }
            }
        }
        mishap
    }

    fn kills(&self, fault: usize) -> bool {
        matches!(self.faults[fault].2, Fault::Crash { .. } | Fault::Stop { .. } | Fault::NodeCrash { .. })
    }

    /// Something of a kind was written.
    pub(super) fn wrote(&mut self, kind: Kind, revision: Revision) {
        self.server.trouble.wrote(self.truth.now, revision);
        let Some(waiting) = self.written.get_mut(&kind) else { return };
        waiting.iter_mut().for_each(|(left, _)| *left -= 1);
        let due: Vec<Thing> = waiting.extract_if(.., |(left, _)| *left == 0).map(|(_, thing)| thing).collect();
        for thing in due {
            let what = match thing {
                Thing::Fault(fault) => Happening::Strike { fault },
                Thing::Actor(actor) => Happening::Start { actor, life: self.actors[actor].who.life },
            };
            self.agenda.add(self.truth.now, 0, what);
        }
    }

    fn wait_for(&mut self, when: &When, thing: Thing) {
        let (occasion, nth) = match when {
            When::Output { nth, .. } => (Occasion::Output, *nth),
            When::Request { nth, .. } => (Occasion::Request, *nth),
            When::Reply { nth, .. } => (Occasion::Reply, *nth),
            When::Event { nth, .. } => (Occasion::Event, *nth),
            When::Written { kind, nth } => {
                return self.written.entry(*kind).or_default().push(((*nth).max(1), thing));
            }
        };
        let then = match thing {
            Thing::Fault(fault) => Then::Strike(fault),
            Thing::Actor(actor) => Then::Start(actor),
        };
        if let Some(actor) = when.actor().and_then(|name| self.named(name)) {
            self.hook(actor, occasion, nth, then);
        }
    }

    fn hook(&mut self, actor: usize, occasion: Occasion, nth: u64, then: Then) {
        let hooks = &mut self.actors[actor].hooks;
        let nth = *hooks.seen.of(occasion) + nth.max(1);
        hooks.waiting.push((occasion, nth, then));
    }

    /// From now on, what a fault waits for is counted.
    pub(super) fn arm(&mut self, fault: usize) {
        if let Some(when) = self.faults[fault].1.clone() {
            self.wait_for(&when, Thing::Fault(fault));
        }
    }

    /// From now on, what an actor is called for by is counted.
    pub(super) fn arm_call(&mut self, call: usize) {
        let (_, when, name) = self.calls[call].clone();
        if let Some(actor) = self.named(&name) {
            self.wait_for(&when, Thing::Actor(actor));
        }
    }

    /// A program is killed after one of its next outputs.
    pub(super) fn doom(&mut self, actor: usize, outputs: u64, down: Duration) {
        self.hook(actor, Occasion::Output, outputs, Then::Crash(down));
    }

    /// One of a program's next messages meets with something.
    pub(super) fn waylay(&mut self, actor: usize, nth: u64, mishap: Mishap) {
        let occasion = match mishap {
            Mishap::RequestLost | Mishap::RequestDoubled | Mishap::RequestLate(_) | Mishap::Conflict => {
                Occasion::Request
            }
            Mishap::ReplyLost | Mishap::ReplyLate(_) => Occasion::Reply,
            Mishap::WatchCut => Occasion::Event,
            Mishap::Stale(_) => Occasion::Relist,
        };
        self.hook(actor, occasion, nth, Then::Meet(mishap));
    }

    /// What has not happened by now is waited for no more.
    pub fn disarm(&mut self) {
        self.written.clear();
        for actor in &mut self.actors {
            actor.hooks.waiting.clear();
        }
    }
}
