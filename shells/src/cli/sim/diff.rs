//! `sim diff`: the first step where two traces part.

use crate::cli::sim::{SimError, Verdict, print, read};
use clap::Args;
use miniku_sim::compare::{self, Parting};
use std::path::{Path, PathBuf};

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
        print(&format!("the same: {} events\n", a.events.len()))?;
        return Ok(Verdict::Held);
    };
    let Parting { line, meaningful } = parting;
    let show = |one: Option<&str>, other: Option<&str>| {
        let line =
            |name: &Path, text: Option<&str>| format!("  {}: {}\n", name.display(), text.unwrap_or("nothing more"));
        line(&args.a, one) + &line(&args.b, other)
    };
    print(&format!("the first line that differs is {line}:\n{}", show(a.line(line), b.line(line))))?;
    if let Some((actor, nth, one, other)) = meaningful {
        let what = format!("what {actor} did for the {nth}. time was the first to have other reasons or results:");
        print(&format!("{what}\n{}", show(one.as_deref(), other.as_deref())))?;
    }
    Ok(Verdict::Broken)
}
