//! The disruption controller as a whole, against the real API server, which grants evictions.

use crate::api::budget::{BudgetStatus, PodDisruptionBudget};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::controllers::disruption::{DisruptionController, Options};
use crate::controllers::testing::{World, owned_by};
use crate::program::{Answer, DeleteOptions, Part, Verb};
use serde_json::{Value, json};

const SEEDS: std::ops::Range<u64> = 0..8;

struct Desk {
    world: World,
    controller: DisruptionController,
}

fn key(kind: Kind, name: &str) -> Key {
    Key::new(kind, "default", name)
}

impl Desk {
    fn new(seed: u64) -> Self {
        Desk { world: World::new(seed), controller: DisruptionController::new(Options::default(), seed) }
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn budget(&mut self, spec: Value) -> Object {
        let mut all = json!({"selector": {"matchLabels": {"app": "web"}}});
        crate::patch::merge::merge(&mut all, &spec);
        let budget = json!({"metadata": {"name": "b", "namespace": "default"}, "spec": all});
        self.world.create(Kind::PodDisruptionBudget, budget)
    }

    fn pod(&mut self, name: &str, owners: Value) -> Key {
        let meta = json!({"name": name, "namespace": "default", "labels": {"app": "web"}, "ownerReferences": owners});
        let spec = json!({"nodeName": "n1", "containers": [{"name": "c", "image": "busybox"}]});
        self.world.create(Kind::Pod, json!({"metadata": meta, "spec": spec}));
        self.ready(name, true);
        key(Kind::Pod, name)
    }

    fn ready(&mut self, name: &str, ready: bool) {
        let ready = if ready { "True" } else { "False" };
        let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]});
        self.world.merge(key(Kind::Pod, name), json!({"status": status}), Part::Status);
    }

    fn evict(&mut self, name: &str) -> bool {
        let options = DeleteOptions { eviction: true, ..DeleteOptions::default() };
        let answer = self.world.answer(Verb::Delete { key: key(Kind::Pod, name), options });
        match answer {
            Answer::Object { .. } | Answer::Removed(_) => true,
            Answer::Refused(status) if status.code == Some(429) => false,
            other => panic!("{other:?}"),
        }
    }

    /// The scheduler says of a pod that it has to go.
    fn condemn(&mut self, name: &str) {
        let at = Time::of(self.world.now.wall).to_string();
        let said = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "lastTransitionTime": at});
        let conditions = json!([{"type": "Ready", "status": "True"}, said]);
        self.world.merge(key(Kind::Pod, name), json!({"status": {"conditions": conditions}}), Part::Status);
    }

    /// What a pod says of its going, and for what reason.
    fn going(&self, name: &str) -> String {
        let pod = self.world.get(Kind::Pod, "default", name).and_then(Object::get::<Pod>).unwrap();
        let said = pod.status.conditions.iter().find(|one| one.kind == "DisruptionTarget");
        said.map_or("-".into(), |one| format!("{} {}", one.status, one.reason))
    }

    fn status(&self) -> BudgetStatus {
        let budget = self.world.get(Kind::PodDisruptionBudget, "default", "b").unwrap();
        budget.read::<PodDisruptionBudget>().unwrap().status
    }

    /// `2 of 3 healthy, 1 allowed: True SufficientPods`, the number that is demanded in front.
    fn told(&self) -> String {
        let status = self.status();
        let said = status.conditions.first().map(|one| format!("{} {}", one.status, one.reason)).unwrap_or_default();
        let (needs, has, expected) = (status.desired_healthy, status.current_healthy, status.expected_pods);
        format!("{needs}: {has} of {expected} healthy, {} allowed: {said}", status.disruptions_allowed)
    }
}

#[test]
fn a_budget_is_counted_charged_and_counted_again() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        let set = desk.world.set("web", json!([]));
        desk.world.merge(set.key(), json!({"spec": {"replicas": 3}}), Part::Main);
        desk.budget(json!({"maxUnavailable": 1}));
        desk.run(1);
        assert_eq!(desk.told(), "0: 0 of 0 healthy, 0 allowed: False InsufficientPods");
        assert_eq!(desk.world.told_about("b"), ["NoPods"]);
        for name in ["web-a", "web-b", "web-c"] {
            desk.pod(name, owned_by(&set));
        }
        desk.run(1);
        assert_eq!(desk.told(), "2: 3 of 3 healthy, 1 allowed: True SufficientPods");
        assert_eq!((desk.evict("web-a"), desk.evict("web-b")), (true, false));
        assert_eq!(desk.told(), "2: 3 of 3 healthy, 0 allowed: False InsufficientPods");
        assert!(desk.status().disrupted_pods.contains_key("web-a"));
        desk.run(1);
        assert_eq!(desk.told(), "2: 2 of 3 healthy, 0 allowed: False InsufficientPods");
        assert!(desk.status().disrupted_pods.is_empty(), "it is seen to go");
        desk.world.delete_at_once(key(Kind::Pod, "web-a"));
        desk.pod("web-d", owned_by(&set));
        desk.ready("web-d", false);
        desk.run(1);
        assert!(!desk.evict("web-b"), "the new one does not serve yet");
        desk.ready("web-d", true);
        desk.run(1);
        assert_eq!(desk.told(), "2: 3 of 3 healthy, 1 allowed: True SufficientPods");
        assert!(desk.evict("web-b"));
        desk.run(1);
        desk.world.take_writes();
        desk.run(1000);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
    }
}

#[test]
fn a_wish_is_answered_in_its_generation() {
    let mut desk = Desk::new(1);
    desk.budget(json!({"minAvailable": 1}));
    (0..4).for_each(|nth| drop(desk.pod(&format!("web-{nth}"), json!([]))));
    desk.run(1);
    assert_eq!(desk.told(), "1: 4 of 4 healthy, 3 allowed: True SufficientPods");
    desk.world.merge(key(Kind::PodDisruptionBudget, "b"), json!({"spec": {"minAvailable": 3}}), Part::Main);
    assert!(!desk.evict("web-0"), "what is allowed was counted for another wish");
    desk.run(1);
    assert_eq!(
        (desk.told().as_str(), desk.status().observed_generation),
        ("3: 4 of 4 healthy, 1 allowed: True SufficientPods", Some(2))
    );
    desk.world.merge(key(Kind::Pod, "web-3"), json!({"metadata": {"labels": {"app": "db"}}}), Part::Main);
    desk.run(1);
    assert_eq!(desk.told(), "3: 3 of 3 healthy, 0 allowed: False InsufficientPods");
    let selector = json!({"spec": {"selector": {"matchLabels": {"app": "db"}}, "minAvailable": 0}});
    desk.world.merge(key(Kind::PodDisruptionBudget, "b"), selector, Part::Main);
    desk.run(1);
    assert_eq!(desk.told(), "0: 1 of 1 healthy, 1 allowed: True SufficientPods");
}

#[test]
fn parts_are_of_what_the_controllers_want() {
    let mut desk = Desk::new(2);
    desk.budget(json!({"minAvailable": "50%"}));
    let template =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
    let spec = json!({"replicas": 7, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    let meta = json!({"name": "web", "namespace": "default"});
    let deployment = desk.world.create(Kind::Deployment, json!({"metadata": meta, "spec": spec}));
    let set = desk.world.set("web", owned_by(&deployment));
    (0..6).for_each(|nth| drop(desk.pod(&format!("web-{nth}"), owned_by(&set))));
    desk.run(1);
    assert_eq!(desk.told(), "4: 6 of 7 healthy, 2 allowed: True SufficientPods");
    desk.world.merge(deployment.key(), json!({"spec": {"replicas": 10}}), Part::Main);
    desk.run(1);
    assert_eq!(desk.told(), "5: 6 of 10 healthy, 1 allowed: True SufficientPods", "though no pod has changed");
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]);
    let odd = desk.pod("web-odd", owner);
    desk.run(1);
    assert_eq!(desk.told(), "5: 6 of 10 healthy, 0 allowed: False SyncFailed");
    assert_eq!(desk.status().conditions[0].message, "jobs.batch does not implement the scale subresource");
    assert_eq!(desk.world.told_about("b").last().map(String::as_str), Some("CalculateExpectedPodCountFailed"));
    desk.world.delete_at_once(odd);
    desk.run(1);
    assert_eq!(desk.told(), "5: 6 of 10 healthy, 1 allowed: True SufficientPods");
}

#[test]
fn a_grant_that_comes_to_nothing_is_given_back() {
    let mut desk = Desk::new(3);
    desk.budget(json!({"minAvailable": 1}));
    for name in ["web-a", "web-b"] {
        desk.pod(name, json!([]));
    }
    desk.run(1);
    // The API server has charged the budget, and died before it deleted the pod.
    let now = Time::of(desk.world.now.wall).to_string();
    let status = json!({"disruptionsAllowed": 0, "disruptedPods": {"web-a": now, "gone": now}});
    desk.world.merge(key(Kind::PodDisruptionBudget, "b"), json!({"status": status}), Part::Status);
    desk.run(50);
    assert_eq!(desk.told(), "1: 1 of 2 healthy, 0 allowed: False InsufficientPods");
    assert!(!desk.evict("web-b"));
    assert_eq!(desk.status().disrupted_pods.len(), 2, "of the other, too, it is not known that it is gone");
    // A bookmark has told that nothing else has happened.
    desk.run(30);
    assert_eq!(desk.status().disrupted_pods.len(), 1);
    desk.run(95);
    assert_eq!(desk.told(), "1: 1 of 2 healthy, 0 allowed: False InsufficientPods");
    desk.run(30);
    assert_eq!(desk.told(), "1: 2 of 2 healthy, 1 allowed: True SufficientPods");
    assert_eq!(desk.world.told_about("b"), ["NotDeleted"]);
}

#[test]
fn a_pod_that_is_not_seen_yet_does_not_count_later() {
    let mut desk = Desk::new(4);
    desk.budget(json!({"minAvailable": 1}));
    for name in ["web-a", "web-b"] {
        desk.pod(name, json!([]));
    }
    desk.run(1);
    desk.world.deaf_to.insert(Kind::Pod);
    desk.pod("web-c", json!([]));
    assert!(desk.evict("web-c"));
    desk.run(10);
    assert!(desk.status().disrupted_pods.contains_key("web-c"), "its view is older than the grant");
    desk.world.deaf_to.clear();
    desk.run(1);
    assert_eq!(desk.told(), "1: 2 of 3 healthy, 1 allowed: True SufficientPods");
    assert!(desk.status().disrupted_pods.is_empty());
}

#[test]
fn a_view_that_is_older_than_a_grant_does_not_give_it_up() {
    let mut desk = Desk::new(7);
    desk.budget(json!({"minAvailable": 1}));
    for name in ["web-a", "web-b"] {
        desk.pod(name, json!([]));
    }
    desk.run(1);
    desk.world.deaf_to.insert(Kind::Pod);
    assert!(desk.evict("web-a"));
    desk.run(300);
    assert_eq!(desk.told(), "1: 1 of 2 healthy, 0 allowed: False InsufficientPods");
    assert!(!desk.evict("web-b"), "the other goes, though that is not seen");
    desk.world.deaf_to.clear();
    desk.run(1);
    assert_eq!(desk.told(), "1: 1 of 2 healthy, 0 allowed: False InsufficientPods");
    assert!(desk.status().disrupted_pods.is_empty(), "it is seen to go");
    assert_eq!(desk.world.told_about("b"), [""; 0]);
}

#[test]
fn a_successor_of_the_same_name_is_another_pod() {
    let mut desk = Desk::new(5);
    desk.budget(json!({"minAvailable": 1}));
    for name in ["web-0", "web-1"] {
        desk.pod(name, json!([]));
    }
    desk.run(2);
    desk.world.deaf_to.insert(Kind::Pod);
    assert!(desk.evict("web-0"));
    desk.world.delete_at_once(key(Kind::Pod, "web-0"));
    desk.run(5);
    desk.pod("web-0", json!([]));
    assert!(!desk.evict("web-0"), "one eviction was granted, for one pod");
    desk.world.deaf_to.clear();
    desk.run(1);
    assert_eq!(desk.told(), "1: 2 of 2 healthy, 1 allowed: True SufficientPods");
}

#[test]
fn a_pod_that_was_to_go_and_lives_on_is_told_that_it_stays() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        let names = ["lives", "goes", "ends"];
        for name in names {
            desk.pod(name, json!([]));
        }
        desk.run(1);
        names.iter().for_each(|name| desk.condemn(name));
        desk.world.delete(key(Kind::Pod, "goes"), None);
        desk.world.merge(key(Kind::Pod, "ends"), json!({"status": {"phase": "Failed"}}), Part::Status);
        // Whoever says so once more is given as long once more.
        for _ in 0..2 {
            desk.run(119);
            assert_eq!(desk.world.take_writes(), [""; 0], "its deletion may be on its way");
            desk.run(2);
            assert_eq!(desk.world.take_writes(), ["Status pods/default/lives"], "seed {seed}");
            let (is, is_not) = ("True PreemptionByScheduler", "False PreemptionByScheduler");
            assert_eq!(names.map(|name| desk.going(name)), [is_not, is, is]);
            desk.condemn("lives");
        }
        desk.run(122);
        desk.world.take_writes();
        desk.run(1000);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
    }
}

#[test]
fn what_is_taken_back_is_what_was_seen() {
    let mut desk = Desk::new(6);
    desk.pod("goes", json!([]));
    desk.run(1);
    desk.condemn("goes");
    desk.run(1);
    desk.world.deaf_to.insert(Kind::Pod);
    desk.world.delete(key(Kind::Pod, "goes"), None);
    desk.run(200);
    assert_eq!(desk.going("goes"), "True PreemptionByScheduler", "it goes, though that is not seen");
    let tries = desk.world.take_writes().len();
    assert!((1..20).contains(&tries), "{tries} tries");
    desk.world.deaf_to.clear();
    desk.run(1);
    desk.world.take_writes();
    desk.run(300);
    assert_eq!(desk.world.take_writes(), [""; 0]);
}

/// Whatever is lost, and however often the controller is another: of three pods with `minAvailable: 2` one at a time goes.
#[test]
fn evictions_never_exceed_the_budget() {
    let mut evicted = 0;
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.lost_percent = 15;
        desk.budget(json!({"minAvailable": 2}));
        let mut pods: Vec<String> = (0..3).map(|nth| format!("web-{nth}")).collect();
        pods.iter().for_each(|pod| drop(desk.pod(pod, json!([]))));
        let mut made = 3;
        for round in 0..60 {
            desk.run(3);
            for pod in pods.clone() {
                if desk.evict(&pod) {
                    evicted += 1;
                    let left =
                        desk.world.names(Kind::Pod, "default").split(' ').filter(|name| !name.starts_with('-')).count();
                    assert!(left >= 2, "seed {seed}: {}", desk.world.names(Kind::Pod, "default"));
                    desk.run(round % 2);
                    desk.world.delete_at_once(key(Kind::Pod, &pod));
                    pods.retain(|one| *one != pod);
                }
            }
            if pods.len() < 3 {
                pods.push(format!("web-{made}"));
                desk.pod(&pods[2].clone(), json!([]));
                made += 1;
            }
            if round % 20 == 19 {
                desk.world.forget_program();
                desk.controller = DisruptionController::new(Options::default(), round);
            }
        }
    }
    assert!(evicted > 40, "only {evicted} were granted");
}
