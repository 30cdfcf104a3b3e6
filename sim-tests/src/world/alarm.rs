//! When a program is woken.

use miniku_core::rng::Draw;
use miniku_core::time::Instant;

/// A program between its steps, and when it wants to be woken.
pub(super) struct Alarm {
    /// What it asked for, in the world's time.
    wanted: Option<Instant>,
    /// The earliest wake that is on the agenda.
    queued: Option<Instant>,
    /// When it was woken last, and how often at that instant.
    rung: (Instant, u32),
    draw: Draw,
    nth: u64,
}

/// A program that is woken so often at one instant will be for ever.
pub(super) const RINGS: u32 = 10_000;

impl Alarm {
    pub fn new(draw: Draw) -> Self {
        Alarm { wanted: None, queued: None, rung: Default::default(), draw, nth: 0 }
    }

    /// Takes in what a step asked for. Gives a wake to be put on the agenda.
    pub fn set(&mut self, now: Instant, wanted: Option<Instant>) -> Option<(Instant, u64)> {
        self.wanted = wanted;
        let at = wanted?.max(now);
        if self.queued.is_some_and(|queued| queued <= at) {
            return None;
        }
        self.queued = Some(at);
        self.nth += 1;
        Some((at, self.draw.count(self.nth).u64()))
    }

    /// A wake of the agenda has come. Whether it is still wanted, and what to put on the agenda if it is not yet.
    pub fn ring(&mut self, now: Instant) -> (bool, Option<(Instant, u64)>) {
        if self.queued.is_some_and(|queued| queued <= now) {
            self.queued = None;
        }
        match self.wanted {
            Some(wanted) if wanted <= now => {
                let (last, times) = self.rung;
                self.rung = (now, if last == now { times + 1 } else { 1 });
                (true, None)
            }
            wanted => (false, self.set(now, wanted)),
        }
    }

    /// Whether time cannot pass any more, since the program asks again and again to be woken at once.
    pub fn is_stuck(&self) -> bool {
        self.rung.1 >= RINGS
    }

    pub fn silence(&mut self) {
        (self.wanted, self.queued) = (None, None);
    }
}
