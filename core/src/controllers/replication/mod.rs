//! ReplicationController: what a ReplicaSet is, under the name it had before.
//!
//! It wants what a replica set wants: [`replicaset::plan`](super::replicaset::plan) is asked of it as of one. The
//! [program](super::workload) around it is that of all workloads.

use crate::api::kinds::Kind;
use crate::api::meta::Labels;
use crate::api::object::Object;
use crate::api::pod::PodTemplateSpec;
use crate::api::replicaset::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use crate::api::selector::LabelSelector;
use crate::api_struct;
use crate::controllers::replicaset;
use crate::controllers::workload::{Plan, Scene, Workload};
use std::borrow::Cow;

api_struct! {
    /// A replication controller, but for its metadata.
    ///
    /// Source: Kubernetes API reference v1.32, "ReplicationController".
    pub struct ReplicationController {
        /// What is wished.
        spec "spec": ReplicationControllerSpec,
        /// What was counted.
        status "status": ReplicaSetStatus,
    }
}

api_struct! {
    /// What is wished of a replication controller.
    pub struct ReplicationControllerSpec {
        /// How many pods; 1 if absent.
        replicas "replicas": Option<i32>,
        /// For so many seconds a new pod must be ready before it counts as available.
        min_ready_seconds "minReadySeconds": Option<i32>,
        /// Labels that its pods have.
        selector "selector": Labels,
        /// What new pods look like.
        template "template": PodTemplateSpec,
    }
}

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
