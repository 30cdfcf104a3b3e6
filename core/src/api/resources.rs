//! What containers and pods request, and what they are limited to, of all resources.
//!
//! Source: Kubernetes documentation, "Init Containers", resource sharing within containers; "Sidecar Containers"; "Pod
//! Overhead"; `component-helpers/resource`.

use crate::api::pod::PodSpec;
use crate::api::quantity::{Amounts, Quantity};
use crate::api::text::Text;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Requests and limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// What is promised.
    pub requests: Amounts,
    /// What is not exceeded.
    pub limits: Amounts,
}

/// A container's.
#[derive(Clone, Debug)]
pub struct OfContainer {
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub resources: Resources,
    /// When it runs.
    runs: Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// With all others.
    Always,
    /// Before the others, alone but for those that were started before and go on.
    Before,
    /// From its turn among those that run before, to the end.
    FromThenOn,
}

/// Those of all containers, in their order; those that run before the others come after them.
pub fn of_containers(spec: &PodSpec) -> Vec<OfContainer> {
    let main = spec.containers.iter().map(|container| OfContainer {
        name: container.name.to_string(),
        resources: Resources {
            requests: container.resources.requests.clone(),
            limits: container.resources.limits.clone(),
        },
        runs: Runs::Always,
    });
    let init = spec.rest.get("initContainers").and_then(Value::as_array).into_iter().flatten().map(|container| {
        let amounts = |what: &str| {
            let said = container.get("resources").and_then(|resources| resources.get(what)).unwrap_or(&Value::Null);
            Amounts::deserialize(said).unwrap_or_default()
        };
        let goes_on = container.get("restartPolicy").and_then(Value::as_str) == Some("Always");
        OfContainer {
            name: container.get("name").and_then(Value::as_str).unwrap_or_default().into(),
            resources: Resources { requests: amounts("requests"), limits: amounts("limits") },
            runs: if goes_on { Runs::FromThenOn } else { Runs::Before },
        }
    });
    main.chain(init).collect()
}

/// What a pod asks for at any one time at most: all that run together, or one that runs before them if that is more.
pub fn of_pod(spec: &PodSpec) -> Resources {
    let containers = of_containers(spec);
    let total = |of: fn(&Resources) -> &Amounts| {
        let mut all: BTreeMap<&Text, Quantity> = BTreeMap::new();
        let mut most: BTreeMap<&Text, Quantity> = BTreeMap::new();
        let mut before: BTreeMap<&Text, Quantity> = BTreeMap::new();
        for container in &containers {
            for (name, amount) in of(&container.resources) {
                let sum = |has: Option<&Quantity>| has.map_or_else(|| amount.clone(), |has| has.plus(amount));
                if container.runs != Runs::Before {
                    let so_far = sum(all.get(name));
                    all.insert(name, so_far);
                }
                if container.runs == Runs::FromThenOn {
                    let so_far = sum(before.get(name));
                    before.insert(name, so_far);
                }
                if container.runs == Runs::Before {
                    let with_others = sum(before.get(name));
                    let most = most.entry(name).or_default();
                    *most = with_others.max(std::mem::take(most));
                }
            }
        }
        for (name, amount) in most {
            let has = all.entry(name).or_default();
            *has = amount.max(std::mem::take(has));
        }
        all.into_iter().map(|(name, amount)| (name.clone(), amount)).collect::<BTreeMap<Text, Quantity>>()
    };
    let (mut requests, mut limits) = (total(|one| &one.requests), total(|one| &one.limits));
    for (name, more) in &spec.overhead {
        let has = requests.entry(name.clone()).or_default();
        *has = has.plus(more);
        // What is not limited is not limited by it either.
        if let Some(has) = limits.get_mut(name) {
            *has = has.plus(more);
        }
    }
    Resources { requests: requests.into_iter().collect(), limits: limits.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_runs_together_is_added() {
        let check = |spec: Value, want: &str| {
            let read: PodSpec = serde_json::from_value(spec.clone()).unwrap();
            let told = of_pod(&read).requests;
            assert_eq!(told.get("cpu").map(ToString::to_string).as_deref(), Some(want), "{spec}");
        };
        let asks = |cpu: &str, policy: Option<&str>| json!({"name": "c", "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
        let main = json!([{"name": "a", "resources": {"requests": {"cpu": "1"}}}, {"name": "b", "resources": {"requests": {"cpu": "500m"}}}]);
        check(json!({"containers": main}), "1500m");
        check(json!({"containers": main, "initContainers": [asks("1", None)]}), "1500m");
        check(json!({"containers": main, "initContainers": [asks("4", None), asks("3", None)]}), "4");
        check(json!({"containers": main, "initContainers": [asks("1", Some("Always"))]}), "2500m");
        check(json!({"containers": main, "initContainers": [asks("1", Some("Always")), asks("2", None)]}), "3");
        check(json!({"containers": main, "overhead": {"cpu": "250m"}}), "1750m");
    }
}
