//! What may be a name, and how free ones are made.

use crate::rng::Draw;

/// Whether this is a DNS label: at most 63 of `[a-z0-9-]`, alphanumeric at both ends. Source: RFC 1123, section 2.1.
pub fn is_dns_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.len() <= 63
        && bytes.first().is_some_and(lower)
        && bytes.last().is_some_and(lower)
        && bytes.iter().all(|byte| lower(byte) || *byte == b'-')
}

/// Whether this is a DNS subdomain: labels joined by dots, at most 253 bytes. Source: RFC 1123, section 2.1.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            let bytes = part.as_bytes();
            let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            bytes.first().is_some_and(lower)
                && bytes.last().is_some_and(lower)
                && bytes.iter().all(|byte| lower(byte) || *byte == b'-')
        })
}

/// Kubernetes' words for a name that is no DNS subdomain.
pub const NOT_A_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
    '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Kubernetes' words for a name that is no DNS label.
pub const NOT_A_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
    and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// The letters of generated name endings: no vowels, no digits that look like letters, so no words arise.
///
/// Source: Kubernetes, `k8s.io/apimachinery/pkg/util/rand`.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// `prefix` with five letters of `draw` after it, cut to 63 bytes, as `generateName` makes it.
pub fn generated(prefix: &str, draw: Draw) -> String {
    let mut name: String = prefix.chars().take(58).collect();
    for nth in 0..5 {
        name.push(char::from(LETTERS[draw.count(nth).below(LETTERS.len() as u64) as usize]));
    }
    name
}

/// A word of up to ten letters that tells these bytes from others: their 32-bit FNV-1a hash, each decimal digit written as
/// a letter of generated names.
///
/// Source: Kubernetes, `SafeEncodeString` of `k8s.io/apimachinery/pkg/util/rand`, which does the same to other bytes.
pub fn hash_word(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// `owner-xxxxxxxx`: the name of the `nth` child of an owner, eight hexadecimal digits drawn from its uid.
///
/// A controller that asks twice for the same child meets a conflict instead of making a twin.
pub fn child(owner: &str, owner_uid: &str, nth: u64) -> String {
    let prefix: String = owner.chars().take(54).collect();
    // Behind a dot a label begins, and none begins with a dash.
    let prefix = prefix.trim_end_matches('.');
    format!("{prefix}-{:08x}", Draw::new(0).key("child-name").key(owner_uid).count(nth).u64() >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_names_from_others() {
        for good in ["a", "web-1", "0", "a.b-c.d"] {
            assert!(is_dns_subdomain(good), "{good}");
        }
        for wrong in ["", "A", "-a", "a-", "a_b", "a..b", ".a", "é", &"a".repeat(254)] {
            assert!(!is_dns_subdomain(wrong), "{wrong}");
        }
        assert!(is_dns_label("web-1") && !is_dns_label("a.b") && !is_dns_label(&"a".repeat(64)));
    }

    #[test]
    fn children_have_names_of_their_own() {
        let names: std::collections::BTreeSet<String> = (0..1000).map(|nth| child("web", "uid", nth)).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| is_dns_label(name) && name.len() == "web-".len() + 8));
        assert!(is_dns_label(&generated("web-", Draw::new(3))));
        let cut = child(&format!("{}.example", "a".repeat(53)), "uid", 0);
        assert!(is_dns_subdomain(&cut), "{cut}");
    }
}
