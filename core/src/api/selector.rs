//! Selection by labels and by fields.
//!
//! Source: Kubernetes documentation, "Labels and Selectors" and "Field Selectors".

use crate::api::meta::Labels;
use crate::{api_enum, api_struct};
use serde::{Deserialize, Serialize};
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
        key "key" always: String,
        /// How it relates to the values.
        operator "operator": LabelSelectorOperator,
        /// Non-empty for `In` and `NotIn`, empty otherwise.
        values "values": Vec<String>,
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
        }
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
                LabelSelectorOperator::Exists => key.clone(),
                LabelSelectorOperator::DoesNotExist => format!("!{key}"),
            }
        });
        f.write_str(&equal.chain(further).collect::<Vec<_>>().join(","))
    }
}

/// Reads the `labelSelector` of a request: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
pub fn parse_label_selector(text: &str) -> Result<LabelSelector, String> {
    let mut match_expressions = Vec::new();
    for part in split_outside_parentheses(text) {
        match_expressions.push(parse_requirement(part.trim()).ok_or_else(|| {
            format!("unable to parse requirement: {:?} is none of key, !key, key=value, key!=value, key in (a,b), key notin (a,b)", part.trim())
        })?);
    }
    Ok(LabelSelector { match_expressions, ..Default::default() })
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(part: &str) -> Option<LabelSelectorRequirement> {
    use LabelSelectorOperator::{DoesNotExist, Exists, In, NotIn};
    let make = |key: &str, operator, values: Vec<String>| {
        let key = key.trim();
        (is_label_key(key) && values.iter().all(|value| is_label_value(value))).then(|| LabelSelectorRequirement {
            key: key.to_owned(),
            operator,
            values,
            ..Default::default()
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, value)) = part.split_once("!=") {
        return make(key, NotIn, one(value));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return make(key, In, one(value));
    }
    if let Some(key) = part.strip_prefix('!') {
        return make(key, DoesNotExist, Vec::new());
    }
    if let Some((head, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.trim().rsplit_once(char::is_whitespace)? {
            (key, "in") => make(key, In, values),
            (key, "notin") => make(key, NotIn, values),
            _ => None,
        };
    }
    make(part, Exists, Vec::new())
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

    /// The value that `field` must have, if one is required.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|one| one.equal && one.field == field).map(|one| one.value.as_str())
    }
}

/// Reads `a=b,c==d,e!=f`.
pub fn parse_field_selector(text: &str) -> Result<FieldSelector, String> {
    let mut requirements = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let split = |equal, by: &str| part.split_once(by).map(|(field, value)| (field.trim(), value.trim(), equal));
        let (field, value, equal) = split(false, "!=")
            .or_else(|| split(true, "=="))
            .or_else(|| split(true, "="))
            .ok_or_else(|| format!("invalid selector: {text:?}; can't understand {part:?}"))?;
        requirements.push(FieldRequirement { field: field.into(), value: value.into(), equal });
    }
    Ok(FieldSelector(requirements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_by_labels() {
        let labels: Labels = [("app", "web"), ("tier", "front")].map(|(k, v)| (k.into(), v.into())).into();
        let check = |text, want| assert_eq!(parse_label_selector(text).unwrap().matches(&labels), want, "{text}");
        check("", true);
        check("app=web", true);
        check("app==web,tier=back", false);
        check("app!=db", true);
        check("missing!=x", true);
        check("app in (db, web)", true);
        check("app notin (web)", false);
        check("missing notin (web)", true);
        check("tier", true);
        check("!tier", false);
        check("!missing, app in (web)", true);
        for wrong in ["a=b=c=", "in (a)", "a in b", "a in (b", "=x", "-a=b", "a b"] {
            assert!(parse_label_selector(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn selects_by_fields() {
        let selector = parse_field_selector("spec.nodeName=node-1,status.phase!=Failed").unwrap();
        assert_eq!(selector.required("spec.nodeName"), Some("node-1"));
        assert_eq!(selector.required("status.phase"), None);
        assert!(parse_field_selector("nodeName").is_err());
    }
}
