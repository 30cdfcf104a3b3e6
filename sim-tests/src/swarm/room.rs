//! Who may be where, and how much of everything there is: taints, affinities and spread, quotas and limits, as some random
//! runs have them.
//!
//! In one of three runs, and each kind in half of those. What keeps pods away for ever is taken back by the operator.

use super::{ACTIVE, AGAIN, Dice, END, merge};
use crate::plan::{self, Plan};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use serde_json::{Value, json};

/// Whether a run has more in it than most.
pub(super) fn is_wide(dice: &Dice) -> bool {
    dice.below("wide", 0, 3) == 0
}

/// Whether there are two of the scheduler and of each controller, of which one leads.
pub(super) fn stands_by(dice: &Dice) -> bool {
    is_wide(dice) && dice.has("standbys")
}

/// The actors that are this program: one, or two of which one leads.
pub(super) fn all_of(dice: &Dice, program: &str) -> impl Iterator<Item = String> {
    let second = stands_by(dice).then(|| format!("{program}-2"));
    [program.to_owned()].into_iter().chain(second)
}

/// What nodes are kept for, and what some pods put up with.
const KEPT_FOR: [&str; 2] = ["work", "team"];

/// More important than most, and makes nobody go.
pub(super) const PATIENT: &str = "patient";

/// Adds what is done about room to a plan.
pub(super) fn draw(dice: &Dice, nodes: u64, plan: &mut Plan) {
    if !is_wide(dice) {
        return;
    }
    if dice.has("taints") {
        (0..1 + dice.below("taints", 0, 4)).for_each(|nth| taint(dice, nth, nodes, plan));
    }
    if dice.has("quotas") {
        quotas(dice, plan);
    }
    if dice.has("limit ranges") {
        limit_ranges(dice, plan);
    }
}

/// Where the pods of an app may be, perhaps: the spec of its template.
pub(super) fn place(dice: &Dice, app: &str, spec: &mut Value) {
    if !is_wide(dice) || !dice.has("places") {
        return;
    }
    let below = |what: &str, bound| dice.below(&format!("{what} of {app}"), 0, bound);
    let topology = ["kubernetes.io/hostname", "kubernetes.io/hostname", "zone"][below("topology", 3) as usize];
    let near = |app: &str| json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": topology});
    let spread = |when: &str| {
        json!([{"maxSkew": 1 + below("skew", 2), "topologyKey": topology, "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": app}}}])
    };
    let must = "requiredDuringSchedulingIgnoredDuringExecution";
    let should = "preferredDuringSchedulingIgnoredDuringExecution";
    match below("place", 9) {
        0 => spec["affinity"] = json!({"podAntiAffinity": {must: [near(app)]}}),
        1 => spec["affinity"] = json!({"podAntiAffinity": {must: [near("set-0")]}}),
        2 => spec["affinity"] = json!({"podAntiAffinity": {should: [{"weight": 10, "podAffinityTerm": near(app)}]}}),
        3 => spec["affinity"] = json!({"podAffinity": {must: [near(app)]}}),
        4 => spec["affinity"] = json!({"podAffinity": {should: [{"weight": 50, "podAffinityTerm": near("set-0")}]}}),
        5 => spec["topologySpreadConstraints"] = spread("DoNotSchedule"),
        6 => spec["topologySpreadConstraints"] = spread("ScheduleAnyway"),
        7 if dice.has("priorities") => spec["priorityClassName"] = PATIENT.into(),
        _ => {}
    }
    if below("tolerates", 3) == 0 {
        let first = below("tolerated", 2) as usize;
        let mut toleration = json!({"key": KEPT_FOR[first], "operator": "Exists"});
        if below("for a time", 2) == 0 {
            toleration["effect"] = "NoExecute".into();
            // For less, it would be made, sent away and made again all the time, as in Kubernetes.
            toleration["tolerationSeconds"] = (15 + below("seconds", 40)).into();
        }
        // Of two the one that lasts for less counts.
        let other =
            json!({"key": KEPT_FOR[1 - first], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 600});
        let both = below("tolerates both", 2) == 0;
        spec["tolerations"] = if both { json!([toleration, other]) } else { json!([toleration]) };
    }
}

/// As `kubectl taint` does it, all taints are written: those that others have put there meanwhile are lost.
fn taint(dice: &Dice, nth: u64, nodes: u64, plan: &mut Plan) {
    let key = Key::new(Kind::Node, "", &super::node(dice, 400 + nth, nodes));
    let kept_for = dice.one("kept for", nth, &KEPT_FOR);
    let effect = dice.one("effect", nth, &["NoSchedule", "NoExecute", "NoExecute", "PreferNoSchedule"]);
    let at = dice.millis("tainted at", nth, 4_000, ACTIVE);
    let mut taints = vec![json!({"key": kept_for, "effect": effect})];
    if dice.below("kept for both", nth, 3) == 0 {
        // Who puts up with one of the two has to go for the other.
        let other = KEPT_FOR.into_iter().find(|one| *one != kept_for);
        taints.push(json!({"key": other, "effect": "NoExecute"}));
    }
    plan.ask(at, merge(&key, json!({"spec": {"taints": taints}})));
    let none = || merge(&key, json!({"spec": {"taints": null}}));
    if dice.below("untainted", nth, 3) > 0 {
        plan.ask(at + dice.millis("untainted at", nth, 500, 60_000), none());
    }
    for at in [END, END + AGAIN] {
        plan.ask(at, none());
    }
}

/// One that is never reached and is kept, and one that is.
fn quotas(dice: &Dice, plan: &mut Plan) {
    let quota = |name: &str, hard: Value| {
        plan::create(
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}}),
        )
    };
    let hard = |nth| {
        let cpu = dice.one("quota cpu", nth, &["500m", "1", "3"]);
        json!({"pods": dice.one("quota pods", nth, &["2", "5", "12", "40"]), "requests.cpu": cpu})
    };
    let at = dice.millis("quota at", 0, 500, 20_000);
    plan.ask(at, quota("ample", json!({"pods": "5k", "requests.cpu": "1k"})));
    if dice.below("ample changes", 0, 2) == 0 {
        let (pods, cpu) = (dice.one("ample pods", 0, &["4k", "6k"]), dice.one("ample cpu", 0, &["900", "1k"]));
        let hard = json!({"spec": {"hard": {"pods": pods, "requests.cpu": cpu}}});
        let key = Key::new(Kind::ResourceQuota, "default", "ample");
        plan.ask(at + dice.millis("ample changed", 0, 500, 100_000), merge(&key, hard));
    }
    let at = dice.millis("quota at", 1, 500, 60_000);
    plan.ask(at, quota("scarce", hard(0)));
    let key = Key::new(Kind::ResourceQuota, "default", "scarce");
    if dice.below("quota changes", 0, 2) == 0 {
        plan.ask(at + dice.millis("quota changed", 0, 500, 100_000), merge(&key, json!({"spec": {"hard": hard(1)}})));
    }
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::ResourceQuota, "scarce"));
    }
}

/// One that everybody fits in, and is kept, and one that lets nobody in who asks for no limit, or for too high a one.
fn limit_ranges(dice: &Dice, plan: &mut Plan) {
    let range = |name: &str, limits: Value| {
        plan::create(json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name},
            "spec": {"limits": [limits]}}))
    };
    let usual = json!({"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "600m", "memory": "256Mi"},
        "defaultRequest": {"cpu": "20m", "memory": "16Mi"}});
    plan.ask(dice.millis("limits at", 0, 500, 60_000), range("usual", usual));
    let most = dice.one("most", 0, &["60m", "120m", "300m"]);
    let at = dice.millis("limits at", 1, 500, ACTIVE);
    plan.ask(at, range("narrow", json!({"type": "Container", "max": {"cpu": most}})));
    if dice.below("limits go", 0, 2) == 0 {
        plan.ask(at + dice.millis("limits gone", 0, 5_000, 60_000), plan::delete(Kind::LimitRange, "narrow"));
    }
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::LimitRange, "narrow"));
    }
}
