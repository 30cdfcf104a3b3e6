//! What a pod's containers make of its phase.

use crate::api::pod::{PodPhase, RestartPolicy};
use crate::decision_table;
use crate::kubelet::container_action::Report;

/// What a pod's containers are up to, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One waits to be started for the first time.
    Waiting,
    /// All have been started; one runs, or will again.
    Active,
    /// None will run again; all ended well.
    AllSucceeded,
    /// None will run again; one ended badly.
    SomeFailed,
}

decision_table! {
    /// The phase a pod is in next. Pure and total. Page: `docs/decisions/pod_phase.md`.
    pub fn pod_phase(phase: PodPhase, standing: Standing) -> PodPhase, POD_PHASE;
    success:   (Succeeded, _)                   => Succeeded, "final";
    failure:   (Failed, _)                      => Failed,    "final";
    pending:   (Pending, Waiting)               => Pending,   "not all containers have run yet";
    forward:   (Running, Waiting)               => Running,   "a pod does not go back";
    running:   (Pending | Running, Active)      => Running,   "a container runs, or will again";
    succeeded: (Pending | Running, AllSucceeded) => Succeeded, "all containers ended well and none will run again";
    failed:    (Pending | Running, SomeFailed)  => Failed,    "none will run again, and one ended badly";
}

/// What one container contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the runtime reports of it.
    pub report: Report,
    /// Whether it has run before.
    pub ran: bool,
    /// Whether its tries to start are used up.
    pub given_up: bool,
}

/// Takes the containers of a pod together.
///
/// One container that will run again keeps the pod active; one that was never started keeps it waiting.
pub fn standing(phase: PodPhase, restart: RestartPolicy, parts: &[Part]) -> Standing {
    #[derive(PartialEq, PartialOrd)]
    enum One {
        Well,
        Badly,
        Again,
        NotYet,
    }
    let one = |part: &Part| match (part.report, restart) {
        (_, _) if part.given_up => One::Badly,
        (Report::Absent, RestartPolicy::Never) if phase == PodPhase::Running => One::Badly,
        (Report::Absent | Report::Starting | Report::NotStarted, _) if part.ran => One::Again,
        (Report::Absent | Report::Starting | Report::NotStarted, _) => One::NotYet,
        (Report::Alive, _) => One::Again,
        (Report::Completed, RestartPolicy::Always) => One::Again,
        (Report::Completed, RestartPolicy::OnFailure | RestartPolicy::Never) => One::Well,
        (Report::Crashed | Report::Unknown, RestartPolicy::Never) => One::Badly,
        (Report::Crashed | Report::Unknown, RestartPolicy::Always | RestartPolicy::OnFailure) => One::Again,
    };
    let worst = parts.iter().map(one).fold(One::Well, |worst, one| if one > worst { one } else { worst });
    match worst {
        // A start that is given up ends the pod, whatever the others do: they are stopped.
        _ if parts.iter().any(|part| part.given_up) => Standing::SomeFailed,
        One::NotYet => Standing::Waiting,
        One::Again => Standing::Active,
        One::Badly => Standing::SomeFailed,
        One::Well => Standing::AllSucceeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_together_decide() {
        let part = |report| Part {
            report,
            ran: !matches!(report, Report::Absent | Report::Starting | Report::NotStarted),
            given_up: false,
        };
        let check = |restart, reports: &[Report], want| {
            let parts: Vec<Part> = reports.iter().map(|report| part(*report)).collect();
            assert_eq!(standing(PodPhase::Pending, restart, &parts), want, "{reports:?}");
        };
        use Report::{Absent, Alive, Completed, Crashed, Starting, Unknown};
        check(RestartPolicy::Always, &[Absent, Alive], Standing::Waiting);
        check(RestartPolicy::Always, &[Starting], Standing::Waiting);
        check(RestartPolicy::Always, &[Completed, Crashed], Standing::Active);
        check(RestartPolicy::OnFailure, &[Completed, Crashed], Standing::Active);
        check(RestartPolicy::OnFailure, &[Completed, Completed], Standing::AllSucceeded);
        check(RestartPolicy::Never, &[Completed, Crashed], Standing::SomeFailed);
        check(RestartPolicy::Never, &[Alive, Crashed], Standing::Active);
        check(RestartPolicy::Never, &[Unknown], Standing::SomeFailed);
        let given_up = Part { report: Report::NotStarted, ran: false, given_up: true };
        assert_eq!(standing(PodPhase::Pending, RestartPolicy::Always, &[given_up, part(Alive)]), Standing::SomeFailed);
    }
}
