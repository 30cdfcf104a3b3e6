//! ReplicaSet: so many pods of one template, always.
//!
//! Source: Kubernetes API reference v1.32, "ReplicaSet".

use crate::api::kinds::Column;
use crate::api::meta::{ObjectMeta, Time};
use crate::api::object::Object;
use crate::api::pod::PodTemplateSpec;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::api_struct;

api_struct! {
    /// A replica set.
    pub struct ReplicaSet {
        /// Names, identity, versions, ownership.
        metadata "metadata" always: ObjectMeta,
        /// What is wished.
        spec "spec" always: ReplicaSetSpec,
        /// What its controller counted.
        status "status" always: ReplicaSetStatus,
    }
}

api_struct! {
    /// What is wished of a replica set.
    pub struct ReplicaSetSpec {
        /// How many pods; 1 if absent.
        replicas "replicas": Option<i32>,
        /// For so many seconds a new pod must be ready before it counts as available.
        min_ready_seconds "minReadySeconds": Option<i32>,
        /// Which pods are its own. Fixed after creation; matches the template's labels; never empty.
        selector "selector" always: LabelSelector,
        /// What new pods look like.
        template "template": PodTemplateSpec,
    }
}

api_struct! {
    /// What a replica set's controller counted.
    pub struct ReplicaSetStatus {
        /// Pods that neither have finished nor are being deleted.
        replicas "replicas" always: i32,
        /// Those of them that have all the template's labels.
        fully_labeled_replicas "fullyLabeledReplicas": Option<i32>,
        /// Those of them that are ready.
        ready_replicas "readyReplicas": Option<i32>,
        /// Those of them that have been ready for `minReadySeconds`.
        available_replicas "availableReplicas": Option<i32>,
        /// The `generation` that these counts answer.
        observed_generation "observedGeneration": Option<i64>,
        /// What keeps it from its wish.
        conditions "conditions": Vec<ReplicaSetCondition>,
    }
}

api_struct! {
    /// One aspect of a replica set, and since when it is so.
    pub struct ReplicaSetCondition {
        /// `ReplicaFailure`.
        kind "type" always: Text,
        /// `True`, `False` or `Unknown`.
        status "status" always: Text,
        /// When `status` last changed.
        last_transition_time "lastTransitionTime": Option<Time>,
        /// Why, in one word.
        reason "reason": Text,
        /// Why, for people.
        message "message": Text,
    }
}

impl ReplicaSet {
    /// How many pods are wished.
    pub fn wanted(&self) -> usize {
        usize::try_from(self.spec.replicas.unwrap_or(1)).unwrap_or(0)
    }
}

/// What kubectl shows of replica sets.
pub const COLUMNS: &[Column] = &[
    Column::name("Name"),
    Column::new("Desired", 0, |object, _| set(object).wanted().to_string()),
    Column::new("Current", 0, |object, _| set(object).status.replicas.to_string()),
    Column::new("Ready", 0, |object, _| set(object).status.ready_replicas.unwrap_or(0).to_string()),
    Column::age(),
    Column::new("Containers", 1, |object, _| join(object, |container| &container.name)),
    Column::new("Images", 1, |object, _| join(object, |container| &container.image)),
    Column::new("Selector", 1, |object, _| set(object).spec.selector.to_string()),
];

fn set(object: &Object) -> &ReplicaSet {
    object.get().expect("the table of kinds hands these columns replica sets only")
}

fn join(object: &Object, of: fn(&crate::api::pod::Container) -> &Text) -> String {
    let containers = &set(object).spec.template.spec.containers;
    containers.iter().map(|container| of(container).as_str()).collect::<Vec<_>>().join(",")
}
