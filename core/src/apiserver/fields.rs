//! The fields of an object against its schema: what is dropped, refused and filled in.
//!
//! A typed struct reads the fields on which something acts, and with them checks their types. What is said here is about all
//! others, wherever they stand.

use crate::api::object::Object;
use crate::api::structs::RestOf;
use crate::schema::complete;
use crate::schema::conditional::complete_kind;
use crate::schema::strict::{self, Then};
use crate::schema::{Field, Message, MessageId, Schema, Type};
use serde_json::Value;

/// Drops the fields that their messages do not have, and what is `null` where Go has none: a program that reads it as what it
/// is could not.
///
/// Fails at the first that is of another type: its path, and what is wrong in Go's words. What a definition says of types is
/// a rule among others, and is looked at with these.
pub fn known(object: &mut Object, schema: &Schema, message: MessageId) -> Result<(), (String, String)> {
    let mut wrong = None;
    let in_go = schema.is_in_go();
    object.each_rest(schema, message, &mut |part| {
        let fields = schema.message(part.message);
        let path = part.path;
        let end = path.len();
        part.rest.retain(|name, value| {
            let Some(field) = fields.field(name) else { return fields.open };
            add(path, name);
            match in_go {
                true => strict::prune_value(schema, &field.kind, value),
                false => strict::walk(schema, &field.kind, value, path, &mut |_| Then::Drop),
            }
            if in_go && wrong.is_none() {
                wrong = mistyped(schema, &field.kind, value, path);
            }
            path.truncate(end);
            true
        });
    });
    match wrong {
        // From the top, so that it is told within which struct.
        Some(wrong) => {
            let whole = strict::mistyped(schema, &Type::Message(message), &object.to_value());
            Err(whole.unwrap_or(wrong))
        }
        None => Ok(()),
    }
}

/// Fills in what is a constant if it is left out.
pub fn completed(object: &mut Object, schema: &Schema, message: MessageId) {
    if !schema.message(message).fills {
        return;
    }
    let mut labels = None;
    object.each_rest(schema, message, &mut |part| {
        let fields = schema.message(part.message);
        if !fields.fills {
            return;
        }
        // A struct that acts on fields completes them itself.
        if part.acted_on != ["metadata"] {
            return complete_others(part, fields);
        }
        let others: Vec<&Field> = others(&part, &fields.fields).collect();
        part.rest.edit(|rest| {
            others.iter().for_each(|field| complete::default_field(field, rest));
            complete_kind(&fields.name, rest);
            // The metadata stands elsewhere.
            labels = rest.remove("metadata").and_then(|mut said| said.get_mut("labels").map(Value::take));
            for field in others {
                if let Some(value) = rest.get_mut(&*field.json) {
                    complete::complete_value(schema, &field.kind, value);
                }
            }
        });
    });
    if let Some(Ok(labels)) = labels.map(serde_json::from_value)
        && object.meta().labels.is_empty()
    {
        object.edit_meta(|meta| meta.labels = labels);
    }
}

/// Fills in the fields of a struct that it does not act on. Those of a pod whose template was completed are complete, and
/// stay shared with it.
fn complete_others(part: RestOf, fields: &Message) {
    let RestOf { schema, acted_on, rest, .. } = part;
    for field in &fields.fields {
        if let Some(default) = &field.default
            && !acted_on.contains(&&*field.json)
            && rest.get(&field.json).is_none_or(|value| complete::says_nothing(field, value))
        {
            rest.insert(&field.json, default.clone());
        }
    }
    let known = rest.iter().filter_map(|(name, _)| fields.field(name));
    for field in known.filter(|field| complete::fills(schema, &field.kind)).collect::<Vec<_>>() {
        if let Some(value) = rest.get_mut(&field.json) {
            complete::complete_value(schema, &field.kind, value);
        }
    }
}

/// The path and the words of what is of another type, if there is something.
fn mistyped(schema: &Schema, kind: &Type, value: &Value, path: &str) -> Option<(String, String)> {
    let (below, what) = strict::mistyped(schema, kind, value)?;
    Some((format!("{path}{}{below}", if below.is_empty() || below.starts_with('[') { "" } else { "." }), what))
}

fn others<'a>(part: &RestOf, fields: &'a [Field]) -> impl Iterator<Item = &'a Field> + use<'a> {
    let acted_on = part.acted_on;
    fields.iter().filter(move |field| !acted_on.contains(&&*field.json))
}

fn add(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::json;

    fn message(kind: Kind) -> (&'static Schema, MessageId) {
        let schema = Schema::kubernetes();
        (schema, schema.named(kind.row().message).unwrap())
    }

    #[test]
    fn what_no_struct_acts_on_is_looked_at_everywhere() {
        let (schema, id) = message(Kind::Pod);
        let spec = json!({"containers": [{"name": "c", "image": "x:1", "colour": "red", "livenessProbe": {"httpGet": {"port": 1, "speed": 2}}}], "taste": 1});
        let mut pod =
            Object::from_value(Kind::Pod, json!({"metadata": {"name": "a", "smell": 1}, "spec": spec})).unwrap();
        known(&mut pod, schema, id).unwrap();
        let value = pod.to_value();
        assert_eq!(value["metadata"], json!({"name": "a"}));
        assert_eq!(value["spec"]["containers"][0]["livenessProbe"], json!({"httpGet": {"port": 1}}));
        assert!(value["spec"].get("taste").is_none() && value["spec"]["containers"][0].get("colour").is_none());
        completed(&mut pod, schema, id);
        let value = pod.to_value();
        assert_eq!(value["spec"]["dnsPolicy"], "ClusterFirst");
        assert_eq!(value["spec"]["containers"][0]["livenessProbe"]["periodSeconds"], 10);
    }

    #[test]
    fn what_go_reads_has_no_null() {
        let (schema, id) = message(Kind::Deployment);
        let container = json!({"name": "c", "image": "x", "args": ["a", null], "env": [{"name": "A", "value": null}],
            "resources": {"limits": {"cpu": null}}, "livenessProbe": null});
        let template = json!({"metadata": {"annotations": {"a": null}}, "spec": {"containers": [container]}});
        let mut deployment = Object::from_value(Kind::Deployment, json!({"spec": {"template": template}})).unwrap();
        known(&mut deployment, schema, id).unwrap();
        let container = json!({"name": "c", "image": "x", "args": ["a", ""], "env": [{"name": "A"}],
            "resources": {"limits": {"cpu": "0"}}});
        let template = json!({"metadata": {"annotations": {"a": ""}}, "spec": {"containers": [container]}});
        assert_eq!(deployment.at(&["spec", "template"]), Some(&template));
        assert!(deployment.as_acted_on().is_some());
    }

    #[test]
    fn an_object_without_labels_has_its_templates() {
        let (schema, id) = message(Kind::ReplicationController);
        let check = |own: Value, want: Value| {
            let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
            let set = json!({"metadata": {"name": "a", "labels": own}, "spec": {"template": template}});
            let mut set = Object::from_value(Kind::ReplicationController, set).unwrap();
            completed(&mut set, schema, id);
            let text = String::from_utf8(set.json().to_vec()).unwrap();
            assert_eq!(text.matches("\"metadata\":").count(), 2, "its own and the template's: {text}");
            assert_eq!(set.to_value()["metadata"], json!({"name": "a", "labels": want}));
        };
        check(json!({}), json!({"a": "b"}));
        check(json!({"own": "1"}), json!({"own": "1"}));
    }

    #[test]
    fn typed_structs_and_the_table_agree() {
        // What a typed object is completed to is what the table makes of the same value.
        let pod = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"containers": [
            {"name": "c", "image": "x", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 1}]},
            {"name": "d", "image": "x:1", "imagePullPolicy": "Always", "command": ["a"], "env": [{"name": "A", "value": "b"}]}],
            "initContainers": [{"name": "i", "image": "x", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 2}]}]}});
        let mut on_host = pod.clone();
        on_host["spec"]["hostNetwork"] = true.into();
        on_host["spec"]["serviceAccount"] = "robot".into();
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod["spec"]});
        let set = json!({"metadata": {"name": "a", "namespace": "x", "labels": {"a": "b"}},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
        for (kind, mut value) in [(Kind::Pod, pod), (Kind::Pod, on_host), (Kind::ReplicaSet, set)] {
            let (schema, id) = message(kind);
            let mut typed = Object::from_value(kind, value.clone()).unwrap();
            completed(&mut typed, schema, id);
            (kind.row().set_defaults)(&mut typed);
            complete::complete(schema, id, &mut value);
            assert_eq!(typed.to_value()["spec"], value["spec"], "{kind:?}");
        }
    }

    #[test]
    fn every_typed_field_is_in_the_table() {
        let (schema, _) = message(Kind::Pod);
        for kind in [
            Kind::Namespace,
            Kind::Node,
            Kind::Pod,
            Kind::ReplicaSet,
            Kind::Lease,
            Kind::Event,
            Kind::CustomResourceDefinition,
        ] {
            let (_, id) = message(kind);
            Object::empty(kind).each_rest(schema, id, &mut |part| {
                for field in part.acted_on {
                    let message = schema.message(part.message);
                    assert!(message.field(field).is_some(), "{}.{field}", message.name);
                }
            });
        }
        for kind in [Kind::Deployment, Kind::StatefulSet, Kind::ReplicationController, Kind::Job, Kind::CronJob] {
            let (_, id) = message(kind);
            let mut body = Object::empty(kind).as_acted_on().expect("a controller acts on it");
            body.each_rest(schema, &Type::Message(id), &mut String::new(), &mut |part| {
                for field in part.acted_on {
                    let message = schema.message(part.message);
                    assert!(message.field(field).is_some(), "{}.{field}", message.name);
                }
            });
        }
        // Those inside of lists and of what may be absent, which an empty object does not have.
        let lists: &[(&str, &[&str])] = &[
            ("core/v1.Container", crate::api::pod::Container::FIELDS),
            ("core/v1.EnvVar", crate::api::pod::EnvVar::FIELDS),
            ("core/v1.Toleration", crate::api::toleration::Toleration::FIELDS),
            ("core/v1.ResourceRequirements", crate::api::pod::ResourceRequirements::FIELDS),
            ("core/v1.PodCondition", crate::api::pod::PodCondition::FIELDS),
            ("core/v1.ContainerStatus", crate::api::pod::ContainerStatus::FIELDS),
            ("core/v1.ContainerState", crate::api::pod::ContainerState::FIELDS),
            ("core/v1.ContainerStateTerminated", crate::api::pod::StateTerminated::FIELDS),
            ("meta/v1.OwnerReference", crate::api::meta::OwnerReference::FIELDS),
            ("core/v1.NodeCondition", crate::api::node::NodeCondition::FIELDS),
            ("apps/v1.DeploymentCondition", crate::api::deployment::DeploymentCondition::FIELDS),
            ("apps/v1.StatefulSetOrdinals", crate::api::statefulset::Ordinals::FIELDS),
            ("apps/v1.ControllerRevision", crate::api::statefulset::ControllerRevision::FIELDS),
            ("core/v1.PersistentVolumeClaim", crate::api::statefulset::ClaimTemplate::FIELDS),
            ("batch/v1.JobCondition", crate::api::job::JobCondition::FIELDS),
            ("batch/v1.UncountedTerminatedPods", crate::api::job::Uncounted::FIELDS),
            ("batch/v1.PodFailurePolicy", crate::api::job::PodFailurePolicy::FIELDS),
            ("batch/v1.PodFailurePolicyRule", crate::api::job::PodFailurePolicyRule::FIELDS),
            ("batch/v1.PodFailurePolicyOnExitCodesRequirement", crate::api::job::OnExitCodes::FIELDS),
            ("batch/v1.PodFailurePolicyOnPodConditionsPattern", crate::api::job::OnPodCondition::FIELDS),
            ("batch/v1.SuccessPolicy", crate::api::job::SuccessPolicy::FIELDS),
            ("batch/v1.SuccessPolicyRule", crate::api::job::SuccessPolicyRule::FIELDS),
        ];
        for (message, fields) in lists {
            let message = schema.message(schema.named(message).unwrap());
            for field in *fields {
                assert!(message.field(field).is_some(), "{}.{field}", message.name);
            }
        }
    }

    #[test]
    fn objects_without_structs_are_looked_at_whole() {
        let (schema, id) = message(Kind::Service);
        let mut service =
            Object::from_value(Kind::Service, json!({"spec": {"ports": [{"port": 80}], "x": 1}})).unwrap();
        known(&mut service, schema, id).unwrap();
        completed(&mut service, schema, id);
        let port: Value = json!({"port": 80, "targetPort": 80, "protocol": "TCP"});
        assert_eq!(service.at(&["spec", "ports"]), Some(&json!([port])));
        assert_eq!(service.at(&["spec", "x"]), None);
        let mut wrong = Object::from_value(Kind::Service, json!({"spec": {"ports": "none"}})).unwrap();
        assert_eq!(known(&mut wrong, schema, id).unwrap_err().0, "spec.ports");
    }
}
