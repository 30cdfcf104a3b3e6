//! Role-based access control: what the stored roles and bindings allow.
//!
//! Nothing is kept beside them. A request is answered by going through the bindings at the cluster and in its namespace;
//! there are some dozens in most clusters.
//!
//! Source: Kubernetes documentation, "Using RBAC Authorization"; `plugin/pkg/auth/authorizer/rbac`.

use crate::access::{Attributes, MASTERS, Target, User};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::plain::{items, text};
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::program::Query;
use crate::store::Store;
use serde::Deserialize;
use serde_json::Value;

/// What is allowed by one rule of a role: each of these verbs on each of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// What may be done; `*` is everything.
    pub verbs: Vec<String>,
    /// In which API groups; `*` is all of them.
    pub api_groups: Vec<String>,
    /// To which resources: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// To which objects only; all if empty.
    pub resource_names: Vec<String>,
    /// To which paths that are no objects'; one may end in `*`.
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|one| one == "*" || one == word)
}

impl PolicyRule {
    /// Whether it allows this.
    pub fn allows(&self, wish: &Attributes) -> bool {
        has(&self.verbs, wish.verb)
            && match wish.target {
                Target::Path(path) => self.non_resource_urls.iter().any(|url| covers_path(url, path)),
                Target::Resource { group, resource, subresource, name, .. } => {
                    has(&self.api_groups, group)
                        && self.resources.iter().any(|own| covers_resource(own, resource, subresource))
                        && (self.resource_names.is_empty() || self.resource_names.iter().any(|own| own == name))
                }
            }
    }
}

fn covers_path(own: &str, path: &str) -> bool {
    own == path || own.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

/// Whether a rule's resource means this one, or this part of it.
pub fn covers_resource(own: &str, resource: &str, subresource: &str) -> bool {
    match own.split_once('/') {
        _ if own == "*" => true,
        None => subresource.is_empty() && own == resource,
        Some((of, part)) => !subresource.is_empty() && part == subresource && (of == "*" || of == resource),
    }
}

/// What a user may do.
#[derive(Debug, Default)]
pub struct Rules {
    /// The rules of all roles that they have.
    pub rules: Vec<PolicyRule>,
    /// Roles that they would have, but that are not there.
    pub missing: Vec<String>,
}

/// What a user may do in a namespace and at the cluster; only at the cluster, if no namespace is named.
pub fn rules(store: &Store, user: &User, namespace: &str) -> Rules {
    let mut found = Rules::default();
    if user.is_in(MASTERS) {
        let all = || vec!["*".to_owned()];
        let everything = PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() };
        found.rules.push(everything);
        found.rules.push(PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() });
        return found;
    }
    for binding in store.list(&Query::all(Kind::ClusterRoleBinding)) {
        take(store, user, binding, "", &mut found);
    }
    if !namespace.is_empty() {
        for binding in store.of_namespace(Kind::RoleBinding, &Text::from(namespace)) {
            take(store, user, binding, namespace, &mut found);
        }
    }
    found
}

fn take(store: &Store, user: &User, binding: &Object, namespace: &str, found: &mut Rules) {
    if items(binding, &["subjects"]).iter().any(|subject| is_subject(user, subject, namespace)) {
        let (kind, name) = (text(binding, &["roleRef", "kind"]), text(binding, &["roleRef", "name"]));
        match role(store, kind, namespace, name) {
            Some(rules) => found.rules.extend(rules),
            None => {
                let row = if kind == "Role" { Kind::Role.row() } else { Kind::ClusterRole.row() };
                found.missing.push(format!("{}.{} {name:?} not found", row.singular, row.group));
            }
        }
    }
}

/// The rules of the role that a binding names.
pub fn role(store: &Store, kind: &str, namespace: &str, name: &str) -> Option<Vec<PolicyRule>> {
    let key = match kind {
        "Role" => Key::new(Kind::Role, namespace, name),
        _ => Key::new(Kind::ClusterRole, "", name),
    };
    store.get(&key).map(|role| rules_of(store, role))
}

/// The rules of a role, and of those that it is made of.
pub fn rules_of(store: &Store, role: &Object) -> Vec<PolicyRule> {
    let mut rules = own_rules(role);
    let selectors = items(role, &["aggregationRule", "clusterRoleSelectors"]);
    let selectors: Vec<LabelSelector> =
        selectors.iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
    if !selectors.is_empty() {
        let others = Query::all(Kind::ClusterRole);
        let others = store.list(&others).filter(|other| other.meta().name != role.meta().name);
        let chosen = others.filter(|other| selectors.iter().any(|selector| selector.matches(&other.meta().labels)));
        rules.extend(chosen.flat_map(own_rules));
    }
    rules
}

fn own_rules(role: &Object) -> Vec<PolicyRule> {
    let rule = |value: &Value| serde_json::from_value(value.clone()).ok();
    items(role, &["rules"]).iter().filter_map(rule).collect()
}

fn is_subject(user: &User, subject: &Value, namespace: &str) -> bool {
    let field = |name: &str| subject.get(name).and_then(Value::as_str).unwrap_or("");
    match field("kind") {
        "User" => user.name == field("name"),
        "Group" => user.is_in(field("name")),
        "ServiceAccount" => {
            let within = if field("namespace").is_empty() { namespace } else { field("namespace") };
            user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
                == Some((within, field("name")))
        }
        _ => false,
    }
}

/// Whether a user may do this; if not, the roles that were looked for in vain.
pub fn allowed(store: &Store, user: &User, wish: &Attributes) -> Result<(), Vec<String>> {
    let namespace = match wish.target {
        Target::Resource { namespace, .. } => namespace,
        Target::Path(_) => "",
    };
    let found = rules(store, user, namespace);
    if found.rules.iter().any(|rule| rule.allows(wish)) { Ok(()) } else { Err(found.missing) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Revision;
    use serde_json::json;

    fn store() -> Store {
        let objects = [
            (
                Kind::Role,
                json!({"metadata": {"name": "reader", "namespace": "x"},
                    "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
                        {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"], "resourceNames": ["web"]}]}),
            ),
            (
                Kind::RoleBinding,
                json!({"metadata": {"name": "readers", "namespace": "x"},
                    "roleRef": {"kind": "Role", "name": "reader"},
                    "subjects": [{"kind": "Group", "name": "readers"}, {"kind": "ServiceAccount", "name": "robot"}]}),
            ),
            (
                Kind::ClusterRole,
                json!({"metadata": {"name": "part", "labels": {"of": "whole"}},
                    "rules": [{"verbs": ["get"], "nonResourceURLs": ["/api/*", "/healthz"]}]}),
            ),
            (
                Kind::ClusterRole,
                json!({"metadata": {"name": "whole"},
                    "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"of": "whole"}}]}}),
            ),
            (
                Kind::ClusterRoleBinding,
                json!({"metadata": {"name": "all"}, "roleRef": {"kind": "ClusterRole", "name": "whole"},
                    "subjects": [{"kind": "User", "name": "jane"}]}),
            ),
            (
                Kind::ClusterRoleBinding,
                json!({"metadata": {"name": "lost"}, "roleRef": {"kind": "ClusterRole", "name": "gone"},
                    "subjects": [{"kind": "User", "name": "jane"}]}),
            ),
        ];
        let mut store = Store::default();
        for (nth, (kind, value)) in objects.into_iter().enumerate() {
            let object = Object::from_value(kind, value).unwrap();
            store.apply(&object.key(), Some(object), Revision(nth as u64 + 1));
        }
        store
    }

    #[test]
    fn roles_allow() {
        let store = store();
        let jane = User::authenticated("jane", "", ["readers".to_owned()]);
        let may = |user: &User, verb: &str, namespace: &str, resource: &str, name: &str| {
            let (path, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let (group, resource) = path.split_once(':').unwrap_or(("", path));
            let target = Target::Resource { namespace, group, resource, subresource, name };
            allowed(&store, user, &Attributes { verb, target }).is_ok()
        };
        assert!(may(&jane, "list", "x", "pods", ""));
        assert!(may(&jane, "get", "x", "pods/log", "a"));
        assert!(!may(&jane, "get", "x", "pods/exec", "a"));
        assert!(!may(&jane, "list", "y", "pods", ""), "another namespace");
        assert!(!may(&jane, "list", "", "pods", ""), "all namespaces");
        assert!(!may(&jane, "list", "x", "apps:pods", ""), "another group");
        assert!(!may(&jane, "delete", "x", "pods", "a"));
        assert!(may(&jane, "patch", "x", "apps:deployments/scale", "web"));
        assert!(!may(&jane, "patch", "x", "apps:deployments/scale", "other"));
        assert!(may(&User::service_account("x", "robot", ""), "list", "x", "pods", ""));
        assert!(!may(&User::service_account("y", "robot", ""), "list", "x", "pods", ""));
        assert!(!may(&User::anonymous(), "list", "x", "pods", ""));
        assert!(may(&User::authenticated("root", "", [MASTERS.to_owned()]), "delete", "", "nodes", "n"));
    }

    #[test]
    fn paths_are_allowed_by_roles_made_of_others() {
        let store = store();
        let jane = User::authenticated("jane", "", []);
        let may = |path| allowed(&store, &jane, &Attributes { verb: "get", target: Target::Path(path) });
        assert!(may("/healthz").is_ok() && may("/api/v1").is_ok());
        assert_eq!(may("/metrics"), Err(vec!["clusterrole.rbac.authorization.k8s.io \"gone\" not found".to_owned()]));
    }
}
