//! The smallest program that can be a pod's init, and a node to be killed: for tests.
//!
//! `miniku-pod-init pod-init` is what a runtime starts. `miniku-pod-init drive DIR NODE` opens a runtime,
//! performs the commands that come as lines of JSON on its standard input, and prints reports as lines of
//! JSON; at the end of the input it waits to be killed.

use miniku_runtime::{Config, Runtime, pod_init_main};
use std::io::{BufRead, Write};

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("pod-init") => pod_init_main(),
        Some("drive") => {
            let (Some(dir), Some(node)) = (arguments.next(), arguments.next()) else { usage() };
            drive(Config { dir: dir.into(), node, exe: "/proc/self/exe".into() });
        }
        _ => usage(),
    }
}

fn usage() -> ! {
    eprintln!("usage: miniku-pod-init pod-init | drive DIR NODE");
    std::process::exit(2)
}

fn drive(config: Config) {
    let print = |report| {
        let line = serde_json::to_string(&report).expect("a report is plain data");
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).expect("whoever drives this reads");
    };
    let runtime = Runtime::open(config, print).unwrap_or_else(|failure| {
        eprintln!("{failure}");
        std::process::exit(1)
    });
    for line in std::io::stdin().lock().lines() {
        let command = line.ok().and_then(|line| serde_json::from_str(&line).ok());
        runtime.perform(command.expect("whoever drives this writes commands"));
    }
    loop {
        std::thread::park();
    }
}
