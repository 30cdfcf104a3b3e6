//! The world: one event loop over a virtual clock, and everything that programs are not.
//!
//! Events wait in a heap, ordered by time, then by a drawn number, then by their order of making. Each is delivered to
//! one actor; what its program pushes becomes further events. Programs are the daemons' own: they are made by the same
//! constructors, and an API server starts from what its disk has.
//!
//! What the world adds: links that delay and lose, a disk that syncs, nodes whose runtime owns the truth about
//! processes, crashes and restarts. Checkers see every fact as it happens (see [`crate::invariants`]).

mod clock;
mod faults;
mod hooks;

pub use hooks::Seen;

use crate::disk::{Outcome, Unsynced};
use crate::invariants::{Broken, Judge, Violation};
use crate::link::{Fate, Link, Message, Quality, subject};
use crate::noise::{Counted, Delay};
use crate::plan::{Fault, Mishap, Ratio, When};
use crate::runtime::{Deed, Life, Results, Runtime, Speeds};
use crate::trace::{self, ActorOp, Seq, Trace, What};
use crate::truth::{Fact, NodeFacts, Role, Truth, Who};
use crate::usage;
use clock::Clock;
use hooks::{Hooks, Occasion};
use miniku_core::api::event::Event;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::text::Text;
use miniku_core::decision::{Journal, Noted};
use miniku_core::kubelet::runtime::Command;
use miniku_core::program::{
    Answer, CallId, CommitId, Committed, Effect, Effects, Input, Program, Query, Request, RequestId, Revision, Verb,
    WatchEvent, WatchFrom,
};
use miniku_core::rng::Draw;
use miniku_core::sometimes;
use miniku_core::store::Store;
use miniku_core::time::{Duration, Instant, Now, Wall};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// What a program is made of: who it is, and a seed of its own for each life.
#[derive(Clone, Copy, Debug)]
pub struct Birth<'a> {
    /// `scheduler`, `kubelet/node-1`.
    pub name: &'a str,
    /// For a kubelet, its node.
    pub node: Option<&'a str>,
    /// Differs for each actor and each of its lives.
    pub seed: u64,
    /// 1 for the first.
    pub life: u32,
}

/// Makes a program, as a daemon would at its start.
pub type Maker = Rc<dyn Fn(Birth<'_>) -> Box<dyn Program>>;
/// Makes an API server on what the disk has, as a daemon would at its start.
pub type ServerMaker = Rc<dyn Fn(Birth<'_>, Store) -> Box<dyn Program>>;

/// An actor of a world to be.
#[derive(Clone)]
pub struct Part {
    /// What it is.
    pub role: Role,
    /// Unique.
    pub name: String,
    /// For a kubelet, its node.
    pub node: Option<String>,
    /// When it starts first; if absent, when it is called for.
    pub starts: Option<Duration>,
    /// Makes its program.
    pub make: Maker,
}

/// What a world is made of.
#[derive(Clone)]
pub struct Setup {
    /// Decides every draw.
    pub seed: u64,
    /// Makes the API server.
    pub server: ServerMaker,
    /// The other actors. Those with a node bring a machine with a runtime.
    pub parts: Vec<Part>,
    /// How good the links are.
    pub link: Quality,
    /// How long a sync of the disk takes.
    pub sync: Delay,
    /// How fast the nodes are.
    pub speeds: Speeds,
    /// Whether every image can be had.
    pub any_image: bool,
    /// Parts whose wall clocks are off from the beginning, and by how many nanoseconds. Their programs are made so.
    pub askew: Vec<(String, i64)>,
    /// What is stored at the beginning. Pods that run on a node do so from the beginning.
    pub objects: Vec<Object>,
    /// What goes wrong, and when.
    pub faults: Vec<(Duration, Option<When>, Fault)>,
    /// Which parts are called for by what happens from a time on.
    pub calls: Vec<(Duration, When, String)>,
    /// Whether checkers look on.
    pub checked: bool,
    /// How much of the events is kept.
    pub trace: trace::Mode,
}

/// What happens at a time.
enum Happening {
    Start {
        actor: usize,
        life: u32,
    },
    Wake {
        actor: usize,
        life: u32,
    },
    /// A request reaches the API server.
    Arrive {
        id: RequestId,
    },
    /// The API server learns that who asked has gone.
    Gone {
        id: RequestId,
    },
    /// Something reaches a client.
    Deliver {
        actor: usize,
        life: u32,
        input: Input,
    },
    /// Nothing more comes on a watch.
    End {
        actor: usize,
        life: u32,
        call: CallId,
    },
    StartServer {
        life: u32,
    },
    WakeServer {
        life: u32,
    },
    Synced {
        life: u32,
    },
    Commit {
        life: u32,
        commit: CommitId,
        outcome: Committed,
    },
    Command {
        node: usize,
        boot: u32,
        life: u32,
        // The largest ones, and rare: they would make all others as large.
        command: Box<Command>,
    },
    Deed {
        node: usize,
        boot: u32,
        deed: Box<Deed>,
    },
    /// From now on, what a fault waits for is counted.
    Arm {
        fault: usize,
    },
    /// The same for a part that is called for.
    ArmCall {
        call: usize,
    },
    Strike {
        fault: usize,
    },
    /// A fault that strikes again and again does, and so often after that.
    Repeat {
        fault: usize,
        left: u32,
    },
    Heal {
        fault: usize,
    },
    /// What a slow program did leaves it.
    Leave {
        actor: usize,
        life: u32,
        /// What it asks for has its name already: checkers hear of it when it is decided.
        effects: Vec<(Effect, Option<RequestId>)>,
    },
    StartNode {
        node: usize,
        boot: u32,
    },
}

/// A place in the order of events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    at: Instant,
    /// When it was to happen first: what was put off happens before what comes then, and in the order in which it came.
    due: Instant,
    tie: u64,
    id: u64,
    slot: usize,
}

/// Events to come, each with what led to it.
#[derive(Default)]
struct Agenda {
    heap: BinaryHeap<Reverse<Turn>>,
    slots: Vec<Option<(Seq, Happening)>>,
    free: Vec<usize>,
    made: u64,
    /// What leads to the events that are added now.
    cause: Seq,
}

impl Agenda {
    fn add(&mut self, at: Instant, tie: u64, what: Happening) {
        let slot = self.keep(what);
        self.made += 1;
        self.heap.push(Reverse(Turn { at, due: at, tie, id: self.made, slot }));
    }

    /// What had its turn now has it later.
    fn put_off(&mut self, turn: Turn, at: Instant, what: Happening) {
        let slot = self.keep(what);
        self.heap.push(Reverse(Turn { at, slot, ..turn }));
    }

    fn keep(&mut self, what: Happening) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some((self.cause, what));
        slot
    }

    fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(turn)| turn.at)
    }

    fn pop(&mut self) -> Option<(Turn, Happening)> {
        let Reverse(turn) = self.heap.pop()?;
        self.free.push(turn.slot);
        let (cause, what) = self.slots[turn.slot].take().expect("a turn has its event");
        self.cause = cause;
        Some((turn, what))
    }
}

/// A program between its steps, and when it wants to be woken.
struct Alarm {
    /// What it asked for, in the world's time.
    wanted: Option<Instant>,
    /// The earliest wake that is on the agenda.
    queued: Option<Instant>,
    /// When it was woken last, and how often at that instant.
    rung: (Instant, u32),
    draw: Draw,
    nth: u64,
}

/// A program that is woken so often at one instant will be for ever.
const RINGS: u32 = 10_000;

impl Alarm {
    fn new(draw: Draw) -> Self {
        Alarm { wanted: None, queued: None, rung: Default::default(), draw, nth: 0 }
    }

    /// Takes in what a step asked for. Gives a wake to be put on the agenda.
    fn set(&mut self, now: Instant, wanted: Option<Instant>) -> Option<(Instant, u64)> {
        self.wanted = wanted;
        let at = wanted?.max(now);
        if self.queued.is_some_and(|queued| queued <= at) {
            return None;
        }
        self.queued = Some(at);
        self.nth += 1;
        Some((at, self.draw.count(self.nth).u64()))
    }

    /// A wake of the agenda has come. Whether it is still wanted, and what to put on the agenda if it is not yet.
    fn ring(&mut self, now: Instant) -> (bool, Option<(Instant, u64)>) {
        if self.queued.is_some_and(|queued| queued <= now) {
            self.queued = None;
        }
        match self.wanted {
            Some(wanted) if wanted <= now => {
                let (last, times) = self.rung;
                self.rung = (now, if last == now { times + 1 } else { 1 });
                (true, None)
            }
            wanted => (false, self.set(now, wanted)),
        }
    }

    /// Whether time cannot pass any more, since the program asks again and again to be woken at once.
    fn is_stuck(&self) -> bool {
        self.rung.1 >= RINGS
    }

    fn silence(&mut self) {
        (self.wanted, self.queued) = (None, None);
    }
}

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
    /// A world in which nothing has happened yet.
    pub fn new(setup: Setup) -> Self {
        let Setup { seed, server, parts, link, sync, speeds, any_image, askew, objects, faults, calls, checked, trace } =
            setup;
        let draw = Draw::new(seed);
        let mut agenda = Agenda::default();
        let mut truth = Truth::default();
        let (mut actors, mut machines) = (Vec::new(), Vec::new());
        let server = Server {
            who: Who { role: Role::ApiServer, name: "apiserver".into(), life: 1 },
            make: server,
            program: None,
            alarm: Alarm::new(draw.key("wake").key("apiserver")),
            clock: Clock::default(),
            wake_at: None,
            told_at: Instant::default(),
            syncs: Counted::of(draw.key("sync")),
            sync,
            starts_at: Instant::default(),
            frozen: Instant::default(),
            trouble: faults::ServerTrouble::new(draw.key("refusals")),
        };
        agenda.add(Instant::default(), 0, Happening::StartServer { life: 1 });
        for (actor, part) in parts.into_iter().enumerate() {
            let Part { role, name, node, starts, make } = part;
            let machine = node.map(|node| {
                let name: Arc<str> = node.as_str().into();
                truth.nodes.insert(name.clone(), NodeFacts { up: true, in_touch: None });
                let runtime = Runtime::new(speeds, any_image, machines.len(), draw.key("runtime").key(&node));
                let (frozen, commanded_at, told_at) = Default::default();
                let kubelet = actor;
                machines.push(Machine { name, runtime, up: true, boot: 1, kubelet, frozen, commanded_at, told_at });
                machines.len() - 1
            });
            let tie = draw.key("start").key(&name).u64();
            if let Some(starts) = starts {
                agenda.add(Instant::default() + starts, tie, Happening::Start { actor, life: 1 });
            }
            actors.push(Actor::new(draw, Who { role, name: name.into(), life: 1 }, machine, make, link));
        }
        for (fault, (at, when, _)) in faults.iter().enumerate() {
            let tie = draw.key("strike").count(fault as u64).u64();
            let what = if when.is_some() { Happening::Arm { fault } } else { Happening::Strike { fault } };
            agenda.add(Instant::default() + *at, tie, what);
        }
        for (call, (at, ..)) in calls.iter().enumerate() {
            let tie = draw.key("call").count(call as u64).u64();
            agenda.add(Instant::default() + *at, tie, Happening::ArmCall { call });
        }
        truth.any_image = any_image;
        truth.askew = askew.into_iter().map(|(name, off)| (name.into(), off)).collect();
        let mut world = World {
            seed,
            agenda,
            truth,
            judge: Judge::new(checked),
            trace: Trace::new(trace),
            journal: None,
            server,
            actors,
            machines,
            requests: BTreeMap::new(),
            next_request: 0,
            faults,
            calls,
            written: Default::default(),
            frozen: Instant::default(),
            over: Instant::default(),
            counts: Counts::default(),
            out: Effects::default(),
            last_noise: Noise::None,
            onlooker: None,
            halt: Instant::from_nanos(u64::MAX),
        };
        world.preload(objects);
        world
    }

    /// Stores what is there from the beginning, and starts what runs from the beginning.
    fn preload(&mut self, objects: Vec<Object>) {
        let wall = WALL_START;
        for (nth, object) in (0..).zip(objects) {
            let mut object = object.with_meta(|meta| {
                if meta.uid.is_empty() {
                    meta.uid = Draw::new(self.seed).key("uid").count(nth).uuid().into();
                }
                if meta.creation_timestamp.is_none() {
                    meta.creation_timestamp = Some(Time::of(wall));
                }
            });
            (object.kind().row().set_defaults)(&mut object);
            let Some(change) = self.truth.disk.preload(object.clone()) else { continue };
            self.durable(change);
            let Some(pod) = object.get::<Pod>().filter(|pod| pod.status.phase == PodPhase::Running) else { continue };
            let node = pod.node().and_then(|node| self.machines.iter().position(|machine| *machine.name == *node));
            if let Some(node) = node {
                let mut results = Results::default();
                self.machines[node].runtime.preload(wall, pod, &mut results);
                self.results(node, results);
            }
        }
    }

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
            Happening::Wake { actor, life } if self.actors[actor].who.life == life => {
                let (wanted, again) = self.actors[actor].alarm.ring(self.truth.now);
                if let Some((at, tie)) = again {
                    self.agenda.add(at, tie, Happening::Wake { actor, life });
                }
                let one = &self.actors[actor];
                if one.alarm.is_stuck() {
                    break_pause(&mut self.judge, self.truth.now, &one.who);
                } else if wanted {
                    self.step_actor(actor, Input::Wake);
                }
            }
            Happening::Arrive { id } => self.arrive(id),
            Happening::Gone { id } => {
                if self.requests.remove(&id).is_some() && self.server.program.is_some() {
                    self.judge.see(&self.truth, Fact::Closed { id });
                    self.step_server(Input::Gone { from: id });
                }
            }
            Happening::Deliver { actor, life, input } => {
                let one = &mut self.actors[actor];
                // Who has closed a watch reads no more of it.
                let is_closed = matches!(&input, Input::Event { call, .. } if !one.open.contains_key(call));
                if one.who.life == life && one.program.is_some() && !is_closed {
                    if let Input::Reply { call, answer } = &input
                        && !matches!(answer, Answer::Watching)
                    {
                        one.open.remove(call);
                    }
                    self.step_actor(actor, input);
                }
            }
            Happening::End { actor, life, call } => {
                let one = &mut self.actors[actor];
                if one.who.life == life && one.program.is_some() && one.open.remove(&call).is_some() {
                    self.step_actor(actor, Input::Ended { call });
                }
            }
            Happening::StartServer { life } => self.start_server(life),
            Happening::WakeServer { life } if self.server.who.life == life => {
                let (wanted, again) = self.server.alarm.ring(self.truth.now);
                if let Some((at, tie)) = again {
                    self.agenda.add(at, tie, Happening::WakeServer { life });
                }
                if self.server.alarm.is_stuck() {
                    break_pause(&mut self.judge, self.truth.now, &self.server.who);
                } else if wanted && self.server.program.is_some() {
                    self.step_server(Input::Wake);
                }
            }
            Happening::Synced { life } if self.server.who.life == life => self.synced(life),
            Happening::Commit { life, commit, outcome } if self.server.who.life == life => {
                if let Committed::At(revision) = outcome
                    && let Some(change) = self.truth.change(revision)
                {
                    self.judge.see(&self.truth, Fact::Told { change });
                }
                self.step_server(Input::Committed { commit, outcome });
            }
            Happening::Command { node, boot, life, command } => {
                let machine = &mut self.machines[node];
                // What a killed kubelet had not handed over yet is gone with it.
                if machine.boot == boot && machine.up && self.actors[machine.kubelet].who.life == life {
                    let mut results = Results::default();
                    machine.runtime.command(*command, &mut results);
                    self.results(node, results);
                }
            }
            Happening::Deed { node, boot, deed } => self.deed(node, boot, *deed),
            Happening::Arm { fault } => self.arm(fault),
            Happening::ArmCall { call } => self.arm_call(call),
            Happening::Strike { fault } => self.strike(fault),
            Happening::Repeat { fault, left } => self.repeat(fault, left),
            Happening::Heal { fault } => self.heal(fault),
            Happening::Leave { actor, life, effects } => {
                let one = &self.actors[actor];
                if one.who.life == life && one.program.is_some() {
                    self.perform_late(actor, effects);
                }
            }
            Happening::StartNode { node, boot } => {
                let machine = &mut self.machines[node];
                if machine.boot == boot && !machine.up {
                    machine.up = true;
                    let (kubelet, node) = (machine.kubelet, machine.name.clone());
                    self.tell(|| What::Node { up: true, node });
                    let life = self.actors[kubelet].who.life;
                    self.start(kubelet, life);
                }
            }
            // For an earlier life.
            Happening::Wake { .. }
            | Happening::WakeServer { .. }
            | Happening::Synced { .. }
            | Happening::Commit { .. } => {}
        }
    }

    // Actors.

    fn start(&mut self, actor: usize, life: u32) {
        let one = &mut self.actors[actor];
        let down = one.node.is_some_and(|node| !self.machines[node].up);
        if one.who.life != life || one.program.is_some() || down {
            return;
        }
        let draw = Draw::new(self.seed).key("birth").key(&one.who.name).count(u64::from(life));
        let node = one.node.map(|node| self.machines[node].name.clone());
        let birth = Birth { name: &one.who.name, node: node.as_deref(), seed: draw.u64(), life };
        one.program = Some((one.make)(birth));
        // A monotonic clock begins anywhere: no two lives can compare theirs.
        one.clock.begin(self.truth.now, Duration::from_secs(draw.count(1).below(1_000_000)));
        let who = one.who.clone();
        self.tell(|| What::Actor { op: ActorOp::Start, who });
        self.weather_changed_at(actor);
        self.step_actor(actor, Input::Wake);
    }

    fn step_actor(&mut self, actor: usize, input: Input) {
        let one = &mut self.actors[actor];
        if one.program.is_none() {
            return;
        }
        if self.judge.judges() {
            self.truth.hear(&one.who, &input);
        }
        self.judge.see(&self.truth, Fact::Heard { who: &one.who, input: &input });
        let now = one.clock.now(self.truth.now);
        let mut out = std::mem::take(&mut self.out);
        out.wake_at = None;
        let program = one.program.as_mut().expect("it was just looked at");
        self.counts.steps += 1;
        self.trace.mark(self.truth.now, actor as u64, kind_of(&input));
        let told = self.trace.keeps().then(|| input.clone());
        step(&mut self.judge, self.truth.now, &one.who, program.as_mut(), now, input, &mut out);
        if let Some(input) = told {
            let who = one.who.clone();
            self.tell(|| trace::step_told(who, &input, "", &out.list, |_| String::new()));
        } else {
            self.agenda.cause = self.trace.number();
        }
        let by = self.actors[actor].who.name.clone();
        self.note(&by, &mut out.list);
        let one = &mut self.actors[actor];
        one.wake_at = out.wake_at;
        let wanted = out.wake_at.map(|at| one.clock.world(at));
        let life = one.who.life;
        if let Some((at, tie)) = one.alarm.set(self.truth.now, wanted) {
            self.agenda.add(at, tie, Happening::Wake { actor, life });
        }
        // A command is judged when it is decided on, whatever holds it up on its way.
        if let Some(node) = one.node {
            for effect in &out.list {
                if let Effect::Runtime(command) = effect {
                    self.judge.see(&self.truth, Fact::Commanded { node: &self.machines[node].name, command });
                }
            }
        }
        if !out.list.is_empty() && (!one.slow.is_empty() || one.leaves_at > self.truth.now) {
            self.leave(actor, std::mem::take(&mut out.list));
        }
        for effect in out.list.drain(..) {
            if !self.perform_one(actor, life, effect) {
                break;
            }
        }
        out.list.clear();
        self.out = out;
    }

    /// What a slow program decided to do leaves it.
    fn perform_late(&mut self, actor: usize, effects: Vec<(Effect, Option<RequestId>)>) {
        let life = self.actors[actor].who.life;
        for (effect, id) in effects {
            match (effect, id) {
                (Effect::Call { call, request }, Some(id)) => self.call(actor, call, request, id, true),
                (effect, _) => self.perform(actor, effect),
            }
            if !self.has_done_one(actor, life) {
                break;
            }
        }
    }

    /// Does what a program wants done. Tells whether it lives on.
    fn perform_one(&mut self, actor: usize, life: u32, effect: Effect) -> bool {
        self.perform(actor, effect);
        self.has_done_one(actor, life)
    }

    /// A program has done something. Tells whether it lives on.
    fn has_done_one(&mut self, actor: usize, life: u32) -> bool {
        self.count(actor, Occasion::Output);
        let one = &self.actors[actor];
        one.who.life == life && one.program.is_some()
    }

    fn perform(&mut self, actor: usize, effect: Effect) {
        match effect {
            Effect::Call { call, request } => {
                let id = self.decide(actor, &request);
                self.call(actor, call, request, id, false);
            }
            Effect::Cancel { call } => {
                self.truth.gives_up(&self.actors[actor].who, call);
                if let Some(id) = self.actors[actor].open.remove(&call) {
                    self.hang_up(actor, id);
                }
            }
            Effect::Measure { call, query } => self.measure(actor, call, &query),
            Effect::Runtime(command) => {
                let Some(node) = self.actors[actor].node else { return };
                let (life, machine) = (self.actors[actor].who.life, &mut self.machines[node]);
                let at = (self.truth.now + machine.runtime.way()).max(machine.commanded_at + TICK);
                machine.commanded_at = at;
                let (boot, command) = (machine.boot, Box::new(command));
                self.agenda.add(at, node as u64, Happening::Command { node, boot, life, command });
            }
            Effect::Log { .. } | Effect::Decided { .. } => {}
            Effect::Answer { .. } | Effect::Event { .. } | Effect::End { .. } | Effect::Commit { .. } => {
                panic!("{} acts as an API server: {effect:?}", self.actors[actor].who);
            }
        }
    }

    /// A program has decided to ask for something; the request gets its name.
    fn decide(&mut self, actor: usize, request: &Request) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.judge.see(&self.truth, Fact::Sent { who: &self.actors[actor].who, id, request });
        id
    }

    /// A request goes on its way.
    fn call(&mut self, actor: usize, call: CallId, request: Request, id: RequestId, late: bool) {
        let now = self.truth.now;
        let one = &mut self.actors[actor];
        let about = subject(&request);
        let (mut fate, tie) = one.link.send(now, Message::Request, &about);
        one.open.insert(call, id);
        if let Verb::List(query) = &request.verb {
            self.truth.asks(&one.who, call, query);
        }
        let (life, timeout) = (one.who.life, one.link.quality.timeout);
        let watch = match &request.verb {
            Verb::Watch { query, from, .. } => Some((query.clone(), *from)),
            _ => None,
        };
        let list = match &request.verb {
            Verb::List(query) if query.not_older_than.is_some() => Some(query.clone()),
            _ => None,
        };
        if let Some(mishap) = self.count(actor, Occasion::Request) {
            fate = fate.with(mishap);
            if mishap == Mishap::Conflict {
                self.actors[actor].ambushed = Some(id);
            }
        }
        let (delay, again) = match fate {
            Fate::Arrives(delay) => (delay, None),
            // The second is judged like the first, when it leaves: it may be too late for what was decided earlier.
            Fate::ArrivesTwice(delay, again) => (delay, Some(again).filter(|_| watch.is_none() && !late)),
            Fate::Lost => {
                sometimes!(RequestLost);
                return self.time_out(actor, life, call, now + timeout, tie);
            }
        };
        let arrives = now + delay;
        // Who asked has given up by then.
        let broken = delay > timeout;
        if broken {
            self.time_out(actor, life, call, now + timeout, tie);
        }
        let twin = again.map(|again| (again, request.clone(), about.clone(), list.clone()));
        let (request, last, behind) = (Some(request), now, VecDeque::new());
        let asked = Asked { actor, life, call, sent: now, arrives, about, request, watch, list, last, broken, behind };
        self.requests.insert(id, Box::new(asked));
        self.agenda.add(arrives, tie, Happening::Arrive { id });
        if let Some((again, request, about, list)) = twin {
            self.next_request += 1;
            let id = RequestId(self.next_request);
            self.judge.see(&self.truth, Fact::Sent { who: &self.actors[actor].who, id, request: &request });
            let (arrives, request, watch, behind) = (now + again, Some(request), None, VecDeque::new());
            let asked =
                Asked { actor, life, call, sent: now, arrives, about, request, watch, list, last, broken, behind };
            self.requests.insert(id, Box::new(asked));
            self.agenda.add(arrives, tie, Happening::Arrive { id });
        }
    }

    /// Asks what pods use. In daemons the API server's shell asks the kubelets; here it is looked up.
    fn measure(&mut self, actor: usize, call: CallId, query: &Query) {
        let now = self.truth.now;
        let serving = self.server.program.is_some() && self.server.frozen <= now;
        let answer = match serving {
            true => Ok(usage::measured(&self.truth, query)),
            false => Err("connection refused".to_owned()),
        };
        let about = Key::new(query.kind, query.namespace.as_deref().unwrap_or(""), "");
        let one = &mut self.actors[actor];
        let life = one.who.life;
        let (there, tie) = one.link.send(now, Message::Request, &about);
        let (back, _) = one.link.send(now, Message::Reply, &about);
        let (Fate::Arrives(there) | Fate::ArrivesTwice(there, _), Fate::Arrives(back) | Fate::ArrivesTwice(back, _)) =
            (there, back)
        else {
            // Nothing is heard of it any more.
            return;
        };
        let input = Input::Measured { call, answer };
        self.agenda.add(now + there + back, tie, Happening::Deliver { actor, life, input });
    }

    /// No answer comes in time. Now and then nobody says so either, as where a connection is there and nobody on it: a
    /// program has to have a watch of its own. Operators look again.
    fn time_out(&mut self, actor: usize, life: u32, call: CallId, at: Instant, tie: u64) {
        let is_silent = self.actors[actor].who.role != Role::Operator;
        if is_silent && Draw::new(self.seed).key("silence").count(tie).chance(1, 8) {
            sometimes!(NothingHeard);
            return;
        }
        self.lose(actor, life, call, at, tie, "the request timed out");
    }

    fn lose(&mut self, actor: usize, life: u32, call: CallId, at: Instant, tie: u64, why: &str) {
        let input = Input::Reply { call, answer: Answer::Lost(why.to_owned()) };
        self.agenda.add(at, tie, Happening::Deliver { actor, life, input });
    }

    /// The client of a request has gone; the API server will learn of it.
    fn hang_up(&mut self, actor: usize, id: RequestId) {
        let Some(asked) = self.requests.get(&id) else { return };
        let (fate, tie) = self.actors[actor].link.send(self.truth.now, Message::Hangup, &asked.about);
        let Fate::Arrives(delay) = fate else { return };
        let at = (self.truth.now + delay).max(asked.arrives + TICK);
        self.agenda.add(at, tie, Happening::Gone { id });
    }

    /// Kills a program. It starts again after a time, if there is one.
    fn crash(&mut self, actor: usize, down: Option<Duration>) {
        self.go(actor, down, ActorOp::Crash);
    }

    /// Ends a program in good order; one that stands still does not hear of it, and is killed.
    fn stop(&mut self, actor: usize, down: Duration) {
        if self.actors[actor].frozen > self.truth.now {
            return self.crash(actor, Some(down));
        }
        sometimes!(ToldToEnd);
        self.step_actor(actor, Input::Stop);
        self.go(actor, Some(down), ActorOp::Stop);
    }

    fn go(&mut self, actor: usize, down: Option<Duration>, op: ActorOp) {
        let one = &mut self.actors[actor];
        if one.program.take().is_none() {
            return;
        }
        self.judge.see(&self.truth, Fact::Died { who: &one.who });
        let (who, name) = (one.who.clone(), one.who.to_string());
        one.who.life += 1;
        one.alarm.silence();
        one.frozen = self.truth.now;
        one.leaves_at = self.truth.now;
        let life = one.who.life;
        let open = std::mem::take(&mut one.open);
        self.tell(|| What::Actor { op, who });
        if let Some(node) = self.actors[actor].node {
            self.machines[node].runtime.abandon();
        }
        for (_, id) in open {
            if self.requests.get(&id).is_some_and(|asked| asked.watch.is_some()) {
                self.hang_up(actor, id);
            }
        }
        if let Some(down) = down {
            let tie = Draw::new(self.seed).key("restart").key(&name).u64();
            self.agenda.add(self.truth.now + down, tie, Happening::Start { actor, life });
        }
        self.weather_changed_at(actor);
    }

    // The API server.

    fn start_server(&mut self, life: u32) {
        if self.server.who.life != life || self.server.program.is_some() {
            return;
        }
        let draw = Draw::new(self.seed).key("birth").key("apiserver").count(u64::from(life));
        let birth = Birth { name: "apiserver", node: None, seed: draw.u64(), life };
        let (objects, revision) = (self.truth.disk.objects(), self.truth.disk.revision());
        self.judge.see(&self.truth, Fact::Recovered { objects, revision });
        self.server.program = Some((self.server.make)(birth, self.truth.disk.load()));
        self.server.clock.begin(self.truth.now, Duration::from_secs(draw.count(1).below(1_000_000)));
        let who = self.server.who.clone();
        self.tell(|| What::Actor { op: ActorOp::Start, who });
        self.weather_changed();
        self.step_server(Input::Wake);
    }

    fn arrive(&mut self, id: RequestId) {
        let Some(asked) = self.requests.get_mut(&id) else { return };
        if self.server.program.is_none() {
            let (actor, life, call) = (asked.actor, asked.life, asked.call);
            let (fate, tie) = self.actors[actor].link.send(self.truth.now, Message::Reply, &asked.about);
            let timeout = asked.sent + self.actors[actor].link.quality.timeout;
            let given_up = asked.broken;
            self.requests.remove(&id);
            return match fate {
                _ if given_up => {}
                Fate::Arrives(delay) | Fate::ArrivesTwice(delay, _) => {
                    self.lose(actor, life, call, self.truth.now + delay, tie, "connection refused");
                }
                Fate::Lost => self.time_out(actor, life, call, timeout, tie),
            };
        }
        let request = asked.request.take().expect("a request arrives once");
        if self.refuses(id, &request) {
            return;
        }
        let one = &self.actors[self.requests[&id].actor];
        if !one.intruders.is_empty() || one.ambushed == Some(id) {
            self.intrude(id, &request);
        }
        self.step_server(Input::Request { from: id, request });
    }

    fn step_server(&mut self, input: Input) {
        let now = self.server.clock.now(self.truth.now);
        let Some(program) = self.server.program.as_mut() else { return };
        let mut out = std::mem::take(&mut self.out);
        out.wake_at = None;
        self.counts.steps += 1;
        self.trace.mark(self.truth.now, SERVER, kind_of(&input));
        let told = self.trace.keeps().then(|| input.clone());
        step(&mut self.judge, self.truth.now, &self.server.who, program.as_mut(), now, input, &mut out);
        if let Some(input) = told {
            let (requests, actors) = (&self.requests, &self.actors);
            let name = |id: RequestId| {
                requests.get(&id).map_or_else(|| "nobody".to_owned(), |asked| actors[asked.actor].who.name.to_string())
            };
            let from = match &input {
                Input::Request { from, .. } | Input::Gone { from } => name(*from),
                _ => String::new(),
            };
            let what = trace::step_told(self.server.who.clone(), &input, &from, &out.list, |id| name(RequestId(id)));
            self.tell(|| what);
        } else {
            self.agenda.cause = self.trace.number();
        }
        self.server.wake_at = out.wake_at;
        let wanted = out.wake_at.map(|at| self.server.clock.world(at));
        let life = self.server.who.life;
        if let Some((at, tie)) = self.server.alarm.set(self.truth.now, wanted) {
            self.agenda.add(at, tie, Happening::WakeServer { life });
        }
        let by = self.server.who.name.clone();
        self.note(&by, &mut out.list);
        for effect in out.list.drain(..) {
            self.perform_for_server(effect);
        }
        self.out = out;
        self.judge.see(&self.truth, Fact::Served);
    }

    fn perform_for_server(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { to, answer } => self.answer(to, answer),
            Effect::Event { to, event } => {
                if let WatchEvent::Added(object) | WatchEvent::Modified(object) = &event {
                    self.truth.share(object);
                }
                self.judge.see(&self.truth, Fact::Streamed { id: to, event: &event });
                let Some(asked) = self.requests.get_mut(&to) else { return };
                let link = &mut self.actors[asked.actor].link;
                if asked.broken {
                    return;
                }
                if !link.is_fair() && matches!(event, WatchEvent::Bookmark(_)) && link.drops_bookmarks(self.truth.now) {
                    return;
                }
                let (fate, _) = link.signal(self.truth.now, Message::Event, to.0);
                let Fate::Arrives(delay) = fate else {
                    sometimes!(DeafWatch);
                    // The connection cannot deliver it, so it will break, and nothing later may come through.
                    asked.broken = true;
                    let at = self.truth.now + link.quality.timeout;
                    let (actor, life, call) = (asked.actor, asked.life, asked.call);
                    self.agenda.add(at, to.0, Happening::End { actor, life, call });
                    self.agenda.add(at, to.0, Happening::Gone { id: to });
                    return;
                };
                let mut at = (self.truth.now + delay).max(asked.last + TICK);
                let mut cut = false;
                if !link.is_fair()
                    && let Some(consumer) = link.consumer(self.truth.now)
                {
                    at = at.max(asked.last + consumer.each);
                    asked.behind.retain(|at| *at > self.truth.now);
                    asked.behind.push_back(at);
                    cut = asked.behind.len() > consumer.buffer;
                }
                asked.last = at;
                let (actor, life, call) = (asked.actor, asked.life, asked.call);
                let input = Input::Event { call, event };
                self.agenda.add(at, to.0, Happening::Deliver { actor, life, input });
                cut |= matches!(self.count(actor, Occasion::Event), Some(Mishap::WatchCut));
                if cut {
                    self.break_watch(to);
                }
            }
            Effect::End { to } => {
                self.judge.see(&self.truth, Fact::Closed { id: to });
                if let Some(asked) = self.requests.remove(&to) {
                    self.end(&asked);
                }
            }
            Effect::Commit { commit, write } => {
                if self.truth.disk.submit(commit, write, self.agenda.cause) {
                    self.sync();
                }
            }
            Effect::Log { .. } | Effect::Decided { .. } => {}
            Effect::Call { .. } | Effect::Cancel { .. } | Effect::Measure { .. } | Effect::Runtime(_) => {
                panic!("the API server acts as a client: {effect:?}");
            }
        }
    }

    fn answer(&mut self, to: RequestId, mut answer: Answer) {
        if let Answer::Object { object, .. } = &answer {
            self.truth.share(object);
        }
        let opened = matches!(answer, Answer::Watching);
        let Some(asked) = self.requests.get_mut(&to) else {
            if !opened {
                self.judge.see(&self.truth, Fact::Answered { id: to, answer: &answer });
            }
            return;
        };
        let (actor, life, call, now) = (asked.actor, asked.life, asked.call, self.truth.now);
        let link = &mut self.actors[actor].link;
        let (mut fate, tie) = link.send(now, Message::Reply, &asked.about);
        let times_out = asked.sent + link.quality.timeout;
        if let Some(query) = asked.list.take() {
            self.age(actor, &query, &mut answer);
        }
        if let Some(mishap) = self.count(actor, Occasion::Reply) {
            fate = fate.with(mishap);
        }
        let asked = self.requests.get_mut(&to).expect("it was just looked at");
        if opened {
            if let Some((query, from)) = &asked.watch {
                self.judge.see(&self.truth, Fact::Opened { id: to, query, from: *from });
            }
            if asked.broken {
                return self.agenda.add(now + TICK, to.0, Happening::Gone { id: to });
            }
            match fate {
                Fate::Arrives(delay) | Fate::ArrivesTwice(delay, _) => {
                    asked.last = (now + delay).max(asked.last + TICK);
                    let input = Input::Reply { call, answer };
                    self.agenda.add(asked.last, tie, Happening::Deliver { actor, life, input });
                }
                Fate::Lost => {
                    asked.broken = true;
                    self.agenda.add(times_out.max(now + TICK), to.0, Happening::Gone { id: to });
                    self.time_out(actor, life, call, times_out.max(now), tie);
                }
            }
            return;
        }
        let given_up = asked.broken;
        self.judge.see(&self.truth, Fact::Answered { id: to, answer: &answer });
        self.requests.remove(&to);
        if given_up {
            return;
        }
        let late = |delay: Duration| now + delay > times_out;
        match fate {
            Fate::Arrives(delay) if !late(delay) => {
                let input = Input::Reply { call, answer };
                self.agenda.add(now + delay, tie, Happening::Deliver { actor, life, input });
            }
            Fate::ArrivesTwice(delay, again) if !late(delay) => {
                sometimes!(ReplyTwice);
                let input = Input::Reply { call, answer };
                self.agenda.add(now + again, tie, Happening::Deliver { actor, life, input: input.clone() });
                self.agenda.add(now + delay, tie, Happening::Deliver { actor, life, input });
            }
            Fate::Arrives(_) | Fate::ArrivesTwice(..) | Fate::Lost => {
                if matches!(answer, Answer::Object { .. } | Answer::Removed(_)) {
                    sometimes!(ReplyLostButDone);
                }
                self.time_out(actor, life, call, times_out.max(now), tie);
            }
        }
    }

    /// The client learns that its watch has ended, after all that was sent before.
    fn end(&mut self, asked: &Asked) {
        if asked.broken {
            return;
        }
        let (fate, tie) = self.actors[asked.actor].link.send(self.truth.now, Message::Hangup, &asked.about);
        let Fate::Arrives(delay) = fate else { return };
        let at = (self.truth.now + delay).max(asked.last + TICK);
        let (actor, life, call) = (asked.actor, asked.life, asked.call);
        self.agenda.add(at, tie, Happening::End { actor, life, call });
    }

    fn sync(&mut self) {
        let Some(first) = self.truth.disk.first() else { return };
        let draw = self.server.syncs.object(0, first);
        let at = self.truth.now + self.server.sync.of(draw) + self.server.trouble.sync(draw);
        let life = self.server.who.life;
        self.agenda.add(at, draw.count(1).u64(), Happening::Synced { life });
    }

    fn synced(&mut self, life: u32) {
        let fails = self.server.trouble.fails();
        self.truth.disk.broken = fails;
        for submitted in self.truth.disk.synced() {
            let Outcome { commit, outcome, change, cause } = self.truth.disk.settle(submitted);
            self.agenda.cause = cause;
            if let Some(change) = change {
                self.durable(change);
            }
            let at = self.truth.now.max(self.server.told_at + TICK);
            self.server.told_at = at;
            self.agenda.add(at, commit.0, Happening::Commit { life, commit, outcome });
        }
        self.sync();
    }

    fn durable(&mut self, change: miniku_core::store::Change) {
        self.counts.writes += 1;
        if !is_beat(&change) {
            self.counts.loud_writes += 1;
            self.last_noise = Noise::Write(change.key.clone(), change.revision);
        }
        self.tell(|| What::Write(change.clone()));
        self.truth.durable(change);
        let change = self.truth.history.back().expect("one was just added");
        self.judge.see(&self.truth, Fact::Durable { change });
        let (kind, revision) = (change.key.kind, change.revision);
        self.wrote(kind, revision);
    }

    fn crash_server(&mut self, down: Duration, unsynced: Unsynced) {
        if self.server.program.take().is_none() {
            return;
        }
        let who = self.server.who.clone();
        self.server.who.life += 1;
        self.server.alarm.silence();
        self.server.frozen = self.truth.now;
        let strike = self.agenda.cause;
        self.truth.disk.broken = self.server.trouble.fails();
        for submitted in self.truth.disk.crash(unsynced) {
            let Outcome { change, cause, .. } = self.truth.disk.settle(submitted);
            self.agenda.cause = cause;
            if let Some(change) = change {
                self.durable(change);
            }
        }
        self.agenda.cause = strike;
        self.tell(|| What::Actor { op: ActorOp::Crash, who });
        // Connections break at once; requests that have not arrived yet will find nobody.
        let cut: Vec<RequestId> =
            self.requests.iter().filter(|(_, asked)| asked.request.is_none()).map(|(id, _)| *id).collect();
        for id in cut {
            let asked = self.requests.remove(&id).expect("it was just listed");
            if asked.watch.is_some() {
                self.end(&asked);
            } else if !asked.broken {
                let (actor, life, call) = (asked.actor, asked.life, asked.call);
                let (fate, tie) = self.actors[actor].link.send(self.truth.now, Message::Reply, &asked.about);
                let at = match fate {
                    Fate::Arrives(delay) | Fate::ArrivesTwice(delay, _) => self.truth.now + delay,
                    Fate::Lost => (asked.sent + self.actors[actor].link.quality.timeout).max(self.truth.now),
                };
                sometimes!(ConnectionReset);
                self.lose(actor, life, call, at, tie, "connection reset");
            }
        }
        let life = self.server.who.life;
        self.server.starts_at = self.truth.now + down;
        self.agenda.add(self.server.starts_at, SERVER, Happening::StartServer { life });
        self.weather_changed();
    }

    // Machines.

    fn deed(&mut self, node: usize, boot: u32, deed: Deed) {
        let kubelet = self.machines[node].kubelet;
        let wall = self.actors[kubelet].clock.now(self.truth.now).wall;
        let machine = &mut self.machines[node];
        if machine.boot != boot {
            return;
        }
        let mut results = Results::default();
        let report = machine.runtime.act(wall, deed, &mut results);
        self.results(node, results);
        if let Some(report) = report {
            self.step_actor(kubelet, Input::Runtime(report));
        }
    }

    fn results(&mut self, node: usize, results: Results) {
        let name = self.machines[node].name.clone();
        for life in results.lives {
            self.life(&name, &life);
        }
        let machine = &mut self.machines[node];
        for (after, deed) in results.later {
            let mut at = self.truth.now + after;
            if matches!(deed, Deed::Tell(_)) {
                at = at.max(machine.told_at + TICK);
                machine.told_at = at;
            }
            let (boot, deed) = (machine.boot, Box::new(deed));
            self.agenda.add(at, node as u64, Happening::Deed { node, boot, deed });
        }
    }

    fn life(&mut self, node: &Arc<str>, life: &Life) {
        let (Life::Started(process) | Life::Ended(process, _)) = life;
        let (began, on, one) = (matches!(life, Life::Started(_)), node.clone(), process.clone());
        self.tell(|| What::Process { began, node: on, process: one });
        let (process, verb) = match life {
            Life::Started(process) => {
                self.counts.starts += 1;
                self.truth.started(node, process);
                self.judge.see(&self.truth, Fact::Started { node, process });
                (process, "runs")
            }
            Life::Ended(process, code) => {
                self.counts.ends += 1;
                self.truth.ended(node, process);
                self.judge.see(&self.truth, Fact::Ended { node, process, code: *code });
                (process, "has ended")
            }
        };
        let what = format!("{}/{}.{} {verb}", process.pod.name, process.container, process.attempt);
        self.last_noise = Noise::Process(what);
    }

    fn crash_node(&mut self, node: usize, down: Option<Duration>) {
        if !self.machines[node].up {
            return;
        }
        self.crash(self.machines[node].kubelet, None);
        let machine = &mut self.machines[node];
        machine.up = false;
        machine.boot += 1;
        machine.frozen = self.truth.now;
        let (name, boot) = (machine.name.clone(), machine.boot);
        let lives = machine.runtime.crash();
        if !lives.is_empty() {
            sometimes!(NodeLostPower);
        }
        self.tell(|| What::Node { up: false, node: name.clone() });
        for life in lives {
            self.life(&name, &life);
        }
        if let Some(down) = down {
            self.agenda.add(self.truth.now + down, node as u64, Happening::StartNode { node, boot });
        }
        self.weather_changed_at(self.machines[node].kubelet);
    }

    /// The API server was started, stopped, or is in trouble: which nodes are in touch with it is found anew.
    fn weather_changed(&mut self) {
        for machine in 0..self.machines.len() {
            self.look_at_touch(machine);
        }
        self.look_at_deciders();
        self.judge.see(&self.truth, Fact::Weather);
    }

    /// A client or its link was started, stopped, cut or healed.
    fn weather_changed_at(&mut self, actor: usize) {
        if let Some(machine) = self.actors[actor].node {
            self.look_at_touch(machine);
        }
        if matches!(self.actors[actor].who.role, Role::Scheduler | Role::NodeLifecycle | Role::Workloads) {
            self.look_at_deciders();
        }
        self.judge.see(&self.truth, Fact::Weather);
    }

    /// Those of whom it is judged whether they do in time what they should.
    fn look_at_deciders(&mut self) {
        let (now, server) = (self.truth.now, &self.server);
        let serving = server.program.is_some() && server.frozen <= now && server.trouble.is_none();
        let well =
            |one: &Actor| one.program.is_some() && one.frozen <= now && one.link.is_fair() && one.slow.is_empty();
        let good = |role: Role| serving && self.actors.iter().filter(|one| one.who.role == role).all(well);
        let since = |role: Role, before: Option<Instant>| if good(role) { before.or(Some(now)) } else { None };
        self.truth.scheduler = since(Role::Scheduler, self.truth.scheduler);
        self.truth.lifecycle = since(Role::NodeLifecycle, self.truth.lifecycle);
        self.truth.workloads = since(Role::Workloads, self.truth.workloads);
    }

    fn look_at_touch(&mut self, machine: usize) {
        let (now, machine) = (self.truth.now, &self.machines[machine]);
        let (kubelet, server) = (&self.actors[machine.kubelet], &self.server);
        let serving = server.program.is_some() && server.frozen <= now && server.trouble.is_none();
        let runs = machine.up && machine.frozen <= now && kubelet.program.is_some() && kubelet.frozen <= now;
        let well = kubelet.link.is_fair() && kubelet.slow.is_empty() && machine.runtime.is_well();
        let good = serving && runs && well;
        let facts = self.truth.nodes.get_mut(&machine.name).expect("every machine has facts");
        facts.up = machine.up;
        facts.in_touch = if good { facts.in_touch.or(Some(now)) } else { None };
    }
}

/// One step of a program. A panic is a violation like any other, so that its seed and its past are told.
fn step(
    judge: &mut Judge,
    at: Instant,
    who: &Who,
    program: &mut dyn Program,
    now: Now,
    input: Input,
    out: &mut Effects,
) {
    let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| program.step(now, input, out)));
    let Err(panic) = stepped else { return };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let what = format!("{who}: {}", text.unwrap_or("a panic without words"));
    break_law(judge, at, "P-total", "No input makes a program panic.", what);
}

/// Whether a write comes again and again in a cluster at rest, as in Kubernetes. An autoscaler that cannot measure says so
/// each time that it looks; why a pod has no node may be told in other words when the scheduler looks again; and that an
/// image cannot be had is counted at each try.
fn is_beat(change: &miniku_core::store::Change) -> bool {
    let event = change.new.as_ref().and_then(Object::get::<Event>);
    let again = event.is_some_and(|event| match (&*event.involved_object.kind, &*event.reason) {
        ("HorizontalPodAutoscaler", _) => change.old.is_some(),
        ("Pod", "FailedScheduling") => true,
        ("Pod", "Failed") => change.old.is_some() && event.message.contains("ErrImagePull"),
        _ => false,
    });
    change.key.kind == Kind::Lease || again || waits_on(change)
}

/// Whether nothing has changed but the words in which a pod is told why it has no node.
fn waits_on(change: &miniku_core::store::Change) -> bool {
    let silent = |object: &Option<Object>| {
        let mut pod = object.as_ref()?.get::<Pod>()?.clone();
        let why = pod.status.conditions.iter_mut().find(|one| one.kind == "PodScheduled" && one.status == "False")?;
        why.message = Text::default();
        pod.metadata.resource_version = Text::default();
        pod.metadata.managed_fields = None;
        Some(pod)
    };
    silent(&change.old).is_some_and(|before| silent(&change.new) == Some(before))
}

fn break_pause(judge: &mut Judge, at: Instant, who: &Who) {
    let what = format!("{who} was woken {RINGS} times, and no time has passed");
    break_law(judge, at, "P-pause", "No program asks for ever to be woken at a time that has come.", what);
}

/// What a program must never do, whatever a cluster looks like.
fn break_law(judge: &mut Judge, at: Instant, name: &str, statement: &str, what: String) {
    let (name, statement, broken) = (name.into(), statement.into(), Broken::by(what));
    judge.violation.get_or_insert(Violation { name, statement, at, seq: 0, broken });
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
