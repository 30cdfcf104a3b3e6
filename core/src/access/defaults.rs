//! The roles that every cluster with RBAC begins with.
//!
//! `view`, `edit` and `admin` follow from the table of kinds, so that a new kind is theirs too; the rules of custom kinds
//! come to them by labels, as operators expect.
//!
//! Source: Kubernetes documentation, "Using RBAC Authorization", "Default roles and role bindings".

use crate::access::{AUTHENTICATED, MASTERS, UNAUTHENTICATED};
use crate::api::kinds::Kind;
use crate::api::metrics;
use crate::api::object::Object;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Parts that are only read.
const SEEN: &[&str] = &["log", "scale", "status"];
/// Parts that reach into a pod, or take it away.
const ACTED_ON: &[&str] = &["attach", "eviction", "exec", "portforward"];

/// All roles and bindings, as they are made in a cluster that has none of these names.
pub fn all() -> Vec<Object> {
    let everything = json!([
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]);
    let public = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let known = [&["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"], &public[..]].concat();
    let reviews =
        |group: &str, resources: &[&str]| json!({"verbs": ["create"], "apiGroups": [group], "resources": resources});
    vec![
        role("cluster-admin", everything),
        role("system:public-info-viewer", json!([{"verbs": ["get"], "nonResourceURLs": public}])),
        role("system:discovery", json!([{"verbs": ["get"], "nonResourceURLs": known}])),
        role(
            "system:basic-user",
            json!([
                reviews("authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                reviews("authentication.k8s.io", &["selfsubjectreviews"]),
            ]),
        ),
        role("system:monitoring", json!([{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}])),
        role(
            "system:auth-delegator",
            json!([
                reviews("authentication.k8s.io", &["tokenreviews"]),
                reviews("authorization.k8s.io", &["subjectaccessreviews"]),
            ]),
        ),
        made_of("view", view()),
        made_of("edit", edit()),
        made_of("admin", admin()),
        role("system:kube-scheduler", scheduler().into()),
        role("system:kube-controller-manager", controller_manager().into()),
        role("system:node", node().into()),
        binding("cluster-admin", &[MASTERS]),
        binding("system:public-info-viewer", &[AUTHENTICATED, UNAUTHENTICATED]),
        binding("system:discovery", &[AUTHENTICATED]),
        binding("system:basic-user", &[AUTHENTICATED]),
        binding("system:monitoring", &["system:monitoring"]),
        binding("system:node", &[NODES]),
        binding_of("system:kube-scheduler"),
        binding_of("system:kube-controller-manager"),
    ]
}

/// The group of all kubelets; each is the user `system:node:NAME`.
pub const NODES: &str = "system:nodes";

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

/// Every program tells what happened, and what it decided.
fn tells() -> Vec<Value> {
    let verbs = &["create", "patch", "update"];
    let decided = json!({"verbs": ["post"], "nonResourceURLs": ["/decisions"]});
    vec![rule(verbs, "", &["events"]), rule(verbs, "events.k8s.io", &["events"]), decided]
}

/// Asks who somebody is and what they may do, on behalf of its own clients.
fn delegates() -> Vec<Value> {
    vec![
        rule(&["create"], "authentication.k8s.io", &["tokenreviews"]),
        rule(&["create"], "authorization.k8s.io", &["subjectaccessreviews"]),
    ]
}

/// Source: Kubernetes, `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, as for the next two.
fn scheduler() -> Vec<Value> {
    let mut rules = tells();
    rules.extend([
        rule(READ, "", &["nodes", "namespaces", "services", "persistentvolumes", "replicationcontrollers"]),
        rule(&["delete", "get", "list", "watch"], "", &["pods"]),
        rule(&["create"], "", &["bindings", "pods/binding"]),
        rule(&["patch", "update"], "", &["pods/status"]),
        rule(&["get", "list", "patch", "update", "watch"], "", &["persistentvolumeclaims"]),
        rule(READ, "apps", &["replicasets", "statefulsets"]),
        rule(READ, "policy", &["poddisruptionbudgets"]),
        rule(READ, "scheduling.k8s.io", &["priorityclasses"]),
        rule(READ, "storage.k8s.io", &["*"]),
        rule(&["create", "get", "list", "update", "watch"], "coordination.k8s.io", &["leases"]),
    ]);
    rules.extend(delegates());
    rules
}

/// All controllers in one: what they look after they read, change and remove, and they make what their objects ask for.
/// Those that remove what is left over do that with every kind. In Kubernetes each has an account of its own.
fn controller_manager() -> Vec<Value> {
    let mut rules = tells();
    rules.extend([
        rule(&["delete", "deletecollection", "get", "list", "patch", "update", "watch"], "*", &["*"]),
        rule(
            &["create"],
            "",
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumes",
                "pods",
                "pods/eviction",
                "serviceaccounts",
            ],
        ),
        rule(&["create"], "apps", &["controllerrevisions", "replicasets"]),
        rule(&["create"], "batch", &["jobs"]),
        rule(&["create"], "coordination.k8s.io", &["leases"]),
        rule(&["create"], "discovery.k8s.io", &["endpointslices"]),
    ]);
    rules.extend(delegates());
    rules
}

/// A kubelet: its node, the pods on it, and what they need. Kubernetes lets each read only what its own pods need; here
/// nodes are trusted with what all pods need.
fn node() -> Vec<Value> {
    let mut rules = tells();
    rules.extend([
        rule(&["create", "delete", "get", "list", "patch", "update", "watch"], "", &["nodes"]),
        rule(&["patch", "update"], "", &["nodes/status", "pods/status"]),
        rule(&["create", "delete", "get", "list", "watch"], "", &["pods"]),
        rule(&["create"], "", &["pods/eviction", "serviceaccounts/token"]),
        rule(
            READ,
            "",
            &["configmaps", "endpoints", "persistentvolumeclaims", "persistentvolumes", "secrets", "services"],
        ),
        rule(READ, "discovery.k8s.io", &["endpointslices"]),
        rule(&["create", "delete", "get", "list", "patch", "update", "watch"], "coordination.k8s.io", &["leases"]),
    ]);
    rules.extend(delegates());
    rules
}

/// The user who is called like the role has it.
fn binding_of(role: &str) -> Object {
    object(
        Kind::ClusterRoleBinding,
        json!({"metadata": {"name": role, "labels": {LABEL: "rbac-defaults"}},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": role}],
            "roleRef": {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": role}}),
    )
}

const LABEL: &str = "kubernetes.io/bootstrapping";

fn role(name: &str, rules: Value) -> Object {
    object(Kind::ClusterRole, json!({"metadata": {"name": name, "labels": {LABEL: "rbac-defaults"}}, "rules": rules}))
}

/// A role that others are added to by a label. `admin` has what `edit` has, and `edit` what `view` has.
fn made_of(name: &str, rules: Vec<Value>) -> Object {
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    let mut labels = json!({LABEL: "rbac-defaults"});
    let above = match name {
        "view" => Some("edit"),
        "edit" => Some("admin"),
        _ => None,
    };
    if let Some(above) = above {
        labels[format!("rbac.authorization.k8s.io/aggregate-to-{above}")] = "true".into();
    }
    object(
        Kind::ClusterRole,
        json!({"metadata": {"name": name, "labels": labels}, "rules": rules,
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}}),
    )
}

fn binding(role: &str, groups: &[&str]) -> Object {
    let group = |name: &&str| json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name});
    let subjects: Vec<Value> = groups.iter().map(group).collect();
    object(
        Kind::ClusterRoleBinding,
        json!({"metadata": {"name": role, "labels": {LABEL: "rbac-defaults"}}, "subjects": subjects,
            "roleRef": {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": role}}),
    )
}

fn object(kind: Kind, value: Value) -> Object {
    Object::from_value(kind, value).expect("the roles here are well formed")
}

/// Kinds in namespaces of which anybody may know who works there: all but secrets and what says who may do what.
fn common() -> impl Iterator<Item = Kind> {
    let hidden = [Kind::Secret, Kind::Role, Kind::RoleBinding];
    Kind::BUILT_IN.iter().copied().filter(move |kind| kind.row().namespaced && !hidden.contains(kind))
}

fn view() -> Vec<Value> {
    let mut rules = rules(common(), |_| true, |part| SEEN.contains(&part), READ);
    rules.push(json!({"verbs": READ, "apiGroups": [""], "resources": ["namespaces"]}));
    // Source: metrics-server, its role `system:aggregated-metrics-reader`.
    rules.push(json!({"verbs": READ, "apiGroups": [metrics::GROUP], "resources": ["nodes", "pods"]}));
    rules
}

fn edit() -> Vec<Value> {
    // Events are told by programs, and what a set was before is its controller's to write.
    let told = |kind: Kind| !matches!(kind, Kind::Event | Kind::ControllerRevision);
    let mut rules = rules(common(), told, |part| part == "scale", WRITE);
    rules.extend(rules_of_parts(common(), ACTED_ON, &["create", "get"]));
    rules.push(json!({"verbs": ALL, "apiGroups": [""], "resources": ["secrets"]}));
    rules.push(json!({"verbs": ["impersonate"], "apiGroups": [""], "resources": ["serviceaccounts"]}));
    rules.push(json!({"verbs": ["create"], "apiGroups": [""], "resources": ["serviceaccounts/token"]}));
    rules.extend(view());
    rules
}

fn admin() -> Vec<Value> {
    let mut rules = edit();
    rules.push(
        json!({"verbs": ALL, "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings", "roles"]}),
    );
    rules.push(
        json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["localsubjectaccessreviews"]}),
    );
    rules
}

/// One rule a group: these verbs on these kinds and on some of their parts.
fn rules(
    kinds: impl Iterator<Item = Kind>,
    which: impl Fn(Kind) -> bool,
    parts: impl Fn(&str) -> bool,
    verbs: &[&str],
) -> Vec<Value> {
    let mut groups: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for kind in kinds.filter(|kind| which(*kind)) {
        let row = kind.row();
        let of_group = groups.entry(row.group).or_default();
        of_group.insert(row.plural.into());
        let own = row.subresources.iter().copied().chain(row.has_status.then_some("status"));
        of_group.extend(own.filter(|part| parts(part)).map(|part| format!("{}/{part}", row.plural)));
    }
    groups
        .iter()
        .map(|(group, resources)| json!({"verbs": verbs, "apiGroups": [group], "resources": resources}))
        .collect()
}

fn rules_of_parts(kinds: impl Iterator<Item = Kind>, parts: &[&str], verbs: &[&str]) -> Vec<Value> {
    let of = |kind: Kind| {
        let row = kind.row();
        let own = row.subresources.iter().filter(|part| parts.contains(part));
        let names: Vec<String> = own.map(|part| format!("{}/{part}", row.plural)).collect();
        (!names.is_empty()).then(|| json!({"verbs": verbs, "apiGroups": [row.group], "resources": names}))
    };
    kinds.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::rbac::allowed;
    use crate::access::{Attributes, Target, User};
    use crate::program::Revision;
    use crate::store::Store;

    #[test]
    fn the_roles_are_what_their_names_say() {
        let mut store = Store::default();
        let robots = |role: &str| {
            let subject = json!({"kind": "User", "name": role});
            object(
                Kind::RoleBinding,
                json!({"metadata": {"name": role, "namespace": "x"}, "subjects": [subject],
                    "roleRef": {"kind": "ClusterRole", "name": role}}),
            )
        };
        let all = all().into_iter().chain(["view", "edit", "admin"].map(robots));
        for (nth, object) in all.enumerate() {
            store.apply(&object.key(), Some(object), Revision(nth as u64 + 1));
        }
        let may = |user: &str, verb: &str, what: &str| {
            let (path, subresource) = what.split_once('/').unwrap_or((what, ""));
            let (group, resource) = path.split_once(':').unwrap_or(("", path));
            let target = Target::Resource { namespace: "x", group, resource, subresource, name: "a" };
            allowed(&store, &User::authenticated(user, "", []), &Attributes { verb, target }).is_ok()
        };
        let check = |verb: &str, what: &str, want: [bool; 3]| {
            assert_eq!(["view", "edit", "admin"].map(|user| may(user, verb, what)), want, "{verb} {what}");
        };
        check("get", "pods", [true, true, true]);
        check("get", "pods/log", [true, true, true]);
        check("create", "pods", [false, true, true]);
        check("get", "pods/exec", [false, true, true]);
        check("create", "pods/eviction", [false, true, true]);
        check("get", "secrets", [false, true, true]);
        check("patch", "apps:deployments/scale", [false, true, true]);
        check("patch", "pods/status", [false, false, false]);
        check("create", "events", [false, false, false]);
        check("create", "rbac.authorization.k8s.io:rolebindings", [false, false, true]);
        check("get", "nodes", [false, false, false]);
        check("list", "metrics.k8s.io:pods", [true, true, true]);
        let program = |name: &str, group: Option<&str>, verb: &str, what: &str| {
            let (path, subresource) = what.split_once('/').unwrap_or((what, ""));
            let (group_of, resource) = path.split_once(':').unwrap_or(("", path));
            let target = Target::Resource { namespace: "x", group: group_of, resource, subresource, name: "a" };
            let user = User::authenticated(name, "", group.map(str::to_owned));
            allowed(&store, &user, &Attributes { verb, target }).is_ok()
        };
        let check = |verb: &str, what: &str, want: [bool; 3]| {
            let scheduler = program("system:kube-scheduler", None, verb, what);
            let controllers = program("system:kube-controller-manager", None, verb, what);
            let kubelet = program("system:node:n1", Some(NODES), verb, what);
            assert_eq!([scheduler, controllers, kubelet], want, "{verb} {what}");
        };
        check("watch", "pods", [true, true, true]);
        check("create", "pods/binding", [true, false, false]);
        check("update", "pods/status", [true, true, true]);
        check("update", "nodes/status", [false, true, true]);
        check("update", "namespaces/finalize", [false, true, false]);
        check("create", "apps:replicasets", [false, true, false]);
        check("delete", "stable.example.com:crontabs", [false, true, false]);
        check("create", "coordination.k8s.io:leases", [true, true, true]);
        check("update", "events", [true, true, true]);
        check("get", "secrets", [false, true, true]);
        check("create", "pods/exec", [false, false, false]);
        check("create", "authentication.k8s.io:tokenreviews", [true, true, true]);
        assert!(!program("system:node:n1", None, "get", "pods"), "a name alone is no group");
        let path = |user: &User, path| allowed(&store, user, &Attributes { verb: "get", target: Target::Path(path) });
        assert!(path(&User::anonymous(), "/healthz").is_ok() && path(&User::anonymous(), "/api").is_err());
        assert!(path(&User::authenticated("a", "", []), "/apis/apps/v1").is_ok());
    }
}
