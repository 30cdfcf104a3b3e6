//! S-history: Of what a workload keeps of its past, its controller deletes the oldest first, and leaves as many as are asked for, as far as it was told: old replica sets of a deployment, revisions of daemon sets and stateful sets, and jobs of a cron job that have ended in one way. No old replica set goes that has pods, and no revision of which there is one, or that is a stateful set's current one.
//!
//! Jobs that say themselves for how long they are kept go by that, too. Old replica sets that still have pods,
//! revisions that somebody still is of, and jobs of whose time their cron job does not tell yet, may stay for longer. What
//! was asked to go, and has come into use again before that was carried out, is kept like any other; so is what perhaps
//! does not go, since something that was asked for failed.
//! Catches: a history upside down, after which nobody can go back to yesterday; one that is kept one too short; pods that
//! serve and go with what is only to be cleaned up; a template that is gone when a pod is to be made of it again.

use super::cron::made_for;
use super::placed::ANSWERED;
use super::stable::is_made_of;
use super::{Broken, Checker};
use crate::told::{Told, Turn};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::cronjob::CronJob;
use miniku_core::api::daemonset::DaemonSet;
use miniku_core::api::deployment::{Deployment, revision};
use miniku_core::api::job::Job;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodTemplateSpec};
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::api::statefulset::{ControllerRevision, REVISION_HASH, StatefulSet};
use miniku_core::api::text::Text;
use miniku_core::controllers::statefulset::plan::number_of;
use miniku_core::program::{Answer, Input, RequestId, Verb};
use miniku_core::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a controller has asked to be deleted in its turn.
#[derive(Default)]
struct Asked {
    turn: Turn,
    /// By uid; but for what was refused.
    all: BTreeMap<Text, Ask>,
    /// How many of its requests, of any kind, were refused or lost.
    troubles: u64,
}

/// A deletion that was asked for.
#[derive(Clone, Copy)]
struct Ask {
    /// Where it stood in the past then.
    age: Option<i64>,
    at: Instant,
    /// How many requests had been refused or lost.
    troubles: u64,
}

impl Asked {
    /// Whether an object goes, as far as its controller can know.
    fn goes(&self, one: &Object, now: Instant) -> bool {
        let good = |ask: &Ask| ask.troubles == self.troubles && now.since(ask.at) < ANSWERED;
        self.all.get(&one.meta().uid).is_some_and(|ask| ask.age == age(one) && good(ask))
    }
}

/// What each controller has asked to be deleted.
#[derive(Default)]
pub struct History {
    by: BTreeMap<Arc<str>, Asked>,
    /// Whose deletions are not answered yet, and by whom they were asked for.
    open: BTreeMap<RequestId, (Arc<str>, Text)>,
}

/// How a job has ended, if it has.
fn end_of(job: &Job) -> Option<&'static str> {
    ["Complete", "Failed"].into_iter().find(|end| job.is(end))
}

/// Where something stands in the past: the oldest first. What comes into use again moves.
fn age(object: &Object) -> Option<i64> {
    match object.kind() {
        Kind::ReplicaSet => Some(revision(object.meta())),
        Kind::ControllerRevision => Some(object.read::<ControllerRevision>()?.revision),
        _ => Some(object.read::<Job>()?.status.start_time?.wall().secs()),
    }
}

/// How many of those that are like this one its owner keeps.
fn limit(owner: &Object, one: &Object) -> Option<usize> {
    let limit = match owner.kind() {
        Kind::Deployment => owner.read::<Deployment>()?.spec.revision_history_limit.unwrap_or(10),
        Kind::DaemonSet => owner.read::<DaemonSet>()?.spec.revision_history_limit.unwrap_or(10),
        Kind::StatefulSet => owner.read::<StatefulSet>()?.spec.revision_history_limit.unwrap_or(10),
        Kind::CronJob => {
            let (cron, job) = (owner.read::<CronJob>()?.spec, one.read::<Job>()?);
            if job.spec.ttl_seconds_after_finished.is_some() {
                return None;
            }
            match end_of(&job)? {
                "Complete" => cron.successful_jobs_history_limit.unwrap_or(3),
                _ => cron.failed_jobs_history_limit.unwrap_or(1),
            }
        }
        _ => return None,
    };
    Some(usize::try_from(limit).unwrap_or(0))
}

/// Whether something is of the past as this one is.
fn is_past(told: Told<'_>, owner: &Object, one: &Object, other: &Object) -> bool {
    match owner.kind() {
        Kind::Deployment => newest(told, owner).is_none_or(|newest| newest.meta().uid != other.meta().uid),
        Kind::CronJob => one.read().zip(other.read()).is_some_and(|(one, other)| end_of(&one) == end_of(&other)),
        _ => !is_newest(owner, other),
    }
}

/// The replica set of a deployment's template. If there are several, which can only be by adoption, the oldest is meant.
fn newest<'a>(told: Told<'a>, owner: &Object) -> Option<&'a Object> {
    let template = owner.read::<Deployment>()?.spec.template;
    let sets = told.owned(&owner.meta().uid, Kind::ReplicaSet, &owner.meta().namespace);
    let own = sets.filter(|one| one.get::<ReplicaSet>().is_some_and(|set| is_made_of(set, &template)));
    own.min_by_key(|one| (one.meta().creation_timestamp, one.key()))
}

/// The template that a revision keeps.
fn template_of(one: &Object) -> Option<PodTemplateSpec> {
    let mut kept = one.read::<ControllerRevision>()?.data.pointer("/spec/template")?.clone();
    // How it is to be applied is no part of it.
    kept.as_object_mut()?.remove("$patch");
    serde_json::from_value(kept).ok()
}

/// Whether a revision is of its owner's template, whatever its number still is.
fn is_newest(owner: &Object, one: &Object) -> bool {
    let template = match owner.kind() {
        Kind::DaemonSet => owner.read::<DaemonSet>().map(|set| set.spec.template),
        _ => owner.read::<StatefulSet>().map(|set| set.spec.template),
    };
    template.is_some() && template_of(one) == template
}

/// Whether something of the past is still of use.
fn is_used(told: Told<'_>, owner: &Object, one: &Object) -> bool {
    if let Some(set) = one.get::<ReplicaSet>() {
        let seen = set.status.observed_generation >= set.metadata.generation;
        return !seen || set.wanted() > 0 || set.status.replicas > 0;
    }
    if one.kind() == Kind::Job {
        // Until the time for which it was made is told, it alone says that this time has had its job.
        let last = owner.read::<CronJob>().and_then(|cron| cron.status.last_schedule_time).map(Time::wall);
        return made_for(one).is_some_and(|at| last.is_none_or(|last| last < at));
    }
    if one.kind() != Kind::ControllerRevision {
        return false;
    }
    let status = owner.read::<StatefulSet>().filter(|_| owner.kind() == Kind::StatefulSet).map(|set| set.status);
    let is_named = |name: &Text| !name.is_empty() && one.meta().name.ends_with(name.as_str());
    let mut pods = told.owned(&owner.meta().uid, Kind::Pod, &owner.meta().namespace);
    pods.any(|pod| pod.meta().labels.get(REVISION_HASH).is_some_and(is_named))
        || status.is_some_and(|status| is_named(&status.current_revision) || is_named(&status.update_revision))
}

/// How many pods a replica set has, as was told and as it is.
fn pods_of(truth: &Truth, set: &Object) -> i32 {
    let has = |one: &Object| one.get::<ReplicaSet>().map_or(0, |set| set.status.replicas);
    truth.stored(set).map_or(0, has).min(has(set))
}

/// How a revision is in use, as far as its controller was told: a pod that neither has ended nor is going is of it, or those
/// that an update does not reach are made of it.
///
/// Source: Kubernetes, `pkg/controller/statefulset`, `truncateHistory`; `pkg/controller/daemon`, `cleanupHistory`.
fn use_of(truth: &Truth, told: Told<'_>, owner: &Object, one: &Object) -> Option<String> {
    let (set, name) = (owner.meta(), &one.meta().name);
    let is_of = |pod: &&Object| {
        let of = pod.meta().labels.get(REVISION_HASH);
        match owner.kind() {
            // Its pods say the whole name, and have names of their own.
            Kind::StatefulSet => of == Some(name) && number_of(&set.name, &pod.meta().name).is_some(),
            _ => of.is_some_and(|of| name.as_str() == format!("{}-{of}", set.name)),
        }
    };
    let works = |pod: &Object| pod.get::<Pod>().is_some_and(Pod::is_active);
    // What vanished in a gap of the controller's view stays in what it was told.
    let stays = |pod: &&Object| works(pod) && truth.stored(pod).is_some_and(works);
    let mut pods = told.owned(&set.uid, Kind::Pod, &set.namespace).filter(is_of);
    if let Some(pod) = pods.find(stays) {
        return Some(format!("{} is of it", pod.meta().name));
    }
    if owner.kind() != Kind::StatefulSet {
        return None;
    }
    // One that says no template is of no use.
    let current = owner.read::<StatefulSet>()?.status.current_revision;
    (current == *name && template_of(one).is_some()).then(|| "is the current one".into())
}

fn wrong(truth: &Truth, told: Told<'_>, one: &Object, asked: &Asked) -> Option<String> {
    let (meta, kind) = (one.meta(), one.kind());
    let by = meta.controller()?;
    let owner = told.object(&Key::new(Kind::named(&by.api_version, &by.kind)?, &meta.namespace, &by.name))?;
    let (limit, age_of_it) = (limit(owner, one).filter(|_| owner.meta().uid == by.uid)?, age(one)?);
    let in_use = match kind {
        Kind::ReplicaSet => Some(pods_of(truth, one)).filter(|pods| *pods > 0).map(|pods| format!("has {pods} pods")),
        Kind::ControllerRevision => use_of(truth, told, owner, one),
        _ => None,
    };
    if let Some(in_use) = in_use {
        return Some(format!("goes, and {in_use}"));
    }
    let others = told.owned(&by.uid, kind, &meta.namespace).filter(|other| other.meta().uid != meta.uid);
    let others = others.filter(|other| !other.meta().is_deleting() && !asked.goes(other, truth.now));
    let (others, newest): (Vec<&Object>, Vec<&Object>) = others.partition(|other| is_past(told, owner, one, other));
    // Of two that say the same, one may go.
    if newest.is_empty() && !is_past(told, owner, one, one) {
        return Some("goes, and is the newest".into());
    }
    if others.len() < limit {
        return Some(format!("goes, and {} like it are kept; {limit} are asked for", others.len()));
    }
    // What vanished in a gap of the controller's view stays in what it was told.
    let stays = |other: &&Object| truth.stored(other).is_some_and(|stored| !stored.meta().is_deleting());
    let mut older = others.into_iter().filter(|other| age(other).is_some_and(|age| age < age_of_it)).filter(stays);
    let other = older.find(|other| !is_used(told, owner, other))?;
    Some(format!("goes, and {}, which is older, stays", other.meta().name))
}

impl Checker for History {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered, Sight::Heard]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if let Fact::Answered { id, answer } = fact
            && let Some((by, uid)) = self.open.remove(id)
            && matches!(answer, Answer::Refused(status) if !status.leaves_open())
            && let Some(asked) = self.by.get_mut(&by)
        {
            asked.all.remove(&uid);
        }
        if let Fact::Heard { who, input: Input::Reply { answer: Answer::Refused(_) | Answer::Lost(_), .. } } = fact
            && let Some(asked) = self.by.get_mut(&who.name)
        {
            asked.troubles += 1;
        }
        if let Fact::Sent { who, id, request } = fact
            && let (Role::Workloads, Verb::Delete { key, options }) = (who.role, &request.verb)
            && matches!(key.kind, Kind::ReplicaSet | Kind::ControllerRevision | Kind::Job)
        {
            let told = truth.told(who);
            let known = told.object(key).filter(|known| options.uid.as_ref() == Some(&known.meta().uid));
            let asked = self.by.entry(who.name.clone()).or_default();
            if asked.turn != truth.turn(who) {
                *asked = Asked { turn: truth.turn(who), ..Asked::default() };
            }
            if let Some(known) = known {
                self.open.insert(*id, (who.name.clone(), known.meta().uid.clone()));
            }
            // What was asked for once is asked for again until it is answered.
            let is_new = |known: &&Object| {
                let ask = Ask { age: age(known), at: truth.now, troubles: asked.troubles };
                asked.all.insert(known.meta().uid.clone(), ask).is_none_or(|before| before.age != ask.age)
            };
            if let Some(known) = known.filter(is_new)
                && let Some(wrong) = wrong(truth, told, known, asked)
            {
                return Err(Broken::by(format!("{key} {wrong}")).with([known]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::api::cronjob::SCHEDULED_AT;
    use miniku_core::program::{CallId, DeleteOptions, WatchEvent};
    use serde_json::{Value, json};

    /// Tells a controller of an owner and of what is its own, and has it delete one of that.
    fn deletes(owner: Value, children: &[Value], name: &str) -> String {
        deletes_when_gone(owner, children, name, "")
    }

    /// The same, when another one of that name is gone, which it was not told.
    fn deletes_when_gone(owner: Value, children: &[Value], name: &str, gone: &str) -> String {
        let (mut story, controller) = (Story::<History>::new(), who(Role::Workloads, "workloads"));
        let mut key = None;
        let by = json!([{"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": "web", "uid": "web", "controller": true}]);
        for (nth, mut manifest) in [owner].into_iter().chain(children.iter().cloned()).enumerate() {
            manifest["metadata"]["uid"] = manifest["metadata"]["name"].clone();
            if nth > 0 {
                manifest["metadata"]["ownerReferences"] = by.clone();
            }
            let object = story.put(manifest).unwrap().new.unwrap();
            key = key.or(Some(object.key()).filter(|key| nth > 0 && key.name == name));
            story.hears(&controller, WatchEvent::Added(object.clone())).unwrap();
            if object.meta().name == gone {
                story.write(&object, true).unwrap();
            }
        }
        let options = DeleteOptions { uid: Some(name.into()), ..Default::default() };
        let sent = story.sends(&controller, Verb::Delete { key: key.unwrap(), options });
        sent.err().map(|broken| broken.what).unwrap_or_default()
    }

    #[test]
    fn fires_on_replica_sets_that_are_not_the_oldest() {
        let set = |name: &str, revision: i64, pods: i32| {
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": name, "annotations": {"deployment.kubernetes.io/revision": revision.to_string()}},
                "spec": {"replicas": pods, "selector": {}, "template": {"spec": {"containers": [{"name": name, "image": "i"}]}}},
                "status": {"replicas": pods}})
        };
        let check = |limit: i32, goes: &str, fires: &str| {
            let template = set("d", 4, 1)["spec"]["template"].clone();
            let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"revisionHistoryLimit": limit, "selector": {}, "template": template}});
            let sets = [set("a", 1, 2), set("b", 2, 0), set("c", 3, 0), set("d", 4, 1)];
            let what = deletes(owner, &sets, goes);
            assert!(what.contains(fires) && what.is_empty() == fires.is_empty(), "{limit} {goes}: {what}");
        };
        check(2, "b", "");
        check(3, "b", "2 like it are kept; 3 are asked for");
        check(2, "c", "b, which is older, stays");
        check(0, "a", "has 2 pods");
    }

    #[test]
    fn fires_on_revisions_that_are_not_the_oldest() {
        let template = |number: i64| json!({"spec": {"containers": [{"name": "c", "image": format!("v{number}")}]}});
        let revision = |name: &str, number: i64| {
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": name},
                "data": {"spec": {"template": template(number)}}, "revision": number})
        };
        let check = |limit: i32, goes: &str, fires: &str| {
            let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"},
                "spec": {"revisionHistoryLimit": limit, "selector": {}, "template": template(4)},
                "status": {"currentRevision": "web-1"}});
            let all = [revision("web-1", 1), revision("web-2", 2), revision("web-3", 3), revision("web-4", 4)];
            let what = deletes(owner, &all, goes);
            assert!(what.contains(fires) && what.is_empty() == fires.is_empty(), "{limit} {goes}: {what}");
        };
        check(1, "web-2", "");
        check(1, "web-3", "web-2, which is older, stays");
        check(1, "web-4", "is the newest");
        check(3, "web-2", "2 like it are kept; 3 are asked for");
    }

    #[test]
    fn fires_on_revisions_that_are_in_use() {
        let template = |image: &str| json!({"spec": {"containers": [{"name": "c", "image": image}]}});
        let revision = |name: &str, number: i64| {
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": name},
                "data": {"spec": {"template": template(name)}}, "revision": number})
        };
        let of = |hash: &str, mut pod: Value| {
            pod["metadata"]["labels"] = json!({REVISION_HASH: hash});
            pod
        };
        let set = |kind: &str| {
            json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"},
                "spec": {"revisionHistoryLimit": 0, "selector": {}, "template": template("web-b")}})
        };
        let check = |owner: &Value, pod: Value, gone: &str, fires: &str| {
            let children = [revision("web-a", 1), revision("web-b", 2), pod.clone()];
            let what = deletes_when_gone(owner.clone(), &children, "web-a", gone);
            assert!(what.contains(fires) && what.is_empty() == fires.is_empty(), "{owner} {pod}: {what}");
        };
        let daemons = set("DaemonSet");
        check(&daemons, of("b", pod("web-x", "n", "Running")), "", "");
        check(&daemons, of("a", pod("web-x", "n", "Running")), "", "web-x is of it");
        check(&daemons, of("a", pod("web-x", "n", "Failed")), "", "");
        check(&daemons, of("a", pod("web-x", "n", "Running")), "web-x", "");
        let mut set = set("StatefulSet");
        set["status"]["currentRevision"] = "web-b".into();
        check(&set, of("web-b", pod("web-0", "n", "Running")), "", "");
        check(&set, of("web-a", pod("web-0", "n", "Running")), "", "web-0 is of it");
        check(&set, of("web-a", pod("other", "n", "Running")), "", "");
        set["status"]["currentRevision"] = "web-a".into();
        check(&set, of("web-b", pod("web-0", "n", "Running")), "", "is the current one");
    }

    #[test]
    fn fires_on_jobs_that_are_not_the_oldest() {
        let job = |name: &str, end: &str, minute: u32| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {}},
                "status": {"startTime": format!("2026-01-01T00:{minute:02}:00Z"), "conditions": [{"type": end, "status": "True"}]}})
        };
        let check = |goes: &str, fires: &str| {
            let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web"},
                "spec": {"schedule": "* * * * *", "successfulJobsHistoryLimit": 1, "jobTemplate": {"spec": {"template": {}}}}});
            let jobs = [job("a", "Failed", 1), job("b", "Complete", 2), job("c", "Complete", 3)];
            let what = deletes(owner, &jobs, goes);
            assert!(what.contains(fires) && what.is_empty() == fires.is_empty(), "{goes}: {what}");
        };
        check("b", "");
        check("c", "b, which is older, stays");
        check("a", "0 like it are kept; 1 are asked for");
    }

    #[test]
    fn a_job_of_whose_time_nothing_is_told_yet_may_stay() {
        let judge = |told: &str| {
            // Who was made later has begun earlier.
            let job = |name: &str, minute: u32, made_for: &str| {
                json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": {SCHEDULED_AT: made_for}},
                    "spec": {"template": {}}, "status": {"startTime": format!("2026-01-01T00:{minute:02}:00Z"),
                        "conditions": [{"type": "Complete", "status": "True"}]}})
            };
            let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web"},
                "spec": {"schedule": "* * * * *", "successfulJobsHistoryLimit": 0, "jobTemplate": {"spec": {"template": {}}}},
                "status": {"lastScheduleTime": told}});
            deletes(owner, &[job("a", 3, "2026-01-01T00:02:00Z"), job("b", 4, "2026-01-01T00:01:00Z")], "b")
        };
        assert!(judge("2026-01-01T00:02:00Z").contains("a, which is older, stays"));
        assert_eq!(judge("2026-01-01T00:01:00Z"), "");
    }

    #[test]
    fn what_came_into_use_again_is_kept() {
        let judge = |revision: i64| {
            let (mut story, controller) = (Story::<History>::new(), who(Role::Workloads, "workloads"));
            let spec = |image: &str| {
                let template = json!({"spec": {"containers": [{"name": "c", "image": image}]}});
                json!({"replicas": 0, "selector": {}, "template": template})
            };
            let mut owner = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "uid": "web"}, "spec": spec("c")});
            owner["spec"]["revisionHistoryLimit"] = 1.into();
            let by =
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web", "controller": true});
            let set = |name: &str, revision: i64| {
                let annotations = json!({"deployment.kubernetes.io/revision": revision.to_string()});
                let meta = json!({"name": name, "uid": name, "ownerReferences": [by], "annotations": annotations});
                json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec(name)})
            };
            let tell = |story: &mut Story<History>, manifest: Value| {
                story.shows(&controller, manifest).unwrap();
            };
            let delete = |story: &mut Story<History>, name: &str| {
                let options = DeleteOptions { uid: Some(name.into()), ..Default::default() };
                story.sends(&controller, Verb::Delete { key: Key::new(Kind::ReplicaSet, "default", name), options })
            };
            for manifest in [owner, set("a", 1), set("b", 2), set("c", 3)] {
                tell(&mut story, manifest);
            }
            delete(&mut story, "a").unwrap();
            tell(&mut story, set("a", revision));
            delete(&mut story, "b").is_ok()
        };
        assert!(!judge(1), "it was asked to go, so that only the other one is kept");
        assert!(judge(4));
    }

    #[test]
    fn what_was_refused_or_lost_is_kept() {
        let judge = |answer: Answer, is_heard: bool, pause: u64| {
            let (mut story, controller) = (Story::<History>::new(), who(Role::Workloads, "workloads"));
            let by = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "web", "uid": "web-uid", "controller": true}]);
            let tell = |story: &mut Story<History>, mut manifest: Value| {
                let uid = format!("{}-uid", manifest["metadata"]["name"].as_str().unwrap());
                manifest["metadata"]["uid"] = uid.into();
                story.shows(&controller, manifest).unwrap()
            };
            let job = |name: &str, minute: u32, conditions: Value| {
                json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "ownerReferences": by},
                    "spec": {"template": {}}, "status": {"startTime": format!("2026-01-01T00:0{minute}:00Z"), "conditions": conditions}})
            };
            let complete = || json!([{"type": "Complete", "status": "True"}]);
            tell(
                &mut story,
                json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web"},
                    "spec": {"schedule": "* * * * *", "successfulJobsHistoryLimit": 1, "jobTemplate": {"spec": {"template": {}}}}}),
            );
            let old = tell(&mut story, job("a", 1, complete()));
            let runs = tell(&mut story, job("b", 2, json!([])));
            let delete = |story: &mut Story<History>, nth: u64, job: &Object| {
                let options = DeleteOptions { uid: Some(job.meta().uid.clone()), ..Default::default() };
                story.asks(nth, &controller, Verb::Delete { key: job.key(), options })
            };
            delete(&mut story, 1, &runs).unwrap();
            story.answers(1, &answer).unwrap();
            if is_heard {
                story.steps(&controller, Input::Reply { call: CallId(1), answer }).unwrap();
            }
            story.pass(pause).unwrap();
            tell(&mut story, job("b", 2, complete()));
            delete(&mut story, 2, &old).is_ok()
        };
        let status = |reason| miniku_core::api::status::Status::failure(reason, "");
        let refused = Answer::Refused(status(miniku_core::api::status::Reason::Forbidden));
        let lost = || Answer::Lost("late".into());
        assert!(judge(refused, false, 0));
        assert!(judge(lost(), true, 0), "the other one may stay");
        assert!(!judge(lost(), false, 0), "an answer may come");
        assert!(judge(lost(), false, 28), "none will come");
    }
}
