//! Daemons that run alone: they find each other over HTTP, lose each other, and find each other again.

use crate::http::{PODS, SETS, Server, condition, name, set, uid};
use crate::world::{Daemon, Dir, MINIKU, alive, isolated, main_process, miniku, run, stderr, until, wait};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const URL: &str = "http://127.0.0.1:8080";
/// So that losing and finding takes tenths of a second.
const QUICK: [&str; 4] = ["--watch-initial-delay", "100ms", "--watch-max-delay", "400ms"];

fn daemon(name: &str, more: &[&str]) -> Daemon {
    Daemon::start(&[&[name, "--server", URL], &QUICK[..], more].concat())
}

fn kubelet(dir: &Dir, node: &str, port: &str, runtime: &str) -> Daemon {
    daemon("kubelet", &["--name", node, "--data-dir", dir.path(), "--port", port, "--runtime", runtime])
}

/// A daemon stops in some milliseconds, unless the machine is busy. Whoever waited for a tick of a second would not.
const STOP: Duration = Duration::from_millis(900);

/// A number of a metrics page: the sum of the lines that begin so.
fn metric(page: &str, line: &str) -> f64 {
    let values = page.lines().filter(|one| one.starts_with(line)).map(|one| one.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

#[test]
fn apart_with_pretending_nodes_over_a_killed_server() {
    isolated(|| {
        let (store, nodes) = (Dir::new(), [Dir::new(), Dir::new()]);
        // They start before there is a server, and say once a failure that there is none.
        let scheduler = daemon("scheduler", &["--strategy", "RoundRobin"]);
        let controller = daemon("controller", &[]);
        let one = kubelet(&nodes[0], "node-1", "10250", "fake");
        let two = kubelet(&nodes[1], "node-2", "10251", "fake");
        for lonely in [&scheduler, &controller, &one] {
            lonely.says("refused");
        }
        let apiserver = store.apiserver(&[]);
        let server = apiserver.ready();
        server.nodes_ready(&[("node-1", "True"), ("node-2", "True")]);
        server.post(SETS, &set("a", 4)).ok();
        let pods = server.running("app=a", 4);
        let on: BTreeSet<String> = pods.iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
        assert_eq!(on.len(), 2, "{on:?}");

        // The server dies in the middle of work and comes back: nobody else is started again.
        let uids: BTreeSet<String> = pods.iter().map(uid).collect();
        server.post(SETS, &set("b", 6)).ok();
        apiserver.kill();
        let apiserver = store.apiserver(&[]);
        let server = apiserver.ready();
        server.running("app=b", 6);
        server.post(SETS, &set("c", 2)).ok();
        server.running("app=c", 2);
        assert_eq!(server.running("app=a", 4).iter().map(uid).collect::<BTreeSet<_>>(), uids);
        // Scaling is seen by the controller, deletion by the kubelets.
        server.cli("scale rs/b --replicas=0");
        until("the pods of b are gone", || server.list(&format!("{PODS}?labelSelector=app=b")).is_empty());

        // GoKube's numbers, of a program that runs alone. Each view looks for the server again by itself, so that one
        // of nodes, which nothing here waited for, may come later than that of pods.
        let kubelet = Server::at("127.0.0.1:10250");
        let open = |page: &str| {
            page.lines().filter(|line| line.starts_with("listwatch_connection_state{")).all(|line| line.ends_with(" 1"))
        };
        until("all of the kubelet's watches are open again", || open(&kubelet.get("/metrics").text));
        let page = kubelet.get("/metrics").text;
        assert!(metric(&page, "listwatch_watch_failures_total{") >= 1.0, "{page}");
        assert!(metric(&page, "listwatch_retry_attempts_total{") >= 1.0, "{page}");
        assert!(metric(&page, "listwatch_events_processed_total{") >= 1.0, "{page}");
        assert!(metric(&page, "listwatch_list_duration_seconds_count{") >= 2.0, "{page}");
        assert!(page.contains(r#"resource="pods""#), "{page}");

        for daemon in [scheduler, controller, one, two, apiserver] {
            let (status, took) = daemon.terminate();
            assert!(status.success() && took < STOP, "{status} after {took:?}");
        }
    });
}

#[test]
fn a_killed_kubelet_comes_back_to_its_pods() {
    isolated(|| {
        let (store, node) = (Dir::new(), Dir::new());
        let apiserver = store.apiserver(&[]);
        let server = apiserver.ready();
        let (_scheduler, _controller) = (daemon("scheduler", &[]), daemon("controller", &[]));
        let kubelet = || kubelet(&node, "n", "10250", "namespaces");
        let first = kubelet();
        server.post(SETS, &set("a", 3)).ok();
        let processes = |server: &Server| {
            let mut pids: Vec<u32> =
                server.running("app=a", 3).iter().map(|pod| main_process(&uid(pod)).unwrap()).collect();
            pids.sort_unstable();
            pids
        };
        let before = processes(&server);
        first.kill();
        assert!(before.iter().all(|pid| alive(*pid)));

        // While nobody looks, one pod is deleted and another one is wanted.
        let victim = name(&server.running("app=a", 3)[0]);
        server.cli(&format!("delete pod {victim} --wait=false"));
        let second = kubelet();
        until("the deleted pod is gone", || server.pod(&victim).is_none());
        let after = processes(&server);
        let kept = after.iter().filter(|pid| before.contains(pid)).count();
        assert_eq!(kept, 2, "{before:?} {after:?}");

        // Stopping is no end of containers, and takes no time.
        let (status, took) = second.terminate();
        assert!(status.success() && took < STOP, "{status} after {took:?}");
        assert!(after.iter().all(|pid| alive(*pid)));
        let pod = name(&server.running("app=a", 3)[0]);
        let third = kubelet();
        // Logs are served again before it knows its pods, and before it listens.
        let log = server.get(&format!("{PODS}/{pod}/log"));
        assert_eq!(log.code, 200, "{log:?}");
        third.says("kubelet n: asking");
        server.nodes_ready(&[("n", "True")]);
        assert_eq!(processes(&server), after);
    });
}

#[test]
fn a_node_that_falls_silent_loses_its_pods_to_another() {
    isolated(|| {
        let (store, nodes) = (Dir::new(), [Dir::new(), Dir::new()]);
        let apiserver = store.apiserver(&["--store", "memory"]);
        let server = apiserver.ready();
        let (_scheduler, _controller) = (daemon("scheduler", &[]), daemon("controller", &["--eviction-timeout", "1s"]));
        let kept = kubelet(&nodes[0], "kept", "10250", "namespaces");
        let lost = kubelet(&nodes[1], "lost", "10251", "namespaces");
        server.nodes_ready(&[("kept", "True"), ("lost", "True")]);
        server.post(SETS, &set("a", 4)).ok();
        let pods = server.running("app=a", 4);
        let on_lost: Vec<u32> = pods
            .iter()
            .filter(|pod| pod["spec"]["nodeName"] == "lost")
            .map(|pod| main_process(&uid(pod)).unwrap())
            .collect();
        assert_eq!(on_lost.len(), 2);

        let killed = Instant::now();
        lost.kill();
        until("the node is not ready", || {
            condition(&server.get("/api/v1/nodes/lost").ok(), "Ready")["status"] == "Unknown"
        });
        let took = killed.elapsed();
        // 15 s after its last heartbeat, which was at most 5 s (and a busy machine's delay) before.
        assert!(took > Duration::from_secs(8) && took < Duration::from_secs(30), "{took:?}");
        assert_eq!(server.get("/nodes/lost").json()["status"], "NotReady");
        wait("all pods run on the other node", || {
            let pods = server.list(&format!("{PODS}?labelSelector=app=a"));
            let kept =
                |pod: &&serde_json::Value| pod["spec"]["nodeName"] == "kept" && pod["status"]["phase"] == "Running";
            (pods.iter().filter(kept).count() == 4).then_some(())
        });

        // The machine was only unheard of. When it is back it ends what it should not run any more.
        assert!(on_lost.iter().all(|pid| alive(*pid)));
        let back = kubelet(&nodes[1], "lost", "10251", "namespaces");
        until("its former pods have ended", || !on_lost.iter().any(|pid| alive(*pid)));
        server.nodes_ready(&[("lost", "True")]);
        until("its pods are gone from the API", || server.list(PODS).len() == 4);
        assert_eq!(nodes[1].traces(), [""; 0]);
        drop((kept, back));
    });
}

#[test]
fn a_cordoned_node_gets_no_pods() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--runtime", "fake", "--store", "memory"]);
        let server = up.ready();
        server.nodes_ready(&[("node-1", "True"), ("node-2", "True")]);
        server.patch("/api/v1/nodes/node-1", &json!({"spec": {"unschedulable": true}})).ok();
        server.post(SETS, &set("a", 6)).ok();
        let pods = server.running("app=a", 6);
        assert!(pods.iter().all(|pod| pod["spec"]["nodeName"] == "node-2"));
        server.patch("/api/v1/nodes/node-2", &json!({"spec": {"unschedulable": true}})).ok();
        server.post(SETS, &set("b", 1)).ok();
        let unplaced = wait("the scheduler says why", || {
            let pods = server.list(&format!("{PODS}?labelSelector=app=b"));
            let why = condition(pods.first()?, "PodScheduled")["message"].as_str()?.to_owned();
            (!why.is_empty()).then_some(why)
        });
        assert!(unplaced.contains("0/2 nodes are available") && unplaced.contains("unschedulable"), "{unplaced}");
        server.patch("/api/v1/nodes/node-1", &json!({"spec": {"unschedulable": false}})).ok();
        assert_eq!(server.running("app=b", 1)[0]["spec"]["nodeName"], "node-1");
    });
}

#[test]
fn one_data_directory_has_one_miniku() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&[]);
        for second in [
            &["up", "--data-dir", dir.path(), "--port", "0"][..],
            &["apiserver", "--data-dir", dir.path(), "--port", "0"],
            &["kubelet", "--name", "node-1", "--data-dir", dir.path(), "--port", "0"],
        ] {
            let refused = miniku(second);
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(1), "{second:?}: {said}");
            assert!(
                said.contains("error: ")
                    && (said.contains(" in use by another miniku") || said.contains("another process runs this node")),
                "{said}"
            );
        }
        // The first did not notice.
        up.ready().nodes_ready(&[("node-1", "True")]);

        let other = Dir::new();
        let taken = miniku(&["up", "--data-dir", other.path(), "--runtime", "fake"]);
        assert_eq!(taken.status.code(), Some(1));
        assert!(
            stderr(&taken).contains("error: listening on 127.0.0.1:8080: Address already in use"),
            "{}",
            stderr(&taken)
        );
    });
}

#[test]
fn containers_need_root_and_pretending_does_not() {
    isolated(|| {
        let dir = Dir::new();
        // A binary where anybody may run it, and a place where anybody may write.
        let place = std::env::temp_dir().join(format!("mkbin{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::copy(MINIKU, place.join("miniku")).unwrap();
        let binary = place.join("miniku");
        let nobody = |arguments: &[&str]| {
            let to = ["--reuid=65534", "--regid=65534", "--clear-groups", binary.to_str().unwrap()];
            run("setpriv", &[&to, arguments].concat())
        };
        for arguments in [&["up", "--data-dir", dir.path()][..], &["kubelet", "--name", "n", "--data-dir", dir.path()]]
        {
            let refused = nobody(arguments);
            assert_eq!(refused.status.code(), Some(1));
            let said = stderr(&refused);
            assert!(said.contains("needs root: run it with sudo, or with --runtime fake"), "{said}");
        }
        assert!(!dir.0.exists());
        let refused = nobody(&["up", "--runtime", "fake", "--data-dir", "/proc/none"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("error: create /proc/none/store: "), "{}", stderr(&refused));
        std::fs::remove_dir_all(&place).unwrap();
    });
}
