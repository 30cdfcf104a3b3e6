//! What happened to an object.

use crate::cli::Session;
use crate::cli::cluster::selectors;
use crate::cli::error::CliError;
use crate::cli::print;
use miniku_core::api::event::Event;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{MicroTime, Time};
use miniku_core::api::object::Object;
use miniku_core::time::{Human, Wall};
use std::fmt::Write;

/// The events of an object, oldest first.
pub fn of(object: &Object, session: &Session) -> Result<Vec<Object>, CliError> {
    let (meta, row) = (object.meta(), object.kind().row());
    let mut fields = format!("involvedObject.kind={},involvedObject.name={}", row.name, meta.name);
    // Kubelets tell events of their node without knowing its uid.
    if object.kind() != Kind::Node && !meta.uid.is_empty() {
        let _ = write!(fields, ",involvedObject.uid={}", meta.uid);
    }
    let namespace = row.namespaced.then_some(meta.namespace.as_str());
    let mut events = session.cluster.objects(Kind::Event, namespace, &selectors(None, Some(&fields)))?;
    events.sort_by_key(|event| (event.get::<Event>().and_then(last_seen), event.meta().name.clone()));
    Ok(events)
}

fn last_seen(event: &Event) -> Option<Wall> {
    event.last_timestamp.map(Time::wall).or(event.event_time.map(MicroTime::wall))
}

/// The table at the end of a description.
pub fn describe(text: &mut String, events: &[Object]) {
    if events.is_empty() {
        text.push_str("Events:\t<none>\n");
        return;
    }
    text.push_str("Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------\n");
    let now = print::now();
    for event in events.iter().filter_map(|object| object.get::<Event>()) {
        let age = |at: Option<Wall>| at.map_or("<unknown>".into(), |at| Human(now.wall.since(at)).to_string());
        let age = match event.count {
            Some(count) if count > 1 => {
                format!("{} (x{count} over {})", age(last_seen(event)), age(event.first_timestamp.map(Time::wall)))
            }
            _ => age(last_seen(event)),
        };
        let component = event.source.component.as_str();
        let from = if component.is_empty() { &event.reporting_component } else { component };
        let message = event.message.trim().replace(['\n', '\t'], " ");
        let _ = writeln!(text, "  {}\t{}\t{age}\t{from}\t{message}", event.kind, event.reason);
    }
}
