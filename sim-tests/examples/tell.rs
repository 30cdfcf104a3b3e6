//! Tells a scenario for one seed: `cargo run -p miniku-sim --example tell -- scale 7 [full]`. Without a scenario, lists all.

use miniku_sim::scenarios;
use miniku_sim::trace::Mode;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(scenario) = words.first().and_then(|name| scenarios::named(name)) else {
        for scenario in scenarios::SCENARIOS {
            println!("{:<16}{}", scenario.name, scenario.about.trim());
        }
        return;
    };
    let seed = words.get(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mode = if words.get(2).is_some_and(|word| word == "full") { Mode::Full } else { Mode::Story };
    let story = (scenario.story)(seed);
    println!("# {}\n# seed {seed}\n{}", scenario.about.trim(), story.plan);
    let world = story.tell(mode);
    print!("{}", world.trace().text());
    if let Some(violation) = world.violation() {
        println!("\n{} is broken: {}\n  {}", violation.name, violation.statement, violation.broken.what);
    }
}
