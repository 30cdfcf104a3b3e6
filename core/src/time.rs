//! Time as an argument: a monotonic [`Instant`] for deadlines, [`Wall`] time for what is written down.
//!
//! Neither is ever computed from the other, and nothing here can read a clock.

pub use std::time::Duration;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// Monotonic time in nanoseconds. Only the shell knows when its epoch was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The instant `nanos` nanoseconds after the shell's epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds since the shell's epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The time passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, after: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(i64);

impl Wall {
    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Wall(nanos)
    }

    /// From seconds since the Unix epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Wall(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The time passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Wall) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Wall {
    type Output = Wall;
    fn add(self, after: Duration) -> Wall {
        Wall(self.0.saturating_add(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Wall {
    type Output = Wall;
    fn sub(self, before: Duration) -> Wall {
        Wall(self.0.saturating_sub(i64::try_from(before.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Both clocks, read once by the driver at the start of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For deadlines.
    pub mono: Instant,
    /// For timestamps in objects.
    pub wall: Wall,
}

/// A duration as kubectl shows ages: `5s`, `3m5s`, `2h10m`, `4d3h`.
///
/// Source: Kubernetes, `k8s.io/apimachinery/pkg/util/duration.HumanDuration`.
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
        let pair = |f: &mut fmt::Formatter<'_>, big: u64, unit: char, small: u64, small_unit: char| match small {
            0 => write!(f, "{big}{unit}"),
            _ => write!(f, "{big}{unit}{small}{small_unit}"),
        };
        match () {
            _ if secs < 120 => write!(f, "{secs}s"),
            _ if minutes < 10 => pair(f, minutes, 'm', secs % 60, 's'),
            _ if minutes < 180 => write!(f, "{minutes}m"),
            _ if hours < 8 => pair(f, hours, 'h', minutes % 60, 'm'),
            _ if hours < 48 => write!(f, "{hours}h"),
            _ if days < 8 => pair(f, days, 'd', hours % 24, 'h'),
            _ if days < 730 => write!(f, "{days}d"),
            _ if days < 365 * 8 => pair(f, days / 365, 'y', days % 365, 'd'),
            _ => write!(f, "{}y", days / 365),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let check = |secs, want: &str| assert_eq!(Human(Duration::from_secs(secs)).to_string(), want);
        check(0, "0s");
        check(119, "119s");
        check(120, "2m");
        check(185, "3m5s");
        check(600, "10m");
        check(3 * 3600, "3h");
        check(7 * 3600 + 600, "7h10m");
        check(47 * 3600, "47h");
        check(4 * 86_400 + 3 * 3600, "4d3h");
        check(9 * 86_400, "9d");
        check(800 * 86_400, "2y70d");
    }
}
