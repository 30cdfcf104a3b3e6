//! How many evictions a budget allows.
//!
//! Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application", rounding logic;
//! `getExpectedPodCount` and `updatePdbStatus` of `pkg/controller/disruption`.

use crate::api::budget::BudgetSpec;
use crate::api::int_or_string::{IntOrString, Round};

/// What a budget's numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// So many pods there should be.
    pub expected: i64,
    /// So many must be healthy.
    pub desired: i64,
    /// So many may be evicted.
    pub allowed: i64,
}

/// Whether the wished numbers of pods have to be known: for a part of them, and for what may be missing of them.
pub fn needs_scale(spec: &BudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// How many evictions a budget allows, with so many pods there, so many wished by their controllers, and so many healthy.
///
/// With `maxUnavailable: 30%` of 7: 3 may be missing, so that 4 must be healthy; with 6 healthy, 2 may be evicted. With
/// `minAvailable: 50%` of 7, 4 must be healthy: both are rounded up. Where no pods are expected nothing is allowed, so
/// that the first that come are not lost before they are counted.
pub fn allowance(spec: &BudgetSpec, pods: i64, scale: i64, healthy: i64) -> Allowance {
    let (expected, desired) = match (&spec.max_unavailable, &spec.min_available) {
        (Some(missing), _) => (scale, scale.saturating_sub(missing.of(scale, Round::Up)).max(0)),
        (None, Some(IntOrString::Int(number))) => (pods, i64::from(*number)),
        (None, Some(part)) => (scale, part.of(scale, if planted!(PartRoundedDown) { Round::Down } else { Round::Up })),
        (None, None) => (0, 0),
    };
    let allowed = if expected > 0 { healthy.saturating_sub(desired).max(0) } else { 0 };
    Allowance { expected, desired, allowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn numbers_and_parts() {
        let check = |spec: Value, (pods, scale, healthy), want: (i64, i64, i64)| {
            let parsed: BudgetSpec = serde_json::from_value(spec.clone()).unwrap();
            let got = allowance(&parsed, pods, scale, healthy);
            assert_eq!((got.expected, got.desired, got.allowed), want, "{spec}");
        };
        check(json!({"minAvailable": 2}), (3, 0, 3), (3, 2, 1));
        check(json!({"minAvailable": 2}), (3, 0, 1), (3, 2, 0));
        check(json!({"minAvailable": 0}), (0, 0, 0), (0, 0, 0));
        check(json!({"minAvailable": "50%"}), (7, 7, 7), (7, 4, 3));
        check(json!({"minAvailable": "100%"}), (7, 7, 7), (7, 7, 0));
        check(json!({"maxUnavailable": 1}), (7, 7, 7), (7, 6, 1));
        check(json!({"maxUnavailable": "30%"}), (7, 7, 6), (7, 4, 2));
        check(json!({"maxUnavailable": 9}), (7, 7, 5), (7, 0, 5));
        check(json!({"maxUnavailable": 0}), (7, 7, 7), (7, 7, 0));
        // A rollout's additional pods may go.
        check(json!({"maxUnavailable": 1}), (9, 7, 9), (7, 6, 3));
        // Nobody wishes any: nothing is allowed.
        check(json!({"maxUnavailable": 1}), (2, 0, 2), (0, 0, 0));
        check(json!({}), (2, 2, 2), (0, 0, 0));
    }
}
