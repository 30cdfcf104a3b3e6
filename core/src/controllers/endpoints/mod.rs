//! Endpoints: which addresses are behind each service, for those who send there.
//!
//! [`upkeep`] says whose endpoints are kept, [`membership`] which pods are endpoints and how, [`ports`] which of their
//! ports are meant. They are shown twice: in EndpointSlices, into which [`packing`] distributes them, and in the older
//! Endpoints, whose form is made in [`subsets`]. [`plan`](mod@plan) puts it together. The [program](EndpointsController)
//! keeps the views, knows by labels which services a pod concerns, and carries the plan out.
//!
//! Endpoints that people make for services without a selector are not mirrored into slices; and nothing is said of
//! zones.

pub mod membership;
pub mod packing;
pub mod plan;
pub mod ports;
mod program;
pub mod subsets;
#[cfg(test)]
mod tests;
pub mod upkeep;

pub use program::{EndpointsController, Options};

use crate::pages::Page;

/// The pages of this folder's tables.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("endpoints", "Which pods are behind a service", "the endpoints controller")
            .says(
                "A service with a selector has EndpointSlices, and Endpoints of its own name, which show the pods with \
                 these labels. Whether they are kept:",
            )
            .decides(&upkeep::UPKEEP)
            .says("What each pod with these labels is among them:")
            .decides(&membership::MEMBERSHIP)
            .says(format!(
                "A slice has at most {} endpoints, all of them with the same ports. An endpoint stays in its slice. New \
                 ones fill slices that have to be written anyway, the fullest first; then the one slice that has just \
                 enough room for the rest; then new slices. Endpoints show at most {} addresses, and are annotated with \
                 `{}: truncated` if there are more.",
                packing::SLICE_MAX,
                subsets::ADDRESSES_MAX,
                crate::api::endpoints::OVER_CAPACITY,
            )),
    ]
}
