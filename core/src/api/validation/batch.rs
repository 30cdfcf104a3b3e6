//! Rules for jobs, and for what makes jobs.
//!
//! Source: `pkg/apis/batch/validation/validation.go`, release 1.32.

use super::at::{At, Wrong};
use super::{Rules, pod, selector, text};
use crate::api::schedule::{self, Schedule};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Rules for jobs.
pub const JOB: Rules = Rules { content: job, change: Some(job_stays), ..Rules::ANY };
/// Rules for cron jobs.
pub const CRON_JOB: Rules = Rules { name: cron_job_name, content: cron_job, ..Rules::ANY };

/// A cron job's name is no longer, since those of its jobs have 11 bytes more and are labels.
///
/// Source: `pkg/apis/batch/validation`, `ValidateCronJobCreate`.
const CRON_JOB_NAME_MAX: usize = 63 - 11;

fn cron_job_name(name: &str) -> Wrong {
    let mut wrong = text::subdomain(name);
    if name.len() > CRON_JOB_NAME_MAX {
        wrong.push(format!("must be no more than {CRON_JOB_NAME_MAX} characters"));
    }
    wrong
}

fn job(object: &At) {
    let spec = object.field("spec");
    let (at, template) = (spec.field("selector"), spec.field("template"));
    let metadata = template.field("metadata");
    if !spec.field("manualSelector").is_true() {
        generated_labels(object, &metadata, &at);
    }
    job_spec(&spec);
    if !at.is_there() {
        return at.required("");
    }
    selector::selector(&at);
    let labels = metadata.field("labels");
    if selector::matches(&at, labels.value()) == Some(false) {
        labels.invalid_map("`selector` does not match template `labels`");
    }
}

/// The labels by which a job knows its pods. Newer names, and those of before.
///
/// Source: Kubernetes documentation, "Well-Known Labels, Annotations and Taints".
pub const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
/// See [`UID_LABELS`].
pub const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

fn generated_labels(job: &At, template_metadata: &At, selector: &At) {
    let metadata = job.field("metadata");
    let (uid, name) = (metadata.field("uid"), metadata.field("name"));
    for (keys, is) in [(UID_LABELS, uid.text()), (NAME_LABELS, name.text())] {
        for key in keys {
            let label = template_metadata.entry("labels", key);
            if !label.is_there() {
                label.required(&format!("must be '{is}'"));
            } else if label.text() != is {
                label.invalid(format!("must be '{is}'"));
            }
        }
    }
    let own = UID_LABELS.map(|key| (key, uid.text())).into_iter().chain(NAME_LABELS.map(|key| (key, name.text())));
    let own = own.map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    if selector.is_there() && selector::matches(selector, &Value::Object(own)) == Some(false) {
        selector.invalid("`selector` not auto-generated");
    }
}

/// A job that numbers its completions runs at most so many pods at once.
///
/// Source: `pkg/apis/batch/validation`, `maxParallelismForIndexedJob`.
const PARALLELISM_MAX: i64 = 100_000;

fn job_spec(spec: &At) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        spec.field(name).at_least(0);
    }
    let (completions, parallelism) = (spec.field("completions"), spec.field("parallelism"));
    let failed = spec.field("maxFailedIndexes");
    if spec.field("completionMode").text() == "Indexed" {
        if !completions.is_there() {
            completions.required("when completion mode is Indexed");
        }
        if parallelism.number().is_some_and(|number| number > PARALLELISM_MAX) {
            let rule = format!("must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed");
            parallelism.invalid(rule);
        }
        if let (Some(failed_most), Some(all)) = (failed.number(), completions.number())
            && failed_most > all
        {
            failed.invalid(format!("must be less than or equal to {all}"));
        }
    } else {
        for field in [spec.field("backoffLimitPerIndex"), failed] {
            if field.is_there() {
                field.invalid("requires indexed completion mode");
            }
        }
    }
    failure_policy(spec);
    let template = spec.field("template");
    pod::template(&template);
    let pods = template.field("spec");
    let policy = pods.field("restartPolicy");
    if matches!(policy.text(), "" | "Always") {
        policy.required("valid values: \"OnFailure\", \"Never\"");
    } else if !matches!(policy.text(), "OnFailure" | "Never") {
        policy.not_supported(&["OnFailure", "Never"]);
    } else if spec.field("podFailurePolicy").is_there() && policy.text() != "Never" {
        policy.invalid("only \"Never\" is supported when podFailurePolicy is specified");
    }
}

fn failure_policy(spec: &At) {
    let policy = spec.field("podFailurePolicy");
    let (template, mut names) = (spec.field("template"), BTreeSet::new());
    let pods = template.field("spec");
    for list in ["containers", "initContainers"] {
        names.extend(pods.items(list).map(|one| one.field("name").text()));
    }
    for rule in policy.items("rules") {
        let (action, codes) = (rule.field("action"), rule.field("onExitCodes"));
        if action.text().is_empty() {
            action.required("valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
        }
        match (codes.is_there(), rule.field("onPodConditions").is_empty()) {
            (true, false) => rule.invalid("specifying both OnExitCodes and OnPodConditions is not supported"),
            (false, true) => rule.invalid("specifying one of OnExitCodes and OnPodConditions is required"),
            _ => {}
        }
        if codes.is_there() {
            exit_codes(&codes, &names);
        }
        for condition in rule.items("onPodConditions") {
            condition.field("type").must_be_there_and(text::qualified_name);
        }
    }
}

fn exit_codes(codes: &At, containers: &BTreeSet<&str>) {
    let (operator, values) = (codes.field("operator"), codes.field("values"));
    if operator.text().is_empty() {
        operator.required("valid values: [\"In\" \"NotIn\"]");
    }
    let container = codes.field("containerName");
    if container.is_there() && !containers.contains(container.text()) {
        container.invalid("must be one of the container or initContainer names in the pod template");
    }
    let numbers: Vec<i64> = codes.items("values").filter_map(|value| value.number()).collect();
    if numbers.is_empty() {
        values.invalid("at least one value is required");
    } else if numbers.len() > 255 {
        return values.invalid("must have at most 255 items");
    }
    for (nth, value) in codes.items("values").enumerate() {
        let number = value.number().unwrap_or(0);
        if number == 0 && operator.text() == "In" {
            value.invalid("must not be 0 for the In operator");
        } else if numbers.get(..nth).is_some_and(|before| before.contains(&number)) {
            value.duplicate();
        } else if numbers.get(nth.wrapping_sub(1)).is_some_and(|before| *before > number) {
            values.invalid("must be ordered");
        }
    }
}

fn job_stays(new: &At, old: &At) {
    let has_begun = old.field("status").field("startTime").is_there();
    let (new, old) = (new.field("spec"), old.field("spec"));
    // A job with numbered completions may have fewer or more of them, if as many run at once.
    let elastic = new.field("completionMode").text() == "Indexed"
        && new.field("completions").number() == new.field("parallelism").number();
    if !elastic {
        new.field("completions").unchanged(&old.field("completions"));
    }
    new.field("selector").unchanged(&old.field("selector"));
    let (template, was) = (new.field("template"), old.field("template"));
    let waits = old.field("suspend").is_true() && !has_begun;
    if !waits || without_directives(&template) != without_directives(&was) {
        template.unchanged(&was);
    }
    for name in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        new.field(name).unchanged(&old.field(name));
    }
}

/// What says where pods are to run, by the place in a template where it stands.
const DIRECTIVES: &[(&str, &[&str])] = &[
    ("/metadata", &["labels", "annotations"]),
    ("/spec", &["nodeSelector", "tolerations", "schedulingGates"]),
    ("/spec/affinity", &["nodeAffinity"]),
];

/// What stays of a template though its job waits to begin: all but where its pods are to run, which may be decided last.
///
/// Source: KEP-2926; `pkg/apis/batch/validation`, `validatePodTemplateUpdate`.
fn without_directives(template: &At) -> Value {
    let mut template = template.value().clone();
    for (place, names) in DIRECTIVES {
        if let Some(fields) = template.pointer_mut(place).and_then(Value::as_object_mut) {
            fields.retain(|name, _| !names.contains(&name.as_str()));
        }
    }
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut)
        && spec.get("affinity").and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        spec.remove("affinity");
    }
    template
}

fn cron_job(object: &At) {
    let spec = object.field("spec");
    let (schedule, zone) = (spec.field("schedule"), spec.field("timeZone"));
    if !schedule.text().is_empty() {
        schedule_of(&schedule, zone.is_there());
    }
    if zone.is_there() {
        match zone.text() {
            "" => zone.invalid("timeZone must be nil or non-empty string"),
            name if name.eq_ignore_ascii_case("local") => {
                zone.invalid("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")
            }
            name if schedule::zone(name).is_none() => zone.invalid(format!("unknown time zone {name}")),
            _ => {}
        }
    }
    for name in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        spec.field(name).at_least(0);
    }
    let job = spec.field("jobTemplate");
    let metadata = job.field("metadata");
    pod::template_metadata(&metadata);
    let job = job.field("spec");
    let (selector, manual) = (job.field("selector"), job.field("manualSelector"));
    job_spec(&job);
    if selector.is_there() {
        selector.invalid("`selector` will be auto-generated");
    }
    if manual.is_true() {
        manual.not_supported(&["nil", "false"]);
    }
}

fn schedule_of(schedule: &At, has_zone: bool) {
    let text = schedule.text();
    let rest = match ["TZ=", "CRON_TZ="].iter().find(|word| text.starts_with(**word)) {
        None => text,
        Some(_) => {
            let rule = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            schedule.invalid(if has_zone {
                "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            } else {
                rule
            });
            return;
        }
    };
    if let Err(wrong) = Schedule::parse(rest) {
        schedule.invalid(wrong);
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::meta::ObjectMeta;
    use crate::api::validation::meta;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::{Value, json};

    fn job() -> Value {
        let labels = json!({"controller-uid": "u", "job-name": "j", "batch.kubernetes.io/controller-uid": "u",
            "batch.kubernetes.io/job-name": "j"});
        json!({"metadata": {"name": "j", "uid": "u"}, "spec": {
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {"metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}})
    }

    #[test]
    fn jobs() {
        table(
            Kind::Job,
            &job(),
            &[
                (
                    "/spec/template/spec/restartPolicy",
                    Value::Null,
                    &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
                ),
                (
                    "/spec/template/spec/restartPolicy",
                    json!("Some"),
                    &[
                        "spec.template.spec.restartPolicy: Unsupported value: \"Some\": supported values: \"Always\", \"OnFailure\", \"Never\"",
                        "spec.template.spec.restartPolicy: Unsupported value: \"Some\": supported values: \"OnFailure\", \"Never\"",
                    ],
                ),
                (
                    "/spec/parallelism",
                    json!(-1),
                    &["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"],
                ),
                ("/spec/backoffLimit", json!(-1), &["spec.backoffLimit: Invalid value: -1"]),
                (
                    "/spec/template/metadata/labels/job-name",
                    json!("k"),
                    &["spec.template.metadata.labels[job-name]: Invalid value: \"k\": must be 'j'"],
                ),
                (
                    "/spec/template/metadata/labels/controller-uid",
                    Value::Null,
                    &["spec.template.metadata.labels[controller-uid]: Required value: must be 'u'"],
                ),
                (
                    "/spec/selector",
                    json!({"matchLabels": {"app": "j"}}),
                    &[
                        "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"j\"}}: `selector` not auto-generated",
                        "spec.template.metadata.labels: Invalid value: map[string]string{",
                    ],
                ),
                ("/spec/completionMode", json!("Indexed"), &[]),
                (
                    "/spec/backoffLimitPerIndex",
                    json!(1),
                    &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
                ),
                (
                    "/spec/podFailurePolicy",
                    json!({"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [0]}}]}),
                    &[
                        "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
                    ],
                ),
                (
                    "/spec/podFailurePolicy",
                    json!({"rules": [{"action": "Ignore"}]}),
                    &["spec.podFailurePolicy.rules[0]: Invalid value: {\"action\":\"Ignore\"}: specifying one of"],
                ),
            ],
        );
        table_of_changes(
            Kind::Job,
            &job(),
            &[
                ("/spec/completions", json!(5), &["spec.completions: Invalid value: 5: field is immutable"]),
                ("/spec/template/spec/containers/0/image", json!("y"), &["spec.template: Invalid value: "]),
                ("/spec/suspend", json!(true), &[]),
                ("/spec/parallelism", json!(3), &[]),
            ],
        );
    }

    #[test]
    fn a_job_that_waits_to_begin_may_be_told_where_to_run() {
        let refused: &[&str] = &["spec.template: Invalid value: "];
        let nodes = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]}}});
        let pods = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": "zone"}]}});
        let check = |old: &Value, directives: &[&str]| {
            table_of_changes(
                Kind::Job,
                old,
                &[
                    ("/spec/template/spec/nodeSelector", json!({"disk": "ssd"}), directives),
                    ("/spec/template/spec/tolerations", json!([{"operator": "Exists"}]), directives),
                    ("/spec/template/spec/schedulingGates", json!([{"name": "example.com/a"}]), directives),
                    ("/spec/template/spec/affinity", nodes.clone(), directives),
                    ("/spec/template/metadata/labels/tier", json!("a"), directives),
                    ("/spec/template/metadata/annotations", json!({"tier": "a"}), directives),
                    ("/spec/template/spec/affinity", pods.clone(), refused),
                    ("/spec/template/spec/containers/0/image", json!("y"), refused),
                ],
            );
        };
        let mut old = job();
        check(&old, refused);
        old["spec"]["suspend"] = json!(true);
        check(&old, &[]);
        old["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
        check(&old, refused);
    }

    #[test]
    fn cron_jobs() {
        let mut spec = job()["spec"].clone();
        spec.as_object_mut().unwrap().remove("selector");
        table(
            Kind::CronJob,
            &json!({"metadata": {"name": "c"}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": spec}}}),
            &[
                ("/spec/schedule", json!(""), &["spec.schedule: Required value"]),
                (
                    "/spec/schedule",
                    json!("* * * *"),
                    &["spec.schedule: Invalid value: \"* * * *\": expected exactly 5 fields, found 4: [* * * *]"],
                ),
                (
                    "/spec/timeZone",
                    json!(""),
                    &["spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"],
                ),
                (
                    "/spec/timeZone",
                    json!("Local"),
                    &["spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone"],
                ),
                ("/spec/timeZone", json!("Etc/UTC"), &[]),
                (
                    "/spec/timeZone",
                    json!("No where"),
                    &["spec.timeZone: Invalid value: \"No where\": unknown time zone No where"],
                ),
                (
                    "/spec/concurrencyPolicy",
                    json!("Some"),
                    &[
                        "spec.concurrencyPolicy: Unsupported value: \"Some\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                    ],
                ),
                ("/spec/startingDeadlineSeconds", json!(-1), &["spec.startingDeadlineSeconds: Invalid value: -1"]),
                (
                    "/spec/jobTemplate/spec/selector",
                    json!({}),
                    &["spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated"],
                ),
                (
                    "/spec/jobTemplate/spec/template/spec/restartPolicy",
                    json!("Always"),
                    &["spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values"],
                ),
            ],
        );
        let meta = |name: String| ObjectMeta { name: name.into(), namespace: "x".into(), ..ObjectMeta::default() };
        assert_eq!(meta::all(&meta("a".repeat(52)), Kind::CronJob.row()), []);
        let told = meta::all(&meta("a".repeat(53)), Kind::CronJob.row());
        assert!(told[0].to_string().ends_with("must be no more than 52 characters"), "{told:?}");
    }
}
