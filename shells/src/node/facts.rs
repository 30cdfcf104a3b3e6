//! What this machine is.

use miniku_core::api::node::{ContainerImage, NodeInfo};
use miniku_core::kubelet::node::Facts;
use nix::sys::utsname::uname;
use std::fs;

/// How many pods a node takes. Source: Kubernetes, kubelet `maxPods`, 110; namespaces and cgroups carry more.
const PODS_MAX: u64 = 500;

/// How much of the machine is one node's.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// One of so many equal parts.
    pub of: u32,
}

/// What the node is. What the machine does not tell is left empty.
pub fn facts(name: &str, runtime: &str, address: &str, kubelet_port: Option<u16>, share: Share) -> Facts {
    let text = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_matches(['"', ' ', '=', ':', '\t']).to_owned()).unwrap_or_default()
    };
    let machine = uname().ok();
    let kernel = machine.as_ref().map(|one| one.release().to_string_lossy().into_owned()).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let memory_kib: u64 =
        field(&text("/proc/meminfo"), "MemTotal").trim_end_matches("kB").trim().parse().unwrap_or_default();
    let parts = u64::from(share.of.max(1));
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let info = NodeInfo {
        machine_id: text("/etc/machine-id").into(),
        boot_id: text("/proc/sys/kernel/random/boot_id").into(),
        kernel_version: kernel.into(),
        os_image: field(&text("/etc/os-release"), "PRETTY_NAME").into(),
        container_runtime_version: format!("{runtime}://{}", env!("CARGO_PKG_VERSION")).into(),
        kubelet_version: format!("{}+miniku-{}", crate::api::VERSION, env!("CARGO_PKG_VERSION")).into(),
        operating_system: std::env::consts::OS.into(),
        architecture: architecture.into(),
        ..Default::default()
    };
    Facts {
        addresses: vec![("InternalIP".into(), address.into()), ("Hostname".into(), name.into())],
        kubelet_port,
        cpu_milli: processors * 1000 / parts,
        memory_bytes: memory_kib * 1024 / parts,
        pods: PODS_MAX,
        info,
        labels: [
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", std::env::consts::OS),
            ("kubernetes.io/arch", architecture),
        ]
        .map(|(key, value)| (key, value.into()))
        .into(),
        images: vec![ContainerImage {
            names: miniku_runtime::images::NAMES.map(Into::into).into(),
            size_bytes: i64::try_from(miniku_runtime::images::size()).ok(),
            ..Default::default()
        }],
    }
}
