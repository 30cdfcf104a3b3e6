//! The world: one event loop over a virtual clock, and everything that programs are not.
//!
//! Events wait in a heap, ordered by time, then by a drawn number, then by their order of making. Each is delivered to
//! one actor; what its program pushes becomes further events. Programs are the daemons' own: they are made by the same
//! constructors, and an API server starts from what its disk has.
//!
//! What the world adds: links that delay and lose, a disk that syncs, nodes whose runtime owns the truth about
//! processes, crashes and restarts. Checkers see every fact as it happens (see [`crate::invariants`]).
//!
//! In parts: `setup` puts it together, and `agenda` is what is to happen; `actors`, `server` and `machines` are those to
//! whom it happens; `requests`, `replies` and `writes` what is on its way between them; `faults`, `hooks` and `weather`
//! what goes wrong; `clock` and `alarm` time as programs have it; and `laws` what none of them may do.

mod actors;
mod agenda;
mod alarm;
mod clock;
mod faults;
mod hooks;
mod laws;
mod machines;
mod replies;
mod requests;
mod server;
mod setup;
mod weather;
mod writes;

pub use hooks::Seen;
pub use setup::{Birth, Maker, Part, ServerMaker, Setup};

use crate::invariants::{Judge, Violation};
use crate::link::{Link, Quality};
use crate::noise::{Counted, Delay};
use crate::plan::{Fault, Ratio, When};
use crate::runtime::Runtime;
use crate::trace::{self, Trace, What};
use crate::truth::{Fact, Truth, Who};
use agenda::{Agenda, Happening, Turn};
use alarm::Alarm;
use clock::Clock;
use hooks::Hooks;
use miniku_core::api::object::{Key, Object};
use miniku_core::decision::{Journal, Noted};
use miniku_core::program::{
    CallId, Committed, Effect, Effects, Input, Program, Query, Request, RequestId, Revision, WatchFrom,
};
use miniku_core::rng::Draw;
use miniku_core::time::{Duration, Instant, Wall};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A client of the API server.
struct Actor {
    who: Who,
    node: Option<usize>,
    make: Maker,
    program: Option<Box<dyn Program>>,
    alarm: Alarm,
    link: Link,
    open: BTreeMap<CallId, RequestId>,
    clock: Clock,
    /// When it asked to be woken, by its own clock.
    wake_at: Option<Instant>,
    hooks: Hooks,
    /// Until when it stands still.
    frozen: Instant,
    /// What makes it slow, and when the last of what it did leaves it.
    slow: Vec<(usize, Delay)>,
    leaves_at: Instant,
    /// Who is in the way of its writes.
    intruders: Vec<(usize, Ratio)>,
    /// The request for which somebody lies in wait.
    ambushed: Option<RequestId>,
    /// The fault whose twin it is.
    twin_of: Option<usize>,
}

impl Actor {
    fn new(draw: Draw, who: Who, node: Option<usize>, make: Maker, link: Quality) -> Self {
        Actor {
            alarm: Alarm::new(draw.key("wake").key(&who.name)),
            link: Link::new(link, draw.key("link").key(&who.name)),
            who,
            node,
            make,
            program: None,
            open: BTreeMap::new(),
            clock: Clock::default(),
            wake_at: None,
            hooks: Hooks::default(),
            frozen: Instant::default(),
            slow: Vec::new(),
            leaves_at: Instant::default(),
            intruders: Vec::new(),
            ambushed: None,
            twin_of: None,
        }
    }
}

/// The API server and how far it has come.
struct Server {
    who: Who,
    make: ServerMaker,
    program: Option<Box<dyn Program>>,
    alarm: Alarm,
    clock: Clock,
    wake_at: Option<Instant>,
    /// It was told of commits up to then.
    told_at: Instant,
    syncs: Counted,
    sync: Delay,
    starts_at: Instant,
    frozen: Instant,
    trouble: faults::ServerTrouble,
}

/// A machine.
struct Machine {
    name: Arc<str>,
    runtime: Runtime,
    up: bool,
    boot: u32,
    kubelet: usize,
    /// Until when it stands still.
    frozen: Instant,
    /// Commands and reports keep their order.
    commanded_at: Instant,
    told_at: Instant,
}

/// A request on its way, or a watch that is open.
#[derive(Clone)]
struct Asked {
    actor: usize,
    life: u32,
    call: CallId,
    sent: Instant,
    arrives: Instant,
    about: Key,
    request: Option<Request>,
    watch: Option<(Query, WatchFrom)>,
    /// For a list that may be old.
    list: Option<Query>,
    /// When the last event of the watch is delivered; and whether one was lost, so that none may follow. A client has
    /// given up what is broken.
    last: Instant,
    broken: bool,
    /// When events are delivered that a slow client has not taken in yet.
    behind: VecDeque<Instant>,
}

/// Something that a quiet cluster would not do.
enum Noise {
    None,
    Write(Key, Revision),
    Process(String),
}

/// How much has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events of the loop.
    pub events: u64,
    /// Steps of programs.
    pub steps: u64,
    /// Durable writes.
    pub writes: u64,
    /// Durable writes of anything but what comes again and again: leases, and what is told once more.
    pub loud_writes: u64,
    /// Processes that started.
    pub starts: u64,
    /// Processes that ended.
    pub ends: u64,
}

/// Somebody who looks on while a run goes on: what is so, how much has happened, and what was told since the last look.
pub type Onlooker = Box<dyn FnMut(&Truth, Counts, &mut Trace)>;

/// So many events from one look to the next.
const LOOK_EVERY: u64 = 1 << 14;

/// A cluster, its time, and what is really so.
pub struct World {
    seed: u64,
    agenda: Agenda,
    truth: Truth,
    judge: Judge,
    trace: Trace,
    /// What the programs decided, if anybody will ask.
    journal: Option<Journal>,
    server: Server,
    actors: Vec<Actor>,
    machines: Vec<Machine>,
    requests: BTreeMap<RequestId, Box<Asked>>,
    next_request: u64,
    faults: Vec<(Duration, Option<When>, Fault)>,
    calls: Vec<(Duration, When, String)>,
    /// What waits for writes of a kind.
    written: hooks::Written,
    /// No actor and no machine stands still after this time.
    frozen: Instant,
    /// When all faults are over that have struck.
    over: Instant,
    counts: Counts,
    out: Effects,
    last_noise: Noise,
    onlooker: Option<Onlooker>,
    /// Nothing happens after it.
    halt: Instant,
}

/// When the virtual world began: 2026-01-01T00:00:00Z.
pub const WALL_START: Wall = Wall::from_secs(1_767_225_600);

const SERVER: u64 = u64::MAX;

impl World {
    /// Lets somebody look on, now and then. It changes nothing.
    pub fn show(&mut self, onlooker: Onlooker) {
        self.onlooker = Some(onlooker);
    }

    /// Takes down from now on what the programs decide.
    pub fn keep_journal(&mut self) {
        self.journal = Some(Journal::default());
    }

    /// What the programs decided, since it is kept.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Takes down what a program decided. That goes nowhere, and is no occasion for a crash.
    fn note(&mut self, by: &Arc<str>, effects: &mut Vec<Effect>) {
        // By the world's clock: the programs' own may be wrong.
        let at = Wall::from_nanos(i64::try_from(self.truth.now.nanos()).unwrap_or(i64::MAX));
        for effect in effects.extract_if(.., |effect| matches!(effect, Effect::Decided { .. })) {
            if let (Effect::Decided { decision, .. }, Some(journal)) = (effect, &mut self.journal) {
                journal.note(Noted::once(at, by, *decision));
            }
        }
    }

    /// Lets nothing happen after this time.
    pub fn halt_at(&mut self, halt: Instant) {
        self.halt = halt;
    }

    /// Whether nothing happens any more: a statement was broken, or the time is over.
    pub fn is_over(&self) -> bool {
        self.judge.violation.is_some() || self.truth.now >= self.halt
    }

    /// What is really so.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The world's time.
    pub fn now(&self) -> Instant {
        self.truth.now
    }

    /// The first violation, if there was one. Nothing happens after it.
    pub fn violation(&self) -> Option<&Violation> {
        self.judge.violation.as_ref()
    }

    /// Ends the run with a violation that no checker found: an expectation that was not met.
    pub fn fail(&mut self, violation: Violation) {
        self.judge.violation.get_or_insert(violation);
        // Nothing in particular led to what did not happen.
        self.agenda.cause = 0;
        self.tell_violation();
    }

    /// The events so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The events so far, to be taken out and written somewhere while the run goes on.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The programs, the API server first, each with its node if it has one.
    pub fn actors(&self) -> Vec<(Arc<str>, Option<Arc<str>>)> {
        let clients = self
            .actors
            .iter()
            .map(|actor| (actor.who.name.clone(), actor.node.map(|node| self.machines[node].name.clone())));
        std::iter::once((self.server.who.name.clone(), None)).chain(clients).collect()
    }

    /// How much has happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How much was counted of each program, the API server left out.
    pub fn seen(&self) -> Vec<(Arc<str>, Seen)> {
        self.actors.iter().map(|actor| (actor.who.name.clone(), actor.hooks.seen)).collect()
    }

    /// When all faults are over that have struck so far.
    pub fn over(&self) -> Instant {
        self.over
    }

    /// What happened last that a quiet cluster would not do: a write but of leases, a process that started or ended.
    pub fn last_noise(&self) -> String {
        match &self.last_noise {
            Noise::None => "nothing happened".into(),
            Noise::Write(key, revision) => format!("{key} was written @{revision}"),
            Noise::Process(what) => what.clone(),
        }
    }

    /// Everything that happens until then, or until a violation.
    pub fn run_until(&mut self, until: Instant) {
        self.run_until_so(until, |_| false);
    }

    /// Everything that happens until something is so, looked at after each durable write and each process that started
    /// or ended; until a time; or until a violation. Tells whether it is so.
    pub fn run_until_so(&mut self, until: Instant, mut so: impl FnMut(&Truth) -> bool) -> bool {
        let loud = |counts: &Counts| counts.loud_writes + counts.starts + counts.ends;
        let mut seen = None;
        let until = until.min(self.halt);
        loop {
            if self.judge.violation.is_some() {
                return false;
            }
            if seen != Some(loud(&self.counts)) {
                seen = Some(loud(&self.counts));
                if so(&self.truth) {
                    return true;
                }
            }
            if self.agenda.next().is_none_or(|next| next > until) {
                self.truth.now = until;
                self.let_time_pass();
                return false;
            }
            self.step();
        }
    }

    /// The next event.
    pub fn step(&mut self) {
        let Some((turn, what)) = self.agenda.pop() else { return };
        self.truth.now = turn.at;
        self.counts.events += 1;
        self.let_time_pass();
        self.happen(turn, what);
        if self.counts.events.is_multiple_of(LOOK_EVERY)
            && let Some(look) = &mut self.onlooker
        {
            look(&self.truth, self.counts, &mut self.trace);
        }
        if self.judge.violation.is_some() {
            self.tell_violation();
        }
    }

    /// Tells what happened now. It leads to whatever is added to the agenda until the next thing is told.
    fn tell(&mut self, what: impl FnOnce() -> What) {
        let (seq, cause) = (self.trace.number(), self.agenda.cause);
        if self.trace.keeps() {
            self.trace.tell(trace::Entry { seq, at: self.truth.now, cause, what: what() });
        }
        self.agenda.cause = seq;
    }

    fn tell_violation(&mut self) {
        let cause = self.agenda.cause;
        let Some(violation) = self.judge.violation.as_mut().filter(|violation| violation.seq == 0) else { return };
        violation.seq = cause.max(1);
        let Violation { name, statement, broken, .. } = violation.clone();
        let objects = broken.objects.iter().map(Object::key).collect();
        self.tell(|| What::Violation { name, statement, text: broken.what, objects });
    }

    fn let_time_pass(&mut self) {
        if self.judge.due().is_some_and(|due| due <= self.truth.now) {
            self.judge.see(&self.truth, Fact::Time);
        }
    }

    fn happen(&mut self, turn: Turn, what: Happening) {
        if self.frozen > self.truth.now
            && let Some(thaws) = self.thaws(&what)
        {
            return self.agenda.put_off(turn, thaws, what);
        }
        match what {
            Happening::Start { actor, life } => self.start(actor, life),
            Happening::Wake { actor, life } => self.wake(actor, life),
            Happening::Arrive { id } => self.arrive(id),
            Happening::Gone { id } => self.gone(id),
            Happening::Deliver { actor, life, input } => self.deliver(actor, life, input),
            Happening::End { actor, life, call } => self.ended(actor, life, call),
            Happening::StartServer { life } => self.start_server(life),
            Happening::WakeServer { life } => self.wake_server(life),
            Happening::Synced { life } => self.synced(life),
            Happening::Commit { life, commit, outcome } => self.committed(life, commit, outcome),
            Happening::Command { node, boot, life, command } => self.command(node, boot, life, *command),
            Happening::Deed { node, boot, deed } => self.deed(node, boot, *deed),
            Happening::Arm { fault } => self.arm(fault),
            Happening::ArmCall { call } => self.arm_call(call),
            Happening::Strike { fault } => self.strike(fault),
            Happening::Repeat { fault, left } => self.repeat(fault, left),
            Happening::Heal { fault } => self.heal(fault),
            Happening::Leave { actor, life, effects } => self.perform_late(actor, life, effects),
            Happening::StartNode { node, boot } => self.start_node(node, boot),
        }
    }
}

/// The least time between two things that keep their order.
const TICK: Duration = Duration::from_nanos(100);

fn kind_of(input: &Input) -> u64 {
    match input {
        Input::Wake => 1,
        Input::Reply { call, .. } => 2 ^ call.0 << 4,
        Input::Event { call, .. } => 3 ^ call.0 << 4,
        Input::Ended { call } => 4 ^ call.0 << 4,
        Input::Runtime(_) => 5,
        Input::Measured { call, .. } => 10 ^ call.0 << 4,
        Input::Request { from, .. } => 6 ^ from.0 << 4,
        Input::Gone { from } => 7 ^ from.0 << 4,
        Input::Stop => 11,
        Input::Committed { commit, outcome } => match outcome {
            Committed::At(Revision(revision)) => 8 ^ commit.0 << 4 ^ revision << 24,
            Committed::Conflict | Committed::Failed(_) => 9 ^ commit.0 << 4,
        },
    }
}
