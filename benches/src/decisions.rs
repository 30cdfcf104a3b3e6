//! Programs without I/O: what a decision costs, with everything that leads to it.

use crate::Chosen;
use crate::measure::measure;
use crate::objects::{at, node, pod, replica_set};
use crate::table::Row;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::apiserver::{ApiServer, Author, Options, admission};
use miniku_core::client::informer;
use miniku_core::controllers::workload::{self, WORKLOADS, WorkloadController};
use miniku_core::patch::Patch;
use miniku_core::program::{
    Answer, CallId, Committed, Effect, Effects, Input, Part, Program, Query, RequestId, Revision, Verb, WatchEvent,
    WatchFrom,
};
use miniku_core::scheduler::{Scheduler, SchedulerOptions};
use miniku_core::store::Store;
use miniku_core::time::{Instant as Mono, Now, Wall};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Runs those that were chosen.
pub fn run(chosen: &Chosen, rows: &mut Vec<Row>) {
    for count in [100, 1000, 5000] {
        let name = format!("scheduler, event to bind/nodes={count}");
        if chosen.has(&name) {
            let nodes = (0..count).map(|nth| at(&node(&format!("node-{nth:04}"), true), 1)).collect();
            rows.push(scheduling(&name, None, nodes, Vec::new(), &pod("pod", "test")));
        }
    }
    for load in LOADS {
        if chosen.has(load.name) {
            rows.push(scheduling_under(load));
        }
    }
    let name = "apiserver, strategic merge patch of a pod";
    if chosen.has(name) {
        rows.push(patching(name));
    }
    for watchers in [0, 10, 100] {
        let name = format!("apiserver, status write/watchers={watchers}");
        if chosen.has(&name) {
            rows.push(writing(&name, watchers));
        }
    }
}

/// A patch of one container's image as kubectl sends it, from its JSON text to the object that is stored, with the note of
/// who wants which field.
fn patching(name: &str) -> Row {
    let by = Author { now: NOW, manager: Some("kubectl-patch"), strict: true, version: None, user: None };
    let stored = admission::created(NOW, pod("web", "web"), "uid".into(), None).expect("it is a pod");
    let stored = at(&admission::noted(NOW, "kubectl-create", None, stored, Part::Main, None), 5);
    let patch = |nth: u64| {
        let text = format!(
            r#"{{"spec":{{"$setElementOrder/containers":[{{"name":"main"}}],"containers":[{{"name":"main","image":"alpine:{nth}"}}]}}}}"#
        );
        Patch::Strategic(serde_json::from_str(&text).expect("it is JSON"))
    };
    measure(name, None, |count| {
        let began = Instant::now();
        for nth in 0..count {
            let object = admission::patched(by, &stored, &patch(nth), None).expect("it is a patch");
            let object = admission::updated(&stored, object, Part::Main, None).expect("an image may change");
            let object = admission::noted(NOW, "kubectl-patch", Some(&stored), object, Part::Main, None);
            std::hint::black_box(object.json().len());
        }
        began.elapsed()
    })
}

const NOW: Now = Now { mono: Mono::from_nanos(1), wall: Wall::from_secs(1_800_000_000) };

/// A program whose views have listed what there is and watch from then on, with the watch of each kind.
fn watching<P: Program>(mut program: P, there: &[Object], out: &mut Effects) -> (P, BTreeMap<Kind, CallId>) {
    let mut watches = BTreeMap::new();
    program.step(NOW, Input::Wake, out);
    // All views list, then watch.
    for _ in 0..2 {
        for effect in std::mem::take(&mut out.list) {
            let Effect::Call { call, request } = effect else { continue };
            let answer = match request.verb {
                Verb::List(query) => {
                    let items = there.iter().filter(|one| one.kind() == query.kind).cloned().collect();
                    Answer::List { revision: Revision(1), items }
                }
                Verb::Watch { query, .. } => {
                    watches.insert(query.kind, call);
                    Answer::Watching
                }
                other => unreachable!("a program begins with lists and watches, not with {other:?}"),
            };
            program.step(NOW, Input::Reply { call, answer }, out);
        }
    }
    (program, watches)
}

/// A scheduler that sees a new pod, asks to bind it, hears that it is done and sees it bound. In a cluster without load:
/// pods go once they are bound.
pub fn scheduling(name: &str, go: Option<f64>, nodes: Vec<Object>, bound: Vec<Object>, template: &Object) -> Row {
    let mut out = Effects::default();
    let there = [nodes, bound].concat();
    let (mut scheduler, watches) = watching(Scheduler::new(SchedulerOptions::default()), &there, &mut out);
    let watch = watches[&Kind::Pod];
    let (mut nth, mut revision) = (0_u64, 1);
    measure(name, go, |count| {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            nth += 1;
            revision += 3;
            let new = template.with_meta(|meta| {
                (meta.name, meta.uid) = (format!("pod-{nth}").into(), format!("uid-{nth}").into());
                meta.resource_version = (revision - 2).to_string().into();
            });
            let event = |event| Input::Event { call: watch, event };
            let began = Instant::now();
            scheduler.step(NOW, event(WatchEvent::Added(new.clone())), &mut out);
            took += began.elapsed();
            let asked = out.list.drain(..).find_map(|effect| match effect {
                Effect::Call { call, request } => match request.verb {
                    Verb::Bind { node, .. } => Some((call, node)),
                    _ => None,
                },
                _ => None,
            });
            let (call, node) = asked.expect("there is room for the pod");
            let bound = new.with(|pod: &mut Pod| {
                std::sync::Arc::make_mut(&mut pod.spec).node_name = node;
                pod.metadata.resource_version = (revision - 1).to_string().into();
            });
            let began = Instant::now();
            scheduler.step(
                NOW,
                Input::Reply { call, answer: Answer::Object { object: bound.clone(), created: false } },
                &mut out,
            );
            scheduler.step(NOW, event(WatchEvent::Modified(bound.clone())), &mut out);
            scheduler.step(NOW, event(WatchEvent::Deleted(at(&bound, revision))), &mut out);
            took += began.elapsed();
            out.list.clear();
        }
        took
    })
}

/// A controller that sees a ReplicaSet which wants three pods and has none, asks for them, hears that they are made and
/// sees them. Then all of it goes.
pub fn reconciling(name: &str, go: Option<f64>) -> Row {
    let options = workload::Options { seed: 1, informer: informer::Options::default() };
    let mut out = Effects::default();
    let (mut controller, watches) = watching(WorkloadController::new(WORKLOADS, options), &[], &mut out);
    let event = |kind: Kind, event| Input::Event { call: watches[&kind], event };
    let (mut nth, mut revision) = (0_u64, 1);
    measure(name, go, |count| {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            (nth, revision) = (nth + 1, revision + 1);
            let set = at(&replica_set(&format!("set-{nth}"), 3), revision);
            let set = set.with_meta(|meta| meta.uid = format!("uid-{nth}").into());
            let mut all = vec![set.clone()];
            let began = Instant::now();
            controller.step(NOW, event(Kind::ReplicaSet, WatchEvent::Added(set)), &mut out);
            took += began.elapsed();
            while !out.list.is_empty() {
                for effect in std::mem::take(&mut out.list) {
                    let Effect::Call { call, request } = effect else { continue };
                    let Verb::Create { object } = request.verb else { continue };
                    revision += 1;
                    let pod = at(&object, revision).with_meta(|meta| meta.uid = format!("uid-pod-{revision}").into());
                    all.push(pod.clone());
                    let answer = Answer::Object { object: pod.clone(), created: true };
                    let began = Instant::now();
                    controller.step(NOW, event(Kind::Pod, WatchEvent::Added(pod)), &mut out);
                    controller.step(NOW, Input::Reply { call, answer }, &mut out);
                    took += began.elapsed();
                }
            }
            assert_eq!(all.len(), 4, "the set has its three pods");
            for object in all {
                revision += 1;
                controller.step(NOW, event(object.kind(), WatchEvent::Deleted(at(&object, revision))), &mut out);
            }
            out.list.clear();
        }
        took
    })
}

/// A cluster with something in it that makes decisions harder.
struct Load {
    name: &'static str,
    nodes: usize,
    /// So many pods like those that come are bound already, each to the next node.
    bound: usize,
    /// What the spec of the pods has beside a container.
    spec: fn() -> Value,
}

/// Requests and taints, constraints, neighbours; and more and more pods that are there already.
const LOADS: &[Load] = &[
    Load { name: "scheduler, requests and taints/nodes=100", nodes: 100, bound: 0, spec: plain },
    Load { name: "scheduler, requests and taints/nodes=1000", nodes: 1000, bound: 0, spec: plain },
    Load { name: "scheduler, requests and taints/nodes=5000", nodes: 5000, bound: 0, spec: plain },
    Load { name: "scheduler, requests and taints/nodes=5000/pods=1000", nodes: 5000, bound: 1_000, spec: plain },
    Load { name: "scheduler, requests and taints/nodes=5000/pods=10000", nodes: 5000, bound: 10_000, spec: plain },
    Load { name: "scheduler, requests and taints/nodes=5000/pods=100000", nodes: 5000, bound: 100_000, spec: plain },
    Load { name: "scheduler, topology spread/nodes=100", nodes: 100, bound: 100, spec: spread },
    Load { name: "scheduler, topology spread/nodes=1000", nodes: 1000, bound: 1000, spec: spread },
    Load { name: "scheduler, topology spread/nodes=5000", nodes: 5000, bound: 5000, spec: spread },
    Load { name: "scheduler, pod anti-affinity/nodes=1000", nodes: 1000, bound: 900, spec: anti_affinity },
    Load { name: "scheduler, pod anti-affinity/nodes=5000", nodes: 5000, bound: 4500, spec: anti_affinity },
];

fn plain() -> Value {
    json!({})
}

fn spread() -> Value {
    json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}}]})
}

fn anti_affinity() -> Value {
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}})
}

/// The same as [`scheduling`], on nodes with a taint, half of which pods do not tolerate, and with pods that request
/// something.
fn scheduling_under(load: &Load) -> Row {
    let changed = |object: Object, change: &dyn Fn(&mut Value)| {
        let mut value = object.to_value();
        change(&mut value);
        at(&Object::from_value(object.kind(), value).expect("it is well formed"), 1)
    };
    let nodes = (0..load.nodes).map(|nth| {
        let name = format!("node-{nth:04}");
        changed(node(&name, true), &|value| {
            let key = if nth % 2 == 0 { "tolerated" } else { "other" };
            let labels = json!({"host": name, "zone": format!("zone-{}", nth % 10)});
            value["metadata"]["labels"] = labels;
            // Where all nodes are needed, they are all tolerated.
            value["spec"] = json!({"taints": [{"key": key, "value": "", "effect": "NoSchedule"}]});
        })
    });
    let template = |name: &str, node: Option<String>| {
        changed(pod(name, "web"), &|value| {
            let spec = value["spec"].as_object_mut().expect("a pod has a spec");
            spec.extend((load.spec)().as_object().expect("it has fields").clone());
            spec.insert("tolerations".into(), json!([{"key": "tolerated", "operator": "Exists"}]));
            if (load.spec)() != plain() {
                spec.insert("tolerations".into(), json!([{"operator": "Exists"}]));
            }
            spec["containers"][0]["resources"] = json!({"requests": {"cpu": "10m", "memory": "16Mi"}});
            if let Some(node) = &node {
                spec.insert("nodeName".into(), json!(node));
            }
        })
    };
    let bound = (0..load.bound).map(|nth| {
        let object = template(&format!("bound-{nth}"), Some(format!("node-{:04}", nth % load.nodes)));
        object.with_meta(|meta| meta.uid = format!("uid-bound-{nth}").into())
    });
    scheduling(load.name, None, nodes.collect(), bound.collect(), &template("pod", None))
}

/// A kubelet's write of a status, with so many watching all pods: admitted, committed at once, told to all of them.
fn writing(name: &str, watchers: u64) -> Row {
    let key = |nth: u64| miniku_core::api::object::Key::new(Kind::Pod, "default", &format!("pod-{nth}"));
    let mut store = Store::default();
    for nth in 0..1000 {
        let object = pod("pod", "test").with_meta(|meta| meta.name = format!("pod-{nth}").into());
        store.apply(&key(nth), Some(at(&object, nth + 1)), Revision(nth + 1));
    }
    let (mut server, mut out) = (ApiServer::new(Options::with_seed(1), store), Effects::default());
    let mut revision = 1000;
    let mut settle = |server: &mut ApiServer, out: &mut Effects| {
        for effect in std::mem::take(&mut out.list) {
            if let Effect::Commit { commit, .. } = effect {
                revision += 1;
                server.step(NOW, Input::Committed { commit, outcome: Committed::At(Revision(revision)) }, out);
            }
        }
    };
    server.step(NOW, Input::Wake, &mut out);
    settle(&mut server, &mut out);
    for watcher in 0..watchers {
        let verb =
            Verb::Watch { query: Query::all(Kind::Pod), from: WatchFrom::After(Revision(1000)), bookmarks: false };
        server.step(NOW, Input::Request { from: RequestId(watcher), request: verb.into() }, &mut out);
    }
    let mut nth = 1000;
    measure(name, None, |count| {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            nth += 1;
            out.list.clear();
            let object = server.store().get(&key(nth % 1000)).expect("it was stored").with(|pod: &mut Pod| {
                pod.status.host_ip = nth.to_string().into();
            });
            let verb = Verb::Update { object, part: miniku_core::program::Part::Status };
            let began = Instant::now();
            server.step(NOW, Input::Request { from: RequestId(nth), request: verb.into() }, &mut out);
            settle(&mut server, &mut out);
            took += began.elapsed();
        }
        took
    })
}
