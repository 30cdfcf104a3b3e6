//! Plans: what operators ask for and which faults strike, as an explicit list made before the run.
//!
//! A plan is data: it can be printed, written to a file, cut, and run again. Nothing in it is drawn; what is drawn
//! during a run is noise (see [`crate::noise`]).

mod ask;
mod fault;
mod line;
mod manifest;
mod ratio;
mod weather;
mod when;

pub use ask::{Ask, Delete, Evict, Patch, Piece, Relabel, Scale, create, delete, scale};
pub use fault::{Fault, GROUPS, Mishap, Off};
pub use manifest::{object, pod, replica_set, try_object};
pub use ratio::Ratio;
pub(crate) use weather::Added;
pub use weather::{Consumer, Spikes, Stale, Weather};
pub use when::When;

use crate::trace;
use miniku_core::time::Duration;
use serde_json::json;
use std::fmt;

/// What is done to a cluster, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In any order; the times decide.
    pub entries: Vec<Entry>,
}

/// One entry of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// How long after the start.
    pub at: Duration,
    /// If there is one, what happens waits for it: the first time that it is so from then on.
    pub when: Option<When>,
    /// What happens then.
    pub act: Act,
}

impl Entry {
    /// An entry that waits for nothing but its time.
    pub fn new(at: Duration, act: Act) -> Self {
        Entry { at, when: None, act }
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// An operator asks for something, again and again until there is an answer.
    Ask(Ask),
    /// A fault strikes.
    Strike(Fault),
}

impl Plan {
    /// Adds something an operator asks for.
    pub fn ask(&mut self, at: Duration, ask: Ask) {
        self.entries.push(Entry { at, when: None, act: Act::Ask(ask) });
    }

    /// Adds a fault.
    pub fn strike(&mut self, at: Duration, fault: Fault) {
        self.entries.push(Entry { at, when: None, act: Act::Strike(fault) });
    }

    /// When the last entry has been carried out and all faults are over.
    pub fn end(&self) -> Duration {
        let end = |entry: &Entry| match &entry.act {
            Act::Ask(_) => entry.at,
            Act::Strike(fault) => entry.at + fault.lasts(),
        };
        self.entries.iter().map(end).max().unwrap_or_default()
    }

    /// What operators ask for at a time, in order.
    pub fn asks(&self) -> Vec<(Duration, Ask)> {
        let asks = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Ask(ask) if entry.when.is_none() => Some((entry.at, ask.clone())),
            Act::Ask(_) | Act::Strike(_) => None,
        });
        let mut asks: Vec<_> = asks.collect();
        asks.sort_by_key(|(at, _)| *at);
        asks
    }

    /// What operators ask for when something has happened, in the order of the times from which on that counts.
    pub fn asks_when(&self) -> Vec<(Duration, When, Ask)> {
        let asks = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Ask(ask) => Some((entry.at, entry.when.clone()?, ask.clone())),
            Act::Strike(_) => None,
        });
        let mut asks: Vec<_> = asks.collect();
        asks.sort_by_key(|(at, ..)| *at);
        asks
    }

    /// The faults, in order.
    pub fn faults(&self) -> Vec<(Duration, Option<When>, Fault)> {
        let faults = self.entries.iter().filter_map(|entry| match &entry.act {
            Act::Strike(fault) => Some((entry.at, entry.when.clone(), fault.clone())),
            Act::Ask(_) => None,
        });
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by_key(|(at, ..)| *at);
        faults
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}  ", Millis(self.at))?;
        if let Some(when) = &self.when {
            write!(f, "{when}: ")?;
        }
        match &self.act {
            Act::Ask(Ask::Drain(node)) => write!(f, "operator: drain no/{node}"),
            Act::Ask(Ask::Vacate(node)) => write!(f, "operator: vacate no/{node}"),
            Act::Ask(Ask::Evict(Evict { pod, grace_seconds: None, .. })) => write!(f, "operator: evict po/{pod}*"),
            Act::Ask(Ask::Evict(Evict { pod, grace_seconds: Some(grace), .. })) => {
                write!(f, "operator: evict po/{pod}* within {grace}s")
            }
            Act::Ask(Ask::Relabel(Relabel { pod, labels, .. })) => {
                write!(f, "operator: label po/{pod}* {}", json!(labels))
            }
            Act::Ask(ask) => write!(f, "operator: {}", trace::request(&ask.verb().into())),
            Act::Strike(fault) => write!(f, "{fault}"),
        }
    }
}

/// Seconds with three digits.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:03}", self.0.as_secs(), self.0.subsec_millis()))
    }
}
