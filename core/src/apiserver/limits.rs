//! What a limit range does to new pods and claims: it fills in what is not said, and refuses what is out of bounds.
//!
//! Source: Kubernetes documentation, "Limit Ranges"; `plugin/pkg/admission/limitranger`.

use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::plain::items;
use crate::api::pod::Pod;
use crate::api::quantity::{Amounts, Quantity};
use crate::api::resources::{Resources, of_containers, of_pod};
use crate::api::status::Status;
use crate::api::text::Text;
use crate::store::Store;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// On pods: what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// One rule of a limit range.
#[derive(Debug)]
struct Rule {
    /// `Container`, `Pod` or `PersistentVolumeClaim`.
    about: String,
    min: Amounts,
    max: Amounts,
    ratio: Amounts,
    default: Amounts,
    default_request: Amounts,
}

/// The rules of a namespace, in the order of their limit ranges.
fn rules(store: &Store, namespace: &Text) -> Vec<Rule> {
    let ranges = store.of_namespace(Kind::LimitRange, namespace);
    let rule = |item: &Value| {
        let amounts = |name: &str| Amounts::deserialize(item.get(name).unwrap_or(&Value::Null)).unwrap_or_default();
        Rule {
            about: item.get("type").and_then(Value::as_str).unwrap_or_default().into(),
            min: amounts("min"),
            max: amounts("max"),
            ratio: amounts("maxLimitRequestRatio"),
            default: amounts("default"),
            default_request: amounts("defaultRequest"),
        }
    };
    ranges.flat_map(|range| items(range, &["spec", "limits"])).map(rule).collect()
}

/// Fills in the requests and limits that a new pod's containers do not say.
pub fn complete(store: &Store, namespace: &Text, object: &mut Object) {
    if object.kind() != Kind::Pod || planted!(LimitsNotFilled) {
        return;
    }
    for rule in rules(store, namespace).iter().filter(|rule| rule.about == "Container") {
        object.edit_as(|pod: &mut Pod| fill(pod, rule));
    }
}

fn fill(pod: &mut Pod, rule: &Rule) {
    let mut told = Vec::new();
    let mut tell = |names: Vec<&str>, what: &str, container: &str| {
        if !names.is_empty() {
            told.push(format!("{} {what} for {container}", names.join(", ")));
        }
    };
    let missing = |from: &Amounts, has: &[&Amounts]| -> Vec<(Text, Quantity)> {
        let lacks = |name: &str| !has.iter().any(|has| has.contains_key(name));
        from.iter().filter(|(name, _)| lacks(name)).map(|(name, amount)| (name.clone(), amount.clone())).collect()
    };
    let spec = Arc::make_mut(&mut pod.spec);
    for container in Arc::make_mut(&mut spec.containers) {
        let has = &mut container.resources;
        // What is limited and does not say what it requests will request its limit.
        let said: &[&Amounts] = &[&has.requests, &has.limits];
        let said = if planted!(DefaultRequestOverLimit) { &said[..1] } else { said };
        let requests = missing(&rule.default_request, said);
        let limits = missing(&rule.default, &[&has.limits]);
        let called = format!("container {}", container.name);
        tell(requests.iter().map(|(name, _)| name.as_str()).collect(), "request", &called);
        tell(limits.iter().map(|(name, _)| name.as_str()).collect(), "limit", &called);
        requests.into_iter().for_each(|(name, amount)| has.requests.insert(name, amount));
        limits.into_iter().for_each(|(name, amount)| has.limits.insert(name, amount));
    }
    let init = spec.rest.get_mut("initContainers").and_then(Value::as_array_mut);
    for container in init.into_iter().flatten().filter_map(Value::as_object_mut) {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut has: BTreeMap<Text, Amounts> =
            container.get("resources").and_then(|has| BTreeMap::deserialize(has).ok()).unwrap_or_default();
        let of = |has: &BTreeMap<Text, Amounts>, what: &str| has.get(what).cloned().unwrap_or_default();
        let (has_requests, has_limits) = (of(&has, "requests"), of(&has, "limits"));
        let requests = missing(&rule.default_request, &[&has_requests, &has_limits]);
        let limits = missing(&rule.default, &[&has_limits]);
        let called = format!("init container {name}");
        tell(requests.iter().map(|(name, _)| name.as_str()).collect(), "request", &called);
        tell(limits.iter().map(|(name, _)| name.as_str()).collect(), "limit", &called);
        for (what, more) in [("requests", requests), ("limits", limits)] {
            if !more.is_empty() {
                let all = has.entry(what.into()).or_default();
                more.into_iter().for_each(|(name, amount)| all.insert(name, amount));
            }
        }
        if !has.is_empty() {
            let has = serde_json::to_value(has).expect("API structs have string keys and finite numbers");
            container.insert("resources".into(), has);
        }
    }
    if !told.is_empty() {
        pod.metadata.annotations.insert(ANNOTATION, format!("LimitRanger plugin set: {}", told.join("; ")).into());
    }
}

/// Refuses a new pod, or a claim, that is out of bounds. `called` is its name, as far as that is known.
pub fn check(store: &Store, namespace: &Text, called: &str, object: &Object) -> Result<(), Status> {
    if !matches!(object.kind(), Kind::Pod | Kind::PersistentVolumeClaim) {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for rule in rules(store, namespace) {
        match (rule.about.as_str(), object.get::<Pod>()) {
            ("Container", Some(pod)) => {
                for container in of_containers(&pod.spec) {
                    bounds(&rule, &container.resources, &mut wrong);
                }
            }
            ("Pod", Some(pod)) if !planted!(PodLimitsUnchecked) => bounds(&rule, &of_pod(&pod.spec), &mut wrong),
            ("PersistentVolumeClaim", None) => {
                let asked = object.at(&["spec", "resources", "requests"]).unwrap_or(&Value::Null);
                let requests = Amounts::deserialize(asked).unwrap_or_default();
                // A claim has no limit: what it requests is what it gets.
                let resources = Resources { limits: requests.clone(), requests };
                bounds(&rule, &resources, &mut wrong);
            }
            _ => {}
        }
    }
    wrong.dedup();
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(Status::forbidden(object.kind(), called, one)),
        several => Err(Status::forbidden(object.kind(), called, &format!("[{}]", several.join(", ")))),
    }
}

fn bounds(rule: &Rule, has: &Resources, wrong: &mut Vec<String>) {
    let about = &rule.about;
    let claim = about == "PersistentVolumeClaim";
    for (name, least) in &rule.min {
        let head = format!("minimum {name} usage per {about} is {least}");
        match (has.requests.get(name), has.limits.get(name)) {
            (None, _) => wrong.push(format!("{head}.  No request is specified")),
            (Some(request), _) if request < least => wrong.push(format!("{head}, but request is {request}")),
            (Some(_), Some(limit)) if limit < least => wrong.push(format!("{head}, but limit is {limit}")),
            (Some(_), _) => {}
        }
    }
    for (name, most) in &rule.max {
        let head = format!("maximum {name} usage per {about} is {most}");
        match (has.requests.get(name), has.limits.get(name)) {
            (_, None) if claim => wrong.push(format!("{head}.  No request is specified")),
            (_, None) => wrong.push(format!("{head}.  No limit is specified")),
            (Some(request), _) if claim && request > most => wrong.push(format!("{head}, but request is {request}")),
            (_, Some(limit)) if limit > most => wrong.push(format!("{head}, but limit is {limit}")),
            (Some(request), _) if request > most => wrong.push(format!("{head}, but request is {request}")),
            (_, Some(_)) => {}
        }
    }
    for (name, most) in &rule.ratio {
        let head = format!("{name} max limit to request ratio per {about} is {most}");
        let some = |amount: Option<&Quantity>| amount.map(Quantity::units).filter(|units| *units != 0.0);
        match (some(has.requests.get(name)), some(has.limits.get(name))) {
            (None, _) => wrong.push(format!("{head}, but no request is specified or request is 0")),
            (_, None) => wrong.push(format!("{head}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) if limit / request > most.units() => {
                wrong.push(format!("{head}, but provided ratio is {:.6}", limit / request));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Revision;
    use serde_json::json;

    fn store(limits: Value) -> Store {
        let mut store = Store::default();
        let range = json!({"metadata": {"name": "l", "namespace": "n"}, "spec": {"limits": limits}});
        let range = Object::from_value(Kind::LimitRange, range).unwrap();
        store.apply(&range.key(), Some(range), Revision(1));
        store
    }

    fn pod(resources: Value) -> Object {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "c", "resources": resources}]}});
        Object::from_value(Kind::Pod, pod).unwrap()
    }

    #[test]
    fn what_is_not_said_is_filled_in() {
        let range = json!([{"type": "Container", "default": {"cpu": "2", "memory": "1Gi"},
            "defaultRequest": {"cpu": "1", "memory": "1Gi"}}]);
        let check = |resources: Value, want: Value, told: Option<&str>| {
            let mut pod = pod(resources.clone());
            complete(&store(range.clone()), &"n".into(), &mut pod);
            assert_eq!(pod.to_value()["spec"]["containers"][0]["resources"], want, "{resources}");
            assert_eq!(pod.meta().annotations.get(ANNOTATION).map(Text::as_str), told, "{resources}");
        };
        let all = json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
        let told = "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c";
        check(json!({}), all.clone(), Some(told));
        check(all.clone(), all, None);
        check(
            json!({"limits": {"cpu": "500m", "memory": "2Gi"}}),
            json!({"limits": {"cpu": "500m", "memory": "2Gi"}}),
            None,
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let check = |rule: Value, resources: Value, want: &[&str]| {
            let told = super::check(&store(json!([rule])), &"n".into(), "p", &pod(resources.clone()));
            let want = match want {
                [] => Ok(()),
                [one] => Err(format!("pods \"p\" is forbidden: {one}")),
                several => Err(format!("pods \"p\" is forbidden: [{}]", several.join(", "))),
            };
            assert_eq!(told.map_err(|status| status.message), want, "{rule} {resources}");
        };
        let container = |what: &str, amount: &str| json!({"type": "Container", what: {"cpu": amount}});
        let asks = |request: &str, limit: &str| json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
        check(container("max", "1"), asks("1", "1"), &[]);
        check(container("max", "1"), asks("1", "2"), &["maximum cpu usage per Container is 1, but limit is 2"]);
        check(container("max", "1"), json!({}), &["maximum cpu usage per Container is 1.  No limit is specified"]);
        check(
            container("min", "200m"),
            asks("100m", "1"),
            &["minimum cpu usage per Container is 200m, but request is 100m"],
        );
        check(
            container("min", "200m"),
            json!({}),
            &["minimum cpu usage per Container is 200m.  No request is specified"],
        );
        check(
            container("maxLimitRequestRatio", "2"),
            asks("250m", "1"),
            &["cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000"],
        );
        check(container("maxLimitRequestRatio", "4"), asks("250m", "1"), &[]);
        check(
            json!({"type": "Pod", "max": {"cpu": "1"}}),
            asks("1", "2"),
            &["maximum cpu usage per Pod is 1, but limit is 2"],
        );
        check(
            json!({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "1"}}),
            json!({}),
            &[
                "minimum cpu usage per Container is 1.  No request is specified",
                "maximum cpu usage per Container is 1.  No limit is specified",
            ],
        );
        let claim = |storage: &str| {
            let claim = json!({"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": storage}}}});
            Object::from_value(Kind::PersistentVolumeClaim, claim).unwrap()
        };
        let range =
            store(json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]));
        let told =
            |storage: &str| super::check(&range, &"n".into(), "c", &claim(storage)).map_err(|status| status.message);
        assert_eq!(told("2Gi"), Ok(()));
        let head = "persistentvolumeclaims \"c\" is forbidden:";
        let big = format!("{head} maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi");
        let small = format!("{head} minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi");
        assert_eq!((told("3Gi"), told("1Mi")), (Err(big), Err(small)));
    }
}
