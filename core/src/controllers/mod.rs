//! Controllers: programs that compare what is wished with what is, and ask for what is missing.

pub mod attempts;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod garbage;
pub mod horizontal;
pub mod job;
pub(crate) mod labelled;
pub mod namespaces;
pub mod node_lifecycle;
pub mod replicaset;
pub mod replication;
pub mod statefulset;
#[cfg(test)]
#[allow(clippy::disallowed_macros, reason = "a failing property prints its seed")]
pub(crate) mod testing;
pub mod workload;

use crate::pages::Page;

/// The pages of what is told of pods that run, of what happens to pods and nodes that are lost, and to what is left over.
/// The sets' own come first in a pod's life, and are listed by themselves.
pub fn pages() -> Vec<Page> {
    [
        endpoints::pages(),
        disruption::pages(),
        horizontal::pages(),
        node_lifecycle::pages(),
        garbage::pages(),
        namespaces::pages(),
    ]
    .concat()
}
