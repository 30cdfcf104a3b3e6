//! The API as clients meet it.

use crate::http::{PODS, SETS, Server, name, pod, set, shell, text, uid};
use crate::world::{Daemon, Dir, isolated, until};
use serde_json::{Value, json};
use std::thread;

/// A server that keeps nothing, and nobody who acts on what it has.
fn alone() -> (Server, Daemon, Dir) {
    let dir = Dir::new();
    let daemon = dir.apiserver(&["--store", "memory", "--port", "0"]);
    (daemon.ready(), daemon, dir)
}

fn idle(name: &str) -> Value {
    pod(name, "Always", &[("main", "sleep 1000")])
}

#[test]
fn the_life_of_an_object() {
    isolated(|| {
        let (server, ..) = &alone();
        let made = server.post(PODS, &idle("a"));
        assert_eq!(made.code, 201, "{made:?}");
        let made = made.json();
        let meta = &made["metadata"];
        assert_eq!(
            (&made["kind"], &made["apiVersion"], &made["status"]["phase"]),
            (&json!("Pod"), &json!("v1"), &json!("Pending"))
        );
        assert!(text(&meta["uid"]).len() == 36 && text(&meta["creationTimestamp"]).ends_with('Z'), "{meta}");
        assert_eq!(server.get(&format!("{PODS}/a")).ok(), made);
        assert_eq!(server.post(PODS, &idle("a")).refused(409, "AlreadyExists"), r#"pods "a" already exists"#);
        assert_eq!(server.get(&format!("{PODS}/none")).refused(404, "NotFound"), r#"pods "none" not found"#);

        // Replacing needs the newest revision, or none.
        let path = format!("{PODS}/a");
        let mut wish = made.clone();
        wish["metadata"]["labels"] = json!({"x": "1"});
        let replaced = server.put(&path, &wish).ok();
        assert_ne!(replaced["metadata"]["resourceVersion"], meta["resourceVersion"]);
        assert_eq!(replaced["metadata"]["uid"], meta["uid"]);
        let message = server.put(&path, &wish).refused(409, "Conflict");
        assert!(
            message.contains("the object has been modified; please apply your changes to the latest version"),
            "{message}"
        );
        assert_eq!(server.get(&path).ok(), replaced);

        // A merge patch: null takes away.
        let patched = server
            .patch(&path, &json!({"metadata": {"labels": {"x": null, "y": "2"}, "annotations": {"z": "3"}}}))
            .ok();
        assert_eq!(
            (&patched["metadata"]["labels"], &patched["metadata"]["annotations"]["z"]),
            (&json!({"y": "2"}), &json!("3"))
        );
        let operations = br#"[{"op": "test", "path": "/metadata/labels/y", "value": "2"}]"#;
        assert_eq!(server.ask("PATCH", &path, "application/json-patch+json", operations).unwrap().ok(), patched);
        let other = server.ask("PATCH", &path, "application/x-patch", b"[]").unwrap();
        other.refused(415, "UnsupportedMediaType");

        // The status is written by itself, and nothing else with it.
        let status = json!({"metadata": {"labels": {"y": "no"}}, "status": {"message": "by hand"}});
        let patched = server.patch(&format!("{path}/status"), &status).ok();
        assert_eq!(
            (&patched["status"]["message"], &patched["metadata"]["labels"]["y"]),
            (&json!("by hand"), &json!("2"))
        );
        let patched = server.patch(&path, &json!({"status": {"message": "not so"}})).ok();
        assert_eq!(patched["status"]["message"], "by hand");

        // A pod without a node has nothing to end, so it is gone at once.
        server.delete(&path).ok();
        server.get(&path).refused(404, "NotFound");
        server.delete(&path).refused(404, "NotFound");
    });
}

#[test]
fn a_binding_is_made_once_and_a_bound_pod_waits_for_its_node() {
    isolated(|| {
        let (server, ..) = &alone();
        for node in ["n1", "n2"] {
            server.post("/api/v1/nodes", &json!({"metadata": {"name": node}})).ok();
        }
        server.post(PODS, &idle("a")).ok();
        let path = format!("{PODS}/a");
        let bind_at = |path: &str, node: &str| {
            server.post(path, &json!({"metadata": {"name": "a"}, "target": {"kind": "Node", "name": node}}))
        };
        let bind = |node: &str| bind_at(&format!("{path}/binding"), node);
        let done = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}"#;
        let told = bind_at(&format!("{path}/binding?dryRun=All"), "n1");
        assert_eq!((told.code, told.text.trim_end()), (201, done));
        let told = bind("n1");
        assert_eq!((told.code, told.text.trim_end()), (201, done));
        let bound = server.get(&path).ok();
        assert_eq!(bound["spec"]["nodeName"], "n1");
        bind("n2").refused(409, "Conflict");
        assert!(bind("").code == 422);
        // The same by the kind's own path, which has the name in the body alone.
        let bindings = "/api/v1/namespaces/default/bindings";
        bind_at(bindings, "n2").refused(409, "Conflict");
        server.post(PODS, &idle("b")).ok();
        let b = json!({"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n2"}});
        let told = server.post(bindings, &b);
        assert_eq!((told.code, told.text.trim_end()), (201, done));
        assert_eq!(server.get(&format!("{PODS}/b")).ok()["spec"]["nodeName"], "n2");
        server.get(bindings).refused(405, "MethodNotAllowed");
        server.delete(bindings).refused(405, "MethodNotAllowed");

        let leaving = server.delete(&format!("{path}?gracePeriodSeconds=30")).ok();
        assert_eq!(leaving["metadata"]["deletionGracePeriodSeconds"], 30);
        assert!(!leaving["metadata"]["deletionTimestamp"].is_null());
        assert_eq!(server.get(&path).ok()["metadata"]["uid"], bound["metadata"]["uid"]);
        // What is leaving may be hurried, and not held back.
        server.delete(&format!("{path}?gracePeriodSeconds=60")).ok();
        assert_eq!(server.get(&path).ok()["metadata"]["deletionGracePeriodSeconds"], 30);
        server.delete(&format!("{path}?gracePeriodSeconds=0")).ok();
        server.get(&path).refused(404, "NotFound");
    });
}

#[test]
fn lists_are_selected_by_labels_and_fields() {
    isolated(|| {
        let (server, ..) = &alone();
        for (name, tier, env) in [("a", "web", "prod"), ("b", "web", "test"), ("c", "db", "prod")] {
            let mut one = idle(name);
            one["metadata"]["labels"] = json!({"tier": tier, "env": env});
            server.post(PODS, &one).ok();
        }
        let names = |query: &str| server.list(&format!("{PODS}?{query}")).iter().map(name).collect::<Vec<_>>().concat();
        for (query, want) in [
            ("", "abc"),
            ("labelSelector=tier%3Dweb", "ab"),
            ("labelSelector=tier%21%3Dweb", "c"),
            ("labelSelector=tier%3Dweb,env+in+(prod,stage)", "a"),
            ("labelSelector=env+notin+(prod)", "b"),
            ("labelSelector=tier,!absent", "abc"),
            ("labelSelector=absent", ""),
            ("fieldSelector=metadata.name%3Db", "b"),
            ("fieldSelector=metadata.name%21%3Db,status.phase%3DPending", "ac"),
            ("fieldSelector=spec.nodeName%3Dn1", ""),
        ] {
            assert_eq!(names(query), want, "{query}");
        }
        server.get(&format!("{PODS}?labelSelector=a+in+b")).refused(400, "BadRequest");
        server.get(&format!("{PODS}?fieldSelector=spec.nonsense%3D1")).refused(400, "BadRequest");
        // Over all namespaces, and in another one.
        assert_eq!(server.list("/api/v1/pods").len(), 3);
        assert!(server.list("/api/v1/namespaces/kube-system/pods").is_empty());
    });
}

#[test]
fn a_watch_begins_where_a_list_ended() {
    isolated(|| {
        let (server, ..) = &alone();
        server.post(PODS, &idle("old")).ok();
        let from = text(&server.get(PODS).ok()["metadata"]["resourceVersion"]);
        server.post(PODS, &idle("a")).ok();
        let mut watch = server.watch(&format!("{PODS}?watch=true&resourceVersion={from}"));
        let mut everything = server.watch(&format!("{PODS}?watch=1&labelSelector=name%3Dold"));
        server.patch(&format!("{PODS}/a"), &json!({"metadata": {"labels": {"name": "old"}}})).ok();
        server.delete(&format!("{PODS}/a")).ok();
        let event = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        assert_eq!(
            [watch.event(), watch.event(), watch.event()],
            [event("ADDED", "a"), event("MODIFIED", "a"), event("DELETED", "a")]
        );
        // One that did not match before is new to who selects.
        assert_eq!(
            [everything.event(), everything.event(), everything.event()],
            [event("ADDED", "old"), event("ADDED", "a"), event("DELETED", "a")]
        );
        // A watch ends when it was asked to.
        let mut short = server.watch(&format!(
            "{PODS}?watch=true&resourceVersion={from}&timeoutSeconds=1&fieldSelector=metadata.name%3Dnone"
        ));
        assert_eq!(short.next(), None);
    });
}

#[test]
fn a_quiet_watch_hears_how_far_the_world_is() {
    isolated(|| {
        let (server, ..) = &alone();
        let mut watch = server.watch(&format!("{PODS}?watch=true&allowWatchBookmarks=true&labelSelector=none%3Dnone"));
        let revision = text(&server.post(PODS, &idle("a")).ok()["metadata"]["resourceVersion"]);
        let bookmark = watch.next().unwrap();
        assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!("Pod")));
        let at: u64 = text(&bookmark["object"]["metadata"]["resourceVersion"]).parse().unwrap();
        assert!(at >= revision.parse().unwrap(), "{bookmark} after {revision}");
    });
}

#[test]
fn a_watch_from_too_long_ago_is_gone() {
    isolated(|| {
        let (server, ..) = &alone();
        server.post(PODS, &idle("a")).ok();
        let from = text(&server.get(PODS).ok()["metadata"]["resourceVersion"]);
        thread::scope(|scope| {
            for client in 0..4 {
                let server = Server::at(&server.address);
                scope.spawn(move || {
                    server.post(PODS, &idle(&format!("c{client}"))).ok();
                    for count in 0..1100 {
                        let path = format!("{PODS}/c{client}");
                        server.patch(&path, &json!({"metadata": {"labels": {"n": count.to_string()}}})).ok();
                    }
                });
            }
        });
        let gone = server.get(&format!("{PODS}?watch=true&resourceVersion={from}&timeoutSeconds=5"));
        // Kubernetes says it as the first event of the stream, or as the answer; clients know both.
        let status: Value = match gone.code {
            200 => serde_json::from_str::<Value>(gone.text.lines().next().unwrap()).unwrap()["object"].clone(),
            _ => gone.json(),
        };
        assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")), "{gone:?}");
        let now = text(&server.get(PODS).ok()["metadata"]["resourceVersion"]);
        let mut watch = server.watch(&format!("{PODS}?watch=true&resourceVersion={now}"));
        server.delete(&format!("{PODS}/a")).ok();
        assert_eq!(watch.event(), ("DELETED".to_owned(), "a".to_owned()));
    });
}

#[test]
fn fields_without_effect_are_kept_and_named() {
    isolated(|| {
        let (server, ..) = &alone();
        let mut one = idle("a");
        one["spec"]["runtimeClassName"] = json!("high");
        let made = server.post(PODS, &one);
        assert_eq!(made.code, 201);
        assert!(made.warnings.iter().any(|warning| warning.starts_with("299 - \"spec.runtimeClassName: ")), "{made:?}");
        assert_eq!(server.get(&format!("{PODS}/a")).ok()["spec"]["runtimeClassName"], "high");
        assert_eq!(server.post(PODS, &idle("b")).warnings, [""; 0]);

        // A policy that an image has anyhow is none that somebody wrote: stored objects go out and in with it.
        let mut one = idle("c");
        one["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
        let told = r#"299 - "spec.containers[0].imagePullPolicy: kept, but without effect in miniku""#;
        assert_eq!(server.post(PODS, &one).warnings, [told]);
        let mut b = server.get(&format!("{PODS}/b")).ok();
        b["metadata"]["labels"] = json!({"x": "y"});
        let again = server.put(&format!("{PODS}/b"), &b);
        assert_eq!((again.code, &again.warnings[..]), (200, &[][..]), "{again:?}");

        // What the flat dialect has no field for is left out, and told.
        let flat = json!({"spec": {"name": "d", "image": "busybox", "imagePullPolicy": "Always"}, "replicas": 2});
        let left_out = |path: &str| format!("299 - \"{path}: not a field of this dialect, and left out\"");
        let want = [left_out("replicas"), left_out("spec.imagePullPolicy")];
        assert_eq!(server.post("/pods", &flat).warnings, want);
        assert_eq!(server.put("/pods/d", &flat).warnings, want);
        assert_eq!(server.get("/pods").warnings, [""; 0]);
    });
}

#[test]
fn what_a_set_owns_goes_with_it() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--runtime", "fake", "--store", "memory"]);
        let server = up.ready();
        let owner = server.post(SETS, &set("a", 3)).ok();
        for pod in server.running("app=a", 3) {
            let reference = &pod["metadata"]["ownerReferences"][0];
            assert_eq!((&reference["uid"], &reference["controller"]), (&json!(uid(&owner)), &json!(true)));
        }
        // A pod that fits is adopted, and one too many goes.
        let mut stray = idle("stray");
        stray["metadata"]["labels"] = json!({"app": "a"});
        server.post(PODS, &stray).ok();
        until("three are left", || server.list(PODS).len() == 3);
        // Deleted in the foreground the set waits for its pods; as an orphan it leaves them.
        server.delete(&format!("{SETS}/a?propagationPolicy=Foreground")).ok();
        until("all are gone", || server.list(PODS).is_empty() && server.get(&format!("{SETS}/a")).code == 404);
        server.post(SETS, &set("b", 2)).ok();
        server.running("app=b", 2);
        server.delete(&format!("{SETS}/b?propagationPolicy=Orphan")).ok();
        until("the set is gone", || server.get(&format!("{SETS}/b")).code == 404);
        assert!(
            server
                .running("app=b", 2)
                .iter()
                .all(|pod| pod["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty))
        );
    });
}

#[test]
fn mini_kus_objects_with_curl() {
    isolated(|| {
        let dir = Dir::new();
        let up = dir.up(&["--runtime", "fake", "--store", "memory"]);
        let server = up.ready();
        server.nodes_ready(&[("node-1", "True"), ("node-2", "True")]);
        let curl = |line: &str| {
            let out = shell(&format!(r"curl -s -w '\n%{{http_code}}' {line}"));
            let (body, code) = out.rsplit_once('\n').unwrap();
            (code.to_owned(), body.trim_end().to_owned())
        };
        let is =
            |line: &str, code: &str, body: &str| assert_eq!(curl(line), (code.to_owned(), body.to_owned()), "{line}");
        let (code, pod) =
            curl(r#"-X POST 127.0.0.1:8080/pods -d '{"spec":{"name":"p","image":"alpine","command":["sleep","9"]}}'"#);
        assert_eq!(code, "201", "{pod}");
        until("it runs", || curl("127.0.0.1:8080/pods/p").1.contains(r#""status":"Running""#));
        is("127.0.0.1:8080/pods/none", "404", "pod not found");
        is("-X DELETE 127.0.0.1:8080/pods/none", "204", "");
        is("-X DELETE 127.0.0.1:8080/pods/p", "204", "");
        until("it is gone", || curl("127.0.0.1:8080/pods").1 == "[]");
        let (code, message) = curl("-X POST 127.0.0.1:8080/pods -d '{'");
        assert!(
            code == "400" && message.starts_with("invalid request body: ") && !message.contains('\n'),
            "{code} {message}"
        );
        let (code, message) = curl(r#"-X POST 127.0.0.1:8080/replicasets -d '{"name":"Not A Name"}'"#);
        assert!(code.starts_with('4') && message.contains("name"), "{code} {message}");
        let (code, nodes) = curl("127.0.0.1:8080/nodes");
        assert_eq!(code, "200");
        let nodes: Value = serde_json::from_str(&nodes).unwrap();
        assert_eq!((&nodes[0]["name"], &nodes[1]["status"]), (&json!("node-1"), &json!("Ready")));
        is("-X PATCH 127.0.0.1:8080/pods", "405", "method not allowed");
    });
}
