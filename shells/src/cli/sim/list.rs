//! `sim list`: the scenarios that come with miniku.

use crate::cli::sim::{SimError, Verdict};
use clap::Args;
use miniku_sim::library;

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
            print!("{text}");
        }
        None => {
            let width = library::LIBRARY.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for scenario in library::all() {
                println!("{:width$}  {}", scenario.name, scenario.about);
            }
        }
    }
    Ok(Verdict::Held)
}
