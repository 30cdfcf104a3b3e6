//! What a pod is given when it is made: a service account, a priority, and a while on nodes that are unwell.
//!
//! What it gets depends on other objects, which makes it no default. Templates stay as their authors wrote them.
//!
//! Source: Kubernetes, `plugin/pkg/admission/serviceaccount`, `priority` and `defaulttolerationseconds`.

use crate::api::kinds::Kind;
use crate::api::namespace::DEFAULT_ACCOUNT;
use crate::api::object::{Key, Object};
use crate::api::plain::{count, items, text};
use crate::api::pod::{Pod, PodSpec, PreemptionPolicy};
use crate::api::status::Status;
use crate::api::text::Text;
use crate::api::validation::SYSTEM_CLASSES;
use crate::patch::Patch;
use crate::program::Verb;
use crate::store::Store;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a pod is given.
#[derive(Debug)]
pub struct Grant {
    account: Text,
    pull_secrets: Vec<Value>,
    priority: Priority,
}

/// What a priority class says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Priority {
    class: Text,
    value: i32,
    preemption: Option<PreemptionPolicy>,
}

/// Decides what a pod that is to be made is given. `called` is its name, as far as that is known.
pub fn grant(store: &Store, namespace: &Text, called: &str, pod: &Pod) -> Result<Grant, Status> {
    let spec = &*pod.spec;
    let forbidden = |why: &str| Status::forbidden(Kind::Pod, called, why);
    let account = account(&spec.service_account_name, &spec.service_account);
    let Some(found) = store.get(&Key::new(Kind::ServiceAccount, namespace, &account)) else {
        let why = format!(
            "error looking up service account {namespace}/{account}: serviceaccount {:?} not found",
            account.as_str()
        );
        return Err(forbidden(&why));
    };
    let pull_secrets = match spec.rest.get("imagePullSecrets") {
        Some(own) if own.as_array().is_some_and(|own| !own.is_empty()) => Vec::new(),
        _ => items(found, &["imagePullSecrets"]).to_vec(),
    };
    let priority = priority(store, spec).map_err(|why| forbidden(&why))?;
    Ok(Grant { account, pull_secrets, priority })
}

/// The service account that is meant by the field's new and old name.
fn account(new: &str, old: &str) -> Text {
    let said = [new, old].into_iter().find(|name| !name.is_empty());
    said.unwrap_or(DEFAULT_ACCOUNT).into()
}

/// The priority of a pod that is to be made, or why it can have none.
fn priority(store: &Store, spec: &PodSpec) -> Result<Priority, String> {
    let priority = match &*spec.priority_class_name {
        "" => default_class(store).map_or(Priority::none(), Priority::of),
        name => match store.get(&Key::new(Kind::PriorityClass, "", name)) {
            Some(class) => Priority::of(class),
            None => return Err(format!("no PriorityClass with name {name} was found")),
        },
    };
    if let Some(said) = spec.priority.filter(|said| *said != priority.value) {
        return Err(format!(
            "the integer value of priority ({said}) must not be provided in pod spec; priority admission controller \
             computed {} from the given PriorityClass name",
            priority.value
        ));
    }
    if let (Some(said), Some(is)) = (spec.preemption_policy, priority.preemption)
        && said != is
    {
        return Err(format!(
            "the string value of PreemptionPolicy ({said}) must not be provided in pod spec; priority admission \
             controller computed {is} from the given PriorityClass name"
        ));
    }
    Ok(priority)
}

/// The class of pods that name none: of several that say they are it, the least important.
fn default_class(store: &Store) -> Option<&Object> {
    let nowhere = Text::default();
    let all = store.of_namespace(Kind::PriorityClass, &nowhere);
    all.filter(|class| is_default(class)).min_by_key(|class| count(class, &["value"]))
}

fn is_default(class: &Object) -> bool {
    class.at(&["globalDefault"]) == Some(&Value::Bool(true))
}

/// Refuses a second class for all pods that name none.
///
/// Source: Kubernetes, `plugin/pkg/admission/priority`, `validatePriorityClass`.
pub fn only_one_default(store: &Store, class: &Object) -> Result<(), Status> {
    match default_class(store).map(|other| &other.meta().name) {
        Some(other) if is_default(class) && *other != class.meta().name => {
            let why = format!("PriorityClass {other} is already marked as default. Only one default can exist");
            Err(Status::forbidden(Kind::PriorityClass, &class.meta().name, &why))
        }
        _ => Ok(()),
    }
}

/// The classes that every cluster has.
pub fn system_classes() -> impl Iterator<Item = Object> {
    SYSTEM_CLASSES.iter().map(|(name, value, description)| {
        let mut class = Object::empty(Kind::PriorityClass).with_meta(|meta| meta.name = (*name).into());
        class.edit_plain(|rest| {
            rest.insert("value", json!(value));
            rest.insert("description", json!(description));
        });
        class
    })
}

impl Priority {
    /// That of pods where no class is for all.
    ///
    /// Source: `pkg/apis/scheduling`, `DefaultPriorityWhenNoDefaultClassExists`.
    fn none() -> Self {
        Priority { class: Text::default(), value: 0, preemption: Some(PreemptionPolicy::PreemptLowerPriority) }
    }

    fn of(class: &Object) -> Self {
        let word = text(class, &["preemptionPolicy"]);
        Priority {
            class: class.meta().name.clone(),
            // The schema has it of 32 bits.
            value: count(class, &["value"]).clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            preemption: PreemptionPolicy::ALL.iter().copied().find(|policy| policy.as_str() == word),
        }
    }
}

impl Grant {
    /// Gives it to the pod.
    pub fn give(self, pod: &mut Object) {
        let Grant { account, pull_secrets, priority } = self;
        pod.edit_as(|pod: &mut Pod| {
            let spec = Arc::make_mut(&mut pod.spec);
            spec.service_account = account.clone();
            spec.service_account_name = account;
            if !pull_secrets.is_empty() {
                spec.rest.insert("imagePullSecrets", Value::Array(pull_secrets));
            }
            spec.priority_class_name = priority.class;
            spec.priority = Some(if planted!(ClassValueIgnored) { 0 } else { priority.value });
            spec.preemption_policy = priority.preemption.or(spec.preemption_policy);
            if !spec.tolerations.are_complete() && !planted!(TolerationsNotGiven) {
                spec.tolerations = spec.tolerations.completed();
            }
        });
    }
}

/// The objects that decide what is given to the pod that this makes, if it makes one. While one of them is being written
/// the pod waits: a namespace that is new has no service account for a moment.
pub fn decided_by(verb: &Verb) -> Vec<Key> {
    let (namespace, names) = match verb {
        Verb::Create { object } => match object.get::<Pod>() {
            Some(pod) => {
                let spec = &pod.spec;
                let names = [&spec.service_account_name, &spec.service_account, &spec.priority_class_name];
                (pod.metadata.namespace.clone(), names.map(Text::clone))
            }
            None => return Vec::new(),
        },
        Verb::Patch { key, patch: Patch::Apply { configuration, .. }, .. } if key.kind == Kind::Pod => {
            let text = |at: &str| Text::from(configuration.pointer(at).and_then(Value::as_str).unwrap_or(""));
            let names = ["/spec/serviceAccountName", "/spec/serviceAccount", "/spec/priorityClassName"].map(text);
            (key.namespace.clone(), names)
        }
        _ => return Vec::new(),
    };
    let [new, old, class] = names;
    let account = Key { namespace, name: account(&new, &old), kind: Kind::ServiceAccount };
    let class = (!class.is_empty()).then(|| Key::new(Kind::PriorityClass, "", &class));
    [account].into_iter().chain(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Revision;

    fn store(objects: &[(Kind, Value)]) -> Store {
        let mut store = Store::default();
        for (nth, (kind, value)) in objects.iter().enumerate() {
            let object = Object::from_value(*kind, value.clone()).unwrap();
            store.apply(&object.key(), Some(object), Revision(nth as u64 + 1));
        }
        store
    }

    fn account(name: &str) -> (Kind, Value) {
        let secrets = if name == "robot" { json!([{"name": "pull"}]) } else { json!([]) };
        (Kind::ServiceAccount, json!({"metadata": {"name": name, "namespace": "n"}, "imagePullSecrets": secrets}))
    }

    fn class(name: &str, value: i32, default: bool, policy: &str) -> (Kind, Value) {
        let class =
            json!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": policy});
        (Kind::PriorityClass, class)
    }

    /// What becomes of a pod with this spec.
    fn given(store: &Store, spec: Value) -> Result<Value, String> {
        let mut pod = Object::from_value(Kind::Pod, json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        let grant = grant(store, &"n".into(), "p", pod.get().unwrap()).map_err(|status| status.message)?;
        grant.give(&mut pod);
        Ok(pod.to_value()["spec"].take())
    }

    #[test]
    fn a_pod_has_a_service_account() {
        let store = store(&[account("default"), account("robot")]);
        let check = |spec: Value, want: Result<[&str; 2], &str>| {
            let told = given(&store, spec.clone());
            let names = told.as_ref().map(|spec| {
                ["serviceAccountName", "serviceAccount"].map(|name| spec[name].as_str().unwrap_or_default())
            });
            assert_eq!(names.map_err(String::as_str), want, "{spec}");
        };
        check(json!({}), Ok(["default"; 2]));
        check(json!({"serviceAccount": "robot"}), Ok(["robot"; 2]));
        check(json!({"serviceAccountName": "robot", "serviceAccount": "default"}), Ok(["robot"; 2]));
        check(
            json!({"serviceAccountName": "x"}),
            Err(r#"pods "p" is forbidden: error looking up service account n/x: serviceaccount "x" not found"#),
        );
        let secrets = |spec: Value| given(&store, spec).unwrap()["imagePullSecrets"].clone();
        assert_eq!(secrets(json!({"serviceAccountName": "robot"})), json!([{"name": "pull"}]));
        let own = json!([{"name": "own"}]);
        assert_eq!(secrets(json!({"serviceAccountName": "robot", "imagePullSecrets": own})), own);
        assert_eq!(secrets(json!({})), Value::Null);
    }

    #[test]
    fn a_pod_has_the_priority_of_its_class() {
        let with = |more: &[(Kind, Value)]| {
            store(
                &[&[account("default"), class("high", 7, false, "Never"), class("plain", 3, false, "")][..], more]
                    .concat(),
            )
        };
        let check = |store: &Store, spec: Value, want: Result<Value, &str>| {
            let told = given(store, spec.clone())
                .map(|spec| json!([spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]]));
            assert_eq!(told.as_ref().map_err(String::as_str), want.as_ref().map_err(|why| *why), "{spec}");
        };
        let none = with(&[]);
        check(&none, json!({}), Ok(json!([null, 0, "PreemptLowerPriority"])));
        check(&none, json!({"priority": 0}), Ok(json!([null, 0, "PreemptLowerPriority"])));
        check(&none, json!({"priorityClassName": "high"}), Ok(json!(["high", 7, "Never"])));
        check(&none, json!({"priorityClassName": "high", "priority": 7}), Ok(json!(["high", 7, "Never"])));
        check(
            &none,
            json!({"priorityClassName": "plain", "preemptionPolicy": "Never"}),
            Ok(json!(["plain", 3, "Never"])),
        );
        check(
            &none,
            json!({"priorityClassName": "x"}),
            Err(r#"pods "p" is forbidden: no PriorityClass with name x was found"#),
        );
        check(
            &none,
            json!({"priority": 7}),
            Err(
                r#"pods "p" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"#,
            ),
        );
        check(
            &none,
            json!({"preemptionPolicy": "Never"}),
            Err(
                r#"pods "p" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name"#,
            ),
        );
        let all = with(&[class("b", 9, true, "Never"), class("a", 10, true, "Never")]);
        check(&all, json!({}), Ok(json!(["b", 9, "Never"])));
        check(&all, json!({"priorityClassName": "plain"}), Ok(json!(["plain", 3, null])));
    }

    #[test]
    fn one_class_is_for_all_others() {
        let store = store(&[class("a", 1, true, "")]);
        let check = |(kind, value): (Kind, Value)| {
            only_one_default(&store, &Object::from_value(kind, value).unwrap()).map_err(|status| status.message)
        };
        assert_eq!(check(class("a", 1, true, "")), Ok(()));
        assert_eq!(check(class("b", 1, false, "")), Ok(()));
        let why = r#"priorityclasses.scheduling.k8s.io "b" is forbidden: PriorityClass a is already marked as default. Only one default can exist"#;
        assert_eq!(check(class("b", 1, true, "")), Err(why.into()));
    }
}
