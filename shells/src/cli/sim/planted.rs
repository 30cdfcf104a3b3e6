//! `sim explore --planted`: whether the simulator finds bugs that were planted on purpose. In no release build:
//!
//! `cargo run --profile search --package miniku --features planted -- sim explore --planted all`

use crate::cli::sim::{SimError, Verdict};
use miniku_core::planted::{self, Mistake, TABLE};
use miniku_sim::{explore, shrink};
use std::io::{Write, stdout};
use std::ops::Range;
use std::time::Instant;

/// A planted bug need not be shrunk to the last entry to be understood.
const SHRINK_RUNS: usize = 300;

/// Switches mistakes on, one after the other, and looks for each: in every scenario of the library, then in these seeds.
/// Which ones: `all` planted bugs, all `rows` of all decision tables, or those whose name begins like this.
pub fn run(which: &str, seeds: &Range<u64>) -> Result<Verdict, SimError> {
    let bugs = TABLE.iter().filter(|row| which == "all" || row.name == which);
    let bugs = bugs.map(|row| (Mistake::Bug(row.bug), row.name.to_owned(), format!("{:?}", row.group)));
    let rows = planted::swaps().into_iter().map(|swap| (Mistake::Row(swap), swap.to_string(), "a table".to_owned()));
    let rows = rows.filter(|(_, name, _)| which == "rows" || (which.contains('/') && name.starts_with(which)));
    let chosen: Vec<(Mistake, String, String)> = bugs.chain(rows).collect();
    if chosen.is_empty() {
        let known = "all bugs are looked for with --planted all, all rows of tables with --planted rows";
        return Err(SimError(format!("no planted bug is called {which:?}; {known}")));
    }
    println!("{:<44}{:<15}{:<12}{:>6}{:>9}  {:<10} in", "mistake", "whose", "caught by", "runs", "seconds", "entries");
    let mut caught = 0;
    for (mistake, name, whose) in &chosen {
        // The table is told line by line: a search may take a while.
        print!("{name:<44}{whose:<15}");
        // Whether anybody sees it cannot be helped here.
        let _ = stdout().flush();
        let began = Instant::now();
        let found = explore::hunt(*mistake, explore::runs(seeds.clone()));
        let (runs, seconds) = (found.coverage.runs, began.elapsed().as_secs_f64());
        let Some((run, failure)) = found.broken else {
            println!("{:<12}{runs:>6}{seconds:>9.2}", "NOTHING");
            continue;
        };
        caught += 1;
        let entries = match mistake {
            Mistake::Bug(_) => {
                planted::set(Some(*mistake));
                let shrunk = shrink::shrink(&run.scenario, run.seed, SHRINK_RUNS, |_, _| {});
                planted::set(None);
                let left = shrunk.map_or(0, |shrunk| shrunk.scenario.timeline.len());
                format!("{left} of {}", run.scenario.timeline.len())
            }
            // There are hundreds of them, and shrinking takes longer than finding.
            Mistake::Row(_) => "-".to_owned(),
        };
        let name = &failure.violation.name;
        println!("{name:<12}{runs:>6}{seconds:>9.2}  {entries:<10} {} {}", run.scenario.name, run.seed);
    }
    println!("{caught} of {} caught", chosen.len());
    Ok(if caught == chosen.len() { Verdict::Held } else { Verdict::Broken })
}
