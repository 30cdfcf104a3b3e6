//! What a path means.

use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace;
use miniku_core::dialect::miniku;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// Whether the server is well.
    Health,
    /// Which version it is.
    Version,
    /// Numbers for Prometheus.
    Metrics,
    /// Kubernetes' objects.
    Resource(Resource),
    /// GoKube's list of pods without a node.
    Unassigned,
    /// MiniKu's objects.
    Flat {
        /// Of this kind.
        kind: Kind,
        /// One of them; all if absent.
        name: Option<String>,
    },
}

/// Objects, one object, or part of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Of this kind.
    pub kind: Kind,
    /// In this namespace; in all, or without one, if absent.
    pub namespace: Option<String>,
    /// One of them; all if absent, or the one that the body names where a part is meant.
    pub name: Option<String>,
    /// A part of it, such as `status`.
    pub part: Option<String>,
}

/// What a path leads to; nothing if it is none that is served. A closing slash does not matter.
pub fn target(segments: &[&str]) -> Option<Target> {
    let segments = segments.strip_suffix(&[""]).unwrap_or(segments);
    match segments {
        ["healthz" | "livez" | "readyz", ..] | ["api", "v1", "healthz"] => Some(Target::Health),
        ["version"] => Some(Target::Version),
        ["metrics"] => Some(Target::Metrics),
        ["api", "v1", "pods", "unassigned"] => Some(Target::Unassigned),
        // GoKube has no groups.
        ["api", "v1", "replicasets", rest @ ..] => {
            let resource = within("apps", "v1", &[&["replicasets"], rest].concat())?;
            Some(Target::Resource(Resource { namespace: Some(namespace::DEFAULT.into()), ..resource }))
        }
        ["api", "v1", "namespaces", namespace, "bindings"] => Some(Target::Resource(Resource {
            kind: Kind::Pod,
            namespace: Some((*namespace).into()),
            name: None,
            part: Some("binding".into()),
        })),
        ["api", version, rest @ ..] => within("", version, rest).map(Target::Resource),
        ["apis", group, version, rest @ ..] => within(group, version, rest).map(Target::Resource),
        [kind] => Some(Target::Flat { kind: miniku::kind(kind)?, name: None }),
        [kind, name] => Some(Target::Flat { kind: miniku::kind(kind)?, name: Some((*name).into()) }),
        _ => None,
    }
}

fn within(group: &str, version: &str, segments: &[&str]) -> Option<Resource> {
    let (namespace, segments) = match segments {
        ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => {
            (Some(*namespace), rest)
        }
        _ => (None, segments),
    };
    let (plural, name, part) = match segments {
        [plural] => (plural, None, None),
        [plural, name] => (plural, Some(*name), None),
        [plural, name, part] => (plural, Some(*name), Some(*part)),
        _ => return None,
    };
    let kind = Kind::served(group, version, plural)?;
    let row = kind.row();
    if namespace.is_some() && !row.namespaced {
        return None;
    }
    let known = |part: &str| row.subresources.contains(&part) || (part == "status" && row.has_status);
    if part.is_some_and(|part| !known(part)) {
        return None;
    }
    // One object of a kind with namespaces, named without one, is GoKube's way of meaning `default`.
    let namespace = match (namespace, name) {
        (None, Some(_)) if row.namespaced => Some(namespace::DEFAULT),
        _ => namespace,
    };
    Some(Resource {
        kind,
        namespace: namespace.map(Into::into),
        name: name.map(Into::into),
        part: part.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_clients_expect() {
        let check = |path: &str, want: &str| {
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            let got = match target(&segments) {
                None => "none".into(),
                Some(Target::Resource(Resource { kind, namespace, name, part })) => {
                    format!("{kind:?} {namespace:?} {name:?} {part:?}").replace("Some(\"", "").replace("\")", "")
                }
                Some(other) => format!("{other:?}"),
            };
            assert_eq!(got, want, "{path}");
        };
        check("/api/v1/pods", "Pod None None None");
        check("/api/v1/namespaces/x/pods/", "Pod x None None");
        check("/api/v1/namespaces/x/pods/a/status", "Pod x a status");
        check("/api/v1/namespaces/x/pods/a/nonsense", "none");
        check("/api/v1/namespaces/x/bindings", "Pod x None binding");
        check("/api/v1/namespaces", "Namespace None None None");
        check("/api/v1/namespaces/x", "Namespace None x None");
        check("/api/v1/namespaces/x/status", "Namespace None x status");
        check("/api/v1/namespaces/x/finalize", "Namespace None x finalize");
        check("/api/v1/nodes/n", "Node None n None");
        check("/api/v1/namespaces/x/nodes", "none");
        check("/apis/apps/v1/namespaces/x/replicasets/a", "ReplicaSet x a None");
        check("/apis/apps/v2/replicasets", "none");
        check("/api/v1/pods/a", "Pod default a None");
        check("/api/v1/replicasets", "ReplicaSet default None None");
        check("/api/v1/pods/unassigned", "Unassigned");
        check("/api/v1/healthz", "Health");
        check("/readyz", "Health");
        check("/pods", "Flat { kind: Pod, name: None }");
        check("/nodes/node-1", "Flat { kind: Node, name: Some(\"node-1\") }");
        check("/gizmos", "none");
        check("/", "none");
    }
}
