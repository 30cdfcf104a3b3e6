//! Minik8s' autoscaler: at each look one pod more or one less, or none.
//!
//! Source: Minik8s, its README, "Dynamic Scaling": the number that Kubernetes' formula gives says the way, and the way is
//! gone one step at a time. Its file asks for percent of processor time and of memory.

use crate::api::autoscaler::HpaSpec;
use crate::api::pod::Pod;
use crate::usage::{PodUsage, Usage};
use crate::{decision_enum, decision_table};
use serde_json::Value;
use std::cmp::Ordering;

/// So often it looks, in seconds, where its file does not say. Source: Minik8s' example.
pub const INTERVAL_SECONDS: i32 = 15;

decision_enum! {
    /// How many there are.
    pub enum Count {
        /// Fewer than the least.
        TooFew,
        /// The least.
        Least,
        /// More than the least, and fewer than the most.
        Between,
        /// The most. One that is both the least and the most is the most.
        Most,
        /// More than the most.
        TooMany,
    }
}

decision_enum! {
    /// What their use asks for.
    pub enum Asked {
        /// More pods.
        More,
        /// As many.
        Same,
        /// Fewer pods.
        Fewer,
        /// Nobody has measured them.
        Unknown,
    }
}

decision_enum! {
    /// What is done.
    pub enum Step {
        /// One is made.
        Up,
        /// One is taken away.
        Down,
        /// Nothing.
        Stay,
    }
}

decision_table! {
    /// The next step. Pure and total. Page: `docs/decisions/autoscaling.md`.
    pub fn step(count: Count, use_asks: Asked) -> Step, STEPS;
    below:    (TooFew, _)                          => Up,   "the bounds hold whatever is measured";
    above:    (TooMany, _)                         => Down, "the bounds hold whatever is measured";
    up:       (Least | Between, More)              => Up,   "one at a time, so that what it changes is seen first";
    full:     (Most, More)                         => Stay, "there may be no more";
    down:     (Between | Most, Fewer)              => Down, "one at a time";
    least:    (Least, Fewer)                       => Stay, "there may be no fewer";
    same:     (Least | Between | Most, Same)       => Stay, "it is as wished";
    unknown:  (Least | Between | Most, Unknown)    => Stay, "nothing is changed for what is not known";
}

/// What pods use, in percent of what they may; averages over those that were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percents {
    /// Of processor time.
    pub cpu: Option<f64>,
    /// Of memory.
    pub memory: Option<f64>,
}

/// What pods use. A pod may use its limits; without one what it requests; without that one processor, while nothing can be
/// said of its memory.
pub fn percents(pods: &[&Pod], usage: &[PodUsage]) -> Percents {
    let (mut cpu, mut memory) = (Vec::new(), Vec::new());
    for pod in pods {
        let Some(used) = usage.iter().find(|one| one.name == pod.metadata.name) else { continue };
        let sum = used.measured.used.iter().fold(Usage::default(), |sum, (_, one)| Usage {
            cpu_nanos: sum.cpu_nanos.saturating_add(one.cpu_nanos),
            memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
        });
        let may = |name: &str| {
            let amounts = pod.spec.containers.iter().map(|one| {
                let amounts = &one.resources;
                amounts.limits.get(name).or_else(|| amounts.requests.get(name)).filter(|amount| !amount.is_zero())
            });
            amounts.map(|amount| amount.map(|amount| amount.nano_value() as f64)).sum::<Option<f64>>()
        };
        cpu.push(sum.cpu_nanos as f64 * 100.0 / may("cpu").unwrap_or(1e9));
        memory.extend(may("memory").map(|may| sum.memory_bytes as f64 * 1e11 / may));
    }
    let average = |all: &[f64]| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    Percents { cpu: average(&cpu), memory: average(&memory) }
}

/// What is done about so many pods that use so much.
pub fn decide(spec: &HpaSpec, count: i32, is: Percents) -> Step {
    let (least, most) = (spec.min_replicas.unwrap_or(1).max(0), spec.max_replicas);
    let place = match count {
        few if few < least => Count::TooFew,
        many if many > most => Count::TooMany,
        all if all == most => Count::Most,
        all if all == least => Count::Least,
        _ => Count::Between,
    };
    let wished = |wished: &Option<Value>| wished.as_ref().and_then(Value::as_f64).filter(|wished| *wished > 0.0);
    let both = [(is.cpu, wished(&spec.metrics.cpu_percent)), (is.memory, wished(&spec.metrics.mem_percent))];
    let ratios = both.into_iter().filter_map(|(is, wished)| Some(is? / wished?));
    // The largest counts: ⌈count × used / wished⌉.
    let asked = match ratios.fold(None, |most: Option<f64>, one| Some(most.map_or(one, |most| most.max(one)))) {
        None => Asked::Unknown,
        Some(ratio) => match (f64::from(count) * ratio).ceil().total_cmp(&f64::from(count)) {
            Ordering::Greater => Asked::More,
            Ordering::Less => Asked::Fewer,
            Ordering::Equal => Asked::Same,
        },
    };
    step(place, asked).then
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Wall};
    use crate::usage::Measured;
    use serde_json::json;

    #[test]
    fn one_step_at_a_time() {
        // 60 % of processor time and 40 % of memory are wished, two to five pods.
        let metrics = json!({"cpuPercent": 60, "memPercent": 40});
        let spec = json!({"minReplicas": 2, "maxReplicas": 5, "metrics": metrics});
        let spec: HpaSpec = serde_json::from_value(spec).unwrap();
        let check = |count, cpu, memory, want| {
            assert_eq!(decide(&spec, count, Percents { cpu, memory }), want, "{count}: {cpu:?} {memory:?}");
        };
        check(1, Some(0.0), None, Step::Up);
        check(7, Some(500.0), None, Step::Down);
        check(2, Some(61.0), Some(1.0), Step::Up);
        check(2, Some(1.0), Some(41.0), Step::Up);
        check(5, Some(400.0), None, Step::Stay);
        check(3, Some(60.0), Some(40.0), Step::Stay);
        check(3, Some(50.0), None, Step::Stay);
        check(3, Some(40.0), Some(5.0), Step::Down);
        check(2, Some(0.0), Some(0.0), Step::Stay);
        check(3, None, None, Step::Stay);
    }

    #[test]
    fn percent_of_what_a_pod_may_use() {
        let pod = |resources: serde_json::Value| -> Pod {
            serde_json::from_value(
                json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}}),
            )
            .unwrap()
        };
        let used = vec![("c".into(), Usage { cpu_nanos: 250_000_000, memory_bytes: 32 << 20 })];
        let measured = Measured { at: Wall::default(), window: Duration::from_secs(15), used };
        let usage = [PodUsage { namespace: String::new(), name: "p".into(), measured }];
        let check = |resources: serde_json::Value, cpu: f64, memory: Option<f64>| {
            let got = percents(&[&pod(resources)], &usage);
            assert_eq!((got.cpu.map(f64::round), got.memory.map(f64::round)), (Some(cpu), memory));
        };
        check(json!({}), 25.0, None);
        check(json!({"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "1m"}}), 50.0, Some(50.0));
        check(json!({"requests": {"cpu": "250m", "memory": "32Mi"}}), 100.0, Some(100.0));
        assert_eq!(percents(&[&pod(json!({}))], &[]), Percents::default());
    }
}
