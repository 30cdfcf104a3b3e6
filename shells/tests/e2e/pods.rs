//! What becomes of a pod: restarts, ends, termination, logs.

use crate::http::{PODS, pod, uid};
use crate::world::{Daemon, Dir, MINIKU, container_processes, isolated, namespace, until};
use serde_json::{Value, json};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn up() -> (Dir, Daemon) {
    let dir = Dir::new();
    let up = dir.up(&["--store", "memory"]);
    (dir, up)
}

fn main(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

#[test]
fn restart_policies() {
    isolated(|| {
        let (_dir, up) = up();
        let server = up.ready();
        server.run_pod("always", "Always", "echo hello; exit 0");
        server.run_pod("fails", "OnFailure", "exit 3");
        server.run_pod("succeeds", "OnFailure", "exit 0");
        server.run_pod("once", "Never", "exit 4");

        let done = server.pod_in_phase("succeeds", "Succeeded");
        assert_eq!(
            (&main(&done)["restartCount"], &main(&done)["state"]["terminated"]["reason"]),
            (&json!(0), &json!("Completed"))
        );
        let done = server.pod_in_phase("once", "Failed");
        let ended = &main(&done)["state"]["terminated"];
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(4), &json!("Error")));

        // The first restart follows at once, the second after ten seconds; in between it is said why.
        for name in ["always", "fails"] {
            let pod = server.pod_when(name, |pod| main(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff");
            assert_eq!(pod["status"]["phase"], "Running");
            assert_eq!(main(&pod)["restartCount"], 1, "{pod}");
        }
        let waiting = Instant::now();
        let again = server.pod_when("fails", |pod| main(pod)["restartCount"] == 2);
        assert!(waiting.elapsed() > Duration::from_secs(7), "{:?}", waiting.elapsed());
        assert_eq!(main(&again)["lastState"]["terminated"]["exitCode"], 3);
        // Its newest attempt may have begun just now and have said nothing yet.
        until("it said hello", || server.cli("logs always") == "hello\n");
        let table = server.cli("get pods");
        assert!(
            table.contains("Completed") && table.contains("Error") && table.contains("CrashLoopBackOff"),
            "{table}"
        );
    });
}

#[test]
fn containers_of_a_pod_share_what_a_pod_is() {
    isolated(|| {
        let (_dir, up) = up();
        let server = up.ready();
        let speaks = "while true; do echo pong | nc -l -p 7000; done";
        let hears = "until nc 127.0.0.1 7000; do sleep 0.1; done; hostname; while true; do sleep 1; done";
        server.post(PODS, &pod("two", "Always", &[("speaks", speaks), ("hears", hears)])).ok();
        let pod = server.pod_when("two", |pod| {
            pod["status"]["containerStatuses"]
                .as_array()
                .is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["ready"] == true))
        });
        until("one hears the other", || server.cli("logs two -c hears").contains("pong\ntwo\n"));
        let pids = container_processes(&uid(&pod));
        for kind in ["net", "uts", "ipc"] {
            assert!(pids.iter().all(|pid| namespace(*pid, kind) == namespace(pids[0], kind)), "{kind}");
        }
        // Of two logs, one must be named.
        let message = server.get(&format!("{PODS}/two/log")).refused(400, "BadRequest");
        assert!(message.contains("choose one of: [speaks hears]"), "{message}");
    });
}

/// Follows a pod's log in a process of its own.
fn follow(url: &str, name: &str) -> std::process::Child {
    Command::new(MINIKU)
        .args(["--server", url, "logs", "-f", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn all_of(mut follower: std::process::Child) -> String {
    let mut text = String::new();
    follower.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(follower.wait().unwrap().success());
    text
}

#[test]
fn termination_is_graceful_for_as_long_as_was_asked() {
    isolated(|| {
        let (dir, up) = up();
        let server = up.ready();
        server.run_pod("polite", "Always", "trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.05; done");
        server.run_pod("stubborn", "Always", "trap '' TERM; echo ready; while true; do sleep 0.05; done");
        for name in ["polite", "stubborn"] {
            server.pod_in_phase(name, "Running");
            until("it listens to signals", || server.cli(&format!("logs {name}")) == "ready\n");
        }
        let mut polite = follow(&server.url(), "polite");
        // It hears it before the pod can be gone.
        let mut heard = [0; 6];
        polite.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"ready\n");
        let began = Instant::now();
        server.delete(&format!("{PODS}/polite?gracePeriodSeconds=30")).ok();
        // A log that is followed ends with its container.
        assert_eq!(all_of(polite), "bye\n");
        until("the polite pod is gone", || server.pod("polite").is_none());
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());

        let began = Instant::now();
        let deleted = server.delete(&format!("{PODS}/stubborn?gracePeriodSeconds=2")).ok();
        assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 2);
        assert!(server.cli("get pod stubborn").contains("Terminating"));
        until("the stubborn pod is gone", || server.pod("stubborn").is_none());
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(15), "{took:?}");
        until("nothing is left", || dir.traces().is_empty());
    });
}

#[test]
fn a_followed_log_ends_with_its_container() {
    isolated(|| {
        let (_dir, up) = up();
        let server = up.ready();
        server.run_pod("talks", "Never", "for i in 1 2 3; do echo $i; sleep 0.3; done; printf 'no line'");
        server.pod_when("talks", |pod| pod["status"]["phase"] != "Pending");
        assert_eq!(all_of(follow(&server.url(), "talks")).trim_end(), "1\n2\n3\nno line");
        server.pod_in_phase("talks", "Succeeded");
        assert_eq!(server.cli("logs talks --tail 2").trim_end(), "3\nno line");
    });
}
