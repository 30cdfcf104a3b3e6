//! What containers use, read from the kernel, and an autoscaler that follows it.

use crate::http::Server;
use crate::world::{Dir, isolated, until};
use serde_json::{Value, json};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/burn";
const AUTOSCALER: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/burn";
const USAGE: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";

/// Pods that keep a processor busy until there is a file.
fn deployment() -> Value {
    let shell = "while [ ! -e /calm ]; do :; done; exec sleep 1000";
    let resources = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}});
    let container = json!({"name": "c", "image": "busybox", "command": ["sh", "-c", shell], "resources": resources});
    let pod = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    json!({"metadata": {"name": "burn"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "burn"}},
        "template": {"metadata": {"labels": {"app": "burn"}}, "spec": pod}}})
}

fn autoscaler() -> Value {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "burn"});
    let percent = json!({"type": "Utilization", "averageUtilization": 50});
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": percent}});
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    json!({"metadata": {"name": "burn"}, "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3,
        "metrics": [metric], "behavior": behavior}})
}

/// `250000000n` in thousandths of a processor.
fn milli(amount: &Value) -> u64 {
    let text = amount.as_str().unwrap_or_default();
    text.strip_suffix('n').and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0) / 1_000_000
}

fn used(server: &Server) -> Vec<u64> {
    let pods = server.list(USAGE);
    pods.iter().map(|pod| milli(&pod["containers"][0]["usage"]["cpu"])).collect()
}

#[test]
fn pods_that_burn_are_scaled_up_and_down_again() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--store", "memory"]);
        let server = up.ready();
        server.post("/apis/apps/v1/namespaces/default/deployments", &deployment()).ok();
        server.running("app=burn", 1);
        // It may use 200 thousandths, and uses as much of them as the machine has left.
        until("it is seen to burn", || matches!(used(&server).as_slice(), [one] if (60..=260).contains(one)));
        let memory = server.list(USAGE)[0]["containers"][0]["usage"]["memory"].clone();
        assert!(memory.as_str().is_some_and(|text| text.ends_with("Ki") && text != "0Ki"), "{memory}");
        let top = server.cli("top pods --containers -l app=burn");
        assert!(top.starts_with("POD ") && top.contains(" c ") && top.contains('m'), "{top}");
        assert!(server.cli("top nodes").contains("node-2"));

        server.post("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", &autoscaler()).ok();
        let wished = || server.get(DEPLOYMENT).ok()["spec"]["replicas"].clone();
        until("there are more", || wished() == 3);
        let pods = server.running("app=burn", 3);
        let status = server.get(AUTOSCALER).ok()["status"].clone();
        assert!(
            status["currentMetrics"][0]["resource"]["current"]["averageUtilization"].as_i64() > Some(55),
            "{status}"
        );

        for pod in &pods {
            server.cli(&format!("exec {} -- touch /calm", pod["metadata"]["name"].as_str().unwrap()));
        }
        until("there are fewer", || wished() == 1);
        server.running("app=burn", 1);
        let events = server.cli("events");
        assert!(
            events.contains("New size: 3; reason: cpu resource utilization (percentage of request) above target"),
            "{events}"
        );
        assert!(events.contains("New size: 1; reason: All metrics below target"), "{events}");
        server.delete(AUTOSCALER).ok();
        server.delete(DEPLOYMENT).ok();
        until("nothing is left", || server.list("/api/v1/pods").is_empty());
    });
}

#[test]
fn a_kubelet_tells_what_its_pods_use() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--store", "memory"]);
        let server = up.ready();
        server.run_pod("a", "Always", "exec sleep 1000");
        server.pod_in_phase("a", "Running");
        let pod = server.pod("a").unwrap();
        let node = pod["spec"]["nodeName"].as_str().unwrap().to_owned();
        let status = server.get(&format!("/api/v1/nodes/{node}")).ok()["status"].clone();
        let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap();
        let kubelet = Server::at(&format!("127.0.0.1:{port}"));
        let summary = kubelet.get(&format!("/stats/summary?node={node}")).ok();
        assert_eq!(summary["node"]["nodeName"], *node);
        let [told] = summary["pods"].as_array().unwrap().as_slice() else { panic!("{summary}") };
        assert_eq!(told["podRef"], json!({"name": "a", "namespace": "default", "uid": pod["metadata"]["uid"]}));
        assert!(told["containers"][0]["cpu"]["usageCoreNanoSeconds"].as_u64() > Some(0), "{summary}");
        assert!(told["containers"][0]["memory"]["workingSetBytes"].as_u64() > Some(0), "{summary}");
        let page = kubelet.get(&format!("/metrics/resource?node={node}")).text;
        assert!(page.contains("container_memory_working_set_bytes{container="), "{page}");
        kubelet.get("/stats/summary?node=none").refused(404, "NotFound");
    });
}
