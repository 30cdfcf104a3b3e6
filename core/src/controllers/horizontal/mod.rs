//! Autoscalers: how many pods there are to be, by how much they do.
//!
//! [`counting`] says which pods count, [`replicas`] how many one metric asks for, [`behaviour`] how fast the number may
//! change, and [`plan`] what is done, written and told. [`stepwise`] is Minik8s' kind. The [program](HorizontalController)
//! asks for the target's scale and for what its pods use, and carries plans out.

pub mod behaviour;
pub mod counting;
pub mod plan;
mod program;
pub mod replicas;
pub mod stepwise;
#[cfg(test)]
mod tests;

pub use program::{HorizontalController, Options, SYNC_PERIOD};

use crate::pages::Page;

/// The pages of this folder's tables.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("autoscaling", "How many pods an autoscaler wishes", "the controller of autoscalers")
            .says(format!(
                "Each {} s an autoscaler reads its target's scale and what the target's pods use. For each metric, \
                 ⌈pods that count × used ÷ wished⌉ are wished; up to {} % more or less than wished changes nothing. The \
                 largest number of all metrics counts. If a metric cannot be had, the others may ask for more and not \
                 for fewer. What pods request is what their use is a share of. As what each pod counts:",
                SYNC_PERIOD.as_secs(),
                replicas::TOLERANCE_PERCENT,
            ))
            .decides(&counting::PARTS)
            .says(format!(
                "A pod is young for {} s. One that is not ready, and has not been since {} s after its start, was never \
                 ready. A window is taken to be {} s long at least:",
                counting::CPU_INITIALIZATION_PERIOD.as_secs(),
                counting::INITIAL_READINESS_DELAY.as_secs(),
                counting::USUAL_WINDOW.as_secs(),
            ))
            .decides(&counting::TRUST)
            .says(format!(
                "If pods are missing or not ready, the number is reckoned again with what is assumed of them, and nothing \
                 changes if that is near to what is wished or would turn the way. Then the number is held: going down it is \
                 not less than any that was recommended in the last {} s, or in the window that `behavior` says; going up, \
                 not more than any within that way's window. Policies allow so many pods, or percent, more or fewer than \
                 there were a period ago; without `behavior`, twice as many or four. It is never beyond the bounds.",
                behaviour::DOWN_WINDOW.as_secs(),
            ))
            .says(
                "Minik8s' `Hpa` looks each `interval` seconds, and makes one step. It copies the pod that it names, and \
                 removes its copies, the youngest first:",
            )
            .decides(&stepwise::STEPS),
    ]
}
