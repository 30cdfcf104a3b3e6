//! Which pods are made for a job, and which go first where they are too many.

use super::{SLACK, number_of};
use crate::invariants::ends::is_held;
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::job::{Job, PodReplacementPolicy};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::text::Text;
use miniku_core::controllers::job::indexes;
use miniku_core::time::{Duration, Wall};
use std::collections::BTreeSet;

/// Why a pod should not be made for a job.
pub(super) fn in_vain(truth: &Truth, told: Told<'_>, wall: Wall, new: &Object) -> Option<String> {
    let by = new.meta().controller().filter(|by| by.kind == "Job")?;
    let object = told.object(&Key::new(Kind::Job, &new.meta().namespace, &by.name))?;
    let job = object.read::<Job>().filter(|_| object.meta().uid == by.uid)?;
    if is_stopped(&job) {
        return Some("which is over, or suspended".into());
    }
    let (failed, limit) = (job.status.failed.unwrap_or(0), job.spec.backoff_limit.unwrap_or(6));
    if failed > limit {
        return Some(format!("of which {failed} have failed, and {limit} may"));
    }
    if job.completions().is_none() && job.status.succeeded.is_some_and(|succeeded| succeeded > 0) {
        return Some("of which one has said that the work is done".into());
    }
    if let Some(early) = too_soon(truth, told, wall, &job, new) {
        return Some(early);
    }
    let others = working(truth, told, &job, new, &by.uid);
    has_a_wrong_number(&job, new, &others).or_else(|| is_one_too_many(&job, others.len()))
}

/// The other pods of a job that work, as far as was told, and do still.
fn working<'a>(truth: &Truth, told: Told<'a>, job: &Job, new: &Object, uid: &Text) -> Vec<&'a Object> {
    // Who waits for the end of those that were deleted counts them, too.
    let waits = job.spec.pod_replacement_policy == PodReplacementPolicy::Failed;
    let works = |one: &Object| {
        let works = |pod: &Pod| !pod.status.phase.is_final() && (waits || !pod.metadata.is_deleting());
        // One that never came to a node ends with its deletion.
        one.get::<Pod>().is_some_and(|pod| works(pod) && (pod.node().is_some() || !pod.metadata.is_deleting()))
    };
    let others = told.of_kind(Kind::Pod).filter(|one| {
        let own = one.meta().controller().is_some_and(|other| other.uid == *uid);
        own && works(one) && truth.stored(one).is_some_and(works)
    });
    // Whoever asks for the same one again makes no second one.
    others.filter(|one| one.meta().name != new.meta().name).collect()
}

/// Why a pod should not have the number that it has, beside these.
fn has_a_wrong_number(job: &Job, new: &Object, others: &[&Object]) -> Option<String> {
    if !job.is_indexed() {
        return None;
    }
    let Some(number) = number_of(new) else { return Some("without a number".into()) };
    if let Some(other) = others.iter().find(|other| number_of(other) == Some(number)) {
        return Some(format!("whose number {number} {} has", other.meta().name));
    }
    is_done_with(job, number).then(|| format!("whose number {number} is done with"))
}

/// Why no pod is missing, where so many work.
fn is_one_too_many(job: &Job, works: usize) -> Option<String> {
    // Numbers that were done with may be beyond those that are asked for now.
    let succeeded = match job.completions().filter(|_| job.is_indexed()) {
        Some(all) => indexes::parse(&job.status.completed_indexes, all).len() as i64,
        None => i64::from(job.status.succeeded.unwrap_or(0)),
    };
    let missing = job.completions().map_or(i64::MAX, |all| all - succeeded).min(job.parallelism());
    (works as i64 >= missing).then(|| format!("for which {works} work, and {missing} are needed"))
}

/// Whether no more pods are made for a job, since it comes to its end or is suspended.
fn is_stopped(job: &Job) -> bool {
    job.is_over() || job.is("FailureTarget") || job.is("SuccessCriteriaMet") || job.spec.suspend
}

/// Whether one of the numbers that a job asks for has succeeded, or was given up.
fn is_done_with(job: &Job, number: i64) -> bool {
    let all = job.completions().unwrap_or(0);
    let failed = job.status.failed_indexes.as_deref().unwrap_or("");
    [&*job.status.completed_indexes, failed].iter().any(|text| indexes::parse(text, all).contains(&number))
}

/// How soon another pod may be made after so many failures.
///
/// Source: Kubernetes documentation, "Jobs", pod backoff failure policy: 10 s, 20 s, 40 s and so on up to six minutes.
fn pause(failures: usize) -> Duration {
    Duration::from_secs((10 << failures.clamp(1, 7).saturating_sub(1)).min(360))
}

/// When a pod ended, by its node's clock.
fn ended_at(pod: &Pod) -> Option<Wall> {
    let times = pod.status.container_statuses.iter().filter_map(|one| one.state.terminated.as_ref()?.finished_at);
    times.max().map(Time::wall)
}

/// Why a pod should not be made for a job yet: how long ago the last failure was, and of how many since the last success.
fn too_soon(truth: &Truth, told: Told<'_>, wall: Wall, job: &Job, new: &Object) -> Option<String> {
    let uid = &new.meta().controller()?.uid;
    let pods = told.owned(uid, Kind::Pod, &new.meta().namespace);
    let of_number = |one: &Object| job.spec.backoff_limit_per_index.is_none() || number_of(one) == number_of(new);
    let (mut success, mut failures) = (None, Vec::new());
    for (object, pod) in pods.filter(|one| of_number(one)).filter_map(|one| Some((one, one.get::<Pod>()?))) {
        let since = pod.metadata.deletion_timestamp.or(pod.metadata.creation_timestamp).map(Time::wall);
        let ended = ended_at(pod);
        match pod.status.phase {
            PodPhase::Succeeded => success = success.max(ended.or(since)),
            // What vanished in a gap of the controller's view stays in what it was told.
            PodPhase::Failed if truth.has_pod(&object.meta().uid) => {
                failures.extend(ended);
            }
            _ => {}
        }
    }
    failures.retain(|at| Some(*at) > success);
    let (many, since) = (failures.len(), wall.since(failures.into_iter().max()?));
    let most = pause(many);
    (since + SLACK < most).then(|| {
        let (since, most) = (since.as_millis(), most.as_secs());
        format!("{since} ms after the last of {many} failures, and {most} s should be between")
    })
}

/// Which pod, not yet let go, should go before this one, which works and is held no longer since there are too many.
///
/// Source: Kubernetes, `pkg/controller/job`, `activePodsForRemoval`.
pub(super) fn goes_before<'a>(
    truth: &Truth,
    told: Told<'a>,
    let_go: &BTreeSet<Text>,
    new: &Object,
) -> Option<&'a Object> {
    let known = told.before(new).filter(|known| is_held(known) && !is_held(new))?;
    let pod = known.get::<Pod>().filter(|pod| pod.is_active())?;
    let by = known.meta().controller().filter(|by| by.kind == "Job")?;
    let object = told.object(&Key::new(Kind::Job, &known.meta().namespace, &by.name))?;
    let job = object.read::<Job>().filter(|_| object.meta().uid == by.uid && !object.meta().is_deleting())?;
    if is_stopped(&job) {
        return None;
    }
    let mut others =
        told.owned(&by.uid, Kind::Pod, &known.meta().namespace).filter(|one| one.meta().uid != known.meta().uid);
    if job.is_indexed() {
        // One whose number nobody needs goes before all others.
        let number = number_of(known)?;
        let mut same_number = told.owned(&by.uid, Kind::Pod, &known.meta().namespace);
        let is_taken = same_number.any(|one| one.meta().uid != known.meta().uid && number_of(one) == Some(number));
        if number >= job.completions().unwrap_or(0) || is_done_with(&job, number) || is_taken {
            return None;
        }
    }
    let loss = |pod: &Pod| (pod.node().is_some(), pod.is_ready());
    let is_as_told = |one: &Object, pod: &Pod| {
        let stored = truth.stored(one).filter(|stored| is_held(stored));
        stored.and_then(Object::get::<Pod>).is_some_and(|stored| stored.is_active() && loss(stored) == loss(pod))
    };
    let goes_first = |one: &&Object| {
        let Some(other) = one.get::<Pod>().filter(|other| other.is_active() && is_held(one)) else { return false };
        loss(other) < loss(pod) && !let_go.contains(&one.meta().uid) && is_as_told(one, other) && is_as_told(known, pod)
    };
    others.find(goes_first)
}

#[cfg(test)]
mod tests {
    use super::super::JobsCount;
    use super::super::forged::{asks, job, of_job};
    use super::*;
    use crate::invariants::forged::{Story, who};
    use crate::truth::Role;
    use miniku_core::api::job::{INDEX, TRACKING};
    use miniku_core::program::{Part, Verb, WatchEvent};
    use serde_json::{Value, json};

    #[test]
    fn fires_on_a_pod_that_would_be_missed_more() {
        let gives_up = |one: (&str, &str), other: (&str, &str), spec: Value| {
            let (mut story, controller) = (Story::<JobsCount>::new(), who(Role::Workloads, "workloads"));
            let of = |name: &str, (node, ready): (&str, &str)| {
                let mut pod = of_job(name, if node.is_empty() { "Pending" } else { "Running" });
                pod["spec"]["nodeName"] = node.into();
                pod["metadata"]["finalizers"] = json!([TRACKING]);
                pod["metadata"]["annotations"] = json!({INDEX: "0"});
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
                pod
            };
            let mut whole = job(json!({}));
            whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            let known = [whole, of("a", one), of("b", other)].map(|manifest| story.put(manifest).unwrap().new.unwrap());
            for object in known.clone() {
                let event = WatchEvent::Added(object);
                story.hears(&controller, event).unwrap();
            }
            let object = known[1].with_meta(|meta| meta.finalizers.clear());
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Main });
            sent.err().map_or(String::new(), |broken| broken.what)
        };
        let (runs, starts, waits) = (("n", "True"), ("n", "False"), ("", "False"));
        let any = || json!({"parallelism": 1});
        assert!(gives_up(runs, waits, any()).contains("a is one too many, and b should go before it"));
        assert!(gives_up(runs, starts, any()).contains("b should go before it"));
        assert_eq!(gives_up(starts, runs, any()), "");
        assert_eq!(gives_up(runs, runs, any()), "");
        assert_eq!(gives_up(runs, waits, json!({"suspend": true})), "", "all of them go");
        let numbered = json!({"completionMode": "Indexed", "parallelism": 1});
        assert_eq!(gives_up(runs, waits, numbered), "", "one of two of a number");
    }

    #[test]
    fn fires_on_a_pod_that_is_made_in_vain() {
        let check = |spec: Value, status: Value, fires: Option<&str>| {
            let (mut story, controller) = (Story::<JobsCount>::new(), who(Role::Workloads, "workloads"));
            let mut job = job(status);
            job["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            let numbered = |name: &str, phase: &str| {
                let mut pod = of_job(name, phase);
                pod["metadata"]["annotations"] = json!({INDEX: "1"});
                pod["spec"]["nodeName"] = "n".into();
                pod
            };
            for object in [numbered("a", "Running"), job] {
                story.shows(&controller, object).unwrap();
            }
            let made = story.sends(&controller, Verb::Create { object: crate::plan::object(numbered("b", "Pending")) });
            let what = made.err().map(|broken| broken.what).unwrap_or_default();
            assert!(fires.map_or(what.is_empty(), |fires| what.contains(fires)), "{spec}: {what}");
        };
        check(json!({"parallelism": 2}), json!({}), None);
        check(json!({"parallelism": 1}), json!({}), Some("for which 1 work, and 1 are needed"));
        check(json!({"parallelism": 2, "suspend": true}), json!({}), Some("suspended"));
        check(
            json!({"parallelism": 2, "backoffLimit": 0}),
            json!({"failed": 1}),
            Some("of which 1 have failed, and 0 may"),
        );
        let indexed = json!({"parallelism": 2, "completionMode": "Indexed"});
        check(indexed, json!({}), Some("whose number 1 a has"));
    }

    #[test]
    fn numbers_beyond_those_that_are_asked_for_do_not_count() {
        for (done, says) in [("1", ""), ("0", "whose number 0 is done with")] {
            let mut job = job(json!({"succeeded": 1, "completedIndexes": done}));
            job["spec"]["completions"] = 1.into();
            job["spec"]["completionMode"] = "Indexed".into();
            let numbered = |name: &str, phase: &str, number: &str| {
                let mut pod = of_job(name, phase);
                pod["metadata"]["annotations"] = json!({INDEX: number});
                pod
            };
            let verb = Verb::Create { object: crate::plan::object(numbered("b", "Pending", "0")) };
            let what = asks(job, Some(numbered("a", "Succeeded", done)), verb);
            assert!(what.is_empty() == says.is_empty() && what.contains(says), "{done}: {what}");
        }
    }

    #[test]
    fn fires_on_a_pod_that_is_made_without_a_pause() {
        for (ended, fires) in [("00:09:55", true), ("00:09:45", false)] {
            let mut failed = of_job("a", "Failed");
            let at = format!("2026-01-01T{ended}Z");
            failed["status"]["containerStatuses"] =
                json!([{"name": "c", "state": {"terminated": {"exitCode": 1, "finishedAt": at}}}]);
            let verb = Verb::Create { object: crate::plan::object(of_job("b", "Pending")) };
            let what = asks(job(json!({})), Some(failed), verb);
            assert_eq!(what.contains("of 1 failures, and 10 s should be between"), fires, "{ended}: {what}");
        }
        assert_eq!([1, 2, 6, 7, 60].map(|failures| pause(failures).as_secs()), [10, 20, 320, 360, 360]);
    }

    #[test]
    fn fires_on_a_pod_that_is_made_when_the_work_is_done() {
        let mut queue = job(json!({"succeeded": 1}));
        queue["spec"] = json!({"parallelism": 3, "template": {}});
        let verb = Verb::Create { object: crate::plan::object(of_job("b", "Pending")) };
        let done = Some(of_job("a", "Succeeded"));
        assert!(asks(queue, done, verb).contains("one has said that the work is done"));
    }
}
