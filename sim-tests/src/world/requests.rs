//! What clients ask, on its way to the API server, and what becomes of it where it gets lost.

use super::agenda::Happening;
use super::hooks::Occasion;
use super::{Asked, TICK, World};
use crate::link::{Fate, Message, subject};
use crate::plan::Mishap;
use crate::truth::{Fact, Role};
use crate::usage;
use miniku_core::api::object::Key;
use miniku_core::program::{Answer, CallId, Input, Query, Request, RequestId, Verb};
use miniku_core::rng::Draw;
use miniku_core::sometimes;
use miniku_core::time::Instant;
use std::collections::VecDeque;

impl World {
    /// A program has decided to ask for something; the request gets its name.
    pub(super) fn decide(&mut self, actor: usize, request: &Request) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.judge.see(&self.truth, Fact::Sent { who: &self.actors[actor].who, id, request });
        id
    }

    /// A request goes on its way.
    pub(super) fn call(&mut self, actor: usize, call: CallId, request: Request, id: RequestId, late: bool) {
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
        // Who asked has given up by then.
        let broken = delay > timeout;
        if broken {
            self.time_out(actor, life, call, now + timeout, tie);
        }
        let (sent, arrives, request, last, behind) = (now, now + delay, Some(request), now, VecDeque::new());
        let asked = Asked { actor, life, call, sent, arrives, about, request, watch, list, last, broken, behind };
        let twin = again.map(|again| Asked { arrives: now + again, ..asked.clone() });
        self.send_off(id, asked, tie);
        if let Some(twin) = twin {
            let id = self.decide(actor, twin.request.as_ref().expect("it has not arrived yet"));
            self.send_off(id, twin, tie);
        }
    }

    fn send_off(&mut self, id: RequestId, asked: Asked, tie: u64) {
        self.agenda.add(asked.arrives, tie, Happening::Arrive { id });
        self.requests.insert(id, Box::new(asked));
    }

    /// Asks what pods use. In daemons the API server's shell asks the kubelets; here it is looked up.
    pub(super) fn measure(&mut self, actor: usize, call: CallId, query: &Query) {
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
    pub(super) fn time_out(&mut self, actor: usize, life: u32, call: CallId, at: Instant, tie: u64) {
        let is_silent = self.actors[actor].who.role != Role::Operator;
        if is_silent && Draw::new(self.seed).key("silence").count(tie).chance(1, 8) {
            sometimes!(NothingHeard);
            return;
        }
        self.lose(actor, life, call, at, tie, "the request timed out");
    }

    pub(super) fn lose(&mut self, actor: usize, life: u32, call: CallId, at: Instant, tie: u64, why: &str) {
        let input = Input::Reply { call, answer: Answer::Lost(why.to_owned()) };
        self.agenda.add(at, tie, Happening::Deliver { actor, life, input });
    }

    /// The client of a request has gone; the API server will learn of it.
    pub(super) fn hang_up(&mut self, actor: usize, id: RequestId) {
        let Some(asked) = self.requests.get(&id) else { return };
        let (fate, tie) = self.actors[actor].link.send(self.truth.now, Message::Hangup, &asked.about);
        let Fate::Arrives(delay) = fate else { return };
        let at = (self.truth.now + delay).max(asked.arrives + TICK);
        self.agenda.add(at, tie, Happening::Gone { id });
    }
}
