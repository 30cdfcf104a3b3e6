//! HorizontalPodAutoscaler: how many pods there are to be, by how much they do.
//!
//! Source: Kubernetes API reference v1.32, "HorizontalPodAutoscaler" (autoscaling/v2).

use crate::api::condition::Condition;
use crate::api::meta::{ObjectMeta, Time};
use crate::api::quantity::Quantity;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::{api_enum, api_struct};
use serde_json::Value;

api_struct! {
    /// An autoscaler, but for its metadata.
    pub struct HorizontalPodAutoscaler {
        /// What is wished.
        spec "spec": AutoscalerSpec,
        /// What its controller saw and did.
        status "status": AutoscalerStatus,
    }
}

api_struct! {
    /// What is wished of an autoscaler.
    pub struct AutoscalerSpec {
        /// What is scaled.
        scale_target_ref "scaleTargetRef" always: TargetReference,
        /// No fewer; 1 if absent.
        min_replicas "minReplicas": Option<i32>,
        /// No more.
        max_replicas "maxReplicas" always: i32,
        /// What is measured, and what it should be. The largest of the numbers that follow counts.
        metrics "metrics": Vec<MetricSpec>,
        /// How fast it goes up and down.
        behavior "behavior": Option<Behavior>,
    }
}

api_struct! {
    /// An object of the same namespace.
    pub struct TargetReference {
        /// Its kind.
        kind "kind" always: Text,
        /// Its name.
        name "name" always: Text,
        /// Its group and version.
        api_version "apiVersion": Text,
    }
}

api_struct! {
    /// Something that is measured. The field is set that `type` names.
    pub struct MetricSpec {
        /// `Resource`, `ContainerResource`, `Pods`, `Object` or `External`.
        kind "type" always: Text,
        /// A resource of all containers of each pod.
        resource "resource": Option<ResourceSource>,
        /// A resource of one container of each pod.
        container_resource "containerResource": Option<ResourceSource>,
        /// Something that pods tell of themselves.
        pods "pods": Option<CustomSource>,
        /// Something about one object.
        object "object": Option<CustomSource>,
        /// Something outside of the cluster.
        external "external": Option<CustomSource>,
    }
}

api_struct! {
    /// A resource, and what it should be.
    pub struct ResourceSource {
        /// `cpu` or `memory`.
        name "name" always: Text,
        /// The container that is measured; absent where all are.
        container "container": Text,
        /// What it should be.
        target "target" always: MetricTarget,
    }
}

api_struct! {
    /// What a metric should be.
    pub struct MetricTarget {
        /// `Utilization`, `Value` or `AverageValue`.
        kind "type" always: Text,
        /// On average over the pods.
        average_value "averageValue": Option<Quantity>,
        /// On average over the pods, in percent of what they request.
        average_utilization "averageUtilization": Option<i32>,
    }
}

api_struct! {
    /// A metric that somebody else would have to measure.
    pub struct CustomSource {
        /// Which one.
        metric "metric" always: Identifier,
        /// Of which object.
        described_object "describedObject": Option<TargetReference>,
    }
}

api_struct! {
    /// The name of a metric.
    pub struct Identifier {
        /// Its name.
        name "name" always: Text,
        /// Which of those of that name.
        selector "selector": Option<LabelSelector>,
    }
}

api_struct! {
    /// How fast an autoscaler goes up and down.
    pub struct Behavior {
        /// Up.
        scale_up "scaleUp": Option<Rules>,
        /// Down.
        scale_down "scaleDown": Option<Rules>,
    }
}

api_struct! {
    /// How fast it goes one way.
    pub struct Rules {
        /// For so many seconds what was recommended before is looked at: up goes as far as the least of it, down as the most.
        stabilization_window_seconds "stabilizationWindowSeconds": Option<i32>,
        /// Which of the policies counts; the one that allows most if absent.
        select_policy "selectPolicy": Option<SelectPolicy>,
        /// How much at most in which time.
        policies "policies": Vec<Policy>,
    }
}

api_enum! {
    /// Which of several policies counts.
    pub enum SelectPolicy {
        /// The one that allows most.
        #[default] Max "Max",
        /// The one that allows least.
        Min "Min",
        /// None: that way is closed.
        Disabled "Disabled",
    }
}

api_struct! {
    /// How much at most in which time.
    pub struct Policy {
        /// `Pods` or `Percent`.
        kind "type" always: Text,
        /// So many pods, or percent of those that there were.
        value "value" always: i32,
        /// In so many seconds.
        period_seconds "periodSeconds" always: i32,
    }
}

api_struct! {
    /// What an autoscaler's controller saw and did.
    pub struct AutoscalerStatus {
        /// When it last changed the number.
        last_scale_time "lastScaleTime": Option<Time>,
        /// How many were wished of the target when it was looked at.
        current_replicas "currentReplicas": Option<i32>,
        /// How many are wished since.
        desired_replicas "desiredReplicas" always: i32,
        /// What was measured, in the order of `spec.metrics`.
        current_metrics "currentMetrics": Vec<MetricStatus>,
        /// [`ABLE_TO_SCALE`], [`SCALING_ACTIVE`] and [`SCALING_LIMITED`].
        conditions "conditions": Vec<Condition>,
    }
}

api_struct! {
    /// What was measured. A metric that could not be has a type and nothing else.
    pub struct MetricStatus {
        /// As in the metric's spec.
        kind "type" always: Text,
        /// A resource of all containers of each pod.
        resource "resource": Option<ResourceStatus>,
        /// A resource of one container of each pod.
        container_resource "containerResource": Option<ResourceStatus>,
    }
}

api_struct! {
    /// A resource, and what it is.
    pub struct ResourceStatus {
        /// `cpu` or `memory`.
        name "name" always: Text,
        /// The container that was measured.
        container "container": Text,
        /// What it is.
        current "current" always: MetricValue,
    }
}

api_struct! {
    /// What a metric is.
    pub struct MetricValue {
        /// On average over the pods.
        average_value "averageValue": Option<Quantity>,
        /// On average over the pods, in percent of what they request.
        average_utilization "averageUtilization": Option<i32>,
    }
}

/// The type of the condition that says whether the target's scale can be read and written.
pub const ABLE_TO_SCALE: &str = "AbleToScale";
/// The type of the condition that says whether a number could be reckoned.
pub const SCALING_ACTIVE: &str = "ScalingActive";
/// The type of the condition that says whether a bound or a rate held the number.
pub const SCALING_LIMITED: &str = "ScalingLimited";

api_struct! {
    /// Minik8s' autoscaler, but for its metadata: one step at a time between two bounds.
    pub struct Hpa {
        /// What is wished.
        spec "spec": HpaSpec,
        /// What was seen.
        status "status": HpaStatus,
    }
}

api_struct! {
    /// What is wished of Minik8s' autoscaler.
    pub struct HpaSpec {
        /// No fewer; 1 if absent.
        min_replicas "minReplicas": Option<i32>,
        /// No more.
        max_replicas "maxReplicas" always: i32,
        /// The pod that is copied, or a workload that is scaled.
        scale_target_ref "scaleTargetRef": Option<HpaTarget>,
        /// Seconds between two looks; 15 if absent.
        interval "interval": Option<i32>,
        /// Which pods are counted and measured.
        selector "selector": Option<LabelSelector>,
        /// Above what use there are to be more.
        metrics "metrics": HpaMetrics,
    }
}

api_struct! {
    /// What Minik8s' autoscaler scales.
    pub struct HpaTarget {
        /// `Pod`, or a kind with a scale.
        kind "kind" always: Text,
        /// Its group and version, of a workload.
        api_version "apiVersion": Text,
        /// Its name.
        name "name": Text,
        /// Minik8s' place of the name.
        metadata "metadata": Option<ObjectMeta>,
    }
}

api_struct! {
    /// How much is to be used, in percent of what a pod may use.
    pub struct HpaMetrics {
        /// Processor time.
        cpu_percent "cpuPercent": Option<Value>,
        /// Memory.
        mem_percent "memPercent": Option<Value>,
    }
}

api_struct! {
    /// What Minik8s' autoscaler saw.
    pub struct HpaStatus {
        /// How many pods there are.
        current_replicas "currentReplicas" always: i32,
        /// Processor time in percent, on average over the pods.
        current_cpu_percent "currentCPUPercent": Option<i32>,
        /// Memory in percent, on average over the pods.
        current_mem_percent "currentMemPercent": Option<i32>,
        /// When the last step was made.
        last_scale_time "lastScaleTime": Option<Time>,
    }
}

impl HpaTarget {
    /// Its name, wherever it stands.
    pub fn name(&self) -> &str {
        let own = self.metadata.as_ref().map_or("", |meta| meta.name.as_str());
        if self.name.is_empty() { own } else { &self.name }
    }
}
