//! Which browser pages may use a port that asks nobody who they are.
//!
//! Reads from a request's head what [`admission`] decides by. There is no state.
//!
//! Sources: RFC 6454 section 7 (Origin), W3C Fetch Metadata (Sec-Fetch-Site), RFC 6761 section 6.3 (localhost).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use miniku_core::apiserver::origin::{Host, Origin, Site, Verdict, admission};

use super::{Head, Refusal};

/// Names, besides loopback and the addresses listened on, by which clients may call this server. Lower case, no port.
pub type AllowedHosts = BTreeSet<String>;

/// Why this head must not reach a handler, if so. `local` is the address the connection arrived at.
pub fn refusal(head: &Head, local: IpAddr, allowed: &AllowedHosts) -> Option<Refusal> {
    let host = head.host();
    let verdict = admission(
        classify_host(host, local, allowed),
        classify_origin(&head.all("origin").collect::<Vec<_>>(), host),
        classify_site(head.all("sec-fetch-site")),
    );
    match verdict.then {
        Verdict::Pass => None,
        Verdict::RefuseHost => Some(Refusal::ForeignHost),
        Verdict::RefuseOrigin => Some(Refusal::ForeignOrigin),
    }
}

fn classify_host(host: Option<&str>, local: IpAddr, allowed: &AllowedHosts) -> Host {
    let Some(host) = host else { return Host::Missing };
    let Some((name, _)) = split_port(host) else { return Host::Foreign };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let ours = match literal(&name) {
        Some(address) => is_loopback(address) || address == local.to_canonical() || allowed.contains(&name),
        None => name == "localhost" || allowed.contains(&name),
    };
    if ours { Host::Ours } else { Host::Foreign }
}

fn classify_origin(origins: &[&str], host: Option<&str>) -> Origin {
    let (origin, host) = match (origins, host) {
        ([], _) => return Origin::Absent,
        ([origin], Some(host)) => (origin, host),
        _ => return Origin::Other,
    };
    // TLS ends elsewhere, if anywhere: the port tells the two schemes apart well enough.
    let (authority, default_port) = match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
        (Some(authority), _) => (authority, 80),
        (_, Some(authority)) => (authority, 443),
        _ => return Origin::Other,
    };
    let same = match (split_port(authority), split_port(host)) {
        (Some((page, page_port)), Some((name, port))) => {
            page.eq_ignore_ascii_case(name) && page_port.unwrap_or(default_port) == port.unwrap_or(default_port)
        }
        _ => false,
    };
    if same { Origin::Same } else { Origin::Other }
}

fn classify_site<'a>(mut sites: impl Iterator<Item = &'a str>) -> Site {
    if sites.any(|site| site.trim().eq_ignore_ascii_case("cross-site")) { Site::Cross } else { Site::Near }
}

/// `name:port` or `name`, the port parsed; `None` if the port is no port or the name is empty.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    };
    let port = match port {
        // RFC 3986 section 3.2.3 permits an empty port.
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    (!name.is_empty()).then_some((name, port))
}

fn literal(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical()),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// 127.0.0.0/8 and ::1. The unspecified addresses are not: some browsers send 0.0.0.0 to loopback unasked.
fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let allowed = AllowedHosts::from(["miniku.example".to_string()]);
        let check = |host: &str, want| {
            assert_eq!(classify_host(Some(host), "192.0.2.7".parse().unwrap(), &allowed), want, "{host}");
        };
        for ours in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
            "192.0.2.7:8080",
            "miniku.example",
            "Miniku.Example:443",
            "localhost:",
        ] {
            check(ours, Host::Ours);
        }
        for foreign in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "192.0.2.8",
            "0.0.0.0:8080",
            "[::]:8080",
            "",
            ":8080",
            "localhost:http",
            "localhost:99999",
            "[::1",
            "::1",
            "user@localhost",
            "2130706433",
        ] {
            check(foreign, Host::Foreign);
        }
        assert_eq!(classify_host(None, "127.0.0.1".parse().unwrap(), &allowed), Host::Missing);
    }

    #[test]
    fn origins() {
        let check =
            |origins: &[&str], host, want| assert_eq!(classify_origin(origins, host), want, "{origins:?} {host:?}");
        check(&[], Some("localhost:8080"), Origin::Absent);
        check(&["http://localhost:8080"], Some("localhost:8080"), Origin::Same);
        check(&["http://LocalHost:8080"], Some("localhost:8080"), Origin::Same);
        check(&["http://localhost"], Some("localhost"), Origin::Same);
        check(&["http://localhost:80"], Some("localhost"), Origin::Same);
        check(&["https://localhost"], Some("localhost:443"), Origin::Same);
        check(&["http://[::1]:8080"], Some("[::1]:8080"), Origin::Same);
        check(&["http://localhost:3000"], Some("localhost:8080"), Origin::Other);
        check(&["http://127.0.0.1:8080"], Some("localhost:8080"), Origin::Other);
        check(&["https://evil.example"], Some("localhost:8080"), Origin::Other);
        check(&["null"], Some("localhost:8080"), Origin::Other);
        check(&[""], Some("localhost:8080"), Origin::Other);
        check(&["http://localhost:8080"], None, Origin::Other);
        check(&["http://localhost:8080", "http://evil.example"], Some("localhost:8080"), Origin::Other);
    }

    #[test]
    fn sites() {
        let check = |site: &[&str], want| assert_eq!(classify_site(site.iter().copied()), want);
        check(&[], Site::Near);
        check(&["same-origin"], Site::Near);
        check(&["same-site"], Site::Near);
        check(&["none"], Site::Near);
        check(&["Cross-Site"], Site::Cross);
        check(&["none", "cross-site"], Site::Cross);
    }
}
