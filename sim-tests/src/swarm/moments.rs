//! What goes wrong only if several things happen at one moment, which chance seldom makes: some runs make it on purpose.

use super::details::part;
use super::{AGAIN, Dice, END, delete_of, important, is_crowded, merge, name, node, room};
use crate::noise::Delay;
use crate::plan::{self, Act, Ask, Delete, Entry, Evict, Fault, Mishap, Off, Piece, Plan, Ratio, Weather, When};
use crate::runtime::Trouble;
use crate::truth::INTRUDER;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::api::pod::START_RETRIES;
use miniku_core::program::Propagation;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// Adds to a plan for so many nodes.
type Draws = fn(&Dice, u64, &mut Plan);

/// What happens in one of so many of the runs that may have it at all: see [`Dice::in_some`].
const MOMENTS: &[(&str, u64, Draws)] = &[
    ("touched", 2, touched),
    ("uneven", 4, |dice, _, plan| uneven(dice, plan)),
    ("weary", 4, weary),
    ("too many", 4, too_many),
    ("numbered", 4, |dice, _, plan| numbered(dice, plan)),
    ("brief", 4, |dice, _, plan| brief(dice, plan)),
    ("collected again", 4, |dice, _, plan| collected_again(dice, plan)),
    ("moved in", 4, moved_in),
    ("decided twice", 3, |dice, _, plan| decided_twice(dice, plan)),
    ("given back", 4, |dice, _, plan| given_back(dice, plan)),
    ("half made", 4, |dice, _, plan| half_made(dice, plan)),
    ("forced", 4, |dice, _, plan| forced(dice, plan)),
    ("answered late", 4, |dice, _, plan| answered_late(dice, plan)),
    ("former words", 4, former_words),
    ("lame", 4, lame),
    ("started at last", 4, started_at_last),
    ("still clock", 4, still_clock),
    ("inherited", 4, inherited),
    ("crossed", 4, |dice, _, plan| crossed(dice, plan)),
];

/// Adds them to a plan for so many nodes.
pub(super) fn draw(dice: &Dice, nodes: u64, plan: &mut Plan) {
    if leads_again(dice) {
        led_again(dice, plan);
    }
    if leads_late(dice) {
        led_late(dice, plan);
    }
    // Of two that are elected, neither would keep its lease.
    if dice.in_some("harried", 4) && !room::stands_by(dice) {
        harried(dice, nodes, plan);
    }
    // Of two that are elected, one does nothing.
    if dice.in_some("listed before", 4) && !room::stands_by(dice) {
        listed_before(dice, plan);
    }
    if dice.has("nodes deleted") && dice.in_some("made again", 3) {
        made_again(dice, nodes, plan);
    }
    for (_, _, adds) in MOMENTS.iter().filter(|(what, of, _)| dice.in_some(what, *of)) {
        adds(dice, nodes, plan);
    }
    if is_crowded(dice) && dice.has("priorities") && dice.has("urgent") {
        urgent(dice, nodes, plan);
    }
}

/// The only container of a pod: it runs for ever, and requests so much of a processor.
fn idle(cpu: &str) -> Value {
    json!({"name": "main", "image": "busybox", "resources": {"requests": {"cpu": cpu}}})
}

/// Somebody writes on a node so many times, at this pace, which says nothing of how it is; and is no quarrel of two programs.
fn touch(node: &str, from: Duration, every: Duration, times: u32, plan: &mut Plan) {
    for at in (0..times).map(|nth| from + every * nth) {
        let touched = json!({"metadata": {"annotations": {INTRUDER: at.as_micros().to_string()}}});
        plan.ask(at, merge(&Key::new(Kind::Node, "", node), touched));
    }
}

/// Whether who leads is to lead again before it was told all of what it had asked for. Nobody may give that up before.
pub(super) fn leads_again(dice: &Dice) -> bool {
    room::stands_by(dice) && dice.has("leads again")
}

/// Who leads stands still for longer than it leads unheard, and leads once more, since the other one is away. Then what it had
/// asked for arrives, and is refused.
fn led_again(dice: &Dice, plan: &mut Plan) {
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
pub(super) fn leads_late(dice: &Dice) -> bool {
    room::stands_by(dice) && !leads_again(dice) && dice.has("leads late")
}

/// Who finds the lease free takes it, and is told so late; from then on somebody else is faster each time that it renews it.
/// All the while there is something to do.
fn led_late(dice: &Dice, plan: &mut Plan) {
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

/// A node is cordoned, and each time that the controller is about to write that it keeps pods away, somebody else is faster;
/// and there is news of the node all the time.
fn harried(dice: &Dice, nodes: u64, plan: &mut Plan) {
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
fn touched(dice: &Dice, nodes: u64, plan: &mut Plan) {
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
        let puts_up = json!([{"key": "rest", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": stays}]);
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node}, "tolerations": puts_up,
            "terminationGracePeriodSeconds": 1, "containers": [idle("10m")]});
        let comes = if nth == 2 { tainted + second * 12 } else { at };
        plan.ask(comes, plan::create(plan::pod(&format!("restless-{nth}"), spec)));
    }
    let taints = |taints: Value| merge(&key, json!({"spec": {"taints": taints}}));
    plan.ask(tainted, taints(json!([{"key": "rest", "effect": "NoExecute"}])));
    touch(&node, tainted + second, pace, times(second * 130), plan);
    for at in [END, END + AGAIN] {
        plan.ask(at, taints(Value::Null));
        (0..3).for_each(|nth| plan.ask(at, plan::delete(Kind::Pod, &format!("restless-{nth}"))));
    }
}

/// A pod whose containers end again and again, the one at once and the other late: what the one waits for is over when the
/// other has waited for long still.
fn uneven(dice: &Dice, plan: &mut Plan) {
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
fn weary(dice: &Dice, nodes: u64, plan: &mut Plan) {
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

/// A job of whose pods each node takes one, so that some wait for a node; and then fewer are to work at a time.
fn too_many(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let key = Key::new(Kind::Job, "default", "too-many");
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "infinity"],
        "ports": [{"containerPort": 80, "hostPort": 8097}], "resources": {"requests": {"cpu": "10m"}}});
    let spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]});
    let manifest = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "too-many"},
        "spec": {"parallelism": nodes.min(6) + 2, "backoffLimit": 100, "template": {"spec": spec}}});
    let at = dice.millis("too many at", 0, 1_000, 100_000);
    plan.ask(at, plan::create(manifest));
    let fewer = 1 + dice.below("fewer", 0, nodes.min(6) + 1);
    plan.ask(at + dice.millis("fewer at", 0, 8_000, 30_000), merge(&key, json!({"spec": {"parallelism": fewer}})));
    for at in [END, END + AGAIN] {
        plan.ask(at, merge(&key, json!({"spec": {"parallelism": 0}})));
    }
}

/// A job with so many pods, which have numbers, of which each may fail.
fn of_numbers(name: &str, many: u64, script: &str) -> Ask {
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", script],
        "resources": {"requests": {"cpu": "10m"}}});
    let pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 20, "containers": [container]});
    plan::create(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "completionMode": "Indexed", "completions": many, "parallelism": many, "backoffLimitPerIndex": 3,
        "activeDeadlineSeconds": 100, "template": {"spec": pod}}}))
}

/// A pod of one job is taken away, is noted as failed, and ends well before another takes its number. Of another job fewer
/// numbers are wanted while nobody looks after it, and those beyond have ended when somebody does.
fn numbered(dice: &Dice, plan: &mut Plan) {
    let second = Duration::from_secs(1);
    let at = dice.millis("taken from", 0, 2_000, 90_000);
    plan.ask(at, of_numbers("ends-well", 2, "trap '' TERM; sleep 9"));
    let evict = Evict { pod: "ends-well-".into(), namespace: "default".into(), grace_seconds: None };
    plan.ask(at + dice.millis("taken then", 0, 3_000, 8_000), Ask::Evict(evict));
    let many = 3 + dice.below("numbers", 0, 3);
    let at = dice.millis("numbers at", 0, 2_000, 90_000);
    plan.ask(at, of_numbers("numbers", many, "sleep 4"));
    for actor in room::all_of(dice, "workloads") {
        plan.strike(at + second * 3, Fault::Crash { actor, down: second * 12 });
    }
    let fewer = 1 + dice.below("numbers left", 0, many - 1);
    let wish = json!({"spec": {"completions": fewer, "parallelism": fewer}});
    plan.ask(at + second * 9, merge(&Key::new(Kind::Job, "default", "numbers"), wish));
}

/// Jobs of cron jobs that end soon and are not to be kept, while some of what is said of them is lost just then.
fn brief(dice: &Dice, plan: &mut Plan) {
    for nth in 0..4 {
        let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1"],
            "resources": {"requests": {"cpu": "10m"}}});
        let pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]});
        let work = json!({"activeDeadlineSeconds": 20, "ttlSecondsAfterFinished": 0, "template": {"spec": pod}});
        let name = format!("brief-{nth}");
        let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": work}}});
        plan.ask(dice.millis("brief at", nth, 500, 20_000), plan::create(cron));
        for at in [END, END + AGAIN] {
            let key = Key::new(Kind::CronJob, "default", &name);
            plan.ask(at, merge(&key, json!({"spec": {"suspend": true}})));
        }
    }
    // The jobs are asked for at each whole minute, and what comes next a moment later.
    let lasts = Duration::from_millis(dice.one("brief for", 0, &[20, 100, 400]));
    for minute in 1..=3 {
        let at = Duration::from_secs(60 * minute) + Duration::from_millis(1);
        for actor in room::all_of(dice, "workloads") {
            let weather = Weather { requests_lost: Ratio(1, 3), ..Weather::FAIR };
            plan.strike(at, Fault::Link { actor, weather, lasts });
        }
    }
}

/// What is collected since its owner is gone is made again at once, while whoever collects hears of it sooner, or later, than
/// that its request was carried out.
fn collected_again(dice: &Dice, plan: &mut Plan) {
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
fn decided_twice(dice: &Dice, plan: &mut Plan) {
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

/// A service that asks for an address cannot be stored, and nobody asks for it again; later another one wants the same.
fn given_back(dice: &Dice, plan: &mut Plan) {
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
fn half_made(dice: &Dice, plan: &mut Plan) {
    let at = dice.millis("half made at", 0, 2_000, 150_000);
    let lasts = dice.millis("half made for", 0, 500, 4_000);
    let stored = When::Written { kind: Kind::Namespace, nth: 1 };
    plan.entries.push(Entry { at, when: Some(stored), act: Act::Strike(Fault::DiskFull { lasts }) });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "half-made"}});
    plan.ask(at + Duration::from_millis(5), plan::create(namespace));
}

/// The spec of a pod that does not heed SIGTERM, and is given so many seconds to end.
fn deaf(grace: u64) -> Value {
    let mut container = idle("10m");
    container["command"] = json!(["sh", "-c", "trap '' TERM; sleep infinity"]);
    json!({"terminationGracePeriodSeconds": grace, "containers": [container]})
}

/// A pod that does not heed SIGTERM is given minutes to end, and is removed by force long before they are over.
fn forced(dice: &Dice, plan: &mut Plan) {
    let at = dice.millis("forced at", 0, 2_000, 100_000);
    plan.ask(at, plan::create(plan::pod("forced", deaf(300))));
    let deleted = at + dice.millis("forced first", 0, 5_000, 20_000);
    plan.ask(deleted, plan::delete(Kind::Pod, "forced"));
    let removed = deleted + dice.millis("forced then", 0, 1_000, 15_000);
    for at in [removed, END, END + AGAIN] {
        plan.ask(at, by_force("forced"));
    }
}

/// A pod is removed at once.
fn by_force(pod: &str) -> Ask {
    let delete = delete_of(&Key::new(Kind::Pod, "default", pod));
    Ask::Delete(Delete { grace_seconds: Some(0), ..delete })
}

/// Pods are removed by force before those who made them, or who run them, have an answer to what they asked for last. What
/// runs in some does not end at once.
fn answered_late(dice: &Dice, plan: &mut Plan) {
    let (at, second) = (dice.millis("answered at", 0, 5_000, 100_000), Duration::from_secs(1));
    let mishap = Mishap::ReplyLate(dice.millis("answered late", 0, 2_000, 8_000));
    for actor in room::all_of(dice, "workloads").chain(["all nodes".to_owned()]) {
        for nth in 1..=16 {
            plan.strike(at, Fault::Message { actor: actor.clone(), nth, mishap });
        }
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

/// A kubelet dies soon after it has said of some pods how often they could not be started, and what it has said arrives only
/// when its next life has read them.
fn former_words(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 995, nodes);
    let (at, actor) = (dice.millis("former at", 0, 2_000, 120_000), format!("kubelet/{node}"));
    let names: Vec<String> = (0..5).map(|nth| format!("former-{nth}")).collect();
    for (nth, name) in (0..).zip(&names) {
        let mut container = idle("10m");
        container["image"] = "nowhere/nothing:1".into();
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
            "containers": [container]});
        let mut pod = plan::pod(name, spec);
        pod["metadata"]["annotations"] = json!({START_RETRIES: "9"});
        plan.ask(at + Duration::from_millis(700) * nth, plan::create(pod));
    }
    let dies = at + dice.millis("former dies", 0, 6_000, 20_000);
    let late = dice.millis("former late", 0, 1_000, 1_900);
    let mut message = |at: Duration, nth: u64, mishap: Mishap| {
        plan.strike(at, Fault::Message { actor: actor.clone(), nth, mishap });
    };
    (1..=8).for_each(|nth| message(dies.saturating_sub(late / 2), nth, Mishap::RequestLate(late)));
    // What the next life asks for first is what there is.
    (1..=2).for_each(|nth| message(dies + Duration::from_millis(1), nth, Mishap::ReplyLate(late)));
    plan.strike(dies, Fault::Crash { actor: actor.clone(), down: Duration::from_millis(100) });
    for at in [END, END + AGAIN] {
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

/// A node is emptied that has as many healthy pods as a budget demands, and some that crash all the time.
fn lame(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 996, nodes);
    let at = dice.millis("lame at", 0, 1_000, 90_000);
    let sound = 1 + dice.below("lame sound", 0, 3);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "lame"},
        "spec": {"minAvailable": sound, "selector": {"matchLabels": {"app": "lame"}}}});
    plan.ask(at, plan::create(budget));
    let names: Vec<String> = (0..sound + 2).map(|nth| format!("lame-{nth}")).collect();
    for (nth, name) in (0..).zip(&names) {
        let mut container = idle("10m");
        if nth >= sound {
            container["command"] = json!(["sh", "-c", "exit 1"]);
        }
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
            "containers": [container]});
        let mut pod = plan::pod(name, spec);
        pod["metadata"]["labels"] = json!({"app": "lame"});
        plan.ask(at, plan::create(pod));
    }
    let emptied = at + dice.millis("lame emptied", 0, 15_000, 60_000);
    plan.ask(emptied, Ask::Vacate(node.clone()));
    plan.ask(emptied + dice.millis("lame back", 0, 10_000, 30_000), Ask::Uncordon(node));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::PodDisruptionBudget, "lame"));
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

/// No image can be had for a while when pods start that may fail a few times, and again when they have run and end.
fn started_at_last(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 997, nodes);
    let (at, second) = (dice.millis("at last from", 0, 2_000, 120_000), Duration::from_secs(1));
    let names: Vec<String> = (0..3).map(|nth| format!("patient-{nth}")).collect();
    for (nth, name) in (0..).zip(&names) {
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
            "containers": [idle("10m")]});
        let mut pod = plan::pod(name, spec);
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

/// The clock of a node stands still for longer than a node may be silent.
fn still_clock(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let actor = format!("kubelet/{}", node(dice, 998, nodes));
    let lasts = dice.millis("still for", 0, 65_000, 100_000);
    let fault = Fault::WallClock { actor, off: Off::Still, lasts };
    plan.strike(dice.millis("still at", 0, 5_000, 75_000), fault);
}

/// A pod is evicted while nobody counts, and another of its name is to be evicted next. There are just enough without it.
fn inherited(dice: &Dice, nodes: u64, plan: &mut Plan) {
    if nodes < 2 {
        return;
    }
    let (at, second) = (dice.millis("inherited at", 0, 1_000, 80_000), Duration::from_secs(1));
    let left = 1 + dice.below("inherited on", 0, nodes);
    let (left, stays) = (format!("node-{left}"), format!("node-{}", 1 + left % nodes));
    let pod = |name: &str, node: &str| {
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
            "containers": [idle("10m")]});
        let mut pod = plan::pod(name, spec);
        pod["metadata"]["labels"] = json!({"app": "heir"});
        plan::create(pod)
    };
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "heir"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "heir"}}}});
    plan.ask(at, plan::create(budget));
    plan.ask(at, pod("heir-0", &left));
    plan.ask(at, pod("heir-1", &stays));
    let first = at + dice.millis("inherited first", 0, 13_000, 25_000);
    for actor in room::all_of(dice, "disruption") {
        plan.strike(first.saturating_sub(second / 5), Fault::Crash { actor, down: second * 40 });
    }
    plan.ask(first, Ask::Vacate(left.clone()));
    plan.ask(first + second * 3, Ask::Uncordon(left.clone()));
    plan.ask(first + second * 4, pod("heir-0", &left));
    plan.ask(first + second * 10, Ask::Vacate(left.clone()));
    plan.ask(first + second * 50, Ask::Uncordon(left));
    for at in [END, END + AGAIN] {
        plan.ask(at, plan::delete(Kind::PodDisruptionBudget, "heir"));
        ["heir-0", "heir-1"].iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
    }
}

/// While the disk is slow, things are made in a namespace whose end is being written, and one in a namespace that never was.
fn crossed(dice: &Dice, plan: &mut Plan) {
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

/// Of two controllers of namespaces one is slow, and is answered late: what it has listed in a namespace that is gone by then,
/// it hears when another of its name is to be emptied.
fn listed_before(dice: &Dice, plan: &mut Plan) {
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
    for nth in 1..=8 {
        plan.strike(before, Fault::Message { actor: actor.clone(), nth, mishap });
    }
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

/// Somebody says of a node what its kubelet knows better; and while that waits for the answer to its correction, the node is
/// deleted.
fn made_again(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let node = node(dice, 990, nodes);
    let (key, at) = (Key::new(Kind::Node, "", &node), dice.millis("made again at", 0, 10_000, 140_000));
    let mishap = Mishap::ReplyLate(dice.millis("made again late", 0, 1_500, 9_000));
    for nth in 1..=4 {
        plan.strike(at, Fault::Message { actor: format!("kubelet/{node}"), nth, mishap });
    }
    let said = json!({"status": {"nodeInfo": {"kernelVersion": "0"}}});
    plan.ask(at + Duration::from_millis(100), part(&key, Piece::Status, said));
    plan.ask(at + dice.millis("made again then", 0, 400, 1_400), plan::delete(Kind::Node, &node));
}

/// A pod gets a label that others must not be near, and then those others come. Where it is the only node, they wait.
fn moved_in(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let pod = |name: &str, affinity: Option<&Value>| {
        let mut pod = plan::pod(name, json!({"terminationGracePeriodSeconds": 1, "containers": [idle("10m")]}));
        pod["metadata"]["labels"] = json!({"near": "nobody"});
        if let Some(affinity) = affinity {
            pod["spec"]["affinity"] = affinity.clone();
        }
        plan::create(pod)
    };
    let second = Duration::from_secs(1);
    let at = dice.millis("moved in at", 0, 2_000, 90_000);
    plan.ask(at, pod("guest", None));
    let moved = at + dice.millis("moved in", 0, 5_000, 15_000);
    let label = json!({"metadata": {"labels": {"near": "guest"}}});
    plan.ask(moved, merge(&Key::new(Kind::Pod, "default", "guest"), label));
    let guests = json!({"labelSelector": {"matchLabels": {"near": "guest"}}, "topologyKey": "kubernetes.io/hostname"});
    let away = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [guests]}});
    let names: Vec<String> = (0..3 + nodes.min(5)).map(|nth| format!("shy-{nth}")).collect();
    for (nth, name) in (1..).zip(&names) {
        plan.ask(moved + second * 2 * nth, pod(name, Some(&away)));
    }
    for at in [END, END + AGAIN] {
        names.iter().for_each(|name| plan.ask(at, plan::delete(Kind::Pod, name)));
        plan.ask(at, plan::delete(Kind::Pod, "guest"));
    }
}

/// Where somebody always waits, pods come that are more important, and others have to go for them; and just then somebody
/// writes on all nodes. Of those who may have to go, some perhaps have a budget that cannot miss them, and others have none.
fn urgent(dice: &Dice, nodes: u64, plan: &mut Plan) {
    let mut spare = plan::replica_set("spare", usize::try_from(nodes).unwrap_or(1), "");
    important(&mut spare["spec"]["template"]["spec"], 10);
    plan.ask(dice.millis("spare at", 0, 500, 3_000), plan::create(spare));
    if dice.below("urgent budget", 0, 2) == 0 {
        let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "cannot-miss"},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": name(0)}}}});
        plan.ask(Duration::from_secs(1), plan::create(budget));
        for at in [END, END + AGAIN] {
            plan.ask(at, plan::delete(Kind::PodDisruptionBudget, "cannot-miss"));
        }
    }
    let from = dice.millis("urgent at", 0, 40_000, 70_000);
    for nth in 0..4 {
        let (at, name) = (from + dice.millis("urgent then", nth, 0, 3_000), format!("urgent-{nth}"));
        let at = at + Duration::from_secs(20 * nth);
        // For most of these, more than one has to go.
        let cpu = dice.one("urgent cpu", nth, &["100m", "180m", "180m", "250m"]);
        let mut spec = json!({"terminationGracePeriodSeconds": 1, "containers": [idle(cpu)]});
        important(&mut spec, 20);
        plan.ask(at, plan::create(plan::pod(&name, spec)));
        for node in 1..=nodes.min(5) {
            touch(&format!("node-{node}"), at, Duration::from_millis(150), 12, plan);
        }
        plan.ask(at + dice.millis("urgent lives", nth, 4_000, 18_000), plan::delete(Kind::Pod, &name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::stable;
    use miniku_core::api::pod::Pod;
    use miniku_core::rng::Draw;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn what_a_former_leader_asked_for_arrives_when_it_leads_again() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            led_again(&Dice(Draw::new(seed)), &mut plan);
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
            let mut plan = Plan::default();
            led_late(&Dice(Draw::new(seed)), &mut plan);
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

    #[test]
    fn there_is_more_news_of_a_node_than_a_controller_may_be_refused_writes() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            harried(&Dice(Draw::new(seed)), 3, &mut plan);
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
            let mut plan = Plan::default();
            touched(&Dice(Draw::new(seed)), 3, &mut plan);
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
    fn some_of_a_set_come_later_and_then_there_are_to_be_fewer() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            weary(&Dice(Draw::new(seed)), 3, &mut plan);
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
    fn some_of_a_job_wait_and_then_fewer_are_to_work() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            too_many(&Dice(Draw::new(seed)), 3, &mut plan);
            let wished = plan.entries.iter().filter_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.at(&["spec", "parallelism"])?.as_u64(),
                Act::Ask(Ask::Patch(patch)) => patch.merge.pointer("/spec/parallelism")?.as_u64(),
                _ => None,
            });
            let wished: Vec<u64> = wished.collect();
            assert!(wished[0] == 5 && (1..=4).contains(&wished[1]) && wished[2] == 0, "seed {seed}: {wished:?}");
        }
    }

    #[test]
    fn fewer_numbers_are_wanted_while_nobody_looks_after_them() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            numbered(&Dice(Draw::new(seed)), &mut plan);
            let crash = plan.entries.iter().find_map(|one| match &one.act {
                Act::Strike(Fault::Crash { down, .. }) => Some((one.at, one.at + *down)),
                _ => None,
            });
            let fewer = plan.entries.iter().find_map(|one| match &one.act {
                Act::Ask(Ask::Patch(patch)) => Some((one.at, patch.merge.pointer("/spec/completions")?.as_u64()?)),
                _ => None,
            });
            let ((from, until), (at, fewer)) = (crash.unwrap(), fewer.unwrap());
            assert!(at > from && at < until && (1..5).contains(&fewer), "seed {seed}: {fewer}");
        }
    }

    #[test]
    fn what_is_said_of_jobs_is_lost_right_after_they_are_made() {
        let mut plan = Plan::default();
        brief(&Dice(Draw::new(1)), &mut plan);
        let lossy = plan.entries.iter().filter(|one| matches!(one.act, Act::Strike(Fault::Link { .. })));
        let at: Vec<u128> = lossy.map(|one| one.at.as_millis()).collect();
        assert_eq!(at, [60_001, 120_001, 180_001]);
        let made = plan.entries.iter().filter(|one| matches!(one.act, Act::Ask(Ask::Create(_))));
        assert_eq!(made.filter(|one| one.at < Duration::from_secs(60)).count(), 4);
    }

    #[test]
    fn what_is_collected_is_made_again_while_all_news_are_late() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            collected_again(&Dice(Draw::new(seed)), &mut plan);
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
            let mut plan = Plan::default();
            decided_twice(&Dice(Draw::new(seed)), &mut plan);
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
    fn who_wants_the_same_address_comes_long_after_who_was_not_stored() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            given_back(&Dice(Draw::new(seed)), &mut plan);
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
            let mut plan = Plan::default();
            half_made(&Dice(Draw::new(seed)), &mut plan);
            let full = plan.entries.iter().find(|one| matches!(one.act, Act::Strike(Fault::DiskFull { .. }))).unwrap();
            assert_eq!(full.when, Some(When::Written { kind: Kind::Namespace, nth: 1 }), "seed {seed}");
            let is_made = |act: &Act| matches!(act, Act::Ask(Ask::Create(one)) if one.kind() == Kind::Namespace);
            let made: Vec<Duration> = plan.entries.iter().filter(|one| is_made(&one.act)).map(|one| one.at).collect();
            assert!(made.len() == 1 && made[0] > full.at, "seed {seed}");
        }
    }

    #[test]
    fn who_is_removed_by_force_has_time_left() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            forced(&Dice(Draw::new(seed)), &mut plan);
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
    fn what_a_kubelet_has_said_last_arrives_when_its_next_life_has_asked() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            former_words(&Dice(Draw::new(seed)), 3, &mut plan);
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
    fn a_node_is_emptied_of_just_as_many_healthy_pods_as_are_demanded() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            lame(&Dice(Draw::new(seed)), 3, &mut plan);
            let pods = plan.entries.iter().filter_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.get::<Pod>(),
                _ => None,
            });
            let lasting = pods.filter(|pod| stable::lasts(&pod.spec, false)).count() as u64;
            let demanded = plan.entries.iter().find_map(|one| match &one.act {
                Act::Ask(Ask::Create(object)) => object.at(&["spec", "minAvailable"])?.as_u64(),
                _ => None,
            });
            assert_eq!(demanded, Some(lasting), "seed {seed}");
        }
    }

    #[test]
    fn who_starts_at_last_may_fail_as_often_as_no_image_can_be_had() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            started_at_last(&Dice(Draw::new(seed)), 3, &mut plan);
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

    #[test]
    fn what_was_listed_is_heard_when_another_namespace_of_the_name_is_deleted() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            listed_before(&Dice(Draw::new(seed)), &mut plan);
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

    #[test]
    fn a_node_is_deleted_before_its_kubelet_is_answered() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            made_again(&Dice(Draw::new(seed)), 3, &mut plan);
            let late = plan.entries.iter().find_map(|one| match &one.act {
                Act::Strike(Fault::Message { mishap: Mishap::ReplyLate(by), .. }) => Some(*by),
                _ => None,
            });
            let at = |is: fn(&Act) -> bool| plan.entries.iter().find(|one| is(&one.act)).unwrap().at;
            let said = at(|act| matches!(act, Act::Ask(Ask::Patch(_))));
            let deleted = at(|act| matches!(act, Act::Ask(Ask::Delete(_))));
            assert!(deleted > said && deleted < said + late.unwrap(), "seed {seed}");
        }
    }

    #[test]
    fn somebody_is_killed_only_after_it_is_answered_that_it_runs() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            answered_late(&Dice(Draw::new(seed)), &mut plan);
            let late = plan.entries.iter().find_map(|one| match &one.act {
                Act::Strike(Fault::Message { mishap: Mishap::ReplyLate(by), .. }) => Some(*by),
                _ => None,
            });
            let made = plan.entries.iter().find(|one| is_pod(one)).unwrap().at;
            let answered = made + Duration::from_millis(300) + late.unwrap();
            let removed = plan.entries.iter().filter(|one| matches!(&one.act, Act::Ask(Ask::Delete(_))));
            let lives = |at: Duration| at <= answered && answered < at + Duration::from_secs(2);
            assert!(removed.map(|one| one.at).any(lives), "seed {seed}");
        }
    }

    #[test]
    fn who_must_not_be_near_comes_after_the_label() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            moved_in(&Dice(Draw::new(seed)), 3, &mut plan);
            let moved = plan.entries.iter().find(|one| matches!(one.act, Act::Ask(Ask::Patch(_)))).unwrap().at;
            let created = |one: &Entry| match &one.act {
                Act::Ask(Ask::Create(object)) => Some((one.at, object.get::<Pod>()?.spec.affinity.is_some())),
                _ => None,
            };
            let mut created: Vec<(Duration, bool)> = plan.entries.iter().filter_map(created).collect();
            let first = created.remove(0);
            assert!(first.0 < moved && created.len() == 6, "seed {seed}");
            assert!(created.iter().all(|(at, shy)| *at > moved && *shy), "seed {seed}");
        }
    }

    #[test]
    fn somebody_writes_on_all_nodes_when_others_have_to_go() {
        for seed in 0..100 {
            let mut plan = Plan::default();
            urgent(&Dice(Draw::new(seed)), 3, &mut plan);
            let pods: Vec<Duration> = plan.entries.iter().filter(|one| is_pod(one)).map(|one| one.at).collect();
            assert_eq!(pods.len(), 4, "seed {seed}");
            for at in pods {
                let within = |one: &&Entry| one.at >= at && one.at < at + Duration::from_secs(2);
                let news = plan.entries.iter().filter(within).filter(|one| matches!(one.act, Act::Ask(Ask::Patch(_))));
                assert_eq!(news.count(), 36, "seed {seed}");
            }
        }
    }

    fn is_pod(entry: &Entry) -> bool {
        matches!(&entry.act, Act::Ask(Ask::Create(object)) if object.kind() == Kind::Pod)
    }

    #[test]
    fn the_containers_of_one_pod_wait_for_different_times() {
        let late = |seed: u64| {
            let mut plan = Plan::default();
            uneven(&Dice(Draw::new(seed)), &mut plan);
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
}
