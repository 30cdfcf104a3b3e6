//! The API server against an engine that keeps its promises, and against a slow and obvious model.

use crate::api::event;
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::text::Text;
use crate::apiserver::{ApiServer, Options};
use crate::controllers::testing::property;
use crate::program::{
    Answer, CommitId, Committed, DeleteOptions, Effect, Effects, Input, Part, Program, Propagation, Query, Request,
    RequestId, Revision, Verb, WatchEvent, WatchFrom, Write,
};
use crate::rng::Draw;
use crate::store::Store;
use crate::time::{Duration, Now, Wall};
use quickcheck::{Arbitrary, Gen};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An API server and an engine. Writes are durable at once, unless they are held.
struct Desk {
    server: ApiServer,
    now: Now,
    hold: bool,
    held: VecDeque<(CommitId, Write)>,
    /// The engine's own account: what is durable, and all that ever was.
    durable: BTreeMap<Key, Object>,
    history: Vec<(u64, Key, Option<Object>)>,
    revision: u64,
    requests: u64,
    answers: BTreeMap<u64, Answer>,
    events: BTreeMap<u64, Vec<WatchEvent>>,
    ended: BTreeSet<u64>,
    wake_at: Option<crate::time::Instant>,
}

impl Desk {
    fn with(store: Store) -> Self {
        let now = Now { wall: Wall::from_secs(1_790_000_000), ..Now::default() };
        let stored = |kind| store.list(&Query::all(kind)).map(|one| (one.key(), one.clone())).collect::<Vec<_>>();
        let (durable, revision) = (store.kinds().flat_map(stored).collect(), store.revision().0);
        let mut desk = Desk {
            server: ApiServer::new(Options::with_seed(7), store),
            now,
            hold: false,
            held: VecDeque::new(),
            durable,
            history: Vec::new(),
            revision,
            requests: 0,
            answers: BTreeMap::new(),
            events: BTreeMap::new(),
            ended: BTreeSet::new(),
            wake_at: None,
        };
        desk.step(Input::Wake);
        desk
    }

    fn new() -> Self {
        Desk::with(Store::default())
    }

    fn step(&mut self, input: Input) {
        let mut out = Effects::default();
        self.server.step(self.now, input, &mut out);
        let mut again = Effects::default();
        self.server.step(self.now, Input::Wake, &mut again);
        assert_eq!((again.list.as_slice(), again.wake_at), ([].as_slice(), out.wake_at), "woken for nothing");
        assert!(out.wake_at.is_none_or(|at| at > self.now.mono), "it wants to be woken at once, for ever");
        self.wake_at = out.wake_at;
        let mut commits = 0;
        for effect in out.list {
            match effect {
                Effect::Commit { commit, write } => {
                    self.held.push_back((commit, write));
                    commits += 1;
                }
                Effect::Answer { to, answer } => {
                    assert!(self.answers.insert(to.0, answer).is_none(), "one answer to each");
                }
                Effect::Event { to, event } => self.events.entry(to.0).or_default().push(event),
                Effect::End { to } => drop(self.ended.insert(to.0)),
                Effect::Log { .. } | Effect::Decided { .. } => {}
                other => panic!("an API server does not ask for {other:?}"),
            }
        }
        if commits > 0 && !self.hold {
            self.flush(usize::MAX);
        }
    }

    /// Makes so many writes durable, in their order.
    fn flush(&mut self, count: usize) {
        for _ in 0..count {
            let Some((commit, write)) = self.held.pop_front() else { return };
            let is = self.durable.get(&write.key).map_or(Revision(0), Object::revision);
            assert_eq!(is, write.expect, "S-cas: {:?}", write.key);
            self.revision += 1;
            let object = write.object.map(|object| {
                assert_eq!(object.meta().resource_version, "");
                object.with_meta(|meta| meta.resource_version = self.revision.to_string().into())
            });
            match &object {
                Some(object) => self.durable.insert(write.key.clone(), object.clone()),
                None => self.durable.remove(&write.key),
            };
            self.history.push((self.revision, write.key, object));
            let outcome = Committed::At(Revision(self.revision));
            self.step(Input::Committed { commit, outcome });
        }
    }

    /// The oldest write that is held comes to this.
    fn fail(&mut self, outcome: Committed) {
        let (commit, _) = self.held.pop_front().expect("a write is held");
        self.step(Input::Committed { commit, outcome });
    }

    fn send(&mut self, request: impl Into<Request>) -> u64 {
        self.requests += 1;
        self.step(Input::Request { from: RequestId(self.requests), request: request.into() });
        self.requests
    }

    fn ask(&mut self, request: impl Into<Request>) -> String {
        let from = self.send(request);
        self.answer(from)
    }

    fn answer(&self, from: u64) -> String {
        self.answers.get(&from).map_or("-".into(), told)
    }

    fn create(&mut self, kind: Kind, value: Value) -> String {
        self.ask(Verb::Create { object: Object::from_value(kind, value).unwrap() })
    }

    fn pod(&mut self, name: &str, merge: Value) -> String {
        self.create(Kind::Pod, pod(name, merge))
    }

    fn merge(&mut self, key: Key, patch: Value, part: Part) -> String {
        self.ask(Verb::Merge { key, patch, part })
    }

    fn delete(&mut self, key: Key, options: DeleteOptions) -> String {
        self.ask(Verb::Delete { key, options })
    }

    fn stored(&self, key: &Key) -> &Object {
        self.server.store().get(key).expect("it is stored")
    }

    fn watch(&mut self, query: Query, from: WatchFrom) -> u64 {
        self.send(Verb::Watch { query, from, bookmarks: true })
    }

    fn heard(&mut self, watch: u64) -> String {
        self.events.remove(&watch).unwrap_or_default().iter().map(told_event).collect::<Vec<_>>().join(" ")
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now.mono + time;
        loop {
            let next = self.wake_at.filter(|at| *at <= until).unwrap_or(until).max(self.now.mono);
            self.now.wall = self.now.wall + next.since(self.now.mono);
            self.now.mono = next;
            if self.wake_at.is_none_or(|at| at > next) {
                return;
            }
            self.step(Input::Wake);
        }
    }
}

fn told(answer: &Answer) -> String {
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

fn told_event(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Added(object) => format!("+{}@{}", object.meta().name, object.revision()),
        WatchEvent::Modified(object) => format!("~{}@{}", object.meta().name, object.revision()),
        WatchEvent::Deleted(object) => format!("-{}@{}", object.meta().name, object.revision()),
        WatchEvent::Bookmark(revision) => format!("={revision}"),
        WatchEvent::Expired(status) => status.message.clone(),
    }
}

fn pod(name: &str, merge: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
    crate::patch::merge::merge(&mut pod, &merge);
    pod
}

fn set(name: &str) -> Value {
    let labels = json!({"app": name});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
    json!({"metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": template}})
}

fn key(name: &str) -> Key {
    Key::new(Kind::Pod, "default", name)
}

fn grace(seconds: i64) -> DeleteOptions {
    DeleteOptions { grace_seconds: Some(seconds), ..Default::default() }
}

fn label(value: &str) -> Value {
    json!({"metadata": {"labels": {"x": value}}})
}

#[test]
fn a_write_says_on_what_it_is_based() {
    let mut desk = Desk::new();
    assert_eq!(desk.pod("a", json!({})), "created a@11");
    let old = desk.stored(&key("a")).clone();
    assert_eq!(desk.merge(key("a"), label("1"), Part::Main), "is a@12");
    assert_eq!(desk.ask(Verb::Update { object: old.clone(), part: Part::Main }), "Conflict");
    assert_eq!(desk.ask(Verb::Update { object: old.clone(), part: Part::Status }), "Conflict");
    let of_another = json!({"metadata": {"uid": "another", "labels": {"x": "2"}}});
    assert_eq!(desk.merge(key("a"), of_another, Part::Main), "Conflict");
    assert_eq!(desk.merge(key("a"), json!({"metadata": {"resourceVersion": "11"}}), Part::Main), "Conflict");
    let any = old.with_meta(|meta| meta.resource_version = Text::default());
    assert_eq!(desk.ask(Verb::Update { object: any, part: Part::Main }), "is a@13");
    assert_eq!(desk.pod("b", json!({"metadata": {"resourceVersion": "11"}})), "BadRequest");
    for options in [
        DeleteOptions { uid: Some("another".into()), ..Default::default() },
        DeleteOptions { resource_version: Some("6".into()), ..Default::default() },
    ] {
        assert_eq!(desk.delete(key("a"), options), "Conflict");
    }
}

/// Of two that wait behind a write, the second sees what the first made.
#[test]
fn a_condition_is_checked_when_its_turn_comes() {
    let mut desk = Desk::new();
    desk.pod("a", json!({}));
    desk.hold = true;
    let conditional = |value: &str, on: &str| Verb::Merge {
        key: key("a"),
        patch: json!({"metadata": {"resourceVersion": on, "labels": {"x": value}}}),
        part: Part::Main,
    };
    let all = [desk.send(conditional("1", "11")), desk.send(conditional("2", "11")), desk.send(conditional("3", "12"))];
    assert_eq!(desk.held.len(), 1);
    desk.flush(1);
    assert_eq!(all.map(|one| desk.answer(one)), ["is a@12", "Conflict", "-"]);
    desk.flush(1);
    assert_eq!(desk.answer(all[2]), "is a@13");
}

#[test]
fn what_waits_behind_a_write_that_fails_has_its_turn_in_order() {
    for outcome in [Committed::Conflict, Committed::Failed("no space left".into())] {
        let mut desk = Desk::new();
        desk.hold = true;
        let first = desk.send(Verb::Create { object: Object::from_value(Kind::Pod, pod("a", json!({}))).unwrap() });
        let second = desk.send(Verb::Merge { key: key("a"), patch: label("1"), part: Part::Main });
        let third = desk.send(Verb::Create { object: Object::from_value(Kind::Pod, pod("a", label("3"))).unwrap() });
        let fourth = desk.send(Verb::Merge { key: key("a"), patch: label("4"), part: Part::Main });
        let fifth = desk.send(Verb::Delete { key: key("a"), options: DeleteOptions::default() });
        let refused = if outcome == Committed::Conflict { "Conflict" } else { "InternalError" };
        desk.fail(outcome);
        assert_eq!([first, second, third].map(|one| desk.answer(one)), [refused, "NotFound", "-"]);
        desk.flush(1);
        // Who has gone wants no answer, but what he asked for is done.
        desk.step(Input::Gone { from: RequestId(fourth) });
        desk.flush(2);
        assert_eq!([third, fourth, fifth].map(|one| desk.answer(one)), ["created a@11", "is a@12", "removed"]);
    }
}

#[test]
fn the_generation_counts_wishes() {
    let mut desk = Desk::new();
    let key = Key::new(Kind::ReplicaSet, "default", "web");
    let generation = |desk: &Desk| desk.stored(&key).meta().generation;
    desk.create(Kind::ReplicaSet, set("web"));
    assert_eq!(generation(&desk), Some(1));
    desk.merge(key.clone(), label("1"), Part::Main);
    desk.merge(key.clone(), json!({"status": {"replicas": 4}}), Part::Status);
    desk.merge(key.clone(), json!({"spec": {"replicas": 4}}), Part::Status);
    desk.merge(key.clone(), json!({"metadata": {"generation": 9}}), Part::Main);
    assert_eq!(generation(&desk), Some(1));
    desk.merge(key.clone(), json!({"spec": {"replicas": 4}}), Part::Main);
    desk.merge(key.clone(), json!({"spec": {"replicas": 4}}), Part::Main);
    assert_eq!(generation(&desk), Some(2));
}

#[test]
fn a_pod_with_finalizers_goes_when_both_its_node_and_they_are_done() {
    for node_first in [true, false] {
        let mut desk = Desk::new();
        desk.pod("a", json!({"metadata": {"finalizers": ["x/y"]}, "spec": {"nodeName": "n"}}));
        desk.delete(key("a"), DeleteOptions::default());
        let free = json!({"metadata": {"finalizers": []}});
        let state = |desk: &Desk| desk.stored(&key("a")).meta().deletion_grace_period_seconds;
        assert_eq!(state(&desk), Some(30));
        assert_eq!(desk.merge(key("a"), json!({"metadata": {"finalizers": ["x/y", "x/z"]}}), Part::Main), "Invalid");
        if node_first {
            assert_eq!(desk.delete(key("a"), grace(0)), "is a@13");
            assert_eq!((state(&desk), desk.delete(key("a"), grace(0)).as_str()), (Some(0), "is a@13"));
            assert_eq!(desk.merge(key("a"), free, Part::Main), "is a@13", "who lets it go is shown what it let go");
        } else {
            assert_eq!(desk.merge(key("a"), free, Part::Main), "is a@13");
            assert_eq!(desk.delete(key("a"), grace(0)), "removed");
        }
    }
}

#[test]
fn an_object_that_is_being_deleted_can_still_be_written() {
    let mut desk = Desk::new();
    desk.pod("a", json!({"spec": {"nodeName": "n"}}));
    assert_eq!(desk.delete(key("a"), grace(10)), "is a@12");
    let until = desk.stored(&key("a")).meta().deletion_timestamp;
    assert_eq!(desk.merge(key("a"), label("1"), Part::Main), "is a@13");
    assert_eq!(desk.merge(key("a"), json!({"status": {"phase": "Failed"}}), Part::Status), "is a@14");
    let undo = json!({"metadata": {"deletionTimestamp": null, "deletionGracePeriodSeconds": null}});
    assert_eq!(desk.merge(key("a"), undo, Part::Main), "is a@14");
    assert_eq!(desk.stored(&key("a")).meta().deletion_timestamp, until);
    assert_eq!(desk.pod("a", json!({})), "AlreadyExists");
    // Longer, and without a time of its own: both change nothing. A finished pod waits for no node.
    assert_eq!(desk.delete(key("a"), grace(0)), "removed");
}

#[test]
fn a_namespace_goes_when_it_is_empty() {
    let mut desk = Desk::new();
    desk.create(Kind::Namespace, json!({"metadata": {"name": "x"}}));
    let x = Key::new(Kind::Namespace, "", "x");
    assert_eq!(desk.pod("a", json!({"metadata": {"namespace": "x"}})), "created a@13");
    assert_eq!(desk.delete(x.clone(), DeleteOptions::default()), "is x@14");
    assert_eq!(desk.stored(&x).to_value()["status"]["phase"], "Terminating");
    assert_eq!(desk.pod("b", json!({"metadata": {"namespace": "x"}})), "Forbidden");
    let inside = Key::new(Kind::Pod, "x", "a");
    assert_eq!(desk.merge(inside.clone(), label("1"), Part::Main), "is a@15", "what is there can be written");
    let empty = json!({"spec": {"finalizers": []}});
    assert_eq!(desk.merge(x.clone(), empty.clone(), Part::Main), "is x@14", "not by an ordinary write");
    assert_eq!(desk.delete(inside, DeleteOptions::default()), "removed");
    assert_eq!(desk.merge(x.clone(), empty.clone(), Part::Finalize), "is x@14");
    assert_eq!(desk.merge(x.clone(), empty, Part::Finalize), "NotFound");
    assert_eq!(desk.pod("b", json!({"metadata": {"namespace": "x"}})), "NotFound");
    for name in ["default", "kube-system", "kube-node-lease"] {
        assert_eq!(desk.delete(Key::new(Kind::Namespace, "", name), DeleteOptions::default()), "Forbidden");
    }
}

#[test]
fn nothing_is_made_in_a_namespace_while_its_end_is_being_written() {
    let mut desk = Desk::new();
    desk.create(Kind::Namespace, json!({"metadata": {"name": "x"}}));
    desk.hold = true;
    let end = desk.send(Verb::Delete { key: Key::new(Kind::Namespace, "", "x"), options: DeleteOptions::default() });
    let object = Object::from_value(Kind::Pod, pod("a", json!({"metadata": {"namespace": "x"}}))).unwrap();
    let late = desk.send(Verb::Create { object });
    let object = json!({"metadata": {"name": "l", "namespace": "x"}});
    let lease = Object::from_value(Kind::Lease, object).unwrap();
    let lease = desk.send(Verb::Update { object: lease, part: Part::Main });
    desk.flush(9);
    assert_eq!([end, late, lease].map(|one| desk.answer(one)), ["is x@13", "Forbidden", "Forbidden"]);
}

#[test]
fn what_was_on_its_way_before_there_was_a_quota_takes_its_room() {
    let quota = |pods: u32| {
        let spec = json!({"hard": {"pods": pods.to_string()}});
        json!({"metadata": {"name": "q", "namespace": "default"}, "spec": spec})
    };
    let of = |value: Value| Verb::Create { object: Object::from_value(Kind::ResourceQuota, value).unwrap() };
    let made = |name: &str| Verb::Create { object: Object::from_value(Kind::Pod, pod(name, json!({}))).unwrap() };
    for is_new in [true, false] {
        let mut desk = Desk::new();
        if !is_new {
            desk.ask(of(quota(9)));
        }
        desk.hold = true;
        desk.send(match is_new {
            true => of(quota(1)),
            false => {
                Verb::Merge { key: Key::new(Kind::ResourceQuota, "default", "q"), patch: quota(1), part: Part::Main }
            }
        });
        let first = desk.send(made("a"));
        desk.flush(1);
        let second = desk.send(made("b"));
        desk.flush(9);
        assert!(desk.answer(first).starts_with("created a@"));
        assert_eq!(desk.answer(second), "Forbidden", "{is_new}");
    }
}

/// Whoever was told of a new namespace may ask for a pod at once, and gets it, though the service account is still to come.
#[test]
fn a_pod_waits_for_the_service_account_of_a_new_namespace() {
    let mut desk = Desk::new();
    desk.hold = true;
    let namespace = Object::from_value(Kind::Namespace, json!({"metadata": {"name": "x"}})).unwrap();
    desk.send(Verb::Create { object: namespace });
    desk.flush(1);
    let within = |name: &str, spec: Value| {
        let pod = pod(name, json!({"metadata": {"namespace": "x"}, "spec": spec}));
        Verb::Create { object: Object::from_value(Kind::Pod, pod).unwrap() }
    };
    let first = desk.send(within("a", json!({})));
    let other = desk.send(within("b", json!({"serviceAccountName": "robot"})));
    assert_eq!([first, other].map(|one| desk.answer(one)), ["-", "Forbidden"]);
    desk.flush(2);
    assert_eq!(desk.answer(first), "created a@13");
    let pod = desk.stored(&Key::new(Kind::Pod, "x", "a")).to_value();
    assert_eq!((&pod["spec"]["serviceAccountName"], &pod["spec"]["priority"]), (&json!("default"), &json!(0)));
}

#[test]
fn system_priority_classes_are_there_and_stay() {
    let mut desk = Desk::new();
    for name in ["system-node-critical", "system-cluster-critical"] {
        let key = Key::new(Kind::PriorityClass, "", name);
        assert_eq!(desk.delete(key, DeleteOptions::default()), "Forbidden");
    }
    desk.pod("a", json!({"spec": {"priorityClassName": "system-node-critical"}}));
    let pod = desk.stored(&key("a")).to_value();
    assert_eq!(pod["spec"]["priority"], 2_000_001_000);
    // What it was given stays, though its author does not say it again.
    let mut again = pod.clone();
    let spec = again["spec"].as_object_mut().unwrap();
    ["priority", "preemptionPolicy", "tolerations"].iter().for_each(|name| drop(spec.remove(*name)));
    again["metadata"]["labels"] = json!({"x": "y"});
    let object = Object::from_value(Kind::Pod, again).unwrap();
    assert_eq!(desk.ask(Verb::Update { object, part: Part::Main }), "is a@12");
    assert_eq!(desk.stored(&key("a")).to_value()["spec"], pod["spec"]);
    let class = |name: &str| {
        Object::from_value(Kind::PriorityClass, json!({"metadata": {"name": name}, "globalDefault": true}))
    };
    let create = |name: &str| Verb::Create { object: class(name).unwrap() };
    assert_eq!((desk.ask(create("one")), desk.ask(create("other"))), ("created one@13".into(), "Forbidden".into()));
}

/// Of two definitions with one kind the first is served, and the other when the first is gone.
#[test]
fn a_definition_waits_for_its_names() {
    let mut desk = Desk::new();
    let definition = |plural: &str| {
        let version =
            json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        json!({"metadata": {"name": format!("{plural}.names.example.com")}, "spec": {"group": "names.example.com",
            "scope": "Namespaced", "names": {"plural": plural, "kind": "Thing"}, "versions": [version]}})
    };
    let key = |plural: &str| Key::new(Kind::CustomResourceDefinition, "", &format!("{plural}.names.example.com"));
    let served =
        |desk: &Desk, plural: &str| desk.server.definitions().served("names.example.com", "v1", plural).is_some();
    let conditions = |desk: &Desk, plural: &str| {
        let stored = desk.stored(&key(plural)).to_value();
        let all = stored["status"]["conditions"].as_array().unwrap().iter();
        all.map(|one| format!("{} {} {}", one["type"], one["status"], one["reason"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    // The second is asked for before the first is durable.
    desk.hold = true;
    for plural in ["things", "stuffs"] {
        let object = Object::from_value(Kind::CustomResourceDefinition, definition(plural)).unwrap();
        desk.send(Verb::Create { object });
    }
    desk.hold = false;
    desk.flush(9);
    assert_eq!((served(&desk, "things"), served(&desk, "stuffs")), (true, false));
    assert_eq!(conditions(&desk, "stuffs"), ["NamesAccepted False ListKindConflict", "Established False NotAccepted"]);
    desk.delete(key("things"), DeleteOptions::default());
    assert_eq!((served(&desk, "things"), served(&desk, "stuffs")), (false, true));
    let want = ["NamesAccepted True NoConflicts", "Established True InitialNamesAccepted"];
    assert_eq!(conditions(&desk, "stuffs"), want);
    let settled = desk.revision;
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.revision, settled, "nothing is written again");
}

#[test]
fn what_update_makes_is_made_once() {
    let mut desk = Desk::new();
    desk.hold = true;
    let lease = |holder: &str| {
        let lease = json!({"metadata": {"name": "l", "namespace": "default"}, "spec": {"holderIdentity": holder}});
        Verb::Update { object: Object::from_value(Kind::Lease, lease).unwrap(), part: Part::Main }
    };
    let (first, second) = (desk.send(lease("a")), desk.send(lease("b")));
    desk.flush(9);
    assert_eq!((desk.answer(first).as_str(), desk.answer(second).as_str()), ("created l@11", "is l@12"));
    // A write that means an object which is gone makes no new one.
    desk.hold = false;
    let key = Key::new(Kind::Lease, "default", "l");
    let old = desk.stored(&key).with_meta(|meta| meta.resource_version = Text::default());
    desk.delete(key.clone(), DeleteOptions::default());
    assert_eq!(desk.ask(Verb::Update { object: old, part: Part::Main }), "Conflict");
    assert_eq!(
        desk.ask(Verb::Update {
            object: Object::from_value(Kind::Pod, pod("p", json!({}))).unwrap(),
            part: Part::Main
        }),
        "NotFound"
    );
}

#[test]
fn a_dry_run_says_what_would_be_and_does_nothing() {
    let mut desk = Desk::new();
    desk.pod("a", json!({"spec": {"nodeName": "n"}}));
    desk.create(Kind::Node, json!({"metadata": {"name": "n"}}));
    let before = desk.history.len();
    let dry = |verb: Verb| Request { dry_run: true, ..verb.into() };
    let new = Object::from_value(Kind::Pod, pod("b", json!({}))).unwrap();
    assert_eq!(desk.ask(dry(Verb::Create { object: new.clone() })), "created b@0");
    assert_eq!(
        desk.ask(dry(Verb::Create { object: Object::from_value(Kind::Pod, pod("a", json!({}))).unwrap() })),
        "AlreadyExists"
    );
    assert_eq!(desk.ask(dry(Verb::Merge { key: key("a"), patch: label("1"), part: Part::Main })), "is a@11");
    let delete = |options| dry(Verb::Delete { key: key("a"), options });
    assert_eq!(
        (desk.ask(delete(DeleteOptions::default())).as_str(), desk.ask(delete(grace(0))).as_str()),
        ("is a@11", "removed")
    );
    let bind = Verb::Bind { key: key("a"), uid: "".into(), node: "n".into() };
    assert_eq!(desk.ask(dry(bind)), "Conflict");
    assert_eq!((desk.history.len(), desk.stored(&key("a")).meta().labels.len()), (before, 0));
}

#[test]
fn a_pod_is_bound_once_and_to_a_node_that_is_there() {
    let mut desk = Desk::new();
    desk.create(Kind::Node, json!({"metadata": {"name": "n"}}));
    desk.pod("a", json!({}));
    let uid = desk.stored(&key("a")).meta().uid.clone();
    let bind = |uid: &str, node: &str| Verb::Bind { key: key("a"), uid: uid.into(), node: node.into() };
    assert_eq!(desk.ask(bind("another", "n")), "Conflict");
    assert_ne!(desk.ask(bind(&uid, "nowhere")), "is a@13");
    assert_eq!(desk.ask(bind(&uid, "n")), "is a@13");
    assert_eq!(desk.ask(bind(&uid, "n")), "Conflict");
    desk.hold = true;
    desk.pod("b", json!({}));
    desk.flush(1);
    let bind = |node: &str| Verb::Bind { key: key("b"), uid: "".into(), node: node.into() };
    let both = [desk.send(bind("n")), desk.send(bind("n"))];
    desk.flush(9);
    assert_eq!(both.map(|one| desk.answer(one)), ["is b@15", "Conflict"]);
}

#[test]
fn a_list_is_not_older_than_what_was_asked_for() {
    let mut desk = Desk::new();
    desk.create(Kind::Node, json!({"metadata": {"name": "n"}}));
    let now = desk.server.store().revision();
    let check = |desk: &mut Desk, least: u64, want: &str| {
        let query = Query { not_older_than: Some(Revision(least)), ..Query::all(Kind::Node) };
        assert_eq!(desk.ask(Verb::List(query)), want);
    };
    let listed = desk.ask(Verb::List(Query::all(Kind::Node)));
    check(&mut desk, 1, &listed);
    check(&mut desk, now.0, &listed);
    check(&mut desk, now.0 + 1, "Timeout");
}

#[test]
fn a_watch_hears_what_it_asked_for_and_no_more() {
    let mut desk = Desk::new();
    desk.create(Kind::Namespace, json!({"metadata": {"name": "x"}}));
    desk.create(Kind::Node, json!({"metadata": {"name": "n"}}));
    let named = desk.watch(Query::all(Kind::Pod).with_field("metadata.name", "a"), WatchFrom::Start);
    let inside = desk.watch(Query { namespace: Some("x".into()), ..Query::all(Kind::Pod) }, WatchFrom::Start);
    let on_node = desk.watch(Query::all(Kind::Pod).with_field("spec.nodeName", "n"), WatchFrom::Start);
    let unbound = desk.watch(Query::all(Kind::Pod).with_field("spec.nodeName", ""), WatchFrom::Start);
    let here = Query { namespace: Some("default".into()), ..Query::all(Kind::Pod) };
    let both = desk.watch(here.with_field("spec.nodeName", "n"), WatchFrom::Start);
    desk.pod("a", json!({}));
    desk.pod("b", json!({}));
    desk.pod("a", json!({"metadata": {"namespace": "x"}, "spec": {"nodeName": "n"}}));
    desk.ask(Verb::Bind { key: key("b"), uid: "".into(), node: "n".into() });
    desk.delete(key("b"), grace(0));
    assert_eq!(desk.heard(named), "+a@14 +a@16");
    assert_eq!(desk.heard(inside), "+a@16");
    assert_eq!(desk.heard(on_node), "+a@16 +b@17 -b@18");
    assert_eq!(desk.heard(unbound), "+a@14 +b@15 -b@17");
    assert_eq!(desk.heard(both), "+b@17 -b@18");
    for watch in [named, inside, on_node, unbound, both] {
        desk.step(Input::Gone { from: RequestId(watch) });
    }
    desk.pod("c", json!({"spec": {"nodeName": "n"}}));
    assert_eq!((desk.events.len(), desk.server.watches()), (0, 0));
    desk.pass(Duration::from_secs(300));
    assert_eq!(desk.wake_at, None, "with no watch there are no bookmarks to send");
    let nonsense = Query::all(Kind::Pod).with_field("spec.color", "red");
    assert_eq!(
        (desk.ask(Verb::List(nonsense.clone())), desk.watch(nonsense, WatchFrom::Start)),
        ("BadRequest".into(), desk.requests)
    );
    assert_eq!(desk.server.watches(), 0);
}

#[test]
fn a_watch_from_a_time_that_is_not_known_is_told_so() {
    let mut desk = Desk::with(Store::with_history(3));
    for name in ["a", "b", "c", "d"] {
        desk.pod(name, json!({}));
    }
    let fine = desk.watch(Query::all(Kind::Pod), WatchFrom::After(Revision(11)));
    let old = desk.watch(Query::all(Kind::Pod), WatchFrom::After(Revision(10)));
    let ahead = desk.watch(Query::all(Kind::Pod), WatchFrom::After(Revision(15)));
    assert_eq!(desk.heard(fine), "+b@12 +c@13 +d@14");
    assert_eq!(desk.heard(old), "too old resource version: 10 (11)");
    assert_eq!(desk.heard(ahead), "too large resource version: 15, current: 14");
    assert!(desk.ended.contains(&old) && desk.ended.contains(&ahead) && desk.server.watches() == 1);
}

#[test]
fn bookmarks_tell_of_what_was_sent_and_not_of_what_is_on_its_way() {
    let mut desk = Desk::new();
    let watch = desk.watch(Query::all(Kind::Node), WatchFrom::Start);
    let without = desk.send(Verb::Watch { query: Query::all(Kind::Node), from: WatchFrom::Start, bookmarks: false });
    desk.pod("a", json!({}));
    desk.hold = true;
    desk.send(Verb::Create { object: Object::from_value(Kind::Node, json!({"metadata": {"name": "n"}})).unwrap() });
    desk.pass(Duration::from_secs(61));
    assert_eq!(desk.heard(watch), "=11");
    desk.flush(1);
    desk.pass(Duration::from_secs(60));
    assert_eq!((desk.heard(watch).as_str(), desk.heard(without).as_str()), ("+n@12 =12", "+n@12"));
}

fn tale(count: i32, last: Time) -> Verb {
    let event =
        json!({"metadata": {"name": "e", "namespace": "default"}, "count": count, "lastTimestamp": last.to_string()});
    Verb::Update { object: Object::from_value(Kind::Event, event).unwrap(), part: Part::Main }
}

#[test]
fn an_event_is_forgotten_an_hour_after_it_was_last_told() {
    let mut desk = Desk::new();
    let stored = |desk: &Desk| desk.server.store().count(Kind::Event);
    // Its author's clock is years behind: it is kept all the same.
    let long_ago = Time::of(Wall::from_secs(0));
    desk.ask(tale(1, long_ago));
    desk.pass(event::TTL / 2);
    assert_eq!(stored(&desk), 1);
    desk.ask(tale(2, long_ago));
    desk.pass(event::TTL / 2 + Duration::from_secs(1));
    assert_eq!(stored(&desk), 1);
    desk.pass(event::TTL / 2);
    assert_eq!((stored(&desk), desk.wake_at), (0, None));
}

#[test]
fn an_event_whose_removal_fails_is_removed_later() {
    let mut desk = Desk::new();
    let now = Time::of(desk.now.wall);
    desk.ask(tale(1, now));
    desk.hold = true;
    desk.pass(event::TTL);
    assert_eq!(desk.held.len(), 1);
    desk.fail(Committed::Failed("no space left".into()));
    assert_eq!(desk.held.len(), 0, "not at once");
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.held.len(), 1);
    // Told again while it is due: if that comes to nothing, it is due as before.
    desk.flush(1);
    desk.hold = false;
    desk.ask(tale(1, now));
    desk.hold = true;
    desk.pass(event::TTL - Duration::from_secs(1));
    desk.send(tale(2, now));
    desk.pass(Duration::from_secs(2));
    desk.fail(Committed::Failed("no space left".into()));
    desk.hold = false;
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.server.store().count(Kind::Event), 0);
}

#[test]
fn what_every_cluster_has_is_made_when_the_disk_lets_it() {
    let mut desk = Desk::new();
    desk.server = ApiServer::new(Options::with_seed(1), Store::default());
    (desk.revision, desk.durable, desk.hold) = (0, BTreeMap::new(), true);
    desk.step(Input::Wake);
    for _ in 0..4 {
        desk.fail(Committed::Failed("no space left".into()));
    }
    desk.hold = false;
    desk.pass(Duration::from_secs(60));
    assert_eq!((desk.server.store().count(Kind::Namespace), desk.wake_at), (4, None));
}

/// What a watch that began after `from` must have heard of a history.
fn expected(history: &[(u64, Key, Option<Object>)], query: &Query, from: u64) -> Vec<String> {
    let mut world: BTreeMap<&Key, &Object> = BTreeMap::new();
    let mut heard = Vec::new();
    for (revision, key, new) in history {
        let old = world.get(key).copied();
        let (was, is) = (old.is_some_and(|old| query.matches(old)), new.as_ref().is_some_and(|new| query.matches(new)));
        if *revision > from {
            match (was, is) {
                (false, true) => heard.push(format!("+{}@{revision}", key.name)),
                (true, true) => heard.push(format!("~{}@{revision}", key.name)),
                (true, false) => heard.push(format!("-{}@{revision}", key.name)),
                (false, false) => {}
            }
        }
        match new {
            Some(new) => world.insert(key, new),
            None => world.remove(key),
        };
    }
    heard
}

/// What never changes in the life of an object, and what only changes in one direction.
fn check_lives(history: &[(u64, Key, Option<Object>)]) {
    let mut world: BTreeMap<&Key, &Object> = BTreeMap::new();
    let mut uids = BTreeSet::new();
    for pair in history.windows(2) {
        assert!(pair[0].0 < pair[1].0, "S-rv");
    }
    for (_, key, new) in history {
        match (world.get(key), new) {
            (None, Some(new)) => assert!(uids.insert(new.meta().uid.clone()), "a uid is used once"),
            (Some(old), Some(new)) => {
                let (was, is) = (old.meta(), new.meta());
                assert_eq!((&was.uid, was.creation_timestamp), (&is.uid, is.creation_timestamp));
                if let Some(before) = was.deletion_timestamp {
                    assert!(is.deletion_timestamp.is_some_and(|after| after <= before), "{was:?} -> {is:?}");
                }
                let wish = |object: &Object| object.to_value()["spec"].clone();
                if key.kind == Kind::ReplicaSet {
                    let begun = was.deletion_timestamp.is_none() && is.deletion_timestamp.is_some();
                    let more = i64::from(wish(old) != wish(new)) + i64::from(begun);
                    assert_eq!(is.generation.unwrap(), was.generation.unwrap() + more, "generation");
                }
                if let (Some(old), Some(new)) = (old.get::<Pod>(), new.get::<Pod>()) {
                    assert!(old.node().is_none() || old.node() == new.node(), "S-bind");
                    assert!(
                        old.status == new.status || *old.spec == *new.spec || old.node() != new.node(),
                        "one part at a time"
                    );
                }
            }
            _ => {}
        }
        match new {
            Some(new) => world.insert(key, new),
            None => world.remove(key),
        };
    }
}

#[test]
fn whatever_is_asked_the_history_is_sound_and_every_watch_hears_it() {
    property("S-rv, S-cas, S-watch, S-meta", |random: &mut Gen| {
        let seed = u64::arbitrary(random);
        let draw = Draw::new(seed).key("client");
        let mut desk = Desk::new();
        desk.create(Kind::Node, json!({"metadata": {"name": "n"}}));
        desk.create(Kind::Namespace, json!({"metadata": {"name": "x"}}));
        let mut watches: Vec<(u64, Query, u64)> = Vec::new();
        let mut heard: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        // What each conditional write was based on.
        let mut asked: BTreeMap<u64, (Key, u64)> = BTreeMap::new();
        for nth in 0..120 {
            let draw = draw.count(nth);
            let pick = |what: &str, of: u64| draw.key(what).below(of);
            let kind = [Kind::Pod, Kind::Pod, Kind::ReplicaSet][pick("kind", 3) as usize];
            let namespace = ["default", "x"][pick("namespace", 2) as usize];
            let name = ["a", "b", "c"][pick("name", 3) as usize];
            let key = Key::new(kind, namespace, name);
            let value = pick("value", 3).to_string();
            desk.hold = pick("hold", 2) == 0;
            let based_on = desk.durable.get(&key).map(Object::revision).filter(|_| pick("based", 2) == 0);
            let condition = |patch: Value| {
                let mut patch = patch;
                if let Some(revision) = based_on {
                    patch["metadata"]["resourceVersion"] = json!(revision.to_string());
                }
                patch
            };
            let merge = |patch: Value, part| Verb::Merge { key: key.clone(), patch: condition(patch), part };
            let verb = match pick("what", 16) {
                0..=3 => {
                    let finalizers: &[&str] = if pick("finalizers", 3) == 0 { &["x/y"] } else { &[] };
                    let meta = json!({"metadata": {"namespace": namespace, "finalizers": finalizers, "labels": {"x": value, "app": name}}});
                    let mut object = if kind == Kind::Pod { pod(name, json!({})) } else { set(name) };
                    crate::patch::merge::merge(&mut object, &meta);
                    Verb::Create { object: Object::from_value(kind, object).unwrap() }
                }
                4 | 5 => merge(label(&value), Part::Main),
                6 if kind == Kind::Pod => {
                    merge(json!({"status": {"phase": "Running", "message": value}, "metadata": {}}), Part::Status)
                }
                6 => merge(json!({"status": {"replicas": pick("value", 3)}, "metadata": {}}), Part::Status),
                7 if kind == Kind::ReplicaSet => {
                    merge(json!({"spec": {"replicas": pick("value", 3)}, "metadata": {}}), Part::Main)
                }
                7 => Verb::Bind { key: key.clone(), uid: "".into(), node: "n".into() },
                8 => merge(
                    json!({"metadata": {"finalizers": [], "deletionTimestamp": null, "creationTimestamp": null, "generation": 77}}),
                    Part::Main,
                ),
                9 | 10 => {
                    let grace_seconds = [None, Some(0), Some(5), Some(50)][pick("grace", 4) as usize];
                    let propagation =
                        [None, Some(Propagation::Foreground), Some(Propagation::Background)][pick("how", 3) as usize];
                    let resource_version = based_on.map(|revision| revision.to_string());
                    Verb::Delete {
                        key: key.clone(),
                        options: DeleteOptions {
                            grace_seconds,
                            propagation,
                            resource_version: resource_version.map(Into::into),
                            ..DeleteOptions::default()
                        },
                    }
                }
                11 | 12 => {
                    let mut query = Query::all(kind);
                    query.namespace = Some(namespace.into()).filter(|_| pick("scope", 2) == 0);
                    query = match pick("field", 4) {
                        0 => query.with_field("metadata.name", name),
                        1 if kind == Kind::Pod => {
                            query.with_field("spec.nodeName", ["", "n"][pick("node", 2) as usize])
                        }
                        2 => Query {
                            labels: crate::api::selector::parse_label_selector(&format!("x={value}")).unwrap(),
                            ..query
                        },
                        _ => query,
                    };
                    let from = pick("from", desk.revision + 1);
                    let watch = desk.watch(query.clone(), WatchFrom::After(Revision(from)));
                    watches.push((watch, query, from));
                    continue;
                }
                13 if !desk.held.is_empty() => {
                    let outcome =
                        [Committed::Conflict, Committed::Failed("no".into())][pick("outcome", 2) as usize].clone();
                    desk.fail(outcome);
                    continue;
                }
                14 => {
                    desk.pass(Duration::from_secs(pick("pass", 40)));
                    continue;
                }
                _ => {
                    desk.flush(pick("flush", 4) as usize);
                    continue;
                }
            };
            let verb_is_conditional = based_on.filter(|_| !matches!(verb, Verb::Create { .. } | Verb::Bind { .. }));
            let from = desk.send(verb);
            if let Some(revision) = verb_is_conditional {
                asked.insert(from, (key.clone(), revision.0));
            }
            let listed = desk.send(Verb::List(Query::all(kind)));
            let Some(Answer::List { revision, items }) = desk.answers.get(&listed) else { panic!("no list") };
            assert_eq!(revision.0, desk.revision);
            let durable: Vec<&Object> = desk.durable.values().filter(|object| object.kind() == kind).collect();
            assert_eq!(items.iter().collect::<Vec<_>>(), durable);
        }
        desk.flush(usize::MAX);
        check_lives(&desk.history);
        for (watch, query, from) in &watches {
            let events = desk.events.remove(watch).unwrap_or_default();
            for event in &events {
                if let WatchEvent::Bookmark(revision) = event {
                    let so_far = heard.entry(*watch).or_default().len();
                    let history: Vec<_> = desk.history.iter().filter(|(at, ..)| *at <= revision.0).cloned().collect();
                    assert_eq!(so_far, expected(&history, query, *from).len(), "all up to the bookmark was sent");
                } else {
                    heard.entry(*watch).or_default().push(told_event(event));
                }
            }
            assert_eq!(
                heard.remove(watch).unwrap_or_default(),
                expected(&desk.history, query, *from),
                "{query:?} from {from}"
            );
        }
        // A write that was granted on a condition follows the revision that it named.
        for (from, (key, based_on)) in &asked {
            let Some(Answer::Object { object, .. }) = desk.answers.get(from) else { continue };
            let (mine, before) = (object.revision().0, desk.history.iter().rev());
            let mut before = before.filter(|(at, of, _)| *at < mine && of == key);
            assert!(
                mine == *based_on || before.next().is_some_and(|(at, ..)| at == based_on),
                "S-cas: {key} at {mine}"
            );
        }
    });
}

/// Two pods of a budget that can spare one are asked to go at the same time.
#[test]
fn a_disruption_is_spent_once() {
    let eviction = || DeleteOptions { eviction: true, ..DeleteOptions::default() };
    for fails in [false, true] {
        let mut desk = Desk::new();
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        for name in ["a", "b"] {
            desk.pod(name, json!({"metadata": {"labels": {"app": "web"}}, "spec": {"nodeName": "n"}}));
            desk.merge(key(name), ready.clone(), Part::Status);
        }
        let budget = json!({"metadata": {"name": "web", "namespace": "default"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
        desk.create(Kind::PodDisruptionBudget, budget);
        assert_eq!(desk.delete(key("a"), eviction()), "TooManyRequests", "nobody has counted yet");
        let counted = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 1,
            "currentHealthy": 2, "expectedPods": 2}});
        let of_budget = Key::new(Kind::PodDisruptionBudget, "default", "web");
        desk.merge(of_budget.clone(), counted, Part::Status);

        desk.hold = true;
        let a = desk.send(Verb::Delete { key: key("a"), options: eviction() });
        let b = desk.send(Verb::Delete { key: key("b"), options: eviction() });
        assert_eq!(desk.held.len(), 1, "the budget first, and no pod before it is durable");
        if fails {
            desk.fail(Committed::Failed("no space left".into()));
            assert_eq!(desk.answer(a), "InternalError");
            assert!(!desk.stored(&key("a")).meta().is_deleting(), "what was not charged does not go");
            desk.flush(2);
            assert!(desk.stored(&key("b")).meta().is_deleting(), "{}", desk.answer(b));
        } else {
            desk.flush(2);
            assert!(desk.answer(a).starts_with("is a@") && desk.stored(&key("a")).meta().is_deleting());
            let why = |desk: &Desk, name: &str| {
                let pod = desk.stored(&key(name)).get::<Pod>().unwrap().clone();
                let said = pod.status.conditions.into_iter().find(|one| one.kind == "DisruptionTarget");
                said.map_or(String::new(), |one| one.reason.to_string())
            };
            assert_eq!((why(&desk, "a").as_str(), why(&desk, "b").as_str()), ("EvictionByEvictionAPI", ""));
            assert_eq!(desk.answer(b), "TooManyRequests");
            desk.hold = false;
            assert!(desk.delete(key("a"), eviction()).starts_with("is a@"), "asked for again, it costs nothing");
        }
        assert_eq!(crate::api::plain::count(desk.stored(&of_budget), &["status", "disruptionsAllowed"]), 0);
    }
}

#[test]
fn every_living_namespace_has_a_service_account() {
    let mut desk = Desk::new();
    let account = |namespace: &str| Key::new(Kind::ServiceAccount, namespace, "default");
    desk.create(Kind::Namespace, json!({"metadata": {"name": "x"}}));
    for namespace in ["default", "kube-system", "x"] {
        assert!(desk.server.store().get(&account(namespace)).is_some(), "{namespace}");
    }
    let uid = desk.stored(&account("x")).meta().uid.clone();
    assert_eq!(desk.delete(account("x"), DeleteOptions::default()), "removed");
    assert_ne!(desk.stored(&account("x")).meta().uid, uid, "another one, for whose tokens nobody has waited");
    // What is ending gets no new things.
    desk.delete(Key::new(Kind::Namespace, "", "x"), DeleteOptions::default());
    assert_eq!(desk.delete(account("x"), DeleteOptions::default()), "removed");
    assert!(desk.server.store().get(&account("x")).is_none());
}

#[test]
fn a_namespace_whose_end_is_being_stored_gets_no_service_account() {
    let within = Key::new(Kind::Namespace, "", "x");
    let account = Key::new(Kind::ServiceAccount, "x", "default");
    let judge = |outcome: Option<Committed>| {
        let mut desk = Desk::new();
        desk.create(Kind::Namespace, json!({"metadata": {"name": "x"}}));
        desk.hold = true;
        let delete = |key: &Key| Verb::Delete { key: key.clone(), options: DeleteOptions::default() };
        desk.send(delete(&account));
        desk.send(delete(&within));
        desk.flush(1);
        assert!(desk.held.iter().all(|(_, write)| write.key == within), "{:?}", desk.held);
        desk.hold = false;
        match outcome {
            Some(outcome) => desk.fail(outcome),
            None => desk.flush(1),
        }
        desk.now.mono = desk.now.mono + super::program::OWN_RETRY;
        desk.step(Input::Wake);
        desk.durable.contains_key(&account)
    };
    assert!(!judge(None), "it ends");
    assert!(judge(Some(Committed::Failed("no space left".into()))), "it goes on");
}

#[test]
fn a_service_keeps_its_address_and_shares_it_with_nobody() {
    let mut desk = Desk::new();
    let service = |name: &str, ip: &str| json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    let key = |name: &str| Key::new(Kind::Service, "default", name);
    let ip =
        |desk: &Desk, name: &str| crate::api::plain::text(desk.stored(&key(name)), &["spec", "clusterIP"]).to_owned();
    desk.create(Kind::Service, service("a", ""));
    let given = ip(&desk, "a");
    assert!(given.starts_with("10."), "{given}");
    assert_eq!(desk.create(Kind::Service, service("b", &given)), "Invalid");
    let object = Object::from_value(Kind::Service, service("a", "")).unwrap();
    desk.ask(Verb::Update { object, part: Part::Main });
    assert_eq!(ip(&desk, "a"), given, "it was not said, and stays");

    // Two at once ask for one that is free; and what could not be stored is free again.
    desk.hold = true;
    let ask = |desk: &mut Desk, name: &str| {
        desk.send(Verb::Create { object: Object::from_value(Kind::Service, service(name, "10.96.7.7")).unwrap() })
    };
    let (first, second) = (ask(&mut desk, "c"), ask(&mut desk, "d"));
    desk.fail(Committed::Failed("no space left".into()));
    assert_eq!((desk.answer(first), desk.answer(second)), ("InternalError".into(), "Invalid".into()));
    desk.hold = false;
    assert!(desk.create(Kind::Service, service("d", "10.96.7.7")).starts_with("created"));
    desk.delete(key("d"), DeleteOptions::default());
    assert!(desk.create(Kind::Service, service("e", "10.96.7.7")).starts_with("created"), "free again");
    let kept = Store::load(desk.durable.values().cloned().collect::<Vec<_>>(), Revision(desk.revision));
    assert_eq!(Desk::with(kept).create(Kind::Service, service("f", "10.96.7.7")), "Invalid", "after a restart too");
}

#[test]
fn objects_of_a_custom_kind_go_with_its_definition() {
    let mut desk = Desk::new();
    let definition = || {
        json!({"metadata": {"name": "cogs.x.dev"}, "spec": {"group": "x.dev", "scope": "Namespaced",
            "names": {"plural": "cogs", "singular": "cog", "kind": "Cog"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
    };
    let of_definition = Key::new(Kind::CustomResourceDefinition, "", "cogs.x.dev");
    desk.create(Kind::CustomResourceDefinition, definition());
    let kind = desk.server.definitions().iter().next().expect("it is established at once").kind;
    let cog = |name: &str| json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"size": 1}});
    for name in ["a", "b"] {
        assert!(desk.create(kind, cog(name)).starts_with("created"));
    }
    // One is being written when the definition goes.
    desk.hold = true;
    desk.send(Verb::Merge { key: Key::new(kind, "default", "b"), patch: label("1"), part: Part::Main });
    desk.send(Verb::Delete { key: of_definition.clone(), options: DeleteOptions::default() });
    desk.flush(9);
    desk.flush(9);
    desk.flush(9);
    desk.hold = false;
    assert_eq!(desk.server.store().count(kind), 0);
    assert!(desk.server.store().get(&of_definition).is_none());
    desk.create(Kind::CustomResourceDefinition, definition());
    assert_eq!(desk.server.store().count(kind), 0);

    // One waits for somebody, and the definition with it.
    for name in ["free", "held"] {
        assert!(desk.create(kind, cog(name)).starts_with("created"));
    }
    let held = Key::new(kind, "default", "held");
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    desk.send(Verb::Merge { key: held.clone(), patch: finalizers(&["x/y"]), part: Part::Main });
    desk.delete(of_definition.clone(), DeleteOptions::default());
    let store = desk.server.store();
    assert_eq!((store.count(kind), store.get(&held).map(|held| held.meta().is_deleting())), (1, Some(true)));
    let condition = |desk: &Desk| {
        let stored = desk.server.store().get(&of_definition)?.to_value();
        let all = stored["status"]["conditions"].as_array()?.clone();
        all.iter().find(|one| one["type"] == "Terminating").map(|one| one["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(condition(&desk).as_deref(), Some("InstanceDeletionInProgress"));
    assert_eq!(desk.create(kind, cog("late")), "MethodNotAllowed");
    // A server that starts now goes on with it.
    let kept = Store::load(desk.durable.values().cloned().collect::<Vec<_>>(), Revision(desk.revision));
    let mut desk = Desk::with(kept);
    desk.send(Verb::Merge { key: held.clone(), patch: finalizers(&[]), part: Part::Main });
    assert_eq!((condition(&desk), desk.server.store().count(kind)), (None, 0));
    assert!(desk.create(Kind::CustomResourceDefinition, definition()).starts_with("created"));
}
