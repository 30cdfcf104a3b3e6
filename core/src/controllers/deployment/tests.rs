//! The Deployment controller as a whole, against the real API server. Replica sets get what they want at once, unless a
//! test says otherwise.

use crate::api::deployment::{Deployment, POD_TEMPLATE_HASH};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::replicaset::ReplicaSet;
use crate::controllers::deployment::Deployments;
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
        let controller = WorkloadController::new(&[&Deployments], Options::default());
        let mut desk = Desk { world: World::new(seed), controller };
        desk.run(1);
        desk
    }

    /// Lets the controller do what it does without anything new.
    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    /// The replica sets have done what they are asked for.
    fn sets_act(&mut self) {
        for object in self.sets() {
            let set: &ReplicaSet = object.get().unwrap();
            let wanted = set.wanted();
            let status = json!({"replicas": wanted, "readyReplicas": wanted, "availableReplicas": wanted,
                "observedGeneration": set.metadata.generation});
            self.world.merge(object.key(), json!({"status": status}), Part::Status);
        }
    }

    /// As many rounds as are needed until nothing changes.
    fn settle(&mut self) {
        for _ in 0..60 {
            self.world.take_writes();
            self.sets_act();
            self.run(1);
            if self.world.take_writes().is_empty() {
                return;
            }
        }
        panic!("no end of changes: {}", self.sizes());
    }

    fn create(&mut self, spec: Value) -> Object {
        let mut all = json!({"selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}});
        crate::patch::merge::merge(&mut all, &spec);
        let meta = json!({"name": "web", "namespace": "default", "annotations": {"why": "first"}});
        self.world.create(Kind::Deployment, json!({"metadata": meta, "spec": all}))
    }

    fn patch(&mut self, patch: Value) {
        self.world.merge(Key::new(Kind::Deployment, "default", "web"), patch, Part::Main);
    }

    fn image(&mut self, image: &str) {
        self.patch(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}));
    }

    fn sets(&self) -> Vec<Object> {
        let mut sets = self.world.objects(Kind::ReplicaSet);
        sets.sort_by_key(|set| crate::api::deployment::revision(set.meta()));
        sets
    }

    /// Each set's revision, image and size: `1 one 4/4`.
    fn sizes(&self) -> String {
        let one = |object: &Object| {
            let set: &ReplicaSet = object.get().unwrap();
            let image = &set.spec.template.spec.containers[0].image;
            format!("{} {image} {}", crate::api::deployment::revision(&set.metadata), set.wanted())
        };
        self.sets().iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn stored(&self) -> Deployment {
        self.world.get(Kind::Deployment, "default", "web").unwrap().read().unwrap()
    }

    fn progressing(&self) -> String {
        let status = self.stored().status;
        let said = super::progress::progressing(&status).map(|one| format!("{} {}", one.status, one.reason));
        said.unwrap_or_default()
    }
}

#[test]
fn a_deployment_makes_a_set_and_says_how_it_goes() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"replicas": 3}));
        desk.run(1);
        assert_eq!(desk.sizes(), "1 one 3");
        assert_eq!(desk.progressing(), "True NewReplicaSetCreated");
        let object = desk.sets()[0].clone();
        let set: &ReplicaSet = object.get().unwrap();
        let hash = set.metadata.labels[POD_TEMPLATE_HASH].clone();
        assert_eq!(set.metadata.name, format!("web-{hash}"));
        assert_eq!(set.spec.selector.match_labels[POD_TEMPLATE_HASH], hash);
        assert_eq!(set.spec.template.metadata.labels[POD_TEMPLATE_HASH], hash);
        assert_eq!(set.metadata.annotations["why"], "first");
        assert_eq!(set.metadata.annotations["deployment.kubernetes.io/max-replicas"], "4");
        desk.settle();
        let deployment = desk.stored();
        let status = &deployment.status;
        assert_eq!((status.replicas, status.updated_replicas, status.available_replicas), (Some(3), Some(3), Some(3)));
        assert_eq!(status.unavailable_replicas, None);
        assert_eq!(desk.progressing(), "True NewReplicaSetAvailable");
        let meta = desk.world.get(Kind::Deployment, "default", "web").unwrap().meta().clone();
        assert_eq!(meta.annotations["deployment.kubernetes.io/revision"], "1");
        assert_eq!((status.observed_generation, meta.generation), (Some(1), Some(1)), "annotations are no new wish");
        desk.run(2000);
        assert_eq!(desk.world.take_writes(), [""; 0], "and then it is silent");
        assert_eq!(desk.world.told_about("web"), ["ScalingReplicaSet"]);
    }
}

#[test]
fn a_new_template_is_rolled_out_within_its_bounds() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"replicas": 10}));
        desk.run(1);
        desk.settle();
        desk.image("two");
        for _ in 0..40 {
            desk.run(1);
            let sets = desk.sets();
            let wanted: usize = sets.iter().map(|set| set.get::<ReplicaSet>().unwrap().wanted()).sum();
            let available: i32 = sets
                .iter()
                .map(|set| {
                    let set: &ReplicaSet = set.get().unwrap();
                    set.status.available_replicas.unwrap_or(0).min(set.spec.replicas.unwrap_or(0))
                })
                .sum();
            assert!(wanted <= 13 && available >= 8, "{}", desk.sizes());
            desk.sets_act();
        }
        assert_eq!(desk.sizes(), "1 one 0, 2 two 10");
        assert_eq!(desk.progressing(), "True NewReplicaSetAvailable");
        // Back to the first: its set becomes the newest, and remembers.
        desk.image("one");
        desk.settle();
        assert_eq!(desk.sizes(), "2 two 0, 3 one 10");
        assert_eq!(desk.sets()[1].meta().annotations["deployment.kubernetes.io/revision-history"], "1");
    }
}

#[test]
fn a_rollout_that_stands_still_is_told_and_goes_on_later() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 4, "progressDeadlineSeconds": 30, "strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}));
    desk.run(1);
    desk.settle();
    desk.image("broken");
    desk.run(1);
    // Pods of the new set never become ready; those of the old one stay as they are.
    for _ in 0..20 {
        for object in desk.sets() {
            let set: &ReplicaSet = object.get().unwrap();
            let wanted = set.wanted();
            let ready = if set.spec.template.spec.containers[0].image == "broken" { 0 } else { wanted };
            let status = json!({"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready,
                "observedGeneration": set.metadata.generation});
            desk.world.merge(object.key(), json!({"status": status}), Part::Status);
        }
        desk.run(1);
    }
    assert_eq!(desk.sizes(), "1 one 3, 2 broken 2");
    assert_eq!(desk.progressing(), "True ReplicaSetUpdated");
    desk.run(60);
    assert_eq!(desk.progressing(), "False ProgressDeadlineExceeded");
    desk.image("good");
    desk.settle();
    assert_eq!(desk.sizes(), "1 one 0, 2 broken 0, 3 good 4");
    assert_eq!(desk.progressing(), "True NewReplicaSetAvailable");
}

#[test]
fn a_paused_deployment_is_scaled_and_nothing_else() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 2}));
    desk.run(1);
    desk.settle();
    desk.patch(json!({"spec": {"paused": true, "replicas": 5}}));
    desk.image("two");
    desk.settle();
    assert_eq!(desk.sizes(), "1 one 5");
    assert_eq!(desk.progressing(), "Unknown DeploymentPaused");
    desk.patch(json!({"spec": {"paused": false}}));
    desk.settle();
    assert_eq!(desk.sizes(), "1 one 0, 2 two 5");
    assert_eq!(desk.progressing(), "True NewReplicaSetAvailable");
}

#[test]
fn with_recreate_the_old_pods_end_first() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.create(json!({"replicas": 2, "strategy": {"type": "Recreate"}}));
        desk.run(1);
        desk.settle();
        let old = desk.sets()[0].clone();
        let labels = json!({"app": "web", POD_TEMPLATE_HASH: old.meta().labels[POD_TEMPLATE_HASH]});
        let owners = crate::controllers::testing::owned_by(&old);
        let meta = json!({"name": "last", "namespace": "default", "labels": labels, "ownerReferences": owners});
        let pod = json!({"metadata": meta, "spec": {"containers": [{"name": "c", "image": "one"}]}});
        let pod = desk.world.create(Kind::Pod, pod);
        desk.image("two");
        desk.settle();
        assert_eq!(desk.sizes(), "1 one 0", "a pod of the old template is still there");
        desk.world.delete_at_once(pod.key());
        desk.settle();
        assert_eq!(desk.sizes(), "1 one 0, 2 two 2");
    }
}

#[test]
fn a_rollout_that_is_scaled_stays_as_far_as_it_was() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}}));
    desk.run(1);
    desk.settle();
    desk.image("two");
    desk.run(1);
    assert_eq!(desk.sizes(), "1 one 8, 2 two 5", "two of the old ones may be away");
    desk.patch(json!({"spec": {"replicas": 15}}));
    desk.run(1);
    assert_eq!(desk.sizes(), "1 one 11, 2 two 7");
}

#[test]
fn a_name_that_is_taken_is_no_end() {
    let mut desk = Desk::new(0);
    let deployment = desk.create(json!({"replicas": 1}));
    let template = deployment.read::<Deployment>().unwrap().spec.template;
    let name = format!("web-{}", super::sets::template_hash(&template, None));
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "other"}]}}});
    desk.world.create(Kind::ReplicaSet, json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}));
    desk.run(40);
    assert_eq!(desk.stored().status.collision_count, Some(1));
    assert_eq!(desk.sizes(), "0 other 1, 1 one 1");
}

#[test]
fn old_sets_are_kept_as_many_as_asked_for() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 1, "revisionHistoryLimit": 2}));
    for nth in 1..6 {
        desk.image(&format!("v{nth}"));
        desk.run(1);
        desk.settle();
    }
    assert_eq!(desk.sizes(), "4 v3 0, 5 v4 0, 6 v5 1");
}

#[test]
fn what_is_lost_is_done_again() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.lost_percent = 30;
        desk.create(json!({"replicas": 4}));
        for _ in 0..60 {
            desk.sets_act();
            desk.run(10);
        }
        desk.image("two");
        for _ in 0..120 {
            desk.sets_act();
            desk.run(10);
        }
        desk.world.lost_percent = 0;
        for _ in 0..60 {
            desk.sets_act();
            desk.run(10);
        }
        assert_eq!(desk.sizes(), "1 one 0, 2 two 4", "seed {seed}");
        assert_eq!(desk.progressing(), "True NewReplicaSetAvailable");
    }
}

#[test]
fn another_program_goes_on_where_the_first_left() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 4}));
    desk.run(1);
    desk.settle();
    desk.image("two");
    for seed in 1..30 {
        desk.world.forget_program();
        desk.controller = WorkloadController::new(&[&Deployments], Options { seed, ..Options::default() });
        desk.run(1);
        desk.sets_act();
    }
    assert_eq!(desk.sizes(), "1 one 0, 2 two 4");
}

#[test]
fn what_was_changed_is_not_changed_again_before_it_is_shown() {
    let mut desk = Desk::new(0);
    desk.create(json!({"replicas": 2}));
    desk.run(1);
    desk.settle();
    desk.world.deaf_to.insert(Kind::ReplicaSet);
    desk.world.take_writes();
    desk.patch(json!({"spec": {"replicas": 5}}));
    desk.run(20);
    let writes = desk.world.take_writes();
    assert_eq!(writes.iter().filter(|line| line.starts_with("Main replicasets")).count(), 1, "{writes:?}");
    desk.world.deaf_to.clear();
    desk.settle();
    assert_eq!(desk.sizes(), "1 one 5");
}
