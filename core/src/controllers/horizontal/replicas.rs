//! How many pods there are to be by one metric: so many that each has as much to do as is wished.
//!
//! All amounts are thousandths, and whole: no share is rounded by a processor's arithmetic.
//!
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details; `replica_calculator.go` of
//! `pkg/controller/podautoscaler`.

use crate::api::pod::{Container, Pod};
use crate::controllers::horizontal::counting::{Part, part_of};
use crate::time::Wall;
use crate::usage::{PodUsage, Usage};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// So much more or less than the target, in percent of it, changes nothing. Source:
/// `--horizontal-pod-autoscaler-tolerance`, 0.1.
pub const TOLERANCE_PERCENT: i128 = 10;

/// What a metric should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// In percent of what pods request.
    Utilization(i32),
    /// On average, in thousandths.
    Average(i128),
}

/// Everything that the number follows from.
pub struct View<'a> {
    /// The pods that the target selects, in the order of their names.
    pub pods: &'a [&'a Pod],
    /// What was measured of them.
    pub usage: &'a [PodUsage],
    /// `cpu` or `memory`.
    pub resource: &'a str,
    /// Of this container; of all if empty.
    pub container: &'a str,
    /// What it should be.
    pub target: Target,
    /// How many there are to be now.
    pub current: i32,
    /// When.
    pub now: Wall,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// So many there are to be.
    pub replicas: i32,
    /// In percent of what pods request, if that was asked for.
    pub utilization: Option<i32>,
    /// On average, in thousandths.
    pub average: i128,
}

/// What is used of what should be.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    used: i128,
    wished: i128,
}

impl Ratio {
    fn is_close(self) -> bool {
        let tolerance = if planted!(ToleranceIgnored) { 0 } else { TOLERANCE_PERCENT };
        (self.used - self.wished).abs() * 100 <= self.wished * tolerance
    }

    /// More, or less, than is wished.
    fn side(self) -> Ordering {
        self.used.cmp(&self.wished)
    }

    /// So many times that, rounded up.
    fn of(self, count: usize) -> i32 {
        let all = self.used.saturating_mul(count as i128);
        i32::try_from(all.div_euclid(self.wished) + i128::from(all.rem_euclid(self.wished) > 0)).unwrap_or(i32::MAX)
    }
}

/// How many pods there are to be. An error is a sentence of Kubernetes'.
///
/// Three pods that use 90 of 100 thousandths that they request, where 60 % are wished: 5, since 3 × 90 / 60 is 4.5.
pub fn proposal(view: &View) -> Result<Proposal, String> {
    let View { pods, resource, container, current, .. } = *view;
    let mut used = measured(view)?;
    if used.is_empty() {
        return Err(format!(
            "unable to get metrics for resource {resource}: no metrics returned from resource metrics API"
        ));
    }
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".into());
    }
    let (mut ready, mut unready, mut missing) = (0, Vec::new(), Vec::new());
    for pod in pods {
        let name = pod.metadata.name.as_str();
        let when = view.usage.iter().find(|one| one.name == name && used.contains_key(name));
        let part = part_of(pod, resource, when.map(|one| (one.measured.at, one.measured.window)), view.now);
        match if planted!(AutoscalerCountsUnready) && part == Part::Unready { Part::Counted } else { part } {
            Part::Counted => ready += 1,
            Part::Unready => {
                used.remove(name);
                unready.push(name);
            }
            Part::Missing => missing.push(name),
            Part::Ignored => {
                used.remove(name);
            }
        }
    }
    if used.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".into());
    }
    let requests = match view.target {
        Target::Utilization(_) => requests(pods, resource, container)?,
        Target::Average(_) => BTreeMap::new(),
    };
    let measure = |used: &BTreeMap<&str, i128>| ratio(view.target, used, &requests);
    let no_match = || "no metrics returned matched known pods".to_owned();
    let (first, utilization, average) = measure(&used).ok_or_else(no_match)?;
    let told = |replicas| Ok(Proposal { replicas, utilization, average });
    let with_unready = !unready.is_empty() && first.side() == Ordering::Greater;
    if !with_unready && missing.is_empty() {
        return told(if first.is_close() { current } else { first.of(ready) });
    }
    // What is not known is assumed to be such that less is changed.
    for pod in missing {
        match (first.side(), view.target) {
            _ if planted!(AutoscalerMissingIdle) => drop(used.insert(pod, 0)),
            (Ordering::Less, Target::Utilization(target)) => {
                let request = requests.get(pod).copied().unwrap_or(0);
                used.insert(pod, request * i128::from(target.max(100)) / 100);
            }
            (Ordering::Less, Target::Average(wished)) => drop(used.insert(pod, wished)),
            (Ordering::Greater, _) => drop(used.insert(pod, 0)),
            (Ordering::Equal, _) => {}
        }
    }
    if with_unready {
        used.extend(unready.into_iter().map(|pod| (pod, 0)));
    }
    let (second, ..) = measure(&used).ok_or_else(no_match)?;
    if second.is_close() || second.side() == first.side().reverse() {
        return told(current);
    }
    let replicas = second.of(used.len());
    let turns = match second.side() {
        Ordering::Less => replicas > current,
        Ordering::Greater => replicas < current,
        Ordering::Equal => false,
    };
    told(if turns { current } else { replicas })
}

/// What each pod uses, by name, in thousandths.
fn measured<'a>(view: &View<'a>) -> Result<BTreeMap<&'a str, i128>, String> {
    let amount = |usage: &Usage| match view.resource {
        "cpu" => Some(i128::from(usage.cpu_nanos.div_ceil(1_000_000))),
        "memory" => Some(i128::from(usage.memory_bytes) * 1000),
        _ => None,
    };
    let mut used = BTreeMap::new();
    for pod in view.usage {
        let of_container = pod.measured.used.iter().find(|(name, _)| name == view.container);
        let sum = match (view.container, of_container) {
            ("", _) => pod.measured.used.iter().map(|(_, usage)| amount(usage)).sum::<Option<i128>>(),
            (_, Some((_, usage))) => amount(usage),
            (container, None) => {
                let (resource, pod) = (view.resource, format!("{}/{}", pod.namespace, pod.name));
                return Err(format!(
                    "unable to get metrics for resource {resource}: failed to get container metrics: container \
                     {container} not present in metrics for pod {pod}"
                ));
            }
        };
        used.extend(sum.map(|sum| (pod.name.as_str(), sum)));
    }
    Ok(used)
}

/// What each pod requests, by name, in thousandths.
fn requests<'a>(pods: &[&'a Pod], resource: &str, container: &str) -> Result<BTreeMap<&'a str, i128>, String> {
    let amount = |one: &Container| {
        let amounts = &one.resources;
        // A limit without a request counts as one.
        let wished = amounts.requests.get(resource).or_else(|| amounts.limits.get(resource));
        wished.map(|amount| if resource == "cpu" { amount.milli_value().into() } else { thousandfold(amount.value()) })
    };
    let mut requests = BTreeMap::new();
    for pod in pods {
        let mut sum = 0;
        for one in pod.spec.containers.iter().filter(|one| container.is_empty() || one.name == container) {
            let (name, pod) = (&one.name, &pod.metadata.name);
            sum += amount(one)
                .ok_or_else(|| format!("missing request for {resource} in container {name} of Pod {pod}"))?;
        }
        requests.insert(pod.metadata.name.as_str(), sum);
    }
    Ok(requests)
}

fn thousandfold(units: u64) -> i128 {
    i128::from(units) * 1000
}

type Measured = (Ratio, Option<i32>, i128);

fn ratio(target: Target, used: &BTreeMap<&str, i128>, requests: &BTreeMap<&str, i128>) -> Option<Measured> {
    match target {
        Target::Utilization(wished) => {
            let known = used.iter().filter_map(|(pod, used)| Some((used, requests.get(pod)?)));
            let (count, used, requested) =
                known.fold((0, 0, 0), |(count, used, all), (one, request)| (count + 1, used + one, all + request));
            let percent = (used * 100_i128).checked_div(requested)?;
            let shown = i32::try_from(percent).unwrap_or(i32::MAX);
            Some((Ratio { used: percent, wished: wished.max(1).into() }, Some(shown), used / count))
        }
        Target::Average(wished) => {
            let average = used.values().sum::<i128>().checked_div(used.len() as i128)?;
            Some((Ratio { used: average, wished: wished.max(1) }, None, average))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::meta::Time;
    use crate::controllers::testing::property;
    use crate::time::Duration;
    use crate::usage::Measured as Sample;
    use quickcheck::{Arbitrary, Gen};
    use serde_json::json;

    const NOW: i64 = 10_000;

    /// A pod: what it requests and uses, in thousandths of a processor; whether it is ready.
    #[derive(Clone, Copy, Debug)]
    struct One {
        request: u64,
        used: Option<u64>,
        ready: bool,
    }

    fn one(request: u64, used: u64) -> One {
        One { request, used: Some(used), ready: true }
    }

    fn decide(ones: &[One], target: Target, current: i32) -> Result<Proposal, String> {
        let time = |secs: i64| Time::of(Wall::from_secs(secs)).to_string();
        let pod = |(nth, one): (usize, &One)| -> Pod {
            let ready = json!({"type": "Ready", "status": if one.ready { "True" } else { "False" },
                "lastTransitionTime": time(1000)});
            let requests = if one.request == 0 { json!({}) } else { json!({"cpu": format!("{}m", one.request)}) };
            serde_json::from_value(json!({"metadata": {"name": format!("p{nth:02}")},
                "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]},
                "status": {"phase": "Running", "startTime": time(1000), "conditions": [ready]}}))
            .unwrap()
        };
        let pods: Vec<Pod> = ones.iter().enumerate().map(pod).collect();
        let usage = |(nth, one): (usize, &One)| {
            let used = vec![("c".to_owned(), Usage { cpu_nanos: one.used? * 1_000_000, memory_bytes: 0 })];
            let measured = Sample { at: Wall::from_secs(NOW), window: Duration::from_secs(15), used };
            Some(PodUsage { namespace: "x".into(), name: format!("p{nth:02}"), measured })
        };
        let usage: Vec<PodUsage> = ones.iter().enumerate().filter_map(usage).collect();
        let (pods, now) = (pods.iter().collect::<Vec<_>>(), Wall::from_secs(NOW));
        proposal(&View { pods: &pods, usage: &usage, resource: "cpu", container: "", target, current, now })
    }

    #[test]
    fn utilization() {
        let check = |ones: &[One], target, current, want: (i32, i32, i128)| {
            let got = decide(ones, Target::Utilization(target), current).unwrap();
            assert_eq!((got.replicas, got.utilization.unwrap(), got.average), want, "{ones:?}");
        };
        let missing = One { used: None, ..one(1000, 0) };
        let unready = |used| One { ready: false, ..one(1000, used) };
        // The cases of Kubernetes' own tests of its calculator.
        check(&[one(1000, 300), one(1000, 500), one(1000, 700)], 30, 3, (5, 50, 500));
        check(&[unready(300), one(1000, 500), one(1000, 700)], 30, 3, (4, 60, 600));
        check(&[one(1000, 300), one(1000, 500), unready(700)], 30, 3, (3, 40, 400));
        check(&[one(1000, 400), unready(500), unready(700)], 30, 3, (3, 40, 400));
        check(&[100, 300, 500, 250, 250].map(|used| one(1000, used)), 50, 5, (3, 28, 280));
        check(&[one(100, 90), one(100, 95), one(100, 100)], 100, 3, (3, 95, 95));
        check(&[one(100, 101); 4], 110, 4, (4, 101, 101));
        // Missing: nothing on the way up, all on the way down.
        check(&[one(1000, 1000), missing], 50, 2, (2, 100, 1000));
        check(&[one(1000, 100), missing], 50, 2, (2, 10, 100));
        check(&[one(1000, 100), one(1000, 450), missing], 100, 4, (2, 27, 275));
        check(&[one(1000, 1000), missing, missing, missing], 25, 4, (4, 100, 1000));
        // Tolerated, to the percent.
        check(&[one(100, 110)], 100, 1, (1, 110, 110));
        check(&[one(100, 111)], 100, 1, (2, 111, 111));
        check(&[one(100, 90); 10], 100, 10, (10, 90, 90));
        check(&[one(100, 89); 10], 100, 10, (9, 89, 89));
        // No more are counted than are ready, whatever was wished before.
        check(&[one(100, 100); 2], 50, 7, (4, 100, 100));
    }

    #[test]
    fn averages() {
        let check = |ones: &[One], target, current, want: (i32, i128)| {
            let got = decide(ones, Target::Average(target), current).unwrap();
            assert_eq!((got.replicas, got.average, got.utilization), (want.0, want.1, None), "{ones:?}");
        };
        check(&[one(0, 20), one(0, 10), one(0, 30)], 15, 3, (4, 20));
        check(&[one(0, 12); 5], 20, 5, (3, 12));
        let missing = One { used: None, ..one(0, 0) };
        check(&[one(0, 12), missing], 24, 2, (2, 12));
        check(&[one(0, 5), one(0, 5), missing], 20, 3, (2, 5));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |ones: &[One], want: &str| {
            assert_eq!(decide(ones, Target::Utilization(50), 1).unwrap_err(), want, "{ones:?}");
        };
        check(&[], "unable to get metrics for resource cpu: no metrics returned from resource metrics API");
        check(
            &[One { ready: false, ..one(1, 1) }],
            "did not receive metrics for targeted pods (pods might be unready)",
        );
        check(&[one(0, 5)], "missing request for cpu in container c of Pod p00");
    }

    #[test]
    fn the_number_follows_the_load() {
        fn ones(g: &mut Gen) -> Vec<One> {
            let count = 1 + usize::arbitrary(g) % 8;
            let any = |g: &mut Gen| One {
                request: 100,
                used: (u8::arbitrary(g) % 5 > 0).then(|| u64::from(u16::arbitrary(g)) % 400),
                ready: u8::arbitrary(g) % 5 > 0,
            };
            (0..count).map(|_| any(g)).collect()
        }
        property("nobody who is not known turns the direction, and more load never wishes fewer", |g| {
            let (some, target) = (ones(g), 1 + i32::from(u8::arbitrary(g)) % 120);
            let current = some.len() as i32;
            let Ok(got) = decide(&some, Target::Utilization(target), current) else { return };
            let is = got.utilization.unwrap();
            assert!(got.replicas >= 0);
            assert!(is <= target || got.replicas >= current, "{some:?} {target}: {got:?}");
            assert!(is >= target || got.replicas <= current, "{some:?} {target}: {got:?}");
            let more: Vec<One> = some.iter().map(|one| One { used: one.used.map(|used| used + 50), ..*one }).collect();
            let then = decide(&more, Target::Utilization(target), current).unwrap();
            assert!(then.replicas >= got.replicas, "{some:?} {target}: {got:?} {then:?}");
        });
    }
}
