//! Two of each: one leads, the other stands by, and who only believes to lead cannot write.

use crate::http::{PODS, Server};
use crate::world::{Daemon, Dir, MINIKU, isolated, run, stderr, stdout, until, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const URL: &str = "http://127.0.0.1:8080";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
/// So that a lease runs out in seconds, also on a busy machine.
const QUICK: [&str; 6] = [
    "--leader-elect-lease-duration",
    "6s",
    "--leader-elect-renew-deadline",
    "4s",
    "--leader-elect-retry-period",
    "500ms",
];

/// Closed until it is opened, for good.
#[derive(Default)]
struct Latch {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Latch {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn is_open(&self) -> bool {
        *self.is_open.lock().unwrap()
    }

    fn wait(&self) {
        drop(self.opened.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
    }
}

/// A way to an API server on which binds are held up until the gate is opened.
struct Gate {
    address: String,
    open: Arc<Latch>,
    held: Arc<AtomicUsize>,
    /// What the server said on connections that were held up.
    said: Arc<Mutex<Vec<u8>>>,
}

impl Gate {
    fn before(server: &'static str) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gate = Gate { address, open: Arc::default(), held: Arc::default(), said: Arc::default() };
        let (open, held, said) = (gate.open.clone(), gate.held.clone(), gate.said.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let marked = Arc::<AtomicBool>::default();
                let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                let (open, held, mark) = (open.clone(), held.clone(), marked.clone());
                thread::spawn(move || {
                    carry(&mut from, &mut to, |bytes| {
                        if !open.is_open() && bytes.windows(13).any(|part| part == b"/binding HTTP") {
                            mark.store(true, Ordering::Relaxed);
                            held.fetch_add(1, Ordering::Relaxed);
                            open.wait();
                        }
                    });
                });
                let (mut from, mut to, said) = (upstream, client, said.clone());
                thread::spawn(move || {
                    carry(&mut from, &mut to, |bytes| {
                        if marked.load(Ordering::Relaxed) {
                            said.lock().unwrap().extend(bytes);
                        }
                    });
                });
            }
        });
        gate
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }
}

/// Carries bytes one way until either end closes; each piece is shown before it goes on.
fn carry(from: &mut TcpStream, to: &mut TcpStream, mut show: impl FnMut(&[u8])) {
    let mut bytes = [0; 16 << 10];
    while let Ok(many @ 1..) = from.read(&mut bytes) {
        show(&bytes[..many]);
        if to.write_all(&bytes[..many]).is_err() {
            break;
        }
    }
    // Whichever end is still there learns of it.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn scheduler(url: &str) -> Daemon {
    Daemon::start(&[&["scheduler", "--server", url], &QUICK[..]].concat())
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}})
}

fn bound(server: &Server, name: &str) {
    until("the pod is bound", || server.pod(name).is_some_and(|pod| pod["spec"]["nodeName"] == "n"));
}

fn lease(server: &Server) -> Value {
    server.get(&format!("{LEASES}/kube-scheduler")).ok()["spec"].clone()
}

#[test]
fn a_paused_leader_wakes_up_and_cannot_write() {
    isolated(|| {
        let (store, node) = (Dir::new(), Dir::new());
        let apiserver = store.apiserver(&["--store", "memory"]);
        let server = apiserver.ready();
        let _kubelet =
            Daemon::start(&["kubelet", "--name", "n", "--server", URL, "--data-dir", node.path(), "--runtime", "fake"]);
        let gate = Gate::before("127.0.0.1:8080");
        let one = scheduler(&format!("http://{}", gate.address));
        one.says("successfully acquired lease kube-system/kube-scheduler");
        let other = scheduler(URL);
        other.says("new leader elected: ");
        let first = lease(&server);
        assert_eq!((&first["leaseTransitions"], &first["leaseDurationSeconds"]), (&json!(0), &json!(6)));

        // It stands still while it binds a pod.
        server.nodes_ready(&[("n", "True")]);
        server.post(PODS, &pod("a")).ok();
        until("the leader binds", || gate.held.load(Ordering::Relaxed) > 0);
        let it = Pid::from_raw(one.pid().cast_signed());
        kill(it, Signal::SIGSTOP).unwrap();
        other.says("successfully acquired lease kube-system/kube-scheduler");
        bound(&server, "a");
        let second = lease(&server);
        assert_eq!(second["leaseTransitions"], 1);
        assert_ne!(second["holderIdentity"], first["holderIdentity"]);

        // What it had asked for arrives, and is refused for its lease before anything else.
        gate.open.open();
        until("the bind is answered", || gate.said().contains("LeaseNotHeld"));
        let said = gate.said();
        assert!(said.contains(" 409 ") && said.contains("another leads"), "{said}");

        // It wakes up, learns of the other, and stands by.
        kill(it, Signal::SIGCONT).unwrap();
        one.says("stopped leading by lease kube-system/kube-scheduler");
        one.says(&format!("new leader elected: {}", second["holderIdentity"].as_str().unwrap()));
        server.post(PODS, &pod("b")).ok();
        bound(&server, "b");
        assert_eq!(lease(&server)["holderIdentity"], second["holderIdentity"]);
        let said = |event: &Value| event["message"].as_str().unwrap_or_default().ends_with("became leader");
        until("both elections are told", || {
            server.list("/api/v1/namespaces/kube-system/events").iter().filter(|event| said(event)).count() == 2
        });

        // Who ends gives the lease back, and the other need not wait until it has run out.
        let (status, _) = other.terminate();
        assert!(status.success());
        wait("the first leads again", || (lease(&server)["leaseTransitions"] == 2).then_some(()));
        assert_eq!(lease(&server)["holderIdentity"], first["holderIdentity"]);
        server.post(PODS, &pod("c")).ok();
        bound(&server, "c");
    });
}

#[test]
fn controllers_hand_their_leases_over() {
    isolated(|| {
        let store = Dir::new();
        let apiserver = store.apiserver(&["--store", "memory"]);
        let server = apiserver.ready();
        let controller = || Daemon::start(&["controller", "--server", URL]);
        let one = controller();
        one.says("workloads: successfully acquired lease kube-system/kube-controller-manager-workloads");
        let other = controller();
        other.says("workloads: new leader elected: ");
        let (status, _) = one.terminate();
        assert!(status.success());
        let began = Instant::now();
        other.says("workloads: successfully acquired lease");
        assert!(began.elapsed() < Duration::from_secs(14), "it waited until the lease had run out");
        let shown = server.cli("get leases -n kube-system");
        assert!(shown.contains("kube-controller-manager-workloads") && shown.contains("HOLDER"), "{shown}");

        // Who is not elected needs no lease, and looks at none.
        let alone = Daemon::start(&["scheduler", "--server", URL, "--leader-elect=false"]);
        alone.says("scheduler: asking");
        server.post(PODS, &pod("a")).ok();
        until("it was looked at", || {
            let events = server.list("/api/v1/namespaces/default/events");
            events.iter().any(|event| event["reason"] == "FailedScheduling")
        });
        assert_eq!(server.get(&format!("{LEASES}/kube-scheduler")).code, 404);

        // Times that make no sense, and a header that makes none.
        let wrong = run(MINIKU, &["scheduler", "--server", URL, "--leader-elect-renew-deadline", "20s"]);
        assert!(!wrong.status.success());
        let why = "the lease duration must be greater than the renew deadline";
        assert!(stderr(&wrong).contains(why), "{}", stderr(&wrong));
        let url = format!("{URL}{PODS}/a");
        let asked = run("curl", &["-s", "-X", "DELETE", "-H", "Miniku-Lease: nonsense", &url]);
        assert!(stdout(&asked).contains("NAMESPACE/LEASE; uid=UID"), "{}", stdout(&asked));
        let held = "Miniku-Lease: kube-system/kube-scheduler; uid=u; term=1; holder=me";
        let asked = run("curl", &["-s", "-X", "DELETE", "-H", held, &url]);
        assert!(stdout(&asked).contains("nobody can tell who leads"), "{}", stdout(&asked));
        assert!(server.pod("a").is_some());
    });
}
