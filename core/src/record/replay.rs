//! Doing again what was recorded, and comparing.
//!
//! [`Playback`] plays any number of recordings as one story, in the order of the wall clock that all of them were told.
//! What is told of each step is what the program did now: the inputs as they were recorded, the effects whole.

use super::{Birth, Ending, Opening, Outcome, Step, Told};
use crate::program::{Effect, Effects, Input, Program};
use crate::time::{Instant, Now, Wall};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Arc;

/// A recording that can be read from its beginning to its end.
pub trait Tape {
    /// Why it cannot be read on.
    type Error;
    /// Whose life is on it. Known before anything else is read.
    fn opening(&self) -> &Opening;
    /// What the program was made of. Read first, and once.
    fn birth(&mut self) -> Result<Birth, Self::Error>;
    /// The next step, or how the recording ends.
    fn next(&mut self) -> Result<Result<Step, Ending>, Self::Error>;
}

/// What a playback tells.
#[derive(Clone, Debug)]
pub struct Played {
    /// 1 for the first, one more for each, over all lives.
    pub seq: u64,
    /// Whose life: its place among the tapes that the playback was given.
    pub tape: usize,
    /// The program's name.
    pub program: Arc<str>,
    /// Which of the program's lives, from 1, by the time they began.
    pub life: u64,
    /// What happened.
    pub event: Event,
}

/// What happens in a life.
#[derive(Clone, Debug)]
pub enum Event {
    /// It begins.
    Born,
    /// One step of the program.
    Step(Box<Replayed>),
    /// Its recording ends.
    Ended(Ending),
}

/// A step that was done again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Its number in its life, from 1.
    pub number: u64,
    /// When it was done first.
    pub at: Now,
    /// What the program was told.
    pub input: Input,
    /// What it wanted done.
    pub effects: Vec<Effect>,
    /// When it wanted to be woken.
    pub wake_at: Option<Instant>,
    /// What came out otherwise than when it was recorded.
    pub difference: Option<Difference>,
}

/// How a replay differs from its recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// This effect, counted from 1, is another one, or is there only once.
    Effect { nth: usize, recorded: Option<Told>, replayed: Option<Told> },
    /// It wants to be woken at another time.
    Wake { recorded: Option<Instant>, replayed: Option<Instant> },
    /// The step never ended when it was recorded. It is not done again: it might end whoever replays it, too.
    NeverEnded,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |told: &Option<Told>| told.as_ref().map_or_else(|| "nothing".into(), Told::to_string);
        let time = |at: &Option<Instant>| at.map_or_else(|| "never".into(), |at| format!("at {} ns", at.nanos()));
        match self {
            Difference::Effect { nth, recorded, replayed } => {
                write!(f, "effect {nth}\n  recorded: {}\n  replayed: {}", told(recorded), told(replayed))
            }
            Difference::Wake { recorded, replayed } => {
                write!(f, "when to wake\n  recorded: {}\n  replayed: {}", time(recorded), time(replayed))
            }
            Difference::NeverEnded => f.write_str("the program panicked in this step"),
        }
    }
}

/// The first difference between two outcomes of one step.
fn difference(recorded: &Outcome, replayed: &Outcome) -> Option<Difference> {
    let most = recorded.effects.len().max(replayed.effects.len());
    for at in 0..most {
        let (one, other) = (recorded.effects.get(at), replayed.effects.get(at));
        if one != other {
            return Some(Difference::Effect { nth: at + 1, recorded: one.cloned(), replayed: other.cloned() });
        }
    }
    let (recorded, replayed) = (recorded.wake_at, replayed.wake_at);
    (recorded != replayed).then_some(Difference::Wake { recorded, replayed })
}

/// Does one step again.
fn replay(program: &mut dyn Program, step: Step) -> Replayed {
    let Step { number, at, input, outcome } = step;
    let mut out = Effects::default();
    let difference = match outcome {
        Some(recorded) => {
            program.step(at, input.clone(), &mut out);
            difference(&recorded, &Outcome::of(&out))
        }
        None => Some(Difference::NeverEnded),
    };
    Replayed { number, at, input, effects: out.list, wake_at: out.wake_at, difference }
}

/// Many recordings, played as one story.
///
/// It is ordered by wall time, as far as a life's own order allows: steps of one life stay in their order though a
/// clock was set back. Programs exist from their first step to their last.
pub struct Playback<T: Tape> {
    lives: Vec<Life<T>>,
    /// Which life is next, and why.
    due: BinaryHeap<Reverse<(Wall, usize)>>,
    seq: u64,
}

struct Life<T: Tape> {
    tape: T,
    name: Arc<str>,
    nth: u64,
    /// Made when its turn comes.
    program: Option<Box<dyn Program>>,
    next: Next<T::Error>,
}

/// What is due in a life.
enum Next<E> {
    Birth,
    Step(Box<Step>),
    End(Ending),
    /// Nobody can read on. Told when its turn comes, so that what was before it is played.
    Broken(E),
}

impl<T: Tape> Playback<T> {
    /// Of these recordings, in any order.
    pub fn new(tapes: impl IntoIterator<Item = T>) -> Self {
        let begin = |tape: T| {
            let name = tape.opening().program.as_str().into();
            Life { tape, name, nth: 0, program: None, next: Next::Birth }
        };
        let mut lives: Vec<Life<T>> = tapes.into_iter().map(begin).collect();
        let started = |(at, life): (usize, &Life<T>)| (life.tape.opening().started, at);
        let mut order: Vec<(Wall, usize)> = lives.iter().enumerate().map(started).collect();
        order.sort_unstable();
        let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (_, at) in &order {
            let count = counts.entry(lives[*at].name.clone()).or_default();
            *count += 1;
            lives[*at].nth = *count;
        }
        Playback { lives, due: order.into_iter().map(Reverse).collect(), seq: 0 }
    }

    /// The recording of this place, see [`Played::tape`].
    pub fn tape(&self, at: usize) -> &T {
        &self.lives[at].tape
    }

    fn play(&mut self, since: Wall, at: usize) -> Result<Event, T::Error> {
        let life = &mut self.lives[at];
        let event = match std::mem::replace(&mut life.next, Next::Birth) {
            Next::Birth => {
                life.program = Some(life.tape.birth()?.program());
                Event::Born
            }
            Next::Step(step) => {
                let program = life.program.as_deref_mut().expect("a life's birth is due before its steps");
                Event::Step(Box::new(replay(program, *step)))
            }
            Next::End(ending) => {
                life.program = None;
                return Ok(Event::Ended(ending));
            }
            Next::Broken(error) => {
                life.program = None;
                return Err(error);
            }
        };
        let (due, next) = match life.tape.next() {
            Ok(Ok(step)) => (since.max(step.at.wall), Next::Step(Box::new(step))),
            Ok(Err(ending)) => (since, Next::End(ending)),
            Err(error) => (since, Next::Broken(error)),
        };
        life.next = next;
        self.due.push(Reverse((due, at)));
        Ok(event)
    }
}

impl<T: Tape> Iterator for Playback<T> {
    type Item = Result<Played, T::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((since, tape)) = self.due.pop()?;
        let event = self.play(since, tape);
        self.seq += 1;
        let life = &self.lives[tape];
        let (program, life) = (life.name.clone(), life.nth);
        Some(event.map(|event| Played { seq: self.seq, tape, program, life, event }))
    }
}
