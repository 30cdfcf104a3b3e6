//! `sim explore --planted`: whether the simulator finds bugs that were planted on purpose. In no release build:
//!
//! `cargo run --profile search --package miniku --features planted -- sim explore --planted all`

use crate::cli::sim::{SimError, Verdict};
use miniku_core::planted::{self, Planted, TABLE};
use miniku_sim::{explore, shrink};
use std::io::{Write, stdout};
use std::ops::Range;
use std::time::Instant;

/// A planted bug need not be shrunk to the last entry to be understood.
const SHRINK_RUNS: usize = 300;

/// Switches each bug on, or the one of this name, and looks for it: in every scenario of the library, then in these seeds.
pub fn run(which: &str, seeds: &Range<u64>) -> Result<Verdict, SimError> {
    let chosen: Vec<&Planted> = TABLE.iter().filter(|row| which == "all" || row.name == which).collect();
    if chosen.is_empty() {
        return Err(SimError(format!("no planted bug is called {which:?}; all are looked for with --planted all")));
    }
    println!("{:<28}{:<15}{:<12}{:>6}{:>9}  {:<10} in", "bug", "whose", "caught by", "runs", "seconds", "entries");
    let mut caught = 0;
    for row in &chosen {
        // The table is told line by line: a search may take a while.
        print!("{:<28}{:<15}", row.name, format!("{:?}", row.group));
        // Whether anybody sees it cannot be helped here.
        let _ = stdout().flush();
        let began = Instant::now();
        let found = explore::hunt(row, explore::runs(seeds.clone()));
        let (runs, seconds) = (found.coverage.runs, began.elapsed().as_secs_f64());
        let Some((run, failure)) = found.broken else {
            println!("{:<12}{runs:>6}{seconds:>9.2}", "NOTHING");
            continue;
        };
        caught += 1;
        planted::set(Some(row.bug));
        let shrunk = shrink::shrink(&run.scenario, run.seed, SHRINK_RUNS, |_, _| {});
        planted::set(None);
        let left = shrunk.map_or(0, |shrunk| shrunk.scenario.timeline.len());
        let (name, entries) = (&failure.violation.name, format!("{left} of {}", run.scenario.timeline.len()));
        println!("{name:<12}{runs:>6}{seconds:>9.2}  {entries:<10} {} {}", run.scenario.name, run.seed);
    }
    println!("{caught} of {} caught", chosen.len());
    Ok(if caught == chosen.len() { Verdict::Held } else { Verdict::Broken })
}
