//! The endpoints controller: four views, and for each service the writes that are on their way.

use crate::api::endpoints::{MANAGED_BY, SERVICE_NAME, SLICE_CONTROLLER};
use crate::api::kinds::Kind;
use crate::api::meta::ObjectMeta;
use crate::api::names::generated;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::selector::LabelSelector;
use crate::api::service::Service;
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::client::{Calls, Change, Deadlines, Informer, RETRY, Tries, informer};
use crate::controllers::endpoints::plan::{Plan, View, plan};
use crate::controllers::endpoints::upkeep::{Action, Found, Kept, UPKEEP, upkeep};
use crate::controllers::labelled::Labelled;
use crate::controllers::workload::failures::Failures;
use crate::controllers::workload::selecting::Selecting;
use crate::decision::{Because, Decision};
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Query, Revision, Verb};
use crate::rng::Draw;
use crate::time::{Instant, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How the controller behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How its list-watches retry.
    pub informer: informer::Options,
}

/// Keeps the EndpointSlices and the Endpoints of services.
///
/// A change of a pod costs its labels and then, for each service that selects it, the service's pods. While writes for a
/// service are on their way it is not looked at, so that many changes at once are few writes.
#[derive(Debug)]
pub struct EndpointsController {
    services: Informer,
    pods: Informer,
    slices: Informer,
    endpoints: Informer,
    calls: Calls<Asked>,
    /// Services to look at.
    queue: Deadlines<Key>,
    selecting: Selecting,
    labelled: Labelled,
    /// Slices that are kept here, by the service that they name.
    of_service: BTreeMap<Key, BTreeSet<Key>>,
    /// Services whose slices somebody else took away, and how often lately.
    taken: BTreeMap<Key, Failures>,
    /// What is on its way, or has failed. Services about which nothing is have none.
    care: BTreeMap<Key, Care>,
    /// Services of which it is not known whether they are still there, and which lack something then.
    unsure: BTreeSet<Key>,
}

#[derive(Debug, Default)]
struct Care {
    /// Objects that are being written, and what is waited for.
    open: BTreeMap<Key, Awaited>,
    /// Objects whose writes failed.
    tries: BTreeMap<Key, Tries>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The answer.
    Answer,
    /// That the view shows it at this revision, or a later one, or that it is gone.
    Sight(Revision),
}

/// What a call is for.
#[derive(Clone, Debug)]
enum Asked {
    /// An object of this service is written.
    Write { service: Key, object: Key },
    /// Whether the service of these Endpoints is really gone.
    IsGone { service: Key, endpoints: Object },
}

/// Spaces of call ids.
const SERVICES: u16 = 1;
const PODS: u16 = 2;
const SLICES: u16 = 3;
const ENDPOINTS: u16 = 4;
const CALLS: u16 = 5;

impl EndpointsController {
    /// Knows nothing yet. `seed` decides the jitter of its retries.
    pub fn new(options: Options, seed: u64) -> Self {
        let view = |kind, space| Informer::new(Query::all(kind), space, seed, options.informer);
        EndpointsController {
            services: view(Kind::Service, SERVICES),
            pods: view(Kind::Pod, PODS),
            slices: view(Kind::EndpointSlice, SLICES),
            endpoints: view(Kind::Endpoints, ENDPOINTS),
            calls: Calls::in_space(CALLS),
            queue: Deadlines::default(),
            selecting: Selecting::default(),
            labelled: Labelled::default(),
            of_service: BTreeMap::new(),
            taken: BTreeMap::new(),
            care: BTreeMap::new(),
            unsure: BTreeSet::new(),
        }
    }

    fn is_synced(&self) -> bool {
        [&self.services, &self.pods, &self.slices, &self.endpoints].iter().all(|view| view.is_synced())
    }

    fn service_changed(&mut self, now: Now, change: &Change) {
        let (old, new) = change.sides();
        if let Some(selector) = old.and_then(selector) {
            old.into_iter().for_each(|old| self.selecting.remove(&old.key(), &selector));
        }
        if let Some(selector) = new.and_then(selector) {
            new.into_iter().for_each(|new| self.selecting.add(&new.key(), &selector));
        }
        if let (Some(old), None) = (old, new) {
            self.taken.remove(&old.key());
        }
        match old.or(new) {
            Some(_) if old.is_some() && new.is_some() && planted!(ServiceChangeUnheard) => {}
            Some(object) => self.queue.set(object.key(), now.mono),
            None => self.look_at_all(now),
        }
    }

    fn pod_changed(&mut self, now: Now, change: &Change) {
        self.labelled.changed(change);
        let (old, new) = change.sides();
        if matches!(change, Change::Synced) {
            return self.look_at_all(now);
        }
        let pods = (old.and_then(Object::get::<Pod>), new.and_then(Object::get::<Pod>));
        if pods.0.map(face) == pods.1.map(face) {
            return;
        }
        for object in old.into_iter().chain(new) {
            for service in self.selecting.candidates(object.meta()) {
                self.queue.set(service, now.mono);
            }
        }
    }

    fn slice_changed(&mut self, now: Now, change: &Change) {
        let (old, new) = change.sides();
        if let Some(object) = old {
            let service = service_of(object.meta());
            if new.is_none() {
                self.slice_is_gone(now, &service, &object.key());
            }
            if let Some(slices) = self.of_service.get_mut(&service) {
                slices.remove(&object.key());
                if slices.is_empty() {
                    self.of_service.remove(&service);
                }
            }
            self.shown(now, &service, &object.key(), new.map(Object::revision));
        }
        if let Some(object) = new {
            let service = service_of(object.meta());
            if object.meta().labels.get(MANAGED_BY).is_some_and(|by| by == SLICE_CONTROLLER) {
                self.of_service.entry(service.clone()).or_default().insert(object.key());
            }
            self.shown(now, &service, &object.key(), Some(object.revision()));
        }
        if matches!(change, Change::Synced) {
            self.listed(now, Kind::EndpointSlice);
        }
    }

    /// Whoever took away a slice that is kept here, and was not asked to go, may go on doing so.
    fn slice_is_gone(&mut self, now: Now, service: &Key, slice: &Key) {
        let is_kept = self.of_service.get(service).is_some_and(|slices| slices.contains(slice));
        let asked = |care: &Care| care.open.contains_key(slice) || care.tries.contains_key(slice);
        let is_there = self.services.object(service).is_some();
        if is_kept && is_there && !self.care.get(service).is_some_and(asked) {
            self.taken.entry(service.clone()).or_default().add(now.mono);
        }
    }

    /// When so many slices may be made for a service, if so many were taken away lately that it is not now.
    fn turn(&self, now: Now, service: &Key, missing: usize) -> Option<Instant> {
        let slices = missing + self.of_service.get(service).map_or(0, BTreeSet::len);
        let turn = self.taken.get(service)?.replace_at(slices);
        Some(turn).filter(|turn| *turn > now.mono)
    }

    fn endpoints_changed(&mut self, now: Now, change: &Change) {
        let (old, new) = change.sides();
        match old.or(new) {
            Some(object) => {
                let key = object.key();
                let service = Key { kind: Kind::Service, ..key.clone() };
                self.shown(now, &service, &key, new.map(Object::revision));
            }
            None => self.listed(now, Kind::Endpoints),
        }
    }

    /// A view shows an object at this revision; absent if it is gone.
    fn shown(&mut self, now: Now, service: &Key, object: &Key, at: Option<Revision>) {
        if let Some(care) = self.care.get_mut(service) {
            // What failed was decided on an older version.
            care.tries.remove(object);
            if let Some(Awaited::Sight(awaited)) = care.open.get(object)
                && at.is_none_or(|at| at >= *awaited)
            {
                care.open.remove(object);
            }
        }
        self.queue.set(service.clone(), now.mono);
    }

    /// All objects of a kind were listed anew, so that some may have come and gone unseen.
    fn listed(&mut self, now: Now, kind: Kind) {
        for care in self.care.values_mut() {
            care.open.retain(|object, awaited| object.kind != kind || *awaited == Awaited::Answer);
        }
        self.look_at_all(now);
    }

    fn look_at_all(&mut self, now: Now) {
        let services = self.services.objects().map(Object::key);
        let named = self.endpoints.objects().map(|object| Key { kind: Kind::Service, ..object.key() });
        for service in services.chain(named) {
            self.queue.set(service, now.mono);
        }
    }

    fn sync(&mut self, now: Now, key: &Key, out: &mut Effects) {
        if !self.is_synced() || self.care.get(key).is_some_and(|care| !care.open.is_empty()) {
            // Looked at when that has changed.
            return;
        }
        let endpoints = self.endpoints.object(&Key { kind: Kind::Endpoints, ..key.clone() });
        let object = self.services.object(key);
        let service = object.and_then(Object::read::<Service>);
        if object.is_some() && service.is_none() {
            return;
        }
        let row = upkeep(Kept::of(service.as_ref()), Found::of(endpoints));
        let plan = match (row.then, object, endpoints) {
            (Action::Keep, Some(object), _) => {
                let selector = selector(object).unwrap_or_default();
                let pods =
                    self.labelled.candidates(&key.namespace, &selector).filter_map(|pod| self.pods.get::<Pod>(&pod));
                let slices = self.of_service.get(key).into_iter().flatten();
                plan(&View {
                    service: object,
                    pods: pods.filter(|pod| selector.matches(&pod.metadata.labels)).collect(),
                    slices: slices.filter_map(|slice| self.slices.object(slice)).collect(),
                    endpoints,
                })
            }
            (Action::Remove, _, Some(endpoints)) => Plan { delete: vec![endpoints.clone()], ..Plan::default() },
            (Action::Keep | Action::Leave | Action::Remove, _, _) => Plan::default(),
        };
        let mut plan = plan;
        // For one that is gone it would make slices as fast as they are collected.
        if !plan.create.is_empty() && !self.services.is_connected() {
            plan.create.clear();
            self.unsure.insert(key.clone());
        }
        // So it would with a view that is connected, and behind.
        let missing = plan.create.iter().filter(|object| is_slice(object)).count();
        if missing > 0
            && let Some(turn) = self.turn(now, key, missing)
        {
            plan.create.retain(|object| !is_slice(object));
            self.queue.set_if_earlier(key.clone(), turn);
        }
        let is_gone = row.then == Action::Remove;
        if is_gone {
            let endpoints = Key { kind: Kind::Endpoints, ..key.clone() };
            let decision = Decision::about(endpoints, Because::of(&UPKEEP, row));
            out.decided(Level::Info, decision.for_sake_of(key.clone()));
        }
        self.carry_out(now, key, plan, is_gone, out);
    }

    fn carry_out(&mut self, now: Now, service: &Key, plan: Plan, service_is_gone: bool, out: &mut Effects) {
        let mut writes: Vec<(Key, Asked, Verb)> = Vec::new();
        let write = |object: Key| Asked::Write { service: service.clone(), object };
        let mut taken: BTreeSet<Key> = BTreeSet::new();
        for mut object in plan.create {
            if object.meta().name.is_empty() {
                let key = self.free_name(&object, service, &taken);
                object.edit_meta(|meta| meta.name = key.name.clone());
                taken.insert(key);
            }
            writes.push((object.key(), write(object.key()), Verb::Create { object }));
        }
        for object in plan.change {
            writes.push((object.key(), write(object.key()), Verb::Update { object, part: Part::Main }));
        }
        for object in plan.delete {
            let key = object.key();
            if service_is_gone {
                // The view of services may be behind that of Endpoints: then they belong to one that it does not show.
                let asked = Asked::IsGone { service: service.clone(), endpoints: object };
                writes.push((key, asked, Verb::Get { key: service.clone() }));
            } else {
                writes.push((key.clone(), write(key), deletion(&object)));
            }
        }
        let care = self.care.entry(service.clone()).or_default();
        care.tries.retain(|object, _| writes.iter().any(|(written, ..)| written == object));
        for (object, asked, verb) in writes {
            match care.tries.get(&object).and_then(|tries| tries.waits_until(now.mono)) {
                Some(_) if planted!(EndpointsRetryNotArmed) => {}
                Some(turn) => self.queue.set_if_earlier(service.clone(), turn),
                None => {
                    care.open.insert(object, Awaited::Answer);
                    self.calls.call(now, asked, verb, out);
                }
            }
        }
        if care.open.is_empty() && care.tries.is_empty() {
            self.care.remove(service);
        }
    }

    /// The first name that is free of those drawn for a service's slices. One whose creation was lost is asked for again
    /// under its name.
    fn free_name(&self, slice: &Object, service: &Key, taken: &BTreeSet<Key>) -> Key {
        let meta = slice.meta();
        let uid = meta.controller().map_or("", |by| by.uid.as_str());
        let draw = Draw::new(0).key("endpoint-slice").key(uid);
        let mut keys = (0..).map(|nth| {
            let name = generated(&format!("{}-", service.name), draw.count(nth));
            Key::new(Kind::EndpointSlice, &meta.namespace, &name)
        });
        let is_free = |key: &Key| self.slices.object(key).is_none() && !taken.contains(key);
        keys.find(is_free).expect("there are more names than slices")
    }

    fn ended(&mut self, now: Now, asked: Asked, answer: Answer, out: &mut Effects) {
        let (service, object) = match asked {
            Asked::Write { service, object } => (service, object),
            Asked::IsGone { service, endpoints } => return self.asked_for(now, service, endpoints, answer, out),
        };
        let view = if object.kind == Kind::Endpoints { &self.endpoints } else { &self.slices };
        let (shown, seen) = (view.object(&object).map(Object::revision), view.revision());
        let Some(care) = self.care.get_mut(&service) else { return };
        self.queue.set(service, now.mono);
        care.open.remove(&object);
        let awaited = match answer {
            // Of a revision that the view has passed there is nothing to wait for: it was shown, and may be gone again.
            Answer::Object { object: written, .. }
                if seen < written.revision() && shown.is_none_or(|shown| shown < written.revision()) =>
            {
                Some(written.revision())
            }
            // Waited for until it is gone from the view.
            Answer::Removed(_) => shown.map(|_| Revision(u64::MAX)),
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) && shown.is_some() => {
                Some(Revision(u64::MAX))
            }
            Answer::Object { .. } => None,
            Answer::Refused(status) => {
                out.log(Level::Debug, format!("{object}: {status}"));
                return care.tries.entry(object).or_default().failed(now.mono, RETRY);
            }
            Answer::Lost(why) => {
                out.log(Level::Warn, format!("{object}: {why}"));
                return care.tries.entry(object).or_default().failed(now.mono, RETRY);
            }
            Answer::List { .. } | Answer::Watching => None,
        };
        care.tries.remove(&object);
        if let Some(revision) = awaited {
            care.open.insert(object, Awaited::Sight(revision));
        }
    }

    /// The API server was asked for a service that the view does not show.
    fn asked_for(&mut self, now: Now, service: Key, endpoints: Object, answer: Answer, out: &mut Effects) {
        let key = endpoints.key();
        let Some(care) = self.care.get_mut(&service) else { return };
        match answer {
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) => {
                let asked = Asked::Write { service, object: key };
                self.calls.call(now, asked, deletion(&endpoints), out);
            }
            // It is there, as the view will show; or nobody knows.
            _ => {
                care.open.remove(&key);
                care.tries.entry(key).or_default().failed(now.mono, RETRY);
                self.queue.set(service, now.mono);
            }
        }
    }

    /// How much it remembers of what is under way.
    #[cfg(test)]
    pub(in crate::controllers) fn remembered(&self) -> usize {
        self.care.len() + self.queue.len()
    }
}

/// This version of an object, and no other.
fn deletion(object: &Object) -> Verb {
    let meta = object.meta();
    let options = DeleteOptions {
        uid: Some(meta.uid.clone()),
        resource_version: Some(meta.resource_version.clone()),
        ..Default::default()
    };
    Verb::Delete { key: object.key(), options }
}

/// What a service selects, if it says so.
fn selector(service: &Object) -> Option<LabelSelector> {
    let spec = service.read::<Service>()?.spec;
    let match_labels = Some(spec.selector).filter(|labels| !labels.is_empty())?;
    Some(LabelSelector { match_labels, ..Default::default() })
}

fn is_slice(object: &Object) -> bool {
    object.kind() == Kind::EndpointSlice
}

/// The service that a slice names.
fn service_of(slice: &ObjectMeta) -> Key {
    let name = slice.labels.get(SERVICE_NAME).map_or("", Text::as_str);
    Key::new(Kind::Service, &slice.namespace, name)
}

/// All of a pod that endpoints tell.
fn face(pod: &Pod) -> impl PartialEq + '_ {
    let meta = &pod.metadata;
    let state = (pod.is_ready(), meta.is_deleting(), pod.status.phase.is_final());
    (&meta.uid, &meta.labels, state, &pod.status.pod_ip, &pod.spec.node_name)
}

impl Program for EndpointsController {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        for change in self.services.step(now, &input, out) {
            self.service_changed(now, &change);
        }
        for change in self.pods.step(now, &input, out) {
            self.pod_changed(now, &change);
        }
        for change in self.slices.step(now, &input, out) {
            self.slice_changed(now, &change);
        }
        for change in self.endpoints.step(now, &input, out) {
            self.endpoints_changed(now, &change);
        }
        for (asked, answer) in self.calls.ended(now, &input) {
            self.ended(now, asked, answer, out);
        }
        if self.services.is_connected() {
            std::mem::take(&mut self.unsure).into_iter().for_each(|service| self.queue.set(service, now.mono));
        }
        while let Some(service) = self.queue.pop_due(now.mono) {
            self.sync(now, &service, out);
        }
        out.wake_at(self.queue.next());
        out.wake_at(self.calls.next());
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        [&self.services, &self.pods, &self.slices, &self.endpoints].into_iter().for_each(show);
    }
}
