//! Transcripts: commands, and what they say.
//!
//! ```text
//! # A comment, or a headline.
//! on apiserver                     starts a server: the words are miniku's arguments; first in the file
//! on tls                           puts TLS before it, without which kubectl sends no token
//! @ web.yaml                       a file, of the lines below that are indented by four blanks
//!     kind: Pod
//!
//! $ kubectl get pods               a command for sh
//! > -o wide                        a further line of it
//! No resources found [..]          what it says, on both outputs, see `pattern`; "..." is any number of lines
//! ? 1                              its exit code, unless it is 0
//! ~ kubectl get pod web            a command that is repeated until it says that
//! ```
//!
//! A line of output that begins like one of these is written with a backslash before it.

use crate::difference::{drawn, same};
use crate::world::{DEADLINE, World};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubectl"))
}

/// All scenarios, by name.
pub fn files() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".txt")).collect();
    names.sort();
    names
}

/// A part of a scenario, and the line at which it begins.
#[derive(Debug, PartialEq)]
enum Part {
    Server(Vec<String>),
    File { name: String, text: String },
    Step(Step),
}

#[derive(Debug, PartialEq)]
struct Step {
    line: usize,
    command: String,
    want: Vec<String>,
    code: i32,
    /// Whether it is repeated until it says what it shall.
    eventually: bool,
}

/// Runs a scenario; says all that went otherwise.
pub fn run(name: &str) {
    let parts =
        parse(&fs::read_to_string(folder().join(name)).unwrap()).unwrap_or_else(|error| panic!("{name}:{error}"));
    let mut world = World::new();
    let (mut steps, mut failures) = (0, Vec::new());
    for part in &parts {
        match part {
            Part::Server(arguments) => world.serve(arguments),
            Part::File { name, text } => world.write(name, text),
            Part::Step(step) => {
                steps += 1;
                failures.extend(
                    step.failure(&world).map(|what| format!("{name}:{}: $ {}\n{what}", step.line, step.command)),
                );
            }
        }
    }
    println!("{name}: {} of {steps} steps as written", steps - failures.len());
    assert!(steps > 0, "{name} has no steps");
    assert!(
        failures.is_empty(),
        "{} of {steps} steps of {name} went otherwise\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

impl Step {
    /// What went otherwise.
    fn failure(&self, world: &World) -> Option<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let (code, text) = world.sh(&self.command);
            let mut got: Vec<&str> = text.lines().filter(|line| !of_miniku_alone(line)).collect();
            while got.last().is_some_and(|line| line.trim().is_empty()) {
                got.pop();
            }
            if code == self.code && same(&self.want, &got) {
                return None;
            }
            if !self.eventually || Instant::now() > deadline {
                let code =
                    if code == self.code { String::new() } else { format!("  exit code {code}, not {}\n", self.code) };
                return Some(code + &drawn(&self.want, &got));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What does not act yet is said in warnings, which no Kubernetes has.
fn of_miniku_alone(line: &str) -> bool {
    line.starts_with("Warning: ") && (line.ends_with(" in miniku") || line.ends_with(" in miniku yet"))
}

fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        if let Some(arguments) = line.strip_prefix("on ") {
            parts.push(Part::Server(arguments.split(' ').map(str::to_owned).collect()));
        } else if let Some(name) = line.strip_prefix("@ ") {
            let mut text = String::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("    ") || line.is_empty()) {
                text.push_str(line.strip_prefix("    ").unwrap_or_default());
                text.push('\n');
            }
            parts.push(Part::File { name: name.to_owned(), text: text.trim_end().to_owned() + "\n" });
        } else if let Some((mark, command)) = line.split_once(' ').filter(|(mark, _)| ["$", "~"].contains(mark)) {
            let mut command = command.to_owned();
            while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("> ")) {
                command.push('\n');
                command.push_str(&line[2..]);
            }
            let mut want: Vec<String> = Vec::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| !begins_a_part(line)) {
                want.push(line.strip_prefix('\\').unwrap_or(line).to_owned());
            }
            while want.last().is_some_and(|line| line.trim().is_empty()) {
                want.pop();
            }
            let code = want.last().and_then(|line| line.strip_prefix("? ")?.parse().ok());
            if code.is_some() {
                want.pop();
            }
            let (code, eventually) = (code.unwrap_or(0), mark == "~");
            parts.push(Part::Step(Step { line: number, command, want, code, eventually }));
        } else if !line.is_empty() && !line.starts_with('#') {
            return Err(format!("{number}: this is no part of a scenario: {line}"));
        }
    }
    Ok(parts)
}

fn begins_a_part(line: &str) -> bool {
    ["on ", "@ ", "$ ", "~ ", "# "].iter().any(|mark| line.starts_with(mark)) || line == "#"
}

#[test]
fn parts() {
    let text = "# A title\non apiserver --x\n\n@ a.yaml\n    a:\n      b\n\n    c\n\n$ echo \\\n> '# a'\n\\# a\n\n# next\n~ false\n? 1\n";
    let step = |line, command: &str, want: &[&str], code, eventually| {
        let want = want.iter().map(|line| (*line).to_owned()).collect();
        Part::Step(Step { line, command: command.to_owned(), want, code, eventually })
    };
    let want = vec![
        Part::Server(vec!["apiserver".to_owned(), "--x".to_owned()]),
        Part::File { name: "a.yaml".to_owned(), text: "a:\n  b\n\nc\n".to_owned() },
        step(10, "echo \\\n'# a'", &["# a"], 0, false),
        step(15, "false", &[], 1, true),
    ];
    assert_eq!(parse(text).unwrap(), want);
    assert!(parse("what").is_err());
}
