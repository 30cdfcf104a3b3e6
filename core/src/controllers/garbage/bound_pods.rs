//! What becomes of a pod whose node does not exist.
//!
//! Source: Kubernetes, `pkg/controller/podgc`, `gcOrphaned`.

use crate::{decision_enum, decision_table};

decision_enum! {
    /// The node that a pod is bound to.
    pub enum Node {
        /// There is none: it is not bound.
        Unbound,
        /// The view shows it.
        InView,
        /// The view does not show it.
        NotSeen,
    }
}

decision_enum! {
    /// What the API server said of the node, for this pod.
    pub enum Word {
        /// Nothing yet.
        NotAsked,
        /// There is no such node.
        NoSuchNode,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// It is left as it is.
        Keep,
        /// After a while, the API server is asked for the node.
        Ask,
        /// It is removed at once.
        Remove,
    }
}

decision_table! {
    /// What becomes of a pod, given its node. Pure and total. Page: `docs/decisions/bound_pods.md`.
    pub fn bound_pod(node: Node, word: Word) -> Action, BOUND_POD;
    unbound: (Unbound, _)           => Keep,   "it waits for the scheduler";
    at_home: (InView, _)            => Keep,   "its node's kubelet takes care of it";
    missing: (NotSeen, NotAsked)    => Ask,    "the node may be new, or about to register again";
    lost:    (NotSeen, NoSuchNode)  => Remove, "nobody is left to stop it";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_word_removes_a_pod() {
        assert_eq!(bound_pod(Node::NotSeen, Word::NoSuchNode).then, Action::Remove);
        for (node, word) in
            [(Node::NotSeen, Word::NotAsked), (Node::InView, Word::NoSuchNode), (Node::Unbound, Word::NoSuchNode)]
        {
            assert_ne!(bound_pod(node, word).then, Action::Remove, "{node:?} {word:?}");
        }
    }
}
