//! Runs every variation of every canonical scenario: `cargo run --release -p miniku-sim --example sweep -- [SCENARIO]`.

use miniku_sim::library;
use miniku_sim::sweep::{self, What};
use std::collections::BTreeMap;

#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it tells how long it took")]
fn main() {
    let began = std::time::Instant::now();
    let only = std::env::args().nth(1);
    let mut counts: BTreeMap<What, (u64, u64)> = BTreeMap::new();
    let (mut events, mut shown) = (0, 0);
    for name in sweep::CANONICAL.iter().filter(|name| only.as_deref().is_none_or(|only| only == **name)) {
        let (mut runs, mut failures) = (0, 0);
        for variation in sweep::variations(library::named(name).expect("the library has it")) {
            let count = counts.entry(variation.what).or_default();
            count.0 += 1;
            runs += 1;
            match sweep::run(&variation) {
                Ok(world) => events += world.counts().events,
                Err(failure) => {
                    count.1 += 1;
                    failures += 1;
                    shown += 1;
                    println!("{variation}: {} is broken: {}", failure.violation.name, failure.violation.broken.what);
                    if shown <= 3 {
                        println!("{failure}");
                    }
                }
            }
        }
        println!("{name}: {runs} runs, {failures} failures, {:.1} s so far", began.elapsed().as_secs_f64());
    }
    for (what, (runs, failures)) in &counts {
        println!("{:<16} {runs:>6} runs {failures:>4} failures", format!("{what:?}"));
    }
    let (runs, failures) = counts.values().fold((0, 0), |(a, b), (runs, failures)| (a + runs, b + failures));
    println!("{runs} runs, {failures} failures, {events} events, {:.1} s", began.elapsed().as_secs_f64());
}
