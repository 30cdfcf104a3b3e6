//! Measurements of miniku, beside its peers where they are at hand.
//!
//! ```text
//! cargo run --release -p miniku-bench                  # everything
//! cargo run --release -p miniku-bench -- MemStore http # what has one of these words in its name
//! cargo run --release -p miniku-bench -- sim-day       # the simulator's day in full, which takes minutes
//! cargo run --release -p miniku-bench -- --readme      # everything, and the table of README.md anew
//! ```
//!
//! [`seed`] has the benchmarks of MiniKu, the Go program that miniku grew from, under their names and doing the same
//! work; [`decisions`] measures programs without I/O, [`simulator`] many of them together; [`cluster`], [`plane`] and
//! [`load`] measure the release binary from outside, [`api`] the API server alone, and [`peers`] runs crun, etcd and a
//! server of Go's the same way where they are installed. Everything is bounded in count and time and stays on loopback.
//! What needs root is left out without it.

mod alloc;
mod api;
mod cluster;
mod decisions;
mod load;
mod measure;
mod objects;
mod peers;
mod plane;
mod process;
mod seed;
mod server;
mod simulator;
mod table;

use process::Fail;
use std::process::ExitCode;
use table::{Outside, Report};

/// What is to be measured.
pub struct Chosen(Vec<String>);

impl Chosen {
    /// Whether a name is among what was asked for. Case does not matter.
    pub fn has(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.0.is_empty() || self.0.iter().any(|word| name.contains(&word.to_ascii_lowercase()))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some("crun-starts") = arguments.first().map(String::as_str) {
        return peers::crun_starts(&arguments[1..]);
    }
    if let Some("sim-peak") = arguments.first().map(String::as_str) {
        return simulator::peak_of(&arguments[1..]);
    }
    let (flags, words): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|argument| argument.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| *flag != "--readme") {
        eprintln!("{unknown}: the only flag is --readme; other words choose benchmarks by name");
        return ExitCode::FAILURE;
    }
    let chosen = Chosen(words);
    let mut report = Report { rows: Vec::new(), outside: Vec::new(), simulated: Vec::new() };
    seed::run(&chosen, &mut report.rows);
    decisions::run(&chosen, &mut report.rows);
    simulator::run_all(&chosen, &mut report.simulated);
    if let Err(fail) = from_outside(&chosen, &mut report.outside) {
        eprintln!("left out: {fail}");
    }
    println!("{report}");
    if flags.is_empty() {
        return ExitCode::SUCCESS;
    }
    match table::rewrite_readme(&report) {
        Ok(path) => {
            eprintln!("wrote the table of {}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("README.md: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures some of it, and adds what it found.
type Measure = fn(&process::Binary, &Chosen, &mut Vec<Outside>) -> Result<(), Fail>;

fn from_outside(chosen: &Chosen, rows: &mut Vec<Outside>) -> Result<(), Fail> {
    let groups: [(&str, Measure); 6] = [
        ("pod to Running", cluster::pods_to_running),
        ("runtime", cluster::runtime_alone),
        ("idle ready", cluster::idle_and_ready),
        ("http durable writes GET", load::run),
        ("control-plane", plane::run),
        ("api api-get api-list api-watch api-size", api::run),
    ];
    let wanted: Vec<_> = groups
        .into_iter()
        .filter(|(names, _)| {
            chosen.0.is_empty()
                || names.split(' ').any(|name| chosen.0.iter().any(|word| word.eq_ignore_ascii_case(name)))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let binary = process::Binary::build()?;
    for (names, measure) in wanted {
        if let Err(fail) = measure(&binary, chosen, rows) {
            eprintln!("left out of {names:?}: {fail}");
        }
    }
    Ok(())
}
