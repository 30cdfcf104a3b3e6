//! S-end: Only when its rules say so does a job fail for one of its pods, for its numbers, or for its deadline though its containers were restarted too often before, or succeed for some of its numbers, or because nobody works any more. Failures that it ignores are not counted. A pod that has ended is let go only when it is noted. A job that says of its pods what is its end, or whose containers were restarted too often, says that it ends; it says since when it works, and if it is complete, and only then, since when it is. Whoever takes the number of a pod that failed says how often it has, and none that alone tells that is let go.
//!
//! Decisions are judged by what the controller was told, what it writes by what became of the pods. Catches: a rule that is read
//! for other pods, numbers or exit codes than it names; one more try, or success, than is asked for; a pod that may vanish before
//! it is counted, or with what only it tells; times that nobody noted.
//!
//! Source: Kubernetes documentation, "Jobs", pod failure policy, success policy, backoff limit per index, job tracking with
//! finalizers.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::job::{FailureAction, INDEX, Job, PodFailurePolicyRule, SuccessPolicyRule, TRACKING};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{ContainerStatus, Pod, PodPhase, RestartPolicy};
use miniku_core::api::text::Text;
use miniku_core::controllers::job::indexes;
use miniku_core::program::{Part, Verb};
use std::collections::{BTreeMap, BTreeSet};

/// What became of each job's pods, by the job's uid.
#[derive(Default)]
pub struct Ends {
    of: BTreeMap<Text, Pods>,
}

#[derive(Default)]
struct Pods {
    /// The numbers of those that have succeeded.
    numbers: BTreeSet<i64>,
    /// Those that ended badly, and not in a way that is ignored.
    count: BTreeSet<Text>,
    /// Whether one ended in a way for which the job fails.
    fatal: bool,
    /// Those that the job has noted.
    noted: BTreeSet<Text>,
}

/// On a pod of a number: how often the number had failed before.
const FAILED_BEFORE: &str = "batch.kubernetes.io/job-index-failure-count";

fn annotated(pod: &Object, name: &str) -> Option<i64> {
    pod.meta().annotations.get(name)?.parse().ok()
}

/// Whether a job holds a pod until it has counted it.
pub(super) fn is_held(pod: &Object) -> bool {
    pod.meta().finalizers.iter().any(|one| one == TRACKING)
}

fn has_ended(pod: &Pod) -> bool {
    pod.status.phase.is_final() || pod.metadata.is_deleting() && pod.node().is_none()
}

fn fits(rule: &PodFailurePolicyRule, pod: &Pod) -> bool {
    let Some(codes) = &rule.on_exit_codes else {
        let is_so = |kind: &str, status: &str| {
            let status = if status.is_empty() { "True" } else { status };
            pod.status.conditions.iter().any(|one| one.kind == kind && one.status == status)
        };
        return rule.on_pod_conditions.iter().any(|one| is_so(&one.kind, &one.status));
    };
    let named = |one: &&ContainerStatus| codes.container_name.as_ref().is_none_or(|name| *name == one.name);
    let ended = pod.status.container_statuses.iter().filter(named).filter_map(|one| one.state.terminated.as_ref());
    // Whoever ended well says nothing about a failure, whether it is among the codes or not.
    let mut failed = ended.map(|end| i64::from(end.exit_code)).filter(|code| *code != 0);
    failed.any(|code| codes.values.contains(&code) == (codes.operator == "In"))
}

/// What a failure means for a job.
fn meaning(job: &Job, pod: &Pod) -> FailureAction {
    let mut rules = job.spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    rules.find(|rule| fits(rule, pod)).map_or(FailureAction::Count, |rule| rule.action)
}

/// The reason of an end that is said now and was not before.
fn newly<'a>(job: &'a Job, before: Option<&Job>) -> Option<&'a str> {
    let ends = ["FailureTarget", "SuccessCriteriaMet"];
    let end = ends.into_iter().find(|end| job.is(end) && before.is_none_or(|before| !before.is(end)))?;
    job.status.conditions.iter().find(|one| one.kind == end).map(|one| &*one.reason)
}

fn holds(rule: &SuccessPolicyRule, all: i64, numbers: &BTreeSet<i64>) -> bool {
    let wanted = rule.succeeded_indexes.as_deref().map(|text| indexes::parse(text, all));
    let counts = |number: &&i64| **number < all && wanted.as_ref().is_none_or(|wanted| wanted.contains(*number));
    let done = numbers.iter().filter(counts).count();
    let least = rule
        .succeeded_count
        .map_or(wanted.as_ref().map_or(usize::MAX, BTreeSet::len), |count| usize::try_from(count).unwrap_or(0));
    done >= least
}

/// Why a job should not have come to an end for this reason.
fn untrue(job: &Job, reason: &str, pods: &Pods) -> Option<String> {
    let all = job.completions().unwrap_or(0);
    let failed = indexes::parse(job.status.failed_indexes.as_deref().unwrap_or(""), all).len();
    match reason {
        "PodFailurePolicy" if !pods.fatal => Some("has failed for a pod, and none has failed so that it does".into()),
        "MaxFailedIndexesExceeded" => {
            let most = usize::try_from(job.spec.max_failed_indexes.unwrap_or(0)).unwrap_or(0);
            (failed <= most).then(|| format!("has failed for {failed} of its numbers, and {most} may fail"))
        }
        "FailedIndexes" => {
            let done = indexes::parse(&job.status.completed_indexes, all).len();
            let are = (failed + done) as i64;
            (are < all).then(|| format!("has failed for its numbers, of which {are} of {all} are done with"))
        }
        "SuccessPolicy" => {
            let mut rules = job.spec.success_policy.iter().flat_map(|policy| &policy.rules);
            let numbers = || indexes::text(&pods.numbers);
            (!rules.any(|rule| holds(rule, all, &pods.numbers)))
                .then(|| format!("has succeeded by its policy, of which {:?} have", numbers()))
        }
        _ => None,
    }
}

/// A pod that somebody was told of and that is still stored as the same.
fn stored<'a>(truth: &'a Truth, one: &Object) -> Option<&'a Pod> {
    truth.stored(one)?.get()
}

/// Why a job should not be said to come to its end.
fn too_early(truth: &Truth, told: Told<'_>, new: &Object) -> Option<String> {
    let job = new.read::<Job>()?;
    let before = told.known(new)?.read::<Job>()?;
    let pods = || told.owned(&new.meta().uid, Kind::Pod, &new.meta().namespace);
    match newly(&job, Some(&before))? {
        "CompletionsReached" if job.completions().is_none() => {
            let works = |one: &&Object| {
                one.get::<Pod>().is_some_and(Pod::is_active) && stored(truth, one).is_some_and(Pod::is_active)
            };
            pods().find(works).map(|pod| format!("has done its work, and {} works", pod.meta().name))
        }
        "DeadlineExceeded" if job.spec.template.spec.restart_policy == RestartPolicy::OnFailure => {
            let (restarts, most) = (restarts(truth, told, new), i64::from(job.spec.backoff_limit.unwrap_or(6)));
            (restarts >= most.max(1)).then(|| format!("has missed its deadline after {restarts} restarts of {most}"))
        }
        _ => None,
    }
}

/// How often containers were restarted in pods of a job that have not ended, and are stored as its controller was told.
fn restarts(truth: &Truth, told: Told<'_>, job: &Object) -> i64 {
    let pods = told.owned(&job.meta().uid, Kind::Pod, &job.meta().namespace);
    let goes_on = |one: &&Object| stored(truth, one).is_some_and(|pod| !has_ended(pod));
    let pods = pods.filter(goes_on).filter_map(Object::get::<Pod>).filter(|pod| !has_ended(pod));
    pods.flat_map(|pod| &pod.status.container_statuses).map(|one| i64::from(one.restart_count)).sum()
}

/// What a job does not say of itself, though it follows from what it says.
fn unsaid(truth: &Truth, told: Told<'_>, new: &Object) -> Option<String> {
    let job = new.read::<Job>()?;
    let (status, is_complete) = (&job.status, job.is("Complete"));
    if is_complete != status.completion_time.is_some() {
        return Some(format!("is complete: {is_complete}, and says since when: {}", !is_complete));
    }
    if ["FailureTarget", "SuccessCriteriaMet", "Complete", "Failed"].iter().any(|end| job.is(end)) {
        return None;
    }
    if status.start_time.is_none() && !job.spec.suspend {
        return Some("works, and does not say since when".into());
    }
    let noted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let sum = |counted: Option<i32>, noted: &[Text]| i64::from(counted.unwrap_or(0)) + noted.len() as i64;
    let (failures, most) = (sum(status.failed, &noted.failed), i64::from(job.spec.backoff_limit.unwrap_or(6)));
    if failures > most {
        return Some(format!("goes on after {failures} failures, and {most} are allowed"));
    }
    if job.spec.template.spec.restart_policy == RestartPolicy::OnFailure {
        let restarts = restarts(truth, told, new);
        if restarts >= most.max(1) {
            return Some(format!("goes on after {restarts} restarts of {most}"));
        }
    }
    let all = job.completions()?;
    let done = indexes::parse(&status.completed_indexes, all);
    let failed = indexes::parse(status.failed_indexes.as_deref().unwrap_or(""), all).len() as i64;
    if job.spec.max_failed_indexes.is_some_and(|most| failed > i64::from(most)) {
        return Some(format!("goes on after {failed} of its numbers failed"));
    }
    let many = if job.is_indexed() { done.len() as i64 } else { sum(status.succeeded, &noted.succeeded) };
    if many + failed >= all {
        return Some(format!("goes on, and {many} of {all} have succeeded, and {failed} have failed"));
    }
    let mut rules = job.spec.success_policy.iter().flat_map(|policy| &policy.rules);
    let enough = rules.any(|rule| holds(rule, all, &done));
    enough.then(|| format!("goes on, and its numbers {:?} have succeeded, which are enough", indexes::text(&done)))
}

/// Why a pod should not be made as it is for its number.
fn forgetful(truth: &Truth, told: Told<'_>, new: &Object) -> Option<String> {
    let by = new.meta().controller().filter(|by| by.kind == "Job")?;
    let object = told.object(&Key::new(Kind::Job, &new.meta().namespace, &by.name))?;
    let job = object.read::<Job>().filter(|job| object.meta().uid == by.uid && job.is_indexed())?;
    job.spec.backoff_limit_per_index?;
    let number = annotated(new, INDEX)?;
    let failures = |one: &Object| {
        let pod = one.get::<Pod>().filter(|pod| pod.status.phase == PodPhase::Failed)?;
        stored(truth, one)?;
        Some(annotated(one, FAILED_BEFORE).unwrap_or(0) + i64::from(meaning(&job, pod) != FailureAction::Ignore))
    };
    let pods = told.owned(&by.uid, Kind::Pod, &new.meta().namespace);
    let most = pods.filter(|one| annotated(one, INDEX) == Some(number)).filter_map(failures).max()?;
    let says = annotated(new, FAILED_BEFORE).unwrap_or(0);
    (says < most).then(|| format!("says that its number {number} has failed {says} times, it has {most} times"))
}

/// Whether a pod that failed is, of those that its job's controller was told of, the only one that tells how often its number
/// has, and somebody is still to take that number.
///
/// Source: Kubernetes, `pkg/controller/job`, `getPodsWithDelayedDeletionPerIndex`.
fn tells_alone(job: &Job, told: Told<'_>, uid: &str, one: &Object) -> bool {
    let (Some(limit), Some(number), Some(all)) =
        (job.spec.backoff_limit_per_index, annotated(one, INDEX), job.completions())
    else {
        return false;
    };
    let is_among = |numbers: &str| indexes::parse(numbers, all).contains(&number);
    let is_done = is_among(&job.status.completed_indexes) || job.status.failed_indexes.as_deref().is_some_and(is_among);
    let ends = ["FailureTarget", "SuccessCriteriaMet", "Complete", "Failed"].iter().any(|end| job.is(end));
    if !job.is_indexed() || number >= all || is_done || ends {
        return false;
    }
    // How often the number has failed with a failed pod, and whether it is not tried again for that.
    let told_by = |object: &Object| {
        let meaning = meaning(job, object.get::<Pod>().filter(|pod| pod.status.phase == PodPhase::Failed)?);
        let times = annotated(object, FAILED_BEFORE).unwrap_or(0) + i64::from(meaning != FailureAction::Ignore);
        Some((times, times > i64::from(limit) || meaning == FailureAction::FailIndex))
    };
    let Some((times, false)) = told_by(one) else { return false };
    let tells = |other: &Object| {
        let is_another = other.meta().uid != one.meta().uid && annotated(other, INDEX) == Some(number);
        is_another && told_by(other).is_none_or(|(others, is_given_up)| others >= times || is_given_up)
    };
    times > 0 && !told.owned(uid, Kind::Pod, &one.meta().namespace).any(tells)
}

impl Ends {
    /// Why a pod should not be let go yet.
    fn unnoted(&self, truth: &Truth, told: Told<'_>, new: &Object) -> Option<String> {
        let known = told.before(new).filter(|known| is_held(known) && !is_held(new))?;
        let pod = known.get::<Pod>().filter(|pod| pod.status.phase.is_final())?;
        let by = known.meta().controller().filter(|by| by.kind == "Job")?;
        let key = Key::new(Kind::Job, &known.meta().namespace, &by.name);
        let is_it = |object: &&Object| object.meta().uid == by.uid && !object.meta().is_deleting();
        truth.object(&key).filter(is_it)?;
        let job = told.object(&key).filter(is_it)?.read::<Job>()?;
        let succeeded = pod.status.phase == PodPhase::Succeeded;
        // Whom the job does not select any more it forgets.
        let stays = new.meta().controller().is_some_and(|now| now.uid == by.uid);
        if stays && tells_alone(&job, told, &by.uid, known) {
            return Some("is let go, and tells alone how often its number has failed".into());
        }
        // The number itself tells that it is counted, and of what has an end nothing is counted any more.
        let tells_itself = succeeded && job.is_indexed() || !succeeded && meaning(&job, pod) == FailureAction::Ignore;
        if tells_itself || job.is_over() || job.is("SuccessCriteriaMet") {
            return None;
        }
        let noted = self.of.get(&by.uid).is_some_and(|pods| pods.noted.contains(&known.meta().uid));
        (!noted).then(|| format!("is let go, and {} has not noted it", by.name))
    }

    /// A pod is what it is now, or is gone.
    fn became(&mut self, truth: &Truth, old: Option<&Object>, new: Option<&Object>) {
        let Some((object, pod)) = new.or(old).and_then(|one| Some((one, one.get::<Pod>()?))) else { return };
        let Some(by) = object.meta().controller().filter(|by| by.kind == "Job") else { return };
        let phase = pod.status.phase;
        if phase == PodPhase::Succeeded {
            let pods = self.of.entry(by.uid.clone()).or_default();
            pods.numbers.extend(annotated(object, INDEX));
        } else if phase == PodPhase::Failed || pod.metadata.is_deleting() || new.is_none() {
            let job = truth.object(&Key::new(Kind::Job, &object.meta().namespace, &by.name));
            let job = job.filter(|job| job.meta().uid == by.uid).and_then(Object::read::<Job>);
            let meaning = job.map(|job| meaning(&job, pod));
            let pods = self.of.entry(by.uid.clone()).or_default();
            pods.fatal |= meaning.is_none_or(|meaning| meaning == FailureAction::FailJob);
            if phase != PodPhase::Failed || meaning != Some(FailureAction::Ignore) {
                pods.count.insert(object.meta().uid.clone());
            }
        }
    }

    fn says(&mut self, old: Option<&Object>, new: &Object) -> Option<String> {
        let job = new.read::<Job>()?;
        let pods = self.of.entry(new.meta().uid.clone()).or_default();
        let noted = job.status.uncounted_terminated_pods.iter();
        pods.noted.extend(noted.flat_map(|noted| noted.succeeded.iter().chain(&noted.failed).cloned()));
        let failed = usize::try_from(job.status.failed.unwrap_or(0)).unwrap_or(0);
        if job.spec.pod_failure_policy.is_some() && failed > pods.count.len() {
            return Some(format!("says that {failed} have failed, {} have that count", pods.count.len()));
        }
        let before = old.filter(|old| old.meta().uid == new.meta().uid).and_then(Object::read::<Job>);
        untrue(&job, newly(&job, before.as_ref())?, pods)
    }
}

impl Checker for Ends {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let (object, wrong) = match fact {
            Fact::Durable { change } if change.key.kind == Kind::Pod => {
                self.became(truth, change.old.as_ref(), change.new.as_ref());
                return Ok(());
            }
            Fact::Durable { change } if change.key.kind == Kind::Job => match &change.new {
                Some(new) => (new, self.says(change.old.as_ref(), new)),
                None => return Ok(()),
            },
            Fact::Sent { who, request, .. } if who.role == Role::Workloads => {
                let told = truth.told(who);
                match &request.verb {
                    Verb::Create { object } if object.kind() == Kind::Pod => (object, forgetful(truth, told, object)),
                    Verb::Update { object, part: Part::Status } if object.kind() == Kind::Job => {
                        (object, too_early(truth, told, object).or_else(|| unsaid(truth, told, object)))
                    }
                    Verb::Update { object, part: Part::Main } if object.kind() == Kind::Pod => {
                        (object, self.unnoted(truth, told, object))
                    }
                    _ => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        match wrong {
            Some(wrong) => Err(Broken::by(format!("{} {wrong}", object.key())).with([object])),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    fn job(spec: Value, status: Value) -> Value {
        let mut whole = json!({"completionMode": "Indexed", "completions": 3, "template": {}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "uid": "j"}, "spec": whole, "status": status})
    }

    fn of_job(name: &str, phase: &str, number: i64, codes: &[i32]) -> Value {
        let mut pod = pod(name, "n", phase);
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "sum", "uid": "j", "controller": true}]);
        pod["metadata"]["annotations"] = json!({INDEX: number.to_string(), FAILED_BEFORE: "1"});
        pod["metadata"]["finalizers"] = json!([TRACKING]);
        let ended = |code: &i32| json!({"name": "c", "restartCount": 2, "state": {"terminated": {"exitCode": code}}});
        pod["status"]["containerStatuses"] = codes.iter().map(ended).collect();
        pod
    }

    fn end(kind: &str, reason: &str) -> Value {
        json!([{"type": kind, "status": "True", "reason": reason}])
    }

    /// What is wrong with the status of a job that has these pods.
    fn says(spec: &Value, pods: &[Value], status: Value) -> String {
        let mut story = Story::<Ends>::new();
        story.put(job(spec.clone(), json!({}))).unwrap();
        for pod in pods {
            story.put(pod.clone()).unwrap();
        }
        story.put(job(spec.clone(), status)).err().map_or(String::new(), |broken| broken.what)
    }

    #[test]
    fn fires_on_a_failure_that_means_something_else() {
        let policy = |action: &str, operator: &str, values: &[i32]| {
            let codes = json!({"operator": operator, "values": values});
            json!({"podFailurePolicy": {"rules": [{"action": action, "onExitCodes": codes}]}})
        };
        let fails = |spec: &Value, codes: &[i32]| {
            let pods = [of_job("a", "Failed", 0, codes)];
            says(spec, &pods, json!({"conditions": end("FailureTarget", "PodFailurePolicy")}))
        };
        assert_eq!(fails(&policy("FailJob", "In", &[3]), &[0, 3]), "");
        assert!(fails(&policy("FailJob", "In", &[4]), &[0, 3]).contains("none has failed so that it does"));
        assert_eq!(fails(&policy("FailJob", "NotIn", &[4]), &[0, 3]), "");
        assert!(fails(&policy("FailJob", "NotIn", &[3]), &[0, 3]).contains("none has failed so that it does"));
        let ignores = policy("Ignore", "In", &[3]);
        let counts = |code: i32| says(&ignores, &[of_job("a", "Failed", 0, &[code])], json!({"failed": 1}));
        assert_eq!(counts(4), "");
        assert!(counts(3).contains("says that 1 have failed, 0 have that count"));
    }

    #[test]
    fn fires_on_an_end_that_the_numbers_do_not_ask_for() {
        let failed =
            |reason: &str, failed: &str| json!({"failedIndexes": failed, "conditions": end("FailureTarget", reason)});
        let most = json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 1});
        assert_eq!(says(&most, &[], failed("MaxFailedIndexesExceeded", "0,1")), "");
        assert!(says(&most, &[], failed("MaxFailedIndexesExceeded", "0")).contains("for 1 of its numbers, and 1 may"));
        assert_eq!(says(&most, &[], failed("FailedIndexes", "0-2")), "");
        assert!(says(&most, &[], failed("FailedIndexes", "0")).contains("1 of 3 are done with"));
        let rule = json!({"successPolicy": {"rules": [{"succeededIndexes": "1-2", "succeededCount": 1}]}});
        let succeeds = |number: i64| {
            let pods = [of_job("a", "Succeeded", number, &[0])];
            says(&rule, &pods, json!({"conditions": end("SuccessCriteriaMet", "SuccessPolicy")}))
        };
        assert_eq!(succeeds(2), "");
        assert!(succeeds(0).contains("has succeeded by its policy, of which \"0\" have"));
    }

    /// A controller hears of a job and a pod of it, and asks for something.
    fn asks(job: Value, pod: Value, verb: impl FnOnce(&Object) -> Verb) -> String {
        let (mut story, controller) = (Story::<Ends>::new(), who(Role::Workloads, "workloads"));
        let mut heard = Vec::new();
        for object in [job, pod] {
            let object = story.put(object).unwrap().new.unwrap();
            heard.push(object.clone());
            let event = WatchEvent::Added(object);
            story.hears(&controller, event).unwrap();
        }
        let sent = story.sends(&controller, verb(&heard[1]));
        sent.err().map_or(String::new(), |broken| broken.what)
    }

    #[test]
    fn fires_on_an_end_that_comes_too_early_or_for_another_reason() {
        let ends = |mut manifest: Value, phase: &str, kind: &str, reason: &str| {
            manifest["spec"]["completionMode"] = Value::Null;
            manifest["spec"]["completions"] = Value::Null;
            let mut ended = manifest.clone();
            ended["status"] = json!({"conditions": end(kind, reason)});
            let object = crate::plan::object(ended);
            asks(manifest, of_job("a", phase, 0, &[3]), |_| Verb::Update { object, part: Part::Status })
        };
        let queue = || job(json!({}), json!({}));
        let reached = |phase: &str| ends(queue(), phase, "SuccessCriteriaMet", "CompletionsReached");
        assert_eq!(reached("Succeeded"), "");
        assert!(reached("Running").contains("has done its work, and a works"));
        let late = |limit: i32| {
            let template = json!({"spec": {"restartPolicy": "OnFailure"}});
            let job = job(json!({"backoffLimit": limit, "template": template}), json!({}));
            ends(job, "Running", "FailureTarget", "DeadlineExceeded")
        };
        assert_eq!(late(3), "");
        assert!(late(2).contains("has missed its deadline after 2 restarts of 2"));
    }

    #[test]
    fn fires_on_a_job_that_goes_on_after_its_end() {
        let says = |spec: Value, status: Value| {
            let known = job(spec, json!({"startTime": "2026-01-01T00:00:00Z"}));
            let mut said = known.clone();
            said["status"].as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
            let object = crate::plan::object(said);
            asks(known, of_job("a", "Running", 0, &[3]), |_| Verb::Update { object, part: Part::Status })
        };
        let check = |spec: Value, status: Value, fires: &str| {
            let what = says(spec.clone(), status.clone());
            assert!(if fires.is_empty() { what.is_empty() } else { what.contains(fires) }, "{spec} {status}: {what:?}");
            let ends = json!({"conditions": end("FailureTarget", "Any")});
            let mut ended = status;
            ended.as_object_mut().unwrap().extend(ends.as_object().unwrap().clone());
            assert_eq!(says(spec, ended), "");
        };
        let limited = |limit: i32| json!({"backoffLimit": limit});
        check(limited(1), json!({"failed": 1}), "");
        let failed = json!({"failed": 1, "uncountedTerminatedPods": {"failed": ["a"]}});
        check(limited(1), failed, "goes on after 2 failures, and 1 are allowed");
        let restarts =
            |limit: i32| json!({"backoffLimit": limit, "template": {"spec": {"restartPolicy": "OnFailure"}}});
        check(restarts(3), json!({}), "");
        check(restarts(2), json!({}), "goes on after 2 restarts of 2");
        let numbers = json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 1});
        check(numbers.clone(), json!({"failedIndexes": "0", "completedIndexes": "1"}), "");
        check(numbers.clone(), json!({"failedIndexes": "0,1"}), "goes on after 2 of its numbers failed");
        let done = json!({"failedIndexes": "0", "completedIndexes": "1,2"});
        check(numbers, done, "goes on, and 2 of 3 have succeeded, and 1 have failed");
        let rule =
            |many: i32| json!({"successPolicy": {"rules": [{"succeededIndexes": "1-2", "succeededCount": many}]}});
        check(rule(2), json!({"completedIndexes": "0,1"}), "");
        check(rule(1), json!({"completedIndexes": "0,1"}), "\"0,1\" have succeeded, which are enough");
    }

    #[test]
    fn fires_on_a_job_that_does_not_say_since_when() {
        let says = |suspend: bool, status: Value| {
            let object = crate::plan::object(job(json!({"suspend": suspend}), status));
            let known = job(json!({"suspend": suspend}), json!({}));
            asks(known, of_job("a", "Running", 0, &[3]), |_| Verb::Update { object, part: Part::Status })
        };
        assert!(says(false, json!({})).contains("works, and does not say since when"));
        assert_eq!(says(true, json!({})), "");
        let mut complete =
            json!({"startTime": "2026-01-01T00:00:00Z", "conditions": end("Complete", "CompletionsReached")});
        assert!(says(false, complete.clone()).contains("is complete: true, and says since when: false"));
        complete["completionTime"] = "2026-01-01T00:01:00Z".into();
        assert_eq!(says(false, complete.clone()), "");
        complete["conditions"] = end("Failed", "DeadlineExceeded");
        assert!(says(false, complete).contains("is complete: false, and says since when: true"));
    }

    #[test]
    fn fires_on_a_pod_that_is_let_go_before_it_is_noted() {
        for (noted, fires) in [(json!(["a-uid"]), false), (json!([]), true)] {
            let job = job(json!({}), json!({"uncountedTerminatedPods": {"failed": noted}}));
            let what = asks(job, of_job("a", "Failed", 0, &[3]), |pod| Verb::Update {
                object: pod.with_meta(|meta| meta.finalizers.clear()),
                part: Part::Main,
            });
            assert_eq!(what.contains("is let go, and sum has not noted it"), fires, "{what}");
        }
    }

    #[test]
    fn fires_on_who_is_let_go_and_tells_alone_how_often_its_number_failed() {
        // The pod says that its number had failed once before.
        let let_go = |spec: Value, failed: &str, others: &[Value]| {
            let (mut story, controller) = (Story::<Ends>::new(), who(Role::Workloads, "workloads"));
            let status = json!({"uncountedTerminatedPods": {"failed": ["a-uid"]}, "failedIndexes": failed});
            story.shows(&controller, job(spec, status)).unwrap();
            for other in others {
                story.shows(&controller, other.clone()).unwrap();
            }
            let held = story.shows(&controller, of_job("a", "Failed", 1, &[3])).unwrap();
            let object = held.with_meta(|meta| meta.finalizers.clear());
            let sent = story.sends(&controller, Verb::Update { object, part: Part::Main });
            sent.is_err_and(|broken| broken.what.contains("tells alone how often its number has failed"))
        };
        let limit = |limit: i32| json!({"backoffLimitPerIndex": limit});
        assert!(let_go(limit(3), "", &[]));
        assert!(let_go(limit(3), "0", &[of_job("b", "Running", 2, &[])]), "another number tells nothing");
        assert!(!let_go(limit(3), "", &[of_job("b", "Running", 1, &[])]));
        assert!(!let_go(limit(3), "", &[of_job("b", "Failed", 1, &[3])]), "one of the two is enough");
        assert!(!let_go(limit(1), "", &[]), "it is not tried again");
        assert!(!let_go(limit(3), "1", &[]), "so it is said");
        assert!(!let_go(json!({}), "", &[]), "all numbers are tried as often as they need");
    }

    #[test]
    fn fires_on_a_number_whose_failures_are_forgotten() {
        for (says, fires) in [("2", false), ("1", true)] {
            let job = job(json!({"backoffLimitPerIndex": 3}), json!({}));
            let mut next = of_job("b", "Pending", 1, &[]);
            next["metadata"]["annotations"][FAILED_BEFORE] = says.into();
            let object = crate::plan::object(next);
            let what = asks(job, of_job("a", "Failed", 1, &[3]), |_| Verb::Create { object });
            assert_eq!(what.contains("number 1 has failed 1 times, it has 2 times"), fires, "{what}");
        }
    }
}
