//! Lease: who holds something, and until when unless it is renewed.
//!
//! Source: Kubernetes API reference v1.32, "Lease"; documentation, "Leases".

use crate::api::kinds::{Column, Kind};
use crate::api::meta::{MicroTime, ObjectMeta};
use crate::api::object::Key;
use crate::api::text::Text;
use crate::api_struct;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

api_struct! {
    /// A lease.
    pub struct Lease {
        /// Names, identity, versions.
        metadata "metadata" always: ObjectMeta,
        /// Who holds it.
        spec "spec" always: LeaseSpec,
    }
}

api_struct! {
    /// Who holds a lease.
    pub struct LeaseSpec {
        /// The holder.
        holder_identity "holderIdentity": Option<Text>,
        /// How long it is valid after a renewal, in seconds.
        lease_duration_seconds "leaseDurationSeconds": Option<i32>,
        /// When the holder took it.
        acquire_time "acquireTime": Option<MicroTime>,
        /// When the holder last renewed it.
        renew_time "renewTime": Option<MicroTime>,
        /// How often it went from one holder to another.
        lease_transitions "leaseTransitions": Option<i32>,
    }
}

/// What kubectl shows of leases.
pub const COLUMNS: &[Column] = &[
    Column::name("Name"),
    Column::new("Holder", 0, |object, _| {
        let lease: &Lease = object.get().expect("the table of kinds hands these columns leases only");
        lease.spec.holder_identity.clone().unwrap_or_default().to_string()
    }),
    Column::age(),
];

/// Under which lease somebody writes: what it says of its holder, and which of the leases of its name it is.
///
/// A lease that was taken again has another term, though its holder is the same; one that was made again has another
/// uid, though its terms begin anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fence {
    /// Which lease.
    pub lease: Key,
    /// Its uid.
    pub uid: String,
    /// Who holds it.
    pub holder: String,
    /// The number of its transitions.
    pub term: i32,
}

impl Fence {
    /// What a lease says now; absent if nobody holds it.
    pub fn of(lease: &Lease) -> Option<Self> {
        let holder = lease.spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
        let (meta, term) = (&lease.metadata, lease.spec.lease_transitions.unwrap_or(0));
        Some(Fence {
            lease: Key::new(Kind::Lease, &meta.namespace, &meta.name),
            uid: meta.uid.to_string(),
            holder: holder.to_string(),
            term,
        })
    }
}

/// As it is sent: `kube-system/kube-scheduler; uid=…; term=3; holder=…`.
impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fence { lease, uid, holder, term } = self;
        write!(f, "{}/{}; uid={uid}; term={term}; holder={holder}", lease.namespace, lease.name)
    }
}

/// The error is a sentence.
impl FromStr for Fence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no NAMESPACE/LEASE; uid=UID; term=NUMBER; holder=IDENTITY");
        let mut parts = text.splitn(4, "; ");
        let (namespace, name) = parts.next().and_then(|lease| lease.split_once('/')).ok_or_else(wrong)?;
        let mut field = |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or_else(wrong);
        let (uid, term, holder) = (field("uid=")?.into(), field("term=")?, field("holder=")?.into());
        let term = term.parse().map_err(|_| wrong())?;
        Ok(Fence { lease: Key::new(Kind::Lease, namespace, name), uid, holder, term })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_read_as_they_are_written() {
        let lease = Key::new(Kind::Lease, "kube-system", "kube-scheduler");
        for holder in ["one_1", "a; term=4; holder=b", ""] {
            let fence = Fence { lease: lease.clone(), uid: "u-1".into(), holder: holder.into(), term: -3 };
            assert_eq!(fence.to_string().parse(), Ok(fence));
        }
        for text in
            ["", "a/b", "a; uid=; term=1; holder=", "a/b; uid=u; term=x; holder=h", "a/b; term=1; uid=u; holder=h"]
        {
            assert!(text.parse::<Fence>().is_err(), "{text}");
        }
    }
}
