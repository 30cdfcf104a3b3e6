//! The command line as a user meets it: the real binary, against a server that answers by rote.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// A server that knows some answers by heart and writes down what it was asked.
struct Recorder {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    server: Arc<tiny_http::Server>,
}

/// `GET /path`, the code, the body. Of several answers to one request, each is given once, the last for ever.
type Rote = (&'static str, u16, Value);

impl Recorder {
    fn new(rote: impl IntoIterator<Item = Rote>) -> Self {
        let mut rote: Vec<Rote> = rote.into_iter().collect();
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let url = format!("http://{}", server.server_addr());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (serving, noted) = (server.clone(), asked.clone());
        thread::spawn(move || {
            for mut request in serving.incoming_requests() {
                let line = format!("{} {}", request.method(), request.url());
                let mut body = String::new();
                request.as_reader().read_to_string(&mut body).unwrap();
                let space = if body.is_empty() { "" } else { " " };
                noted.lock().unwrap().push(format!("{line}{space}{body}"));
                let fits =
                    |one: &Rote| line == one.0 || one.0.ends_with('*') && line.starts_with(one.0.trim_end_matches('*'));
                let at = rote.iter().position(fits);
                let (code, body) = match at {
                    Some(at) if rote.iter().filter(|one| fits(one)).count() > 1 => {
                        let (_, code, body) = rote.remove(at);
                        (code, body)
                    }
                    Some(at) => (rote[at].1, rote[at].2.clone()),
                    None => (404, status(404, "NotFound", &format!("nothing by rote for {line}"))),
                };
                let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                let mut response = tiny_http::Response::from_string(text).with_status_code(code);
                if line.starts_with("POST") && line.contains("warned") {
                    let header = tiny_http::Header::from_bytes("Warning", "299 - \"unknown field \\\"x\\\"\"");
                    response.add_header(header.unwrap());
                }
                let _ = request.respond(response);
            }
        });
        Recorder { url, asked, server }
    }

    fn run(&self, line: &str, input: &str) -> Output {
        self.run_with_editor(line, input, "false")
    }

    fn run_with_editor(&self, line: &str, input: &str, editor: &str) -> Output {
        // Quoted words would need a shell; no test needs them.
        let mut command = Command::new(env!("CARGO_BIN_EXE_miniku"));
        command.args(line.split(' ')).env("MINIKU_SERVER", &self.url).env("KUBE_EDITOR", editor);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a command line that succeeds, and returns what it printed.
    fn prints(&self, line: &str, input: &str, want: &str) {
        let output = self.run(line, input);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((out.as_str(), output.status.code()), (want, Some(0)), "{line}: {error}");
    }

    /// Runs a command line that fails with 1, and compares what it complained of.
    fn complains(&self, line: &str, input: &str, want: &str) {
        let output = self.run(line, input);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(error.contains(want) && output.status.code() == Some(1), "{line}: {:?}\n{out}\n{error}", output.status);
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

fn pod(name: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": "5", "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "busybox"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0,
            "containerID": "miniku://0123456789abcdef", "state": {"running": {"startedAt": "2250-01-01T00:00:00Z"}}}]},
    })
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    let items: Vec<Value> = items.into_iter().collect();
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items})
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[test]
fn get_prints_tables() {
    let server = Recorder::new([
        ("GET /api/v1/namespaces/default/pods?limit=500", 200, list([pod("a"), pod("longer-name")])),
        ("GET /api/v1/namespaces/default/pods?labelSelector=app%3Dweb&limit=500", 200, list([pod("a")])),
        ("GET /api/v1/namespaces/none/pods?limit=500", 200, list([])),
        ("GET /api/v1/pods?limit=500", 200, list([pod("a")])),
        ("GET /apis/apps/v1/namespaces/default/replicasets?limit=500", 200, list([])),
        ("GET /api/v1/namespaces/default/services?limit=500", 200, list([])),
        ("GET /api/v1/namespaces/default/replicationcontrollers?limit=500", 200, list([])),
        ("GET /apis/apps/v1/namespaces/default/deployments?limit=500", 200, list([])),
        ("GET /apis/apps/v1/namespaces/default/daemonsets?limit=500", 200, list([])),
        ("GET /apis/apps/v1/namespaces/default/statefulsets?limit=500", 200, list([])),
        ("GET /apis/batch/v1/namespaces/default/jobs?limit=500", 200, list([])),
        ("GET /apis/batch/v1/namespaces/default/cronjobs?limit=500", 200, list([])),
        ("GET /apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers?limit=500", 200, list([])),
        ("GET /api/v1/namespaces/default/pods/a", 200, pod("a")),
        ("GET /api/v1/namespaces/default/pods/x", 404, status(404, "NotFound", "pods \"x\" not found")),
    ]);
    server.prints(
        "get pods",
        "",
        "NAME          READY   STATUS    RESTARTS   AGE\na             1/1     Running   0          <unknown>\nlonger-name   1/1     Running   0          <unknown>\n",
    );
    server.prints("get po a --no-headers", "", "a     1/1   Running   0     <unknown>\n");
    server.prints(
        "get pods -l app=web --show-labels",
        "",
        "NAME   READY   STATUS    RESTARTS   AGE         LABELS\na      1/1     Running   0          <unknown>   app=web\n",
    );
    server.prints(
        "get pods -A -o wide",
        "",
        "NAMESPACE   NAME   READY   STATUS    RESTARTS   AGE         IP       NODE     NOMINATED NODE   READINESS GATES\n\
         default     a      1/1     Running   0          <unknown>   <none>   node-1   <none>           <none>\n",
    );
    server.prints("get pods,rs -o name", "", "pod/a\npod/longer-name\n");
    server.prints(
        "get all",
        "",
        "NAME              READY   STATUS    RESTARTS   AGE\npod/a             1/1     Running   0          <unknown>\npod/longer-name   1/1     Running   0          <unknown>\n",
    );
    server.prints("get pods -n none", "", "");
    assert_eq!(text(&server.run("get pods -n none", "").stderr), "No resources found in none namespace.\n");
    server.complains("get pod x", "", "Error from server (NotFound): pods \"x\" not found\n");
    server.complains("get pod/x pod/a", "", "Error from server (NotFound): pods \"x\" not found\n");
    server.prints("get pod x --ignore-not-found", "", "");
    server.complains("get gizmos", "", "error: the server doesn't have a resource type \"gizmos\"\n");
    server.complains("get pods -o xml", "", "unable to match a printer");
    server.complains("get", "", "Usage: miniku get");
}

#[test]
fn get_prints_json_and_yaml() {
    let server = Recorder::new([
        ("GET /api/v1/namespaces/default/pods?limit=500", 200, list([json!({"metadata": {"name": "a"}})])),
        (
            "GET /api/v1/nodes/n1",
            200,
            json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}, "x": ["1"]}),
        ),
    ]);
    server.prints("get nodes n1 -o yaml", "", "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\nx:\n- \"1\"\n");
    let output = server.run("get pods -o json", "");
    assert!(text(&output.stdout).starts_with("{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        {\n"));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let want = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""},
        "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}]});
    assert_eq!(value, want);
}

#[test]
fn a_watch_prints_what_changes() {
    let line = |kind: &str, name: &str| json!({"type": kind, "object": pod(name)}).to_string() + "\n";
    let lines = line("ADDED", "b") + &line("DELETED", "a");
    let gone = status(410, "Expired", "too old resource version: 5 (9)");
    let server = Recorder::new([
        ("GET /api/v1/namespaces/default/pods?limit=500", 200, list([pod("a")])),
        (
            "GET /api/v1/namespaces/default/pods?watch=true&allowWatchBookmarks=true&resourceVersion=7",
            200,
            lines.into(),
        ),
        ("GET /api/v1/namespaces/default/pods?watch=true&allowWatchBookmarks=true&resourceVersion=5", 410, gone),
    ]);
    let output = server.run("get pods -w --no-headers", "");
    assert_eq!(
        text(&output.stdout),
        "a     1/1   Running   0     <unknown>\nb     1/1   Running   0     <unknown>\na     1/1   Running   0     <unknown>\n"
    );
    assert_eq!(text(&output.stderr), "Error from server (Expired): too old resource version: 5 (9)\n");
}

#[test]
fn create_takes_files_and_flags() {
    let server = Recorder::new([
        ("POST /api/v1/namespaces/default/pods*", 201, pod("a")),
        ("POST /api/v1/namespaces/warned/pods*", 201, pod("a")),
        (
            "POST /apis/apps/v1/namespaces/default/replicasets*",
            409,
            status(409, "AlreadyExists", "replicasets.apps \"web\" already exists"),
        ),
        (
            "POST /api/v1/namespaces?*",
            201,
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "team"}}),
        ),
    ]);
    server.prints("create pod --name=a --image=nginx:latest", "", "Pod default/a created\n");
    let spec = r#""spec":{"containers":[{"image":"nginx:latest","name":"a"}]}"#;
    let body = format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a","namespace":"default"}},{spec}}}"#);
    let query = "fieldManager=miniku&fieldValidation=Strict";
    assert_eq!(server.asked(), [format!("POST {PODS}?{query} {body}")]);
    server.prints("create pod --name a --image nginx", "", "Pod default/a created\n");
    server.prints("create pod a --image=nginx -- sh -c true", "", "pod/a created\n");
    assert!(server.asked()[1].contains(r#""command":["sh","-c","true"]"#));
    server.complains("create pod", "", "Error: --name and --image are required for creating a pod\n");
    server.complains("create pod a", "", "Error: --name and --image are required for creating a pod\n");
    server.prints("create namespace team", "", "namespace/team created\n");
    server.complains(
        "create rs web --image=x --replicas=3",
        "",
        "Error from server (AlreadyExists): replicasets.apps \"web\" already exists\n",
    );
    let file = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n";
    server.prints("create -f -", file, "pod/a created\n");
    server.prints("create pod -f -", file, "Pod created: a\n");
    server.prints("create -f - --dry-run=client -o yaml", file, &format!("{file}  namespace: default\n"));
    let output = server.run("create -f - -n warned", file);
    assert_eq!(text(&output.stderr), "Warning: unknown field \"x\"\n");
    server.complains("create -f -", "a: [1", "error: error parsing STDIN: unclosed bracket '[' at line 1, column 4");
    server.complains("create -f /none.yaml", "", "error: the path \"/none.yaml\" does not exist\n");
    server.complains(
        "create -f -",
        "apiVersion: v9\nkind: Gizmo\nmetadata: {name: a}",
        "no matches for kind \"Gizmo\" in version \"v9\"",
    );
}

#[test]
fn apply_creates_configures_or_leaves() {
    let file = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web}}\nspec: {containers: [{name: c, image: busybox}]}\n";
    let noted = |labels: Value| {
        let mut object = pod("a");
        let last = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"annotations": {}, "labels": labels, "name": "a", "namespace": "default"},
            "spec": {"containers": [{"image": "busybox", "name": "c"}]}});
        object["metadata"]["labels"] = labels;
        object["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{last}\n")});
        object
    };
    let absent = Recorder::new([("POST /api/v1/namespaces/default/pods*", 201, pod("a"))]);
    absent.prints("apply -f -", file, "pod/a created\n");
    let same = Recorder::new([("GET /api/v1/namespaces/default/pods/a", 200, noted(json!({"app": "web"})))]);
    same.prints("apply -f -", file, "pod/a unchanged\n");
    assert_eq!(same.asked().len(), 1);
    let mut changed = pod("a");
    changed["metadata"]["resourceVersion"] = "6".into();
    let other = Recorder::new([
        ("GET /api/v1/namespaces/default/pods/a", 200, noted(json!({"app": "web", "old": "1"}))),
        ("PATCH /api/v1/namespaces/default/pods/a*", 409, status(409, "Conflict", "the object has been modified")),
        ("PATCH /api/v1/namespaces/default/pods/a*", 200, changed),
    ]);
    other.prints("apply -f -", file, "pod/a configured\n");
    let asked = other.asked();
    assert_eq!(asked.len(), 4, "a conflict is tried again: {asked:?}");
    assert!(
        asked[3].contains(r#""labels":{"old":null}"#) && !asked[3].contains("spec\":{\"containers\":[{\"image"),
        "{asked:?}"
    );
    assert!(asked[3].contains(r#""resourceVersion":"5""#), "{asked:?}");
}

#[test]
fn delete_waits_until_it_is_gone() {
    let not_found = || status(404, "NotFound", "pods \"a\" not found");
    let server = Recorder::new([
        ("DELETE /api/v1/namespaces/default/pods/a", 200, pod("a")),
        ("GET /api/v1/namespaces/default/pods/a", 200, pod("a")),
        ("GET /api/v1/namespaces/default/pods/a", 404, not_found()),
    ]);
    server.prints("delete pod a", "", "pod \"a\" deleted\n");
    let options = r#"{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"}"#;
    let get = format!("GET {PODS}/a");
    assert_eq!(server.asked(), [format!("DELETE {PODS}/a {options}"), get.clone(), get]);
    server.prints("delete po/a --now --cascade=orphan --wait=false", "", "pod \"a\" deleted\n");
    let options = r#"{"apiVersion":"v1","gracePeriodSeconds":1,"kind":"DeleteOptions","propagationPolicy":"Orphan"}"#;
    assert_eq!(server.asked(), [format!("DELETE {PODS}/a {options}")]);
    server.prints("delete pod a --force", "", "pod \"a\" force deleted\n");
    assert!(server.asked()[0].contains("\"gracePeriodSeconds\":0"));

    let stays = Recorder::new([
        ("DELETE /api/v1/namespaces/default/pods/a", 200, pod("a")),
        ("GET /api/v1/namespaces/default/pods/a", 200, pod("a")),
        ("GET /api/v1/namespaces/default/pods?limit=500", 200, list([pod("a")])),
        ("DELETE /api/v1/namespaces/default/pods/x", 404, not_found()),
    ]);
    stays.complains("delete pod a --timeout=50ms", "", "error: timed out waiting for the condition on pods/a\n");
    stays.prints("delete pods --all --wait=false", "", "pod \"a\" deleted\n");
    stays.prints("delete pod x --ignore-not-found", "", "");
    stays.complains("delete pod x", "", "Error from server (NotFound)");
    stays.complains("delete pods", "", "error: resource(s) were provided, but no name was specified\n");
}

#[test]
fn scale_changes_the_wish() {
    let scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web", "resourceVersion": "9"}, "spec": {"replicas": 2}});
    let path = "/apis/apps/v1/namespaces/default/replicasets/web/scale";
    let server = Recorder::new([
        ("GET /apis/apps/v1/namespaces/default/replicasets/web/scale", 200, scale.clone()),
        ("PATCH /apis/apps/v1/namespaces/default/replicasets/web/scale*", 200, scale),
        ("GET /api/v1/namespaces/default/pods/a", 200, pod("a")),
    ]);
    server.prints("scale rs/web --replicas=3", "", "replicaset.apps/web scaled\n");
    let query = "fieldManager=miniku&fieldValidation=Strict";
    assert_eq!(server.asked()[1], format!(r#"PATCH {path}?{query} {{"spec":{{"replicas":3}}}}"#));
    server.prints("scale replicaset web --replicas=3 --current-replicas=2", "", "replicaset.apps/web scaled\n");
    assert!(server.asked()[1].contains(r#"{"metadata":{"resourceVersion":"9"},"#));
    server.complains("scale rs web --replicas=3 --current-replicas=1", "", "error: Expected replicas to be 1, was 2\n");
    server.complains("scale pod a --replicas=3", "", "cannot be scaled");
    server.complains("scale rs web", "", "--replicas <N>");
}

#[test]
fn update_edit_and_register() {
    let server = Recorder::new([
        ("GET /api/v1/namespaces/default/pods/a", 200, pod("a")),
        ("PUT /api/v1/namespaces/default/pods/a*", 200, pod("a")),
        ("PATCH /api/v1/namespaces/default/pods/a*", 422, status(422, "Invalid", "no such image")),
        ("PATCH /api/v1/namespaces/default/pods/a*", 200, pod("a")),
        ("POST /api/v1/nodes*", 201, json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}})),
    ]);
    let file = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
    server.prints("update -f -", file, "pod/a replaced\n");
    assert!(server.asked()[1].contains(r#""resourceVersion":"5""#));
    server.complains("update rs -f -", file, "error: STDIN: it holds a Pod\n");
    server.prints(
        "register node --name n1 --address 10.0.0.1:10250",
        "",
        "Node n1 registered with address 10.0.0.1:10250\n",
    );
    server.asked();
    // Refused once, the file comes back with the reason above it; the editor changes it once more.
    let output = server.run_with_editor("edit pod a", "", "sed -i s/busybox/busybox2/");
    assert_eq!(text(&output.stdout), "pod/a edited\n", "{}", text(&output.stderr));
    let asked = server.asked();
    assert!(
        asked[2].contains(r#"{"metadata":{"resourceVersion":"5"},"spec":{"containers":[{"image":"busybox22","#),
        "{asked:?}"
    );
    let output = server.run_with_editor("edit pod a", "", "true");
    assert_eq!(text(&output.stdout), "pod/a skipped: no changes made\n");
    server.complains("edit pod a", "", "there was a problem with the editor \"false\"");
}

#[test]
fn logs_ps_version_describe() {
    let events = list([
        json!({"metadata": {"name": "e"}, "type": "Normal", "reason": "Started", "message": "Started container c",
        "source": {"component": "kubelet"}, "involvedObject": {"kind": "Pod", "name": "a"}}),
    ]);
    let server = Recorder::new([
        ("GET /api/v1/namespaces/default/pods/a", 200, pod("a")),
        ("GET /api/v1/namespaces/default/pods/a/log?follow=true&tailLines=2&timestamps=true", 200, "one\ntwo\n".into()),
        (
            "GET /api/v1/namespaces/default/pods/a/log?container=z",
            400,
            status(400, "BadRequest", "container z is not valid for pod a"),
        ),
        ("GET /api/v1/pods?limit=500", 200, list([pod("a")])),
        ("GET /version", 200, json!({"gitVersion": "v1.32.0"})),
        ("GET /api/v1/namespaces/default/events*", 200, events),
    ]);
    server.prints("logs -f a --tail 2 --timestamps", "", "one\ntwo\n");
    server.complains("logs a -c z", "", "Error from server (BadRequest): container z is not valid for pod a\n");
    server.prints(
        "ps",
        "",
        "POD   CONTAINER   STATE     NODE     ID             RESTARTS   AGE\na     c           Running   node-1   0123456789ab   0          0s\n",
    );
    server.prints(
        "version",
        "",
        concat!("Client Version: v", env!("CARGO_PKG_VERSION"), "\nServer Version: v1.32.0\n"),
    );
    let output = server.run("describe pod a", "");
    let described = text(&output.stdout);
    assert!(described.starts_with("Name:         a\nNamespace:    default\n"), "{described}");
    assert!(described.ends_with("  Normal  Started  <unknown>  kubelet  Started container c\n"), "{described}");
}

#[test]
fn nobody_there() {
    let server = Recorder::new([]);
    let line = "-s http://127.0.0.1:1 get pods";
    let want = "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n";
    server.complains(line, "", want);
    server.complains("-s https://x get pods", "", "https is not spoken here");
    server.complains("frobnicate", "", "unrecognized subcommand 'frobnicate'");
    assert_eq!(server.run("get --help", "").status.code(), Some(0));
}

/// `miniku get pods | head -1` ends without a complaint.
#[test]
fn a_closed_pipe_is_no_error() {
    let many: Vec<Value> = (0..5000).map(|n| pod(&format!("pod-{n}"))).collect();
    let server = Recorder::new([("GET /api/v1/namespaces/default/pods?limit=500", 200, list(many))]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_miniku"));
    command.args(["get", "pods", "-s", &server.url]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}
