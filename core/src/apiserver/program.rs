//! The API server's state: the store, the watches, the writes on their way.
//!
//! A write is admitted (`admit`), is on its way to the disk (`commit`), and is applied when it is durable (`committed`).
//!
//! Below: `reads`, which change nothing; `upkeep`, what the server wants for itself; `custom`, what becomes of custom kinds.

mod custom;
mod reads;
mod upkeep;

pub use reads::Page;

use crate::access::{self, User};
use crate::api::custom::CustomResourceDefinition;
use crate::api::definition;
use crate::api::event;
use crate::api::kinds::Kind;
use crate::api::names::generated;
use crate::api::object::{Key, Object};
use crate::api::status::{Reason, Status};
use crate::api::text::Text;
use crate::apiserver::admission;
use crate::apiserver::definitions::Definitions;
use crate::apiserver::deletion::{self, Outcome};
use crate::apiserver::eviction;
use crate::apiserver::fencing;
use crate::apiserver::history;
use crate::apiserver::limits;
use crate::apiserver::own;
use crate::apiserver::pods;
use crate::apiserver::quota::Quotas;
use crate::apiserver::services::{self, Given};
use crate::client::Deadlines;
use crate::decision::Decision;
use crate::patch::Patch;
use crate::program::{
    Answer, CommitId, Committed, DeleteOptions, Effect, Effects, Input, Level, Part, Program, Query, Request,
    RequestId, Revision, Verb, Write,
};
use crate::rng::Draw;
use crate::store::{Store, Watchers};
use crate::time::{Duration, Instant, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::sync::Arc;

/// How an API server behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Decides uids and generated names. Differs between any two lives of API servers on one store.
    pub seed: u64,
    /// How often a quiet watch is told how far it has come.
    ///
    /// Source: Kubernetes documentation, "Watch bookmarks": about once a minute.
    pub bookmark_every: Duration,
    /// Access is decided by roles: those of every cluster are made, and nobody grants more than they have.
    #[serde(default)]
    pub rbac: bool,
    /// From where services get their addresses.
    #[serde(default)]
    pub services: services::Options,
    /// Where it is reached, for the service `kubernetes`; there is none if absent.
    #[serde(default)]
    pub advertise: Option<SocketAddrV4>,
    /// It answers for metrics.k8s.io, and says so by an APIService.
    #[serde(default)]
    pub metrics: bool,
}

impl Options {
    /// Kubernetes' values.
    pub fn with_seed(seed: u64) -> Self {
        let (services, bookmark_every) = (services::Options::default(), Duration::from_secs(60));
        Options { seed, bookmark_every, rbac: false, services, advertise: None, metrics: false }
    }
}

/// The API server.
#[derive(Debug)]
pub struct ApiServer {
    options: Options,
    store: Store,
    definitions: Definitions,
    given: Given,
    quotas: Quotas,
    watchers: Watchers,
    commits: u64,
    /// Writes on their way to the disk; at most one an object.
    on_their_way: BTreeMap<CommitId, Pending>,
    busy: BTreeMap<Key, VecDeque<(RequestId, Request)>>,
    bookmark_at: Option<Instant>,
    expiring: Deadlines<EventName>,
    /// Not all namespaces that every cluster has could be stored.
    incomplete_until: Option<Instant>,
    /// Whether the objects that every cluster has were looked after.
    started: bool,
}

/// After this time the server tries again what it writes for itself.
pub(super) const OWN_RETRY: Duration = Duration::from_secs(10);

/// Which event: its namespace and name. There may be more events than all else.
type EventName = (Text, Text);

fn event_name(key: &Key) -> EventName {
    (key.namespace.clone(), key.name.clone())
}

/// The namespace that an object is in.
fn namespace_of(key: &Key) -> Key {
    Key { kind: Kind::Namespace, namespace: Text::default(), name: key.namespace.clone() }
}

/// A write on its way.
#[derive(Debug)]
struct Pending {
    /// Who waits; nobody, where the server writes for itself.
    from: Option<RequestId>,
    key: Key,
    /// What it becomes, without a revision yet; absent if it is removed.
    object: Option<Object>,
    /// As what it is shown, if it is removed.
    last: Option<Object>,
    answer: Then,
    /// What is asked when it is durable, instead of an answer. Rare, and larger than all else.
    next: Option<Box<Request>>,
    /// Who asked, as far as it is told.
    by: Option<Arc<str>>,
}

/// What is said when a write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Created,
    Changed,
    /// A deletion removed it.
    Removed,
    /// A write took away what its deletion waited for. Who wrote is shown the object as it was written.
    Ended,
}

/// Who writes, and when.
#[derive(Clone, Copy)]
pub struct Author<'a> {
    /// When.
    pub now: Now,
    /// Who, if that is to be noted.
    pub manager: Option<&'a str>,
    /// Fields that Kubernetes does not have are refused.
    pub strict: bool,
    /// In which version of a custom kind; absent: in the one in which it is kept.
    pub version: Option<&'a str>,
    /// As whom, if that decides about anything.
    pub user: Option<&'a User>,
}

/// The part that a write is about, if it is one whose fields have managers.
fn part_of(verb: &Verb) -> Option<Part> {
    match verb {
        // What an apply does to the managers is done with it.
        Verb::Patch { patch: Patch::Apply { .. }, .. } => None,
        Verb::Update { part, .. } | Verb::Merge { part, .. } | Verb::Patch { part, .. } => Some(*part),
        _ => None,
    }
}

/// What an admitted write leads to.
enum Admitted {
    /// Nothing has to be written.
    Done(Answer),
    /// This is written, for this object, at this revision.
    Write { key: Key, expect: Revision, object: Option<Object>, answer: Then },
    /// This object is written, and then this is asked.
    First { object: Object, next: Verb },
}

impl ApiServer {
    /// An API server on what an engine kept.
    pub fn new(options: Options, store: Store) -> Self {
        let mut definitions = Definitions::default();
        for object in store.list(&Query::all(Kind::CustomResourceDefinition)) {
            definitions.changed(None, Some(object));
        }
        let mut given = Given::new(options.services);
        for service in store.list(&Query::all(Kind::Service)) {
            given.take(service);
        }
        let quotas = Quotas::load(&store);
        ApiServer {
            options,
            store,
            definitions,
            given,
            quotas,
            watchers: Watchers::default(),
            commits: 0,
            on_their_way: BTreeMap::new(),
            busy: BTreeMap::new(),
            bookmark_at: None,
            expiring: Deadlines::default(),
            incomplete_until: None,
            started: false,
        }
    }

    /// What is stored.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The custom kinds there are.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.watchers.len()
    }

    fn draw(&self, what: &str, key: &Key) -> Draw {
        let revision = if planted!(UidKept) { 0 } else { self.store.revision().0 };
        Draw::new(self.options.seed).key(what).key(&key.to_string()).count(revision)
    }

    fn request(&mut self, now: Now, from: RequestId, request: Request, out: &mut Effects) {
        if let Some(answer) = self.read(&request.verb) {
            return out.push(Effect::Answer { to: from, answer });
        }
        match request.verb {
            Verb::Watch { query, from: start, bookmarks } => self.watch(from, query, start, bookmarks, out),
            _ => self.write(now, from, request, out),
        }
    }

    fn write(&mut self, now: Now, from: RequestId, request: Request, out: &mut Effects) {
        let key = self.key_of(&request.verb);
        // What is to be made in a namespace waits for what becomes of the namespace: a young server is asked for pods at
        // once, and when the end of a namespace can be seen nothing new appears in it.
        let within = namespace_of(&key);
        let makes = matches!(request.verb, Verb::Create { .. } | Verb::Update { .. } | Verb::Patch { .. })
            && self.store.get(&key).is_none();
        // A pod waits for what decides what it is given.
        let decided_by =
            if makes && !planted!(AccountNotAwaited) { pods::decided_by(&request.verb) } else { Vec::new() };
        let charges = match &request.verb {
            Verb::Delete { options, .. } if options.eviction && !options.granted => {
                let pod = self.store.get(&key);
                pod.and_then(|pod| eviction::budgets(&self.store, pod).first().map(|budget| budget.key()))
            }
            _ => None,
        };
        let fence = request.fence.clone();
        let lease = fence.as_ref().map(|fence| &fence.lease).filter(|_| !planted!(TakingNotAwaited));
        let space = Some(&within).filter(|_| makes && !planted!(NamespaceNotAwaited));
        let alone = [Some(&key), space, charges.as_ref(), lease].into_iter().flatten();
        for waits_for in alone.chain(&decided_by) {
            if let Some(waiting) = self.busy.get_mut(waits_for) {
                sometimes!(WriteWaits);
                return waiting.push_back((from, request));
            }
        }
        if let Some(fence) = &fence
            && let Some((because, status)) = fencing::refusal(fence, self.store.get(&fence.lease))
        {
            out.decided(Level::Debug, Decision::about(key, because).for_sake_of(fence.lease.clone()));
            return out.push(Effect::Answer { to: from, answer: Answer::Refused(status) });
        }
        let dry_run = request.dry_run;
        let who = request.manager.clone().or_else(|| Some(request.user.as_ref()?.name.as_str().into()));
        let evicted = matches!(&request.verb, Verb::Delete { options, .. } if options.eviction).then(|| key.clone());
        let author = Author {
            now,
            manager: request.manager.as_deref(),
            strict: request.strict,
            version: request.version.as_deref(),
            user: request.user.as_deref(),
        };
        match self.admit(author, key, request.verb) {
            Err(status) => {
                let pod = evicted.and_then(|key| self.store.get(&key));
                if let Some((pod, because)) = pod.and_then(|pod| Some((pod, eviction::refusal(&self.store, pod)?))) {
                    out.decided(Level::Debug, Decision::about(pod.key(), because.as_seen(&*status.message)));
                }
                out.push(Effect::Answer { to: from, answer: Answer::Refused(status) });
            }
            Ok(Admitted::Done(answer)) => out.push(Effect::Answer { to: from, answer }),
            Ok(Admitted::Write { object, answer, .. }) if dry_run => {
                let object = object.expect("a removal is answered with the object's last state");
                out.push(Effect::Answer { to: from, answer: said(answer, object) });
            }
            Ok(Admitted::Write { key, expect, object, answer }) => {
                self.commit(Some(from), key, expect, object, answer, out).by = who;
            }
            Ok(Admitted::First { object, .. }) if dry_run => {
                out.push(Effect::Answer { to: from, answer: Answer::Object { object, created: false } });
            }
            Ok(Admitted::First { object, next }) => {
                let pending =
                    self.commit(Some(from), object.key(), object.revision(), Some(object), Then::Changed, out);
                pending.next = Some(Box::new(Request { fence, manager: who.clone(), ..next.into() }));
                pending.by = who;
            }
        }
    }

    /// Which object a write is about. A name that is left to the server is chosen here, among the free ones.
    fn key_of(&self, verb: &Verb) -> Key {
        match verb {
            Verb::Get { key }
            | Verb::Merge { key, .. }
            | Verb::Patch { key, .. }
            | Verb::Bind { key, .. }
            | Verb::Delete { key, .. } => key.clone(),
            Verb::Update { object, .. } => object.key(),
            Verb::Create { object } => {
                let (key, meta) = (object.key(), object.meta());
                if !meta.name.is_empty() || meta.generate_name.is_empty() {
                    return key;
                }
                let names =
                    (0..8).map(|nth| generated(&meta.generate_name, self.draw("name", &key).count(self.commits + nth)));
                let keys = names.map(|name| Key { name: name.into(), ..key.clone() });
                let free = |key: &Key| self.store.get(key).is_none() && !self.busy.contains_key(key);
                keys.clone().find(free).unwrap_or(key)
            }
            Verb::List(query) | Verb::Watch { query, .. } => Key::new(query.kind, "", ""),
        }
    }

    /// What a write leads to.
    fn admit(&self, by: Author, key: Key, verb: Verb) -> Result<Admitted, Status> {
        let now = by.now;
        let part = part_of(&verb);
        let stored = self.store.get(&key);
        let within = self.definitions.within(key.kind, by.version);
        let found = || stored.ok_or_else(|| Status::not_found(key.kind, &key.name));
        let object = match verb {
            Verb::Create { object } => return self.create(by, key, object),
            Verb::Update { object, part: Part::Main } if stored.is_none() && key.kind.row().create_on_update => {
                let uid = &object.meta().uid;
                if !uid.is_empty() {
                    // One object was meant, and that is gone.
                    let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
                    return Err(Status::conflict(key.kind, &key.name, &why));
                }
                return self.create(by, key, object);
            }
            Verb::Update { object, part } => {
                let stored = found()?;
                if !key.kind.row().blind_updates && object.meta().resource_version.is_empty() {
                    return Err(Status::says_no_version(key.kind, &key.name));
                }
                admission::updated(stored, object, part, within)?
            }
            Verb::Patch { patch: Patch::Apply { configuration, force }, part, .. } => {
                let object = admission::applied(by, key.kind, stored, &configuration, force, part, within)?;
                match stored {
                    Some(stored) => admission::updated(stored, object, part, within)?,
                    None => return self.create(Author { manager: None, ..by }, key, object),
                }
            }
            Verb::Patch { patch, part, .. } => {
                let stored = found()?;
                let object = admission::patched(by, stored, &patch, within)?;
                admission::updated(stored, object, part, within)?
            }
            Verb::Merge { patch, part, .. } => {
                let stored = found()?;
                admission::updated(stored, admission::merged(stored, &patch)?, part, within)?
            }
            Verb::Bind { uid, node, .. } => {
                // Stricter than Kubernetes, which lets a pod wait for ever on a node that is not there.
                let there = self.store.get(&Key::new(Kind::Node, "", &node)).is_some();
                admission::bound(
                    now,
                    found()?,
                    &uid,
                    there.then_some(&*node).ok_or_else(|| Status::not_found(Kind::Node, &node))?,
                )?
            }
            Verb::Delete { key, options }
                if options.eviction
                    && !options.granted
                    && let eviction::Outcome::Charge(object) = eviction::evict(now, &self.store, found()?)? =>
            {
                // It is granted: what follows is the end of this very pod, and asks no budget again.
                let uid = options.uid.clone().or_else(|| stored.map(|pod| pod.meta().uid.clone()));
                let next = Verb::Delete { key, options: DeleteOptions { granted: true, uid, ..options } };
                return Ok(Admitted::First { object, next });
            }
            Verb::Delete { options, .. } => match deletion::delete(now, found()?, &options)? {
                Outcome::Remove => return Ok(Admitted::removal(key.clone(), found()?)),
                Outcome::Keep => found()?.clone(),
                Outcome::Store(object)
                    if !planted!(EvictionUntold) && options.eviction && !found()?.meta().is_deleting() =>
                {
                    eviction::told(now, object)
                }
                Outcome::Store(object) => object,
            },
            Verb::Get { .. } | Verb::List(_) | Verb::Watch { .. } => found()?.clone(),
        };
        let stored = found()?;
        self.change(by, key, stored, object, part)
    }

    /// What a changed object leads to, whichever verb made it: it is checked, and written if it is not as it was.
    fn change(
        &self,
        by: Author,
        key: Key,
        stored: &Object,
        object: Object,
        part: Option<Part>,
    ) -> Result<Admitted, Status> {
        self.granted(by, Some(stored), &object)?;
        let object = match key.kind {
            Kind::Service if part == Some(Part::Main) => self.given.allotted(object, self.draw("service", &key))?,
            _ => object,
        };
        if key.kind == Kind::PriorityClass {
            pods::only_one_default(&self.store, &object)?;
        }
        let object = self.with_names(by.now, object);
        if part == Some(Part::Main) && matches!(key.kind, Kind::Service | Kind::PersistentVolumeClaim) {
            limits::check(&self.store, &key.namespace, &key.name, &object)?;
            self.quotas.check(&key.name, Some(stored), &object)?;
        }
        let object = match (part, by.manager) {
            (Some(part), Some(manager)) if object != *stored => {
                let within = self.definitions.within(key.kind, by.version);
                admission::noted(by.now, manager, Some(stored), object, part, within)
            }
            _ => object,
        };
        if object == *stored {
            return Ok(Admitted::Done(Answer::Object { object, created: false }));
        }
        // Checked only where something was taken away: a deletion that waits for its node is complete already.
        if deletion::is_complete(&object) && !deletion::is_complete(stored) {
            sometimes!(DeletionCompleted);
            return Ok(Admitted::Write { key, expect: stored.revision(), object: Some(object), answer: Then::Ended });
        }
        Ok(Admitted::Write { key, expect: stored.revision(), object: Some(object), answer: Then::Changed })
    }

    fn create(&self, by: Author, key: Key, mut object: Object) -> Result<Admitted, Status> {
        if key.kind.row().namespaced {
            admission::namespace_takes(&key, self.store.get(&namespace_of(&key)))?;
        }
        if self.store.get(&key).is_some() {
            return Err(Status::already_exists(key.kind, &key.name));
        }
        let within = self.definitions.within(key.kind, by.version);
        if within.is_some_and(|within| definition::is_being_emptied(within.definition.said())) {
            return Err(Status::definition_goes(key.kind));
        }
        // A name that the server chose is not told.
        let meta = object.meta();
        let called = if meta.name.is_empty() { &meta.generate_name } else { &meta.name }.clone();
        let grant = object.get().map(|pod| pods::grant(&self.store, &key.namespace, &called, pod)).transpose()?;
        limits::complete(&self.store, &key.namespace, &mut object);
        if key.kind == Kind::PriorityClass {
            pods::only_one_default(&self.store, &object)?;
        }
        object.edit_meta(|meta| meta.name = (*key.name).into());
        let mut object = admission::created(by.now, object, self.draw("uid", &key).uuid(), within)?;
        if let Some(manager) = by.manager {
            object = admission::noted(by.now, manager, None, object, Part::Main, within);
        }
        if key.kind == Kind::Service {
            object = self.given.allotted(object, self.draw("service", &key))?;
        }
        // Nobody manages what is given.
        if let Some(grant) = grant {
            grant.give(&mut object);
        }
        object.edit_as(|new: &mut CustomResourceDefinition| {
            (new.status.accepted_names, new.status.conditions) = Default::default();
        });
        let object = self.with_names(by.now, object);
        self.granted(by, None, &object)?;
        limits::check(&self.store, &key.namespace, &called, &object)?;
        self.quotas.check(&called, None, &object)?;
        Ok(Admitted::Write { key, expect: Revision(0), object: Some(object), answer: Then::Created })
    }

    /// Nobody grants more than they have.
    fn granted(&self, by: Author, stored: Option<&Object>, new: &Object) -> Result<(), Status> {
        match by.user {
            Some(user) if self.options.rbac => access::grants::check(&self.store, user, stored, new),
            _ => Ok(()),
        }
    }

    fn commit(
        &mut self,
        from: Option<RequestId>,
        key: Key,
        expect: Revision,
        object: Option<Object>,
        answer: Then,
        out: &mut Effects,
    ) -> &mut Pending {
        self.commits += 1;
        let commit = CommitId(self.commits);
        let (mut object, last) = match answer {
            Then::Removed | Then::Ended => (None, object),
            Then::Created | Then::Changed => (object, None),
        };
        if let Some(object) = &mut object {
            object.edit_meta(|meta| meta.resource_version = Text::default());
            if key.kind == Kind::Service && !planted!(ClusterIpTwice) {
                self.given.take(object);
            }
        }
        if self.quotas.concern(&key) {
            self.quotas.reserve(&key, self.store.get(&key), object.as_ref());
        }
        out.push(Effect::Commit { commit, write: Write { key: key.clone(), expect, object: object.clone() } });
        self.busy.insert(key.clone(), VecDeque::new());
        if planted!(AckBeforeDurable)
            && let (Some(to), Some(object)) = (from, &object)
        {
            let early = Revision(self.store.revision().0 + self.on_their_way.len() as u64 + 1);
            let answered = object.with_meta(|meta| meta.resource_version = early.to_string().into());
            out.push(Effect::Answer { to, answer: said(answer, answered) });
        }
        self.on_their_way.entry(commit).or_insert(Pending { from, key, object, last, answer, next: None, by: None })
    }

    fn committed(&mut self, now: Now, commit: CommitId, outcome: Committed, out: &mut Effects) {
        let Some(pending) = self.on_their_way.remove(&commit) else { return };
        let Pending { from, key, mut object, last, answer, next, by } = pending;
        let mut waiting = self.busy.remove(&key).unwrap_or_default();
        self.quotas.settle(&key);
        if key.kind == Kind::Service && !matches!(outcome, Committed::At(_)) {
            self.given.settle(object.as_ref(), self.store.get(&key));
        }
        let told = match outcome {
            Committed::At(revision) => {
                if let Some(object) = &mut object {
                    object.edit_meta(|meta| meta.resource_version = revision.into());
                }
                if history::is_told(key.kind)
                    && let Some(told) = history::told(&key, self.store.get(&key), object.as_ref(), by.as_deref())
                {
                    out.decided(Level::Debug, told);
                }
                self.apply(now, &key, object.clone(), revision, out);
                match object.or(last) {
                    Some(object) => said(answer, object),
                    None => Answer::Refused(Status::not_found(key.kind, &key.name)),
                }
            }
            Committed::Conflict => {
                self.try_again_later(now, &key, from);
                Answer::Refused(Status::stale(key.kind, &key.name))
            }
            Committed::Failed(why) => {
                self.try_again_later(now, &key, from);
                sometimes!(WriteFailed);
                out.log(Level::Error, format!("apiserver: {key}: {why}"));
                Answer::Refused(Status::failure(Reason::InternalError, format!("the write could not be stored: {why}")))
            }
        };
        match (from, next) {
            (Some(from), Some(next)) if !matches!(told, Answer::Refused(_)) => self.write(now, from, *next, out),
            (Some(to), _) => out.push(Effect::Answer { to, answer: told }),
            (None, _) => {}
        }
        while let Some((from, request)) = waiting.pop_front() {
            self.write(now, from, request, out);
            if let Some(behind) = self.busy.get_mut(&key) {
                behind.append(&mut waiting);
            }
        }
        self.tell_of_quotas(out);
    }

    fn apply(&mut self, now: Now, key: &Key, object: Option<Object>, revision: Revision, out: &mut Effects) {
        if key.kind == Kind::Event {
            match object {
                // From now on, whatever its author's clock says.
                Some(_) => self.expiring.set(event_name(key), now.mono + event::TTL),
                None => drop(self.expiring.remove(&event_name(key))),
            }
        }
        let change = self.store.apply(key, object, revision);
        let group = change.old.as_ref().or(change.new.as_ref()).and_then(|one| one.get::<CustomResourceDefinition>());
        let group = group.map(|definition| definition.spec.group.clone());
        let counted = self.quotas.concern(key).then(|| (change.old.clone(), change.new.clone()));
        match key.kind {
            Kind::CustomResourceDefinition => self.definitions.changed(change.old.as_ref(), change.new.as_ref()),
            Kind::Service => self.given.settle(change.old.as_ref(), change.new.as_ref()),
            _ => {}
        }
        for (to, query) in self.watchers.reached_by(change) {
            if let Some(event) = change.seen_by(query) {
                out.push(Effect::Event { to, event });
            }
        }
        if let Some((old, new)) = counted {
            let on_their_way = self.on_their_way.values().filter_map(|one| one.object.as_ref());
            self.quotas.changed(&self.store, on_their_way, key, old.as_ref(), new.as_ref());
        }
        match key.kind {
            Kind::CustomResourceDefinition => {
                self.forget_undefined(out);
                self.empty_definition(now, key, out);
                self.look_at_names(now, group.as_deref().unwrap_or(""), out);
            }
            Kind::Custom(_) => match self.definitions.of(key.kind).map(|definition| definition.key()) {
                None => self.forget_undefined(out),
                Some(definition) if self.being_emptied(&definition).is_some() => {
                    self.end_custom(now, key, out);
                    self.release_definition(now, &definition, out);
                }
                Some(_) => {}
            },
            Kind::Namespace => self.complete_namespace(now, &key.name, out),
            Kind::ServiceAccount => self.complete_namespace(now, &key.namespace, out),
            Kind::APIService => self.complete_services(now, out),
            _ if own::is_own(key) => self.complete_namespace(now, &key.namespace, out),
            _ => {}
        }
    }
}

impl Admitted {
    fn removal(key: Key, last: &Object) -> Self {
        Admitted::Write { key, expect: last.revision(), object: Some(last.clone()), answer: Then::Removed }
    }
}

fn said(answer: Then, object: Object) -> Answer {
    match answer {
        Then::Created => Answer::Object { object, created: true },
        Then::Changed | Then::Ended => Answer::Object { object, created: false },
        Then::Removed => Answer::Removed(Status::removed(object.kind(), &object.meta().name, &object.meta().uid)),
    }
}

impl Program for ApiServer {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        if !self.started {
            self.start(now, out);
        }
        match input {
            Input::Request { from, request } => self.request(now, from, request, out),
            Input::Gone { from } => {
                self.watchers.remove(from);
            }
            Input::Committed { commit, outcome } => self.committed(now, commit, outcome, out),
            Input::Wake
            | Input::Reply { .. }
            | Input::Event { .. }
            | Input::Ended { .. }
            | Input::Measured { .. }
            | Input::Runtime(_)
            | Input::Stop => {}
        }
        if self.incomplete_until.is_some_and(|at| at <= now.mono) {
            self.complete(now, out);
        }
        self.bookmark(now, out);
        self.expire(now, out);
        out.wake_at(self.incomplete_until);
        out.wake_at(self.bookmark_at);
        out.wake_at(self.expiring.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{WatchEvent, WatchFrom};
    use serde_json::json;

    /// An API server whose writes are durable at once, unless they are held back.
    struct World {
        server: ApiServer,
        now: Now,
        revision: u64,
        requests: u64,
        hold: bool,
        held: Vec<CommitId>,
        log: Vec<String>,
    }

    impl World {
        fn new() -> Self {
            let server = ApiServer::new(Options::with_seed(1), Store::default());
            let mut world = World {
                server,
                now: Now::default(),
                revision: 0,
                requests: 0,
                hold: false,
                held: Vec::new(),
                log: Vec::new(),
            };
            world.step(Input::Wake);
            world.log.clear();
            world
        }

        fn step(&mut self, input: Input) {
            let mut out = Effects::default();
            self.server.step(self.now, input, &mut out);
            for effect in out.list {
                match effect {
                    Effect::Commit { commit, .. } => {
                        self.held.push(commit);
                        if !self.hold {
                            self.flush();
                        }
                    }
                    Effect::Answer { to, answer } => self.log.push(format!("{}: {}", to.0, tell(&answer))),
                    Effect::Event { to, event } => self.log.push(format!("{}: {}", to.0, tell_event(&event))),
                    Effect::End { to } => self.log.push(format!("{}: end", to.0)),
                    Effect::Log { .. } | Effect::Decided { .. } => {}
                    other => panic!("an API server does not ask for {other:?}"),
                }
            }
        }

        fn flush(&mut self) {
            for commit in std::mem::take(&mut self.held) {
                self.revision += 1;
                self.step(Input::Committed { commit, outcome: Committed::At(Revision(self.revision)) });
            }
        }

        fn ask(&mut self, verb: Verb) -> Vec<String> {
            self.requests += 1;
            self.step(Input::Request { from: RequestId(self.requests), request: verb.into() });
            std::mem::take(&mut self.log)
        }
    }

    fn tell(answer: &Answer) -> String {
        match answer {
            Answer::Object { object, created } => {
                format!("{} {}@{}", if *created { "created" } else { "is" }, object.meta().name, object.revision())
            }
            Answer::List { revision, items } => format!("{} items @{revision}", items.len()),
            Answer::Watching => "watching".into(),
            Answer::Removed(_) => "removed".into(),
            Answer::Refused(status) => format!("{:?}", status.reason.unwrap()),
            Answer::Lost(why) => why.clone(),
        }
    }

    fn tell_event(event: &WatchEvent) -> String {
        match event {
            WatchEvent::Added(object) => format!("+{}@{}", object.meta().name, object.revision()),
            WatchEvent::Modified(object) => format!("~{}@{}", object.meta().name, object.revision()),
            WatchEvent::Deleted(object) => format!("-{}@{}", object.meta().name, object.revision()),
            WatchEvent::Bookmark(revision) => format!("={revision}"),
            WatchEvent::Expired(status) => status.message.clone(),
        }
    }

    fn pod(name: &str, namespace: &str) -> Object {
        let pod = json!({"metadata": {"name": name, "namespace": namespace},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        Object::from_value(Kind::Pod, pod).unwrap()
    }

    fn key(name: &str) -> Key {
        Key::new(Kind::Pod, "default", name)
    }

    #[test]
    fn the_life_of_an_object() {
        let mut world = World::new();
        let watch = Verb::Watch { query: Query::all(Kind::Pod), from: WatchFrom::Start, bookmarks: false };
        assert_eq!(world.ask(watch), ["1: watching"]);
        assert_eq!(world.ask(Verb::Create { object: pod("a", "default") }), ["1: +a@11", "2: created a@11"]);
        assert_eq!(world.ask(Verb::Create { object: pod("a", "default") }), ["3: AlreadyExists"]);
        assert_eq!(world.ask(Verb::Create { object: pod("a", "nowhere") }), ["4: NotFound"]);
        let label = |value: &str| Verb::Merge {
            key: key("a"),
            patch: json!({"metadata": {"labels": {"x": value}}}),
            part: Part::Main,
        };
        assert_eq!(world.ask(label("1")), ["1: ~a@12", "5: is a@12"]);
        assert_eq!(world.ask(label("1")), ["6: is a@12"], "a write that changes nothing is none");
        assert_eq!(
            world.ask(Verb::Delete { key: key("a"), options: DeleteOptions::default() }),
            ["1: -a@13", "7: removed"]
        );
        assert_eq!(world.ask(Verb::Get { key: key("a") }), ["8: NotFound"]);
    }

    #[test]
    fn writes_to_one_object_wait_for_each_other_and_for_the_disk() {
        let mut world = World::new();
        world.ask(Verb::Create { object: pod("a", "default") });
        world.hold = true;
        let label =
            |n: &str| Verb::Merge { key: key("a"), patch: json!({"metadata": {"labels": {"x": n}}}), part: Part::Main };
        assert!(world.ask(label("1")).is_empty());
        assert!(world.ask(label("2")).is_empty());
        assert_eq!(world.ask(Verb::Get { key: key("a") }), ["4: is a@11"], "what is not durable is not seen");
        assert_eq!(world.ask(Verb::Create { object: pod("b", "default") }), [""; 0]);
        world.hold = false;
        world.flush();
        assert_eq!(world.log, ["2: is a@12", "3: is a@13", "5: created b@14"]);
    }

    #[test]
    fn a_young_server_creates_its_namespaces_first() {
        let mut world = World {
            server: ApiServer::new(Options::with_seed(1), Store::default()),
            revision: 0,
            hold: true,
            ..World::new()
        };
        world.step(Input::Wake);
        assert!(world.ask(Verb::Create { object: pod("a", "default") }).is_empty());
        assert_eq!(world.ask(Verb::Create { object: pod("b", "nowhere") }), ["2: NotFound"]);
        world.hold = false;
        world.flush();
        assert_eq!(world.log, ["1: created a@3"]);
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let mut world = World::new();
        world.hold = true;
        world.ask(Verb::Create { object: pod("a", "default") });
        let commit = world.held.pop().unwrap();
        world.step(Input::Committed { commit, outcome: Committed::Failed("no space left".into()) });
        assert_eq!(std::mem::take(&mut world.log), ["1: InternalError"]);
        assert_eq!(world.ask(Verb::Get { key: key("a") }), ["2: NotFound"]);
    }

    #[test]
    fn an_object_with_finalizers_goes_when_the_last_is_taken_away() {
        let mut world = World::new();
        let object = pod("a", "default").with_meta(|meta| meta.finalizers = vec!["x/y".into()]);
        world.ask(Verb::Create { object });
        assert_eq!(world.ask(Verb::Delete { key: key("a"), options: DeleteOptions::default() }), ["2: is a@12"]);
        let free = Verb::Merge { key: key("a"), patch: json!({"metadata": {"finalizers": []}}), part: Part::Main };
        assert_eq!(world.ask(free), ["3: is a@12"], "who took it away is shown what is left");
        assert_eq!(world.ask(Verb::Get { key: key("a") }), ["4: NotFound"]);
    }

    #[test]
    fn events_are_forgotten_after_an_hour_and_quiet_watches_hear_bookmarks() {
        let mut world = World::new();
        let event = json!({"metadata": {"name": "e", "namespace": "default"}, "lastTimestamp": "1970-01-01T00:00:00Z"});
        world.ask(Verb::Create { object: Object::from_value(Kind::Event, event).unwrap() });
        world.ask(Verb::Watch { query: Query::all(Kind::Event), from: WatchFrom::Start, bookmarks: true });
        world.log.clear();
        world.now.mono = world.now.mono + event::TTL;
        world.step(Input::Wake);
        assert_eq!(world.log, ["2: =11", "2: -e@12"]);
        world.log.clear();
        world.step(Input::Wake);
        assert!(world.log.is_empty(), "waking for nothing adds nothing");
    }

    #[test]
    fn generated_names_are_free_ones() {
        let mut world = World::new();
        for _ in 0..50 {
            let object = pod("", "default").with_meta(|meta| meta.generate_name = "web-".into());
            assert!(world.ask(Verb::Create { object })[0].contains("created web-"));
        }
        assert_eq!(world.server.store().count(Kind::Pod), 50);
    }
}
