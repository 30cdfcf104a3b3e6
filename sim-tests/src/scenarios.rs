//! The scenarios. Each first line says what one learns.

use crate::cluster::{Cluster, NodeShape};
use crate::disk::Unsynced;
use crate::plan::{self, Fault, Ratio, Weather};
use crate::scenario::{Scenario, Story, secs};
use crate::swarm;
use crate::truth::Truth;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::Key;
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::program::{DeleteOptions, Propagation, Verb};
use miniku_core::time::Duration;
use serde_json::{Value, json};

macro_rules! scenarios {
    ($($(#[doc = $about:literal])+ fn $name:ident($seed:ident) $story:block)+) => {
        $($(#[doc = $about])+ pub fn $name($seed: u64) -> Story $story)+

        /// All scenarios.
        pub const SCENARIOS: &[Scenario] = &[
            $(Scenario { name: stringify!($name), about: concat!($($about),+), story: $name }),+
        ];
    };
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// A pod of its own, on whichever node.
fn pod(name: &str, restart: &str, command: &[&str]) -> Verb {
    plan::create(pod_manifest(name, restart, command))
}

fn pod_manifest(name: &str, restart: &str, command: &[&str]) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": {
        "restartPolicy": restart, "terminationGracePeriodSeconds": 5,
        "containers": [{"name": "main", "image": "busybox", "command": command}]
    }})
}

fn set(name: &str, replicas: usize) -> Verb {
    plan::create(plan::replica_set(name, replicas, ""))
}

/// So many pods of a set really run.
fn run(set: &'static str, pods: usize) -> impl Fn(&Truth) -> bool {
    move |truth| {
        truth.active(set).filter(|pod| truth.really_runs(pod)).count() == pods && truth.active(set).count() == pods
    }
}

fn phase(name: &'static str, phase: PodPhase) -> impl Fn(&Truth) -> bool {
    move |truth| truth.pod(name).is_some_and(|pod| pod.status.phase == phase)
}

fn restarts(truth: &Truth, name: &str) -> i32 {
    truth.pod(name).map_or(0, |pod| pod.status.container_statuses.iter().map(|one| one.restart_count).sum())
}

scenarios! {
    /// The road of one pod, from a request to a process, and back.
    fn one_pod(seed) {
        Story::of(Cluster::whole(seed, 1))
            .at(secs(1), pod("hello", "Always", &["sleep", "infinity"]))
            .expect(secs(1), secs(5), "the pod runs", |truth| truth.pod("hello").is_some_and(|pod| truth.really_runs(pod)))
            .at(secs(8), plan::delete(Kind::Pod, "hello"))
            .expect(secs(8), secs(10), "the pod is gone", |truth| truth.pod("hello").is_none())
    }

    /// A replica set follows its wish, up, down, to nothing and back.
    fn scale(seed) {
        Story::of(Cluster::whole(seed, 3))
            .at(secs(1), set("web", 3))
            .expect(secs(1), secs(10), "three run", run("web", 3))
            .at(secs(15), plan::scale("web", 20))
            .expect(secs(15), secs(15), "twenty run", run("web", 20))
            .at(secs(40), plan::scale("web", 2))
            .expect(secs(40), secs(15), "two run", run("web", 2))
            .at(secs(60), plan::scale("web", 0))
            .at(secs(60), plan::scale("web", 5))
            .at(secs(62), plan::scale("web", 1))
            .at(secs(62), plan::scale("web", 4))
    }

    /// Containers that end are started again, or not, as their policy says.
    fn exits(seed) {
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), pod("always", "Always", &["sleep", "20"]))
            .at(secs(1), pod("failing", "OnFailure", &["sh", "-c", "sleep 1; exit 3"]))
            .at(secs(1), pod("done", "OnFailure", &["sleep", "2"]))
            .at(secs(1), pod("once", "Never", &["sh", "-c", "sleep 1; exit 7"]))
            .at(secs(1), pod("well", "Never", &["true"]))
            .expect(secs(1), secs(20), "a good end is final", phase("done", PodPhase::Succeeded))
            .expect(secs(1), secs(20), "a bad end is final too", phase("once", PodPhase::Failed))
            .expect(secs(1), secs(20), "the shortest is seen", phase("well", PodPhase::Succeeded))
            .expect(secs(1), secs(100), "an end is followed by a start", |truth| restarts(truth, "always") >= 1)
            .expect(secs(1), secs(100), "a failure is followed by a start", |truth| restarts(truth, "failing") >= 2)
            .goes_on(secs(400))
    }

    /// An image that cannot be had keeps a pod waiting, and hurts nobody else.
    fn no_image(seed) {
        let mut bad = pod_manifest("bad", "Always", &[]);
        bad["spec"]["containers"][0]["image"] = json!("nowhere/nothing:1");
        let waits = |truth: &Truth| {
            let waiting = |pod: &Pod| {
                let state = &pod.status.container_statuses.first()?.state;
                Some(state.waiting.as_ref()?.reason.clone())
            };
            truth.pod("bad").and_then(waiting).is_some_and(|reason| reason == "ErrImagePull" || reason == "ImagePullBackOff")
        };
        Story::of(Cluster::whole(seed, 1))
            .at(secs(1), plan::create(bad))
            .at(secs(2), set("web", 2))
            .expect(secs(1), secs(30), "the pod says what it waits for", waits)
            .expect(secs(2), secs(20), "others run", run("web", 2))
            .goes_on(secs(300))
    }

    /// A kubelet that dies and comes back finds its containers running, and neither stops nor doubles them.
    fn kubelet_restart(seed) {
        let crash = |down| Fault::Crash { actor: "kubelet/node-1".into(), down: secs(down) };
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), set("web", 6))
            .at(secs(1), pod("stubborn", "Always", &["sh", "-c", "trap '' TERM; sleep infinity"]))
            .expect(secs(1), secs(10), "six run", run("web", 6))
            .fault(secs(15), crash(3))
            .at(secs(16), plan::scale("web", 4))
            .at(secs(16), plan::delete(Kind::Pod, "stubborn"))
            .fault(secs(25), crash(3))
            .fault(Duration::from_millis(30_200), Fault::ProcessesEnd { pod: "web".into(), code: 1 })
            .fault(secs(30), crash(2))
            .expect(secs(40), secs(60), "four run", run("web", 4))
    }

    /// The pods of a dead node are replaced on others; when it comes back, nothing runs twice.
    fn node_death(seed) {
        Story::of(Cluster::whole(seed, 3))
            .at(secs(1), set("web", 6))
            .expect(secs(1), secs(10), "six run", run("web", 6))
            .fault(secs(20), Fault::NodeCrash { node: "node-1".into(), down: Some(secs(200)) })
            .expect(secs(20), secs(40), "the node is known to be silent", |truth| {
                truth.node("node-1").is_some_and(|node| !node.is_ready())
            })
            .expect(secs(20), secs(120), "six run elsewhere", |truth| {
                run("web", 6)(truth) && truth.active("web").all(|pod| pod.node() != Some("node-1"))
            })
            .expect(secs(221), secs(60), "the node is ready again", |truth| truth.node("node-1").is_some_and(Node::is_ready))
    }

    /// A node that never comes back does not keep the others from being whole.
    fn node_gone(seed) {
        Story::of(Cluster::whole(seed, 3))
            .at(secs(1), set("web", 6))
            .expect(secs(1), secs(10), "six run", run("web", 6))
            .fault(secs(20), Fault::NodeCrash { node: "node-2".into(), down: None })
    }

    /// A node that only rebooted keeps its pods.
    fn node_reboot(seed) {
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), set("web", 4))
            .expect(secs(1), secs(10), "four run", run("web", 4))
            .fault(secs(20), Fault::NodeCrash { node: "node-1".into(), down: Some(secs(8)) })
            .expect(secs(28), secs(60), "four run again", run("web", 4))
    }

    /// A node that is cut off loses its pods to others; when it is heard again, it gives up what it still runs, without a
    /// quarrel about whether that is ready.
    fn cut_off(seed) {
        Story::of(Cluster::whole(seed, 3))
            .at(secs(1), set("web", 6))
            .expect(secs(1), secs(10), "six run", run("web", 6))
            .fault(secs(20), Fault::Link { actor: "kubelet/node-1".into(), weather: Weather::CUT, lasts: secs(70 + seed % 20) })
            .expect(secs(20), secs(80), "six run elsewhere", |truth| {
                run("web", 6)(truth) && truth.active("web").all(|pod| pod.node() != Some("node-1"))
            })
    }

    /// While nothing can be written, what runs goes on; afterwards, what was asked for in the meantime is done.
    fn disk_full(seed) {
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), set("web", 3))
            .expect(secs(1), secs(10), "three run", run("web", 3))
            .fault(secs(20), Fault::DiskFull { lasts: secs(40) })
            .at(secs(25), plan::scale("web", 6))
            .fault(secs(30), Fault::ProcessesEnd { pod: "web".into(), code: 1 })
            .expect(secs(60), secs(90), "six run", run("web", 6))
    }

    /// An API server that restarts in the middle of a burst of writes loses none that it acknowledged.
    fn api_restart(seed) {
        let crash = |unsynced| Fault::ApiServerCrash { down: secs(2), unsynced };
        Story::of(Cluster::whole(seed, 3))
            .at(secs(1), set("web", 10))
            .fault(Duration::from_micros(1_002_300 + seed % 7 * 400), crash(Unsynced::Lost))
            .expect(secs(3), secs(100), "ten run", run("web", 10))
            .at(secs(120), plan::scale("web", 25))
            .fault(Duration::from_micros(120_002_300 + seed % 11 * 400), crash(Unsynced::Kept))
            .expect(secs(122), secs(100), "twenty-five run", run("web", 25))
    }

    /// When the API server was away for long, nobody is evicted for it.
    fn api_away(seed) {
        Story::of(Cluster::whole(seed, 3))
            .at(secs(1), set("web", 6))
            .expect(secs(1), secs(10), "six run", run("web", 6))
            .fault(secs(20), Fault::ApiServerCrash { down: secs(180), unsynced: Unsynced::Lost })
            .expect(secs(200), secs(120), "all nodes are ready", |truth| {
                truth.all::<Node>().all(Node::is_ready) && run("web", 6)(truth)
            })
    }

    /// Replies that get lost lead to no twins and to no gaps.
    fn replies_lost(seed) {
        let weather = Weather { replies_lost: Ratio(1, 3), doubled: Ratio(1, 5), ..Weather::FAIR };
        let bad = |actor: &str| Fault::Link { actor: actor.into(), weather, lasts: secs(60) };
        Story::of(Cluster::whole(seed, 3))
            .fault(Duration::from_millis(900), bad("replicaset"))
            .fault(Duration::from_millis(900), bad("scheduler"))
            .fault(Duration::from_millis(900), bad("kubelet/node-1"))
            .at(secs(1), set("web", 8))
            .at(secs(20), plan::scale("web", 15))
            .at(secs(40), plan::scale("web", 3))
            .expect(secs(62), secs(200), "three run", run("web", 3))
    }

    /// A controller that dies between two of its requests goes on where it was.
    fn half_done(seed) {
        let crash = |actor: &str, outputs| Fault::CrashAfterOutput { actor: actor.into(), outputs, down: secs(1) };
        Story::of(Cluster::whole(seed, 3))
            .fault(Duration::from_millis(900), crash("replicaset", 1 + seed % 12))
            .fault(Duration::from_millis(950), crash("scheduler", 1 + seed % 9))
            .fault(Duration::from_millis(950), crash("kubelet/node-1", 1 + seed % 14))
            .at(secs(1), set("web", 8))
            .expect(secs(1), secs(100), "eight run", run("web", 8))
    }

    /// A name that is deleted and used again at once belongs to the new pod alone.
    fn same_name(seed) {
        let mut story = Story::of(Cluster::whole(seed, 1));
        for round in 0..6 {
            let at = secs(1 + round * 7);
            story = story
                .at(at, pod("twin", "Always", &["sleep", "infinity"]))
                .at(at + secs(3), plan::delete(Kind::Pod, "twin"));
        }
        story.expect(secs(45), secs(30), "it is gone", |truth| truth.pod("twin").is_none())
    }

    /// Deleting a replica set takes its pods along.
    fn collected(seed) {
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), set("web", 5))
            .at(secs(1), set("api", 2))
            .expect(secs(1), secs(10), "five run", run("web", 5))
            .at(secs(15), plan::delete(Kind::ReplicaSet, "web"))
            .expect(secs(15), secs(60), "its pods are gone", |truth| truth.all::<Pod>().count() == 2)
    }

    /// More pods than fit wait for room, and get it.
    fn crowded(seed) {
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), set("web", 100))
            .expect(secs(1), secs(30), "eighty fit", |truth| {
                truth.active("web").filter(|pod| truth.really_runs(pod)).count() == 80
            })
            .at(secs(40), plan::scale("web", 50))
            .expect(secs(40), secs(60), "fifty run", run("web", 50))
    }

    /// A pod that waits for room is told of it as soon as there is some, and not when everything is looked at again.
    fn room(seed) {
        let small = NodeShape { pods: 2, ..NodeShape::named("node-1") };
        Story::of(Cluster::bare(seed).control_plane().node(small))
            .at(secs(1), pod("first", "Always", &["sleep", "infinity"]))
            .at(secs(1), pod("second", "Always", &["sleep", "infinity"]))
            .expect(secs(1), secs(10), "two fit", |truth| {
                ["first", "second"].iter().all(|name| truth.pod(name).is_some_and(|pod| truth.really_runs(pod)))
            })
            .at(secs(12), pod("third", "Always", &["sleep", "infinity"]))
            .at(secs(20), plan::delete(Kind::Pod, "first"))
            .expect(secs(20), secs(30), "the third runs", |truth| truth.pod("third").is_some_and(|pod| truth.really_runs(pod)))
    }

    /// A set deleted in the foreground goes after its pods, one deleted with Orphan without them; a new one adopts them.
    fn cascades(seed) {
        let delete = |name: &str, propagation| Verb::Delete {
            key: Key::new(Kind::ReplicaSet, "default", name),
            options: DeleteOptions { propagation: Some(propagation), ..Default::default() },
        };
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), set("web", 3))
            .at(secs(1), set("api", 3))
            .expect(secs(1), secs(10), "three run", run("web", 3))
            .at(secs(15), delete("web", Propagation::Foreground))
            .at(secs(15), delete("api", Propagation::Orphan))
            .expect(secs(15), secs(60), "the sets are gone, and so are the pods of one", |truth| {
                truth.set("web").is_none() && truth.set("api").is_none() && truth.all::<Pod>().count() == 3
            })
            .at(secs(80), set("api", 3))
            .expect(secs(80), secs(20), "the pods have a set again", run("api", 3))
    }

    /// A namespace goes after everything in it, and may be made again.
    fn namespace_ends(seed) {
        let within = |name: &str| {
            let mut set = plan::replica_set(name, 3, "");
            set["metadata"]["namespace"] = "team".into();
            plan::create(set)
        };
        let team = || plan::create(json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "team"}}));
        let gone = |truth: &Truth| truth.object(&Key::new(Kind::Namespace, "", "team")).is_none();
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), team())
            .at(secs(2), within("web"))
            .at(secs(20), plan::delete(Kind::Namespace, "team"))
            .at(Duration::from_millis(20_001), within("late"))
            .expect(secs(20), secs(60), "it is gone", gone)
            .at(secs(90), team())
            .at(secs(91), within("web"))
            .expect(secs(91), secs(20), "three run again", |truth| {
                truth.active("web").filter(|pod| truth.really_runs(pod)).count() == 3
            })
    }

    /// A node that somebody deleted registers again, and its pods have not suffered.
    fn node_deleted(seed) {
        Story::of(Cluster::whole(seed, 2))
            .at(secs(1), set("web", 4))
            .expect(secs(1), secs(10), "four run", run("web", 4))
            .at(secs(20), plan::delete(Kind::Node, "node-1"))
            .expect(secs(20), secs(20), "it is there again", |truth| truth.node("node-1").is_some_and(Node::is_ready))
    }

    /// Anything may happen: a random workload under random faults.
    fn swarm(seed) {
        swarm::story(seed)
    }
}
