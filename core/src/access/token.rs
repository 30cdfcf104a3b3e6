//! Tokens of service accounts: what is in them, how they are signed, and when they count.
//!
//! A token says for itself who bears it and until when, and is signed with a secret that only the API server has. It
//! counts as long as the service account that it names is there, with the uid that it names.
//!
//! Source: RFC 7519 (JWT) and RFC 7515 (JWS), algorithm HS256; Kubernetes documentation, "Managing Service Accounts",
//! and KEP-1205 for the claims.

use crate::access::User;
use crate::api::kinds::Kind;
use crate::api::object::Key;
use crate::store::Store;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Who issues tokens, and whom they are for if nothing else is asked.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Whom the API server is when it calls a kubelet.
pub const APISERVER: &str = "system:apiserver";
/// How long a token counts if nothing else is asked, in seconds. Source: `TokenRequestSpec.expirationSeconds`.
pub const SECONDS: i64 = 3600;
/// The shortest and the longest time. Source: `pkg/apis/authentication/validation`.
pub const SECONDS_RANGE: std::ops::RangeInclusive<i64> = 600..=1 << 32;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom it is for.
    pub aud: Vec<String>,
    /// Until when it counts, in seconds since 1970.
    pub exp: i64,
    /// Since when it was there.
    pub iat: i64,
    /// Who issued it.
    pub iss: String,
    /// Its own name.
    pub jti: String,
    /// Whose it is, in Kubernetes' terms.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Bearer,
    /// Since when it counts.
    pub nbf: i64,
    /// Whose it is.
    pub sub: String,
}

/// Whose a token is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bearer {
    /// The namespace of the account.
    pub namespace: String,
    /// The object with which it ends, if there is one: a pod or a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// See `pod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The account.
    pub serviceaccount: Reference,
}

/// One object, and no other of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn signature(secret: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a secret of any length will do");
    mac.update(text.as_bytes());
    mac
}

/// A token that says this.
pub fn sign(secret: &[u8], claims: &Claims) -> String {
    let claims = serde_json::to_vec(claims).expect("claims have string keys");
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
    let signature = signature(secret, &signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What a token says, if it was signed with this secret and is meant for the API server. Whether it still counts is for
/// [`bearer`] to say.
pub fn verify(secret: &[u8], token: &str) -> Option<Claims> {
    signed(secret, token).filter(|claims| claims.is_for(ISSUER))
}

/// What a token says, if it was signed with this secret, whomever it is meant for.
pub fn signed(secret: &[u8], token: &str) -> Option<Claims> {
    let (signed, mac) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    signature(secret, signed).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
    // What is signed was written here; another algorithm, or none, is not looked at.
    (URL_SAFE_NO_PAD.decode(header).ok()? == HEADER.as_bytes()).then_some(())?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    (claims.iss == ISSUER).then_some(claims)
}

impl Claims {
    /// Whether the token is meant for this audience.
    pub fn is_for(&self, audience: &str) -> bool {
        self.aud.iter().any(|own| own == audience)
    }
}

/// How long a token counts with which the API server calls a kubelet, in seconds. It is made for one call; what takes
/// longer than this is the way to the kubelet and back, where it is reviewed.
pub const CALL_SECONDS: i64 = 60;

/// For whom a token is that is shown to the kubelet of a node.
pub fn audience_of(node: &str) -> String {
    format!("node:{node}")
}

/// The token with which the API server calls the kubelet of a node. It says nothing to another node, and nothing to the
/// API server itself: a node that hears it can do nothing with it.
pub fn for_node(secret: &[u8], node: &str, seconds: i64) -> String {
    let claims = Claims {
        aud: vec![audience_of(node)],
        exp: seconds + CALL_SECONDS,
        iat: seconds,
        iss: ISSUER.into(),
        jti: String::new(),
        kubernetes: Bearer::default(),
        nbf: seconds,
        sub: APISERVER.into(),
    };
    sign(secret, &claims)
}

/// Whether a token says that the API server calls, now.
pub fn is_the_servers(claims: &Claims, seconds: i64) -> bool {
    claims.sub == APISERVER && (claims.nbf..claims.exp).contains(&seconds)
}

/// Who bears a token that says this, now; nobody, if it does not count any more.
pub fn bearer(store: &Store, claims: &Claims, seconds: i64) -> Option<User> {
    let of = &claims.kubernetes;
    let is_there = |kind, reference: &Reference| {
        store.get(&Key::new(kind, &of.namespace, &reference.name)).is_some_and(|one| one.meta().uid == reference.uid)
    };
    let counts = (claims.nbf..claims.exp).contains(&seconds)
        && is_there(Kind::ServiceAccount, &of.serviceaccount)
        && of.pod.as_ref().is_none_or(|pod| is_there(Kind::Pod, pod))
        && of.secret.as_ref().is_none_or(|secret| is_there(Kind::Secret, secret));
    counts.then(|| {
        let mut user = User::service_account(&of.namespace, &of.serviceaccount.name, &of.serviceaccount.uid);
        user.extra.push(("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={}", claims.jti)]));
        if let Some(pod) = &of.pod {
            user.extra.push(("authentication.kubernetes.io/pod-name".into(), vec![pod.name.clone()]));
            user.extra.push(("authentication.kubernetes.io/pod-uid".into(), vec![pod.uid.clone()]));
        }
        user
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::object::Object;
    use crate::program::Revision;
    use serde_json::json;

    fn claims() -> Claims {
        Claims {
            aud: vec![ISSUER.into()],
            exp: 2000,
            iat: 1000,
            iss: ISSUER.into(),
            jti: "j".into(),
            kubernetes: Bearer {
                namespace: "x".into(),
                serviceaccount: Reference { name: "robot".into(), uid: "u".into() },
                ..Bearer::default()
            },
            nbf: 1000,
            sub: "system:serviceaccount:x:robot".into(),
        }
    }

    #[test]
    fn only_who_has_the_secret_can_sign() {
        let token = sign(b"secret", &claims());
        assert_eq!(verify(b"secret", &token), Some(claims()));
        assert_eq!(verify(b"other", &token), None);
        let (signed, mac) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let more = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Claims { exp: 9999, ..claims() }).unwrap());
        assert_eq!(verify(b"secret", &format!("{header}.{more}.{mac}")), None);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for wrong in
            ["", ".", "..", "a.b.c", &format!("{none}.{more}."), &format!("{token}x"), &token[..token.len() - 2]]
        {
            assert_eq!(verify(b"secret", wrong), None, "{wrong}");
        }
        let elsewhere = sign(b"secret", &Claims { aud: vec!["vault".into()], ..claims() });
        assert_eq!(verify(b"secret", &elsewhere), None);
    }

    #[test]
    fn the_servers_own_token_is_for_one_node() {
        let token = for_node(b"secret", "n1", 1000);
        assert_eq!(verify(b"secret", &token), None, "it is none for the API server");
        let claims = signed(b"secret", &token).unwrap();
        assert!(claims.is_for("node:n1") && !claims.is_for("node:n2"));
        assert!(is_the_servers(&claims, 1059) && !is_the_servers(&claims, 1060) && !is_the_servers(&claims, 999));
        assert_eq!(bearer(&Store::default(), &claims, 1000), None, "nor is it an account's");
        assert!(!is_the_servers(&self::claims(), 1500) && signed(b"other", &token).is_none());
    }

    /// RFC 7515, appendix A.1: the key and the signature of its example.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let mac = URL_SAFE_NO_PAD.encode(signature(&key, signed).finalize().into_bytes());
        assert_eq!(mac, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_token_ends_with_its_time_and_with_its_account() {
        let account = json!({"metadata": {"name": "robot", "namespace": "x", "uid": "u"}});
        let account = Object::from_value(Kind::ServiceAccount, account).unwrap();
        let mut store = Store::default();
        assert_eq!(bearer(&store, &claims(), 1500), None);
        store.apply(&account.key(), Some(account.clone()), Revision(1));
        let user = bearer(&store, &claims(), 1500).unwrap();
        assert_eq!(user.name, "system:serviceaccount:x:robot");
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:x", "system:authenticated"]);
        assert_eq!((bearer(&store, &claims(), 999), bearer(&store, &claims(), 2000)), (None, None));
        let of_pod = Bearer { pod: Some(Reference { name: "p".into(), uid: "p".into() }), ..claims().kubernetes };
        assert_eq!(bearer(&store, &Claims { kubernetes: of_pod, ..claims() }, 1500), None, "its pod is gone");
        let another = account.with_meta(|meta| meta.uid = "v".into());
        store.apply(&account.key(), Some(another), Revision(2));
        assert_eq!(bearer(&store, &claims(), 1500), None, "another account of that name");
    }
}
