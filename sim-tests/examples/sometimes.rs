//! What runs reach: `cargo run --profile search -p miniku-sim --example sometimes -- [FROM] [COUNT]`.

use miniku_sim::explore;
use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (from, count) = (numbers.first().copied().unwrap_or(1), numbers.get(1).copied().unwrap_or(1_000));
    let found = explore::until_broken(explore::runs(from..from + count));
    print!("{}", found.coverage);
    let (runs, hours) = (found.coverage.runs, found.simulated_secs / 3_600);
    let unreached: Vec<String> = found.coverage.reached.unreached().map(|site| format!("{site:?}")).collect();
    println!("{runs} runs, {} events, {hours} simulated hours; never reached: {}", found.events, unreached.join(", "));
    if let Some((run, failure)) = found.broken {
        println!("{}, seed {}: {failure}", run.scenario.name, run.seed);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
