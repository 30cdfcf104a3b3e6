//! Rules for what makes pods that run until they are told not to.
//!
//! Source: `pkg/apis/apps/validation/validation.go`; `pkg/apis/core/validation`, `ValidateReplicationControllerSpec`;
//! release 1.32.

use super::at::At;
use super::{Rules, pod, selector, text};
use crate::api::pod::START_RETRIES;
use serde_json::Value;

/// Rules for deployments.
pub const DEPLOYMENT: Rules = Rules { content: deployment, change: Some(selector_stays), ..Rules::ANY };
/// Rules for replica sets.
pub const REPLICA_SET: Rules = Rules { content: replica_set, change: Some(selector_stays), ..Rules::ANY };
/// Rules for replication controllers.
pub const REPLICATION_CONTROLLER: Rules = Rules { content: replication_controller, ..Rules::ANY };
/// Rules for daemon sets.
pub const DAEMON_SET: Rules = Rules { content: daemon_set, change: Some(selector_stays), ..Rules::ANY };
/// Rules for stateful sets.
pub const STATEFUL_SET: Rules = Rules { content: stateful_set, change: Some(stateful_set_stays), ..Rules::ANY };
/// Rules for controller revisions.
pub const CONTROLLER_REVISION: Rules = Rules {
    content: |revision| {
        if !revision.field("data").is_there() {
            revision.field("data").required("data is mandatory");
        }
        revision.field("revision").at_least(0);
    },
    change: Some(|new, old| new.field("data").unchanged(&old.field("data"))),
    ..Rules::ANY
};

fn selector_stays(new: &At, old: &At) {
    let (new, old) = (new.field("spec"), old.field("spec"));
    new.field("selector").unchanged(&old.field("selector"));
}

fn deployment(object: &At) {
    let spec = object.field("spec");
    counts(&spec);
    let patience = spec.field("progressDeadlineSeconds");
    patience.at_least(0);
    if patience.number().is_some_and(|seconds| seconds <= spec.field("minReadySeconds").number().unwrap_or(0)) {
        patience.invalid("must be greater than minReadySeconds");
    }
    own_selector(&spec, "empty selector is invalid for deployment");
    template_matches(&spec);
    lasting_template(&spec.field("template"), "ReplicaSet");
    let strategy = spec.field("strategy");
    let rolling = strategy.field("rollingUpdate");
    match strategy.field("type").text() {
        "Recreate" if rolling.is_there() => {
            rolling.forbidden("may not be specified when strategy `type` is 'Recreate'");
        }
        "RollingUpdate" if rolling.is_there() => {
            let (absent, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
            share(&absent);
            share(&surge);
            if is_none(&absent) && is_none(&surge) {
                absent.invalid("may not be 0 when `maxSurge` is 0");
            }
            not_more_than_all(&absent);
        }
        _ => {}
    }
}

/// How many there are to be, and what else counts.
fn counts(spec: &At) {
    for name in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        spec.field(name).at_least(0);
    }
}

/// A selector that is there must select something. That there must be one is said by the schema.
fn own_selector(spec: &At, empty: &str) {
    let at = spec.field("selector");
    if !at.is_there() {
        return;
    }
    selector::selector(&at);
    if selector::is_empty(&at) {
        at.invalid(empty);
    }
}

/// Pods must be selected by who makes them.
fn template_matches(spec: &At) {
    let (at, template) = (spec.field("selector"), spec.field("template"));
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    if selector::matches(&at, labels.value()) == Some(false) {
        labels.invalid_map("`selector` does not match template `labels`");
    }
}

/// A template of pods that are started again for ever.
fn lasting_template(template: &At, of: &str) {
    pod::template(template);
    let spec = template.field("spec");
    only_always(template, &spec.field("restartPolicy"));
    let deadline = spec.field("activeDeadlineSeconds");
    if deadline.is_there() {
        deadline.forbidden(format!("activeDeadlineSeconds in {of} is not Supported"));
    }
}

/// A pod that is not restarted in place ends, and the set makes another: where starts are limited that is miniku's way,
/// which Kubernetes refuses.
fn only_always(template: &At, policy: &At) {
    let metadata = template.field("metadata");
    let replaced_instead = metadata.entry("annotations", START_RETRIES).is_there();
    // A word that does not exist at all is told by itself.
    if matches!(policy.text(), "OnFailure" | "Never") && !replaced_instead {
        policy.not_supported(&["Always"]);
    }
}

/// A number of pods, or a share of them.
fn share(at: &At) {
    match at.value() {
        Value::String(share) => text::percent(share).into_iter().for_each(|wrong| at.invalid(wrong)),
        _ => at.at_least(0),
    }
}

fn not_more_than_all(at: &At) {
    if percent(at).is_some_and(|percent| percent > 100) {
        at.invalid("must not be greater than 100%");
    }
}

fn percent(at: &At) -> Option<u64> {
    at.text().strip_suffix('%')?.parse().ok()
}

fn is_none(at: &At) -> bool {
    !at.is_there() || at.number() == Some(0) || percent(at) == Some(0)
}

/// What pods may be away, for budgets and for sets: a number, or a share of at most all.
pub fn share_of_all(at: &At) {
    share(at);
    not_more_than_all(at);
}

fn replica_set(object: &At) {
    let spec = object.field("spec");
    counts(&spec);
    let at = spec.field("selector");
    selector::selector(&at);
    // One that is not there is kept as an empty one.
    if selector::is_empty(&at) {
        at.required("");
    }
    template_matches(&spec);
    lasting_template(&spec.field("template"), "ReplicaSet");
}

fn replication_controller(object: &At) {
    let spec = object.field("spec");
    counts(&spec);
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    if selector.is_empty() {
        selector.required("");
    }
    selector::labels(&selector);
    if !template.is_there() {
        return template.required("");
    }
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    let has = |(key, value): (&String, &Value)| labels.value().get(key) == Some(value);
    if !selector.value().as_object().into_iter().flatten().all(has) {
        labels.invalid_map("`selector` does not match template `labels`");
    }
    lasting_template(&template, "ReplicationController");
}

fn daemon_set(object: &At) {
    let spec = object.field("spec");
    counts(&spec);
    own_selector(&spec, "empty selector is invalid for daemonset");
    template_matches(&spec);
    lasting_template(&spec.field("template"), "DaemonSet");
    let strategy = spec.field("updateStrategy");
    let rolling = strategy.field("rollingUpdate");
    if strategy.field("type").text() == "RollingUpdate" && rolling.is_there() {
        let (absent, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
        share_of_all(&absent);
        share_of_all(&surge);
        match (is_none(&absent), is_none(&surge)) {
            (false, false) => surge.invalid("may not be set when maxUnavailable is non-zero"),
            (true, true) => absent.required("cannot be 0 when maxSurge is 0"),
            _ => {}
        }
    }
}

/// The template itself is looked at when pods are made of it, since its volumes are known only then: so does Kubernetes.
fn stateful_set(object: &At) {
    let spec = object.field("spec");
    let policy = spec.field("podManagementPolicy");
    policy.must(matches!(policy.text(), "" | "OrderedReady" | "Parallel"), "must be 'OrderedReady' or 'Parallel'");
    let strategy = spec.field("updateStrategy");
    let rolling = strategy.field("rollingUpdate");
    if strategy.field("type").text() == "OnDelete" && rolling.is_there() {
        rolling.invalid("only allowed for updateStrategy 'RollingUpdate'");
    }
    rolling.field("partition").at_least(0);
    let absent = rolling.field("maxUnavailable");
    if absent.is_there() {
        share_of_all(&absent);
        if is_none(&absent) {
            absent.invalid("cannot be 0");
        }
    }
    counts(&spec);
    spec.field("ordinals").field("start").at_least(0);
    own_selector(&spec, "empty selector is invalid for statefulset");
    template_matches(&spec);
    let template = spec.field("template");
    pod::template_metadata(&template.field("metadata"));
    let pods = template.field("spec");
    only_always(&template, &pods.field("restartPolicy"));
    let deadline = pods.field("activeDeadlineSeconds");
    if deadline.is_there() {
        deadline.forbidden("activeDeadlineSeconds in StatefulSet is not Supported");
    }
}

/// Fields of a stateful set's spec that may change.
///
/// Source: `pkg/apis/apps/validation`, `ValidateStatefulSetUpdate`, release 1.32.
const CHANGEABLE: &[&str] =
    &["replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds"];

fn stateful_set_stays(new: &At, old: &At) {
    let (new, old) = (new.field("spec"), old.field("spec"));
    let fixed = |spec: &At| {
        let fields = spec.value().as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| !CHANGEABLE.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Vec<_>>()
    };
    if fixed(&new) != fixed(&old) {
        let (last, first) = CHANGEABLE.split_last().expect("there are some");
        let first = first.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        new.forbidden(format!("updates to statefulset spec for fields other than {first} and '{last}' are forbidden"));
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::{Value, json};

    fn made(spec: Value) -> Value {
        let mut whole = json!({"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"metadata": {"name": "web", "namespace": "default"}, "spec": whole})
    }

    #[test]
    fn what_makes_pods_selects_them() {
        let mismatch = "spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"web\"}: `selector` does not match template `labels`";
        for kind in [Kind::Deployment, Kind::DaemonSet, Kind::StatefulSet, Kind::ReplicaSet] {
            table(
                kind,
                &made(json!({})),
                &[
                    ("/spec/selector", Value::Null, &["spec.selector: Required value", mismatch]),
                    ("/spec/selector", json!({"matchLabels": {"app": "other"}}), &[mismatch]),
                    (
                        "/spec/selector/matchExpressions",
                        json!([{"key": "app", "operator": "In"}]),
                        &["spec.selector.matchExpressions[0].values: Required value: must be specified when", mismatch],
                    ),
                    (
                        "/spec/template/spec/restartPolicy",
                        json!("Never"),
                        &[
                            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                        ],
                    ),
                    (
                        "/spec/template/spec/activeDeadlineSeconds",
                        json!(5),
                        &["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in "],
                    ),
                    (
                        "/spec/minReadySeconds",
                        json!(-1),
                        &["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"],
                    ),
                ],
            );
            let stays = if kind == Kind::StatefulSet {
                "spec: Forbidden: updates to statefulset spec"
            } else {
                "spec.selector: Invalid value: "
            };
            table_of_changes(
                kind,
                &made(json!({})),
                &[
                    ("/spec/selector", json!({"matchLabels": {"app": "web", "a": "b"}}), &[stays, mismatch]),
                    ("/spec/template/metadata/labels/a", json!("b"), &[]),
                ],
            );
        }
        for kind in [Kind::Deployment, Kind::DaemonSet, Kind::StatefulSet] {
            table(
                kind,
                &made(json!({})),
                &[("/spec/selector", json!({}), &["spec.selector: Invalid value: {}: empty selector is "])],
            );
        }
    }

    #[test]
    fn deployments() {
        let negative = "spec.replicas: Invalid value: -1: must be greater than or equal to 0";
        let percent = "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"some\": a valid percent string must be a numeric string";
        table(
            Kind::Deployment,
            &made(json!({"strategy": {"rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0}}})),
            &[
                ("/spec/replicas", json!(-1), &[negative]),
                (
                    "/spec/strategy/rollingUpdate/maxUnavailable",
                    json!("0%"),
                    &[
                        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
                    ],
                ),
                (
                    "/spec/strategy/rollingUpdate/maxUnavailable",
                    json!("101%"),
                    &[
                        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
                    ],
                ),
                ("/spec/strategy/rollingUpdate/maxSurge", json!("some"), &[percent]),
                (
                    "/spec/strategy/rollingUpdate/maxSurge",
                    json!(-1),
                    &["spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater"],
                ),
                (
                    "/spec/strategy/type",
                    json!("Recreate"),
                    &[
                        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
                    ],
                ),
                (
                    "/spec/strategy/type",
                    json!("Often"),
                    &[
                        "spec.strategy.type: Unsupported value: \"Often\": supported values: \"Recreate\", \"RollingUpdate\"",
                    ],
                ),
                (
                    "/spec/progressDeadlineSeconds",
                    json!(0),
                    &["spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"],
                ),
                (
                    "/spec/template/spec/containers/0/name",
                    json!("A"),
                    &["spec.template.spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label"],
                ),
            ],
        );
    }

    #[test]
    fn daemon_sets() {
        table(
            Kind::DaemonSet,
            &made(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1}}})),
            &[
                (
                    "/spec/updateStrategy/rollingUpdate/maxUnavailable",
                    json!(0),
                    &[
                        "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
                    ],
                ),
                (
                    "/spec/updateStrategy/rollingUpdate/maxSurge",
                    json!(1),
                    &[
                        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
                    ],
                ),
                (
                    "/spec/updateStrategy/type",
                    json!("Often"),
                    &["spec.updateStrategy.type: Unsupported value: \"Often\""],
                ),
            ],
        );
    }

    #[test]
    fn stateful_sets() {
        let set = made(json!({"serviceName": "s"}));
        table(
            Kind::StatefulSet,
            &set,
            &[
                ("/spec/podManagementPolicy", json!("Some"), &["spec.podManagementPolicy: "]),
                (
                    "/spec/updateStrategy",
                    json!({"type": "OnDelete", "rollingUpdate": {}}),
                    &[
                        "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":0}: only allowed for updateStrategy 'RollingUpdate'",
                    ],
                ),
                (
                    "/spec/updateStrategy",
                    json!({"rollingUpdate": {"partition": -1}}),
                    &["spec.updateStrategy.rollingUpdate.partition: Invalid value: -1"],
                ),
                ("/spec/template/spec/containers/0/volumeMounts", json!([{"name": "data", "mountPath": "/d"}]), &[]),
            ],
        );
        table_of_changes(
            Kind::StatefulSet,
            &set,
            &[
                (
                    "/spec/serviceName",
                    json!("t"),
                    &[
                        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                    ],
                ),
                ("/spec/replicas", json!(3), &[]),
            ],
        );
    }

    #[test]
    fn replication_controllers_and_revisions() {
        let mut controller = made(json!({}));
        controller["spec"]["selector"] = json!({"app": "web"});
        table(
            Kind::ReplicationController,
            &controller,
            &[
                (
                    "/spec/selector",
                    json!({"app": "b"}),
                    &["spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"web\"}: `selector`"],
                ),
                ("/spec/replicas", json!(-1), &["spec.replicas: Invalid value: -1"]),
                (
                    "/spec/template/metadata/labels",
                    Value::Null,
                    &["spec.template.metadata.labels: Invalid value: map[string]string{}: `selector`"],
                ),
            ],
        );
        let revision = json!({"metadata": {"name": "a"}, "data": {"a": 1}, "revision": 1});
        table(
            Kind::ControllerRevision,
            &revision,
            &[
                ("/data", Value::Null, &["data: Required value: data is mandatory"]),
                ("/revision", json!(-1), &["revision: Invalid value: -1"]),
            ],
        );
        table_of_changes(
            Kind::ControllerRevision,
            &revision,
            &[("/data", json!({"a": 2}), &["data: Invalid value: "])],
        );
    }
}
