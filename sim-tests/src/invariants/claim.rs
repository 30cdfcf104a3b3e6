//! S-claim: As far as its controller was told, a stateful set's claim is made for a number that is wanted, and is made to belong to the set, or given to it, only where claims go with it, and taken away from it only where they do not; and one is deleted only where claims go when the set becomes smaller, and then of a number that is not wanted and has no pod.
//!
//! Whoever belongs to a set that is gone is collected, which S-owner judges. Catches: data that is lost though it was to be
//! kept, by default, or while a pod uses it.
//!
//! Source: Kubernetes documentation, "StatefulSets", PersistentVolumeClaim retention.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::OwnerReference;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::statefulset::StatefulSet;
use miniku_core::controllers::statefulset::plan::number_of;
use miniku_core::program::Verb;
use serde::Deserialize;

/// Needs to remember nothing.
#[derive(Default)]
pub struct Claims;

/// A set that a claim of this name may be of, and the number.
struct Of<'a> {
    object: &'a Object,
    set: StatefulSet,
    number: i64,
}

/// What is asked for about a claim.
enum Act<'a> {
    /// That there is this one.
    Make(&'a Object),
    /// That it has these owners from now on.
    Own(Vec<OwnerReference>),
    /// That it goes.
    Remove,
}

/// What is asked for, and about which claim, if it is about one.
fn act(verb: &Verb) -> Option<(Key, Act<'_>)> {
    let is_claim = |kind: Kind| kind == Kind::PersistentVolumeClaim;
    match verb {
        Verb::Create { object } if is_claim(object.kind()) => Some((object.key(), Act::Make(object))),
        Verb::Update { object, .. } if is_claim(object.kind()) => {
            Some((object.key(), Act::Own(object.meta().owner_references.clone())))
        }
        Verb::Merge { key, patch, .. } if is_claim(key.kind) => {
            // Where none is left, nothing stands there.
            let owners = Option::<Vec<OwnerReference>>::deserialize(patch.pointer("/metadata/ownerReferences")?);
            Some((key.clone(), Act::Own(owners.ok()?.unwrap_or_default())))
        }
        Verb::Delete { key, .. } if is_claim(key.kind) => Some((key.clone(), Act::Remove)),
        _ => None,
    }
}

/// All that a claim of this name may be of, as somebody was told.
fn of<'a>(told: Told<'a>, claim: &Key) -> Vec<Of<'a>> {
    let number = |object: &Object, set: &StatefulSet| {
        let templates = set.spec.volume_claim_templates.iter();
        let mut own = templates.map(|one| format!("{}-{}", one.metadata.name, object.meta().name));
        own.find_map(|own| number_of(&own, &claim.name))
    };
    let sets = told.within(Kind::StatefulSet, &claim.namespace);
    let of = sets.filter_map(|object| {
        let set = object.read::<StatefulSet>()?;
        Some(Of { object, number: number(object, &set)?, set })
    });
    of.collect()
}

/// Why a claim should not be made like this for this set.
fn not_made(of: &Of<'_>, claim: &Object) -> Option<String> {
    let (number, belongs) = (of.number, claim.meta().controller().is_some());
    let goes = of.set.spec.retention.when_deleted == "Delete";
    match () {
        () if !of.set.wanted().contains(&number) => Some(format!("is made, and number {number} is not wanted")),
        () if belongs != goes => Some(format!("is made, and goes with its set: {belongs}; asked for is: {goes}")),
        () => None,
    }
}

/// Why a claim of this set should not have these owners from now on. One whose labels are others is not the set's any more.
fn not_owned(of: &Of<'_>, claim: &Object, owners: &[OwnerReference]) -> Option<String> {
    let goes = of.set.spec.retention.when_deleted == "Delete";
    let is_selected = of.set.spec.selector.matches(&claim.meta().labels);
    let has_set = |owners: &[OwnerReference]| owners.iter().any(|one| one.uid == of.object.meta().uid);
    match (has_set(&claim.meta().owner_references), has_set(owners)) {
        (false, true) if !goes => Some("is given to its set, and is to outlive it".into()),
        (true, false) if goes && is_selected => Some("is taken away from its set, and is to go with it".into()),
        _ => None,
    }
}

/// Why a claim of this set should not go.
fn stays(truth: &Truth, told: Told<'_>, of: &Of<'_>) -> Option<String> {
    let (meta, number) = (of.object.meta(), of.number);
    let pod = told.object(&Key::new(Kind::Pod, &meta.namespace, &format!("{}-{number}", meta.name)));
    // What vanished in a gap of the controller's view stays in what it was told.
    let stored = |pod: &&Object| truth.has_pod(&pod.meta().uid);
    let own = |pod: &&Object| pod.meta().controller().is_some_and(|by| by.uid == meta.uid);
    match () {
        () if of.set.spec.retention.when_scaled != "Delete" => Some("goes, and claims are to stay".into()),
        () if of.set.wanted().contains(&number) => Some(format!("goes, and number {number} is wanted")),
        () => pod.filter(stored).filter(own).map(|pod| format!("goes, and {} is there", pod.meta().name)),
    }
}

impl Checker for Claims {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        if who.role != Role::Workloads {
            return Ok(());
        }
        let told = truth.told(who);
        let Some((key, act)) = act(&request.verb) else { return Ok(()) };
        let (sets, known) = (of(told, &key), told.object(&key));
        let judged = sets.iter().map(|of| match &act {
            Act::Make(claim) => not_made(of, claim),
            Act::Own(owners) => known.and_then(|claim| not_owned(of, claim, owners)),
            Act::Remove => stays(truth, told, of),
        });
        // Names may be such that it can be of one or of another.
        let wrong = judged.reduce(|one, other| one.and(other)).flatten();
        let made = if let Act::Make(claim) = act { Some(claim) } else { None };
        match wrong {
            Some(wrong) => Err(Broken::by(format!("{key} {wrong}")).with(made.or(known))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use miniku_core::program::{DeleteOptions, Part};
    use serde_json::{Value, json};

    fn owned_by(kind: &str, name: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": true}])
    }

    /// What is wrong when a controller that was told of a set of one pod, and of this pod, asks for this.
    fn asks(retention: Value, pod: &str, verb: Verb) -> String {
        let (mut story, controller) = (Story::<Claims>::new(), who(Role::Workloads, "workloads"));
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "db", "namespace": "default"},
            "spec": {"replicas": 1, "selector": {}, "template": {}, "persistentVolumeClaimRetentionPolicy": retention,
                "volumeClaimTemplates": [{"metadata": {"name": "my-data"}}]}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "uid": pod, "namespace": "default",
            "ownerReferences": owned_by("StatefulSet", "db")}, "spec": {"containers": []}});
        for object in [set, pod] {
            story.shows(&controller, object).unwrap();
        }
        story.sends(&controller, verb).err().map_or(String::new(), |broken| broken.what)
    }

    #[test]
    fn fires_on_a_claim_that_goes_though_it_is_to_stay() {
        let goes = |when_scaled: &str, pod: &str, claim: &str| {
            let key = Key::new(Kind::PersistentVolumeClaim, "default", claim);
            asks(json!({"whenScaled": when_scaled}), pod, Verb::Delete { key, options: DeleteOptions::default() })
        };
        assert_eq!(goes("Delete", "db-0", "my-data-db-1"), "");
        assert!(goes("Retain", "db-0", "my-data-db-1").contains("goes, and claims are to stay"));
        assert!(goes("Delete", "db-1", "my-data-db-1").contains("goes, and db-1 is there"));
        assert!(goes("Delete", "db-1", "my-data-db-0").contains("goes, and number 0 is wanted"));
        assert_eq!(goes("Retain", "db-0", "others-db-1"), "");
    }

    #[test]
    fn fires_on_a_claim_that_does_not_outlive_its_set() {
        let made = |when_deleted: &str, owners: Value, name: &str| {
            let object = crate::plan::object(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": "default", "ownerReferences": owners}}));
            asks(json!({"whenDeleted": when_deleted}), "db-0", Verb::Create { object })
        };
        let set = || owned_by("StatefulSet", "db");
        assert_eq!(made("Retain", json!([]), "my-data-db-0"), "");
        assert_eq!(made("Delete", set(), "my-data-db-0"), "");
        assert!(made("Retain", set(), "my-data-db-0").contains("goes with its set: true; asked for is: false"));
        assert!(made("Delete", json!([]), "my-data-db-0").contains("goes with its set: false; asked for is: true"));
        assert!(made("Retain", json!([]), "my-data-db-1").contains("number 1 is not wanted"));
    }

    #[test]
    fn fires_on_a_claim_that_is_given_or_taken_against_what_is_said() {
        let becomes = |when_deleted: &str, app: &str, before: Value, after: Value| {
            let (mut story, controller) = (Story::<Claims>::new(), who(Role::Workloads, "workloads"));
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "db", "namespace": "default"},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "db"}}, "template": {},
                    "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted},
                    "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}});
            let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-db-1",
                "namespace": "default", "labels": {"app": app}, "ownerReferences": before}});
            story.shows(&controller, set).unwrap();
            let claim = story.shows(&controller, claim).unwrap();
            let patch = json!({"metadata": {"ownerReferences": after}});
            let owners: Vec<OwnerReference> = serde_json::from_value(after).unwrap();
            let object = claim.with_meta(|meta| meta.owner_references = owners);
            let merge = Verb::Merge { key: claim.key(), patch, part: Part::Main };
            let told = [merge, Verb::Update { object, part: Part::Main }].map(|verb| {
                let sent = story.sends(&controller, verb);
                sent.err().map_or(String::new(), |broken| broken.what)
            });
            assert_eq!(told[0], told[1]);
            told[0].clone()
        };
        let (set, none) = (|| owned_by("StatefulSet", "db"), || json!([]));
        let given = "persistentvolumeclaims/default/data-db-1 is given to its set, and is to outlive it";
        let taken = "persistentvolumeclaims/default/data-db-1 is taken away from its set, and is to go with it";
        assert_eq!(becomes("Delete", "db", none(), set()), "");
        assert_eq!(becomes("Retain", "db", set(), none()), "");
        assert_eq!(becomes("Retain", "db", none(), set()), given);
        assert_eq!(becomes("Delete", "db", set(), none()), taken);
        assert_eq!(becomes("Delete", "another", set(), none()), "");
        assert_eq!(becomes("Delete", "db", set(), set()), "");
        assert_eq!(becomes("Retain", "db", none(), owned_by("StatefulSet", "others")), "");
    }
}
