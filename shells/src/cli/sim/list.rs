//! `sim list`: the scenarios that come with miniku.

use crate::cli::sim::{SimError, Verdict, print};
use clap::Args;
use miniku_sim::library;
use miniku_sim::scenario::Scenario;

/// Which.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print this one, to be changed and run as a file
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Lists all, or prints one.
pub fn run(args: &ListArgs) -> Result<Verdict, SimError> {
    match &args.name {
        Some(name) => {
            let text = library::text(name).ok_or_else(|| SimError(format!("there is no scenario {name:?}")))?;
            print(text)?;
        }
        None => {
            let width = library::LIBRARY.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            let line = |scenario: Scenario| format!("{:width$}  {}\n", scenario.name, scenario.about);
            print(&library::all().map(line).collect::<String>())?;
        }
    }
    Ok(Verdict::Held)
}
