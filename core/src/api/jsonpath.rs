//! The JSONPath that a definition's columns and scale paths are written in: `.status.conditions[?(@.type=="Ready")].status`.
//!
//! Names, quoted names, indices, `[*]`, and comparisons with a constant. Source: Kubernetes documentation, "JSONPath
//! Support", as far as `apiextensions` allows it in `jsonPath`.

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A field, or every item's field.
    Name(String),
    /// One item, from the end if negative.
    Item(i64),
    /// All items.
    All,
    /// The items of which a field equals a text.
    Where(Vec<String>, String),
}

/// The values that a path leads to, in order; absent if it is no path.
pub fn find<'a>(value: &'a Value, path: &str) -> Option<Vec<&'a Value>> {
    let mut found = vec![value];
    for step in parse(path)? {
        found = found.into_iter().flat_map(|value| step.of(value)).collect();
    }
    Some(found)
}

/// Whether a text is a path.
pub fn is_path(path: &str) -> bool {
    parse(path).is_some()
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Step::Name(name), Value::Object(_)) => value.get(name).into_iter().collect(),
            (Step::Item(at), Value::Array(items)) => {
                let at = if *at < 0 { at.checked_add_unsigned(items.len() as u64) } else { Some(*at) };
                at.and_then(|at| items.get(usize::try_from(at).ok()?)).into_iter().collect()
            }
            (Step::All, Value::Array(items)) => items.iter().collect(),
            (Step::All, Value::Object(fields)) => fields.values().collect(),
            (Step::Where(path, text), Value::Array(items)) => {
                let at = |item: &'a Value| path.iter().try_fold(item, |value, name| value.get(name));
                let equal =
                    |item: &&'a Value| at(item).is_some_and(|value| crate::api::plain::shown(Some(value)) == *text);
                items.iter().filter(equal).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let path = path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(path);
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = closing(after)?;
            steps.push(bracket(&after[..end])?);
            rest = &after[end + 1..];
        } else {
            let after = rest.strip_prefix('.')?;
            let (name, left) = plain_name(after);
            match name.as_str() {
                "" if left.starts_with('[') => {}
                "" if left.is_empty() && steps.is_empty() => {}
                "" => return None,
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Name(name)),
            }
            rest = left;
        }
    }
    Some(steps)
}

/// Where the bracket ends that was opened before `text`; quotes may hold brackets.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn bracket(inside: &str) -> Option<Step> {
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(name) = unquoted(inside) {
        return Some(Step::Name(name));
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|inside| inside.strip_suffix(')')) {
        let (left, right) = condition.split_once("==")?;
        let path = left.trim().strip_prefix("@.")?.split('.').map(str::to_owned).collect();
        let right = right.trim();
        return Some(Step::Where(path, unquoted(right).unwrap_or_else(|| right.to_owned())));
    }
    inside.trim().parse().ok().map(Step::Item)
}

fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].strip_suffix(quote).map(str::to_owned)
}

/// A name up to the next dot or bracket; a backslash takes the next character as it is.
fn plain_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (name, &text[at..]),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            _ => name.push(c),
        }
    }
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_values() {
        let object = json!({"spec": {"replicas": 3, "a.b/c": "x", "list": [{"n": 1}, {"n": 2}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]}});
        let check = |path: &str, want: Value| {
            let found: Vec<Value> =
                find(&object, path).unwrap_or_else(|| panic!("{path}")).into_iter().cloned().collect();
            assert_eq!(Value::Array(found), want, "{path}");
        };
        check(".spec.replicas", json!([3]));
        check("{.spec.replicas}", json!([3]));
        check(".spec.a\\.b/c", json!(["x"]));
        check(".spec['a.b/c']", json!(["x"]));
        check(".spec.list[*].n", json!([1, 2]));
        check(".spec.list[-1].n", json!([2]));
        check(".status.conditions[?(@.type==\"Ready\")].status", json!(["True"]));
        check(".status.conditions[?(@.type == 'None')].status", json!([]));
        check(".nothing.here", json!([]));
        for wrong in ["spec", ".a..b", ".a[", ".a[?(x)]", ".a[b]"] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }
}
