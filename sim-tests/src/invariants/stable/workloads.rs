//! What is missing to deployments, stateful sets, jobs and cron jobs.
//!
//! A pod that has no room, or cannot run, holds its workload up, and rightly so: then only what is counted must be right.

use super::{is_held, of_kind};
use crate::truth::Truth;
use miniku_core::api::cronjob::CronJob;
use miniku_core::api::deployment::{Deployment, POD_TEMPLATE_HASH, revision};
use miniku_core::api::job::{Job, TRACKING};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::ObjectMeta;
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Pod, PodTemplateSpec};
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::statefulset::{PodManagementPolicy, REVISION_HASH, StatefulSet, UpdateStrategyType};

/// What is not as it should be, if anything.
pub(super) fn missing(truth: &Truth) -> Option<String> {
    type Look = fn(&Truth, &Object) -> Result<(), String>;
    let looks: [(Kind, Look); 4] = [
        (Kind::Deployment, deployment),
        (Kind::StatefulSet, stateful_set),
        (Kind::Job, job),
        (Kind::CronJob, cron_job),
    ];
    let all = looks.into_iter().flat_map(|(kind, look)| of_kind(truth, kind).map(move |object| (object, look)));
    all.into_iter().find_map(|(object, look)| {
        let wrong = if object.meta().is_deleting() { ending(truth, object) } else { look(truth, object) };
        wrong.err().map(|what| format!("{} {what}", object.key()))
    })
}

fn is_of(meta: &ObjectMeta, owner: &Object) -> bool {
    meta.controller().is_some_and(|by| by.uid == owner.meta().uid)
}

/// Its pods, and those of what it owns.
fn is_below(truth: &Truth, pod: &Pod, owner: &Object) -> bool {
    let by = |uid: &str| pod.metadata.owner_references.iter().any(|owner| owner.uid == uid);
    let own = |kind: Kind| of_kind(truth, kind).filter(|one| is_of(one.meta(), owner));
    by(&owner.meta().uid) || own(Kind::ReplicaSet).chain(own(Kind::Job)).any(|one| by(&one.meta().uid))
}

fn ending(truth: &Truth, object: &Object) -> Result<(), String> {
    let held = is_held(truth, |pod| is_below(truth, pod, object));
    if held { Ok(()) } else { Err("is still being deleted".into()) }
}

fn is_seen(object: &Object, observed: Option<i64>) -> Result<(), String> {
    if observed == object.meta().generation { Ok(()) } else { Err("was not looked at since it changed".into()) }
}

/// Two numbers that should be one.
fn same(what: &str, told: Option<i32>, are: usize) -> Result<(), String> {
    let told = usize::try_from(told.unwrap_or(0)).unwrap_or(usize::MAX);
    if told == are { Ok(()) } else { Err(format!("says {told} {what}, they are {are}")) }
}

fn is_made_of(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let (mut one, mut other) = (set.spec.template.clone(), template.clone());
    for template in [&mut one, &mut other] {
        template.metadata.labels.remove(POD_TEMPLATE_HASH);
    }
    one == other
}

fn deployment(truth: &Truth, object: &Object) -> Result<(), String> {
    let Some(deployment) = object.read::<Deployment>() else { return Ok(()) };
    let sets: Vec<&ReplicaSet> = truth.all::<ReplicaSet>().filter(|set| is_of(&set.metadata, object)).collect();
    let sum = |of: fn(&ReplicaSet) -> i32| sets.iter().map(|set| usize::try_from(of(set)).unwrap_or(0)).sum();
    let status = &deployment.status;
    is_seen(object, status.observed_generation)?;
    same("pods", status.replicas, sum(|set| set.status.replicas))?;
    same("ready pods", status.ready_replicas, sum(|set| set.status.ready_replicas.unwrap_or(0)))?;
    same("available pods", status.available_replicas, sum(|set| set.status.available_replicas.unwrap_or(0)))?;
    if deployment.spec.paused {
        return Ok(());
    }
    let Some(new) = sets.iter().find(|set| is_made_of(set, &deployment.spec.template)) else {
        // With Recreate an old pod that cannot go has to be waited for.
        let held = is_held(truth, |pod| is_below(truth, pod, object));
        return if held { Ok(()) } else { Err("has no replica set of its template".into()) };
    };
    same("updated pods", status.updated_replicas, usize::try_from(new.status.replicas).unwrap_or(0))?;
    let serve = i64::from(new.status.available_replicas.unwrap_or(0)) == new.spec.replicas.map_or(1, i64::from);
    let old = || sets.iter().filter(|set| set.metadata.uid != new.metadata.uid);
    // Also one that was there before is the newest again by its number, which `rollout undo` goes by.
    let (number, said) = (revision(&new.metadata), revision(object.meta()));
    if let Some(one) = old().find(|one| revision(&one.metadata) >= number) {
        let (name, other) = (&new.metadata.name, &one.metadata.name);
        return Err(format!("is of {name}, its revision {number}, and {other} is a later one"));
    }
    if said != number {
        return Err(format!("says that it is of revision {said}, and its replica set is of {number}"));
    }
    let old_pods: i64 = old().map(|set| i64::from(set.status.replicas)).sum();
    let has = i64::from(new.status.replicas);
    let held = is_held(truth, |pod| is_below(truth, pod, object));
    if serve && !held && (has, old_pods) != (deployment.wanted(), 0) {
        return Err(format!("has {has} of {} pods of its template, and {old_pods} of others", deployment.wanted()));
    }
    let limit = usize::try_from(deployment.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
    let (kept, empty) = (old().count(), old().all(|set| set.status.replicas == 0 && set.spec.replicas == Some(0)));
    if serve && !held && empty && has == deployment.wanted() && kept > limit {
        return Err(format!("keeps {kept} old replica sets, {limit} are asked for"));
    }
    Ok(())
}

fn stateful_set(truth: &Truth, object: &Object) -> Result<(), String> {
    let Some(set) = object.read::<StatefulSet>() else { return Ok(()) };
    let (meta, status) = (object.meta(), &set.status);
    is_seen(object, status.observed_generation)?;
    let pods: Vec<&Pod> = truth.all::<Pod>().filter(|pod| is_of(&pod.metadata, object)).collect();
    same("pods", Some(status.replicas), pods.iter().filter(|pod| !pod.status.phase.is_final()).count())?;
    same("ready pods", status.ready_replicas, pods.iter().filter(|pod| pod.is_ready()).count())?;
    if pods.iter().any(|pod| !pod.is_ready()) {
        return Ok(());
    }
    let wanted = set.wanted();
    let name = |number: i64| format!("{}-{number}", meta.name);
    if let Some(missing) = wanted.clone().map(name).find(|name| pods.iter().all(|pod| pod.metadata.name != *name)) {
        let in_order = set.spec.pod_management_policy == PodManagementPolicy::OrderedReady;
        return Err(format!(
            "has no pod {missing}, though all others serve{}",
            if in_order { " in order" } else { "" }
        ));
    }
    if pods.len() as i64 != wanted.end - wanted.start {
        return Err(format!("has {} pods, and wants {}", pods.len(), wanted.end - wanted.start));
    }
    if set.spec.update_strategy.kind != UpdateStrategyType::RollingUpdate {
        return Ok(());
    }
    let of_newest = |pod: &&&Pod| pod.metadata.labels.get(REVISION_HASH) == Some(&status.update_revision);
    let reached = (wanted.start + set.partition()..wanted.end).map(name);
    for name in reached {
        if !pods.iter().filter(of_newest).any(|pod| pod.metadata.name == name) {
            return Err(format!("does not replace {name}, which is not of its newest revision"));
        }
    }
    same("updated pods", status.updated_replicas, pods.iter().filter(of_newest).count())
}

fn job(truth: &Truth, object: &Object) -> Result<(), String> {
    let Some(job) = object.read::<Job>() else { return Ok(()) };
    let pods: Vec<&Pod> = truth.all::<Pod>().filter(|pod| is_of(&pod.metadata, object)).collect();
    let active = pods.iter().filter(|pod| pod.is_active()).count();
    if is_held(truth, |pod| is_of(&pod.metadata, object)) {
        return Ok(());
    }
    same("active pods", job.status.active, active)?;
    let is_left =
        |pod: &&&Pod| pod.status.phase.is_final() && pod.metadata.finalizers.iter().any(|one| one == TRACKING);
    match () {
        () if job.is_over() || job.spec.suspend => {
            if active > 0 {
                return Err(format!("is over, or suspended, and {active} pods still work for it"));
            }
            match pods.iter().find(is_left) {
                Some(pod) => Err(format!("still holds {}", pod.metadata.name)),
                None => Ok(()),
            }
        }
        // One that had failures waits longer each time.
        () if active == 0 && job.parallelism() > 0 && job.status.failed.is_none() => {
            Err("is not over, and nobody works for it".into())
        }
        () => Ok(()),
    }
}

fn cron_job(truth: &Truth, object: &Object) -> Result<(), String> {
    let Some(cron) = object.read::<CronJob>() else { return Ok(()) };
    let jobs = || of_kind(truth, Kind::Job).filter(|job| is_of(job.meta(), object)).filter_map(Object::read::<Job>);
    let active = jobs().filter(|job| !job.is_over()).count();
    same("active jobs", i32::try_from(cron.status.active.len()).ok(), active)?;
    let limits = [
        ("Complete", cron.spec.successful_jobs_history_limit.unwrap_or(3)),
        ("Failed", cron.spec.failed_jobs_history_limit.unwrap_or(1)),
    ];
    for (how, limit) in limits {
        let kept = jobs().filter(|job| job.is(how)).count();
        if kept > usize::try_from(limit).unwrap_or(0) {
            return Err(format!("keeps {kept} jobs that are {how}, {limit} are asked for"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::forged::Story;
    use super::super::super::{Broken, Checker};
    use super::*;
    use crate::truth::Fact;
    use serde_json::{Value, json};

    #[derive(Default)]
    struct Nobody;

    impl Checker for Nobody {
        fn see(&mut self, _: &Truth, _: &Fact<'_>) -> Result<(), Broken> {
            Ok(())
        }
    }

    /// What is wrong with a deployment of revision 3 whose sets, the newest first, say to be of these revisions.
    fn says(limit: i32, revisions: [i64; 3]) -> Option<String> {
        let mut story = Story::<Nobody>::new();
        let noted = |number: i64| json!({"deployment.kubernetes.io/revision": number.to_string()});
        let template = |image: &str| json!({"spec": {"containers": [{"name": "c", "image": image}]}});
        let set = |name: &str, image: &str, number: i64, replicas: i32| -> Value {
            let owner =
                json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]);
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": name, "uid": name, "annotations": noted(number), "ownerReferences": owner},
                "spec": {"replicas": replicas, "selector": {}, "template": template(image)},
                "status": {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}})
        };
        for (nth, number) in revisions.into_iter().enumerate() {
            let (image, replicas) = if nth == 0 { ("new", 2) } else { ("old", 0) };
            story.put(set(&format!("s{nth}"), image, number, replicas)).unwrap();
        }
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "uid": "d", "annotations": noted(3)},
            "spec": {"replicas": 2, "revisionHistoryLimit": limit, "selector": {}, "template": template("new")},
            "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 2}});
        let object = story.put(deployment).unwrap().new.unwrap();
        super::deployment(&story.truth, &object).err()
    }

    #[test]
    fn says_which_old_sets_are_too_many_or_too_new() {
        assert_eq!(says(2, [3, 1, 2]), None);
        assert_eq!(says(1, [3, 1, 2]).unwrap(), "keeps 2 old replica sets, 1 are asked for");
        assert_eq!(says(2, [3, 1, 4]).unwrap(), "is of s0, its revision 3, and s2 is a later one");
        assert_eq!(says(2, [4, 1, 2]).unwrap(), "says that it is of revision 3, and its replica set is of 4");
    }
}
