//! S-fit: When a pod is bound, the requests of all unfinished pods of its node are within what the node has.
//!
//! Terminating pods count until they are gone from the store. A node that shrinks, or a pod whose author chose the
//! node, breaks nothing. Catches: a scheduler that frees capacity when a deletion starts, or that forgets its own
//! binds that are still on their way.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use std::collections::BTreeMap;

/// Sums by node: thousandths of a processor, bytes, pods.
#[derive(Default)]
pub struct Fit {
    sums: BTreeMap<String, [u64; 3]>,
}

fn counted(object: Option<&Object>) -> Option<(&str, [u64; 3])> {
    let pod = object?.get::<Pod>()?;
    let node = pod.node().filter(|_| !pod.status.phase.is_final())?;
    let (cpu, memory) = pod.spec.requests();
    Some((node, [cpu, memory, 1]))
}

impl Checker for Fit {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        let (old, new) = (counted(change.old.as_ref()), counted(change.new.as_ref()));
        if old == new {
            return Ok(());
        }
        if let Some((node, amount)) = old {
            let sum = self.sums.entry(node.into()).or_default();
            (0..3).for_each(|at| sum[at] -= amount[at]);
        }
        let Some((node, amount)) = new else { return Ok(()) };
        let sum = self.sums.entry(node.into()).or_default();
        (0..3).for_each(|at| sum[at] += amount[at]);
        let bound_now = change.old.as_ref().and_then(Object::get::<Pod>).is_some_and(|old| old.node().is_none());
        let Some(stored) = truth.node(node).filter(|_| bound_now) else { return Ok(()) };
        let has = |name: &str| stored.status.allocatable.get(name);
        let limits = [
            has("cpu").map_or(0, |cpu| cpu.milli_value()),
            has("memory").map_or(0, |memory| memory.value()),
            has("pods").map_or(u64::MAX, |pods| pods.value()),
        ];
        // What a pod does not ask for, it may get where there is none.
        let over = (0..3).find(|at| amount[*at] > 0 && sum[*at] > limits[*at]);
        let Some(over) = over else { return Ok(()) };
        let what = ["m of processors", " bytes", " pods"][over];
        let (sum, limit) = (sum[over], limits[over]);
        Err(Broken::by(format!("{node} has {limit}{what}, its pods ask for {sum}")).with(&change.new))
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod};
    use super::*;

    #[test]
    fn fires_when_a_node_is_booked_twice() {
        let mut story = Story::<Fit>::new();
        story.put(node("n")).unwrap();
        for name in ["a", "b", "c"] {
            story.put(pod(name, "", "Pending")).unwrap();
        }
        story.put(pod("a", "n", "Running")).unwrap();
        let broken = story.put(pod("b", "n", "Pending")).unwrap_err();
        assert_eq!(broken.what, "n has 1000m of processors, its pods ask for 1200");
        // With both finished there is room again.
        story.put(pod("a", "n", "Succeeded")).unwrap();
        story.put(pod("b", "n", "Failed")).unwrap();
        story.put(pod("c", "n", "Pending")).unwrap();
    }
}
