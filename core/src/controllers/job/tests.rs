//! The Job controller as a whole, against the real API server.

use crate::api::job::{INDEX, Job, TRACKING};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodPhase};
use crate::api::text::Text;
use crate::controllers::job::Jobs;
use crate::controllers::testing::World;
use crate::controllers::workload::{Options, WorkloadController};
use crate::program::Part;
use serde_json::{Value, json};

const SEEDS: std::ops::Range<u64> = 0..6;

struct Desk {
    world: World,
    controller: WorkloadController,
}

impl Desk {
    fn new(seed: u64) -> Self {
        let controller = WorkloadController::new(&[&Jobs], Options::default());
        let mut desk = Desk { world: World::new(seed), controller };
        desk.run(1);
        desk
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn restart(&mut self, seed: u64) {
        self.world.forget_program();
        self.controller = WorkloadController::new(&[&Jobs], Options { seed, ..Options::default() });
    }

    fn create(&mut self, spec: Value) {
        let mut all = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}});
        crate::patch::merge::merge(&mut all, &spec);
        self.world.create(Kind::Job, json!({"metadata": {"name": "sum", "namespace": "default"}, "spec": all}));
    }

    fn patch(&mut self, patch: Value) {
        self.world.merge(Key::new(Kind::Job, "default", "sum"), patch, Part::Main);
    }

    fn job(&self) -> Job {
        self.world.get(Kind::Job, "default", "sum").unwrap().read().unwrap()
    }

    fn pods(&self) -> Vec<Object> {
        self.world.objects(Kind::Pod)
    }

    fn going(&self) -> Vec<Object> {
        let goes = |one: &Object| one.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Pending);
        self.pods().into_iter().filter(goes).collect()
    }

    fn end_one(&mut self, pod: &Object, phase: &str) {
        let ended = crate::api::meta::Time::of(self.world.now.wall).to_string();
        let code = i32::from(phase == "Failed");
        let status = json!({"phase": phase, "containerStatuses": [{"name": "c", "restartCount": 0, "ready": false, "image": "",
            "imageID": "", "state": {"terminated": {"exitCode": code, "finishedAt": ended}}, "lastState": {}}]});
        self.world.merge(pod.key(), json!({"status": status}), Part::Status);
    }

    fn end_all(&mut self, phase: &str) {
        for pod in self.going() {
            self.end_one(&pod, phase);
        }
    }

    /// The numbers of the pods that have not ended.
    fn indexes(&self) -> Vec<Text> {
        self.going().iter().map(|pod| pod.meta().annotations[INDEX].clone()).collect()
    }

    /// `active/succeeded/failed`, and the conditions that are true.
    fn told(&self) -> String {
        let status = self.job().status;
        let number = |number: Option<i32>| number.unwrap_or(0);
        let conditions = status.conditions.iter().filter(|one| one.status == "True");
        let conditions: Vec<String> = conditions.map(|one| format!("{} {}", one.kind, one.reason)).collect();
        let numbers = [status.active, status.succeeded, status.failed].map(|one| number(one).to_string());
        format!("{} {}", numbers.join("/"), conditions.join(", ")).trim_end().to_owned()
    }
}

#[test]
fn a_job_runs_until_enough_have_succeeded() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"completions": 5, "parallelism": 2}));
        for round in 0..3 {
            desk.run(1);
            assert_eq!(desk.going().len(), if round == 2 { 1 } else { 2 });
            assert!(desk.going().iter().all(|pod| pod.meta().finalizers == [TRACKING]));
            desk.end_all("Succeeded");
        }
        desk.run(1);
        assert_eq!(desk.told(), "0/5/0 SuccessCriteriaMet CompletionsReached, Complete CompletionsReached");
        assert!(desk.job().status.completion_time.is_some() && desk.job().status.uncounted_terminated_pods.is_none());
        assert!(desk.pods().iter().all(|pod| pod.meta().finalizers.is_empty()), "nobody is held any longer");
        assert_eq!(desk.pods().len(), 5, "they stay to be looked at");
        desk.world.take_writes();
        desk.run(1000);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
        assert!(desk.world.told_about("sum").contains(&"Completed".to_owned()));
    }
}

#[test]
fn failures_are_tried_again_later_each_time_and_not_for_ever() {
    let mut desk = Desk::new(0);
    desk.create(json!({"backoffLimit": 2}));
    let mut made = Vec::new();
    for _ in 0..100 {
        desk.run(1);
        if !desk.going().is_empty() {
            made.push(desk.world.now.mono.nanos() / 1_000_000_000);
            desk.end_all("Failed");
        }
    }
    let pauses: Vec<u64> = made.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(pauses, [10, 20]);
    assert_eq!(desk.told(), "0/0/3 FailureTarget BackoffLimitExceeded, Failed BackoffLimitExceeded");
}

#[test]
fn each_success_counts_once_whatever_becomes_of_it() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.lost_percent = 20;
        desk.create(json!({"completions": 12, "parallelism": 4}));
        let mut successes = 0;
        for round in 0..200 {
            desk.run(7);
            for pod in desk.going() {
                successes += 1;
                desk.end_one(&pod, "Succeeded");
                if round % 2 == 0 {
                    desk.world.delete_at_once(pod.key());
                }
            }
            if round % 3 == 0 {
                desk.restart(seed + round);
            }
        }
        desk.world.lost_percent = 0;
        desk.run(300);
        assert_eq!(successes, 12, "as many pods as successes, seed {seed}");
        assert_eq!(desk.job().status.succeeded, Some(12));
        assert!(desk.job().is("Complete"));
    }
}

#[test]
fn numbers_succeed_once_each() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"completions": 4, "parallelism": 3, "completionMode": "Indexed"}));
        desk.run(1);
        assert_eq!(desk.indexes(), ["0", "1", "2"]);
        let pod = desk.going()[1].clone();
        let body: &Pod = pod.get().unwrap();
        assert_eq!(body.spec.hostname, "sum-1");
        assert_eq!(body.spec.containers[0].env[0].value, "1");
        assert!(pod.meta().name.starts_with("sum-1-"), "{}", pod.meta().name);
        desk.end_one(&pod, "Succeeded");
        desk.run(1);
        assert_eq!((desk.indexes().join(" ").as_str(), desk.job().status.completed_indexes.as_str()), ("0 2 3", "1"));
        let failed = desk.going()[0].clone();
        desk.end_one(&failed, "Failed");
        desk.run(11);
        assert_eq!(desk.indexes(), ["0", "2", "3"]);
        desk.end_all("Succeeded");
        desk.run(1);
        assert_eq!(desk.job().status.completed_indexes, "0-3");
        assert!(desk.told().starts_with("0/4/1 "), "{}", desk.told());
    }
}

#[test]
fn of_very_many_numbers_the_first_are_looked_at() {
    let mut desk = Desk::new(0);
    desk.create(json!({"completions": i32::MAX, "parallelism": 2, "completionMode": "Indexed"}));
    desk.run(1);
    assert_eq!(desk.indexes(), ["0", "1"]);
    let pods = desk.going();
    desk.end_one(&pods[0], "Succeeded");
    desk.run(1);
    assert_eq!(desk.indexes(), ["1", "2"]);
    desk.end_one(&pods[1], "Failed");
    desk.run(5);
    assert_eq!(desk.indexes(), ["2"], "all wait for the failure");
    desk.run(10);
    assert_eq!(desk.indexes(), ["1", "2"]);
}

#[test]
fn its_end_is_noted_before_its_pods_go() {
    let mut desk = Desk::new(0);
    desk.create(json!({"backoffLimit": 1, "parallelism": 1, "template": {"spec": {"restartPolicy": "OnFailure"}}}));
    desk.run(10);
    let pod = desk.going().remove(0);
    let restarted = json!({"status": {"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3}]}});
    desk.world.take_writes();
    desk.world.hold_writes = true;
    desk.world.merge(pod.key(), restarted, Part::Status);
    desk.run(5);
    assert_eq!(desk.world.take_writes(), ["Status jobs.batch/default/sum"], "its pod's restarts tell of it");
    desk.world.hold_writes = false;
    desk.world.release();
    desk.run(100);
    assert_eq!(desk.told(), "0/0/1 FailureTarget BackoffLimitExceeded, Failed BackoffLimitExceeded");
}

#[test]
fn a_number_waits_for_its_own_failures_only() {
    let mut desk = Desk::new(0);
    desk.create(json!({"completions": 4, "parallelism": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 1}));
    let mut made = Vec::new();
    for _ in 0..60 {
        desk.run(1);
        for pod in desk.going() {
            let number = pod.meta().annotations[INDEX].clone();
            let again = made.iter().any(|(one, _)| *one == number);
            desk.end_one(&pod, if number == "0" && !again { "Failed" } else { "Succeeded" });
            made.push((number, desk.world.now.mono.nanos() / 1_000_000_000));
        }
    }
    let order: Vec<&str> = made.iter().map(|(number, _)| number.as_str()).collect();
    assert_eq!(order, ["0", "1", "2", "3", "0"], "the others do not wait for it, nor make it go sooner");
    assert_eq!(made[4].1 - made[0].1, 10, "{made:?}");
}

#[test]
fn pods_that_are_taken_away_are_made_again_later_each_time() {
    let by_numbers =
        json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 900});
    for spec in [json!({"completions": 2, "parallelism": 2, "backoffLimit": 900}), by_numbers] {
        let mut desk = Desk::new(0);
        desk.create(spec);
        let mut made = 0;
        for _ in 0..120 {
            desk.run(1);
            for pod in desk.going().iter().filter(|pod| !pod.meta().is_deleting()) {
                made += 1;
                desk.world.delete(pod.key(), None);
            }
        }
        assert!((4..20).contains(&made), "{made} pods in two minutes");
        desk.run(100);
        desk.end_all("Succeeded");
        desk.run(5);
        assert!(desk.told().contains("Complete"), "{}", desk.told());
    }
}

#[test]
fn numbers_fail_by_themselves() {
    let mut desk = Desk::new(0);
    desk.create(json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1}));
    for _ in 0..20 {
        desk.run(100);
        for pod in desk.going() {
            let phase = if pod.meta().annotations[INDEX] == "1" { "Failed" } else { "Succeeded" };
            desk.end_one(&pod, phase);
        }
    }
    assert_eq!(desk.told(), "0/2/2 FailureTarget FailedIndexes, Failed FailedIndexes");
    assert_eq!(desk.job().status.failed_indexes.as_deref(), Some("1"));
}

#[test]
fn fewer_numbers_are_those_from_the_first_on() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        let spec = json!({"completions": 4, "parallelism": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 0});
        desk.create(spec);
        desk.run(1);
        let last = desk.going().into_iter().find(|pod| pod.meta().annotations[INDEX] == "3").unwrap();
        desk.end_one(&last, "Failed");
        desk.run(1);
        assert_eq!(desk.job().status.failed_indexes.as_deref(), Some("3"));
        desk.patch(json!({"spec": {"completions": 2, "parallelism": 2}}));
        desk.run(5);
        assert_eq!(desk.indexes(), ["0", "1"]);
        assert!(desk.pods().iter().all(|pod| pod.meta().annotations[INDEX] != "2"), "it was deleted");
        desk.end_all("Succeeded");
        desk.run(5);
        assert!(desk.told().contains("Complete CompletionsReached"), "what is beyond failed in vain: {}", desk.told());
    }
}

#[test]
fn one_pod_of_each_number_is_enough() {
    let mut desk = Desk::new(0);
    desk.create(json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed"}));
    desk.run(1);
    let first = desk.going().remove(0);
    let twin = first.with_meta(|meta| {
        (meta.name, meta.uid, meta.resource_version) = ("twin".into(), Text::default(), Text::default());
    });
    desk.world.ask(crate::program::Verb::Create { object: twin });
    desk.run(5);
    assert_eq!((desk.indexes().join(" ").as_str(), desk.pods().len()), ("0 1", 2));
}

#[test]
fn whom_a_job_takes_it_holds_and_whom_it_releases_no_longer() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"completions": 1}));
        desk.run(1);
        let uid = desk.world.get(Kind::Job, "default", "sum").unwrap().meta().uid.clone();
        let pod = desk.going().remove(0);
        let label = |desk: &mut Desk, of: Value| {
            let labels = json!({"batch.kubernetes.io/controller-uid": of});
            desk.world.merge(pod.key(), json!({"metadata": {"labels": labels}}), Part::Main);
            desk.world.take_writes();
            desk.run(1);
            let writes = desk.world.take_writes();
            assert!(!writes.contains(&format!("Main {}", pod.key()).into()), "all in one write: {writes:?}");
            desk.world.get(Kind::Pod, "default", &pod.meta().name).unwrap().meta().clone()
        };
        let away = label(&mut desk, json!(null));
        assert_eq!((away.controller(), away.finalizers.len()), (None, 0));
        let back = label(&mut desk, json!(uid));
        assert!(back.controller().is_some_and(|by| by.uid == uid) && back.finalizers == [TRACKING]);
        assert_eq!(desk.going().len(), 1, "the one that was made meanwhile is too many");
        desk.end_all("Succeeded");
        desk.run(1);
        assert_eq!(desk.told(), "0/1/0 SuccessCriteriaMet CompletionsReached, Complete CompletionsReached");
    }
}

#[test]
fn for_a_job_that_somebody_else_manages_nobody_is_taken() {
    let mut desk = Desk::new(0);
    desk.create(json!({"managedBy": "example.com/other"}));
    let uid = desk.world.get(Kind::Job, "default", "sum").unwrap().meta().uid.clone();
    let pod = desk.world.pod("a", "", json!([]));
    let labels = json!({"batch.kubernetes.io/controller-uid": uid});
    desk.world.merge(pod.key(), json!({"metadata": {"labels": labels}}), Part::Main);
    desk.run(5);
    let pods = desk.pods();
    assert_eq!((pods.len(), pods[0].meta().controller(), pods[0].meta().finalizers.len()), (1, None, 0));
}

#[test]
fn a_number_remembers_its_failures_whoever_deletes_its_pods() {
    let mut desk = Desk::new(0);
    desk.create(json!({"completions": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 2}));
    let mut tries = 0;
    for _ in 0..200 {
        for pod in desk.going() {
            tries += 1;
            desk.end_one(&pod, "Failed");
            desk.run(2);
            desk.world.delete(pod.key(), None);
        }
        desk.run(1);
    }
    assert_eq!((tries, desk.told().as_str()), (3, "0/0/3 FailureTarget FailedIndexes, Failed FailedIndexes"));
    assert_eq!(desk.pods(), [], "and nobody is held in the end");
}

#[test]
fn a_job_that_is_held_has_no_pods_and_no_failures() {
    let mut desk = Desk::new(0);
    desk.create(json!({"completions": 2, "parallelism": 2}));
    desk.run(1);
    desk.patch(json!({"spec": {"suspend": true}}));
    desk.run(1);
    assert_eq!(desk.told(), "0/0/0 Suspended JobSuspended");
    assert_eq!((desk.pods().len(), desk.job().status.start_time), (0, None));
    desk.patch(json!({"spec": {"suspend": false}}));
    desk.run(1);
    assert_eq!(desk.told(), "2/0/0");
    desk.patch(json!({"spec": {"parallelism": 1}}));
    desk.run(1);
    assert_eq!(desk.told(), "1/0/0");
}

#[test]
fn who_was_let_go_goes_though_more_are_wanted_since() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"completions": 2, "parallelism": 2}));
        desk.run(1);
        let held = |desk: &Desk| desk.going().iter().filter(|pod| pod.meta().finalizers == [TRACKING]).count();
        // Its controller has not seen yet that it let one of them go.
        desk.world.deaf_to.insert(Kind::Pod);
        desk.patch(json!({"spec": {"parallelism": 1}}));
        desk.run(1);
        assert_eq!((held(&desk), desk.going().len()), (1, 2));
        desk.patch(json!({"spec": {"parallelism": 2}}));
        desk.run(1);
        desk.world.deaf_to.clear();
        desk.run(30);
        assert_eq!((held(&desk), desk.going().len()), (2, 2), "another has taken its place");
        desk.end_all("Succeeded");
        desk.run(1);
        assert_eq!(desk.told(), "0/2/0 SuccessCriteriaMet CompletionsReached, Complete CompletionsReached");
    }
}

#[test]
fn a_job_that_takes_too_long_fails_and_is_forgotten() {
    let mut desk = Desk::new(0);
    desk.create(json!({"activeDeadlineSeconds": 20, "ttlSecondsAfterFinished": 100}));
    desk.run(19);
    assert_eq!(desk.told(), "1/0/0");
    desk.run(10);
    assert_eq!(desk.told(), "0/0/1 FailureTarget DeadlineExceeded, Failed DeadlineExceeded");
    desk.run(120);
    assert!(desk.world.get(Kind::Job, "default", "sum").is_none());
}

#[test]
fn pods_of_a_job_that_is_gone_are_let_go() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.lost_percent = 20;
        desk.create(json!({"completions": 3, "parallelism": 3}));
        desk.run(100);
        assert_eq!(desk.going().len(), 3);
        desk.world.delete_at_once(Key::new(Kind::Job, "default", "sum"));
        desk.run(200);
        assert!(desk.pods().iter().all(|pod| pod.meta().finalizers.is_empty()), "seed {seed}");
    }
}

#[test]
fn a_failure_policy_is_followed() {
    let mut desk = Desk::new(0);
    let rules = json!([{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]);
    desk.create(json!({"backoffLimit": 0, "podFailurePolicy": {"rules": rules}}));
    desk.run(1);
    let pod = desk.going()[0].clone();
    let status = json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]});
    desk.world.merge(pod.key(), json!({"status": status}), Part::Status);
    desk.run(30);
    assert_eq!(desk.told(), "1/0/0", "it does not count");
    desk.end_all("Failed");
    desk.run(1);
    assert_eq!(desk.told(), "0/0/1 FailureTarget PodFailurePolicy, Failed PodFailurePolicy");
}

#[test]
fn a_job_has_not_ended_while_its_pods_are_not_shown_yet() {
    let mut desk = Desk::new(0);
    desk.world.deaf_to.insert(Kind::Pod);
    desk.create(json!({"activeDeadlineSeconds": 20}));
    desk.run(30);
    assert_eq!(desk.told(), "0/0/0 FailureTarget DeadlineExceeded");
    desk.world.deaf_to.clear();
    desk.run(10);
    assert_eq!(desk.told(), "0/0/1 FailureTarget DeadlineExceeded, Failed DeadlineExceeded");
    assert!(desk.going().is_empty());
}

#[test]
fn a_pod_that_appears_after_the_end_of_its_job_goes() {
    let mut desk = Desk::new(0);
    desk.create(json!({}));
    desk.run(1);
    assert!(!desk.going().is_empty());
    let failed = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]);
    desk.world.merge(Key::new(Kind::Job, "default", "sum"), json!({"status": {"conditions": failed}}), Part::Status);
    desk.run(1);
    assert!(desk.going().is_empty());
}
