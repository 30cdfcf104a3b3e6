//! What becomes of a pod whose node does not exist or is out of service, or that nobody needs any more.
//!
//! Source: Kubernetes, `pkg/controller/podgc`; documentation, "Non-graceful node shutdown", "Garbage collection of Pods".

use crate::{decision_enum, decision_table};

decision_enum! {
    /// The node that a pod is bound to.
    pub enum Node {
        /// There is none: it is not bound.
        Unbound,
        /// The view shows it.
        InView,
        /// The view shows it, not ready and with the taint `node.kubernetes.io/out-of-service`.
        OutOfService,
        /// The view does not show it.
        NotSeen,
    }
}

decision_enum! {
    /// What has become of the pod.
    pub enum Standing {
        /// It runs, will run, or has ended and is kept.
        Kept,
        /// It is being deleted.
        Leaving,
        /// It has ended, and so have too many after it.
        Surplus,
    }
}

decision_enum! {
    /// Whether it is known to have ended.
    pub enum Phase {
        /// It is not.
        Going,
        /// It has succeeded or failed.
        Ended,
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
        /// Its status says that it has failed; then it is looked at again.
        Fail,
        /// It is removed at once.
        Remove,
    }
}

decision_table! {
    /// What becomes of a pod, given its node. Pure and total. Page: `docs/decisions/bound_pods.md`.
    pub fn bound_pod(node: Node, pod: Standing, phase: Phase, word: Word) -> Action, BOUND_POD;
    surplus:  (_, Surplus, _, _)                              => Remove, "the oldest of those that have ended are not kept for ever";
    unbound:  (Unbound, Kept, _, _)                           => Keep,   "it waits for the scheduler";
    hopeless: (Unbound, Leaving, Going, _)                    => Fail,   "who holds it may wait for its end, which nobody else tells";
    unborn:   (Unbound, Leaving, Ended, _)                    => Remove, "it runs nowhere, so nobody has to stop it";
    at_home:  (InView, Kept | Leaving, _, _)                  => Keep,   "its node's kubelet takes care of it";
    sent:     (OutOfService, Kept, _, _)                      => Keep,   "the taint sends it away if it does not put up with it";
    cut_off:  (OutOfService, Leaving, Going, _)               => Fail,   "people say that nothing runs there any more, and its kubelet tells nothing";
    off:      (OutOfService, Leaving, Ended, _)               => Remove, "people say that nothing runs there any more";
    missing:  (NotSeen, Kept | Leaving, _, NotAsked)          => Ask,    "the node may be new, or about to register again";
    bereft:   (NotSeen, Kept | Leaving, Going, NoSuchNode)    => Fail,   "its end is not its own failure, and nobody else tells of it";
    lost:     (NotSeen, Kept | Leaving, Ended, NoSuchNode)    => Remove, "nobody is left to stop it";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_word_removes_a_pod_for_want_of_its_node() {
        let bound_pod = |node, standing, word| bound_pod(node, standing, Phase::Ended, word);
        assert_eq!(bound_pod(Node::NotSeen, Standing::Kept, Word::NoSuchNode).then, Action::Remove);
        assert_eq!(bound_pod(Node::NotSeen, Standing::Leaving, Word::NotAsked).then, Action::Ask);
        for (node, word) in
            [(Node::NotSeen, Word::NotAsked), (Node::InView, Word::NoSuchNode), (Node::Unbound, Word::NoSuchNode)]
        {
            assert_ne!(bound_pod(node, Standing::Kept, word).then, Action::Remove, "{node:?} {word:?}");
        }
        assert_eq!(bound_pod(Node::InView, Standing::Leaving, Word::NotAsked).then, Action::Keep);
        assert_eq!(bound_pod(Node::OutOfService, Standing::Leaving, Word::NotAsked).then, Action::Remove);
    }

    #[test]
    fn what_has_not_ended_fails_before_it_is_removed() {
        for node in [Node::Unbound, Node::InView, Node::OutOfService, Node::NotSeen] {
            for standing in [Standing::Kept, Standing::Leaving] {
                let at = |phase| bound_pod(node, standing, phase, Word::NoSuchNode).then;
                assert_eq!(
                    at(Phase::Going) == Action::Fail,
                    at(Phase::Ended) == Action::Remove,
                    "{node:?} {standing:?}"
                );
                assert_ne!(at(Phase::Going), Action::Remove, "{node:?} {standing:?}");
            }
        }
    }
}
