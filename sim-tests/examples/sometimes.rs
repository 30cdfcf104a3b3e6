//! What runs reach: `cargo run --profile search -p miniku-sim --example sometimes -- [FROM] [COUNT]`.

use miniku_sim::explore;

fn main() -> Result<(), String> {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (from, count) = (numbers.first().copied().unwrap_or(1), numbers.get(1).copied().unwrap_or(1_000));
    let found = explore::explore(explore::runs(from..from + count));
    for (site, runs) in found.reached.iter() {
        println!("{runs:>8}  {site:?}: {}", site.name());
    }
    let (runs, hours) = (found.runs, found.simulated_secs / 3_600);
    let unreached: Vec<String> = found.reached.unreached().map(|site| format!("{site:?}")).collect();
    println!("{runs} runs, {} events, {hours} simulated hours; never reached: {}", found.events, unreached.join(", "));
    match found.broken {
        None => Ok(()),
        Some(broke) => Err(format!("broken in {}, seed {}: {:?}", broke.scenario, broke.seed, broke.violation)),
    }
}
