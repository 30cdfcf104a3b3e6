//! ReplicationController: what a ReplicaSet is, under the name it had before.
//!
//! It wants what a replica set wants: [`replicaset::plan`](super::replicaset::plan) is asked of it as of one. The
//! [program](super::workload) around it is that of all workloads.

use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::replicaset::{ReplicaSet, ReplicaSetSpec};
use crate::api::replication::{ReplicationController, ReplicationControllerSpec};
use crate::api::selector::LabelSelector;
use crate::controllers::replicaset;
use crate::controllers::workload::{Plan, Scene, Workload};
use std::borrow::Cow;

/// Replication controllers: each is brought to its wanted number of pods.
#[derive(Debug)]
pub struct ReplicationControllers;

impl Workload for ReplicationControllers {
    fn kind(&self) -> Kind {
        Kind::ReplicationController
    }

    fn component(&self) -> &'static str {
        "replication-controller"
    }

    fn children(&self) -> &'static [Kind] {
        &[Kind::Pod]
    }

    fn selector<'a>(&self, owner: &'a Object) -> Option<Cow<'a, LabelSelector>> {
        let match_labels = owner.read::<ReplicationController>()?.spec.selector;
        Some(Cow::Owned(LabelSelector { match_labels, ..Default::default() }))
    }

    fn plan(&self, scene: &Scene<'_>) -> Plan {
        let Some(ReplicationController { spec, status, .. }) = scene.owner.read() else { return Plan::default() };
        let selector = LabelSelector { match_labels: spec.selector, ..Default::default() };
        let ReplicationControllerSpec { replicas, min_ready_seconds, template, .. } = spec;
        let spec = ReplicaSetSpec { replicas, min_ready_seconds, selector, template, ..Default::default() };
        let set = ReplicaSet { metadata: scene.owner.meta().clone(), spec, status, ..Default::default() };
        let (plan, status) = replicaset::plan::plan(scene, &set);
        Plan { status: status.map(|status| scene.owner.with_status(&status)), ..plan }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::object::Key;
    use crate::controllers::testing::World;
    use crate::controllers::workload::{Options, WorkloadController};
    use crate::program::Part;
    use serde_json::{Value, json};

    /// Unlike that of a replica set, its selector may change.
    #[test]
    fn whom_it_selects_no_longer_it_lets_go_and_whom_it_selects_now_it_takes() {
        let mut world = World::new(0);
        let mut controller = WorkloadController::new(&[&ReplicationControllers], Options::default());
        let template = |app: &str| json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let meta = |name: &str, labels: Value| json!({"name": name, "namespace": "default", "labels": labels});
        let spec = json!({"replicas": 1, "selector": {"app": "a"}, "template": template("a")});
        world.create(Kind::ReplicationController, json!({"metadata": meta("rc", json!({})), "spec": spec}));
        world.create(Kind::Pod, json!({"metadata": meta("one", json!({"app": "a"})), "spec": template("a")["spec"]}));
        world.create(Kind::Pod, json!({"metadata": meta("two", json!({"app": "b"})), "spec": template("b")["spec"]}));
        let owned = |world: &World| {
            let own = world.objects(Kind::Pod).into_iter().filter(|pod| pod.meta().controller().is_some());
            own.map(|pod| pod.meta().name.to_string()).collect::<Vec<_>>()
        };
        world.run(&mut controller, 5);
        assert_eq!(owned(&world), ["one"]);
        let changed = json!({"spec": {"selector": {"app": "b"}, "template": template("b")}});
        world.merge(Key::new(Kind::ReplicationController, "default", "rc"), changed, Part::Main);
        world.run(&mut controller, 5);
        assert_eq!(owned(&world), ["two"]);
        // And of those that come later, too.
        world.create(Kind::Pod, json!({"metadata": meta("six", json!({"app": "a"})), "spec": template("a")["spec"]}));
        world.merge(Key::new(Kind::Pod, "default", "two"), json!({"metadata": {"labels": {"app": "c"}}}), Part::Main);
        world.create(Kind::Pod, json!({"metadata": meta("ten", json!({"app": "b"})), "spec": template("b")["spec"]}));
        world.run(&mut controller, 5);
        assert_eq!(owned(&world).len(), 1);
        assert!(!owned(&world).contains(&"six".to_owned()), "{:?}", owned(&world));
    }
}
