//! Why something is done, where it takes no table to decide.

use crate::decision::Because;
use crate::pages::Page;

/// One reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// In one word.
    pub name: &'static str,
    /// As a person would say it.
    pub why: &'static str,
}

impl Reason {
    /// The same as what a decision is told by.
    pub fn because(&self) -> Because {
        Because::new("reasons", self.name, self.why)
    }
}

macro_rules! reasons {
    ($($constant:ident: $name:literal, $why:literal;)+) => {
        $(#[doc = $why] pub const $constant: Reason = Reason { name: $name, why: $why };)+
        /// All of them.
        pub const REASONS: &[Reason] = &[$($constant),+];
    };
}

reasons! {
    MISSING: "missing", "fewer pods are active than are wanted";
    SURPLUS: "surplus", "more pods are active than are wanted";
    NEEDLESS: "needless", "no number needs it: its own is done, has another pod, or is beyond the last";
    FINISHED: "finished", "more finished pods are there than are kept";
    HISTORY: "history", "older ones are there than are kept";
    TEMPLATE: "template", "each template is kept as a revision, and the one in use is the newest";
    OUTDATED: "outdated", "it is of an old revision, and so many may be away at a time";
    CLAIM: "claim", "a pod that is to be made needs it";
    CLAIM_LEFT: "claim-left", "its pod is not wanted any more, and claims go with their pods";
    CLAIM_KEPT: "claim-kept", "it was to go with its set, and is to outlive it by now";
    CLAIM_WANTED: "claim-wanted", "it was to go with its pod, and is wanted again, or is to stay by now";
    DOUBLE: "double", "a node has one pod of the set";
    NODE_GONE: "node-gone", "it is meant for a node that does not exist";
    DEAD: "dead", "a pod of the set that has ended leaves its node to another";
    OVER: "over", "its job has come to its end";
    SUSPENDED: "suspended", "its job is suspended";
    LET_GO: "let-go", "its job holds it no longer, and would not hear how it ends";
    REFUSED: "refused", "what it wants to make is not taken";
    RESIZED: "resized", "what is used asks for another number of pods";
    NOWHERE: "nowhere", "no node takes it";
    NOMINATED: "nominated", "others have gone for it";
    VICTIM: "victim", "a more important pod needs its room";
    EXPIRED: "expired", "it has been over for as long as it is kept";
}

/// The page of the reasons.
pub fn page() -> Page {
    let rows = REASONS.iter().map(|one| vec![format!("`{}`", one.name), one.why.into()]);
    Page::new("reasons", "Why something is done, where it takes no table to decide", "every program")
        .says("`miniku why` says one of these.")
        .lists(file!(), &["reason", "why"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = REASONS.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), REASONS.len());
    }
}
