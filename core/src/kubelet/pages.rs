//! The kubelet's decisions as pages.

use crate::api::pod::{PodPhase, RestartPolicy};
use crate::kubelet::container_action::{CONTAINER_ACTION, Report, Wish, container_action};
use crate::kubelet::pod_phase::{OUTLOOK, POD_PHASE, Part, pod_phase, standing};
use crate::kubelet::restart;
use crate::pages::Page;

/// All of them.
pub fn pages() -> Vec<Page> {
    let by = "the kubelet of the pod's node";
    vec![
        Page::new("container_action", "What is done about one container", by)
            .says(
                "The kubelet asks this for each container of a pod whenever it hears of either: from the API server \
                 what is wished, from the runtime what is.",
            )
            .decides(&CONTAINER_ACTION)
            .says(
                "## MiniKu's five rows\n\nThe table began as five rows of MiniKu's README, \"Kubelet Action\". They are \
                 about pods of one container that is never restarted, and this is what became of them:",
            )
            .lists(
                CONTAINER_ACTION.source,
                &["pod status", "container state", "action in MiniKu", "row here", "action", "phase then", "because"],
                MINIKU.iter().map(|row| relate(row).into()),
            )
            .says(
                "A status is written from what was seen, never with the action that is meant to lead there: so \
                 `create` leaves the pod Pending, and `recovered` is how every new pod becomes Running. A container \
                 that exits with code 0 leaves its pod Succeeded, which MiniKu does not know.",
            ),
        Page::new("pod_phase", "What a pod's containers make of its phase", by)
            .says("First each container by itself, in `outlook`:")
            .decides(&OUTLOOK)
            .says(
                "Then all together: one that is given up makes it `SomeFailed`, since the others are stopped for it. \
                 Otherwise the first of these that any container has counts: `NotYet` makes it `Waiting`, `Again` \
                 `Active`, `Badly` `SomeFailed`, and `Well` `AllSucceeded`. With that, in `pod_phase`:",
            )
            .decides(&POD_PHASE)
            .says(
                "A pod that comes to a node without room for what it requests beside the unfinished pods there is refused: \
                 it is Failed before anything is started, and its reason is `OutOfpods`, `OutOfcpu` or `OutOfmemory`. The \
                 scheduler sends none there, but `spec.nodeName` may. What has begun on a node is never refused.",
            ),
        restart::page(),
    ]
}

/// A row of the table that all this began with.
struct MiniKu {
    phase: PodPhase,
    state: &'static str,
    report: Report,
    action: &'static str,
}

/// Source: MiniKu's README, "Kubelet Action", word for word.
const MINIKU: &[MiniKu] = &[
    MiniKu {
        phase: PodPhase::Pending,
        state: "doesn't exist",
        report: Report::Absent,
        action: "Create container, update pod to Running",
    },
    MiniKu {
        phase: PodPhase::Pending,
        state: "running",
        report: Report::Alive,
        action: "Just update pod to Running (recovered?)",
    },
    MiniKu { phase: PodPhase::Running, state: "running", report: Report::Alive, action: "Nothing - we're converged" },
    MiniKu { phase: PodPhase::Running, state: "exited", report: Report::Crashed, action: "Update pod to Failed" },
    MiniKu {
        phase: PodPhase::Running,
        state: "doesn't exist",
        report: Report::Absent,
        action: "Weird state - maybe re-create or mark Failed",
    },
];

/// What is decided here where MiniKu decided that.
fn relate(row: &MiniKu) -> [String; 7] {
    let here = container_action(row.phase, Wish::Run, row.report, RestartPolicy::Never);
    let ran = row.phase != PodPhase::Pending || row.report != Report::Absent;
    let parts = [Part { report: row.report, ran, given_up: false }];
    let phase = pod_phase(row.phase, standing(row.phase, RestartPolicy::Never, &parts)).then;
    [
        row.phase.to_string(),
        row.state.into(),
        row.action.into(),
        format!("`{}`", here.name),
        format!("**{:?}**", here.then),
        phase.to_string(),
        here.why.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn miniku_is_answered_as_it_asks() {
        let rows: Vec<String> = MINIKU.iter().map(|row| relate(row)[3..6].join(" ")).collect();
        assert_eq!(
            rows,
            [
                "`create` **Start** Pending",
                "`recovered` **Keep** Running",
                "`converged` **Keep** Running",
                "`given_up` **Keep** Failed",
                "`vanished_once` **Keep** Failed",
            ]
        );
    }
}
