//! Jobs that are to have fewer pods or numbers, and jobs that are over and gone at once.

use crate::plan::{self, Ask, Evict, Fault, Plan, Ratio, Weather};
use crate::swarm::{AGAIN, Dice, END, merge, room};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::patch::merge::merge as merge_patch;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// A job of whose pods each node takes one, so that some wait for a node; and then fewer are to work at a time.
pub(super) fn too_many(dice: &Dice, nodes: u64, plan: &mut Plan) {
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

/// A pod of one job is taken away, is noted as failed, and ends well before another takes its number. Of another job fewer
/// numbers are wanted while nobody looks after it, and those beyond have ended when somebody does.
pub(super) fn numbered(dice: &Dice, _: u64, plan: &mut Plan) {
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

/// A job with so many pods, which have numbers, of which each may fail.
fn of_numbers(name: &str, many: u64, script: &str) -> Ask {
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", script],
        "resources": {"requests": {"cpu": "10m"}}});
    let pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 20, "containers": [container]});
    plan::create(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "completionMode": "Indexed", "completions": many, "parallelism": many, "backoffLimitPerIndex": 3,
        "activeDeadlineSeconds": 100, "template": {"spec": pod}}}))
}

/// Jobs of cron jobs that end soon and are not to be kept, while some of what is said of them is lost just then.
pub(super) fn brief(dice: &Dice, _: u64, plan: &mut Plan) {
    for nth in 0..4 {
        let at = dice.millis("brief at", nth, 500, 20_000);
        each_minute(&format!("brief-{nth}"), at, &json!({}), &json!({"ttlSecondsAfterFinished": 0}), plan);
    }
    half_heard(dice, Duration::from_millis(dice.one("brief for", 0, &[20, 100, 400])), plan);
}

/// The same, where it is the cron jobs that keep none of them.
pub(super) fn unkept(dice: &Dice, _: u64, plan: &mut Plan) {
    for nth in 0..4 {
        let at = dice.millis("unkept at", nth, 500, 20_000);
        each_minute(&format!("unkept-{nth}"), at, &json!({"successfulJobsHistoryLimit": 0}), &json!({}), plan);
    }
    half_heard(dice, Duration::from_millis(dice.one("unkept for", 0, &[20, 100, 400])), plan);
}

/// A cron job whose jobs take a second, with these fields in its spec and these in the spec of its jobs.
fn each_minute(name: &str, at: Duration, of_it: &Value, of_them: &Value, plan: &mut Plan) {
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1"],
        "resources": {"requests": {"cpu": "10m"}}});
    let pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]});
    let mut work = json!({"activeDeadlineSeconds": 20, "template": {"spec": pod}});
    merge_patch(&mut work, of_them);
    let mut spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": work}});
    merge_patch(&mut spec, of_it);
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec});
    plan.ask(at, plan::create(cron));
    for at in [END, END + AGAIN] {
        plan.ask(at, merge(&Key::new(Kind::CronJob, "default", name), json!({"spec": {"suspend": true}})));
    }
}

/// The jobs are asked for at each whole minute, and what comes next a moment later: a third of that is lost.
fn half_heard(dice: &Dice, lasts: Duration, plan: &mut Plan) {
    for minute in 1..=3 {
        let at = Duration::from_secs(60 * minute) + Duration::from_millis(1);
        for actor in room::all_of(dice, "workloads") {
            let weather = Weather { requests_lost: Ratio(1, 3), ..Weather::FAIR };
            plan.strike(at, Fault::Link { actor, weather, lasts });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned::planned;
    use super::*;
    use crate::plan::Act;

    #[test]
    fn some_of_a_job_wait_and_then_fewer_are_to_work() {
        for seed in 0..100 {
            let plan = planned(seed, too_many);
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
            let plan = planned(seed, numbered);
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
        for draws in [brief, unkept] {
            let plan = planned(1, draws);
            let lossy = plan.entries.iter().filter(|one| matches!(one.act, Act::Strike(Fault::Link { .. })));
            let at: Vec<u128> = lossy.map(|one| one.at.as_millis()).collect();
            assert_eq!(at, [60_001, 120_001, 180_001]);
            let made = plan.entries.iter().filter(|one| matches!(one.act, Act::Ask(Ask::Create(_))));
            assert_eq!(made.filter(|one| one.at < Duration::from_secs(60)).count(), 4);
        }
    }
}
