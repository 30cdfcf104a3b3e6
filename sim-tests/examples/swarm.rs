//! Looks for failing seeds: `cargo run --release -p miniku-sim --example swarm -- [FROM] [COUNT] [SCENARIO]`.

use miniku_sim::{library, swarm};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(or);
    let (from, count): (u64, u64) = (number(0, 1), number(1, 1_000));
    let named = words.get(2).map(|name| library::named(name).expect("there is such a scenario"));
    let (mut failures, mut events, mut simulated) = (0, 0, 0);
    for seed in from..from + count {
        let scenario = named.clone().unwrap_or_else(|| swarm::scenario(seed));
        match scenario.run(seed) {
            Ok(world) => {
                events += world.counts().events;
                simulated += world.now().nanos() / 1_000_000_000;
            }
            Err(failure) => {
                println!("seed {seed}: {failure}\n");
                failures += 1;
            }
        }
        if failures >= 5 {
            break;
        }
    }
    println!("{count} seeds from {from}: {failures} failures, {events} events, {} simulated hours", simulated / 3_600);
}
