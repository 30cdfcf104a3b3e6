//! The CronJob controller as a whole, against the real API server.

use crate::api::cronjob::{CronJob, SCHEDULED_AT};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::text::Text;
use crate::controllers::cronjob::CronJobs;
use crate::controllers::job::Jobs;
use crate::controllers::testing::World;
use crate::controllers::workload::{Options, WorkloadController};
use crate::program::Part;
use crate::time::Wall;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

struct Desk {
    world: World,
    controller: WorkloadController,
}

impl Desk {
    /// At the full hour.
    fn new(seed: u64) -> Self {
        let controller = WorkloadController::new(&[&CronJobs], Options::default());
        let mut desk = Desk { world: World::new(seed), controller };
        desk.world.now.wall = Wall::from_secs(1_790_000_000 / 3600 * 3600);
        desk.run(1);
        desk
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn create(&mut self, spec: Value) {
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}});
        let mut all = json!({"schedule": "*/10 * * * *", "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": template}}});
        crate::patch::merge::merge(&mut all, &spec);
        self.world.create(Kind::CronJob, json!({"metadata": {"name": "tick", "namespace": "default"}, "spec": all}));
    }

    fn jobs(&self) -> Vec<Object> {
        self.world.objects(Kind::Job)
    }

    /// The minutes past the hour for which there are jobs; those being deleted with a `-`.
    fn minutes(&self) -> String {
        let of = |job: &Object| {
            let mark = if job.meta().is_deleting() { "-" } else { "" };
            format!("{mark}{}", &job.meta().annotations[SCHEDULED_AT][14..16])
        };
        self.jobs().iter().map(of).collect::<Vec<_>>().join(" ")
    }

    fn end(&mut self, how: &str) {
        for job in self.jobs() {
            let at = crate::api::meta::Time::of(self.world.now.wall).to_string();
            let status = json!({"startTime": at, "completionTime": at, "conditions": [{"type": how, "status": "True", "lastTransitionTime": at}]});
            let ended = job.read::<crate::api::job::Job>().is_some_and(|job| !job.status.conditions.is_empty());
            if !ended {
                self.world.merge(job.key(), json!({"status": status}), Part::Status);
            }
        }
    }

    fn stored(&self) -> CronJob {
        self.world.get(Kind::CronJob, "default", "tick").unwrap().read().unwrap()
    }
}

#[test]
fn each_time_has_one_job() {
    for seed in 0..4 {
        let mut desk = Desk::new(seed);
        desk.world.lost_percent = 20;
        desk.create(json!({}));
        desk.run(590);
        assert_eq!(desk.minutes(), "");
        desk.run(100);
        assert_eq!(desk.minutes(), "10");
        let name = desk.jobs()[0].meta().name.clone();
        assert_eq!(name, format!("tick-{}", (1_790_000_000_i64 / 3600 * 3600 + 600) / 60));
        assert_eq!(desk.jobs()[0].meta().labels["a"], "b");
        for _ in 0..3 {
            desk.run(600);
            desk.world.forget_program();
            desk.controller = WorkloadController::new(&[&CronJobs], Options { seed, ..Options::default() });
        }
        desk.run(100);
        assert_eq!(desk.minutes(), "10 20 30 40");
        assert_eq!(desk.stored().status.active.len(), 4);
    }
}

#[test]
fn few_that_have_ended_are_kept() {
    let mut desk = Desk::new(0);
    desk.create(json!({"successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 1}));
    for nth in 0..6 {
        desk.run(600);
        desk.end(if nth % 2 == 0 { "Complete" } else { "Failed" });
    }
    desk.run(10);
    assert_eq!(desk.jobs().len(), 3);
    assert!(desk.stored().status.last_successful_time.is_some() && desk.stored().status.active.is_empty());
}

#[test]
fn one_that_goes_already_is_not_among_those_that_are_kept() {
    let mut desk = Desk::new(0);
    desk.create(json!({"failedJobsHistoryLimit": 1}));
    desk.run(600);
    desk.end("Failed");
    desk.run(600);
    let last = desk.jobs().pop().unwrap().key();
    desk.world.merge(last.clone(), json!({"metadata": {"finalizers": ["x/y"]}}), Part::Main);
    desk.world.delete(last, None);
    desk.end("Failed");
    desk.run(10);
    assert_eq!(desk.minutes(), "10 -20");
}

#[test]
fn what_is_done_while_the_last_one_runs() {
    let check = |policy: &str, want: &str, later: &str| {
        let mut desk = Desk::new(0);
        desk.create(json!({"concurrencyPolicy": policy}));
        desk.run(1300);
        assert_eq!(desk.minutes(), want, "{policy}");
        desk.end("Complete");
        desk.run(100);
        assert_eq!(desk.minutes(), later, "{policy}");
    };
    check("Allow", "10 20", "10 20");
    check("Forbid", "10", "10 20");
    check("Replace", "20", "20");
}

#[test]
fn a_job_that_somebody_made_of_it_is_nobodys_rival() {
    for policy in ["Forbid", "Replace"] {
        let mut desk = Desk::new(0);
        desk.create(json!({"concurrencyPolicy": policy}));
        let cron = desk.world.get(Kind::CronJob, "default", "tick").unwrap().meta().uid.clone();
        let owner =
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": cron, "controller": true});
        let meta = json!({"name": "by-hand", "namespace": "default", "ownerReferences": [owner],
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"}});
        let pods = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}});
        desk.world.create(Kind::Job, json!({"metadata": meta, "spec": {"template": pods}}));
        desk.run(700);
        let jobs: Vec<_> = desk.jobs().iter().map(|job| job.meta().annotations.contains_key(SCHEDULED_AT)).collect();
        assert_eq!(jobs, [false, true], "{policy}");
        assert_eq!(desk.stored().status.active.len(), 1);
    }
}

#[test]
fn after_a_long_pause_there_is_one_job_and_none_if_it_is_too_late() {
    for (deadline, want) in [(json!(null), "50"), (json!(400), "50"), (json!(100), "")] {
        let mut desk = Desk::new(0);
        desk.create(json!({"suspend": true, "startingDeadlineSeconds": deadline}));
        desk.run(3300);
        assert_eq!(desk.minutes(), "");
        desk.world.merge(Key::new(Kind::CronJob, "default", "tick"), json!({"spec": {"suspend": false}}), Part::Main);
        desk.run(1);
        assert_eq!(desk.minutes(), want, "{deadline}");
    }
}

#[test]
fn a_clock_that_is_put_back_makes_no_job_twice() {
    let mut desk = Desk::new(0);
    desk.create(json!({}));
    desk.run(1300);
    assert_eq!(desk.minutes(), "10 20");
    desk.world.now.wall = Wall::from_secs(desk.world.now.wall.secs() - 1000);
    desk.run(900);
    assert_eq!(desk.minutes(), "10 20");
    desk.run(1000);
    assert_eq!(desk.minutes(), "10 20 30");
}

#[test]
fn a_job_stays_until_its_time_is_noted() {
    let (few, brief) =
        (json!({"successfulJobsHistoryLimit": 0}), json!({"jobTemplate": {"spec": {"ttlSecondsAfterFinished": 0}}}));
    for (seed, spec) in (0..8).flat_map(|seed| [(seed, &few), (seed, &brief)]) {
        let mut desk = Desk::new(seed);
        desk.controller = WorkloadController::new(&[&CronJobs, &Jobs], Options::default());
        desk.create(spec.clone());
        desk.run(590);
        desk.world.lost_percent = 60;
        let mut made: BTreeMap<String, BTreeSet<Text>> = BTreeMap::new();
        for _ in 0..700 {
            desk.run(1);
            desk.end("Complete");
            for job in desk.jobs() {
                made.entry(job.meta().annotations[SCHEDULED_AT].to_string())
                    .or_default()
                    .insert(job.meta().uid.clone());
            }
        }
        assert!(made.len() >= 2 && made.values().all(|uids| uids.len() == 1), "{seed}: {made:?}");
    }
}
