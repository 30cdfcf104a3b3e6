//! Disruption budgets: how many pods may be evicted now. And what is said of pods that were to go, and have not.
//!
//! [`counting`] says which pods are healthy, [`scale`] how many their controllers want, [`allowance`] how many may go, and
//! [`grants`] how long an eviction is remembered that was granted. Evictions are granted by the API server
//! ([`eviction`](crate::apiserver::eviction)), which charges the budget; the [program](DisruptionController) counts anew. Both
//! write the budget on the version that they read, so that neither overwrites what the other has counted.
//!
//! [`stale`] says when it is taken back that a pod goes, whoever wanted it to.

pub mod allowance;
pub mod counting;
pub mod grants;
mod program;
pub mod scale;
pub mod stale;
#[cfg(test)]
mod tests;

pub use program::{DisruptionController, Options};

use crate::pages::Page;

/// The pages of this folder's tables.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("disruption", "How many pods may be evicted", "the disruption controller")
            .says(
                "A PodDisruptionBudget allows as many evictions as there are healthy pods more than it demands: \
                 `minAvailable`, or what `maxUnavailable` leaves of the number that the pods' controllers want. Parts in \
                 percent are rounded up. Which pods are healthy:",
            )
            .decides(&counting::COUNTING)
            .says(format!(
                "An eviction that the API server grants is written into `disruptedPods`, and takes one of the disruptions \
                 that are allowed. There it stays until the pod is seen to go, for at most {} s after pods are seen as \
                 they were when it was granted:",
                grants::DELETION_TIMEOUT.as_secs(),
            ))
            .decides(&grants::GRANT)
            .says(format!(
                "Whoever makes a pod go, by an eviction or otherwise, says so in its condition `DisruptionTarget`, so that \
                 its end is not taken for its own failure. If the pod lives on, that is taken back after {} s:",
                stale::STALE_AFTER.as_secs(),
            ))
            .decides(&stale::STALE_DISRUPTION),
    ]
}
