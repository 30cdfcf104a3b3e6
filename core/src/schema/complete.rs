//! What is filled in where an author left something out, and what must not be left out.
//!
//! Most defaults are constants and stand in the table; those that depend on other fields are the rows of
//! [`conditional`](super::conditional).
//!
//! Source: Kubernetes API reference v1.32; `pkg/apis/*/v1/defaults.go`; required fields: `pkg/apis/*/validation`.

use super::conditional::complete_kind;
use super::{Field, MessageId, Schema, Type};
use crate::api::status::FieldError;
use crate::api::validation::ERRORS_MAX;
use serde_json::{Map, Value};

/// Fills in what an author left out of an object, everywhere in it. A second time changes nothing.
pub fn complete(schema: &Schema, message: MessageId, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    let known = schema.message(message);
    for field in &known.fields {
        default_field(field, fields);
    }
    complete_kind(&known.name, fields);
    for field in &known.fields {
        if let Some(value) = fields.get_mut(&*field.json) {
            complete_value(schema, &field.kind, value);
        }
    }
}

/// Fills in a field's constant, if nothing is said.
pub fn default_field(field: &Field, fields: &mut Map<String, Value>) {
    let Some(default) = &field.default else { return };
    if fields.get(&*field.json).is_none_or(|value| says_nothing(field, value)) {
        fields.insert((*field.json).into(), default.clone());
    }
}

/// Whether a value is as good as none: Go does not tell the zero of what is no pointer from nothing.
pub fn says_nothing(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => !field.nullable,
        Value::String(text) => !field.pointer && text.is_empty() && field.number > 0,
        Value::Number(number) => !field.pointer && number.as_i64() == Some(0) && field.number > 0,
        _ => false,
    }
}

/// The same for a value of a type.
pub fn complete_value(schema: &Schema, kind: &Type, value: &mut Value) {
    match (kind, value) {
        (Type::Message(id), value) => complete(schema, *id, value),
        (Type::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| complete_value(schema, &list.items, item));
        }
        (Type::Map(map), Value::Object(values)) => {
            values.iter_mut().for_each(|(_, value)| complete_value(schema, &map.values, value));
        }
        _ => {}
    }
}

/// Whether anything in a value of a type is filled in if it is left out.
pub fn fills(schema: &Schema, kind: &Type) -> bool {
    match kind {
        Type::Message(id) => schema.message(*id).fills,
        Type::List(list) => fills(schema, &list.items),
        Type::Map(map) => fills(schema, &map.values),
        _ => false,
    }
}

/// What must not be left out, and words that cannot be: an error a field, paths from `path` on.
pub fn rules(schema: &Schema, kind: &Type, value: &Value, path: &mut String, errors: &mut Vec<FieldError>) {
    let end = path.len();
    if errors.len() >= ERRORS_MAX {
        return;
    }
    match (kind, value) {
        (Type::Message(id), Value::Object(fields)) => {
            for field in schema.message(*id).fields.iter().filter(|field| is_ruled(schema, field)) {
                if end > 0 {
                    path.push('.');
                }
                path.push_str(&field.json);
                field_rules(schema, field, fields.get(&*field.json), path, errors);
                path.truncate(end);
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for (nth, item) in items.iter().enumerate() {
                path.push_str(&format!("[{nth}]"));
                rules(schema, &list.items, item, path, errors);
                path.truncate(end);
            }
        }
        (Type::Map(map), Value::Object(values)) => {
            for (name, value) in values {
                path.push_str(&format!("[{name}]"));
                rules(schema, &map.values, value, path, errors);
                path.truncate(end);
            }
        }
        (Type::Text(words), Value::String(text))
            if !words.is_empty() && !text.is_empty() && !words.iter().any(|word| **word == **text) =>
        {
            let mut words: Vec<String> = words.iter().map(ToString::to_string).collect();
            words.sort();
            errors.push(FieldError::not_supported(path.clone(), text.clone(), words));
        }
        _ => {}
    }
}

/// Whether there are rules for a field, or for what is in it.
pub fn is_ruled(schema: &Schema, field: &Field) -> bool {
    fn has_rules(schema: &Schema, kind: &Type) -> bool {
        match kind {
            Type::Text(words) => !words.is_empty(),
            Type::Message(id) => schema.message(*id).ruled,
            Type::List(list) => has_rules(schema, &list.items),
            Type::Map(map) => has_rules(schema, &map.values),
            _ => false,
        }
    }
    field.required || has_rules(schema, &field.kind)
}

/// The same for a field, which may be absent.
pub fn field_rules(
    schema: &Schema,
    field: &Field,
    value: Option<&Value>,
    path: &mut String,
    errors: &mut Vec<FieldError>,
) {
    match value {
        Some(value) if !is_empty(value) => rules(schema, &field.kind, value, path, errors),
        Some(Value::String(_)) if field.pointer => {}
        _ if field.required => missing(schema, field, path, errors),
        _ => {}
    }
}

/// An object that is no pointer is never missing as a whole: what is missing is what must be in it.
fn missing(schema: &Schema, field: &Field, path: &mut String, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    if matches!(field.kind, Type::Message(_)) && !field.pointer {
        rules(schema, &field.kind, &Value::Object(Map::new()), path, errors);
    }
    if errors.len() == before {
        errors.push(FieldError::required(path.clone(), ""));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::testing::{Made, named};
    use quickcheck::quickcheck;
    use serde_json::json;

    fn completed(kind: &str, mut value: Value) -> Value {
        let schema = Schema::kubernetes();
        complete(schema, schema.named(kind).unwrap(), &mut value);
        let once = value.clone();
        complete(schema, schema.named(kind).unwrap(), &mut value);
        assert_eq!(value, once, "a second time changes nothing");
        value
    }

    #[test]
    fn a_deployment_is_completed_throughout() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "x:1", "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}}}]}});
        let done = completed("apps/v1.Deployment", json!({"spec": {"selector": {}, "template": pod}}));
        assert_eq!(
            done["spec"]["strategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        assert_eq!((&done["spec"]["replicas"], &done["spec"]["progressDeadlineSeconds"]), (&json!(1), &json!(600)));
        let container = &done["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            (&container["imagePullPolicy"], &container["ports"][0]["protocol"]),
            (&json!("IfNotPresent"), &json!("TCP"))
        );
        assert_eq!(container["livenessProbe"]["httpGet"], json!({"port": 80, "path": "/", "scheme": "HTTP"}));
        let recreate = completed("apps/v1.Deployment", json!({"spec": {"strategy": {"type": "Recreate"}}}));
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn only_what_says_nothing_is_filled_in() {
        let check =
            |kind: &str, given: Value, field: &str, want: Value| assert_eq!(completed(kind, given)[field], want);
        // Not a pointer: zero is nothing. A pointer: zero is zero.
        check("core/v1.Probe", json!({"periodSeconds": 0}), "periodSeconds", json!(10));
        check("core/v1.PodSpec", json!({"restartPolicy": ""}), "restartPolicy", json!("Always"));
        check("core/v1.PodSpec", json!({"enableServiceLinks": false}), "enableServiceLinks", json!(false));
        check("apps/v1.DeploymentSpec", json!({"replicas": 0}), "replicas", json!(0));
        check("apps/v1.DeploymentSpec", json!({"replicas": null}), "replicas", json!(1));
        // What is not there has no fields to fill in, but for those that Kubernetes makes.
        assert_eq!(completed("core/v1.Pod", json!({})), json!({}));
        check("core/v1.PodSpec", json!({}), "securityContext", json!({}));
        check("core/v1.Container", json!({"name": "a"}), "resources", json!({}));
        check("core/v1.VolumeMount", json!({}), "readOnly", Value::Null);
    }

    quickcheck! {
        fn a_second_time_changes_nothing(made: Made) -> bool {
            let schema = Schema::kubernetes();
            let mut once = made.value.clone();
            complete(schema, made.message, &mut once);
            let mut twice = once.clone();
            complete(schema, made.message, &mut twice);
            once == twice
        }

        fn what_is_filled_in_is_known_and_of_its_type(made: Made) -> bool {
            let schema = Schema::kubernetes();
            let mut value = made.value;
            complete(schema, made.message, &mut value);
            let text = serde_json::to_vec(&value).unwrap();
            let kind = Type::Message(made.message);
            crate::schema::strict::check(schema, made.message, &text).unwrap().is_empty()
                && crate::schema::strict::mistyped(schema, &kind, &value).is_none()
        }
    }

    #[test]
    fn what_must_be_there_is_missed() {
        let check = |kind: &str, value: Value, want: &[&str]| {
            let mut errors = Vec::new();
            rules(Schema::kubernetes(), &Type::Message(named(kind)), &value, &mut String::new(), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        };
        check(
            "apps/v1.Deployment",
            json!({"spec": {"template": {"spec": {"containers": [{"image": "x", "imagePullPolicy": "Often"}]}}}}),
            &[
                "spec.selector: Required value",
                "spec.template.spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                "spec.template.spec.containers[0].name: Required value",
            ],
        );
        check("core/v1.Pod", json!({"spec": {"containers": []}}), &["spec.containers: Required value"]);
        check("core/v1.Pod", json!({}), &["spec.containers: Required value"]);
        check("rbac/v1.RoleBinding", json!({}), &["roleRef.kind: Required value", "roleRef.name: Required value"]);
        check("core/v1.ServicePort", json!({"port": 80}), &[]);
        // Lists of words that are open are not enforced.
        check("core/v1.PodCondition", json!({"type": "example.com/own", "status": "True"}), &[]);
        check(
            "core/v1.Node",
            json!({"status": {"conditions": [{"type": "Ready", "status": "Maybe"}]}}),
            &[
                "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
            ],
        );
    }
}
