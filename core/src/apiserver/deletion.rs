//! What a deletion does to an object: remove it, or begin to.
//!
//! Source: Kubernetes documentation, "Finalizers" and "Pod Lifecycle", termination of pods;
//! `k8s.io/apiserver/pkg/registry/rest`, `BeforeDelete`.

use crate::api::custom::CustomResourceDefinition;
use crate::api::definition::{self, CLEANUP};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::namespace::{self, Namespace, NamespacePhase};
use crate::api::object::Object;
use crate::api::pod::Pod;
use crate::api::status::{Reason, Status};
use crate::api::text::Text;
use crate::api::validation::SYSTEM_CLASSES;
use crate::program::{DeleteOptions, Propagation};
use crate::time::{Duration, Now};
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whether somebody must act before the object may vanish.
    pub enum Finalizers {
        /// Nobody.
        None,
        /// The holders of its finalizers.
        Present,
    }
}

decision_enum! {
    /// Whether its deletion was asked for before.
    pub enum Deleting {
        /// It was not.
        No,
        /// It was.
        Already,
    }
}

decision_enum! {
    /// How long it may take, against what was said before.
    pub enum Grace {
        /// Now.
        Zero,
        /// Some time; less than was said before, if it was.
        Shorter,
        /// Some time; no less than was said before.
        NotShorter,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// It is removed.
        Remove,
        /// `deletionTimestamp` is set; others will finish.
        Mark,
        /// `deletionTimestamp` is moved to an earlier time.
        Hasten,
        /// It is left as it is.
        Keep,
    }
}

decision_table! {
    /// What a deletion does to an object. Pure and total. Page: `docs/decisions/deletion.md`.
    pub fn deletion(finalizers: Finalizers, grace: Grace, deleting: Deleting) -> Action, DELETION;
    gone:     (None,    Zero, _)                      => Remove, "nothing waits for it";
    begin:    (None,    Shorter | NotShorter, No)     => Mark,   "its node stops it first, and then removes it";
    finalize: (Present, _, No)                        => Mark,   "its finalizers are acted on first";
    hasten:   (None,    Shorter, Already)             => Hasten, "a later deletion may only shorten the time";
    urge:     (Present, Zero | Shorter, Already)      => Hasten, "a later deletion may only shorten the time";
    patience: (_,       NotShorter, Already)          => Keep,   "it is under way";
}

/// The finalizer under which an object waits for its dependents to be deleted.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer under which an object waits for its dependents to forget it.
pub const ORPHAN: &str = "orphan";

/// What becomes of an object that somebody wants deleted.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is removed.
    Remove,
    /// It is stored like this.
    Store(Object),
    /// It stays as it is.
    Keep,
}

/// Decides a deletion.
///
/// A pod's grace period counts only while a node may run it: pods without a node and finished ones go at once, as do
/// all other kinds.
pub fn delete(now: Now, stored: &Object, options: &DeleteOptions) -> Result<Outcome, Status> {
    let (kind, meta) = (stored.kind(), stored.meta());
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != meta.uid && !planted!(DeleteWithoutUid)) {
        sometimes!(DeleteOfTwin);
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta.uid);
        return Err(Status::conflict(kind, &meta.name, &why));
    }
    if let Some(wanted) = options.resource_version.as_ref().filter(|wanted| **wanted != meta.resource_version) {
        sometimes!(DeleteOfNewer);
        let (name, is) = (&meta.name, &meta.resource_version);
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {is}"
        );
        return Err(Status::conflict(kind, name, &why));
    }
    if kind == Kind::Namespace && namespace::BUILT_IN.contains(&meta.name.as_str()) {
        let message = format!("namespaces {:?} is forbidden: this namespace may not be deleted", meta.name);
        return Err(Status::failure(Reason::Forbidden, message));
    }
    if kind == Kind::PriorityClass && SYSTEM_CLASSES.iter().any(|(class, ..)| *class == meta.name) {
        return Err(Status::forbidden(kind, &meta.name, "this is a system priority class and cannot be deleted"));
    }
    let running = stored
        .get::<Pod>()
        .filter(|pod| pod.node().is_some() && (!pod.status.phase.is_final() || planted!(FinishedHaveGrace)));
    let seconds = match running {
        Some(pod) => {
            options.grace_seconds.unwrap_or(if planted!(GraceOfThirty) { 30 } else { pod.grace_seconds() }).max(0)
        }
        None => 0,
    };
    let finalizers = finalizers(stored, options.propagation);
    let waits = !finalizers.is_empty() && !planted!(FinalizersIgnored)
        || stored.get::<Namespace>().is_some_and(|namespace| !namespace.spec.finalizers.is_empty());
    let before = meta.deletion_grace_period_seconds.unwrap_or(i64::MAX);
    let row = deletion(
        if waits { Finalizers::Present } else { Finalizers::None },
        match seconds {
            0 => Grace::Zero,
            _ if meta.is_deleting() && planted!(HurryIgnored) => Grace::NotShorter,
            _ if meta.is_deleting() && seconds >= before && !planted!(DeletionPutOff) => Grace::NotShorter,
            _ => Grace::Shorter,
        },
        if meta.is_deleting() { Deleting::Already } else { Deleting::No },
    );
    match row.then {
        Action::Mark => sometimes!(DeletionMarked),
        Action::Hasten => sometimes!(DeletionHastened),
        Action::Keep => sometimes!(DeletionAgain),
        Action::Remove => {}
    }
    Ok(match row.then {
        Action::Remove => Outcome::Remove,
        Action::Keep => Outcome::Keep,
        Action::Mark | Action::Hasten => {
            let marked = stored.with_meta(|meta| {
                let until = Time::of(now.wall + Duration::from_secs(seconds.unsigned_abs()));
                let earlier = meta
                    .deletion_timestamp
                    .map_or(until, |before| if planted!(DeletionPutOff) { until } else { before.min(until) });
                meta.deletion_timestamp = Some(earlier);
                meta.deletion_grace_period_seconds = Some(seconds);
                meta.finalizers = finalizers;
                if kind.row().has_generation && row.then == Action::Mark {
                    meta.generation = meta.generation.map(|generation| generation + 1);
                }
            });
            let marked = marked.with(|namespace: &mut Namespace| {
                namespace.status.phase = NamespacePhase::Terminating;
            });
            Outcome::Store(marked.with(|defined: &mut CustomResourceDefinition| {
                if definition::is_being_emptied(defined) {
                    definition::terminating(defined, Some(Time::of(now.wall)));
                }
            }))
        }
    })
}

/// Kinds whose dependents stay if nothing is said of them: not by a deletion, nor by a finalizer.
///
/// Source: Kubernetes, `DefaultGarbageCollectionPolicy` of `pkg/registry/batch/job` and
/// `pkg/registry/core/replicationcontroller`; `shouldOrphanDependents` of `k8s.io/apiserver`.
const KEPT_APART: &[Kind] = &[Kind::Job, Kind::ReplicationController];

fn finalizers(stored: &Object, propagation: Option<Propagation>) -> Vec<Text> {
    let mut finalizers = stored.meta().finalizers.clone();
    let is_said = finalizers.iter().any(|one| one == FOREGROUND || one == ORPHAN);
    let kept = !is_said && KEPT_APART.contains(&stored.kind());
    let propagation = propagation.or(kept.then_some(Propagation::Orphan));
    let wanted = match propagation {
        Some(Propagation::Foreground) if planted!(ForegroundIgnored) => None,
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Orphan) if planted!(OrphanIgnored) => None,
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Background) | None => None,
    };
    // What is asked for last counts, as long as the object waits.
    if propagation.is_some() {
        finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        finalizers.extend(wanted.map(Text::from));
    }
    let is_definition = stored.kind() == Kind::CustomResourceDefinition;
    if is_definition && !stored.meta().is_deleting() && !finalizers.iter().any(|one| one == CLEANUP) {
        finalizers.push(CLEANUP.into());
    }
    finalizers
}

/// Whether a write has taken away the last thing that a deletion waited for.
pub fn is_complete(object: &Object) -> bool {
    let meta = object.meta();
    meta.is_deleting()
        && meta.finalizers.is_empty()
        && meta.deletion_grace_period_seconds.unwrap_or(0) == 0
        && match object.kind() {
            Kind::Namespace => object.get::<Namespace>().is_some_and(|namespace| namespace.spec.finalizers.is_empty()),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;
    use serde_json::json;

    fn pod(meta: serde_json::Value, node: &str, phase: &str) -> Object {
        let pod = json!({"metadata": meta, "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}});
        Object::from_value(Kind::Pod, pod).unwrap()
    }

    fn at_100() -> Now {
        Now { wall: Wall::from_secs(100), ..Now::default() }
    }

    #[test]
    fn a_pod_is_stopped_before_it_is_removed() {
        let check = |object: Object, grace: Option<i64>, want: Option<(i64, i64)>| {
            let options = DeleteOptions { grace_seconds: grace, ..Default::default() };
            let got = match delete(at_100(), &object, &options).unwrap() {
                Outcome::Remove => None,
                Outcome::Keep => Some((0, 0)),
                Outcome::Store(object) => Some((
                    object.meta().deletion_timestamp.unwrap().wall().secs(),
                    object.meta().deletion_grace_period_seconds.unwrap(),
                )),
            };
            assert_eq!(got, want);
        };
        let deleting = json!({"deletionTimestamp": "1970-01-01T00:02:10Z", "deletionGracePeriodSeconds": 30});
        check(pod(json!({}), "n", "Running"), None, Some((130, 30)));
        check(pod(json!({}), "n", "Running"), Some(5), Some((105, 5)));
        check(pod(json!({}), "n", "Running"), Some(0), None);
        check(pod(json!({}), "", "Pending"), None, None);
        check(pod(json!({}), "n", "Failed"), None, None);
        check(pod(deleting.clone(), "n", "Running"), Some(5), Some((105, 5)));
        check(pod(deleting.clone(), "n", "Running"), None, Some((0, 0)));
        check(pod(deleting, "n", "Running"), Some(0), None);
        check(pod(json!({"finalizers": ["x/y"]}), "n", "Running"), Some(0), Some((100, 0)));
    }

    #[test]
    fn dependents_of_some_kinds_stay_if_nothing_is_said_of_them() {
        let check = |kind: Kind, finalizers: &[&str], propagation: Option<Propagation>, want: &[&str]| {
            let value = json!({"metadata": {"name": "a", "finalizers": finalizers}});
            let object = Object::from_value(kind, value).unwrap();
            let options = DeleteOptions { propagation, ..Default::default() };
            let left = match delete(at_100(), &object, &options).unwrap() {
                Outcome::Store(object) => object.meta().finalizers.clone(),
                Outcome::Remove | Outcome::Keep => Vec::new(),
            };
            let want: Vec<Text> = want.iter().map(|one| Text::from(*one)).collect();
            assert_eq!(left, want, "{kind:?} {finalizers:?} {propagation:?}");
        };
        check(Kind::Job, &[], None, &[ORPHAN]);
        check(Kind::ReplicationController, &["x/y"], None, &["x/y", ORPHAN]);
        check(Kind::ReplicaSet, &[], None, &[]);
        check(Kind::Job, &[], Some(Propagation::Background), &[]);
        check(Kind::Job, &[FOREGROUND], None, &[FOREGROUND]);
    }

    #[test]
    fn a_later_deletion_decides_anew_about_dependents() {
        let check = |before: &str, then: Option<Propagation>, want: Option<&str>| {
            let meta = json!({"name": "a", "finalizers": [before], "deletionTimestamp": "1970-01-01T00:01:00Z",
                "deletionGracePeriodSeconds": 0});
            let object = Object::from_value(Kind::ReplicaSet, json!({"metadata": meta})).unwrap();
            let options = DeleteOptions { propagation: then, ..Default::default() };
            let left = match delete(at_100(), &object, &options).unwrap() {
                Outcome::Store(object) => object.meta().finalizers.clone(),
                Outcome::Remove | Outcome::Keep => Vec::new(),
            };
            assert_eq!(left, Vec::from_iter(want.map(Text::from)), "{before} {then:?}");
        };
        check(FOREGROUND, Some(Propagation::Orphan), Some(ORPHAN));
        check(ORPHAN, Some(Propagation::Foreground), Some(FOREGROUND));
        check(ORPHAN, Some(Propagation::Background), None);
        check(ORPHAN, None, Some(ORPHAN));
    }

    #[test]
    fn a_deletion_may_be_meant_for_one_object_only() {
        let object = pod(json!({"uid": "u", "resourceVersion": "7"}), "n", "Running");
        let refused = |options: DeleteOptions| delete(at_100(), &object, &options).is_err();
        assert!(refused(DeleteOptions { uid: Some("other".into()), ..Default::default() }));
        assert!(refused(DeleteOptions { resource_version: Some("6".into()), ..Default::default() }));
        assert!(!refused(DeleteOptions {
            uid: Some("u".into()),
            resource_version: Some("7".into()),
            ..Default::default()
        }));
    }
}
