//! The StatefulSet controller as a whole, against the real API server.

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::{Pod, PodPhase};
use crate::api::statefulset::StatefulSet;
use crate::controllers::statefulset::StatefulSets;
use crate::controllers::testing::World;
use crate::controllers::workload::{BURST, Options, WorkloadController};
use crate::program::Part;
use serde_json::{Value, json};

const SEEDS: std::ops::Range<u64> = 0..6;

struct Desk {
    world: World,
    controller: WorkloadController,
}

impl Desk {
    fn new(seed: u64) -> Self {
        let controller = WorkloadController::new(&[&StatefulSets], Options::default());
        let mut desk = Desk { world: World::new(seed), controller };
        desk.world.node("n");
        desk.run(1);
        desk
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn create(&mut self, spec: Value) {
        let mut all = json!({"serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "one"}]}}});
        crate::patch::merge::merge(&mut all, &spec);
        self.world.create(Kind::StatefulSet, json!({"metadata": {"name": "web", "namespace": "default"}, "spec": all}));
    }

    fn patch(&mut self, patch: Value) {
        self.world.merge(Key::new(Kind::StatefulSet, "default", "web"), patch, Part::Main);
    }

    fn image(&mut self, image: &str) {
        self.patch(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}));
    }

    fn pods(&self) -> Vec<Object> {
        self.world.objects(Kind::Pod)
    }

    /// Pods that are only made yet run from now on, and those that are deleted are gone.
    fn nodes_act(&mut self) {
        self.world.kubelets_finish_pods();
        for pod in self.pods() {
            if pod.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Pending) {
                self.say(&pod.meta().name, "True");
            }
        }
    }

    fn say(&mut self, pod: &str, ready: &str) {
        let at = crate::api::meta::Time::of(self.world.now.wall).to_string();
        let condition = json!([{"type": "Ready", "status": ready, "lastTransitionTime": at}]);
        let status = json!({"status": {"phase": "Running", "conditions": condition}});
        self.world.merge(Key::new(Kind::Pod, "default", pod), status, Part::Status);
    }

    fn settle(&mut self) {
        for _ in 0..40 {
            self.nodes_act();
            self.run(1);
        }
    }

    /// The pods in their order, each with its image: `web-0 one`; those being deleted with a `-`.
    fn told(&self) -> String {
        let one = |object: &Object| {
            let mark = if object.meta().is_deleting() { "-" } else { "" };
            format!("{mark}{} {}", object.meta().name, object.get::<Pod>().unwrap().spec.containers[0].image)
        };
        self.pods().iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn stored(&self) -> StatefulSet {
        self.world.get(Kind::StatefulSet, "default", "web").unwrap().read().unwrap()
    }
}

#[test]
fn pods_are_made_one_after_the_other_and_ended_so() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"replicas": 3}));
        desk.run(1);
        assert_eq!(desk.told(), "web-0 one", "the second waits for the first");
        desk.run(30);
        assert_eq!(desk.told(), "web-0 one");
        desk.nodes_act();
        desk.run(1);
        assert_eq!(desk.told(), "web-0 one, web-1 one");
        desk.settle();
        assert_eq!(desk.told(), "web-0 one, web-1 one, web-2 one");
        let pod = desk.pods()[1].clone();
        let labels = &pod.meta().labels;
        assert_eq!(
            (labels["statefulset.kubernetes.io/pod-name"].as_str(), labels["apps.kubernetes.io/pod-index"].as_str()),
            ("web-1", "1")
        );
        assert_eq!(pod.get::<Pod>().unwrap().spec.hostname, "web-1");
        let status = desk.stored().status;
        assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (3, Some(3), 3));
        assert_eq!((status.current_revision == status.update_revision, status.updated_replicas), (true, Some(3)));
        desk.patch(json!({"spec": {"replicas": 1}}));
        desk.run(1);
        assert_eq!(desk.told(), "web-0 one, web-1 one, -web-2 one", "the second waits until the third is gone");
        desk.settle();
        assert_eq!(desk.told(), "web-0 one");
        desk.world.take_writes();
        desk.run(1000);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
    }
}

#[test]
fn in_parallel_nobody_waits() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 3, "podManagementPolicy": "Parallel", "ordinals": {"start": 5}}));
    desk.run(1);
    assert_eq!(desk.told(), "web-5 one, web-6 one, web-7 one");
    desk.patch(json!({"spec": {"replicas": 1}}));
    desk.run(1);
    assert_eq!(desk.told(), "web-5 one, -web-6 one, -web-7 one");
}

#[test]
fn of_very_many_some_are_made_at_a_time() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 1, "podManagementPolicy": "Parallel"}));
    desk.settle();
    desk.world.take_writes();
    desk.world.hold_writes = true;
    desk.patch(json!({"spec": {"replicas": i32::MAX}}));
    desk.run(1);
    let writes = desk.world.take_writes();
    let made: Vec<&str> = writes.iter().filter_map(|one| one.strip_prefix("create pods/default/")).collect();
    assert_eq!((made.len(), made[0], made[BURST - 1]), (BURST, "web-1", "web-500"));
    desk.world.lose_held();
    desk.patch(json!({"spec": {"replicas": 2}}));
    desk.settle();
    assert_eq!(desk.told(), "web-0 one, web-1 one");
}

#[test]
fn an_update_goes_from_the_last_to_the_first() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"replicas": 3}));
        desk.settle();
        desk.image("two");
        desk.run(1);
        assert_eq!(desk.told(), "web-0 one, web-1 one, -web-2 one");
        desk.nodes_act();
        desk.run(1);
        assert_eq!(desk.told(), "web-0 one, web-1 one, web-2 two", "the next waits until this one is ready");
        let status = desk.stored().status;
        assert_ne!(status.current_revision, status.update_revision);
        desk.settle();
        assert_eq!(desk.told(), "web-0 two, web-1 two, web-2 two");
        let status = desk.stored().status;
        assert_eq!(status.current_revision, status.update_revision);
        assert_eq!(desk.world.objects(Kind::ControllerRevision).len(), 2);
        // Back to the first template: its revision is there already.
        desk.image("one");
        desk.settle();
        assert_eq!(desk.told(), "web-0 one, web-1 one, web-2 one");
        assert_eq!(desk.world.objects(Kind::ControllerRevision).len(), 2);
    }
}

#[test]
fn a_number_whose_pods_are_taken_away_is_staffed_later_each_time() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 2, "podManagementPolicy": "Parallel"}));
    let mut made = Vec::new();
    for second in 0..40 {
        desk.run(1);
        let first = Key::new(Kind::Pod, "default", "web-0");
        if desk.world.get(Kind::Pod, "default", "web-0").is_some() {
            made.push(second);
            desk.world.delete_at_once(first);
        }
    }
    assert_eq!(made, [0, 1, 2, 4, 8, 16, 32], "as soon as it is bound, it is evicted");
    assert_eq!(desk.told(), "web-1 one", "the other number is another matter");
}

#[test]
fn an_update_is_over_when_each_number_is_new() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 2}));
    desk.settle();
    desk.image("two");
    desk.run(1);
    desk.nodes_act();
    desk.run(1);
    desk.nodes_act();
    desk.run(1);
    assert_eq!(desk.told(), "-web-0 one, web-1 two");
    // It has ended, and its node is slow to say that it is gone.
    let (first, failed) = (Key::new(Kind::Pod, "default", "web-0"), json!({"status": {"phase": "Failed"}}));
    desk.world.merge(first, failed, Part::Status);
    desk.patch(json!({"spec": {"replicas": 1}}));
    desk.run(1);
    let status = desk.stored().status;
    assert_eq!((status.replicas, status.current_revision == status.update_revision), (1, false));
    desk.settle();
    let status = desk.stored().status;
    assert_eq!((desk.told().as_str(), status.current_revision == status.update_revision), ("web-0 two", true));
}

#[test]
fn below_the_partition_pods_stay_as_they_were() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}));
    desk.settle();
    desk.image("two");
    desk.settle();
    assert_eq!(desk.told(), "web-0 one, web-1 one, web-2 two");
    let pod = Key::new(Kind::Pod, "default", "web-0");
    desk.world.delete_at_once(pod);
    desk.settle();
    assert_eq!(desk.told(), "web-0 one, web-1 one, web-2 two", "made again as it was");
    desk.patch(json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}));
    desk.settle();
    assert_eq!(desk.told(), "web-0 two, web-1 two, web-2 two");
}

#[test]
fn on_delete_people_decide() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}));
    desk.settle();
    desk.image("two");
    desk.settle();
    assert_eq!(desk.told(), "web-0 one, web-1 one");
    desk.world.delete_at_once(Key::new(Kind::Pod, "default", "web-1"));
    desk.settle();
    assert_eq!(desk.told(), "web-0 one, web-1 two");
}

#[test]
fn there_is_one_pod_of_a_number_at_a_time() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.lost_percent = 25;
        desk.create(json!({"replicas": 3}));
        let mut seen = std::collections::BTreeMap::<String, String>::new();
        for round in 0..150_u64 {
            desk.run(5);
            if round % 4 == 0 {
                desk.nodes_act();
            }
            if round == 40 {
                desk.image("two");
            }
            if round % 10 == 9 {
                desk.world.forget_program();
                desk.controller =
                    WorkloadController::new(&[&StatefulSets], Options { seed: round, ..Options::default() });
            }
            for pod in desk.pods() {
                let (name, uid) = (pod.meta().name.clone(), pod.meta().uid.clone());
                if let Some(before) = seen.insert(name.to_string(), uid.to_string()) {
                    let still = desk.pods().iter().any(|other| other.meta().uid == before && other.meta().uid != uid);
                    assert!(!still, "{name} twice, seed {seed}");
                }
            }
        }
        desk.world.lost_percent = 0;
        for _ in 0..60 {
            desk.nodes_act();
            desk.run(5);
        }
        assert_eq!(desk.told(), "web-0 two, web-1 two, web-2 two", "seed {seed}");
    }
}

#[test]
fn each_number_has_its_claims_and_keeps_them() {
    let check = |retention: Value, after: &str| {
        let mut desk = Desk::new(0);
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        desk.create(
            json!({"replicas": 2, "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": retention}),
        );
        desk.settle();
        assert_eq!(desk.world.names(Kind::PersistentVolumeClaim, "default"), "data-web-0 data-web-1");
        let pod = desk.pods()[1].to_value();
        assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-web-1");
        desk.patch(json!({"spec": {"replicas": 1}}));
        desk.settle();
        assert_eq!(desk.world.names(Kind::PersistentVolumeClaim, "default"), after);
    };
    check(json!({}), "data-web-0 data-web-1");
    check(json!({"whenScaled": "Delete", "whenDeleted": "Retain"}), "data-web-0");
}

#[test]
fn a_claim_that_is_left_of_a_number_without_a_pod_stays() {
    let mut desk = Desk::new(0);
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let meta = json!({"name": "data-web-1", "namespace": "default", "labels": {"app": "web"}});
    desk.world.create(Kind::PersistentVolumeClaim, json!({"metadata": meta, "spec": spec}));
    let claim = json!({"metadata": {"name": "data"}, "spec": spec});
    let retention = json!({"whenScaled": "Delete", "whenDeleted": "Retain"});
    desk.create(
        json!({"replicas": 1, "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": retention}),
    );
    desk.settle();
    let claims = |desk: &Desk| desk.world.names(Kind::PersistentVolumeClaim, "default");
    assert_eq!(claims(&desk), "data-web-0 data-web-1", "a former set has left it, and all that is in it");
    let scale_up_and_down = |desk: &mut Desk, policy: &str| {
        desk.patch(json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": policy}}}));
        for replicas in [2, 1] {
            desk.patch(json!({"spec": {"replicas": replicas}}));
            desk.settle();
        }
        claims(desk)
    };
    assert_eq!(scale_up_and_down(&mut desk, "Delete"), "data-web-0", "it goes with its pod");
    assert_eq!(scale_up_and_down(&mut desk, "Retain"), "data-web-0 data-web-1");
    desk.patch(json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}}));
    desk.settle();
    assert_eq!(claims(&desk), "data-web-0 data-web-1", "its pod went when claims were to stay");
    desk.world.take_writes();
    desk.run(100);
    assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
}

#[test]
fn a_claim_that_is_missing_is_made_also_when_its_pod_is_there() {
    for when_deleted in ["Retain", "Delete"] {
        let mut desk = Desk::new(0);
        let claim = json!({"metadata": {"name": "my-data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        let retention = json!({"whenScaled": "Retain", "whenDeleted": when_deleted});
        desk.create(
            json!({"replicas": 2, "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": retention}),
        );
        desk.settle();
        let pods: Vec<_> = desk.pods().iter().map(|pod| pod.meta().uid.clone()).collect();
        desk.world.delete_at_once(Key::new(Kind::PersistentVolumeClaim, "default", "my-data-web-1"));
        assert_eq!(desk.world.names(Kind::PersistentVolumeClaim, "default"), "my-data-web-0");
        desk.settle();
        assert_eq!(desk.world.names(Kind::PersistentVolumeClaim, "default"), "my-data-web-0 my-data-web-1");
        assert_eq!(desk.pods().iter().map(|pod| pod.meta().uid.clone()).collect::<Vec<_>>(), pods);
    }
}

#[test]
fn claims_go_with_their_set_or_outlive_it_as_it_says_by_now() {
    for (first, then) in [("Delete", "Retain"), ("Retain", "Delete")] {
        let mut desk = Desk::new(0);
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        let retention = json!({"whenScaled": "Retain", "whenDeleted": first});
        desk.create(
            json!({"replicas": 3, "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": retention}),
        );
        desk.settle();
        // One is left by a number that is not wanted, one is somebody else's, and one was a former set's.
        desk.patch(json!({"spec": {"replicas": 2}}));
        desk.settle();
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "o", "controller": true});
        let former =
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "f", "controller": true});
        for (name, owner) in [("data-web-3", other), ("data-web-4", former)] {
            let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
            let meta =
                json!({"name": name, "namespace": "default", "labels": {"app": "web"}, "ownerReferences": [owner]});
            desk.world.create(Kind::PersistentVolumeClaim, json!({"metadata": meta, "spec": spec}));
        }
        desk.settle();
        let uid = desk.world.get(Kind::StatefulSet, "default", "web").unwrap().meta().uid.to_string();
        let owner = |desk: &Desk, number: usize| {
            let claim = desk.world.get(Kind::PersistentVolumeClaim, "default", &format!("data-web-{number}")).unwrap();
            claim.meta().owner_references.iter().map(|one| one.uid.to_string()).collect::<Vec<_>>().join(" ")
        };
        let owners = |desk: &Desk| (0..5).map(|number| owner(desk, number)).collect::<Vec<_>>();
        let of = |policy: &str| if policy == "Delete" { uid.as_str() } else { "" };
        assert_eq!(owners(&desk), [of(first), of(first), of(first), "o", "f"]);
        desk.patch(json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": then}}}));
        desk.settle();
        assert_eq!(owners(&desk), [of(then), of(then), of(then), "o", "f"]);
        desk.world.take_writes();
        desk.run(100);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
    }
}

#[test]
fn a_claim_that_may_be_going_stays_when_its_number_is_wanted_again() {
    let mut desk = Desk::new(0);
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let retention = json!({"whenScaled": "Delete", "whenDeleted": "Delete"});
    desk.create(
        json!({"replicas": 2, "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": retention}),
    );
    desk.settle();
    let uid = |desk: &Desk| {
        let claim = desk.world.get(Kind::PersistentVolumeClaim, "default", "data-web-1");
        claim.filter(|claim| !claim.meta().is_deleting()).map(|claim| claim.meta().uid.clone())
    };
    let before = uid(&desk);
    desk.patch(json!({"spec": {"replicas": 1}}));
    desk.run(1);
    // The pod is gone, and nothing is heard of the request that its claim goes, too.
    desk.world.take_writes();
    desk.world.hold_writes = true;
    desk.nodes_act();
    desk.run(1);
    let asked = desk.world.take_writes();
    assert!(asked.iter().any(|one| one.ends_with("data-web-1")), "{asked:?}");
    desk.world.lose_held();
    desk.patch(json!({"spec": {"replicas": 2}}));
    desk.settle();
    assert_eq!((desk.told().as_str(), uid(&desk)), ("web-0 one, web-1 one", before));
}

#[test]
fn a_pod_that_may_be_going_does_not_go_in_place_of_one_of_a_higher_number() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 3}));
    desk.settle();
    let uid = |desk: &Desk| desk.world.get(Kind::Pod, "default", "web-1").map(|pod| pod.meta().uid.clone());
    let before = uid(&desk);
    // The third is replaced, and then the second is to go. Nothing is heard of that.
    desk.image("two");
    for _ in 0..2 {
        desk.run(1);
        desk.nodes_act();
    }
    assert_eq!(desk.told(), "web-0 one, web-1 one, web-2 two");
    desk.world.take_writes();
    desk.world.hold_writes = true;
    desk.run(1);
    let asked = desk.world.take_writes();
    assert!(asked.iter().any(|one| one.ends_with("pods/default/web-1")), "{asked:?}");
    desk.world.lose_held();
    desk.image("one");
    desk.patch(json!({"spec": {"replicas": 2}}));
    desk.settle();
    desk.settle();
    assert_eq!((desk.told().as_str(), uid(&desk)), ("web-0 one, web-1 one", before));
}
