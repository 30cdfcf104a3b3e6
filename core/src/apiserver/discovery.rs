//! Discovery: what is served where, as clients ask for it before anything else.
//!
//! All of it follows from the table of kinds, the definitions of custom ones, [`REVIEWS`]: requests that look like
//! objects but are answered instead of being stored, and [`metrics`], which are measured.
//!
//! Source: Kubernetes documentation, "The Kubernetes API"; KEP-3352, aggregated discovery; `meta/v1.APIResourceList`.

use crate::api::kinds::{Kind, KindRow};
use crate::api::metrics;
use crate::apiserver::definitions::Definitions;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// One resource at one group and version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// The kind of its objects.
    pub kind: String,
    /// Its name in paths.
    pub plural: String,
    /// What one is called.
    pub singular: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What users type.
    pub short: Vec<String>,
    /// Groups of kinds it is listed with.
    pub categories: Vec<String>,
    /// What can be done with it.
    pub verbs: &'static [&'static str],
    /// Parts of its objects.
    pub parts: Vec<Part>,
}

/// A subresource.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name in paths.
    pub name: &'static str,
    /// Group, version and kind of what is read and written there; the resource's own if empty.
    pub kind: (&'static str, &'static str, &'static str),
    /// What can be done with it.
    pub verbs: &'static [&'static str],
}

/// What can be done with objects that are stored.
const STORED: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The same of those that are not deleted together.
const STORED_ONE_BY_ONE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const WRITTEN: &[&str] = &["get", "patch", "update"];
const STREAMED: &[&str] = &["create", "get"];
const CREATED: &[&str] = &["create"];
const READ: &[&str] = &["get", "list"];
const OWN: (&str, &str, &str) = ("", "", "");

/// The subresources there are, by the names that rows of the table of kinds use.
pub const PARTS: &[Part] = &[
    Part { name: "attach", kind: ("", "v1", "PodAttachOptions"), verbs: STREAMED },
    Part { name: "binding", kind: ("", "v1", "Binding"), verbs: CREATED },
    Part { name: "ephemeralcontainers", kind: OWN, verbs: WRITTEN },
    Part { name: "eviction", kind: ("policy", "v1", "Eviction"), verbs: CREATED },
    Part { name: "exec", kind: ("", "v1", "PodExecOptions"), verbs: STREAMED },
    Part { name: "finalize", kind: OWN, verbs: &["update"] },
    Part { name: "log", kind: OWN, verbs: &["get"] },
    Part { name: "portforward", kind: ("", "v1", "PodPortForwardOptions"), verbs: STREAMED },
    Part { name: "scale", kind: ("autoscaling", "v1", "Scale"), verbs: WRITTEN },
    Part { name: "status", kind: OWN, verbs: WRITTEN },
    Part { name: "token", kind: ("authentication.k8s.io", "v1", "TokenRequest"), verbs: CREATED },
];

/// A request that looks like an object: it is answered, and not stored.
pub struct Review {
    /// Its group.
    pub group: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it is asked within a namespace.
    pub namespaced: bool,
    /// The message of [`crate::schema`] that lists its fields.
    pub message: &'static str,
}

/// All reviews, each in version 1 of its group.
pub const REVIEWS: &[Review] = &[
    review("", "bindings", "Binding", true, "core/v1.Binding"),
    review(
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
        false,
        "authentication/v1.SelfSubjectReview",
    ),
    review("authentication.k8s.io", "tokenreviews", "TokenReview", false, "authentication/v1.TokenReview"),
    review(
        "authorization.k8s.io",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        true,
        "authorization/v1.LocalSubjectAccessReview",
    ),
    review(
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        false,
        "authorization/v1.SelfSubjectAccessReview",
    ),
    review(
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        false,
        "authorization/v1.SelfSubjectRulesReview",
    ),
    review(
        "authorization.k8s.io",
        "subjectaccessreviews",
        "SubjectAccessReview",
        false,
        "authorization/v1.SubjectAccessReview",
    ),
];

const fn review(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    message: &'static str,
) -> Review {
    Review { group, plural, kind, namespaced, message }
}

/// The review that is asked for at a place.
pub fn reviewed(group: &str, version: &str, plural: &str) -> Option<&'static Review> {
    REVIEWS.iter().find(|review| review.group == group && version == "v1" && review.plural == plural)
}

/// The groups in the order in which clients are to try them: the core group first, custom ones last.
///
/// Source: Kubernetes, the priorities of `pkg/controlplane/apiserver/aggregator.go`.
const GROUPS: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    metrics::GROUP,
];

/// A group's name, and its versions with their resources; the preferred version first.
pub type Group = (String, Versions);

/// Versions with their resources.
pub type Versions = Vec<(String, Vec<Resource>)>;

/// Everything that is served, group by group.
pub fn groups(definitions: &Definitions) -> Vec<Group> {
    let mut all: BTreeMap<(usize, String), Versions> = BTreeMap::new();
    for resource in resources(definitions) {
        let order = GROUPS.iter().position(|group| *group == resource.group).unwrap_or(GROUPS.len());
        let versions = all.entry((order, resource.group.clone())).or_default();
        match versions.iter_mut().find(|(version, _)| *version == resource.version) {
            Some((_, resources)) => resources.push(resource),
            None => versions.push((resource.version.clone(), vec![resource])),
        }
    }
    let mut groups: Vec<Group> = all.into_iter().map(|((_, group), versions)| (group, versions)).collect();
    for (_, versions) in &mut groups {
        versions.sort_by_key(|(version, _)| Reverse(priority(version)));
        versions.iter_mut().for_each(|(_, resources)| resources.sort_by(|one, other| one.plural.cmp(&other.plural)));
    }
    groups
}

/// What a version is worth: v2 before v1 before v1beta2 before v1alpha1 before all other words.
///
/// Source: Kubernetes documentation, "Versions in CustomResourceDefinitions", version priority.
pub fn priority(version: &str) -> (u8, u64, u64) {
    let parsed = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        match &rest[digits..] {
            "" => Some((3, major, 0)),
            level => {
                let (rank, minor) = match (level.strip_prefix("beta"), level.strip_prefix("alpha")) {
                    (Some(minor), _) => (2, minor),
                    (_, Some(minor)) => (1, minor),
                    _ => return None,
                };
                Some((rank, major, minor.parse().ok()?))
            }
        }
    };
    parsed().unwrap_or((0, 0, 0))
}

/// Every resource, in every group and version.
pub fn resources(definitions: &Definitions) -> Vec<Resource> {
    let mut all = Vec::new();
    for (_, row) in Kind::rows() {
        all.push(of_row(row, row.group, row.version));
        all.extend(row.also.iter().map(|also| of_row(row, also.group, also.version)));
    }
    for definition in definitions.iter() {
        let row = definition.kind.row();
        for version in definition.said().spec.versions.iter().filter(|version| version.served) {
            let parts = [("status", version.has_status()), ("scale", version.scale().is_some())];
            let parts = parts.iter().filter(|(_, has)| *has).filter_map(|(name, _)| part(name)).collect();
            all.push(Resource { parts, ..of_row(row, row.group, &version.name) });
        }
    }
    all.extend(REVIEWS.iter().map(|review| Resource {
        group: review.group.into(),
        version: "v1".into(),
        kind: review.kind.into(),
        plural: review.plural.into(),
        singular: review.kind.to_lowercase(),
        namespaced: review.namespaced,
        short: Vec::new(),
        categories: Vec::new(),
        verbs: CREATED,
        parts: Vec::new(),
    }));
    all.extend(metrics::Of::ALL.map(|of| Resource {
        group: metrics::GROUP.into(),
        version: metrics::VERSION.into(),
        kind: of.kind().into(),
        plural: of.plural().into(),
        // Of this name there is a kind already.
        singular: String::new(),
        namespaced: of == metrics::Of::Pods,
        short: Vec::new(),
        categories: Vec::new(),
        verbs: READ,
        parts: Vec::new(),
    }));
    all
}

fn of_row(row: &KindRow, group: &str, version: &str) -> Resource {
    let texts = |of: &[&str]| of.iter().map(ToString::to_string).collect();
    let status = Some("status").filter(|_| row.has_status);
    Resource {
        group: group.into(),
        version: version.into(),
        kind: row.name.into(),
        plural: row.plural.into(),
        singular: row.singular.into(),
        namespaced: row.namespaced,
        short: texts(row.short),
        categories: texts(row.categories),
        verbs: if row.deleted_together { STORED } else { STORED_ONE_BY_ONE },
        parts: row.subresources.iter().copied().chain(status).filter_map(part).collect(),
    }
}

fn part(name: &str) -> Option<Part> {
    PARTS.iter().find(|part| part.name == name).copied()
}

/// The answer to `GET /api`. Fields of all answers come in the order in which Kubernetes writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiVersions {
    kind: &'static str,
    versions: &'static [&'static str],
    #[serde(rename = "serverAddressByClientCIDRs")]
    server_addresses: [(); 0],
}

/// The versions of the core group.
pub const CORE_VERSIONS: ApiVersions = ApiVersions { kind: "APIVersions", versions: &["v1"], server_addresses: [] };

/// The answer to `GET /apis`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGroupList<'a> {
    kind: &'static str,
    api_version: &'static str,
    groups: Vec<ApiGroup<'a>>,
}

/// The answer to `GET /apis/GROUP`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGroup<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'static str,
    name: &'a str,
    versions: Vec<GroupVersion<'a>>,
    preferred_version: Option<GroupVersion<'a>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion<'a> {
    group_version: String,
    version: &'a str,
}

/// All groups but the core one.
pub fn group_list(groups: &[Group]) -> ApiGroupList<'_> {
    let named = groups.iter().filter(|(name, _)| !name.is_empty());
    let groups = named.map(|one| ApiGroup { kind: "", api_version: "", ..group(one) }).collect();
    ApiGroupList { kind: "APIGroupList", api_version: "v1", groups }
}

/// One group.
pub fn group((name, versions): &Group) -> ApiGroup<'_> {
    let version = |version| GroupVersion { group_version: format!("{name}/{version}"), version };
    let versions: Vec<GroupVersion> = versions.iter().map(|(one, _)| version(one)).collect();
    let preferred_version = versions.first().cloned();
    ApiGroup { kind: "APIGroup", api_version: "v1", name, versions, preferred_version }
}

/// The answer to `GET /api/v1` or `GET /apis/GROUP/VERSION`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiResourceList<'a> {
    kind: &'static str,
    api_version: &'static str,
    group_version: String,
    resources: Vec<ApiResource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResource<'a> {
    name: String,
    singular_name: &'a str,
    namespaced: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    kind: &'a str,
    verbs: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [String],
}

/// What is served in one version of a group.
pub fn resource_list<'a>(group: &str, version: &str, resources: &'a [Resource]) -> ApiResourceList<'a> {
    let mut entries = Vec::new();
    for resource in resources {
        let whole = ApiResource {
            name: resource.plural.clone(),
            singular_name: &resource.singular,
            namespaced: resource.namespaced,
            group: "",
            version: "",
            kind: &resource.kind,
            verbs: resource.verbs,
            short_names: &resource.short,
            categories: &resource.categories,
        };
        let part = |part: &Part| {
            let (group, version, kind) = part.kind;
            ApiResource {
                name: format!("{}/{}", resource.plural, part.name),
                singular_name: "",
                namespaced: resource.namespaced,
                group,
                version,
                kind: if kind.is_empty() { &resource.kind } else { kind },
                verbs: part.verbs,
                short_names: &[],
                categories: &[],
            }
        };
        entries.push(whole);
        entries.extend(resource.parts.iter().map(part));
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResourceList { kind: "APIResourceList", api_version: "v1", group_version, resources: entries }
}

/// The answer to `GET /api` or `GET /apis` for clients that want all of it at once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGroupDiscoveryList<'a> {
    kind: &'static str,
    api_version: String,
    metadata: Names<'a>,
    items: Vec<GroupDiscovery<'a>>,
}

#[derive(Default, Serialize)]
struct Names<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

#[derive(Serialize)]
struct GroupDiscovery<'a> {
    metadata: Names<'a>,
    versions: Vec<VersionDiscovery<'a>>,
}

#[derive(Serialize)]
struct VersionDiscovery<'a> {
    version: &'a str,
    resources: Vec<ResourceDiscovery<'a>>,
    freshness: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceDiscovery<'a> {
    resource: &'a str,
    response_kind: GroupVersionKind<'a>,
    scope: &'static str,
    singular_resource: &'a str,
    verbs: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<SubresourceDiscovery<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubresourceDiscovery<'a> {
    subresource: &'a str,
    response_kind: GroupVersionKind<'a>,
    verbs: &'a [&'a str],
}

#[derive(Clone, Copy, Serialize)]
struct GroupVersionKind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

/// These groups, in a `version` of the answer.
pub fn aggregated<'a>(groups: impl Iterator<Item = &'a Group>, version: &str) -> ApiGroupDiscoveryList<'a> {
    let of_version = |(version, resources): &'a (String, Vec<Resource>)| VersionDiscovery {
        version,
        resources: resources.iter().map(aggregated_resource).collect(),
        freshness: "Current",
    };
    let of_group = |(name, versions): &'a Group| GroupDiscovery {
        metadata: Names { name },
        versions: versions.iter().map(of_version).collect(),
    };
    ApiGroupDiscoveryList {
        kind: "APIGroupDiscoveryList",
        api_version: format!("apidiscovery.k8s.io/{version}"),
        metadata: Names::default(),
        items: groups.map(of_group).collect(),
    }
}

fn aggregated_resource(resource: &Resource) -> ResourceDiscovery<'_> {
    let own = GroupVersionKind { group: &resource.group, version: &resource.version, kind: &resource.kind };
    let part = |part: &Part| {
        let (group, version, kind) = part.kind;
        let response_kind = if kind.is_empty() { own } else { GroupVersionKind { group, version, kind } };
        SubresourceDiscovery { subresource: part.name, response_kind, verbs: part.verbs }
    };
    ResourceDiscovery {
        resource: &resource.plural,
        response_kind: own,
        scope: if resource.namespaced { "Namespaced" } else { "Cluster" },
        singular_resource: &resource.singular,
        verbs: resource.verbs,
        short_names: &resource.short,
        categories: &resource.categories,
        subresources: resource.parts.iter().map(part).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_is_known() {
        for (_, row) in Kind::rows() {
            for name in row.subresources {
                assert!(part(name).is_some(), "{} of {}", name, row.name);
            }
        }
    }

    #[test]
    fn groups_come_in_their_order() {
        let groups = groups(&Definitions::default());
        let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names[0], names.last()), ("", Some(&"miniku.dev")));
        let autoscaling = groups.iter().find(|(name, _)| name == "autoscaling").unwrap();
        let versions: Vec<&str> = autoscaling.1.iter().map(|(version, _)| version.as_str()).collect();
        assert_eq!(versions, ["v2", "v1"]);
        assert!(group_list(&groups).groups.iter().all(|group| !group.name.is_empty()));
    }

    #[test]
    fn fields_come_in_kubernetes_order() {
        let groups = groups(&Definitions::default());
        let policy = groups.iter().find(|(name, _)| name == "policy").unwrap();
        let check = |got: String, want: &str| assert!(got.starts_with(want), "{got}");
        check(
            serde_json::to_string(&group(policy)).unwrap(),
            r#"{"kind":"APIGroup","apiVersion":"v1","name":"policy","versions":[{"groupVersion":"policy/v1","version":"v1"}],"preferredVersion":{"#,
        );
        check(
            serde_json::to_string(&resource_list("policy", "v1", &policy.1[0].1)).unwrap(),
            r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"policy/v1","resources":[{"name":"poddisruptionbudgets","singularName":"poddisruptionbudget","namespaced":true,"kind":"PodDisruptionBudget","verbs":["#,
        );
        check(
            serde_json::to_string(&aggregated([policy].into_iter(), "v2")).unwrap(),
            r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[{"metadata":{"name":"policy"},"versions":[{"version":"v1","resources":[{"resource":"poddisruptionbudgets","responseKind":{"group":"policy","version":"v1","kind":"PodDisruptionBudget"},"scope":"Namespaced","#,
        );
    }

    #[test]
    fn versions_have_priorities() {
        let mut versions = ["v1alpha1", "foo", "v10", "v1beta1", "v2", "v1", "v11beta2", "v1beta10"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v11beta2", "v1beta10", "v1beta1", "v1alpha1", "foo"]);
    }
}
