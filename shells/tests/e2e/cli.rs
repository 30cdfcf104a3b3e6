//! The command line with real pods: their output, their files.

use crate::world::{Daemon, Dir, MINIKU, isolated, run, stderr, stdout, until, wait};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[track_caller]
fn done(line: &[&str]) -> String {
    let output = run(MINIKU, line);
    assert!(output.status.success(), "{line:?}: {}", stderr(&output));
    stdout(&output)
}

fn two_pods(dir: &Dir) -> (Daemon, Vec<String>) {
    let up = dir.up(&["--store", "memory"]);
    let script = "echo hello from $(hostname); while [ ! -e /tmp/go ]; do sleep 0.1; done; echo goodbye; while true; do sleep 1; done";
    done(&["create", "rs", "a", "--image=busybox", "--replicas=2", "--", "sh", "-c", script]);
    let names = || done(&["get", "pods", "-o", "jsonpath={.items[?(@.status.phase==\"Running\")].metadata.name}"]);
    let names = wait("two pods run", || Some(names()).filter(|names| names.contains(' ')));
    (up, names.split(' ').map(str::to_owned).collect())
}

#[test]
fn logs_of_many_pods() {
    isolated(|| {
        let dir = Dir::new();
        let (_up, pods) = two_pods(&dir);
        let want = |prefix: bool| {
            let line = |pod: &String| {
                let prefix = if prefix { format!("[pod/{pod}/a] ") } else { String::new() };
                format!("{prefix}hello from {pod}\n")
            };
            pods.iter().map(line).collect::<String>()
        };
        until("both have said hello", || done(&["logs", "-l", "app=a"]) == want(false));
        assert_eq!(done(&["logs", "-l", "app=a", "--prefix"]), want(true));
        let one = done(&["logs", "rs/a"]);
        assert!(pods.iter().any(|pod| one == format!("hello from {pod}\n")), "{one}");

        let mut child = Command::new(MINIKU)
            .args(["logs", "-f", "-l", "app=a", "--prefix", "--tail=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, told) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let next = |count: usize| {
            let mut lines: Vec<String> =
                (0..count).map(|_| told.recv_timeout(Duration::from_secs(60)).expect("a line is written")).collect();
            lines.sort();
            lines
        };
        let all = |what: &dyn Fn(&String) -> String| {
            pods.iter().map(|pod| format!("[pod/{pod}/a] {}", what(pod))).collect::<Vec<_>>()
        };
        assert_eq!(next(2), all(&|pod| format!("hello from {pod}")));
        for pod in &pods {
            done(&["exec", pod, "--", "touch", "/tmp/go"]);
        }
        assert_eq!(next(2), all(&|_| "goodbye".into()));
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn directories_are_copied_there_and_back() {
    isolated(|| {
        let dir = Dir::new();
        let (_up, pods) = two_pods(&dir);
        let here = dir.0.join("files");
        let deep = here.join("from").join("d".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        // More than any pipe or socket holds.
        let many: Vec<u8> = (0..3 << 20).map(|nth: u32| (nth % 251) as u8).collect();
        fs::write(here.join("from/many"), &many).unwrap();
        fs::write(deep.join("b"), "deep").unwrap();
        let path = |name: &str| here.join(name).to_str().unwrap().to_owned();
        let there = |name: &str| format!("default/{}:{name}", pods[0]);
        done(&["cp", &path("from"), &there("/tmp/new")]);
        done(&["cp", &there("/tmp/new"), &path("back")]);
        let same = |name: &str| {
            fs::read(here.join("from").join(name)).unwrap() == fs::read(here.join("back").join(name)).unwrap()
        };
        assert!(same("many") && same(&format!("{}/b", "d".repeat(120))));
        // Into a directory that is there, under its own name.
        done(&["cp", &path("from/many"), &there("/tmp")]);
        assert_eq!(done(&["exec", &pods[0], "--", "stat", "-c", "%s", "/tmp/many"]).trim(), many.len().to_string());
        // A container's link does not lead out of where it was asked for.
        done(&[
            "exec",
            &pods[0],
            "--",
            "sh",
            "-c",
            "mkdir /tmp/l; ln -s /etc/passwd /tmp/l/link; echo x > /tmp/l/file",
        ]);
        done(&["cp", &there("/tmp/l"), &path("l")]);
        assert!(Path::new(&path("l/file")).is_file() && fs::symlink_metadata(path("l/link")).is_err());
        for wrong in
            [&["cp", &path("none"), &there("/tmp")][..], &["cp", &there("/none"), &path("x")], &["cp", "a", "b"]]
        {
            assert_ne!(run(MINIKU, wrong).status.code(), Some(0), "{wrong:?}");
        }
    });
}
