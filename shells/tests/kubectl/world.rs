//! A directory, a server, and foreign programs that are told of it.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Long, for a busy machine; nothing waits so long unless it fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// What is not of this repository, put there by `.ci/setup.sh`.
pub fn tools() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools"))
}

/// Where everything of one scenario is, and what runs for it. Removed and ended with it.
pub struct World {
    pub directory: PathBuf,
    server: Option<(Child, String)>,
    tls: Option<Child>,
}

impl World {
    pub fn new() -> World {
        assert!(tools().join("kubectl").exists(), "kubectl is not in {}: ./check puts it there", tools().display());
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("mkk{}-{number}", std::process::id()));
        // kubectl keeps what it learned of a server at an address; the address may be another server's by then.
        fs::create_dir_all(directory.join("home")).unwrap();
        World { directory, server: None, tls: None }
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Starts what the words say, and makes it what kubectl asks.
    pub fn serve(&mut self, words: &[String]) {
        match words {
            [tls] if tls == "tls" => {
                let (proxy, address) = tls_before(self.address(), &self.directory);
                self.tls = Some(proxy);
                self.configure(&format!("https://{address}"));
            }
            _ => {
                let (child, address) = miniku(words, &self.directory);
                self.configure(&format!("http://{address}"));
                self.server = Some((child, address));
            }
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> &str {
        &self.server.as_ref().expect("a scenario begins with its server").1
    }

    /// JSON is YAML, too.
    fn configure(&self, server: &str) {
        let named =
            |what: &str, value: &str| format!("\"{what}s\": [{{\"name\": \"miniku\", \"{what}\": {{{value}}}}}]");
        // The certificate is made for the test, by nobody whom anybody knows.
        let insecure = server.starts_with("https");
        let cluster = named("cluster", &format!("\"server\": \"{server}\", \"insecure-skip-tls-verify\": {insecure}"));
        let context = named("context", "\"cluster\": \"miniku\", \"user\": \"me\", \"namespace\": \"default\"");
        let config = format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"Config\", {cluster}, {context}, \"current-context\": \"miniku\"}}\n"
        );
        self.write("config", &config);
    }

    /// Runs a line of shell to its end: its exit code, and what it said on both outputs.
    pub fn sh(&self, line: &str) -> (i32, String) {
        self.run(Command::new("sh").args(["-c", line]))
    }

    /// Runs a program to its end, which must come before the deadline: its exit code, and what it said on both outputs.
    pub fn run(&self, command: &mut Command) -> (i32, String) {
        let (mut output, input) = std::io::pipe().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let own = Path::new(env!("CARGO_BIN_EXE_miniku")).parent().expect("a file is in a directory");
        command
            .current_dir(&self.directory)
            .env("PATH", format!("{}:{}:{path}", tools().display(), own.display()))
            .env("HOME", self.directory.join("home"))
            .env("KUBECONFIG", self.directory.join("config"))
            .env("SERVER", format!("http://{}", self.address()))
            .env("MINIKU_SERVER", format!("http://{}", self.address()))
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(input.try_clone().unwrap())
            .stderr(input)
            .process_group(0);
        let mut child = command.spawn().unwrap();
        // The writing ends that this process has would keep the output open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            output.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        let deadline = Instant::now() + DEADLINE * 2;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                break None;
            }
            thread::sleep(Duration::from_millis(5));
        };
        // Whatever it left behind would have the output open, too. Mostly nothing is left.
        let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        let _ = child.wait();
        let text = reader.join().unwrap();
        match status {
            Some(status) => (status.code().unwrap_or(-1), text),
            None => (-1, format!("{text}\n-- it did not end\n")),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for mut child in self.tls.take().into_iter().chain(self.server.take().map(|(child, _)| child)) {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("-- miniku said:\n{}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Starts miniku at a free port, with nothing on disk that lasts, and waits until it serves; where.
fn miniku(words: &[String], directory: &Path) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miniku"));
    command.args(words).args(["--port", "0", "--store", "memory", "--data-dir"]).arg(directory.join("data"));
    if words[0] == "up" {
        command.args(["--runtime", "fake"]);
    }
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (stderr, log) = (BufReader::new(child.stderr.take().unwrap()), directory.join("log"));
    // Ends with the process, which alone has the other end.
    thread::spawn(move || {
        let mut all = String::new();
        for line in stderr.lines().map_while(Result::ok) {
            let ready = line.split_once("ready at http://");
            if let Some(address) = ready.and_then(|(_, rest)| rest.split(' ').next()) {
                let _ = tell.send(address.to_owned());
            }
            all.push_str(&line);
            all.push('\n');
            // The directory goes before the process has ended.
            let _ = fs::write(&log, &all);
        }
    });
    let Ok(address) = told.recv_timeout(DEADLINE) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("miniku {words:?} did not come up: {}", fs::read_to_string(directory.join("log")).unwrap_or_default());
    };
    (child, address)
}

/// A program that speaks TLS with clients and forwards what they say; where.
fn tls_before(address: &str, directory: &Path) -> (Child, String) {
    let pem = directory.join("tls.pem");
    let pem = pem.to_str().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=localhost", "-keyout", pem, "-out", &format!("{pem}.crt")])
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "openssl made no certificate");
    let listen = format!("OPENSSL-LISTEN:0,bind=127.0.0.1,fork,reuseaddr,key={pem},cert={pem}.crt,verify=0");
    let mut proxy = Command::new("socat")
        .args(["-d", "-d", &listen, &format!("TCP:{address}")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("socat is there, ./check installs it");
    // "… listening on AF=2 127.0.0.1:37019"
    let mut lines = BufReader::new(proxy.stderr.take().unwrap()).lines().map_while(Result::ok);
    let at = lines.find_map(|line| line.split_once("listening on AF=2 ").map(|(_, at)| at.trim().to_owned()));
    thread::spawn(move || lines.for_each(drop));
    (proxy, at.expect("socat says where it listens"))
}
