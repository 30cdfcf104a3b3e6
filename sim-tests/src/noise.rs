//! Delays: drawn by what they are for, in whole nanoseconds.
//!
//! A draw's key is stable: the link, the kind of message, the object, and how often that combination has occurred.
//! Taking one event out of a run leaves all other delays as they were.

use crate::units;
use miniku_core::api::object::Key;
use miniku_core::rng::Draw;
use miniku_core::time::Duration;
use serde::{Deserialize, Serialize};

/// At least `min`, and on top of it a time that is exponentially distributed around `mean`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// Never shorter.
    #[serde(with = "units::duration")]
    pub min: Duration,
    /// What comes on top, on average.
    #[serde(with = "units::duration")]
    pub mean: Duration,
}

impl Delay {
    /// At least so many microseconds, and on average so many more.
    pub const fn micros(min: u64, mean: u64) -> Self {
        Delay { min: Duration::from_micros(min), mean: Duration::from_micros(mean) }
    }

    /// The delay that a draw stands for.
    pub fn of(&self, draw: Draw) -> Duration {
        let mean = u64::try_from(self.mean.as_nanos()).unwrap_or(u64::MAX);
        self.min + Duration::from_nanos(exponential(draw.u64(), mean))
    }
}

/// `-ln(uniform / 2^64) · mean`, from the number's leading zeros and a table for the eight bits after them.
///
/// Off by less than 0.2 % of the mean; the same on every machine.
fn exponential(uniform: u64, mean: u64) -> u64 {
    let uniform = uniform | 1;
    let zeros = uniform.leading_zeros();
    let bits = (uniform << zeros << 1) >> 56;
    let log2 = u128::from(((zeros + 1) << 16) - LOG2[bits as usize]);
    const LN_2: u128 = 45_426; // in 65,536ths
    u64::try_from((u128::from(mean) * log2 * LN_2) >> 32).unwrap_or(u64::MAX)
}

/// log2(1 + (i + 1/2) / 256) in 65,536ths.
const LOG2: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        // Squaring doubles the logarithm: each time it reaches 2, the next binary digit is a one.
        let mut x: u128 = (1 << 32) + ((2 * at as u128 + 1) << 23);
        let mut digits = 0;
        while digits < 16 {
            x = (x * x) >> 32;
            let one = (x >= 2 << 32) as u32;
            x >>= one;
            table[at] = table[at] << 1 | one;
            digits += 1;
        }
        at += 1;
    }
    table
};

/// Mixes in which object it is about.
pub fn about(draw: Draw, key: &Key) -> Draw {
    draw.count(key.kind.number()).bytes(key.namespace.as_bytes()).bytes(key.name.as_bytes())
}

/// Draws that count how often each key was drawn.
///
/// Of keys that were not drawn for long it forgets, in the end, how often they were: a link of years keeps as much as
/// one of a day. Such a key begins again with its first draw.
#[derive(Clone, Debug)]
pub struct Counted {
    draw: Draw,
    times: Times,
    /// What `times` was when it last became full.
    before: Times,
}

/// So many keys at least are remembered.
const REMEMBERED: usize = 1 << 16;

/// How often each key was drawn: a table with open addressing, its places chosen by a number that is random already.
/// Nobody walks over it, so it has no order that a run could depend on.
#[derive(Clone, Debug, Default)]
struct Times {
    /// A power of two of them, or none.
    keys: Vec<u64>,
    /// By place; 0 where it is free.
    times: Vec<u32>,
    used: usize,
}

impl Times {
    /// The place of a key, or the free one where it would go. There must be one.
    fn place(&self, key: u64, random: u64) -> usize {
        let mask = self.keys.len() - 1;
        let mut at = random as usize & mask;
        while self.times[at] > 0 && self.keys[at] != key {
            at = (at + 1) & mask;
        }
        at
    }

    fn get(&self, key: u64, random: u64) -> u32 {
        if self.keys.is_empty() { 0 } else { self.times[self.place(key, random)] }
    }

    fn set(&mut self, key: u64, random: u64, times: u32, random_of: impl Fn(u64) -> u64) {
        if self.used * 4 >= self.keys.len() * 3 {
            let larger = (self.keys.len() * 2).max(4);
            let keys = std::mem::replace(&mut self.keys, vec![0; larger]);
            let times = std::mem::replace(&mut self.times, vec![0; larger]);
            for (key, times) in keys.into_iter().zip(times).filter(|one| one.1 > 0) {
                let at = self.place(key, random_of(key));
                (self.keys[at], self.times[at]) = (key, times);
            }
        }
        let at = self.place(key, random);
        self.used += usize::from(self.times[at] == 0);
        (self.keys[at], self.times[at]) = (key, times);
    }
}

impl Counted {
    /// Draws of one domain: a link, a disk, a node's runtime.
    pub fn of(draw: Draw) -> Self {
        Counted { draw, times: Times::default(), before: Times::default() }
    }

    /// The next draw of this key, which has no name.
    pub fn number(&mut self, key: u64) -> Draw {
        let draw = self.draw;
        let of = |key: u64| draw.count(key);
        let random = of(key).u64();
        let times = match self.times.get(key, random) {
            0 => self.before.get(key, random),
            times => times,
        };
        let nth = times.saturating_add(1);
        if self.times.used >= REMEMBERED {
            self.before = std::mem::take(&mut self.times);
        }
        self.times.set(key, random, nth, |key| of(key).u64());
        of(key).count(u64::from(nth))
    }

    /// The next draw for a purpose, about an object.
    pub fn object(&mut self, purpose: u8, key: &Key) -> Draw {
        self.number(about(Draw::new(u64::from(purpose)), key).u64())
    }

    /// The next draw for a purpose, about something with a name.
    pub fn name(&mut self, purpose: u8, name: &str) -> Draw {
        self.number(Draw::new(u64::from(purpose)).key(name).u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_exponential_above_their_minimum() {
        let delay = Delay::micros(500, 1_000);
        let nanos: Vec<u128> = (0..20_000).map(|nth| delay.of(Draw::new(1).count(nth)).as_nanos()).collect();
        let mean = nanos.iter().sum::<u128>() / nanos.len() as u128;
        assert!((1_480_000..1_520_000).contains(&mean), "{mean}");
        assert!(nanos.iter().all(|nanos| *nanos >= 500_000));
        // Of an exponential distribution, 1/e is above the mean, and 1/e^3 above three times the mean.
        let above = |limit| nanos.iter().filter(|nanos| **nanos > limit).count();
        assert!((7_200..7_520).contains(&above(1_500_000)), "{}", above(1_500_000));
        assert!((900..1_090).contains(&above(3_500_000)), "{}", above(3_500_000));
    }

    #[test]
    fn old_seeds_keep_their_delays() {
        let nanos = |uniform| exponential(uniform, 1_000_000);
        assert_eq!([nanos(0), nanos(1 << 32), nanos(1 << 63), nanos(u64::MAX)], FROZEN);
    }
    const FROZEN: [u64; 4] = [44_359_382, 22_178_717, 691_199, 983];

    #[test]
    fn draws_are_counted_however_many_keys_there_are() {
        let draw = Draw::new(1);
        let mut counted = Counted::of(draw);
        for nth in 1..=5 {
            for key in 0..10_000 {
                assert_eq!(counted.number(key).u64(), draw.count(key).count(nth).u64(), "{key}");
            }
        }
        for other in 0..3 * REMEMBERED as u64 {
            counted.number(1 << 32 | other);
            counted.number(7);
        }
        assert!(counted.times.used + counted.before.used <= 2 * REMEMBERED + 1);
        assert_eq!(counted.number(7).u64(), draw.count(7).count(6 + 3 * REMEMBERED as u64).u64(), "drawn all the time");
        assert_eq!(counted.number(8).u64(), draw.count(8).count(1).u64(), "forgotten");
    }

    #[test]
    fn a_key_has_its_own_draws() {
        let mut one = Counted::of(Draw::new(1));
        let mut other = one.clone();
        other.name(0, "noise");
        assert_eq!(one.name(0, "a").u64(), other.name(0, "a").u64());
        assert_ne!(one.name(0, "a").u64(), Counted::of(Draw::new(1)).name(0, "a").u64());
    }
}
