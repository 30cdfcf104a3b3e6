//! Keyed randomness: a draw is a function of a seed and of what it is for, never "the next number".
//!
//! One more pod on `node-3` does not rename the pods of `node-4`, and leaving an event out of a
//! simulated run leaves every other draw as it was.

/// A draw in the making: a seed mixed with the keys given so far.
///
/// ```
/// use miniku_core::rng::Draw;
/// let name = Draw::new(7).key("pod-name").key("2f1c…-uid").count(0);
/// assert_eq!(name.u64(), Draw::new(7).key("pod-name").key("2f1c…-uid").count(0).u64());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Draw(u64);

impl Draw {
    /// A draw from `seed`, before any key.
    pub const fn new(seed: u64) -> Self {
        Draw(mix(seed))
    }

    /// Mixes in a name: the purpose, an owner's uid, a link.
    pub const fn key(self, name: &str) -> Self {
        self.bytes(name.as_bytes())
    }

    /// The same for a name of which only the bytes are at hand.
    pub const fn bytes(self, bytes: &[u8]) -> Self {
        let (mut state, mut at) = (self.0, 0);
        while at < bytes.len() {
            state = (state ^ bytes[at] as u64).wrapping_mul(FNV_PRIME);
            at += 1;
        }
        // The length keeps ("ab", "c") apart from ("a", "bc").
        Draw(mix(state ^ (bytes.len() as u64) << 56))
    }

    /// Mixes in how many draws this key has had before.
    pub const fn count(self, nth: u64) -> Self {
        Draw(mix(self.0 ^ mix(nth)))
    }

    /// The draw: uniform over all 64-bit numbers.
    pub const fn u64(self) -> u64 {
        mix(self.0)
    }

    /// Uniform in `0..bound`; 0 if `bound` is 0.
    pub const fn below(self, bound: u64) -> u64 {
        ((self.u64() as u128 * bound as u128) >> 64) as u64
    }

    /// True in `numerator` of `denominator` cases.
    pub const fn chance(self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// A version-4 UUID (RFC 9562, section 5.4) made of this draw.
    pub fn uuid(self) -> String {
        let (high, low) = (self.u64(), self.count(1).u64());
        let high = high & !0xf000 | 0x4000;
        let low = low & (u64::MAX >> 2) | 1 << 63;
        let number = u128::from(high) << 64 | u128::from(low);
        let mut text = String::with_capacity(36);
        for nth in 0..32 {
            if matches!(nth, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            let digit = number >> (124 - 4 * nth) & 0xf;
            text.push(char::from(b"0123456789abcdef"[digit as usize]));
        }
        text
    }
}

/// The prime of the 64-bit FNV-1a hash. Source: RFC 9923, section 5.
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// SplitMix64's output function. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014, with the constants of David Stafford's variant 13.
const fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Old seeds must mean tomorrow what they mean today.
    #[test]
    fn frozen_vectors() {
        // The published first outputs of SplitMix64 from state 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(Draw::new(1).key("delay").key("a→b").count(3).u64(), FROZEN);
        assert_eq!(Draw::new(1).key("delay").bytes("a→b".as_bytes()).count(3).u64(), FROZEN);
    }
    const FROZEN: u64 = 11_813_291_481_256_068_845;

    #[test]
    fn keys_do_not_run_together() {
        let draw = |a, b| Draw::new(1).key(a).key(b).u64();
        assert_ne!(draw("ab", "c"), draw("a", "bc"));
        assert_ne!(draw("", "a"), draw("a", ""));
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let uuid = Draw::new(5).uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!("89ab".contains(&uuid[19..20]));
        assert_eq!(uuid, "fad6e246-7125-4235-8359-17fc0d1cf419", "old seeds give the same names");
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut hits = [0; 10];
        for nth in 0..10_000 {
            hits[Draw::new(9).count(nth).below(10) as usize] += 1;
        }
        assert!(hits.iter().all(|&hit| (850..1150).contains(&hit)), "{hits:?}");
    }
}
