//! What the descriptions of all kinds have in common: names, labels, times, owners.

use miniku_core::api::meta::{Labels, ObjectMeta, Time};
use miniku_core::api::object::Object;
use std::fmt::Write;

/// Name, namespace, labels and annotations.
pub fn head(text: &mut String, object: &Object) {
    let meta = object.meta();
    field(text, "Name", &meta.name);
    if object.kind().row().namespaced {
        field(text, "Namespace", &meta.namespace);
    }
    labels(text, "Labels", &meta.labels);
    annotations(text, &meta.annotations);
}

/// One field of one line.
pub fn field(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name}:\t{value}");
}

/// One label a line.
pub fn labels(text: &mut String, name: &str, labels: &Labels) {
    let lines = labels.iter().map(|(key, value)| format!("{key}={value}"));
    list(text, name, lines);
}

/// One annotation a line. What `apply` wrote down is not for people.
pub fn annotations(text: &mut String, annotations: &Labels) {
    let shown = annotations.iter().filter(|(key, _)| !key.ends_with("/last-applied-configuration"));
    list(text, "Annotations", shown.map(|(key, value)| format!("{key}: {}", value.replace('\n', " "))));
}

/// Lines below each other, `<none>` if there are none.
pub fn list(text: &mut String, name: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    let joined = lines.join("\n\t");
    field(text, name, if lines.is_empty() { "<none>" } else { &joined });
}

/// The owner that manages the object, if there is one.
pub fn controlled_by(text: &mut String, meta: &ObjectMeta) {
    if let Some(owner) = meta.controller() {
        field(text, "Controlled By", &format!("{}/{}", owner.kind, owner.name));
    }
}

/// A time as RFC 1123 has it, in UTC: `Wed, 04 Feb 2026 13:27:54 +0000`.
pub fn time(time: Option<Time>) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Some(time) = time else { return "<unknown>".into() };
    // 1970-01-01 was a Thursday.
    let day = DAYS[usize::try_from(time.wall().secs().div_euclid(86_400).rem_euclid(7)).unwrap_or(0)];
    let written = time.to_string();
    let (date, clock) = written.split_once('T').unwrap_or((&written, ""));
    let mut parts = date.splitn(3, '-');
    let (Some(year), Some(month), Some(date)) = (parts.next(), parts.next(), parts.next()) else { return written };
    let Some(month) = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1))) else {
        return written;
    };
    format!("{day}, {date} {month} {year} {} +0000", clock.trim_end_matches('Z'))
}

/// `<none>` for an empty text.
pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        let at = |text: &str| time(Some(serde_json::from_str(&format!("{text:?}")).unwrap()));
        assert_eq!(at("2026-02-04T13:27:54Z"), "Wed, 04 Feb 2026 13:27:54 +0000");
        assert_eq!(at("1969-12-31T23:59:59Z"), "Wed, 31 Dec 1969 23:59:59 +0000");
        assert_eq!(time(None), "<unknown>");
    }
}
