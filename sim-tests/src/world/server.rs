//! The API server: it starts from its disk, is asked and stepped, and is killed.

use super::agenda::Happening;
use super::laws::{break_pause, step};
use super::{Birth, SERVER, World, kind_of};
use crate::disk::{Outcome, Unsynced};
use crate::link::{Fate, Message};
use crate::trace::{self, ActorOp, What};
use crate::truth::Fact;
use miniku_core::program::{Input, RequestId};
use miniku_core::rng::Draw;
use miniku_core::sometimes;
use miniku_core::time::Duration;

impl World {
    pub(super) fn start_server(&mut self, life: u32) {
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

    /// A wake of the agenda has come.
    pub(super) fn wake_server(&mut self, life: u32) {
        let server = &mut self.server;
        if server.who.life != life {
            return;
        }
        let (wanted, again) = server.alarm.ring(self.truth.now);
        if let Some((at, tie)) = again {
            self.agenda.add(at, tie, Happening::WakeServer { life });
        }
        if server.alarm.is_stuck() {
            break_pause(&mut self.judge, self.truth.now, &server.who);
        } else if wanted && server.program.is_some() {
            self.step_server(Input::Wake);
        }
    }

    /// The API server learns that who asked has gone.
    pub(super) fn gone(&mut self, id: RequestId) {
        if self.requests.remove(&id).is_some() && self.server.program.is_some() {
            self.judge.see(&self.truth, Fact::Closed { id });
            self.step_server(Input::Gone { from: id });
        }
    }

    /// A request reaches the API server, or finds nobody.
    pub(super) fn arrive(&mut self, id: RequestId) {
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

    pub(super) fn step_server(&mut self, input: Input) {
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

    pub(super) fn crash_server(&mut self, down: Duration, unsynced: Unsynced) {
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
}
