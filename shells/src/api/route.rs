//! What a path means.

use crate::api::usage::{self, Asked};
use miniku_core::api::kinds::Kind;
use miniku_core::api::served::Served;
use miniku_core::api::{metrics, namespace};
use miniku_core::apiserver::definitions::Definitions;
use miniku_core::apiserver::discovery::{self, Review};
use miniku_core::dialect::miniku;

/// What a path leads to.
pub enum Target {
    /// Whether the server is well.
    Health {
        /// As the path calls it: `readyz`.
        page: String,
        /// In this respect only.
        check: Option<String>,
    },
    /// Which version it is.
    Version,
    /// Numbers for Prometheus.
    Metrics,
    /// What programs decided.
    Decisions,
    /// What is served.
    Discovery(Discovery),
    /// Kubernetes' objects.
    Resource(Resource),
    /// A question that looks like an object.
    Review {
        /// Which one.
        review: &'static Review,
        /// Asked within this namespace.
        namespace: Option<String>,
    },
    /// What nodes or pods use.
    Usage(Asked),
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

/// A page of discovery.
#[derive(Debug, PartialEq, Eq)]
pub enum Discovery {
    /// `/`.
    Root,
    /// `/api`.
    Core,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    Resources(String, String),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiV3,
    /// `/openapi/v3/api/v1` or `/openapi/v3/apis/GROUP/VERSION`.
    OpenApiV3Of(String, String),
}

/// Objects, one object, or part of one.
pub struct Resource {
    /// Of this kind, as it is served there.
    pub served: Served,
    /// In this namespace; in all, or without one, if absent.
    pub namespace: Option<String>,
    /// One of them; all if absent, or the one that the body names where a part is meant.
    pub name: Option<String>,
    /// A part of it, such as `status`.
    pub part: Option<String>,
}

impl Resource {
    /// All objects of a kind with namespaces in `default`, or all of one without.
    pub fn of_kind(kind: Kind) -> Self {
        let namespace = kind.row().namespaced.then(|| namespace::DEFAULT.to_owned());
        Resource { served: Served::kept(kind), namespace, name: None, part: None }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.served.kind
    }
}

/// What a path leads to; nothing if it is none that is served. A closing slash does not matter.
pub fn target(segments: &[&str], definitions: &Definitions) -> Option<Target> {
    let segments = segments.strip_suffix(&[""]).unwrap_or(segments);
    let discovery = |page| Some(Target::Discovery(page));
    match segments {
        [page @ ("healthz" | "livez" | "readyz")] | ["api", "v1", page @ "healthz"] => {
            Some(Target::Health { page: (*page).into(), check: None })
        }
        [page @ ("healthz" | "livez" | "readyz"), check] => {
            Some(Target::Health { page: (*page).into(), check: Some((*check).into()) })
        }
        ["version"] => Some(Target::Version),
        ["metrics"] => Some(Target::Metrics),
        ["decisions"] => Some(Target::Decisions),
        [] => discovery(Discovery::Root),
        ["api"] => discovery(Discovery::Core),
        ["apis"] => discovery(Discovery::Groups),
        ["apis", group] => discovery(Discovery::Group((*group).into())),
        ["api", version] => discovery(Discovery::Resources(String::new(), (*version).into())),
        ["apis", group, version] => discovery(Discovery::Resources((*group).into(), (*version).into())),
        ["openapi", "v2"] => discovery(Discovery::OpenApiV2),
        ["openapi", "v3"] => discovery(Discovery::OpenApiV3),
        ["openapi", "v3", "api", version] => discovery(Discovery::OpenApiV3Of(String::new(), (*version).into())),
        ["openapi", "v3", "apis", group, version] => {
            discovery(Discovery::OpenApiV3Of((*group).into(), (*version).into()))
        }
        ["api", "v1", "pods", "unassigned"] => Some(Target::Unassigned),
        // GoKube has no groups.
        ["api", "v1", "replicasets", rest @ ..] => {
            let resource = within("apps", "v1", &[&["replicasets"], rest].concat(), definitions)?;
            Some(Target::Resource(Resource { namespace: Some(namespace::DEFAULT.into()), ..resource }))
        }
        ["api", "v1", "namespaces", namespace, "bindings"] => Some(Target::Resource(Resource {
            served: Served::kept(Kind::Pod),
            namespace: Some((*namespace).into()),
            name: None,
            part: Some("binding".into()),
        })),
        ["apis", group, version, "namespaces", namespace, plural]
            if discovery::reviewed(group, version, plural).is_some() =>
        {
            let review = discovery::reviewed(group, version, plural)?;
            Some(Target::Review { review, namespace: Some((*namespace).into()) })
        }
        ["apis", group, version, plural] if discovery::reviewed(group, version, plural).is_some() => {
            Some(Target::Review { review: discovery::reviewed(group, version, plural)?, namespace: None })
        }
        ["apis", metrics::GROUP, metrics::VERSION, rest @ ..] => usage::asked(rest).map(Target::Usage),
        ["api", version, rest @ ..] => within("", version, rest, definitions).map(Target::Resource),
        ["apis", group, version, rest @ ..] => within(group, version, rest, definitions).map(Target::Resource),
        [kind] => Some(Target::Flat { kind: miniku::kind(kind)?, name: None }),
        [kind, name] => Some(Target::Flat { kind: miniku::kind(kind)?, name: Some((*name).into()) }),
        _ => None,
    }
}

fn within(group: &str, version: &str, segments: &[&str], definitions: &Definitions) -> Option<Resource> {
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
    let served = definitions.served(group, version, plural)?;
    let row = served.kind.row();
    if namespace.is_some() && !row.namespaced {
        return None;
    }
    if part.is_some_and(|part| !definitions.has_part(&served, part)) {
        return None;
    }
    // One object of a kind with namespaces, named without one, is GoKube's way of meaning `default`.
    let namespace = match (namespace, name) {
        (None, Some(_)) if row.namespaced => Some(namespace::DEFAULT),
        _ => namespace,
    };
    Some(Resource {
        served,
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
            let got = match target(&segments, &Definitions::default()) {
                None => "none".into(),
                Some(Target::Resource(Resource { served: Served { kind, .. }, namespace, name, part })) => {
                    format!("{kind:?} {namespace:?} {name:?} {part:?}").replace("Some(\"", "").replace("\")", "")
                }
                Some(Target::Health { page, check }) => format!("{page} {check:?}"),
                Some(Target::Version) => "Version".into(),
                Some(Target::Metrics) => "Metrics".into(),
                Some(Target::Decisions) => "Decisions".into(),
                Some(Target::Unassigned) => "Unassigned".into(),
                Some(Target::Usage(asked)) => format!("{:?} {:?} {:?}", asked.of, asked.namespace, asked.name),
                Some(Target::Discovery(page)) => format!("{page:?}"),
                Some(Target::Review { review, namespace }) => format!("{} {namespace:?}", review.kind),
                Some(Target::Flat { kind, name }) => format!("Flat {kind:?} {name:?}"),
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
        check("/api/v1/healthz", "healthz None");
        check("/readyz", "readyz None");
        check("/livez/ping", "livez Some(\"ping\")");
        check("/pods", "Flat Pod None");
        check("/nodes/node-1", "Flat Node Some(\"node-1\")");
        check("/", "Root");
        check("/api", "Core");
        check("/apis/apps", "Group(\"apps\")");
        check("/apis/apps/v1", "Resources(\"apps\", \"v1\")");
        check("/openapi/v3/api/v1", "OpenApiV3Of(\"\", \"v1\")");
        check("/apis/autoscaling/v1/namespaces/x/horizontalpodautoscalers/a", "HorizontalPodAutoscaler x a None");
        check("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "SelfSubjectAccessReview None");
        check("/apis/metrics.k8s.io/v1beta1/namespaces/x/pods", "Pods Some(\"x\") None");
        check("/apis/metrics.k8s.io/v1beta1", "Resources(\"metrics.k8s.io\", \"v1beta1\")");
        check("/apis/metrics.k8s.io/v1/pods", "none");
        check("/gizmos", "none");
    }
}
