//! When an old pod of a daemon set is replaced by a new one.
//!
//! Source: Kubernetes documentation, "Perform a Rolling Update on a DaemonSet"; `pkg/controller/daemon`, `rollingUpdate`.

use crate::controllers::daemonset::staffing::Surge;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// How it stands with the pod of one revision on a node.
    pub enum State {
        /// There is none.
        Absent,
        /// It is not ready.
        Unready,
        /// It is ready, but not for `minReadySeconds` yet.
        Young,
        /// It serves.
        Serves,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// Nothing.
        Keep,
        /// Nothing, and the node counts as one on which the pod is away.
        Away,
        /// Nothing, and the node counts as one on which two run.
        Two,
        /// The old one is deleted.
        End,
        /// It is, if on one node more the pod may be away.
        EndInTurn,
        /// A new one is made.
        Make,
        /// It is, if on one node more two may run.
        MakeInTurn,
    }
}

decision_table! {
    /// What is done about an old pod and a new one on a node. Pure and total. Page: `docs/decisions/renewal.md`.
    pub fn renewal(surge: Surge, old: State, new: State) -> Action, RENEWAL;
    renewed:  (No,  Absent,           Serves)                   => Keep,       "it is as it should be";
    starting: (No,  Absent,           Absent | Unready | Young) => Away,       "it does not serve yet";
    idle:     (No,  Unready | Young,  Absent)                   => End,        "who does not serve costs nothing";
    turn:     (No,  Serves,           Absent)                   => EndInTurn,  "some may be away at a time";
    both:     (No,  Unready | Young | Serves, Unready | Young | Serves) => Away, "one of the two is on its way out";
    alone:    (Yes, Absent,           _)                        => Keep,       "it is as it should be, or about to be";
    weak:     (Yes, Unready,          Unready | Young | Serves) => End,        "the old one does not serve any more";
    instead:  (Yes, Unready | Young,  Absent)                   => Make,       "who does not serve is not waited for";
    beside:   (Yes, Serves,           Absent)                   => MakeInTurn, "some nodes may have two at a time";
    waits:    (Yes, Young | Serves,   Unready | Young)          => Two,        "the old one serves until the new one does";
    taken:    (Yes, Young | Serves,   Serves)                   => End,        "the new one serves";
}
