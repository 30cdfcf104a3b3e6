//! S-given: A pod that is made is given the priority of its class, a service account, five minutes on nodes that are unwell, and its limits as requests, unless it says otherwise; what it says itself it keeps. None is refused because its namespace has only just been made and has no service account yet.
//!
//! What admission answers is judged against what was asked for; whoever decides later goes by what is stored, and would not
//! notice. Catches: a class that has no effect; pods that leave a node as soon as it is tainted; pods that take room and
//! show no requests; a new namespace in which nothing can be made for a moment.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace::DEFAULT_ACCOUNT;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodSpec};
use miniku_core::api::status::Status;
use miniku_core::api::text::Text;
use miniku_core::api::toleration::Toleration;
use miniku_core::program::{Answer, RequestId, Verb};
use miniku_core::time::{Duration, Instant};
use serde_json::Value;
use std::collections::BTreeMap;

/// So long an answer may be about what was stored before.
const DECIDED: Duration = Duration::from_secs(60);

/// Source: Kubernetes documentation, "Taints and Tolerations", taint based evictions.
const UNWELL: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const UNWELL_SECONDS: i64 = 300;

/// The pods that were asked for.
#[derive(Default)]
pub struct Given {
    asked: BTreeMap<RequestId, Object>,
    /// When classes were changed, or taken away.
    classes: BTreeMap<Text, Instant>,
    /// The namespace of which the API server was told last that it is made, and when.
    made: Option<(Text, Instant)>,
}

/// Whether it says anything of what this taint does to running pods.
fn is_about(toleration: &Toleration, taint: &str) -> bool {
    (toleration.key.is_empty() || toleration.key == taint) && matches!(&*toleration.effect, "" | "NoExecute")
}

/// What is wrong with the tolerations that were given.
fn tolerates_otherwise(asked: &PodSpec, given: &PodSpec) -> Option<String> {
    if let Some(lost) = asked.tolerations.iter().find(|one| !given.tolerations.contains(one)) {
        return Some(format!("it tolerates {} no more", lost.key));
    }
    UNWELL.into_iter().find_map(|taint| {
        let said = asked.tolerations.iter().any(|one| is_about(one, taint));
        let for_a_while = |one: &Toleration| {
            one.key == taint && is_about(one, taint) && one.toleration_seconds == Some(UNWELL_SECONDS)
        };
        let is = said || given.tolerations.iter().any(for_a_while);
        (!is).then(|| format!("it says nothing of {taint}, and is given nothing"))
    })
}

/// What is wrong with what its containers request: who has a limit and says no request requests the limit.
///
/// Source: Kubernetes documentation, "Resource Management for Pods and Containers".
fn requests_otherwise(asked: &PodSpec, given: &PodSpec) -> Option<String> {
    asked.containers.iter().find_map(|wish| {
        let container = given.containers.iter().find(|one| one.name == wish.name)?;
        let (said, limits) = (&wish.resources.requests, &wish.resources.limits);
        let implied = limits.iter().filter(|(name, _)| !said.contains_key(name));
        let requests = &container.resources.requests;
        let (name, amount) = said.iter().chain(implied).find(|(name, amount)| requests.get(name) != Some(*amount))?;
        let is = requests.get(name).map_or("none".to_owned(), ToString::to_string);
        Some(format!("{} is to request {amount} of {name}, and requests {is}", wish.name))
    })
}

impl Given {
    /// What is wrong with the priority that was given.
    fn weighs_otherwise(&self, truth: &Truth, asked: &PodSpec, given: &PodSpec) -> Option<String> {
        let (wanted, class) = (&asked.priority_class_name, &given.priority_class_name);
        if !wanted.is_empty() && wanted != class {
            return Some(format!("it asks for the class {wanted:?} and is given {class:?}"));
        }
        let (value, policy) = if class.is_empty() {
            (0, "PreemptLowerPriority")
        } else {
            if self.classes.get(class).is_some_and(|at| truth.now.since(*at) < DECIDED) {
                return None;
            }
            let stored = truth.object(&Key::new(Kind::PriorityClass, "", class))?;
            let policy = stored.at(&["preemptionPolicy"]).and_then(Value::as_str).unwrap_or_default();
            (stored.at(&["value"]).and_then(Value::as_i64).unwrap_or(0), policy)
        };
        if given.priority.map(i64::from) != Some(value) {
            return Some(format!("its class {class:?} has the value {value}, and it is given {:?}", given.priority));
        }
        let is = given.preemption_policy.map_or("", |policy| policy.as_str());
        (!policy.is_empty() && is != policy).then(|| format!("its class {class:?} says {policy}, and it is given {is}"))
    }

    fn is_given(&self, truth: &Truth, asked: &Object, given: &Object) -> Result<(), Broken> {
        let (Some(wish), Some(pod)) = (asked.get::<Pod>(), given.get::<Pod>()) else { return Ok(()) };
        let (wish, spec) = (&wish.spec, &pod.spec);
        let account = [&*wish.service_account_name, &*wish.service_account, DEFAULT_ACCOUNT];
        let account = account.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let runs_as = &spec.service_account_name;
        let otherwise = (*runs_as != account).then(|| format!("it is to be {account}, and is {runs_as:?}"));
        let wrong = otherwise
            .or_else(|| tolerates_otherwise(wish, spec))
            .or_else(|| requests_otherwise(wish, spec))
            .or_else(|| self.weighs_otherwise(truth, wish, spec));
        match wrong {
            Some(wrong) => Err(Broken::by(format!("{}: {wrong}", given.key())).with([asked, given])),
            None => Ok(()),
        }
    }

    /// A pod is refused: whether for want of the account that its namespace is about to get, and for which it has waited.
    fn is_refused(&self, truth: &Truth, asked: &Object, status: &Status) -> Result<(), Broken> {
        let namespace = &asked.meta().namespace;
        let lacks = status.message.contains(&format!("error looking up service account {namespace}/{DEFAULT_ACCOUNT}"));
        // Later the account may be lacking since it could not be written.
        let is_new = self.made.as_ref().is_some_and(|(name, at)| name == namespace && *at == truth.now);
        match lacks && is_new {
            true => {
                let what = format!("{} is refused in a new namespace: {}", asked.key(), status.message);
                Err(Broken::by(what).with([asked]))
            }
            false => Ok(()),
        }
    }
}

impl Checker for Given {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered, Sight::Durable, Sight::Told, Sight::Recovered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { id, request, .. } => {
                if let Verb::Create { object } = &request.verb
                    && object.kind() == Kind::Pod
                {
                    self.asked.insert(*id, object.clone());
                }
            }
            Fact::Answered { id, answer } => {
                let Some(asked) = self.asked.remove(id) else { return Ok(()) };
                return match answer {
                    Answer::Object { object, .. } => self.is_given(truth, &asked, object),
                    Answer::Refused(status) => self.is_refused(truth, &asked, status),
                    _ => Ok(()),
                };
            }
            Fact::Durable { change } if change.key.kind == Kind::PriorityClass && change.old.is_some() => {
                self.classes.insert(change.key.name.clone(), truth.now);
            }
            Fact::Told { change } if change.key.kind == Kind::Namespace && change.old.is_none() => {
                self.made = Some((change.key.name.clone(), truth.now));
            }
            // Whatever was asked for before is answered no more.
            Fact::Recovered { .. } => self.asked.clear(),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::api::status::Reason;
    use serde_json::json;

    fn pod(namespace: &str, spec: &Value) -> Object {
        let mut pod = json!({"kind": "Pod", "metadata": {"name": "a", "namespace": namespace}, "spec": spec});
        pod["spec"]["containers"] = json!([{"name": "c", "image": "busybox"}]);
        crate::plan::object(pod)
    }

    fn ask(story: &mut Story<Given>, namespace: &str, spec: &Value) {
        story.sends(&who(Role::Operator, "operator"), Verb::Create { object: pod(namespace, spec) }).unwrap();
    }

    fn unwell(taint: &str, secs: i64) -> Value {
        json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": secs})
    }

    fn usual() -> Value {
        json!({"serviceAccountName": "default", "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": UNWELL.map(|taint| unwell(taint, 300))})
    }

    #[test]
    fn fires_on_what_is_not_given() {
        let check = |asked: Value, given: Value, want: &str| {
            let mut story = Story::<Given>::new();
            story
                .put(json!({"kind": "PriorityClass", "metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"}))
                .unwrap();
            ask(&mut story, "default", &asked);
            let mut spec = usual();
            for (name, value) in given.as_object().unwrap() {
                spec[name] = value.clone();
            }
            let answer = Answer::Object { object: pod("default", &spec), created: true };
            let told = story.answers(1, &answer);
            let told = told.err().map(|broken| broken.what).unwrap_or_default();
            assert!(told.contains(want) && told.is_empty() == want.is_empty(), "{asked} {given}: {told}");
        };
        let high = || json!({"priorityClassName": "high"});
        check(json!({}), json!({}), "");
        check(json!({}), json!({"priority": 1}), "has the value 0");
        check(high(), json!({}), "asks for the class");
        check(high(), json!({"priorityClassName": "high", "priority": 7, "preemptionPolicy": "Never"}), "");
        check(high(), json!({"priorityClassName": "high"}), "has the value 7, and it is given Some(0)");
        check(high(), json!({"priorityClassName": "high", "priority": 7}), "says Never");
        check(json!({"serviceAccountName": "robot"}), json!({}), "it is to be robot");
        check(json!({}), json!({"tolerations": []}), "says nothing of node.kubernetes.io/not-ready");
        check(json!({}), json!({"tolerations": UNWELL.map(|taint| unwell(taint, 30))}), "is given nothing");
        check(json!({"tolerations": [unwell("team", 9)]}), json!({}), "tolerates team no more");
        let own = json!({"tolerations": [unwell(UNWELL[0], 9), unwell(UNWELL[1], 300)]});
        check(json!({"tolerations": [unwell(UNWELL[0], 9)]}), own, "");
    }

    #[test]
    fn fires_on_requests_that_are_not_given() {
        let breaks = |asked: Value, given: Value| {
            let with = |resources: Value, spec: &Value| {
                let mut pod = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
                pod["spec"]["containers"] = json!([{"name": "c", "image": "busybox", "resources": resources}]);
                crate::plan::object(pod)
            };
            let mut story = Story::<Given>::new();
            let object = with(asked, &json!({}));
            story.sends(&who(Role::Operator, "operator"), Verb::Create { object }).unwrap();
            story.answers(1, &Answer::Object { object: with(given, &usual()), created: true }).is_err()
        };
        let limits = || json!({"limits": {"cpu": "1"}});
        assert!(breaks(limits(), limits()));
        assert!(breaks(limits(), json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}})));
        assert!(!breaks(limits(), json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1000m"}})));
        let both = || json!({"limits": {"cpu": "1"}, "requests": {"cpu": "200m"}});
        assert!(!breaks(both(), both()));
        assert!(breaks(both(), json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})));
        // Who says nothing may be given something.
        assert!(!breaks(json!({}), both()));
    }

    #[test]
    fn fires_on_a_namespace_that_is_not_ready() {
        let refused = |later: bool, said: bool| {
            let mut story = Story::<Given>::new();
            ask(&mut story, "team", &json!({}));
            let change = story.put(json!({"kind": "Namespace", "metadata": {"name": "team", "uid": "team"}})).unwrap();
            story.see(Fact::Told { change: &change }).unwrap();
            if later {
                story.pass(1).unwrap();
            }
            let why = if said { "error looking up service account team/default: not found" } else { "too many" };
            let answer = Answer::Refused(Status::failure(Reason::Forbidden, why));
            story.answers(1, &answer).is_err()
        };
        assert!(refused(false, true));
        assert!(!refused(true, true), "it may not have been stored");
        assert!(!refused(false, false));
    }

    #[test]
    fn a_class_that_was_made_anew_may_have_been_another() {
        let mut story = Story::<Given>::new();
        let class = |value: i32| json!({"kind": "PriorityClass", "metadata": {"name": "high"}, "value": value});
        story.put(class(7)).unwrap();
        story.put(class(8)).unwrap();
        let asked = |story: &mut Story<Given>| {
            ask(story, "default", &json!({"priorityClassName": "high"}));
            let mut spec = usual();
            (spec["priorityClassName"], spec["priority"]) = ("high".into(), 7.into());
            let answer = Answer::Object { object: pod("default", &spec), created: true };
            story.answers(1, &answer)
        };
        asked(&mut story).unwrap();
        story.pass(60).unwrap();
        assert!(asked(&mut story).is_err());
    }
}
