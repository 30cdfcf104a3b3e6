//! For how long a pod stays on a node that has taints with the effect `NoExecute`.
//!
//! Source: Kubernetes documentation, "Taints and Tolerations", `tolerationSeconds`; `pkg/controller/tainteviction`,
//! `getMinTolerationTime`.

use crate::api::taint::Taint;
use crate::api::toleration::Toleration;
use crate::time::{Duration, Instant};

/// Until when a pod stays; for ever if absent. Each taint is counted from when it was first seen with the pod on the
/// node, on our own clock. `usual` is for how long it puts up with a taint where it only says what every pod is given.
///
/// A pod that tolerates a taint for 60 s and another for 10 s leaves 10 s after the second was seen, if that is earlier;
/// one that does not tolerate one of them leaves at once.
pub fn until<'a>(
    taints: impl Iterator<Item = (&'a Taint, Instant)>,
    tolerations: &[Toleration],
    usual: Duration,
) -> Option<Instant> {
    let all = taints.filter_map(|(taint, seen)| seconds(taint, tolerations, usual).map(|stays| seen + stays));
    if planted!(StaysTooLong) { all.max() } else { all.min() }
}

/// For how long a pod puts up with a taint; for ever if absent. Of several tolerations that cover it the first counts.
pub fn seconds(taint: &Taint, tolerations: &[Toleration], usual: Duration) -> Option<Duration> {
    match tolerations.iter().find(|one| one.tolerates(taint)) {
        None => Some(Duration::ZERO),
        Some(_) if planted!(TolerationIgnored) => Some(Duration::ZERO),
        Some(one) if one.is_usual() && !planted!(UsualAtWord) => Some(usual),
        Some(one) => one
            .toleration_seconds
            .filter(|_| !planted!(ForATimeIsForEver))
            .map(|secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::taint::{NO_EXECUTE, UNREACHABLE};
    use crate::api::toleration::Tolerations;
    use serde_json::{Value, json};

    #[test]
    fn the_shortest_toleration_decides() {
        let at = |secs| Instant::default() + Duration::from_secs(secs);
        let seen = [(Taint::new("a", NO_EXECUTE), at(10)), (Taint::new(UNREACHABLE, NO_EXECUTE), at(20))];
        let check = |tolerations: Value, want: Option<u64>| {
            let read: Tolerations = serde_json::from_value(tolerations.clone()).unwrap();
            let left = until(seen.iter().map(|(taint, at)| (taint, *at)), &read, Duration::from_secs(30));
            assert_eq!(left, want.map(at), "{tolerations}");
        };
        let all = |seconds: Value| json!({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let of = |key: &str, seconds: Value| {
            let mut one = all(seconds);
            one["key"] = key.into();
            one
        };
        check(json!([]), Some(10));
        check(json!([of("a", json!(null))]), Some(20));
        check(json!([of("a", json!(null)), of(UNREACHABLE, json!(7))]), Some(27));
        check(json!([of("a", json!(100)), of(UNREACHABLE, json!(7))]), Some(27));
        check(json!([of("a", json!(5)), of(UNREACHABLE, json!(7))]), Some(15));
        check(json!([of("a", json!(null)), of(UNREACHABLE, json!(300))]), Some(50));
        check(json!([of("a", json!(300)), of(UNREACHABLE, json!(301))]), Some(310));
        check(json!([all(json!(null))]), None);
        check(json!([all(json!(null)), of("a", json!(1))]), None);
        check(json!([all(json!(-1))]), Some(10));
    }
}
