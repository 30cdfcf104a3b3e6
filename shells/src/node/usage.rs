//! What the pods of a node use: read from cgroups when somebody asks, and at no other time.

use crate::clock;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::MicroTime;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::program::{Answer, Query, Request, Verb};
use miniku_core::time::{Duration, Wall};
use miniku_core::usage::{
    ContainerStats, CpuStats, MemoryStats, NodeStats, PodReference, PodStats, Summary, Usage, WINDOW_MIN, is_told_of,
    pretended,
};
use miniku_runtime::Runtime;
use miniku_runtime::cgroup;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// The pods of a node, by its name; an error is a sentence.
pub type PodsOn = Box<dyn Fn(&str) -> Result<Vec<Object>, String> + Send + Sync>;

/// Asks an API server for the pods of nodes.
pub fn pods_asked_of(ask: impl Fn(Request) -> Answer + Send + Sync + 'static) -> PodsOn {
    Box::new(move |node| {
        let query = Query::all(Kind::Pod).with_field("spec.nodeName", node);
        match ask(Verb::List(query).into()) {
            Answer::List { items, .. } => Ok(items),
            Answer::Refused(status) => Err(status.message),
            Answer::Lost(why) => Err(why),
            _ => Err("the server gave no list".into()),
        }
    })
}

/// Reads what a node uses, and remembers the reading before, so that there are rates.
#[derive(Default)]
pub struct Meter(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    before: Option<Summary>,
    /// What is pretended, by uid and container: how much processor time by when.
    pretended: BTreeMap<(String, String), (Wall, u64)>,
}

impl Meter {
    /// From cgroups.
    pub fn read(&self, runtime: &Runtime) -> Summary {
        let time = MicroTime::of(clock::wall());
        let stats = |usage: &cgroup::Usage| {
            let cpu = CpuStats { time, usage_nano_cores: None, usage_core_nano_seconds: usage.cpu_nanos };
            let (usage_bytes, working_set_bytes) = (usage.memory_bytes, usage.working_set_bytes);
            (cpu, MemoryStats { time, usage_bytes, working_set_bytes })
        };
        let (of_node, pods) = runtime.usages();
        let pods = pods.into_iter().map(|pod| {
            let containers = pod.containers.into_iter().map(|(name, started, usage)| {
                let (cpu, memory) = stats(&usage);
                ContainerStats { name, start_time: MicroTime::of(started), cpu, memory }
            });
            let (cpu, memory) = stats(&pod.usage);
            let miniku_core::kubelet::runtime::PodRef { uid, namespace, name } = pod.pod;
            let pod_ref =
                PodReference { name: name.to_string(), namespace: namespace.to_string(), uid: uid.to_string() };
            PodStats { pod_ref, containers: containers.collect(), cpu, memory }
        });
        let pods: Vec<PodStats> = pods.collect();
        let (cpu, mut memory) = stats(&of_node);
        // Where version 1 does not count the children, as kernels before 5.11 may not.
        let sum: MemoryStats = sum_of_memory(&pods, time);
        memory.usage_bytes = memory.usage_bytes.max(sum.usage_bytes);
        memory.working_set_bytes = memory.working_set_bytes.max(sum.working_set_bytes);
        let node = NodeStats { node_name: runtime.name().into(), cpu, memory };
        self.with_rates(Summary { node, pods })
    }

    /// As if the pods that are told to run did. What stands on them now counts from the reading before.
    pub fn pretend(&self, node: &str, pods: &[Object]) -> Summary {
        let time = MicroTime::of(clock::wall());
        // As exact as it is told.
        let now = time.wall();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = std::mem::take(&mut kept.pretended);
        let of = |pod: &Pod| {
            let uid = &pod.metadata.uid;
            let statuses = pod.status.container_statuses.iter();
            let containers = statuses.filter_map(|status| {
                let started = status.state.running.as_ref()?.started_at?.wall();
                let Usage { cpu_nanos, memory_bytes } = pretended(pod, &status.name);
                let key = (uid.to_string(), status.name.to_string());
                let (since, total) = totals.get(&key).copied().filter(|(at, _)| *at >= started).unwrap_or((started, 0));
                let used = u128::from(cpu_nanos) * now.since(since).as_nanos() / 1_000_000_000;
                let total = total.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
                kept.pretended.insert(key, (now, total));
                let cpu = CpuStats { time, usage_nano_cores: None, usage_core_nano_seconds: total };
                let memory = MemoryStats { time, usage_bytes: memory_bytes, working_set_bytes: memory_bytes };
                Some(ContainerStats { name: status.name.to_string(), start_time: MicroTime::of(started), cpu, memory })
            });
            let containers: Vec<ContainerStats> = containers.collect();
            let cpu = containers.iter().map(|one| one.cpu.usage_core_nano_seconds).sum();
            let bytes = containers.iter().map(|one| one.memory.working_set_bytes).sum();
            let (namespace, name) = (pod.metadata.namespace.clone(), pod.metadata.name.clone());
            PodStats {
                pod_ref: PodReference {
                    name: name.to_string(),
                    namespace: namespace.to_string(),
                    uid: uid.to_string(),
                },
                containers,
                cpu: CpuStats { time, usage_nano_cores: None, usage_core_nano_seconds: cpu },
                memory: MemoryStats { time, usage_bytes: bytes, working_set_bytes: bytes },
            }
        };
        let pods: Vec<PodStats> =
            pods.iter().filter(|pod| is_told_of(pod)).filter_map(Object::get::<Pod>).map(of).collect();
        drop(kept);
        let cpu = pods.iter().map(|pod| pod.cpu.usage_core_nano_seconds).sum();
        let cpu = CpuStats { time, usage_nano_cores: None, usage_core_nano_seconds: cpu };
        let memory = sum_of_memory(&pods, time);
        self.with_rates(Summary { node: NodeStats { node_name: node.into(), cpu, memory }, pods })
    }

    fn with_rates(&self, now: Summary) -> Summary {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match &kept.before {
            Some(before) => now.clone().since(before),
            None => now.clone(),
        };
        let age = |before: &Summary| now.node.cpu.time.wall().since(before.node.cpu.time.wall());
        // Who asks very often is told the rate since a little while ago.
        if kept.before.as_ref().is_none_or(|before| age(before) >= WINDOW_MIN.max(Duration::from_secs(1))) {
            kept.before = Some(now);
        }
        told
    }
}

fn sum_of_memory(pods: &[PodStats], time: MicroTime) -> MemoryStats {
    let sum = |of: fn(&PodStats) -> u64| pods.iter().map(of).sum();
    MemoryStats {
        time,
        usage_bytes: sum(|pod| pod.memory.usage_bytes),
        working_set_bytes: sum(|pod| pod.memory.working_set_bytes),
    }
}

/// A summary as Prometheus reads it.
///
/// Source: Kubernetes, `pkg/kubelet/metrics/collectors/resource_metrics.go`.
pub fn resource_page(summary: &Summary) -> String {
    let mut page = String::new();
    let seconds = |cpu: &CpuStats| cpu.usage_core_nano_seconds as f64 / 1e9;
    let millis = |time: MicroTime| time.wall().nanos().div_euclid(1_000_000);
    let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, f64, Option<i64>)>| {
        let said = writeln!(page, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
        said.expect("a String takes every write");
        for (labels, value, at) in lines {
            let at = at.map(|at| format!(" {at}")).unwrap_or_default();
            writeln!(page, "{name}{labels} {value}{at}").expect("a String takes every write");
        }
    };
    let containers = || {
        summary.pods.iter().flat_map(|pod| {
            pod.containers.iter().map(move |one| {
                let PodReference { name, namespace, .. } = &pod.pod_ref;
                (format!("{{container=\"{}\",namespace=\"{namespace}\",pod=\"{name}\"}}", one.name), one)
            })
        })
    };
    let pods = || {
        summary.pods.iter().map(|pod| {
            let PodReference { name, namespace, .. } = &pod.pod_ref;
            (format!("{{namespace=\"{namespace}\",pod=\"{name}\"}}"), pod)
        })
    };
    let time = |cpu: &CpuStats| (seconds(cpu), Some(millis(cpu.time)));
    let bytes = |memory: &MemoryStats| (memory.working_set_bytes as f64, Some(millis(memory.time)));
    let line = |labels: String, (value, at): (f64, Option<i64>)| (labels, value, at);
    family(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
        containers().map(|(labels, one)| line(labels, time(&one.cpu))).collect(),
    );
    family(
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set of the container in bytes",
        containers().map(|(labels, one)| line(labels, bytes(&one.memory))).collect(),
    );
    family(
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds",
        containers()
            .map(|(labels, one)| (labels, one.start_time.wall().nanos().div_euclid(1_000) as f64 / 1e6, None))
            .collect(),
    );
    family(
        "node_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the node in core-seconds",
        vec![line(String::new(), time(&summary.node.cpu))],
    );
    family(
        "node_memory_working_set_bytes",
        "gauge",
        "Current working set of the node in bytes",
        vec![line(String::new(), bytes(&summary.node.memory))],
    );
    family(
        "pod_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the pod in core-seconds",
        pods().map(|(labels, pod)| line(labels, time(&pod.cpu))).collect(),
    );
    family(
        "pod_memory_working_set_bytes",
        "gauge",
        "Current working set of the pod in bytes",
        pods().map(|(labels, pod)| line(labels, bytes(&pod.memory))).collect(),
    );
    family(
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
        vec![(String::new(), 0.0, None)],
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(usage: &str) -> Object {
        let running = json!({"startedAt": "2020-01-01T00:00:00Z"});
        let status = json!({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"running": running}}]});
        let meta = json!({"name": "p", "namespace": "x", "uid": "u", "annotations": {"miniku.dev/usage": usage}});
        let pod = json!({"metadata": meta, "spec": {"containers": [{"name": "c"}]}, "status": status});
        Object::from_value(Kind::Pod, pod).unwrap()
    }

    #[test]
    fn what_is_pretended_goes_on_from_where_it_was() {
        let meter = Meter::default();
        let first = meter.pretend("n", &[pod("cpu=1")]).pods[0].containers[0].cpu.usage_core_nano_seconds;
        let second = meter.pretend("n", &[pod("cpu=0")]).pods[0].containers[0].cpu.usage_core_nano_seconds;
        assert!(first > 0 && second == first, "{first} {second}");
        let page = resource_page(&meter.pretend("n", &[pod("memory=3Mi")]));
        for line in [
            "# TYPE container_cpu_usage_seconds_total counter\n",
            "container_memory_working_set_bytes{container=\"c\",namespace=\"x\",pod=\"p\"} 3145728 ",
            "container_start_time_seconds{container=\"c\",namespace=\"x\",pod=\"p\"} 1577836800\n",
            "pod_memory_working_set_bytes{namespace=\"x\",pod=\"p\"} 3145728 ",
            "resource_scrape_error 0\n",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}
