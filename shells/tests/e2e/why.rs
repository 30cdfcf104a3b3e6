//! Why an object is as it is: told by programs that run apart, and found again in their recordings.

use crate::http::PODS;
use crate::world::{Daemon, Dir, isolated, miniku, stderr, stdout, until};
use serde_json::json;

const URL: &str = "http://127.0.0.1:8080";

fn daemon(name: &str, more: &[&str]) -> Daemon {
    Daemon::start(&[&[name, "--server", URL], more].concat())
}

#[test]
fn what_ended_a_pod_is_told_and_recorded() {
    isolated(|| {
        let (store, node, flight) = (Dir::new(), Dir::new(), Dir::new());
        let record = flight.path().to_owned();
        let apiserver = store.apiserver(&["--store", "memory", "--record", &record]);
        let server = apiserver.ready();
        let _scheduler = daemon("scheduler", &["--record", &record]);
        let _controller = daemon("controller", &["--record", &record]);
        let kubelet = daemon("kubelet", &["--name", "n", "--data-dir", node.path(), "--record", &record]);
        server.nodes_ready(&[("n", "True")]);
        let container = json!({"name": "c", "image": "busybox", "command": ["sh", "-c", "exit 7"]});
        let pod =
            json!({"metadata": {"name": "once"}, "spec": {"restartPolicy": "OnFailure", "containers": [container]}});
        server.post(PODS, &pod).ok();
        let why = || server.cli("why pod/once");
        // It crashes, and is started again.
        until("its restart is told", || why().contains("container_action/retry"));
        let told = why();
        for part in [
            "[scheduler]\n    scheduler_strategies/least-allocated: ",
            "\n      n of 1 node(s)\n",
            "[kubelet-n]\n    container_action/create: never started on this node\n      container c\n",
            "    container_action/retry: it crashed\n      container c\n      it ended with code 7\n      restart 1\n",
        ] {
            assert!(told.contains(part), "{part:?} is not told:\n{told}");
        }
        kubelet.kill();
        apiserver.kill();
        // Nobody is left to be asked; what was recorded says the same.
        let found = miniku(&["why", "pod/once", "--recording", &record]);
        assert!(found.status.success(), "{}", stderr(&found));
        let again = stdout(&found);
        assert!(again.contains("it ended with code 7") && again.contains("[kubelet-n]"), "{again}");
    });
}
