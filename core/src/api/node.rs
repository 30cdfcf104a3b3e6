//! Node: a machine, or something that pretends to be one, with a kubelet.
//!
//! Source: Kubernetes API reference v1.32, "Node"; documentation, "Nodes".

use crate::api::kinds::Column;
use crate::api::meta::{ObjectMeta, Time};
use crate::api::object::Object;
use crate::api::quantity::Amounts;
use crate::api::taint::Taint;
use crate::api::text::Text;
use crate::api_struct;

api_struct! {
    /// A node.
    pub struct Node {
        /// Names, identity, versions, labels.
        metadata "metadata" always: ObjectMeta,
        /// What is wished of it.
        spec "spec" always: NodeSpec,
        /// What its kubelet and the node lifecycle controller say of it.
        status "status" always: NodeStatus,
    }
}

api_struct! {
    /// What is wished of a node.
    pub struct NodeSpec {
        /// No new pods are bound to it (cordoned).
        unschedulable "unschedulable": bool,
        /// What keeps pods away that do not tolerate it.
        taints "taints": Vec<Taint>,
        /// Its name for whoever provides the machine.
        provider_id "providerID": Text,
        /// The address range of its pods.
        pod_cidr "podCIDR": Text,
    }
}

api_struct! {
    /// What is known of a node.
    pub struct NodeStatus {
        /// What it has: `cpu`, `memory`, `pods`.
        capacity "capacity": Amounts,
        /// What pods may request of that.
        allocatable "allocatable": Amounts,
        /// `Ready` and the like.
        conditions "conditions": Vec<NodeCondition>,
        /// Where it is reached.
        addresses "addresses": Vec<NodeAddress>,
        /// Where its kubelet listens.
        daemon_endpoints "daemonEndpoints": DaemonEndpoints,
        /// What runs on it.
        node_info "nodeInfo": NodeInfo,
        /// Images that are there already.
        images "images": Vec<ContainerImage>,
    }
}

api_struct! {
    /// One aspect of a node, and since when it is so.
    pub struct NodeCondition {
        /// `Ready`.
        kind "type" always: Text,
        /// `True`, `False` or `Unknown`.
        status "status" always: Text,
        /// When it was last confirmed.
        last_heartbeat_time "lastHeartbeatTime": Option<Time>,
        /// When `status` last changed.
        last_transition_time "lastTransitionTime": Option<Time>,
        /// Why, in one word.
        reason "reason": Text,
        /// Why, for people.
        message "message": Text,
    }
}

api_struct! {
    /// One address of a node.
    pub struct NodeAddress {
        /// `Hostname` or `InternalIP`.
        kind "type" always: Text,
        /// The address.
        address "address" always: Text,
    }
}

api_struct! {
    /// An image that a node has.
    pub struct ContainerImage {
        /// What it is called there: `docker.io/library/busybox:latest`.
        names "names": Vec<Text>,
        /// How large it is.
        size_bytes "sizeBytes": Option<i64>,
    }
}

api_struct! {
    /// Where a node's daemons listen.
    pub struct DaemonEndpoints {
        /// The kubelet's HTTP server: logs, and what else needs a pod's insides.
        kubelet_endpoint "kubeletEndpoint": Option<DaemonEndpoint>,
    }
}

api_struct! {
    /// Where one daemon listens.
    pub struct DaemonEndpoint {
        /// The TCP port, on the node's `InternalIP`.
        port "Port" always: i32,
    }
}

api_struct! {
    /// What runs on a node.
    pub struct NodeInfo {
        /// `/etc/machine-id`.
        machine_id "machineID" always: Text,
        /// The machine's own id.
        system_uuid "systemUUID" always: Text,
        /// Changes with each boot.
        boot_id "bootID" always: Text,
        /// `uname -r`.
        kernel_version "kernelVersion" always: Text,
        /// From `/etc/os-release`.
        os_image "osImage" always: Text,
        /// The runtime's name and version.
        container_runtime_version "containerRuntimeVersion" always: Text,
        /// The kubelet's version.
        kubelet_version "kubeletVersion" always: Text,
        /// Deprecated in Kubernetes; its printers still read it.
        kube_proxy_version "kubeProxyVersion" always: Text,
        /// `linux`.
        operating_system "operatingSystem" always: Text,
        /// `amd64`, `arm64`.
        architecture "architecture" always: Text,
    }
}

impl Node {
    /// The condition `Ready`, if there is one.
    pub fn ready(&self) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == "Ready")
    }

    /// Whether the condition `Ready` is true.
    pub fn is_ready(&self) -> bool {
        self.ready().is_some_and(|ready| ready.status == "True")
    }

    /// The address of this type, if there is one.
    pub fn address(&self, kind: &str) -> Option<&str> {
        self.status.addresses.iter().find(|address| address.kind == kind).map(|address| address.address.as_str())
    }
}

/// What kubectl shows of nodes.
pub const COLUMNS: &[Column] = &[
    Column::name("Name"),
    Column::new("Status", 0, |object, _| {
        let node = node(object);
        let ready = match node.ready() {
            Some(ready) if ready.status == "True" => "Ready",
            Some(_) => "NotReady",
            None => "Unknown",
        };
        if node.spec.unschedulable { format!("{ready},SchedulingDisabled") } else { ready.into() }
    }),
    Column::new("Roles", 0, |object, _| {
        let labels = &node(object).metadata.labels;
        let roles: Vec<&str> =
            labels.keys().filter_map(|label| label.strip_prefix("node-role.kubernetes.io/")).collect();
        if roles.is_empty() { "<none>".into() } else { roles.join(",") }
    }),
    Column::age(),
    Column::new("Version", 0, |object, _| node(object).status.node_info.kubelet_version.to_string()),
    Column::new("Internal-IP", 1, |object, _| node(object).address("InternalIP").unwrap_or("<none>").into()),
    Column::new("External-IP", 1, |object, _| node(object).address("ExternalIP").unwrap_or("<none>").into()),
    Column::new("OS-Image", 1, |object, _| or_unknown(&node(object).status.node_info.os_image)),
    Column::new("Kernel-Version", 1, |object, _| or_unknown(&node(object).status.node_info.kernel_version)),
    Column::new("Container-Runtime", 1, |object, _| {
        or_unknown(&node(object).status.node_info.container_runtime_version)
    }),
];

fn node(object: &Object) -> &Node {
    object.get().expect("the table of kinds hands these columns nodes only")
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "<unknown>".into() } else { text.into() }
}
