//! `sim shrink`: a failing scenario made as small as it can be.

use crate::cli::sim::choice::ScenarioArgs;
use crate::cli::sim::progress::Progress;
use crate::cli::sim::{SimError, Verdict, print, write};
use clap::Args;
use miniku_sim::shrink::{self, Shrunk};
use std::path::PathBuf;

/// What is shrunk.
#[derive(Args, Debug)]
pub struct ShrinkArgs {
    /// Which scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Write it to this file; without it, it is printed
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Try at most so many runs
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub runs: usize,
}

/// Shrinks it. Exit code 1, since it fails.
pub fn run(args: &ShrinkArgs) -> Result<Verdict, SimError> {
    let chosen = args.scenario.chosen()?;
    let mut progress = Progress::new();
    let shrunk = shrink::shrink(&chosen.scenario, chosen.seed, args.runs, |best, runs| {
        let (entries, nodes) = (best.timeline.len(), best.cluster.nodes.shapes().len());
        progress.write(|_| format!("{runs} runs: {entries} entries, {nodes} nodes"));
    });
    progress.end();
    let Some(Shrunk { mut scenario, violation, runs }) = shrunk else {
        let name = &chosen.scenario.name;
        print(&format!("{name}, seed {}: all statements held, so there is nothing to shrink\n", chosen.seed))?;
        return Ok(Verdict::Held);
    };
    scenario.name = format!("{}-{}", chosen.scenario.name, violation.name.to_lowercase());
    let before = chosen.scenario.timeline.len();
    eprintln!(
        "{} of {before} entries and {} of {} nodes are left after {runs} runs in {:.1} s",
        scenario.timeline.len(),
        scenario.cluster.nodes.shapes().len(),
        chosen.scenario.cluster.nodes.shapes().len(),
        progress.seconds(),
    );
    let story = format!("{}=> {}: {}\n", scenario.plan(), violation.name, violation.broken.what);
    let comment: String = story.lines().map(|line| format!("# {line}\n")).collect();
    let text = format!("{comment}{}", scenario.text());
    match &args.out {
        Some(path) => {
            write(path, &text)?;
            eprintln!("again: miniku sim run --scenario {}", path.display());
        }
        None => print(&text)?,
    }
    Ok(Verdict::Broken)
}
