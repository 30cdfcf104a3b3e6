//! Objects in files, directories or standard input: YAML or JSON, several documents, lists.

use crate::cli::cluster::{Cluster, name, text};
use crate::cli::error::CliError;
use crate::cli::yaml;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where manifests are.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArgs {
    /// A file, a directory of .yaml, .yml and .json files, or - for standard input
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    pub filename: Vec<PathBuf>,
    /// Take a directory's directories too
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// An object as its author wrote it, with its namespace filled in.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its kind.
    pub kind: Kind,
    /// The object.
    pub object: Value,
    /// The file it stands in, or `STDIN`.
    pub source: String,
}

impl Manifest {
    /// Which object it is.
    pub fn key(&self) -> Key {
        Key::new(self.kind, self.namespace(), name(&self.object))
    }

    /// Its namespace; empty for kinds without.
    pub fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap_or_default()
    }
}

/// Reads everything that was named. The first thing that is wrong is told, and nothing is returned then.
pub fn read(files: &FileArgs, cluster: &Cluster) -> Result<Vec<Manifest>, CliError> {
    let mut manifests = Vec::new();
    for path in &files.filename {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|source| failed("read", "standard input", source))?;
            take(&text, "STDIN", cluster, &mut manifests)?;
        } else if path.is_dir() {
            for file in files_of(path, files.recursive)? {
                take_file(&file, cluster, &mut manifests)?;
            }
        } else {
            take_file(path, cluster, &mut manifests)?;
        }
    }
    if manifests.is_empty() {
        return Err(CliError::Usage("no objects passed".into()));
    }
    Ok(manifests)
}

fn failed(what: &str, path: impl Into<PathBuf>, source: std::io::Error) -> CliError {
    CliError::Io { what: what.into(), path: path.into(), source }
}

/// The manifests of a directory, by name.
fn files_of(directory: &Path, recursive: bool) -> Result<Vec<PathBuf>, CliError> {
    let entries = fs::read_dir(directory).map_err(|source| failed("read", directory, source))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|source| failed("read", directory, source))?.path());
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            if recursive {
                files.extend(files_of(&path, recursive)?);
            }
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    Ok(files)
}

fn take_file(path: &Path, cluster: &Cluster, manifests: &mut Vec<Manifest>) -> Result<(), CliError> {
    let text = fs::read_to_string(path).map_err(|source| failed("read", path, source))?;
    take(&text, &path.display().to_string(), cluster, manifests)
}

fn take(text: &str, source: &str, cluster: &Cluster, manifests: &mut Vec<Manifest>) -> Result<(), CliError> {
    for document in yaml::documents(text, source)? {
        add(document, source, cluster, manifests)?;
    }
    Ok(())
}

/// The kind of a file of Minik8s', where it is one that only Minik8s has. It knows no groups: all is `v1`.
fn own_of_minik8s(api_version: &str, name: &str) -> Option<Kind> {
    let own = |kind: &Kind| matches!(kind, Kind::Hpa | Kind::Dns) && kind.row().name == name;
    Kind::rows().map(|(kind, _)| kind).find(own).filter(|_| api_version == "v1")
}

/// What is looked at here must be what it seems; the server looks at the rest.
const STRINGS: [&str; 5] = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/metadata/generateName"];

fn add(mut object: Value, source: &str, cluster: &Cluster, manifests: &mut Vec<Manifest>) -> Result<(), CliError> {
    let invalid = |what: &str| CliError::Usage(format!("error validating {source:?}: error validating data: {what}"));
    if !object.is_object() {
        return Err(invalid("an object was expected, with apiVersion and kind"));
    }
    for path in STRINGS {
        let value = object.pointer(path).unwrap_or(&Value::Null);
        if !value.is_string() && !value.is_null() {
            let field = path[1..].replace('/', ".");
            return Err(invalid(&format!(
                "{field}: {value} where a string is expected; YAML takes yes, y, on, 1 and the like for something else \
                 unless they are quoted"
            )));
        }
    }
    let (api_version, kind_name) = (text(&object["apiVersion"]), text(&object["kind"]));
    match (api_version.is_empty(), kind_name.is_empty()) {
        (true, true) => return Err(invalid("[apiVersion not set, kind not set]")),
        (true, false) => return Err(invalid("apiVersion not set")),
        (false, true) => return Err(invalid("kind not set")),
        (false, false) => {}
    }
    if kind_name.ends_with("List") && object["items"].is_array() {
        let Value::Array(items) = object["items"].take() else { unreachable!("it was an array in the line before") };
        return items.into_iter().try_for_each(|item| add(item, source, cluster, manifests));
    }
    let namespace = text(&object["metadata"]["namespace"]);
    let api_version = match own_of_minik8s(&api_version, &kind_name) {
        Some(kind) => {
            object["apiVersion"] = kind.row().api_version().into();
            kind.row().api_version()
        }
        None => api_version,
    };
    let Some(kind) = cluster.kind_named(&api_version, &kind_name)? else {
        let name = name(&object).to_owned();
        return Err(CliError::NoMatch { name, namespace, source: source.to_owned(), kind: kind_name, api_version });
    };
    if !matches!(object["metadata"], Value::Object(_)) {
        return Err(CliError::Usage(format!("{source}: {kind_name}: metadata is missing or no object")));
    }
    if kind.row().namespaced {
        if namespace.is_empty() {
            object["metadata"]["namespace"] = cluster.namespace.as_str().into();
        } else if cluster.namespace_chosen && namespace != cluster.namespace {
            return Err(CliError::Usage(format!(
                "the namespace from the provided object {namespace:?} does not match the namespace {:?}. \
                 You must pass '--namespace={namespace}' to perform this operation.",
                cluster.namespace
            )));
        }
    }
    manifests.push(Manifest { kind, object, source: source.to_owned() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog::Catalog;

    fn read_text(text: &str, namespace: Option<&str>) -> Result<Vec<String>, String> {
        let cluster =
            Cluster::new("x".parse().unwrap(), namespace.map(str::to_owned)).with_catalog(Catalog::of_table());
        let mut manifests = Vec::new();
        take(text, "f.yaml", &cluster, &mut manifests).map_err(|error| error.to_string())?;
        Ok(manifests.iter().map(|manifest| manifest.key().to_string()).collect())
    }

    #[test]
    fn objects_are_found_wherever_they_stand() {
        let check = |text: &str, want: &[&str]| assert_eq!(read_text(text, None).unwrap(), want);
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
        check(pod, &["pods/default/a"]);
        check(&format!("{pod}---\n{pod}"), &["pods/default/a", "pods/default/a"]);
        check("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}", &["pods/x/a"]);
        check("apiVersion: v1\nkind: Node\nmetadata: {name: a}", &["nodes/a"]);
        let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: b}}";
        check(list, &["replicasets.apps/default/b"]);
        assert_eq!(read_text(pod, Some("y")).unwrap(), ["pods/y/a"]);
    }

    #[test]
    fn mistakes_are_told_with_their_file() {
        let check = |text: &str, namespace, want: &str| {
            let error = read_text(text, namespace).unwrap_err();
            assert!(error.contains(want), "{error}");
        };
        check("a: b", None, "\"f.yaml\": error validating data: [apiVersion not set, kind not set]");
        check("- a", None, "an object was expected");
        check(
            "{apiVersion: apps/v9, kind: Pod, metadata: {name: a}}",
            None,
            "for name: \"a\" namespace: \"\" from \"f.yaml\": no matches for kind \"Pod\" in version \"apps/v9\"",
        );
        check(
            "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}}",
            Some("y"),
            "the namespace from the provided object \"x\" does not match the namespace \"y\"",
        );
        check("{apiVersion: v1, kind: Pod}", None, "metadata is missing");
        let pod = |name: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}}}");
        for (name, is) in [("y", "true"), ("on", "true"), ("No", "false"), ("1", "1"), ("0x1f", "31"), ("1.5", "1.5")] {
            let want = format!("\"f.yaml\": error validating data: metadata.name: {is} where a string is expected");
            check(&pod(name), None, &want);
            assert_eq!(read_text(&pod(&format!("'{name}'")), None).unwrap(), [format!("pods/default/{name}")]);
        }
        check("{apiVersion: 1, kind: Pod, metadata: {name: a}}", None, "apiVersion: 1 where a string");
        check("{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: off}}", None, "metadata.namespace: false");
    }
}
