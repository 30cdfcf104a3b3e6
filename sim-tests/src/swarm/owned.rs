//! Whom workloads take for their own, and who is made, let go or taken away against their wish, as some random runs have it;
//! and what they do that is wished for seldom: a job with rules, a rollout that is held for ever.
//!
//! Each kind is in one of five runs. What never ends by itself is ended by the operator.

use super::{ACTIVE, AGAIN, Dice, END, delete_of, merge};
use crate::plan::{self, Ask, Delete, Evict, Plan, Relabel};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::program::Propagation;
use serde_json::{Value, json};

/// Adds one of a kind.
type Drawing = fn(&Dice, &mut Plan);

/// Adds them to a plan.
pub(super) fn draw(dice: &Dice, plan: &mut Plan) {
    let kinds: [(&str, Drawing); 5] =
        [("kin", kin), ("controllers", controller), ("taken", taken), ("rules", ruled_job), ("held up", held_up)];
    for (_, draw) in kinds.into_iter().filter(|(what, _)| dice.below(what, 0, 5) == 0) {
        draw(dice, plan);
    }
}

/// A pod that runs for ever.
fn lasting() -> Value {
    json!({"terminationGracePeriodSeconds": 3, "containers": [{
        "name": "main", "image": "busybox", "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}}}]})
}

/// Pods by themselves that somebody selects or does not, perhaps with an owner who is not in charge; and their labels change.
fn strays(dice: &Dice, what: &str, labels: &[Value], plan: &mut Plan) {
    for nth in 0..1 + dice.below(what, 0, 4) {
        let below = |which: &str, bound| dice.below(&format!("{what} {which}"), nth, bound);
        let (name, at) = (format!("{what}-{nth}"), dice.millis(&format!("{what} at"), nth, 1_000, 90_000));
        let label = |which: &str| labels[below(which, labels.len() as u64) as usize].clone();
        let mut meta = json!({"name": name, "labels": label("labels")});
        if below("owned", 2) == 0 {
            // Of a kind that nobody knows, and so taken to exist.
            let other = json!({"apiVersion": "miniku.test/v1", "kind": "Widget", "name": "w", "uid": "widget"});
            meta["ownerReferences"] = json!([other]);
        }
        plan.ask(at, plan::create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": lasting()})));
        if below("changes", 2) == 0 {
            let key = Key::new(Kind::Pod, "default", &name);
            let later = at + dice.millis(&format!("{what} changed"), nth, 500, 40_000);
            plan.ask(later, merge(&key, json!({"metadata": {"labels": label("other labels")}})));
        }
    }
}

fn again(dice: &Dice, what: &str, key: &Key, manifest: &Value, plan: &mut Plan) {
    if dice.has("deletions") && dice.below(&format!("{what} goes"), 0, 2) == 0 {
        let propagation = dice.one(&format!("{what} propagation"), 0, &[Propagation::Orphan, Propagation::Foreground]);
        let at = dice.millis(&format!("{what} gone"), 0, 10_000, 100_000);
        plan.ask(at, Ask::Delete(Delete { propagation: Some(propagation), ..delete_of(key) }));
        plan.ask(at + dice.millis(&format!("{what} again"), 0, 1, 8_000), plan::create(manifest.clone()));
    }
}

/// A workload that selects by expressions alone.
fn kin(dice: &Dice, plan: &mut Plan) {
    let kind = dice.one("kin kind", 0, &[Kind::ReplicaSet, Kind::ReplicaSet, Kind::Deployment, Kind::StatefulSet]);
    let key = Key::new(kind, "default", "kin");
    let expressions = json!([
        {"key": "team", "operator": "In", "values": ["a", "b"]}, {"key": "left", "operator": "DoesNotExist"}]);
    let mut manifest = json!({"apiVersion": "apps/v1", "kind": kind.row().name, "metadata": {"name": "kin"}, "spec": {
        "replicas": 1 + dice.below("kin size", 0, 4),
        "selector": {"matchExpressions": expressions},
        "template": {"metadata": {"labels": {"team": "a"}}, "spec": lasting()}
    }});
    match kind {
        Kind::StatefulSet => manifest["spec"]["serviceName"] = "kin".into(),
        // Of a stateful set, it would be in the way of its successor for ever.
        Kind::ReplicaSet => {
            for nth in 0..dice.below("kin leave", 0, 3) {
                let labels = [("left".to_owned(), Some("yes".to_owned()))].into();
                let leaves = Relabel { pod: "kin-".into(), namespace: "default".into(), labels };
                plan.ask(dice.millis("kin left", nth, 8_000, ACTIVE), Ask::Relabel(leaves));
            }
        }
        _ => {}
    }
    plan.ask(dice.millis("kin at", 0, 500, 5_000), plan::create(manifest.clone()));
    let labels = [json!({"team": "a"}), json!({"team": "b"}), json!({"team": "c"}), json!({"team": "a", "left": "no"})];
    strays(dice, "stray", &labels, plan);
    for nth in 0..dice.below("kin actions", 0, 3) {
        let replicas = dice.below("kin replicas", nth, 6);
        plan.ask(dice.millis("kin scaled", nth, 5_000, ACTIVE), merge(&key, json!({"spec": {"replicas": replicas}})));
    }
    again(dice, "kin", &key, &manifest, plan);
}

/// A replication controller, whose selector may change.
fn controller(dice: &Dice, plan: &mut Plan) {
    let key = Key::new(Kind::ReplicationController, "default", "old");
    let manifest = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old"}, "spec": {
        "replicas": 1 + dice.below("old size", 0, 4),
        "minReadySeconds": dice.one("old ready", 0, &[0, 4]),
        "selector": {"part": "x"},
        "template": {"metadata": {"labels": {"part": "x", "tier": "y"}}, "spec": lasting()}
    }});
    plan.ask(dice.millis("old at", 0, 500, 5_000), plan::create(manifest.clone()));
    strays(dice, "loose", &[json!({"part": "x"}), json!({"tier": "y"}), json!({"part": "x", "tier": "y"})], plan);
    for nth in 0..dice.below("old actions", 0, 5) {
        let spec = match dice.below("old action", nth, 4) {
            0 => json!({"selector": {"part": null, "tier": "y"}}),
            1 => json!({"selector": {"part": "x", "tier": null}}),
            _ => json!({"replicas": dice.below("old replicas", nth, 6)}),
        };
        plan.ask(dice.millis("old acted", nth, 5_000, ACTIVE), merge(&key, json!({"spec": spec})));
    }
    again(dice, "old", &key, &manifest, plan);
}

/// A set whose pods find no place, and somebody who takes them away as fast as they come.
fn taken(dice: &Dice, plan: &mut Plan) {
    let mut set = plan::replica_set("taken", 1 + dice.below("taken size", 0, 2) as usize, "");
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"nowhere": "yes"});
    plan.ask(dice.millis("taken at", 0, 500, 30_000), plan::create(set));
    let from = dice.millis("taken from", 0, 31_000, 90_000);
    for nth in 0..90 {
        let evict = Evict { pod: "taken-".into(), namespace: "default".into(), grace_seconds: None };
        plan.ask(from + miniku_core::time::Duration::from_millis(nth * 700), Ask::Evict(evict));
    }
}

/// A job that says what a failure means, and when enough is done.
fn ruled_job(dice: &Dice, plan: &mut Plan) {
    let below = |what: &str, bound| dice.below(&format!("rule {what}"), 0, bound);
    let key = Key::new(Kind::Job, "default", "calc");
    let script = ["sleep 2; exit 3", "sleep 5; exit 4", "sleep 4", "sleep 20"][below("script", 4) as usize];
    let container = |name: &str, script: &str| {
        json!({"name": name, "image": "busybox", "command": ["sh", "-c", script],
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}}})
    };
    let mut containers = vec![container("main", script)];
    if below("helped", 2) == 0 {
        let script = ["sleep 1; exit 0", "sleep 3; exit 0", "sleep 2; exit 5"][below("helper", 3) as usize];
        containers.push(container("helper", script));
    }
    let many = 1 + below("completions", 5);
    let mut spec = json!({
        "activeDeadlineSeconds": 80, "completions": many,
        "parallelism": if below("all at once", 2) == 0 { many } else { 1 + below("parallelism", 3) },
        "backoffLimit": below("limit", 6),
        "template": {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 3, "containers": containers}}
    });
    let is_indexed = below("indexed", 3) > 0;
    let by_itself = is_indexed && below("by itself", 2) == 0;
    if is_indexed {
        spec["completionMode"] = "Indexed".into();
    }
    if by_itself {
        spec["backoffLimitPerIndex"] = below("limit of one", 3).into();
        spec["backoffLimit"] = 100.into();
        if below("most", 2) == 0 {
            spec["maxFailedIndexes"] = below("most failed", many).into();
        }
    }
    if is_indexed && below("enough", 2) == 0 {
        // The first to be done is not among them, if there are others.
        let wanted = if many > 1 { format!("1-{}", many - 1) } else { "0".into() };
        spec["successPolicy"] = json!({"rules": [{"succeededIndexes": wanted, "succeededCount": 1}]});
    }
    if below("policy", 3) > 0 {
        let action = ["Ignore", "FailJob", "Count", if by_itself { "FailIndex" } else { "FailJob" }];
        let operator = ["In", "NotIn"][below("operator", 2) as usize];
        let values = [&[3][..], &[4], &[3, 4]][below("values", 3) as usize];
        let mut codes = json!({"operator": operator, "values": values});
        if below("of one", 2) == 0 {
            codes["containerName"] = "main".into();
        }
        let mut rules = vec![json!({"action": action[below("action", 4) as usize], "onExitCodes": codes})];
        if below("disrupted", 2) == 0 {
            rules.push(json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}));
        }
        spec["podFailurePolicy"] = json!({"rules": rules});
        spec["podReplacementPolicy"] = "Failed".into();
    }
    let at = dice.millis("rule at", 0, 500, 90_000);
    plan.ask(
        at,
        plan::create(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "calc"}, "spec": spec})),
    );
    for nth in 0..dice.below("rule lost", 0, 3) {
        let evict = Evict { pod: "calc-".into(), namespace: "default".into(), grace_seconds: None };
        plan.ask(at + dice.millis("rule lost at", nth, 500, 40_000), Ask::Evict(evict));
    }
    for nth in 0..dice.below("rule sizes", 0, 3) {
        // Numbers may become more or fewer only where all of them work at once.
        let size = 1 + dice.below("rule size", nth, 5);
        let both = is_indexed && spec["parallelism"] == many;
        let merged =
            if both { json!({"completions": size, "parallelism": size}) } else { json!({"parallelism": size}) };
        let keeps = both && (spec.get("maxFailedIndexes").is_some() || spec.get("successPolicy").is_some());
        if !keeps {
            plan.ask(at + dice.millis("rule sized", nth, 1_000, 50_000), merge(&key, json!({"spec": merged})));
        }
    }
    // What is ignored is tried for ever, should its deadline be one of a clock that is wrong.
    for at in [END, END + AGAIN] {
        plan.ask(at, merge(&key, json!({"spec": {"parallelism": 0}})));
    }
}

/// A deployment that is held for ever, in the middle of a rollout or while it has no pods, and then is to have another size.
fn held_up(dice: &Dice, plan: &mut Plan) {
    let key = Key::new(Kind::Deployment, "default", "halt");
    let template = |version: &str| json!({"metadata": {"labels": {"app": "halt"}, "annotations": {"version": version}}, "spec": lasting()});
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "halt"}, "spec": {
        "replicas": 3 + dice.below("halt size", 0, 5),
        "minReadySeconds": dice.one("halt ready", 0, &[0, 3]),
        "progressDeadlineSeconds": 30,
        "strategy": {"rollingUpdate": {"maxSurge": dice.below("halt surge", 0, 3), "maxUnavailable": 1}},
        "selector": {"matchLabels": {"app": "halt"}},
        "template": template("1")
    }});
    plan.ask(dice.millis("halt at", 0, 500, 10_000), plan::create(manifest));
    let mut at = dice.millis("halt changes", 0, 20_000, 60_000);
    let mut next = |spec: Value, most: u64, nth: u64| {
        plan.ask(at, merge(&key, json!({"spec": spec})));
        at += dice.millis("halt next", nth, 200, most);
    };
    if dice.below("halt empty", 0, 2) == 0 {
        next(json!({"replicas": 0}), 20_000, 0);
        next(json!({"paused": true}), 10_000, 1);
        next(json!({"template": template("2")}), 10_000, 2);
    } else {
        next(json!({"template": template("2")}), 6_000, 0);
        next(json!({"paused": true}), 20_000, 1);
    }
    for nth in 3..4 + dice.below("halt sizes", 0, 3) {
        next(json!({"replicas": 1 + dice.below("halt resized", nth, 9)}), 20_000, nth);
    }
}
