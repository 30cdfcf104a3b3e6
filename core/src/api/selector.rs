//! Selection by labels and by fields.
//!
//! Source: Kubernetes documentation, "Labels and Selectors" and "Field Selectors".

pub use crate::api::selector_text::{parse_field_selector, parse_label_selector};

use crate::api::meta::Labels;
use crate::api::text::Text;
use crate::{api_enum, api_struct};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

api_struct! {
    /// A selector in an object: all of its requirements must hold. Empty selects everything.
    pub struct LabelSelector {
        /// Labels that must be there with these values.
        match_labels "matchLabels": Labels,
        /// Further requirements.
        match_expressions "matchExpressions": Vec<LabelSelectorRequirement>,
    }
}

api_struct! {
    /// One requirement of a [`LabelSelector`].
    pub struct LabelSelectorRequirement {
        /// The label.
        key "key" always: Text,
        /// How it relates to the values.
        operator "operator": LabelSelectorOperator,
        /// Non-empty for `In` and `NotIn`, empty otherwise.
        values "values": Vec<Text>,
    }
}

api_enum! {
    /// How a label relates to a requirement's values.
    pub enum LabelSelectorOperator {
        /// It is one of them.
        #[default] In "In",
        /// It is none of them, or absent.
        NotIn "NotIn",
        /// It is there, whatever its value.
        Exists "Exists",
        /// It is not there.
        DoesNotExist "DoesNotExist",
        /// It is a number and greater than the only one. In requests only, not in objects.
        Gt "Gt",
        /// It is a number and less than the only one. In requests only, not in objects.
        Lt "Lt",
    }
}

impl LabelSelector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

impl LabelSelectorRequirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            LabelSelectorOperator::In => value.is_some_and(|value| self.values.contains(value)),
            LabelSelectorOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            LabelSelectorOperator::Exists => value.is_some(),
            LabelSelectorOperator::DoesNotExist => value.is_none(),
            LabelSelectorOperator::Gt => self.compared(value) == Some(Ordering::Greater),
            LabelSelectorOperator::Lt => self.compared(value) == Some(Ordering::Less),
        }
    }

    /// A label's value against the only one here, if both are numbers.
    fn compared(&self, value: Option<&Text>) -> Option<Ordering> {
        let (value, bound) = (value?.parse::<i64>().ok()?, self.values.first()?.parse::<i64>().ok()?);
        Some(value.cmp(&bound))
    }
}

/// As kubectl shows a selector: `app=web,tier in (a,b)`; `<none>` if empty.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("<none>");
        }
        let equal = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let further = self.match_expressions.iter().map(|requirement| {
            let (key, values) = (&requirement.key, requirement.values.join(","));
            match requirement.operator {
                LabelSelectorOperator::In => format!("{key} in ({values})"),
                LabelSelectorOperator::NotIn => format!("{key} notin ({values})"),
                LabelSelectorOperator::Exists => key.to_string(),
                LabelSelectorOperator::DoesNotExist => format!("!{key}"),
                LabelSelectorOperator::Gt => format!("{key}>{values}"),
                LabelSelectorOperator::Lt => format!("{key}<{values}"),
            }
        });
        f.write_str(&equal.chain(further).collect::<Vec<_>>().join(","))
    }
}

/// Whether this may be a label's key: an optional DNS subdomain and `/`, then at most 63 characters.
///
/// Source: Kubernetes documentation, "Labels and Selectors", syntax and character set.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(crate::api::names::is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Whether this may be a label's value: empty, or at most 63 of `[A-Za-z0-9._-]`, alphanumeric at both ends.
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
        && ends(bytes.first())
        && ends(bytes.last())
}

/// The `fieldSelector` of a request: every requirement must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSelector(pub Vec<FieldRequirement>);

/// One requirement of a [`FieldSelector`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRequirement {
    /// The field's path, for example `spec.nodeName`.
    pub field: String,
    /// What it is compared with.
    pub value: String,
    /// Whether it must be equal, or must differ.
    pub equal: bool,
}

impl FieldSelector {
    /// A selector of one field with one value.
    pub fn equal(field: &str, value: &str) -> Self {
        FieldSelector(vec![FieldRequirement { field: field.into(), value: value.into(), equal: true }])
    }

    /// A selector of one field with any value but one.
    pub fn other_than(field: &str, value: &str) -> Self {
        FieldSelector(vec![FieldRequirement { field: field.into(), value: value.into(), equal: false }])
    }

    /// The value that `field` must have, if one is required.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|one| one.equal && one.field == field).map(|one| one.value.as_str())
    }
}
