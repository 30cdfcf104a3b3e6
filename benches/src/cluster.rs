//! `miniku up` from outside, and the runtime by itself.

use crate::Chosen;
use crate::measure::Times;
use crate::peers;
use crate::process::{Binary, Directory, Fail, Http, Process, free_port};
use crate::table::{Outside, figure};
use miniku::client::{Remote, ServerUrl, Stop, Watch};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::kubelet::runtime::{Command as Ask, ContainerSpec, ContainerState, Limits, PodRef, PodSpec, Report};
use miniku_core::program::{Answer, Query, Verb, WatchEvent, WatchFrom};
use miniku_runtime::{Config, Runtime};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// A cluster of two nodes, taken down at the end.
struct Cluster<'a> {
    binary: &'a Binary,
    directory: Directory,
    process: Option<Process>,
}

impl<'a> Cluster<'a> {
    fn up(binary: &'a Binary, what: &str) -> Result<Self, Fail> {
        let mut cluster = Cluster { binary, directory: Directory::new(what)?, process: None };
        cluster.start()?;
        Ok(cluster)
    }

    fn start(&mut self) -> Result<(), Fail> {
        self.process = None;
        let port = free_port()?;
        let mut command = Command::new(&self.binary.0);
        command.args(["up", "--port", &port.to_string(), "--data-dir"]).arg(&self.directory.0);
        self.process = Some(Process::start(&mut command, port, "/readyz")?);
        Ok(())
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a cluster is up between its start and its end")
    }

    fn remote(&self) -> Remote {
        let url: ServerUrl = format!("127.0.0.1:{}", self.process().port).parse().expect("it is one");
        Remote::new(url)
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        self.process = None;
        let down = Command::new(&self.binary.0).args(["down", "--data-dir"]).arg(&self.directory.0).output();
        if !down.is_ok_and(|down| down.status.success()) {
            eprintln!("miniku down failed on {}", self.directory.0.display());
        }
    }
}

/// From the POST of a ReplicaSet until all of its pods are seen Running, by their number.
pub fn pods_to_running(binary: &Binary, _: &Chosen, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    need_root()?;
    let cluster = Cluster::up(binary, "pods")?;
    let remote = cluster.remote();
    let until = Instant::now() + Duration::from_secs(10);
    while !nodes_ready(&remote) {
        if Instant::now() > until {
            return Err(Fail("the nodes are not ready after 10 s".into()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let stop = Stop::default();
    let opened = remote.open(&Query::all(Kind::Pod), WatchFrom::Start, false, &stop);
    let mut watch = opened.map_err(|ended| Fail(format!("watching pods: {ended:?}")))?;
    let mut http = Http::to(cluster.process().port)?;
    // The first start unpacks the image.
    one_set(&mut http, &mut watch, "warm", 2)?;
    for (pods, runs) in [(1, 60), (4, 150), (10, 30), (100, 5)] {
        let began = Instant::now();
        let mut times = Vec::new();
        while times.len() < runs && (times.len() < 3 || began.elapsed() < Duration::from_secs(40)) {
            times.push(one_set(&mut http, &mut watch, &format!("set-{pods}-{}", times.len()), pods)?);
        }
        let runs = times.len();
        let (figure, further) = Times::of(times).ms();
        let peer = if pods == 4 { "MiniKu in Go, elsewhere: 8.6 s (5.1–14.5)" } else { "" };
        let what = format!("POST to Running, pods={pods} (of {runs} runs)");
        let row = Outside { what, figure, further, peer: peer.into() };
        eprintln!("{row}");
        rows.push(row);
    }
    stop.stop();
    Ok(())
}

fn need_root() -> Result<(), Fail> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => Err(Fail("containers need root".into())),
    }
}

fn nodes_ready(remote: &Remote) -> bool {
    match remote.call(&Verb::List(Query::all(Kind::Node)).into()) {
        Answer::List { items, .. } => {
            items.len() == 2 && items.iter().all(|node| node.get::<Node>().is_some_and(Node::is_ready))
        }
        _ => false,
    }
}

/// Posts MiniKu's quickstart, waits until all pods are Running, deletes it, and waits until all are gone.
///
/// Only here the shell ends when it is told to: the quickstart's, as PID 1, would let the whole grace period pass.
fn one_set(http: &mut Http, watch: &mut Watch, name: &str, pods: usize) -> Result<Duration, Fail> {
    let body = format!(
        r#"{{"name":"{name}","desiredCount":{pods},"selector":{{"app":"{name}"}},"template":{{"image":"alpine","command":["/bin/sh","-c","trap exit TERM; while true; do sleep 1 & wait; done"]}}}}"#
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut running, mut gone) = (BTreeSet::new(), 0);
    let began = Instant::now();
    let (code, answer) = http.ask("POST", "/replicasets", body.as_bytes())?;
    if code != 201 {
        return Err(Fail(format!("POST /replicasets: {code} {}", String::from_utf8_lossy(answer))));
    }
    let mut took = None;
    while gone < pods {
        if Instant::now() > deadline {
            return Err(Fail(format!("{name}: {} of {pods} running, {gone} gone after 60 s", running.len())));
        }
        match watch.next_event().map_err(|ended| Fail(format!("the watch ended: {ended:?}")))? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let pod: &Pod = object.get().ok_or_else(|| Fail("a watch of pods told of something else".into()))?;
                if pod.status.phase == PodPhase::Running
                    && pod.metadata.labels.get("app").is_some_and(|app| app == name)
                {
                    running.insert(pod.metadata.name.clone());
                }
            }
            WatchEvent::Deleted(_) => gone += 1,
            WatchEvent::Bookmark(_) | WatchEvent::Expired(_) => {}
        }
        if running.len() == pods && took.is_none() {
            took = Some(began.elapsed());
            http.ask("DELETE", &format!("/replicasets/{name}"), b"")?;
        }
    }
    took.ok_or_else(|| Fail(format!("{name}: pods went before they were running")))
}

/// Memory and start of `miniku up`: with an empty data directory, and with one that is in use.
pub fn idle_and_ready(binary: &Binary, _: &Chosen, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    need_root()?;
    let mut empty = Vec::new();
    for nth in 0..7 {
        empty.push(Cluster::up(binary, &format!("empty-{nth}"))?.process().ready_after);
    }
    let mut used = Vec::new();
    let mut cluster = Cluster::up(binary, "used")?;
    for _ in 0..7 {
        cluster.start()?;
        used.push(cluster.process().ready_after);
    }
    for (what, times) in [("an empty", empty), ("a used", used)] {
        let figure = Times::of(times).ms().0;
        let what = format!("exec of `miniku up` to /readyz, {what} data directory");
        rows.push(Outside {
            what,
            figure,
            further: String::new(),
            peer: "kube-apiserver alone, elsewhere: 4.9–6.8 s".into(),
        });
    }
    std::thread::sleep(Duration::from_secs(3));
    let process = cluster.process();
    let (rss, pss) = (process.mebibytes("status", "VmRSS")?, process.mebibytes("smaps_rollup", "Pss")?);
    let own = process.mebibytes("smaps_rollup", "Pss_Anon")?;
    rows.push(Outside {
        what: "resident memory of an idle `miniku up`, two nodes".into(),
        figure: format!("{} MiB", figure(rss)),
        further: format!("PSS {} MiB, of which not of the binary {} MiB", figure(pss), figure(own)),
        peer: "MiniKu in Go, elsewhere: 14 MiB; Kubernetes: 475 MiB".into(),
    });
    rows.iter().rev().take(3).for_each(|row| eprintln!("{row}"));
    Ok(())
}

fn spec(uid: &str) -> PodSpec {
    let limits =
        Limits { memory_bytes: Some(64 << 20), cpu_milli: Some(500), cpu_request_milli: Some(100), pids: Some(64) };
    let container = ContainerSpec {
        name: "main".into(),
        attempt: 0,
        image: "busybox".into(),
        command: vec!["sleep".into(), "1000".into()],
        args: vec![],
        env: BTreeMap::new(),
        working_dir: None,
        stdio: Default::default(),
        limits: limits.clone(),
    };
    let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: uid.into() };
    PodSpec { pod, hostname: uid.into(), limits: Limits::default(), containers: vec![container] }
}

/// The runtime without a cluster around it: from the command to the report that the program runs.
pub fn runtime_alone(binary: &Binary, _: &Chosen, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    need_root()?;
    let directory = Directory::new("runtime")?;
    let waiting: &Mutex<BTreeMap<String, mpsc::Sender<Report>>> = Box::leak(Box::default());
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let route = move |report: Report| {
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Report::Container { pod, .. } = &report
            && let Some(waits) = waiting.get(pod.uid.as_str())
        {
            // Only the first report is waited for.
            let _ = waits.send(report);
        }
    };
    let config = Config { dir: directory.0.clone(), node: "bench".into(), exe: binary.0.clone() };
    let failed = |failure: miniku_runtime::enter::Failure| Fail(failure.to_string());
    let runtime = Runtime::open(config, route).map_err(failed)?;
    let run = |uid: &str| -> Result<Duration, Fail> {
        let (sender, reports) = mpsc::channel();
        lock().insert(uid.to_owned(), sender);
        let began = Instant::now();
        runtime.perform(Ask::RunPod(spec(uid)));
        match reports.recv_timeout(Duration::from_secs(30)) {
            Ok(Report::Container { state: ContainerState::Running { .. }, .. }) => Ok(began.elapsed()),
            other => Err(Fail(format!("pod {uid}: {other:?}"))),
        }
    };
    let remove = |uid: &str| runtime.perform(Ask::RemovePod(spec(uid).pod));
    // The first one unpacks the image.
    run("warm")?;
    remove("warm");
    for workers in [1, 2] {
        let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let pods = 200;
        let began = Instant::now();
        std::thread::scope(|scope| {
            let work = || -> Result<(), Fail> {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= pods {
                        return Ok(());
                    }
                    let uid = format!("pod-{workers}-{nth}");
                    let time = run(&uid)?;
                    times.lock().unwrap_or_else(PoisonError::into_inner).push(time);
                    remove(&uid);
                }
            };
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
        })?;
        let rate = pods as f64 / began.elapsed().as_secs_f64();
        let (figure, p99) = Times::of(times.into_inner().unwrap_or_else(PoisonError::into_inner)).ms();
        let what = format!("runtime alone, start of a pod, workers={workers}");
        let further = format!("p99 {p99}; started and removed {}/s", crate::table::figure(rate));
        let row = Outside { what, figure, further, peer: peers::crun(workers) };
        eprintln!("{row}");
        rows.push(row);
    }
    drop(runtime);
    miniku_runtime::down(&directory.0).map_err(failed)?;
    Ok(())
}
