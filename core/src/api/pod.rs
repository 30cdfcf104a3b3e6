//! Pod: containers that share a node, a network and a life.
//!
//! Source: Kubernetes API reference v1.32, "Pod"; documentation, "Pod Lifecycle".

use crate::api::by_name::ByName;
use crate::api::kinds::Column;
use crate::api::meta::{ObjectMeta, Time};
use crate::api::object::Object;
use crate::api::pod_affinity::{Affinity, TopologySpreadConstraint};
use crate::api::quantity::{Amounts, Quantity};
use crate::api::resources::of_containers;
use crate::api::text::Text;
use crate::api::toleration::Tolerations;
use crate::time::{Human, Now};
use crate::{api_enum, api_struct};
use std::sync::Arc;

/// On a pod or a pod template: after so many failed starts of a container the pod is Failed.
///
/// MiniKu's rule; without it a start is tried again for ever, as Kubernetes does.
pub const START_RETRIES: &str = "miniku.dev/start-retries";

api_struct! {
    /// A pod.
    pub struct Pod {
        /// Names, identity, versions, ownership.
        metadata "metadata" always: ObjectMeta,
        /// What is wished. Shared between the pods of one template.
        spec "spec" always: Arc<PodSpec>,
        /// What the kubelet saw.
        status "status" always: PodStatus,
    }
}

api_struct! {
    /// What is wished of a pod. Fixed after creation, but for images, `nodeName` (once) and the deadline.
    pub struct PodSpec {
        /// At least one; names are unique.
        containers "containers" always: Arc<Vec<Container>>,
        /// When ended containers are started again.
        restart_policy "restartPolicy": RestartPolicy,
        /// Seconds between SIGTERM and SIGKILL; 30 if absent.
        termination_grace_period_seconds "terminationGracePeriodSeconds": Option<i64>,
        /// The node it runs on. Empty until the scheduler binds it; set by the user, the scheduler is left out.
        node_name "nodeName": Text,
        /// Labels a node must have.
        node_selector "nodeSelector": ByName<Text>,
        /// As what it speaks to the API server: a service account of its namespace. Given at creation if empty.
        service_account_name "serviceAccountName": Text,
        /// The same by its old name.
        service_account "serviceAccount": Text,
        /// The host name inside; the pod's name if empty.
        hostname "hostname": Text,
        /// What its priority is called: a PriorityClass. Given at creation if empty and one is for all.
        priority_class_name "priorityClassName": Text,
        /// Higher ones are scheduled first. Given at creation, by its class.
        priority "priority": Option<i32>,
        /// Whether others may have to go for it. Given at creation, by its class.
        preemption_policy "preemptionPolicy": Option<PreemptionPolicy>,
        /// The taints of a node that it puts up with.
        tolerations "tolerations": Tolerations,
        /// Which nodes and which neighbours it wants.
        affinity "affinity": Option<Arc<Affinity>>,
        /// How evenly it is spread, with others like it.
        topology_spread_constraints "topologySpreadConstraints": Vec<TopologySpreadConstraint>,
        /// While there is one, the scheduler leaves it alone.
        scheduling_gates "schedulingGates": Vec<SchedulingGate>,
        /// What running it takes beside its containers' requests.
        overhead "overhead": Amounts,
        /// Which scheduler is responsible; `default-scheduler` if empty.
        scheduler_name "schedulerName": Text,
    }
}

/// Why a pod with gates is not scheduled.
pub const SCHEDULING_GATED: &str = "SchedulingGated";

api_struct! {
    /// What keeps the scheduler from a pod, until somebody removes it.
    pub struct SchedulingGate {
        /// Whose it is.
        name "name" always: Text,
    }
}

api_enum! {
    /// Whether pods of lower priority may have to go for one that finds no room.
    pub enum PreemptionPolicy {
        /// They may.
        #[default] PreemptLowerPriority "PreemptLowerPriority",
        /// They stay.
        Never "Never",
    }
}

api_struct! {
    /// One container of a pod.
    pub struct Container {
        /// A DNS label, unique within the pod.
        name "name" always: Text,
        /// What it runs from.
        image "image": Text,
        /// Replaces the image's entrypoint if not empty. `$(NAME)` is replaced from `env`.
        command "command": Vec<Text>,
        /// Replaces the image's arguments if not empty. `$(NAME)` is replaced from `env`.
        args "args": Vec<Text>,
        /// Absolute; the image's if empty.
        working_dir "workingDir": Text,
        /// Environment on top of the image's, in order; later values may use earlier ones as `$(NAME)`.
        env "env": Vec<EnvVar>,
        /// Limits and requests.
        resources "resources" always: ResourceRequirements,
        /// When the image is fetched. Images are built in so far, so this decides nothing but is understood; another
        /// than [`Container::usual_pull_policy`] is said to be without effect.
        image_pull_policy "imagePullPolicy": Text,
        /// Whether its standard input is kept open for who attaches; else reading gives an end at once.
        stdin "stdin": bool,
        /// Whether that input ends with the first who attaches to it and leaves.
        stdin_once "stdinOnce": bool,
        /// Whether it has a terminal.
        tty "tty": bool,
    }
}

impl Container {
    /// When an image is fetched that nothing is said about: always if it may have changed under its tag.
    ///
    /// Source: Kubernetes documentation, "Images", default image pull policy.
    pub fn usual_pull_policy(&self) -> &'static str {
        usual_pull_policy(&self.image)
    }
}

/// See [`Container::usual_pull_policy`].
pub fn usual_pull_policy(image: &str) -> &'static str {
    // A colon before a slash is a registry's port.
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    if matches!(tag, None | Some("latest")) && !image.contains('@') { "Always" } else { "IfNotPresent" }
}

api_struct! {
    /// One environment variable.
    pub struct EnvVar {
        /// Its name.
        name "name" always: Text,
        /// Its value; empty if absent.
        value "value": Text,
    }
}

api_struct! {
    /// What a container is promised, and what it may not exceed. Keys are `cpu` and `memory`.
    pub struct ResourceRequirements {
        /// Enforced by cgroups.
        limits "limits": Amounts,
        /// Counted by the scheduler; a limit without a request counts as one.
        requests "requests": Amounts,
    }
}

api_enum! {
    /// When ended containers are started again.
    pub enum RestartPolicy {
        /// Whatever their exit code.
        #[default] Always "Always",
        /// If they failed.
        OnFailure "OnFailure",
        /// Not at all: there is one attempt.
        Never "Never",
    }
}

api_struct! {
    /// What the kubelet saw of a pod.
    pub struct PodStatus {
        /// Where it is in its life.
        phase "phase": PodPhase,
        /// Scheduled, initialized, ready and the like.
        conditions "conditions": Vec<PodCondition>,
        /// Why it is in this phase, for people.
        message "message": Text,
        /// Why it is in this phase, in one word.
        reason "reason": Text,
        /// For which node others have to go, so that it finds room there.
        nominated_node_name "nominatedNodeName": Text,
        /// The node's address.
        host_ip "hostIP": Text,
        /// The pod's own address.
        pod_ip "podIP": Text,
        /// When the kubelet took it on.
        start_time "startTime": Option<Time>,
        /// One a container, in the order of the spec.
        container_statuses "containerStatuses": Vec<ContainerStatus>,
        /// How its resources are guaranteed: `Guaranteed`, `Burstable` or `BestEffort`.
        qos_class "qosClass": Text,
        /// Failed starts in a row, where they are limited by [`START_RETRIES`]. Miniku's own field.
        retry_count "retryCount": Option<i32>,
        /// When the next start is due, where they are limited. Miniku's own field.
        next_retry_at "nextRetryAt": Option<Time>,
    }
}

api_enum! {
    /// Where a pod is in its life. `Succeeded` and `Failed` are final.
    pub enum PodPhase {
        /// Accepted, but not all containers have run yet.
        #[default] Pending "Pending",
        /// On a node, and at least one container runs or will again.
        Running "Running",
        /// All containers ended well and none will run again.
        Succeeded "Succeeded",
        /// All containers ended, at least one badly, and none will run again.
        Failed "Failed",
    }
}

impl PodPhase {
    /// Whether no container of the pod will ever run again.
    pub fn is_final(self) -> bool {
        matches!(self, PodPhase::Succeeded | PodPhase::Failed)
    }
}

api_struct! {
    /// One aspect of a pod, and since when it is so.
    pub struct PodCondition {
        /// `PodScheduled`, `Initialized`, `ContainersReady` or `Ready`.
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

api_struct! {
    /// What the kubelet saw of a container.
    pub struct ContainerStatus {
        /// The container's name.
        name "name" always: Text,
        /// What it is in now.
        state "state" always: ContainerState,
        /// How the attempt before ended.
        last_state "lastState" always: ContainerState,
        /// Whether it serves.
        ready "ready" always: bool,
        /// How often it was started again.
        restart_count "restartCount" always: i32,
        /// The image as the pod names it.
        image "image" always: Text,
        /// What it really runs.
        image_id "imageID" always: Text,
        /// The latest attempt's id.
        container_id "containerID": Text,
        /// Whether the latest attempt has been started.
        started "started": Option<bool>,
    }
}

api_struct! {
    /// One of three; all absent means waiting.
    pub struct ContainerState {
        /// It is not started yet, or waits to be started again.
        waiting "waiting": Option<Arc<StateWaiting>>,
        /// It runs.
        running "running": Option<StateRunning>,
        /// It ended.
        terminated "terminated": Option<Arc<StateTerminated>>,
    }
}

api_struct! {
    /// Why a container does not run yet.
    pub struct StateWaiting {
        /// In one word: `ContainerCreating`, `CrashLoopBackOff`, `ErrImagePull`.
        reason "reason": Text,
        /// For people.
        message "message": Text,
    }
}

api_struct! {
    /// Since when a container runs.
    pub struct StateRunning {
        /// When its program was executed.
        started_at "startedAt": Option<Time>,
    }
}

api_struct! {
    /// How a container ended.
    pub struct StateTerminated {
        /// The exit status, or 128 plus the signal's number.
        exit_code "exitCode" always: i32,
        /// The signal that ended it.
        signal "signal": Option<i32>,
        /// In one word: `Completed`, `Error`, `OOMKilled`, `ContainerStatusUnknown`.
        reason "reason": Text,
        /// For people.
        message "message": Text,
        /// When its program was executed.
        started_at "startedAt": Option<Time>,
        /// When it ended.
        finished_at "finishedAt": Option<Time>,
        /// The attempt's id.
        container_id "containerID": Text,
    }
}

api_struct! {
    /// A pod in the making, inside the object that makes it.
    pub struct PodTemplateSpec {
        /// Labels and annotations of the pods.
        metadata "metadata": ObjectMeta,
        /// Their spec.
        spec "spec": Arc<PodSpec>,
    }
}

impl PodTemplateSpec {
    /// A pod of this template, without a name.
    pub fn pod(&self) -> Pod {
        let metadata = ObjectMeta {
            labels: self.metadata.labels.clone(),
            annotations: self.metadata.annotations.clone(),
            finalizers: self.metadata.finalizers.clone(),
            ..Default::default()
        };
        Pod { metadata, spec: self.spec.clone(), ..Default::default() }
    }
}

/// Seconds between SIGTERM and SIGKILL where a pod names none.
///
/// Source: Kubernetes API reference, `PodSpec.terminationGracePeriodSeconds`.
pub const DEFAULT_GRACE_SECONDS: i64 = 30;

/// The condition of pods that go for a reason that is none of their own.
const DISRUPTION_TARGET: &str = "DisruptionTarget";

impl Pod {
    /// The node it is bound to, if it is.
    pub fn node(&self) -> Option<&str> {
        Some(self.spec.node_name.as_str()).filter(|node| !node.is_empty())
    }

    /// Whether it neither has finished nor is being deleted.
    pub fn is_active(&self) -> bool {
        !self.status.phase.is_final() && !self.metadata.is_deleting()
    }

    /// Whether its condition `Ready` is true.
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    /// Why it goes, if that is said to be none of its own doing: see [`Pod::say_disrupted`].
    pub fn disruption(&self) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|one| one.kind == DISRUPTION_TARGET && one.status == "True")
    }

    /// Says that the pod goes for a reason that is none of its own, so that its end is not taken for its failure. Whether
    /// that was said already.
    ///
    /// Source: Kubernetes documentation, "Disruptions", pod disruption conditions.
    pub fn say_disrupted(&mut self, at: Time, reason: &str, message: &str) -> bool {
        if self.disruption().is_some() {
            return true;
        }
        self.status.conditions.retain(|one| one.kind != DISRUPTION_TARGET);
        self.status.conditions.push(PodCondition {
            kind: DISRUPTION_TARGET.into(),
            status: "True".into(),
            last_transition_time: Some(at),
            reason: reason.into(),
            message: message.into(),
            ..PodCondition::default()
        });
        false
    }

    /// Takes back that the pod goes, if that is said. Why it should have gone stays told.
    pub fn take_back_disruption(&mut self, at: Time) {
        for one in &mut self.status.conditions {
            if one.kind == DISRUPTION_TARGET && one.status == "True" {
                one.status = "False".into();
                one.last_transition_time = Some(at);
            }
        }
    }

    /// Seconds between SIGTERM and SIGKILL.
    pub fn grace_seconds(&self) -> i64 {
        self.spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS)
    }

    /// After how many failed starts the pod is Failed; unlimited if absent.
    pub fn start_retries(&self) -> Option<i32> {
        self.metadata.annotations.get(START_RETRIES)?.parse().ok()
    }
}

impl PodSpec {
    /// What its containers request together: thousandths of a processor and bytes of memory. A limit without
    /// a request counts as one.
    pub fn requests(&self) -> (u64, u64) {
        let sum = |name: &str, amount: fn(&Quantity) -> u64| {
            self.containers.iter().fold(0_u64, |sum, container| {
                let wished = container.resources.requests.get(name).or_else(|| container.resources.limits.get(name));
                sum.saturating_add(wished.map_or(0, amount))
            })
        };
        (sum("cpu", Quantity::milli_value), sum("memory", Quantity::value))
    }

    /// `Guaranteed` if every container's limits for both resources equal its requests, `BestEffort` if none has
    /// any, else `Burstable`. Those that run before the others count as well. Zero is none, and other resources than
    /// processors and memory do not count.
    ///
    /// Source: Kubernetes documentation, "Pod Quality of Service Classes"; `pkg/apis/core/v1/helper/qos`.
    pub fn qos_class(&self) -> &'static str {
        const COUNTED: [&str; 2] = ["cpu", "memory"];
        let containers = of_containers(self);
        let resources = || containers.iter().map(|container| &container.resources);
        let says = |amounts: &Amounts, name: &str| amounts.get(name).is_some_and(|amount| !amount.is_zero());
        if resources().all(|one| COUNTED.iter().all(|name| !says(&one.limits, name) && !says(&one.requests, name))) {
            return "BestEffort";
        }
        let guaranteed = resources().all(|one| {
            COUNTED.iter().all(|name| {
                let request = one.requests.get(name);
                says(&one.limits, name) && (request.is_none() || request == one.limits.get(name))
            })
        });
        if guaranteed { "Guaranteed" } else { "Burstable" }
    }
}

/// What kubectl shows of pods.
pub const COLUMNS: &[Column] = &[
    Column::name("Name"),
    Column::new("Ready", 0, |object, _| {
        let statuses = &pod(object).status.container_statuses;
        let ready = statuses.iter().filter(|status| status.ready).count();
        format!("{ready}/{}", pod(object).spec.containers.len())
    }),
    Column::new("Status", 0, |object, _| shown_status(pod(object))),
    Column::new("Restarts", 0, |object, now| restarts(pod(object), now)),
    Column::age(),
    Column::new("IP", 1, |object, _| or_none(&pod(object).status.pod_ip)),
    Column::new("Node", 1, |object, _| or_none(&pod(object).spec.node_name)),
    Column::new("Nominated Node", 1, |object, _| or_none(&pod(object).status.nominated_node_name)),
    Column::new("Readiness Gates", 1, |_, _| "<none>".into()),
];

fn pod(object: &Object) -> &Pod {
    object.get().expect("the table of kinds hands these columns pods only")
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

/// The word kubectl shows as a pod's status. Source: Kubernetes, `printers/internalversion.printPod`.
pub fn shown_status(pod: &Pod) -> String {
    if pod.metadata.is_deleting() {
        return "Terminating".into();
    }
    let mut shown =
        if pod.status.reason.is_empty() { pod.status.phase.to_string() } else { pod.status.reason.to_string() };
    let gated = |one: &PodCondition| one.kind == "PodScheduled" && one.reason == SCHEDULING_GATED;
    if pod.status.conditions.iter().any(gated) {
        shown = SCHEDULING_GATED.into();
    }
    for status in pod.status.container_statuses.iter().rev() {
        if let Some(waiting) = &status.state.waiting
            && !waiting.reason.is_empty()
        {
            shown = waiting.reason.to_string();
        } else if let Some(ended) = &status.state.terminated {
            shown = match (ended.reason.as_str(), ended.signal) {
                ("", Some(signal)) => format!("Signal:{signal}"),
                ("", None) => format!("ExitCode:{}", ended.exit_code),
                (reason, _) => reason.into(),
            };
        }
    }
    let any_runs = pod.status.container_statuses.iter().any(|status| status.ready && status.state.running.is_some());
    match shown == "Completed" && any_runs {
        true if pod.is_ready() => "Running".into(),
        true => "NotReady".into(),
        false => shown,
    }
}

fn restarts(pod: &Pod, now: Now) -> String {
    let statuses = &pod.status.container_statuses;
    let count: i32 = statuses.iter().map(|status| status.restart_count).sum();
    let last = statuses.iter().filter_map(|status| status.last_state.terminated.as_ref()?.finished_at).max();
    match last {
        Some(last) if count > 0 => format!("{count} ({} ago)", Human(now.wall.since(last.wall()))),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_of_which_only_some_containers_still_run_is_shown_as_not_ready() {
        let check = |phase: &str, ready: &str, want: &str| {
            let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
            let statuses = json!([{"name": "a", "state": ended},
                {"name": "b", "ready": phase == "Running", "state": {"running": {}}}]);
            let status = json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": statuses});
            let pod: Pod = serde_json::from_value(json!({"status": status})).unwrap();
            assert_eq!(shown_status(&pod), want, "{phase} {ready}");
        };
        check("Running", "True", "Running");
        check("Running", "False", "NotReady");
        check("Succeeded", "False", "Completed");
    }

    #[test]
    fn classes_of_service_count_what_is_not_zero_of_processors_and_memory() {
        let check = |limits: Value, requests: Value, want: &str| {
            let resources = json!({"limits": limits, "requests": requests});
            let spec = json!({"containers": [{"name": "c", "resources": resources}]});
            let spec: PodSpec = serde_json::from_value(spec).unwrap();
            assert_eq!(spec.qos_class(), want, "{resources}");
        };
        check(json!({}), json!({}), "BestEffort");
        check(json!({"cpu": "1", "memory": "1Gi"}), json!({}), "Guaranteed");
        check(json!({"cpu": "1", "memory": "1Gi"}), json!({"cpu": "1000m", "memory": "1Gi"}), "Guaranteed");
        check(json!({"cpu": "1", "memory": "1Gi"}), json!({"cpu": "500m"}), "Burstable");
        check(json!({"cpu": "1"}), json!({}), "Burstable");
        check(json!({"cpu": "1", "memory": "1Gi"}), json!({"cpu": "0"}), "Burstable");
        check(json!({"cpu": "1", "memory": "0"}), json!({}), "Burstable");
        check(json!({"cpu": "0", "memory": "0"}), json!({}), "BestEffort");
        check(
            json!({"example.com/gpu": "1"}),
            json!({"example.com/gpu": "1", "ephemeral-storage": "1Gi"}),
            "BestEffort",
        );
    }

    #[test]
    fn classes_of_service_count_the_containers_that_run_before_the_others() {
        let check = |main: Value, init: Value, want: &str| {
            let spec = json!({"containers": [{"name": "c", "resources": main}],
                "initContainers": [{"name": "i", "resources": init}]});
            let spec: PodSpec = serde_json::from_value(spec).unwrap();
            assert_eq!(spec.qos_class(), want, "{init}");
        };
        let full = || json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        check(full(), full(), "Guaranteed");
        check(full(), json!({}), "Burstable");
        check(full(), json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Burstable");
        check(json!({}), json!({"requests": {"memory": "1Mi"}}), "Burstable");
        check(json!({}), json!({}), "BestEffort");
    }
}
