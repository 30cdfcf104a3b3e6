//! What goes wrong: how each fault strikes and how it is over.

use super::agenda::Happening;
use super::clock::Clock;
use super::hooks::Occasion;
use super::{Actor, Asked, TICK, World};
use crate::disk::Unsynced;
use crate::noise::{Counted, Delay};
use crate::plan::{Fault, GROUPS, Mishap, Off, Ratio, Stale, Weather};
use crate::runtime::{Deed, End};
use crate::trace::{ActorOp, What};
use crate::truth::{Fact, INTRUDER, Role, Who};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::status::{Reason, Status};
use miniku_core::program::{
    Answer, Effect, Input, Part as ObjectPart, Query, Request, RequestId, Revision, Verb, WatchEvent, WatchFrom,
};
use miniku_core::rng::Draw;
use miniku_core::time::{Duration, Instant};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};

/// What is wrong with the API server and its disk.
#[derive(Debug)]
pub(super) struct ServerTrouble {
    refusals: Counted,
    overloads: Vec<(usize, Ratio, u16)>,
    full: Vec<usize>,
    slow: Vec<(usize, Delay)>,
    errors: Vec<(usize, Ratio)>,
    /// No watch begins before.
    compacted: Revision,
    /// When the newest revisions were written, the oldest first.
    written: VecDeque<(Instant, Revision)>,
}

/// So many times of writes are remembered.
const WRITTEN: usize = 16_384;

impl ServerTrouble {
    pub fn new(draw: Draw) -> Self {
        ServerTrouble {
            refusals: Counted::of(draw),
            overloads: Vec::new(),
            full: Vec::new(),
            slow: Vec::new(),
            errors: Vec::new(),
            compacted: Revision(0),
            written: VecDeque::new(),
        }
    }

    /// Whether nothing keeps it from answering.
    pub fn is_none(&self) -> bool {
        self.overloads.is_empty()
    }

    /// What is added to a sync.
    pub fn sync(&self, draw: Draw) -> Duration {
        (1..).zip(&self.slow).map(|(nth, (_, by))| by.of(draw.count(nth))).sum()
    }

    /// Why the sync that is done now has failed, if it has.
    pub fn fails(&mut self) -> Option<String> {
        if !self.full.is_empty() {
            return Some("no space left on device".into());
        }
        if self.errors.is_empty() {
            return None;
        }
        let draw = self.refusals.number(0);
        let fails =
            |(nth, (_, share)): (u64, &(usize, Ratio))| draw.count(nth).chance(u64::from(share.0), u64::from(share.1));
        (1..).zip(&self.errors).any(fails).then(|| "input/output error".into())
    }

    /// A revision was written.
    pub fn wrote(&mut self, now: Instant, revision: Revision) {
        if self.written.len() >= WRITTEN {
            self.written.pop_front();
        }
        self.written.push_back((now, revision));
    }

    fn heal(&mut self, id: usize) {
        self.overloads.retain(|(one, ..)| *one != id);
        self.full.retain(|one| *one != id);
        self.slow.retain(|(one, _)| *one != id);
        self.errors.retain(|(one, _)| *one != id);
    }
}

/// Who can be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Server,
    Actor(usize),
}

impl World {
    /// When what happens now can happen: after the one to whom it happens has thawed. Absent if it is not frozen.
    pub(super) fn thaws(&self, what: &Happening) -> Option<Instant> {
        let machine = |node: usize| self.machines[node].frozen;
        let actor = |actor: usize| {
            let one = &self.actors[actor];
            one.frozen.max(one.node.map(machine).unwrap_or_default())
        };
        let thaws = match what {
            Happening::Wake { actor: one, .. }
            | Happening::Deliver { actor: one, .. }
            | Happening::End { actor: one, .. }
            | Happening::Leave { actor: one, .. } => actor(*one),
            Happening::Deed { node, deed, .. } if matches!(**deed, Deed::Tell(_)) => {
                actor(self.machines[*node].kubelet)
            }
            Happening::Deed { node, .. } | Happening::Command { node, .. } => machine(*node),
            Happening::Arrive { .. }
            | Happening::Gone { .. }
            | Happening::WakeServer { .. }
            | Happening::Commit { .. } => self.server.frozen,
            Happening::Start { actor: one, .. } => self.actors[*one].node.map(machine).unwrap_or_default(),
            Happening::StartServer { .. }
            | Happening::Synced { .. }
            | Happening::Arm { .. }
            | Happening::ArmCall { .. }
            | Happening::Strike { .. }
            | Happening::Repeat { .. }
            | Happening::Heal { .. }
            | Happening::StartNode { .. } => return None,
        };
        Some(thaws).filter(|thaws| *thaws > self.truth.now)
    }

    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.actors.iter().position(|actor| *actor.who.name == *name)
    }

    /// Whom a fault strikes.
    fn chosen(&self, id: usize, name: &str) -> Vec<Target> {
        if name == "apiserver" {
            return vec![Target::Server];
        }
        if !GROUPS.contains(&name) {
            return self.named(name).map(Target::Actor).into_iter().collect();
        }
        let draw = Draw::new(self.seed).key("chosen").count(id as u64);
        let all = self.actors.iter().enumerate().filter(|(_, actor)| actor.who.role != Role::Operator);
        let chosen = all.filter(|(_, actor)| match name {
            "all nodes" => actor.node.is_some(),
            "all controllers" => actor.node.is_none(),
            "a random half" => draw.key(&actor.who.name).chance(1, 2),
            _ => true,
        });
        chosen.map(|(actor, _)| Target::Actor(actor)).collect()
    }

    fn chosen_actors(&self, id: usize, name: &str) -> Vec<usize> {
        let actors = self.chosen(id, name).into_iter().filter_map(|target| match target {
            Target::Actor(actor) => Some(actor),
            Target::Server => None,
        });
        actors.collect()
    }

    fn machine(&self, node: &str) -> Option<usize> {
        self.machines.iter().position(|machine| *machine.name == *node)
    }

    /// Makes something go wrong, now. `id` names it until it is over.
    pub(super) fn strike(&mut self, id: usize) {
        let fault = self.faults[id].2.clone();
        self.tell(|| What::Fault { id, text: fault.to_string(), target: fault.target().to_owned() });
        let now = self.truth.now;
        let ends = now + fault.lasts();
        self.over = self.over.max(ends);
        if fault.healed().is_some() {
            self.agenda.add(ends, id as u64, Happening::Heal { fault: id });
        }
        match &fault {
            Fault::ApiServerCrash { down, unsynced } => self.crash_server(*down, *unsynced),
            Fault::Crash { actor, down } => self.at_each(id, actor, |world, actor| world.crash(actor, Some(*down))),
            Fault::Stop { actor, down } => self.at_each(id, actor, |world, actor| world.stop(actor, *down)),
            Fault::CrashAfterOutput { actor, outputs, down } => {
                self.at_each(id, actor, |world, actor| world.doom(actor, *outputs, *down));
            }
            Fault::CrashLoop { times, .. } => self.repeat(id, *times),
            Fault::Freeze { actor, .. } => {
                for target in self.chosen(id, actor) {
                    self.freeze(target, ends);
                }
            }
            Fault::Slow { actor, delay, .. } => {
                self.at_each(id, actor, |world, actor| world.actors[actor].slow.push((id, *delay)));
            }
            Fault::Intruder { actor, share, .. } => {
                self.at_each(id, actor, |world, actor| world.actors[actor].intruders.push((id, *share)));
            }
            Fault::Twin { actor, .. } => self.at_each(id, actor, |world, actor| world.double(id, actor)),
            Fault::NodeCrash { node, down } => {
                if let Some(node) = self.machine(node) {
                    self.crash_node(node, *down);
                }
            }
            Fault::NodeFreeze { node, .. } => {
                if let Some(node) = self.machine(node).filter(|node| self.machines[*node].up) {
                    self.freeze_node(node, ends);
                }
            }
            Fault::Runtime { node, trouble, .. } => {
                if let Some(node) = self.machine(node) {
                    self.machines[node].runtime.spoil(id, *trouble);
                }
            }
            Fault::Link { actor, weather, .. } => {
                self.at_each(id, actor, |world, actor| world.actors[actor].link.spoil(id, now, ends, *weather));
            }
            Fault::Swizzle { actor, lasts } => self.swizzle(id, actor, *lasts),
            Fault::Message { actor, nth, mishap } => {
                self.at_each(id, actor, |world, actor| world.waylay(actor, *nth, *mishap));
            }
            Fault::Reset { actor } => self.at_each(id, actor, World::reset),
            Fault::CutWatches { actor } => self.at_each(id, actor, World::cut_watches),
            Fault::ExpireWatches { actor } => self.at_each(id, actor, World::expire_watches),
            Fault::Compact {} => self.compact(),
            Fault::Overload { share, code, .. } => self.server.trouble.overloads.push((id, *share, *code)),
            Fault::DiskFull { .. } => self.server.trouble.full.push(id),
            Fault::SlowDisk { sync, .. } => self.server.trouble.slow.push((id, *sync)),
            Fault::SyncErrors { share, .. } => self.server.trouble.errors.push((id, *share)),
            Fault::WallClock { actor, off, .. } => self.shift_clocks(id, actor, *off),
            Fault::Drift { actor, per_mille, .. } => self.drift_clocks(id, actor, *per_mille),
            Fault::ProcessesEnd { pod, code } => self.end_processes(pod, *code, End::Exit),
            Fault::OutOfMemory { pod } => self.end_processes(pod, 137, End::OutOfMemory),
            Fault::CrashingContainers { every, lasts, .. } => {
                let times = lasts.as_nanos() / every.max(&TICK).as_nanos();
                self.repeat(id, u32::try_from(times).unwrap_or(u32::MAX).max(1));
            }
        }
        self.weather_changed();
    }

    /// Does something to each program that a fault strikes.
    fn at_each(&mut self, id: usize, name: &str, mut does: impl FnMut(&mut World, usize)) {
        for actor in self.chosen_actors(id, name) {
            does(self, actor);
        }
    }

    fn shift_clocks(&mut self, id: usize, name: &str, off: Off) {
        let now = self.truth.now;
        let nanos = |off: Duration| i64::try_from(off.as_nanos()).unwrap_or(i64::MAX);
        let shift = |clock: &mut Clock| match off {
            Off::Ahead(off) => clock.shift(id, nanos(off)),
            Off::Behind(off) => clock.shift(id, -nanos(off)),
            Off::Still => clock.stop(now, id),
        };
        for target in self.chosen(id, name) {
            match target {
                Target::Server => shift(&mut self.server.clock),
                Target::Actor(actor) => {
                    shift(&mut self.actors[actor].clock);
                    self.note_clock(actor);
                }
            }
        }
    }

    fn drift_clocks(&mut self, id: usize, name: &str, per_mille: i32) {
        let now = self.truth.now;
        for target in self.chosen(id, name) {
            match target {
                Target::Server => self.server.clock.drift(now, id, per_mille),
                Target::Actor(actor) => self.actors[actor].clock.drift(now, id, per_mille),
            }
            self.set_alarm(target);
        }
    }

    /// What the clock of a program shows is a fact.
    fn note_clock(&mut self, actor: usize) {
        let (name, clock) = (self.actors[actor].who.name.clone(), &self.actors[actor].clock);
        match clock.stopped() {
            None => drop(self.truth.stopped.remove(&name)),
            Some(at) => drop(self.truth.stopped.insert(name.clone(), at)),
        }
        match clock.off() {
            0 => drop(self.truth.clocks.remove(&name)),
            off => drop(self.truth.clocks.insert(name, off)),
        }
    }

    /// What went wrong is over.
    pub(super) fn heal(&mut self, id: usize) {
        let fault = self.faults[id].2.clone();
        let now = self.truth.now;
        match &fault {
            Fault::Link { .. } | Fault::Swizzle { .. } => {
                for actor in &mut self.actors {
                    actor.link.clear(id);
                }
            }
            Fault::Slow { .. } | Fault::Intruder { .. } => {
                for actor in &mut self.actors {
                    actor.slow.retain(|(one, _)| *one != id);
                    actor.intruders.retain(|(one, _)| *one != id);
                }
            }
            Fault::Twin { .. } => {
                let twins = (0..self.actors.len()).filter(|actor| self.actors[*actor].twin_of == Some(id));
                for twin in twins.collect::<Vec<_>>() {
                    self.crash(twin, None);
                }
            }
            Fault::Runtime { node, .. } => {
                if let Some(node) = self.machine(node) {
                    self.machines[node].runtime.heal(id);
                }
            }
            Fault::WallClock { actor, .. } | Fault::Drift { actor, .. } => {
                for target in self.chosen(id, actor) {
                    match target {
                        Target::Server => self.server.clock.heal(now, id),
                        Target::Actor(actor) => {
                            self.actors[actor].clock.heal(now, id);
                            self.note_clock(actor);
                        }
                    }
                    self.set_alarm(target);
                }
            }
            _ => self.server.trouble.heal(id),
        }
        if let Some(text) = fault.healed() {
            self.tell(|| What::Heal { id, text });
        }
        self.weather_changed();
    }

    /// A fault that strikes again and again does, and so often in all from now on.
    pub(super) fn repeat(&mut self, id: usize, times: u32) {
        if times == 0 {
            return;
        }
        let pause = match self.faults[id].2.clone() {
            Fault::CrashLoop { actor, up, down, .. } => {
                for target in self.chosen(id, &actor) {
                    match target {
                        Target::Server => self.crash_server(down, Unsynced::Lost),
                        Target::Actor(actor) => self.crash(actor, Some(down)),
                    }
                }
                // It has begun, but nothing that it asked for has come back.
                down + up.max(TICK)
            }
            Fault::CrashingContainers { pod, every, .. } => {
                self.end_processes(&pod, 1, End::Exit);
                every.max(TICK)
            }
            other => unreachable!("{other} strikes once"),
        };
        self.agenda.add(self.truth.now + pause, id as u64, Happening::Repeat { fault: id, left: times - 1 });
    }

    fn freeze(&mut self, target: Target, until: Instant) {
        let (frozen, who, runs) = match target {
            Target::Server => (&mut self.server.frozen, &self.server.who, self.server.program.is_some()),
            Target::Actor(actor) => {
                let one = &mut self.actors[actor];
                (&mut one.frozen, &one.who, one.program.is_some())
            }
        };
        if !runs {
            return;
        }
        *frozen = until.max(*frozen);
        let who = who.clone();
        self.frozen = self.frozen.max(until);
        self.tell(|| What::Actor { op: ActorOp::Freeze, who });
    }

    fn freeze_node(&mut self, node: usize, until: Instant) {
        let frozen = &mut self.machines[node].frozen;
        *frozen = until.max(*frozen);
        self.frozen = self.frozen.max(until);
        let who = self.actors[self.machines[node].kubelet].who.clone();
        self.tell(|| What::Actor { op: ActorOp::Freeze, who });
    }

    /// A clock runs at another speed: what waits for it comes at another time.
    fn set_alarm(&mut self, target: Target) {
        let now = self.truth.now;
        match target {
            Target::Server => {
                let server = &mut self.server;
                let life = server.who.life;
                let wanted = server.wake_at.filter(|_| server.program.is_some()).map(|at| server.clock.world(at));
                if let Some((at, tie)) = server.alarm.set(now, wanted) {
                    self.agenda.add(at, tie, Happening::WakeServer { life });
                }
            }
            Target::Actor(actor) => {
                let one = &mut self.actors[actor];
                let life = one.who.life;
                let wanted = one.wake_at.filter(|_| one.program.is_some()).map(|at| one.clock.world(at));
                if let Some((at, tie)) = one.alarm.set(now, wanted) {
                    self.agenda.add(at, tie, Happening::Wake { actor, life });
                }
            }
        }
    }

    /// A second life of a program, beside the first.
    fn double(&mut self, id: usize, actor: usize) {
        let one = &self.actors[actor];
        if one.node.is_some() || one.who.role == Role::Operator {
            return;
        }
        let who = Who { role: one.who.role, name: format!("{}/{id}", one.who.name).into(), life: 1 };
        let mut twin = Actor::new(Draw::new(self.seed), who, None, one.make.clone(), one.link.quality);
        twin.twin_of = Some(id);
        self.actors.push(twin);
        self.start(self.actors.len() - 1, 1);
    }

    fn swizzle(&mut self, id: usize, group: &str, lasts: Duration) {
        let now = self.truth.now;
        let draw = Draw::new(self.seed).key("swizzle").count(id as u64);
        let mut actors = self.chosen_actors(id, group);
        let slot = lasts / u32::try_from(2 * actors.len().max(1)).unwrap_or(u32::MAX);
        let by = |draw: Draw| move |actor: &usize| (draw.count(*actor as u64).u64(), *actor);
        actors.sort_by_key(by(draw.key("clog")));
        let from: BTreeMap<usize, Instant> =
            (0..).zip(&actors).map(|(nth, actor)| (*actor, now + slot * nth)).collect();
        actors.sort_by_key(by(draw.key("clear")));
        for (nth, actor) in (1..).zip(actors) {
            self.actors[actor].link.spoil(id, from[&actor], now + lasts / 2 + slot * nth, Weather::CLOG);
        }
    }

    /// The open watches of a program.
    fn watches(&self, actor: usize) -> Vec<RequestId> {
        let open = |asked: &Asked| asked.watch.is_some() && asked.request.is_none() && !asked.broken;
        let all = self.actors[actor].open.values().copied();
        all.filter(|id| self.requests.get(id).is_some_and(|asked| open(asked))).collect()
    }

    /// What is on its way on a watch still arrives; what the API server sends from now on does not.
    pub(super) fn break_watch(&mut self, id: RequestId) {
        let Some(asked) = self.requests.get_mut(&id).filter(|asked| !asked.broken) else { return };
        let (actor, life, call) = (asked.actor, asked.life, asked.call);
        let at = self.truth.now.max(asked.last + TICK);
        asked.broken = true;
        self.hang_up(actor, id);
        self.agenda.add(at, id.0, Happening::End { actor, life, call });
    }

    /// A watch is told that it is too old.
    fn say_expired(&mut self, id: RequestId) {
        let why = Status::failure(Reason::Expired, "too old resource version: the history was compacted");
        self.perform_for_server(Effect::Event { to: id, event: WatchEvent::Expired(why) });
    }

    fn cut_watches(&mut self, actor: usize) {
        for watch in self.watches(actor) {
            self.break_watch(watch);
        }
    }

    fn expire_watches(&mut self, actor: usize) {
        for watch in self.watches(actor) {
            self.say_expired(watch);
            self.break_watch(watch);
        }
    }

    fn compact(&mut self) {
        self.server.trouble.compacted = self.truth.disk.revision();
        (0..self.actors.len()).for_each(|actor| self.expire_watches(actor));
    }

    fn reset(&mut self, actor: usize) {
        self.cut_watches(actor);
        let now = self.truth.now;
        let open: Vec<_> = self.actors[actor].open.values().copied().collect();
        for id in open {
            let Some(asked) = self.requests.get_mut(&id).filter(|asked| !asked.broken) else { continue };
            asked.broken = true;
            let (life, call) = (asked.life, asked.call);
            self.lose(actor, life, call, now + TICK, id.0, "connection reset");
        }
    }

    /// What a slow program did leaves it later, in its order.
    pub(super) fn leave(&mut self, actor: usize, effects: Vec<Effect>) {
        let one = &mut self.actors[actor];
        let mut at = self.truth.now;
        for (_, by) in &one.slow {
            at = at + by.of(one.link.draw("slow", &Key::new(Kind::Pod, "", "")));
        }
        at = at.max(one.leaves_at + TICK);
        one.leaves_at = at;
        let life = one.who.life;
        let named = effects.into_iter().map(|effect| {
            let id = match &effect {
                Effect::Call { request, .. } => Some(self.decide(actor, request)),
                _ => None,
            };
            (effect, id)
        });
        let effects = named.collect();
        self.agenda.add(at, actor as u64, Happening::Leave { actor, life, effects });
    }

    /// Whether the world answers a request in the API server's stead.
    pub(super) fn refuses(&mut self, id: RequestId, request: &Request) -> bool {
        if let Verb::Watch { from: WatchFrom::After(after), .. } = &request.verb
            && *after < self.server.trouble.compacted
        {
            self.answer(id, Answer::Watching);
            self.say_expired(id);
            self.perform_for_server(Effect::End { to: id });
            return true;
        }
        let trouble = &mut self.server.trouble;
        if trouble.overloads.is_empty() {
            return false;
        }
        let draw = trouble.refusals.object(1, &crate::link::subject(request));
        let refused = (0..).zip(&trouble.overloads).find_map(|(nth, (_, share, code))| {
            draw.count(nth).chance(u64::from(share.0), u64::from(share.1)).then_some(*code)
        });
        let Some(code) = refused else { return false };
        let (reason, why) = match code {
            429 => (Reason::TooManyRequests, "Too many requests, please try again later."),
            503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request"),
            _ => (Reason::InternalError, "an error on the server has prevented the request from succeeding"),
        };
        self.answer(id, Answer::Refused(Status::failure(reason, why)));
        true
    }

    /// Somebody annotates an object right before a write to it.
    pub(super) fn intrude(&mut self, id: RequestId, request: &Request) {
        let actor = self.requests[&id].actor;
        let key = match &request.verb {
            Verb::Update { object, .. } => object.key(),
            Verb::Merge { key, .. } | Verb::Patch { key, .. } | Verb::Bind { key, .. } | Verb::Delete { key, .. } => {
                key.clone()
            }
            Verb::Get { .. } | Verb::List(_) | Verb::Watch { .. } | Verb::Create { .. } => return,
        };
        let one = &mut self.actors[actor];
        let draw = one.link.draw("intruder", &key);
        let comes = one.ambushed.take_if(|of| *of == id).is_some()
            || (0..)
                .zip(&one.intruders)
                .any(|(nth, (_, share))| draw.count(nth).chance(u64::from(share.0), u64::from(share.1)));
        if !comes {
            return;
        }
        self.next_request += 1;
        let from = RequestId(self.next_request);
        let patch = json!({"metadata": {"annotations": {INTRUDER: from.0.to_string()}}});
        let request = Verb::Merge { key, patch, part: ObjectPart::Main }.into();
        let who = Who { role: Role::Operator, name: "intruder".into(), life: 1 };
        self.judge.see(&self.truth, Fact::Sent { who: &who, id: from, request: &request });
        self.step_server(Input::Request { from, request });
    }

    /// A list comes from a server that lags behind, as far as whoever asked allows.
    pub(super) fn age(&mut self, actor: usize, query: &Query, answer: &mut Answer) {
        let Answer::List { revision, items } = answer else { return };
        let mishap = self.count(actor, Occasion::Relist);
        let (now, newest) = (self.truth.now, *revision);
        let floor = query.not_older_than.unwrap_or(newest);
        let slack = newest.0.saturating_sub(floor.0);
        let seen = &mut self.actors[actor].hooks.seen;
        seen.slack = seen.slack.max(slack);
        let stale = match mishap {
            Some(Mishap::Stale(by)) => Some(Stale::Revisions(by)),
            _ => self.actors[actor].link.stale(now),
        };
        let lag = match stale {
            None => return,
            Some(Stale::Revisions(by)) => newest.0.saturating_sub(by),
            Some(Stale::Time(by)) => {
                let written = &self.server.trouble.written;
                let known = written.partition_point(|(at, _)| now.since(*at) >= by);
                known.checked_sub(1).map_or(floor.0, |nth| written[nth].1.0)
            }
        };
        let oldest = self.truth.history.front().map_or(newest.0, |change| change.revision.0 - 1);
        let then = Revision(lag.max(floor.0).max(oldest).min(newest.0));
        let mut objects: BTreeMap<Key, Object> = items.drain(..).map(|object| (object.key(), object)).collect();
        let passed = self.truth.history.iter().rev().skip_while(|change| change.revision > newest);
        for change in passed.take_while(|change| change.revision > then) {
            match change.old.as_ref().filter(|old| query.matches(old)) {
                Some(old) => objects.insert(change.key.clone(), old.clone()),
                None if change.key.kind == query.kind => objects.remove(&change.key),
                None => None,
            };
        }
        *revision = then;
        *items = objects.into_values().collect();
    }

    fn end_processes(&mut self, pod: &str, code: i32, end: End) {
        let Some((name, nodes)) = self.truth.first_running(pod) else { return };
        let (name, nodes) = (name.to_owned(), nodes.to_vec());
        for node in 0..self.machines.len() {
            if !nodes.contains(&self.machines[node].name) {
                continue;
            }
            let processes: Vec<_> =
                self.machines[node].runtime.processes().filter(|process| process.pod.name == name).collect();
            for process in processes {
                let boot = self.machines[node].boot;
                self.deed(node, boot, Deed::End { process, code, end });
            }
        }
    }
}
