//! The two clocks of a program, which nothing keeps together.

use super::WALL_START;
use miniku_core::time::{Duration, Instant, Now, Wall};

/// What a program reads the time from.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// At this time of the world the monotonic clock showed `mono`.
    from: Instant,
    mono: Instant,
    /// How much faster than the world's it runs, in thousandths.
    per_mille: i32,
    /// How far the wall clock is off, in nanoseconds.
    off: i64,
    drifts: Vec<(usize, i32)>,
    shifts: Vec<(usize, i64)>,
    /// When the wall clock was stopped.
    stops: Vec<(usize, Instant)>,
}

impl Clock {
    /// A new life: a monotonic clock begins anywhere, no two lives can compare theirs.
    pub fn begin(&mut self, now: Instant, ahead: Duration) {
        (self.from, self.mono) = (now, now + ahead);
    }

    /// What it shows.
    pub fn now(&self, now: Instant) -> Now {
        let wall = WALL_START + self.stopped().unwrap_or(now).since(Instant::default());
        let wall = if self.off == 0 { wall } else { Wall::from_nanos(wall.nanos().saturating_add(self.off)) };
        Now { mono: self.mono(now), wall }
    }

    fn mono(&self, now: Instant) -> Instant {
        let passed = now.since(self.from);
        if self.per_mille == 0 {
            return self.mono + passed;
        }
        let shown = passed.as_nanos() * self.rate() / 1_000;
        self.mono + Duration::from_nanos(u64::try_from(shown).unwrap_or(u64::MAX))
    }

    /// The world's time at which it shows this, if it goes on like now.
    pub fn world(&self, mono: Instant) -> Instant {
        let to_pass = mono.since(self.mono);
        if self.per_mille == 0 {
            return self.from + to_pass;
        }
        let passes = (to_pass.as_nanos() * 1_000).div_ceil(self.rate());
        self.from + Duration::from_nanos(u64::try_from(passes).unwrap_or(u64::MAX))
    }

    fn rate(&self) -> u128 {
        u128::from(u32::try_from(1_000 + self.per_mille).unwrap_or(1).max(1))
    }

    /// It runs at another speed from now on, because of a fault.
    pub fn drift(&mut self, now: Instant, id: usize, per_mille: i32) {
        self.drifts.push((id, per_mille));
        self.turn(now);
    }

    /// Its wall clock shows another time from now on, because of a fault.
    pub fn shift(&mut self, id: usize, nanos: i64) {
        self.shifts.push((id, nanos));
        self.off = self.shifts.iter().map(|(_, nanos)| nanos).sum();
    }

    /// Its wall clock stands still from now on, because of a fault.
    pub fn stop(&mut self, now: Instant, id: usize) {
        self.stops.push((id, now));
    }

    /// Since when its wall clock stands still, if it does.
    pub fn stopped(&self) -> Option<Instant> {
        self.stops.iter().map(|(_, at)| *at).min()
    }

    /// How many nanoseconds its wall clock is off.
    pub fn off(&self) -> i64 {
        self.off
    }

    /// A fault is over. What has been shown is not taken back by a monotonic clock.
    pub fn heal(&mut self, now: Instant, id: usize) {
        self.stops.retain(|(one, _)| *one != id);
        self.shifts.retain(|(one, _)| *one != id);
        self.off = self.shifts.iter().map(|(_, nanos)| nanos).sum();
        self.drifts.retain(|(one, _)| *one != id);
        self.turn(now);
    }

    fn turn(&mut self, now: Instant) {
        (self.mono, self.from) = (self.mono(now), now);
        // Of several faults the strongest in each direction counts: checkers know how far off one alone makes a clock.
        let strongest = |of: fn(i32, i32) -> i32| self.drifts.iter().fold(0, |one, (_, other)| of(one, *other));
        self.per_mille = strongest(i32::max) + strongest(i32::min);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn clocks_are_wrong_by_themselves() {
        let mut clock = Clock::default();
        clock.begin(at(10), Duration::from_secs(1_000));
        assert_eq!(clock.now(at(20)).mono, at(1_020));
        clock.drift(at(20), 1, 50);
        assert_eq!(clock.now(at(120)).mono, at(1_125));
        assert_eq!(clock.world(at(1_125)), at(120));
        clock.shift(2, -3_600_000_000_000);
        assert_eq!(
            (clock.now(at(120)).wall + Duration::from_secs(3_600)).nanos(),
            (WALL_START + Duration::from_secs(120)).nanos()
        );
        clock.heal(at(120), 1);
        assert_eq!(clock.now(at(130)).mono, at(1_135), "it has gained five seconds and keeps them");
        clock.heal(at(120), 2);
        assert_eq!(clock.now(at(120)).wall, WALL_START + Duration::from_secs(120));
        clock.drift(at(130), 3, -50);
        assert_eq!(clock.now(at(230)).mono, at(1_230));
        assert_eq!(clock.world(at(1_230)), at(230));
    }

    #[test]
    fn a_wall_clock_that_stood_still_is_right_again_when_it_is_healed() {
        let mut clock = Clock::default();
        clock.begin(at(0), Duration::ZERO);
        let shown = |clock: &Clock, secs: u64| clock.now(at(secs)).wall.since(WALL_START).as_secs();
        clock.stop(at(10), 1);
        clock.shift(2, 3_000_000_000);
        assert_eq!((shown(&clock, 60), clock.now(at(60)).mono), (13, at(60)), "only the wall clock");
        clock.stop(at(20), 3);
        clock.heal(at(70), 1);
        assert_eq!(shown(&clock, 70), 23);
        clock.heal(at(80), 3);
        assert_eq!(shown(&clock, 80), 83);
    }

    #[test]
    fn several_drifts_take_a_clock_no_further_than_the_strongest() {
        let mut clock = Clock::default();
        clock.begin(at(0), Duration::ZERO);
        clock.drift(at(0), 1, 40);
        clock.drift(at(0), 2, 30);
        assert_eq!(clock.now(at(100)).mono, at(104));
        clock.drift(at(100), 3, -50);
        assert_eq!(clock.now(at(200)).mono, at(203));
        clock.heal(at(200), 1);
        assert_eq!(clock.now(at(300)).mono, at(301));
    }
}
