//! Small texts that stand in requests and in fields.

use miniku_core::api::jsonpath as paths;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{MicroTime, Time, parse_rfc3339, rfc3339_nanos};
use miniku_core::api::object::Object;
use miniku_core::api::quantity::Quantity;
use miniku_core::api::selector::{parse_field_selector, parse_label_selector};
use miniku_core::durations;
use miniku_core::program::Query;
use serde_json::{Value, json};
use std::sync::LazyLock;

static POD: LazyLock<Object> = LazyLock::new(|| {
    let pod = json!({"metadata": {"name": "a", "namespace": "x", "labels": {"app": "web", "x/y": "", "in": "1"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Running"}});
    Object::from_value(Kind::Pod, pod).expect("it is a pod")
});

/// A selector of labels and one of fields.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(labels) = parse_label_selector(text) {
        let query = Query { labels: labels.clone(), ..Query::all(Kind::Pod) };
        let selects = query.matches(&POD);
        if !labels.is_empty() {
            let again = parse_label_selector(&labels.to_string()).expect("it is written as it is read");
            assert_eq!(Query { labels: again, ..query }.matches(&POD), selects, "{labels}");
        }
    }
    if let Ok(fields) = parse_field_selector(text) {
        let query = Query { fields, ..Query::all(Kind::Pod) };
        query.unknown_field();
        query.matches(&POD);
    }
}

/// An amount, a duration, a time.
pub fn quantity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(amount) = text.parse::<Quantity>() {
        let again: Quantity = amount.to_string().parse().expect("it is written as it is read");
        assert_eq!(again, amount);
        let (whole, milli) = (amount.value(), amount.milli_value());
        assert!(milli >= whole || whole == u64::MAX || milli == u64::MAX, "{amount}: {whole} {milli}");
        assert!(!amount.is_negative() || (whole, milli) == (0, 0), "{amount}");
    }
    if let Ok(number) = serde_json::from_str::<Quantity>(text) {
        let again = serde_json::to_string(&number).expect("it can be written");
        assert_eq!(serde_json::from_str::<Quantity>(&again).expect("it is read back"), number);
    }
    if let Ok(duration) = durations::parse(text) {
        assert_eq!(durations::parse(&durations::text(duration)), Ok(duration));
    }
    if let Ok(wall) = parse_rfc3339(text) {
        assert_eq!(parse_rfc3339(&rfc3339_nanos(wall)), Ok(wall));
        let (time, micro) = (Time::of(wall), MicroTime::of(wall));
        assert_eq!(parse_rfc3339(&time.to_string()).map(Time::of), Ok(time));
        assert_eq!(parse_rfc3339(&micro.to_string()).map(MicroTime::of), Ok(micro));
    }
}

/// A path, then a line end, then what it is a path in; if that is no JSON, in a pod.
pub fn jsonpath(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, value) = text.split_once('\n').unwrap_or((text, ""));
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| POD.to_value());
    assert_eq!(paths::find(&value, path).is_some(), paths::is_path(path));
}
