//! What is wrong with the ways between actors and the API server.

use super::Ratio;
use crate::noise::Delay;
use crate::units;
use miniku_core::durations;
use miniku_core::time::Duration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is wrong with the way between an actor and the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Weather {
    /// Requests that do not arrive. The caller hears of it after the time-out.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub requests_lost: Ratio,
    /// Requests that arrive twice, as where something on the way tries again by itself. Never those that open watches.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub requests_doubled: Ratio,
    /// Answers that do not arrive, to requests that were carried out. If all are lost, watches break too.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub replies_lost: Ratio,
    /// Answers that arrive twice.
    #[serde(skip_serializing_if = "Ratio::is_none")]
    pub doubled: Ratio,
    /// What is added to every message's delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Delay>,
    /// A few messages are much slower than all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spikes: Option<Spikes>,
    /// Nothing comes through, and nothing is lost: what was held arrives in the order in which it was sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clogged: bool,
    /// The same for events of watches alone. The watches stay open.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stalled: bool,
    /// No watch is told how far it has come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_bookmarks: bool,
    /// Events of a watch are taken in one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Consumer>,
    /// Lists come from a server that lags behind, as far as they may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
    /// It comes and goes: bad for so long, good for so long, and so on.
    #[serde(with = "units::maybe_duration", skip_serializing_if = "Option::is_none")]
    pub flaps: Option<Duration>,
}

/// Delays that are rare and long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spikes {
    /// How many of the messages.
    pub share: Ratio,
    /// What is added to them.
    pub by: Delay,
}

/// Who takes events in slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consumer {
    /// From one event to the next.
    #[serde(with = "units::duration")]
    pub each: Duration,
    /// With more events than that waiting for it, the watch ends.
    pub buffer: usize,
}

/// How far a server lags behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Stale {
    /// So many revisions.
    Revisions(u64),
    /// So long.
    Time(#[serde(with = "units::duration")] Duration),
}

impl Weather {
    /// Nothing is wrong.
    pub const FAIR: Weather = Weather {
        requests_lost: Ratio::NONE,
        requests_doubled: Ratio::NONE,
        replies_lost: Ratio::NONE,
        doubled: Ratio::NONE,
        slow: None,
        spikes: None,
        clogged: false,
        stalled: false,
        no_bookmarks: false,
        consumer: None,
        stale: None,
        flaps: None,
    };
    /// Nothing comes through, in either direction.
    pub const CUT: Weather = Weather { requests_lost: Ratio::ALL, replies_lost: Ratio::ALL, ..Weather::FAIR };
    /// Nothing comes through as long as it lasts.
    pub const CLOG: Weather = Weather { clogged: true, ..Weather::FAIR };
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Weather::CUT {
            return f.write_str("cut");
        }
        let share = |ratio: Ratio, what: &str| (!ratio.is_none()).then(|| format!("{ratio} {what}"));
        let word = |is: bool, what: &str| is.then(|| what.to_owned());
        let told = [
            share(self.requests_lost, "requests lost"),
            share(self.requests_doubled, "requests doubled"),
            share(self.replies_lost, "replies lost"),
            share(self.doubled, "doubled"),
            self.slow.map(|slow| format!("{} slower", Added(&slow))),
            self.spikes.map(|Spikes { share, by }| format!("{share} {} slower", Added(&by))),
            word(self.clogged, "clogged"),
            word(self.stalled, "watches stall"),
            word(self.no_bookmarks, "no bookmarks"),
            self.consumer.map(|Consumer { each, buffer }| {
                format!("an event every {}, {buffer} may wait", durations::text(each))
            }),
            self.stale.map(|stale| match stale {
                Stale::Revisions(by) => format!("lists {by} revisions old"),
                Stale::Time(by) => format!("lists {} old", durations::text(by)),
            }),
            self.flaps.map(|flaps| format!("on and off every {}", durations::text(flaps))),
        ];
        f.write_str(&told.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What is added to a delay.
pub(crate) struct Added<'a>(pub(crate) &'a Delay);

impl fmt::Display for Added<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} + {}", durations::text(self.0.min), durations::text(self.0.mean))
    }
}
