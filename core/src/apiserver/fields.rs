//! The fields of an object against its schema: what is dropped, refused and filled in.
//!
//! A typed struct reads the fields on which something acts, and with them checks their types. What is said here is about all
//! others, wherever they stand.

use crate::api::meta::Labels;
use crate::api::object::Object;
use crate::api::structs::RestOf;
use crate::schema::complete;
use crate::schema::conditional::complete_kind;
use crate::schema::strict::{self, Then};
use crate::schema::{Field, MessageId, Schema};
use serde::Deserialize;

/// Drops the fields that their messages do not have.
///
/// Fails at the first that is of another type: its path, and what is wrong in Go's words.
pub fn known(object: &mut Object, schema: &Schema, message: MessageId) -> Result<(), (String, String)> {
    let mut wrong = None;
    object.each_rest(schema, message, &mut |part| {
        let (message, fields) = (part.message, schema.message(part.message));
        let path = part.path;
        let end = path.len();
        part.rest.edit(|rest| {
            rest.retain(|name, value| {
                let Some(field) = fields.field(name) else { return fields.open };
                add(path, name);
                strict::walk(schema, &field.kind, value, path, &mut |_| Then::Drop);
                wrong = wrong.take().or_else(|| strict::mistyped_field(schema, message, path, &field.kind, value));
                path.truncate(end);
                true
            });
        });
    });
    wrong.map_or(Ok(()), Err)
}

/// Fills in what is a constant if it is left out.
pub fn completed(object: &mut Object, schema: &Schema, message: MessageId) {
    if !schema.message(message).fills {
        return;
    }
    object.each_rest(schema, message, &mut |part| {
        let fields = schema.message(part.message);
        if !fields.fills {
            return;
        }
        let others: Vec<&Field> = others(&part, &fields.fields).collect();
        part.rest.edit(|rest| {
            others.iter().for_each(|field| complete::default_field(field, rest));
            // A struct that acts on fields completes them itself.
            if part.acted_on == ["metadata"] {
                complete_kind(&fields.name, rest);
            }
            for field in others {
                if let Some(value) = rest.get_mut(&*field.json) {
                    complete::complete_value(schema, &field.kind, value);
                }
            }
        });
    });
    // Labels of a template, that an object without labels has too: they go where its own are kept.
    let mut made = None;
    if object.plain().is_some_and(|rest| rest.get("metadata").is_some()) {
        object.edit_plain(|rest| made = rest.remove("metadata"));
    }
    let labels = made.as_ref().and_then(|made| Labels::deserialize(made.get("labels")?).ok());
    if let Some(labels) = labels.filter(|_| object.meta().labels.is_empty()) {
        object.edit_meta(|meta| meta.labels = labels);
    }
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
    use serde_json::{Value, json};

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
    fn typed_structs_and_the_table_agree() {
        // What a typed object is completed to is what the table makes of the same value.
        let pod = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"containers": [
            {"name": "c", "image": "x", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 1}]},
            {"name": "d", "image": "x:1", "imagePullPolicy": "Always", "command": ["a"], "env": [{"name": "A", "value": "b"}]}],
            "initContainers": [{"name": "i", "image": "x", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 2}]}]}});
        let mut on_host = pod.clone();
        on_host["spec"]["hostNetwork"] = true.into();
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
    fn labels_of_a_template_are_its_owner_s() {
        for kind in [Kind::Job, Kind::ReplicationController] {
            let (schema, id) = message(kind);
            let labelled = |own: Value| {
                let value = json!({"metadata": {"name": "a", "labels": own}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
                let mut object = Object::from_value(kind, value).unwrap();
                completed(&mut object, schema, id);
                assert_eq!(object.plain().and_then(|rest| rest.get("metadata")), None);
                object.to_value()["metadata"].clone()
            };
            assert_eq!(labelled(json!({})), json!({"name": "a", "labels": {"a": "b"}}));
            assert_eq!(labelled(json!({"c": "d"})), json!({"name": "a", "labels": {"c": "d"}}));
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
        // Those inside of lists, which an empty object does not have.
        let lists: &[(&str, &[&str])] = &[
            ("core/v1.Container", crate::api::pod::Container::FIELDS),
            ("core/v1.EnvVar", crate::api::pod::EnvVar::FIELDS),
            ("core/v1.ResourceRequirements", crate::api::pod::ResourceRequirements::FIELDS),
            ("core/v1.PodCondition", crate::api::pod::PodCondition::FIELDS),
            ("core/v1.ContainerStatus", crate::api::pod::ContainerStatus::FIELDS),
            ("core/v1.ContainerState", crate::api::pod::ContainerState::FIELDS),
            ("core/v1.ContainerStateTerminated", crate::api::pod::StateTerminated::FIELDS),
            ("meta/v1.OwnerReference", crate::api::meta::OwnerReference::FIELDS),
            ("core/v1.NodeCondition", crate::api::node::NodeCondition::FIELDS),
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
        let words =
            "json: cannot unmarshal string into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort";
        assert_eq!(known(&mut wrong, schema, id), Err(("spec.ports".into(), words.into())));
    }
}
