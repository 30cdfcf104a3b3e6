//! Peers, measured in the same run where they are installed: etcd and crun, as Debian packages them.

use crate::load::{Seen, clients};
use crate::measure::Times;
use crate::process::{Directory, Fail, Process, free_port};
use crate::table::figure;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// etcd 3.4.23 over gRPC with values of 1 KiB, on a machine of this kind, by the number of clients.
pub static ETCD_GRPC_PUTS: LazyLock<BTreeMap<usize, &'static str>> = LazyLock::new(|| {
    BTreeMap::from([
        (1, "0.35 ms, p99 1.4 ms, 2468/s"),
        (16, "1.76 ms, p99 6 ms, 7990/s"),
        (64, "4.9 ms, p99 15.7 ms, 11.6 k/s"),
    ])
});

/// An etcd of its own, on loopback.
pub struct Etcd {
    process: Process,
    _directory: Directory,
}

impl Etcd {
    /// Starts it.
    pub fn start() -> Result<Self, String> {
        let start = || -> Result<Self, Fail> {
            let (directory, port, peer) = (Directory::new("etcd")?, free_port()?, free_port()?);
            let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
            let mut command = Command::new("etcd");
            command.arg("--data-dir").arg(directory.0.join("data"));
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &format!("default={peer}")]);
            Ok(Etcd { process: Process::start(&mut command, port, "/health")?, _directory: directory })
        };
        start().map_err(|fail| format!("no etcd ({fail})"))
    }

    /// Durable puts of 1 KiB through its JSON gateway.
    pub fn puts(&self, count: usize) -> Result<Seen, Fail> {
        let value = "eHh4".repeat(342);
        clients(self.process.port, count, |client, nth| {
            let key = base64(format!("k{count}-{client}-{nth}").as_bytes());
            ("POST", "/v3/kv/put".into(), format!(r#"{{"key":"{key}","value":"{value}"}}"#).into_bytes())
        })
    }
}

/// A server of Go's net/http that gives one answer to everything, on loopback.
pub struct GoHttp {
    process: Process,
    _directory: Directory,
}

impl GoHttp {
    /// Builds and starts it.
    pub fn start(answer: &[u8]) -> Result<Self, String> {
        let start = || -> Result<Self, Fail> {
            let (directory, port) = (Directory::new("go")?, free_port()?);
            let source = directory.0.join("main.go");
            std::fs::write(&source, GO_SERVER)?;
            std::fs::write(directory.0.join("answer"), answer)?;
            let program = directory.0.join("server");
            let mut build = Command::new("go");
            build.env("GO111MODULE", "off").env("GOCACHE", directory.0.join("cache")).env("GOFLAGS", "-buildvcs=false");
            if !build.args(["build", "-o"]).arg(&program).arg(&source).stdin(Stdio::null()).status()?.success() {
                return Err(Fail("it cannot be built".into()));
            }
            let mut command = Command::new(program);
            command.arg(port.to_string()).arg(directory.0.join("answer"));
            Ok(GoHttp { process: Process::start(&mut command, port, "/")?, _directory: directory })
        };
        start().map_err(|fail| format!("no Go ({fail})"))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.process.port
    }
}

const GO_SERVER: &str = r#"package main

import (
	"net/http"
	"os"
)

func main() {
	answer, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/", func(to http.ResponseWriter, _ *http.Request) {
		to.Header().Set("Content-Type", "application/json")
		to.Write(answer)
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
"#;

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for nth in 0..4 {
            match nth <= three.len() {
                true => text.push(char::from(DIGITS[(number >> (18 - 6 * nth) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

/// What crun takes to run `true` in five namespaces and a cgroup, so many at once.
pub fn crun(workers: usize) -> String {
    let measured = || -> Result<String, Fail> {
        let directory = Directory::new("crun")?;
        bundle(&directory.0)?;
        let own = std::env::current_exe()?;
        // crun refuses machines with both versions of cgroups, so it is shown the first alone.
        let script = r#"umount /sys/fs/cgroup/unified 2>/dev/null; exec "$0" crun-starts "$1" "$2""#;
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", script])
            .arg(own)
            .arg(&directory.0)
            .arg(workers.to_string())
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(Fail(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    };
    measured().map_or_else(|fail| format!("no crun ({fail})"), |figure| format!("crun run, this run: {figure}"))
}

fn bundle(directory: &Path) -> Result<(), Fail> {
    let rootfs = directory.join("rootfs");
    std::fs::create_dir_all(&rootfs)?;
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rootfs/out/busybox.tar");
    let unpacked = Command::new("tar").arg("-xf").arg(image).arg("-C").arg(&rootfs).status()?;
    if !unpacked.success() {
        return Err(Fail("the image cannot be unpacked".into()));
    }
    ["proc", "dev", "sys"].iter().try_for_each(|name| std::fs::create_dir_all(rootfs.join(name)))?;
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| serde_json::json!({"type": kind}));
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/", "noNewPrivileges": true,
            "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"],
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "bench",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        ],
        "linux": {"namespaces": namespaces, "resources": {"devices": [{"allow": false, "access": "rwm"}]}},
    });
    Ok(std::fs::write(directory.join("config.json"), config.to_string())?)
}

/// Runs crun again and again, and prints how long it took. This program calls itself with it, in a mount namespace.
pub fn crun_starts(arguments: &[String]) -> ExitCode {
    let [bundle, workers] = arguments else { return ExitCode::FAILURE };
    let workers: usize = workers.parse().unwrap_or(1);
    let once = |nth: usize| -> Result<Duration, Fail> {
        let mut command = Command::new("crun");
        command.args(["run", "-b", bundle, &format!("miniku-bench-{}-{nth}", std::process::id())]);
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        match output.status.success() {
            true => Ok(began.elapsed()),
            false => Err(Fail(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    };
    let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let run = || -> Result<(), Fail> {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= 200 {
                return Ok(());
            }
            let time = once(nth)?;
            times.lock().expect("nobody panics with it").push(time);
        }
    };
    let began = Instant::now();
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
    });
    if let Err(fail) = done {
        eprintln!("{fail}");
        return ExitCode::FAILURE;
    }
    let rate = next.into_inner().min(200) as f64 / began.elapsed().as_secs_f64();
    let (figures, p99) = Times::of(times.into_inner().expect("nobody panics with it")).ms();
    let mut line = String::new();
    let _ = write!(line, "{figures}, p99 {p99}, {}/s", figure(rate));
    println!("{line}");
    ExitCode::SUCCESS
}
