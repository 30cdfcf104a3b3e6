//! Rules for volumes: what they are made of, and where they are mounted.
//!
//! Source: `pkg/apis/core/validation/validation.go`, `ValidateVolumes` and `ValidateVolumeMounts`, release 1.32.

use super::at::At;
use super::pod::{field_ref, resource_ref};
use super::{resources, storage, text};
use std::collections::BTreeSet;

/// What a volume can be.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flexVolume",
    "configMap",
    "persistentVolumeClaim",
    "cephfs",
    "rbd",
    "cinder",
    "fc",
    "flocker",
    "downwardAPI",
    "azureFile",
    "azureDisk",
    "vsphereVolume",
    "quobyte",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "projected",
    "csi",
    "ephemeral",
    "image",
];

/// Rules for the volumes of a pod. Gives their names.
pub fn volumes<'v>(spec: &At<'_, 'v>) -> BTreeSet<&'v str> {
    let mut names = BTreeSet::new();
    for volume in spec.items("volumes") {
        let name = volume.field("name");
        name.must_be(text::label);
        if !name.text().is_empty() && !names.insert(name.text()) {
            name.duplicate();
        }
        source(&volume);
    }
    names
}

const MANY: &str = "may not specify more than 1 volume type";

fn source(volume: &At) {
    let Some(source) = volume.exactly_one(SOURCES, MANY, "must specify a volume type") else { return };
    match source.name() {
        "emptyDir" => {
            let limit = source.field("sizeLimit");
            if resources::amount(&limit).is_some_and(|limit| limit.is_negative()) {
                limit.forbidden("SizeLimit field must be a valid resource quantity");
            }
        }
        "hostPath" => host_path(&source),
        "configMap" => files(&source, "name"),
        "secret" => files(&source, "secretName"),
        "downwardAPI" => {
            mode(&source.field("defaultMode"));
            source.items("items").for_each(|item| downward(&item));
        }
        "projected" => {
            mode(&source.field("defaultMode"));
            source.items("sources").for_each(|part| projection(&part));
        }
        "persistentVolumeClaim" => must_name(&source, "claimName"),
        "nfs" => nfs(&source),
        "csi" => must_name(&source, "driver"),
        "ephemeral" => {
            let template = source.field("volumeClaimTemplate");
            if template.is_there() {
                storage::claim(&template.field("spec"));
            } else {
                template.required("");
            }
        }
        "iscsi" => ["targetPortal", "iqn"].iter().for_each(|name| must_name(&source, name)),
        "glusterfs" => ["endpoints", "path"].iter().for_each(|name| must_name(&source, name)),
        "gcePersistentDisk" => must_name(&source, "pdName"),
        "awsElasticBlockStore" | "cinder" => must_name(&source, "volumeID"),
        "flexVolume" => must_name(&source, "driver"),
        "azureDisk" => ["diskName", "diskURI"].iter().for_each(|name| must_name(&source, name)),
        "azureFile" => ["secretName", "shareName"].iter().for_each(|name| must_name(&source, name)),
        "gitRepo" => must_name(&source, "repository"),
        "vsphereVolume" => must_name(&source, "volumePath"),
        _ => {}
    }
}

fn must_name(source: &At, name: &str) {
    let field = source.field(name);
    if field.text().is_empty() {
        field.required("");
    }
}

/// A path of the node.
pub fn host_path(at: &At) {
    must_name(at, "path");
    no_backsteps(&at.field("path"));
    at.field("type").one_of(&[
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ]);
}

/// A directory of a server.
pub fn nfs(at: &At) {
    must_name(at, "server");
    must_name(at, "path");
    let path = at.field("path");
    path.must(path.text().is_empty() || path.text().starts_with('/'), "must be an absolute path");
}

/// The bits of a mode are these. Source: chmod(2), without what is set beside the nine.
fn mode(at: &At) {
    if at.number().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        at.invalid("must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// Files that are made of the entries of something.
fn files(at: &At, name: &str) {
    must_name(at, name);
    mode(&at.field("defaultMode"));
    entries_as_files(at);
}

fn entries_as_files(at: &At) {
    for item in at.items("items") {
        must_name(&item, "key");
        file_path(&item.field("path"));
        mode(&item.field("mode"));
    }
}

/// A path below a volume's own.
fn file_path(at: &At) {
    if at.text().is_empty() {
        return at.required("");
    }
    descending(at);
    if at.text().starts_with("..") && !at.text().starts_with("../") && at.text() != ".." {
        at.invalid("must not start with '..'");
    }
}

fn descending(at: &At) {
    at.must(!at.text().starts_with('/'), "must be a relative path");
    no_backsteps(at);
}

fn no_backsteps(at: &At) {
    at.must(!at.text().split('/').any(|part| part == ".."), "must not contain '..'");
}

/// Fields of a pod that a file can hold.
///
/// Source: `pkg/apis/core/validation`, `validVolumeDownwardAPIFieldPathExpressions`.
const FOR_FILES: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn downward(at: &At) {
    file_path(&at.field("path"));
    let (field, resource) = (at.field("fieldRef"), at.field("resourceFieldRef"));
    match (field.is_there(), resource.is_there()) {
        (true, true) => {
            let rule = "fieldRef and resourceFieldRef can not be specified simultaneously";
            at.invalid_value(&"resource".into(), rule);
        }
        (false, false) => at.required("one of fieldRef and resourceFieldRef is required"),
        _ => {}
    }
    field_ref(&field, FOR_FILES);
    resource_ref(&resource, true);
    mode(&at.field("mode"));
}

fn projection(at: &At) {
    let parts = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"];
    let mut there = parts.iter().map(|name| at.field(name)).filter(At::is_there);
    let Some(part) = there.next() else { return };
    there.for_each(|another| another.forbidden(MANY));
    match part.name() {
        "secret" | "configMap" => {
            must_name(&part, "name");
            entries_as_files(&part);
        }
        "downwardAPI" => part.items("items").for_each(|item| downward(&item)),
        "serviceAccountToken" => {
            let seconds = part.field("expirationSeconds");
            if seconds.number().is_some_and(|seconds| seconds < 600) {
                seconds.invalid("may not specify a duration less than 10 minutes");
            }
            file_path(&part.field("path"));
        }
        _ => file_path(&part.field("path")),
    }
}

/// Rules for where a container has volumes.
pub fn mounts(container: &At, volumes: &BTreeSet<&str>) {
    let mut paths = BTreeSet::new();
    for at in container.items("volumeMounts") {
        let (name, path) = (at.field("name"), at.field("mountPath"));
        if !name.text().is_empty() && !volumes.contains(name.text()) {
            name.not_found();
        }
        if !path.text().is_empty() && !paths.insert(path.text()) {
            path.invalid("must be unique");
        }
        let (part, expression) = (at.field("subPath"), at.field("subPathExpr"));
        descending(&part);
        descending(&expression);
        if !part.text().is_empty() && !expression.text().is_empty() {
            expression.invalid("subPathExpr and subPath are mutually exclusive");
        }
        let propagation = at.field("mountPropagation");
        if propagation.text() == "Bidirectional" && !container.field("securityContext").field("privileged").is_true() {
            propagation.forbidden("Bidirectional mount propagation is available only to privileged containers");
        }
    }
    let mut devices = BTreeSet::new();
    for at in container.items("volumeDevices") {
        let (name, path) = (at.field("name"), at.field("devicePath"));
        if !name.text().is_empty() && !volumes.contains(name.text()) {
            name.not_found();
        }
        no_backsteps(&path);
        if path.text().is_empty() {
            path.required("");
        } else if !devices.insert(path.text()) {
            path.invalid("must be unique");
        } else if paths.contains(path.text()) {
            path.invalid("must not already exist as a path in volumeMounts");
        }
    }
}
