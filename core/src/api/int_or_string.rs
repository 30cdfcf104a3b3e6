//! A number, or a share of another number in percent.

use crate::api::structs::Field;
use serde::{Deserialize, Serialize};

/// A number, or a share of another number: `3` or `"25%"`.
///
/// Source: Kubernetes, `k8s.io/apimachinery/pkg/util/intstr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A share in percent, or what validation let through.
    String(String),
}

/// Which way a share is rounded that is no whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// To the larger.
    Up,
    /// To the smaller.
    Down,
}

impl IntOrString {
    /// How much it is of `total`; nothing if it is no number. `25%` of 10 is 3 or 2.
    pub fn of(&self, total: i64, round: Round) -> i64 {
        let percent = match self {
            IntOrString::Int(number) => return i64::from(*number),
            IntOrString::String(text) => text.strip_suffix('%').and_then(|percent| percent.parse::<i32>().ok()),
        };
        let hundredfold = i64::from(percent.unwrap_or(0)).saturating_mul(total);
        match round {
            Round::Up => hundredfold.div_euclid(100) + i64::from(hundredfold.rem_euclid(100) > 0),
            Round::Down => hundredfold.div_euclid(100),
        }
    }
}

impl Default for IntOrString {
    fn default() -> Self {
        IntOrString::Int(0)
    }
}

impl Field for IntOrString {
    fn is_absent(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_as_asked() {
        let check = |text: &str, total, up, down| {
            let share: IntOrString = serde_json::from_str(text).unwrap();
            assert_eq!((share.of(total, Round::Up), share.of(total, Round::Down)), (up, down), "{text} of {total}");
            assert_eq!(serde_json::to_string(&share).unwrap(), text);
        };
        check("3", 10, 3, 3);
        check(r#""25%""#, 10, 3, 2);
        check(r#""25%""#, 4, 1, 1);
        check(r#""25%""#, 0, 0, 0);
        check(r#""100%""#, 7, 7, 7);
        check(r#""none""#, 7, 0, 0);
        check(r#""2147483647%""#, i64::from(i32::MAX), 46_116_860_141_324_207, 46_116_860_141_324_206);
    }
}
