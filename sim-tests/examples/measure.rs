//! How much happens in a cluster: `time cargo run --release -p miniku-sim --example measure -- NODES PODS SECONDS`.

use miniku_core::time::Duration;
use miniku_sim::run::{Options, run};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(or);
    let options = Options {
        nodes: number(0, 100) as usize,
        pods: number(1, 1_000) as usize,
        duration: Duration::from_secs(number(2, 600)),
        checked: words.get(3).is_none_or(|word| word != "unchecked"),
        faults: true,
        ..Options::default()
    };
    println!("{}", run(&options));
}
