//! What is missing to replication controllers, deployments, stateful sets, jobs and cron jobs.
//!
//! A pod that has no room, or cannot run, holds its workload up, and rightly so: then only what is counted must be right.

use super::super::cron::made_for;
use super::{is_held, of_kind};
use crate::truth::Truth;
use miniku_core::api::cronjob::CronJob;
use miniku_core::api::deployment::{Deployment, POD_TEMPLATE_HASH, StrategyType, revision};
use miniku_core::api::job::{Job, TRACKING};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{ObjectMeta, Time};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodTemplateSpec};
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::replication::ReplicationController;
use miniku_core::api::statefulset::{
    GOES_WITH_POD, PodManagementPolicy, REVISION_HASH, StatefulSet, UpdateStrategyType,
};
use miniku_core::controllers::statefulset::plan::number_of;
use miniku_core::time::Duration;
use std::collections::BTreeSet;

/// What is not as it should be, if anything.
pub(super) fn missing(truth: &Truth) -> Option<String> {
    type Look = fn(&Truth, &Object) -> Result<(), String>;
    let looks: [(Kind, Look); 5] = [
        (Kind::ReplicationController, controller),
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

fn controller(truth: &Truth, object: &Object) -> Result<(), String> {
    let Some(body) = object.read::<ReplicationController>() else { return Ok(()) };
    let (meta, status) = (object.meta(), &body.status);
    is_seen(object, status.observed_generation)?;
    let living: Vec<&Pod> = truth.all::<Pod>().filter(|pod| pod.is_active()).collect();
    let own: Vec<&Pod> = living.iter().copied().filter(|pod| is_of(&pod.metadata, object)).collect();
    let selects = |pod: &&&Pod| {
        let labels = &pod.metadata.labels;
        body.spec.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    if let Some(stranger) = own.iter().find(|pod| !selects(pod)) {
        return Err(format!("keeps {}, which it does not select", stranger.metadata.name));
    }
    let nobodys = |pod: &&&Pod| pod.metadata.controller().is_none() && pod.metadata.namespace == meta.namespace;
    if let Some(orphan) = living.iter().filter(nobodys).find(selects) {
        return Err(format!("does not adopt {}", orphan.metadata.name));
    }
    let (has, wanted) = (own.len(), usize::try_from(body.spec.replicas.unwrap_or(1)).unwrap_or(0));
    if has != wanted {
        return Err(format!("has {has} of {wanted} pods"));
    }
    let ready = own.iter().filter(|pod| pod.is_ready()).count();
    same("pods", Some(status.replicas), has)?;
    same("ready pods", status.ready_replicas, ready)?;
    if body.spec.min_ready_seconds.unwrap_or(0) == 0 {
        same("available pods", status.available_replicas, ready)?;
    }
    failed(wanted == has, body.status.conditions.iter().any(|one| one.kind == "ReplicaFailure"))?;
    all_serve(truth, own.iter().copied(), body.spec.min_ready_seconds, status.available_replicas)
}

/// Whether at least so many pods are said to be available as have been ready for much longer than they have to be.
pub(super) fn all_serve<'a>(
    truth: &Truth,
    pods: impl Iterator<Item = &'a Pod>,
    least: Option<i32>,
    said: Option<i32>,
) -> Result<(), String> {
    let least = Duration::from_secs(u64::try_from(least.unwrap_or(0)).unwrap_or(0)) + LATE;
    let since = |pod: &Pod| {
        let ready = pod.status.conditions.iter().find(|one| one.kind == "Ready" && one.status == "True");
        ready.and_then(|ready| ready.last_transition_time)
    };
    let serve = pods.filter(|pod| since(pod).is_some_and(|since| passed(truth, since) > least)).count();
    let said = usize::try_from(said.unwrap_or(0)).unwrap_or(0);
    if said < serve {
        return Err(format!("says that {said} pods are available, {serve} have been ready for long"));
    }
    Ok(())
}

/// Whether nobody says that pods cannot be made who has all of them.
pub(super) fn failed(has_all: bool, says_so: bool) -> Result<(), String> {
    if has_all && says_so { Err("says that pods cannot be made, and has all of them".into()) } else { Ok(()) }
}

/// Whether a replica set is of this template.
pub fn is_made_of(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
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
        return shared(&deployment, &sets);
    }
    overdue(truth, &deployment)?;
    // If there are several, which can only be by adoption, the oldest is meant.
    let of_template = sets.iter().filter(|set| is_made_of(set, &deployment.spec.template));
    let Some(new) = of_template.min_by_key(|set| (set.metadata.creation_timestamp, &set.metadata.name)) else {
        // With Recreate an old pod that cannot go has to be waited for.
        let held = is_held(truth, |pod| is_below(truth, pod, object));
        return if held { Ok(()) } else { Err("has no replica set of its template".into()) };
    };
    same("updated pods", status.updated_replicas, usize::try_from(new.status.replicas).unwrap_or(0))?;
    let seconds = |of: Option<i32>| of.unwrap_or(0);
    let (has, should) = (seconds(new.spec.min_ready_seconds), seconds(deployment.spec.min_ready_seconds));
    if has != should {
        return Err(format!("asks for {should} minReadySeconds, and its replica set for {has}"));
    }
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
    let noted = &object.meta().annotations;
    let differs = |name: &str| new.metadata.annotations.get(name) != noted.get(name);
    if let Some(name) = noted.keys().find(|name| is_handed_on(name) && differs(name)) {
        return Err(format!("notes its {name}, and its replica set does not, or something else"));
    }
    let old_pods: i64 = old().map(|set| i64::from(set.status.replicas)).sum();
    let has = i64::from(new.status.replicas);
    let held = is_held(truth, |pod| is_below(truth, pod, object));
    if serve && !held && (has, old_pods) != (deployment.wanted(), 0) {
        return Err(format!("has {has} of {} pods of its template, and {old_pods} of others", deployment.wanted()));
    }
    let all = |number: Option<i32>| i64::from(number.unwrap_or(0)) == deployment.wanted();
    let said = |kind: &str| status.conditions.iter().find(|one| one.kind == kind).map_or("", |one| &*one.reason);
    let is_complete = all(status.replicas) && all(status.updated_replicas) && all(status.available_replicas);
    let should = deployment.progress_deadline().map_or("", |_| "NewReplicaSetAvailable");
    if is_complete && said("Progressing") != should {
        return Err(format!("is rolled out, and says {:?}", said("Progressing")));
    }
    let least = deployment.wanted() - deployment.max_unavailable();
    let serves = i64::from(status.available_replicas.unwrap_or(0)) >= least;
    let should = if serves { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
    if said("Available") != should {
        return Err(format!("says {:?} instead of {should}", said("Available")));
    }
    let limit = usize::try_from(deployment.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
    let (kept, empty) = (old().count(), old().all(|set| set.status.replicas == 0 && set.spec.replicas == Some(0)));
    if serve && !held && empty && has == deployment.wanted() && kept > limit {
        return Err(format!("keeps {kept} old replica sets, {limit} are asked for"));
    }
    Ok(())
}

/// Whether what is noted on a deployment is noted on its newest replica set, too, where `kubectl rollout history` reads it:
/// all but what is about the one or the other alone.
///
/// Source: Kubernetes, `pkg/controller/deployment/util`, `skipCopyAnnotation`.
fn is_handed_on(name: &str) -> bool {
    let own = ["kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to"];
    !name.starts_with("deployment.kubernetes.io/") && !own.contains(&name)
}

/// The sets of a deployment that is paused share what may exist in proportion, whatever is rounded; where at most one has
/// pods, it has as many as are wanted.
///
/// Source: Kubernetes documentation, "Deployments", proportional scaling.
fn shared(deployment: &Deployment, sets: &[&ReplicaSet]) -> Result<(), String> {
    let sizes = || sets.iter().map(|set| i64::from(set.spec.replicas.unwrap_or(1))).filter(|size| *size > 0);
    let rolling = deployment.spec.strategy.kind == StrategyType::RollingUpdate;
    let (all, several) = (sizes().sum::<i64>(), sizes().count() > 1);
    let allowed = if several { deployment.max_total() } else { deployment.wanted() };
    if (rolling || !several) && !sets.is_empty() && all != allowed {
        return Err(format!("is paused, and its sets ask for {all} pods instead of {allowed}"));
    }
    Ok(())
}

/// What a rollout says that has come no further for longer than it may.
fn overdue(truth: &Truth, deployment: &Deployment) -> Result<(), String> {
    let said = deployment.status.conditions.iter().find(|one| one.kind == "Progressing");
    let underway = ["ReplicaSetUpdated", "FoundNewReplicaSet", "NewReplicaSetCreated", "DeploymentResumed"];
    let said = said.filter(|one| underway.contains(&&*one.reason)).and_then(|one| one.last_update_time);
    let (Some(last), Some(most)) = (said, deployment.progress_deadline()) else { return Ok(()) };
    let since = passed(truth, last);
    if since > Duration::from_secs(most) + LATE {
        return Err(format!("has come no further for {} s, of {most}, and does not say so", since.as_secs()));
    }
    Ok(())
}

/// How much later than it is due something may be done.
pub(super) const LATE: Duration = Duration::from_secs(60);

/// How long ago something was, by the clock of the controllers; nothing if it is still to come.
pub(super) fn passed(truth: &Truth, at: Time) -> Duration {
    truth.wall("workloads").since(at.wall())
}

fn stateful_set(truth: &Truth, object: &Object) -> Result<(), String> {
    let Some(set) = object.read::<StatefulSet>() else { return Ok(()) };
    let (meta, status) = (object.meta(), &set.status);
    is_seen(object, status.observed_generation)?;
    let pods: Vec<&Pod> = truth.all::<Pod>().filter(|pod| is_of(&pod.metadata, object)).collect();
    same("pods", Some(status.replicas), pods.iter().filter(|pod| !pod.status.phase.is_final()).count())?;
    same("ready pods", status.ready_replicas, pods.iter().filter(|pod| pod.is_ready()).count())?;
    let of_current = |pod: &&&Pod| pod.metadata.labels.get(REVISION_HASH) == Some(&status.current_revision);
    let living = || pods.iter().filter(|pod| pod.is_active());
    same("pods of the current revision", status.current_replicas, living().filter(of_current).count())?;
    if set.spec.min_ready_seconds.unwrap_or(0) == 0 {
        same("available pods", Some(status.available_replicas), living().filter(|pod| pod.is_ready()).count())?;
    }
    all_serve(truth, living().copied(), set.spec.min_ready_seconds, Some(status.available_replicas))?;
    claims(truth, object, &set, &pods)?;
    let wanted = set.wanted();
    let name = |number: i64| format!("{}-{number}", meta.name);
    let of_name = |name: String| pods.iter().find(|pod| pod.metadata.name == name);
    let first = wanted.clone().map(name).filter_map(of_name).find(|pod| !pod.is_ready());
    // Those after it may wait for it; itself waits for nobody.
    if let Some(ended) = first.filter(|pod| pod.status.phase.is_final() && !pod.metadata.is_deleting()) {
        return Err(format!("keeps {}, which has ended", ended.metadata.name));
    }
    if pods.iter().any(|pod| !pod.is_ready()) {
        return Ok(());
    }
    let missing = wanted.clone().map(name).find(|name| pods.iter().all(|pod| pod.metadata.name != *name));
    // One of a former set of this name may have to be waited for, for as long as its node is dead.
    let held = |name: &String| is_held(truth, |pod| pod.metadata.full_name() == format!("{}/{name}", meta.namespace));
    if missing.as_ref().is_some_and(held) {
        return Ok(());
    }
    if let Some(missing) = missing {
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

/// Each wanted number that has a pod has its claims. Of the others that have none, where claims go, those are gone that were
/// to go with a pod. Those that are there belong to the set if they are to go with it, and else they do not; but for those of
/// somebody else.
fn claims(truth: &Truth, object: &Object, set: &StatefulSet, pods: &[&Pod]) -> Result<(), String> {
    let (meta, goes) = (object.meta(), set.spec.retention.when_scaled == "Delete");
    let goes_along = set.spec.retention.when_deleted == "Delete";
    let number = |pod: &Pod| number_of(&meta.name, &pod.metadata.name);
    let numbers: BTreeSet<i64> = pods.iter().filter_map(|pod| number(pod)).collect();
    for template in &set.spec.volume_claim_templates {
        let own = format!("{}-{}", template.metadata.name, meta.name);
        let missing = |number: &i64| {
            let claim = Key::new(Kind::PersistentVolumeClaim, &meta.namespace, &format!("{own}-{number}"));
            truth.object(&claim).is_none()
        };
        if let Some(number) = set.wanted().filter(|number| numbers.contains(number)).find(missing) {
            return Err(format!("has no claim {own}-{number}, and a pod for it"));
        }
        let number = |claim: &Object| {
            let is_own = claim.meta().namespace == meta.namespace && set.spec.selector.matches(&claim.meta().labels);
            number_of(&own, &claim.meta().name).filter(|_| is_own)
        };
        let left = |claim: &&Object| {
            let went = claim.meta().annotations.contains_key(GOES_WITH_POD);
            went && number(claim).is_some_and(|number| !set.wanted().contains(&number) && !numbers.contains(&number))
        };
        if let Some(claim) = of_kind(truth, Kind::PersistentVolumeClaim).filter(|_| goes).find(left) {
            return Err(format!("keeps {}, which is not wanted any more", claim.meta().name));
        }
        let disagrees = |claim: &&Object| {
            let by = claim.meta().controller();
            let is_free = !claim.meta().is_deleting() && by.is_none_or(|by| by.uid == meta.uid);
            is_free && by.is_some() != goes_along && number(claim).is_some()
        };
        if let Some(claim) = of_kind(truth, Kind::PersistentVolumeClaim).find(disagrees) {
            let (name, with, without) = (&claim.meta().name, "is to go with it", "is to outlive it");
            return Err(format!("has {name}, which {}, and does not say so", if goes_along { with } else { without }));
        }
    }
    Ok(())
}

/// Whether a job for which so many pods work may hold those that failed until others have taken their numbers, which waits
/// until it goes on, or has a place for another.
fn remembers(job: &Job, active: usize) -> bool {
    let rests = job.spec.suspend || active as i64 >= job.parallelism();
    rests && !job.is_over() && job.spec.backoff_limit_per_index.is_some()
}

/// Whether a pod is held by a job of that kind.
pub(super) fn is_remembered(truth: &Truth, pod: &Pod) -> bool {
    let Some(by) = pod.metadata.controller().filter(|by| by.kind == "Job") else { return false };
    let object = truth.object(&Key::new(Kind::Job, &pod.metadata.namespace, &by.name));
    let Some(object) = object.filter(|object| object.meta().uid == by.uid) else { return false };
    let active = truth.all::<Pod>().filter(|pod| pod.is_active() && is_of(&pod.metadata, object)).count();
    let is_held = pod.metadata.finalizers.iter().any(|one| one == TRACKING);
    is_held && object.read::<Job>().is_some_and(|job| remembers(&job, active))
}

fn job(truth: &Truth, object: &Object) -> Result<(), String> {
    let Some(job) = object.read::<Job>() else { return Ok(()) };
    let pods: Vec<&Pod> = truth.all::<Pod>().filter(|pod| is_of(&pod.metadata, object)).collect();
    let active = pods.iter().filter(|pod| pod.is_active()).count();
    if is_held(truth, |pod| is_of(&pod.metadata, object)) {
        return Ok(());
    }
    same("active pods", job.status.active, active)?;
    same("ready pods", job.status.ready, pods.iter().filter(|pod| pod.is_active() && pod.is_ready()).count())?;
    let secs = |secs: i64| Duration::from_secs(u64::try_from(secs).unwrap_or(0));
    let kept = job.spec.ttl_seconds_after_finished.map(|ttl| secs(ttl.into()));
    let ended = job.ended_at().map(|ended| passed(truth, ended));
    if let (Some(ended), Some(ttl)) = (ended, kept)
        && ended > ttl + LATE
    {
        return Err(format!("has been over for {} s, and is kept for {}", ended.as_secs(), ttl.as_secs()));
    }
    let goes_on = !job.is_over() && !job.spec.suspend;
    if let (Some(start), Some(most)) = (job.status.start_time.filter(|_| goes_on), job.spec.active_deadline_seconds)
        && passed(truth, start) > secs(most) + LATE
    {
        return Err(format!("has worked for {} s, and may for {most}", passed(truth, start).as_secs()));
    }
    let is_left =
        |pod: &&&Pod| pod.status.phase.is_final() && pod.metadata.finalizers.iter().any(|one| one == TRACKING);
    let remembers = remembers(&job, active);
    match () {
        () if job.is_over() || job.spec.suspend => {
            if active > 0 {
                return Err(format!("is over, or suspended, and {active} pods still work for it"));
            }
            match pods.iter().find(is_left).filter(|_| !remembers) {
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
    let made = |job: &&Object| is_of(job.meta(), object) && made_for(job).is_some();
    let active = of_kind(truth, Kind::Job).filter(made).filter_map(Object::read::<Job>);
    let active = active.filter(|job| !job.is_over()).count();
    same("active jobs", i32::try_from(cron.status.active.len()).ok(), active)?;
    let succeeded = jobs().filter_map(|job| job.status.completion_time).max();
    if succeeded > cron.status.last_successful_time {
        return Err("has had a success after the last that it tells of".into());
    }
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
    use super::super::forged::Nobody;
    use super::*;
    use miniku_core::api::replicaset::ReplicaSetSpec;
    use serde_json::{Value, json};

    /// What is wrong with a deployment of revision 3 whose sets, the newest first, say to be of these revisions.
    fn says(limit: i32, revisions: [i64; 3]) -> Option<String> {
        says_of(limit, revisions, ["NewReplicaSetAvailable", "MinimumReplicasAvailable"])
    }

    /// The same of one that gives these reasons for how it is rolled out, and serves.
    fn says_of(limit: i32, revisions: [i64; 3], [progress, serves]: [&str; 2]) -> Option<String> {
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
            "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 2,
                "conditions": [{"type": "Progressing", "status": "True", "reason": progress},
                    {"type": "Available", "status": "True", "reason": serves}]}});
        let object = story.put(deployment).unwrap().new.unwrap();
        super::deployment(&story.truth, &object).err()
    }

    #[test]
    fn says_what_a_deployment_does_not_say_of_itself() {
        let says = |reasons| says_of(2, [3, 1, 2], reasons).unwrap_or_default();
        assert_eq!(
            says(["ReplicaSetUpdated", "MinimumReplicasAvailable"]),
            "is rolled out, and says \"ReplicaSetUpdated\""
        );
        assert!(says(["NewReplicaSetAvailable", ""]).contains("instead of MinimumReplicasAvailable"));
    }

    #[test]
    fn says_which_old_sets_are_too_many_or_too_new() {
        assert_eq!(says(2, [3, 1, 2]), None);
        assert_eq!(says(1, [3, 1, 2]).unwrap(), "keeps 2 old replica sets, 1 are asked for");
        assert_eq!(says(2, [3, 1, 4]).unwrap(), "is of s0, its revision 3, and s2 is a later one");
        assert_eq!(says(2, [4, 1, 2]).unwrap(), "says that it is of revision 3, and its replica set is of 4");
    }

    #[test]
    fn says_what_is_not_handed_on() {
        let says = |of_deployment: Value, of_set: Value| {
            let mut story = Story::<Nobody>::new();
            let owner =
                json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]);
            let spec = json!({"replicas": 0, "selector": {}, "template": {}});
            let set = json!({"name": "s", "uid": "s", "annotations": of_set, "ownerReferences": owner});
            story.put(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": set, "spec": spec})).unwrap();
            let meta = json!({"name": "web", "uid": "d", "annotations": of_deployment});
            let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec});
            let object = story.put(deployment).unwrap().new.unwrap();
            super::deployment(&story.truth, &object).is_err_and(|what| what.starts_with("notes its "))
        };
        let cause = |what: &str| json!({"kubernetes.io/change-cause": what});
        assert!(says(cause("new"), json!({})) && says(cause("new"), cause("old")));
        assert!(!says(cause("new"), cause("new")) && !says(json!({}), cause("old")));
        assert!(!says(json!({"deployment.kubernetes.io/paused-by": "me"}), json!({})));
    }

    #[test]
    fn a_job_that_rests_remembers_who_failed() {
        let remembers = |active: usize, suspend: bool, per_index: Option<i32>, end: &str| {
            let job = json!({"kind": "Job", "metadata": {"name": "j"}, "spec": {"parallelism": 2, "suspend": suspend,
                "completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": per_index, "template": {}},
                "status": {"conditions": [{"type": end, "status": "True"}]}});
            super::remembers(&crate::plan::object(job).read().unwrap(), active)
        };
        assert!(remembers(0, true, Some(1), "") && remembers(2, false, Some(1), ""));
        assert!(!remembers(1, false, Some(1), ""), "there is a place for another");
        assert!(!remembers(0, true, None, "") && !remembers(0, true, Some(1), "Failed"));
    }

    #[test]
    fn says_which_pods_a_controller_has_that_are_not_its_own() {
        for (own, team, says) in [
            (true, "a", ""),
            (true, "b", "keeps x, which it does not select"),
            (false, "a", "does not adopt x"),
            (false, "b", "has 0 of 1 pods"),
        ] {
            let mut story = Story::<Nobody>::new();
            let owner = json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": "rc", "uid": "r", "controller": true}]);
            let meta = json!({"name": "x", "uid": "p", "labels": {"team": team},
                "ownerReferences": if own { owner } else { json!([]) }});
            story.put(json!({"kind": "Pod", "metadata": meta, "spec": {"containers": []}})).unwrap();
            let body = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc", "uid": "r"},
                "spec": {"replicas": 1, "selector": {"team": "a"}, "template": {}}, "status": {"replicas": 1}});
            let object = story.put(body).unwrap().new.unwrap();
            assert_eq!(controller(&story.truth, &object).err().unwrap_or_default(), says);
        }
    }

    #[test]
    fn says_who_serves_and_is_not_said_to() {
        let mut story = Story::<Nobody>::new();
        story.pass(600).unwrap();
        let pod = |since: &str| {
            let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
            let pod = json!({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}, "status": {"conditions": ready}});
            crate::plan::object(pod)
        };
        let pods = ["2026-01-01T00:02:00Z", "2026-01-01T00:09:30Z"].map(pod);
        let says = |said: i32| all_serve(&story.truth, pods.iter().filter_map(Object::get), Some(5), Some(said)).err();
        assert_eq!(says(1), None);
        assert_eq!(says(0).unwrap(), "says that 0 pods are available, 1 have been ready for long");
        assert_eq!((failed(true, false), failed(false, true)), (Ok(()), Ok(())));
        assert!(failed(true, true).is_err());
    }

    /// What is wrong with an object of the second minute in the tenth.
    fn in_time(look: fn(&Truth, &Object) -> Result<(), String>, manifest: Value) -> String {
        let mut story = Story::<Nobody>::new();
        story.pass(600).unwrap();
        let object = story.put(manifest).unwrap().new.unwrap();
        look(&story.truth, &object).err().unwrap_or_default()
    }

    #[test]
    fn says_what_is_overdue() {
        let job = |spec: Value, status: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "uid": "j"}, "spec": spec, "status": status});
        let started = || json!({"startTime": "2026-01-01T00:02:00Z"});
        let says = |spec: Value, status: Value| in_time(super::job, job(spec, status));
        let limited = |secs: i64| json!({"activeDeadlineSeconds": secs, "parallelism": 0, "template": {}});
        assert_eq!(says(limited(100), started()), "has worked for 480 s, and may for 100");
        assert_eq!(says(limited(450), started()), "");
        let complete = || json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:02:00Z"}]});
        let kept = |secs: i64| json!({"ttlSecondsAfterFinished": secs, "template": {}});
        assert_eq!(says(kept(100), complete()), "has been over for 480 s, and is kept for 100");
        assert_eq!(says(kept(450), complete()), "");
        let rollout = |reason: &str, most: i32| {
            let said = json!({"type": "Progressing", "status": "True", "reason": reason,
                "lastUpdateTime": "2026-01-01T00:02:00Z"});
            let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "d"},
                "spec": {"replicas": 0, "progressDeadlineSeconds": most, "selector": {}, "template": {}},
                "status": {"conditions": [said]}});
            in_time(super::deployment, deployment)
        };
        assert_eq!(rollout("ReplicaSetUpdated", 100), "has come no further for 480 s, of 100, and does not say so");
        for (reason, most) in [("ReplicaSetUpdated", 450), ("NewReplicaSetAvailable", 100)] {
            assert_eq!(rollout(reason, most), "has no replica set of its template");
        }
    }

    #[test]
    fn says_which_success_is_not_told() {
        for (told, says) in
            [(json!(null), "has had a success after the last that it tells of"), (json!("2026-01-01T00:02:00Z"), "")]
        {
            let mut story = Story::<Nobody>::new();
            let owner =
                json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": "c", "controller": true}]);
            let complete = json!({"completionTime": "2026-01-01T00:02:00Z", "conditions": [{"type": "Complete", "status": "True"}]});
            let job = json!({"apiVersion": "batch/v1", "kind": "Job", "status": complete, "spec": {"template": {}},
                "metadata": {"name": "tick-1", "uid": "j", "ownerReferences": owner}});
            story.put(job).unwrap();
            let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick", "uid": "c"},
                "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {}}}}, "status": {"lastSuccessfulTime": told}});
            let object = story.put(cron).unwrap().new.unwrap();
            assert_eq!(cron_job(&story.truth, &object).err().unwrap_or_default(), says);
        }
    }

    #[test]
    fn says_whose_share_is_missing() {
        for (sizes, says) in [
            ([3, 5, 6], ""),
            ([3, 5, 5], "is paused, and its sets ask for 13 pods instead of 14"),
            ([0, 11, 0], ""),
            ([0, 0, 0], "is paused, and its sets ask for 0 pods instead of 11"),
        ] {
            let spec = json!({"replicas": 11, "paused": true, "strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}});
            let deployment: Deployment = serde_json::from_value(json!({"spec": spec})).unwrap();
            let sized = |size: i32| ReplicaSet {
                spec: ReplicaSetSpec { replicas: Some(size), ..Default::default() },
                ..Default::default()
            };
            let sets = sizes.map(sized);
            let sets: Vec<&ReplicaSet> = sets.iter().collect();
            assert_eq!(shared(&deployment, &sets).err().unwrap_or_default(), says);
        }
    }

    #[test]
    fn says_which_claims_are_missing_or_left() {
        let judge = |when_scaled: &str, claims: &[&str]| {
            let mut story = Story::<Nobody>::new();
            let owner =
                json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]);
            for name in claims {
                let marks = if name.ends_with("-1") { json!({GOES_WITH_POD: "true"}) } else { json!({}) };
                let meta = json!({"name": name, "labels": {"app": "db"}, "annotations": marks});
                story.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta})).unwrap();
            }
            let pod = json!({"kind": "Pod", "metadata": {"name": "db-0", "uid": "p", "ownerReferences": owner},
                "spec": {"containers": []}, "status": {"phase": "Pending"}});
            story.put(pod).unwrap();
            let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "db"}}, "template": {},
                "persistentVolumeClaimRetentionPolicy": {"whenScaled": when_scaled},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}]});
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "s"},
                "spec": spec, "status": {"replicas": 1}});
            let object = story.put(set).unwrap().new.unwrap();
            stateful_set(&story.truth, &object).err().unwrap_or_default()
        };
        assert_eq!(judge("Delete", &["data-db-0", "data-db-x"]), "");
        assert_eq!(judge("Delete", &["data-db-0", "data-db-2"]), "", "it went with nobody");
        assert_eq!(judge("Retain", &["data-db-0", "data-db-1"]), "");
        assert_eq!(judge("Delete", &["data-db-0", "data-db-1"]), "keeps data-db-1, which is not wanted any more");
        assert_eq!(judge("Retain", &["data-db-1"]), "has no claim data-db-0, and a pod for it");
    }

    #[test]
    fn says_which_claims_do_not_say_what_becomes_of_them() {
        let judge = |when_deleted: &str, app: &str, by: &str| {
            let mut story = Story::<Nobody>::new();
            let owner =
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": by, "controller": true});
            let owners = if by.is_empty() { json!([]) } else { json!([owner]) };
            let meta = json!({"name": "data-db-1", "labels": {"app": app}, "ownerReferences": owners});
            story.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta})).unwrap();
            let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": "db"}}, "template": {},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}]});
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "s"}, "spec": spec});
            let object = story.put(set).unwrap().new.unwrap();
            stateful_set(&story.truth, &object).err().unwrap_or_default()
        };
        assert_eq!([judge("Delete", "db", "s"), judge("Retain", "db", "")], ["", ""]);
        assert_eq!(judge("Retain", "db", "s"), "has data-db-1, which is to outlive it, and does not say so");
        assert_eq!(judge("Delete", "db", ""), "has data-db-1, which is to go with it, and does not say so");
        assert_eq!([judge("Retain", "db", "another"), judge("Delete", "another", "")], ["", ""]);
    }

    #[test]
    fn says_who_has_ended_and_stays() {
        for (phase, says) in [("Failed", "keeps db-0, which has ended"), ("Pending", "")] {
            let mut story = Story::<Nobody>::new();
            let owner =
                json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]);
            let pod = json!({"kind": "Pod", "metadata": {"name": "db-0", "uid": "p", "ownerReferences": owner},
                "spec": {"containers": []}, "status": {"phase": phase}});
            story.put(pod).unwrap();
            let there = i32::from(phase == "Pending");
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "s"},
                "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {"replicas": there}});
            let object = story.put(set).unwrap().new.unwrap();
            assert_eq!(stateful_set(&story.truth, &object).err().unwrap_or_default(), says);
        }
    }
}
