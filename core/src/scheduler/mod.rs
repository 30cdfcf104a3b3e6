//! The scheduler: which node a pod runs on.
//!
//! A pod without a node is taken from the queue, nodes that cannot take it are left out ([`filters`]), one of the others
//! is chosen ([`scores`], [`strategy`]), and the API server is asked to bind the two. A pod that no node takes waits until
//! something changes that could help ([`wake_ups`]), or less important ones have to go for it ([`preemption`]). What
//! becomes of a bind whose answer is bad or missing is decided in [`binding`].
//!
//! What is looked at: pods as their [`facts`], which those of one template share; [`nodes`]; and who is near whom
//! ([`neighbours`]). What nodes say to pods that are alike is kept in a [`standing`]. [`explain`] tells it to
//! people, and [`what_if`] of pods that are not there.
//! [`program`] holds the state.

pub mod amount;
pub mod binding;
pub mod explain;
pub mod facts;
pub mod filters;
pub mod neighbours;
pub mod nodes;
pub mod preemption;
pub mod program;
pub mod scores;
pub mod standing;
pub mod strategy;
pub mod volumes;
pub mod wake_ups;
pub mod what_if;

#[cfg(test)]
mod examples;

pub use amount::Amount;
pub use facts::PodFacts;
pub use filters::{FILTERS, Filter, Refusal, Unschedulable};
pub use nodes::{NodeFacts, NodeIndex, Nodes};
pub use program::{Scheduler, SchedulerOptions};
pub use scores::{SCORES, Score};
pub use standing::Standing;
pub use strategy::{STRATEGIES, Shape, Strategy, Turn, pick};

use crate::pages::Page;

/// The pages of this folder's tables.
pub fn pages() -> Vec<Page> {
    vec![filters::page(), scores::page(), strategy::page(), wake_ups::page(), binding::page(), preemption::page()]
}
