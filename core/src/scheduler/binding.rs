//! What becomes of a pod whose bind was answered, or was not.
//!
//! From the moment a bind is asked for, the pod counts on its node. Lost is not refused: the bind may have been done,
//! or may still be done when its request arrives late. So after a lost answer the pod is looked at in the store, and
//! bound again to the *same* node if it is bound to none: whichever of the two requests arrives first, the node was
//! counted right. Only a node that does not take the pod any more is given up, and keeps room for it for a while.

use crate::api::status::Reason;
use crate::pages::Page;
use crate::program::Answer;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What was heard of a bind.
    pub enum Heard {
        /// It was done.
        Done,
        /// It was not done, and will not be.
        Refused,
        /// It was refused since the pod is bound: by somebody else, or by this very request, which arrived twice.
        Taken,
        /// It may have been done or not.
        Lost,
    }
}

decision_enum! {
    /// Whether an earlier bind of the same pod may have been done, or may still arrive.
    pub enum Earlier {
        /// There was none, or all were answered.
        Settled,
        /// The answer of one was lost.
        Unsettled,
    }
}

decision_enum! {
    /// What is done after a bind.
    pub enum AfterBind {
        /// The pod counts on the node until the view shows it there.
        Wait,
        /// The node is free of it; another decision after a delay.
        DecideLater,
        /// The pod still counts on the node; it is looked at in the store after a delay.
        Look,
    }
}

decision_table! {
    /// Pure and total. Page: `docs/decisions/scheduler_binding.md`.
    pub fn after_bind(heard: Heard, earlier: Earlier) -> AfterBind, AFTER_BIND;
    bound:    (Done, _)             => Wait,        "done; the watch will show it";
    refused:  (Refused, Settled)    => DecideLater, "bound by somebody else, replaced or gone; the watch will tell";
    by_whom:  (Refused, Unsettled)  => Look,        "it may be refused because an earlier one was done";
    taken:    (Taken, _)            => Look,        "perhaps by this very request, which arrived twice";
    lost:     (Lost, _)             => Look,        "whether it was done is not known";
}

decision_enum! {
    /// What looking at the pod in the store showed.
    pub enum Found {
        /// It is bound to the node it counts on.
        Here,
        /// It is bound to another node.
        Elsewhere,
        /// It is bound to no node and wants one.
        Unbound,
        /// It is gone, another of its name is there, or it wants no node any more.
        Gone,
        /// No answer came, or none that tells.
        NotKnown,
    }
}

decision_enum! {
    /// Whether the node it counts on would still take it.
    pub enum Node {
        /// It would.
        Takes,
        /// It would not, or is gone.
        Refuses,
    }
}

decision_enum! {
    /// What is done after looking.
    pub enum AfterLook {
        /// The pod counts on the node until the view shows it there.
        Wait,
        /// The same bind is asked for again.
        BindAgain,
        /// The node is free of it; another decision after a delay.
        DecideLater,
        /// The same, but its room on the node stays reserved while the bind may still arrive.
        GiveUp,
        /// It is looked at again after a delay.
        LookAgain,
    }
}

decision_table! {
    /// Pure and total. Page: `docs/decisions/scheduler_binding.md`.
    pub fn after_look(found: Found, node: Node) -> AfterLook, AFTER_LOOK;
    done:      (Here, _)            => Wait,        "it was done; the watch will show it";
    elsewhere: (Elsewhere, _)       => DecideLater, "somebody else bound it; the watch will tell";
    again:     (Unbound, Takes)     => BindAgain,   "not done yet, and the first request may still arrive";
    given_up:  (Unbound, Refuses)   => GiveUp,      "not done, and the node does not take it any more";
    gone:      (Gone, _)            => DecideLater, "nothing to bind; the watch will tell";
    not_known: (NotKnown, _)        => LookAgain,   "still not known";
}

/// What an answer says of the bind it answers.
///
/// An error of the server is not a refusal: it may have failed after the bind was done. Nor is it one that there are too
/// many requests: of a bind that arrives twice, the other may be carried out.
pub fn heard(answer: &Answer) -> Heard {
    match answer {
        Answer::Object { .. } | Answer::Removed(_) => Heard::Done,
        Answer::Refused(status) if status.leaves_open() && !planted!(ErrorIsRefusal) => Heard::Lost,
        Answer::Refused(status) if status.reason == Some(Reason::Conflict) => Heard::Taken,
        Answer::Refused(_) => Heard::Refused,
        Answer::List { .. } | Answer::Watching | Answer::Lost(_) => Heard::Lost,
    }
}

/// The page of what follows a bind.
pub fn page() -> Page {
    Page::new("scheduler_binding", "What follows a bind", "the scheduler")
        .says(
            "From the moment a bind is asked for, the pod counts on its node. A bind names the pod's uid and is refused \
             if the pod is bound already, so asking twice does no harm. When its answer comes, or none does:",
        )
        .decides(&AFTER_BIND)
        .says("After a look at the pod in the store:")
        .decides(&AFTER_LOOK)
}
