//! How long to wait before trying again.

use crate::rng::Draw;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// Delays that grow by doubling: `initial`, then twice that, up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// After the first failure.
    pub initial: Duration,
    /// Never longer.
    pub max: Duration,
}

impl Backoff {
    /// The delay after so many failures in a row; none after 0.
    pub fn delay(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            _ => self.initial.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX)).min(self.max),
        }
    }

    /// The same, shortened by up to a half, so that many who failed together do not come back together.
    pub fn jittered(&self, failures: u32, draw: Draw) -> Duration {
        let delay = self.delay(failures);
        let half = u64::try_from(delay.as_nanos() / 2).unwrap_or(u64::MAX);
        delay - Duration::from_nanos(draw.below(half.saturating_add(1)))
    }
}

/// One thing that is tried until it succeeds: how often it failed in a row, and when its next turn is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    failures: u32,
    turn: Instant,
}

impl Tries {
    /// It failed: its next turn comes, later each time.
    pub fn failed(&mut self, now: Instant, backoff: Backoff) {
        self.failures = self.failures.saturating_add(1);
        self.turn = now + backoff.delay(self.failures);
    }

    /// It succeeded: the next failure is the first again.
    pub fn succeeded(&mut self) {
        *self = Tries::default();
    }

    /// How often it failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When its turn is, if that is still to come.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        Some(self.turn).filter(|turn| *turn > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_has_its_turn_later() {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60) };
        let (mut tries, now) = (Tries::default(), Instant::from_nanos(5));
        assert_eq!(tries.waits_until(now), None);
        tries.failed(now, backoff);
        tries.failed(now, backoff);
        assert_eq!((tries.failures(), tries.waits_until(now)), (2, Some(now + Duration::from_secs(2))));
        assert_eq!(tries.waits_until(now + Duration::from_secs(2)), None);
        tries.succeeded();
        assert_eq!(tries, Tries::default());
    }

    #[test]
    fn doubles_up_to_its_bound() {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60) };
        let delays: Vec<u64> = (0..9).map(|failures| backoff.delay(failures).as_secs()).collect();
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX), backoff.max);
        for nth in 0..100 {
            let delay = backoff.jittered(3, Draw::new(nth));
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&delay));
        }
    }
}
