//! How long a pod takes from the command to the report that its program runs, and how many a second.
//!
//! ```text
//! cargo run --release -p miniku-runtime --example startfloor -- [PODS] [WORKERS]
//! ```
//!
//! Each worker starts a pod, waits for its container, removes it, and goes on. Needs root. Prints times in
//! milliseconds, the proportional memory of one pod-init, and what is left afterwards: nothing.

use miniku_core::kubelet::runtime::{Command, ContainerSpec, ContainerState, Limits, PodRef, PodSpec, Report};
use miniku_runtime::{Config, Runtime, down, pod_init_main};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

fn spec(uid: &str) -> PodSpec {
    let limits =
        Limits { memory_bytes: Some(64 << 20), cpu_milli: Some(500), cpu_request_milli: Some(100), pids: Some(64) };
    let container = ContainerSpec {
        name: "c".into(),
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

/// The proportional set size of a process, in kilobytes.
fn pss(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "pod-init") {
        pod_init_main();
    }
    let number = |index: usize, default| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (pods, workers): (usize, usize) = (number(0, 200), number(1, 2));
    let dir = std::env::temp_dir().join(format!("miniku-startfloor-{}", std::process::id()));

    type Waiting = BTreeMap<String, mpsc::Sender<(Instant, Report)>>;
    let waiting: Arc<Mutex<Waiting>> = Arc::default();
    let routes = Arc::clone(&waiting);
    let route = move |report: Report| {
        let now = Instant::now();
        if let Report::Container { pod, .. } = &report
            && let Some(waits) = routes.lock().unwrap().get(pod.uid.as_str())
        {
            let _ = waits.send((now, report));
        }
    };
    let config = Config { dir: dir.clone(), node: "bench".into(), exe: "/proc/self/exe".into() };
    let runtime = Runtime::open(config, route).expect("open the runtime (root is needed)");

    let run = |uid: &str| {
        let (sender, reports) = mpsc::channel();
        waiting.lock().unwrap().insert(uid.to_owned(), sender);
        let began = Instant::now();
        runtime.perform(Command::RunPod(spec(uid)));
        match reports.recv_timeout(Duration::from_secs(30)).expect("a report") {
            (at, Report::Container { state: ContainerState::Running { pid, .. }, .. }) => (at - began, pid),
            (_, other) => panic!("{other:?}"),
        }
    };
    let remove = |uid: &str| runtime.perform(Command::RemovePod(spec(uid).pod));
    // The first one unpacks the image.
    run("warm");
    remove("warm");

    let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= pods {
                        return;
                    }
                    let uid = format!("pod-{index}");
                    let (time, _) = run(&uid);
                    times.lock().unwrap().push(time);
                    remove(&uid);
                }
            });
        }
    });
    let all = began.elapsed();
    let mut times = times.into_inner().unwrap();
    times.sort();
    let ms = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("{pods} pods, {workers} workers, started and removed one after the other by each");
    println!("start  min {:.2}  p50 {:.2}  p90 {:.2}  p99 {:.2} ms", ms(0), ms(50), ms(90), ms(99));
    println!("start + removal  {:.0} pods/s", pods as f64 / all.as_secs_f64());

    let began = Instant::now();
    let together = 60;
    let inits: Vec<u32> = (0..together).filter_map(|index| parent(run(&format!("many-{index}")).1)).collect();
    let rate = f64::from(together) / began.elapsed().as_secs_f64();
    let sizes: Vec<u64> = inits.iter().filter_map(|pid| pss(*pid)).collect();
    println!("starts alone, one after the other  {rate:.0} pods/s");
    println!(
        "pod-init  {} kB PSS each, of {} together",
        sizes.iter().sum::<u64>() / sizes.len().max(1) as u64,
        sizes.len()
    );
    (0..together).for_each(|index| remove(&format!("many-{index}")));
    drop(runtime);
    down(&dir).expect("remove everything");
    println!("left behind: {}", if dir.exists() { "the directory" } else { "nothing" });
}
