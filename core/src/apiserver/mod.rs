//! The API server: the only place where programs meet.
//!
//! A request is answered from the store, or becomes a write. [`admission`] decides what a write makes of an object,
//! `pods` what a new pod is given because of other objects, `limits` within which bounds it must be, [`quota`] whether there is room
//! for it, [`deletion`] whether a deletion removes an object or only
//! begins to, [`eviction`] whether a pod may be deleted for the sake of its node. A write is answered, and told to watchers, when the
//! engine has made it durable. A second write to an object whose first is on its way waits for it. [`origin`] decides
//! what is not even read.

pub mod admission;
pub mod definitions;
pub mod deletion;
pub mod discovery;
pub mod eviction;
pub mod fencing;
pub mod fields;
mod history;
mod limits;
pub mod origin;
mod own;
mod pods;
mod program;
pub mod quota;
pub mod services;
#[cfg(test)]
mod tests;

pub use program::{ApiServer, Author, Options, Page};

use crate::pages;

/// The pages of this folder's tables.
pub fn pages() -> Vec<pages::Page> {
    vec![
        history::page(),
        pages::Page::new("deletion", "What a deletion does to an object", "the API server")
            .says(
                "A grace period counts only for a pod that a node may still run: pods without a node, finished pods \
                 and all other kinds are deleted with none. The kubelet deletes a pod with a grace period of zero when \
                 nothing of it is left on the node.",
            )
            .decides(&deletion::DELETION),
        pages::Page::new("eviction", "Whether a pod may be evicted", "the API server")
            .says(
                "A PodDisruptionBudget says how many of its pods may be missing at a time; a controller keeps count in \
                 `status`. A pod is written into the budget when it is granted an eviction, and deleted when that is \
                 durable: no two evictions spend the same disruption, and one that is asked for again spends none.",
            )
            .decides(&eviction::EVICTION),
        pages::Page::new("fencing", "Whether a leader's write may still be made", "the API server")
            .says(
                "Of several schedulers or controllers one leads, by a lease: see [`leader`](leader.md). Its writes say by \
                 which lease, of which uid, held by whom and in which term. The lease is looked at in the step that admits \
                 the write; while the lease itself is being written, the write waits. Over HTTP it is the header \
                 `Miniku-Lease`: see [why](../why/leader-election.md). Writes that name no lease are not asked.",
            )
            .decides(&fencing::FENCING),
        quota::page(),
        pages::Page::new("origin", "Whether a request may have been made by a web page", "every HTTP server of miniku")
            .says(
                "Nobody is asked who they are, and any page that a user has open can make the browser send requests \
                 to 127.0.0.1. So what a browser tells of the page behind a request decides first of all whether it \
                 is read. Programs send none of these headers but Host.",
            )
            .decides(&origin::ADMISSION),
    ]
}
