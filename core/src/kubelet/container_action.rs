//! What the kubelet does about one container: the pod's phase and wish against the runtime's report.
//!
//! MiniKu's table "Kubelet Action", made complete over every pair of phase and state, deletion and restart policy
//! included.

use crate::api::pod::PodPhase;
use crate::api::pod::RestartPolicy;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What is asked of the container now.
    pub enum Wish {
        /// The pod exists and is not being deleted.
        Run,
        /// The pod is being deleted, or is gone.
        Stop,
    }
}

decision_enum! {
    /// What the runtime last reported, reduced to what this decision needs.
    pub enum Report {
        /// Nothing of it is here: it was never started, or every trace of it is gone.
        Absent,
        /// It was told to start and has not been seen since.
        Starting,
        /// Its first process lives.
        Alive,
        /// Its first process lives, but was started from another image than the pod names now.
        Outdated,
        /// It ended with exit code 0.
        Completed,
        /// It ended otherwise.
        Crashed,
        /// It could not be started.
        NotStarted,
        /// It was started, and no one can say what became of it. It does not run any more: its init process is gone.
        Unknown,
        /// It was outdated, and runs no more.
        Replaced,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// Nothing.
        Keep,
        /// It is started for the first time.
        Start,
        /// It is started again, after the restart back-off.
        Restart,
        /// Its start is tried again, after the start back-off, unless tries are limited and used up.
        RetryStart,
        /// SIGTERM now, SIGKILL after the grace period.
        Stop,
        /// It is stopped like that, to be started again from the image that the pod names.
        Replace,
    }
}

decision_table! {
    /// What is done about one container. Pure and total. Page: `docs/decisions/container_action.md`.
    pub fn container_action(phase: PodPhase, wish: Wish, report: Report, restart: RestartPolicy) -> Action, CONTAINER_ACTION;
    stop:      (_, Stop, Alive | Outdated, _)                             => Stop,       "the pod is being deleted";
    stop_soon: (_, Stop, Starting, _)                                     => Keep,       "it is stopped as soon as it is seen running";
    gone:      (_, Stop, Absent | Completed | Crashed | NotStarted | Unknown | Replaced, _) => Keep, "nothing runs and nothing should";
    ended:     (Succeeded | Failed, Run, Alive | Outdated, _)             => Stop,       "a finished pod stays finished";
    ended_now: (Succeeded | Failed, Run, Starting, _)                     => Keep,       "it is stopped as soon as it is seen running";
    rest:      (Succeeded | Failed, Run, Absent | Completed | Crashed | NotStarted | Unknown | Replaced, _) => Keep, "a finished pod stays finished";
    create:    (Pending, Run, Absent, _)                                  => Start,      "never started on this node";
    on_way:    (Pending | Running, Run, Starting, _)                      => Keep,       "it is on its way";
    recovered: (Pending, Run, Alive, _)                                   => Keep,       "it was started before that was written down; the status follows";
    converged: (Running, Run, Alive, _)                                   => Keep,       "as wished";
    outdated:  (Pending | Running, Run, Outdated, _)                      => Replace,    "the pod names another image now";
    replaced:  (Pending | Running, Run, Replaced, _)                      => Restart,    "the pod names another image now, whatever its restart policy says";
    not_yet:   (Pending | Running, Run, NotStarted, _)                    => RetryStart, "its start failed; later each time";
    again:     (Pending | Running, Run, Completed, Always)                => Restart,    "Always restarts success too";
    done:      (Pending | Running, Run, Completed, OnFailure | Never)     => Keep,       "it has done its work";
    retry:     (Pending | Running, Run, Crashed, Always | OnFailure)      => Restart,    "it crashed";
    given_up:  (Pending | Running, Run, Crashed, Never)                   => Keep,       "one attempt was asked for";
    lost:      (Pending | Running, Run, Unknown, Always | OnFailure)      => Restart,    "how it ended is not known, so it counts as crashed";
    lost_once: (Pending | Running, Run, Unknown, Never)                   => Keep,       "how it ended is not known, so it counts as crashed; one attempt was asked for";
    vanished:  (Running, Run, Absent, Always | OnFailure)                 => Start,      "it ran, and nothing is left of it, not even how it ended";
    vanished_once: (Running, Run, Absent, Never)                          => Keep,       "it ran, and nothing is left of it; one attempt was asked for";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_not_run_is_never_started() {
        let starts = [Action::Start, Action::Restart, Action::RetryStart];
        for row in CONTAINER_ACTION.rows.iter().filter(|row| starts.contains(&row.then)) {
            assert_eq!(row.when[1], "Run", "{}", row.name);
            assert!(!row.when[0].contains("Succeeded") && !row.when[0].contains("Failed"), "{}", row.name);
        }
    }
}
