//! The clocks of this machine, as programs are told of them.

use miniku_core::time::{Instant, Now, Wall};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads both clocks. All clocks of a process count from the same epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        Clock { epoch: std::time::Instant::now() }
    }

    /// Both clocks, now.
    pub fn now(&self) -> Now {
        let mono = Instant::from_nanos(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
        Now { mono, wall: wall() }
    }

    /// How long it is until `at`; nothing if it is past.
    pub fn until(&self, at: Instant) -> Duration {
        at.since(self.now().mono)
    }
}

/// The wall clock, now.
pub fn wall() -> Wall {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    };
    Wall::from_nanos(nanos)
}

/// A number that differs at every start, for seeds. Source: getrandom(2), by way of the standard library's hasher keys.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
