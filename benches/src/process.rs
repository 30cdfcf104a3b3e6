//! miniku as a process: built, started, looked at, stopped.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Why something could not be measured: one sentence.
#[derive(Debug)]
pub struct Fail(pub String);

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        Fail(error.to_string())
    }
}

/// The release binary.
pub struct Binary(pub PathBuf);

impl Binary {
    /// Builds it as this one was built; it lies beside it.
    pub fn build() -> Result<Self, Fail> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--release", "-p", "miniku", "--manifest-path"])
            .arg(manifest)
            .status()?;
        let path = std::env::current_exe()?.with_file_name("miniku");
        match built.success() && path.exists() {
            true => Ok(Binary(path)),
            false => Err(Fail(format!("there is no {}; run this with cargo run --release", path.display()))),
        }
    }
}

/// A directory that is removed at the end.
pub struct Directory(pub PathBuf);

impl Directory {
    /// A new one.
    pub fn new(what: &str) -> Result<Self, Fail> {
        let path = std::env::temp_dir().join(format!("miniku-bench-{}-{what}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is not there needs no removal.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16, Fail> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A server process. Asked to stop, and waited for, when dropped.
pub struct Process {
    child: Child,
    pub port: u16,
    /// From its start to its first good answer.
    pub ready_after: Duration,
}

impl Process {
    /// Starts a program that serves `path` on a port when it is ready.
    pub fn start(command: &mut Command, port: u16, path: &str) -> Result<Self, Fail> {
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut process = Process { child, port, ready_after: Duration::ZERO };
        while began.elapsed() < Duration::from_secs(20) {
            if let Some(status) = process.child.try_wait()? {
                return Err(Fail(format!("{:?} ended with {status}", command.get_program())));
            }
            if Http::to(port).and_then(|mut http| Ok(http.ask("GET", path, b"")?.0)).is_ok_and(|code| code == 200) {
                process.ready_after = began.elapsed();
                return Ok(process);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Err(Fail(format!("{:?} is not ready after 20 s", command.get_program())))
    }

    /// Ends it at once, as a crash does.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// How long processors have worked for it, in hundredths of a second.
    pub fn processor_time(&self) -> Result<Duration, Fail> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may have anything in it. Source: proc_pid_stat(5).
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok(Duration::from_millis((user + system) * 10)),
            _ => Err(Fail("/proc has no times of the process".into())),
        }
    }

    /// A number of kilobytes from one of its files in /proc, in MiB.
    pub fn mebibytes(&self, file: &str, name: &str) -> Result<f64, Fail> {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        kilobytes.map(|kilobytes| kilobytes / 1024.0).ok_or_else(|| Fail(format!("{file} has no {name}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        // It has ended already, if that fails.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A keep-alive connection. Does as little as a client can, so that two processors are left to the server.
pub struct Http {
    stream: TcpStream,
    host: String,
    got: Vec<u8>,
}

impl Http {
    /// Connects to a port on this machine.
    pub fn to(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Http { stream, host: format!("127.0.0.1:{port}"), got: Vec::new() })
    }

    /// Sends a request and waits for the whole answer, which must tell its length.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, &[u8])> {
        self.ask_for(method, path, "application/json", body)
    }

    /// The same, for an answer of this type.
    pub fn ask_for(&mut self, method: &str, path: &str, accept: &str, body: &[u8]) -> io::Result<(u16, &[u8])> {
        self.request(method, path, &format!("Content-Type: application/json\r\nAccept: {accept}"), body)?;
        self.answer()
    }

    /// Sends a request with a body of this type. Its answer is to be read by [`Http::answer`].
    pub fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> io::Result<()> {
        self.request(method, path, &format!("Content-Type: {kind}"), body)
    }

    fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let (host, length) = (&self.host, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\nContent-Length: {length}\r\n\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat())
    }

    /// Follows an answer that comes in chunks and lines, as that of a watch does, until `each` has heard enough.
    pub fn follow(&mut self, path: &str, mut each: impl FnMut(&str) -> bool) -> io::Result<()> {
        self.request("GET", path, "Accept: application/json", b"")?;
        let mut chunk = vec![0; 256 << 10];
        let (mut raw, mut text, mut begun) = (Vec::new(), Vec::new(), false);
        loop {
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => raw.extend_from_slice(&chunk[..count]),
            }
            if !begun {
                let Some(head) = raw.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                raw.drain(..head + 4);
                begun = true;
            }
            // Each chunk is its length, a line's end, its bytes, and a line's end. Source: RFC 9112, section 7.1.
            let mut at = 0;
            while let Some(end) = raw[at..].windows(2).position(|window| window == b"\r\n") {
                let length = std::str::from_utf8(&raw[at..at + end]).ok();
                let length = length.and_then(|text| usize::from_str_radix(text, 16).ok());
                let Some(length) = length else { return Err(io::ErrorKind::InvalidData.into()) };
                let from = at + end + 2;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let Some(bytes) = raw.get(from..from + length).filter(|_| raw.len() >= from + length + 2) else {
                    break;
                };
                text.extend_from_slice(bytes);
                at = from + length + 2;
            }
            raw.drain(..at);
            let mut begin = 0;
            while let Some(end) = text[begin..].iter().position(|byte| *byte == b'\n') {
                if !each(&String::from_utf8_lossy(&text[begin..begin + end])) {
                    return Ok(());
                }
                begin += end + 1;
            }
            text.drain(..begin);
        }
    }

    /// To wait for an answer with others.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Waits for the whole answer to what was sent.
    pub fn answer(&mut self) -> io::Result<(u16, &[u8])> {
        self.got.clear();
        let mut chunk = [0; 64 << 10];
        // Where the body begins and ends, once the head is there.
        let mut whole = None;
        let end = loop {
            if whole.is_none()
                && let Some(head) = self.got.windows(4).position(|window| window == b"\r\n\r\n")
            {
                whole = length(&self.got[..head]).map(|length| (head + 4, head + 4 + length));
            }
            if let Some((begin, end)) = whole
                && self.got.len() >= end
            {
                break begin;
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.got.extend_from_slice(&chunk[..count]),
            }
        };
        let code = self.got.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        Ok((code.ok_or(io::ErrorKind::InvalidData)?, &self.got[end..]))
    }
}

fn length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    // "No Content" has no length either.
    if text.get(9..12) == Some("204") {
        return Some(0);
    }
    let line = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    line?.trim().parse().ok()
}
