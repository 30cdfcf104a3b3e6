//! What an owner waits for while it is being deleted.
//!
//! Source: Kubernetes documentation, "Garbage Collection", cascading deletion; `processDeletingDependentsItem` and
//! `attemptToOrphan` of `pkg/controller/garbagecollector`.

use crate::api::meta::ObjectMeta;
use crate::apiserver::deletion::{FOREGROUND, ORPHAN};
use crate::controllers::garbage::owners::Life;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Which finalizer of ours an object has.
    pub enum Finalizer {
        /// None.
        Neither,
        /// `orphan`, whatever else.
        Orphan,
        /// `foregroundDeletion`.
        Foreground,
    }
}

decision_enum! {
    /// Who names the object as an owner.
    pub enum Dependents {
        /// Nobody, as far as the view shows.
        NoneLeft,
        /// Some, but none with `blockOwnerDeletion`.
        NoneBlocks,
        /// At least one with `blockOwnerDeletion`.
        OneBlocks,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// Nothing: each child is looked at by itself, and the object again when one changes.
        Keep,
        /// The API server is asked for children that the view does not show; with none, the finalizer is taken away.
        Count,
        /// The finalizer is taken away.
        Release,
    }
}

decision_table! {
    /// What an owner waits for. Pure and total. Page: `docs/decisions/dependents.md`.
    pub fn dependents(life: Life, finalizer: Finalizer, children: Dependents) -> Action, DEPENDENTS;
    living:     (Living, _, _)                                => Keep,    "nobody asked for its end";
    plain:      (Deleting, Neither, _)                        => Keep,    "it does not wait for its children";
    orphaning:  (Deleting, Orphan, NoneBlocks | OneBlocks)    => Keep,    "its children have to forget it first";
    orphaned:   (Deleting, Orphan, NoneLeft)                  => Count,   "a child that is overlooked now would be deleted";
    foreground: (Deleting, Foreground, OneBlocks)             => Keep,    "its children have to go first";
    alone:      (Deleting, Foreground, NoneLeft | NoneBlocks) => Release, "no child holds it up";
}

impl Finalizer {
    /// Which one an object has.
    pub fn of(meta: &ObjectMeta) -> Finalizer {
        let has = |name: &str| meta.finalizers.iter().any(|finalizer| finalizer == name);
        match () {
            () if has(ORPHAN) => Finalizer::Orphan,
            () if has(FOREGROUND) => Finalizer::Foreground,
            () => Finalizer::Neither,
        }
    }

    /// Its name in the object.
    pub fn name(self) -> &'static str {
        match self {
            Finalizer::Neither => "",
            Finalizer::Orphan => ORPHAN,
            Finalizer::Foreground => FOREGROUND,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_goes_when_nothing_holds_it() {
        let check = |finalizers: &[&str], children, want| {
            let meta =
                ObjectMeta { finalizers: finalizers.iter().map(|name| (*name).into()).collect(), ..Default::default() };
            assert_eq!(dependents(Life::Deleting, Finalizer::of(&meta), children).then, want, "{finalizers:?}");
        };
        check(&["x/y"], Dependents::NoneLeft, Action::Keep);
        check(&[ORPHAN], Dependents::NoneLeft, Action::Count);
        check(&[FOREGROUND, ORPHAN], Dependents::NoneBlocks, Action::Keep);
        check(&[FOREGROUND], Dependents::NoneBlocks, Action::Release);
        check(&[FOREGROUND], Dependents::OneBlocks, Action::Keep);
        assert_eq!(dependents(Life::Living, Finalizer::Orphan, Dependents::NoneLeft).then, Action::Keep);
    }
}
