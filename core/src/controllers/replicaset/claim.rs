//! Which pods are a set's own: by owner reference, adopted and released as their labels change.

use crate::api::meta::{ObjectMeta, OwnerReference};
use crate::api::pod::Pod;
use crate::api::replicaset::ReplicaSet;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Who manages the pod now.
    pub enum Owner {
        /// This set.
        Us,
        /// Something else.
        Other,
        /// Nobody.
        Nobody,
    }
}

decision_enum! {
    /// Whether the set selects the pod's labels.
    pub enum Labels {
        /// It does.
        Match,
        /// It does not.
        Differ,
    }
}

decision_enum! {
    /// What the pod, or the set, is doing.
    pub enum Life {
        /// Neither is being deleted, and the pod has not finished.
        Alive,
        /// One of them is being deleted, or the pod has finished.
        Ending,
    }
}

decision_enum! {
    /// What the set does about it.
    pub enum Action {
        /// It is one of the set's pods.
        Keep,
        /// The set makes itself its owner.
        Adopt,
        /// The set is its owner no more.
        Release,
        /// It is none of the set's business.
        Ignore,
    }
}

decision_table! {
    /// Whether a pod is a set's own. Pure and total. Page: `docs/decisions/claim.md`.
    pub fn claim(owner: Owner, labels: Labels, life: Life) -> Action, CLAIM;
    own:      (Us,     Match,  _)      => Keep,    "made or adopted by this set";
    lost:     (Us,     Differ, Alive)  => Release, "its labels were changed so that it is left alone";
    lost_end: (Us,     Differ, Ending) => Keep,    "it ends in any case";
    foreign:  (Other,  _,      _)      => Ignore,  "a pod has one controller";
    orphan:   (Nobody, Match,  Alive)  => Adopt,   "it has the set's labels and nobody's care";
    dying:    (Nobody, Match,  Ending) => Ignore,  "it is not worth adopting any more";
    stranger: (Nobody, Differ, _)      => Ignore,  "it has nothing to do with the set";
}

/// Reduces a pod and a set to what [`claim`] decides on.
pub fn standing(set: &ReplicaSet, pod: &Pod) -> Action {
    let owner = match pod.metadata.controller() {
        Some(owner) if owner.uid == set.metadata.uid => Owner::Us,
        Some(owner) if planted!(IgnoresOwnerUid) && owner.name == set.metadata.name => Owner::Us,
        Some(_) if !planted!(AdoptsFromOthers) => Owner::Other,
        Some(_) | None => Owner::Nobody,
    };
    let labels = if set.spec.selector.matches(&pod.metadata.labels) { Labels::Match } else { Labels::Differ };
    let life = if pod.is_active() && !set.metadata.is_deleting() { Life::Alive } else { Life::Ending };
    match claim(owner, labels, life).then {
        Action::Ignore if planted!(AdoptsDying) && owner == Owner::Nobody && labels == Labels::Match => Action::Adopt,
        Action::Adopt if planted!(NeverAdopts) => Action::Ignore,
        Action::Release if planted!(NeverReleases) => Action::Keep,
        action => action,
    }
}

/// The reference by which a pod belongs to a set.
pub fn reference(set: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".into(),
        kind: "ReplicaSet".into(),
        name: set.name.clone(),
        uid: set.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
        ..Default::default()
    }
}
