//! A client that says what was answered, whatever it was.

use crate::world::{miniku, run, stderr, stdout, until, wait};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub warnings: Vec<String>,
    pub text: String,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The object, of a request that must have succeeded.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.code), "{self:?}");
        self.json()
    }

    /// Checks that it is a `Status` with this code and reason, and gives its message.
    #[track_caller]
    pub fn refused(&self, code: u16, reason: &str) -> String {
        let status = self.json();
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(
            (&status["kind"], &status["status"], &status["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code))
        );
        assert_eq!(status["reason"], reason, "{self:?}");
        status["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields that a 422 complains about.
    #[track_caller]
    pub fn fields(&self) -> Vec<String> {
        self.refused(422, "Invalid");
        let causes = self.json()["details"]["causes"].as_array().cloned().unwrap_or_default();
        causes.iter().map(|cause| cause["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// An API server.
#[derive(Clone)]
pub struct Server {
    pub address: String,
    agent: ureq::Agent,
}

impl Server {
    pub fn at(address: &str) -> Server {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(60)));
        Server { address: address.to_owned(), agent: agent.build().into() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks; an error if there was no answer.
    pub fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Reply, ureq::Error> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url()))
            .header("Content-Type", kind)
            .body(body)
            .expect("these are a method and a path");
        let mut answer = self.agent.run(request)?;
        let warnings =
            answer.headers().get_all("Warning").iter().map(|text| text.to_str().unwrap().to_owned()).collect();
        let code = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string()?;
        Ok(Reply { code, warnings, text })
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Reply {
        self.ask(method, path, kind, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", b"")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, &body.to_string())
    }

    #[track_caller]
    pub fn post_text(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, "application/json", body.as_bytes())
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, "application/json", body.to_string().as_bytes())
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send("PATCH", path, "application/merge-patch+json", body.to_string().as_bytes())
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, "", b"")
    }

    /// The items of a list.
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).ok()["items"].as_array().unwrap().clone()
    }

    /// Opens a watch. Lines come as they are sent.
    #[track_caller]
    pub fn watch(&self, path: &str) -> Watch {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(75))).unwrap();
        // HTTP/1.0: the body is not in chunks, and ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "no head");
        }
        Watch(lines)
    }

    /// Sends bytes as they are, and reads what comes.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // The server may answer and close before it has read all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Runs the command line client against it.
    #[track_caller]
    pub fn cli(&self, arguments: &str) -> String {
        let words: Vec<&str> = arguments.split(' ').collect();
        let output = miniku(&[&["--server", &self.url()], &words[..]].concat());
        assert!(output.status.success(), "miniku {arguments}: {}", stderr(&output));
        stdout(&output)
    }

    /// Makes a pod of one shell script.
    #[track_caller]
    pub fn run_pod(&self, name: &str, restart: &str, script: &str) -> Value {
        self.post(PODS, &pod(name, restart, &[("main", script)])).ok()
    }

    /// A pod as it is now; absent once it is gone.
    #[track_caller]
    pub fn pod(&self, name: &str) -> Option<Value> {
        let reply = self.get(&format!("{PODS}/{name}"));
        (reply.code != 404).then(|| reply.ok())
    }

    /// Waits until a pod is such.
    #[track_caller]
    pub fn pod_when(&self, name: &str, so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = std::time::Instant::now() + crate::world::DEADLINE;
        loop {
            if let Some(pod) = self.pod(name) {
                if so(&pod) {
                    return pod;
                }
                last = pod;
            }
            assert!(std::time::Instant::now() < deadline, "{name} stayed {}", last["status"]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    pub fn pod_in_phase(&self, name: &str, phase: &str) -> Value {
        self.pod_when(name, |pod| pod["status"]["phase"] == phase)
    }

    /// Waits until so many pods with these labels, neither more nor fewer, run.
    #[track_caller]
    pub fn running(&self, labels: &str, count: usize) -> Vec<Value> {
        let path = format!("{PODS}?labelSelector={labels}");
        wait(&format!("{count} pods with {labels} run"), || {
            let pods = self.list(&path);
            let run =
                |pod: &Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
            (pods.len() == count && pods.iter().all(run)).then_some(pods)
        })
    }

    /// Waits until nodes are ready, or are not.
    #[track_caller]
    pub fn nodes_ready(&self, want: &[(&str, &str)]) {
        until(&format!("nodes are {want:?}"), || {
            want.iter().all(|(name, status)| {
                let reply = self.get(&format!("/api/v1/nodes/{name}"));
                reply.code == 200 && condition(&reply.json(), "Ready")["status"] == *status
            })
        });
    }
}

/// Events of a watch.
pub struct Watch(BufReader<TcpStream>);

impl Iterator for Watch {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).expect("an event, or the end, within the time-out");
        (length > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }
}

impl Watch {
    /// The next event's type and the name of its object.
    #[track_caller]
    pub fn event(&mut self) -> (String, String) {
        let event = self.next().expect("another event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

/// A condition of an object; null if it has no such.
pub fn condition(object: &Value, name: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|one| one["type"] == name).unwrap_or_default()
}

/// A pod of shell scripts, a container each.
pub fn pod(name: &str, restart: &str, scripts: &[(&str, &str)]) -> Value {
    let container =
        |(name, script): &(&str, &str)| json!({"name": name, "image": "busybox", "command": ["sh", "-c", script]});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"restartPolicy": restart, "containers": scripts.iter().map(container).collect::<Vec<_>>()},
    })
}

/// A replica set of pods that do nothing.
pub fn set(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                    {"name": "main", "image": "busybox", "command": ["sh", "-c", "while true; do sleep 1; done"]},
                ]},
            },
        },
    })
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

pub fn uid(object: &Value) -> String {
    text(&object["metadata"]["uid"])
}

pub fn name(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

/// Runs a line as a person types it.
#[track_caller]
pub fn shell(line: &str) -> String {
    let output = run("sh", &["-c", line]);
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    stdout(&output)
}
