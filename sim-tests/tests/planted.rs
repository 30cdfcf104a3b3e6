//! Programs that are wrong on purpose: each must be caught, and by the checker that is meant for it.

use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Resource;
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::apiserver::{self, ApiServer};
use miniku_core::controllers::node_lifecycle::{self, NodeLifecycle};
use miniku_core::controllers::workload::{self, WORKLOADS, WorkloadController};
use miniku_core::kubelet::node::Facts;
use miniku_core::kubelet::runtime::Command;
use miniku_core::kubelet::{self, Kubelet};
use miniku_core::program::{Effect, Effects, Input, Part, Program, Query, Verb};
use miniku_core::scheduler::{Scheduler, SchedulerOptions};
use miniku_core::time::{Duration, Now};
use miniku_sim::cluster::Cluster;
use miniku_sim::plan::{self, Ask, Delete, Fault};
use miniku_sim::story::{Story, secs};
use miniku_sim::trace::Mode;
use miniku_sim::truth::Role;
use miniku_sim::world::Birth;
use serde_json::json;

/// A program whose inputs and effects are tampered with.
struct Wrong<P> {
    inner: P,
    steps: u64,
    hear: fn(u64, &mut Input),
    say: fn(u64, &mut Vec<Effect>),
}

impl<P: Program> Program for Wrong<P> {
    fn step(&mut self, now: Now, mut input: Input, out: &mut Effects) {
        self.steps += 1;
        (self.hear)(self.steps, &mut input);
        self.inner.step(now, input, out);
        (self.say)(self.steps, &mut out.list);
    }
}

fn says<P: Program + 'static>(inner: P, say: fn(u64, &mut Vec<Effect>)) -> Box<dyn Program> {
    Box::new(Wrong { inner, steps: 0, hear: |_, _| {}, say })
}

fn hears<P: Program + 'static>(inner: P, hear: fn(u64, &mut Input)) -> Box<dyn Program> {
    Box::new(Wrong { inner, steps: 0, hear, say: |_, _| {} })
}

fn server(birth: Birth<'_>, store: miniku_core::store::Store) -> ApiServer {
    ApiServer::new(apiserver::Options::with_seed(birth.seed), store)
}

fn kubelet(birth: Birth<'_>) -> Kubelet {
    let facts = Facts { cpu_milli: 4_000, memory_bytes: 8 << 30, pods: 110, ..Facts::default() };
    let node = birth.node.unwrap().to_owned();
    Kubelet::new(kubelet::Options { node, facts, seed: birth.seed, ..Default::default() })
}

fn with_kubelets(cluster: Cluster, say: fn(u64, &mut Vec<Effect>)) -> Cluster {
    ["node-1", "node-2"]
        .into_iter()
        .fold(cluster, |cluster, node| cluster.node_with(node, move |birth| says(kubelet(birth), say)))
}

/// An ordinary day, on a cluster with something wrong in it.
fn caught(spoil: impl Fn(Cluster) -> Cluster, by: &[&str]) {
    let story = Story::of(spoil(Cluster::whole(1, 2)))
        .at(secs(1), plan::create(plan::replica_set("web", 6, "")))
        .at(secs(2), plan::create(plan::replica_set("big", 90, "")))
        .at(secs(20), plan::scale("web", 2))
        .fault(secs(30), Fault::ProcessesEnd { pod: "web".into(), code: 1 })
        .at(secs(40), plan::scale("web", 5));
    let world = story.tell(Mode::Off);
    let name = world.violation().map(|violation| violation.name.as_str());
    assert!(name.is_some_and(|name| by.contains(&name)), "{by:?} should have caught it: {:?}", world.violation());
}

#[test]
fn the_day_is_an_ordinary_one() {
    let world =
        Story::of(Cluster::whole(1, 2)).at(secs(1), plan::create(plan::replica_set("web", 6, ""))).tell(Mode::Off);
    assert_eq!(world.violation(), None);
}

#[test]
fn an_api_server_that_forgets_to_tell_a_watcher() {
    let forget = |steps: u64, effects: &mut Vec<Effect>| {
        if steps.is_multiple_of(7) {
            effects.retain(|effect| !matches!(effect, Effect::Event { .. }));
        }
    };
    caught(|cluster| cluster.server(move |birth, store| says(server(birth, store), forget)), &["S-watch"]);
}

#[test]
fn an_api_server_that_tells_twice() {
    let twice = |_, effects: &mut Vec<Effect>| {
        let again = effects.iter().find(|effect| matches!(effect, Effect::Event { .. })).cloned();
        effects.extend(again);
    };
    caught(|cluster| cluster.server(move |birth, store| says(server(birth, store), twice)), &["S-watch"]);
}

#[test]
fn an_api_server_that_does_not_compare_before_it_sets() {
    let trust = |_, input: &mut Input| {
        if let Input::Request { request, .. } = input
            && let Verb::Update { object, .. } = &mut request.verb
        {
            *object = object.with_meta(|meta| meta.resource_version = Default::default());
        }
    };
    // Two who write the same thing are needed: here, the writes of one that are repeated on what it read long ago.
    let late = |_, effects: &mut Vec<Effect>| {
        let again = effects.iter().find_map(|effect| match effect {
            Effect::Call { call, request } => match &request.verb {
                Verb::Update { object, part: Part::Status } => {
                    let object = object.with_meta(|meta| {
                        meta.labels.insert("late", "yes".into());
                        meta.resource_version = "5".into();
                    });
                    let verb = Verb::Update { object, part: Part::Main };
                    let call = miniku_core::program::CallId(call.0 | 1 << 63);
                    Some(Effect::Call { call, request: verb.into() })
                }
                _ => None,
            },
            _ => None,
        });
        effects.extend(again);
    };
    let with_late = move |cluster: Cluster| {
        with_kubelets(cluster.server(move |birth, store| hears(server(birth, store), trust)), late)
    };
    caught(with_late, &["S-cas"]);
}

#[test]
fn a_scheduler_that_puts_everything_on_one_node() {
    let all_on_one = |_, effects: &mut Vec<Effect>| {
        for effect in effects {
            if let Effect::Call { request, .. } = effect
                && let Verb::Bind { node, .. } = &mut request.verb
            {
                *node = "node-1".into();
            }
        }
    };
    caught(
        |cluster| {
            cluster.program(Role::Scheduler, "scheduler", move |birth| {
                says(Scheduler::new(SchedulerOptions { seed: birth.seed, ..Default::default() }), all_on_one)
            })
        },
        &["S-fit"],
    );
}

#[test]
fn a_controller_that_makes_twins() {
    let twins = |_, effects: &mut Vec<Effect>| {
        let twin = effects.iter().find_map(|effect| match effect {
            Effect::Call { call, request } => match &request.verb {
                Verb::Create { object } => {
                    let object = object.with_meta(|meta| meta.name = format!("{}-twin", meta.name).into());
                    let call = miniku_core::program::CallId(call.0 | 1 << 63);
                    Some(Effect::Call { call, request: Verb::Create { object }.into() })
                }
                _ => None,
            },
            _ => None,
        });
        effects.extend(twin);
    };
    caught(
        |cluster| {
            cluster.program(Role::Workloads, "workloads", move |birth| {
                let options = workload::Options { seed: birth.seed, ..Default::default() };
                says(WorkloadController::new(WORKLOADS, options), twins)
            })
        },
        &["S-count"],
    );
}

#[test]
fn a_kubelet_that_runs_the_pods_of_others() {
    let all = |_, effects: &mut Vec<Effect>| {
        let widen = |query: &mut Query| {
            if query.kind == Pod::KIND {
                query.fields.0.clear();
            }
        };
        for effect in effects {
            if let Effect::Call { request, .. } = effect {
                match &mut request.verb {
                    Verb::List(query) | Verb::Watch { query, .. } => widen(query),
                    _ => {}
                }
            }
        }
    };
    caught(|cluster| with_kubelets(cluster, all), &["S-single"]);
}

#[test]
fn a_kubelet_that_says_a_dead_pod_lives() {
    let alive = |_, effects: &mut Vec<Effect>| {
        for effect in effects {
            if let Effect::Call { request, .. } = effect
                && let Verb::Update { object, part: Part::Status } = &mut request.verb
                && object.get::<Pod>().is_some()
            {
                // First it fails, then it runs again.
                *object = object.with(|pod: &mut Pod| {
                    let failed = pod.metadata.resource_version.ends_with(['1', '3', '5', '7', '9']);
                    pod.status.phase = if failed { PodPhase::Failed } else { PodPhase::Running };
                });
            }
        }
    };
    caught(|cluster| with_kubelets(cluster, alive), &["S-phase", "S-status"]);
}

#[test]
fn a_kubelet_that_never_stops_anything() {
    let gentle = |_, effects: &mut Vec<Effect>| {
        effects.retain(|effect| {
            !matches!(effect, Effect::Runtime(Command::Terminate { .. } | Command::Kill { .. } | Command::RemovePod(_)))
        });
    };
    caught(|cluster| with_kubelets(cluster, gentle), &["L-stable"]);
}

#[test]
fn a_kubelet_that_does_not_hear_of_a_pod_that_was_removed_by_force() {
    let gentle = |_, effects: &mut Vec<Effect>| {
        effects.retain(|effect| !matches!(effect, Effect::Runtime(Command::Terminate { .. } | Command::Kill { .. })));
    };
    let (kind, name, namespace) = (Kind::Pod, "a".into(), "default".into());
    let delete = Delete { kind, name, namespace, grace_seconds: Some(0), propagation: None };
    let manifest = json!({"kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "terminationGracePeriodSeconds": 5}});
    let world = Story::of(with_kubelets(Cluster::whole(1, 2), gentle))
        .at(secs(1), plan::create(manifest))
        .at(secs(20), Ask::Delete(delete))
        .tell(Mode::Off);
    assert!(world.violation().is_some_and(|violation| violation.name == "S-zombie"), "{:?}", world.violation());
}

#[test]
fn a_controller_without_patience() {
    caught(
        |cluster| {
            cluster.program(Role::NodeLifecycle, "node-lifecycle", |birth| {
                let (grace, eviction_after) = (Duration::from_millis(500), Duration::from_millis(500));
                let options = node_lifecycle::Options { grace, eviction_after, ..Default::default() };
                Box::new(NodeLifecycle::new(options, birth.seed))
            })
        },
        &["S-evict", "L-hot"],
    );
}

#[test]
fn a_program_that_panics() {
    caught(
        |cluster| {
            cluster.program(Role::Scheduler, "scheduler", |birth| {
                let scheduler = Scheduler::new(SchedulerOptions { seed: birth.seed, ..Default::default() });
                hears(scheduler, |steps, _| assert!(steps < 20, "twenty is too many"))
            })
        },
        &["P-total"],
    );
}

/// Asks for being woken at once at each step, as one does whose deadline has passed and is not taken away.
struct Restless<P>(P);

impl<P: Program> Program for Restless<P> {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        self.0.step(now, input, out);
        out.wake_at(now.mono);
    }
}

#[test]
fn a_program_that_does_not_come_to_rest() {
    caught(
        |cluster| {
            cluster.program(Role::Scheduler, "scheduler", |birth| {
                Box::new(Restless(Scheduler::new(SchedulerOptions { seed: birth.seed, ..Default::default() })))
            })
        },
        &["P-pause"],
    );
}
