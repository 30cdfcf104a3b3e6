//! When a pod that no node takes is looked at again.
//!
//! Such a pod is parked with its [`Obstacles`]: for each node at least one reason why that node refuses it. A change of
//! a node removes obstacles; a parked pod that has one of them asks that node again, and only that node. If the node
//! still refuses, for another reason, that reason becomes one of its obstacles too. So no pod is parked that a node
//! would take, and an event costs a look at a parked pod, not a decision over all nodes. A pod that the node would take
//! if less important ones went is decided anew: nobody waits for the [flush](FLUSH) whom preemption helps.
//!
//! Source: Kubernetes, "QueueingHint", which does the same by plugins and events.

use super::filters::FILTERS;
use super::nodes::NodeFacts;
use crate::pages::Page;
use crate::time::Duration;

/// What keeps a pod from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The node is cordoned.
    Cordoned,
    /// It has a taint, or is not ready.
    Taints,
    /// The node is being deleted.
    BeingDeleted,
    /// The node lacks a label.
    Labels,
    /// A port of it is taken.
    Ports,
    /// The node lacks cpu, memory or a place for a pod.
    Resources,
    /// A volume cannot be reached from there.
    Volumes,
    /// Its place has too many of the pods that are to be spread.
    Spread,
    /// Other pods are there, or are not.
    Neighbours,
    /// There is no node.
    NoNodes,
}

/// A set of obstacles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Obstacles(u16);

impl Obstacles {
    /// These.
    pub fn of(obstacles: &[Obstacle]) -> Self {
        obstacles.iter().fold(Obstacles::default(), |mut set, obstacle| {
            set.insert(*obstacle);
            set
        })
    }

    /// With one more.
    pub fn insert(&mut self, obstacle: Obstacle) {
        self.0 |= 1 << obstacle as u8;
    }

    /// With those of another set.
    pub fn extend(&mut self, other: Obstacles) {
        self.0 |= other.0;
    }

    /// Whether this is one of them.
    pub fn contains(self, obstacle: Obstacle) -> bool {
        self.0 & 1 << obstacle as u8 != 0
    }

    /// Whether the two have one in common.
    pub fn meets(self, other: Obstacles) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A change of a node that could help a parked pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// The node is new.
    Added,
    /// It was cordoned.
    Uncordoned,
    /// A taint was taken off, or it was not ready.
    Untainted,
    /// Its labels are others.
    Relabelled,
    /// It offers more of something.
    Grew,
    /// A pod left it: gone, finished, or not bound to it after all.
    PodLeft,
    /// What is counted in some place is another number, on whatever node.
    PodsMoved,
}

/// Which obstacles a change removes.
pub struct WakeUp {
    /// The change.
    pub gain: Gain,
    /// For people.
    pub when: &'static str,
    /// What it can remove.
    pub removes: &'static [Obstacle],
}

/// All changes that could help, in the order of [`Gain`].
pub const WAKE_UPS: &[WakeUp] = &[
    WakeUp {
        gain: Gain::Added,
        when: "a node is added",
        removes: &[
            Obstacle::Cordoned,
            Obstacle::Taints,
            Obstacle::BeingDeleted,
            Obstacle::Labels,
            Obstacle::Ports,
            Obstacle::Resources,
            Obstacle::Volumes,
            Obstacle::Spread,
            Obstacle::Neighbours,
            Obstacle::NoNodes,
        ],
    },
    WakeUp { gain: Gain::Uncordoned, when: "a node is uncordoned", removes: &[Obstacle::Cordoned] },
    WakeUp {
        gain: Gain::Untainted,
        when: "a node's taints change, or it becomes ready",
        removes: &[Obstacle::Taints, Obstacle::Spread],
    },
    WakeUp {
        gain: Gain::Relabelled,
        when: "a node's labels change",
        removes: &[Obstacle::Labels, Obstacle::Volumes, Obstacle::Spread, Obstacle::Neighbours],
    },
    WakeUp { gain: Gain::Grew, when: "a node's `allocatable` grows", removes: &[Obstacle::Resources] },
    WakeUp {
        gain: Gain::PodLeft,
        when: "a pod leaves a node: it is gone, has finished, or was not bound to it after all",
        removes: &[Obstacle::Ports, Obstacle::Resources],
    },
    WakeUp {
        gain: Gain::PodsMoved,
        when: "a pod comes, goes or begins to end that the pod counts in some place, or that does not want it",
        removes: &[Obstacle::Spread, Obstacle::Neighbours],
    },
];

/// A parked pod is decided again after this time even if nothing happened that could help.
///
/// Source: Kubernetes, kube-scheduler `DefaultPodMaxInUnschedulablePodsDuration`.
pub const FLUSH: Duration = Duration::from_secs(5 * 60);

impl Gain {
    /// What it can remove.
    pub fn removes(self) -> Obstacles {
        if planted!(PortLeftUnnoticed) && self == Gain::PodLeft {
            return Obstacles::of(&[Obstacle::Resources]);
        }
        let removes = WAKE_UPS[self as usize].removes;
        if planted!(FirstNodeUnnoticed) {
            let known: Vec<Obstacle> = removes.iter().copied().filter(|one| *one != Obstacle::NoNodes).collect();
            return Obstacles::of(&known);
        }
        Obstacles::of(removes)
    }
}

/// The obstacles that a node's change removes, whatever it was and is beside.
pub fn removed(before: Option<&NodeFacts>, after: &NodeFacts) -> Obstacles {
    let Some(before) = before else { return Gain::Added.removes() };
    let gains = [
        (Gain::Uncordoned, !planted!(UncordonUnnoticed) && before.unschedulable && !after.unschedulable),
        (Gain::Untainted, !planted!(UntaintUnnoticed) && before.taints != after.taints),
        (Gain::Relabelled, !planted!(RelabelUnnoticed) && before.labels != after.labels),
        (
            Gain::Grew,
            !planted!(GrowthUnnoticed)
                && (after.allocatable_cpu_milli > before.allocatable_cpu_milli
                    || after.allocatable_memory > before.allocatable_memory
                    || after.allocatable_ephemeral > before.allocatable_ephemeral
                    || after.allocatable_pods > before.allocatable_pods
                    || after.allocatable_more != before.allocatable_more),
        ),
        // A node does not come back from its deletion, but another of its name may stand in its place.
        (Gain::Added, before.deleting && !after.deleting),
    ];
    let mut removed = Obstacles::default();
    for (gain, _) in gains.into_iter().filter(|(_, happened)| *happened) {
        removed.extend(gain.removes());
    }
    removed
}

/// The page of the wake-ups.
pub fn page() -> Page {
    let rows = WAKE_UPS.iter().map(|row| {
        let filters: Vec<String> = FILTERS
            .iter()
            .zip(OBSTACLES)
            .filter(|(_, obstacle)| row.removes.contains(obstacle))
            .map(|(filter, _)| format!("`{}`", filter.name))
            .collect();
        let all = filters.len() == FILTERS.len();
        vec![row.when.into(), if all { "anything, or by the lack of nodes".into() } else { filters.join(", ") }]
    });
    Page::new("scheduler_wake_ups", "When a pod that no node took is tried again", "the scheduler")
        .says(format!(
            "A pod that no node takes is parked, with the [filters](scheduler_filters.md) that refused it. When a node \
             changes, the pods that were refused by a filter in its row ask that one node again, and are decided again \
             if it takes them, or would if less important pods went. Beside that, a pod is decided again when its own requests, `nodeSelector` or priority change, and after {} minutes in any case.",
            FLUSH.as_secs() / 60
        ))
        .lists(file!(), &["when", "pods refused by"], rows)
}

/// The obstacle of each row of [`FILTERS`].
const OBSTACLES: [Obstacle; 9] = [
    Obstacle::Cordoned,
    Obstacle::Taints,
    Obstacle::BeingDeleted,
    Obstacle::Labels,
    Obstacle::Ports,
    Obstacle::Resources,
    Obstacle::Volumes,
    Obstacle::Spread,
    Obstacle::Neighbours,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::{NodeExample, node};
    use crate::scheduler::nodes::Nodes;

    #[test]
    fn only_gains_remove_obstacles() {
        let check = |before: NodeExample, after: NodeExample, want: &[Obstacle]| {
            let mut nodes = Nodes::default();
            nodes.set(&before);
            let (at, before) = nodes.set(&after);
            assert_eq!(removed(before.as_ref(), nodes.facts(at)), Obstacles::of(want));
        };
        check(node("a"), node("a"), &[]);
        check(node("a"), node("a").cordoned(), &[]);
        check(node("a").cordoned(), node("a"), &[Obstacle::Cordoned]);
        check(node("a").ready("Unknown"), node("a"), &[Obstacle::Taints, Obstacle::Spread]);
        let by_label = [Obstacle::Labels, Obstacle::Volumes, Obstacle::Spread, Obstacle::Neighbours];
        check(node("a"), node("a").label("x", "y"), &by_label);
        check(node("a"), node("a").offers("memory", "9Gi"), &[Obstacle::Resources]);
        check(node("a"), node("a").offers("memory", "1Gi").offers("pods", "111"), &[Obstacle::Resources]);
        check(node("a"), node("a").offers("memory", "1Gi"), &[]);
    }

    #[test]
    fn rows_stand_in_the_order_of_their_gains() {
        for (nth, row) in WAKE_UPS.iter().enumerate() {
            assert_eq!(row.gain as usize, nth);
        }
        assert_eq!(OBSTACLES.len(), FILTERS.len());
    }
}
