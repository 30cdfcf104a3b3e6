//! Who sends a request, and whether they may: what a request says of itself against what the core knows.

use crate::api::params::Params;
use crate::api::route::{Resource, Target};
use crate::clock;
use crate::host::ApiHost;
use crate::http::Asked;
use miniku_core::access::{self, Attributes, User, Wish, rbac, token};
use miniku_core::api::metrics;
use miniku_core::api::object::Key;
use miniku_core::api::status::{Reason, Status};
use std::collections::HashMap;
use std::sync::Arc;

/// How access is decided.
pub struct Access {
    /// By roles; else whoever reaches the port may do everything.
    pub rbac: bool,
    /// Whose the tokens are that a file names.
    pub tokens: HashMap<String, Arc<User>>,
    /// With what tokens of service accounts are signed.
    pub secret: Vec<u8>,
    anonymous: Arc<User>,
}

impl Access {
    /// Access by roles or not, for the bearers of these tokens and of those that this secret has signed.
    pub fn new(rbac: bool, tokens: HashMap<String, Arc<User>>, secret: Vec<u8>) -> Self {
        Access { rbac, tokens, secret, anonymous: Arc::new(User::anonymous()) }
    }

    /// Who bears what an `Authorization` header says. Only bearer tokens are known; whoever brings one must be known by
    /// it, and whoever brings none is anonymous.
    pub fn user(&self, host: &ApiHost, authorization: &str) -> Result<Arc<User>, Status> {
        let Some(token) = bearer(authorization) else { return Ok(self.anonymous.clone()) };
        self.bearer(host, token).ok_or_else(|| Status::failure(Reason::Unauthorized, "Unauthorized"))
    }

    /// Who bears a token.
    pub fn bearer(&self, host: &ApiHost, token: &str) -> Option<Arc<User>> {
        if let Some(user) = self.tokens.get(token) {
            return Some(user.clone());
        }
        let claims = token::verify(&self.secret, token)?;
        let seconds = clock::wall().secs();
        host.look(|server| token::bearer(server.store(), &claims, seconds)).map(Arc::new)
    }

    /// What a token says to one of these audiences: who bears it, and to which of them. Without audiences it is the API
    /// server that is meant.
    pub fn review(&self, host: &ApiHost, token: &str, audiences: &[String]) -> Option<(Arc<User>, Vec<String>)> {
        let is_asked = |audience: &str| audiences.iter().any(|asked| asked == audience);
        if (audiences.is_empty() || is_asked(token::ISSUER))
            && let Some(user) = self.bearer(host, token)
        {
            return Some((user, vec![token::ISSUER.into()]));
        }
        let claims = token::signed(&self.secret, token)?;
        let common: Vec<String> = audiences.iter().filter(|asked| claims.is_for(asked)).cloned().collect();
        if common.is_empty() {
            return None;
        }
        let seconds = clock::wall().secs();
        let user = match token::is_the_servers(&claims, seconds) {
            true => User::authenticated(token::APISERVER, "", [access::MASTERS.to_owned()]),
            false => host.look(|server| token::bearer(server.store(), &claims, seconds))?,
        };
        Some((Arc::new(user), common))
    }

    /// What the API server says of itself when it calls the kubelet of a node: the header `Authorization`.
    pub fn to_node(&self, node: &str) -> String {
        format!("Bearer {}", token::for_node(&self.secret, node, clock::wall().secs()))
    }

    /// Whether a user may do this; if not, what they are told.
    pub fn check(&self, host: &ApiHost, user: &User, wish: &Attributes) -> Result<(), Status> {
        if !self.rbac {
            return Ok(());
        }
        let Err(missing) = host.look(|server| rbac::allowed(server.store(), user, wish)) else { return Ok(()) };
        let why = match missing.as_slice() {
            [] => Wish(user, *wish).to_string(),
            [one] => format!("{}: RBAC: {one}", Wish(user, *wish)),
            all => format!("{}: RBAC: [{}]", Wish(user, *wish), all.join(", ")),
        };
        Err(match wish.target {
            access::Target::Path(_) => Status::failure(Reason::Forbidden, format!("forbidden: {why}")),
            access::Target::Resource { group, resource, name, .. } => Status::forbidden_to(group, resource, name, &why),
        })
    }

    /// Who sends a request, if they may have what it asks for. `all` are the request's headers.
    pub fn admit<'a>(
        &self,
        host: &ApiHost,
        asked: Asked,
        target: Option<&Target>,
        all: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Arc<User>, Status> {
        let mut user = self.user(host, asked.headers.authorization)?;
        if asked.headers.impersonates {
            user = Arc::new(self.impersonated(host, &user, all)?);
        }
        if self.rbac {
            for wish in wishes(host, asked, target) {
                self.check(host, &user, &wish.attributes())?;
            }
        }
        Ok(user)
    }

    /// Who is meant by the headers of impersonation, if the user may speak for them.
    ///
    /// Source: Kubernetes documentation, "User impersonation".
    fn impersonated<'a>(
        &self,
        host: &ApiHost,
        user: &User,
        all: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<User, Status> {
        let mut meant = User::default();
        for (name, value) in all {
            match name.to_ascii_lowercase().as_str() {
                "impersonate-user" => meant.name = value.into(),
                "impersonate-group" => meant.groups.push(value.into()),
                "impersonate-uid" => meant.uid = value.into(),
                other => {
                    if let Some(extra) = other.strip_prefix("impersonate-extra-") {
                        meant.extra.push((extra.into(), vec![value.into()]));
                    }
                }
            }
        }
        if meant.name.is_empty() {
            let message = "requested impersonation of groups, uid or extra without impersonating a user";
            return Err(Status::failure(Reason::BadRequest, message));
        }
        let account = meant.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let on = |group, resource, subresource, namespace, name| {
            let target = access::Target::Resource { namespace, group, resource, subresource, name };
            self.check(host, user, &Attributes { verb: "impersonate", target })
        };
        match account {
            Some((namespace, name)) => on("", "serviceaccounts", "", namespace, name)?,
            None => on("", "users", "", "", &meant.name)?,
        }
        meant.groups.iter().try_for_each(|group| on("", "groups", "", "", group))?;
        if !meant.uid.is_empty() {
            on("authentication.k8s.io", "uids", "", "", &meant.uid)?;
        }
        for (extra, values) in &meant.extra {
            values.iter().try_for_each(|value| on("authentication.k8s.io", "userextras", extra, "", value))?;
        }
        if let (Some((namespace, name)), true) = (account, meant.groups.is_empty()) {
            let User { groups, .. } = User::service_account(namespace, name, "");
            meant.groups = groups;
        }
        if meant.name != User::anonymous().name && !meant.is_in(access::AUTHENTICATED) {
            meant.groups.push(access::AUTHENTICATED.into());
        }
        Ok(meant)
    }
}

/// The token of a header `Authorization`.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// One thing that a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Path { verb: String, path: String },
    Resource { verb: &'static str, namespace: String, group: String, resource: String, part: String, name: String },
}

impl Wanted {
    fn attributes(&self) -> Attributes<'_> {
        match self {
            Wanted::Path { verb, path } => Attributes { verb, target: access::Target::Path(path) },
            Wanted::Resource { verb, namespace, group, resource, part, name } => Attributes {
                verb,
                target: access::Target::Resource { namespace, group, resource, subresource: part, name },
            },
        }
    }
}

/// What a request wants; more than one thing, where a write may make what is not there.
fn wishes(host: &ApiHost, asked: Asked, target: Option<&Target>) -> Vec<Wanted> {
    // A query that cannot be read is refused when it is answered.
    let watches = || Params::of(asked).is_ok_and(|params| params.watch);
    let objects = |resource: &Resource| {
        let wish = wanted(asked.method, watches(), resource);
        let makes = matches!(wish, Wanted::Resource { verb: "update" | "patch", .. }) && resource.part.is_none();
        let namespace = resource.namespace.as_deref().unwrap_or("");
        let key = Key::new(resource.kind(), namespace, resource.name.as_deref().unwrap_or(""));
        if makes && host.look(|server| server.store().get(&key).is_none()) {
            return vec![wanted("POST", false, resource), wish];
        }
        vec![wish]
    };
    match target {
        Some(Target::Resource(resource)) => objects(resource),
        Some(Target::Review { review, namespace }) => vec![Wanted::Resource {
            verb: "create",
            namespace: namespace.clone().unwrap_or_default(),
            group: review.group.into(),
            resource: review.plural.into(),
            part: String::new(),
            name: String::new(),
        }],
        Some(Target::Usage(usage)) => vec![Wanted::Resource {
            verb: match (asked.method, &usage.name) {
                ("GET" | "HEAD", Some(_)) => "get",
                ("GET" | "HEAD", None) => "list",
                // There is nothing else, and nobody has a right to it.
                _ => "*",
            },
            namespace: usage.namespace.clone().unwrap_or_default(),
            group: metrics::GROUP.into(),
            resource: usage.of.plural().into(),
            part: String::new(),
            name: usage.name.clone().unwrap_or_default(),
        }],
        Some(Target::Unassigned) => vec![wanted("GET", false, &Resource::of_kind(miniku_core::api::kinds::Kind::Pod))],
        Some(Target::Flat { kind, name }) => objects(&Resource { name: name.clone(), ..Resource::of_kind(*kind) }),
        _ => vec![Wanted::Path { verb: asked.method.to_ascii_lowercase(), path: asked.path().into() }],
    }
}

/// Source: Kubernetes documentation, "Authorization", "Determine the request verb".
fn wanted(method: &str, watches: bool, resource: &Resource) -> Wanted {
    let one = resource.name.is_some();
    let verb = match method {
        "GET" | "HEAD" if watches && resource.part.is_none() => "watch",
        "GET" | "HEAD" if one => "get",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if one => "delete",
        "DELETE" => "deletecollection",
        _ => "*",
    };
    let row = resource.kind().row();
    let name = resource.name.clone().unwrap_or_default();
    // Roles within a namespace may be about the namespace itself.
    let namespace = match resource.kind() {
        miniku_core::api::kinds::Kind::Namespace => name.clone(),
        _ => resource.namespace.clone().unwrap_or_default(),
    };
    // `bindings` is a resource of its own.
    let (plural, part) = match (one, resource.part.as_deref()) {
        (false, Some("binding")) => ("bindings", ""),
        (_, part) => (row.plural, part.unwrap_or("")),
    };
    Wanted::Resource {
        verb,
        namespace,
        group: resource.served.group().into(),
        resource: plural.into(),
        part: part.into(),
        name,
    }
}

/// Reads a file of tokens: `token,user,uid,"group1,group2"` a line, as kube-apiserver's `--token-auth-file`.
///
/// Source: Kubernetes documentation, "Static token file"; RFC 4180 for the quotes.
pub fn read_tokens(text: &str) -> Result<HashMap<String, Arc<User>>, String> {
    let mut tokens = HashMap::new();
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}", nth + 1);
        let fields = fields(line).ok_or_else(|| wrong("a quote is not closed"))?;
        let [token, name, uid, rest @ ..] = fields.as_slice() else {
            return Err(wrong("there must be a token, a user name and a uid"));
        };
        if token.is_empty() || name.is_empty() {
            return Err(wrong("a token and its user's name must not be empty"));
        }
        let groups =
            rest.first().map_or("", String::as_str).split(',').map(str::trim).filter(|group| !group.is_empty());
        let user = User::authenticated(name, uid, groups.map(str::to_owned));
        if tokens.insert(token.clone(), Arc::new(user)).is_some() {
            return Err(wrong("this token was there before"));
        }
    }
    Ok(tokens)
}

fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.peek() == Some(&'"') => field.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::route;
    use miniku_core::apiserver::definitions::Definitions;

    #[test]
    fn what_a_request_wants() {
        let check = |method: &str, watches: bool, path: &str, want: &str| {
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            let Some(Target::Resource(resource)) = route::target(&segments, &Definitions::default()) else {
                panic!("{path}")
            };
            let wish = wanted(method, watches, &resource);
            let Attributes { verb, target: access::Target::Resource { namespace, group, resource, subresource, name } } =
                wish.attributes()
            else {
                panic!("{path}")
            };
            assert_eq!(format!("{verb} {group}:{resource}/{subresource} {namespace}/{name}"), want, "{method} {path}");
        };
        check("GET", false, "/api/v1/namespaces/x/pods", "list :pods/ x/");
        check("GET", true, "/api/v1/pods", "watch :pods/ /");
        check("HEAD", false, "/api/v1/namespaces/x/pods/a", "get :pods/ x/a");
        check("GET", false, "/api/v1/namespaces/x/pods/a/log", "get :pods/log x/a");
        check("POST", false, "/api/v1/namespaces/x/pods/a/eviction", "create :pods/eviction x/a");
        check("POST", false, "/api/v1/namespaces/x/bindings", "create :bindings/ x/");
        check("PATCH", false, "/apis/apps/v1/namespaces/x/deployments/d/scale", "patch apps:deployments/scale x/d");
        check("DELETE", false, "/api/v1/nodes", "deletecollection :nodes/ /");
        check("GET", false, "/api/v1/namespaces/x", "get :namespaces/ x/x");
        check("GET", false, "/apis/events.k8s.io/v1/namespaces/x/events", "list events.k8s.io:events/ x/");
    }

    #[test]
    fn tokens_are_read_from_a_file() {
        let tokens =
            read_tokens("# people\nsecret,jane,u-1,\"readers, writers\"\n\nother,\"joe \"\"x\"\"\",,\n").unwrap();
        assert_eq!(tokens["secret"].groups, ["readers", "writers", "system:authenticated"]);
        assert_eq!((tokens["other"].name.as_str(), tokens["other"].uid.as_str()), ("joe \"x\"", ""));
        for wrong in ["a,b", ",b,c", "a,\"b,c", "a,b,c\na,d,e"] {
            assert!(read_tokens(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_bearer_tokens_count() {
        assert_eq!(bearer("Bearer x"), Some("x"));
        assert_eq!(bearer("bearer  x "), Some("x"));
        assert_eq!((bearer("Basic x"), bearer(""), bearer("Bearer "), bearer("x")), (None, None, None, None));
    }
}
