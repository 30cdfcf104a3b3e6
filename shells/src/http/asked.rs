//! A request as those see it who answer it.

use std::borrow::Cow;

/// What is asked, whoever carries the answer back.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// As sent, such as `GET`.
    pub method: &'a str,
    /// Path and query as sent.
    pub target: &'a str,
    /// The headers that decide about an answer.
    pub headers: Headers<'a>,
    /// The whole body; empty if there is none.
    pub body: &'a [u8],
}

/// Headers of a request; a text is empty if there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// What the body is.
    pub content_type: &'a str,
    /// What the answer may be.
    pub accept: &'a str,
    /// How the answer may be packed.
    pub accept_encoding: &'a str,
    /// Who the client says that it is.
    pub authorization: &'a str,
    /// Which program the client is.
    pub user_agent: &'a str,
    /// The lease by which the client leads.
    pub lease: &'a str,
    /// Whether the client speaks for somebody else; for whom is in the headers themselves.
    pub impersonates: bool,
}

/// The header that says by which lease whoever writes leads. Kubernetes has none.
pub const LEASE: &str = "Miniku-Lease";

impl<'a> Headers<'a> {
    /// Whether the answer may be packed by gzip.
    pub fn takes_gzip(&self) -> bool {
        self.accept_encoding.split(',').any(|one| {
            let mut parts = one.split(';').map(str::trim);
            // A weight of zero is a refusal. Source: RFC 9110, section 12.4.2.
            let refused = |part: &str| {
                let weight = part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
                weight.is_some_and(|weight| weight <= 0.0)
            };
            parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip")) && !parts.any(refused)
        })
    }

    /// Takes them out of all headers; of several of one name the first counts.
    pub fn of(all: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut headers = Headers::default();
        for (name, value) in all {
            if name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("impersonate-")) {
                headers.impersonates = true;
                continue;
            }
            let field = match name.len() {
                6 if name.eq_ignore_ascii_case("accept") => &mut headers.accept,
                10 if name.eq_ignore_ascii_case("user-agent") => &mut headers.user_agent,
                12 if name.eq_ignore_ascii_case("content-type") => &mut headers.content_type,
                12 if name.eq_ignore_ascii_case(LEASE) => &mut headers.lease,
                13 if name.eq_ignore_ascii_case("authorization") => &mut headers.authorization,
                15 if name.eq_ignore_ascii_case("accept-encoding") => &mut headers.accept_encoding,
                _ => continue,
            };
            if field.is_empty() {
                *field = value;
            }
        }
        headers
    }
}

impl<'a> Asked<'a> {
    /// The path as sent, without the query.
    pub fn path(self) -> &'a str {
        split_query(self.target).0
    }

    /// The path's segments, decoded after splitting, so that `%2F` stays within one. `/` has none; a closing `/`
    /// leaves an empty last one. `None` if an escape is malformed or a segment is not UTF-8.
    pub fn segments(self) -> Option<Vec<Cow<'a, str>>> {
        segments(self.path())
    }

    /// What follows the `?`, undecoded; empty if there is none.
    pub fn query(self) -> &'a str {
        split_query(self.target).1
    }

    /// The query's pairs in order, decoded; `+` is a space. Malformed escapes stay as they are, as in Go's client libraries' servers.
    pub fn query_pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        query_pairs(self.query())
    }
}

fn split_query(url: &str) -> (&str, &str) {
    url.split_once('?').unwrap_or((url, ""))
}

fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    match path.strip_prefix('/') {
        None | Some("") => Some(Vec::new()),
        Some(path) => path.split('/').map(|segment| decode(segment, false)).collect(),
    }
}

fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| decode(text, true).unwrap_or(Cow::Borrowed(text));
        (decoded(name), decoded(value))
    })
}

/// Percent-decoding (RFC 3986 section 2.1); `plus` as in forms. `None` if an escape is malformed or the result no UTF-8.
fn decode(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                (high << 4 | low) as u8
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_or_refused() {
        let check = |accept_encoding: &str, want: bool| {
            assert_eq!(Headers { accept_encoding, ..Headers::default() }.takes_gzip(), want, "{accept_encoding}");
        };
        check("gzip", true);
        check("deflate, GZIP;q=0.5", true);
        check("gzip, deflate, br", true);
        check("", false);
        check("br", false);
        check("gzip;q=0", false);
        check("gzip; q=0.000, br", false);
        check("x-gzip", false);
    }

    #[test]
    fn paths_and_queries() {
        let check = |path, want: &[&str]| assert_eq!(segments(path).unwrap(), want, "{path}");
        check("/", &[]);
        check("/api/v1", &["api", "v1"]);
        check("/api/", &["api", ""]);
        check("/a%2Fb/system%3Anode", &["a/b", "system:node"]);
        check("/a+b", &["a+b"]);
        for malformed in ["/%", "/%1", "/%zz", "/%ff"] {
            assert_eq!(segments(malformed), None, "{malformed}");
        }
        let pairs: Vec<_> = query_pairs("watch=1&labelSelector=a%3Db+c&&flag&bad=%zz").collect();
        let want = [("watch", "1"), ("labelSelector", "a=b c"), ("flag", ""), ("bad", "%zz")];
        assert_eq!(pairs, want.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))));
    }
}
