//! How long to wait before a container is started again, and when to give up.

use crate::api::pod::START_RETRIES;
use crate::client::Backoff;
use crate::kubelet::runtime::StartError;
use crate::pages::Page;
use crate::time::Duration;

/// Delays between restarts of a container that ended.
///
/// Source: Kubernetes documentation, "Pod Lifecycle", container restart policy: 10 s, 20 s, 40 s, … capped at 300 s.
const RESTART: Backoff = Backoff { initial: Duration::from_secs(10), max: Duration::from_secs(300) };

/// A container that ran for so long starts its next series of restarts anew. Source: ibid., 10 minutes.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// The delay before a restart, after so many ends in a row: none after the first.
pub fn restart_delay(ends: u32) -> Duration {
    if planted!(NoBackoff) {
        return Duration::ZERO;
    }
    RESTART.delay(ends.saturating_sub(1))
}

/// Delays between tries to start, where they are limited. Source: MiniKu, `retry_count` and `next_retry_at`.
const LIMITED: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60) };

/// Delays between tries to start, where they are not. Source: Kubernetes documentation, "Images", ImagePullBackOff.
const UNLIMITED: Backoff = Backoff { initial: Duration::from_secs(10), max: Duration::from_secs(300) };

/// What follows a failed start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailedStart {
    /// Another try, after this time.
    Retry(Duration),
    /// The pod fails.
    GiveUp,
}

/// What follows the `failures`-th failed start in a row, when at most `retries` are made.
///
/// With 3 retries: after 1 s, 2 s and 4 s; the fourth failure is the last.
pub fn after_failed_start(failures: u32, retries: Option<u32>) -> AfterFailedStart {
    match retries {
        Some(retries) if failures > retries => AfterFailedStart::GiveUp,
        Some(_) => AfterFailedStart::Retry(LIMITED.delay(failures)),
        None => AfterFailedStart::Retry(UNLIMITED.delay(failures)),
    }
}

/// The waiting reason of a container whose start failed, while the next try is not due.
///
/// Source: Kubernetes, `pkg/kubelet/images/types.go` and `pkg/kubelet/container/sync_result.go`.
pub fn waiting_reason(error: StartError, failures: u32) -> &'static str {
    match error {
        // The first failure shows its cause; later ones that one waits.
        StartError::ErrImagePull if failures > 1 => "ImagePullBackOff",
        StartError::ErrImagePull => "ErrImagePull",
        StartError::InvalidImageName => "InvalidImageName",
        StartError::CreatePodSandboxError => "CreatePodSandboxError",
        StartError::CreateContainerError => "CreateContainerError",
        StartError::RunContainerError => "RunContainerError",
    }
}

/// The page of all delays, computed.
pub fn page() -> Page {
    let restarts = (1..=8).map(|ends| {
        let delay = restart_delay(ends);
        vec![ends.to_string(), if delay.is_zero() { "at once".into() } else { seconds(delay) }]
    });
    let starts = (1..=8).map(|failures| {
        let cell = |retries| match after_failed_start(failures, retries) {
            AfterFailedStart::Retry(delay) => seconds(delay),
            AfterFailedStart::GiveUp => "the pod fails".into(),
        };
        let limited = if failures <= 4 { cell(Some(3)) } else { String::new() };
        vec![failures.to_string(), limited, cell(None)]
    });
    Page::new("restart", "How long until a container is started again", "the kubelet of the pod's node")
        .says(format!(
            "A container that ended is started again where [its pod's restart policy](container_action.md) says so. \
             Ends in a row are counted; one after a run of at least {} counts as the first.",
            seconds(FORGIVEN_AFTER)
        ))
        .lists(file!(), &["ends in a row", "restarted after"], restarts)
        .says(format!(
            "A container that could not be started at all (no such image, no such command) is tried again whatever the \
             restart policy says, for ever unless the pod's annotation `{START_RETRIES}` limits the tries. Pods of \
             MiniKu's dialect have 3, and their `retry_count` counts them.",
        ))
        .lists(file!(), &["failed starts in a row", "with 3 retries", "without a limit"], starts)
}

fn seconds(delay: Duration) -> String {
    format!("{} s", delay.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_slow_down() {
        let delays: Vec<u64> = (1..=8).map(|ends| restart_delay(ends).as_secs()).collect();
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn limited_starts_give_up() {
        let secs = |failures, retries| match after_failed_start(failures, retries) {
            AfterFailedStart::Retry(delay) => Some(delay.as_secs()),
            AfterFailedStart::GiveUp => None,
        };
        assert_eq!((1..=4).map(|n| secs(n, Some(3))).collect::<Vec<_>>(), [Some(1), Some(2), Some(4), None]);
        assert_eq!(secs(9, Some(20)), Some(60));
        assert_eq!((secs(1, None), secs(100, None)), (Some(10), Some(300)));
        assert_eq!(secs(1, Some(0)), None);
    }
}
