//! What nobody should send, and what nobody wishes for: each is told clearly, in the right place, and nothing is lost.

use crate::http::{PODS, SETS, Server, pod, set, text};
use crate::world::{Daemon, Dir, isolated, miniku, small_disk, stderr, until, wait};
use miniku_core::api::kinds::Kind;
use miniku_core::apiserver::discovery::REVIEWS;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;

fn alone() -> (Server, Daemon, Dir) {
    let dir = Dir::new();
    let daemon = dir.apiserver(&["--store", "memory", "--port", "0"]);
    (daemon.ready(), daemon, dir)
}

fn idle(name: &str) -> Value {
    pod(name, "Always", &[("main", "sleep 1000")])
}

#[test]
fn bodies_that_are_no_objects() {
    isolated(|| {
        let (server, ..) = &alone();
        let post = |path: &str, body: &str| server.post_text(path, body);
        post(PODS, "{").refused(400, "BadRequest");
        post(PODS, "").refused(400, "BadRequest");
        post(PODS, "[]").refused(400, "BadRequest");
        let message =
            post(PODS, r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":7}]}}"#).refused(400, "BadRequest");
        assert!(message.contains("Go struct field Container.spec.containers.name of type string"), "{message}");
        let message =
            post(PODS, r#"{"kind":"Gizmo","apiVersion":"v1","metadata":{"name":"a"}}"#).refused(400, "BadRequest");
        assert!(message.contains("Gizmo"), "{message}");
        server.ask("POST", PODS, "application/yaml", b"a: [b").unwrap().refused(400, "BadRequest");
        post("/api/v1/namespaces/default/gizmos", "{}").refused(404, "NotFound");
        post("/apis/example.com/v1/gizmos", "{}").refused(404, "NotFound");
        server.put(PODS, &idle("a")).refused(405, "MethodNotAllowed");
        let message = server.post("/api/v1/namespaces/none/pods", &idle("a")).refused(404, "NotFound");
        assert!(message.contains(r#"namespaces "none" not found"#), "{message}");

        let fields = |path: &str, object: &Value| server.post(path, object).fields();
        for wrong in ["Not_A_Name", "-a", "a..b", &"a".repeat(300)] {
            let mut one = idle(wrong);
            one["metadata"]["labels"] = json!({});
            assert_eq!(fields(PODS, &one), ["metadata.name"], "{wrong}");
        }
        assert_eq!(fields(PODS, &json!({"metadata": {"name": "a"}, "spec": {"containers": []}})), ["spec.containers"]);
        let mut two = idle("a");
        two["spec"]["containers"] = json!([{"name": "x", "image": "busybox"}, {"name": "x", "image": ""}]);
        let wrong = fields(PODS, &two);
        assert!(
            wrong.contains(&"spec.containers[1].name".to_owned())
                && wrong.contains(&"spec.containers[1].image".to_owned()),
            "{wrong:?}"
        );
        let mut apart = set("a", 1);
        apart["spec"]["template"]["metadata"]["labels"]["app"] = json!("other");
        assert_eq!(fields(SETS, &apart), ["spec.template.metadata.labels"]);
        let mut negative = set("a", 1);
        negative["spec"]["replicas"] = json!(-1);
        assert_eq!(fields(SETS, &negative), ["spec.replicas"]);
        // None of it left a trace.
        assert!(server.list(PODS).is_empty() && server.list(SETS).is_empty());
    });
}

/// Values of all types in all the places where clients have something else. Whatever takes a body gets each of them: none
/// may end the server, nor be too much for it.
#[test]
fn bodies_of_other_types_wherever_one_is_taken() {
    isolated(|| {
        let (server, ..) = &alone();
        server.post(PODS, &idle("a")).ok();
        server.post(SETS, &set("a", 0)).ok();
        let service = json!({"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        server.post("/api/v1/namespaces/default/services", &service).ok();
        let budget = json!({"metadata": {"name": "a"}, "spec": {"selector": {}, "maxUnavailable": 1}});
        server.post("/apis/policy/v1/namespaces/default/poddisruptionbudgets", &budget).ok();

        let mut bodies: Vec<Value> = Vec::new();
        for odd in [json!(null), json!(7), json!("x"), json!([[7]]), json!({"a": {"b": 7}})] {
            for field in ["metadata", "spec", "status", "kind", "target", "deleteOptions", "rules", "data"] {
                bodies.push(json!({field: odd}));
            }
            for field in
                ["name", "labels", "annotations", "finalizers", "ownerReferences", "managedFields", "namespace"]
            {
                bodies.push(json!({"metadata": {field: odd}}));
            }
            for field in ["ports", "template", "containers", "selector", "replicas", "audiences", "boundObjectRef"] {
                bodies.push(json!({"metadata": {"name": "a"}, "spec": {field: odd}, "status": {field: odd}}));
            }
            bodies.push(odd);
        }
        let mut places: Vec<(&str, String)> = Vec::new();
        for kind in Kind::BUILT_IN {
            let row = kind.row();
            let group = if row.group.is_empty() { "/api".into() } else { format!("/apis/{}", row.group) };
            let within = if row.namespaced { "/namespaces/default" } else { "" };
            let all = format!("{group}/{}{within}/{}", row.version, row.plural);
            places.extend(["POST", "DELETE"].map(|method| (method, all.clone())));
            let parts = row.subresources.iter().copied().chain(row.has_status.then_some("status"));
            for one in [format!("{all}/a")].into_iter().chain(parts.map(|part| format!("{all}/a/{part}"))) {
                places.extend(["POST", "PUT", "PATCH"].map(|method| (method, one.clone())));
            }
        }
        places.push(("POST", "/api/v1/namespaces/default/serviceaccounts/default/token".into()));
        places.push(("POST", "/api/v1/namespaces/default/bindings".into()));
        for review in REVIEWS.iter().filter(|review| !review.group.is_empty()) {
            let within = if review.namespaced { "/namespaces/default" } else { "" };
            places.push(("POST", format!("/apis/{}/v1{within}/{}", review.group, review.plural)));
        }
        for flat in ["/pods", "/replicasets", "/nodes"] {
            places.push(("POST", flat.into()));
            places.push(("PUT", format!("{flat}/a")));
        }
        for (method, path) in &places {
            let patches = ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"];
            let types = if *method == "PATCH" { &patches[..] } else { &["json"] };
            for (kind, body) in types.iter().flat_map(|kind| bodies.iter().map(move |body| (kind, body))) {
                // What is deleted is to be asked for something else, too.
                let path =
                    if *method == "DELETE" { format!("{path}?dryRun=All") } else { format!("{path}?fieldManager=m") };
                let answer = server.ask(method, &path, &format!("application/{kind}"), body.to_string().as_bytes());
                let answer = answer.unwrap_or_else(|error| panic!("{method} {path} {kind} {body}: {error}"));
                assert!(answer.code < 500, "{method} {path} {kind} {body}: {}", answer.code);
            }
        }
    });
}

#[test]
fn requests_that_are_too_much_or_from_elsewhere() {
    isolated(|| {
        let (server, ..) = &alone();
        let mut large = idle("a");
        large["metadata"]["annotations"] = json!({"x": "y".repeat(4 << 20)});
        server.post(PODS, &large).refused(413, "RequestEntityTooLarge");
        let head =
            |more: &str| format!("GET {PODS} HTTP/1.1\r\nHost: {}\r\n{more}Connection: close\r\n\r\n", server.address);
        let code = |bytes: &str| server.raw(bytes.as_bytes()).split(' ').nth(1).unwrap_or_default().to_owned();
        assert_eq!(code(&head("")), "200");
        assert_eq!(code(&head("Origin: http://evil.example\r\n")), "403");
        assert_eq!(code(&format!("GET {PODS} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")), "403");
        assert_eq!(code(&head(&format!("X: {}\r\n", "y".repeat(200_000)))), "431");
        assert_eq!(code("nonsense\r\n\r\n"), "400");
        assert!(server.list(PODS).is_empty());
    });
}

#[test]
fn an_image_that_is_not_there() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--store", "memory"]);
        let server = up.ready();
        // MiniKu: three retries, then Failed.
        server.post("/pods", &json!({"spec": {"name": "flat", "image": "nonesuch:1", "command": ["true"]}})).ok();
        let mut own = pod("own", "Always", &[("main", "true")]);
        own["spec"]["containers"][0]["image"] = json!("nonesuch:1");
        server.post(PODS, &own).ok();
        let retried = wait("a retry is told", || {
            let pod = server.get("/pods/flat").json();
            (pod["retry_count"].as_i64() >= Some(1) && pod["status"] == "Pending").then_some(pod)
        });
        assert!(text(&retried["message"]).contains("nonesuch:1"), "{retried}");
        assert!(text(&retried["next_retry_at"]).as_str() > "2020", "{retried}");

        // Kubernetes: it waits, and goes on to try.
        let reason = |want: &'static str| {
            move |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == want
        };
        let waits = server.pod_when("own", |pod| reason("ErrImagePull")(pod) || reason("ImagePullBackOff")(pod));
        assert!(
            text(&waits["status"]["containerStatuses"][0]["state"]["waiting"]["message"]).contains("nonesuch:1"),
            "{waits}"
        );
        server.pod_when("own", reason("ImagePullBackOff"));

        let failed = wait("it fails", || Some(server.get("/pods/flat").json()).filter(|pod| pod["status"] == "Failed"));
        assert!(
            failed["retry_count"].as_i64() >= Some(3) && text(&failed["message"]).contains("nonesuch:1"),
            "{failed}"
        );
        assert_eq!(server.pod("own").unwrap()["status"]["phase"], "Pending");
        let events = server.cli("get events");
        assert!(events.contains("Failed") && events.contains("nonesuch:1"), "{events}");
    });
}

#[test]
fn a_command_that_is_not_there() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--store", "memory"]);
        let server = up.ready();
        let mut wrong = pod("wrong", "Always", &[("main", "")]);
        wrong["spec"]["containers"][0]["command"] = json!(["/no/such/program"]);
        server.post(PODS, &wrong).ok();
        let told = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();
        let pod = server.pod_when("wrong", |pod| told(pod)["reason"] == "RunContainerError");
        let message = text(&told(&pod)["message"]);
        assert!(
            message.contains("/no/such/program") && (message.contains("ENOENT") || message.contains("No such file")),
            "{message}"
        );
        let refused = miniku(&["--server", &server.url(), "logs", "wrong"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("waiting to start"), "{}", stderr(&refused));
        server.cli("delete pod wrong");
        until("nothing is left", || dir.traces().is_empty());
    });
}

#[test]
fn a_full_disk() {
    isolated(|| {
        let dir = Dir::new();
        small_disk(&dir.0, "24m");
        let apiserver = dir.apiserver(&[]);
        let server = apiserver.ready();
        server.post(PODS, &idle("before")).ok();
        let mut filler = fs::File::create(dir.0.join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}

        // What fits into the file as it is may still be taken; what is refused is refused clearly.
        let mut kept = vec!["before".to_owned()];
        let refused = (0..2000).find_map(|count| {
            let mut large = idle(&format!("p{count}"));
            large["metadata"]["annotations"] = json!({"x": "y".repeat(100_000)});
            let reply = server.post(PODS, &large);
            if reply.code == 201 {
                kept.push(format!("p{count}"));
                return None;
            }
            Some(reply)
        });
        let refused = refused.expect("the disk is full");
        let message = refused.refused(500, "InternalError");
        assert!(message.contains("No space left on device"), "{message}");
        // Reading goes on.
        assert_eq!(server.list(PODS).len(), kept.len());

        drop(filler);
        fs::remove_file(dir.0.join("filler")).unwrap();
        let after = wait("there is room again", || {
            let reply = server.post(PODS, &idle("after"));
            (reply.code == 201).then_some(reply)
        });
        assert_eq!(after.code, 201);
        kept.push("after".to_owned());
        apiserver.kill();
        let apiserver = dir.apiserver(&[]);
        let mut names: Vec<String> = apiserver.ready().list(PODS).iter().map(crate::http::name).collect();
        names.sort();
        kept.sort();
        assert_eq!(names, kept);
        drop(apiserver);
        // The disk is busy for as long as it is anybody's.
        nix::mount::umount2(&dir.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    });
}

#[test]
fn a_store_that_is_not_ours_or_damaged() {
    isolated(|| {
        let dir = Dir::new();
        let apiserver = dir.apiserver(&[]);
        apiserver.ready().post(PODS, &idle("a")).ok();
        apiserver.kill();
        let files = fs::read_dir(dir.0.join("store")).unwrap().map(|entry| entry.unwrap().path());
        let file = files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        let good = fs::read(&file).unwrap();

        let check = |bytes: &[u8], want: &str| {
            fs::write(&file, bytes).unwrap();
            let refused = miniku(&["apiserver", "--data-dir", dir.path(), "--port", "0"]);
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(
                said.starts_with("error: ") && said.contains(file.to_str().unwrap()) && said.contains(want),
                "{said}"
            );
            assert!(!said.contains("panicked"), "{said}");
            assert!(fs::read(&file).unwrap() == bytes, "the file was changed");
        };
        check(b"SQLite format 3\0 and so on", "is not a miniku store");
        check(&[0; 100_000], "is not a miniku store");
        check(&good[..good.len() / 3], "is damaged");
        let mut damaged = good.clone();
        let middle = damaged.len() / 64..damaged.len();
        damaged[middle].fill(0xa5);
        check(&damaged, "is damaged");

        fs::write(&file, &good).unwrap();
        let apiserver = dir.apiserver(&[]);
        assert_eq!(apiserver.ready().list(PODS).len(), 1);
    });
}

#[test]
fn a_server_that_is_not_there() {
    isolated(|| {
        let refused = miniku(&["get", "pods"]);
        assert_eq!(refused.status.code(), Some(1));
        let said = stderr(&refused);
        assert_eq!(
            said.trim_end(),
            "The connection to the server 127.0.0.1:8080 was refused - did you specify the right host or port?"
        );

        // A kubelet goes on to try, ever more slowly, and says each failure once.
        let dir = Dir::new();
        let kubelet = Daemon::start(&[
            "kubelet",
            "--name",
            "n",
            "--runtime",
            "fake",
            "--data-dir",
            dir.path(),
            "--watch-initial-delay",
            "100ms",
        ]);
        until("it has tried three times", || {
            kubelet.log().matches("pods: list: connection refused; again in").count() >= 3
        });
        let log = kubelet.log();
        let lines: Vec<&str> = log.lines().collect();
        let mut unique = lines.clone();
        unique.dedup();
        assert_eq!(lines, unique, "a failure is told once");
        let server = dir.apiserver(&[]);
        server.ready().nodes_ready(&[("n", "True")]);
        let (status, _) = kubelet.terminate();
        assert!(status.success());
    });
}
