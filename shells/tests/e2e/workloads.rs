//! Jobs and deployments whose pods are real.

use crate::http::PODS;
use crate::world::{Dir, isolated, until};
use serde_json::{Value, json};

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn job(name: &str, spec: &Value, shell: &str) -> Value {
    let container = json!({"name": "c", "image": "busybox", "command": ["sh", "-c", shell]});
    let pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]});
    let mut job = json!({"metadata": {"name": name}, "spec": {"template": {"spec": pod}}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        job["spec"][field] = value.clone();
    }
    job
}

fn is(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == condition && one["status"] == "True")
}

#[test]
fn jobs_end_when_their_containers_have() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--store", "memory"]);
        let server = up.ready();
        let number = json!({"completions": 4, "parallelism": 2, "completionMode": "Indexed"});
        server.post(JOBS, &job("numbers", &number, "echo $JOB_COMPLETION_INDEX on $(hostname)")).ok();
        server.post(JOBS, &job("broken", &json!({"backoffLimit": 0}), "exit 3")).ok();
        server.post(JOBS, &job("long", &json!({"activeDeadlineSeconds": 2}), "sleep 1000")).ok();
        let get = |name: &str| server.get(&format!("{JOBS}/{name}")).ok();
        until("each number has succeeded", || is(&get("numbers"), "Complete"));
        let numbers = get("numbers");
        assert_eq!(
            (&numbers["status"]["succeeded"], &numbers["status"]["completedIndexes"]),
            (&json!(4), &json!("0-3"))
        );
        let said = server.cli("logs -l batch.kubernetes.io/job-name=numbers");
        for nth in 0..4 {
            assert!(said.contains(&format!("{nth} on numbers-{nth}\n")), "{said}");
        }
        until("one has failed", || is(&get("broken"), "Failed"));
        assert_eq!(get("broken")["status"]["failed"], 1);
        until("one took too long", || is(&get("long"), "Failed"));
        let table = server.cli("get jobs");
        for what in ["Complete", "Failed", "4/4", "0/1"] {
            assert!(table.contains(what), "{what}: {table}");
        }
    });
}

#[test]
fn a_deployment_is_rolled_out_and_goes() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--store", "memory"]);
        let server = up.ready();
        let of = |word: &str| {
            let container = json!({"name": "c", "image": "busybox", "command": ["sh", "-c", format!("echo {word}; exec sleep 1000")]});
            let pod = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
            json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod}}})
        };
        server.post(DEPLOYMENTS, &of("one")).ok();
        let said = |word: &str| server.cli("logs -l app=web").matches(word).count();
        server.running("app=web", 3);
        until("three say one", || said("one") == 3);
        let path = format!("{DEPLOYMENTS}/web");
        server.put(&path, &of("two")).ok();
        let rolled_out = || {
            let deployment = server.get(&path).ok();
            let status = &deployment["status"];
            // What is said of the template before is no answer.
            status["observedGeneration"] == deployment["metadata"]["generation"]
                && status["updatedReplicas"] == 3
                && status["replicas"] == 3
                && status["availableReplicas"] == 3
        };
        until("all are replaced", rolled_out);
        server.running("app=web", 3);
        until("three say two", || said("two") == 3 && said("one") == 0);
        server.delete(&path).ok();
        until("nothing is left", || server.list(PODS).is_empty());
    });
}
