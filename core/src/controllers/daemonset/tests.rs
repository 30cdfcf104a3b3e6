//! The DaemonSet controller as a whole, against the real API server.

use crate::api::daemonset::{DaemonSet, DaemonSetStatus};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodPhase};
use crate::controllers::daemonset::DaemonSets;
use crate::controllers::testing::World;
use crate::controllers::workload::{Options, WorkloadController};
use crate::program::{Part, Verb};
use serde_json::{Value, json};

const SEEDS: std::ops::Range<u64> = 0..4;

struct Desk {
    world: World,
    controller: WorkloadController,
}

impl Desk {
    /// Nodes `n1`, `n2` and so on, with the label `disk: ssd`.
    fn new(seed: u64, nodes: usize) -> Self {
        let controller = WorkloadController::new(&[&DaemonSets], Options::default());
        let mut desk = Desk { world: World::new(seed), controller };
        for nth in 1..=nodes {
            desk.world.node(&format!("n{nth}"));
            desk.node(&format!("n{nth}"), json!({"metadata": {"labels": {"disk": "ssd"}}}));
        }
        desk.run(1);
        desk
    }

    fn node(&mut self, name: &str, patch: Value) {
        self.world.merge(Key::new(Kind::Node, "", name), patch, Part::Main);
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn create(&mut self, spec: Value) {
        let mut all = json!({"selector": {"matchLabels": {"app": "agent"}}, "template": {"metadata": {"labels": {"app": "agent"}},
            "spec": {"containers": [{"name": "c", "image": "one"}]}}});
        crate::patch::merge::merge(&mut all, &spec);
        self.world.create(Kind::DaemonSet, json!({"metadata": {"name": "agent", "namespace": "default"}, "spec": all}));
    }

    fn patch(&mut self, patch: Value) {
        self.world.merge(Key::new(Kind::DaemonSet, "default", "agent"), patch, Part::Main);
    }

    fn image(&mut self, image: &str) {
        self.patch(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}));
    }

    fn pods(&self) -> Vec<Object> {
        self.world.objects(Kind::Pod)
    }

    /// The scheduler binds, pods that are only made yet run from now on, and those that are deleted are gone.
    fn others_act(&mut self) {
        self.world.kubelets_finish_pods();
        for object in self.pods() {
            let pod = object.get::<Pod>().unwrap();
            if pod.node().is_none() {
                let node = pod.target_node().unwrap().into();
                self.world.ask(Verb::Bind { key: object.key(), uid: (*object.meta().uid).into(), node });
            }
            if pod.status.phase == PodPhase::Pending {
                self.say(&object.meta().name, "Running", "True");
            }
        }
    }

    fn say(&mut self, pod: &str, phase: &str, ready: &str) {
        let at = Time::of(self.world.now.wall).to_string();
        let condition = json!([{"type": "Ready", "status": ready, "lastTransitionTime": at}]);
        let status = json!({"status": {"phase": phase, "conditions": condition}});
        self.world.merge(Key::new(Kind::Pod, "default", pod), status, Part::Status);
    }

    fn settle(&mut self) {
        for _ in 0..30 {
            self.others_act();
            self.run(1);
        }
    }

    /// Its pods by node, each with its image: `n1 one`; those being deleted with a `-`.
    fn told(&self) -> String {
        let one = |object: &Object| {
            let pod = object.get::<Pod>().unwrap();
            let mark = if object.meta().is_deleting() { "-" } else { "" };
            format!("{mark}{} {}", pod.target_node().unwrap_or("?"), pod.spec.containers[0].image)
        };
        let mut all: Vec<String> = self.pods().iter().map(one).collect();
        all.sort_by_key(|one| one.trim_start_matches('-').to_owned());
        all.join(", ")
    }

    fn on(&self, node: &str) -> String {
        let is = |object: &&Object| object.get::<Pod>().unwrap().target_node() == Some(node);
        self.pods().iter().find(is).unwrap().meta().name.to_string()
    }

    fn status(&self) -> DaemonSetStatus {
        self.world.get(Kind::DaemonSet, "default", "agent").unwrap().read::<DaemonSet>().unwrap().status
    }
}

#[test]
fn a_set_of_the_longest_name_has_its_pods() {
    let mut desk = Desk::new(0, 1);
    let template =
        json!({"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}});
    let spec = json!({"selector": {"matchLabels": {"app": "agent"}}, "template": template});
    let meta = json!({"name": "a".repeat(253), "namespace": "default"});
    desk.world.create(Kind::DaemonSet, json!({"metadata": meta, "spec": spec}));
    desk.settle();
    assert_eq!(desk.told(), "n1 one");
}

#[test]
fn each_node_has_its_pod() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed, 2);
        desk.create(json!({}));
        desk.run(1);
        assert_eq!(desk.told(), "n1 one, n2 one");
        let pod = desk.pods()[0].to_value();
        assert_eq!(
            pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
                [0]["matchFields"][0]["key"],
            "metadata.name"
        );
        let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
        assert_eq!(tolerations.len(), 6, "nothing is added to what it has: {tolerations:?}");
        assert!(tolerations.iter().all(|one| one.get("tolerationSeconds").is_none()));
        desk.settle();
        let status = desk.status();
        assert_eq!((status.desired_number_scheduled, status.current_number_scheduled, status.number_ready), (2, 2, 2));
        assert_eq!((status.updated_number_scheduled, status.number_available), (Some(2), Some(2)));
        assert_eq!((status.number_unavailable, status.observed_generation), (None, Some(1)));
        desk.world.node("n3");
        desk.run(1);
        assert_eq!(desk.told(), "n1 one, n2 one, n3 one");
        desk.settle();
        desk.world.take_writes();
        desk.run(1000);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
    }
}

#[test]
fn it_follows_the_labels_and_taints_of_nodes() {
    let mut desk = Desk::new(1, 3);
    desk.create(json!({"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}));
    desk.settle();
    desk.node("n1", json!({"metadata": {"labels": {"disk": "hdd"}}}));
    desk.run(1);
    assert_eq!(desk.told(), "-n1 one, n2 one, n3 one");
    desk.node("n2", json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}));
    desk.settle();
    assert_eq!(desk.told(), "n2 one, n3 one", "what is there stays");
    let status = desk.status();
    assert_eq!((status.desired_number_scheduled, status.number_misscheduled), (1, 1));
    desk.world.delete_at_once(Key::new(Kind::Pod, "default", &desk.on("n2")));
    desk.node(
        "n3",
        json!({"spec": {"unschedulable": true, "taints": [
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}}),
    );
    desk.settle();
    assert_eq!(desk.told(), "n3 one", "a cordon does not keep it away, another taint does");
    desk.node("n2", json!({"spec": {"taints": null}}));
    desk.node("n3", json!({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}));
    desk.settle();
    assert_eq!(desk.told(), "n2 one");
}

#[test]
fn an_update_ends_one_pod_at_a_time() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed, 3);
        desk.create(json!({}));
        desk.settle();
        desk.image("two");
        desk.run(1);
        assert_eq!(desk.told(), "-n1 one, n2 one, n3 one");
        desk.others_act();
        desk.run(1);
        assert_eq!(desk.told(), "n1 two, n2 one, n3 one", "the next waits until this one serves");
        assert_eq!(desk.status().updated_number_scheduled, Some(1));
        desk.settle();
        assert_eq!(desk.told(), "n1 two, n2 two, n3 two");
        // Back to the first template: its revision is there already.
        desk.image("one");
        desk.settle();
        assert_eq!(desk.told(), "n1 one, n2 one, n3 one");
        let revisions: Vec<i64> = desk
            .world
            .objects(Kind::ControllerRevision)
            .iter()
            .map(|one| one.to_value()["revision"].as_i64().unwrap())
            .collect();
        assert_eq!(revisions.len(), 2);
        assert_eq!(revisions.iter().max(), Some(&3));
    }
}

#[test]
fn pods_that_do_not_serve_are_replaced_out_of_turn() {
    let mut desk = Desk::new(3, 3);
    desk.create(json!({}));
    desk.settle();
    let (two, three) = (desk.on("n2"), desk.on("n3"));
    desk.say(&two, "Running", "False");
    desk.say(&three, "Running", "False");
    desk.image("two");
    desk.run(1);
    assert_eq!(desk.told(), "n1 one, -n2 one, -n3 one");
}

#[test]
fn with_a_surge_the_new_pod_comes_first() {
    let mut desk = Desk::new(2, 3);
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    desk.create(json!({"updateStrategy": strategy, "minReadySeconds": 5}));
    desk.settle();
    desk.image("two");
    desk.run(1);
    assert_eq!(desk.told(), "n1 one, n1 two, n2 one, n3 one");
    desk.others_act();
    desk.run(4);
    assert_eq!(desk.told(), "n1 one, n1 two, n2 one, n3 one", "for minReadySeconds it is only ready");
    desk.run(3);
    assert_eq!(desk.told(), "-n1 one, n1 two, n2 one, n2 two, n3 one");
    desk.settle();
    assert_eq!(desk.told(), "n1 two, n2 two, n3 two");
}

#[test]
fn where_nothing_new_comes_a_surge_does_not_leave_two_for_ever() {
    let mut desk = Desk::new(6, 1);
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let closed = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    desk.create(json!({"updateStrategy": strategy}));
    desk.settle();
    desk.image("two");
    desk.run(1);
    assert_eq!(desk.told(), "n1 one, n1 two");
    desk.node("n1", closed.clone());
    desk.run(1);
    assert_eq!(desk.told(), "n1 one", "the new one was not bound, and will not be");
    desk.node("n1", json!({"spec": {"taints": null}}));
    desk.run(1);
    assert_eq!(desk.told(), "n1 one, n1 two");
    let new = desk.pods().into_iter().find(|one| one.get::<Pod>().unwrap().node().is_none()).unwrap();
    desk.world.ask(Verb::Bind { key: new.key(), uid: (*new.meta().uid).into(), node: "n1".into() });
    desk.run(1);
    desk.node("n1", closed);
    desk.run(1);
    assert_eq!(desk.told(), "n1 one, n1 two", "it is there, and not ready yet");
    desk.say(&new.meta().name, "Running", "True");
    desk.run(1);
    assert_eq!(desk.told(), "-n1 one, n1 two");
    desk.settle();
    desk.image("three");
    desk.settle();
    assert_eq!(desk.told(), "n1 two", "nobody could take its place");
}

#[test]
fn on_delete_people_decide() {
    let mut desk = Desk::new(0, 2);
    desk.create(json!({"updateStrategy": {"type": "OnDelete"}}));
    desk.settle();
    desk.image("two");
    desk.settle();
    assert_eq!(desk.told(), "n1 one, n2 one");
    desk.world.delete_at_once(Key::new(Kind::Pod, "default", &desk.on("n1")));
    desk.settle();
    assert_eq!(desk.told(), "n1 two, n2 one");
}

#[test]
fn a_pod_that_fails_is_replaced_later_each_time() {
    let mut desk = Desk::new(4, 2);
    desk.create(json!({}));
    desk.settle();
    let mut made = std::collections::BTreeSet::new();
    for _ in 0..200 {
        desk.others_act();
        let is = |pod: &&Object| pod.get::<Pod>().unwrap().target_node() == Some("n1");
        // Its successor has its name.
        if let Some(pod) = desk.pods().iter().find(is)
            && made.insert(pod.meta().uid.clone())
        {
            desk.say(&pod.meta().name, "Failed", "False");
        }
        desk.others_act();
        desk.run(1);
    }
    assert!((5..12).contains(&made.len()), "{} pods in 200 s", made.len());
    assert_eq!(desk.world.told_about("agent").iter().filter(|one| *one == "FailedDaemonPod").count().min(1), 1);
}

/// Somebody with an old view of the node does not want it there.
#[test]
fn a_pod_that_is_taken_away_before_it_runs_is_replaced_later_each_time() {
    for surge in [json!({}), json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}})] {
        let mut desk = Desk::new(6, 2);
        desk.create(surge.clone());
        desk.run(1);
        desk.world.take_writes();
        for _ in 0..300 {
            let is = |pod: &&Object| pod.get::<Pod>().unwrap().target_node() == Some("n1");
            for pod in desk.pods().iter().filter(is) {
                desk.world.delete_at_once(pod.key());
            }
            desk.run(1);
        }
        let made = desk.world.take_writes().iter().filter(|write| write.starts_with("create pods")).count();
        assert!((3..15).contains(&made), "{made} pods in 300 s, {surge}");
    }
}

#[test]
fn pods_of_a_node_that_vanished_before_they_were_bound_go() {
    let mut desk = Desk::new(5, 2);
    desk.create(json!({}));
    desk.run(1);
    desk.world.alive.remove("n2");
    desk.world.delete(Key::new(Kind::Node, "", "n2"), None);
    desk.run(1);
    assert_eq!(desk.told(), "n1 one");
}

#[test]
fn a_revision_stays_as_long_as_a_pod_is_of_it() {
    let mut desk = Desk::new(5, 2);
    desk.create(json!({"updateStrategy": {"type": "OnDelete"}, "revisionHistoryLimit": 0}));
    desk.settle();
    desk.image("two");
    // That its node is gone for a while is no reason to forget what the pod there is.
    desk.world.alive.remove("n2");
    desk.world.delete(Key::new(Kind::Node, "", "n2"), None);
    desk.world.delete_at_once(Key::new(Kind::Pod, "default", &desk.on("n1")));
    desk.settle();
    let revisions = |desk: &Desk| desk.world.objects(Kind::ControllerRevision).len();
    assert_eq!((desk.told().as_str(), revisions(&desk)), ("n1 two, n2 one", 2));
    desk.world.delete_at_once(Key::new(Kind::Pod, "default", &desk.on("n2")));
    desk.run(1);
    assert_eq!((desk.told().as_str(), revisions(&desk)), ("n1 two", 1));
}

#[test]
fn there_is_one_pod_on_a_node_at_a_time() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed, 3);
        desk.world.lost_percent = 25;
        desk.create(json!({}));
        for round in 0..120_u64 {
            desk.run(5);
            if round % 4 == 0 {
                desk.others_act();
            }
            if round == 40 {
                desk.image("two");
            }
            if round % 10 == 9 {
                desk.world.forget_program();
                desk.controller =
                    WorkloadController::new(&[&DaemonSets], Options { seed: round, ..Options::default() });
            }
            for node in ["n1", "n2", "n3"] {
                let on = desk.pods().iter().filter(|pod| pod.get::<Pod>().unwrap().target_node() == Some(node)).count();
                assert!(on <= 1, "{on} on {node}, seed {seed}: {}", desk.told());
            }
        }
        desk.world.lost_percent = 0;
        for _ in 0..60 {
            desk.others_act();
            desk.run(5);
        }
        assert_eq!(desk.told(), "n1 two, n2 two, n3 two", "seed {seed}");
    }
}

/// The set is gone, which its view does not show, and what is made for it is collected. No status tells of that.
#[test]
fn a_revision_that_is_taken_away_again_and_again_is_made_later_each_time() {
    let mut desk = Desk::new(1, 0);
    desk.create(json!({}));
    desk.run(1);
    desk.world.deaf_to.insert(Kind::DaemonSet);
    desk.world.delete_at_once(Key::new(Kind::DaemonSet, "default", "agent"));
    desk.world.take_writes();
    for _ in 0..60 {
        for revision in desk.world.objects(Kind::ControllerRevision) {
            desk.world.delete_at_once(revision.key());
        }
        desk.run(1);
    }
    let writes = desk.world.take_writes();
    let made = writes.iter().filter(|write| write.starts_with("create controllerrevisions")).count();
    assert!((2..10).contains(&made), "{made} in a minute");
}
