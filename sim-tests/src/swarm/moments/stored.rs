//! What the API server cannot store, or stores slowly, and what is asked of it then.

use crate::noise::Delay;
use crate::plan::{self, Act, Entry, Fault, Plan, Ratio, When};
use crate::swarm::{AGAIN, Dice, END};
use miniku_core::api::kinds::Kind;
use miniku_core::time::Duration;
use serde_json::json;

/// A service that asks for an address cannot be stored, and nobody asks for it again; later another one wants the same.
pub(super) fn given_back(dice: &Dice, _: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("given back at", 0, 2_000, 90_000), Duration::from_secs(1));
    let service = |name: &str| {
        let ports = json!([{"port": 80, "nodePort": 30_077}]);
        let spec = json!({"type": "NodePort", "clusterIP": "10.96.0.77", "selector": {"app": "set-0"}, "ports": ports});
        let meta = json!({"name": name});
        plan::create(json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}))
    };
    plan.strike(at, Fault::DiskFull { lasts: second });
    plan.ask(at + dice.millis("given back then", 0, 10, 200), service("not-stored"));
    // Whoever cannot be served now is not asked to try again.
    let overload = Fault::Overload { share: Ratio::ALL, code: 429, lasts: Duration::from_millis(1_700) };
    plan.strike(at + Duration::from_millis(900), overload);
    plan.ask(at + second * 80, service("stored"));
    for at in [END, END + AGAIN] {
        ["not-stored", "stored"].into_iter().for_each(|name| plan.ask(at, plan::delete(Kind::Service, name)));
    }
}

/// A namespace is stored, and nothing of what the server makes in it by itself.
pub(super) fn half_made(dice: &Dice, _: u64, plan: &mut Plan) {
    let at = dice.millis("half made at", 0, 2_000, 150_000);
    let lasts = dice.millis("half made for", 0, 500, 4_000);
    let stored = When::Written { kind: Kind::Namespace, nth: 1 };
    plan.entries.push(Entry { at, when: Some(stored), act: Act::Strike(Fault::DiskFull { lasts }) });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "half-made"}});
    plan.ask(at + Duration::from_millis(5), plan::create(namespace));
}

/// While the disk is slow, things are made in a namespace whose end is being written, and one in a namespace that never was.
pub(super) fn crossed(dice: &Dice, _: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("crossed at", 0, 3_000, 120_000), Duration::from_secs(1));
    let config = |name: &str, namespace: &str| {
        plan::create(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}),
        )
    };
    plan.ask(at, plan::create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "crossed"}})));
    plan.ask(at + second, config("early", "crossed"));
    plan.ask(at + second, config("lost", "nowhere"));
    let ends = at + dice.millis("crossed ends", 0, 3_000, 10_000);
    let sync = Delay { min: dice.millis("crossed slowly", 0, 200, 600), mean: Duration::from_millis(1) };
    plan.strike(ends.saturating_sub(second), Fault::SlowDisk { sync, lasts: second * 4 });
    for at in [ends, END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::Namespace, "crossed"));
    }
    for nth in 0..4 {
        let at = ends + dice.millis("crossed then", nth, 20, 1_500);
        plan.ask(at, config(&format!("late-{nth}"), "crossed"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::planned;
    use super::*;
    use crate::plan::Ask;

    #[test]
    fn who_wants_the_same_address_comes_long_after_who_was_not_stored() {
        for seed in 0..100 {
            let plan = planned(seed, given_back);
            let strikes = |is: fn(&Fault) -> bool| {
                let fault = |one: &Entry| match &one.act {
                    Act::Strike(fault) if is(fault) => Some((one.at, one.at + fault.lasts())),
                    _ => None,
                };
                plan.entries.iter().find_map(fault).unwrap()
            };
            let (full, has_room) = strikes(|fault| matches!(fault, Fault::DiskFull { .. }));
            let (busy, free) = strikes(|fault| matches!(fault, Fault::Overload { .. }));
            let made = plan.entries.iter().filter(|one| matches!(&one.act, Act::Ask(Ask::Create(_))));
            let made: Vec<Duration> = made.map(|one| one.at).collect();
            assert!(made[0] > full && made[0] + Duration::from_millis(600) < has_room, "seed {seed}");
            // It is asked for once more a second after the answer.
            assert!(made[0] + Duration::from_secs(1) > busy && made[0] + Duration::from_secs(2) < free, "seed {seed}");
            assert!(made[1] > made[0] + Duration::from_secs(75), "seed {seed}");
        }
    }

    #[test]
    fn there_is_no_room_right_after_a_namespace_is_stored() {
        for seed in 0..100 {
            let plan = planned(seed, half_made);
            let full = plan.entries.iter().find(|one| matches!(one.act, Act::Strike(Fault::DiskFull { .. }))).unwrap();
            assert_eq!(full.when, Some(When::Written { kind: Kind::Namespace, nth: 1 }), "seed {seed}");
            let is_made = |act: &Act| matches!(act, Act::Ask(Ask::Create(one)) if one.kind() == Kind::Namespace);
            let made: Vec<Duration> = plan.entries.iter().filter(|one| is_made(&one.act)).map(|one| one.at).collect();
            assert!(made.len() == 1 && made[0] > full.at, "seed {seed}");
        }
    }
}
