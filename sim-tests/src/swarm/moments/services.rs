//! Services whose pods change while nobody hears who shows them.

use super::idle;
use crate::plan::{self, Fault, Plan, Ratio, Weather};
use crate::swarm::{AGAIN, Dice, END, room};
use miniku_core::api::kinds::Kind;
use miniku_core::time::Duration;
use serde_json::json;

/// The only pod of a service goes while nobody hears who shows it. Nothing happens to either any more.
pub(super) fn shown_in_vain(dice: &Dice, _: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("shown at", 0, 1_000, 100_000), Duration::from_secs(1));
    let spec = json!({"selector": {"app": "shown"}, "ports": [{"port": 80}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shown"}, "spec": spec});
    plan.ask(at, plan::create(service));
    let mut pod = plan::pod("shown", json!({"terminationGracePeriodSeconds": 1, "containers": [idle("10m")]}));
    pod["metadata"]["labels"] = json!({"app": "shown"});
    plan.ask(at, plan::create(pod));
    let goes = at + dice.millis("shown goes", 0, 10_000, 50_000);
    for actor in room::all_of(dice, "endpoints") {
        let weather = Weather { requests_lost: Ratio::ALL, ..Weather::FAIR };
        plan.strike(goes.saturating_sub(second / 5), Fault::Link { actor, weather, lasts: second * 4 });
    }
    // At the end it is gone long since, or was not heard of.
    for at in [goes, END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::Pod, "shown"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::{first_at, planned};
    use super::*;
    use crate::plan::{Act, Ask};

    #[test]
    fn nobody_is_heard_when_the_pod_goes() {
        for seed in 0..100 {
            let plan = planned(seed, shown_in_vain);
            let goes = first_at(&plan, |one| matches!(one.act, Act::Ask(Ask::Delete(_))));
            let strikes = plan.entries.iter().filter_map(|one| match &one.act {
                Act::Strike(fault) => Some(one.at..one.at + fault.lasts()),
                Act::Ask(_) => None,
            });
            let strikes: Vec<_> = strikes.collect();
            assert!(!strikes.is_empty() && strikes.iter().all(|lasts| lasts.contains(&goes)), "seed {seed}");
        }
    }
}
