//! MiniKu's flat objects at `/pods`, `/replicasets` and `/nodes`.
//!
//! A pod of this dialect is one container that is never restarted: when it ends the pod is Failed (or Succeeded), and its
//! set makes another. A start that fails is tried again three times. All objects are in the namespace `default`.

use crate::api::by_name::ByName;
use crate::api::kinds::Kind;
use crate::api::meta::{Labels, Time};
use crate::api::namespace::DEFAULT;
use crate::api::node::{Node, NodeCondition};
use crate::api::object::{Object, Resource};
use crate::api::pod::{Container, EnvVar, Pod, PodSpec, RestartPolicy, START_RETRIES};
use crate::api::replicaset::ReplicaSet;
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::program::{Answer, Part, Verb};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a start that failed is tried again. Source: MiniKu, `retry_count`.
const RETRIES: &str = "3";

/// Go's zero time, which MiniKu shows where there is none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// A pod, or the template of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlatSpec {
    /// The pod's name; empty in a template.
    pub name: String,
    /// What its container runs from.
    pub image: String,
    /// The node it is bound to; empty before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Text>,
    /// The program and its arguments; the image's if empty.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub command: Vec<Text>,
    /// Environment variables.
    #[serde(skip_serializing_if = "ByName::is_empty", deserialize_with = "or_default")]
    pub env: ByName<Text>,
    /// What it can be selected by.
    #[serde(skip_serializing_if = "ByName::is_empty", deserialize_with = "or_default")]
    pub labels: Labels,
    /// Fields that this dialect does not have.
    #[serde(flatten, skip_serializing)]
    pub unknown: BTreeMap<String, Value>,
}

/// A pod and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlatPod {
    /// What is wished.
    pub spec: FlatSpec,
    /// `Pending`, `Running`, `Succeeded` or `Failed`. Written by the kubelet; ignored in requests.
    pub status: String,
    /// The container's id, once it has been started.
    #[serde(rename = "containerId", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// Why it is in this state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How often its start failed.
    pub retry_count: i32,
    /// When the next start is due.
    pub next_retry_at: String,
    /// Fields that this dialect does not have.
    #[serde(flatten, skip_serializing)]
    pub unknown: BTreeMap<String, Value>,
}

/// A replica set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FlatReplicaSet {
    /// Its name.
    pub name: String,
    /// How many pods are wished.
    pub desired_count: i32,
    /// How many there are. Written by the controller; ignored in requests.
    pub current_count: i32,
    /// The labels of its pods.
    pub selector: Labels,
    /// What its pods look like.
    pub template: FlatSpec,
    /// Fields that this dialect does not have.
    #[serde(flatten, skip_serializing)]
    pub unknown: BTreeMap<String, Value>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlatNode {
    /// Its name.
    pub name: String,
    /// `Ready` or `NotReady`.
    pub status: String,
    /// When it was last heard of, as far as its status tells.
    pub time: String,
    /// Fields that this dialect does not have.
    #[serde(flatten, skip_serializing)]
    pub unknown: BTreeMap<String, Value>,
}

fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// The kind that a first path segment means in this dialect.
pub fn kind(segment: &str) -> Option<Kind> {
    match segment {
        "pods" => Some(Kind::Pod),
        "replicasets" => Some(Kind::ReplicaSet),
        "nodes" => Some(Kind::Node),
        _ => None,
    }
}

/// Reads a flat object of this kind. `name`, from the path, replaces the one in the body.
///
/// With the paths of the fields that are left out, since this dialect has no such field.
pub fn read(kind: Kind, name: Option<&str>, body: &[u8]) -> Result<(Object, Vec<String>), String> {
    let wrong = |error: serde_json::Error| format!("invalid request body: {error}");
    let below = |prefix: &str, unknown: &BTreeMap<String, Value>| {
        unknown.keys().map(|field| format!("{prefix}{field}")).collect::<Vec<_>>()
    };
    Ok(match kind {
        Kind::Pod => {
            let mut flat: FlatPod = serde_json::from_slice(body).map_err(wrong)?;
            flat.spec.name = name.unwrap_or(&flat.spec.name).to_owned();
            let unknown = [below("", &flat.unknown), below("spec.", &flat.spec.unknown)].concat();
            (pod(&flat).into_object(), unknown)
        }
        Kind::ReplicaSet => {
            let mut flat: FlatReplicaSet = serde_json::from_slice(body).map_err(wrong)?;
            flat.name = name.unwrap_or(&flat.name).to_owned();
            let unknown = [below("", &flat.unknown), below("template.", &flat.template.unknown)].concat();
            (replica_set(&flat).into_object(), unknown)
        }
        _ => {
            let mut flat: FlatNode = serde_json::from_slice(body).map_err(wrong)?;
            flat.name = name.unwrap_or(&flat.name).to_owned();
            (node(&flat).into_object(), below("", &flat.unknown))
        }
    })
}

/// Shows an object in this dialect as JSON text, in the order its README has; absent for kinds it has no words for.
pub fn show(object: &Object) -> Option<String> {
    let flat = match object.kind() {
        Kind::Pod => serde_json::to_string(&flat_pod(object.get()?)),
        Kind::ReplicaSet => serde_json::to_string(&flat_replica_set(object.get()?)),
        Kind::Node => serde_json::to_string(&flat_node(object.get()?)),
        _ => return None,
    };
    Some(flat.expect("flat objects have string keys and finite numbers"))
}

/// What a PUT makes of the stored object: what this dialect can say comes from `new`, all else stays.
pub fn updated(stored: &Object, new: &Object) -> Object {
    let object = stored.with(|pod: &mut Pod| {
        let Some(new) = new.get::<Pod>() else { return };
        pod.metadata.labels.clone_from(&new.metadata.labels);
        put_spec(Arc::make_mut(&mut pod.spec), &new.spec);
    });
    let object = object.with(|set: &mut ReplicaSet| {
        let Some(new) = new.get::<ReplicaSet>() else { return };
        set.spec.replicas = new.spec.replicas;
        set.spec.selector.match_labels.clone_from(&new.spec.selector.match_labels);
        let (template, new) = (&mut set.spec.template, &new.spec.template);
        template.metadata.labels.clone_from(&new.metadata.labels);
        put_spec(Arc::make_mut(&mut template.spec), &new.spec);
    });
    object.with(|node: &mut Node| {
        if let Some(new) = new.get::<Node>() {
            node.status.conditions.retain(|condition| condition.kind != "Ready");
            node.status.conditions.extend(new.status.conditions.iter().cloned());
        }
    })
}

/// Puts the one container that this dialect knows into a pod's. What comes back as it was shown stays as it is stored, where
/// that is more: arguments beside a command, variables whose values come from elsewhere, and their order.
fn put_spec(spec: &mut PodSpec, new: &PodSpec) {
    for (container, new) in Arc::make_mut(&mut spec.containers).iter_mut().zip(&*new.containers) {
        container.image.clone_from(&new.image);
        if !container.command.iter().chain(&container.args).eq(&new.command) {
            container.command.clone_from(&new.command);
            container.args.clear();
        }
        container.env.retain(|one| new.env.iter().any(|wished| wished.name == one.name));
        for wished in &new.env {
            // Of several of one name the last counts, and is shown.
            match container.env.iter_mut().rfind(|one| one.name == wished.name) {
                Some(one) if one.value == wished.value => {}
                Some(one) => *one = wished.clone(),
                None => container.env.push(wished.clone()),
            }
        }
    }
}

/// POST and PUT of this dialect: an object is stored whether it is new or not, as a story of ordinary requests.
#[derive(Debug)]
pub struct Put {
    object: Object,
    asked: Asked,
    conflicts: u32,
}

/// What a [`Put`] waits to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Create,
    Get,
    Update,
}

/// How a [`Put`] goes on.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// This is asked, and its answer handed to [`Put::next`].
    Ask(Verb),
    /// This is the answer to the whole.
    Done(Answer),
}

/// So often somebody else may write in between.
const CONFLICTS_MAX: u32 = 5;

impl Put {
    /// Begins with its creation.
    pub fn begin(object: Object) -> (Self, Verb) {
        let verb = Verb::Create { object: object.clone() };
        (Put { object, asked: Asked::Create, conflicts: 0 }, verb)
    }

    /// Goes on after an answer: what exists is read and changed, on what somebody else wrote if need be.
    pub fn next(&mut self, answer: Answer) -> Next {
        let reason = match &answer {
            Answer::Refused(status) => status.reason,
            _ => None,
        };
        match (self.asked, answer) {
            (Asked::Create, _) if reason == Some(Reason::AlreadyExists) => self.read(),
            (Asked::Get, Answer::Object { object, .. }) => {
                self.asked = Asked::Update;
                let part = if object.kind() == Kind::Node { Part::Status } else { Part::Main };
                Next::Ask(Verb::Update { object: updated(&object, &self.object), part })
            }
            (Asked::Update, _) if reason == Some(Reason::Conflict) && self.conflicts < CONFLICTS_MAX => {
                self.conflicts += 1;
                self.read()
            }
            // Somebody removed it in between.
            (Asked::Get | Asked::Update, _) if reason == Some(Reason::NotFound) && self.conflicts < CONFLICTS_MAX => {
                self.conflicts += 1;
                self.asked = Asked::Create;
                Next::Ask(Verb::Create { object: self.object.clone() })
            }
            (_, answer) => Next::Done(answer),
        }
    }

    fn read(&mut self) -> Next {
        self.asked = Asked::Get;
        Next::Ask(Verb::Get { key: self.object.key() })
    }
}

fn pod(flat: &FlatPod) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = flat.spec.name.as_str().into();
    pod.metadata.namespace = DEFAULT.into();
    pod.metadata.labels = flat.spec.labels.clone();
    pod.metadata.annotations = annotations();
    pod.spec = Arc::new(spec(&flat.spec, "main"));
    pod
}

fn annotations() -> Labels {
    [(START_RETRIES, RETRIES.into())].into()
}

fn spec(flat: &FlatSpec, container: &str) -> PodSpec {
    let env =
        flat.env.iter().map(|(name, value)| EnvVar { name: name.clone(), value: value.clone(), ..Default::default() });
    PodSpec {
        containers: Arc::new(vec![Container {
            name: container.into(),
            image: flat.image.as_str().into(),
            command: flat.command.clone(),
            env: env.collect(),
            ..Default::default()
        }]),
        restart_policy: RestartPolicy::Never,
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        node_name: flat.node_name.clone().unwrap_or_default(),
        ..Default::default()
    }
}

/// From SIGTERM to SIGKILL. Source: MiniKu, the runtime's stop.
const GRACE_SECONDS: i64 = 10;

fn replica_set(flat: &FlatReplicaSet) -> ReplicaSet {
    let mut set = ReplicaSet::default();
    set.metadata.name = flat.name.as_str().into();
    set.metadata.namespace = DEFAULT.into();
    set.spec.replicas = Some(flat.desired_count);
    set.spec.selector.match_labels = flat.selector.clone();
    set.spec.template.metadata.annotations = annotations();
    // MiniKu's pods have the selector for labels; the template's own come beside them.
    set.spec.template.metadata.labels = flat.template.labels.clone();
    set.spec.template.metadata.labels.extend(flat.selector.clone());
    set.spec.template.spec = Arc::new(spec(&FlatSpec { node_name: None, ..flat.template.clone() }, "main"));
    set
}

fn node(flat: &FlatNode) -> Node {
    let mut node = Node::default();
    node.metadata.name = flat.name.as_str().into();
    let ready = if flat.status == "Ready" { "True" } else { "False" };
    node.status.conditions.push(NodeCondition {
        kind: "Ready".into(),
        status: ready.into(),
        reason: "SetByHand".into(),
        ..Default::default()
    });
    node
}

fn flat_spec(name: &str, labels: &Labels, spec: &PodSpec, in_template: bool) -> FlatSpec {
    let container = spec.containers.first().cloned().unwrap_or_default();
    let mut command = container.command;
    command.extend(container.args);
    FlatSpec {
        name: name.into(),
        image: container.image.to_string(),
        node_name: (!in_template).then(|| spec.node_name.clone()),
        command,
        env: container.env.into_iter().map(|variable| (variable.name, variable.value)).collect(),
        labels: labels.clone(),
        unknown: BTreeMap::new(),
    }
}

fn flat_pod(pod: &Pod) -> FlatPod {
    let status = pod.status.container_statuses.first();
    let waiting = status.and_then(|status| status.state.waiting.as_ref());
    let scheduled = pod.status.conditions.iter().find(|one| one.kind == "PodScheduled" && one.status == "False");
    let message = [
        pod.status.message.as_str(),
        waiting.map_or("", |waiting| &waiting.message),
        scheduled.map_or("", |scheduled| &scheduled.message),
    ];
    FlatPod {
        spec: flat_spec(&pod.metadata.name, &pod.metadata.labels, &pod.spec, false),
        status: if pod.metadata.is_deleting() { "Terminating".into() } else { pod.status.phase.to_string() },
        container_id: status.map(|status| status.container_id.clone()).unwrap_or_default().to_string(),
        message: message.into_iter().find(|message| !message.is_empty()).unwrap_or_default().into(),
        retry_count: pod.status.retry_count.unwrap_or(0),
        next_retry_at: shown(pod.status.next_retry_at),
        unknown: BTreeMap::new(),
    }
}

fn flat_replica_set(set: &ReplicaSet) -> FlatReplicaSet {
    // What the selector says already is not said again.
    let selector = &set.spec.selector.match_labels;
    let mut labels = set.spec.template.metadata.labels.clone();
    labels.retain(|key, value| selector.get(key) != Some(value));
    FlatReplicaSet {
        name: set.metadata.name.to_string(),
        desired_count: set.spec.replicas.unwrap_or(1),
        current_count: set.status.replicas,
        selector: selector.clone(),
        template: flat_spec("", &labels, &set.spec.template.spec, true),
        unknown: BTreeMap::new(),
    }
}

fn flat_node(node: &Node) -> FlatNode {
    let ready = node.ready();
    FlatNode {
        name: node.metadata.name.to_string(),
        status: if node.is_ready() { "Ready" } else { "NotReady" }.into(),
        time: shown(ready.and_then(|ready| ready.last_heartbeat_time.or(ready.last_transition_time))),
        unknown: BTreeMap::new(),
    }
}

fn shown(time: Option<Time>) -> String {
    time.map_or(NO_TIME.into(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::Status;
    use crate::api::validation::validate;
    use serde_json::json;

    const POSTED: &str = r#"{"name":"test","desiredCount":4,"selector":{"app":"test"},"template":{"image":"alpine","command":["/bin/sh","-c","while true; do sleep 1; done"]}}"#;
    const ANSWERED: &str = r#"{"name":"test","desiredCount":4,"currentCount":0,"selector":{"app":"test"},"template":{"name":"","image":"alpine","command":["/bin/sh","-c","while true; do sleep 1; done"]}}"#;

    #[test]
    fn answers_the_readme_s_lines_as_it_shows_them() {
        let (mut object, unknown) = read(Kind::ReplicaSet, None, POSTED.as_bytes()).unwrap();
        assert_eq!(unknown, [""; 0]);
        (Kind::ReplicaSet.row().set_defaults)(&mut object);
        assert_eq!(validate(&object, None), []);
        let flat = flat_replica_set(object.get().unwrap());
        assert_eq!(serde_json::to_string(&flat).unwrap(), ANSWERED);
    }

    #[test]
    fn fields_it_does_not_have_are_told() {
        let check = |kind, body: &str, want: &[&str]| assert_eq!(read(kind, None, body.as_bytes()).unwrap().1, want);
        check(
            Kind::Pod,
            r#"{"spec":{"name":"a","imagePullPolicy":"Always"},"kind":"Pod"}"#,
            &["kind", "spec.imagePullPolicy"],
        );
        check(
            Kind::ReplicaSet,
            r#"{"name":"a","replicas":3,"template":{"ports":[]}}"#,
            &["replicas", "template.ports"],
        );
        check(Kind::Node, r#"{"name":"n","status":"Ready","taints":[]}"#, &["taints"]);
        check(Kind::Pod, r#"{"spec":{"name":"a","env":null},"status":"Running","containerId":"x"}"#, &[]);
    }

    #[test]
    fn a_put_creates_or_changes() {
        let set = |count: i32| {
            let body =
                format!(r#"{{"name":"a","desiredCount":{count},"selector":{{"app":"a"}},"template":{{"image":"x"}}}}"#);
            read(Kind::ReplicaSet, None, body.as_bytes()).unwrap().0
        };
        let is = |object: Object| Answer::Object { object, created: false };
        let conflict = || Answer::Refused(Status::stale(Kind::ReplicaSet, "a"));

        let (mut put, verb) = Put::begin(set(2));
        assert_eq!(verb, Verb::Create { object: set(2) });
        let created = Answer::Object { object: set(2), created: true };
        assert_eq!(put.next(created.clone()), Next::Done(created));

        let (mut put, _) = Put::begin(set(2));
        let get = Next::Ask(Verb::Get { key: set(2).key() });
        assert_eq!(put.next(Answer::Refused(Status::already_exists(Kind::ReplicaSet, "a"))), get);
        assert_eq!(put.next(is(set(1))), Next::Ask(Verb::Update { object: set(2), part: Part::Main }));
        assert_eq!(put.next(conflict()), get);
        put.next(is(set(3)));
        // Stored, it has its defaults too: that it looks different is no reason to write it again.
        let mut stored = set(2);
        (Kind::ReplicaSet.row().set_defaults)(&mut stored);
        assert_eq!(put.next(is(stored.clone())), Next::Done(is(stored)));
    }

    #[test]
    fn a_put_of_what_is_removed_meanwhile_creates_it() {
        let object = || read(Kind::Node, Some("n"), b"{}").unwrap().0;
        let (create, gone) =
            (Verb::Create { object: object() }, || Answer::Refused(Status::not_found(Kind::Node, "n")));
        let there = || Answer::Refused(Status::already_exists(Kind::Node, "n"));
        let (mut put, _) = Put::begin(object());
        put.next(there());
        assert_eq!(put.next(gone()), Next::Ask(create.clone()));
        put.next(there());
        put.next(Answer::Object { object: object(), created: false });
        assert_eq!(put.next(gone()), Next::Ask(create));
        let created = Answer::Object { object: object(), created: true };
        assert_eq!(put.next(created.clone()), Next::Done(created));
        // What cannot be created for the want of something else is not asked for again.
        let (mut put, _) = Put::begin(object());
        assert_eq!(put.next(gone()), Next::Done(gone()));
    }

    #[test]
    fn a_put_leaves_alone_what_it_cannot_say() {
        let stored = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "a", "namespace": "default"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]},
                "template": {
                    "metadata": {"labels": {"app": "a", "tier": "web"}, "annotations": {"x": "y"}},
                    "spec": {
                        "containers": [
                            {"name": "web", "image": "x", "command": ["serve"], "args": ["-v"],
                                "env": [{"name": "B", "value": "1"},
                                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                                "resources": {"limits": {"cpu": "1"}}},
                            {"name": "beside", "image": "y"}
                        ],
                        "volumes": [{"name": "v", "emptyDir": {}}]
                    }
                }
            }
        });
        let object = |value: Value| Object::from_value(Kind::ReplicaSet, value).unwrap();
        // It is read, changed in one place, and put again.
        let check = |place: &str, wish: Value, want: &dyn Fn(&mut Value)| {
            let stored = object(stored.clone());
            let mut flat = serde_json::to_value(flat_replica_set(stored.get().unwrap())).unwrap();
            *flat.pointer_mut(place).unwrap() = wish;
            let (new, unknown) = read(Kind::ReplicaSet, None, flat.to_string().as_bytes()).unwrap();
            assert_eq!(unknown, [""; 0]);
            let mut wanted = stored.to_value();
            want(&mut wanted);
            assert_eq!(updated(&stored, &new), object(wanted), "{place}");
        };
        let web = "/spec/template/spec/containers/0";
        let at =
            |value: &mut Value, place: &str, new: Value| *value.pointer_mut(&format!("{web}{place}")).unwrap() = new;
        check("/currentCount", json!(7), &|_: &mut Value| {});
        check("/desiredCount", json!(5), &|set: &mut Value| set["spec"]["replicas"] = json!(5));
        check("/template/image", json!("z"), &|set: &mut Value| at(set, "/image", json!("z")));
        check("/template/env/B", json!("2"), &|set: &mut Value| at(set, "/env/0/value", json!("2")));
        check("/template/env", json!({"B": "1", "C": "3"}), &|set: &mut Value| {
            at(set, "/env/1", json!({"name": "C", "value": "3"}))
        });
        check("/template/command", json!(["other"]), &|set: &mut Value| {
            at(set, "/command", json!(["other"]));
            at(set, "/args", json!([]));
        });
    }

    #[test]
    fn a_put_gives_way_only_so_often() {
        let (object, _) = read(Kind::Node, Some("n"), b"{}").unwrap();
        let (mut put, _) = Put::begin(object.clone());
        put.next(Answer::Refused(Status::already_exists(Kind::Node, "n")));
        for _ in 0..CONFLICTS_MAX {
            put.next(Answer::Object { object: object.clone(), created: false });
            assert!(matches!(put.next(Answer::Refused(Status::stale(Kind::Node, "n"))), Next::Ask(Verb::Get { .. })));
        }
        put.next(Answer::Object { object, created: false });
        assert!(matches!(put.next(Answer::Refused(Status::stale(Kind::Node, "n"))), Next::Done(Answer::Refused(_))));
    }

    #[test]
    fn shows_a_pod_as_the_readme_does() {
        let body = r#"{"spec":{"name":"nginx-ca7f8c36","image":"nginx:latest","labels":{"app":"nginx"}}}"#;
        let (object, _) = read(Kind::Pod, None, body.as_bytes()).unwrap();
        let shown = serde_json::to_string(&flat_pod(object.get().unwrap())).unwrap();
        let want = r#"{"spec":{"name":"nginx-ca7f8c36","image":"nginx:latest","node_name":"","labels":{"app":"nginx"}},"status":"Pending","retry_count":0,"next_retry_at":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(shown, want);
        assert!(read(Kind::Pod, None, b"{").unwrap_err().starts_with("invalid request body"));
    }
}
