//! Where objects are found: paths and query strings of Kubernetes' API.

use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use std::fmt::Write;

/// The path of all objects of a kind in a namespace: `/apis/apps/v1/namespaces/default/replicasets`.
///
/// Without a namespace, those of all namespaces. Kinds without namespaces ignore it.
pub fn collection(kind: Kind, namespace: Option<&str>) -> String {
    let row = kind.row();
    let mut path = if row.group.is_empty() {
        format!("/api/{}", row.version)
    } else {
        format!("/apis/{}/{}", row.group, row.version)
    };
    if let Some(namespace) = namespace.filter(|namespace| row.namespaced && !namespace.is_empty()) {
        path.push_str("/namespaces/");
        path.push_str(&encode(namespace));
    }
    path.push('/');
    path.push_str(row.plural);
    path
}

/// The path of one object, or of one of its subresources.
pub fn object(key: &Key, subresource: Option<&str>) -> String {
    let mut path = format!("{}/{}", collection(key.kind, Some(&key.namespace)), encode(&key.name));
    if let Some(subresource) = subresource {
        path.push('/');
        path.push_str(subresource);
    }
    path
}

/// `path` with `?name=value&…` after it, values encoded; as it is if there are no parameters.
pub fn with_query<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut target = path.to_owned();
    for (at, (name, value)) in parameters.into_iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        let _ = write!(target, "{name}={}", encode(&value));
    }
    target
}

/// Percent-encodes all but the unreserved characters. Source: RFC 3986, section 2.3.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_where_kubernetes_has_them() {
        let check = |key: Key, sub: Option<&str>, want: &str| assert_eq!(object(&key, sub), want);
        check(Key::new(Kind::Pod, "default", "a"), None, "/api/v1/namespaces/default/pods/a");
        check(Key::new(Kind::Pod, "x", "a"), Some("status"), "/api/v1/namespaces/x/pods/a/status");
        check(Key::new(Kind::ReplicaSet, "x", "a"), None, "/apis/apps/v1/namespaces/x/replicasets/a");
        check(Key::new(Kind::Node, "", "n"), Some("status"), "/api/v1/nodes/n/status");
        check(Key::new(Kind::Namespace, "", "x"), Some("finalize"), "/api/v1/namespaces/x/finalize");
        check(Key::new(Kind::Pod, "x", "a/b?c"), None, "/api/v1/namespaces/x/pods/a%2Fb%3Fc");
        assert_eq!(collection(Kind::Pod, None), "/api/v1/pods");
        assert_eq!(collection(Kind::Node, Some("default")), "/api/v1/nodes");
    }

    #[test]
    fn values_are_encoded() {
        let query = [("labelSelector", "a in (b,c)".to_owned()), ("watch", "true".to_owned())];
        assert_eq!(with_query("/p", query), "/p?labelSelector=a%20in%20%28b%2Cc%29&watch=true");
        assert_eq!(with_query("/p", []), "/p");
    }
}
