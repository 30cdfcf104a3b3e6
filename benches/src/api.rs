//! The API server from outside, alone, with objects in memory unless something else is said: one object, lists, watches,
//! its start, its size.

use crate::Chosen;
use crate::load::Seen;
use crate::measure::Times;
use crate::peers;
use crate::process::{Binary, Directory, Fail, Http, Process, free_port};
use crate::table::{Outside, figure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

const PODS: &str = "/api/v1/namespaces/default/pods";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Measures some of it, and adds what it found.
type Part = fn(&Binary, &mut Vec<Outside>) -> Result<(), Fail>;

/// Measures all of it.
pub fn run(binary: &Binary, chosen: &Chosen, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let parts: [(&str, Part); 4] =
        [("api-get", one_object), ("api-list", lists), ("api-watch", watches), ("api-size", starts_and_sizes)];
    let all = chosen.0.is_empty() || chosen.0.iter().any(|word| word.eq_ignore_ascii_case("api"));
    for (_, part) in parts.into_iter().filter(|(name, _)| all || chosen.0.iter().any(|word| word == name)) {
        part(binary, rows)?;
    }
    Ok(())
}

fn put(rows: &mut Vec<Outside>, what: String, figure: String, further: String, peer: String) {
    let row = Outside { what, figure, further, peer };
    eprintln!("{row}");
    rows.push(row);
}

fn in_memory(binary: &Binary) -> Result<Process, Fail> {
    let port = free_port()?;
    let mut command = Command::new(&binary.0);
    Process::start(command.args(["apiserver", "--store", "memory", "--port", &port.to_string()]), port, "/readyz")
}

fn on_disk(binary: &Binary, directory: &Directory) -> Result<Process, Fail> {
    let port = free_port()?;
    let mut command = Command::new(&binary.0);
    command.args(["apiserver", "--port", &port.to_string(), "--data-dir"]).arg(&directory.0);
    Process::start(&mut command, port, "/readyz")
}

/// A pod as one runs: two kilobytes, with a node, conditions and the status of its container.
fn pod(nth: usize, nodes: usize) -> Vec<u8> {
    let node = nth % nodes;
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web-{nth:06}","labels":{{"app":"web","pod-template-hash":"5d59d67564"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d59d67564","uid":"3f6b8f0a-97d5-4c5b-8a5c-1f2f7f4f6a11","controller":true,"blockOwnerDeletion":true}}]}},"spec":{{"nodeName":"node-{node}","containers":[{{"name":"web","image":"registry.example.com/team/web:1.2.3","command":["/bin/web","--listen",":8080"],"env":[{{"name":"MODE","value":"production"}},{{"name":"LEVEL","value":"info"}}],"ports":[{{"name":"http","containerPort":8080}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}},"limits":{{"cpu":"500m","memory":"256Mi"}}}}}}]}}}}"#
    )
    .into_bytes()
}

/// Makes so many pods on so many nodes.
fn populate(port: u16, pods: usize, nodes: usize) -> Result<(), Fail> {
    let make = |from: usize, to: usize, path: &str, body: &(dyn Fn(usize) -> Vec<u8> + Sync)| -> Result<(), Fail> {
        std::thread::scope(|scope| {
            let part = |client: usize| -> Result<(), Fail> {
                let mut http = Http::to(port)?;
                for nth in (from + client..to).step_by(8) {
                    let (code, answer) = http.ask("POST", path, &body(nth))?;
                    if code != 201 {
                        return Err(Fail(format!("POST {path}: {code} {}", String::from_utf8_lossy(answer))));
                    }
                }
                Ok(())
            };
            let threads: Vec<_> = (0..8).map(|client| scope.spawn(move || part(client))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a client does not panic"))
        })
    };
    let node = |nth: usize| {
        format!(r#"{{"metadata":{{"name":"node-{nth}","labels":{{"zone":"z"}}}},"status":{{"capacity":{{"cpu":"8","memory":"32Gi","pods":"110"}},"allocatable":{{"cpu":"8","memory":"32Gi","pods":"110"}},"conditions":[{{"type":"Ready","status":"True"}}],"addresses":[{{"type":"InternalIP","address":"10.0.0.1"}}]}}}}"#).into_bytes()
    };
    make(0, nodes, "/api/v1/nodes", &node)?;
    make(0, pods, PODS, &|nth| pod(nth, nodes))
}

/// One object, at 16 connections.
fn one_object(binary: &Binary, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let server = in_memory(binary)?;
    populate(server.port, 16, 1)?;
    let path = |client: usize| format!("{PODS}/web-{client:06}");
    let seen = gets(server.port, 16, &path)?;
    let mut http = Http::to(server.port)?;
    let answer = http.ask("GET", &path(0), b"")?.1.to_vec();
    let peer = match peers::GoHttp::start(&answer) {
        Ok(go) => {
            let seen = gets(go.port(), 16, &|_| "/".into())?;
            format!("Go's net/http with the same answer, this run: {}", seen.short())
        }
        Err(why) => why,
    };
    let row = seen.row("GET of one pod, clients=16".into(), peer);
    eprintln!("{row}");
    rows.push(row);
    Ok(())
}

/// Has so many connections ask again as soon as they are answered, all from one thread: the other processor is the
/// server's.
fn gets(port: u16, count: usize, path: &dyn Fn(usize) -> String) -> Result<Seen, Fail> {
    let mut all = (0..count).map(|_| Http::to(port)).collect::<std::io::Result<Vec<_>>>()?;
    let (began, mut asked, mut times) = (Instant::now(), vec![Instant::now(); count], Vec::new());
    for (nth, http) in all.iter_mut().enumerate() {
        http.send("GET", &path(nth), "application/json", b"")?;
        asked[nth] = Instant::now();
    }
    while began.elapsed() < Duration::from_secs(2) {
        let mut fds: Vec<PollFd> = all.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::from(5000_u16)).map_err(|errno| Fail(errno.to_string()))?;
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for nth in (0..count).filter(|nth| ready[*nth]) {
            let (code, _) = all[nth].answer()?;
            times.push(asked[nth].elapsed());
            if code != 200 {
                return Err(Fail(format!("a GET was answered {code}")));
            }
            all[nth].send("GET", &path(nth), "application/json", b"")?;
            asked[nth] = Instant::now();
        }
    }
    let per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Seen { times: Times::of(times), per_second })
}

/// A list of 5,000 pods.
fn lists(binary: &Binary, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let server = in_memory(binary)?;
    populate(server.port, 5_000, 1_000)?;
    let mut http = Http::to(server.port)?;
    for (what, accept, peer) in [
        ("JSON", "application/json", "kube-apiserver, elsewhere: 216 ms, from its cache 130 ms"),
        ("a Table", TABLE, ""),
    ] {
        let (mut times, mut size) = (Vec::new(), 0);
        for _ in 0..25 {
            let asked = Instant::now();
            let (code, answer) = http.ask_for("GET", PODS, accept, b"")?;
            (times, size) = ([times, vec![asked.elapsed()]].concat(), answer.len());
            if code != 200 {
                return Err(Fail(format!("a list was answered {code}")));
            }
        }
        let (figures, _) = Times::of(times).ms();
        let further = format!("{} MiB", figure(size as f64 / f64::from(1 << 20)));
        put(rows, format!("LIST of 5,000 pods as {what}"), figures, further, peer.into());
    }
    Ok(())
}

/// Watchers, read by one thread so that the server has the other processor.
struct Watchers(Vec<TcpStream>);

impl Watchers {
    fn open(port: u16, count: usize, path: &str) -> Result<Self, Fail> {
        let one = |_| -> Result<TcpStream, Fail> {
            let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            Ok(stream)
        };
        let streams: Vec<TcpStream> = (0..count).map(one).collect::<Result<_, _>>()?;
        let mut all = Watchers(streams);
        // The heads, which end in an empty line.
        all.read(count, |text| text.windows(4).filter(|window| window == b"\r\n\r\n").count())?;
        all.0.iter().try_for_each(|stream| stream.set_nonblocking(true))?;
        Ok(all)
    }

    /// Reads until so many were counted in what came.
    fn read(&mut self, wanted: usize, count: impl Fn(&[u8]) -> usize) -> Result<(), Fail> {
        let (mut seen, mut some) = (0, vec![0; 256 << 10]);
        let until = Instant::now() + Duration::from_secs(30);
        while seen < wanted {
            if Instant::now() > until {
                return Err(Fail(format!("{seen} of {wanted} events came in 30 s")));
            }
            let mut fds: Vec<PollFd> = self.0.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)).collect();
            poll(&mut fds, PollTimeout::from(1000_u16)).map_err(|errno| Fail(errno.to_string()))?;
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            for (stream, _) in self.0.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                match stream.read(&mut some) {
                    Ok(0) => return Err(Fail("a watch has ended".into())),
                    Ok(length) => seen += count(&some[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// How many events end in a piece of a stream: each is a line.
fn events(text: &[u8]) -> usize {
    text.windows(2).filter(|window| window == b"}\n").count()
}

/// Who is told of a patch when, how many events there are a second, and what those cost who wait for nothing.
fn watches(binary: &Binary, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let server = in_memory(binary)?;
    populate(server.port, 200, 1)?;
    let path = format!("{PODS}?watch=1&resourceVersion=");
    let from_now = |http: &mut Http| -> Result<String, Fail> {
        let answer = http.ask("GET", &format!("{PODS}?limit=1"), b"")?.1.to_vec();
        let list: serde_json::Value = serde_json::from_slice(&answer).map_err(|error| Fail(error.to_string()))?;
        Ok(format!("{path}{}", list["metadata"]["resourceVersion"].as_str().unwrap_or("")))
    };
    let mut http = Http::to(server.port)?;
    let mut watchers = Watchers::open(server.port, 100, &from_now(&mut http)?)?;
    let patch = |nth: usize| format!(r#"{{"metadata":{{"annotations":{{"n":"{nth}"}}}}}}"#).into_bytes();
    let mut times = Vec::new();
    for nth in 0..300 {
        let asked = Instant::now();
        http.send("PATCH", &format!("{PODS}/web-000000"), "application/merge-patch+json", &patch(nth))?;
        watchers.read(100, events)?;
        times.push(asked.elapsed());
        http.answer()?;
    }
    let (figures, p99) = Times::of(times).ms();
    let what = "a patch until the last of 100 watchers has read it";
    put(rows, what.into(), figures, format!("p99 {p99}"), "kube-apiserver, elsewhere: 5 to 7 ms".into());

    let (writers, writes) = (8, 500);
    let mut rates = Vec::new();
    for round in 0..3 {
        let began = Instant::now();
        std::thread::scope(|scope| -> Result<(), Fail> {
            let write = |writer: usize| -> Result<(), Fail> {
                let mut http = Http::to(server.port)?;
                for nth in 0..writes {
                    let path = format!("{PODS}/web-{:06}", writer * 20 + nth % 20);
                    let body = patch(1_000 * (round + 1) + nth);
                    http.send("PATCH", &path, "application/merge-patch+json", &body)?;
                    http.answer()?;
                }
                Ok(())
            };
            let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || write(writer))).collect();
            watchers.read(100 * writers * writes, events)?;
            threads.into_iter().try_for_each(|thread| thread.join().expect("a writer does not panic"))
        })?;
        rates.push((100 * writers * writes) as f64 / began.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    let further = format!("{}–{}/s; {} writes", figure(rates[0]), figure(rates[2]), writers * writes);
    let what = "events delivered to 100 watchers, two kilobytes each";
    put(
        rows,
        what.into(),
        format!("{}/s", figure(rates[1])),
        further,
        "kube-apiserver, elsewhere: 25 k to 29 k/s".into(),
    );
    drop(watchers);

    let before = server.mebibytes("status", "VmRSS")?;
    let idle = Watchers::open(server.port, 1_000, &from_now(&mut http)?)?;
    let after = server.mebibytes("status", "VmRSS")?;
    let further = format!("{} MiB in all", figure(after));
    put(rows, "1,000 idle watchers".into(), format!("{} MiB", figure(after - before)), further, String::new());
    drop(idle);
    Ok(())
}

/// How soon it serves, and how large it is.
fn starts_and_sizes(binary: &Binary, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let starts = (0..9).map(|nth| Ok(on_disk(binary, &Directory::new(&format!("start-{nth}"))?)?.ready_after));
    let starts = starts.collect::<Result<Vec<_>, Fail>>()?;
    let peer = "kube-apiserver, elsewhere: 4.9–6.8 s";
    let what = "exec of `miniku apiserver` to /readyz, nothing stored";
    put(rows, what.into(), Times::of(starts).ms().0, String::new(), peer.into());

    let directory = Directory::new("crash")?;
    let server = on_disk(binary, &directory)?;
    populate(server.port, 100_000, 100)?;
    server.kill()?;
    let mut starts = Vec::new();
    for _ in 0..3 {
        let again = on_disk(binary, &directory)?;
        starts.push(again.ready_after);
        again.kill()?;
    }
    let what = "the same after kill -9, 100,000 pods stored";
    put(rows, what.into(), Times::of(starts).ms().0, String::new(), String::new());

    for (pods, nodes, peer) in
        [(5_000, 1_000, "Kubernetes in four processes, elsewhere: 990 MiB"), (150_000, 5_000, "")]
    {
        let server = in_memory(binary)?;
        populate(server.port, pods, nodes)?;
        let size = server.mebibytes("status", "VmRSS")?;
        let what = format!("resident memory of `miniku apiserver` with {pods} pods on {nodes} nodes");
        put(rows, what, format!("{} MiB", figure(size)), String::new(), peer.into());
    }
    Ok(())
}
