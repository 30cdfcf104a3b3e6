//! Room that is promised to a pod for which others go, and pods that had rather be apart: some runs have them on purpose.

use super::details::part;
use super::{AGAIN, Dice, END, delete_of, important, is_crowded, merge, node, room};
use crate::invariants::GPU;
use crate::plan::{self, Ask, Delete, Fault, Piece, Plan};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// Adds them to a plan for so many nodes.
pub(super) fn draw(dice: &Dice, nodes: u64, plan: &mut Plan) {
    // Nobody else takes what is promised here.
    if !is_crowded(dice) && dice.has("priorities") && !dice.has("gpus") && dice.has("promised") {
        promised(dice, nodes, plan);
    }
    if nodes > 1 && dice.in_some("rather apart", 2) {
        rather_apart(dice, nodes, plan);
    }
}

/// What keeps pods busy for ever, whether or not they are asked to end.
const DEAF: &str = "trap '' TERM; sleep infinity";

/// A pod that wants so many of what one node or two have, on this node or on any; it is so important, and ends as late as
/// it may.
fn wants(name: &str, on: Option<&str>, (gpus, priority, grace): (u64, i32, u64)) -> Value {
    let resources = json!({"limits": {GPU: gpus.to_string()}, "requests": {"cpu": "10m"}});
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", DEAF], "resources": resources});
    let mut spec = json!({"terminationGracePeriodSeconds": grace, "containers": [container]});
    if let Some(on) = on {
        spec["nodeSelector"] = json!({"kubernetes.io/hostname": on});
    }
    important(&mut spec, priority);
    plan::pod(name, spec)
}

/// Somebody has to go for a more important pod: of two the one that has run for less time; or from a node where somebody
/// waits for the rest of the room when the more important one is gone itself; or while the scheduler starts anew, and an
/// older one that is as important may be bound since then, for which there is room already; or from a node that is gone
/// before, when there is somebody else who could go.
fn promised(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let nth = dice.below("promised on", 0, nodes);
    let (home, away) = (format!("node-{}", 1 + nth), format!("node-{}", 1 + (nth + 1) % nodes));
    let (at, second) = (dice.millis("promised at", 0, 5_000, 50_000), Duration::from_secs(1));
    let later = |what: &str, from: u64, to: u64| at + dice.millis(what, 0, from, to);
    let has = |node: &str, gpus: u64| {
        let amount = json!({GPU: gpus.to_string()});
        part(
            &Key::new(Kind::Node, "", node),
            Piece::Status,
            json!({"status": {"capacity": amount, "allocatable": amount}}),
        )
    };
    let how = dice.below("promised how", 0, if nodes > 1 { 4 } else { 3 });
    let mut makes = |at: Duration, name: &str, on: Option<&str>, wish: (u64, i32, u64)| {
        plan.ask(at, plan::create(wants(name, on, wish)));
    };
    let here = Some(home.as_str());
    let began = at + second;
    match how {
        0 => {
            makes(began, "holds-0", here, (1, 0, 1));
            makes(later("promised next", 6_000, 14_000), "holds-1", here, (1, 0, 1));
            makes(at + second * 25, "expects", here, (1, 20, 1));
        }
        1 => {
            makes(began, "holds-0", here, (1, 0, 150));
            makes(at + second * 12, "expects", here, (2, 20, 1));
            makes(later("promised other", 13_000, 18_000), "other", here, (1, 0, 1));
        }
        2 => {
            makes(began, "holds-0", here, (1, 0, 60));
            let mut other = wants("other", here, (1, 20, 1));
            other["spec"]["schedulingGates"] = json!([{"name": "miniku.test/wait"}]);
            plan.ask(at + second * 6, plan::create(other));
            plan.ask(at + second * 12, plan::create(wants("expects", here, (2, 20, 1))));
        }
        _ => {
            makes(began, "holds-0", here, (1, 0, 60));
            makes(began, "holds-1", Some(&away), (1, 10, 1));
            makes(at + second * 12, "expects", None, (1, 20, 1));
        }
    }
    plan.ask(at, has(&home, if how == 3 { 1 } else { 2 }));
    let then = later("promised then", 18_000, 25_000);
    match how {
        0 => {}
        1 => plan.ask(then, plan::delete(Kind::Pod, "expects")),
        2 => {
            for actor in room::all_of(dice, "scheduler") {
                let down = dice.millis("promised down", 0, 500, 3_000);
                plan.strike(then, Fault::Crash { actor, down });
            }
            let free = json!({"spec": {"schedulingGates": null}});
            plan.ask(then + Duration::from_millis(100), merge(&Key::new(Kind::Pod, "default", "other"), free));
        }
        _ => {
            plan.ask(at, has(&away, 1));
            plan.strike(then, Fault::NodeCrash { node: home.clone(), down: Some(second * 150) });
            plan.ask(then + second, plan::delete(Kind::Node, &home));
        }
    }
    for at in [END, END + AGAIN] {
        for name in ["expects", "other", "holds-0", "holds-1"] {
            let key = Key::new(Kind::Pod, "default", name);
            plan.ask(at, Ask::Delete(Delete { grace_seconds: Some(1), ..delete_of(&key) }));
        }
    }
}

/// Pods come, one after the other, that had rather be away from one that is there already.
fn rather_apart(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let at = dice.millis("rather apart at", 0, 2_000, 90_000);
    let pod = |name: &str| {
        let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", "sleep infinity"],
            "resources": {"requests": {"cpu": "10m", "memory": "10Mi"}}});
        let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
        plan::pod(name, spec)
    };
    let mut noisy = pod("noisy");
    noisy["metadata"]["labels"] = json!({"rather": "noisy"});
    noisy["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node(dice, 980, nodes)});
    plan.ask(at, plan::create(noisy));
    let noise = json!({"labelSelector": {"matchLabels": {"rather": "noisy"}}, "topologyKey": "kubernetes.io/hostname"});
    let weight = dice.one("rather apart by", 0, &[1, 10, 100]);
    let away = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": weight, "podAffinityTerm": noise}]}});
    let names = ["quiet-0", "quiet-1", "quiet-2"];
    for (name, nth) in names.into_iter().zip(2..) {
        let mut quiet = pod(name);
        quiet["spec"]["affinity"] = away.clone();
        plan.ask(at + Duration::from_secs(4) * nth, plan::create(quiet));
    }
    for at in [END, END + AGAIN] {
        names.into_iter().chain(["noisy"]).for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Act, Entry};
    use miniku_core::api::pod::Pod;
    use miniku_core::rng::Draw;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_promised_is_given_up_or_given_away_while_somebody_goes_for_it() {
        let mut kinds = BTreeSet::new();
        for seed in 0..100 {
            let mut plan = Plan::default();
            promised(&Dice(Draw::new(seed)), 3, &mut plan);
            let made = |name: &str| {
                let is_it = |one: &&Entry| matches!(&one.act, Act::Ask(Ask::Create(pod)) if *pod.meta().name == *name);
                plan.entries.iter().find(is_it).map(|one| one.at)
            };
            let expects = made("expects").unwrap();
            let then = plan.entries.iter().filter(|one| one.at > expects && one.at < END);
            // Who goes ends long after that.
            let then: Vec<Duration> = then.filter(|one| !is_pod(one)).map(|one| one.at).collect();
            assert!(then.iter().all(|at| *at > expects + Duration::from_secs(5)), "seed {seed}: {then:?}");
            assert!(then.iter().all(|at| *at < expects + Duration::from_secs(20)), "seed {seed}: {then:?}");
            assert!(made("holds-0").unwrap() < expects, "seed {seed}");
            kinds.insert((made("holds-1").is_some(), made("other").map(|other| other < expects), then.is_empty()));
        }
        assert_eq!(kinds.len(), 4, "{kinds:?}");
    }

    #[test]
    fn who_had_rather_be_apart_comes_later() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            rather_apart(&Dice(Draw::new(seed)), 3, &mut plan);
            let created = |one: &Entry| match &one.act {
                Act::Ask(Ask::Create(object)) => Some((one.at, object.get::<Pod>()?.spec.affinity.is_some())),
                _ => None,
            };
            let created: Vec<(Duration, bool)> = plan.entries.iter().filter_map(created).collect();
            assert!(created.len() == 4 && !created[0].1, "seed {seed}");
            let apart = |two: &[(Duration, bool)]| two[1].1 && two[1].0 >= two[0].0 + Duration::from_secs(4);
            assert!(created.windows(2).all(apart), "seed {seed}");
        }
    }

    fn is_pod(entry: &Entry) -> bool {
        matches!(&entry.act, Act::Ask(Ask::Create(object)) if object.kind() == Kind::Pod)
    }
}
