//! What texts may be: names, keys, ports, addresses. Each rule gives what is wrong, in Kubernetes' words.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation`, release 1.32; RFC 1035 and RFC 1123 for names.

use super::at::Wrong;
use crate::api::names::{NOT_A_LABEL, NOT_A_SUBDOMAIN};
use std::net::{IpAddr, Ipv6Addr};

fn is_unless(fine: bool, rule: &str) -> Wrong {
    if fine { Vec::new() } else { vec![rule.to_owned()] }
}

fn at_most(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} bytes"))
}

/// Whether it is of lower case letters, digits and `-`, with a letter or digit at both ends. Its length is told by itself.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
        && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
}

fn and(wrong: Option<String>, fine: bool, rule: &str) -> Wrong {
    wrong.into_iter().chain(is_unless(fine, rule)).collect()
}

/// A name of letters, digits, `-` and `.`: at most 253 bytes.
pub fn subdomain(text: &str) -> Wrong {
    and(at_most(text, 253), text.split('.').all(is_label), NOT_A_SUBDOMAIN)
}

/// A name of letters, digits and `-`: at most 63 bytes.
pub fn label(text: &str) -> Wrong {
    and(at_most(text, 63), is_label(text), NOT_A_LABEL)
}

/// A DNS label that begins with a letter.
pub fn word(text: &str) -> Wrong {
    let fine = is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    and(at_most(text, 63), fine, NOT_A_WORD)
}

const NOT_A_WORD: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// A name that can stand in a path, as those of roles: `system:node`.
pub fn path_segment(text: &str) -> Wrong {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|part| text.contains(**part)).map(|part| format!("may not contain '{part}'")).collect()
}

/// A label's key, and what else is named so: an optional subdomain and `/`, then at most 63 bytes.
pub fn qualified_name(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".into());
            } else {
                wrong.extend(subdomain(prefix).into_iter().map(|what| format!("prefix part {what}")));
            }
            name
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".into());
    }
    wrong.extend(at_most(name, 63).map(|what| format!("name part {what}")));
    if !is_name(name) {
        wrong.push(format!("name part {NAME_RULE}"));
    }
    wrong
}

const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Whether it is of letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// A label's value.
pub fn label_value(text: &str) -> Wrong {
    and(at_most(text, 63), text.is_empty() || is_name(text), NOT_A_VALUE)
}

const NOT_A_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// A key of a config map or secret, which becomes a file's name.
pub fn config_key(text: &str) -> Wrong {
    let mut wrong: Wrong = at_most(text, 253).into_iter().collect();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        wrong.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
            'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                .into(),
        );
    }
    match text {
        "." => wrong.push("must not be '.'".into()),
        ".." => wrong.push("must not be '..'".into()),
        text if text.starts_with("..") => wrong.push("must not start with '..'".into()),
        _ => {}
    }
    wrong
}

/// The name of a variable of the environment.
pub fn env_name(text: &str) -> Wrong {
    let rule = "a valid environment variable name must consist only of printable ASCII characters other than '='";
    is_unless(text.chars().all(|c| matches!(c, ' '..='~') && c != '='), rule)
}

/// The name of a port: at most 15 letters, digits and hyphens, at least one of them a letter. Source: RFC 6335, section 5.1.
pub fn port_name(text: &str) -> Wrong {
    let has = |part: &str| text.contains(part);
    [
        (text.len() > 15, "must be no more than 15 bytes"),
        (
            !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!text.contains(|c: char| c.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (has("--"), "must not contain consecutive hyphens"),
        (text.starts_with('-') || text.ends_with('-'), "must not begin or end with a hyphen"),
    ]
    .into_iter()
    .filter(|(wrong, _)| *wrong)
    .map(|(_, rule)| rule.to_owned())
    .collect()
}

/// An address, as Go's `net.ParseIP` takes it.
pub fn ip_address(text: &str) -> Wrong {
    is_unless(text.parse::<IpAddr>().is_ok(), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
}

/// An address and the length of its prefix.
pub fn cidr(text: &str) -> Wrong {
    is_unless(parse_cidr(text).is_some(), "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")
}

/// A network: its first address, and how many bits all of its addresses share.
pub fn parse_cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let plain = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = bits.parse().ok().filter(|bits| plain && *bits <= most)?;
    let host = u128::MAX.checked_shr(bits + 128 - most).unwrap_or(0);
    let first = match address {
        IpAddr::V4(v4) => (u32::from(v4) & !(host as u32)).to_be_bytes().into(),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !host)),
    };
    Some((first, bits))
}

/// A name of an HTTP header.
pub fn header_name(text: &str) -> Wrong {
    let fine = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used \
        for validation is '[-A-Za-z0-9]+')";
    is_unless(fine, rule)
}

/// A share in hundredths: `25%`.
pub fn percent(text: &str) -> Wrong {
    let rule = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
        used for validation is '[0-9]+%')";
    let digits = text.strip_suffix('%').unwrap_or("");
    is_unless(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()), rule)
}

/// A subdomain whose first part may be `*`.
pub fn wildcard_subdomain(text: &str) -> Wrong {
    let rest = text.strip_prefix("*.").unwrap_or("");
    let rule = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
        consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. \
        '*.example.com', regex used for validation is \
        '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    is_unless(subdomain(rest).is_empty(), rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::validation::at::Rule;

    /// A rule's name and itself, texts that are fine, and texts that are not.
    type Row<'a> = (&'a str, Rule, &'a [&'a str], &'a [&'a str]);

    #[test]
    fn each_rule_tells_good_from_wrong() {
        let long = "a".repeat(64);
        let table: &[Row] = &[
            ("subdomain", subdomain, &["a", "a.b-c.9", &long], &["", "A", "a..b", "-a", &"a".repeat(254)]),
            ("label", label, &["a", "9-a"], &["", "a.b", "a_b", &long]),
            ("word", word, &["a", "a-9"], &["", "9a", "a-", &long]),
            ("path_segment", path_segment, &["system:node", "A b"], &[".", "..", "a/b", "a%b"]),
            (
                "qualified_name",
                qualified_name,
                &["a", "A_b.c", "example.com/a"],
                &["", "/a", "a/", "a/b/c", "A/b", "a b", &long],
            ),
            ("label_value", label_value, &["", "a_B.c-9"], &["-a", "a b", &long]),
            ("config_key", config_key, &["a.b", ".a", "A_-"], &["a/b", ".", "..", "..a", &"a".repeat(254)]),
            ("env_name", env_name, &["A", "a.b-c d"], &["a=b", "ä", "a\n"]),
            ("port_name", port_name, &["http", "a-1"], &["1", "a--b", "-a", "HTTP", "a-name-of-16-let"]),
            ("ip_address", ip_address, &["10.0.0.1", "::1"], &["10.0.0", "010.0.0.1", "a", "1.2.3.4/8"]),
            ("cidr", cidr, &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "a/8"]),
            ("header_name", header_name, &["X-A"], &["", "a b", "ä"]),
            ("percent", percent, &["25%", "200%"], &["25", "%", "-1%", "a%"]),
            ("wildcard_subdomain", wildcard_subdomain, &["*.a.b"], &["*", "a.*", "*.", "*.A"]),
        ];
        for (name, rule, good, wrong) in table {
            good.iter().for_each(|text| assert_eq!(rule(text), [""; 0], "{name}: {text}"));
            wrong.iter().for_each(|text| assert_ne!(rule(text), [""; 0], "{name}: {text}"));
        }
    }

    #[test]
    fn networks_begin_at_their_first_address() {
        let check = |text: &str, want: &str| {
            let (first, bits) = parse_cidr(text).unwrap();
            assert_eq!(format!("{first}/{bits}"), want);
        };
        check("10.1.2.3/8", "10.0.0.0/8");
        check("10.1.2.3/32", "10.1.2.3/32");
        check("1.2.3.4/0", "0.0.0.0/0");
        check("2001:db8::1/64", "2001:db8::/64");
        check("::1/0", "::/0");
    }

    #[test]
    fn what_is_wrong_is_told_in_kubernetes_words() {
        assert_eq!(qualified_name("a b")[0], format!("name part {NAME_RULE}"));
        assert_eq!(label(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(qualified_name("A/b"), [format!("prefix part {NOT_A_SUBDOMAIN}")]);
    }
}
