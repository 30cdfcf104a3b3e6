//! How much pods use: what a kubelet reads from its machine, and what is made of two readings.
//!
//! A [`Summary`] says what was used up to an instant; processor time per second needs two of them, [`between`] which it
//! was used. [`pretended`] is for pods that nothing runs.
//!
//! Source: Kubernetes, `k8s.io/kubelet/pkg/apis/stats/v1alpha1` for the summary; metrics-server, `pkg/storage`, for what is made of two.

use crate::api::meta::MicroTime;
use crate::api::object::Object;
use crate::api::pod::{Pod, PodPhase};
use crate::api::quantity::Quantity;
use crate::time::{Duration, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a node's kubelet has read: `/stats/summary`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The node as a whole.
    pub node: NodeStats,
    /// Pods of which something runs.
    pub pods: Vec<PodStats>,
}

/// What a node has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    /// Its name.
    pub node_name: String,
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
}

/// What a pod has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStats {
    /// Which one.
    pub pod_ref: PodReference,
    /// Its containers that run.
    pub containers: Vec<ContainerStats>,
    /// Processor time of all of it.
    pub cpu: CpuStats,
    /// Memory of all of it.
    pub memory: MemoryStats,
}

/// Which pod is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodReference {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
}

/// What a running container has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStats {
    /// Its name.
    pub name: String,
    /// When it was started: a container that was started again counts from zero.
    pub start_time: MicroTime,
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    /// When it was read.
    pub time: MicroTime,
    /// How fast it was used lately, in billionths of a processor; absent if nobody has looked lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_nano_cores: Option<u64>,
    /// How much was used since the beginning, in billionths of a second.
    #[serde(default)]
    pub usage_core_nano_seconds: u64,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    /// When it was read.
    pub time: MicroTime,
    /// All that is in use, files that were read included.
    #[serde(default)]
    pub usage_bytes: u64,
    /// What could not be given back at once: all but files that nobody has read lately.
    #[serde(default)]
    pub working_set_bytes: u64,
}

/// How much something uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Billionths of a processor, on average over the window.
    pub cpu_nanos: u64,
    /// Bytes that could not be given back at once.
    pub memory_bytes: u64,
}

/// A [`Usage`], when it was, and over how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured<T> {
    /// When the window ended.
    pub at: Wall,
    /// How long it was.
    pub window: Duration,
    /// What was measured.
    pub used: T,
}

/// What a pod uses: each of its running containers, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodUsage {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When, and how much.
    pub measured: Measured<Vec<(String, Usage)>>,
}

/// A shorter window says more of the clock than of the pod.
pub const WINDOW_MIN: Duration = Duration::from_millis(500);

/// The rate at which a counter rose in a window, a second; nothing if the window is too short or the counter fell.
fn rate(from: u64, to: u64, window: Duration) -> Option<u64> {
    let used = to.checked_sub(from).filter(|_| window >= WINDOW_MIN)?;
    u64::try_from(u128::from(used) * 1_000_000_000 / window.as_nanos()).ok()
}

impl Summary {
    /// The same with the rates since an earlier reading, where there are some.
    pub fn since(mut self, before: &Summary) -> Self {
        let fill = |cpu: &mut CpuStats, from: &CpuStats| {
            let window = cpu.time.wall().since(from.time.wall());
            cpu.usage_nano_cores = rate(from.usage_core_nano_seconds, cpu.usage_core_nano_seconds, window);
        };
        fill(&mut self.node.cpu, &before.node.cpu);
        for pod in &mut self.pods {
            let Some(old) = before.pods.iter().find(|old| old.pod_ref.uid == pod.pod_ref.uid) else { continue };
            fill(&mut pod.cpu, &old.cpu);
            for one in &mut pod.containers {
                if let Some(old) = old.containers.iter().find(|old| is_same(old, one)) {
                    fill(&mut one.cpu, &old.cpu);
                }
            }
        }
        self
    }
}

fn is_same(one: &ContainerStats, other: &ContainerStats) -> bool {
    one.name == other.name && one.start_time == other.start_time
}

/// What each pod used between two readings, with its uid. A container that was started between them counts from its start. A pod is
/// left out if one of its containers has not run for long enough.
pub fn between(before: &Summary, after: &Summary) -> Vec<(String, PodUsage)> {
    let known: BTreeMap<&str, &PodStats> = before.pods.iter().map(|pod| (pod.pod_ref.uid.as_str(), pod)).collect();
    let began = before.node.cpu.time;
    let of = |pod: &PodStats| {
        let old = known.get(pod.pod_ref.uid.as_str()).map_or(&[][..], |old| &old.containers);
        let mut measured = Measured { at: Wall::default(), window: Duration::ZERO, used: Vec::new() };
        for one in &pod.containers {
            let (from, since) = match old.iter().find(|old| is_same(old, one)) {
                Some(old) => (old.cpu.usage_core_nano_seconds, old.cpu.time),
                None if one.start_time >= began => (0, one.start_time),
                // It ran before, and nobody has read what it had used by then.
                None => return None,
            };
            let window = one.cpu.time.wall().since(since.wall());
            let cpu_nanos = rate(from, one.cpu.usage_core_nano_seconds, window)?;
            measured.used.push((one.name.clone(), Usage { cpu_nanos, memory_bytes: one.memory.working_set_bytes }));
            measured.at = measured.at.max(one.cpu.time.wall());
            measured.window = measured.window.max(window);
        }
        let PodReference { name, namespace, uid } = pod.pod_ref.clone();
        (!measured.used.is_empty()).then_some((uid, PodUsage { namespace, name, measured }))
    };
    after.pods.iter().filter_map(of).collect()
}

/// What a node used between two readings.
pub fn of_node(before: &Summary, after: &Summary) -> Option<Measured<Usage>> {
    let (from, to) = (&before.node.cpu, &after.node.cpu);
    let window = to.time.wall().since(from.time.wall());
    let cpu_nanos = rate(from.usage_core_nano_seconds, to.usage_core_nano_seconds, window)?;
    let used = Usage { cpu_nanos, memory_bytes: after.node.memory.working_set_bytes };
    Some(Measured { at: to.time.wall(), window, used })
}

/// On a pod that only pretends to run: what each of its containers uses, `cpu=250m,memory=64Mi`. Followed by a dot and a
/// container's name, for that one alone. It may be changed while the pod runs.
pub const PRETENDED: &str = "miniku.dev/usage";

/// What a container uses of which nothing is said: next to nothing.
pub const IDLE: Usage = Usage { cpu_nanos: 1_000_000, memory_bytes: 1 << 20 };

/// Whether it is told what an object uses: of pods that run.
///
/// Source: metrics-server, `README`.
pub fn is_told_of(object: &Object) -> bool {
    object.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Running)
}

/// What a container of a pod uses that only pretends to run. What cannot be read counts as not said.
pub fn pretended(pod: &Pod, container: &str) -> Usage {
    let annotations = &pod.metadata.annotations;
    let said = annotations.get(&format!("{PRETENDED}.{container}")).or_else(|| annotations.get(PRETENDED));
    let mut usage = IDLE;
    for (name, amount) in said.iter().flat_map(|said| said.split(',')).filter_map(|part| part.split_once('=')) {
        let Ok(amount) = amount.trim().parse::<Quantity>() else { continue };
        match name.trim() {
            "cpu" => usage.cpu_nanos = amount.milli_value().saturating_mul(1_000_000),
            "memory" => usage.memory_bytes = amount.value(),
            _ => {}
        }
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(millis: i64) -> MicroTime {
        MicroTime::of(Wall::from_nanos(millis * 1_000_000))
    }

    fn summary(millis: i64, pods: &[(&str, i64, u64)]) -> Summary {
        let cpu = |nanos| CpuStats { time: at(millis), usage_nano_cores: None, usage_core_nano_seconds: nanos };
        let memory = MemoryStats { time: at(millis), usage_bytes: 9, working_set_bytes: 7 };
        let pod = |(uid, started, nanos): &(&str, i64, u64)| PodStats {
            pod_ref: PodReference { uid: (*uid).into(), ..Default::default() },
            containers: vec![ContainerStats { name: "c".into(), start_time: at(*started), cpu: cpu(*nanos), memory }],
            cpu: cpu(*nanos),
            memory,
        };
        let node = NodeStats { node_name: "n".into(), cpu: cpu(pods.iter().map(|pod| pod.2).sum()), memory };
        Summary { node, pods: pods.iter().map(pod).collect() }
    }

    #[test]
    fn rates_are_made_of_two_readings() {
        const S: u64 = 1_000_000_000;
        let before = summary(10_000, &[("a", 0, 5 * S), ("b", 0, S), ("d", 0, 9 * S)]);
        // `a` goes on, `b` was started again, `c` is new, `e` was not seen though it was there, `f` has only begun.
        let now = [("a", 0, 7 * S), ("b", 12_000, S), ("c", 13_000, S / 2), ("e", 5_000, S), ("f", 13_900, S)];
        let after = summary(14_000, &now);
        let got: Vec<(String, u64, u128)> = between(&before, &after)
            .into_iter()
            .map(|(uid, pod)| (uid, pod.measured.used[0].1.cpu_nanos, pod.measured.window.as_millis()))
            .collect();
        let want = [("a", S / 2, 4000), ("b", S / 2, 2000), ("c", S / 2, 1000)];
        assert_eq!(got, want.map(|(uid, rate, window)| (uid.to_owned(), rate, window)));
        let told = after.since(&before);
        assert_eq!(told.pods[0].containers[0].cpu.usage_nano_cores, Some(S / 2));
        assert_eq!(told.pods[1].containers[0].cpu.usage_nano_cores, None);
        let node = of_node(&summary(0, &[("a", 0, S)]), &summary(2000, &[("a", 0, 4 * S)])).unwrap();
        assert_eq!((node.used.cpu_nanos, node.used.memory_bytes), (3 * S / 2, 7));
        assert_eq!(of_node(&before, &before), None, "there is no rate without time");
    }

    #[test]
    fn a_summary_is_what_it_was_when_it_is_read() {
        let one = summary(1500, &[("a", 0, 5)]);
        let text = serde_json::to_string(&one).unwrap();
        assert!(text.contains(r#""cpu":{"time":"1970-01-01T00:00:01.500000Z","usageCoreNanoSeconds":5}"#), "{text}");
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), one);
    }

    #[test]
    fn what_is_pretended_stands_on_the_pod() {
        let check = |annotations: serde_json::Value, cpu_milli: u64, memory_bytes: u64| {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap();
            let want = Usage { cpu_nanos: cpu_milli * 1_000_000, memory_bytes };
            assert_eq!(pretended(&pod, "c"), want, "{annotations}");
        };
        check(json!({}), 1, 1 << 20);
        check(json!({PRETENDED: "cpu=250m, memory=64Mi"}), 250, 64 << 20);
        check(json!({PRETENDED: "cpu=1", "miniku.dev/usage.c": "memory=2"}), 1, 2);
        check(json!({PRETENDED: "cpu=much,disk=7,,="}), 1, 1 << 20);
    }
}
