//! The kubelet as a whole, against the real API server and a pretended runtime.

use crate::api::kinds::Kind;
use crate::api::node::Node;
use crate::controllers::testing::property;
use crate::kubelet::runtime::{ContainerState, PodRef, Report};
use crate::kubelet::testing::{Loss, World};
use crate::program::Part;
use crate::rng::Draw;
use crate::time::{Duration, Wall};
use quickcheck::{Arbitrary, Gen};
use serde_json::json;

/// Both ways in which a fast start can be heard of.
const SEEDS: std::ops::Range<u64> = 0..8;

// The node.

#[test]
fn a_node_registers_and_beats() {
    let mut world = World::new(0);
    world.run(31);
    let node: &Node = world.get(Kind::Node, "", "n1").unwrap().get().unwrap();
    assert_eq!(node.ready().map(|one| one.status.as_str()), Some("True"));
    assert_eq!((node.metadata.labels["zone"].as_str(), node.status.capacity["pods"].value()), ("a", 110));
    assert_eq!(world.take_writes(), "create n1");
    let beats: Vec<u64> = world.beats.windows(2).map(|two| two[1].since(two[0]).as_secs()).collect();
    assert_eq!(beats, [5, 5, 5, 5, 5, 5]);
    let lease = world.get(Kind::Lease, "kube-node-lease", "n1").unwrap().to_value();
    assert_eq!(lease["spec"]["holderIdentity"], "n1");
}

#[test]
fn a_node_that_is_deleted_registers_again() {
    let mut world = World::running(0);
    let uid = world.get(Kind::Node, "", "n1").unwrap().meta().uid.clone();
    world.delete_node();
    world.run(1);
    assert_ne!(world.get(Kind::Node, "", "n1").unwrap().meta().uid, uid);
    assert_eq!(world.take_writes(), "create n1");
}

#[test]
fn a_node_contradicts_who_calls_it_unknown_and_keeps_what_others_wrote() {
    for seed in SEEDS {
        let mut world = World::running(seed);
        let unknown = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"},
            {"type": "Custom", "status": "True"}]}});
        world.merge(
            Kind::Node,
            "n1",
            json!({"spec": {"unschedulable": true}, "metadata": {"labels": {"x": "y"}}}),
            Part::Main,
        );
        world.merge(Kind::Node, "n1", unknown.clone(), Part::Status);
        world.run(1);
        let node: &Node = world.get(Kind::Node, "", "n1").unwrap().get().unwrap();
        let conditions: Vec<&str> = node.status.conditions.iter().map(|one| one.kind.as_str()).collect();
        assert_eq!((node.ready().unwrap().status.as_str(), conditions), ("True", vec!["Custom", "Ready"]));
        assert!(node.spec.unschedulable && node.metadata.labels["x"] == "y");
        assert_eq!(world.take_writes(), "status n1");
        // It changes again before the answer to the correction is there.
        world.answers_are_late = true;
        world.merge(Kind::Node, "n1", unknown.clone(), Part::Status);
        world.run(1);
        world.merge(Kind::Node, "n1", unknown, Part::Status);
        world.run(1);
        world.answers_are_late = false;
        world.run(3);
        let node: &Node = world.get(Kind::Node, "", "n1").unwrap().get().unwrap();
        assert_eq!(node.ready().unwrap().status, "True");
    }
}

#[test]
fn since_when_a_node_is_ready_stays_if_only_the_reason_changes() {
    let mut world = World::running(0);
    let ready = |world: &World| {
        let node: &Node = world.get(Kind::Node, "", "n1").unwrap().get().unwrap();
        let ready = node.ready().unwrap();
        (ready.reason.to_string(), ready.last_transition_time)
    };
    let (_, since) = ready(&world);
    world.run(10);
    let said = json!({"type": "Ready", "status": "True", "reason": "Patched", "lastTransitionTime": since});
    world.merge(Kind::Node, "n1", json!({"status": {"conditions": [said]}}), Part::Status);
    world.run(1);
    assert_eq!(ready(&world), ("KubeletReady".to_owned(), since));
}

#[test]
fn one_lost_answer_does_not_silence_a_node() {
    let mut world = World::running(0);
    world.lose = Some((0, Loss::Silent));
    world.beats.clear();
    world.run(20);
    assert_eq!(world.beats.len(), 4);
    // A restart is no reason to be silent either.
    for _ in 0..10 {
        world.restart();
        world.beats.clear();
        world.run(2);
        assert!(!world.beats.is_empty());
    }
}

// Starts.

#[test]
fn a_fast_start_is_told_in_one_write() {
    for seed in SEEDS {
        let mut world = World::running(seed);
        world.create("a", "Always", &[("c", "busybox", "run"), ("d", "busybox", "run")], json!({}));
        world.run(2);
        assert_eq!(world.shown("a"), "Running ready c=running.0 d=running.0");
        assert_eq!((world.take_writes().as_str(), world.take_commands().as_str()), ("status a Running", "1 run a"));
        let pod = world.pod("a").unwrap();
        assert_eq!((pod.status.host_ip.as_str(), pod.status.pod_ip.as_str()), ("10.0.0.1", "10.1.0.1"));
        assert!(pod.status.start_time.is_some());
        assert_eq!(world.told_about("a"), "Started:1 Started:1");
    }
}

#[test]
fn an_answer_that_is_faster_than_the_view_is_not_doubted() {
    let mut world = World::running(0);
    world.one("a", "Always", "run");
    world.run_for(Duration::ZERO);
    world.deaf = true;
    world.exit("a", 1);
    world.run(20);
    world.deaf = false;
    world.run(1);
    assert_eq!(world.shown("a"), "Running ready c=running.1");
    assert_eq!(world.take_writes(), "status a Running, status a Running");
}

#[test]
fn a_slow_start_is_told_of_before() {
    let mut world = World::running(0);
    world.runtime.start_takes = Duration::from_secs(3);
    world.one("a", "Always", "run");
    world.run(2);
    assert_eq!((world.shown("a").as_str(), world.writes.len()), ("Pending c=ContainerCreating.0", 1));
    world.run(2);
    assert_eq!((world.shown("a").as_str(), world.writes.len()), ("Running ready c=running.0", 2));
}

#[test]
fn limited_starts_are_tried_after_1_2_and_4_seconds_and_then_the_pod_fails() {
    let mut world = World::running(0);
    let limited = json!({"metadata": {"annotations": {"miniku.dev/start-retries": "3"}}});
    world.create("a", "Never", &[("c", "none", "run"), ("d", "busybox", "run")], limited);
    world.run(2);
    let status = &world.pod("a").unwrap().status;
    let due = status.next_retry_at.unwrap().wall();
    assert_eq!((status.retry_count, due), (Some(2), Wall::from_secs(1_790_000_000 + 4)));
    // A restart keeps the count.
    world.restart();
    world.run(60);
    let pod = world.pod("a").unwrap().clone();
    let starts: Vec<&str> = world.commands.iter().map(String::as_str).collect();
    assert_eq!(
        starts,
        ["1 run a", "2 start a/c.0", "3 start a/c.0", "7 start a/c.0", "7 terminate a/d.0"],
        "the third at once, by the new kubelet"
    );
    assert_eq!((pod.status.retry_count, pod.status.next_retry_at), (Some(3), None));
    assert_eq!(
        (pod.status.reason.as_str(), world.shown("a").as_str()),
        ("ErrImagePull", "Failed c=ImagePullBackOff.0 d=ended(143).0")
    );
    assert!(pod.status.message.contains("no image \"none\""), "{}", pod.status.message);
    // Nothing of the failure is left on the node, but it is not forgotten.
    world.restart();
    world.run(10);
    assert_eq!(world.pod("a").unwrap().status, pod.status);
}

#[test]
fn unlimited_starts_back_off_as_image_pulls_do() {
    let mut world = World::running(0);
    world.create("a", "Always", &[("c", "flaky-3", "run")], json!({}));
    world.run(5);
    assert_eq!(world.shown("a"), "Pending c=ErrImagePull.0");
    world.run(10);
    assert_eq!(world.shown("a"), "Pending c=ImagePullBackOff.0");
    assert_eq!(world.pod("a").unwrap().status.retry_count, None);
    world.run(100);
    assert_eq!(world.shown("a"), "Running ready c=running.0");
    assert_eq!(world.take_commands(), "1 run a, 11 run a, 31 run a, 71 run a");
    // Neither a stopped clock nor one that is set back makes the next try come sooner, or never.
    world.create("b", "Always", &[("c", "none", "run")], json!({}));
    world.run(1);
    world.now.wall = Wall::from_secs(0);
    world.run(15);
    assert_eq!(world.take_commands(), "116 run b, 126 run b");
}

#[test]
fn a_doubled_report_of_a_failure_is_one_failure() {
    let mut world = World::running(0);
    let limited = json!({"metadata": {"annotations": {"miniku.dev/start-retries": "3"}}});
    let uid = world.create("a", "Never", &[("c", "none", "run")], limited);
    world.run_for(Duration::from_millis(500));
    let state = ContainerState::NotStarted {
        reason: crate::kubelet::runtime::StartError::ErrImagePull,
        message: "no image \"none\"".into(),
        at: world.now.wall,
    };
    let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "a".into() };
    for _ in 0..2 {
        world.hear(vec![Report::Container {
            pod: pod.clone(),
            container: "c".into(),
            attempt: 0,
            state: state.clone(),
        }]);
    }
    world.run_for(Duration::ZERO);
    assert_eq!(world.pod("a").unwrap().status.retry_count, Some(2), "one, and one of another time");
}

#[test]
fn failures_are_counted_while_the_clock_stands_still() {
    let mut world = World::running(0);
    world.clock_stands = true;
    let limited = json!({"metadata": {"annotations": {"miniku.dev/start-retries": "3"}}});
    world.create("a", "Never", &[("c", "none", "run")], limited);
    world.run(50);
    assert_eq!(world.take_commands(), "1 run a, 2 run a, 4 run a, 8 run a");
    let shown = world.shown("a");
    assert_eq!((shown.as_str(), world.pod("a").unwrap().status.retry_count), ("Failed c=ImagePullBackOff.0", Some(3)));
}

#[test]
fn a_failure_that_is_told_again_is_not_that_of_the_start_that_is_awaited() {
    let mut world = World::running(0);
    let half = Duration::from_millis(500);
    world.runtime.start_takes = half;
    let limited = json!({"metadata": {"annotations": {"miniku.dev/start-retries": "3"}}});
    let uid = world.create("a", "Never", &[("c", "none", "run")], limited);
    let retries = |world: &World| world.pod("a").unwrap().status.retry_count;
    world.run_for(Duration::ZERO);
    let state = ContainerState::NotStarted {
        reason: crate::kubelet::runtime::StartError::ErrImagePull,
        message: "no image \"none\"".into(),
        at: world.now.wall + half,
    };
    // It has failed once, and is started once more.
    world.run_for(Duration::from_millis(1_600));
    assert_eq!((retries(&world), world.take_commands().as_str()), (Some(1), "1 run a, 2 run a"));
    let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "a".into() };
    world.hear(vec![Report::Container { pod, container: "c".into(), attempt: 0, state }]);
    world.run_for(Duration::from_millis(100));
    assert_eq!(retries(&world), Some(1));
    world.run_for(half);
    assert_eq!(retries(&world), Some(2));
}

/// A kubelet that died may have written a last status, which its next life has not seen when it looks.
#[test]
fn failed_starts_of_a_former_life_are_counted_though_they_are_told_late() {
    let mut world = World::running(0);
    let limited = json!({"metadata": {"annotations": {"miniku.dev/start-retries": "9"}}});
    world.create("a", "Never", &[("c", "none", "run")], limited);
    world.run(2);
    assert_eq!(world.pod("a").unwrap().status.retry_count, Some(2));
    // It has seen the pod, and has not said anything yet.
    world.runtime.start_takes = Duration::from_millis(50);
    world.restart();
    world.take_writes();
    world.run_for(Duration::from_millis(10));
    assert_eq!(world.take_writes(), "");
    world.merge(Kind::Pod, "a", json!({"status": {"retryCount": 5}}), Part::Status);
    world.run(2);
    assert_eq!(world.pod("a").unwrap().status.retry_count, Some(6), "and one of its own");
}

// Restarts.

#[test]
fn restarts_slow_down_to_five_minutes() {
    let mut world = World::running(0);
    world.one("a", "Always", "exit 1 0");
    world.run(1200);
    let times: Vec<u64> =
        world.runtime.started.iter().map(|one| one.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(times, [1, 1, 11, 31, 71, 151, 311, 611, 911]);
    assert_eq!(world.shown("a"), "Running c=CrashLoopBackOff.8");
    let pod = world.pod("a").unwrap();
    assert_eq!(pod.status.container_statuses[0].last_state.terminated.as_ref().unwrap().exit_code, 1);
    assert!(world.told_about("a").contains("BackOff:7"), "{}", world.told_about("a"));
}

#[test]
fn ten_good_minutes_are_a_new_beginning() {
    let mut world = World::running(0);
    world.one("a", "Always", "exit 1 601");
    world.run(2000);
    let times: Vec<&str> = world.runtime.started.iter().map(|one| one.split(' ').next().unwrap()).collect();
    assert_eq!(times, ["1", "602", "1203", "1804"]);
}

#[test]
fn ten_good_minutes_count_though_nobody_knows_how_they_ended() {
    let mut world = World::running(0);
    world.one("a", "Always", "run");
    world.run(2);
    for _ in 0..3 {
        world.exit("a", 1);
        world.run(60);
    }
    world.run(600);
    assert_eq!(world.shown("a"), "Running ready c=running.3");
    world.lose_sandbox("a", false);
    world.run(5);
    assert_eq!(world.shown("a"), "Running ready c=running.4", "at once");
}

#[test]
fn policies_decide_who_is_restarted() {
    for (policy, code, want) in [
        ("Always", 0, "Running ready c=running.1"),
        ("Always", 1, "Running ready c=running.1"),
        ("OnFailure", 0, "Succeeded c=ended(0).0"),
        ("OnFailure", 1, "Running ready c=running.1"),
        ("Never", 0, "Succeeded c=ended(0).0"),
        ("Never", 1, "Failed c=ended(1).0"),
    ] {
        let mut world = World::running(0);
        world.one("a", policy, "run");
        world.run(2);
        world.exit("a", code);
        world.run(5);
        assert_eq!(world.shown("a"), want, "{policy} {code}");
        // However often the kubelet is restarted, what is finished stays so.
        world.restart();
        world.run(30);
        assert_eq!(world.shown("a"), want, "{policy} {code}");
    }
}

#[test]
fn containers_of_one_pod_have_lives_of_their_own() {
    let mut world = World::running(0);
    world.create(
        "a",
        "OnFailure",
        &[("c", "busybox", "exit 0 5"), ("d", "busybox", "exit 1 1"), ("e", "busybox", "run")],
        json!({}),
    );
    world.run(8);
    assert_eq!(world.shown("a"), "Running c=ended(0).0 d=CrashLoopBackOff.1 e=running.0");
    world.run(6);
    assert_eq!(world.shown("a"), "Running c=ended(0).0 d=CrashLoopBackOff.2 e=running.0");
    assert_eq!(world.take_commands(), "1 run a, 2 start a/d.1, 13 start a/d.2");
}

#[test]
fn a_pod_that_runs_nothing_more_starts_what_it_restarts_all_the_same() {
    let mut world = World::running(0);
    world.create("a", "Always", &[("c", "busybox", "exit 1 1"), ("d", "busybox", "exit 1 1")], json!({}));
    world.run(3);
    assert_eq!(world.shown("a"), "Running c=CrashLoopBackOff.1 d=CrashLoopBackOff.1");
    world.run(10);
    world.check_truth();
}

// Room.

/// A pod that asks for so much of a resource.
fn asks(resource: &str, amount: &str) -> serde_json::Value {
    let resources = json!({"requests": {resource: amount}});
    json!({"spec": {"containers": [{"name": "c", "image": "busybox", "command": ["run"], "resources": resources}]}})
}

#[test]
fn a_pod_without_room_is_refused_for_good() {
    for (resource, amount, reason, numbers) in [
        ("cpu", "1500m", "OutOfcpu", "cpu, requested: 1500, used: 1500, capacity: 2000"),
        ("memory", "600Mi", "OutOfmemory", "memory, requested: 629145600, used: 629145600, capacity: 1073741824"),
    ] {
        let mut world = World::running(0);
        world.create("a", "Never", &[], asks(resource, amount));
        world.run(1);
        world.create("b", "Always", &[], asks(resource, amount));
        world.create("none", "Always", &[("c", "busybox", "run")], json!({}));
        world.run(2);
        assert_eq!([world.shown("a"), world.shown("b")], ["Running ready c=running.0", "Failed"]);
        assert_eq!(world.shown("none"), "Running ready c=running.0");
        let status = world.pod("b").unwrap().status.clone();
        let message = format!("Pod was rejected: Node didn't have enough resource: {numbers}");
        assert_eq!((status.reason.as_str(), status.message.as_str()), (reason, message.as_str()));
        assert_eq!(world.told_about("b"), format!("{reason}:1"));
        assert_eq!(world.take_commands(), "1 run a, 2 run none");
        // The same is told by another kubelet, and by then there might be room.
        world.exit("a", 0);
        world.restart();
        world.run(2);
        assert_eq!(world.pod("b").unwrap().status, status);
        // What has ended takes up nothing, though it is still there.
        assert_eq!(world.shown("a"), "Succeeded c=ended(0).0");
        world.create("d", "Always", &[], asks(resource, amount));
        world.run(2);
        assert_eq!(world.shown("d"), "Running ready c=running.0");
        world.check_truth();
    }
}

#[test]
fn what_has_begun_is_never_refused_and_what_goes_counts_until_it_has_ended() {
    let mut world = World::running(0);
    let mut deaf = asks("cpu", "2");
    deaf["spec"]["containers"][0]["command"] = json!(["deaf"]);
    world.create("a", "Always", &[], deaf);
    world.run(2);
    for _ in 0..3 {
        world.restart();
        world.run(2);
        assert_eq!(world.shown("a"), "Running ready c=running.0");
    }
    world.delete("a", Some(5));
    world.run(1);
    world.create("b", "Always", &[], asks("cpu", "2"));
    world.run(7);
    assert_eq!([world.shown("a"), world.shown("b")], ["gone", "Failed"]);
    world.create("c", "Always", &[], asks("cpu", "2"));
    world.run(2);
    assert_eq!(world.shown("c"), "Running ready c=running.0");
}

#[test]
fn of_pods_that_come_at_once_as_many_are_taken_as_there_is_room_for() {
    let mut world = World::running(0);
    for name in ["a", "b", "c"] {
        world.create(name, "Always", &[], asks("cpu", "1"));
    }
    world.run(2);
    let phases: Vec<String> = world.pods().iter().map(|pod| pod.status.phase.to_string()).collect();
    assert_eq!(phases.iter().filter(|phase| *phase == "Running").count(), 2, "{phases:?}");
    assert_eq!(phases.iter().filter(|phase| *phase == "Failed").count(), 1, "{phases:?}");
}

// Images.

/// From which images a pod's containers are told to have been started.
fn images(world: &World, name: &str) -> String {
    let statuses = &world.pod(name).unwrap().status.container_statuses;
    statuses.iter().map(|one| one.image.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn another_image_is_started_in_place_of_what_runs_whatever_the_policy() {
    for (seed, policy) in SEEDS.flat_map(|seed| ["Always", "OnFailure", "Never"].map(|policy| (seed, policy))) {
        let mut world = World::running(seed);
        world.create("a", policy, &[("c", "busybox", "run"), ("d", "busybox", "run")], json!({}));
        world.one("b", policy, "run");
        world.run(2);
        world.take_commands();
        world.set_image("a", "alpine");
        world.set_image("b", "alpine");
        world.run(1);
        assert_eq!(world.shown("a"), "Running ready c=running.1 d=running.0");
        assert_eq!(world.shown("b"), "Running ready c=running.1");
        assert_eq!([images(&world, "a"), images(&world, "b")], ["alpine busybox", "alpine"]);
        let last = world.pod("a").unwrap().status.container_statuses[0].last_state.terminated.clone();
        assert_eq!(last.map(|last| last.exit_code), Some(143));
        assert!(world.told_about("a").contains("Killing:1"), "{}", world.told_about("a"));
        let commands = world.take_commands();
        let mut commands: Vec<&str> = commands.split(", ").map(|line| line.split_once(' ').unwrap().1).collect();
        commands.sort_unstable();
        assert_eq!(commands, ["run b", "start a/c.1", "terminate a/c.0", "terminate b/c.0"]);
        world.check_truth();
        world.restart();
        world.run(5);
        assert_eq!(world.take_commands(), "");
    }
}

#[test]
fn who_is_replaced_has_its_grace_and_is_told_of_until_it_ends() {
    let mut world = World::running(0);
    let grace = json!({"spec": {"terminationGracePeriodSeconds": 10}});
    world.create("a", "Never", &[("c", "busybox", "deaf")], grace);
    world.run(2);
    world.take_commands();
    world.set_image("a", "alpine");
    world.run(5);
    assert_eq!([world.shown("a"), images(&world, "a")], ["Running ready c=running.0", "busybox"]);
    // It was told to end, which cannot be taken back.
    world.set_image("a", "busybox");
    world.run(6);
    assert_eq!(world.shown("a"), "Running ready c=running.1");
    assert_eq!(world.take_commands(), "3 terminate a/c.0, 13 kill a/c.0, 13 run a");
    // Another kubelet finds out from which image it was started.
    world.set_image("a", "alpine");
    world.restart();
    world.run(12);
    assert_eq!([world.shown("a"), images(&world, "a")], ["Running ready c=running.2", "alpine"]);
    world.check_truth();
}

#[test]
fn who_is_deleted_while_it_is_replaced_is_not_started_again() {
    for policy in ["Always", "Never"] {
        let mut world = World::running(0);
        world.one("a", policy, "deaf");
        world.run(2);
        world.set_image("a", "alpine");
        world.run(1);
        world.delete("a", Some(2));
        world.run(5);
        assert_eq!(world.shown("a"), "gone");
        assert_eq!(world.runtime.started.len(), 1, "{:?}", world.runtime.started);
    }
}

// Deletion.

#[test]
fn deletion_is_sigterm_then_removal_of_what_is_left_then_of_the_record() {
    for seed in SEEDS {
        let mut world = World::running(seed);
        world.one("a", "Always", "run");
        world.run(2);
        world.take_commands();
        world.take_writes();
        world.delete("a", None);
        world.run(1);
        assert_eq!(world.take_commands(), "3 terminate a/c.0, 3 remove a");
        assert_eq!(world.take_writes(), "status a Failed, delete a");
        assert_eq!((world.shown("a"), world.runtime.remains()), ("gone".into(), String::new()));
        world.run(100);
        assert_eq!(world.take_commands(), "");
    }
}

#[test]
fn who_does_not_heed_sigterm_is_killed_after_the_grace_period() {
    let mut world = World::running(0);
    world.one("a", "Always", "deaf");
    world.run(2);
    world.take_commands();
    world.delete("a", None);
    world.run(29);
    assert_eq!(world.shown("a"), "Running ready deleting c=running.0");
    world.run(2);
    assert_eq!(world.take_commands(), "3 terminate a/c.0, 33 kill a/c.0, 33 remove a");
    assert_eq!(world.shown("a"), "gone");
}

#[test]
fn a_deletion_can_be_shortened_and_forced() {
    let mut world = World::running(0);
    for name in ["a", "b", "c", "d"] {
        world.one(name, "Always", "deaf");
    }
    world.run(2);
    world.take_commands();
    world.delete("a", None);
    world.delete("b", None);
    world.delete("d", Some(1));
    world.run(10);
    world.delete("a", Some(5));
    world.delete("b", Some(25));
    world.run(10);
    // Even force leaves two seconds: from now on, and not from an earlier and longer deletion.
    world.delete("b", Some(0));
    world.delete("c", Some(0));
    assert_eq!(world.shown("b"), "gone");
    world.run(10);
    let of = |name: &str| {
        let commands = world.commands.iter().filter(|line| line.contains(&format!(" {name}")));
        commands.cloned().collect::<Vec<_>>().join(", ")
    };
    assert_eq!(of("a"), "3 terminate a/c.0, 18 kill a/c.0, 18 remove a");
    assert_eq!(of("b"), "3 terminate b/c.0, 25 kill b/c.0, 25 remove b");
    assert_eq!(of("c"), "23 terminate c/c.0, 25 kill c/c.0, 25 remove c");
    assert_eq!(of("d"), "3 terminate d/c.0, 5 kill d/c.0, 5 remove d");
    world.check_truth();
}

#[test]
fn a_pod_deleted_before_it_starts_is_not_started() {
    let mut world = World::running(0);
    world.disconnect();
    world.one("a", "Always", "run");
    world.delete("a", None);
    world.restart();
    world.connect();
    world.run(1);
    assert_eq!((world.shown("a").as_str(), world.take_commands().as_str()), ("gone", ""));
    // While it starts, it is stopped as soon as it runs.
    world.runtime.start_takes = Duration::from_secs(3);
    world.one("b", "Always", "run");
    world.run(1);
    world.delete("b", None);
    world.run(5);
    assert_eq!(
        (world.shown("b").as_str(), world.take_commands().as_str()),
        ("gone", "2 run b, 5 terminate b/c.0, 5 remove b")
    );
}

#[test]
fn a_finalizer_keeps_the_record_and_is_not_argued_with() {
    let mut world = World::running(0);
    world.create("a", "Always", &[("c", "busybox", "run")], json!({"metadata": {"finalizers": ["x/y"]}}));
    world.run(2);
    world.take_writes();
    world.delete("a", None);
    world.run(100);
    assert_eq!(world.take_writes(), "status a Failed, delete a");
    assert_eq!((world.shown("a").as_str(), world.runtime.remains().as_str()), ("Failed deleting c=ended(143).0", ""));
    world.merge(Kind::Pod, "a", json!({"metadata": {"finalizers": []}}), Part::Main);
    world.run(1);
    assert_eq!((world.shown("a").as_str(), world.take_writes().as_str()), ("gone", ""));
}

#[test]
fn what_could_not_be_told_before_keeps_no_end_from_being_told() {
    let mut world = World::running(0);
    world.one("a", "Always", "run");
    world.run(2);
    world.disconnect();
    world.delete("a", None);
    world.exit("a", 1);
    world.run(40);
    assert!(world.take_writes().matches("status a").count() > 4);
    world.connect();
    world.run(60);
    let writes = world.take_writes();
    assert!(writes.ends_with("status a Failed, delete a"), "{writes}");
    assert_eq!(world.shown("a"), "gone");
}

#[test]
fn a_late_view_is_waited_for() {
    let mut world = World::running(0);
    world.one("a", "Never", "run");
    world.one("b", "Never", "run");
    world.run(2);
    world.delete("a", None);
    world.run_for(Duration::ZERO);
    world.take_writes();
    world.one("c", "Never", "run");
    world.run(2);
    // The removal of the records is answered, but not shown.
    world.delete("c", None);
    world.run_for(Duration::ZERO);
    world.take_writes();
    world.deaf = true;
    world.delete("b", Some(0));
    world.exit("b", 1);
    world.run(25);
    let tries = world.take_writes();
    assert!(tries.matches("status b").count() < 14, "{tries}");
    assert_eq!(world.runtime.living(), "");
    world.deaf = false;
    world.run(1);
    world.check_truth();
}

#[test]
fn a_removal_that_fails_is_tried_again_without_haste() {
    let mut world = World::running(0);
    world.one("a", "Never", "run");
    world.run(2);
    world.runtime.removal_fails = true;
    world.delete("a", None);
    world.run(50);
    let tries = world.commands.iter().filter(|line| line.contains("remove")).count();
    assert!((8..=20).contains(&tries), "{tries}");
    world.runtime.removal_fails = false;
    world.run(60);
    assert_eq!((world.shown("a").as_str(), world.runtime.remains().as_str()), ("gone", ""));
}

// Restarts of the kubelet, and pods that come and go meanwhile.

#[test]
fn a_restarted_kubelet_finds_itself_where_it_was() {
    for seed in SEEDS {
        let mut world = World::running(seed);
        for (name, policy) in [("runs", "Always"), ("ended", "Never"), ("again", "Always"), ("gone", "Always")] {
            world.one(name, policy, "run");
        }
        world.create("both", "Never", &[("c", "busybox", "run"), ("d", "busybox", "run")], json!({}));
        world.run(2);
        // Restarted before, so that the stored count is the number of what runs.
        world.exit("runs", 1);
        world.run(5);
        assert_eq!(world.shown("runs"), "Running ready c=running.1");
        world.take_commands();
        world.restart();
        world.exit("ended", 3);
        world.exit("again", 3);
        world.lose_sandbox("gone", true);
        world.lose_sandbox("both", false);
        world.delete("again", Some(5));
        world.one("new", "Always", "run");
        world.restart();
        world.run(5);
        assert_eq!(world.shown("runs"), "Running ready c=running.1");
        assert_eq!(world.shown("ended"), "Failed c=ended(3).0");
        assert_eq!(world.shown("again"), "gone");
        assert_eq!(world.shown("gone"), "Running ready c=running.1");
        assert_eq!(world.shown("both"), "Failed c=ended(137).0 d=ended(137).0");
        assert_eq!(world.shown("new"), "Running ready c=running.0");
        let mut commands: Vec<&str> = world.commands.iter().map(|line| line.split_once(' ').unwrap().1).collect();
        commands.sort_unstable();
        assert_eq!(commands, ["remove again", "remove gone", "run gone", "run new"]);
        world.check_truth();
    }
}

#[test]
fn what_runs_without_a_pod_is_stopped_and_removed() {
    let mut world = World::running(0);
    world.one("a", "Always", "run");
    world.one("b", "Always", "deaf");
    world.run(2);
    world.take_commands();
    world.disconnect();
    world.delete("a", Some(0));
    world.delete("b", Some(0));
    world.restart();
    world.run(10);
    assert_eq!(world.take_commands(), "", "nothing is concluded from an API server that is away");
    world.connect();
    world.run(30);
    assert_eq!(world.runtime.remains(), "");
    let commands = world.take_commands();
    assert!(commands.contains("terminate a/c.0") && commands.contains("terminate b/c.0"), "{commands}");
    let at = |what: &str| {
        let found = commands.split(", ").find(|line| line.ends_with(what)).unwrap();
        found.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(at("kill b/c.0") - at("terminate b/c.0"), 10);
}

#[test]
fn the_same_name_again_is_another_pod() {
    let mut world = World::running(0);
    world.one("a", "Always", "deaf");
    world.run(2);
    world.delete("a", Some(0));
    world.one("a", "Always", "run");
    world.run(1);
    assert_eq!(world.runtime.living(), "a/c.0 a/c.0", "the one is still being stopped");
    world.run(3);
    assert_eq!((world.runtime.living().as_str(), world.shown("a").as_str()), ("a/c.0", "Running ready c=running.0"));
    // What is said of the former one is not written to the latter.
    world.deaf = true;
    world.delete("a", Some(0));
    world.one("a", "Always", "run");
    world.exit("a", 9);
    world.run(5);
    assert_eq!(world.shown("a"), "Pending");
    world.deaf = false;
    world.run(5);
    assert_eq!(world.shown("a"), "Running ready c=running.0");
    world.check_truth();
}

#[test]
fn a_reboot_restarts_what_is_to_be_restarted() {
    let mut world = World::running(0);
    world.one("a", "Always", "run");
    world.one("b", "Never", "run");
    world.create("c", "OnFailure", &[("c", "busybox", "exit 0 1"), ("d", "busybox", "run")], json!({}));
    world.run(5);
    world.reboot();
    world.run(5);
    assert_eq!(world.shown("a"), "Running ready c=running.1");
    assert_eq!(world.shown("b"), "Failed c=ended(137).0");
    assert_eq!(world.shown("c"), "Running c=ended(0).0 d=running.1");
    world.check_truth();
}

#[test]
fn what_ended_in_a_former_sandbox_stays_ended() {
    let mut world = World::running(0);
    world.create("a", "Never", &[("c", "busybox", "run"), ("d", "none", "run")], json!({}));
    world.run(5);
    world.reboot();
    world.run(30);
    assert_eq!((world.runtime.living().as_str(), world.runtime.remains().as_str()), ("", "a"));
    // Only the stored status tells of it now.
    world.restart();
    world.run(30);
    assert_eq!(world.runtime.living(), "");
    assert!(world.shown("a").contains("c=ended(137).0"), "{}", world.shown("a"));
}

#[test]
fn a_lost_sandbox_is_made_anew() {
    for (seed, recorded) in SEEDS.flat_map(|seed| [(seed, true), (seed, false)]) {
        let mut world = World::running(seed);
        world.create("a", "Always", &[("c", "busybox", "run"), ("d", "busybox", "run")], json!({}));
        world.one("b", "Never", "run");
        world.run(3);
        world.take_commands();
        world.lose_sandbox("a", recorded);
        world.lose_sandbox("b", recorded);
        world.run(3);
        assert_eq!(world.shown("a"), "Running ready c=running.1 d=running.1");
        assert_eq!(world.shown("b"), "Failed c=ended(137).0");
        let ip = |name: &str| world.pod(name).unwrap().status.pod_ip.clone();
        let former: Vec<&str> = ["10.1.0.1", "10.1.0.2"].into();
        assert!(!former.contains(&&*ip("a")) && former.contains(&&*ip("b")), "{} {}", ip("a"), ip("b"));
        let commands = world.take_commands();
        // Ends that are told before the sandbox's may be answered by starts that come to nothing.
        assert!(commands.ends_with("4 remove a, 4 run a") && commands.matches("remove").count() == 1, "{commands}");
        world.delete("b", None);
        world.run(1);
        world.check_truth();
    }
}

#[test]
fn a_start_in_a_sandbox_that_has_died_waits_for_a_new_one() {
    // The news of its death are late, or there is nothing left of it at all.
    for missing in [false, true] {
        let mut world = World::running(0);
        let uid = world.create("a", "Always", &[("c", "busybox", "exit 1 1"), ("d", "busybox", "run")], json!({}));
        world.run(5);
        assert_eq!(world.shown("a"), "Running c=CrashLoopBackOff.1 d=running.0");
        if missing {
            world.runtime.forget(&uid);
        } else {
            world.runtime.kill_in_silence("a");
        }
        world.take_commands();
        world.run(10);
        assert_eq!(world.take_commands(), "13 start a/c.2, 13 remove a, 13 run a", "{missing}");
        world.check_truth();
        assert!(world.shown("a").ends_with("d=running.1"), "{}", world.shown("a"));
    }
}

#[test]
fn a_sandbox_that_always_ends_is_made_anew_without_haste() {
    let mut world = World::running(0);
    world.runtime.sandboxes_die = true;
    world.one("a", "Never", "run");
    world.run(60);
    let tries = world.commands.iter().filter(|line| line.contains("run a")).count();
    assert!((8..=20).contains(&tries), "{tries}");
    world.runtime.sandboxes_die = false;
    world.run(60);
    assert_eq!(world.shown("a"), "Running ready c=running.0");
}

#[test]
fn how_it_ended_may_turn_up_late() {
    let mut world = World::running(0);
    let uid = world.one("a", "OnFailure", "run");
    world.run(2);
    let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "a".into() };
    world.runtime.kill_in_silence("a");
    let state = world.runtime.ended_well(&pod.uid);
    world.hear(vec![
        Report::SandboxGone { pod: pod.clone() },
        Report::Container { pod, container: "c".into(), attempt: 0, state },
    ]);
    world.run(30);
    // Known to have ended well or restarted before that was known: either is right, but only once.
    let shown = world.shown("a");
    assert!(["Succeeded c=ended(0).0", "Running ready c=running.1"].contains(&shown.as_str()), "{shown}");
    world.check_truth();
}

#[test]
fn an_unasked_start_is_stopped() {
    let mut world = World::running(0);
    let uid = world.one("a", "Always", "run");
    world.run(2);
    world.delete("a", Some(0));
    world.run(3);
    assert_eq!(world.runtime.remains(), "");
    // A command of a former life of the kubelet is carried out late.
    world.runtime.resurrect(&uid, "a");
    let pod = PodRef { uid: uid.as_str().into(), namespace: "default".into(), name: "a".into() };
    let state = world.runtime.state(&uid);
    world.hear(vec![Report::Container { pod, container: "c".into(), attempt: 0, state }]);
    world.run(15);
    assert_eq!(world.runtime.remains(), "");
}

#[test]
fn a_late_word_of_what_is_removed_is_not_fought_for_ever() {
    let mut world = World::running(0);
    let uid = world.one("a", "Always", "run");
    world.run(2);
    let state = world.runtime.state(&uid);
    world.delete("a", Some(0));
    world.run(3);
    assert_eq!(world.runtime.remains(), "");
    world.take_commands();
    // A runtime that is to end what is not there says so.
    let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "a".into() };
    world.hear(vec![Report::Container { pod, container: "c".into(), attempt: 0, state }]);
    world.run(90);
    assert_eq!(world.take_commands(), "6 terminate a/c.0, 6 remove a");
}

// The API server goes away, or answers late.

#[test]
fn without_an_api_server_all_goes_on_and_is_told_later() {
    let mut world = World::running(0);
    world.one("a", "Always", "run");
    world.one("b", "Never", "run");
    world.one("c", "Always", "deaf");
    world.run(2);
    world.delete("c", None);
    world.run(10);
    world.disconnect();
    world.take_commands();
    world.run(10);
    world.exit("b", 0);
    world.exit("a", 1);
    world.run(300);
    // Restarts and the end of a grace period do not wait for anybody to hear of them.
    assert_eq!(world.take_commands(), "23 run a, 33 kill c/c.0, 33 remove c");
    let before = world.writes.len();
    world.run(300);
    assert!(world.writes.len() - before < 30, "{} writes", world.writes.len() - before);
    world.connect();
    world.run(70);
    assert_eq!(world.all(), "a: Running ready c=running.1; b: Succeeded c=ended(0).0");
    assert_eq!(world.take_commands(), "");
    world.check_truth();
}

#[test]
fn a_status_is_written_on_what_others_wrote() {
    let mut world = World::running(0);
    world.one("a", "Never", "run");
    world.run(2);
    // Not seen yet when the status is written: a conflict.
    world.deaf = true;
    let gate = json!({"status": {"conditions": [{"type": "example.com/gate", "status": "True"}]}, "metadata": {}});
    world.merge(Kind::Pod, "a", json!({"metadata": {"labels": {"x": "y"}}}), Part::Main);
    world.merge(Kind::Pod, "a", gate, Part::Status);
    world.exit("a", 0);
    world.run(1);
    world.deaf = false;
    world.run(30);
    let pod = world.pod("a").unwrap();
    assert_eq!((pod.metadata.labels["x"].as_str(), world.shown("a").as_str()), ("y", "Succeeded c=ended(0).0"));
    assert!(pod.status.conditions.iter().any(|one| one.kind == "example.com/gate"), "what others say stays");
}

#[test]
fn a_pod_that_others_fail_is_stopped() {
    let mut world = World::running(0);
    world.one("a", "Always", "run");
    world.run(2);
    world.take_commands();
    world.merge(
        Kind::Pod,
        "a",
        json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "why"}}),
        Part::Status,
    );
    world.run(5);
    assert_eq!(
        (world.take_commands().as_str(), world.shown("a").as_str()),
        ("3 terminate a/c.0", "Failed c=ended(143).0")
    );
    assert_eq!(world.pod("a").unwrap().status.reason, "Evicted");
}

#[test]
fn what_others_said_first_of_its_end_stays() {
    let mut world = World::running(0);
    world.one("a", "Never", "run");
    world.run(2);
    // It has ended well before it hears what others say.
    world.deaf = true;
    world.merge(Kind::Pod, "a", json!({"status": {"phase": "Failed", "reason": "NodeLost"}}), Part::Status);
    world.exit("a", 0);
    world.run(1);
    world.deaf = false;
    world.run(60);
    assert_eq!(world.shown("a"), "Failed c=ended(0).0");
}

#[test]
fn a_finished_pod_is_not_told_anew_by_a_kubelet_that_knows_less() {
    let mut world = World::running(0);
    let uid = world.one("a", "Never", "exit 7 1");
    world.run(5);
    let before = world.pod("a").unwrap().status.clone();
    world.runtime.forget(&uid);
    world.restart();
    world.take_writes();
    world.run(5);
    assert_eq!(world.take_writes(), "");
    assert_eq!(world.pod("a").unwrap().status, before);
    // One that was last told to run has ended, nobody knows how.
    let uid = world.one("b", "Never", "run");
    world.run(2);
    world.runtime.forget(&uid);
    world.restart();
    world.run(5);
    assert_eq!(world.shown("b"), "Failed c=ended(137).0");
}

#[test]
fn memory_does_not_grow_with_what_has_been() {
    let mut world = World::running(0);
    for nth in 0..50 {
        let name = format!("a{nth}");
        world.one(&name, "Always", "run");
        world.run(1);
        world.delete(&name, None);
        world.run(1);
    }
    world.run(100);
    assert_eq!(world.kubelet.workers(), 0);
}

// Faults, one by one and at random.

/// A day in the life of a node, and how it must end.
fn day(world: &mut World) {
    world.one("runs", "Always", "run");
    world.create("two", "OnFailure", &[("c", "busybox", "exit 0 3"), ("d", "busybox", "run")], json!({}));
    world.one("crashes", "OnFailure", "run");
    world.one("once", "Never", "exit 4 5");
    world.one("leaves", "Always", "deaf");
    world.create("flaky", "Always", &[("c", "flaky-1", "run")], json!({}));
    world.run(10);
    if world.runtime.living().contains("crashes/c.0") {
        world.exit("crashes", 1);
    }
    world.delete("leaves", Some(3));
    world.run(5);
    world.delete("once", None);
    world.run(5);
}

#[test]
fn any_one_effect_may_be_lost() {
    let mut whole = World::running(3);
    let before = whole.effects;
    day(&mut whole);
    let effects = whole.effects - before;
    assert!(effects > 30, "{effects}");
    for (nth, loss) in (0..effects).flat_map(|nth| [Loss::Before, Loss::After, Loss::Silent].map(|loss| (nth, loss))) {
        let mut world = World::running(3);
        world.lose = Some((nth, loss));
        day(&mut world);
        world.run(200);
        let want =
            "flaky: Running ready c=running.0; runs: Running ready c=running.0; two: Running c=ended(0).0 d=running.0";
        let all = world.all();
        let (crashes, rest): (Vec<&str>, Vec<&str>) = all.split("; ").partition(|one| one.starts_with("crashes"));
        assert_eq!(rest.join("; "), want, "effect {nth}, {loss:?}");
        assert!(crashes[0].starts_with("crashes: Running ready"), "{crashes:?}, effect {nth}, {loss:?}");
        world.check_truth();
    }
}

#[test]
fn whatever_happens_in_the_end_the_status_is_the_truth() {
    property("the status is the truth in the end, and then nothing happens", |random: &mut Gen| {
        let seed = u64::arbitrary(random);
        let mut world = World::running(seed);
        let draw = Draw::new(seed).key("operator");
        world.runtime.start_takes = Duration::from_millis(draw.key("start").below(3) * 700);
        world.lost_percent = draw.key("lost").below(3) * 10;
        let containers = ["run", "deaf", "exit 0 2", "exit 1 40", "run"];
        let policies = ["Always", "OnFailure", "Never"];
        for nth in 0..40 {
            let draw = draw.count(nth);
            let name = ["a", "b", "c"][draw.key("name").below(3) as usize];
            let exists = world.pod(name).is_some();
            match draw.key("what").below(12) {
                0..=3 if !exists => {
                    let command = containers[draw.key("command").below(5) as usize];
                    let image = ["busybox", "busybox", "flaky-2"][draw.key("image").below(3) as usize];
                    let policy = policies[draw.key("policy").below(3) as usize];
                    world.create(name, policy, &[("c", image, command), ("d", "busybox", "run")], json!({}));
                }
                0..=3 if exists => world.delete(name, [None, Some(0), Some(4)][draw.key("grace").below(3) as usize]),
                4 => world.restart(),
                5 => world.disconnect(),
                6 => world.connect(),
                7 => world.deaf = !world.deaf,
                8 => world.answers_are_late = !world.answers_are_late,
                9 if exists && world.runtime.is_there(name) => {
                    world.lose_sandbox(name, draw.key("recorded").chance(1, 2))
                }
                10 if draw.key("reboot").chance(1, 4) => world.reboot(),
                _ => {}
            }
            world.run_for(Duration::from_millis(draw.key("pause").below(8000)));
        }
        world.connect();
        (world.deaf, world.answers_are_late, world.lost_percent) = (false, false, 0);
        world.run(400);
        world.check_truth();
        for pod in world.pods() {
            assert!(!pod.metadata.is_deleting(), "{}", world.all());
        }
        let quiet = !world.all().contains("CrashLoop") && !world.all().contains("BackOff");
        world.take_commands();
        world.take_writes();
        let restarts = world.runtime.started.len();
        world.run(700);
        if quiet && world.runtime.started.len() == restarts {
            assert_eq!((world.take_commands().as_str(), world.take_writes().as_str()), ("", ""));
        }
        world.check_truth();
    });
}
