//! What becomes of nodes while somebody writes on them, and of those whose kubelet knows better.

use super::{befall, idle, on, touch};
use crate::plan::{self, Ask, Fault, Mishap, Off, Piece, Plan, Ratio};
use crate::swarm::details::part;
use crate::swarm::{AGAIN, Dice, END, merge, node};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// A node is cordoned, and each time that the controller is about to write that it keeps pods away, somebody else is faster;
/// and there is news of the node all the time.
pub(super) fn harried(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 950, nodes);
    let (at, second) = (dice.millis("harried at", 0, 8_000, 120_000), Duration::from_secs(1));
    let intruder = Fault::Intruder { actor: "node-lifecycle".into(), share: Ratio::ALL, lasts: second * 23 };
    plan.strike(at, intruder);
    plan.ask(at + second, Ask::Cordon(node.clone()));
    touch(&node, at + second * 2, Duration::from_millis(400), 50, plan);
    plan.ask(at + second * 30, Ask::Uncordon(node));
}

/// Somebody writes on a node all the time that is silent, that is called not ready before it is silent, or from which pods
/// have to go after a while.
pub(super) fn touched(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 960, nodes);
    let (key, at) = (Key::new(Kind::Node, "", &node), dice.millis("touched at", 0, 10_000, 40_000));
    let (pace, second) = (dice.millis("touched each", 0, 2_000, 5_000), Duration::from_secs(1));
    let times = |lasts: Duration| u32::try_from(lasts.as_nanos() / pace.as_nanos()).unwrap_or(0);
    let kind = dice.below("touched how", 0, 3);
    if kind > 0 {
        // For longer than it may take to notice, whatever else happens.
        plan.strike(at, Fault::NodeCrash { node: node.clone(), down: Some(second * 215) });
        touch(&node, at + second, pace, times(second * 213), plan);
        if kind > 1 {
            // As who looks after machines says it of one that is broken.
            let broken =
                json!([{"type": "Ready", "status": "False", "reason": "Broken", "message": "it is looked at"}]);
            plan.ask(at + second, part(&key, Piece::Status, json!({"status": {"conditions": broken}})));
        }
        return;
    }
    let tainted = at + second * 10;
    // The last one comes when the node has had the taint for a while, and the others are about to go.
    for nth in 0..3 {
        let stays = 15 + dice.below("touched stays", nth, 20);
        let comes = if nth == 2 { tainted + second * 12 } else { at };
        let pod = plan::pod(&format!("restless-{nth}"), tolerant(&node, "rest", stays));
        plan.ask(comes, plan::create(pod));
    }
    plan.ask(tainted, taints(&node, json!([{"key": "rest", "effect": "NoExecute"}])));
    touch(&node, tainted + second, pace, times(second * 130), plan);
    for at in [END, END + AGAIN] {
        plan.ask(at, taints(&node, Value::Null));
        (0..3).for_each(|nth| plan.ask(at, plan::delete(Kind::Pod, &format!("restless-{nth}"))));
    }
}

/// Somebody says of a node what its kubelet knows better; and while that waits for the answer to its correction, the node is
/// deleted.
pub(super) fn made_again(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 990, nodes);
    let (key, at) = (Key::new(Kind::Node, "", &node), dice.millis("made again at", 0, 10_000, 140_000));
    let mishap = Mishap::ReplyLate(dice.millis("made again late", 0, 1_500, 9_000));
    befall(&format!("kubelet/{node}"), 4, mishap, at, plan);
    let said = json!({"status": {"nodeInfo": {"kernelVersion": "0"}}});
    plan.ask(at + Duration::from_millis(100), part(&key, Piece::Status, said));
    plan.ask(at + dice.millis("made again then", 0, 400, 1_400), plan::delete(Kind::Node, &node));
}

/// A pod that puts up with a taint of its node for a while goes when it has been there for nearly so long, and another of its
/// name comes.
pub(super) fn come_again(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 940, nodes);
    let (at, second) = (dice.millis("come again at", 0, 5_000, 90_000), Duration::from_secs(1));
    let stays = 20 + dice.below("come again for", 0, 20);
    let lodger = || plan::create(plan::pod("lodger", tolerant(&node, "lodging", stays)));
    plan.ask(at, lodger());
    plan.ask(at + second * 3, taints(&node, json!([{"key": "lodging", "effect": "NoExecute"}])));
    let goes = at + Duration::from_secs(stays - 10);
    plan.ask(goes, plan::delete(Kind::Pod, "lodger"));
    plan.ask(goes + second * 5, lodger());
    for at in [END, END + AGAIN] {
        plan.ask(at, taints(&node, Value::Null));
        plan.ask(at, plan::delete(Kind::Pod, "lodger"));
    }
}

/// A node has these taints from now on.
fn taints(node: &str, taints: Value) -> Ask {
    merge(&Key::new(Kind::Node, "", node), json!({"spec": {"taints": taints}}))
}

/// The spec of a pod that is to run on a node, and puts up for so many seconds with a taint for which others have to go.
fn tolerant(node: &str, taint: &str, seconds: u64) -> Value {
    let mut spec = on(node, idle("10m"));
    spec["tolerations"] =
        json!([{"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    spec
}

/// A node is cordoned, and before the controller has an answer to what it has written then, others have written on the node.
pub(super) fn overtaken(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 945, nodes);
    let (at, second) = (dice.millis("overtaken at", 0, 8_000, 130_000), Duration::from_secs(1));
    let mishap = Mishap::ReplyLate(dice.millis("overtaken late", 0, 1_500, 1_900));
    befall("node-lifecycle", 3, mishap, at, plan);
    plan.ask(at + second / 10, Ask::Cordon(node.clone()));
    touch(&node, at + second / 5, Duration::from_millis(300), 20, plan);
    plan.ask(at + dice.millis("overtaken for", 0, 10_000, 30_000), Ask::Uncordon(node));
}

/// The clock of a node stands still for longer than a node may be silent.
pub(super) fn still_clock(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let actor = format!("kubelet/{}", node(dice, 998, nodes));
    let lasts = dice.millis("still for", 0, 65_000, 100_000);
    let fault = Fault::WallClock { actor, off: Off::Still, lasts };
    plan.strike(dice.millis("still at", 0, 5_000, 75_000), fault);
}

/// All nodes of a small cluster break down and are deleted, and a pod comes before the first of them is there again.
pub(super) fn first_again(dice: &Dice, nodes: u64, plan: &mut Plan) {
    if nodes > 3 {
        return;
    }
    let (at, second) = (dice.millis("no node at", 0, 5_000, 100_000), Duration::from_secs(1));
    for node in (1..=nodes).map(|nth| format!("node-{nth}")) {
        plan.strike(at, Fault::NodeCrash { node: node.clone(), down: Some(second * 30) });
        plan.ask(at + second, plan::delete(Kind::Node, &node));
    }
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [idle("10m")]});
    plan.ask(at + dice.millis("no node then", 0, 3_000, 20_000), plan::create(plan::pod("early", spec)));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::Pod, "early"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::{answered_late_by, first_at, makes_pod, planned};
    use super::*;
    use crate::plan::Act;
    use miniku_core::api::pod::Pod;
    use std::collections::BTreeSet;

    #[test]
    fn there_is_more_news_of_a_node_than_a_controller_may_be_refused_writes() {
        for seed in 0..100 {
            let plan = planned(seed, harried);
            let intruder = |act: &Act| match act {
                Act::Strike(Fault::Intruder { share, lasts, .. }) if share.is_all() => Some(*lasts),
                _ => None,
            };
            let (from, lasts) = plan.entries.iter().find_map(|one| Some((one.at, intruder(&one.act)?))).unwrap();
            let news = plan.entries.iter().filter(|one| matches!(&one.act, Act::Ask(Ask::Patch(_))));
            let during = news.filter(|one| one.at > from && one.at < from + lasts);
            assert_eq!(during.count(), 50, "seed {seed}");
        }
    }

    #[test]
    fn there_is_news_of_a_node_more_often_and_for_longer_than_anybody_waits() {
        let mut kinds = BTreeSet::new();
        for seed in 0..100 {
            let plan = planned(seed, touched);
            let is_touch = |act: &Act| match act {
                Act::Ask(Ask::Patch(patch)) => patch.merge.pointer("/metadata/annotations").is_some(),
                _ => false,
            };
            let at: Vec<Duration> = plan.entries.iter().filter(|one| is_touch(&one.act)).map(|one| one.at).collect();
            assert!(at.windows(2).all(|two| two[1] - two[0] < Duration::from_secs(15)), "seed {seed}");
            let crashes = plan.entries.iter().any(|one| matches!(one.act, Act::Strike(Fault::NodeCrash { .. })));
            let lasts = at[at.len() - 1] - at[0];
            assert!(lasts > Duration::from_secs(if crashes { 200 } else { 120 }), "seed {seed}: {lasts:?}");
            kinds.insert((crashes, plan.entries.len() - at.len()));
        }
        assert_eq!(kinds.len(), 3, "{kinds:?}");
    }

    #[test]
    fn another_comes_before_the_time_of_the_first_is_up_and_has_some_left_then() {
        for seed in 0..100 {
            let plan = planned(seed, come_again);
            let made: Vec<Duration> = plan.entries.iter().filter(|one| makes_pod(one)).map(|one| one.at).collect();
            let tainted = first_at(&plan, |one| matches!(one.act, Act::Ask(Ask::Patch(_))));
            let stays = plan.entries.iter().find_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.get::<Pod>()?.spec.tolerations.first()?.toleration_seconds,
                _ => None,
            });
            let up = tainted + Duration::from_secs(stays.unwrap().unsigned_abs());
            assert!(made.len() == 2 && made[0] < tainted && made[1] > tainted, "seed {seed}: {made:?}");
            assert!(up > made[1] + Duration::from_secs(5) && up < made[1] + Duration::from_secs(15), "seed {seed}");
        }
    }

    #[test]
    fn a_node_is_written_on_before_the_controller_is_answered() {
        for seed in 0..100 {
            let plan = planned(seed, overtaken);
            let cordoned = first_at(&plan, |one| matches!(one.act, Act::Ask(Ask::Cordon(_))));
            let answered = cordoned + answered_late_by(&plan);
            let touched = plan.entries.iter().filter(|one| matches!(&one.act, Act::Ask(Ask::Patch(_))));
            let meanwhile = touched.filter(|one| one.at > cordoned && one.at < answered).count();
            assert!(meanwhile > 3, "seed {seed}: {meanwhile}");
        }
    }

    #[test]
    fn a_node_is_deleted_before_its_kubelet_is_answered() {
        for seed in 0..100 {
            let plan = planned(seed, made_again);
            let said = first_at(&plan, |one| matches!(one.act, Act::Ask(Ask::Patch(_))));
            let deleted = first_at(&plan, |one| matches!(one.act, Act::Ask(Ask::Delete(_))));
            assert!(deleted > said && deleted < said + answered_late_by(&plan), "seed {seed}");
        }
    }

    #[test]
    fn a_pod_comes_while_there_is_no_node() {
        for seed in 0..100 {
            let plan = planned(seed, first_again);
            let down = first_at(&plan, |one| matches!(one.act, Act::Strike(Fault::NodeCrash { .. })));
            let deleted = first_at(&plan, |one| matches!(one.act, Act::Ask(Ask::Delete(_))));
            let comes = first_at(&plan, makes_pod);
            assert!(comes > deleted && comes < down + Duration::from_secs(30), "seed {seed}");
        }
    }
}
