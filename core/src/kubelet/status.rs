//! What is told of a pod: from what was seen of its containers to `status`.

use crate::api::meta::Time;
use crate::api::pod::{
    Container, ContainerState, ContainerStatus, Pod, PodCondition, PodPhase, PodStatus, StateRunning, StateTerminated,
    StateWaiting,
};
use crate::api::text::Text;
use crate::kubelet::admission::Refusal;
use crate::kubelet::container_action::Report;
use crate::kubelet::restart::waiting_reason;
use crate::kubelet::runtime;
use crate::time::{Now, Wall};
use std::net::IpAddr;
use std::sync::Arc;

/// What the kubelet knows of one container.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The container, as the pod wishes it.
    pub spec: &'a Container,
    /// What the runtime last said of the latest attempt.
    pub state: &'a runtime::ContainerState,
    /// The latest attempt.
    pub attempt: u32,
    /// How the attempt before ended.
    pub last: Option<&'a Arc<StateTerminated>>,
    /// It waits to be started again.
    pub backing_off: bool,
    /// How often its start failed in a row.
    pub failed_starts: u32,
}

/// Where a pod is reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The node's address.
    pub host_ip: &'a str,
    /// Its own, as long as it has one.
    pub pod_ip: Option<IpAddr>,
}

/// Reduces what the runtime says to what decisions need.
pub fn report(state: &runtime::ContainerState, starting: bool) -> Report {
    match state {
        _ if starting => Report::Starting,
        runtime::ContainerState::Absent => Report::Absent,
        runtime::ContainerState::Running { .. } => Report::Alive,
        runtime::ContainerState::Exited { code: 0, .. } => Report::Completed,
        runtime::ContainerState::Exited { code, .. } if planted!(SignalIsSuccess) && *code > 128 => Report::Completed,
        runtime::ContainerState::Exited { .. } => Report::Crashed,
        runtime::ContainerState::NotStarted { .. } => Report::NotStarted,
        runtime::ContainerState::Unknown => Report::Unknown,
    }
}

/// The status of a pod in this phase, which may have been refused. Times of transitions are kept from the last status where
/// nothing changed.
pub fn pod_status(
    now: Now,
    pod: &Pod,
    phase: PodPhase,
    containers: &[Seen<'_>],
    place: Place<'_>,
    retry_at: Option<Wall>,
    refused: Option<&Refusal>,
) -> PodStatus {
    let before = &pod.status;
    let finished = phase.is_final();
    let statuses: Vec<ContainerStatus> = containers
        .iter()
        .map(|one| match last_words(before, one).filter(|_| finished) {
            Some(told) => told,
            None => container_status(one),
        })
        .collect();
    let all_ready = phase == PodPhase::Running
        && (statuses.iter().all(|status| status.ready)
            || planted!(AnyReadyIsReady) && statuses.iter().any(|status| status.ready));
    let why_not_ready = if phase == PodPhase::Succeeded { "PodCompleted" } else { "ContainersNotReady" };
    let conditions = [
        ("Initialized", true, ""),
        ("Ready", all_ready, why_not_ready),
        ("ContainersReady", all_ready, why_not_ready),
        ("PodScheduled", true, ""),
    ];
    let ours = conditions.iter().map(|(kind, holds, why)| condition(now, before, kind, *holds, why));
    let others = before.conditions.iter().filter(|one| conditions.iter().all(|(kind, ..)| one.kind != *kind)).cloned();
    let failed_starts = containers.iter().map(|one| i32::try_from(one.failed_starts).unwrap_or(i32::MAX));
    // A failure that comes when the pod is given up for another container's sake is no try more.
    let retries = pod.start_retries().map(|most| failed_starts.max().unwrap_or(0).min(most));
    let (reason, message) = match refused {
        Some(refusal) => (refusal.reason.to_string(), refusal.told()),
        None if phase == PodPhase::Failed => why_failed(containers),
        None => Default::default(),
    };
    PodStatus {
        phase,
        conditions: ours.chain(others.filter(|_| !planted!(OthersWordsDropped))).collect(),
        // Somebody else's words, if it had them before: an eviction's reason outlives the containers.
        reason: if finished && !before.reason.is_empty() { before.reason.clone() } else { reason.into() },
        message: if finished && !before.message.is_empty() { before.message.clone() } else { message.into() },
        host_ip: place.host_ip.into(),
        // What has ended is still known by where it was.
        pod_ip: match place.pod_ip {
            Some(ip) if before.pod_ip.is_empty() || !planted!(FirstAddressStays) => Text::from(ip.to_string()),
            _ => before.pod_ip.clone(),
        },
        nominated_node_name: before.nominated_node_name.clone(),
        start_time: before.start_time.filter(|_| !planted!(StartTimeRenewed)).or(Some(Time::of(now.wall))),
        container_statuses: statuses,
        qos_class: before.qos_class.clone(),
        retry_count: retries,
        next_retry_at: retry_at.filter(|_| retries.is_some() && !finished).map(Time::of),
        rest: before.rest.clone(),
    }
}

/// What was told of a container of which nothing is left here. A finished pod keeps it: nothing better can be known.
fn last_words(before: &PodStatus, one: &Seen<'_>) -> Option<ContainerStatus> {
    if *one.state != runtime::ContainerState::Absent {
        return None;
    }
    let told = before.container_statuses.iter().find(|told| told.name == one.spec.name)?;
    if told.state.running.is_none() {
        return Some(told.clone());
    }
    let state = ContainerState { terminated: terminated(&runtime::ContainerState::Unknown), ..Default::default() };
    Some(ContainerStatus { state, ready: false, started: Some(false), ..told.clone() })
}

fn condition(now: Now, before: &PodStatus, kind: &str, holds: bool, why_not: &str) -> PodCondition {
    let status = if holds { "True" } else { "False" };
    let old = before.conditions.iter().find(|old| old.kind == kind);
    let same = old.filter(|old| old.status == status || planted!(TransitionKept));
    let since = same.and_then(|old| old.last_transition_time);
    PodCondition {
        kind: kind.into(),
        status: status.into(),
        last_transition_time: since.or(Some(Time::of(now.wall))),
        reason: if holds { Text::default() } else { why_not.into() },
        ..Default::default()
    }
}

fn why_failed(containers: &[Seen<'_>]) -> (String, String) {
    containers
        .iter()
        .find_map(|one| match one.state {
            runtime::ContainerState::NotStarted { reason, message, .. } => {
                Some((format!("{reason:?}"), format!("container {:?} could not be started: {message}", one.spec.name)))
            }
            runtime::ContainerState::Exited { code, oom, signal, .. } if *code != 0 => {
                let how = match (oom, signal) {
                    (true, _) => "was killed for lack of memory".to_owned(),
                    (false, Some(signal)) => format!("was ended by signal {signal}"),
                    (false, None) => format!("exited with code {code}"),
                };
                Some((String::new(), format!("container {:?} {how}", one.spec.name)))
            }
            _ => None,
        })
        .unwrap_or_default()
}

fn container_status(one: &Seen<'_>) -> ContainerStatus {
    let (id, image_id) = match one.state {
        runtime::ContainerState::Running { id, image_id, .. }
        | runtime::ContainerState::Exited { id, image_id, .. } => (id.clone(), image_id.clone()),
        _ => (one.last.map(|last| last.container_id.to_string()).unwrap_or_default(), String::new()),
    };
    // As long as an attempt is told of, the image is the one that it was started from.
    let image = match one.state {
        runtime::ContainerState::Running { image, .. } | runtime::ContainerState::Exited { image, .. }
            if !image.is_empty() =>
        {
            image.as_str().into()
        }
        _ => one.spec.image.clone(),
    };
    let ended = terminated(one.state);
    let (state, last) = match (one.state, ended) {
        (_, Some(ended)) if one.backing_off => {
            let waiting = StateWaiting {
                reason: "CrashLoopBackOff".into(),
                message: format!("back-off restarting failed container {}", one.spec.name).into(),
                ..Default::default()
            };
            (ContainerState { waiting: Some(Arc::new(waiting)), ..Default::default() }, Some(ended))
        }
        (_, Some(ended)) => (ContainerState { terminated: Some(ended), ..Default::default() }, one.last.cloned()),
        (runtime::ContainerState::Running { started, .. }, None) => {
            let running = StateRunning { started_at: Some(Time::of(*started)), ..Default::default() };
            (ContainerState { running: Some(running), ..Default::default() }, one.last.cloned())
        }
        (runtime::ContainerState::NotStarted { reason, message, .. }, None) => {
            let reason = waiting_reason(*reason, one.failed_starts).into();
            let waiting = StateWaiting { reason, message: message.as_str().into(), ..Default::default() };
            (ContainerState { waiting: Some(Arc::new(waiting)), ..Default::default() }, one.last.cloned())
        }
        (_, None) => {
            let waiting = StateWaiting { reason: "ContainerCreating".into(), ..Default::default() };
            (ContainerState { waiting: Some(Arc::new(waiting)), ..Default::default() }, one.last.cloned())
        }
    };
    let running = state.running.is_some();
    ContainerStatus {
        name: one.spec.name.clone(),
        last_state: ContainerState { terminated: last, ..Default::default() },
        ready: running || planted!(ReadyTooEarly),
        restart_count: i32::try_from(one.attempt).unwrap_or(i32::MAX),
        image,
        image_id: image_id.into(),
        container_id: id.into(),
        started: Some(running),
        state,
        ..Default::default()
    }
}

/// How an attempt ended, if it did.
///
/// Source: exit code 137 and reason `ContainerStatusUnknown`: Kubernetes, `pkg/kubelet/kubelet_pods.go`.
pub fn terminated(state: &runtime::ContainerState) -> Option<Arc<StateTerminated>> {
    let ended = match state {
        runtime::ContainerState::Exited { id, code, signal, oom, started, finished, .. } => StateTerminated {
            exit_code: *code,
            signal: *signal,
            reason: match (oom, code) {
                (true, _) => "OOMKilled",
                (false, 0) => "Completed",
                (false, _) => "Error",
            }
            .into(),
            started_at: Some(Time::of(*started)),
            finished_at: Some(Time::of(*finished)),
            container_id: id.as_str().into(),
            ..Default::default()
        },
        runtime::ContainerState::Unknown => StateTerminated {
            exit_code: 137,
            reason: "ContainerStatusUnknown".into(),
            message: "The container could not be located when the pod was terminated".into(),
            ..Default::default()
        },
        runtime::ContainerState::Absent
        | runtime::ContainerState::Running { .. }
        | runtime::ContainerState::NotStarted { .. } => return None,
    };
    Some(Arc::new(ended))
}
