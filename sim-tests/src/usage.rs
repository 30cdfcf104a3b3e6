//! What simulated pods use: what is written on them, and their share of what is written on their workload.
//!
//! A scenario drives load by annotations, which may change while the pods run: `miniku.dev/usage` on a pod is what each of
//! its containers uses, see [`PRETENDED`]; [`LOAD`] on a Deployment or another workload is shared by its running pods; and
//! [`START`] on a pod is what it takes to start.

use crate::truth::Truth;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::quantity::Quantity;
use miniku_core::program::Query;
use miniku_core::time::Duration;
use miniku_core::usage::{Measured, PRETENDED, PodUsage, Usage, WINDOW_MIN, pretended};
use std::collections::BTreeMap;

/// On a workload: how much processor time its pods take together, `2400m`.
pub const LOAD: &str = "miniku.dev/load";

/// On a pod: what its first container uses beside that in the first [`STARTING`] of its life, `3`.
pub const START: &str = "miniku.dev/start-usage";

/// So long a start takes.
const STARTING: Duration = Duration::from_secs(10);

/// Kubelets are read so often.
const WINDOW: Duration = Duration::from_secs(15);

/// What the pods use that match, of nodes that are in touch with the API server.
pub fn measured(truth: &Truth, query: &Query) -> Vec<PodUsage> {
    let runs = |pod: &&Pod| pod.status.phase == PodPhase::Running;
    let is_reached =
        |pod: &&Pod| pod.node().and_then(|node| truth.nodes.get(node)).is_some_and(|node| node.in_touch.is_some());
    let all = truth.disk.objects().of_kind(Kind::Pod);
    let pods: Vec<&Pod> = all.filter(|one| query.matches(one)).filter_map(Object::get::<Pod>).filter(runs).collect();
    // Load is shared by all pods of a workload, whether they match or can be reached.
    let mut sharing: BTreeMap<Key, u64> = BTreeMap::new();
    for pod in truth.all::<Pod>().filter(runs) {
        if let Some(above) = loaded(truth, pod) {
            *sharing.entry(above.key()).or_default() += 1;
        }
    }
    let now = crate::world::WALL_START + Duration::from_nanos(truth.now.nanos());
    let of = |pod: &Pod| {
        let since = pod.status.start_time.map(|start| now.since(start.wall()))?;
        let window = since.min(WINDOW);
        if window < WINDOW_MIN {
            return None;
        }
        let share = loaded(truth, pod).map(|above| {
            let load = above.meta().annotations.get(LOAD).and_then(|load| load.parse::<Quantity>().ok());
            load.map_or(0, |load| load.nano_value()) / sharing.get(&above.key()).copied().unwrap_or(1).max(1)
        });
        let start = pod.metadata.annotations.get(START).and_then(|start| start.parse::<Quantity>().ok());
        let start = start.filter(|_| since < STARTING).map_or(0, |start| start.nano_value());
        let containers = pod.spec.containers.iter().enumerate();
        let used = containers.map(|(nth, container)| {
            let own = match pod.metadata.annotations.contains_key(PRETENDED) || share.is_none() {
                true => pretended(pod, &container.name),
                false => Usage::default(),
            };
            let more = if nth == 0 { share.unwrap_or(0).saturating_add(start) } else { 0 };
            (container.name.to_string(), Usage { cpu_nanos: own.cpu_nanos.saturating_add(more), ..own })
        });
        let measured = Measured { at: now, window, used: used.collect() };
        Some(PodUsage { namespace: pod.metadata.namespace.to_string(), name: pod.metadata.name.to_string(), measured })
    };
    pods.into_iter().filter(is_reached).filter_map(of).collect()
}

/// The workload of a pod that has a load: its controller, or that one's.
fn loaded<'a>(truth: &'a Truth, pod: &Pod) -> Option<&'a Object> {
    let above = |meta: &miniku_core::api::meta::ObjectMeta| {
        let by = meta.controller()?;
        let kind = miniku_core::api::kinds::Kind::named(&by.api_version, &by.kind)?;
        truth.object(&Key::new(kind, &meta.namespace, &by.name)).filter(|found| found.meta().uid == by.uid)
    };
    let has_load = |object: &&Object| object.meta().annotations.contains_key(LOAD);
    let set = above(&pod.metadata)?;
    Some(set).filter(has_load).or_else(|| above(set.meta()).filter(has_load))
}
