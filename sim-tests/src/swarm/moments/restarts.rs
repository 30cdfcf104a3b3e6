//! Containers that end, or cannot start, again and again.

use super::{befall, idle, on};
use crate::plan::{self, Fault, Mishap, Plan};
use crate::runtime::Trouble;
use crate::swarm::{AGAIN, Dice, END, node};
use miniku_core::api::kinds::Kind;
use miniku_core::api::pod::START_RETRIES;
use miniku_core::time::Duration;
use serde_json::json;

/// A pod whose containers end again and again, the one at once and the other late: what the one waits for is over when the
/// other has waited for long still.
pub(super) fn uneven(dice: &Dice, _: u64, plan: &mut Plan) {
    let container =
        |name: &str, script: &str| json!({"name": name, "image": "busybox", "command": ["sh", "-c", script]});
    // Its second back-off lies in the fifth of the other, from 70 to 150 s.
    let late = format!("sleep {}; exit 1", 35 + dice.below("uneven late", 0, 6));
    let mut containers = vec![container("late", &late), container("soon", "exit 1")];
    if dice.below("uneven order", 0, 4) == 0 {
        containers.reverse();
    }
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": containers});
    plan.ask(dice.millis("uneven at", 0, 1_000, 30_000), plan::create(plan::pod("uneven", spec)));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::Pod, "uneven"));
    }
}

/// Pods of one set that end again and again, some of which came later and were restarted less often; and then there are to be
/// fewer. They are on one node, and nothing else tells them apart.
pub(super) fn weary(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 970, nodes);
    let mut set = plan::replica_set("weary", 2, "exit 1");
    let spec = &mut set["spec"]["template"]["spec"];
    spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    spec["terminationGracePeriodSeconds"] = 1.into();
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "10m"}});
    let at = dice.millis("weary at", 0, 1_000, 60_000);
    plan.ask(at, plan::create(set));
    // The later ones were restarted once when there are to be fewer, and wait; the others twice at least.
    let more = at + dice.millis("weary more", 0, 25_000, 60_000);
    plan.ask(more, plan::scale("weary", 4));
    let fewer = more + dice.millis("weary fewer", 0, 13_000, 28_000);
    plan.ask(fewer, plan::scale("weary", 1 + dice.below("weary left", 0, 2) as u32));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::scale("weary", 0));
    }
}

/// A kubelet dies soon after it has said of some pods how often they could not be started, and what it has said arrives only
/// when its next life has read them.
pub(super) fn former_words(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 995, nodes);
    let (at, actor) = (dice.millis("former at", 0, 2_000, 120_000), format!("kubelet/{node}"));
    let names: Vec<String> = (0..5).map(|nth| format!("former-{nth}")).collect();
    for (nth, name) in (0..).zip(&names) {
        let mut container = idle("10m");
        container["image"] = "nowhere/nothing:1".into();
        let mut pod = plan::pod(name, on(&node, container));
        pod["metadata"]["annotations"] = json!({START_RETRIES: "9"});
        plan.ask(at + Duration::from_millis(700) * nth, plan::create(pod));
    }
    let dies = at + dice.millis("former dies", 0, 6_000, 20_000);
    let late = dice.millis("former late", 0, 1_000, 1_900);
    befall(&actor, 8, Mishap::RequestLate(late), dies.saturating_sub(late / 2), plan);
    // What the next life asks for first is what there is.
    befall(&actor, 2, Mishap::ReplyLate(late), dies + Duration::from_millis(1), plan);
    plan.strike(dies, Fault::Crash { actor, down: Duration::from_millis(100) });
    for at in [END, END + AGAIN] {
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

/// No image can be had for a while when pods start that may fail a few times, and again when they have run and end.
pub(super) fn started_at_last(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 997, nodes);
    let (at, second) = (dice.millis("at last from", 0, 2_000, 120_000), Duration::from_secs(1));
    let names: Vec<String> = (0..3).map(|nth| format!("patient-{nth}")).collect();
    for (nth, name) in (0..).zip(&names) {
        let mut pod = plan::pod(name, on(&node, idle("10m")));
        pod["metadata"]["annotations"] = json!({START_RETRIES: dice.one("at last tries", nth, &["3", "5"])});
        plan.ask(at + dice.millis("at last then", nth, 0, 1_500), plan::create(pod));
    }
    let ends = at + dice.millis("at last ends", 0, 15_000, 35_000);
    for at in [at, ends] {
        let (trouble, node) = (Trouble::NoImages, node.clone());
        plan.strike(at, Fault::Runtime { node, trouble, lasts: dice.millis("at last lasts", 0, 3_000, 6_500) });
    }
    for name in &names {
        plan.strike(ends + second / 2, Fault::ProcessesEnd { pod: name.clone(), code: 1 });
    }
    for at in [END, END + AGAIN] {
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::planned;
    use super::*;
    use crate::invariants::stable;
    use crate::plan::{Act, Ask};
    use miniku_core::api::pod::Pod;

    #[test]
    fn the_containers_of_one_pod_wait_for_different_times() {
        let late = |seed: u64| {
            let plan = planned(seed, uneven);
            let pod = plan.entries.iter().find_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.get::<Pod>().cloned(),
                _ => None,
            });
            let pod = pod.unwrap();
            assert!(!stable::lasts(&pod.spec, false) && pod.spec.containers.len() == 2, "seed {seed}");
            pod.spec.containers[0].name == "late"
        };
        let first = (0..100).filter(|seed| late(*seed)).count();
        assert!((50..100).contains(&first), "{first}");
    }

    #[test]
    fn some_of_a_set_come_later_and_then_there_are_to_be_fewer() {
        for seed in 0..100 {
            let plan = planned(seed, weary);
            let sizes = plan.entries.iter().filter_map(|one| match &one.act {
                Act::Ask(Ask::Scale(scale)) => Some((one.at, scale.replicas)),
                _ => None,
            });
            let sizes: Vec<(Duration, u32)> = sizes.collect();
            assert!(sizes[0].1 == 4 && (1..=2).contains(&sizes[1].1) && sizes[2].1 == 0, "seed {seed}");
            let waits = sizes[1].0.saturating_sub(sizes[0].0).as_secs();
            assert!((13..28).contains(&waits) && sizes[1].0 < END, "seed {seed}: {waits}");
        }
    }

    #[test]
    fn what_a_kubelet_has_said_last_arrives_when_its_next_life_has_asked() {
        for seed in 0..100 {
            let plan = planned(seed, former_words);
            let starts = plan.entries.iter().find_map(|one| match &one.act {
                Act::Strike(Fault::Crash { down, .. }) => Some(one.at + *down),
                _ => None,
            });
            let starts = starts.unwrap();
            for one in &plan.entries {
                match &one.act {
                    Act::Strike(Fault::Message { mishap: Mishap::RequestLate(by), .. }) => {
                        assert!(one.at + *by > starts, "seed {seed}");
                    }
                    Act::Strike(Fault::Message { mishap: Mishap::ReplyLate(by), .. }) => {
                        assert!(one.at < starts && *by > Duration::from_millis(900), "seed {seed}");
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn who_starts_at_last_may_fail_as_often_as_no_image_can_be_had() {
        for seed in 0..100 {
            let plan = planned(seed, started_at_last);
            let troubles = plan.entries.iter().filter_map(|one| match &one.act {
                Act::Strike(Fault::Runtime { lasts, .. }) => Some((one.at, *lasts)),
                _ => None,
            });
            let troubles: Vec<(Duration, Duration)> = troubles.collect();
            assert_eq!(troubles.len(), 2, "seed {seed}");
            // With three tries it goes on for seven seconds.
            assert!(troubles.iter().all(|(_, lasts)| *lasts < Duration::from_secs(7)), "seed {seed}");
            assert!(troubles[0].0 + troubles[0].1 + Duration::from_secs(8) < troubles[1].0, "seed {seed}");
        }
    }
}
