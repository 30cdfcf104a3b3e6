//! A deployment's replica sets: which one is of the newest template, how they are named, and which are kept.

use crate::api::deployment::{DESIRED_REPLICAS, MAX_REPLICAS};
use crate::api::deployment::{Deployment, POD_TEMPLATE_HASH, REVISION, REVISION_HISTORY, revision};
use crate::api::meta::Labels;
use crate::api::names::hash_word;
use crate::api::object::{Object, Resource};
use crate::api::pod::PodTemplateSpec;
use crate::api::replicaset::{ReplicaSet, ReplicaSetSpec};
use crate::apiserver::admission;

/// A replica set, and the object it is in.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    /// The object.
    pub object: &'a Object,
    /// What it says.
    pub set: &'a ReplicaSet,
}

impl<'a> Set<'a> {
    /// The object as a replica set, if it is one.
    pub fn of(object: &'a Object) -> Option<Self> {
        Some(Set { object, set: object.get()? })
    }

    /// How many pods it wants.
    pub fn wanted(&self) -> i64 {
        i64::from(self.set.spec.replicas.unwrap_or(1))
    }

    /// How many pods it has.
    pub fn has(&self) -> i64 {
        i64::from(self.set.status.replicas)
    }

    /// How many of them are ready.
    pub fn ready(&self) -> i64 {
        i64::from(self.set.status.ready_replicas.unwrap_or(0))
    }

    /// How many of them have been ready long enough.
    pub fn available(&self) -> i64 {
        i64::from(self.set.status.available_replicas.unwrap_or(0))
    }
}

/// The set of a deployment's template, and the others; each oldest first.
///
/// If there are several of it, which can only be by adoption, the oldest is meant. The hash decides nothing: it is only
/// a name.
pub fn newest<'a>(deployment: &Deployment, children: &[&'a Object]) -> (Option<Set<'a>>, Vec<Set<'a>>) {
    let mut sets: Vec<Set<'a>> = children.iter().filter_map(|one| Set::of(one)).collect();
    sets.sort_by_key(|one| (one.set.metadata.creation_timestamp, one.object.key()));
    let wanted = &deployment.spec.template;
    let exactly = sets.iter().position(|one| same_template(&one.set.spec.template, wanted));
    let at = exactly.or_else(|| {
        let wanted = completed(wanted);
        sets.iter().position(|one| same_template(&completed(&one.set.spec.template), &wanted))
    });
    let newest = at.map(|at| sets.remove(at));
    (newest, sets)
}

/// A template as it is stored today. One that was stored when fewer fields had defaults is the same still; else a set
/// would be made of it again and again, of which none would be its own.
fn completed(template: &PodTemplateSpec) -> PodTemplateSpec {
    let spec = ReplicaSetSpec { template: template.clone(), ..Default::default() };
    let set = admission::completed(ReplicaSet { spec, ..Default::default() }.into_object());
    set.get::<ReplicaSet>().map_or_else(|| template.clone(), |set| set.spec.template.clone())
}

/// Whether two templates make the same pods, but for their hash.
fn same_template(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    let labels = |template: &PodTemplateSpec| without_hash(&template.metadata.labels);
    one.spec == other.spec
        && labels(one) == labels(other)
        && one.metadata.annotations == other.metadata.annotations
        && one.metadata.finalizers == other.metadata.finalizers
}

fn without_hash(labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.remove(POD_TEMPLATE_HASH);
    labels
}

/// What tells a template from others in names and labels. `collisions` makes another of it.
pub fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut text = serde_json::to_vec(template).expect("API structs have string keys and finite numbers");
    if let Some(count) = collisions {
        text.extend(count.to_le_bytes());
    }
    hash_word(&text)
}

/// The revision of a template that is rolled out after these sets.
pub fn next_revision(old: &[Set<'_>]) -> i64 {
    old.iter().map(|one| revision(&one.set.metadata)).max().unwrap_or(0) + 1
}

/// Annotations that are not handed on from a deployment to its sets.
///
/// Source: Kubernetes, `pkg/controller/deployment/util`, `annotationsToSkip`.
const NOT_HANDED_ON: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// How long the list of earlier revisions may be.
///
/// Source: Kubernetes, `pkg/controller/deployment`, `maxRevHistoryLengthInChars`.
const HISTORY_MAX: usize = 2000;

/// The annotations of the newest set: its deployment's, and which revision it is. One that was the newest before keeps
/// in mind which revisions it was.
pub fn annotations(of_deployment: &Labels, of_set: &Labels, next: i64) -> Labels {
    let mut all = of_set.clone();
    let handed_on = of_deployment.iter().filter(|(name, _)| !NOT_HANDED_ON.contains(&name.as_str()));
    let handed_on = handed_on.filter(|_| !planted!(AnnotationsNotHandedOn));
    all.extend(handed_on.map(|(name, value)| (name.clone(), value.clone())));
    let before = all.get(REVISION).cloned();
    let was: i64 = before.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    if was >= next || was > 0 && planted!(RollbackKeepsRevision) {
        return all;
    }
    all.insert(REVISION, next.to_string().into());
    if let Some(before) = before.filter(|text| !text.is_empty()) {
        let history = all.get(REVISION_HISTORY).cloned().unwrap_or_default();
        let mut revisions: Vec<&str> = history.split(',').filter(|text| !text.is_empty() && *text != before).collect();
        revisions.push(&before);
        while revisions.len() > 1 && revisions.join(",").len() > HISTORY_MAX {
            revisions.remove(0);
        }
        let history = revisions.join(",");
        all.insert(REVISION_HISTORY, history.into());
    }
    all
}

/// The old sets that are not kept: all but the `limit` of the highest revisions, and none that still has pods.
///
/// Source: Kubernetes documentation, "Deployments", clean up policy; `pkg/controller/deployment`, `cleanupDeployment`.
pub fn superfluous<'a>(old: &[Set<'a>], limit: usize) -> Vec<Set<'a>> {
    let mut there: Vec<Set<'a>> = old.iter().copied().filter(|one| !one.set.metadata.is_deleting()).collect();
    there.sort_by_key(|one| (revision(&one.set.metadata), one.object.key()));
    if planted!(HistoryNewestGone) {
        there.reverse();
    }
    there.truncate(there.len().saturating_sub(limit));
    let seen = |one: &Set<'_>| one.set.status.observed_generation >= one.set.metadata.generation;
    let is_empty = |one: &Set<'_>| one.has() == 0 && one.wanted() == 0;
    there.retain(|one| (is_empty(one) || planted!(SetsWithPodsGo)) && seen(one));
    there
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::{Value, json};

    fn set(name: &str, value: Value) -> Object {
        let mut set = json!({"metadata": {"name": name, "namespace": "x"}, "spec": {"replicas": 0}});
        crate::patch::merge::merge(&mut set, &value);
        Object::from_value(Kind::ReplicaSet, set).unwrap()
    }

    fn of_revision(name: &str, revision: i64, pods: i32) -> Object {
        set(name, json!({"metadata": {"annotations": {REVISION: revision.to_string()}}, "status": {"replicas": pods}}))
    }

    #[test]
    fn the_newest_is_of_the_same_template() {
        let template = |image: &str, hash: &str| {
            json!({"metadata": {"labels": {"app": "web", POD_TEMPLATE_HASH: hash}},
                "spec": {"containers": [{"name": "c", "image": image}]}})
        };
        let a = set(
            "a",
            json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"template": template("one", "1")}}),
        );
        let b = set(
            "b",
            json!({"metadata": {"creationTimestamp": "2026-01-02T00:00:00Z"}, "spec": {"template": template("two", "2")}}),
        );
        let check = |image: &str, want: Option<&str>, others: &[&str]| {
            let deployment: Deployment =
                serde_json::from_value(json!({"spec": {"template": template(image, "")}})).unwrap();
            let (newest, old) = newest(&deployment, &[&b, &a]);
            assert_eq!(newest.map(|one| one.set.metadata.name.as_str()), want);
            assert_eq!(old.iter().map(|one| one.set.metadata.name.as_str()).collect::<Vec<_>>(), others);
        };
        check("one", Some("a"), &["b"]);
        check("two", Some("b"), &["a"]);
        check("three", None, &["a", "b"]);
    }

    #[test]
    fn a_template_of_fewer_defaults_is_the_same() {
        let spec = json!({"containers": [{"name": "c", "image": "one"}]});
        let template = |spec: &Value| json!({"metadata": {"labels": {"app": "web"}}, "spec": spec});
        let stored = crate::apiserver::admission::completed(set("a", json!({"spec": {"template": template(&spec)}})));
        let of = |spec: Value| -> Deployment {
            serde_json::from_value(json!({"spec": {"template": template(&spec)}})).unwrap()
        };
        assert_ne!(stored.get::<ReplicaSet>().unwrap().spec.template, of(spec.clone()).spec.template);
        assert!(newest(&of(spec), &[&stored]).0.is_some());
        assert!(newest(&of(json!({"containers": [{"name": "c", "image": "two"}]})), &[&stored]).0.is_none());
    }

    #[test]
    fn a_set_that_comes_back_remembers_what_it_was() {
        let labels =
            |pairs: &[(&str, &str)]| -> Labels { pairs.iter().map(|(name, value)| (*name, (*value).into())).collect() };
        let of_deployment =
            labels(&[("a", "1"), (REVISION, "3"), ("kubectl.kubernetes.io/last-applied-configuration", "{}")]);
        let new = annotations(&of_deployment, &Labels::default(), 4);
        assert_eq!(new, labels(&[("a", "1"), (REVISION, "4")]));
        assert_eq!(annotations(&of_deployment, &new, 4), new, "nothing is changed twice");
        let back = annotations(&of_deployment, &labels(&[(REVISION, "2"), (REVISION_HISTORY, "1")]), 5);
        assert_eq!(back, labels(&[("a", "1"), (REVISION, "5"), (REVISION_HISTORY, "1,2")]));
    }

    #[test]
    fn the_oldest_without_pods_go() {
        let sets = [of_revision("a", 1, 0), of_revision("b", 2, 1), of_revision("c", 3, 0), of_revision("d", 4, 0)];
        let sets: Vec<Set<'_>> = sets.iter().filter_map(Set::of).collect();
        let check = |limit, want: &[&str]| {
            let names: Vec<&str> = superfluous(&sets, limit).iter().map(|one| one.set.metadata.name.as_str()).collect();
            assert_eq!(names, want, "{limit}");
        };
        check(10, &[]);
        check(3, &["a"]);
        check(2, &["a"]);
        check(0, &["a", "c", "d"]);
        assert_eq!(next_revision(&sets), 5);
    }

    #[test]
    fn a_collision_changes_the_name() {
        let template = PodTemplateSpec::default();
        let names = [None, Some(1), Some(2)].map(|count| template_hash(&template, count));
        assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");
        assert!(names.iter().all(|name| crate::api::names::is_dns_label(name)));
    }
}
