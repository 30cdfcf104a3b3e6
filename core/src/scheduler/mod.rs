//! The scheduler: which node a pod runs on.
//!
//! A pod without a node is taken from the queue, nodes that cannot take it are left out ([`filters`]), one of the others
//! is chosen ([`strategy`]), and the API server is asked to bind the two. A pod that no node takes waits until something
//! changes that could help ([`wake_ups`]). What becomes of a bind whose answer is bad or missing is decided in
//! [`binding`]. [`program`] holds the state.

pub mod binding;
pub mod filters;
pub mod nodes;
pub mod program;
pub mod strategy;
pub mod wake_ups;

#[cfg(test)]
mod examples;

pub use filters::{FILTERS, Filter, Refusal, Unschedulable};
pub use nodes::{NodeFacts, NodeIndex, Nodes, PodFacts};
pub use program::{Scheduler, SchedulerOptions};
pub use strategy::{STRATEGIES, Strategy, Turn, pick};

/// The pages of this folder's tables: the stem of its file, and its Markdown.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("scheduler_filters", filters::page()),
        ("scheduler_strategies", strategy::page()),
        ("scheduler_wake_ups", wake_ups::page()),
        ("scheduler_binding", binding::page()),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_page_has_a_title_and_rows() {
        for (stem, page) in super::pages() {
            assert!(
                page.starts_with("# ") && page.matches("\n| `").count() + page.matches("\n| a ").count() > 3,
                "{stem}"
            );
        }
    }
}
