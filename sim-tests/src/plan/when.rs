//! Places in a run that have no time of their own.

use miniku_core::api::kinds::Kind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A place in a run that has no time of its own: right after the n-th of something, counted from the entry's time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum When {
    /// A program has done so many things: asked, cancelled, told its runtime or people.
    Output {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// A program has sent so many requests.
    Request {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// So many answers were sent to a program.
    Reply {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// So many events were sent to a program, on all its watches.
    Event {
        /// Its name.
        actor: String,
        /// How many.
        nth: u64,
    },
    /// So many writes of a kind have become durable.
    Written {
        /// The kind.
        kind: Kind,
        /// How many.
        nth: u64,
    },
}

impl When {
    /// Whose doing is counted, if it is a program's.
    pub fn actor(&self) -> Option<&str> {
        match self {
            When::Output { actor, .. }
            | When::Request { actor, .. }
            | When::Reply { actor, .. }
            | When::Event { actor, .. } => Some(actor),
            When::Written { .. } => None,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Output { actor, nth } => write!(f, "after output {nth} of {actor}"),
            When::Request { actor, nth } => write!(f, "after request {nth} of {actor}"),
            When::Reply { actor, nth } => write!(f, "after answer {nth} to {actor}"),
            When::Event { actor, nth } => write!(f, "after event {nth} for {actor}"),
            When::Written { kind, nth } => write!(f, "after write {nth} of a {}", kind.row().name),
        }
    }
}
