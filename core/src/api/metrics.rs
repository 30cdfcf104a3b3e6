//! The API group metrics.k8s.io: what nodes and pods use. Nothing of it is stored: who asks is told what was measured.
//!
//! Source: Kubernetes, `k8s.io/metrics/pkg/apis/metrics/v1beta1`; metrics-server for the form of amounts and tables.

use crate::api::meta::{ObjectMeta, Time};
use crate::api::object::Object;
use crate::api::quantity::Quantity;
use crate::durations;
use crate::time::{Duration, Now};
use crate::usage::{Measured, PodUsage, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The API group.
pub const GROUP: &str = "metrics.k8s.io";
/// Its version.
pub const VERSION: &str = "v1beta1";

/// Of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Nodes.
    Nodes,
    /// Pods.
    Pods,
}

impl Of {
    /// Both.
    pub const ALL: [Of; 2] = [Of::Nodes, Of::Pods];

    /// Its name in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Of::Nodes => "nodes",
            Of::Pods => "pods",
        }
    }

    /// The kind of what is told.
    pub fn kind(self) -> &'static str {
        match self {
            Of::Nodes => "NodeMetrics",
            Of::Pods => "PodMetrics",
        }
    }
}

/// What one node or pod uses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// Name, labels, and when it was told.
    pub metadata: ObjectMeta,
    /// When the window ended.
    pub timestamp: Time,
    /// How long it was: `15.021s`.
    pub window: String,
    /// A node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Amounts>,
    /// A pod's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<ContainerMetrics>>,
}

/// What one container uses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ContainerMetrics {
    /// Its name.
    pub name: String,
    /// How much.
    pub usage: Amounts,
}

/// Amounts of processor time and memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Amounts {
    /// In billionths of a processor: `250000000n`.
    pub cpu: Quantity,
    /// In kibibytes: `65536Ki`.
    pub memory: Quantity,
}

impl From<Usage> for Amounts {
    fn from(usage: Usage) -> Self {
        let amount = |text: String| text.parse().expect("a number and a unit");
        let cpu = if usage.cpu_nanos == 0 { "0".into() } else { format!("{}n", usage.cpu_nanos) };
        Amounts { cpu: amount(cpu), memory: amount(format!("{}Ki", usage.memory_bytes / 1024)) }
    }
}

impl From<&Amounts> for Usage {
    fn from(amounts: &Amounts) -> Self {
        Usage { cpu_nanos: amounts.cpu.nano_value(), memory_bytes: amounts.memory.value() }
    }
}

fn window(length: Duration) -> String {
    let text = format!("{}.{:03}", length.as_secs(), length.subsec_millis());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

impl Metrics {
    fn of<T>(object: &Object, now: Now, measured: &Measured<T>) -> Self {
        let meta = object.meta();
        let metadata = ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            labels: meta.labels.clone(),
            creation_timestamp: Some(Time::of(now.wall)),
            ..Default::default()
        };
        let (timestamp, window) = (Time::of(measured.at), window(measured.window));
        Metrics { metadata, timestamp, window, usage: None, containers: None }
    }

    /// Of a node.
    pub fn of_node(node: &Object, now: Now, measured: &Measured<Usage>) -> Self {
        Metrics { usage: Some(measured.used.into()), ..Metrics::of(node, now, measured) }
    }

    /// Of a pod.
    pub fn of_pod(pod: &Object, now: Now, measured: &Measured<Vec<(String, Usage)>>) -> Self {
        let one = |(name, usage): &(String, Usage)| ContainerMetrics { name: name.clone(), usage: (*usage).into() };
        Metrics { containers: Some(measured.used.iter().map(one).collect()), ..Metrics::of(pod, now, measured) }
    }

    /// The same as programs know it, if it is a pod's.
    pub fn pod(&self) -> Option<PodUsage> {
        let used = self.containers.as_ref()?.iter().map(|one| (one.name.clone(), Usage::from(&one.usage))).collect();
        let window = durations::parse(&self.window).ok()?;
        let (namespace, name) = (self.metadata.namespace.clone(), self.metadata.name.clone());
        Some(PodUsage {
            namespace: namespace.to_string(),
            name: name.to_string(),
            measured: Measured { at: self.timestamp.wall(), window, used },
        })
    }

    /// As an object of the API.
    pub fn object(&self, of: Of) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Object<'a> {
            kind: &'static str,
            api_version: String,
            #[serde(flatten)]
            metrics: &'a Metrics,
        }
        Object { kind: of.kind(), api_version: format!("{GROUP}/{VERSION}"), metrics: self }
    }
}

/// Many, as a list of the API.
pub fn list(of: Of, items: &[Metrics]) -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct List<'a> {
        kind: String,
        api_version: String,
        metadata: Map<String, Value>,
        items: &'a [Metrics],
    }
    let kind = format!("{}List", of.kind());
    List { kind, api_version: format!("{GROUP}/{VERSION}"), metadata: Map::new(), items }
}

/// The items of such a list.
pub fn read_list(json: &[u8]) -> Result<Vec<Metrics>, serde_json::Error> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Metrics>,
    }
    serde_json::from_slice::<List>(json).map(|list| list.items)
}

/// Many, as a table.
pub fn table(items: &[Metrics]) -> Value {
    let column = |name: &str| {
        let format = if name == "Name" { "name" } else { "" };
        json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0})
    };
    let row = |one: &Metrics| {
        let containers = one.containers.iter().flatten().map(|one| Usage::from(&one.usage));
        let all = containers.chain(one.usage.iter().map(Usage::from));
        let sum = all.fold(Usage::default(), |sum, one| Usage {
            cpu_nanos: sum.cpu_nanos.saturating_add(one.cpu_nanos),
            memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
        });
        let Amounts { cpu, memory } = sum.into();
        let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": one.metadata});
        json!({"cells": [one.metadata.name, cpu, memory, one.window], "object": object})
    };
    let columns = ["Name", "cpu", "memory", "Window"].map(column);
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns,
        "rows": items.iter().map(row).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::time::Wall;

    #[test]
    fn what_is_told_is_read_as_it_was() {
        let pod =
            json!({"metadata": {"name": "p", "namespace": "x", "labels": {"app": "a"}}, "spec": {"containers": []}});
        let pod = Object::from_value(Kind::Pod, pod).unwrap();
        let used = vec![("c".to_owned(), Usage { cpu_nanos: 1_234_567, memory_bytes: 3 << 20 })];
        let measured = Measured { at: Wall::from_secs(100), window: Duration::from_millis(15_020), used };
        let told = Metrics::of_pod(&pod, Now { wall: Wall::from_secs(101), ..Now::default() }, &measured);
        let object = serde_json::to_value(told.object(Of::Pods)).unwrap();
        assert_eq!(object["metadata"]["creationTimestamp"], "1970-01-01T00:01:41Z");
        assert_eq!((&object["timestamp"], &object["window"]), (&json!("1970-01-01T00:01:40Z"), &json!("15.02s")));
        let usage = json!({"cpu": "1234567n", "memory": "3072Ki"});
        assert_eq!(object["containers"], json!([{"name": "c", "usage": usage}]));
        let read = read_list(&serde_json::to_vec(&list(Of::Pods, std::slice::from_ref(&told))).unwrap()).unwrap();
        let want = PodUsage { namespace: "x".into(), name: "p".into(), measured };
        assert_eq!(read[0].pod(), Some(want));
        assert_eq!(table(&[told])["rows"][0]["cells"], json!(["p", "1234567n", "3072Ki", "15.02s"]));
    }

    #[test]
    fn windows_are_written_as_go_does() {
        assert_eq!([15_000, 1_500, 10].map(|millis| window(Duration::from_millis(millis))), ["15s", "1.5s", "0.01s"]);
    }
}
