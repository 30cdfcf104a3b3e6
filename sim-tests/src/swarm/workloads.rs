//! Deployments, stateful sets, jobs and what goes with them, as some random runs have them beside replica sets.
//!
//! Each kind is in one of four runs, daemon sets and autoscalers in one of six. Whatever could not come to rest by itself is
//! ended by the operator: a pause, a template that cannot run, a schedule.

use super::{ACTIVE, AGAIN, Dice, END, delete_of, details, let_go, merge, room};
use crate::plan::{self, Ask, Delete, Evict, Fault, Plan, Ratio, Weather};
use crate::usage::LOAD;
use crate::world::WALL_START;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::program::Propagation;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// Adds one of a kind, by its number.
type Drawing = fn(&Dice, u64, &mut Plan);

/// Adds workloads to a plan.
pub(super) fn draw(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let of_every_kind: [(&str, Drawing); 5] = [
        ("deployments", deployment),
        ("stateful sets", stateful_set),
        ("jobs", job),
        ("cron jobs", cron_job),
        ("services", service),
    ];
    let some = dice.has("workloads");
    for (what, draw) in of_every_kind.into_iter().filter(|(what, _)| some && dice.has(what)) {
        (0..1 + dice.below(what, 0, 2)).for_each(|nth| draw(dice, nth, plan));
    }
    if room::is_wide(dice) && dice.has("daemon sets") {
        (0..1 + dice.below("daemon sets", 0, 2)).for_each(|nth| daemon_set(dice, nth, nodes, plan));
    }
    if room::is_wide(dice) && dice.has("autoscalers") {
        (0..1 + dice.below("autoscalers", 0, 2)).for_each(|nth| autoscaled(dice, nth, plan));
    }
    if some && dice.has("budgets") {
        (0..2).for_each(|nth| budget(dice, nth, plan));
        for nth in 0..dice.below("vacated", 0, 3) {
            let (at, node) = (dice.millis("vacated at", nth, 10_000, ACTIVE), super::node(dice, 300 + nth, nodes));
            plan.ask(at, Ask::Vacate(node.clone()));
            plan.ask(at + dice.millis("back", nth, 5_000, 60_000), Ask::Uncordon(node));
        }
    }
}

/// A template of pods; another version makes another template, which perhaps cannot run.
///
/// Those of stateful sets can: with ordered pods, one that cannot is in the way of its own replacement, as in Kubernetes
/// (documentation, "StatefulSets", forced rollback). So is one of a deployment where its pods must not be near each other
/// and all places are taken.
fn template(dice: &Dice, key: &Key, version: u64) -> Value {
    let is_bad = dice.has("bad images") && !room::is_wide(dice) && key.kind == Kind::Deployment && version % 4 == 3;
    let image = if is_bad { "nowhere/nothing:1" } else { "busybox" };
    let app: &str = &key.name;
    let mut template = json!({
        "metadata": {"labels": {"app": app}, "annotations": {"version": version.to_string()}},
        "spec": {"terminationGracePeriodSeconds": 5, "containers": [{
            "name": "main", "image": image, "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}}}]}
    });
    if key.kind != Kind::DaemonSet {
        room::place(dice, app, &mut template["spec"]);
        if !app.starts_with("auto") {
            details::needs(dice, app, &mut template["spec"]);
        }
    }
    template
}

/// One action of several on a workload with a template and a number of pods.
fn action(dice: &Dice, what: &str, nth: u64, key: &Key, manifest: &Value, plan: &mut Plan) {
    let at = dice.millis(&format!("{what} at"), nth, 5_000, ACTIVE);
    match dice.below(what, nth, 8) {
        0 | 1 => {
            let replicas = dice.below(&format!("{what} size"), nth, 7);
            plan.ask(at, merge(key, json!({"spec": {"replicas": replicas}})));
        }
        2 if dice.has("deletions") => {
            let kinds = [None, Some(Propagation::Foreground), Some(Propagation::Orphan)];
            let propagation = dice.one(&format!("{what} propagation"), nth, &kinds);
            plan.ask(at, Ask::Delete(Delete { propagation, ..delete_of(key) }));
            plan.ask(at + dice.millis("again at", nth, 1, 8_000), plan::create(manifest.clone()));
        }
        3 => plan
            .ask(at, Ask::Evict(Evict { pod: key.name.to_string(), namespace: "default".into(), grace_seconds: None })),
        // Among few versions, so that one of before comes back now and then.
        _ => {
            let template = template(dice, key, dice.below(&format!("{what} version"), nth, 6));
            plan.ask(at, merge(key, json!({"spec": {"template": template}})));
        }
    }
}

/// At the end nothing holds a workload up, and its template can run.
fn mend(dice: &Dice, key: &Key, spec: Value, plan: &mut Plan) {
    let mut spec = spec;
    spec["template"] = template(dice, key, 4);
    for at in [END, END + AGAIN] {
        plan.ask(at, merge(key, json!({"spec": spec})));
    }
}

/// How long a rollout may take without progress: who has no room is given up before the silence at the end, or never.
const DEADLINES: &[i32] = &[30, 30, 30, i32::MAX];

fn deployment(dice: &Dice, nth: u64, plan: &mut Plan) {
    let name = format!("web-{nth}");
    let key = Key::new(Kind::Deployment, "default", &name);
    let strategy = match dice.below("strategy", nth, 5) {
        0 => json!({"type": "Recreate"}),
        1 => json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        2 => json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        3 => json!({"rollingUpdate": {"maxSurge": "60%", "maxUnavailable": "40%"}}),
        _ => json!({}),
    };
    let mut manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": dice.below("web size", nth, 7),
        "strategy": strategy,
        "minReadySeconds": dice.one("web ready", nth, &[0, 0, 3]),
        "progressDeadlineSeconds": dice.one("web deadline", nth, DEADLINES),
        "revisionHistoryLimit": dice.one("web history", nth, &[0, 1, 10]),
        "selector": {"matchLabels": {"app": name}},
        "template": template(dice, &key, 0)
    }});
    if dice.below("web cause", nth, 4) == 0 {
        // Why it is as it is, which somebody corrects later.
        let cause = |why: &str| json!({"kubernetes.io/change-cause": why});
        manifest["metadata"]["annotations"] = cause("first");
        let at = dice.millis("web cause then", nth, 6_000, ACTIVE);
        plan.ask(at, merge(&key, json!({"metadata": {"annotations": cause("then")}})));
    }
    plan.ask(dice.millis("web created", nth, 500, 5_000), plan::create(manifest.clone()));
    for act in 0..dice.below("web actions", nth, 7) {
        action(dice, "web action", nth * 10 + act, &key, &manifest, plan);
    }
    if dice.below("ready changes", nth, 3) == 0 {
        let seconds = dice.one("ready then", nth, &[0, 3, 6]);
        let at = dice.millis("ready changed", nth, 5_000, ACTIVE);
        plan.ask(at, merge(&key, json!({"spec": {"minReadySeconds": seconds}})));
    }
    if dice.below("deadline changes", nth, 6) == 0 {
        let seconds = dice.one("deadline then", nth, &[30, i32::MAX]);
        let at = dice.millis("deadline changed", nth, 5_000, ACTIVE);
        plan.ask(at, merge(&key, json!({"spec": {"progressDeadlineSeconds": seconds}})));
    }
    if dice.below("pauses", nth, 3) == 0 {
        let at = dice.millis("paused at", nth, 5_000, ACTIVE);
        plan.ask(at, merge(&key, json!({"spec": {"paused": true}})));
        let forever = dice.below("stays paused", nth, 3) == 0 && !dice.has("bad images");
        if forever {
            // What it was meanwhile, it may stay.
            return;
        }
        plan.ask(at + dice.millis("resumed", nth, 100, 40_000), merge(&key, json!({"spec": {"paused": null}})));
    }
    mend(dice, &key, json!({"paused": null}), plan);
}

fn stateful_set(dice: &Dice, nth: u64, plan: &mut Plan) {
    let name = format!("db-{nth}");
    let key = Key::new(Kind::StatefulSet, "default", &name);
    let update = match dice.below("db update", nth, 4) {
        0 => json!({"type": "OnDelete"}),
        1 => json!({"rollingUpdate": {"partition": dice.below("partition", nth, 4)}}),
        _ => json!({}),
    };
    let mut manifest = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": {
        "replicas": dice.below("db size", nth, 5),
        "serviceName": "db",
        "podManagementPolicy": dice.one("db order", nth, &["OrderedReady", "OrderedReady", "Parallel"]),
        "updateStrategy": update,
        "minReadySeconds": dice.one("db ready", nth, &[0, 0, 3]),
        "revisionHistoryLimit": dice.one("db history", nth, &[0, 1, 10]),
        "ordinals": {"start": dice.one("db start", nth, &[0, 0, 5])},
        "selector": {"matchLabels": {"app": name}},
        "template": template(dice, &key, 0)
    }});
    if dice.below("db claims", nth, 2) == 0 {
        let policy = |what: &str| dice.one(what, nth, &["Retain", "Delete"]);
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        manifest["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": spec}]);
        manifest["spec"]["persistentVolumeClaimRetentionPolicy"] =
            json!({"whenScaled": policy("claims when scaled"), "whenDeleted": policy("claims when deleted")});
        if dice.below("claims otherwise", nth, 3) == 0 {
            let then = json!({"whenScaled": policy("claims then"), "whenDeleted": policy("claims then when deleted")});
            let then = json!({"spec": {"persistentVolumeClaimRetentionPolicy": then}});
            plan.ask(dice.millis("claims then at", nth, 6_000, ACTIVE), merge(&key, then));
        }
        if dice.below("claim lost", nth, 3) == 0 {
            let claim = format!("data-{name}-{}", dice.below("claim of", nth, 3));
            let at = dice.millis("claim lost at", nth, 6_000, ACTIVE);
            plan.ask(at, plan::delete(Kind::PersistentVolumeClaim, &claim));
        }
    }
    plan.ask(dice.millis("db created", nth, 500, 5_000), plan::create(manifest.clone()));
    for act in 0..dice.below("db actions", nth, 6) {
        action(dice, "db action", nth * 10 + act, &key, &manifest, plan);
    }
    mend(dice, &key, json!({}), plan);
}

fn daemon_set(dice: &Dice, nth: u64, nodes: u64, plan: &mut Plan) {
    let name = format!("agent-{nth}");
    let key = Key::new(Kind::DaemonSet, "default", &name);
    let update = match dice.below("agent update", nth, 5) {
        0 => json!({"type": "OnDelete"}),
        1 => json!({"rollingUpdate": {"maxUnavailable": "50%"}}),
        2 => json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        _ => json!({}),
    };
    let selects = dice.below("agent selects", nth, 3) == 0;
    let tolerates = dice.one("agent tolerates", nth, &["", "work", "team"]);
    let template = |version| {
        let mut template = template(dice, &key, version);
        if selects {
            template["spec"]["nodeSelector"] = json!({"zone": "a"});
        }
        if !tolerates.is_empty() {
            template["spec"]["tolerations"] = json!([{"key": tolerates, "operator": "Exists"}]);
        }
        if dice.has("priorities") {
            super::important(&mut template["spec"], dice.one("agent priority", nth, &[0, 20]));
        }
        template
    };
    let manifest = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name}, "spec": {
        "updateStrategy": update,
        "minReadySeconds": dice.one("agent ready", nth, &[0, 0, 3]),
        "revisionHistoryLimit": dice.one("agent history", nth, &[0, 1, 10]),
        "selector": {"matchLabels": {"app": name}},
        "template": template(0)
    }});
    plan.ask(dice.millis("agent created", nth, 500, 5_000), plan::create(manifest.clone()));
    for act in 0..dice.below("agent actions", nth, 6) {
        let nth = nth * 10 + act;
        let at = dice.millis("agent action at", nth, 5_000, ACTIVE);
        match dice.below("agent action", nth, 5) {
            0 => {
                let evict = Evict { pod: name.clone(), namespace: "default".into(), grace_seconds: None };
                plan.ask(at, Ask::Evict(evict));
            }
            1 if dice.has("deletions") => {
                let kinds = [None, Some(Propagation::Foreground), Some(Propagation::Orphan)];
                let propagation = dice.one("agent propagation", nth, &kinds);
                plan.ask(at, Ask::Delete(Delete { propagation, ..delete_of(&key) }));
                plan.ask(at + dice.millis("agent again", nth, 1, 8_000), plan::create(manifest.clone()));
            }
            _ => {
                let version = 1 + dice.below("agent version", nth, 3);
                plan.ask(at, merge(&key, json!({"spec": {"template": template(version)}})));
            }
        }
    }
    if dice.has("agents cordoned") {
        // Its pods come nevertheless.
        for act in 0..1 + dice.below("agent cordons", nth, 2) {
            let nth = nth * 10 + act;
            let at = dice.millis("agent cordon at", nth, 5_000, ACTIVE);
            plan.ask(at, Ask::Cordon(super::node(dice, 550 + nth, nodes)));
            let version = 4 + dice.below("cordoned version", nth, 3);
            let later = at + dice.millis("cordoned then", nth, 100, 5_000);
            plan.ask(later, merge(&key, json!({"spec": {"template": template(version)}})));
        }
    }
    if selects {
        // Nodes that take its pods, and do not take them any more.
        for act in 0..1 + dice.below("agent zones", nth, 4) {
            let nth = nth * 10 + act;
            let node = Key::new(Kind::Node, "", &super::node(dice, 500 + nth, nodes));
            let zone = dice.one("agent zone", nth, &["a", "a", "b"]);
            let at = dice.millis("agent zone at", nth, 4_000, ACTIVE);
            plan.ask(at, merge(&node, json!({"metadata": {"labels": {"zone": zone}}})));
        }
    }
}

/// A deployment whose load changes, and who follows it.
fn autoscaled(dice: &Dice, nth: u64, plan: &mut Plan) {
    let name = format!("auto-{nth}");
    let key = Key::new(Kind::Deployment, "default", &name);
    let load = |load: &str| json!({"metadata": {"annotations": {LOAD: load}}});
    let mut manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {"name": name, "annotations": {LOAD: "100m"}},
    "spec": {
        "replicas": 1 + dice.below("auto size", nth, 3),
        "progressDeadlineSeconds": 30,
        "selector": {"matchLabels": {"app": name}},
        "template": template(dice, &key, 0)
    }});
    let mut autoscaler = autoscaler(dice, nth, &name);
    let at = dice.millis("autoscaler at", nth, 500, 60_000);
    match dice.below("auto otherwise", nth, 8) {
        0 => {
            // Down it goes by what was asked for in the last five minutes then. It might do so in several steps.
            let rules = autoscaler["spec"].as_object_mut().and_then(|spec| spec.remove("behavior"));
            let of = Key::new(Kind::HorizontalPodAutoscaler, "default", &name);
            for at in [END, END + AGAIN] {
                plan.ask(at, merge(&of, json!({"spec": {"behavior": rules}})));
            }
        }
        1 => {
            // Nobody can measure that, so there are never fewer.
            let external = json!({"type": "External", "external": {"metric": {"name": "queue"},
                "target": {"type": "AverageValue", "averageValue": "3"}}});
            autoscaler["spec"]["metrics"].as_array_mut().expect("it has one").push(external);
        }
        2 => {
            // While there are two, none does anything.
            let mut rival = autoscaler.clone();
            let rival_name = format!("{name}-too");
            rival["metadata"]["name"] = rival_name.as_str().into();
            plan.ask(at + dice.millis("rival at", nth, 500, 40_000), plan::create(rival));
            for at in [END, END + AGAIN] {
                plan.ask(at, plan::delete(Kind::HorizontalPodAutoscaler, &rival_name));
            }
        }
        3 => {
            // Its first pods have something to do for a while after they were told to end.
            let spec = &mut manifest["spec"]["template"]["spec"];
            spec["terminationGracePeriodSeconds"] = 30.into();
            spec["containers"][0]["command"] = json!(["sh", "-c", "trap '' TERM; sleep infinity"]);
        }
        _ => {}
    }
    plan.ask(dice.millis("auto created", nth, 500, 5_000), plan::create(manifest.clone()));
    plan.ask(at, plan::create(autoscaler));
    for act in 0..1 + dice.below("loads", nth, 4) {
        let nth = nth * 10 + act;
        let some = dice.one("load", nth, &["10m", "90m", "170m", "300m", "2"]);
        plan.ask(dice.millis("load at", nth, 5_000, ACTIVE), merge(&key, load(some)));
    }
    if dice.below("auto none", nth, 5) == 0 {
        // By hand, which stops the autoscaler until somebody wishes for some again.
        let at = dice.millis("auto none at", nth, 20_000, ACTIVE);
        plan.ask(at, merge(&key, json!({"spec": {"replicas": 0}})));
        plan.ask(at + dice.millis("auto again", nth, 1_000, 60_000), merge(&key, json!({"spec": {"replicas": 2}})));
    }
    for act in 0..dice.below("auto actions", nth, 3) {
        action(dice, "auto action", nth * 10 + act, &key, &manifest, plan);
    }
    mend(dice, &key, json!({}), plan);
}

/// Who follows the load of a deployment.
fn autoscaler(dice: &Dice, nth: u64, name: &str) -> Value {
    let least = 1 + dice.below("least", nth, 2);
    let mut autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least,
        "maxReplicas": least + dice.below("most", nth, 6),
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {
            "type": "Utilization", "averageUtilization": dice.one("utilization", nth, &[50, 80])}}}],
        // With a shorter one it may go up and down for ever, as in Kubernetes: who has just started counts for one
        // direction alone.
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": dice.one("window", nth, &[60, 90])}}
    }});
    if dice.below("second metric", nth, 2) == 0 {
        let target = json!({"type": "AverageValue", "averageValue": dice.one("average", nth, &["20m", "60m"])});
        let second = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        autoscaler["spec"]["metrics"].as_array_mut().expect("it has one").push(second);
    }
    let policy = |kind: &str, value: u64, period: u64| json!({"type": kind, "value": value, "periodSeconds": period});
    let select = dice.one("select", nth, &["Max", "Min"]);
    let rules = &mut autoscaler["spec"]["behavior"];
    if dice.below("up slowly", nth, 2) == 0 {
        rules["scaleUp"] =
            json!({"selectPolicy": select, "policies": [policy("Pods", 1, 15), policy("Percent", 50, 30)]});
    }
    if dice.below("down slowly", nth, 2) == 0 {
        rules["scaleDown"]["selectPolicy"] = select.into();
        rules["scaleDown"]["policies"] = json!([policy("Pods", 1, 30), policy("Percent", 40, 15)]);
    }
    if dice.below("up by percent", nth, 4) == 0 {
        // Of few pods that is a part of one.
        rules["scaleUp"] = json!({"policies": [policy("Percent", dice.one("percent up", nth, &[20, 60]), 15)]});
    }
    match dice.below("one way", nth, 8) {
        0 => rules["scaleUp"]["selectPolicy"] = "Disabled".into(),
        1 => rules["scaleDown"]["selectPolicy"] = "Disabled".into(),
        _ => {}
    }
    autoscaler
}

/// Cron jobs' work is drawn by numbers from this one on.
const CRON: u64 = 100;

/// Work that ends one way or another before the silence at the end.
fn work(dice: &Dice, nth: u64) -> Value {
    // A cron job's last job may begin late, and has to be done before the run is judged; its deadline is of no help if it
    // began while the clock was ahead.
    let long = if nth < CRON { "sleep 150" } else { "sleep 70" };
    let script = dice.one("work", nth, &["sleep 2", "sleep 15", "sleep 1; exit 3", "sleep 70", long, "exit 0"]);
    let most = if nth >= CRON && script == "sleep 70" { 2 } else { 8 };
    let policy = dice.one("work policy", nth, &["Never", "Never", "OnFailure"]);
    let mut spec = json!({
        "activeDeadlineSeconds": dice.one("work limit", nth, &[100, 20]),
        "parallelism": dice.below("parallelism", nth, 5),
        "backoffLimit": dice.below("back-off limit", nth, 4),
        "podReplacementPolicy": dice.one("replacement", nth, &["TerminatingOrFailed", "Failed"]),
        "template": {"spec": {"restartPolicy": policy, "terminationGracePeriodSeconds": 3, "containers": [{
            "name": "main", "image": "busybox", "command": ["sh", "-c", script],
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}}}]}}
    });
    match dice.below("completions", nth, 4) {
        0 => {}
        1 => spec["completions"] = (1 + dice.below("how many", nth, most)).into(),
        _ => {
            spec["completions"] = (1 + dice.below("how many", nth, most)).into();
            spec["completionMode"] = "Indexed".into();
            if dice.below("per index", nth, 2) == 0 && policy == "Never" {
                spec["backoffLimitPerIndex"] = dice.below("limit per index", nth, 3).into();
            }
        }
    }
    if dice.below("kept for", nth, 3) == 0 {
        spec["ttlSecondsAfterFinished"] = dice.one("ttl", nth, &[0, 10]).into();
    }
    spec
}

fn job(dice: &Dice, nth: u64, plan: &mut Plan) {
    let name = format!("sum-{nth}");
    let key = Key::new(Kind::Job, "default", &name);
    let mut spec = work(dice, nth);
    if dice.below("stubborn", nth, 3) == 0 {
        // Its pods take their time when they are to end.
        let command = &mut spec["template"]["spec"]["containers"][0]["command"][2];
        *command = format!("trap '' TERM; {}", command.as_str().unwrap_or_default()).into();
    }
    let manifest = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec});
    let at = dice.millis("job at", nth, 500, 90_000);
    plan.ask(at, plan::create(manifest.clone()));
    for act in 0..dice.below("work lost", nth, 4) {
        let evict = Evict { pod: format!("{name}-"), namespace: "default".into(), grace_seconds: None };
        plan.ask(at + dice.millis("work lost at", nth * 10 + act, 500, 40_000), Ask::Evict(evict));
    }
    if dice.below("suspends", nth, 3) == 0 {
        let at = at + dice.millis("suspended", nth, 100, 20_000);
        plan.ask(at, merge(&key, json!({"spec": {"suspend": true}})));
        plan.ask(at + dice.millis("unsuspended", nth, 100, 30_000), merge(&key, json!({"spec": {"suspend": false}})));
        let again = dice.below("suspended again", nth, 3) == 0;
        if again {
            let at = at + dice.millis("suspended at", nth, 30_000, 60_000);
            plan.ask(at, merge(&key, json!({"spec": {"suspend": true}})));
        }
        for at in [END, END + AGAIN] {
            plan.ask(at, merge(&key, json!({"spec": {"suspend": again, "parallelism": 3}})));
        }
    }
    if dice.has("deletions") && dice.below("job goes", nth, 4) == 0 {
        let at = at + dice.millis("job gone", nth, 500, 30_000);
        if dice.below("let go unheard", nth, 2) == 0 {
            // Whoever is to let its pods go asks for that in vain until they have ended.
            let weather = Weather { requests_lost: Ratio(3, 4), ..Weather::FAIR };
            let lasts = Duration::from_secs(15);
            plan.strike(at, Fault::Link { actor: "workloads".into(), weather, lasts });
        }
        plan.ask(at, Ask::Delete(Delete { propagation: Some(Propagation::Background), ..delete_of(&key) }));
        plan.ask(at + dice.millis("job again", nth, 1, 8_000), plan::create(manifest));
    }
}

fn cron_job(dice: &Dice, nth: u64, plan: &mut Plan) {
    let name = format!("tick-{nth}");
    let key = Key::new(Kind::CronJob, "default", &name);
    let mut manifest = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": {
        "schedule": "* * * * *",
        "concurrencyPolicy": dice.one("concurrency", nth, &["Allow", "Forbid", "Replace"]),
        "successfulJobsHistoryLimit": dice.below("successes kept", nth, 3),
        "failedJobsHistoryLimit": dice.below("failures kept", nth, 2),
        "jobTemplate": {"spec": work(dice, CRON + nth)}
    }});
    if dice.below("cron zoned", nth, 3) == 0 {
        // Runs begin at midnight in UTC, and an hour later there.
        manifest["spec"]["schedule"] = dice.one("cron hour", nth, &["* 0 * * *", "* 1 * * *"]).into();
        manifest["spec"]["timeZone"] = "Europe/Berlin".into();
    } else if dice.below("cron seldom", nth, 6) == 0 {
        // It is suspended when its time comes, and that is made up for in another minute.
        manifest["spec"]["schedule"] = "*/2 * * * *".into();
        for (at, suspend) in [
            (dice.millis("cron suspended", nth, 62_000, 119_000), true),
            (dice.millis("cron goes on", nth, 181_000, 198_000), false),
        ] {
            plan.ask(at, merge(&key, json!({"spec": {"suspend": suspend}})));
        }
    }
    if dice.below("cron job held", nth, 3) == 0 {
        // One of its jobs goes, and is there still when the next time comes.
        let minute: i64 = dice.one("cron job of", nth, &[1, 2]);
        let job = Key::new(Kind::Job, "default", &format!("{name}-{}", WALL_START.secs().div_euclid(60) + minute));
        let at = Duration::from_secs(60 * minute.unsigned_abs()) + dice.millis("cron job goes", nth, 700, 4_000);
        plan.ask(at, merge(&job, json!({"metadata": {"finalizers": ["miniku.test/hold"]}})));
        plan.ask(at + Duration::from_millis(500), Ask::Delete(delete_of(&job)));
        for at in [at + dice.millis("cron job let go", nth, 20_000, 100_000), END, END + AGAIN] {
            plan.ask(at, let_go(&job));
        }
    }
    plan.ask(dice.millis("cron at", nth, 500, 60_000), plan::create(manifest));
    for at in [END, END + AGAIN] {
        plan.ask(at, merge(&key, json!({"spec": {"suspend": true}})));
    }
}

/// Whose pods something is about.
fn app(dice: &Dice, what: &str, nth: u64) -> &'static str {
    dice.one(what, nth, &["set-0", "web-0", "db-0", "web-1"])
}

fn service(dice: &Dice, nth: u64, plan: &mut Plan) {
    let shows_all = dice.below("shows all", nth, 4) == 0;
    let name = format!("front-{nth}");
    let mut manifest = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
        "selector": {"app": app(dice, "in front of", nth)}, "ports": [{"port": 80}],
        "publishNotReadyAddresses": shows_all}});
    match dice.below("at port", nth, 4) {
        _ if details::names_ports(dice) && dice.below("by name", nth, 4) > 0 => {
            manifest["spec"]["ports"][0]["targetPort"] = "http".into();
        }
        0 => manifest["spec"]["ports"][0]["targetPort"] = 8080.into(),
        1 => {
            manifest["spec"]["ports"] = json!([{"name": "web", "port": 80, "targetPort": 8080},
                {"name": "admin", "port": 81, "targetPort": "http"}]);
        }
        _ => {}
    }
    if dice.below("headless", nth, 4) == 0 {
        manifest["spec"]["clusterIP"] = "None".into();
    }
    let at = dice.millis("service at", nth, 500, 90_000);
    plan.ask(at, plan::create(manifest.clone()));
    if dice.below("service again", nth, 4) == 0 {
        // Another one of its name, while what showed the pods of the first is on its way out.
        manifest["spec"]["selector"]["app"] = app(dice, "in front then", nth).into();
        let at = at + dice.millis("service gone", nth, 2_000, 60_000);
        let soon = dice.one("service soon", nth, &[20, 200, 3_000]);
        plan.ask(at, plan::delete(Kind::Service, &name));
        plan.ask(at + dice.millis("service again at", nth, 1, soon), plan::create(manifest));
    }
    if dice.below("service labelled", nth, 3) == 0 {
        let key = Key::new(Kind::Service, "default", &name);
        let tier = json!({"metadata": {"labels": {"tier": "front"}}});
        plan.ask(at + dice.millis("service labelled at", nth, 500, 60_000), merge(&key, tier));
    }
    if dice.below("service port changes", nth, 3) == 0 {
        let ports = json!([{"port": 80, "targetPort": dice.one("service port then", nth, &[80, 8080, 9090])}]);
        let at = at + dice.millis("service port changed", nth, 500, 60_000);
        plan.ask(at, merge(&Key::new(Kind::Service, "default", &name), json!({"spec": {"ports": ports}})));
    }
    if dice.below("endpoints by hand", nth, 4) == 0 {
        let subsets = json!([{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]);
        let name = format!("elsewhere-{nth}");
        let by_hand = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": subsets});
        plan.ask(dice.millis("endpoints by hand at", nth, 500, 90_000), plan::create(by_hand));
    }
}

fn budget(dice: &Dice, nth: u64, plan: &mut Plan) {
    let name = format!("budget-{nth}");
    // Two that are about the same pods let none of them be evicted.
    let of = if dice.below("budgets of one", nth, 4) == 0 { 0 } else { nth };
    let mut spec = json!({"selector": {"matchLabels": {"app": app(dice, "budget of", of)}}});
    match dice.below("budget", nth, 3) {
        0 => spec["minAvailable"] = dice.below("at least", nth, 4).into(),
        1 => spec["maxUnavailable"] = dice.below("at most", nth, 3).into(),
        _ => {
            let (what, part) =
                dice.one("part", nth, &[("maxUnavailable", "30%"), ("minAvailable", "50%"), ("minAvailable", "75%")]);
            spec[what] = part.into();
        }
    }
    let manifest =
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec});
    plan.ask(dice.millis("budget at", nth, 500, 60_000), plan::create(manifest));
    // Nobody waits for ever to be allowed to evict.
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::PodDisruptionBudget, &name));
    }
}
