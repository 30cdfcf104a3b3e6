//! Recordings: what a program was told, and what it answered, so that it can be done again.
//!
//! A recording is the life of one program: its [`Birth`], and then each of its [`Step`]s. Since a program is a function
//! of these, whoever has them has the program: [`replay`] makes it from the same birth, gives it the same inputs at
//! the same times, and compares the effects. Inputs are kept whole; effects as much of them as tells one from another,
//! see [`Told`].
//!
//! Here is what a recording says, and how it is played. Which bytes it is on disk, and who writes them, is the shell's:
//! `shells/src/recording/`.

mod birth;
pub mod replay;
mod told;

pub use birth::{Birth, ServerBirth};
pub use replay::{Difference, Event, Playback, Played, Replayed, Tape};
pub use told::Told;

use crate::api::object::Object;
use crate::program::{Effects, Input};
use crate::time::{Instant, Now, Wall};
use serde::{Deserialize, Serialize};

/// What recordings look like. A recording of another format is not read.
pub const FORMAT: u32 = 1;

/// One record, as it is written: the first is an [`Opening`], then come the objects that a server began with, then
/// steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Record {
    /// Whose life it is.
    Opening(Box<Opening>),
    /// An object that the API server began with.
    Stored(Object),
    /// What happened.
    Step(Box<Step>),
}

/// Whose life a recording is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// [`FORMAT`].
    pub format: u32,
    /// miniku's version.
    pub version: String,
    /// Which build of that version: programs of another one may decide otherwise.
    pub build: String,
    /// The program's name.
    pub program: String,
    /// When it was started.
    pub started: Wall,
    /// What it was made of. An API server's objects follow, each in a record of its own.
    pub birth: Birth,
    /// How many they are.
    pub stored: u64,
}

/// One step of a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// 1 for the first step, one more for each.
    pub number: u64,
    /// When.
    pub at: Now,
    /// What it was told.
    pub input: Input,
    /// What came of it. Absent if the step never ended: the program panicked.
    pub outcome: Option<Outcome>,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it wanted done, in order.
    pub effects: Vec<Told>,
    /// When it wanted to be woken.
    pub wake_at: Option<Instant>,
}

impl Outcome {
    /// What is kept of the effects of a step.
    pub fn of(out: &Effects) -> Self {
        Outcome { effects: Told::all(&out.list), wake_at: out.wake_at }
    }
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The program was stopped, and its recording closed.
    Stopped,
    /// As much was recorded as is allowed; the program went on.
    Full,
    /// Nobody closed it: the program was killed. Of its last records so many bytes were cut off.
    Killed { torn: u64 },
}

#[cfg(test)]
mod tests;
