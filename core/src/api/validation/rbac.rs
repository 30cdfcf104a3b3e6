//! Rules for roles and for who has them.
//!
//! Source: `pkg/apis/rbac/validation/validation.go`, release 1.32.

use super::at::At;
use super::{Rules, selector, text};

/// Rules for roles.
pub const ROLE: Rules = Rules { name: text::path_segment, content: |role| rules(role, true), ..Rules::ANY };
/// Rules for cluster roles.
pub const CLUSTER_ROLE: Rules = Rules {
    content: |role| {
        rules(role, false);
        let aggregation = role.field("aggregationRule");
        if aggregation.is_there() && aggregation.field("clusterRoleSelectors").is_empty() {
            aggregation
                .field("clusterRoleSelectors")
                .required("at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        aggregation.items("clusterRoleSelectors").for_each(|one| selector::selector(&one));
    },
    ..ROLE
};
/// Rules for role bindings.
pub const ROLE_BINDING: Rules = Rules {
    name: text::path_segment,
    content: |binding| self::binding(binding, &["ClusterRole", "Role"]),
    change: Some(role_stays),
    ..Rules::ANY
};
/// Rules for cluster role bindings.
pub const CLUSTER_ROLE_BINDING: Rules =
    Rules { content: |binding| self::binding(binding, &["ClusterRole"]), ..ROLE_BINDING };

const GROUP: &str = "rbac.authorization.k8s.io";

fn rules(role: &At, namespaced: bool) {
    for rule in role.items("rules") {
        let (verbs, urls) = (rule.field("verbs"), rule.field("nonResourceURLs"));
        let (groups, resources) = (rule.field("apiGroups"), rule.field("resources"));
        if verbs.is_empty() {
            verbs.required("verbs must contain at least one value");
        }
        if !urls.is_empty() {
            if namespaced {
                urls.invalid("namespaced rules cannot apply to non-resource URLs");
            }
            if !groups.is_empty() || !resources.is_empty() || !rule.field("resourceNames").is_empty() {
                urls.invalid("rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if groups.is_empty() {
            groups.required("resource rules must supply at least one api group");
        }
        if resources.is_empty() {
            resources.required("resource rules must supply at least one resource");
        }
    }
}

fn binding(binding: &At, kinds: &[&str]) {
    let role = binding.field("roleRef");
    role.field("apiGroup").one_of(&[GROUP]);
    role.field("kind").one_of(kinds);
    role.field("name").must_be(text::path_segment);
    for subject in binding.items("subjects") {
        let (kind, group, name) = (subject.field("kind"), subject.field("apiGroup"), subject.field("name"));
        match kind.text() {
            "ServiceAccount" => {
                name.must_be(text::subdomain);
                if !group.text().is_empty() {
                    group.not_supported(&[""]);
                }
                let namespace = subject.field("namespace");
                if kinds.len() == 1 && namespace.text().is_empty() {
                    namespace.required("");
                }
            }
            "User" | "Group" => group.one_of(&[GROUP]),
            "" => {}
            _ => kind.not_supported(&["Group", "ServiceAccount", "User"]),
        }
    }
}

fn role_stays(new: &At, old: &At) {
    if new.field("roleRef").value() != old.field("roleRef").value() {
        new.field("roleRef").invalid("cannot change roleRef");
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::json;

    #[test]
    fn roles() {
        let role =
            json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        for kind in [Kind::Role, Kind::ClusterRole] {
            table(
                kind,
                &role,
                &[
                    (
                        "/rules/0/verbs",
                        json!([]),
                        &["rules[0].verbs: Required value: verbs must contain at least one value"],
                    ),
                    (
                        "/rules/0/apiGroups",
                        json!([]),
                        &["rules[0].apiGroups: Required value: resource rules must supply at least one api group"],
                    ),
                    (
                        "/rules/0/resources",
                        json!([]),
                        &["rules[0].resources: Required value: resource rules must supply at least one resource"],
                    ),
                ],
            );
        }
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]});
        table(
            Kind::ClusterRole,
            &role,
            &[
                ("/rules/1", paths.clone(), &[]),
                (
                    "/rules/0/nonResourceURLs",
                    json!(["/"]),
                    &["rules[0].nonResourceURLs: Invalid value: []string{\"/\"}: rules cannot apply to both"],
                ),
            ],
        );
        table(
            Kind::Role,
            &role,
            &[(
                "/rules/1",
                paths,
                &["rules[1].nonResourceURLs: Invalid value: []string{\"/healthz\"}: namespaced rules cannot apply"],
            )],
        );
    }

    #[test]
    fn bindings() {
        let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "c"}, "subjects": [{"kind": "User", "name": "jane"}]});
        for kind in [Kind::RoleBinding, Kind::ClusterRoleBinding] {
            table(
                kind,
                &binding,
                &[
                    ("/roleRef/name", json!(""), &["roleRef.name: Required value"]),
                    (
                        "/roleRef/kind",
                        json!("Some"),
                        &["roleRef.kind: Unsupported value: \"Some\": supported values: \"ClusterRole\""],
                    ),
                    (
                        "/roleRef/apiGroup",
                        json!("apps"),
                        &[
                            "roleRef.apiGroup: Unsupported value: \"apps\": supported values: \"rbac.authorization.k8s.io\"",
                        ],
                    ),
                    (
                        "/subjects/0/kind",
                        json!("Some"),
                        &[
                            "subjects[0].kind: Unsupported value: \"Some\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
                        ],
                    ),
                    ("/subjects/0/name", json!(""), &["subjects[0].name: Required value"]),
                ],
            );
            table_of_changes(
                kind,
                &binding,
                &[("/roleRef/name", json!("d"), &["roleRef: Invalid value: {\"apiGroup\""])],
            );
        }
        let account = json!({"kind": "ServiceAccount", "name": "a"});
        table(Kind::RoleBinding, &binding, &[("/subjects/0", account.clone(), &[])]);
        table(
            Kind::ClusterRoleBinding,
            &binding,
            &[("/subjects/0", account, &["subjects[0].namespace: Required value"])],
        );
    }
}
