//! Which browser pages may use a port that asks nobody who they are.
//!
//! Any page a user has open can make the browser send requests to 127.0.0.1. Two rules keep it out: the Host must be
//! a name of this server (a foreign name that resolves to us is DNS rebinding), and a page must be of the same origin
//! as the server. Programs such as curl send none of these headers but Host and pass. How they are read is the
//! shell's business.

use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whom the Host header names.
    pub enum Host {
        /// A loopback name or address, an address this connection reached, or a configured name.
        Ours,
        /// HTTP/1.0 without Host: no browser sends it.
        Missing,
        /// Anything else.
        Foreign,
    }
}

decision_enum! {
    /// What the Origin header says. Browsers add it to every cross-origin request except plain GET and HEAD.
    pub enum Origin {
        /// Not a browser, or a same-origin GET.
        Absent,
        /// The same host and port as the Host header.
        Same,
        /// Another origin, `null`, or not an origin at all.
        Other,
    }
}

decision_enum! {
    /// What `Sec-Fetch-Site` says. No page can set or remove it.
    pub enum Site {
        /// Absent, `same-origin`, `same-site`, or `none` (typed into the address bar).
        Near,
        /// `cross-site`.
        Cross,
    }
}

decision_enum! {
    /// What becomes of the request.
    pub enum Verdict {
        /// It is handled.
        Pass,
        /// 403: it names a host that is not this server.
        RefuseHost,
        /// 403: a page of another origin is behind it.
        RefuseOrigin,
    }
}

decision_table! {
    /// Pure and total. Page: `docs/decisions/origin.md`.
    pub fn admission(host: Host, origin: Origin, site: Site) -> Verdict, ADMISSION;
    rebinding:   (Foreign, _, _)                    => RefuseHost,   "a foreign name that leads here is DNS rebinding";
    other_page:  (Ours | Missing, Other, _)         => RefuseOrigin, "a page of another origin asks";
    cross_site:  (Ours | Missing, Absent | Same, Cross) => RefuseOrigin, "the browser says another site is behind it";
    program:     (Ours | Missing, Absent, Near)     => Pass,         "curl, kubectl, or a page the user opened himself";
    own_page:    (Ours | Missing, Same, Near)       => Pass,         "a page asks the server that it came from";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A curl POST with a form content type looks like `program`; only the listed rows refuse.
    #[test]
    fn rows() {
        let refused: Vec<&str> =
            ADMISSION.rows.iter().filter(|row| row.then != Verdict::Pass).map(|row| row.name).collect();
        assert_eq!(refused, ["rebinding", "other_page", "cross_site"]);
        assert_eq!(admission(Host::Ours, Origin::Absent, Site::Near).name, "program");
    }
}
