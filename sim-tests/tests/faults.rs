//! Each fault does what it says: what it hurts is seen to be hurt, and to be whole again.

use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::time::{Duration, Instant};
use miniku_sim::scenario::Scenario;
use miniku_sim::trace::{Entry, Mode, What};
use miniku_sim::world::World;

/// Two nodes with four pods, and these further lines of a timeline.
fn scenario(timeline: &str) -> Scenario {
    let text = format!(
        "
name: one-fault
cluster: {{nodes: 2}}
timeline:
- at: 1s
  create:
    kind: ReplicaSet
    metadata: {{name: web}}
    spec:
      replicas: 4
      selector: {{matchLabels: {{app: web}}}}
      template:
        metadata: {{labels: {{app: web}}}}
        spec: {{terminationGracePeriodSeconds: 5, containers: [{{name: main, image: busybox}}]}}
{timeline}
"
    );
    let scenario = Scenario::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(Scenario::read(&scenario.text()).unwrap(), scenario, "it is written as it is read");
    scenario
}

/// A whole run, which must end well.
fn run(timeline: &str) -> World {
    let world = scenario(timeline).trace(1, Mode::Full);
    assert_eq!(world.violation(), None, "{timeline}\n{}", world.trace().story());
    world
}

/// The lines of a run that hold a word, each with its second.
fn lines(world: &World, who: &str, word: &str) -> Vec<(u64, String)> {
    let of = |entry: &Entry| Some((entry.at.nanos() / 1_000_000_000, entry.line()?));
    world.trace().entries().filter_map(of).filter(|(_, line)| line.contains(who) && line.contains(word)).collect()
}

/// In which seconds such lines are.
fn seconds(world: &World, who: &str, word: &str) -> Vec<u64> {
    lines(world, who, word).into_iter().map(|(at, _)| at).collect()
}

fn between(world: &World, who: &str, word: &str, from: u64, to: u64) -> usize {
    seconds(world, who, word).into_iter().filter(|at| (from..to).contains(at)).count()
}

/// A run stopped at a second.
fn at(timeline: &str, secs: u64) -> World {
    let story = scenario(timeline).story(1);
    let mut world = story.cluster.trace(Mode::Full).begin(&story.plan);
    world.run_until(Instant::default() + Duration::from_secs(secs));
    assert_eq!(world.violation(), None, "{timeline}");
    world
}

fn ready(world: &World, node: &str) -> bool {
    world.truth().node(node).is_some_and(Node::is_ready)
}

#[test]
fn every_fault_that_lasts_is_told_to_begin_and_to_end() {
    let lasting = [
        "freeze: {actor: scheduler, lasts: 5s}",
        "freeze: {actor: apiserver, lasts: 5s}",
        "slow: {actor: kubelet/node-1, delay: {min: 100ms, mean: 50ms}, lasts: 5s}",
        "intruder: {actor: workloads, share: 1/2, lasts: 5s}",
        "twin: {actor: garbage, lasts: 5s}",
        "nodeFreeze: {node: node-1, lasts: 5s}",
        "runtime: {node: node-1, trouble: noImages, lasts: 5s}",
        "runtime: {node: node-1, trouble: ignoresTerm, lasts: 5s}",
        "runtime: {node: node-1, trouble: diskFull, lasts: 5s}",
        "runtime: {node: node-1, trouble: staleLists, lasts: 5s}",
        "runtime: {node: node-1, trouble: {timesOut: 1/2}, lasts: 5s}",
        "runtime: {node: node-1, trouble: {slow: {min: 1s, mean: 1s}}, lasts: 5s}",
        "link: {actor: all nodes, weather: {clogged: true}, lasts: 5s}",
        "link: {actor: all controllers, weather: {stalled: true}, lasts: 5s}",
        "link: {actor: a random half, weather: {requestsDoubled: 1/2}, lasts: 5s}",
        "link: {actor: everybody, weather: {spikes: {share: 1/10, by: {min: 1s, mean: 1s}}}, lasts: 5s}",
        "link: {actor: scheduler, weather: {repliesLost: 1/1, flaps: 500ms}, lasts: 5s}",
        "link: {actor: scheduler, weather: {consumer: {each: 100ms, buffer: 3}}, lasts: 5s}",
        "link: {actor: scheduler, weather: {noBookmarks: true, stale: {time: 5s}}, lasts: 5s}",
        "link: {actor: scheduler, weather: {stale: {revisions: 9}}, lasts: 5s}",
        "swizzle: {actor: everybody, lasts: 5s}",
        "overload: {share: 1/2, code: 429, lasts: 5s}",
        "slowDisk: {sync: {min: 100ms, mean: 100ms}, lasts: 5s}",
        "syncErrors: {share: 1/2, lasts: 5s}",
        "diskFull: {lasts: 5s}",
        "wallClock: {actor: kubelet/node-1, off: {behind: 1h}, lasts: 5s}",
        "wallClock: {actor: apiserver, off: {ahead: 24h}, lasts: 5s}",
        "wallClock: {actor: all nodes, off: still, lasts: 5s}",
        "drift: {actor: all nodes, perMille: -50, lasts: 5s}",
        "crashingContainers: {pod: web, every: 1s, lasts: 5s}",
    ];
    for fault in lasting {
        let world = run(&format!("- {{at: 10s, fault: {{{fault}}}}}"));
        let of = |begins: bool| {
            let is = |entry: &&Entry| match entry.what {
                What::Fault { .. } => begins,
                What::Heal { .. } => !begins,
                _ => false,
            };
            world.trace().entries().filter(is).map(|entry| entry.at.nanos() / 1_000_000_000).collect::<Vec<_>>()
        };
        assert_eq!((of(true), of(false)), (vec![10], vec![15]), "{fault}");
    }
}

#[test]
fn what_strikes_at_once_is_over_at_once() {
    for fault in [
        "apiServerCrash: {down: 2s, unsynced: {first: 1}}",
        "crash: {actor: all controllers, down: 2s}",
        "crashLoop: {actor: kubelet/node-1, times: 4, up: 0s, down: 500ms}",
        "crashLoop: {actor: apiserver, times: 4, up: 200ms, down: 500ms}",
        "message: {actor: scheduler, nth: 1, mishap: requestLost}",
        "message: {actor: kubelet/node-1, nth: 2, mishap: requestDoubled}",
        "message: {actor: kubelet/node-1, nth: 2, mishap: {requestLate: 10s}}",
        "message: {actor: kubelet/node-1, nth: 2, mishap: conflict}",
        "message: {actor: kubelet/node-1, nth: 2, mishap: replyLost}",
        "message: {actor: kubelet/node-1, nth: 2, mishap: {replyLate: 2s}}",
        "message: {actor: node-lifecycle, nth: 2, mishap: watchCut}",
        "message: {actor: node-lifecycle, nth: 1, mishap: {stale: 5}}",
        "reset: {actor: everybody}",
        "cutWatches: {actor: everybody}",
        "expireWatches: {actor: everybody}",
        "compact: {}",
        "outOfMemory: {pod: web}",
        "processesEnd: {pod: web, code: 3}",
    ] {
        run(&format!("- {{at: 10s, fault: {{{fault}}}}}\n- {{at: 11s, scale: {{replicaSet: web, replicas: 6}}}}"));
    }
}

#[test]
fn who_is_clogged_hears_everything_later() {
    let world = run("- {at: 10s, fault: {link: {actor: scheduler, weather: {clogged: true}, lasts: 5s}}}
- {at: 11s, scale: {replicaSet: web, replicas: 6}}");
    assert_eq!(between(&world, "scheduler#", "po/", 10, 15), 0);
    assert!(between(&world, "scheduler#", "+po/", 15, 16) >= 2);
    assert!(lines(&world, "scheduler#", "watch ended").is_empty(), "no watch has ended for it");
}

#[test]
fn half_a_partition_is_of_two_kinds() {
    // It hears of the new pods, and can do nothing about them.
    let mute = "- {at: 10s, fault: {link: {actor: scheduler, weather: {requestsLost: 1/1}, lasts: 5s}}}
- {at: 11s, scale: {replicaSet: web, replicas: 6}}";
    let world = run(mute);
    assert!(between(&world, "scheduler#", "+po/", 10, 15) >= 2);
    assert_eq!(between(&world, "apiserver#", " scheduler: ", 10, 15), 0);
    // What it asks is done, and it hears nothing of it.
    let world = at("- {at: 10s, fault: {link: {actor: kubelet/node-1, weather: {repliesLost: 1/1}, lasts: 40s}}}", 45);
    assert!(ready(&world, "node-1"), "its heartbeats arrive");
    assert!(!ready(
        &at("- {at: 10s, fault: {link: {actor: all nodes, weather: {requestsLost: 1/1}, lasts: 40s}}}", 45),
        "node-1"
    ));
}

#[test]
fn who_stands_still_does_nothing_and_then_everything() {
    let world = run("- {at: 10s, fault: {freeze: {actor: scheduler, lasts: 5s}}}
- {at: 11s, scale: {replicaSet: web, replicas: 6}}");
    assert_eq!(between(&world, "scheduler#", " ", 11, 15), 0);
    assert!(between(&world, "scheduler#", "+po/", 15, 16) >= 2);
    let world = at("- {at: 10s, fault: {nodeFreeze: {node: node-1, lasts: 40s}}}", 45);
    assert!(!ready(&world, "node-1") && ready(&world, "node-2"));
    let world = run("- {at: 10s, fault: {freeze: {actor: apiserver, lasts: 5s}}}");
    assert_eq!(between(&world, "apiserver#", " ", 11, 15), 0);
}

#[test]
fn what_comes_while_somebody_stands_still_keeps_its_order() {
    // What came before the second time is put off twice.
    let world = run("- {at: 10s, fault: {freeze: {actor: scheduler, lasts: 5s}}}
- {at: 11s, scale: {replicaSet: web, replicas: 6}}
- {at: 12s, fault: {freeze: {actor: scheduler, lasts: 8s}}}
- {at: 13s, scale: {replicaSet: web, replicas: 8}}");
    assert_eq!(between(&world, "scheduler#", " ", 13, 20), 0);
    let revision = |line: &str| line.split("sees +po/").nth(1)?.split('@').nth(1)?.split('(').next()?.parse().ok();
    let seen: Vec<u64> = lines(&world, "scheduler#", "+po/").iter().filter_map(|(_, line)| revision(line)).collect();
    assert!(seen.len() >= 8 && seen.is_sorted(), "{seen:?}");
}

#[test]
fn a_watch_that_is_too_old_is_followed_by_a_list_that_may_be_old() {
    let world = run("- {at: 10s, fault: {link: {actor: scheduler, weather: {stale: {revisions: 1000}}, lasts: 50s}}}
- {at: 11s, fault: {compact: {}}}");
    assert!(!lines(&world, "scheduler#", "or later").is_empty());
    let seen = world.seen().into_iter().find(|(name, _)| **name == *"scheduler").unwrap().1;
    assert!(seen.relists > 0 && seen.slack > 0, "{seen:?}");
    // What it is given is older than what there is, and never older than what it has seen.
    let old = lines(&world, "scheduler#", " items@").into_iter().filter(|(at, _)| (11..50).contains(at));
    let revision = |line: &str| line.split(" items@").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    let given: Vec<u64> = old.filter_map(|(_, line)| revision(&line)).collect();
    let asked = lines(&world, "scheduler#", "or later").into_iter();
    let least = |line: &str| line.split(" at ").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    let asked: Vec<u64> = asked.filter_map(|(_, line)| least(&line)).collect();
    let newest = world.truth().disk.revision().0;
    assert!(given.iter().all(|one| asked.contains(one) && *one < newest), "{given:?} {asked:?}");
}

#[test]
fn a_slow_consumer_is_dropped() {
    let world =
        run("- {at: 10s, fault: {link: {actor: scheduler, weather: {consumer: {each: 2s, buffer: 2}}, lasts: 30s}}}
- {at: 11s, scale: {replicaSet: web, replicas: 12}}");
    assert!(!seconds(&world, "scheduler#", "ended").is_empty());
}

#[test]
fn two_leaders_make_no_twins() {
    let world = run("- {at: 10s, fault: {twin: {actor: workloads, lasts: 30s}}}
- {at: 11s, scale: {replicaSet: web, replicas: 12}}");
    let twin = seconds(&world, "workloads/", "ask create");
    assert!(!twin.is_empty(), "the second has worked too");
    assert_eq!(world.truth().active("web").count(), 12);
}

#[test]
fn an_intruder_makes_conflicts() {
    let world = run("- {at: 1s, fault: {intruder: {actor: all nodes, share: 1/2, lasts: 10s}}}");
    let annotated = |object: &Object| object.meta().annotations.contains_key("intruder");
    let all = world.truth().disk.objects();
    assert!(all.values().any(annotated));
}

#[test]
fn memory_runs_out() {
    let world = at("- {at: 10s, fault: {outOfMemory: {pod: web}}}", 30);
    let killed = |pod: &Pod| {
        let last = pod.status.container_statuses.iter().filter_map(|one| one.last_state.terminated.as_ref());
        last.into_iter().any(|one| one.reason == "OOMKilled" && one.exit_code == 137)
    };
    assert_eq!(world.truth().all::<Pod>().filter(|pod| killed(pod)).count(), 1);
}

#[test]
fn a_node_without_room_starts_nothing_until_it_has_some() {
    for trouble in ["diskFull", "noImages"] {
        let timeline = format!(
            "- {{at: 10s, fault: {{runtime: {{node: node-1, trouble: {trouble}, lasts: 30s}}}}}}
- {{at: 11s, scale: {{replicaSet: web, replicas: 12}}}}"
        );
        let world = at(&timeline, 39);
        let on = |pod: &&Pod| pod.node() == Some("node-1") && !world.truth().really_runs(pod);
        assert!(world.truth().all::<Pod>().filter(on).count() >= 2, "{trouble}");
        run(&timeline);
    }
}

#[test]
fn clocks_are_wrong_by_themselves() {
    // The renewals of a node whose clock is behind are counted when they are heard.
    let world = at("- {at: 10s, fault: {wallClock: {actor: kubelet/node-1, off: {behind: 1h}, lasts: 60s}}}", 65);
    assert!(ready(&world, "node-1"));
    let beats = |per_mille: i32| {
        let drift =
            format!("- {{at: 10s, fault: {{drift: {{actor: kubelet/node-1, perMille: {per_mille}, lasts: 500s}}}}}}");
        let world = at(&drift, 500);
        world.seen().into_iter().find(|(name, _)| **name == *"kubelet/node-1").unwrap().1.requests
    };
    assert!(beats(500) > beats(0) && beats(0) > beats(-500));
}

#[test]
fn what_waits_for_an_occasion_strikes_right_then() {
    let world = run("- {at: 500ms, when: {written: {kind: Pod, nth: 3}}, fault: {crash: {actor: scheduler, down: 1s}}}
- {at: 1s, when: {output: {actor: workloads, nth: 5}}, scale: {replicaSet: web, replicas: 1}}
- {at: 1h, when: {event: {actor: scheduler, nth: 100000}}, delete: {kind: ReplicaSet, name: web}}");
    let entries: Vec<&Entry> = world.trace().entries().collect();
    let struck = entries.iter().position(|entry| matches!(entry.what, What::Fault { .. })).unwrap();
    let writes = entries[..struck]
        .iter()
        .filter(|entry| matches!(&entry.what, What::Write(change) if change.key.kind == Kind::Pod));
    let writes: Vec<_> = writes.map(|entry| entry.at).collect();
    // Writes of one batch become durable together.
    assert!(writes.len() >= 3 && writes[2..].iter().all(|at| *at == writes[2]), "{writes:?}");
    assert_eq!(world.truth().active("web").count(), 1, "who waits in vain does nothing");
}

#[test]
fn operators_mean_pods_whose_names_nobody_knows() {
    // A pod that is labelled away is replaced by another, and lives on.
    let world = run("- {at: 10s, relabel: {pod: web, labels: {app: other, tier: null}}}");
    assert_eq!((world.truth().active("web").count(), world.truth().all::<Pod>().count()), (4, 5));
    let other = |pod: &&Pod| pod.metadata.labels.get("app").is_some_and(|app| app == "other");
    assert_eq!(world.truth().all::<Pod>().filter(other).count(), 1);
    // One that is gone by force is replaced at once, whatever still runs.
    let evict = |grace: &str| run(&format!("- {{at: 10s, evict: {{pod: web{grace}}}}}"));
    assert_eq!(between(&evict(", graceSeconds: 0"), "operator#", "delete po/web", 10, 11), 1);
    evict("");
    // What others wrote is overwritten, and they write it again.
    let replace = "- at: 10s
  replace:
    kind: ReplicaSet
    metadata: {name: web}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {terminationGracePeriodSeconds: 5, containers: [{name: main, image: busybox}]}";
    assert_eq!(run(replace).truth().active("web").count(), 2);
}

#[test]
fn a_node_that_is_deleted_registers_again() {
    let world = run("- {at: 10s, delete: {kind: Node, name: node-1}}");
    assert!(ready(&world, "node-1"), "its machine lives");
}

#[test]
fn names_are_checked() {
    let check = |line: &str, want: &str| {
        let text = format!("name: x\ncluster: {{nodes: 1}}\ntimeline:\n- {{at: 1s, {line}}}\n");
        let error = Scenario::read(&text).unwrap_err().to_string();
        assert!(error.contains(want), "{line}: {error}");
    };
    check("fault: {freeze: {actor: nobody, lasts: 1s}}", "no program \"nobody\"");
    check("fault: {slow: {actor: apiserver, delay: {min: 1s, mean: 1s}, lasts: 1s}}", "no program \"apiserver\"");
    check("fault: {nodeFreeze: {node: node-2, lasts: 1s}}", "no node \"node-2\"");
    check("fault: {runtime: {node: node-2, trouble: noImages, lasts: 1s}}", "no node \"node-2\"");
    check("fault: {runtime: {node: node-1, trouble: sad, lasts: 1s}}", "sad");
    check("fault: {overload: {share: 1/2, code: 404, lasts: 1s}}", "404");
    check("when: {output: {actor: nobody, nth: 1}}, fault: {compact: {}}", "no program \"nobody\"");
    check("fault: {link: {actor: scheduler, weather: {cloged: true}, lasts: 1s}}", "cloged");
}

#[test]
fn what_is_expected_and_never_could_be_is_told() {
    let check = |expect: &str, want: &str| {
        let set = "{kind: ReplicaSet, metadata: {name: web}}";
        let text = format!(
            "name: x\ncluster: {{nodes: 1}}\ntimeline:\n- {{at: 1s, create: {set}}}\n\
             expect:\n- {{from: 1s, within: 5s, that: z, {expect}}}\n"
        );
        let error = Scenario::read(&text).unwrap_err().to_string();
        assert!(error.contains(want) && error.ends_with(" at line 6"), "{expect}: {error}");
    };
    check("pods: {of: web, running: 1, notOn: nod-1}", "pods.notOn: there is no node \"nod-1\"");
    check("pods: {of: web, on: nod-1}", "pods.on: there is no node \"nod-1\"");
    check("pods: {of: web}", "pods: says nothing of them");
    check("jobs: {}", "jobs: says nothing of them");
    // All that is said counts, also of who is meant.
    let both = scenario("expect:\n- {from: 1s, within: 20s, that: z, pods: {of: web, name: nobody, count: 4}}");
    assert!(both.run(1).is_err());
}

#[test]
fn nodes_are_checked() {
    let check = |group: &str, want: &str| {
        let error = Scenario::read(&format!("name: x\ncluster: {{nodes: [{group}]}}\n")).unwrap_err().to_string();
        assert!(error.starts_with("cluster.nodes: ") && error.contains(want), "{group}: {error}");
    };
    check("{name: A b}", "\"A b\" is no name of a node");
    check("{name: ''}", "\"\" is no name of a node");
    check("{name: a_, count: 2}", "\"a_-1\" is no name of a node");
    check("{name: a, images: {busybox: 5Mi}}", "a: images: \"busybox\" has no tag");
    check("{name: a, images: {'host:5000/busybox': 5Mi}}", "has no tag");
    Scenario::read("name: x\ncluster: {nodes: [{name: a, images: {'host:5000/busybox:1': 5Mi}}]}\n").unwrap();
}

#[test]
fn times_are_checked() {
    let check = |lines: &str, want: &str| {
        let error = Scenario::read(&format!("name: x\ncluster: {{nodes: 1}}\n{lines}\n")).unwrap_err().to_string();
        assert!(error.contains(want), "{lines}: {error}");
    };
    let fault = |fault: &str, want: &str| check(&format!("timeline:\n- {{at: 1s, fault: {{{fault}}}}}"), want);
    fault("diskFull: {lasts: 9000h}", "32400001s is later than anybody waits");
    fault("message: {actor: scheduler, nth: 1, mishap: {requestLate: 9000h}}", "is later than anybody waits");
    fault("crashLoop: {actor: scheduler, times: 4294967295, up: 1s, down: 1s}", "is later than anybody waits");
    fault("crashLoop: {actor: scheduler, times: 4294967295, up: 5000000h, down: 1s}", "is later than anybody waits");
    fault("crashingContainers: {pod: web, every: 0s, lasts: 1s}", "all the time");
    check("end: {settles: 9000h}", "end: 32400000s is later than anybody waits");
    check("expect:\n- {from: 1s, within: 9000h, that: z, nodes: {ready: true}}", "is later than anybody waits");
}

#[test]
fn fields_of_manifests_are_checked() {
    let text = |line: &str| format!("name: x\ncluster: {{nodes: 1}}\ntimeline:\n- {{at: 1s, {line}}}\n");
    let check = |line: &str, want: &str| {
        let error = Scenario::read(&text(line)).unwrap_err().to_string();
        assert_eq!(error, format!("timeline[0]: unknown field {want} at line 4"), "{line}");
    };
    check("create: {kind: ReplicaSet, metadata: {name: a}, spec: {replcas: 2}}", "\"spec.replcas\"");
    check(
        "create: {kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: busybox, comand: [a]}]}}",
        "\"spec.containers[0].comand\"",
    );
    check("patch: {kind: Node, name: node-1, merge: {spec: {unschedulabel: true}}}", "\"spec.unschedulabel\"");
    Scenario::read(&text("patch: {kind: Node, name: node-1, merge: {spec: {unschedulable: null}}}")).unwrap();
}
