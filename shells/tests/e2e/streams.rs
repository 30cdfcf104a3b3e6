//! Exec, attach and port-forward: a client of the tests' own against real containers, and the command line.

use crate::http::{PODS, Server, pod};
use crate::world::{DEADLINE, Daemon, Dir, MINIKU, isolated, run, stderr, stdout, until, wait};
use miniku::client::{Credentials, ServerUrl};
use miniku::streams::channels::{self, Channels, PROTOCOLS, Said};
use miniku::streams::dial::{Refused, dial};
use miniku::streams::websocket::{Event, WebSocket};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn up() -> (Dir, Daemon, Server) {
    let dir = Dir::new();
    let up = dir.up(&["--store", "memory", "--nodes", "1"]);
    let server = up.ready();
    server.run_pod("p", "Always", "trap 'exit 0' TERM; while true; do sleep 0.2; done");
    server.pod_in_phase("p", "Running");
    (dir, up, server)
}

/// A connection to a process.
struct Client {
    stream: TcpStream,
    socket: WebSocket,
    protocol: String,
    channels: Channels,
}

/// All that a process said.
#[derive(Debug, Default)]
struct Heard {
    stdout: Vec<u8>,
    stderr: String,
    status: Vec<u8>,
    /// Bytes of output that came after the status.
    late: usize,
    close: Option<u16>,
}

impl Client {
    fn dial(server: &Server, path: &str, protocols: &[&str]) -> Result<Client, Refused> {
        let url: ServerUrl = server.url().parse().unwrap();
        let (stream, socket, protocol) = dial(&url, &Credentials::default(), &format!("{PODS}/{path}"), protocols)?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Ok(Client { stream, socket, protocol, channels: Channels::default() })
    }

    /// Runs a script in the pod `p`.
    fn sh(server: &Server, script: &str) -> Client {
        let script = script.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace(' ', "+");
        let path = format!("p/exec?command=sh&command=-c&command={script}&stdin=true&stdout=1&stderr=True");
        Client::dial(server, &path, PROTOCOLS).unwrap()
    }

    fn say(&mut self, channel: u8, bytes: &[u8]) {
        self.socket.send(&[&[channel], bytes]);
        self.flush();
    }

    fn flush(&mut self) {
        while !self.socket.out.is_empty() {
            self.socket.out.write_to(&mut self.stream).unwrap();
        }
    }

    fn end_input(&mut self) {
        self.say(channels::END, &[channels::STDIN]);
    }

    fn next(&mut self) -> Option<Event> {
        let mut some = [0; 64 << 10];
        loop {
            if let Some(event) = self.socket.next().unwrap() {
                return Some(event);
            }
            match self.stream.read(&mut some).unwrap() {
                0 => return None,
                count => self.socket.feed(&some[..count]),
            }
        }
    }

    /// Hears until this was written.
    fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let event = self.next().unwrap_or_else(|| panic!("it ended after {all:?}"));
            if let Some(Said::Bytes(_, bytes)) = self.channels.take(event) {
                all += &String::from_utf8_lossy(&bytes);
            }
        }
        all
    }

    fn rest(mut self) -> Heard {
        let mut heard = Heard::default();
        while let Some(event) = self.next() {
            if let Event::Close(code) = event {
                heard.close = Some(code);
                self.flush();
                continue;
            }
            match self.channels.take(event) {
                Some(Said::Bytes(channel, bytes)) => {
                    heard.late += if heard.status.is_empty() { 0 } else { bytes.len() };
                    match channel {
                        channels::STDOUT => heard.stdout.extend(bytes),
                        _ => heard.stderr += &String::from_utf8(bytes).unwrap(),
                    }
                }
                Some(Said::Message(channels::STATUS, status)) => heard.status = status,
                _ => {}
            }
        }
        heard
    }
}

impl Heard {
    #[track_caller]
    fn code(&self) -> i32 {
        assert_eq!((self.close, self.late), (Some(1000), 0), "{self:?}");
        channels::outcome(&self.status).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// What a process that is refused is refused with.
#[track_caller]
fn refused(server: &Server, path: &str, protocols: &[&str]) -> (u16, String) {
    match Client::dial(server, path, protocols) {
        Ok(_) => panic!("it was not refused"),
        Err(Refused::Io(error)) => panic!("{error}"),
        Err(Refused::Answer(code, body)) => {
            let status: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(code)));
            (code, status["message"].as_str().unwrap().to_owned())
        }
    }
}

#[test]
fn a_command_is_run_in_a_container() {
    isolated(|| {
        let (_dir, _up, server) = up();
        let heard = Client::sh(&server, "echo out; echo err >&2; exit 3").rest();
        assert_eq!((heard.code(), heard.text().as_str(), heard.stderr.as_str()), (3, "out\n", "err\n"));
        let status: Value = serde_json::from_slice(&heard.status).unwrap();
        let message = "command terminated with non-zero exit code: exit status 3";
        assert_eq!(
            (&status["reason"], &status["message"], &status["details"]["causes"][0]["message"]),
            (&json!("NonZeroExitCode"), &json!(message), &json!("3"))
        );
        let heard = Client::sh(&server, "true").rest();
        assert_eq!(heard.status, br#"{"metadata":{},"status":"Success"}"#);

        // The input, in whatever pieces, and its end.
        let mut client = Client::sh(&server, "cat; echo ended");
        assert_eq!(client.protocol, "v5.channel.k8s.io");
        let text: String = (0..100_000).map(|number| format!("{number}\n")).collect();
        for piece in text.as_bytes().chunks(10_000) {
            client.say(channels::STDIN, piece);
        }
        client.end_input();
        let heard = client.rest();
        assert_eq!((heard.code(), heard.text()), (0, text + "ended\n"));

        // As Python's client says it: version 4, a text frame; here masked with zeros, and in two parts.
        let path = "p/exec?command=head&command=-n1&stdin=True&stdout=True&tty=False";
        let mut client = Client::dial(&server, path, &["v4.channel.k8s.io"]).unwrap();
        client.stream.write_all(b"\x01\x84\0\0\0\0\0abc").unwrap();
        client.stream.write_all(b"\x89\x80\0\0\0\0\x80\x82\0\0\0\0d\n").unwrap();
        let heard = client.rest();
        assert_eq!((heard.code(), heard.text().as_str()), (0, "abcd\n"));

        // What cannot be executed is told when all else is agreed on.
        let heard = Client::dial(&server, "p/exec?command=nonsense&stdout=1", PROTOCOLS).unwrap().rest();
        let message = channels::outcome(&heard.status).unwrap_err();
        assert!(message.contains("error executing command in container: exec \"nonsense\""), "{message}");
    });
}

#[test]
fn a_terminal_has_a_size() {
    isolated(|| {
        let (_dir, _up, server) = up();
        let path = "p/exec?command=sh&stdin=1&stdout=1&stderr=1&tty=1";
        let mut client = Client::dial(&server, path, PROTOCOLS).unwrap();
        client.say(channels::RESIZE, &channels::size_message(91, 37));
        client.say(channels::STDIN, b"tty; stty size; echo $((40+2))\n");
        let shown = client.until("42\r\n");
        assert!(shown.contains("/dev/pts/0\r\n37 91\r\n"), "{shown}");
        client.say(channels::RESIZE, &channels::size_message(100, 20));
        client.say(channels::STDIN, b"stty size; sh -c 'echo sle''eps; exec sleep 1000'\n");
        let shown = client.until("sleeps\r\n");
        assert!(shown.contains("20 100\r\n"), "{shown}");
        client.say(channels::STDIN, b"\x03exit 9\n");
        assert_eq!(client.rest().code(), 9);
    });
}

#[test]
fn all_output_comes_before_the_end_and_none_piles_up() {
    isolated(|| {
        let (_dir, _up, server) = up();
        let heard = Client::sh(&server, "head -c 5000000 /dev/zero; head -c 1000 /dev/zero >&2").rest();
        assert_eq!((heard.code(), heard.stdout.len(), heard.stderr.len()), (0, 5_000_000, 1000));

        // Who does not read stops the writer: it is asleep in a write to a pipe, and has written no more than fits
        // into pipes, sockets and our own bounded buffers.
        let mut slow = Client::sh(&server, "echo $$; exec cat /dev/zero");
        let pid = slow.until("\n").split('\n').next().unwrap().to_owned();
        let written = || Client::sh(&server, &format!("grep wchar /proc/{pid}/io")).rest().text();
        let mut before = String::new();
        until("the writer stands still", || {
            let now = written();
            now == std::mem::replace(&mut before, now.clone())
        });
        let bytes: u64 = before.trim().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(bytes < 32 << 20, "{bytes}");
        drop(slow);
        until("it ends with its reader", || {
            Client::sh(&server, &format!("ls -d /proc/{pid} 2>/dev/null")).rest().text().is_empty()
        });
    });
}

#[test]
fn nothing_is_left_of_connections() {
    isolated(|| {
        let (_dir, up, server) = up();
        let count = || {
            let of = |what| fs::read_dir(format!("/proc/{}/{what}", up.pid())).unwrap().count();
            (of("fd"), of("task"))
        };
        assert_eq!(Client::sh(&server, "true").rest().code(), 0);
        // Threads that have served and are not needed any more end after some seconds.
        let settled = || {
            let mut last = (0, 0);
            until("the server rests", || {
                std::thread::sleep(Duration::from_millis(200));
                count() == std::mem::replace(&mut last, count())
            });
            last
        };
        let before = settled();
        for _ in 0..10 {
            assert_eq!(Client::sh(&server, "exit 1").rest().code(), 1);
            // Each leaves in its own way.
            drop(Client::sh(&server, "cat"));
            let mut client = Client::sh(&server, "cat /dev/zero");
            client.until("\0");
            drop(client);
            let mut client = Client::sh(&server, "cat");
            client.socket.close(1000);
            client.flush();
            client.rest();
            let mut client = Client::sh(&server, "cat");
            client.stream.write_all(b"\xff\xff\xff\xff").unwrap();
            assert_eq!(client.rest().close, Some(1002));
            drop(Client::dial(&server, "p/attach?stdout=1", PROTOCOLS).unwrap());
            refused(&server, "p/exec?command=true&container=x&stdout=1", PROTOCOLS);
        }
        until("descriptors and threads are as before", || {
            let now = count();
            now.0 <= before.0 && now.1 <= before.1
        });
        until("so are processes", || Client::sh(&server, "pidof cat").rest().text().is_empty());
    });
}

#[test]
fn what_is_refused_is_said_in_kubernetes_words() {
    isolated(|| {
        let (_dir, _up, server) = up();
        let check = |path: &str, code, message: &str| {
            assert_eq!(refused(&server, path, PROTOCOLS), (code, message.to_owned()), "{path}");
        };
        check("none/exec?command=true&stdout=1", 404, "pods \"none\" not found");
        check("p/exec?command=true&stdout=1&container=x", 400, "container x is not valid for pod p");
        check("p/exec?stdout=1", 400, "you must specify at least 1 command for the container");
        check("p/exec?command=true", 400, "you must specify at least 1 of stdin, stdout, stderr");
        check("p/log", 400, "this path is not one where the protocol can be changed");
        let (code, message) = refused(&server, "p/exec?command=true&stdout=1", &["v1.channel.k8s.io"]);
        assert_eq!(code, 400);
        assert!(message.contains("server accepts [v5.channel.k8s.io, v4.channel.k8s.io]"), "{message}");
        let message = server.get(&format!("{PODS}/p/exec?command=true&stdout=1")).refused(400, "BadRequest");
        assert!(message.contains("Upgrade request required"), "{message}");
        server.post(&format!("{PODS}/none/portforward"), &json!({})).refused(404, "NotFound");

        server.run_pod("done", "Never", "true");
        server.pod_in_phase("done", "Succeeded");
        // Of a container that does not run, version 4 is refused, and version 5 told.
        for (path, message) in [
            ("done/exec?command=true&stdout=1", "container not found (\"main\")"),
            ("done/attach?stdout=1", "container main not found in pod done_default"),
        ] {
            assert_eq!(refused(&server, path, &PROTOCOLS[1..]), (400, message.to_owned()));
            let heard = Client::dial(&server, path, PROTOCOLS).unwrap().rest();
            let told = format!("Internal error occurred: unable to upgrade connection: {message}");
            assert_eq!(channels::outcome(&heard.status), Err(told));
        }
        let mut nowhere = pod("nowhere", "Always", &[("main", "true")]);
        nowhere["spec"]["nodeSelector"] = json!({"no": "such"});
        server.post(PODS, &nowhere).ok();
        check("nowhere/exec?command=true&stdout=1", 400, "pod nowhere does not have a host assigned");
        let mut two = pod("two", "Always", &[("a", "sleep 1000"), ("b", "sleep 1000")]);
        two["spec"]["terminationGracePeriodSeconds"] = json!(0);
        server.post(PODS, &two).ok();
        server.pod_in_phase("two", "Running");
        let message = "a container name must be specified for pod two, choose one of: [a b]";
        check("two/exec?command=true&stdout=1", 400, message);
        let path = "two/exec?command=hostname&stdout=1&container=b";
        assert_eq!(Client::dial(&server, path, PROTOCOLS).unwrap().rest().text(), "two\n");
    });
}

#[test]
fn the_streams_of_a_main_process() {
    isolated(|| {
        let (_dir, _up, server) = up();
        let mut once = pod("once", "Never", &[("main", "while read x; do echo got $x; done; echo end; exit 4")]);
        once["spec"]["containers"][0]["stdin"] = json!(true);
        once["spec"]["containers"][0]["stdinOnce"] = json!(true);
        server.post(PODS, &once).ok();
        server.pod_in_phase("once", "Running");
        let mut client = Client::dial(&server, "once/attach?stdin=1&stdout=1&stderr=1", PROTOCOLS).unwrap();
        client.say(channels::STDIN, b"it\n");
        client.until("got it\n");
        client.end_input();
        let heard = client.rest();
        // How it ended is for the pod's status to tell.
        assert_eq!((heard.code(), heard.text().as_str()), (0, "end\n"));
        server.pod_in_phase("once", "Failed");
        assert_eq!(server.cli("logs once"), "got it\nend\n");
    });
}

/// Serves what was said back, in the pod `p`, until the test is over.
fn echo_in_pod(server: &Server, port: u16) {
    let script = format!("nc -ll -p {port} -e cat >/dev/null 2>/dev/null & echo begun");
    assert_eq!(Client::sh(server, &script).rest().text(), "begun\n");
}

fn exchange(mut stream: TcpStream, text: &[u8]) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut writes = stream.try_clone().unwrap();
    let said = text.to_vec();
    let writer = std::thread::spawn(move || {
        // Nobody may be there; then nothing is heard, either.
        let _ = writes.write_all(&said).and_then(|()| writes.shutdown(Shutdown::Write));
    });
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    writer.join().unwrap();
    heard
}

#[test]
fn ports_are_forwarded() {
    isolated(|| {
        let (_dir, _up, server) = up();
        echo_in_pod(&server, 7000);
        let mut command = Command::new(MINIKU);
        command.args(["--server", &server.url(), "port-forward", "p", ":7000", ":7001"]);
        let mut forward = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
        let mut port = |remote: &str| {
            let line = lines.by_ref().map(Result::unwrap).find(|line| line.ends_with(remote)).unwrap();
            let (address, _) = line.trim_start_matches("Forwarding from ").split_once(" -> ").unwrap();
            address.to_owned()
        };
        let (echo, nobody) = (port("-> 7000"), port("-> 7001"));
        let open = || TcpStream::connect(&echo).unwrap();
        until("it answers", || exchange(open(), b"hello") == b"hello");
        // Several at once, each with more than any window.
        let large: Vec<Vec<u8>> = (1..5).map(|nth| vec![nth; 1_000_000]).collect();
        let idle = open();
        let exchanges: Vec<_> = large
            .iter()
            .map(|text| {
                let (text, stream) = (text.clone(), open());
                std::thread::spawn(move || exchange(stream, &text))
            })
            .collect();
        for (exchanged, text) in exchanges.into_iter().zip(&large) {
            assert!(exchanged.join().unwrap() == *text);
        }
        drop(idle);
        assert_eq!(exchange(TcpStream::connect(&nobody).unwrap(), b""), b"");
        assert_eq!(exchange(open(), b"still there"), b"still there");
        end(&mut forward);
        let mut complaint = String::new();
        forward.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert!(complaint.contains("error forwarding port 7001 to pod"), "{complaint}");
    });
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn ports_are_forwarded_on_channels() {
    isolated(|| {
        let (_dir, _up, server) = up();
        echo_in_pod(&server, 7000);
        let path = "p/portforward?ports=7000,7001&ports=7000";
        let (mut client, mut data) = wait("the port is served", || {
            let mut client = Client::dial(&server, path, &["v4.channel.k8s.io"]).unwrap();
            let mut data: [Vec<u8>; 6] = Default::default();
            client.say(0, b"one");
            client.say(4, b"three");
            while data[0].len() < 5 || data[4].len() < 7 || data[3].len() < 3 {
                if !hear(&mut client, &mut data) || data[1].len() > 2 {
                    return None;
                }
            }
            Some((client, data))
        });
        assert_eq!((&data[0][..], &data[4][..]), (&b"\x58\x1bone"[..], &b"\x58\x1bthree"[..]));
        assert_eq!((&data[1][..], &data[3][..2]), (&b"\x58\x1b"[..], &b"\x59\x1b"[..]));
        let why = String::from_utf8_lossy(&data[3][2..]).into_owned();
        assert!(why.contains("error forwarding port 7001 to pod") && why.contains("ECONNREFUSED"), "{why}");
        client.say(0, b" more");
        while data[0].len() < 10 {
            assert!(hear(&mut client, &mut data));
        }
        assert_eq!(&data[0][2..], b"one more");
        let (code, message) = refused(&server, "p/portforward?ports=0", &["v4.channel.k8s.io"]);
        assert_eq!((code, message.as_str()), (400, "query parameter \"ports\" has \"0\", which is no port"));
    });
}

/// Hears one message, which has a channel before it. False at the end.
fn hear(client: &mut Client, data: &mut [Vec<u8>; 6]) -> bool {
    let mut message = Vec::new();
    loop {
        match client.next() {
            Some(Event::Piece { last, bytes, .. }) => {
                message.extend(bytes);
                if last {
                    data[usize::from(message[0])].extend(&message[1..]);
                    return true;
                }
            }
            Some(Event::Close(_)) | None => return false,
        }
    }
}

fn miniku_with_input(server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    let url = server.url();
    let mut command = Command::new("timeout");
    command.args(["60", MINIKU, "--server", &url]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_command_line_runs_commands_and_attaches() {
    isolated(|| {
        let (_dir, _up, server) = up();
        let done =
            miniku_with_input(&server, &["exec", "-i", "p", "--", "sh", "-c", "cat; echo err >&2; exit 7"], b"in");
        assert_eq!((done.status.code(), stdout(&done).as_str()), (Some(7), "in"));
        assert_eq!(stderr(&done), "err\ncommand terminated with exit code 7\n");
        let done = miniku_with_input(&server, &["exec", "p", "--", "head", "-c", "5000000", "/dev/zero"], b"");
        assert_eq!((done.status.code(), done.stdout.len()), (Some(0), 5_000_000));
        let done = miniku_with_input(&server, &["exec", "q", "--", "true"], b"");
        assert_eq!(
            (done.status.code(), stderr(&done).as_str()),
            (Some(1), "Error from server (NotFound): pods \"q\" not found\n")
        );

        // script(1) is a terminal. Its size is told after the program has begun, which therefore waits for it.
        let sized = r#"for _ in $(seq 600); do [ "$(stty size)" = "33 77" ] && break; sleep 0.05; done"#;
        let line = format!(
            "stty rows 33 cols 77; {MINIKU} --server {} exec -it p -- sh -c 'tty; {sized}; stty size; exit 5'",
            server.url()
        );
        let done = run("script", &["-qec", &line, "/dev/null"]);
        assert_eq!(done.status.code(), Some(5), "{done:?}");
        let shown = stdout(&done);
        assert!(shown.contains("/dev/pts/0\r\n") && shown.contains("33 77\r\n"), "{shown}");

        server.run_pod("done", "Never", "exit 1");
        server.pod_in_phase("done", "Failed");
        for (words, message) in [
            (
                &["exec", "done", "--", "ls"][..],
                "cannot exec into a container in a completed pod; current phase is Failed",
            ),
            (&["attach", "done"], "cannot attach a container in a completed pod; current phase is Failed"),
            (
                &["port-forward", "done", ":80"],
                "unable to forward port because pod is not running. Current status=Failed",
            ),
        ] {
            let done = miniku_with_input(&server, words, b"");
            assert_eq!((done.status.code(), stderr(&done)), (Some(1), format!("error: {message}\n")));
        }

        let mut reads = pod("reads", "Never", &[("main", "read x; echo got $x")]);
        reads["spec"]["containers"][0]["stdin"] = json!(true);
        server.post(PODS, &reads).ok();
        server.pod_in_phase("reads", "Running");
        let done = miniku_with_input(&server, &["attach", "-i", "reads"], b"it\n");
        assert_eq!((done.status.code(), stdout(&done).as_str()), (Some(0), "got it\n"));
    });
}
