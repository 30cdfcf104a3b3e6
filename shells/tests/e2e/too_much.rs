//! What a client sends to be too much for a server: nested without end, repeated, very many, for ever. Each is answered
//! with what is wrong, soon, and the server goes on with all others.

use crate::http::{PODS, Server};
use crate::world::{Daemon, Dir, isolated, until};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn alone() -> (Server, Daemon, Dir) {
    let dir = Dir::new();
    let daemon = dir.apiserver(&["--store", "memory", "--port", "0"]);
    (daemon.ready(), daemon, dir)
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

#[test]
fn nesting_ends_somewhere() {
    isolated(|| {
        let dir = Dir::new();
        let daemon = dir.apiserver(&["--port", "0"]);
        let server = daemon.ready();
        let definition = r#"{"metadata":{"name":"gizmos.example.com"},"spec":{"group":"example.com","scope":"Cluster","names":{"plural":"gizmos","kind":"Gizmo"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}"#;
        server.post_text("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).ok();
        let gizmos = "/apis/example.com/v1/gizmos";
        until("the kind is served", || server.get(gizmos).code == 200);
        let ask = |method: &str, path: &str, kind: &str, body: &str| {
            server.ask(method, path, &format!("application/{kind}"), body.as_bytes()).unwrap()
        };
        let nested = |depth: usize, open: &str, close: &str| format!("{}{}", open.repeat(depth), close.repeat(depth));
        let gizmo = |name: &str, below: &str| {
            format!(r#"{{"apiVersion":"example.com/v1","kind":"Gizmo","metadata":{{"name":"{name}"}},"x":{below}}}"#)
        };
        for depth in [200, 100_000] {
            let text = gizmo("deep", &nested(depth, "[", "]"));
            for kind in ["json", "yaml"] {
                ask("POST", gizmos, kind, &text).refused(400, "BadRequest");
            }
            let maps = gizmo("deep", &(r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth)));
            for kind in ["json", "yaml", "merge-patch+json", "apply-patch+yaml"] {
                let (method, path) = match kind.contains("patch") {
                    true => ("PATCH", format!("{gizmos}/deep?fieldManager=m")),
                    false => ("POST", gizmos.to_owned()),
                };
                ask(method, &path, kind, &maps).refused(400, "BadRequest");
            }
            let block: String = (0..depth.min(1500)).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
            ask("POST", gizmos, "yaml", &block).refused(400, "BadRequest");
        }
        // What just fits is stored; each round of a patch puts it deeper.
        for (name, depth) in [("a", 120), ("b", 126)] {
            ask("POST", &format!("{gizmos}?fieldManager=m"), "json", &gizmo(name, &nested(depth, "[", "]"))).ok();
        }
        let round = [
            json!({"op": "move", "from": "/x", "path": "/y"}),
            json!({"op": "add", "path": "/x", "value": {"a": {"a": {}}}}),
            json!({"op": "move", "from": "/y", "path": "/x/a/a/a"}),
        ];
        let rounds: Vec<&Value> = round.iter().cycle().take(9_999).collect();
        let patch = serde_json::to_string(&rounds).unwrap();
        ask("PATCH", &format!("{gizmos}/a"), "json-patch+json", &patch).refused(422, "Invalid");
        // All that is stored is read again.
        daemon.kill();
        let daemon = dir.apiserver(&["--port", "0"]);
        let again = daemon.ready();
        assert!(["a", "b"].iter().all(|name| again.get(&format!("{gizmos}/{name}")).code == 200));
    });
}

#[test]
fn bodies_that_are_more_than_they_seem() {
    isolated(|| {
        let (server, ..) = &alone();
        let yaml = |text: &str| server.ask("POST", MAPS, "application/yaml", text.as_bytes()).unwrap();
        // Nine levels of nine aliases each.
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        let began = Instant::now();
        yaml(&bomb).refused(400, "BadRequest");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        yaml("a: &a [*a]").refused(400, "BadRequest");
        yaml("metadata: {name: a}\ndata: {k: a, k: b}").refused(400, "BadRequest");
        let strict = format!("{MAPS}?fieldValidation=Strict");
        let twice = r#"{"metadata":{"name":"a"},"data":{"k":"1","k":"2"}}"#;
        let message = server.post_text(&strict, twice).refused(400, "BadRequest");
        assert!(message.contains(r#"strict decoding error: duplicate field "data.k""#), "{message}");
        let warned = server.post_text(&format!("{MAPS}?dryRun=All"), twice);
        assert!(warned.code == 201 && warned.warnings[0].contains("duplicate field"), "{warned:?}");
        for wrong in [r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud800x""#] {
            let body = format!(r#"{{"metadata":{{"name":"a"}},"data":{{"k":{wrong}}}}}"#);
            server.post_text(MAPS, &body).refused(400, "BadRequest");
        }
        let body = [b"{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"".as_slice(), &[0xff, 0xfe], b"\"}}"].concat();
        server.ask("POST", MAPS, "application/json", &body).unwrap().refused(400, "BadRequest");
        assert!(server.list(MAPS).is_empty());
    });
}

/// Each of these costs what it is long, and not the square of that: a list of a hundred thousand would take an hour.
#[test]
fn lists_of_very_many_items() {
    isolated(|| {
        let (server, ..) = &alone();
        let ask = |method: &str, path: &str, kind: &str, body: &Value| {
            let began = Instant::now();
            let answer = server.ask(method, path, &format!("application/{kind}"), body.to_string().as_bytes()).unwrap();
            assert!(answer.code < 500, "{path} {kind}: {}", answer.code);
            assert!(began.elapsed() < Duration::from_secs(20), "{path} {kind}: {:?}", began.elapsed());
            answer
        };
        let many = |item: &dyn Fn(u32) -> Value, count: u32| (0..count).map(item).collect::<Vec<_>>();
        server.post(MAPS, &map("a")).ok();
        let finalizers = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "finalizers": many(&|nth| format!("x/{nth}").into(), 100_000)}});
        ask("PATCH", &format!("{MAPS}/a?fieldManager=m"), "apply-patch+yaml", &finalizers).ok();
        ask(
            "PATCH",
            &format!("{MAPS}/a"),
            "strategic-merge-patch+json",
            &json!({"metadata":
            {"$deleteFromPrimitiveList/finalizers": many(&|nth| format!("x/{nth}").into(), 99_000)}}),
        );
        let owners = many(&|nth| json!({"apiVersion": "v1", "kind": "A", "name": "a", "uid": nth.to_string()}), 20_000);
        ask("PATCH", &format!("{MAPS}/a"), "merge-patch+json", &json!({"metadata": {"ownerReferences": owners}}));
        ask("DELETE", &format!("{MAPS}/a"), "json", &json!({}));
        ask(
            "PATCH",
            &format!("{MAPS}/a"),
            "merge-patch+json",
            &json!({"metadata": {"finalizers": many(&|nth| format!("x/{nth}").into(), 50_000)}}),
        );

        let services = "/api/v1/namespaces/default/services";
        let service = |count| json!({"metadata": {"name": "a"}, "spec": {"ports": many(&|nth| json!({"name": format!("p{nth}"), "port": nth % 65535 + 1}), count)}});
        ask("POST", services, "json", &service(30_000));
        ask("PUT", &format!("{services}/a"), "json", &service(30_000));

        // What a pod is given at its creation may not be missing later.
        let mut pod = json!({"metadata": {"name": "a"},
            "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}]}});
        pod["spec"]["tolerations"] =
            many(&|nth| json!({"key": format!("k{nth}"), "operator": "Exists"}), 40_000).into();
        pod["spec"]["volumes"] = many(&|nth| json!({"name": format!("v{nth}"), "emptyDir": {}}), 10_000).into();
        pod["spec"]["containers"][0]["env"] = many(&|nth| json!({"name": format!("E{nth}")}), 20_000).into();
        ask("POST", PODS, "json", &pod).ok();
        ask("PUT", &format!("{PODS}/a"), "json", &pod).ok();
        pod["spec"]["containers"] = many(&|nth| json!({"name": format!("c{nth}"), "image": "i"}), 20_000).into();
        pod["metadata"]["name"] = "b".into();
        ask("POST", &format!("{PODS}?dryRun=All"), "json", &pod);
        // Wrong all through, in many ways.
        pod["spec"]["containers"] = many(&|_| json!({"name": "", "ports": [{"containerPort": -1}]}), 30_000).into();
        let errors = ask("POST", PODS, "json", &pod).fields();
        assert!(!errors.is_empty() && errors.len() <= 200, "{}", errors.len());
        let codes = json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": many(&|nth| (200_000 - nth).into(), 200_000)}}]}}});
        ask("POST", "/apis/batch/v1/namespaces/default/jobs", "json", &codes).fields();

        server.post(&format!("{MAPS}?fieldManager=m"), &map("b")).ok();
        let operations = many(&|_| json!({"op": "add", "path": "/data/l/0", "value": 1}), 9_999);
        let list = json!({"op": "add", "path": "/data", "value": {"l": many(&|_| 1.into(), 500_000)}});
        ask("PATCH", &format!("{MAPS}/b"), "json-patch+json", &[vec![list], operations].concat().into())
            .refused(413, "RequestEntityTooLarge");
        let selector = (0..3_000).map(|nth| format!("a{nth}")).collect::<Vec<_>>();
        assert_eq!(server.get(&format!("{PODS}?labelSelector={}", selector[..2_000].join(","))).code, 200);
        let long = server.get(&format!("{PODS}?labelSelector=x%20in%20({})", vec!["a"; 10_000].join(",")));
        assert_eq!(long.code, 414, "{long:?}");
    });
}

#[test]
fn a_watch_that_is_to_last_for_ever() {
    isolated(|| {
        let (server, ..) = &alone();
        let mut watch = server.watch(&format!("{MAPS}?watch=1&timeoutSeconds=18446744073709551615"));
        server.post(MAPS, &map("a")).ok();
        assert_eq!(watch.event(), ("ADDED".into(), "a".into()));
        let options = json!({"gracePeriodSeconds": i64::MAX});
        let asked = server.ask("DELETE", &format!("{MAPS}/a"), "application/json", options.to_string().as_bytes());
        asked.unwrap().ok();
        assert_eq!(watch.event(), ("DELETED".into(), "a".into()));
    });
}

/// Who does not read its watch loses it, and costs nobody else anything.
#[test]
fn a_watcher_that_never_reads() {
    isolated(|| {
        let (server, ..) = &alone();
        server.post(MAPS, &map("a")).ok();
        let watches = || {
            let page = server.get("/metrics").text;
            let line = page.lines().find_map(|line| line.strip_prefix("miniku_watches ")).map(str::to_owned);
            line.and_then(|count| count.parse::<u32>().ok()).expect("it is there")
        };
        let mut stuck = TcpStream::connect(&server.address).unwrap();
        write!(stuck, "GET {MAPS}?watch=1 HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).unwrap();
        let mut reads = server.watch(&format!("{MAPS}?watch=1"));
        assert_eq!(reads.event(), ("ADDED".into(), "a".into()));
        until("both watch", || watches() == 2);
        // More than the sockets hold, and more events than may wait.
        let filling = "x".repeat(2_000);
        let mut count = 0;
        while watches() == 2 {
            assert!(count < 20_000, "the watch that nobody reads is still there");
            for _ in 0..500 {
                count += 1;
                server.patch(&format!("{MAPS}/a"), &json!({"data": {"n": count.to_string(), "x": filling}})).ok();
                assert_eq!(reads.event().0, "MODIFIED");
            }
        }
    });
}
