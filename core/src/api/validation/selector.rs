//! Rules for selectors of labels, and for labels where something selects by them.
//!
//! Source: `k8s.io/apimachinery/pkg/apis/meta/v1/validation`, release 1.32.

use super::at::At;
use super::text;
use crate::api::meta::Labels;
use crate::api::selector::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

/// Rules for a map of labels.
pub fn labels(at: &At) {
    for (key, value) in at.value().as_object().into_iter().flatten() {
        for wrong in text::qualified_name(key) {
            at.invalid_value(&key.as_str().into(), wrong);
        }
        for wrong in text::label_value(value.as_str().unwrap_or("")) {
            at.invalid_value(value, wrong);
        }
    }
}

/// A field that names a label.
pub fn label_name(at: &At) {
    at.must_be(text::qualified_name);
}

/// Rules for a selector.
pub fn selector(at: &At) {
    labels(&at.field("matchLabels"));
    for one in at.items("matchExpressions") {
        let (operator, values) = (one.field("operator"), one.field("values"));
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                values.required("must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => operator.invalid("not a valid selector operator"),
        }
        label_name(&one.field("key"));
        for value in one.items("values") {
            text::label_value(value.text()).into_iter().for_each(|wrong| value.invalid(wrong));
        }
    }
}

/// Whether a selector selects everything.
pub fn is_empty(at: &At) -> bool {
    at.field("matchLabels").is_empty() && at.field("matchExpressions").is_empty()
}

/// Whether a selector selects these labels; absent where it cannot be told. One that is not there selects nothing.
pub fn matches(selector: &At, labels: &Value) -> Option<bool> {
    if !selector.is_there() {
        return Some(false);
    }
    let selector = LabelSelector::deserialize(selector.value()).ok()?;
    let labels = Option::<Labels>::deserialize(labels).ok()?.unwrap_or_default();
    Some(selector.matches(&labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::validation::testing::compare;
    use serde_json::json;
    use std::cell::RefCell;

    #[test]
    fn selectors_are_looked_at_requirement_by_requirement() {
        let check = |value: Value, want: &[&str]| {
            let (object, errors) = (json!({"selector": value}), RefCell::default());
            selector(&At::object(&object, &errors).field("selector"));
            compare(&errors.into_inner().iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        };
        let one = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        check(json!({"matchLabels": {"a": "b"}}), &[]);
        check(one("a", "In", json!(["b"])), &[]);
        check(one("a", "Exists", json!(null)), &[]);
        check(json!({"matchLabels": {"a": "b c"}}), &["selector.matchLabels: Invalid value: \"b c\": a valid label"]);
        check(
            one("a", "NotIn", json!([])),
            &[
                "selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ],
        );
        check(
            one("a", "Exists", json!(["b"])),
            &["selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists'"],
        );
        check(
            one("a b", "Like", json!(["b c"])),
            &[
                "selector.matchExpressions[0].operator: Invalid value: \"Like\": not a valid selector operator",
                "selector.matchExpressions[0].key: Invalid value: \"a b\": name part must",
                "selector.matchExpressions[0].values[0]: Invalid value: \"b c\": a valid label",
            ],
        );
    }
}
