//! Whether a node takes a pod that is bound to it.
//!
//! The scheduler binds only where there is room. But who names a node in `spec.nodeName` asks nobody, and what a former
//! scheduler has asked for may come late. What is refused has failed, and whoever owns it makes another.
//!
//! Only processors, memory and the number of pods are looked at: what else a node has is said by others, and a kubelet may
//! hear of it later than the scheduler.
//!
//! Source: Kubernetes, `pkg/kubelet/lifecycle/predicate.go`; `plugins/noderesources/fit.go` (`fitsRequest`).

use crate::api::pod::{PodPhase, PodSpec, PodStatus};
use crate::api::quantity::Quantity;
use crate::api::resources::of_pod;
use crate::api::text::Text;

/// What a pod requests, or a node has for all of its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory: u64,
}

impl Amount {
    /// What a pod requests.
    pub fn of(spec: &PodSpec) -> Self {
        let requests = of_pod(spec).requests;
        let of = |name: &str, unit: fn(&Quantity) -> u64| requests.get(name).map_or(0, unit);
        Amount { cpu_milli: of("cpu", Quantity::milli_value), memory: of("memory", Quantity::value) }
    }
}

/// What a node has for its pods.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// What they may request together.
    pub amount: Amount,
    /// How many they may be.
    pub pods: u64,
}

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `OutOf` and what is short: `OutOfcpu`.
    pub reason: Text,
    /// With the numbers.
    pub message: String,
}

/// Why a pod is refused that wants this much beside those that are there, if it is. What it does not request is never short.
pub fn refusal(wanted: Amount, there: impl Iterator<Item = Amount>, offer: Offer) -> Option<Refusal> {
    let (mut used, mut pods) = (Amount::default(), 0_u64);
    for one in there {
        used.cpu_milli = used.cpu_milli.saturating_add(one.cpu_milli);
        used.memory = used.memory.saturating_add(one.memory);
        pods += 1;
    }
    let all = [
        ("pods", 1, pods, offer.pods),
        ("cpu", wanted.cpu_milli, used.cpu_milli, offer.amount.cpu_milli),
        ("memory", wanted.memory, used.memory, offer.amount.memory),
    ];
    let is_short = |(_, wanted, used, has): &(&str, u64, u64, u64)| *wanted > 0 && *wanted > has.saturating_sub(*used);
    let (name, wanted, used, has) = all.into_iter().find(is_short)?;
    let message =
        format!("Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {has}");
    Some(Refusal { reason: format!("OutOf{name}").into(), message })
}

/// What a refused pod's message begins with.
const REJECTED: &str = "Pod was rejected: ";

impl Refusal {
    /// As the pod's status tells it.
    pub fn told(&self) -> String {
        format!("{REJECTED}{}", self.message)
    }

    /// Why a pod was refused by what its status tells, if it was.
    pub fn read(status: &PodStatus) -> Option<Self> {
        let message = status.message.strip_prefix(REJECTED)?;
        let is_refused = status.phase == PodPhase::Failed && status.container_statuses.is_empty();
        is_refused.then(|| Refusal { reason: status.reason.clone(), message: message.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_told_with_its_numbers() {
        let offer = Offer { amount: Amount { cpu_milli: 2000, memory: 1000 }, pods: 3 };
        let amount = |(cpu_milli, memory)| Amount { cpu_milli, memory };
        let check = |wanted: (u64, u64), there: &[(u64, u64)], want: &str| {
            let refused = refusal(amount(wanted), there.iter().copied().map(amount), offer);
            let told = refused.map_or("taken".into(), |one| format!("{}: {}", one.reason, one.message));
            assert_eq!(told, want);
        };
        let short =
            |what: &str, numbers: &str| format!("OutOf{what}: Node didn't have enough resource: {what}, {numbers}");
        check((2000, 1000), &[], "taken");
        check((1500, 0), &[(500, 0)], "taken");
        check((1500, 0), &[(501, 0)], &short("cpu", "requested: 1500, used: 501, capacity: 2000"));
        check((0, 600), &[(0, 300), (0, 101)], &short("memory", "requested: 600, used: 401, capacity: 1000"));
        check((0, 0), &[(0, 0); 3], &short("pods", "requested: 1, used: 3, capacity: 3"));
        // What is not requested is never short.
        check((0, 1), &[(9000, 0)], "taken");
    }
}
