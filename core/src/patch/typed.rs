//! What is wrong with a configuration before it is applied: fields that its kind does not have, items that cannot be told
//! apart.
//!
//! Other writes drop such fields or name them by their place in a list; an apply knows items by their keys, and refuses.
//!
//! Source: `sigs.k8s.io/structured-merge-diff`, `typed`; `k8s.io/apimachinery`, `managedfields`.

use crate::patch::fields::{Fields, item};
use crate::schema::{MessageId, Ownership, Schema, Type};
use serde_json::Value;

/// What is wrong: an error a place, with its path; so many at most.
pub fn wrong(schema: &Schema, message: MessageId, configuration: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    look(schema, &Type::Message(message), configuration, &mut String::new(), &mut errors);
    errors
}

const ERRORS_MAX: usize = 100;

fn look(schema: &Schema, kind: &Type, value: &Value, path: &mut String, errors: &mut Vec<String>) {
    let end = path.len();
    if errors.len() >= ERRORS_MAX {
        return;
    }
    match (kind, value) {
        (Type::Message(id), Value::Object(fields)) => {
            let message = schema.message(*id);
            for (name, value) in fields {
                path.push('.');
                path.push_str(name);
                match message.field(name) {
                    Some(field) => look(schema, &field.kind, value, path, errors),
                    None if message.open => {}
                    None => errors.push(format!("{path}: field not declared in schema")),
                }
                path.truncate(end);
            }
        }
        (Type::Map(map), Value::Object(values)) => {
            for (name, value) in values {
                path.push('.');
                path.push_str(name);
                look(schema, &map.values, value, path, errors);
                path.truncate(end);
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for (nth, one) in items.iter().enumerate() {
                let place = match (&list.ownership, item(schema, list, one)) {
                    (Ownership::Map(_), Some(branch)) => below(&branch),
                    (Ownership::Map(keys), None) => {
                        let key = keys.first().map_or("", |key| &**key);
                        errors.push(format!(
                            "{path}: element {nth}: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
                        ));
                        continue;
                    }
                    (Ownership::Atomic | Ownership::Set, _) => format!("[{nth}]"),
                };
                path.push_str(&place);
                look(schema, &list.items, one, path, errors);
                path.truncate(end);
            }
        }
        _ => {}
    }
}

/// A branch of a set as paths name it: `[name="a"]`.
fn below(branch: &str) -> String {
    let fields = Fields { member: false, below: [(branch.to_owned(), Fields::leaf())].into() };
    fields.paths().pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_field_holds_is_named_by_keys() {
        let schema = Schema::kubernetes();
        let check = |configuration: Value, want: &[&str]| {
            assert_eq!(wrong(schema, schema.named("apps/v1.Deployment").unwrap(), &configuration), want);
        };
        let with = |container: Value| json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        check(with(json!({"name": "one", "image": "x", "ports": [{"containerPort": 1}]})), &[]);
        check(
            with(json!({"name": "one", "imagine": "x", "ports": [{"containerPort": 1, "x": 2}]})),
            &[
                ".spec.template.spec.containers[name=\"one\"].imagine: field not declared in schema",
                ".spec.template.spec.containers[name=\"one\"].ports[containerPort=1,protocol=\"TCP\"].x: field not declared in schema",
            ],
        );
        check(
            with(json!({"nam": "one"})),
            &[
                ".spec.template.spec.containers: element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)",
            ],
        );
        check(json!({"metadata": {"labels": {"any": "thing"}}}), &[]);
        let open = schema.named("core/v1.ConfigMap").unwrap();
        assert_eq!(wrong(schema, open, &json!({"dat": {}})), [".dat: field not declared in schema"]);
    }
}
