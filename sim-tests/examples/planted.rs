//! Which planted bugs are found, by which checker, after how many runs:
//! `cargo run --profile search -p miniku-sim --features planted --example planted -- [SEEDS] [NAME]...`
//!
//! With the profile `release` a program's panic ends the whole table instead of a run.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "how long a search takes is real time")]

use miniku_core::planted::{Planted, TABLE};
use miniku_sim::explore;
use std::io::Write;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seeds: u64 = words.first().and_then(|word| word.parse().ok()).unwrap_or(2_000);
    let chosen = |row: &&Planted| words.len() < 2 || words[1..].iter().any(|word| word == row.name);
    std::panic::set_hook(Box::new(|_| {}));
    println!(
        "{:<28}{:<15}{:<11}{:<12}{:>6}{:>9}  wanted, scenario, what",
        "bug", "group", "caught by", "as meant", "runs", "seconds"
    );
    let (mut all, mut missed) = (0, 0);
    for row in TABLE.iter().filter(chosen) {
        // The table is told line by line: a search may take a while.
        print!("{:<28}{:<15}", row.name, format!("{:?}", row.group));
        let _ = std::io::stdout().flush();
        let began = std::time::Instant::now();
        let found = explore::hunt(row, explore::runs(1..seeds + 1));
        let secs = began.elapsed().as_secs_f64();
        let (by, what) = match &found.broken {
            Some((run, failure)) => {
                let what: String = failure.violation.broken.what.chars().take(150).collect();
                (failure.violation.name.as_str(), format!("{} {}: {what}", run.scenario.name, run.seed))
            }
            None => ("-", String::new()),
        };
        let meant = if row.expected.contains(&by) { "yes" } else { "no" };
        println!("{by:<11}{meant:<12}{:>6}{secs:>9.2}  {}, {what}", found.coverage.runs, row.expected.join(" "));
        all += 1;
        missed += u32::from(found.broken.is_none());
    }
    println!("{} of {all} caught", all - missed);
}
