//! The control plane from outside: how fast pods are bound and run, and what one costs by how many nodes and pods there
//! are.
//!
//! Where binding alone is measured, nodes are objects without a kubelet, which no fake one can slow down. Everything is
//! durable, as it is by default. The observer is one watch, and looks for a few words in each line of it: both
//! processors are the cluster's, as far as that is possible.

use crate::Chosen;
use crate::measure::{Spread, Times};
use crate::process::{Binary, Directory, Fail, Http, Process, free_port};
use crate::table::{Outside, figure};
use miniku::client::{Remote, ServerUrl};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::program::{Answer, Query, Verb};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// So many clients make objects at once.
const WRITERS: usize = 4;

/// Runs all of it.
pub fn run(binary: &Binary, _: &Chosen, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    bound(binary, rows)?;
    running(binary, rows)?;
    cost(binary, rows)
}

fn tell(rows: &mut Vec<Outside>, row: Outside) {
    eprintln!("{row}");
    rows.push(row);
}

/// A Deployment, from its POST until all of its pods are bound.
fn bound(binary: &Binary, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let (nodes, pods, runs) = (1000, 5000, 3);
    let (mut rates, mut waits) = (Vec::new(), Vec::new());
    for nth in 0..runs {
        let (directory, port) = (Directory::new(&format!("bound-{nth}"))?, free_port()?);
        let mut command = Command::new(&binary.0);
        command.args(["up", "--runtime", "fake", "--nodes", "0", "--port", &port.to_string()]);
        let _cluster = Process::start(command.arg("--data-dir").arg(&directory.0), port, "/readyz")?;
        make_nodes(port, nodes)?;
        let began = Instant::now();
        let seen = deploy(port, "web", pods, REQUESTS, Sign::Bound)?;
        rates.push(pods as f64 / seen.last().duration_since(began).as_secs_f64());
        waits.extend(seen.waits());
    }
    let Spread { median, min, max } = Spread::of(rates);
    let ms = |share: f64, times: &Times| figure(times.at(share).as_secs_f64() * 1e3);
    let waits = Times::of(waits);
    let row = Outside {
        what: format!("control plane: pods bound a second, a Deployment of {pods}, {nodes} nodes (of {runs} runs)"),
        figure: format!("{}/s ({}–{})", figure(median), figure(min), figure(max)),
        further: format!("created to bound: p50 {} ms, p99 {} ms", ms(0.5, &waits), ms(0.99, &waits)),
        peer: "Kubernetes 1.20 with etcd, elsewhere: 81–100/s".into(),
    };
    tell(rows, row);
    Ok(())
}

/// A Deployment on fake nodes, from its POST until all of its pods are Running.
fn running(binary: &Binary, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let (nodes, pods, runs) = (1000, 10_000, 2);
    let mut times = Vec::new();
    for nth in 0..runs {
        let (directory, port) = (Directory::new(&format!("running-{nth}"))?, free_port()?);
        let mut command = Command::new(&binary.0);
        command.args(["up", "--runtime", "fake", "--nodes", &nodes.to_string(), "--port", &port.to_string()]);
        let _cluster = Process::start(command.arg("--data-dir").arg(&directory.0), port, "/readyz")?;
        wait_for_nodes(port, nodes)?;
        let began = Instant::now();
        times.push(deploy(port, "web", pods, "", Sign::Running)?.last().duration_since(began));
    }
    let figure = Times::of(times).seconds();
    let what = format!("control plane: a Deployment of {pods} to Running, {nodes} fake nodes (of {runs} runs)");
    tell(rows, Outside { what, figure, further: String::new(), peer: String::new() });
    Ok(())
}

/// What a pod costs the API server and the scheduler together, from its POST until it is bound, by what is there already.
fn cost(binary: &Binary, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    for (nodes, fillings) in [(100, &[0][..]), (1000, &[0, 10_000, 100_000]), (5000, &[0])] {
        let (directory, port) = (Directory::new(&format!("cost-{nodes}"))?, free_port()?);
        let mut command = Command::new(&binary.0);
        command.args(["apiserver", "--port", &port.to_string(), "--data-dir"]).arg(&directory.0);
        let server = Process::start(&mut command, port, "/readyz")?;
        let own = free_port()?;
        let mut command = Command::new(&binary.0);
        command.args(["scheduler", "--server", &format!("http://127.0.0.1:{port}")]);
        command.args(["--metrics-address", &format!("127.0.0.1:{own}"), "--leader-elect=false"]);
        let scheduler = Process::start(&mut command, own, "/healthz")?;
        make_nodes(port, nodes)?;
        let mut there = 0;
        for filling in fillings {
            let (fill, at) = (filling - there, there);
            post_all(port, PODS, fill, |nth| pod(&format!("old-{}", at + nth), "old", Some(nth % nodes)))?;
            // What was made of them is over when a pod that came after them is bound.
            measured(port, &format!("first-{filling}"), 1)?;
            there = *filling;
            let before = server.processor_time()? + scheduler.processor_time()?;
            let count = 1000;
            let rate = measured(port, &format!("new-{filling}"), count)?;
            let took = server.processor_time()? + scheduler.processor_time()? - before;
            let each = took.as_secs_f64() * 1e3 / count as f64;
            let row = Outside {
                what: format!("control plane: processor time of one pod to its bind, nodes={nodes}, pods={filling}"),
                figure: format!("{} ms", figure(each)),
                further: format!("{}/s with {WRITERS} clients", figure(rate)),
                peer: if nodes == 1000 && *filling == 0 {
                    "Kubernetes 1.20 with etcd, elsewhere: 16–18 ms"
                } else {
                    ""
                }
                .into(),
            };
            tell(rows, row);
        }
    }
    Ok(())
}

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Makes so many pods; how many a second were bound.
fn measured(port: u16, app: &str, count: usize) -> Result<f64, Fail> {
    let began = Instant::now();
    let seen = std::thread::scope(|scope| {
        let watch = scope.spawn(|| follow(port, app, count, Sign::Bound));
        post_all(port, PODS, count, |nth| pod(&format!("{app}-{nth}"), app, None))?;
        watch.join().expect("an observer does not panic")
    })?;
    Ok(count as f64 / seen.last().duration_since(began).as_secs_f64())
}

/// What pods ask for, where that is measured too.
const REQUESTS: &str = r#","resources":{"requests":{"cpu":"100m","memory":"128Mi"}}"#;

fn pod_spec(requests: &str, node: Option<usize>) -> String {
    let node = node.map_or(String::new(), |nth| format!(r#""nodeName":"node-{nth:05}","#));
    format!(r#"{{{node}"containers":[{{"name":"c","image":"busybox","command":["sleep","1d"]{requests}}}]}}"#)
}

fn pod(name: &str, app: &str, node: Option<usize>) -> String {
    let spec = pod_spec(r#","resources":{"requests":{"cpu":"10m","memory":"16Mi"}}"#, node);
    format!(r#"{{"metadata":{{"name":"{name}","labels":{{"app":"{app}"}}}},"spec":{spec}}}"#)
}

/// Makes a Deployment and follows its pods.
fn deploy(port: u16, name: &str, pods: usize, requests: &str, sign: Sign) -> Result<Seen, Fail> {
    let spec = pod_spec(requests, None);
    let body = format!(
        r#"{{"metadata":{{"name":"{name}"}},"spec":{{"replicas":{pods},"selector":{{"matchLabels":{{"app":"{name}"}}}},"template":{{"metadata":{{"labels":{{"app":"{name}"}}}},"spec":{spec}}}}}}}"#
    );
    post(&mut Http::to(port)?, "/apis/apps/v1/namespaces/default/deployments", &body)?;
    follow(port, name, pods, sign)
}

fn post(http: &mut Http, path: &str, body: &str) -> Result<(), Fail> {
    match http.ask("POST", path, body.as_bytes())? {
        (201, _) => Ok(()),
        (code, answer) => Err(Fail(format!("POST {path}: {code} {}", String::from_utf8_lossy(answer)))),
    }
}

/// Makes so many objects, several at once.
fn post_all(port: u16, path: &str, count: usize, body: impl Fn(usize) -> String + Sync) -> Result<(), Fail> {
    let (next, until) = (AtomicUsize::new(0), Instant::now() + Duration::from_secs(60));
    let work = || -> Result<(), Fail> {
        let mut http = Http::to(port)?;
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                nth if nth >= count => return Ok(()),
                nth if Instant::now() > until => return Err(Fail(format!("{path}: {nth} of {count} made in 60 s"))),
                nth => post(&mut http, path, &body(nth))?,
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a writer does not panic"))
    })
}

/// Makes nodes that are Ready and have no kubelet.
fn make_nodes(port: u16, count: usize) -> Result<(), Fail> {
    post_all(port, "/api/v1/nodes", count, |nth| {
        let has = r#"{"cpu":"64","memory":"256Gi","pods":"1100"}"#;
        let labels = format!(r#"{{"kubernetes.io/hostname":"node-{nth:05}","zone":"z{}"}}"#, nth % 3);
        format!(
            r#"{{"metadata":{{"name":"node-{nth:05}","labels":{labels}}},"status":{{"capacity":{has},"allocatable":{has},"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
        )
    })
}

fn wait_for_nodes(port: u16, count: usize) -> Result<(), Fail> {
    let url: ServerUrl = format!("127.0.0.1:{port}").parse().expect("it is one");
    let (remote, until) = (Remote::new(url), Instant::now() + Duration::from_secs(60));
    loop {
        let ready = match remote.call(&Verb::List(Query::all(Kind::Node)).into()) {
            Answer::List { items, .. } => {
                items.iter().filter_map(|node| node.get::<Node>()).filter(|it| it.is_ready()).count()
            }
            _ => 0,
        };
        if ready >= count {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(Fail(format!("{ready} of {count} nodes are ready after 60 s")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a pod is waited for.
#[derive(Clone, Copy)]
enum Sign {
    Bound,
    Running,
}

/// When pods were seen first, and with the sign.
struct Seen(Vec<(Instant, Instant)>);

impl Seen {
    fn last(&self) -> Instant {
        self.0.iter().map(|(_, then)| *then).max().expect("some were waited for")
    }

    fn waits(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().map(|(first, then)| then.duration_since(*first))
    }
}

/// Watches the pods with this label until so many have the sign. Their names begin with the label's value.
fn follow(port: u16, app: &str, count: usize, sign: Sign) -> Result<Seen, Fail> {
    let (name, sign) = (
        format!(r#""name":"{app}-"#),
        match sign {
            Sign::Bound => r#""nodeName":""#,
            Sign::Running => r#""phase":"Running""#,
        },
    );
    let mut pods: BTreeMap<String, (Instant, Option<Instant>)> = BTreeMap::new();
    let (mut there, until) = (0, Instant::now() + Duration::from_secs(120));
    let mut http = Http::to(port)?;
    http.follow(&format!("{PODS}?watch=1&labelSelector=app%3D{app}"), |line| {
        let now = Instant::now();
        let Some((_, rest)) = line.split_once(&name) else { return now < until };
        let (pod, _) = rest.split_once('"').unwrap_or((rest, ""));
        let has = line.contains(sign);
        let seen = match pods.get_mut(pod) {
            Some(seen) => seen,
            None => pods.entry(pod.to_owned()).or_insert((now, None)),
        };
        if has && seen.1.is_none() {
            seen.1 = Some(now);
            there += 1;
        }
        there < count && now < until
    })?;
    let done: Vec<_> = pods.into_values().filter_map(|(first, then)| Some((first, then?))).collect();
    match done.len() >= count {
        true => Ok(Seen(done)),
        false => Err(Fail(format!("{app}: {} of {count} pods within the time", done.len()))),
    }
}
