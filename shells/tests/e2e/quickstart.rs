//! What the README promises, done as it says.

use crate::http::{Server, name, shell, text, uid};
use crate::world::{Dir, alive, container_processes, in_pod, isolated, main_process, miniku, namespace, until, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// MiniKu's README, to the letter; the answer too.
const CREATE: &str = r#"curl -X POST 127.0.0.1:8080/replicasets -d '{"name":"test","desiredCount":4,"selector":{"app":"test"},"template":{"image":"alpine","command":["/bin/sh","-c","while true; do sleep 1; done"]}}'"#;
const CREATED: &str = r#"{"name":"test","desiredCount":4,"currentCount":0,"selector":{"app":"test"},"template":{"name":"","image":"alpine","command":["/bin/sh","-c","while true; do sleep 1; done"]}}"#;
const LIST: &str = "curl 127.0.0.1:8080/replicasets";
const PODS: &str = "curl 127.0.0.1:8080/pods";

/// The flat pods, once four run.
fn four_running() -> Vec<Value> {
    wait("four pods run", || {
        let pods: Vec<Value> = serde_json::from_str(&shell(PODS)).unwrap();
        let run = |pod: &Value| pod["status"] == "Running" && !text(&pod["containerId"]).is_empty();
        (pods.len() == 4 && pods.iter().all(run)).then_some(pods)
    })
}

/// Each pod's name and its first process.
fn first_processes(server: &Server) -> Vec<(String, u32)> {
    let pods = server.running("app=test", 4);
    pods.iter().map(|pod| (name(pod), main_process(&uid(pod)).expect("a running pod has a process"))).collect()
}

#[test]
fn the_two_curl_lines_of_the_readme() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&[]);
        let server = up.ready();
        let began = Instant::now();
        assert_eq!(shell(CREATE).trim_end(), CREATED);
        let pods = four_running();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_eq!(
            shell(LIST).trim_end(),
            format!("[{}]", CREATED.replace(r#""currentCount":0"#, r#""currentCount":4"#))
        );
        let nodes: BTreeSet<String> = pods.iter().map(|pod| text(&pod["spec"]["node_name"])).collect();
        assert_eq!(nodes, ["node-1", "node-2"].map(String::from).into());
        for pod in &pods {
            up.says(&format!(
                "scheduler: assigning pod {} to node {}",
                text(&pod["spec"]["name"]),
                text(&pod["spec"]["node_name"])
            ));
        }

        let first = first_processes(&server);
        for kind in ["pid", "mnt", "uts", "ipc", "net"] {
            let own: BTreeSet<_> = first.iter().map(|(_, pid)| namespace(*pid, kind)).collect();
            assert_eq!(own.len(), 4, "{kind}: {own:?}");
            assert!(!own.contains(&namespace(std::process::id(), kind)), "{kind}");
        }
        for (name, pid) in &first {
            assert_eq!(in_pod(*pid, &["hostname"]).trim_end(), name);
        }

        // One is killed: another pod comes instead, and the others stay as they are.
        let (lost, pid) = &first[0];
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        let names = wait("another pod runs instead", || {
            let pods = server.list(&format!("{}?labelSelector=app=test", crate::http::PODS));
            let run: BTreeSet<String> =
                pods.iter().filter(|pod| pod["status"]["phase"] == "Running").map(name).collect();
            (run.len() == 4 && !run.contains(lost)).then_some(run)
        });
        assert!(first[1..].iter().all(|(name, pid)| names.contains(name) && alive(*pid)), "{names:?}");

        // Scaled to nothing, the MiniKu way.
        let body = CREATED.replace(r#""desiredCount":4"#, r#""desiredCount":0"#);
        shell(&format!("curl -s -X PUT 127.0.0.1:8080/replicasets/test -d '{body}'"));
        nothing_is_left(&dir);
        assert_eq!(shell(PODS).trim_end(), "[]");
    });
}

fn nothing_is_left(dir: &Dir) {
    let deadline = Instant::now() + crate::world::DEADLINE;
    while !dir.traces().is_empty() {
        assert!(Instant::now() < deadline, "left: {:#?}", dir.traces());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_miniku_finds_its_pods_again() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&[]);
        let server = up.ready();
        shell(CREATE);
        four_running();
        // One that goes on to write and then ends, while nobody looks.
        let counter = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); sleep 0.01; done; exit 7";
        server.run_pod("counter", "Never", counter);
        let log = format!("{}/counter/log", crate::http::PODS);
        until("the counter counts", || server.get(&log).text.contains("line 20\n"));
        let before = first_processes(&server);
        let counter = server.pod("counter").unwrap();
        up.kill();

        until("the counter has ended", || container_processes(&uid(&counter)).is_empty());
        assert!(before.iter().all(|(_, pid)| alive(*pid)));

        let up = dir.up(&[]);
        let server = up.ready();
        // At once: its nodes are still being opened.
        let told = server.get(&log);
        assert_eq!(told.code, 200, "{told:?}");
        let ended = server.pod_in_phase("counter", "Failed");
        assert_eq!(uid(&ended), uid(&counter));
        assert_eq!(ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 7);
        let lines: Vec<String> = (0..300).map(|line| format!("line {line}\n")).collect();
        assert_eq!(server.cli("logs counter"), lines.concat());
        assert_eq!(first_processes(&server), before);
        assert_eq!(server.list(crate::http::PODS).len(), 5);

        // Scaled to nothing, the kubectl way.
        assert_eq!(server.cli("scale rs/test --replicas=0"), "replicaset.apps/test scaled\n");
        server.cli("delete pod counter");
        nothing_is_left(&dir);
    });
}

#[test]
fn ready_soon_and_quietly() {
    isolated(|| {
        let dir = Dir::new();
        let began = Instant::now();
        let up = dir.up(&[]);
        let server = up.ready();
        assert_eq!(server.get("/healthz").text, "ok");
        let took = began.elapsed();
        // Ten times as much as a machine with nothing else to do needs for a build without optimisation.
        assert!(took < Duration::from_secs(5), "{took:?}");
        server.nodes_ready(&[("node-1", "True"), ("node-2", "True")]);
        assert!(!up.log().contains("WARN"), "{}", up.log());
        assert_eq!(server.get("/livez").text + &server.get("/readyz").text, "okok");
        let version = miniku(&["version", "--server", &server.url()]);
        assert!(String::from_utf8_lossy(&version.stdout).contains("Server Version: v1.32.0+miniku"), "{version:?}");
    });
}
