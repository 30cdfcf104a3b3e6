//! What the API server's own word on a lease means for a node that has been silent until a deadline.

use crate::api::status::Reason;
use crate::program::{Answer, Revision};
use crate::{decision_enum, decision_table};
use std::cmp::Ordering;

decision_enum! {
    /// What the lease would be looked at for.
    pub enum Question {
        /// Nothing was heard for the whole grace period.
        IsSilent,
        /// It is known to be silent, and it would be tainted so that its pods have to go, or they would go now.
        MayEvict,
    }
}

decision_enum! {
    /// What the API server says of the lease, against what was heard of it.
    pub enum LeaseNow {
        /// It is as it was when we last heard of it.
        Unchanged,
        /// It was renewed, and the news has not reached us.
        Renewed,
        /// There is none.
        Missing,
        /// No answer, or one that says nothing of the lease.
        NoAnswer,
    }
}

decision_enum! {
    /// What is concluded.
    pub enum Action {
        /// The node is silent.
        CallSilent,
        /// The next step is taken: it is tainted, or its pods are evicted.
        Evict,
        /// It was heard, just now.
        Hear,
        /// The grace period begins anew.
        StartOver,
    }
}

decision_table! {
    /// What a deadline means, given the lease itself. Pure and total. Page: `docs/decisions/silence.md`.
    pub fn silence(question: Question, lease: LeaseNow) -> Action, SILENCE;
    silent:      (IsSilent, Unchanged | Missing) => CallSilent, "the server knows of no renewal either";
    evict:       (MayEvict, Unchanged | Missing) => Evict,      "silent to this moment";
    late:        (_, Renewed)                    => Hear,       "the news was late, not the node";
    unreachable: (_, NoAnswer)                   => StartOver,  "who cannot reach the store may not call others silent";
}

impl LeaseNow {
    /// Reduces the answer to a `Get` of the lease; `heard` is its newest revision that we know of, 0 if none.
    pub fn of(answer: &Answer, heard: Revision) -> LeaseNow {
        match answer {
            Answer::Object { object, .. } => match object.revision().cmp(&heard) {
                Ordering::Greater => LeaseNow::Renewed,
                Ordering::Equal => LeaseNow::Unchanged,
                // The answer is from a server that lags behind: it knows less than we do.
                Ordering::Less => LeaseNow::NoAnswer,
            },
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) => LeaseNow::Missing,
            Answer::Refused(_) | Answer::Lost(_) | Answer::Removed(_) | Answer::List { .. } | Answer::Watching => {
                LeaseNow::NoAnswer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::api::object::Object;
    use crate::api::status::Status;

    #[test]
    fn a_lease_is_judged_by_its_revision() {
        let lease = |revision: u64| Answer::Object {
            object: Object::empty(Kind::Lease).with_meta(|meta| meta.resource_version = revision.to_string().into()),
            created: false,
        };
        let check = |answer: Answer, want| assert_eq!(LeaseNow::of(&answer, Revision(7)), want, "{answer:?}");
        check(lease(7), LeaseNow::Unchanged);
        check(lease(8), LeaseNow::Renewed);
        check(lease(6), LeaseNow::NoAnswer);
        check(Answer::Refused(Status::not_found(Kind::Lease, "n")), LeaseNow::Missing);
        check(Answer::Refused(Status::failure(Reason::TooManyRequests, "later")), LeaseNow::NoAnswer);
        check(Answer::Lost("reset".into()), LeaseNow::NoAnswer);
    }

    #[test]
    fn no_answer_convicts_nobody() {
        for question in [Question::IsSilent, Question::MayEvict] {
            assert_eq!(silence(question, LeaseNow::NoAnswer).then, Action::StartOver);
            assert_eq!(silence(question, LeaseNow::Renewed).then, Action::Hear);
        }
        assert_eq!(silence(Question::IsSilent, LeaseNow::Missing).then, Action::CallSilent);
        assert_eq!(silence(Question::MayEvict, LeaseNow::Unchanged).then, Action::Evict);
    }
}
