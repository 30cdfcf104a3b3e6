//! Telling people what happened: Events about objects, counted instead of repeated.

use crate::api::event::{Event, EventSource, ObjectReference};
use crate::api::meta::{MicroTime, Time};
use crate::api::object::{Object, Resource};
use crate::client::Ids;
use crate::program::{Effect, Effects, Part, Verb};
use crate::rng::Draw;
use crate::time::Now;
use std::collections::BTreeMap;

/// Writes events for one program. What it writes is never waited for: a lost event is lost.
#[derive(Debug)]
pub struct EventRecorder {
    component: &'static str,
    host: String,
    ids: Ids,
    /// Events told before, by what they say; the oldest are forgotten.
    told: BTreeMap<u64, Event>,
    order: std::collections::VecDeque<u64>,
}

/// How many different events are remembered, so that a repetition is counted.
const REMEMBERED: usize = 1024;

/// Whether an event tells of something going well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Normal,
    /// Somebody may have to look.
    Warning,
}

impl EventRecorder {
    /// For a program on a node, or on none; `space` differs from those of its calls and informers.
    pub fn new(component: &'static str, host: &str, space: u16) -> Self {
        EventRecorder {
            component,
            host: host.into(),
            ids: Ids::in_space(space),
            told: BTreeMap::new(),
            order: std::collections::VecDeque::new(),
        }
    }

    /// Tells something about an object. The same thing told again raises the count of the first event.
    pub fn tell(
        &mut self,
        now: Now,
        about: &Object,
        tone: Tone,
        reason: &str,
        message: impl Into<String>,
        out: &mut Effects,
    ) {
        let (meta, row, message) = (about.meta(), about.kind().row(), message.into());
        let draw = Draw::new(0).key(self.component).key(&self.host).key(&meta.uid).key(reason).key(&message);
        let at = Time::of(now.wall);
        let id = draw.u64();
        if let Some(event) = self.told.get_mut(&id) {
            event.count = Some(event.count.unwrap_or(1).saturating_add(1));
            event.last_timestamp = Some(at);
        } else {
            let mut event = Event {
                involved_object: ObjectReference {
                    kind: row.name.into(),
                    namespace: meta.namespace.clone(),
                    name: meta.name.clone(),
                    uid: meta.uid.clone(),
                    api_version: row.api_version(),
                    resource_version: meta.resource_version.clone(),
                    ..Default::default()
                },
                reason: reason.into(),
                message,
                source: EventSource { component: self.component.into(), host: self.host.clone(), ..Default::default() },
                first_timestamp: Some(at),
                last_timestamp: Some(at),
                count: Some(1),
                kind: if tone == Tone::Normal { "Normal" } else { "Warning" }.into(),
                event_time: Some(MicroTime::of(now.wall)),
                reporting_component: self.component.into(),
                reporting_instance: self.host.clone(),
                ..Default::default()
            };
            let name: String = meta.name.chars().take(220).collect();
            event.metadata.name =
                format!("{name}.{:016x}", draw.count(u64::from(now.wall.secs().unsigned_abs() as u32)).u64());
            event.metadata.namespace =
                if meta.namespace.is_empty() { "default".into() } else { meta.namespace.clone() };
            self.told.insert(id, event);
            self.order.push_back(id);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.told.remove(&oldest);
            }
        }
        let object = self.told[&id].clone().into_object();
        out.push(Effect::Call { call: self.ids.draw(), request: Verb::Update { object, part: Part::Main }.into() });
    }
}
