//! What a pod's containers make of its phase.

use crate::api::pod::{PodPhase, RestartPolicy};
use crate::kubelet::container_action::Report;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What a pod's containers are up to, taken together.
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

decision_enum! {
    /// Whether more tries to start it will be made.
    pub enum Tries {
        /// They will, if needed.
        Left,
        /// All that are allowed have failed.
        UsedUp,
    }
}

decision_enum! {
    /// Whether it has run before, in this attempt or an earlier one.
    pub enum Before {
        /// It has not.
        NeverRan,
        /// It has.
        Ran,
    }
}

decision_enum! {
    /// What one container has before it.
    pub enum Outlook {
        /// It has ended well and will not run again.
        Well,
        /// It has ended badly, or will never start, and will not run again.
        Badly,
        /// It runs, or will run again.
        Again,
        /// It was never started.
        NotYet,
    }
}

decision_table! {
    /// What one container contributes to its pod's phase. Pure and total. Page: `docs/decisions/pod_phase.md`.
    pub fn outlook(tries: Tries, report: Report, before: Before, restart: RestartPolicy, phase: PodPhase) -> Outlook, OUTLOOK;
    given_up:   (UsedUp, _, _, _, _)                                   => Badly,  "it could not be started";
    vanished:   (Left, Absent, _, Never, Running)                      => Badly,  "it ran, and nothing is left of it";
    coming:     (Left, Absent | Starting | NotStarted, Ran, _, _)      => Again,  "it has run, and will again";
    never_ran:  (Left, Absent | Starting | NotStarted, NeverRan, _, _) => NotYet, "it has not run yet";
    alive:      (Left, Alive | Outdated, _, _, _)                      => Again,  "it runs";
    replaced:   (Left, Replaced, _, _, _)                              => Again,  "it is started again from another image";
    repeated:   (Left, Completed, _, Always, _)                        => Again,  "Always restarts success too";
    well:       (Left, Completed, _, OnFailure | Never, _)             => Well,   "it has done its work";
    retried:    (Left, Crashed | Unknown, _, Always | OnFailure, _)    => Again,  "it crashed and is restarted";
    badly:      (Left, Crashed | Unknown, _, Never, _)                 => Badly,  "it crashed; one attempt was asked for";
}

/// One container, as the kubelet knows it.
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
/// One that is given up fails the pod, whatever the others do: they are stopped. Otherwise one that was never started
/// keeps the pod waiting, and one that will run again keeps it active.
pub fn standing(phase: PodPhase, restart: RestartPolicy, parts: &[Part]) -> Standing {
    let outlook = |part: &Part| {
        let tries = if part.given_up { Tries::UsedUp } else { Tries::Left };
        outlook(tries, part.report, if part.ran { Before::Ran } else { Before::NeverRan }, restart, phase).then
    };
    let any = |one| parts.iter().any(|part| outlook(part) == one);
    match () {
        () if parts.iter().any(|part| part.given_up) => Standing::SomeFailed,
        () if any(Outlook::NotYet) => Standing::Waiting,
        () if planted!(AnyDoneIsDone) && any(Outlook::Well) => Standing::AllSucceeded,
        () if any(Outlook::Again) => Standing::Active,
        () if any(Outlook::Badly) => Standing::SomeFailed,
        () => Standing::AllSucceeded,
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
        use Report::{Absent, Alive, Completed, Crashed, Replaced, Starting, Unknown};
        check(RestartPolicy::Always, &[Absent, Alive], Standing::Waiting);
        check(RestartPolicy::Always, &[Starting], Standing::Waiting);
        check(RestartPolicy::Always, &[Completed, Crashed], Standing::Active);
        check(RestartPolicy::OnFailure, &[Completed, Crashed], Standing::Active);
        check(RestartPolicy::OnFailure, &[Completed, Completed], Standing::AllSucceeded);
        check(RestartPolicy::Never, &[Completed, Crashed], Standing::SomeFailed);
        check(RestartPolicy::Never, &[Alive, Crashed], Standing::Active);
        check(RestartPolicy::Never, &[Replaced, Crashed], Standing::Active);
        check(RestartPolicy::Never, &[Unknown], Standing::SomeFailed);
        let given_up = Part { report: Report::NotStarted, ran: false, given_up: true };
        assert_eq!(standing(PodPhase::Pending, RestartPolicy::Always, &[given_up, part(Alive)]), Standing::SomeFailed);
    }
}
