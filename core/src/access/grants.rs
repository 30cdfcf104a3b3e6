//! Nobody gives away more than they have.
//!
//! Who writes a role must hold each of its rules, or be allowed to `escalate`; who writes a binding must hold each rule
//! of the role, or be allowed to `bind` it.
//!
//! Source: Kubernetes documentation, "Using RBAC Authorization", "Privilege escalation prevention and bootstrapping".

use crate::access::rbac::{self, PolicyRule, covers_resource};
use crate::access::{Attributes, MASTERS, Target, User};
use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::plain::text;
use crate::api::status::Status;
use crate::store::Store;
use std::collections::BTreeMap;
use std::fmt;

/// Whether a user may store this role or binding in the place of another.
pub fn check(store: &Store, user: &User, stored: Option<&Object>, new: &Object) -> Result<(), Status> {
    let (kind, meta) = (new.kind(), new.meta());
    let (verb, name, granted) = match kind {
        Kind::Role | Kind::ClusterRole => {
            let granted = rbac::rules_of(store, new);
            if stored.is_some_and(|stored| rbac::rules_of(store, stored) == granted) {
                return Ok(());
            }
            ("escalate", meta.name.as_str(), granted)
        }
        Kind::RoleBinding | Kind::ClusterRoleBinding => {
            let name = text(new, &["roleRef", "name"]);
            if stored.is_some_and(|stored| stored.at(&["subjects"]) == new.at(&["subjects"])) {
                return Ok(());
            }
            let granted = rbac::role(store, text(new, &["roleRef", "kind"]), &meta.namespace, name);
            match granted {
                Some(granted) => ("bind", name, granted),
                // What is not there grants nothing now, but anything later.
                None => ("bind", name, vec![everything()]),
            }
        }
        _ => return Ok(()),
    };
    let of = match (kind, text(new, &["roleRef", "kind"])) {
        (Kind::Role, _) | (_, "Role") => Kind::Role,
        _ => Kind::ClusterRole,
    };
    let (group, resource) = (of.row().group, of.row().plural);
    let target = Target::Resource { namespace: &meta.namespace, group, resource, subresource: "", name };
    if user.is_in(MASTERS) || rbac::allowed(store, user, &Attributes { verb, target }).is_ok() {
        return Ok(());
    }
    let held = rbac::rules(store, user, &meta.namespace);
    let lacks = lacking(&held.rules, &granted);
    if lacks.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let mut why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:",
        user.name,
        groups.join(" ")
    );
    for rule in &lacks {
        why.push_str(&format!("\n{}", Short(rule)));
    }
    if !held.missing.is_empty() {
        why.push_str(&format!("; resolution errors: [{}]", held.missing.join(", ")));
    }
    Err(Status::forbidden(kind, &meta.name, &why))
}

fn everything() -> PolicyRule {
    let all = || vec!["*".to_owned()];
    PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() }
}

/// What is granted and not held, in few rules.
fn lacking(held: &[PolicyRule], granted: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut lacks: BTreeMap<PolicyRule, Vec<String>> = BTreeMap::new();
    for one in granted.iter().flat_map(single) {
        if !held.iter().any(|rule| covers(rule, &one)) {
            let verb = one.verbs.first().cloned().unwrap_or_default();
            let verbs = lacks.entry(PolicyRule { verbs: Vec::new(), ..one }).or_default();
            if !verbs.contains(&verb) {
                verbs.push(verb);
            }
        }
    }
    lacks.into_iter().map(|(rule, verbs)| PolicyRule { verbs, ..rule }).collect()
}

/// A rule as rules of one verb on one thing.
fn single(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut singles = Vec::new();
    for verb in &rule.verbs {
        let verbs = || vec![verb.clone()];
        for group in &rule.api_groups {
            for resource in &rule.resources {
                singles.push(PolicyRule {
                    verbs: verbs(),
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    resource_names: rule.resource_names.clone(),
                    ..PolicyRule::default()
                });
            }
        }
        for url in &rule.non_resource_urls {
            singles.push(PolicyRule { verbs: verbs(), non_resource_urls: vec![url.clone()], ..PolicyRule::default() });
        }
    }
    singles
}

/// Whether a rule allows all that a single one does.
fn covers(rule: &PolicyRule, one: &PolicyRule) -> bool {
    let every = |own: &[String], wanted: &[String]| {
        wanted.iter().all(|word| own.iter().any(|have| have == "*" || have == word))
    };
    let resource = |wanted: &String| {
        let (resource, part) = wanted.split_once('/').unwrap_or((wanted, ""));
        rule.resources.iter().any(|own| own == wanted || covers_resource(own, resource, part))
    };
    let names = rule.resource_names.is_empty()
        || !one.resource_names.is_empty() && one.resource_names.iter().all(|name| rule.resource_names.contains(name));
    let url = |wanted: &String| {
        let starts = |own: &String| own.strip_suffix('*').is_some_and(|start| wanted.starts_with(start));
        rule.non_resource_urls.iter().any(|own| own == wanted || starts(own))
    };
    every(&rule.verbs, &one.verbs)
        && every(&rule.api_groups, &one.api_groups)
        && one.resources.iter().all(resource)
        && names
        && one.non_resource_urls.iter().all(url)
}

/// A rule in one line, as Kubernetes tells it.
struct Short<'a>(&'a PolicyRule);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        let parts = [
            ("APIGroups", &rule.api_groups),
            ("Resources", &rule.resources),
            ("NonResourceURLs", &rule.non_resource_urls),
            ("ResourceNames", &rule.resource_names),
            ("Verbs", &rule.verbs),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, words)| !words.is_empty())
            .map(|(name, words)| {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("{name}:[{}]", words.join(" "))
            })
            .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Revision;
    use serde_json::{Value, json};

    fn object(kind: Kind, value: Value) -> Object {
        Object::from_value(kind, value).unwrap()
    }

    fn role(name: &str, rules: Value) -> Object {
        object(Kind::ClusterRole, json!({"metadata": {"name": name}, "rules": rules}))
    }

    fn binding(role: &str, user: &str) -> Object {
        object(
            Kind::ClusterRoleBinding,
            json!({"metadata": {"name": format!("{role}-{user}")},
                "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": user}]}),
        )
    }

    #[test]
    fn nobody_gives_away_more_than_they_have() {
        let pods = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
        let binder = json!([{"verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["clusterroles"], "resourceNames": ["lots"]}]);
        let lots = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        let objects = [
            role("pods", pods),
            role("binder", binder),
            role("lots", lots),
            binding("pods", "jane"),
            binding("binder", "joe"),
        ];
        let mut store = Store::default();
        for (nth, object) in objects.iter().enumerate() {
            store.apply(&object.key(), Some(object.clone()), Revision(nth as u64 + 1));
        }
        let says = |user: &str, stored: Option<&Object>, new: &Object| {
            let user = User::authenticated(user, "", []);
            check(&store, &user, stored, new).err().map(|status| status.message)
        };
        let less =
            role("new", json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]));
        assert_eq!(says("jane", None, &less), None);
        let more = role(
            "new",
            json!([{"verbs": ["get", "delete", "watch"], "apiGroups": [""], "resources": ["pods", "secrets"]}]),
        );
        assert_eq!(
            says("jane", None, &more).unwrap(),
            "clusterroles.rbac.authorization.k8s.io \"new\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"watch\"]}\n\
             {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\" \"watch\"]}"
        );
        assert_eq!(says("jane", Some(&more), &more), None, "it was so before");
        assert_eq!(says("jane", None, &binding("pods", "jim")), None);
        assert!(says("jane", None, &binding("lots", "jane")).is_some());
        assert!(says("jane", None, &binding("absent", "jane")).is_some());
        assert_eq!(says("joe", None, &binding("lots", "joe")), None, "allowed to bind");
        let masters = User::authenticated("root", "", [MASTERS.to_owned()]);
        assert!(check(&store, &masters, None, &binding("lots", "root")).is_ok());
    }
}
