//! Rules for volumes that outlive pods, for claims to them, and for their classes.
//!
//! Source: `pkg/apis/core/validation`, `ValidatePersistentVolume` and `ValidatePersistentVolumeClaim`;
//! `pkg/apis/storage/validation`; release 1.32.

use super::at::At;
use super::pod::node_selector;
use super::selector::{label_name, selector};
use super::{Rules, resources, text, volume};
use serde_json::Value;

/// Rules for persistent volumes.
pub const PERSISTENT_VOLUME: Rules = Rules { content: persistent_volume, change: Some(volume_stays), ..Rules::ANY };
/// Rules for claims to them.
pub const PERSISTENT_VOLUME_CLAIM: Rules =
    Rules { content: |object| claim(&object.field("spec")), change: Some(claim_stays), ..Rules::ANY };
/// Rules for storage classes.
pub const STORAGE_CLASS: Rules = Rules { content: storage_class, change: Some(class_stays), ..Rules::ANY };

/// How a volume may be mounted. Source: Kubernetes documentation, "Persistent Volumes", access modes.
const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn access_modes(spec: &At, none: &str) {
    let at = spec.field("accessModes");
    if at.is_empty() {
        at.required(none);
    }
    let mut alone = false;
    for mode in spec.items("accessModes") {
        if !ACCESS_MODES.contains(&mode.text()) {
            at.not_supported_value(mode.text(), ACCESS_MODES);
        }
        alone |= mode.text() == "ReadWriteOncePod";
    }
    if alone && spec.items("accessModes").count() > 1 {
        at.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

/// What a persistent volume can be.
const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

fn persistent_volume(object: &At) {
    let spec = object.field("spec");
    access_modes(&spec, "");
    let capacity = spec.field("capacity");
    if capacity.is_empty() {
        capacity.required("");
    } else if !spec.entry("capacity", "storage").is_there() || spec.entries("capacity").count() > 1 {
        capacity.not_supported(&["storage"]);
    }
    spec.entries("capacity").for_each(|(_, amount)| positive(&amount));
    let (many, few) = ("may not specify more than 1 volume type", "must specify a volume type");
    let affinity = spec.field("nodeAffinity");
    if affinity.is_there() && !affinity.field("required").is_there() {
        affinity.field("required").required("must specify required node constraints");
    }
    node_selector(&affinity.field("required"));
    let source = spec.exactly_one(SOURCES, many, few);
    let policy = spec.field("persistentVolumeReclaimPolicy");
    policy.one_of(&["Delete", "Recycle", "Retain"]);
    spec.field("storageClassName").must_be(text::subdomain);
    let Some(source) = source else { return };
    match source.name() {
        "hostPath" => {
            volume::host_path(&source);
            if source.field("path").text() == "/" && policy.text() == "Recycle" {
                policy.forbidden("may not be 'recycle' for a hostPath mount of '/'");
            }
        }
        "nfs" => volume::nfs(&source),
        "local" => {
            if source.field("path").text().is_empty() {
                source.field("path").required("");
            }
            if !affinity.is_there() {
                affinity.required("Local volume requires node affinity");
            }
        }
        "csi" => {
            for name in ["driver", "volumeHandle"] {
                if source.field(name).text().is_empty() {
                    source.field(name).required("");
                }
            }
        }
        _ => {}
    }
}

fn positive(at: &At) {
    if let Some(amount) = resources::amount(at).filter(|amount| amount.is_negative() || amount.is_zero()) {
        at.invalid_value(&amount.to_string().into(), "must be greater than zero");
    }
}

fn volume_stays(new: &At, old: &At) {
    let (new, old) = (new.field("spec"), old.field("spec"));
    if SOURCES.iter().any(|name| new.field(name).value() != old.field(name).value()) {
        new.field("persistentvolumesource").forbidden("spec.persistentvolumesource is immutable after creation");
    }
    new.field("volumeMode").unchanged(&old.field("volumeMode"));
    let affinity = old.field("nodeAffinity");
    if affinity.is_there() && new.field("nodeAffinity").value() != affinity.value() {
        new.field("nodeAffinity").invalid("field is immutable, except for updating from beta label to GA");
    }
}

/// Rules for the spec of a claim.
pub fn claim(spec: &At) {
    access_modes(spec, "at least 1 access mode is required");
    selector(&spec.field("selector"));
    let resources = spec.field("resources");
    let storage = resources.entry("requests", "storage");
    // What is requested is named in short.
    let shown = spec.entry("resources", "storage");
    if !storage.is_there() {
        shown.required("");
    } else if let Some(amount) = resources::amount(&storage).filter(|amount| amount.is_negative() || amount.is_zero()) {
        shown.invalid_value(&amount.to_string().into(), "must be greater than zero");
    }
    spec.field("storageClassName").must_be(text::subdomain);
    spec.field("volumeMode").one_of(&["Block", "Filesystem"]);
    for name in ["dataSource", "dataSourceRef"] {
        let source = spec.field(name);
        if source.is_there() {
            ["kind", "name"].iter().for_each(|name| source.field(name).must_be_there_and(|_| Vec::new()));
        }
    }
}

fn claim_stays(new: &At, old: &At) {
    let (is, was, status) = (new.field("spec"), old.field("spec"), old.field("status"));
    let bound = status.field("phase").text() == "Bound";
    let mut spec = is.value().clone();
    let mut allow = |pointer: &[&str]| {
        let (Some((last, parents)), before) =
            (pointer.split_last(), pointer.iter().try_fold(was.value(), |value, name| value.get(name)))
        else {
            return;
        };
        let parent = parents.iter().try_fold(&mut spec, |value, name| value.get_mut(name));
        let Some(fields) = parent.and_then(Value::as_object_mut) else { return };
        match before {
            Some(before) => drop(fields.insert((*last).into(), before.clone())),
            None => drop(fields.remove(*last)),
        }
    };
    // Said once, by who binds it or knows the default class.
    for name in ["volumeName", "storageClassName"] {
        if was.field(name).is_empty() {
            allow(&[name]);
        }
    }
    allow(&["volumeAttributesClassName"]);
    if bound {
        allow(&["resources", "requests", "storage"]);
    }
    if spec != *was.value() {
        is.forbidden(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        );
    }
    let size = |spec: &At| resources::amount(&spec.field("resources").entry("requests", "storage"));
    let has = resources::amount(&status.entry("capacity", "storage"));
    if let (Some(wished), Some(before)) = (size(&is), size(&was))
        && bound
        && wished < before
        && has.is_none_or(|has| wished <= has)
    {
        let resources = is.field("resources");
        let requests = resources.field("requests");
        requests.field("storage").forbidden("field can not be less than status.capacity");
    }
}

/// Source: `pkg/apis/storage/validation`, `maxProvisionerParameterLen` and its neighbour.
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 << 10;

fn storage_class(object: &At) {
    let provisioner = object.field("provisioner");
    for wrong in text::qualified_name(&provisioner.text().to_lowercase()) {
        provisioner.must(provisioner.text().is_empty(), &wrong);
    }
    let parameters = object.field("parameters");
    if object.entries("parameters").count() > PARAMETERS_MAX {
        parameters.too_long(PARAMETERS_MAX as u64);
    }
    if object.entries("parameters").any(|(name, _)| name.is_empty()) {
        parameters.invalid("field must not be empty.");
    }
    if object.entries("parameters").map(|(name, value)| name.len() + value.text().len()).sum::<usize>()
        > PARAMETERS_BYTES_MAX
    {
        parameters.too_long(PARAMETERS_BYTES_MAX as u64);
    }
    object.field("reclaimPolicy").one_of(&["Delete", "Retain"]);
    object.field("volumeBindingMode").one_of(&["Immediate", "WaitForFirstConsumer"]);
    for term in object.items("allowedTopologies") {
        for one in term.items("matchLabelExpressions") {
            label_name(&one.field("key"));
            if one.field("values").is_empty() {
                one.field("values").required("");
            }
        }
    }
}

fn class_stays(new: &At, old: &At) {
    for name in ["parameters", "provisioner", "reclaimPolicy"] {
        let (is, was) = (new.field(name), old.field(name));
        if is.value() != was.value() && !(is.is_empty() && was.is_empty()) {
            is.forbidden(format!("updates to {name} are forbidden."));
        }
    }
    new.field("volumeBindingMode").unchanged(&old.field("volumeBindingMode"));
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::{Value, json};

    #[test]
    fn persistent_volumes() {
        let volume = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}});
        table(
            Kind::PersistentVolume,
            &volume,
            &[
                ("/spec/capacity", json!({}), &["spec.capacity: Required value"]),
                (
                    "/spec/capacity",
                    json!({"storage": "0"}),
                    &["spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"],
                ),
                ("/spec/accessModes", json!([]), &["spec.accessModes: Required value"]),
                (
                    "/spec/accessModes",
                    json!(["Some"]),
                    &[
                        "spec.accessModes: Unsupported value: \"Some\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                    ],
                ),
                ("/spec/hostPath", Value::Null, &["spec: Required value: must specify a volume type"]),
                (
                    "/spec/nfs",
                    json!({"server": "a", "path": "/"}),
                    &["spec.nfs: Forbidden: may not specify more than 1 volume type"],
                ),
                (
                    "/spec/persistentVolumeReclaimPolicy",
                    json!("Some"),
                    &["spec.persistentVolumeReclaimPolicy: Unsupported value"],
                ),
                (
                    "/spec/nodeAffinity",
                    json!({}),
                    &["spec.nodeAffinity.required: Required value: must specify required node constraints"],
                ),
            ],
        );
        table_of_changes(
            Kind::PersistentVolume,
            &volume,
            &[
                (
                    "/spec/hostPath/path",
                    json!("/other"),
                    &[
                        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
                    ],
                ),
                ("/spec/capacity/storage", json!("2Gi"), &[]),
            ],
        );
    }

    #[test]
    fn claims() {
        let mut claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        table(
            Kind::PersistentVolumeClaim,
            &claim,
            &[
                ("/spec/resources", json!({}), &["spec.resources[storage]: Required value"]),
                (
                    "/spec/resources/requests/storage",
                    json!("0"),
                    &["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
                ),
                (
                    "/spec/accessModes",
                    json!([]),
                    &["spec.accessModes: Required value: at least 1 access mode is required"],
                ),
                (
                    "/spec/accessModes",
                    json!(["ReadWriteOncePod", "ReadOnlyMany"]),
                    &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
                ),
                ("/spec/storageClassName", json!("A"), &["spec.storageClassName: Invalid value: \"A\""]),
            ],
        );
        let fixed = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        table_of_changes(
            Kind::PersistentVolumeClaim,
            &claim,
            &[
                ("/spec/accessModes", json!(["ReadOnlyMany"]), &[fixed]),
                ("/spec/resources/requests/storage", json!("2Gi"), &[fixed]),
                ("/spec/volumeName", json!("v"), &[]),
            ],
        );
        claim["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
        table_of_changes(
            Kind::PersistentVolumeClaim,
            &claim,
            &[
                ("/spec/resources/requests/storage", json!("2Gi"), &[]),
                (
                    "/spec/resources/requests/storage",
                    json!("1Mi"),
                    &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
                ),
            ],
        );
    }

    #[test]
    fn storage_classes() {
        let class = json!({"metadata": {"name": "c"}, "provisioner": "example.com/disks", "parameters": {"a": "b"}});
        table(
            Kind::StorageClass,
            &class,
            &[
                ("/provisioner", Value::Null, &["provisioner: Required value"]),
                ("/provisioner", json!("a b"), &["provisioner: Invalid value: \"a b\": name part must"]),
                (
                    "/reclaimPolicy",
                    json!("Recycle"),
                    &["reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\""],
                ),
                ("/volumeBindingMode", json!("Some"), &["volumeBindingMode: Unsupported value: \"Some\""]),
            ],
        );
        table_of_changes(
            Kind::StorageClass,
            &class,
            &[
                ("/parameters/a", json!("c"), &["parameters: Forbidden: updates to parameters are forbidden."]),
                (
                    "/provisioner",
                    json!("example.com/other"),
                    &["provisioner: Forbidden: updates to provisioner are forbidden."],
                ),
                (
                    "/volumeBindingMode",
                    json!("WaitForFirstConsumer"),
                    &["volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable"],
                ),
                ("/allowVolumeExpansion", json!(true), &[]),
            ],
        );
    }
}
