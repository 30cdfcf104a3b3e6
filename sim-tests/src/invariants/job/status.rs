//! Whether what a controller says of a job goes with what it was told of its pods and times.

use super::{SLACK, noted};
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::job::{Job, PodReplacementPolicy, Uncounted};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::controllers::job::indexes;
use miniku_core::time::{Duration, Wall};

/// Why a job should not be said to have missed its deadline.
pub(super) fn is_in_time(told: Told<'_>, wall: Wall, new: &Object) -> Option<String> {
    let missed = |job: &Job| job.status.conditions.iter().any(|one| one.reason == "DeadlineExceeded");
    let job = new.read::<Job>().filter(missed)?;
    let before = told.known(new)?.read::<Job>()?;
    if missed(&before) {
        return None;
    }
    if before.is("Suspended") || job.spec.suspend {
        return Some("has missed its deadline while it was suspended".into());
    }
    let deadline = Duration::from_secs(u64::try_from(job.spec.active_deadline_seconds.unwrap_or(0)).unwrap_or(0));
    let worked = before.status.start_time.map_or(Duration::ZERO, |start| wall.since(start.wall()));
    (worked + SLACK < deadline)
        .then(|| format!("has missed its deadline of {} s after {} ms", deadline.as_secs(), worked.as_millis()))
}

/// Why a job should not be said to be over yet.
///
/// Source: Kubernetes documentation, "Jobs", termination of Job pods: only after all of them have terminated.
pub(super) fn is_not_over(truth: &Truth, told: Told<'_>, new: &Object) -> Option<String> {
    let is_over = |object: &Object| object.read::<Job>().is_some_and(|job| job.is_over());
    let before = told.known(new)?;
    if !is_over(new) || is_over(before) {
        return None;
    }
    let works = |one: &Object| {
        let has_ended = |pod: &Pod| pod.status.phase.is_final() || pod.metadata.is_deleting() && pod.node().is_none();
        one.get::<Pod>().is_some_and(|pod| !has_ended(pod))
    };
    let mut pods = told.owned(&new.meta().uid, Kind::Pod, &new.meta().namespace);
    let other = pods.find(|one| works(one) && truth.stored(one).is_some_and(works))?;
    Some(format!("is over, and {} has not ended", other.meta().name))
}

/// What a status says otherwise than its controller was told.
pub(super) fn is_miscounted(truth: &Truth, told: Told<'_>, new: &Object) -> Option<String> {
    let job = new.read::<Job>()?;
    let before = noted(told.before(new)?);
    let failed = job.status.failed_indexes.as_deref().unwrap_or("");
    if let Some(all) = job.completions().filter(|_| job.is_indexed()) {
        let texts = [&*job.status.completed_indexes, failed];
        let mut numbers = texts.iter().flat_map(|text| indexes::parse(text, i64::MAX));
        if let Some(number) = numbers.find(|number| *number >= all) {
            return Some(format!("counts number {number}, and {all} are asked for"));
        }
    }
    let (uid, namespace) = (&new.meta().uid, &new.meta().namespace);
    let pods: Vec<&Object> = told.owned(uid, Kind::Pod, namespace).collect();
    let waits = job.spec.pod_replacement_policy == PodReplacementPolicy::Failed;
    // One that is deleted before it has a node gets none.
    let fails = |pod: &Pod| match pod.status.phase {
        PodPhase::Failed => true,
        PodPhase::Succeeded => false,
        PodPhase::Pending | PodPhase::Running => pod.metadata.is_deleting() && (!waits || pod.node().is_none()),
    };
    let goes_on = |one: &Object| one.get::<Pod>().is_some_and(|pod| !fails(pod));
    let is_new = |one: &Object| {
        let is_it = |noted: &Uncounted| noted.failed.iter().any(|noted| *noted == one.meta().uid);
        is_it(&noted(new)) && !is_it(&before)
    };
    let early = pods.iter().find(|one| goes_on(one) && is_new(one) && truth.stored(one).is_some_and(goes_on));
    if let Some(early) = early {
        return Some(format!("notes {} as failed, which has not", early.meta().name));
    }
    // Of others that are there it is not known here what it was told.
    let is_unknown = |one: &&Object| {
        let is_own = one.meta().controller().is_some_and(|by| by.uid == *uid);
        is_own && pods.iter().all(|pod| pod.meta().uid != one.meta().uid)
    };
    let unknown = truth.disk.objects().within(Kind::Pod, namespace).filter(is_unknown).count();
    let works = pods.iter().filter(|one| one.get::<Pod>().is_some_and(Pod::is_active)).count() + unknown;
    let says = usize::try_from(job.status.active.unwrap_or(0)).unwrap_or(0);
    (says > works).then(|| format!("says that {says} pods work, and {works} do"))
}

#[cfg(test)]
mod tests {
    use super::super::forged::{asks, job, of_job, says};
    use miniku_core::program::{Part, Verb};
    use serde_json::{Value, json};

    #[test]
    fn fires_on_a_number_beyond_those_that_are_asked_for() {
        for (done, fires) in [("0,1", false), ("0-2", true)] {
            let spec = json!({"completionMode": "Indexed", "completions": 2});
            let what = says(spec, of_job("a", "Succeeded"), json!({"completedIndexes": done}));
            assert_eq!(what.contains("counts number 2, and 2 are asked for"), fires, "{what}");
        }
    }

    #[test]
    fn fires_on_a_pod_that_counts_otherwise_than_it_is() {
        let leaving = || {
            let mut pod = of_job("a", "Running");
            pod["spec"]["nodeName"] = "n".into();
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            pod
        };
        let noted = || json!({"uncountedTerminatedPods": {"failed": ["a-uid"]}});
        let policy = |policy: &str| json!({"podReplacementPolicy": policy});
        assert_eq!(says(policy("TerminatingOrFailed"), leaving(), noted()), "");
        assert!(says(policy("Failed"), leaving(), noted()).contains("notes a as failed, which has not"));
        assert_eq!(says(policy("Failed"), of_job("a", "Failed"), noted()), "");
        assert!(says(policy("TerminatingOrFailed"), of_job("a", "Succeeded"), noted()).contains("which has not"));
        let works = || json!({"active": 1});
        assert_eq!(says(json!({}), of_job("a", "Running"), works()), "");
        assert!(says(json!({}), leaving(), works()).contains("says that 1 pods work, and 0 do"));
    }

    #[test]
    fn fires_on_a_deadline_during_a_suspension() {
        let told = |reason: &str| {
            let mut job = job(json!({"startTime": "2026-01-01T00:00:00Z", "conditions": [
                {"type": "Suspended", "status": "True"}, {"type": "FailureTarget", "status": "False", "reason": reason}]}));
            job["spec"]["activeDeadlineSeconds"] = 100.into();
            job
        };
        let object = crate::plan::object(told("DeadlineExceeded"));
        let what = asks(told(""), None, Verb::Update { object, part: Part::Status });
        assert!(what.contains("while it was suspended"), "{what}");
    }

    #[test]
    fn fires_on_a_deadline_that_is_not_over() {
        for (start, fires) in [("00:08:00", false), ("00:09:00", true)] {
            let failed = json!({"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"});
            let told = |conditions: Value| {
                let at = format!("2026-01-01T{start}Z");
                let mut job = job(json!({"startTime": at, "conditions": conditions}));
                job["spec"]["activeDeadlineSeconds"] = 100.into();
                job
            };
            let object = crate::plan::object(told(json!([failed])));
            let what = asks(told(json!([])), None, Verb::Update { object, part: Part::Status });
            assert_eq!(what.contains("its deadline of 100 s after 60000 ms"), fires, "{start}: {what}");
        }
    }

    #[test]
    fn fires_on_an_end_while_somebody_works() {
        for (phase, fires) in [("Running", true), ("Succeeded", false)] {
            let complete = json!({"succeeded": 2, "conditions": [{"type": "Complete", "status": "True"}]});
            let verb = Verb::Update { object: crate::plan::object(job(complete)), part: Part::Status };
            let what = asks(job(json!({})), Some(of_job("a", phase)), verb);
            assert_eq!(what.contains("is over, and a has not ended"), fires, "{phase}: {what}");
        }
    }
}
