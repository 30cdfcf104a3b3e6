//! Who leads, when what it asks for, or what it is told, is late.

use crate::plan::{self, Act, Entry, Fault, Mishap, Plan, Ratio, When};
use crate::swarm::{Dice, name, room};
use miniku_core::time::Duration;

/// Whether who leads is to lead again before it was told all of what it had asked for. Nobody may give that up before.
pub(in crate::swarm) fn leads_again(dice: &Dice) -> bool {
    room::stands_by(dice) && dice.has("leads again")
}

/// Who leads stands still for longer than it leads unheard, and leads once more, since the other one is away. Then what it had
/// asked for arrives, and is refused.
pub(super) fn led_again(dice: &Dice, _: u64, plan: &mut Plan) {
    let leader = dice.one("led by", 0, &["workloads", "scheduler"]);
    let at = dice.millis("led at", 0, 30_000, 120_000);
    let (other, down) = (format!("{leader}-2"), Duration::from_secs(70));
    plan.strike(at.saturating_sub(Duration::from_secs(25)), Fault::Crash { actor: other, down });
    for nth in 1..=4 {
        let mishap = Mishap::RequestLate(dice.millis("led late", nth, 17_000, 28_000));
        plan.strike(at, Fault::Message { actor: leader.into(), nth, mishap });
    }
    plan.ask(at + Duration::from_millis(50), plan::scale(&name(0), 1 + dice.below("led scale", 0, 9) as u32));
    let (still, lasts) = (dice.millis("led still", 0, 300, 2_000), dice.millis("led for", 0, 10_500, 13_000));
    plan.strike(at + still, Fault::Freeze { actor: leader.into(), lasts });
}

/// Whether somebody is to be told late that it leads, and cannot renew its lease. Nobody may give that up before.
pub(in crate::swarm) fn leads_late(dice: &Dice) -> bool {
    room::stands_by(dice) && !leads_again(dice) && dice.has("leads late")
}

/// Who finds the lease free takes it, and is told so late; from then on somebody else is faster each time that it renews it.
/// All the while there is something to do.
pub(super) fn led_late(dice: &Dice, _: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("led late at", 0, 20_000, 100_000), Duration::from_secs(1));
    plan.ask(at - second * 10, plan::create(plan::replica_set("led", 1, "")));
    // Whoever leads gives back the lease.
    for (actor, down) in [("workloads", 60), ("workloads-2", 6)] {
        plan.strike(at, Fault::Stop { actor: actor.into(), down: second * down });
    }
    // It looks at the lease first.
    let (actor, from) = ("workloads-2".to_owned(), at + second * 3);
    let mishap = Mishap::RequestLate(dice.millis("led late by", 0, 3_000, 4_500));
    let late = Act::Strike(Fault::Message { actor: actor.clone(), nth: 1, mishap });
    let looks = When::Request { actor: actor.clone(), nth: 1 };
    plan.entries.push(Entry { at: from, when: Some(looks), act: late });
    let intruder = Act::Strike(Fault::Intruder { actor: actor.clone(), share: Ratio::ALL, lasts: second * 13 });
    plan.entries.push(Entry { at: from, when: Some(When::Reply { actor, nth: 2 }), act: intruder });
    for nth in 0..15 {
        plan.ask(at + second * 16 + Duration::from_millis(300) * nth, plan::scale("led", 1 + nth % 2));
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::planned;
    use super::*;
    use crate::plan::Ask;

    #[test]
    fn what_a_former_leader_asked_for_arrives_when_it_leads_again() {
        for seed in 0..100 {
            let plan = planned(seed, led_again);
            let faults = || {
                plan.entries
                    .iter()
                    .filter_map(|one| if let Act::Strike(fault) = &one.act { Some((one.at, fault)) } else { None })
            };
            let thaws = faults()
                .find_map(|(at, fault)| if let Fault::Freeze { lasts, .. } = fault { Some(at + *lasts) } else { None });
            let late = faults().filter_map(|(at, fault)| match fault {
                Fault::Message { mishap: Mishap::RequestLate(by), .. } => Some(at + *by),
                _ => None,
            });
            assert!(late.min() > thaws.map(|thaws| thaws + Duration::from_secs(1)), "seed {seed}");
        }
    }

    #[test]
    fn who_is_told_late_that_it_leads_has_something_to_do_when_it_should_lead_no_more() {
        for seed in 0..100 {
            let plan = planned(seed, led_late);
            let after = |act: &Act| match act {
                Act::Strike(Fault::Stop { actor, down }) if actor == "workloads-2" => Some(*down),
                _ => None,
            };
            let late = |act: &Act| match act {
                Act::Strike(Fault::Message { mishap: Mishap::RequestLate(by), .. }) => Some(*by),
                _ => None,
            };
            // It asks for the lease as soon as it is back; clocks may be wrong by a twentieth.
            let asks = plan.entries.iter().find_map(|one| Some(one.at + after(&one.act)?)).unwrap();
            let late = plan.entries.iter().find_map(|one| late(&one.act)).unwrap();
            let (from, until) = (asks + Duration::from_millis(10_600), asks + Duration::from_secs(10) + late);
            let is_scale = |one: &&Entry| matches!(&one.act, Act::Ask(Ask::Scale(_)));
            let scales = plan.entries.iter().filter(is_scale).filter(|one| one.at > from && one.at < until);
            assert!(late < Duration::from_secs(5) && scales.count() >= 7, "seed {seed}");
        }
    }
}
