//! Which objects are an owner's own: by owner reference, adopted and released as their labels change.

use crate::api::meta::{ObjectMeta, OwnerReference};
use crate::api::object::Object;
use crate::api::pod::Pod;
use crate::api::selector::LabelSelector;
use crate::table::Row;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Who controls the object now.
    pub enum Owner {
        /// This owner.
        Us,
        /// Something else.
        Other,
        /// Nobody.
        Nobody,
    }
}

decision_enum! {
    /// Whether the owner selects the object's labels.
    pub enum Labels {
        /// It does.
        Match,
        /// It does not.
        Differ,
    }
}

decision_enum! {
    /// What the object, or the owner, is doing.
    pub enum Life {
        /// Neither is being deleted, and the object, if it is a pod, has not finished.
        Alive,
        /// One of them is being deleted, or the pod has finished.
        Ending,
    }
}

decision_enum! {
    /// What the owner does about it.
    pub enum Action {
        /// It is one of its own.
        Keep,
        /// The owner makes itself its controller.
        Adopt,
        /// The owner is its controller no more.
        Release,
        /// It is none of the owner's business.
        Ignore,
    }
}

decision_table! {
    /// Whether an object is an owner's own. Pure and total. Page: `docs/decisions/claim.md`.
    pub fn claim(controller: Owner, labels: Labels, life: Life) -> Action, CLAIM;
    own:      (Us,     Match,  _)      => Keep,    "made or adopted by this owner";
    lost:     (Us,     Differ, Alive)  => Release, "its labels were changed so that it is left alone";
    lost_end: (Us,     Differ, Ending) => Keep,    "it ends in any case";
    foreign:  (Other,  _,      _)      => Ignore,  "an object has one controller";
    orphan:   (Nobody, Match,  Alive)  => Adopt,   "it has the owner's labels and nobody's care";
    dying:    (Nobody, Match,  Ending) => Ignore,  "it is not worth adopting any more";
    stranger: (Nobody, Differ, _)      => Ignore,  "it has nothing to do with the owner";
}

/// Reduces an object and an owner to what [`claim`] decides on.
pub fn standing(owner: &ObjectMeta, selector: &LabelSelector, object: &Object) -> (Action, &'static Row<Action>) {
    let controller = match object.meta().controller() {
        Some(by) if by.uid == owner.uid => Owner::Us,
        Some(by) if planted!(IgnoresOwnerUid) && by.name == owner.name => Owner::Us,
        Some(_) if !planted!(AdoptsFromOthers) => Owner::Other,
        Some(_) | None => Owner::Nobody,
    };
    let labels = if selector.matches(&object.meta().labels) { Labels::Match } else { Labels::Differ };
    let life = if is_alive(object) && !owner.is_deleting() { Life::Alive } else { Life::Ending };
    let row = claim(controller, labels, life);
    let action = match row.then {
        Action::Ignore if planted!(AdoptsDying) && controller == Owner::Nobody && labels == Labels::Match => {
            Action::Adopt
        }
        Action::Adopt if planted!(NeverAdopts) => Action::Ignore,
        Action::Release if planted!(NeverReleases) => Action::Keep,
        action => action,
    };
    (action, row)
}

/// Whether an object neither is being deleted nor, if it is a pod, has finished.
fn is_alive(object: &Object) -> bool {
    object.get::<Pod>().map_or_else(|| !object.meta().is_deleting(), Pod::is_active)
}

/// The reference by which an object belongs to an owner.
pub fn reference(owner: &Object) -> OwnerReference {
    let (row, meta) = (owner.kind().row(), owner.meta());
    OwnerReference {
        api_version: row.api_version().into(),
        kind: row.name.into(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
        ..Default::default()
    }
}
