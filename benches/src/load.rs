//! Many clients at once, over HTTP: durable writes and small reads.

use crate::Chosen;
use crate::measure::Times;
use crate::peers;
use crate::process::{Binary, Directory, Fail, Http, Process, free_port};
use crate::table::{Outside, figure};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a load lasts, and the number of requests it ends at.
const LOAD: (Duration, usize) = (Duration::from_millis(1500), 40_000);

/// What clients saw.
pub struct Seen {
    pub times: Times,
    pub per_second: f64,
}

impl Seen {
    /// As a row of the table.
    pub fn row(&self, what: String, peer: String) -> Outside {
        let ms = |share: f64| figure(self.times.at(share).as_secs_f64() * 1e3);
        Outside {
            what,
            figure: format!("{} ms", ms(0.5)),
            further: format!("p99 {} ms, {}/s", ms(0.99), figure(self.per_second)),
            peer,
        }
    }

    /// In few words.
    pub fn short(&self) -> String {
        let ms = |share: f64| figure(self.times.at(share).as_secs_f64() * 1e3);
        format!("{} ms, p99 {} ms, {}/s", ms(0.5), ms(0.99), figure(self.per_second))
    }
}

/// Has clients ask, each on its own connection, the next when the last is answered. `request` makes the nth request of
/// a client: method, path, body.
pub fn clients(
    port: u16,
    count: usize,
    request: impl Fn(usize, usize) -> (&'static str, String, Vec<u8>) + Sync,
) -> Result<Seen, Fail> {
    let began = Instant::now();
    let run = |client: usize| -> Result<Vec<Duration>, Fail> {
        let (mut http, mut times) = (Http::to(port)?, Vec::new());
        while began.elapsed() < LOAD.0 && times.len() < LOAD.1 / count {
            let (method, path, body) = request(client, times.len());
            let asked = Instant::now();
            let (code, answer) = http.ask(method, &path, &body)?;
            times.push(asked.elapsed());
            if !(200..300).contains(&code) {
                return Err(Fail(format!("{method} {path}: {code} {}", String::from_utf8_lossy(answer))));
            }
        }
        Ok(times)
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|client| scope.spawn(move || run(client))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect::<Vec<_>>()
    });
    let took = began.elapsed();
    let times: Vec<Duration> = all.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let per_second = times.len() as f64 / took.as_secs_f64();
    Ok(Seen { times: Times::of(times), per_second })
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

/// As large as etcd's value: 1 KiB.
fn lease(name: &str) -> Vec<u8> {
    let filling = "x".repeat(800);
    format!(
        r#"{{"metadata":{{"name":"{name}","annotations":{{"filling":"{filling}"}}}},"spec":{{"holderIdentity":"a"}}}}"#
    )
    .into_bytes()
}

/// Loads an API server on redb, and etcd the same way where it is installed.
pub fn run(binary: &Binary, chosen: &Chosen, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let (directory, port) = (Directory::new("load")?, free_port()?);
    let mut command = Command::new(&binary.0);
    command.args(["apiserver", "--port", &port.to_string(), "--data-dir"]).arg(&directory.0);
    let server = Process::start(&mut command, port, "/readyz")?;
    let etcd = peers::Etcd::start();
    // Measured once and thrown away: the first flushes extend the file, and threads are hired.
    clients(port, 16, |client, nth| ("POST", LEASES.into(), lease(&format!("warm-{client}-{nth}"))))?;
    for count in [1, 16, 64] {
        if chosen.0.iter().any(|word| word.eq_ignore_ascii_case("get")) {
            break;
        }
        let seen =
            clients(port, count, |client, nth| ("POST", LEASES.into(), lease(&format!("l{count}-{client}-{nth}"))))?;
        let peer = match &etcd {
            Ok(etcd) => format!("etcd, JSON gateway, this run: {}; ", etcd.puts(count)?.short()),
            Err(why) => format!("{why}; "),
        };
        let row = seen.row(
            format!("durable create of 1 KiB over HTTP, clients={count}"),
            format!("{peer}gRPC elsewhere: {}", peers::ETCD_GRPC_PUTS[&count]),
        );
        eprintln!("{row}");
        rows.push(row);
    }
    for count in [1, 16, 64] {
        let path = |client: usize| format!("{LEASES}/warm-{}-0", client % 16);
        let seen = clients(port, count, |client, _| ("GET", path(client), Vec::new()))?;
        let row = seen.row(format!("GET of 1 KiB over HTTP, clients={count}"), String::new());
        eprintln!("{row}");
        rows.push(row);
    }
    drop(server);
    Ok(())
}
