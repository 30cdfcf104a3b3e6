//! `miniku sim` as a user meets it: the real binary, files, exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("miniku-sim-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn sim(words: &[&str]) -> Said {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_miniku")).arg("sim").args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A set that is wanted on a node that dies, in a cluster of one.
const HOPELESS: &str = "
name: hopeless
about: Nowhere to go.
cluster: {nodes: 2}
timeline:
  - at: 1s
    create:
      apiVersion: apps/v1
      kind: ReplicaSet
      metadata: {name: web}
      spec:
        replicas: 4
        selector: {matchLabels: {app: web}}
        template:
          metadata: {labels: {app: web}}
          spec: {containers: [{name: main, image: busybox}]}
  - {at: 12s, fault: {crash: {actor: kubelet/node-2, down: 3s}}}
  - {at: 15s, fault: {nodeCrash: {node: node-1, down: 400s}}}
expect:
  - {from: 20s, within: 10s, that: four run, pods: {of: web, running: 4}}
";

#[test]
fn the_library_is_listed_and_run() {
    let listed = sim(&["list"]);
    assert!(listed.out.lines().count() >= 12 && listed.out.contains("node-death"), "{}", listed.out);
    let said = sim(&["run", "--scenario", "node-death", "--seed", "3"]);
    assert!(said.code == 0 && said.out.contains("all statements held"), "{}{}", said.out, said.err);
    let text = sim(&["list", "node-death"]).out;
    let dir = Dir::new("library");
    let file = dir.file("mine.yaml", &text);
    let digest = |said: &Said| said.out.lines().find(|line| line.starts_with("digest")).map(str::to_owned);
    assert_eq!(digest(&sim(&["run", "--scenario", &file, "--seed", "3"])), digest(&said));
}

#[test]
fn the_same_seed_is_the_same_trace_and_another_is_not() {
    let dir = Dir::new("traces");
    let trace = |name: &str, seed: &str, until: &str| {
        let path = dir.path(name);
        let words = ["replay", "--scenario", "kubelet-restart", "--seed", seed, "--until", until, "--trace", &path];
        assert_eq!(sim(&words).code, 0);
        path
    };
    let (a, b, c) = (trace("a", "7", "1h"), trace("b", "7", "1h"), trace("c", "8", "1h"));
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
    let same = sim(&["diff", &a, &b]);
    assert!(same.code == 0 && same.out.starts_with("the same: "), "{}", same.out);
    let other = sim(&["diff", &a, &c]);
    assert!(other.code == 1 && other.out.contains("the first line that differs is 1"), "{}", other.out);
    // What is cut short is the beginning of the whole, but for its last line.
    let short = fs::read_to_string(trace("short", "7", "20s")).unwrap();
    let begin = short.trim_end().rsplit_once('\n').unwrap().0;
    assert!(begin.lines().count() > 100 && fs::read_to_string(&a).unwrap().starts_with(begin));
}

#[test]
fn what_is_found_does_not_depend_on_the_jobs() {
    let explore = |jobs: &str| {
        let said = sim(&["explore", "--seeds", "1..60", "--jobs", jobs, "--coverage"]);
        assert_eq!(said.code, 0, "{}", said.out);
        let (_, counted) = said.out.split_once('\n').unwrap();
        counted.to_owned()
    };
    assert_eq!(explore("1"), explore("3"));
}

#[test]
fn a_failure_is_told_shrunk_and_run_again() {
    let dir = Dir::new("failure");
    let file = dir.file("hopeless.yaml", HOPELESS);
    let said = sim(&["run", "--scenario", &file, "--seed", "5"]);
    assert_eq!(said.code, 1);
    for part in ["expected is broken at 30.000 s", "should be: four run", "again:  miniku sim run", "--seed 5"] {
        assert!(said.out.contains(part), "{part} is missing in\n{}", said.out);
    }
    let small = dir.path("small.yaml");
    let shrunk = sim(&["shrink", "--scenario", &file, "--seed", "5", "--out", &small]);
    assert!(shrunk.code == 1 && shrunk.err.contains("2 of 3 entries"), "{}{}", shrunk.out, shrunk.err);
    let again = sim(&["run", "--scenario", &small]);
    assert!(again.code == 1 && again.out.contains("should be: four run"), "{}", again.out);
    let page = dir.path("run.html");
    assert_eq!(sim(&["report", "--scenario", &small, "--out", &page]).code, 1);
    assert!(fs::read_to_string(&page).unwrap().contains("four run"));
    let explored =
        sim(&["explore", "--scenario", &file, "--seeds", "1..4", "--failures", "9", "--save", &dir.path("kept")]);
    assert!(explored.code == 1 && explored.out.contains("3 failed"), "{}", explored.out);
    assert_eq!(fs::read_dir(dir.path("kept")).unwrap().count(), 3);
}

#[test]
fn a_real_cluster_loses_a_node() {
    let node = |name: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Node", "metadata": {{"name": "{name}", "uid": "{name}"}},
            "status": {{"allocatable": {{"cpu": "2", "memory": "4Gi", "pods": "20"}}}}}}"#
        )
    };
    let deployment = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}}"#;
    let ingress = r#"{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}}"#;
    let list = format!(r#"{{"kind": "List", "items": [{}, {}, {deployment}, {ingress}]}}"#, node("a"), node("b"));
    let dir = Dir::new("snapshot");
    let snapshot = dir.file("cluster.json", &list);
    let faults = "
name: what-if
timeline:
  - {at: 10s, fault: {nodeCrash: {node: a}}}
expect:
  - {from: 10s, within: 60s, that: it is noticed, nodes: {name: a, ready: false}}
  - {from: 10s, within: 120s, that: both pods run elsewhere, pods: {of: web, count: 2, running: 2, notOn: a}}
";
    let scenario = dir.file("what-if.yaml", faults);
    let said = sim(&["run", "--snapshot", &snapshot, "--scenario", &scenario]);
    assert!(said.code == 0 && said.err.contains("1 of kind Ingress left out"), "{}{}", said.out, said.err);
}

#[test]
fn drawn_faults_strike_what_is_there() {
    let dir = Dir::new("drawn");
    let small = dir.file("small.yaml", "name: small\ncluster: {nodes: 1}\n");
    for seed in ["1", "2", "3", "5", "7"] {
        let said = sim(&["run", "--scenario", &small, "--faults", "swarm", "--seed", seed]);
        assert_ne!(said.code, 2, "seed {seed}: {}{}", said.out, said.err);
    }
    let said = sim(&["run", "--nodes", "1", "--pods", "1", "--for", "5s", "--faults", "swarm"]);
    assert_ne!(said.code, 2, "{}{}", said.out, said.err);
    let said = sim(&["replay", "--for", "5s", "--faults", "none"]);
    assert!(said.code == 0 && said.out.starts_with("# 12 pods on 6 nodes.\n"), "{}{}", said.out, said.err);
    let said = sim(&["run", "--scenario", &small, "--faults", "mild"]);
    assert!(said.code == 2 && said.err.contains("--faults mild"), "{}{}", said.out, said.err);
}

#[test]
fn who_reads_no_further_ends_nothing() {
    let run = |words: &[&str], out: Stdio| {
        let output = Command::new(env!("CARGO_BIN_EXE_miniku")).arg("sim").args(words).stdout(out).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let dir = Dir::new("unread");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: busybox}]}}";
    let pod = dir.file("pod.yaml", pod);
    let load = ["--nodes", "1", "--pods", "1", "--for", "5s"];
    let of_load = |words: &[&'static str]| [words, &load].concat();
    let why = [&["why", "--what-if", &pod][..], &load].concat();
    let all = [vec!["list"], of_load(&["run"]), of_load(&["replay"]), why, vec!["explore", "--seeds", "1"]];
    for words in &all {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(words, writer.into()), (Some(0), String::new()), "{words:?}");
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, said) = run(words, full.into());
        assert!(code == Some(2) && said.starts_with("error: printing: "), "{words:?}: {code:?} {said}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let dir = Dir::new("wrong");
    let check = |words: &[&str], want: &[&str]| {
        let said = sim(words);
        assert_eq!(said.code, 2, "{words:?}: {}{}", said.out, said.err);
        for part in want {
            assert!(said.err.contains(part), "{words:?}: {part} is missing in {}", said.err);
        }
    };
    let scenario = |name: &str, text: &str| dir.file(name, text);
    let unknown = scenario("unknown.yaml", "name: x\ncluster: {nodes: 2}\ntimeline:\n  - {at: 1s, explode: yes}\n");
    check(&["run", "--scenario", &unknown], &["explode", "line 4"]);
    let node = scenario("node.yaml", "name: x\ntimeline:\n  - {at: 1s, fault: {nodeCrash: {node: node-9}}}\n");
    check(&["run", "--scenario", &node], &["timeline[0]", "there is no node \"node-9\"", "line 3"]);
    let set = scenario("set.yaml", "name: x\ntimeline:\n  - {at: 1s, scale: {replicaSet: web, replicas: 3}}\n");
    check(&["run", "--scenario", &set], &["no ReplicaSet \"web\" was created before 1s", "line 3"]);
    let time = scenario("time.yaml", "name: x\ntimeline:\n  - {at: -1s, cordon: node-1}\n");
    check(&["run", "--scenario", &time], &["no duration", "line 3"]);
    check(&["run", "--scenario", "no-such-thing"], &["no file and no scenario", "miniku sim list"]);
    let torn = dir.file("torn.trace", "{\"trace\":\"miniku\",\"version\":1}\n{\"seq\":1,\"t\":");
    check(&["diff", &torn, &torn], &["line 2"]);
    check(&["report", "--trace", &dir.file("no.trace", "hello")], &["line 1"]);
    check(&["run", "--snapshot", &dir.file("empty.json", "{\"items\": []}")], &["no Node"]);
    check(&["run", "--trace", Path::new("/proc/no/such").to_str().unwrap()], &["writing /proc/no/such"]);
}
