//! What the API server says, on its way to clients.

use super::agenda::Happening;
use super::hooks::Occasion;
use super::{Asked, TICK, World};
use crate::link::{Fate, Message};
use crate::plan::Mishap;
use crate::truth::Fact;
use miniku_core::program::{Answer, Effect, Input, RequestId, WatchEvent};
use miniku_core::sometimes;
use miniku_core::time::{Duration, Instant};

impl World {
    /// Does what the API server wants done.
    pub(super) fn perform_for_server(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { to, answer } => self.answer(to, answer),
            Effect::Event { to, event } => self.stream(to, event),
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

    /// An event goes to the client of a watch.
    fn stream(&mut self, to: RequestId, event: WatchEvent) {
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) = &event {
            self.truth.share(object);
        }
        self.judge.see(&self.truth, Fact::Streamed { id: to, event: &event });
        let Some(asked) = self.requests.get_mut(&to).filter(|asked| !asked.broken) else { return };
        let link = &mut self.actors[asked.actor].link;
        if !link.is_fair() && matches!(event, WatchEvent::Bookmark(_)) && link.drops_bookmarks(self.truth.now) {
            return;
        }
        let (actor, life, call) = (asked.actor, asked.life, asked.call);
        let (fate, _) = link.signal(self.truth.now, Message::Event, to.0);
        let Fate::Arrives(delay) = fate else {
            sometimes!(DeafWatch);
            // The connection cannot deliver it, so it will break, and nothing later may come through.
            asked.broken = true;
            let at = self.truth.now + link.quality.timeout;
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
        self.agenda.add(at, to.0, Happening::Deliver { actor, life, input: Input::Event { call, event } });
        cut |= matches!(self.count(actor, Occasion::Event), Some(Mishap::WatchCut));
        if cut {
            self.break_watch(to);
        }
    }

    /// An answer goes to its client.
    pub(super) fn answer(&mut self, to: RequestId, mut answer: Answer) {
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
        if opened {
            return self.open_watch(to, fate, tie, times_out);
        }
        self.judge.see(&self.truth, Fact::Answered { id: to, answer: &answer });
        if self.requests.remove(&to).is_none_or(|asked| asked.broken) {
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

    /// The API server has opened a watch; its client learns of it, or gives up.
    fn open_watch(&mut self, to: RequestId, fate: Fate, tie: u64, times_out: Instant) {
        let now = self.truth.now;
        let asked = self.requests.get_mut(&to).expect("a watch is open as long as it is asked for");
        if let Some((query, from)) = &asked.watch {
            self.judge.see(&self.truth, Fact::Opened { id: to, query, from: *from });
        }
        if asked.broken {
            return self.agenda.add(now + TICK, to.0, Happening::Gone { id: to });
        }
        let (actor, life, call) = (asked.actor, asked.life, asked.call);
        match fate {
            Fate::Arrives(delay) | Fate::ArrivesTwice(delay, _) => {
                asked.last = (now + delay).max(asked.last + TICK);
                let input = Input::Reply { call, answer: Answer::Watching };
                self.agenda.add(asked.last, tie, Happening::Deliver { actor, life, input });
            }
            Fate::Lost => {
                asked.broken = true;
                self.agenda.add(times_out.max(now + TICK), to.0, Happening::Gone { id: to });
                self.time_out(actor, life, call, times_out.max(now), tie);
            }
        }
    }

    /// The client learns that its watch has ended, after all that was sent before.
    pub(super) fn end(&mut self, asked: &Asked) {
        if asked.broken {
            return;
        }
        let (fate, tie) = self.actors[asked.actor].link.send(self.truth.now, Message::Hangup, &asked.about);
        let Fate::Arrives(delay) = fate else { return };
        let at = (self.truth.now + delay).max(asked.last + TICK);
        let (actor, life, call) = (asked.actor, asked.life, asked.call);
        self.agenda.add(at, tie, Happening::End { actor, life, call });
    }
}
