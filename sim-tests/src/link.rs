//! The way between a client and the API server.
//!
//! Each request has a connection of its own: requests and answers overtake each other, events of one watch do not.

use crate::noise::{Counted, Delay};
use crate::plan::{Ratio, Weather};
use crate::units;
use miniku_core::api::object::Key;
use miniku_core::program::{Request, Verb};
use miniku_core::rng::Draw;
use miniku_core::time::Duration;
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
    /// It never arrives.
    Lost,
}

/// One client's link.
#[derive(Debug)]
pub struct Link {
    /// How good it is in fair weather.
    pub quality: Quality,
    draws: Counted,
    weather: Vec<(usize, Weather)>,
}

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
        Link { quality, draws: Counted::of(draw), weather: Vec::new() }
    }

    /// Bad weather begins; `id` names it.
    pub fn spoil(&mut self, id: usize, weather: Weather) {
        self.weather.push((id, weather));
    }

    /// This bad weather is over.
    pub fn clear(&mut self, id: usize) {
        self.weather.retain(|(one, _)| *one != id);
    }

    /// Whether nothing is wrong.
    pub fn is_fair(&self) -> bool {
        self.weather.is_empty()
    }

    /// Whether nothing comes from the API server, so that watches break.
    pub fn is_deaf(&self) -> bool {
        self.weather.iter().any(|(_, weather)| weather.replies_lost.is_all())
    }

    /// What becomes of a message about an object.
    pub fn send(&mut self, message: Message, key: &Key) -> (Fate, u64) {
        let draw = self.draws.object(message as u8, key);
        (self.fate(message, draw), draw.count(9).u64())
    }

    /// The same for a message about no object in particular.
    pub fn signal(&mut self, message: Message, about: u64) -> (Fate, u64) {
        let draw = self.draws.number(message as u64 ^ about.rotate_left(8));
        (self.fate(message, draw), draw.count(9).u64())
    }

    fn fate(&self, message: Message, draw: Draw) -> Fate {
        let mut delay = self.quality.delay.of(draw);
        for (nth, (_, weather)) in (0..).zip(&self.weather) {
            let draw = draw.count(100 + nth);
            let lost = match message {
                Message::Request => weather.requests_lost,
                Message::Reply => weather.replies_lost,
                Message::Event | Message::Hangup => Ratio::NONE,
            };
            let happens = |ratio: Ratio, draw: Draw| draw.chance(u64::from(ratio.0), u64::from(ratio.1));
            if happens(lost, draw.count(1)) {
                return Fate::Lost;
            }
            delay += weather.slow.map_or(Duration::ZERO, |slow| slow.of(draw.count(2)));
            if matches!(message, Message::Reply) && happens(weather.doubled, draw.count(3)) {
                return Fate::ArrivesTwice(delay, delay + self.quality.delay.of(draw.count(4)) * 4);
            }
        }
        Fate::Arrives(delay)
    }
}

/// What a request is about, for the key of its draws: its object, or all objects of a kind.
pub fn subject(request: &Request) -> Key {
    match &request.verb {
        Verb::Get { key } | Verb::Merge { key, .. } | Verb::Bind { key, .. } | Verb::Delete { key, .. } => key.clone(),
        Verb::Update { object, .. } | Verb::Create { object } => object.key(),
        Verb::List(query) | Verb::Watch { query, .. } => Key::new(query.kind, "", ""),
    }
}
