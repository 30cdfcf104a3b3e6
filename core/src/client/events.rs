//! Telling people what happened: Events about objects, counted instead of repeated.

use crate::api::event::{Event, EventSource, ObjectReference};
use crate::api::meta::{MicroTime, Time};
use crate::api::object::{Object, Resource};
use crate::api::text::Text;
use crate::client::Ids;
use crate::program::{Effect, Effects, Part, Verb};
use crate::rng::Draw;
use crate::time::{Duration, Instant, Now, Wall};
use std::collections::{BTreeMap, VecDeque};

/// Writes events for one program. What it writes is never waited for: a lost event is lost.
#[derive(Debug)]
pub struct EventRecorder {
    component: &'static str,
    host: String,
    ids: Ids,
    /// The time in the newest name, in nanoseconds since 1970.
    named_at: i64,
    /// Events told before, by what they say; the oldest are forgotten.
    told: BTreeMap<u64, Told>,
    order: VecDeque<u64>,
    /// How many more events about an object are written, by its uid; the oldest are forgotten.
    allowances: BTreeMap<Text, Allowance>,
    allowed: VecDeque<Text>,
}

/// What an event says as it did when it was told first, and how often that was told. All else in it follows from what is
/// told again, and an event is large.
#[derive(Debug)]
struct Told {
    name: Text,
    tone: Tone,
    /// The revision of what it is about.
    revision: Text,
    at: Wall,
    count: i32,
}

/// How many different events are remembered, so that a repetition is counted; and how many objects.
const REMEMBERED: usize = 1024;

/// So many events about one object are written in a row. Ten thousand pods are not told of their set one by one.
///
/// Source: client-go, `tools/record`, `defaultSpamBurst`.
const BURST: u32 = 25;

/// After this time one more is written.
///
/// Source: client-go, `tools/record`, `defaultSpamQPS`.
const ONE_MORE: Duration = Duration::from_secs(300);

/// How many more events are written about one object.
#[derive(Debug)]
struct Allowance {
    left: u32,
    /// Up to when what was gained is in it.
    counted: Instant,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Allowance { left: BURST, counted: now }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && self.counted + ONE_MORE <= now {
            (self.left, self.counted) = (self.left + 1, self.counted + ONE_MORE);
        }
        if self.left == BURST {
            self.counted = now;
        }
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }
}

/// So many nanoseconds are one in the name of an event.
const WHO: i64 = 0x100;

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
            named_at: 0,
            told: BTreeMap::new(),
            order: VecDeque::new(),
            allowances: BTreeMap::new(),
            allowed: VecDeque::new(),
        }
    }

    /// Tells something about an object. The same thing told again raises the count of the first event. Of very many events
    /// about one object only the first are written.
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
        let id = draw.u64();
        if !self.told.contains_key(&id) {
            let (name, revision) = (self.name(now, &meta.name).into(), meta.resource_version.clone());
            self.told.insert(id, Told { name, tone, revision, at: now.wall, count: 0 });
            self.order.push_back(id);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.told.remove(&oldest);
            }
        }
        let allowed = self.allows(now, &meta.uid);
        let Some(told) = self.told.get_mut(&id) else { return };
        told.count = told.count.saturating_add(1);
        if !allowed {
            return;
        }
        let mut event = Event {
            involved_object: ObjectReference {
                kind: row.name.into(),
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
                api_version: row.api_version().into(),
                resource_version: told.revision.clone(),
                ..Default::default()
            },
            reason: reason.into(),
            message: message.into(),
            source: EventSource {
                component: self.component.into(),
                host: self.host.as_str().into(),
                ..Default::default()
            },
            first_timestamp: Some(Time::of(told.at)),
            last_timestamp: Some(Time::of(now.wall)),
            count: Some(told.count),
            kind: if told.tone == Tone::Normal { "Normal" } else { "Warning" }.into(),
            event_time: Some(MicroTime::of(told.at)),
            reporting_component: self.component.into(),
            reporting_instance: self.host.as_str().into(),
            ..Default::default()
        };
        event.metadata.name = told.name.clone();
        event.metadata.namespace = if meta.namespace.is_empty() { "default".into() } else { meta.namespace.clone() };
        let request = Verb::Update { object: event.into_object(), part: Part::Main }.into();
        out.push(Effect::Call { call: self.ids.draw(), request });
    }

    /// Whether one more event about the object of this uid is written.
    fn allows(&mut self, now: Now, uid: &Text) -> bool {
        if let Some(allowance) = self.allowances.get_mut(uid) {
            return allowance.take(now.mono);
        }
        let mut allowance = Allowance::full(now.mono);
        let allows = allowance.take(now.mono);
        self.allowances.insert(uid.clone(), allowance);
        self.allowed.push_back(uid.clone());
        if self.allowed.len() > REMEMBERED
            && let Some(oldest) = self.allowed.pop_front()
        {
            self.allowances.remove(&oldest);
        }
        allows
    }

    /// A name for a new event about an object of this name: the time in nanoseconds, so that names are in the order of time,
    /// but for the last two digits, which tell apart who names. None is given twice.
    ///
    /// Source: client-go, `tools/record`, `makeEvent`.
    fn name(&mut self, now: Now, about: &str) -> String {
        let who = Draw::new(0).key(self.component).key(&self.host).below(WHO as u64) as i64;
        let rounded = |nanos: i64| nanos.max(0) / WHO * WHO;
        self.named_at = rounded(now.wall.nanos()).max(rounded(self.named_at.saturating_add(WHO))) + who;
        let about: String = about.chars().take(220).collect();
        format!("{about}.{:016x}", self.named_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;

    /// The names under which events are written that say this, each some nanoseconds after the one before.
    fn names(recorder: &mut EventRecorder, said: &[(u64, &str)]) -> Vec<Text> {
        let about = Object::empty(Kind::Pod).with_meta(|meta| meta.name = "web".into());
        let (mut now, mut out) = (Now { wall: Wall::from_secs(1_790_000_000), ..Now::default() }, Effects::default());
        for (later, message) in said {
            now.wall = now.wall + Duration::from_nanos(*later);
            recorder.tell(now, &about, Tone::Normal, "Said", *message, &mut out);
        }
        let written = |effect: &Effect| match effect {
            Effect::Call { request, .. } => match &request.verb {
                Verb::Update { object, .. } => object.meta().name.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        out.list.iter().map(written).collect()
    }

    #[test]
    fn names_are_in_the_order_of_time() {
        let mut recorder = EventRecorder::new("kubelet", "n1", 1);
        let told = names(&mut recorder, &[(0, "a"), (1_000, "b"), (0, "c"), (1, "d"), (1_000_000, "e")]);
        assert!(told.is_sorted() && told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
        assert!(told[0].starts_with("web.18d75b84") && told[0].len() == "web.".len() + 16, "{told:?}");
    }

    #[test]
    fn what_is_told_again_keeps_its_name_and_others_have_another() {
        let mut recorder = EventRecorder::new("kubelet", "n1", 1);
        let told = names(&mut recorder, &[(0, "a"), (1_000, "b"), (1_000, "a")]);
        assert!(told[0] == told[2] && told[0] != told[1]);
        for (component, host) in [("kubelet", "n2"), ("default-scheduler", "")] {
            assert_ne!(names(&mut EventRecorder::new(component, host, 1), &[(0, "a")])[0], told[0]);
        }
    }
    #[test]
    fn of_very_many_about_one_object_the_first_are_written() {
        let mut recorder = EventRecorder::new("replicaset-controller", "", 1);
        let mut now = Now { wall: Wall::from_secs(1_790_000_000), ..Now::default() };
        let mut written = |now: Now, uid: &str, many: u32| {
            let about = Object::empty(Kind::ReplicaSet).with_meta(|meta| meta.uid = uid.into());
            let mut out = Effects::default();
            for nth in 0..many {
                recorder.tell(now, &about, Tone::Normal, "Said", format!("{nth} at {:?}", now.mono), &mut out);
            }
            out.list.len()
        };
        assert_eq!((written(now, "a", 1000), written(now, "b", 7)), (25, 7));
        now.mono = now.mono + Duration::from_secs(700);
        assert_eq!((written(now, "a", 1000), written(now, "b", 1000)), (2, 20));
        now.mono = now.mono + Duration::from_secs(100_000);
        assert_eq!(written(now, "a", 1000), 25);
    }
}
