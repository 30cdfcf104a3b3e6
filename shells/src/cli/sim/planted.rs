//! `sim explore --planted`: whether the simulator finds bugs that were planted on purpose. In no release build:
//!
//! `cargo run --profile search --package miniku --features planted -- sim explore --planted all`

use crate::cli::sim::{SimError, Verdict};
use miniku_core::planted::{self, Mistake, TABLE};
use miniku_sim::{explore, shrink};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// A planted bug need not be shrunk to the last entry to be understood.
const SHRINK_RUNS: usize = 300;

/// One that is looked for: its name, and whose it is.
struct Chosen {
    mistake: Mistake,
    name: String,
    whose: String,
}

/// Switches mistakes on, one after the other, so many at once, and looks for each: in every scenario of the library, then in
/// these seeds. Each is told when that is over.
///
/// Which ones: `all` planted bugs, all `rows` of all decision tables, or those whose name begins like this.
pub fn run(which: &str, seeds: &Range<u64>, jobs: usize) -> Result<Verdict, SimError> {
    let bugs = TABLE.iter().filter(|row| which == "all" || row.name == which);
    let bugs = bugs.map(|row| (Mistake::Bug(row.bug), row.name.to_owned(), format!("{:?}", row.group)));
    let rows = planted::swaps().into_iter().map(|swap| (Mistake::Row(swap), swap.to_string(), "a table".to_owned()));
    let rows = rows.filter(|(_, name, _)| which == "rows" || (which.contains('/') && name.starts_with(which)));
    let chosen: Vec<Chosen> = bugs.chain(rows).map(|(mistake, name, whose)| Chosen { mistake, name, whose }).collect();
    if chosen.is_empty() {
        let known = "all bugs are looked for with --planted all, all rows of tables with --planted rows";
        return Err(SimError(format!("no planted bug is called {which:?}; {known}")));
    }
    println!("{:<44}{:<15}{:<12}{:>6}{:>9}  {:<10} in", "mistake", "whose", "caught by", "runs", "seconds", "entries");
    let (next, caught) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(one) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (line, is_caught) = look_for(one, seeds);
                    println!("{line}");
                    caught.fetch_add(usize::from(is_caught), Ordering::Relaxed);
                }
            });
        }
    });
    let caught = caught.into_inner();
    println!("{caught} of {} caught", chosen.len());
    Ok(if caught == chosen.len() { Verdict::Held } else { Verdict::Broken })
}

/// What is told of one, and whether it is caught.
fn look_for(chosen: &Chosen, seeds: &Range<u64>) -> (String, bool) {
    let Chosen { mistake, name, whose } = chosen;
    let began = Instant::now();
    let found = explore::hunt(*mistake, explore::runs(seeds.clone()));
    let (runs, seconds) = (found.coverage.runs, began.elapsed().as_secs_f64());
    let Some((run, failure)) = found.broken else {
        return (format!("{name:<44}{whose:<15}{:<12}{runs:>6}{seconds:>9.2}", "NOTHING"), false);
    };
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
    let (by, of) = (&failure.violation.name, &run.scenario.name);
    (format!("{name:<44}{whose:<15}{by:<12}{runs:>6}{seconds:>9.2}  {entries:<10} {of} {}", run.seed), true)
}
