//! The way between a client and the API server.
//!
//! Each request has a connection of its own: requests and answers overtake each other, events of one watch do not.

use crate::noise::{Counted, Delay, about};
use crate::plan::{Consumer, Mishap, Ratio, Stale, Weather};
use crate::units;
use miniku_core::api::object::Key;
use miniku_core::program::{Request, Verb};
use miniku_core::rng::Draw;
use miniku_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// How good the links of a cluster are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quality {
    /// One way.
    pub delay: Delay,
    /// Without an answer for so long, a caller is told that it is lost.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
}

impl Default for Quality {
    fn default() -> Self {
        Quality { delay: Delay::micros(200, 500), timeout: Duration::from_secs(10) }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives after this time.
    Arrives(Duration),
    /// It arrives after this time, and once more after that time.
    ArrivesTwice(Duration, Duration),
    /// It never arrives: no event of a watch is left out alone, so with one the connection breaks.
    Lost,
}

impl Fate {
    /// The same with a mishap on top.
    pub fn with(self, mishap: Mishap) -> Fate {
        match (self, mishap) {
            (_, Mishap::RequestLost | Mishap::ReplyLost) => Fate::Lost,
            (Fate::Arrives(delay), Mishap::RequestDoubled) => Fate::ArrivesTwice(delay, delay * 3),
            (Fate::Arrives(delay), Mishap::RequestLate(by) | Mishap::ReplyLate(by)) => Fate::Arrives(delay + by),
            (fate, _) => fate,
        }
    }
}

/// One client's link.
#[derive(Debug)]
pub struct Link {
    /// How good it is in fair weather.
    pub quality: Quality,
    draws: Counted,
    weather: Vec<Spell>,
    /// When the last message that was held is let go, by its direction.
    let_go: [Instant; 2],
}

/// Weather with its time.
#[derive(Clone, Copy, Debug)]
struct Spell {
    id: usize,
    from: Instant,
    until: Instant,
    weather: Weather,
}

impl Spell {
    /// Until when it is bad, if it is now.
    fn bad_until(&self, now: Instant) -> Option<Instant> {
        if now < self.from || now >= self.until {
            return None;
        }
        let Some(flaps) = self.weather.flaps.filter(|flaps| !flaps.is_zero()) else { return Some(self.until) };
        let (passed, flaps) = (now.since(self.from).as_nanos(), flaps.as_nanos());
        let gust = passed / flaps;
        let end = u64::try_from((gust + 1) * flaps).unwrap_or(u64::MAX);
        (gust % 2 == 0).then(|| (self.from + Duration::from_nanos(end)).min(self.until))
    }
}

/// The least time between two messages that were held together.
const GAP: Duration = Duration::from_nanos(100);

/// What is drawn: part of a draw's key.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// To the API server.
    Request = 1,
    /// From it.
    Reply = 2,
    /// An event on a watch.
    Event = 3,
    /// The news that a connection is gone, in either direction.
    Hangup = 4,
}

impl Link {
    /// A link in fair weather.
    pub fn new(quality: Quality, draw: Draw) -> Self {
        Link { quality, draws: Counted::of(draw), weather: Vec::new(), let_go: Default::default() }
    }

    /// Bad weather for a time; `id` names it.
    pub fn spoil(&mut self, id: usize, from: Instant, until: Instant, weather: Weather) {
        self.weather.push(Spell { id, from, until, weather });
    }

    /// This bad weather is over. Tells whether there was one.
    pub fn clear(&mut self, id: usize) -> bool {
        let before = self.weather.len();
        self.weather.retain(|spell| spell.id != id);
        self.weather.len() < before
    }

    /// Whether nothing is wrong.
    pub fn is_fair(&self) -> bool {
        self.weather.is_empty()
    }

    fn bad(&self, now: Instant) -> impl Iterator<Item = &Weather> {
        self.weather.iter().filter(move |spell| spell.bad_until(now).is_some()).map(|spell| &spell.weather)
    }

    /// Whether bookmarks get lost.
    pub fn drops_bookmarks(&self, now: Instant) -> bool {
        self.bad(now).any(|weather| weather.no_bookmarks)
    }

    /// How slowly events are taken in, if they are.
    pub fn consumer(&self, now: Instant) -> Option<Consumer> {
        self.bad(now).find_map(|weather| weather.consumer)
    }

    /// How far the server of its lists lags behind, if it does.
    pub fn stale(&self, now: Instant) -> Option<Stale> {
        self.bad(now).find_map(|weather| weather.stale)
    }

    /// A draw for a purpose of its own.
    pub fn draw(&mut self, purpose: &str, key: &Key) -> Draw {
        self.draws.number(about(Draw::new(0).key(purpose), key).u64())
    }

    /// What becomes of a message about an object.
    pub fn send(&mut self, now: Instant, message: Message, key: &Key) -> (Fate, u64) {
        let draw = self.draws.object(message as u8, key);
        (self.fate(now, message, draw), draw.count(9).u64())
    }

    /// The same for a message about no object in particular.
    pub fn signal(&mut self, now: Instant, message: Message, about: u64) -> (Fate, u64) {
        let draw = self.draws.number(message as u64 ^ about.rotate_left(8));
        (self.fate(now, message, draw), draw.count(9).u64())
    }

    fn fate(&mut self, now: Instant, message: Message, draw: Draw) -> Fate {
        let mut delay = self.quality.delay.of(draw);
        let mut again = None;
        let mut held: Option<Instant> = None;
        for (nth, spell) in (0..).zip(&self.weather) {
            let Some(bad_until) = spell.bad_until(now) else { continue };
            let (weather, draw) = (&spell.weather, draw.count(100 + nth));
            let (lost, doubled) = match message {
                Message::Request => (weather.requests_lost, weather.requests_doubled),
                Message::Reply => (weather.replies_lost, weather.doubled),
                Message::Event if weather.replies_lost.is_all() => (Ratio::ALL, Ratio::NONE),
                Message::Event | Message::Hangup => (Ratio::NONE, Ratio::NONE),
            };
            let happens = |ratio: Ratio, draw: Draw| draw.chance(u64::from(ratio.0), u64::from(ratio.1));
            if happens(lost, draw.count(1)) {
                return Fate::Lost;
            }
            delay += weather.slow.map_or(Duration::ZERO, |slow| slow.of(draw.count(2)));
            if let Some(spikes) = weather.spikes
                && happens(spikes.share, draw.count(5))
            {
                delay += spikes.by.of(draw.count(6));
            }
            // Nobody sends again for ever what is not confirmed: the connection breaks.
            if matches!(message, Message::Event) && delay > self.quality.timeout {
                return Fate::Lost;
            }
            if happens(doubled, draw.count(3)) {
                again = Some(self.quality.delay.of(draw.count(4)) * 4);
            }
            if weather.clogged || weather.stalled && matches!(message, Message::Event) {
                held = held.max(Some(bad_until));
            }
        }
        if let Some(until) = held {
            // What is held here was sent in this order, so it comes in this order.
            let way = usize::from(!matches!(message, Message::Request));
            self.let_go[way] = until.max(self.let_go[way] + GAP);
            delay = delay.max(self.let_go[way].since(now));
        }
        again.map_or(Fate::Arrives(delay), |after| Fate::ArrivesTwice(delay, delay + after))
    }
}

/// What a request is about, for the key of its draws: its object, or all objects of a kind.
pub fn subject(request: &Request) -> Key {
    match &request.verb {
        Verb::Get { key }
        | Verb::Merge { key, .. }
        | Verb::Patch { key, .. }
        | Verb::Bind { key, .. }
        | Verb::Delete { key, .. } => key.clone(),
        Verb::Update { object, .. } | Verb::Create { object } => object.key(),
        Verb::List(query) | Verb::Watch { query, .. } => Key::new(query.kind, "", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Spikes;
    use miniku_core::api::kinds::Kind;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn link(weather: Weather) -> Link {
        let mut link = Link::new(Quality::default(), Draw::new(1));
        link.spoil(1, at(1_000), at(9_000), weather);
        link
    }

    fn delays(link: &mut Link, from: u64, message: Message) -> Vec<Option<u128>> {
        let key = Key::new(Kind::Pod, "default", "a");
        let sent = (0..100).map(|nth| {
            let now = at(from + nth);
            match link.send(now, message, &key).0 {
                Fate::Arrives(delay) | Fate::ArrivesTwice(delay, _) => Some((now + delay).since(at(0)).as_millis()),
                Fate::Lost => None,
            }
        });
        sent.collect()
    }

    #[test]
    fn a_clogged_way_lets_everything_go_at_once_and_in_order() {
        let mut link = link(Weather::CLOG);
        assert!(delays(&mut link, 0, Message::Request).iter().all(|at| at.is_some_and(|at| at < 1_000)));
        let held = delays(&mut link, 2_000, Message::Request);
        assert!(held.iter().all(|at| *at == Some(9_000)) && held.is_sorted(), "{held:?}");
        assert!(delays(&mut link, 9_000, Message::Request).iter().all(|at| at.is_some_and(|at| at < 9_200)));
    }

    #[test]
    fn only_watches_stall() {
        let mut link = link(Weather { stalled: true, ..Weather::FAIR });
        assert!(delays(&mut link, 2_000, Message::Event).iter().all(|at| *at == Some(9_000)));
        assert!(delays(&mut link, 2_000, Message::Reply).iter().all(|at| at.is_some_and(|at| at < 2_200)));
    }

    #[test]
    fn weather_comes_and_goes() {
        let flaps = Some(Duration::from_secs(1));
        let mut link = link(Weather { flaps, ..Weather::CUT });
        for (from, lost) in [(0, false), (1_000, true), (2_000, false), (3_000, true), (8_000, false), (9_000, false)] {
            for message in [Message::Reply, Message::Event] {
                let all = delays(&mut link, from, message);
                assert_eq!(all.iter().all(Option::is_none), lost, "{message:?} {from}");
            }
        }
    }

    #[test]
    fn a_few_are_very_late() {
        let by = Delay { min: Duration::from_secs(100), mean: Duration::ZERO };
        let mut link = link(Weather { spikes: Some(Spikes { share: Ratio(1, 10), by }), ..Weather::FAIR });
        let are_late = |all: Vec<Option<u128>>| all.iter().filter(|at| at.is_some_and(|at| at > 100_000)).count();
        let late = are_late(delays(&mut link, 2_000, Message::Reply));
        assert!((3..20).contains(&late), "{late}");
        // A watch breaks instead.
        let events = delays(&mut link, 2_000, Message::Event);
        assert!(events.contains(&None) && are_late(events) == 0);
    }
}
