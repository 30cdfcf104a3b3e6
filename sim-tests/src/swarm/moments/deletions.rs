//! What is deleted, and made again or deleted once more, before all have heard of it.

use super::{befall, idle};
use crate::noise::Delay;
use crate::plan::{self, Ask, Delete, Evict, Fault, Mishap, Plan, Weather};
use crate::swarm::{AGAIN, Dice, END, delete_of, room};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::program::Propagation;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// What is collected since its owner is gone is made again at once, while whoever collects hears of it sooner, or later, than
/// that its request was carried out.
pub(super) fn collected_again(dice: &Dice, _: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("collected at", 0, 5_000, 100_000), Duration::from_secs(1));
    let slow = Some(Delay { min: Duration::ZERO, mean: dice.millis("collected late", 0, 1_000, 3_000) });
    let weather = Weather { slow, ..Weather::FAIR };
    for actor in room::all_of(dice, "garbage") {
        plan.strike(at, Fault::Link { actor, weather, lasts: second * 40 });
    }
    for nth in 0..6 {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "nobody", "uid": "no-such-uid"});
        let meta = json!({"name": format!("left-{nth}"), "ownerReferences": [owner]});
        let left = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta});
        let pace = dice.millis("collected each", nth, 1_500, 3_000);
        for again in 0..12 {
            plan.ask(at + second + pace * again, plan::create(left.clone()));
        }
    }
}

/// A set is deleted once more, so that something else would become of its pods, before whoever collects has heard of the first
/// time.
pub(super) fn decided_twice(dice: &Dice, _: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("decided at", 0, 2_000, 120_000), Duration::from_secs(1));
    let set = |replicas: u64| plan::create(plan::replica_set("decided", replicas as usize, ""));
    plan.ask(at, set(dice.below("decided", 0, 3)));
    for actor in room::all_of(dice, "garbage") {
        let weather = Weather { stalled: true, ..Weather::FAIR };
        plan.strike(at + second * 5, Fault::Link { actor, weather, lasts: second * 8 });
    }
    let (orphan, foreground) = (Propagation::Orphan, Propagation::Foreground);
    let background = Propagation::Background;
    let kinds = [(orphan, background), (foreground, background), (orphan, foreground), (foreground, orphan)];
    let (first, then) = dice.one("decided how", 0, &kinds);
    let key = Key::new(Kind::ReplicaSet, "default", "decided");
    for (at, propagation) in [(at + second * 8, first), (at + second * 10, then)] {
        plan.ask(at, Ask::Delete(Delete { propagation: Some(propagation), ..delete_of(&key) }));
    }
    for at in [END, END + AGAIN] {
        // Whom it left behind, another of its name ends.
        plan.ask(at, set(0));
        plan.ask(at, plan::scale("decided", 0));
    }
}

/// A pod that does not heed SIGTERM is given minutes to end, and is removed by force long before they are over.
pub(super) fn forced(dice: &Dice, _: u64, plan: &mut Plan) {
    let at = dice.millis("forced at", 0, 2_000, 100_000);
    plan.ask(at, plan::create(plan::pod("forced", deaf(300))));
    let deleted = at + dice.millis("forced first", 0, 5_000, 20_000);
    plan.ask(deleted, plan::delete(Kind::Pod, "forced"));
    let removed = deleted + dice.millis("forced then", 0, 1_000, 15_000);
    for at in [removed, END, END + AGAIN] {
        plan.ask(at, by_force("forced"));
    }
}

/// Pods are removed by force before those who made them, or who run them, have an answer to what they asked for last. What
/// runs in some does not end at once.
pub(super) fn answered_late(dice: &Dice, _: u64, plan: &mut Plan) {
    let (at, second) = (dice.millis("answered at", 0, 5_000, 100_000), Duration::from_secs(1));
    let mishap = Mishap::ReplyLate(dice.millis("answered late", 0, 2_000, 8_000));
    for actor in room::all_of(dice, "workloads").chain(["all nodes".to_owned()]) {
        befall(&actor, 16, mishap, at, plan);
    }
    let made = at + Duration::from_millis(100);
    let mut set = plan::replica_set("hasty", 3, "");
    set["spec"]["template"]["spec"]["containers"] = json!([idle("10m")]);
    plan.ask(made, plan::create(set));
    for nth in 0..3 {
        let evict = Evict { pod: "hasty-".into(), namespace: "default".into(), grace_seconds: Some(0) };
        plan.ask(at + second * (2 + nth), Ask::Evict(evict));
    }
    for nth in 0..4 {
        let name = format!("answered-{nth}");
        plan.ask(made, plan::create(plan::pod(&name, deaf(5))));
        let removed = at + second * 2 + Duration::from_millis(1_500) * nth;
        for at in [removed, END, END + AGAIN] {
            plan.ask(at, by_force(&name));
        }
    }
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::scale("hasty", 0));
    }
}

/// Of two controllers of namespaces one is slow, and is answered late: what it has listed in a namespace that is gone by then,
/// it hears when another of its name is to be emptied.
pub(super) fn listed_before(dice: &Dice, _: u64, plan: &mut Plan) {
    let (second, actor) = (Duration::from_secs(1), "namespaces".to_owned());
    let at = dice.millis("listed at", 0, 10_000, 120_000);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "listed"}});
    let delete = || plan::delete(Kind::Namespace, "listed");
    plan.ask(at.saturating_sub(second * 6), plan::create(namespace.clone()));
    plan.strike(at.saturating_sub(second * 3), Fault::Twin { actor: actor.clone(), lasts: second * 40 });
    let before = at.saturating_sub(Duration::from_millis(100));
    let delay = Delay { min: dice.millis("listed slowly", 0, 300, 900), mean: Duration::from_millis(1) };
    plan.strike(before, Fault::Slow { actor: actor.clone(), delay, lasts: Duration::from_millis(400) });
    let mishap = Mishap::ReplyLate(dice.millis("listed late", 0, 4_000, 9_000));
    befall(&actor, 8, mishap, before, plan);
    plan.ask(at, delete());
    plan.ask(at + second, plan::create(namespace));
    let mut pod = plan::pod("listed", deaf(30));
    pod["metadata"]["namespace"] = "listed".into();
    plan.ask(at + Duration::from_millis(1_500), plan::create(pod));
    plan.ask(at + second * 3, delete());
    for at in [END, END + AGAIN] {
        plan.ask(at, delete());
    }
}

/// A pod is removed at once.
fn by_force(pod: &str) -> Ask {
    let delete = delete_of(&Key::new(Kind::Pod, "default", pod));
    Ask::Delete(Delete { grace_seconds: Some(0), ..delete })
}

/// The spec of a pod that does not heed SIGTERM, and is given so many seconds to end.
fn deaf(grace: u64) -> Value {
    let mut container = idle("10m");
    container["command"] = json!(["sh", "-c", "trap '' TERM; sleep infinity"]);
    json!({"terminationGracePeriodSeconds": grace, "containers": [container]})
}

#[cfg(test)]
mod tests {
    use super::super::planned::{answered_late_by, first_at, makes_pod, planned};
    use super::*;
    use crate::plan::{Act, Entry};
    use std::collections::BTreeMap;

    #[test]
    fn what_is_collected_is_made_again_while_all_news_are_late() {
        for seed in 0..100 {
            let plan = planned(seed, collected_again);
            let late = plan.entries.iter().find_map(|one| match &one.act {
                Act::Strike(Fault::Link { weather, lasts, .. }) => Some((one.at, one.at + *lasts, weather.slow?.mean)),
                _ => None,
            });
            let (from, until, mean) = late.unwrap();
            let mut times: BTreeMap<Key, Vec<Duration>> = BTreeMap::new();
            for one in &plan.entries {
                if let Act::Ask(Ask::Create(object)) = &one.act {
                    times.entry(object.key()).or_default().push(one.at);
                }
            }
            assert!(times.len() == 6 && mean >= Duration::from_secs(1), "seed {seed}");
            for times in times.values() {
                assert!(times.len() == 12 && times.iter().all(|at| *at > from && *at < until), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_set_is_deleted_twice_while_who_collects_hears_nothing() {
        for seed in 0..100 {
            let plan = planned(seed, decided_twice);
            let stalled = plan.entries.iter().find_map(|one| match &one.act {
                Act::Strike(Fault::Link { weather, lasts, .. }) if weather.stalled => Some((one.at, one.at + *lasts)),
                _ => None,
            });
            let (from, until) = stalled.unwrap();
            let deletions: Vec<(Duration, Option<Propagation>)> = plan
                .entries
                .iter()
                .filter_map(|one| match &one.act {
                    Act::Ask(Ask::Delete(delete)) => Some((one.at, delete.propagation)),
                    _ => None,
                })
                .collect();
            assert_eq!(deletions.len(), 2, "seed {seed}");
            assert!(deletions.iter().all(|(at, _)| *at > from && *at < until), "seed {seed}");
            assert!(deletions[0].1 != deletions[1].1 && deletions[0].1 != Some(Propagation::Background), "seed {seed}");
        }
    }

    #[test]
    fn who_is_removed_by_force_has_time_left() {
        for seed in 0..100 {
            let plan = planned(seed, forced);
            let deletion = |one: &Entry| match &one.act {
                Act::Ask(Ask::Delete(delete)) => Some((one.at, delete.grace_seconds)),
                _ => None,
            };
            let deletions: Vec<(Duration, Option<i64>)> = plan.entries.iter().filter_map(deletion).collect();
            assert_eq!((deletions.len(), deletions[0].1), (4, None), "seed {seed}");
            let force = &deletions[1..];
            assert!(force.iter().all(|(at, grace)| *at > deletions[0].0 && *grace == Some(0)), "seed {seed}");
            assert!(force[0].0 < deletions[0].0 + Duration::from_secs(20) && force[0].0 < END, "seed {seed}");
        }
    }

    #[test]
    fn somebody_is_killed_only_after_it_is_answered_that_it_runs() {
        for seed in 0..100 {
            let plan = planned(seed, answered_late);
            let answered = first_at(&plan, makes_pod) + Duration::from_millis(300) + answered_late_by(&plan);
            let removed = plan.entries.iter().filter(|one| matches!(&one.act, Act::Ask(Ask::Delete(_))));
            let lives = |at: Duration| at <= answered && answered < at + Duration::from_secs(2);
            assert!(removed.map(|one| one.at).any(lives), "seed {seed}");
        }
    }

    #[test]
    fn what_was_listed_is_heard_when_another_namespace_of_the_name_is_deleted() {
        for seed in 0..100 {
            let plan = planned(seed, listed_before);
            let struck = |of: fn(&Fault) -> Option<Duration>| {
                let fault = |one: &Entry| match &one.act {
                    Act::Strike(fault) => Some((one.at, of(fault)?)),
                    Act::Ask(_) => None,
                };
                plan.entries.iter().find_map(fault).unwrap()
            };
            let slow = struck(|fault| if let Fault::Slow { delay, .. } = fault { Some(delay.min) } else { None });
            let late = struck(|fault| match fault {
                Fault::Message { mishap: Mishap::ReplyLate(by), .. } => Some(*by),
                _ => None,
            });
            let deletes = plan.entries.iter().filter(|one| matches!(one.act, Act::Ask(Ask::Delete(_))));
            let deleted: Vec<Duration> = deletes.map(|one| one.at).collect();
            let listed = deleted[0] + slow.1;
            assert!(slow.0 < deleted[0] && listed < deleted[0] + Duration::from_secs(1), "seed {seed}");
            assert!(listed + late.1 > deleted[1], "seed {seed}");
        }
    }
}
