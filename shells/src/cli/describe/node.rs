//! A node, what it has, and who is on it.

use super::meta::{annotations, field, labels, or_none, time};
use crate::cli::print;
use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::Lease;
use miniku_core::api::meta::{MicroTime, Time};
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::quantity::{Amounts, Quantity};
use miniku_core::time::Human;
use std::fmt::Write;

/// All about a node but its events.
pub fn describe(text: &mut String, object: &Object, lease: Option<&Object>, pods: &[Object]) {
    let Some(node) = object.get::<Node>() else { return };
    let roles = Kind::Node.row().columns.iter().find(|column| column.name == "Roles");
    field(text, "Name", &node.metadata.name);
    field(text, "Roles", &roles.map_or("<none>".into(), |column| (column.cell)(object, print::now())));
    labels(text, "Labels", &node.metadata.labels);
    annotations(text, &node.metadata.annotations);
    field(text, "CreationTimestamp", &time(node.metadata.creation_timestamp));
    field(text, "Unschedulable", if node.spec.unschedulable { "true" } else { "false" });
    text.push_str("Lease:\n");
    let lease = lease.and_then(|lease| lease.get::<Lease>()).map(|lease| &lease.spec);
    let holder = lease.and_then(|lease| lease.holder_identity.as_deref()).unwrap_or("<unset>");
    let _ = writeln!(text, "  HolderIdentity:\t{holder}");
    let at = |at: Option<MicroTime>| at.map_or("<unset>".into(), |at| time(Some(Time::of(at.wall()))));
    let _ = writeln!(text, "  AcquireTime:\t{}", at(lease.and_then(|lease| lease.acquire_time)));
    let _ = writeln!(text, "  RenewTime:\t{}", at(lease.and_then(|lease| lease.renew_time)));
    if !node.status.conditions.is_empty() {
        text.push_str("Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n");
        text.push_str("  ----\t------\t-----------------\t------------------\t------\t-------\n");
        for one in &node.status.conditions {
            let (beat, changed) = (time(one.last_heartbeat_time), time(one.last_transition_time));
            let (kind, status) = (&one.kind, &one.status);
            let _ = writeln!(text, "  {kind}\t{status} \t{beat}\t{changed}\t{}\t{}", one.reason, one.message);
        }
    }
    text.push_str("Addresses:\n");
    for address in &node.status.addresses {
        let _ = writeln!(text, "  {}:\t{}", address.kind, address.address);
    }
    amounts(text, "Capacity", &node.status.capacity);
    amounts(text, "Allocatable", &node.status.allocatable);
    let info = &node.status.node_info;
    text.push_str("System Info:\n");
    for (name, value) in [
        ("Machine ID", &info.machine_id),
        ("System UUID", &info.system_uuid),
        ("Boot ID", &info.boot_id),
        ("Kernel Version", &info.kernel_version),
        ("OS Image", &info.os_image),
        ("Operating System", &info.operating_system),
        ("Architecture", &info.architecture),
        ("Container Runtime Version", &info.container_runtime_version),
        ("Kubelet Version", &info.kubelet_version),
    ] {
        let _ = writeln!(text, "  {name}:\t{value}");
    }
    if !node.spec.pod_cidr.is_empty() {
        field(text, "PodCIDR", or_none(&node.spec.pod_cidr));
    }
    describe_pods(text, node, pods);
}

fn amounts(text: &mut String, name: &str, amounts: &Amounts) {
    let _ = writeln!(text, "{name}:");
    for (resource, amount) in amounts {
        let _ = writeln!(text, "  {resource}:\t{amount}");
    }
}

fn describe_pods(text: &mut String, node: &Node, pods: &[Object]) {
    let pods: Vec<&Pod> = pods
        .iter()
        .filter_map(|pod| pod.get::<Pod>())
        .filter(|pod| pod.node() == Some(&node.metadata.name) && !pod.status.phase.is_final())
        .collect();
    let _ = writeln!(text, "Non-terminated Pods:\t({} in total)", pods.len());
    text.push_str("  Namespace\tName\tCPU Requests\tMemory Requests\tAge\n");
    text.push_str("  ---------\t----\t------------\t---------------\t---\n");
    let now = print::now();
    let share = |part: u64, name: &str, amount: fn(&Quantity) -> u64| {
        let whole = node.status.allocatable.get(name).map_or(0, amount);
        part.saturating_mul(100).checked_div(whole).unwrap_or(0)
    };
    let (mut cpu_sum, mut memory_sum) = (0_u64, 0_u64);
    for pod in pods {
        let (cpu, memory) = pod.spec.requests();
        (cpu_sum, memory_sum) = (cpu_sum.saturating_add(cpu), memory_sum.saturating_add(memory));
        let age = pod.metadata.creation_timestamp;
        let age = age.map_or("<unknown>".into(), |at| Human(now.wall.since(at.wall())).to_string());
        let _ = writeln!(
            text,
            "  {}\t{}\t{} ({}%)\t{} ({}%)\t{age}",
            pod.metadata.namespace,
            pod.metadata.name,
            milli(cpu),
            share(cpu, "cpu", Quantity::milli_value),
            bytes(memory),
            share(memory, "memory", Quantity::value),
        );
    }
    text.push_str("Allocated resources:\n  Resource\tRequests\n  --------\t--------\n");
    let _ = writeln!(text, "  cpu\t{} ({}%)", milli(cpu_sum), share(cpu_sum, "cpu", Quantity::milli_value));
    let _ = writeln!(text, "  memory\t{} ({}%)", bytes(memory_sum), share(memory_sum, "memory", Quantity::value));
}

fn milli(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Bytes with the largest binary unit that leaves a whole number.
fn bytes(bytes: u64) -> String {
    let units = [(1_u64 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let unit = units.iter().find(|(size, _)| bytes > 0 && bytes.is_multiple_of(*size));
    unit.map_or(bytes.to_string(), |(size, unit)| format!("{}{unit}", bytes / size))
}
