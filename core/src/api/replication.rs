//! ReplicationController: what a ReplicaSet is, under the name it had before.
//!
//! Source: Kubernetes API reference v1.32, "ReplicationController".

use crate::api::meta::Labels;
use crate::api::pod::PodTemplateSpec;
use crate::api::replicaset::ReplicaSetStatus;
use crate::api_struct;

api_struct! {
    /// A replication controller, but for its metadata.
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
