//! `sim diff`: the first step where two traces part.

use crate::cli::sim::{SimError, Verdict, read};
use clap::Args;
use miniku_sim::compare::{self, Parting};
use std::path::PathBuf;

/// Which traces.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// One trace file
    pub a: PathBuf,
    /// Another one
    pub b: PathBuf,
}

/// Compares them. Exit code 1 if they differ.
pub fn run(args: &DiffArgs) -> Result<Verdict, SimError> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let wrong = |path: &PathBuf, error: compare::BadTrace| SimError(format!("{}: {error}", path.display()));
    let a = compare::Log::read(&a).map_err(|error| wrong(&args.a, error))?;
    let b = compare::Log::read(&b).map_err(|error| wrong(&args.b, error))?;
    let Some(parting) = compare::part(&a, &b) else {
        println!("the same: {} events", a.events.len());
        return Ok(Verdict::Held);
    };
    let Parting { line, meaningful } = parting;
    let show =
        |name: &PathBuf, text: Option<&str>| println!("  {}: {}", name.display(), text.unwrap_or("nothing more"));
    println!("the first line that differs is {line}:");
    show(&args.a, a.line(line));
    show(&args.b, b.line(line));
    if let Some((actor, nth, one, other)) = meaningful {
        println!("what {actor} did for the {nth}. time was the first to have other reasons or results:");
        show(&args.a, one.as_deref());
        show(&args.b, other.as_deref());
    }
    Ok(Verdict::Broken)
}
