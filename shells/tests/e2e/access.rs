//! A cluster in which everybody says who they are: daemons that run apart, each with a token of its own.

use crate::http::Server;
use crate::world::{Daemon, Dir, MINIKU, isolated, run, stderr, stdout, until};
use std::fs;
use std::path::PathBuf;
use std::process::Output;

const URL: &str = "http://127.0.0.1:8080";
const TOKENS: &str = r#"
secret-of-root,root,1,"system:masters"
secret-of-scheduler,system:kube-scheduler,2
secret-of-controllers,system:kube-controller-manager,3
secret-of-node,system:node:n,4,"system:nodes"
secret-of-jane,jane,5
"#;

/// Where tokens are.
struct Tokens(Dir);

impl Tokens {
    fn new() -> Tokens {
        let dir = Dir::new();
        fs::create_dir_all(&dir.0).unwrap();
        fs::write(dir.0.join("tokens.csv"), TOKENS).unwrap();
        for who in ["root", "scheduler", "controllers", "node", "jane"] {
            fs::write(dir.0.join(who), format!("secret-of-{who}\n")).unwrap();
        }
        Tokens(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().to_owned() + "/" + name
    }

    fn daemon(&self, name: &str, who: &str, more: &[&str]) -> Daemon {
        let quick = ["--watch-initial-delay", "100ms", "--watch-max-delay", "400ms"];
        let flags = [name, "--server", URL, "--token-file", &self.path(who)];
        Daemon::start(&[&flags, &quick[..], more].concat())
    }

    /// A command line of somebody.
    fn cli(&self, who: &str, line: &[&str]) -> Output {
        run(MINIKU, &[&["--server", URL, "--token-file", &self.path(who)], line].concat())
    }

    #[track_caller]
    fn done(&self, who: &str, line: &[&str]) -> String {
        let output = self.cli(who, line);
        assert!(output.status.success(), "{who}: {line:?}: {}", stderr(&output));
        stdout(&output)
    }
}

/// What a node's own port answers somebody: the code.
fn kubelet(path: &str, token: &str) -> String {
    let header = format!("Authorization: Bearer {token}");
    let url = format!("http://127.0.0.1:10250{path}");
    let who: &[&str] = if token.is_empty() { &[] } else { &["-H", &header] };
    stdout(&run("curl", &[&["-s", "-o", "/dev/null", "-w", "%{http_code}", &url], who].concat()))
}

#[test]
fn daemons_with_tokens_make_a_cluster() {
    isolated(|| {
        let (store, node, tokens) = (Dir::new(), Dir::new(), Tokens::new());
        let flags = ["--token-auth-file", &tokens.path("tokens.csv"), "--authorization", "rbac"];
        let apiserver = store.apiserver(&flags);
        let lonely = Daemon::start(&["scheduler", "--server", URL, "--watch-initial-delay", "100ms"]);
        lonely.says("system:anonymous");
        drop(lonely);

        let _scheduler = tokens.daemon("scheduler", "scheduler", &[]);
        let _controllers = tokens.daemon("controller", "controllers", &[]);
        let _kubelet = tokens.daemon("kubelet", "node", &["--name", "n", "--data-dir", node.path()]);
        let script = "echo hello; while true; do sleep 1; done";
        tokens.done("root", &["create", "rs", "a", "--image=busybox", "--replicas=2", "--", "sh", "-c", script]);
        let phases = ["get", "pods", "-o", "jsonpath={.items[*].status.phase}"];
        until("two pods run", || tokens.done("root", &phases) == "Running Running");
        let names = tokens.done("root", &["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"]);
        let pod = names.split(' ').next().unwrap();
        let uid = tokens.done("root", &["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"]);

        // The API server shows the kubelet who it is.
        until("the log is there", || tokens.done("root", &["logs", pod]) == "hello\n");
        assert_eq!(tokens.done("root", &["exec", pod, "--", "echo", "from", "within"]), "from within\n");
        let file = tokens.0.0.join("copied");
        tokens.done("root", &["cp", &format!("{pod}:/etc/passwd"), file.to_str().unwrap()]);
        assert!(fs::read_to_string(&file).unwrap().contains("root:"), "{file:?}");
        tokens.done("root", &["cp", file.to_str().unwrap(), &format!("{pod}:/tmp")]);
        let back = tokens.done("root", &["exec", pod, "--", "cat", "/tmp/copied"]);
        assert_eq!(back, fs::read_to_string(&file).unwrap());
        let refused = tokens.cli("jane", &["logs", pod]);
        assert!(stderr(&refused).contains("User \"jane\" cannot get resource \"pods\""), "{}", stderr(&refused));

        // Whoever else comes to the node's own port is asked about.
        let log = format!("/containerLogs/{uid}/a/0");
        assert_eq!(kubelet("/healthz", ""), "200");
        for path in ["/metrics", &log] {
            let codes =
                ["", "nonsense", "secret-of-jane", "secret-of-node", "secret-of-root"].map(|who| kubelet(path, who));
            assert_eq!(codes, ["403", "401", "403", "403", "200"], "{path}");
        }
        let knock = run(
            "curl",
            &[
                "-s",
                "-i",
                "-m",
                "5",
                "-H",
                "Connection: Upgrade",
                "-H",
                "Upgrade: websocket",
                "-H",
                "Sec-WebSocket-Version: 13",
                "-H",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                "-H",
                "Sec-WebSocket-Protocol: v5.channel.k8s.io",
                &format!("http://127.0.0.1:10250/exec/default/{pod}/{uid}/a/0?command=id&stdout=true"),
            ],
        );
        assert!(stdout(&knock).starts_with("HTTP/1.1 403"), "{}", stdout(&knock));

        // A right is enough: no more than it.
        tokens.done("root", &["apply", "-f", &watcher(&tokens)]);
        until("jane may read counts", || kubelet("/metrics", "secret-of-jane") == "200");
        assert_eq!(kubelet(&log, "secret-of-jane"), "403");

        // What the nodes' tokens cannot do.
        for line in [&["create", "rs", "b", "--image=busybox"][..], &["exec", pod, "--", "id"]] {
            let refused = tokens.cli("node", line);
            assert!(stderr(&refused).contains("User \"system:node:n\" cannot "), "{}", stderr(&refused));
        }
        // Whom nobody can ask about is not let in, after what is remembered is forgotten.
        assert_eq!(kubelet("/metrics", "secret-of-nobody"), "401");
        apiserver.kill();
        assert_eq!(kubelet("/metrics", "secret-of-somebody"), "503");
    });
}

fn watcher(tokens: &Tokens) -> String {
    let path: PathBuf = tokens.0.0.join("watcher.yaml");
    let text = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: watcher}
rules: [{verbs: [get], apiGroups: [""], resources: [nodes/metrics]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: watcher}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}]
roleRef: {kind: ClusterRole, apiGroup: rbac.authorization.k8s.io, name: watcher}
"#;
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn in_one_process_nodes_are_guarded_too() {
    isolated(|| {
        let (dir, tokens) = (Dir::new(), Tokens::new());
        let flags = ["--token-auth-file", &tokens.path("tokens.csv"), "--authorization", "rbac", "--nodes", "1"];
        let _up = dir.up(&flags);
        let script = "echo hello; while true; do sleep 1; done";
        tokens.done("root", &["run", "a", "--image=busybox", "--", "sh", "-c", script]);
        until("the log is there", || stdout(&tokens.cli("root", &["logs", "a"])) == "hello\n");
        let path = "jsonpath={.items[0].status.daemonEndpoints.kubeletEndpoint.Port}";
        let port = tokens.done("root", &["get", "nodes", "-o", path]);
        let answer = Server::at(&format!("127.0.0.1:{port}")).get("/metrics");
        let message = answer.refused(403, "Forbidden");
        assert!(message.contains("User \"system:anonymous\" cannot get resource \"nodes/metrics\""), "{message}");

        // A token of a service account, as a program in a pod would bring it.
        let token = tokens.done("root", &["create", "token", "default"]);
        let robot = ["--server", URL, "--token", token.trim(), "auth", "whoami", "-o", "json"];
        let whoami = stdout(&run(MINIKU, &robot));
        assert!(whoami.contains("system:serviceaccount:default:default"), "{whoami}");
        let config = tokens.0.0.join("kubeconfig");
        let text = format!(
            "{{current-context: a, clusters: [{{name: a, cluster: {{server: '{URL}'}}}}], users: [{{name: a, user: {{tokenFile: root}}}}], \
             contexts: [{{name: a, context: {{cluster: a, user: a, namespace: kube-system}}}}]}}"
        );
        fs::write(&config, text).unwrap();
        let listed = run(MINIKU, &["--kubeconfig", config.to_str().unwrap(), "get", "sa", "-o", "name"]);
        assert_eq!(stdout(&listed), "serviceaccount/default\n", "{}", stderr(&listed));
    });
}
