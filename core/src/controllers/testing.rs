//! A small world for the tests of controllers: the real API server, one program, and faults between them.
//!
//! Answers and news reach the program at once, but in an order drawn from the seed wherever they could come in any.
//! After each step the program is woken for nothing, and must add nothing.

use crate::api::kinds::Kind;
use crate::api::namespace::NODE_LEASES;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::text::Text;
use crate::apiserver::{self, ApiServer};
use crate::program::{
    Answer, CallId, Committed, DeleteOptions, Effect, Effects, Input, Part, Program, Propagation, Query, Request,
    RequestId, Revision, Verb,
};
use crate::rng::Draw;
use crate::store::Store;
use crate::time::{Duration, Instant, Now, Wall};
use crate::usage::PodUsage;
use quickcheck::Gen;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Checks a statement for a hundred values of quickcheck's, each from a seed that is told when it fails.
pub fn property(statement: &str, check: impl Fn(&mut Gen)) {
    struct Told<'a>(&'a str, u64);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("property failed at Gen::from_size_and_seed(20, {}): {}", self.1, self.0);
            }
        }
    }
    for seed in 0..100 {
        let told = Told(statement, seed);
        check(&mut Gen::from_size_and_seed(20, seed));
        drop(told);
    }
}

/// Nodes renew their leases at this interval.
const BEAT: Duration = Duration::from_secs(5);

/// An API server, one program, and what lies between them.
pub struct World {
    pub now: Now,
    /// Nodes whose kubelet lives: it renews its lease, and says that it is ready when the server does not know.
    pub alive: BTreeSet<Text>,
    /// News of these kinds are held back, though their watches stay open.
    pub deaf_to: BTreeSet<Kind>,
    /// Lists and watches of these kinds are lost.
    pub unlisted: BTreeSet<Kind>,
    /// Answers to lists and to reads of one object, or a write, are held back.
    pub answers_are_late: bool,
    /// So many of a hundred calls are lost, before or after they were carried out.
    pub lost_percent: u64,
    /// What the program asked for that was a write, but for events: `delete pods/default/a`.
    pub writes: Vec<Text>,
    /// Writes wait before they reach the server, until [`World::release`].
    pub hold_writes: bool,
    /// How many live reads the program made.
    pub gets: usize,
    /// How many lists the program asked for.
    pub lists: usize,
    /// What pods are measured to use, by name, and whether nobody can say.
    pub usage: BTreeMap<Text, PodUsage>,
    pub usage_fails: bool,
    server: ApiServer,
    seed: u64,
    draws: u64,
    connected: bool,
    revision: u64,
    requests: u64,
    calls: BTreeMap<RequestId, CallId>,
    watched: BTreeMap<CallId, (RequestId, Kind)>,
    dropped: BTreeSet<RequestId>,
    inbox: BTreeMap<CallId, VecDeque<Input>>,
    own_answers: BTreeMap<RequestId, Answer>,
    held: Vec<(CallId, Request)>,
    wake_at: Option<Instant>,
    server_wake_at: Option<Instant>,
    next_beat: Instant,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let start = Instant::from_nanos(1_000_000_000);
        let mut world = World {
            now: Now { mono: start, wall: Wall::from_secs(1_790_000_000) },
            alive: BTreeSet::new(),
            deaf_to: BTreeSet::new(),
            unlisted: BTreeSet::new(),
            answers_are_late: false,
            lost_percent: 0,
            writes: Vec::new(),
            hold_writes: false,
            held: Vec::new(),
            gets: 0,
            lists: 0,
            usage: BTreeMap::new(),
            usage_fails: false,
            server: ApiServer::new(apiserver::Options::with_seed(seed), Store::default()),
            seed,
            draws: 0,
            connected: true,
            revision: 0,
            requests: 0,
            calls: BTreeMap::new(),
            watched: BTreeMap::new(),
            dropped: BTreeSet::new(),
            inbox: BTreeMap::new(),
            own_answers: BTreeMap::new(),
            wake_at: Some(start),
            server_wake_at: None,
            next_beat: start,
        };
        world.serve(Input::Wake);
        world
    }

    /// What the API server holds.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.server.store().get(&Key::new(kind, namespace, name))
    }

    /// The names of all objects of a kind in a namespace, in their order; those being deleted with a `-`.
    pub fn names(&self, kind: Kind, namespace: &str) -> String {
        let query = Query { namespace: Some(namespace.into()), ..Query::all(kind) };
        let name = |object: &Object| {
            let mark = if object.meta().is_deleting() { "-" } else { "" };
            format!("{mark}{}", object.meta().name)
        };
        self.server.store().list(&query).map(name).collect::<Vec<_>>().join(" ")
    }

    /// The reasons of all events about objects of this name.
    pub fn told_about(&self, name: &str) -> Vec<String> {
        let about = Query::all(Kind::Event).with_field("involvedObject.name", name);
        let reason = |event: &Object| event.to_value()["reason"].as_str().unwrap_or_default().to_owned();
        self.server.store().list(&about).map(reason).collect()
    }

    /// Somebody asks for something; it must be granted.
    pub fn ask(&mut self, verb: Verb) -> Option<Object> {
        let told = format!("{verb:?}");
        match self.answer(verb) {
            Answer::Object { object, .. } => Some(object),
            Answer::Removed(_) => None,
            other => panic!("{told}: {other:?}"),
        }
    }

    /// Somebody asks for something, and is answered.
    pub fn answer(&mut self, verb: Verb) -> Answer {
        self.requests += 1;
        let from = RequestId(self.requests);
        self.serve(Input::Request { from, request: verb.into() });
        self.own_answers.remove(&from).expect("the server answers at once")
    }

    pub fn create(&mut self, kind: Kind, value: Value) -> Object {
        let object = Object::from_value(kind, value).expect("tests make objects that can be read");
        self.ask(Verb::Create { object }).expect("creation returns the object")
    }

    pub fn merge(&mut self, key: Key, patch: Value, part: Part) {
        self.ask(Verb::Merge { key, patch, part });
    }

    pub fn delete(&mut self, key: Key, propagation: Option<Propagation>) {
        self.ask(Verb::Delete { key, options: DeleteOptions { propagation, ..Default::default() } });
    }

    /// Removes it now, whatever it is.
    pub fn delete_at_once(&mut self, key: Key) {
        self.ask(Verb::Delete { key, options: DeleteOptions { grace_seconds: Some(0), ..Default::default() } });
    }

    /// A node whose kubelet lives.
    pub fn node(&mut self, name: &str) {
        let ready = json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]);
        self.create(Kind::Node, json!({"metadata": {"name": name}, "status": {"conditions": ready}}));
        self.alive.insert(name.into());
        self.renew(name);
    }

    /// A pod that runs on this node, if it is bound to one.
    pub fn pod(&mut self, name: &str, node: &str, owners: Value) -> Object {
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "busybox"}]});
        let meta = json!({"name": name, "namespace": "default", "ownerReferences": owners});
        self.create(Kind::Pod, json!({"metadata": meta, "spec": spec}));
        let key = Key::new(Kind::Pod, "default", name);
        let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        self.merge(key.clone(), json!({"status": status}), Part::Status);
        self.server.store().get(&key).expect("it was just made").clone()
    }

    /// A replica set, for its children to refer to.
    pub fn set(&mut self, name: &str, owners: Value) -> Object {
        let labels = json!({"app": name});
        let template = json!({"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let spec = json!({"selector": {"matchLabels": labels}, "template": template});
        let meta = json!({"name": name, "namespace": "default", "ownerReferences": owners});
        self.create(Kind::ReplicaSet, json!({"metadata": meta, "spec": spec}))
    }

    fn renew(&mut self, name: &str) {
        let beat = crate::program::micro(self.now).to_string();
        let lease = json!({"metadata": {"name": name, "namespace": NODE_LEASES}, "spec": {"renewTime": beat}});
        let object = Object::from_value(Kind::Lease, lease).expect("a lease");
        self.ask(Verb::Update { object, part: Part::Main });
    }

    /// What kubelets do: renew, and speak for themselves and their pods.
    fn beat(&mut self) {
        self.next_beat = self.now.mono + BEAT;
        for name in self.alive.clone() {
            let Some(node) = self.get(Kind::Node, "", &name) else { continue };
            let said = node.get::<crate::api::node::Node>().and_then(|node| node.ready()).map(|one| one.status.clone());
            self.renew(&name);
            if matches!(said.as_deref(), None | Some("Unknown")) {
                let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
                self.merge(Key::new(Kind::Node, "", &name), ready, Part::Status);
            }
        }
    }

    /// All watches end, and calls are lost, until [`World::connect`].
    pub fn disconnect(&mut self) {
        self.connected = false;
        for (call, (from, _)) in std::mem::take(&mut self.watched) {
            self.serve(Input::Gone { from });
            self.inbox.entry(call).or_default().push_back(Input::Ended { call });
        }
    }

    pub fn connect(&mut self) {
        self.connected = true;
    }

    /// The watches of a kind end, and it cannot be listed or watched until it is taken from `unlisted`.
    pub fn cut(&mut self, kind: Kind) {
        self.unlisted.insert(kind);
        for (call, (from, _)) in self.watched.extract_if(.., |_, (_, of)| *of == kind).collect::<Vec<_>>() {
            self.serve(Input::Gone { from });
            self.inbox.entry(call).or_default().push_back(Input::Ended { call });
        }
    }

    fn serve(&mut self, input: Input) {
        let mut todo = VecDeque::from([input]);
        while let Some(input) = todo.pop_front() {
            let mut out = Effects::default();
            self.server.step(self.now, input, &mut out);
            self.server_wake_at = out.wake_at;
            for effect in out.list {
                match effect {
                    Effect::Commit { commit, .. } => {
                        self.revision += 1;
                        let outcome = Committed::At(Revision(self.revision));
                        todo.push_back(Input::Committed { commit, outcome });
                    }
                    Effect::Answer { to, answer } => match self.calls.get(&to) {
                        Some(_) if self.dropped.contains(&to) => {}
                        Some(call) => {
                            let reply = Input::Reply { call: *call, answer };
                            self.inbox.entry(*call).or_default().push_back(reply);
                        }
                        None => {
                            self.own_answers.insert(to, answer);
                        }
                    },
                    Effect::Event { to, event } => {
                        if let Some(call) = self.calls.get(&to).filter(|_| !self.dropped.contains(&to)) {
                            let news = Input::Event { call: *call, event };
                            self.inbox.entry(*call).or_default().push_back(news);
                        }
                    }
                    Effect::End { to } => {
                        if let Some(call) = self.calls.get(&to) {
                            self.inbox.entry(*call).or_default().push_back(Input::Ended { call: *call });
                        }
                    }
                    Effect::Log { .. } | Effect::Decided { .. } => {}
                    other => panic!("an API server does not ask for {other:?}"),
                }
            }
        }
    }

    fn draw(&mut self) -> Draw {
        self.draws += 1;
        Draw::new(self.seed).key("world").count(self.draws)
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Call { call, request } => {
                self.note(&request.verb);
                let reads = matches!(request.verb, Verb::Get { .. } | Verb::List(_) | Verb::Watch { .. });
                if self.hold_writes && !reads {
                    self.held.push((call, request));
                    return;
                }
                self.carry_out(call, request);
            }
            Effect::Cancel { call } => {
                self.inbox.remove(&call);
                if let Some((from, _)) = self.watched.remove(&call) {
                    self.serve(Input::Gone { from });
                }
            }
            Effect::Measure { call, query } => {
                let pods = self.server.store().list(&query).filter_map(Object::get::<Pod>);
                let used =
                    pods.filter_map(|pod| self.usage.get(pod.metadata.name.as_str())).cloned().map(|mut used| {
                        used.measured.at = self.now.wall;
                        used
                    });
                let answer = if self.usage_fails { Err("away".into()) } else { Ok(used.collect()) };
                self.inbox.entry(call).or_default().push_back(Input::Measured { call, answer });
            }
            Effect::Log { .. } | Effect::Decided { .. } => {}
            other => panic!("a controller does not ask for {other:?}"),
        }
    }

    fn carry_out(&mut self, call: CallId, request: Request) {
        self.requests += 1;
        let from = RequestId(self.requests);
        let lost = self.lost_percent > 0 && self.draw().below(100) < self.lost_percent;
        let fate = if lost { self.draw().below(3) } else { 3 };
        let listed = match &request.verb {
            Verb::List(query) | Verb::Watch { query, .. } => !self.unlisted.contains(&query.kind),
            _ => true,
        };
        if !self.connected || !listed || fate == 0 {
            let answer = Answer::Lost("connection refused".into());
            self.inbox.entry(call).or_default().push_back(Input::Reply { call, answer });
            return;
        }
        self.calls.insert(from, call);
        match &request.verb {
            Verb::Watch { query, .. } if fate == 3 => {
                self.watched.insert(call, (from, query.kind));
            }
            _ if fate < 3 => {
                self.dropped.insert(from);
            }
            _ => {}
        }
        if fate == 1 {
            let answer = Answer::Lost("connection reset".into());
            self.inbox.entry(call).or_default().push_back(Input::Reply { call, answer });
        }
        // Of a third kind of loss, nothing is ever heard.
        self.serve(Input::Request { from, request });
    }

    /// Lets the writes that were held reach the server.
    pub fn release(&mut self) {
        self.hold_writes = false;
        for (call, request) in std::mem::take(&mut self.held) {
            self.carry_out(call, request);
        }
    }

    /// The writes that were held are lost, and nothing is ever heard of them.
    pub fn lose_held(&mut self) {
        self.hold_writes = false;
        self.held.clear();
    }

    /// The program ends; what is on its way to it is lost, and what it asked for is not. Another takes its place.
    pub fn forget_program(&mut self) {
        for (_, (from, _)) in std::mem::take(&mut self.watched) {
            self.serve(Input::Gone { from });
        }
        self.inbox.clear();
        self.dropped.extend(self.calls.keys());
        for nth in 0..self.held.len() {
            // The next program counts its calls from the beginning.
            self.held[nth].0 = CallId(u64::MAX - nth as u64);
        }
        self.wake_at = Some(self.now.mono);
    }

    fn note(&mut self, verb: &Verb) {
        let line = match verb {
            Verb::Get { .. } => {
                self.gets += 1;
                return;
            }
            Verb::Update { object, .. } if object.kind() == Kind::Event => return,
            Verb::Update { object, part } => format!("{part:?} {}", object.key()),
            Verb::Delete { key, options } => format!(
                "delete {key}{}",
                match options.propagation {
                    Some(Propagation::Foreground) => " foreground",
                    _ if options.grace_seconds == Some(0) => " by force",
                    _ => "",
                }
            ),
            Verb::List(_) => {
                self.lists += 1;
                return;
            }
            Verb::Watch { .. } => return,
            Verb::Create { object } => format!("create {}", object.key()),
            Verb::Merge { key, .. } => format!("merge {key}"),
            other => panic!("controllers do not ask for {other:?}"),
        };
        self.writes.push(line.into());
    }

    fn next_input(&mut self) -> Option<Input> {
        let deaf = |call: &CallId, input: Option<&Input>| {
            let kind = self.watched.get(call).map(|(_, kind)| *kind);
            match input {
                Some(Input::Event { .. }) => kind.is_some_and(|kind| self.deaf_to.contains(&kind)),
                Some(Input::Reply { answer: Answer::List { .. } | Answer::Object { .. }, .. }) => self.answers_are_late,
                _ => false,
            }
        };
        self.inbox.retain(|_, stream| !stream.is_empty());
        let streams: Vec<CallId> =
            self.inbox.iter().filter(|(call, stream)| !deaf(call, stream.front())).map(|(call, _)| *call).collect();
        if streams.is_empty() {
            return None;
        }
        let nth = self.draw().below(streams.len() as u64) as usize;
        self.inbox.get_mut(&streams[nth])?.pop_front()
    }

    fn step(&mut self, program: &mut dyn Program, input: Input) {
        let mut out = Effects::default();
        program.step(self.now, input, &mut out);
        let mut again = Effects::default();
        program.step(self.now, Input::Wake, &mut again);
        assert!(again.list.is_empty(), "waking for nothing adds {:?}", again.list);
        assert_eq!(again.wake_at, out.wake_at, "waking for nothing changes nothing");
        self.wake_at = out.wake_at;
        for effect in out.list {
            self.perform(effect);
        }
    }

    /// Lets so much time pass.
    pub fn run(&mut self, program: &mut dyn Program, secs: u64) {
        let until = self.now.mono + Duration::from_secs(secs);
        let mut steps = 0;
        loop {
            while let Some(input) = self.next_input() {
                steps += 1;
                assert!(
                    steps < 100_000,
                    "no end of inputs at {:?}: {:?}",
                    self.now,
                    &self.writes[self.writes.len().saturating_sub(20)..]
                );
                self.step(program, input);
            }
            let next = [Some(self.next_beat), self.wake_at, self.server_wake_at].into_iter().flatten().min();
            let next = next.unwrap_or(until).max(self.now.mono);
            if next > until {
                self.advance(until);
                return;
            }
            self.advance(next);
            if self.next_beat <= next {
                self.beat();
            }
            if self.server_wake_at.is_some_and(|at| at <= next) {
                self.serve(Input::Wake);
            }
            if self.wake_at.is_some_and(|at| at <= next) {
                steps += 1;
                assert!(steps < 100_000, "no end of wakes at {:?}", self.now);
                self.step(program, Input::Wake);
            }
        }
    }

    fn advance(&mut self, to: Instant) {
        let passed = to.since(self.now.mono);
        self.now = Now { mono: to, wall: self.now.wall + passed };
    }

    /// All objects of a kind.
    pub fn objects(&self, kind: Kind) -> Vec<Object> {
        self.server.store().list(&Query::all(kind)).cloned().collect()
    }

    /// What the writes were since the last time this was asked.
    pub fn take_writes(&mut self) -> Vec<Text> {
        std::mem::take(&mut self.writes)
    }

    /// Kubelets that live remove the pods that are to go.
    pub fn kubelets_finish_pods(&mut self) {
        let pods: Vec<Object> = self.server.store().list(&Query::all(Kind::Pod)).cloned().collect();
        for pod in pods.iter().filter(|pod| pod.meta().is_deleting()) {
            if pod.get::<Pod>().and_then(Pod::node).is_some_and(|node| self.alive.contains(node)) {
                self.delete_at_once(pod.key());
            }
        }
    }
}

/// A reference to an owner that blocks its foreground deletion.
pub fn owned_by(owner: &Object) -> Value {
    json!([owner_reference(owner)])
}

/// The same, as one item of a list.
pub fn owner_reference(owner: &Object) -> Value {
    let row = owner.kind().row();
    json!({"apiVersion": row.api_version(), "kind": row.name, "name": owner.meta().name, "uid": owner.meta().uid,
        "controller": true, "blockOwnerDeletion": true})
}
