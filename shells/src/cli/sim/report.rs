//! `sim report`: a run as one page that a browser opens without a network.

use crate::cli::sim::choice::{LoadArgs, ScenarioArgs, choose};
use crate::cli::sim::replay::{footer, header};
use crate::cli::sim::{SimError, Verdict, print, read, write};
use clap::Args;
use miniku_sim::report;
use miniku_sim::trace::Mode;
use std::path::PathBuf;

/// What is drawn.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Which scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Which cluster.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Draw this trace instead of running something
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "seed", "nodes", "pods", "duration", "faults", "snapshot"])]
    pub trace: Option<PathBuf>,
    /// The page
    #[arg(long, default_value = "run.html", value_name = "FILE")]
    pub out: PathBuf,
}

/// Runs and draws it.
pub fn run(args: &ReportArgs) -> Result<Verdict, SimError> {
    let (trace, verdict) = match &args.trace {
        Some(path) => (read(path)?, Verdict::Held),
        None => {
            let chosen = choose(&args.scenario, &args.load)?;
            let mut world = chosen.scenario.trace(chosen.seed, Mode::Full);
            let mut lines = vec![header(&chosen, &world)];
            lines.extend(world.trace().entries().map(miniku_sim::trace::Entry::json));
            lines.push(footer(&mut world));
            let verdict = if world.violation().is_some() { Verdict::Broken } else { Verdict::Held };
            (lines.join("\n"), verdict)
        }
    };
    let page = report::html(&trace).map_err(|error| {
        let from = args.trace.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default();
        SimError(format!("{from}{error}"))
    })?;
    write(&args.out, &page)?;
    print(&format!("{}\n", args.out.display()))?;
    Ok(verdict)
}
