use miniku_core::planted::{self, TABLE};
use miniku_sim::{library, swarm};
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let names = ["paused-leader", "leader-cut-off", "leader-again"];
    for name in names {
        let scenario = library::named(name).unwrap();
        for seed in 1..=20 {
            if let Err(failure) = scenario.run(seed) {
                println!("{name} {seed}: {failure}");
                break;
            }
        }
        println!("{name} done");
    }
    for row in TABLE.iter().filter(|row| row.expected.contains(&"S-lease")) {
        planted::set(Some(row.bug));
        let mut by = Vec::new();
        for name in names {
            let scenario = library::named(name).unwrap();
            for seed in 1..=3 {
                if let Err(failure) = scenario.run(seed) {
                    by.push(format!("{name} {seed} {}", failure.violation.name));
                    break;
                }
            }
        }
        println!("{}: {by:?}", row.name);
        planted::set(None);
    }
    let (mut runs, began) = (0, std::time::Instant::now());
    for seed in 1..=150 {
        if began.elapsed().as_secs() > 240 {
            break;
        }
        let mut scenario = swarm::drawn(seed);
        scenario.cluster.settings.standbys = Some(1);
        if let Err(failure) = scenario.run(seed) {
            println!("swarm {seed}: {} {}", failure.violation.name, failure.violation.broken.what);
        }
        runs += 1;
    }
    println!("{runs} runs {:?}", miniku_core::coverage::Sometimes::ALL.len());
}
