//! How fast an autoscaler goes: what was recommended lately, and how much may change in which time.
//!
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling", configurable scaling behavior; `horizontal.go` of
//! `pkg/controller/podautoscaler`.

use crate::api::autoscaler::{Behavior, Policy, Rules, SelectPolicy};
use crate::time::{Duration, Instant};

/// What an autoscaler remembers of itself. Lost with its program: then what there is now is what was recommended.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What was recommended, and when.
    recommended: Vec<(Instant, i32)>,
    /// How many pods were added, and when.
    added: Vec<(Instant, i32)>,
    /// How many were taken away, and when.
    removed: Vec<(Instant, i32)>,
}

/// What down is looked at for so long where nothing else is said. Source:
/// `--horizontal-pod-autoscaler-downscale-stabilization`.
pub const DOWN_WINDOW: Duration = Duration::from_secs(300);

/// Bounds of an autoscaler.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// No fewer.
    pub min: i32,
    /// No more.
    pub max: i32,
}

/// A number, and whether something held it: reasons and words are Kubernetes'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// So many there are to be.
    pub replicas: i32,
    /// What was recommended lately, if that is another than what is recommended now.
    pub stabilized: Option<(&'static str, &'static str)>,
    /// Whether a bound or a rate held it.
    pub limited: bool,
    /// Which one.
    pub by: (&'static str, &'static str),
}

const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_FAST_UP: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const LOWEST: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const HIGHEST: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);

impl Memory {
    /// What there is when the autoscaler is first looked at counts as recommended.
    pub fn begin(&mut self, now: Instant, current: i32) {
        if self.recommended.is_empty() {
            self.recommended.push((now, current));
        }
    }

    /// Of `recommended` and `current`, the number that there are to be. Remembers what was recommended.
    pub fn settle(
        &mut self,
        now: Instant,
        behavior: Option<&Behavior>,
        bounds: Bounds,
        current: i32,
        recommended: i32,
    ) -> Settled {
        let settled = match behavior {
            Some(behavior) => self.by_behavior(now, behavior, bounds, current, recommended),
            None => self.by_default(now, bounds, current, recommended),
        };
        self.recommended.push((now, recommended));
        let longest = behavior.map_or(DOWN_WINDOW, |behavior| {
            window(behavior.scale_up.as_ref(), Duration::ZERO).max(window(behavior.scale_down.as_ref(), DOWN_WINDOW))
        });
        // The last one stays, so that it is known to have begun.
        let last = self.recommended.len() - 1;
        let mut nth = 0;
        self.recommended.retain(|(at, _)| {
            nth += 1;
            nth > last || now.since(*at) < longest
        });
        settled
    }

    /// The number was changed.
    pub fn changed(&mut self, now: Instant, behavior: Option<&Behavior>, from: i32, to: i32) {
        let Some(behavior) = behavior else { return };
        let longest = |rules: Option<&Rules>| {
            let periods =
                rules.map_or(&[][..], |rules| &rules.policies).iter().map(|policy| seconds(policy.period_seconds));
            periods.max().unwrap_or_default()
        };
        // Both ways look at both.
        let longest = longest(behavior.scale_up.as_ref()).max(longest(behavior.scale_down.as_ref()));
        for changes in [&mut self.added, &mut self.removed] {
            changes.retain(|(at, _)| now.since(*at) < longest);
        }
        match to.saturating_sub(from) {
            more if more > 0 => self.added.push((now, more)),
            less => self.removed.push((now, -less)),
        }
    }

    /// Up to twice as many or four; down to the most of the last five minutes.
    fn by_default(&self, now: Instant, bounds: Bounds, current: i32, recommended: i32) -> Settled {
        let highest = self.extreme(now, DOWN_WINDOW, recommended, i32::max);
        let stabilized = (highest != recommended).then_some(HIGHEST);
        let fastest = current.saturating_mul(2).max(4);
        let (most, by) = if bounds.max > fastest { (fastest, TOO_FAST_UP) } else { (bounds.max, TOO_MANY) };
        let (replicas, by) = match highest {
            number if number < bounds.min => (bounds.min, TOO_FEW),
            number if number > most => (most, by),
            number => (number, WITHIN),
        };
        Settled { replicas, stabilized, limited: replicas != highest, by }
    }

    fn by_behavior(
        &self,
        now: Instant,
        behavior: &Behavior,
        bounds: Bounds,
        current: i32,
        recommended: i32,
    ) -> Settled {
        let (up, down) = (behavior.scale_up.as_ref(), behavior.scale_down.as_ref());
        let lowest = self.extreme(now, window(up, Duration::ZERO), recommended, i32::min);
        let highest = self.extreme(now, window(down, DOWN_WINDOW), recommended, i32::max);
        // What there is stays, as far as it is between the two.
        let wished = if planted!(AutoscalerNoWindow) { recommended } else { current.max(lowest).min(highest) };
        let words = if recommended >= current { LOWEST } else { HIGHEST };
        let stabilized = (wished != recommended).then_some(words);
        let (replicas, by) = match wished {
            number if number > current => {
                let fastest =
                    if planted!(AutoscalerTooFast) { i32::MAX } else { self.up_to(now, up, current).max(current) };
                let (most, by) = if bounds.max > fastest { (fastest, TOO_FAST_UP) } else { (bounds.max, TOO_MANY) };
                if number > most { (most, by) } else { (number, WITHIN) }
            }
            number if number < current => {
                let fastest =
                    if planted!(AutoscalerTooFast) { 0 } else { self.down_to(now, down, current).min(current) };
                let (least, by) = if bounds.min < fastest { (fastest, TOO_FAST_DOWN) } else { (bounds.min, TOO_FEW) };
                if number < least { (least, by) } else { (number, WITHIN) }
            }
            number => (number, WITHIN),
        };
        Settled { replicas, stabilized, limited: replicas != wished, by }
    }

    /// The least or the most that was recommended within a window, and is now.
    fn extreme(&self, now: Instant, window: Duration, recommended: i32, of: fn(i32, i32) -> i32) -> i32 {
        let recent = self.recommended.iter().filter(|(at, _)| now.since(*at) < window);
        recent.fold(recommended, |extreme, (_, one)| of(extreme, *one))
    }

    /// How many there were when a policy's period began.
    fn before(&self, now: Instant, policy: &Policy, current: i32) -> i64 {
        let period = seconds(policy.period_seconds);
        let sum = |changes: &[(Instant, i32)]| -> i64 {
            changes.iter().filter(|(at, _)| now.since(*at) < period).map(|(_, count)| i64::from(*count)).sum()
        };
        i64::from(current) - sum(&self.added) + sum(&self.removed)
    }

    fn up_to(&self, now: Instant, rules: Option<&Rules>, current: i32) -> i32 {
        let allowed = |policy: &Policy| {
            let before = self.before(now, policy, current);
            match policy.kind.as_str() {
                "Pods" => before + i64::from(policy.value),
                _ => rounded_up(before * (100 + i64::from(policy.value))),
            }
        };
        choose(rules, current, allowed, |select, all| match select {
            SelectPolicy::Min => all.min(),
            _ => all.max(),
        })
    }

    fn down_to(&self, now: Instant, rules: Option<&Rules>, current: i32) -> i32 {
        let allowed = |policy: &Policy| {
            let before = self.before(now, policy, current);
            match policy.kind.as_str() {
                "Pods" => before - i64::from(policy.value),
                _ => before * (100 - i64::from(policy.value)) / 100,
            }
        };
        // What allows the most change leaves the fewest.
        choose(rules, current, allowed, |select, all| match select {
            SelectPolicy::Min => all.max(),
            _ => all.min(),
        })
    }
}

fn choose(
    rules: Option<&Rules>,
    current: i32,
    allowed: impl Fn(&Policy) -> i64,
    of: impl Fn(SelectPolicy, &mut dyn Iterator<Item = i64>) -> Option<i64>,
) -> i32 {
    let select = rules.and_then(|rules| rules.select_policy).unwrap_or_default();
    if select == SelectPolicy::Disabled && !planted!(DisabledScales) {
        return current;
    }
    let mut all = rules.map_or(&[][..], |rules| &rules.policies).iter().map(allowed);
    // Without policies, which validation and defaults leave out, nothing is allowed.
    let chosen = of(select, &mut all).unwrap_or(current.into());
    i32::try_from(chosen.max(0)).unwrap_or(i32::MAX)
}

fn rounded_up(hundredfold: i64) -> i64 {
    hundredfold.div_euclid(100) + i64::from(hundredfold.rem_euclid(100) > 0 && !planted!(PercentRoundedDown))
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

fn window(rules: Option<&Rules>, usual: Duration) -> Duration {
    rules.and_then(|rules| rules.stabilization_window_seconds).map_or(usual, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::property;
    use quickcheck::Arbitrary;
    use serde_json::{Value, json};

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    const BOUNDS: Bounds = Bounds { min: 1, max: 100 };

    /// Each step: when, what is recommended, what comes of it. The number is taken over each time.
    fn play(behavior: Option<Value>, start: i32, steps: &[(u64, i32, i32, &str)]) {
        let behavior: Option<Behavior> = behavior.map(|behavior| serde_json::from_value(behavior).unwrap());
        let (mut memory, mut current) = (Memory::default(), start);
        memory.begin(at(0), start);
        for (secs, recommended, want, why) in steps {
            let got = memory.settle(at(*secs), behavior.as_ref(), BOUNDS, current, *recommended);
            let said = got.stabilized.map_or(got.by.0, |(reason, _)| reason);
            assert_eq!((got.replicas, said), (*want, *why), "at {secs}: {recommended} of {current}");
            if got.replicas != current {
                memory.changed(at(*secs), behavior.as_ref(), current, got.replicas);
            }
            current = got.replicas;
        }
    }

    #[test]
    fn without_behavior() {
        play(
            None,
            3,
            &[
                (15, 50, 6, "ScaleUpLimit"),
                (30, 50, 12, "ScaleUpLimit"),
                (45, 8, 24, "ScaleDownStabilized"),
                (60, 24, 48, "ScaleDownStabilized"),
                (344, 8, 24, "ScaleDownStabilized"),
                (400, 2, 8, "ScaleDownStabilized"),
                (800, 0, 1, "TooFewReplicas"),
                (1200, 500, 4, "ScaleUpLimit"),
            ],
        );
        play(None, 90, &[(15, 500, 100, "TooManyReplicas"), (30, 100, 100, "ScaleDownStabilized")]);
    }

    #[test]
    fn with_behavior() {
        let pods = |value: i32, period: i32| json!({"type": "Pods", "value": value, "periodSeconds": period});
        let percent = |value: i32, period: i32| json!({"type": "Percent", "value": value, "periodSeconds": period});
        let behavior = |up: Value, down: Value| Some(json!({"scaleUp": up, "scaleDown": down}));
        // The defaults: the larger of twice as many and four more a quarter of a minute; down at once to what was the most.
        let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods(4, 15), percent(100, 15)]});
        let down = json!({"selectPolicy": "Max", "policies": [percent(100, 15)]});
        play(
            behavior(up, down),
            3,
            &[
                (0, 50, 7, "ScaleUpLimit"),
                (5, 50, 7, "ScaleUpLimit"),
                (15, 50, 14, "ScaleUpLimit"),
                (30, 6, 14, "ScaleDownStabilized"),
                (400, 6, 6, "DesiredWithinRange"),
            ],
        );
        // Ten percent a minute, rounded; a window on the way up.
        let up = json!({"stabilizationWindowSeconds": 60, "policies": [pods(50, 60)]});
        let down = json!({"stabilizationWindowSeconds": 0, "policies": [percent(10, 60)]});
        play(
            behavior(up, down),
            20,
            &[
                (70, 30, 30, "DesiredWithinRange"),
                (80, 40, 30, "ScaleUpStabilized"),
                (141, 5, 27, "ScaleDownLimit"),
                (202, 5, 24, "ScaleDownLimit"),
                (210, 5, 24, "ScaleDownLimit"),
                (262, 5, 21, "ScaleDownLimit"),
            ],
        );
        // The least of the policies; one way closed.
        let up = json!({"selectPolicy": "Min", "policies": [pods(4, 15), percent(10, 15)]});
        let down = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled", "policies": [percent(100, 15)]});
        play(behavior(up, down), 10, &[(20, 50, 11, "ScaleUpLimit"), (40, 2, 11, "ScaleDownLimit")]);
    }

    #[test]
    fn the_number_stays_within_bounds_and_windows() {
        property("bounds hold, and nothing goes down that was recommended lately", |g| {
            let mut any = |below: i32| i32::from(u16::arbitrary(g)) % below;
            let window = any(200);
            let rules = |window: i32, value: i32| {
                json!({"stabilizationWindowSeconds": window,
                    "policies": [{"type": "Pods", "value": value, "periodSeconds": 60}]})
            };
            let behavior = json!({"scaleUp": rules(0, 1 + any(9)), "scaleDown": rules(window, 1 + any(9))});
            let behavior: Behavior = serde_json::from_value(behavior).unwrap();
            let bounds = Bounds { min: 1 + any(5), max: 10 + any(10) };
            let (mut memory, mut current) = (Memory::default(), (1 + any(20)).clamp(bounds.min, bounds.max));
            memory.begin(at(0), current);
            let mut recommended = vec![(0, current)];
            for secs in (15..750).step_by(15) {
                recommended.push((secs, any(30)));
                let (_, wished) = recommended[recommended.len() - 1];
                let got = memory.settle(at(secs), Some(&behavior), bounds, current, wished).replicas;
                assert!((bounds.min..=bounds.max).contains(&got), "{got} of {bounds:?}");
                let lately = recommended.iter().filter(|(at, _)| secs - at < window.unsigned_abs().max(1).into());
                let highest = lately.map(|(_, one)| *one).max().unwrap();
                assert!(got >= current || got >= highest.min(bounds.max), "{current} to {got}: {recommended:?}");
                assert!(got <= current || wished > current, "{current} to {got}: {recommended:?}");
                if got != current {
                    memory.changed(at(secs), Some(&behavior), current, got);
                }
                current = got;
            }
        });
    }
}
