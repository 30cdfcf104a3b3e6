//! What pods request, and what a node's pods request together.

use crate::api::pod::{Pod, PodSpec, ResourceRequirements};
use crate::api::quantity::Quantity;
use crate::api::text::Text;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// No node is taken to offer as much, and a pod that requests more is taken to request this: it fits nowhere.
///
/// 2^48 bytes are 256 TiB. The bound leaves room to add up 65,536 pods, and to multiply by [`WHOLE`], in 64 bits.
///
/// [`WHOLE`]: super::scores::WHOLE
pub const AMOUNT_MAX: u64 = 1 << 48;

/// What pods request together, of one pod or of all on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes of `ephemeral-storage`.
    pub ephemeral: u64,
    /// As `cpu_milli`, but a container that requests none counts as [`RANKED_CPU_MILLI`]. For ranking only.
    pub ranked_cpu_milli: u64,
    /// As `memory`, but a container that requests none counts as [`RANKED_MEMORY`]. For ranking only.
    pub ranked_memory: u64,
    /// Any other resource, such as `example.com/gpu`. Never 0.
    pub more: BTreeMap<Text, u64>,
}

/// What a container without a request for processors weighs when nodes are ranked.
///
/// Without it, pods that request nothing would all go to the one node that is least allocated now.
/// Source: Kubernetes, `pkg/scheduler/util/pod_resources.go` (`DefaultMilliCPURequest`).
pub const RANKED_CPU_MILLI: u64 = 100;

/// What a container without a request for memory weighs when nodes are ranked.
///
/// Source: Kubernetes, `pkg/scheduler/util/pod_resources.go` (`DefaultMemoryRequest`).
pub const RANKED_MEMORY: u64 = 200 << 20;

impl Amount {
    /// What a pod requests.
    ///
    /// Init containers run one after the other before the others start, so the largest counts where it is more than all
    /// others together; those that go on running (`restartPolicy: Always`) count with both. What the pod itself takes
    /// (`overhead`) comes on top.
    /// Source: Kubernetes documentation, "Sidecar Containers", resource sharing; `component-helpers/resource`
    /// (`PodRequests`).
    pub fn of(pod: &Pod) -> Self {
        let spec = &*pod.spec;
        let inits = init_containers(spec);
        if inits.is_empty() && spec.overhead.is_empty() || planted!(InitContainersFree) {
            return Amount::of_containers(spec);
        }
        let all = || spec.containers.iter().map(|one| &one.resources).chain(inits.iter().map(|(one, _)| one));
        let named = all().flat_map(|one| one.requests.iter().chain(one.limits.iter()));
        let names: BTreeSet<&Text> = named.chain(spec.overhead.iter()).map(|(name, _)| name).collect();
        let mut amount = Amount::default();
        for name in names {
            let sum = |unit: fn(&Quantity) -> u64| {
                let asked = |one: &ResourceRequirements| wished(one, name).map_or(0, unit);
                let mut running = spec.containers.iter().map(|one| asked(&one.resources)).fold(0, u64::saturating_add);
                let (mut aside, mut most) = (0_u64, 0_u64);
                for (resources, stays) in &inits {
                    let one = asked(resources);
                    if *stays {
                        running = running.saturating_add(one);
                        aside = aside.saturating_add(one);
                        most = most.max(aside);
                    } else {
                        let beside = if planted!(InitsSummed) { most } else { aside };
                        most = most.max(beside.saturating_add(one));
                    }
                }
                running.max(most).saturating_add(spec.overhead.get(name).map_or(0, unit))
            };
            amount.set(name, sum);
        }
        amount.rank(spec)
    }

    fn of_containers(spec: &PodSpec) -> Self {
        let mut amount = Amount::default();
        for container in &*spec.containers {
            let resources = &container.resources;
            for (name, wish) in &resources.requests {
                amount.add_to(name, wish);
            }
            for (name, limit) in resources.limits.iter().filter(|(name, _)| !resources.requests.contains_key(name)) {
                amount.add_to(name, limit);
            }
        }
        let Amount { cpu_milli, memory, ephemeral, .. } = amount;
        amount.cpu_milli = cpu_milli.min(AMOUNT_MAX);
        amount.memory = memory.min(AMOUNT_MAX);
        amount.ephemeral = ephemeral.min(AMOUNT_MAX);
        amount.more.values_mut().for_each(|one| *one = (*one).min(AMOUNT_MAX));
        amount.rank(spec)
    }

    fn add_to(&mut self, name: &str, wish: &Quantity) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        match name {
            "cpu" => add(&mut self.cpu_milli, wish.milli_value()),
            "memory" => add(&mut self.memory, wish.value()),
            "ephemeral-storage" => add(&mut self.ephemeral, wish.value()),
            _ if wish.is_zero() => {}
            _ => add(self.more.entry(name.into()).or_default(), wish.value()),
        }
    }

    fn set(&mut self, name: &str, sum: impl Fn(fn(&Quantity) -> u64) -> u64) {
        let whole = || sum(Quantity::value).min(AMOUNT_MAX);
        match name {
            "cpu" => self.cpu_milli = sum(Quantity::milli_value).min(AMOUNT_MAX),
            "memory" => self.memory = whole(),
            "ephemeral-storage" => self.ephemeral = whole(),
            _ => {
                let amount = whole();
                if amount > 0 {
                    self.more.insert(name.into(), amount);
                }
            }
        }
    }

    fn rank(mut self, spec: &PodSpec) -> Self {
        let without = |name: &str| {
            let none = spec.containers.iter().filter(|container| {
                let resources = &container.resources;
                !resources.requests.contains_key(name) && !resources.limits.contains_key(name)
            });
            none.count() as u64
        };
        let ranked = |amount: u64, name, each: u64| {
            let each = if planted!(SilentWeighNothing) { 0 } else { each };
            amount.saturating_add(without(name) * each).min(AMOUNT_MAX)
        };
        self.ranked_cpu_milli = ranked(self.cpu_milli, "cpu", RANKED_CPU_MILLI);
        self.ranked_memory = ranked(self.memory, "memory", RANKED_MEMORY);
        self
    }

    /// Wraps around rather than saturating, so that taking away is always the opposite of adding.
    fn combine(&mut self, other: &Amount, with: fn(u64, u64) -> u64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory = with(self.memory, other.memory);
        self.ephemeral = with(self.ephemeral, other.ephemeral);
        self.ranked_cpu_milli = with(self.ranked_cpu_milli, other.ranked_cpu_milli);
        self.ranked_memory = with(self.ranked_memory, other.ranked_memory);
        for (name, amount) in &other.more {
            let sum = self.more.entry(name.clone()).or_default();
            *sum = with(*sum, *amount);
            if *sum == 0 {
                self.more.remove(name);
            }
        }
    }
}

fn wished<'a>(resources: &'a ResourceRequirements, name: &str) -> Option<&'a Quantity> {
    resources.requests.get(name).or_else(|| resources.limits.get(name))
}

/// What the init containers ask for, and which of them go on running. Nothing else acts on their fields yet, so they
/// are read here.
fn init_containers(spec: &PodSpec) -> Vec<(ResourceRequirements, bool)> {
    let all = spec.rest.get("initContainers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let read = |one: &Value| {
        let resources = one.get("resources").map(ResourceRequirements::deserialize);
        let stays = one.get("restartPolicy").and_then(Value::as_str) == Some("Always");
        (resources.and_then(Result::ok).unwrap_or_default(), stays)
    };
    all.iter().map(read).collect()
}

/// What a node's pods request together, and how many they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Their requests.
    pub amount: Amount,
    /// Their number.
    pub pods: u32,
}

impl Usage {
    /// With one pod more.
    pub fn add(&mut self, amount: &Amount) {
        self.amount.combine(amount, u64::wrapping_add);
        self.pods += 1;
    }

    /// With one pod less, which was added before.
    pub fn take(&mut self, amount: &Amount) {
        assert!(self.pods > 0, "only what was added is taken away");
        self.amount.combine(amount, u64::wrapping_sub);
        self.pods -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::pod;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn containers_without_requests_weigh_something_in_the_ranking() {
        let check = |pod: Pod, want: (u64, u64, u64, u64)| {
            let Amount { cpu_milli, memory, ranked_cpu_milli, ranked_memory, .. } = Amount::of(&pod);
            assert_eq!((cpu_milli, memory, ranked_cpu_milli, ranked_memory), want);
        };
        check(pod("p").0, (0, 0, 100, 200 << 20));
        check(pod("p").requests("cpu", "1").0, (1000, 0, 1000, 200 << 20));
    }

    #[test]
    fn what_runs_at_the_same_time_is_added_up() {
        let check = |mains: &[u64], inits: Value, overhead: Value, want: u64| {
            let containers: Vec<Value> = mains
                .iter()
                .map(|gpus| json!({"name": "c", "resources": {"limits": {"example.com/gpu": gpus.to_string()}}}))
                .collect();
            let spec = json!({"containers": containers, "initContainers": inits, "overhead": overhead});
            let pod = Pod { spec: Arc::new(serde_json::from_value(spec).unwrap()), ..Pod::default() };
            assert_eq!(
                Amount::of(&pod).more.get(&Text::from("example.com/gpu")).copied().unwrap_or(0),
                want,
                "{mains:?} {inits}"
            );
        };
        let init = |gpus: u64, policy: &str| json!({"restartPolicy": policy, "resources": {"requests": {"example.com/gpu": gpus}}});
        check(&[1, 2], json!(null), json!(null), 3);
        check(&[1], json!([init(2, ""), init(3, "")]), json!(null), 3);
        check(&[4], json!([init(3, "")]), json!(null), 4);
        // A sidecar runs with the containers, and with the init containers after it.
        check(&[1], json!([init(1, "Always")]), json!(null), 2);
        check(&[1], json!([init(1, "Always"), init(3, "")]), json!(null), 4);
        check(&[1], json!([init(3, ""), init(1, "Always")]), json!(null), 3);
        check(&[1], json!([init(3, "")]), json!({"example.com/gpu": 2}), 5);
        check(&[0], json!("no list"), json!(null), 0);
    }
}
