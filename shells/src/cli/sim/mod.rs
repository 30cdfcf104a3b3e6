//! `sim`: clusters that are only simulated, hurt on purpose, and judged. Asks no server.
//!
//! Exit codes: 0 all held; 1 something was broken, or two traces differ; 2 it could not be run as asked.

mod choice;
mod diff;
mod explore;
mod list;
#[cfg(feature = "planted")]
mod planted;
mod progress;
mod replay;
mod report;
mod run;
mod shrink;
mod why;

use crate::panics;
use clap::{Args, Subcommand};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  \
    miniku sim list\n  \
    miniku sim run --scenario node-death\n  \
    miniku sim run --nodes 1000 --pods 10000 --for 1h --faults mild\n  \
    miniku sim explore --seeds 1..1000\n  \
    miniku sim report --scenario node-death --out run.html";

/// What to simulate.
#[derive(Args, Debug)]
pub struct SimArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Sim,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Sim {
    /// List the scenarios that come with miniku
    #[command(after_help = "Example:\n  miniku sim list node-death")]
    List(list::ListArgs),
    /// Run one scenario for one seed
    #[command(after_help = "Example:\n  miniku sim run --scenario node-death --seed 7")]
    Run(run::RunArgs),
    /// Run many seeds, and tell which fail
    #[command(after_help = "Example:\n  miniku sim explore --seeds 1..1000 --save failures")]
    Explore(explore::ExploreArgs),
    /// Run again, and print or write every event
    #[command(after_help = "Example:\n  miniku sim replay --scenario node-death --seed 7 --until 30s")]
    Replay(replay::ReplayArgs),
    /// Tell which decisions led to an object, or where pods would go
    #[command(after_help = "Example:\n  miniku sim why node/node-1 --scenario node-death --until 60s")]
    Why(why::WhyArgs),
    /// Show where two traces part
    #[command(after_help = "Example:\n  miniku sim diff before.trace after.trace")]
    Diff(diff::DiffArgs),
    /// Make a failing scenario as small as it can be
    #[command(after_help = "Example:\n  miniku sim shrink --scenario swarm --seed 4711 --out small.yaml")]
    Shrink(shrink::ShrinkArgs),
    /// Draw a run as a page for a browser
    #[command(after_help = "Example:\n  miniku sim report --scenario node-death --out run.html")]
    Report(report::ReportArgs),
}

/// What a command found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All held.
    Held,
    /// Something was broken.
    Broken,
}

/// Why something cannot be run as asked. For people.
#[derive(Debug)]
pub struct SimError(String);

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.0)
    }
}

/// Does what was asked.
pub fn main(args: SimArgs) -> ExitCode {
    panics::unwind();
    let verdict = match args.command {
        Sim::List(args) => list::run(&args),
        Sim::Run(args) => run::run(&args),
        Sim::Explore(args) => explore::run(&args),
        Sim::Replay(args) => replay::run(&args),
        Sim::Why(args) => why::run(&args),
        Sim::Diff(args) => diff::run(&args),
        Sim::Shrink(args) => shrink::run(&args),
        Sim::Report(args) => report::run(&args),
    };
    match verdict {
        Ok(Verdict::Held) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Prints.
fn print(text: &str) -> Result<(), SimError> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// How printing went. Whoever reads no further has seen enough: that is no error.
fn printed(done: io::Result<()>) -> Result<(), SimError> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(SimError(format!("printing: {error}"))),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, SimError> {
    fs::read_to_string(path).map_err(|error| SimError(format!("reading {}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), SimError> {
    fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> SimError {
    SimError(format!("writing {}: {error}", path.display()))
}
