//! Event: something happened to an object, told for people.
//!
//! Source: Kubernetes API reference v1.32, "Event" (core/v1).

use crate::api::kinds::{Also, Column};
use crate::api::meta::{MicroTime, ObjectMeta, Time};
use crate::api::object::Object;
use crate::api::text::Text;
use crate::api_struct;
use crate::time::{Duration, Human};
use serde_json::Value;

/// Events are forgotten after this time.
///
/// Source: Kubernetes, kube-apiserver `--event-ttl`.
pub const TTL: Duration = Duration::from_secs(3600);

api_struct! {
    /// An event.
    pub struct Event {
        /// Names, identity, versions.
        metadata "metadata" always: ObjectMeta,
        /// What it happened to.
        involved_object "involvedObject" always: ObjectReference,
        /// Why, in one word.
        reason "reason": Text,
        /// What happened, for people.
        message "message": Text,
        /// Who tells it.
        source "source" always: EventSource,
        /// When it happened first.
        first_timestamp "firstTimestamp": Option<Time>,
        /// When it happened last.
        last_timestamp "lastTimestamp": Option<Time>,
        /// How often it happened.
        count "count": Option<i32>,
        /// `Normal` or `Warning`.
        kind "type": Text,
        /// When it happened first, exactly.
        event_time "eventTime": Option<MicroTime>,
        /// Who tells it: the controller's name.
        reporting_component "reportingComponent" always: Text,
        /// Who tells it: the instance's name.
        reporting_instance "reportingInstance" always: Text,
    }
}

api_struct! {
    /// The object an event is about.
    pub struct ObjectReference {
        /// Its kind.
        kind "kind": Text,
        /// Its namespace.
        namespace "namespace": Text,
        /// Its name.
        name "name": Text,
        /// Its uid.
        uid "uid": Text,
        /// Group and version of its kind.
        api_version "apiVersion": Text,
        /// Its revision then.
        resource_version "resourceVersion": Text,
        /// The part of it that is meant, for example `spec.containers{web}`.
        field_path "fieldPath": Text,
    }
}

api_struct! {
    /// Who tells an event.
    pub struct EventSource {
        /// The program.
        component "component": Text,
        /// The node it ran on.
        host "host": Text,
    }
}

/// The same events in group events.k8s.io, where nine fields have other names.
///
/// Source: Kubernetes API reference v1.32, "Event" (events.k8s.io/v1); `pkg/apis/events/v1/conversion.go`.
pub const EVENTS_V1: Also = Also {
    group: "events.k8s.io",
    version: "v1",
    message: "events/v1.Event",
    to_kept: |event| rename(event, |(kept, there)| (there, kept)),
    from_kept: |event| rename(event, |names| names),
};

/// What a field is called in the core group, and in events.k8s.io.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(event: &mut Value, order: fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let Value::Object(fields) = event else { return };
    for (from, to) in NAMES.iter().copied().map(order) {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.into(), value);
        }
    }
}

/// What kubectl shows of events.
pub const COLUMNS: &[Column] = &[
    Column::new("Last Seen", 0, |object, now| {
        let event = event(object);
        let seen = event.last_timestamp.map(Time::wall).or(event.event_time.map(MicroTime::wall));
        seen.map_or("<unknown>".into(), |seen| Human(now.wall.since(seen)).to_string())
    }),
    Column::new("Type", 0, |object, _| event(object).kind.to_string()),
    Column::new("Reason", 0, |object, _| event(object).reason.to_string()),
    Column::new("Object", 0, |object, _| {
        let about = &event(object).involved_object;
        format!("{}/{}", about.kind.to_lowercase(), about.name)
    }),
    Column::new("Subobject", 1, |object, _| event(object).involved_object.field_path.to_string()),
    Column::new("Source", 1, |object, _| {
        let source = &event(object).source;
        let both = [source.component.as_str(), source.host.as_str()];
        both.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }),
    Column::new("Message", 0, |object, _| event(object).message.trim().to_owned()),
    Column::new("First Seen", 1, |object, now| {
        event(object).first_timestamp.map_or("<unknown>".into(), |seen| Human(now.wall.since(seen.wall())).to_string())
    }),
    Column::new("Count", 1, |object, _| event(object).count.unwrap_or(1).to_string()),
    Column::name_with_priority("Name", 1),
];

fn event(object: &Object) -> &Event {
    object.get().expect("the table of kinds hands these columns events only")
}
