//! The ReplicaSet controller as a whole, against the real API server.

use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodPhase};
use crate::api::replicaset::ReplicaSet;
use crate::controllers::replicaset::ReplicaSets;
use crate::controllers::testing::{World, owner_reference, property};
use crate::controllers::workload::{Options, WorkloadController};
use crate::program::{Part, Propagation, Verb};
use crate::rng::Draw;
use quickcheck::{Arbitrary, Gen};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SEEDS: std::ops::Range<u64> = 0..6;

/// A world with its controller.
struct Desk {
    world: World,
    controller: WorkloadController,
}

impl Desk {
    fn new(seed: u64) -> Self {
        let mut desk =
            Desk { world: World::new(seed), controller: WorkloadController::new(&[&ReplicaSets], Options::default()) };
        desk.run(1);
        desk
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn restart(&mut self) {
        self.world.forget_program();
        self.controller = WorkloadController::new(&[&ReplicaSets], Options { seed: 2, ..Options::default() });
    }

    /// A set of this many pods labelled `app: NAME`.
    fn set(&mut self, name: &str, replicas: u32) -> Object {
        let labels = json!({"app": name});
        let containers = json!([{"name": "c", "image": "busybox"}]);
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": containers}});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
        self.world.create(Kind::ReplicaSet, json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}))
    }

    fn scale(&mut self, name: &str, replicas: u32) -> Object {
        let patch = json!({"spec": {"replicas": replicas}});
        self.world.merge(Key::new(Kind::ReplicaSet, "default", name), patch, Part::Main);
        self.world.get(Kind::ReplicaSet, "default", name).unwrap().clone()
    }

    fn stored(&self, name: &str) -> &ReplicaSet {
        self.world.get(Kind::ReplicaSet, "default", name).unwrap().get().unwrap()
    }

    fn pods(&self) -> Vec<Pod> {
        self.world.objects(Kind::Pod).iter().filter_map(Object::get).cloned().collect()
    }

    /// Pods that neither have finished nor are being deleted, and belong to a set of this name.
    fn alive(&self, set: &str) -> usize {
        let uid = &self.stored(set).metadata.uid;
        let own = |pod: &&Pod| pod.metadata.controller().is_some_and(|owner| owner.uid == *uid);
        self.pods().iter().filter(own).filter(|pod| pod.is_active()).count()
    }

    fn say(&mut self, pod: &str, status: Value) {
        self.world.merge(Key::new(Kind::Pod, "default", pod), json!({"status": status}), Part::Status);
    }

    /// All pods that are only made yet run from now on, on a node of their own.
    fn start_pods(&mut self) {
        for pod in self.pods().iter().filter(|pod| pod.status.phase == PodPhase::Pending) {
            self.ready(&pod.metadata.name, true);
        }
    }

    fn ready(&mut self, pod: &str, ready: bool) {
        let now = crate::api::meta::Time::of(self.world.now.wall).to_string();
        let status = if ready { "True" } else { "False" };
        self.say(
            pod,
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": now}]}),
        );
    }

    fn bare_pod(&mut self, name: &str, app: &str) -> Object {
        let meta = json!({"name": name, "namespace": "default", "labels": {"app": app}});
        self.world
            .create(Kind::Pod, json!({"metadata": meta, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}))
    }

    fn names(&self) -> String {
        self.world.names(Kind::Pod, "default")
    }

    fn writes(&mut self, of: &str) -> usize {
        self.world.take_writes().iter().filter(|line| line.starts_with(of)).count()
    }
}

fn child(set: &Object, nth: u64) -> String {
    names::child(&set.meta().name, &set.meta().uid, nth)
}

#[test]
fn pods_are_made_and_deleted_as_wished() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        let set = desk.set("web", 3);
        desk.run(1);
        let pods = desk.pods();
        assert_eq!(pods.len(), 3);
        for pod in &pods {
            let owner = pod.metadata.controller().unwrap();
            assert_eq!((owner.uid.as_str(), owner.block_owner_deletion), (set.meta().uid.as_str(), Some(true)));
            assert_eq!(pod.metadata.labels["app"], "web");
        }
        desk.start_pods();
        desk.run(1);
        let status = &desk.stored("web").status;
        assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (3, Some(3), Some(3)));
        assert_eq!(status.observed_generation, desk.stored("web").metadata.generation);
        desk.ready(&child(&set, 1), false);
        desk.run(1);
        desk.scale("web", 2);
        desk.run(1);
        assert!(!desk.names().contains(&child(&set, 1)), "the one that is not ready goes first");
        desk.scale("web", 0);
        desk.run(1);
        assert_eq!((desk.names().as_str(), desk.stored("web").status.replicas), ("", 0));
        let told = desk.world.told_about("web");
        let count = |reason: &str| told.iter().filter(|one| *one == reason).count();
        assert_eq!((count("SuccessfulCreate"), count("SuccessfulDelete")), (3, 3));
    }
}

#[test]
fn as_many_writes_as_there_is_to_write() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.set("web", 4);
        desk.run(5);
        let writes = desk.world.take_writes();
        let of = |what: &str| writes.iter().filter(|line| line.starts_with(what)).count();
        assert_eq!(of("create"), 4);
        assert!(of("Status") <= 5, "one for each number: {writes:?}");
        desk.run(1000);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
    }
}

#[test]
fn a_status_that_is_answered_before_it_is_shown_is_written_once() {
    let mut desk = Desk::new(0);
    desk.set("web", 1);
    desk.run(1);
    desk.world.take_writes();
    desk.world.deaf_to.insert(Kind::ReplicaSet);
    desk.start_pods();
    desk.run(20);
    assert_eq!(desk.writes("Status"), 1);
    desk.world.deaf_to.clear();
    desk.run(20);
    assert_eq!(desk.writes("Status"), 0);
}

#[test]
fn failed_pods_are_replaced_later_each_time() {
    let mut desk = Desk::new(0);
    desk.set("web", 1);
    desk.run(1);
    let mut made = Vec::new();
    for _ in 0..600 {
        for pod in desk.pods().iter().filter(|pod| pod.is_active()) {
            desk.say(&pod.metadata.name, json!({"phase": "Failed"}));
            made.push(desk.world.now.mono.nanos() / 1_000_000_000);
        }
        desk.run(1);
    }
    let pauses: Vec<u64> = made.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(pauses[..8], [1, 1, 2, 4, 8, 16, 32, 60]);
    assert_eq!(
        desk.pods().iter().filter(|pod| pod.status.phase == PodPhase::Failed).count(),
        1,
        "one stays to be looked at"
    );
    assert!(desk.pods().len() <= 2);
}

/// Somebody with a newer view of their node does not want them there; but they run as soon as they are bound.
#[test]
fn pods_that_are_taken_away_as_soon_as_they_run_are_replaced_later_each_time() {
    let mut desk = Desk::new(0);
    desk.set("web", 4);
    desk.run(1);
    for _ in 0..60 {
        desk.start_pods();
        desk.run(1);
        for pod in desk.pods() {
            desk.world.delete_at_once(Key::new(Kind::Pod, "default", &pod.metadata.name));
        }
        desk.run(1);
    }
    let made = desk.writes("create pods");
    assert!((12..52).contains(&made), "{made} pods in two minutes");
    // One that has run for long is replaced at once.
    desk.run(100);
    desk.start_pods();
    desk.run(10);
    desk.world.delete_at_once(Key::new(Kind::Pod, "default", &desk.pods()[0].metadata.name.clone()));
    desk.run(1);
    assert_eq!(desk.alive("web"), 4);
}

/// Most processes end with 143 when they are told to: their pods are `Failed` for the moment until they are gone.
#[test]
fn pods_that_end_because_they_are_deleted_have_not_failed() {
    let mut desk = Desk::new(0);
    desk.world.node("n");
    desk.set("web", 20);
    desk.run(1);
    for pod in desk.pods() {
        let (key, uid) = (Key::new(Kind::Pod, "default", &pod.metadata.name), pod.metadata.uid.clone());
        desk.world.ask(Verb::Bind { key, uid, node: "n".into() });
    }
    desk.scale("web", 1);
    desk.run(1);
    for pod in desk.pods().iter().filter(|pod| pod.metadata.is_deleting()) {
        desk.say(&pod.metadata.name, json!({"phase": "Failed"}));
        desk.run(1);
        desk.world.delete_at_once(Key::new(Kind::Pod, "default", &pod.metadata.name));
    }
    desk.scale("web", 4);
    desk.run(1);
    assert_eq!(desk.alive("web"), 4);
}

#[test]
fn pods_without_an_owner_are_adopted_before_others_are_made() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.bare_pod("a", "web");
        desk.bare_pod("b", "web");
        desk.bare_pod("c", "other");
        desk.run(1);
        let set = desk.set("web", 2);
        desk.run(2);
        let owner = |desk: &Desk, name: &str| {
            let pod = desk.world.get(Kind::Pod, "default", name).unwrap();
            pod.meta().controller().map(|owner| owner.uid.clone())
        };
        assert_eq!(
            (owner(&desk, "a"), owner(&desk, "b"), owner(&desk, "c")),
            (Some(set.meta().uid.clone()), Some(set.meta().uid.clone()), None)
        );
        assert_eq!((desk.writes("create"), desk.names().as_str()), (0, "a b c"));
        // Relabelled: released, and replaced.
        desk.world.merge(
            Key::new(Kind::Pod, "default", "a"),
            json!({"metadata": {"labels": {"app": "debug"}}}),
            Part::Main,
        );
        desk.run(1);
        assert_eq!((owner(&desk, "a"), desk.alive("web"), desk.pods().len()), (None, 2, 4));
        // And taken back: one too many.
        desk.world.merge(
            Key::new(Kind::Pod, "default", "a"),
            json!({"metadata": {"labels": {"app": "web"}}}),
            Part::Main,
        );
        desk.run(1);
        assert_eq!((desk.alive("web"), desk.pods().len()), (2, 3));
    }
}

#[test]
fn a_claim_on_an_old_revision_is_made_again() {
    let mut desk = Desk::new(0);
    desk.set("web", 1);
    desk.run(1);
    desk.world.deaf_to.insert(Kind::Pod);
    desk.world.hold_writes = true;
    let pod = child(desk.world.get(Kind::ReplicaSet, "default", "web").unwrap(), 0);
    desk.world.merge(Key::new(Kind::Pod, "default", &pod), json!({"metadata": {"labels": {"app": "x"}}}), Part::Main);
    desk.world.deaf_to.clear();
    desk.run(1);
    desk.world.merge(
        Key::new(Kind::Pod, "default", &pod),
        json!({"metadata": {"annotations": {"a": "b"}}}),
        Part::Main,
    );
    desk.world.release();
    desk.run(1);
    let pods = desk.pods();
    assert_eq!((pods.len(), pods.iter().filter(|pod| pod.metadata.controller().is_some()).count()), (2, 1));
}

#[test]
fn who_was_let_go_is_not_deleted_in_the_end() {
    let mut desk = Desk::new(0);
    desk.set("web", 2);
    desk.run(1);
    desk.world.take_writes();
    desk.world.hold_writes = true;
    desk.scale("web", 1);
    desk.run(1);
    let asked = desk.world.take_writes();
    let victim = asked.iter().find_map(|write| write.strip_prefix("delete pods/default/")).unwrap();
    desk.world.lose_held();
    desk.world.merge(Key::new(Kind::Pod, "default", victim), json!({"metadata": {"labels": {"app": "x"}}}), Part::Main);
    desk.run(100);
    assert_eq!((desk.pods().len(), desk.alive("web")), (2, 1));
}

#[test]
fn what_is_in_flight_when_the_controller_ends_is_not_made_twice() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.hold_writes = true;
        desk.set("web", 5);
        desk.run(1);
        desk.restart();
        desk.run(1);
        desk.world.release();
        desk.run(60);
        assert_eq!((desk.pods().len(), desk.alive("web")), (5, 5));
        // The same with deletions.
        desk.world.hold_writes = true;
        desk.scale("web", 2);
        desk.run(1);
        desk.restart();
        desk.world.release();
        desk.run(60);
        assert_eq!((desk.pods().len(), desk.alive("web")), (2, 2));
    }
}

#[test]
fn a_late_view_is_waited_for() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.deaf_to.insert(Kind::Pod);
        desk.set("web", 3);
        desk.run(25);
        assert_eq!((desk.pods().len(), desk.writes("create")), (3, 3));
        desk.world.deaf_to.clear();
        desk.run(1);
        desk.world.deaf_to.insert(Kind::Pod);
        // One that goes, whose going is not shown: it is asked for once.
        let gone = desk.pods()[0].metadata.name.clone();
        desk.world.delete_at_once(Key::new(Kind::Pod, "default", &gone));
        desk.scale("web", 1);
        desk.run(25);
        let deletions = desk.writes("delete");
        assert!(deletions <= 2, "{deletions}");
        desk.world.deaf_to.clear();
        desk.run(5);
        assert_eq!(desk.alive("web"), 1);
    }
}

#[test]
fn a_deletion_of_which_nothing_is_known_is_asked_for_again_and_no_other() {
    let mut desk = Desk::new(0);
    let set = desk.set("web", 3);
    desk.run(1);
    desk.start_pods();
    desk.run(1);
    desk.world.deaf_to.insert(Kind::Pod);
    desk.world.lost_percent = 100;
    desk.scale("web", 2);
    desk.run(2);
    desk.world.lost_percent = 0;
    // The view learns that another is less worth than the victim, but not what became of the victim.
    desk.run(40);
    desk.world.deaf_to.clear();
    let left: Vec<Pod> = desk.pods().into_iter().filter(Pod::is_active).collect();
    assert_eq!(left.len(), 2);
    desk.ready(&left[0].metadata.name, false);
    desk.run(40);
    assert_eq!((desk.alive("web"), desk.pods().len()), (2, 2), "{}", set.meta().name);
}

#[test]
fn a_name_that_a_stranger_has_is_left_to_it() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        let set = desk.set("web", 0);
        desk.run(1);
        desk.world.deaf_to.insert(Kind::Pod);
        desk.bare_pod(&child(&set, 0), "stranger");
        desk.scale("web", 2);
        desk.run(2);
        assert!(desk.writes("create") < 20);
        desk.world.deaf_to.clear();
        desk.run(2);
        assert_eq!((desk.alive("web"), desk.pods().len()), (2, 3));
        // It comes and goes while no news arrive, and is never shown.
        desk.scale("web", 3);
        desk.run(1);
        desk.world.disconnect();
        desk.run(1);
        desk.world.connect();
        desk.run(60);
        assert_eq!(desk.alive("web"), 3);
    }
}

#[test]
fn a_namespace_that_ends_takes_no_new_pods() {
    let mut desk = Desk::new(0);
    desk.world.create(Kind::Namespace, json!({"metadata": {"name": "old"}}));
    let labels = json!({"app": "web"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    desk.world.create(Kind::ReplicaSet, json!({"metadata": {"name": "web", "namespace": "old"}, "spec": spec}));
    desk.run(1);
    desk.world.delete(Key::new(Kind::Namespace, "", "old"), None);
    let key = Key::new(Kind::ReplicaSet, "old", "web");
    desk.world.merge(key.clone(), json!({"spec": {"replicas": 50}}), Part::Main);
    desk.run(60);
    let writes = desk.world.take_writes();
    let of = |what: &str| writes.iter().filter(|line| line.starts_with(what)).count();
    let rounds = of("create") / 50;
    assert!((5..=16).contains(&rounds), "{rounds} rounds");
    // Each is refused in other words.
    assert!((1..=3).contains(&of("Status replicasets")), "{} times", of("Status"));
    let set = desk.world.get(Kind::ReplicaSet, "old", "web").unwrap().get::<ReplicaSet>().unwrap();
    let failure = set.status.conditions.iter().find(|one| one.kind == "ReplicaFailure").unwrap();
    assert!(failure.status == "True" && failure.reason == "FailedCreate", "{failure:?}");
    assert!(failure.message.contains("because it is being terminated"), "{}", failure.message);
    // What is not wanted any more is not refused any more; and it is noticed at once.
    desk.world.merge(key, json!({"spec": {"replicas": 0}}), Part::Main);
    desk.run(1);
    let set = desk.world.get(Kind::ReplicaSet, "old", "web").unwrap().get::<ReplicaSet>().unwrap();
    assert_eq!((set.status.conditions.len(), set.status.observed_generation), (0, set.metadata.generation));
}

#[test]
fn a_set_that_is_deleted_neither_makes_nor_deletes() {
    for propagation in [Propagation::Foreground, Propagation::Orphan] {
        let mut desk = Desk::new(0);
        desk.set("web", 2);
        desk.run(1);
        desk.world.delete(Key::new(Kind::ReplicaSet, "default", "web"), Some(propagation));
        desk.run(1);
        desk.world.take_writes();
        desk.world.delete_at_once(Key::new(Kind::Pod, "default", &desk.pods()[0].metadata.name.clone()));
        desk.bare_pod("x", "web");
        desk.run(10);
        let writes = desk.world.take_writes();
        assert!(writes.iter().all(|line| line.starts_with("Status")), "{writes:?}");
        assert_eq!(desk.pods().len(), 2);
    }
    // Deleted and made anew: the pods of the former are the collector's.
    let mut desk = Desk::new(0);
    desk.set("web", 2);
    desk.run(1);
    desk.world.delete(Key::new(Kind::ReplicaSet, "default", "web"), Some(Propagation::Background));
    desk.set("web", 1);
    desk.run(10);
    assert_eq!((desk.pods().len(), desk.alive("web")), (3, 1));
}

#[test]
fn answers_for_a_set_that_is_gone_are_not_remembered() {
    let mut desk = Desk::new(0);
    desk.world.hold_writes = true;
    for nth in 0..10 {
        let name = format!("s{nth}");
        desk.set(&name, 3);
        desk.run(1);
        desk.world.delete(Key::new(Kind::ReplicaSet, "default", &name), Some(Propagation::Background));
    }
    desk.world.create(Kind::Namespace, json!({"metadata": {"name": "x"}}));
    desk.run(1);
    desk.world.release();
    desk.run(60);
    assert_eq!(desk.controller.remembered(), 0);
}

#[test]
fn as_many_finished_pods_are_kept_as_are_wanted() {
    let mut desk = Desk::new(0);
    let set = desk.set("web", 2);
    desk.run(1);
    for _ in 0..5 {
        for pod in desk.pods().iter().filter(|pod| pod.is_active()) {
            desk.say(&pod.metadata.name, json!({"phase": "Succeeded"}));
        }
        desk.run(70);
    }
    assert_eq!((desk.pods().len(), desk.alive("web")), (4, 2), "{}", set.meta().name);
    desk.scale("web", 0);
    desk.run(1);
    assert_eq!(desk.names(), "");
}

#[test]
fn a_pod_is_available_after_a_while() {
    let mut desk = Desk::new(0);
    desk.set("web", 1);
    desk.world.merge(
        Key::new(Kind::ReplicaSet, "default", "web"),
        json!({"spec": {"minReadySeconds": 30}}),
        Part::Main,
    );
    desk.run(1);
    desk.start_pods();
    desk.run(29);
    let counts = |desk: &Desk| (desk.stored("web").status.ready_replicas, desk.stored("web").status.available_replicas);
    assert_eq!(counts(&desk), (Some(1), None));
    desk.run(2);
    assert_eq!(counts(&desk), (Some(1), Some(1)));
}

#[test]
fn two_sets_with_one_selector_do_not_fight() {
    let mut desk = Desk::new(0);
    for name in ["a", "b"] {
        let labels = json!({"app": "same"});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let spec = json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": template});
        desk.world.create(Kind::ReplicaSet, json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}));
    }
    desk.bare_pod("x", "same");
    desk.run(10);
    assert_eq!((desk.alive("a"), desk.alive("b"), desk.pods().len()), (2, 2, 4));
    desk.world.take_writes();
    desk.run(1000);
    assert_eq!(desk.world.take_writes(), [""; 0]);
}

#[test]
fn whatever_happens_in_the_end_there_are_as_many_as_wanted() {
    property("as many pods as wanted in the end, and never more by the controller's doing", |random: &mut Gen| {
        let seed = u64::arbitrary(random);
        let mut desk = Desk::new(seed);
        let set = desk.set("web", 2);
        let mut most: usize = 2;
        let draw = Draw::new(seed).key("operator");
        desk.world.lost_percent = draw.key("lost").below(3) * 10;
        let mut adopted: BTreeSet<String> = BTreeSet::new();
        for nth in 0..30 {
            let draw = draw.count(nth);
            let pods = desk.pods();
            let one = (!pods.is_empty()).then(|| &pods[draw.key("which").below(pods.len() as u64) as usize]);
            match (draw.key("what").below(12), one) {
                (0 | 1, _) => {
                    let wanted = draw.key("wanted").below(6) as u32;
                    most = most.max(wanted as usize);
                    desk.scale("web", wanted);
                }
                (2, Some(pod)) if pod.is_active() => desk.say(&pod.metadata.name, json!({"phase": "Failed"})),
                (3, Some(pod)) => {
                    desk.world.delete_at_once(Key::new(Kind::Pod, "default", &pod.metadata.name));
                }
                (4, _) => {
                    adopted.insert(desk.bare_pod(&format!("bare-{nth}"), "web").meta().uid.to_string());
                }
                (5, Some(pod)) => {
                    let app = if draw.key("out").chance(1, 2) { "web" } else { "none" };
                    let patch = json!({"metadata": {"labels": {"app": app}}});
                    adopted.insert(pod.metadata.uid.to_string());
                    desk.world.merge(Key::new(Kind::Pod, "default", &pod.metadata.name), patch, Part::Main);
                }
                (6, _) => desk.start_pods(),
                (7, _) => desk.restart(),
                (8, _) => desk.world.disconnect(),
                (9, _) => desk.world.connect(),
                (10, _) => {
                    if !desk.world.deaf_to.remove(&Kind::Pod) {
                        desk.world.deaf_to.insert(Kind::Pod);
                    }
                }
                _ => desk.world.answers_are_late = !desk.world.answers_are_late,
            }
            desk.run(draw.key("pause").below(5));
            // What came from elsewhere is not the controller's doing.
            let uid = &set.meta().uid;
            let own = desk.pods().into_iter().filter(|pod| {
                pod.is_active()
                    && pod.metadata.controller().is_some_and(|owner| owner.uid == *uid)
                    && !adopted.contains(pod.metadata.uid.as_str())
            });
            let own = own.count();
            assert!(own <= most, "{own} > {most}");
        }
        desk.world.connect();
        desk.world.deaf_to.clear();
        desk.world.answers_are_late = false;
        desk.world.lost_percent = 0;
        desk.run(200);
        let wanted = desk.stored("web").wanted();
        assert_eq!((desk.alive("web"), desk.stored("web").status.replicas), (wanted, wanted as i32));
        desk.world.take_writes();
        desk.run(700);
        assert_eq!(desk.world.take_writes(), [""; 0]);
    });
}

#[test]
fn an_owner_that_only_looks_alike_is_another() {
    let mut desk = Desk::new(0);
    let set = desk.set("web", 1);
    let mut other = owner_reference(&set);
    other["uid"] = json!("another");
    let meta = json!({"name": "x", "namespace": "default", "labels": {"app": "web"}, "ownerReferences": [other]});
    let pod = json!({"metadata": meta, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
    desk.world.ask(Verb::Create { object: Object::from_value(Kind::Pod, pod).unwrap() });
    desk.run(5);
    assert_eq!((desk.alive("web"), desk.pods().len()), (1, 2));
}
