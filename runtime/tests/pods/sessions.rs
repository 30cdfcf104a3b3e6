//! Further processes in running containers, their streams, and connections to them.

use super::*;
use miniku_core::kubelet::runtime::Stdio;
use miniku_runtime::{End, Refusal, Session, Wanted};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;

const ALL: Wanted = Wanted { stdin: true, stdout: true, stderr: true, tty: false };
const TERMINAL: Wanted = Wanted { stdin: true, stdout: true, stderr: false, tty: true };

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

impl Node {
    fn sleeping(name: &str) -> Node {
        let node = Node::new(name);
        node.run("p", "trap 'exit 0' TERM; while true; do sleep 1; done");
        node.running("p", "c", 0);
        node
    }

    fn exec(&self, words: &[&str], wanted: Wanted) -> Result<Session, Refusal> {
        self.runtime.exec("p", "c", 0, argv(words), wanted)
    }

    /// Runs a script as a further process, to its end: how it ended, what it wrote and what it complained.
    fn further(&self, script: &str, input: &str) -> (End, String, String) {
        let mut session = self.exec(&["sh", "-c", script], ALL).unwrap();
        session.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
        session.end_input();
        let end = ended(&mut session);
        let (mut out, mut err) = (session.stdout.take().unwrap(), session.stderr.take().unwrap());
        (end, available(&mut out), available(&mut err))
    }

    /// The descriptors that the pod's init has open.
    fn init_descriptors(&self) -> usize {
        let state: serde_json::Value =
            serde_json::from_slice(&fs::read(self.pod_dir("p").join("state.json")).unwrap()).unwrap();
        fs::read_dir(format!("/proc/{}/fd", state["pid"])).unwrap().count()
    }
}

fn wait_for(fd: impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let deadline = PollTimeout::try_from(DEADLINE).unwrap();
    assert!(poll(&mut fds, deadline).unwrap() > 0, "nothing came");
}

fn ended(session: &mut Session) -> End {
    loop {
        wait_for(&*session);
        if let Some(end) = session.end().unwrap() {
            return end;
        }
    }
}

/// What can be read without waiting.
fn available(from: &mut impl Read) -> String {
    let (mut text, mut some) = (Vec::new(), [0; 4096]);
    loop {
        match from.read(&mut some) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&some[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // A terminal that was hung up.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads until a text has come.
fn reads(from: &mut (impl Read + AsFd), text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        wait_for(&*from);
        all += &available(from);
    }
    all
}

#[test]
fn a_further_process_is_one_of_the_containers() {
    let node = Node::sleeping("further");
    let (end, out, err) = node.further("cat; echo err >&2; exit 3", "some input");
    assert_eq!((end, out.as_str(), err.as_str()), (End { code: 3, signal: None }, "some input", "err\n"));
    let facts = "
        hostname; pwd; echo $HOSTNAME $HOME; umask; tail -n 1 /proc/self/cgroup | cut -d: -f3
        [ $(cat /proc/self/oom_score_adj) = $(cat /proc/1/oom_score_adj) ] || echo another score
        for ns in cgroup ipc mnt net pid uts; do
            [ $(readlink /proc/self/ns/$ns) = $(readlink /proc/1/ns/$ns) ] || echo another $ns
        done
        for what in CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp; do
            [ \"$(grep ^$what: /proc/self/status)\" = \"$(grep ^$what: /proc/1/status)\" ] || echo another $what
        done
        ls /proc/self/fd | wc -l; mount -t tmpfs x /mnt 2>/dev/null || echo no mount";
    let (end, out, err) = node.further(facts, "");
    assert_eq!((end.code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out, "host-p\n/\nhost-p /root\n0022\n/\n4\nno mount\n");
    // Without a shell, which ignores some signals itself.
    let mut session = node.exec(&["grep", "SigIgn", "/proc/self/status"], ALL).unwrap();
    assert_eq!(ended(&mut session).code, 0);
    assert_eq!(available(session.stdout.as_mut().unwrap()), "SigIgn:\t0000000000000000\n");
    let (end, ..) = node.further("kill -9 $$", "");
    assert_eq!(end, End { code: 137, signal: Some(9) });
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn a_further_process_may_have_a_terminal() {
    let node = Node::sleeping("terminal");
    let mut session = node.exec(&["sh"], TERMINAL).unwrap();
    assert!(session.has_terminal() && session.stderr.is_none());
    session.resize(91, 37);
    let (mut keys, mut screen) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    keys.write_all(b"tty; stty size; echo $TERM; sh -c 'echo sle''eps; exec sleep 1000'\n").unwrap();
    let shown = reads(&mut screen, "sleeps\r\n");
    assert!(shown.contains("/dev/pts/0\r\n37 91\r\nxterm\r\n"), "{shown}");
    // Ctrl-C ends what runs in the foreground, not the shell.
    keys.write_all(b"\x03").unwrap();
    keys.write_all(b"exit 9\n").unwrap();
    assert_eq!(ended(&mut session).code, 9);
    assert!(available(&mut screen).contains("exit 9"));
    drop((keys, screen, session));

    // Who leaves hangs up.
    let mut session = node
        .exec(
            &["sh", "-c", "trap 'echo hung up > /hup; exit' HUP; echo ready; while true; do sleep 0.05; done"],
            TERMINAL,
        )
        .unwrap();
    reads(session.stdout.as_mut().unwrap(), "ready");
    drop(session);
    eventually("it hears of it", || node.further("cat /hup", "").1 == "hung up\n");
    node.remove("p");
}

#[test]
fn nothing_is_left_of_further_processes() {
    let node = Node::sleeping("leaves");
    let before = node.init_descriptors();
    for _ in 0..20 {
        assert_eq!(node.further("exit 1", "").0.code, 1);
        drop(node.exec(&["cat"], ALL).unwrap());
        drop(node.exec(&["cat"], TERMINAL).unwrap());
        assert!(matches!(node.exec(&["/nonsense"], ALL), Err(Refusal::NotExecuted(_))));
        drop(node.runtime.attach("p", "c", 0, ALL).unwrap());
    }
    eventually("the descriptors are closed", || node.init_descriptors() == before);
    // The shell of the container, its sleep, and what counts.
    eventually("no process is left", || {
        node.further("ls -d /proc/[0-9]* | wc -l", "").1.trim().parse::<u32>().unwrap() <= 5
    });
    node.remove("p");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let node = Node::sleeping("refused");
    let message = |refused: Result<Session, Refusal>| refused.unwrap_err().to_string();
    let text = message(node.exec(&["nonsense"], ALL));
    assert!(text.contains("\"nonsense\"") && text.contains("ENOENT"), "{text}");
    assert_eq!(message(node.exec(&[], ALL)), "no command: neither the container nor its image has one");
    let refused =
        |uid: &str, container: &str, attempt| node.runtime.exec(uid, container, attempt, argv(&["true"]), ALL);
    assert!(matches!(refused("q", "c", 0), Err(Refusal::NoSuchPod)));
    assert!(matches!(refused("p", "d", 0), Err(Refusal::NotRunning(_))));
    assert!(matches!(refused("p", "c", 1), Err(Refusal::NotRunning(_))));
    // A further process ends with the container.
    let mut session = node.exec(&["sleep", "1000"], ALL).unwrap();
    node.runtime.perform(Command::Kill { pod: pod_ref("p"), container: "c".into(), attempt: 0 });
    assert_eq!(ended(&mut session), End { code: 137, signal: Some(9) });
    node.exited("p", "c", 0);
    assert_eq!(message(node.exec(&["true"], ALL)), "container c is not running");
    node.remove("p");
}

#[test]
fn a_node_that_is_killed_leaves_what_it_ran_to_itself() {
    let node = Node::sleeping("outlives");
    let session = node.exec(&["sh", "-c", "cat; echo ended > /end; sleep 1000"], ALL).unwrap();
    drop(session);
    let node = node.reopen();
    eventually("its input ends", || node.further("cat /end", "").1 == "ended\n");
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

fn with_stdio(script: &str, stdio: Stdio) -> ContainerSpec {
    ContainerSpec { stdio, ..sh(script) }
}

#[test]
fn output_is_followed_and_logged() {
    let node = Node::new("attach");
    node.run("p", "while [ ! -e /go ]; do sleep 0.02; done; seq 200000; echo err >&2");
    node.running("p", "c", 0);
    let mut session = node.runtime.attach("p", "c", 0, ALL).unwrap();
    assert!(session.stdin.is_none() && !session.has_terminal());
    let mut deaf = node.runtime.attach("p", "c", 0, ALL).unwrap();
    let gone = node.runtime.attach("p", "c", 0, ALL).unwrap();
    assert_eq!(node.further("touch /go", "").0.code, 0);
    drop(gone);
    let mut all = String::new();
    let (mut out, mut unread) = (session.stdout.take().unwrap(), deaf.stdout.take().unwrap());
    while !all.ends_with("\n200000\n") {
        wait_for(&out);
        all += &available(&mut out);
        // It is slow, not deaf: otherwise everybody waits for it.
        available(&mut unread);
    }
    let want: String = (1..=200000).map(|number| format!("{number}\n")).collect();
    assert_eq!(all, want);
    assert_eq!(ended(&mut session).code, 0);
    assert_eq!(available(session.stderr.as_mut().unwrap()), "err\n");
    assert_eq!(node.stdout("p"), want.trim_end());
    assert_eq!(ended(&mut deaf).code, 0);
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn an_input_that_is_kept_open() {
    let node = Node::new("stdin");
    let stdin = Stdio { stdin: true, ..Stdio::default() };
    node.runtime
        .perform(Command::RunPod(spec("p", vec![with_stdio("while read x; do echo got $x; done; echo end", stdin)])));
    node.running("p", "c", 0);
    for word in ["one", "two"] {
        let mut session = node.runtime.attach("p", "c", 0, ALL).unwrap();
        session.stdin.as_mut().unwrap().write_all(format!("{word}\n").as_bytes()).unwrap();
        // Not once: it stays open for the next one.
        session.end_input();
        reads(session.stdout.as_mut().unwrap(), &format!("got {word}\n"));
    }
    node.remove("p");

    let once = Stdio { stdin: true, stdin_once: true, tty: false };
    node.runtime.perform(Command::RunPod(spec("q", vec![with_stdio("cat; echo end", once)])));
    node.running("q", "c", 0);
    let mut session = node.runtime.attach("q", "c", 0, ALL).unwrap();
    session.stdin.as_mut().unwrap().write_all(b"all of it\n").unwrap();
    session.end_input();
    assert_eq!(ended(&mut session).code, 0);
    assert_eq!(available(session.stdout.as_mut().unwrap()), "all of it\nend\n");
    node.exited("q", "c", 0);
    node.remove("q");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn a_container_may_have_a_terminal() {
    let node = Node::new("tty");
    let tty = Stdio { stdin: true, stdin_once: false, tty: true };
    node.runtime
        .perform(Command::RunPod(spec("p", vec![with_stdio("tty; read x; stty size; echo got $x; exit 4", tty)])));
    node.running("p", "c", 0);
    node.wait_for_line("p", "/dev/pts/0\r");
    let mut session = node.runtime.attach("p", "c", 0, Wanted { tty: true, ..ALL }).unwrap();
    session.resize(91, 37);
    session.stdin.as_mut().unwrap().write_all(b"it\n").unwrap();
    let shown = reads(session.stdout.as_mut().unwrap(), "got it\r\n");
    assert!(shown.contains("37 91"), "{shown}");
    assert_eq!(ended(&mut session).code, 4);
    assert_eq!(node.exited("p", "c", 0).0, 4);
    assert_eq!(node.stdout("p"), "/dev/pts/0\r\nit\r\n37 91\r\ngot it\r");
    node.remove("p");
    assert_eq!(node.remains(), [""; 0]);
}

#[test]
fn ports_of_a_pod_are_reached() {
    let node = Node::new("ports");
    node.run("p", "nc -l -p 7000 -e sh -c 'read x; echo got $x'; echo served; sleep 1000");
    node.running("p", "c", 0);
    let connect = || node.runtime.connect("p", 7000);
    let deadline = Instant::now() + DEADLINE;
    let mut stream = loop {
        match connect() {
            Ok(stream) => break stream,
            Err(refused) => assert!(Instant::now() < deadline, "{refused}"),
        }
    };
    stream.write_all(b"it\n").unwrap();
    assert_eq!(reads(&mut stream, "\n"), "got it\n");
    node.wait_for_line("p", "served");
    let refused = connect().unwrap_err().to_string();
    assert!(refused.starts_with("connect to port 7000 of the pod: ECONNREFUSED"), "{refused}");
    node.remove("p");
    assert!(matches!(connect(), Err(Refusal::NoSuchPod)));
}
