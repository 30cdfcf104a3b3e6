//! Who asks, and whether they may.
//!
//! [`rbac`] answers from the roles and bindings that are stored, [`grants`] keeps anybody from giving away more than they
//! have, [`defaults`] has the roles of every cluster, and [`token`] the tokens of service accounts. All of it is asked by
//! the shell, before a request reaches the API server, but for [`grants`]: what is granted is known only when a patch is
//! applied.

pub mod defaults;
pub mod grants;
pub mod rbac;
pub mod token;

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who asks.
///
/// Source: Kubernetes documentation, "Authenticating".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their name.
    pub name: String,
    /// What tells two users of one name apart; may be empty.
    #[serde(default)]
    pub uid: String,
    /// What they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What else is known of them.
    #[serde(default)]
    pub extra: Vec<(String, Vec<String>)>,
}

/// The group of all who said who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of all who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that may do everything, whatever is stored.
pub const MASTERS: &str = "system:masters";
/// The group of all service accounts; those of a namespace have one more, with its name behind a colon.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

impl User {
    /// Who does not say who they are.
    pub fn anonymous() -> Self {
        User { name: "system:anonymous".into(), groups: vec![UNAUTHENTICATED.into()], ..User::default() }
    }

    /// Who said who they are.
    pub fn authenticated(name: &str, uid: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().filter(|group| group != AUTHENTICATED).collect();
        groups.push(AUTHENTICATED.into());
        User { name: name.into(), uid: uid.into(), groups, extra: Vec::new() }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = [SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")];
        User::authenticated(&format!("system:serviceaccount:{namespace}:{name}"), uid, groups)
    }

    /// Whether they belong to a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// What is done: `get`, `list`, `create` and so on.
    pub verb: &'a str,
    /// To what.
    pub target: Target<'a>,
}

/// To what something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A path that is no object's.
    Path(&'a str),
    /// Objects.
    Resource {
        /// In this namespace; without one, or in all, if empty.
        namespace: &'a str,
        /// Of this API group.
        group: &'a str,
        /// Of this plural.
        resource: &'a str,
        /// This part of them; the whole if empty.
        subresource: &'a str,
        /// The object of this name; all if empty.
        name: &'a str,
    },
}

/// As a refusal tells it: `User "jane" cannot list resource "pods" in API group "" in the namespace "default"`.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`, `ForbiddenStatusError`.
pub struct Wish<'a>(pub &'a User, pub Attributes<'a>);

impl fmt::Display for Wish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish(user, Attributes { verb, target }) = self;
        write!(f, "User {:?} cannot {verb} ", user.name)?;
        match target {
            Target::Path(path) => write!(f, "path {path:?}"),
            Target::Resource { namespace, group, resource, subresource, .. } => {
                let part = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
                write!(f, "resource \"{resource}{part}\" in API group {group:?} ")?;
                match *namespace {
                    "" => f.write_str("at the cluster scope"),
                    namespace => write!(f, "in the namespace {namespace:?}"),
                }
            }
        }
    }
}
