//! MiniKu's own benchmarks, under their names.
//!
//! Where MiniKu's go through HTTP these do, to a server in the same process as there. Where miniku answers the same
//! question from a view that it keeps by watching, that is measured too, as `(from the view)`.
//!
//! The Go figures are medians of `go test -bench` on a machine of this kind, 2 processors.

use crate::Chosen;
use crate::decisions;
use crate::measure::{measure, measure_each, measure_parallel};
use crate::objects::{at, node, pod, replica_set};
use crate::server::{Served, put};
use crate::table::Row;
use miniku::clock::Clock;
use miniku::driver::Letterbox;
use miniku::host::FromServer;
use miniku::remote::OverHttp;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::selector::{FieldSelector, LabelSelector, parse_label_selector};
use miniku_core::client::informer;
use miniku_core::controllers::workload::{self, WORKLOADS, WorkloadController};
use miniku_core::program::{DeleteOptions, Query, Revision, Verb, WatchEvent, WatchFrom};
use miniku_core::scheduler::{Nodes, Standing, Strategy, Turn, pick};
use miniku_core::store::Store;
use std::sync::{PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

/// Runs those that were chosen.
pub fn run(chosen: &Chosen, rows: &mut Vec<Row>) {
    if chosen.has("MatchesSelector") {
        rows.push(matches_selector());
    }
    for (count, go) in [(10, 154e3), (100, 1.18e6), (1000, 8.5e6)] {
        let name = format!("GetMatchingPods/pods={count}");
        if chosen.has(&name) {
            rows.push(get_matching_pods(&name, count, go));
            rows.push(get_matching_pods_from_view(&from_view(&name), count, go));
        }
    }
    if chosen.has("Reconcile") {
        rows.push(reconcile());
        rows.push(decisions::reconciling(&from_view("Reconcile"), Some(RECONCILE)));
    }
    for (count, go) in [(3, 65.7e3), (10, 85e3), (100, 326e3)] {
        let name = format!("PickNode/nodes={count}");
        if chosen.has(&name) {
            rows.push(pick_node(&name, count, go));
            rows.push(pick_node_from_view(&from_view(&name), count, go));
        }
    }
    if chosen.has("ScheduleOne") {
        rows.push(schedule_one());
        let nodes = nodes(3, |_| true).iter().map(|node| at(node, 1)).collect();
        let name = from_view("ScheduleOne");
        rows.push(decisions::scheduling(&name, Some(SCHEDULE_ONE), nodes, Vec::new(), &pod("pod", "test")));
    }
    for (count, go) in [(10, 85e3), (100, 307e3), (1000, 2.75e6)] {
        let name = format!("GetAvailableNodes/nodes={count}");
        if chosen.has(&name) {
            rows.push(get_available_nodes(&name, count, go));
            rows.push(get_available_nodes_from_view(&from_view(&name), count, go));
        }
    }
    store(chosen, rows);
    shared_store(chosen, rows);
}

fn from_view(name: &str) -> String {
    format!("{name} (from the view)")
}

const RECONCILE: f64 = 993e3;
const SCHEDULE_ONE: f64 = 299e3;

fn matches_selector() -> Row {
    let labels = [("app", "web"), ("env", "prod"), ("tier", "front")].map(|(name, value)| (name, value.into())).into();
    let selector = LabelSelector {
        match_labels: [("app", "web"), ("env", "prod")].map(|(name, value)| (name, value.into())).into(),
        ..Default::default()
    };
    let (labels, selector) = std::hint::black_box((labels, selector));
    measure_each("MatchesSelector", Some(101.0), || std::hint::black_box(&selector).matches(&labels))
}

/// The pods of one selector, of which half match, over HTTP.
fn get_matching_pods(name: &str, count: usize, go: f64) -> Row {
    let app = |nth| if nth % 2 == 0 { "test" } else { "other" };
    let served = Served::with((0..count).map(|nth| pod(&format!("pod-{nth}"), app(nth))));
    let labels = parse_label_selector("app=test").expect("it is one");
    let query = Query { namespace: Some("default".into()), labels, ..Query::all(Kind::Pod) };
    measure_each(name, Some(go), || assert_eq!(served.list(query.clone()).len(), count / 2))
}

fn get_matching_pods_from_view(name: &str, count: usize, go: f64) -> Row {
    let app = |nth| if nth % 2 == 0 { "test" } else { "other" };
    let mut view = Store::default();
    for (nth, revision) in (0..count).zip(1..) {
        let pod = at(&pod(&format!("pod-{nth}"), app(nth)), revision);
        view.apply(&pod.key(), Some(pod), Revision(revision));
    }
    let labels = parse_label_selector("app=test").expect("it is one");
    let query = Query { namespace: Some("default".into()), labels, ..Query::all(Kind::Pod) };
    measure_each(name, Some(go), || {
        let found: Vec<Object> = view.list(std::hint::black_box(&query)).cloned().collect();
        assert_eq!(found.len(), count / 2);
    })
}

/// From a ReplicaSet that wants three pods and has none, to three pods, by a controller that works over HTTP.
fn reconcile() -> Row {
    let served = Served::with([]);
    let program =
        WorkloadController::new(WORKLOADS, workload::Options { seed: 1, informer: informer::Options::default() });
    let api = Box::new(OverHttp::new(served.url.clone(), Duration::from_secs(300)));
    let _controller =
        Letterbox::new().run("workloads", Clock::start(), Box::new(program), api, None, None).expect("a thread starts");
    let (sender, added) = mpsc::channel();
    let route = move |said| match said {
        FromServer::Event(WatchEvent::Added(pod)) => sender.send(pod.key()).is_ok(),
        _ => true,
    };
    let watch = Verb::Watch { query: Query::all(Kind::Pod), from: WatchFrom::Start, bookmarks: false };
    served.host.submit(watch.into(), Box::new(route));
    let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    let mut nth = 0;
    measure("Reconcile", Some(RECONCILE), |count| {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            nth += 1;
            let set = replica_set(&format!("set-{nth}"), 3);
            let began = Instant::now();
            put(&served.host, set.clone());
            let pods: Vec<Key> =
                (0..3).map(|_| added.recv_timeout(Duration::from_secs(10)).expect("a pod is created")).collect();
            took += began.elapsed();
            for key in std::iter::once(set.key()).chain(pods) {
                served.host.ask(Verb::Delete { key, options: now.clone() });
            }
        }
        took
    })
}

fn nodes(count: usize, ready: impl Fn(usize) -> bool) -> Vec<Object> {
    (0..count).map(|nth| node(&format!("node-{nth}"), ready(nth))).collect()
}

fn view(nodes: &[Object]) -> Nodes {
    let mut view = Nodes::default();
    for node in nodes.iter().filter_map(Object::get::<Node>) {
        view.set(node);
    }
    view
}

/// Lists the nodes over HTTP and chooses one, as MiniKu does for every pod.
fn pick_node(name: &str, count: usize, go: f64) -> Row {
    let served = Served::with(nodes(count, |_| true));
    let pod = pod("pod", "test");
    measure_each(name, Some(go), || {
        let mut nodes = view(&served.list(Query::all(Kind::Node)));
        let facts = nodes.pod_facts(pod.get::<Pod>().expect("it is one"), &[]);
        pick(&Turn::default(), &Standing::new(facts, Strategy::default(), &nodes), &nodes).expect("there is room")
    })
}

fn pick_node_from_view(name: &str, count: usize, go: f64) -> Row {
    let mut nodes = view(&nodes(count, |_| true));
    let facts = nodes.pod_facts(pod("pod", "test").get::<Pod>().expect("it is one"), &[]);
    let standing = Standing::new(facts, Strategy::default(), &nodes);
    measure_each(name, Some(go), || {
        pick(&Turn::default(), std::hint::black_box(&standing), &nodes).expect("there is room")
    })
}

/// One pod without a node: listed, a node of three listed and chosen, bound. All over HTTP.
fn schedule_one() -> Row {
    let served = Served::with(nodes(3, |_| true));
    let unbound = Query { fields: FieldSelector::equal("spec.nodeName", ""), ..Query::all(Kind::Pod) };
    let now = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    measure("ScheduleOne", Some(SCHEDULE_ONE), |count| {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            put(&served.host, pod("pod", "test"));
            let began = Instant::now();
            let pods = served.list(unbound.clone());
            let mut nodes = view(&served.list(Query::all(Kind::Node)));
            let one: &Pod = pods[0].get().expect("it is one");
            let standing = Standing::new(nodes.pod_facts(one, &[]), Strategy::default(), &nodes);
            let at = pick(&Turn::default(), &standing, &nodes).expect("there is room");
            let (key, uid) = (pods[0].key(), one.metadata.uid.as_str().into());
            served.ask(Verb::Bind { key: key.clone(), uid, node: (**nodes.name(at)).into() });
            took += began.elapsed();
            served.host.ask(Verb::Delete { key, options: now.clone() });
        }
        took
    })
}

/// Lists the nodes over HTTP, half of which are ready, and keeps those.
fn get_available_nodes(name: &str, count: usize, go: f64) -> Row {
    let served = Served::with(nodes(count, |nth| nth % 2 == 0));
    measure_each(name, Some(go), || {
        let nodes = served.list(Query::all(Kind::Node));
        let ready = nodes.iter().filter(|node| node.get::<Node>().is_some_and(Node::is_ready)).count();
        assert_eq!(ready, count / 2);
    })
}

fn get_available_nodes_from_view(name: &str, count: usize, go: f64) -> Row {
    let nodes = nodes(count, |nth| nth % 2 == 0);
    measure_each(name, Some(go), || {
        let is_ready = |node: &&Object| node.get::<Node>().is_some_and(Node::is_ready);
        let ready: Vec<Object> = std::hint::black_box(&nodes).iter().filter(is_ready).cloned().collect();
        assert_eq!(ready.len(), count / 2);
    })
}

fn key(nth: u64) -> Key {
    Key::new(Kind::Pod, "default", &format!("pod-{nth}"))
}

fn filled(size: u64) -> Store {
    let object = at(&pod("pod", "test"), 1);
    let mut store = Store::default();
    for nth in 0..size {
        let object = object.with_meta(|meta| meta.name = format!("pod-{nth}").into());
        store.apply(&key(nth), Some(object), Revision(nth + 1));
    }
    store
}

fn list(store: &Store) -> Vec<Object> {
    let query = Query { namespace: Some("default".into()), ..Query::all(Kind::Pod) };
    store.list(&query).cloned().collect()
}

/// The store as a structure, without locks: names are made of numbers as MiniKu's are.
fn store(chosen: &Chosen, rows: &mut Vec<Row>) {
    let object = at(&pod("pod", "test"), 1);
    if chosen.has("MemStorePut") {
        rows.push(measure("MemStorePut", Some(1118.0), |count| {
            let mut store = Store::default();
            let began = Instant::now();
            for nth in 0..count {
                store.apply(&key(nth), Some(object.clone()), Revision(nth + 1));
            }
            began.elapsed()
        }));
    }
    if chosen.has("MemStoreGet") {
        let (store, mut nth) = (filled(1000), 0);
        rows.push(measure_each("MemStoreGet", Some(177.0), || {
            nth += 1;
            store.get(&key(nth % 1000)).cloned().expect("it is there")
        }));
    }
    for (size, go) in [(10, 377.0), (100, 2715.0), (1000, 25.1e3)] {
        let name = format!("MemStoreList/size={size}");
        if chosen.has(&name) {
            let store = filled(size);
            rows.push(measure_each(&name, Some(go), || list(&store)));
        }
    }
    if chosen.has("MemStoreDelete") {
        let (mut store, mut revision, one) = (filled(1000), 1000, key(500));
        rows.push(measure_each("MemStoreDelete", Some(396.0), || {
            revision += 2;
            store.apply(&one, None, Revision(revision - 1));
            store.apply(&one, Some(object.clone()), Revision(revision));
        }));
    }
}

/// The store as threads share it: reads through the API server's host, writes as the host does them, under a lock.
fn shared_store(chosen: &Chosen, rows: &mut Vec<Row>) {
    let host = |size| Served::with((0..size).map(|nth| pod(&format!("pod-{nth}"), "test"))).host;
    if chosen.has("MemStoreConcurrentReads") {
        let host = host(1000);
        let read = |nth| host.look(|server| server.store().get(&key(nth % 1000)).cloned()).expect("it is there");
        rows.push(measure_parallel("MemStoreConcurrentReads", Some(157.0), |nth| drop(read(nth))));
    }
    // Two writers never write the same copy of an object: they would count its users in turns.
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get());
    let objects: Vec<Object> = (0..threads).map(|_| at(&pod("pod", "test"), 1)).collect();
    let write = |store: &RwLock<Store>, nth: u64| {
        let (key, object) = (key(nth % 1000), objects[nth as usize % threads].clone());
        let mut store = store.write().unwrap_or_else(PoisonError::into_inner);
        let revision = Revision(store.revision().0 + 1);
        store.apply(&key, Some(object), revision);
    };
    if chosen.has("MemStoreConcurrentWrites") {
        let store = RwLock::new(filled(1000));
        rows.push(measure_parallel("MemStoreConcurrentWrites", Some(194.0), |nth| write(&store, nth)));
    }
    if chosen.has("MemStoreConcurrentMixed") {
        let store = RwLock::new(filled(1000));
        rows.push(measure_parallel("MemStoreConcurrentMixed", Some(179.0), |nth| match nth / 2 % 2 {
            0 => write(&store, nth),
            _ => {
                let key = key(nth % 1000);
                drop(store.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned());
            }
        }));
    }
    for (size, go) in [(100, 3005.0), (1000, 27.8e3)] {
        let name = format!("MemStoreConcurrentList/size={size}");
        if chosen.has(&name) {
            let host = host(size);
            rows.push(measure_parallel(&name, Some(go), |_| drop(host.look(|server| list(server.store())))));
        }
    }
}
