//! Which objects a command line means: `pods`, `po,rs`, `pod a b`, `pod/a rs/b`, `all`.

use crate::cli::cluster::Cluster;
use crate::cli::error::CliError;
use crate::client::wire;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;

/// Objects of one kind: these, or all if none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Of this kind.
    pub kind: Kind,
    /// With these names.
    pub names: Vec<String>,
    /// In this namespace instead of the command's. Minik8s writes `get pod NAMESPACE/NAME`.
    pub namespace: Option<String>,
}

/// Several kinds may be meant at once, and each kind's name is then said with the object's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selections {
    /// In the order they were named.
    pub list: Vec<Selection>,
    /// Whether output says the kind with each name.
    pub show_kind: bool,
}

/// Reads the words of a command line.
pub fn parse(words: &[String], cluster: &Cluster) -> Result<Selections, CliError> {
    let Some((first, rest)) = words.split_first() else {
        return Err(CliError::Usage("Required resource not specified.".into()));
    };
    if let [name] = rest
        && let Some((namespace, name)) = name.split_once('/')
        && !first.contains('/')
        && let Ok(kind) = cluster.kind(first)
        && kind.row().namespaced
        && Kind::meant(namespace).is_none()
    {
        let selection = Selection { kind, names: vec![name.into()], namespace: Some(namespace.into()) };
        return Ok(Selections { list: vec![selection], show_kind: false });
    }
    if words.iter().any(|word| word.contains('/')) {
        return by_full_names(words, cluster);
    }
    let kinds = cluster.kinds(first)?;
    let names: Vec<String> = rest.to_vec();
    let show_kind = kinds.len() > 1;
    let list = kinds.into_iter().map(|kind| Selection { kind, names: names.clone(), namespace: None }).collect();
    Ok(Selections { list, show_kind })
}

fn by_full_names(words: &[String], cluster: &Cluster) -> Result<Selections, CliError> {
    let mut list: Vec<Selection> = Vec::new();
    for word in words {
        let Some((kind, name)) = word.split_once('/') else {
            return Err(CliError::Usage(
                "there is no need to specify a resource type as a separate argument when passing arguments in \
                 resource/name form (e.g. 'miniku get resource/<resource_name>' instead of 'miniku get resource \
                 resource/<resource_name>'"
                    .into(),
            ));
        };
        if name.is_empty() || name.contains('/') || kind.is_empty() {
            return Err(CliError::Usage(format!(
                "arguments in resource/name form must have a single resource and name, not {word:?}"
            )));
        }
        let kind = cluster.kind(kind)?;
        match list.last_mut().filter(|last| last.kind == kind) {
            Some(last) => last.names.push(name.into()),
            None => list.push(Selection { kind, names: vec![name.into()], namespace: None }),
        }
    }
    let show_kind = list.len() > 1;
    Ok(Selections { list, show_kind })
}

/// The objects of a command line on which something is done one by one: each must be named.
pub fn named(words: &[String], cluster: &Cluster) -> Result<Vec<Key>, CliError> {
    let mut keys = Vec::new();
    for selection in parse(words, cluster)?.list {
        if selection.names.is_empty() {
            return Err(CliError::Usage("resource(s) were provided, but no name was specified".into()));
        }
        let namespace = selection.namespace.as_deref().unwrap_or(&cluster.namespace);
        keys.extend(selection.names.iter().map(|name| wire::key(selection.kind, namespace, name)));
    }
    Ok(keys)
}

/// `pod/x` or `replicaset.apps/x`: how output names an object.
pub fn full_name(kind: Kind, name: &str) -> String {
    format!("{}/{name}", singular(kind))
}

/// `pod` or `replicaset.apps`.
pub fn singular(kind: Kind) -> String {
    let row = kind.row();
    if row.group.is_empty() { row.singular.into() } else { format!("{}.{}", row.singular, row.group) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog::Catalog;

    fn shown(line: &str) -> String {
        let cluster = Cluster::new(":1".parse().unwrap(), None).with_catalog(Catalog::of_table());
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words, &cluster) {
            Err(error) => error.to_string(),
            Ok(selections) => {
                let list = selections.list.iter().map(|one| {
                    let namespace = one.namespace.as_ref().map_or(String::new(), |namespace| format!("@{namespace}"));
                    format!("{:?}[{}]{namespace}", one.kind, one.names.join(" "))
                });
                list.collect::<Vec<_>>().join(" ") + if selections.show_kind { " +kind" } else { "" }
            }
        }
    }

    #[test]
    fn objects_are_named_in_many_ways() {
        let check = |line: &str, want: &str| assert_eq!(shown(line), want, "{line}");
        check("pods", "Pod[]");
        check("po a b", "Pod[a b]");
        check("pods,rs", "Pod[] ReplicaSet[] +kind");
        let all = shown("all");
        assert!(all.starts_with("Pod[] ReplicaSet[] Service[] ") && all.ends_with(" +kind"), "{all}");
        check("pod/a", "Pod[a]");
        check("pod/a pod/b rs/c", "Pod[a b] ReplicaSet[c] +kind");
        check("pod default/a", "Pod[a]@default");
        check("gizmos", "error: the server doesn't have a resource type \"gizmos\"");
        check("podz/a", "error: the server doesn't have a resource type \"podz\"\nDid you mean \"pods\"?");
        assert!(shown("pod pod/a").starts_with("error: there is no need"));
        assert!(shown("pod/a b").starts_with("error: there is no need"));
        assert!(shown("pod/").starts_with("error: arguments in resource/name form"));
        assert!(shown("").starts_with("error: Required resource"));
    }
}
