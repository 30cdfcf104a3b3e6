//! Programs that live: they start, are stepped, have done what they want done, and end.

use super::agenda::Happening;
use super::hooks::Occasion;
use super::laws::{break_pause, step};
use super::{Actor, Birth, TICK, World, kind_of};
use crate::trace::{self, ActorOp, What};
use crate::truth::Fact;
use miniku_core::program::{Answer, CallId, Effect, Input, RequestId};
use miniku_core::rng::Draw;
use miniku_core::sometimes;
use miniku_core::time::Duration;

impl Actor {
    /// Whether it is still in this life.
    fn lives(&self, life: u32) -> bool {
        self.who.life == life && self.program.is_some()
    }
}

impl World {
    pub(super) fn start(&mut self, actor: usize, life: u32) {
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

    /// A wake of the agenda has come.
    pub(super) fn wake(&mut self, actor: usize, life: u32) {
        let one = &mut self.actors[actor];
        if one.who.life != life {
            return;
        }
        let (wanted, again) = one.alarm.ring(self.truth.now);
        if let Some((at, tie)) = again {
            self.agenda.add(at, tie, Happening::Wake { actor, life });
        }
        if one.alarm.is_stuck() {
            break_pause(&mut self.judge, self.truth.now, &one.who);
        } else if wanted {
            self.step_actor(actor, Input::Wake);
        }
    }

    /// Something reaches a program.
    pub(super) fn deliver(&mut self, actor: usize, life: u32, input: Input) {
        let one = &mut self.actors[actor];
        // Who has closed a watch reads no more of it.
        let is_closed = matches!(&input, Input::Event { call, .. } if !one.open.contains_key(call));
        if !one.lives(life) || is_closed {
            return;
        }
        if let Input::Reply { call, answer } = &input
            && !matches!(answer, Answer::Watching)
        {
            one.open.remove(call);
        }
        self.step_actor(actor, input);
    }

    /// Nothing more comes on a watch.
    pub(super) fn ended(&mut self, actor: usize, life: u32, call: CallId) {
        let one = &mut self.actors[actor];
        if one.lives(life) && one.open.remove(&call).is_some() {
            self.step_actor(actor, Input::Ended { call });
        }
    }

    pub(super) fn step_actor(&mut self, actor: usize, input: Input) {
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
    pub(super) fn perform_late(&mut self, actor: usize, life: u32, effects: Vec<(Effect, Option<RequestId>)>) {
        if !self.actors[actor].lives(life) {
            return;
        }
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
        self.actors[actor].lives(life)
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

    /// Kills a program. It starts again after a time, if there is one.
    pub(super) fn crash(&mut self, actor: usize, down: Option<Duration>) {
        self.go(actor, down, ActorOp::Crash);
    }

    /// Ends a program in good order; one that stands still does not hear of it, and is killed.
    pub(super) fn stop(&mut self, actor: usize, down: Duration) {
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
}
