//! How long to wait before trying again.

use crate::rng::Draw;
use crate::time::Duration;

/// Delays that grow by doubling: `initial`, then twice that, up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use super::*;

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
