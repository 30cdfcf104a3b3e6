//! Tells a scenario for one seed: `cargo run -p miniku-sim --example tell -- scale 7 [full]`. Without one, lists all.

use miniku_sim::trace::Mode;
use miniku_sim::{library, swarm};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seed = words.get(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let scenario = match words.first().map(String::as_str) {
        Some("swarm") => Some(swarm::scenario(seed)),
        Some(name) => library::named(name),
        None => None,
    };
    let Some(scenario) = scenario else {
        for scenario in library::all() {
            println!("{:<26}{}", scenario.name, scenario.about);
        }
        return;
    };
    let mode = if words.get(2).is_some_and(|word| word == "full") { Mode::Full } else { Mode::Story };
    println!("# {}\n# seed {seed}\n{}", scenario.about, scenario.plan());
    let world = scenario.trace(seed, mode);
    print!("{}", world.trace().story());
    if let Some(violation) = world.violation() {
        println!("\n{} is broken: {}\n  {}", violation.name, violation.statement, violation.broken.what);
    }
}
