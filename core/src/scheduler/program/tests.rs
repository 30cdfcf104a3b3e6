//! The scheduler against the real API server: what it binds, what it says, and that it gets there whatever is lost.

use super::news::counts;
use super::*;
use crate::api::node::Node;
use crate::api::object::Resource;
use crate::api::status::Status;
use crate::apiserver::{self, ApiServer};
use crate::program::{Answer, CallId, Committed, DeleteOptions, Effect, RequestId, Revision};
use crate::rng::Draw;
use crate::scheduler::examples::{NodeExample, PodExample, node, pod};
use crate::store::Store;
use crate::time::Wall;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::collections::VecDeque;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    /// It never reaches the server.
    RequestLost,
    /// It is carried out, and the answer is lost.
    ReplyLost,
    /// It reaches the server long after it was given up.
    Late,
    /// Something on the way asks twice: once there are too many requests, which is told, and the other time is late.
    TurnedAway,
}

/// The real API server, whose writes are durable at once, the scheduler, and what lies between.
struct World {
    server: ApiServer,
    scheduler: Scheduler,
    now: Now,
    revision: u64,
    requests: u64,
    calls: BTreeMap<RequestId, CallId>,
    deaf: BTreeSet<RequestId>,
    answered: Option<Answer>,
    inbox: VecDeque<Input>,
    late: VecDeque<(Instant, CallId, Verb)>,
    /// Calls wait here while they are held.
    held: Option<Vec<(CallId, Verb)>>,
    fate: Box<dyn Fn(u64) -> Fate>,
    made: u64,
    wake_at: Option<Instant>,
    log: Vec<String>,
    writes: Vec<String>,
    /// The most that a node of this number ever offered. Nodes do not shrink here, not even by being replaced: what
    /// shrinks under a pod that is being bound is nobody's over-commitment.
    milli: [u32; 4],
}

impl World {
    fn with(options: SchedulerOptions) -> Self {
        let mut world = World {
            server: ApiServer::new(apiserver::Options::with_seed(1), Store::default()),
            scheduler: Scheduler::new(options),
            now: Now { mono: Instant::from_nanos(0), wall: Wall::from_secs(1_800_000_000) },
            revision: 0,
            requests: 0,
            calls: BTreeMap::new(),
            deaf: BTreeSet::new(),
            answered: None,
            inbox: VecDeque::new(),
            late: VecDeque::new(),
            held: None,
            fate: Box::new(|_| Fate::Arrives),
            made: 0,
            wake_at: Some(Instant::default()),
            log: Vec::new(),
            writes: Vec::new(),
            milli: [0; 4],
        };
        world.serve(Input::Wake);
        world
    }

    fn new() -> Self {
        World::with(SchedulerOptions::default())
    }

    fn serve(&mut self, input: Input) {
        let mut out = Effects::default();
        self.server.step(self.now, input, &mut out);
        for effect in out.list {
            match effect {
                Effect::Commit { commit, .. } => {
                    self.revision += 1;
                    let outcome = Committed::At(Revision(self.revision));
                    self.serve(Input::Committed { commit, outcome });
                }
                Effect::Answer { to, answer } => match self.calls.get(&to) {
                    Some(_) if self.deaf.contains(&to) => {}
                    Some(call) => self.inbox.push_back(Input::Reply { call: *call, answer }),
                    None => self.answered = Some(answer),
                },
                Effect::Event { to, event } if !self.deaf.contains(&to) => {
                    self.inbox.extend(self.calls.get(&to).map(|call| Input::Event { call: *call, event }));
                }
                Effect::End { to } => {
                    self.inbox.extend(self.calls.get(&to).map(|call| Input::Ended { call: *call }));
                }
                _ => {}
            }
        }
    }

    fn request(&mut self, call: Option<CallId>, verb: Verb) -> RequestId {
        self.requests += 1;
        let from = RequestId(self.requests);
        if let Some(call) = call {
            self.calls.insert(from, call);
            match &verb {
                Verb::Bind { key, node, .. } => self.writes.push(format!("bind {} {node}", key.name)),
                Verb::Update { object, part: Part::Status } => {
                    self.writes.push(format!("status {}", object.meta().name));
                }
                _ => {}
            }
        }
        let bind = if let Verb::Bind { node, .. } = &verb { Some(node.clone()) } else { None };
        self.serve(Input::Request { from, request: verb.into() });
        if let Some(node) = bind {
            self.check_fit(&node);
        }
        from
    }

    fn call(&mut self, call: CallId, verb: Verb) {
        self.made += 1;
        match (self.fate)(self.made) {
            Fate::Arrives => drop(self.request(Some(call), verb)),
            Fate::RequestLost => {}
            Fate::ReplyLost => {
                self.deaf.insert(RequestId(self.requests + 1));
                self.request(Some(call), verb);
            }
            Fate::Late => self.late.push_back((self.now.mono + Duration::from_secs(33), call, verb)),
            Fate::TurnedAway => {
                let answer = Answer::Refused(Status::too_many_requests("later", 1));
                self.inbox.push_back(Input::Reply { call, answer });
                self.late.push_back((self.now.mono + Duration::from_secs(33), call, verb));
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut out = Effects::default();
        self.scheduler.step(self.now, input, &mut out);
        if out.wake_at.is_none_or(|at| at > self.now.mono) {
            let mut idle = Effects::default();
            self.scheduler.step(self.now, Input::Wake, &mut idle);
            assert_eq!((idle.list.as_slice(), idle.wake_at), ([].as_slice(), out.wake_at), "woken for nothing");
        }
        self.wake_at = out.wake_at;
        for effect in out.list {
            match effect {
                Effect::Call { call, request } => match &mut self.held {
                    Some(held) => held.push((call, request.verb)),
                    None => self.call(call, request.verb),
                },
                Effect::Cancel { call } => {
                    let from = self.calls.iter().find(|(_, of)| **of == call).map(|(from, _)| *from);
                    from.into_iter().for_each(|from| self.serve(Input::Gone { from }));
                }
                Effect::Log { level: Level::Info, line } => self.log.push(line),
                _ => {}
            }
        }
    }

    fn release(&mut self) {
        for (call, verb) in self.held.take().unwrap_or_default() {
            self.call(call, verb);
        }
    }

    /// Lets so many seconds pass, and all that happens in them.
    fn pass(&mut self, secs: u64) {
        let end = self.now.mono + Duration::from_secs(secs);
        for steps in 0.. {
            assert!(steps < 10_000, "a hot loop: {:?}", self.scheduler);
            if let Some(input) = self.inbox.pop_front() {
                self.step(input);
                continue;
            }
            let late = self.late.front().map(|(at, ..)| *at);
            let next = self.wake_at.into_iter().chain(late).min().filter(|at| *at <= end).unwrap_or(end);
            self.now.wall = self.now.wall + next.since(self.now.mono);
            self.now.mono = next.max(self.now.mono);
            if self.late.front().is_some_and(|(at, ..)| *at <= next) {
                let (_, call, verb) = self.late.pop_front().unwrap();
                self.request(Some(call), verb);
            } else if self.wake_at.is_some_and(|at| at <= next) {
                self.step(Input::Wake);
            } else {
                return;
            }
        }
    }

    fn ask(&mut self, verb: Verb) {
        self.request(None, verb);
        let answer = self.answered.take();
        assert!(matches!(answer, Some(Answer::Object { .. } | Answer::Removed(_))), "{answer:?}");
    }

    fn add(&mut self, node: NodeExample) {
        self.ask(Verb::Create { object: node.0.into_object() });
    }

    fn create(&mut self, mut pod: PodExample) {
        // A pod has its priority from a class.
        if let Some(priority) = pod.0.spec.priority.filter(|priority| *priority != 0) {
            let name = format!("p{priority}");
            let class = Key::new(Kind::PriorityClass, "", &name);
            if self.server.store().get(&class).is_none() {
                let class = serde_json::json!({"metadata": {"name": name}, "value": priority});
                let object = Object::from_value(Kind::PriorityClass, class).unwrap();
                self.ask(Verb::Create { object });
            }
            Arc::make_mut(&mut pod.0.spec).priority_class_name = name.into();
        }
        self.ask(Verb::Create { object: pod.0.into_object() });
    }

    fn change_node(&mut self, name: &str, node: NodeExample) {
        let stored = self.server.store().get(&Key::new(Kind::Node, "", name)).unwrap().clone();
        let mut new = node.0;
        new.metadata = crate::api::meta::ObjectMeta { labels: new.metadata.labels, ..stored.meta().clone() };
        new.metadata.resource_version = Text::default();
        let object = new.into_object();
        self.ask(Verb::Update { object: object.clone(), part: Part::Main });
        self.ask(Verb::Update { object, part: Part::Status });
    }

    fn finish(&mut self, name: &str) {
        let patch = serde_json::json!({"status": {"phase": "Succeeded"}});
        self.ask(Verb::Merge { key: key(name), patch, part: Part::Status });
    }

    fn relabel(&mut self, name: &str, app: &str) {
        let patch = serde_json::json!({"metadata": {"labels": {"app": app}}});
        self.ask(Verb::Merge { key: key(name), patch, part: Part::Main });
    }

    fn delete(&mut self, key: Key, grace: i64) {
        let options = DeleteOptions { grace_seconds: Some(grace), ..Default::default() };
        self.ask(Verb::Delete { key, options });
    }

    fn pod(&self, name: &str) -> Option<&Pod> {
        self.server.store().get(&key(name))?.get()
    }

    fn condition(&self, name: &str) -> String {
        let conditions = &self.pod(name).unwrap().status.conditions;
        let one = conditions.iter().find(|one| one.kind == "PodScheduled");
        one.map_or("-".into(), |one| format!("{} {} {}", one.status, one.reason, one.message))
    }

    /// Where the pods are: `a=n1 b=-`.
    fn places(&self) -> String {
        let query = Query::all(Kind::Pod);
        let pods = self.server.store().list(&query).filter_map(Object::get::<Pod>);
        pods.map(|pod| format!("{}={}", pod.metadata.name, pod.node().unwrap_or("-"))).collect::<Vec<_>>().join(" ")
    }

    fn events(&self) -> Vec<String> {
        let query = Query::all(Kind::Event);
        let mut events: Vec<String> = self
            .server
            .store()
            .list(&query)
            .filter_map(Object::get::<crate::api::event::Event>)
            .map(|event| format!("{} {} {}: {}", event.count.unwrap_or(0), event.kind, event.reason, event.message))
            .collect();
        events.sort();
        events
    }

    /// The nodes and their usage, added up anew from the store.
    fn truth(&self) -> Nodes {
        let mut nodes = Nodes::default();
        for node in self.server.store().list(&Query::all(Kind::Node)).filter_map(Object::get::<Node>) {
            nodes.set(node);
        }
        for pod in self.server.store().list(&Query::all(Kind::Pod)) {
            if let Some((node, pod, leaving)) = counts(pod) {
                let facts = nodes.pod_facts(pod, &[]);
                nodes.charge(node, &facts, leaving);
            }
        }
        nodes
    }

    fn check_fit(&self, node: &str) {
        let nodes = self.truth();
        if let Some(at) = nodes.find(node) {
            let facts = nodes.facts(at);
            let fits = facts.usage.amount.cpu_milli <= facts.allocatable_cpu_milli
                && facts.usage.amount.memory <= facts.allocatable_memory
                && facts.usage.pods <= facts.allocatable_pods;
            assert!(fits, "{node} is over-committed: {}", self.places());
        }
    }

    /// Everything the scheduler counts is true, and no pod waits that a node would take.
    fn check_settled(&self) {
        // Room that is reserved or expected counts, but not against the pod itself.
        let reserved = |nodes: &mut Nodes, but: &str| {
            for (key, one) in self.scheduler.pending.iter().filter(|(_, one)| *one.uid != *but) {
                let pod = self.server.store().get(key).and_then(Object::get::<Pod>).unwrap();
                let facts = nodes.pod_facts(pod, &[]);
                one.reserved.iter().for_each(|room| {
                    nodes.charge(&room.node, &facts, false);
                });
                one.nominated.iter().for_each(|node| nodes.nominate(node, key, &one.uid, &facts));
            }
        };
        let mut truth = self.truth();
        reserved(&mut truth, "");
        let usage = |nodes: &Nodes| nodes.iter().map(|(_, node)| node.usage.clone()).collect::<Vec<_>>();
        assert_eq!(usage(&truth), usage(&self.scheduler.nodes), "{}", self.places());
        for pod in self.server.store().list(&Query::all(Kind::Pod)).filter_map(Object::get::<Pod>) {
            if self.scheduler.wants_node(pod).is_some() {
                let mut truth = self.truth();
                reserved(&mut truth, &pod.metadata.uid);
                let facts = truth.pod_facts(pod, &[]);
                let standing = Standing::new(facts, Strategy::default(), &truth);
                let takes = truth.order().iter().find(|at| standing.takes(&truth, **at));
                assert!(takes.is_none(), "a node takes {}: {}", pod.metadata.name, self.places());
                let key = key(&pod.metadata.name);
                let pending = &self.scheduler.pending[&key];
                assert!(self.scheduler.kin[&pending.kin()].parked.contains(&pending.place));
            }
        }
        let [queued, _, delayed, assumed] = self.scheduler.waiting();
        assert_eq!((queued, delayed, assumed, self.scheduler.open), (0, 0, 0, 0));
    }
}

fn key(name: &str) -> Key {
    Key::new(Kind::Pod, "default", name)
}

#[test]
fn binds_and_tells() {
    let mut world = World::new();
    for name in ["node-1", "node-2"] {
        world.add(node(name));
    }
    for name in ["a", "b", "c", "d"] {
        world.create(pod(name));
    }
    world.pass(1);
    assert_eq!(world.places(), "a=node-1 b=node-2 c=node-1 d=node-2");
    assert_eq!(world.log[0], "scheduler: assigning pod a to node node-1");
    assert_eq!(world.log.len(), 4);
    assert_eq!(world.events()[0], "1 Normal Scheduled: Successfully assigned default/a to node-1");
    assert_eq!(world.events().len(), 4);
    world.check_settled();
    let before = world.revision;
    world.pass(3600);
    assert_eq!(world.revision, before, "a settled scheduler writes nothing");
}

#[test]
fn the_most_important_first_and_only_ones_own() {
    let mut world = World::new();
    world.add(node("n").offers("pods", "2"));
    world.create(pod("bound").on("m"));
    world.create(pod("a"));
    world.create(pod("b").priority(7));
    world.create(pod("c").priority(7));
    let mut other = pod("other").0;
    Arc::make_mut(&mut other.spec).scheduler_name = "mine".into();
    world.create(PodExample(other));
    world.pass(1);
    assert_eq!(world.places(), "a=- b=n bound=m c=n other=-");
    assert_eq!((world.condition("other").as_str(), world.scheduler.waiting()), ("-", [0, 1, 0, 0]));
}

#[test]
fn says_why_and_tries_again_when_it_could_help() {
    let mut world = World::new();
    world.create(pod("a").requests("cpu", "3").selects("disk", "ssd"));
    world.pass(1);
    assert_eq!(world.condition("a"), "False Unschedulable no nodes available to schedule pods");
    world.add(node("n1").offers("cpu", "2").label("disk", "ssd"));
    world.add(node("n2").cordoned());
    world.pass(1);
    let told = world.events().join("\n");
    assert_eq!(told, "1 Warning FailedScheduling: no nodes available to schedule pods", "no node could take it");
    world.pass(300);
    let message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 nodes are \
                   available: 2 Preemption is not helpful for scheduling.";
    assert_eq!(world.condition("a"), format!("False Unschedulable {message}"));
    assert_eq!(world.events()[0], format!("1 Warning FailedScheduling: {message}"));
    world.writes.clear();
    world.pass(3600);
    assert!(world.writes.is_empty(), "what was said is not said again");
    world.change_node("n2", node("n2"));
    world.pass(1);
    assert_eq!(world.places(), "a=-");
    world.change_node("n2", node("n2").label("disk", "ssd"));
    world.pass(1);
    assert_eq!((world.places().as_str(), world.condition("a").as_str()), ("a=n2", "True  "));
    world.check_settled();
}

fn full_node() -> World {
    let mut world = World::new();
    world.add(node("n").offers("cpu", "1"));
    world.create(pod("low").requests("cpu", "1"));
    world.pass(1);
    assert_eq!(world.places(), "low=n");
    world
}

#[test]
fn the_less_important_go_for_a_more_important_one() {
    let mut world = full_node();
    world.create(pod("high").priority(7).requests("cpu", "1"));
    world.create(pod("middle").priority(5).requests("cpu", "1"));
    world.pass(1);
    assert_eq!(world.pod("high").unwrap().status.nominated_node_name, "n");
    assert_eq!(world.pod("middle").unwrap().status.nominated_node_name, "");
    let low = world.pod("low").unwrap();
    let told = low.status.conditions.iter().find(|one| one.kind == "DisruptionTarget").unwrap();
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "PreemptionByScheduler"));
    assert_eq!(low.metadata.deletion_grace_period_seconds, Some(30));
    let message = "0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!(world.condition("high"), format!("False Unschedulable {message}"));
    let writes = world.writes.len();
    world.pass(60);
    assert_eq!(world.writes.len(), writes, "it waits for its turn");
    world.delete(key("low"), 0);
    world.pass(1);
    assert_eq!(world.places(), "high=n middle=-");
    world.check_settled();
}

#[test]
fn since_when_a_pod_has_to_go_stays_if_only_the_reason_changes() {
    let mut world = full_node();
    let since = "2020-01-01T00:00:00Z";
    let said = serde_json::json!({"type": "DisruptionTarget", "status": "True", "reason": "Patched", "lastTransitionTime": since});
    let patch = serde_json::json!({"status": {"conditions": [said]}});
    world.ask(Verb::Merge { key: key("low"), patch, part: Part::Status });
    world.create(pod("high").priority(7).requests("cpu", "1"));
    world.pass(1);
    let low = world.pod("low").unwrap();
    let told = low.status.conditions.iter().find(|one| one.kind == "DisruptionTarget").unwrap();
    let at = told.last_transition_time.map(|at| at.to_string());
    assert_eq!((told.reason.as_str(), at.as_deref()), ("PreemptionByScheduler", Some(since)));
}

#[test]
fn what_became_of_a_victim_concerns_the_very_pod_that_it_goes_for() {
    let mut world = full_node();
    let high = || pod("high").priority(7).requests("cpu", "1");
    world.create(high());
    world.held = Some(Vec::new());
    world.pass(0);
    // It is told that it has to go. Before it is asked to, another pod has the name of the one that it goes for.
    world.release();
    world.held = Some(Vec::new());
    world.pass(0);
    let asked = world.held.replace(Vec::new()).unwrap();
    let (evict, _) = asked.into_iter().find(|(_, verb)| matches!(verb, Verb::Delete { .. })).unwrap();
    world.delete(key("high"), 0);
    world.create(high());
    world.pass(0);
    let answer = Answer::Refused(Status::too_many_requests("later", 1));
    world.inbox.push_back(Input::Reply { call: evict, answer });
    world.pass(0);
    assert!(!world.pod("low").unwrap().metadata.is_deleting());
    world.release();
    world.pass(0);
    assert!(world.pod("low").unwrap().metadata.is_deleting());
}

#[test]
fn two_who_wait_for_one_node_do_not_keep_each_other_from_it() {
    let mut world = World::new();
    world.add(node("n").offers("cpu", "2"));
    for name in ["low-1", "low-2"] {
        world.create(pod(name).requests("cpu", "1"));
    }
    world.pass(1);
    for name in ["high-1", "high-2"] {
        world.create(pod(name).priority(7).requests("cpu", "1"));
    }
    world.pass(1);
    let expected = ["high-1", "high-2"].map(|name| world.pod(name).unwrap().status.nominated_node_name.clone());
    assert_eq!(expected, ["n", "n"]);
    world.delete(key("low-2"), 0);
    world.pass(1);
    assert_eq!(world.places(), "high-1=n high-2=- low-1=n");
    world.delete(key("low-1"), 0);
    world.pass(1);
    assert_eq!(world.places(), "high-1=n high-2=n");
    world.check_settled();
}

#[test]
fn who_is_expected_keeps_away_who_would_not_be_near_it() {
    let mut world = World::new();
    world.add(node("n").label("host", "n"));
    let wary = |name: &str| {
        let term = serde_json::json!({"topologyKey": "host", "labelSelector": {"matchLabels": {"app": "high"}}});
        let terms = serde_json::json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
        pod(name).spec(serde_json::json!({"affinity": {"podAntiAffinity": terms}}))
    };
    world.create(wary("low"));
    world.pass(1);
    world.create(pod("high").priority(7).label("app", "high"));
    world.pass(1);
    assert_eq!(world.pod("high").unwrap().status.nominated_node_name, "n");
    // Somebody makes it anew before its room is taken.
    world.create(wary("low-2"));
    world.pass(1);
    world.delete(key("low"), 0);
    world.pass(1);
    assert_eq!(world.places(), "high=n low-2=-");
    world.delete(key("high"), 0);
    world.pass(1);
    assert_eq!(world.places(), "low-2=n");
    world.check_settled();
}

#[test]
fn who_may_not_make_others_go_waits() {
    let mut world = full_node();
    let class = serde_json::json!({"metadata": {"name": "p7"}, "value": 7, "preemptionPolicy": "Never"});
    world.ask(Verb::Create { object: Object::from_value(Kind::PriorityClass, class).unwrap() });
    world.create(pod("patient").priority(7).requests("cpu", "1"));
    world.pass(1);
    let message = "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to \
                   preemptionPolicy=Never.";
    assert_eq!(world.condition("patient"), format!("False Unschedulable {message}"));
    assert!(!world.pod("low").unwrap().metadata.is_deleting());
    world.check_settled();
}

#[test]
fn who_loses_the_room_made_for_it_makes_others_go_once_more() {
    let mut world = World::new();
    world.add(node("n").offers("cpu", "2"));
    ["low-1", "low-2"].into_iter().for_each(|name| world.create(pod(name).requests("cpu", "1")));
    world.pass(1);
    world.create(pod("high").priority(7).requests("cpu", "1"));
    world.pass(1);
    let going = |world: &World| -> Vec<&'static str> {
        ["low-1", "low-2"].into_iter().filter(|name| world.pod(name).unwrap().metadata.is_deleting()).collect()
    };
    let first = going(&world);
    assert_eq!(first.len(), 1);
    let class = serde_json::json!({"metadata": {"name": "p9"}, "value": 9, "preemptionPolicy": "Never"});
    world.ask(Verb::Create { object: Object::from_value(Kind::PriorityClass, class).unwrap() });
    world.create(pod("patient").priority(9).requests("cpu", "1"));
    world.pass(1);
    // It has ended, and is not gone yet: who is more important takes its room.
    world.finish(first[0]);
    world.pass(1);
    assert_eq!((world.pod("patient").unwrap().node(), going(&world).len()), (Some("n"), 2));
    ["low-1", "low-2"].into_iter().for_each(|name| world.delete(key(name), 0));
    world.pass(1);
    assert_eq!(world.places(), "high=n patient=n");
    world.check_settled();
}

#[test]
fn who_waits_for_others_to_go_from_a_node_that_takes_nobody_any_more_looks_elsewhere() {
    fn small(name: &str) -> NodeExample {
        node(name).label("host", name).offers("cpu", "1")
    }
    let changes: [fn(&mut World); 3] = [
        |world| world.change_node("n1", small("n1").ready("Unknown")),
        |world| world.change_node("n1", small("n1").cordoned()),
        |world| world.delete(Key::new(Kind::Node, "", "n1"), 0),
    ];
    for change in changes {
        let mut world = World::new();
        for name in ["n1", "n2"] {
            world.add(small(name));
            world.create(pod(&format!("low-{name}")).selects("host", name).requests("cpu", "1"));
        }
        world.pass(1);
        world.create(pod("high").priority(7).requests("cpu", "1"));
        world.pass(1);
        assert_eq!(world.pod("high").unwrap().status.nominated_node_name, "n1");
        change(&mut world);
        // Whoever is to go from there may never be seen to go.
        world.pass(2);
        assert_eq!(world.pod("high").unwrap().status.nominated_node_name, "n2");
        assert!(world.pod("low-n1").unwrap().metadata.is_deleting());
        assert!(world.pod("low-n2").unwrap().metadata.is_deleting());
        world.delete(key("low-n2"), 0);
        world.pass(1);
        assert_eq!(world.pod("high").unwrap().node(), Some("n2"));
        world.check_settled();
    }
}

#[test]
fn nobody_waits_for_the_only_node_when_it_is_gone() {
    let mut world = full_node();
    world.create(pod("high").priority(7).requests("cpu", "1"));
    world.pass(1);
    assert_eq!(world.pod("high").unwrap().status.nominated_node_name, "n");
    world.delete(Key::new(Kind::Node, "", "n"), 0);
    world.pass(2);
    assert_eq!(world.pod("high").unwrap().status.nominated_node_name, "");
}

#[test]
fn room_that_is_given_up_goes_to_the_most_important_first() {
    let mut world = World::new();
    let zoned = |zone: &str| node("n").offers("cpu", "1").label("zone", zone);
    world.add(zoned("a"));
    world.create(pod("low").requests("cpu", "1"));
    world.pass(1);
    let choosy = pod("choosy").priority(9).requests("cpu", "400m");
    world.create(choosy.spec(serde_json::json!({"nodeSelector": {"zone": "a"}})));
    world.pass(1);
    assert_eq!(world.pod("choosy").unwrap().status.nominated_node_name, "n");
    // Beside the room that is kept there is enough for the small one alone.
    world.create(pod("middle").priority(5).requests("cpu", "700m"));
    world.create(pod("small").priority(1).requests("cpu", "500m"));
    world.change_node("n", zoned("b"));
    world.pass(1);
    world.delete(key("low"), 0);
    world.pass(1);
    assert_eq!(world.places(), "choosy=- middle=n small=-");
    world.check_settled();
}

#[test]
fn who_would_fit_if_others_went_hears_of_it() {
    let changes: [fn(&mut World); 2] =
        [|world| world.delete(key("equal"), 0), |world| world.change_node("n", node("n").offers("cpu", "1500m"))];
    for change in changes {
        let mut world = World::new();
        world.add(node("n").offers("cpu", "1"));
        world.create(pod("equal").priority(7).requests("cpu", "500m"));
        world.create(pod("low").requests("cpu", "500m"));
        world.pass(1);
        world.create(pod("high").priority(7).requests("cpu", "1"));
        world.pass(1);
        assert_eq!(world.places(), "equal=n high=- low=n", "the less important one is too small");
        change(&mut world);
        world.pass(2);
        assert!(world.pod("low").unwrap().metadata.is_deleting());
        world.delete(key("low"), 0);
        world.pass(1);
        assert_eq!(world.pod("high").unwrap().node(), Some("n"));
        world.check_settled();
    }
}

#[test]
fn who_would_fit_if_others_went_hears_that_it_is_spread_evenly_again() {
    let spread = serde_json::json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "host",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let web = |name: &str| pod(name).priority(7).label("app", "web").spec(spread.clone()).requests("cpu", "500m");
    let mut world = World::new();
    for name in ["n1", "n2"] {
        world.add(node(name).label("host", name).offers("cpu", "1"));
        world.create(pod(&format!("low-{name}")).selects("host", name).requests("cpu", "500m"));
    }
    world.create(web("a").selects("host", "n1"));
    world.pass(1);
    // One has others go from the second node; before it is there, another one would be too many on the first.
    world.create(pod("filler").priority(7).selects("host", "n2").requests("cpu", "500m"));
    world.pass(1);
    world.create(web("b"));
    world.create(web("c"));
    world.pass(2);
    assert_eq!(world.pod("b").unwrap().status.nominated_node_name, "n2");
    assert!(!world.pod("low-n1").unwrap().metadata.is_deleting());
    world.delete(key("low-n2"), 0);
    world.pass(2);
    assert_eq!(world.pod("b").unwrap().node(), Some("n2"));
    assert!(world.pod("low-n1").unwrap().metadata.is_deleting(), "and now it is not");
    world.delete(key("low-n1"), 0);
    world.pass(2);
    assert_eq!(world.pod("c").unwrap().node(), Some("n1"));
    world.check_settled();
}

#[test]
fn preemption_gets_there_whatever_call_is_lost() {
    let run = |nth: u64, fate: Fate| {
        let mut world = full_node();
        world.fate = Box::new(move |made| if made == nth { fate } else { Fate::Arrives });
        world.create(pod("high").priority(7).requests("cpu", "1"));
        world.pass(100);
        assert!(world.pod("low").unwrap().metadata.is_deleting(), "call {nth}: {fate:?}");
        world.delete(key("low"), 0);
        world.pass(400);
        assert_eq!(world.places(), "high=n", "call {nth}: {fate:?}");
        world.check_settled();
        world.made
    };
    let before = full_node().made;
    let calls = run(0, Fate::Arrives);
    for nth in before + 1..=calls {
        for fate in [Fate::RequestLost, Fate::ReplyLost, Fate::Late] {
            run(nth, fate);
        }
    }
}

#[test]
fn gates_profiles_and_volumes() {
    let profiles = [("mine".into(), Strategy::MostAllocated)].into();
    let mut world = World::with(SchedulerOptions { profiles, ..Default::default() });
    for name in ["n1", "n2"] {
        world.add(node(name).label("host", name));
    }
    world.create(pod("gated").spec(serde_json::json!({"schedulingGates": [{"name": "a/b"}]})));
    for name in ["a", "b"] {
        world.create(pod(name).spec(serde_json::json!({"schedulerName": "mine"})));
    }
    world.pass(1);
    assert_eq!(world.places(), "a=n1 b=n1 gated=-");
    assert!(world.condition("gated").starts_with("False SchedulingGated"));
    let patch = serde_json::json!({"spec": {"schedulingGates": null}});
    world.ask(Verb::Merge { key: key("gated"), patch, part: Part::Main });
    world.pass(1);
    assert_eq!(world.places(), "a=n1 b=n1 gated=n2");
    // A volume that can be reached from one node alone, once its claim is bound.
    let volume = serde_json::json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "local": {"path": "/v"}, "nodeAffinity": {"required": {"nodeSelectorTerms":
        [{"matchExpressions": [{"key": "host", "operator": "In", "values": ["n3"]}]}]}}}});
    world.ask(Verb::Create { object: Object::from_value(Kind::PersistentVolume, volume).unwrap() });
    let claim = serde_json::json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {"volumeName": "v",
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    world.ask(Verb::Create { object: Object::from_value(Kind::PersistentVolumeClaim, claim).unwrap() });
    let volumes = serde_json::json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
    world.create(pod("v").spec(volumes));
    world.pass(1);
    assert!(world.condition("v").contains("2 node(s) had volume node affinity conflict"), "{}", world.condition("v"));
    world.add(node("n3").label("host", "n3"));
    world.pass(1);
    assert_eq!(world.places(), "a=n1 b=n1 gated=n2 v=n3");
}

fn away_from_web() -> serde_json::Value {
    serde_json::json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}})
}

#[test]
fn who_was_kept_away_by_others_hears_of_what_kept_it_away_since() {
    type Change = fn(NodeExample) -> NodeExample;
    let changes: [Change; 3] =
        [NodeExample::cordoned, |node| node.taint("x", "NoSchedule"), |node| node.ready("False")];
    for change in changes {
        let mut world = World::new();
        let usual = || node("n").label("host", "n");
        world.add(usual());
        world.create(pod("w").label("app", "web"));
        world.pass(1);
        world.create(pod("away").spec(away_from_web()));
        world.pass(1);
        world.change_node("n", change(usual()));
        world.delete(key("w"), 0);
        world.pass(1);
        world.change_node("n", usual());
        world.pass(1);
        assert_eq!(world.places(), "away=n");
    }
}

#[test]
fn who_waits_for_others_hears_of_them() {
    let near = serde_json::json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}});
    let away = away_from_web();
    let mut world = World::new();
    for name in ["n1", "n2"] {
        world.add(node(name).label("host", name));
    }
    world.create(pod("near").spec(near));
    world.pass(1);
    assert_eq!(world.places(), "near=-");
    world.create(pod("w1").label("app", "web"));
    world.pass(1);
    assert_eq!(world.places(), "near=n1 w1=n1");
    world.create(pod("w2").label("app", "web").selects("host", "n2"));
    world.create(pod("away").spec(away));
    world.pass(1);
    assert_eq!(world.places(), "away=- near=n1 w1=n1 w2=n2");
    world.delete(key("w2"), 0);
    world.pass(1);
    assert_eq!(world.places(), "away=n2 near=n1 w1=n1");
}

#[test]
fn a_pod_that_leaves_makes_room_for_as_many_as_fit() {
    let mut world = World::new();
    world.add(node("n").offers("cpu", "1"));
    world.create(pod("a").requests("cpu", "1"));
    world.pass(1);
    for name in ["b", "c", "d"] {
        world.create(pod(name).requests("cpu", "500m"));
    }
    world.pass(1);
    world.writes.clear();
    world.delete(key("a"), 30);
    world.pass(1);
    assert!(world.writes.is_empty(), "a terminating pod counts until it is gone");
    world.delete(key("a"), 0);
    world.pass(1);
    assert_eq!((world.places().as_str(), world.writes.len()), ("b=n c=n d=-", 2), "d is not disturbed");
    world.finish("b");
    world.pass(1);
    assert_eq!(world.places(), "b=n c=n d=n");
    world.check_settled();
}

#[test]
fn a_bind_that_is_refused_frees_the_node() {
    let mut world = World::new();
    world.add(node("n1"));
    world.add(node("n2").cordoned());
    world.pass(1);
    world.held = Some(Vec::new());
    world.create(pod("a").requests("cpu", "4"));
    world.pass(0);
    let uid = world.pod("a").unwrap().metadata.uid.clone();
    world.ask(Verb::Bind { key: key("a"), uid, node: "n2".into() });
    world.release();
    world.create(pod("b").requests("cpu", "4"));
    world.pass(20);
    assert_eq!(world.places(), "a=n2 b=n1");
    world.check_settled();
}

#[test]
fn pods_and_nodes_that_vanish_leave_no_ghosts() {
    let check = |what: &str, happens: fn(&mut World), want: &str| {
        let mut world = World::new();
        world.add(node("n1"));
        world.pass(1);
        world.held = Some(Vec::new());
        world.create(pod("a").requests("cpu", "4"));
        world.pass(0);
        happens(&mut world);
        world.pass(0);
        world.release();
        world.pass(100);
        assert_eq!(world.places(), want, "{what}");
        world.check_settled();
    };
    check("the pod is deleted while it is being bound", |world| world.delete(key("a"), 0), "");
    check(
        "another pod of the name takes its place",
        |world| {
            world.delete(key("a"), 0);
            world.create(pod("a").requests("cpu", "3"));
        },
        "a=n1",
    );
    check(
        "the node goes and comes back",
        |world| {
            world.delete(Key::new(Kind::Node, "", "n1"), 0);
            world.add(node("n1"));
        },
        "a=n1",
    );
    check(
        "the node goes, and the bind is lost",
        |world| {
            world.held.as_mut().unwrap().clear();
            world.delete(Key::new(Kind::Node, "", "n1"), 0);
            world.add(node("n2"));
        },
        "a=n2",
    );
}

#[test]
fn who_wants_no_node_any_more_while_it_is_being_bound_makes_room_at_once() {
    let changes: [fn(&mut World); 2] = [|world| world.delete(key("a"), 0), |world| world.finish("a")];
    for (change, places) in changes.into_iter().zip(["a=- b=n", "a=n b=n"]) {
        let mut world = World::new();
        world.add(node("n").offers("cpu", "1"));
        world.pass(1);
        world.held = Some(Vec::new());
        let mut a = pod("a").requests("cpu", "1");
        a.0.metadata.finalizers.push("x/y".into());
        world.create(a);
        world.create(pod("b").requests("cpu", "1"));
        world.pass(0);
        assert_eq!(world.scheduler.waiting(), [0, 1, 0, 1]);
        change(&mut world);
        world.pass(0);
        assert_eq!(world.scheduler.waiting(), [0, 0, 0, 1], "the other has its room before the bind is answered");
        world.release();
        world.pass(1);
        assert_eq!(world.places(), places);
        world.check_settled();
    }
}

#[test]
fn any_one_call_may_be_lost_or_late() {
    let run = |nth: u64, fate: Fate| {
        let mut world = World::new();
        world.fate = Box::new(move |made| if made == nth { fate } else { Fate::Arrives });
        world.add(node("n1").offers("cpu", "1"));
        world.create(pod("a").requests("cpu", "1"));
        world.create(pod("b").requests("cpu", "1"));
        world.pass(1);
        world.add(node("n2").offers("cpu", "1").label("x", "y"));
        world.create(pod("c").selects("x", "y"));
        world.pass(200);
        world.pass(400);
        assert_eq!(world.places(), "a=n1 b=n2 c=n2", "call {nth}: {fate:?}");
        world.check_settled();
        world.made
    };
    let calls = run(0, Fate::Arrives);
    assert!(calls > 10);
    for nth in 1..=calls {
        for fate in [Fate::RequestLost, Fate::ReplyLost, Fate::Late, Fate::TurnedAway] {
            run(nth, fate);
        }
    }
}

#[test]
fn room_is_kept_for_a_bind_that_may_still_arrive() {
    let mut world = World::new();
    world.add(node("n1").offers("cpu", "1").label("x", "y"));
    world.pass(1);
    let bind = world.made + 1;
    world.fate = Box::new(move |made| if made == bind { Fate::Late } else { Fate::Arrives });
    world.create(pod("a").requests("cpu", "1").selects("x", "y"));
    world.pass(1);
    world.change_node("n1", node("n1").offers("cpu", "1"));
    world.pass(31);
    world.create(pod("b").requests("cpu", "1"));
    world.pass(0);
    assert_eq!((world.places().as_str(), world.scheduler.waiting()), ("a=- b=-", [0, 1, 1, 0]));
    world.pass(10);
    assert_eq!(world.places(), "a=n1 b=-");
    world.add(node("n2"));
    world.pass(1);
    assert_eq!(world.places(), "a=n1 b=n2");
    world.check_settled();
}

#[test]
fn who_is_being_bound_counts_as_what_it_has_become() {
    let mut world = World::new();
    world.add(node("n").label("host", "n"));
    world.pass(1);
    world.held = Some(Vec::new());
    world.create(pod("a"));
    world.pass(0);
    world.relabel("a", "web");
    world.create(pod("away").spec(away_from_web()));
    world.pass(0);
    assert_eq!(world.scheduler.waiting(), [0, 1, 0, 1], "it may not be where the other will be");
    world.relabel("a", "db");
    world.pass(0);
    assert_eq!(world.scheduler.waiting(), [0, 0, 0, 2], "the other is not in its way any more");
    world.release();
    world.pass(1);
    assert_eq!(world.places(), "a=n away=n");
    world.check_settled();
}

#[test]
fn room_that_is_kept_counts_as_what_its_pod_has_become() {
    let mut world = World::new();
    world.add(node("n").label("host", "n").label("x", "y"));
    world.pass(1);
    let bind = world.made + 1;
    world.fate = Box::new(move |made| if made == bind { Fate::Late } else { Fate::Arrives });
    world.create(pod("a").selects("x", "y"));
    world.pass(1);
    world.change_node("n", node("n").label("host", "n"));
    world.pass(31);
    world.relabel("a", "web");
    world.create(pod("away").spec(away_from_web()));
    world.pass(10);
    assert_eq!(world.places(), "a=n away=-");
    world.check_settled();
}

#[test]
fn who_was_turned_away_may_be_bound_all_the_same() {
    let mut world = World::new();
    world.add(node("n").offers("cpu", "1"));
    world.pass(1);
    let bind = world.made + 1;
    world.fate = Box::new(move |made| if made == bind { Fate::TurnedAway } else { Fate::Arrives });
    world.create(pod("a").requests("cpu", "1"));
    world.create(pod("b").requests("cpu", "1"));
    world.pass(0);
    assert_eq!(world.scheduler.waiting(), [0, 1, 0, 1], "its room is not given to another");
    world.pass(200);
    assert_eq!(world.places(), "a=n b=-");
    world.check_settled();
}

#[test]
fn room_that_was_kept_is_free_as_soon_as_no_bind_can_arrive() {
    let mut world = World::new();
    world.add(node("n1").offers("cpu", "1").label("x", "y"));
    world.pass(1);
    let bind = world.made + 1;
    world.fate = Box::new(move |made| if made == bind { Fate::RequestLost } else { Fate::Arrives });
    world.create(pod("a").requests("cpu", "1").selects("x", "y"));
    world.pass(1);
    world.change_node("n1", node("n1").offers("cpu", "1"));
    world.pass(60);
    world.create(pod("b").requests("cpu", "1"));
    world.pass(140);
    // It is decided once more, in vain.
    world.change_node("n1", node("n1").offers("cpu", "1").label("x", "z"));
    world.pass(1);
    assert_eq!(world.places(), "a=- b=-");
    world.pass(200);
    assert_eq!(world.places(), "a=- b=n1");
    world.check_settled();
}

#[test]
fn decisions_wait_when_too_many_calls_are_open() {
    let mut world = World::with(SchedulerOptions { calls_max: 3, ..Default::default() });
    world.add(node("n"));
    world.pass(1);
    world.held = Some(Vec::new());
    for nth in 0..10 {
        world.create(pod(&format!("p{nth}")));
    }
    world.pass(1);
    assert_eq!(world.scheduler.waiting(), [7, 0, 0, 3]);
    world.release();
    world.pass(1);
    world.check_settled();
    assert!(!world.places().contains("=-"));
}

/// Something that happens to the cluster; the numbers choose nodes, pods and sizes.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Pod { name: u8, cpu: u8, label: bool, priority: i8, shy: bool },
    PodGone { name: u8, grace: bool },
    PodFinished(u8),
    Node { name: u8, cpu: u8 },
    NodeGone(u8),
    NodeIs { name: u8, ready: bool, cordoned: bool, label: bool, more: u8 },
    Pass(u8),
}

impl Arbitrary for Happens {
    fn arbitrary(g: &mut Gen) -> Self {
        let [a, b, c, d] = [u8::arbitrary(g), u8::arbitrary(g), u8::arbitrary(g), u8::arbitrary(g)];
        match a % 16 {
            0..=5 => Happens::Pod {
                name: b % 12,
                cpu: c % 8,
                label: d % 4 == 0,
                priority: (d % 3) as i8,
                shy: c / 8 % 4 == 0,
            },
            6 | 7 => Happens::PodGone { name: b % 12, grace: c % 2 == 0 },
            8 => Happens::PodFinished(b % 12),
            9 | 10 => Happens::Node { name: b % 4, cpu: c % 16 },
            11 => Happens::NodeGone(b % 4),
            12 | 13 => Happens::NodeIs {
                name: b % 4,
                ready: c % 4 > 0,
                cordoned: c / 4 % 4 == 0,
                label: c / 16 % 2 == 0,
                more: d % 4,
            },
            _ => Happens::Pass(b % 40),
        }
    }
}

impl World {
    fn happens(&mut self, what: Happens) {
        let node_key = |name: u8| Key::new(Kind::Node, "", &format!("n{name}"));
        let (pod_name, milli) = (|name: u8| format!("p{name}"), |cpu: u8| format!("{}m", u32::from(cpu) * 100));
        let has = |world: &World, key: &Key| world.server.store().get(key).is_some();
        match what {
            Happens::Pod { name, cpu, label, priority, shy } => {
                let (even, name) = (name % 2 == 0, pod_name(name));
                if !has(self, &key(&name)) {
                    let pod = pod(&name).requests("cpu", &milli(cpu)).priority(priority.into());
                    let pod = if even { pod.label("app", "web") } else { pod };
                    let pod = if shy { pod.spec(away_from_web()) } else { pod };
                    self.create(if label { pod.selects("x", "y") } else { pod });
                }
            }
            Happens::PodGone { name, grace } => {
                let key = key(&pod_name(name));
                if has(self, &key) {
                    self.delete(key, if grace { 30 } else { 0 });
                }
            }
            Happens::PodFinished(name) => {
                let name = pod_name(name);
                if self.pod(&name).is_some_and(|pod| pod.node().is_some() && !pod.status.phase.is_final()) {
                    self.finish(&name);
                }
            }
            Happens::Node { name, cpu } => {
                if !has(self, &node_key(name)) {
                    let most = &mut self.milli[usize::from(name)];
                    *most = (*most).max(u32::from(cpu) * 100);
                    let cpu = format!("{most}m");
                    let name = format!("n{name}");
                    self.add(node(&name).label("host", &name).offers("cpu", &cpu).offers("pods", "4"));
                }
            }
            Happens::NodeGone(name) => {
                if has(self, &node_key(name)) {
                    self.delete(node_key(name), 0);
                }
            }
            Happens::NodeIs { name, ready, cordoned, label, more } => {
                if has(self, &node_key(name)) {
                    self.milli[usize::from(name)] += u32::from(more) * 100;
                    let cpu = format!("{}m", self.milli[usize::from(name)]);
                    let name = format!("n{name}");
                    let node = node(&name).label("host", &name).offers("cpu", &cpu).offers("pods", "4");
                    let node = node.ready(if ready { "True" } else { "Unknown" });
                    let node = if cordoned { node.cordoned() } else { node };
                    self.change_node(&name, if label { node.label("x", "y") } else { node });
                }
            }
            Happens::Pass(secs) => self.pass(secs.into()),
        }
    }
}

fn live(strategy: u8, seed: u64, lost_percent: u64, story: &[Happens]) {
    use Strategy::{LeastAllocated, MostAllocated, Random, RoundRobin};
    let strategy = [LeastAllocated, MostAllocated, RoundRobin, Random][usize::from(strategy % 4)];
    let mut world = World::with(SchedulerOptions { strategy, seed, calls_max: 4, ..Default::default() });
    let draw = Draw::new(seed).key("fate");
    world.fate = Box::new(move |made| match draw.count(made) {
        draw if !draw.chance(lost_percent, 100) => Fate::Arrives,
        draw => [Fate::RequestLost, Fate::ReplyLost, Fate::Late][draw.count(0).below(3) as usize],
    });
    story.iter().for_each(|what| world.happens(*what));
    world.fate = Box::new(|_| Fate::Arrives);
    // Less than the flush: what could help must have woken the pods.
    world.pass(200);
    world.check_settled();
    // The flush may say again, in other words, why a pod waits; and room that was reserved becomes free.
    let before = world.writes.len();
    world.pass(900);
    let new = &world.writes[before..];
    assert!(lost_percent > 0 || new.iter().all(|write| write.starts_with("status")), "{new:?}");
    world.check_settled();
    let before = world.writes.len();
    world.pass(900);
    assert_eq!(world.writes.len(), before, "a settled scheduler writes nothing");
}

#[test]
fn who_is_woken_while_as_many_are_asked_as_may_be_waits_for_no_time() {
    use Happens::{Node, NodeGone, Pass};
    let pod = |name, cpu, priority| Happens::Pod { name, cpu, label: false, priority, shy: false };
    let before =
        [pod(9, 7, 2), Pass(4), pod(7, 3, 0), Node { name: 1, cpu: 15 }, pod(8, 4, 0), Node { name: 3, cpu: 11 }];
    let after =
        [NodeGone(3), pod(10, 7, 1), Pass(20), pod(2, 3, 1), pod(6, 3, 1), Node { name: 3, cpu: 6 }, pod(5, 0, 1)];
    live(0, 0, 0, &[before.as_slice(), &after].concat());
}

#[test]
fn who_goes_before_it_is_decided_passes_its_turn_on() {
    use Happens::{Node, Pass, PodGone};
    let pod = |name, cpu, label, priority| Happens::Pod { name, cpu, label, priority, shy: false };
    let before = [pod(7, 1, false, 2), pod(4, 4, false, 2), Pass(17), pod(11, 6, false, 0), pod(10, 1, false, 2)];
    let after = [pod(5, 4, true, 0), Node { name: 3, cpu: 9 }, PodGone { name: 7, grace: true }];
    live(0, 0, 15, &[before.as_slice(), &after].concat());
}

quickcheck! {
    fn whatever_happens_no_pod_waits_that_a_node_would_take(strategy: u8, seed: u64, story: Vec<Happens>) -> bool {
        live(strategy, seed, 0, &story);
        true
    }

    fn losses_change_nothing_in_the_end(strategy: u8, seed: u64, story: Vec<Happens>) -> bool {
        live(strategy, seed, 15, &story);
        true
    }
}
