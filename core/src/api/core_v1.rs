//! The kinds of the core group on whose fields nothing acts by name: what kubectl shows of them.
//!
//! Source: Kubernetes API reference v1.32; the columns of `pkg/printers/internalversion`.

use crate::api::kinds::Column;
use crate::api::object::Object;
use crate::api::plain::{
    CONTAINERS, CREATED_AT, IMAGES, access_modes, containers, count, entries, equalities, items, or_none, or_unset,
    shown, text,
};
use serde_json::Value;

/// What kubectl shows of config maps.
pub const CONFIG_MAP: &[Column] = &[
    Column::name("Name"),
    Column::new("Data", 0, |object, _| (entries(object, &["data"]) + entries(object, &["binaryData"])).to_string()),
    Column::age(),
];

/// What kubectl shows of secrets.
pub const SECRET: &[Column] = &[
    Column::name("Name"),
    Column::new("Type", 0, |object, _| text(object, &["type"]).into()),
    Column::new("Data", 0, |object, _| entries(object, &["data"]).to_string()),
    Column::age(),
];

/// What kubectl shows of services.
pub const SERVICE: &[Column] = &[
    Column::name("Name"),
    Column::new("Type", 0, |object, _| text(object, &["spec", "type"]).into()),
    Column::new("Cluster-IP", 0, |object, _| or_none(text(object, &["spec", "clusterIP"]))),
    Column::new("External-IP", 0, |object, _| external_ip(object)),
    Column::new("Port(s)", 0, |object, _| ports(object)),
    Column::age(),
    Column::new("Selector", 1, |object, _| equalities(object.at(&["spec", "selector"]))),
];

fn external_ip(service: &Object) -> String {
    let texts = |path: &[&str]| items(service, path).iter().map(|one| shown(Some(one))).collect::<Vec<_>>();
    let given = texts(&["spec", "externalIPs"]).join(",");
    match text(service, &["spec", "type"]) {
        "ExternalName" => text(service, &["spec", "externalName"]).into(),
        "LoadBalancer" => {
            let ingress = items(service, &["status", "loadBalancer", "ingress"]);
            let address = |one: &Value| shown(one.get("ip").or_else(|| one.get("hostname")));
            let all: Vec<String> =
                ingress.iter().map(address).chain([given]).filter(|address| !address.is_empty()).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        _ => or_none(given),
    }
}

fn ports(service: &Object) -> String {
    let port = |port: &Value| match port.get("nodePort").and_then(Value::as_i64).filter(|port| *port > 0) {
        Some(node) => format!("{}:{node}/{}", shown(port.get("port")), shown(port.get("protocol"))),
        None => format!("{}/{}", shown(port.get("port")), shown(port.get("protocol"))),
    };
    or_none(items(service, &["spec", "ports"]).iter().map(port).collect::<Vec<_>>().join(","))
}

/// What kubectl shows of endpoints.
pub const ENDPOINTS: &[Column] = &[
    Column::name("Name"),
    Column::new("Endpoints", 0, |object, _| {
        let list = |subset: &Value, name: &str| subset.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut all = Vec::new();
        for subset in items(object, &["subsets"]) {
            let (addresses, ports) = (list(subset, "addresses"), list(subset, "ports"));
            for address in &addresses {
                let ip = shown(address.get("ip"));
                match ports.is_empty() {
                    true => all.push(ip),
                    false => all.extend(ports.iter().map(|port| format!("{ip}:{}", shown(port.get("port"))))),
                }
            }
        }
        match all.len() {
            0 => "<none>".into(),
            1..=3 => all.join(","),
            more => format!("{} + {} more...", all[..3].join(","), more - 3),
        }
    }),
    Column::age(),
];

/// What kubectl shows of service accounts.
pub const SERVICE_ACCOUNT: &[Column] = &[
    Column::name("Name"),
    Column::new("Secrets", 0, |object, _| items(object, &["secrets"]).len().to_string()),
    Column::age(),
];

/// What kubectl shows of replication controllers.
pub const REPLICATION_CONTROLLER: &[Column] = &[
    Column::name("Name"),
    Column::new("Desired", 0, |object, _| count(object, &["spec", "replicas"]).to_string()),
    Column::new("Current", 0, |object, _| count(object, &["status", "replicas"]).to_string()),
    Column::new("Ready", 0, |object, _| count(object, &["status", "readyReplicas"]).to_string()),
    Column::age(),
    CONTAINERS,
    IMAGES,
    Column::new("Selector", 1, |object, _| equalities(object.at(&["spec", "selector"]))),
];

/// What kubectl shows of pod templates.
pub const POD_TEMPLATE: &[Column] = &[
    Column::name("Name"),
    Column::new("Containers", 0, |object, _| containers(object, &["template"], "name")),
    Column::new("Images", 0, |object, _| containers(object, &["template"], "image")),
    Column::new("Pod Labels", 0, |object, _| equalities(object.at(&["template", "metadata", "labels"]))),
];

/// What kubectl shows of resource quotas.
pub const RESOURCE_QUOTA: &[Column] = &[
    Column::name("Name"),
    Column::age(),
    Column::new("Request", 0, |object, _| quota(object, |resource| !resource.starts_with("limits."))),
    Column::new("Limit", 0, |object, _| quota(object, |resource| resource.starts_with("limits."))),
];

fn quota(object: &Object, shows: fn(&str) -> bool) -> String {
    let hard = object.at(&["status", "hard"]).or_else(|| object.at(&["spec", "hard"])).and_then(Value::as_object);
    let line = |(resource, hard): (&String, &Value)| {
        let used = shown(object.at(&["status", "used", resource]));
        format!("{resource}: {}/{}", if used.is_empty() { "0" } else { &used }, shown(Some(hard)))
    };
    hard.into_iter().flatten().filter(|(resource, _)| shows(resource)).map(line).collect::<Vec<_>>().join(", ")
}

/// What kubectl shows of limit ranges.
pub const LIMIT_RANGE: &[Column] = &[Column::name("Name"), CREATED_AT];

/// What kubectl shows of persistent volumes.
pub const PERSISTENT_VOLUME: &[Column] = &[
    Column::name("Name"),
    Column::new("Capacity", 0, |object, _| shown(object.at(&["spec", "capacity", "storage"]))),
    Column::new("Access Modes", 0, |object, _| access_modes(object, &["spec", "accessModes"])),
    Column::new("Reclaim Policy", 0, |object, _| text(object, &["spec", "persistentVolumeReclaimPolicy"]).into()),
    Column::new("Status", 0, |object, _| volume_phase(object)),
    Column::new("Claim", 0, |object, _| {
        let part = |name| text(object, &["spec", "claimRef", name]);
        if part("name").is_empty() { String::new() } else { format!("{}/{}", part("namespace"), part("name")) }
    }),
    Column::new("StorageClass", 0, |object, _| text(object, &["spec", "storageClassName"]).into()),
    Column::new("VolumeAttributesClass", 0, |object, _| or_unset(text(object, &["spec", "volumeAttributesClassName"]))),
    Column::new("Reason", 0, |object, _| text(object, &["status", "reason"]).into()),
    Column::age(),
    Column::new("VolumeMode", 1, |object, _| or_unset(text(object, &["spec", "volumeMode"]))),
];

/// What kubectl shows of persistent volume claims.
pub const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    Column::name("Name"),
    Column::new("Status", 0, |object, _| volume_phase(object)),
    Column::new("Volume", 0, |object, _| text(object, &["spec", "volumeName"]).into()),
    Column::new("Capacity", 0, |object, _| match text(object, &["spec", "volumeName"]) {
        "" => String::new(),
        _ => shown(object.at(&["status", "capacity", "storage"])),
    }),
    Column::new("Access Modes", 0, |object, _| match text(object, &["spec", "volumeName"]) {
        "" => String::new(),
        _ => access_modes(object, &["status", "accessModes"]),
    }),
    Column::new("StorageClass", 0, |object, _| text(object, &["spec", "storageClassName"]).into()),
    Column::new("VolumeAttributesClass", 0, |object, _| or_unset(text(object, &["spec", "volumeAttributesClassName"]))),
    Column::age(),
    Column::new("VolumeMode", 1, |object, _| or_unset(text(object, &["spec", "volumeMode"]))),
];

fn volume_phase(object: &Object) -> String {
    if object.meta().is_deleting() { "Terminating".into() } else { text(object, &["status", "phase"]).into() }
}
