//! Networks, storage and permissions: what kubectl shows of them.
//!
//! Source: Kubernetes API reference v1.32, groups networking, discovery, storage, rbac and apiregistration; the columns of
//! `pkg/printers/internalversion`.

use crate::api::kinds::Column;
use crate::api::object::Object;
use crate::api::plain::{CREATED_AT, items, or_none, or_unset, selector, shown, text};
use serde_json::Value;

/// What kubectl shows of endpoint slices.
pub const ENDPOINT_SLICE: &[Column] = &[
    Column::name("Name"),
    Column::new("AddressType", 0, |object, _| text(object, &["addressType"]).into()),
    Column::new("Ports", 0, |object, _| {
        or_unset(first_three(items(object, &["ports"]).iter().map(|port| shown(port.get("port")))))
    }),
    Column::new("Endpoints", 0, |object, _| {
        let addresses = |one: &Value| one.get("addresses").and_then(Value::as_array).cloned().unwrap_or_default();
        let all = items(object, &["endpoints"]).iter().flat_map(addresses).map(|address| shown(Some(&address)));
        or_unset(first_three(all))
    }),
    Column::age(),
];

fn first_three(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    match all.len() {
        0..=3 => all.join(","),
        more => format!("{} + {} more...", all[..3].join(","), more - 3),
    }
}

/// What kubectl shows of ingresses.
pub const INGRESS: &[Column] =
    &[
        Column::name("Name"),
        Column::new("Class", 0, |object, _| or_none(text(object, &["spec", "ingressClassName"]))),
        Column::new("Hosts", 0, |object, _| {
            let hosts = items(object, &["spec", "rules"]).iter().map(|rule| shown(rule.get("host")));
            let hosts: Vec<String> = hosts.filter(|host| !host.is_empty()).collect();
            if hosts.is_empty() { "*".into() } else { first_three(hosts.into_iter()) }
        }),
        Column::new("Address", 0, |object, _| {
            let address = |one: &Value| shown(one.get("ip").or_else(|| one.get("hostname")));
            items(object, &["status", "loadBalancer", "ingress"]).iter().map(address).collect::<Vec<_>>().join(",")
        }),
        Column::new("Ports", 0, |object, _| {
            if items(object, &["spec", "tls"]).is_empty() { "80".into() } else { "80, 443".into() }
        }),
        Column::age(),
    ];

/// What kubectl shows of ingress classes.
pub const INGRESS_CLASS: &[Column] = &[
    Column::name("Name"),
    Column::new("Controller", 0, |object, _| text(object, &["spec", "controller"]).into()),
    Column::new("Parameters", 0, |object, _| {
        let part = |name| text(object, &["spec", "parameters", name]);
        match (part("apiGroup"), part("kind"), part("name")) {
            (_, "", _) => "<none>".into(),
            ("", kind, name) => format!("{kind}/{name}"),
            (group, kind, name) => format!("{kind}.{group}/{name}"),
        }
    }),
    Column::age(),
];

/// What kubectl shows of policies of admission.
pub const ADMISSION_POLICY: &[Column] = &[
    Column::name("Name"),
    Column::new("Validations", 0, |object, _| items(object, &["spec", "validations"]).len().to_string()),
    Column::new("ParamKind", 0, |object, _| {
        let part = |name| text(object, &["spec", "paramKind", name]);
        match part("kind") {
            "" => "<unset>".into(),
            kind => format!("{}/{kind}", part("apiVersion")),
        }
    }),
    Column::age(),
];

/// What kubectl shows of where such policies hold.
pub const ADMISSION_POLICY_BINDING: &[Column] = &[
    Column::name("Name"),
    Column::new("PolicyName", 0, |object, _| text(object, &["spec", "policyName"]).into()),
    Column::new("ParamRef", 0, |object, _| {
        let part = |name| text(object, &["spec", "paramRef", name]);
        match (part("namespace"), part("name")) {
            (_, "") => "<unset>".into(),
            ("", name) => name.into(),
            (namespace, name) => format!("{namespace}/{name}"),
        }
    }),
    Column::age(),
];

/// What kubectl shows of configurations of webhooks.
pub const WEBHOOKS: &[Column] = &[
    Column::name("Name"),
    Column::new("Webhooks", 0, |object, _| items(object, &["webhooks"]).len().to_string()),
    Column::age(),
];

/// What kubectl shows of ways to run pods.
pub const RUNTIME_CLASS: &[Column] =
    &[Column::name("Name"), Column::new("Handler", 0, |object, _| text(object, &["handler"]).into()), Column::age()];

/// What kubectl shows of storage drivers.
pub const CSI_DRIVER: &[Column] = &[
    Column::name("Name"),
    Column::new("AttachRequired", 0, |object, _| shown(object.at(&["spec", "attachRequired"]))),
    Column::new("PodInfoOnMount", 0, |object, _| shown(object.at(&["spec", "podInfoOnMount"]))),
    Column::new("StorageCapacity", 0, |object, _| shown(object.at(&["spec", "storageCapacity"]))),
    Column::new("TokenRequests", 0, |object, _| {
        let audiences = items(object, &["spec", "tokenRequests"]).iter().map(|one| shown(one.get("audience")));
        or_unset(audiences.collect::<Vec<_>>().join(","))
    }),
    Column::new("RequiresRepublish", 0, |object, _| shown(object.at(&["spec", "requiresRepublish"]))),
    Column::new("Modes", 0, |object, _| {
        let modes = items(object, &["spec", "volumeLifecycleModes"]).iter().map(|mode| shown(Some(mode)));
        modes.collect::<Vec<_>>().join(",")
    }),
    Column::age(),
];

/// What kubectl shows of the storage drivers of a node.
pub const CSI_NODE: &[Column] = &[
    Column::name("Name"),
    Column::new("Drivers", 0, |object, _| items(object, &["spec", "drivers"]).len().to_string()),
    Column::age(),
];

/// What kubectl shows of volumes that are attached to nodes.
pub const VOLUME_ATTACHMENT: &[Column] = &[
    Column::name("Name"),
    Column::new("Attacher", 0, |object, _| text(object, &["spec", "attacher"]).into()),
    Column::new("PV", 0, |object, _| text(object, &["spec", "source", "persistentVolumeName"]).into()),
    Column::new("Node", 0, |object, _| text(object, &["spec", "nodeName"]).into()),
    Column::new("Attached", 0, |object, _| shown(object.at(&["status", "attached"]))),
    Column::age(),
];

/// What kubectl shows of network policies.
pub const NETWORK_POLICY: &[Column] = &[
    Column::name("Name"),
    Column::new("Pod-Selector", 0, |object, _| selector(object.at(&["spec", "podSelector"]))),
    Column::age(),
];

/// What is shown of Minik8s' domain names.
pub const DNS: &[Column] = &[
    Column::name("Name"),
    Column::new("Hostname", 0, |object, _| text(object, &["spec", "hostname"]).into()),
    Column::new("Paths", 0, |object, _| {
        items(object, &["spec", "paths"]).iter().map(|path| shown(path.get("urlPath"))).collect::<Vec<_>>().join(",")
    }),
    Column::age(),
];

/// What kubectl shows of storage classes.
pub const STORAGE_CLASS: &[Column] = &[
    Column::new("Name", 0, |object, _| {
        let is_default = object.meta().annotations.get("storageclass.kubernetes.io/is-default-class");
        let mark = if is_default.is_some_and(|set| set == "true") { " (default)" } else { "" };
        format!("{}{mark}", object.meta().name)
    }),
    Column::new("Provisioner", 0, |object, _| text(object, &["provisioner"]).into()),
    Column::new("ReclaimPolicy", 0, |object, _| text(object, &["reclaimPolicy"]).into()),
    Column::new("VolumeBindingMode", 0, |object, _| text(object, &["volumeBindingMode"]).into()),
    Column::new("AllowVolumeExpansion", 0, |object, _| {
        object.at(&["allowVolumeExpansion"]).and_then(Value::as_bool).unwrap_or(false).to_string()
    }),
    Column::age(),
];

/// What kubectl shows of roles and cluster roles.
pub const ROLE: &[Column] = &[Column::name("Name"), CREATED_AT];

/// What kubectl shows of role bindings and cluster role bindings.
pub const ROLE_BINDING: &[Column] = &[
    Column::name("Name"),
    Column::new("Role", 0, |object, _| {
        format!("{}/{}", text(object, &["roleRef", "kind"]), text(object, &["roleRef", "name"]))
    }),
    Column::age(),
    Column::new("Users", 1, |object, _| subjects(object, "User")),
    Column::new("Groups", 1, |object, _| subjects(object, "Group")),
    Column::new("ServiceAccounts", 1, |object, _| subjects(object, "ServiceAccount")),
];

fn subjects(binding: &Object, kind: &str) -> String {
    let of_kind =
        items(binding, &["subjects"]).iter().filter(|one| one.get("kind").and_then(Value::as_str) == Some(kind));
    let name = |one: &Value| match kind {
        "ServiceAccount" => format!("{}/{}", shown(one.get("namespace")), shown(one.get("name"))),
        _ => shown(one.get("name")),
    };
    of_kind.map(name).collect::<Vec<_>>().join(", ")
}

/// What kubectl shows of API services.
pub const API_SERVICE: &[Column] = &[
    Column::name("Name"),
    Column::new("Service", 0, |object, _| match text(object, &["spec", "service", "name"]) {
        "" => "Local".into(),
        name => format!("{}/{name}", text(object, &["spec", "service", "namespace"])),
    }),
    Column::new("Available", 0, |object, _| {
        let mut conditions = items(object, &["status", "conditions"]).iter();
        let available = conditions.rfind(|one| one.get("type").and_then(Value::as_str) == Some("Available"));
        available.map_or("Unknown".into(), |one| shown(one.get("status")))
    }),
    Column::age(),
];
