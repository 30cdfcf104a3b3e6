//! Lease: who holds something, and until when unless it is renewed.
//!
//! Source: Kubernetes API reference v1.32, "Lease"; documentation, "Leases".

use crate::api::kinds::Column;
use crate::api::meta::{MicroTime, ObjectMeta};
use crate::api_struct;

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
        holder_identity "holderIdentity": Option<String>,
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
        lease.spec.holder_identity.clone().unwrap_or_default()
    }),
    Column::age(),
];
