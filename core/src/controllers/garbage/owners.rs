//! What becomes of an object that names owners.
//!
//! Source: Kubernetes, `pkg/controller/garbagecollector`, `attemptToDeleteItem`.

use crate::api::meta::OwnerReference;
use crate::{decision_enum, decision_table};

/// How it stands with one owner that an object names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It exists; or it is of a kind that we know nothing of, and then nothing is concluded.
    Live,
    /// The view does not show it, and the API server has not been asked.
    NotSeen,
    /// The API server says that there is none of that uid.
    Gone,
    /// It is being deleted, and waits for its children to go first.
    Waiting,
    /// It is being deleted, and waits for its children to forget it.
    LettingGo,
}

decision_enum! {
    /// How it stands with all owners of an object.
    pub enum Owners {
        /// It names none.
        NoneNamed,
        /// At least one lets it go.
        OneLetsGo,
        /// None lets it go, and at least one was not seen.
        InDoubt,
        /// All are alive.
        AllLive,
        /// Some are alive; the others are gone, or wait for their children to go.
        SomeLive,
        /// None is alive, and at least one waits for its children to go.
        Awaited,
        /// All are gone.
        AllGone,
    }
}

decision_enum! {
    /// Whether the deletion of the object itself has begun.
    pub enum Life {
        /// It has not.
        Living,
        /// It has.
        Deleting,
    }
}

decision_enum! {
    /// Whether the object is named as an owner itself.
    pub enum Children {
        /// By nobody.
        Childless,
        /// By some.
        Parent,
        /// By one that it is below itself, too, and that waits for it; and it holds its owners up.
        Circle,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// It is left as it is.
        Keep,
        /// The API server is asked for the owners that were not seen.
        Ask,
        /// It forgets the owners that are gone, or that let it go.
        Strip,
        /// Its owners need not wait for it any longer.
        Unblock,
        /// It is deleted.
        Delete,
        /// It is deleted after its own children.
        DeleteForeground,
    }
}

decision_table! {
    /// What becomes of an object that names owners. Pure and total. Page: `docs/decisions/garbage.md`.
    pub fn garbage(life: Life, owners: Owners, children: Children) -> Action, GARBAGE;
    let_go:         (_, OneLetsGo, _)               => Strip,            "its owner goes without it";
    circle:         (_, Awaited, Circle)            => Unblock,          "each would wait for the other to go first";
    leaving:        (Deleting, NoneNamed | InDoubt | AllLive | SomeLive | AllGone, _)
                                                    => Keep,             "its deletion has begun";
    going:          (Deleting, Awaited, Childless | Parent)
                                                    => Keep,             "its deletion has begun";
    free:           (Living, NoneNamed, _)          => Keep,             "it belongs to nobody";
    doubt:          (Living, InDoubt, _)            => Ask,              "not seen is not gone";
    owned:          (Living, AllLive, _)            => Keep,             "its owners live";
    partly:         (Living, SomeLive, _)           => Strip,            "an owner lives, and the others hold it no more";
    awaited_parent: (Living, Awaited, Parent)       => DeleteForeground, "its owner waits for it, and it has children too";
    awaited:        (Living, Awaited, Childless)    => Delete,           "its owner waits for it to go";
    orphaned:       (Living, AllGone, _)            => Delete,           "no owner is left";
}

/// How it stands with all owners, whatever their order.
///
/// `[Live, Gone]` is `SomeLive`; `[Gone, NotSeen]` is `InDoubt`; `[Gone, Waiting]` is `Awaited`.
pub fn owners(standings: &[Standing]) -> Owners {
    let any = |one| standings.contains(&one);
    match () {
        () if standings.is_empty() => Owners::NoneNamed,
        () if planted!(OneGoneIsEnough) && any(Standing::Gone) => Owners::AllGone,
        () if any(Standing::LettingGo) => Owners::OneLetsGo,
        () if any(Standing::NotSeen) => Owners::InDoubt,
        () if standings.iter().all(|one| *one == Standing::Live) => Owners::AllLive,
        () if any(Standing::Live) => Owners::SomeLive,
        () if any(Standing::Waiting) => Owners::Awaited,
        () => Owners::AllGone,
    }
}

/// The references that stay when an object is stripped of the others; `standings` has one for each of `references`.
///
/// An owner that lets go is always forgotten; one that is gone or waits, only if another lives.
pub fn kept(references: &[OwnerReference], standings: &[Standing]) -> Vec<OwnerReference> {
    let lives = standings.contains(&Standing::Live);
    let stays = |standing: Standing| match standing {
        Standing::Live if planted!(StripsLiveOwners) => false,
        Standing::Live | Standing::NotSeen => true,
        Standing::Gone | Standing::Waiting => !lives,
        Standing::LettingGo => false,
    };
    let pairs = references.iter().zip(standings);
    pairs.filter(|(_, standing)| stays(**standing)).map(|(reference, _)| reference.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::property;
    use Standing::{Gone, LettingGo, Live, NotSeen, Waiting};

    #[test]
    fn an_object_goes_with_its_last_owner() {
        let check = |standings: &[Standing], want| {
            assert_eq!(garbage(Life::Living, owners(standings), Children::Childless).then, want, "{standings:?}");
        };
        check(&[], Action::Keep);
        check(&[Live], Action::Keep);
        check(&[NotSeen], Action::Ask);
        check(&[Gone], Action::Delete);
        check(&[Gone, Gone], Action::Delete);
        check(&[Gone, NotSeen], Action::Ask);
        check(&[Live, NotSeen], Action::Ask);
        check(&[Live, Gone], Action::Strip);
        check(&[Live, Waiting], Action::Strip);
        check(&[Waiting, Gone], Action::Delete);
        check(&[LettingGo, Gone], Action::Strip);
        assert_eq!(garbage(Life::Living, Owners::Awaited, Children::Parent).then, Action::DeleteForeground);
        assert_eq!(garbage(Life::Living, Owners::Awaited, Children::Circle).then, Action::Unblock);
        assert_eq!(garbage(Life::Deleting, Owners::AllGone, Children::Parent).then, Action::Keep);
        assert_eq!(garbage(Life::Deleting, Owners::OneLetsGo, Children::Parent).then, Action::Strip);
    }

    fn some_standings(any: &mut quickcheck::Gen) -> Vec<Standing> {
        let count = any.choose(&[0, 1, 2, 3, 4]).copied().unwrap();
        (0..count).map(|_| *any.choose(&[Live, NotSeen, Gone, Waiting, LettingGo]).unwrap()).collect()
    }

    #[test]
    fn the_order_of_owners_is_irrelevant() {
        property("owners() of a rotated list is the same", |any| {
            let mut standings = some_standings(any);
            let before = owners(&standings);
            for _ in 0..standings.len() {
                standings.rotate_left(1);
                assert_eq!(owners(&standings), before, "{standings:?}");
            }
        });
    }

    #[test]
    fn nothing_is_deleted_that_an_owner_may_hold() {
        property("deletion only if all owners are known to be gone or to wait", |any| {
            let standings = some_standings(any);
            for children in [Children::Childless, Children::Parent] {
                let row = garbage(Life::Living, owners(&standings), children);
                if matches!(row.then, Action::Delete | Action::DeleteForeground) {
                    assert!(standings.iter().all(|one| matches!(one, Gone | Waiting)), "{standings:?}");
                }
            }
        });
    }

    #[test]
    fn stripping_comes_to_an_end() {
        property("what is left after stripping is not stripped again, and the living stay", |any| {
            let standings = some_standings(any);
            let references: Vec<OwnerReference> = (0..standings.len())
                .map(|nth| OwnerReference { uid: nth.to_string().into(), ..Default::default() })
                .collect();
            let left = kept(&references, &standings);
            let of = |reference: &OwnerReference| standings[reference.uid.parse::<usize>().unwrap()];
            let after: Vec<Standing> = left.iter().map(of).collect();
            let row = garbage(Life::Living, owners(&after), Children::Childless);
            assert_ne!(row.then, Action::Strip, "{standings:?}");
            let living = |all: &[Standing]| all.iter().filter(|one| **one == Live).count();
            assert_eq!(living(&after), living(&standings));
            if garbage(Life::Living, owners(&standings), Children::Childless).then == Action::Strip {
                assert!(left.len() < references.len(), "{standings:?}");
            }
        });
    }
}
