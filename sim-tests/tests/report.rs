//! The page of a trace, in a real browser: it opens offline, shows what the trace tells, and selects what its address
//! names. Needs chromium, and fails without it.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a browser is a real process on a real clock")]

use miniku_sim::trace::{self, Mode};
use miniku_sim::{library, report};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

/// Entries in any order; their places in it are what causes name until they are sorted by time.
#[derive(Default)]
struct Draft {
    entries: Vec<(u64, Option<usize>, Value)>,
    revision: u64,
}

impl Draft {
    fn add(&mut self, at: u64, cause: Option<usize>, fields: Value) -> usize {
        self.entries.push((at, cause, fields));
        self.entries.len() - 1
    }

    fn step(&mut self, at: u64, cause: Option<usize>, actor: &str, about: &str, came: &str, did: &str) -> usize {
        let fields = json!({"what": "step", "actor": actor, "life": 1, "in": came, "about": about, "out": [did]});
        self.add(at, cause, fields)
    }

    fn idle(&mut self, at: u64, cause: Option<usize>, actor: &str, came: &str) -> usize {
        self.add(at, cause, json!({"what": "step", "actor": actor, "life": 1, "in": came, "beat": true}))
    }

    fn actor(&mut self, at: u64, op: &str, actor: &str, life: u64) -> usize {
        self.add(at, None, json!({"what": "actor", "op": op, "actor": actor, "life": life}))
    }

    /// A request's way through the API server, half a millisecond long.
    fn write(&mut self, at: u64, cause: usize, asks: &str, op: &str, about: &str, is: Value) -> usize {
        self.revision += 1;
        let revision = self.revision;
        let asked = self.step(at + MILLI / 5, Some(cause), "apiserver", about, asks, &format!("commit {about}"));
        let durable = format!("durable @{revision}");
        let told = self.step(
            at + MILLI / 2,
            Some(asked),
            "apiserver",
            about,
            &durable,
            &format!("garbage: ~{about}@{revision}"),
        );
        let uid = format!("uid-{about}");
        let fields = json!({"what": "write", "op": op, "about": about, "uid": uid, "rv": revision, "is": is});
        let write = self.add(at + MILLI / 2, Some(told), fields);
        self.idle(at + MILLI, Some(write), "garbage", &format!("sees ~{about}@{revision}"));
        write
    }

    /// A pod's road from its creation to a process. Gives what it ends in.
    fn pod(&mut self, at: u64, cause: usize, set: &str, name: &str, node: &str, pid: u64) -> usize {
        let key = format!("Pod/default/{name}");
        let is = |phase: &str, ready: bool, node: Option<&str>| {
            json!({"phase": phase, "status": phase, "ready": ready, "node": node, "deleting": false,
                   "owner": format!("ReplicaSet/{set}"), "restarts": 0})
        };
        let asked = format!("replicaset: create po/{name}");
        let created = self.write(at, cause, &asked, "create", &key, is("Pending", false, None));
        let decides = self.step(
            at + MILLI,
            Some(created),
            "scheduler",
            &key,
            &format!("sees +po/{name}@{}(Pending)", self.revision),
            &format!("ask bind po/{name} to {node}"),
        );
        let asked = format!("scheduler: bind po/{name} to {node}");
        let bound = self.write(at + 2 * MILLI, decides, &asked, "update", &key, is("Pending", false, Some(node)));
        let kubelet = format!("kubelet/{node}");
        let seen = format!("sees +po/{name}@{}(Pending on {node})", self.revision);
        let starts = self.step(at + 3 * MILLI, Some(bound), &kubelet, &key, &seen, &format!("run {name}[main.0]"));
        let process = self.process(at + 6 * MILLI, starts, "start", node, name, pid);
        let hears = format!("runtime: {name}/main.0 running as {pid}");
        let does = format!("ask update status po/{name}(Running,ready on {node})");
        let hears = self.step(at + 7 * MILLI, Some(process), &kubelet, &key, &hears, &does);
        let asked = format!("{kubelet}: update status po/{name}");
        let event = format!("Event/default/{name}.1");
        let asks = format!("{kubelet}: update ev/{name}.1(Started)");
        self.step(at + 7 * MILLI, Some(hears), "apiserver", &event, &asks, &format!("commit ev/{name}.1"));
        self.write(at + 8 * MILLI, hears, &asked, "update", &key, is("Running", true, Some(node)))
    }

    fn process(&mut self, at: u64, cause: usize, op: &str, node: &str, name: &str, pid: u64) -> usize {
        let code = (op == "end").then_some(137);
        let fields = json!({"what": "process", "op": op, "node": node, "pod": format!("default/{name}"),
            "uid": format!("uid-Pod/default/{name}"), "container": "main", "attempt": 0, "pid": pid, "code": code});
        self.add(at, Some(cause), fields)
    }

    /// The lines in the order of time, with a header.
    fn text(self, header: Value, digest: Option<&str>) -> String {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_by_key(|entry| self.entries[*entry].0);
        let mut seq_of = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, entry)| seq_of[*entry] = 1 + 2 * place);
        let mut text = format!("{header}\n");
        for entry in &order {
            let (at, cause, fields) = &self.entries[*entry];
            let mut line = json!({"seq": seq_of[*entry], "t": at, "cause": cause.map(|cause| seq_of[cause])});
            line.as_object_mut().expect("it is one").extend(fields.as_object().expect("it is one").clone());
            text.push_str(&format!("{line}\n"));
        }
        if let Some(digest) = digest {
            let (seq, at) = (1 + 2 * order.len(), self.entries[order[order.len() - 1]].0 + SECOND);
            let end = json!({"seq": seq, "t": at, "what": "end", "digest": digest, "events": order.len()});
            text.push_str(&format!("{end}\n"));
        }
        text
    }
}

/// What is drawn: so many nodes, with replica sets of so many pods each.
#[derive(Clone, Copy)]
struct Sample {
    nodes: usize,
    sets: usize,
    replicas: usize,
    /// The first node loses power, its pods are replaced.
    dies: bool,
    /// A checker finds something in the first set.
    violated: bool,
}

impl Sample {
    fn trace(self) -> String {
        let mut draft = Draft::default();
        let node = |n: usize| format!("node-{}", n % self.nodes + 1);
        let control = ["apiserver", "operator", "scheduler", "workloads", "node-lifecycle", "garbage", "namespaces"];
        for (n, actor) in control.iter().enumerate() {
            draft.actor(n as u64 * 20 * MILLI, "start", actor, 1);
        }
        for n in 0..self.nodes {
            let (name, at) = (node(n), 30 * MILLI + n as u64 * MILLI / 2);
            let kubelet = format!("kubelet/{name}");
            let born = draft.actor(at, "start", &kubelet, 1);
            let is = json!({"ready": "True", "cordoned": false});
            let asks = format!("{kubelet}: create no/{name}");
            draft.write(at, born, &asks, "create", &format!("Node/{name}"), is);
            let renewals = if self.dies && n == 0 { 4 } else { 12 };
            for beat in 0..renewals {
                let (at, about) = (at + beat * 5 * SECOND, format!("Lease/kube-node-lease/{name}"));
                let wakes = draft.idle(at, Some(born), &kubelet, "wakes");
                draft.add(at, Some(wakes), json!({"what": "write", "op": "update", "about": about, "beat": true}));
            }
        }
        let mut of_node: BTreeMap<String, Vec<(String, String, u64, usize)>> = BTreeMap::new();
        for s in 0..self.sets {
            let (set, at) = (format!("web-{s}"), SECOND + s as u64 * 50 * MILLI);
            let key = format!("ReplicaSet/default/{set}");
            let asks = draft.step(at, None, "operator", &key, "wakes", &format!("ask create rs/{set}"));
            let is = |ready: usize| json!({"wanted": self.replicas, "replicas": self.replicas, "ready": ready});
            let asked = format!("operator: create rs/{set}");
            let none = json!({"wanted": self.replicas, "replicas": 0, "ready": 0});
            let made = draft.write(at, asks, &asked, "create", &key, none);
            let (seen, does) = (format!("sees +rs/{set}"), format!("ask create {} pods", self.replicas));
            let decides = draft.step(at + MILLI, Some(made), "workloads", &key, &seen, &does);
            for p in 0..self.replicas {
                let nth = s * self.replicas + p;
                let (name, on) = (format!("{set}-{nth:08x}"), node(nth));
                let runs = draft.pod(at + (2 + p as u64) * MILLI, decides, &set, &name, &on, 1000 + nth as u64);
                of_node.entry(on).or_default().push((set.clone(), name, 1000 + nth as u64, runs));
                let does = format!("ask update status rs/{set}");
                let counts = draft.step(at + (13 + p as u64) * MILLI, Some(runs), "workloads", &key, "sees ~po", &does);
                draft.write(at + (13 + p as u64) * MILLI, counts, &does, "update", &key, is(p + 1));
            }
        }
        let mut last = None;
        if self.dies {
            last = Some(self.death(&mut draft, of_node.remove("node-1").unwrap_or_default()));
        }
        if self.violated {
            draft.add(
                41 * SECOND,
                last,
                json!({"what": "violation", "name": "S-count",
                "statement": "No more pods of a set run than are wished, and one for each that may be lost",
                "text": format!("{} pods run where at most {} may", self.replicas + 1, self.replicas),
                "objects": ["ReplicaSet/default/web-0", "Pod/default/web-0-00000000"]}),
            );
        }
        let kubelets = (0..self.nodes).map(|n| json!({"name": format!("kubelet/{}", node(n)), "node": node(n)}));
        let actors: Vec<Value> = control.iter().map(|name| json!({"name": name})).chain(kubelets).collect();
        let header = json!({"trace": "miniku", "version": 1, "title": "sample", "seed": 7, "actors": actors,
            "cluster": [format!("{} nodes, API server and programs apart", self.nodes), "links: 0.2 ms + 0.1 ms"],
            "plan": [format!("     1.000  operator: create {} sets of {}", self.sets, self.replicas),
                     "    20.000  node-1 loses power for ever"]});
        draft.text(header, Some("5defc0b0b71b1f80"))
    }

    /// Gives the last thing that came of it.
    fn death(self, draft: &mut Draft, pods: Vec<(String, String, u64, usize)>) -> usize {
        let at = 20 * SECOND;
        let fault = draft.add(
            at,
            None,
            json!({"what": "fault", "id": 1, "text": "node-1 loses power for ever", "target": "node-1"}),
        );
        let down = draft.add(at, Some(fault), json!({"what": "node", "op": "down", "node": "node-1"}));
        draft.actor(at, "crash", "kubelet/node-1", 1);
        for (_, name, pid, _) in &pods {
            draft.process(at, down, "end", "node-1", name, *pid);
        }
        let cut = json!({"what": "fault", "id": 2, "text": "scheduler <-> API server for 6.000s: cut", "target": "scheduler"});
        let cut = draft.add(25 * SECOND, None, cut);
        draft.add(31 * SECOND, Some(cut), json!({"what": "heal", "id": 2}));
        let at = 30 * SECOND + 30 * MILLI;
        let about = "Node/node-1";
        let wakes =
            draft.step(at, None, "node-lifecycle", about, "wakes", "ask update status no/node-1(ready Unknown)");
        let is = json!({"ready": "Unknown", "cordoned": false});
        let mut last = draft.write(at, wakes, "node-lifecycle: update status no/node-1", "update", about, is);
        for (n, (set, name, pid, _)) in pods.iter().enumerate() {
            let (at, key) = (at + 10 * SECOND + n as u64 * MILLI, format!("Pod/default/{name}"));
            let evicts = draft.step(at, Some(last), "node-lifecycle", &key, "wakes", &format!("ask delete po/{name}"));
            let asks = format!("node-lifecycle: delete po/{name}");
            let is = json!({"phase": "Running", "status": "Terminating", "ready": false, "node": "node-1",
                            "deleting": true, "owner": format!("ReplicaSet/{set}"), "restarts": 0});
            let marked = draft.write(at, evicts, &asks, "update", &key, is);
            draft.write(at + 2 * SECOND, marked, &asks, "delete", &key, Value::Null);
            let seen = format!("sees ~po/{name}(Terminating)");
            let set_key = format!("ReplicaSet/default/{set}");
            let decides = draft.step(at + MILLI, Some(marked), "workloads", &set_key, &seen, "ask create one pod");
            let on = format!("node-{}", n % (self.nodes - 1) + 2);
            last = draft.pod(at + 2 * MILLI, decides, set, &format!("{name}-b"), &on, pid + 50_000);
        }
        last
    }
}

const TEN: Sample = Sample { nodes: 10, sets: 4, replicas: 8, dies: true, violated: false };

/// Writes a page where a look at it is possible afterwards.
fn page(name: &str, trace: &str) -> PathBuf {
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    fs::write(&page, report::html(trace).expect("the trace is right")).expect("the page can be written");
    page
}

/// A browser, ended when it is dropped.
struct Browser {
    process: Child,
    profile: PathBuf,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

const DEADLINE: Duration = Duration::from_secs(120);

static BROWSERS: AtomicU32 = AtomicU32::new(0);

/// What the page is after its script ran, and how long it took from the browser's start.
fn opened(page: &Path, fragment: &str) -> (String, Duration) {
    let name = format!("browser-{}-{}", std::process::id(), BROWSERS.fetch_add(1, Ordering::Relaxed));
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&profile).expect("a profile can be made");
    let (dom, began) = (profile.join("dom.html"), Instant::now());
    let process = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--window-size=1400,1000",
            "--virtual-time-budget=4000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}{fragment}", page.display()))
        .stdout(fs::File::create(&dom).expect("a file can be made"))
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .expect("chromium is installed (apt-get install chromium)");
    let mut browser = Browser { process, profile };
    let status = loop {
        if let Some(status) = browser.process.try_wait().expect("it is our child") {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "chromium did not open {} within {DEADLINE:?}", page.display());
        thread::sleep(Duration::from_millis(20));
    };
    let took = began.elapsed();
    assert!(status.success(), "chromium: {status}");
    let dom = fs::read_to_string(&dom).expect("chromium wrote the page");
    assert_eq!(attribute(&dom, "data-error"), None, "the page's script failed");
    assert_eq!(attribute(&dom, "data-ready").as_deref(), Some("yes"), "the page was not drawn");
    (dom, took)
}

/// An attribute of the page's root, where its script notes what it shows.
fn attribute(dom: &str, name: &str) -> Option<String> {
    let tag = dom.get(dom.find("<html")?..)?.split_once('>')?.0;
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

fn number(dom: &str, name: &str) -> usize {
    attribute(dom, name).unwrap_or_else(|| panic!("the page has no {name}")).parse().expect("a number")
}

/// The text of the element that begins with this, without tags.
fn text(dom: &str, begin: &str, end: &str) -> String {
    let from = dom.find(begin).unwrap_or_else(|| panic!("the page has no {begin}"));
    let inner = dom[from..].split_once(end).expect("it ends").0;
    let mut text = String::new();
    inner.split('<').skip(1).for_each(|part| {
        text.push_str(part.split_once('>').map_or("", |(_, text)| text));
        text.push(' ');
    });
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The trace of a scenario of the library, as a file would have it.
fn scenario(name: &str, seed: u64, mode: Mode) -> String {
    let scenario = library::named(name).expect("there is such a scenario");
    let world = scenario.trace(seed, mode);
    let mut text = trace::header(name, seed, &scenario.cluster.lines(), &scenario.plan(), &world.actors());
    let mut last = 0;
    for entry in world.trace().entries() {
        text.push('\n');
        text.push_str(&entry.json());
        last = entry.seq;
    }
    let footer = trace::footer(last + 1, world.now(), world.trace().digest(), world.counts().events);
    format!("{text}\n{footer}\n")
}

#[test]
fn every_scenario_has_a_page() {
    for (name, _) in library::LIBRARY {
        let page = page(name, &scenario(name, 1, Mode::Full));
        assert!(fs::read_to_string(page).expect("it was written").contains("All held"), "{name}");
    }
}

#[test]
fn a_simulated_run_tells_why_a_pod_moved() {
    let trace = scenario("node-death", 1, Mode::Full);
    let page = page("node-death", &trace);
    let entries = trace.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let mut writes = entries.filter(|entry| entry["what"] == "write" && entry["is"]["node"] == "node-1");
    let bound =
        writes.next().expect("a pod is bound to the node")["about"].as_str().map(|pod| pod.replace("Pod/", "#pod="));
    let (dom, _) = opened(&page, &bound.expect("it names the pod"));
    let story = text(&dom, "<ol class=\"story\" id=\"story\"", "</ol>");
    for part in ["loses power", "it does not put up with its node any longer", "is to be deleted"] {
        assert!(story.contains(part), "{part:?} is not in:\n{story}");
    }
    let (dom, _) = opened(&page, "#node=node-1");
    assert!(text(&dom, "<p class=\"verdict good\"", "</p>").contains("All held"));
    let story = text(&dom, "<ol class=\"story\" id=\"story\"", "</ol>");
    for part in ["node-1 loses power", "node-lifecycle", "ready True → "] {
        assert!(story.contains(part), "{part:?} is not in:\n{story}");
    }
    // Heartbeats are not needed for a page, and their absence is no cut.
    let page = self::page("node-death-story", &scenario("node-death", 1, Mode::Story));
    let (dom, _) = opened(&page, "");
    assert!(!dom.contains("is missing"), "something seems to be missing");
}

#[test]
fn a_healthy_run_says_that_all_held() {
    let page = page("healthy", &Sample { nodes: 3, sets: 1, replicas: 4, dies: false, violated: false }.trace());
    let (dom, _) = opened(&page, "");
    assert!(text(&dom, "<p class=\"verdict good\"", "</p>").contains("All held"), "{dom}");
    // All pods, seven programs, one set, where pods wait, three nodes.
    assert_eq!((number(&dom, "data-lanes"), number(&dom, "data-node-lanes")), (13, 3));
    assert_eq!((number(&dom, "data-pods"), number(&dom, "data-violations")), (4, 0));
    assert!(text(&dom, "<ol class=\"story\"", "</ol>").contains("asks to create replica set web-0"));
}

#[test]
fn a_pods_address_shows_its_road_cause_by_cause() {
    let page = page("ten", &TEN.trace());
    let (dom, _) = opened(&page, "#pod=default/web-0-00000003");
    let story = text(&dom, "<ol class=\"story\" id=\"story\"", "</ol>");
    let road = [
        "operator wakes up → asks to create replica set web-0",
        "replica set web-0 now exists",
        "workloads sees that there is replica set web-0",
        "pod web-0-00000003 now exists: Pending",
        "scheduler sees that there is pod web-0-00000003",
        "pod web-0-00000003: is bound to node-4",
        "kubelet/node-4 sees that there is pod web-0-00000003",
        "process 1003 of web-0-00000003/main starts",
        "Pending → Running, is ready",
    ];
    let story = story.replace("→ →", "→");
    let mut rest = story.as_str();
    for step in road {
        let words = step.replace(" → asks", " asks");
        let at = rest.find(&words).unwrap_or_else(|| panic!("{words:?} does not follow in:\n{story}"));
        rest = &rest[at + words.len()..];
    }
}

#[test]
fn an_entrys_address_shows_what_led_to_it_and_what_it_led_to() {
    let trace = TEN.trace();
    let page = page("ten-seq", &trace);
    let line = trace.lines().find(|line| line.contains("ask bind po/web-1-00000009")).expect("it is bound");
    let seq = serde_json::from_str::<Value>(line).expect("a line is JSON")["seq"].clone();
    let (dom, _) = opened(&page, &format!("#seq={seq}"));
    assert!(dom.contains(&format!("<li class=\"step focus\" data-seq=\"{seq}\">")), "it is not selected");
    assert!(text(&dom, "<ol class=\"story\" id=\"story\"", "</ol>").contains("create replica set web-1"));
    assert!(text(&dom, "<ol class=\"story\" id=\"next\"", "</ol>").contains("bind pod web-1-00000009"));
    let (dom, _) = opened(&page, "#seq=999999999");
    assert!(dom.contains("What the address names is not in this trace"));
}

/// A page that does this as soon as it is open.
fn acting(page: &Path, name: &str, script: &str) -> PathBuf {
    let text = fs::read_to_string(page).expect("it was written");
    let acting = page.with_file_name(format!("{name}.html"));
    let script = format!("<script>{{ {KEYS}\n{script} }}</script></body>");
    fs::write(&acting, text.replace("</body>", &script)).expect("the page can be written");
    acting
}

const KEYS: &str = "
const press = (...keys) => keys.forEach(key =>
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })));
const at = (type, x, y) => {
  const canvas = document.getElementById('lanes'), box = canvas.getBoundingClientRect();
  canvas.setPointerCapture = () => {};
  canvas.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true }));
};
const click = (x, y) => { at('pointerdown', x, y); at('pointerup', x, y); };";

#[test]
fn keys_and_clicks_do_what_the_page_says() {
    let page = page("keys", &Sample { violated: true, ..TEN }.trace());
    let heading = |script: &str| text(&opened(&acting(&page, "acting", script), "").0, "<h3", "</h3>");
    assert_eq!(heading("press('v')"), "Violated: S-count");
    assert_eq!(heading("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'f' }))"), "A fault");
    assert_eq!(heading("press('f', 'Escape')"), "At 20.000 s");
    let zoomed = "press('+', '+', 'ArrowRight', 'ArrowLeft', '-', 's', '1', '2', '3', '0', 'z', '?', 'j', 'j', 'k'); at('pointermove', 300, 90)";
    assert!(heading(zoomed).starts_with("At 1."), "the next event is near");
    let found =
        "const find = document.getElementById('find'); find.value = 'web-2-0000001'; find.oninput({ target: find });
                 find.onkeydown({ key: 'Enter', target: find });";
    assert_eq!(heading(found), "web-2-00000010");
    // The first node's lane, where its first pod is.
    let clicked = "const label = [...document.querySelectorAll('.lane')].find(lane => lane.title === 'node-2');
                   const top = label.getBoundingClientRect().top - document.getElementById('lanes').getBoundingClientRect().top;
                   click(500, top + 15);";
    assert_eq!(heading(clicked), "web-0-00000001");
}

#[test]
fn faults_and_a_violation_stand_out() {
    let page = page("violated", &Sample { violated: true, ..TEN }.trace());
    let (dom, _) = opened(&page, "");
    assert!(text(&dom, "<p class=\"verdict bad\"", "</p>").contains("Violated: S-count"));
    let told = text(&dom, "<section class=\"violation\"", "</section>");
    assert!(told.contains("9 pods run where at most 8 may") && told.contains("What led to it"), "{told}");
    assert_eq!((number(&dom, "data-violations"), number(&dom, "data-lanes")), (1, 24));
    assert!(text(&dom, "<h2>What happened</h2>", "</pre>").contains("node-1 loses power"));
    let (dom, _) = opened(&page, "#pod=default/web-0-00000000");
    let story = text(&dom, "<ol class=\"story\" id=\"story\"", "</ol>");
    for part in ["loses power", "is to be deleted", "is gone", "S-count 9 pods run"] {
        assert!(story.contains(part), "{part:?} is not in:\n{story}");
    }
}

#[test]
fn a_cut_trace_is_shown_as_what_it_is() {
    let trace = TEN.trace();
    let lines: Vec<&str> = trace.lines().collect();
    let kept = &lines[lines.len() / 2..lines.len() - 1];
    let page = page("cut", &format!("{}\n{}\n{{\"seq\":", lines[0], kept.join("\n")));
    let (dom, _) = opened(&page, "");
    assert!(dom.contains("The beginning is missing") && dom.contains("The last line is torn"));
    assert!(text(&dom, "<p class=\"verdict open\"", "</p>").contains("the end is missing"));
    assert!(number(&dom, "data-pods") > 0);
}

#[test]
fn names_from_outside_stay_names() {
    let hostile = "</script><script>document.documentElement.dataset.error='hurt'</script><img src=x onerror=alert(1)>{{data}}&amp;\u{1}\u{2}\"'";
    let header = json!({"trace": "miniku", "version": 1, "title": hostile, "seed": 1, "cluster": [hostile], "plan": [hostile],
                        "actors": [{"name": "apiserver"}, {"name": hostile, "node": hostile}]});
    let about = format!("Pod/{hostile}/{hostile}");
    let lines = [
        json!({"seq": 1, "t": 1, "what": "fault", "id": 1, "text": hostile, "target": hostile}),
        json!({"seq": 2, "t": 2, "cause": 1, "what": "step", "actor": hostile, "life": 1, "in": hostile, "out": [hostile]}),
        json!({"seq": 3, "t": 3, "cause": 2, "what": "write", "op": "create", "about": about,
               "is": {"phase": hostile, "status": hostile, "node": hostile, "owner": hostile}}),
        json!({"seq": 4, "t": 4, "cause": 3, "what": "process", "op": "start", "node": hostile,
               "pod": format!("{hostile}/{hostile}"), "container": hostile, "attempt": 0, "pid": 1}),
        json!({"seq": 5, "t": 5, "cause": 4, "what": "violation", "name": hostile, "statement": hostile, "text": hostile,
               "objects": [about, hostile]}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let page = page("hostile", &format!("{header}\n{}\n", lines.join("\n")));
    for fragment in ["", "#seq=3", "#seq=5"] {
        let (dom, _) = opened(&page, fragment);
        assert!(!dom.contains("<img"), "a name became an element");
        assert_eq!((number(&dom, "data-pods"), number(&dom, "data-node-lanes")), (1, 1));
    }
}

#[test]
fn an_empty_run_has_a_page() {
    let header = json!({"trace": "miniku", "version": 1, "title": "nothing", "actors": []});
    let (dom, _) = opened(&page("empty", &format!("{header}\n")), "");
    assert_eq!(number(&dom, "data-pods"), 0);
}

#[test]
fn a_thousand_nodes_open_in_time() {
    let sample = Sample { nodes: 1_000, sets: 100, replicas: 100, dies: true, violated: true };
    let trace = sample.trace();
    let page = page("thousand", &trace);
    let size = fs::metadata(&page).expect("it was written").len();
    assert!(size < 16 << 20, "the page has {size} bytes");
    let (dom, took) = opened(&page, "#pod=default/web-7-000002c0");
    println!("{} bytes of trace, {size} of page, opened in {took:?}", trace.len());
    assert_eq!((number(&dom, "data-pods"), number(&dom, "data-node-lanes")), (10_010, 1_000));
    assert!(
        text(&dom, "<ol class=\"story\" id=\"story\"", "</ol>").contains("pod web-7-000002c0: is bound to node-705")
    );
}
